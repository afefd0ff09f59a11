"""What do the three ways to differentiate do on paper?

Three functions small enough to follow by hand: the lecture's graph, the lecture's exercise and the
example of Baydin et al. What flows through them is written out, forward and backward; a gradient is
made by the lecture's four rules alone; every method is held against the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from difflab import sigmoid, trace
from difflab.accuracy.compare import compare
from difflab.accuracy.truth import truth
from difflab.ir.expr import Expr, Graph
from difflab.lab import Case, Experiment, Preset, Result, Row, grid, main
from difflab.lab.blocks import Code, Formula, Picture, Section, Table
from difflab.lab.results import every
from difflab.views.pictures import computation_graph, latex, trace_table

LECTURE = "lecture: computation graphs and backpropagation"
SURVEY = "Baydin et al. 2018, Automatic differentiation in machine learning, tables 2 and 3"
ULPS = 4.0
"""What counts as rounding alone, in units in the last place."""
EPS = float(np.finfo(float).eps)
TRUNCATION = {
    "forward_difference": EPS ** (1 / 2),
    "backward_difference": EPS ** (1 / 2),
    "central_difference": EPS ** (2 / 3),
    "richardson": EPS ** (2 / 3),
}
"""The relative error of a difference at its best step; other methods should have none."""
RULES = """
- *add* distributes: every operand of a sum gets the whole gradient (a minus turns its sign);
- *multiply* swaps: each operand gets the gradient times the other operand;
- *function*: the operand gets the gradient times the local derivative;
- *branch* adds: what is used more than once adds up what comes back.
""".replace("*", "")


@dataclass(frozen=True)
class Example:
    """A function at a point, the number of arguments to differentiate, and what was published."""

    title: str
    about: str
    f: Callable[..., float]
    point: tuple[float, ...]
    inputs: int
    source: str
    published: dict[str, list[str]] = field(default_factory=dict)

    @property
    def graph(self) -> Graph:
        """The function, traced."""
        return trace(self.f, *self.point)


def lecture_graph(x: float, y: float, z: float) -> float:
    """The lecture's first graph."""
    return (x + y) * z


def exercise(w1: float, w2: float, w3: float, x1: float, x2: float, x3: float) -> float:
    """The lecture's exercise: the loss of a logistic unit at one instance."""
    a = w1 * x1 + w2 * x2 + w3 * x3
    return -np.log(sigmoid(a))


def survey(x1: float, x2: float) -> float:
    """The survey's running example."""
    return np.log(x1) + x1 * x2 - np.sin(x2)


EXAMPLES = {
    "lecture_graph": Example(
        title="The lecture's graph, f = (x + y) z",
        about="Two operations at `x = -2, y = 5, z = -4`. The picture at the top shows it: what"
        " flows forward stands above the arrows, what flows back below them.",
        f=lecture_graph,
        point=(-2.0, 5.0, -4.0),
        inputs=3,
        source=LECTURE,
    ),
    "exercise": Example(
        title="The lecture's exercise, -log s(w.x)",
        about="The loss of one logistic unit at `w = (1, 1, -1.5)`, `x = (1, 1, 1)`, class 1.",
        f=exercise,
        point=(1.0, 1.0, -1.5, 1.0, 1.0, 1.0),
        inputs=3,
        source=LECTURE,
        published={"value": ["0.4740769841801067"], "gradient": ["-0.37754066879814541"] * 3},
    ),
    "survey": Example(
        title="The survey's example, f = ln x1 + x1 x2 - sin x2",
        about="At `x1 = 2, x2 = 5`. The survey prints every value of both traces.",
        f=survey,
        point=(2.0, 5.0),
        inputs=2,
        source=SURVEY,
        published={
            "values": ["0.693", "10", "10.693", "-0.959", "11.652"],
            "tangents": ["0.5", "5", "5.5", "0", "5.5"],
            "gradient": ["5.5", "1.716"],
        },
    ),
}


