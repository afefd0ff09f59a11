"""Laws of a run: nothing finished is lost, nothing unfinished is used, nothing depends on order."""

from __future__ import annotations

import errno
import json
import math
import os
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from difflab import gradient
from difflab.engines import native
from difflab.errors import ArgumentError, DomainError, UnknownNameError
from difflab.lab.cases import case_generator, case_list, discover, preset
from difflab.lab.command import Options, run_all
from difflab.lab.record import csv_texts, describe_change, load_rows
from difflab.lab.store import Outcome
from difflab.lab.workers import attempt

CASES = 9


def test_rows_hold_the_deterministic_columns_and_timings_the_others(done):
    lines = (done.report / "rows.csv").read_text().splitlines()
    head = "case_id,case_row,method,steps,layers,seed,status,place,special,left,note"
    assert lines[0] == head
    assert len(lines) == 1 + 5 * CASES
    timings = (done.report / "timings.csv").read_text().splitlines()
    assert timings[0] == "case_id,case_row,seconds,case_seconds"
    assert len(timings) == len(lines)


def test_a_case_does_not_see_what_ran_before(project, monkeypatch):
    """A program that NumPy begins and machine code goes on with has other digits each time."""

    def measure(case, rng):
        slopes = gradient(lambda x: np.sum(sum(np.tanh(k * x) * np.exp(x) for k in range(100))))
        for call in range(3):
            for thread in threading.enumerate():
                if thread.name == "difflab compiles":
                    thread.join()
            yield {"call": call, "slopes": slopes(np.linspace(0.0, 1.0, 200)).tobytes().hex()}

    monkeypatch.setenv("DIFFLAB_ENGINE", "auto")
    unsteady = list(measure({}, None))
    rows = attempt(replace(project.experiment, measure=measure), {}).rows
    assert os.environ["DIFFLAB_ENGINE"] == "auto"
    assert len({row["slopes"] for row in rows}) == 1
    assert len({row["slopes"] for row in unsteady}) == 1 + (native.why_not() is None)


def test_the_seconds_of_a_case_stand_once_and_belong_to_all_of_its_rows(tmp_path):
    rows = [{"ulps": 0.5}, {"ulps": 1.5, "time": 3.0}, {"ulps": 2.5}]
    outcomes = {"a": Outcome({}, rows, 2.0), "b": Outcome({}, rows[:1], 4.0)}
    texts = csv_texts(outcomes, ["time"])
    assert texts[1] == "case_id,case_row,case_seconds,time\na,0,2.0,\na,1,,3.0\nb,0,4.0,\n"
    for name, text in zip(("rows.csv", "timings.csv"), texts, strict=True):
        (tmp_path / name).write_text(text)
    loaded = load_rows(tmp_path)
    assert loaded["case_seconds"].tolist() == [2.0, 2.0, 2.0, 4.0]
    assert loaded["ulps"].tolist() == [0.5, 1.5, 2.5, 0.5]
    np.testing.assert_array_equal(loaded["time"], [math.nan, 3.0, math.nan, math.nan])


def test_floats_survive_store_and_csv(done):
    values = [math.nan, math.inf, -math.inf, -0.0, 1 / 3]
    rows = load_rows(done.report)
    text = json.loads(next(done.store.glob("*.json")).read_text())
    for found in (rows.special.head(5), [row["special"] for row in text["rows"]]):
        np.testing.assert_array_equal(found, values)
        assert math.copysign(1, list(found)[3]) == -1
    cases = case_list(done.experiment, preset("smoke"))
    fresh = attempt(done.experiment, next(iter(cases.values())))
    assert rows.left[0] == fresh.rows[0]["left"]


def test_a_second_run_measures_nothing_and_changes_no_byte(project):
    assert project.run() == 0
    assert len(project.measured()) == CASES
    before = project.pages()
    assert project.run() == 0
    assert project.measured() == []
    assert project.pages() == before


def test_fresh_measures_all_again_and_gets_the_same_rows(project):
    project.run()
    before = (project.report / "rows.csv").read_bytes()
    project.measured()
    assert project.run("--fresh") == 0
    assert len(project.measured()) == CASES
    assert (project.report / "rows.csv").read_bytes() == before


def test_a_failed_case_is_shown_not_stored_and_makes_the_exit_code_1(project, capsys):
    project.switch("broken")
    assert project.run() == 1
    printed = capsys.readouterr().err
    assert "failed: method=shift steps=2 layers=[3,1] seed=0: ValueError" in printed
    assert "python experiments/toy.py --preset smoke" in printed
    assert len(list(project.store.glob("*.json"))) == CASES - 2
    rows = load_rows(project.report)
    assert list(rows.status).count("failed") == 2
    assert rows.left.notna().sum() == 5 * (CASES - 2)
    assert "2 cases failed" in project.html()
    assert "&lt;b&gt;no&lt;/b&gt; halving today" in project.html()
    assert "ValueError: <b>no</b> halving today" in (project.report / "README.md").read_text()

    project.switch("broken", on=False)
    project.measured()
    assert project.run() == 0
    assert len(project.measured()) == 2
    assert "failed" not in project.html().partition("</style>")[2]
    assert "8 rows added." in project.html()  # each failed case had a row


def test_another_version_uses_no_stored_case(project):
    project.run()
    project.measured()
    project.file.write_text(project.file.read_text().replace("version=1", "version=2"))
    assert project.run() == 0
    assert len(project.measured()) == CASES


