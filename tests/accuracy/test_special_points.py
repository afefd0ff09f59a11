"""Special points: what `truth` says at kinks, jumps, ties, removable points and edges, against
difference quotients with tiny steps in mpmath, and values known by analysis.
"""

from __future__ import annotations

import itertools
import math
import os
from typing import Any, Final

import numpy as np
import pytest
from mpmath import mp, mpf

import difflab
from difflab.accuracy.truth import truth
from tests.accuracy.compositions_with_kinks import (
    BINARY,
    POINTS,
    applied,
    exact,
    plain,
    random_tree,
    text,
)

from ..opaque import by_bytes

NIGHTLY: Final = os.environ.get("DIFFLAB_PROFILE") == "nightly"
FIRST: Final = range(1000 if NIGHTLY else 100)
SECOND: Final = range(300 if NIGHTLY else 30)
STEP, INNER = mpf(2) ** -700, mpf(2) ** -3000


def _close(a: Any, b: float) -> bool:
    if math.isinf(b):
        return bool(a * b > mpf(2) ** 40)
    return bool(abs(a - mpf(b)) <= mpf(2) ** -50 * max(1, abs(mpf(b))))


def _steep(slope: float, quotient: Any) -> bool:
    """A slope that tends to infinity as slowly as a logarithm does."""
    return math.isinf(slope) and bool(quotient * slope > 100)


def _agrees(seen: float, quotient: Any) -> bool:
    return _close(quotient, seen) or _steep(seen, quotient)


