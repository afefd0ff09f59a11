"""NumPy's indexing in two primitives: `getitem` (slices and integers), `gather` (index arrays).

What flows: any index that NumPy takes comes in; slices and integers are cut first, indexed axes are
then brought to the front, gathered, and the result's axes put where NumPy puts them. A traced mask
is evaluated at the current point and recorded as a guard, since the shape of the result depends on
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from difflab.errors import OutOfBoundsError, ShapeError, TraceError
from difflab.ir.build import INT64, broadcast, common_shape, lift, node, reshaped
from difflab.ir.expr import Expr, constant
from difflab.ir.protocols import SPELLINGS, TracedArray
from difflab.ir.row import CONSTANT
from difflab.spellings.spelling import spells
from difflab.table.movement import ALL, Slice


def current_value(x: Expr) -> Any:
    """The value of a node at the point of tracing, recorded as a guard."""
    return SPELLINGS[TracedArray.__bool__](x)


@spells(TracedArray.__getitem__)
def getitem(x: Expr, index: Any) -> Expr:
    """x[index], for every index that NumPy takes."""
    if type(index) is int and len(x.shape) == 1:  # the commonest, for speed
        return node("getitem", x, index=(_bounded(index, x.shape[0]),))
    parts = [_part(part) for part in (index if isinstance(index, tuple) else (index,))]
    rest = x.ndim - sum(map(_axes_taken, parts))
    if rest < 0:
        raise OutOfBoundsError(
            f"too many indices: the array has {x.ndim} axes, but {x.ndim - rest} were indexed"
        )
    ellipses = sum(part is Ellipsis for part in parts)
    if ellipses > 1:
        raise OutOfBoundsError("an index can have only one ellipsis (...)", "write : for an axis")
    if ellipses == 0:
        parts.append(Ellipsis)
    with_arrays = any(isinstance(part, (np.ndarray, Expr)) for part in parts)
    cut: list[int | Slice] = []
    lengths: list[int | None] = []  # of the result of the cut; None: a new axis
    arrays: dict[int, Expr] = {}  # axis of the result of the cut -> indices
    runs, inside = 0, False  # NumPy asks whether all arrays of indices stand side by side
    for part in parts:
        is_array = isinstance(part, (np.ndarray, Expr)) or (with_arrays and isinstance(part, int))
        runs, inside = runs + (is_array and not inside), is_array
        remaining = x.shape[len(cut) :]
        if part is None:
            lengths.append(None)
        elif part is Ellipsis:
            cut += [ALL] * rest
            lengths += remaining[:rest]
        elif isinstance(part, slice):
            cut.append(_slice(part, remaining[0]))
            lengths.append(0)
        elif is_array:
            for array, length in zip(_arrays(part, remaining), remaining, strict=False):
                arrays[len(lengths)] = _checked(array, length)
                cut.append(ALL)
                lengths.append(length)
        else:
            cut.append(_bounded(part, remaining[0]))
    if any(one != ALL for one in cut):
        x = node("getitem", x, index=tuple(cut))
    if None in lengths:
        known = iter(x.shape)
        x = reshaped(x, tuple([1 if length is None else next(known) for length in lengths]))
    return _gather(x, arrays, runs == 1) if arrays else x


def _part(part: Any) -> Any:
    """An entry of an index as None, Ellipsis, a slice, an integer, a plain or a traced array."""
    if part is None or part is Ellipsis or isinstance(part, slice):
        return part
    if isinstance(part, Expr):
        array = current_value(part) if part.dtype == bool else part
    else:
        array = _plain(part) if isinstance(part, (list, tuple)) else np.asarray(part)
        if array.dtype.kind not in "iub":
            raise OutOfBoundsError(
                f"an index of type {type(part).__name__} ({array.dtype}) is not an integer",
                "use integers, slices, masks or arrays of integers, for example x.astype(int)",
            )
    if array.dtype == bool and array.ndim == 0:
        raise TraceError("a single truth value as an index cannot be traced", "use np.where")
    return int(array) if isinstance(array, np.ndarray) and array.ndim == 0 else array


def _plain(part: Any) -> Any:
    def value(entry: Any) -> Any:
        if isinstance(entry, (list, tuple)):
            return [value(inner) for inner in entry]
        return current_value(entry) if isinstance(entry, Expr) else entry

    array = np.asarray(value(part))
    return array.astype(np.int64) if array.size == 0 and array.dtype != bool else array


def _axes_taken(part: Any) -> int:
    if part is None or part is Ellipsis:
        return 0
    return part.ndim if isinstance(part, np.ndarray) and part.dtype == bool else 1


def _slice(part: slice, length: int) -> Slice:
    bounds = [None if b is None else int(b) for b in (part.start, part.stop, part.step)]
    if slice(*bounds).indices(length) == (0, length, 1):
        return ALL
    return Slice(*bounds)


def _bounded(number: int, length: int) -> int:
    if not -length <= number < length:
        raise OutOfBoundsError(f"index {number} is out of bounds for an axis of length {length}")
    return number % length


def _arrays(part: Any, shape: Sequence[int]) -> Sequence[Any]:
    """The arrays of integers that an array of indices or a mask stands for."""
    if isinstance(part, np.ndarray) and part.dtype == bool:
        if part.shape != tuple(shape[: part.ndim]):
            raise OutOfBoundsError(
                f"a mask of shape {part.shape} does not fit axes of lengths {shape[: part.ndim]}"
            )
        return np.nonzero(part)
    return (part,)


def _checked(part: Any, length: int) -> Expr:
    found = lift(part)
    if found.dtype != INT64:
        raise OutOfBoundsError(
            f"arrays used as indices must be integers, not {found.dtype}", "use x.astype(int)"
        )
    if found.primitive is CONSTANT and found.size:
        low, high = int(found.value.min()), int(found.value.max())
        _bounded(low, length)
        _bounded(high, length)
    return found


def _gather(x: Expr, arrays: dict[int, Expr], side_by_side: bool) -> Expr:
    axes = list(arrays)
    try:
        shape = common_shape(arrays.values())
    except ShapeError:
        text = " and ".join(str(found.shape) for found in arrays.values())
        raise OutOfBoundsError(f"index arrays of shapes {text} cannot be broadcast") from None
    addresses = [broadcast(found, shape) for found in arrays.values()]
    rest = [axis for axis in range(x.ndim) if axis not in arrays]
    front = (*axes, *rest)
    moved = x if front == tuple(range(x.ndim)) else node("transpose", x, axes=front)
    found = node("gather", moved, *addresses)
    before = axes[0] if side_by_side else 0
    if before == 0:
        return found
    lead = len(shape)
    back = (*range(lead, lead + before), *range(lead), *range(lead + before, found.ndim))
    return node("transpose", found, axes=back)


def indices(values: Any) -> Expr:
    """Plain integers as a constant."""
    return constant(np.asarray(values, np.int64))
