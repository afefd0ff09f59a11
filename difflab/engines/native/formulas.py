"""Elementary functions as formulas on vectors: no tables, no branches but one, within 2 ulps.

What flows: a formula takes the code and vectors of float64, and leaves lines behind. The
invariants: products and sums are fused where `fma` says so and nowhere else, and every element
gets the same bits in a vector of any width, beside whatever others: where a formula holds for usual
elements alone, its slow twin (a function named ``.slow``) computes the same bits for them. Zeros
with their signs, denormal numbers, infinities and NaN are as NumPy's.

Reductions by Cody and Waite, logarithms as in fdlibm; the coefficients interpolate at Chebyshev
nodes.
"""

from __future__ import annotations

import math
from typing import Final

from difflab.engines.native.vectors import Code, Vector

Coefficients = tuple[float, ...]
MAGIC: Final = 1.5 * 2.0**52
"""Added to a number below 2^51, it rounds it to an integer, which the last bits then hold."""
LN2, LN2_REST = 0.6931471805598903, 5.497923018708371e-14
"""log 2 in 42 bits, so that its products with exponents are exact, and what it lacks."""
LOG2E: Final = 1.4426950408889634
PI_HALVES: Final = (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33)
SQRT_HALF_BITS: Final = 0x3FE6A09E667F3BCD
EXPONENT: Final = -(2**52)
"""The bits of a float that are its sign and exponent."""
LEAST_NORMAL: Final = 2.0**-1022
LARGEST_EXP: Final = 707.0
"""Up to it, exp and its reciprocal are normal."""

# (e^r - 1 - r) / r^2, |r| <= log(2)/2
EXP: Final = (
    0.5000000000000001, 0.16666666666666669, 0.04166666666662413, 0.008333333333330062,
    0.0013888888917213717, 0.00019841269863053618, 2.4801521295954376e-05, 2.7557268459997064e-06,
    2.7620088445409746e-07, 2.510038549551032e-08,
)  # fmt: skip
# (log((1+s)/(1-s))/s - 2) / s^2, of s^2; the same without its first term, for more digits
LOG: Final = (
    0.666666666666667, 0.39999999999899444, 0.2857142862600327, 0.22222211130259878,
    0.18182889455674947, 0.15331710618210773, 0.14616585424888623,
)  # fmt: skip
LOG_TAIL: Final = (
    0.4, 0.28571428571429364, 0.22222222221655885, 0.18181818335392802, 0.1538459496251843,
    0.1333480469384731, 0.11706236339491206, 0.11723178623876518,
)  # fmt: skip
TWO_THIRDS: Final = (0.6666666666666666, 3.700743415417188e-17)
# (sin(r)/r - 1) / r^2 and (cos(r) - 1 + r^2/2) / r^4, of r^2, |r| <= pi/4
SIN: Final = (
    -0.16666666666666666, 0.008333333333330946, -0.0001984126983675497, 2.755731610068303e-06,
    -2.5051131455427946e-08, 1.591810123027412e-10,
)  # fmt: skip
COS: Final = (
    0.041666666666666664, -0.0013888888888887395, 2.4801587298763433e-05, -2.7557317270560326e-07,
    2.0876146024689747e-09, -1.1382614868556325e-11,
)  # fmt: skip
# erf(x)/x less its first number, of x^2, |x| < 1/2
ERF_SLOPE: Final = 1.1283791670955126
ERF: Final = (
    1.1016420456938027e-17, -0.3761263890318347, 0.11283791670925271, -0.026866170632859,
    0.0052239773725259965, -0.0008548297707906897, 0.00012053332795966865,
    -1.4845787890421724e-05, 1.4725211252266738e-06,
)  # fmt: skip
# (1 + 2 x) e^(x^2) erfc(x) of t = (x - 3)/(x + 3) in two numbers at t = 0, and (that - these) / t
TAIL_MIDDLE: Final = (1.2530080582697296, 4.5276203702746546e-17)
TAIL: Final = (
    -0.1356211061245812, -0.047562294353451114, 0.1296451587027624, -0.11927366341528454,
    0.06830802734393822, -0.023770514919223638, 0.0025293918163438968, 0.0018886903652902511,
    -0.0007798322708277291, -0.0001051598271532235, 0.00012509932044581495,
    4.949486674310833e-06, -2.0100341664964008e-05, -7.310057515602581e-07,
    3.4715253840697874e-06, 3.545320466589652e-07, -6.144984314384006e-07,
    -1.3652593001587083e-07, 9.866802715776793e-08, 3.5718472366973697e-08,
    -1.0626297177385477e-08, -4.755480964992916e-09,
)  # fmt: skip


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
    """2^k of t = k + MAGIC, while it is normal."""
    return ((t.bits() << 52) + (1023 << 52)).floats()


