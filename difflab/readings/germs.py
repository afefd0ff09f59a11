"""A germ: what a number is just to one side of a point, as a short series in t -> 0+.

    sum of c_k t^a_k L^b_k + O(t^order),   L = log(1/t)

with balls (or, one level up, germs) as coefficients, rational exponents and whole powers of L. What
flows: germs have the methods of balls, so a row's ball cell reads them as it is. The invariant: the
real number that a germ stands for lies in it for every t small enough, and it is compared by its
first coefficient that is not exactly 0, so that nothing is decided by a tolerance. A germ without a
value (NaN) and one of which nothing is known are told apart.

>>> import difflab.readings.germ_functions  # the elementary ones
>>> t = Germ.parameter()
>>> (1 + t).log()
t - 1/2 t^2 + ... + O(t^5)
>>> (t.sqrt() * t.log()).sign, (t * t - t).sign, (t - t).sign
(-1, -1, 0)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from typing import Any, Final

from flint import arb

from difflab.errors import Line
from difflab.readings.germ_series import (
    ENDLESS,
    MOST_INNER,
    MOST_TERMS,
    Exponent,
    binomials,
    least,
    rank,
    terms,
    whole,
)

Ball = arb
FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {}
"""The elementary functions of germs (germ_functions.py), by the names of the balls' methods."""
MOST_BITS: Final = 2**16  # of a fraction
NO_VALUE: Final = "no value"
NOT_TOLD: Final = "more digits are needed than were computed"
OSCILLATES: Final = "beside the point the function may oscillate without settling"
LOGARITHMS: Final = "beside the point logarithms stand within logarithms, or under a fraction"
BEYOND: Final = "beside the point the function grows or falls beyond every power"


