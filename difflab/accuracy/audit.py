"""How many digits each number of the forward and the reverse pass has lost, judged by balls.

What flows: every node of both passes is computed twice, in floats and in balls whose precision
grows until they are sharp; the distance is counted in digits lost of those that a correctly rounded
number has. The invariants: an exact zero has no digits to lose; a number that is not finite has
lost all; what no ball settles is not judged (NaN), and never called wrong.

>>> import numpy as np
>>> from difflab.tracing.trace import trace
>>> graph = trace(lambda x: 1 - np.cos(x), 1e-6)
>>> audit = Audit(graph, [1e-6])
>>> [round(audit.lost(node)) for node in graph.operations]
[0, 12]
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from difflab.accuracy.scene import LADDER, Evaluation
from difflab.ir.expr import Array, Expr, Graph, evaluate, walk
from difflab.readings.balls import LEAST, precision
from difflab.views.formulas import names_of, operation
from difflab.views.traces import Passes, passes, point_of

Floats = NDArray[np.float64]
Index = tuple[int, ...]
SHARP_BITS: Final = 64
UNIT: Final = 2.0**-53
KEPT: Final = 0.75
"""A number is good while it keeps this share of its digits; it is bad where it has lost a quarter,
which is 4 of the 16 digits of float64."""


class Audit:
    """A graph at a point: what its two passes compute, what is exact, and how far apart they are.

    Parameters
    ----------
    graph, arrays
        The program and the point, an array an input.
    inputs
        The positions of the inputs whose derivatives matter, by default all; tangents are those
        along the first.
    evaluation
        The same point, where it was looked at before.
    """

    def __init__(
        self,
        graph: Graph,
        arrays: Sequence[Any],
        inputs: Sequence[int] | None = None,
        evaluation: Evaluation | None = None,
    ) -> None:
        self.graph = graph
        self.flows: Passes = passes(graph, inputs[0] if inputs else None)
        self.chosen = range(len(graph.inputs)) if inputs is None else inputs
        cotangents = self.flows.cotangents
        wanted = [graph.inputs[i] for i in self.chosen if graph.inputs[i].differentiable]
        self.gradients = {x: cotangents[x] for x in wanted if x in cotangents}
        """The nodes that hold the derivatives, by input."""
        self.arrays = [np.array(x) for x in point_of(graph, arrays).values()]
        self.evaluation = evaluation or Evaluation(graph, self.arrays)
        self.floats = dict(self.evaluation.floats)
        tangents = [tangent for tangent in self.flows.tangents.values() if tangent is not None]
        moving = [*tangents, *cotangents.values(), *self.flows.parts.values()]
        self._evaluated = [*self.flows.nodes, *graph.outputs, *moving]
        evaluate(self._evaluated, self.floats)
        self._errors: dict[Expr, Floats] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return Audit, (self.graph, self.arrays, self.chosen)

    @cached_property
    def names(self) -> dict[Expr, str]:
        """What the nodes are called."""
        return names_of(self.graph)

    def spelt(self, node: Expr) -> str:
        """A node with its name: ``b = 1.0 - a``."""
        name = self.names[node]
        return f"{name} = {operation(node, self.names)}" if node.operands else name

    @cached_property
    def balls(self) -> dict[Expr, Array]:
        """What is exact, for inputs taken as exact."""
        for bits, _ in LADDER:
            known = self.evaluation.enclosed(self._evaluated, bits)
            if all(_is_settled(ball) for array in known.values() for ball in array.flat):
                break
        return known

    @cached_property
    def units(self) -> dict[Expr, float]:
        """The unit roundoff of every node: that of the coarsest dtype which it is computed in."""

        def unit(node: Expr, operands: list[float]) -> float:
            own = float(np.finfo(node.dtype).eps) / 2 if node.dtype.kind == "f" else 0.0
            return max([own, *operands]) if operands else 0.0

        found: dict[Expr, float] = {}
        walk(self._evaluated, found, unit)
        return found

    def errors(self, node: Expr) -> Floats:
        """The relative error of every element; inf where all is lost, NaN where it is not known."""
        if node not in self._errors:
            pairs = zip(np.ravel(self.floats[node]), self.balls[node].flat, strict=True)
            found = np.array([_relative_error(*pair) for pair in pairs], np.float64)
            self._errors[node] = found.reshape(node.shape)
        return self._errors[node]

    def lost(self, node: Expr) -> float:
        """The digits that the worst element has lost; NaN where nothing is known."""
        errors = self.errors(node)
        known = errors[~np.isnan(errors)]
        return self.digits_lost(node, float(known.max())) if known.size else math.nan

    def digits_lost(self, node: Expr, error: float) -> float:
        """A relative error as digits lost, of those that a correctly rounded number has."""
        unit = self.units[node] or UNIT
        return 0.0 if error <= unit else min(math.log10(error / unit), -math.log10(unit))

    def digits(self, node: Expr) -> float:
        """The digits that a correctly rounded number has there: 15.95 in float64."""
        return -math.log10(self.units[node] or UNIT)

    def result_errors(self, node: Expr) -> Floats:
        """As `errors`, where a result below the smallest float is right if it is rounded to it."""
        found = self.errors(node).copy()
        least = 2.0**LEAST if node.dtype != np.float32 else 2.0**-149
        for index in np.argwhere(found > 0.0):
            at = tuple(index)
            ball, number = self.balls[node][at], float(np.asarray(self.floats[node])[at])
            if math.isfinite(number) and node.differentiable and abs(ball.mid() - number) <= least:
                found[at] = 0.0
        return found

    @staticmethod
    def worst_element(errors: Floats) -> Index:
        """Where the largest error that is known stands."""
        known = np.nan_to_num(errors, nan=0.0, posinf=np.inf)
        return tuple(int(i) for i in np.unravel_index(int(known.argmax()), errors.shape))

    def limit(self, node: Expr) -> float:
        """The relative error above which a number has lost more than a quarter of its digits."""
        return float(self.units[node] ** KEPT)

    def worst(self, results: Iterable[Expr]) -> float:
        """The most digits that an element of some results has lost."""
        errors = ((node, x) for node in results for x in self.result_errors(node).flat)
        return max([0.0, *(self.digits_lost(node, x) for node, x in errors if not math.isnan(x))])


def _is_settled(ball: Any) -> bool:
    """Whether more bits would tell nothing new."""
    if isinstance(ball, (bool, int, float, np.generic)):
        return True
    if ball is None or not ball.is_finite():
        return False
    return bool(ball.is_exact() or ball.rel_accuracy_bits() >= SHARP_BITS)


def _relative_error(number: Any, ball: Any) -> float:
    """How far a float is from the exact value, relative to it.

    An exact zero, and what is as it should be, has error 0; a NaN or infinity has error inf; where
    the exact value is not known, the error is NaN.

    >>> from difflab.readings.balls import exact
    >>> (ball,) = exact([2.0])
    >>> _relative_error(3.0, ball), _relative_error(float("inf"), ball)
    (0.5, inf)
    """
    if ball is None:
        return math.nan
    if isinstance(ball, (bool, int, np.bool_, np.integer)):
        return 0.0 if number == ball else math.inf
    if not math.isfinite(number):
        return math.inf
    if not ball.is_finite():
        return math.nan
    with precision(2 * SHARP_BITS):
        return centre_distance(type(ball)(float(number)), ball)


def centre_distance(one: Any, ball: Any) -> float:
    """The distance of two balls' centres relative to the second; 0 where that is zero."""
    centre = ball.mid()
    if ball.contains(0):
        return 0.0
    return float(abs(one.mid() - centre) / abs(centre))
