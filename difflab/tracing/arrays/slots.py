"""Slots: which element of which node stands where in a traced array's memory.

What flows: a node gets a range of numbers, its *slots*, one an element; NumPy moves these numbers
about as a program assigns; and the node that reads some of them comes out. The invariant: a slot
says for good which element of which node it is, within one outermost trace of one thread.

>>> from difflab.ir.expr import placeholder
>>> home = Home()
>>> x = placeholder((3,), np.dtype(float), "x")
>>> home.slots_of(x)
array([0, 1, 2])
>>> home.read(home.slots_of(x)[::-2])
<traced float64[2] getitem>
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from difflab.errors import TraceError
from difflab.ir.expr import Expr, constant
from difflab.ir.protocols import TracedArray, call
from difflab.table.movement import join

Slots = NDArray[np.int64]
FEW = 8
"""Runs of consecutive elements that are joined one by one; beyond, and beyond one in as many
elements, they are gathered."""


class _Here(threading.local):
    home: Home | None = None
    depth = 0
    aside = False
    """Whether a real function of NumPy's runs, which is to find real functions."""


here = _Here()
"""The home of this thread's outermost trace, and how many traces are in progress."""


def home() -> Home:
    """The home of the trace in progress."""
    if here.home is None:
        raise ended()
    return here.home


def ended() -> TraceError:
    """The error for a traced array that outlived its trace."""
    return TraceError(
        "a traced array was used after its function returned",
        "return it, or keep a copy of the result of a plain call",
    )


