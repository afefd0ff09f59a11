"""What flows along the edges is shown in a table: the forward and the reverse pass of a graph.

`passes` writes both passes as nodes of the IR, so that any reading can run them: numbers for a
trace table, balls for what is exact. The invariant: a row for each node that computes something, in
the order of execution.

>>> import numpy as np
>>> from difflab.tracing.trace import trace
>>> graph = trace(lambda x: np.sum(x * x), np.ones(3))
>>> [row["operation"] for row in trace_table(graph, [np.ones(3)])]
['input', 'x * x', 'sum(a, axes=(-1,))']
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from difflab.errors import ArgumentError, ShapeError, UnknownNameError
from difflab.ir.expr import Expr, Graph, constant, evaluate
from difflab.ir.row import CONSTANT
from difflab.readings.cotangents import sweep
from difflab.readings.tangents import Tangent, pushforward
from difflab.views.formulas import names_of, operation, widened

Direction = int | str | Sequence[Any] | None


class Passes(NamedTuple):
    """The forward and the reverse pass of a graph, as nodes."""

    nodes: list[Expr]
    """What computes something, in the order of execution; constants are left out."""
    tangents: dict[Expr, Tangent]
    cotangents: dict[Expr, Expr]
    """For the sum of all outputs, in the order of the reverse sweep."""
    parts: dict[tuple[Expr, int], Expr]
    """What a use, (node, position of the operand), adds to the operand's cotangent."""


def passes(graph: Graph, wrt: Direction = None) -> Passes:
    """The passes that `trace_table` and `computation_graph` show; `wrt` as for `trace_table`."""
    hidden = widened(graph)
    nodes = [x for x in graph.nodes if x.primitive is not CONSTANT and x not in hidden]
    tangents = pushforward(nodes, graph.inputs, _direction(graph, wrt))
    outputs = [out for out in graph.outputs if out.differentiable]
    ones = [constant(np.ones(x.shape, x.dtype)) for x in outputs]
    cotangents: dict[Expr, Expr] = {}
    parts: dict[tuple[Expr, int], Expr] = {}
    for node, ct, flowing in sweep(outputs, ones, graph.inputs):
        cotangents[node] = ct
        parts |= {(node, i): part for i, part in enumerate(flowing) if part is not None}
    return Passes(nodes, dict(zip(nodes, tangents, strict=True)), cotangents, parts)


def trace_table(
    graph: Graph,
    arrays: Sequence[Any],
    wrt: Direction = None,
) -> list[dict[str, Any]]:
    """Value, tangent and cotangent of every node: the forward and the reverse trace side by side.

    Parameters
    ----------
    graph, arrays
        The program and the point, an array an input.
    wrt
        What the tangents are taken along: an input by name or position (every element moves at rate
        1), or a direction, an array an input. None: the first input that is differentiable.

    Returns
    -------
    list of dict
        In the order of execution: ``name``, ``operation``, ``line``, ``value``, ``tangent`` (the
        derivative of the node along wrt) and ``cotangent`` (the derivative of the outputs' sum with
        respect to the node); the last two are None at integers and truth values.

    Raises
    ------
    ShapeError, UnknownNameError, ArgumentError
        If the arrays do not fit the inputs, or wrt names no differentiable input.

    Examples
    --------
    Baydin et al. (2018), Automatic differentiation in machine learning: a survey, tables 2 and 3:

    >>> from difflab.tracing.trace import trace
    >>> graph = trace(lambda x1, x2: np.log(x1) + x1 * x2 - np.sin(x2), 2.0, 5.0)
    >>> keys = "value", "tangent", "cotangent"
    >>> for row in trace_table(graph, [2.0, 5.0], wrt="x1"):
    ...     print(row["operation"], *(f"{row[key]:.4g}" for key in keys))
    input 2 1 5.5
    input 5 0 1.716
    log(x1) 0.6931 0.5 1
    x1 * x2 10 5 1
    a + b 10.69 5.5 1
    sin(x2) -0.9589 0 -1
    c - d 11.65 5.5 1
    """
    flows, known = passes(graph, wrt), point_of(graph, arrays)
    moving = [x for x in (*flows.tangents.values(), *flows.cotangents.values()) if x is not None]
    evaluate([*flows.nodes, *moving], known)
    return rows_of(graph, flows, known)


