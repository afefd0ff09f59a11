"""What do the three ways to differentiate do on paper?

Three functions small enough to follow by hand. What flows through them is written out, forward and
backward; a gradient is made by four rules alone; every method is held against the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from difflab import lab, sigmoid, trace
from difflab.accuracy.compare import compare
from difflab.accuracy.truth import truth
from difflab.ir.expr import Expr, Graph
from difflab.lab import Case, Code, Experiment, Formula, Picture, Result, Row, Section, Table
from difflab.views.pictures import computation_graph, latex, trace_table

ULPS = 4.0  # up to here an error counts as rounding alone, in units in the last place
EPS = float(np.finfo(float).eps)
TRUNCATION = {"forward_difference": 1 / 2, "backward_difference": 1 / 2,
              "central_difference": 2 / 3, "richardson": 2 / 3}  # fmt: skip
"""Powers of eps: relative errors of differences at the best step; other methods have none."""
RULES = """
- add distributes: every operand of a sum gets the whole gradient (a minus turns its sign);
- multiply swaps: each operand gets the gradient times the other operand;
- function: the operand gets the gradient times the local derivative;
- branch adds: what is used more than once adds up what comes back.
"""


class Example(NamedTuple):
    """A function at a point, the number of arguments to differentiate, and what was published."""

    title: str
    about: str
    f: Callable[..., float]
    point: tuple[float, ...]
    inputs: int
    published: dict[str, list[str]]

    @property
    def graph(self) -> Graph:
        return trace(self.f, *self.point)


EXAMPLES = {
    "lecture_graph": Example(
        "The lecture's graph, f = (x + y) z",
        "Two operations at `x = -2, y = 5, z = -4`. The picture at the top shows it: what flows"
        " forward stands above the arrows, what flows back below them. From the lecture.",
        lambda x, y, z: (x + y) * z, (-2.0, 5.0, -4.0), 3, {},
    ),
    "exercise": Example(
        "The lecture's exercise, -log s(w.x)",
        "A logistic unit's loss at `w = (1, 1, -1.5)`, `x = (1, 1, 1)`, class 1.",
        lambda w1, w2, w3, x1, x2, x3: -np.log(sigmoid(w1 * x1 + w2 * x2 + w3 * x3)),
        (1.0, 1.0, -1.5, 1.0, 1.0, 1.0), 3,
        {"value": ["0.4740769841801067"], "gradient": ["-0.37754066879814541"] * 3},
    ),
    "survey": Example(
        "The survey's example, f = ln x1 + x1 x2 - sin x2",
        "At `x1 = 2, x2 = 5`. Baydin et al. 2018, tables 2 and 3, print every value.",
        lambda x1, x2: np.log(x1) + x1 * x2 - np.sin(x2), (2.0, 5.0), 2,
        {"values": ["0.693", "10", "10.693", "-0.959", "11.652"],
         "tangents": ["0.5", "5", "5.5", "0", "5.5"], "gradient": ["5.5", "1.716"]},
    ),
}  # fmt: skip


def measure(case: Case, rng: np.random.Generator) -> Iterator[Row]:
    example = EXAMPLES[case["example"]]
    graph = example.graph
    names = [str(dict(x.params)["name"]) for x in graph.inputs][: example.inputs]
    traces = {name: trace_table(graph, example.point, wrt=name) for name in names}
    for name, table in traces.items():
        for node in table:
            keys = ("name", "operation", "value", "tangent", "cotangent")
            yield {"part": "trace", "along": name} | {key: node[key] for key in keys}
    first = traces[names[0]]
    yield from four_rules(graph, first)
    yield from against_print(example, first)
    (value,) = graph.to_sympy()
    symbols = {str(symbol): symbol for symbol in value.free_symbols}
    for name in names:
        yield {"part": "symbolic", "text": f"d/d{name} = {value.diff(symbols[name])}"}
    comparison = compare(example.f, *example.point, argnums=tuple(range(example.inputs)))
    for row in comparison.rows:
        allowed = 10 * EPS ** TRUNCATION.get(row["method"], np.inf)
        close = row["relative_error"] <= allowed or row["ulps_max"] <= ULPS
        kept = {k: v for k, v in row.items() if k != "status" and not k.startswith("seconds")}
        yield {"part": "method", "agrees": bool(close)} | kept
    ruled = {node["name"]: node["cotangent"] for node in first}
    distance = max(comparison.enclosure.ulps(tuple(ruled[name] for name in names)))
    yield {"part": "rules", "name": "gradient", "ulps_max": distance, "agrees": distance <= ULPS}


# Backpropagation by four rules, written for these examples only -----------------------------------


def factors(node: Expr, values: list[float]) -> tuple[str, list[float]]:
    """The rule for a node, and what each operand's share is of the gradient that comes in."""
    known = {"add": ("add", [1.0, 1.0]), "subtract": ("add", [1.0, -1.0]),
             "multiply": ("multiply", values[::-1])}  # fmt: skip
    if node.primitive.name in known:
        return known[node.primitive.name]
    f = node.primitive.numpy[0]
    return "function", [float(truth(f, *values, argnums=i).midpoint) for i in range(len(values))]


