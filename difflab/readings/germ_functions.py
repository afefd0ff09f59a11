"""The elementary functions of germs, under the names of the balls' methods.

What flows: where a function is analytic at the number that a germ tends to, its Taylor series is
composed with the rest. Elsewhere, at an edge of its domain or towards infinity, an identity leads
back to a root, a logarithm, an exponential or a reciprocal. The invariant is the germs'.

>>> from difflab.readings.germs import Germ
>>> t = Germ.parameter()
>>> (1 - t).acos() ** 2
[2.0000...] t + ... + O(t^5)
>>> (1 / t).tanh()
1 + O(t^inf)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from flint import arb, arb_series

from difflab.readings.balls import whole_number
from difflab.readings.germ_series import (
    ENDLESS,
    Taylor,
    ball_power,
    binomials,
    expanded,
    inverse_factorials,
    least,
    logarithm,
    whole,
)
from difflab.readings.germs import (
    BEYOND,
    FUNCTIONS,
    LOGARITHMS,
    NO_VALUE,
    NOT_TOLD,
    OSCILLATES,
    Germ,
    alike,
    composed,
    exactly,
    made,
    powers_kept,
    sign_of,
    worse,
)

Function = Callable[..., Germ]


def _method(function: Function) -> Function:
    """Enter a function as the method of that name which germs have as balls have it."""
    FUNCTIONS[function.__name__.removeprefix("_")] = function
    return function


@_method
def _analytic(g: Germ, taylor: Taylor) -> Germ:
    """A function that is analytic where the germ tends to, by its Taylor coefficients."""
    if g.bad:
        return g
    if not g.is_regular:
        return Germ.unknown(OSCILLATES)
    head = g.terms.get((0, 0), arb(0))
    u = Germ({e: c for e, c in g.terms.items() if e != (0, 0)}, g.order, g.rest, g.level)
    return composed(u, lambda n: _coefficients(head, taylor, n))


def _coefficients(head: Any, taylor: Taylor, n: int) -> Sequence[Any]:
    """Taylor coefficients at a ball, or at a germ that tends to one."""
    if not isinstance(head, Germ):
        return taylor(head, n)
    start = head.terms.get((0, 0), arb(0))
    v = Germ({e: c for e, c in head.terms.items() if e != (0, 0)}, head.order, head.rest)
    m = 1 if v.is_zero() else powers_kept(v)
    known = taylor(start, n + m)
    return [
        composed(v, lambda _, k=k: [math.comb(j + k, k) * known[j + k] for j in range(m)])  # type: ignore[misc]
        for k in range(n)
    ]


def _everywhere(name: str) -> Function:
    """A function that is analytic everywhere, by the series' and the balls' method of that name."""
    taylor = expanded(lambda s: getattr(s, name)(), lambda c: getattr(c, name)())
    return lambda g: g.analytic(taylor)


def _oscillating(name: str) -> Function:
    """The same, for a function that stays bounded where its argument does not."""
    inside = _everywhere(name)

    def function(g: Germ) -> Germ:
        bounded = g.bad or g.is_regular or g.order is not None
        return inside(g) if bounded else Germ({}, 0, level=g.level)

    return function


def _alternating(*functions: Callable[[arb], arb]) -> Taylor:
    """Two functions that are each other's derivative."""

    def taylor(c: arb, n: int) -> list[arb]:
        values = [function(c) for function in functions]
        return [values[k % 2] / arb(math.factorial(k)) for k in range(n)]

    return taylor


def _integral(slope: Callable[[arb_series], arb_series], name: str) -> Taylor:
    """A function by its derivative."""
    return expanded(lambda s: slope(s).integral(), lambda c: getattr(c, name)())


