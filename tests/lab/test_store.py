"""Laws of the store: a file is whole, of this case and unchanged, or reported and not used."""

from __future__ import annotations

import errno
import json
import math
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from difflab.errors import ArgumentError
from difflab.lab import store
from difflab.lab.cases import case_list, digest, preset
from difflab.lab.record import ALONE, load_rows
from difflab.lab.store import SEAL, Outcome, Store, WriteError, alone_in, sweep, write

CASES = 9


def sealed(**changes):
    """The damage of a file with other content whose hash is right."""

    def damage(text: str) -> str:
        content = {**json.loads(text), **changes}
        del content[SEAL]
        return json.dumps({**content, SEAL: digest(content)})

    return damage


DAMAGE = {
    "torn": lambda text: text[: len(text) // 2],
    "empty": lambda text: "",
    "not text": lambda text: b"\x80\x00\xff" * 99,
    "nested": lambda text: "[" * 10**5,
    "a list": lambda text: "[]",
    "a number": lambda text: "3",
    "foreign": sealed(experiment="other"),
    "another version": sealed(version=0),
    "another case": lambda text: text.replace('"seed": ', '"seed": 9'),
    "edited": lambda text: text.replace('"place": 3', '"place": 4'),
    "without hash": lambda text: text.replace(f'"{SEAL}"', '"hash"'),
    "no rows": lambda text: text.replace('"rows": [', '"rows": [[1], '),
    "rows of lists": sealed(rows=[{"left": [1]}]),
    "one row": sealed(rows={"left": 1}),
    "text for rows": sealed(rows="left"),
    "a reserved column": sealed(rows=[{"layers": 1}]),
    "seconds NaN": sealed(seconds=math.nan),
    "seconds in words": sealed(seconds="2"),
    "a failure": sealed(traceback="ValueError"),
    "a machine of numbers": sealed(machine={"cores": 2}),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_no_damaged_file_is_used(done, tmp_path, damage):
    key, case = next(iter(case_list(done.experiment, preset("smoke")).items()))
    text = (done.store / f"{key}.json").read_text()
    notes: list[str] = []
    store = Store(tmp_path, done.experiment, warn=notes.append)
    path = tmp_path / f"{key}.json"
    path.write_text(text)
    assert store.load(key, case) is not None and not notes
    broken = damage(text)
    assert broken != text
    path.write_bytes(broken if isinstance(broken, bytes) else broken.encode())
    assert store.load(key, case) is None
    (note,) = notes
    assert note.startswith(f"{path} is measured again, its file is not usable: ")


def test_damaged_files_are_reported_and_measured_again(project, capsys):
    project.run()
    before = project.rows()
    paths = sorted(project.store.glob("*.json"))[:3]
    paths[0].write_text("{")
    paths[1].write_text(paths[2].read_text())
    paths[2].unlink()
    paths[2].mkdir()
    (paths[2] / "note.txt").write_text("somebody's")
    project.measured()
    assert project.run() == 0
    assert len(project.measured()) == 3
    printed = capsys.readouterr().err
    assert all(f"note: {path} is measured again" in printed for path in paths)
    assert project.rows() == before
    assert [path.read_text() for path in project.store.glob("*/note.txt")] == ["somebody's"]
    assert project.run() == 0
    assert project.measured() == [] and capsys.readouterr().err == ""


def test_files_that_cannot_be_read_are_measured_again(project, capsys, monkeypatch):
    project.run()
    locked = min(project.store.glob("*.json"))
    read = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path == locked:
            raise PermissionError(errno.EACCES, "Permission denied")
        return read(path)

    project.measured()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", refuse)
        assert project.run() == 0
    assert len(project.measured()) == 1
    assert f"{locked} is measured again, its file is not usable: Perm" in capsys.readouterr().err


def test_many_notes_are_cut_short(climb, capsys):
    assert climb.run("--seeds", "9") == 0
    for path in climb.store.glob("*.json"):
        path.write_text("")
    assert climb.run("--seeds", "9") == 0
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    assert len(notes) == 21 and notes[-1] == "note: and so are further files"


def test_the_store_writes_no_half_file(project):
    store = Store(project.store, project.experiment, warn=print)
    outcome = Outcome({"steps": 1}, [{"left": math.nan}], 0.5, machine={"python": "3"})
    store.save("key", outcome)
    loaded = store.load("key", {"steps": 1})
    assert loaded is not None and str(loaded) == str(outcome)
    assert [path.name for path in project.store.iterdir()] == ["key.json"]


def test_a_full_disk_is_said_and_loses_nothing(project, capsys, monkeypatch):
    replace, room = os.replace, [3]

    def full(source: Path, target: Path) -> None:
        room[0] -= 1
        if room[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        assert project.run() == 1
    printed = capsys.readouterr().err
    assert "No space left on device" in printed and "remedy: make room" in printed
    assert len(list(project.store.iterdir())) == 3
    project.measured()
    assert project.run() == 0
    assert len(project.measured()) == CASES - 3


# Files --------------------------------------------------------------------------------------------


def test_writers_at_once_leave_one_whole_content(tmp_path):
    path = tmp_path / "rows.csv"
    texts = [letter * 200_000 for letter in "abcdef"]
    threads = [threading.Thread(target=write, args=(path, text)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() in texts
    assert list(tmp_path.iterdir()) == [path]


def test_an_equal_content_is_not_written_again(tmp_path):
    path = tmp_path / "rows.csv"
    write(path, "a")
    os.utime(path, (0, 0))
    write(path, "a")
    assert path.stat().st_mtime == 0


def test_a_folder_in_the_way_is_moved_and_a_file_for_a_folder_is_said(tmp_path):
    (tmp_path / "rows.csv").mkdir()
    (tmp_path / "rows.csv" / "note.txt").write_text("somebody's")
    write(tmp_path / "rows.csv", "a")
    assert (tmp_path / "rows.csv").read_text() == "a"
    assert [path.read_text() for path in tmp_path.glob("*/note.txt")] == ["somebody's"]
    with pytest.raises(WriteError, match=r"more\.csv could not be written"):
        write(tmp_path / "rows.csv" / "more.csv", "a")


def test_only_old_drafts_are_removed(tmp_path):
    old, new, other = (tmp_path / name for name in ("a.json.1.tmp", "b.json.2.tmp", "c.json"))
    for path in (old, new, other):
        path.touch()
    for path in (old, other):
        os.utime(path, (0, time.time() - store.STALE - 60))
    sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {new.name, other.name}


def test_one_at_a_time_is_inside_a_folder(tmp_path):
    pytest.importorskip("fcntl")
    entered = threading.Event()

    def enter() -> None:
        with alone_in(tmp_path):
            entered.set()

    other = threading.Thread(target=enter)
    with alone_in(tmp_path):
        other.start()
        assert not entered.wait(0.2)
    other.join(10)
    assert entered.is_set()


# The report folder --------------------------------------------------------------------------------


def torn(text: str) -> str:
    return text[: len(text) // 2]


def shorter(text: str) -> str:
    """Torn where no line shows it."""
    return "".join(text.splitlines(keepends=True)[:-1])


BROKEN = {
    "rows torn": ("rows.csv", torn, "rows.csv is not as the run wrote it"),
    "rows edited": ("rows.csv", lambda text: text.replace("nan", "0.0", 1), "not as the run wrote"),
    "no rows": ("rows.csv", None, "holds no rows"),
    "timings torn": ("timings.csv", torn, "timings.csv is not as the run wrote it"),
    "timings short": ("timings.csv", shorter, "timings.csv is not as"),
    "timings foreign": ("timings.csv", lambda text: "a,b\n1,2\n", "timings.csv is not as"),
    "no timings": ("timings.csv", None, "holds no rows"),
    "record torn": ("provenance.json", torn, "provenance.json is not usable"),
    "record a list": ("provenance.json", lambda text: "[]", "it is no record of a run"),
    "record nested": ("provenance.json", lambda text: "[" * 10**5, "nested"),
    "record short": ("provenance.json", lambda text: "{}", "says nothing about 'experiment'"),
    "record of another": (
        "provenance.json",
        lambda text: text.replace('"toy"', '"other"'),
        "belongs to other, version 1, not to toy, version 1",
    ),
    "no record": ("provenance.json", None, "holds no rows"),
}


@pytest.fixture(scope="module")
def rendered(done, tmp_path_factory):
    """A copy of the finished project's reports, to break one file at a time."""
    import shutil

    return shutil.copytree(done.reports, tmp_path_factory.mktemp("rendered") / "reports")


@pytest.mark.parametrize(("name", "damage", "said"), BROKEN.values(), ids=BROKEN.keys())
def test_a_report_is_made_only_from_files_that_fit(done, rendered, capsys, name, damage, said):
    path = rendered / "toy" / name
    whole = path.read_text()
    page = (rendered / "toy" / "index.html").read_bytes()
    path.unlink() if damage is None else path.write_text(damage(whole))
    assert done.run("--report", "--output", str(rendered)) == 1
    printed = capsys.readouterr().err
    assert said in printed and "leave out --report" in printed and "Traceback" not in printed
    assert (rendered / "toy" / "index.html").read_bytes() == page
    assert done.run("--output", str(rendered)) == 0
    assert path.read_text() != torn(whole)
    assert done.run("--report", "--output", str(rendered)) == 0


def test_a_report_of_another_version_is_not_rendered(project, capsys):
    project.run()
    project.file.write_text(project.file.read_text().replace("version=1", "version=2"))
    assert project.run("--report") == 1
    assert "belongs to toy, version 1, not to toy, version 2" in capsys.readouterr().err


def test_a_report_without_a_run_is_refused(project, capsys):
    assert project.run("--report") == 1
    assert "holds no rows" in capsys.readouterr().err
    with pytest.raises(ArgumentError):
        load_rows(project.report)


def test_timings_of_other_cases_are_refused(project):
    project.run()
    path = project.report / "timings.csv"
    whole = path.read_text()
    head, first = whole.splitlines()[:2]
    last = whole.splitlines()[-1]
    for text in ("a,b\n1,2\n", whole[:-3], f"{head}\n{first}\n", f"{whole}{last}\n"):
        path.write_text(text)
        with pytest.raises(ArgumentError, match="not usable"):
            load_rows(project.report)


def record(project) -> dict[str, Any]:
    return json.loads((project.report / "provenance.json").read_bytes())


def summary(project) -> dict[str, Any]:
    return json.loads((project.report / "summary.json").read_bytes())


def other_numbers(project) -> None:
    """From now on the toy is another version, with other rows."""
    text = project.file.read_text()
    number = int(text.partition("version=")[2].partition(",")[0])
    text = text.replace(f"version={number}", f"version={number + 1}")
    project.file.write_text(text.replace('words="', 'words="again '))


def test_a_run_is_compared_with_the_last_complete_one(project):
    project.run()
    assert (record(project)["change"], record(project)["previous"]) == (ALONE, {})
    first = {name: summary(project)[name] for name in ("commit", "measured", "findings")}
    other_numbers(project)
    project.run("--only", "method=shift")  # a part is compared, but nothing with it
    assert record(project)["incomplete"]
    assert record(project)["previous"] == first and first["measured"]
    project.run()
    assert (record(project)["change"], record(project)["previous"]) == ("", first)
    second = summary(project)["findings"]
    assert second != first["findings"]
    pages = project.pages()
    assert project.run() == 0
    assert project.run("--report") == 0
    assert project.pages() == pages
    other_numbers(project)
    project.run()
    assert record(project)["previous"]["findings"] == second
    assert record(project)["change"] == "45 rows added. 45 rows gone."


def test_a_part_of_the_first_run_is_no_run_before(project):
    project.run("--only", "method=divide")
    assert (record(project)["change"], record(project)["previous"]) == (ALONE, {})
    project.run()
    assert (record(project)["change"], record(project)["previous"]) == (ALONE, {})
    assert ALONE in project.html()


@pytest.mark.parametrize("other", [("--seeds", "1"), ("--preset", "quick")], ids="=".join)
def test_a_run_of_another_size_is_no_run_before(project, other):
    project.run(*other, "--output", str(project.reports))
    project.run()
    assert (record(project)["change"], record(project)["previous"]) == (ALONE, {})


def test_a_torn_previous_run_is_replaced(project):
    project.run()
    rows = project.rows()
    (project.report / "rows.csv").write_bytes(b"\xff\x00")
    (project.report / "summary.json").write_text("{")
    (project.report / "provenance.json").write_text("")
    assert project.run() == 0
    assert project.rows() == rows
    assert (record(project)["change"], record(project)["previous"]) == (ALONE, {})
