"""The page of the experiment `worked_examples`: examples and rows in, sections out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from difflab import trace
from difflab.ir.expr import Graph
from difflab.lab import Code, Formula, Picture, Section, Table
from difflab.views.pictures import computation_graph, latex


@dataclass(frozen=True)
class Example:
    """A function at a point, the number of arguments to differentiate, and what was published."""

    title: str
    about: str
    f: Callable[..., float]
    point: tuple[float, ...]
    inputs: int
    source: str
    published: dict[str, list[str]]

    @property
    def graph(self) -> Graph:
        """The function, traced."""
        return trace(self.f, *self.point)


RULES = """
- *add* distributes: every operand of a sum gets the whole gradient (a minus turns its sign);
- *multiply* swaps: each operand gets the gradient times the other operand;
- *function*: the operand gets the gradient times the local derivative;
- *branch* adds: what is used more than once adds up what comes back.
""".replace("*", "")


def picture(name: str, example: Example) -> Picture:
    point = ", ".join(f"{x:g}" for x in example.point)
    return Picture(
        name,
        f"{example.title}: values above the arrows, gradients below, at ({point}). Where a value is"
        " used more than once, Σ is the sum of what comes back.",
        f"Computation graph of {example.title} with the value above and the gradient below each"
        " arrow",
        computation_graph(example.graph, example.point),
    )


def sections(rows: pd.DataFrame, examples: Mapping[str, Example]) -> list[Section]:
    shown = [Section("The four rules", [RULES])]
    for name, own in rows.groupby("example", sort=False):
        example, parts = examples[name], dict(list(own.groupby("part")))
        drawn = [] if name == "lecture_graph" else [picture(name, example)]
        steps = [f"- {row.rule}: {row.text}." for row in parts["step"].itertuples()]
        slopes = [f"d/d{row.name_} = {row.text}" for row in renamed(parts["symbolic"])]
        printed = [published_table(parts["published"])] if "published" in parts else []
        blocks = [
            f"{example.about} Source: {example.source}.",
            Formula(f"f = {latex(example.graph)}"),
            Code(str(example.graph), "The program that is traced from the NumPy function."),
            *drawn,
            trace_frame(parts["trace"]),
            "Backpropagation, a step at a time, from the output:",
            "\n".join(steps),
            Code("\n".join(slopes), "SymPy's derivative: the symbolic way, on paper."),
            methods_table(parts["method"]),
            *printed,
        ]
        shown.append(Section(example.title, blocks))
    return shown


def renamed(part: pd.DataFrame) -> Iterable:
    return part.rename(columns={"name": "name_"}).itertuples()


def trace_frame(part: pd.DataFrame) -> Table:
    first = part.drop_duplicates("name").set_index("name")
    frame = first[["operation", "value"]].copy()
    for along, own in part.groupby("along", sort=False):
        frame[f"↓ tangent {along}"] = own.set_index("name")["tangent"]
    frame["↑ cotangent"] = first["cotangent"]
    return Table(
        "Forward and reverse trace",
        f"{len(frame)} nodes. Read values and tangents downwards: a tangent is the derivative of"
        " the node along one input. Read cotangents upwards: the derivative of the output along"
        " the node. The last tangents and the first cotangents are the same gradient.",
        frame,
    )


def methods_table(part: pd.DataFrame) -> Table:
    columns = {"method": "method", "ulps_max": "largest error (ulps)", "digits": "correct digits",
               "evaluations": "function evaluations"}  # fmt: skip
    return Table(
        "Every method against the truth",
        "Error of the gradient's worst component against a rigorous enclosure; one ulp is the"
        " spacing of floats at the truth, and 15.95 digits are all that there are.",
        part[list(columns)].rename(columns=columns),
    )


def published_table(part: pd.DataFrame) -> Table:
    decimals = part["figure"].str.partition(".")[2].str.len()
    here = [f"{x:.{n}f}" for x, n in zip(part["value"], decimals, strict=True)]
    columns = {"name": "node", "quantity": "quantity", "figure": "published"}
    frame = part[list(columns)].rename(columns=columns)
    agrees = part["agrees"].astype(bool)
    return Table(
        "Published figures",
        f"{int(agrees.sum())} of {len(part)} figures agree to all decimals that are printed"
        " (or up to rounding, where those are more than a float holds).",
        frame.assign(here=here, agrees=agrees.to_list()),
    )
