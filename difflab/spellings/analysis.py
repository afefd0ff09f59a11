"""How NumPy's differences, interpolation, polynomials and statistics are spelt in primitives.

Plain NumPy text over functions spelt elsewhere.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np

from difflab.errors import ShapeError, UnsupportedError
from difflab.ir.build import as_dtype, lift, promoted
from difflab.spellings.axes import axes_of, axis_of
from difflab.spellings.elementwise import floating
from difflab.spellings.movement import concatenate, moveaxis, ravel
from difflab.spellings.selection import searchsorted
from difflab.spellings.spelling import NP, spells

# -- differences -----------------------------------------------------------------------------------


@spells(np.diff)
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    x = lift(a)
    chosen = axis_of(x, axis)
    shape = [1 if i - x.ndim == chosen else length for i, length in enumerate(x.shape)]
    ends = [
        None if end is None else NP.broadcast_to(end, shape) if np.ndim(end) == 0 else end
        for end in (prepend, append)
    ]
    y = concatenate([part for part in (ends[0], x, ends[1]) if part is not None], chosen)
    y = moveaxis(y, chosen, -1)
    for _ in range(n):
        y = y[..., 1:] ^ y[..., :-1] if y.dtype == bool else y[..., 1:] - y[..., :-1]
    return moveaxis(y, -1, chosen)


@spells(np.ediff1d)
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    x = ravel(ary)
    parts = (to_begin, diff(x), to_end)
    return concatenate([as_dtype(ravel(part), x.dtype) for part in parts if part is not None])


@spells(np.trapezoid)
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    last = NP.moveaxis(lift(y), axis, -1)
    if x is None:
        steps = dx
    else:
        at = lift(x)
        steps = diff(at if at.ndim == 1 else moveaxis(at, axis, -1))
    return NP.sum(steps * (last[..., 1:] + last[..., :-1]) / 2.0, -1)


@spells(np.gradient)
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    x = floating(f)
    axes = axes_of(x, axis) if axis is None or np.ndim(axis) == 0 else tuple(axis)
    spacings = [1.0] * len(axes) if not varargs else list(varargs)
    spacings = spacings * len(axes) if len(spacings) == 1 else spacings
    if len(spacings) != len(axes):
        raise ShapeError(f"{len(spacings)} spacings do not fit {len(axes)} axes")
    found = [_slope(x, h, a, edge_order) for h, a in zip(spacings, axes, strict=True)]
    return found[0] if len(found) == 1 else tuple(found)


def _slope(x: Any, spacing: Any, axis: int, edge_order: int) -> Any:
    """Second-order differences, by the formula for uneven steps unless the spacing is a number."""
    y = moveaxis(x, axis, -1)
    n = y.shape[-1]
    if n < edge_order + 1:
        raise ShapeError(f"a gradient needs {edge_order + 1} elements along the axis, not {n}")
    if np.ndim(spacing) == 0:
        inner = (y[..., 2:] - y[..., :-2]) / (2.0 * spacing)
        first = last = spacing
        p = q = r = s = spacing
    else:
        steps = diff(spacing)
        before, after = steps[:-1], steps[1:]
        inner = (
            -after / (before * (before + after)) * y[..., :-2]
            + (after - before) / (before * after) * y[..., 1:-1]
            + before / (after * (before + after)) * y[..., 2:]
        )
        first, last = steps[0], steps[-1]
        p, q, r, s = (steps[0], steps[1], steps[-2], steps[-1]) if n > 2 else (0, 0, 0, 0)
    if edge_order == 1:
        left, right = (y[..., 1] - y[..., 0]) / first, (y[..., -1] - y[..., -2]) / last
    else:
        left = (
            -(2.0 * p + q) / (p * (p + q)) * y[..., 0]
            + (p + q) / (p * q) * y[..., 1]
            - p / (q * (p + q)) * y[..., 2]
        )
        right = (
            s / (r * (r + s)) * y[..., -3]
            - (s + r) / (r * s) * y[..., -2]
            + (2.0 * s + r) / (s * (r + s)) * y[..., -1]
        )
    return moveaxis(concatenate([left[..., None], inner, right[..., None]], -1), -1, axis)


@spells(np.unwrap)
def unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: Any = 2.0 * np.pi) -> Any:
    x = moveaxis(floating(p), axis, -1)
    steps = diff(x)
    jump = -NP.floor((steps + period / 2.0) / period) * period
    wrapped = steps + jump
    at_edge = (wrapped == -period / 2.0) & (steps > 0.0)
    jump = NP.where(at_edge, jump + period, jump)
    near = NP.abs(steps) < (period / 2.0 if discont is None else NP.maximum(discont, period / 2.0))
    jumps = NP.cumsum(NP.where(near, 0.0, jump), -1)
    return moveaxis(concatenate([x[..., :1], x[..., 1:] + jumps], -1), -1, axis)


# -- grids and interpolation -----------------------------------------------------------------------


@spells(np.linspace, refuses="device")
def linspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False,
    dtype: Any = None, axis: int = 0,
) -> Any:  # fmt: skip
    a, b = promoted(start, stop, floating=True)
    parts = num - 1 if endpoint else num
    lead = (num,) + (1,) * len(np.broadcast_shapes(a.shape, b.shape))
    steps = np.arange(num, dtype=a.dtype).reshape(lead)
    step = (b - a) / parts if parts > 0 else np.nan
    found = steps * (b - a) / max(parts, 1) + a
    if endpoint and num > 1:
        found = concatenate([found[:-1], NP.broadcast_to(b, found.shape[1:])[None]], 0)
    found = moveaxis(found if dtype is None else as_dtype(found, np.dtype(dtype)), 0, axis)
    return (found, step) if retstep else found


@spells(np.logspace, refuses="dtype")
def logspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10.0, axis: int = 0
) -> Any:
    return NP.power(base, NP.linspace(start, stop, num, endpoint, axis=axis))


@spells(np.interp, refuses="period")
def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None) -> Any:
    """Piecewise linear; NumPy always answers in float64."""
    at, knots, values = (as_dtype(part, np.dtype(float)) for part in (x, xp, fp))
    n = knots.shape[0]
    if n == 1:
        inside = NP.broadcast_to(values[0], at.shape)
    else:
        slopes = diff(values) / diff(knots)
        i = NP.clip(searchsorted(knots, at, "right") - 1, 0, n - 2)
        inside = slopes[i] * (at - knots[i]) + values[i]
    inside = NP.where(at < knots[0], values[0] if left is None else left, inside)
    outside = NP.where(at > knots[-1], values[-1] if right is None else right, inside)
    return NP.where(at == knots[-1], values[-1], outside) if n > 1 else outside


@spells(np.convolve)
def convolve(a: Any, v: Any, mode: str = "full") -> Any:
    """A matrix of shifted windows times the shorter vector."""
    x, y = promoted(a, v)
    x, y = ravel(x), ravel(y)
    x, y = (x, y) if x.size >= y.size else (y, x)
    if y.size == 0:
        raise ShapeError("a convolution needs at least one element")
    n, m = x.size, y.size
    padded = NP.pad(x, m - 1)
    length, start = {
        "full": (n + m - 1, 0),
        "same": (n, (m - 1) // 2),
        "valid": (n - m + 1, m - 1),
    }[{"f": "full", "s": "same", "v": "valid"}[mode[0]]]
    k, j = start + np.arange(length)[:, None], np.arange(m)
    return padded[k + j] @ y[::-1]


@spells(np.correlate)
def correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    x, y = lift(a), lift(v)
    if y.size > x.size:
        return convolve(x[::-1], y, mode)[::-1]
    return convolve(x, y[::-1], mode)


# -- polynomials -----------------------------------------------------------------------------------


@spells(np.polyval)
def polyval(p: Any, x: Any) -> Any:
    """Horner's scheme."""
    coefficients = list(lift(p))
    at = lift(x)
    if not coefficients:
        return NP.zeros_like(at)
    return reduce(lambda value, c: value * at + c, coefficients[1:], coefficients[0] + 0 * at)


