"""The record of a run in its report folder: rows.csv, timings.csv and provenance.json.

What flows: outcomes of cases, in the order of the cases -> rows.csv and timings.csv -> a DataFrame,
which the page is made from; and how they came about -> provenance.json.

Invariant: the record names its experiment, its version and the hash of its rows and timings; a page
is made only from files that fit together. A run is compared with the last complete one of the same
preset and number of seeds, or with none. Rows are written last, so that a run that is killed in
between is repeated with the same comparison.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from difflab.errors import ArgumentError
from difflab.lab.cases import Experiment, Preset, canonical
from difflab.lab.store import ERROR, KEYS, LARGEST, SECONDS, STATUS, Outcome, read, utf8, write

if TYPE_CHECKING:
    import pandas as pd

FIRST = "measure first: leave out --report"
AGAIN = "measure again: leave out --report"
ALONE = "There is no complete run of this preset before."
DEEPEST = 40  # more levels than these are no JSON of a run, and perhaps too many to write again
FACTS: dict[str, type] = {
    "experiment": str, "version": int, "preset": str, "seeds": int, "cases": int, "measured": int,
    "incomplete": str, "command": str, "rows": str, "timings": str,
    "change": str, "previous": dict, "machine": dict,
}  # fmt: skip
"""What provenance.json holds, in this order."""


def save_run(
    folder: Path, experiment: Experiment, preset: Preset, outcomes: Mapping[str, Outcome],
    known: Mapping[str, Any],
) -> None:  # fmt: skip
    """Write the rows of a run, and how they came about.

    Outcomes are in the order of the rows; known are how many `cases` there are, in words what is
    `incomplete`, and the `command`. Whoever calls this holds the folder (`alone_in`).
    """
    rows, timings = csv_texts(outcomes, experiment.volatile)
    machines = [outcome.machine for outcome in outcomes.values()]
    names = dict.fromkeys(name for machine in machines for name in machine)
    size = {"preset": preset.name, "seeds": len(preset.seeds)}
    change, previous = _compared(folder, rows, size)
    values = {
        "experiment": experiment.name, "version": experiment.version, **size,
        "measured": len(outcomes), **known, "rows": _hash(rows), "timings": _hash(timings),
        "change": change, "previous": previous,
        "machine": {name: _span([m[name] for m in machines if name in m]) for name in names},
    }  # fmt: skip
    facts = {name: values[name] for name in FACTS}
    write(folder / "timings.csv", timings)
    write(folder / "provenance.json", json.dumps(facts, indent=1) + "\n")
    write(folder / "rows.csv", rows)


def load_run(folder: Path, experiment: Experiment) -> dict[str, Any]:
    """How the rows in a report folder came about, by the names of `FACTS`.

    It is an `ArgumentError` if the record is missing, torn, or of other rows or experiments.
    """
    path = folder / "provenance.json"
    try:
        run = _json(path)
        texts = {name: _text_of(folder / f"{name}.csv") for name in ("rows", "timings")}
    except FileNotFoundError:
        raise ArgumentError(f"{folder} holds no rows", FIRST) from None
    except (OSError, ValueError) as reason:
        raise ArgumentError(f"{path} is not usable: {reason}", AGAIN) from None
    if wrong := _wrong(run):
        raise ArgumentError(f"{path} is not usable: it says nothing about {wrong[0]!r}", AGAIN)
    own = (experiment.name, experiment.version)
    if (run["experiment"], run["version"]) != own:
        whose = f"{run['experiment']}, version {run['version']}"
        raise ArgumentError(f"{path} belongs to {whose}, not to {own[0]}, version {own[1]}", AGAIN)
    for name, text in texts.items():
        if run[name] != _hash(text):
            raise ArgumentError(f"{folder / name}.csv is not as the run wrote it", AGAIN)
    return run


def _wrong(run: Mapping[str, Any]) -> list[str]:
    """The names of `FACTS` that a record lacks, or holds as something else."""
    return [name for name, kind in FACTS.items() if not isinstance(run.get(name), kind)]


def _hash(text: str) -> str:
    return hashlib.sha256(utf8(text)).hexdigest()


def _text_of(path: Path) -> str:
    return read(path).decode()  # without other ends of lines


def _compared(folder: Path, rows: str, size: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """What changed since the last complete run of this size, and what that one had found.

    A run that is not complete has not its place in this line: what it was compared with is passed
    on, though not its rows.
    """
    old = json_object(folder / "provenance.json")
    alike = all(old.get(name) == value for name, value in size.items())
    if not alike or _wrong(old):
        return ALONE, {}
    if old["rows"] == _hash(rows):
        return old["change"], old["previous"]  # what equal rows changed when they came, holds
    summary = json_object(folder / "summary.json")
    try:
        before = _text_of(folder / "rows.csv")
    except (OSError, ValueError):
        before = ""
    if old["incomplete"] or old["rows"] != _hash(before):
        return "" if old["previous"] else ALONE, old["previous"]
    previous = {name: summary.get(name, "") for name in ("commit", "measured")}
    found = {**previous, "findings": summary.get("findings", [])}
    try:
        return describe_change(before, rows), found
    except (ValueError, KeyError, TypeError, csv.Error):  # rows that no run wrote
        return ALONE, {}


def json_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file, or an empty one if the file is missing or torn."""
    try:
        return _json(path)
    except (OSError, ValueError):
        return {}


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(read(path))
        levels = _levels(value)
    except (RecursionError, MemoryError):
        levels = DEEPEST + 1
    if levels > DEEPEST:
        raise ValueError("it is nested too deeply")
    if not isinstance(value, dict):
        raise ValueError("it is no record of a run")
    return value


