"""How NumPy's functions that choose, insert and count elements are spelt in primitives.

Where the shape of a result depends on values (`np.nonzero`, a mask), the values at the current
point are taken and recorded as guards.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from difflab.errors import ShapeError, UnsupportedError
from difflab.ir.build import as_dtype, lift, node, pointwise, promoted
from difflab.ir.expr import Expr
from difflab.ir.row import TABLE
from difflab.spellings.axes import axis_of, flat_if_none
from difflab.spellings.indexing import current_value, getitem, indices
from difflab.spellings.movement import concatenate, moveaxis, ravel, transpose
from difflab.spellings.spelling import NP, spells
from difflab.table.movement import scatter_add


def truth(a: Any) -> Expr:
    """An array as truth values."""
    x = lift(a)
    return x if x.dtype == bool else pointwise(TABLE["not_equal"], x, 0)


def plain(value: Any) -> Any:
    """The value at the current point, as a plain array; a traced one is recorded as a guard."""
    return current_value(value) if isinstance(value, Expr) else np.asarray(value)


# -- by index --------------------------------------------------------------------------------------


@spells(np.take, refuses="out")
def take(a: Any, indices: Any, axis: int | None = None, mode: str = "raise") -> Any:
    x, chosen = flat_if_none(a, axis)
    where = indices if isinstance(indices, Expr) else np.asarray(indices)
    n = x.shape[chosen]
    if mode != "raise":
        where = NP.clip(where, 0, n - 1) if mode == "clip" else NP.remainder(where, n)
    return getitem(x, (*[slice(None)] * (chosen + x.ndim), where))


@spells(np.take_along_axis)
def take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Any:
    x, chosen = flat_if_none(arr, axis)
    where = lift(indices)
    if where.ndim != x.ndim:
        raise ShapeError(f"indices of shape {where.shape} do not fit an array of shape {x.shape}")
    grid = [
        where if i == chosen + x.ndim else np.arange(n).reshape((n, *(1,) * (x.ndim - i - 1)))
        for i, n in enumerate(x.shape)
    ]
    return getitem(x, tuple(grid))


@spells(np.compress, refuses="out")
def compress(condition: Any, a: Any, axis: int | None = None) -> Any:
    return take(a, np.flatnonzero(plain(condition)), axis)


@spells(np.nonzero)
def nonzero(a: Any) -> Any:
    return np.nonzero(plain(truth(a)))


@spells(np.trim_zeros, refuses="axis")
def trim_zeros(filt: Any, trim: str = "fb") -> Any:
    x = lift(filt)
    inside = np.flatnonzero(plain(truth(x)))
    if x.ndim != 1:
        raise UnsupportedError("np.trim_zeros of a matrix cannot be traced", "index with slices")
    first, last = (inside[0], inside[-1] + 1) if inside.size else (x.size, x.size)
    return x[first if "f" in trim.lower() else 0 : last if "b" in trim.lower() else x.size]


@spells(np.repeat)
def repeat(a: Any, repeats: Any, axis: int | None = None) -> Any:
    x, chosen = flat_if_none(a, axis)
    return take(x, np.repeat(np.arange(x.shape[chosen]), plain(repeats)), chosen)


@spells(np.resize)
def resize(a: Any, new_shape: Any) -> Any:
    x = ravel(a)
    return take(x, np.resize(np.arange(x.size), new_shape))


@spells(np.delete)
def delete(arr: Any, obj: Any, axis: int | None = None) -> Any:
    x, chosen = flat_if_none(arr, axis)
    which = obj if isinstance(obj, slice) else plain(obj)
    return take(x, np.delete(np.arange(x.shape[chosen]), which), chosen)


@spells(np.insert)
def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Any:
    """The new elements are joined at the end, then all are put in order by index."""
    x, chosen = flat_if_none(arr, axis)
    where: Any = obj if isinstance(obj, slice) else plain(obj)
    n, new = x.shape[chosen], as_dtype(values, x.dtype)
    new = new if new.ndim >= x.ndim else new[(None,) * (x.ndim - new.ndim)]
    single = not isinstance(where, slice) and where.size == 1
    if single and where.ndim == 0:
        new = moveaxis(new, 0, chosen)
    count = new.shape[chosen] if single else len(np.arange(n)[where])
    shape = [count if i == chosen + x.ndim else length for i, length in enumerate(x.shape)]
    positions = np.insert(np.arange(n), where, n + np.arange(count))
    return take(concatenate([x, NP.broadcast_to(new, shape)], chosen), positions, chosen)


@spells(np.pad, refuses="stat_length end_values reflect_type")
def pad(array: Any, pad_width: Any, mode: str = "constant", *, constant_values: Any = 0) -> Any:
    x = lift(array)
    widths = np.broadcast_to(pad_width, (x.ndim, 2)).tolist()
    if mode in ("edge", "reflect", "symmetric", "wrap"):
        for axis, sides in enumerate(widths):
            x = take(x, np.pad(np.arange(x.shape[axis]), sides, mode), axis)  # type: ignore[call-overload]
        return x
    if mode != "constant":
        raise UnsupportedError(f"np.pad with mode={mode!r} cannot be traced", "use np.concatenate")
    fill = NP.broadcast_to(constant_values, (x.ndim, 2))
    for axis, sides in enumerate(widths):
        before, after = (
            NP.astype(
                NP.broadcast_to(
                    fill[axis, side],
                    [width if i == axis else n for i, n in enumerate(x.shape)],
                ),
                x.dtype,
            )
            for side, width in enumerate(sides)
        )
        x = concatenate([before, x, after], axis)
    return x


# -- triangles and diagonals -----------------------------------------------------------------------


@spells(np.diagonal)
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    x = moveaxis(a, (axis1, axis2), (-2, -1))
    rows, columns = x.shape[-2:]
    length = max(min(rows + min(offset, 0), columns - max(offset, 0)), 0)
    i = np.arange(length)
    return getitem(x, (..., i - min(offset, 0), i + max(offset, 0)))


@spells(np.diag)
def diag(v: Any, k: int = 0) -> Any:
    x = lift(v)
    if x.ndim != 1:
        return diagonal(x, k)
    n = x.shape[0] + abs(k)
    i = np.arange(x.shape[0])
    return scatter_add(x, indices(i - min(k, 0)), indices(i + max(k, 0)), shape=(n, n))


@spells(np.trace, refuses="out")
def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None) -> Any:
    return NP.sum(diagonal(a, offset, axis1, axis2), -1, dtype)


@spells(np.tril)
def tril(m: Any, k: int = 0) -> Any:
    x = lift(m)
    return NP.where(np.tri(x.shape[-2 % x.ndim], x.shape[-1], k, bool), x, x.dtype.type(0))


@spells(np.triu)
def triu(m: Any, k: int = 0) -> Any:
    x = lift(m)
    return NP.where(np.tri(x.shape[-2 % x.ndim], x.shape[-1], k - 1, bool), x.dtype.type(0), x)


# -- order -----------------------------------------------------------------------------------------


@spells(np.argsort, refuses="order")
def argsort(a: Any, axis: int | None = -1, kind: Any = None, *, stable: Any = None) -> Any:
    """Ties are left as NumPy leaves them, which depends on `kind`, and on the processor."""
    np.argsort(np.zeros(0), kind=kind, stable=stable)  # NumPy says what it does not take
    x, chosen = flat_if_none(a, axis)
    return node("argsort", x, axis=chosen, kind="stable" if stable else kind)


@spells(np.sort, refuses="order")
def sort(a: Any, axis: int | None = -1, kind: Any = None, *, stable: Any = None) -> Any:
    x, chosen = flat_if_none(a, axis)
    return take_along_axis(x, argsort(x, chosen, kind, stable=stable), chosen)


@spells(np.argmax, refuses="out")
def argmax(a: Any, axis: int | None = None, *, keepdims: bool = False) -> Any:
    x, chosen = flat_if_none(a, axis)
    if x.shape[chosen] == 0:
        raise ShapeError("the position of the maximum of no elements does not exist")
    found = node("argmax", x, axis=chosen)
    if axis is None:
        return NP.reshape(found, (1,) * lift(a).ndim) if keepdims else found
    return NP.expand_dims(found, chosen) if keepdims else found


@spells(np.argmin, refuses="out")
def argmin(a: Any, axis: int | None = None, *, keepdims: bool = False) -> Any:
    x = lift(a)
    return argmax(~x if x.dtype == bool else -x, axis, keepdims=keepdims)


@spells(np.searchsorted)
def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    """How many elements stand before v."""
    x, y = promoted(a if sorter is None else take(a, sorter), v)
    after = NP.greater_equal if side == "left" else NP.greater
    return NP.count_nonzero(~after(x, y[..., None]), -1)


@spells(np.digitize)
def digitize(x: Any, bins: Any, right: bool = False) -> Any:
    edges = plain(bins)
    if edges.size > 1 and edges[0] > edges[-1]:
        return edges.size - searchsorted(edges[::-1], x, "left" if right else "right")
    return searchsorted(bins, x, "left" if right else "right")


@spells(np.bincount)
def bincount(x: Any, /, weights: Any = None, minlength: int = 0) -> Any:
    where = plain(x)
    count = max(int(where.max(initial=-1)) + 1, minlength)
    if weights is None:
        return np.bincount(where, minlength=minlength)
    return scatter_add(NP.astype(lift(weights), float), indices(where), shape=(count,))


@spells(np.unique, refuses="axis sorted")
def unique(
    ar: Any,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    *,
    equal_nan: bool = True,
) -> Any:
    """Which neighbours in order are equal is a guard; the values are selected from the array."""
    x = ravel(ar)
    order: Any = argsort(x, kind="stable")
    ranked: Any = take(x, order)
    other = NP.not_equal(ranked[1:], ranked[:-1])
    if equal_nan:
        other = other & ~NP.isnan(ranked[:-1])  # NaN stand last
    new = np.append(np.ones(min(x.size, 1), bool), plain(other))
    first = np.flatnonzero(new)
    found = [ranked[first]]
    if return_index:
        found.append(order[first])
    if return_inverse:
        found.append(NP.reshape(take(np.cumsum(new) - 1, argsort(order)), lift(ar).shape))
    if return_counts:
        found.append(np.diff(first, append=x.size))
    return found[0] if len(found) == 1 else tuple(found)


def _unique(function: Any, *options: bool) -> Any:
    """Those functions of NumPy's that give a named tuple, and hold NaN for different."""
    result = type(function(np.zeros(1)))
    return spells(function)(lambda x: result(*unique(x, *options, equal_nan=False)))