class Germ:
    """A series in t; `Germ(2)` is a constant.

    `order` is the exponent of what is left out: None where nothing is, infinity where it is smaller
    than every power (or larger than every power, if negative); then `rest` is its sign, or 0.
    `level` 2 is a germ in a second, much smaller parameter, with germs as coefficients.
    """

    __slots__ = ("bad", "level", "line", "order", "rest", "terms")
    terms: dict[Exponent, Any]

    def __init__(
        self, terms: Any, order: Any = None, rest: int = 0, level: int = 1, bad: str = ""
    ) -> None:
        if not isinstance(terms, dict):
            ball = arb(terms)
            terms = {} if ball.is_zero() else {(0, 0): ball}
        self.terms, self.order, self.rest, self.level, self.bad = terms, order, rest, level, bad
        self.line: Line | None = None
        """Where it went bad."""

    @classmethod
    def parameter(cls, level: int = 1, sign: int = 1) -> Germ:
        """t itself, or -t."""
        return cls({(1, 0): arb(sign)}, level=level)

    @classmethod
    def unknown(cls, reason: str) -> Germ:
        """A germ of which nothing is known, and why."""
        return cls({}, bad=reason)

    # -- what it looks like ------------------------------------------------------------------------

    @property
    def sign(self) -> int | None:
        """The sign for all small t; None where it is open."""
        if self.bad:
            return None
        if self.terms:
            return sign_of(self.terms[self.leading])
        return 0 if self.order is None else self.rest or None

    @property
    def leading(self) -> Exponent:
        """The exponent of the term that dominates."""
        return min(self.terms, key=rank)

    @property
    def valuation(self) -> Any:
        """The exponent of t that it begins with."""
        return self.leading[0] if self.terms else self.order

    @property
    def constant(self) -> arb:
        """The number that it tends to; 0 where there is no such term."""
        found = self.terms.get((0, 0), arb(0))
        return found.constant if isinstance(found, Germ) else found

    @property
    def is_regular(self) -> bool:
        """Whether it tends to a number, at every level."""
        order = self.order is None or self.order > 0
        head = self.terms.get((0, 0))
        return (
            not self.bad
            and order
            and all(a > 0 or (a, b) == (0, 0) for a, b in self.terms)
            and (not isinstance(head, Germ) or head.is_regular)
        )

    @staticmethod
    def atan2(y: Any, x: Any) -> Germ:
        """The angle of a point, as the balls have it."""
        found: Germ = FUNCTIONS["atan2"](*alike(y, x))
        return found

    def __getattr__(self, name: str) -> Callable[..., Germ]:
        function = FUNCTIONS.get(name)
        if function is None:
            raise AttributeError(f"germs have no {name}")
        return partial(function, self)

    def __repr__(self) -> str:
        if self.bad:
            return f"<germ: {self.bad}>"
        parts = [_term(c, e) for e, c in sorted(self.terms.items(), key=lambda x: rank(x[0]))]
        if self.order is not None:
            parts.append(f"O(t^{self.order})")
        return " + ".join(parts or ["0"]).replace("+ -", "- ")

    # -- what balls are asked ----------------------------------------------------------------------

    def is_zero(self) -> bool:
        """Whether it is exactly 0."""
        return not self.bad and not self.terms and self.order is None

    def is_nan(self) -> bool:
        """Whether it has no value."""
        return self.bad == NO_VALUE

    def is_finite(self) -> bool:
        """Whether it has a value for every small t."""
        return not self.bad

    def is_exact(self) -> bool:
        """Whether more digits would tell no more."""
        return bool(self.bad) or exactly(self) is not None

    def man_exp(self) -> Any:
        """The mantissa and the exponent of an exact constant."""
        return self.constant.man_exp()

    def mid(self) -> arb:
        """The centre of the ball that it tends to."""
        return self.constant.mid()

    def contains(self, number: Any) -> bool:
        """Whether it may be a number."""
        return self._to(number) in (0, None)

    def rad(self) -> float:
        """A germ is as narrow as can be."""
        return 0.0

    def _to(self, other: Any) -> int | None:
        """The sign of the difference."""
        gap: Germ = self - other
        return gap.sign

    def __gt__(self, other: Any) -> bool:
        return self._to(other) == 1

    def __lt__(self, other: Any) -> bool:
        return self._to(other) == -1

    def __ge__(self, other: Any) -> bool:
        return self._to(other) in (0, 1)

    def __le__(self, other: Any) -> bool:
        return self._to(other) in (0, -1)

    def __eq__(self, other: object) -> bool:
        return self._to(other) == 0

    def __ne__(self, other: object) -> bool:
        return self._to(other) in (-1, 1)

    __hash__ = None  # type: ignore[assignment]

    # -- arithmetic --------------------------------------------------------------------------------

    def __neg__(self) -> Germ:
        return self._times(arb(-1), -1)

    def __add__(self, other: Any) -> Germ:
        if type(other) is arb and self._takes(other):
            total = self.terms[0, 0] + other if (0, 0) in self.terms else other
            terms = self.terms | {(0, 0): total}
            if sign_of(total) == 0:
                del terms[0, 0]
            return Germ(terms, self.order, self.rest if not terms else 0, self.level)
        a, b = alike(self, other)
        if a.bad or b.bad:
            return worse(a, b)
        order = least(a.order, b.order)
        terms = dict(a.terms)
        for exponent, c in b.terms.items():
            total = terms[exponent] + c if exponent in terms else c
            if sign_of(total) == 0:
                terms.pop(exponent, None)
            else:
                terms[exponent] = total
        rests = {x.rest for x in (a, b) if x.order == order}
        return made(terms, order, rests.pop() if len(rests) == 1 else 0, a.level)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Germ:
        if self is other and not self.bad:
            return Germ({}, level=self.level)
        return self + -germ(other)

    def __rsub__(self, other: Any) -> Germ:
        return germ(other) - self

    def __mul__(self, other: Any) -> Germ:
        if type(other) is arb and not self.rest and self._takes(other) and sign_of(other):
            return self._times(other, 0)
        a, b = alike(self, other)
        if a.bad or b.bad:
            return worse(a, b)
        if a.is_zero() or b.is_zero():
            return Germ({}, level=a.level)
        orders = [
            x.order if x.order is None else y.valuation + x.order for x, y in ((a, b), (b, a))
        ]
        order = least(*orders)
        if order is not None and order != order:
            return Germ.unknown(BEYOND)
        terms: dict[Exponent, Any] = {}
        for (p, k), c in a.terms.items():
            for (q, m), d in b.terms.items():
                exponent = (whole(p + q), k + m)
                if order is None or exponent[0] < order:
                    product = c * d
                    terms[exponent] = terms[exponent] + product if exponent in terms else product
        terms = {e: c for e, c in terms.items() if sign_of(c) != 0}
        return made(terms, order, (a.sign or 0) * (b.sign or 0), a.level)

    __rmul__ = __mul__

    def _takes(self, ball: arb) -> bool:
        """Whether a number may simply be added or multiplied: the common case, made fast."""
        return not self.bad and (self.order is None or self.order > 0) and bool(ball.is_finite())

    def _times(self, c: Any, sign: int) -> Germ:
        terms = {e: c * d for e, d in self.terms.items()}
        found = Germ(terms, self.order, sign * self.rest, self.level, self.bad)
        found.line = self.line
        return found

    def split_at_leading(self) -> tuple[Any, Any, Germ]:
        """c, a and u in c t^a (1 + u)."""
        a, c = self.valuation, self.terms[self.leading]
        rest = {(whole(p - a), k): d / c for (p, k), d in self.terms.items() if (p, k) != (a, 0)}
        order = None if self.order is None else self.order - a
        return c, a, Germ(rest, order, level=self.level)

    def refused(self, positive: bool) -> Germ | None:
        """What a quotient or a root of it is where there is no first term to divide by."""
        if self.bad:
            return self
        if self.is_zero():
            return Germ.unknown(NO_VALUE)
        if not self.terms:
            return Germ.unknown(BEYOND if self.rest else NOT_TOLD)
        if self.leading[1]:
            return Germ.unknown(LOGARITHMS)
        sign = sign_of(self.terms[self.leading])
        if positive and sign == -1:
            return Germ.unknown(NO_VALUE)
        return Germ.unknown(NOT_TOLD) if sign is None else None

    def __truediv__(self, other: Any) -> Germ:
        a, b = alike(self, other)
        if a.bad or b.bad:
            return worse(a, b)
        if a is b and a.sign:
            return Germ({(0, 0): arb(1)}, level=a.level)
        if not b.terms and b.rest and a.terms:  # by what is flat, or beyond every power
            return Germ({}, -b.order, (a.sign or 0) * b.rest, a.level)
        refused = b.refused(positive=False)
        if refused is not None:
            return Germ({}, level=a.level) if a.is_zero() and not b.is_zero() else refused
        c, shift, u = b.split_at_leading()
        terms = {(whole(p - shift), k): d / c for (p, k), d in a.terms.items()}
        order = None if a.order is None else a.order - shift
        quotient = made(terms, order, a.rest * (sign_of(c) or 0), a.level)
        return quotient if u.is_zero() else quotient * composed(u, binomials(Fraction(-1)))

    def __rtruediv__(self, other: Any) -> Germ:
        return alike(self, other)[1] / self

    def __pow__(self, exponent: Any) -> Germ:
        p = exactly(exponent)
        if p is None:
            if self.is_zero() and alike(self, exponent)[1].sign == 1:
                return Germ({}, level=self.level)
            return germ(self.log() * exponent).exp()
        if p.denominator == 1 and abs(p) <= 64:
            found: Germ = Germ({(0, 0): arb(1)}, level=self.level)
            for _ in range(abs(int(p))):
                found = found * self
            return found if p >= 0 else found.inverse()
        return self.power(p)

    def inverse(self) -> Germ:
        """1 over it."""
        return Germ({(0, 0): arb(1)}, level=self.level) / self

    def __rpow__(self, base: Any) -> Germ:
        return (alike(self, base)[1].log() * self).exp()

    def at(self, level: int) -> Germ:
        """A constant at another level."""
        if self.level == level or self.bad:
            return self
        return Germ({} if self.is_zero() else {(0, 0): self}, level=level)

    def __abs__(self) -> Germ:
        if self.sign is None:
            return germ(self.union(-self))
        return -self if self.sign < 0 else self


