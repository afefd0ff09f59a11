"""What creates arrays of traced values: np.array and its kin, copies, nested lists.

What flows: nested lists of traced values and numbers come in, and are put together by NumPy itself,
on slots: shapes, and the error for ragged lists, are its own.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from difflab.errors import TraceError
from difflab.ir.protocols import TracedArray
from difflab.tracing.arrays.array import (
    ATTRIBUTES,
    MEANINGS,
    Array,
    apply,
    compute,
    constant_array,
    plain,
)
from difflab.tracing.arrays.memory import Memory, cast, slots_of


def _leaves(value: Any) -> list[Any]:
    """The arrays and numbers in nested lists."""
    if isinstance(value, (list, tuple)):
        return [leaf for part in value for leaf in _leaves(part)]
    return [value]


def _dtype_of(leaves: list[Any]) -> Any:
    """The dtype of an array of all of them, where Python's floats are of 64 bits."""
    return np.result_type(*[x.dtype if type(x) is Array else np.asarray(x).dtype for x in leaves])


def _standing(value: Any, dtype: Any) -> Any:
    """Nested lists with slots for leaves."""
    if isinstance(value, (list, tuple)):
        return [_standing(part, dtype) for part in value]
    return slots_of(value, dtype)


def array(
    object: Any, dtype: Any = None, *, copy: Any = True, order: str = "K", subok: bool = False,
    ndmin: int = 0, like: Any = None, ndmax: int = 0,
) -> Any:  # fmt: skip
    """np.array."""
    copy = copy is True or copy is np._CopyMode.ALWAYS
    made_in: Any = order
    if type(object) is not Array:
        leaves = _leaves(object)
        if not any(type(leaf) is Array and not leaf.is_plain for leaf in leaves):
            real = np.array(_real(object), dtype, order=made_in, ndmin=ndmin, copy=copy or None)
            return real if real is object else constant_array(real)
        dtype = np.dtype(dtype) if dtype is not None else _dtype_of(leaves)
        if dtype == np.object_:
            raise TraceError("an array of objects cannot hold traced values", "keep them in a list")
        slots = np.array(_standing(object, dtype), np.int64, order=made_in, ndmin=ndmin)
        return Array(None, Memory(slots.shape, dtype, slots=slots))
    made = copied(object, dtype, order) if copy or _changes(object, dtype, order) else object
    if ndmin > len(made.shape):
        return made[(None,) * (ndmin - len(made.shape))]
    return made


def _real(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_real(part) for part in value]
    return value.data() if type(value) is Array else value


def _changes(x: Array, dtype: Any, order: str) -> bool:
    """Whether a copy is needed for a dtype, or an order."""
    if x.memory is None or (dtype is not None and np.dtype(dtype) != x.dtype):
        return True
    flags = x.data().flags if order not in "KA" else None
    return flags is not None and not (flags.c_contiguous if order == "C" else flags.f_contiguous)


def copied(x: Array, dtype: Any = None, order: str = "K") -> Any:
    """A fresh array of the same elements."""
    made_in: Any = order
    dtype = x.dtype if dtype is None else np.dtype(dtype)
    if x.is_plain:
        return constant_array(np.array(x.data(), dtype, order=made_in))
    if x.memory is None or dtype != x.dtype or x.is_current:
        node = x.content if dtype == x.dtype else cast(x.content, dtype)
        turned = order == "F" or (order != "C" and not x.is_natural)
        like: Any = (np.copy, (x, order), {}) if turned and len(x.shape) > 1 else None
        if isinstance(node, TracedArray):
            return Array(node, Memory(node.shape, dtype, root=node, like=like))
        return constant_array(np.array(node, dtype))
    return x.of_slots(np.array(x.data(), order=made_in))


def asarray(
    a: Any, dtype: Any = None, order: Any = None, *, device: Any = None, copy: Any = None,
    like: Any = None,
) -> Any:  # fmt: skip
    """np.asarray, and np.asanyarray."""
    return array(a, dtype, copy=bool(copy), order=order or "K")


def _ordered(order: str) -> Any:
    def meaning(a: Any, dtype: Any = None, *, like: Any = None) -> Any:
        return array(a, dtype, copy=False, order=order, ndmin=1)

    return meaning


def copy(a: Any, order: str = "K", subok: bool = False) -> Any:
    """np.copy."""
    return array(a, order=order)


def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
    """np.astype."""
    return array(x, dtype, copy=copy)


def filled(function: Any) -> Any:
    """np.empty and np.empty_like give NaN while a function is traced: what is read and was never
    written shows, and two runs are alike.
    """

    def meaning(*args: Any, **kwargs: Any) -> Any:
        real = [x.data() if type(x) is Array and x.is_plain else x for x in args]
        if type(real[0]) is Array:
            x = real[0]
            real[0] = np.ones_like(x.data() if x.memory else 0.0, dtype=x.dtype)
        values = function(*real, **kwargs)
        values.fill(np.nan if values.dtype.kind in "fc" else 0)
        return constant_array(values)

    return meaning


def diag(v: Any, k: int = 0) -> Any:
    """np.diag: of a matrix, a view."""
    v = array(v, copy=False)
    return apply(np.diagonal, (v, k), {}) if len(v.shape) == 2 else compute(np.diag, (v, k), {})


def arange(*args: Any, dtype: Any = None, **rest: Any) -> Any:
    """np.arange: as many numbers as a guard says."""
    if not any(type(x) is Array for x in args):
        return constant_array(np.arange(*args, dtype=dtype, **rest))
    start, stop, step = (0, *args, 1) if len(args) == 1 else (*args, 1)[:3]
    number = max(math.ceil((stop - start) / step), 0)
    found = start + step * constant_array(np.arange(number))
    return found if dtype is None else array(found, dtype)


def full(shape: Any, fill_value: Any, dtype: Any = None, order: str = "C", **rest: Any) -> Any:
    """np.full."""
    value = array(fill_value, dtype, copy=False)
    made = constant_array(np.full(plain(shape), 0, value.dtype, order))  # type: ignore[call-overload]
    made[...] = value
    return made


_MEANINGS: dict[Any, Any] = {
    np.arange: arange, np.full: full, np.diag: diag, np.array: array, np.asarray: asarray,
    np.asanyarray: asarray,
    np.copy: copy, np.astype: astype,
    np.ascontiguousarray: _ordered("C"), np.asfortranarray: _ordered("F"),
    np.empty: filled(np.empty), np.empty_like: filled(np.empty_like),
    np.shape: lambda a: array(a, copy=False).shape,
    np.ndim: lambda a: len(array(a, copy=False).shape),
    np.size: lambda a, axis=None: np.size(np.empty(array(a, copy=False).shape), axis),
}  # fmt: skip
MEANINGS |= _MEANINGS


def tolist(x: Array) -> Any:
    """``x.tolist()``: nested lists of scalars."""
    return [tolist(part) for part in x] if x.shape else x[()]


def item(x: Array, *index: Any) -> Any:
    """``x.item()``: one element."""
    if not index:
        if x.size != 1:
            raise ValueError("can only convert an array of size 1 to a Python scalar")
        index = (0,) * len(x.shape)
    elif len(index) == 1 and type(index[0]) is int:
        return compute(np.ravel, (x,), {})[index[0]]
    return x[index[0] if len(index) == 1 else index] if x.shape else x


def _copy_method(x: Array, order: str = "C") -> Any:
    return array(x, order=order)


ATTRIBUTES |= {
    "copy": lambda self: functools.partial(_copy_method, self),
    "tolist": lambda self: functools.partial(tolist, self),
    "item": lambda self: functools.partial(item, self),
}
