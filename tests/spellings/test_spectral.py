"""Spectra, factors and least squares against mpmath at 50 digits and against closed forms."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

import difflab
from difflab.accuracy.truth import truth

RNG = np.random.default_rng(11)
S, B, W = RNG.normal(size=(4, 4)), RNG.normal(size=(4, 3)), RNG.normal(size=(6, 6))
C = np.array([1.0, -2.0, 0.5, 3.0])
methods = pytest.mark.parametrize("method", ["reverse", "forward"])


def differences(f: Callable[[Any], Any], a: Any) -> Any:
    """The gradient at 50 digits, by central differences with an error of about 1e-34."""
    with mpmath.workdps(50):
        step, found = mpmath.mpf(10) ** -17, np.zeros(a.shape)
        for i, j in np.ndindex(a.shape):
            ends = []
            for sign in (1, -1):
                moved = mpmath.matrix(a.tolist())
                moved[i, j] += sign * step
                ends.append(f(moved))
            found[i, j] = float((ends[0] - ends[1]) / (2 * step))
    return found


def weighed(x: Any, signs_of: Any = None) -> Any:
    """A matrix of mpmath's, its columns with the signs of another one's, times W."""
    total = mpmath.mpf(0)
    for j in range(x.cols):
        sign = 1
        if signs_of is not None:
            products = [x[i, j] * signs_of[i, j] for i in range(x.rows)]
            sign = 1 if sum(products) > 0 else -1
        total += sign * sum(x[i, j] * W[i, j] for i in range(x.rows))
    return total


def triangle(a: Any, uplo: str) -> Any:
    """The symmetric matrix of which a function reads one triangle."""
    pairs = [(max(i, j), min(i, j)) for i in range(a.rows) for j in range(a.cols)]
    entries = [a[i, j] if uplo == "L" else a[j, i] for i, j in pairs]
    return mpmath.matrix(a.rows, a.cols) + mpmath.matrix(
        [entries[k * a.cols : (k + 1) * a.cols] for k in range(a.rows)]
    )


def normal_equations(a: Any, b: Any) -> Any:
    return mpmath.lu_solve(a.T * a, a.T * b)


def signed_qr(a: Any) -> Any:
    """By Gram and Schmidt, with the signs of LAPACK's."""
    signs = np.sign(np.diag(np.linalg.qr(np.array(a.tolist(), float), "r")))
    r = mpmath.cholesky(a.T * a).T
    r = mpmath.diag([mpmath.mpf(x) for x in signs]) * r
    return weighed(a * mpmath.inverse(r)) + weighed(r)


def singular(a: Any, part: int) -> Any:
    """Singular vectors as eigenvectors of A'A and AA'."""
    u, _, vh = np.linalg.svd(np.array(a.tolist(), float), full_matrices=False)
    near, square = (u, a * a.T) if part == 0 else (vh.T, a.T * a)
    _, q = mpmath.eigsy(square)
    q = mpmath.matrix(q.tolist())
    columns = [q.cols - 1 - j for j in range(near.shape[1])]
    picked = mpmath.matrix([[q[i, j] for j in columns] for i in range(q.rows)])
    return weighed(picked, near)


def residual(a: Any) -> Any:
    rest = a * normal_equations(a, mpmath.matrix(C)) - mpmath.matrix(C)
    return sum(x * x for x in rest)


def spectral_sum(a: Any) -> Any:
    values = mpmath.eigsy(a.T * a, eigvals_only=True)
    return sum(k * mpmath.sqrt(x) for k, x in enumerate(values, 1))


