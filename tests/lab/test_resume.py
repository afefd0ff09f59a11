"""Whatever stops a run, and whoever runs beside it: no finished case is lost or measured again."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from difflab.lab.cases import preset
from difflab.lab.command import Options, Terminated, _hearing_stops, run_all

CASES = 9
PROMPT = 20.0  # a quiet machine takes less than one; a case that is not stopped takes a minute


@pytest.fixture(scope="module")
def processes():
    """Processes that have imported everything, so that a moment falls into a run's own work."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["difflab.lab.command", "scipy.stats", "rich.progress"])
    return context


def run_apart(processes, climb):
    """A run of both stages in a process of its own."""
    options = Options(preset=preset("smoke"))
    process = processes.Process(target=run_all, args=(["climb"], options, climb.folder))
    process.start()
    return process


def test_ten_kills_harm_no_finished_case(processes, climb, tmp_path_factory):
    climb.switch("slow")
    process = run_apart(processes, climb)  # uninterrupted
    process.join(60)
    assert process.exitcode == 0
    expected, cases = climb.rows(), len(climb.stored())
    for folder in (climb.store, climb.reports):
        shutil.rmtree(folder)
    climb.measured()

    draw = random.Random(20)
    kills = []  # of each: how many cases were stored
    stored: dict[str, tuple[bytes, int]] = {}
    while len(kills) < 10:
        moment = draw.uniform(0.0, 0.35 if len(stored) < cases else 0.2)
        process = run_apart(processes, climb)
        _wait_for_work(climb, stored, cases, process)
        time.sleep(moment)
        process.kill()
        process.join()
        if process.exitcode != -signal.SIGKILL:  # it was faster; then all must begin again
            assert climb.rows() == expected
            shutil.rmtree(climb.reports)
            continue
        found = climb.stored()
        assert stored.items() <= found.items(), "a finished case was touched"
        finished = [list(json.loads(text)["case"].values()) for text, _ in stored.values()]
        assert all(case not in finished for _, *case in climb.measured())
        stored = found
        kills.append(len(stored))
    assert kills == sorted(kills)
    assert len(set(kills)) >= 3 and kills.count(cases) >= 2, kills  # while measuring, and writing
    assert climb.run() == 0
    assert climb.rows() == expected
    assert stored.items() <= climb.stored().items()
    assert "Incomplete" not in climb.html()


def _wait_for_work(climb, stored, cases, process):
    """Wait until the run measures, or, if nothing is left to measure, until it writes."""
    deadline = time.monotonic() + 30
    while process.is_alive() and time.monotonic() < deadline:
        if (climb.folder / "log").exists() or (len(stored) == cases and climb.reports.exists()):
            return
        time.sleep(0.002)


class Killed(BaseException):
    """Stands for SIGKILL at a chosen write."""


def test_a_kill_at_any_write_is_repaired_by_the_next_run(climb, monkeypatch):
    """The rows and what is said of their change are those of a run that was never killed."""
    text = climb.file.read_text()
    climb.file.write_text(text.replace("version=1", "version=2"))
    climb.run()
    climb.file.write_text(text)
    start = climb.root / "start"
    shutil.copytree(climb.root / ".difflab", start)
    climb.run()
    expected, record = climb.rows(), climb.report / "provenance.json"
    told = json.loads(record.read_bytes())
    replace = os.replace
    for number in range(100):
        for after in (False, True):
            shutil.rmtree(climb.root / ".difflab")
            shutil.copytree(start, climb.root / ".difflab")
            left = [number]

            def strike(source: Path, target: Path, left=left, after=after) -> None:
                left[0] -= 1
                if left[0] >= 0 or after:
                    replace(source, target)
                if left[0] < 0:
                    raise Killed

            with monkeypatch.context() as patch:
                patch.setattr(os, "replace", strike)
                try:
                    climb.run()
                except Killed:
                    pass
                else:
                    assert number > 8
                    return
            assert climb.run() == 0
            assert climb.rows() == expected
            again = json.loads(record.read_bytes())
            for name in ("change", "cases", "incomplete"):
                assert again[name] == told[name], (number, after)
            assert again["previous"]["findings"] == told["previous"]["findings"]
    raise AssertionError("a run writes fewer than a hundred files")


