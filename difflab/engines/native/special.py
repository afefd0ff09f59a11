"""Formulas of sine, cosine, the error functions and the cubic root's slope.

What flows: as in exponentials.py, and the same invariants hold.
"""

from __future__ import annotations

import math
from typing import Final

from difflab.engines.native.exponentials import (
    Coefficients,
    at_least,
    at_most,
    difference,
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

Parts = tuple[float, float, float]

PI_HALVES: Final[dict[str, Parts]] = {
    "f64": (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33),
    "f32": (1.5707963705062866, -4.371138828673793e-08, -1.7151245100058819e-15),
}
"""pi/2 as a sum."""
NEAR_ZERO: Final = {"f64": 2.0**30, "f32": 2.0**12}
"""Up to it, these numbers reduce an argument with all its digits."""
# (sin(r)/r - 1) / r^2 and (cos(r) - 1 + r^2/2) / r^4, of r^2, |r| <= pi/4
SIN: Final[dict[str, Coefficients]] = {
    "f64": (
        -0.16666666666666666, 0.008333333333330946, -0.0001984126983675497, 2.755731610068303e-06,
        -2.5051131455427946e-08, 1.591810123027412e-10,
    ),
    "f32": (-0.16666664661114838, 0.008332748037517147, -0.00019587840521305324),
}  # fmt: skip
COS: Final[dict[str, Coefficients]] = {
    "f64": (
        0.041666666666666664, -0.0013888888888887395, 2.4801587298763433e-05,
        -2.7557317270560326e-07, 2.0876146024689747e-09, -1.1382614868556325e-11,
    ),
    "f32": (0.04166666465830042, -0.0013888302802309161, 2.454789161981386e-05),
}  # fmt: skip
ROOT_HALF: Final = (0.7071067811865476, -4.833646656726457e-17)
NDTR_SLOPE: Final = (0.39894228040143265, 2.5165975465939515e-17)
"""ERF_SLOPE over sqrt(8)."""
# erf(x)/x less its first number, of x^2, |x| < 1/2
ERF_SLOPE: Final = {"f64": 1.1283791670955126, "f32": 1.128379225730896}
ERF: Final[dict[str, Coefficients]] = {
    "f64": (
        1.1016420456938027e-17, -0.3761263890318347, 0.11283791670925271,
        -0.026866170632859, 0.0052239773725259965, -0.0008548297707906897,
        0.00012053332795966865, -1.4845787890421724e-05, 1.4725211252266738e-06,
    ),
    "f32": (
        -6.013204225993376e-08, -0.3761260896064194, 0.11282830307463262,
        -0.026757649190498018, 0.0047188918862749235,
    ),
}  # fmt: skip
# (1 + 2 x) e^(x^2) erfc(x) of t = (x - 3)/(x + 3) in two numbers at t = 0, and (that - these) / t
TAIL_MIDDLE: Final = {
    "f64": (1.2530080582697296, 4.5276203702746546e-17),
    "f32": (1.2530080080032349, 5.026649478965381e-08),
}
TAIL: Final[dict[str, Coefficients]] = {
    "f64": (
        -0.1356211061245812, -0.047562294353451114, 0.1296451587027624,
        -0.11927366341528454, 0.06830802734393822, -0.023770514919223638,
        0.0025293918163438968, 0.0018886903652902511, -0.0007798322708277291,
        -0.0001051598271532235, 0.00012509932044581495, 4.949486674310833e-06,
        -2.0100341664964008e-05, -7.310057515602581e-07, 3.4715253840697874e-06,
        3.545320466589652e-07, -6.144984314384006e-07, -1.3652593001587083e-07,
        9.866802715776793e-08, 3.5718472366973697e-08, -1.0626297177385477e-08,
        -4.755480964992916e-09,
    ),
    "f32": (
        -0.1356211269511766, -0.04756241847617433, 0.12964773423879558,
        -0.11926547152048543, 0.06826452484953774, -0.023920425092075672,
        0.0026351525338767067, 0.002656621065277421,
    ),
}  # fmt: skip


# -- sine and cosine -------------------------------------------------------------------------------


def _circular(v: Code, x: Vector, turn: int) -> Vector:
    """sin(x + turn pi/2), near zero."""
    magic, (first, second, third) = format_of(x).magic, PI_HALVES[x.kind]
    t = v.fma(x, 2.0 / math.pi, magic)
    n = magic - t
    w = n * -second
    r, lost = difference(v.fma(n, first, x), w)
    low = v.fma(n, third, lost + v.fma(n, second, w))
    z = r * r
    sine = r + v.fma(r * z, polynomial(v, z, SIN[x.kind]), v.fma(-0.5 * z, low, low))
    half = 0.5 * z
    one = 1.0 - half
    more = v.fma(z * z, polynomial(v, z, COS[x.kind]), -(r * low))
    cosine = one + (((1.0 - one) - half) + more)
    quadrant = t.bits() + turn
    found = (quadrant & 1).equals(0).choose(sine, cosine)
    return (found.bits() ^ ((quadrant & 2) << format_of(x).sign - 1)).floats()


def _near_zero(x: Vector) -> Vector:
    return abs(x) < NEAR_ZERO[x.kind]


@formula
def sin(v: Code, x: Vector) -> Vector:
    """sin x"""
    return v.unless(_near_zero(x), lambda: _sin(v, x), lambda: v.call("sin_slow", x))


def _sin(v: Code, x: Vector) -> Vector:
    return x.equals(0.0).choose(x, _circular(v, x, 0))


@formula
def sin_slow(v: Code, x: Vector) -> Vector:
    """sin x wherever it is."""
    return _near_zero(x).choose(_sin(v, x), v.call("loop.sin", x))


@formula
def cos(v: Code, x: Vector) -> Vector:
    """cos x"""
    return v.unless(_near_zero(x), lambda: _circular(v, x, 1), lambda: v.call("cos_slow", x))


@formula
def cos_slow(v: Code, x: Vector) -> Vector:
    """cos x wherever it is."""
    return _near_zero(x).choose(_circular(v, x, 1), v.call("loop.cos", x))


# -- error functions -------------------------------------------------------------------------------


def _erf_near_zero(v: Code, x: Vector) -> Vector:
    return v.fma(x, ERF_SLOPE[x.kind], x * polynomial(v, x * x, ERF[x.kind]))


def _tail(v: Code, x: Vector, rest: Vector | float) -> tuple[Vector, Vector]:
    """e^(z^2) erfc(z) of z = x + rest >= 1/2, as a sum of two numbers."""
    t = (x - 3.0) / (x + 3.0)
    more = t * polynomial(v, t, TAIL[x.kind])
    middle, rest_of_middle = TAIL_MIDDLE[x.kind]
    top, top_low = two_sum(v.like(x, middle), more)
    below = v.fma(x, 2.0, 1.0)
    lost = v.fma(x, 2.0, 1.0 - below) + v.like(x, rest) * 2.0
    over = 1.0 / below
    q = top * over
    return q, (v.fma(-q, below, top) + v.fma(-q, lost, top_low + rest_of_middle)) * over


def _erfc_parts(
    v: Code, x: Vector, square: tuple[Vector, Vector], rest: Vector | float = 0.0
) -> tuple[Vector, Vector]:
    """erfc(x + rest) = p 2^k as p and k + MAGIC, x >= 1/2; its square is given in two numbers."""
    high, low = _tail(v, x, rest)
    p, t = exponential(v, -square[0], -square[1])
    return v.fma(p, high, p * low), t


@formula
def erf(v: Code, x: Vector) -> Vector:
    """The error function: a polynomial near 0, 1 - erfc elsewhere."""
    size = at_least(at_most(abs(x), 6.2), 0.5)
    far = 1.0 - scaled(*_erfc_parts(v, size, two_product(v, size, size)))
    return v.copysign((abs(x) < 0.5).choose(_erf_near_zero(v, x), far), x)


@wide
def erfc(v: Code, x: Vector) -> Vector:
    """1 - erf(x)"""
    size = at_least(at_most(abs(x), 28.0), 0.5)
    p, t = _erfc_parts(v, size, two_product(v, size, size))
    near = 1.0 - _erf_near_zero(v, x)
    far = v.unless(size < 26.0, lambda: scaled(p, t), lambda: scaled_twice(v, p, t))
    return (abs(x) < 0.5).choose(near, (x < 0.0).choose(2.0 - far, far))


@wide
def ndtr(v: Code, x: Vector) -> Vector:
    """The normal distribution: erfc(-z) / 2 with z = x / sqrt(2), and z^2 from x itself."""
    size = at_least(at_most(abs(x), 39.0), ROOT_HALF[0])
    high, low = two_product(v, size, size)
    z, rest = two_product(v, size, ROOT_HALF[0])
    rest = v.fma(size, ROOT_HALF[1], rest)
    p, t = _erfc_parts(v, z, (0.5 * high, 0.5 * low), rest)
    far = v.unless(size < 37.0, lambda: 0.5 * scaled(p, t), lambda: scaled_twice(v, p, t, -1.0))
    series = v.fma(polynomial(v, 0.5 * (x * x), ERF[x.kind]), 0.5 * ROOT_HALF[0], NDTR_SLOPE[1])
    near = v.fma(x, NDTR_SLOPE[0], x * series) + 0.5
    return (abs(x) < ROOT_HALF[0]).choose(near, (x > 0.0).choose(1.0 - far, far))


# -- the slope of the cubic root -------------------------------------------------------------------


@formula
def cbrt_slope(v: Code, x: Vector) -> Vector:
    """1 / (y^2 + 2 x/y) with y the cubic root; at the ends 1 / (3 y^2)."""
    y = v.call("loop.cbrt", x)
    square, quotient = y * y, x / y
    quotient = quotient.is_nan().choose(square, quotient)
    return 1.0 / (quotient + quotient + square)