def _levels(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_levels, inner), default=0)


def _span(values: list[str]) -> str:
    """One text for a fact of several runs: the value, or the few there are, or first and last."""
    distinct = sorted(set(values))
    return ", ".join(distinct) if len(distinct) <= 3 else f"{distinct[0]} ... {distinct[-1]}"


def csv_texts(outcomes: Mapping[str, Outcome], volatile: Iterable[str]) -> tuple[str, str]:
    """The texts of rows.csv, which is the same on every run, and of timings.csv, which is not.

    Both hold the case's id and the number of the row within its case. Rows are in the order of
    `outcomes`, which is that of the experiment's cases. A case's seconds stand in its first row
    only; a further row of timings.csv is there for a row that has a volatile value.

    >>> csv_texts({"4e1": Outcome({"seed": 0}, [{"ulps": 0.5}] * 2, 2.0)}, volatile=())
    ('case_id,case_row,seed,status,ulps\\n4e1,0,0,ok,0.5\\n4e1,1,0,ok,0.5\\n', \
'case_id,case_row,case_seconds\\n4e1,0,2.0\\n')
    """
    apart = {*volatile}
    rows, timings = [], []
    for key, outcome in outcomes.items():
        failed = [{STATUS: "failed", ERROR: outcome.traceback}]
        for number, row in enumerate(failed if outcome.traceback else outcome.rows):
            place = dict(zip(KEYS, (key, number), strict=True))
            full = {**outcome.case, STATUS: "ok", **row}
            rows.append(place | {name: full[name] for name in full if name not in apart})
            timed = {name: full[name] for name in full if name in apart}
            if number == 0:
                timed[SECONDS] = outcome.seconds
            if timed:
                timings.append(place | timed)
    return _csv(rows), _csv(timings, SECONDS)


def _csv(rows: list[dict[str, Any]], *more: str) -> str:
    """Lines of cells; one is quoted where a reader would end it early, at a lone \\r as well."""
    columns = list(dict.fromkeys((*KEYS, *(name for row in rows for name in row), *more)))
    lines = [columns, *([_text(row.get(column)) for column in columns] for row in rows)]
    return "".join(",".join(map(_cell, line)) + "\n" for line in lines)


def _cell(text: str) -> str:
    return '"{}"'.format(text.replace('"', '""')) if {*text} & {*',"\r\n'} else text


def _text(value: Any) -> str:
    if isinstance(value, list | dict):
        return canonical(value)
    return "" if value is None else value if isinstance(value, str) else repr(value)