@spells(np.polyadd)
def polyadd(a1: Any, a2: Any) -> Any:
    x, y = promoted(NP.atleast_1d(lift(a1)), NP.atleast_1d(lift(a2)))
    n = max(x.size, y.size)
    return NP.pad(x, (n - x.size, 0)) + NP.pad(y, (n - y.size, 0))


@spells(np.polyder)
def polyder(p: Any, m: int = 1) -> Any:
    x: Any = lift(p)
    for _ in range(m):
        x = x[:-1] * np.arange(x.size - 1, 0, -1)
    return x


@spells(np.polyint, refuses="k")
def polyint(p: Any, m: int = 1) -> Any:
    x: Any = floating(p)
    for _ in range(m):
        x = concatenate([x / np.arange(x.size, 0, -1), np.zeros(1, x.dtype)])
    return x


@spells(np.vander)
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    at = lift(x)
    column = as_dtype(at, np.promote_types(at.dtype, int))[:, None]
    count = column.shape[0] if N is None else N
    ones = NP.ones_like(column)
    powers = NP.cumprod(concatenate([ones, *[column] * (count - 1)], 1), 1)[:, :count]
    return powers if increasing else powers[:, ::-1]


# -- statistics ------------------------------------------------------------------------------------


@spells(np.cov, refuses="fweights aweights")
def cov(
    m: Any, y: Any = None, rowvar: bool = True, bias: bool = False, ddof: int | None = None, *,
    dtype: Any = None,
) -> Any:  # fmt: skip
    kind = np.dtype(float if dtype is None else dtype)
    parts = [NP.atleast_2d(as_dtype(part, kind)) for part in (m, y) if part is not None]
    x = concatenate([part if rowvar or lift(part).shape[0] == 1 else part.T for part in parts], 0)
    freedom = x.shape[1] - ((0 if bias else 1) if ddof is None else ddof)
    centred = x - NP.mean(x, 1, keepdims=True)
    return NP.squeeze(centred @ centred.T / max(freedom, 0))


