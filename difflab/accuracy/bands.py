"""The judgement of a gradient where the function cannot be traced: by a band of differences.

What flows: an estimate of the derivative with its error band, and what the gradient returned, go
in; a `Component` for each number comes out. The invariant is the judge's: a value inside a narrow
band is correct, one clearly outside is wrong, and everything else is undecided. Around the band
lies what rounding inside the two functions may amount to, because neither can be seen. Where steps
of different sizes disagree, f has an error that is no rounding, as a solver's result has: then what
is outside by less than ZONE is undecided too, unless the noise of f was stated.

>>> band = _Band(own=2.0**-53, coarsest=2.0**-53, order=1, size=1.0, slope=1.0, largest=1.0)
>>> [band.component("x", c, c, 1.0, 1e-10, 0.0, 0.0).verdict for c in (1.0, 1.0 + 3e-10, 1.1)]
['correct', 'undecided', 'wrong']
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from difflab.accuracy.candidate import Candidate
from difflab.accuracy.estimate import Estimate, estimate_of
from difflab.accuracy.judge import (
    CLOSE,
    FAR,
    Component,
    Judgement,
    at_kink,
    jitter,
    largest_of,
    relative_error,
    unit_of,
)
from difflab.accuracy.subject import Subject, numbers
from difflab.ir.expr import Array
from difflab.ir.tree import Structure
from difflab.methods.differences.calls import OUTSIDE

NARROW = 8.0
"""A narrow band keeps half the digits, a third of them for order 2, up to this factor."""
LITTLE = 1e-4
"""The share of the largest component below which one is as good as zero, where zero is given."""
NEAR, AROUND, SINGLE_AROUND = 1e-4, 0.25, 1.0
"""Relative to the point: a function that is constant nearby must be so around to have no slope.
What is computed in float32 saturates further out.
"""
ZONE = 2.0**-16
"""The part of the largest component that the error of an adaptive solver may amount to."""
ROUGH_WORDS = (
    "It differs from the function as it is called, but differences over coarse and fine steps"
    " disagree too, as they do where a solver's tolerance is f's error: pass noise=, how wrong its"
    " values may be, absolutely (0: exact to rounding)."
)
SLACK = 0.02
"""How far outside its one-sided slopes, relatively, a value at a kink is not called wrong."""


@dataclass(frozen=True, slots=True)
class Opaque:
    """What a function that cannot be traced returned: its tree, and the arrays."""

    tree: Structure
    arrays: list[Array]

    @classmethod
    def of(cls, subject: Subject) -> Opaque:
        """Call the function at the point."""
        arrays, tree = subject.outputs(subject.arrays)
        return cls(tree, arrays)

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shapes of what it returned."""
        return [array.shape for array in self.arrays]

    @property
    def unit(self) -> float:
        """The unit roundoff of the coarsest floats among it."""
        return unit_of(*self.arrays) if any(x.dtype.kind == "f" for x in self.arrays) else 2.0**-53


def judged_by_differences(
    subject: Subject,
    function: Opaque,
    candidate: Candidate,
    names: Sequence[str],
    noise: float | None = None,
) -> tuple[list[Component], Estimate]:
    """Every component against its band, and the estimate that gave the bands.

    `noise` is how wrong the function's values may be, as the user states it.
    """
    found = estimate_of(subject, noise, try_lines=True)
    values, widths = numbers(found.value), numbers(found.error)
    own, size = unit_of(*candidate.finest), max(1.0, largest_of(function.arrays))
    reach, largest = max(1.0, largest_of(subject.arrays)), largest_of([values])
    coarsest = max(function.unit, own)
    band = _Band(own, coarsest, subject.order, max(size, reach), size / reach, largest)
    given, fine = numbers(candidate.values), numbers(candidate.finest)
    flat = (given == 0.0) & (values == 0.0)
    if subject.order == 1 and np.any(flat):
        far = AROUND if coarsest < 1e-10 else SINGLE_AROUND
        saturated = _still(subject, function, NEAR) & ~_still(subject, function, far)
        widths = np.where(flat & saturated, np.inf, widths)
    zones = np.zeros(len(values))
    if noise is None and found.spread is not None:
        zones = np.where(numbers(found.spread) == 0.0, 0.0, ZONE * largest)
    moves = numbers(jitter(subject, candidate))
    figures = np.array([given, fine, values, widths, moves, zones]).T.tolist()
    components = [band.component(name, *row) for name, row in zip(names, figures, strict=True)]
    return [_at_kinks(component, found) for component in components], found


