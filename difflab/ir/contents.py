"""What an array holds, kept so that a change can be told.

What flows: an array goes in, something small or a copy comes out that equals the same reading of
the array as long as no element changed. The invariant: elements count by their bits (so 0.0 and
-0.0 differ, and NaN equals itself). Costs on one machine: 64 bytes 0.1 us, 64 kB 7 us, 1 MB 70 us;
above 1 MB a checksum, 0.4 ms a MB, which needs no copy and misses one change in 2^32.

>>> array = np.zeros(3)
>>> before = content(array)
>>> array[1] = -0.0
>>> content(array) == before
False
"""

from __future__ import annotations

import zlib
from contextlib import suppress
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

SMALL: Final = 2**16
"""Bytes up to which an array's bytes are kept as they are."""
LARGE: Final = 2**20
"""Bytes above which no copy is kept."""
_BLOCK: Final = 2**13


def checksum(array: Array) -> int:
    """A number that tells contents apart."""
    return zlib.crc32(np.ascontiguousarray(array).view(np.uint8).data)


class _Copied:
    """A reading of an array of middle size: compared in blocks with a kept copy."""

    __slots__ = ("array", "words")

    def __init__(self, array: Array) -> None:
        self.array = array
        whole = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        self.words = whole[: whole.size // 8 * 8].view(np.uint64), whole[whole.size // 8 * 8 :]

    def kept(self) -> _Copied:
        """The same, of a copy."""
        return _Copied(np.array(self.array, copy=True, order="C"))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Copied) or self.array.nbytes != other.array.nbytes:
            return False
        (mine, rest), (others, last) = self.words, other.words
        starts = range(0, mine.size, _BLOCK)
        return np.array_equal(rest, last) and all(
            np.array_equal(mine[k : k + _BLOCK], others[k : k + _BLOCK]) for k in starts
        )

    __hash__ = None  # type: ignore[assignment]


def content(array: Array) -> Any:
    """What an array holds now, to be compared with `kept_content`."""
    if array.nbytes <= SMALL:
        return array.tobytes()
    return _Copied(array) if array.nbytes <= LARGE else checksum(array)


def kept_content(array: Array) -> Any:
    """What an array holds now, for good."""
    found = content(array)
    return found.kept() if isinstance(found, _Copied) else found


def is_frozen(array: Any) -> bool:
    """Whether an array cannot be written to, through itself or what it is a view of."""
    while isinstance(array, np.ndarray):
        if array.flags.writeable:
            return False
        array = array.base
    return True


def restore(array: Array, kept: Any) -> None:
    """Write back what an array held; nothing where only a checksum was kept."""
    with suppress(ValueError):  # it is read-only by now, or of another shape
        if isinstance(kept, bytes):
            array[...] = np.frombuffer(kept, array.dtype).reshape(array.shape)
        elif isinstance(kept, _Copied):
            array[...] = kept.array


COPIED: Final = 2**13
"""Constants up to this size are copied."""


class Held:
    """The value of a constant: a copy that is equal by content where it is small, else a reference.

    A program may change its arrays after using them (``direction[i] = 1.0`` in a loop), so small
    ones are copied. Large ones are data, which is not copied; their checksum tells at the end of
    the trace whether the program changed them. A `live` one stands for whatever the array holds
    when a program runs.
    """

    __slots__ = ("_checksum", "_key", "array")

    def __init__(self, array: Array, live: bool = False) -> None:
        if live:
            self.array, self._checksum = array, None
            self._key: tuple[Any, ...] = ("live", id(array))
            return
        small = array.nbytes <= COPIED
        self.array = array.copy() if small else array
        self._checksum = None if small else checksum(array)
        held = array.tobytes() if small else (id(array), self._checksum)
        self._key = (array.dtype.char, array.shape, held)

    @property
    def live(self) -> bool:
        """Whether it stands for what the array holds when a program runs."""
        return bool(self._key[0] == "live")

    @property
    def intact(self) -> bool:
        """Whether the array is what it was when it was captured."""
        return self._checksum is None or self._checksum == checksum(self.array)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Held) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return repr(self.array)
