"""How NumPy's functions are spelt in primitives.

What flows: a NumPy call on traced values comes in, nodes come out. Each spelling has NumPy's own signature and is
mostly plain NumPy text over functions spelt before it (numpy_movement.py has those that only move). What is not
here is refused by name; `REMEDIES` says what to write instead.

>>> import numpy as np
>>> import difflab
>>> difflab.trace(np.mean, np.ones(4)).operation_count()
4
"""

from __future__ import annotations

import math
import operator
from functools import reduce
from typing import Any

import numpy as np

from difflab.errors import ShapeError, UnsupportedError
from difflab.ir.build import as_dtype, broadcast, lift, node, pointwise, promoted, reshaped
from difflab.ir.expr import Expr
from difflab.ir.numpy_movement import (
    NP,
    Axes,
    axes_of,
    axis_of,
    concatenate,
    count_along,
    kept,
    no_options,
    ravel,
    spells,
    take_along_axis,
    transpose,
)
from difflab.ir.primitives import TABLE
from difflab.ir.protocols import REMEDIES
from difflab.ir.special import log_softmax, softmax
from difflab.ir.structural import place, scatter_add


def _reduce(name: str, x: Expr, axis: Axes, keepdims: bool) -> Expr:
    axes = axes_of(x, axis)
    reduced = node(name, x, axes=axes) if axes else x
    return reshaped(reduced, kept(x, axes)) if keepdims else reduced


# -- reductions ----------------------------------------------------------------------------------------------


