"""The judgement of a gradient, component by component.

What flows: a subject and a candidate go in, a `Component` for each number of the derivative comes
out, with its verdict and the figures that the verdict rests on. There are three roads, by what can
be traced:

- function and gradient: both are enclosed in balls, so that the formula is judged by itself and the
  rounding by itself, and both figures are certain;
- the function alone: the derivative is certain, but what the gradient returns is formula and
  rounding in one, and only what exceeds all rounding is called wrong;
- not the function: the derivative is an extrapolated difference with a band, and what lies neither
  inside nor clearly outside is undecided (bands.py).

The invariant: a verdict of *correct* or *wrong* is never a guess. Where the evidence does not
reach, the verdict is *undecided*.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np

from difflab.accuracy.candidate import Candidate
from difflab.accuracy.derivative import Derivative
from difflab.accuracy.partials import Partial
from difflab.accuracy.subject import Subject, numbers, places
from difflab.ir.brief import one_line
from difflab.ir.expr import Array, Expr, reachable, substitute
from difflab.ir.row import CONSTANT
from difflab.readings.ball_matrices import midpoints
from difflab.readings.balls import (
    as_rounded,
    distance,
    enclose_nodes,
    exact,
    gap,
    overlap,
    ulps_of,
)

Judgement = Literal["correct", "rounding", "kink", "undecided", "wrong"]
JUDGEMENTS: Final[tuple[Judgement, ...]] = ("correct", "rounding", "kink", "undecided", "wrong")
"""From the best to the worst: the worst component gives the verdict of the whole."""

ONE_FORMULA: Final = 2.0**-60
"""Formulas that differ by less than this, relatively, are one formula."""
SHARED_ERROR: Final = 1e-9
"""Formulas that differ by more than this differ by more than data that both have in common."""
CONSTANTS_ROUNDED: Final = 12.0
"""Units of rounding by which formulas may differ for the sake of their constants alone."""
CLOSE: Final = 2.0**10
"""Units of rounding, relative to a component, that a good program may lose."""
FAR: Final = 2.0**8
"""Units of rounding, relative to the larger of 1 and the function, that no program loses."""
JITTERS: Final = 6
JITTER_ULPS: Final = 64
NEIGHBOURS: Final = (0.5, 0.25, 0.1, 0.05)
"""Scaled points at which a gradient that may be badly rounded is looked at again."""


@dataclass(frozen=True, slots=True)
class Component:
    """One number of the derivative, and what was found about it.

    `formula_error` is the relative error of the formula without any rounding, `ulps` the distance
    of what was returned from the derivative, `band` half the width of the interval in which the
    derivative lies (0 where it is enclosed); NaN where a figure cannot be had.
    """

    name: str
    verdict: Judgement
    given: float
    expected: float
    formula_error: float = np.nan
    ulps: float = np.nan
    relative_error: float = np.nan
    band: float = 0.0
    left: float = np.nan
    right: float = np.nan
    jump: bool = False
    reason: str = ""
    """Why there is no derivative, or it cannot be told."""
    residual: float = 0.0
    """Formula less derivative; what was returned less derivative where there is no formula."""
    blame: str = ""
    """Where differences leave it undecided: why, in a sentence."""

    def __repr__(self) -> str:
        pair = f"given {self.given:.6g}, expected {self.expected:.6g}"
        return one_line(f"<component {self.name}: {self.verdict}, {pair}>")

    @property
    def between(self) -> bool:
        """At a kink, whether the given value is one that lies between the two sides' slopes."""
        low, high = np.fmin(self.left, self.right), np.fmax(self.left, self.right)
        return not self.jump and bool(low <= self.given <= high)


def judged_by_balls(
    true: Derivative, candidate: Candidate, names: Sequence[str]
) -> list[Component]:
    """Every component against the enclosure."""
    bench = _Bench(true, candidate)
    pairs = zip(names, places(block.shape for block in true.balls), strict=True)
    found = [bench.component(name, *at) for name, at in pairs]
    doubtful = [c.verdict == "undecided" and not c.reason for c in found]
    if any(doubtful) and not bench.given:
        for i in np.flatnonzero(doubtful & _good_elsewhere(true.subject, candidate)):
            found[i] = replace(found[i], verdict="rounding")
    return found


