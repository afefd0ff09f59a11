"""Laws of a page: a function of its folder, self-contained, small, and honest about failures."""

from __future__ import annotations

import html.parser
import json
import re
import shutil
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure as Canvas

from difflab.lab.blocks import Figure, Table
from difflab.lab.claims import Claim, Criterion
from difflab.lab.findings import plain
from difflab.lab.forest import axis_of, forest_of
from difflab.lab.intervals import Interval
from difflab.lab.page import descriptive, render
from difflab.lab.panels import curves
from difflab.lab.record import ALONE
from difflab.lab.results import Part, Result
from difflab.lab.style import INK, looks, themed
from difflab.lab.words import cells, latex, number, paragraphs


class Links(html.parser.HTMLParser):
    """Collects what a page loads, where it links, and its images' texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.alts: list[str | None] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        assert tag not in ("script", "link", "iframe", "object")
        if tag == "img":
            self.loads.append(found["src"])
            self.alts.append(found.get("alt"))
        if tag == "a":
            self.links.append(found["href"])


def test_a_page_loads_only_files_of_its_folder(done):
    text = (done.report / "index.html").read_text()
    found = Links(text)
    drawn = [source for source in found.loads if not source.startswith("data:image/")]
    assert drawn == ["falling.svg", "drawn.svg"]  # a formula is no file
    assert all(found.alts)
    assert "url(" not in text and "@import" not in text
    for link in found.links:
        path, _, anchor = link.partition("#")
        if not path.startswith("https://"):
            target = done.report / path if path else done.report / "index.html"
            assert target.exists(), link
            assert not anchor or f'id="{anchor}"' in target.read_text(), link


def test_a_single_file_needs_no_other(project):
    project.run()
    render(project.experiment, project.report, single_file=True)
    assert all(source.startswith("data:image/") for source in Links(project.html()).loads)


def test_the_finding_stands_first_and_is_the_title_of_the_headline_figure(project):
    project.run()
    drawings = project.experiment.figures
    found = lambda rows: [replace(drawings(rows)[0], finding="half is left", foot="2 seeds")]
    render(replace(project.experiment, figures=found), project.report)
    body = project.html().partition("<body>")[2]
    places = [body.index(part) for part in ("<h1>", "Half is left.", "falling.svg", "Division")]
    assert places == sorted(places)
    drawn = (project.report / "falling.svg").read_text()
    assert ">half is left<" in drawn and ">2 seeds<" in drawn
    summary = json.loads((project.report / "summary.json").read_bytes())
    assert summary["headline"]["finding"] == "half is left"


def test_a_figure_is_one_file_that_follows_the_colour_scheme(done):
    assert [path.name for path in sorted(done.report.glob("*.*g"))] == ["drawn.svg", "falling.svg"]
    drawn = (done.report / "falling.svg").read_text()
    assert "prefers-color-scheme:dark" in drawn and "<text" in drawn
    assert INK not in drawn.replace(f"color:{INK}", "") and "white" not in drawn
    assert "falling.svg" in (done.report / "README.md").read_text()


def test_lines_drawn_black_and_ink_follow_the_scheme_and_colours_stay():
    svg = themed(f'<svg a="1"><p style="stroke: #000000; fill: {INK}; x: #0072B2"/></svg>'.encode())
    assert b"stroke: currentColor; fill: currentColor; x: #0072B2" in svg
    assert svg.startswith(b'<svg a="1"><style>')


def test_a_name_looks_the_same_on_all_pages():
    assert looks(["tanh", "relu"])["relu"] == looks(["ReLU"])["ReLU"]
    assert looks(["complex_step"])["complex_step"] == looks(["complex step"])["complex step"]
    for names in (["mine", "relu", "other", "tanh"], [*"abcdefghijklmnopqrstuv"]):
        found = looks(names)
        assert list(found) == names
        assert len({(look["color"], look["linestyle"]) for look in found.values()}) == len(names)
    assert looks(["mine", "relu"])["relu"] == looks(["relu"])["relu"]


def test_markdown_links_to_files_that_exist(done):
    for page in (done.reports / "README.md", done.report / "README.md"):
        for link in re.findall(r"\]\((?!https://)([^)]+)\)", page.read_text()):
            assert (page.parent / link).exists(), link


def test_both_twins_show_everything_in_order(done):
    for text in (done.html().partition("<body>")[2], (done.report / "README.md").read_text()):
        places = [
            text.index(part)
            for part in (
                "How far does halving get?",
                "What is left.",
                "Division leaves as much",
                "Ready-made.",
                "On paper",
                "All results",
                "Halvings",
                "Halve.",
                ALONE,
                "Limitations",
                "python experiments/toy.py --preset smoke",
                "numpy",
            )
        ]
        assert places == sorted(places)
    assert r"a\|b" in (done.report / "README.md").read_text()


def test_rendering_needs_only_the_folder_and_gives_equal_bytes(project):
    project.run()
    before = project.pages()
    shutil.rmtree(project.root / ".difflab" / "store")
    for name in before:
        if not name.endswith((".csv", "provenance.json")):
            (project.reports / name).unlink()
    project.measured()
    assert project.run("--report") == 0
    assert project.pages() == before
    assert project.measured() == []


def test_report_without_rows_is_an_error(project, capsys):
    assert project.run("--report") == 1
    assert "leave out --report" in capsys.readouterr().err


def test_a_figure_that_fails_is_shown_and_makes_the_exit_code_1(project, capsys):
    project.switch("no_figure")
    assert project.run() == 1
    assert "this figure cannot be drawn" in capsys.readouterr().err
    assert "this figure cannot be drawn" in project.html()
    assert "Ready-made." in project.html()
    assert not (project.report / "falling.svg").exists()


def test_stale_figures_and_tables_are_removed(project):
    project.run()
    nothing = lambda rows: []
    render(replace(project.experiment, figures=nothing, tables=nothing), project.report)
    assert not list(project.report.glob("*.svg"))
    names = [path.name for path in sorted((project.report / "tables").iterdir())]
    assert names == ["all-results.csv", "all-results.tex"]


def test_a_dense_figure_is_a_png_and_a_long_table_is_cut(project):
    project.run()

    def noise(figure):
        figure.figimage(np.random.default_rng(0).random((500, 700, 3)))

    wide = pd.DataFrame(np.ones((5000, 30)))
    big = replace(
        project.experiment,
        figures=lambda rows: [Figure("noise", "Noise.", "Dots", noise)],
        tables=lambda rows: [Table("Wide", "Ones.", wide)],
    )
    assert render(big, project.report) == []
    assert [path.name for path in project.report.glob("*.*g")] == ["noise.png"]
    assert 'class="card paper" href="noise.png"' in project.html()  # white in the dark, too
    assert len(project.html()) < 300_000
    assert "4800 more rows are not shown" in project.html()
    assert (project.report / "tables" / "wide.csv").read_text().count("\n") == 5001


def test_tables_are_csv_and_latex_too(done):
    folder = done.report / "tables"
    results = pd.read_csv(folder / "all-results.csv")
    assert results["claim"].tolist() == ["as_much", "as_much"]
    assert results["estimate"].tolist() == [1.0, 1.0] and results["n"].tolist() == [2, 2]
    assert results["of"].tolist() == ["seeds"] * 2 and results["unit"].tolist() == ["times"] * 2
    assert pd.read_csv(folder / "halvings.csv")["note"].tolist() == ["a|b"] * 5
    text = (folder / "all-results.tex").read_text()
    assert r"as\_much" in text and r"\toprule" in text and text.count("{") == text.count("}")
    hard = Table("50 % & $x_1$", "~", pd.DataFrame({"a#": ["\\^{}"]}))
    assert r"50 \% \& \$x\_1\$" in latex(hard) and r"\textbackslash{}" in latex(hard)


def test_an_estimate_has_the_digits_of_its_interval():
    frame = pd.DataFrame({"estimate": [1.2345, 2.0], "low": [1.1, np.nan], "high": [1.3, np.nan]})
    assert cells(frame) == [["1.23", "1.10", "1.30"], ["2", "–", "–"]]


def found_in(rule: Criterion, figure: str, **intervals: Interval):
    claim = Claim("c", "e", "More is <more>", rule, figure=figure)
    parts = (Part(name, found, found.n) for name, found in intervals.items())
    return plain(claim, Result("c", tuple(parts), logarithmic=True))


def test_a_forest_shows_each_part_the_bound_and_the_sources_figure():
    parts = {"digits": Interval(1.2, 1.1, 1.3, 10), "mnist": Interval(0.5, 1e-9, 1e9, 7)}
    finding = found_in(Criterion(above=1.0), "6", **parts)
    drawn, axis = forest_of(finding), axis_of(finding)
    ElementTree.fromstring(drawn)  # well-formed
    for text in ("digits, 10 seeds", "1.20 [1.10, 1.30]", "mnist, 7 seeds", "the source's 6"):
        assert f"{text}" in drawn
    assert (drawn.count('class="bound"'), drawn.count('class="source"')) == (2, 2)
    assert axis.logarithmic and all(map(axis.holds, (0.5, 1.0, 1.1, 1.3, 6.0)))
    assert not axis.holds(1e9) and drawn.count("l4 4-4 4") == 1  # an arrow on the one that leaves
    assert axis.at(0.5) < axis.at(1.0) < axis.at(1.2) < axis.at(6.0)


@pytest.mark.parametrize("name", ["digits", "features from 0 upwards, 4 hidden layers"])
def test_no_name_of_a_forest_runs_into_its_interval(name):
    parts = {name: Interval(0.0113, 0.0065, 0.0162, 10), "b": Interval(0.5, 0.4, 0.6, 10)}
    drawn = ElementTree.fromstring(forest_of(found_in(Criterion(above=0.0), "", **parts)))
    *texts, _ = [(float(one.get("y")), one.text) for one in drawn.findall("text")]
    for (line, left), (other, right) in zip(texts[::2], texts[1::2], strict=True):
        assert line != other or 7 * len(left + right) < 360, (left, right)


def test_a_legend_names_the_lines_of_all_panels():
    rows = pd.DataFrame({"data": ["a", "a", "b"], "net": ["x", "y", "x"], "seed": 0,
                         "n": [2, 4, 8], "error": [1.0, 2.0, 3.0]})  # fmt: skip
    canvas = Canvas()
    curves(rows, "c", "n", "error", "net").draw(canvas)
    (legend,) = (axes.get_legend() for axes in canvas.axes if axes.get_legend())
    assert [text.get_text() for text in legend.get_texts()] == ["x", "y"]
    assert [list(axes.get_xticks()) for axes in canvas.axes] == [[2, 4], [8]]


def test_a_forest_without_estimates_is_none_and_one_value_has_an_axis():
    assert forest_of(found_in(Criterion(above=1.0), "", digits=Interval(*[np.nan] * 3, 1))) == ""
    assert forest_of(found_in(Criterion(every=True), "")) == ""
    assert "circle" in forest_of(found_in(Criterion(above=1.0), "", one=Interval(1, 1, 1, 9)))


def test_experiments_without_results_have_a_page(project):
    project.switch("broken")
    project.run("--only", "method=shift", "--only", "steps=2")
    project.run("--only", "steps=2", "--only", "method=shift")
    assert project.html().count("Not judged in this run.") >= 1
    assert "2 cases failed" in project.html()
    assert '<details class="failed"><summary>method=shift' in project.html()  # red
    (project.folder / "claims.toml").unlink()
    render(project.experiment, project.report)
    assert "No claim is judged here." in project.html()


def test_the_verdict_box_says_all_that_the_verdict_follows_from(done):
    for text in (done.html(), (done.report / "README.md").read_text()):
        for part in (
            "descriptive only: the smoke preset, 2 seeds",
            "Division leaves as much",
            "1.0 times",
            "1 [1, 1]",
            "What is left",
            "Euclid halves lines.",
            "Euclid, Elements, book I, proposition 10",
            "https://doi.org/10.1000/euclid",
            "the 95 % interval lies above 0.9; at least 2 independent values",
            "geometric mean ratio of `left`, method divide against method shift; by seed",
            "not judged",
            "Halving comes to an end",
        ):
            part = part if text.startswith("[") else part.replace("`left`", "<code>left</code>")
            assert part in text, part


def test_a_claim_that_is_not_listed_is_a_problem_of_the_page(project, capsys):
    project.run()
    stranger = replace(project.experiment, results=lambda rows: [Result("as_mush", ())])
    (problem,) = render(stranger, project.report)
    assert "did you mean 'as_much'" in problem
    assert "did you mean" in project.html()


def test_changes_since_the_previous_run_are_shown(project):
    project.run()
    path = project.report / "provenance.json"
    run = json.loads(path.read_bytes())
    before = json.loads((project.report / "summary.json").read_bytes())["findings"]

    def shown(findings):
        previous = {"commit": "c0ffee", "measured": "yesterday", "findings": findings}
        path.write_text(json.dumps({**run, "previous": previous}))
        assert render(project.experiment, project.report) == []
        for text in (project.html(), (project.report / "README.md").read_text()):
            yield text[text.index("Change since the last complete run") :]

    for text in shown(before):
        assert "No verdict changed" in text
        assert "the run of yesterday, commit c0ffee" in text
    for text in shown([{**before[0], "verdict": "contradicted"}, before[1]]):
        assert "contradicted: " in text and "reproduced: " in text
        assert "No verdict changed" not in text


def test_text_and_numbers():
    assert paragraphs("one\ntwo\n\nthree\n- four\n  five\n- six\n\nseven") == [
        ("p", ["one two"]),
        ("p", ["three"]),
        ("ul", ["four five", "six"]),
        ("p", ["seven"]),
    ]
    assert [number(value) for value in (np.float32(0.5), np.bool(False), None, -1e-20)] == [
        *("0.5", "no", "–", "-1e-20"),
    ]


def test_a_run_that_is_too_small_says_so():
    assert descriptive("quick", 3) == "descriptive only: the quick preset, 3 seeds"
    assert descriptive("full", 4) == "fewer seeds than planned: 4 of 10"
    assert descriptive("full", 10) == descriptive("full", 20) == ""
