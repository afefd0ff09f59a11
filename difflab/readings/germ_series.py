"""Series of balls: what germs are expanded by, and how far.

What flows: a function, or the exponent of a power, goes in; the balls of its first coefficients
come out. The invariant: each coefficient lies in its ball, at the precision of the resolution that
is in force.

>>> [str(c) for c in binomials(Fraction(-1))(4)]
['1.00000000000000', '-1.00000000000000', '1.00000000000000', '-1.00000000000000']
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from typing import Any, Final

from flint import arb, arb_series

from difflab.readings.balls import precision

Taylor = Callable[[arb, int], list[arb]]
"""The first Taylor coefficients of a function at a ball."""
Exponent = tuple[Any, int]
"""Of t (a whole number or a fraction) and of L."""
ENDLESS: Final = math.inf
MOST_TERMS: Final = 48
MOST_INNER: Final = 4
"""Terms of a germ of level 2, of which the slope alone is wanted."""


class _Resolution(threading.local):
    terms = 4


_resolution = _Resolution()


@contextmanager
def resolution(bits: int, terms: int) -> Iterator[None]:
    """Germs computed inside have balls of that many bits, and about that many terms."""
    before, _resolution.terms = _resolution.terms, terms
    try:
        with precision(bits):
            yield
    finally:
        _resolution.terms = before


def terms() -> int:
    """About how many terms germs have here."""
    return _resolution.terms


def ball_power(c: arb, p: Fraction) -> arb:
    """A power of a positive ball."""
    if p.denominator in (2, 3):
        return c.root(p.denominator) ** p.numerator
    return c ** (arb(p.numerator) / p.denominator)


def binomials(p: Fraction) -> Callable[[int], Sequence[arb]]:
    def coefficients(n: int) -> list[arb]:
        found = [Fraction(1)]
        for k in range(1, n):
            found.append(found[-1] * (p - k + 1) / k)
        return [arb(c.numerator) / c.denominator for c in found]

    return coefficients


def inverse_factorials(n: int) -> list[arb]:
    return [1 / arb(math.factorial(k)) for k in range(n)]


def logarithm(n: int) -> list[arb]:
    return [arb(0), *[arb((-1) ** (k + 1)) / k for k in range(1, n)]]


def expanded(function: Callable[[arb_series], arb_series], value: Callable[[arb], arb]) -> Taylor:
    """The Taylor coefficients of a function of series, the first by the function of balls."""

    def taylor(c: arb, n: int) -> list[arb]:
        found = list(function(arb_series([c, 1], prec=n)))[:n]
        return [value(c), *found[1:], *[arb(0)] * (n - len(found))][:n]

    return taylor


# -- exponents -------------------------------------------------------------------------------------


def rank(exponent: Exponent) -> tuple[Any, int]:
    """Terms are ordered by this: the least dominates."""
    return exponent[0], -exponent[1]


def least(a: Any, b: Any) -> Any:
    """The lower of two orders; None leaves nothing out."""
    return b if a is None else a if b is None else min(a, b)


def whole(a: Any) -> Any:
    """A fraction as a whole number where it is one: those are faster."""
    return int(a) if type(a) is Fraction and a.denominator == 1 else a
