"""From a graph to steps: which values are kept in memory, and which loops compute them.

What flows: the nodes of a graph go in, and `Step`s come out, in the order in which they run. Most
are `Stage`s: one nest of loops over one space of indices, in which all that has this shape is
computed together and nothing but its `Root`s leaves the registers. The invariants: a stage reads
memory that earlier steps have filled, and no step writes memory twice (a placed array is zeroed
before). Memory is spoken of by NumPy's own views: an array that is never touched stands for a
buffer, and its views' strides and offsets are those of the buffer's.

What is kept: results of reductions and products, outputs, what is repeated along an axis, and what
several stages would have to compute again at a cost.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

import numpy as np

from difflab.engines.native.memory import (
    Buffer,
    View,
    is_leaf,
    is_number,
    is_shift,
    slim,
    viewed,
)
from difflab.ir.expr import Array, Expr, Graph, walk
from difflab.ir.fused import Fold, InRows
from difflab.ir.row import CONSTANT
from difflab.table.algebra import MATMUL
from difflab.table.movement import PLACE, Slice

CHEAP: Final = 8
"""Operations that are rather done again than stored and read."""
CALL: Final = 20
"""What a function counts, in operations."""
INLINE_PRODUCT: Final = 2**18
"""Multiplications up to which a matrix product is part of other loops; larger ones are tiles."""
INLINE_PRODUCT_ACROSS: Final = 2**11
"""The same where the right matrix is read against the order of its elements."""
NEAR: Final = 4
"""By how much the lengths of two spaces may differ for one nest of loops to do both."""
LONG: Final = 64


class NotNativeError(Exception):
    """A graph that is left to the NumPy engine, and why."""


@dataclass(slots=True, eq=False)
class Root:
    """A value that leaves the registers: every element, or folded over some axes."""

    node: Expr
    """What is computed for every index."""
    target: View
    """Where it goes; a fold's has the axes that are left."""
    fold: Fold | None = None
    axes: tuple[int, ...] = ()
    """The axes of the node that a fold takes together."""


@dataclass(slots=True, eq=False)
class Stage:
    """Roots that one nest of loops computes."""

    roots: list[Root]
    level: int

    @property
    def lengths(self) -> tuple[int, ...]:
        """The space of indices: the longest of the roots' along each axis."""
        return tuple([max(n) for n in zip(*[slim(r.node.shape) for r in self.roots], strict=True)])


@dataclass(slots=True, eq=False)
class Product:
    """A matrix product in tiles."""

    a: View
    b: View
    out: View
    level: int


@dataclass(slots=True, eq=False)
class Zeros:
    """Memory made zero."""

    target: View
    level: int


Step = Stage | Product | Zeros


def in_other_rows(graph: Graph) -> Graph:
    """The graph with what is made of other rows, and small products, written out."""

    def associated(node: Expr, operands: list[Expr]) -> Expr:
        if node.primitive is MATMUL:
            return _scaled_last(*operands)
        return Expr(node.primitive, tuple(operands), node.params) if operands else node

    def rule(node: Expr, operands: list[Expr]) -> Expr:
        row, params = node.primitive, dict(node.params)
        if not operands:
            return node
        if isinstance(row.native, InRows):
            made: Expr = row.native.rule(*operands, **params)
            return made
        if row is MATMUL and _is_inline(*operands):
            return _written_out(*operands)
        if row.kind == "movement" and row.elements == "moved" and len(operands) > 1:
            operands = [x for x in operands if x.size] or operands
        return Expr(row, tuple(operands), node.params)

    outputs = graph.outputs
    for each in (associated, rule):
        outputs = tuple(walk(outputs, {x: x for x in graph.inputs}, each))
    found = Graph(graph.inputs, outputs)
    if any(node.size == 0 for node in found.nodes):
        raise NotNativeError("some arrays are empty")
    return found


def _scaled_last(a: Any, b: Any) -> Expr:
    """A product; where a factor is a vector times a number, the number comes last, so that the
    matrix may be read together with another product's.
    """
    found: Expr
    if b.primitive is MATMUL and b.operands[1].size == 1 < min(a.shape[-2:]):
        v, number = b.operands
        found = _scaled_last(a, v) @ number
    elif a.primitive is MATMUL and a.operands[0].size == 1 < min(b.shape[-2:]):
        number, v = a.operands
        found = number @ _scaled_last(v, b)
    else:
        found = a @ b
    return found


