"""The symbolic way: SymPy there and back."""

from __future__ import annotations

import numpy as np
import pytest
import sympy

import difflab
from difflab import Symbolic
from difflab.accuracy.truth import truth
from difflab.errors import ArgumentError, BudgetError, UnsupportedError
from difflab.methods.symbolic import tree_operations


def logistic(n):
    def f(x):
        for _ in range(n - 1):
            x = 4.0 * x * (1.0 - x)
        return x

    return f


def test_the_logistic_map_has_its_published_derivative():
    assert abs(difflab.derivative(logistic(4), method="symbolic")(0.2) - 9.0660864) < 1e-12


def test_expressions_swell_and_a_budget_stops_them():
    counts = [
        Symbolic(operations=10**9).derive(difflab.trace(logistic(n), 0.2), [0]).counts
        for n in (3, 4, 5)
    ]
    trees = [count["derivative tree"] for count in counts]
    assert trees[1] > 2 * trees[0] and trees[2] > 2 * trees[1]
    with pytest.raises(BudgetError, match="budget"):
        difflab.derivative(logistic(30), method=Symbolic(operations=1000))(0.2)
    with pytest.raises(BudgetError, match="seconds"):
        difflab.gradient(lambda x: np.sum(np.sin(x)), method=Symbolic(seconds=0.0))(np.ones(3))


@pytest.mark.parametrize("options", [{}, {"cse": False}, {"simplify": True}])
def test_options_change_the_program_and_not_the_value(options):
    f = difflab.derivative(
        lambda x: np.sin(x) ** 2 + np.cos(x) ** 2 + x, method=Symbolic(**options)
    )
    assert abs(f(0.7) - 1.0) < 1e-15


def test_sympy_expressions_become_numpy_functions():
    x, y = sympy.symbols("x y", real=True)
    expression = sympy.sin(x) * sympy.exp(-y) / (1 + x**2) + sympy.Piecewise((x, x > 0), (y, True))
    f = difflab.from_sympy(expression, (x, y))
    assert abs(f(0.5, 2.0) - float(expression.subs({x: 0.5, y: 2.0}))) < 1e-15
    assert f(np.array([0.5, -1.0]), 2.0).shape == (2,)
    slope = difflab.derivative(f)
    assert truth(f, 0.5, 2.0).ulps(slope(0.5, 2.0)) < 4.0


def test_what_sympy_cannot_say_is_refused():
    x = sympy.Symbol("x")
    with pytest.raises(UnsupportedError, match="zeta"):
        difflab.from_sympy(sympy.zeta(x), x)(2.0)
    with pytest.raises(ArgumentError, match="without a value"):
        difflab.from_sympy(x + sympy.Symbol("y"), x)
    with pytest.raises(ArgumentError, match="text"):
        difflab.from_sympy("x + 1", x)
    with pytest.raises(UnsupportedError, match="order"):
        difflab.gradient(lambda x: np.sort(x)[0], method="symbolic")(np.ones(3))


def test_tree_operations_counts_shared_parts_each_time():
    x = sympy.Symbol("x")
    part = sympy.sin(x) + x
    assert tree_operations(part) == 2
    assert tree_operations(sympy.cos(part) * part) == 6
