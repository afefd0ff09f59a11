"""A traced array's memory, and the part of it that a name shows.

A *memory* holds either one node that is its whole content, or slots (slots.py), element by element,
or, while nothing in it depends on an argument, real values. The invariant: which part of a memory a
name shows, and whether a function gives a view or a copy, is asked of NumPy, on an array of slots
of that geometry.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from difflab.errors import TraceError
from difflab.ir.build import as_dtype
from difflab.ir.contents import COPIED
from difflab.ir.pair import pair
from difflab.ir.protocols import TracedArray, call, is_complex
from difflab.tracing.arrays.slots import ended, here, home

Path = tuple[int, ...]
Source = tuple["Part", Callable[..., Any], Any, dict[str, Any], Path]


class Memory:
    """What a traced array and all views of it share."""

    __slots__ = (
        "depth", "dtype", "home", "like", "origin", "root", "shape", "slots", "values", "version",
        "views",
    )  # fmt: skip

    def __init__(
        self, shape: tuple[int, ...], dtype: np.dtype[Any], root: Any = None, values: Any = None,
        slots: Any = None, like: Any = None, origin: str = "",
    ) -> None:  # fmt: skip
        self.shape, self.dtype = shape, dtype
        self.root, self.values, self.slots = root, values, slots
        self.like, self.origin = like, origin
        self.version, self.depth = 0, here.depth
        self.views: list[Part] = []
        """Those of which NumPy was not asked yet where they are."""
        self.home = here.home

    def base(self) -> Any:
        """The array whose geometry all views have: of values while it is constant, else slots."""
        if self.values is not None:
            return self.values
        self.need_own()
        if self.slots is None:
            self.slots = self._geometry()
            self.slots[...] = home().slots_of(self.root)
        return self.slots

    def promoted(self) -> Any:
        """Its slots, for a value that is traced to be written."""
        if self.values is not None:
            node = cast(as_traceable(self.values), self.dtype)
            self.slots = np.empty_like(self.values, np.int64, subok=False)
            self.slots[...] = home().slots_of(node)
            self.values, self.home = None, home()
        return self.base()

    def need_own(self) -> None:
        """Raise where it holds what another trace has traced; what no trace has is this one's."""
        self.home = self.home or here.home
        if self.home is not here.home and self.values is None:
            raise ended()

    def _geometry(self) -> Any:
        """An array of slots in the order in which NumPy would lay out this one."""
        if self.like is not None:
            function, args, kwargs = self.like
            self.like = None
            try:
                with np.errstate(all="ignore"):
                    real = function(*_ones(args), **_ones(kwargs))
            except Exception:  # a function that does not take ones: its results are in C order
                real = None
            if np.shape(real) == self.shape:
                return np.empty_like(real, np.int64, subok=False)
        return np.empty(self.shape, np.int64)

    def whole(self) -> Any:
        """The node of all of it, from which it is read from now on."""
        if self.root is None:
            found = home().read(self.slots)
            if not isinstance(found, TracedArray):
                return found
            self.root = found
            self.slots[...] = home().slots_of(found)
        return self.root


def cast(value: Any, dtype: np.dtype[Any]) -> Any:
    """A value as a node of a dtype; complex ones are pairs of nodes."""
    if dtype.kind == "c":
        both = pair(value)
        return both if both.dtype == dtype else call(np.astype, (both, dtype), {})
    if is_complex(value):
        raise TraceError(
            f"complex values cannot be written into an array of {dtype}",
            "make the array complex, or write np.real(z) or np.abs(z)",
        )
    return as_dtype(value, dtype)


def as_traceable(values: Any) -> Any:
    """An array that may hold traced values; `TraceError` for one that may not."""
    if values.dtype.kind in "fib" and values.dtype.name not in (
        "float64", "float32", "int64", "bool",
    ):  # fmt: skip
        raise TraceError(
            f"an array of dtype {values.dtype} cannot hold traced values",
            "use float64, float32, int64 or bool",
        )
    if values.dtype.kind not in "fibc":
        raise TraceError(
            f"an array of dtype {values.dtype} cannot hold traced values",
            "keep them in a list, or in an array of floats",
        )
    return values


