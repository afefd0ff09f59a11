"""The growth of cost, in operations; and what is timed, without its seconds."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from difflab.accuracy.truth import truth
from difflab.lab import exponent
from difflab.lab.cases import load, preset
from difflab.lab.findings import findings_of

EXPERIMENT = load(Path(__file__).parents[2] / "experiments" / "cost.py")
COST: Any = sys.modules[EXPERIMENT.measure.__module__]
PROGRAMS: Any = sys.modules["apparatus.cost_programs"]


def verdicts(rows: pd.DataFrame) -> dict[str, str]:
    return {found["id"]: found["verdict"] for found in findings_of(EXPERIMENT, rows)}


@cache
def counted() -> pd.DataFrame:
    """The counts of the smoke preset's programs that are not written out."""
    cases = [case for case in EXPERIMENT.cases(preset("smoke")) if case["part"] == "growth"]
    rows = [case | row for case in cases for row in EXPERIMENT.measure(case, None)]
    return pd.DataFrame(rows).assign(n=1)


@pytest.mark.parametrize(
    ("claim", "methods", "wanted"),
    [
        ("forward_grows_with_inputs", ["forward"], 1.0),
        ("differences_grow_with_inputs", list(COST.DIFFERENCES), 1.0),
        ("reverse_does_not_grow", ["reverse"], 0.0),
    ],
)
def test_the_exponent_of_the_number_of_inputs(
    claim: str, methods: list[str], wanted: float
) -> None:
    own = counted()
    found = exponent(claim, own, "inputs", "relative", where={"method": methods},
                     by="label", unit="function")  # fmt: skip
    for part in found.parts:
        assert part.interval is not None
        assert part.interval.estimate == pytest.approx(wanted, abs=0.1)
    bent = own.assign(relative=own["relative"] * own["inputs"])
    squared = exponent(claim, bent, "inputs", "relative", where={"method": methods}, by="label",
                       unit="function")  # fmt: skip
    assert all(abs(part.values[0] - wanted) > 0.9 for part in squared.parts)


def test_the_evaluations_of_differences_and_complex_steps() -> None:
    own = counted()
    for method, each in (("central_difference", 2), ("complex_step", 1), ("reverse", 0)):
        part = own[own["method"] == method]
        assert (part["evaluations"] == (each * part["inputs"] if each else 1)).all()


@pytest.mark.parametrize("function", ["Helmholtz", "Rosenbrock", "network"])
def test_one_reverse_pass_gives_all_and_one_forward_pass_one(function: str) -> None:
    case = {"part": "passes", "function": function, "size": 4}
    rows = pd.DataFrame([case | row for row in EXPERIMENT.measure(case, None)])
    own = rows.set_index("method")
    n = own.loc["reverse", "inputs"]
    assert own.loc["reverse", ["passes", "numbers", "right"]].to_list() == [1, n, n]
    assert own.loc["forward", ["passes", "numbers", "right"]].to_list() == [n, 1, n]
    assert (own["relative"] < 5).all()
    assert own["as_claimed"].all()


def test_modes_break_even_near_as_many_inputs_as_outputs() -> None:
    case = {"part": "shapes", "product": 256}
    rows = pd.DataFrame([case | row for row in EXPERIMENT.measure(case, None)])
    assert rows["crossing"].nunique() == 1
    assert 0.8 < rows["crossing"][0] < 1.25
    narrow = rows.loc[rows["inputs"].idxmin()]
    assert narrow["forward"] < 5 < narrow["reverse"]


def test_the_bound_of_a_cheap_gradient_holds_for_all_but_single_primitives() -> None:
    rows = pd.DataFrame(list(EXPERIMENT.measure({"part": "zoo"}, None))).assign(part="zoo")
    assert len(rows) > 50
    assert rows.loc[~rows["cheap"], "function_operations"].max() <= 3


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


def test_only_times_run_alone() -> None:
    for case in EXPERIMENT.cases(preset("full")):
        assert EXPERIMENT.is_timed(case) == ("rounds" in case)
