"""Exponentials, logarithms, trigonometric and hyperbolic functions.

Partials are chosen for their digits, as arithmetic.py says: where a shorter formula is common but
loses digits (``1 - y*y`` for tanh), the longer one stands here.

>>> import numpy as np
>>> from difflab.ir.row import TABLE
>>> row = TABLE["tanh"]
>>> float(row.derivative.rule(np.tanh(20.0), 20.0))
1.699341702116...e-17
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from difflab.ir.protocols import SPELLINGS, TracedArray
from difflab.ir.rounding import within
from difflab.ir.row import (
    ABOVE_MINUS_ONE,
    ABOVE_ONE,
    NOT_HOLOMORPHIC,
    POSITIVE,
    REALS,
    UNIT,
    OwnFunction,
    Primitive,
    elementwise,
)
from difflab.table.arithmetic import room


def exactly(function: Any, number: float, like: Any) -> Any:
    """A constant such as log 2: a number for arrays; for traced values a node, exact in balls."""
    argument = like.dtype.type(number)
    return SPELLINGS[function](argument) if isinstance(like, TracedArray) else function(argument)


def exp2_partial(x: Any) -> Any:
    """2^x log 2; where 2^x may overflow before this does, twice that of x - 1, which is exact."""
    one = np.heaviside(x - 100.3, 0.0)
    return np.exp2(x - one) * exactly(np.log, 2.0, x) * (1.0 + one)


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


def plain_cosh(x: float) -> float:
    """Within 1.1 ulps, where the C library's cosh may be off by 2."""
    grown = math.exp(abs(x))
    return 0.5 * grown + 0.5 / grown


_exp = math.exp
FEW: Final = 8
"""Elements up to which plain floats are faster than eight ufuncs."""
_NUMBERS: Final = {
    np.dtype(kind): [np.array(number, kind) for number in (-2.0, 1.0, 2.0, 4.0)]
    for kind in (np.float64, np.float32)
}
"""Numbers as arrays of shape (), which ufuncs take faster than numbers."""


@OwnFunction
def sech2(x: Any, out: Any = None) -> Any:
    """1 / cosh(x)^2, elementwise: the slope of tanh, and a quarter of it, at x/2, that of sigmoid.

    4 s / (1 + s)^2 with one exponential s = exp(-2|x|), whose error counts tanh|x| times, and with
    an expanded square, in which no rounding counts twice: 4 ulps if exp is within one.

    >>> float(sech2(0.0)), float(sech2(-20.0)), float(sech2(1000.0))
    (1.0, 1.699341702116...e-17, 0.0)
    """
    if x.size <= FEW:
        found = room(x) if out is None else out
        found.flat = [plain_sech2(number) for number in x.ravel().tolist()]
        return found[()]
    minus_two, one, two, four = _NUMBERS.get(x.dtype) or _NUMBERS[np.dtype(float)]
    s = np.multiply(np.abs(x), minus_two)
    np.exp(s, s)
    square = np.add(s, two, out)
    np.add(np.multiply(square, s, square), one, square)
    return np.divide(np.multiply(s, four, s), square, square)


def plain_sech2(x: float) -> float:
    """`sech2` of a plain float."""
    s = _exp(-2.0 * abs(x))
    return 4.0 * s / (1.0 + s * (2.0 + s))


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


def _sech2_complex(z: Any) -> Any:
    s = np.exp(np.where(z.real < 0, 2.0 * z, -2.0 * z))
    return 4.0 * s / (1.0 + s * (2.0 + s))


@OwnFunction
def spherical_bessel(x: Any, n: int = 0) -> Any:
    """The spherical Bessel function j_n, elementwise: j_0(x) is sin(x)/x, and 1 at 0.

    From n = 1 on it is a difference, so NumPy's widest floats compute it: to an ulp also close to
    its zeros, where they are wider than float64.

    >>> float(spherical_bessel(0.0)), float(spherical_bessel(3e-300, 1))
    (1.0, 1e-300)
    """
    narrow = x.dtype if x.dtype.kind == "f" else np.dtype(float)
    with np.errstate(invalid="ignore"):  # sin(inf)
        wide = x.astype(np.longdouble if n else np.float64)
        return np.asarray(complex_spherical_bessel(wide, n)).astype(narrow)[()]


