"""The ball cells of pointwise rows that take more than a line.

What flows: balls of python-flint, known here by their methods alone. The invariants: an exact
operand is taken exactly, whatever the precision; where a ball holds a jump, the result holds both
sides; what is unknown (NaN) stays unknown. A zero counts as positive: balls have no signed zeros.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any


def sign_ball(x: Any) -> Any:
    return x if x.is_nan() else x.sgn()


def step_ball(x: Any, middle: Any) -> Any:
    """The Heaviside function of a ball; at exactly zero the middle value."""
    step = middle if x.is_zero() else (sign_ball(x) + 1) / 2
    return step.union(middle) if x.contains(0) else step


def copysign_ball(a: Any, b: Any) -> Any:
    return abs(a) if b.is_zero() else abs(a) * sign_ball(b)


def where_ball(condition: Any, a: Any, b: Any) -> Any:
    return a.union(b) if condition is None else a if condition else b


def rint_ball(x: Any) -> Any:
    """To the nearest integer; a tie, which an exact ball alone can show, to the even one."""
    if x.is_exact() and x.is_finite():
        mantissa, exponent = map(int, x.man_exp())
        return type(x)(round(mantissa * Fraction(2) ** exponent)) if exponent < 0 else x
    return (x + 0.5).floor()


def convert_ball(x: Any, dtype: Any) -> Any:
    """Casts between floats are the identity on real numbers; those to integers truncate."""
    if dtype not in ("int64", "bool") or not hasattr(x, "sgn"):
        return x
    if dtype == "bool":
        return False if x.is_zero() else None if x.contains(0) else True
    return trunc_ball(x)


def trunc_ball(x: Any) -> Any:
    """Toward zero; a ball inside (-1, 1) is no longer cut in two by its sign."""
    return 0 * x if abs(x) < 1 else abs(x).floor() * sign_ball(x)


def floor_of_quotient(a: Any, b: Any) -> Any:
    """floor(a / b); where a / b is next to an integer m, the sign of a - m b decides."""
    quotient = a / b
    found = quotient.floor()
    if found.is_exact() or not quotient.is_finite():
        return found
    m = (quotient.mid() + 0.5).floor()
    rest = a - m * b
    if not abs(quotient - m) < 1:
        return found
    if (rest >= 0 and b > 0) or (rest <= 0 and b < 0):
        return m
    return m - 1 if (rest < 0 and b > 0) or (rest > 0 and b < 0) else found


def cbrt_ball(x: Any) -> Any:
    return x if x.is_zero() else x.root(3) if x > 0 else -(-x).root(3)


def constant_power_ball(x: Any, exponent: float) -> Any:
    return x ** (int(exponent) if exponent == int(exponent) else exponent)


def logaddexp_ball(a: Any, b: Any) -> Any:
    return b + (a - b).exp().log1p() if b > a else a + (b - a).exp().log1p()


def sech2_ball(x: Any) -> Any:
    """By the exponential of a negative number, which has no range; of a wide ball by its ends."""
    size = abs(x)
    if size.rad() < 0.01 or size.is_nan():
        return _sech2_at(size)
    if not size.is_finite():
        return type(x)(0.5, 0.5)
    return _sech2_at(size.abs_lower()).union(_sech2_at(size.abs_upper()))


def _sech2_at(size: Any) -> Any:
    s = (-2 * size).exp()
    return 4 * s / (1 + s * (2 + s))


def spherical_bessel_ball(x: Any, n: int = 0) -> Any:
    """z^n/(2n+1)!! 0F1(n + 3/2, -z^2/4), which is entire."""
    return x**n / math.prod(range(1, 2 * n + 2, 2)) * (x * x / -4).hypgeom_0f1(n + 1.5)