def two_sum(a: Vector, b: Vector) -> tuple[Vector, Vector]:
    """a + b and its rounding error, for |a| >= |b|."""
    s = a + b
    return s, (a - s) + b


def two_product(v: Code, a: Vector, b: Vector | float) -> tuple[Vector, Vector]:
    """a b and its rounding error."""
    p = a * b
    return p, v.fma(a, b, -p)


# -- exponentials ----------------------------------------------------------------------------------


def _exponential(v: Code, x: Vector, more: Vector | None = None) -> tuple[Vector, Vector]:
    """exp(x + more) = p 2^k as p and k + MAGIC."""
    t = v.fma(x, LOG2E, MAGIC)
    k = t - MAGIC
    high = v.fma(k, -LN2, x)
    low = k * -LN2_REST if more is None else v.fma(k, -LN2_REST, more)
    return _near_one(v, high, low), t


def _near_one(v: Code, high: Vector, low: Vector) -> Vector:
    """exp(high + low), |high| <= log(2)/2; low is not rounded into high."""
    r = high + low
    return 1.0 + (high + v.fma(r * r, polynomial(v, r, EXP), low))


def _scaled(p: Vector, t: Vector) -> Vector:
    """p 2^k of t = k + MAGIC, where it is normal."""
    return (p.bits() + (t.bits() << 52)).floats()


def _scaled_twice(v: Code, p: Vector, t: Vector, more: float = 0.0) -> Vector:
    """p 2^(k + more) wherever it is: by two factors."""
    k = (t - MAGIC) + more
    half = v.fma(k, 0.5, MAGIC)
    return p * power_of_two(half) * power_of_two((k - (half - MAGIC)) + MAGIC)


def exp(v: Code, x: Vector) -> Vector:
    """e^x"""
    return v.unless(
        abs(x) < LARGEST_EXP,
        lambda: _scaled(*_exponential(v, x)),
        lambda: v.call("exp.slow", x),
    )


def exp_slow(v: Code, x: Vector) -> Vector:
    """e^x wherever it is."""
    return _scaled_twice(v, *_exponential(v, at_least(at_most(x, 710.0), -746.0)))


def exp_half(v: Code, x: Vector) -> Vector:
    """e^x / 2, which overflows later."""
    return _scaled_twice(v, *_exponential(v, at_least(at_most(x, 712.0), -746.0)), -1.0)


def _exponential2(v: Code, x: Vector) -> tuple[Vector, Vector]:
    t = x + MAGIC
    high, low = two_product(v, x - (t - MAGIC), math.log(2.0))
    return _near_one(v, high, v.fma(x - (t - MAGIC), 2.3190468138462996e-17, low)), t


def exp2(v: Code, x: Vector) -> Vector:
    """2^x"""
    return v.unless(
        abs(x) < 1020.0,
        lambda: _scaled(*_exponential2(v, x)),
        lambda: v.call("exp2.slow", x),
    )


def exp2_slow(v: Code, x: Vector) -> Vector:
    """2^x wherever it is."""
    return _scaled_twice(v, *_exponential2(v, at_least(at_most(x, 1025.0), -1080.0)))


