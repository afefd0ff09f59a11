"""What flows along the edges is shown: a graph at a point as a trace table, and as a drawing.

Both show every value, what moves forward with it (its tangent) and what flows back to it (its
cotangent); a graph's text and LaTeX, from formulas.py, are here too. The invariant: the same graph
at the same point always gives the same bytes.

>>> import numpy as np
>>> from difflab.ir.trace import trace
>>> graph = trace(lambda x: np.sum(x * x), np.ones(3))
>>> [row["operation"] for row in trace_table(graph, [np.ones(3)])]
['input', 'x * x', 'sum(a, axes=(-1,))']
"""

from __future__ import annotations

import html
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from difflab.errors import (
    ArgumentError,
    BudgetError,
    ShapeError,
    UnknownNameError,
    UnsupportedError,
)
from difflab.interpretations.cotangents import sweep
from difflab.interpretations.formulas import latex, literal, names_of, operation, text, widened
from difflab.interpretations.tangents import Tangent, pushforward
from difflab.ir.expr import Expr, Graph, constant, evaluate, reachable
from difflab.ir.row import CONSTANT, INPUT
from difflab.ir.tree import LEAF, paths

__all__ = [
    "abbreviated",
    "computation_graph",
    "latex",
    "print_table",
    "save_computation_graph",
    "text",
    "trace_table",
]

# -- trace tables ----------------------------------------------------------------------------------


def trace_table(
    graph: Graph,
    arrays: Sequence[Any],
    wrt: int | str | Sequence[Any] | None = None,
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

    >>> from difflab.ir.trace import trace
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
    names, hidden = names_of(graph), widened(graph)
    known = _point(graph, arrays)
    nodes = [x for x in graph.nodes if x.primitive is not CONSTANT and x not in hidden]
    tangents = dict(
        zip(nodes, pushforward(nodes, graph.inputs, _direction(graph, wrt)), strict=True)
    )
    cotangents: dict[Expr, Tangent] = {node: ct for node, ct, _ in _reverse(graph)}
    flowing = [x for x in (*tangents.values(), *cotangents.values()) if x is not None]
    evaluate([*nodes, *flowing], known)

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
            "tangent": shown(node, tangents),
            "cotangent": shown(node, cotangents),
        }
        for node in nodes
    ]


def _point(graph: Graph, arrays: Sequence[Any]) -> dict[Expr, Any]:
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


def _reverse(graph: Graph) -> Iterator[tuple[Expr, Expr, list[Tangent]]]:
    """The reverse sweep for the sum of all outputs."""
    outputs = [out for out in graph.outputs if out.differentiable]
    return sweep(outputs, [constant(np.ones(x.shape, x.dtype)) for x in outputs], graph.inputs)


def _direction(graph: Graph, wrt: int | str | Sequence[Any] | None) -> list[Tangent]:
    if isinstance(wrt, Sequence) and not isinstance(wrt, str):
        along = _point(graph, wrt)
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

    >>> from difflab.ir.trace import trace
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


# -- computation graphs ----------------------------------------------------------------------------

MOST_NODES: Final = 200
VALUE, GRADIENT, LINE = "#0B3C7D", "#D55E00", "#5F6368"
_FOLDED = frozenset(("reshape", "expand"))
_GLYPHS = str.maketrans({"*": "×", "-": "−", "·": None})


def computation_graph(
    graph: Graph, arrays: Sequence[Any] | None = None, *, most_nodes: int = MOST_NODES
) -> str:
    """The computation graph as SVG text, drawn by Graphviz from left to right.

    With `arrays`, the point, the value that flows along an arrow stands above it, and the gradient
    that flows back below it: what this use of the value contributes to the derivative of the output
    (of the sum of all outputs). A value that is used more than once shows the sum, Σ, of those.

    Raises
    ------
    BudgetError
        If the drawing would have more than `most_nodes` nodes.
    UnsupportedError
        If pygraphviz is not installed.

    Examples
    --------
    >>> from difflab.ir.trace import trace
    >>> graph = trace(lambda x, y, z: (x + y) * z, -2.0, 5.0, -4.0)
    >>> computation_graph(graph, [-2.0, 5.0, -4.0])[:4]
    '<svg'
    """
    svg = _drawn(_dot(graph, arrays, most_nodes, 72), "svg").decode()
    return re.sub("<title>.*</title>\\n", "", svg[svg.index("<svg") :].replace("\r\n", "\n"))


