"""What an option may be, the same wherever one is read.

What flows: values as users give them go in, whether they will do comes out. The invariant: a bool
is no number, and NumPy's numbers are as good as Python's.

>>> is_number(0.5), is_number("0.5"), is_count(np.int64(3)), is_count(True), is_count(0)
(True, False, True, False, False)
"""

from __future__ import annotations

from typing import Any

import numpy as np


def is_number(value: Any) -> bool:
    """Whether it is a real number, be it NaN."""
    kinds = int | float | np.integer | np.floating
    return isinstance(value, kinds) and not isinstance(value, bool)


def is_count(value: Any) -> bool:
    """Whether it is a whole number from 1."""
    return is_number(value) and isinstance(value, int | np.integer) and bool(value >= 1)
