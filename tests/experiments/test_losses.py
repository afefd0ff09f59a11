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
from difflab.lab.findings import findings_of
from difflab.networks import SquaredError

FOLDER = Path(__file__).parents[2] / "experiments"
EXPERIMENT = load(FOLDER / "losses.py")
CE, SE, TEXTBOOK = "cross-entropy", "squared error", "textbook cross-entropy"
SGD, ADAM = "gradient descent", "Adam"


@cache
def at_logits(head: str, criterion: str, side: str = "wrong", dtype: str = "float64"):
    case = {"part": "logits", "head": head, "criterion": criterion, "side": side, "dtype": dtype,
            "points": 9, "seed": 0}  # fmt: skip
    rows = EXPERIMENT.measure(case, np.random.default_rng(0))
    return pd.DataFrame([case | row for row in rows])


def runs(
    errors: dict[tuple[str, str, str], float], reached: dict[str, float], data: str = "digits"
):
    """A tuning run at each of three rates and training runs of ten seeds."""
    rng, rows = np.random.default_rng(0), []
    for (head, criterion, solver), error in errors.items():
        one = {"data": data, "head": head, "criterion": criterion, "solver": solver, "update": 99,
               "last": True, "diverged": False, "settled": True, "held_loss": 1.0}  # fmt: skip
        for rate in (0.1, 0.3, 1.0):
            tuned = {"part": "tuning", "seed": 0, "rate": rate, "held_error": abs(rate - 0.3)}
            rows.append(one | tuned)
        luck = np.random.default_rng(1).random(10)
        for seed in range(10):
            own = error + 0.02 * luck[seed] + 0.001 * rng.random()
            rows.append({**one, "part": "training", "seed": seed, "rate": 0.3, "held_error": own,
                         "train_error": own / 2, "ece": own,
                         "reached": reached[criterion] * (1 + 0.1 * rng.random())})  # fmt: skip
    return pd.DataFrame(rows)


ERRORS = {
    ("softmax", CE, SGD): 0.02,
    ("softmax", SE, SGD): 0.04,
    ("sigmoid", CE, SGD): 0.02,
    ("sigmoid", SE, SGD): 0.04,
    ("softmax", CE, ADAM): 0.02,
    ("identity", SE, ADAM): 0.015,
}
SWAPPED = {(head, {CE: SE, SE: CE}[kind], how): e for (head, kind, how), e in ERRORS.items()
           if how == SGD} | {("softmax", CE, ADAM): 0.02, ("identity", SE, ADAM): 0.1}  # fmt: skip
SOONER, LATER = {CE: 100.0, SE: 300.0}, {CE: 300.0, SE: 100.0}


def forms(stopped: bool) -> pd.DataFrame:
    return pd.DataFrame(
        {"part": "forms", "head": head, "criterion": kind, "dtype": dtype, "seed": seed,
         "data": "digits", "solver": SGD, "diverged": stopped and kind == TEXTBOOK, "last": True,
         "finite": not (stopped and kind == TEXTBOOK)}
        for head, kind, dtype, seed in itertools.product(
            ("softmax", "sigmoid"), (CE, TEXTBOOK), ("float64", "float32"), range(10)
        )
    )  # fmt: skip


def findings(*measured: pd.DataFrame, stopped: bool = True, edit=None) -> dict[str, dict]:
    logits = pd.concat(
        [at_logits(head, kind, side, dtype)
         for head, kind in itertools.product(("softmax", "sigmoid"), (CE, SE, TEXTBOOK))
         for side, dtype in itertools.product(("wrong", "right"), ("float64", "float32"))],
        ignore_index=True,
    )  # fmt: skip
    logits = edit(logits) if edit else logits
    rows = pd.concat([*measured, forms(stopped), logits], ignore_index=True)
    return {one["id"]: one for one in findings_of(EXPERIMENT, rows)}


def verdicts(*measured: pd.DataFrame, **options) -> dict[str, str]:
    return {name: one["verdict"] for name, one in findings(*measured, **options).items()}


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
        case | {"update": 40, "held_error": case["rate"], "held_loss": 1.0, "diverged": False}
        for case in EXPERIMENT.cases(chosen)
        if case["part"] == "tuning"
    )
    found = pd.DataFrame(EXPERIMENT.after(chosen, rows))
    textbook = found[found["criterion"] == TEXTBOOK]
    assert set(textbook["part"]) == {"forms"}
    for head, own in textbook.groupby("head"):
        tuned = rows[rows["head"].eq(head) & rows["criterion"].eq(CE) & rows["solver"].eq(SGD)]
        assert set(own["rate"]) == {tuned["rate"].min()}
    assert "identity" not in set(found[found["criterion"] == CE]["head"])


