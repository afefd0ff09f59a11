"""From a nest to text: a function of LLVM's language for each box of a stage's space.

What flows: a nest and a box go in, and the text of a function comes out. The
invariants: a function computes one chunk of the outermost loop, and chunks are the same whoever
runs them; the last vector of a row overlaps the one before, which changes no stored value, and its
lanes that have been there are left out of folds; a value is computed in the outermost loop that it
depends on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from difflab.engines.native.kinds import BYTES, MEMORY, kind_of
from difflab.engines.native.lowering import Root
from difflab.engines.native.memory import Buffer, Index, index_of, is_number
from difflab.engines.native.nests import Access, Box, Nest, Target
from difflab.engines.native.vectors import Code, Vector
from difflab.errors import InvariantError
from difflab.ir.expr import Expr
from difflab.ir.fused import Fold
from difflab.table.movement import PLACE


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


class Writer:
    """Writes the function of one box."""

    def __init__(
        self,
        nest: Nest,
        box: Box,
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
        self.places: list[tuple[Buffer, int]] = []
        """What the function's context points to: buffers, and bytes from their beginning."""
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

    def body(self) -> str:
        """The text of a function, but for its name: boxes that differ by their memory are one."""
        for k, group in enumerate(self.nest.order):
            self._open(group, k == 0 and self.chunks > 1)
        for root in self.targets:
            for turn in range(self.jammed):
                self._take(root, turn)
        self._finish()
        while self.loops:
            self._close()
        return (
            "(ptr noalias %context, i64 %chunk) noinline {\n"
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
            step = self.jammed = self.nest.at_once(self.box)
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
        stack, plans = [(node, at)], {}
        while stack:
            key = stack[-1]
            if key not in self.known:
                if key not in plans:
                    plans[key] = self._plan(*key)
                rule, needs = plans[key]
                missing = [need for need in needs if need not in self.known]
                if missing:
                    stack += reversed(missing)
                    continue
                with self.at_level(self.level_of(key[1])):
                    self.known[key] = rule(*[self.known[need] for need in needs])
            stack.pop()
        found: Vector = self.known[node, at]
        return found

    def _plan(
        self, node: Expr, at: Index
    ) -> tuple[Callable[..., Vector], list[tuple[Expr, Index]]]:
        """How a value is computed, and of which others."""
        nest, kind = self.nest, kind_of(node.dtype)
        if is_number(node):
            return lambda: self.code.constant(node.value.item(), kind), []
        access = nest.memory(node, at)
        if access is not None:
            return lambda: self._load(access), []
        if node.primitive.view:
            return lambda x: x, [(node.operands[0], nest.operand_index(node, at))]
        if node.primitive is PLACE:
            if self._is_inside(node, at):
                return lambda x: x, [(node.operands[0], nest.placed_index(node, at))]
            return lambda: self.code.constant(0, kind), []
        rule = nest.rules(node)
        return lambda *x: rule(self.code, *x), [(x, at if x.shape else ()) for x in node.operands]

    def _is_inside(self, node: Expr, at: Index) -> bool:
        """Whether a placed value is there in this box, else zero."""
        for i, start, stop in self.nest.ranges(node, at):
            group = next((g for g in self.nest.order if i.axis in g), None)
            low = i.offset + (self.box[group][0] if group is not None else 0)
            if not start <= low < stop:
                return False
        return True

    # -- memory ------------------------------------------------------------------------------------

    def _check(self, access: Access, target: Target | None) -> None:
        """Raise `InvariantError` where some index of the box is outside the buffer."""
        first = last = access.offset
        for group, (low, high) in self.box.items():
            along = access.strides[group[-1]]
            top = high - (self.jammed if group is self.nest.jam else 1)
            first += min(along * low, along * top)
            last += max(along * low, along * top)
        if target is not None and target.stride:
            first += target.start * target.stride
            last += (target.start + target.by_chunk * (self.chunks - 1)) * target.stride
        low, high = access.buffer.reach
        if first < low or last + BYTES[access.kind] > high:
            raise InvariantError(f"{self.nest.name} reads or writes outside {access.buffer.kind}s")

    def _pointer(self, access: Access, target: Target | None) -> str:
        """The address of an access at the loops' indices."""
        self._check(access, target)
        code, buffer, offset = self.code, access.buffer.number, access.offset
        stride = target.stride if target is not None else 0
        key: tuple[Any, ...] = ("pointer", buffer, stride)
        if target is not None:
            offset += target.start * stride
        if key not in self.known:
            with self.at_level(0):
                slot = code.raw(f"getelementptr ptr, ptr %context, i64 {len(self.places)}")
                pointer = code.raw(f"load ptr, ptr {slot}")
                if target is not None and target.by_chunk:
                    pointer = self._moved(pointer, "%chunk", stride)
            self.places.append((access.buffer, offset))
            self.known[key] = pointer, offset
        pointer, first = self.known[key]
        offset -= first
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
