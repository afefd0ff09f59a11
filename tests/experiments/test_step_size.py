"""The experiment `step_size`: what its rows say, and that its verdicts can fall either way."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from difflab.lab.cases import load
from difflab.lab.results import findings_of

EXPERIMENT = load(Path(__file__).parents[2] / "experiments" / "step_size.py")
FUNCTIONS = ("logistic_map_closed", "logistic_map_loop", "sine", "planck", "arctanh", "baydin")


@cache
def rows() -> pd.DataFrame:
    """Some functions in both dtypes, as the runner makes them."""
    found = []
    for function in FUNCTIONS:
        for dtype in ("float64", "float32"):
            case = {"function": function, "dtype": dtype, "kinds": ["ordinary"], "points": 1,
                    "components": 1, "each": 6, "orders": [2, 8]}  # fmt: skip
            measured = EXPERIMENT.measure(case, np.random.default_rng(0))
            found += [case | row for row in measured]
    return pd.DataFrame(found)


def summaries() -> pd.DataFrame:
    own = rows()
    own = own[(own["part"] == "summary") & (own["status"] == "ok") & (own["dtype"] == "float64")]
    return own.set_index(["function", "stencil", "order"]).sort_index()


def verdicts(table: pd.DataFrame) -> dict[str, str]:
    return {finding.claim.id: finding.verdict for finding in findings_of(EXPERIMENT, table)}


@pytest.mark.parametrize("function", FUNCTIONS[:2])
def test_the_logistic_map_has_the_published_derivative_and_a_v(function):
    own = summaries().loc[function]
    assert own["slope"].round(7).eq(9.0660864).all()
    for stencil, order in (("forward", 1), ("central", 2)):
        row = own.loc[(stencil, order)]
        assert abs(row["left"] + 1) < 0.1
        assert abs(row["right"] - order) < 0.1
        assert 1e-10 < row["step"] < 1e-4


def test_a_polynomial_of_degree_8_has_no_truncation_error_at_order_8():
    own = summaries().loc[("logistic_map_closed", "central", 8)]
    assert own["at_end"]
    assert own["step_predicted"] == pytest.approx(0.1)
    assert own["error_predicted"] < 1e-13


def test_every_step_of_these_functions_is_predicted():
    own = summaries().dropna(subset=["step_predicted"])
    assert len(own) >= 6 * 6
    assert np.abs(np.log(own["step_predicted"] / own["step"])).max() < np.log(3)
    assert np.abs(np.log(own["error_predicted"] / own["error"])).max() < np.log(10)
    assert (own["loss"] < 3).all()


def test_the_complex_step_stays_at_rounding_down_to_1e_200():
    own = summaries().xs("complex", level="stencil")
    assert len(own) == len(FUNCTIONS) + 1  # baydin has two arguments
    assert (own["error_tiny"] < 1e-14 * own["slope"].abs()).all()


def test_curves_hold_both_predicted_branches_over_all_steps():
    own = rows()
    own = own[(own["part"] == "curve") & (own["function"] == FUNCTIONS[0])]
    central = own[(own["stencil"] == "central") & (own["order"] == 2)]
    assert central["step"].min() <= 1e-20
    assert central["step"].max() == pytest.approx(0.1)
    assert central["truncation"].is_monotonic_increasing
    assert central["rounding"].is_monotonic_decreasing


def test_both_branches_are_confirmed_and_six_functions_say_little_of_nine_in_ten():
    found = verdicts(rows())
    branches = [verdict for claim, verdict in found.items() if "_branch_of_" in claim]
    assert branches == ["confirmed"] * 4
    assert of_predictions(found) == ["inconclusive"] * 2
    many = [rows().assign(function=rows()["function"] + suffix) for suffix in "abcdefg"]
    assert of_predictions(verdicts(pd.concat(many))) == ["confirmed"] * 2


def of_predictions(found: dict[str, str]) -> list[str]:
    return [verdict for claim, verdict in found.items() if claim.startswith("predicted_step_of_")]


@pytest.mark.parametrize(("column", "factor"), [("step_predicted", 5.0), ("error_predicted", 30.0)])
def test_a_predictor_that_is_off_is_refuted(column, factor):
    worse = rows().assign(**{column: rows()[column] * factor})
    found = verdicts(worse)
    assert of_predictions(found) == ["refuted", "refuted"]


def test_a_curve_without_a_prediction_counts_as_missed():
    lost = rows().copy()
    central = (lost["stencil"] == "central") & (lost["part"] == "summary")
    lost.loc[central, ["step_predicted", "error_predicted"]] = np.nan
    lost.loc[central & (lost["status"] == "ok"), "status"] = "not predicted"
    found = verdicts(lost)
    assert found["predicted_step_of_central_differences"] == "refuted"


def test_curves_that_fall_with_another_power_are_refuted():
    flat = rows().assign(right=1.5)
    found = [v for claim, v in verdicts(flat).items() if claim.startswith("truncation_branch_of_")]
    assert found == ["refuted", "refuted"]
