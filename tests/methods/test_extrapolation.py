"""Derivatives along a line: honest bands, kinks, edges of the domain, noise, few evaluations."""

from __future__ import annotations

import math

import numpy as np
import pytest

from difflab.methods.differences.extrapolation import along

F8, F4 = np.dtype(np.float64), np.dtype(np.float32)


def at(f, x, order=1, dtype=F8):
    return along(lambda t: f(x + t), scale=max(abs(x), 1.0), near=abs(x), dtype=dtype, order=order)


SMOOTH = [
    (math.exp, 1.0, math.e),
    (math.log, 0.3, 1.0 / 0.3),
    (math.log, 1e-12, 1e12),
    (lambda x: 1.0 / x, 1e-3, -1e6),
    (math.sqrt, 2.0, 0.5 / math.sqrt(2.0)),
    (math.sin, 1000.0, math.cos(1000.0)),
    (math.tanh, 3.0, 1.0 / math.cosh(3.0) ** 2),
    (lambda x: x**3, 1e100, 3e200),
    (lambda x: math.tanh(1e6 * (x - 0.5)), 0.5, 1e6),
    (lambda x: x + math.sin(2 * math.pi * x / 0.2371), 0.0, 1.0 + 2 * math.pi / 0.2371),
    (lambda x: x + math.sin(2 * math.pi * x), 0.0, 1.0 + 2 * math.pi),
    (lambda x: 5.0 * x - 1.0, 0.7, 5.0),
]


@pytest.mark.parametrize(("f", "x", "truth"), SMOOTH)
def test_the_band_holds_the_truth_and_is_narrow(f, x, truth):
    found = at(f, x)
    assert abs(found.value - truth) <= found.error <= 3e-6 * abs(truth)
    assert not found.kink and found.sides == 2


@pytest.mark.parametrize(("f", "x", "truth"), [s for s in SMOOTH if 0.1 < abs(s[1]) < 10.0])
def test_ordinary_points_need_few_evaluations(f, x, truth):
    assert at(f, x).evaluations <= 40
    assert at(math.exp, 1.0).evaluations <= 30  # a central difference tool of renown: 31


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_higher_derivatives(order):
    for f, x, truth in [
        (math.exp, 1.0, math.e),
        (math.log, 2.0, -math.factorial(order - 1) * (-0.5) ** order),
        (lambda x: x**order, 0.7, math.factorial(order)),
    ]:
        found = at(f, x, order)
        assert abs(found.value - truth) <= found.error <= 10.0 ** (3 * order - 14) * abs(truth)


def test_evaluations_are_counted():
    calls = []
    found = at(lambda x: calls.append(x) or math.log(x) if x > 0 else math.nan, 1e-6)
    assert found.evaluations >= len(calls) > 0


# -- kinks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "left", "right"),
    [
        (abs, -1.0, 1.0),
        (lambda x: max(x, 0.0), 0.0, 1.0),
        (lambda x: math.exp(x) + 1e-3 * abs(x), 0.999, 1.001),
        (lambda x: math.sin(x) if x > 0 else 0.1 * x, 0.1, 1.0),
        (lambda x: 1.0 + min(x, -2.0 * x), 1.0, -2.0),
    ],
)
def test_a_kink_is_told_and_its_band_holds_both_slopes(f, left, right):
    found = at(f, 0.0)
    assert found.kink
    assert math.isclose(found.left, left, rel_tol=1e-6, abs_tol=1e-12)
    assert math.isclose(found.right, right, rel_tol=1e-6, abs_tol=1e-12)
    assert found.value - found.error <= min(left, right) <= max(left, right)
    assert max(left, right) <= found.value + found.error
    assert at(f, 0.0, 2).error == np.inf


@pytest.mark.parametrize("distance", [1e-1, 1e-3, 1e-5, 1e-8, -1e-8, -1e-5, -1e-3, -1e-1])
def test_beside_a_kink_the_small_steps_give_the_right_side(distance):
    found = at(lambda x: x * x + 2.0 * max(x, 0.0), distance)
    truth = 2.0 * distance + (2.0 if distance > 0 else 0.0)
    assert not found.kink
    assert abs(found.value - truth) <= found.error < 1e-8


@pytest.mark.parametrize("f", [math.floor, np.sign, lambda x: np.where(x > 0, 1.0 + x, x)])
def test_a_jump_is_a_kink_without_a_derivative(f):
    found = at(f, 0.0)
    assert found.kink and math.isnan(found.value) and found.error == np.inf


