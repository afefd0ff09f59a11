"""Laws of the front page: all on it follows from the findings; the lecture is told line by line."""

from __future__ import annotations

import html
import json
import re
import tomllib
from pathlib import Path

import pytest

from difflab.errors import UnknownNameError
from difflab.lab.claims import claims
from difflab.lab.findings import here, plain
from difflab.lab.front import front_page
from difflab.lab.intervals import Interval
from difflab.lab.results import Part, Result

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
LECTURE = """
[front]
picture = "toy"
surprises = ["as_much"]

[[line]]
topic = "Halves"
sentence = "Half is half."
claims = ["as_much", "halving_ends"]

[[line]]
topic = "Races"
sentence = "There are races."
cannot = "no tortoise"

[[line]]
topic = "Races"
sentence = "Nobody arrives."
experiment = "race"
"""


@pytest.fixture
def reports(project):
    """A front page over one real report and one that is made up."""
    assert project.run() == 0
    (project.folder / "lecture.toml").write_text(LECTURE)
    return project


def rendered(project):
    front_page(project.reports, project.folder)
    pages = (project.reports / name for name in ("index.html", "README.md"))
    return [html.unescape(page.read_text()) for page in pages]


def invent(project, **intervals):
    """Give the toy's claims other results."""
    path = project.report / "summary.json"
    summary = json.loads(path.read_bytes())
    known = claims(project.folder)
    summary["findings"] = [
        plain(
            known[name],
            Result(name, tuple(Part(key, Interval(*own), own[3]) for key, own in parts.items())),
        )
        for name, parts in intervals.items()
    ]
    path.write_text(json.dumps(summary))
    return summary["findings"]


def test_every_claim_is_listed_once_with_what_was_found(reports):
    finding = json.loads((reports.report / "summary.json").read_bytes())["findings"][0]
    for text in rendered(reports):
        table = text[text.index("All claims") :]
        for sentence in ("Division leaves", "Halving comes", "Achilles never catches"):
            assert len(re.findall(rf">{sentence}|\| {sentence}", table)) == 1, sentence
        assert here(finding) in text
        assert "2 findings:" in text and "1 checks:" in text and "1 not judged" in text
        assert "All verdicts are descriptive only: the smoke preset, 2 seeds." in text
        assert "race (without a report)" in text


def test_the_picture_the_cards_and_the_lecture_lead_to_the_claims(reports):
    page, markdown = rendered(reports)
    assert 'href="toy/index.html#as_much"' in page and "data:image/svg+xml" in page
    assert re.search(r'class="[\w-]+" href="toy/index.html#as_much"', page)  # the card
    assert "toy/falling.svg" in markdown and "toy/falling.svg" not in page
    for text in (page, markdown):
        told = text[text.index("The lecture, line by line") : text.index("All claims")]
        assert told.index("Half is half.") < told.index("cannot be tested here: no tortoise")
        assert "Nobody arrives." in told


def test_marks_follow_from_the_findings(reports):
    for ends, word in (((1.0, 0.95, 1.1, 9), "reproduced"), ((0.5, 0.4, 0.6, 9), "contradicted")):
        invent(reports, as_much={"": ends})
        for text in rendered(reports):
            told = text[text.index("Half is half.") : text.index("All claims")]
            assert word in told and "not judged" in told


def test_ours_stands_beside_the_source_s_figure_data_set_by_data_set(reports):
    invent(reports, as_much={"iris": (2.0, 1.5, 2.5, 9), "wine": (1e-3, -1e-3, 5e-3, 9)})
    page, markdown = rendered(reports)
    assert "iris 2 [1.5, 2.5]; wine 0.001 [-0.001, 0.005]" in markdown
    drawn = page[page.index('id="forest"') : page.index('id="claims"')]
    at = float(re.search(r'circle cx="([\d.]+)%"', drawn)[1])
    one = float(re.search(r'class="one" x1="([\d.]+)%"', drawn)[1])
    assert one == 50 < at < 99
    assert drawn.count("<circle") == 1  # the other leaves the axis
    assert 'd="M-7 0' in drawn and 'd="M7 0' not in drawn
    invent(reports, halving_ends={"": (0.01, 0.0, 0.02, 9)})  # its source gives no figure
    assert 'id="forest"' not in rendered(reports)[0]


def test_chance_is_counted_and_marked(reports):
    invent(reports, as_much={"": (1.0, 0.5, 1.5, 9)})  # nothing is decided
    for text in rendered(reports):
        assert "would be wrong by chance" not in text
    sure, doubtful = (1.0, 0.99, 1.01, 9), (0.095, 0.0902, 0.0998, 9)
    found = invent(reports, as_much={"": sure}, halving_ends={"": doubtful})
    assert [finding["verdict"] for finding in found] == ["reproduced", "reproduced"]
    for text in rendered(reports):
        assert "Of 2 decided findings up to 0.1 would be wrong" in text
        assert "2 survive Holm's correction" in text
        assert "not after Holm's correction" not in text
    invent(reports, as_much={"": (1.0, 0.901, 1.1, 9)}, halving_ends={"": doubtful})
    for text in rendered(reports):
        assert "0 survive Holm's correction" in text
        assert text.count("not after Holm's correction") == 2


