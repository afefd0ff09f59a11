"""Partial derivatives of rows that take more than a line: plain NumPy text, written for its digits.

What they promise is said in primitives.py. Where a partial is a convention (at a kink), it is
written so that its own derivative there is NaN.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from difflab.ir.protocols import SPELLINGS, TracedArray
from difflab.table.special import sigmoid, spherical_bessel


def difference_and_error(a: Any, b: Any) -> tuple[Any, Any]:
    """a - b rounded, and the rounding error, exactly (Knuth's two-sum); 0 where not finite."""
    d = a - b
    t = d - a
    return d, np.where(np.isfinite(d), (a - (d - t)) - (b + t), 0.0)


def exactly(function: Any, number: float, like: Any) -> Any:
    """A constant such as log 2: a number for arrays; for traced values a node, exact in balls."""
    argument = like.dtype.type(number)
    return SPELLINGS[function](argument) if isinstance(like, TracedArray) else function(argument)


def power_partial(y: Any, x: Any, n: Any) -> Any:
    """d(x^n)/dx = n x^(n-1), with the rounding error of n - 1 put back: it costs |log x| ulps.

    In two factors, so that neither over- nor underflows before n has its say; for a negative x both
    have the whole exponents that it needs.
    """
    m, lost = difference_and_error(n, 1.0)
    m = np.where((x == 0.0) & (n == 0.0), 0.0, m)  # d(x^0)/dx is 0 even at 0
    half = np.where(x > 0.0, 0.5 * m, np.trunc(0.5 * m))
    return np.power(x, half) * _tiny_power(x, lost) * n * np.power(x, m - half)


def _tiny_power(x: Any, lost: Any) -> Any:
    """x^lost for a rounding error: 1 + lost log x, to all digits.

    Bounded, because lost is no longer small where n > 2^53; there x^n is 0 or infinite, or x so
    close to 1 that the product is small all the same.
    """
    return 1.0 + np.minimum(np.maximum(lost * np.log(np.where(x > 0.0, x, 1.0)), -0.5), 0.5)


def exponent_partial(y: Any, x: Any, n: Any) -> Any:
    """d(x^n)/dn = x^n log x, by halves of x^n, which over- or underflow no sooner than it does."""
    half = np.power(x, 0.5 * n)
    return half * np.log(np.where(x == 0.0, 1.0, x)) * half


def logaddexp_partial(a: Any, b: Any) -> Any:
    """sigmoid(a - b), with the rounding error of a - b put back: it costs |a - b| ulps."""
    d, lost = difference_and_error(a, b)
    d = np.where(np.isnan(d) & (a == b), 0.0, d)  # both infinite: a tie
    return sigmoid(d) * (1.0 + lost * sigmoid(-d))


def gaussian(x: Any) -> Any:
    """exp(-x^2) with x^2 split so that its rounding error, which costs x^2 ulps, does not arise."""
    if x.dtype != np.float64:
        return np.exp(-np.square(x.astype(np.float64))).astype(x.dtype)
    head = np.where(np.square(x) < 2.0**20, x.astype(np.float32).astype(np.float64), 0.0)
    most = np.exp(-np.square(head))
    return most + most * np.expm1(-(x - head) * (x + head))


def exp2_partial(x: Any) -> Any:
    """2^x log 2; where 2^x may overflow before this does, twice that of x - 1, which is exact."""
    one = np.heaviside(x - 100.3, 0.0)
    return np.exp2(x - one) * exactly(np.log, 2.0, x) * (1.0 + one)


def spherical_bessel_partial(y: Any, x: Any, n: int = 0) -> Any:
    """Nothing is divided by x, so it holds at 0, and so do all that follow from it."""
    after = spherical_bessel(x, n + 1)
    return (n * spherical_bessel(x, n - 1) - (n + 1) * after) / (2 * n + 1) if n else -after


def _lift(x: Any, y: Any) -> Any:
    """A power of two that lifts two small numbers, so that no quotient is denormal too early."""
    return np.where(np.maximum(np.abs(x), np.abs(y)) < 1.0, 2.0**64, 1.0)


def cosine(x: Any, y: Any) -> Any:
    """x / hypot(x, y); 0 at the kink, where it has no derivative itself."""
    lift = _lift(x, y)
    r = np.hypot(x * lift, y * lift)
    return np.where(r == 0.0, np.sqrt(r), x * lift / r)


def over_square(x: Any, y: Any) -> Any:
    """x / (x^2 + y^2)"""
    lift = _lift(x, y)
    r = np.hypot(x * lift, y * lift)
    return x * lift * lift / r / r


def constant_power_partial(y: Any, x: Any, exponent: float) -> Any:
    m = exponent - 1.0
    lost = math.fsum((exponent, -1.0, -m))
    partial = exponent * np.power(x, m)
    return partial * np.exp(lost * np.log(np.where(x > 0.0, x, 1.0))) if lost else partial


def root_partial(y: Any, x: Any) -> Any:
    """1 / (2 sqrt(x)); 0 at 0, where the root of a sum of squares has a kink."""
    return np.where(y == 0.0, np.sqrt(x), 0.5 / y)