def cases(preset: Preset) -> list[Case]:
    return grid(example=list(EXAMPLES))


def measure(case: Case, rng: np.random.Generator) -> Iterator[Row]:
    example = EXAMPLES[case["example"]]
    graph, argnums = example.graph, tuple(range(example.inputs))
    names = [str(dict(x.params)["name"]) for x in graph.inputs][: example.inputs]
    traces = {name: trace_table(graph, example.point, wrt=name) for name in names}
    for name, table in traces.items():
        for node in table:
            keys = ("name", "operation", "value", "tangent", "cotangent")
            yield {"part": "trace", "along": name} | {key: node[key] for key in keys}
    yield from four_rules(graph, traces[names[0]])
    yield from against_print(example, list(traces.values()))
    (value,) = graph.to_sympy()
    for name in names:
        symbol = next(s for s in value.free_symbols if str(s) == name)
        yield {"part": "symbolic", "text": f"d/d{name} = {value.diff(symbol)}"}
    comparison = compare(example.f, *example.point, argnums=argnums)
    for row in comparison.rows:
        kept = {key: cell for key, cell in row.items() if not key.startswith("seconds")}
        allowed = 10 * TRUNCATION.get(row["method"], 0.0)
        close = row["relative_error"] <= allowed or row["ulps_max"] <= ULPS
        yield {"part": "method", "agrees": bool(close)} | kept
    ruled = {node["name"]: node["cotangent"] for node in traces[names[0]]}
    distance = max(comparison.enclosure.ulps(tuple(ruled[name] for name in names)))
    yield {"part": "rules", "name": "gradient", "ulps_max": distance, "agrees": distance <= ULPS}


# Backpropagation by four rules, written for these examples only -----------------------------------


def factors(node: Expr, values: list[float]) -> tuple[str, list[float]]:
    """The rule for a node, and what each operand's share is of the gradient that comes in."""
    match node.primitive.name:
        case "add":
            return "add", [1.0, 1.0]
        case "subtract":
            return "add", [1.0, -1.0]
        case "multiply":
            return "multiply", [values[1], values[0]]
    f = node.primitive.numpy[0]
    places = range(len(values))
    return "function", [float(truth(f, *values, argnums=i).midpoint) for i in places]


def four_rules(graph: Graph, table: list[Row]) -> Iterator[Row]:
    """The steps from the output to the inputs; reverse mode is only looked at to compare."""
    known = {row["name"]: row for row in table}
    names = dict(zip(graph.nodes, known, strict=True))
    received: dict[Expr, list[float]] = {graph.outputs[0]: [1.0]}
    for node in reversed(graph.nodes):
        parts = received[node]
        gradient = sum(parts)
        if len(parts) > 1:
            sum_of = f"{' + '.join(map(shown, parts))} = {gradient:.4g}"
            yield step("branch", f"`{names[node]}` is used {len(parts)} times: {sum_of}")
        if node.operands:
            values = [float(known[names[x]]["value"]) for x in node.operands]
            rule, shares = factors(node, values)
            text = f"`{names[node]} = {known[names[node]]['operation']}` receives {gradient:.4g}"
            for x, share in zip(node.operands, shares, strict=True):
                part = gradient * share
                received.setdefault(x, []).append(part)
                text += f"; `{names[x]}` gets {gradient:.4g} × {shown(share)} = {part:.4g}"
            yield step(rule, text)
        agrees = abs(gradient - known[names[node]]["cotangent"]) <= ULPS * EPS * abs(gradient)
        yield {"part": "rules", "name": names[node], "cotangent": gradient, "agrees": agrees}


def step(rule: str, text: str) -> Row:
    return {"part": "step", "rule": rule, "text": text}


def shown(number: float) -> str:
    return f"({number:.4g})" if number < 0 else f"{number:.4g}"