def load_rows(folder: Path) -> pd.DataFrame:
    """The rows of a report folder with their timings, as a DataFrame.

    Text is read as the type that would be written so: a column of numbers is numeric. What is
    missing, and NaN, is NaN. Each row has the seconds of its case.
    """
    try:
        rows, timings = (frame(_text_of(folder / name)) for name in ("rows.csv", "timings.csv"))
        if not {*KEYS, SECONDS} <= {*timings} or not {*timings[KEYS[0]]} == {*rows[KEYS[0]]}:
            raise ValueError("they do not hold the same cases")
        found = rows.merge(timings, on=list(KEYS), how="left", validate="1:1")
        found[SECONDS] = found.groupby(KEYS[0])[SECONDS].transform("first")
        return found
    except FileNotFoundError:
        raise ArgumentError(f"{folder} holds no rows", FIRST) from None
    except (OSError, ValueError, KeyError, OverflowError, csv.Error) as reason:
        what = f"rows.csv or timings.csv in {folder} is not usable: {reason}"
        raise ArgumentError(what, AGAIN) from None


def frame(text: str) -> pd.DataFrame:
    """The table in the text of a CSV file.

    >>> frame("case_id,case_row,ulps\\n4e1,0,0.5\\n").to_dict("records")
    [{'case_id': '4e1', 'case_row': 0, 'ulps': 0.5}]
    """
    import pandas as pd

    if not text.endswith("\n"):
        raise ValueError("it ends within a line")
    head, *rows = _lines(text)
    columns = zip(*rows, strict=True) if rows else [()] * len(head)
    named = dict(zip(head, columns, strict=True))
    table: dict[str, Any] = {name: _typed(name, cells) for name, cells in named.items()}
    for name, values in table.items():  # beside floats, pandas 2 would make floats of them
        if any(type(value) is int and value.bit_length() > 64 for value in values):
            table[name] = pd.Series(values, dtype=object)
    return pd.DataFrame(table)


def _lines(text: str) -> list[list[str]]:
    csv.field_size_limit(LARGEST)  # a traceback may be long
    return [*csv.reader(io.StringIO(text))]


def _typed(name: str, cells: Sequence[str]) -> list[Any]:
    """The cells as the first of these types in which all of them would be written so."""
    for kinds in ((int,), (int, float), ("True".__eq__,)) if name != KEYS[0] else ():
        values = [_read(cell, kinds) if cell else math.nan for cell in cells]
        if None not in values:
            return values
    return [cell or math.nan for cell in cells]


def _read(cell: str, kinds: Sequence[Callable[[str], Any]]) -> Any:
    for kind in kinds:
        with contextlib.suppress(ValueError):
            if _text(value := kind(cell)) == cell:
                return value
    return None


def describe_change(before: str, after: str) -> str:
    """What differs between two texts of rows.csv, in a sentence or two.

    >>> describe_change("case_id,case_row,ulps\\na,0,1.0\\n", "case_id,case_row,ulps\\na,0,1.5\\n")
    '1 of the 1 rows of both runs changed, in `ulps`.'
    """
    old, new = (
        {tuple(row[key] for key in KEYS): row for cells in rows
         for row in [dict(zip(head, cells, strict=True))]}
        for head, *rows in map(_lines, (before, after))
    )  # fmt: skip
    both = old.keys() & new.keys()
    moved = {"added": len(new) - len(both), "gone": len(old) - len(both)}
    parts = [f"{count} rows {word}." for word, count in moved.items() if count]
    changed = [key for key in both if old[key] != new[key]]
    names = dict.fromkeys(name for key in both for name in new[key])
    where = [n for n in names if any(old[key].get(n) != new[key].get(n) for key in changed)]
    if changed:
        columns = ", ".join(f"`{name}`" for name in where)
        parts.append(f"{len(changed)} of the {len(both)} rows of both runs changed, in {columns}.")
    elif both:
        parts.append(f"The {len(both)} rows of both runs agree.")
    return " ".join(parts)
