"""Formulas of logarithms, of powers, and of what is made of them; after fdlibm's.

What flows: as in exponentials.py, and the same invariants hold.
"""

from __future__ import annotations

import math
from typing import Final

from difflab.engines.native.exponentials import (
    at_least,
    at_most,
    difference,
    exp,
    exponential,
    format_of,
    formula,
    polynomial,
    scaled,
    scaled_twice,
    two_product,
    two_sum,
    wide,
)
from difflab.engines.native.vectors import Code, Vector

_FAR: Final = 2.0**100
"""From here on, log(1 + x) is log x."""
# (log((1+s)/(1-s))/s - 2 - 2/3 s^2) / s^4, of s^2
LOG_TAIL: Final = (
    0.4, 0.28571428571429364, 0.22222222221655885, 0.18181818335392802, 0.1538459496251843,
    0.1333480469384731, 0.11706236339491206, 0.11723178623876518,
)  # fmt: skip
TWO_THIRDS: Final = (0.6666666666666666, 3.700743415417188e-17)


def _split(v: Code, x: Vector) -> tuple[Vector, Vector, Vector]:
    """x = 2^k m, sqrt(1/2) <= m < sqrt 2, as k, m - 1 and k among the bits of an exponent."""
    form = format_of(x)
    above, unit, whole = x.bits() - form.sqrt_half, 1 << form.mantissa, 2.0**form.mantissa
    biased = (above + (form.one + unit)) >> form.mantissa
    k = (biased | (form.bias + form.mantissa) * unit).floats() - (whole + (form.bias + 1))
    exponent = above & -unit
    return k, (x.bits() - exponent).floats() - 1.0, exponent


def _series(v: Code, f: Vector) -> tuple[Vector, Vector]:
    """log(1 + f) = f - (f^2/2 - this): f^2/2 and this."""
    s = f / (f + 2.0)
    z = s * s
    half = 0.5 * f * f
    return half, s * v.fma(z, polynomial(v, z, format_of(f).log), half)


def _is_usual(x: Vector) -> Vector:
    """Positive, normal and finite."""
    form, bits = format_of(x), x.bits()
    unit, top = 1 << form.mantissa, 1 << form.sign
    return (bits + (top - unit)) < 2 * form.one - top


def _log(v: Code, x: Vector, lifted: Vector | float = 0.0) -> Vector:
    k, f, _ = _split(v, x)
    k = k - lifted
    half, series = _series(v, f)
    high, low = format_of(x).ln2
    return v.fma(k, high, f - (half - v.fma(k, low, series)))


@formula
def log(v: Code, x: Vector) -> Vector:
    """log x"""
    return v.unless(_is_usual(x), lambda: _log(v, x), lambda: v.call("log_slow", x))


def _lifted(x: Vector) -> tuple[Vector, Vector]:
    """Denormal numbers as normal ones, and by which power of two."""
    more = format_of(x).mantissa + 2
    small = x < format_of(x).least
    lifted = x.code.constant(more, x.kind)
    return small.choose(x * 2.0**more, x), small.choose(lifted, 0.0)


def _with_ends(x: Vector, found: Vector) -> Vector:
    """A logarithm with its values at 0, infinity, NaN and below 0."""
    found = (x < math.inf).choose(found, x)
    found = (x < 0.0).choose(math.nan, found)
    return x.equals(0.0).choose(-math.inf, found)


@formula
def log_slow(v: Code, x: Vector) -> Vector:
    """log x wherever it is."""
    return _with_ends(x, _log(v, *_lifted(x)))


def _log_of_sum(v: Code, u: Vector, rest: Vector) -> Vector:
    """log(u + rest), of a usual u and what it lacks."""
    k, f, exponent = _split(v, u)
    scale = (v.like(exponent, format_of(u).one) - exponent).floats()
    rest = rest * scale * v.fma(f, f - 1.0, 1.0)  # over 1 + f, nearly
    half, series = _series(v, f)
    high, low = format_of(u).ln2
    return v.fma(k, high, f - (half - (v.fma(k, low, rest) + series)))


def _log1p(v: Code, x: Vector) -> Vector:
    u = 1.0 + x
    return _log_of_sum(v, u, (x > 1.0).choose(1.0 - (u - x), x - (u - 1.0)))


