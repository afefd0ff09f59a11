"""Text and LaTeX mean what the graph computes; tables and drawings show the published values."""

from __future__ import annotations

import inspect
import operator
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from difflab.errors import (
    ArgumentError,
    BudgetError,
    MissingPackageError,
    ShapeError,
    UnknownNameError,
)
from difflab.ir.expr import Expr, Graph, constant, evaluate, placeholder
from difflab.ir.row import CONSTANT, INPUT, TABLE
from difflab.readings.cotangents import cotangents_of_all, pullback
from difflab.table.identities import simplify
from difflab.tracing.trace import trace
from difflab.views import pictures

FLOAT = np.dtype("float64")
BAYDIN = trace(lambda x1, x2: np.log(x1) + x1 * x2 - np.sin(x2), 2.0, 5.0)
LECTURE = trace(lambda x, y, z: (x + y) * z, -2.0, 5.0, -4.0)


# Read back in rational numbers, so that equality is exact; functions are replaced by rational ones.
MEANING: dict[str, Any] = {
    "add": operator.add, "subtract": operator.sub, "multiply": operator.mul,
    "divide": operator.truediv, "negative": operator.neg, "reciprocal": lambda a: 1 / a, "abs": abs,
    "square": lambda a: a * a, "cube": lambda a: a**3, "sqrt": lambda a: 3 * a + 7,
    "exp": lambda a: (a + 5) / (a * a + 1), "sin": lambda a: a / (a * a + 2),
}  # fmt: skip
POINT = {"x": Fraction("0.7"), "y": Fraction("-1.9")}
NUMBER = re.compile(r"(?<![\w.])\d+(\.\d+)?(e[+-]\d+)?")


class Euler:
    """The base of e^x."""

    def __pow__(self, exponent: Fraction) -> Any:
        return MEANING["exp"](exponent)


def _read(line: str, known: dict[str, Any]) -> Any:
    # The text is our own output, made in this test: nothing here comes from a user or a file.
    return eval(NUMBER.sub(r"Fraction('\g<0>')", line), {"Fraction": Fraction, **MEANING, **known})


def value_of_graph(graph: Graph) -> Any:
    known: dict[Expr, Any] = {}
    for node in graph.nodes:
        params = dict(node.params)
        if node.primitive is INPUT:
            known[node] = POINT[params["name"]]
        elif node.primitive is CONSTANT:
            known[node] = Fraction(str(node.value))
        else:
            name = "cube" if "exponent" in params else node.primitive.name
            known[node] = MEANING[name](*[known[operand] for operand in node.operands])
    return known[graph.outputs[0]]


def value_of_text(graph: Graph) -> Any:
    known: dict[str, Any] = dict(POINT)
    *lines, last = pictures.text(graph).replace("^", "**").splitlines()[1:]
    for line in lines:
        name, _, value = line.strip().partition(" = ")
        known[name] = _read(value, known)
    return _read(last.replace("return", "").strip(), known)


def value_of_latex(graph: Graph) -> Any:
    """By Python's precedences, which are those of mathematics; braces become parentheses."""
    known: dict[str, Any] = {**POINT, "e": Euler(), "frac": lambda a: lambda b: a / b}
    value = None
    for line in re.sub(r"\\(begin|end)\{aligned\}", "", pictures.latex(graph)).strip().splitlines():
        name, _, formula = line.removesuffix(r" \\").rpartition(" &= ")
        for old, new in {
            r"\left|": "abs(", r"\right|": ")", r"\left": "", r"\right": "", r" \, ": " * ",
            r"\cdot": "*", "^": "**", "\\": "",
        }.items():  # fmt: skip
            formula = formula.replace(old, new)
        formula = re.sub(r"v_\{(\d+)\}", r"v_\1", formula).replace("{", "(").replace("}", ")")
        value = _read(formula, known)
        known[re.sub(r"[{}]", "", name)] = value
    return value


x, y = (placeholder((), FLOAT, name) for name in "xy")