class Part(TracedArray):
    """A name for memory, or for part of one; or a scalar, which has none."""

    __slots__ = (
        "_data",
        "_node",
        "_over",
        "_shape",
        "_source",
        "_version",
        "dtype",
        "memory",
        "weak",
    )
    memory: Memory | None

    def __init__(
        self,
        node: Any,
        memory: Memory | None,
        source: Source | None = None,
        data: Any = None,
        shape: tuple[int, ...] | None = None,
    ) -> None:
        self._node, self.memory = node, memory
        if memory is None:
            self._shape, self.dtype, self.weak = node.shape, node.dtype, node.weak
            return
        self._data, self._over, self._source = data, None, source
        self._version, self.weak, self.dtype = -1, False, memory.dtype
        if data is not None:
            self._over = memory.base()
            self._shape = data.shape
        else:
            self._shape = memory.shape if shape is None else shape
        if node is not None:
            self._version = memory.version

    @property
    def shape(self) -> tuple[int, ...]:
        shape: tuple[int, ...] = self._shape
        return shape

    @shape.setter
    def shape(self, shape: Any) -> None:
        memory = self.own_memory()
        for view in memory.views:  # which were made of the old shape
            view.own_memory()
        memory.views.clear()
        try:
            data = self.data().reshape(shape, copy=False)
        except ValueError as error:
            if "copy" not in str(error):
                raise
            raise AttributeError("a shape that needs a copy; use reshape") from None
        self._data, self._over, self._shape = data, self.own_memory().base(), data.shape
        self._node = None

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """What user code is told that it holds; difflab itself asks `type`."""
        if self.memory is not None:
            return np.ndarray
        return (float, complex)[self.dtype.kind == "c"] if self.weak else self.dtype.type

    @property
    def boxed(self) -> bool:
        return self.memory is not None

    @property
    def is_plain(self) -> bool:
        """Whether nothing in it depends on an argument."""
        return self.memory is not None and self.memory.values is not None

    @property
    def is_current(self) -> bool:
        """Whether its node is known, without looking at slots."""
        memory = self.memory
        if memory is None:
            return True
        if self.is_whole and memory.root is not None:
            return True
        return isinstance(self._node, TracedArray) and self._version == memory.version

    @property
    def is_changed(self) -> bool:
        """Whether its memory was written to."""
        return self.memory is not None and self.memory.version > 0

    @property
    def is_whole(self) -> bool:
        """Whether it is seen to show all of a memory."""
        return self._source is None and self._data is None

    @property
    def is_natural(self) -> bool:
        """Whether it is known to lie in memory in the order of its axes."""
        memory = self.memory
        return memory is None or (self.is_whole and memory.like is None and memory.slots is None)

    def of_slots(self, slots: Any) -> Part:
        """A fresh array of some of its elements."""
        return type(self)(None, Memory(slots.shape, self.dtype, slots=slots))

    def data(self) -> Any:
        """Its part of the memory: an array of slots, or of values while it is constant."""
        base = self.own_memory().base()
        if self._data is None:
            return base
        if self._over is not base:
            self._data, self._over = _rebased(self._data, self._over, base), base
        return self._data

    def own_memory(self) -> Memory:
        """The memory that it shows, once NumPy was asked whether it is that of what it was made
        of.
        """
        if self._source is not None:
            self._find_memory(*self._source)
        assert self.memory is not None
        self.memory.need_own()
        return self.memory

    def _find_memory(self, parent: Part, function: Any, args: Any, kwargs: Any, path: Path) -> None:
        """Ask NumPy whether it shows the memory of what it was made of, and where."""
        base = parent.data()
        found = function(base, *args, **kwargs)
        for k in path:
            found = found[k]
        self._source = None
        assert self.memory is not None and parent.memory is not None
        if np.may_share_memory(found, base):
            self.memory, self._data, self._over = parent.memory, found, parent.memory.base()
        else:
            like: Any = (_itself, (found,), {})
            self.memory = Memory(self.shape, self.dtype, root=self._node, like=like)
            self._version = 0

    @property
    def content(self) -> Any:
        """The node of what it holds now; a plain array or number where it is constant."""
        if here.home is None:
            raise ended()
        memory = self.memory
        if memory is None or (self._version == memory.version and self._node is not None):
            return self._node
        memory.need_own()
        if self._source is not None:
            memory = self.own_memory()
            if self._version == memory.version:
                return self._node
        if memory.values is not None:
            found = _fixed(self.data(), memory)
        elif self._data is None:
            found = memory.whole()
        else:
            found = home().read(self.data())
        if not isinstance(found, TracedArray) and not isinstance(found, np.ndarray):
            found = np.asarray(found)
        if not isinstance(found, TracedArray):
            found = found.astype(self.dtype, copy=False)
        self._node, self._version = found, memory.version
        return found

    # -- assignment ------------------------------------------------------------------------------

    def writable(self) -> Memory:
        """Its memory, if it may be written to."""
        if self.memory is None:
            raise TypeError(f"'{self.__class__.__name__}' object does not support item assignment")
        memory = self.own_memory()
        if memory.origin:
            raise TraceError(
                f"in-place assignment into {memory.origin}, which existed before the call",
                f"work on a copy made inside: a = np.array({memory.origin})",
            )
        if memory.depth < here.depth:
            raise TraceError(
                "an outer function's array is written to inside a derivative",
                "return the value instead, and assign it outside",
            )
        return memory

    def write(self, put: Callable[[Any, Any], Any], value: Any) -> None:
        """Let NumPy put a value: ``put(data, value)`` on slots, or on values where all is plain."""
        memory = self.writable()
        if isinstance(value, Part) and value.is_plain:
            value = value.data()
        if memory.values is not None:
            if not isinstance(value, Part):
                put(self.data(), value)
                memory.version += 1
                return
            memory.promoted()
        put(self.data(), slots_of(value, self.dtype))
        memory.version += 1
        memory.root = None

    def assign(self, value: Any) -> None:
        """Write all of it."""
        memory = self.writable()
        traced = isinstance(value, Part) and not value.is_plain and value.shape == self.shape
        if not traced or self._data is not None or memory.slots is not None:
            self.write(_put_all, value)
            return
        if memory.values is not None:
            memory.like = (_itself, (as_traceable(memory.values),), {})
        memory.root, memory.values = cast(value.content, self.dtype), None
        memory.home = here.home
        memory.version += 1