@pytest.mark.parametrize("presets", [("smoke", "smoke"), ("smoke", "quick")], ids="-".join)
def test_two_runs_at_once_do_not_harm_each_other(climb, presets, capsys):
    climb.switch("slow")
    runs = [climb.start("--preset", name, "--output", "out") for name in presets]
    for run in runs:
        out, errors = run.communicate(timeout=60)
        assert run.returncode == 0 and errors == "", (out, errors)
    climb.switch("slow", on=False)
    together = climb.root / "out" / "climb"
    record = json.loads((together / "provenance.json").read_bytes())
    climb.measured()
    for name in presets:
        assert climb.run("--preset", name, "--output", str(climb.root / name)) == 0
    assert climb.measured() == []
    assert capsys.readouterr().err == ""
    alone = climb.root / record["preset"] / "climb"
    assert (together / "rows.csv").read_bytes() == (alone / "rows.csv").read_bytes()
    assert (
        climb.run("--report", "--preset", record["preset"], "--output", str(together.parent)) == 0
    )
    assert climb.run("--fresh", "--preset", record["preset"]) == 0
    reports = climb.root / ({"smoke": ".difflab/smoke", "quick": "reports/quick"}[record["preset"]])
    assert (reports / "climb" / "rows.csv").read_bytes() == (alone / "rows.csv").read_bytes()
    assert not list(climb.root.rglob("*.tmp"))


# Ctrl-C -------------------------------------------------------------------------------------------


def interrupt(process: subprocess.Popen[str], project) -> str:
    """Send Ctrl-C's signal; returns what was printed."""
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PROMPT)
    assert process.returncode == 130, errors
    assert "to measure what is missing:\n  python experiments/toy.py --preset smoke" in errors
    assert "Traceback" not in errors
    return errors


@pytest.mark.parametrize("kind", ["slow", "busy"])
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_interrupt_stops_promptly_and_keeps_what_is_finished(project, jobs, kind):
    project.run("--only", "method=clock")
    project.measured()
    project.switch(kind)

    def at_work() -> bool:
        log = project.folder / "log"
        methods = (
            [line.split('"')[1] for line in log.read_text().splitlines()] if log.exists() else []
        )
        return methods.count("shift") >= int(jobs) if kind == "busy" else len(project.stored()) > 1

    errors = interrupt(project.started(at_work, "--jobs", jobs), project)
    assert f"--jobs {jobs}" in errors
    project.switch(kind, on=False)
    kept = len(project.stored())
    project.measured()
    assert project.run() == 0
    assert len(project.measured()) == CASES - kept < CASES - 1


def test_interrupt_in_a_finalizer_stops_a_run(project):
    project.switch("deaf")
    log = project.folder / "log"
    interrupt(project.started(lambda: log.exists() and '"shift"' in log.read_text()), project)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, Terminated])
def test_a_stop_that_fell_into_a_finalizer_is_sent_again(stop):
    class Late:
        def __del__(self):
            raise stop

    with pytest.raises(stop), _hearing_stops():
        Late()
        time.sleep(PROMPT)
        pytest.fail("nobody sent it again")


def test_interrupt_stops_while_a_page_is_made(project):
    project.switch("slow_figure")
    interrupt(project.started((project.folder / "drawing").exists), project)
    project.switch("slow_figure", on=False)
    project.measured()
    assert project.run() == 0
    assert project.measured() == []


def test_workers_of_a_killed_run_end_and_write_nothing(project):
    project.switch("busy")
    log = project.folder / "log"

    def workers() -> set[int]:
        lines = log.read_text().splitlines() if log.exists() else []
        return {json.loads(line)[0] for line in lines if '"shift"' in line}

    process = project.started(lambda: len(workers()) == 2, "--jobs", "2")
    process.kill()
    process.communicate()
    before = project.stored()
    deadline = time.monotonic() + 20
    while any(_runs(pid) for pid in workers()):
        assert time.monotonic() < deadline, "an orphan goes on computing"
        time.sleep(0.1)
    assert project.stored() == before and not project.reports.exists()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
