"""What flows along the edges is shown as it flows: a page that steps through both passes.

The page is one file without a network: the computation graph, the user's lines, the trace table and
a sentence for each step; its script, in stepping.html, shows the numbers of a step when the step is
reached. The invariants: whatever comes from the user is escaped; without a script, and on paper,
all numbers are shown; the same arguments give the same bytes.

>>> from difflab.tracing.trace import trace
>>> graph = trace(lambda x1, x2: x1 * x2, 2.0, 5.0)
>>> for step in steps(graph, [2.0, 5.0]):
...     print(step.text)
x1 = 2 is given
x2 = 5 is given
a = x1 * x2: 2 * 5 = 10
the cotangent of the output a is 1
the cotangent of x1 gains 1 * 5 = 5 through a, that of x2 gains 1 * 2 = 2
x2 is an input: its cotangent 2 is the derivative by x2
x1 is an input: its cotangent 5 is the derivative by x1
"""

from __future__ import annotations

import html
import json
import linecache
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from difflab.errors import BudgetError, Line, MissingPackageError
from difflab.ir.expr import Expr, Graph, constant, evaluate
from difflab.ir.row import ATOM, CONSTANT, INPUT
from difflab.readings.cotangents import pullback
from difflab.views.formulas import names_of, operation
from difflab.views.pictures import MOST_NODES, computation_graph
from difflab.views.traces import abbreviated, passes, point_of, rows_of

TEMPLATE: Final = Path(__file__).with_suffix(".html")
AROUND: Final = 2
"""How many lines of source are shown before and after those that the graph comes from."""
MOST_STEPPED: Final = 1000
"""A program of more nodes than this is shown as a table alone."""
MOST_ROWS: Final = 2000
"""Of a longer table the middle is left out."""


class Step(NamedTuple):
    """A step of either pass: the node that it is about, and a sentence that says what happens."""

    phase: str
    """"forward"; "output", where the reverse pass starts; or "backward"."""
    node: Expr
    text: str


class Mark(NamedTuple):
    """Where something goes wrong: the node, the pass, and the user's line."""

    node: Expr
    phase: str
    line: Line | None


def steps(graph: Graph, arrays: Sequence[Any]) -> list[Step]:
    """The steps of the forward pass in the order of execution, then those of the reverse pass."""
    flows, known = passes(graph), point_of(graph, arrays)
    evaluate([*flows.nodes, *flows.cotangents.values(), *flows.parts.values()], known)
    names = names_of(graph)
    shown = {node: abbreviated(known[node]) for node in graph.nodes if node in known}
    shown |= {x: names[x] for x in graph.nodes if x.primitive is CONSTANT}
    found = [Step("forward", node, _forward(node, names, shown)) for node in flows.nodes]
    for out in dict.fromkeys(graph.outputs):
        if out in flows.cotangents:
            one = "1" if not out.shape else "1 in every element"
            found.append(Step("output", out, f"the cotangent of the output {names[out]} is {one}"))
    for node, ct in flows.cotangents.items():
        gains: dict[Expr, Any] = {}
        for i, x in enumerate(node.operands):
            part = flows.parts.get((node, i))
            if part is not None:
                with np.errstate(all="ignore"):
                    gains[x] = gains[x] + known[part] if x in gains else known[part]
        if node.primitive is INPUT:
            total = abbreviated(known[ct])
            text = f"{names[node]} is an input: its cotangent {total} is the derivative by "
            found.append(Step("backward", node, text + names[node]))
        else:
            found.append(Step("backward", node, _backward(node, ct, gains, names, known)))
    return found


def _forward(node: Expr, names: Mapping[Expr, str], shown: Mapping[Expr, str]) -> str:
    if not node.operands:
        return f"{names[node]} = {shown[node]} is given"
    operands = {x: shown[x] for x in node.operands}
    if node.primitive.precedence < ATOM:
        operands = {x: _bracketed(text) for x, text in operands.items()}
    formula, numbers = operation(node, names), operation(node, operands)
    middle = f"{numbers} = " if node.primitive.kind == "pointwise" else ""
    return f"{names[node]} = {formula}: {middle}{shown[node]}"


