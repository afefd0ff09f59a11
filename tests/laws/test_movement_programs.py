"""Random programs that move, join and add: the engine's program is its graph, and so is every
derivative.

Such programs share cotangents, place them in one another's memory and look at them through views,
which is what an engine that plans its memory may get wrong. All values are integers in floats, so
that nothing rounds and every comparison is exact. The truth is a plain call of the function on
dual numbers of Python integers (value and tangent), which knows nothing of graphs.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import total_ordering
from typing import Any, Final

import numpy as np
import pytest

import difflab
from difflab.engines import compile as compiled
from difflab.ir.build import lift
from difflab.ir.expr import Graph, constant, evaluate, placeholder
from difflab.readings.cotangents import pullback
from difflab.readings.tangents import pushforward
from difflab.table.identities import simplify

PARTS: Final = 4
EXAMPLES: Final = 10_000 if os.environ.get("DIFFLAB_PROFILE") == "nightly" else 300
LARGEST: Final = 2**20
"""Programs keep their values below this, so that sums of their products are exact in float64."""


@total_ordering
@dataclass(eq=False)
class Dual:
    """An integer and its tangent."""

    value: int
    tangent: int = 0

    def __add__(self, other: Any) -> Dual:
        y = dual(other)
        return Dual(self.value + y.value, self.tangent + y.tangent)

    def __mul__(self, other: Any) -> Dual:
        y = dual(other)
        return Dual(self.value * y.value, self.tangent * y.value + self.value * y.tangent)

    def __neg__(self) -> Dual:
        return Dual(-self.value, -self.tangent)

    def __sub__(self, other: Any) -> Dual:
        return self + -dual(other)

    def __rsub__(self, other: Any) -> Dual:
        return -self + other

    def __eq__(self, other: object) -> bool:
        return self.value == dual(other).value

    def __lt__(self, other: Any) -> bool:
        return self.value < dual(other).value

    __radd__, __rmul__ = __add__, __mul__
    __hash__ = None  # type: ignore[assignment]


def dual(x: Any) -> Dual:
    return x if isinstance(x, Dual) else Dual(int(x))


# -- programs --------------------------------------------------------------------------------------

SHAPES: Final = ((4,), (4,), (5,), (3,), (2, 3), (2, 2), (1, 3), ())
ONE: Final[dict[str, Callable[[Any], Any]]] = {
    "same": lambda x: x,
    "reversed": lambda x: x[..., ::-1] if x.ndim else x,
    "tail": lambda x: x[1:] if x.ndim else x,
    "head": lambda x: x[..., :-1] if x.ndim else x,
    "every other": lambda x: x[..., ::2] if x.ndim else x,
    "backwards by two": lambda x: x[::-2] if x.ndim else x,
    "last": lambda x: x[-1] if x.ndim else x,
    "column": lambda x: x[..., 0] if x.ndim else x,
    "new axis": lambda x: x[None],
    "new last axis": lambda x: x[..., None],
    "picked": lambda x: x[np.array([0, -1, 0])] if x.ndim else x,
    "ends": lambda x: np.stack([x[-1], x[0]]) if x.ndim else x,
    "rebuilt": lambda x: np.concatenate([np.reshape(v, (1, -1)) for v in x]) if x.ndim else x,
    "rolled": lambda x: np.roll(x, 1),
    "rolled back": lambda x: np.roll(x, -2, axis=-1) if x.ndim else x,
    "padded": lambda x: np.pad(x, 1) if x.ndim else x,
    "flat": lambda x: np.ravel(x),
    "turned": lambda x: np.transpose(x),
    "halved": lambda x: np.reshape(x, (2, -1)) if x.size % 2 == 0 else x,
    "repeated": lambda x: np.broadcast_to(x, (2, *x.shape)),
    "summed": lambda x: np.sum(x),
    "summed by rows": lambda x: np.sum(x, axis=0) if x.ndim else x,
    "kept sum": lambda x: np.sum(x, axis=-1, keepdims=True) if x.ndim else x,
    "cumulated": lambda x: np.cumsum(x, axis=-1) if x.ndim else x,
    "doubled": lambda x: 2 * x,
    "negative": lambda x: -x,
    "squared": lambda x: x * x,
    "more": lambda x: x + 3,
}
TWO: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "sum": lambda x, y: x + y,
    "difference": lambda x, y: x - y,
    "product": lambda x, y: x * y,
    "repeated and added": lambda x, y: np.broadcast_to(x, np.shape(y)) + y,
    "joined": lambda x, y: np.concatenate([np.ravel(x), np.ravel(y)]),
    "stacked": lambda x, y: np.stack([x, y]) if np.shape(x) == np.shape(y) else x,
    "larger": lambda x, y: np.where(x > y, x, y),
    "branch": lambda x, y: x if np.sum(x) > np.sum(y) else 2 * y,
}


@dataclass
class Program:
    """A function of two arrays that returns some of the values it makes."""

    point: tuple[Any, Any]
    steps: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)
    returned: tuple[int, ...] = ()

    def __call__(self, x: Any, y: Any) -> tuple[Any, ...]:
        values = [x, y]
        for what, operands in self.steps:
            values.append(applied(what, [values[i] for i in operands]))
        return tuple([values[i] for i in self.returned])

    def scalar(self, x: Any, y: Any) -> Any:
        """The same as one number, in which every returned element has a weight of its own."""
        parts = [np.ravel(value) for value in self(x, y)]
        return sum(np.sum(part * np.arange(1, part.size + 1) * (k + 1))
                   for k, part in enumerate(parts))  # fmt: skip


def applied(what: str, operands: list[Any]) -> Any:
    """The value of a step; a lone dual number stays an array."""
    value = ONE[what](*operands) if what in ONE else TWO[what](*operands)
    return np.asarray(value) if type(value) in (Dual, np.float64) else value


def random_program(seed: int, longest: int = 16) -> Program:
    """A program of up to so many steps at a point of small integers."""
    rng = np.random.default_rng(seed)
    shape = SHAPES[rng.integers(len(SHAPES))]
    x, y = (rng.integers(-3, 4, shape).astype(np.float64) for _ in range(2))
    program = Program((x, y))
    values: list[Any] = [x, y]
    for _ in range(rng.integers(2, longest + 1)):
        names = (*ONE,) if rng.random() < 0.5 else (*TWO,)
        what = names[rng.integers(len(names))]
        nearby = min(len(values), 4 if rng.random() < 0.7 else len(values))
        operands = tuple((len(values) - 1 - rng.integers(nearby, size=1 + (what in TWO))).tolist())
        try:
            value = applied(what, [values[i] for i in operands])
        except ValueError:  # shapes that do not broadcast
            continue
        if 0 < value.size <= 16 and value.ndim <= 3 and np.all(np.abs(value) < LARGEST):
            program.steps.append((what, operands))
            values.append(value)
    chosen = rng.integers(len(values), size=rng.integers(4))
    program.returned = (*chosen.tolist(), len(values) - 1)
    return program


def shrunk(program: Program, failure: Callable[[Program], str]) -> Program:
    """A program that fails alike, with every step that does not matter left out."""
    kind = failure(program).partition(":")[0]

    def tried(smaller: Program) -> Program | None:
        return smaller if failure(smaller).partition(":")[0] == kind else None

    for k in reversed(range(len(program.steps))):
        for operand in program.steps[k][1]:
            steps = [*program.steps[:k], ("same", (operand,)), *program.steps[k + 1 :]]
            program = tried(replace(program, steps=steps)) or program
    for k in reversed(range(len(program.returned) - 1)):
        fewer = program.returned[:k] + program.returned[k + 1 :]
        program = tried(replace(program, returned=fewer)) or program
    return program


# -- the law ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", range(PARTS))
def test_programs_are_their_graphs(part: int) -> None:
    for seed in range(part, EXAMPLES, PARTS):
        program = random_program(seed)
        if failure(program):
            small = shrunk(program, failure)
            pytest.fail(f"{failure(small)}\n{small}, from seed {seed}")


def failure(program: Program) -> str:
    """What is wrong with a program, or nothing."""
    try:
        programs_are_their_graphs(program)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def programs_are_their_graphs(program: Program) -> None:
    """Values, tangents, cotangents and a gradient: the engine, node by node, and by duals."""
    x, y = program.point
    graph = difflab.trace(program, x, y)
    runs_as_its_graph(graph, program.point)
    seeds = [placeholder(out.shape, out.dtype, "ct") for out in graph.outputs]
    parts = pullback(graph.outputs, seeds, graph.inputs)
    back = Graph((*graph.inputs, *seeds), (*graph.outputs, *[p for p in parts if p is not None]))
    cotangents = [np.arange(1.0, out.size + 1).reshape(out.shape) for out in graph.outputs]
    runs_as_its_graph(back, (*program.point, *cotangents))
    ones = [constant(np.ones(node.shape)) for node in graph.inputs]
    tangents = pushforward(graph.outputs, graph.inputs, ones)
    runs_as_its_graph(graph.with_outputs([t for t in tangents if t is not None]), program.point)

    expected = by_duals(program)
    for method in ("reverse", "forward"):
        operator = difflab.gradient(program.scalar, argnums=(0, 1), method=method)
        assert_equal(operator(x, y), expected, method)


def runs_as_its_graph(graph: Graph, point: tuple[Any, ...]) -> None:
    """The compiled program gives what the nodes give one by one, twice, and keeps its results."""
    before = [np.array(array) for array in point]
    known = dict(zip(graph.inputs, point, strict=True))
    expected = [np.array(value) for value in evaluate(map(lift, graph.outputs), known)]
    for form in (graph, simplify(graph)):
        program = compiled(form)
        first, second = program(*point), program(*point)
        for found in (first, second):
            assert_equal(found[: len(expected)], expected, program.source)
        arrays = [value for value in (*first, *second, *point) if np.shape(value)]
        shared = [np.shares_memory(a, b) for i, a in enumerate(arrays) for b in arrays[:i]]
        assert not any(shared), f"results share memory\n{program.source}"
    assert_equal(point, before, "the point")


def by_duals(program: Program) -> list[Any]:
    """The gradient of the scalar form: one plain call an element of the point."""
    found = []
    for k, moved in enumerate(program.point):
        gradient = np.empty(moved.shape)
        for index in np.ndindex(moved.shape):
            arguments = [np.array([Dual(int(v)) for v in a.flat], object).reshape(a.shape)
                         for a in program.point]  # fmt: skip
            arguments[k][index].tangent = 1
            gradient[index] = dual(program.scalar(*arguments)).tangent
        found.append(gradient)
    return found


def assert_equal(found: Any, expected: Any, what: str) -> None:
    for a, b in zip(found, expected, strict=True):
        assert np.shape(a) == np.shape(b), f"shape {np.shape(a)}, not {np.shape(b)}: {what}"
        assert np.array_equal(a, b), f"{a}, not {b}: {what}"


def _shared_cotangent(x: Any) -> Any:
    """Two placements of one cotangent, summed in its own memory."""
    return 2 * np.sum(np.cos(x + x[::-1])) + np.sum(np.sin(x[1:]))


def _views_of_sums(x: Any) -> Any:
    """Views of a sum made in place, whose memory is given away at the wrong time."""
    h = np.concatenate([np.reshape(x[::2][0] * 2.0, (1,)), np.reshape(x[2], (1,))]) - 0.5
    parts = (h[0], x[1], h[1], x[3])
    return np.sum(np.cos(np.concatenate([np.reshape(part, (1,)) for part in parts])))


@pytest.mark.parametrize("f", [_shared_cotangent, _views_of_sums])
def test_gradients_by_hand(f: Callable[[Any], Any]) -> None:
    """Two programs whose memory was once planned wrongly, against derivatives by hand."""
    a, b, c, d = x = np.array([1.46, -0.19, -1.72, -0.27])
    if f is _shared_cotangent:
        expected = -4 * np.sin(x + x[::-1]) + np.cos(x) * (np.arange(4) > 0)
    else:
        expected = -np.array([2 * np.sin(2 * a - 0.5), np.sin(b), np.sin(c - 0.5), np.sin(d)])
    assert np.allclose(difflab.gradient(f)(x), expected, rtol=1e-14, atol=0.0)