def test_a_corner_of_the_slope_is_no_kink():
    found = at(lambda x: 0.5 * x * x if x <= 1 else x - 0.5, 1.0)
    assert not found.kink and abs(found.value - 1.0) <= found.error < 1e-11
    assert at(lambda x: 0.5 * x * x if x <= 1 else x - 0.5, 1.0, 2).error == np.inf


# -- the domain ----------------------------------------------------------------------------------


def test_nothing_outside_the_domain_enters():
    def poisoned(x):
        return math.sqrt(x) if x >= 0.0 else 1e300  # finite, but not reached past the NaN

    walled = at(lambda x: math.nan if -1e-9 < x < 0.0 else poisoned(x), 1e-6)
    assert abs(walled.value - 500.0) <= walled.error < 1e-4


@pytest.mark.parametrize(
    ("f", "x", "truth"),
    [(lambda x: x**1.5, 0.0, 0.0), (lambda x: math.exp(math.log1p(x) ** 2) / (x >= 0), 0.0, 0.0)],
)
def test_at_the_edge_one_side_counts(f, x, truth):
    found = at(f, x)
    assert found.sides == 1 and abs(found.value - truth) <= found.error < 1e-3
    assert math.isnan(found.left)


@pytest.mark.parametrize("f", [np.sqrt, np.cbrt, np.arccos, lambda x: x * np.log(x) + 1])
def test_an_infinite_slope_is_not_a_number(f):
    found = at(f, 1.0 if f is np.arccos else 0.0)
    assert found.error == np.inf and math.isnan(found.value)


@pytest.mark.parametrize("f", [np.log, lambda x: 1.0 / (x + 1.0)])
def test_outside_the_domain_there_is_nothing(f):
    found = at(f, -1.0)
    assert found.sides == 0 and found.error == np.inf and math.isnan(found.value)


def test_each_output_has_its_own_domain_and_kink():
    found = at(lambda x: np.array([np.sqrt(x), abs(x), np.exp(x), x**1.5]), 0.0)
    assert found.sides.tolist() == [1, 2, 2, 1]
    assert found.kink.tolist() == [False, True, False, False]
    assert np.isinf(found.error).tolist() == [True, False, False, False]


# -- noise ---------------------------------------------------------------------------------------


def test_random_noise_is_measured():
    for seed, size in enumerate([1e-12, 1e-9, 1e-6, 1e-3] * 5):
        rng = np.random.default_rng(seed)
        found = at(lambda x, rng=rng, size=size: math.sin(x) + size * rng.standard_normal(), 0.3)
        assert abs(found.value - math.cos(0.3)) <= found.error
        assert found.error > size


@pytest.mark.parametrize(
    "rounded",
    [
        lambda y: float(np.float32(y)),
        lambda y: float(np.float16(y)),
        lambda y: round(y, 4),
        lambda y: y + 1e8 - 1e8,
    ],
)
def test_rounded_values_get_a_wide_band(rounded):
    points = [0.3, 1.0, 1.7, 2.5, -0.1, -4.2]
    found = [at(lambda x: rounded(math.sin(x)), x) for x in points]
    for x, one in zip(points, found, strict=True):
        assert one.error > 1e-9
        assert abs(one.value - math.cos(x)) <= one.error or math.isinf(one.error)
    assert sum(math.isfinite(one.error) for one in found) >= 3


def test_rounded_arguments_get_a_wide_band():
    found = at(lambda x: math.sin(float(np.float32(x))), 0.3)
    assert abs(found.value - math.cos(0.3)) <= found.error < 0.1
    assert found.error > 1e-8


def test_a_plateau_by_cancellation_is_not_taken_for_a_constant():
    found = at(lambda x: math.log(1.0 + math.exp(x)), -40.0)
    assert found.error == np.inf or abs(found.value - 4.248354255291589e-18) <= found.error


def test_what_is_all_noise_is_not_differentiated():
    assert at(np.sin, 1e22).error == np.inf


def test_float32_is_differentiated_as_float32():
    found = at(lambda x: np.sin(np.float32(x)), np.float32(0.7), dtype=F4)
    truth = math.cos(float(np.float32(0.7)))
    assert abs(found.value - truth) <= found.error < 1e-3
