"""Eigenvalues, singular values and their vectors, QR factors and pseudoinverses, on stacks.

The vectors have the signs that LAPACK gives them; where those change, as at some zeros of a matrix,
is a kink. Where values of a spectrum coincide, their vectors have no derivative (`inverse_gaps` is
NaN), and the values have one only in functions that are symmetric in them (`settled`): those take
equal cotangents there. Forward mode does not see what a function does with them, and takes the
slopes of the values that LAPACK's vectors belong to.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from difflab.ir.expr import Expr
from difflab.ir.rounding import EVEN, Local
from difflab.ir.row import (
    NOT_HOLOMORPHIC,
    OwnFunction,
    Primitive,
    Transpose,
    Typed,
    Unsupported,
    general,
    like_first,
    sample,
)
from difflab.table.algebra import cubic_cost, lower_part, swap


def _bounded(y: Any, size: Any, a: Any) -> Local:
    """Of a backward stable algorithm: what an error of a few ulps of |A| makes of the result."""
    return Local(size + 0.0 * np.abs(y), 2.0 * sum(a.shape[-2:]), EVEN)


def _norm(a: Any) -> Any:
    return np.linalg.norm(a, 2, (-2, -1), keepdims=True)


# -- where values coincide -------------------------------------------------------------------------


def _gaps(x: Any) -> Any:
    """In row j and column i, how far value i is above value j."""
    return x[..., None, :] - x[..., :, None]


def _alike(x: Any, ulps: float) -> Any:
    """Which pairs of values are equal, to within so many ulps of the largest for each of them."""
    allowed = ulps * x.shape[-1] * np.finfo(x.dtype).eps
    return (
        np.abs(_gaps(x))
        <= allowed * np.max(np.abs(x), (-1,), keepdims=True, initial=0.0)[..., None]
    )


def _ties(x: Any) -> Any:
    """Which pairs of different places hold values that are equal within a spectrum's rounding."""
    return _alike(x, 1.0) & ~np.eye(x.shape[-1], dtype=bool)


@OwnFunction
def inverse_gaps(x: Any) -> Any:
    """The inverse distance of each value from each other one, in row j and column i of i from j;
    NaN where they coincide.

    >>> inverse_gaps(np.array([1.0, 3.0]))
    array([[ 0. ,  0.5],
           [-0.5,  0. ]])
    """
    eye = np.eye(x.shape[-1], dtype=bool)
    return np.where(_ties(x), x.dtype.type(np.nan), ~eye / (_gaps(x) + eye.astype(x.dtype)))


def _inverse_gaps_ball(x: Any) -> Any:
    gaps, apart = _gaps(x), ~np.eye(x.shape[-1], dtype=bool)
    found = np.zeros(gaps.shape, object)
    found[..., apart] = 1 / gaps[..., apart]
    return found


def _inverse_gaps_pullback(y: Any, ct: Any, x: Any) -> Any:
    part = -(y * y) * ct
    return (np.sum(part, -2) - np.sum(part, -1),)


@OwnFunction
def settled(ct: Any, x: Any) -> Any:
    """The cotangents of a spectrum; NaN where equal values have different ones.

    >>> settled(np.array([2.0, 2.0, 5.0]), np.array([1.0, 1.0, 3.0]))
    array([2., 2., 5.])
    >>> settled(np.array([2.0, 0.0, 5.0]), np.array([1.0, 1.0, 3.0]))
    array([nan, nan,  5.])
    """
    torn = np.any(_ties(x) & ~_alike(ct, 64.0), -1)
    return np.where(torn, ct.dtype.type(np.nan), ct)


def _settled_ball(ct: Any, x: Any) -> Any:
    found = np.array(ct, object)
    for (*lead, j, i), gap in np.ndenumerate(_gaps(x)):
        here = found[(*lead, i)]
        settled_here = i == j or gap > 0 or gap < 0 or here == ct[(*lead, j)]
        if not settled_here:
            found[(*lead, i)] = here / (0 * here)  # no number
    return found


