"""Taylor coefficients and derivatives of any order, against mpmath and exact arithmetic."""

from __future__ import annotations

import inspect
import math
import threading
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy

import difflab
from difflab.errors import ArgumentError, ShapeError, TraceError
from difflab.ir.row import TABLE, Primitive, Unsupported

ORDER = 10
POINTS = (0.3, 0.7, 1.3, 2.9, -0.4)


def _has_formula(row: Primitive) -> bool:
    """Whether a row is a smooth function of one number that SymPy knows by one symbol."""
    formula = row.sympy
    if row.kind != "pointwise" or row.needs_params or len(row.domain) != 1 or row.kink is not None:
        return False
    if isinstance(formula, Unsupported):
        return False
    if isinstance(formula, str):
        return hasattr(sympy, formula)
    return len(inspect.signature(formula).parameters) == 2


SMOOTH = sorted(name for name, row in TABLE.items() if _has_formula(row))


def _series(name: str, point: float) -> list[Any]:
    x, formula = sympy.Symbol("x"), TABLE[name].sympy
    expression = getattr(sympy, formula)(x) if isinstance(formula, str) else formula(sympy, x)
    with mpmath.workdps(60):
        found: list[Any] = mpmath.taylor(sympy.lambdify(x, expression, "mpmath"), point, ORDER)
    return found


def _near(found: Any, series: list[Any]) -> None:
    """Each to 12 digits; one that is small because terms cancel, to 12 of those beside it."""
    sizes = [abs(float(c)) for c in series]
    for k, (c, right) in enumerate(zip(found, series, strict=True)):
        size = max(sizes[max(k - 2, 0) : k + 3])
        assert abs(c - float(right)) <= 1e-12 * size, (k, c, right)


def test_the_rows_are_many() -> None:
    assert len(SMOOTH) > 30


@pytest.mark.parametrize("name", SMOOTH)
def test_every_smooth_row_has_its_taylor_coefficients(name: str) -> None:
    row = TABLE[name]
    domain = row.domain[0]
    inside = [point for point in POINTS if domain.low < point < domain.high]
    assert inside
    for point in inside:
        _near(difflab.jet(row.numpy[0], point, ORDER), _series(name, point))


def long_formula(x: Any, lib: Any = np) -> Any:
    """Some twenty operations."""
    a = lib.sin(x) * lib.exp(-x * x) + lib.tanh(2 * x)
    b = lib.log(1 + x * x) / (2 + lib.cos(x)) - lib.sqrt(1 + x)
    return a * b + lib.atan(x) ** 3 + x / (1 + lib.exp(x))


class _NumPy:
    atan = staticmethod(np.arctan)

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


def long_in_numpy(x: Any) -> Any:
    return long_formula(x, _NumPy())


@pytest.mark.parametrize("point", [0.7, -0.6, 2.0])
def test_a_formula_of_twenty_operations(point: float) -> None:
    with mpmath.workdps(60):
        series = mpmath.taylor(lambda x: long_formula(x, mpmath), mpmath.mpf(point), ORDER)
    _near(difflab.jet(long_in_numpy, point, ORDER), series)
    found = difflab.derivative(long_in_numpy, order=8)(point)
    assert found == pytest.approx(float(series[8] * math.factorial(8)), rel=1e-12)


@pytest.mark.parametrize("engine", ["numpy", "steady"])
def test_the_graph_computes_what_the_sweep_does(engine: str) -> None:
    swept = difflab.jet(long_in_numpy, 0.7, 6)
    np.testing.assert_allclose(difflab.jet(long_in_numpy, 0.7, 6, engine=engine), swept, rtol=1e-12)
    right = swept[6] * math.factorial(6)
    prepared = difflab.derivative(long_in_numpy, order=6, engine=engine).prepare(0.7)
    assert prepared.program is not None
    assert prepared(0.7) == pytest.approx(right, rel=1e-12)
    put_off = difflab.derivative(long_in_numpy, order=6).prepare(0.7)
    assert put_off.program is None and put_off(0.7) == right
    assert put_off.graph is not None and put_off.counts["derivative"] > 100
    assert put_off.graph(0.7) == pytest.approx(right, rel=1e-12)


