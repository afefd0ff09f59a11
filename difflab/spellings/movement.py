"""How NumPy's functions that move, join and cut arrays are spelt in primitives.

A part of what functions.py describes; nothing here computes a number.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from difflab.errors import ShapeError, TraceError, UnsupportedError
from difflab.ir.build import as_dtype, broadcast, common_shape, lift, node, reshaped
from difflab.ir.expr import Expr
from difflab.ir.protocols import SPELLINGS

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
    return tuple(sorted({axis_of(x, a) for a in listed(axis)}))


def axis_of(x: Expr, axis: int) -> int:
    """One axis, counted from the end."""
    if not -x.ndim <= axis < x.ndim:
        raise ShapeError(f"axis {axis} is out of bounds for an array of shape {x.shape}")
    return operator.index(axis) % x.ndim - x.ndim


def listed(axis: Any) -> list[int]:
    """One integer or several, as a list."""
    return [
        int(a) for a in (axis if isinstance(axis, (tuple, list, range, np.ndarray)) else (axis,))
    ]


def kept(x: Expr, axes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape with those axes reduced to length 1."""
    return tuple([1 if i - x.ndim in axes else n for i, n in enumerate(x.shape)])


def count_along(x: Expr, axes: tuple[int, ...]) -> int:
    """How many elements a reduction over those axes takes together."""
    return math.prod(x.shape[a] for a in axes)


def flat_last(a: Any, axis: Axes) -> Expr:
    """The array with those axes moved to the end and flattened into one."""
    x = lift(a)
    axes = axes_of(x, axis)
    rest = [i for i in range(x.ndim) if i - x.ndim not in axes]
    moved = transpose(x, [*rest, *[i + x.ndim for i in axes]])
    return reshaped(moved, (*[x.shape[i] for i in rest], count_along(x, axes)))


def flat_if_none(a: Any, axis: int | None) -> tuple[Expr, int]:
    """The array and an axis of it, counted from the end; without an axis the array is flattened."""
    x = lift(a)
    return (reshaped(x, (x.size,)), -1) if axis is None else (x, axis_of(x, axis))


def no_options(function: str, **options: Any) -> None:
    """Refuse by name the options that a spelling does not have."""
    for name, value in options.items():
        if value is not None:
            raise UnsupportedError(
                f"np.{function} with {name}= cannot be traced", f"leave out {name}"
            )


# -- shapes and dtypes -----------------------------------------------------------------------------


@spells(np.reshape)
def reshape(a: Any, /, shape: Any = None, order: Any = "C", *rest: Any, copy: Any = None) -> Any:
    """Of the orders in memory, only C and F mean something for a traced array, which has none."""
    if not isinstance(order, str):
        shape, order = (shape, order, *rest), "C"
    if order not in ("C", "F"):
        raise UnsupportedError(f"an array in order={order!r} cannot be traced", "use order='C'")
    x = lift(a)
    wanted = listed(shape)
    known = math.prod(n for n in wanted if n != -1)
    if wanted.count(-1) == 1 and known and x.size % known == 0:
        wanted[wanted.index(-1)] = x.size // known
    if math.prod(wanted) != x.size or -1 in wanted:
        raise ShapeError(f"cannot reshape an array of shape {x.shape} into {tuple(wanted)}")
    if order == "F":
        return transpose(reshaped(transpose(x), tuple(wanted[::-1])))
    return reshaped(x, tuple(wanted))


@spells(np.ravel)
def ravel(a: Any, order: str = "C") -> Any:
    return reshape(a, -1, order)


@spells(np.positive, np.real, np.conjugate, np.real_if_close)
def same(a: Any) -> Expr:
    return lift(a)


@spells(np.copy)
def copy(a: Any, order: str = "K", subok: bool = False) -> Expr:
    """A node of its own, so that changing the copy in place is no change of the original."""
    x = lift(a)
    return node("convert", x, dtype=x.dtype.name)


@spells(np.astype)
def astype(x: Any, dtype: Any, /, *_: Any, copy: bool = True, **__: Any) -> Expr:
    """Integers of every width become int64, as arguments do."""
    kind = np.dtype(dtype)
    kind = np.dtype("int64") if kind.kind in "iu" else kind
    if kind.name not in ("float64", "float32", "int64", "bool"):
        raise TraceError(f"dtype {kind} cannot be traced", "use float64, float32, int64 or bool")
    return node("convert", lift(x), dtype=kind.name)