TRUTHS: dict[str, tuple[Any, Any, Any]] = {
    "eigvalsh": (
        lambda a: C @ np.linalg.eigvalsh(a), S,
        lambda a: mpmath.fdot(C, mpmath.eigsy(triangle(a, "L"), eigvals_only=True)),
    ),
    "eigvalsh of the upper triangle": (
        lambda a: C @ np.linalg.eigvalsh(a, "U"), S,
        lambda a: mpmath.fdot(C, mpmath.eigsy(triangle(a, "U"), eigvals_only=True)),
    ),
    "eigh": (
        lambda a: np.sum(np.linalg.eigh(a).eigenvectors * W[:4, :4]), S,
        lambda a: weighed(mpmath.eigsy(triangle(a, "L"))[1], np.linalg.eigh(S)[1]),
    ),
    "eigh of the upper triangle": (
        lambda a: np.sum(np.linalg.eigh(a, "u")[1] * W[:4, :4]), S,
        lambda a: weighed(mpmath.eigsy(triangle(a, "U"))[1], np.linalg.eigh(S, "U")[1]),
    ),
    "svdvals": (lambda a: np.array([3.0, 2, 1]) @ np.linalg.svdvals(a), B, spectral_sum),
    "left vectors": (
        lambda a: np.sum(np.linalg.svd(a, full_matrices=False)[0] * W[:4, :3]), B,
        lambda a: singular(a, 0),
    ),
    "right vectors": (
        lambda a: np.sum(np.linalg.svd(a, full_matrices=False).Vh.T * W[:3, :3]), B,
        lambda a: singular(a, 1),
    ),
    "left vectors of wide ones": (
        lambda a: np.sum(np.linalg.svd(a, False)[0] * W[:3, :3]), B.T, lambda a: singular(a, 0),
    ),
    "right vectors of wide ones": (
        lambda a: np.sum(np.linalg.svd(a, False)[2].T * W[:4, :3]), B.T,
        lambda a: singular(a, 1),
    ),
    "qr": (
        lambda a: sum(np.sum(x * W[: len(x), :3]) for x in np.linalg.qr(a)), B, signed_qr,
    ),
    "pinv": (
        lambda a: np.sum(np.linalg.pinv(a) * W[:3, :4]), B,
        lambda a: weighed(mpmath.inverse(a.T * a) * a.T),
    ),
    "lstsq": (
        lambda a: np.linalg.lstsq(a, C)[0] @ W[:3, 0], B,
        lambda a: mpmath.fdot(W[:3, 0], normal_equations(a, mpmath.matrix(C))),
    ),
    "residuals": (lambda a: np.linalg.lstsq(a, C)[1][0], B, residual),
    "spectral norm": (
        lambda a: np.linalg.norm(a, 2), B,
        lambda a: mpmath.sqrt(max(mpmath.eigsy(a.T * a, eigvals_only=True))),
    ),
    "nuclear norm": (
        lambda a: np.linalg.matrix_norm(a, ord="nuc"), B,
        lambda a: sum(map(mpmath.sqrt, mpmath.eigsy(a.T * a, eigvals_only=True))),
    ),
    "cond": (
        lambda a: np.linalg.cond(a), B,
        lambda a: (lambda w: mpmath.sqrt(w[2] / w[0]))(mpmath.eigsy(a.T * a, eigvals_only=True)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TRUTHS)
def test_gradients_have_their_digits(name: str) -> None:
    f, a, exact = TRUTHS[name]
    true = differences(exact, a)
    for method in ("reverse", "forward"):
        found = difflab.gradient(f, method=method)(a)
        assert np.max(np.abs(found - true)) <= 1e-12 * np.max(np.abs(true))
    certified = truth(f, a)
    assert certified.verdict == "smooth"
    assert np.max(np.abs(certified.midpoint - true)) <= 1e-14 * np.max(np.abs(true))
    assert difflab.check(f, a).verdict in ("correct", "rounding")


@methods
def test_eigenvalues_of_two_by_two(method: str) -> None:
    a, b, c = 1.5, 0.7, -0.4
    radius = np.hypot((a - c) / 2, b)
    tilt, slope = (a - c) / (4 * radius), b / radius
    found = difflab.gradient(lambda m: np.linalg.eigvalsh(m)[1], method=method)(
        np.array([[a, 99.0], [b, c]])
    )
    # The upper element is not read, and the lower one stands for both.
    np.testing.assert_allclose(found, [[0.5 + tilt, 0.0], [slope, 0.5 - tilt]], rtol=1e-14)


# -- where values coincide -------------------------------------------------------------------------

PLANE = np.linalg.qr(RNG.normal(size=(3, 3)))[0]
TIED = PLANE @ np.diag([2.0, 2.0, -1.0]) @ PLANE.T
LOW = np.outer([1.0, 2.0, 2.0], [0.6, 0.8])


@methods
@pytest.mark.parametrize("a", [np.eye(3), np.zeros((3, 3)), np.diag([1.0, 2.0, 1.0]), TIED])
def test_symmetric_functions_are_smooth_everywhere(a: Any, method: str) -> None:
    doubled = 2.0 * np.tril(a, -1) + np.diag(np.diag(a))
    found = difflab.gradient(lambda m: np.sum(np.linalg.eigvalsh(m) ** 2), method=method)(a)
    np.testing.assert_allclose(found, 2.0 * doubled, atol=1e-14)
    found = difflab.gradient(lambda m: np.sum(np.linalg.eigvalsh(m)), method=method)(a)
    np.testing.assert_allclose(found, np.eye(3), atol=1e-14)
    found = difflab.gradient(lambda m: np.sum(np.linalg.svdvals(m) ** 4), method=method)(a)
    np.testing.assert_allclose(found, 4.0 * a @ a.T @ a, atol=1e-12)


@pytest.mark.parametrize("a", [PLANE, LOW, np.zeros((2, 3))])
def test_singular_values_that_coincide_or_vanish(a: Any) -> None:
    found = difflab.gradient(lambda m: np.sum(np.linalg.svdvals(m) ** 2))(a)
    np.testing.assert_allclose(found, 2.0 * a, atol=1e-14)
    assert np.isnan(difflab.gradient(lambda m: np.linalg.svdvals(m)[-1])(a)).any()


NONE: dict[str, tuple[Any, Any]] = {
    "one of equal eigenvalues": (lambda a: np.linalg.eigvalsh(a)[0], np.eye(3)),
    "one of eigenvalues that rounding parts": (lambda a: np.linalg.eigvalsh(a)[2], TIED),
    "the norm of a rotation": (lambda a: np.linalg.norm(a, 2), PLANE),
    "the nuclear norm of lower rank": (lambda a: np.linalg.norm(a, "nuc"), LOW),
    "an eigenvector of equal eigenvalues": (lambda a: np.linalg.eigh(a)[1][0, 0], np.eye(3)),
    "a singular vector of 0": (lambda a: np.linalg.svd(a, False)[0][0, 1], LOW),
    "factors of dependent columns": (lambda a: np.sum(np.linalg.qr(a)[0]), np.ones((2, 2))),
    "a matrix put together again": (
        lambda a: np.sum((lambda w, v: (v * w) @ v.T * W[:3, :3])(*np.linalg.eigh(a))),
        np.diag([0.0, 0.0, 1.0]),
    ),
}


@pytest.mark.parametrize("name", NONE)
def test_where_there_is_no_derivative_there_is_no_number(name: str) -> None:
    f, a = NONE[name]
    assert np.isnan(difflab.gradient(f)(a)).any()


@pytest.mark.parametrize(
    "name", [name for name, (_, a) in NONE.items() if not (a is TIED or a is PLANE)]
)
def test_truth_certifies_nothing_where_values_coincide(name: str) -> None:
    assert truth(*NONE[name]).verdict in ("undecided", "kink")


SIGNS: dict[str, tuple[Any, Any, Any]] = {
    "eigh": (lambda a: np.linalg.eigh(a)[1][0, 0], np.diag([1.0, 3.0]), (1, 0)),
    "qr": (lambda a: np.linalg.qr(a)[0][0, 1], np.array([[0.0, 1.0], [2.0, 3.0]]), (0, 0)),
}


@pytest.mark.parametrize("name", SIGNS)
def test_truth_certifies_nothing_where_signs_change(name: str) -> None:
    f, a, place = SIGNS[name]
    beside = a.copy()
    beside[place] = -1e-9
    if abs(f(a) - f(beside)) > 1.0:  # LAPACK's choice
        assert truth(f, a).verdict in ("undecided", "jump")
    beside[place] = 0.5
    assert truth(f, beside).verdict == "smooth"


@methods
def test_a_vector_is_smooth_where_others_coincide(method: str) -> None:
    f = lambda a: np.linalg.eigh(a)[1][:, -1] @ np.array([1.0, 2.0, 4.0])
    sign = np.sign(np.linalg.eigh(np.diag([0.0, 0.0, 3.0]))[1][2, 2])
    found = difflab.gradient(f, method=method)(np.diag([0.0, 0.0, 3.0]))
    np.testing.assert_allclose(found, sign * np.array([[0, 0, 0], [0, 0, 0], [1, 2, 0]]) / 3.0)


def test_a_singular_vector_is_smooth_where_others_vanish() -> None:
    a = np.zeros((3, 3))
    a[0, 0] = 2.0
    sign = np.sign(np.linalg.svd(a)[0][0, 0])
    found = difflab.gradient(lambda m: np.linalg.svd(m)[0][:, 0] @ np.array([1.0, 2.0, 4.0]))(a)
    np.testing.assert_allclose(found, sign * np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0]]))