@formula
def log1p(v: Code, x: Vector) -> Vector:
    """log(1 + x)"""
    return v.unless(
        (x > -1.0) & (x < _FAR),
        lambda: v.copysign(_log1p(v, x), x),
        lambda: v.call("log1p_slow", x),
    )


@formula
def log1p_slow(v: Code, x: Vector) -> Vector:
    """log(1 + x) wherever it is."""
    found = (x < _FAR).choose(v.copysign(_log1p(v, x), x), v.call("log_slow", x))
    return (x <= -1.0).choose(x.equals(-1.0).choose(v.like(x, -math.inf), math.nan), found)


def _log_to_base(
    v: Code, x: Vector, lifted: Vector | float, unit: tuple[float, float], two: tuple[float, float]
) -> Vector:
    """log x times a unit; `two` is the unit's multiple of log 2."""
    k, f, _ = _split(v, x)
    k = k - lifted
    half, series = _series(v, f)
    head, lost = two_sum(f, -half)
    head, rest = two_sum(head, lost + series)
    high, low = two_product(v, head, unit[0])
    low = v.fma(rest, unit[0], v.fma(head, unit[1], low))
    whole = k * two[0]
    found, lost = two_sum(whole, high)
    return found + (lost + v.fma(k, two[1], low))


def _log2(v: Code, x: Vector, lifted: Vector | float = 0.0) -> Vector:
    return _log_to_base(v, x, lifted, format_of(x).log2e, (1.0, 0.0))


def _log10(v: Code, x: Vector, lifted: Vector | float = 0.0) -> Vector:
    return _log_to_base(v, x, lifted, format_of(x).log10e, format_of(x).lg2)


@formula
def log2(v: Code, x: Vector) -> Vector:
    """The binary logarithm."""
    return v.unless(_is_usual(x), lambda: _log2(v, x), lambda: v.call("log2_slow", x))


@formula
def log2_slow(v: Code, x: Vector) -> Vector:
    """The same wherever it is."""
    return _with_ends(x, _log2(v, *_lifted(x)))


@formula
def log10(v: Code, x: Vector) -> Vector:
    """The decimal logarithm."""
    return v.unless(_is_usual(x), lambda: _log10(v, x), lambda: v.call("log10_slow", x))


@formula
def log10_slow(v: Code, x: Vector) -> Vector:
    """The same wherever it is."""
    return _with_ends(x, _log10(v, *_lifted(x)))


@formula
def softplus(v: Code, x: Vector) -> Vector:
    """log(1 + e^x)"""
    return (x > 0.0).choose(x, 0.0) + log1p(v, exp(v, -abs(x)))


@formula
def logaddexp(v: Code, a: Vector, b: Vector) -> Vector:
    """log(e^a + e^b), with the rounding error of a - b put back."""
    larger, smaller = (a > b).choose(a, b), (a > b).choose(b, a)
    off, lost = difference(smaller, larger)
    lost = (off > -math.inf).choose(lost, 0.0)
    small = exp(v, a.equals(b).choose(0.0, off))  # of equal infinities too
    return larger + log1p(v, v.fma(small, lost, small))


# -- powers ----------------------------------------------------------------------------------------


def _precise_log(v: Code, x: Vector, lifted: Vector | float) -> tuple[Vector, Vector]:
    """log x as a sum of two numbers, to 11 bits more."""
    k, f, _ = _split(v, x)
    k = k - lifted
    below, lost = two_sum(v.like(x, 2.0), f)
    s = f / below
    s_low = (v.fma(-s, below, f) - s * lost) / below
    z, z_low = two_product(v, s, s)
    z_low = v.fma(2.0 * s, s_low, z_low)
    # log(1 + f) = s (2 + z (2/3 + z tail))
    tail = z * polynomial(v, z, LOG_TAIL)
    inner, inner_low = two_sum(v.like(x, TWO_THIRDS[0]), tail)
    inner_low = inner_low + TWO_THIRDS[1]
    third, third_low = two_product(v, z, inner)
    third_low = third_low + v.fma(z, inner_low, z_low * inner)
    outer, outer_low = two_sum(v.like(x, 2.0), third)
    outer_low = outer_low + third_low
    found, low = two_product(v, s, outer)
    low = low + v.fma(s, outer_low, s_low * outer)
    ln2 = format_of(x).ln2
    high, lost = two_sum(k * ln2[0], found)
    return two_sum(high, lost + v.fma(k, ln2[1], low))


