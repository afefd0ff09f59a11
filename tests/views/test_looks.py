"""How difflab looks: a line at a prompt, a table or a drawing in a notebook."""

from __future__ import annotations

import functools
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import difflab
from difflab import lab, networks
from difflab.accuracy.box import Bounds, Interval
from difflab.errors import ArgumentError, BudgetError, StorageError
from difflab.views import notebook

X = np.linspace(-1.0, 1.0, 50)
ODD = "<script>&\n" + "x" * 200


def f(x: Any) -> Any:
    return np.sum(np.abs(x) * np.sin(x) ** 2)


def named(name: str) -> Any:
    """f with another name."""
    g = functools.wraps(f)(lambda x: f(x))
    g.__name__ = g.__qualname__ = name
    return g


def results() -> dict[str, Any]:
    """Something of every public class, small and large."""
    graph, gradient = difflab.trace(f, X), difflab.gradient(f)
    explanation = difflab.explain(lambda x: np.sin(x) / x, 1e-6)
    net = networks.Network(inputs=2)
    net.fc(3)
    net.fc(1, activation="sigmoid")
    data = networks.load("digits")
    check = difflab.check(f, X)
    bounds = difflab.enclose(f, (X, X + 1.0))
    made = {
        "truth": difflab.truth(f, X),
        "kink": difflab.truth(np.abs, 0.0),
        "one kink": difflab.truth(np.abs, 0.0).kinks[0],
        "partial": next(iter(difflab.truth(np.abs, 0.0).special.values())),
        "nearest": check.nearest or difflab.check(np.abs, 1e-6).nearest,
        "estimate": difflab.estimate(f, X),
        "one": difflab.estimate(abs, 0.0),
        "comparison": difflab.compare(named(ODD), X),
        "check": difflab.check(named(ODD), X),
        "component": check.components[0],
        "explanation": explanation,
        "guilty": explanation.guilty,
        "calm": difflab.explain(named(ODD), 1.0),
        "bounds": bounds,
        "interval": bounds.gradient,
        "graph": graph,
        "picture": difflab.picture(f, 2.0),
        "rounding": graph.rounding_error([X])[0],
        "gradient": gradient,
        "second": difflab.hessian(named(ODD)),
        "partial gradient": difflab.gradient(functools.partial(f)),
        "deep": functools.reduce(lambda g, _: difflab.gradient(g), range(30), f),
        "value and gradient": difflab.value_and_gradient(f),
        "derivative": difflab.derivative(np.tanh),
        "sparse": difflab.sparse_hessian(f),
        "prepared": gradient.prepare(X),
        "derivation": gradient.prepare(X).derivation,
        "pullback": difflab.vjp(f, X)[1],
        "primitive": difflab.primitive(f, pullback=lambda x, y, ct: ct),
        "methods": difflab.METHODS,
        "numerical": difflab.Numerical("central", 8, step=("relative", 1e-3)),
        "symbolic": difflab.Symbolic(simplify=True, seconds=1.0),
        "network": net,
        "layer": net.layers[0],
        "data": data,
        "split": data.split(seed=0, validation=0.1),
        "part": data.split(seed=0).train,
        "result": lab.Result("a", tuple(lab.Part(str(k), None, 9, (1.0,) * 99) for k in range(9))),
        "lab part": lab.Part("digits", lab.Interval(1.0, 0.5, 2.0, 10), 10, (1.0,) * 99),
        "table": lab.Table("a", "b" * 200, net.fit(X.reshape(-1, 2), [0, 1] * 12 + [0])),
        "figure": lab.Figure("a", "b" * 200, "c" * 200, lambda canvas: None),
        "lab picture": lab.Picture("a", "b", "c", "<svg>" * 99),
        "section": lab.Section("a", ["text"] * 99),
        "code": lab.Code("a = 1\n" * 99),
        "slider": lab.Slider("a", "b", "c", "p", range(99), {"d": range(99)}),
        "options": lab.Options(preset=lab.Preset("quick", range(3))),
        "preset": lab.Preset("quick", range(3)),
    }
    made |= difflab.METHODS
    made |= {kind.__name__: kind() for kind in (difflab.Forward, difflab.Reverse)}
    named_kinds = [getattr(networks, name) for name in networks.__all__]
    kinds = [kind for kind in named_kinds if isinstance(kind, type)]
    parents = (networks.Network, networks.Dataset, Exception)
    made |= {kind.__name__: kind() for kind in kinds if not issubclass(kind, parents)}
    return made


