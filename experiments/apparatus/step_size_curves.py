"""Measured errors of difference quotients as functions of the step.

What flows: a component of a function at a point, and bins of steps; out come root mean squares of
errors over the steps in a bin, against the truth. The invariant: quotients are computed in the
point's own dtype, by the text that `Numerical` uses; their errors in float64, against balls.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from difflab.accuracy.subject import float_arguments
from difflab.accuracy.truth import truth
from difflab.accuracy.zoo import lookup
from difflab.ir.expr import Expr, Graph, computed, evaluate, walk
from difflab.ir.row import CONSTANT, Unsupported
from difflab.ir.tree import flatten, read_arguments, unflatten
from difflab.methods.differences.prediction import Prediction, Predictor
from difflab.methods.differences.stencils import offsets_of, weights
from difflab.readings.balls import rounded
from difflab.readings.batches import batch
from difflab.tracing.trace import trace

Floats = NDArray[np.float64]
LARGEST = 0.1  # step
HIDDEN = 16.0  # a slope below so many eps, relative to value over argument, counts as zero


@dataclass(frozen=True)
class Problem:
    """A component of a function at a point; the truth is `slope + beyond`, in twice the digits."""

    name: str
    number: int
    kind: str
    args: tuple[Any, ...]
    graph: Graph
    arrays: list[Any]
    predictor: Predictor
    position: int
    index: tuple[int, ...]
    slope: float
    beyond: float

    @property
    def x(self) -> Any:
        """The component that moves."""
        return np.asarray(self.arrays[self.position])[self.index]

    @property
    def ulp(self) -> float:
        """Of the derivative."""
        return float(np.spacing(self.x.dtype.type(abs(self.slope))))

    @property
    def stationary(self) -> bool:
        """Whether the derivative is 0, or so small that a quotient of 0 is right by accident."""
        value = float(self.values(np.array([self.x]))[0])
        hidden = HIDDEN * float(np.finfo(self.x.dtype).eps)
        return abs(self.slope) * max(abs(float(self.x)), 1.0) <= hidden * abs(value)

    @property
    def takes_complex(self) -> bool:
        """Whether every operation takes complex numbers."""
        readings = (node.primitive.complex for node in self.graph.operations)
        return not any(isinstance(reading, Unsupported) for reading in readings)

    def values(self, points: NDArray[Any]) -> NDArray[Any]:
        """The function with the component at each of some points."""
        guards = self.graph.guards
        with np.errstate(all="ignore"):
            found, *met = self.batched(points, [guard.expr for guard in guards])
            lost = np.zeros(len(points), bool)
            for guard, value in zip(guards, met, strict=True):
                lost |= ~np.all(np.reshape(value == guard.value, (len(points), -1)), axis=1)
            found = np.array(found)
            for k in np.flatnonzero(lost):  # another way through the function's `if`
                arrays = [np.array(array) for array in self.arrays]
                arrays[self.position][self.index] = points[k]
                args = unflatten(flatten(self.args)[1], [array[()] for array in arrays])
                found[k] = lookup(self.name).f(*args)
        return found

    def predict(self, stencil: str, order: int) -> Prediction:
        return self.predictor(self.arrays, self.index, stencil, order, largest=LARGEST)

    def batched(self, points: NDArray[Any], further: Sequence[Expr] = ()) -> list[Any]:
        """The function's value, and further nodes, at all points in one run."""
        x = np.asarray(self.arrays[self.position])
        moved = np.array(np.broadcast_to(x, (len(points), *x.shape)), points.dtype)
        moved[(slice(None), *self.index)] = points
        chosen = [i == self.position for i in range(len(self.arrays))]
        graph = self.graph.with_outputs([*self.graph.outputs, *further])
        many = batch(graph, len(points), chosen)
        known: dict[Expr, Any] = dict(zip(many.inputs, map(np.asarray, self.arrays), strict=True))
        known[many.inputs[self.position]] = moved
        if np.iscomplexobj(points):
            return walk(many.outputs, known, _on_complex)
        return evaluate(many.outputs, known)


def _on_complex(node: Expr, operands: list[Any]) -> Any:
    row = node.primitive
    return computed(node, row.evaluate if row is CONSTANT else row.need("complex"), operands)