# -- second derivatives ----------------------------------------------------------------------------


def _lower_basis(n: int) -> Any:
    """What each element of a matrix, read in its lower triangle, adds to the symmetric one."""
    basis = np.zeros((n, n, n, n))
    for i, j in itertools.product(range(n), repeat=2):
        if i >= j:
            basis[i, j, i, j] = basis[i, j, j, i] = 1.0
    return basis


def test_hessian_of_the_sum_of_cubes() -> None:
    a = (S + S.T)[:3, :3]
    basis = _lower_basis(3)
    # tr (A + T)^3 has the second-order part 3 tr(A T T).
    expected = 6.0 * np.einsum("ij,abjk,cdki->abcd", a, basis, basis)
    expected = (expected + np.transpose(expected, (2, 3, 0, 1))) / 2.0
    found = difflab.hessian(lambda m: np.sum(np.linalg.eigvalsh(m) ** 3))(a)
    np.testing.assert_allclose(found, expected, atol=1e-11)
    exact = truth(lambda m: np.sum(np.linalg.eigvalsh(m) ** 3), a, order=2)
    assert exact.verdict == "smooth"
    np.testing.assert_allclose(exact.midpoint, expected, atol=1e-13)


def test_hessian_of_the_sum_of_fourth_powers() -> None:
    found = difflab.hessian(lambda a: np.sum(np.linalg.svdvals(a) ** 4))(B)
    expected = difflab.hessian(lambda a: np.sum((a.T @ a) ** 2))(B)
    np.testing.assert_allclose(found, expected, atol=1e-10)


