"""The experiment `activations`: how rates are searched, and that verdicts can fall either way."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from difflab.lab.cases import Case, load, preset
from difflab.lab.findings import findings_of

EXPERIMENT = load(Path(__file__).parents[2] / "experiments" / "activations.py")
module = sys.modules[EXPERIMENT.measure.__module__]
learning = sys.modules["apparatus.learning"]
SPEEDS = {"relu": 20.0, "leaky_relu": 20.0, "tanh": 120.0, "sigmoid": 400.0,
          "softsign": 100.0}  # fmt: skip
ERRORS = {"relu": 0.03, "leaky_relu": 0.03, "softsign": 0.035, "tanh": 0.04, "sigmoid": 0.06}


def small(**changes: object) -> Case:
    values = ("digits, 32 units", "digits", 32, "he", "relu", 2, 64, 0.25, "speed")
    own = dict(zip(module.NAMES, values, strict=True))
    return {"part": "training", **own, "rate": 0.1, "seed": 0} | changes


# Runs and searches --------------------------------------------------------------------------------


def test_a_run_is_that_of_network_fit() -> None:
    case = small(goal="test")
    ours = module.run(case)
    net = module.perceptron(case)
    (fitted,) = learning.train(
        net, learning.examples("digits", "training", 0), part="training", seed=0, rate=0.1,
        updates=64, every=64,
    )  # fmt: skip
    for column in ("train_error", "held_error"):
        assert ours[column] == pytest.approx(fitted[column], abs=1e-12)


def test_a_run_for_speed_ends_where_the_threshold_is_reached() -> None:
    found = module.run(small())
    assert found["reached"] == found["update"] < 64
    assert found["train_error"] <= 0.25
    never = module.run(small(rate=1e-6))
    assert math.isnan(never["reached"]) and never["missed"] == 1.0 and never["update"] == 64


def test_looks_are_at_most_a_tenth_apart() -> None:
    seen = sorted(module.looks_at(1000))
    assert seen[:3] == [1, 2, 3] and seen[-1] == 1000
    gaps = [(after - before) / before for before, after in itertools.pairwise(seen)]
    assert max(gap for gap, before in zip(gaps, seen, strict=False) if before >= 10) < 0.15


def test_a_run_that_diverges_says_so() -> None:
    found = module.run(small(rate=1e30, goal="test"))
    assert found["diverged"] and not found["settled"] and math.isnan(found["held_error"])


def test_a_search_goes_on_until_the_best_rate_lies_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    def run(case: Case, most: int) -> dict[str, object]:
        asked.append(case["rate"])
        needed = 10 * 2 ** abs(math.log2(case["rate"] / 0.8))
        there = needed <= most
        return {"update": round(needed) if there else most, "missed": float(not there),
                "log_reached": math.log(needed) if there else math.nan, "train_error": 0.1,
                "loss": 0.1, "diverged": False}  # fmt: skip

    monkeypatch.setattr(module, "run", run)
    case = small(part="tuning") | {"seeds": 2}
    rows = pd.DataFrame([case | row for row in module.search(case)])
    best = learning.chosen_rates(rows.assign(held_error=0.0, held_loss=0.0), module.NAMES,
                                 module.GOALS["speed"])  # fmt: skip
    assert best["rate"].tolist() == [0.8] and not best["edge"].any()
    assert max(asked) == 1.6


# Synthetic rows -----------------------------------------------------------------------------------


def rows(
    speed: Callable[[Case], float] = lambda case: SPEEDS[case["activation"]],
    error: Callable[[Case], float] = lambda case: ERRORS[case["activation"]],
    seeds: int = 6,
) -> pd.DataFrame:
    """Runs that arrive after `speed` updates, with a little noise."""
    full, found = preset("full", seeds), []
    for own in module.configurations(full):
        for rate, number in ((0.1, 40.0), (0.2, 20.0), (0.4, 40.0)):
            row = {"part": "tuning", **own, "rate": rate, "seed": 0, "update": 9, "missed": 0.0,
                   "log_reached": math.log(number), "held_error": number, "held_loss": 0.0,
                   "train_error": 0.0, "loss": 0.0, "diverged": False, "last": True}  # fmt: skip
            found.append(row)
    for case in EXPERIMENT.after(full, pd.DataFrame(found)):
        assert case["rate"] == 0.2
        fast = case["goal"] == "speed"
        reached = speed(case) * np.random.default_rng(case["seed"]).uniform(0.95, 1.05)
        reached = reached if fast and reached <= case["updates"] else math.nan
        bias = np.random.default_rng(case["seed"]).uniform(0.95, 1.05)
        found.append(case | {
            "reached": reached, "arrived": reached == reached, "last": True, "diverged": False,
            "held_error": math.nan if fast else error(case) * bias,
            "settled": math.nan if fast else True,
        })  # fmt: skip
    for name, ratio in (("relu", 1.0), ("tanh", 9.0), ("sigmoid", 12.0)):
        found.append(
            {
                "part": "time",
                "contestant": name,
                "contender": name,
                "ratio": ratio,
                "ratio_low": ratio,
                "ratio_high": ratio,
                "rounds": 15,
                "noise": 0.01,
            }
        )
    return pd.DataFrame(found)


def verdicts(table: pd.DataFrame) -> dict[str, str]:
    return {finding["id"]: finding["verdict"] for finding in findings_of(EXPERIMENT, table)}


def test_what_is_planted_is_reproduced() -> None:
    found = verdicts(rows(lambda case: SPEEDS[case["activation"]] * case["depth"] ** (
        0.5 * (case["activation"] in ("tanh", "sigmoid")))
        if case["start"] != "normal" else 1e9))  # fmt: skip
    partly = {"normalised_start_better": "contradicted"}  # both err alike here
    for claim, verdict in found.items():
        if claim not in partly:
            assert verdict in ("reproduced", "partly"), claim


def test_less_than_six_times_is_partly_and_slower_is_contradicted() -> None:
    claim = "six_times_faster_than_tanh"
    for speed, verdict in ((40.0, "partly"), (10.0, "contradicted")):
        other = SPEEDS | {"tanh": speed}
        assert verdicts(rows(lambda case, own=other: own[case["activation"]]))[claim] == verdict


def test_a_set_that_says_otherwise_is_told() -> None:
    def speed(case: Case) -> float:
        slow = case["activation"] == "tanh" and case["width"] == 32
        return 10.0 if slow else SPEEDS[case["activation"]]

    assert verdicts(rows(speed))["six_times_faster_than_tanh"] == "depends"


def test_few_seeds_decide_nothing_about_a_ratio() -> None:
    assert verdicts(rows(seeds=3))["six_times_faster_than_tanh"] == "undecided"


def test_a_leaky_relu_that_is_much_better_contradicts() -> None:
    found = verdicts(rows(error=lambda case: 0.08 if case["activation"] == "relu" else 0.03))
    assert found["leaky_relu_not_much_better"] == "contradicted"
    assert found["relu_better_than_sigmoid_in_deep"] == "contradicted"


def test_the_table_of_glorot_and_bengio_can_be_contradicted() -> None:
    for worse, verdict in ((0.06, "reproduced"), (0.02, "contradicted")):

        def error(case: Case, much: float = worse) -> float:
            own = case["start"] == "uniform" and case["activation"] == "tanh"
            return much if own else 0.04

        assert verdicts(rows(error=error))["normalised_start_better"] == verdict


def test_small_weights_that_start_contradict() -> None:
    assert verdicts(rows())["deep_sigmoid_does_not_start"] == "contradicted"


def test_runs_that_never_arrive_are_slower_than_any() -> None:
    def speed(case: Case) -> float:
        return 1e9 if case["activation"] == "sigmoid" else SPEEDS[case["activation"]]

    table = rows(speed)
    (own,) = [one for one in findings_of(EXPERIMENT, table)
              if one["id"] == "tanh_faster_than_sigmoid"]  # fmt: skip
    assert own["parts"][0]["failed"] == 6
    assert own["verdict"] != "contradicted"


def test_the_page_draws_censored_runs() -> None:
    from matplotlib.figure import Figure as Canvas

    table = rows(lambda case: 1e9 if case["activation"] == "sigmoid" else 20.0)
    for figure in module.figures(table):
        figure.draw(Canvas(figsize=figure.size))
    published = module.tables(table)[0].frame
    assert len(published) == len(module.PUBLISHED)
