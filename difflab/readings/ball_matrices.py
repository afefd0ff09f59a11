"""Balls of whole matrices: what the ball cells of factorisations name.

What flows: object arrays of balls, one matrix each, come in, and an enclosure of the
factorisation's result goes out; NaN balls where a matrix is not certainly one that the operation
takes. The signs of vectors are those that NumPy chose in floats.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from flint import acb_mat, arb, arb_mat

from difflab.ir.expr import Array


def midpoints(array: Array) -> Array:
    """The floats nearest to the centres of balls; truth values that are open are NaN.

    >>> midpoints(np.array([arb(1, 0.5), None], object))
    array([ 1., nan])
    """
    if array.dtype != object:
        return array.astype(np.float64)
    numbers = [float("nan") if ball is None else float(ball) for ball in array.flat]
    return np.array(numbers, np.float64).reshape(array.shape)


def _to_matrix(a: Array) -> arb_mat:
    return arb_mat(a.tolist())


def _to_array(m: arb_mat) -> Array:
    found = np.empty((m.nrows(), m.ncols()), object)
    for i, j in np.ndindex(found.shape):
        found[i, j] = m[i, j]
    return found


class Matrices:
    """What the ball cells of factorisations name, on one matrix."""

    @staticmethod
    def solve(a: Array, b: Array) -> Array:
        try:
            return _to_array(_to_matrix(a).solve(_to_matrix(b)))
        except ZeroDivisionError:  # not certainly regular at this precision
            return np.full(b.shape, arb("nan"), object)

    @staticmethod
    def adjugate(a: Array) -> Array:
        found = np.empty(a.shape, object)
        for i, j in np.ndindex(a.shape):
            minor = _to_matrix(np.delete(np.delete(a, i, 0), j, 1))
            found[j, i] = (-1) ** (i + j) * minor.det() if len(a) > 1 else arb(1)
        return found

    @staticmethod
    def cholesky(a: Array) -> Array:
        lower = np.full(a.shape, arb(0), object)
        for i, j in zip(*np.tril_indices(len(a)), strict=True):
            rest = a[i, j] - sum((lower[i, k] * lower[j, k] for k in range(j)), arb(0))
            lower[i, j] = rest.sqrt() if i == j else rest / lower[j, j]
        return lower

    @staticmethod
    def expm(a: Array) -> Array:
        return _to_array(_to_matrix(a).exp())

    @staticmethod
    def det(a: Array) -> arb:
        return _to_matrix(a).det()

    @staticmethod
    def log_abs_det(a: Array) -> arb:
        return abs(_to_matrix(a).det()).log()

    @staticmethod
    def sign_det(a: Array) -> arb:
        return _to_matrix(a).det().sgn()

    @staticmethod
    def eigenvalues(a: Array, uplo: Any) -> Array:
        return _spectrum(_symmetric(a, uplo))

    @staticmethod
    def eigenvectors(a: Array, uplo: Any) -> Array:
        full = _symmetric(a, uplo)
        return _vectors(full, lambda: np.linalg.eigh(midpoints(full), uplo)[1])

    @staticmethod
    def singular_values(a: Array) -> Array:
        squares = _spectrum(a.T @ a if a.shape[0] > a.shape[1] else a @ a.T)
        return np.array([_root_from_0(x) for x in squares[::-1]], object)

    @staticmethod
    def singular_vectors(a: Array) -> Array:
        wide = a.shape[0] < a.shape[1]
        tall = a.T if wide else a

        def near() -> Array:
            left, _, right = np.linalg.svd(midpoints(a), full_matrices=False)
            return (left if wide else right.T)[:, ::-1]

        few = _vectors(tall.T @ tall, near)[:, ::-1]
        many = tall @ few
        many = many / [sum(x * x).sqrt() for x in many.T]
        return np.concatenate([few, many] if wide else [many, few])

    @staticmethod
    def qr_factors(a: Array) -> Array:
        upper = Matrices.cholesky(a.T @ a).T
        near = np.linalg.qr(midpoints(a), "r")
        upper = upper * [[arb(1 - 2 * int(x < 0.0))] for x in np.diagonal(near)]
        return np.concatenate([Matrices.solve(upper.T, a.T).T, upper])

    @staticmethod
    def pinv(a: Array, rcond: float) -> Array:
        if a.shape[0] < a.shape[1]:
            return Matrices.pinv(a.T, rcond).T
        values = Matrices.singular_values(a)
        if not values[-1] > rcond * values[0]:  # not certainly of full rank
            return np.full(a.T.shape, arb("nan"), object)
        return Matrices.solve(a.T @ a, a.T)

    @staticmethod
    def least_squares(a: Array, b: Array, rcond: float) -> Array:
        return Matrices.pinv(a, rcond) @ b


def _symmetric(a: Array, uplo: Any) -> Array:
    """The symmetric matrix of which a function reads one triangle."""
    lower = np.tri(len(a), dtype=bool)
    return np.where(lower if uplo == "L" else lower.T, a, a.T)


def _root_from_0(x: arb) -> arb:
    """The root of a number that is not negative, whatever its ball says."""
    if not x.contains(0) or x.is_zero():
        return x.sqrt()
    return arb(0).union(x.upper().sqrt())


def _spectrum(a: Array) -> Array:
    """The eigenvalues of a symmetric matrix in ascending order.

    Of several balls that overlap, the i-th smallest number lies between the i-th smallest ends.
    """
    try:
        found = [x.real for x in acb_mat(_to_matrix(a)).eig(multiple=True)]
    except ValueError:
        found = []
    if not found or not all(x.is_finite() for x in found):
        return np.full(len(a), arb("nan"), object)
    ends = zip(sorted(x.lower() for x in found), sorted(x.upper() for x in found), strict=True)
    return np.array([low.union(high) for low, high in ends], object)


def _vectors(a: Array, near: Callable[[], Array]) -> Array:
    """The eigenvectors of a symmetric matrix in columns, with the signs of those in floats.

    Eigenvalues that balls tell apart have eigenvectors of one direction: it is made real, of
    length 1.
    """
    found = np.full(a.shape, arb("nan"), object)
    try:
        values, vectors = acb_mat(_to_matrix(a)).eig(right=True)
    except ValueError:
        return found
    close = near()
    for i, j in enumerate(sorted(range(len(a)), key=lambda j: float(values[j].real.mid()))):
        most = int(np.argmax(np.abs(close[:, i])))
        column = np.array([(vectors[k, j] / vectors[most, j]).real for k in range(len(a))], object)
        sign = 1 if close[most, i] > 0.0 else -1
        found[:, i] = sign * column / sum(column * column).sqrt()
    return found
