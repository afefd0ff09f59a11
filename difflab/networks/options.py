"""What an option may be: which numbers will do stands with its default.

What flows: values as users give them go in, checked values come out. The invariant: a bool is no
number, NumPy's numbers are as good as Python's, and a whole number is an int afterwards.

>>> Numbers(0.0, 1.0).checked("dropout", 0.25), COUNT.checked("units", np.int64(3))
(0.25, 3)
>>> print(Numbers(0.0, 1.0), COUNT, POSITIVE, Numbers(), sep="; ")
a number from 0, below 1; a whole number from 1; a finite number above 0; a finite number
"""

from __future__ import annotations

import math
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Final

import numpy as np

from difflab.errors import ArgumentError


@dataclass(frozen=True, slots=True)
class Numbers:
    """The finite numbers from low (or above it), below high; perhaps whole ones alone."""

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    whole: bool = False

    def __str__(self) -> str:
        kind = "whole" if self.whole else "finite" if self.high == math.inf else ""
        low = f"{'above' if self.above else 'from'} {self.low:g}" if self.low > -math.inf else ""
        start = " ".join(word for word in ("a", kind, "number", low) if word)
        return f"{start}, below {self.high:g}" if self.high < math.inf else start

    def __contains__(self, value: Any) -> bool:
        number = isinstance(value, int | float | np.integer | np.floating)
        if not number or isinstance(value, bool) or not math.isfinite(value):
            return False
        right = self.low < value if self.above else self.low <= value
        return bool(right and value < self.high and not (self.whole and value % 1))

    def checked(self, name: str, value: Any, of: str = "", none: bool = False) -> Any:
        """The value; `ArgumentError` where it will not do."""
        if none and value is None:
            return value
        if value not in self:
            text = f"{of} with {name}={value!r}" if of else f"{name}={value!r}"
            raise ArgumentError(text, f"give {self}{', or None' if none else ''}")
        return int(value) if self.whole else value


ANY: Final = Numbers()
COUNT: Final = Numbers(1, whole=True)
POSITIVE: Final = Numbers(0.0, above=True)
SHARE: Final = Numbers(0.0, 1.0)


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