def test_everything_public_is_one_short_line() -> None:
    long = {name: repr(x) for name, x in results().items()
            if len(repr(x)) > 100 or "\n" in repr(x) or " object at " in repr(x)}  # fmt: skip
    assert long == {}


@pytest.mark.parametrize(
    ("made", "line"),
    [
        (lambda: difflab.truth(np.tanh, 20.0), "<truth: 1.6993417021166355e-17, smooth, radius "),
        (lambda: difflab.truth(np.abs, 0.0), "<truth: nan, kink>"),
        (lambda: difflab.check(f, X), "<check of f: correct in 100 of 100 components>"),
        (lambda: difflab.gradient(difflab.gradient(f)), "<gradient of gradient of f>"),
        (lambda: difflab.value_and_gradient(np.sin), "<value_and_gradient of sin>"),
        (lambda: difflab.gradient(lambda x: x), "<gradient of lambda>"),
        (lambda: difflab.vjp(f, 2.0)[1], "<pullback of f>"),
        (lambda: difflab.METHODS["forward"], "Forward()"),
        (lambda: difflab.Numerical("forward", 3), "Numerical(stencil='forward', order=3)"),
        (lambda: networks.Adam(epochs=3), "Adam(epochs=3)"),
        (lambda: networks.Adam(), "Adam()"),
        (lambda: difflab.explain(lambda x: np.sin(x) / x, 1e-6).guilty, "<digits lost at x, in"),
    ],
)
def test_a_line_says_what_matters(made: Any, line: str) -> None:
    assert repr(made()).startswith(line)


@pytest.mark.parametrize(
    "made",
    [difflab.Numerical("backward", 2, step=1e-3), difflab.Symbolic(cse=False), difflab.Forward(),
     networks.Adam(learning_rate=0.5, dropout=0.1), *difflab.METHODS.values()],
)  # fmt: skip
def test_a_line_of_options_makes_the_same_object(made: Any) -> None:
    assert eval(repr(made), {type(made).__name__: type(made)}) == made


def htmls() -> dict[str, str]:
    made = {
        "truth": difflab.truth(named(ODD), X),
        "estimate": difflab.estimate(f, X),
        "comparison": difflab.compare(named(ODD), X, methods=["reverse"]),
        "check": difflab.check(named(ODD), X),
        "bounds": difflab.enclose(f, (X, X + 1.0)),
        "explanation": difflab.explain(named(ODD), 1.0),
        "graph": difflab.trace(f, X),
    }
    return {name: x._repr_html_() for name, x in made.items()}


def test_notebooks_get_whole_html_without_colours_or_scripts() -> None:
    for name, html in htmls().items():
        tags = re.findall(r"<(/?)(\w+)[^>]*?(/?)>", re.sub("(?s)<!--.*?-->", "", html))
        opened = [tag for closes, tag, alone in tags if not closes and not alone]
        closed = [tag for closes, tag, alone in tags if closes]
        assert sorted(opened) == sorted(closed), name
        assert "<script" not in html, name
        if name not in ("graph", "explanation"):  # drawings stand on a white of their own
            assert "color" not in html and "background" not in html, name


def test_tables_name_components_and_what_is_wrong_with_them() -> None:
    shown = difflab.truth(np.abs, np.array([0.0, 2.0]))._repr_html_()
    cells = re.sub(r">\s+<", "><", shown)
    assert "<td>output[0] by x[0]</td><td>NaN</td>" in cells
    assert "<td>kink</td>" in shown and "<td>smooth</td>" in shown and "-1.0 from the left" in shown
    shown = difflab.estimate(abs, 0.0)._repr_html_()
    assert "<td>x</td>" in shown and "± 1.0e+00" in shown and "kink in x" in shown
    tree = {"W<b>": np.zeros(2)}
    bounds = Bounds(Interval(0.0, 1.0), Interval(tree, {"W<b>": np.ones(2)}), 1)
    assert "derivative[&#x27;W&lt;b&gt;&#x27;][1]</td><td>0</td><td>1" in bounds._repr_html_()


