"""The experiment `step_size`: what its rows say, and that its verdicts can fall either way."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from difflab.lab.cases import load
from difflab.lab.findings import findings_of

EXPERIMENT = load(Path(__file__).parents[2] / "experiments" / "step_size.py")
FUNCTIONS = ("logistic_map_closed", "logistic_map_loop", "sine", "planck", "arctanh", "baydin")


@cache
def rows() -> pd.DataFrame:
    """Some functions, as the runner makes them."""
    found = []
    for function in FUNCTIONS:
        case = {"function": function, "kinds": ["ordinary"], "points": 1, "components": 1,
                "each": 6}  # fmt: skip
        found += [case | row for row in EXPERIMENT.measure(case, np.random.default_rng(0))]
    return pd.DataFrame(found)


def summaries() -> pd.DataFrame:
    own = rows()
    return own[own["part"] == "function"].set_index(["function", "stencil"]).sort_index()


def verdicts(table: pd.DataFrame) -> dict[str, str]:
    return {finding["id"]: finding["verdict"] for finding in findings_of(EXPERIMENT, table)}


def many() -> pd.DataFrame:
    """The rows as if of seven times as many functions."""
    return pd.concat([rows().assign(function=rows()["function"] + k) for k in "abcdefg"])


def of_predictions(found: dict[str, str]) -> list[str]:
    return [verdict for claim, verdict in found.items() if claim.startswith("predicted_step_of_")]


@pytest.mark.parametrize("function", FUNCTIONS[:2])
def test_the_logistic_map_has_a_v(function):
    for order, stencil in ((1, "forward 1"), (2, "central 2")):
        row = summaries().loc[(function, stencil)]
        assert abs(row["left"] + 1) < 0.1
        assert abs(row["right"] - order) < 0.1
        assert 1e-10 < row["step"] < 1e-4


def test_a_polynomial_of_degree_8_has_no_truncation_error_at_order_8():
    row = summaries().loc[("logistic_map_closed", "central 8")]
    assert row["inside"] == 0
    assert row["both"]


def test_every_step_of_these_functions_is_predicted():
    own = summaries().dropna(subset=["step_predicted"])
    assert len(own) >= 6 * 4
    assert np.abs(np.log(own["step_predicted"] / own["step"])).max() < np.log(3)
    assert np.abs(np.log(own["error_predicted"] / own["error"])).max() < np.log(10)
    assert (own["loss"] < 3).all()


def test_the_complex_step_stays_at_rounding_down_to_1e_200():
    own = summaries().xs("complex step", level="stencil")
    assert len(own) == len(FUNCTIONS)
    assert own["flat"].all()


def test_curves_hold_both_predicted_branches_over_all_steps():
    own = rows()
    own = own[(own["part"] == "curve") & (own["function"] == FUNCTIONS[0])]
    central = own[own["stencil"] == "central 2"]
    assert central["step"].min() <= 1e-20
    assert central["step"].max() == pytest.approx(0.1)
    assert central["truncation"].is_monotonic_increasing
    assert central["rounding"].is_monotonic_decreasing


def test_both_branches_are_reproduced_and_six_functions_say_little_of_nine_in_ten():
    found = verdicts(many())
    branches = [verdict for claim, verdict in found.items() if "_branch_of_" in claim]
    assert branches == ["reproduced"] * 4
    assert of_predictions(found) == ["reproduced"] * 2
    assert of_predictions(verdicts(rows())) == ["undecided"] * 2


def test_a_predictor_that_is_off_is_contradicted():
    worse = many().assign(both=False)
    assert of_predictions(verdicts(worse)) == ["contradicted"] * 2


@pytest.mark.parametrize("factor", [0.1, 20.0])
def test_an_error_off_by_more_than_its_factor_is_not_predicted(factor):
    within = EXPERIMENT.measure.__globals__["within"]
    assert within(9.0, 10.0)
    assert not within(factor, 9.0)


def test_curves_that_rise_with_another_power_are_not_reproduced():
    found = verdicts(many().assign(right=1.5))
    branches = [v for claim, v in found.items() if claim.startswith("truncation_branch_of_")]
    assert branches == ["not reproduced here"] * 2
