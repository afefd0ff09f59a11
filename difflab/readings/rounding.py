"""What flows along the edges is the rounding error, from each operation to the outputs.

A running error analysis (Wilkinson 1963; Linnainmaa 1976; Higham 2002, section 3.3) by one reverse
sweep: an operation that rounds its result by d moves an output by the cotangent times d. So the
error of an output is, to first order, the sum over all operations of |cotangent| times the local
rounding. Two figures come of it: the `bound`, which adds the largest local roundings, and the
`typical` error, a root mean square, which adds roundings that are independent and evenly spread
between two floats.

The invariant: inputs and constants are exact. What one operation rounds is a cell of its row, in
the words of ir/rounding.py.

>>> import numpy as np
>>> from difflab.tracing.trace import trace
>>> (error,) = rounding_error(trace(lambda x: 1.0 - np.cos(x), 1e-4), [1e-4])
>>> print(error.bound >= np.spacing(np.cos(1e-4)))  # the cosine's ulp, though the value is 5e-9
True
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from difflab.ir.expr import Array, Expr, Graph, evaluate, placeholder
from difflab.ir.rounding import Local
from difflab.readings.cotangents import cotangents_of_all


@dataclass(frozen=True, slots=True)
class Rounding:
    """The rounding error of an output, to first order: arrays of the output's shape."""

    bound: Array
    """What it cannot exceed."""
    typical: Array
    """Its root mean square over many points nearby."""

    def __repr__(self) -> str:
        most, mean = (np.max(x, initial=0.0) for x in (self.bound, self.typical))
        return f"<rounding: at most {most:.3g}, typically {mean:.3g}>"


def rounding_error(
    graph: Graph, arrays: Sequence[Any], beside: Sequence[Any] | None = None
) -> list[Rounding]:
    """The rounding errors of a program's outputs at a point.

    Parameters
    ----------
    graph
        The program, which runs as it is traced: one NumPy call a node.
    arrays
        The point: one array an input, exact.
    beside
        Another point. Then only the roundings of what differs there count: the others are the same
        at both points and cancel in a difference.

    Returns
    -------
    list[Rounding]
        ``.bound`` and ``.typical``, for each output.

    Raises
    ------
    UnsupportedError
        If an operation has no derivative.

    Examples
    --------
    >>> from difflab.tracing.trace import trace
    >>> (error,) = rounding_error(trace(lambda x: x * x, 0.7), [0.7])
    >>> print(error.bound == 0.5 * np.spacing(0.49))
    True
    """
    return RunningError(graph)(arrays, beside)


class RunningError:
    """The sweep of a graph, made once, to be read at many points."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.seeds = [placeholder(out.shape, out.dtype, "cotangent") for out in graph.outputs]
        self.cotangents: list[dict[Expr, Expr]] = []
        for out, seed in zip(graph.outputs, self.seeds, strict=True):
            found = cotangents_of_all([out], [seed]) if out.differentiable else {}
            self.cotangents.append(
                {node: ct for node, ct in found.items() if ct is not None and node.operands}
            )

    def __call__(
        self, arrays: Sequence[Any], beside: Sequence[Any] | None = None
    ) -> list[Rounding]:
        """`rounding_error` of the graph at a point."""
        values = self.values(arrays)
        others = None if beside is None else self.values(beside)
        local: dict[Expr, Local] = {}
        with np.errstate(all="ignore"):
            for node in {node for found in self.cotangents for node in found}:
                operands = [values[x] for x in node.operands]
                rounds = node.primitive.need("rounding")(
                    values[node], *operands, **dict(node.params)
                )
                if others is not None:
                    moves = values[node] != others[node]
                    rounds = rounds._replace(size=np.where(moves, rounds.size, 0.0))
                local[node] = rounds
            return [self._gathered(k, values, local) for k in range(len(self.seeds))]

    def values(self, arrays: Sequence[Any]) -> dict[Expr, Any]:
        """The value of every node."""
        known: dict[Expr, Any] = dict(zip(self.graph.inputs, map(np.asarray, arrays), strict=True))
        evaluate([*self.graph.outputs, *self.graph.inputs], known)
        return known

    def _gathered(self, k: int, values: dict[Expr, Any], local: dict[Expr, Local]) -> Rounding:
        """One sweep an element of the output."""
        seed = self.seeds[k]
        bound, squares = np.zeros(seed.size), np.zeros(seed.size)
        for i in range(seed.size):
            unit = np.zeros(seed.size, seed.dtype)
            unit[i] = 1.0
            known = {**values, seed: unit.reshape(seed.shape)}
            evaluate(self.cotangents[k].values(), known)
            for node, ct in self.cotangents[k].items():
                rounds = local[node]
                moved = _flowing(np.abs(known[ct]), ulp(rounds.size))
                bound[i] += rounds.largest * np.sum(moved)
                squares[i] += rounds.typical**2 * np.sum(np.square(moved))
        return Rounding(bound.reshape(seed.shape), np.sqrt(squares).reshape(seed.shape))


def _flowing(ct: Array, rounding: Array) -> Array:
    """Their product; what no cotangent reaches does not count, and NaN means no bound."""
    product = ct.astype(np.float64) * rounding
    return np.where((ct == 0.0) | (rounding == 0.0), 0.0, np.where(product >= 0, product, np.inf))


def ulp(size: Any) -> Array:
    """The distance between floats at some size; 0 at 0, where nothing is rounded.

    >>> print(ulp(1.0) == 2.0**-52, ulp(0.0))
    True 0.0
    """
    return np.where(size == 0.0, 0.0, np.spacing(np.abs(size))).astype(np.float64)
