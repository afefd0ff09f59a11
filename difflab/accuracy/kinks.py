"""Kinks: where the derivative, or the value, of a function jumps, and how near the next one is.

What flows: every row of the table says by its `kink` cell where its derivative jumps (the cell is
zero there). Nodes whose cell is zero at the point, or a derivative that is not finite there, are
suspects; the derivative is then enclosed from either side of the point, so near to it that no float
can tell. The invariant: a kink is reported only where the two sides differ, and every kink of the
table's rows at the point is found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from difflab.accuracy.subject import Subject
from difflab.errors import Line
from difflab.interpretations.balls import enclose_nodes, exact, midpoints, nudged
from difflab.interpretations.cotangents import pullback
from difflab.ir.expr import Array, Expr, Graph, constant, evaluate
from difflab.methods.automatic import derivative_blocks

BITS: Final = 128
NEARBY: Final = 1200
"""One-sided derivatives are read 2^-1200 away from the point: the difference is below any float."""
JUMP: Final = 2.0**-50
"""Two sides that differ by less than this, relatively, meet as far as floats can tell."""
STEEP: Final = 2.0**64
"""A derivative so near to a point where it is not finite that exceeds this tends to infinity."""
SIDED_COMPONENTS: Final = 64
NODES: Final = 8
"""Conditions whose slope is looked at for the nearest kink: those with the least values."""


@dataclass(frozen=True, slots=True)
class Kink:
    """A component along which the derivative (or the value, if `jump`) jumps."""

    component: str
    left: float
    right: float
    line: Line | None
    jump: bool = False

    def __str__(self) -> str:
        place = f" at {self.line}" if self.line else ""
        sides = f"{self.left!r} from the left, {self.right!r} from the right"
        return f"{'jump' if self.jump else 'kink'} in {self.component}{place}: {sides}"


@dataclass(frozen=True, slots=True)
class Sides:
    """The derivative from the left and from the right, block by block; NaN where not looked at."""

    left: list[Array]
    right: list[Array]
    kinks: tuple[Kink, ...]


@dataclass(frozen=True, slots=True)
class Nearest:
    """The nearest kink by a linear estimate: how far the point would have to move."""

    distance: float
    size: float
    """The size of the point, or 1 where that is less."""
    line: Line | None
    operation: str

    def __str__(self) -> str:
        place = f" at {self.line}" if self.line else ""
        return f"the kink of {self.operation}{place} is {self.distance:.2g} away"


def suspects(graph: Graph, arrays: Sequence[Any]) -> dict[Expr, Array]:
    """The nodes whose derivative may jump at the point, with the elements where a kink's condition
    is zero, in floats.
    """
    known = dict(zip(graph.inputs, map(exact, arrays), strict=True))
    kinked = [node for node in graph.operations if node.primitive.kink is not None]
    enclose_nodes([x for node in kinked for x in node.operands], known, BITS)
    found = {}
    for node in kinked:
        values = [midpoints(known[x]) for x in node.operands]
        rule = node.primitive.kink
        assert rule is not None
        with np.errstate(all="ignore"):
            zero = np.asarray(rule(*values, **dict(node.params)) == 0.0)
        if np.any(zero):
            found[node] = zero
    return found


def sides(subject: Subject, graph: Graph, found: Mapping[Expr, Array]) -> Sides:
    """The one-sided derivatives of the components that the suspects can bend (all: none given)."""
    shapes = subject.shapes([out.shape for out in graph.outputs])
    both = [[np.full(shape, np.nan) for shape in shapes] for _ in range(2)]
    line = next(iter(found)).line if found else None
    kinks = []
    width, rows = len(subject.wrt), len(shapes) // len(subject.wrt)
    for place, i in enumerate(subject.wrt):
        names = subject.elements(i)
        shape = np.shape(subject.arrays[i])
        views = {side: _View(subject, graph, i, side) for side in (-1, 1)}
        for index in _bent(subject, graph, i, found):
            left, right = (views[side].at(index) for side in (-1, 1))
            name = names[int(np.ravel_multi_index(index, shape)) if shape else 0]
            for row in range(rows):
                at: Any = (..., *index)
                for kept, seen in zip(both, (left, right), strict=True):
                    kept[row * width + place][at] = seen.derivatives[row][at]
            kinks += list(_compared(name, line, left, right))
    left_side, right_side = both
    return Sides(left_side, right_side, tuple(kinks))


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is seen from one side: the values, and derivatives by one input order by order."""

    values: list[Array]
    lower: list[Array]
    derivatives: list[Array]