def _exponential_less_one(v: Code, x: Vector) -> tuple[Vector, Vector]:
    """e^x - 1 as a sum of two numbers, -40 <= x <= 700."""
    t = v.fma(x, LOG2E, MAGIC)
    k = t - MAGIC
    high = v.fma(k, -LN2, x)
    r = v.fma(k, -LN2_REST, high)
    rest = v.fma(k, -LN2_REST, high - r)
    s = power_of_two(t)
    less = s - 1.0
    found = v.fma(s, r, less)
    lost = v.fma(s, r, less - found)
    return found, v.fma(s, v.fma(r * r, polynomial(v, r, EXP), rest), lost)


def _expm1(v: Code, x: Vector) -> Vector:
    high, low = _exponential_less_one(v, at_least(x, -40.0))
    return v.copysign(high + low, x)


def expm1(v: Code, x: Vector) -> Vector:
    """e^x - 1"""
    return v.unless(x < 700.0, lambda: _expm1(v, x), lambda: v.call("expm1.slow", x))


def expm1_slow(v: Code, x: Vector) -> Vector:
    """e^x - 1 wherever it is."""
    return (x < 700.0).choose(_expm1(v, at_most(x, 700.0)), v.call("exp.slow", x))


def tanh(v: Code, x: Vector) -> Vector:
    """-e/(2 + e) with e = exp(-2|x|) - 1; a step with the remainder mends the quotient."""
    high, low = two_sum(*_exponential_less_one(v, at_most(abs(x), 22.0) * -2.0))
    below, rest = two_sum(v.like(x, 2.0), high)
    rest = rest + low
    q = -high / below
    left = v.fma(-q, below, -high) - v.fma(q, rest, low)
    return v.copysign(v.fma(left, v.fma(below, -0.5, 1.457), q), x)  # 1/below, nearly


def sinh(v: Code, x: Vector) -> Vector:
    """(e + e/(e + 1)) / 2 with e = exp|x| - 1"""
    size = abs(x)
    return v.unless(size < 700.0, lambda: _sinh(v, x), lambda: v.call("sinh.slow", x))


def _sinh(v: Code, x: Vector) -> Vector:
    high, low = _exponential_less_one(v, at_most(abs(x), 700.0))
    e = high + low
    return v.copysign(0.5 * (e + e / (e + 1.0)), x)


def sinh_slow(v: Code, x: Vector) -> Vector:
    """The same wherever it is."""
    large = v.copysign(v.call("exp_half.slow", abs(x)), x)
    return (abs(x) < 700.0).choose(_sinh(v, x), large)


def cosh(v: Code, x: Vector) -> Vector:
    """(e + 1/e) / 2 with e = exp|x|"""
    half = exp(v, at_most(abs(x), 700.0)) * 0.5
    found = half + 0.25 / half
    return v.unless(
        abs(x) < 700.0,
        lambda: found,
        lambda: (abs(x) < 700.0).choose(found, v.call("exp_half.slow", abs(x))),
    )


def sech2(v: Code, x: Vector) -> Vector:
    """4 s / (1 + s)^2 with s = exp(-2|x|)"""
    s = exp(v, -2.0 * abs(x))
    return 4.0 * s / v.fma(s, s + 2.0, 1.0)


def sigmoid(v: Code, x: Vector) -> Vector:
    """1 / (1 + e^-x)"""
    s = exp(v, -abs(x))
    return (x >= 0.0).choose(1.0, s) / (1.0 + s)


# -- logarithms ------------------------------------------------------------------------------------


def _split(v: Code, x: Vector) -> tuple[Vector, Vector, Vector]:
    """x = 2^k m, sqrt(1/2) <= m < sqrt 2, as k, m - 1 and the bits of k's exponent."""
    above = x.bits() - SQRT_HALF_BITS
    biased = ((above + (1024 << 52)) >> 52) | 0x4330000000000000
    exponent = above & EXPONENT
    return biased.floats() - (2.0**52 + 1024), (x.bits() - exponent).floats() - 1.0, exponent


