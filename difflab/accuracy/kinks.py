"""Kinks: where the derivative, or the value, of a function jumps, and how near the next one is.

What flows: what judges a function at a point says a `Kink` where the two sides differ (in germs,
derivative.py; by calls, estimate.py); every row of the table says by its `kink` cell where its
derivative jumps, and the nearest such place is estimated from the slope of that condition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from difflab.accuracy.subject import Subject
from difflab.errors import Line
from difflab.interpretations.cotangents import pullback
from difflab.ir.expr import Expr, Graph, constant, evaluate

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
    reason: str = ""

    def __str__(self) -> str:
        place = f" at {self.line}" if self.line else ""
        sides = f"{self.left!r} from the left, {self.right!r} from the right"
        why = f" ({self.reason})" if self.reason else ""
        return f"{'jump' if self.jump else 'kink'} in {self.component}{place}: {sides}{why}"


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
