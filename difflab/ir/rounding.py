"""What one run of an operation rounds: the words in which the rows' `rounding` cells say it.

A cell is ``rule(y, *x, **params) -> Local`` for operands taken as exact. What is exact in floats
(movement, choices, signs, powers of two, differences of close numbers) rounds nothing. Roundings
are counted in units in the last place of the result, not in relative errors, which vary by a factor
of two within a binade.

>>> import numpy as np
>>> exact(np.ones(2)).largest, nearest(np.ones(2)).largest
(0.0, 0.5)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

EVEN: Final = 12**-0.5
"""The root mean square of a number that is evenly spread over an interval of length 1."""
Ulps = dict[int, tuple[float, float]]
"""Ulps, largest and typical, by the size of a float in bytes."""
LIBRARY: Final[Ulps] = {8: (2.0, 0.3), 4: (4.0, 0.45)}
"""Those of NumPy's functions. Measured: 1.8 and 0.26 to 0.33 in float64, 2.7 and 0.2 to 0.6 in
float32."""


class Local(NamedTuple):
    """What one operation rounds: so many ulps of numbers of some size."""

    size: Any
    largest: float
    typical: float


def exact(y: Any, *x: Any, **params: Any) -> Local:
    """The result is a float already."""
    return Local(np.zeros(np.shape(y)), 0.0, 0.0)


def nearest(y: Any, *x: Any, **params: Any) -> Local:
    """Correctly rounded."""
    return Local(y, 0.5, EVEN)


def library(y: Any, *x: Any, **params: Any) -> Local:
    """As NumPy's library computes functions."""
    return Local(not_zero(y), *LIBRARY[y.dtype.itemsize])


def within(ulps: Ulps) -> Callable[..., Local]:
    """As a function that difflab writes in several operations, by analysis."""
    return lambda y, *x, **params: Local(not_zero(y), *ulps[y.dtype.itemsize])


def nearest_unless(is_exact: Any, y: Any) -> Local:
    """Correctly rounded, where it is not exact."""
    return Local(np.where(is_exact, 0.0, not_zero(y)), 0.5, EVEN)


def added(size: Any, n: float, products: float = 0.0) -> Local:
    """A sum of n numbers, in any order, of products with so many roundings each.

    No partial sum exceeds the sum of the absolute values, which is the size. In NumPy's pairwise
    order few partial sums come near it: 3 is about the sum of their squares, in its squares.
    """
    largest = 0.5 * (n - 1.0) + products
    squares = min(0.5 * (n - 1.0), 3.0) + products / max(n, 1.0)
    return Local(size, largest, EVEN * squares**0.5)


def not_zero(y: Any) -> Any:
    """A result that underflowed has lost all that it was."""
    return np.maximum(np.abs(y), np.finfo(y.dtype).smallest_subnormal)


def is_power_of_two(x: Any) -> Any:
    return np.abs(np.frexp(x)[0]) == 0.5


def is_normal(y: Any) -> Any:
    return np.abs(y) >= np.finfo(y.dtype).tiny
