"""The derivative along a line of a function that can only be called, with an honest error band.

What flows: values of phi at 0 and at pairs of points +t and -t become difference quotients, and the
quotients a limit at t = 0 with its band (limits.py). The odd and the even part of phi give series
in t^2, the one-sided quotients series in t. Steps lie on one ladder, t = FIRST * scale / 2^level: a
few coarse ones to extrapolate from, and two *probes* so fine that a smooth phi is straight there.
The probes measure the noise, tell kinks, and have the last word on what the coarse steps say, so
that a step that suits a period by accident, or a front narrower than the steps, cannot pass for a
smooth function. Where the band can be narrowed, levels are added one by one.

The invariant: the true derivative lies within ``value +- error``, or the error is infinite. A value
that is not finite, or an exception, ends the domain: nothing at or beyond it enters a result.

>>> line = along(np.exp, scale=1.0, dtype=np.dtype(float))
>>> print(abs(line.value - 1.0) <= line.error < 1e-12, line.evaluations < 32)
True True
>>> line = along(abs, scale=1.0, dtype=np.dtype(float))
>>> print(line.kink, line.left, line.right, line.value, line.error >= 1.0)
True -1.0 1.0 0.0 True
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final

import numpy as np

from difflab.ir.expr import Array
from difflab.methods.differences.limits import Limit, limit
from difflab.methods.differences.noise import probed
from difflab.methods.differences.samples import Samples

DENSE: Final = (0, 1, 2, 3, 4)
"""The levels that extrapolation starts from."""
SIDED: Final = 4.0
"""Safety of one-sided quotients, in which a noise that is underrated looks like a kink."""
BUDGET: Final = 100
"""Evaluations after which no level is added."""
SHAKEN, JUMP = 4.0, 1e-3
"""How many deviations under shaking a slope may be wrong, and which of them are looked at twice."""
TABLE: Final = 2.5
"""How many standard deviations of the noise a value may be wrong."""
COARSE: Final = 12
"""The last level of the coarse window of steps."""
EVERY: Final = slice(None)
CLEAR, STRONG = 8.0, 2.0**-15
"""One-sided slopes make a kink where they differ by so many times what windows of steps disagree
about them, or by so much of themselves.
"""
WILD: Final = 0.1
"""The largest part of the values that their noise may be (Moré & Wild 2011)."""
PATIENCE: Final = 7
"""Levels that may be added without a narrower band."""


@dataclass(frozen=True, slots=True)
class LineEstimate:
    """A derivative along a line at t = 0; all arrays have the output's shape."""

    value: Array
    """The derivative; NaN where none could be had."""
    error: Array
    """The half-width of the band: |value - truth| <= error; inf where nothing is known."""
    left: Array
    """The first derivative from the left; NaN where there is none."""
    right: Array
    """The first derivative from the right."""
    kink: Array
    """Whether the one-sided derivatives certainly differ, or the value jumps."""
    sides: Array
    """How many sides of the point lie in the domain: 2, 1 or 0."""
    evaluations: int
    """Calls of phi."""
    spread: Array
    """How far coarse and fine steps, or the two sides, disagree about the first derivative beyond
    their bands: a sign of an error in phi that is no rounding. NaN where it cannot be told.
    """


def along(
    phi: Callable[[float], Any],
    *,
    scale: float,
    dtype: np.dtype[Any],
    order: int = 1,
    near: float = 0.0,
    noise: float = 0.0,
    shaken: Callable[[int, float], Any] | None = None,
) -> LineEstimate:
    """The derivative of phi at 0, with an honest error band.

    At a kink the value is the mean of the one-sided derivatives, and the band holds both.

    Parameters
    ----------
    phi
        From a step to an array or a number; it may return NaN or infinity, or raise ArithmeticError
        or ValueError, outside its domain.
    scale
        The size of step over which phi may be smooth; finer ones are found.
    dtype
        In which phi is computed: its rounding is the least noise that is assumed.
    order
        Which derivative, 1 to 4.
    near
        The number that the steps are added to: a second scale, and the limit of fine steps.
    noise
        How wrong each value may be, beyond the rounding that is measured.
    shaken
        From a number k and a step to phi of a point that is k small shifts away in what else phi
        depends on: how the slope scatters shows the roundings that stay the same along the line.
    """
    with np.errstate(all="ignore"):
        scale = 2.0 ** round(math.log2(max(scale, abs(near))))
        samples = Samples(phi, scale, abs(near), dtype, noise, shaken)
        samples.take(*DENSE, *samples.probes)
        samples.look_beside()
        reading, patience = _Reading(samples, order), PATIENCE
        while samples.evaluations < BUDGET and patience:
            levels = next(reading.wanted(), ())
            if not levels:
                break
            samples.take(*levels)
            before, reading = reading, _Reading(samples, order)
            narrower = np.any(reading.best.error < 0.7 * before.best.error)
            patience = PATIENCE if narrower else patience - 1
        if shaken is not None:
            reading.widen()
        elif samples.look_at(reading.rests_on_noise()):
            reading = _Reading(samples, order)
        return reading.estimate()