@_method
def _exp(g: Germ) -> Germ:
    """The exponential; of a multiple of L, a power of t."""
    if g.bad:
        return g
    if g.order is not None and g.order <= 0:
        if g.order != -ENDLESS or not g.rest:
            return Germ.unknown(OSCILLATES)
        return Germ({}, -g.rest * ENDLESS, 1, g.level)
    endless = {e: c for e, c in g.terms.items() if e[0] < 0 or (e[0] == 0 and e[1] > 1)}
    if endless:
        sign = sign_of(g.terms[g.leading])
        if sign is None:
            return Germ.unknown(NOT_TOLD)
        return Germ({}, -sign * ENDLESS, 1, g.level)
    logs = g.terms.get((0, 1), arb(0))
    m = None if isinstance(logs, Germ) else exactly(logs)
    if m is None:
        return Germ.unknown(LOGARITHMS)
    head = g.terms.get((0, 0), arb(0)).exp()
    small = {e: c for e, c in g.terms.items() if e[0] > 0}
    u = Germ(small, g.order, g.rest, g.level)
    lead = Germ({(whole(-m), 0): head}, level=g.level)
    if isinstance(head, Germ) and not head.terms:  # flat, or beyond every power, at every level
        lead = Germ({(0, 0): head}, level=g.level)
    return lead if u.is_zero() else lead * composed(u, inverse_factorials)


@_method
def _log(g: Germ) -> Germ:
    """The logarithm of what is positive; of t, a multiple of L."""
    refused = g.refused(positive=True)
    if refused is not None:
        return refused
    c, a, u = g.split_at_leading()
    terms = {(0, 0): c.log(), (0, 1): arb(-a.numerator) / a.denominator if a else arb(0)}
    found = Germ({e: x for e, x in terms.items() if sign_of(x) != 0}, level=g.level)
    return found if u.is_zero() else found + composed(u, logarithm)


@_method
def _power(g: Germ, p: Fraction) -> Germ:
    """A power of what is positive (any, if p is whole); of 0, if p is positive."""
    if g.is_zero() and p > 0:
        return g
    if g.rest and not g.terms and not g.bad and g.rest > 0:
        return Germ({}, g.order if p > 0 else -g.order, 1, g.level)
    odd = p.denominator == 1 and int(p) % 2 == 1
    if p.denominator == 1 and g.sign == -1:
        return (-g).power(p) * (-1 if odd else 1)
    refused = g.refused(positive=True)
    if refused is not None:
        return refused
    c, a, u = g.split_at_leading()
    head = c.power(p) if isinstance(c, Germ) else ball_power(c, p)
    lead = Germ({(whole(Fraction(a) * p), 0): head}, level=g.level)
    return lead if u.is_zero() else lead * composed(u, binomials(p))


@_method
def _sqrt(g: Germ) -> Germ:
    """The square root."""
    return g.power(Fraction(1, 2))


@_method
def _root(g: Germ, n: int) -> Germ:
    """The n-th root of what is positive."""
    return g.power(Fraction(1, n))


@_method
def _floor(g: Germ) -> Germ:
    """The largest whole number below."""
    if not g.is_regular:
        return g if g.bad else Germ.unknown(OSCILLATES)
    low, high = (end.floor() for end in (g.constant.lower(), g.constant.upper()))
    least, most = map(whole_number, (low, high))
    if least is None or most is None:
        return Germ.unknown(NOT_TOLD)
    number = Germ(arb(most)).at(g.level)
    if least == most and g.constant > low:  # between two whole numbers
        return number
    sign = (g - number).sign  # at one, or around one
    if sign is None:
        return number.union(Germ(arb(min(least, most - 1))).at(g.level))
    return number if sign >= 0 else Germ(arb(most - 1)).at(g.level)


@_method
def _ceil(g: Germ) -> Germ:
    """The least whole number above."""
    return -((-g).floor())


def _half_pi() -> arb:
    return arb.pi() / 2


@_method
def _expm1(g: Germ) -> Germ:
    if g.bad or g.is_regular:
        return g.analytic(expanded(arb_series.exp, arb.expm1))
    return g.exp() - 1


@_method
def _log1p(g: Germ) -> Germ:
    if not g.bad and g.is_regular and g.constant > -1:
        return g.analytic(expanded(lambda s: (1 + s).log(), arb.log1p))
    return (1 + g).log()


