"""Kinks: where the derivative, or the value, of a function jumps, and how near the next one is.

What flows: what judges a function at a point says a `Kink` where the two sides differ (in germs,
derivative.py; by calls, estimate.py); every row of the table says by its `kink` cell where its
derivative jumps, and the nearest such point is estimated from the slope of that condition.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from difflab.accuracy.partials import Partial
from difflab.accuracy.subject import Subject, floats_at, numbers
from difflab.errors import Line
from difflab.ir.brief import one_line
from difflab.ir.expr import Expr, Graph, constant
from difflab.readings.cotangents import pullback

NODES: Final = 8
"""Conditions whose slope is looked at for the nearest kink: those with the least values."""


def at_line(line: Line | None) -> str:
    """A line after what happens there, where it is known."""
    return f" at {line}" if line else ""


@dataclass(frozen=True, slots=True)
class Kink:
    """A component along which the derivative (or the value, if `jump`) jumps."""

    component: str
    left: float
    right: float
    line: Line | None
    jump: bool = False
    reason: str = ""

    def __repr__(self) -> str:
        sides = f"{self.left:.6g} from the left, {self.right:.6g} from the right"
        return one_line(f"<{'jump' if self.jump else 'kink'} in {self.component}: {sides}>")

    def __str__(self) -> str:
        sides = f"{self.left!r} from the left, {self.right!r} from the right"
        why = f" ({self.reason})" if self.reason else ""
        what = "jump" if self.jump else "kink"
        return f"{what} in {self.component}{at_line(self.line)}: {sides}{why}"


def kinks_of(special: Mapping[str, Partial]) -> tuple[Kink, ...]:
    """The kinks and jumps among named components."""
    return tuple(
        Kink(name, p.left, p.right, p.line, p.verdict == "jump", p.reason)
        for name, p in special.items()
        if p.verdict in ("kink", "jump")
    )


@dataclass(frozen=True, slots=True)
class Nearest:
    """The nearest kink by a linear estimate: how far the point would have to move."""

    distance: float
    size: float
    """The size of the point, or 1 where that is less."""
    line: Line | None
    operation: str

    def __repr__(self) -> str:
        return one_line(f"<nearest kink: {self.operation}, {self.distance:.2g} away>")

    def __str__(self) -> str:
        return f"the kink of {self.operation}{at_line(self.line)} is {self.distance:.2g} away"


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
    values = [np.abs(v) for v in floats_at(graph, list(conditions), subject.arrays)]
    found = zip(values, conditions.items(), strict=True)
    finite = [(v, *pair) for v, pair in found if v.size and np.isfinite(np.min(v))]
    size = max(1.0, float(np.max(np.abs(numbers([subject.arrays[i] for i in subject.wrt])))))
    near: list[Nearest] = []
    for value, condition, node in sorted(finite, key=lambda row: np.min(row[0]))[:NODES]:
        least = float(np.min(value))
        peak = np.zeros(condition.shape, condition.dtype)
        peak.flat[int(np.argmin(value))] = 1.0
        slopes = [ct for ct in pullback([condition], [constant(peak)], inputs) if ct is not None]
        slope = float(np.linalg.norm(numbers(floats_at(graph, slopes, subject.arrays))))
        if slope > 0.0:
            near.append(Nearest(least / slope, size, node.line, node.primitive.name))
    return min(near, key=lambda found: found.distance, default=None)
