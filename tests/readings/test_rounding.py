"""The rounding error of a program: never above its bound, and typically as large as said."""

from __future__ import annotations

import numpy as np
import pytest
from flint import arb

from difflab.accuracy.digits import is_gradable
from difflab.accuracy.zoo import ZOO
from difflab.ir.expr import Expr, placeholder
from difflab.ir.row import TABLE, Unsupported
from difflab.ir.tree import flatten, read_arguments, unflatten
from difflab.readings.balls import EVERY_BIT, enclose, enclose_nodes, exact, precision
from difflab.readings.rounding import (
    RunningError,
    rounding_error,
    ulp,
)
from difflab.tracing.trace import trace

SECOND_ORDER = 1 + 1e-6
"""What the first order leaves out, at points where errors are far below values."""


def distance(number, ball):
    with precision(EVERY_BIT):
        return abs(float(arb(float(number)) - ball.mid()))


def near(arrays, rng, by=20):
    """The arrays, with each float moved by a few ulps."""
    return [
        (a + np.spacing(a) * rng.integers(-by, by, a.shape)).astype(a.dtype)
        if a.dtype.kind == "f"
        else a
        for a in arrays
    ]


def traced_near(entry, point, dtype, rng):
    """A zoo function traced beside a point, with the arrays."""
    leaves, structure = flatten(point.args)
    moved = [np.asarray(leaf * (1 + 0.01 * rng.standard_normal(np.shape(leaf)))) for leaf in leaves]
    args = unflatten(structure, [leaf.astype(dtype)[()] for leaf in moved])
    with np.errstate(all="ignore"):
        graph = trace(entry.f, *args)
    return graph, [np.asarray(array) for array in read_arguments(tuple(args), {})[1]]


def errors_and_rounding(running, arrays, bits=400):
    """For every element of every output that is a number: its error, bound and typical error."""
    values, found = running.values(arrays), running(arrays)
    balls = enclose(running.graph, arrays, bits)
    for out, rounding, block in zip(running.graph.outputs, found, balls, strict=True):
        for i, ball in enumerate(block.ravel()):
            value = np.ravel(values[out])[i]
            if np.isfinite(value) and ball.is_finite():
                parts = np.ravel(rounding.bound)[i], np.ravel(rounding.typical)[i]
                yield distance(value, ball), *parts


@pytest.mark.parametrize("name", ZOO)
def test_no_error_exceeds_its_bound(name):
    rng = np.random.default_rng(1)
    for point in ZOO[name].points:
        if point.kind == "kink":
            continue
        for dtype in (np.float64, np.float32):
            try:
                graph, arrays = traced_near(ZOO[name], point, dtype, rng)
            except np.linalg.LinAlgError:  # singular in float32
                continue
            running = RunningError(graph)
            for _ in range(2):
                for error, bound, _ in errors_and_rounding(running, near(arrays, rng)):
                    assert error <= bound * SECOND_ORDER, (name, point.args, dtype)


def test_typical_errors_are_root_mean_squares():
    rng = np.random.default_rng(2)
    ratios = []
    for name, entry in ZOO.items():
        if name == "pendulum":  # long
            continue
        graph, arrays = traced_near(entry, entry.points[0], np.float64, rng)
        running = RunningError(graph)
        rows = np.array(
            [list(errors_and_rounding(running, near(arrays, rng), 200)) for _ in range(12)]
        )
        with np.errstate(all="ignore"):
            measured = np.sqrt(np.mean(rows[:, :, 0] ** 2, 0))
            ratios += list(measured / np.mean(rows[:, :, 2], 0))
    known = np.array([ratio for ratio in ratios if np.isfinite(ratio)])
    assert len(known) > 100
    assert np.mean((known > 1 / 3) & (known < 3)) > 0.85
    assert 0.8 < np.median(known) < 1.25
    assert np.max(known) < 4


