"""The values of a function on both sides of a point, by level of step, and their noise.

What flows: phi and a scale go in; asked for levels, phi is called at +t and -t, t = FIRST * scale /
2^level but for a few bits, and the values are kept. Two *probes* are so fine that a smooth phi is
straight there. Tables of differences, beside the point and at steps that matter, and a shaken point
measure the noise. The invariant: no step is the power of another, and sums with steps are exact.

>>> samples = Samples(np.exp, 1.0, 1.0, np.dtype(float))
>>> samples.take(0, 1)
>>> print(samples.levels, samples.evaluations, samples.side(1) > samples.side(-1))
[0, 1] 5 [ True  True]
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial
from typing import Any, Final

import numpy as np

from difflab.ir.expr import Array
from difflab.methods.differences.calls import OUTSIDE, in_the_reals
from difflab.methods.differences.noise import column, deviation

FIRST: Final = 0.2371
"""The largest step, relative to the scale: not round, so that no period divides it."""
SPREAD: Final = 0.5
"""By how many levels, at most, the steps are off the powers of two."""
BESIDE, THERE = 6, 4
"""Values in the table of differences beside the point, and in those at the winning steps."""


class Samples:
    """Values of phi on both sides of 0, by level."""

    def __init__(
        self,
        phi: Callable[[float], Any],
        scale: float,
        near: float,
        dtype: np.dtype[Any],
        stated: float = 0.0,
        shaken: Callable[[int, float], Any] | None = None,
    ) -> None:
        self.stated, self.shaken = stated, shaken
        self.phi, self.scale, self.near, self.dtype = phi, scale, near, dtype
        self.eps = float(np.finfo(dtype).eps)
        self.probes, self.deep = (
            ((17, 27), (34, 41, 48)) if self.eps < 1e-10 else ((8, 12), (15, 18, 21))
        )
        self.evaluations = 0
        self.shape: tuple[int, ...] = ()
        self.middle = self._value(0.0)
        self.shape = self.middle.shape
        self.sides: dict[int, dict[int, Array]] = {1: {}, -1: {}}
        self.deviation = np.zeros_like(self.middle)
        """Of the noise, as far as tables of differences have shown it."""

    def _value(self, t: float, phi: Callable[[float], Any] | None = None) -> Array:
        """phi(t), with NaN outside the domain."""
        self.evaluations += 1
        try:
            found = np.asarray((phi or self.phi)(t))
        except OUTSIDE:
            return np.full(self.shape, np.nan)
        found = in_the_reals(found).astype(np.float64)
        return np.where(np.isfinite(found), found, np.nan)

    def step(self, level: int) -> float:
        """The step of a level, rounded so that near + t is exact."""
        return self._exact(self.near, math.ldexp(_uneven(level) * self.scale, -level))

    def _exact(self, base: float, t: float) -> float:
        """About t, so that base + t is exact."""
        start = self.dtype.type(base)
        return float(self.dtype.type(start + self.dtype.type(t)) - start)

    def allows(self, level: int) -> bool:
        """Whether a level is new, and its steps are some units in the last place at least."""
        return level not in self.sides[1] and self.step(level) > 8.0 * max(
            self.eps * self.near, float(np.finfo(self.dtype).tiny)
        )

    def take(self, *levels: int) -> None:
        """Evaluate at some levels, finest first; a side that has ended has ended."""
        for level in sorted(filter(self.allows, levels), reverse=True):
            for sign, side in self.sides.items():
                ended = any(np.all(np.isnan(side[k])) for k in side if k > level)
                side[level] = (
                    np.full(self.shape, np.nan) if ended else self._value(sign * self.step(level))
                )

    @property
    def natural(self) -> int:
        """The level whose steps are of the size of the number that they are added to."""
        return round(math.log2(self.scale) - math.log2(self.near)) if self.near else 0

    def spacing(self, start: float = 0.0) -> float:
        """Of a table of differences from a step on: of many bits, for where the last bits of its
        points were the same, so would be the roundings of a sum; but so that its sums are exact.
        """
        finest = self.scale if self.natural < 1 else self.near
        t = math.ldexp(_uneven(self.probes[-1]) * finest, -self.probes[-1])
        return self._exact(self.near + start, t)

    def shift(self, level: int, sign: int) -> Array:
        """The deviation of the central quotient at a level while the point is shaken."""
        if self.shaken is None:
            return np.zeros(self.shape)
        t, quotients = self.step(level), [self.sides[1][level] - self.sides[-1][level]]
        for k in range(1, THERE):
            at = partial(self.shaken, sign * k)
            quotients.append(self._value(t, at) - self._value(-t, at))
        return column(np.stack(quotients), 2) / (2.0 * t)

    def look_beside(self) -> None:
        """Measure the noise by a table on one side of the point, where a kink does not disturb."""
        ended = all(np.all(np.isnan(v)) for v in self.sides[1].values())
        sign = -1 if ended else 1
        spacing, finest = self.spacing(), self.probes[-1]
        shared = finest in self.sides[sign] and spacing == self.step(finest)
        first = [self.sides[sign][finest]] if shared else []
        steps = range(1 + len(first), 1 + BESIDE)
        values = first + [self._value(sign * k * spacing) for k in steps]
        self.deviation = np.fmax(self.deviation, deviation(np.stack(values)))

    def look_at(self, level: int | None) -> bool:
        """Measure the noise by tables on both sides, at the steps of a level."""
        if level is None:
            return False
        for sign, side in self.sides.items():
            t = self.step(level)
            spacing = self.spacing(t)
            more = [self._value(sign * (t + k * spacing)) for k in range(1, THERE)]
            found = column(np.stack([side[level], *more]), THERE - 1)
            self.deviation = np.fmax(self.deviation, found)
        return True

    @property
    def levels(self) -> list[int]:
        """The levels so far, from coarse to fine."""
        return sorted(self.sides[1])

    def side(self, sign: int) -> Array:
        """Values of one side from coarse to fine, NaN from the end of the domain on."""
        values = np.stack([self.sides[sign][k] for k in self.levels])
        inside = np.logical_and.accumulate(np.isfinite(values)[::-1])[::-1]
        return np.where(inside, values, np.nan)


@cache
def _uneven(level: int) -> float:
    """About FIRST. Steps must not be the powers of one number: a function that repeats itself at
    every power of it would seem to have a limit.
    """
    return FIRST * math.exp2(SPREAD * (level * 0.6180339887498949 % 1.0 - 0.5) if level else 0.0)