def _joined(parts: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    binary = ("add", "subtract", "multiply", "divide")
    unary = ("negative", "square", "exp", "sin", "sqrt", "abs", "reciprocal")
    return st.one_of(
        st.builds(lambda n, a, b: Expr(TABLE[n], (a, b)), st.sampled_from(binary), parts, parts),
        st.builds(lambda n, a: Expr(TABLE[n], (a,)), st.sampled_from(unary), parts),
        st.builds(lambda a: Expr(TABLE["constant_power"], (a,), (("exponent", 3.0),)), parts),
    )


leaves = st.sampled_from([x, y]) | st.sampled_from([0.5, -2.0, 3.0, 1e-5, -2e20]).map(constant)
expressions = st.recursive(leaves, _joined, max_leaves=12)


@given(expressions)
def test_latex_and_text_mean_what_the_graph_computes(out: Expr) -> None:
    graph = Graph((x, y), (out,))
    try:
        expected = value_of_graph(graph)
    except ZeroDivisionError:
        return
    assert value_of_text(graph) == expected
    assert value_of_latex(graph) == expected


def test_named_parts_mean_what_the_graph_computes() -> None:
    out: Any = x
    for _ in range(4):
        out = -np.square(out - 0.5 * y) / np.sin(out) + out
    graph = Graph((x, y), (out,))
    assert "v_{2}" in pictures.latex(graph)
    assert value_of_latex(graph) == value_of_text(graph) == value_of_graph(graph)


@pytest.mark.parametrize("name", sorted(TABLE))
def test_every_row_has_latex_with_balanced_braces(name: str) -> None:
    row = TABLE[name]
    params: dict[str, Any] = {
        "shape": (2, 2), "axes": (-1,), "axis": -1, "index": (0, 1), "subscripts": "ab,bc->ac",
        "exponent": 2.5, "dtype": "int64", "n": 1, "kind": None,
    }  # fmt: skip
    if row.kind == "pointwise":
        count, shape = len(row.domain), ()
        wanted = [param for param in ("exponent", "dtype", "n") if f"{{{param}}}" in row.text]
    else:
        names = inspect.signature(row.infer).parameters
        wanted = [param for param in names if param in params]
        count, shape = len(names) - len(wanted) + ("*" in str(names)), (2, 2)
    operands = tuple(placeholder(shape, FLOAT, f"x_{i}") for i in range(count))
    node = Expr(row, operands, tuple((param, params[param]) for param in wanted))
    for out in (node, np.square(node) if node.dtype.kind == "f" else node):
        formula = pictures.latex(Graph(operands, (out,)))
        assert formula.count("{") == formula.count("}")
        assert formula.count(r"\left") == formula.count(r"\right")
        assert not re.search(r"[\^_]\{[^{}]*\}\s*([\^_])\{[^{}]*\}\1", formula)


def test_latex_names_what_is_shared_and_large() -> None:
    def logistic(x: Any) -> Any:
        for _ in range(30):
            x = 4.0 * x * (1.0 - x)
        return x

    formula = pictures.latex(trace(logistic, 0.2))
    assert formula.startswith(r"\begin{aligned}") and len(formula) < 4000
    assert r"v_{1} &= 4 \cdot 4 \, x" in formula


MATRIX, VECTOR = np.ones((2, 2)), np.ones(2)


@pytest.mark.parametrize(
    ("function", "point", "expected"),
    [
        (lambda v, f: v**2 - (f - v), (2.0, 1.0), r"v^{2} - \left(f - v\right)"),
        (lambda x_1, theta: x_1 * theta, (2.0, 1.0), r"x_{1} \, \theta"),
        (lambda rate: -np.negative(rate), (2.0,), r"-\left(-\mathrm{rate}\right)"),
        (lambda p: p["W"] @ p["b"], ({"W": MATRIX, "b": VECTOR},), r"p_{W} \, p_{b}"),
        (lambda a: np.sum(a, 0) * 2.0, (MATRIX,), r"\left(\sum_{\text{axis } -2} a\right) \cdot 2"),
        (lambda a: np.sum(a) - np.sum(a**2), (VECTOR,), r"\left(\sum a\right) - \sum a^{2}"),
        (
            lambda a, b: a * b * (a @ b),
            (VECTOR, VECTOR),
            r"\left(a \odot b\right) \, \left(a \cdot b\right)",
        ),
        (lambda a: a @ np.array([1.0, -2.0]), (VECTOR,), r"a \cdot \left[1, -2\right]"),
        (
            lambda x: x if x > 0 else -x,
            (-1.0,),
            "\\begin{aligned}\nf &= -x \\\\\n"
            "\\text{where } & \\neg \\left(x > 0\\right)\n\\end{aligned}",
        ),
    ],
)
def test_latex_of_known_formulas(function: Any, point: Any, expected: str) -> None:
    assert pictures.latex(trace(function, *point)) == expected


def test_graphs_of_a_hundred_thousand_nodes_are_bounded_and_do_not_recurse() -> None:
    node = x
    for _ in range(50_000):
        node = np.sin(node) + 1.0  # type: ignore[operator]
    graph = Graph((x,), (node,))
    assert len(pictures.text(graph).splitlines()) == 100_002
    formula = pictures.latex(graph)
    assert r"\dots" in formula and len(formula) < 20_000


def test_text_avoids_names_that_are_taken() -> None:
    graph = trace(
        lambda a, b: {"sum": a + b, "parts": [a * 2.0, np.array([1.0, 2.0, 3.0, 4.0])]}, 1.0, 2.0
    )
    assert str(graph).splitlines() == [
        "graph(a: float64, b: float64)",
        "  c = a + b",
        "  d = a * 2.0",
        "  return {'parts': [d, float64[4]{1.0, 2.0, 3.0, ...}], 'sum': c}",
    ]


def test_the_published_trace_tables() -> None:
    first, second = (pictures.trace_table(BAYDIN, [2.0, 5.0], wrt=name) for name in ("x1", 1))
    values = [row["value"] for row in first[2:]]
    assert np.round(sorted(values), 3).tolist() == [-0.959, 0.693, 10.0, 10.693, 11.652]
    tangents = {row["operation"]: float(row["tangent"]) for row in first}
    assert tangents == {
        "input": 0.0, "log(x1)": 0.5, "x1 * x2": 5.0, "sin(x2)": 0.0, "a + b": 5.5, "c - d": 5.5,
    }  # fmt: skip
    assert [round(float(row["cotangent"]), 3) for row in first[:2]] == [5.5, 1.716]
    assert round(float(second[-1]["tangent"]), 3) == 1.716
    assert all(row["line"].startswith("test_pictures.py:") for row in first)


def test_a_trace_table_agrees_with_pullback_and_takes_a_direction() -> None:
    def loss(w: Any, x: Any) -> Any:
        return np.sum(np.tanh(x @ w) ** 2) + np.sum(w[w > 0])

    w, data = np.array([0.5, -1.0]), np.arange(6.0).reshape(3, 2)
    graph = trace(loss, w, data)
    direction = [np.array([1.0, -2.0]), np.zeros((3, 2))]
    rows = pictures.trace_table(graph, [w, data], direction)
    assert float(rows[-1]["tangent"]) == pytest.approx(float(rows[0]["cotangent"] @ direction[0]))
    truths = [row for row in rows if row["value"].dtype == bool]
    assert truths and all(row["tangent"] is row["cotangent"] is None for row in truths)


def test_cotangents_of_all_nodes_are_those_of_each() -> None:
    graph = simplify(trace(lambda a, b: np.sin(a * b) * a + np.exp(b) * (a > 0), 0.5, 2.0))
    found = cotangents_of_all(graph.outputs, [constant(1.0)])
    known = dict(zip(graph.inputs, (np.float64(0.5), np.float64(2.0)), strict=True))
    for node in graph.operations:
        (alone,) = pullback(graph.outputs, [constant(1.0)], [node])
        if node.differentiable and alone is not None and found[node] is not None:
            one, other = evaluate([found[node], alone], dict(known))  # type: ignore[list-item]
            assert one == pytest.approx(other)


@pytest.mark.parametrize(
    ("arrays", "wrt", "error"),
    [
        ([2.0], None, ShapeError),
        ([2.0, np.ones(3)], None, ShapeError),
        ([2.0, 5.0], "x3", UnknownNameError),
        ([2.0, 5.0], 2, UnknownNameError),
        ([2.0, 5.0], [1.0], ShapeError),
    ],
)
def test_what_does_not_fit_is_refused(arrays: Any, wrt: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        pictures.trace_table(BAYDIN, arrays, wrt)


def test_integers_have_no_tangent() -> None:
    graph = trace(lambda x, i: x[i], np.ones(3), np.array([0, 2]))
    with pytest.raises(ArgumentError, match="'i' is int64"):
        pictures.trace_table(graph, [np.ones(3), np.array([0, 2])], "i")


def _texts(svg: str) -> list[str]:
    return [text.replace("&#45;", "-") for text in re.findall(r"<text [^>]*>([^<]*)</text>", svg)]


def test_the_lecture_graph_shows_values_above_and_gradients_below() -> None:
    svg = pictures.computation_graph(LECTURE, [-2.0, 5.0, -4.0])
    blue = re.findall(r'y="(\S+)"[^>]*fill="#0b3c7d">([^<]*)<', svg)[1:]
    orange = re.findall(r'y="(\S+)"[^>]*fill="#d55e00">([^<]*)<', svg)[1:]
    pairs = {
        (v.replace("&#45;", "-"), g.replace("&#45;", "-"))
        for (_, v), (_, g) in zip(blue, orange, strict=True)
    }
    assert pairs == {("-2", "-4"), ("5", "-4"), ("3", "-4"), ("-4", "3"), ("-12", "1")}
    assert all(float(v[0]) < float(g[0]) for v, g in zip(blue, orange, strict=True))
    assert {"+", "×", "output"} <= set(_texts(svg))


def test_a_shared_input_shows_the_sum_of_its_gradients() -> None:
    assert {"Σ 5.5", "Σ 1.716", "-0.2837"} <= set(
        _texts(pictures.computation_graph(BAYDIN, [2.0, 5.0]))
    )


def test_a_drawing_without_a_point_has_no_numbers() -> None:
    texts = _texts(pictures.computation_graph(BAYDIN))
    assert sorted(texts) == sorted(["x1", "x2", "log", "×", "sin", "+", "−", "output"])


def test_views_and_scalars_are_part_of_arrows_and_symbols() -> None:
    graph = trace(lambda w, x: np.mean(w @ x) * 0.5 + w, np.ones(2), np.ones(2))
    texts = _texts(pictures.computation_graph(graph, [np.ones(2), np.ones(2)]))
    assert "reshape" not in texts and "broadcast_to" not in texts and "× 0.5" in texts


def test_drawings_are_saved_and_deterministic(tmp_path: Path) -> None:
    for suffix, magic in ((".svg", b"<svg"), (".png", b"\x89PNG")):
        files = [tmp_path / f"{i}{suffix}" for i in range(2)]
        for file in files:
            pictures.save_computation_graph(BAYDIN, [2.0, 5.0], file)
        assert files[0].read_bytes() == files[1].read_bytes()
        assert files[0].read_bytes().startswith(magic)
    with pytest.raises(ArgumentError, match="pdf"):
        pictures.save_computation_graph(BAYDIN, [2.0, 5.0], tmp_path / "a.pdf")


def test_drawing_writes_nothing_to_stderr() -> None:
    program = (
        "from difflab.views.pictures import computation_graph\n"
        "from difflab.tracing.trace import trace\n"
        "computation_graph(trace(lambda x: x * x, 1.0), [1.0])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""


def test_a_large_graph_is_refused_by_its_size() -> None:
    node = x
    for _ in range(300):
        node = np.sin(node)
    with pytest.raises(BudgetError, match="301 nodes"):
        pictures.computation_graph(Graph((x,), (node,)), [1.0])


def test_a_missing_pygraphviz_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    with pytest.raises(MissingPackageError, match=r'pip install "difflab\[lab\]"'):
        pictures.computation_graph(BAYDIN)
