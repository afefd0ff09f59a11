"""More calls: functions that move, join, choose, contract and difference arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from .numpy_cases import MM, SPD, A, B, C, E, I, K, M, N, P, T, V, W, X, Y, case, every

# -- movement --------------------------------------------------------------------------------------

every(
    np.reshape,
    T,
    {"shape": (4, 6)},
    {"shape": (-1, 2)},
    {"shape": -1},
    {"shape": (6, 4), "order": "F"},
)
case(np.reshape, E, shape=(2, 0, 2))
every(np.ravel, T, {}, {"order": "F"})
for _dtype in (np.float32, np.float64, np.int64, bool):
    case(np.astype, A, call=lambda x, d=_dtype: np.astype(x, d))
case(np.astype, K, call=lambda x: np.astype(x, float))
every(np.broadcast_to, A, {"shape": (2, 3, 4)})
case(np.broadcast_to, X, shape=3)
case(np.broadcast_arrays, A, V[:4], X)
for _f in (np.transpose, np.permute_dims):
    every(_f, T, {}, {"axes": (1, 0, 2)}, {"axes": (-1, 0, 1)})
for _f in (np.matrix_transpose, np.linalg.matrix_transpose):
    case(_f, T)
every(np.swapaxes, T, {"axis1": 0, "axis2": -1}, {"axis1": 1, "axis2": 1})
every(np.moveaxis, T, {"source": 0, "destination": -1}, {"source": (0, 1), "destination": (2, 0)},
      {"source": [-1], "destination": [0]})  # fmt: skip
every(np.rollaxis, T, {"axis": 2}, {"axis": 0, "start": 2}, {"axis": 1, "start": 3})
every(np.expand_dims, A, {"axis": 0}, {"axis": -1}, {"axis": (0, 2)})
every(np.squeeze, A[:1, None], {}, {"axis": 0}, {"axis": (0, -2)})
for _f in (np.atleast_1d, np.atleast_2d, np.atleast_3d):
    for _x in (X, V, A, T):
        case(_f, _x)
    case(_f, X, A)
for _f in (np.concatenate, np.concat):
    case(_f, [A, C])
    case(_f, [A, C[:, :2]], axis=1)
    case(_f, [A, V], axis=None)
    case(_f, (A, I))
    case(_f, [A, C], dtype=np.float32)
    case(_f, A)
case(np.concatenate, V, call=lambda x: np.concatenate([x, [1.0], np.ones(2, np.float32)]))
every(np.stack, [A, C], {}, {"axis": 1}, {"axis": -1})
case(np.stack, X, Y, call=lambda x, y: np.stack([x, y, 1.0, x * y]))
for _f in (np.vstack, np.hstack, np.dstack, np.column_stack):
    case(_f, [V, W])
    case(_f, [A, C])
case(np.column_stack, [A, A[:, 0]])
every(np.append, A, {"values": C, "axis": 0}, {"values": [1.0, 2.0]})
case(np.block, A, C, V[:3], call=lambda a, c, v: np.block([[a, v[:, None]], [c, np.ones((3, 1))]]))
case(np.block, V, W, call=lambda v, w: np.block([v, w, 1.0]))
case(np.block, X, call=lambda x: np.block([[x, 1.0], [2.0, x]]))
every(np.split, A, {"indices_or_sections": 3}, {"indices_or_sections": [1, 3], "axis": 1},
      {"indices_or_sections": 2, "axis": -1})  # fmt: skip
every(np.array_split, V, {"indices_or_sections": 3}, {"indices_or_sections": [2]})
for _f in (np.hsplit, np.vsplit):
    case(_f, A[:2], indices_or_sections=2)
case(np.hsplit, V, indices_or_sections=[2])
case(np.dsplit, T, indices_or_sections=2)
every(np.unstack, T, {}, {"axis": -1})
every(np.flip, T, {}, {"axis": 1}, {"axis": (0, -1)})
for _f in (np.flipud, np.fliplr):
    case(_f, A)
for _k in range(-1, 5):
    case(np.rot90, A, k=_k)
case(np.rot90, T, k=1, axes=(2, 0))
every(np.roll, T, {"shift": 2}, {"shift": -1, "axis": 1}, {"shift": (1, 2), "axis": (0, -1)},
      {"shift": 1, "axis": (0, 2)}, {"shift": 0, "axis": 0})  # fmt: skip
every(np.tile, A, {"reps": 2}, {"reps": (2, 1)}, {"reps": (2, 1, 3)}, {"reps": (0, 2)})
case(np.tile, X, reps=3)
case(np.meshgrid, V, W[:3])
case(np.meshgrid, V, W[:3], X, indexing="ij")
case(np.meshgrid, V, W[:3], sparse=True)

# -- selection -------------------------------------------------------------------------------------

every(np.take, A, {"indices": [0, -1, 3]}, {"indices": np.array([[0, 2], [1, 1]]), "axis": 0},
      {"indices": 1, "axis": 1}, {"indices": [5, -7], "axis": 1, "mode": "clip"},
      {"indices": [5, -7], "axis": 1, "mode": "wrap"})  # fmt: skip
case(np.take, A, I, axis=None, call=lambda a, i: np.take(a, i))
case(np.take_along_axis, A, call=lambda a: np.take_along_axis(a, np.argsort(a, 0), 0))
case(np.take_along_axis, A, call=lambda a: np.take_along_axis(a, np.array([[0], [1], [3]]), axis=1))
case(np.take_along_axis, A, call=lambda a: np.take_along_axis(a, np.array([5, 2]), axis=None))
case(np.compress, A, call=lambda x: np.compress([True, False, True], x, axis=0))
case(np.compress, A, call=lambda x: np.compress(x.ravel() > 0, x))
case(np.extract, A, call=lambda x: np.extract(x > 0, x))
for _trim in ("fb", "f", "b"):
    case(np.trim_zeros, np.array([0.0, 0.0, 1.5, 0.0, 2.5, 0.0]), trim=_trim, smooth=False)
every(np.repeat, A, {"repeats": 2}, {"repeats": [1, 0, 2], "axis": 0}, {"repeats": 3, "axis": -1})
every(np.resize, A, {"new_shape": (5, 3)}, {"new_shape": 4})
every(
    np.delete, A, {"obj": 1, "axis": 0}, {"obj": [0, -1], "axis": 1}, {"obj": slice(None, None, 2)}
)
every(np.insert, A, {"obj": 1, "values": 5.0}, {"obj": 1, "values": V[:4], "axis": 0},
      {"obj": [0, 2], "values": 7.0, "axis": 1}, {"obj": -1, "values": V[:3], "axis": 1},
      {"obj": [1, 1], "values": C[:2], "axis": 0})  # fmt: skip
case(np.insert, V, X, call=lambda v, x: np.insert(v, 2, x))
case(np.insert, V, W, call=lambda v, w: np.insert(v, [1, 3, 3, 0, 2], w))
every(np.pad, A, {"pad_width": 1}, {"pad_width": ((0, 2), (1, 0)), "constant_values": 3.0},
      {"pad_width": (1, 2), "mode": "edge"}, {"pad_width": 2, "mode": "reflect"},
      {"pad_width": 2, "mode": "symmetric"}, {"pad_width": 2, "mode": "wrap"},
      {"pad_width": 1, "constant_values": ((1.0, 2.0), (3.0, 4.0))})  # fmt: skip
every(np.diagonal, T, {}, {"offset": 1, "axis1": 1, "axis2": 2}, {"offset": -1}, {"offset": 9})
for _k in (-2, -1, 0, 1, 5):
    case(np.diag, A, k=_k)
    case(np.diag, V, k=_k)
    case(np.tril, A, k=_k)
    case(np.triu, A, k=_k)
    case(np.trace, A, offset=_k)
for _f in (np.tril, np.triu):
    case(_f, T)
    case(_f, V)
case(np.diagflat, A, k=1)
case(np.trace, T, axis1=1, axis2=2)
case(np.tril_indices_from, A, call=lambda x: x[np.tril_indices_from(x)])
case(np.triu_indices_from, A, call=lambda x: x[np.triu_indices_from(x, k=1)])
case(np.diag_indices_from, M, call=lambda x: x[np.diag_indices_from(x)])
_knots = np.array([-1.5, -0.3, 0.2, 1.1])
for _side in ("left", "right"):
    case(np.searchsorted, _knots, A, side=_side)
    case(np.searchsorted, _knots, _knots, side=_side)
case(np.searchsorted, _knots, X)
every(np.digitize, A, {"bins": _knots}, {"bins": _knots[::-1]}, {"bins": _knots, "right": True})
every(np.digitize, _knots, {"bins": _knots[::-1], "right": True}, {"bins": _knots[::-1]})
_groups = np.array([0, 2, 2, 0, 4])
every(np.bincount, _groups, {}, {"minlength": 7})
case(np.bincount, V, call=lambda w: np.bincount(_groups, weights=w, minlength=6))
case(np.apply_along_axis, T, call=lambda x: np.apply_along_axis(lambda v: v[:2] * v.sum(), 1, x))
case(np.apply_along_axis, A, call=lambda x: np.apply_along_axis(np.prod, 0, x))

# -- algebra ---------------------------------------------------------------------------------------

for _f in (np.matmul, np.linalg.matmul):
    case(_f, A, B)
    case(_f, T, B)
    case(_f, T, np.swapaxes(T, 1, 2).copy())
case(np.matmul, A, V[:4])
case(np.matmul, V[:3], A)
case(np.matmul, V, W)
case(np.matmul, V[:3], T)
case(np.matmul, I, A.T)
case(np.matmul, E, B)
case(np.matmul, A[:0].T, E)
for _x, _y in (
    (X, Y),
    (X, A),
    (V, W),
    (A, B),
    (A, V[:4]),
    (T, B),
    (A, T.transpose(0, 2, 1).copy()),
):
    case(np.dot, _x, _y)
for _x, _y in ((X, A), (V, W), (A, C), (T, A)):
    case(np.inner, _x, _y)
case(np.vdot, A, C)
for _f in (np.vecdot, np.linalg.vecdot):
    case(_f, A, C)
    case(_f, T, A)
    case(_f, A, C, axis=0)
if hasattr(np, "matvec"):
    case(np.matvec, T, V[:4])
    case(np.vecmat, V[:3], T)
case(np.outer, V, W[:3])
case(np.outer, A, X)
case(np.linalg.outer, V, W[:3])
for _x, _y in ((V, W[:2]), (A, M), (V[:2], A), (X, A), (T, A)):
    case(np.kron, _x, _y)
case(np.cross, B, M.copy()[[0, 1, 2, 0]])
case(np.cross, A, C, axis=0)
case(np.cross, A, B, axisa=0, axisb=1, axisc=0)
case(np.linalg.cross, A, C, axis=0)
for _f in (np.tensordot, np.linalg.tensordot):
    case(_f, A, B, axes=1)
    case(_f, T, A)
    case(_f, A, C, axes=0)
    case(_f, T, T + 1.0, axes=([0, 2], [0, 2]))
    case(_f, T, A, axes=(-1, 1))


def _sum(subscripts: str, *arrays: Any) -> None:
    case(np.einsum, *arrays, call=lambda *x: np.einsum(subscripts, *x))


for _subscripts in ("ij->ji", "ij->", "ij->j", "ij", "ji", "...j->...", "i...->..."):
    _sum(_subscripts, A)
for _subscripts in ("ii->i", "ii", "ii->"):
    _sum(_subscripts, M)
for _subscripts in ("ij,jk->ik", "ij,jk", "ij,jk->", "ij,jk->ki", "...j,jk->...k"):
    _sum(_subscripts, A, B)
for _subscripts in (
    "ij,ij->i",
    "ij,ij",
    "ij , ij -> ij",
    "i...,i...->...",
    "ij,kj->ik",
    "ij,kl->jk",
):
    _sum(_subscripts, A, C)
_sum("bij,ij->b", T, A)
_sum("b...,...->b...", T, A)
_sum("ij,j,i->", A, V[:4], W[:3])
_sum("ij,ij->ij", A, C[:, :1])
_sum("ii,ij->j", M, A)
_sum(",ij->ij", X, A)
case(np.einsum, A, B, call=lambda a, b: np.einsum(a, [0, 1], b, [1, 2], [2, 0]))
case(np.einsum, A, C, call=lambda a, b: np.einsum(a, [Ellipsis, 1], b, [Ellipsis, 1]))
for _f in (np.linalg.inv, np.linalg.det, np.linalg.slogdet):
    case(_f, M)
    case(_f, MM)
for _b in (V[:3], A, M):
    case(np.linalg.solve, M, _b)
case(np.linalg.solve, MM, A)
case(np.linalg.solve, M, MM)
case(
    np.linalg.tensorsolve,
    _random_tensor := np.kron(M, M[:2, :2]).reshape(2, 3, 6) + 0.0,
    A[:2, :3].copy(),
)
case(np.linalg.tensorinv, _random_tensor, ind=2)
case(np.linalg.tensorinv, M, ind=1)
every(np.linalg.cholesky, SPD, {}, {"upper": True})
case(np.linalg.cholesky, np.stack([SPD, M.T @ M + np.eye(3)]))
for _x in (X, V, A, T):
    case(np.linalg.norm, _x)
    case(np.linalg.vector_norm, _x)
for _ord in (1, 2, 3, 0.5, np.inf, -np.inf, -1, 0):
    case(np.linalg.norm, V, ord=_ord)
    case(np.linalg.norm, T, ord=_ord, axis=1, keepdims=True)
    case(np.linalg.vector_norm, T, ord=_ord, axis=(0, 2))
for _ord in ("fro", 1, -1, np.inf, -np.inf):
    case(np.linalg.norm, A, ord=_ord)
    case(np.linalg.norm, T, ord=_ord, axis=(2, 0), keepdims=True)
    case(np.linalg.matrix_norm, T, ord=_ord)
case(np.linalg.norm, T, axis=(0, 1))
for _n in (-2, -1, 0, 1, 2, 5):
    case(np.linalg.matrix_power, M, n=_n)
case(np.linalg.matrix_power, MM, n=3)
case(np.linalg.multi_dot, [A, B, M])
case(np.linalg.multi_dot, [V[:3], A, B, V[1:4].copy()])
SYMMETRIC, WIDE = M + M.T, A[:2]
every(np.linalg.eigvalsh, SYMMETRIC, {}, {"UPLO": "U"})
every(np.linalg.eigh, M, {}, {"UPLO": "U"})  # only one triangle is read
for _f in (np.linalg.eigvalsh, np.linalg.eigh):
    case(_f, MM)
for _x in (B, WIDE, T):
    every(np.linalg.svd, _x, {"full_matrices": False}, {"compute_uv": False})
    case(np.linalg.svdvals, _x)
    case(np.linalg.qr, _x)
    case(np.linalg.qr, _x, mode="r")
    case(np.linalg.pinv, _x)
    case(np.linalg.matrix_rank, _x)
    for _ord in (2, -2, "nuc"):
        case(np.linalg.norm, _x, ord=_ord, axis=(-2, -1), keepdims=True)
        case(np.linalg.matrix_norm, _x, ord=_ord)
case(np.linalg.svd, MM)
case(np.linalg.qr, M, mode="complete")
every(np.linalg.pinv, B, {"rcond": 1e-3}, {"rtol": None}, {"rtol": 1e-9})
every(np.linalg.matrix_rank, B, {"tol": 0.5}, {"rtol": 0.9})
case(np.linalg.matrix_rank, V)
for _p in (None, 1, -1, 2, -2, "fro", "nuc", np.inf, -np.inf):
    case(np.linalg.cond, M, p=_p)
case(np.linalg.cond, T)
for _b in (V[:4], T[0].T.copy()):
    for _x in (B[:, :2], WIDE, M):
        case(np.linalg.lstsq, _x, _b[: len(_x)], call=lambda a, b: [*np.linalg.lstsq(a, b)[:2]])
case(np.linalg.lstsq, B, V[:4], call=lambda a, b: np.linalg.lstsq(a, b, rcond=-1)[::3])
case(np.linalg.lstsq, V[:4], call=lambda b: np.linalg.lstsq(B, b)[::3])
case(np.polyfit, V, W, deg=2)
case(np.polyfit, V, call=lambda y: np.polyfit(np.arange(5.0), y, 2))
case(np.polyfit, V, T[0].T[[0, 1, 2, 3, 0]], deg=1)
case(np.polyfit, V, W, np.abs(V) + 1, call=lambda x, y, w: np.polyfit(x, y, 1, w=w))
every(np.linalg.trace, T, {}, {"offset": 1})
every(np.linalg.diagonal, T, {}, {"offset": -1})

# -- analysis --------------------------------------------------------------------------------------

every(np.diff, T, {}, {"n": 2}, {"axis": 0}, {"n": 0}, {"axis": 1, "prepend": 0.0, "append": 1.0})
case(np.diff, V, W, call=lambda v, w: np.diff(v, prepend=w))
case(np.diff, K)
every(np.ediff1d, A, {}, {"to_end": [1.0, 2.0], "to_begin": 0.5})
case(np.trapezoid, T, dx=0.5)
case(np.trapezoid, A, V[:4])
case(np.trapezoid, A, V[:3], axis=0)
case(np.trapezoid, A, C, axis=0)
for _order in (1, 2):
    every(np.gradient, T.repeat(2, 0), {"edge_order": _order}, {"axis": 1, "edge_order": _order},
          {"axis": (0, -1), "edge_order": _order})  # fmt: skip
    case(np.gradient, V, X, edge_order=_order)
    case(np.gradient, V, np.cumsum(np.abs(W) + 0.1), edge_order=_order)
    case(
        np.gradient, A, np.array([0.0, 0.4, 1.0]), np.array([0.0, 1.0, 3.0, 3.5]), edge_order=_order
    )
every(np.unwrap, V * 5, {}, {"period": 4.0}, {"discont": 4.0})
case(np.unwrap, A * 3, axis=0)
every(np.linspace, X, {"stop": 2.0, "num": 5}, {"stop": 3.0, "num": 4, "endpoint": False},
      {"stop": V, "num": 3, "axis": 1}, {"stop": 1.0, "num": 1}, {"stop": 1.0, "num": 3,
      "retstep": True})  # fmt: skip
case(np.linspace, V, W, num=4)
every(np.logspace, X, {"stop": 2.0, "num": 5}, {"stop": 1.0, "num": 3, "base": 2.0})
_at = np.array([-2.0, -1.5, -0.9, 0.1, 1.1, 5.0])
case(np.interp, _at, _knots, V[:4], smooth=False)
case(np.interp, _at, _knots, V[:4], smooth=False, left=-9.0, right=9.0)
case(np.interp, _at + 0.01, _knots, V[:4], left=-9.0)
case(np.interp, X, _knots, V[:4])
case(np.interp, A, call=lambda x: np.interp(x, [0.0, 1.0, 2.0], [5.0, 4.0, 1.0]))
for _mode in ("full", "same", "valid"):
    for _v in (W[:1], W[:2], W[:3], W[:4], W, np.concatenate([W, V])):
        case(np.convolve, V, _v.copy(), mode=_mode)
        case(np.correlate, V, _v.copy(), mode=_mode)
case(np.polyval, V[:3], A)
case(np.polyval, X, call=lambda x: np.polyval([1.0, 2.0, 3.0], x))
case(np.polyval, A, call=lambda x: np.polyval(np.array([2.0]), x))
for _f in (np.polyadd, np.polysub, np.polymul):
    case(_f, V, W[:2])
every(np.polyder, V, {}, {"m": 2})
every(np.polyint, V, {}, {"m": 2})
every(np.vander, V, {}, {"N": 3}, {"increasing": True})
every(np.cov, A, {}, {"rowvar": False}, {"bias": True}, {"ddof": 0})
case(np.cov, V, W)
case(np.cov, V)
every(np.corrcoef, A, {}, {"rowvar": False})
case(np.corrcoef, V, W)

# -- Fourier transforms ----------------------------------------------------------------------------


def _spectrum(function: Any, *arrays: Any, **static: Any) -> None:
    """The two parts of a transform, one after the other."""

    def call(x: Any) -> Any:
        z = function(x, **static)
        return np.stack([np.real(z), np.imag(z)])

    for array in arrays:
        case(function, array, call=call)


for _options in ({}, {"n": 3}, {"n": 7, "norm": "ortho"}, {"axis": 0, "norm": "forward"}):
    for _f in (np.fft.fft, np.fft.ifft, np.fft.rfft, np.fft.irfft):
        _spectrum(_f, A, I, **_options)
for _options in ({}, {"s": (5, 2), "axes": (2, 0)}, {"axes": (1, 2), "norm": "ortho"}):
    for _name in ("fft", "ifft", "rfft", "irfft"):
        _spectrum(getattr(np.fft, f"{_name}n"), T, **_options)
        _spectrum(getattr(np.fft, f"{_name}2"), T, **_options)
for _f in (np.fft.fftshift, np.fft.ifftshift):
    every(_f, T, {}, {"axes": 1}, {"axes": (0, -1)})
assert N.size and P.size

# -- sets and histograms ---------------------------------------------------------------------------

AGAIN = np.concatenate([V, V[1:3], W[:1]])
for _x in (AGAIN, T, I, N, K, E):
    case(np.unique, _x, smooth=_x is not AGAIN)
    case(np.unique, _x, smooth=_x is not AGAIN, return_index=True, return_inverse=True,
         return_counts=True)  # fmt: skip
case(np.unique, N, return_counts=True, equal_nan=False)
for _f in (np.unique_all, np.unique_inverse, np.unique_counts):
    case(_f, A)
    case(_f, N)
case(np.union1d, V, W)
for _x in (V, A, I, X):
    every(np.histogram, _x, {}, {"bins": 3}, {"bins": 4, "range": (-1, 1)})
    case(np.histogram_bin_edges, _x, bins=5)
every(np.histogram, A, {"density": True}, {"bins": [-2.0, -0.5, 0.3, 2.0]})
case(np.histogram, np.arange(11) * 0.1, bins=10)
case(np.histogram, V, np.abs(W), call=lambda x, w: np.histogram(x, 3, weights=w))
case(np.histogram, V, V[:3], call=lambda x, e: np.histogram(x, np.sort(e), (0, 1), False))