@pytest.mark.parametrize("name", ["eigh", "right vectors of wide ones", "qr", "pinv"])
def test_hessians_of_vectors_and_factors(name: str) -> None:
    f, a, _ = TRUTHS[name]
    gradient, step = difflab.gradient(f), 1e-5
    v = RNG.normal(size=a.shape)
    parts = [k * (gradient(a + k * step * v) - gradient(a - k * step * v)) for k in (1, 2)]
    slope = (8.0 * parts[0] - parts[1] / 2.0) / (12.0 * step)
    found = np.sum(difflab.hessian(f)(a) * v, (2, 3))
    np.testing.assert_allclose(found, slope, rtol=1e-6, atol=1e-6 * np.max(np.abs(slope)))


# -- ranks -----------------------------------------------------------------------------------------


def test_a_pseudoinverse_of_fixed_rank() -> None:
    """Along matrices of rank 2, held against factors of full rank at 50 digits."""
    left, right = RNG.integers(-3, 4, (2, 2, 4, 2)).astype(float)
    a, t = left[0] @ right[0].T, left[1] @ right[0].T + left[0] @ right[1].T

    def exact(step: Any) -> Any:
        b, c = (
            mpmath.matrix(p.tolist()) + step * mpmath.matrix(q.tolist()) for p, q in (left, right)
        )
        return c * mpmath.inverse(c.T * c) * mpmath.inverse(b.T * b) * b.T

    with mpmath.workdps(50):
        h = mpmath.mpf(10) ** -17
        slope = np.array(((exact(h) - exact(-h)) / (2 * h)).tolist(), float)
    _, found = difflab.jvp(lambda m: np.linalg.pinv(m, rcond=1e-10), (a,), (t,))
    np.testing.assert_allclose(found, slope, atol=1e-12 * np.max(np.abs(slope)))
    assert truth(lambda m: np.sum(np.linalg.pinv(m)), np.ones((2, 2))).verdict == "undecided"


