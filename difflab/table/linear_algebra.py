"""What the rows of linear algebra compute, and their derivative rules: plain NumPy text on stacks
of matrices.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from difflab.ir.row import Lacking


def swap(a: Any) -> Any:
    """Matrices transposed."""
    return np.swapaxes(a, -1, -2)


def _lower(a: Any) -> Any:
    return np.where(np.tri(a.shape[-1], dtype=bool), a, 0.0)


def _half_lower(a: Any) -> Any:
    """The lower triangle with its diagonal halved."""
    n = a.shape[-1]
    return a * (np.tri(n, dtype=a.dtype) - a.dtype.type(0.5) * np.eye(n, dtype=a.dtype))


def solve_pushforward(y: Any, tangents: Any, a: Any, b: Any) -> Any:
    ta, tb = tangents
    right = tb if ta is None else (-ta @ y if tb is None else tb - ta @ y)
    return np.linalg.solve(a, right)


def solve_pullback(y: Any, ct: Any, a: Any, b: Any) -> Any:
    adjoint = np.linalg.solve(swap(a), ct)
    return -adjoint @ swap(y), adjoint


def trace_of(a: Any) -> Any:
    return np.sum(a * np.eye(a.shape[-1], dtype=a.dtype), (-2, -1))


def matrix(y: Any) -> Any:
    """Numbers as matrices of one element, to scale matrices with."""
    return np.reshape(y, (*y.shape, 1, 1))


# -- the adjugate: the derivative of a determinant, which singular matrices have too

FEW: Final = 12
"""Sizes up to which minors are taken one by one, in n^5 operations."""


def _kept(a: Any) -> Any:
    """For each i, the rows of the identity but row i: it drops row i of what it multiplies."""
    n = a.shape[-1]
    return np.stack([np.delete(np.eye(n, dtype=a.dtype), i, 0) for i in range(n)])


def _minors(a: Any) -> Any:
    """For each i and j the matrix without row i and column j."""
    kept = _kept(a)
    return kept[:, None] @ a[..., None, None, :, :] @ swap(kept)


def _signs(a: Any) -> Any:
    n = np.arange(a.shape[-1])
    return (1.0 - 2.0 * ((n[:, None] + n) % 2)).astype(a.dtype)


@Lacking
def adjugate(a: Any) -> Any:
    """det(a) a^-1, and its limit where a is singular: the matrix of cofactors, transposed.

    The determinant and the inverse come of one factorisation, so that their errors cancel.

    >>> adjugate(np.array([[1.0, 2.0], [2.0, 4.0]]))
    array([[ 4., -2.],
           [-2.,  1.]])
    """
    try:
        return matrix(np.linalg.det(a)) * np.linalg.inv(a)
    except np.linalg.LinAlgError:
        if a.ndim > 2:
            return np.stack([adjugate.evaluate(part) for part in a])
        if len(a) <= FEW:
            return swap(_signs(a) * np.linalg.det(_minors(a)))
        u, s, v = np.linalg.svd(a)
        sign = np.linalg.det(u) * np.linalg.det(v)
        products = np.array([np.prod(np.delete(s, i)) for i in range(len(s))], a.dtype)
        return (sign * swap(v) * products) @ swap(u)


def adjugate_pushforward(y: Any, tangents: Any, a: Any) -> Any:
    (t,) = tangents
    if a.shape[-1] > FEW:
        inverse = np.linalg.inv(a)
        return matrix(trace_of(y @ t)) * inverse - y @ t @ inverse
    inner = swap(adjugate(_minors(a)))
    return swap(_signs(a) * np.sum(inner * _minors(t), (-2, -1)))


def adjugate_pullback(y: Any, ct: Any, a: Any) -> Any:
    if a.shape[-1] > FEW:
        inverse = swap(np.linalg.inv(a))
        return (
            swap(y)
            @ (
                matrix(np.sum(ct * swap(inverse), (-2, -1))) * np.eye(a.shape[-1], dtype=a.dtype)
                - ct @ inverse
            ),
        )
    kept = _kept(a)
    inner = matrix(_signs(a) * swap(ct)) * swap(adjugate(_minors(a)))
    return (np.sum(swap(kept)[:, None] @ inner @ kept, (-4, -3)),)


def log_abs_det(a: Any) -> Any:
    """log |det a|."""
    return np.linalg.slogdet(a)[1]


def sign_det(a: Any) -> Any:
    """The sign of det a."""
    return np.linalg.slogdet(a)[0]


def cholesky_pushforward(y: Any, tangents: Any, a: Any) -> Any:
    # NumPy reads the lower triangle of a alone, so only that part of the tangent counts.
    lower = _lower(tangents[0])
    symmetric = lower + swap(lower) - lower * np.eye(a.shape[-1], dtype=a.dtype)
    inner = np.linalg.solve(y, swap(np.linalg.solve(y, symmetric)))
    return y @ _half_lower(inner)


def cholesky_pullback(y: Any, ct: Any, a: Any) -> Any:
    # Murray (2016), Differentiation of the Cholesky decomposition, eq. 11, folded to the lower
    # triangle.
    inner = _half_lower(swap(y) @ ct)
    middle = np.linalg.solve(swap(y), swap(np.linalg.solve(swap(y), swap(inner))))
    both = middle + swap(middle)
    return (_lower(both) - 0.5 * both * np.eye(a.shape[-1], dtype=a.dtype),)
