"""The record of a run in its report folder: rows.csv, timings.csv and provenance.json.

What flows: outcomes of cases, in the order of the cases -> rows.csv and timings.csv -> a DataFrame,
which the page is made from; and how they came about -> provenance.json.

Invariant: the record names its experiment, its version and the hash of its rows; a page is made
only from files that fit together. Rows are written last, so that a run that is killed in between
is repeated with the same comparison to what was there before.
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
from difflab.lab.store import ERROR, KEYS, SECONDS, Outcome, write

if TYPE_CHECKING:
    import pandas as pd

FIRST = "measure first: leave out --report"
AGAIN = "measure again: leave out --report"
FACTS: dict[str, type] = {
    "experiment": str, "version": int, "preset": str, "seeds": int, "cases": int, "measured": int,
    "incomplete": str, "command": str, "rows": str,
    "change": str, "previous": dict, "machine": dict,
}  # fmt: skip
"""What provenance.json holds, in this order."""


def save_run(
    folder: Path,
    experiment: Experiment,
    preset: Preset,
    outcomes: Mapping[str, Outcome],
    known: Mapping[str, Any],
) -> None:
    """Write the rows of a run, and how they came about.

    Outcomes are in the order of the rows; known are how many `cases` there are, in words what is
    `incomplete`, and the `command`. Whoever calls this holds the folder (`alone_in`).
    """
    rows, timings = csv_texts(outcomes, experiment.volatile)
    machines = [outcome.machine for outcome in outcomes.values()]
    names = dict.fromkeys(name for machine in machines for name in machine)
    change, previous = _compared(folder, rows)
    values = {
        "experiment": experiment.name, "version": experiment.version, "preset": preset.name,
        "seeds": len(preset.seeds), "measured": len(outcomes), **known,
        "rows": hashlib.sha256(rows.encode()).hexdigest(), "change": change, "previous": previous,
        "machine": {name: _span([m[name] for m in machines if name in m]) for name in names},
    }  # fmt: skip
    facts = {name: values[name] for name in FACTS}
    write(folder / "timings.csv", timings)
    write(folder / "provenance.json", json.dumps(facts, indent=1) + "\n")
    write(folder / "rows.csv", rows)


def load_run(folder: Path, experiment: Experiment) -> dict[str, Any]:
    """How the rows in a report folder came about, by the names of `FACTS`.

    Raises
    ------
    ArgumentError : there is no record, or it is torn, or does not fit the experiment or the rows
    """
    path = folder / "provenance.json"
    try:
        run = _json(path)
        rows = (folder / "rows.csv").read_bytes()
    except FileNotFoundError:
        raise ArgumentError(f"{folder} holds no rows", FIRST) from None
    except (OSError, ValueError) as reason:
        raise ArgumentError(f"{path} is not usable: {reason}", AGAIN) from None
    wrong = [name for name, kind in FACTS.items() if not isinstance(run.get(name), kind)]
    if wrong:
        raise ArgumentError(f"{path} is not usable: it says nothing about {wrong[0]!r}", AGAIN)
    own = (experiment.name, experiment.version)
    if (run["experiment"], run["version"]) != own:
        whose = f"{run['experiment']}, version {run['version']}"
        raise ArgumentError(f"{path} belongs to {whose}, not to {own[0]}, version {own[1]}", AGAIN)
    if run["rows"] != hashlib.sha256(rows).hexdigest():
        raise ArgumentError(f"{folder / 'rows.csv'} is not as the run wrote it", AGAIN)
    return run


def _compared(folder: Path, rows: str) -> tuple[str, dict[str, Any]]:
    """What changed against the rows that are there, and what was found in those."""
    path = folder / "rows.csv"
    old = json_object(folder / "provenance.json")
    try:
        before = path.read_text()
        if before == rows and {"change", "previous"} <= old.keys():
            return old["change"], old["previous"]  # what equal rows changed when they came, holds
        change = describe_change(before, rows)
    except FileNotFoundError:
        return "This is the first run.", {}
    except (OSError, ValueError, KeyError, TypeError):
        change = "The rows of the previous run cannot be read."
    summary = json_object(folder / "summary.json")
    previous = {name: summary.get(name, "") for name in ("commit", "measured")}
    return change, {**previous, "findings": summary.get("findings", [])}


def json_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file, or an empty one if the file is missing or torn."""
    try:
        return _json(path)
    except (OSError, ValueError):
        return {}


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("it is no record of a run")
    return value


