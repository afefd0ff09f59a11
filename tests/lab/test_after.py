"""Cases that follow from others: only once those are finished, and then cases like all others."""

from __future__ import annotations

import json

import pytest

from difflab.lab.record import load_rows

FIRST, FURTHER = 6, 2


def asked(climb):
    return [json.loads(line) for line in (climb.folder / "asked").read_text().splitlines()]


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_further_cases_follow_from_the_rows_of_the_first(climb, jobs):
    assert climb.run("--jobs", jobs) == 0
    parts = [part for _, part, *_ in climb.measured()]
    assert parts == ["try"] * FIRST + ["climb"] * FURTHER
    rows = load_rows(climb.report)
    assert list(rows.part) == parts
    first = rows.head(FIRST)
    for seed, start in zip(rows.seed.tail(FURTHER), rows["from"].tail(FURTHER), strict=True):
        own = first[first.seed == seed].set_index("start")
        assert own.height.idxmax() == start
    columns = ["case_id", "case_row", "part", "start", "seed", "status", "height", "special"]
    assert asked(climb) == [[*columns, "float64"]]
    assert "Incomplete" not in climb.html()


def test_a_second_run_measures_nothing_and_changes_no_byte(climb):
    climb.run()
    before = climb.pages()
    climb.measured()
    assert climb.run() == 0
    assert climb.measured() == []
    assert climb.pages() == before


def test_rows_do_not_depend_on_the_number_of_jobs(climb):
    climb.run("--jobs", "2")
    before = (climb.report / "rows.csv").read_bytes()
    assert climb.run("--fresh") == 0
    assert len(climb.measured()) == 2 * (FIRST + FURTHER)
    assert (climb.report / "rows.csv").read_bytes() == before


def test_nothing_follows_while_a_first_case_is_missing(climb, capsys):
    words = f"further cases follow from {FIRST - 2} that are missing"
    assert climb.run("--only", "start=1") == 0
    assert words in capsys.readouterr().out
    assert f"2 of {FIRST} cases have been tried; {words}" in climb.html()
    assert not (climb.folder / "asked").exists()
    assert climb.run("--list") == 0
    assert words in capsys.readouterr().out
    assert climb.run("--only", "part=climb") == 1
    assert f"no case that is known yet fits part=climb: {words}" in capsys.readouterr().err
    assert climb.run() == 0
    assert len(climb.measured()) == FIRST + FURTHER


def test_nothing_follows_from_failed_cases(climb, capsys):
    climb.switch("broken")
    assert climb.run() == 1
    words = "further cases follow from 2 that are missing"
    assert words in capsys.readouterr().out
    assert f"{FIRST} of {FIRST} cases have been tried; {words}" in climb.html()
    climb.switch("broken", on=False)
    assert climb.run() == 0
    assert len(climb.measured()) == FIRST + 2 + FURTHER


def test_an_error_in_choosing_is_said_and_loses_nothing(climb, capsys):
    climb.switch("undecided")
    assert climb.run() == 1
    assert "ValueError: no way to choose" in capsys.readouterr().err
    assert "which cases follow could not be computed" in climb.html()
    climb.switch("undecided", on=False)
    assert climb.run() == 0
    assert len(climb.measured()) == FIRST + FURTHER


def test_only_and_list_know_both_stages(climb, capsys):
    climb.run()
    climb.measured()
    capsys.readouterr()
    assert climb.run("--list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert ["part=climb" in line for line in lines[:-1]] == [False] * FIRST + [True] * FURTHER
    assert lines[-1] == f"climb: {FIRST + FURTHER} cases, {FIRST + FURTHER} stored, 0 to do"
    assert climb.run("--fresh", "--only", "rate=0.5") == 0
    assert {part for _, part, *_ in climb.measured()} == {"climb"}
    assert climb.run("--only", "rat=0.5") == 1
    assert "did you mean 'rate'" in capsys.readouterr().err