def four_rules(graph: Graph, table: list[Row]) -> Iterator[Row]:
    """The steps from the output to the inputs; reverse mode is only looked at to compare."""
    known = dict(zip(graph.nodes, table, strict=True))
    received: dict[Expr, list[float]] = {graph.outputs[0]: [1.0]}
    for node in reversed(graph.nodes):
        parts, name = received[node], known[node]["name"]
        gradient = sum(parts)
        if len(parts) > 1:
            text = f"`{name}` is used {len(parts)} times: {' + '.join(map(shown, parts))}"
            text += f" = {gradient:.4g}"
            yield {"part": "step", "rule": "branch", "text": text}
        if node.operands:
            rule, shares = factors(node, [float(known[x]["value"]) for x in node.operands])
            text = f"`{name} = {known[node]['operation']}` receives {gradient:.4g}"
            for x, share in zip(node.operands, shares, strict=True):
                part = gradient * share
                received.setdefault(x, []).append(part)
                text += f"; `{known[x]['name']}` gets {gradient:.4g} × {shown(share)} = {part:.4g}"
            yield {"part": "step", "rule": rule, "text": text}
        agrees = abs(gradient - known[node]["cotangent"]) <= ULPS * EPS * abs(gradient)
        yield {"part": "rules", "name": name, "cotangent": gradient, "agrees": agrees}


def shown(number: float) -> str:
    return f"({number:.4g})" if number < 0 else f"{number:.4g}"


def against_print(example: Example, table: list[Row]) -> Iterator[Row]:
    """The published figures beside ours: equal in the decimals printed, but for rounding."""
    nodes = [row for row in table if row["operation"] != "input"]
    inputs = [row for row in table if row["operation"] == "input"][: example.inputs]
    ours = {"value": (nodes[-1:], "value"), "values": (nodes, "value"),
            "tangents": (nodes, "tangent"), "gradient": (inputs, "cotangent")}  # fmt: skip
    for quantity, figures in example.published.items():
        rows, column = ours[quantity]
        for figure, row in zip(figures, rows, strict=True):
            found, printed = row[column], 0.5 * 10.0 ** -len(figure.partition(".")[2])
            rounding = ULPS * float(np.spacing(abs(found)))
            yield {"part": "published", "name": row["name"], "quantity": quantity.removesuffix("s"),
                   "figure": figure, "value": found,
                   "agrees": abs(float(found) - float(figure)) <= printed + rounding}  # fmt: skip


def results(rows: pd.DataFrame) -> list[Result]:
    return [
        lab.every("three_ways_one_derivative", rows, "agrees", where={"part": "method"},
                  words=f"within {ULPS:g} ulps of the truth, or ten times a difference's truncation"
                  " at its best step", counted="gradients"),
        lab.every("four_rules_suffice", rows, "agrees", where={"part": "rules"}, counted="nodes",
                  words="add, multiply, function and branch alone give what reverse mode gives, and"
                  f" the gradient within {ULPS:g} ulps of the truth"),
        lab.every("published_traces", rows, "agrees", where={"part": "published"},
                  words="equal in all decimals that are printed, up to rounding",
                  counted="figures"),
    ]  # fmt: skip


def picture(name: str, finding: str = "") -> Picture:
    example = EXAMPLES[name]
    point = ", ".join(f"{x:g}" for x in example.point)
    caption = f"{example.title}: values above the arrows, gradients below, at ({point}); Σ sums up."
    alt = f"Computation graph of {example.title}, values above and gradients below each arrow"
    return Picture(name, caption, alt, computation_graph(example.graph, example.point), finding)


def figures(rows: pd.DataFrame) -> list[Picture]:
    agree = rows.loc[rows["part"] == "method", "agrees"]
    told = f"By symbols, differences and rules: one derivative, {agree.sum()} times of {len(agree)}"
    return [picture("lecture_graph", told)]


def sections(rows: pd.DataFrame) -> list[Section]:
    found = [Section("The four rules", [RULES])]
    for name, own in rows.groupby("example", sort=False):
        example, parts = EXAMPLES[name], dict(list(own.groupby("part")))
        steps = [f"- {row.rule}: {row.text}." for row in parts["step"].itertuples()]
        found.append(Section(example.title, [
            example.about,
            Formula(f"f = {latex(example.graph)}"),
            Code(str(example.graph), "The program that is traced from the NumPy function."),
            *([] if name == "lecture_graph" else [picture(name)]),
            traces_of(f"Forward and reverse trace of the {name.replace('_', ' ')}", parts["trace"]),
            "Backpropagation, a step at a time, from the output:", "\n".join(steps),
            Code("\n".join(parts["symbolic"]["text"]), "SymPy's derivative: the symbolic way."),
        ]))  # fmt: skip
    return found


def traces_of(title: str, part: pd.DataFrame) -> Table:
    first = part.drop_duplicates("name").set_index("name")
    frame = first[["operation", "value"]].copy()
    for along, own in part.groupby("along", sort=False):
        frame[f"↓ tangent {along}"] = own.set_index("name")["tangent"]
    frame["↑ cotangent"] = first["cotangent"]
    return Table(
        title, "Downwards, a tangent is the derivative of the node along one input; upwards, a"
        " cotangent that of the output along the node: the last tangents are the first cotangents.",
        frame)  # fmt: skip


EXPERIMENT = Experiment(
    name="worked_examples", title="Worked examples", version=2, order=10,
    question="What do the three ways do on paper?",
    cases=lambda preset: lab.grid(example=[*EXAMPLES]), measure=measure, results=results,
    sections=sections, figures=figures,
    method="""
    Each function is plain NumPy and is traced into a graph. The trace tables show what flows along
    its edges: values and tangents forward, cotangents backward. The four rules are applied in this
    experiment's own file, from the output to the inputs; a function's local derivative is taken
    from ball arithmetic. Every method's gradient is held against a rigorous enclosure.
    """,
    limitations="""
    Three examples illustrate; they prove nothing about others: see the experiment `accuracy`.
    """,
)  # fmt: skip

if __name__ == "__main__":
    lab.main(EXPERIMENT)