@pytest.mark.parametrize("block", range(10))
def test_what_is_certified_is_what_tiny_steps_say(block: int) -> None:
    undecided = 0
    for seed in FIRST[block::10]:
        rng = np.random.default_rng(seed)
        tree, x = random_tree(rng, int(rng.integers(1, 5))), float(rng.choice(POINTS))
        with np.errstate(all="ignore"):
            found = truth(plain(tree), x)
        with mp.workprec(6000):
            try:
                middle, *beside = (exact(tree, mpf(x) + t) for t in (0, -STEP, STEP))
            except OverflowError:  # beyond mpmath's range
                continue
            where = f"seed {seed}: {text(tree)} at {x}: {found.verdict}"
            left, right = (
                (value - middle) / t for value, t in zip(beside, (-STEP, STEP), strict=True)
            )
            special = found.special.get("x")
            sides = (special.left, special.right) if special else (float(found.midpoint),) * 2
            inside = [not mp.isnan(value) for value in beside]
            match found.verdict:
                case "undecided":
                    undecided += 1
                case "undefined":
                    assert mp.isnan(middle) or not any(inside), where
                case "jump":
                    gaps = [
                        abs(value - middle) for value, ok in zip(beside, inside, strict=True) if ok
                    ]
                    assert max(gaps) > mpf(2) ** -49 * max(1, abs(middle)), where
                case "one-sided":
                    assert inside.count(True) == 1, where
                    (k,) = np.flatnonzero(inside)
                    assert _agrees(sides[k], (left, right)[k]), where
                case "smooth":
                    ends = (float(found.midpoint),) * 2
                    assert _agrees(ends[0], left) and _agrees(ends[1], right), where
                case _:
                    assert _agrees(sides[0], left) and _agrees(sides[1], right), where
    assert undecided <= max(2, len(FIRST) // 100)


@pytest.mark.parametrize("block", range(5))
def test_second_derivatives_are_what_tiny_steps_say(block: int) -> None:
    for seed in SECOND[block::5]:
        rng = np.random.default_rng(10_000 + seed)
        tree, x = random_tree(rng, int(rng.integers(1, 4))), float(rng.choice(POINTS))
        with np.errstate(all="ignore"):
            first, second = truth(plain(tree), x), truth(plain(tree), x, order=2)
        if second.verdict != "smooth":
            continue
        assert first.verdict == "smooth"
        with mp.workprec(12_000):
            for t in (-STEP, STEP):
                ends = [exact(tree, mpf(x) + t + k) for k in (-INNER, INNER)]
                slope = (ends[1] - ends[0]) / (2 * INNER)
                ends = [exact(tree, mpf(x) + k) for k in (-INNER, INNER)]
                here = (ends[1] - ends[0]) / (2 * INNER)
                where = f"seed {seed}: {text(tree)} at {x}"
                assert _close((slope - here) / t, float(second.midpoint)), where


class _Two:
    """A composition of two variables, as NumPy has it and exactly."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.trees = [random_tree(rng, int(rng.integers(0, 3))) for _ in range(3)]
        self.outer, self.inner = (BINARY[rng.integers(len(BINARY))] for _ in range(2))
        self.point = [float(rng.choice(POINTS)) for _ in range(2)]

    def plain(self, v: Any) -> Any:
        first, second, both = map(plain, self.trees)
        return self.outer.plain(first(v[0]), self.inner.plain(second(v[1]), both(v[0] * v[1])))

    def exact(self, v: Any) -> Any:
        first, second, both = (
            exact(tree, x) for tree, x in zip(self.trees, (*v, v[0] * v[1]), strict=True)
        )
        return applied(self.outer, first, applied(self.inner, second, both))

    def slope(self, i: int, v: Any) -> Any:
        ends = [[x + t * (k == i) for k, x in enumerate(v)] for t in (-INNER, INNER)]
        return (self.exact(ends[1]) - self.exact(ends[0])) / (2 * INNER)


@pytest.mark.parametrize("block", range(5))
def test_derivatives_by_two_variables_are_what_tiny_steps_say(block: int) -> None:
    for seed in range(block, 100 if NIGHTLY else 20, 5):
        two = _Two(np.random.default_rng(50_000 + seed))
        with np.errstate(all="ignore"):
            first, second = (truth(two.plain, np.array(two.point), order=k) for k in (1, 2))
        told = [p.verdict for p in (*first.special.values(), *second.special.values())]
        if set(told) - {"smooth"}:
            continue
        with mp.workprec(12_000):
            v = [mpf(x) for x in two.point]
            for i, j, t in itertools.product(range(2), range(2), (-STEP, STEP)):
                beside = [x + t * (k == j) for k, x in enumerate(v)]
                slope = (two.exact(beside) - two.exact(v)) / t
                curvature = (two.slope(i, beside) - two.slope(i, v)) / t
                assert _close(slope, first.midpoint[j]), f"seed {seed}"
                assert _close(curvature, second.midpoint[i][j]), f"seed {seed}"


# Values known by analysis ----------------------------------------------------------------------


def _branch_at_zero(x: Any) -> Any:
    return 0.0 * x if x == 0 else x * np.log(2.0)


def _flat_branch(x: Any) -> Any:
    return 0 * x if x <= 0 else np.exp(-1 / x)


def _insertion_sorted(x: Any) -> Any:
    v = [x[i] for i in range(4)]
    for i in range(1, 4):
        j = i
        while j > 0 and v[j - 1] > v[j]:
            v[j - 1], v[j] = v[j], v[j - 1]
            j -= 1
    return v[0] + 2 * v[1] + 3 * v[2] + 4 * v[3]


def _fixed_point(a: Any) -> Any:
    x = a
    while True:
        y = 0.5 * (x + a / x)
        if y == x:
            return x
        x = y


def _sigmoid(x: Any) -> Any:
    return np.where(x >= 0, 1.0, np.exp(-np.abs(x))) / (1 + np.exp(-np.abs(x)))


ZERO, SINGULAR = np.zeros(2), np.array([[1.0, 2.0], [2.0, 4.0]])
SMOOTH = {
    "sigmoid": (_sigmoid, 0.0, 1, 0.25),
    "|x| sign x": (lambda x: np.abs(x) * np.sign(x), 0.0, 1, 1.0),
    "relu(x) - relu(-x)": (lambda x: difflab.relu(x) - difflab.relu(-x), 0.0, 1, 1.0),
    "copysign": (lambda x: np.copysign(np.abs(x), x), 0.0, 1, 1.0),
    "arcsinh by logarithms": (
        lambda x: np.sign(x) * np.log(np.abs(x) + np.sqrt(x * x + 1)), 0.0, 1, 1.0,
    ),
    "a hole": (lambda x: np.where(x == 0, 0.0, x * np.log(2.0)), 0.0, 1, math.log(2.0)),
    "a hole in Python": (_branch_at_zero, 0.0, 1, math.log(2.0)),
    "a flat branch": (_flat_branch, 0.0, 1, 0.0),
    "a flat branch, twice": (_flat_branch, 0.0, 2, 0.0),
    "cbrt cubed": (lambda x: np.cbrt(x) ** 3, 0.0, 1, 1.0),
    "a fixed point by rounding": (_fixed_point, 2.0, 1, 0.5 / math.sqrt(2.0)),
    "|x|^2, twice": (lambda x: np.abs(x) ** 2, 0.0, 2, 2.0),
    "|x|^2.5, twice": (lambda x: np.abs(x) ** 2.5, 0.0, 2, 0.0),
    "two parabolas, twice": (lambda x: np.maximum(x * x, 2 * x - 1), 1.0, 2, 2.0),
    "softplus, twice": (
        lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), 0.0, 2, 0.25,
    ),
    "the square of a norm": (lambda x: np.linalg.norm(x) ** 2, ZERO, 1, [0.0, 0.0]),
    "the square of a norm, twice": (
        lambda x: np.linalg.norm(x) ** 2, ZERO, 2, [[2.0, 0.0], [0.0, 2.0]],
    ),
    "a determinant": (np.linalg.det, SINGULAR, 1, [[4.0, -2.0], [-2.0, 1.0]]),
    "a determinant of rank 0": (np.linalg.det, np.zeros((3, 3)), 1, np.zeros((3, 3)).tolist()),
    "the norm of 0": (lambda a: np.linalg.norm(a * np.zeros(2)), 1.3, 1, 0.0),
    "the deviation of one": (np.std, np.array([2.0]), 1, [0.0]),
    "a branch at one point, mixed": (
        lambda x: np.where(x[1] == 0, 0.0, x[0] * x[1]), ZERO, 2, [[0.0, 1.0], [1.0, 0.0]],
    ),
    "inexact ties": (
        lambda x: np.maximum(np.exp(x), np.exp(x / 2) ** 2), 1.0, 1, math.e,
    ),
    "a percentile": (lambda x: np.percentile(x, 50), np.array([3.0, 1.0, 2.0]), 1, [0.0, 0.0, 1.0]),
    "x^2 sin(1/x)": (lambda x: np.where(x == 0, 0.0, x * x * np.sin(1 / x)), 0.0, 1, 0.0),
}  # fmt: skip
OTHERWISE = {
    "rounding": (lambda x: np.round(x) + x, 2.5, 1, "jump"),
    "the cut of arctan2": (lambda y: np.arctan2(y, -1.0), 0.0, 1, "jump"),
    "a spike": (lambda x: (x == 0) * 1.0 + x, 0.0, 1, "jump"),
    "truncation": (lambda x: x.astype(int) + x, np.array(2.0), 1, "jump"),
    "a remainder": (lambda x: x % 7, 7.0, 1, "jump"),
    "counting": (lambda x: sum(1 for k in range(9) if x >= k) + x, 8.0, 1, "jump"),
    "arctan2 at the origin": (lambda v: np.arctan2(v[0], v[1]), ZERO, 1, "jump"),
    "the median of equals": (np.median, np.ones(3), 1, "kink"),
    "a sum of what is sorted": (
        lambda x: np.sum(np.sort(x) * np.arange(3)), np.array([1.0, 1.0, 2.0]), 1, "kink",
    ),
    "insertion sort": (_insertion_sorted, np.array([1.0, 2.0, 2.0, 0.0]), 1, "kink"),
    "the element at argmax": (lambda x: x[np.argmax(x)], np.array([1.0, 1.0, 0.0]), 1, "kink"),
    "relu of a minimum": (lambda x: np.maximum(np.minimum(x[0], x[1]), 0), ZERO, 1, "kink"),
    "equal deviations": (np.std, np.array([2.0, 2.0]), 1, "kink"),
    "|x|, twice": (np.abs, 0.0, 2, "kink"),
    "relu squared, twice": (lambda x: difflab.relu(x) ** 2, 0.0, 2, "kink"),
    "max(x y, 0), twice": (lambda x: np.maximum(x[0] * x[1], 0), ZERO, 2, "kink"),
    "a jump that ends in a partial derivative": (
        lambda x: np.maximum(x[0], np.floor(x[1])), np.ones(2), 2, "kink",
    ),
    "|x| y, twice": (lambda x: np.abs(x[0]) * x[1], ZERO, 2, "kink"),
    "tanh(1/x) x": (lambda x: np.where(x == 0, 0.0, np.tanh(1 / x) * x), 0.0, 1, "kink"),
    "cbrt": (np.cbrt, 0.0, 1, "infinite"),
    "sqrt": (np.sqrt, 0.0, 1, "one-sided"),
    "x^1.5": (lambda x: x**1.5, 0.0, 1, "one-sided"),
    "log": (np.log, -1.0, 1, "undefined"),
    "log at 0": (np.log, 0.0, 1, "undefined"),
    "arctanh": (np.arctanh, 2.0, 1, "undefined"),
    "log1p": (np.log1p, -3.0, 1, "undefined"),
    "log2": (np.log2, -3.0, 1, "undefined"),
    "log10": (np.log10, -3.0, 1, "undefined"),
    "x sin(1/x)": (lambda x: np.where(x == 0, 0.0, x * np.sin(1 / x)), 0.0, 1, "undecided"),
    "a choice by rounding": (
        lambda x: np.where(np.sin(x) ** 2 + np.cos(x) ** 2 == 1, x, 2 * x), 1.0, 1, "undecided",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SMOOTH)
def test_where_there_is_a_derivative_it_is_certified_whatever_the_rules_say(name: str) -> None:
    f, x, order, expected = SMOOTH[name]
    found = truth(f, x, order=order)
    assert found.verdict == "smooth" and found.kinks == ()
    assert np.max(found.ulps(np.array(expected))) <= 1.0


@pytest.mark.parametrize("name", OTHERWISE)
def test_where_there_is_none_nothing_is_certified(name: str) -> None:
    f, x, order, verdict = OTHERWISE[name]
    found = truth(f, x, order=order)
    assert found.verdict == verdict
    if verdict in ("kink", "jump", "undefined", "undecided"):
        assert np.isnan(found.midpoint).any()
    assert bool(found.kinks) == (verdict in ("kink", "jump"))
    assert all(kink.jump for kink in found.kinks) == (verdict != "kink")


def test_a_branch_that_cannot_be_traced_is_not_guessed() -> None:
    def f(x: Any) -> Any:
        return 0 * x if x <= 0 else np.exp(-1 / by_bytes(x))

    found = truth(f, 0.0)
    assert found.verdict == "undecided" and "array.tobytes" in found.notes[0]
    assert difflab.check(f, 0.0, gradient=lambda x: 0.0 * x).verdict in (
        "correct", "undecided",
    )  # fmt: skip


def test_of_many_ties_it_is_said_how_many_were_looked_at() -> None:
    found = truth(lambda x: np.sum(np.abs(x) * np.sign(x) + np.max(x)), np.zeros(3000))
    assert found.verdict == "undecided" or found.verdict == "kink"
    told = [p.reason for p in found.special.values() if p.verdict == "undecided"]
    assert not told or "3000 components meet a choice or a border here" in told[0]


TRUTHS = {
    "if": lambda x: 2.0 + x if x else 3 * x,
    "not": lambda x: x if not x else 2.0 + x,
    "and": lambda x: x and 2.0 + x,
    "or": lambda x: x or 5.0,
    "bool": lambda x: x * 1.0 + bool(x),
    "any": lambda x: 2.0 + x if np.any(x) else x,
    "where": lambda x: np.where(x, 2.0 + x, 3 * x),
    "logical_not": lambda x: (2.0 + x) * np.logical_not(x),
    "count_nonzero": lambda x: 2.0 * np.count_nonzero(np.stack([x, x])) + x,
    "nonzero": lambda x: 2.0 * len(np.nonzero(np.stack([x, x]))[0]) + x,
}


@pytest.mark.parametrize("name", TRUTHS)
def test_the_truth_of_a_number_jumps_at_zero(name: str) -> None:
    f = TRUTHS[name]
    assert difflab.truth(f, 0.0).verdict == "jump"
    assert difflab.check(f, 0.0).verdict == "kink"
    assert difflab.truth(f, 1.3).verdict == "smooth"
    held = difflab.derivative(f)
    assert [held(x) for x in (1.3, -2.0)] == [difflab.derivative(f)(x) for x in (1.3, -2.0)]
    assert len(held.programs.by_signature[next(iter(held.programs.by_signature))]) == 1


def test_a_text_of_a_number_is_no_certificate_beside_a_kink() -> None:
    """What Python asked for is the number itself, which is another one on either side."""

    def f(x: Any) -> Any:
        return abs(x) + (1.0 if f"{x:.1f}" == "0.0" else 0.0)

    assert difflab.truth(f, 0.0).verdict == "undecided"
    assert difflab.check(f, 0.0).verdict == "undecided"