def test_ranks_are_data() -> None:
    f = lambda a: np.sum(a) * np.linalg.matrix_rank(a)
    np.testing.assert_array_equal(difflab.gradient(f)(B), np.full(B.shape, 3.0))
    np.testing.assert_array_equal(difflab.gradient(f)(LOW), np.full(LOW.shape, 1.0))
    assert truth(f, B).verdict == "smooth" and truth(f, np.ones((2, 2))).verdict == "undecided"
    g = difflab.gradient(lambda a: np.sum(np.linalg.lstsq(a, np.ones(3), rcond=1e-9)[0]))
    for a in (B[:3, :2], LOW, B[1:, :2]):  # the guard is asked again
        step, along = 1e-6, np.ones_like(a)
        plain = [np.sum(np.linalg.lstsq(a * (1 + s), np.ones(3), 1e-9)[0]) for s in (step, -step)]
        slope = (plain[0] - plain[1]) / (2 * step)
        assert np.sum(g(a) * a * along) == pytest.approx(slope, rel=1e-8)


def test_a_line_through_points() -> None:
    x, y = np.array([0.0, 1.0, 2.0, 4.0]), np.array([1.0, 3.0, 2.0, 5.0])
    found = difflab.jacobian(lambda y: np.polyfit(x, y, 1))(y)
    many = np.linspace(0.0, 20.0, 40)  # an ill-conditioned fit gives NumPy's own numbers
    f = difflab.value_and_gradient(lambda y: np.polyval(np.polyfit(many, y, 12), 3.3))
    assert f(np.sin(many))[0] == np.polyval(np.polyfit(many, np.sin(many), 12), 3.3)
    centred = x - x.mean()
    slopes = centred / (centred @ centred)
    np.testing.assert_allclose(found, [slopes, 0.25 - x.mean() * slopes], atol=1e-14)


# -- sets and histograms ---------------------------------------------------------------------------


def test_distinct_values_are_selected() -> None:
    f = difflab.gradient(lambda x: np.unique(x) @ np.arange(1.0, 1.0 + np.unique(x).size))
    np.testing.assert_array_equal(f(np.array([3.0, 1.0, 2.0])), [3.0, 1.0, 2.0])
    np.testing.assert_array_equal(f(np.array([1.0, 2.0, 3.0])), [1.0, 2.0, 3.0])  # traced again
    np.testing.assert_array_equal(f(np.array([5.0, 4.0, 5.0])), [2.0, 1.0, 0.0])
    tied = truth(lambda x: np.sum(np.unique(x)), np.array([5.0, 4.0, 5.0]))
    assert tied.verdict not in ("smooth", "undefined")


def test_edges_move_and_counts_do_not() -> None:
    def f(x: Any) -> Any:
        counts, edges = np.histogram(x, 4)
        return counts @ edges[:-1]

    x = np.array([0.0, 0.3, 1.1, 1.9, 2.0])
    counts = np.array([2, 0, 1, 2])
    inner = np.arange(4) / 4.0
    expected = [counts @ (1 - inner), 0.0, 0.0, 0.0, counts @ inner]
    np.testing.assert_allclose(difflab.gradient(f)(x), expected)
    density = difflab.jacobian(lambda x: np.histogram(x, 4, (0.0, 2.0), density=True)[0])(x)
    assert not density.any()