def against_print(example: Example, traces: list[list[Row]]) -> Iterator[Row]:
    """The published figures beside ours: equal in the decimals printed, but for rounding."""
    nodes = [row for row in traces[0] if row["operation"] != "input"]
    inputs = [row for row in traces[0] if row["operation"] == "input"]
    ours = {
        "value": [(nodes[-1]["name"], nodes[-1]["value"])],
        "values": [(row["name"], row["value"]) for row in nodes],
        "tangents": [(row["name"], row["tangent"]) for row in nodes],
        "gradient": [(row["name"], row["cotangent"]) for row in inputs[: example.inputs]],
    }
    for quantity, figures in example.published.items():
        for figure, (name, found) in zip(figures, ours[quantity], strict=True):
            printed = 0.5 * 10.0 ** -len(figure.partition(".")[2])
            rounding = ULPS * float(np.spacing(abs(found)))
            agrees = abs(float(found) - float(figure)) <= printed + rounding
            kind = quantity.removesuffix("s")
            yield {"part": "published", "name": name, "quantity": kind, "figure": figure,
                   "value": found, "agrees": agrees}  # fmt: skip


# The page -----------------------------------------------------------------------------------------


def results(rows: pd.DataFrame) -> list[Result]:
    return [
        every("three_ways_one_derivative", rows, "agrees", where={"part": "method"},
              counted="gradients", words=f"within {ULPS:g} ulps of the truth, or ten times a"
              " difference's truncation at its best step"),
        every("four_rules_suffice", rows, "agrees", where={"part": "rules"}, counted="nodes",
              words="add, multiply, function and branch alone give what reverse mode gives, and the"
              f" gradient within {ULPS:g} ulps of the truth"),
        every("published_traces", rows, "agrees", where={"part": "published"}, counted="figures",
              words="equal in all decimals that are printed, up to rounding"),
    ]  # fmt: skip


def figures(rows: pd.DataFrame) -> list[Picture]:
    return [picture("lecture_graph")]


def picture(name: str) -> Picture:
    example = EXAMPLES[name]
    point = ", ".join(f"{x:g}" for x in example.point)
    caption = (
        f"{example.title}: values above the arrows, gradients below, at ({point}). Where a value"
        " is used more than once, Σ is the sum of what comes back."
    )
    alt = f"Computation graph of {example.title}, values above and gradients below each arrow"
    return Picture(name, caption, alt, computation_graph(example.graph, example.point))


def sections(rows: pd.DataFrame) -> list[Section]:
    shown = [Section("The four rules", [RULES])]
    for name, own in rows.groupby("example", sort=False):
        example, parts = EXAMPLES[name], dict(list(own.groupby("part")))
        steps = [f"- {row.rule}: {row.text}." for row in parts["step"].itertuples()]
        slopes = "\n".join(parts["symbolic"]["text"])
        blocks = [
            f"{example.about} Source: {example.source}.",
            Formula(f"f = {latex(example.graph)}"),
            Code(str(example.graph), "The program that is traced from the NumPy function."),
            *([] if name == "lecture_graph" else [picture(name)]),
            trace_frame(parts["trace"]),
            "Backpropagation, a step at a time, from the output:",
            "\n".join(steps),
            Code(slopes, "SymPy's derivative: the symbolic way, on paper."),
        ]
        shown.append(Section(example.title, blocks))
    return shown


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


EXPERIMENT = Experiment(
    name="worked_examples",
    title="Worked examples",
    question="What do the three ways do on paper?",
    version=2,
    cases=cases,
    measure=measure,
    results=results,
    sections=sections,
    figures=figures,
    method="""
    Each function is plain NumPy and is traced into a graph. The trace tables show what flows along
    its edges: values and tangents forward, cotangents backward. The four rules are applied in this
    experiment's own file, from the output to the inputs; a function's local derivative is taken
    from ball arithmetic. Every method's gradient is held against a rigorous enclosure.
    """,
    limitations="""
    Three examples illustrate; they prove nothing about other functions. How accurate each method
    is over many functions is the question of the experiment `accuracy`.
    """,
    order=10,
)

if __name__ == "__main__":
    main(EXPERIMENT)
