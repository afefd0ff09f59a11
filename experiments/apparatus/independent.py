"""Derivatives that owe nothing to difflab: values in mpmath, and differences with tiny steps.

What flows: a traced graph is read as values of hundreds of digits. Two central differences, 1e-40
and 1e-60 of the point's scale apart, become a slope where they agree to 25 digits and both sides
meet; else they say what there is instead, or "not certified", with the reason. The invariant: no
ball, no germ and no derivative rule is used; what is shared with difflab is the trace alone.

>>> found = slopes(lambda x: np.abs(x) * np.sign(x), (0.0,))
>>> found.verdict, float(found.balls[0])
('smooth', 1.0)
>>> slopes(np.abs, (0.0,)).verdict, slopes(np.sign, (0.0,)).verdict, slopes(np.log, (-1.0,)).verdict
('kink', 'jump', 'undefined')
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
from mpmath import mp, mpf

from apparatus.mpmath_values import Unread, numbers, read
from difflab.errors import DifflabError
from difflab.ir.expr import Expr, Graph
from difflab.ir.tree import read_arguments
from difflab.tracing.trace import retrace, trace

DIGITS = (200, 700, 2000)  # behind differences; each is tried where the ones before do not tell
FORMULA_DIGITS = (100, 400, 1600)  # of a gradient's formula, which counts where two of them agree
STEPS = (-133, -200)  # binary exponents, relative to the scale of the point
SECONDS = 20.0
UNKNOWN = "not certified"
VERDICTS = ("smooth", "one-sided", "infinite", "kink", "jump", "undefined", UNKNOWN)
"""From the best to the worst."""
LEAST_GAP = mpf(2) ** -50
"""Sides that differ by less than this, relatively, meet as far as floats can tell."""
CLOSE, CLOSER = mpf(10) ** -15, mpf(10) ** -25
"""How far two quotients may be apart, to one side and central ones."""
LINES = 2  # directions, besides the axes, along which a gradient is tried
Move = tuple[int, tuple[int, ...]]


class Uncertified(Exception):
    """Why mpmath cannot tell."""


@dataclass(frozen=True, slots=True)
class Slope:
    """What differences say along a line: the derivative, or what there is instead."""

    verdict: str
    value: Any = mp.nan


@dataclass(frozen=True, slots=True)
class Slopes:
    """The derivative at a point, a number for each output by each input, output by output within
    the block of an argument, as a gradient has them; and the bytes of the shortest float.
    """

    verdict: str
    balls: tuple[Any, ...] = ()
    least: int = 8
    reason: str = ""

    @property
    def numbers(self) -> np.ndarray[Any, Any]:
        return np.array([float(x) for x in self.balls])


def slopes(f: Callable[..., Any], args: Sequence[Any]) -> Slopes:
    """The derivative of f by all of its float arguments; "not certified" where it is not known."""
    try:
        with mp.workdps(DIGITS[0]):
            return _Point(f, tuple(args)).slopes()
    except (Uncertified, Unread, DifflabError, OverflowError, np.linalg.LinAlgError) as reason:
        return Slopes(UNKNOWN, reason=f"{type(reason).__name__}: {reason}")


def formula(gradient: Callable[..., Any], args: Sequence[Any]) -> list[Any]:
    """What a gradient's formula is worth, in the order of `Slopes.balls`."""
    graph = trace(gradient, *args)
    _, arrays = read_arguments(tuple(args), {})
    before: list[Any] = []
    for digits in FORMULA_DIGITS:
        with mp.workdps(digits):
            known = read(graph.outputs, _exact(graph, arrays))
            found = [x for out in graph.outputs for x in known[out].flat]
            if before and all(map(_meet, before, found)):
                return found
        before = found
    raise Uncertified(f"{digits} digits do not settle the formula")


