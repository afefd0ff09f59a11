"""What a command gives: a text, or a table as JSON or CSV, or two lines that say what is wrong.

What flows: results and errors become lines on standard output and standard error. The invariants:
an error is two lines, whatever it is; JSON is strict, so that any reader takes it.

>>> strict({"digits": math.nan, "ulps": math.inf, "at": np.array([1.0, 2.0])})
{'digits': None, 'ulps': 'Infinity', 'at': [1.0, 2.0]}
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, Final, TextIO

import numpy as np

from difflab.errors import DifflabError, Line, raised_at
from difflab.views.terminal import tinted

Rows = Sequence[Mapping[Any, Any]]
TRACEBACK: Final = "DIFFLAB_TRACEBACK"
"""The environment variable that asks for Python's whole traceback."""


def show(
    options: argparse.Namespace, text: str, rows: Rows, facts: Mapping[str, Any] | None = None
) -> None:
    """Print a result as text, or as JSON: the facts and the rows; write the table where asked."""
    if options.json:
        print(json.dumps(strict({**(facts or {}), "table": rows}), indent=2, allow_nan=False))
    elif options.csv != "-":
        print(tinted(text))
    if options.csv == "-":
        _write(rows, sys.stdout)
    elif options.csv:
        with open(options.csv, "w", newline="", encoding="utf-8") as file:
            _write(rows, file)


def _write(rows: Rows, file: TextIO) -> None:
    writer = csv.DictWriter(file, rows[0] if rows else ())
    writer.writeheader()
    for row in rows:
        missing = {key: "" for key, x in row.items() if isinstance(x, float) and math.isnan(x)}
        writer.writerow({**row, **missing})


def strict(value: Any) -> Any:
    """A value in JSON's terms: NaN is null, infinities are texts that Python and JavaScript read as
    numbers.
    """
    if isinstance(value, Mapping):
        return {str(key): strict(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [strict(part) for part in value]
    if isinstance(value, np.ndarray | np.generic):
        return strict(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else f"{'-' if value < 0 else ''}Infinity"
    return value if isinstance(value, str | int | float | None) else str(value)


def tell(error: BaseException, command: str) -> None:
    """Print an error in two lines."""
    if os.environ.get(TRACEBACK):
        traceback.print_exception(error)
    what, remedy, line = _told(error)
    if line is not None:
        what += f" (at {line}{f': {line.text}' if line.text else ''})"
    print(f"error: {_one_line(what)}", file=sys.stderr)
    print(f"  remedy: {_one_line(remedy or f'see {command} --help')}", file=sys.stderr)


def _told(error: BaseException) -> tuple[str, str, Line | None]:
    if isinstance(error, DifflabError):
        return error.what, error.remedy, error.line
    line, kind = raised_at(error), type(error).__name__
    if line is not None:
        what = f"it calls sys.exit({error})" if kind == "SystemExit" else f"{kind}: {error}"
        return what, f"mend the function; {TRACEBACK}=1 shows the whole traceback", line
    if isinstance(error, OSError):
        return str(error), "look at the file, its folder and their rights", None
    if isinstance(error, MemoryError):
        return "there is not enough memory", "choose a smaller point", None
    return (
        f"a fault of difflab's: {kind}: {error}",
        f"report it, with what {TRACEBACK}=1 shows",
        None,
    )


def _one_line(text: str) -> str:
    """A text without line breaks, and without what a terminal would obey."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(text.split()))