@_method
def _sinh(g: Germ) -> Germ:
    if g.bad or g.is_regular:
        return g.analytic(_alternating(arb.sinh, arb.cosh))
    return (g.exp() - (-g).exp()) / 2


@_method
def _cosh(g: Germ) -> Germ:
    if g.bad or g.is_regular:
        return g.analytic(_alternating(arb.cosh, arb.sinh))
    return (g.exp() + (-g).exp()) / 2


@_method
def _tanh(g: Germ) -> Germ:
    if g.bad or g.is_regular:
        return g.analytic(expanded(lambda s: 1 - 2 / (1 + (2 * s).exp()), arb.tanh))
    return 1 - 2 / (1 + (2 * g).exp())


@_method
def _erf(g: Germ) -> Germ:
    if g.bad or g.is_regular or g.sign is None:
        return g.analytic(expanded(arb_series.erf, arb.erf))
    return Germ({(0, 0): arb(g.sign)}, ENDLESS, level=g.level)


@_method
def _asinh(g: Germ) -> Germ:
    if g.bad or g.is_regular:
        return g.analytic(_integral(lambda s: (1 + s * s).rsqrt(), "asinh"))
    return g.sgn() * (abs(g) + (g * g + 1).sqrt()).log()


@_method
def _acosh(g: Germ) -> Germ:
    if not g.bad and g.is_regular:
        if g.constant > 1:
            return g.analytic(_integral(lambda s: (s * s - 1).rsqrt(), "acosh"))
        if g.constant == 1:
            return 2 * _asinh(((g - 1) / 2).sqrt())
        return Germ.unknown(NO_VALUE if g.constant < 1 else NOT_TOLD)
    return (g + (g * g - 1).sqrt()).log()


@_method
def _asin(g: Germ) -> Germ:
    if g.bad or (g.is_regular and abs(g.constant) < 1):
        return g.analytic(expanded(arb_series.asin, arb.asin))
    if g.is_regular and abs(g.constant) == 1:
        inner = ((1 - abs(g)) / 2).sqrt()
        return g.sgn() * (_half_pi() - 2 * _asin(inner))
    outside = abs(g) > 1
    return Germ.unknown(NO_VALUE if outside else NOT_TOLD)


@_method
def _acos(g: Germ) -> Germ:
    if not g.bad and g.is_regular and abs(g.constant) == 1:
        from_one = 2 * _asin(((1 - abs(g)) / 2).sqrt())
        return from_one if g.constant > 0 else arb.pi() - from_one
    return _half_pi() - _asin(g)


@_method
def _atan(g: Germ) -> Germ:
    if g.bad or g.is_regular:
        return g.analytic(expanded(arb_series.atan, arb.atan))
    if g.sign is None:
        return Germ.unknown(OSCILLATES)
    return g.sgn() * _half_pi() - _atan(1 / g)


@_method
def _atanh(g: Germ) -> Germ:
    if not g.bad and g.is_regular and abs(g.constant) < 1:
        return g.analytic(_integral(lambda s: 1 / (1 - s * s), "atanh"))
    return ((1 + g) / (1 - g)).log() / 2


@_method
def _atan2(y: Germ, x: Germ) -> Germ:
    """By the signs of both; on the negative axis itself +pi, as NumPy says."""
    up, right = y.sign, x.sign
    if up:
        return y.sgn() * _half_pi() - _atan(x / y)
    if right == 1:
        return _atan(y / x)
    if up == 0 and right is not None:
        return Germ(arb.pi()).at(y.level) if right else Germ({}, level=y.level)
    bad = [g for g in (y, x) if g.bad]
    return bad[0] if bad else Germ.unknown(NOT_TOLD)


def _family(value: Callable[[arb, int], arb], factor: Callable[[int], Any]) -> Taylor:
    """A function whose derivatives are multiples, each of the next member of its family."""

    def taylor(c: arb, n: int) -> list[arb]:
        scale, found = arb(1), []
        for k in range(n):
            found.append(value(c, k) * scale)
            scale = scale * factor(k) / (k + 1)
        return found

    return taylor


