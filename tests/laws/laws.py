"""The laws that every row of the table obeys: functions of a row that may raise `AssertionError`.

A law reads the row's own cells and samples made from them, so a new row is tested by existing.
Tolerances are derived: exact balls where the mathematics is exact, a stated number of ulps where
floats are compared.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import sympy
from flint import arb

from difflab.accuracy.digits import (
    Instance,
    distances,
    graded,
    in_corner,
    instances,
    is_gradable,
    points,
    truths,
    worst,
)
from difflab.engines import compile as compiled
from difflab.engines.plain_floats import is_scalar
from difflab.errors import UnsupportedError
from difflab.ir.build import FLOAT64
from difflab.ir.expr import Expr, Graph, constant, evaluate, placeholder
from difflab.ir.row import Primitive, Unsupported
from difflab.methods import METHODS
from difflab.readings.balls import enclose_nodes, exact, precision
from difflab.readings.batches import batch
from difflab.readings.cotangents import pullback
from difflab.readings.symbols import to_sympy
from difflab.readings.tangents import pushforward, zeros

from .samples import Sample, interior, samples

FLOAT32 = np.dtype(np.float32)
VALUE_ULPS = 4.0
"""How far NumPy's own functions may be from the truth."""
CANCELLING = ("logaddexp", "bessel_j")
"""Where the value is a difference, and so has no relative accuracy near its zeros."""
ARRAY_ULPS = 64.0
"""The same for sums and products of the small samples, in ulps of the largest element."""
STEP = 100
"""Differences in balls take steps of 2^-STEP: their truncation error is about 2^-(2 STEP)."""
BITS = 800
AGREEMENT = 1e-28


# -- reading a row at a sample -------------------------------------------------------------------


def applied(row: Primitive, sample: Sample, dtype: Any = FLOAT64) -> Graph:
    """The graph of one operation."""
    inputs = tuple(
        placeholder(x.shape, dtype if x.dtype.kind == "f" else x.dtype, f"x{i}")
        for i, x in enumerate(sample.operands)
    )
    params = {name: dtype.name if name == "dtype" else p for name, p in sample.params}
    return Graph(inputs, (Expr(row, inputs, tuple(params.items())),))


def is_differentiable(graph: Graph) -> bool:
    """Whether tangents flow from an input to the output."""
    return graph.outputs[0].differentiable and any(x.differentiable for x in graph.inputs)


def differentiable_samples(row: Primitive) -> Iterator[tuple[Sample, Graph]]:
    """The samples at which a row has a derivative, with its graph."""
    for sample in samples(row):
        graph = applied(row, sample)
        if is_differentiable(graph):
            yield sample, graph


def random_like(x: Any, seed: int) -> Any:
    """Random numbers of the shape of a node or array; small, exactly representable ones."""
    return np.random.default_rng(seed).integers(-8, 9, x.shape) / 4.0


def in_balls(graph: Graph, operands: Sequence[Any], bits: int = BITS) -> Any:
    """The one output in balls; operands may be balls already."""
    known = {
        x: a if a.dtype == object else exact(a) for x, a in zip(graph.inputs, operands, strict=True)
    }
    enclose_nodes(graph.outputs, known, bits)
    return known[graph.outputs[0]]


def moved(operands: Sequence[Any], directions: Sequence[Any], step: arb) -> list[Any]:
    """x + step * v for each operand that has a direction, exactly."""
    with precision(BITS):
        return [
            x if v is None else np.asarray(exact(x) + step * exact(v))
            for x, v in zip(operands, directions, strict=True)
        ]


def directions_of(graph: Graph) -> Iterator[list[Any]]:
    """Directions along each operand alone, then along all together."""
    flows = [x.differentiable for x in graph.inputs]
    every = [random_like(x, i) if x.differentiable else None for i, x in enumerate(graph.inputs, 1)]
    alone = [i for i, flow in enumerate(flows) if flow]
    for i in alone if len(alone) > 1 else ():
        yield [v if j == i else None for j, v in enumerate(every)]
    yield every


def nodes_of(directions: Sequence[Any]) -> list[Expr | None]:
    """Directions as constants of a graph."""
    return [None if v is None else constant(v) for v in directions]


def inner(left: Any, right: Any) -> Any:
    """The inner product of two arrays of balls or numbers."""
    with precision(BITS):
        return sum((a * b for a, b in zip(left.flat, right.flat, strict=True)), arb(0))


def plus(left: arb, right: arb) -> arb:
    """The sum to all bits."""
    with precision(BITS):
        return left + right