def _still(subject: Subject, function: Opaque, radius: float) -> Array:
    """Whether each output is the very same at both ends of a range, along each component.

    A function that moves at the ends of a wide range but not at those of a narrow one may have
    saturated in rounding: its slope is not known to be zero.
    """
    here = numbers(function.arrays)

    def stays(i: int, index: tuple[int, ...], step: float) -> Array:
        arrays = [np.array(array) for array in subject.arrays]
        arrays[i][index] += step * max(1.0, abs(float(arrays[i][index])))
        try:
            with np.errstate(all="ignore"):
                found = numbers(subject.outputs([array[()] for array in arrays])[0])
        except OUTSIDE:
            return np.zeros(here.shape, bool)
        return np.asarray(found == here)

    still = np.array([stays(*at, -radius) & stays(*at, radius) for at in subject.moves])
    return numbers(list(subject.split(still.T, function.shapes))).astype(bool)


@dataclass(frozen=True, slots=True)
class _Band:
    """What the components in their bands have in common."""

    own: float
    coarsest: float
    order: int
    size: float
    slope: float
    largest: float

    def component(self, name: str, *figures: float) -> Component:
        """One component: what was returned, and that at its finest, against value +- width.

        The band that it gets includes what rounding inside the gradient may amount to (`moves`); as
        far outside as `zone` it is undecided.
        """
        given, fine, value, width, moves, zone = figures
        rounding = max(CLOSE * self.own * abs(value), 4.0 * self.own * self.largest, moves)
        if abs(value) <= width:  # where nothing moves, roundings inside the function may hide it
            band, doubt = width, max(rounding, FAR * self.coarsest * self.size)
        else:
            band, doubt = width + rounding, rounding
        far = 4.0 * width + max(8.0 * doubt, FAR * self.own * self.largest)
        off, narrow = abs(fine - value), self._narrow(fine, value)
        verdict: Judgement = "undecided"
        blame = ""
        if np.isfinite(off) and np.isfinite(width):
            if off <= band and width + moves <= narrow:
                verdict = "correct"
            elif off > max(far, zone):
                verdict = "wrong"
            else:
                blame = _blame(off > far, width > narrow or width >= moves, width, moves)
        relative = relative_error(given, value, self.largest or 1.0)
        return Component(
            name, verdict, given, value, relative_error=relative, band=band, residual=fine - value,
            blame=blame,
        )  # fmt: skip

    def _narrow(self, fine: float, value: float) -> float:
        """How wide a band may be to say that what lies in it is correct."""
        share = NARROW * (2.0 * self.coarsest) ** (1.0 / (1 + self.order))
        if fine != 0.0:
            return float(share * max(abs(value), abs(fine)))
        # Zero has no size of its own.
        little = share if value == 0.0 else self.coarsest * self.slope
        return float(max(little, share * LITTLE * self.largest))


def _blame(rough: bool, wide: bool, width: float, moves: float) -> str:
    """Why a component is undecided."""
    if rough:
        return ROUGH_WORDS
    if wide:
        return f"The error band of the differences is too wide: {width:.2g}."
    return (
        f"The given gradient moves by {moves:.2g} where the point moves by some units in the last"
        f" place; the band of the differences is no wider than {width:.2g}."
    )


def _at_kinks(component: Component, found: Estimate) -> Component:
    names = component.name, component.name.rpartition(" by ")[2]
    for kink in found.kinks:
        if kink.component in names:
            left, right, jump, reason = kink.left, kink.right, kink.jump, kink.reason
            found_there = replace(component, left=left, right=right, jump=jump, reason=reason)
            return at_kink(found_there, SLACK)
    return component
