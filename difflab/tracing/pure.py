"""Whether a function is pure: called twice at the same point it computes the same.

What flows: the graphs of two calls come in; nothing comes out, or a `TraceError` that names the
line of the first node that differs. Since equal nodes are one object, this is a test of identity,
but for arrays that are made anew each time, which count by what they hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from difflab.errors import TraceError
from difflab.ir.expr import Expr, Graph, constant, reachable
from difflab.ir.row import CONSTANT, INPUT


def need_pure(first: Graph, second: Graph) -> None:
    nodes = [[*graph.outputs, *[g.expr for g in graph.guards]] for graph in (first, second)]
    differing = _difference(*nodes)
    if differing is not None:
        raise TraceError(
            "the function is not pure: called twice at the same point it computed different things",
            "draw random numbers, read clocks and count outside, and pass the results as arguments",
            differing.line,
        )


def need_no_memory(graph: Graph, stored: Sequence[Any]) -> None:
    """Raise where the function went the way on which an argument is what it stored before: there
    it gives back an earlier result, which has no derivative.
    """
    values = [value for value in stored if isinstance(value, (np.ndarray, float))]
    told = {
        constant(value)
        for value in values
        if np.asarray(value).dtype.kind == "f" and not np.all(np.mod(value, 2.0**-10) == 0.0)
    }
    for guard in graph.guards if told else ():
        nodes = reachable([guard.expr])
        asks = any(node.primitive is INPUT for node in nodes)
        if asks and np.all(guard.value) and not told.isdisjoint(nodes):
            raise TraceError(
                "the function gives back what it stored at an earlier call",
                "hand over the function without its memory of earlier calls",
                guard.expr.line,
            )


def _difference(first: Sequence[Expr], second: Sequence[Expr]) -> Expr | None:
    """The first node of the second run that differs from its twin in the first; arrays count by
    content.
    """
    twin: dict[Expr, Expr] = {}
    before, after = reachable(first), reachable(second)
    shared = set(before) & set(after)
    only_before = [node for node in before if node not in shared]
    only_after = [node for node in after if node not in shared]
    for left, right in zip(only_before, only_after, strict=False):
        if left.primitive is CONSTANT and right.primitive is CONSTANT:
            a, b = left.value, right.value
            same = a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
        else:
            made_alike = (left.primitive, left.params, len(left.operands)) == (
                right.primitive, right.params, len(right.operands),
            )  # fmt: skip
            pairs = zip(left.operands, right.operands, strict=False)
            same = made_alike and all(twin.get(x, x) is y for x, y in pairs)
        if not same:
            return right
        twin[left] = right
    for left, right in zip(first, second, strict=False):
        if twin.get(left, left) is not right:
            return right
    return None