def assert_close(found: Any, expected: Any, what: str) -> None:
    """Balls agree to all but AGREEMENT of their size."""
    found, expected = np.asarray(found, object), np.asarray(expected, object)
    assert found.shape == expected.shape, f"{what}: shape {found.shape}, not {expected.shape}"
    with precision(BITS):
        for index in np.ndindex(expected.shape):
            a, b = arb(found[index]), arb(expected[index])
            off = abs(a - b)
            assert off < AGREEMENT * (1 + abs(b)), f"{what} at {index}: {a}, but {b}"


def ulps(found: Any, expected: Any) -> float:
    """The largest distance of floats from each other, in ulps of the second."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape, f"shape {found.shape}, not {expected.shape}"
    assert found.dtype == expected.dtype, f"dtype {found.dtype}, not {expected.dtype}"
    if expected.dtype.kind != "f":
        return 0.0 if np.array_equal(found, expected) else math.inf
    same = (found == expected) | (np.isnan(found) & np.isnan(expected))
    with np.errstate(all="ignore"):
        off = np.abs(found - expected) / np.spacing(np.abs(expected))
    return float(np.max(np.where(same, 0.0, np.where(np.isnan(off), np.inf, off)), initial=0.0))


# -- the laws ------------------------------------------------------------------------------------


def shape(row: Primitive) -> None:
    """infer(x) is the shape and the dtype of evaluate(x)."""
    for sample, dtype in itertools.product(samples(row), (FLOAT64, FLOAT32)):
        graph = applied(row, sample, dtype)
        with np.errstate(all="ignore"):
            arrays = [a.astype(x.dtype) for a, x in zip(sample.operands, graph.inputs, strict=True)]
            value = np.asarray(row.evaluate(*arrays, **dict(graph.outputs[0].params)))
        node = graph.check().outputs[0]
        assert value.shape == node.shape, f"{sample}: {value.shape}, not {node.shape}"
        assert value.dtype == node.dtype, f"{sample}: {value.dtype}, not {node.dtype}"


def enclosure(row: Primitive) -> None:
    """The ball of the row holds the float of the row, to within VALUE_ULPS."""
    if isinstance(row.ball, Unsupported):
        return
    for sample in samples(row):
        graph = applied(row, sample)
        with np.errstate(all="ignore"):
            value = np.asarray(row.evaluate(*sample.operands, **dict(sample.params)))
        balls = in_balls(graph, sample.operands, 200)
        assert balls.shape == value.shape, f"{sample}: balls of shape {balls.shape}"
        if value.dtype.kind != "f":
            certain = [(b, v) for b, v in zip(balls.flat, value.flat, strict=True) if b is not None]
            assert all(b == v for b, v in certain), f"{sample}: {balls}, not {value}"
            continue
        middle = np.array([float(b) for b in balls.flat]).reshape(value.shape)
        size = np.spacing(np.max(np.abs(middle), initial=1.0))
        assert np.all(np.abs(value - middle) <= ARRAY_ULPS * size), (
            f"{sample}: {balls}, not {value}"
        )


def digits_of_value(row: Primitive) -> None:
    """The float of a pointwise row is within VALUE_ULPS of the ball, over its whole domain."""
    if not is_gradable(row):
        return
    for case in _cases(row):
        at = points(row, 1500)
        with np.errstate(all="ignore"):
            value = row.evaluate(*at, **dict(case.params))
        off = distances(value, *truths(case.value(), at))
        found = worst(off, at, np.ones(len(off), bool))
        assert found.ulps <= VALUE_ULPS or row.name in CANCELLING, f"{case}: {found}"


def digits_of_partials(row: Primitive) -> None:
    """Every partial, in floats, is within VALUE_ULPS of its own formula in balls, corners apart.

    Whether that formula is right is for `derivative` and `proof` to say: ``1 - y*y`` is right.
    """
    if not is_gradable(row):
        return
    for case in _cases(row):
        at = points(row, 1500)
        apart = in_corner(row, at)
        for position in range(len(row.domain)):
            found = worst(graded(case, position, at)["rule"], at, ~apart)
            assert found.ulps <= VALUE_ULPS, f"{case} d/dx{position}: {found}"


def _cases(row: Primitive) -> list[Instance]:
    return [Instance(row, case.params) for case in instances({row.name})]


def proof(row: Primitive) -> None:
    """SymPy proves each partial: the rule, read in SymPy, less diff of the SymPy cell is zero."""
    if row.kind != "pointwise" or isinstance(row.sympy, Unsupported):
        return
    for sample in samples(row, shape=()):
        graph = applied(row, sample)
        if not is_differentiable(graph) or not all(map(_is_short, sample.params)):
            continue
        symbols = [_symbol(i, x, row) for i, x in enumerate(graph.inputs)]
        (value,) = to_sympy(graph, [np.array(s, object) for s in symbols])
        for x, symbol in zip(graph.inputs, symbols, strict=True):
            if x.differentiable:
                (found,) = pullback(graph.outputs, [constant(1.0)], [x])
                rule = graph.with_outputs([zeros(x) if found is None else found])
                (partial,) = to_sympy(rule, [np.array(s, object) for s in symbols])
                off = partial - sympy.diff(value, symbol)
                assert vanishes(off, symbols, row), f"d/d{symbol}: off by {off}"


def _is_short(param: tuple[str, Any]) -> bool:
    """Whether SymPy reads a param exactly: it takes the decimals of a float for what is meant."""
    return not isinstance(param[1], float) or (1024.0 * param[1]).is_integer()


def _symbol(i: int, x: Expr, row: Primitive) -> sympy.Symbol:
    if not x.differentiable:
        return sympy.Symbol(f"c{i}")
    positive = row.domain[i].low >= 0.0 or None
    return sympy.Symbol(f"x{i}", real=True, positive=positive)


def vanishes(expression: Any, symbols: Sequence[sympy.Symbol], row: Primitive) -> bool:
    """Whether an expression is zero: by simplification, else at rational points to 50 digits."""
    expression = sympy.sympify(expression).replace(_is_step, lambda *_: sympy.S.Zero)
    if sympy.simplify(expression) == 0:
        return True
    rng = np.random.default_rng(7)
    for _ in range(5):
        at = {
            s: sympy.Rational(int(interior(domain, rng, ()) * 2**20), 2**20)
            if s.is_real
            else sympy.true
            for s, domain in zip(symbols, itertools.cycle(row.domain))
        }
        number = sympy.N(expression.subs(at).doit(), 60)
        if not (number.is_number and abs(number) < sympy.Float(10) ** -50):
            return False
    return True


def symbols_agree(row: Primitive) -> None:
    """The SymPy cell, at numbers, is the row at these numbers."""
    if isinstance(row.sympy, Unsupported):
        return
    for sample in samples(row):
        graph = applied(row, sample)
        given = [_symbolic(a) for a in sample.operands]
        (found,) = to_sympy(graph, given)
        value = np.asarray(row.evaluate(*sample.operands, **dict(sample.params)))
        numbers = np.array([_number(e) for e in np.asarray(found, object).flat])
        assert np.allclose(numbers.reshape(value.shape), value, rtol=1e-13, atol=1e-13), (
            f"{sample}: {found}, not {value}"
        )


def _is_step(expression: Any) -> bool:
    """The derivative of a step function, which is zero away from the step."""
    return isinstance(expression, (sympy.DiracDelta, sympy.Derivative, sympy.Subs))


def _symbolic(array: Any) -> Any:
    if array.dtype.kind == "i":
        return array
    found = np.empty(array.shape, object)
    for index, number in np.ndenumerate(array):
        boolean = array.dtype.kind == "b"
        found[index] = sympy.sympify(bool(number)) if boolean else sympy.Rational(number)
    return found


def _number(expression: Any) -> float:
    if expression in (sympy.true, sympy.false):
        return float(bool(expression))
    return float(sympy.N(expression, 30))


def adjoint(row: Primitive) -> None:
    """<J v, w> == <v, J' w>: forward and reverse mode are each other's transpose, in balls."""
    for sample, graph in differentiable_samples(row):
        (y,) = graph.outputs
        w = random_like(y, 99)
        pulled = pullback([y], [constant(w)], graph.inputs)
        for v in directions_of(graph):
            (tangent,) = pushforward([y], graph.inputs, nodes_of(v))
            forward = _output(graph, tangent, y, sample)
            left = inner(forward, w)
            right = arb(0)
            for x, ct, direction in zip(graph.inputs, pulled, v, strict=True):
                if direction is not None:
                    right = plus(right, inner(_output(graph, ct, x, sample), direction))
            assert_close(left, right, f"{sample}: <J v, w> against <v, J' w>")


def _output(graph: Graph, node: Expr | None, like: Expr, sample: Sample) -> Any:
    """A derived node in balls; it must have the shape and dtype of what it belongs to."""
    if node is None:
        return exact(np.zeros(like.shape))
    assert (node.shape, node.dtype) == (like.shape, like.dtype), f"{node!r} for {like!r}"
    return in_balls(graph.with_outputs([node]), sample.operands)


def derivative(row: Primitive) -> None:
    """Both modes equal (f(x + h v) - f(x - h v)) / 2h of the row's own balls, with h = 2^-100."""
    if isinstance(row.ball, Unsupported):
        return
    with precision(BITS):
        h = arb(2) ** -STEP
    for sample, graph in differentiable_samples(row):
        (y,) = graph.outputs
        w = random_like(y, 98)
        pulled = pullback([y], [constant(w)], graph.inputs)
        for v in directions_of(graph):
            up, down = (in_balls(graph, moved(sample.operands, v, sign * h)) for sign in (1, -1))
            with precision(BITS):
                difference = np.asarray((up - down) / (2 * h))
            (tangent,) = pushforward([y], graph.inputs, nodes_of(v))
            assert_close(_output(graph, tangent, y, sample), difference, f"{sample}: forward mode")
            right = arb(0)
            for x, ct, direction in zip(graph.inputs, pulled, v, strict=True):
                if direction is not None:
                    right = plus(right, inner(_output(graph, ct, x, sample), direction))
            assert_close(right, inner(difference, w), f"{sample}: reverse mode")


