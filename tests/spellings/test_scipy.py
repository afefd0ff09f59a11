"""SciPy's functions, spelt by name: values against SciPy, derivatives against mpmath."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any, Final

import mpmath as mp
import numpy as np
import pytest
from scipy import linalg, optimize, special, stats
from scipy.spatial import distance

import difflab
from difflab.accuracy.truth import truth
from difflab.errors import UnsupportedError
from difflab.ir.names import meaning_of, named
from difflab.tracing.trace import trace

mp.mp.dps = 50


def applied(function: Any, *args: Any, **kwargs: Any) -> Callable[[Any], Any]:
    """A function of one argument, which goes where `...` is among the arguments."""

    def f(x: Any) -> Any:
        return function(*[x if a is ... else a for a in args or (...,)], **kwargs)

    return f


def off(found: float, truth: Any) -> float:
    """The relative distance from a number of 50 digits, in units of 2^-52."""
    if float(truth) == 0.0:
        return float(abs(found)) * 2**52
    return float(abs(mp.mpf(float(found)) / truth - 1) * 2**52)


def log_normal(x: Any) -> Any:
    return mp.log(mp.erfc(-x / mp.sqrt(2)) / 2)


def close_to_one(x: Any) -> Any:
    return x * mp.log(x / 3) - x + 3


CASES: list[tuple[str, Any, tuple[Any, ...], Callable[[Any], Any], list[float], float]] = [
    ("erf", special.erf, (...,), mp.erf, [1e-9, 0.5, -2.0, 5.5, 20.0], 4),
    ("erfc", special.erfc, (...,), mp.erfc, [-3.0, 1e-9, 0.5, 4.0, 25.0], 4),
    ("gammaln", special.gammaln, (...,), mp.loggamma,
     [1e-30, 0.3, 1 + 2**-40, 1.4616321449683622, 2 - 2**-30, 7.5, 1e20], 4),
    ("gamma", special.gamma, (...,), mp.gamma, [1e-9, 0.3, 1.5, 2.5, 100.5, 170.0, -0.7, -9.3], 6),
    ("digamma", special.digamma, (...,), mp.digamma, [1e-9, 1.4616321449683622, 3.0, 1e9, -2.3], 4),
    ("trigamma", special.polygamma, (1, ...), lambda x: mp.psi(1, x), [1e-9, 1.5, 80.0, -2.3], 4),
    ("polygamma", special.polygamma, (3, ...), lambda x: mp.psi(3, x), [0.01, 1.5, 80.0], 4),
    ("expit", special.expit, (...,), lambda x: 1 / (1 + mp.exp(-x)), [-300.0, 0.0, 1.0, 40.0], 6),
    ("log_expit", special.log_expit, (...,), lambda x: -mp.log(1 + mp.exp(-x)), [-30.0, 99.0], 6),
    ("logit", special.logit, (...,), lambda x: mp.log(x / (1 - x)),
     [1e-300, 0.1, 0.5 + 2**-40, 0.7, 1 - 2**-50], 4),
    ("ndtr", special.ndtr, (...,), mp.ncdf, [-37.0, -5.0, 0.0, 1e-9, 3.0, 8.0, 30.0], 4),
    ("log_ndtr", special.log_ndtr, (...,), log_normal, [-1e6, -40.0, -1.0, 0.0, 3.0, 8.0, 20.0], 6),
    ("xlogy x", special.xlogy, (..., 3.7), lambda x: x * mp.log(3.7), [0.0, 1e-300, -2.0], 4),
    ("xlogy y", special.xlogy, (1.3, ...), lambda x: 1.3 * mp.log(x), [1e-300, 1.0, 4.0], 4),
    ("xlog1py x", special.xlog1py, (..., 0.5), lambda x: x * mp.log(1.5), [0.0, 3.0], 4),
    ("xlog1py y", special.xlog1py, (1.3, ...), lambda x: 1.3 * mp.log(1 + x), [1e-20, -0.9], 4),
    ("entr", special.entr, (...,), lambda x: -x * mp.log(x), [1e-300, 0.2, 1.0, 5.0], 6),
    ("rel_entr x", special.rel_entr, (..., 3.0), lambda x: x * mp.log(x / 3), [1e-30, 3.0, 9.0], 4),
    ("rel_entr y", special.rel_entr, (3.0, ...), lambda x: 3 * mp.log(3 / x), [1e-30, 3.1, 9.0], 4),
    ("kl_div x", special.kl_div, (..., 3.0), close_to_one, [1e-30, 3.0 + 2**-40, 2.9, 9.0], 4),
    ("kl_div y", special.kl_div, (3.0, ...), lambda x: 3 * mp.log(3 / x) - 3 + x, [3.001, 9.0], 4),
    ("betaln", special.betaln, (..., 2.5), lambda x: mp.log(mp.beta(x, 2.5)), [0.1, 1.0, 9.0], 16),
    ("beta", special.beta, (2.5, ...), lambda x: mp.beta(x, 2.5), [0.1, 1.0, 9.0], 32),
    ("erfinv", special.erfinv, (...,), mp.erfinv, [-0.9999, 1e-12, 0.2, 0.999], 6),
    ("i0", special.i0, (...,), lambda x: mp.besseli(0, x), [-2.0, 1e-9, 30.0, 600.0], 4),
    ("i1", special.i1, (...,), lambda x: mp.besseli(1, x), [-2.0, 1e-9, 30.0, 600.0], 4),
    ("np.i0", np.i0, (...,), lambda x: mp.besseli(0, x), [-2.0, 1e-9, 30.0, 600.0], 4),
    ("j0", special.j0, (...,), lambda x: mp.besselj(0, x), [-2.0, 1e-9, 30.0, 90.0], 4),
    ("iv", special.iv, (3, ...), lambda x: mp.besseli(3, x), [-2.0, 0.1, 30.0, 600.0], 6),
    ("jv", special.jv, (8, ...), lambda x: mp.besselj(8, x), [-2.0, 0.5, 30.0, 90.0], 32),
    ("j1", special.j1, (...,), lambda x: mp.besselj(1, x), [-2.0, 1e-9, 30.0, 90.0], 4),
    ("math.lgamma", math.lgamma, (...,), mp.loggamma, [0.5, 1.5, 9.0], 4),
    ("math.gamma", math.gamma, (...,), mp.gamma, [0.5, 1.5, 9.0], 4),
    ("math.erf", math.erf, (...,), mp.erf, [0.5, 3.0], 4),
    ("math.erfc", math.erfc, (...,), mp.erfc, [0.5, 9.0], 4),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[name for name, *_ in CASES])
def test_special_functions_have_their_digits(case: Any) -> None:
    _, function, args, truth_of, points, ulps = case
    f = applied(function, *args)
    slope = difflab.derivative(f)
    bend = difflab.derivative(slope)
    for x in points:
        plain = function(*[x if a is ... else a for a in args])
        value = trace(f, x)(x)
        assert value == pytest.approx(plain, rel=2e-13, abs=1e-15), x
        with mp.workdps(300):
            at = mp.mpf(x)
            h = (abs(at) or 1) * mp.mpf(10) ** -30
            slopes = [mp.diff(truth_of, at, n, h=h) for n in (1, 2)]
            first, second, third = truth_of(at), *slopes
        assert off(value, first) <= 2 * ulps, x
        assert off(slope(x), second) <= 2 * ulps, x
        assert float(bend(x)) == pytest.approx(float(third), rel=1e-12, abs=1e-12), x


@pytest.mark.parametrize("case", CASES, ids=[name for name, *_ in CASES])
def test_the_truth_of_balls_is_that_of_mpmath(case: Any) -> None:
    _, function, args, truth_of, points, _ = case
    x = points[-1]
    found = truth(applied(function, *args), x)
    with mp.workdps(300):
        expected = mp.diff(truth_of, mp.mpf(x), h=abs(mp.mpf(x)) * mp.mpf(10) ** -30)
    assert found.ulps(float(expected)) <= 1.0


def test_slopes_at_zero_are_those_from_inside() -> None:
    with np.errstate(all="ignore"):
        assert difflab.derivative(applied(special.xlogy, ..., 2.0))(0.0) == math.log(2.0)
        assert difflab.derivative(applied(special.xlogy, 0.0, ...))(0.0) == 0.0
        assert difflab.derivative(applied(special.entr))(0.0) == math.inf
        assert difflab.derivative(applied(special.rel_entr, ..., 2.0))(0.0) == -math.inf
        assert difflab.derivative(applied(special.kl_div, 0.0, ...))(2.0) == 1.0


def test_values_at_edges_are_scipys() -> None:
    grid = np.array([-np.inf, -1.0, -0.0, 0.0, 0.5, 1.0, np.inf, np.nan])
    one = [special.gammaln, special.gamma, special.erfc, special.entr, special.log_ndtr,
           special.ndtr, special.expit, special.logit, special.digamma]  # fmt: skip
    two = [special.xlogy, special.xlog1py, special.rel_entr, special.kl_div]
    with np.errstate(all="ignore"):
        for f in one:
            found = trace(applied(f), grid)(grid)
            np.testing.assert_allclose(found, f(grid), rtol=1e-14, err_msg=f.__name__)
        x, y = (part.ravel() for part in np.meshgrid(grid, grid))
        for f in two:
            found = trace(applied(f, ..., y), x)(x)
            np.testing.assert_allclose(found, f(x, y), rtol=1e-14, err_msg=f"{f.__name__} {x} {y}")


# -- sums ------------------------------------------------------------------------------------------

RNG = np.random.default_rng(5)
X = RNG.normal(size=(3, 4))


@pytest.mark.parametrize(
    "kwargs",
    [{}, {"axis": 0}, {"axis": (0, 1)}, {"axis": 1, "keepdims": True}, {"b": X**2},
     {"b": np.array([0.0, 1.0, 2.0, 0.5]), "axis": 1}],
    ids=str,
)  # fmt: skip
def test_logsumexp(kwargs: Any) -> None:
    f = applied(special.logsumexp, ..., **kwargs)
    for x in (X, 1000.0 * X, X - 2000.0):
        found = trace(f, x)(x)
        np.testing.assert_allclose(found, special.logsumexp(x, **kwargs), rtol=1e-14)
        assert np.shape(found) == np.shape(special.logsumexp(x, **kwargs))
        w = np.broadcast_to(kwargs.get("b", 1.0), x.shape)
        inside = special.logsumexp(x, kwargs.get("axis"), kwargs.get("b"), True)
        slope = difflab.gradient(lambda x: np.sum(f(x)))(x)
        expected = w * np.exp(np.where(w == 0.0, -np.inf, x - inside))
        np.testing.assert_allclose(slope, expected, rtol=1e-12, atol=1e-300)


def test_logsumexp_of_infinities() -> None:
    f = applied(special.logsumexp)
    x = np.array([-np.inf, 0.0, 1.0])
    np.testing.assert_allclose(difflab.gradient(f)(x), special.softmax(x), rtol=1e-15)
    assert trace(f, x)(np.full(3, -np.inf)) == -np.inf


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("function", [special.softmax, special.log_softmax])
def test_softmax(function: Any, axis: Any) -> None:
    f = applied(function, ..., axis=axis)
    found = trace(f, X)(X)
    np.testing.assert_allclose(found, function(X, axis=axis), rtol=1e-14)
    _same_jacobian(f, lambda x: function(x, axis=axis), X)


def _same_jacobian(f: Any, plain: Any, x: Any, rtol: float = 1e-8) -> None:
    """Against differences of order eight of SciPy's own values."""
    x = np.asarray(x, float)
    h = 2.0**-9
    weights = {1: 4 / 5, 2: -1 / 5, 3: 4 / 105, 4: -1 / 280}
    columns = []
    for i in np.ndindex(x.shape):
        e = np.zeros_like(x)
        e[i] = h
        columns.append(
            sum(w * (plain(x + k * e) - plain(x - k * e)) for k, w in weights.items()) / h
        )
    expected = np.moveaxis(np.array(columns), 0, -1)
    found = difflab.jacobian(f)(x)
    np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=rtol, atol=1e-9)


