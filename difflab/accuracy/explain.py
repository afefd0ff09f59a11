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

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from difflab.accuracy.audit import Audit
from difflab.accuracy.blame import Fault, Lost, Pass, first_fault, sensitivity
from difflab.accuracy.derivative import derivative
from difflab.accuracy.kinks import at_line
from difflab.accuracy.partials import Partial
from difflab.accuracy.reasons import advice, headline, reason
from difflab.accuracy.remedies import find_remedy
from difflab.accuracy.scene import Scene
from difflab.accuracy.subject import Subject
from difflab.errors import BudgetError, Line, MissingPackageError
from difflab.ir.brief import one_line
from difflab.ir.expr import Expr
from difflab.operators.arguments import Argnums
from difflab.views import notebook
from difflab.views.files import writable
from difflab.views.formulas import operation
from difflab.views.pictures import computation_graph, save_computation_graph
from difflab.views.stepping import Mark, page
from difflab.views.terminal import fitted
from difflab.views.traces import abbreviated, rows_of

if TYPE_CHECKING:
    import pandas as pd

IMPORTANCE: Final = (
    *("", "name", "operation", "value", "line", "lost value", "lost cotangent", "cotangent"),
    "tangent",
)
"""The columns, those first that a terminal shows if it has room for a few."""
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
    what: Lost
    """What is lost: "digits", "finiteness" (an overflow) or "domain" (it is not defined there)."""
    where: Pass
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

    def __repr__(self) -> str:
        at = self.operation if self.node.operands else self.name
        return one_line(f"<{self.what} lost at {at}, in the {self.where}>")

    def __str__(self) -> str:
        source = f": {self.line.text}" if self.line is not None and self.line.text else ""
        lines = [f"{self.line}{source}"] if self.line is not None else []
        return "\n".join([*lines, self.reason, self.advice])


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """The trace of a function at a point, and what goes wrong in it; shows itself in notebooks."""

    name: str
    evidence: Audit = field(repr=False)
    guilty: Guilty | None
    special: dict[str, Partial] = field(default_factory=dict)
    """The components that meet a choice or a border of the domain, and what they are."""

    def __repr__(self) -> str:
        found = "nothing is lost" if self.guilty is None else repr(self.guilty)[1:-1]
        return one_line(f"<explanation of {one_line(self.name, 40)}: {found}>")

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as the program and the point; what follows from them is computed again."""
        return _explained, (self.name, self.evidence, self.special)

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
        audit, flows = self.evidence, self.evidence.flows
        found = []
        rows = rows_of(audit.graph, flows, audit.floats)
        for node, row in zip(flows.nodes, rows, strict=True):
            of = {"value": node, "tangent": flows.tangents.get(node)}
            of["cotangent"] = flows.cotangents.get(node)
            lost = {f"lost_{k}": math.nan if x is None else audit.lost(x) for k, x in of.items()}
            told = {"name": row["name"], "operation": row["operation"], "line": row["line"]}
            told["source"] = node.line.text if node.line is not None else ""
            numbers = {key: row[key] for key in of}
            found.append(told | numbers | lost | {"condition": _condition(audit, node)})
        return found

    @property
    def verdict(self) -> str:
        """What is lost where, why, and what to write instead: a paragraph for a person."""
        lines = list(self._at_special_components())
        if self.guilty is not None:
            return "\n".join([*lines, f"{self.name} {self.guilty.headline}.\n{self.guilty}"])
        audit, kept = self.evidence, []
        for results in (audit.graph.outputs, tuple(audit.gradients.values())):
            digits = min(map(audit.digits, results), default=0.0)
            kept.append(f"right to {digits - audit.worst(results):.1f} of {digits:.1f} digits")
        right = f"{self.name} keeps its digits here: the value is {kept[0]}"
        if not lines:  # else what the rules give is not the derivative, or not everywhere
            right += f", the derivative {kept[1] if audit.gradients else '0'}"
        return "\n".join([*lines, f"{right}."])

    def _at_special_components(self) -> Iterator[str]:
        """Where there is no derivative, or the rules' convention is not it."""
        for name, partial in list(self.special.items())[:SHOWN]:
            where, what = at_line(partial.line), "value" if partial.verdict == "jump" else "slope"
            match partial.verdict:
                case "smooth":
                    yield (
                        f"A choice is made{where}; the derivative by {name} does not mind: it is"
                        f" {float(partial.ball):.6g} from both sides, whatever the rules give."
                    )
                case "kink" | "infinite" | "jump":
                    yield (
                        f"{self.name} has no derivative by {name} here{where}: its {what} is"
                        f" {partial.left:.6g} from the left and {partial.right:.6g} from the right."
                    )
                case _:
                    why = f": {partial.reason}" if partial.reason else ""
                    yield f"The derivative by {name} is {partial.verdict}{where}{why}."
        if len(self.special) > SHOWN:
            yield f"... and {len(self.special) - SHOWN} more components."

    def __str__(self) -> str:
        rows, guilty = self._rows(), self.guilty
        shown = ("name", "operation", "line", "value", "tangent", "cotangent")
        printed = [
            {"": "=>" if guilty is not None and row["name"] == guilty.name else ""}
            | {
                key: row[key] if isinstance(row[key], str) else abbreviated(row[key])
                for key in shown
            }
            | {f"lost {key}": _short(row[f"lost_{key}"], ".1f") for key in ("value", "cotangent")}
            for row in rows
        ]
        return f"{fitted(_shortened(printed), IMPORTANCE)}\n\n{self.verdict}"

    def _page(self) -> str:
        rows = [row | {"condition": _short(row["condition"])} for row in self._rows()]
        for row in rows:
            del row["source"]
        mark, guilty = None, self.guilty
        if guilty is not None:
            phase = "forward" if guilty.where == "value" else "backward"
            mark = Mark(guilty.node, phase, guilty.line)
        graph, arrays = self.evidence.graph, self.evidence.arrays
        return page(graph, arrays, title=self.name, rows=rows, guilty=mark, verdict=self.verdict)

    def save(self, file: str | Path) -> None:
        """Save as a drawing (.svg, .png) or as a page that steps through both passes (.html).

        Raises
        ------
        ArgumentError, StorageError
            For another suffix, or a file that cannot be written.
        MissingPackageError, BudgetError
            If pygraphviz, which draws the graph, is not installed, or the graph is too large to be
            drawn; a page shows the table alone then.
        """
        file = writable(file, SUFFIXES)
        if file.suffix == ".html":
            file.write_text(self._page(), encoding="utf-8")
        else:
            save_computation_graph(self.evidence.graph, self.evidence.arrays, file)

    def _repr_html_(self) -> str:
        try:
            picture = computation_graph(self.evidence.graph, self.evidence.arrays)
        except (MissingPackageError, BudgetError) as error:
            picture = notebook.lines([error.what])
        rows = self.table.drop(columns="source")
        shown: dict[str, Any] = {"float_format": _short, "na_rep": ""}
        table = rows.to_html(index=False, max_rows=notebook.MOST_ROWS, **shown)
        told = notebook.lines(self.verdict.splitlines())
        return f"{notebook.scrolled(table)}{notebook.scrolled(picture)}{told}"