def sign_of(c: Any) -> int | None:
    """The sign of a coefficient; 0 only where it is exactly that, None where it is open."""
    if isinstance(c, Germ):
        return c.sign
    if c.is_zero():
        return 0
    return 1 if c > 0 else -1 if c < 0 else None


def germ(x: Any) -> Germ:
    """A number, a ball or a germ as a germ; what is infinite is beyond every power."""
    if isinstance(x, Germ):
        return x
    ball = x if isinstance(x, arb) else arb(float(x))
    if ball.is_finite():
        return Germ({} if ball.is_zero() else {(0, 0): ball})
    if ball.is_nan():
        return Germ.unknown(NO_VALUE)
    return Germ({}, -ENDLESS, 1 if ball > 0 else -1 if ball < 0 else 0)


def alike(a: Any, b: Any) -> tuple[Germ, Germ]:
    """Both as germs of the same level."""
    a, b = germ(a), germ(b)
    if a.level == b.level:
        return a, b
    level = max(a.level, b.level)
    return a.at(level), b.at(level)


def worse(a: Germ, b: Germ) -> Germ:
    """The bad one of two: what is not known weighs more than what has no value."""
    return a if a.bad and (a.bad != NO_VALUE or not b.bad) else b


def made(terms: dict[Exponent, Any], order: Any, rest: int, level: int) -> Germ:
    """A germ without the terms that its order, or the number of terms, leaves out."""
    if order is not None:
        terms = {e: c for e, c in terms.items() if e[0] < order}
    if len(terms) > MOST_TERMS:
        ranked = sorted(terms, key=rank)
        order = least(order, ranked[MOST_TERMS][0])
        terms = {e: terms[e] for e in ranked if e[0] < order}
    if not all(c.is_finite() for c in terms.values()):
        bad = [c for c in terms.values() if isinstance(c, Germ) and c.bad]
        return bad[0] if bad else Germ.unknown(NOT_TOLD)
    endless = order is not None and abs(order) == ENDLESS
    return Germ(terms, order, rest if endless else 0, level)


