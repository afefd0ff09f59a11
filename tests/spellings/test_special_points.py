"""Derivatives of orders 1 and 2 where a spelling chooses or fills in a value: hand formulas and
mpmath at 60 digits.
"""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
import sympy

import difflab
from difflab.table.elementary import spherical_bessel

METHODS = ["reverse", "forward", "symbolic"]


def orders(f: Any, x: Any, method: str) -> tuple[Any, Any]:
    """The first and second derivatives by one method."""
    first = difflab.derivative(f, method=method)
    return first(x), difflab.derivative(first, method=method)(x)


def sinc_by_mpmath(x: float, order: int) -> Any:
    """A derivative of sinc by its Taylor series at 0, in NumPy's pi."""
    z = mpmath.mpf(float(np.pi))
    return mpmath.nsum(
        lambda k: (
            (-1) ** int(k)
            * z ** (2 * k)
            / mpmath.factorial(2 * k + 1)
            * mpmath.ff(2 * k, order)
            * (mpmath.mpf(x) ** (2 * k - order) if 2 * k >= order else 0)
        ),
        [0, 40],
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("x", [0.0, 1e-300, 1e-8, -1e-3, 0.5, 1.4, -2.5])
def test_sinc_differentiates_to_any_order(x: float, method: str) -> None:
    f: Any = np.sinc
    with mpmath.workdps(60):
        for order in (1, 2, 3):
            f = difflab.derivative(f, method=method)
            expected = sinc_by_mpmath(x, order)
            assert abs(f(x) - expected) <= 4e-15 * abs(expected), order


def test_spherical_bessel_keeps_its_digits_near_zeros_and_at_ends() -> None:
    with mpmath.workdps(60):
        for n in range(6):
            for x in (1e-30, 0.3, 1.0, n + 1.99, n + 2.01, 4.5, 9.0, 77.5, 1e4, 1e6):
                z = mpmath.mpf(x)
                expected = mpmath.sqrt(mpmath.pi / 2 / z) * mpmath.besselj(n + mpmath.mpf(1) / 2, z)
                assert abs(spherical_bessel(x, n) - expected) <= 4e-16 * abs(expected), (n, x)
                assert abs(spherical_bessel(-x, n) - (-1) ** n * expected) <= 4e-16 * abs(expected)
    assert spherical_bessel(np.float32(0.5), 1).dtype == np.float32
    assert [float(spherical_bessel(0.0, n)) for n in range(3)] == [1.0, 0.0, 0.0]


def test_spherical_bessel_goes_through_sympy_and_back() -> None:
    x = sympy.Symbol("x", real=True)
    (expression,) = difflab.trace(np.sinc, 0.5).to_sympy()
    (symbol,) = expression.free_symbols
    assert sympy.diff(expression, symbol, 2).subs(symbol, 0) == pytest.approx(-(np.pi**2) / 3)
    assert sympy.lambdify(symbol, expression)(0.0) == 1.0
    assert difflab.from_sympy(sympy.sinc(x), x)(0.0) == 1.0
    third = difflab.from_sympy(sympy.jn(2, x), x)
    assert third(np.array([0.0, 1.0])) == pytest.approx([0.0, float(sympy.jn(2, 1).n())])


# -- hand formulas: f, the point, f', f'' ---------------------------------------------------------

HAND: dict[str, tuple[Any, float, float, float]] = {
    "0**0": (lambda x: x**0, 0.0, 0.0, 0.0),
    "0**1": (lambda x: np.power(x, np.array(1.0)), 0.0, 1.0, 0.0),
    "0**2": (lambda x: np.float_power(x, 2), 0.0, 0.0, 2.0),
    "logaddexp, equal": (lambda x: np.logaddexp(x, 2.0), 2.0, 0.5, 0.25),
    "logaddexp, -inf": (lambda x: np.logaddexp(x, -np.inf), 1.0, 1.0, 0.0),
    "logaddexp, inf": (lambda x: np.logaddexp(x, np.inf), 1.0, 0.0, 0.0),
    "hypot, 0 and 3": (lambda x: np.hypot(x, 3.0), 0.0, 0.0, 1 / 3),
    "fmod, 0": (lambda x: np.fmod(x, 3.0), 0.0, 1.0, 0.0),
    "fmod, by the divisor": (lambda y: np.fmod(-7.5, y), 3.0, 2.0, 0.0),
    "fmod, negative divisor": (lambda y: np.fmod(7.5, y), -2.0, 3.0, 0.0),
    "modf": (lambda x: np.modf(x)[0] ** 2, -2.5, -1.0, 2.0),
    "modf, 0": (lambda x: np.modf(x)[0], 0.0, 1.0, 0.0),
    "clip, equal bounds": (lambda x: np.clip(x, 1.0, 1.0), 1.0, 0.0, 0.0),
    "nan_to_num": (lambda x: np.nan_to_num(x) ** 2, 2.0, 4.0, 2.0),
    "fmax, NaN": (lambda x: np.fmax(x, np.nan) ** 2, 2.0, 4.0, 2.0),
    "nanmean": (lambda x: np.nanmean(np.stack([x, np.nan * x, 2.0]) ** 2), 1.0, 1.0, 1.0),
    "std of one": (lambda x: np.std(np.stack([x])), 1.3, 0.0, 0.0),
    "norm of zeros": (lambda x: np.linalg.norm(x * np.zeros(2)), 1.3, 0.0, 0.0),
    "hypot of zeros": (lambda x: np.hypot(0 * x, 0 * x), 1.3, 0.0, 0.0),
    "zero times a root": (lambda x: 0.0 * np.sqrt(x), 0.0, 0.0, 0.0),
    "prod with zeros": (lambda x: np.prod(np.stack([x, 2.0, x])), 0.0, 0.0, 4.0),
    "cumprod with zeros": (lambda x: np.sum(np.cumprod(np.stack([x, 2.0, x]))), 0.0, 3.0, 4.0),
    "corrcoef at its maximum": (
        lambda x: np.corrcoef(np.stack([x, 1.0, 2.0]), np.arange(3.0))[0, 1], 0.0, 0.0, -1 / 12
    ),
    "branch that overflows": (lambda x: np.where(x <= 0, np.exp(x), 1 + x), 1000.0, 1.0, 0.0),
    "branch outside its domain": (lambda x: np.where(x > 0, np.log(x), x * x), -2.0, -4.0, 2.0),
    "branch at a singularity": (lambda x: np.where(x > 0, np.sqrt(x), 3 * x), 0.0, 3.0, 0.0),
    "branch that is summed": (
        lambda x: np.where(x < 0, np.sum(np.exp(x * np.ones(3))), x * x), 1000.0, 2000.0, 2.0
    ),
    "smaller of two": (lambda x: np.minimum(np.exp(x), x * x), 1000.0, 2000.0, 2.0),
    "clipped": (lambda x: np.clip(np.exp(x), 0.0, 5.0) + x * x, 1000.0, 2000.0, 2.0),
    "median": (lambda x: np.median(np.exp(x * np.array([1.0, 2.0, 1000.0]))), 1.0,
               2 * np.exp(2.0), 4 * np.exp(2.0)),
}  # fmt: skip


@pytest.mark.parametrize("method", ["reverse", "forward"])
@pytest.mark.parametrize("name", HAND)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_special_points_by_hand(name: str, method: str) -> None:
    f, x, first, second = HAND[name]
    assert orders(f, x, method) == pytest.approx((first, second), rel=1e-13, abs=1e-15)


@pytest.mark.parametrize("method", ["reverse", "forward"])
@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.sqrt(x**2),
        lambda x: np.where(x >= 0, np.sqrt(x**2), x),
        lambda x: np.maximum(np.sqrt(x**2), -1.0),
        lambda x: np.where(x >= 0, np.square(np.sqrt(x)), x),
    ],
)
def test_a_derivative_that_is_unknown_stays_nan(f: Any, method: str) -> None:
    assert np.isnan(difflab.derivative(f, method=method)(0.0))


