"""How NumPy's reductions, running sums and order statistics are spelt in primitives.

The `nan` functions leave NaN out by `np.where`, so its derivative is zero.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from difflab.errors import ShapeError, UnsupportedError
from difflab.ir.build import as_dtype, broadcast, lift, node, promoted, reshaped
from difflab.ir.expr import Expr
from difflab.spellings.axes import Axes, axes_of, axis_of, count_along, flat_if_none, reduced_shape
from difflab.spellings.elementwise import floating
from difflab.spellings.movement import concatenate, transpose
from difflab.spellings.selection import argmax, argmin, sort, truth
from difflab.spellings.spelling import NP, spells
from difflab.table.arithmetic import root


def _flat_last(a: Any, axis: Axes) -> Expr:
    """The array with those axes moved to the end and flattened into one."""
    x = lift(a)
    axes = axes_of(x, axis)
    rest = [i for i in range(x.ndim) if i - x.ndim not in axes]
    moved = transpose(x, [*rest, *[i + x.ndim for i in axes]])
    return reshaped(moved, (*[x.shape[i] for i in rest], count_along(x, axes)))


def _reduce(name: str, x: Expr, axis: Axes, keepdims: bool) -> Any:
    axes = axes_of(x, axis)
    reduced = node(name, x, axes=axes) if axes else x
    return reshaped(reduced, reduced_shape(x, axes)) if keepdims else reduced


def _counting(a: Any, dtype: Any) -> Expr:
    """The dtype in which NumPy adds up and multiplies: truth values count as integers."""
    x = lift(a)
    if dtype is not None:
        return as_dtype(x, np.dtype(dtype))
    return as_dtype(x, np.dtype("int64")) if x.dtype == bool else x


def _restored(reduced: Any, a: Any, axis: Axes, keepdims: bool) -> Any:
    x = lift(a)
    return reshaped(reduced, reduced_shape(x, axes_of(x, axis))) if keepdims else reduced


# -- sums and means --------------------------------------------------------------------------------


@spells(np.sum, refuses="out initial where")
def sum_(a: Any, axis: Axes = None, dtype: Any = None, keepdims: bool = False) -> Any:
    return _reduce("sum", _counting(a, dtype), axis, keepdims)


@spells(np.prod, refuses="out initial where")
def prod(a: Any, axis: Axes = None, dtype: Any = None, keepdims: bool = False) -> Any:
    """A tree of products, so that zeros among the factors do no harm to the derivative."""
    x = _counting(a, dtype)
    y = _flat_last(x, axis)
    if y.shape[-1] == 0:
        return _restored(lift(np.ones(y.shape[:-1], x.dtype)), x, axis, keepdims)
    while (n := y.shape[-1]) > 1:
        half = y[..., : n // 2] * y[..., n // 2 : n - n % 2]
        y = half if n % 2 == 0 else concatenate([half, y[..., n - 1 :]], -1)
    return _restored(y[..., 0], x, axis, keepdims)


@spells(np.mean, refuses="out where")
def mean(a: Any, axis: Axes = None, dtype: Any = None, keepdims: bool = False) -> Any:
    x = floating(a)
    return sum_(x, axis, dtype, keepdims) / count_along(x, axes_of(x, axis))


@spells(np.average)
def average(
    a: Any, axis: Axes = None, weights: Any = None, returned: bool = False, *,
    keepdims: bool = False,
) -> Any:  # fmt: skip
    x = floating(a)
    if weights is None:
        found, w = mean(x, axis, keepdims=keepdims), broadcast(as_dtype(1.0, x.dtype), x.shape)
        return (found, sum_(w, axis, keepdims=keepdims)) if returned else found
    x, w = promoted(a, weights, floating=True)
    if x.shape != w.shape:
        axes = axes_of(x, axis)
        if w.shape != tuple(x.shape[i] for i in axes):
            raise ShapeError(f"weights of shape {w.shape} do not fit axes {axis} of {x.shape}")
        w = reshaped(w, tuple([n if i - x.ndim in axes else 1 for i, n in enumerate(x.shape)]))
    total = sum_(broadcast(w, x.shape), axis, keepdims=keepdims)
    found = sum_(x * w, axis, keepdims=keepdims) / total
    return (found, total) if returned else found


@spells(np.var, refuses="out where")
def var(
    a: Any, axis: Axes = None, dtype: Any = None, ddof: float = 0, keepdims: bool = False, *,
    mean: Any = None, correction: float | None = None,
) -> Any:  # fmt: skip
    x = floating(a)
    x = x if dtype is None else as_dtype(x, np.dtype(dtype))
    count = count_along(x, axes_of(x, axis))
    freedom = count - (ddof if correction is None else correction)
    if mean is None:
        centred = x - NP.mean(x, axis, keepdims=True) if count > 1 or freedom <= 0 else 0.0 * x
    else:
        centred = x - mean
    return sum_(NP.square(centred), axis, None, keepdims) / max(freedom, 0)


@spells(np.std, refuses="out where")
def std(
    a: Any, axis: Axes = None, dtype: Any = None, ddof: float = 0, keepdims: bool = False, *,
    mean: Any = None, correction: float | None = None,
) -> Any:  # fmt: skip
    return root(var(a, axis, dtype, ddof, keepdims, mean=mean, correction=correction))


# -- extremes --------------------------------------------------------------------------------------


@spells(np.max, np.amax, refuses="out initial where")
def max_(a: Any, axis: Axes = None, keepdims: bool = False) -> Any:
    x = lift(a)
    if 0 in [x.shape[i] for i in axes_of(x, axis)]:
        raise ShapeError("no elements have no maximum or minimum", "check the array's size first")
    return _reduce("any" if x.dtype == bool else "max", x, axis, keepdims)


@spells(np.min, np.amin, refuses="out initial where")
def min_(a: Any, axis: Axes = None, keepdims: bool = False) -> Any:
    x = lift(a)
    if x.dtype == bool:
        return ~max_(~x, axis, keepdims)
    return -max_(-x, axis, keepdims)


@spells(np.ptp, refuses="out")
def ptp(a: Any, axis: Axes = None, keepdims: bool = False) -> Any:
    return max_(a, axis, keepdims) - min_(a, axis, keepdims)


@spells(np.all, refuses="out where")
def all_(a: Any, axis: Axes = None, keepdims: bool = False) -> Any:
    return _reduce("all", truth(a), axis, keepdims)


@spells(np.any, refuses="out where")
def any_(a: Any, axis: Axes = None, keepdims: bool = False) -> Any:
    return _reduce("any", truth(a), axis, keepdims)


@spells(np.count_nonzero)
def count_nonzero(a: Any, axis: Axes = None, *, keepdims: bool = False) -> Any:
    return sum_(truth(a), axis, keepdims=keepdims)


# -- running sums and products ---------------------------------------------------------------------


@spells(np.cumsum, refuses="out")
def cumsum(a: Any, axis: int | None = None, dtype: Any = None) -> Any:
    x, chosen = flat_if_none(_counting(a, dtype), axis)
    return node("cumsum", x, axis=chosen)


@spells(np.cumprod, refuses="out")
def cumprod(a: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """A scan by doubling: log2(n) products of whole arrays."""
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


@spells(np.cumulative_sum, refuses="out")
def cumulative_sum(
    x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Any:
    return _cumulative(cumsum, 0, x, axis, dtype, include_initial)


@spells(np.cumulative_prod, refuses="out")
def cumulative_prod(
    x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Any:
    return _cumulative(cumprod, 1, x, axis, dtype, include_initial)


# -- order statistics ------------------------------------------------------------------------------


def _ranked(x: Expr, axis: Axes) -> Any:
    """The elements along the axes in order along the last axis; all NaN where one is."""
    found = sort(_flat_last(x, axis), -1)
    if found.shape[-1] == 0:
        raise ShapeError("no elements have no median or quantile", "check the array's size first")
    return NP.where(NP.isnan(found[..., -1:]), np.nan, found)


@spells(np.median, refuses="out", ignores="overwrite_input")
def median(a: Any, axis: Axes = None, keepdims: bool = False) -> Any:
    ranked = _ranked(floating(a), axis)
    n = ranked.shape[-1]
    middle = ranked[..., n // 2]
    if n % 2 == 0:
        middle = 0.5 * (ranked[..., n // 2 - 1] + middle)
    return _restored(middle, a, axis, keepdims)


@spells(np.quantile, refuses="out weights", ignores="overwrite_input")
def quantile(
    a: Any, q: Any, axis: Axes = None, method: str = "linear", keepdims: bool = False
) -> Any:
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
        found = NP.reshape(
            found, (*found.shape[: found.ndim - lead], *reduced_shape(x, axes_of(x, axis)))
        )
    return as_dtype(found, x.dtype) if np.ndim(q) == 0 and x.dtype == np.float32 else found


@spells(np.percentile, refuses="out weights", ignores="overwrite_input")
def percentile(
    a: Any, q: Any, axis: Axes = None, method: str = "linear", keepdims: bool = False
) -> Any:
    return quantile(a, floating(q) / 100, axis, method, keepdims)


# -- without NaN -----------------------------------------------------------------------------------


def _nan_as(fill: float, a: Any) -> Any:
    x = lift(a)
    return NP.where(NP.isnan(x), x.dtype.type(fill), x) if x.dtype.kind == "f" else x


def _without_nan(reduction: Any, fill: float) -> Any:
    """The reduction, with a number in the place of each NaN that changes nothing."""

    @functools.wraps(reduction)
    def meaning(a: Any, *args: Any, **kwargs: Any) -> Any:
        return reduction(_nan_as(fill, a), *args, **kwargs)

    return meaning


def _numbers(a: Any, axis: Axes, keepdims: bool) -> Any:
    """How many elements are not NaN."""
    return as_dtype(sum_(~NP.isnan(lift(a)), axis, keepdims=keepdims), floating(a).dtype)


@spells(np.nanmean, refuses="out where")
def nanmean(a: Any, axis: Axes = None, dtype: Any = None, keepdims: bool = False) -> Any:
    return NP.nansum(floating(a), axis, dtype, keepdims=keepdims) / _numbers(a, axis, keepdims)


@spells(np.nanvar, refuses="out where mean correction")
def nanvar(
    a: Any, axis: Axes = None, dtype: Any = None, ddof: float = 0, keepdims: bool = False
) -> Any:
    x = floating(a)
    squares = NP.square(x - nanmean(x, axis, keepdims=True))
    return NP.nansum(squares, axis, dtype, keepdims=keepdims) / (_numbers(x, axis, keepdims) - ddof)


@spells(np.nanstd, refuses="out where mean correction")
def nanstd(
    a: Any, axis: Axes = None, dtype: Any = None, ddof: float = 0, keepdims: bool = False
) -> Any:
    return root(nanvar(a, axis, dtype, ddof, keepdims))


@spells(np.nanmax, refuses="out initial where")
def nanmax(a: Any, axis: Axes = None, keepdims: bool = False) -> Any:
    found = max_(_nan_as(-np.inf, a), axis, keepdims)
    if found.dtype.kind != "f":
        return found
    return NP.where(all_(NP.isnan(lift(a)), axis, keepdims=keepdims), np.nan, found)


@spells(np.nanmin, refuses="out initial where")
def nanmin(a: Any, axis: Axes = None, keepdims: bool = False) -> Any:
    x = lift(a)
    return -nanmax(-x, axis, keepdims) if x.dtype.kind == "f" else min_(x, axis, keepdims)


# -- in a line each --------------------------------------------------------------------------------

IN_A_LINE = [
    spells(np.nansum, refuses="out initial where")(_without_nan(sum_, 0)),
    spells(np.nanprod, refuses="out initial where")(_without_nan(prod, 1)),
    spells(np.nancumsum, refuses="out")(_without_nan(cumsum, 0)),
    spells(np.nancumprod, refuses="out")(_without_nan(cumprod, 1)),
    spells(np.nanargmax, refuses="out")(_without_nan(argmax, -np.inf)),
    spells(np.nanargmin, refuses="out")(_without_nan(argmin, np.inf)),
]
