"""Nothing that a case or a foreign file does ends a run: it is a failed row, or is not there."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from difflab.lab.cases import case_list, preset
from difflab.lab.front import front_page
from difflab.lab.record import frame, load_rows
from difflab.lab.store import Store, flat_rows, write

CASES, HIT = 9, 2
SOON = 2.0  # seconds in which the workers of a run that was stopped must have ended
STARTS = "def measure(case, rng):\n"


def attack(project, text: str, head: str = "") -> None:
    """Let two of the toy's nine cases do something."""
    hostile = (
        f'{head}\n{STARTS}    if (case["method"], case["steps"]) == ("shift", 2):\n        {text}\n'
    )
    project.file.write_text(project.file.read_text().replace(STARTS, hostile))


# What a case does ---------------------------------------------------------------------------------

ENDS = {
    "sys.exit()": "SystemExit",
    "sys.exit(0)": "SystemExit: 0",
    "sys.exit('all is well')": "SystemExit: all is well",
    "raise GeneratorExit": "GeneratorExit",
    "raise KeyboardInterrupt": "KeyboardInterrupt",
    "raise type('Own', (BaseException,), {})('mine')": "Own: mine",
    "raise ValueError('\\ud800')": "ValueError: \\ud800",
    "raise ValueError('x' * 200_000)": "ValueError: xxx",
    "raise ValueError('a\\rb\\x00c')": "ValueError: a\rb\x00c",
    "return measure(case, rng)": "AttributeError",
    "os._exit(0)": "ended with exit code 0",
    "os._exit(1)": "ended with exit code 1",
    "os.kill(os.getpid(), signal.SIGKILL)": "was killed by SIGKILL",
    "os.kill(os.getpid(), signal.SIGTERM)": "was killed by SIGTERM",
    "faulthandler.disable(); os.kill(os.getpid(), signal.SIGSEGV)": "was killed by SIGSEGV",
    "os.closerange(3, 256)": "the process that measured this case",
}


@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize(("text", "said"), ENDS.items(), ids=ENDS.keys())
def test_a_case_that_ends_its_process_is_a_failed_row(project, capsys, text, said, jobs):
    if "measure(" in text:
        text, said = "return [].append(1).measure()", "AttributeError"
    plain = project.file.read_text()
    attack(project, text, "import faulthandler\nimport signal\nimport sys")
    assert project.run("--jobs", jobs) == 1
    printed = capsys.readouterr()
    assert f"{CASES - HIT} measured, {HIT} failed, 0 left out" in printed.out
    assert "to measure what is missing" in printed.err
    rows = load_rows(project.report)
    failed = rows[rows.status == "failed"]
    assert list(zip(failed.method, failed.steps, strict=True)) == [("shift", 2)] * HIT
    assert failed.traceback.str.contains(said, regex=False).all()
    assert len(project.stored()) == CASES - HIT
    assert f"{HIT} cases failed" in project.html()
    project.file.write_text(plain)
    project.measured()
    assert project.run("--jobs", jobs) == 0
    assert len(project.measured()) == HIT


def test_a_timed_case_that_dies_is_a_failed_row(project):
    project.file.write_text(
        project.file.read_text().replace(STARTS, f'{STARTS}    case["seed"] == 0 and os._exit(3)\n')
    )
    assert project.run() == 1
    rows = load_rows(project.report)
    assert set(rows[rows.status == "failed"].method) == {"divide", "shift", "clock"}
    assert set(rows[rows.status == "ok"].seed) == {1}


def test_a_case_is_not_blamed_for_what_one_before_it_left(project):
    """A process may die late: who was alone in a fresh one did it, and nobody else."""
    late = "threading.Timer(0.1, os._exit, (7,)).start() or time.sleep(0.3)"
    attack(
        project, late.replace("0.1", "0.4").replace(" or time.sleep(0.3)", ""), "import threading"
    )
    project.switch("slow")
    assert project.run() == 0
    assert set(load_rows(project.report).status) == {"ok"}


def test_a_copy_of_a_process_that_a_case_made_answers_for_none(project):
    attack(project, "os.fork()")
    project.run("--fresh")
    rows = project.rows()
    project.file.write_text(project.file.read_text().replace("os.fork()", "pass"))
    assert project.run("--fresh") == 0
    assert project.rows() == rows