def test_findings_of_an_older_form_are_not_judged(reports):
    path = reports.report / "summary.json"
    summary = json.loads(path.read_bytes())
    summary["findings"] = [{"id": "as_much", "verdict": "confirmed"}, {"claim": "older still"}]
    path.write_text(json.dumps(summary))
    for text in rendered(reports):
        assert "confirmed" not in text and "2 not judged" in text


def test_an_unknown_claim_of_the_lecture_is_refused(reports):
    (reports.folder / "lecture.toml").write_text(LECTURE.replace('"as_much"]', '"as_mush"]'))
    with pytest.raises(UnknownNameError, match="did you mean 'as_much'"):
        rendered(reports)


def test_a_page_works_without_scripts_and_without_a_network(reports):
    page, _ = rendered(reports)
    assert not re.search(r'(src|href)="(?:https?:)?//', page.partition("</style>")[2])
    table = page[page.index('<table class="claims"') :]
    assert "hidden" not in table[: table.index("</table>")]
    assert '<div class="filter" hidden>' in page
    filters = set(re.findall(r'select data-key="(\w+)"', page))
    assert filters == {"verdict", "kind", "experiment"}
    assert all(f'data-{name}="' in table for name in filters)


# The lecture --------------------------------------------------------------------------------------


def lecture_lines():
    return tomllib.loads((EXPERIMENTS / "lecture.toml").read_text(encoding="utf-8"))


def test_every_claim_of_the_lecture_is_in_a_line():
    lines = lecture_lines()["line"]
    told = {name for line in lines for name in line.get("claims", ())}
    whole = {line["experiment"] for line in lines if "experiment" in line}
    for claim in claims(EXPERIMENTS).values():
        if any(source.text == "lecture" for source in claim.sources):
            assert claim.id in told or claim.experiment in whole, claim.id


def test_every_line_is_of_one_form_and_names_what_there_is():
    lecture, known = lecture_lines(), claims(EXPERIMENTS)
    files = {path.stem for path in EXPERIMENTS.glob("[!_]*.py")}
    for line in lecture["line"]:
        assert {"topic", "sentence"} < line.keys() and len(line) == 3, line
        assert line.keys() & {"claims", "experiment", "cannot"}, line
        assert set(line.get("claims", ())) <= known.keys(), line
        assert line.get("experiment", "accuracy") in files | {"regression", "solvers"}, line
    assert lecture["front"]["picture"] in files
    assert len(lecture["front"]["surprises"]) == 6
    assert set(lecture["front"]["surprises"]) <= known.keys()
    sentences = [line["sentence"] for line in lecture["line"]]
    assert len(set(sentences)) == len(sentences)


# One claim again ----------------------------------------------------------------------------------


def test_one_claim_is_regenerated_and_told(project, capsys):
    assert project.run("--claim", "as_much") == 0
    assert len(project.measured()) == 9
    printed = capsys.readouterr().out
    finding = json.loads((project.report / "summary.json").read_bytes())["findings"][0]
    told = printed[printed.index("as_much: ") :]
    for part in (
        *(finding["verdict"], "Division leaves as much", here(finding), finding["rule"]),
        *(part["verdict"] for part in finding["parts"]),
        *("source's figure: 1.0 times", "Euclid, Elements", "toy/index.html#as_much"),
    ):
        assert part in told, part
    assert project.run("--claim", "halving_ends") == 0
    assert project.measured() == []
    assert "not judged in this run" in capsys.readouterr().out


def test_an_unknown_claim_and_another_s_claim_are_refused(project, capsys):
    assert project.run("--claim", "as_mush") == 2
    assert "did you mean 'as_much'" in capsys.readouterr().err
    assert project.run("--claim", "turtles") == 2
    error = capsys.readouterr().err
    assert "a claim of race" in error and "difflab run --claim turtles" in error


def test_a_claim_is_enough_to_find_its_experiment(project, capsys):
    from difflab.lab.cases import preset
    from difflab.lab.command import Options, run_all

    options = Options(preset=preset("smoke"), claim="as_much")
    assert run_all([], options, project.folder) == 0
    assert "as_much: " in capsys.readouterr().out
    unknown = Options(preset=preset("smoke"), claim="as_mush")
    with pytest.raises(UnknownNameError, match="'as_much'"):
        run_all([], unknown, project.folder)


def test_a_single_file_holds_its_images(project):
    assert project.run("--single-file") == 0
    assert 'src="data:image/svg+xml' in project.html() and 'src="falling' not in project.html()
    assert project.run("--report") == 0
    assert 'src="falling.svg"' in project.html()


def test_help_says_what_an_option_does_and_gives_examples(project, capsys):
    assert project.run("--help") == 0
    printed = capsys.readouterr().out
    for part in ("--claim ID", "--single-file", "examples:", "toy.py --quick", "what to write:"):
        assert part in printed, part