def save_computation_graph(graph: Graph, arrays: Sequence[Any] | None, file: str | Path) -> None:
    """Save the computation graph to a .svg or .png file; as `computation_graph`."""
    file = Path(file)
    if file.suffix == ".svg":
        file.write_bytes(computation_graph(graph, arrays).encode())
    elif file.suffix == ".png":
        file.write_bytes(_drawn(_dot(graph, arrays, MOST_NODES, 144), "png"))
    else:
        raise UnknownNameError("picture format", file.suffix, (".svg", ".png"))


def _drawn(dot: str, kind: str) -> bytes:
    try:
        import pygraphviz
    except ImportError:
        raise UnsupportedError(
            "a computation graph is drawn by pygraphviz, which is not installed",
            'pip install "difflab[lab]"',
        ) from None
    with _without_font_warnings():
        return bytes(pygraphviz.AGraph(string=dot).draw(format=kind, prog="dot"))


@contextmanager
def _without_font_warnings() -> Iterator[None]:
    """The wheel's font library is older than most systems' font settings, and says so on stderr."""
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            said.seek(0)
            os.write(2, b"".join(line for line in said if not line.startswith(b"Fontconfig")))


class _Arrow(NamedTuple):
    """A use of a value: by which drawn node (None: it is an output), and where its gradient is."""

    origin: Expr
    user: Expr | None
    use: tuple[Expr, int] | None


def _arrows(graph: Graph, nodes: Sequence[Expr]) -> list[_Arrow]:
    """All arrows; reshapes and repetitions that are used once are part of the arrow."""
    uses = Counter(x for node in nodes for x in node.operands)
    uses.update(graph.outputs)
    folded = {x for x in nodes if x.primitive.name in _FOLDED and uses[x] == 1}
    folded -= set(graph.outputs)
    arrows = []
    for node in nodes:
        if node not in folded:
            for position, origin in enumerate(node.operands):
                use = (node, position)
                while origin in folded:
                    use, origin = (origin, 0), origin.operands[0]
                arrows.append(_Arrow(origin, node, use))
    return arrows + [_Arrow(out, None, None) for out in graph.outputs]


def _dot(graph: Graph, arrays: Sequence[Any] | None, most_nodes: int, dpi: int) -> str:
    """The drawing in Graphviz's language; a labelled arrow is two edges with the label between."""
    arrows = _arrows(graph, reachable([*graph.inputs, *graph.outputs]))
    drawn = dict.fromkeys(graph.inputs)
    drawn |= dict.fromkeys(x.user for x in arrows if x.user is not None)
    drawn |= dict.fromkeys(x.origin for x in arrows if x.origin.shape or x.user is None)
    if len(drawn) > most_nodes:
        raise BudgetError(
            f"a computation graph of {len(drawn)} nodes cannot be read; the most is {most_nodes}",
            "draw a smaller case or a part of the function, or use trace_table",
        )
    known, parts, totals = _flows(graph, arrays)
    ids = {node: f"n{i}" for i, node in enumerate(sorted(drawn, key=lambda node: node.age))}
    origins: dict[Expr, list[Expr]] = {node: [] for node in ids}
    for arrow in arrows:
        if arrow.user is not None:
            origins[arrow.user].append(arrow.origin)
    fan = Counter(arrow.origin for arrow in arrows)
    lines = [
        _node(
            node,
            name,
            _symbol(node, origins[node], ids),
            totals.get(node) if fan[node] > 1 else None,
        )
        for node, name in ids.items()
    ]
    ends = iter(_ends(graph))
    for i, (origin, user, use) in enumerate(arrows):
        if origin not in ids:
            continue
        if user is None:
            lines.append(f"out{i} [shape=box label=<{html.escape(next(ends))}>]")
        head = f"out{i}" if user is None else ids[user]
        if arrays is None:
            lines.append(f"{ids[origin]} -> {head}")
            continue
        gradient = None
        if origin.differentiable and origin.primitive is not CONSTANT:
            # An output's own gradient is 1; a use that does not reach the output has gradient 0.
            default = np.full(origin.shape, float(user is None))
            gradient = default if use is None else parts.get(use, default)
        label = _label(known[origin], gradient)
        lines.append(f"e{i} [shape=plain width=0 height=0 margin=0 label=<{label}>]")
        lines.append(f"{ids[origin]} -> e{i}:w [arrowhead=none]")
        lines.append(f"e{i}:e -> {head}")
    return _frame(lines, arrays is not None, dpi)