@pytest.mark.parametrize("after", ["sys.exit()", "raise SystemExit(0)"])
@pytest.mark.parametrize(
    "part", ["def tables(rows):\n", "def figures(rows):\n", "def cases(preset):\n"]
)
def test_an_experiment_that_exits_is_an_error(project, capsys, part, after):
    text = project.file.read_text().replace(part, f"{part}    {after}\n")
    project.file.write_text(f"import sys\n{text}")
    assert project.run() == 1
    assert "SystemExit" in capsys.readouterr().err


# What a case returns ------------------------------------------------------------------------------

REFUSED = {
    "an integer of many digits": "10**5000",
    "half a pair of surrogates": "'a\\ud800'",
    "an array": "numpy.ones(2)",
    "an array of one": "numpy.ones(1)",
    "complex": "1j",
    "complex of NumPy": "numpy.complex128(1)",
    "a date": "datetime.datetime(2020, 1, 1)",
    "a date of NumPy": "numpy.datetime64('2020-01-01')",
    "bytes": "b'a'",
    "a list": "[1]",
    "an object": "object()",
    "not available": "pandas.NA",
}
KEPT = {
    "carriage return": "a\rb",
    "both ends of lines": "a\r\nb\n",
    "other ends of lines": "a\u2028b\x85c\x0bd\x0ce",
    "nothing": "a\x00b",
    "quotes": 'a"b,"',
    "long": "a" * 200_000,
    "many digits": 10**4000,
    "less than nothing": -(2**80),
    "huge": 1e308,
    "small": 5e-324,
}


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_what_cannot_be_stored_is_a_failed_row(project, capsys, jobs):
    values = "\n".join(f"        {text}," for text in REFUSED.values())
    names = ['{1: 2}', '{None: 2}', '{float("nan"): 2}', '{(1, 2): 2}', '{"a\\ud800": 1}',
             *(f'{{"{name}": 1}}' for name in ("status", "traceback", "case_id", "case_seconds")),
             "None", "5", "[5]", "{'steps': float('nan')}"]  # fmt: skip
    head = f"VALUES = lambda: [{{'value': value}} for value in [\n{values}\n]]"
    rows = f"[*VALUES(), {', '.join(names)}]"
    text = project.file.read_text().replace(
        STARTS, f'{STARTS}    yield {rows}[case["seed"]]\n    return\n'
    )
    text = text.replace(STARTS, f"import datetime\nimport numpy\nimport pandas\n{head}\n\n{STARTS}")
    text = text.replace(
        "def cases(preset):\n",
        'def cases(preset):\n    return grid(method=["a"], steps=[1], seed=range(25))\n',
    )
    project.file.write_text(text.replace("    for place, value", "    for place, value"))
    count = len(REFUSED) + len(names)
    assert count == 25
    assert project.run("--jobs", jobs) == 1
    assert f"0 measured, {count} failed, 0 left out" in capsys.readouterr().out
    rows = load_rows(project.report)
    assert set(rows.status) == {"failed"} and len(rows) == count
    assert project.run("--report") == 0
    assert project.run("--jobs", jobs) == 1


def test_what_can_be_stored_comes_back_as_it_was(project):
    assert flat_rows({"a": KEPT["huge"]}, {}) == [{"a": KEPT["huge"]}]
    body = (
        f"    for name, value in {KEPT!r}.items():\n        yield {{'name': name, name: value}}\n"
    )
    body += "    return\n"
    project.file.write_text(project.file.read_text().replace(STARTS, STARTS + body))
    project.run()
    rows = load_rows(project.report)
    for name, value in KEPT.items():
        found = rows[name][rows["name"] == name]
        assert len(found) == CASES and all(str(own) == str(value) for own in found)
    before = project.rows()
    project.measured()
    project.run()
    assert project.rows() == before and project.measured() == []


def test_cells_are_plain_values_of_the_plain_types():
    class Text(str):
        def __str__(self) -> str:
            raise ValueError

    flag = signal.SIGINT  # an enumeration of integers
    (row,) = flat_rows({Text("a"): Text("b"), "c": flag, "d": True, "e": float("nan")}, {})
    assert [type(value) for value in row.values()] == [str, int, bool, float]
    assert {type(name) for name in row} == {str}


def test_a_run_without_a_row_has_a_report(project):
    project.file.write_text(project.file.read_text().replace(STARTS, f"{STARTS}    return []\n"))
    assert project.run() == 0
    assert len(load_rows(project.report)) == 0
    assert project.run() == 0


