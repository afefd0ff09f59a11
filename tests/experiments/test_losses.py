"""The experiment `losses`: closed forms, where the textbook form breaks, and verdicts that can fall
either way.
"""

from __future__ import annotations

import itertools
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from difflab.lab.cases import load, preset
from difflab.lab.claims import claims, judge

FOLDER = Path(__file__).parents[2] / "experiments"
EXPERIMENT = load(FOLDER / "losses.py")
CE, SE, TEXTBOOK = "cross-entropy", "squared error", "textbook cross-entropy"


@cache
def at_logits(head: str, criterion: str, side: str = "wrong", dtype: str = "float64"):
    case = {"part": "logits", "head": head, "criterion": criterion, "side": side, "dtype": dtype,
            "points": 9, "seed": 0}  # fmt: skip
    rows = EXPERIMENT.measure(case, np.random.default_rng(0))
    return pd.DataFrame([case | row for row in rows])


def training(errors: dict[tuple[str, str, str], float], updates: dict[str, int]) -> pd.DataFrame:
    """Runs on digits of ten seeds: test errors, and when the training error was low."""
    rng = np.random.default_rng(0)
    rows = []
    for seed in range(10):
        luck = 0.02 * rng.random()
        for (head, criterion, solver), error in errors.items():
            case = {"part": "training", "data": "digits", "head": head, "criterion": criterion,
                    "solver": solver, "rate": 0.1, "seed": seed}  # fmt: skip
            run = {"held_error": error + luck + 0.001 * rng.random(), "diverged": False}
            run |= {"train_error": error / 2, "ece": error}
            reached = updates.get(criterion, 100)
            rows.append({**case, **run, "train_error": 0.01, "update": reached, "ece": np.nan})
            rows.append({**case, **run, "update": 1000})
    return pd.DataFrame(rows)


ERRORS = {
    ("softmax", CE, "gradient descent"): 0.02,
    ("softmax", SE, "gradient descent"): 0.04,
    ("sigmoid", CE, "gradient descent"): 0.02,
    ("sigmoid", SE, "gradient descent"): 0.04,
    ("identity", SE, "gradient descent"): 0.05,
    ("softmax", CE, "Adam"): 0.02,
    ("softmax", SE, "Adam"): 0.02,
    ("identity", SE, "Adam"): 0.015,
}


def forms(stopped: bool) -> pd.DataFrame:
    heads, kinds = ("softmax", "sigmoid"), (CE, TEXTBOOK)
    return pd.DataFrame(
        {"part": "forms", "head": head, "criterion": kind, "dtype": dtype, "seed": seed,
         "solver": "gradient descent", "data": "digits", "update": 1000,
         "diverged": stopped and kind == TEXTBOOK}
        for head, kind, dtype, seed in itertools.product(
            heads, kinds, ("float64", "float32"), range(10)
        )
    )  # fmt: skip


def verdicts(errors=ERRORS, updates=None, stopped: bool = True, edit=None) -> dict[str, str]:
    logits = [
        at_logits(head, kind, side, dtype)
        for head, kind in itertools.product(("softmax", "sigmoid"), (CE, SE, TEXTBOOK))
        for side, dtype in itertools.product(("wrong", "right"), ("float64", "float32"))
    ]
    more = [frame.assign(seed=seed) for seed in range(1, 4) for frame in logits]
    own = pd.concat([*logits, *more], ignore_index=True)
    if edit is not None:
        own = edit(own)
    runs = training(errors, updates or {CE: 100, SE: 300})
    rows = pd.concat([runs, forms(stopped), own], ignore_index=True)
    found = judge("losses", claims(FOLDER), EXPERIMENT.findings(rows))
    return {finding.claim.id: finding.verdict for finding in found}


# Closed forms -------------------------------------------------------------------------------------


def test_gradients_of_one_sigmoid_are_those_of_the_closed_form():
    away = at_logits("sigmoid", SE)["away"]
    p = np.exp(-away) / (1 + np.exp(-away))
    for criterion, expected in ((SE, p * (1 - p) ** 2), (CE, 1 - p)):
        own = at_logits("sigmoid", criterion)
        normal = expected > 1e-300
        assert own["true_slope"][normal].to_numpy() == pytest.approx(expected[normal], rel=1e-11)


def test_a_linear_output_has_a_gradient_that_grows():
    own = at_logits("identity", SE)
    assert own["slope"].to_numpy() == pytest.approx(1 + own["away"].to_numpy())