def _is_inline(a: Expr, b: Expr) -> bool:
    (m, k), n = a.shape[-2:], b.shape[-1]
    largest = INLINE_PRODUCT if _is_along_rows(b) else INLINE_PRODUCT_ACROSS
    return m * k * n <= largest or min(m, n, k) == 1


def _is_along_rows(x: Expr) -> bool:
    """Whether a row's elements lie behind one another in memory."""
    if not x.primitive.view:
        return True
    (inner,) = x.operands
    return viewed(x, np.empty(inner.shape, x.dtype)).strides[-1] == x.dtype.itemsize


def _written_out(a: Any, b: Any) -> Expr:
    """A product as a sum of products, in the order in which its matrix lies."""
    if a.shape[-1] == 1:
        outer: Expr = a * b
        return outer
    (m, k), n = a.shape[-2:], b.shape[-1]
    found: Any
    if a.ndim == 2 and n == 1 < m and not _is_along_rows(a):
        found = np.sum(np.swapaxes(a, 0, 1) * np.broadcast_to(b, (k, m)), 0).reshape(m, 1)
    elif a.ndim == 2 and m == 1 < n and not _is_along_rows(b):
        found = np.sum(np.broadcast_to(a, (n, k)) * np.swapaxes(b, 0, 1), 1).reshape(1, n)
    else:
        shape = (*a.shape, n)
        left = np.broadcast_to(a[..., None], shape)
        found = np.sum(left * np.broadcast_to(b[..., None, :, :], shape), -2)
    return cast(Expr, found)


