"""Rows as files: the store of finished cases, and the tables that a report is made from.

What flows: outcomes of cases -> one JSON file each -> rows.csv and timings.csv -> a DataFrame.

Invariant: a file is there whole or not at all, and a float read back is the float that was written,
NaN and infinities included. A stored case that is torn or not this experiment's is never used.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from difflab.errors import ArgumentError, DifflabError
from difflab.lab.experiment import Case, Experiment, Row, canonical

if TYPE_CHECKING:
    import pandas as pd

KEYS = ("case_id", "case_row")
ERROR = "traceback"
SECONDS = "case_seconds"
RESERVED = (*KEYS, ERROR, SECONDS)


class StorageError(DifflabError, OSError):
    """A file could not be written, for example because the disk is full."""


def write(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all; leave it untouched if it already has this content.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "folder" / "note.txt"
    >>> write(path, "kept")
    >>> path.read_text()
    'kept'
    """
    data = content.encode() if isinstance(content, str) else content
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        if path.is_file() and path.read_bytes() == data:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(data)
        os.replace(draft, path)
    except OSError as reason:
        draft.unlink(missing_ok=True)
        raise StorageError(
            f"{path} could not be written: {reason.strerror or reason}",
            "make room or choose another --output; what was written before is kept",
        ) from reason


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
    return [{str(name): _plain(name, row[name], case) for name in row} for row in rows]