@pytest.mark.parametrize("method", ["reverse", "forward"])
def test_norms_have_slope_0_at_0_and_no_curvature(method: str) -> None:
    for f in (np.linalg.norm, np.std, np.linalg.vector_norm, lambda v: np.hypot(v[0], v[1])):
        assert not difflab.gradient(f, method=method)(np.zeros(2)).any()
    bend = difflab.derivative(difflab.derivative(lambda x: np.hypot(x, 0.0), method=method))
    assert np.isnan(bend(0.0))


# -- arrays ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["reverse", "forward"])
def test_a_nan_or_an_infinity_stays_in_its_element(method: str) -> None:
    x = np.array([np.nan, 1.0, 2.0])
    square = difflab.gradient(lambda x: np.sum(x**2), method=method)(x)
    np.testing.assert_array_equal(square, [np.nan, 2.0, 4.0])
    bend = difflab.hessian(lambda x: np.sum(x**3), method=method)(x)
    np.testing.assert_array_equal(bend, np.diag([np.nan, 6.0, 12.0]))
    np.testing.assert_array_equal(
        difflab.jacobian(lambda x: (np.exp(x), np.sum(x)), method=method)(np.array([1e3, 0.0]))[0],
        [[np.inf, 0.0], [0.0, 1.0]],
    )
    first = difflab.gradient(lambda x: np.exp(x)[1], method=method)(np.array([1e3, 0.0]))
    np.testing.assert_array_equal(first, [0.0, 1.0])
    top = difflab.gradient(lambda x: np.max(-np.exp(x)), method=method)(np.array([1e3, 0.0]))
    np.testing.assert_array_equal(top, [0.0, -1.0])
    known = difflab.gradient(lambda x: np.sum(np.where(np.isnan(x), 0.0, np.sin(x))), method=method)
    np.testing.assert_allclose(known(x), [0.0, np.cos(1.0), np.cos(2.0)], rtol=1e-15)


