"""The operation counts of the logistic map meet their laws, and what swells is stopped."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sympy

from difflab import Symbolic, trace
from difflab.errors import BudgetError
from difflab.lab.cases import load
from difflab.lab.claims import claims

EXPERIMENT = load(Path(__file__).parents[2] / "experiments" / "expression_swell.py")
LAWS = sys.modules["_expression_swell_page"].LAWS
PROGRAMS: Any = sys.modules["apparatus.swell_programs"]


@cache
def counts(family: str, size: int) -> dict[str, Any]:
    case = {"part": "counts", "family": family, "size": size}
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
    assert PROGRAMS.sympy_counts([expanded], [sympy.diff(expanded, x)])["sympy_function"] != 18


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
    assert (np.diff([row["sympy_derivative"] for row in steps], n=2) > 0).all()


@pytest.mark.parametrize("family", ["sin x, nested", "1/(1 + exp(-x)), nested"])
def test_in_a_plain_chain_shared_expressions_are_reverse_mode(family: str) -> None:
    row = counts(family, 8)
    assert row["sympy_cse"] == row["reverse"] < row["sympy_derivative"]


def test_a_budget_stops_the_ladder_with_a_row_that_says_how_far_it_got() -> None:
    case = {"part": "budget", "family": "logistic map", "operations": 500}
    rows = list(EXPERIMENT.measure(case, None))
    *within, last = rows
    assert [row["size"] for row in rows] == list(range(1, len(rows) + 1))
    assert all(row["tree_derivative"] <= 500 for row in within)
    assert last["status"] == "stopped"
    assert "over the symbolic budget of 500" in last["reached"]


def test_a_chain_too_deep_for_sympy_is_a_budget_too() -> None:
    graph = trace(PROGRAMS.repeated(np.sin, 2000), 0.5)
    with pytest.raises(BudgetError, match="recursion"):
        Symbolic().derive(graph, [0])


def test_one_count_off_the_law_refutes_it() -> None:
    rows = pd.DataFrame([counts("logistic map", n) for n in range(2, 8)])
    law_holds = sys.modules[EXPERIMENT.measure.__module__].law_holds

    def verdict(law: Any) -> str:
        return claims(EXPERIMENT.file.parent)[law.claim].judge(law_holds(law, rows)).verdict

    assert verdict(LAWS[0]) == "confirmed"
    rows.loc[3, "sympy_function"] += 1
    assert verdict(LAWS[0]) == "refuted"
    assert verdict(LAWS[2]) == "inconclusive"  # four sizes from n = 4 on


def test_only_times_run_alone() -> None:
    assert EXPERIMENT.is_timed({"part": "time"})
    assert not EXPERIMENT.is_timed({"part": "counts"})