@spells(np.corrcoef)
def corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Any:
    c = lift(cov(x, y, rowvar, dtype=dtype))
    if c.ndim == 0:
        return c / c
    spread = NP.sqrt(NP.diagonal(c))
    found = c / spread[:, None] / spread[None, :]
    unit = float(np.finfo(found.dtype).eps)
    beyond = NP.maximum(NP.rint((NP.abs(found) - 1.0) / unit), 0.0)  # by rounding alone
    return found * (1.0 - unit * beyond)


# -- histograms ------------------------------------------------------------------------------------


@spells(np.histogram_bin_edges, ignores="weights")
def histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None) -> Any:
    """As NumPy rounds them; that all elements are equal is a guard."""
    x = ravel(a)
    if isinstance(bins, str):
        raise UnsupportedError(
            f"np.histogram with bins={bins!r} cannot be traced", "give the number of bins, or edges"
        )
    if np.ndim(bins):
        return lift(bins)
    edge_type = x.dtype if x.dtype.kind == "f" else np.dtype(float)
    ends = range if range is not None else (NP.min(x), NP.max(x)) if x.size else (0.0, 1.0)
    low, high = (as_dtype(end, edge_type) for end in ends)
    if low == high:
        low, high = low - 0.5, high + 0.5
    inner = np.arange(bins, dtype=low.dtype) * ((high - low) / bins) + low
    return concatenate([inner, ravel(high)])


@spells(np.histogram)
def histogram(
    a: Any, bins: Any = 10, range: Any = None, density: bool | None = None, weights: Any = None
) -> Any:
    """A count for each bin; the last one holds its right end too."""
    x, edges = ravel(a), histogram_bin_edges(a, bins, range)
    reached = x >= edges[:-1, None]
    inside = reached & ~concatenate([reached[1:], x > edges[-1:, None]])
    if weights is None:
        found = NP.count_nonzero(inside, -1)
    else:
        found = NP.sum(NP.where(inside, ravel(weights), 0), -1)
    return (found / diff(edges) / NP.sum(found) if density else found), edges


# -- in a line each --------------------------------------------------------------------------------

IN_A_LINE = [
    spells(np.polysub)(lambda a1, a2: polyadd(a1, -lift(a2))),
    spells(np.polymul)(lambda a1, a2: convolve(a1, a2)),
]
