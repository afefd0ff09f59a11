"""The law of patterns: what a pattern leaves out is zero, in random programs.

The truth is a plain call of the function on dual numbers of integers, or the dense Jacobian.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings

import difflab
from difflab.ir.expr import constant, substitute
from difflab.ir.row import TABLE
from difflab.methods import METHODS
from difflab.methods.compressed import Compressed
from difflab.readings import sparsity
from difflab.readings.sparsity import Pattern, patterns

from .laws import differentiable_samples
from .programs import Program, programs
from .test_movement_programs import Dual, dual, random_program

PARTS: Final = 2
EXAMPLES: Final = 150


def holds(pattern: Pattern) -> Any:
    """A pattern as truth values."""
    found = np.zeros((pattern.height, pattern.width), bool)
    found[pattern.rows, pattern.columns] = True
    return found


def missed(random: int) -> int:
    """How many partials that are not zero the patterns of a random program lack."""
    program = random_program(random)
    x, y = program.point
    graph = difflab.trace(program, x, y)
    found = patterns(graph.outputs, graph.inputs[0])
    count = 0
    for j in range(x.size):
        point = [np.array([Dual(int(v)) for v in a.flat], object).reshape(a.shape) for a in (x, y)]
        point[0].reshape(-1)[j].tangent = 1
        for pattern, out in zip(found, program(*point), strict=True):
            moves = np.array([dual(value).tangent != 0 for value in np.ravel(out)], bool)
            count += int(np.sum(moves & ~holds(pattern)[:, j]))
    return count


@pytest.mark.parametrize("part", range(PARTS))
def test_movement_programs_have_no_partial_outside(part: int) -> None:
    for random in range(part, EXAMPLES, PARTS):
        assert missed(random) == 0, random_program(random)


@pytest.mark.parametrize("part", range(PARTS))
def test_programs_are_found_whole(part: int) -> None:
    """The entries of the pattern, by compressed sweeps both ways, are the whole dense Jacobian."""

    @seed(part)
    @settings(
        max_examples=EXAMPLES // PARTS,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(programs())
    def whole(program: Program) -> None:
        x, y = program.point
        last = lambda x, y: np.ravel(_steps(program, x, y))
        dense = difflab.jacobian(last)(x, y).reshape(-1, x.size)
        for method in ("forward", "reverse", None):
            found = difflab.sparse_jacobian(last, method=method)(x, y).toarray()
            size = np.max(np.abs(dense), initial=1.0)
            assert np.allclose(found, dense, rtol=1e-9, atol=1e-11 * size), method
        masked = Compressed.of(difflab.trace(last, x, y), 0, (True,))
        entries = masked.masked()(x, y)[1]
        where = masked.pattern.rows, masked.pattern.columns
        assert np.allclose(entries, dense[where], rtol=1e-9, atol=1e-11 * size), "masked"

    with np.errstate(all="ignore"):
        whole()


def _steps(program: Program, x: Any, y: Any) -> Any:
    """The last value of a program, whatever its shape."""
    values = [x, y]
    for step in program.steps:
        values.append(step(values))
    return values[-1] + 0.0 * np.sum(x)


@pytest.mark.parametrize("name", TABLE)
def test_rows_have_no_partial_outside(name: str) -> None:
    row = TABLE[name]
    for sample, graph in differentiable_samples(row):
        given = dict(zip(graph.inputs, sample.operands, strict=True))
        fixed = {x: constant(value) for x, value in given.items() if not x.differentiable}
        outputs = substitute(graph.outputs, fixed)
        by = [i for i, x in enumerate(graph.inputs) if x.differentiable]
        derived = METHODS["reverse"].derive(graph, by).graph
        assert derived is not None
        with np.errstate(all="ignore"):
            blocks = derived(*sample.operands)[1:]
        for i, block in zip(by, blocks, strict=True):
            for node in (graph.outputs, outputs):  # with indices that are not known, and known
                (pattern,) = patterns(node, graph.inputs[i])
                dense = np.reshape(block, (pattern.height, pattern.width))
                assert not np.any((dense != 0.0) & ~holds(pattern)), (sample, i)


WRONG: Final[dict[str, Callable[..., Any]]] = {
    "_sources": lambda right: (
        lambda *given: None if (found := right(*given)) is None else np.roll(found, 1)
    ),
    "_targets": lambda right: (
        lambda *given: None if (found := right(*given)) is None else np.zeros_like(found)
    ),
    "_kept_axes": lambda right: lambda node, parts: [*range(parts[0].ndim)],
    "together": lambda right: lambda found: right([*found][:1]),
}
"""Readings with one mistake each."""


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_reading_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparsity, name, WRONG[name](getattr(sparsity, name)))
    assert any(missed(random) for random in range(EXAMPLES))
