"""The growth of cost, in operations; and what is timed, without its seconds."""

from __future__ import annotations

import math
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from difflab.accuracy.truth import truth
from difflab.lab.cases import load, preset
from difflab.lab.claims import Evidence, claims

EXPERIMENT = load(Path(__file__).parents[2] / "experiments" / "cost.py")
COST: Any = sys.modules[EXPERIMENT.measure.__module__]
PAGE: Any = sys.modules["_cost_page"]
PROGRAMS: Any = sys.modules["apparatus.cost_programs"]
GROWTH: Any = sys.modules["apparatus.growth"]
CLAIMS = claims(EXPERIMENT.file.parent)


def verdict(evidence: Evidence) -> str:
    return CLAIMS[evidence.claim].judge(evidence).verdict


@cache
def counted() -> pd.DataFrame:
    """The quick preset's counts, but for SymPy's."""
    cases = [case for case in EXPERIMENT.cases(preset("quick")) if case["part"] == "counts"]
    rows = []
    for case in cases:
        if case["size"] > 20 or case["function"] == "Helmholtz":
            rows += [case | row for row in EXPERIMENT.measure(case, np.random.default_rng(0))]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("method", "exponent"),
    [
        ("forward", 1.0),
        ("forward_difference", 1.0),
        ("central_difference", 1.0),
        ("complex_step", 1.0),
        ("reverse", 0.0),
    ],
)
def test_the_exponent_of_the_number_of_inputs(method: str, exponent: float) -> None:
    fits = {key[0]: fit for key, fit in PAGE.growth(counted()).items() if key[1] == method}
    assert fits.keys() >= {"Helmholtz", "Rosenbrock"}
    for fit in fits.values():
        assert exponent - 0.1 < fit.low <= fit.high < exponent + 0.1


def test_a_gradient_by_reverse_mode_costs_less_than_three_functions() -> None:
    own = counted()
    assert (own.loc[own["method"] == "reverse", "relative"] < 3.0).all()


def test_the_evaluations_of_differences_and_complex_steps() -> None:
    own = counted()
    for method, each in (("central_difference", 2), ("complex_step", 1), ("reverse", 0)):
        part = own[own["method"] == method]
        assert (part["evaluations"] == (each * part["inputs"] if each else 1)).all()


def test_another_growth_is_refuted() -> None:
    own = counted()
    squared = own.assign(relative=own["relative"] ** 2)
    in_proportion, constant = "forward_grows_with_inputs", "reverse_does_not_grow"
    assert verdict(COST.grows(own, in_proportion, ["forward"], 1.0)) == "confirmed"
    assert verdict(COST.grows(squared, in_proportion, ["forward"], 1.0)) == "refuted"
    assert verdict(COST.grows(own, constant, ["forward"], 0.0)) == "refuted"


@pytest.mark.parametrize("function", ["Helmholtz", "Rosenbrock", "network"])
def test_one_reverse_pass_gives_all_and_one_forward_pass_one(function: str) -> None:
    case = {"part": "passes", "function": function, "size": 4}
    rows = pd.DataFrame([case | row for row in EXPERIMENT.measure(case, None)])
    own = rows.set_index("method")
    n = own.loc["reverse", "inputs"]
    assert own.loc["reverse", ["passes", "numbers", "right"]].to_list() == [1, n, n]
    assert own.loc["forward", ["passes", "numbers", "right"]].to_list() == [n, 1, n]
    assert (own["relative"] < 5).all()
    several = pd.concat([rows] * 5)
    assert {verdict(item) for item in COST.passes_needed(several)} == {"confirmed"}
    wrong = several.assign(right=several["right"] - (np.arange(10) < 2))
    assert {verdict(item) for item in COST.passes_needed(wrong)} == {"refuted"}