def slots_of(value: Any, dtype: np.dtype[Any]) -> Any:
    """The slots of a value that is cast to a dtype."""
    if isinstance(value, Part):
        if value.dtype == dtype and value.memory is not None and not value.is_current:
            return value.data()
        if value.memory is not None and value.memory.slots is not None and value.dtype == dtype:
            return value.data()
        return home().slots_of(cast(value.content, dtype))
    return home().slots_of(cast(as_traceable(np.array(value)), dtype))


def _put_all(data: Any, value: Any) -> None:
    data[...] = value


def _itself(found: Any) -> Any:
    return found


def _fixed(data: Any, memory: Memory) -> Any:
    """Values that stay as they are, whatever is written later."""
    if data.nbytes <= COPIED or memory.origin:
        return data
    copy = np.array(data)
    copy.flags.writeable = False
    return copy


def _rebased(view: Any, old: Any, new: Any) -> Any:
    """The part of a new array that lies where a view lies in an old one of the same geometry."""
    start = view.__array_interface__["data"][0] - old.__array_interface__["data"][0]
    strides = [stride // old.itemsize * new.itemsize for stride in view.strides]
    offset = start // old.itemsize * new.itemsize
    found = np.ndarray(view.shape, new.dtype, new.ravel("K"), offset if view.size else 0, strides)
    found.flags.writeable = view.flags.writeable
    return found


def _ones(value: Any) -> Any:
    """Arguments with arrays of ones of the same geometry for traced arrays."""
    if isinstance(value, Part):
        if value.memory is None:
            return value.dtype.type(1)
        return np.ones_like(value.data(), dtype=value.dtype)
    if isinstance(value, (list, tuple)):
        return type(value)([_ones(v) for v in value])
    if isinstance(value, dict):
        return {key: _ones(v) for key, v in value.items()}
    return value