@spells(np.broadcast_to)
def broadcast_to(array: Any, shape: Any, subok: bool = False) -> Expr:
    wanted = tuple(listed(shape))
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
    chosen = range(x.ndim)[::-1] if axes is None else [axis_of(x, i) % x.ndim for i in listed(axes)]
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
def moveaxis(a: Any, source: Any, destination: Any) -> Expr:
    x = lift(a)
    sources, targets = (
        [axis_of(x, i) % x.ndim for i in listed(axis)] for axis in (source, destination)
    )
    if len(sources) != len(targets):
        raise ShapeError(f"{len(sources)} axes cannot move to {len(targets)} places")
    order = [i for i in range(x.ndim) if i not in sources]
    for target, origin in sorted(zip(targets, sources, strict=True)):
        order.insert(target, origin)
    return transpose(x, order)


@spells(np.rollaxis)
def rollaxis(a: Any, axis: int, start: int = 0) -> Expr:
    x = lift(a)
    origin, target = axis_of(x, axis) % x.ndim, start + x.ndim if start < 0 else start
    return moveaxis(x, origin, target - (origin < target))


@spells(np.expand_dims)
def expand_dims(a: Any, axis: Any) -> Expr:
    x = lift(a)
    chosen = listed(axis)
    ndim = x.ndim + len(chosen)
    new = {i % ndim for i in chosen}
    if len(new) < len(chosen) or any(not -ndim <= i < ndim for i in chosen):
        raise ShapeError(f"axes {axis} do not fit an array of {ndim} dimensions")
    lengths = iter(x.shape)
    return reshaped(x, tuple([1 if i in new else next(lengths) for i in range(ndim)]))


@spells(np.squeeze)
def squeeze(a: Any, axis: Axes = None) -> Expr:
    x = lift(a)
    gone = (
        axes_of(x, axis)
        if axis is not None
        else [i - x.ndim for i, n in enumerate(x.shape) if n == 1]
    )
    if any(x.shape[i] != 1 for i in gone):
        raise ShapeError(f"only axes of length 1 can be squeezed; the shape is {x.shape}")
    return reshaped(x, tuple([n for i, n in enumerate(x.shape) if i - x.ndim not in gone]))


def _padded(shape: Callable[[tuple[int, ...]], tuple[int, ...]]) -> Callable[..., Any]:
    """A function of one or several arrays that only adds axes of length 1."""

    def reshape_all(*arys: Any) -> Any:
        found = tuple([reshaped(x, shape(x.shape)) for x in map(lift, arys)])
        return found[0] if len(found) == 1 else found

    return reshape_all


atleast_1d = spells(np.atleast_1d)(_padded(lambda shape: shape or (1,)))
atleast_2d = spells(np.atleast_2d)(_padded(lambda shape: (1,) * (2 - len(shape)) + shape))
atleast_3d = spells(np.atleast_3d)(
    _padded(lambda s: s if len(s) > 2 else (*s, 1) if len(s) == 2 else (1, *(s or (1,)), 1))
)


# -- joining and cutting ---------------------------------------------------------------------------


@spells(np.concatenate, np.concat)
def concatenate(arrays: Any, /, axis: int | None = 0, out: Any = None, *, dtype: Any = None) -> Any:
    no_options("concatenate", out=out)
    parts = [lift(part) for part in arrays]
    kind = np.result_type(*[part.dtype for part in parts]) if dtype is None else np.dtype(dtype)
    parts = [as_dtype(part, kind) for part in parts]
    if axis is None:
        parts, axis = [ravel(part) for part in parts], 0
    text = " and ".join(str(part.shape) for part in parts)
    if any(part.ndim != parts[0].ndim for part in parts) or not parts or parts[0].ndim == 0:
        raise ShapeError(f"cannot concatenate arrays of shapes {text}", "use np.stack for numbers")
    chosen = axis_of(parts[0], axis)
    trimmed = {tuple(n for i, n in enumerate(p.shape) if i - p.ndim != chosen) for p in parts}
    if len(trimmed) > 1:
        raise ShapeError(f"cannot concatenate arrays of shapes {text} on axis {axis}")
    return parts[0] if len(parts) == 1 else node("concatenate", *parts, axis=chosen)


@spells(np.stack)
def stack(arrays: Any, axis: int = 0, out: Any = None, *, dtype: Any = None) -> Any:
    parts = [lift(part) for part in arrays]
    if len({part.shape for part in parts}) > 1:
        text = " and ".join(str(part.shape) for part in parts)
        raise ShapeError(f"cannot stack arrays of shapes {text}")
    return concatenate([expand_dims(part, axis) for part in parts], axis, out, dtype=dtype)


@spells(np.vstack)
def vstack(tup: Any, *, dtype: Any = None) -> Any:
    return concatenate([atleast_2d(part) for part in tup], 0, dtype=dtype)


@spells(np.hstack)
def hstack(tup: Any, *, dtype: Any = None) -> Any:
    parts = [atleast_1d(part) for part in tup]
    return concatenate(parts, 0 if parts[0].ndim == 1 else 1, dtype=dtype)


@spells(np.dstack)
def dstack(tup: Any) -> Any:
    return concatenate([atleast_3d(part) for part in tup], 2)