@spells(np.sum)
def sum_(a: Any, axis: Axes = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Expr:
    no_options("sum", out=out)
    x = lift(a)
    x = as_dtype(x, np.dtype(dtype)) if dtype else as_dtype(x, np.dtype("int64")) if x.dtype == bool else x
    return _reduce("sum", x, axis, keepdims)


@spells(np.max, np.amax)
def max_(a: Any, axis: Axes = None, out: Any = None, keepdims: bool = False) -> Expr:
    no_options("max", out=out)
    x = lift(a)
    if 0 in [x.shape[i] for i in axes_of(x, axis)]:
        raise ShapeError("the maximum of no elements does not exist", "check the array's size first")
    return _reduce("max", x, axis, keepdims)


@spells(np.min, np.amin)
def min_(a: Any, axis: Axes = None, out: Any = None, keepdims: bool = False) -> Any:
    return -max_(-lift(a), axis, out, keepdims)


@spells(np.all)
def all_(a: Any, axis: Axes = None, out: Any = None, keepdims: bool = False) -> Expr:
    return _reduce("all", truth(a), axis, keepdims)


@spells(np.any)
def any_(a: Any, axis: Axes = None, out: Any = None, keepdims: bool = False) -> Expr:
    return _reduce("any", truth(a), axis, keepdims)


def truth(a: Any) -> Expr:
    """An array as truth values."""
    x = lift(a)
    return x if x.dtype == bool else pointwise(TABLE["not_equal"], x, 0)


@spells(np.count_nonzero)
def count_nonzero(a: Any, axis: Axes = None, *, keepdims: bool = False) -> Expr:
    return sum_(truth(a), axis, keepdims=keepdims)


@spells(np.mean)
def mean(a: Any, axis: Axes = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    x = promoted(a, floating=True)[0]
    return sum_(x, axis, dtype, out, keepdims) / count_along(x, axes_of(x, axis))


@spells(np.average)
def average(a: Any, axis: Axes = None, weights: Any = None, *, keepdims: bool = False) -> Any:
    if weights is None:
        return mean(a, axis, keepdims=keepdims)
    x, w = promoted(a, weights, floating=True)
    if x.shape != w.shape:
        w = reshaped(w, tuple([n if i - x.ndim in axes_of(x, axis) else 1 for i, n in enumerate(x.shape)]))
    return sum_(x * w, axis, keepdims=keepdims) / sum_(broadcast(w, x.shape), axis, keepdims=keepdims)


@spells(np.var)
def var(
    a: Any, axis: Axes = None, dtype: Any = None, out: Any = None, ddof: float = 0, keepdims: bool = False,
    *, correction: float | None = None,
) -> Any:  # fmt: skip
    x = promoted(a, floating=True)[0]
    freedom = count_along(x, axes_of(x, axis)) - (ddof if correction is None else correction)
    centred = x - mean(x, axis, keepdims=True)
    return sum_(NP.square(centred), axis, dtype, out, keepdims) / freedom


@spells(np.std)
def std(a: Any, axis: Axes = None, dtype: Any = None, out: Any = None, **rest: Any) -> Any:
    return NP.sqrt(var(a, axis, dtype, out, **rest))


@spells(np.prod)
def prod(a: Any, axis: Axes = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Any:
    """A tree of products, so that zeros among the factors do no harm to the derivative."""
    no_options("prod", out=out)
    x = as_dtype(lift(a), np.dtype(dtype)) if dtype else lift(a)
    axes = axes_of(x, axis)
    order = [i for i in range(x.ndim) if i - x.ndim not in axes]
    y = transpose(x, [*order, *[a + x.ndim for a in axes]])
    y = reshaped(y, (*[x.shape[i] for i in order], count_along(x, axes)))
    if y.shape[-1] == 0:
        return np.ones(y.shape[:-1], x.dtype)
    while (n := y.shape[-1]) > 1:
        half = y[..., : n // 2] * y[..., n // 2 : n - n % 2]
        y = half if n % 2 == 0 else concatenate([half, y[..., n - 1 :]], -1)
    return reshaped(y, kept(x, axes) if keepdims else y.shape[:-1])


@spells(np.ptp)
def ptp(a: Any, axis: Axes = None, out: Any = None, keepdims: bool = False) -> Any:
    return max_(a, axis, out, keepdims) - min_(a, axis, out, keepdims)


@spells(np.argmax)
def argmax(a: Any, axis: int | None = None, out: Any = None, *, keepdims: bool = False) -> Expr:
    x = lift(a) if axis is not None else ravel(a)
    chosen = axis_of(x, -1 if axis is None else axis)
    found = node("argmax", x, axis=chosen)
    if not keepdims:
        return found
    return reshaped(found, kept(x, (chosen,)) if axis is not None else (1,) * lift(a).ndim)


@spells(np.argmin)
def argmin(a: Any, axis: int | None = None, out: Any = None, *, keepdims: bool = False) -> Expr:
    return argmax(-lift(a), axis, out, keepdims=keepdims)  # type: ignore[operator]


@spells(np.argsort)
def argsort(a: Any, axis: int | None = -1, kind: Any = None, order: Any = None, **_: Any) -> Expr:
    x = lift(a) if axis is not None else ravel(a)
    return node("argsort", x, axis=axis_of(x, -1 if axis is None else axis))


@spells(np.sort)
def sort(a: Any, axis: int | None = -1, kind: Any = None, order: Any = None, **_: Any) -> Any:
    x = lift(a) if axis is not None else ravel(a)
    return take_along_axis(x, argsort(x, -1 if axis is None else axis), -1 if axis is None else axis)


@spells(np.median)
def median(a: Any, axis: int | None = None, out: Any = None, overwrite_input: bool = False, keepdims: bool = False) -> Any:  # noqa: E501
    x = lift(a) if axis is not None else ravel(a)
    ranked = NP.moveaxis(sort(x, -1 if axis is None else axis), -1 if axis is None else axis, -1)
    n = ranked.shape[-1]
    middle = 0.5 * (ranked[..., (n - 1) // 2] + ranked[..., n // 2])
    return reshaped(middle, kept(lift(a), axes_of(lift(a), axis))) if keepdims else middle


@spells(np.cumsum)
def cumsum(a: Any, axis: int | None = None, dtype: Any = None, out: Any = None) -> Expr:
    x = lift(a) if axis is not None else ravel(a)
    x = as_dtype(x, np.dtype("int64")) if x.dtype == bool else x
    return node("cumsum", x, axis=axis_of(x, -1 if axis is None else axis))


@spells(np.cumprod)
def cumprod(a: Any, axis: int | None = None, dtype: Any = None, out: Any = None) -> Any:
    """A scan by doubling: log2(n) products of whole arrays."""
    x = lift(a) if axis is not None else ravel(a)
    y = NP.moveaxis(x, -1 if axis is None else axis, -1)
    step = 1
    while step < y.shape[-1]:
        y = concatenate([y[..., :step], y[..., step:] * y[..., :-step]], -1)
        step *= 2
    return NP.moveaxis(y, -1, -1 if axis is None else axis)


@spells(np.diff)
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    no_options("diff", prepend=prepend, append=append)
    y = NP.moveaxis(lift(a), axis, -1)
    for _ in range(n):
        y = y[..., 1:] - y[..., :-1]
    return NP.moveaxis(y, -1, axis)


@spells(np.trapezoid)
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    last = NP.moveaxis(lift(y), axis, -1)
    steps = dx if x is None else diff(x, axis=-1)
    return sum_(steps * (last[..., 1:] + last[..., :-1]) * 0.5, -1)



# -- elementwise -----------------------------------------------------------------------------------------------


@spells(np.power, np.float_power)
def power(x1: Any, x2: Any) -> Any:
    """Constant exponents have rows of their own, with shorter and more accurate partials."""
    if isinstance(x2, Expr) or np.ndim(x2) != 0:
        return pointwise(TABLE["power"], x1, x2)
    x, exponent = lift(x1), float(x2)
    if not isinstance(x2, (int, float)) or x.dtype.kind != "f":
        whole = isinstance(x2, (int, np.integer)) and exponent >= 0 and x.dtype == np.int64
        if whole:
            return prod(stack_of(x, int(x2)), 0)
        x = promoted(x, x2, floating=True)[0]
    if exponent == 0.0:
        return np.ones(x.shape, x.dtype)
    short = {1.0: copy, 2.0: NP.square, -1.0: NP.reciprocal, 0.5: NP.sqrt}.get(exponent)
    return short(x) if short else pointwise(TABLE["constant_power"], x, exponent=exponent)


def stack_of(x: Expr, count: int) -> Any:
    """A node repeated along a new leading axis."""
    return broadcast(x, (count, *x.shape))


def copy(x: Expr) -> Expr:
    """The node itself: nodes are immutable."""
    return x


@spells(np.clip)
def clip(a: Any, a_min: Any = None, a_max: Any = None, out: Any = None, *, min: Any = None, max: Any = None) -> Any:
    no_options("clip", out=out)
    low, high = (a_min if a_min is not None else min), (a_max if a_max is not None else max)
    x = a if low is None else NP.maximum(lift(a), low)
    return x if high is None else NP.minimum(lift(x), high)


@spells(np.where)
def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    if x is None or y is None:
        raise UnsupportedError("np.where with one argument cannot be traced", "write np.where(c, a, b)")
    chosen = truth(condition)
    return pointwise(TABLE["where"], chosen, x, y)


@spells(np.select)
def select(condlist: Any, choicelist: Any, default: Any = 0.0) -> Any:
    found = default
    for condition, choice in reversed(list(zip(condlist, choicelist, strict=True))):
        found = where(condition, choice, found)
    return found


@spells(np.round, np.around)
def round_(a: Any, decimals: int = 0, out: Any = None) -> Any:
    scale = 10.0**decimals
    return NP.rint(lift(a)) if decimals == 0 else NP.rint(lift(a) * scale) / scale  # type: ignore[operator]


@spells(np.deg2rad, np.radians)
def deg2rad(x: Any) -> Any:
    return x * (math.pi / 180.0)


@spells(np.rad2deg, np.degrees)
def rad2deg(x: Any) -> Any:
    return x * (180.0 / math.pi)


@spells(np.logaddexp2)
def logaddexp2(x1: Any, x2: Any) -> Any:
    ln2 = math.log(2.0)
    return NP.logaddexp(x1 * ln2, x2 * ln2) / ln2


@spells(np.isclose)
def isclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    return NP.abs(lift(a) - b) <= atol + rtol * NP.abs(b)  # type: ignore[operator]


@spells(np.allclose)
def allclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    return all_(isclose(a, b, rtol, atol))


@spells(np.array_equal)
def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Any:
    return np.shape(a1) == np.shape(a2) and all_(NP.equal(a1, a2))


@spells(np.polyval)
def polyval(p: Any, x: Any) -> Any:
    return reduce(lambda value, coefficient: value * x + coefficient, p, 0.0)


@spells(np.zeros_like)
def zeros_like(a: Any, dtype: Any = None, *_: Any, shape: Any = None, **__: Any) -> Any:
    return np.zeros(a.shape if shape is None else shape, dtype or a.dtype)


@spells(np.ones_like)
def ones_like(a: Any, dtype: Any = None, *_: Any, shape: Any = None, **__: Any) -> Any:
    return np.ones(a.shape if shape is None else shape, dtype or a.dtype)


@spells(np.empty_like)
def empty_like(a: Any, *_: Any, **__: Any) -> Any:
    raise UnsupportedError("np.empty_like cannot be traced", "it is filled in place: use np.stack of the parts")


@spells(np.full_like)
def full_like(a: Any, fill_value: Any, dtype: Any = None, *_: Any, **__: Any) -> Any:
    x = lift(a)
    return broadcast(as_dtype(fill_value, np.dtype(dtype or x.dtype)), x.shape)


@spells(np.shape)
def shape(a: Any) -> tuple[int, ...]:
    return lift(a).shape


@spells(np.ndim)
def ndim(a: Any) -> int:
    return lift(a).ndim


@spells(np.size)
def size(a: Any, axis: int | None = None) -> int:
    x = lift(a)
    return x.size if axis is None else x.shape[axis]


@spells(np.result_type)
def result_type(*values: Any) -> np.dtype[Any]:
    return np.result_type(*[v.dtype if isinstance(v, Expr) else v for v in values])


@spells(np.iscomplexobj)
def iscomplexobj(x: Any) -> bool:
    return False


# -- what NumPy lacks ------------------------------------------------------------------------------------------


@spells(softmax)
def softmax_(x: Any, axis: int = -1) -> Expr:
    return node("softmax", x, axis=axis_of(x, axis))


@spells(log_softmax)
def log_softmax_(x: Any, axis: int = -1) -> Expr:
    return node("log_softmax", x, axis=axis_of(x, axis))


@spells(place)
def place_(x: Any, index: Any, shape: tuple[int, ...]) -> Expr:
    return node("place", x, index=index, shape=shape)


@spells(scatter_add)
def scatter_add_(x: Any, *indices: Any, shape: tuple[int, ...]) -> Expr:
    return node("scatter_add", x, *indices, shape=shape)


_NO_SPECTRUM = "eigen- and singular values have no rule yet: use np.linalg.norm, det, solve or cholesky"
REMEDIES |= {
    np.linalg.eigh: _NO_SPECTRUM,
    np.linalg.eig: _NO_SPECTRUM,
    np.linalg.eigvalsh: _NO_SPECTRUM,
    np.linalg.svd: _NO_SPECTRUM,
    np.linalg.qr: "use np.linalg.cholesky of A.T @ A, or np.linalg.solve",
    np.linalg.lstsq: "write np.linalg.solve(A.T @ A, A.T @ b)",
    np.linalg.pinv: "write np.linalg.solve(A.T @ A, A.T)",
    np.interp: "write np.where over the pieces",
    np.piecewise: "write np.where or np.select",
    np.vectorize: "write the function with NumPy operations on whole arrays",
    np.apply_along_axis: "write a loop over the slices and np.stack the results",
    np.unique: "the number of results depends on values: choose the elements by an index array",
    np.nonzero: "the number of results depends on values: index with the mask itself, x[mask]",
    np.sinc: "write np.sin(np.pi * x) / (np.pi * x), with np.where at 0",
    np.fmax: "use np.maximum, which lets NaN through",
    np.fmin: "use np.minimum, which lets NaN through",
    np.convolve: "write it as a sum over shifted slices",
    np.copyto: "np.copyto works in place: use np.where",
    np.fft.fft: "complex numbers cannot be traced: write sums with np.cos and np.sin",
    np.histogram: "counts are piecewise constant: their derivative is zero",
    np.percentile: "use np.sort and an index",
    np.quantile: "use np.sort and an index",
}