def _series(v: Code, f: Vector) -> tuple[Vector, Vector]:
    """log(1 + f) = f - (f^2/2 - this): f^2/2 and this."""
    s = f / (f + 2.0)
    z = s * s
    half = 0.5 * f * f
    return half, s * v.fma(z, polynomial(v, z, LOG), half)


def _is_usual(x: Vector) -> Vector:
    """Positive, normal and finite."""
    return (x.bits() + (0x7FF0 << 48)) < x.code.bit_pattern(0xFFE0 << 48, "i64")


def _log(v: Code, x: Vector, lifted: Vector | float = 0.0) -> Vector:
    k, f, _ = _split(v, x)
    k = k - lifted
    half, series = _series(v, f)
    return v.fma(k, LN2, f - (half - v.fma(k, LN2_REST, series)))


def log(v: Code, x: Vector) -> Vector:
    """log x"""
    return v.unless(_is_usual(x), lambda: _log(v, x), lambda: v.call("log.slow", x))


def _lifted(x: Vector) -> tuple[Vector, Vector]:
    """Denormal numbers as normal ones, and by which power of two."""
    small = x < LEAST_NORMAL
    return small.choose(x * 2.0**54, x), small.choose(x.code.constant(54.0, x.kind), 0.0)


def _with_ends(x: Vector, found: Vector) -> Vector:
    """A logarithm with its values at 0, infinity, NaN and below 0."""
    found = (x < math.inf).choose(found, x)
    found = (x < 0.0).choose(math.nan, found)
    return x.equals(0.0).choose(-math.inf, found)


def log_slow(v: Code, x: Vector) -> Vector:
    """log x wherever it is."""
    return _with_ends(x, _log(v, *_lifted(x)))


def _log1p(v: Code, x: Vector) -> Vector:
    u = 1.0 + x
    k, f, exponent = _split(v, u)
    scale = ((1023 << 52) - exponent).floats()
    whole = exponent.equals(0)
    lost = (x > 1.0).choose(1.0 - (u - x), x - (u - 1.0)) * scale
    f = whole.choose(x, f)
    lost = whole.choose(0.0, lost * v.fma(f, f - 1.0, 1.0))  # over 1 + f, nearly
    half, series = _series(v, f)
    return v.fma(k, LN2, f - (half - (v.fma(k, LN2_REST, lost) + series)))


def log1p(v: Code, x: Vector) -> Vector:
    """log(1 + x)"""
    return v.unless(
        (x > -1.0) & (x < 2.0**1000),
        lambda: v.copysign(_log1p(v, x), x),
        lambda: v.call("log1p.slow", x),
    )


def log1p_slow(v: Code, x: Vector) -> Vector:
    """log(1 + x) wherever it is."""
    found = (x < 2.0**1000).choose(v.copysign(_log1p(v, x), x), v.call("log.slow", x))
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


LOG2_UNIT: Final = ((LOG2E, 2.0355273740931033e-17), (1.0, 0.0))
LOG10_UNIT: Final = (
    (0.4342944819032518, 1.098319650216765e-17),
    (0.30102999566395283, 2.8363394551044964e-14),
)


def log2(v: Code, x: Vector) -> Vector:
    """The binary logarithm."""
    return v.unless(
        _is_usual(x),
        lambda: _log_to_base(v, x, 0.0, *LOG2_UNIT),
        lambda: v.call("log2.slow", x),
    )


def log2_slow(v: Code, x: Vector) -> Vector:
    """The same wherever it is."""
    return _with_ends(x, _log_to_base(v, *_lifted(x), *LOG2_UNIT))


def log10(v: Code, x: Vector) -> Vector:
    """The decimal logarithm."""
    return v.unless(
        _is_usual(x),
        lambda: _log_to_base(v, x, 0.0, *LOG10_UNIT),
        lambda: v.call("log10.slow", x),
    )


