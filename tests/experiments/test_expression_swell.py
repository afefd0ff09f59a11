"""The operation counts of the logistic map meet their laws, and one count off refutes them."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sympy

from difflab.lab.cases import load
from difflab.lab.claims import claims
from difflab.lab.findings import plain

EXPERIMENT = load(Path(__file__).parents[2] / "experiments" / "expression_swell.py")
PROGRAMS: Any = sys.modules["apparatus.swell_programs"]
LAWS = PROGRAMS.LAWS


@cache
def counts(family: str, size: int) -> dict[str, Any]:
    case = {"part": "counts", "family": family, "size": size, "largest": size == 8}
    (row,) = EXPERIMENT.measure(case, np.random.default_rng(0))
    return case | row


@pytest.mark.parametrize("law", LAWS, ids=[law.column for law in LAWS])
def test_counts_of_the_logistic_map_are_equal_to_the_law(law: Any) -> None:
    for n in range(law.first, 9):
        assert counts("logistic map", n)[law.column] == law.value(n), n


def test_the_laws_are_those_of_the_published_expressions() -> None:
    at_ten = {law.column: law.value(10) for law in LAWS}
    assert at_ten == {
        "sympy_function": 1278,
        "sympy_derivative": 34048,
        "sympy_cse": 196,
        "loop": 54,
    }


def test_another_spelling_does_not_meet_the_law() -> None:
    x = sympy.Symbol("x")
    expanded = sympy.expand(PROGRAMS.logistic_map(4)(x))
    counted = PROGRAMS.expression_counts([expanded], [sympy.diff(expanded, x)])
    assert counted["sympy_function"] != 18


def test_the_loop_carries_the_derivative_of_its_own_step() -> None:
    x, dx = sympy.symbols("x dx")
    value, tangent = PROGRAMS.with_tangent(2)(x, dx)
    assert value == PROGRAMS.logistic_step(x)
    assert sympy.expand(tangent - sympy.diff(value, x) * dx) == 0


def test_every_way_gives_the_published_value() -> None:
    rows = pd.DataFrame(EXPERIMENT.measure({"part": "values"}, None))
    assert rows["as_printed"].all()
    assert (rows["value"].round(7) == 9.0660864).all()


def test_forward_and_reverse_mode_add_the_same_with_each_step() -> None:
    steps = [counts("logistic map", n) for n in range(4, 9)]
    for column in ("loop", "forward", "reverse"):
        added = np.diff([row[column] for row in steps])
        assert (added == added[0]).all()
    assert all(row["doubled"] for row in steps)


@pytest.mark.parametrize("family", ["sin x, nested", "1/(1 + exp(-x)), nested"])
def test_in_a_plain_chain_shared_expressions_are_reverse_mode(family: str) -> None:
    row = counts(family, 8)
    assert row["sympy_cse"] == row["reverse"] < row["sympy_derivative"]
    assert row["closed"] == 1.0
    assert row["alike"]


def test_one_count_off_the_law_refutes_it() -> None:
    known = claims(EXPERIMENT.file.parent)
    rows = pd.DataFrame([counts("logistic map", n) for n in range(2, 9)])
    rows = pd.concat([rows, pd.DataFrame([counts("sin x, nested", 8)])], ignore_index=True)
    rows["as_printed"] = True

    def verdict() -> str:
        found = {result.claim: result for result in EXPERIMENT.results(rows)}
        return str(plain(known[LAWS[0].claim], found[LAWS[0].claim])["verdict"])

    assert verdict() == "holds"
    rows.loc[3, LAWS[0].claim] = False
    assert verdict() == "fails"


def test_only_times_run_alone() -> None:
    assert EXPERIMENT.is_timed({"part": "time"})
    assert not EXPERIMENT.is_timed({"part": "counts"})
