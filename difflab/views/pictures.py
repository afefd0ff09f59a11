"""What flows along the edges is shown: a graph at a point as a drawing.

The drawing shows every value and what flows back to it (its cotangent); the other readings for
people, trace tables from traces.py, text and LaTeX from formulas.py, are here too. The invariant:
the same graph at the same point always gives the same bytes, and whatever stands for a node or for
a use of it carries the node's place in the graph as its id or class, for pages that bring the
drawing to life.

>>> from difflab.tracing.trace import trace
>>> svg = computation_graph(trace(lambda x: x * x, 3.0), [3.0])
>>> 'id="place0"' in svg, "from0 to1" in svg
(True, True)
"""

from __future__ import annotations

import html
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from difflab.errors import BudgetError, MissingPackageError, missing
from difflab.ir.expr import Expr, Graph, evaluate, reachable
from difflab.ir.row import CONSTANT, INPUT
from difflab.ir.tree import LEAF, paths, read_arguments
from difflab.tracing.trace import trace
from difflab.views.files import writable
from difflab.views.formulas import latex, literal, operation, text
from difflab.views.notebook import preformatted, scrolled
from difflab.views.traces import (
    abbreviated,
    passes,
    point_of,
    print_table,
    trace_table,
)

__all__ = [
    "abbreviated",
    "computation_graph",
    "latex",
    "picture",
    "print_table",
    "save_computation_graph",
    "text",
    "trace_table",
]

# -- computation graphs ----------------------------------------------------------------------------

MOST_NODES: Final = 200
SUFFIXES: Final = (".svg", ".png")
VALUE, GRADIENT, LINE = "#0B3C7D", "#D55E00", "#5F6368"
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
    MissingPackageError
        If pygraphviz is not installed.

    Examples
    --------
    >>> from difflab.tracing.trace import trace
    >>> graph = trace(lambda x, y, z: (x + y) * z, -2.0, 5.0, -4.0)
    >>> computation_graph(graph, [-2.0, 5.0, -4.0])[:4]
    '<svg'
    """
    svg = _drawn(_dot(graph, arrays, most_nodes, 72), "svg").decode()
    return re.sub("<title>.*</title>\\n", "", svg[svg.index("<svg") :].replace("\r\n", "\n"))


def save_computation_graph(
    graph: Graph, arrays: Sequence[Any] | None, file: str | os.PathLike[str]
) -> None:
    """Save the computation graph to a .svg or .png file; as `computation_graph`."""
    file = writable(file, SUFFIXES)
    if file.suffix == ".svg":
        file.write_bytes(computation_graph(graph, arrays).encode())
    else:
        file.write_bytes(_drawn(_dot(graph, arrays, MOST_NODES, 144), "png"))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Picture:
    """A function's computation graph at a point, drawn; shows itself in notebooks."""

    graph: Graph
    arrays: Sequence[Any]
    svg: str

    def __repr__(self) -> str:
        return f"<picture of {repr(self.graph)[1:-1]}>"

    def _repr_svg_(self) -> str:
        return self.svg

    def save(self, file: str | os.PathLike[str]) -> None:
        """Save as a drawing.

        Parameters
        ----------
        file
            Its name, which ends in ``.svg`` or ``.png``.

        Raises
        ------
        ArgumentError, StorageError
            For another suffix, or a file that cannot be written.
        """
        save_computation_graph(self.graph, self.arrays, file)


def picture(f: Callable[..., Any], *args: Any) -> Picture:
    """The computation graph of a function at a point, with values and gradients.

    Parameters
    ----------
    f, args
        A function that can be traced, and the point.

    Returns
    -------
    Picture
        A notebook shows it; ``.svg`` is its text, ``.save("graph.svg")`` and
        ``.save("graph.png")`` write it.

    Raises
    ------
    BudgetError
        If the drawing would have too many nodes to be read.
    MissingPackageError
        If pygraphviz is not installed.

    Examples
    --------
    >>> picture(lambda x, y: x * y + y, 2.0, 3.0)
    <picture of graph; inputs: 2, outputs: 1, operations: 2>
    """
    graph, arrays = trace(f, *args), read_arguments(args, {})[1]
    return Picture(graph, arrays, computation_graph(graph, arrays))


def html_of(graph: Graph) -> str:
    """What a notebook shows of a graph: a drawing, or the program where it cannot be drawn."""
    try:
        return scrolled(computation_graph(graph))
    except (MissingPackageError, BudgetError):
        return preformatted(str(graph))