@spells(np.apply_along_axis)
def apply_along_axis(func1d: Any, axis: int, arr: Any, *args: Any, **kwargs: Any) -> Any:
    x = lift(arr)
    last = moveaxis(x, axis, -1)
    rows = NP.reshape(last, (-1, last.shape[-1]))
    found = NP.stack([lift(func1d(row, *args, **kwargs)) for row in rows])
    found = NP.reshape(found, last.shape[:-1] + found.shape[1:])
    lead, start = last.ndim - 1, axis_of(x, axis) + x.ndim
    inner = range(lead, found.ndim)
    return transpose(found, [*range(start), *inner, *range(start, lead)])


# -- in a line each --------------------------------------------------------------------------------

IN_A_LINE = [
    _unique(np.unique_all, True, True, True),
    _unique(np.unique_inverse, False, True),
    _unique(np.unique_counts, False, False, True),
    spells(np.union1d)(lambda ar1, ar2: unique(concatenate([ravel(ar1), ravel(ar2)]))),
    spells(np.extract)(lambda condition, arr: take(arr, np.flatnonzero(plain(condition)))),
    spells(np.flatnonzero)(lambda a: np.flatnonzero(plain(truth(a)))),
    spells(np.argwhere)(lambda a: np.argwhere(plain(truth(a)))),
    spells(np.diagflat)(lambda v, k=0: diag(ravel(v), k)),
    spells(np.tril_indices_from)(lambda arr, k=0: np.tril_indices(arr.shape[-2], k, arr.shape[-1])),
    spells(np.triu_indices_from)(lambda arr, k=0: np.triu_indices(arr.shape[-2], k, arr.shape[-1])),
    spells(np.diag_indices_from)(lambda arr: np.diag_indices(arr.shape[0], arr.ndim)),
]
