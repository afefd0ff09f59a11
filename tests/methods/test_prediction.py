"""Predicted errors of differences: their formulas, their limits, and measured errors beside."""

from __future__ import annotations

import math

import numpy as np
import pytest

import difflab
from difflab import Numerical
from difflab.accuracy.zoo import ZOO
from difflab.errors import ArgumentError, DomainError, UnknownNameError
from difflab.ir.tree import read_arguments
from difflab.methods.differences.prediction import predict
from difflab.methods.differences.stencils import offsets_of, weights
from difflab.tracing.trace import trace

from ..opaque import opaque


def measured(f, x, stencil, order, h, truth, rng):
    """The root mean square error of a quotient, over steps within 5 % of h."""
    offsets = offsets_of(stencil, order)
    pairs = [(k, w) for k, w in zip(offsets, weights(offsets), strict=True) if w]
    errors = []
    for step in h * rng.uniform(0.95, 1.05, 40):
        errors.append(sum(w * f(x + k * step) for k, w in pairs) / step - truth)
    return float(np.sqrt(np.mean(np.square(errors))))


@pytest.mark.parametrize(
    ("stencil", "order", "expected"),
    [
        ("forward", 1, lambda h: math.sin(0.7) * h / 2),
        ("backward", 1, lambda h: math.sin(0.7) * h / 2),
        ("central", 2, lambda h: math.cos(0.7) * h**2 / 6),
        ("forward", 2, lambda h: math.cos(0.7) * h**2 / 3),
        ("central", 4, lambda h: math.cos(0.7) * h**4 / 30),
        ("complex", 2, lambda h: math.cos(0.7) * h**2 / 6),
    ],
)
def test_the_truncation_error_is_that_of_the_textbook(stencil, order, expected):
    found = predict(trace(np.sin, 0.7), [0.7], stencil=stencil, order=order)
    assert math.isclose(found.truncation(1e-3), expected(1e-3), rel_tol=2e-3)
    assert [float(d[0]) for d in found.derivatives[:3]] == pytest.approx(
        [math.cos(0.7), -math.sin(0.7), -math.cos(0.7)], rel=1e-15
    )


@pytest.mark.parametrize(
    ("stencil", "order"), [("forward", 1), ("forward", 3), ("backward", 2), ("central", 2),
                           ("central", 4), ("central", 6)],
)  # fmt: skip
@pytest.mark.parametrize(
    "name", ["sine", "sqrt_difference", "planck", "logistic_map_loop", "arctanh", "exp_series"]
)
def test_the_least_error_is_where_it_is_predicted(name, stencil, order):
    f, (x,) = ZOO[name].f, ZOO[name].points[0].args
    found = predict(trace(f, x), [x], stencil=stencil, order=order)
    truth = float(difflab.truth(f, x).midpoint)
    rng = np.random.default_rng(0)
    here, *beside = (
        measured(f, x, stencil, order, found.step * factor, truth, rng) for factor in (1, 0.1, 6)
    )
    assert found.error / 4 < here < 4 * found.error
    assert all(error > 1.5 * here for error in beside)


def test_several_outputs_and_components_are_taken_together():
    entry = ZOO["lorenz"]
    state = np.array([-8.0, 8.0, 27.0])
    found = predict(trace(entry.f, state), [state], index=(1,))
    assert np.array_equal(found.derivatives[0], [10.0, -1.0, -8.0])
    assert found.terms == ()  # of degree 2
    assert found.step == pytest.approx(1.0)  # an eighth of |x|


def test_a_rounding_error_falls_with_the_step_down_to_a_floor():
    found = predict(trace(np.exp, 1.0), [1.0])
    assert found.rounding(1e-8) / found.rounding(1e-6) == pytest.approx(100, rel=1e-3)
    assert found.rounding(1e9) == pytest.approx(found.floor)
    assert found.total(found.step) <= min(found.total(2 * found.step), found.total(found.step / 2))


def test_steps_that_are_powers_of_two_do_not_round_the_argument():
    graph = trace(lambda x: x * x, 1000.3)
    plain, dyadic = (predict(graph, [1000.3], stencil="forward", order=1, dyadic=d) for d in (0, 1))
    assert dyadic.noise < 0.95 * plain.noise
    assert math.frexp(dyadic.step)[0] == 0.5


