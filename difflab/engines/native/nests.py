"""A stage as a nest of loops: its boxes, the order of its loops, and its chunks.

What flows: a stage goes in, and is looked through for all that it reads; its space is cut into
boxes where placed values begin and end, axes that lie behind one another in all memory become one
loop, and one loop gets the lanes of vectors. The invariant: all of it follows from the graph alone,
so that the same is computed in the same order on every machine.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np

from difflab.engines.native.kinds import BYTES, kind_of
from difflab.engines.native.lowering import Lowering, NotNativeError, Root, Stage
from difflab.engines.native.memory import At, Buffer, Index, View, index_of, is_number, slim
from difflab.errors import InvariantError
from difflab.ir.expr import Expr, placeholder
from difflab.table.movement import PLACE, Slice

PLAIN: Final = 8
"""Doubles in a vector where operations are cheap, and twice as many where functions are called."""
ROWS: Final = 4
"""Rows that are computed together where they share what they read."""
CHUNK: Final = 8192
"""Elements in a chunk at most."""
CHUNKS: Final = 512
"""Chunks at most."""
FEW_CHUNKS: Final = 16
"""The same where each makes a part of a fold that keeps many elements."""
MANY: Final = 64
"""That many."""
BOXES: Final = 64
"""Boxes at most: each is a function."""
NANOSECONDS: Final = 0.06
"""Of one operation on one element."""
Rules = Callable[[Expr], Any]
Range = tuple[int, int]
Box = Mapping[tuple[int, ...], Range]


@dataclass(frozen=True, slots=True)
class Access:
    """Memory in terms of a stage's axes: bytes from the buffer's beginning, and a step along."""

    buffer: Buffer
    offset: int
    strides: tuple[int, ...]
    kind: str


@dataclass(eq=False)
class Nest:
    """A stage on its way to text."""

    lowering: Lowering
    stage: Stage
    rules: Rules
    name: str
    accesses: set[Access] = field(default_factory=set)
    cuts: dict[int, set[int]] = field(default_factory=dict)
    operations: int = 0
    calls_functions: bool = False
    narrow: bool = True
    """Whether all is in float32."""

    def __post_init__(self) -> None:
        self._look()

    # -- what is read, and where ranges end --------------------------------------------------------

    def access(self, view: View, at: Index) -> Access:
        """A view's memory, at an index in terms of the stage's axes."""
        strides = [0] * len(self.stage.lengths)
        offset = view.offset
        for i, stride in zip(at, view.array.strides, strict=True):
            offset += i.offset * stride
            if i.axis >= 0:
                strides[i.axis] += i.step * stride
        return Access(view.buffer, offset, tuple(strides), kind_of(view.array.dtype))

    def memory(self, node: Expr, at: Index) -> Access | None:
        """Where a node's value can be read at that index."""
        view = self.lowering.view(node, self.stage.level)
        return None if view is None else self.access(view, at)

    def operand_index(self, node: Expr, at: Index) -> Index:
        """Where a view's element is in its operand."""
        assert callable(node.primitive.native)
        found = node.primitive.native(at, node.operands[0], **dict(node.params))
        if found is None:
            raise NotNativeError(f"{node!r} regroups what is not in memory")
        return tuple([i if isinstance(i, At) else At(-1, 0, i) for i in found])

    def ranges(self, node: Expr, at: Index) -> list[tuple[At, int, int]]:
        """Of a placed value: the indices, and from where to where they hold it."""
        parts = dict(node.params)["index"]
        found = []
        for i, part, n in zip(at, parts, node.shape, strict=True):
            if isinstance(part, Slice):
                start, stop, _ = slice(*part).indices(n)
            else:
                start, stop = part % n, part % n + 1
            found.append((i, start, stop))
        return found

    def placed_index(self, node: Expr, at: Index) -> Index:
        """Where in its operand a placed value's element is."""
        kept = [
            i + -start
            for (i, start, _), part in zip(
                self.ranges(node, at), dict(node.params)["index"], strict=True
            )
            if isinstance(part, Slice)
        ]
        return tuple(kept)

    def _look(self) -> None:
        """Visit all that the roots need: what is read, where it is cut, what it costs."""
        seen: set[tuple[Expr, Index]] = set()
        stack = [(root.node, index_of(root.node.shape)) for root in self.stage.roots]
        for root in self.stage.roots:
            self.accesses.add(self.target(root))
            for axis, n in enumerate(slim(root.node.shape)):
                if n < self.stage.lengths[axis]:
                    self._cut(axis, n)
        while stack:
            node, at = stack.pop()
            if (node, at) in seen:
                continue
            seen.add((node, at))
            self.narrow = self.narrow and node.dtype.itemsize < 8
            if is_number(node):
                continue
            found = self.memory(node, at)
            if found is not None:
                self.accesses.add(found)
            elif node.primitive.view:
                stack.append((node.operands[0], self.operand_index(node, at)))
            elif node.primitive is PLACE:
                for i, start, stop in self.ranges(node, at):
                    if i.axis >= 0:
                        self._cut(i.axis, start - i.offset)
                        self._cut(i.axis, stop - i.offset)
                stack.append((node.operands[0], self.placed_index(node, at)))
            else:
                called = not callable(node.primitive.native)
                self.operations += 20 if called else 1
                self.calls_functions |= called
                stack += [(x, at if x.shape else ()) for x in node.operands]

    def _cut(self, axis: int, where: int) -> None:
        if 0 < where < self.stage.lengths[axis]:
            self.cuts.setdefault(axis, set()).add(where)

    def target(self, root: Root) -> Access:
        """Where a root goes, in terms of the stage's axes."""
        at = index_of(root.node.shape)
        if root.fold is not None:
            at = tuple([i for axis, i in enumerate(at) if axis not in root.axes])
        return self.access(root.target, at)

    def reduced(self, root: Root) -> set[int]:
        """The stage's axes that a root folds."""
        at = index_of(root.node.shape)
        return {at[axis].axis for axis in root.axes} - {-1}

    # -- loops -------------------------------------------------------------------------------------

    @cached_property
    def groups(self) -> list[tuple[int, ...]]:
        """Axes that are one loop, because they lie behind one another in all memory."""
        lengths = self.stage.lengths
        found: list[tuple[int, ...]] = []
        for axis in range(len(lengths)):
            if found and self._joins(axis):
                found[-1] = (*found[-1], axis)
            else:
                found.append((axis,))
        return found

    def _joins(self, axis: int) -> bool:
        n = self.stage.lengths[axis]
        if axis in self.cuts or axis - 1 in self.cuts:
            return False
        return all(a.strides[axis - 1] == n * a.strides[axis] for a in self.accesses) and all(
            (axis in reduced) == (axis - 1 in reduced) for reduced in map(self.reduced, self.folds)
        )

    @cached_property
    def folds(self) -> list[Root]:
        """The roots that fold."""
        return [root for root in self.stage.roots if root.fold is not None]

    def length(self, group: tuple[int, ...]) -> int:
        """How many indices a loop has."""
        return math.prod([self.stage.lengths[axis] for axis in group])

    def width(self, n: int) -> int:
        """Elements of a vector in a loop of n."""
        widest = PLAIN * (1 + self.calls_functions) * (1 + self.narrow)
        return min(widest, 1 << (n.bit_length() - 1))

    @cached_property
    def lane(self) -> tuple[int, ...] | None:
        """The loop that gets the lanes: the cheapest."""
        return min(reversed(self.groups), key=self._lane_cost, default=None)

    def _lane_cost(self, group: tuple[int, ...]) -> float:
        n = self.length(group)
        width, cost = self.width(n), self.operations * 0.5
        for access in self.accesses:
            stride = access.strides[group[-1]]
            cost += 1.0 if stride in (0, BYTES[access.kind]) else 1.5 * width
        return cost * -(-n // width) / n

    @cached_property
    def order(self) -> list[tuple[int, ...]]:
        """Loops from the outermost: lanes last, but for what all roots fold inside them."""
        rest = [group for group in self.groups if group is not self.lane]
        if self.lane is None:
            return rest
        inner = [g for g in rest if self._is_folded_inside(g)]
        if len(inner) == len(rest):
            return [*rest, self.lane]
        return [*[g for g in rest if g not in inner], self.lane, *inner]

    def _is_folded_inside(self, group: tuple[int, ...]) -> bool:
        assert self.lane is not None
        return len(self.folds) == len(self.stage.roots) and all(
            group[0] in (reduced := self.reduced(root)) and self.lane[0] not in reduced
            for root in self.folds
        )

    @cached_property
    def jam(self) -> tuple[int, ...] | None:
        """The loop of which several turns are done at once, as they read the same."""
        if not self.folds or self.operations > 6 or self.calls_functions or self.lane is None:
            return None
        before = self.order[: self.order.index(self.lane)]
        return before[-1] if before and self.length(before[-1]) > 1 else None

    def boxes(self) -> list[Box]:
        """The parts of the space in which the same is computed."""
        ranges = []
        for group in self.order:
            n = self.length(group)
            ends = {0, n, *self.cuts.get(group[-1], ())}
            if group is self.jam and n > ROWS:
                ends.add(n - n % ROWS)
            found = sorted(ends)
            ranges.append(list(itertools.pairwise(found)))
        if math.prod(map(len, ranges)) > BOXES:
            raise NotNativeError("too many placed parts for one nest of loops")
        return [dict(zip(self.order, box, strict=True)) for box in itertools.product(*ranges)]

    def at_once(self, box: Box) -> int:
        """How many turns of the jammed loop are done at once."""
        if self.jam is None:
            return 1
        low, high = box[self.jam]
        return next(rows for rows in range(ROWS, 0, -1) if (high - low) % rows == 0)

    def chunk_of(self, box: Box) -> int:
        """How many turns of the outermost loop make a chunk."""
        if not self.order:
            return 1
        low, high = box[self.order[0]]  # all else is equal for boxes that make parts of one fold
        inner = math.prod([self.length(group) for group in self.order[1:]])
        turns = CHUNK // max(1, self.operations // 8) // max(inner, 1)
        first = self.order[0]
        least, unit = (256, 64) if first is self.lane else (1, 1)
        if first is self.jam:
            unit = self.at_once(box)
        parts = [r.target.array.size for r in self.folds if first[0] in self.reduced(r)]
        most = FEW_CHUNKS if max(parts, default=0) > MANY else CHUNKS
        turns = max(turns, least, -(-(high - low) // most))
        return min(-(-turns // unit) * unit, high - low)

    def nanoseconds(self, box: Box) -> float:
        """About how long a box takes."""
        elements = math.prod([high - low for low, high in box.values()])
        return elements * (self.operations + len(self.accesses)) * NANOSECONDS

    def targets(
        self, boxes: Sequence[Box], counts: Sequence[int]
    ) -> tuple[dict[Root, dict[int, Target]], list[Nest]]:
        """Where each root goes in each box that it is in; and what joins the parts of folds."""
        targets: dict[Root, dict[int, Target]] = {}
        after: list[Nest] = []
        for root in self.stage.roots:
            within = [k for k, box in enumerate(boxes) if self._is_in(root, box)]
            reduced = self.reduced(root)
            by_chunk = bool(self.order) and self.order[0][0] in reduced
            # Boxes that fold the same range are one part, and so is each of their chunks.
            ranges = {
                k: tuple([boxes[k][group] for group in self.order if group[0] in reduced])
                for k in within
            }
            sizes: dict[Any, int] = {}
            for k in within:
                size = counts[k] if by_chunk else 1
                if sizes.setdefault(ranges[k], size) != size:
                    raise InvariantError(f"{self.name}: boxes of one range have other chunks")
            slots = sum(sizes.values())
            if root.fold is None or slots == 1:
                targets[root] = {k: Target(self.target(root)) for k in within}
                continue
            kept = root.target.array
            memory = np.empty((slots, *kept.shape), kept.dtype)
            parts = placeholder(memory.shape, memory.dtype, "parts")
            view = self.lowering.keep_parts(parts, memory)
            one = Root(root.node, View(view.buffer, memory[0, ...]), root.fold, root.axes)
            starts = dict(zip(sizes, itertools.accumulate(sizes.values(), initial=0), strict=False))
            targets[root] = {
                k: Target(self.target(one), memory.strides[0], starts[ranges[k]], by_chunk)
                for k in within
            }
            stage = Stage([Root(parts, root.target, root.fold, (0,))], self.stage.level)
            after.append(Nest(self.lowering, stage, self.rules, f"{self.name}.join{len(after)}"))
        return targets, after

    def _is_in(self, root: Root, box: Box) -> bool:
        """Whether a root has elements in a box."""
        lengths = slim(root.node.shape)
        return all(low < lengths[group[0]] for group, (low, _) in box.items() if len(group) == 1)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a root goes in one box: to part `start`, or its chunks from there on, of parts that are
    `stride` bytes apart.
    """

    access: Access
    stride: int = 0
    start: int = 0
    by_chunk: bool = False