class Home:
    """The nodes of a trace whose elements stand in memories."""

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.nodes: list[Any] = []
        self.size = 0
        self._start_of: dict[int, int] = {}
        self._starts: Slots = np.empty(64, np.int64)

    def start_of(self, node: Any) -> int:
        """The first slot of a node."""
        start = self._start_of.get(id(node))
        if start is None:
            start = self._start_of[id(node)] = self.size
            count = len(self.starts)
            if count == self._starts.size:
                self._starts = np.resize(self._starts, 2 * count)
            self._starts[count] = start
            self.starts.append(start)
            self.nodes.append(node)  # kept, so that its id stays its own
            self.size += max(node.size, 1)
        return start

    def slots_of(self, node: Any) -> Any:
        """The slots of a node's elements, in its shape."""
        start = self.start_of(node)
        if not node.shape:
            return np.int64(start)
        return np.arange(start, start + node.size).reshape(node.shape)

    def element(self, slot: int) -> Any:
        """The scalar node of a slot; a plain number where it is a constant."""
        place = bisect_right(self.starts, slot) - 1
        node = self.nodes[place]
        if node.shape:
            return _at(node, np.unravel_index(slot - self.starts[place], node.shape))
        return node.value[()] if _is_constant(node) else node

    def read(self, slots: Slots) -> Any:
        """The cheapest node of these elements; a plain array where all of them are constant."""
        if not slots.size:
            return np.empty(slots.shape)
        if slots.size == 1:
            element = self.element(int(slots.reshape(())))
            plain = not isinstance(element, TracedArray)
            return np.full(slots.shape, element) if plain else _reshaped(element, slots.shape)
        flat = slots.reshape(-1)
        places = np.searchsorted(self._starts[: len(self.starts)], flat, "right") - 1
        first = places[0]
        if np.all(places == first):
            node, within = self.nodes[first], slots - self.starts[first]
            if _is_constant(node):
                return node.value.reshape(-1)[within]
            return _part(node, within)
        used = np.unique(places)
        nodes = [self.nodes[place] for place in used]
        if all(map(_is_constant, nodes)):
            values = np.concatenate([node.value.reshape(-1) for node in nodes])
            return values[self._addresses(used, places, flat)].reshape(slots.shape)
        breaks = 1 + np.flatnonzero((np.diff(flat) != 1) | (np.diff(places) != 0))
        if 1 + breaks.size <= max(FEW, flat.size // FEW):
            runs = np.split(flat, breaks)
            pieces = [self._run(places[at], run) for at, run in zip([0, *breaks], runs)]  # noqa: B905
            return _reshaped(call(join, _merged(pieces), {"lead": 0}), slots.shape)
        addresses = self._addresses(used, places, flat)
        every = call(join, nodes, {"lead": 0}) if len(nodes) > 1 else _reshaped(nodes[0], (-1,))
        if np.array_equal(addresses, np.arange(every.size)):
            return _reshaped(every, slots.shape)
        return call(TracedArray.__getitem__, (every, addresses.reshape(slots.shape)), {})

    def _addresses(self, used: Slots, places: Slots, flat: Slots) -> Slots:
        """Where elements are in the nodes used, joined."""
        sizes = [self.nodes[place].size for place in used]
        before = np.concatenate([[0], np.cumsum(sizes)])
        return before[np.searchsorted(used, places)] + flat - self._starts[places]

    def _run(self, place: int, run: Slots) -> Any:
        """Consecutive elements of one node."""
        node, start = self.nodes[place], int(run[0]) - self.starts[place]
        if start == 0 and run.size == node.size:
            return node
        flat = node.value.reshape(-1) if _is_constant(node) else _reshaped(node, (-1,))
        cut = slice(start, start + run.size)
        return constant(flat[cut]) if _is_constant(node) else _at(flat, (cut,))


def _is_constant(node: Any) -> bool:
    return type(node) is Expr and node.is_fixed


def _merged(pieces: Sequence[Any]) -> list[Any]:
    """The pieces, constants that are neighbours as one."""
    merged: list[Any] = []
    held: list[Any] = []
    for piece in [*pieces, None]:
        if piece is not None and _is_constant(piece):
            held.append(piece.value.reshape(-1))
            continue
        if held:
            merged.append(constant(np.concatenate(held)))
            held = []
        merged.append(piece)
    return merged[:-1]


def _at(node: Any, index: Any) -> Any:
    if _is_constant(node):
        return node.value[index]
    index = tuple([i if isinstance(i, slice) else int(i) for i in index])
    return call(TracedArray.__getitem__, (node, index), {})


def _reshaped(node: Any, shape: tuple[int, ...]) -> Any:
    return node if node.shape == shape else call(np.reshape, (node, shape), {})


def _part(node: Any, within: Slots) -> Any:
    """The elements of one node at these places, by what moves least."""
    if within.size == node.size and np.array_equal(within.reshape(-1), np.arange(node.size)):
        return _reshaped(node, within.shape)
    box = _box(node.shape, within)
    if box is not None:
        return _reshaped(_at(node, box), within.shape)
    return call(TracedArray.__getitem__, (_reshaped(node, (-1,)), within), {})


def _box(shape: tuple[int, ...], within: Slots) -> tuple[Any, ...] | None:
    """The index that selects these places from an array of a shape, if slices do it in order."""
    corner = within[(0,) * within.ndim]
    index: list[Any] = [*map(int, np.unravel_index(int(corner), shape))]
    last_axis, expected = -1, np.asarray(corner)
    for k, length in enumerate(within.shape):
        if length == 1:
            continue
        stride = int(within[(0,) * k + (1,) + (0,) * (within.ndim - k - 1)] - corner)
        for axis in range(last_axis + 1, len(shape)):
            one = int(np.prod(shape[axis + 1 :], dtype=np.int64))
            step, start = stride // one, index[axis]
            last = start + step * (length - 1)
            if stride % one == 0 and step != 0 and 0 <= last < shape[axis]:
                stop = last + (1 if step > 0 else -1)
                index[axis] = slice(start, stop if stop >= 0 else None, step)
                last_axis = axis
                break
        else:
            return None
        along = stride * np.arange(length)
        expected = expected + along.reshape((length,) + (1,) * (within.ndim - k - 1))
    return tuple(index) if np.array_equal(np.broadcast_to(expected, within.shape), within) else None