def exactly(number: Any) -> Fraction | None:
    """A number as a fraction, if it is one exactly."""
    if isinstance(number, Germ):
        if number.bad or number.order is not None or set(number.terms) - {(0, 0)}:
            return None
        return exactly(number.terms.get((0, 0), arb(0)))
    ball = number if isinstance(number, arb) else arb(float(number))
    if not (ball.is_finite() and ball.is_exact()):
        return None
    mantissa, exponent = ball.man_exp()
    if abs(exponent) > MOST_BITS:
        return None
    return Fraction(int(mantissa)) * Fraction(2) ** int(exponent)


def _term(c: Any, exponent: Exponent) -> str:
    a, b = exponent
    number = repr(c) if isinstance(c, Germ) else _number(c)
    power = "".join([f" t^{a}" * (a != 0), f" L^{b}" * (b != 0)]).replace("^1", "")
    return f"({number}){power}" if isinstance(c, Germ) else (
        power.strip() if power and number == "1" else number + power
    )  # fmt: skip


def _number(c: arb) -> str:
    exact = exactly(c)
    return str(exact) if exact is not None and exact.denominator < 100 else str(c.str(6))


# -- composition -----------------------------------------------------------------------------------


def powers_kept(u: Germ) -> int:
    """How many powers of a small germ are kept."""
    valuation = u.valuation
    if valuation is None or valuation == ENDLESS:
        return 2
    kept = terms() if u.level == 1 else min(terms(), MOST_INNER)
    return max(2, math.ceil(kept / Fraction(valuation)) + 1)


def composed(u: Germ, coefficients: Callable[[int], Sequence[Any]]) -> Germ:
    """A power series in a germ that tends to 0."""
    if u.is_zero():
        return germ(coefficients(1)[0]).at(u.level)
    n = powers_kept(u)
    *lower, last = [germ(c).at(u.level) for c in coefficients(n)]
    found = last
    for c in reversed(lower):
        found = found * u + c
    if found.bad:
        return found
    return made(found.terms, least(found.order, n * u.valuation), found.rest, u.level)
