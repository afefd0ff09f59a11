"""The page that steps through both passes: its structure, and its script in headless Chromium."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from difflab.ir.expr import Graph, placeholder
from difflab.tracing.trace import trace
from difflab.views import pictures, stepping
from difflab.views.stepping import Mark, page, steps
from difflab.views.traces import trace_table

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
in_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")


def baydin(x1: Any, x2: Any) -> Any:
    return np.log(x1) + x1 * x2 - np.sin(x2)


def scripted(x: Any) -> Any:
    return x * 2.0  # </script><script>alert(1)</script>


GRAPH, POINT = trace(baydin, 2.0, 5.0), [2.0, 5.0]
VOID = {"meta", "br", "hr", "img", "input", "link"}


class _Elements(HTMLParser):
    """Every element with its attributes and its own text; checks that they are nested."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str], list[str]]] = []
        self.open: list[tuple[str, dict[str, str], list[str]]] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = (tag, {name: value or "" for name, value in attrs}, [])
        self.found.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}, []))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.open[-1][2].append(data)

    def of(self, tag: str, **wanted: str) -> list[tuple[dict[str, str], str]]:
        return [
            (attributes, "".join(text))
            for name, attributes, text in self.found
            if name == tag and all(v in attributes.get(k, "").split() for k, v in wanted.items())
        ]


def _data(text: str) -> Any:
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    return json.loads(found)


# -- without a browser -----------------------------------------------------------------------------


def test_the_steps_say_what_happens() -> None:
    assert [step.text for step in steps(GRAPH, POINT)] == [
        "x1 = 2 is given",
        "x2 = 5 is given",
        "a = log(x1): log(2) = 0.693147",
        "b = x1 * x2: 2 * 5 = 10",
        "c = a + b: 0.693147 + 10 = 10.6931",
        "d = sin(x2): sin(5) = -0.958924",
        "e = c - d: 10.6931 - (-0.958924) = 11.6521",
        "the cotangent of the output e is 1",
        "the cotangent of c gains 1 * 1 = 1 through e, that of d gains 1 * (-1) = -1",
        "the cotangent of x2 gains -1 * 0.283662 = -0.283662 through d",
        "the cotangent of a gains 1 * 1 = 1 through c, that of b gains 1 * 1 = 1",
        "the cotangent of x1 gains 1 * 5 = 5 through b, that of x2 gains 1 * 2 = 2",
        "the cotangent of x1 gains 1 * 0.5 = 0.5 through a",
        "x2 is an input: its cotangent 1.71634 is the derivative by x2",
        "x1 is an input: its cotangent 5.5 is the derivative by x1",
    ]


def test_a_value_that_is_used_twice_gains_the_sum() -> None:
    texts = [step.text for step in steps(trace(lambda x: x * x, 3.0), [3.0])]
    assert "the cotangent of x gains 1 * 6 = 6 through a" in texts


def test_arrays_are_abbreviated_and_several_outputs_start_with_one_each() -> None:
    graph = trace(lambda x: (np.sin(x), np.sum(x)), np.ones(5))
    texts = [step.text for step in steps(graph, [np.ones(5)])]
    assert "the cotangent of the output a is 1 in every element" in texts
    assert "the cotangent of the output b is 1" in texts
    assert any("gains [0.540302, 0.540302, ...] (5,) through a" in text for text in texts)


def test_every_pass_visits_its_nodes_in_order() -> None:
    found = steps(GRAPH, POINT)
    forward = [step.node for step in found if step.phase == "forward"]
    assert forward == sorted(forward, key=lambda node: node.age)
    backward = [step.node for step in found if step.phase == "backward"]
    done: set[Any] = set()
    for node in backward:
        users = [user for user in GRAPH.operations if any(x is node for x in user.operands)]
        assert done.issuperset(users)
        done.add(node)


def test_the_page_is_self_contained_accessible_and_well_formed() -> None:
    text = page(GRAPH, POINT, title="baydin", verdict="first\nsecond")
    elements = _Elements(text)
    assert text.startswith("<!doctype html>") and len(text) < 100_000
    assert re.findall(r'(?:src|href)\s*=\s*"(?!#)[^"]*"', text) == []
    assert "@import" not in text and "url(" not in text and "fetch(" not in text
    assert elements.of("html")[0][0]["lang"] == "en"
    assert elements.of("p", id="sentence")[0][0]["aria-live"] == "polite"
    assert [attributes["id"] for attributes, _ in elements.of("button")] == [
        "first", "back", "next", "last", "play",
    ]  # fmt: skip
    (graph,) = elements.of("div", id="graph")
    assert graph[0]["role"] == "img" and graph[0]["aria-label"] and graph[0]["tabindex"] == "0"
    assert "prefers-color-scheme: dark" in text and "@media print" in text
    assert text.count("<p>first</p><p>second</p>") == 1
    identifiers = [attributes["id"] for _, attributes, _ in elements.found if "id" in attributes]
    assert len(set(identifiers)) == len(identifiers)