@_method
def _hypgeom_0f1(z: Germ, a: Any) -> Germ:
    return z.analytic(_family(lambda c, k: c.hypgeom_0f1(a + k), lambda k: 1 / arb(a + k)))


@_method
def _hypgeom_u(z: Germ, a: Any, b: Any) -> Germ:
    p, q = a.constant, b.constant
    return z.analytic(_family(lambda c, k: c.hypgeom_u(p + k, q + k), lambda k: -(p + k)))


@_method
def _zeta(order: Germ, a: Germ) -> Germ:
    """Hurwitz' zeta function, of a constant order."""
    s = order.constant
    return a.analytic(_family(lambda c, k: (s + k).zeta(c), lambda k: -(s + k)))


def _bessel(name: str, sign: int) -> Function:
    """Derivatives are sums over the neighbouring orders."""

    def function(g: Germ, n: int) -> Germ:
        def taylor(c: arb, m: int) -> list[arb]:
            of = [getattr(c, name)(order) for order in range(n - m, n + m + 1)]
            return [
                sum(sign**j * math.comb(k, j) * of[m - k + 2 * j] for j in range(k + 1))
                / arb(2**k * math.factorial(k))
                for k in range(m)
            ]

        return g.analytic(taylor)

    return function


@_method
def _digamma(g: Germ) -> Germ:
    return g.analytic(
        lambda c, n: [c.digamma(), *[-((-1) ** k) * arb(k + 1).zeta(c) for k in range(1, n)]]
    )


@_method
def _erfc(g: Germ) -> Germ:
    regular = g.bad or g.is_regular
    return g.analytic(expanded(arb_series.erfc, arb.erfc)) if regular else 1 - g.erf()


def _gamma(name: str) -> Function:
    taylor = expanded(lambda s: getattr(s, name)(), lambda c: getattr(c, name)())
    return lambda g: g.analytic(taylor) if g.bad or g.is_regular else Germ.unknown(BEYOND)


def _inverse_erf(c: arb, n: int) -> list[arb]:
    """The series of erf around the value, reversed."""
    value = c.erfinv()
    ahead = list(arb_series([value, 1], prec=max(n, 2)).erf())[1:]
    found = list(arb_series([0, *ahead], prec=max(n, 2)).reversion())
    return [value, *found[1:], *[arb(0)] * n][:n]


# -- choices ---------------------------------------------------------------------------------------


@_method
def _union(g: Germ, other: Any) -> Germ:
    """A germ that holds both, coefficient by coefficient."""
    a, b = alike(g, other)
    if a.bad or b.bad:
        return worse(a, b)
    order = least(a.order, b.order)
    zero = arb(0) if a.level == 1 else Germ({})
    terms = {e: a.terms.get(e, zero).union(b.terms.get(e, zero)) for e in {**a.terms, **b.terms}}
    return made(terms, order, a.rest if a.rest == b.rest else 0, a.level)


@_method
def _sgn(g: Germ) -> Germ:
    """-1, 0 or 1; all of them where it is open."""
    if g.bad:
        return g
    sign = g.sign
    ball = arb(0, 1) if sign is None else arb(sign)
    return Germ({(0, 0): ball} if sign != 0 else {}, level=g.level)


@_method
def _max(g: Germ, other: Any) -> Germ:
    """The larger one; both where that is open."""
    a, b = alike(g, other)
    sign = (a - b).sign
    return a.union(b) if sign is None else a if sign >= 0 else b


@_method
def _min(g: Germ, other: Any) -> Germ:
    """The smaller one; both where that is open."""
    return -((-g).max(-other))


FUNCTIONS.update(
    sin=_oscillating("sin"),
    cos=_oscillating("cos"),
    tan=_everywhere("tan"),
    gamma=_gamma("gamma"),
    lgamma=_gamma("lgamma"),
    bessel_i=_bessel("bessel_i", 1),
    bessel_j=_bessel("bessel_j", -1),
    erfinv=lambda g: g.analytic(_inverse_erf),
)
