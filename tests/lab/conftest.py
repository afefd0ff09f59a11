"""A project of its own for each test: a toy experiment, with switches to slow or break it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from difflab.lab.cases import Experiment, load
from difflab.lab.command import main


class Project:
    def __init__(self, root: Path, name: str = "toy") -> None:
        self.root = root
        self.folder = root / "experiments"
        self.folder.mkdir()
        (root / "pyproject.toml").touch()
        here = Path(__file__)
        for kind in ("claims", "sources"):
            text = here.with_name(f"toy_{kind}.toml").read_text()
            (self.folder / f"{kind}.toml").write_text(text)
        self.file = self.folder / f"{name}.py"
        self.file.write_text(here.with_name(f"{name}.py").read_text())
        self.store = root / ".difflab" / "store" / name
        self.reports = root / ".difflab" / "smoke"
        self.report = self.reports / name

    @property
    def experiment(self) -> Experiment:
        return load(self.file)

    def run(self, *arguments: str) -> int:
        """The exit code of the toy's command line, with the smallest preset."""
        with pytest.raises(SystemExit) as stop:
            main(self.experiment, ["--preset", "smoke", *arguments])
        assert isinstance(stop.value.code, int)
        return stop.value.code

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(self.file), "--preset", "smoke", *arguments]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.root
        )

    def started(self, condition: Callable[[], object], *arguments: str) -> subprocess.Popen[str]:
        """The toy's run in a process of its own, once the condition holds."""
        process = self.start(*arguments)
        deadline = time.monotonic() + 30
        while not condition():
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise AssertionError(process.communicate())
            time.sleep(0.02)
        return process

    def stored(self) -> dict[str, tuple[bytes, int]]:
        """Content and time of each stored case."""
        files = self.store.glob("*.json")
        return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}

    def rows(self) -> bytes:
        return (self.report / "rows.csv").read_bytes()

    def switch(self, name: str, on: bool = True) -> None:
        path = self.folder / name
        path.touch() if on else path.unlink()

    def measured(self) -> list[list[object]]:
        """What has been measured since this was asked last."""
        log = self.folder / "log"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return [json.loads(line) for line in lines]

    def pages(self) -> dict[str, bytes]:
        """All files of the reports."""
        files = [path for path in self.reports.rglob("*") if path.is_file()]
        return {path.relative_to(self.reports).as_posix(): path.read_bytes() for path in files}

    def html(self) -> str:
        return (self.report / "index.html").read_text()


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Let Ctrl-C's signal reach the runs that tests start, also where a shell ignores it.

    Shells start jobs in the background with the signal ignored, and children inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def climb(tmp_path: Path) -> Project:
    """An experiment whose later cases follow from the first ones."""
    return Project(tmp_path, "climb")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that has been run once; tests that use it only read."""
    project = Project(tmp_path_factory.mktemp("done"))
    assert project.run() == 0
    return project
