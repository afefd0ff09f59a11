"""Arithmetic: sums, products, quotients, powers, roots and remainders.

Partials are chosen for their digits: each is within 4 ulps of the true partial over its whole
float64 domain, which accuracy/digits.py certifies with balls on samples across all exponents. They
must also differentiate to any order, so where a partial chooses (``np.where``), all choices are the
same function.
"""

from __future__ import annotations

import math
import operator
from typing import Any, Final

import numpy as np

from difflab.ir.rounding import (
    EVEN,
    LIBRARY,
    Local,
    exact,
    is_normal,
    is_power_of_two,
    library,
    nearest,
    nearest_unless,
    within,
)
from difflab.ir.row import (
    NOT_HOLOMORPHIC,
    OPERATOR,
    POSITIVE,
    REALS,
    OwnFunction,
    Primitive,
    elementwise,
    linear,
    multilinear,
)


def difference_and_error(a: Any, b: Any) -> tuple[Any, Any]:
    """a - b rounded, and the rounding error, exactly (Knuth's two-sum); 0 where not finite."""
    d = a - b
    t = d - a
    return d, np.where(np.isfinite(d), (a - (d - t)) - (b + t), 0.0)


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


def constant_power(x: Any, exponent: float) -> Any:
    """x to a constant power."""
    return np.power(x, x.dtype.type(exponent))


def vector_power(v: Any, x: Any, exponent: float) -> Any:
    """`constant_power` on vectors: by products where they round no more than the library."""
    if exponent in (1.0, 2.0, 3.0, 4.0) or not x.is_float:
        exponent = int(exponent)
        square, found = x, None if exponent % 2 == 0 else x
        for bit in format(exponent, "b")[-2::-1]:
            square = square * square
            if bit == "1":
                found = square if found is None else found * square
        return v.constant(1, x.kind) if found is None else found
    if exponent in (0.5, -1.0):
        return v.sqrt(x) if exponent > 0.0 else 1.0 / x
    return v.call("power", x, v.constant(exponent, x.kind))


def constant_power_partial(y: Any, x: Any, exponent: float) -> Any:
    m = exponent - 1.0
    lost = math.fsum((exponent, -1.0, -m))
    partial = exponent * np.power(x, m)
    return partial * np.exp(lost * np.log(np.where(x > 0.0, x, 1.0))) if lost else partial


@OwnFunction
def root(x: Any) -> Any:
    """The square root of a sum of squares: its derivative at 0, a kink, is taken as 0."""
    return np.sqrt(x)


def root_partial(y: Any, x: Any) -> Any:
    """1 / (2 sqrt(x)); 0 at 0, where the root of a sum of squares has a kink."""
    return np.where(y == 0.0, np.sqrt(x), 0.5 / y)


def room(x: Any) -> Any:
    """An array for intermediate results, also where x is a number."""
    return np.empty(x.shape, x.dtype if x.dtype.kind == "f" else np.float64)


@OwnFunction
def cbrt_slope(x: Any, out: Any = None) -> Any:
    """1 / (3 cbrt(x)^2), elementwise: infinite at 0, and 0 at infinity.

    As 1 / (y^2 + 2 x/y) with y = cbrt(x): a relative error e of y, for which libraries take up to 4
    ulps, is 2e in the one and -e in the other. At the ends y^2 alone says the limit.

    >>> float(cbrt_slope(8.0)), float(cbrt_slope(np.inf))
    (0.08333333333333333, 0.0)
    """
    y = np.cbrt(x, room(x))
    with np.errstate(invalid="ignore"):  # 0/0 and inf/inf
        slope = np.divide(x, y, room(x) if out is None else out)
    np.square(y, y)
    np.copyto(slope, y, where=np.isnan(slope))
    np.add(np.add(slope, slope, slope), y, slope)
    return np.reciprocal(slope, slope if x.shape else None)


def plain_cbrt(x: float) -> float:
    """math.cbrt may be 4 ulps off (glibc); a step of Newton's method leaves one."""
    y = math.cbrt(x)
    return y - (y - x / (y * y)) / 3.0 if y and math.isfinite(y) else y


def plain_cbrt_slope(x: float) -> float:
    y = math.cbrt(x)
    return 1.0 / (y * y + 2.0 * (x / y)) if math.isfinite(y) else 1.0 / (y * y)


def distance_to_integer(x: Any) -> Any:
    return x - np.rint(x)


# -- balls ---------------------------------------------------------------------------------------


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


# -- rounding ------------------------------------------------------------------------------------


