"""The store: what became of each finished case, as files that are whole or not there.

What flows: a measurement's rows -> an `Outcome` -> one JSON file for each finished case; and, for
whoever writes: text -> a draft of this call alone -> the file, in one step.

Invariant: a reader sees an earlier content or a later one, never a mixture; a process that is
killed leaves at most a draft, which a later run removes. A float read back is the float that was
written, NaN and infinities included. A stored case that is torn or not this experiment's is never
used. What is no file, such as a FIFO, is never opened.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import stat
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from difflab.errors import ArgumentError, DifflabError
from difflab.lab.cases import Case, Experiment, Row, canonical, digest

KEYS = ("case_id", "case_row")
STATUS, ERROR, SECONDS = "status", "traceback", "case_seconds"
RESERVED = (*KEYS, STATUS, ERROR, SECONDS)
SEAL = "digest"
DRAFT = ".tmp"
STALE = 3600.0  # seconds after which nobody is still writing a draft
NOTES = 20  # more than these would hide what else is printed
LARGEST = 2**28  # more bytes than these are nothing that a run wrote
PLAIN: dict[type, Callable[[Any], Any]] = {
    str: str.__str__, bool: bool, int: int.__int__, float: float.__float__,
}  # fmt: skip
"""What a cell can be, and what makes it just that of a subclass."""


class WriteError(DifflabError, OSError):
    """A file could not be written, for example because the disk is full."""


def read(path: Path) -> bytes:
    """The content of a file; an `OSError` if it is a FIFO or a device, which may never end."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST:
        raise OSError("it is no file, or too large a one")
    return path.read_bytes()


def utf8(text: str) -> bytes:
    """The bytes of a text; half a pair of surrogates, which has none, as Python writes it."""
    return text.encode(errors="backslashreplace")


def write(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all; leave it untouched if it already has this content.

    A folder that is in the way gets another name.
    """
    data = utf8(content) if isinstance(content, str) else content
    with contextlib.suppress(OSError):
        if read(path) == data:
            return
    draft = path.with_name(f"{path.name}.{uuid.uuid4().hex}{DRAFT}")
    with _said(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(data)
            if path.is_dir() and not path.is_symlink():
                path.rename(path.with_name(f"{path.name}.{uuid.uuid4().hex}"))
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)


@contextlib.contextmanager
def _said(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as reason:
        raise WriteError(
            f"{path} could not be written: {reason.strerror or reason}",
            "make room or choose another --output; what was written before is kept",
        ) from reason


def sweep(folder: Path) -> None:
    """Remove the drafts that killed processes left in a folder long ago."""
    for draft in folder.glob(f"*{DRAFT}"):
        with contextlib.suppress(OSError):
            if time.time() - draft.stat().st_mtime > STALE:
                draft.unlink()


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Inside, no other process is inside with this folder, where its file system has locks."""
    from filelock import FileLock

    with _said(folder):
        folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    with contextlib.suppress(OSError, NotImplementedError):  # then the last writer of a file wins
        lock.acquire()  # given up when the process ends, however it ends
    try:
        yield
    finally:
        lock.release()


def flat_rows(measured: Row | Iterable[Row], case: Case) -> list[Row]:
    """The rows that a measurement returned, checked to be flat, as plain Python values.

    >>> import numpy as np
    >>> flat_rows({"ulps": np.float64(0.5)}, {"method": "reverse"})
    [{'ulps': 0.5}]
    """
    rows = [measured] if isinstance(measured, Mapping) else list(measured)
    for row in rows:
        if not isinstance(row, Mapping):
            what = f"a row is a {type(row).__name__}"
            raise ArgumentError(what, "return one dict, or several, from measure")
    return [dict(_plain(name, row[name], case) for name in row) for row in rows]


def _plain(name: Any, value: Any, case: Case) -> tuple[str, Any]:
    """A column's name and its value, if the store and rows.csv give them back as they are."""
    if not isinstance(name, str):
        what = f"a column is named {name!r}, which is a {type(name).__name__}"
        raise ArgumentError(what, "name columns by text")
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    kind = next((kind for kind in PLAIN if isinstance(value, kind)), None)
    if kind is None and value is not None:
        raise ArgumentError(
            f"the column {name!r} holds a {type(value).__name__}: rows are flat",
            "return one row for each element, or several columns",
        )
    if name in RESERVED or (name in case and case[name] != value):
        raise ArgumentError(f"a row may not set the column {name!r}", "give it another name")
    name, plain = PLAIN[str](name), PLAIN[kind](value) if kind else None
    try:
        f"{name}{plain}".encode()
    except ValueError as reason:  # half a pair of surrogates, or thousands of digits
        what = f"the column {name!r} holds what no file can: {reason}"
        raise ArgumentError(
            what, "return text that UTF-8 knows, and integers of few digits"
        ) from None
    return name, plain


@dataclass
class Outcome:
    """What became of a case: its rows, or the traceback of what it raised."""

    case: Case
    rows: list[Row]
    seconds: float
    traceback: str = ""
    machine: dict[str, str] = field(default_factory=dict)


class Store:
    """The finished cases of an experiment: a folder with one JSON file for each.

    A file holds a hash of its content; one that was edited, is torn, or is of another experiment or
    version is not used, and `warn` is told of it.
    """

    def __init__(self, folder: Path, experiment: Experiment, warn: Callable[[str], None]) -> None:
        self.folder = folder
        self.owner = {"experiment": experiment.name, "version": experiment.version}
        self.warn = warn
        self.unusable = 0
        sweep(folder)

    def save(self, key: str, outcome: Outcome) -> None:
        """Keep a finished case."""
        content = {**self.owner, **asdict(outcome)}
        text = json.dumps({**content, SEAL: digest(content)}, indent=1)
        write(self.folder / f"{key}.json", text)

    def load(self, key: str, case: Case) -> Outcome | None:
        """The finished case, or None if it is not stored or its file cannot be trusted."""
        path = self.folder / f"{key}.json"
        try:
            return self._outcome(json.loads(read(path)), case)
        except FileNotFoundError:
            return None
        except DifflabError as reason:
            what = reason.what
        except (OSError, ValueError, TypeError, RecursionError, MemoryError) as reason:
            what = getattr(reason, "strerror", None) or str(reason)
        self.unusable += 1
        if self.unusable <= NOTES:
            self.warn(f"{path} is measured again, its file is not usable: {what}")
        elif self.unusable == NOTES + 1:
            self.warn("and so are further files")
        return None

    def _outcome(self, content: Any, case: Case) -> Outcome:
        """What a file says, checked in full."""
        parts = {part.name for part in fields(Outcome)}
        if not isinstance(content, dict) or content.keys() != {*self.owner, *parts, SEAL}:
            raise ValueError("it is not a stored case of this version of difflab")
        seal = content.pop(SEAL)
        if any(content[name] != value for name, value in self.owner.items()):
            raise ValueError("it belongs to another experiment or version")
        if canonical(content["case"]) != canonical(case):
            raise ValueError("it belongs to another case")
        if seal != digest(content):
            raise ValueError("it was changed after it was written")
        outcome = Outcome(**{name: content[name] for name in parts})
        kinds = (outcome.rows, list), (outcome.seconds, float), (outcome.machine, dict)
        if (
            not all(isinstance(part, kind) for part, kind in kinds)
            or not all(isinstance(fact, str) for fact in outcome.machine.values())
            or not 0 <= outcome.seconds < math.inf
            or outcome.traceback
        ):
            raise ValueError("its parts are of other types than those of a finished case")
        outcome.rows = flat_rows(outcome.rows, case)
        return outcome
