"""Memory, as a lowered graph speaks of it: buffers, views of them, and indices in loops.

What flows: a NumPy array that is never touched stands for a buffer, and its views, made by NumPy
itself or by the strides that a row's native cell says, for views of the buffer. The invariant: only
shapes, strides and addresses are looked at, but for a constant's elements.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.lib.stride_tricks import as_strided

from difflab.ir.expr import Array, Expr
from difflab.ir.row import CONSTANT


@dataclass(frozen=True, slots=True)
class At:
    """An index in terms of a stage's loops: ``step * i[axis] + offset``; axis -1 is no loop."""

    axis: int
    step: int
    offset: int

    def __add__(self, n: int) -> At:
        return At(self.axis, self.step, self.offset + n)

    def __mul__(self, n: int) -> At:
        return At(self.axis, self.step * n, self.offset * n) if n and self.axis >= 0 else At(
            -1, 0, self.offset * n
        )  # fmt: skip


Index = tuple[At, ...]
FIXED: Final = At(-1, 0, 0)


@dataclass(slots=True, eq=False)
class Buffer:
    """The memory of an array: of an input, an output, a constant, or a value in between."""

    kind: str
    memory: Array
    """Stands for it: never read, but for a constant's."""
    number: int = 0
    """Its place among the buffers of the program."""

    @property
    def reach(self) -> tuple[int, int]:
        """From its first element's address: bytes to its lowest and to its end."""
        along = [(n - 1) * s for n, s in zip(self.memory.shape, self.memory.strides, strict=True)]
        highest = sum([max(reach, 0) for reach in along])
        return sum([min(reach, 0) for reach in along]), highest + self.memory.itemsize


@dataclass(slots=True, eq=False)
class View:
    """A part of a buffer, as an array of which only shape and strides count."""

    buffer: Buffer
    array: Array

    @property
    def offset(self) -> int:
        """Bytes from the buffer's beginning."""
        return int(self.array.ctypes.data - self.buffer.memory.ctypes.data)

    def shows(self, array: Array) -> View | None:
        """Another view of the same buffer; None for an array that is a copy."""
        return View(self.buffer, array) if np.may_share_memory(array, self.buffer.memory) else None


def slim(shape: Iterable[int]) -> tuple[int, ...]:
    """A shape without its axes of length 1."""
    return tuple([n for n in shape if n != 1])


def index_of(shape: Sequence[int]) -> Index:
    """The index of a node in the loops over its own slim shape."""
    axes = iter(range(len(shape)))
    return tuple([FIXED if n == 1 else At(next(axes), 1, 0) for n in shape])


def is_leaf(node: Expr) -> bool:
    """Whether it is given: an input or a constant."""
    return not node.operands


def is_number(node: Expr) -> bool:
    """Whether it is one number for good."""
    return node.primitive is CONSTANT and node.size == 1 and node.is_fixed


def _operand_index(node: Expr) -> Any:
    """Where in its operand a view's element is, in terms of its own axes; None: no strides say."""
    own = tuple([At(axis, 1, 0) for axis in range(node.ndim)])
    assert callable(node.primitive.native)
    return node.primitive.native(own, node.operands[0], **dict(node.params))


def is_shift(node: Expr) -> bool:
    """Whether a view moves along every axis as its operand does."""
    at = _operand_index(node)
    return at is None or all(i.step == 1 for i in at if isinstance(i, At) and i.axis >= 0)


def viewed(node: Expr, array: Array) -> Array:
    """A view's array of its operand's; a copy where no strides say it."""
    at = _operand_index(node)
    if at is None:
        found: Array = node.primitive.evaluate(array, **dict(node.params))
        return found
    strides = [0] * node.ndim
    for i, stride in zip(at, array.strides, strict=True):
        if isinstance(i, At) and i.axis >= 0:
            strides[i.axis] += i.step * stride
    corner = array[tuple([slice(offset_of(i), offset_of(i) + 1) for i in at])]
    return as_strided(corner, node.shape, strides)


def offset_of(i: At | int) -> int:
    """The part of an index that no loop changes."""
    return i.offset if isinstance(i, At) else i
