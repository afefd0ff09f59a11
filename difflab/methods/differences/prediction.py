"""The best step of a difference quotient, predicted for a traceable function.

What flows: a program and a point go in; out come the quotient's two errors as functions of the step
h. The *truncation* error is a series in h whose coefficients are exact derivatives along the one
component that moves, by nested forward mode with simplification between. The *rounding* error is
C / h, where C adds the typical roundings of the program at the stencil's points, of the arguments
x + k h, and of the stencil's own arithmetic (running error analysis, `readings.rounding`).
The best step is where both together, as the root of the sum of squares, are least.

The invariant: no difference quotient is computed, so that the prediction can be held against
measured errors.

>>> import numpy as np
>>> from difflab.tracing.trace import trace
>>> found = predict(trace(np.sin, 1.0), [1.0])
>>> print(f"{found.step:.0e} {found.error:.0e}")
6e-06 6e-12
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import numpy as np

from difflab.errors import ArgumentError, DomainError
from difflab.ir.build import broadcast
from difflab.ir.expr import Array, Expr, Graph, constant, evaluate, placeholder, reachable
from difflab.ir.rounding import EVEN
from difflab.methods.differences.stencils import TINY, Pairs, pairs_of
from difflab.readings.rounding import Rounding, RunningError, ulp
from difflab.readings.tangents import pushforward, zeros
from difflab.table.identities import simplify

TERMS: Final = 2
"""Terms of the truncation series that are asked of exact derivatives."""
MOST: Final = 24
"""Up to this power of h the series is continued, as a geometric one."""
NODES: Final = 600
"""A derivative of more operations is not differentiated again: the series is continued instead."""
FINER: Final = 8
"""Steps compared in one doubling of the step."""
DOUBLINGS: Final = 70
GENERIC: Final = 0.8793
"""Roundings are taken at steps that are no round numbers, so that they are no exception."""


@dataclass(frozen=True)
class Prediction:
    """The errors of a difference quotient at a point, as functions of the step."""

    stencil: str
    order: int
    derivatives: tuple[Array, ...]
    """The first, second, ... derivative along the component: of all outputs, flat."""
    terms: tuple[tuple[int, float], ...]
    """The truncation error: powers of h, with their coefficients' absolute values."""
    noise: float
    """The typical rounding error of h times the quotient."""
    floor: float
    """The typical rounding error of the result itself, which no step avoids."""
    largest: float
    """The largest step considered: up to it the program meets no kink and no edge of its domain."""
    dyadic: bool = False
    """Whether the step is a power of two."""
    step: float = field(init=False)
    """The best step."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "step", self._best())

    def _best(self) -> float:
        if self.stencil == "complex":
            return min(TINY, self.largest)  # any small one is best
        if self.dyadic:
            steps = 2.0 ** (math.floor(math.log2(self.largest)) - np.arange(DOUBLINGS))
        else:
            steps = self.largest * 2.0 ** (-np.arange(DOUBLINGS * FINER) / FINER)
        return float(steps[np.argmin(self.total(steps))])

    @property
    def error(self) -> float:
        """The typical error at the best step."""
        return float(self.total(self.step))

    def truncation(self, h: Any) -> Any:
        """The truncation error at a step, or at each of an array of steps.

        The squares of the terms are added: where two of them cancel, the error is less.
        """
        h = np.asarray(h)
        with np.errstate(over="ignore", under="ignore"):
            squares = [np.square(c * np.power(h, m)) for m, c in self.terms]
            return np.sqrt(sum(squares, np.zeros(h.shape)))

    def rounding(self, h: Any) -> Any:
        """The typical rounding error."""
        return np.hypot(self.noise / np.asarray(h), self.floor)

    def total(self, h: Any) -> Any:
        """Both errors together."""
        return np.hypot(self.truncation(h), self.rounding(h))


def predict(
    graph: Graph,
    arrays: Sequence[Any],
    position: int = 0,
    index: tuple[int, ...] = (),
    stencil: str = "central",
    order: int = 2,
    *,
    largest: float | None = None,
    dyadic: bool = False,
) -> Prediction:
    """The truncation and rounding error of a difference quotient, and its best step.

    Parameters
    ----------
    graph
        A traced function. Several outputs are taken together, by the root of the sum of squares.
    arrays
        The point: one array an input.
    position, index
        The component that moves: an input of the graph, and an index into it.
    stencil, order
        As of `Numerical`: ``"forward"``, ``"backward"``, ``"central"`` or ``"complex"``.
    largest
        The largest step to consider; by default an eighth of ``max(|x|, 1)``.
    dyadic
        Whether steps are powers of two: then x + h is exact and costs nothing.

    Returns
    -------
    Prediction
        ``.step``, ``.error``, ``.truncation(h)``, ``.rounding(h)``, ``.derivatives``.

    Raises
    ------
    DomainError
        If the first or second derivative is not finite at the point, or it is at a kink.
    UnsupportedError
        If an operation of the program has no derivative.

    Examples
    --------
    >>> from difflab.tracing.trace import trace
    >>> forward = predict(trace(np.exp, 1.0), [1.0], stencil="forward", order=1)
    >>> print(f"{forward.step:.0e} {forward.error:.0e}")
    1e-08 3e-08
    """
    return Predictor(graph, position)(arrays, index, stencil, order, largest=largest, dyadic=dyadic)


class Predictor:
    """What predictions for one input of a graph share: its derivatives and its roundings."""

    def __init__(self, graph: Graph, position: int = 0) -> None:
        self.outputs = [out for out in graph.outputs if out.differentiable]
        self.position = position
        self.running = RunningError(graph.with_outputs(self.outputs))
        self.line = _Line(Graph(graph.inputs, tuple(self.outputs)), position)
        self.kinked = [node for node in reachable(self.outputs) if node.primitive.kink is not None]

    def __call__(
        self,
        arrays: Sequence[Any],
        index: tuple[int, ...] = (),
        stencil: str = "central",
        order: int = 2,
        *,
        largest: float | None = None,
        dyadic: bool = False,
    ) -> Prediction:
        """`predict` for the graph."""
        point = _Point(tuple(map(np.asarray, arrays)), self.position, index)
        largest = point.scale / 8 if largest is None else largest
        if stencil == "complex":
            return self._complex(point, largest)
        if stencil not in ("forward", "backward", "central"):
            raise ArgumentError(
                f"the step of a {stencil} stencil is not predicted",
                "choose forward, backward, central or complex",
            )
        pairs = pairs_of(stencil, order)
        count = order + 1 + (TERMS - 1) * (2 if stencil == "central" else 1)
        slopes = self.line.derivatives(point, count)
        terms = _series(
            slopes, [math.fsum(w * k ** (m + 1) for k, w in pairs) for m in range(MOST)]
        )
        terms = tuple((m, c) for m, c in terms if m >= order)
        floor = EVEN * _norm(ulp(slopes[0]))
        largest = self._inside(point, pairs, largest)
        step = min(point.eps ** (1.0 / (order + 1)) * point.scale, largest)
        for _ in range(2):  # the roundings at the step that they lead to
            noise = self._noise(point, pairs, step, slopes[0], dyadic)
            found = Prediction(stencil, order, slopes, terms, noise, floor, largest, dyadic)
            step = found.step
        return found

    def _complex(self, point: _Point, largest: float) -> Prediction:
        """No difference is taken, so that only the rounding of the result is left."""
        slopes = self.line.derivatives(point, 2 * TERMS + 1)
        terms = _series(slopes, [float(m > 0 and m % 2 == 0) for m in range(MOST)])
        return Prediction("complex", 2, slopes, terms, 0.0, self.line.rounding(point), largest)

    def _inside(self, point: _Point, pairs: Pairs, largest: float) -> float:
        """The largest of ever smaller steps at which no kink and no edge of the domain is met."""
        here, ends = self._sides(point.arrays), (pairs[0][0], pairs[-1][0])
        for h in largest * 2.0 ** -np.arange(DOUBLINGS):
            if all(self._sides(point.moved(k * h)) == here for k in ends):
                return float(h)
        raise DomainError(
            "the point is at a kink or at the edge of the domain, where no step is best",
            "choose a point beside it",
        )

    def _sides(self, arrays: Sequence[Any]) -> list[bytes]:
        """On which side of each kink a point lies, and which outputs are finite there."""
        values = self.running.values(arrays)
        found = [np.isfinite(values[out]).tobytes() for out in self.outputs]
        with np.errstate(all="ignore"):
            for node in self.kinked:
                assert node.primitive.kink is not None
                operands = [values[x] for x in node.operands]
                gap = node.primitive.kink(*operands, **dict(node.params))
                found.append(np.sign(gap).tobytes())
        return found

    def _noise(self, point: _Point, pairs: Pairs, step: float, slope: Array, dyadic: bool) -> float:
        """The typical rounding error of h times the quotient, at about that step."""
        near = [point.moved(k * GENERIC * step) for k, _ in pairs]
        # A point is held against its neighbour: what does not differ cancels.
        besides = [point.arrays if k else near[i - 1] for i, (k, _) in enumerate(pairs)]
        squares = 0.0
        for (_, w), arrays, beside in zip(pairs, near, besides, strict=True):
            squares += (w * _typical(self.running(arrays, beside))) ** 2
        if not dyadic and point.x != 0.0:
            argument = EVEN * float(point.ulp) * _norm(slope)
            squares += argument**2 * sum(w * w for k, w in pairs if k)
        for i, out in enumerate(self.outputs):
            own = _combination(tuple(w for _, w in pairs), out.shape, out.dtype)
            values = [self.running.values(arrays)[self.outputs[i]] for arrays in near]
            squares += _typical(own(values)) ** 2
            squares += (math.fsum(w for _, w in pairs) * _norm(values[0])) ** 2
        return math.sqrt(squares)


@dataclass(frozen=True, slots=True)
class _Point:
    """A point, and the component that moves."""

    arrays: tuple[Array, ...]
    position: int
    index: tuple[int, ...]

    @property
    def x(self) -> float:
        return float(self.arrays[self.position][self.index])

    @property
    def scale(self) -> float:
        return max(abs(self.x), 1.0)

    @property
    def eps(self) -> float:
        return float(np.finfo(self.arrays[self.position].dtype).eps)

    @property
    def ulp(self) -> float:
        return float(ulp(self.arrays[self.position][self.index]))

    def moved(self, distance: float) -> list[Array]:
        """The arrays with the component moved."""
        found = list(self.arrays)
        found[self.position] = found[self.position].copy()
        found[self.position][self.index] += distance
        return found


class _Line:
    """Derivatives of a graph along a direction in one input, each made from the one before."""

    def __init__(self, graph: Graph, position: int) -> None:
        x = graph.inputs[position]
        # A number's direction is 1, which simplifies; that of an array is chosen at the call.
        one = broadcast(constant(1.0, x.dtype), x.shape)
        self.x = x
        self.direction = one if x.size == 1 else placeholder(x.shape, x.dtype, "direction")
        self.inputs = (*graph.inputs, self.direction) if x.size > 1 else graph.inputs
        self.levels = [simplify(graph.with_outputs(graph.outputs)).outputs]

    def derivatives(self, point: _Point, count: int) -> tuple[Array, ...]:
        """The first derivatives at a point, each of all outputs: so many, or fewer if they swell.

        Raises
        ------
        DomainError
            If the first or second is not finite.
        """
        self._grow(count)
        known = self._known(point)
        found = []
        for level in self.levels[1 : count + 1]:
            values = [np.ravel(value) for value in evaluate(level, known)]
            derivative = np.concatenate(values).astype(np.float64)
            if not np.all(np.isfinite(derivative)):
                break
            found.append(derivative)
        if len(found) < 2:
            raise DomainError(
                f"derivative {len(found) + 1} of the function is not finite at the point,"
                " so that no step can be predicted",
                "choose a point inside the domain, or leave the step out",
            )
        return tuple(found)

    def rounding(self, point: _Point) -> float:
        """The typical rounding error of the first derivative, as a program."""
        self._grow(1)
        arrays = self._known(point)
        running = RunningError(Graph(self.inputs, self.levels[1]))
        return _typical(running([arrays[x] for x in self.inputs]))

    def _known(self, point: _Point) -> dict[Expr, Any]:
        arrays = list(point.arrays)
        if len(self.inputs) > len(arrays):
            unit = np.zeros(self.x.shape, self.x.dtype)
            unit[point.index] = 1.0
            arrays.append(unit)
        return dict(zip(self.inputs, arrays, strict=True))

    def _grow(self, count: int) -> None:
        while len(self.levels) <= count:
            last = self.levels[-1]
            if len(self.levels) > 2 and len(reachable(last)) > NODES:
                return
            found = pushforward(last, [self.x], [self.direction])
            slopes = [zeros(y) if t is None else t for t, y in zip(found, last, strict=True)]
            self.levels.append(simplify(Graph(self.inputs, tuple(slopes))).outputs)


def _series(slopes: Sequence[Array], moments: Sequence[float]) -> tuple[tuple[int, float], ...]:
    """The truncation error, moment_m |f^(m+1)| / (m+1)! h^m, by powers m of h.

    Taylor coefficients that are not known continue the known ones as a geometric series. They
    matter where the step comes near the distance of a singularity, at which that series diverges.
    """
    sizes = {j: _norm(slope) / math.factorial(j) for j, slope in enumerate(slopes, 1)}
    last = max(sorted(sizes)[-2:], key=lambda j: sizes[j])
    before = [j for j in range(max(last - 4, 1), last) if sizes[j] > 0.0]
    if before and sizes[last] > 0.0:
        # Some may be noise instead of zero: growth from those would be large.
        with np.errstate(over="ignore", under="ignore"):
            ratios = [(np.float64(sizes[last]) / sizes[j]) ** (1 / (last - j)) for j in before]
            for j in range(len(sizes) + 1, len(moments) + 1):
                sizes[j] = sizes[last] * min(ratios) ** (j - last)
    with np.errstate(all="ignore"):  # what is not finite is dropped
        found = {m: abs(moment) * sizes.get(m + 1, 0.0) for m, moment in enumerate(moments)}
    return tuple((m, c) for m, c in found.items() if m and 0.0 < c < math.inf)


@lru_cache(256)
def _combination(factors: tuple[float, ...], shape: tuple[int, ...], dtype: Any) -> RunningError:
    """The rounding of a weighted sum of values, summed as `Numerical` does."""
    inputs = [placeholder(shape, dtype, f"v{i}") for i in range(len(factors))]
    total: Any = sum(w * v for w, v in zip(factors, inputs, strict=True))
    return RunningError(Graph(tuple(inputs), (total,)))


def _typical(roundings: Sequence[Rounding]) -> float:
    return _norm(np.array([_norm(rounding.typical) for rounding in roundings]))


def _norm(values: Array) -> float:
    with np.errstate(over="ignore"):
        return float(np.linalg.norm(np.ravel(values).astype(np.float64)))
