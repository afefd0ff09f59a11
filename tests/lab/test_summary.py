"""What a run says in the end: to a person in colour, to a program as JSON."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys

import pytest

from difflab.lab.command import TONES, _say

CASES = 9


def constant_refused(text: str) -> None:
    raise AssertionError(f"{text} is no JSON")


def told(text: str) -> dict:
    return json.loads(text, parse_constant=constant_refused)


NOISE = 'print("noise", flush=True)\nos.write(1, b"loud")\n'
RUN = """
from pathlib import Path
from difflab.lab import Options, Preset, run_all
options = Options(preset=Preset("smoke", range(2)), json=True)
raise SystemExit(run_all(["toy"], options, Path("experiments")))
"""


def test_json_alone_is_on_standard_output(project):
    """Whatever the experiment prints, here or in a child, by Python or past it."""
    text, where = project.file.read_text(), '    if (HERE / "slow").exists():\n'
    inside = "".join(f"    {line}\n" for line in NOISE.splitlines())
    assert where in text
    project.file.write_text(f"import os\n{NOISE}" + text.replace(where, inside + where))
    done = subprocess.run(
        [sys.executable, "-c", RUN], capture_output=True, text=True, cwd=project.root, check=True
    )
    found, err = told(done.stdout), done.stderr
    (entry,) = found["experiments"]
    assert found["exit_code"] == 0 and entry["status"] == "ok" and entry["name"] == "toy"
    assert (entry["cases"], entry["measured"], entry["stored"]) == (CASES, CASES, 0)
    assert sum(entry["verdicts"].values()) == len(
        json.loads((project.report / "summary.json").read_bytes())["findings"]
    )
    assert entry["report"] == str(project.report / "index.html")
    assert "9 cases, of which 0 stored" in err and err.count("noise") > CASES < err.count("loud")


def test_failures_and_faults_have_a_status(project, capsys):
    project.switch("broken")
    assert project.run("--json") == 1
    found = told(capsys.readouterr().out)
    (entry,) = found["experiments"]
    assert found["exit_code"] == 1 and entry["status"] == "failed" and entry["failed"] == 2
    assert project.run("--json", "--only", "method=none") == 1
    (entry,) = told(capsys.readouterr().out)["experiments"]
    assert entry["status"] == "error" and "method=none" in entry["error"]


def test_a_list_is_json_too(project, capsys):
    assert project.run("--list", "--json") == 0
    captured = capsys.readouterr()
    (entry,) = told(captured.out)["experiments"]
    assert entry == {"name": "toy", "status": "ok", "cases": CASES, "stored": 0}
    assert "to do" in captured.err


def test_a_run_that_is_stopped_still_says_what_became_of_it(project):
    project.switch("slow")
    process = project.started(lambda: (project.folder / "log").exists(), "--json")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    found = told(out)
    assert process.returncode == found["exit_code"] == 130 and "interrupted" in err
    assert [entry["status"] for entry in found["experiments"]] == ["stopped"]


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)],
)
def test_verdicts_have_a_colour_where_colours_are_taken(monkeypatch, capsys, variables, coloured):
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TERM", "xterm-256color")
    text = "toy: 2 reproduced, 1 not reproduced here, 3 undecided"
    _say(text)
    shown = capsys.readouterr().out
    assert re.sub(r"\033\[\d+m", "", shown) == f"{text}\n"
    tones = [tone for tone in TONES if f"\033[{tone}m" in shown]
    assert tones == ([31, 32, 33] if coloured else [])
    assert not coloured or "\033[31m1 not reproduced here\033[0m" in shown


@pytest.mark.parametrize(
    ("text", "tone"),
    [("toy: 9 cases, of which 2 failed, 0 left out", 31), ("toy: 0 failed, 1 left out", None),
     ("a.b: reproduced", 32), ("toy: contradicted", 31), ("a run that holds, or fails: x", None)],
)  # fmt: skip
def test_only_verdicts_and_failures_are_coloured(monkeypatch, capsys, text, tone):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    _say(text)
    found = re.findall(r"\033\[(3\d)m", capsys.readouterr().out)
    assert found == ([str(tone)] if tone else [])
