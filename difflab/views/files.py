"""Files to write: that one can be written is known before the work for it is done.

What flows: the name that a user gave becomes a path. The invariant: a wrong suffix, a missing
folder and a protected file are said alike, whatever was to be written.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from difflab.errors import ArgumentError, StorageError


def writable(name: str | os.PathLike[str], suffixes: Sequence[str] = ()) -> Path:
    """A file's path, if it can be written and has one of the suffixes (any, where none are given).

    Raises
    ------
    ArgumentError
        For another suffix.
    StorageError
        If there is no such folder, or the file is one, or it is protected.

    Examples
    --------
    >>> writable("nowhere/plot.png")
    Traceback (most recent call last):
    ...
    difflab.errors.StorageError: 'nowhere/plot.png' cannot be written: there is no folder 'nowhere'
    ...
    """
    file, said = Path(name), repr(os.fspath(name))
    if suffixes and file.suffix not in suffixes:
        what = f"{said} cannot be written as {file.suffix or 'a file without a suffix'}"
        *others, last = suffixes
        remedy = f"end the file's name in {', '.join(others)}{' or ' if others else ''}{last}"
        raise ArgumentError(what, remedy)
    try:
        why = _obstacle(file)
    except (OSError, ValueError) as error:  # such as a name that is too long
        why = getattr(error, "strerror", None) or str(error)
    if why:
        raise StorageError(f"{said} cannot be written: {why}", "choose another file")
    return file


def _obstacle(file: Path) -> str:
    """Why a file cannot be written, or nothing."""
    if "\0" in str(file):
        return "there is a NUL in its name"
    if not file.parent.is_dir():
        return f"there is no folder {str(file.parent)!r}"
    if not file.name or file.is_dir():
        return "it is a folder"
    return "" if os.access(file if file.exists() else file.parent, os.W_OK) else "it is protected"
