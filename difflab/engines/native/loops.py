"""From a stage to loops: one function of LLVM's text for each box of its space.

What flows: a stage goes in; its space is cut into boxes where placed values begin and end, axes
that lie behind one another in all memory become one loop, one loop gets the lanes of vectors, and
the text of a function a box comes out. The invariants: a function computes one chunk of the
outermost loop, and chunks are the same whoever runs them; the last vector of a row overlaps the one
before, which changes no stored value, and its lanes that have been there are left out of folds; a
value is computed in the outermost loop that it depends on.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

import numpy as np

from difflab.engines.native.lowering import (
    At,
    Buffer,
    Index,
    Lowering,
    NotNativeError,
    Root,
    Stage,
    View,
    index_of,
    slim,
)
from difflab.engines.native.vectors import TYPES, Code, Page, Vector
from difflab.ir.expr import Expr, placeholder
from difflab.ir.row import CONSTANT, Fold
from difflab.table.movement import PLACE, Slice

KINDS: Final = {"float64": "f64", "float32": "f32", "int64": "i64", "bool": "i1"}
MEMORY: Final = {**TYPES, "i1": "i8"}
"""Kinds of elements as they lie in memory."""
BYTES: Final = {"f64": 8, "f32": 4, "i64": 8, "i1": 1}
PLAIN: Final = 8
"""Doubles in a vector where operations are cheap, and twice as many where functions are called."""
ROWS: Final = 4
"""Rows that are computed together where they share what they read."""
CHUNK: Final = 8192
"""Elements in a chunk at most."""
CHUNKS: Final = 512
"""Chunks at most."""
BOXES: Final = 64
NANOSECONDS: Final = 0.06
"""Of one operation on one element."""
PARALLEL: Final = 150_000.0
"""Nanoseconds of work from which on threads share a stage."""
Rules = Callable[[Expr], Any]
Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Access:
    """Memory in terms of a stage's axes: bytes from the buffer's beginning, and a step along."""

    buffer: Buffer
    offset: int
    strides: tuple[int, ...]
    kind: str


@dataclass(slots=True)
class Loop:
    """One loop of a nest, over some axes at once: only the last one's stride counts."""

    axes: tuple[int, ...]
    label: str
    step: int
    end: int | str
    var: str = ""
    """The index."""
    first: str = ""
    """Whether it is the first turn: an i1."""


@dataclass(slots=True)
class Call:
    """A function that was written, and how often it runs."""

    name: str
    chunks: int
    parallel: bool