def _turning(x: Any) -> Any:
    """How far an error of a spectrum's matrix turns its vectors, relative to the largest value."""
    inverse = np.nan_to_num(np.abs(inverse_gaps(x)), nan=np.inf)
    return np.max(np.abs(x), -1)[..., None, None] * np.sum(inverse, -2, keepdims=True)


def _steady(vectors: Any, a: Any) -> Any:
    """Zero where vectors have not the same signs at a matrix and to both sides of it."""
    step = 2.0**-30 * np.max(np.abs(a)) * np.random.default_rng(0).normal(size=a.shape)
    here, *sides = (vectors(x) for x in (a, a + step, a - step))
    kept = np.minimum.reduce([np.sum(here * side, -2) for side in sides])
    return np.heaviside(kept, 0.0) * (1.0 + np.max(np.abs(a)))


def _used(ct: Any) -> Any:
    """Which columns have a cotangent, whatever the numbers are: not those that nobody took."""
    return np.any(_filled(ct), tuple(range(ct.ndim - 1)))


def _filled(x: Any, depth: int = 8) -> Any:
    """Where an array may be other than 0: it was moved, added and scaled, for so many steps."""
    if type(x) is Expr and depth:
        row = x.primitive
        parts = [_filled(part, depth - 1) for part in x.operands if part.differentiable]
        if row.kind == "movement" and len(x.operands) == 1:
            return row.evaluate(*parts, **dict(x.params))
        if row.is_product:
            return np.logical_and.reduce(np.broadcast_arrays(*parts))
        if row.kind == "pointwise" and isinstance(row.derivative, Transpose):
            return np.logical_or.reduce(np.broadcast_arrays(*parts))
    return np.ones(x.shape, bool)


def _kept(x: Any, used: Any) -> Any:
    return x if np.all(used) else np.where(used, x, 0.0)


# -- of symmetric matrices -------------------------------------------------------------------------


def _triangle(a: Any, uplo: Any) -> Any:
    return lower_part(a) if uplo == "L" else swap(lower_part(swap(a)))


def _symmetric(a: Any, uplo: Any) -> Any:
    """The symmetric matrix whose one triangle is read."""
    half = _triangle(a, uplo)
    return half + swap(half) - half * np.eye(a.shape[-1], dtype=a.dtype)


def _read(s: Any, uplo: Any) -> Any:
    """The adjoint of `_symmetric`: elements off the diagonal stand for two."""
    return _triangle(s + swap(s), uplo) - s * np.eye(s.shape[-1], dtype=s.dtype)


@OwnFunction
def eigenvalues(a: Any, uplo: Any) -> Any:
    """The eigenvalues of symmetric matrices of which one triangle is read, in ascending order."""
    return np.linalg.eigvalsh(a, uplo)


@OwnFunction
def eigenvectors(a: Any, uplo: Any) -> Any:
    """Their eigenvectors, in columns."""
    return np.linalg.eigh(a, uplo)[1]


def _eigenvalues_pushforward(y: Any, tangents: Any, a: Any, uplo: Any) -> Any:
    v = eigenvectors(a, uplo)
    return np.sum(v * (_symmetric(tangents[0], uplo) @ v), -2)


def _eigenvalues_pullback(y: Any, ct: Any, a: Any, uplo: Any) -> Any:
    v = eigenvectors(a, uplo)
    return (_read(v * settled(ct, y)[..., None, :] @ swap(v), uplo),)


def _turned(v: Any, x: Any, a: Any, uplo: Any, used: Any = True) -> Any:
    """How eigenvectors turn when x is what the matrix gains, times them; its own adjoint."""
    turns = inverse_gaps(eigenvalues(a, uplo)) * (swap(v) @ x)
    return v @ _kept(turns, used)


def _eigenvectors_pullback(y: Any, ct: Any, a: Any, uplo: Any) -> Any:
    return (_read(_turned(y, ct, a, uplo, _used(ct)) @ swap(y), uplo),)


# -- of any matrices -------------------------------------------------------------------------------


@OwnFunction
def singular_values(a: Any) -> Any:
    """The singular values, in descending order."""
    return np.linalg.svd(a, compute_uv=False)


