"""What a terminal shows: tables no wider than it, colours where there is somebody to see them.

What flows: rows of cells become aligned lines; the columns that matter most are kept, and those
without room are named below. The invariant: no colour where the reader is a program.

>>> rows = [{"method": "reverse", "status": "ok", "seconds": "1.0"}]
>>> print(fitted(rows, ("method", "status", "seconds"), width=17))
method   status
-------  ------
reverse  ok
(no room for: seconds; --csv, --json and .table have all)
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import Final

LONGEST_CELL: Final = 40
RED, GREEN, YELLOW = 31, 32, 33
_TONES: Final = (
    (GREEN, r"^correct(?=:)|(?<=  )ok(?=  |$)|^Write instead(?=:)"),
    (RED, r"^(wrong|error)(?=:)|(?<=  )failed(?=  |$)|^=>.*$"),
    (
        YELLOW,
        r"^(rounding|kink|undecided)(?=:)"
        r"|(?<=  )(kink|jump|no value|undecided|outside the domain)(?=  |$)",
    ),
)
"""Which words have a colour: a verdict that begins a line, a status in a table, the guilty row."""


def width() -> int:
    """The columns of the terminal, or of the variable COLUMNS; 80 where nothing says."""
    return max(40, shutil.get_terminal_size().columns)


def in_colour() -> bool:
    """Whether standard output takes colours; NO_COLOR and FORCE_COLOR say so before the terminal.

    >>> in_colour()  # a test's output is not a terminal
    False
    """
    if os.environ.get("NO_COLOR"):
        return False
    if forced := os.environ.get("FORCE_COLOR"):
        return forced != "0"
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def tinted(text: str) -> str:
    """A text with its verdicts in colour, if standard output takes colours."""
    if in_colour():
        for tone, words in _TONES:
            text = re.sub(words, rf"\033[{tone}m\g<0>\033[0m", text, flags=re.MULTILINE)
    return text


def fitted(
    rows: Sequence[Mapping[str, str]], importance: Sequence[str], *, width: int | None = None
) -> str:
    """Rows as aligned lines that fit; columns stand in their own order, chosen by importance."""
    wide = width or globals()["width"]()
    cells = {name: [name, *(_clipped(row[name]) for row in rows)] for name in (rows or [{}])[0]}
    widths = {name: max(map(len, column)) for name, column in cells.items()}
    kept: list[str] = []
    for name in importance:
        if sum(widths[other] + 2 for other in [*kept, name]) - 2 <= wide or not kept:
            kept.append(name)
    shown = [name for name in cells if name in kept]
    lines = [
        "  ".join(cells[name][k].ljust(widths[name]) for name in shown).rstrip()
        for k in range(len(rows) + 1)
    ]
    lines.insert(1, "  ".join("-" * widths[name] for name in shown))
    if missing := [name for name in cells if name not in kept]:
        note = f"(no room for: {', '.join(missing)}; --csv, --json and .table have all)"
        lines += textwrap.wrap(note, wide)
    return "\n".join(lines)


def _clipped(cell: str) -> str:
    return cell if len(cell) <= LONGEST_CELL else f"{cell[: LONGEST_CELL - 3]}..."
