"""Long programs: no recursion anywhere, and work that grows linearly (counted, not timed)."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import difflab
from difflab.engines import pieces
from difflab.methods import METHODS


def chain(operations):
    def f(x):
        for _ in range(operations // 2):
            x = np.sin(x) * 1.01
        return x

    return f


@pytest.mark.parametrize("method", ["reverse", "forward"])
def test_a_long_chain_differentiates_without_recursion(method):
    operations = 20_000
    assert operations > 10 * sys.getrecursionlimit()
    f = chain(operations)
    slope = 1.0
    x = 0.5
    for _ in range(operations // 2):
        slope *= np.cos(x) * 1.01
        x = np.sin(x) * 1.01
    assert np.isclose(difflab.derivative(f, method=method)(0.5), slope, rtol=1e-9)


@pytest.mark.parametrize("method", ["reverse", "forward"])
def test_the_derivative_program_grows_linearly(method):
    counts = []
    for operations in (100, 1_000, 10_000):
        graph = difflab.trace(chain(operations), 0.5)
        assert graph.operation_count() == operations
        counts.append(METHODS[method].derive(graph, [0]).graph.operation_count())
    per_operation = [count / n for count, n in zip(counts, (100, 1_000, 10_000), strict=True)]
    assert max(per_operation) < 4.0
    assert max(per_operation) - min(per_operation) < 0.1


def test_a_loop_over_elements_costs_linear_memory_and_work():
    def f(x):
        total = 0.0
        for i in range(len(x)):
            total = total + x[i] ** 2
        return total

    counts = []
    for n in (50, 500):
        x = np.linspace(0.0, 1.0, n)
        assert np.array_equal(difflab.gradient(f)(x), 2.0 * x)
        graph = METHODS["reverse"].derive(difflab.trace(f, x), [0]).graph
        counts.append(graph.operation_count() / n)
    assert counts[1] < counts[0] + 1.0


def of_scalars(x):
    for _ in range(1_000):
        x = np.sin(x) * 1.01 + 0.1
    return x


def of_arrays(y):
    matrix = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.1], [0.2, 0.0, -0.5]])
    for _ in range(200):
        middle = y + 0.005 * (matrix @ y - 0.1 * y**3)
        y = y + 0.01 * (matrix @ middle - 0.1 * middle**3)
    return np.sum(y)


def of_elements(x):
    total = 0.0
    for i in range(2_000):
        total = total + x[i] * x[i + 1]
    return total


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (of_scalars, 0.5),
        (of_arrays, np.array([1.0, 0.5, 0.2])),
        (of_elements, np.linspace(0.0, 1.0, 2_001)),
    ],
    ids=["scalars", "arrays", "elements"],
)
def test_a_loop_written_out_is_compiled_in_a_few_pieces(f, x, monkeypatch):
    compiled = []

    def made(source, namespace, name="program"):
        compiled.append(source)
        return pieces_made(source, namespace, name)

    pieces_made = pieces.made
    monkeypatch.setattr(pieces, "made", made)
    prepared = difflab.value_and_gradient(f).prepare(x)
    assert compiled
    assert sum(map(len, compiled)) < 0.5 * len(prepared.program.source)
    monkeypatch.setattr(pieces, "LONG", sys.maxsize)
    whole = difflab.value_and_gradient(f).prepare(x)
    for a, b in zip(prepared(x), whole(x), strict=True):
        assert np.array_equal(a, b)