class _Bench:
    """The derivative, with the candidate's formula in balls beside it if it has one."""

    def __init__(self, true: Derivative, candidate: Candidate) -> None:
        self.true, self.candidate = true, candidate
        self.largest = largest_of([midpoints(block) for block in true.balls]) or 1.0
        self._overlaps: dict[bool, list[Array]] = {}
        self.given: list[Expr] = []
        """The blocks of the candidate's trace; none where it is opaque."""
        if candidate.graph is not None:
            inputs = zip(candidate.graph.inputs, true.graph.inputs, strict=True)
            self.given = substitute(candidate.blocks, dict(inputs))
            self.formula, bits = true.scene.sharpened(self.given)
            self.bits = max(bits, true.bits)

    def component(self, name: str, k: int, index: tuple[int, ...]) -> Component:
        """One component of one block."""
        true, block = self.true.at((k, index)), self.candidate.values[k]
        expected, given = float(true.ball), float(block[index])
        coarse = min(block.dtype, self.true.blocks[k].dtype, key=lambda dtype: dtype.itemsize)
        relative = relative_error(given, expected, self.largest)
        known: dict[str, Any] = {
            "name": name, "given": given, "expected": expected, "left": true.left,
            "right": true.right, "jump": true.verdict == "jump", "relative_error": relative,
            "ulps": ulps_of(given, true.ball, coarse), "reason": true.reason,
        }  # fmt: skip
        if not np.isfinite(expected):
            return _without_derivative(true, known)
        error, explained, residual = self._formula(k, index, true.ball)
        known |= {"formula_error": error, "residual": residual}
        unit = unit_of(block)
        kept = relative <= np.sqrt(2.0 * unit)
        verdict: Judgement
        if not (self.given and np.isfinite(error)):
            verdict = self._by_value(k, index, expected, residual, kept)
        elif not explained:
            verdict = "wrong"
        elif error > max(SHARED_ERROR, CONSTANTS_ROUNDED * unit):
            verdict = "undecided"
        elif kept:
            verdict = "correct"
        else:
            verdict = "rounding" if self._is_rounding(k, index) else "wrong"
        return Component(verdict=verdict, **known)

    def _is_rounding(self, k: int, index: tuple[int, ...]) -> bool:
        """Whether the roundings of the traced program explain what was returned when called."""
        off = abs(float(self.candidate.values[k][index]) - float(self.formula[k][index]))
        return not np.isfinite(off) or off <= 2.0 * float(self.roundings[k][index])

    @cached_property
    def roundings(self) -> list[Array]:
        """The running bounds of the candidate's program; infinite where it overflows."""
        assert self.candidate.graph is not None
        graph = self.candidate.graph.with_outputs(self.candidate.blocks)
        errors = graph.rounding_error(self.true.subject.arrays)
        return [np.nan_to_num(np.asarray(error.bound), nan=np.inf) for error in errors]

    def _formula(self, k: int, index: tuple[int, ...], ball: Any) -> tuple[float, bool, float]:
        """The relative error of the formula, whether constants explain it, and the residual."""
        if self.given:
            own = self.formula[k][index]
            low, high = distance(own, ball, self.largest)
            if high < ONE_FORMULA:
                return 0.0, True, gap(own, ball)
            if np.isfinite(high):
                explained = low == 0.0 or self._explained(shared=False)[k][index]
                shared = high < SHARED_ERROR and self._explained(shared=True)[k][index]
                return high, bool(explained or shared), gap(own, ball)
        value = self.candidate.finest[k][index]
        return np.nan, False, gap(exact(value).item(), ball) if np.isfinite(value) else np.nan

    def _explained(self, shared: bool) -> list[Array]:
        """Whether both formulas may be one when their constants were rounded (0.3 for 3 * 0.1), or
        else those as well that both have in common.
        """
        if shared in self._overlaps:
            return self._overlaps[shared]
        graph, blocks = self.true.graph, self.true.blocks
        known = dict(zip(graph.inputs, map(exact, self.true.subject.arrays), strict=True))
        mine, theirs = (set(reachable(part)) for part in (blocks, self.given))
        bounds = {x for node in mine | theirs if _decides(node) for x in node.operands}
        for node in (mine | theirs if shared else mine ^ theirs) - bounds:
            if node.primitive is CONSTANT:
                known[node] = as_rounded(node.value)
        enclose_nodes([*blocks, *self.given], known, self.bits)
        expected = [np.array(known[block]) for block in blocks]
        for (k, index), partial in self.true.special.items():
            expected[k][index] = partial.ball
        self._overlaps[shared] = [
            np.array(list(map(overlap, known[left].flat, right.flat))).reshape(left.shape)
            for left, right in zip(self.given, expected, strict=True)
        ]
        return self._overlaps[shared]

    def _by_value(
        self, k: int, index: tuple[int, ...], expected: float, residual: float, kept: bool
    ) -> Judgement:
        """The verdict on a value whose formula cannot be seen."""
        unit = unit_of(self.candidate.finest[k])
        if not np.isfinite(residual):
            return "undecided" if self.candidate.graph is None else "wrong"
        tight = CLOSE * unit * abs(expected) if expected else 4.0 * unit * self.largest
        if abs(residual) <= tight:
            return "correct" if kept else "rounding"
        far = FAR * unit * self.reach + 8.0 * self.jitter[k][index]
        return "wrong" if abs(residual) > far else "undecided"

    @cached_property
    def jitter(self) -> list[Array]:
        """How much the gradient moves when the point moves by a unit in the last place."""
        return jitter(self.true.subject, self.candidate)

    @cached_property
    def reach(self) -> float:
        """The size of what a program for the derivative is likely to compute with."""
        outputs = [self.true.scene.floats[out] for out in self.true.graph.outputs]
        return max(1.0, self.largest, largest_of(outputs))