# -- distributions ---------------------------------------------------------------------------------

LAWS: list[tuple[Any, tuple[float, ...], list[float], list[str]]] = [
    (stats.norm, (), [-8.0, 0.0, 1.5, 9.0], ["logpdf", "pdf", "cdf", "sf", "logcdf", "logsf"]),
    (stats.expon, (), [0.5, 1.5, 9.0], ["logpdf", "pdf", "cdf", "sf", "logcdf", "logsf"]),
    (stats.t, (4.5,), [-8.0, 0.1, 1.5], ["logpdf", "pdf"]),
    (stats.gamma, (2.5,), [0.3, 1.5, 9.0], ["logpdf", "pdf"]),
    (stats.beta, (2.5, 0.7), [0.2, 0.5, 0.8], ["logpdf", "pdf"]),
]
METHODS = [(law, shapes, xs, m) for law, shapes, xs, methods in LAWS for m in methods]


def _truth(name: str, method: str, z: Any, shapes: Any) -> Any:
    log = {
        "norm": lambda: mp.log(mp.npdf(z)),
        "expon": lambda: -z,
        "t": lambda: mp.loggamma((shapes[0] + 1) / 2) - mp.loggamma(shapes[0] / 2)
        - mp.log(shapes[0] * mp.pi) / 2 - (shapes[0] + 1) / 2 * mp.log1p(z * z / shapes[0]),
        "gamma": lambda: (shapes[0] - 1) * mp.log(z) - z - mp.loggamma(shapes[0]),
        "beta": lambda: (shapes[0] - 1) * mp.log(z) + (shapes[1] - 1) * mp.log1p(-z)
        - mp.log(mp.beta(*shapes)),
    }  # fmt: skip
    if method in ("logpdf", "pdf"):
        return log[name]() if method == "logpdf" else mp.exp(log[name]())
    below = mp.ncdf(z) if name == "norm" else 1 - mp.exp(-z)
    above = mp.erfc(z / mp.sqrt(2)) / 2 if name == "norm" else mp.exp(-z)
    found = above if "sf" in method else below
    return mp.log(found) if method.startswith("log") else found