def second_derivative(row: Primitive) -> None:
    """Forward over reverse equals (g(x + h v) - 2 g(x) + g(x - h v)) / h^2 for g = <f, w>."""
    if isinstance(row.ball, Unsupported):
        return
    with precision(BITS):
        h = arb(2) ** -STEP
    for sample, graph in differentiable_samples(row):
        (y,) = graph.outputs
        w = random_like(y, 97)
        pulled = pullback([y], [constant(w)], graph.inputs)
        for v in directions_of(graph):
            found = arb(0)
            for x, ct, direction in zip(graph.inputs, pulled, v, strict=True):
                if ct is not None and direction is not None:
                    (again,) = pushforward([ct], graph.inputs, nodes_of(v))
                    found = plus(found, inner(_output(graph, again, x, sample), direction))
            up, here, down = (
                inner(in_balls(graph, moved(sample.operands, v, k * h)), w) for k in (1, 0, -1)
            )
            with precision(BITS):
                expected = (up - 2 * here + down) / h**2
            assert_close(found, expected, f"{sample}: second derivative")


def batched(row: Primitive) -> None:
    """Entry i of the batched row is the row of entry i, whichever operands are batched."""
    if isinstance(row.batch, Unsupported):
        return
    size = 3
    for first, *others in zip(*(samples(row, seed=seed) for seed in range(size)), strict=True):
        graph = applied(row, first)
        for flags in itertools.product((True, False), repeat=len(first.operands)):
            if not any(flags):
                continue
            each = [
                [
                    many if flag else one
                    for flag, many, one in zip(flags, s.operands, first.operands, strict=True)
                ]
                for s in (first, *others)
            ]
            stacked = [
                np.stack(column) if flag else column[0]
                for flag, column in zip(flags, zip(*each, strict=True), strict=True)
            ]
            many = batch(graph, size, flags).check()
            with np.errstate(all="ignore"):
                found = many(*stacked)
                expected = np.stack([row.evaluate(*one, **dict(first.params)) for one in each])
            assert ulps_of_largest(found, expected) <= 8.0, (
                f"{first} batched {flags}: {found}, not {expected}"
            )


