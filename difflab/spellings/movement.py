"""How NumPy's functions that move, join and cut arrays are spelt in primitives.

Nothing here computes a number.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from difflab.errors import ShapeError, TraceError, UnsupportedError
from difflab.ir.build import as_dtype, broadcast, common_shape, lift, node, reshaped
from difflab.ir.expr import Expr
from difflab.ir.protocols import COMPLEX
from difflab.spellings.axes import Axes, axes_of, axis_of, integers
from difflab.spellings.spelling import NP, spells

# -- shapes and dtypes -----------------------------------------------------------------------------


@spells(np.reshape, ignores="copy")
def reshape(a: Any, /, shape: Any, order: str = "C") -> Any:
    """Of the orders in memory, only C and F mean something for a traced array, which has none."""
    if order not in ("C", "F"):
        raise UnsupportedError(f"an array in order={order!r} cannot be traced", "use order='C'")
    x = lift(a)
    wanted = integers(shape)
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


@spells(np.copy, ignores="order subok")
def copy(a: Any) -> Expr:
    """A node of its own, so that changing the copy in place is no change of the original."""
    x = lift(a)
    return node("convert", x, dtype=x.dtype.name)


@spells(np.astype, ignores="copy device")
def astype(x: Any, dtype: Any, /) -> Any:
    """Integers of every width become int64, as arguments do."""
    kind = np.dtype(dtype)
    if kind.kind == "c":
        return COMPLEX[np.astype](x, kind)
    kind = np.dtype("int64") if kind.kind in "iu" else kind
    if kind.name not in ("float64", "float32", "int64", "bool"):
        raise TraceError(f"dtype {kind} cannot be traced", "use float64, float32, int64 or bool")
    return node("convert", lift(x), dtype=kind.name)


@spells(np.broadcast_to, ignores="subok")
def broadcast_to(array: Any, shape: Any) -> Expr:
    wanted = tuple(integers(shape))
    x = lift(array)
    if common_shape([x, np.broadcast_to(np.empty(()), wanted)]) != wanted:
        raise ShapeError(f"an array of shape {x.shape} cannot be broadcast to {wanted}")
    return broadcast(x, wanted)


@spells(np.broadcast_arrays, ignores="subok")
def broadcast_arrays(*args: Any) -> tuple[Expr, ...]:
    lifted = [lift(a) for a in args]
    shape = common_shape(lifted)
    return tuple([broadcast(x, shape) for x in lifted])


@spells(np.transpose)
def transpose(a: Any, axes: Any = None) -> Expr:
    x = lift(a)
    unmoved = tuple(range(x.ndim))
    chosen = unmoved[::-1]
    if axes is not None:
        chosen = tuple([axis_of(x, i) % x.ndim for i in integers(axes)])
    if tuple(sorted(chosen)) != unmoved:
        raise ShapeError(f"axes {axes} do not permute an array of shape {x.shape}")
    return x if chosen == unmoved else node("transpose", x, axes=chosen)


@spells(np.swapaxes)
def swapaxes(a: Any, axis1: int, axis2: int) -> Expr:
    x = lift(a)
    axes = list(range(x.ndim))
    i, j = axis_of(x, axis1), axis_of(x, axis2)
    axes[i], axes[j] = axes[j], axes[i]
    return transpose(x, axes)


@spells(np.moveaxis)
def moveaxis(a: Any, source: Any, destination: Any) -> Expr:
    x = lift(a)
    sources, targets = (
        [axis_of(x, i) % x.ndim for i in integers(axis)] for axis in (source, destination)
    )
    if len(sources) != len(targets):
        raise ShapeError(f"{len(sources)} axes cannot move to {len(targets)} places")
    axes = [i for i in range(x.ndim) if i not in sources]
    for target, origin in sorted(zip(targets, sources, strict=True)):
        axes.insert(target, origin)
    return transpose(x, axes)


@spells(np.rollaxis)
def rollaxis(a: Any, axis: int, start: int = 0) -> Expr:
    x = lift(a)
    origin, target = axis_of(x, axis) % x.ndim, start + x.ndim if start < 0 else start
    return moveaxis(x, origin, target - (origin < target))


@spells(np.expand_dims)
def expand_dims(a: Any, axis: Any) -> Expr:
    x = lift(a)
    chosen = integers(axis)
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


def _lengthened(arrays: Any, shape: Callable[[tuple[int, ...]], tuple[int, ...]]) -> Any:
    """One or several arrays with axes of length 1 added."""
    found = tuple([reshaped(x, shape(x.shape)) for x in map(lift, arrays)])
    return found[0] if len(found) == 1 else found


@spells(np.atleast_1d)
def atleast_1d(*arys: Any) -> Any:
    return _lengthened(arys, lambda shape: shape or (1,))


@spells(np.atleast_2d)
def atleast_2d(*arys: Any) -> Any:
    return _lengthened(arys, lambda shape: (1,) * (2 - len(shape)) + shape)


@spells(np.atleast_3d)
def atleast_3d(*arys: Any) -> Any:
    return _lengthened(
        arys, lambda s: s if len(s) > 2 else (*s, 1) if len(s) == 2 else (1, *(s or (1,)), 1)
    )


# -- joining and cutting ---------------------------------------------------------------------------


@spells(np.concatenate, refuses="out casting")
def concatenate(arrays: Any, /, axis: int | None = 0, *, dtype: Any = None) -> Any:
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


@spells(np.stack, refuses="out casting")
def stack(arrays: Any, axis: int = 0, *, dtype: Any = None) -> Any:
    parts = [lift(part) for part in arrays]
    if len({part.shape for part in parts}) > 1:
        text = " and ".join(str(part.shape) for part in parts)
        raise ShapeError(f"cannot stack arrays of shapes {text}", "give arrays of one shape")
    return concatenate([expand_dims(part, axis) for part in parts], axis, dtype=dtype)


@spells(np.vstack, refuses="casting")
def vstack(tup: Any, *, dtype: Any = None) -> Any:
    return concatenate([atleast_2d(part) for part in tup], 0, dtype=dtype)


@spells(np.hstack, refuses="casting")
def hstack(tup: Any, *, dtype: Any = None) -> Any:
    parts = [atleast_1d(part) for part in tup]
    return concatenate(parts, 0 if parts[0].ndim == 1 else 1, dtype=dtype)


@spells(np.column_stack)
def column_stack(tup: Any) -> Any:
    return concatenate([x if x.ndim > 1 else x[:, None] for x in map(atleast_1d, tup)], 1)


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
        bounds = [0, *integers(indices_or_sections), n]
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


# -- turning ---------------------------------------------------------------------------------------


@spells(np.flip)
def flip(m: Any, axis: Axes = None) -> Any:
    x = lift(m)
    axes = axes_of(x, axis)
    return x[
        tuple([slice(None, None, -1) if i - x.ndim in axes else slice(None) for i in range(x.ndim)])
    ]


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
        return reshaped(roll(ravel(x), sum(integers(shift)), 0), x.shape)
    for by, one in np.broadcast(np.asarray(shift), np.asarray(axis)):
        y = NP.moveaxis(x, int(one), 0)
        cut = -int(by) % max(y.shape[0], 1)
        x = NP.moveaxis(concatenate([y[cut:], y[:cut]], 0), 0, int(one)) if cut else x
    return x


@spells(np.tile)
def tile(A: Any, reps: Any) -> Any:
    """Repeated along new axes, which are then merged with the old: no element is copied twice."""
    counts, x = integers(reps), lift(A)
    ndim = max(x.ndim, len(counts))
    lengths = (1,) * (ndim - x.ndim) + x.shape
    counts = [1] * (ndim - len(counts)) + counts
    apart = reshaped(x, tuple([n for length in lengths for n in (1, length)]))
    pairs = zip(counts, lengths, strict=True)
    repeated = broadcast(apart, tuple([n for pair in pairs for n in pair]))
    return reshaped(repeated, tuple([c * n for c, n in zip(counts, lengths, strict=True)]))


@spells(np.meshgrid, ignores="copy")
def meshgrid(*xi: Any, sparse: bool = False, indexing: str = "xy") -> Any:
    swapped = indexing == "xy" and len(xi) > 1
    axes = [1, 0, *range(2, len(xi))] if swapped else range(len(xi))
    found = [
        reshape(x, [-1 if i == axis else 1 for i in range(len(xi))])
        for axis, x in zip(axes, xi, strict=True)
    ]
    return tuple(found) if sparse else broadcast_arrays(*found)


# -- in a line each --------------------------------------------------------------------------------

IN_A_LINE = [
    spells(np.positive, np.conjugate)(lambda x, /: lift(x)),
    spells(np.real)(lambda val: lift(val)),
    spells(np.real_if_close, ignores="tol")(lambda a: lift(a)),
    spells(np.linalg.matrix_transpose, np.matrix_transpose)(lambda x, /: swapaxes(x, -1, -2)),
    spells(np.dstack)(lambda tup: concatenate([atleast_3d(part) for part in tup], 2)),
    spells(np.append)(lambda arr, values, axis=None: concatenate([lift(arr), lift(values)], axis)),
    spells(np.vsplit)(lambda ary, indices_or_sections: split(ary, indices_or_sections, 0)),
    spells(np.dsplit)(lambda ary, indices_or_sections: split(ary, indices_or_sections, 2)),
    spells(np.unstack)(lambda x, /, *, axis=0: tuple(NP.moveaxis(lift(x), axis, 0))),
    spells(np.flipud)(lambda m: flip(m, 0)),
    spells(np.fliplr)(lambda m: flip(m, 1)),
]
