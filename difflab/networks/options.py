"""What an option may be: which numbers will do stands with its default.

What flows: values as users give them go in, checked values come out. The invariant: a bool is no
number, NumPy's numbers are as good as Python's, and a whole number is an int afterwards.

>>> SHARE.checked("dropout", 0.25), COUNT.checked("units", np.int64(3))
(0.25, 3)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Final

import numpy as np

from difflab.errors import ArgumentError


@dataclass(frozen=True, slots=True)
class Numbers:
    """Which finite numbers will do, in words and as a test; perhaps whole ones alone."""

    words: str
    holds: Callable[[float], bool] = lambda value: True
    whole: bool = False

    def checked(self, name: str, value: Any, of: str = "", none: bool = False) -> Any:
        """The value; `ArgumentError` where it will not do."""
        if none and value is None:
            return value
        real = isinstance(value, int | float | np.integer | np.floating)
        try:
            right = real and not isinstance(value, bool) and math.isfinite(value)
        except OverflowError:  # an integer beyond all floats
            right = False
        if not (right and self.holds(value)) or (self.whole and value % 1):
            text = f"{of} with {name}={value!r}" if of else f"{name}={value!r}"
            raise ArgumentError(text, f"give {self.words}{', or None' if none else ''}")
        return int(value) if self.whole else value


@dataclass(frozen=True, slots=True)
class _Flag(Numbers):
    """True or False, which are no numbers."""

    def checked(self, name: str, value: Any, of: str = "", none: bool = False) -> Any:
        """The value; `ArgumentError` where it is neither."""
        if not isinstance(value, bool | np.bool_):
            raise ArgumentError(
                f"{of} with {name}={value!r}" if of else f"{name}={value!r}", f"give {self.words}"
            )
        return bool(value)


FLAG: Final = _Flag("True or False")
FINITE: Final = Numbers("a finite number")
NOT_NEGATIVE: Final = Numbers("a finite number from 0", lambda value: value >= 0)
POSITIVE: Final = Numbers("a finite number above 0", lambda value: value > 0)
SHARE: Final = Numbers("a number from 0, below 1", lambda value: 0 <= value < 1)
COUNT: Final = Numbers("a whole number from 1", lambda value: value >= 1, whole=True)
SEED: Final = Numbers("a whole number from 0", lambda value: value >= 0, whole=True)


def option(numbers: Numbers, default: Any = MISSING, kw_only: bool = False) -> Any:
    """A field of a dataclass that takes these numbers; and None, where that is its default."""
    return field(default=default, kw_only=kw_only, metadata={"numbers": numbers})


def check(options: Any, of: str = "") -> None:
    """Check, and convert, every `option` of a dataclass."""
    for one in fields(options):
        if "numbers" in one.metadata:
            value = getattr(options, one.name)
            found = one.metadata["numbers"].checked(one.name, value, of, one.default is None)
            object.__setattr__(options, one.name, found)