def complex_spherical_bessel(z: Any, n: int = 0) -> Any:
    """`spherical_bessel` in the precision of z, which may be complex: a series where |z| is small
    against n, the recurrence upward elsewhere.
    """
    if n == 0:
        return np.where(z == 0, 1, np.sin(z) / np.where(z == 0, 1, z))
    near = np.abs(z) < n + 2
    inside, outside = np.where(near, z, 0), np.where(near, n + 2, z)
    term = inside**n / z.real.dtype.type(math.prod(range(1, 2 * n + 2, 2)))
    series = term
    for k in range(1, 24 + n):
        term = term * inside * inside / (-2 * k * (2 * (n + k) + 1))
        series = series + term
    before = np.sin(outside) / outside
    found = (before - np.cos(outside)) / outside
    for m in range(1, n):
        before, found = found, (2 * m + 1) * found / outside - before
    return np.where(near, series, found)


def plain_spherical_bessel(x: float, n: int) -> float:
    """`spherical_bessel` of a plain float."""
    if n == 0:
        return math.sin(x) / x if x else 1.0
    return float(spherical_bessel.evaluate(np.float64(x), n))


def spherical_bessel_partial(y: Any, x: Any, n: int = 0) -> Any:
    """Nothing is divided by x, so it holds at 0, and so do all that follow from it."""
    after = spherical_bessel(x, n + 1)
    return (n * spherical_bessel(x, n - 1) - (n + 1) * after) / (2 * n + 1) if n else -after


def spherical_bessel_ball(x: Any, n: int = 0) -> Any:
    """z^n/(2n+1)!! 0F1(n + 3/2, -z^2/4), which is entire."""
    return x**n / math.prod(range(1, 2 * n + 2, 2)) * (x * x / -4).hypgeom_0f1(n + 1.5)