def test_a_step_stays_on_its_side_of_a_kink_and_inside_the_domain():
    assert predict(trace(lambda x: np.abs(x) ** 3, 0.01), [0.01]).largest < 0.01
    assert 4 * predict(trace(np.log, 1e-3), [1e-3], order=8).step < 1e-3
    with pytest.raises(DomainError, match="kink"):
        predict(trace(lambda x: np.abs(x) + x * x, 0.0), [0.0])
    with pytest.raises(DomainError, match="derivative 1"):
        predict(trace(np.sqrt, 0.0), [0.0])


def test_where_one_derivative_vanishes_the_next_one_decides():
    f = trace(lambda x: np.sin(x - 0.5) + 2.0, 0.5)  # the second derivative is 0
    found = predict(f, [0.5], stencil="forward", order=1)
    assert found.truncation(1e-2) == pytest.approx(1e-4 / 6, rel=1e-2)


def test_derivatives_that_swell_are_continued():
    graph = trace(lambda x: x**x, 2.0)
    found = predict(graph, [2.0], order=8)
    assert len(found.derivatives) < 9
    assert found.terms
    exact = predict(trace(lambda x: np.exp(x * np.log(x)), 2.0), [2.0], order=4)
    assert exact.step / 2 < predict(graph, [2.0], order=4).step < 2 * exact.step


def test_the_complex_step_has_no_rounding_that_grows():
    found = predict(trace(np.sin, 0.7), [0.7], stencil="complex")
    assert found.step <= 1e-30
    assert found.rounding(1e-200) == found.rounding(1e-3) == found.error < 1e-15


def test_there_is_no_prediction_for_what_chooses_its_steps_itself():
    with pytest.raises(ArgumentError, match="richardson"):
        predict(trace(np.sin, 0.7), [0.7], stencil="richardson")


# Numerical(step="predicted") ----------------------------------------------------------------------


def worst(f, args, method):
    truth = difflab.truth(f, *args).midpoint
    found = difflab.gradient(f, method=method)(*args)
    return float(np.max(np.abs(found - truth)))


@pytest.mark.parametrize("name", ["steep_front", "fast_oscillation", "helmholtz", "rosenbrock"])
def test_predicted_steps_are_better_than_those_of_theory(name):
    entry = ZOO[name]
    args = entry.points[0].args
    theory = worst(entry.f, args, Numerical("central", 2))
    assert worst(entry.f, args, Numerical("central", 2, step="predicted")) < theory / 3


def test_a_prediction_fits_each_component():
    x = np.array([1.0, 1e-3, 1e6])
    method = Numerical("central", 4, step="predicted")

    def f(x):
        return np.sum(np.sin(x * np.array([1.0, 1e3, 1e-6])))

    found = difflab.gradient(f, method=method)(x)
    assert found == pytest.approx(math.cos(1.0) * np.array([1.0, 1e3, 1e-6]), rel=1e-10)


def test_opaque_functions_and_kinks_have_the_step_of_theory():
    def tip(x):
        return np.abs(x) + x

    predicted, theory = Numerical("central", 2, step="predicted"), Numerical("central", 2)
    for f, x in ((opaque(math.sin), 0.7), (tip, 0.0)):
        both = [difflab.derivative(f, method=method)(x) for method in (predicted, theory)]
        assert both[0] == both[1]


def test_outputs_and_arguments_keep_their_shapes():
    def f(x, y):
        return np.outer(x, y), np.sum(x)

    x, y = np.array([1.0, 2.0]), np.array([3.0, 4.0, 5.0])
    method = Numerical("central", 2, step="predicted")
    found = difflab.jacobian(f, argnums=(0, 1), method=method)(x, y)
    expected = difflab.jacobian(f, argnums=(0, 1))(x, y)
    for row, wanted in zip(found, expected, strict=True):
        for block, other in zip(row, wanted, strict=True):
            assert np.allclose(block, other, rtol=1e-9)


def test_a_step_that_is_no_word_of_ours_is_refused():
    with pytest.raises(UnknownNameError, match="predicted"):
        Numerical("central", 2, step="best")
    with pytest.raises(ArgumentError, match="richardson"):
        Numerical("richardson", step="predicted")


def test_the_point_is_left_as_it_was():
    x = np.array([0.3, 0.4])
    before = x.copy()
    _, arrays = read_arguments((x,), {})
    predict(trace(lambda x: np.sum(np.exp(x)), x), arrays, index=(1,))
    assert np.array_equal(x, before)