def test_only_measures_what_fits_and_the_page_says_how_many(project, capsys):
    assert project.run("--only", "method=shift", "--only", "steps=1", "--only", "steps=2") == 0
    assert {method for _, method, *_ in project.measured()} == {"shift"}
    assert f"Incomplete: 4 of {CASES} cases" in project.html()
    assert project.run("--only", "metod=shift") == 1
    assert "did you mean 'method'" in capsys.readouterr().err
    assert project.run("--only", "steps=9") == 1
    assert "no case fits steps=9" in capsys.readouterr().err
    assert project.run("--only", "steps") == 1
    assert project.run("--only", "layers=[]") == 0
    assert len(project.measured()) == 1


def test_list_counts_and_estimates_and_measures_nothing(project, capsys):
    project.run("--only", "method=clock")
    project.measured()
    capsys.readouterr()
    assert project.run("--list") == 0
    printed = capsys.readouterr().out
    assert printed.count("to do   method=") == CASES - 1
    assert f"{CASES} cases, 1 stored, {CASES - 1} to do, about 0 s" in printed
    assert project.measured() == []


def test_options_are_checked(project, capsys):
    assert project.run("--seeds", "0") == 2
    assert "0 seeds" in capsys.readouterr().err
    assert project.run("--seeds", "1") == 0
    assert len(project.measured()) == 5
    assert "toy.py --preset smoke --seeds 1" in project.html()
    assert project.run("--help") == 0
    assert "--fresh" in capsys.readouterr().out


def test_a_case_does_not_depend_on_other_cases(done):
    cases = list(case_list(done.experiment, preset("full")).items())
    few = case_list(done.experiment, preset("smoke"))
    assert few.items() <= dict(cases).items()


def test_seeded_by_pairs_the_methods(done):
    def draws(**case):
        return case_generator(done.experiment, case).random()

    assert draws(method="divide", steps=1, seed=0) == draws(method="shift", steps=1, seed=0)
    assert draws(method="divide", steps=1, seed=0) != draws(method="divide", steps=1, seed=1)


@pytest.mark.parametrize(
    "rows", [{"left": [1]}, {"case_id": "x"}, {"steps": 2}, {"left": np.ones(3)}, {"left": 1j}]
)
def test_rows_that_are_not_flat_fail_their_case(done, rows):
    from dataclasses import replace

    experiment = replace(done.experiment, measure=lambda case, rng: rows)
    outcome = attempt(experiment, {"steps": 1})
    assert "ArgumentError" in outcome.traceback and outcome.rows == []


def test_cases_must_be_plain_json(done):
    from dataclasses import replace

    experiment = replace(done.experiment, cases=lambda preset: [{"size": np.int64(3)}])
    with pytest.raises(ArgumentError, match="plain JSON"):
        case_list(experiment, preset("smoke"))


def test_change_counts_rows_and_names_columns():
    before = "case_id,case_row,a,b\nx,0,1.0,u\ny,0,2.0,u\n"
    after = "case_id,case_row,a,b\nx,0,1.1,v\nz,0,2.0,u\n"
    assert describe_change(before, after) == (
        "1 rows added. 1 rows gone. 1 of the 1 rows of both runs changed, in `a`, `b`."
    )
    assert describe_change(before, before) == "The 2 rows of both runs agree."


def test_run_all_finds_experiments_by_name(project, capsys, monkeypatch):
    options = Options(preset=preset("smoke"))
    (project.folder / "_helper.py").write_text("")
    assert run_all(["toy"], options, project.folder) == 0
    with pytest.raises(UnknownNameError, match="did you mean 'toy'"):
        run_all(["tyo"], options, project.folder)
    monkeypatch.chdir(project.report)
    assert list(discover()) == ["toy"]
    (project.folder / "empty.py").write_text("")
    with pytest.raises(ArgumentError, match="does not define EXPERIMENT"):
        discover()


def test_an_error_in_one_experiment_does_not_stop_the_next(project, capsys):
    text = Path(__file__).with_name("climb.py").read_text()
    (project.folder / "climb.py").write_text(text)
    faults = {"alpine": "raise DomainError('no mountain', 'build one')", "bad": "return 1 / 0"}
    head = "from difflab.errors import DomainError\n"
    for name, fault in faults.items():
        broken = text.replace('name="climb"', f'name="{name}", order=1')
        broken = broken.replace("def cases(preset):\n", f"def cases(preset):\n    {fault}\n", 1)
        (project.folder / f"{name}.py").write_text(head + broken)
    for torn in ("gone", "alpine"):
        (project.reports / torn).mkdir(parents=True)
        (project.reports / torn / "summary.json").write_text("{")
    assert run_all([], Options(preset=preset("smoke")), project.folder) == 1
    printed = capsys.readouterr()
    assert "alpine: error: no mountain\n  remedy: build one" in printed.err
    assert "bad: error\nTraceback" in printed.err and "ZeroDivisionError" in printed.err
    assert "toy: 9 cases" in printed.out and "climb: 8 cases" in printed.out
    again = "to measure what is missing:\n  difflab run --preset smoke\n"
    assert again in printed.err


def test_a_full_disk_stops_all(project, capsys, monkeypatch):
    (project.folder / "climb.py").write_text(Path(__file__).with_name("climb.py").read_text())

    def full(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        assert run_all([], Options(preset=preset("smoke")), project.folder) == 1
    assert capsys.readouterr().err.count("No space left") == 1


def test_unknown_presets_and_seeds_are_refused():
    with pytest.raises(UnknownNameError, match="'quick'"):
        preset("quik")
    with pytest.raises(DomainError):
        preset("quick", seeds=0)
