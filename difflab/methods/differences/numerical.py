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
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np

from difflab import engines
from difflab.errors import ArgumentError, DomainError, UnknownNameError
from difflab.ir.expr import Array, Expr, Graph, computed, substitute, walk
from difflab.ir.row import CONSTANT
from difflab.ir.tree import LEAF, Structure
from difflab.methods.automatic import with_blocks
from difflab.methods.derivation import Call, Derivation, Method
from difflab.methods.differences.calls import looped, need_alike_on_complex
from difflab.methods.differences.extrapolation import along
from difflab.methods.differences.prediction import Predictor
from difflab.methods.differences.stencils import (
    LEVELS,
    NP,
    Evaluate,
    extrapolated,
    imaginary,
    pairs_of,
    quotients,
)
from difflab.readings.batches import batch
from difflab.table.identities import simplify

Stencil = Literal["forward", "backward", "central", "richardson", "complex"]
STENCILS: Final = ("forward", "backward", "central", "richardson", "complex")
BATCH_ELEMENTS: Final = 4_000_000
PREDICTED: Final = "predicted"
Blocks = Callable[[Evaluate, Any, Any], list[Any]]
"""From values at points, a flat x and directions to derivatives along them, stacked."""


@dataclass(frozen=True, slots=True)
class Given:
    """Steps that are computed already, one a component."""

    steps: Any


