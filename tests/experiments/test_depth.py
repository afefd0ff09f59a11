"""The experiment `depth`: laws of its networks, and verdicts that follow the rows."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from difflab.lab.cases import load, preset
from difflab.lab.claims import claims

FOLDER = Path(__file__).parents[2] / "experiments"
EXPERIMENT = load(FOLDER / "depth.py")
CLAIMS = claims(FOLDER)
DEPTH: Any = sys.modules[EXPERIMENT.measure.__module__]
PAGE: Any = sys.modules["_depth_page"]


def made(one: float, deep: float, deepest_train: float, seeds: int = 10) -> pd.DataFrame:
    """Rows of a data set where 1, 2 and 8 hidden layers err so much on test data.

    Validation finds 8 layers better than 2 by a hair, whatever the test says.
    """
    rng = np.random.default_rng(0)
    rows = []
    for depth, held, train, validation in (
        (1, one, 0.0, 0.30),
        (2, deep, 0.0, 0.20),
        (8, 0.9, deepest_train, 0.21),
    ):
        about = {"data": "digits", "budget": 2000, "depth": depth, "updates": 9, "update": 9}
        about |= {"width": 9, "parameters": 2000, "diverged": False, "held_loss": 1.0}
        for rate in (0.1, 0.2, 0.4):
            error = validation + (rate != 0.2)
            tuning = {"part": "tuning", "rate": rate, "seed": 0, "held_error": error}
            rows.append(about | tuning)
        for seed in range(seeds):
            noise = 0.002 * rng.normal()
            found = {"held_error": held + noise, "train_error": train}
            rows.append(about | {"part": "training", "rate": 0.2, "seed": seed} | found)
    rows += [{"part": "pieces", **DEPTH.count_pieces(k), "depth": k} for k in range(1, 7)]
    return pd.DataFrame(rows)


def verdicts(rows: pd.DataFrame) -> dict[str, str]:
    return {x.claim: CLAIMS[x.claim].judge(x).verdict for x in DEPTH.findings(rows)}


def test_equal_numbers_of_parameters():
    for case in DEPTH.configurations(preset("full")):
        inputs, depth = DEPTH.INPUTS[case["data"]], case["depth"]
        width = DEPTH.width_for(inputs, depth, case["budget"])
        net = DEPTH.network(inputs, depth, width)
        count = sum(layer.size for layer in net.layers)
        assert count == DEPTH.parameter_count(inputs, depth, width)
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


def test_the_depth_is_chosen_on_validation_and_not_on_test():
    rows = made(one=0.05, deep=0.04, deepest_train=0.0)
    at_the_best = (rows["depth"] == 8) & (rows["part"] == "training")
    rows.loc[at_the_best, "held_error"] = 0.0  # best on the test part, not on validation
    assert PAGE.chosen_depths(rows)["digits", 2000] == 2


@pytest.mark.parametrize(
    ("one", "deep", "verdict"),
    [(0.08, 0.04, "confirmed"), (0.04, 0.08, "refuted"), (0.05, 0.05, "inconclusive")],
)
def test_the_verdict_on_depth_follows_the_rows(one, deep, verdict):
    assert verdicts(made(one, deep, 0.0))["deep_beats_shallow"] == verdict


def test_few_seeds_decide_nothing():
    assert verdicts(made(0.08, 0.04, 0.0, seeds=3))["deep_beats_shallow"] == "inconclusive"


def test_the_weakest_data_set_decides():
    worse = made(0.04, 0.08, 0.0).assign(data="mnist1d")
    rows = pd.concat([made(0.30, 0.04, 0.0), worse[worse["part"] != "pieces"]])
    assert verdicts(rows)["deep_beats_shallow"] == "refuted"


def test_training_errors_decide_whether_the_deepest_fit_worse():
    assert verdicts(made(0.1, 0.1, 0.2))["deepest_fits_worse"] == "confirmed"
    assert verdicts(made(0.1, 0.1, 0.0))["deepest_fits_worse"] == "refuted"


def test_a_missing_piece_refutes():
    rows = made(0.1, 0.1, 0.0)
    rows.loc[rows["part"].eq("pieces") & rows["depth"].eq(4), "pieces"] = 15
    assert verdicts(rows)["depth_makes_pieces"] == "refuted"
    assert verdicts(made(0.1, 0.1, 0.0))["depth_makes_pieces"] == "confirmed"


def test_a_diverged_seed_is_counted_and_left_out():
    rows = made(0.08, 0.04, 0.0)
    own = rows["part"].eq("training") & rows["seed"].eq(3) & rows["depth"].eq(2)
    rows.loc[own, ["held_error", "train_error"]] = np.nan
    assert [evidence.n for evidence in DEPTH.findings(rows)[:2]] == [9, 9]
    assert PAGE.results(rows).frame["diverged"].tolist() == ["0 of 10", "1 of 10", "0 of 10"]
