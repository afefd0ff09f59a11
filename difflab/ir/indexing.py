"""NumPy's indexing in two primitives: `getitem` (slices and integers) and `gather` (arrays of indices).

What flows: any index that NumPy takes comes in; slices and integers are cut first, indexed axes are then brought
to the front, gathered, and the result's axes put where NumPy puts them. A traced mask is evaluated at the
current point and recorded as a guard, because the shape of the result depends on it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from difflab.errors import ShapeError, TraceError
from difflab.ir.build import INT64, broadcast, common_shape, lift, node, reshaped
from difflab.ir.expr import Expr, constant
from difflab.ir.protocols import SPELLINGS, TracedArray
from difflab.ir.row import CONSTANT
from difflab.ir.structural import ALL, Slice


def current_value(x: Expr) -> Any:
    """The value of a node at the point of tracing, recorded as a guard."""
    return SPELLINGS[TracedArray.__bool__](x)


def _parts(index: Any, x: Expr) -> list[Any]:
    """The index as a list with one entry an axis (or None for a new one), masks turned into integer arrays."""
    parts: list[Any] = []
    for part in index if isinstance(index, tuple) else (index,):
        if isinstance(part, (list, np.ndarray)) or (isinstance(part, Expr) and part.dtype == bool):
            array = current_value(part) if isinstance(part, Expr) else _plain(part)
            parts += list(np.nonzero(array)) if array.dtype == bool else [array]
        else:
            parts.append(part)
    axes = sum(part is not None and part is not Ellipsis for part in parts)
    if axes > x.ndim:
        raise IndexError(f"too many indices: array is {x.ndim}-dimensional, but {axes} were indexed")
    rest = [slice(None)] * (x.ndim - axes)
    at = next((i for i, part in enumerate(parts) if part is Ellipsis), None)
    return parts + rest if at is None else parts[:at] + rest + parts[at + 1 :]


def _plain(part: Any) -> Any:
    if isinstance(part, list) and any(isinstance(entry, Expr) for entry in part):
        part = [current_value(entry) if isinstance(entry, Expr) else entry for entry in part]
    array = np.asarray(part)
    return array.astype(np.int64) if array.size == 0 and array.dtype != bool else array


def _bounded(part: Any, length: int) -> int:
    number = int(part)
    if not -length <= number < length:
        raise IndexError(f"index {number} is out of bounds for axis of size {length}")
    return number % length


def _slice(part: slice, length: int) -> Slice:
    if any(isinstance(bound, Expr) for bound in (part.start, part.stop, part.step)):
        part = slice(*[None if b is None else int(b) for b in (part.start, part.stop, part.step)])
    if part.indices(length) == (0, length, 1):
        return ALL
    return Slice(part.start, part.stop, part.step)


def getitem(x: Expr, index: Any) -> Expr:
    """x[index], for every index that NumPy takes."""
    parts = _parts(index, x)
    gathered = any(
        (isinstance(part, np.ndarray) and part.ndim) or isinstance(part, Expr) for part in parts
    )
    cut: list[int | Slice] = []
    arrays: dict[int, Any] = {}  # position in the result of the cut -> indices
    shape_with_new: list[int | None] = []  # None: a new axis
    for part in parts:
        if part is None:
            shape_with_new.append(None)
            continue
        length = x.shape[len(cut)]
        if isinstance(part, slice):
            cut.append(_slice(part, length))
        elif isinstance(part, (Expr, np.ndarray, np.integer, int)) and not isinstance(part, bool):
            if gathered:
                cut.append(ALL)
                arrays[len(shape_with_new)] = _checked(part, length)
            else:
                cut.append(_bounded(part, length))
                continue
        else:
            raise TraceError(f"an index of type {type(part).__name__} cannot be traced", "use integers")
        shape_with_new.append(0)
    if any(part != ALL for part in cut):
        x = node("getitem", x, index=tuple(cut))
    if None in shape_with_new:
        lengths = iter(x.shape)
        x = reshaped(x, tuple([1 if new is None else next(lengths) for new in shape_with_new]))
    return _gather(x, arrays) if arrays else x


def _checked(part: Any, length: int) -> Expr:
    indices = lift(part if isinstance(part, Expr) else np.asarray(part))
    if indices.dtype != INT64:
        raise TraceError(f"arrays used as indices must be integers, not {indices.dtype}", "use astype(int)")
    if indices.primitive is CONSTANT and indices.size:
        low, high = int(indices.value.min()), int(indices.value.max())
        if low < -length or high >= length:
            bad = low if low < -length else high
            raise IndexError(f"index {bad} is out of bounds for axis of size {length}")
    return indices


def _gather(x: Expr, arrays: dict[int, Expr]) -> Expr:
    axes = list(arrays)
    try:
        shape = common_shape(arrays.values())
    except ShapeError:
        text = " and ".join(str(indices.shape) for indices in arrays.values())
        raise IndexError(f"index arrays of shapes {text} cannot be broadcast together") from None
    indices = [broadcast(part, shape) for part in arrays.values()]
    rest = [axis for axis in range(x.ndim) if axis not in arrays]
    order = (*axes, *rest)
    moved = x if order == tuple(range(x.ndim)) else node("transpose", x, axes=order)
    found = node("gather", moved, *indices)
    adjacent = axes == list(range(axes[0], axes[0] + len(axes)))
    before = axes[0] if adjacent else 0
    if before == 0:
        return found
    lead = len(shape)
    back = (*range(lead, lead + before), *range(lead), *range(lead + before, found.ndim))
    return node("transpose", found, axes=back)


def indices(values: Any) -> Expr:
    """Plain integers as a constant."""
    return constant(np.asarray(values, np.int64))


SPELLINGS[TracedArray.__getitem__] = getitem