def _backward(
    node: Expr,
    ct: Expr,
    gains: Mapping[Expr, Any],
    names: Mapping[Expr, str],
    known: dict[Expr, Any],
) -> str:
    if not gains:
        return f"nothing flows back through {names[node]}"
    texts = []
    for i, (x, gain) in enumerate(gains.items()):
        product = ""
        if not node.shape and not x.shape:
            partial = _bracketed(abbreviated(_partial(node, x, known)))
            product = f"{abbreviated(known[ct])} * {partial} = "
        who = f"the cotangent of {names[x]}" if i == 0 else f"that of {names[x]}"
        through = f" through {names[node]}" if i == 0 else ""
        texts.append(f"{who} gains {product}{abbreviated(gain)}{through}")
    return ", ".join(texts)


def _bracketed(number: str) -> str:
    return f"({number})" if number.startswith("-") else number


def _partial(node: Expr, x: Expr, known: dict[Expr, Any]) -> Any:
    """The local partial of a scalar node by one of its operands, computed as the sweep does."""
    operands = [operand for operand in dict.fromkeys(node.operands) if operand.differentiable]
    parts = pullback([node], [constant(1.0, node.dtype)], operands)
    part = dict(zip(operands, parts, strict=True))[x]
    return 0.0 if part is None else evaluate([part], known)[0]


# -- the page --------------------------------------------------------------------------------------


def page(
    graph: Graph,
    arrays: Sequence[Any],
    *,
    title: str = "difflab",
    rows: Sequence[Mapping[str, Any]] | None = None,
    guilty: Mark | None = None,
    verdict: str = "",
) -> str:
    """A self-contained HTML page that steps through the forward and the reverse pass.

    Parameters
    ----------
    graph, arrays
        The program and the point, an array an input.
    title
        What the page is about, such as the function's name.
    rows
        The rows of the table, one a node in the order of execution; a trace table by default.
    guilty
        What to mark as the place where something is lost.
    verdict
        What is lost there, as plain text; shown above everything.

    Examples
    --------
    >>> from difflab.tracing.trace import trace
    >>> text = page(trace(lambda x: x * x, 3.0), [3.0], title="<my function>")
    >>> "&lt;my function&gt;" in text, "<my function>" in text
    (True, False)
    """
    flows, known = passes(graph), point_of(graph, arrays)
    if rows is None:
        moving = [
            x for x in (*flows.tangents.values(), *flows.cotangents.values()) if x is not None
        ]
        evaluate([*flows.nodes, *moving], known)
        rows = rows_of(graph, flows, known)
    places = {node: i for i, node in enumerate(graph.nodes)}
    found = steps(graph, arrays) if len(flows.nodes) <= MOST_STEPPED else []
    picture, note = _picture(graph, arrays)
    if len(rows) > MOST_ROWS:
        note += f" Of its {len(rows):,} rows the middle is left out."
    # An input's line is where the page is asked for, which is no part of the program.
    lines = [node.line for node in flows.nodes if node.operands and node.line is not None]
    listing, anchors = _listing(lines, guilty.line if guilty is not None else None)
    data = [
        {
            "phase": step.phase,
            "place": places[step.node],
            "line": anchors.get(step.node.line) if step.node.line else None,
            "text": step.text,
        }
        for step in found
    ]
    marked = None if guilty is None else places[guilty.node]
    table = _table(rows, [places[node] for node in flows.nodes], marked)
    parts = {
        "title": html.escape(title),
        "verdict": _paragraphs(verdict),
        "picture": picture,
        "note": f'<p class="note">{html.escape(note)}</p>' if note else "",
        "listing": listing,
        "table": table,
        "steps": _embedded({"steps": data, "guilty": marked, "at": guilty and guilty.phase}),
        "inert": "" if found else "hidden",
    }
    text = TEMPLATE.read_text(encoding="utf-8")
    head, *rest = text.split("{{")
    pieces = [head]
    for piece in rest:  # one pass, so that braces in what is put in mean nothing
        name, _, following = piece.partition("}}")
        pieces += [parts[name], following]
    return "".join(pieces)