@pytest.mark.parametrize("case", METHODS, ids=[f"{c[0].name}.{c[3]}" for c in METHODS])
def test_distributions(case: Any) -> None:
    law, shapes, points, method = case
    plain = getattr(law, method)
    values = [*shapes, 0.25, 1.5]
    for x in points:
        at = [1.5 * x + 0.25, *values]
        for i in range(len(at)):
            args = [*at[:i], ..., *at[i + 1 :]]
            f = applied(plain, *args)

            def truth(v: Any, i: int = i, at: Any = at) -> Any:
                y, *s, loc, scale = [v if j == i else mp.mpf(a) for j, a in enumerate(at)]
                found = _truth(law.name, method, (y - loc) / scale, s)
                if method == "logpdf":
                    return found - mp.log(scale)
                return found / scale if method == "pdf" else found

            value = trace(f, at[i])(at[i])
            assert value == pytest.approx(plain(*at), rel=1e-12)
            assert float(value) == pytest.approx(float(truth(mp.mpf(at[i]))), rel=1e-13, abs=1e-15)
            slope = difflab.derivative(f)(at[i])
            expected = mp.diff(truth, mp.mpf(at[i]), h=mp.mpf(10) ** -20)
            assert float(slope) == pytest.approx(float(expected), rel=2e-13, abs=1e-15), (args, x)


