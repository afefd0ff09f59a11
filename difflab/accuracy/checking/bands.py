"""The judgement of a gradient where the function cannot be traced: by a band of differences.

What flows: an estimate of the derivative with its error band, and what the gradient returned, go
in; a `Component` for each number comes out. The invariant is the judge's: a value inside a narrow
band is correct, one clearly outside is wrong, and everything else is undecided. Around the band
lies what rounding inside the two functions may amount to, because neither can be seen. Where steps
of different sizes disagree, f has an error that is no rounding, as a solver's result has: then what
is outside by less than ZONE is undecided too, unless the noise of f was stated.

>>> band = _Band(own=2.0**-53, coarsest=2.0**-53, order=1, size=1.0, slope=1.0, largest=1.0)
>>> [band.component("x", c, c, 1.0, 1e-10, 0.0).verdict for c in (1.0, 1.0 + 3e-10, 1.1)]
['correct', 'undecided', 'wrong']
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from difflab.accuracy.checking.candidate import Candidate
from difflab.accuracy.checking.judge import (
    CLOSE,
    FAR,
    Component,
    Verdict,
    flattened,
    jitter,
    largest_of,
    relative_error,
    unit_of,
)
from difflab.accuracy.estimate import Estimate, estimate
from difflab.accuracy.subject import Subject
from difflab.ir.expr import Array
from difflab.ir.tree import Structure, flatten
from difflab.methods.opaque import OUTSIDE

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
class Called:
    """What a function that cannot be traced returned: shapes, largest magnitude, roundoff."""

    tree: Structure
    shapes: list[tuple[int, ...]]
    size: float
    unit: float


def called(subject: Subject) -> Called:
    """Call a function at the point."""
    arrays, tree = subject.outputs(subject.arrays)
    floats = [array for array in arrays if array.dtype.kind == "f"]
    unit = unit_of(*floats) if floats else 2.0**-53
    return Called(tree, [array.shape for array in arrays], largest_of(arrays), unit)


def judged_by_differences(
    subject: Subject,
    function: Called,
    candidate: Candidate,
    names: Sequence[str],
    noise: float | None = None,
) -> tuple[list[Component], Estimate]:
    """Every component against its band, and the estimate that gave the bands.

    `noise` is how wrong the function's values may be, as the user states it.
    """
    found = estimate(
        subject.f, *subject.args, argnums=subject.argnums, order=subject.order, noise=noise
    )
    values, bands = (flattened(flatten(tree)[0]) for tree in (found.value, found.error))
    given = flattened(candidate.values)
    finest = given if candidate.finer is None else flattened(candidate.finer)
    reach = largest_of(subject.arrays)
    band = _Band(
        own=unit_of(*(candidate.finer or candidate.values)),
        coarsest=max(function.unit, unit_of(*(candidate.finer or candidate.values))),
        order=subject.order,
        size=max(1.0, function.size, reach),
        slope=max(1.0, function.size) / max(1.0, reach),
        largest=largest_of([values]),
    )
    moves = flattened(jitter(subject, candidate))
    flat = (given == 0.0) & (values == 0.0)
    if subject.order == 1 and np.any(flat):
        far = AROUND if band.coarsest < 1e-10 else SINGLE_AROUND
        saturated = _still(subject, NEAR) & ~_still(subject, far)
        bands = np.where(flat & saturated, np.inf, bands)
    zones = np.zeros(len(values))
    if noise is None and found.spread is not None:
        spread = flattened(flatten(found.spread)[0])
        zones = np.where(spread == 0.0, 0.0, ZONE * band.largest)
    rows = zip(names, given, finest, values, bands, moves, zones, strict=True)
    return [_at_kinks(band.component(*row), found) for row in rows], found


def _still(subject: Subject, radius: float) -> Array:
    """Whether each output is the very same at both ends of a range, along each component.

    A function that moves at the ends of a wide range but not at those of a narrow one may have
    saturated in rounding: its slope is not known to be zero.
    """
    before = _outputs(subject, subject.arrays)
    columns: list[list[Array]] = [[] for _ in before]
    for i in subject.wrt:
        x = np.asarray(subject.arrays[i])
        still: list[list[Array]] = [[] for _ in before]
        for index in np.ndindex(x.shape):
            ends = []
            for side in (-radius, radius):
                moved = np.array(x)
                moved[index] += side * max(1.0, abs(float(x[index])))
                arrays = [moved[()] if k == i else array for k, array in enumerate(subject.arrays)]
                ends.append(_outputs(subject, arrays, before))
            for k, out in enumerate(before):
                still[k].append((ends[0][k] == out) & (ends[1][k] == out))
        for k, out in enumerate(before):
            columns[k].append(np.stack(still[k], -1).reshape(out.shape + x.shape))
    return flattened([block for row in columns for block in row]).astype(bool)


def _outputs(subject: Subject, arrays: Sequence[Any], like: Sequence[Array] = ()) -> list[Array]:
    """What a function returns; NaN, shaped like other outputs, outside its domain."""
    try:
        with np.errstate(all="ignore"):
            return subject.outputs(arrays)[0]
    except OUTSIDE:
        return [np.full(out.shape, np.nan) for out in like]


@dataclass(frozen=True, slots=True)
class _Band:
    """What the components in their bands have in common."""

    own: float
    coarsest: float
    order: int
    size: float
    slope: float
    largest: float

    def component(
        self,
        name: str,
        given: float,
        fine: float,
        value: float,
        width: float,
        moves: float,
        zone: float = 0.0,
    ) -> Component:
        """One component: what was returned, at its finest, against value +- width.

        The band that it gets includes what rounding inside the gradient may amount to; as far
        outside as `zone` it is undecided.
        """
        rounding = max(CLOSE * self.own * abs(value), 4.0 * self.own * self.largest, moves)
        if abs(value) <= width:  # where nothing moves, roundings inside the function may hide it
            band, doubt = width, max(rounding, FAR * self.coarsest * self.size)
        else:
            band, doubt = width + rounding, rounding
        far = 4.0 * width + max(8.0 * doubt, FAR * self.own * self.largest)
        off, narrow = abs(fine - value), self._narrow(fine, value)
        blame = ""
        if not (np.isfinite(off) and np.isfinite(width)):
            verdict: Verdict = "undecided"
        elif off <= band and width + moves <= narrow:
            verdict = "correct"
        else:
            verdict = "wrong" if off > max(far, zone) else "undecided"
            if verdict == "undecided":
                blame = _blame(off > far, width > narrow or width >= moves, width, moves)
        return Component(
            name=name,
            verdict=verdict,
            given=float(given),
            expected=float(value),
            relative_error=relative_error(float(given), float(value), self.largest or 1.0),
            band=float(band),
            residual=float(fine - value),
            blame=blame,
        )

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
    for kink in found.kinks:
        if component.name == kink.component or component.name.endswith(f" by {kink.component}"):
            bent = replace(
                component, verdict="kink", left=kink.left, right=kink.right, jump=kink.jump
            )
            low, high = sorted((kink.left, kink.right))
            slack = SLACK * max(abs(low), abs(high))
            outside = not low - slack <= component.given <= high + slack
            sure = np.isfinite([low, high, component.given]).all() and not kink.jump
            return replace(bent, verdict="wrong") if outside and sure else bent
    return component