def _flows(
    graph: Graph, arrays: Sequence[Any] | None
) -> tuple[dict[Expr, Any], dict[tuple[Expr, int], Any], dict[Expr, Any]]:
    """Values of the nodes, gradients by (node, position of the operand), and their sums by node."""
    if arrays is None:
        return {}, {}, {}
    known = _point(graph, arrays)
    totals: dict[Expr, Expr] = {}
    parts: dict[tuple[Expr, int], Expr] = {}
    for node, ct, flowing in _reverse(graph):
        totals[node] = ct
        parts |= {(node, i): part for i, part in enumerate(flowing) if part is not None}
    evaluate([*graph.outputs, *totals.values(), *parts.values()], known)
    return (
        known,
        {use: known[part] for use, part in parts.items()},
        {node: known[total] for node, total in totals.items()},
    )


def _ends(graph: Graph) -> list[str]:
    """The outputs' names."""
    if graph.output_tree is LEAF and len(graph.outputs) != 1:
        return [f"output[{i}]" for i in range(len(graph.outputs))]
    return [f"output{path}" for path in paths(graph.output_tree)]


def _symbol(node: Expr, origins: Sequence[Expr], drawn: Container[Expr]) -> str:
    """What stands in a node: a name, or an operator's sign with the constants it is applied to."""
    if node.primitive is INPUT:
        return str(dict(node.params)["name"])
    if node.primitive is CONSTANT:
        return literal(node.value)
    names = ["·" if x in drawn else literal(x.value) for x in origins]
    shown = operation(node, dict(zip(node.operands, names, strict=True)))
    row = node.primitive
    if row.text.startswith(f"{row.name}("):
        return row.name if set(names) == {"·"} else shown
    return shown if shown.count("·") > 2 else shown.translate(_GLYPHS).strip()


def _short(value: Any) -> str:
    return abbreviated(value, digits=4 if np.size(value) <= 3 else 2)


def _coloured(text: str, colour: str) -> str:
    return f'<font color="{colour}">{html.escape(text)}</font>'


def _node(node: Expr, name: str, symbol: str, total: Any) -> str:
    shape = "box" if not node.operands else "circle" if len(symbol) <= 4 else "ellipse"
    label = html.escape(symbol)
    if total is not None:
        label += f"<br/>{_coloured(f'Σ {_short(total)}', GRADIENT)}"
    return f'{name} [shape={shape} label=<{label}> tooltip="{node.line or ""}"]'


def _label(value: Any, gradient: Any) -> str:
    above = _coloured(_short(value), VALUE)
    below = "&#160;" if gradient is None else _coloured(_short(gradient), GRADIENT)
    return (
        f'<table border="0" cellborder="0" cellspacing="0" cellpadding="2" color="{LINE}">'
        f'<tr><td width="48">{above}</td></tr><hr/><tr><td>{below}</td></tr></table>'
    )


def _frame(lines: Sequence[str], explained: bool, dpi: int) -> str:
    font = 'fontname="Helvetica,Arial,sans-serif"'
    value, gradient = _coloured("value", VALUE), _coloured("gradient", GRADIENT)
    legend = f"label=<{value} above, {gradient} below each arrow>" if explained else ""
    return f"""digraph {{
        graph [rankdir=LR bgcolor=white pad=0.2 ranksep=0.25 nodesep=0.3 ordering=in dpi={dpi}]
        graph [{font} fontsize=10 labelloc=b {legend}]
        node [{font} fontsize=12 height=0.4 width=0.4 margin="0.08,0.04" color="{LINE}"]
        edge [color="{LINE}" arrowsize=0.7]
        {chr(10).join(lines)}
    }}"""
