"""How NumPy's functions are spelt in primitives: the index of the parts, and what is refused.

What flows: a NumPy call on traced values comes in, nodes come out. Each spelling has NumPy's own
signature and is mostly plain NumPy text over functions spelt before it. The parts, each built on
those above it:

===================== ==========================================================================
movement.py           shapes, joining, cutting, turning
selection.py          choosing and inserting elements, triangles, order
elementwise.py        powers, rounding, choices, questions about values
reductions.py         sums, means, extremes, running sums, quantiles, without NaN
algebra.py            contractions and linear algebra
analysis.py           differences, interpolation, convolution, polynomials, covariance
===================== ==========================================================================

What is not in them is refused by name; `REMEDIES` says what to write instead.

>>> import numpy as np
>>> from difflab.tracing.trace import trace
>>> trace(np.mean, np.ones(4)).operation_count()
4
"""

from __future__ import annotations

from typing import Any

import numpy as np

from difflab.ir.build import node
from difflab.ir.expr import Expr
from difflab.ir.protocols import REMEDIES
from difflab.spellings import algebra as numpy_algebra
from difflab.spellings import analysis as numpy_analysis
from difflab.spellings.elementwise import floating
from difflab.spellings.movement import axis_of, spells
from difflab.table.movement import place, scatter_add
from difflab.table.reductions import share_of_largest
from difflab.table.special import log_softmax, softmax

__all__ = ["log_softmax_", "numpy_algebra", "numpy_analysis", "place_", "scatter_add_", "softmax_"]

# -- what NumPy lacks ------------------------------------------------------------------------------


@spells(softmax)
def softmax_(x: Any, axis: int = -1) -> Expr:
    logits = floating(x)
    return node("softmax", logits, axis=axis_of(logits, axis))


@spells(log_softmax)
def log_softmax_(x: Any, axis: int = -1) -> Expr:
    logits = floating(x)
    return node("log_softmax", logits, axis=axis_of(logits, axis))


@spells(place)
def place_(x: Any, index: Any, shape: tuple[int, ...]) -> Expr:
    return node("place", x, index=index, shape=shape)


@spells(share_of_largest)
def share_of_largest_(x: Any, axes: tuple[int, ...]) -> Expr:
    return node("share_of_largest", x, axes=axes)


@spells(scatter_add)
def scatter_add_(x: Any, *indices: Any, shape: tuple[int, ...]) -> Expr:
    return node("scatter_add", x, *indices, shape=shape)


# -- what is refused -------------------------------------------------------------------------------

_SPECTRUM = (
    "eigen- and singular values have no rule yet: use np.linalg.norm, det, solve or cholesky"
)
_SQUARES = "write the normal equations: np.linalg.solve(A.T @ A, A.T @ b)"
_COMPLEX = "complex numbers cannot be traced: write sums with np.cos and np.sin"
_IN_PLACE = "it works in place: build a new array with np.where, np.stack or np.concatenate"
_SET = "the number of results depends on values: find the indices outside, and index with them"
_COUNTS = "counts are piecewise constant, so their derivative is zero: compute them outside"
_BITS = "integers have no derivative: compute them outside, and pass them as arguments"
_TEXT = "print values outside of the function; print(x) shows what is traced"
_NAN = "drop the NaN first: np.median(x[~np.isnan(x)])"
_PEAK = "derivatives need smooth functions: compute it outside, and pass it as an argument"

_ADVICE: dict[Any, str] = {
    **dict.fromkeys(
        (np.linalg.eig, np.linalg.eigh, np.linalg.eigvals, np.linalg.eigvalsh, np.linalg.svd,
         np.linalg.svdvals, np.linalg.cond, np.linalg.matrix_rank, np.roots, np.poly), _SPECTRUM,
    ),
    **dict.fromkeys((np.linalg.lstsq, np.polyfit), _SQUARES),
    np.linalg.pinv: "write np.linalg.solve(A.T @ A, A.T)",
    np.linalg.qr: "use np.linalg.cholesky of A.T @ A, or np.linalg.solve",
    np.polydiv: "divide the values: np.polyval(u, x) / np.polyval(v, x)",
    "fft": _COMPLEX,
    np.sort_complex: _COMPLEX,
    **dict.fromkeys(
        (np.put, np.place, np.putmask, np.put_along_axis, np.fill_diagonal), _IN_PLACE,
    ),
    np.copyto: "np.copyto and np.full fill in place: use np.where, or np.broadcast_to(x, shape)",
    np.empty_like: "it is filled in place: use np.stack of the parts, or np.zeros_like",
    **dict.fromkeys(
        (np.unique, np.unique_all, np.unique_counts, np.unique_inverse, np.unique_values,
         np.intersect1d, np.union1d, np.setdiff1d, np.setxor1d), _SET,
    ),
    **dict.fromkeys(
        (np.histogram, np.histogram2d, np.histogramdd, np.histogram_bin_edges), _COUNTS,
    ),
    **dict.fromkeys(
        (np.gcd, np.lcm, np.left_shift, np.right_shift, np.bitwise_count, np.packbits,
         np.unpackbits, np.ravel_multi_index, np.unravel_index, np.ix_), _BITS,
    ),
    **dict.fromkeys((np.array_repr, np.array_str, np.array2string, np.save, np.savetxt), _TEXT),
    np.nanmedian: _NAN,
    np.nanquantile: "drop the NaN first: np.quantile(x[~np.isnan(x)], q)",
    np.nanpercentile: "drop the NaN first: np.percentile(x[~np.isnan(x)], q)",
    **dict.fromkeys((np.partition, np.argpartition), "use np.sort or np.argsort"),
    np.lexsort: "use np.argsort of one key",
    np.apply_over_axes: "call the function with axis=",
    np.asfortranarray: "leave it out: a traced array has no order in memory",
    np.geomspace: "write np.exp(np.linspace(np.log(start), np.log(stop), num))",
    np.frexp: "write np.floor(np.log2(np.abs(x))) + 1 for the exponent",
    **dict.fromkeys((np.nextafter, np.spacing), _PEAK),
    np.i0: "write its integral with np.trapezoid(np.exp(x * np.cos(t)), t) / np.pi",
    np.mask_indices: "use np.tril_indices or np.triu_indices of the shape",
    np.einsum_path: "call np.einsum itself",
    "expit": "use difflab.sigmoid",
    "erf": "use difflab.erf",
    "logsumexp": "write m + np.log(np.sum(np.exp(x - m))) with m = np.max(x)",
    "xlogy": "write np.where(x > 0, x * np.log(np.where(x > 0, y, 1)), 0)",
}  # fmt: skip
REMEDIES.update(_ADVICE)