def log10_slow(v: Code, x: Vector) -> Vector:
    """The same wherever it is."""
    return _with_ends(x, _log_to_base(v, *_lifted(x), *LOG10_UNIT))


def softplus(v: Code, x: Vector) -> Vector:
    """log(1 + e^x)"""
    return (x > 0.0).choose(x, 0.0) + log1p(v, exp(v, -abs(x)))


def logaddexp(v: Code, a: Vector, b: Vector) -> Vector:
    """log(e^a + e^b), with the rounding error of a - b put back."""
    larger, smaller = (a > b).choose(a, b), (a > b).choose(b, a)
    off = smaller - larger
    shift = off - smaller
    lost = (smaller - (off - shift)) - (larger + shift)
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
    high, lost = two_sum(k * LN2, found)
    return two_sum(high, lost + v.fma(k, LN2_REST, low))


def _powered(v: Code, x: Vector, y: Vector, lifted: Vector | float = 0.0) -> tuple[Vector, Vector]:
    """y log x as a sum of two numbers."""
    high, low = _precise_log(v, x, lifted)
    found, lost = two_product(v, high, y)
    return found, v.fma(low, y, lost)


def power(v: Code, x: Vector, y: Vector) -> Vector:
    """x^y"""
    high, low = _powered(v, x, y)
    return v.unless(
        _is_usual(x) & (abs(high) < LARGEST_EXP),
        lambda: _scaled(*_exponential(v, high, low)),
        lambda: v.call("power.slow", x, y),
    )


def power_slow(v: Code, x: Vector, y: Vector) -> Vector:
    """x^y wherever it is, with all that C says of it."""
    size = abs(x)
    high, low = _powered(v, *(_lifted(size)[:1]), y, _lifted(size)[1])
    low = (abs(high) < 800.0).choose(low, 0.0)
    found = _scaled_twice(v, *_exponential(v, at_least(at_most(high, 710.0), -746.0), low))
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


# -- trigonometry ----------------------------------------------------------------------------------


def _circular(v: Code, x: Vector, turn: int) -> Vector:
    """sin(x + turn pi/2), |x| < 2^30"""
    t = v.fma(x, 2.0 / math.pi, MAGIC)
    n = MAGIC - t
    first = v.fma(n, PI_HALVES[0], x)
    w = n * -PI_HALVES[1]
    lost = v.fma(n, PI_HALVES[1], w)
    r = first - w
    low = v.fma(n, PI_HALVES[2], ((first - r) - w) + lost)
    z = r * r
    sine = r + v.fma(r * z, polynomial(v, z, SIN), v.fma(-0.5 * z, low, low))
    half = 0.5 * z
    one = 1.0 - half
    more = v.fma(z * z, polynomial(v, z, COS), -(r * low))
    cosine = one + (((1.0 - one) - half) + more)
    quadrant = t.bits() + turn
    found = (quadrant & 1).equals(0).choose(sine, cosine)
    return (found.bits() ^ ((quadrant & 2) << 62)).floats()


def _near_zero(x: Vector) -> Vector:
    return abs(x) < 2.0**30


def sin(v: Code, x: Vector) -> Vector:
    """sin x"""
    return v.unless(_near_zero(x), lambda: _sin(v, x), lambda: v.call("sin.slow", x))


def _sin(v: Code, x: Vector) -> Vector:
    return x.equals(0.0).choose(x, _circular(v, x, 0))


def sin_slow(v: Code, x: Vector) -> Vector:
    """sin x wherever it is."""
    return _near_zero(x).choose(_sin(v, x), v.call("loop.sin", x))


def cos(v: Code, x: Vector) -> Vector:
    """cos x"""
    return v.unless(_near_zero(x), lambda: _circular(v, x, 1), lambda: v.call("cos.slow", x))


def cos_slow(v: Code, x: Vector) -> Vector:
    """cos x wherever it is."""
    return _near_zero(x).choose(_circular(v, x, 1), v.call("loop.cos", x))