@dataclass(slots=True)
class Lowering:
    """One graph on its way to steps."""

    graph: Graph
    places_inline: bool = True
    """Whether placed values may be ranges in the loops of their users."""
    buffers: list[Buffer] = field(default_factory=list)
    homes: dict[Expr, View] = field(default_factory=dict)
    """Where kept values are."""
    kept: set[Expr] = field(default_factory=set)
    level: dict[Expr, int] = field(default_factory=dict)
    """The first level of steps at which a node can be computed."""
    weight: dict[Expr, int] = field(default_factory=dict)
    """Operations that it costs to compute a node of what is kept."""
    users: dict[Expr, list[Expr]] = field(default_factory=lambda: defaultdict(list))
    steps: list[Step] = field(default_factory=list)
    placed: set[Expr] = field(default_factory=set)
    """Placements that are computed where they are used, not in memory."""

    def run(self) -> list[Step]:
        """The steps, in order."""
        nodes = [*self.graph.nodes]
        for node in nodes:
            for operand in node.operands:
                self.users[operand].append(node)
        for buffered, kind in ((self.graph.inputs, "input"), (self.graph.outputs, "output")):
            for x in buffered:
                self._buffer(kind, np.empty(x.shape, x.dtype))
        for x, buffer in zip(self.graph.inputs, self.buffers, strict=False):
            self.homes[x] = View(buffer, buffer.memory)
        self._choose(nodes)
        self._share(nodes)
        self._levels(nodes)
        self._place_in_memory(nodes)
        stages = [*self._roots(nodes)]
        self.steps += _grouped(stages)
        self.steps.sort(key=lambda step: (step.level, not isinstance(step, Zeros)))
        return self.steps

    def _buffer(self, kind: str, memory: Array) -> Buffer:
        self.buffers.append(Buffer(kind, memory, len(self.buffers)))
        return self.buffers[-1]

    # -- what is kept ------------------------------------------------------------------------------

    def _choose(self, nodes: Sequence[Expr]) -> None:
        """What must be kept, or is repeated along an axis."""
        for node in nodes:
            if is_leaf(node):
                self.weight[node] = 0
                continue
            row = node.primitive
            if row is PLACE and self._is_inline_place(node):
                self.placed.add(node)
            if row.kind == "pointwise":
                own = 1 if callable(row.native) else CALL
                self.weight[node] = own + sum([self.weight[x] for x in node.operands])
            elif row.view:
                self._read_elsewhere(node)
            elif node in self.placed:
                (x,) = node.operands
                if self.weight[x] > 2 * CHEAP:
                    self._keep_base(x)
                self.weight[node] = self.weight[x] + 1
            else:
                self.weight[node] = 0
                self.kept.add(node)
                if row is MATMUL:
                    for x in node.operands:
                        self._keep(x) if is_number(self._base(x)) else self._keep_base(x)
        for out in self.graph.outputs:
            if out.primitive.kind == "pointwise":
                self._keep(out)

    def _is_inline_place(self, node: Expr) -> bool:
        """Whether it can be a choice of ranges in the loops of its users."""
        index = dict(node.params)["index"]
        return (
            self.places_inline
            and all(part.step in (None, 1) for part in index if isinstance(part, Slice))
            and all(user.primitive.kind == "pointwise" for user in self.users[node])
        )

    def _read_elsewhere(self, node: Expr) -> None:
        """A view: where the operand is computed, it may be read at other places, or many times."""
        (x,) = node.operands
        regrouped = node.primitive.shaping == "regroups" and slim(x.shape) != slim(node.shape)
        repeated = node.primitive.shaping == "repeats" and node.size > x.size
        dear = self.weight[x] > 2 * CHEAP or repeated or not is_shift(node)
        if regrouped or (self.weight[x] and dear):
            self._keep_base(x)
        if regrouped and self._shadow(node) is None:
            self._keep(x)  # in the order of its elements
        self.weight[node] = self.weight[x]

    def _base(self, x: Expr) -> Expr:
        """What a view shows: a value that is computed, kept or given."""
        while x.primitive.view and x not in self.kept:
            x = x.operands[0]
        return x

    def _shadow(self, x: Expr) -> Array | None:
        """An array with the strides that a kept value, or a view of one, will have."""
        if not x.primitive.view or x in self.kept:
            return x.value if x.primitive is CONSTANT else np.empty(x.shape, x.dtype)
        inner = self._shadow(x.operands[0])
        found = None if inner is None else viewed(x, inner)
        return found if found is not None and np.may_share_memory(found, inner) else None

    def _keep_base(self, x: Expr) -> None:
        """Keep what a view shows."""
        self._keep(self._base(x))
        while x.primitive.view:
            self.weight[x] = 0
            x = x.operands[0]

    def _keep(self, node: Expr) -> None:
        if not is_leaf(node):
            self.placed.discard(node)
            self.kept.add(node)
            self.weight[node] = 0

    def _levels(self, nodes: Sequence[Expr]) -> None:
        self.level.clear()
        for node in nodes:
            elsewhere = node.primitive is MATMUL or node in self.placed
            after = [
                self._read(self._base(x)) if elsewhere else self._after(x) for x in node.operands
            ]
            self.level[node] = max(after, default=0)

    def _after(self, x: Expr) -> int:
        """The level at which a user in loops of x's shape can be computed."""
        if x.primitive.kind == "pointwise":
            return self.level[x]
        return self._read(self._base(x))

    def _read(self, base: Expr) -> int:
        """The level at which a value can be read at any place."""
        return self.level[base] + (base in self.kept)

    def _share(self, nodes: Sequence[Expr]) -> None:
        """Keep what more than one stage would compute, if that costs more than reading it."""
        self._levels(nodes)
        stages: dict[Expr, set[Any]] = defaultdict(set)
        outputs = frozenset(self.graph.outputs)
        for node in [*self.graph.outputs, *reversed(nodes)]:
            row, own = node.primitive, stages[node]
            expensive = row.kind == "pointwise" and self.weight[node] > CHEAP
            if len(own) > 1 and expensive and node not in self.kept:
                self._keep(node)
            if node in self.kept or node in outputs:
                own = {(self.level[node], slim(node.shape))}
            for x in node.operands:
                if isinstance(row.native, Fold):
                    stages[x].add((self.level[node], slim(x.shape)))
                elif row is not MATMUL:
                    stages[x] |= own

    # -- memory ------------------------------------------------------------------------------------

    def _place_in_memory(self, nodes: Sequence[Expr]) -> None:
        """Homes: an output's own memory where there is one."""
        first = len(self.graph.inputs)
        for out, buffer in zip(self.graph.outputs, self.buffers[first:], strict=False):
            base = out
            while base.primitive.shaping == "regroups":
                base = base.operands[0]
            if base in self.kept and base not in self.homes:
                self.homes[base] = View(buffer, buffer.memory.reshape(base.shape))
        for node in nodes:
            if node.primitive is CONSTANT and not is_number(node):
                self.homes[node] = self._constant(node)
            elif node in self.kept and node not in self.homes:
                memory = np.empty(node.shape, node.dtype)
                self.homes[node] = View(self._buffer("scratch", memory), memory)

    def _constant(self, node: Expr) -> View:
        value = node.value
        if not (value.flags.aligned and value.dtype.isnative):
            raise NotNativeError("an array that is not aligned is left to NumPy")
        return View(self._buffer("constant", value), value)

    def is_ready(self, node: Expr, level: int) -> bool:
        """Whether steps before that level have left a value in memory."""
        return is_leaf(node) or (node in self.kept and self.level[node] < level)

    def view(self, node: Expr, level: int) -> View | None:
        """The memory in which a value is at that level; None where it is in none."""
        if self.is_ready(node, level):
            return self.homes.get(node)  # a number is in none
        if not node.primitive.view:
            return None
        inner = self.view(node.operands[0], level)
        return None if inner is None else inner.shows(viewed(node, inner.array))

    def scratch(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> View:
        """Memory for what a step needs while it runs."""
        memory = np.empty(shape, dtype)
        return View(self._buffer("scratch", memory), memory)

    def keep_parts(self, parts: Expr, memory: Array) -> View:
        """Memory for the parts of a fold."""
        self.homes[parts] = View(self._buffer("scratch", memory), memory)
        return self.homes[parts]

    # -- steps -------------------------------------------------------------------------------------

    def _roots(self, nodes: Sequence[Expr]) -> Iterable[tuple[int, Root]]:
        for node in nodes:
            row, params, level = node.primitive, dict(node.params), self.level[node]
            if node not in self.kept:
                continue
            home = self.homes[node]
            if row.kind == "pointwise" or row.view:
                yield level, Root(node, home)
            elif isinstance(row.native, Fold):
                axes = tuple([axis % node.operands[0].ndim for axis in params["axes"]])
                yield level, Root(node.operands[0], home, row.native, axes)
            elif row is MATMUL:
                a, b = [self.view(x, level) for x in node.operands]
                assert a is not None and b is not None
                self.steps.append(Product(a, b, home, level))
            else:
                assert callable(row.native)
                parts = row.native(home.array, *node.operands, **params)
                if row is PLACE:
                    self.steps.append(Zeros(home, level))
                for x, part in zip(node.operands, parts, strict=True):
                    into = home.shows(part)
                    assert into is not None
                    yield level, Root(x, into)
        first = len(self.graph.inputs)
        for out, buffer in zip(self.graph.outputs, self.buffers[first:], strict=False):
            home_of = self.homes.get(self._regrouped(out))
            if home_of is None or home_of.buffer is not buffer:
                level = self._after(out)
                if out in self.kept:
                    level = self._read(out)
                yield level, Root(out, View(buffer, buffer.memory))

    def _regrouped(self, x: Expr) -> Expr:
        while x not in self.homes and x.primitive.shaping == "regroups":
            x = x.operands[0]
        return x


def _grouped(roots: Iterable[tuple[int, Root]]) -> list[Stage]:
    """Roots of one level and one space, or nearly one, go into one stage."""
    stages: list[Stage] = []
    by_level: dict[tuple[int, int], list[Stage]] = defaultdict(list)
    for level, root in sorted(roots, key=lambda found: -math.prod(found[1].node.shape)):
        lengths = slim(root.node.shape)
        near = by_level[level, len(lengths)]
        for stage in near:
            if _is_near(lengths, stage.lengths):
                stage.roots.append(root)
                break
        else:
            near.append(Stage([root], level))
            stages.append(near[-1])
    return stages


def _is_near(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return all(
        m == n or (min(m, n) >= LONG and abs(m - n) <= NEAR) for m, n in zip(a, b, strict=True)
    )
