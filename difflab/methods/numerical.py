"""The numerical way: differences of function values.

What flows: points around x go into the function, all in one batch where it is traceable, and
weighted sums of the values come out. The stencil text is plain NumPy, so that for a traceable
function it is itself traced, and the derivative is a graph like any other method's; for an opaque
one the same text runs on arrays.

The invariant: steps that leave the domain (the value there is not finite) never enter a result. A
stencil that does not fit falls back on one-sided ones, and where none fits the result is NaN.

Step by theory (for a function and derivatives of order 1): the error of a stencil of order p is
about eps |f| / h + |f^(p+1)| h^p, least at h ~ eps^(1/(p+1)) (Press et al., Numerical Recipes,
section 5.7).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from typing import Any, Final, Literal

import numpy as np

from difflab.errors import ArgumentError, UnknownNameError, UnsupportedError
from difflab.ir.expr import Expr, Graph, computed, reachable, substitute
from difflab.ir.row import CONSTANT
from difflab.ir.tree import LEAF, Structure
from difflab.methods.automatic import with_blocks
from difflab.methods.derivation import Call, Derivation, Method, OfGraphs
from difflab.methods.opaque import (
    Evaluate,
    extrapolated_along_axes,
    looped,
    need_alike_on_complex,
)
from difflab.readings.batches import batch
from difflab.table.identities import simplify

Stencil = Literal["forward", "backward", "central", "richardson", "complex"]
STENCILS: Final = ("forward", "backward", "central", "richardson", "complex")
LEVELS: Final = 9
BATCH_ELEMENTS: Final = 4_000_000
PREDICTED: Final = "predicted"
NP: Any = np


@cache
def weights(offsets: tuple[int, ...]) -> tuple[float, ...]:
    """The weights of values at x + k h that give h f'(x), exactly, by Lagrange's polynomials.

    >>> weights((-1, 1))
    (-0.5, 0.5)
    """
    found = []
    for k in offsets:
        rest = [j for j in offsets if j != k]
        # The derivative at 0 of the polynomial that is 1 at k and 0 at the others.
        slope = sum(
            (math.prod((Fraction(-j) for j in rest if j != i), start=Fraction(1)) for i in rest),
            Fraction(0),
        )
        found.append(float(slope / math.prod((Fraction(k - j) for j in rest), start=Fraction(1))))
    return tuple(found)


def offsets_of(stencil: str, order: int) -> tuple[int, ...]:
    """The points of a stencil, in steps from x."""
    if stencil == "central":
        return tuple(k for k in range(-order // 2, order // 2 + 1) if k)
    return tuple(range(order + 1)) if stencil == "forward" else tuple(range(-order, 1))


@dataclass(frozen=True, slots=True)
class Given:
    """Steps that are computed already, one a component."""

    steps: Any


@dataclass(frozen=True, slots=True)
class Numerical(OfGraphs):
    """Differentiation by differences.

    Parameters
    ----------
    stencil
        ``"forward"``, ``"backward"``, ``"central"``, ``"richardson"`` (central differences
        extrapolated over a ladder of steps, with an error estimate) or ``"complex"`` (a step along
        the imaginary axis).
    order
        The order of the truncation error: 2, 4, 6 or 8 for central stencils, 1 to 8 for one-sided
        ones.
    step
        ``None``: optimal by theory, relative to ``max(|x|, 1)``; for ``"richardson"`` of a function
        that can only be called, steps adapt (`extrapolation.along`). A float: a fixed step.
        ``("relative", r)``: r times ``|x|`` (r where x is 0). ``"predicted"``: from exact higher
        derivatives and the rounding of the program (`prediction.predict`) where the function is
        traceable without branches; by theory elsewhere.
    """

    stencil: Stencil = "central"
    order: int = 2
    step: float | tuple[str, float] | Literal["predicted"] | Given | None = None
    label: str = ""
    differences: int = 1

    def __post_init__(self) -> None:
        if self.stencil not in STENCILS:
            raise UnknownNameError("stencil", self.stencil, STENCILS)
        if self.differences < 1:
            raise ArgumentError("differences must be at least 1")
        allowed = (2, 4, 6, 8) if self.stencil == "central" else range(1, 9)
        if self.order not in allowed:
            raise ArgumentError(
                f"a {self.stencil} stencil has no order {self.order}",
                f"choose one of {list(allowed)}",
            )
        if isinstance(self.step, str):
            if self.step != PREDICTED:
                raise UnknownNameError("step", self.step, (PREDICTED,))
            if self.stencil == "richardson":
                raise ArgumentError("richardson tries many steps itself", "leave the step out")
        size = self.step[1] if isinstance(self.step, tuple) else self.step
        if isinstance(size, float | int) and not (math.isfinite(size) and size > 0.0):
            raise ArgumentError(
                f"a step must be positive and finite, not {size}", "leave it out for the best one"
            )

    @property
    def name(self) -> str:
        """The name of the method, or its options where it has no name."""
        options = "" if self.step is None else f", step={self.step}"
        return self.label or f"{self.stencil}(order={self.order}{options})"

    @property
    def exact(self) -> bool:
        """A complex step is so small that its truncation error is below rounding."""
        return self.stencil == "complex"

    def again(self) -> Method:
        """Steps for differences of differences are larger; complex steps do not nest."""
        if self.stencil == "complex":
            return Numerical("central", 2)
        return replace(self, differences=self.differences + 1)

    # -- the stencil, in plain NumPy ---------------------------------------------------------------

    def steps(self, x: Any) -> Any:
        """The step for each component of a flat x."""
        if isinstance(self.step, Given):
            return self.step.steps
        if isinstance(self.step, float | int):
            return np.full(x.shape, float(self.step), x.dtype)
        eps = float(np.finfo(x.dtype).eps)
        size = NP.abs(x)
        if isinstance(self.step, tuple):
            return self.step[1] * NP.where(size > 0.0, size, 1.0)
        power = 1.0 / (self.order + self.differences)
        base = 0.1 if self.stencil == "richardson" else eps**power
        # A power of two, so that h itself is exact and x + h loses as little as can be.
        return 2.0 ** round(math.log2(base)) * NP.maximum(size, 1.0)

    def blocks(self, evaluate: Evaluate, x: Any, directions: Any) -> list[Any]:
        """Derivatives along unit directions, stacked: one array (directions, *output) an output.

        `evaluate` takes points (k, n), all at once, and returns each output's values (k, *output).
        """
        h = NP.sum(self.steps(x) * directions, -1)
        if self.stencil == "richardson":
            return [best for best, _ in self.extrapolated(evaluate, x, directions, h)]
        offsets = [k for k, w in _pairs(self.stencil, self.order) if w]
        factors = [w for _, w in _pairs(self.stencil, self.order) if w]
        values = _on_lines(evaluate, x, directions, NP.stack([k * h for k in offsets]))
        return [
            sum(w * v for w, v in zip(factors, value, strict=True)) / _like(h, value)
            for value in values
        ]

    def extrapolated(
        self, evaluate: Evaluate, x: Any, directions: Any, h: Any
    ) -> list[tuple[Any, Any]]:
        """Richardson's extrapolation, with the estimated error: for each output (best, error).

        Central and one-sided differences are extrapolated apart over steps h, h/2, h/4, ...; in
        each table the entry with the least estimate wins. The estimate of a central entry includes
        the jump between the two sides, which vanishes with h where f is smooth and stays at a kink.
        The one-sided winners count together, as their mean with half their distance added to the
        estimate, so that at a kink the estimate holds both slopes; one counts alone where the other
        side lies outside the domain.
        """
        eps = float(np.finfo(x.dtype).eps)
        steps = NP.stack([h * 0.5**level for level in range(LEVELS)])
        values = _on_lines(
            evaluate, x, directions, NP.concatenate([steps, -steps, 0.0 * steps[:1]])
        )
        found = []
        for value in values:
            scale = _like(steps, value)
            middle = value[-1]
            up, down = (value[:LEVELS] - middle) / scale, (middle - value[LEVELS:-1]) / scale
            noise = eps * NP.abs(middle) / scale
            jumps = up - down
            jump = NP.abs(2.0 * jumps[1:] - jumps[:-1])
            central, error = _romberg(0.5 * (up + down), noise[1:] + jump, 2)
            (right, right_error), (left, left_error) = (
                _romberg(side, 2.0 * noise[1:], 1) for side in (up, down)
            )
            both = NP.maximum(right_error, left_error)
            mean = NP.where(right_error < np.inf, right, left)
            mean = NP.where(both < np.inf, 0.5 * (right + left), mean)
            mean_error = NP.minimum(right_error, left_error)
            mean_error = NP.where(both < np.inf, both + 0.5 * NP.abs(right - left), mean_error)
            least = NP.minimum(error, mean_error)
            best = NP.where(error <= mean_error, central, mean)
            found.append((NP.where(least < np.inf, best, np.nan), least))
        return found

    def repaired(self, evaluate: Evaluate, x: Any, directions: Any) -> list[Any]:
        """Like `blocks`; smaller steps, then one-sided ones, where a step leaves the domain."""
        found = self.blocks(evaluate, x, directions)
        if self.stencil == "richardson":
            return found  # it chooses among such steps anyway
        if type(x) is np.ndarray and all(np.all(np.isfinite(part)) for part in found):
            return found  # no step left the domain
        steps = self.steps(x)
        spares = [replace(self, step=Given(steps * 2.0**-k)) for k in (10, 20, 30)]
        spares += [replace(self, stencil=side) for side in ("forward", "backward")]
        for spare in spares:
            others = spare.blocks(evaluate, x, directions)
            found = [NP.where(NP.isfinite(f), f, o) for f, o in zip(found, others, strict=True)]
        return found

    @property
    def points(self) -> int:
        """Function evaluations for one direction; about as many where steps adapt."""
        if self.stencil == "richardson":
            return 2 * LEVELS + 1
        if self.stencil == "complex":
            return 1
        return sum(1 for _, w in _pairs(self.stencil, self.order) if w)

    # -- on graphs and on callables ----------------------------------------------------------------

    def derive(self, graph: Graph, wrt: Sequence[int]) -> Derivation:
        """Values and blocks of a traceable function, as a graph."""
        size = sum(graph.inputs[i].size for i in wrt)
        derivation = Derivation(None, evaluations=self.points * size)
        if self.stencil == "complex":
            derivation.run = _complex_step(graph, list(wrt))
            return derivation
        if self.step == PREDICTED:
            from difflab.methods.prediction import with_predicted_steps  # which uses this module

            derivation.run = with_predicted_steps(self, graph, wrt)
            return derivation
        with derivation.timed("derive"):
            plain = self._graph(graph, wrt, self.blocks)
        with derivation.timed("simplify"):
            derivation.graph = simplify(plain)
        derivation.repair = lambda: simplify(self._graph(graph, wrt, self.repaired))
        return derivation

    def _graph(self, graph: Graph, wrt: Sequence[int], blocks_of: Callable[..., Any]) -> Graph:
        columns = [self._columns(graph, i, blocks_of) for i in wrt]
        return with_blocks(graph, [c[k] for k in range(len(graph.outputs)) for c in columns])

    def _columns(self, graph: Graph, position: int, blocks_of: Callable[..., Any]) -> list[Any]:
        """The blocks of all outputs for one input; in pieces, so that a batch stays within
        memory.
        """
        x = graph.inputs[position]
        largest = max(node.size for node in graph.nodes)
        rows = max(1, min(x.size, BATCH_ELEMENTS // (max(largest, 1) * self.points)))
        flat = NP.reshape(x, (x.size,))
        pieces: list[list[Any]] = []
        for start in range(0, x.size, rows):
            directions = np.eye(x.size, dtype=x.dtype)[start : start + rows]
            pieces.append(blocks_of(_batched(graph, position), flat, directions))
        joined = [NP.concatenate(parts, 0) for parts in zip(*pieces, strict=True)]
        return [
            _as_block(part, out.shape, x.shape)
            for part, out in zip(joined, graph.outputs, strict=True)
        ]

    @property
    def caller(self) -> Numerical:
        """A function that cannot be traced can be called."""
        return self

    def of_calls(self, f: Call, points: Sequence[Sequence[Any]], wrt: Sequence[int]) -> Derivation:
        """What a call will take; a complex step needs a function that computes the same on complex
        numbers.
        """
        if self.exact:
            need_alike_on_complex(f, points, wrt)
        size = sum(np.size(points[0][i]) for i in wrt)
        return Derivation(None, evaluations=self.points * size)

    def call(self, f: Call, arrays: Sequence[Any], wrt: Sequence[int]) -> list[Any]:
        """Values and blocks of any callable from arrays to a list of new arrays."""
        arrays = [array[()] if np.ndim(array) == 0 else array for array in arrays]
        values = [np.asarray(value) for value in f(*arrays)]
        columns = []
        for i in wrt:
            x = np.asarray(arrays[i])
            flat, directions = x.reshape(-1), np.eye(x.size, dtype=x.dtype)
            evaluate = looped(f, arrays, i, values)
            if self.stencil == "complex":
                found = _imaginary(evaluate, flat, directions)
            elif self.stencil == "richardson" and self.step is None:
                found = extrapolated_along_axes(evaluate, flat, values)
            else:
                with np.errstate(all="ignore"):
                    found = self.repaired(evaluate, flat, directions)
            columns.append(
                [_as_block(part, v.shape, x.shape) for part, v in zip(found, values, strict=True)]
            )
        blocks = [column[k] for k in range(len(values)) for column in columns]
        return [array[()] for array in (*values, *blocks)]


def _pairs(stencil: str, order: int) -> list[tuple[int, float]]:
    """The points of a stencil with their weights."""
    offsets = offsets_of(stencil, order)
    return list(zip(offsets, weights(offsets), strict=True))


def _on_lines(evaluate: Evaluate, x: Any, directions: Any, steps: Any) -> list[Any]:
    """Values at x + step * direction for all steps (k, directions): one array (k, directions,
    *output) an output.
    """
    k, count = steps.shape
    points = x + steps[:, :, None] * directions
    values = evaluate(NP.reshape(points, (k * count, x.shape[0])))
    return [NP.reshape(value, (k, count, *value.shape[1:])) for value in values]


def _like(steps: Any, value: Any) -> Any:
    """Steps, by direction last, with axes added so that they divide values."""
    return NP.reshape(steps, steps.shape + (1,) * (value.ndim - 2))


def _romberg(first: Any, noise: Any, growth: int) -> tuple[Any, Any]:
    """The best entry of the extrapolation table of differences whose error is a series in
    h^growth, and its error; infinite where no entry is finite.
    """
    row, entries, errors = first, [], []
    for column in range(1, LEVELS):
        finer, coarser = row[1:], row[:-1]
        row = finer + (finer - coarser) / (2.0 ** (growth * column) - 1.0)
        entries.append(row)
        errors.append(NP.maximum(NP.abs(row - finer), NP.abs(row - coarser)) + noise[column - 1 :])
    table, error = NP.concatenate(entries), NP.concatenate(errors)
    error = NP.where(NP.isfinite(table + error), error, np.inf)
    best = NP.take_along_axis(table, NP.argmin(error, 0)[None], 0)[0]
    return best, NP.min(error, 0)


def _as_block(stacked: Any, output: tuple[int, ...], shape: tuple[int, ...]) -> Any:
    """(directions, *output) as (*output, *input)."""
    last = NP.transpose(stacked, (*range(1, len(output) + 1), 0))
    return NP.reshape(last, output + shape)


def _batched(graph: Graph, position: int) -> Evaluate:
    """The graph's outputs for a batch of values of one input."""
    shape = graph.inputs[position].shape

    def evaluate(points: Any) -> list[Any]:
        size = points.shape[0]
        many = batch(graph, size, [i == position for i in range(len(graph.inputs))])
        arguments: list[Any] = list(graph.inputs)
        arguments[position] = NP.reshape(points, (size, *shape))
        return list(substitute(many.outputs, dict(zip(many.inputs, arguments, strict=True))))

    return evaluate