# -- error functions -------------------------------------------------------------------------------


def _erf_near_zero(v: Code, x: Vector) -> Vector:
    return v.fma(x, ERF_SLOPE, x * polynomial(v, x * x, ERF))


def _tail(v: Code, x: Vector) -> tuple[Vector, Vector]:
    """e^(x^2) erfc(x) as a sum of two numbers, x >= 1/2."""
    t = (x - 3.0) / (x + 3.0)
    more = t * polynomial(v, t, TAIL)
    top, top_low = two_sum(v.like(x, TAIL_MIDDLE[0]), more)
    below = v.fma(x, 2.0, 1.0)
    lost = v.fma(x, 2.0, 1.0 - below)
    over = 1.0 / below
    q = top * over
    return q, (v.fma(-q, below, top) + v.fma(-q, lost, top_low + TAIL_MIDDLE[1])) * over


def _erfc_parts(v: Code, x: Vector, square: tuple[Vector, Vector]) -> tuple[Vector, Vector]:
    """erfc(x) = p 2^k as p and k + MAGIC, x >= 1/2; `square` is x^2 in two numbers."""
    high, low = _tail(v, x)
    p, t = _exponential(v, -square[0], -square[1])
    return v.fma(p, high, p * low), t


def erf(v: Code, x: Vector) -> Vector:
    """The error function: a polynomial near 0, 1 - erfc elsewhere."""
    size = at_least(at_most(abs(x), 6.2), 0.5)
    far = 1.0 - _scaled(*_erfc_parts(v, size, two_product(v, size, size)))
    return (abs(x) < 0.5).choose(_erf_near_zero(v, x), v.copysign(far, x))


def erfc(v: Code, x: Vector) -> Vector:
    """1 - erf(x)"""
    size = at_least(at_most(abs(x), 28.0), 0.5)
    p, t = _erfc_parts(v, size, two_product(v, size, size))
    near = 1.0 - _erf_near_zero(v, x)
    far = v.unless(size < 26.0, lambda: _scaled(p, t), lambda: _scaled_twice(v, p, t))
    return (abs(x) < 0.5).choose(near, (x < 0.0).choose(2.0 - far, far))


def ndtr(v: Code, x: Vector) -> Vector:
    """The normal distribution: erfc(-x / sqrt(2)) / 2, its square from x itself."""
    size = at_least(at_most(abs(x), 39.0), 0.5)
    high, low = two_product(v, size, size)
    p, t = _erfc_parts(v, at_least(size * math.sqrt(0.5), 0.5), (0.5 * high, 0.5 * low))
    far = v.unless(size < 37.0, lambda: 0.5 * _scaled(p, t), lambda: _scaled_twice(v, p, t, -1.0))
    near = 0.5 * _erf_near_zero(v, x * math.sqrt(0.5)) + 0.5
    return (abs(x) < math.sqrt(0.5)).choose(near, (x > 0.0).choose(1.0 - far, far))


# -- others ----------------------------------------------------------------------------------------


def cbrt_slope(v: Code, x: Vector) -> Vector:
    """1 / (y^2 + 2 x/y) with y the cubic root; at the ends 1 / (3 y^2)."""
    y = v.call("loop.cbrt", x)
    square, quotient = y * y, x / y
    quotient = quotient.is_nan().choose(square, quotient)
    return 1.0 / (quotient + quotient + square)


def entr(v: Code, x: Vector) -> Vector:
    """-x log x"""
    found = (x < 0.0).choose(-math.inf, -x * log(v, x))
    return x.equals(0.0).choose(0.0, found)


def xlogy(v: Code, x: Vector, y: Vector) -> Vector:
    """x log y"""
    return (x.equals(0.0) & y.equals(y)).choose(0.0, x * log(v, y))


def xlog1py(v: Code, x: Vector, y: Vector) -> Vector:
    """x log(1 + y)"""
    return (x.equals(0.0) & y.equals(y)).choose(0.0, x * log1p(v, y))
