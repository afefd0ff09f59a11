"""How NumPy's functions that move, join and cut arrays are spelt in primitives.

The first half of what numpy_functions.py describes; nothing here computes a number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from difflab.errors import ShapeError, UnsupportedError
from difflab.ir.build import as_dtype, broadcast, common_shape, lift, node, promoted, reshaped
from difflab.ir.expr import Expr
from difflab.ir.indexing import getitem, indices
from difflab.ir.protocols import SPELLINGS
from difflab.ir.structural import scatter_add

Axes = int | Sequence[int] | None
Spelling = TypeVar("Spelling", bound=Callable[..., Any])
NP: Any = np  # spellings call NumPy on nodes, which NumPy's stubs do not know


def spells(*functions: Any) -> Callable[[Spelling], Spelling]:
    """The decorated function says what those NumPy functions mean on nodes."""

    def register(spelling: Spelling) -> Spelling:
        for function in functions:
            SPELLINGS[function] = spelling
        return spelling

    return register


def axes_of(x: Expr, axis: Axes) -> tuple[int, ...]:
    """The named axes, counted from the end, in order."""
    if axis is None:
        return tuple(range(-x.ndim, 0))
    chosen = [axis] if isinstance(axis, (int, np.integer)) else list(axis)
    for a in chosen:
        if not -x.ndim <= a < x.ndim:
            raise ShapeError(f"axis {a} is out of bounds for an array of shape {x.shape}")
    return tuple(sorted({a % x.ndim - x.ndim for a in chosen}))


def axis_of(x: Expr, axis: int) -> int:
    """One axis, counted from the end."""
    return axes_of(x, axis)[0]


def kept(x: Expr, axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple([1 if i - x.ndim in axes else n for i, n in enumerate(x.shape)])


def count_along(x: Expr, axes: tuple[int, ...]) -> int:
    return math.prod(x.shape[a] for a in axes)


def no_options(function: str, **options: Any) -> None:
    """Refuse by name the options that a spelling does not have."""
    for name, value in options.items():
        if value is not None:
            raise UnsupportedError(f"np.{function} with {name}= cannot be traced", f"leave out {name}")




@spells(np.reshape)
def reshape(a: Any, /, shape: Any = None, order: str = "C", *rest: Any, copy: Any = None) -> Expr:
    if rest or isinstance(order, (int, np.integer)):
        shape, order = (shape, order, *rest), "C"
    x = lift(a)
    wanted = [int(n) for n in (shape if isinstance(shape, (tuple, list)) else (shape,))]
    if order not in ("C", "A", "K"):
        raise UnsupportedError("reshape with order='F' cannot be traced", "transpose before and after")
    known = math.prod(n for n in wanted if n != -1)
    if -1 in wanted and known and x.size % known == 0:
        wanted[wanted.index(-1)] = x.size // known
    if math.prod(wanted) != x.size or -1 in wanted:
        raise ShapeError(f"cannot reshape an array of shape {x.shape} into {tuple(wanted)}")
    return reshaped(x, tuple(wanted))


@spells(np.ravel)
def ravel(a: Any, order: str = "C") -> Expr:
    return reshape(a, -1, order)


@spells(np.copy, np.positive, np.real, np.conj, np.ascontiguousarray, np.nan_to_num)
def copy(a: Any, *_: Any, **__: Any) -> Expr:
    return lift(a)


@spells(np.astype)
def astype(x: Any, dtype: Any, /, **_: Any) -> Expr:
    kind = np.dtype(dtype)
    return as_dtype(lift(x), np.dtype("int64") if kind.kind in "iu" else kind)


@spells(np.broadcast_to)
def broadcast_to(array: Any, shape: Any, subok: bool = False) -> Expr:
    wanted = (shape,) if isinstance(shape, int) else tuple(shape)
    x = lift(array)
    if common_shape([x, np.broadcast_to(np.empty(()), wanted)]) != wanted:
        raise ShapeError(f"an array of shape {x.shape} cannot be broadcast to {wanted}")
    return broadcast(x, wanted)


@spells(np.broadcast_arrays)
def broadcast_arrays(*args: Any, subok: bool = False) -> tuple[Expr, ...]:
    lifted = [lift(a) for a in args]
    shape = common_shape(lifted)
    return tuple([broadcast(x, shape) for x in lifted])


@spells(np.transpose, np.permute_dims)
def transpose(a: Any, axes: Any = None, *rest: Any) -> Expr:
    x = lift(a)
    axes = (axes, *rest) if rest else axes
    chosen = range(x.ndim)[::-1] if axes is None else [i % x.ndim for i in axes]
    order = tuple(chosen)
    if sorted(order) != list(range(x.ndim)):
        raise ShapeError(f"axes {axes} do not permute an array of shape {x.shape}")
    return x if order == tuple(range(x.ndim)) else node("transpose", x, axes=order)


@spells(np.linalg.matrix_transpose, np.matrix_transpose)
def matrix_transpose(x: Any, /) -> Expr:
    return swapaxes(x, -1, -2)


@spells(np.swapaxes)
def swapaxes(a: Any, axis1: int, axis2: int) -> Expr:
    x = lift(a)
    order = list(range(x.ndim))
    i, j = axis_of(x, axis1), axis_of(x, axis2)
    order[i], order[j] = order[j], order[i]
    return transpose(x, order)


@spells(np.moveaxis)
def moveaxis(a: Any, source: Axes, destination: Axes) -> Expr:
    x = lift(a)
    sources, targets = (
        [i % x.ndim for i in ([axis] if isinstance(axis, int) else axis or ())] for axis in (source, destination)
    )
    order = [i for i in range(x.ndim) if i not in sources]
    for target, origin in sorted(zip(targets, sources, strict=True)):
        order.insert(target, origin)
    return transpose(x, order)


@spells(np.expand_dims)
def expand_dims(a: Any, axis: Any) -> Expr:
    x = lift(a)
    chosen = (axis,) if isinstance(axis, int) else tuple(axis)
    ndim = x.ndim + len(chosen)
    new = {i % ndim for i in chosen}
    lengths = iter(x.shape)
    return reshaped(x, tuple([1 if i in new else next(lengths) for i in range(ndim)]))


@spells(np.squeeze)
def squeeze(a: Any, axis: Axes = None) -> Expr:
    x = lift(a)
    gone = axes_of(x, axis) if axis is not None else [i - x.ndim for i, n in enumerate(x.shape) if n == 1]
    if any(x.shape[i] != 1 for i in gone):
        raise ShapeError(f"only axes of length 1 can be squeezed; the shape is {x.shape}")
    return reshaped(x, tuple([n for i, n in enumerate(x.shape) if i - x.ndim not in gone]))


@spells(np.atleast_1d)
def atleast_1d(*arys: Any) -> Any:
    found = [reshaped(x, x.shape or (1,)) for x in map(lift, arys)]
    return found[0] if len(found) == 1 else tuple(found)


@spells(np.atleast_2d)
def atleast_2d(*arys: Any) -> Any:
    found = [reshaped(x, (1,) * (2 - x.ndim) + x.shape) for x in map(lift, arys)]
    return found[0] if len(found) == 1 else tuple(found)


@spells(np.concatenate, np.concat)
def concatenate(arrays: Any, axis: int | None = 0, out: Any = None, **_: Any) -> Expr:
    parts = promoted(*arrays)
    if axis is None:
        parts, axis = [ravel(part) for part in parts], 0
    if any(part.ndim != parts[0].ndim for part in parts) or parts[0].ndim == 0:
        raise ShapeError(f"cannot concatenate arrays of shapes {[part.shape for part in parts]}")
    chosen = axis_of(parts[0], axis)
    trimmed = {tuple(n for i, n in enumerate(p.shape) if i - p.ndim != chosen) for p in parts}
    if len(trimmed) > 1:
        raise ShapeError(f"cannot concatenate arrays of shapes {[part.shape for part in parts]} on axis {axis}")
    return parts[0] if len(parts) == 1 else node("concatenate", *parts, axis=chosen)


@spells(np.stack)
def stack(arrays: Any, axis: int = 0, out: Any = None, **_: Any) -> Expr:
    parts = promoted(*arrays)
    if len({part.shape for part in parts}) > 1:
        raise ShapeError(f"cannot stack arrays of shapes {[part.shape for part in parts]}")
    return concatenate([expand_dims(part, axis) for part in parts], axis)


@spells(np.vstack)
def vstack(tup: Any, **_: Any) -> Expr:
    return concatenate([atleast_2d(part) for part in tup], 0)


@spells(np.hstack)
def hstack(tup: Any, **_: Any) -> Expr:
    parts = [atleast_1d(part) for part in tup]
    return concatenate(parts, 0 if parts[0].ndim == 1 else 1)


@spells(np.column_stack)
def column_stack(tup: Any) -> Expr:
    return concatenate([x if x.ndim > 1 else x[:, None] for x in map(atleast_1d, tup)], 1)


@spells(np.append)
def append(arr: Any, values: Any, axis: int | None = None) -> Expr:
    return concatenate([lift(arr), lift(values)], axis)


@spells(np.split, np.array_split)
def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    x = NP.moveaxis(lift(ary), axis, 0)
    n = x.shape[0]
    if isinstance(indices_or_sections, int):
        count = indices_or_sections
        bounds = [n // count * i + min(i, n % count) for i in range(count + 1)]
    else:
        bounds = [0, *[int(i) for i in indices_or_sections], n]
    return [NP.moveaxis(x[i:j], 0, axis) for i, j in zip(bounds, bounds[1:], strict=False)]


@spells(np.hsplit)
def hsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    return split(ary, indices_or_sections, 0 if lift(ary).ndim == 1 else 1)


@spells(np.vsplit)
def vsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    return split(ary, indices_or_sections, 0)


@spells(np.unstack)
def unstack(x: Any, /, *, axis: int = 0) -> tuple[Any, ...]:
    return tuple(NP.moveaxis(lift(x), axis, 0))


@spells(np.flip)
def flip(m: Any, axis: Axes = None) -> Any:
    x = lift(m)
    axes = axes_of(x, axis)
    return x[tuple([slice(None, None, -1) if i - x.ndim in axes else slice(None) for i in range(x.ndim)])]


@spells(np.flipud)
def flipud(m: Any) -> Any:
    return flip(m, 0)


@spells(np.fliplr)
def fliplr(m: Any) -> Any:
    return flip(m, 1)


@spells(np.roll)
def roll(a: Any, shift: Any, axis: Any = None) -> Any:
    x = lift(a)
    if axis is None:
        return reshaped(roll(ravel(x), shift, 0), x.shape)
    pairs = [(shift, axis)] if isinstance(axis, int) else zip(np.broadcast_to(shift, len(axis)), axis, strict=True)
    for by, ax in pairs:
        y = NP.moveaxis(x, ax, 0)
        cut = -int(by) % max(y.shape[0], 1)
        x = NP.moveaxis(concatenate([y[cut:], y[:cut]], 0), 0, ax) if cut else x
    return x


@spells(np.pad)
def pad(array: Any, pad_width: Any, mode: str = "constant", *, constant_values: Any = 0.0) -> Any:
    if mode != "constant":
        raise UnsupportedError(f"np.pad with mode={mode!r} cannot be traced", "join parts by np.concatenate")
    x = lift(array)
    widths = np.broadcast_to(pad_width, (x.ndim, 2)).tolist()
    for axis, sides in enumerate(widths):
        shapes = [[side if i == axis else n for i, n in enumerate(x.shape)] for side in sides]
        before, after = (np.full(shape, constant_values, x.dtype) for shape in shapes)
        x = concatenate([before, x, after], axis)
    return x


@spells(np.repeat)
def repeat(a: Any, repeats: Any, axis: int | None = None) -> Any:
    x = lift(a) if axis is not None else ravel(a)
    chosen = 0 if axis is None else axis
    return take(x, np.repeat(np.arange(x.shape[chosen]), repeats), chosen)


@spells(np.tile)
def tile(A: Any, reps: Any) -> Any:
    counts = (reps,) if isinstance(reps, int) else tuple(reps)
    x = lift(A)
    ndim = max(x.ndim, len(counts))
    x = reshaped(x, (1,) * (ndim - x.ndim) + x.shape)
    for axis, count in enumerate((1,) * (ndim - len(counts)) + counts):
        x = concatenate([x] * count, axis)
    return x


@spells(np.take)
def take(a: Any, indices: Any, axis: int | None = None, out: Any = None, mode: str = "raise") -> Any:
    x = lift(a) if axis is not None else ravel(a)
    chosen = axis_of(x, -1 if axis is None else axis) + x.ndim
    where = indices if isinstance(indices, Expr) else np.asarray(indices)
    return getitem(x, (*[slice(None)] * chosen, where))


@spells(np.take_along_axis)
def take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Any:
    x, where = lift(arr), lift(indices)
    if axis is None:
        x, axis = ravel(x), 0
    chosen = axis % x.ndim
    grid = [
        where if i == chosen else np.arange(n).reshape((n, *(1,) * (x.ndim - i - 1)))
        for i, n in enumerate(x.shape)
    ]
    return getitem(x, tuple(grid))


@spells(np.diagonal)
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    x = moveaxis(a, (axis1, axis2), (-2, -1))
    rows, columns = x.shape[-2:]
    length = max(min(rows + min(offset, 0), columns - max(offset, 0)), 0)
    i = np.arange(length)
    return x[..., i - min(offset, 0), i + max(offset, 0)]


@spells(np.diag)
def diag(v: Any, k: int = 0) -> Any:
    x = lift(v)
    if x.ndim != 1:
        return diagonal(x, k)
    n = x.shape[0] + abs(k)
    i = np.arange(x.shape[0])
    return scatter_add(x, indices(i - min(k, 0)), indices(i + max(k, 0)), shape=(n, n))


@spells(np.trace)
def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None) -> Any:
    return sum_(diagonal(a, offset, axis1, axis2), -1, dtype, out)


@spells(np.tril)
def tril(m: Any, k: int = 0) -> Any:
    x = lift(m)
    return NP.where(np.tri(*x.shape[-2:], k=k, dtype=bool), x, x.dtype.type(0))


@spells(np.triu)
def triu(m: Any, k: int = 0) -> Any:
    x = lift(m)
    return NP.where(np.tri(*x.shape[-2:], k=k - 1, dtype=bool), x.dtype.type(0), x)