def test_a_case_may_not_set_a_reserved_column(project, capsys):
    text = project.file.read_text().replace('"layers": []', '"layers": [], "case_id": 1')
    project.file.write_text(text)
    assert project.run() == 1
    printed = capsys.readouterr().err
    assert "a case may not set the column 'case_id'" in printed and "Traceback" not in printed


def test_integers_beyond_all_floats_share_a_column_with_what_is_missing():
    table = frame(f"case_id,case_row,n\na,0,{10**400}\nb,0,0.5\nc,0,\n")
    assert table["n"][0] == 10**400


# Hostile files ------------------------------------------------------------------------------------


def deep(depth: int) -> str:
    return '{"a": ' * depth + "1" + "}" * depth


HOSTILE = {
    "a FIFO": os.mkfifo if hasattr(os, "mkfifo") else Path.mkdir,
    "a folder": Path.mkdir,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "unreadable": lambda path: (path.touch(), path.chmod(0)),
    "empty": Path.touch,
    "binary": lambda path: path.write_bytes(random.Random(1).randbytes(10_000)),
    "of another encoding": lambda path: path.write_text("{}", encoding="utf-16"),
    "a list": lambda path: path.write_text("[1]"),
    "a number": lambda path: path.write_text("NaN"),
    "too deep": lambda path: path.write_text("[" * 10**5),
    "deep": lambda path: path.write_text(deep(900)),
    "many digits": lambda path: path.write_text('{"version": ' + "1" * 5000 + "}"),
    "for ever": lambda path: (path.touch(), os.truncate(path, 2**40)),
}
FILES = ("rows.csv", "timings.csv", "provenance.json", "summary.json", "index.html", "falling.svg")


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_file_counts_as_absent(project, capsys, make):
    project.run()
    expected, stored = project.rows(), sorted(project.store.glob("*.json"))
    other = project.reports / "another"
    other.mkdir()
    paths = [stored[0], *(project.report / name for name in FILES), other / "summary.json"]
    for path in paths:
        path.unlink(missing_ok=True)
        make(path)
    project.measured()
    capsys.readouterr()
    assert project.run() == 0
    assert len(project.measured()) == 1
    assert "Traceback" not in capsys.readouterr().err
    assert project.rows() == expected
    assert os.path.lexists(other / "summary.json")  # not ours
    project.run()
    assert project.measured() == []
    for path in paths[1:3]:
        path.unlink()
        make(path)
        assert project.run("--report") == 1
        printed = capsys.readouterr().err
        assert "leave out --report" in printed and "Traceback" not in printed
        assert project.run() == 0


JUNK = [5, [5], [{"parts": 5}], {"findings": 5}, None, -1.5, "x", [], float("nan"), {}, [[]], True]


@pytest.mark.parametrize("name", ["provenance.json", "summary.json"])
def test_junk_in_any_place_of_a_report_is_no_report(project, capsys, name):
    project.run()
    path, expected = project.report / name, project.rows()
    whole = path.read_text()
    for key in json.loads(whole):
        for junk in JUNK[::3]:
            path.write_text(json.dumps({**json.loads(whole), key: junk}))
            (project.report / "rows.csv").write_text("case_id\na\n")
            assert project.run() == 0, (key, junk)
    assert project.rows() == expected
    assert "Traceback" not in capsys.readouterr().err


def test_junk_in_what_was_found_before_is_not_compared(project):
    project.run()
    path = project.report / "provenance.json"
    for junk in JUNK:
        told = json.loads(path.read_text())
        told["previous"] = {"commit": junk, "measured": junk, "findings": junk}
        path.write_text(json.dumps(told))
        assert project.run() == 0


def test_junk_in_another_report_keeps_it_off_the_front_page(project, capsys):
    project.run()
    text = (project.report / "summary.json").read_text()
    other = project.reports / "race" / "summary.json"
    other.parent.mkdir()
    (project.folder / "lecture.toml").write_text('[front]\npicture = "race"\n')
    told = {**json.loads(text), "name": "race", "title": "Racing"}
    (other.parent / told["headline"]["file"]).write_text("<svg></svg>")
    for key, junk in [("", 0), *((key, junk) for key in told for junk in JUNK)]:
        changed = {**told, key: junk} if key else told
        other.write_text(json.dumps(changed))
        front_page(project.reports, project.folder)
        page = (project.reports / "index.html").read_text()
        assert "Halving" in page and (key or "Racing" in page)
    for place in (told["findings"][0], told["findings"][0]["parts"][0], told["headline"]):
        for key, value in [*place.items()]:
            for junk in JUNK:
                place[key] = junk
                other.write_text(json.dumps(told))
                front_page(project.reports, project.folder)
            place[key] = value
    assert "Traceback" not in capsys.readouterr().err