@dataclass(frozen=True, slots=True, repr=False)
class Numerical(Method):
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

    # -- at a point --------------------------------------------------------------------------------

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
        """Derivatives along unit directions, stacked: one array (directions, *output) an output."""
        if self.stencil == "complex":
            return imaginary(evaluate, x, directions)
        h = NP.sum(self.steps(x) * directions, -1)
        if self.stencil == "richardson":
            return [best for best, _ in extrapolated(evaluate, x, directions, h)]
        return quotients(evaluate, x, directions, h, pairs_of(self.stencil, self.order))

    def repaired(self, evaluate: Evaluate, x: Any, directions: Any) -> list[Any]:
        """Like `blocks`; smaller steps, then one-sided ones, where a step leaves the domain."""
        found = self.blocks(evaluate, x, directions)
        if self.stencil in ("richardson", "complex"):
            return found  # chooses among such steps anyway, or takes none along the real axis
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
        return 1 if self.exact else len(pairs_of(self.stencil, self.order))

    # -- of graphs ---------------------------------------------------------------------------------

    def derive(self, graph: Graph, wrt: Sequence[int]) -> Derivation:
        """Values and blocks of a traceable function, as a graph."""
        size = sum(graph.inputs[i].size for i in wrt)
        derivation = Derivation(None, evaluations=self.points * size)
        if self.stencil == "complex":
            derivation.run = self._complex(graph, wrt)
            return derivation
        if self.step == PREDICTED:
            derivation.run = self._predicted(graph, wrt)
            return derivation
        with derivation.timed("derive"):
            plain = self._graph(graph, wrt, self.blocks)
        with derivation.timed("simplify"):
            derivation.graph = simplify(plain)
        derivation.repair = lambda: simplify(self._graph(graph, wrt, self.repaired))
        return derivation

    def _graph(self, graph: Graph, wrt: Sequence[int], blocks_of: Blocks) -> Graph:
        """In pieces, so that a batch stays within memory."""
        largest = max(node.size for node in graph.nodes)
        rows = max(1, BATCH_ELEMENTS // (max(largest, 1) * self.points))
        batched = [_batched(graph, i) for i in wrt]
        inputs = [graph.inputs[i] for i in wrt]
        shapes = [out.shape for out in graph.outputs]
        return with_blocks(graph, _assembled(blocks_of, batched, inputs, shapes, rows))

    def _complex(self, graph: Graph, wrt: Sequence[int]) -> Callable[..., list[Any]]:
        """By complex steps, run node by node on complex arrays."""
        for node in graph.operations:
            node.primitive.need("complex")
        batches = [_moving(graph, i, graph.inputs[i].size) for i in wrt]
        values = graph.with_outputs(
            graph.outputs, Structure(list, (), (LEAF,) * len(graph.outputs))
        )
        shapes = [out.shape for out in graph.outputs]

        def run(*arrays: Any) -> list[Any]:
            given = [*map(np.asarray, arrays)]
            evaluates = [_on_complex(many, given, i) for i, many in zip(wrt, batches, strict=True)]
            inputs = [given[i] for i in wrt]
            return [*values(*arrays), *_assembled(self.blocks, evaluates, inputs, shapes)]

        return run

    def _predicted(self, graph: Graph, wrt: Sequence[int]) -> Callable[..., list[Any]]:
        """By the best step for each component, a power of two; by theory where none is known."""
        predictors = {i: Predictor(graph, i) for i in wrt}
        program = engines.compile(simplify(Graph(graph.inputs, graph.outputs)), "numpy")

        def run(*arguments: Any) -> list[Any]:
            arrays = [np.asarray(argument) for argument in arguments]
            given = []
            for i, predictor in predictors.items():
                steps = self.steps(np.ravel(arrays[i]))
                for k, index in enumerate(np.ndindex(np.shape(arrays[i]))):
                    with suppress(DomainError):
                        steps[k] = predictor(
                            arrays, index, self.stencil, self.order, dyadic=True
                        ).step
                given.append(replace(self, step=Given(steps)))
            return _of_calls(given, program, arrays, wrt)

        return run

    # -- of functions that can only be called ------------------------------------------------------

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
        return _of_calls([self] * len(wrt), f, arrays, wrt)


def _of_calls(
    methods: Sequence[Numerical], f: Call, arrays: Sequence[Any], wrt: Sequence[int]
) -> list[Any]:
    """Values and blocks, with a method for each array."""
    arrays = [array[()] if np.ndim(array) == 0 else array for array in arrays]
    values = [np.asarray(value) for value in f(*arrays)]
    shapes, blocks = [value.shape for value in values], []
    with np.errstate(all="ignore"):
        for i, method in zip(wrt, methods, strict=True):
            adapts = method.stencil == "richardson"
            blocks_of = _along_axes(values) if adapts else method.repaired
            evaluate, x = looped(f, arrays, i, values), np.asarray(arrays[i])
            blocks.append(_assembled(blocks_of, [evaluate], [x], shapes))
    return [
        array[()] for array in (*values, *[b for row in zip(*blocks, strict=True) for b in row])
    ]


def _along_axes(values: Sequence[Array]) -> Blocks:
    """Derivatives with adapted steps, of a function with these values at the point; NaN where no
    step tells them.
    """
    floats = [value.dtype for value in values if value.dtype.kind == "f"]
    stops = np.cumsum([value.size for value in values])[:-1]

    def blocks(evaluate: Evaluate, x: Array, directions: Array) -> list[Array]:
        if not values:
            return []
        dtype = min([x.dtype, *floats], key=lambda kind: kind.itemsize)
        rows = []
        for near, direction in zip(np.abs(x).tolist(), directions, strict=True):

            def phi(t: float, direction: Array = direction) -> Array:
                found = values if t == 0.0 else evaluate((x + t * direction)[None])
                return np.concatenate([np.ravel(value) for value in found])

            rows.append(along(phi, scale=max(near, 1.0), dtype=dtype, near=near).value)
        parts = np.split(np.stack(rows), stops, axis=1)
        return [
            part.reshape(-1, *value.shape).astype(np.result_type(value.dtype, x.dtype))
            for part, value in zip(parts, values, strict=True)
        ]

    return blocks


def _assembled(
    blocks_of: Blocks,
    evaluates: Sequence[Evaluate],
    inputs: Sequence[Any],
    outputs: Sequence[tuple[int, ...]],
    rows: int | None = None,
) -> list[Any]:
    """The blocks of all outputs by all inputs, at most so many directions at once."""
    columns = []
    for evaluate, x in zip(evaluates, inputs, strict=True):
        flat, unit = NP.reshape(x, (x.size,)), np.eye(x.size, dtype=x.dtype)
        width = min(rows or x.size, x.size) or 1
        pieces = [
            blocks_of(evaluate, flat, unit[start : start + width])
            for start in range(0, max(x.size, 1), width)
        ]
        joined = [NP.concatenate(parts, 0) for parts in zip(*pieces, strict=True)]
        columns.append(
            [_as_block(part, out, x.shape) for part, out in zip(joined, outputs, strict=True)]
        )
    return [column[k] for k in range(len(outputs)) for column in columns]


def _as_block(stacked: Any, output: tuple[int, ...], shape: tuple[int, ...]) -> Any:
    """(directions, *output) as (*output, *input)."""
    last = NP.transpose(stacked, (*range(1, len(output) + 1), 0))
    return NP.reshape(last, output + shape)


def _moving(graph: Graph, position: int, size: int) -> Graph:
    """The graph for a batch of values of one input."""
    return batch(graph, size, [i == position for i in range(len(graph.inputs))])


def _batched(graph: Graph, position: int) -> Evaluate:
    """The graph's outputs, as nodes, for a batch of values of one input."""

    def evaluate(points: Any) -> list[Any]:
        many = _moving(graph, position, points.shape[0])
        arguments: list[Any] = list(graph.inputs)
        arguments[position] = NP.reshape(points, many.inputs[position].shape)
        return list(substitute(many.outputs, dict(zip(many.inputs, arguments, strict=True))))

    return evaluate


def _on_complex(many: Graph, arrays: Sequence[Array], position: int) -> Evaluate:
    """The outputs of a graph for a batch, on complex values of one input."""

    def evaluate(points: Any) -> list[Any]:
        known: dict[Expr, Any] = dict(zip(many.inputs, arrays, strict=True))
        moving = many.inputs[position]
        known[moving] = points.reshape(moving.shape)
        return _run_complex(many.outputs, known)

    return evaluate


def _run_complex(outputs: Sequence[Expr], known: dict[Expr, Any]) -> list[Any]:
    with np.errstate(all="ignore"):
        return [np.asarray(found) + 0j for found in walk(outputs, known, _run_on_complex)]


def _run_on_complex(node: Expr, operands: list[Any]) -> Any:
    row = node.primitive
    return computed(node, row.evaluate if row is CONSTANT else row.need("complex"), operands)