@pytest.mark.parametrize("case", METHODS, ids=[f"{c[0].name}.{c[3]}" for c in METHODS])
def test_distributions_at_edges(case: Any) -> None:
    law, shapes, _, method = case
    grid = np.array([-np.inf, -1.0, 0.0, 0.5, 1.0, 2.0, np.inf, np.nan])
    plain = getattr(law, method)
    with np.errstate(all="ignore"):
        for scale in (1.0, 2.0, -1.0, 0.0):
            f = applied(plain, ..., *shapes, scale=scale)
            found = trace(f, grid)(grid)
            expected = plain(grid, *shapes, scale=scale)
            np.testing.assert_allclose(found, expected, rtol=1e-13, err_msg=f"scale {scale}")
        slope = difflab.gradient(lambda x: np.sum(applied(plain, ..., *shapes)(x)))(
            np.array([-3.0, -1.0])
        )
        assert not np.any(np.isnan(slope))


def test_poisson() -> None:
    k = np.array([0, 1, 7, -1, 3])
    for method in ("logpmf", "pmf"):
        plain = getattr(stats.poisson, method)
        found = trace(applied(plain, k, ...), 2.5)(2.5)
        np.testing.assert_allclose(found, plain(k, 2.5), rtol=1e-14)
    slope = difflab.jacobian(applied(stats.poisson.logpmf, k, ...))(2.5)
    np.testing.assert_allclose(slope, np.where(k >= 0, k / 2.5 - 1.0, 0.0), rtol=1e-15)
    assert trace(applied(stats.poisson.logpmf, 1.5, ...), 2.5)(2.5) == -np.inf


