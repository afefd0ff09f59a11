"""What the two sides of a point say of one component of a derivative.

What flows: the germ of an output on each side, and its value between them, become a `Partial`: the
derivative where both slopes agree with each other and the value with both limits, else the verdict
that says what there is instead. The invariant: two numbers are apart only where their balls are, by
more than floats can tell; what is neither apart nor sharp is undecided.

>>> t, value = Germ.parameter(), Ball(0)
>>> found = first_partial(value, [one_sided(-t, -1), one_sided(t, 1)])
>>> found.verdict, found.left, found.right
('smooth', 1.0, 1.0)
>>> first_partial(value, [one_sided(t, -1), one_sided(t, 1)]).verdict
'kink'
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from difflab.errors import Line
from difflab.ir.build import FLOAT64
from difflab.readings.balls import LEAST, is_sharp
from difflab.readings.germ_series import Exponent, rank
from difflab.readings.germs import (
    NO_VALUE,
    NOT_TOLD,
    Ball,
    Germ,
    germ,
    sign_of,
)

Regularity = Literal["smooth", "one-sided", "infinite", "kink", "jump", "undefined", "undecided"]
REGULARITIES: Final[tuple[Regularity, ...]] = (
    "smooth", "one-sided", "infinite", "kink", "jump", "undefined", "undecided",
)  # fmt: skip
"""From the best to the worst."""

MEETS: Final = 2.0**-50
"""Two sides that differ by less than this, relatively, meet as far as floats can tell."""
OSCILLATES: Final = "beside the point the slope may oscillate without settling"
UNSETTLED: Final = "beside the point the function does not settle"
NO_SLOPE: Final = "the first derivative jumps"


@dataclass(frozen=True, slots=True)
class Partial:
    """What one component of a derivative is, where it reaches a suspect."""

    verdict: Regularity
    ball: Ball
    """The derivative; NaN where there is none, or it is not known."""
    left: float = math.nan
    right: float = math.nan
    """The slopes from either side; the values, at a jump."""
    reason: str = ""
    line: Line | None = None
    hull: Ball | None = None
    """Where the derivative lies if there is one, where that is not known."""

    def __repr__(self) -> str:
        return f"<partial derivative: {self.verdict}>"

    @property
    def exists(self) -> bool:
        """Whether there is a finite derivative, from both sides."""
        return self.verdict == "smooth"


def undecided(reason: str, line: Line | None = None) -> Partial:
    """Nothing is known, and why."""
    return Partial("undecided", Ball("nan"), reason=reason, line=line)


@dataclass(frozen=True, slots=True)
class OneSided:
    """What a germ says of the function on one side: its limit, and its slope to that side."""

    limit: Ball | None = None
    """What the value tends to; None where that is infinity."""
    slope: Ball | None = None
    steep: int = 0
    """The sign of a slope that is infinite."""
    reason: str = ""
    line: Line | None = None

    @property
    def outside(self) -> bool:
        """Whether the function has no value on that side."""
        return self.reason == NO_VALUE

    @property
    def end(self) -> float:
        """The limit as a float; NaN where it is infinity."""
        return math.nan if self.limit is None else float(self.limit)

    @property
    def number(self) -> float:
        """The slope as a float, or infinity; NaN where there is none."""
        if self.slope is not None:
            return float(self.slope)
        return math.copysign(math.inf, self.steep) if self.steep else math.nan

    def jumps(self, value: Ball) -> bool:
        """Whether the function certainly tends to another value, or to infinity."""
        return not self.reason and (self.limit is None or _apart(self.limit, value))

    def contradicts(self, value: Ball, slope: Ball) -> bool:
        """Whether the function certainly goes on another way than from a value with a slope."""
        if self.reason:
            return False
        return self.jumps(value) or self.slope is None or _apart(self.slope, slope)


def one_sided(g: Germ, side: int) -> OneSided:
    """What a germ in t says, where the point moves by t, or by -t to the left."""
    if g.bad:
        return OneSided(reason=g.bad, line=g.line)
    ranked = sorted(g.terms, key=rank)
    head = ranked[0] if ranked else (0, 0)
    if head[0] < 0 or (head[0] == 0 and head[1] > 0):
        return OneSided() if sign_of(g.terms[head]) else OneSided(reason=NOT_TOLD)
    if g.order is not None and g.order <= 0:
        return OneSided(reason=UNSETTLED)
    limit = g.terms.get((0, 0), Ball(0))
    steep = next(filter(_is_steep, ranked), None)
    if steep is not None:
        sign = sign_of(g.terms[steep])
        return OneSided(limit, steep=side * sign) if sign else OneSided(reason=NOT_TOLD)
    if g.order is not None and g.order <= 1:
        return OneSided(limit, reason=OSCILLATES)
    return OneSided(limit, side * g.terms.get((1, 0), Ball(0)))


def first_partial(value: Any, sides: Sequence[OneSided]) -> Partial:
    """The verdict on a component, by what is seen to its left and right and the value between."""
    nothing = Ball("nan")
    if isinstance(value, Germ):
        return undecided(value.bad, value.line)
    if not value.is_finite():
        return Partial("undefined", nothing, reason=NO_VALUE)
    for side in sides:
        if side.reason and not side.outside:
            return undecided(side.reason, side.line)
    inside = [side for side in sides if not side.outside]
    if not inside:
        return Partial("undefined", nothing, reason="the point is isolated in the domain")
    if any(side.jumps(value) for side in inside):
        low, high = (side.end for side in sides)
        return Partial("jump", nothing, low, high)
    if not all(_meets(side.limit, value) for side in inside):
        return undecided("which way a choice goes beside the point cannot be told")
    left, right = (side.number for side in sides)
    if len(inside) == 1:
        (only,) = inside
        ball = Ball(only.number) if only.slope is None else only.slope
        return Partial("one-sided", ball, left, right, "the domain ends here")
    first, second = (side.slope for side in sides)
    if first is None or second is None:
        if left == right:
            return Partial("infinite", Ball(left), left, right)
        return Partial("kink", nothing, left, right)
    if _apart(first, second):
        return Partial("kink", nothing, left, right)
    hull = first.union(second)
    if is_sharp(hull, FLOAT64) or not first.overlaps(second):
        return Partial("smooth", hull, left, right)
    low, high = float(hull.lower()), float(hull.upper())
    reason = f"if there is a derivative, it lies between {low:.6g} and {high:.6g}"
    return Partial("undecided", nothing, reason=reason, hull=hull)


def slope_beside(here: Germ, sides: Sequence[Germ], side: int) -> OneSided:
    """What is seen of a first derivative to one side of the point: `here` is the function there, by
    germs, and `sides` are its own two sides, by germs of level 2, which must agree.
    """
    if here.bad:
        return OneSided(reason=here.bad, line=here.line)
    slopes, outside = [], None
    for g, sign in zip(sides, (-1, 1), strict=True):
        if g.bad:
            outside = OneSided(reason=g.bad, line=g.line)
            if not outside.outside:
                return outside
            continue
        if any(map(_is_steep, g.terms)):
            return OneSided(reason=NO_SLOPE)
        continuous = _agree(germ(g.terms.get((0, 0), Ball(0))), here)
        if continuous is None or (g.order is not None and g.order <= 1):
            return OneSided(reason=NOT_TOLD)
        if not continuous:
            return OneSided(reason=NO_SLOPE)
        slopes.append(germ(g.terms.get((1, 0), Ball(0))) * sign)
    if not slopes:
        return outside or OneSided(reason=NO_VALUE)
    left, right = slopes[0], slopes[-1]
    if _agree(left, right) is False:
        return OneSided(reason=NO_SLOPE)
    return one_sided(left.union(right), side)


def second_partial(value: Ball, sides: Sequence[OneSided]) -> Partial:
    """The verdict on a second derivative, by the first one at the point and beside it."""
    found = first_partial(value, sides)
    if found.verdict == "jump" or any(side.reason == NO_SLOPE for side in sides):
        low, high = (side.end for side in sides)
        return Partial("kink", Ball("nan"), low, high, NO_SLOPE)
    return found


def _is_steep(exponent: Exponent) -> bool:
    """Whether a term's slope is infinite, or its value is."""
    a, logs = exponent
    return exponent != (0, 0) and (a < 1 or (a == 1 and logs > 0))


def _apart(a: Ball, b: Ball) -> bool:
    """Whether two numbers certainly differ by more than floats can tell."""
    size = abs(a).union(abs(b)).abs_upper()
    return bool(abs(a - b) > MEETS * size)


def _meets(a: Ball | None, b: Ball) -> bool:
    """Whether two numbers certainly differ by no more than floats can tell."""
    if a is None:
        return False
    gap = abs(a - b)
    return bool(gap <= MEETS * abs(b) or gap < Ball(2) ** LEAST)


def _agree(a: Germ, b: Germ) -> bool | None:
    """Whether two germs are one, as far as floats can tell; None where that is open."""
    gap = a - b
    if gap.bad:
        return None
    pairs = [(c, b.terms.get(e, Ball(0))) for e, c in gap.terms.items()]
    if all(isinstance(c, Ball) and _meets(c + d, d) for c, d in pairs):
        return True
    return False if gap.sign else None