def _drawn(dot: str, kind: str) -> bytes:
    try:
        import pygraphviz
    except ImportError:
        raise missing("pygraphviz", "lab") from None
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
    folded = {x for x in nodes if x.primitive.shaping and uses[x] == 1}
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
    places = {node: i for i, node in enumerate(graph.nodes)}
    ids = {node: f"n{places[node]}" for node in sorted(drawn, key=lambda node: node.age)}
    origins: dict[Expr, list[Expr]] = {node: [] for node in ids}
    for arrow in arrows:
        if arrow.user is not None:
            origins[arrow.user].append(arrow.origin)
    fan = Counter(arrow.origin for arrow in arrows)
    lines = [
        _node(
            node,
            places[node],
            _symbol(node, origins[node], ids),
            totals.get(node) if fan[node] > 1 else None,
        )
        for node in ids
    ]
    ends = iter(_ends(graph))
    for i, (origin, user, use) in enumerate(arrows):
        if origin not in ids:
            continue
        if user is None:
            lines.append(f"out{i} [shape=box label=<{html.escape(next(ends))}>]")
        head = f"out{i}" if user is None else ids[user]
        use_of = f"from{places[origin]} to{'end' if use is None else places[use[0]]}"
        if arrays is None:
            lines.append(f'{ids[origin]} -> {head} [class="arrow {use_of}"]')
            continue
        gradient = None
        if origin.differentiable and origin.primitive is not CONSTANT:
            # An output's own gradient is 1; a use that does not reach the output has gradient 0.
            default = np.full(origin.shape, float(user is None))
            gradient = default if use is None else parts.get(use, default)
        label = _label(known[origin], gradient)
        bare = "shape=plain width=0 height=0 margin=0"
        lines.append(f'e{i} [{bare} class="flow {use_of}" label=<{label}>]')
        lines.append(f'{ids[origin]} -> e{i}:w [arrowhead=none class="arrow {use_of}"]')
        lines.append(f'e{i}:e -> {head} [class="arrow {use_of}"]')
    return _frame(lines, arrays is not None, dpi)


def _flows(
    graph: Graph, arrays: Sequence[Any] | None
) -> tuple[dict[Expr, Any], dict[tuple[Expr, int], Any], dict[Expr, Any]]:
    """Values of the nodes, gradients by (node, position of the operand), and their sums by node."""
    if arrays is None:
        return {}, {}, {}
    known = point_of(graph, arrays)
    _, _, totals, parts = passes(graph)
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
    if row.is_call:
        return row.name if set(names) == {"·"} else shown
    return shown if shown.count("·") > 2 else shown.translate(_GLYPHS).strip()


def _short(value: Any) -> str:
    return abbreviated(value, digits=4 if np.size(value) <= 3 else 2)


def _coloured(text: str, colour: str) -> str:
    return f'<font color="{colour}">{html.escape(text)}</font>'


def _node(node: Expr, place: int, symbol: str, total: Any) -> str:
    shape = "box" if not node.operands else "circle" if len(symbol) <= 4 else "ellipse"
    label = html.escape(symbol)
    if total is not None:
        label += f"<br/>{_coloured(f'Σ {_short(total)}', GRADIENT)}"
    line = str(node.line or "").replace('"', "'")
    at = f'id="place{place}" class="place" tooltip="{line}"'
    return f"n{place} [shape={shape} label=<{label}> {at}]"


def _label(value: Any, gradient: Any) -> str:
    above = _coloured(_short(value), VALUE)
    below = "&#160;" if gradient is None else _coloured(_short(gradient), GRADIENT)
    return (
        f'<table border="0" cellborder="0" cellspacing="0" cellpadding="2" color="{LINE}">'
        f'<tr><td width="48">{above}</td></tr><hr/><tr><td>{below}</td></tr></table>'
    )


def _frame(lines: Sequence[str], explained: bool, dpi: int) -> str:
    font = 'fontname="Helvetica,Arial,sans-serif"'
    # A cell each: runs of one line would overlap where the reader's font is wider than Graphviz's.
    said = (("value above", VALUE), ("gradient below each arrow", GRADIENT))
    cells = "".join(f"<td>{_coloured(text, colour)}</td>" for text, colour in said)
    table = f'<table border="0" cellpadding="8"><tr>{cells}</tr></table>'
    legend = f"label=<{table}>" if explained else ""
    return f"""digraph {{
        graph [rankdir=LR bgcolor=white pad=0.2 ranksep=0.25 nodesep=0.3 ordering=in dpi={dpi}]
        graph [{font} fontsize=10 labelloc=b {legend}]
        node [{font} fontsize=12 height=0.4 width=0.4 margin="0.12,0.04" color="{LINE}"]
        edge [color="{LINE}" arrowsize=0.7]
        {chr(10).join(lines)}
    }}"""
