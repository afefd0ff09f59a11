"""Where a value or a derivative goes wrong, and what to write instead.

What flows: a function at a point becomes its trace table with the digits that each number has lost,
and the first guilty node with a stable form. The invariant: all that is said about digits is judged
by balls at this very point, and a stable form is recommended only after it has been tried there.

>>> import numpy as np
>>> explanation = explain(lambda x: np.log(1 + np.exp(x)), 800.0)
>>> explanation.guilty.operation, explanation.guilty.what, explanation.guilty.stable
('exp(x)', 'finiteness', 'np.logaddexp(0, x)')
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from difflab.accuracy.derivative import derivative
from difflab.accuracy.explaining.blame import Place, What, Where, guilty_place, sensitivity
from difflab.accuracy.explaining.evidence import Evidence
from difflab.accuracy.explaining.reasons import advice, headline, reason
from difflab.accuracy.explaining.remedy import MOST_LOST, Remedy, find_remedy
from difflab.accuracy.partials import Partial
from difflab.accuracy.scene import Scene
from difflab.accuracy.subject import Subject, name_of
from difflab.accuracy.truth import named
from difflab.errors import ArgumentError, BudgetError, Line, UnsupportedError
from difflab.interpretations.formulas import names_of, operation
from difflab.interpretations.pictures import computation_graph, save_computation_graph
from difflab.interpretations.stepping import Mark, page
from difflab.interpretations.traces import print_table, rows_of
from difflab.ir.expr import Expr, Graph
from difflab.prepare import Argnums

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS: Final = 60
"""Of longer tables the printed text leaves out the middle."""
SHOWN: Final = 3
"""Special components that are told one by one."""
SUFFIXES: Final = (".svg", ".png", ".html")


@dataclass(frozen=True, slots=True)
class Guilty:
    """The first node at which digits, finiteness or the domain is lost."""

    node: Expr = field(repr=False)
    name: str
    operation: str
    line: Line | None
    what: What
    """What is lost: "digits", "finiteness" (an overflow) or "domain" (it is not defined there)."""
    where: Where
    """In which pass: "value" or "cotangent"."""
    partial: float
    """The local partial there, by the operand that matters most."""
    condition: float
    """The condition number there: the sum of abs(x partial) over the operands, relative to the
    result."""
    digits: float
    """How many digits are lost, of 15.95 in float64."""
    headline: str
    """What happens to the function, in half a sentence."""
    reason: str
    """What happens at the node, and why."""
    stable: str
    """What to write instead; empty where no stable form is known."""
    advice: str
    """What to do about it, and what that is worth here."""

    def __str__(self) -> str:
        source = f": {self.line.text}" if self.line is not None and self.line.text else ""
        lines = [f"{self.line}{source}"] if self.line is not None else []
        return "\n".join([*lines, self.reason, self.advice])


def _advice(place: Place, remedy: Remedy | None) -> str:
    """What to do about it."""
    if remedy is None:
        return advice(place)
    also = f" (or {remedy.also})" if remedy.also else ""
    lines = [f"Write instead: {remedy.text}{also}", f"Why: {remedy.why}."]
    if remedy.lost is not None:
        value, derivative = remedy.lost
        tried = (
            f"Tried here: the value then loses {value:.1f} digits, the derivative {derivative:.1f}"
        )
        rest = "; what remains has another cause" if max(remedy.lost) > MOST_LOST else ""
        lines.append(f"{tried}{rest}.")
    return "\n".join(lines)


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """The trace of a function at a point, and what goes wrong in it; shows itself in notebooks."""

    name: str
    evidence: Evidence = field(repr=False)
    guilty: Guilty | None
    special: dict[str, Partial] = field(default_factory=dict)
    """The components that meet a choice or a border of the domain, and what they are."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as the program and the point; what follows from them is computed again."""
        evidence, graph = self.evidence, self.evidence.graph
        arrays = [evidence.floats[x] for x in graph.inputs]
        return _explained, (self.name, graph, arrays, evidence.chosen, self.special)

    @property
    def table(self) -> pd.DataFrame:
        """One row a node, in the order of execution.

        Columns: ``name``, ``operation``, ``line`` (file and number), ``source`` (its text),
        ``value``, ``tangent``, ``cotangent`` (as in a trace table), ``lost_value``,
        ``lost_tangent``, ``lost_cotangent`` (digits that the worst element has lost, against the
        exact number; NaN where there is none) and ``condition`` (condition number of the operation
        there; NaN for inputs).
        """
        import pandas as pd

        return pd.DataFrame(self._rows())

    def _rows(self) -> list[dict[str, Any]]:
        evidence, found = self.evidence, []
        flows = evidence.flows
        for node, row in zip(
            flows.nodes, rows_of(evidence.graph, flows, evidence.floats), strict=True
        ):
            flowing = flows.tangents.get(node), flows.cotangents.get(node)
            lost = [math.nan if x is None else evidence.lost(x) for x in (node, *flowing)]
            found.append(
                {
                    "name": row["name"],
                    "operation": row["operation"],
                    "line": row["line"],
                    "source": node.line.text if node.line is not None else "",
                    "value": row["value"],
                    "tangent": row["tangent"],
                    "cotangent": row["cotangent"],
                    "lost_value": lost[0],
                    "lost_tangent": lost[1],
                    "lost_cotangent": lost[2],
                    "condition": _condition(evidence, node),
                }
            )
        return found

    @property
    def verdict(self) -> str:
        """What is lost where, why, and what to write instead: a paragraph for a person."""
        lines = list(self._at_special_components())
        if self.guilty is not None:
            lines.append(f"{self.name} {self.guilty.headline}.\n{self.guilty}")
            return "\n".join(lines)
        evidence, kept = self.evidence, []
        for results in (evidence.graph.outputs, tuple(evidence.gradients.values())):
            digits = min(map(evidence.digits, results), default=0.0)
            kept.append(f"right to {digits - evidence.worst(results):.1f} of {digits:.1f} digits")
        value, rules = kept[0], kept[1] if evidence.gradients else "0"
        if lines:  # what the rules give is not the derivative, or not everywhere
            return "\n".join([*lines, f"{self.name} keeps its digits here: the value is {value}."])
        return f"{self.name} keeps its digits here: the value is {value}, the derivative {rules}."

    def _at_special_components(self) -> Iterator[str]:
        """Where there is no derivative, or the rules' convention is not it."""
        for name, partial in list(self.special.items())[:SHOWN]:
            place = f" at {partial.line}" if partial.line is not None else ""
            why = f": {partial.reason}" if partial.reason else ""
            match partial.verdict:
                case "smooth":
                    yield (
                        f"A choice is made{place}; the derivative by {name} does not mind: it is"
                        f" {float(partial.ball):.6g} from both sides, whatever the rules give."
                    )
                case "kink" | "infinite" | "jump":
                    what = "value" if partial.verdict == "jump" else "slope"
                    yield (
                        f"{self.name} has no derivative by {name} here{place}: its {what} is"
                        f" {partial.left:.6g} from the left and {partial.right:.6g} from the right."
                    )
                case _:
                    yield f"The derivative by {name} is {partial.verdict}{place}{why}."
        if len(self.special) > SHOWN:
            yield f"... and {len(self.special) - SHOWN} more components."

    def __str__(self) -> str:
        rows = []
        for row in self._rows():
            marked = self.guilty is not None and row["name"] == self.guilty.name
            rows.append(
                {"": "=>" if marked else ""}
                | {
                    k: row[k]
                    for k in ("name", "operation", "line", "value", "tangent", "cotangent")
                }
                | {k.replace("_", " "): _digits(row[k]) for k in ("lost_value", "lost_cotangent")}
            )
        if len(rows) > MOST_ROWS:
            gap = dict.fromkeys(rows[0], "...")
            guilty = next((i for i, row in enumerate(rows) if row[""]), len(rows) // 2)
            rows = _shortened(rows, guilty, gap)
        return f"{print_table(rows)}\n\n{self.verdict}"

    def _page(self) -> str:
        rows = [row | {"condition": _short(row["condition"])} for row in self._rows()]
        shown = [{k: v for k, v in row.items() if k != "source"} for row in rows]
        mark, guilty = None, self.guilty
        if guilty is not None:
            phase = "forward" if guilty.where == "value" else "backward"
            mark = Mark(guilty.node, phase, guilty.line)
        return page(
            self.evidence.graph,
            [self.evidence.floats[x] for x in self.evidence.graph.inputs],
            title=self.name,
            rows=shown,
            guilty=mark,
            verdict=self.verdict,
        )

    def save(self, file: str | Path) -> None:
        """Save as a drawing (.svg, .png) or as a page that steps through both passes (.html).

        Raises
        ------
        ArgumentError
            For another suffix.
        UnsupportedError
            If pygraphviz, which draws the graph, is not installed.
        BudgetError
            If the graph is too large to be drawn; a page shows the table alone then.
        """
        file = Path(file)
        if file.suffix not in SUFFIXES:
            raise ArgumentError(
                f"an explanation cannot be saved as {file.suffix or file.name!r}",
                "end the file's name in .svg, .png or .html",
            )
        if file.suffix == ".html":
            file.write_text(self._page(), encoding="utf-8")
        else:
            graph = self.evidence.graph
            arrays = [self.evidence.floats[x] for x in graph.inputs]
            save_computation_graph(graph, arrays, file)

    def _repr_html_(self) -> str:
        graph = self.evidence.graph
        try:
            picture = computation_graph(graph, [self.evidence.floats[x] for x in graph.inputs])
        except (UnsupportedError, BudgetError) as error:
            picture = f"<p>{html.escape(error.what)}</p>"
        table = self.table.to_html(index=False, float_format=_short)
        paragraphs = "".join(f"<p>{html.escape(line)}</p>" for line in self.verdict.splitlines())
        return f"{table}<div style='overflow-x:auto'>{picture}</div>{paragraphs}"


def _shortened(
    rows: list[dict[str, Any]], around: int, gap: dict[str, Any]
) -> list[dict[str, Any]]:
    """The first rows, those around one of them, and the last."""
    third = MOST_ROWS // 3
    kept = sorted(
        {
            *range(third),
            *range(max(0, around - third // 2), min(len(rows), around + third // 2)),
            *range(len(rows) - third, len(rows)),
        }
    )
    found = []
    for before, i in zip([-1, *kept], kept, strict=False):
        if i > before + 1:
            found.append(gap)
        found.append(rows[i])
    return found


def _digits(lost: float) -> str:
    return "" if math.isnan(lost) else f"{lost:.1f}"


def _short(number: float) -> str:
    return "" if math.isnan(number) else f"{number:.3g}"


def _condition(evidence: Evidence, node: Expr) -> float:
    """The condition number of a node at its worst element."""
    if not node.operands or not node.differentiable or not node.size:
        return math.nan
    errors = np.nan_to_num(evidence.errors(node), nan=0.0)
    index = tuple(int(i) for i in np.unravel_index(int(errors.argmax()), errors.shape))
    return sensitivity(evidence, node, index).condition


def explain(f: Callable[..., Any], *args: Any, argnums: Argnums | None = None) -> Explanation:
    """Trace a function at a point, forward and backward, and name the first node that goes wrong.

    Every value and every cotangent is enclosed in balls, so that the digits which it has lost are
    known. If an output or the derivative has lost more than a quarter of its digits, is not finite
    or does not exist, the first guilty node is named, with the user's line and a stable form.

    Parameters
    ----------
    f, args
        A function that can be traced, and the point. Of several outputs, the cotangents are those
        of their sum.
    argnums
        Which arguments' derivatives matter; by default all that hold floats.

    Returns
    -------
    Explanation
        ``.table`` is a DataFrame, ``.guilty`` the first guilty node or None; ``print`` it, or
        ``.save("graph.svg")``, ``.save("graph.png")``, ``.save("page.html")``.

    Raises
    ------
    DomainError
        If an argument is NaN or infinite.
    ArgumentError
        If no argument holds floats.

    Examples
    --------
    The value of sin(x)/x is right at 1e-6, and its derivative is not:

    >>> explanation = explain(lambda x: np.sin(x) / x, 1e-6)
    >>> guilty = explanation.guilty
    >>> guilty.name, guilty.what, guilty.where, round(guilty.digits)
    ('x', 'digits', 'cotangent', 12)
    >>> print(explain(lambda x1, x2: np.log(x1) + x1 * x2 - np.sin(x2), 2.0, 5.0).guilty)
    None
    """
    subject = Subject(f, args, argnums, may_be_empty=True)
    graph = subject.traced()
    special = named(derivative(Scene(subject, graph)))
    return _explained(name_of(f), graph, subject.arrays, subject.wrt, special)


def _explained(
    name: str,
    graph: Graph,
    arrays: Sequence[Any],
    positions: Sequence[int],
    special: dict[str, Partial],
) -> Explanation:
    evidence = Evidence(graph, arrays, wrt=positions[0], inputs=positions)
    place = guilty_place(evidence)
    return Explanation(name, evidence, None if place is None else _guilty(place), special)


def _guilty(place: Place) -> Guilty:
    names = names_of(place.evidence.graph)
    node, remedy = place.node, find_remedy(place)
    return Guilty(
        node=node,
        name=names[node],
        operation=operation(node, names) if node.operands else "input",
        line=_line(place),
        what=place.what,
        where=place.where,
        partial=place.partial,
        condition=place.condition,
        digits=place.digits,
        headline=headline(place),
        reason=reason(place),
        stable="" if remedy is None else remedy.text,
        advice=_advice(place, remedy),
    )


def _line(place: Place) -> Line | None:
    """The user's line: where the parts come from, if it is their sum that goes wrong."""
    if place.role != "sum":
        return place.node.line
    users: Sequence[Expr] = [use.user for use in place.uses]
    return max(users, key=lambda user: user.age).line