def test_the_gradient_of_squared_error_underflows_and_that_of_cross_entropy_is_one():
    for head in ("softmax", "sigmoid"):
        assert at_logits(head, SE)["slope"].iloc[-1] == 0.0
        assert at_logits(head, CE)["slope"].iloc[-1] == 1.0


@pytest.mark.parametrize("head", ["softmax", "sigmoid"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("side", ["wrong", "right"])
def test_only_the_textbook_form_breaks(head, dtype, side):
    assert at_logits(head, CE, side, dtype)["finite"].all()
    broken = at_logits(head, TEXTBOOK, side, dtype)
    assert not broken["finite"].iloc[-1]
    assert broken["finite"].iloc[0]


def test_the_textbook_form_of_a_sigmoid_breaks_early_where_it_is_right():
    """1 - p is 0 from a logit of 37 on; p itself underflows from 745 on."""
    first = {
        side: at_logits("sigmoid", TEXTBOOK, side).query("not finite")["away"].min()
        for side in ("wrong", "right")
    }
    assert 36 < first["right"] < 110
    assert 745 < first["wrong"] < 3300


# Cases --------------------------------------------------------------------------------------------


def test_the_textbook_form_is_trained_at_the_rate_of_the_fused_one():
    chosen = preset("smoke")
    rows = pd.DataFrame(
        case | {"update": 40, "held_error": abs(case["rate"] - 1.0), "held_loss": 1.0,
                "diverged": False}
        for case in EXPERIMENT.cases(chosen) if case["part"] == "tuning"
    )  # fmt: skip
    found = list(EXPERIMENT.after(chosen, rows))
    textbook = [case for case in found if case["criterion"] == TEXTBOOK]
    assert textbook
    assert {case["part"] for case in textbook} == {"forms"}
    assert {case["rate"] for case in found} == {1.0}
    assert "identity" not in {case["head"] for case in found if case["criterion"] == CE}


# Verdicts -----------------------------------------------------------------------------------------


def test_verdicts_on_planted_rows():
    found = verdicts()
    assert found["cross_entropy_for_softmax"] == "confirmed"
    assert found["cross_entropy_for_sigmoids"] == "confirmed"
    assert found["cross_entropy_for_one_sigmoid"] == "inconclusive"  # there are no such runs
    assert found["cross_entropy_of_softmax_needs_fewer_updates"] == "confirmed"
    assert found["cross_entropy_finds_better_minima"] == "confirmed"
    assert found["squared_error_with_linear_head"] == "confirmed"
    assert found["squared_error_is_better_calibrated"] == "refuted"
    assert found["squared_error_gradient_vanishes"] == "confirmed"
    assert found["cross_entropy_gradient_stays"] == "confirmed"
    assert found["fused_form_is_stable"] == "confirmed"
    assert found["textbook_form_of_sigmoids_stops_training"] == "confirmed"


def test_verdicts_turn_with_the_rows():
    swapped = {(head, {CE: SE, SE: CE}[kind], how): e for (head, kind, how), e in ERRORS.items()
               if head != "identity"}  # fmt: skip
    swapped |= {("identity", SE, how): 0.1 for how in ("Adam", "gradient descent")}
    found = verdicts(swapped, {CE: 300, SE: 100}, stopped=False)
    assert found["cross_entropy_for_softmax"] == "refuted"
    assert found["cross_entropy_for_sigmoids"] == "refuted"
    assert found["cross_entropy_of_softmax_needs_fewer_updates"] == "refuted"
    assert found["cross_entropy_finds_better_minima"] == "refuted"
    assert found["squared_error_with_linear_head"] == "refuted"
    assert found["squared_error_is_better_calibrated"] == "confirmed"
    assert found["textbook_form_of_softmax_stops_training"] == "refuted"


def test_a_linear_head_that_is_a_little_worse_is_comparable():
    a_little = ERRORS | {("identity", SE, "Adam"): 0.026}
    assert verdicts(a_little)["squared_error_with_linear_head"] == "weaker"


def test_one_nan_of_the_fused_form_refutes_and_another_exponent_too():
    def spoilt(rows: pd.DataFrame) -> pd.DataFrame:
        rows.loc[rows.index[rows["criterion"] == CE][0], "finite"] = False
        squared = rows["criterion"] == SE
        rows.loc[squared, "true_slope"] = np.sqrt(rows.loc[squared, "true_slope"])
        return rows

    found = verdicts(edit=spoilt)
    assert found["fused_form_is_stable"] == "refuted"
    assert found["squared_error_gradient_vanishes"] == "refuted"
