"""Every partial of every pointwise row is within 4 ulps of the truth, over its whole domain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import difflab
from difflab.accuracy.digits import (
    distances,
    is_gradable,
    partial_digits,
    points,
    truths,
)
from difflab.accuracy.truth import truth
from difflab.ir.expr import Graph, placeholder
from difflab.ir.row import TABLE

ULPS = 4.0
GRADED = [row.name for row in TABLE.values() if is_gradable(row)]


@pytest.mark.parametrize("name", GRADED)
def test_partials_have_their_digits(
    name: str, record_property: Callable[[str, object], None]
) -> None:
    table = partial_digits([name])
    record_property("digits", table.to_dict("records"))
    assert (table["samples"] >= 2000).all()
    assert table["max_ulps"].max() <= ULPS, table.to_string()
    assert TABLE[name].corner or (table["corner_ulps"] == 0.0).all()


SPECIAL: list[tuple[str, Any, tuple[float, ...], int]] = [
    ("tanh", np.tanh, (20.0,), 0),
    ("sigmoid", difflab.sigmoid, (40.0,), 0),
    ("expm1", np.expm1, (-40.0,), 0),
    ("log1p", np.log1p, (1e300,), 0),
    ("arccosh", np.arccosh, (1 + 1e-12,), 0),
    ("arctanh", np.arctanh, (1 - 1e-12,), 0),
    ("logaddexp a", np.logaddexp, (800.0, -800.0), 0),
    ("logaddexp b", np.logaddexp, (800.0, -800.0), 1),
    ("hypot", np.hypot, (5e-324, 5e-324), 0),
    ("arctan2", np.arctan2, (1e-310, 3e-310), 0),
    ("erf", difflab.erf, (26.5,), 0),
    ("power", lambda x, n: x**n, (1.0000001, 1e9), 1),
    ("softplus", difflab.softplus, (-700.0,), 0),
    ("tanh, denormal", np.tanh, (-368.0,), 0),
    ("sigmoid, denormal", difflab.sigmoid, (740.0,), 0),
]


@pytest.mark.parametrize("method", ["reverse", "forward"])
@pytest.mark.parametrize("case", SPECIAL, ids=[name for name, *_ in SPECIAL])
def test_where_others_lose_all_digits(
    case: tuple[str, Any, tuple[float, ...], int], method: str
) -> None:
    _, f, at, argnum = case
    found = difflab.derivative(f, argnums=argnum, method=method)(*at)
    assert truth(f, *at, argnums=argnum).ulps(found) <= 2.0


@pytest.mark.parametrize("method", ["reverse", "forward"])
def test_cbrt_has_its_slopes_everywhere(method: str) -> None:
    slope = difflab.derivative(np.cbrt, method=method)
    bend = difflab.derivative(slope, method=method)
    with np.errstate(all="ignore"):
        assert [slope(x) for x in (0.0, -0.0, np.inf, -np.inf)] == [np.inf, np.inf, 0.0, 0.0]
        assert [bend(x) for x in (0.0, np.inf, -np.inf)] == [-np.inf, 0.0, 0.0]
        assert np.isnan(slope(np.nan))
        single = [slope(np.float32(x)) for x in (-8.0, 0.0, 1e-45, 8.0, 3e38)]
    assert {np.asarray(x).dtype for x in single} == {np.dtype(np.float32)}
    assert np.array_equal(single[:2], np.array([1 / 12, np.inf], np.float32))
    assert np.isfinite(single[2:]).all() and np.all(np.array(single[2:]) > 0.0)


@pytest.mark.parametrize("order", [2, 3, 4])
@pytest.mark.parametrize("f", [np.tanh, difflab.sigmoid, difflab.softplus, np.cbrt])
def test_higher_derivatives_keep_their_digits(f: Any, order: int) -> None:
    for _ in range(order - 1):
        f = difflab.derivative(f)
    found = difflab.derivative(f)
    for x in (1e-20, -1e-9, 1e-3, 0.1, 0.3, -0.5, 20.0, -40.0, -300.0, 353.0):
        assert truth(f, x).ulps(found(x)) <= 8.0, x


@pytest.mark.parametrize("x", [-2.5, -0.2, 0.1, 0.2, 1.5])
@pytest.mark.parametrize("f", [np.cbrt, np.exp2, np.tanh, difflab.sigmoid, difflab.softplus])
def test_rules_that_choose_take_complex_steps(f: Any, x: float) -> None:
    slope = difflab.derivative(f)
    bend = difflab.derivative(slope, method="complex_step")(x)
    assert bend == pytest.approx(difflab.derivative(slope)(x), rel=1e-13)


def test_points_reach_every_exponent() -> None:
    for row in TABLE.values():
        if is_gradable(row) and len(row.domain) == 1:
            (x,) = points(row, 7000)
            low, high = row.domain[0].low, row.domain[0].high
            most = 52 if row.kink is not None else 1022  # larger numbers are integers, steps or not
            inside = {e for e in range(-1074, most) if low < 2.0**e and 2.0 * 2.0**e < high}
            assert inside <= set((np.frexp(x)[1] - 1).tolist()), row.name


def test_distances() -> None:
    x = placeholder((), np.dtype(np.float64), "x")
    third = Graph((x,), (1.0 / x,))  # type: ignore[operator]
    nearest, rest = truths(third, [np.array([3.0])])
    assert nearest[0] == 1.0 / 3.0
    assert rest[0] == pytest.approx(1.0 / 3.0)  # 1/3 is a third of an ulp above its float
    off = distances(np.nextafter(nearest, 1.0), nearest, rest)
    assert off[0] == pytest.approx(2.0 / 3.0)
    assert np.isinf(distances(np.array([np.nan]), nearest, rest))[0]


def test_unknown_rows_are_refused() -> None:
    with pytest.raises(difflab.errors.UnknownNameError, match="did you mean 'tan"):
        partial_digits(["tahn"])