def _powered(v: Code, x: Vector, y: Vector, lifted: Vector | float = 0.0) -> tuple[Vector, Vector]:
    """y log x as a sum of two numbers."""
    high, low = _precise_log(v, x, lifted)
    found, lost = two_product(v, high, y)
    return found, v.fma(low, y, lost)


@wide
def power(v: Code, x: Vector, y: Vector) -> Vector:
    """x^y"""
    high, low = _powered(v, x, y)
    return v.unless(
        _is_usual(x) & (abs(high) < format_of(x).safe),
        lambda: scaled(*exponential(v, high, low)),
        lambda: v.call("power_slow", x, y),
    )


@wide
def power_slow(v: Code, x: Vector, y: Vector) -> Vector:
    """x^y wherever it is, with all that C says of it."""
    size = abs(x)
    normal, lifted = _lifted(size)
    high, low = _powered(v, normal, y, lifted)
    low = (abs(high) < 800.0).choose(low, 0.0)
    found = scaled_twice(v, *exponential(v, at_least(at_most(high, 710.0), -746.0), low))
    grows = ~((size > 1.0) ^ (y > 0.0))
    is_end = size.equals(0.0) | size.equals(math.inf) | abs(y).equals(math.inf)
    found = is_end.choose(grows.choose(v.like(x, math.inf), 0.0), found)
    found = size.equals(1.0).choose(1.0, found)
    is_integer, half = v.trunc(y).equals(y), 0.5 * y
    is_odd = is_integer & v.trunc(half).differs(half)
    found = is_odd.choose(v.copysign(found, x), found)
    found = ((x < 0.0) & (x > -math.inf) & ~is_integer).choose(math.nan, found)
    found = (x.is_nan() | y.is_nan()).choose(math.nan, found)
    return (x.equals(1.0) | y.equals(0.0)).choose(1.0, found)


# -- entropies -------------------------------------------------------------------------------------


@formula
def entr(v: Code, x: Vector) -> Vector:
    """-x log x"""
    found = (x < 0.0).choose(-math.inf, -x * log(v, x))
    return x.equals(0.0).choose(0.0, found)


@formula
def xlogy(v: Code, x: Vector, y: Vector) -> Vector:
    """x log y"""
    return (x.equals(0.0) & y.equals(y)).choose(0.0, x * log(v, y))


@formula
def xlog1py(v: Code, x: Vector, y: Vector) -> Vector:
    """x log(1 + y)"""
    return (x.equals(0.0) & y.equals(y)).choose(0.0, x * log1p(v, y))


def _log_of_quotient(v: Code, x: Vector, y: Vector) -> tuple[Vector, Vector]:
    """log(x/y), and where it has its digits."""
    q = x / y
    usual = (q > 2.0**-900) & (q < 2.0**900) & (x > 2.0**-800) & (y > 2.0**-800)
    return _log_of_sum(v, q, v.fma(-q, y, x) / y), usual


@wide
def log_ratio(v: Code, x: Vector, y: Vector) -> Vector:
    """log(x/y), with its digits where they are close."""
    found, usual = _log_of_quotient(v, x, y)
    return v.unless(usual, lambda: found, lambda: v.call("log_ratio_slow", x, y))


@wide
def log_ratio_slow(v: Code, x: Vector, y: Vector) -> Vector:
    """The same wherever it is: of small numbers that are lifted, or as a difference."""
    lift = ((x < 2.0**700) & (y < 2.0**700)).choose(v.like(x, 2.0**300), 1.0)
    found, usual = _log_of_quotient(v, x * lift, y * lift)
    found = usual.choose(found, v.call("log_slow", x) - v.call("log_slow", y))
    off = (x - y) / y
    below = (abs(off) < 0.5).choose(v.call("log1p", off), math.nan)  # as the table has it
    return (x < 0.0).choose(below, found)


@wide
def rel_entr(v: Code, x: Vector, y: Vector) -> Vector:
    """x log(x/y)"""
    inside = ((x > 0.0) & (y > 0.0)) | x.is_nan() | y.is_nan()
    edge = (x.equals(0.0) & (y >= 0.0)).choose(v.like(x, 0.0), math.inf)
    return inside.choose(x * log_ratio(v, x, y), edge)
