"""Networks and checkpoints in files: arrays and a JSON header in one .npz, without pickle.

What flows: a header (a plain dictionary) and named arrays go into a file and come back. The
invariants: a file is whole or absent, because it is written beside its place and then renamed; and
nothing is read before it is known to be what difflab writes: members that are not compressed and
together no larger than the file, each an array of the shape and dtype that is expected of it.

>>> import tempfile
>>> path = Path(tempfile.mkdtemp()) / "file.npz"
>>> write(path, "network", {"inputs": 2}, {"W1": np.ones(2)})
>>> with opened(path, "network") as stored:
...     print(stored.header, stored.arrays({"W1": ((2,), np.dtype("float64"))}))
{'inputs': 2} {'W1': array([1., 1.])}
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
import stat
import struct
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from difflab.errors import DifflabError, StorageError

FORMAT = "difflab"
VERSION = 1
HEADERS: Final = {"network": 1 << 20, "checkpoint": 1 << 24}
"""The longest header of a kind, in bytes: read, text may take thirty times its length."""
DIRECTORY: Final = 1 << 20
"""The longest directory of an archive: ten thousand members and more."""
LARGE: Final = zipfile.ZIP64_LIMIT
"""Below this size an archive has no second directory."""
Array = np.ndarray[Any, Any]
Shapes = Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]]


def write(
    path: str | os.PathLike[str], kind: str, header: Mapping[str, Any], arrays: Mapping[str, Any]
) -> None:
    """Write a file, replacing the one that may be there only once the new one is complete."""
    whole = {"format": FORMAT, "version": VERSION, "kind": kind, "header": header}
    text = json.dumps(whole, default=_number).encode()
    if len(text) > HEADERS[kind]:
        raise StorageError(
            f"a {kind} with a header of {len(text):,} bytes; it may have {HEADERS[kind]:,}",
            "use fewer layers, or fewer rows of the history (fit's `every`)",
        )
    partial = Path(os.fsdecode(path)).parent / f".difflab-{secrets.token_hex(8)}.partial"
    with open(partial, "xb") as file:  # nobody else's, and no link
        try:
            np.savez(file, header=np.frombuffer(text, np.uint8), **arrays)
            file.flush()
            os.fsync(file.fileno())
            file.close()
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)


@contextlib.contextmanager
def opened(path: str | os.PathLike[str], kind: str) -> Iterator[Stored]:
    """A file of that kind; `StorageError` where it is none, or what is made of it inside fails."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise refused(path, kind, "it is a folder, a pipe or a device")
    with open(path, "rb", opener=_at_once) as file:
        try:
            yield Stored(file, kind)
        except StorageError:
            raise
        except DifflabError as error:
            raise refused(path, kind, error.what) from None
        except KeyError as error:
            raise refused(path, kind, f"{error} is missing") from None
        except Exception as error:  # whatever readers raise for bytes that nobody foresaw
            raise refused(path, kind, str(error) or type(error).__name__) from None


def _at_once(path: str, flags: int) -> int:
    """Opened without waiting for anybody to write, should it be a pipe by now."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


class Stored:
    """A file that is being read: its header, and then its arrays.

    Attributes
    ----------
    header : dict
    """

    def __init__(self, file: IO[bytes], kind: str) -> None:
        size = file.seek(0, os.SEEK_END)
        _check_end(file, size)
        self._archive = zipfile.ZipFile(file)
        members = self._archive.infolist()
        self._members = {member.filename: member for member in members}
        if len(self._members) < len(members):
            raise ValueError("two arrays have one name")
        for one in members:
            stored = one.compress_type == zipfile.ZIP_STORED and one.file_size == one.compress_size
            if not stored or one.flag_bits & 1:
                raise ValueError(f"{one.filename!r} is compressed or encrypted")
        if sum(member.file_size for member in members) > size:
            raise ValueError("its arrays are larger than the file")
        if self._members["header.npy"].file_size > HEADERS[kind] + 4096:
            raise ValueError("its header is too long")
        whole = json.loads(self._array("header", None, np.dtype(np.uint8)).tobytes())
        found = whole.pop("format"), whole.pop("version"), whole.pop("kind")
        if found != (FORMAT, VERSION, kind):
            raise ValueError(f"it holds {found[0]} {found[2]}, version {found[1]}")
        self.header: dict[str, Any] = dict(whole.pop("header"))
        need_known(whole, ())

    def arrays(self, wanted: Shapes) -> dict[str, Array]:
        """All arrays but the header, which have to be these."""
        need_known(self._members, ["header.npy", *(f"{name}.npy" for name in wanted)])
        return {name: self._array(name, *kind) for name, kind in wanted.items()}

    def _array(self, name: str, shape: tuple[int, ...] | None, dtype: np.dtype[Any]) -> Array:
        """An array; one of unknown shape has one axis."""
        member = self._members[f"{name}.npy"]
        with self._archive.open(member) as file:
            if np.lib.format.read_magic(file) != (1, 0):
                raise ValueError(f"{name} is an array of another version")
            found, turned, its = np.lib.format.read_array_header_1_0(file)
            if its != dtype:
                raise ValueError(f"{name} holds {its}, not {dtype}")
            if found != shape and not (shape is None and len(found) == 1):
                raise ValueError(f"{name} has the shape {found}, not {shape}")
            if math.prod(found) * dtype.itemsize != member.file_size - file.tell():
                raise ValueError(f"{name} has not as many bytes as its shape {found} takes")
            return np.frombuffer(file.read(), dtype).reshape(found, order="F" if turned else "C")


def _check_end(file: IO[bytes], size: int) -> None:
    """Check, before the directory of an archive is read, that it is one and how long."""
    file.seek(max(0, size - 42))
    tail = file.read()
    end = tail[-22:]
    if end[:4] != b"PK\5\6" or end[20:] != b"\0\0":
        raise ValueError("it is no archive of arrays, or its end is missing")
    (length,) = struct.unpack_from("<L", end, 12)
    if length > DIRECTORY or (size < LARGE and tail[:4] == b"PK\6\7"):
        raise ValueError("its directory is too long")


def need_known(names: Mapping[str, Any], known: Any) -> None:
    """Raise ValueError where a name is not known."""
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"what {unknown[0]!r} means is not known")


def refused(path: str | os.PathLike[str], kind: str, reason: str) -> StorageError:
    """The error for a file that is not of that kind."""
    return StorageError(
        f"{os.fsdecode(path)} is no {kind} that difflab has written: {reason:.200}",
        "give the path of another file, or delete this one and make it again",
    )


def plain(data: Mapping[str, Any]) -> dict[str, Any]:
    """The data as it comes back from a file."""
    found: dict[str, Any] = json.loads(json.dumps(data, default=_number))
    return found


def holds(found: Any, wanted: Any) -> bool:
    """Whether all that is wanted is there: older files tell each layer options of others, too."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return all(name in found and holds(found[name], wanted[name]) for name in wanted)
    if isinstance(wanted, list) and isinstance(found, list):
        return len(found) == len(wanted) and all(map(holds, found, wanted))
    return bool(found == wanted)


def _number(value: Any) -> Any:
    """NumPy's numbers, which json does not know."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a {type(value).__name__} cannot be stored")