def test_derivatives_of_derivatives_are_one_sweep() -> None:
    nested = difflab.derivative(difflab.derivative(difflab.derivative(np.sin), method="forward"))
    assert repr(nested) == "<derivative of order 3 of sin>"
    assert nested(0.3) == pytest.approx(-math.cos(0.3), rel=1e-15)
    others = difflab.derivative(difflab.derivative(np.sin, method="symbolic"))
    assert others(0.3) == pytest.approx(-math.sin(0.3), rel=1e-15)


@pytest.mark.parametrize("method", ["symbolic", "richardson"])
def test_other_methods_are_applied_so_many_times(method: str) -> None:
    found = difflab.derivative(lambda x: np.exp(2 * x), order=3, method=method)(0.2)
    assert found == pytest.approx(8 * math.exp(0.4), rel=1e-4)


def test_a_derivative_by_another_argument_is_not_joined() -> None:
    def f(x: Any, y: Any) -> Any:
        return x**2 * y**3

    mixed = difflab.derivative(difflab.derivative(f, argnums=0), argnums=1)
    assert mixed(2.0, 3.0) == 2 * 2 * 3 * 9
    assert difflab.derivative(f, argnums=1, order=2)(2.0, 3.0) == 4 * 6 * 3


def test_elementwise_functions_take_arrays() -> None:
    x = np.linspace(-1.0, 1.0, 7)
    found = difflab.jet(np.exp, x, 3)
    assert found.shape == (4, 7)
    for k in range(4):
        np.testing.assert_allclose(found[k], np.exp(x) / math.factorial(k), rtol=1e-15)
    second = difflab.derivative(np.exp, order=2)(x)
    np.testing.assert_allclose(second, np.exp(x), rtol=1e-15)
    single = difflab.jet(lambda x: np.sin(3 * x) / x, np.float32([0.5, 1.0]), 3)
    assert single.dtype == np.float32


def test_along_a_direction_a_matrix_inverse_has_neumanns_series() -> None:
    a, b = np.array([[4.0, 1.0], [2.0, 3.0]]), np.array([[1.0, -2.0], [0.5, 1.0]])
    found = difflab.jet(np.linalg.inv, a, 5, b)
    exact = np.vectorize(Fraction, otypes=[object])
    (p, q), (r, s) = exact(a)
    inverse = np.array([[s, -q], [-r, p]], object) / (p * s - q * r)
    term = inverse
    for k in range(6):
        np.testing.assert_allclose(found[k], term.astype(float), rtol=1e-13)
        term = -inverse @ exact(b) @ term


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.max(x) ** 2,
        lambda x: np.sort(x)[::-1][0] ** 2,
        lambda x: np.cumsum(x)[-1] ** 2 - (x[0] + x[1]) ** 2 + x[1] ** 2,
        lambda x: np.where(x[1] > 0, x[1] ** 2, np.log(x[1])),
        lambda x: np.maximum(x[1], x[0]) ** 2,
    ],
)
def test_structural_rows_take_series(f: Callable[[Any], Any]) -> None:
    found = difflab.jet(f, np.array([1.0, 2.0]), 3, np.array([1.0, 3.0]))
    np.testing.assert_array_equal(found if found[0] == 4 else found * 4, [4.0, 12.0, 9.0, 0.0])


def test_trees_and_several_outputs() -> None:
    def f(p: dict[str, Any]) -> dict[str, Any]:
        return {"sum": np.sum(p["w"]) * p["b"], "b": p["b"] ** 2}

    point = {"w": np.array([1.0, 2.0]), "b": 3.0}
    found = difflab.jet(f, point, 2, {"w": np.array([1.0, 0.0]), "b": 1.0})
    np.testing.assert_array_equal(found["sum"], [9.0, 6.0, 1.0])
    np.testing.assert_array_equal(found["b"], [9.0, 6.0, 1.0])


def test_a_branch_that_is_not_taken_adds_nothing() -> None:
    found = difflab.jet(lambda x: np.where(x > 0, x**3, 1 / np.sqrt(x)), 2.0, 4)
    np.testing.assert_array_equal(found, [8.0, 12.0, 6.0, 1.0, 0.0])


def test_powers_at_zero_end() -> None:
    np.testing.assert_array_equal(difflab.jet(lambda x: x**3, 0.0, 5), [0, 0, 0, 1, 0, 0])
    np.testing.assert_array_equal(difflab.jet(lambda x: x**2 * x, 0.0, 4), [0, 0, 0, 1, 0])


