"""Progress bars: on a terminal, in a notebook, or nowhere.

What flows: updates that are done move a bar. The invariants: where nobody looks there is no bar,
unless one was asked for, and then it is one line in the end; a notebook needs no widgets for it.

>>> with bar(None, 0, 100) as advance:  # a test's output is not a terminal
...     advance()
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from difflab.errors import missing

PAUSE: Final = 0.2
"""Seconds between two looks of a notebook's bar."""


@contextlib.contextmanager
def bar(wanted: bool | None, done: int, total: int) -> Iterator[Callable[[], None]]:
    """A progress bar, and what moves it by an update; None: if standard error is a terminal."""
    if wanted is False or (wanted is None and not sys.stderr.isatty()):
        yield lambda: None
        return
    if _kernel() is not None:
        with _in_notebook(done, total) as advance:
            yield advance
        return
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
    except ImportError:
        if wanted:
            raise missing("rich", "lab") from None
        yield lambda: None
        return
    columns = ("updates", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # FORCE_COLOR makes no terminal of a file.
    console = Console(stderr=True, force_jupyter=False, force_terminal=sys.stderr.isatty())
    with Progress(*columns, console=console, transient=console.is_terminal) as progress:
        task = progress.add_task("updates", total=total, completed=done)
        yield lambda: progress.advance(task)


def _kernel() -> Any:
    """What runs a notebook's cells, if that is where this is."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None)


@contextlib.contextmanager
def _in_notebook(done: int, total: int) -> Iterator[Callable[[], None]]:
    """A bar that is one output of a cell, and is gone in the end."""
    display = importlib.import_module("IPython.display").display

    def look(number: int) -> dict[str, str]:
        told = f"updates {number}/{total}"
        drawn = f"<progress value={number} max={total}></progress> {told}"
        return {"text/plain": told, "text/html": drawn}

    handle, count, last = display(look(done), raw=True, display_id=True), done, time.monotonic()

    def advance() -> None:
        nonlocal count, last
        count += 1
        if time.monotonic() - last >= PAUSE:
            last = time.monotonic()
            handle.update(look(count), raw=True)

    try:
        yield advance
    finally:
        handle.update({"text/plain": "", "text/html": ""}, raw=True)
