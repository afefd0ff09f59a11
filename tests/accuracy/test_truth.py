"""The oracle: enclosures, ulps, kinks."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

import difflab
from difflab.accuracy.compare import compare
from difflab.accuracy.truth import truth
from difflab.accuracy.zoo import ZOO
from difflab.errors import ArgumentError, DomainError

HARD = [
    (np.tanh, 20.0, 1.6993417021166355e-17),
    (difflab.sigmoid, 40.0, 4.248354255291589e-18),
    (np.expm1, -40.0, 4.248354255291589e-18),
]


@pytest.mark.parametrize(("f", "x", "value"), HARD)
def test_the_hard_points_have_their_published_derivatives(f, x, value):
    enclosure = truth(f, x)
    assert enclosure.midpoint == value and enclosure.ulps(value) <= 0.5
    assert enclosure.ulps(difflab.derivative(f)(x)) <= 2.0


def test_the_truth_of_a_polynomial_is_exact():
    def f(x):
        return x[0] ** 3 * x[1] - x[1] ** 2

    x = np.array([0.1, 0.7])
    a, b = (Fraction(float(v)) for v in x)
    exact = [3 * a**2 * b, a**3 - 2 * b]
    assert truth(f, x).midpoint.tolist() == [float(value) for value in exact]


def test_ulps_count_units_in_the_last_place():
    enclosure = truth(np.square, 0.5)
    assert enclosure.midpoint == 1.0 and enclosure.radius == 0.0
    assert enclosure.ulps(1.0) == 0.0 and enclosure.ulps(1.0 + 3 * 2.0**-52) == 3.0
    assert enclosure.ulps(np.inf) == np.inf
    in_single = truth(np.square, np.float32(0.5))
    assert in_single.ulps(np.float32(1.0) + np.finfo(np.float32).eps) == 1.0


def test_cancellation_is_seen_through():
    x = 1e-6
    enclosure = truth(lambda x: np.sin(x) / x, x)
    assert enclosure.sharp
    assert enclosure.midpoint == pytest.approx(-x / 3 + x**3 / 30, rel=1e-15)
    naive = difflab.derivative(lambda x: np.sin(x) / x)(x)
    assert enclosure.ulps(naive) > 1e3  # the digits are lost in the formula, not in the derivative


@pytest.mark.parametrize(
    ("f", "sides"),
    [(np.abs, (-1.0, 1.0)), (difflab.relu, (0.0, 1.0)), (lambda x: np.maximum(x, -x), (-1.0, 1.0))],
)
def test_a_kink_has_both_one_sided_derivatives(f, sides):
    (kink,) = truth(f, 0.0).kinks
    assert (kink.left, kink.right) == sides
    assert "from the left" in str(kink)
    assert truth(f, 0.1).kinks == ()


def test_a_branch_of_python_is_a_kink_too():
    def f(x):
        return x * x if x > 0 else -x

    (kink,) = truth(f, 0.0).kinks
    assert (kink.left, kink.right) == (-1.0, 0.0)


def test_a_smooth_join_is_no_kink():
    assert truth(lambda x: np.where(x > 0, x * x, 0.0), 0.0).kinks == ()


def test_a_jump_of_the_value_is_told_from_a_kink():
    (jump,) = truth(np.sign, 0.0).kinks
    assert jump.jump and (jump.left, jump.right) == (-1.0, 1.0) and "jump in x" in str(jump)
    (kink,) = truth(np.abs, 0.0).kinks
    assert not kink.jump


def test_sides_that_meet_but_for_rounding_are_no_kink():
    def halves(x):  # e^x by its series around 0, and by that of half the argument
        if x > 0.5:
            return sum(x**k / math.factorial(k) for k in range(30))
        return sum((x / 2) ** k / math.factorial(k) for k in range(30)) ** 2

    assert truth(halves, 0.5).kinks == ()


def test_a_branch_that_is_not_taken_has_no_influence():
    def root(x):
        return np.sum(np.where(x > 0, np.sqrt(x), 0.0))

    enclosure = truth(root, np.array([-1.0, 4.0]))
    assert enclosure.midpoint.tolist() == [0.0, 0.25]
    assert np.isnan(truth(lambda x: np.sqrt(x) + np.where(x > 0, 1.0, 0.0), -1.0).midpoint)


def test_second_derivatives():
    enclosure = truth(lambda x: x[0] ** 3 * x[1], np.array([0.5, 3.0]), order=2)
    assert enclosure.midpoint.tolist() == [[9.0, 0.75], [0.75, 0.0]]
    tree = truth(lambda p: p["a"] ** 2 * p["b"], {"a": 3.0, "b": 2.0}, order=2).midpoint
    assert tree == {"a": {"a": 4.0, "b": 6.0}, "b": {"a": 6.0, "b": 0.0}}
    (kink,) = truth(lambda x: difflab.relu(x) ** 2, 0.0, order=2).kinks
    assert (kink.left, kink.right) == (0.0, 2.0)


def test_wrong_arguments_are_refused():
    with pytest.raises(DomainError, match="NaN"):
        truth(np.sin, np.nan)
    with pytest.raises(DomainError, match="infinity"):
        truth(np.sin, np.inf)
    with pytest.raises(ArgumentError, match="integer"):
        truth(np.sin, 1)
    with pytest.raises(ArgumentError, match="shape"):
        truth(np.sum, np.ones(2)).ulps(np.ones(3))


def test_jacobians_and_trees_have_the_operators_shapes():
    x = np.array([1.0, 2.0])
    assert truth(lambda x: np.stack([x[0] * x[1], x[0]]), x).midpoint.tolist() == [
        [2.0, 1.0],
        [1.0, 0.0],
    ]
    tree = truth(lambda p: p["a"] * p["b"][0], {"a": 2.0, "b": [3.0]}).midpoint
    assert tree == {"a": 3.0, "b": [2.0]}
    assert truth(lambda x, y: x * y, 2.0, 3.0, argnums=(0, 1)).midpoint == (3.0, 2.0)


def test_compare_has_a_row_for_every_method_and_errors_against_the_truth():
    table = compare(lambda x: np.sum(np.sin(x)), np.array([0.5, 1.0])).table.set_index("method")
    assert set(table.index) == set(difflab.METHODS)
    exact = table.loc[["reverse", "forward", "symbolic", "complex_step"], "ulps_max"]
    assert (exact <= 1.0).all()
    assert table.loc["forward_difference", "ulps_max"] > 1e6
    assert table.loc["forward_difference", "evaluations"] == 4


def test_compare_says_why_a_method_fails():
    table = compare(lambda x: np.arctan2(x, 2.0), 1.0).table.set_index("method")
    assert "holomorphic" in table.loc["complex_step", "status"]
    assert compare(np.abs, 0.0, methods=["reverse"]).table.status[0] == "kink"


@pytest.mark.parametrize("name", sorted(ZOO))
def test_automatic_modes_are_near_the_truth_at_ordinary_points_of_the_zoo(name):
    function = ZOO[name]
    for point in function.points:
        if point.kind != "ordinary":
            continue
        numbers = tuple(range(len(point.args)))
        enclosure = truth(function.f, *point.args, argnums=numbers)
        for method in ("reverse", "forward"):
            found = difflab.jacobian(function.f, argnums=numbers, method=method)(*point.args)
            assert np.allclose(*map(_flat, (found, enclosure.midpoint)), rtol=1e-9, atol=1e-12)


def _flat(tree):
    from difflab.ir.tree import flatten

    return np.concatenate([np.ravel(leaf) for leaf in flatten(tree)[0]])