@pytest.mark.parametrize("method", METHODS)
def test_nan_is_asked_at_the_point(method: str) -> None:
    x = np.array([np.nan, 1.0, 2.0])
    assert difflab.gradient(np.nanmean, method=method)(x).tolist() == [0.0, 0.5, 0.5]
    np.testing.assert_allclose(difflab.gradient(np.nanvar, method=method)(x), [0.0, -0.5, 0.5])


@pytest.mark.parametrize("method", METHODS)
def test_ties_share_their_weight(method: str) -> None:
    three = lambda x: np.maximum(np.maximum(x, np.exp(x) - 1), (x + 1) ** 2 / 2 - 0.5)
    assert difflab.derivative(three, method=method)(0.0) == 1.0
    least = lambda x: np.min(np.stack([x, 2 * x, 3 * x, x + 1]))
    assert difflab.derivative(least, method=method)(0.0) == pytest.approx(2.0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("f", [difflab.softmax, difflab.log_softmax])
@pytest.mark.parametrize("gap", [37.42994775023705, 80.0, 3.0, 0.0, -37.42994775023705])
def test_softmax_keeps_the_small_side(f: Any, gap: float, method: str) -> None:
    z = np.array([gap, 0.0])
    found = difflab.jacobian(f, method=method)(z)
    columns = difflab.jacobian(lambda z: f(z, axis=0)[:, 0], method=method)(z[:, None])[..., 0]
    with mpmath.workdps(60):
        p = [1 / (1 + mpmath.exp(-mpmath.mpf(gap))), 1 / (1 + mpmath.exp(mpmath.mpf(gap)))]
        for i, j in np.ndindex(2, 2):
            expected = p[0] * p[1] if f is difflab.softmax else p[1 - i]
            expected = expected if i == j else -expected
            for value in (found[i, j], columns[i, j]):
                assert abs(value - expected) <= 1e-15 * abs(expected), (i, j)


# -- determinants of singular matrices ------------------------------------------------------------

ONE = np.array([[1.0, 2.0], [2.0, 4.0]])


@pytest.mark.parametrize("method", METHODS)
def test_a_determinant_has_its_derivatives_at_singular_matrices(method: str) -> None:
    g = difflab.gradient(np.linalg.det, method=method)
    assert g(ONE).tolist() == [[4.0, -2.0], [-2.0, 1.0]]
    assert not g(np.zeros((3, 3))).any()
    assert g(np.zeros((1, 1))) == 1.0
    assert g(ONE.astype(np.float32)).dtype == np.float32
    bend = difflab.hessian(np.linalg.det, method=method)(ONE).reshape(4, 4)
    assert bend.tolist() == [[0, 0, 0, 1], [0, 0, -1, 0], [0, -1, 0, 0], [1, 0, 0, 0]]


@pytest.mark.parametrize("n", [3, 5, 13, 20])
def test_adjugates_of_rank_n_minus_1(n: int) -> None:
    a = np.random.default_rng(n).normal(size=(n, n))
    a[0] = a[1]
    found = difflab.gradient(lambda a: np.sum(np.linalg.det(a)))(np.stack([a, np.eye(n)]))
    exact = sympy.Matrix(n, n, lambda i, j: sympy.Rational(float(a[i, j])))
    for j in (0, n - 1):  # the cofactors of two elements of the first row
        expected = (-1) ** j * float(exact.minor_submatrix(0, j).det(method="berkowitz"))
        assert found[0, 0, j] == pytest.approx(expected, rel=1e-10)
    np.testing.assert_allclose(found[1], np.eye(n), atol=1e-15)


# -- order ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [{}, {"kind": "stable"}, {"kind": "heapsort"}, {"stable": True}]
)
def test_ties_are_ordered_as_numpy_does(options: dict[str, Any]) -> None:
    x = np.random.default_rng(0).integers(0, 4, (3, 300)).astype(float)
    for axis in (0, -1, None):
        for function in (np.sort, np.argsort):
            f = lambda x, f=function, axis=axis: f(x, axis, **options) * 1.0
            np.testing.assert_array_equal(difflab.trace(f, x)(x), f(x))
    with pytest.raises(ValueError):
        difflab.trace(lambda x: np.argsort(x, kind="bogus"), x)
