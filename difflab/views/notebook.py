"""What a notebook shows: tables and lines as HTML, in the notebook's own colours.

What flows: rows of cells and lines of text become markup. The invariants: every text is escaped,
whoever wrote it; nothing has a colour of its own, so that it is read on light and dark alike; the
middle of a long table is left out.

>>> table([{"component": "x<1>", "value": "2"}])
'<table class="dataframe"><tr><th>component</th><th>value</th></tr><tr><td>x&lt;1&gt;</td>...'
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

MOST_ROWS: Final = 60
MOST_LINES: Final = 200


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows as a table, or nothing where there are none."""
    half, head = MOST_ROWS // 2, list(rows[0]) if rows else []
    cells = [[row[name] for name in head] for row in rows]
    if len(cells) > MOST_ROWS:
        gap = [f"... {len(cells) - 2 * half} more", *[""] * (len(head) - 1)]
        cells = [*cells[:half], gap, *cells[-half:]]
    body = [_row(head, "th"), *(_row(row, "td") for row in cells)]
    return f'<table class="dataframe">{"".join(body)}</table>' if rows else ""


def _row(cells: Iterable[str], tag: str) -> str:
    return f"<tr>{''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in cells)}</tr>"


def scrolled(markup: str) -> str:
    """What may be wider than the page, in a box of its own."""
    return f'<div style="overflow-x:auto">{markup}</div>'


def lines(texts: Iterable[str]) -> str:
    """Texts as paragraphs."""
    return "".join(f"<p>{html.escape(text)}</p>" for text in texts)


def preformatted(text: str) -> str:
    """A text as it stands; of a long one the beginning."""
    told = text.splitlines()
    if len(told) > MOST_LINES:
        told = [*told[:MOST_LINES], f"... {len(told) - MOST_LINES} more lines"]
    return f"<pre>{html.escape(chr(10).join(told))}</pre>"
