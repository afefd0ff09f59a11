"""The functions of NumPy that cannot be traced, and what to write instead of each.

A text stands for a function of that name, or for all functions of a module of that name.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_SPECTRUM = "eigenvalues may be complex: of a symmetric matrix, use np.linalg.eigh or eigvalsh"
_SET = "choose by comparison: x[np.any(x[:, None] == y, 1)] are the elements of x that y has too"
_COUNTS = "count with np.histogram of one variable, or with np.sum over comparisons"
_BITS = "integers have no derivative: compute them outside, and pass them as arguments"
_TEXT = "print values outside of the function; print(x) shows what is traced"
_NAN = "drop the NaN first: np.median(x[~np.isnan(x)])"
_PEAK = "derivatives need smooth functions: compute it outside, and pass it as an argument"

REFUSED: dict[Any, str] = {
    **dict.fromkeys(
        (np.linalg.eig, np.linalg.eigvals, np.roots, np.poly), _SPECTRUM,
    ),
    np.polydiv: "divide the values: np.polyval(u, x) / np.polyval(v, x)",
    np.fft.hfft: "write np.fft.irfft(np.conj(a), n) * n",
    np.fft.ihfft: "write np.conj(np.fft.rfft(a)) / a.shape[-1]",
    np.sort_complex: "sort by a real number: take np.argsort(np.abs(z)), and index with it",
    **dict.fromkeys(
        (np.intersect1d, np.setdiff1d, np.setxor1d), _SET,
    ),
    np.unique_values: "np.unique(x, equal_nan=False) gives them in order",
    **dict.fromkeys((np.histogram2d, np.histogramdd), _COUNTS),
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
    np.mask_indices: "use np.tril_indices or np.triu_indices of the shape",
    np.einsum_path: "call np.einsum itself",
}  # fmt: skip