@OwnFunction
def singular_vectors(a: Any) -> Any:
    """Left singular vectors in columns, and below each the right one."""
    u, _, vh = np.linalg.svd(a, full_matrices=False)
    return np.concatenate([u, swap(vh)], -2)


def _halves(y: Any, a: Any) -> Any:
    rows = a.shape[-2]
    return y[..., :rows, :], y[..., rows:, :]


def _mirrored(s: Any) -> Any:
    """The spectrum of [[0, A], [A', 0]]: singular values, and each with the other sign."""
    return np.concatenate([s, -s], -1)


def _singular_values_pushforward(y: Any, tangents: Any, a: Any) -> Any:
    u, v = _halves(singular_vectors(a), a)
    return np.sum(u * (tangents[0] @ v), -2)


def _singular_values_pullback(y: Any, ct: Any, a: Any) -> Any:
    u, v = _halves(singular_vectors(a), a)
    weights = settled(_mirrored(ct), _mirrored(y))[..., : y.shape[-1]]
    return (u * weights[..., None, :] @ swap(v),)


def _outside(u: Any, x: Any) -> Any:
    """The part of x that is no combination of the columns of u."""
    return x - u @ (swap(u) @ x) if u.shape[-2] > u.shape[-1] else 0.0 * x


def _turned_pairs(y: Any, x: Any, a: Any, used: Any = True) -> Any:
    """How pairs of singular vectors turn: as eigenvectors of [[0, A], [A', 0]]; its own adjoint."""
    (u, v), (left, right), s = _halves(y, a), _halves(x, a), singular_values(a)
    inverse, k = inverse_gaps(_mirrored(s)), s.shape[-1]
    mirror = np.concatenate([u, -v], -2)
    among = y @ _kept(inverse[..., :k, :k] * (swap(y) @ x), used)
    across = mirror @ _kept(inverse[..., k:, :k] * (swap(mirror) @ x), used)
    beyond = np.concatenate([_outside(u, left), _outside(v, right)], -2)
    return 0.5 * (among + across) + _kept(beyond / s[..., None, :], used)


def _singular_vectors_pushforward(y: Any, tangents: Any, a: Any) -> Any:
    u, v = _halves(y, a)
    (t,) = tangents
    return _turned_pairs(y, np.concatenate([t @ v, swap(t) @ u], -2), a)


def _singular_vectors_pullback(y: Any, ct: Any, a: Any) -> Any:
    u, v = _halves(y, a)
    left, right = _halves(_turned_pairs(y, ct, a, _used(ct)), a)
    return (left @ swap(v) + u @ swap(right),)


@OwnFunction
def qr_factors(a: Any) -> Any:
    """Q, and below it R."""
    return np.concatenate([*np.linalg.qr(a)], -2)


def _over(x: Any, r: Any) -> Any:
    """x r^-1 for a triangle, its rows scaled to ones; NaN where it is singular within rounding."""
    diagonal = np.diagonal(r, 0, -2, -1)
    ends = np.concatenate([diagonal, 0.0 * diagonal[..., :1]], -1)
    scale = swap(inverse_gaps(ends)[..., -1:, :-1])
    return swap(np.linalg.solve(scale * swap(r), scale * swap(x)))


def _below(a: Any) -> Any:
    return a * np.tri(a.shape[-1], k=-1, dtype=a.dtype)


def _qr_pushforward(y: Any, tangents: Any, a: Any) -> Any:
    q, r = _halves(y, a)
    moved = _over(tangents[0], r)
    inner = swap(q) @ moved
    turn = _below(inner) - swap(_below(inner))
    return np.concatenate([moved + q @ (turn - inner), (inner - turn) @ r], -2)


def _qr_pullback(y: Any, ct: Any, a: Any) -> Any:
    q, r = _halves(y, a)
    left, right = _halves(ct, a)
    turn, stretch = swap(q) @ left, right @ swap(r)
    inner = _below(turn - swap(turn) + swap(stretch)) + stretch - _below(stretch)
    return (_over(left + q @ (inner - turn), swap(r)),)


def _qr_rounding(y: Any, a: Any) -> Local:
    size, inverse = _norm(a), _norm(np.linalg.pinv(a))
    rows = np.arange(y.shape[-2])[:, None] < a.shape[-2]
    return _bounded(y, 2.0 * size * inverse * np.where(rows, 1.0, size), a)