def _meet(a: Any, b: Any) -> bool:
    return bool(abs(a - b) <= mpf(10) ** -20 * abs(b) or abs(a) + abs(b) < mpf(10) ** -330)


def _exact(graph: Graph, arrays: Sequence[Any]) -> dict[Expr, Any]:
    """The inputs, as they are in floats."""
    pairs = zip(graph.inputs, map(np.asarray, arrays), strict=True)
    return {x: numbers(a) if a.dtype.kind == "f" else a for x, a in pairs}


class _Point:
    """A function at a point, and its values beside it."""

    def __init__(self, f: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.f, self.deadline = f, time.monotonic() + SECONDS
        self.signature, self.arrays = read_arguments(args, {})
        with np.errstate(all="ignore"):
            self.graph = trace(f, *args)
        if len(self.graph.outputs) != 1:
            raise Uncertified("the function has several outputs")
        self.floats = [i for i, x in enumerate(self.graph.inputs) if x.dtype.kind == "f"]
        sizes = [abs(float(v)) for i in self.floats for v in np.ravel(self.arrays[i]) if v]
        self.smallest = min([*sizes, 1.0])

    def slopes(self) -> Slopes:
        """The derivative, axis by axis, then along other lines."""
        moves = [(i, at) for i in self.floats for at in np.ndindex(np.shape(self.arrays[i]))]
        columns = [self.along({move: mpf(1)}) for move in moves]
        worst = max((s for c in columns for s in c), key=lambda s: VERDICTS.index(s.verdict))
        if worst.verdict == "smooth" and len(moves) > 1:
            worst = self.on_lines(moves, columns)
        flat = [column[k].value for i in self.floats for k in range(len(columns[0]))
                for move, column in zip(moves, columns, strict=True) if move[0] == i]  # fmt: skip
        least = min(self.graph.inputs[i].dtype.itemsize for i in self.floats)
        reason = "differences do not settle" if worst.verdict == UNKNOWN else ""
        return Slopes(worst.verdict, tuple(flat), least, reason)

    def on_lines(self, moves: Sequence[Move], columns: Sequence[list[Slope]]) -> Slope:
        """Whether partial derivatives make a gradient: they add up along other lines."""
        rng = np.random.default_rng(0)
        for _ in range(LINES):
            weights = [mpf(int(k)) / 8 for k in rng.choice([-11, -7, -3, 5, 9, 13], len(moves))]
            line = dict(zip(moves, weights, strict=True))
            for k, seen in enumerate(self.along(line)):
                if seen.verdict != "smooth":
                    return seen
                parts = [w * self.scale(m) * c[k].value
                         for (m, w), c in zip(line.items(), columns, strict=True)]  # fmt: skip
                if abs(seen.value - sum(parts)) > mpf(10) ** -20 * sum(map(abs, parts)):
                    return Slope("kink")
        return Slope("smooth")

    def scale(self, move: Move) -> Any:
        """The power of two nearest to a component, or to the smallest one where it is zero."""
        i, index = move
        size = abs(float(np.asarray(self.arrays[i])[index])) or self.smallest
        return mpf(2) ** (math.frexp(size)[1] - 1)

    def along(self, line: Mapping[Move, Any]) -> list[Slope]:
        """The slope of each output along a line of components, in their scales if several."""
        scales = {move: self.scale(move) for move in line}
        unit = next(iter(scales.values())) if len(line) == 1 else mpf(1)
        for digits in DIGITS:
            if time.monotonic() > self.deadline:
                raise Uncertified(f"more than {SECONDS:g} s")
            with mp.workdps(digits):
                there = [self.outputs({m: w * h * scales[m] for m, w in line.items()})
                         for n in STEPS for h in (-(mpf(2) ** n), mpf(2) ** n)]  # fmt: skip
                steps = [unit * mpf(2) ** step for step in STEPS]
                found = [_judged(y, sides, steps, digits)
                         for y, *sides in zip(self.outputs({}), *there, strict=True)]  # fmt: skip
            if None not in found:
                break
        return [slope or Slope(UNKNOWN) for slope in found]

    def outputs(self, moves: Mapping[Move, Any]) -> list[Any]:
        """The outputs where components are moved, by the branch that Python takes there."""
        known = _exact(self.graph, self.arrays)
        for (i, index), step in moves.items():
            known[self.graph.inputs[i]][index] += step
        graph = self.taken(known) if moves and self.graph.guards else self.graph
        read(graph.outputs, known)
        return list(known[graph.outputs[0]].flat)

    def taken(self, known: dict[Expr, Any]) -> Graph:
        """The graph that holds beside the point; a float's decision stands unless the exact one is
        the same at the point, and another one here.
        """
        here = _exact(self.graph, self.arrays)

        def answer(node: Expr, value: Any) -> Any:
            there, at = read([node], known)[node], read([node], here)[node]
            return np.where(np.asarray(at == value, bool), there, value)

        guards = self.graph.guards
        if all(np.array_equal(answer(g.expr, g.value), g.value) for g in guards):
            return self.graph
        with np.errstate(all="ignore"):
            return retrace(self.graph, self.f, self.signature, self.arrays, answer)


# What differences say -----------------------------------------------------------------------------


def _judged(y: Any, sides: Sequence[Any], steps: Sequence[Any], digits: int) -> Slope | None:
    """The slope of one output along a line, or None where more digits are needed.

    `sides` are its values at -h, h for the longer step, then for the shorter one.
    """
    outside = [not mpmath.isfinite(sides[2]), not mpmath.isfinite(sides[3])]
    if not mpmath.isfinite(y) or all(outside):
        return Slope("undefined") if digits > DIGITS[0] else None
    noise = mpf(10) ** (-digits * 4 // 5) * abs(y)
    quotients = [[(v - y) / (sign * h) for v, h in zip(sides[k::2], steps, strict=True)]
                 for k, sign in enumerate((-1, 1))]  # fmt: skip
    for k in (0, 1):
        far, near = (abs(v - y) for v in sides[k::2])
        if near > far / 100 and near > noise and not outside[k]:
            visible = near > LEAST_GAP * (abs(y) + abs(sides[k + 2]))
            return Slope("jump") if visible else None
    least = noise / steps[1]
    ways = [None if gone else _limit(quotients[k], least, digits) for k, gone in enumerate(outside)]
    if any(outside):
        (slope,) = [w for w, gone in zip(ways, outside, strict=True) if not gone]
        return None if slope is None else Slope("one-sided", slope)
    gaps = [abs(a - b) for a, b in zip(*quotients, strict=True)]
    size = max(abs(q[1]) for q in quotients)
    if gaps[1] <= CLOSE * size + least or gaps[1] <= mpf(10) ** -5 * gaps[0]:
        central = [(sides[k + 1] - sides[k]) / (2 * h) for k, h in zip((0, 2), steps, strict=True)]
        slope = _limit(central, least, digits, CLOSER)
        if slope is not None and mpmath.isfinite(slope):
            return Slope("smooth", slope)
    left, right = ways
    if left is None or right is None:
        return None
    if mpmath.isinf(left) and left == right:
        return Slope("infinite", left)
    return Slope("kink") if not abs(left - right) <= LEAST_GAP * size else None


def _limit(q: Sequence[Any], least: Any, digits: int, close: Any = CLOSE) -> Any:
    """What two quotients tend to, a number, zero or infinity, or None where they do not tell."""
    first, second = q
    if abs(second) <= least:  # nothing but rounding is left of it
        return mpf(0) if digits > DIGITS[0] else None
    if abs(second - first) <= close * abs(second):
        return second
    if abs(second) <= mpf(10) ** -5 * abs(first):
        return mpf(0)
    return mp.sign(second) * mp.inf if abs(second) >= 100 * abs(first) else None