def test_every_row_that_gives_floats_has_a_rounding():
    for row in TABLE.values():
        if isinstance(row.rounding, Unsupported):
            (sample, *_) = row.sample(np.random.default_rng(0), ())
            assert row.evaluate(*sample.operands, **dict(sample.params)).dtype.kind != "f", row


@pytest.mark.parametrize("row", [row for row in TABLE.values() if is_gradable(row)], ids=repr)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_one_operation_rounds_no_more_than_its_row_says(row, dtype):
    rng = np.random.default_rng(3)
    inputs, points = [], []
    for domain in row.domain:
        low, high = max(domain.low, -20.0), min(domain.high, 20.0)
        inputs.append(placeholder((60,), np.dtype(dtype), "x"))
        points.append(rng.uniform(low, high, 60).astype(dtype))
    params = tuple(row.params[-1].items()) if row.needs_params else ()
    node = Expr(row, tuple(inputs), params)
    values = dict(zip(inputs, points, strict=True))
    with np.errstate(all="ignore"):
        values[node] = row.evaluate(*points, **dict(params))
        rounds = row.rounding(values[node], *points, **dict(params))
    known = {x: exact(array) for x, array in zip(inputs, points, strict=True)}
    enclose_nodes([node], known, 200)
    allowed = np.broadcast_to(rounds.largest * ulp(rounds.size), (60,))
    for value, ball, most in zip(values[node], known[node], allowed, strict=True):
        if np.isfinite(value) and ball.is_finite():
            assert distance(value, ball) <= most


@pytest.mark.parametrize(
    "f",
    [
        lambda x: -x,
        lambda x: np.abs(x) * 4.0,
        lambda x: x / 0.5,
        lambda x: np.maximum(x, 0.0)[::-1],
        lambda x: x - 0.7,  # two floats within a factor 2 of each other
        lambda x: np.where(x > 0.5, x, 0.0),
        lambda x: np.concatenate([x, x]).reshape(2, 3),
    ],
)
def test_exact_operations_round_nothing(f):
    x = np.array([0.6, 0.8, 1.1])
    (found,) = rounding_error(trace(f, x), [x])
    assert np.all(found.bound == 0.0)
    assert np.all(found.typical == 0.0)


def test_a_cotangent_carries_the_rounding_to_the_output():
    (found,) = rounding_error(trace(lambda x: 1e6 * (np.exp(x) - 1.0), 0.1), [0.1])
    assert found.bound > 1e6 * np.spacing(1.1)
    assert found.bound > 3 * found.typical > 0.0


def test_what_does_not_move_cancels():
    graph = trace(lambda x, y: x * 0.3 + 1e8 * np.sin(y), 0.1, 0.7)
    (whole,) = rounding_error(graph, [0.1, 0.7])
    (moving,) = rounding_error(graph, [0.1, 0.7], beside=[0.2, 0.7])
    # The sine stays, but the sum rounds anew.
    assert 0.4 * np.spacing(6e7) < moving.bound < 0.6 * np.spacing(6e7) < whole.bound
    (none,) = rounding_error(graph, [0.1, 0.7], beside=[0.1, 0.7])
    assert none.bound == 0.0


@pytest.mark.parametrize("shuffle", range(5))
def test_a_sum_is_bounded_in_any_order(shuffle):
    rng = np.random.default_rng(shuffle)
    x = rng.permutation(rng.standard_normal(500) * 10.0 ** rng.uniform(-8, 8, 500))
    running = RunningError(trace(np.sum, x))
    ((error, bound, _),) = errors_and_rounding(running, [x])
    assert error <= bound
    total = 0.0
    for number in x:
        total += number
    (ball,) = enclose(running.graph, [x], 400)
    assert distance(total, ball.item()) <= bound


def test_underflow_is_a_rounding():
    running = RunningError(trace(lambda x: 1e200 * (x * x), 1e-200))
    ((error, bound, _),) = errors_and_rounding(running, [np.float64(1e-200)])
    assert 0.0 < error <= bound