# fmt: off
ROWS: Final[tuple[Primitive, ...]] = (
    elementwise(np.exp, partials=lambda y, x: y, sympy="exp", ball="exp", scalar="exp({0})",
        latex="e^{{{0}}}", native="exp"),
    elementwise(np.exp2, partials=lambda y, x: exp2_partial(x), sympy=lambda S, x: 2**x,
        ball=lambda x: 2**x, scalar="exp2({0})", latex="2^{{{0}}}", native="exp2"),
    elementwise(np.expm1, partials=lambda y, x: np.exp(x), sympy=lambda S, x: S.exp(x) - 1,
        ball="expm1", scalar="expm1({0})", native="expm1"),
    elementwise(np.log, partials=lambda y, x: np.reciprocal(x), sympy="log", ball="log",
        scalar="log({0})", domain=POSITIVE, latex=r"\log\left({0}\right)",
        native="log"),
    elementwise(np.log2, partials=lambda y, x: np.reciprocal(exactly(np.log, 2.0, x)) / x,
        sympy=lambda S, x: S.log(x, 2), ball=lambda x: x.log() / type(x)(2).log(),
        scalar="log2({0})", domain=POSITIVE, latex=r"\log_2\left({0}\right)",
        native="log2"),
    elementwise(np.log10, partials=lambda y, x: np.reciprocal(exactly(np.log, 10.0, x)) / x,
        sympy=lambda S, x: S.log(x, 10), ball=lambda x: x.log() / type(x)(10).log(),
        scalar="log10({0})", domain=POSITIVE, latex=r"\log_{{10}}\left({0}\right)",
        native="log10"),
    elementwise(np.log1p, partials=lambda y, x: np.reciprocal(1.0 + x),
        sympy=lambda S, x: S.log(1 + x), ball="log1p", scalar="log1p({0})", domain=ABOVE_MINUS_ONE,
        native="log1p"),
    elementwise(np.sin, partials=lambda y, x: np.cos(x), sympy="sin", ball="sin", scalar="sin({0})",
        latex=r"\sin\left({0}\right)", tame=True, native="sin"),
    elementwise(np.cos, partials=lambda y, x: -np.sin(x), sympy="cos", ball="cos",
        scalar="cos({0})", latex=r"\cos\left({0}\right)", tame=True, native="cos"),
    elementwise(np.tan, partials=lambda y, x: 1.0 + np.square(y), sympy="tan", ball="tan",
        scalar="tan({0})", latex=r"\tan\left({0}\right)"),
    elementwise(np.arcsin, partials=lambda y, x: 1.0 / np.sqrt((1.0 - x) * (1.0 + x)), sympy="asin",
        ball="asin", scalar="asin({0})", domain=UNIT, latex=r"\arcsin\left({0}\right)"),
    elementwise(np.arccos, partials=lambda y, x: -1.0 / np.sqrt((1.0 - x) * (1.0 + x)),
        sympy="acos", ball="acos", scalar="acos({0})", domain=UNIT,
        latex=r"\arccos\left({0}\right)"),
    elementwise(np.arctan, partials=lambda y, x: 1.0 / np.hypot(1.0, x) / np.hypot(1.0, x),
        sympy="atan", ball="atan", scalar="atan({0})", latex=r"\arctan\left({0}\right)", tame=True),
    elementwise(np.arctan2, partials=lambda r, y, x: (over_square(x, y), -over_square(y, x)),
        sympy="atan2", ball=lambda y, x: type(y).atan2(y, x), scalar="atan2({0}, {1})",
        complex=NOT_HOLOMORPHIC, domain=(REALS, POSITIVE),
        kink=lambda y, x: np.abs(y) + (x + np.abs(x))),  # the value jumps across the cut
    elementwise(np.hypot, partials=lambda r, x, y: (cosine(x, y), cosine(y, x)),
        sympy=lambda S, x, y: S.sqrt(x**2 + y**2), ball=lambda x, y: (x * x + y * y).sqrt(),
        scalar="hypot({0}, {1})", complex=lambda x, y: np.sqrt(x * x + y * y), kink=np.hypot,
        commutative=True),
    elementwise(spherical_bessel, partials=spherical_bessel_partial,
        sympy=lambda S, x, n: S.SphericalBessel(n, x), ball=spherical_bessel_ball,
        complex=complex_spherical_bessel, scalar=plain_spherical_bessel,
        emit="spherical_bessel({0}, {n})", text="j_{n}({0})", latex=r"j_{{{n}}}\left({0}\right)",
        tame=True, params=({"n": 0}, {"n": 1}, {"n": 4})),
    elementwise(np.sinh, partials=lambda y, x: np.cosh(x), sympy="sinh", ball="sinh",
        scalar="sinh({0})", latex=r"\sinh\left({0}\right)", native="sinh"),
    elementwise(np.cosh, partials=lambda y, x: np.sinh(x), sympy="cosh", ball="cosh",
        scalar=plain_cosh, latex=r"\cosh\left({0}\right)", native="cosh"),
    elementwise(np.tanh, partials=lambda y, x: sech2(x), sympy="tanh", ball="tanh",
        scalar="tanh({0})", latex=r"\tanh\left({0}\right)", tame=True, native="tanh"),
    elementwise(sech2, partials=lambda y, x: -2.0 * y * np.tanh(x), emit="sech2({0}, {out})",
        sympy=lambda S, x: 1 / S.cosh(x) ** 2, ball=sech2_ball, complex=_sech2_complex,
        scalar=plain_sech2, latex=r"\operatorname{{sech}}^2\left({0}\right)", tame=True,
        rounding=within({8: (2.9, 0.6), 4: (6.6, 0.65)}), native="sech2"),
    elementwise(np.arcsinh, partials=lambda y, x: 1.0 / np.hypot(1.0, x), sympy="asinh",
        ball="asinh", scalar="asinh({0})"),
    elementwise(np.arccosh, partials=lambda y, x: 1.0 / (np.sqrt(x - 1.0) * np.sqrt(x + 1.0)),
        sympy="acosh", ball="acosh", scalar="acosh({0})", domain=ABOVE_ONE),
    elementwise(np.arctanh, partials=lambda y, x: 1.0 / ((1.0 - x) * (1.0 + x)), sympy="atanh",
        ball="atanh", scalar="atanh({0})", domain=UNIT),
)
# fmt: on
