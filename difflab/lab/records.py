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
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from difflab.errors import ArgumentError, DifflabError
from difflab.lab.experiment import Case, Experiment, Row, canonical, digest
from difflab.lab.files import sweep, write

if TYPE_CHECKING:
    import pandas as pd

KEYS = ("case_id", "case_row")
ERROR = "traceback"
SECONDS = "case_seconds"
SEAL = "digest"
RESERVED = (*KEYS, ERROR, SECONDS)


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

    A file holds a hash of its content, so that one that was edited is not used.
    """

    def __init__(self, folder: Path, experiment: Experiment, warn: Callable[[str], None]) -> None:
        self.folder = folder
        self.owner = {"experiment": experiment.name, "version": experiment.version}
        self.warn = warn
        sweep(folder)

    def save(self, key: str, outcome: Outcome) -> None:
        """Keep a finished case."""
        path = self._path(key)
        if path.is_dir():  # nothing that is in the way is lost
            path.rename(path.with_suffix(f".{uuid.uuid4().hex}"))
        content = {**self.owner, **asdict(outcome)}
        write(path, json.dumps({**content, SEAL: digest(content)}, indent=1))

    def load(self, key: str, case: Case) -> Outcome | None:
        """The finished case, or None if it is not stored or its file cannot be trusted."""
        path = self._path(key)
        try:
            return self._outcome(json.loads(path.read_bytes()), case)
        except FileNotFoundError:
            return None
        except DifflabError as reason:
            what = reason.what
        except (OSError, ValueError, TypeError, RecursionError) as reason:
            what = getattr(reason, "strerror", None) or str(reason)
        self.warn(f"{path} is measured again, its file is not usable: {what}")
        return None

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.json"

    def _outcome(self, content: Any, case: Case) -> Outcome:
        """What a file says, checked in full."""
        names = {*self.owner, *(part.name for part in fields(Outcome)), SEAL}
        if not isinstance(content, dict) or content.keys() != names:
            raise ValueError("it is not a stored case of this version of difflab")
        seal = content.pop(SEAL)
        if any(content[name] != value for name, value in self.owner.items()):
            raise ValueError("it belongs to another experiment or version")
        if canonical(content["case"]) != canonical(case):
            raise ValueError("it belongs to another case")
        if seal != digest(content):
            raise ValueError("it was changed after it was written")
        outcome = Outcome(**{name: content[name] for name in names - {*self.owner, SEAL}})
        seconds, machine = outcome.seconds, outcome.machine
        if not (
            isinstance(outcome.rows, list)
            and isinstance(seconds, float)
            and 0 <= seconds < math.inf
            and outcome.traceback == ""
            and isinstance(machine, dict)
            and all(isinstance(fact, str) for fact in machine.values())
        ):
            raise ValueError("its parts are of other types than those of a finished case")
        outcome.rows = flat_rows(outcome.rows, case)
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


def tables(outcomes: Mapping[str, Outcome], volatile: Iterable[str]) -> tuple[str, str]:
    """The texts of rows.csv, which is the same on every run, and of timings.csv, which is not.

    Both hold the case's id and the number of the row within its case. Rows are in the order of
    `outcomes`, which is that of the experiment's cases.

    >>> tables({"4e1": Outcome({"seed": 0}, [{"ulps": 0.5}], 2.0)}, volatile=())[0]
    'case_id,case_row,seed,status,ulps\\n4e1,0,0,ok,0.5\\n'
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
    return _csv(rows), _csv(timings)


def load_rows(folder: Path) -> pd.DataFrame:
    """The rows of a report folder with their timings, as a DataFrame.

    Text is read as the type that would be written so: a column of numbers is numeric. What is
    missing, and NaN, is NaN.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> texts = tables({"4e1": Outcome({"seed": 0}, [{"ulps": 0.5}], 2.0)}, volatile=())
    >>> for name, text in zip(("rows.csv", "timings.csv"), texts, strict=True):
    ...     write(folder / name, text)
    >>> load_rows(folder).to_dict("records")
    [{'case_id': '4e1', 'case_row': 0, 'seed': 0, 'status': 'ok', 'ulps': 0.5, 'case_seconds': 2.0}]
    """
    try:
        rows, timings = (frame((folder / name).read_text()) for name in ("rows.csv", "timings.csv"))
        keys = list(KEYS)
        if not rows[keys].equals(timings[keys]):
            raise ValueError("they do not hold the same rows")
        return rows.merge(timings, on=keys)
    except FileNotFoundError:
        what = f"{folder} holds no rows"
        raise ArgumentError(what, "measure first: leave out --report") from None
    except (OSError, ValueError, KeyError, csv.Error) as reason:
        what = f"rows.csv or timings.csv in {folder} is not usable: {reason}"
        raise ArgumentError(what, "measure again: leave out --report") from None


def frame(text: str) -> pd.DataFrame:
    """The table in the text of a CSV file.

    >>> frame("case_id,case_row,ulps\\n4e1,0,0.5\\n").to_dict("records")
    [{'case_id': '4e1', 'case_row': 0, 'ulps': 0.5}]
    """
    import pandas as pd

    if not text.endswith("\n"):
        raise ValueError("it ends within a line")
    head, *rows = csv.reader(io.StringIO(text))
    columns = zip(*rows, strict=True) if rows else [()] * len(head)
    named = zip(head, columns, strict=True)
    return pd.DataFrame(
        {name: list(cells) if name == KEYS[0] else _typed(cells) for name, cells in named}
    )


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