# Verdicts -----------------------------------------------------------------------------------------


def test_verdicts_on_planted_rows():
    found = verdicts(runs(ERRORS, SOONER))
    assert found["cross_entropy_for_softmax"] == "reproduced"
    assert found["cross_entropy_for_sigmoids"] == "reproduced"
    assert found["cross_entropy_for_one_sigmoid"] == "undecided"  # there are no such runs
    assert found["cross_entropy_of_softmax_needs_fewer_updates"] == "reproduced"
    assert found["cross_entropy_finds_better_minima"] == "reproduced"
    assert found["squared_error_with_linear_head"] == "reproduced"
    assert found["squared_error_is_better_calibrated"] == "contradicted"
    assert found["squared_error_gradient_vanishes"] == "holds"
    assert found["cross_entropy_gradient_stays"] == "holds"
    assert found["fused_form_is_stable"] == "holds"
    assert found["textbook_form_of_sigmoids_stops_training"] == "reproduced"


def test_verdicts_turn_with_the_rows():
    found = verdicts(runs(SWAPPED, LATER), stopped=False)
    assert found["cross_entropy_for_softmax"] == "contradicted"
    assert found["cross_entropy_for_sigmoids"] == "contradicted"
    assert found["cross_entropy_of_softmax_needs_fewer_updates"] == "contradicted"
    assert found["cross_entropy_finds_better_minima"] == "contradicted"
    assert found["squared_error_with_linear_head"] == "contradicted"
    assert found["squared_error_is_better_calibrated"] == "reproduced"
    assert found["textbook_form_of_softmax_stops_training"] == "contradicted"


def test_a_data_set_that_says_otherwise_is_not_hidden():
    found = verdicts(runs(ERRORS, SOONER), runs(SWAPPED, LATER, "mnist1d"))
    assert found["cross_entropy_for_softmax"] == "depends"
    assert found["squared_error_is_better_calibrated"] == "depends"
    two = runs(SWAPPED, LATER, "breast_cancer")
    found = findings(runs(ERRORS, SOONER), two[two["head"] == "sigmoid"])
    own = found["cross_entropy_of_sigmoids_needs_fewer_updates"]
    assert {part["name"]: part["verdict"] for part in own["parts"]} == {
        "digits": "reproduced", "breast_cancer": "contradicted",
    }  # fmt: skip


def test_runs_that_never_arrive_are_counted():
    rows = runs(ERRORS, SOONER)
    rows.loc[rows["criterion"].eq(SE) & rows["seed"].ge(4), "reached"] = np.nan
    own = findings(rows)["cross_entropy_of_softmax_needs_fewer_updates"]
    assert (own["parts"][0]["n"], own["parts"][0]["failed"]) == (4, 6)
    assert own["verdict"] == "reproduced"  # one that never arrives is the slower one


def test_a_linear_head_within_the_margin_is_comparable():
    a_little = ERRORS | {("identity", SE, ADAM): 0.026}
    found = verdicts(runs(a_little, SOONER))
    assert found["squared_error_with_linear_head"] == "reproduced"


def test_one_point_that_is_off_fails_a_check():
    def spoilt(rows: pd.DataFrame) -> pd.DataFrame:
        rows.loc[rows.index[rows["criterion"] == CE][0], ["finite", "as_in_theory"]] = False
        return rows

    found = verdicts(runs(ERRORS, SOONER), edit=spoilt)
    assert found["fused_form_is_stable"] == "fails"
    assert found["cross_entropy_gradient_stays"] == "fails"
    assert found["squared_error_gradient_vanishes"] == "holds"


def test_a_slope_that_is_not_the_closed_forms_is_seen():
    as_in_theory = EXPERIMENT.measure.__globals__["as_in_theory"]

    case = {"side": "wrong", "head": "sigmoid", "dtype": "float64"}
    logits = np.array([-5.0, 0.0, -1.0])
    p = np.exp(-5.0) / (1 + np.exp(-5.0))
    right = p * (1 - p) ** 2
    assert as_in_theory(case, SquaredError(), logits, right, right)["as_in_theory"]
    for wrong in (right * (1 + 1e-13), right / 2, np.nan):
        assert not as_in_theory(case, SquaredError(), logits, wrong, right)["as_in_theory"]