def _decides(node: Expr) -> bool:
    """Whether a node chooses a branch: what it compares with is no matter of rounding."""
    return node.dtype.kind == "b" or node.primitive.kink is not None


def unit_of(*arrays: Any) -> float:
    """The unit roundoff of the coarsest of some arrays."""
    kinds = [np.asarray(array).dtype for array in arrays]
    return max(float(np.finfo(kind).eps) / 2.0 for kind in kinds if kind.kind == "f")


def largest_of(arrays: Sequence[Any]) -> float:
    """The largest finite magnitude in some arrays, or 0."""
    sizes = np.abs(numbers(arrays))
    return float(np.max(sizes, where=np.isfinite(sizes), initial=0.0))


def jitter(subject: Subject, candidate: Candidate) -> list[Array]:
    """How much each component varies while the point moves by some units in the last place.

    It shows what the rounding inside a gradient that cannot be seen may amount to.
    """
    rng = np.random.default_rng(0)

    def move(x: Array) -> Any:
        return x + rng.integers(-JITTER_ULPS, JITTER_ULPS + 1, x.shape) * np.spacing(x)

    seen = []
    for _ in range(JITTERS):
        with contextlib.suppress(ArithmeticError, ValueError):  # beyond the edge of its domain
            seen.append(candidate.call(*subject.moved(move)))
    if not seen:
        return [np.full(value.shape, np.inf) for value in candidate.values]
    blocks = [np.array(block, np.float64) for block in zip(*seen, strict=True)]
    with np.errstate(all="ignore"):
        return [np.fmax.reduce(block) - np.fmin.reduce(block) for block in blocks]


def relative_error(given: float, expected: float, largest: float) -> float:
    """The relative error; where 0 is expected, relative to the largest component."""
    if given == expected:
        return 0.0
    return abs(given - expected) / (abs(expected) if expected else largest)


def _without_derivative(true: Partial, known: dict[str, Any]) -> Component:
    """Where the derivative is no number."""
    if true.verdict in ("undefined", "undecided"):
        outside = true.hull is not None and not true.hull.contains(known["given"])
        far = outside and np.isfinite(known["given"])
        return Component(verdict="wrong" if far else "undecided", **known)
    return at_kink(Component(verdict="kink", **known))


def at_kink(component: Component, slack: float = 0.0) -> Component:
    """The verdict at a kink: wrong where what was given certainly lies outside the two slopes, by
    more than a share of them.
    """
    low, high = sorted((component.left, component.right))
    room = slack * max(abs(low), abs(high))
    told = bool(np.isfinite([low, high, component.given]).all())
    inside = low - room <= component.given <= high + room
    wrong = told and not (inside or component.jump or component.reason)
    return replace(component, verdict="wrong" if wrong else "kink")


def _good_elsewhere(subject: Subject, candidate: Candidate) -> Array:
    """Whether each component is right at two points nearby, so that its formula must be right."""
    agree = np.zeros(numbers(candidate.values).shape, int)
    rng = np.random.default_rng(0)

    def at(scale: float) -> list[Any]:
        return subject.moved(lambda x: scale * x * rng.uniform(0.9, 1.1, x.shape))

    for arrays in map(at, NEIGHBOURS):
        try:
            given, true = candidate.call(*arrays), subject.true_at(arrays)
        except (ArithmeticError, ValueError):
            continue
        size = CLOSE * unit_of(*given) * np.abs(true)
        agree += (np.abs(numbers(given) - true) <= size) & (true != 0.0)
    return np.asarray(agree >= 2)