def test_a_headline_names_no_file_elsewhere(project):
    project.run()
    (project.folder / "lecture.toml").write_text('[front]\npicture = "race"\n')
    told = json.loads((project.report / "summary.json").read_text())
    (project.root / "secret.svg").write_text("<svg>secret</svg>")
    told["headline"]["file"], told["name"] = "../../../secret.svg", "race"
    write(project.reports / "race" / "summary.json", json.dumps(told))
    assert project.run() == 0
    assert "c2VjcmV0" not in (project.reports / "index.html").read_text()


def test_a_stored_row_that_no_case_could_return_is_not_used(done, tmp_path):
    key, case = next(iter(case_list(done.experiment, preset("smoke")).items()))
    notes: list[str] = []
    store = Store(tmp_path, done.experiment, warn=notes.append)
    text = (done.store / f"{key}.json").read_text()
    from .test_store import sealed

    for rows in ([{"status": "ok"}], [{"a": "\ud800"}], [{"traceback": "x"}]):
        (tmp_path / f"{key}.json").write_text(sealed(rows=rows)(text))
        assert store.load(key, case) is None
    assert len(notes) == 3


# Signals ------------------------------------------------------------------------------------------


def children(pid: int) -> set[int]:
    """The processes that a process has started, and theirs."""
    found: set[int] = set()
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            own = set(map(int, (task / "children").read_text().split()))
            found |= own.union(*map(children, own))
    return found


def gone(pids: set[int]) -> bool:
    def runs(pid: int) -> bool:
        with contextlib.suppress(OSError):
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        return False

    return not any(map(runs, pids))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_workers_end_with_their_run_at_any_moment(project, jobs, number):
    """Also while a case holds the interpreter, so that no thread of its process runs."""
    attack(project, "time.sleep(30)")
    project.switch("busy")
    draw = random.Random(int(jobs) + number)
    for _ in range(3):
        process = project.start("--jobs", jobs)
        time.sleep(draw.uniform(0.0, 1.5))
        pids = children(process.pid)
        process.send_signal(number)
        start = time.monotonic()
        _, errors = process.communicate(timeout=20)  # nobody else holds what it writes to
        while not gone(pids):
            assert time.monotonic() - start < SOON
            time.sleep(0.02)
        assert time.monotonic() - start < SOON
        assert process.returncode in {-number, 128 + number}
        assert number == signal.SIGINT or "Traceback" not in errors


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_sigterm_keeps_what_is_finished_and_says_how_to_go_on(project, jobs):
    project.switch("slow")
    process = project.started(lambda: len(project.stored()) > 1, "--jobs", jobs)
    process.terminate()
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 143
    assert "terminated; finished cases are kept" in errors and "Traceback" not in errors
    assert f"python experiments/toy.py --preset smoke --jobs {jobs}" in errors
    kept = len(project.stored())
    project.switch("slow", on=False)
    project.measured()
    assert project.run() == 0
    assert len(project.measured()) == CASES - kept < CASES


def test_a_run_puts_the_signals_back(project):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    project.run()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.parametrize("command", ["experiment", "run"])
def test_ctrl_c_while_modules_are_imported_is_no_traceback(project, command):
    """The moment is that in which NumPy, or the experiment's own helper, is being imported."""
    blocks = "import time\nfrom pathlib import Path\nPath('importing').touch()\ntime.sleep(60)\n"
    for name in ("numpy", "helper"):
        folder = project.root / f"in {name}"
        folder.mkdir()
        (folder / f"{name}.py").write_text(blocks)
        text = project.file.read_text().replace("HERE =", f"import {name}\n\nHERE =", 1)
        project.file.write_text(text)
        paths = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
        arguments = [str(project.file)] if command == "experiment" else ["-m", "difflab", "run"]
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=project.root, env={**os.environ, "PYTHONPATH": paths},
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        while not (project.root / "importing").exists():
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.02)
        (project.root / "importing").unlink()
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
        assert process.returncode != 0 and "interrupted" in errors
        assert "Traceback" not in errors