TINY: Final = 1e-100


def _imaginary(evaluate: Evaluate, x: Any, directions: Any) -> list[Any]:
    """The imaginary part of f(x + i h) / h (Squire & Trapp 1998): no subtraction, so no
    cancellation.
    """
    tiny = TINY if x.dtype == np.float64 else 1e-30
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            values = evaluate(x + 1j * tiny * directions)
    except (TypeError, np.exceptions.ComplexWarning) as error:
        raise UnsupportedError(
            f"the function takes no complex numbers: {error}", "use another method"
        ) from None
    if not all(np.iscomplexobj(value) for value in values):
        raise UnsupportedError(
            "the function returned real numbers for a complex step",
            "it must use operations that carry complex numbers",
        )
    return [value.imag / tiny for value in values]


def _complex_step(graph: Graph, wrt: list[int]) -> Callable[..., list[Any]]:
    """A graph's values and blocks by complex steps, run node by node on complex arrays."""
    for node in graph.operations:
        node.primitive.need("complex")
    batches = {
        i: batch(graph, graph.inputs[i].size, [k == i for k in range(len(graph.inputs))])
        for i in wrt
    }

    def run(*arrays: Any) -> list[Any]:
        columns = []
        for i, many in batches.items():
            x = np.asarray(arrays[i])

            def evaluate(points: Any, i: int = i, many: Graph = many, x: Any = x) -> list[Any]:
                known: dict[Expr, Any] = dict(
                    zip(many.inputs, map(np.asarray, arrays), strict=True)
                )
                known[many.inputs[i]] = points.reshape(many.inputs[i].shape)
                return _run_complex(many.outputs, known)

            found = _imaginary(evaluate, x.reshape(-1), np.eye(x.size, dtype=x.dtype))
            columns.append(
                [
                    _as_block(p, out.shape, x.shape)
                    for p, out in zip(found, graph.outputs, strict=True)
                ]
            )
        values = graph.with_outputs(
            graph.outputs, Structure(list, (), (LEAF,) * len(graph.outputs))
        )(*arrays)
        return [*values, *[column[k] for k in range(len(values)) for column in columns]]

    return run


def _run_complex(outputs: Sequence[Expr], known: dict[Expr, Any]) -> list[Any]:
    with np.errstate(all="ignore"):
        for node in reachable(outputs, known):
            if node not in known:
                operands = [known[x] for x in node.operands]
                rule = (
                    node.primitive.evaluate
                    if node.primitive is CONSTANT
                    else node.primitive.need("complex")
                )
                known[node] = computed(node, rule, operands)
    return [np.asarray(known[out]) + 0j for out in outputs]
