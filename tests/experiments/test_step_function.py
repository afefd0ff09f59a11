"""A step that stays, jumps that are counted, and findings on rows with planted faults."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from difflab.lab.cases import load, preset
from difflab.lab.claims import claims

FOLDER = Path(__file__).parents[2] / "experiments"
EXPERIMENT = load(FOLDER / "step_function.py")
MODULE = sys.modules[EXPERIMENT.measure.__module__]
CLAIMS = claims(FOLDER)
RUN = {"part": "training", "sizes": [16, 8, 10], "method": "reverse", "updates": 40, "rate": 0.3,
       "seed": 1}  # fmt: skip


def measured(**case: object) -> pd.DataFrame:
    return pd.DataFrame(EXPERIMENT.measure(case, np.random.default_rng(0)))


def test_a_step_network_trains_its_last_layer_on_random_features() -> None:
    rows = measured(**RUN, activation="step")
    assert not rows["hidden_moved"].any()
    assert rows["same_weights"].all()
    assert (rows["features_error"] == rows["held_error"]).all()
    assert rows["features_loss"].to_numpy() == pytest.approx(rows["loss"].to_numpy(), rel=1e-12)
    assert rows["loss"].iloc[-1] < rows["loss"].iloc[0]  # the last layer learns


def test_other_activations_and_wide_differences_move_the_hidden_layer() -> None:
    assert measured(**RUN, activation="relu")["hidden_moved"].all()
    short = RUN | {"updates": 2, "method": "wide"}
    assert measured(**short, activation="step")["hidden_moved"].all()


def test_every_method_says_zero_of_a_step_and_not_of_a_relu() -> None:
    rows = measured(part="zeros", sizes=[16, 8, 10], batch=32, seed=0).set_index("activation")
    assert (rows.loc["step", "hidden_zero"] == 1.0).all()
    assert (rows.loc["step", "last_zero"] < 0.1).all()
    assert (rows.loc["relu", "hidden_zero"] < 0.5).all()


@pytest.mark.parametrize(("h", "wanted"), [(0.09, False), (0.11, True)])
def test_a_weight_jumps_where_a_unit_turns_on(h: float, wanted: bool) -> None:
    layer = {"W": np.array([[2.0, -2.0]]), "b": np.array([-2.1, 0.0])}
    found = MODULE.crossed(layer, np.array([[1.0]]), h, both=False)
    assert found.tolist() == [[wanted, False]]
    down = MODULE.crossed(layer, np.array([[-1.0]]), h, both=True)
    assert not down.any()


def test_differences_are_zero_unless_a_weight_jumps() -> None:
    rows = measured(part="stencil", sizes=[16, 8, 10], batch=64, seed=0, steps=[1e-6, 1e-2, 1e-1])
    assert (rows["unexplained"] < 1e-9).all()
    forward = rows[rows["stencil"] == "forward"]
    assert forward["crossed"].tolist() == forward["nonzero"].tolist()
    assert forward["crossed"].iloc[0] == 0 < forward["crossed"].iloc[1]


@pytest.mark.parametrize("size", ["smoke", "quick", "full"])
def test_tuned_rates_reach_the_training_cases(size: str) -> None:
    tuning = [case for case in EXPERIMENT.cases(preset(size)) if case["part"] == "tuning"]
    rows = pd.DataFrame(tuning).assign(update=1, held_loss=1.0, diverged=False)
    rows["held_error"] = (rows["rate"] - 0.3).abs()
    rows["sizes"] = ["[" + ",".join(map(str, sizes)) + "]" for sizes in rows["sizes"]]
    found = EXPERIMENT.after(preset(size), rows)
    assert {case["rate"] for case in found} == {0.3}
    assert len(found) == 7 * len(preset(size).seeds)
    assert {tuple(case["sizes"]) for case in found} == {(64, 32, 10), (16, 8, 10)}


# Findings on synthetic rows -----------------------------------------------------------------------


def runs(*, moved: bool = False, relu: float = 0.05, wide: float = 0.2) -> pd.DataFrame:
    """Ten seeds of every configuration; the step errs on a tenth."""
    held = {("step", "reverse"): 0.1, ("sigmoid", "reverse"): 0.07, ("relu", "reverse"): relu,
            ("step", "wide"): wide, ("step", "theory"): 0.1}  # fmt: skip
    return pd.DataFrame(
        {
            "part": "training", "sizes": sizes, "activation": activation, "method": method,
            "seed": seed, "update": 9, "updates": 9, "held_error": error,
            "hidden_moved": moved and seed == 4,
            "same_weights": not (moved and seed == 4),
            "features_error": 0.1 if (activation, method) == ("step", "reverse") else np.nan,
        }
        for sizes in ("[64,32,10]", "[16,8,10]")
        for (activation, method), error in held.items()
        for seed in range(10)
    )  # fmt: skip


def verdict(evidence: object) -> str:
    return CLAIMS[evidence.claim].judge(evidence).verdict


def test_one_weight_that_moves_refutes() -> None:
    zero = {"part": "zeros", "activation": "step", "method": "reverse", "hidden_zero": 1.0}
    for moved, wanted in ((False, "confirmed"), (True, "refuted")):
        rows = pd.concat([runs(moved=moved), pd.DataFrame([zero])])
        assert verdict(MODULE.zero_gradients(rows)) == wanted
        assert verdict(MODULE.only_the_last_layer(rows)) == wanted


@pytest.mark.parametrize(("error", "wanted"), [(0.05, "confirmed"), (0.15, "refuted")])
def test_gaps_follow_the_errors(error: float, wanted: str) -> None:
    rows = runs(relu=error, wide=error)
    assert verdict(MODULE.gap(rows, "relu", "step_is_worse_than_relu")) == wanted
    assert verdict(MODULE.wide_differences(rows)) == wanted


@pytest.mark.parametrize(("exponent", "wanted"), [(1.0, "confirmed"), (2.0, "refuted")])
def test_laws_of_jumps_are_fitted(exponent: float, wanted: str) -> None:
    steps = np.logspace(-6, -1, 81)
    seeds = [
        pd.DataFrame(
            {
                "part": "jumps", "seed": seed, "h": steps, "weights": 10**6,
                "crossed": np.minimum(10**6, 1e6 * (10 * steps) ** exponent).astype(int),
                "median_size": 1.0 / steps**exponent,
            }
        )
        for seed in range(5)
    ]  # fmt: skip
    rows = pd.concat(seeds, ignore_index=True)
    assert verdict(MODULE.jump_law(rows, "share", "jumps_in_proportion_to_h")) == wanted
    assert verdict(MODULE.jump_law(rows, "median_size", "jumps_are_as_one_over_h")) == wanted
