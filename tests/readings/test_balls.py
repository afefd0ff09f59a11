"""Balls at jumps and ties: what each holds is a plain fact of arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from flint import arb

import difflab
from difflab.readings.balls import EVERY_BIT, enclose, precision
from difflab.table.arithmetic import floor_of_quotient
from difflab.table.choices import convert_ball, copysign_ball, rint_ball, sign_ball, step_ball
from difflab.table.reductions import index_of_largest
from difflab.table.reductions import sorting_order as order


def near(number: float, side: int) -> arb:
    """2^-400 to one side."""
    with precision(EVERY_BIT):
        return arb(number) + side * arb(2) ** -400


@pytest.mark.parametrize("number", [-3.5, -2.5, -0.5, 0.0, 0.5, 1.5, 2.5, 7.0, 2.0**52 + 1, 1e300])
def test_rint_decides_ties_exactly(number: float) -> None:
    assert rint_ball(arb(number)) == round(number)
    if number % 1.0 == 0.5:
        assert rint_ball(near(number, 1)) == np.ceil(number)
        assert rint_ball(near(number, -1)) == np.floor(number)
        assert not rint_ball(arb(number, 1e-30)).is_exact()


def test_signs() -> None:
    assert copysign_ball(arb(-3), arb(0)) == 3
    assert copysign_ball(arb(3), near(0.0, -1)) == -3
    for open_sign in (sign_ball(arb(0, 1)), copysign_ball(arb(-1), arb(0, 1))):
        assert open_sign.contains(1) and open_sign.contains(-1)
    assert sign_ball(arb("nan")).is_nan() and copysign_ball(arb(1), arb("nan")).is_nan()
    assert step_ball(arb(0, 1), arb(5)).contains(5) and step_ball(arb("nan"), arb(1)).is_nan()


def test_casts_truncate() -> None:
    for number in (-2.7, -0.5, 0.0, 0.5, 2.7, -7.0):
        assert convert_ball(arb(number), "int64") == int(number)
        assert convert_ball(arb(number), "float32") == arb(number)
    assert convert_ball(arb(0, 0.5), "int64") == 0
    assert convert_ball(near(0.0, 1), "bool") is True and convert_ball(arb(0, 1), "bool") is None


@pytest.mark.parametrize("b", [7.0, -7.0, 0.1, -1.1])
def test_quotients_next_to_an_integer(b: float) -> None:
    with precision(EVERY_BIT):
        for m in (-3, 0, 1, 10):
            a = m * arb(b)
            assert floor_of_quotient(a, arb(b)) == m
            above = a + (1 if b > 0 else -1) * arb(2) ** -900
            below = a - (1 if b > 0 else -1) * arb(2) ** -900
            assert floor_of_quotient(above, arb(b)) == m
            assert floor_of_quotient(below, arb(b)) == m - 1
    (rest,) = enclose(difflab.trace(lambda x: x % 7.0, 7.0), [7.0])
    assert rest.item() == 0


def test_order_tells_apart_what_floats_do_not() -> None:
    balls = np.array([near(1.0, 1), arb(1), near(1.0, -1), arb(0)], object)
    assert order(balls, -1).tolist() == [3, 2, 1, 0]
    assert index_of_largest(balls[::-1], -1) == 3
    unknown = np.array([arb(2), arb("nan"), arb(1)], object)
    assert order(unknown, -1).tolist() == [2, 0, 1]
    assert index_of_largest(unknown, -1) == 1
    x = np.random.default_rng(0).integers(0, 3, 300).astype(float)
    exact = np.array([arb(number) for number in x], object)
    assert order(exact, -1).tolist() == np.argsort(x).tolist()


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (lambda x: np.percentile(x, 50), [1, 0, 0, 0, 0]),
        (lambda x: np.percentile(x, 30), [0.2, 0, 0.8, 0, 0]),
        (lambda x: np.quantile(x, 0.25), [0, 0, 1, 0, 0]),
        (np.median, [1, 0, 0, 0, 0]),
        (lambda x: np.sum(x.astype(int) * x), [3, 1, 2, 5, 4]),
    ],
)
def test_order_statistics_have_a_truth(f: Any, expected: list[float]) -> None:
    x = np.array([3.25, 1.25, 2.25, 5.25, 4.25])
    np.testing.assert_allclose(difflab.truth(f, x).midpoint, expected, atol=1e-15)
