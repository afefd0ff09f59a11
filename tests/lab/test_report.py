"""Laws of a page: a function of its folder, self-contained, small, and honest about failures."""

from __future__ import annotations

import html.parser
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from difflab.lab.blocks import Figure, Table
from difflab.lab.claims import Evidence
from difflab.lab.front import front_page
from difflab.lab.page import number, paragraphs, render


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


@pytest.mark.parametrize("page", ["index.html", "toy/index.html"])
def test_pages_ask_nothing_of_a_network(done, page):
    text = (done.reports / page).read_text()
    found = Links(text)
    assert found.loads and all(source.startswith("data:image/") for source in found.loads)
    assert all(found.alts)
    assert "url(" not in text and "@import" not in text
    for link in found.links:
        path, _, anchor = link.partition("#")
        target = (done.reports / page).parent / path if path else done.reports / page
        assert target.exists(), link
        assert not anchor or f'id="{anchor}"' in target.read_text(), link


def test_markdown_links_to_files_that_exist(done):
    for page in (done.reports / "README.md", done.report / "README.md"):
        for link in re.findall(r"\]\(([^)]+)\)", page.read_text()):
            assert (page.parent / link).exists(), link


def test_both_twins_show_everything_in_order(done):
    for text in (done.html().partition("<body>")[2], (done.report / "README.md").read_text()):
        places = [
            text.index(part)
            for part in (
                "How far does halving get?",
                "Division leaves as much",
                "What is left.",
                "On paper",
                "Halvings",
                "Method",
                "Ready-made.",
                "This is the first run.",
                "Limitations",
                "python experiments/toy.py --preset smoke",
                "numpy",
            )
        ]
        assert places == sorted(places)
    front = (done.reports / "index.html").read_text()
    assert "1 confirmed" in front and "Halving &amp; more" in front
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
    assert not (project.report / "falling.png").exists()


def test_stale_figures_are_removed(project):
    project.run()
    render(replace(project.experiment, figures=lambda rows: []), project.report)
    assert not list(project.report.glob("*.png"))


def test_large_figures_and_tables_stay_within_three_megabytes(project):
    project.run()

    def noise(figure):
        figure.figimage(np.random.default_rng(0).random((500, 700, 3)))

    figures = [Figure(f"noise{n}", "Noise.", "Dots", noise) for n in range(4)]
    wide = pd.DataFrame(np.ones((5000, 30)))
    big = replace(
        project.experiment,
        figures=lambda rows: figures,
        tables=lambda rows: [Table("Wide", "Ones.", wide)],
    )
    assert render(big, project.report) == []
    front_page(project.reports)
    assert len(project.html()) < 3_000_000
    assert "4800 more rows are not shown" in project.html()
    assert "data:image/png" in project.html()


def test_experiments_without_results_have_a_page(project):
    project.switch("broken")
    project.run("--only", "method=shift", "--only", "steps=2")
    project.run("--only", "steps=2", "--only", "method=shift")
    assert project.html().count("Not judged in this run.") == 2
    assert "2 cases failed" in project.html()
    assert '<details class="failed"><summary>method=shift' in project.html()  # red
    (project.folder / "claims.toml").unlink()
    render(project.experiment, project.report)
    assert "No claim is judged here." in project.html()


def test_the_verdict_box_says_all_that_the_verdict_follows_from(done):
    for text in (done.html(), (done.report / "README.md").read_text()):
        for part in (
            "confirmed",
            "descriptive only: the smoke preset, 2 seeds",
            "Division leaves as much",
            "1.0 times",
            "1 [1, 1] times",
            "The ratio is",
            "Euclid halves lines.",
            "Euclid, proposition 10",
            "the whole interval lies above 0.9, n ≥ 2",
            "not judged",
            "Halving comes to an end",
        ):
            assert part in text, part


def test_the_front_page_lists_every_claim_once(done):
    for name in ("index.html", "README.md"):
        text = (done.reports / name).read_text()
        assert "3 claims:" in text and "2 not judged" in text
        for sentence in ("Division leaves", "Halving comes", "Achilles never catches"):
            assert text.count(sentence) == 1
        assert "All verdicts are descriptive only" in text
    assert 'href="toy/index.html#as_much"' in (done.reports / "index.html").read_text()


def test_a_claim_that_is_not_listed_is_a_problem_of_the_page(project, capsys):
    project.run()
    stranger = replace(project.experiment, findings=lambda rows: [Evidence("as_mush", None, "")])
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
            yield text[text.index("Change since the previous run") :]

    for text in shown(before):
        assert "No verdict changed" in text
        assert "the run of yesterday, commit c0ffee" in text
    for text in shown([{**before[0], "verdict": "refuted"}, before[1]]):
        assert "refuted: 1 [1, 1] times" in text and "confirmed: 1 [1, 1] times" in text
        assert "No verdict changed" not in text
    for text in shown([{"claim": "of an older version", "interval": "1 [1, 1]"}]):
        assert "No verdict changed" not in text and "c0ffee" not in text


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