def test_the_middle_of_a_long_table_is_left_out() -> None:
    html = difflab.estimate(lambda x: x, np.zeros(20))._repr_html_()
    assert html.count("<tr>") == notebook.MOST_ROWS + 2 and "... 340 more" in html
    assert difflab.check(f, np.linspace(1, 2, 300))._repr_html_().count("<tr>") < 80


def test_a_graph_is_drawn_or_else_told(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = difflab.trace(lambda x, y: x < y, 1.0, 2.0)
    assert "<svg" in graph._repr_html_()
    long = difflab.trace(lambda x: functools.reduce(lambda a, _: np.sin(a), range(300), x), 1.0)
    assert long._repr_html_().startswith("<pre>") and "more lines</pre>" in long._repr_html_()
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    told = graph._repr_html_()
    assert told.startswith("<pre>") and "&lt;" in told and "<svg" not in told


def test_a_picture_is_shown_and_saved(tmp_path: Path) -> None:
    picture = difflab.picture(lambda x, y: (x + y) * y, 2.0, 3.0)
    assert picture._repr_svg_().startswith("<svg") and ">15<" in picture._repr_svg_()
    picture.save(tmp_path / "graph.svg")
    picture.save(str(tmp_path / "graph.png"))
    assert (tmp_path / "graph.svg").read_text() == picture._repr_svg_()
    assert (tmp_path / "graph.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [("graph.pdf", ArgumentError, r"as \.pdf"), ("graph", ArgumentError, "suffix"),
     ("", ArgumentError, "suffix"), ("nowhere/graph.svg", StorageError, "no folder"),
     ("folder.svg", StorageError, "is a folder"), ("a\0.svg", StorageError, "NUL")],
)  # fmt: skip
def test_files_are_looked_at_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: Any, words: str
) -> None:
    (tmp_path / "folder.svg").mkdir()
    monkeypatch.chdir(tmp_path)
    shown = [difflab.picture(np.sin, 1.0), difflab.explain(np.sin, 1.0)]
    monkeypatch.setitem(sys.modules, "pygraphviz", None)  # the work would fail
    for one in shown:
        with pytest.raises(error, match=words):
            one.save(name)


def test_too_large_a_picture_says_so() -> None:
    with pytest.raises(BudgetError):
        difflab.picture(lambda x: functools.reduce(lambda a, _: np.sin(a), range(300), x), 1.0)


def test_the_truth_is_a_few_numbers_and_tables_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = difflab.compare(f, X, methods=["reverse", "central_difference"])
    for width in (60, 80, 132):
        monkeypatch.setenv("COLUMNS", str(width))
        assert max(map(len, str(comparison).splitlines())) <= width
    first = str(comparison).splitlines()[0]
    assert first.startswith("derivative of f; the truth is [-1.") and "... 50 in all]" in first
    one = difflab.compare(np.tanh, 20.0, methods=["reverse"])
    assert "the truth is 1.6993417021166355e-17\n" in str(one)
    assert len(comparison.table.columns) > 10


@pytest.mark.parametrize("count", [1, 9])
def test_bars_have_names_numbers_and_room(count: int) -> None:
    methods = [*difflab.METHODS, difflab.Numerical("central", 8, step=("relative", 1e-3))]
    comparison = difflab.compare(named("f" * 90), X + 2, methods=methods[-count:] * 2)
    figure = comparison.plot()
    figure.draw_without_rendering()
    left, right = figure.axes
    assert len(left.patches) == len(right.patches) == 2 * count  # two of one name are two bars
    assert max(len(label.get_text()) for label in left.get_yticklabels()) <= 32
    for axis in figure.axes:
        inside = axis.get_window_extent()
        texts = [text.get_window_extent() for text in axis.texts]
        assert len(texts) == 2 * count and all(text.x1 <= inside.x1 for text in texts)
    title = figure._suptitle.get_window_extent()
    assert title.x0 >= 0 and title.x1 <= figure.bbox.x1


def test_a_notebook_shows_the_bars() -> None:
    png = difflab.compare(np.tanh, 1.0, methods=["reverse"]).plot()._repr_png_()
    assert png.startswith(b"\x89PNG")