def ulps_of_largest(found: Any, expected: Any) -> float:
    """The largest distance in ulps of the largest element: BLAS may add in another order."""
    found, expected = np.asarray(found), np.asarray(expected)
    if expected.dtype.kind != "f" or not expected.size:
        return ulps(found, expected)
    assert found.shape == expected.shape, f"shape {found.shape}, not {expected.shape}"
    assert found.dtype == expected.dtype, f"dtype {found.dtype}, not {expected.dtype}"
    off = np.where(found == expected, 0.0, np.abs(found - expected))
    return float(np.max(off) / np.spacing(np.max(np.abs(expected))))


def complex_step(row: Primitive) -> None:
    """The imaginary part of the complex cell at x + i h v, over h, is the tangent."""
    if isinstance(row.complex, Unsupported):
        return
    tiny = 1e-100
    for sample, graph in differentiable_samples(row):
        for v in directions_of(graph):
            (tangent,) = pushforward(graph.outputs, graph.inputs, nodes_of(v))
            if tangent is None:
                continue
            at = dict(zip(graph.inputs, sample.operands, strict=True))
            (expected,) = evaluate([tangent], dict(at))
            along = [
                x if d is None else x + 1j * tiny * d
                for x, d in zip(sample.operands, v, strict=True)
            ]
            with np.errstate(all="ignore"):
                value = np.asarray(row.complex(*along, **dict(sample.params)))
            off = ulps_of_largest(np.imag(value) / tiny, np.asarray(expected))
            assert off <= ARRAY_ULPS, f"{sample}: {np.imag(value) / tiny}, not {expected}"


