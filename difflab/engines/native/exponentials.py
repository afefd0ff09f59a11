"""Formulas on vectors: what they share, and exponentials. No tables, within 2 ulps.

What flows: a formula takes the code and vectors of floats, and leaves lines behind. The invariants:
products and sums are fused where `fma` says so and nowhere else, and every element gets the same
bits in a vector of any width, beside whatever others: where a formula holds for usual elements
alone, its slow twin computes the same bits for them. Zeros with their signs, denormal numbers,
infinities and NaN are as NumPy's.

Arguments are reduced as Cody and Waite do; all coefficients interpolate at Chebyshev nodes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from difflab.engines.native.vectors import Code, Vector

Coefficients = tuple[float, ...]
Pair = tuple[float, float]

FUNCTIONS: Final[dict[str, Callable[..., Vector]]] = {}
"""The functions that codes may call, by their names."""
WIDE: Final[set[str]] = set()
"""Those that compute float32 in float64."""


def formula(function: Callable[..., Vector]) -> Callable[..., Vector]:
    """Enter a formula among the functions that may be called."""
    FUNCTIONS[function.__name__] = function
    return function


def wide(function: Callable[..., Vector]) -> Callable[..., Vector]:
    """The same of a formula that is for float64 alone."""
    WIDE.add(function.__name__)
    return formula(function)


@dataclass(frozen=True)
class Format:
    """A kind of floats, and the numbers that formulas need for it."""

    mantissa: int
    bias: int
    exp: Coefficients
    """Of (e^r - 1 - r) / r^2, |r| <= log(2)/2."""
    log: Coefficients
    """Of (log((1+s)/(1-s))/s - 2) / s^2, by s^2."""
    ln2: Pair
    """log 2, first in so few bits that its products with exponents are exact, and what it lacks."""
    lg2: Pair
    """The decimal logarithm of 2, likewise."""
    near_ln2: Pair
    """log 2 rounded, and what it lacks; so are those that follow."""
    log2e: Pair
    log10e: Pair
    sqrt_half: int
    """The bits of sqrt(1/2)."""
    safe: float
    """Up to it, exp and its reciprocal are normal."""

    @property
    def magic(self) -> float:
        """Added to a smaller number, it rounds it to an integer, which the last bits then hold."""
        return 1.5 * 2.0**self.mantissa

    @property
    def sign(self) -> int:
        """Which bit is the sign."""
        return self.mantissa + (2 * self.bias + 1).bit_length()

    @property
    def one(self) -> int:
        """The bits of 1."""
        return self.bias << self.mantissa

    @property
    def least(self) -> float:
        """The least normal number."""
        return 2.0 ** (1 - self.bias)

    @property
    def ends(self) -> Pair:
        """Binary exponents beyond which there is only 0 and infinity, also of halves."""
        return -float(self.bias + self.mantissa + 4), float(self.bias + 4)


FORMATS: Final = {
    "f64": Format(
        52, 1023,
        (
            0.5000000000000001, 0.16666666666666669, 0.04166666666662413, 0.008333333333330062,
            0.0013888888917213717, 0.00019841269863053618, 2.4801521295954376e-05,
            2.7557268459997064e-06, 2.7620088445409746e-07, 2.510038549551032e-08,
        ),
        (
            0.666666666666667, 0.39999999999899444, 0.2857142862600327, 0.22222211130259878,
            0.18182889455674947, 0.15331710618210773, 0.14616585424888623,
        ),
        (0.6931471805598903, 5.497923018708371e-14),
        (0.30102999566395283, 2.8363394551044964e-14),
        (0.6931471805599453, 2.3190468138462996e-17),
        (1.4426950408889634, 2.0355273740931033e-17),
        (0.4342944819032518, 1.098319650216765e-17),
        0x3FE6A09E667F3BCD, 700.0,
    ),
    "f32": Format(
        23, 127,
        (
            0.500000000155742, 0.16666576802502236, 0.041666538843572284, 0.008363210191789584,
            0.0013927945373046317,
        ),
        (0.6666668504515603, 0.39988778282162807, 0.2958005304318844),
        (0.693145751953125, 1.428606765330187e-06),
        (0.301025390625, 4.605038611771306e-06),
        (0.6931471824645996, -1.904654299957768e-09),
        (1.4426950216293335, 1.9259629911266175e-08),
        (0.4342944920063019, -1.0103050052231683e-08),
        0x3F3504F3, 86.0,
    ),
}  # fmt: skip


def format_of(x: Vector) -> Format:
    """The format of its kind."""
    return FORMATS[x.kind]


def polynomial(v: Code, x: Vector, coefficients: Coefficients) -> Vector:
    """c0 + c1 x + ..., in few steps one after another (Estrin)."""
    terms: list[Vector | float] = list(coefficients)
    while len(terms) > 1:
        pairs = zip(terms[1::2], terms[::2], strict=False)
        odd = terms[-1:] if len(terms) % 2 else []
        terms = [*(v.fma(x, high, low) for high, low in pairs), *odd]
        x = x * x
    return v.like(x, terms[0])


def at_most(x: Vector, high: float) -> Vector:
    """The smaller of them; NaN stays."""
    return (x > high).choose(high, x)


def at_least(x: Vector, low: float) -> Vector:
    """The larger of them; NaN stays."""
    return (x < low).choose(low, x)


def power_of_two(t: Vector) -> Vector:
    """2^k of t = k + magic, while it is normal."""
    form = format_of(t)
    return ((t.bits() << form.mantissa) + form.one).floats()


def two_sum(a: Vector, b: Vector) -> tuple[Vector, Vector]:
    """a + b and its rounding error, for |a| >= |b|."""
    s = a + b
    return s, (a - s) + b


def difference(a: Vector, b: Vector) -> tuple[Vector, Vector]:
    """a - b and its rounding error (Knuth)."""
    d = a - b
    t = d - a
    return d, (a - (d - t)) - (b + t)


def two_product(v: Code, a: Vector, b: Vector | float) -> tuple[Vector, Vector]:
    """a b and its rounding error."""
    p = a * b
    return p, v.fma(a, b, -p)


# -- exponentials ----------------------------------------------------------------------------------


def exponential(v: Code, x: Vector, more: Vector | None = None) -> tuple[Vector, Vector]:
    """exp(x + more) = p 2^k as p and k + magic."""
    form = format_of(x)
    t = v.fma(x, form.log2e[0], form.magic)
    k = t - form.magic
    high, low = -form.ln2[0], -form.ln2[1]
    return _near_one(v, v.fma(k, high, x), k * low if more is None else v.fma(k, low, more)), t


def _near_one(v: Code, high: Vector, low: Vector) -> Vector:
    """exp(high + low), |high| <= log(2)/2; low is not rounded into high."""
    r = high + low
    return 1.0 + (high + v.fma(r * r, polynomial(v, r, format_of(r).exp), low))


def scaled(p: Vector, t: Vector) -> Vector:
    """p 2^k of t = k + magic, where it is normal."""
    return (p.bits() + (t.bits() << format_of(p).mantissa)).floats()


def scaled_twice(v: Code, p: Vector, t: Vector, more: float = 0.0) -> Vector:
    """p 2^(k + more) wherever it is: by two factors."""
    magic = format_of(p).magic
    k = (t - magic) + more
    half = v.fma(k, 0.5, magic)
    return p * power_of_two(half) * power_of_two((k - (half - magic)) + magic)


def _within(x: Vector, unit: float) -> Vector:
    """An exponent, bounded where there is but 0 and infinity beyond."""
    low, high = format_of(x).ends
    return at_least(at_most(x, high * unit), low * unit)


@formula
def exp(v: Code, x: Vector) -> Vector:
    """e^x"""
    return v.unless(
        abs(x) < format_of(x).safe,
        lambda: scaled(*exponential(v, x)),
        lambda: v.call("exp_slow", x),
    )


@formula
def exp_slow(v: Code, x: Vector) -> Vector:
    """e^x wherever it is."""
    return scaled_twice(v, *exponential(v, _within(x, math.log(2.0))))


@formula
def half_exp_slow(v: Code, x: Vector) -> Vector:
    """e^x / 2, which overflows later."""
    return scaled_twice(v, *exponential(v, _within(x, math.log(2.0))), -1.0)


def _exponential2(v: Code, x: Vector) -> tuple[Vector, Vector]:
    form = format_of(x)
    t = x + form.magic
    r = x - (t - form.magic)
    high, low = two_product(v, r, form.near_ln2[0])
    return _near_one(v, high, v.fma(r, form.near_ln2[1], low)), t


@formula
def exp2(v: Code, x: Vector) -> Vector:
    """2^x"""
    return v.unless(
        abs(x) < format_of(x).bias - 3.0,
        lambda: scaled(*_exponential2(v, x)),
        lambda: v.call("exp2_slow", x),
    )


@formula
def exp2_slow(v: Code, x: Vector) -> Vector:
    """2^x wherever it is."""
    return scaled_twice(v, *_exponential2(v, _within(x, 1.0)))


def _exponential_less_one(v: Code, x: Vector) -> tuple[Vector, Vector]:
    """e^x - 1 as a sum of two numbers, -40 <= x <= safe."""
    form = format_of(x)
    t = v.fma(x, form.log2e[0], form.magic)
    k = t - form.magic
    high = v.fma(k, -form.ln2[0], x)
    r = v.fma(k, -form.ln2[1], high)
    rest = v.fma(k, -form.ln2[1], high - r)
    s = power_of_two(t)
    less = s - 1.0
    found = v.fma(s, r, less)
    lost = v.fma(s, r, less - found)
    return found, v.fma(s, v.fma(r * r, polynomial(v, r, form.exp), rest), lost)


def _expm1(v: Code, x: Vector) -> Vector:
    high, low = _exponential_less_one(v, at_least(x, -40.0))
    return v.copysign(high + low, x)


@formula
def expm1(v: Code, x: Vector) -> Vector:
    """e^x - 1"""
    return v.unless(x < format_of(x).safe, lambda: _expm1(v, x), lambda: v.call("expm1_slow", x))


@formula
def expm1_slow(v: Code, x: Vector) -> Vector:
    """e^x - 1 wherever it is."""
    safe = format_of(x).safe
    return (x < safe).choose(_expm1(v, at_most(x, safe)), v.call("exp_slow", x))


@formula
def tanh(v: Code, x: Vector) -> Vector:
    """-e/(2 + e) with e = exp(-2|x|) - 1; a step with the remainder mends the quotient."""
    high, low = two_sum(*_exponential_less_one(v, at_most(abs(x), 20.0) * -2.0))
    below, rest = two_sum(v.like(x, 2.0), high)
    rest = rest + low
    q = -high / below
    left = v.fma(-q, below, -high) - v.fma(q, rest, low)
    return v.copysign(v.fma(left, v.fma(below, -0.5, 1.457), q), x)  # 1/below, nearly


@formula
def sinh(v: Code, x: Vector) -> Vector:
    """(e + e/(e + 1)) / 2 with e = exp|x| - 1"""
    return v.unless(abs(x) < format_of(x).safe, lambda: _sinh(v, x), lambda: v.call("sinh_slow", x))


def _sinh(v: Code, x: Vector) -> Vector:
    high, low = _exponential_less_one(v, at_most(abs(x), format_of(x).safe))
    e, rest = two_sum(high, low)
    q = e / (e + 1.0)
    slope = v.fma(1.0 - q, 1.0 - q, 1.0)
    return v.copysign(0.5 * (e + v.fma(rest, slope, q)), x)


@formula
def sinh_slow(v: Code, x: Vector) -> Vector:
    """sinh x wherever it is."""
    large = v.copysign(v.call("half_exp_slow", abs(x)), x)
    return (abs(x) < format_of(x).safe).choose(_sinh(v, x), large)


@formula
def cosh(v: Code, x: Vector) -> Vector:
    """(e + 1/e) / 2 with e = exp|x|"""
    usual = abs(x) < format_of(x).safe
    half = 0.5 * scaled(*exponential(v, at_most(abs(x), format_of(x).safe)))
    found = half + 0.25 / half
    return v.unless(
        usual, lambda: found, lambda: usual.choose(found, v.call("half_exp_slow", abs(x)))
    )


@formula
def sech2(v: Code, x: Vector) -> Vector:
    """4 s / (1 + s)^2 with s = exp(-2|x|)"""
    size = -2.0 * abs(x)

    def usual() -> Vector:
        s = scaled(*exponential(v, size))
        return _sech2(v, s, 4.0 * s)

    return v.unless(-size < format_of(x).safe, usual, lambda: v.call("sech2_slow", x))


def _mended(v: Code, above: Vector, below: Vector, rest: Vector) -> Vector:
    """above / (below + rest), mended by its remainder."""
    over = 1.0 / below
    q = above * over
    return v.fma(v.fma(-q, rest, v.fma(-q, below, above)), over, q)


def _sech2(v: Code, s: Vector, four: Vector) -> Vector:
    root, lost = two_sum(v.like(s, 1.0), s)
    below, rest = two_product(v, root, root)
    return _mended(v, four, below, v.fma(2.0 * root, lost, rest))


@formula
def sech2_slow(v: Code, x: Vector) -> Vector:
    """The same wherever it is: 4 s may be normal where s is not."""
    p, t = exponential(v, _within(-2.0 * abs(x), math.log(2.0)))
    return _sech2(v, scaled_twice(v, p, t), scaled_twice(v, p, t, 2.0))


@formula
def sigmoid(v: Code, x: Vector) -> Vector:
    """1 / (1 + e^-x)"""
    s = exp(v, -abs(x))
    return _mended(v, (x >= 0.0).choose(1.0, s), *two_sum(v.like(x, 1.0), s))
