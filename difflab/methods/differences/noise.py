"""The noise in the values of a function, as differences of them show it.

What flows: values at equal spacing, or values of both sides of a point at falling steps, go in; the
standard deviation of their noise, or a bound on it, comes out. The invariant: what a smooth
function does over so fine a spacing is never taken for noise: it vanishes from high differences,
and noise does not.

Formulas: ECNoise (Moré & Wild, Estimating computational noise, SIAM J. Sci. Comput. 33, 2011).

>>> rng = np.random.default_rng(1)
>>> x = 1e-9 * np.arange(7)
>>> print(0.3e-6 < deviation(np.exp(x) + 1e-6 * rng.standard_normal(7)) < 3e-6)
True
>>> print(deviation(np.exp(1e9 * x)))  # not noise: it only looks rough at this spacing
nan
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from difflab.ir.expr import Array

ALIKE: Final = 4.0
"""Three columns of differences within this factor of each other are noise."""
COLUMNS: Final = (3, 4, 5)
"""The columns that are compared."""


def deviation(values: Array) -> Array:
    """The standard deviation of the noise in seven values or more at equal spacing.

    NaN where the columns of their difference table do not agree on one, or where half of the
    values or more do not move: the spacing is too wide, or too fine.

    Parameters
    ----------
    values
        Of shape ``(7, *output)`` or longer; each element is measured for itself.
    """
    still = 2 * np.sum(np.diff(values, axis=0) == 0.0, 0) >= len(values)
    found = np.stack([column(values, k) for k in COLUMNS])
    changes = np.diff(values, n=COLUMNS[0], axis=0)
    turns = np.any(changes[:-1] * changes[1:] < 0.0, 0)
    alike = np.max(found, 0) <= ALIKE * np.min(found, 0)
    return np.asarray(np.where(alike & turns & ~still, np.max(found, 0), np.nan))


def column(values: Array, k: int) -> Array:
    """The standard deviation that the k-th differences of values show."""
    changes = np.abs(np.diff(values, n=k, axis=0))
    most = np.max(changes, 0)
    shares = changes / np.where(most > 0.0, most, 1.0)  # their squares neither overflow nor vanish
    return np.asarray(most * np.sqrt(np.mean(shares**2, 0) / math.comb(2 * k, k)))


@dataclass(slots=True)
class Probed:
    """What values at fine steps on both sides tell of the noise; all arrays are like the output."""

    noise: Array
    """How wrong a value may be."""
    noisiest: Array
    """The largest deviation that was seen."""
    plateau: Array
    """Whether no fine step changes the value."""


def probed(
    levels: list[int], t: Array, up: Array, down: Array, middle: Array, fine: list[int], eps: float
) -> Probed:
    """The noise, measured where the function is straight.

    The odd and the even part at a fine level are predicted from a coarser one, and so are the two
    sides (which a kink does not disturb); what the better prediction misses is noise.

    Parameters
    ----------
    levels, t
        The steps t[j] are about 2^-levels[j], from coarse to fine.
    up, down, middle
        The values at t, -t and 0.
    fine
        Which of the steps are so fine that a smooth function is straight there.
    eps
        The rounding of the values, relative.
    """
    odd, even = 0.5 * (up - down), 0.5 * (up + down) - middle
    tied = (up == middle) & (down == middle)
    last = before = noisiest = np.zeros_like(middle)
    for j in fine:
        coarser = [i for i in fine if levels[i] <= levels[j] - 4]
        if not coarser:
            continue
        i = coarser[-1]
        ratio = t[j] / t[i]
        parts = np.fmax(np.abs(odd[j] - ratio * odd[i]), np.abs(even[j] - ratio**2 * even[i]))
        right, left = (
            np.abs((side[j] - middle) - ratio * (side[i] - middle)) for side in (up, down)
        )
        missed = np.fmin(parts, np.fmax(right, left))
        silent = (tied[j] & tied[i]) | np.isnan(missed)
        last, before = np.where(silent, last, missed), np.where(silent, before, last)
        noisiest = np.fmax(noisiest, missed)
    noise = np.fmax(last, before)
    # Next to a plateau the values may climb in stairs, whose height is the noise.
    plateau = np.all(tied[fine], 0)
    if np.any(plateau):
        stairs = [_stairs(levels, t, side - middle, plateau) for side in (up, down)]
        noise = np.where(plateau, np.fmax(noise, np.fmax(*stairs)), noise)
    # Where the finer probe moves nothing although the slope says so, x itself is rounded.
    i, j = fine[0], fine[-1]
    expected = np.abs(odd[i]) * t[j] / t[i]
    lost = tied[j] & (expected > 4 * eps * np.abs(middle))
    noise = np.where(lost, np.fmax(noise, np.abs(odd[i]) / 8), noise)
    return Probed(noise, noisiest, plateau)


def _stairs(levels: list[int], t: Array, changes: Array, plateau: Array) -> Array:
    """The least change beside a plateau, unless it and its neighbours are on one straight line (a
    kink is near, and the plateau is the function's own).
    """
    height = np.zeros(plateau.shape)
    for at in map(tuple, np.argwhere(plateau)):
        everywhere: Any = (slice(None), *at)
        change = changes[everywhere]
        beside = np.flatnonzero((change != 0) & np.isfinite(change))[-4:]
        if not len(beside):
            continue
        slopes = np.diff(change[beside]) / np.diff(t[beside])
        j = int(beside[-1])
        straight = len(slopes) == 3 and np.ptp(slopes) <= 0.1 * np.max(np.abs(slopes))
        if not (straight and levels[j + 1] == levels[j] + 1):
            height[at] = np.abs(change[j])
    return height