def _sum_of_two(y: Any, a: Any, b: Any) -> Local:
    """Exact where the result is on the coarser grid that both operands are on (Sterbenz)."""
    grids = [np.where(x == 0.0, np.inf, np.spacing(np.abs(x))) for x in (a, b)]
    return nearest_unless(np.spacing(np.abs(y)) <= np.minimum(*grids), y)


def _product(y: Any, a: Any, b: Any) -> Local:
    scaled = (is_power_of_two(a) | is_power_of_two(b)) & is_normal(y)
    return nearest_unless(scaled | (a == 0.0) | (b == 0.0), y)


def _quotient(y: Any, a: Any, b: Any) -> Local:
    return nearest_unless((is_power_of_two(b) & is_normal(y)) | (a == 0.0), y)


def _one_operand(y: Any, x: Any) -> Local:
    """Square and reciprocal: exact for powers of two; of 0 it may be one of what underflowed."""
    return nearest_unless(is_power_of_two(x) & is_normal(y), y)


def _root_rounding(y: Any, x: Any) -> Local:
    """Correctly rounded; at 0 the squares under it may have underflowed."""
    kind = np.finfo(y.dtype)
    lost = 2.0**8 * np.sqrt(float(kind.smallest_subnormal)) / float(kind.eps)
    return Local(np.where(y == 0.0, lost, y).astype(y.dtype), 0.5, EVEN)


def _constant_power_rounding(y: Any, x: Any, exponent: float) -> Local:
    """The library's, and in float32 the rounding of the exponent, which costs |log x| ulps."""
    lost = abs(exponent - float(x.dtype.type(exponent))) / np.finfo(x.dtype).eps
    if lost == 0.0:
        return library(y)
    more = 1.0 + lost * np.abs(np.log(np.abs(x)))
    return Local(y * np.where(np.isfinite(more), more, 1.0).astype(y.dtype), *LIBRARY[4])


# -- corners -------------------------------------------------------------------------------------

SMALLEST_NORMAL: Final = 2.0**-1022


def _denormal_quotient(a: Any, b: Any) -> Any:
    """-y/b starts from y = a/b, and a denormal y has lost digits that b < 1 brings to light: 43,000
    ulps were seen. To scale every quotient would cost each division in each program a choice.
    """
    return np.abs(a / b) < SMALLEST_NORMAL


def _denormal_exponent(x: Any, n: Any) -> Any:
    """n x^(n-1) is (x^h n) x^(n-1-h), whose first product with a denormal n may be denormal:
    540,000 ulps were seen, at exponents below 1e-308.
    """
    return np.abs(n) < SMALLEST_NORMAL


# fmt: off
ADD: Final = linear(np.add, transpose=lambda ct, a, b: (ct, ct), sympy=lambda S, a, b: a + b,
    ball=operator.add, scalar="{0} + {1}", text="{0} + {1}", latex="{0} + {1}", precedence=OPERATOR,
    rounding=_sum_of_two, weak=True, commutative=True, cancels=True, native=lambda v, a, b: a + b)

