"""The experiment `activations`: how runs are followed, and that verdicts can fall either way."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from difflab.lab.cases import Case, load, preset
from difflab.lab.results import findings_of

EXPERIMENT = load(Path(__file__).parents[2] / "experiments" / "activations.py")

import _activations_page as page  # noqa: E402  (their folder is on the path by now)
import _activations_rows as read  # noqa: E402
from apparatus import learning as _learning  # noqa: E402

FULL = preset("full")
SPEEDS = {"relu": 20.0, "leaky_relu": 20.0, "tanh": 120.0, "sigmoid": 400.0}
ERRORS = {"relu": 0.03, "leaky_relu": 0.03, "tanh": 0.04, "sigmoid": 0.06}


@pytest.fixture
def module() -> ModuleType:
    import sys

    return sys.modules[EXPERIMENT.measure.__module__]


def small(**changes: object) -> Case:
    case = {"part": "training", "data": "digits", "start": "he", "activation": "relu", "depth": 2,
            "updates": 64, "rate": 0.1, "seed": 0}  # fmt: skip
    return case | changes


def followed(case: Case) -> pd.DataFrame:
    return pd.DataFrame(EXPERIMENT.measure(case, np.random.default_rng(0)))


# Following a run ----------------------------------------------------------------------------------


def test_stages_do_not_change_the_run(module: ModuleType) -> None:
    case = small()
    staged = followed(case).set_index("update")
    data = _learning.examples("digits", "training", 0)
    plain = pd.DataFrame(
        _learning.train(module.perceptron(case), data, part="training", seed=0, rate=0.1,
                        updates=64, every=1)
    ).set_index("update")  # fmt: skip
    assert staged.index.is_monotonic_increasing and staged.index.is_unique
    assert staged["train_error"].equals(plain.loc[staged.index, "train_error"])
    for column in ("held_error", "held_loss"):
        assert staged[column].iloc[-1] == plain[column].iloc[-1]


@pytest.mark.parametrize(("data", "updates", "first"), [("digits", 1024, 8), ("mnist1d", 1536, 96)])
def test_counts_are_too_high_by_a_third_at_most(
    module: ModuleType, data: str, updates: int, first: int
) -> None:
    seen = [0]
    for end, every in module.stages(small(data=data, updates=updates)):
        seen += [*range((seen[-1] // every + 1) * every, end + 1, every)]
    gaps = [(b - a) / a for a, b in itertools.pairwise(seen) if a >= first]
    assert max(gaps) <= 1 / 3


def test_tuning_tells_when_a_threshold_was_reached() -> None:
    rows = followed(small(part="tuning", rate=0.2))
    (row,) = rows.to_dict("records")
    assert row["missed_25"] == 0 and row["log_25"] <= math.log(64)
    hopeless = followed(small(part="tuning", rate=1e-6)).iloc[0]
    assert hopeless["missed_25"] == 1 and math.isnan(hopeless["log_25"])


def test_units_are_told_once() -> None:
    rows = followed(small())
    assert rows["dead_2"].notna().sum() == 1 and rows["dead_2"].notna().iloc[-1]


def test_a_diverged_run_keeps_what_it_reached_and_ends_diverged() -> None:
    rows = followed(small(rate=1e30))
    assert rows["diverged"].iloc[-1] and rows["update"].iloc[-1] == 64


def test_every_activation_has_as_many_rates(module: ModuleType) -> None:
    tuning = pd.DataFrame(EXPERIMENT.cases(FULL))
    counts = tuning.groupby(["data", "start", "activation", "depth"])["rate"].nunique()
    suited = counts[[start == read.SCALED[name] for _, start, name, _ in counts.index]]
    assert suited.drop("mnist_5k").nunique() == 1
    assert counts.xs("normal", level="start").nunique() == 1
    assert counts["mnist_5k"].nunique() == 1


# Synthetic rows -----------------------------------------------------------------------------------


def rows(
    speed: Callable[[Case], float] = lambda case: SPEEDS[case["activation"]],
    error: Callable[[Case], float] = lambda case: ERRORS[case["activation"]],
    seeds: int = 6,
) -> pd.DataFrame:
    """Runs that reach 25 % after `speed` updates (5 % after twice as many), with a little noise."""
    found = []
    for case in EXPERIMENT.cases(FULL):
        number = 20.0 if case["rate"] == case_rate(case) else 40.0
        last = {"update": case["updates"], "train_error": 0.0, "held_error": number / 1e3,
                "held_loss": 0.0, "loss": 0.0, "diverged": False}  # fmt: skip
        for name in read.THRESHOLDS:
            last |= {f"missed_{name}": 0.0, f"log_{name}": math.log(number)}
        found.append(case | last)
    for case in EXPERIMENT.after(preset("full", seeds), pd.DataFrame(found)):
        noise = np.random.default_rng(case["seed"]).uniform(0.95, 1.05)
        reached = speed(case) * noise
        for share, left in ((1, 0.2), (2, 0.04)):
            if share * reached <= case["updates"]:
                found.append(case | row(share * reached, left, 0.5))
        left = 0.0 if reached <= case["updates"] else 0.9
        found.append(case | row(case["updates"], left, error(case) * noise))
    return pd.DataFrame(found)


def case_rate(case: Case) -> float:
    return {"relu": 0.2, "leaky_relu": 0.2, "tanh": 0.4, "sigmoid": 1.6}[case["activation"]]


def row(update: float, train_error: float, held_error: float) -> dict[str, object]:
    units = {f"{what}_{i}": 0.1 for what in ("saturated", "dead") for i in range(1, 9)}
    return {"update": round(update), "train_error": train_error, "held_error": held_error,
            "held_loss": 0.1, "loss": 0.1, "diverged": False, **units}  # fmt: skip


def verdicts(table: pd.DataFrame) -> dict[str, str]:
    return {finding.claim.id: finding.verdict for finding in findings_of(EXPERIMENT, table)}


def test_six_times_is_confirmed_where_it_is_planted() -> None:
    found = verdicts(rows())
    assert found["six_times_faster_than_tanh"] == "confirmed"
    assert found["tanh_faster_than_sigmoid"] == "confirmed"
    assert found["leaky_relu_not_much_faster"] == "confirmed"
    assert found["relu_better_than_tanh_in_deep"] == "confirmed"


def test_less_than_six_times_is_weaker_and_slower_is_refuted() -> None:
    def twice(case: Case) -> float:
        return 40.0 if case["activation"] == "tanh" else SPEEDS[case["activation"]]

    def half(case: Case) -> float:
        return 10.0 if case["activation"] == "tanh" else SPEEDS[case["activation"]]

    claim = "six_times_faster_than_tanh"
    assert verdicts(rows(twice))[claim] == "weaker"
    assert verdicts(rows(half))[claim] == "refuted"


def test_few_seeds_decide_nothing_about_a_ratio() -> None:
    assert verdicts(rows(seeds=3))["six_times_faster_than_tanh"] == "inconclusive"


def test_a_gap_that_grows_with_depth_is_told_from_one_that_shrinks() -> None:
    claim = "relu_gains_on_tanh_with_depth"

    def by_depth(power: float) -> Callable[[Case], float]:
        return lambda case: 20.0 * (case["depth"] ** power if case["activation"] == "tanh" else 1)

    assert verdicts(rows(by_depth(1.0)))[claim] == "confirmed"
    assert verdicts(rows(by_depth(-1.0)))[claim] == "refuted"


def test_a_leaky_relu_that_is_much_better_refutes() -> None:
    def worse(case: Case) -> float:
        return 0.08 if case["activation"] == "relu" else 0.03

    found = verdicts(rows(error=worse))
    assert found["leaky_relu_not_much_better"] == "refuted"
    assert found["relu_better_than_sigmoid_in_deep"] == "refuted"


def test_the_table_of_glorot_and_bengio_can_be_contradicted() -> None:
    def standard(case: Case, much: float) -> float:
        return much if case["start"] == "uniform" and case["activation"] == "tanh" else 0.04

    claim = "normalised_start_better"
    assert verdicts(rows(error=lambda case: standard(case, 0.06)))[claim] == "confirmed"
    assert verdicts(rows(error=lambda case: standard(case, 0.02)))[claim] == "refuted"


# Censored runs ------------------------------------------------------------------------------------


def deep_sigmoids_fail(case: Case) -> float:
    stuck = case["activation"] == "sigmoid" and case["depth"] >= 4
    return 1e9 if stuck else SPEEDS[case["activation"]]


def test_runs_that_never_get_there_are_counted_and_left_out() -> None:
    table = read.updates(rows(deep_sigmoids_fail), "25")
    assert table["digits", "sigmoid", 8].isna().all()
    assert read.ratio(table, "sigmoid", "relu", "digits", 8) is None
    assert "digits 8: none (0 and 6 of 6)" in read.each_cell(table, "sigmoid", "relu")
    everywhere = read.mean_ratio(table, "sigmoid", "relu", read.cells(table))
    shallow = read.mean_ratio(table, "sigmoid", "relu", read.cells(table, [2]))
    assert everywhere == shallow


def test_small_weights_that_start_refute() -> None:
    claim = "deep_sigmoid_does_not_start"
    assert verdicts(rows(deep_sigmoids_fail))[claim] == "confirmed"
    assert verdicts(rows())[claim] == "refuted"


def test_nothing_can_be_said_of_depth_where_only_the_shallow_ones_learn() -> None:
    claim = "relu_gains_on_sigmoid_with_depth"
    assert verdicts(rows(deep_sigmoids_fail))[claim] == "inconclusive"


# Rates --------------------------------------------------------------------------------------------


def test_more_runs_that_get_there_come_before_faster_ones() -> None:
    tuning = pd.DataFrame(
        {"part": "tuning", "depth": 2, "rate": [0.1, 0.1, 0.2, 0.2], "seed": [0, 1, 0, 1],
         "update": 9, "held_error": [0.5, 0.5, 0.1, 0.1], "held_loss": 1.0, "diverged": False,
         "missed": [0.0, 0.0, 0.0, 1.0], "log": [3.0, 3.0, 1.0, np.nan]}
    )  # fmt: skip
    by_speed = _learning.chosen_rates(tuning, ["depth"], ["missed", "log"])
    assert by_speed["rate"].tolist() == [0.1]
    assert _learning.chosen_rates(tuning, ["depth"])["rate"].tolist() == [0.2]


def test_the_page_draws_censored_runs() -> None:
    table = rows(deep_sigmoids_fail)
    for figure in page.figures(table):
        from matplotlib.figure import Figure as Canvas

        figure.draw(Canvas(figsize=figure.size))
    first = page.tables(table)[0].frame
    stuck = first[(first["activation"] == "sigmoid") & (first["hidden layers"] == 8)]
    assert set(stuck["to 25 %"]) == {"0 of 6 reached"} and set(stuck["updates to 25 %"]) == {""}