def test_frozen_distributions() -> None:
    f = applied(stats.gamma(2.5, scale=3.0).logpdf)
    found = trace(f, 2.0)(2.0)
    assert found == pytest.approx(stats.gamma(2.5, scale=3.0).logpdf(2.0), rel=1e-14)
    assert difflab.derivative(f)(2.0) == pytest.approx(1.5 / 2.0 - 1 / 3.0, rel=1e-14)


def test_distributions_frozen_with_traced_parameters() -> None:
    def f(scale: Any) -> Any:
        return stats.norm(1.0, scale).logsf(3.0)

    x = mp.mpf(2) / mp.mpf(1.5)
    expected = mp.npdf(x) / (mp.erfc(x / mp.sqrt(2)) / 2) * x / mp.mpf(1.5)
    assert difflab.derivative(f)(1.5) == pytest.approx(float(expected), rel=1e-14)


COVARIANCE: Final = np.array([[2.0, 0.3, 0.1], [0.3, 1.5, 0.2], [0.1, 0.2, 1.0]])


def test_normal_laws_of_several_variables() -> None:
    law, mean = stats.multivariate_normal, np.array([0.1, 0.2, 0.3])
    inverse = np.linalg.inv(COVARIANCE)
    for x in (np.array([0.5, 0.2, -0.4]), np.array([[0.5, 0.2, -0.4], [1.0, 0.0, 2.0]])):
        away = np.atleast_2d(x - mean)
        value, slope = difflab.value_and_gradient(
            lambda x: np.sum(law.logpdf(x, mean, COVARIANCE))
        )(x)
        assert value == pytest.approx(np.sum(law.logpdf(x, mean, COVARIANCE)), rel=1e-14)
        np.testing.assert_allclose(slope, (-away @ inverse).reshape(x.shape), rtol=1e-12)
        by_matrix = difflab.gradient(lambda c, x=x: np.sum(law.logpdf(x, mean, c)))(COVARIANCE)
        whole = 0.5 * (inverse @ away.T @ away @ inverse - len(away) * inverse)
        np.testing.assert_allclose(  # of which the lower triangle is read
            by_matrix, np.tril(whole) + np.tril(whole, -1), rtol=1e-12, atol=1e-15
        )
    slope = difflab.gradient(lambda c: law.entropy(mean, c))(COVARIANCE)
    np.testing.assert_allclose(slope, 0.5 * (np.tril(inverse) + np.tril(inverse, -1)), rtol=1e-12)
    assert difflab.derivative(law.pdf)(0.5) == pytest.approx(-0.5 * law.pdf(0.5), rel=1e-14)