@dataclass(slots=True)
class Nest:
    """A stage on its way to text."""

    lowering: Lowering
    stage: Stage
    rules: Rules
    name: str
    pages: list[Page] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    accesses: set[Access] = field(default_factory=set)
    cuts: dict[int, set[int]] = field(default_factory=dict)
    operations: int = 0
    calls_functions: bool = False
    narrow: bool = True
    """Whether all is in float32."""

    # -- what is read, and where ranges end --------------------------------------------------------

    def access(self, view: View, at: Index) -> Access:
        """A view's memory, at an index in terms of the stage's axes."""
        strides = [0] * len(self.stage.lengths)
        offset = view.offset
        for i, stride in zip(at, view.array.strides, strict=True):
            offset += i.offset * stride
            if i.axis >= 0:
                strides[i.axis] += i.step * stride
        return Access(view.buffer, offset, tuple(strides), KINDS[view.array.dtype.name])

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

    def look(self) -> None:
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

    def boxes(self) -> list[dict[tuple[int, ...], Range]]:
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

    def chunk_of(self, box: Mapping[tuple[int, ...], Range]) -> int:
        """How many turns of the outermost loop make a chunk."""
        if not self.order:
            return 1
        low, high = box[self.order[0]]
        inner = math.prod([b - a for group, (a, b) in box.items() if group is not self.order[0]])
        turns = CHUNK // max(1, self.operations // 8) // max(inner, 1)
        least, unit = (256, 64) if self.order[0] is self.lane else (1, ROWS)
        turns = max(turns, least, -(-(high - low) // CHUNKS))
        return min(-(-turns // unit) * unit, high - low)

    def write(self) -> list[Nest]:
        """Write all boxes; the nests that join the parts of folds come out."""
        self.look()
        boxes = self.boxes()
        chunks = []
        for box in boxes:
            size = self.chunk_of(box)
            low, high = box[self.order[0]] if self.order else (0, 1)
            chunks.append((size, -(-(high - low) // size)))
        targets, after = self._targets(boxes, [count for _, count in chunks])
        for k, (box, (size, count)) in enumerate(zip(boxes, chunks, strict=True)):
            work = math.prod([b - a for a, b in box.values()]) * self.operations * NANOSECONDS
            name = f"{self.name}.{k}"
            own = {root: target[k] for root, target in targets.items() if k in target}
            writer = Writer(self, box, own, size, count)
            self.texts.append(writer.function(name))
            self.pages.append(writer.code.page)
            self.calls.append(Call(name, count, work > PARALLEL and count > 1))
        return after

    def _targets(
        self, boxes: Sequence[Any], counts: Sequence[int]
    ) -> tuple[dict[Root, dict[int, Target]], list[Nest]]:
        """Where each root goes in each box that it is in; and what joins the parts of folds."""
        targets: dict[Root, dict[int, Target]] = {}
        after = []
        for root in self.stage.roots:
            within = [k for k, box in enumerate(boxes) if self._is_in(root, box)]
            slots = sum([counts[k] for k in within])
            if root.fold is None or slots == 1 or not self._is_split(root, boxes, counts):
                targets[root] = {k: Target(self.target(root)) for k in within}
                continue
            kept = root.target.array
            memory = np.empty((slots, *kept.shape), kept.dtype)
            parts = placeholder(memory.shape, memory.dtype, "parts")
            view = self.lowering.keep_parts(parts, memory)
            one = Root(root.node, View(view.buffer, memory[0, ...]), root.fold, root.axes)
            starts = [0, *itertools.accumulate([counts[k] for k in within])]
            targets[root] = {
                k: Target(self.target(one), memory.strides[0], start)
                for k, start in zip(within, starts, strict=False)
            }
            stage = Stage([Root(parts, root.target, root.fold, (0,))], self.stage.level)
            after.append(Nest(self.lowering, stage, self.rules, f"{self.name}.join{len(after)}"))
        return targets, after

    def _is_in(self, root: Root, box: Mapping[tuple[int, ...], Range]) -> bool:
        """Whether a root has elements in a box."""
        lengths = slim(root.node.shape)
        return all(low < lengths[group[0]] for group, (low, _) in box.items() if len(group) == 1)

    def _is_split(self, root: Root, boxes: Sequence[Any], counts: Sequence[int]) -> bool:
        """Whether several boxes or chunks have a part of the same result."""
        reduced = self.reduced(root)
        cut = [group for group in self.order if len({box[group] for box in boxes}) > 1]
        if not any(group[0] in reduced for group in cut) and (
            max(counts) == 1 or self.order[0][0] not in reduced
        ):
            return False
        if any(group[0] not in reduced for group in cut):
            raise NotNativeError("a fold that is cut along the axes that it keeps, too")
        return True


@dataclass(frozen=True, slots=True)
class Target:
    """Where a root goes in one box: a chunk's part is `stride` bytes behind the one before."""

    access: Access
    stride: int = 0
    start: int = 0


def is_number(node: Expr) -> bool:
    """Whether it is one number for good."""
    return node.primitive is CONSTANT and node.size == 1 and node.is_fixed


class Writer:
    """Writes the function of one box."""

    def __init__(
        self,
        nest: Nest,
        box: Mapping[tuple[int, ...], Range],
        targets: Mapping[Root, Target],
        chunk: int,
        chunks: int,
    ) -> None:
        self.nest, self.box, self.targets = nest, box, targets
        self.chunk, self.chunks = chunk, chunks
        low, high = (0, 1) if nest.lane is None else box[nest.lane]
        lanes = chunk if nest.lane is not None and nest.lane is nest.order[0] else high - low
        self.code = Code(nest.width(lanes), contracts=True)
        self.width = self.code.width
        self.loops: list[Loop] = []
        self.single: dict[int, int | str] = {}
        """Axes whose loops run once, and the index there."""
        self.levels: list[tuple[list[str], str]] = []
        self.known: dict[Any, Any] = {}
        self.folds: list[Folding] = []
        self.jammed = 1
        self.mask: Vector | None = None
        """The lanes that no vector before has computed; None: all."""

    # -- levels ------------------------------------------------------------------------------------

    @contextmanager
    def at_level(self, level: int) -> Iterator[None]:
        """Lines written inside go before the loop of that number begins."""
        page = self.code.page
        if level >= len(self.loops):
            yield
            return
        mine = page.lines, page.block
        page.lines, page.block = self.levels[level]
        try:
            yield
        finally:
            self.levels[level] = page.lines, page.block
            page.lines, page.block = mine

    def level_of(self, at: Index) -> int:
        """The number of loops that an index depends on."""
        axes = {i.axis for i in at if i.axis >= 0}
        depths = [k + 1 for k, loop in enumerate(self.loops) if axes & set(loop.axes)]
        return max(depths, default=0)

    # -- the function ------------------------------------------------------------------------------

    def function(self, name: str) -> str:
        """Its text."""
        for k, group in enumerate(self.nest.order):
            self._open(group, k == 0 and self.chunks > 1)
        for root in self.targets:
            for turn in range(self.jammed):
                self._take(root, turn)
        self._finish()
        while self.loops:
            self._close()
        return (
            f"define internal void @{name}(ptr noalias %frame, i64 %chunk) noinline {{\n"
            f"entry:\n{self.code.text}\n  ret void\n}}\n"
        )

    def _open(self, group: tuple[int, ...], chunked: bool) -> None:
        """Begin a loop: its lines wait for `_close`."""
        code, page, is_lane = self.code, self.code.page, group is self.nest.lane
        low, high = self.box[group]
        start: str | int = low
        end: str | int = high - low
        step = self.width if is_lane else 1
        if group is self.nest.jam:
            step = self.jammed = next(u for u in (ROWS, 3, 2, 1) if (high - low) % u == 0)
        if chunked:
            start, end = self._chunk_range(low, high, is_lane)
        overlaps = is_lane and not isinstance(end, str) and end % step != 0
        masked = overlaps or (is_lane and chunked and (high - low) % self.chunk != 0)
        if end == step:
            self.single[group[-1]] = start
            if masked:
                self._frontier(start, start, low, chunked)
            return
        self.levels.append((page.lines, page.block))
        label = page.block = code.fresh("loop")
        page.lines = []
        turn = inside = f"%{label}.k"
        if overlaps:
            assert isinstance(end, int)
            inside = self._smaller(turn, end - step)
        loop = Loop(group, label, step, end)
        loop.first = code.raw(f"icmp eq i64 {turn}, 0")
        loop.var = inside if start == 0 else code.raw(f"add i64 {inside}, {start}")
        self.loops.append(loop)
        if masked:
            frontier = turn if start == 0 else code.raw(f"add i64 {turn}, {start}")
            self._frontier(frontier, loop.var, low, chunked)

    def _chunk_range(self, low: int, high: int, is_lane: bool) -> tuple[str, int | str]:
        """Where a chunk begins, and its length: the last overlaps the one before, or is shorter."""
        code, length = self.code, high - low
        begin = code.raw(f"mul i64 %chunk, {self.chunk}")
        if is_lane:
            moved = self._smaller(begin, length - self.chunk)
            return code.raw(f"add i64 {moved}, {low}"), self.chunk
        left = code.raw(f"sub i64 {length}, {begin}")
        return code.raw(f"add i64 {begin}, {low}"), self._smaller(left, self.chunk)

    def _smaller(self, a: str, b: int | str) -> str:
        less = self.code.raw(f"icmp slt i64 {a}, {b}")
        return self.code.raw(f"select i1 {less}, i64 {a}, i64 {b}")

    def _frontier(self, frontier: str | int, var: str | int, low: int, chunked: bool) -> None:
        """Mask the lanes before the frontier, or before the chunk's own beginning."""
        code, w = self.code, self.width
        if chunked:
            begin = code.raw(f"mul i64 %chunk, {self.chunk}")
            begin = code.raw(f"add i64 {begin}, {low}")
            more = code.raw(f"icmp sgt i64 {begin}, {frontier}")
            frontier = code.raw(f"select i1 {more}, i64 {begin}, i64 {frontier}")
        ahead = code.splat(code.raw(f"sub i64 {frontier}, {var}"), "i64")
        lanes = ", ".join(f"i64 {k}" for k in range(w))
        here = Vector(code, f"<{lanes}>" if w > 1 else "0", "i64")
        self.mask = here >= ahead

    def _close(self) -> None:
        """End the innermost loop: its lines follow those before it."""
        code, page, loop = self.code, self.code.page, self.loops.pop()
        depth, label = len(self.loops), loop.label
        body, last = page.lines, page.block
        page.lines, page.block = self.levels.pop()
        before = page.block
        code.do(f"br label %{label}")
        page.lines.append(f"{label}:")
        code.do(f"%{label}.k = phi i64 [0, %{before}], [%{label}.next, %{last}]")
        for fold in self.folds:
            if depth in fold.sums:
                code.do(
                    f"{fold.sums[depth]} = phi {fold.identity.type}"
                    f" [{fold.sums.get(depth - 1, fold.identity.name)}, %{before}],"
                    f" [{fold.value.name}, %{last}]"
                )
        page.lines += body
        code.do(f"%{label}.next = add i64 %{label}.k, {loop.step}")
        code.do(f"%{label}.more = icmp slt i64 %{label}.next, {loop.end}")
        code.do(f"br i1 %{label}.more, label %{label}, label %{label}.end")
        code.label(f"{label}.end")
        self._finish()

    # -- roots -------------------------------------------------------------------------------------

    def _take(self, root: Root, turn: int) -> None:
        """Compute a root at the loops' indices, and store it or take it into its fold."""
        nest, access = self.nest, self.targets[root].access
        at = index_of(root.node.shape)
        reduced = nest.reduced(root)
        again = None
        if turn:
            assert nest.jam is not None
            axis = nest.jam[-1]
            at = tuple([i + turn if i.axis == axis else i for i in at])
            access = replace(access, offset=access.offset + turn * access.strides[axis])
            if axis in reduced:
                again = next(fold for fold in self.folds if fold.root is root)
        value = self.value(root.node, at)
        if root.fold is None:
            self._store(access, value)
            return
        if self.mask is not None and nest.lane is not None and nest.lane[0] in reduced:
            value = self.mask.choose(value, root.fold.identity)
        if again is not None:
            again.value = root.fold.combine(self.code, again.value, value)
            return
        fold = Folding(root, access, self.code.constant(root.fold.identity, value.kind), value)
        fold.depth = len(self.loops)
        while fold.depth and self.loops[fold.depth - 1].axes[0] in reduced:
            fold.depth -= 1
        fold.sums = {k: f"%{self.code.fresh('sum')}" for k in range(fold.depth, len(self.loops))}
        if fold.sums:
            inner = Vector(self.code, fold.sums[max(fold.sums)], value.kind)
            fold.value = root.fold.combine(self.code, inner, value)
        self.folds.append(fold)

    def _finish(self) -> None:
        """Folds whose loops have ended go to memory, or are taken into what is there."""
        for fold in self.folds:
            if fold.depth == len(self.loops) and not fold.is_stored:
                fold.is_stored = True
                self._put(fold)

    def _put(self, fold: Folding) -> None:
        code, root, value = self.code, fold.root, fold.value
        assert root.fold is not None
        reduced, target = self.nest.reduced(root), self.targets[root]
        across = self.nest.lane is not None and self.nest.lane[0] in reduced
        if across:
            value = self._across(value, root.fold)
        outer = [loop.first for loop in self.loops if loop.axes[0] in reduced]
        if outer:
            first = outer[0]
            for other in outer[1:]:
                first = code.raw(f"and i1 {first}, {other}")
            old = self._load(fold.access, target, value.code)
            identity = value.code.constant(root.fold.identity, value.kind)
            begun = value.code.emit(f"select i1 {first}, {identity}, {old}", value.kind)
            value = root.fold.combine(value.code, begun, value)
            if self.mask is not None and not across:
                value = self.mask.choose(value, old)
        self._store(fold.access, value, target)

    def _across(self, value: Vector, fold: Fold) -> Vector:
        """The lanes folded into one: halves onto halves."""
        code = value.code
        while code.width > 1:
            half = code.of_width(code.width // 2)
            both = [value.part(half, first) for first in (0, half.width)]
            value, code = fold.combine(half, *both), half
        return value

    # -- values ------------------------------------------------------------------------------------

    def value(self, node: Expr, at: Index) -> Vector:
        """A node's value at an index, computed in the outermost loop that it depends on."""
        key = node, at
        if key not in self.known:
            with self.at_level(self.level_of(at)):
                self.known[key] = self._computed(node, at)
        found: Vector = self.known[key]
        return found

    def _computed(self, node: Expr, at: Index) -> Vector:
        nest, kind = self.nest, KINDS[node.dtype.name]
        if is_number(node):
            return self.code.constant(node.value.item(), kind)
        access = nest.memory(node, at)
        if access is not None:
            return self._load(access)
        if node.primitive.view:
            return self.value(node.operands[0], nest.operand_index(node, at))
        if node.primitive is PLACE:
            if self._is_inside(node, at):
                return self.value(node.operands[0], nest.placed_index(node, at))
            return self.code.constant(0, kind)
        operands = [self.value(x, at if x.shape else ()) for x in node.operands]
        found: Vector = nest.rules(node)(self.code, *operands)
        return found

    def _is_inside(self, node: Expr, at: Index) -> bool:
        """Whether a placed value is there in this box, else zero."""
        for i, start, stop in self.nest.ranges(node, at):
            group = next((g for g in self.nest.order if i.axis in g), None)
            low = i.offset + (self.box[group][0] if group is not None else 0)
            if not start <= low < stop:
                return False
        return True

    # -- memory ------------------------------------------------------------------------------------

    def _pointer(self, access: Access, target: Target | None) -> str:
        """The address of an access at the loops' indices."""
        code = self.code
        buffer, offset = access.buffer.number, access.offset
        stride = target.stride if target is not None else 0
        key: tuple[Any, ...] = ("pointer", buffer, stride and target)
        if key not in self.known:
            with self.at_level(0):
                slot = code.raw(f"getelementptr ptr, ptr %frame, i64 {buffer}")
                pointer = code.raw(f"load ptr, ptr {slot}")
                if target is not None and stride:
                    number = code.raw(f"add i64 %chunk, {target.start}")
                    pointer = self._moved(pointer, number, stride)
                self.known[key] = pointer
        pointer = self.known[key]
        for axis, var in self.single.items():
            if isinstance(var, int):
                offset += var * access.strides[axis]
            elif access.strides[axis]:
                key = (*key, "single", access.strides[axis])
                pointer = self._stepped(key, 0, pointer, var, access.strides[axis])
        for depth, loop in enumerate(self.loops):
            along = access.strides[loop.axes[-1]]
            if along:
                key = (*key, depth, along)
                pointer = self._stepped(key, depth + 1, pointer, loop.var, along)
        return code.raw(f"getelementptr i8, ptr {pointer}, i64 {offset}") if offset else pointer

    def _stepped(self, key: Any, level: int, pointer: str, var: str, stride: int) -> str:
        if key not in self.known:
            with self.at_level(level):
                self.known[key] = self._moved(pointer, var, stride)
        found: str = self.known[key]
        return found

    def _moved(self, pointer: str, number: str, stride: int) -> str:
        bytes_ = self.code.raw(f"mul i64 {number}, {stride}")
        return self.code.raw(f"getelementptr i8, ptr {pointer}, i64 {bytes_}")

    def _lane_stride(self, access: Access) -> int:
        return 0 if self.nest.lane is None else access.strides[self.nest.lane[-1]]

    def _load(
        self, access: Access, target: Target | None = None, code: Code | None = None
    ) -> Vector:
        """What is there, for all lanes; only for one where the code is of one."""
        code = code or self.code
        kind, w = access.kind, code.width
        pointer, stride = self._pointer(access, target), self._lane_stride(access)
        type_, align = MEMORY[kind], f"align {BYTES[kind]}"
        if w == 1:
            name = code.raw(f"load {type_}, ptr {pointer}, {align}")
        elif stride == BYTES[kind]:
            name = code.raw(f"load <{w} x {type_}>, ptr {pointer}, {align}")
        elif stride == 0:
            one = code.raw(f"load {type_}, ptr {pointer}, {align}")
            name = code.splat(one, "i8" if kind == "i1" else kind).name
        else:
            name = "poison"
            for k in range(w):
                place = code.raw(f"getelementptr i8, ptr {pointer}, i64 {k * stride}")
                one = code.raw(f"load {type_}, ptr {place}, {align}")
                name = code.raw(f"insertelement <{w} x {type_}> {name}, {type_} {one}, i64 {k}")
        return Vector(code, name, "i8").differs(0) if kind == "i1" else Vector(code, name, kind)

    def _store(self, access: Access, value: Vector, target: Target | None = None) -> None:
        code, kind, w = value.code, access.kind, value.code.width
        pointer, stride = self._pointer(access, target), self._lane_stride(access)
        if kind == "i1":
            value = code.emit(f"zext {value} to {code.type('i8')}", "i8")
        type_, align = MEMORY[kind], f"align {BYTES[kind]}"
        if w == 1 or stride == BYTES[kind]:
            code.do(f"store {value}, ptr {pointer}, {align}")
            return
        for k in range(w):
            one = code.raw(f"extractelement {value}, i64 {k}")
            place = code.raw(f"getelementptr i8, ptr {pointer}, i64 {k * stride}")
            code.do(f"store {type_} {one}, ptr {place}, {align}")


@dataclass(slots=True, eq=False)
class Folding:
    """A fold in the making."""

    root: Root
    access: Access
    identity: Vector
    value: Vector
    depth: int = 0
    """The number of loops outside it."""
    sums: dict[int, str] = field(default_factory=dict)
    """The accumulator of each loop inside it, by the loop's number."""
    is_stored: bool = False
