"""Differences: their order, their steps, their honesty at kinks and at the edge of the domain."""

from __future__ import annotations

import math

import numpy as np
import pytest

import difflab
from difflab import Numerical
from difflab.errors import ArgumentError, UnknownNameError, UnsupportedError
from difflab.methods.differences.stencils import extrapolated, offsets_of, weights

from ..opaque import opaque


@pytest.mark.parametrize(
    ("stencil", "order"),
    [("central", k) for k in (2, 4, 6, 8)]
    + [(s, k) for s in ("forward", "backward") for k in range(1, 9)],
)  # fmt: skip
def test_a_stencil_is_exact_for_polynomials_up_to_its_order(stencil, order):
    offsets = offsets_of(stencil, order)
    for power in range(order + 1):
        value = sum(w * k**power for w, k in zip(weights(offsets), offsets, strict=True))
        assert math.isclose(value, 1.0 if power == 1 else 0.0, abs_tol=1e-9)


@pytest.mark.parametrize(
    ("stencil", "order"), [("forward", 1), ("forward", 2), ("central", 2), ("central", 4)]
)
def test_the_error_falls_with_the_order_of_the_stencil(stencil, order):
    def error(h):
        method = Numerical(stencil=stencil, order=order, step=h)
        return abs(difflab.derivative(np.exp, method=method)(1.0) - math.e)

    measured = math.log2(error(2**-4) / error(2**-5))
    assert abs(measured - order) < 0.15


@pytest.mark.parametrize("method", ["forward_difference", "central_difference", "richardson"])
def test_traced_and_opaque_functions_give_the_same_kind_of_answer(method):
    called = difflab.gradient(opaque(lambda x: math.sin(x[0]) * math.exp(x[1])), method=method)
    traced = difflab.gradient(lambda x: np.sin(x[0]) * np.exp(x[1]), method=method)
    x = np.array([0.5, -1.0])
    assert np.allclose(called(x), traced(x), rtol=1e-7)


def test_a_function_with_branches_is_called_and_not_continued():
    def f(x):
        return x * x if x > 0 else -x

    central = difflab.derivative(f, method="central_difference")
    assert math.isclose(central(2.0), 4.0, rel_tol=1e-9)
    assert (
        abs(central(1e-12) + 0.5) < 0.01
    )  # the mean of the two slopes, as differences must see it


@pytest.mark.parametrize(
    "f", [np.log, np.sqrt, lambda x: 1.0 / np.sqrt(x), lambda x: x * np.log(x)]
)
def test_no_step_leaves_the_domain(f):
    x = 1e-9
    found = difflab.derivative(f, method="central_difference")(x)
    assert np.isfinite(found)
    assert math.isclose(found, difflab.derivative(f)(x), rel_tol=1e-3)


def test_richardson_is_accurate_and_its_error_estimate_covers():
    method = Numerical(stencil="richardson")
    for f, x in [(np.exp, 1.0), (np.sin, 2.0), (np.log, 0.3), (np.tanh, 1.5)]:
        point, direction = np.array([x]), np.eye(1)
        ((best, error),) = extrapolated(
            lambda points, f=f: [f(points[:, 0])], point, direction, method.steps(point)
        )
        exact = difflab.derivative(f)(x)
        assert abs(best[0] - exact) <= error[0] + np.spacing(exact)
        assert error[0] < 1e-8 * abs(exact)


@pytest.mark.parametrize(
    ("f", "slopes"),
    [
        (np.abs, (-1.0, 1.0)),
        (lambda x: np.maximum(x, 0.0), (0.0, 1.0)),
        (lambda x: np.exp(x) + np.where(x > 0, 3.0 * x, 0.0), (1.0, 4.0)),
    ],
)
def test_richardson_at_a_kink_estimates_an_error_that_holds_both_slopes(f, slopes):
    method = Numerical(stencil="richardson")
    point = np.zeros(1)
    ((best, error),) = extrapolated(
        lambda points: [f(points[:, 0])], point, np.eye(1), method.steps(point)
    )
    for slope in slopes:
        assert abs(best[0] - slope) <= error[0] < 2.0 * (slopes[1] - slopes[0])


def test_richardson_at_the_edge_of_the_domain_takes_the_side_inside():
    method = Numerical(stencil="richardson")
    point = np.zeros(1)
    ((best, error),) = extrapolated(
        lambda points: [np.where(points[:, 0] >= 0, np.exp(points[:, 0]), np.nan)],
        point, np.eye(1), method.steps(point),
    )  # fmt: skip
    assert abs(best[0] - 1.0) <= error[0] < 1e-9


def test_richardson_of_an_opaque_function_adapts_its_steps():
    @opaque
    def front(x):
        return math.tanh(1e6 * (float(x) - 0.5))

    assert math.isclose(difflab.derivative(front, method="richardson")(0.5), 1e6, rel_tol=1e-6)
    kinked = difflab.derivative(opaque(abs), method="richardson")(0.0)
    assert kinked == 0.0
    root = difflab.derivative(opaque(math.sqrt), method="richardson")
    assert math.isclose(root(1e-12), 5e5, rel_tol=1e-9) and math.isnan(root(0.0))


@pytest.mark.parametrize("method", ["central_difference", "richardson", "forward_difference"])
def test_evaluations_of_an_opaque_function_are_counted(method):
    calls = []

    @opaque
    def f(x):
        calls.append(1)
        return math.exp(x[0]) * math.sin(x[1])

    operator = difflab.gradient(f, method=method)
    x = np.array([0.5, 2.0])
    prepared = operator.prepare(x)
    calls.clear()
    prepared.run(x)
    assert prepared.derivation.evaluations == len(calls) - 1  # the value itself is not counted
    most = max(operator.method.points, 32 if method == "richardson" else 0)  # its noise as well
    assert prepared.derivation.evaluations <= 2 * most


def test_a_complex_step_refuses_what_is_not_holomorphic():
    with pytest.raises(UnsupportedError, match="holomorphic"):
        difflab.derivative(lambda x: np.arctan2(x, 2.0), method="complex_step")(1.0)
    with pytest.raises(UnsupportedError, match="complex"):
        difflab.derivative(opaque(math.sin), method="complex_step")(1.0)


def test_a_complex_step_keeps_to_its_branch():
    f = difflab.derivative(lambda x: x * x if x > 0 else -x, method="complex_step")
    assert [f(2.0), f(-2.0), f(3.0)] == [4.0, -1.0, 6.0]


def test_wrong_options_are_refused():
    with pytest.raises(UnknownNameError, match="centrall"):
        Numerical(stencil="centrall")
    with pytest.raises(ArgumentError, match="order 3"):
        Numerical(stencil="central", order=3)
    with pytest.raises(ArgumentError, match="positive"):
        Numerical(step=-1.0)


def test_the_count_of_evaluations_is_the_count():
    calls = []

    @opaque
    def f(x):
        calls.append(1)
        return math.exp(x[0] + x[1])

    for method, each in (("forward_difference", 2), ("central_difference", 2)):
        operator = difflab.gradient(f, method=method)
        prepared = operator.prepare(np.zeros(2))
        assert prepared.derivation.evaluations == each * 2
        calls.clear()
        prepared.run(np.zeros(2))
        assert len(calls) == each * 2 + 1  # and once for the value