def newton(x: Any) -> Any:
    """A loop that depends on its data: the square root."""
    y = x
    while abs(y * y - x) > 1e-13 * x:
        y = 0.5 * (y + x / y)
    return y


def test_a_loop_that_depends_on_its_data() -> None:
    # Newton's iteration doubles the right coefficients, so that four of them are right at the end.
    with mpmath.workdps(40):
        series = mpmath.taylor(mpmath.sqrt, mpmath.mpf(2.3), 3)
    _near(difflab.jet(newton, 2.3, 3), series)
    jets = [difflab.jet(newton, point, 2) for point in (2.3, 1e6, 2.3)]
    np.testing.assert_array_equal(jets[0], jets[2])


def test_jets_nest_in_derivatives() -> None:
    def second(x: Any) -> Any:
        return difflab.jet(np.sin, x, 2)[2]

    assert difflab.derivative(second)(0.3) == pytest.approx(-math.cos(0.3) / 2, rel=1e-15)


@pytest.mark.parametrize("engine", ["auto", "numpy"])
def test_what_a_function_closes_over_may_be_traced_outside(engine: str) -> None:
    def first(a: Any) -> Any:
        return difflab.jet(lambda x: a * np.sin(x), 0.3, 2, engine=engine)[1]

    def second(a: Any) -> Any:
        slope = difflab.derivative(lambda x: a**2 * np.sin(x), engine=engine)
        return difflab.derivative(slope, engine=engine)(0.3)

    def itself(a: Any) -> Any:
        return difflab.derivative(lambda x: a**2 * x**3, order=2, engine=engine)(a)

    assert difflab.gradient(first)(2.0) == pytest.approx(math.cos(0.3), rel=1e-15)
    assert difflab.gradient(second)(2.0) == pytest.approx(-4 * math.sin(0.3), rel=1e-15)
    assert difflab.derivative(itself)(2.0) == 72.0  # of 6 a^3, no perturbation confused


def test_a_chain_is_not_walked_by_recursion() -> None:
    def chain(x: Any) -> Any:
        for _ in range(5_000):
            x = np.sin(x)
        return x

    assert np.isfinite(difflab.jet(chain, 1.0, 2)).all()


def test_threads_share_one_jet() -> None:
    right = difflab.jet(long_in_numpy, 0.7, 5)
    found: list[Any] = []
    threads = [
        threading.Thread(target=lambda: found.append(difflab.jet(long_in_numpy, 0.7, 5)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    for one in found:
        np.testing.assert_array_equal(one, right)


@pytest.mark.parametrize("order", [-1, 1.5, "2", True, None])
def test_an_order_is_a_whole_number(order: Any) -> None:
    with pytest.raises(ArgumentError, match="whole number"):
        difflab.jet(np.sin, 1.0, order)


def test_what_a_jet_refuses() -> None:
    with pytest.raises(ShapeError, match="not elementwise"):
        difflab.jet(np.sum, np.ones(3), 2)
    with pytest.raises(ShapeError):
        difflab.jet(np.sum, np.ones(3), 2, np.ones(2))
    with pytest.raises(ArgumentError, match="whole number from 1"):
        difflab.derivative(np.sin, order=0)
    with pytest.raises(ArgumentError, match="integer"):
        difflab.jet(np.sin, 1, 2)
    with pytest.raises(TraceError):
        difflab.jet(lambda x: x + np.random.default_rng().normal(), 1.0, 2)


def test_orders_that_floats_have_no_room_for_are_refused() -> None:
    assert difflab.derivative(np.exp, order=100)(0.0) == pytest.approx(1.0, rel=1e-13)
    assert difflab.derivative(lambda x: 1.0 * x, order=100)(1.0) == 0.0
    for engine in ("auto", "numpy"):
        single = difflab.derivative(lambda x: x**3, order=40, engine=engine)(np.float32(2.0))
        assert single == 0.0 and single.dtype == np.float32
    with pytest.raises(ArgumentError, match="whole number from 1 to 100"):
        difflab.derivative(np.exp, order=101)
    with pytest.raises(ArgumentError, match="whole number from 1 to 100"):
        difflab.derivative(difflab.derivative(np.exp, order=100))