def _picture(graph: Graph, arrays: Sequence[Any]) -> tuple[str, str]:
    """The drawing, or why there is none, which is no error here."""
    operations = len(graph.operations)
    if operations > 5 * MOST_NODES:
        return (
            "",
            f"A graph of {operations:,} operations cannot be read, so only the table is shown.",
        )
    try:
        return computation_graph(graph, arrays), ""
    except MissingPackageError as error:
        return "", f"{error.what}, so only the table is shown; remedy: {error.remedy}"
    except BudgetError as error:
        return "", f"{error.what[0].upper()}{error.what[1:]}: only the table is shown."


def _listing(lines: Sequence[Line], guilty: Line | None) -> tuple[str, dict[Line, str]]:
    """The user's source around the lines, each with an anchor."""
    anchors, pieces = {}, []
    for number, file in enumerate(dict.fromkeys(line.file for line in lines)):
        used = sorted({line.number for line in lines if line.file == file})
        shown = sorted({n for at in used for n in range(at - AROUND, at + AROUND + 1) if n > 0})
        texts = {n: linecache.getline(file, n).rstrip("\n") for n in shown}
        if not any(texts[n].strip() for n in used):
            continue
        last = max(n for n in shown if texts[n].strip())
        indent = min(len(t) - len(t.lstrip()) for t in texts.values() if t.strip())
        pieces.append(f'<p class="file">{html.escape(Path(file).name)}</p><pre class="code">')
        before = None
        for n in shown:
            if n > last:
                break
            if before is not None and n > before + 1:
                pieces.append('<span class="gap">⋯</span>\n')
            before = n
            anchor = f"line{number}-{n}"
            if n in used:
                anchors[Line(file, n)] = anchor
            text = html.escape(texts[n][indent:])
            kind = "line guilty" if Line(file, n) == guilty else "line"
            pieces.append(f'<span class="{kind}" id="{anchor}"><i>{n:4}</i> {text}</span>\n')
        pieces.append("</pre>")
    return "".join(pieces), anchors


_TWO_PHASES: Final = {"value": "forward", "tangent": "forward", "cotangent": "backward"}


def _table(rows: Sequence[Mapping[str, Any]], places: Sequence[int], guilty: int | None) -> str:
    """The rows as HTML, each with the place of its node."""
    if not rows:
        return ""
    head = "".join(
        f'<th scope="col">{html.escape(name.replace("_", " "))}</th>' for name in rows[0]
    )
    body = []
    numbered = list(zip(rows, places, strict=True))
    if len(rows) > MOST_ROWS:
        numbered[MOST_ROWS // 2 : -MOST_ROWS // 2] = []
    for row, place in numbered:
        cells = []
        for name, value in row.items():
            text = value if isinstance(value, str) else _figure(name, value)
            phase = _TWO_PHASES.get(name.rpartition("_")[2], "")
            kind = f"{phase} {'' if isinstance(value, str) else 'number'}".strip()
            cells.append(f'<td class="{kind}">{html.escape(text)}</td>')
        mark = ' class="guilty"' if place == guilty else ""
        body.append(f'<tr id="row{place}"{mark}>{"".join(cells)}</tr>')
    return f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody>"


def _figure(name: str, value: Any) -> str:
    if isinstance(value, float) and np.isnan(value) and name not in _TWO_PHASES:
        return ""
    return abbreviated(value, digits=6 if name in _TWO_PHASES else 2)


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{html.escape(line)}</p>" for line in text.splitlines() if line.strip())


def _embedded(data: Any) -> str:
    """JSON that cannot end the script element that it stands in."""
    return json.dumps(data, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
