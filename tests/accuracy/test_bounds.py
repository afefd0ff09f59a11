"""Bounds over boxes: they hold at random points, by balls of the points, and refuse by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from flint import arb

import difflab
from difflab import enclose
from difflab.accuracy.bounds import Interval
from difflab.accuracy.zoo import ZOO
from difflab.errors import ArgumentError, DifflabError, DomainError, ShapeError
from difflab.ir.expr import evaluate
from difflab.ir.row import TABLE, Primitive, Unsupported
from difflab.ir.tree import flatten, unflatten
from difflab.readings import balls
from difflab.tracing.trace import trace
from tests.laws.laws import applied, in_balls
from tests.laws.samples import samples

Rng = np.random.Generator
RADII = (1e-6, 0.1, 0.5, 2.0)
CHOSEN = ("argmax", "argsort", "qr_factors")
"""Rows whose balls choose at the centre: `enclose` refuses them where the choice may differ."""


def _wide(x: Any, radius: float) -> Any:
    if x.dtype.kind != "f":
        return x
    found = np.empty(x.shape, object)
    for index, number in np.ndenumerate(x):
        found[index] = arb(float(number), radius)
    return found


def _inside(x: Any, radius: float, rng: Rng) -> Any:
    if x.dtype.kind != "f":
        return x
    return x + radius * (rng.choice([-1, 1], x.shape) * rng.uniform(0, 1, x.shape) ** 0.2)


def _holds(ball: Any, number: Any) -> bool:
    """Whether a float may be the rounded value of what a ball holds; None holds both truths."""
    if ball is None or (isinstance(ball, arb) and not ball.is_finite()):
        return True
    if not np.isfinite(number):
        return False
    ball = arb(float(ball)) if not isinstance(ball, arb) else ball
    slack = 1e-9 * float(abs(ball.mid())) + 1e-12
    return bool((ball + arb(0, slack)).contains(arb(float(number))))


@pytest.mark.parametrize("row", TABLE.values(), ids=list(TABLE))
def test_ball_cells_hold_over_wide_balls(row: Primitive) -> None:
    if isinstance(row.ball, Unsupported) or row.name in CHOSEN:
        return
    rng = np.random.default_rng(0)
    for sample in samples(row, (2,)):
        graph = applied(row, sample)
        for radius in RADII:
            wide = in_balls(graph, [_wide(x, radius) for x in sample.operands], 128)
            for _ in range(20):
                point = [_inside(x, radius, rng) for x in sample.operands]
                try:
                    known = dict(zip(graph.inputs, map(np.asarray, point), strict=True))
                    (value,) = evaluate(graph.outputs, known)
                except (np.linalg.LinAlgError, DifflabError):
                    continue
                pairs = zip(np.asarray(wide, object).flat, np.asarray(value).flat, strict=True)
                assert all(_holds(ball, number) for ball, number in pairs), (radius, point)


def _boxes(args: tuple[Any, ...], radius: float, rng: Rng) -> list[tuple[Any, Any]]:
    found = []
    for arg in args:
        leaves, structure = flatten(arg)
        ends = []
        for sign in (-1, 1):
            moved = [
                np.asarray(x) + sign * radius * np.maximum(1, np.abs(x)) * rng.uniform(0.5, 1)
                for x in leaves
            ]
            ends.append(unflatten(structure, [float(m) if m.ndim == 0 else m for m in moved]))
        found.append((ends[0], ends[1]))
    return found


def _point(box: tuple[Any, Any], rng: Rng) -> Any:
    (low, structure), (high, _) = map(flatten, box)
    leaves = [
        np.clip(a + (np.asarray(b) - a) * rng.random(np.shape(a)), a, b)
        for a, b in zip(low, high, strict=True)
    ]
    return unflatten(structure, [float(x) if np.ndim(x) == 0 else x for x in leaves])


def _overlaps(interval: Interval, found: list[Any]) -> bool:
    """Whether balls of single points may lie in an interval."""
    low, high = (np.concatenate([np.ravel(x) for x in flatten(end)[0]])
                 for end in (interval.lower, interval.upper))  # fmt: skip
    ends = [balls.ends(x) for array in found for x in np.asarray(array, object).flat]
    return all(
        end >= a and start <= b
        for (start, end), a, b in zip(ends, low, high, strict=True)
        if np.isfinite(start) or np.isfinite(end)
    )


@pytest.mark.parametrize("name", ZOO)
def test_bounds_hold_at_random_points_of_the_zoo(name: str) -> None:
    """Values and derivatives at points of the box are enclosed by balls of the points themselves,
    through a graph of each: nothing of the search is used.
    """
    function, rng = ZOO[name], np.random.default_rng(len(name))
    for point, radius in zip(function.points, (0.3, 1e-3, 0.3), strict=False):
        box = _boxes(point.args, radius, rng)
        numbers = tuple(range(len(box)))
        try:
            bounds = enclose(function.f, *box, argnums=numbers, pieces=4)
        except DifflabError as error:
            assert isinstance(error, DomainError) or "ball reading" in str(error)
            continue
        for _ in range(3):
            args = tuple(_point(one, rng) for one in box)
            with np.errstate(all="ignore"):
                graph = trace(function.f, *args)
            found = balls.enclose(graph, [np.asarray(x) for x in flatten(args)[0]])
            assert _overlaps(bounds.value, found), (args, bounds.value)
            slopes = difflab.truth(function.f, *args, argnums=numbers)
            if not slopes.special:
                assert _overlaps(bounds.gradient, slopes.balls), (args, bounds.gradient)


def test_most_ordinary_points_of_the_zoo_are_accepted() -> None:
    accepted = refused = 0
    for function in ZOO.values():
        point = function.points[0]
        try:
            enclose(function.f, *_boxes(point.args, 1e-3, np.random.default_rng(0)), pieces=1)
            accepted += 1
        except DomainError:
            refused += 1
    assert accepted > 0.85 * (accepted + refused), (accepted, refused)


def test_bounds_are_sharp_where_the_function_is_monotone() -> None:
    bounds = enclose(lambda x: x**3 + x, (-1.0, 2.0))
    assert (bounds.value.lower, bounds.value.upper) == (-2.0, 10.0)
    assert bounds.gradient.lower <= 1.0 and 13.0 <= bounds.gradient.upper < 13.01


def test_more_pieces_give_narrower_bounds() -> None:
    def f(x: Any) -> Any:
        return np.sum(x) ** 2 - x[0] * x[1] * np.cos(x[0])

    box = ([0.0, -1.0], [2.0, 1.0])
    ends = [enclose(f, tuple(map(np.array, box)), pieces=n).value for n in (1, 16, 256)]
    widths = [end.upper - end.lower for end in ends]
    assert widths[0] > widths[1] > widths[2]


def test_every_form_of_a_box() -> None:
    def f(x: Any, y: Any) -> Any:
        return x * y

    same = enclose(f, (0.0, 1.0), (2, 3))
    assert enclose(f, [(0.0, 1.0), (2.0, 3.0)]).value == same.value
    assert enclose(f, Interval(0.0, 1.0), (2.0, 3.0)).value == same.value
    assert enclose(f, (0.0, 1.0), 2.0).value == Interval(0.0, 2.0)
    vector = enclose(np.sum, [(0, 1), (2, 3), (4, 5)])
    assert vector.value.contains(6.0) and vector.value.contains(9.0)
    assert vector.gradient.lower.shape == (3,)
    tree = enclose(lambda p: p["a"] * np.sum(p["b"]),
                   ({"a": 0.0, "b": np.zeros(2)}, {"a": 1.0, "b": np.ones(2)}))  # fmt: skip
    assert tree.value.contains(2.0) and set(tree.gradient.lower) == {"a", "b"}
    point = enclose(np.exp, 1.0)
    assert point.value.upper - point.value.lower <= 2 * np.spacing(np.e)


@pytest.mark.parametrize("argnums", [0, 1, 2, (0, 2)])
def test_boxes_that_the_derivative_is_not_by_count_as_well(argnums: Any) -> None:
    def f(x: Any, y: Any, z: Any) -> Any:
        return x * y + np.sum(z) * np.sin(y) - z[0] * x

    rng, box = np.random.default_rng(0), ((1.0, 2.0), (-1.0, 3.0), [(0.0, 1.0), (-2.0, 2.0)])
    for pieces in (1, 8):
        bounds = enclose(f, *box, argnums=argnums, pieces=pieces)
        for _ in range(200):
            z = rng.uniform([0.0, -2.0], [1.0, 2.0])
            args = rng.uniform(1.0, 2.0), rng.uniform(-1.0, 3.0), z
            assert bounds.value.contains(f(*args))
            assert bounds.gradient.contains(difflab.gradient(f, argnums=argnums)(*args))


def test_integers_beside_a_box_stay_integers() -> None:
    places = np.array([1, 0])
    bounds = enclose(lambda x, at: np.sum(x[at] * x[0]), [(1.0, 2.0), (0.0, 1.0)], places)
    assert bounds.value.contains(1.0) and bounds.value.contains(6.0)
    assert bounds.value.lower >= 0.99


JUMPS = {
    "arctan2": (lambda y: np.arctan2(y, -1.0), np.pi - 0.5),
    "angle": (lambda y: np.angle(-1.0 + 1j * y), np.pi - 0.5),
    "slogdet": (lambda x: np.linalg.slogdet(np.stack([x, 2.0, 0.2, 1.0]).reshape(2, 2))[0], 1.0),
    "sign": (np.sign, 1.0),
    "floor": (np.floor, 0.0),
    "remainder": (lambda x: np.remainder(x, 0.75), 0.7),
    "rint": (np.rint, 1.0),
    "where": (lambda x: np.where(x > 0.2, 1.0, x), 1.0),
    "heaviside": (lambda x: np.heaviside(x, 0.5), 1.0),
    "copysign": (lambda x: np.copysign(2.0, x), 2.0),
    "astype": (lambda x: (x * np.ones(1)).astype(int)[0] * 1.0, 0.0),
    "truth": (lambda x: np.count_nonzero(np.stack([x, 1.0])) * 1.0, 2.0),
    "bool": (lambda x: np.where(x, 5.0, x), 5.0),
    "nested": (lambda x: np.sign(np.sin(3 * x)) * x, 1.0),
}  # fmt: skip


@pytest.mark.parametrize("name", JUMPS)
def test_bounds_hold_across_jumps(name: str) -> None:
    """The mean value theorem is not asked where the value may jump inside the box."""
    f, _ = JUMPS[name]
    for box in ((-1.0, 1.0), (-0.3, 1.3), (0.1, 1.2)):
        for pieces in (1, 16):
            try:
                value = enclose(f, box, pieces=pieces).value
            except DomainError:
                continue
            for x in np.linspace(*box, 101).tolist():
                found = float(f(x))
                assert value.lower - 1e-9 <= found <= value.upper + 1e-9, (box, pieces, x, found)
    assert enclose(f, (-1.0, 1.0)).value.upper >= JUMPS[name][1] - 1e-6


def test_jumps_and_kinks_are_not_smoothed() -> None:
    floor = enclose(np.floor, (0.5, 1.5)).value
    assert floor.contains(0.0) and floor.contains(1.0) and floor.upper < 1.01
    assert enclose(lambda x: np.where(x > 0, 1.0 + x, x), (-1.0, 1.0)).value.contains(1.9)
    both = enclose(lambda x: np.maximum(x, 0.0), (-1.0, 1.0))
    assert both.gradient.contains(0.0) and both.gradient.contains(1.0)
    assert both.gradient.lower > -0.01 and both.gradient.upper < 1.01
    assert both.value.contains(0.0) and both.value.contains(1.0)


def branch(x: Any) -> Any:
    if x > 1:
        return x
    return 2 * x


def test_what_cannot_be_bounded_is_refused_by_the_users_line() -> None:
    with pytest.raises(DomainError, match=r"(?s)another branch.*test_bounds.py:\d+: if x > 1"):
        enclose(branch, (0.0, 2.0))
    assert enclose(branch, (0.0, 0.9)).value == Interval(0.0, 1.8)
    with pytest.raises(DomainError, match="log may have no value"):
        enclose(np.log, (-1.0, 1.0))
    with pytest.raises(DomainError, match="chooses by numbers that differ"):
        enclose(lambda x: x[np.argmax(x)] * np.argmax(x), [(0.0, 1.0), (0.5, 2.0)])
    with pytest.raises(DomainError, match="lies above"):
        enclose(np.exp, (1.0, 0.0))
    for box in ((0.0, np.nan), (0.0, np.inf)):
        with pytest.raises(DomainError, match="finite"):
            enclose(np.exp, box)
    for wrong in ((0.0,), (0.0, 1.0, 2.0), ("a", "b")):
        with pytest.raises(ArgumentError):
            enclose(np.exp, wrong)
    with pytest.raises(ShapeError):
        enclose(lambda p: p["a"], ({"a": 1.0}, {"b": 1.0}))
    with pytest.raises(ArgumentError, match="pieces"):
        enclose(np.exp, (0.0, 1.0), pieces=0)
    with pytest.raises(ShapeError):
        Interval(0.0, 1.0).contains(np.zeros(2))


def test_the_derivative_may_be_unbounded() -> None:
    bounds = enclose(np.sqrt, (0.0, 4.0))
    assert (bounds.value.lower, bounds.value.upper) == (0.0, pytest.approx(2.0))
    assert bounds.gradient.upper == np.inf and bounds.gradient.contains(0.25)
    assert repr(bounds).startswith("<bounds: value [")