def _pinv_pushforward(y: Any, tangents: Any, a: Any, rcond: float) -> Any:
    # Golub and Pereyra (1973), for a rank that does not change.
    (t,) = tangents
    turned = swap(t)
    rest = turned - (turned @ a) @ y
    other = turned - y @ (a @ turned)
    return y @ (swap(y) @ rest) - y @ t @ y + (other @ swap(y)) @ y


def _pinv_pullback(y: Any, ct: Any, a: Any, rcond: float) -> Any:
    flipped, turned = swap(y), swap(ct)
    left = turned - a @ (y @ turned)
    right = turned - (turned @ y) @ a
    return (left @ y @ flipped - flipped @ ct @ flipped + flipped @ (y @ right),)


@OwnFunction
def least_squares(a: Any, b: Any, rcond: float) -> Any:
    """The smallest x that brings a x nearest to b; singular values below a share count as 0."""
    if a.ndim == 2:
        return np.linalg.lstsq(a, b, rcond)[0]
    return np.stack([least_squares.evaluate(*pair, rcond) for pair in zip(a, b, strict=True)])


def _least_squares_pushforward(y: Any, tangents: Any, a: Any, b: Any, rcond: float) -> Any:
    (ta, tb), inverse = tangents, np.linalg.pinv(a, rcond)
    if ta is None:
        return inverse @ tb
    turned = swap(ta) @ (swap(inverse) @ y)
    moved = -ta @ y if tb is None else tb - ta @ y
    found = inverse @ (moved + swap(inverse) @ (swap(ta) @ (b - a @ y)))
    return found + turned - inverse @ (a @ turned)


def _least_squares_pullback(y: Any, ct: Any, a: Any, b: Any, rcond: float) -> Any:
    inverse = np.linalg.pinv(a, rcond)
    adjoint = swap(inverse) @ ct
    outside = ct - swap(a) @ adjoint
    part = (b - a @ y) @ swap(inverse @ adjoint) + swap(inverse) @ y @ swap(outside)
    return part - adjoint @ swap(y), adjoint


def _least_squares_rounding(y: Any, a: Any, b: Any, rcond: float) -> Local:
    inverse, size = _norm(np.linalg.pinv(a, rcond)), _norm(a)
    rest = np.linalg.norm(b - a @ y, axis=-2, keepdims=True)
    turned = size * np.linalg.norm(y, axis=-2, keepdims=True) + size * inverse * rest
    return _bounded(y, inverse * (turned + np.linalg.norm(b, axis=-2, keepdims=True)), a)


# -- the rows --------------------------------------------------------------------------------------

_NO_SYMBOL: Final = Unsupported("SymPy has neither LAPACK's order and signs nor its cutoff")


def _few(a: Any) -> int:
    return int(min(a.shape[-2:]))


def _pairs_infer(a: Any) -> Typed:
    return (*a.shape[:-2], sum(a.shape[-2:]), _few(a)), a.dtype


def _spectra(rng: np.random.Generator) -> Any:
    return np.sort(rng.normal(size=(2, 3)), -1) + np.arange(3.0)


def _shapes(*shapes: tuple[int, ...], **params: Any) -> Any:
    return lambda rng, shape: [sample(rng.normal(size=s), **params) for s in shapes]


def _triangles(rng: np.random.Generator, shape: Any) -> Any:
    return [sample(rng.normal(size=(2, 3, 3)), uplo="L"), sample(rng.normal(size=(3, 3)), uplo="U")]


def _factors(function: Any, *params: str, **cells: Any) -> Primitive:
    name = function.__name__
    emit = f"{name}({', '.join(['{operands}', *[f'{{{param}}}' for param in params]])})"
    return general(
        function, kind="factorisation", ball=name, emit=emit, germ="not_told", cost=cubic_cost,
        complex=NOT_HOLOMORPHIC, sympy=_NO_SYMBOL, **cells,
    )  # fmt: skip


