"""Files that are there whole or not at all, whoever else writes them, and whatever stops a process.

What flows: text or bytes -> a draft of this call alone -> the file, in one step.

Invariant: a reader sees an earlier content or a later one, never a mixture; a process that is
killed leaves at most a draft, which a later run removes.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from difflab.errors import DifflabError

DRAFT = ".tmp"
STALE = 3600.0
"""Seconds after which nobody is still writing a draft."""


class WriteError(DifflabError, OSError):
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
    draft = path.with_name(f"{path.name}.{uuid.uuid4().hex}{DRAFT}")
    with _said(path):
        try:
            if not _holds(path, data):
                path.parent.mkdir(parents=True, exist_ok=True)
                draft.write_bytes(data)
                os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)


def _holds(path: Path, data: bytes) -> bool:
    try:
        return path.read_bytes() == data
    except OSError:
        return False


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
    """Inside, no other process is inside with this folder, where the system can promise that.

    >>> import tempfile
    >>> with alone_in(Path(tempfile.mkdtemp()) / "reports"):
    ...     pass
    """
    with _said(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:  # not on Windows: there the last writer of each file wins
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)  # given up when the process ends, however it ends
        yield
    finally:
        os.close(handle)