def _shortened(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first rows, those around the guilty one, and the last."""
    if len(rows) <= notebook.MOST_ROWS:
        return rows
    third, last = notebook.MOST_ROWS // 3, len(rows)
    around = next((i for i, row in enumerate(rows) if row[""]), last // 2)
    middle = range(max(0, around - third // 2), min(last, around + third // 2))
    kept = sorted({*range(third), *middle, *range(last - third, last)})
    found, gap = [], dict.fromkeys(rows[0], "...")
    for before, i in pairwise([-1, *kept]):
        found += [gap, rows[i]] if i > before + 1 else [rows[i]]
    return found


def _short(number: float, form: str = ".3g") -> str:
    return "" if math.isnan(number) else f"{number:{form}}"


def _condition(audit: Audit, node: Expr) -> float:
    """The condition number of a node at its worst element."""
    if not node.operands or not node.differentiable or not node.size:
        return math.nan
    return sensitivity(audit, node, audit.worst_element(audit.errors(node))).condition


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

    >>> import numpy as np
    >>> explanation = explain(lambda x: np.sin(x) / x, 1e-6)
    >>> guilty = explanation.guilty
    >>> guilty.name, guilty.what, guilty.where, round(guilty.digits)
    ('x', 'digits', 'cotangent', 12)
    >>> print(explain(lambda x1, x2: np.log(x1) + x1 * x2 - np.sin(x2), 2.0, 5.0).guilty)
    None
    """
    subject = Subject(f, args, argnums, may_be_empty=True)
    scene = Scene(subject)
    audit = Audit(scene.graph, scene.arrays, subject.wrt, scene)
    return _explained(subject.name, audit, derivative(scene).special_by_name)


def _explained(name: str, audit: Audit, special: dict[str, Partial]) -> Explanation:
    fault = first_fault(audit)
    return Explanation(name, audit, None if fault is None else _guilty(fault), special)


def _guilty(fault: Fault) -> Guilty:
    names, node, line = fault.audit.names, fault.node, fault.node.line
    remedy = find_remedy(fault)
    if fault.role == "sum":  # the line where the parts come from
        line = max((use.user for use in fault.uses), key=lambda user: user.age).line
    return Guilty(
        node=node,
        name=names[node],
        operation=operation(node, names) if node.operands else "input",
        line=line,
        what=fault.what,
        where=fault.where,
        partial=fault.partial,
        condition=fault.condition,
        digits=fault.digits,
        headline=headline(fault),
        reason=reason(fault),
        stable="" if remedy is None else remedy.text,
        advice=advice(fault) if remedy is None else str(remedy),
    )
