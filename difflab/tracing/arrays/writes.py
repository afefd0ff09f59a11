"""What changes arrays in place: augmented assignment, out=, and NumPy's functions that do.

What flows: a target and values come in, and NumPy's own function puts the slots of the values among
the target's slots: masks, cycling, overlap, broadcasting and errors are its own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from difflab.errors import TraceError, UnsupportedError
from difflab.ir.build import as_dtype, broadcast, lift, node, reshaped
from difflab.spellings.indexing import indices as indices_of
from difflab.tracing.arrays.array import (
    ATTRIBUTES,
    CHANGES,
    MEANINGS,
    Array,
    array_of_node,
    as_values,
    compute,
    plain,
)


def into(out: Any, found: Any, function: Any, inputs: Sequence[Any], where: Any = True) -> Any:
    """Write a function's result into an array, as out= does; it is the array."""
    out = _target(out, f"np.{function.__name__}")
    if out.memory is None:
        raise TypeError("return arrays must be of ArrayType")
    dtype = getattr(found, "dtype", None)
    if np.shape(found) != out.shape or (dtype is not None and not _same_kind(dtype, out.dtype)):
        _let_numpy_raise(function, inputs, out)
        if np.size(found) == out.size and where is True:  # cumsum(a, out=a) of a flat result
            found = compute(np.reshape, (found, out.shape), {})
    if where is not True:
        found = compute(np.where, (where, found, out), {})
    out.assign(found)
    return out


def _same_kind(one: Any, other: Any) -> bool:
    return bool(np.can_cast(one, other, "same_kind"))


def _let_numpy_raise(function: Any, inputs: Sequence[Any], out: Array) -> None:
    """Run a function on arrays of these shapes and dtypes, for the error that NumPy gives."""
    given = [_like(x) for x in inputs]
    with np.errstate(all="ignore"):
        function(*given, out=np.ones(out.shape, out.dtype))


def _like(x: Any) -> Any:
    if type(x) is not Array:
        return x
    if x.memory is None and x.weak:
        return 1.0
    return np.ones(x.shape, x.dtype)


def augmented(ufunc: np.ufunc, self: Array, other: Any) -> Any:
    """``x += y`` and its kin: of a scalar another one, of an array the array itself, changed."""
    found = compute(ufunc, (self, other), {})
    return found if self.memory is None else into(self, found, ufunc, (self, other))


def at(ufunc: np.ufunc, a: Any, indices: Any, *values: Any) -> None:
    """``ufunc.at``: element by element, in order, so that repeated indices count."""
    a = _target(a, f"np.{ufunc.__name__}.at")
    index = plain(indices)
    values = tuple([as_values(value) for value in values])
    a.writable()
    if not a.data().flags.writeable:
        raise TraceError(
            f"np.{ufunc.__name__}.at into a read-only array", "work on a copy: np.array(a)"
        )
    if a.is_plain and not any(type(v) is Array and not v.is_plain for v in values):
        ufunc.at(a.data(), index, *[v.data() if type(v) is Array else v for v in values])
        a.memory.version += 1
        return
    places = np.arange(a.size).reshape(a.shape)[index]
    given = [np.broadcast_to(np.arange(np.size(v)).reshape(np.shape(v)), places.shape)
             for v in values]  # fmt: skip
    if ufunc in (np.add, np.subtract) and a.dtype.kind == "f" and places.size > 1:
        spread = broadcast(as_dtype(_content(values[0]), a.dtype), places.shape)
        addresses = indices_of(places.reshape(-1))
        added = node("scatter_add", reshaped(spread, (places.size,)), addresses, shape=(a.size,))
        a.assign(compute(ufunc, (a, array_of_node(reshaped(added, a.shape))), {}))
        return
    flats = [array_of_node(reshaped(lift(_content(v)), (np.size(v),))) for v in values]
    for k, place in np.ndenumerate(places):
        spot = np.unravel_index(place, a.shape)
        others = [x[int(number[k])] for x, number in zip(flats, given, strict=True)]
        a[spot] = ufunc(a[spot], *others)


