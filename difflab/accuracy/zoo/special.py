"""Zoo functions with a special point: a hole or a choice that is not felt, a jump, no value.

Invariant: nothing but NumPy and Python is used inside a function. What a rule says at such a point
is a convention; what the function does there is a matter of analysis.
"""

from __future__ import annotations

import numpy as np

from difflab.accuracy.zoo.form import (
    Array,
    Members,
    Value,
    edge,
    hard,
    jump,
    ordinary,
    removable,
    undefined,
)

member = Members()

# --- removable: the formula has a choice or a hole, the function has a derivative -----------------


@member(
    "scalar cancellation control-flow removable",
    ordinary(1.0),
    hard(1e-6, note="cos(x)/x - sin(x)/x² cancels"),
    removable(0.0, note="the branch is a constant: slope 0 is right, the curvature -1/3 is lost"),
)
def sinc_guarded(x: float) -> Value:
    """1 if x == 0 else sin(x) / x"""
    if x == 0.0:
        return 1.0
    return np.sin(x) / x


@member(
    "scalar control-flow removable",
    ordinary(0.5),
    hard(-800.0, note="exp(-x) would overflow"),
    removable(0.0, note="the branches meet with all their slopes"),
)
def sigmoid_by_branches(x: float) -> Value:
    """1 / (1 + exp(-x)) if x >= 0 else exp(x) / (1 + exp(x))"""
    if x >= 0:
        return 1 / (1 + np.exp(-x))
    return np.exp(x) / (1 + np.exp(x))


@member("scalar removable", ordinary(-1.5), removable(0.0, note="slope 1; the rules say 0"))
def magnitude_times_sign(x: float) -> Value:
    """|x| sign x"""
    return np.abs(x) * np.sign(x)


@member(
    "scalar removable", ordinary(-1.5), removable(0.0, note="slope 1; the branch is a constant")
)
def identity_with_a_hole(x: float) -> Value:
    """0 if x == 0 else x, by np.where"""
    return np.where(x == 0.0, 0.0, x)


@member("scalar removable", ordinary(0.3), ordinary(-4.0), removable(1.0, note="curvature jumps"))
def huber(x: float) -> Value:
    """x²/2 if |x| <= 1 else |x| - 1/2"""
    return np.where(np.abs(x) <= 1, 0.5 * x * x, np.abs(x) - 0.5)


@member(
    "multivariate removable linear-algebra",
    ordinary((3.0, -4.0)),
    removable((0.0, 0.0), note="slopes 0, through the tip of a cone"),
)
def square_of_norm(x: Array) -> Value:
    """||x||², by np.linalg.norm"""
    return np.linalg.norm(x) ** 2


# --- jumps ----------------------------------------------------------------------------------------


@member("scalar jump", ordinary(0.3), jump(0.0, note="from 0 to 1; the slope is 0 beside it"))
def step(x: float) -> Value:
    """1 if x > 0 else 0"""
    return np.where(x > 0, 1.0, 0.0)


@member("scalar jump", ordinary(0.3), jump(2.5, note="rounding to even, from 2 to 3"))
def rounded(x: float) -> Value:
    """x² + x rounded to even"""
    return x * x + np.round(x)


@member("scalar jump", ordinary(-0.3), jump(2.0, note="from 1 to 0, where floor jumps"))
def sawtooth(x: float) -> Value:
    """x - floor(x)"""
    return x - np.floor(x)


@member(
    "multivariate jump control-flow",
    ordinary((0.5, -1.0, 2.0)),
    jump((2.0, 1.0, 2.0), note="the largest two tie, and their places count"),
)
def place_of_largest(x: Array) -> Value:
    """x.x + i x_i, i the first place of the largest"""
    place = 0
    for i in range(1, x.shape[0]):
        if x[i] > x[place]:
            place = i
    return x @ x + (place + 1) * x[place]


# --- no value -------------------------------------------------------------------------------------


@member(
    "scalar domain-edge",
    ordinary(-2.0),
    edge(1e-150, note="slope -1e300"),
    undefined(0.0, note="1/0 = inf"),
)
def reciprocal(x: float) -> Value:
    """1 / x"""
    return np.reciprocal(x)


@member(
    "multivariate domain-edge",
    ordinary((1.0, 2.0, 4.0)),
    undefined((0.0, 1.0, 2.0), note="log(0) = -inf, and the value is 0 in floats"),
    undefined((-1.0, 1.0, 2.0), note="log of a negative number: NaN"),
)
def geometric_mean(x: Array) -> Value:
    """exp(mean log x_i)"""
    return np.exp(np.mean(np.log(x)))