def test_dirichlet_s_law() -> None:
    x, alpha = np.array([0.2, 0.3, 0.5]), np.array([1.5, 2.2, 0.6])
    slope = difflab.gradient(lambda a: stats.dirichlet.logpdf(x, a))(alpha)
    expected = special.digamma(alpha.sum()) - special.digamma(alpha) + np.log(x)
    np.testing.assert_allclose(slope, expected, rtol=1e-13)
    density = stats.dirichlet.pdf(x, alpha)
    slope = difflab.gradient(lambda x: stats.dirichlet.pdf(x / np.sum(x), alpha))(x)
    inner = density * (alpha - 1.0) / x
    np.testing.assert_allclose(slope, inner - x @ inner, rtol=1e-12, atol=1e-13)
    with pytest.raises(ValueError, match="sum to 1"):
        difflab.gradient(lambda x: stats.dirichlet.pdf(x, alpha))(2.0 * x)


# -- linear algebra, distances ---------------------------------------------------------------------

A = RNG.normal(size=(3, 3)) + 4.0 * np.eye(3)
S = A @ A.T
B = RNG.normal(size=(3, 2))
ALGEBRA: list[tuple[str, Callable[[Any], Any], Callable[[Any], Any], Any]] = [
    (name, applied(f, *args, **kwargs),
     lambda x, f=f, args=args, kwargs=kwargs: f(*[x if a is ... else a for a in args], **kwargs), x)
    for name, f, args, kwargs, x in [
        ("solve A", linalg.solve, (..., B), {}, A),
        ("solve b", linalg.solve, (A, ...), {}, B),
        ("solve sym", linalg.solve, (..., B), {"assume_a": "sym"}, S),
        ("solve pos", linalg.solve, (..., B), {"assume_a": "pos", "lower": True}, S),
        ("solve transposed", linalg.solve, (..., B[:, 0]), {"transposed": True}, A),
        ("solve_triangular", linalg.solve_triangular, (..., B), {}, A),
        ("solve_triangular low", linalg.solve_triangular, (..., B), {"lower": True, "trans": 1}, A),
        ("solve_triangular unit", linalg.solve_triangular, (..., B[:, 0]),
         {"unit_diagonal": True, "trans": "T"}, A),
        ("cholesky", linalg.cholesky, (...,), {}, S),
        ("cholesky low", linalg.cholesky, (...,), {"lower": True}, S),
        ("expm", linalg.expm, (...,), {}, A / 3.0),
        ("expm of zero", linalg.expm, (...,), {}, np.zeros((2, 2))),
        ("inv", linalg.inv, (...,), {}, A),
        ("det", linalg.det, (...,), {}, A),
        ("norm", linalg.norm, (...,), {}, A),
        ("norm 1", linalg.norm, (..., 1), {}, A),
        ("cho_solve", linalg.cho_solve, ((np.tril(A), True), ...), {}, B),
        *[(f"cdist {m}", distance.cdist, (..., A[:2]), {"metric": m}, X[:, :3])
          for m in ("euclidean", "sqeuclidean", "cityblock", "chebyshev", "cosine")],
        ("cdist minkowski", distance.cdist, (A, ..., "minkowski"), {"p": 3}, X[:, :3]),
        ("pdist", distance.pdist, (...,), {}, A),
        ("euclidean", distance.euclidean, (..., A[0]), {}, A[1]),
        ("cosine", distance.cosine, (..., A[0]), {}, A[1]),
        ("rosen", optimize.rosen, (...,), {}, X[0]),
        ("rosen_der", optimize.rosen_der, (...,), {}, X[0]),
    ]
]  # fmt: skip


