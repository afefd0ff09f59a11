"""How NumPy's reductions, running sums and order statistics are spelt in primitives.

A part of what functions.py describes. The `nan` functions leave NaN out by `np.where`, so its
derivative is zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from difflab.errors import ShapeError, UnsupportedError
from difflab.ir.build import as_dtype, broadcast, lift, node, promoted, reshaped
from difflab.ir.expr import Expr
from difflab.spellings.elementwise import floating
from difflab.spellings.movement import (
    NP,
    Axes,
    axes_of,
    axis_of,
    concatenate,
    count_along,
    flat_if_none,
    flat_last,
    kept,
    no_options,
    spells,
)
from difflab.spellings.selection import sort, truth
from difflab.table.arithmetic import root


def _reduce(name: str, x: Expr, axis: Axes, keepdims: bool) -> Any:
    axes = axes_of(x, axis)
    reduced = node(name, x, axes=axes) if axes else x
    return reshaped(reduced, kept(x, axes)) if keepdims else reduced


def _counting(a: Any, dtype: Any) -> Expr:
    """The dtype in which NumPy adds up and multiplies: truth values count as integers."""
    x = lift(a)
    if dtype is not None:
        return as_dtype(x, np.dtype(dtype))
    return as_dtype(x, np.dtype("int64")) if x.dtype == bool else x


def _restored(reduced: Any, a: Any, axis: Axes, keepdims: bool) -> Any:
    x = lift(a)
    return reshaped(reduced, kept(x, axes_of(x, axis))) if keepdims else reduced


# -- sums and means --------------------------------------------------------------------------------


@spells(np.sum)
def sum_(
    a: Any, axis: Axes = None, dtype: Any = None, out: Any = None, keepdims: bool = False
) -> Any:
    no_options("sum", out=out)
    return _reduce("sum", _counting(a, dtype), axis, keepdims)


@spells(np.prod)
def prod(
    a: Any, axis: Axes = None, dtype: Any = None, out: Any = None, keepdims: bool = False
) -> Any:
    """A tree of products, so that zeros among the factors do no harm to the derivative."""
    no_options("prod", out=out)
    x = _counting(a, dtype)
    y = flat_last(x, axis)
    if y.shape[-1] == 0:
        return _restored(lift(np.ones(y.shape[:-1], x.dtype)), x, axis, keepdims)
    while (n := y.shape[-1]) > 1:
        half = y[..., : n // 2] * y[..., n // 2 : n - n % 2]
        y = half if n % 2 == 0 else concatenate([half, y[..., n - 1 :]], -1)
    return _restored(y[..., 0], x, axis, keepdims)


@spells(np.mean)
def mean(
    a: Any, axis: Axes = None, dtype: Any = None, out: Any = None, keepdims: bool = False
) -> Any:
    x = floating(a)
    return sum_(x, axis, dtype, out, keepdims) / count_along(x, axes_of(x, axis))


@spells(np.average)
def average(
    a: Any,
    axis: Axes = None,
    weights: Any = None,
    returned: bool = False,
    *,
    keepdims: bool = False,
) -> Any:
    x = floating(a)
    if weights is None:
        w = broadcast(as_dtype(1.0, x.dtype), x.shape)
        return (
            (mean(x, axis, keepdims=keepdims), sum_(w, axis, keepdims=keepdims))
            if returned
            else (mean(x, axis, keepdims=keepdims))
        )
    x, w = promoted(a, weights, floating=True)
    if x.shape != w.shape:
        axes = axes_of(x, axis)
        if w.shape != tuple(x.shape[i] for i in axes):
            raise ShapeError(f"weights of shape {w.shape} do not fit axes {axis} of {x.shape}")
        w = reshaped(w, tuple([n if i - x.ndim in axes else 1 for i, n in enumerate(x.shape)]))
    total = sum_(broadcast(w, x.shape), axis, keepdims=keepdims)
    found = sum_(x * w, axis, keepdims=keepdims) / total
    return (found, total) if returned else found


@spells(np.var)
def var(
    a: Any, axis: Axes = None, dtype: Any = None, out: Any = None, ddof: float = 0,
    keepdims: bool = False, *, mean: Any = None, correction: float | None = None,
) -> Any:  # fmt: skip
    x = floating(a)
    x = x if dtype is None else as_dtype(x, np.dtype(dtype))
    count = count_along(x, axes_of(x, axis))
    freedom = count - (ddof if correction is None else correction)
    if mean is None:
        centred = x - NP.mean(x, axis, keepdims=True) if count > 1 or freedom <= 0 else 0.0 * x
    else:
        centred = x - mean
    return sum_(NP.square(centred), axis, None, out, keepdims) / max(freedom, 0)


@spells(np.std)
def std(
    a: Any, axis: Axes = None, dtype: Any = None, out: Any = None, ddof: float = 0,
    keepdims: bool = False, *, mean: Any = None, correction: float | None = None,
) -> Any:  # fmt: skip
    return root(var(a, axis, dtype, out, ddof, keepdims, mean=mean, correction=correction))


# -- extremes --------------------------------------------------------------------------------------


@spells(np.max, np.amax)
def max_(a: Any, axis: Axes = None, out: Any = None, keepdims: bool = False) -> Any:
    no_options("max", out=out)
    x = lift(a)
    if 0 in [x.shape[i] for i in axes_of(x, axis)]:
        raise ShapeError("no elements have no maximum or minimum", "check the array's size first")
    return _reduce("any" if x.dtype == bool else "max", x, axis, keepdims)


@spells(np.min, np.amin)
def min_(a: Any, axis: Axes = None, out: Any = None, keepdims: bool = False) -> Any:
    x = lift(a)
    if x.dtype == bool:
        return ~max_(~x, axis, out, keepdims)
    return -max_(-x, axis, out, keepdims)


@spells(np.ptp)
def ptp(a: Any, axis: Axes = None, out: Any = None, keepdims: bool = False) -> Any:
    return max_(a, axis, out, keepdims) - min_(a, axis, out, keepdims)


@spells(np.all)
def all_(a: Any, axis: Axes = None, out: Any = None, keepdims: bool = False) -> Any:
    no_options("all", out=out)
    return _reduce("all", truth(a), axis, keepdims)


@spells(np.any)
def any_(a: Any, axis: Axes = None, out: Any = None, keepdims: bool = False) -> Any:
    no_options("any", out=out)
    return _reduce("any", truth(a), axis, keepdims)


@spells(np.count_nonzero)
def count_nonzero(a: Any, axis: Axes = None, *, keepdims: bool = False) -> Any:
    return sum_(truth(a), axis, keepdims=keepdims)


# -- running sums and products ---------------------------------------------------------------------


@spells(np.cumsum)
def cumsum(a: Any, axis: int | None = None, dtype: Any = None, out: Any = None) -> Any:
    no_options("cumsum", out=out)
    x, chosen = flat_if_none(_counting(a, dtype), axis)
    return node("cumsum", x, axis=chosen)


@spells(np.cumprod)
def cumprod(a: Any, axis: int | None = None, dtype: Any = None, out: Any = None) -> Any:
    """A scan by doubling: log2(n) products of whole arrays."""
    no_options("cumprod", out=out)
    x, chosen = flat_if_none(_counting(a, dtype), axis)
    y = NP.moveaxis(x, chosen, -1)
    step = 1
    while step < y.shape[-1]:
        y = concatenate([y[..., :step], y[..., step:] * y[..., :-step]], -1)
        step *= 2
    return NP.moveaxis(y, -1, chosen)


def _cumulative(
    scan: Any, start: int, x: Any, axis: int | None, dtype: Any, include_initial: bool
) -> Any:
    y = lift(x)
    if axis is None and y.ndim != 1:
        raise ShapeError(f"an array of shape {y.shape} needs an axis to run along")
    chosen = axis_of(y, -1 if axis is None else axis)
    found = scan(y, chosen, dtype)
    if not include_initial:
        return found
    shape = [1 if i - y.ndim == chosen else n for i, n in enumerate(y.shape)]
    return concatenate([np.full(shape, start, found.dtype), found], chosen)


@spells(np.cumulative_sum)
def cumulative_sum(
    x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Any:
    return _cumulative(cumsum, 0, x, axis, dtype, include_initial)


@spells(np.cumulative_prod)
def cumulative_prod(
    x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Any:
    return _cumulative(cumprod, 1, x, axis, dtype, include_initial)


# -- order statistics ------------------------------------------------------------------------------


def _ranked(x: Expr, axis: Axes) -> Any:
    """The elements along the axes in order along the last axis; all NaN where one is."""
    found = sort(flat_last(x, axis), -1)
    if found.shape[-1] == 0:
        raise ShapeError("no elements have no median or quantile", "check the array's size first")
    return NP.where(NP.isnan(found[..., -1:]), np.nan, found)


@spells(np.median)
def median(
    a: Any,
    axis: Axes = None,
    out: Any = None,
    overwrite_input: bool = False,
    keepdims: bool = False,
) -> Any:
    no_options("median", out=out)
    ranked = _ranked(floating(a), axis)
    n = ranked.shape[-1]
    middle = ranked[..., n // 2]
    if n % 2 == 0:
        middle = 0.5 * (ranked[..., n // 2 - 1] + middle)
    return _restored(middle, a, axis, keepdims)


@spells(np.quantile)
def quantile(
    a: Any, q: Any, axis: Axes = None, out: Any = None, overwrite_input: bool = False,
    method: str = "linear", keepdims: bool = False,
) -> Any:  # fmt: skip
    no_options("quantile", out=out)
    x = floating(a)
    ranked = _ranked(x, axis)
    n = ranked.shape[-1]
    position = floating(q) * (n - 1)
    low, high = (NP.clip(NP.astype(f(position), int), 0, n - 1) for f in (NP.floor, NP.ceil))
    first, second = ranked[..., low], ranked[..., high]
    match method:
        case "linear":
            found = first + (second - first) * (position - low)
        case "lower":
            found = first
        case "higher":
            found = second
        case "midpoint":
            found = 0.5 * (first + second)
        case "nearest":
            found = ranked[..., NP.astype(NP.rint(position), int)]
        case _:
            raise UnsupportedError(
                f"np.quantile with method={method!r} cannot be traced", "use method='linear'"
            )
    lead = ranked.ndim - 1
    found = NP.moveaxis(found, range(lead, found.ndim), range(found.ndim - lead))
    if keepdims:
        found = NP.reshape(found, (*found.shape[: found.ndim - lead], *kept(x, axes_of(x, axis))))
    return as_dtype(found, x.dtype) if np.ndim(q) == 0 and x.dtype == np.float32 else found


@spells(np.percentile)
def percentile(a: Any, q: Any, *args: Any, **kwargs: Any) -> Any:
    return quantile(a, floating(q) / 100, *args, **kwargs)


# -- without NaN -----------------------------------------------------------------------------------


def _without_nan(a: Any, fill: float) -> Any:
    x = lift(a)
    return NP.where(NP.isnan(x), x.dtype.type(fill), x) if x.dtype.kind == "f" else x


def _numbers(a: Any, axis: Axes, keepdims: bool) -> Any:
    """How many elements are not NaN."""
    return as_dtype(sum_(~NP.isnan(lift(a)), axis, keepdims=keepdims), floating(a).dtype)


@spells(np.nansum)
def nansum(
    a: Any, axis: Axes = None, dtype: Any = None, out: Any = None, keepdims: bool = False
) -> Any:
    return sum_(_without_nan(a, 0), axis, dtype, out, keepdims)


@spells(np.nanprod)
def nanprod(
    a: Any, axis: Axes = None, dtype: Any = None, out: Any = None, keepdims: bool = False
) -> Any:
    return prod(_without_nan(a, 1), axis, dtype, out, keepdims)


@spells(np.nancumsum)
def nancumsum(a: Any, axis: int | None = None, dtype: Any = None, out: Any = None) -> Any:
    return cumsum(_without_nan(a, 0), axis, dtype, out)


@spells(np.nancumprod)
def nancumprod(a: Any, axis: int | None = None, dtype: Any = None, out: Any = None) -> Any:
    return cumprod(_without_nan(a, 1), axis, dtype, out)


@spells(np.nanmean)
def nanmean(
    a: Any, axis: Axes = None, dtype: Any = None, out: Any = None, keepdims: bool = False
) -> Any:
    return nansum(floating(a), axis, dtype, out, keepdims) / _numbers(a, axis, keepdims)


@spells(np.nanvar)
def nanvar(
    a: Any, axis: Axes = None, dtype: Any = None, out: Any = None, ddof: float = 0,
    keepdims: bool = False,
) -> Any:  # fmt: skip
    x = floating(a)
    centred = x - nanmean(x, axis, keepdims=True)
    return nansum(NP.square(centred), axis, dtype, out, keepdims) / (
        _numbers(x, axis, keepdims) - ddof
    )


@spells(np.nanstd)
def nanstd(a: Any, axis: Axes = None, *args: Any, **kwargs: Any) -> Any:
    return root(nanvar(a, axis, *args, **kwargs))


@spells(np.nanmax)
def nanmax(a: Any, axis: Axes = None, out: Any = None, keepdims: bool = False) -> Any:
    found = max_(_without_nan(a, -np.inf), axis, out, keepdims)
    if found.dtype.kind != "f":
        return found
    return NP.where(all_(NP.isnan(lift(a)), axis, keepdims=keepdims), np.nan, found)


@spells(np.nanmin)
def nanmin(a: Any, axis: Axes = None, out: Any = None, keepdims: bool = False) -> Any:
    x = lift(a)
    return -nanmax(-x, axis, out, keepdims) if x.dtype.kind == "f" else min_(x, axis, out, keepdims)


@spells(np.nanargmax)
def nanargmax(a: Any, axis: int | None = None, out: Any = None, *, keepdims: bool = False) -> Any:
    return NP.argmax(_without_nan(a, -np.inf), axis, out, keepdims=keepdims)


@spells(np.nanargmin)
def nanargmin(a: Any, axis: int | None = None, out: Any = None, *, keepdims: bool = False) -> Any:
    return NP.argmin(_without_nan(a, np.inf), axis, out, keepdims=keepdims)