def test_numbers_nodes_rows_and_lines_are_tied_by_their_places() -> None:
    text = page(GRAPH, POINT)
    elements, data = _Elements(text), _data(text)
    rows = {attributes["id"] for attributes, _ in elements.of("tr") if "id" in attributes}
    assert rows == {f"row{i}" for i in range(len(GRAPH.nodes))}
    assert len(elements.of("g", **{"class": "place"})) == len(GRAPH.nodes)
    for i, node in enumerate(GRAPH.nodes):
        assert elements.of("g", id=f"place{i}")
        used = [user for user in GRAPH.operations if any(x is node for x in user.operands)]
        flows = elements.of("g", **{"class": f"from{i}"})
        assert len([f for f in flows if "flow" in f[0]["class"].split()]) == max(len(used), 1)
    (line,) = {step["line"] for step in data["steps"]} - {None}
    assert "return np.log(x1) + x1 * x2 - np.sin(x2)" in elements.of("span", id=line)[0][1]


def test_what_comes_from_the_user_is_escaped() -> None:
    graph = trace(scripted, 3.0)
    text = page(graph, [3.0], title="<img src=x>", verdict="a < b & <b>")
    assert "<script>alert" not in text and "<img" not in text
    assert html.escape("# </script><script>alert(1)</script>") in text
    assert "a &lt; b &amp; &lt;b&gt;" in text
    _Elements(text)


def test_braces_in_what_is_put_in_mean_nothing() -> None:
    assert "<title>{{verdict}}: forward" in page(GRAPH, POINT, title="{{verdict}}", verdict="v")


def test_a_mark_names_node_pass_and_line() -> None:
    node = GRAPH.operations[2]
    text = page(GRAPH, POINT, guilty=Mark(node, "backward", node.line))
    elements, data = _Elements(text), _data(text)
    assert (data["guilty"], data["at"]) == (4, "backward")
    assert [attributes["id"] for attributes, _ in elements.of("tr", **{"class": "guilty"})] == [
        "row4"
    ]
    assert len(elements.of("span", **{"class": "guilty"})) == 1


def test_the_rows_of_the_table_may_be_given() -> None:
    rows = [row | {"note": "<i>"} for row in trace_table(GRAPH, POINT)]
    text = page(GRAPH, POINT, rows=rows)
    assert text.count("&lt;i&gt;") == len(rows) and "<i>" not in text.replace("<i>  ", "")


def _chain(length: int) -> Graph:
    x = placeholder((), np.dtype("float64"), "x")
    node = x
    for _ in range(length):
        node = np.sin(node)
    return Graph((x,), (node,))


@pytest.mark.parametrize("length", [pictures.MOST_NODES + 1, stepping.MOST_STEPPED + 1, 3000])
def test_a_large_graph_is_a_table_alone(length: int) -> None:
    text = page(_chain(length), [1.0])
    _Elements(text)
    assert "<svg" not in text and "only the table is shown" in text
    assert len(text.encode()) < 1_000_000
    assert bool(_data(text)["steps"]) == (length < stepping.MOST_STEPPED)
    assert text.count('<tr id="row') == min(length + 1, stepping.MOST_ROWS)


def test_the_same_arguments_give_the_same_bytes() -> None:
    assert page(GRAPH, POINT) == page(GRAPH, POINT)


def test_infinities_and_nans_are_text() -> None:
    graph = trace(lambda x: np.log(x) * 0.0, 0.0)
    assert any("nan" in step["text"] for step in _data(page(graph, [0.0]))["steps"])


# -- in a browser ----------------------------------------------------------------------------------

DRIVER = """
<pre id="report"></pre><script>
const report = {};
const key = (name) => document.body.dispatchEvent(
  new KeyboardEvent("keydown", {key: name, bubbles: true, cancelable: true}));
const click = (id) => document.getElementById(id).click();
const seen = (selector) => [...document.querySelectorAll(selector)]
  .filter((e) => getComputedStyle(e).visibility === "visible").map((e) => e.textContent);
const note = (name) => { report[name] = {
  count: document.getElementById("count").textContent,
  sentence: document.getElementById("sentence").textContent,
  hash: location.hash,
  values: seen('.flow text[fill="#0b3c7d"]'),
  gradients: seen('.flow text[fill="#d55e00"]'),
  totals: seen('.place text[fill="#d55e00"]'),
  current: [...document.querySelectorAll(".current")].map((e) => e.id),
  reached: document.querySelectorAll("td.reached").length,
  disabled: [...document.querySelectorAll("button:disabled")].map((e) => e.id),
  pressed: document.getElementById("play").getAttribute("aria-pressed"),
  guilty: [...document.querySelectorAll("g.guilty")].map((e) => e.id),
  alerts: window.alerted === true,
}; };
const finish = () => {
  document.getElementById("report").textContent = JSON.stringify(report);
};
%s
</script></body>"""


def _driven(folder: Path, text: str, script: str, fragment: str = "") -> dict[str, Any]:
    """What the page reports after a script of events."""
    file = folder / "page.html"
    file.write_text(text.replace("</body>", DRIVER % script), encoding="utf-8")
    assert BROWSER is not None
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom",
        f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=30000",
        f"file://{file}{fragment}",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    (report,) = re.findall(r'<pre id="report">(.*?)</pre>', done.stdout, re.S)
    found: dict[str, Any] = json.loads(html.unescape(report))
    return found


