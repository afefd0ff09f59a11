"""The record of a run in its report folder: provenance.json, beside the rows that it speaks of.

What flows: a plan that was carried out -> timings.csv, provenance.json, rows.csv -> the page.

Invariant: the record names its experiment, its version and the hash of its rows; a page is made
only from files that fit together. Rows are written last, so that a run that is killed in between
is repeated with the same comparison to what was there before.
"""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

from difflab.errors import ArgumentError
from difflab.lab.experiment import Experiment
from difflab.lab.files import write
from difflab.lab.plan import Plan
from difflab.lab.records import describe_change, tables

AGAIN = "measure again: leave out --report"
RECORD: dict[str, type] = {
    "experiment": str,
    "version": int,
    "preset": str,
    "seeds": int,
    "cases": int,
    "measured": int,
    "incomplete": str,
    "command": str,
    "rows": str,
    "change": str,
    "previous": dict,
    "machine": dict,
}
"""What provenance.json holds, in this order."""


def save_run(folder: Path, plan: Plan, command: str) -> None:
    """Write the rows of a plan, and how they came about.

    Whoever calls this holds the folder of reports (`alone_in`).
    """
    rows, timings = tables(plan.ordered, plan.experiment.volatile)
    machines = [outcome.machine for outcome in plan.ordered.values()]
    facts = dict.fromkeys(name for machine in machines for name in machine)
    record = {
        "experiment": plan.experiment.name,
        "version": plan.experiment.version,
        "preset": plan.preset.name,
        "seeds": len(plan.preset.seeds),
        "cases": len(plan.cases),
        "measured": len(plan.outcomes),
        "incomplete": plan.incomplete,
        "command": command,
        "rows": _hash(rows.encode()),
        **_compared(folder, rows),
        "machine": {name: _span([m[name] for m in machines if name in m]) for name in facts},
    }
    write(folder / "timings.csv", timings)
    write(folder / "provenance.json", json.dumps(record, indent=1) + "\n")
    write(folder / "rows.csv", rows)


def load_run(folder: Path, experiment: Experiment) -> dict[str, Any]:
    """The record of the run that wrote a report folder's rows.

    Raises
    ------
    ArgumentError : there is none, or it is torn, or does not fit the experiment or the rows
    """
    path = folder / "provenance.json"
    try:
        run = _json(path)
        rows = (folder / "rows.csv").read_bytes()
    except FileNotFoundError:
        raise ArgumentError(
            f"{folder} holds no rows", "measure first: leave out --report"
        ) from None
    except (OSError, ValueError) as reason:
        raise ArgumentError(f"{path} is not usable: {reason}", AGAIN) from None
    wrong = [name for name, kind in RECORD.items() if not isinstance(run.get(name), kind)]
    if wrong:
        raise ArgumentError(f"{path} is not usable: it says nothing about {wrong[0]!r}", AGAIN)
    own = (experiment.name, experiment.version)
    if (run["experiment"], run["version"]) != own:
        whose = f"{run['experiment']}, version {run['version']}"
        raise ArgumentError(f"{path} belongs to {whose}, not to {own[0]}, version {own[1]}", AGAIN)
    if run["rows"] != _hash(rows):
        raise ArgumentError(f"{folder / 'rows.csv'} is not as the run wrote it", AGAIN)
    return run


def _compared(folder: Path, rows: str) -> dict[str, Any]:
    """What changed against the rows that are there, and what was found in those."""
    path = folder / "rows.csv"
    old = known(folder / "provenance.json")
    try:
        before = path.read_text()
        if before == rows and {"change", "previous"} <= old.keys():
            # Equal rows: what they changed when they came still holds.
            return {name: old[name] for name in ("change", "previous")}
        change = describe_change(before, rows)
    except FileNotFoundError:
        return {"change": "This is the first run.", "previous": {}}
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        change = "The rows of the previous run cannot be read."
    summary = known(folder / "summary.json")
    previous = {name: summary.get(name, "") for name in ("commit", "measured")}
    return {"change": change, "previous": {**previous, "findings": summary.get("findings", [])}}


def known(path: Path) -> dict[str, Any]:
    """The JSON object in a file, or an empty one if the file is missing or torn.

    >>> known(Path("nowhere.json"))
    {}
    """
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


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _span(values: list[str]) -> str:
    """One text for a fact of several runs: the value, or the few there are, or first and last."""
    distinct = sorted(set(values))
    return ", ".join(distinct) if len(distinct) <= 3 else f"{distinct[0]} ... {distinct[-1]}"