class _View:
    """The derivatives by one input, as seen from one side of the point."""

    def __init__(self, subject: Subject, graph: Graph, i: int, side: int) -> None:
        self.subject, self.graph, self.i, self.side = subject, graph, i, side
        self.levels = None if graph.guards else self._levels(graph)

    def _levels(self, graph: Graph) -> list[list[Expr]]:
        first = derivative_blocks(graph, [self.i])
        if self.subject.order == 1:
            return [list(graph.outputs), [], first]
        every = graph.with_outputs(derivative_blocks(graph, self.subject.wrt))
        return [list(graph.outputs), first, derivative_blocks(every, [self.i])]

    def at(self, index: tuple[int, ...]) -> _Seen:
        """The derivative by the component of that index, and what it is the derivative of."""
        graph, levels = self.graph, self.levels
        if levels is None:  # Python may take another branch on that side
            near = [np.array(array) for array in self.subject.arrays]
            near[self.i][index] = np.nextafter(near[self.i][index], self.side * np.inf)
            graph = self.subject.traced(near)
            levels = self._levels(graph)
        point = [exact(array) for array in self.subject.arrays]
        point[self.i][index] = nudged(point[self.i][index], self.side, NEARBY)
        known = dict(zip(graph.inputs, point, strict=True))
        enclose_nodes([node for level in levels for node in level], known, 2 * NEARBY + BITS)
        values, lower, derivatives = ([midpoints(known[x]) for x in level] for level in levels)
        at: Any = (..., *index)
        steep = [np.where(np.abs(x) > STEEP, np.copysign(np.inf, x), x) for x in derivatives]
        return _Seen(values, [x[at] for x in lower], steep)


def differ(left: float, right: float) -> bool:
    """Whether two sides do not meet.

    >>> differ(1.0, 1.0 + 2**-52), differ(0.0, float("nan"))
    (False, True)
    """
    if np.isnan(left) or np.isnan(right):
        return not (np.isnan(left) and np.isnan(right))
    return left != right and not abs(left - right) <= JUMP * max(abs(left), abs(right))


def _compared(name: str, line: Line | None, left: _Seen, right: _Seen) -> Iterator[Kink]:
    """The kinks along one component: jumps of the value, else of the derivatives."""
    for a, b in _pairs(left.values, right.values):
        if np.isfinite([a, b]).all() and differ(a, b):
            yield Kink(name, a, b, line, jump=True)
            return
    for lower, upper in ((left.lower, right.lower), (left.derivatives, right.derivatives)):
        differing = [Kink(name, a, b, line) for a, b in _pairs(lower, upper) if differ(a, b)]
        if differing:
            yield from dict.fromkeys(differing)
            return


def _pairs(left: list[Array], right: list[Array]) -> Iterator[tuple[float, float]]:
    for a, b in zip(left, right, strict=True):
        yield from zip(a.ravel().tolist(), b.ravel().tolist(), strict=True)


def _bent(
    subject: Subject, graph: Graph, i: int, found: Mapping[Expr, Array]
) -> Iterator[tuple[int, ...]]:
    """The components of an input that move the suspects; all where there is none."""
    shape = np.shape(subject.arrays[i])
    moved = np.ones(shape, bool)
    rng = np.random.default_rng(0)  # weights without a pattern, so that nothing cancels
    operands: list[Expr] = []
    cotangents: list[Expr] = []
    for node, zero in found.items():
        for x in node.operands:
            if x.differentiable:
                pointwise = node.primitive.kind == "pointwise" and zero.shape == x.shape
                weights = rng.uniform(1.0, 2.0, x.shape) * (zero if pointwise else 1.0)
                operands.append(x)
                cotangents.append(constant(weights.astype(x.dtype)))
    if operands and np.size(moved) > 1:
        (ct,) = pullback(operands, cotangents, [graph.inputs[i]])
        if ct is None:
            return
        moved = np.asarray(_floats(graph, [ct], subject.arrays)[0]) != 0.0
    yield from [tuple(map(int, index)) for index in np.argwhere(moved)[:SIDED_COMPONENTS]]


def _floats(graph: Graph, nodes: Sequence[Expr], arrays: Sequence[Any]) -> list[Any]:
    return evaluate(nodes, dict(zip(graph.inputs, map(np.asarray, arrays), strict=True)))


def nearest(subject: Subject, graph: Graph) -> Nearest | None:
    """The nearest kink of an elementwise operation: its condition over the condition's slope."""
    inputs = [graph.inputs[i] for i in subject.wrt]
    conditions: dict[Expr, Expr] = {}
    for node in graph.operations:
        rule = node.primitive.kink
        if rule is not None and node.primitive.kind == "pointwise":
            condition = rule(*node.operands, **dict(node.params))
            if isinstance(condition, Expr) and condition.differentiable:
                conditions[condition] = node
    values = _floats(graph, list(conditions), subject.arrays)
    ranked = sorted(
        ((float(np.min(np.abs(v))), k) for k, v in enumerate(values) if np.size(v)),
    )[:NODES]
    point = [np.asarray(subject.arrays[i]).ravel() for i in subject.wrt]
    size = max(1.0, float(np.max(np.abs(np.concatenate(point)), initial=0.0)))
    best: Nearest | None = None
    for least, k in ranked:
        condition, node = list(conditions.items())[k]
        if not np.isfinite(least):
            continue
        peak = np.zeros(condition.shape, condition.dtype)
        peak.flat[int(np.argmin(np.abs(values[k])))] = 1.0
        slopes = [ct for ct in pullback([condition], [constant(peak)], inputs) if ct is not None]
        norms = [float(np.linalg.norm(s)) for s in _floats(graph, slopes, subject.arrays)]
        slope = float(np.hypot.reduce(norms)) if norms else 0.0
        if slope > 0.0 and (best is None or least / slope < best.distance):
            best = Nearest(least / slope, size, node.line, node.primitive.name)
    return best
