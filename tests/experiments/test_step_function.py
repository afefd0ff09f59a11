"""A step that stays, jumps that are counted, and findings on rows with planted faults."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from difflab.lab.cases import load, preset
from difflab.lab.findings import findings_of

FOLDER = Path(__file__).parents[2] / "experiments"
EXPERIMENT = load(FOLDER / "step_function.py")
MODULE = sys.modules[EXPERIMENT.measure.__module__]
RUN = {"part": "training", "network": "16-8-10", "method": "reverse", "updates": 40, "rate": 0.3,
       "seed": 1}  # fmt: skip


def measured(**case: object) -> pd.DataFrame:
    return pd.DataFrame(EXPERIMENT.measure(case, np.random.default_rng(0)))


def test_a_step_network_trains_its_last_layer_on_random_features() -> None:
    rows = measured(**RUN, activation="step")
    assert rows["untouched"].iloc[-1]
    assert rows["random_features"].iloc[-1]
    assert rows["loss"].iloc[-1] < rows["loss"].iloc[0]  # the last layer learns


def test_other_activations_and_wide_differences_move_the_hidden_layer() -> None:
    assert not measured(**RUN, activation="relu")["untouched"].iloc[-1]
    short = RUN | {"updates": 2, "method": "wide"}
    assert not measured(**short, activation="step")["untouched"].iloc[-1]


def test_every_method_says_zero_of_a_step_and_not_of_a_relu() -> None:
    rows = measured(part="zeros", network="16-8-10", batch=32, seed=0).set_index("activation")
    assert (rows.loc["step", "hidden_zero"] == 1.0).all()
    assert (rows.loc["relu", "hidden_zero"] < 0.5).all()


@pytest.mark.parametrize(("h", "wanted"), [(0.09, False), (0.11, True)])
def test_a_weight_jumps_where_a_unit_turns_on(h: float, wanted: bool) -> None:
    layer = {"W": np.array([[2.0, -2.0]]), "b": np.array([-2.1, 0.0])}
    found = MODULE.crossed(layer, np.array([[1.0]]), h)
    assert found.tolist() == [[wanted, False]]
    down = MODULE.crossed(layer, np.array([[-1.0]]), h)
    assert not down.any()


@pytest.mark.parametrize("size", ["smoke", "quick", "full"])
def test_tuned_rates_reach_the_training_cases(size: str) -> None:
    tuning = [case for case in EXPERIMENT.cases(preset(size)) if case["part"] == "tuning"]
    rows = pd.DataFrame(tuning).assign(update=1, held_loss=1.0, diverged=False)
    rows["held_error"] = (rows["rate"] - 0.3).abs()
    found = EXPERIMENT.after(preset(size), rows)
    assert {case["rate"] for case in found} == {0.3}
    assert len(found) == 8 * len(preset(size).seeds)
    assert {case["network"] for case in found} == {"64-32-10", "16-8-10"}


# Findings on synthetic rows -----------------------------------------------------------------------


def runs(
    *, moved: bool = False, relu: float = 0.05, wide: float = 0.2, exponent: float = 1.0
) -> pd.DataFrame:
    """Ten seeds of every configuration, and of jumps; the step errs on a tenth."""
    held = {("step", "reverse"): 0.1, ("sigmoid", "reverse"): 0.07, ("relu", "reverse"): relu,
            ("step", "wide"): wide, ("step", "theory"): 0.1}  # fmt: skip
    trained = [
        {"part": part, "network": net, "activation": activation, "method": method, "seed": seed,
         "rate": rate, "update": 9, "last": True, "settled": True, "diverged": False,
         "held_error": error + 1e-4 * seed * rate, "held_loss": rate,
         "untouched": activation == "step" and method == "reverse" and not (moved and seed == 4),
         "random_features": not (moved and seed == 4)}
        for net in ("64-32-10", "16-8-10")
        for (activation, method), error in held.items()
        for part, rate in (("tuning", 0.1), ("tuning", 0.3), ("tuning", 1.0), ("training", 0.3))
        for seed in range(10)
    ]  # fmt: skip
    jumped = [
        {"part": "jumps", "seed": seed, "h": h, "observed": True, "share": h**exponent,
         "median_size": (1 + 0.1 * seed) / h**exponent}
        for seed in range(10) for h in np.logspace(-3, -2, 5)
    ]  # fmt: skip
    return pd.DataFrame(trained + jumped)


def verdicts(rows: pd.DataFrame) -> dict[str, str]:
    return {finding["id"]: finding["verdict"] for finding in findings_of(EXPERIMENT, rows)}


@pytest.mark.parametrize(("moved", "wanted"), [(False, "holds"), (True, "fails")])
def test_one_weight_that_moves_refutes(moved: bool, wanted: str) -> None:
    found = verdicts(runs(moved=moved))
    assert found["step_has_zero_gradients"] == wanted
    assert found["step_is_random_features"] == wanted


@pytest.mark.parametrize(("error", "wanted"), [(0.05, "reproduced"), (0.15, "contradicted")])
def test_gaps_follow_the_errors(error: float, wanted: str) -> None:
    found = verdicts(runs(relu=error, wide=error))
    assert found["step_is_worse_than_relu"] == wanted
    assert found["wide_differences_train_a_step"] == wanted


@pytest.mark.parametrize(
    ("exponent", "wanted"), [(1.0, "reproduced"), (2.0, "not reproduced here")]
)
def test_laws_of_jumps_are_fitted(exponent: float, wanted: str) -> None:
    found = verdicts(runs(exponent=exponent))
    assert found["jumps_in_proportion_to_h"] == wanted
    assert found["jumps_are_as_one_over_h"] == wanted