# fmt: off
ROWS: Final[tuple[Primitive, ...]] = (
    general(inverse_gaps, kind="reduction", sympy=_NO_SYMBOL, ball=_inverse_gaps_ball,
        infer=lambda x: ((*x.shape, x.shape[-1]), x.dtype), emit="inverse_gaps({0})",
        pushforward=lambda y, t, x: -(y * y) * _gaps(t[0]), pullback=_inverse_gaps_pullback,
        rounding=lambda y, x: Local(y, 2.0, 2.0 * EVEN),
        sample=lambda rng, shape: [sample(_spectra(rng))]),
    general(settled, kind="reduction", sympy=_NO_SYMBOL, ball=_settled_ball, infer=like_first,
        pushforward=lambda y, t, ct, x: t[0], pullback=lambda y, ct, *_: (ct, None),
        emit="settled({0}, {1})",
        sample=lambda rng, shape: [sample(rng.normal(size=(2, 3)), _spectra(rng))]),
    _factors(eigenvalues, "uplo", infer=lambda a, uplo: (a.shape[:-1], a.dtype),
        pushforward=_eigenvalues_pushforward, pullback=_eigenvalues_pullback,
        kink=lambda a, uplo="L": np.diff(np.linalg.eigvalsh(a, uplo)), sample=_triangles,
        rounding=lambda y, a, uplo: _bounded(y, np.max(np.abs(y), (-1,), keepdims=True), a)),
    _factors(eigenvectors, "uplo", infer=lambda a, uplo: (a.shape, a.dtype),
        pushforward=lambda y, t, a, uplo: _turned(y, _symmetric(t[0], uplo) @ y, a, uplo),
        pullback=_eigenvectors_pullback, sample=_triangles,
        kink=lambda a, uplo="L": _steady(lambda x: eigenvectors(x, uplo), a),
        rounding=lambda y, a, uplo: _bounded(y, _turning(np.linalg.eigvalsh(a, uplo)), a)),
    _factors(singular_values, infer=lambda a: ((*a.shape[:-2], _few(a)), a.dtype),
        pushforward=_singular_values_pushforward, pullback=_singular_values_pullback,
        kink=lambda a: np.diff(np.linalg.svd(a, compute_uv=False), append=0.0),
        rounding=lambda y, a: _bounded(y, np.max(y, (-1,), keepdims=True), a),
        sample=_shapes((2, 3, 2), (2, 3))),
    _factors(singular_vectors, infer=_pairs_infer,
        pushforward=_singular_vectors_pushforward, pullback=_singular_vectors_pullback,
        kink=lambda a: _steady(singular_vectors, a),
        rounding=lambda y, a: _bounded(
            y, 2.0 * _turning(_mirrored(singular_values(a)))[..., : y.shape[-1]], a),
        sample=_shapes((2, 3, 2), (2, 3), (2, 2))),
    _factors(qr_factors, infer=_pairs_infer, pushforward=_qr_pushforward, pullback=_qr_pullback,
        kink=lambda a: _steady(lambda x: np.linalg.qr(x)[0], a), rounding=_qr_rounding,
        sample=_shapes((2, 3, 2), (3, 3))),
    _factors(np.linalg.pinv, "rcond",
        infer=lambda a, rcond: ((*a.shape[:-2], *a.shape[:-3:-1]), a.dtype),
        pushforward=_pinv_pushforward, pullback=_pinv_pullback,
        rounding=lambda y, a, rcond: _bounded(y, 3.0 * _norm(a) * _norm(y) ** 2, a),
        sample=_shapes((2, 3, 2), (2, 3), (2, 2), rcond=1e-15)),
    _factors(least_squares, "rcond",
        infer=lambda a, b, rcond: ((*a.shape[:-2], a.shape[-1], b.shape[-1]), a.dtype),
        pushforward=_least_squares_pushforward, pullback=_least_squares_pullback,
        rounding=_least_squares_rounding,
        sample=lambda rng, shape: [
            sample(rng.normal(size=(*lead, m, n)), rng.normal(size=(*lead, m, 2)), rcond=1e-15)
            for lead, m, n in (((2,), 3, 2), ((), 2, 3), ((), 2, 2))]),
)
# fmt: on