def _plain(name: str, value: Any, case: Case) -> Any:
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    if name in RESERVED or (name in case and case[name] != value):
        raise ArgumentError(f"a row may not set the column {name!r}", "give it another name")
    if value is not None and not isinstance(value, str | bool | int | float):
        raise ArgumentError(
            f"the column {name!r} holds a {type(value).__name__}: rows are flat",
            "return one row for each element, or several columns",
        )
    return value


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

    Parameters
    ----------
    folder : where the files are
    experiment : whose cases they are; files of another name or version are foreign
    warn : told about each file that is not used
    """

    def __init__(self, folder: Path, experiment: Experiment, warn: Callable[[str], None]) -> None:
        self.folder = folder
        self.owner = {"experiment": experiment.name, "version": experiment.version}
        self.warn = warn

    def save(self, key: str, outcome: Outcome) -> None:
        """Keep a finished case."""
        text = json.dumps({**self.owner, **asdict(outcome)}, indent=1)
        write(self.folder / f"{key}.json", text)

    def load(self, key: str, case: Case) -> Outcome | None:
        """The finished case, or None if it is not stored or its file cannot be trusted."""
        path = self.folder / f"{key}.json"
        if not path.is_file():
            return None
        try:
            stored = json.loads(path.read_bytes())
            owner = {name: stored.pop(name) for name in self.owner}
            outcome = Outcome(**stored)
            if owner != self.owner or canonical(outcome.case) != canonical(case):
                raise ValueError("it belongs to another case")
            outcome.rows = flat_rows(outcome.rows, case)
        except (ValueError, TypeError, KeyError, AttributeError, DifflabError) as reason:
            what = reason.what if isinstance(reason, DifflabError) else reason
            self.warn(f"{path} is measured again, its file is not usable: {what}")
            return None
        return outcome


# Tables -------------------------------------------------------------------------------------------


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else canonical(value) if _nested(value) else repr(value)


def _nested(value: Any) -> bool:
    return isinstance(value, list | dict)


def _csv(rows: list[dict[str, Any]]) -> str:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(row.get(column)) for column in columns] for row in rows)
    return text.getvalue()


def save_rows(folder: Path, outcomes: Mapping[str, Outcome], volatile: Iterable[str]) -> str:
    """Write rows.csv and timings.csv; say what changed in rows.csv, or nothing if it is the same.

    Both files hold the case's id and the number of the row within its case. Rows are in the order
    of `outcomes`, which is that of the experiment's cases.
    """
    apart = {*volatile, SECONDS}
    rows, timings = [], []
    for key, outcome in outcomes.items():
        failed = [{"status": "failed", ERROR: outcome.traceback}]
        for number, row in enumerate(failed if outcome.traceback else outcome.rows):
            place = dict(zip(KEYS, (key, number), strict=True))
            full = {**outcome.case, "status": "ok", **row, SECONDS: outcome.seconds}
            rows.append(place | {name: full[name] for name in full if name not in apart})
            timings.append(place | {name: full[name] for name in full if name in apart})
    path = folder / "rows.csv"
    before = path.read_text() if path.is_file() else None
    after = _csv(rows)
    write(path, after)
    write(folder / "timings.csv", _csv(timings))
    if before is None:
        return "This is the first run."
    return "" if before == after else describe_change(before, after)


def load_rows(folder: Path) -> pd.DataFrame:
    """The rows of a report folder with their timings, as a DataFrame.

    Text is read as the type that would be written so: a column of numbers is numeric. What is
    missing, and NaN, is NaN.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> save_rows(folder, {"4e1": Outcome({"seed": 0}, [{"ulps": 0.5}], 2.0)}, volatile=())
    'This is the first run.'
    >>> load_rows(folder).to_dict("records")
    [{'case_id': '4e1', 'case_row': 0, 'seed': 0, 'status': 'ok', 'ulps': 0.5, 'case_seconds': 2.0}]
    """
    import pandas as pd

    def read(name: str) -> pd.DataFrame:
        head, *rows = csv.reader(io.StringIO((folder / name).read_text()))
        columns = zip(*rows, strict=True) if rows else [()] * len(head)
        named = zip(head, columns, strict=True)
        return pd.DataFrame(
            {name: list(cells) if name == KEYS[0] else _typed(cells) for name, cells in named}
        )

    try:
        return read("rows.csv").merge(read("timings.csv"), on=list(KEYS), how="left")
    except FileNotFoundError:
        what = f"{folder} holds no rows"
        raise ArgumentError(what, "measure first: leave out --report") from None


def _typed(cells: Sequence[str]) -> list[Any]:
    for kinds in ((int,), (int, float), (_truth,), (str,)):
        with contextlib.suppress(ValueError):
            return [_parse(cell, kinds) if cell else math.nan for cell in cells]
    raise AssertionError("text is always text")


def _parse(cell: str, kinds: Sequence[Callable[[str], Any]]) -> Any:
    for kind in kinds:
        with contextlib.suppress(ValueError):
            value = kind(cell)
            if _cell(value) == cell:
                return value
    raise ValueError(cell)


def _truth(cell: str) -> bool:
    return {"True": True, "False": False}.get(cell, False)


def describe_change(before: str, after: str) -> str:
    """What differs between two texts of rows.csv, in a sentence or two.

    >>> describe_change("case_id,case_row,ulps\\na,0,1.0\\n", "case_id,case_row,ulps\\na,0,1.5\\n")
    '1 of 1 cells changed in the 1 rows of both runs; `ulps` (up to 50 %).'
    """
    old, new = _cells(before), _cells(after)
    both = [key for key in new if key in old]
    moved = {"added": new.keys() - old.keys(), "gone": old.keys() - new.keys()}
    parts = [f"{len(keys)} rows {word}." for word, keys in moved.items() if keys]
    changed: dict[str, float] = {}
    count = total = 0
    for key in both:
        for column, value in new[key].items():
            was = old[key].get(column, "")
            total += 1
            if value != was:
                count += 1
                changed[column] = max(changed.get(column, 0.0), _relative(was, value))
    if count:
        worst = ", ".join(f"`{name}`{_amount(size)}" for name, size in changed.items())
        parts.append(
            f"{count} of {total} cells changed in the {len(both)} rows of both runs; {worst}."
        )
    elif both:
        parts.append(f"The {len(both)} rows of both runs agree.")
    return " ".join(parts)


def _cells(text: str) -> dict[tuple[str, ...], dict[str, str]]:
    rows = csv.DictReader(io.StringIO(text))
    return {
        tuple(row[key] for key in KEYS): {k: v for k, v in row.items() if k not in KEYS}
        for row in rows
    }


def _relative(was: str, now: str) -> float:
    try:
        old, new = float(was), float(now)
    except ValueError:
        return math.inf
    size = abs(new - old) / abs(old) if old else math.inf
    return size if math.isfinite(size) else math.inf


def _amount(size: float) -> str:
    return f" (up to {100 * size:.3g} %)" if math.isfinite(size) else ""