@in_browser
def test_keys_and_buttons_step_through_both_passes(tmp_path: Path) -> None:
    report = _driven(
        tmp_path,
        page(GRAPH, POINT),
        """
        note("start"); key("ArrowRight"); key("ArrowRight"); key("ArrowRight"); note("product");
        key("ArrowLeft"); note("back"); for (let i = 0; i < 5; i++) click("next"); note("output");
        click("next"); note("difference"); click("last"); note("end"); key("Home"); note("home");
        key("End"); key("ArrowRight"); note("past"); click("back"); click("first"); note("first");
        finish();
        """,
    )
    start, product, end = report["start"], report["product"], report["end"]
    assert start["count"] == "step 1 of 15" and start["sentence"] == "Forward: x1 = 2 is given"
    assert start["values"] == ["2", "2"] and start["gradients"] == [] == start["totals"]
    assert start["disabled"] == ["first", "back"] and start["current"] == ["place0", "row0"]
    assert (
        product["sentence"] == "Forward: b = x1 * x2: 2 * 5 = 10" and product["hash"] == "#step=4"
    )
    assert sorted(product["values"]) == sorted(["2", "2", "5", "5", "0.6931", "10"])
    places = {x for x in product["current"] if not x.startswith("line")}
    assert places == {"place3", "row3"} and len(product["current"]) == 3
    assert "10" not in report["back"]["values"] and report["back"]["hash"] == "#step=3"
    assert report["output"]["gradients"] == ["1"] and len(report["output"]["values"]) == 9
    assert sorted(report["difference"]["gradients"]) == ["-1", "1", "1"]
    assert report["difference"]["sentence"].startswith("Backward: the cotangent of c gains 1 * 1")
    assert len(end["gradients"]) == 9 and end["totals"] == ["Σ 5.5", "Σ 1.716"]
    assert end["disabled"] == ["next", "last"] and end["reached"] == 7 * 3
    assert report["home"]["count"] == report["first"]["count"] == "step 1 of 15"
    assert report["home"]["gradients"] == [] and report["past"]["count"] == "step 15 of 15"


@in_browser
def test_a_link_opens_a_step_and_a_new_hash_moves(tmp_path: Path) -> None:
    script = """note("linked"); addEventListener("hashchange", () => { note("moved"); finish(); });
        location.hash = "#step=2";"""
    report = _driven(tmp_path, page(GRAPH, POINT), script, "#step=12")
    assert report["linked"]["count"] == "step 12 of 15"
    assert "gains 1 * 5 = 5 through b" in report["linked"]["sentence"]
    assert report["moved"]["count"] == "step 2 of 15"


@in_browser
def test_play_runs_to_the_end_and_pauses(tmp_path: Path) -> None:
    script = """key(" "); note("playing"); setTimeout(() => { note("later"); key(" ");
        note("paused"); setTimeout(() => { note("still"); click("play"); setTimeout(() => {
        note("done"); finish(); }, 15000); }, 3000); }, 2000);"""
    report = _driven(tmp_path, page(GRAPH, POINT), script)
    assert report["playing"]["pressed"] == "true" and report["later"]["count"] == "step 3 of 15"
    assert report["paused"]["pressed"] == "false"
    assert report["still"]["count"] == report["paused"]["count"]
    assert report["done"]["count"] == "step 15 of 15" and report["done"]["pressed"] == "false"


@in_browser
def test_a_guilty_node_is_marked_in_its_pass_and_text_stays_text(tmp_path: Path) -> None:
    graph = trace(scripted, 3.0)
    text = page(
        graph,
        [3.0],
        title="<script>window.alerted = true</script>",
        guilty=Mark(graph.inputs[0], "backward", graph.operations[0].line),
        verdict="<script>window.alerted = true</script>",
    )
    report = _driven(tmp_path, text, """note("start"); key("End"); note("end"); finish();""")
    assert len(report["start"]["guilty"]) == 1 and not report["end"]["alerts"]
    assert "goes wrong" not in report["start"]["sentence"]
    assert "Here it goes wrong" in report["end"]["sentence"]


@in_browser
def test_reshapes_inside_arrows_and_arrays_reach_all_numbers(tmp_path: Path) -> None:
    graph = trace(lambda w, x: np.mean(np.tanh(x @ w + 1.0)), np.ones(3), np.ones((4, 3)))
    text = page(graph, [np.ones(3), np.ones((4, 3))])
    report = _driven(tmp_path, text, """note("start"); key("End"); note("end"); finish();""")
    texts = re.findall(r'<g id="[^"]*" class="node flow.*?</g>', text, re.S)
    wanted = [html.unescape(t) for g in texts for t in re.findall(r'fill="#0b3c7d">([^<]*)<', g)]
    assert len(report["end"]["values"]) == len(wanted) > 3
    assert len(report["start"]["values"]) < len(wanted) and report["start"]["gradients"] == []
    shown = [t for g in texts for t in re.findall(r'fill="#d55e00">([^<]*)<', g)]
    assert len(report["end"]["gradients"]) == len(shown)