ROWS: Final[tuple[Primitive, ...]] = (
    linear(np.negative, transpose=lambda ct, x: (-ct,), sympy=lambda S, x: -x, ball=operator.neg,
        scalar="-{0}", text="-{0}", latex="-{0}", precedence=OPERATOR + 2, rounding=exact,
        weak=True, native=lambda v, x: -x),
    ADD,
    linear(np.subtract, transpose=lambda ct, a, b: (ct, -ct), sympy=lambda S, a, b: a - b,
        ball=operator.sub, scalar="{0} - {1}", text="{0} - {1}", latex="{0} - {1}",
        precedence=OPERATOR, rounding=_sum_of_two, weak=True, cancels=True,
        native=lambda v, a, b: a - b),
    multilinear(np.multiply, transposes=(lambda ct, a, b: ct * b, lambda ct, a, b: ct * a),
        sympy=lambda S, a, b: a * b, ball=operator.mul, scalar="{0} * {1}", text="{0} * {1}",
        latex=r"{0} \, {1}", precedence=OPERATOR + 1, rounding=_product, weak=True,
        commutative=True, native=lambda v, a, b: a * b),
    elementwise(np.divide, partials=lambda y, a, b: (np.reciprocal(b), -y / b),
        sympy=lambda S, a, b: a / b, ball=operator.truediv, scalar="{0} / {1}",
        domain=(REALS, POSITIVE), text="{0} / {1}", latex=r"\frac{{{0}}}{{{1}}}",
        precedence=OPERATOR + 1, rounding=_quotient, weak=True, corner=_denormal_quotient,
        native=lambda v, a, b: a / b),
    elementwise(np.reciprocal, partials=lambda y, x: -np.square(y), sympy=lambda S, x: 1 / x,
        ball=lambda x: 1 / x, scalar="1.0 / {0}", domain=POSITIVE, text="1 / {0}",
        latex=r"\frac{{1}}{{{0}}}", precedence=OPERATOR + 1, rounding=_one_operand,
        native="reciprocal"),
    elementwise(np.square, partials=lambda y, x: 2.0 * x, sympy=lambda S, x: x**2,
        ball=lambda x: x * x, scalar="{0} * {0}", text="{0}^2", latex="{0}^{{2}}",
        precedence=OPERATOR + 3, rounding=_one_operand, weak=True, native=lambda v, x: x * x),
    elementwise(np.power,
        partials=lambda y, x, n: (power_partial(y, x, n), exponent_partial(y, x, n)),
        sympy=lambda S, x, n: x**n, ball=operator.pow, scalar="pow({0}, {1})",
        domain=(POSITIVE, REALS), text="{0}^{1}", latex="{0}^{{{1}}}", precedence=OPERATOR + 3,
        weak=True, corner=_denormal_exponent, native="power"),
    elementwise(constant_power, partials=constant_power_partial, domain=POSITIVE,
        scalar="pow({0}, {exponent})",
        sympy=lambda S, x, exponent: x ** S.nsimplify(exponent, rational=True),
        ball=constant_power_ball, emit="power({0}, {exponent}, {out})", text="{0}^{exponent}",
        latex="{0}^{{{exponent}}}", precedence=OPERATOR + 3, rounding=_constant_power_rounding,
        weak=True, native=vector_power,
        params=({"exponent": 3.0}, {"exponent": 2.5}, {"exponent": -1.0}, {"exponent": 0.1337})),
    elementwise(np.sqrt, partials=lambda y, x: 0.5 / y, sympy="sqrt", ball="sqrt",
        scalar="sqrt({0})", domain=POSITIVE, latex=r"\sqrt{{{0}}}", rounding=nearest,
        native="sqrt"),
    elementwise(root, partials=root_partial, sympy="sqrt", ball="sqrt", emit="sqrt({0}, {out})",
        scalar="sqrt({0})", domain=POSITIVE, latex=r"\sqrt{{{0}}}", text="sqrt({0})",
        kink=lambda x: x, rounding=_root_rounding, native="sqrt"),
    elementwise(np.cbrt, partials=lambda y, x: cbrt_slope(x), scalar=plain_cbrt, domain=POSITIVE,
        sympy=lambda S, x: S.sign(x) * S.Abs(x) ** S.Rational(1, 3), ball=cbrt_ball,
        complex=lambda z: np.where(z.real < 0, -((-z) ** (1.0 / 3.0)), z ** (1.0 / 3.0)),
        latex=r"\sqrt[3]{{{0}}}"),
    elementwise(cbrt_slope, partials=lambda y, x: y / -1.5 / x, emit="cbrt_slope({0}, {out})",
        scalar=plain_cbrt_slope, domain=POSITIVE,
        sympy=lambda S, x: 1 / (3 * S.Abs(x) ** S.Rational(2, 3)),
        ball=lambda x: 1 / (3 * abs(x).root(3) ** 2),
        complex=lambda z: np.where(z.real < 0, -z, z) ** (-2.0 / 3.0) / 3.0,
        latex=r"\frac{{1}}{{3 \sqrt[3]{{{0}}}^{{2}}}}",
        rounding=within({8: (2.5, 0.5), 4: (2.5, 0.5)}), native="cbrt_slope"),
    elementwise(np.remainder, partials=lambda y, a, b: (1.0, -np.floor_divide(a, b)),
        domain=(REALS, POSITIVE), sympy=lambda S, a, b: a - b * S.floor(a / b),
        ball=lambda a, b: a - b * floor_of_quotient(a, b), complex=NOT_HOLOMORPHIC,
        kink=lambda a, b: distance_to_integer(a / b), scalar="{0} % {1}", text="{0} % {1}",
        latex=r"\left({0} \bmod {1}\right)", precedence=OPERATOR + 1, rounding=nearest, weak=True),
    elementwise(np.floor_divide, partials=lambda y, a, b: (0.0, 0.0),
        sympy=lambda S, a, b: S.floor(a / b), ball=floor_of_quotient, complex=NOT_HOLOMORPHIC,
        domain=(REALS, POSITIVE), kink=lambda a, b: distance_to_integer(a / b), scalar="{0} // {1}",
        text="{0} // {1}", latex=r"\left\lfloor \frac{{{0}}}{{{1}}} \right\rfloor",
        precedence=OPERATOR + 1, rounding=exact),
)
# fmt: on