def problems(
    name: str, dtype: str, kinds: Sequence[str], points: int, components: int
) -> Iterator[Problem]:
    """The first components of each float argument, at the first points, but stationary ones."""
    entry = lookup(name)
    wanted = [(k, point) for k, point in enumerate(entry.points) if point.kind in kinds]
    for number, point in wanted[:points]:
        leaves, structure = flatten(point.args)
        args = tuple(unflatten(structure, [np.asarray(leaf, dtype)[()] for leaf in leaves]))
        _, arrays = read_arguments(args, {})
        with np.errstate(all="ignore"):
            graph = trace(entry.f, *args)
        enclosure = truth(entry.f, *args, argnums=float_arguments(args))
        if not all(ball.is_finite() for block in enclosure.balls for ball in block.flat):
            continue  # at some hard points there is no derivative
        floats = [i for i, x in enumerate(graph.inputs) if x.dtype.kind == "f"]
        for position, block in zip(floats, enclosure.balls, strict=True):
            predictor = Predictor(graph, position)
            for index in list(np.ndindex(np.shape(arrays[position])))[:components]:
                slope, ulps = rounded(block[index])
                beyond = ulps * float(np.spacing(abs(slope)))
                problem = Problem(name, number, point.kind, args, graph, list(arrays), predictor,
                                  position, index, slope, beyond)  # fmt: skip
                if not problem.stationary:
                    yield problem


def drawn(smallest: float, per_decade: int, each: int, rng: Any) -> tuple[Floats, Floats]:
    """Bins of steps: their centres, as powers of ten, and random steps (bins, in each)."""
    first, last = (round(per_decade * np.log10(h)) for h in (smallest, LARGEST))
    decades = np.arange(first, last + 1) / per_decade
    shift = (rng.random((len(decades), each)) - 0.5) / per_decade
    return decades, 10.0 ** (decades[:, None] + shift)


class Quotients:
    """Difference quotients of a problem at all steps, with function values shared by stencils."""

    def __init__(self, problem: Problem, decades: Floats, steps: Floats) -> None:
        self.problem, self.decades, self.steps = problem, decades, steps
        self.centres = 10.0**decades
        self.h = steps.astype(problem.x.dtype)
        self._values: dict[int, NDArray[Any]] = {}

    def at(self, k: int) -> NDArray[Any]:
        """f(x + k h)"""
        if k not in self._values:
            points = self.problem.x + k * self.h
            self._values[k] = self.problem.values(points.ravel()).reshape(points.shape)
        return self._values[k]

    def errors(self, stencil: str, order: int) -> Floats:
        """The root mean square error in each bin; NaN where a step leaves the domain."""
        if stencil == "complex":
            return self.imaginary_errors(self.steps)
        offsets = offsets_of(stencil, order)
        pairs = [(k, w) for k, w in zip(offsets, weights(offsets), strict=True) if w]
        with np.errstate(all="ignore"):
            return self._mean(sum(w * self.at(k) for k, w in pairs) / self.h)

    def imaginary_errors(self, steps: Floats) -> Floats:
        """Of Im f(x + ih) / h."""
        with np.errstate(all="ignore"):
            found = self.problem.batched(self.problem.x + 1j * steps.ravel())[0]
            return self._mean(np.imag(found).reshape(steps.shape) / steps)

    def _mean(self, found: Any) -> Floats:
        with np.errstate(all="ignore"):
            off = (np.asarray(found, np.float64) - self.problem.slope) - self.problem.beyond
            return np.sqrt(np.mean(np.square(off), axis=1))

    def smoothed(self, errors: Floats) -> Floats | None:
        """Decades of the geometric mean over three neighbouring bins; None where no error is left.

        An error below a result's own typical rounding is luck, and counts as that.
        """
        if not np.any(np.isfinite(errors) & (errors > 0.0)):
            return None
        least = self.problem.ulp / 12**0.5
        decades = np.log10(np.maximum(np.where(np.isfinite(errors), errors, np.inf), least))
        padded = np.concatenate([decades[:1], decades, decades[-1:]])
        return (padded[:-2] + padded[1:-1] + padded[2:]) / 3

    def slope(self, errors: Floats, low: float, high: float) -> float:
        """The exponent of the error as a power of the step, from the bins between two steps."""
        inside = (self.centres >= low) & (self.centres <= high) & (errors > 0.0)
        inside &= np.isfinite(errors)
        if inside.sum() < 5:
            return float("nan")
        return float(np.polyfit(self.decades[inside], np.log10(errors[inside]), 1)[0])
