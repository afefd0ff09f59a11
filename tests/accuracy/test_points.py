"""Batches of points are judged as each point alone is; methods of one's own stand in the table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from difflab import check, compare, truth
from difflab.errors import ArgumentError, UnknownNameError
from difflab.methods import METHODS

POINTS = np.array([[1.0, 2.0], [3.0, 0.0], [-1.0, -2.0]])


def f(x: Any) -> Any:
    return x[0] * np.abs(x[1])


def test_the_truth_at_many_points() -> None:
    found = truth(f, POINTS, batch=0)
    assert found.verdicts == ["smooth", "kink", "smooth"] and found.verdict == "kink"
    np.testing.assert_array_equal(found.midpoint, [[2.0, 1.0], [0.0, np.nan], [2.0, 1.0]])
    assert found.radius.shape == (3, 2)
    for k, point in enumerate(POINTS):
        alone = truth(f, point)
        np.testing.assert_array_equal(found[k].midpoint, alone.midpoint)
    assert list(found.table["point"]) == [0, 0, 1, 1, 2, 2]
    assert len(found[1:]) == 2


def test_checks_at_many_points() -> None:
    found = check(lambda x, s: s * f(x), POINTS, 2.0, batch=(0, None))
    assert found.verdicts == ["correct", "kink", "correct"]
    assert repr(found) == "<checks at 3 points: 2 correct, 1 kink>"
    assert "point 1: kink" in str(found) and "<table" in found._repr_html_()
    wrong = check(np.square, np.array([0.0, 1.0]), gradient=lambda x: x, batch=True)
    assert wrong.verdict == "wrong" and not wrong.ok and not wrong
    assert [one.ok for one in wrong] == [True, False]


def test_comparisons_at_many_points() -> None:
    found = compare(f, POINTS, methods=["reverse"], batch=0)
    assert list(found.table["status"]) == ["ok", "kink", "ok"]
    assert "point" in str(found) and repr(found) == "<comparisons at 3 points>"


def test_methods_of_ones_own() -> None:
    found = compare(
        np.tanh,
        20.0,
        methods={
            "naive": lambda x: 1 - np.tanh(x) ** 2,
            "stable": lambda x: [1 / np.cosh(x) ** 2],
            "mode": "forward",
            "object": METHODS["richardson"],
            "raises": lambda x: x.foo,
            "shape": lambda x: np.zeros(3),
        },
    ).table.set_index("method")
    assert list(found.index) == ["naive", "stable", "mode", "object", "raises", "shape"]
    assert found["ulps_max"]["naive"] > 1e15 and found["digits"]["naive"] == 0.0
    assert found["ulps_max"]["stable"] < 2 and found["seconds_run"]["stable"] > 0
    assert "no attribute 'foo'" in found["status"]["raises"]
    assert "shape (3,)" in found["status"]["shape"]
    x = np.array([1.0, 2.0])
    doubling = compare(lambda x: np.sum(x**2), x, methods={"in place": lambda x: np.add(x, x, x)})
    assert doubling.table["ulps_max"][0] == 0.0 and x.tolist() == [1.0, 2.0]
    several = compare(lambda x, y: x * y, 2.0, 3.0, methods={"mine": lambda x, y: (y, x)}).table
    assert several["ulps_max"][0] == 0.0
    with pytest.raises(UnknownNameError):
        compare(np.tanh, 1.0, methods={"mine": "reversed"})
    with pytest.raises(ArgumentError):
        compare(np.tanh, 1.0, methods={"mine": 3})
