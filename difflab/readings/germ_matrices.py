"""Matrices of germs: determinants, solutions and factors by elimination.

What flows: object arrays of balls and germs go in, the same come out. The invariant: what is
divided by is certainly not 0; where no such element is left, a determinant is made without
division, and a solution has no value if the matrix is certainly singular, else it is unknown.

>>> t = Germ.parameter()
>>> det(np.array([[t, Germ(1)], [Germ(2), t]], object)[None])[0]
-2 + t^2
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from difflab.ir.expr import Array
from difflab.readings.germs import NO_VALUE, NOT_TOLD, Germ, germ


def _matrices(rule: Callable[..., Any]) -> Callable[..., Any]:
    """A matrix rule on every matrix of a stack."""

    def read(*operands: Array, **_: Any) -> Array:
        lead = operands[0].shape[:-2]
        parts = {i: rule(*[x[i].copy() for x in operands]) for i in np.ndindex(lead)}
        shape = np.shape(next(iter(parts.values()))) if parts else ()
        found = np.empty(lead + shape, object)
        for i, part in parts.items():
            found[i] = part
        return found

    return read


def _pivot(column: Iterable[Any]) -> int | None:
    """The element to divide by: the one that vanishes most slowly; None where all are open."""
    signed = [(k, germ(x)) for k, x in enumerate(column)]
    best = [(x.valuation, k) for k, x in signed if x.sign in (1, -1)]
    return int(min(best)[1]) if best else None


def _eliminated(a: Array) -> tuple[Array, int] | None:
    """The upper triangle by elimination, and the sign of its permutation; None where no pivot is
    certain.
    """
    n, sign = len(a), 1
    for k in range(n):
        place = _pivot(a[k:, k])
        if place is None:
            return None
        if place:
            a[[k, k + place]] = a[[k + place, k]]
            sign = -sign
        for i in range(k + 1, n):
            if germ(a[i, k]).sign == 0:
                continue
            a[i, k:] = a[i, k:] - a[k, k:] * (germ(a[i, k]) / germ(a[k, k]))
    return a, sign


def _det(a: Array) -> Any:
    found = _eliminated(a.copy())
    if found is None:
        return _det_without_division(a)
    upper, sign = found
    return functools.reduce(lambda p, q: p * q, np.diagonal(upper), Germ(sign))


def _det_without_division(a: Array) -> Any:
    """By Berkowitz' algorithm, which is exact where no element is certain (Berkowitz 1984)."""
    n = len(a)
    if n == 0:
        return Germ(1)
    vector = np.array([Germ(1), -germ(a[0, 0])], object)
    for k in range(1, n):
        row, column, corner = a[k, :k], a[:k, k], germ(a[k, k])
        first = [Germ(1), -corner]
        power = column
        for _ in range(k):
            first.append(-germ(np.dot(row, power)))
            power = a[:k, :k] @ power
        toeplitz = np.array(
            [[first[i - j] if i - j >= 0 else Germ(0) for j in range(k + 1)] for i in range(k + 2)],
            object,
        )
        vector = toeplitz @ vector
    return germ(vector[-1]) * (-1) ** n


def _adjugate(a: Array) -> Any:
    found = np.empty(a.shape, object)
    for i, j in np.ndindex(a.shape):
        minor = np.delete(np.delete(a, i, 0), j, 1)
        found[j, i] = (-1) ** (i + j) * germ(_det_without_division(minor))
    return found


def _solve(a: Array, b: Array) -> Any:
    n = len(a)
    found = _eliminated(np.concatenate([a, b], 1))
    if found is None:
        singular = germ(_det_without_division(a)).is_zero()
        return np.full(b.shape, Germ.unknown(NO_VALUE if singular else NOT_TOLD), object)
    upper, _ = found
    x = upper[:, n:]
    for k in reversed(range(n)):
        for j in range(k + 1, n):
            x[k] = x[k] - x[j] * germ(upper[k, j])
        x[k] = [germ(e) / germ(upper[k, k]) for e in x[k]]
    return x


def _cholesky(a: Array) -> Any:
    lower = np.full(a.shape, Germ(0), object)
    for i, j in zip(*np.tril_indices(len(a)), strict=True):
        rest = germ(a[i, j] - sum((lower[i, k] * lower[j, k] for k in range(j)), Germ(0)))
        if i == j and rest.is_zero():
            return np.full(a.shape, Germ.unknown(NO_VALUE), object)
        lower[i, j] = rest.sqrt() if i == j else rest / lower[j, j]
    return lower


det = _matrices(_det)
adjugate = _matrices(_adjugate)
log_abs_det = _matrices(lambda a: abs(germ(_det(a))).log())
sign_det = _matrices(lambda a: germ(_det(a)).sgn())
solve = _matrices(_solve)
cholesky = _matrices(_cholesky)
expm = _matrices(lambda a: np.full(a.shape, Germ.unknown(NOT_TOLD), object))
