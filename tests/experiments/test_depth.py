"""The experiment `depth`: laws of its networks, and verdicts that follow the rows."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from difflab.lab.cases import load, preset
from difflab.lab.findings import findings_of

FOLDER = Path(__file__).parents[2] / "experiments"
EXPERIMENT = load(FOLDER / "depth.py")
DEPTH: Any = sys.modules[EXPERIMENT.measure.__module__]


def made(one: float, deep: float, deepest_train: float, seeds: int = 10) -> pd.DataFrame:
    """Rows of a task where 1, 2 and 8 hidden layers err so much, and of the control."""
    rng, rows = np.random.default_rng(0), []
    found = {1: (one, 0.0, 0.30), 2: (deep, 0.0, 0.20), 8: (0.9, deepest_train, 0.21)}
    roles = {1: DEPTH.SHALLOW, 2: DEPTH.DEEP, 8: DEPTH.OTHER}
    for data in ("digits", "sawtooth_4"):
        for depth, (held, train, validation) in found.items():
            about = {"task": data, "data": data, "budget": 2000, "depth": depth, "updates": 9}
            about |= {"update": 9, "diverged": False, "held_loss": 1.0, "settled": True}
            about["last"] = True
            for rate in (0.1, 0.2, 0.4):
                error = validation + (rate != 0.2)
                tuning = {"part": "tuning", "rate": rate, "seed": 0, "held_error": error}
                rows.append(about | tuning)
            for seed in range(seeds):
                run = {"part": "training", "rate": 0.2, "seed": seed, "role": roles[depth]}
                run["held_error"] = held + 0.002 * rng.normal()
                run["train_error"] = train if data == "digits" else run["held_error"]
                rows.append(about | run)
    rows += [{"part": "pieces", **DEPTH.count_pieces(k), "depth": k} for k in range(1, 7)]
    return pd.DataFrame(rows)


def verdicts(rows: pd.DataFrame) -> dict[str, str]:
    return {one["id"]: one["verdict"] for one in findings_of(EXPERIMENT, rows)}


def test_equal_numbers_of_parameters():
    for case in DEPTH.configurations(preset("full")):
        data, depth = case["data"], case["depth"]
        width = DEPTH.width_for(data, depth, case["budget"])
        net = DEPTH.network(data, depth, width)
        count = sum(layer.size for layer in net.layers)
        assert count == DEPTH.parameter_count(data, depth, width)
        assert abs(count / case["budget"] - 1) < 0.08
        assert len(net.layers) == depth + 1


@pytest.mark.parametrize("depth", [1, 3, 6])
def test_a_sawtooth_goes_up_and_down(depth):
    x = np.arange(2**depth + 1)[:, np.newaxis] / 2**depth
    y = DEPTH.sawtooth(depth).outputs(x)[:, 0]
    assert np.array_equal(y, np.arange(2**depth + 1) % 2)
    assert DEPTH.count_pieces(depth)["pieces"] == 2**depth


def test_one_hidden_layer_has_no_more_pieces_than_units_and_one():
    net = DEPTH.Network(1)
    net.fc(9)
    net.fc(1, activation="identity")
    rng = np.random.default_rng(3)
    weights = [{"W": rng.normal(size=(1, 9)), "b": rng.normal(size=9)}]
    net.parameters = [*weights, {"W": rng.normal(size=(9, 1)), "b": np.zeros(1)}]
    assert 2 <= DEPTH.pieces(net, 4096) <= 10


@pytest.mark.parametrize("folds", [4, 5])
def test_the_teeth_that_are_trained_are_those_whose_pieces_are_counted(folds):
    x, y = DEPTH.teeth(folds)
    assert np.allclose(DEPTH.sawtooth(folds).outputs((x + 1) / 2)[:, 0], y)


def test_the_depth_is_chosen_on_validation_and_not_on_test():
    full = preset("full")
    rows = []
    for case in DEPTH.cases(full):
        if case["part"] == "tuning":
            error = {1: 0.0, 2: 0.3, 4: 0.2, 8: 0.4}[case["depth"]]
            errors = {"held_error": error, "held_loss": 1.0, "train_error": 0.4 - error}
            rows.append({**case, **errors, "update": 1, "diverged": False})
    roles = {(case["depth"], case["role"]) for case in DEPTH.further(full, pd.DataFrame(rows))}
    chosen = {(1, DEPTH.SHALLOW), (2, DEPTH.OTHER), (4, DEPTH.DEEP), (8, DEPTH.OTHER)}
    assert roles == chosen


@pytest.mark.parametrize(
    ("one", "deep", "verdict"),
    [(0.08, 0.04, "reproduced"), (0.04, 0.08, "contradicted"), (0.05, 0.05, "undecided")],
)
def test_the_verdict_on_depth_follows_the_rows(one, deep, verdict):
    found = verdicts(made(one, deep, 0.0))
    assert found["deep_beats_shallow"] == verdict
    if verdict != "undecided":
        assert found["trained_depth_makes_teeth"] == verdict


def test_few_seeds_decide_nothing():
    assert verdicts(made(0.08, 0.04, 0.0, seeds=3))["deep_beats_shallow"] == "undecided"


def test_tasks_that_differ_make_it_depend():
    worse = made(0.04, 0.08, 0.0)
    worse = worse[worse["data"] == "digits"].assign(task="mnist1d", data="mnist1d")
    rows = pd.concat([made(0.30, 0.04, 0.0), worse])
    assert verdicts(rows)["deep_beats_shallow"] == "depends"


def test_training_errors_decide_whether_the_deepest_fit_worse():
    assert verdicts(made(0.1, 0.1, 0.2))["deepest_fits_worse"] == "reproduced"
    assert verdicts(made(0.1, 0.1, -0.2))["deepest_fits_worse"] == "contradicted"


def test_a_missing_piece_fails():
    rows = made(0.1, 0.1, 0.0)
    assert verdicts(rows)["depth_makes_pieces"] == "holds"
    rows.loc[rows["part"].eq("pieces") & rows["depth"].eq(4), "doubled"] = False
    assert verdicts(rows)["depth_makes_pieces"] == "fails"