def rows_of(graph: Graph, flows: Passes, known: Mapping[Expr, Any]) -> list[dict[str, Any]]:
    """The rows of a trace table whose numbers are known."""
    names = names_of(graph)

    def shown(node: Expr, along: Mapping[Expr, Tangent]) -> Any:
        if not node.differentiable:
            return None
        found = along.get(node)
        return np.asarray(np.zeros(node.shape, node.dtype) if found is None else known[found])[()]

    return [
        {
            "name": names[node],
            "operation": operation(node, names) if node.operands else "input",
            "line": str(node.line or ""),
            "value": np.asarray(known[node])[()],
            "tangent": shown(node, flows.tangents),
            "cotangent": shown(node, flows.cotangents),
        }
        for node in flows.nodes
    ]


def point_of(graph: Graph, arrays: Sequence[Any]) -> dict[Expr, Any]:
    """The inputs' values, checked."""
    if len(arrays) != len(graph.inputs):
        raise ShapeError(
            f"the graph has {len(graph.inputs)} inputs, but {len(arrays)} arrays were given"
        )
    known = {x: np.asarray(array, x.dtype) for x, array in zip(graph.inputs, arrays, strict=True)}
    for x, array in known.items():
        if array.shape != x.shape:
            name = dict(x.params)["name"]
            raise ShapeError(
                f"input {name!r} has shape {x.shape}, but an array of {array.shape} was given"
            )
    return known


def _direction(graph: Graph, wrt: Direction) -> list[Tangent]:
    if isinstance(wrt, Sequence) and not isinstance(wrt, str):
        along = point_of(graph, wrt)
        return [constant(array) if x.differentiable else None for x, array in along.items()]
    position = next((i for i, x in enumerate(graph.inputs) if x.differentiable), None)
    if wrt is not None:
        names = [dict(x.params)["name"] for x in graph.inputs]
        position = names.index(wrt) if wrt in names else wrt if isinstance(wrt, int) else None
        if position is None or not 0 <= position < len(names):
            raise UnknownNameError("input", wrt, names)
        dtype = graph.inputs[position].dtype
        if dtype.kind != "f":
            raise ArgumentError(f"input {names[position]!r} is {dtype}, so it has no tangent")
    return [
        constant(np.ones(x.shape, x.dtype)) if i == position else None
        for i, x in enumerate(graph.inputs)
    ]


def abbreviated(value: Any, digits: int = 6) -> str:
    """A number, a short vector, or an array's first elements and shape.

    >>> abbreviated(np.ones(3)), abbreviated(np.linspace(0, 1, 12).reshape(3, 4), digits=2)
    ('[1, 1, 1]', '[0, 0.091, ...] (3, 4)')
    """
    if value is None:
        return ""
    array = np.asarray(value)
    shown = array.ravel()[: 3 if array.size <= 3 else 2]
    texts = [f"{x:.{digits}g}" if array.dtype.kind == "f" else str(x) for x in shown]
    if array.size == 1:
        return texts[0]
    dots = ", ..." if array.size > 3 else ""
    return f"[{', '.join(texts)}{dots}]{f' {array.shape}' if dots or array.ndim > 1 else ''}"


def print_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows of a trace table as aligned plain text, arrays abbreviated.

    >>> from difflab.tracing.trace import trace
    >>> graph = trace(lambda x: np.sum(x * x), np.ones(3))
    >>> print(print_table([row | {"line": "f.py:1"} for row in trace_table(graph, [np.ones(3)])]))
    name  operation           line    value      tangent    cotangent
    ----  ------------------  ------  ---------  ---------  ---------
    x     input               f.py:1  [1, 1, 1]  [1, 1, 1]  [2, 2, 2]
    a     x * x               f.py:1  [1, 1, 1]  [2, 2, 2]  [1, 1, 1]
    b     sum(a, axes=(-1,))  f.py:1  3          6          1
    """
    head = list(rows[0]) if rows else []
    cells = [[x if isinstance(x, str) else abbreviated(x) for x in row.values()] for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
    lines = [head, ["-" * width for width in widths], *cells]
    pad = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    return "\n".join("  ".join(line).rstrip() for line in pad)