def test_modes_break_even_near_as_many_inputs_as_outputs() -> None:
    case = {"part": "shapes", "product": 256}
    rows = pd.DataFrame([case | row for row in EXPERIMENT.measure(case, None)])
    (crossing,) = PAGE.crossings(rows)
    assert 0.8 < crossing < 1.25
    narrow = rows.loc[rows["inputs"].idxmin()]
    assert narrow["forward"] < 5 < narrow["reverse"]


def test_the_bound_of_a_cheap_gradient_holds_for_all_but_single_primitives() -> None:
    rows = pd.DataFrame(list(EXPERIMENT.measure({"part": "zoo"}, None))).assign(part="zoo")
    assert len(rows) > 50
    over = PAGE.over_bound(rows)
    assert over["function_operations"].max() <= 3
    assert verdict(COST.cheap_everywhere(rows)) == ("refuted" if len(over) else "confirmed")


def test_a_long_gradient_repeats_as_its_point_does() -> None:
    program = PROGRAMS.rosenbrock(70)
    (known,) = PROGRAMS.true_gradient("Rosenbrock", 70)
    assert np.array_equal(known, truth(program.f, *program.args).midpoint)


def test_a_gradient_that_is_wrong_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    case = {"part": "time", "function": "Helmholtz", "size": 9, "rounds": 1, "sample": 1e-5}
    monkeypatch.setitem(COST.AGREES, False, 0.0)
    rows = pd.DataFrame(list(EXPERIMENT.measure(case, None))).set_index("method")
    timed = rows["seconds"].notna()
    assert timed[["function", "function (again)", "reverse", "forward", "complex_step"]].all()
    assert not timed[["forward_difference", "central_difference"]].any()
    assert rows.loc["reverse", "agrees"] and not rows.loc["forward_difference", "agrees"]


@pytest.mark.parametrize(
    ("high", "expected"), [(2.5, "confirmed"), (5.5, "inconclusive"), (None, "refuted")]
)
def test_a_noisy_time_is_no_refutation(high: float | None, expected: str) -> None:
    ratio = {"ratio": 2.0, "ratio_low": 1.5, "ratio_high": high}
    if high is None:
        ratio = {"ratio": 6.0, "ratio_low": 5.5, "ratio_high": 6.5}
    row = {"part": "time", "method": "reverse", "function": "network", "inputs": 9, "seconds": 1.0}
    rows = pd.DataFrame([row | ratio | {"rounds": 9, "noise": 0.1}])
    assert verdict(COST.cheap_in_time(rows)) == expected


@pytest.mark.parametrize(
    ("own", "other", "calls"),
    [
        ((10.0, 1.0), (4.0, 3.0), 3.0),  # slower to derive, faster to run: after three calls
        ((4.0, 3.0), (10.0, 1.0), -3.0),  # the other way round: up to three calls
        ((4.0, 1.0), (10.0, 3.0), 0.0),
        ((10.0, 3.0), (4.0, 1.0), math.inf),
        ((10.0, 1.0), (4.0, 1.05), math.inf),  # runs no faster than the noise
        ((4.0, 1.05), (10.0, 1.0), 0.0),
    ],
)
def test_after_how_many_calls_a_method_pays_off(
    own: tuple[float, float], other: tuple[float, float], calls: float
) -> None:
    assert PAGE.break_even(*own, *other, noise=0.1) == calls


def test_a_power_law_has_its_exponent_and_too_few_sizes_have_none() -> None:
    sizes = pd.Series([1, 2, 4, 8])
    fit = GROWTH.fitted_exponent(sizes, 3 * sizes**2)
    assert fit.estimate == pytest.approx(2.0) and fit.high - fit.low < 1e-12
    bent = GROWTH.fitted_exponent(sizes, sizes + 4)
    assert bent.low < bent.estimate < bent.high and bent.estimate < 0.7
    assert math.isnan(GROWTH.fitted_exponent(sizes[:2], sizes[:2]).low)


def test_only_times_run_alone() -> None:
    for case in EXPERIMENT.cases(preset("full")):
        assert EXPERIMENT.is_timed(case) == ("rounds" in case)