def compiles(row: Primitive) -> None:
    """The compiled program computes the row: on arrays of both precisions, and on plain floats."""
    for sample, dtype in itertools.product(samples(row), (FLOAT64, FLOAT32)):
        graph = applied(row, sample, dtype)
        arrays = [a.astype(x.dtype) for a, x in zip(sample.operands, graph.inputs, strict=True)]
        with np.errstate(all="ignore"):
            (found,) = compiled(graph)(*arrays)
            expected = row.evaluate(*arrays, **dict(graph.outputs[0].params))
        assert ulps(found, np.asarray(expected)[()]) <= 1.0, f"{sample}: {found}, not {expected}"
    if row.kind == "pointwise":
        _compiles_on_floats(row)


def _compiles_on_floats(row: Primitive) -> None:
    for sample in samples(row, shape=()):
        graph = applied(row, sample)
        program = compiled(graph)
        plain = is_scalar(graph)
        lacks = isinstance(row.scalar, Unsupported)
        assert plain != lacks or not _all_floats(graph), "wrong mode"
        many = (
            zip(*(a.tolist() for a in points(row, 500)), strict=True) if _all_floats(graph) else []
        )
        for at in [tuple(a.item() for a in sample.operands), *itertools.islice(many, 0, None, 7)]:
            with np.errstate(all="ignore"):
                (found,) = program(*at)
                expected = row.evaluate(*map(np.asarray, at), **dict(sample.params))
            assert ulps(found, expected) <= 2 * VALUE_ULPS, (
                f"{row} {at}: {found!r}, not {expected!r}"
            )


def _all_floats(graph: Graph) -> bool:
    return all(x.dtype == FLOAT64 for x in graph.inputs) and graph.outputs[0].dtype != np.int64


READINGS: dict[str, Callable[[Graph], Any]] = {
    "sympy": to_sympy,
    "ball": lambda graph: in_balls(graph, [np.ones(x.shape, x.dtype) for x in graph.inputs]),
    "batch": lambda graph: batch(graph, 2, [True] * len(graph.inputs)),
    "complex": lambda graph: METHODS["complex_step"].derive(graph, [0]),
    "derivative": lambda graph: pushforward(
        graph.outputs, graph.inputs, [zeros(x) for x in graph.inputs]
    ),
}
"""What a user meets who needs a cell."""


def refusals(row: Primitive) -> None:
    """An empty cell raises `UnsupportedError` with the row's name and the reason."""
    for cell, read in READINGS.items():
        found = getattr(row, cell)
        if isinstance(found, Unsupported):
            graph = applied(row, samples(row)[0])
            try:
                read(graph)
            except UnsupportedError as error:
                assert row.name in str(error), f"{cell}: {error} does not name {row.name}"
                assert found.reason in str(error), f"{cell}: {error} lacks the reason"
            else:
                raise AssertionError(f"{row.name} has no {cell} reading, but nothing was raised")
        assert not isinstance(found, Unsupported) or found.reason, f"{cell} lacks a reason"


def formats(row: Primitive) -> None:
    """The text and LaTeX cells are filled in with the operands."""
    for sample in samples(row):
        graph = applied(row, sample)
        text, formula = str(graph), graph.latex()
        line = next(line for line in text.splitlines() if line.strip().startswith("a ="))
        for i in range(len(sample.operands)):
            assert f"x{i}" in line, f"{line!r} does not name operand {i}"
            assert "x" in formula, f"{formula!r} does not name operand {i}"
        for found in (line, formula):
            assert not any(f"{{{field}}}" in found for field in ("operands", "params", "rest")), (
                found
            )
        assert formula.count("{") == formula.count("}"), f"unbalanced braces in {formula!r}"


LAWS: tuple[Callable[[Primitive], None], ...] = (
    shape, enclosure, digits_of_value, digits_of_partials, proof, symbols_agree, adjoint,
    derivative, second_derivative, batched, complex_step, compiles, refusals, formats,
)  # fmt: skip