def _span(values: list[str]) -> str:
    """One text for a fact of several runs: the value, or the few there are, or first and last."""
    distinct = sorted(set(values))
    return ", ".join(distinct) if len(distinct) <= 3 else f"{distinct[0]} ... {distinct[-1]}"


def csv_texts(outcomes: Mapping[str, Outcome], volatile: Iterable[str]) -> tuple[str, str]:
    """The texts of rows.csv, which is the same on every run, and of timings.csv, which is not.

    Both hold the case's id and the number of the row within its case. Rows are in the order of
    `outcomes`, which is that of the experiment's cases.

    >>> csv_texts({"4e1": Outcome({"seed": 0}, [{"ulps": 0.5}], 2.0)}, volatile=())[0]
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


def _csv(rows: list[dict[str, Any]]) -> str:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_text(row.get(column)) for column in columns] for row in rows)
    return text.getvalue()


def _text(value: Any) -> str:
    if isinstance(value, list | dict):
        return canonical(value)
    return "" if value is None else value if isinstance(value, str) else repr(value)


def load_rows(folder: Path) -> pd.DataFrame:
    """The rows of a report folder with their timings, as a DataFrame.

    Text is read as the type that would be written so: a column of numbers is numeric. What is
    missing, and NaN, is NaN.
    """
    try:
        rows, timings = (frame((folder / name).read_text()) for name in ("rows.csv", "timings.csv"))
        keys = list(KEYS)
        if not rows[keys].equals(timings[keys]):
            raise ValueError("they do not hold the same rows")
        return rows.merge(timings, on=keys)
    except FileNotFoundError:
        raise ArgumentError(f"{folder} holds no rows", FIRST) from None
    except (OSError, ValueError, KeyError, csv.Error) as reason:
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
    head, *rows = csv.reader(io.StringIO(text))
    columns = zip(*rows, strict=True) if rows else [()] * len(head)
    named = dict(zip(head, columns, strict=True))
    return pd.DataFrame({name: _typed(name, cells) for name, cells in named.items()})


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
    '1 of 1 cells changed in the 1 rows of both runs; `ulps` (up to 50 %).'
    """
    import pandas as pd

    old, new = (
        pd.read_csv(io.StringIO(text), dtype=object, keep_default_na=False).set_index(list(KEYS))
        for text in (before, after)
    )
    both = new.index.intersection(old.index, sort=False)
    moved = {"added": len(new) - len(both), "gone": len(old) - len(both)}
    parts = [f"{count} rows {word}." for word, count in moved.items() if count]
    was, now = old.reindex(index=both, columns=new.columns, fill_value=""), new.loc[both]
    differs = was.ne(now)
    count = int(differs.to_numpy().sum())
    if count:
        worst = ", ".join(
            f"`{name}`{_largest(was[name][differs[name]], now[name][differs[name]])}"
            for name in now
            if differs[name].any()
        )
        parts.append(
            f"{count} of {now.size} cells changed in the {len(both)} rows of both runs; {worst}."
        )
    elif len(both):
        parts.append(f"The {len(both)} rows of both runs agree.")
    return " ".join(parts)


def _largest(was: Iterable[str], now: Iterable[str]) -> str:
    """The largest relative change, if the cells are finite numbers."""
    try:
        pairs = [(float(old), float(new)) for old, new in zip(was, now, strict=True)]
        sizes = [abs(new - old) / abs(old) for old, new in pairs]
    except (ValueError, ZeroDivisionError):
        return ""
    return f" (up to {100 * max(sizes):.3g} %)" if all(map(math.isfinite, sizes)) else ""