class _Reading:
    """What samples tell: the derivative with its band, kinks, and which levels to add."""

    def __init__(self, samples: Samples, order: int) -> None:
        self.samples = samples
        self.levels = samples.levels
        self.middle = samples.middle
        self.t = np.array([samples.step(k) for k in self.levels])
        self.up, self.down = samples.side(1), samples.side(-1)
        self.inside = np.isfinite(self.up) & np.isfinite(self.down)
        self.tied = (self.up == self.middle) & (self.down == self.middle)
        self.steps = self.t.reshape(-1, *[1] * self.middle.ndim)
        self.eps = samples.eps
        straight = samples.natural + samples.probes[0]  # levels where a smooth phi is straight
        straight = straight if straight in self.levels else samples.probes[0]
        self.fine = [j for j, k in enumerate(self.levels) if k >= straight]
        every = np.concatenate([self.up, self.down, self.middle[None]])
        if _single(every):
            self.eps = max(self.eps, float(np.finfo(np.float32).eps))
        self.largest = np.fmax.reduce(np.abs(every))
        self.changes = np.fmax(np.abs(self.up - self.middle), np.abs(self.down - self.middle))
        self.noise = self._noise()
        self.right, self.left = self._sided(1, 1), self._sided(-1, 1)
        jumps = self._jumps(self.up) | self._jumps(self.down)
        self.kink = jumps | self._bent()
        self.best = self._best(order)

    # -- noise -------------------------------------------------------------------------------------

    def _noise(self) -> Array:
        """The noise in values of phi: what the probes miss, and what the tables show."""
        samples = self.samples
        seen = probed(self.levels, self.t, self.up, self.down, self.middle, self.fine, self.eps)
        self.noisiest, self.plateau = seen.noisiest, seen.plateau
        noise = np.fmax(seen.noise, samples.deviation * TABLE)
        return np.asarray(np.fmax(noise, samples.stated))

    def _rounding(self, values: Array) -> Array:
        """The noise of each value."""
        return np.fmax(self.noise, self.eps * np.abs(values)) + np.finfo(np.float64).tiny

    def _noisy(self, side: Array) -> Array:
        """The noise of each value of a side; one that has not changed may have lost its change in
        a sum of numbers of order one.
        """
        noise = self._rounding(side)
        lost = self.eps * np.fmax(self.largest, 1.0)
        return np.where(side == self.middle, np.fmax(noise, lost), noise)

    # -- derivatives -------------------------------------------------------------------------------

    def _sided(self, sign: int, order: int, window: slice = EVERY) -> Limit:
        """A one-sided derivative, from the steps of a window."""
        side, t = (self.up if sign > 0 else self.down)[window], self.steps[window]
        noise = self._noisy(side) + self._rounding(self.middle)
        quotients = sign * (side - self.middle) / t
        found = limit(self.t[window], quotients, SIDED * noise / t, power=order - 1)
        found = _scaled(found, (sign ** (order - 1)) * math.factorial(order))
        return replace(found, error=np.where(self._jumps(side), np.inf, found.error))

    def _central(self, order: int, window: slice = EVERY) -> Limit:
        """The derivative from both sides at once, from the steps of a window."""
        ups, downs, steps = self.up[window], self.down[window], self.steps[window]
        up, down = self._noisy(ups), self._noisy(downs)
        noise = 0.5 * (up + down) / steps
        quotients = 0.5 * (ups - downs) / steps
        odd = limit(self.t[window], quotients, noise, even=True, power=(order - 1) // 2)
        if order % 2:
            return _scaled(odd, math.factorial(order))
        noise = (0.5 * (up + down) + self._rounding(self.middle)) / self.steps**2
        quotients = (0.5 * (self.up + self.down) - self.middle) / self.steps**2
        even = limit(
            self.t, quotients, noise, even=True, power=order // 2 - 1, believed=odd.believed
        )
        return _scaled(even, math.factorial(order))

    @property
    def _windows(self) -> list[slice]:
        """The coarse and the fine steps, where there are two of each."""
        coarse = sum(level <= COARSE for level in self.levels)
        parts = slice(0, coarse), slice(coarse, len(self.levels))
        return [*parts] if 2 <= coarse <= len(self.levels) - 2 else []

    def _bent(self) -> Array:
        """Whether the one-sided slopes differ by more than a rough function's do anyway: by
        several times what windows of steps, with the band of the fine one, leave open about
        either, or by a good part of the slope.
        """
        apart = _disjoint(self.right, self.left)
        self.reach = np.zeros_like(self.middle)
        if not np.any(apart):
            return apart
        moved = np.full_like(self.middle, -np.inf)  # where no two windows tell a slope
        believed: list[Limit] = [self.right, self.left]
        for sign in (1, -1):
            seen = [self._sided(sign, 1, window) for window in self._windows]
            believed += seen
            for coarse, fine in pairwise(seen):
                doubt = np.abs(coarse.value - fine.value) + fine.error
                told = np.isfinite(doubt + coarse.error)
                moved = np.where(told, np.fmax(moved, doubt), moved)
        gap = np.abs(self.right.value - self.left.value)
        larger = np.fmax(np.abs(self.right.value), np.abs(self.left.value))
        clear = np.isfinite(moved) & (gap >= CLEAR * moved)
        bent = apart & (clear | (gap >= STRONG * larger))
        values = np.stack([np.where(np.isfinite(b.error), b.value, np.nan) for b in believed])
        rough = apart & ~bent
        self.reach = np.where(rough, np.fmax.reduce(values) - np.fmin.reduce(values), 0.0)
        return np.asarray(bent)

    def spread(self) -> Array:
        """How far windows of steps, or the sides, disagree beyond their bands; NaN where no two
        windows tell a slope.
        """
        seen = [self._central(1, window) for window in self._windows]
        if not seen:
            return np.where(self.reach > 0.0, self.reach, np.nan)
        gap = np.abs(seen[0].value - seen[1].value)
        agree = gap <= seen[0].error + seen[1].error
        known = np.isfinite(seen[0].error + seen[1].error)
        return np.fmax(np.where(known, np.where(agree, 0.0, gap), np.nan), self.reach)

    def _best(self, order: int) -> Limit:
        """The derivative of that order from whichever side, or both, gives the least band."""
        right, left = (
            (self.right, self.left)
            if order == 1
            else (self._sided(1, order), self._sided(-1, order))
        )
        central = self._central(order)
        two = np.any(np.isfinite(self.up), 0) & np.any(np.isfinite(self.down), 0)
        # What both sides cannot tell apart may hide a kink, which the odd part does not see.
        blind = two & ~np.isfinite(self.right.error + self.left.error)
        central.error = np.where(self.kink | blind, np.inf, central.error)
        self.settled = central.settled
        mean = Limit(
            0.5 * (right.value + left.value),
            0.5 * np.abs(right.value - left.value) + np.fmax(right.error, left.error),
            np.fmax(right.truncation, left.truncation),
            np.fmax(right.coarsest, left.coarsest),
            np.fmax(right.finest, left.finest),
            right.settled & left.settled,
            right.believed,
        )
        mean = _chosen(np.all(np.isnan(self.down), 0), right, mean)
        mean = _chosen(np.all(np.isnan(self.up), 0), left, mean)
        best = _chosen(mean.error < central.error, mean, central)
        # Where nothing that phi does stands out of the noise, the noise may be all there is of it.
        self.noisy = (self.noise > 64 * self.eps * np.abs(self.middle)) & ~self.plateau
        drowned = self.noisy & (np.fmax.reduce(self.changes) < 5 * self.noisiest)
        # What is as large as the values is no noise: the steps are too wide for what phi does.
        wild = self.noise > WILD * self.largest
        unknown = np.isnan(self.middle) | np.isnan(best.error) | drowned | wild
        if order == 1:  # twice the distance of the farthest slope that is believed
            best.error = np.fmax(best.error, np.where(self.reach > 0.0, 2.0 * self.reach, 0.0))
        if order > 1:
            unknown = unknown | self.kink | _disjoint(right, left)
        return replace(best, error=np.where(unknown, np.inf, best.error))

    def _jumps(self, side: Array) -> Array:
        """Whether the value itself jumps: its change does not shrink with the step."""
        change = np.abs(side - self.middle)[-3:]
        least, most = np.min(change, 0), np.max(change, 0)
        hidden = np.fmax(1e4 * self.eps * self.largest, 4.0 * self.samples.stated)
        return np.asarray((least > 0.99 * most) & (least > hidden))

    def estimate(self) -> LineEstimate:
        """What has been found so far."""
        value, left, right = (
            np.where(np.isfinite(found.error), found.value, np.nan)[()]
            for found in (self.best, self.left, self.right)
        )
        sides = sum(np.any(np.isfinite(side), 0).astype(int) for side in (self.up, self.down))
        sides = np.where(np.isnan(self.middle), 0, sides)
        return LineEstimate(
            value, self.best.error[()], left, right, self.kink[()], sides[()],
            self.samples.evaluations, self.spread()[()],
        )  # fmt: skip

    def typical_level(self) -> int:
        """The finest step of most bands."""
        known = np.isfinite(self.best.error)
        levels = [self.levels[j] for j in self.best.finest[known]]
        return max(set(levels), key=levels.count, default=self.levels[0])

    def widen(self) -> None:
        """Let the band hold what roundings that stay the same along the line may amount to."""
        level = self.typical_level()
        shift = self.samples.shift(level, 1)
        if np.any(shift > JUMP * np.abs(self.best.value)):  # a branch of another component's?
            shift = np.fmin(shift, self.samples.shift(level, -1))
        self.best.error = self.best.error + SHAKEN * np.where(np.isfinite(shift), shift, 0.0)

    def rests_on_noise(self) -> int | None:
        """The level of the finest step of the bands that rest on noise more than on truncation."""
        best = self.best
        noisy = np.isfinite(best.error) & (best.truncation < 0.35 * best.error)
        levels = [
            self.levels[j] for j in best.finest[noisy] if self.levels[j] < self.samples.probes[0]
        ]
        return max(set(levels), key=levels.count, default=None)

    # -- which levels to add -----------------------------------------------------------------------

    def wanted(self) -> Iterator[tuple[int, ...]]:
        """Levels that may narrow the bands, most promising first."""
        samples = self.samples
        steepest = np.fmax.reduce(self.changes / self.steps)
        enough = 2e-13 * np.fmax(np.abs(self.best.value), 1e-3 * steepest)
        open_ = (self.best.error > enough) & ~np.isnan(self.middle)
        known = np.isfinite(self.best.error)
        one_sided = ~np.any(self.inside, 0)
        if np.any(open_ & (self.noisy | self.kink | ~known | one_sided)):
            natural = samples.natural
            if natural > 1 and samples.allows(natural + samples.probes[0]):
                yield tuple(natural + k for k in (*DENSE, *samples.probes))
            yield from ((k,) for k in samples.deep if samples.allows(k))
        for at in map(tuple, np.argwhere(open_ & ~self.kink)):
            for level in self._wanted_at(at, bool(known[at])):
                if level >= 0 and samples.allows(level):
                    yield (level,)

    def _wanted_at(self, at: tuple[int, ...], known: bool) -> Iterator[int]:
        """Levels that may narrow the band of one component."""
        levels = self.levels
        everywhere: Any = (slice(None), *at)
        inside = np.flatnonzero(self.inside[everywhere])
        if not len(inside):
            return
        start = int(inside[0])
        if self.plateau[at]:
            loose = np.flatnonzero(~self.tied[everywhere])
            if len(loose):
                last = int(loose[-1])
                yield (levels[last] + levels[last + 1]) // 2
                yield from (levels[last] - k for k in (1, 2, 3))
        if not known:
            if start:  # the domain ends among the steps
                yield levels[start] - 1
                yield from (levels[start] + k for k in range(1, 9))
            return
        end = start
        while end + 1 < len(levels) and levels[end + 1] == levels[end] + 1:
            end += 1
        i, j = int(self.best.coarsest[at]), int(self.best.finest[at])
        finer_helps = self.best.truncation[at] > 0.5 * self.best.error[at]
        goes_on = self.settled[(end, *at)] and (i > end or finer_helps)
        if end <= 12 and (goes_on or end < start + 3):
            yield levels[end] + 1
        if i == j:
            yield levels[j] - 1
        yield levels[j] + 1 if finer_helps else levels[i] - 1


def _single(values: Array) -> bool:
    """Whether all values are float32 numbers, so that they were computed as such."""
    rounded = np.all((values.astype(np.float32) == values) | np.isnan(values))
    return bool(rounded) and np.unique(values).size > 4


def _scaled(found: Limit, factor: float) -> Limit:
    size = abs(factor)
    return replace(
        found,
        value=factor * found.value,
        error=size * found.error,
        truncation=size * found.truncation,
    )


def _chosen(where: Array, one: Limit, other: Limit) -> Limit:
    """One limit where a condition holds, the other elsewhere."""
    names = ("value", "error", "truncation", "coarsest", "finest", "settled")
    made = {name: np.where(where, getattr(one, name), getattr(other, name)) for name in names}
    return Limit(**made, believed=one.believed)


def _disjoint(one: Limit, other: Limit) -> Array:
    """Whether two bands are certainly apart."""
    return np.asarray(np.abs(one.value - other.value) > 2.0 * (one.error + other.error))
