"""How NumPy's spectra, factors, pseudoinverses and least squares are spelt in primitives."""

from __future__ import annotations

from typing import Any

import numpy as np

from difflab.errors import ShapeError, UnsupportedError
from difflab.ir.build import node, promoted
from difflab.ir.expr import Expr
from difflab.ir.row import CONSTANT
from difflab.spellings.algebra import inv, norm, square_matrix
from difflab.spellings.elementwise import floating
from difflab.spellings.selection import plain
from difflab.spellings.spelling import NP, spells


def _matrix(function: str, a: Any) -> Expr:
    x: Expr = floating(a)
    if x.ndim < 2 or not x.size:
        raise ShapeError(f"np.linalg.{function} needs matrices with elements, not shape {x.shape}")
    return x


def _named(function: Any, *parts: Any) -> Any:
    """The parts as NumPy's own named tuple."""
    return type(function(np.eye(1)))(*parts)


@spells(np.linalg.eigh)
def eigh(a: Any, UPLO: str = "L") -> Any:
    x, uplo = square_matrix("eigh", a), UPLO.upper()
    vectors = node("eigenvectors", x, uplo=uplo)
    return _named(np.linalg.eigh, node("eigenvalues", x, uplo=uplo), vectors)


@spells(np.linalg.eigvalsh)
def eigvalsh(a: Any, UPLO: str = "L") -> Any:
    return node("eigenvalues", square_matrix("eigvalsh", a), uplo=UPLO.upper())


@spells(np.linalg.svd, refuses="hermitian")
def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    x = _matrix("svd", a)
    rows, columns = x.shape[-2:]
    values = node("singular_values", x)
    if not compute_uv:
        return values
    if full_matrices and rows != columns:
        raise UnsupportedError(
            f"np.linalg.svd with full_matrices=True of a matrix of shape {x.shape[-2:]} cannot be "
            "traced: the matrix does not say what its further vectors are",
            "give full_matrices=False",
        )
    pairs: Any = node("singular_vectors", x)
    return _named(np.linalg.svd, pairs[..., :rows, :], values, pairs[..., rows:, :].mT)


@spells(np.linalg.svdvals)
def svdvals(x: Any, /) -> Any:
    return node("singular_values", _matrix("svdvals", x))


@spells(np.linalg.cond)
def cond(x: Any, p: Any = None) -> Any:
    if p not in (None, 2, -2):
        return norm(x, p, (-2, -1)) * norm(inv(x), p, (-2, -1))
    values = svdvals(x)
    first, last = values[..., 0], values[..., -1]
    return last / first if p == -2 else first / last


@spells(np.linalg.matrix_rank, refuses="hermitian")
def matrix_rank(A: Any, tol: Any = None, *, rtol: Any = None) -> Any:
    x: Any = floating(A)
    if x.ndim < 2:
        return NP.astype(NP.any(x != 0.0), int)
    values = svdvals(x)
    if tol is None:
        rtol = max(x.shape[-2:]) * np.finfo(x.dtype).eps if rtol is None else rtol
        tol = values[..., 0] * rtol
    return NP.count_nonzero(values > NP.expand_dims(tol, -1), -1)


@spells(np.linalg.qr)
def qr(a: Any, mode: str = "reduced") -> Any:
    x: Any = _matrix("qr", a)
    rows, columns = x.shape[-2:]
    if mode not in ("reduced", "r") and (mode != "complete" or rows > columns):
        raise UnsupportedError(
            f"np.linalg.qr with mode={mode!r} cannot be traced", "use mode='reduced' or 'r'"
        )
    both: Any = node("qr_factors", x[..., :rows])
    q, r = both[..., :rows, :], both[..., rows:, :]
    if columns > rows:
        r = NP.concatenate([r, q.mT @ x[..., rows:]], -1)
    return r if mode == "r" else _named(np.linalg.qr, q, r)


@spells(np.linalg.pinv, refuses="hermitian")
def pinv(a: Any, rcond: Any = None, *, rtol: Any = np._NoValue) -> Any:
    x = _matrix("pinv", a)
    if rcond is None:
        default = 1e-15 if rtol is np._NoValue else max(x.shape[-2:]) * np.finfo(x.dtype).eps
        rcond = default if rtol is None or rtol is np._NoValue else rtol
    return node("pinv", x, rcond=float(rcond))


@spells(np.linalg.lstsq)
def lstsq(a: Any, b: Any, rcond: float | None = None) -> Any:
    """The rank is the one at the current point, recorded as a guard."""
    x, y = promoted(_matrix("lstsq", a), b, floating=True)
    rows, columns = x.shape
    unit = float(np.finfo(x.dtype).eps)
    cutoff = unit * max(rows, columns) if rcond is None else unit if rcond < 0.0 else float(rcond)
    right: Any = y[:, None] if y.ndim == 1 else y
    found: Any = node("least_squares", x, right, rcond=cutoff)
    if x.primitive is CONSTANT:
        _, _, rank, values = np.linalg.lstsq(x.value, np.zeros(rows, x.dtype), cutoff)
    else:
        values = svdvals(x)
        rank = np.int32(np.count_nonzero(plain(values > cutoff * values[0])))
    determined = rank == columns < rows
    rest = NP.sum(NP.square(right - x @ found), 0) if determined else np.zeros(0, x.dtype)
    return found[:, 0] if y.ndim == 1 else found, rest, rank, values


@spells(np.polyfit, refuses="full cov")
def polyfit(x: Any, y: Any, deg: int, rcond: float | None = None, *, w: Any = None) -> Any:
    at, right = _number_array(x), floating(y)
    powers = np.vander(at, int(deg) + 1)
    if w is not None:
        weights = _number_array(w)
        powers = powers * weights[:, None]
        right = right * (weights if right.ndim == 1 else weights[:, None])
    scale = np.sqrt((powers * powers).sum(0))
    unit = len(at) * np.finfo(at.dtype).eps
    found = lstsq(powers / scale, right, unit if rcond is None else rcond)[0]
    return (found.T / scale).T


def _number_array(x: Any) -> Any:
    """A plain array of floats where nothing is traced, so that NumPy computes what it would."""
    y = floating(x)
    return y.value if y.primitive is CONSTANT else y
