"""Networks and checkpoints in files: arrays and a JSON header in one .npz, without pickle.

What flows: a header (a plain dictionary) and named arrays go into a file and come back. The
invariants: a file is whole or absent, because it is written beside its place and then renamed; and
nothing is read from a file that difflab did not write as that kind.

>>> import tempfile
>>> path = Path(tempfile.mkdtemp()) / "file.npz"
>>> write(path, "network", {"inputs": 2}, {"W1": np.ones(2)})
>>> read(path, "network")
({'inputs': 2}, {'W1': array([1., 1.])})
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from difflab.errors import StorageError

FORMAT = "difflab"
VERSION = 1
_UNREADABLE = (
    ValueError,  # pickled objects, and text that is not JSON
    KeyError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,  # a zip of a kind that Python does not read
)


def write(
    path: str | os.PathLike[str], kind: str, header: Mapping[str, Any], arrays: Mapping[str, Any]
) -> None:
    """Write a file, replacing the one that may be there only once the new one is complete."""
    whole = {"format": FORMAT, "version": VERSION, "kind": kind, "header": header}
    text = json.dumps(whole, default=_number).encode()
    partial = Path(f"{os.fspath(path)}.{os.getpid()}.partial")
    try:
        with open(partial, "wb") as file:
            np.savez(file, header=np.frombuffer(text, np.uint8), **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def read(
    path: str | os.PathLike[str], kind: str
) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    """The header and arrays of a file; `StorageError` where it is not of that kind."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        whole = json.loads(arrays.pop("header").tobytes())
        found = (whole["format"], whole["version"], whole["kind"])
        header = dict(whole["header"])
    except (*_UNREADABLE, TypeError, AttributeError) as error:
        raise refused(path, kind, str(error) or type(error).__name__) from None
    if found != (FORMAT, VERSION, kind):
        raise refused(path, kind, f"it holds {found[0]} {found[2]}, version {found[1]}")
    return header, arrays


def refused(path: str | os.PathLike[str], kind: str, reason: str) -> StorageError:
    """The error for a file that is not of that kind."""
    return StorageError(
        f"{os.fspath(path)} is no {kind} that difflab has written: {reason}",
        "give the path of another file, or delete this one and make it again",
    )


def plain(data: Mapping[str, Any]) -> dict[str, Any]:
    """The data as it comes back from a file."""
    found: dict[str, Any] = json.loads(json.dumps(data, default=_number))
    return found


def _number(value: Any) -> Any:
    """NumPy's numbers, which json does not know."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a {type(value).__name__} cannot be stored")
