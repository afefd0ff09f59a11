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
>>> print(abs(line.value - 1.0) <= line.error < 1e-12, line.evaluations < 25)
True True
>>> line = along(abs, scale=1.0, dtype=np.dtype(float))
>>> print(line.kink, line.left, line.right, line.value, line.error >= 1.0)
True -1.0 1.0 0.0 True
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from difflab.ir.expr import Array
from difflab.methods.limits import Limit, limit

FIRST: Final = 0.2371
"""The largest step, relative to the scale: not round, so that no period divides it."""
DENSE: Final = (0, 1, 2, 3, 4, 5)
"""The levels that extrapolation starts from."""
SIDED: Final = 4.0
"""Safety of one-sided quotients, in which a noise that is underrated looks like a kink."""
BUDGET: Final = 100
"""Evaluations after which no level is added."""
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


def along(
    phi: Callable[[float], Any],
    *,
    scale: float,
    dtype: np.dtype[Any],
    order: int = 1,
    near: float = 0.0,
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
    """
    with np.errstate(all="ignore"):
        samples = _Samples(phi, max(scale, abs(near)), abs(near), dtype)
        samples.take(*DENSE, *samples.probes)
        reading, patience = _Reading(samples, order), PATIENCE
        while samples.evaluations < BUDGET and patience:
            levels = next(reading.wanted(), ())
            if not levels:
                break
            samples.take(*levels)
            before, reading = reading, _Reading(samples, order)
            narrower = np.any(reading.best.error < 0.7 * before.best.error)
            patience = PATIENCE if narrower else patience - 1
        return reading.estimate()


def in_the_reals(values: Array) -> Array:
    """Values with NaN where they are complex, as a power of a negative Python float is.

    >>> in_the_reals(np.array([1.0, 1j]))
    array([ 1., nan])
    """
    if not np.iscomplexobj(values):
        return values
    return np.where(values.imag == 0.0, values.real, np.nan)


class _Samples:
    """Values of phi on both sides of 0, by level."""

    def __init__(
        self, phi: Callable[[float], Any], scale: float, near: float, dtype: np.dtype[Any]
    ) -> None:
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

    def _value(self, t: float) -> Array:
        """phi(t), with NaN outside the domain."""
        self.evaluations += 1
        try:
            found = np.asarray(self.phi(t))
        except (ArithmeticError, ValueError):
            return np.full(self.shape, np.nan)
        found = in_the_reals(found).astype(np.float64)
        return np.where(np.isfinite(found), found, np.nan)

    def step(self, level: int) -> float:
        """The step of a level, rounded so that near + t is exact."""
        t = math.ldexp(FIRST * self.scale, -level)
        near = self.dtype.type(self.near)
        return float(self.dtype.type(near + self.dtype.type(t)) - near)

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
    def levels(self) -> list[int]:
        """The levels so far, from coarse to fine."""
        return sorted(self.sides[1])

    def side(self, sign: int) -> Array:
        """Values of one side from coarse to fine, NaN from the end of the domain on."""
        values = np.stack([self.sides[sign][k] for k in self.levels])
        inside = np.logical_and.accumulate(np.isfinite(values)[::-1])[::-1]
        return np.where(inside, values, np.nan)


class _Reading:
    """What samples tell: the derivative with its band, kinks, and which levels to add."""

    def __init__(self, samples: _Samples, order: int) -> None:
        self.samples = samples
        self.levels = samples.levels
        self.middle = samples.middle
        self.t = np.array([samples.step(k) for k in self.levels])
        self.up, self.down = samples.side(1), samples.side(-1)
        self.inside = np.isfinite(self.up) & np.isfinite(self.down)
        self.tied = (self.up == self.middle) & (self.down == self.middle)
        self.steps = self.t.reshape(-1, *[1] * self.middle.ndim)
        self.eps = samples.eps
        self.fine = [j for j, k in enumerate(self.levels) if k >= samples.probes[0]]
        every = np.concatenate([self.up, self.down, self.middle[None]])
        if _single(every):
            self.eps = max(self.eps, float(np.finfo(np.float32).eps))
        self.largest = np.fmax.reduce(np.abs(every))
        self.changes = np.fmax(np.abs(self.up - self.middle), np.abs(self.down - self.middle))
        self.noise = self._noise()
        self.right, self.left = self._sided(1, 1), self._sided(-1, 1)
        jumps = self._jumps(self.up) | self._jumps(self.down)
        self.kink = jumps | _disjoint(self.right, self.left)
        self.best = self._best(order)

    # -- noise -------------------------------------------------------------------------------------

    def _noise(self) -> Array:
        """The noise in values of phi, measured where phi is straight.

        The odd and the even part at a fine level are predicted from a coarser one, and so are the
        two sides (which a kink does not disturb); what the better prediction misses is noise.
        """
        odd, even = 0.5 * (self.up - self.down), 0.5 * (self.up + self.down) - self.middle
        last = before = self.noisiest = np.zeros_like(self.middle)
        for j in self.fine:
            coarser = [i for i in self.fine if self.levels[i] <= self.levels[j] - 4]
            if not coarser:
                continue
            i = coarser[-1]
            ratio = self.t[j] / self.t[i]
            parts = np.fmax(np.abs(odd[j] - ratio * odd[i]), np.abs(even[j] - ratio**2 * even[i]))
            right, left = (
                np.abs((side[j] - self.middle) - ratio * (side[i] - self.middle))
                for side in (self.up, self.down)
            )
            missed = np.fmin(parts, np.fmax(right, left))
            silent = (self.tied[j] & self.tied[i]) | np.isnan(missed)
            last, before = np.where(silent, last, missed), np.where(silent, before, last)
            self.noisiest = np.fmax(self.noisiest, missed)
        noise = np.fmax(last, before)
        # Next to a plateau the values may climb in stairs, whose height is the noise.
        self.plateau = np.all(self.tied[self.fine], 0)
        stairs = np.fmax(self._stairs(self.up), self._stairs(self.down))
        noise = np.where(self.plateau, np.fmax(noise, stairs), noise)
        # Where the finer probe moves nothing although the slope says so, x itself is rounded.
        i, j = self.fine[0], self.fine[-1]
        expected = np.abs(odd[i]) * self.t[j] / self.t[i]
        lost = self.tied[j] & (expected > 4 * self.eps * np.abs(self.middle))
        return np.asarray(np.where(lost, np.fmax(noise, np.abs(odd[i]) / 8), noise))

    def _stairs(self, side: Array) -> Array:
        """The least change beside a plateau, unless it and its neighbours are on one straight line
        (a kink is near, and the plateau is the function's own).
        """
        height = np.zeros_like(self.middle)
        for at in map(tuple, np.argwhere(self.plateau)):
            everywhere: Any = (slice(None), *at)
            change = (side - self.middle)[everywhere]
            beside = np.flatnonzero((change != 0) & np.isfinite(change))[-4:]
            slopes = np.diff(change[beside]) / np.diff(self.t[beside])
            if not len(beside):
                continue
            j = int(beside[-1])
            straight = len(slopes) == 3 and np.ptp(slopes) <= 0.1 * np.max(np.abs(slopes))
            if not (straight and self.levels[j + 1] == self.levels[j] + 1):
                height[at] = np.abs(change[j])
        return height

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

    def _sided(self, sign: int, order: int) -> Limit:
        """A one-sided derivative."""
        side = self.up if sign > 0 else self.down
        noise = self._noisy(side) + self._rounding(self.middle)
        quotients = sign * (side - self.middle) / self.steps
        found = limit(self.t, quotients, SIDED * noise / self.steps, power=order - 1)
        found = _scaled(found, (sign ** (order - 1)) * math.factorial(order))
        return replace(found, error=np.where(self._jumps(side), np.inf, found.error))

    def _central(self, order: int) -> Limit:
        """The derivative from both sides at once."""
        up, down = self._noisy(self.up), self._noisy(self.down)
        noise = 0.5 * (up + down) / self.steps
        quotients = 0.5 * (self.up - self.down) / self.steps
        odd = limit(self.t, quotients, noise, even=True, power=(order - 1) // 2)
        if order % 2:
            return _scaled(odd, math.factorial(order))
        noise = (0.5 * (up + down) + self._rounding(self.middle)) / self.steps**2
        quotients = (0.5 * (self.up + self.down) - self.middle) / self.steps**2
        even = limit(
            self.t, quotients, noise, even=True, power=order // 2 - 1, believed=odd.believed
        )
        return _scaled(even, math.factorial(order))

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
            [],
        )
        mean = _chosen(np.all(np.isnan(self.down), 0), right, mean)
        mean = _chosen(np.all(np.isnan(self.up), 0), left, mean)
        best = _chosen(mean.error < central.error, mean, central)
        # Where nothing that phi does stands out of the noise, the noise may be all there is of it.
        self.noisy = (self.noise > 64 * self.eps * np.abs(self.middle)) & ~self.plateau
        drowned = self.noisy & (np.fmax.reduce(self.changes) < 5 * self.noisiest)
        unknown = np.isnan(self.middle) | np.isnan(best.error) | drowned
        if order > 1:
            unknown = unknown | self.kink | _disjoint(right, left)
        return replace(best, error=np.where(unknown, np.inf, best.error))

    def _jumps(self, side: Array) -> Array:
        """Whether the value itself jumps: its change does not shrink with the step."""
        change = np.abs(side - self.middle)[-3:]
        least, most = np.min(change, 0), np.max(change, 0)
        return np.asarray((least > 0.99 * most) & (least > 1e4 * self.eps * self.largest))

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
            self.samples.evaluations,
        )  # fmt: skip

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
            if samples.near and samples.near < 0.25 * samples.scale:
                natural = round(math.log2(samples.scale / samples.near))
                if samples.allows(natural + samples.probes[0]):
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
    return Limit(**made, believed=[])


def _disjoint(one: Limit, other: Limit) -> Array:
    """Whether two bands are certainly apart."""
    return np.asarray(np.abs(one.value - other.value) > 2.0 * (one.error + other.error))