def _content(value: Any) -> Any:
    return value.content if type(value) is Array else value


def _changing(function: Any, names: str, what: str) -> Callable[..., Any]:
    """A function that puts values into its first argument: NumPy's own, on slots."""

    def meaning(*args: Any, **kwargs: Any) -> None:
        given = dict(zip(names.split(), args, strict=False)) | kwargs
        target = _target(given.pop(names.split()[0]), f"np.{function.__name__}")
        value = given.pop(what)
        rest = {name: plain(x) for name, x in given.items()}
        if function is np.copyto and type(value) is Array:
            casting = rest.get("casting", "same_kind")
            np.copyto(np.empty((), target.dtype), np.empty((), value.dtype), casting)
        target.write(lambda data, found: function(data, **{**rest, what: found}), as_values(value))

    return meaning


def _target(array: Any, name: str) -> Array:
    """A traced array that is to be changed."""
    if type(array) is Array:
        return array
    raise TraceError(
        f"in-place assignment: {name} of a traced value into a plain array",
        "create the array inside of the function, or copy it: a = np.array(a)",
    )


class Flat:
    """``x.flat``: the elements in C order, to be read and assigned by number."""

    def __init__(self, array: Array) -> None:
        self.array = array

    def __getitem__(self, index: Any) -> Any:
        return compute(np.ravel, (self.array,), {})[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        index = plain(index)
        self.array.write(lambda data, given: _put_flat(data, index, given), as_values(value))

    def __iter__(self) -> Iterator[Any]:
        return (self.array[np.unravel_index(k, self.array.shape)] for k in range(len(self)))

    def __len__(self) -> int:
        return self.array.size


def _put_flat(data: Any, index: Any, values: Any) -> None:
    data.flat[index] = values


def fill(self: Array, value: Any) -> None:
    """``x.fill(v)``."""
    self.write(lambda data, given: data.fill(given), as_values(value))


def sort(
    self: Array, axis: int = -1, kind: Any = None, order: Any = None, *, stable: Any = None
) -> None:
    """``x.sort()``."""
    self.assign(compute(np.sort, (self, axis), {"kind": kind, "order": order, "stable": stable}))


def partition(
    self: Array, kth: Any, axis: int = -1, kind: str = "introselect", order: Any = None
) -> None:
    """``x.partition(k)``: sorted, which is one of the orders that NumPy may choose."""
    self.assign(compute(np.sort, (self, axis), {}))


MEANINGS |= {
    np.copyto: _changing(np.copyto, "dst src casting where", "src"),
    np.place: _changing(np.place, "arr mask vals", "vals"),
    np.putmask: _changing(np.putmask, "a mask values", "values"),
    np.put: _changing(np.put, "a ind v mode", "v"),
    np.put_along_axis: _changing(np.put_along_axis, "arr indices values axis", "values"),
    np.fill_diagonal: _changing(np.fill_diagonal, "a val wrap", "val"),
}
CHANGES |= {"flat": Flat, "into": into, "at": at, "augmented": augmented}


def _method(function: Any) -> Callable[[Any], Any]:
    return lambda self: functools.partial(function, self)


def _strides(self: Array) -> tuple[int, ...]:
    """Of an array whose elements are as large as slots."""
    if self.dtype.itemsize != 8:
        raise UnsupportedError(f"strides of {self.dtype} cannot be traced", "use x.astype(float)")
    strides: tuple[int, ...] = self.data().strides
    return strides


ATTRIBUTES |= {
    "flags": lambda self: self.data().flags,
    "strides": _strides,
    **{
        name: _method(f) for name, f in {"fill": fill, "sort": sort, "partition": partition}.items()
    },
    "put": _method(MEANINGS[np.put]),
    "itemset": _method(Array.__setitem__),
}