@pytest.mark.parametrize("case", ALGEBRA, ids=[name for name, *_ in ALGEBRA])
def test_algebra(case: Any) -> None:
    _, f, plain, x = case
    found = trace(f, x)(x)
    np.testing.assert_allclose(found, plain(x), rtol=1e-12, atol=1e-14)
    _same_jacobian(f, plain, x, rtol=1e-7)


def test_cholesky_factors_solve() -> None:
    factor = applied(linalg.cho_factor)

    def f(a: Any) -> Any:
        return np.sum(applied(linalg.cho_solve, ..., B)(factor(a)) ** 2)

    inverse = np.linalg.inv(S)
    slope = difflab.gradient(f)(S)
    full = -2.0 * inverse @ inverse @ B @ B.T @ inverse
    expected = np.triu(full + full.T) - np.diag(np.diag(full))
    np.testing.assert_allclose(slope, expected, rtol=1e-9, atol=1e-12)


def test_rosen_der_is_the_gradient_of_rosen() -> None:
    x = X[0]
    slope = difflab.gradient(applied(optimize.rosen))(x)
    np.testing.assert_allclose(slope, optimize.rosen_der(x), rtol=1e-13)
    bend = difflab.jacobian(applied(optimize.rosen_der))(x)
    np.testing.assert_allclose(bend, optimize.rosen_hess(x), rtol=1e-13, atol=1e-12)


# -- names, refusals -------------------------------------------------------------------------------


def test_names() -> None:
    assert named(special.digamma) == "scipy.special.psi"
    assert named(linalg.solve) == "scipy.linalg.solve"
    assert named(stats.norm.logpdf) == named(stats.norm(1, 2).logpdf) == "scipy.stats.norm.logpdf"
    assert named(distance.cdist) == "scipy.spatial.distance.cdist"
    assert named(optimize.rosen) == "scipy.optimize.rosen"
    assert named(math.erf) == "math.erf"
    assert named(np.sin) is named(print) is named(lambda x: x) is named(3) is None
    assert meaning_of(special.zeta) is None


def test_ufuncs_reach_traced_values() -> None:
    found = difflab.gradient(lambda x: np.sum(special.gammaln(x)))(np.array([1.5, 2.5]))
    np.testing.assert_allclose(found, special.digamma([1.5, 2.5]), rtol=1e-15)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda x: special.airy(x)[0], "scipy.special.airy"),
        (lambda x: special.erf(x, where=np.array([True])), "scipy.special.erf with where="),
        (applied(special.logsumexp, ..., return_sign=True), "return_sign="),
        (applied(stats.t.cdf, ..., 3.0), "scipy.stats.t.cdf"),
        (applied(stats.norm.ppf), "scipy.stats.norm.ppf"),
        (applied(linalg.solve, A, ..., assume_a="banded"), "assume_a='banded'"),
        (applied(distance.cdist, A, ..., metric="jaccard"), "metric='jaccard'"),
        (applied(linalg.eigh, A, ..., type=2), "scipy.linalg.eigh with b="),
    ],
)
def test_refusals_name_the_function(call: Any, text: str) -> None:
    with pytest.raises(UnsupportedError, match=text):
        trace(call, np.ones((2, 3)) if "metric" in text else np.ones(3))


def test_scipy_is_not_imported() -> None:
    code = "import difflab, sys; assert not [m for m in sys.modules if m.startswith('scipy')]"
    subprocess.run([sys.executable, "-c", code], check=True)