@spells(np.column_stack)
def column_stack(tup: Any) -> Any:
    return concatenate([x if x.ndim > 1 else x[:, None] for x in map(atleast_1d, tup)], 1)


@spells(np.append)
def append(arr: Any, values: Any, axis: int | None = None) -> Any:
    return concatenate([lift(arr), lift(values)], axis)


@spells(np.block)
def block(arrays: Any) -> Any:
    def depth(part: Any) -> int:
        return 1 + max(map(depth, part)) if isinstance(part, list) else 0

    def joined(part: Any, axis: int) -> Any:
        if isinstance(part, list):
            return concatenate([joined(inner, axis + 1) for inner in part], axis)
        x = lift(part)
        return reshaped(x, (1,) * (ndim - x.ndim) + x.shape)

    def deepest(part: Any) -> int:
        return max(map(deepest, part)) if isinstance(part, list) else lift(part).ndim

    ndim = max(depth(arrays), deepest(arrays))
    return joined(arrays, -depth(arrays)) if isinstance(arrays, list) else lift(arrays)


@spells(np.array_split)
def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    x = NP.moveaxis(lift(ary), axis, 0)
    n = x.shape[0]
    if isinstance(indices_or_sections, (int, np.integer)):
        count = int(indices_or_sections)
        bounds = [n // count * i + min(i, n % count) for i in range(count + 1)]
    else:
        bounds = [0, *listed(indices_or_sections), n]
    return [NP.moveaxis(x[i:j], 0, axis) for i, j in itertools.pairwise(bounds)]


@spells(np.split)
def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    x, count = lift(ary), indices_or_sections
    if isinstance(count, (int, np.integer)) and x.shape[axis] % count:
        raise ShapeError(
            f"an axis of length {x.shape[axis]} has no {count} equal parts", "use np.array_split"
        )
    return array_split(x, count, axis)


@spells(np.hsplit)
def hsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    return split(ary, indices_or_sections, 0 if lift(ary).ndim == 1 else 1)


@spells(np.vsplit)
def vsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    return split(ary, indices_or_sections, 0)


@spells(np.dsplit)
def dsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    return split(ary, indices_or_sections, 2)


@spells(np.unstack)
def unstack(x: Any, /, *, axis: int = 0) -> tuple[Any, ...]:
    return tuple(NP.moveaxis(lift(x), axis, 0))


# -- turning ---------------------------------------------------------------------------------------


@spells(np.flip)
def flip(m: Any, axis: Axes = None) -> Any:
    x = lift(m)
    axes = axes_of(x, axis)
    return x[
        tuple([slice(None, None, -1) if i - x.ndim in axes else slice(None) for i in range(x.ndim)])
    ]


@spells(np.flipud)
def flipud(m: Any) -> Any:
    return flip(m, 0)


@spells(np.fliplr)
def fliplr(m: Any) -> Any:
    return flip(m, 1)


@spells(np.rot90)
def rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    first, second = axes
    match k % 4:
        case 0:
            return lift(m)
        case 1:
            return swapaxes(flip(m, second), first, second)
        case 2:
            return flip(flip(m, first), second)
        case _:
            return flip(swapaxes(m, first, second), second)


@spells(np.roll)
def roll(a: Any, shift: Any, axis: Any = None) -> Any:
    x = lift(a)
    if axis is None:
        return reshaped(roll(ravel(x), sum(listed(shift)), 0), x.shape)
    for by, one in np.broadcast(np.asarray(shift), np.asarray(axis)):
        y = NP.moveaxis(x, int(one), 0)
        cut = -int(by) % max(y.shape[0], 1)
        x = NP.moveaxis(concatenate([y[cut:], y[:cut]], 0), 0, int(one)) if cut else x
    return x


@spells(np.tile)
def tile(A: Any, reps: Any) -> Any:
    """Repeated along new axes, which are then merged with the old: no element is copied twice."""
    counts, x = listed(reps), lift(A)
    ndim = max(x.ndim, len(counts))
    lengths = (1,) * (ndim - x.ndim) + x.shape
    counts = [1] * (ndim - len(counts)) + counts
    apart = reshaped(x, tuple([n for length in lengths for n in (1, length)]))
    pairs = zip(counts, lengths, strict=True)
    repeated = broadcast(apart, tuple([n for pair in pairs for n in pair]))
    return reshaped(repeated, tuple([c * n for c, n in zip(counts, lengths, strict=True)]))


@spells(np.meshgrid)
def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> Any:
    swapped = indexing == "xy" and len(xi) > 1
    axes = [1, 0, *range(2, len(xi))] if swapped else range(len(xi))
    found = [
        reshape(x, [-1 if i == axis else 1 for i in range(len(xi))])
        for axis, x in zip(axes, xi, strict=True)
    ]
    return tuple(found) if sparse else broadcast_arrays(*found)
