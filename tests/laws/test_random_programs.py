"""Random programs through every reading: all agree, within bounds that reverse mode itself derives.

Floats are compared with balls. The bound on their distance is the first-order rounding error of
the program, the sum over its nodes of |cotangent| |value| ulps, so that no tolerance is tuned:
an ill-conditioned program has a wide bound.
"""

from __future__ import annotations

import os
from typing import Any, Final

import numpy as np
import pytest
import sympy
from flint import arb
from hypothesis import HealthCheck, given, seed, settings

import difflab
from difflab.engines import compile as compiled
from difflab.errors import UnsupportedError
from difflab.ir.expr import Expr, Graph, constant, evaluate
from difflab.readings.balls import enclose_nodes, exact, precision
from difflab.readings.batches import batch
from difflab.readings.cotangents import pullback, sweep
from difflab.readings.symbols import to_sympy
from difflab.readings.tangents import pushforward, zeros
from difflab.table.identities import simplify

from .programs import Program, programs

NIGHTLY = os.environ.get("DIFFLAB_PROFILE") == "nightly"
PARTS: Final = 4
EXAMPLES: Final = 10_000 if NIGHTLY else 300
ULPS: Final = 8.0
"""What one operation may lose: 4 ulps by its rule, and as much again in adding up."""
BITS: Final = 600
EXACT: Final = 1e-25
SYMBOLIC_NODES: Final = 14


@pytest.mark.parametrize("part", range(PARTS))
def test_readings_agree(part: int) -> None:
    @seed(part)
    @settings(
        max_examples=EXAMPLES // PARTS,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(programs())
    def agree(program: Program) -> None:
        with np.errstate(all="ignore"):
            readings_agree(program)

    agree()


def readings_agree(program: Program) -> None:
    """Value and directional derivative of a program, by every reading."""
    graph = difflab.trace(program, *program.point).check()
    assert str(graph) and graph.latex()
    if not graph.outputs[0].shape:
        forward, reverse = directional(graph)
        simple = simplify(reverse).check()
        exact_derivative = ball_of(reverse, program.point)
        assert_equal(ball_of(forward, program.point), exact_derivative)
        # What simplifying folds has been rounded as well, so the bound is the whole program's.
        for mode, whole in ((forward, forward), (reverse, reverse), (simple, reverse)):
            found = compiled(mode)(*program.point)[0]
            assert_near(found, exact_derivative, whole, program.point)
        assert_near(evaluated(reverse, program.point), exact_derivative, reverse, program.point)
        assert_equal(difference(graph, program.point), exact_derivative)
        assert_near(batched(simple, program.point), exact_derivative, reverse, program.point)
        scalar = graph
    else:
        scalar = graph.with_outputs([np.sum(graph.outputs[0])])
    truth = ball_of(scalar, program.point)
    assert_near(compiled(scalar)(*program.point)[0], truth, scalar, program.point)
    assert_near(compiled(simplify(scalar))(*program.point)[0], truth, scalar, program.point)
    assert_near(program_sum(program), truth, scalar, program.point)
    assert_near(batched(scalar, program.point), truth, scalar, program.point)
    symbolic_agrees(scalar, program.point, truth)


def program_sum(program: Program) -> Any:
    """What the plain function returns, summed."""
    return np.sum(program(*program.point))


def directional(graph: Graph) -> tuple[Graph, Graph]:
    """The derivative along (1, ..., 1), by forward and by reverse mode, as graphs."""
    ones = [constant(np.ones(x.shape)) for x in graph.inputs]
    (tangent,) = pushforward(graph.outputs, graph.inputs, ones)
    parts = pullback(graph.outputs, [constant(1.0)], graph.inputs)
    total: Any = constant(0.0)
    for part in parts:
        total = total if part is None else total + np.sum(part)  # type: ignore[call-overload]
    like = graph.outputs[0]
    return graph.with_outputs([zeros(like) if tangent is None else tangent]), graph.with_outputs(
        [total]
    )


def ball_of(graph: Graph, point: Any) -> arb:
    """The exact scalar output."""
    return ball_at(graph, [exact(x) for x in point])


def ball_at(graph: Graph, point: Any) -> arb:
    """The scalar output at a point of balls."""
    known = dict(zip(graph.inputs, point, strict=True))
    enclose_nodes(graph.outputs, known, BITS)
    return known[graph.outputs[0]].item()


def difference(graph: Graph, point: Any) -> arb:
    """The derivative along (1, ..., 1) by differences in balls."""
    with precision(BITS):
        h = arb(2) ** -100
        up, down = (ball_at(graph, [np.asarray(exact(x) + s * h) for x in point]) for s in (1, -1))
        return (up - down) / (2 * h)


def evaluated(graph: Graph, point: Any) -> Any:
    """The output, node by node."""
    return evaluate(graph.outputs, dict(zip(graph.inputs, point, strict=True)))[0]


def batched(graph: Graph, point: Any) -> Any:
    """The output for the second of two batched points."""
    many = batch(graph, 2, [True] * len(graph.inputs)).check()
    return compiled(many)(*[np.stack([x + 0.5, x]) for x in point])[0][1]


def rounding_bound(graph: Graph, point: Any) -> float:
    """The first-order rounding error of a program with a scalar output, by its own reverse mode."""
    moving = set(graph.inputs)
    for node in graph.nodes:
        if node.differentiable and any(operand in moving for operand in node.operands):
            moving.add(node)
    still = [node for node in graph.operations if node not in moving and node.differentiable]
    flows = sweep(graph.outputs, [constant(1.0)], [*graph.inputs, *still])
    pairs = [(node, ct) for node, ct, _ in flows]
    known: dict[Expr, Any] = dict(zip(graph.inputs, point, strict=True))
    values = evaluate([node for node, _ in pairs], known)
    weights = evaluate([ct for _, ct in pairs], known)
    total = sum(float(np.sum(np.abs(v * w))) for v, w in zip(values, weights, strict=True))
    return ULPS * float(np.finfo(np.float64).eps) * total


def assert_near(found: Any, truth: arb, graph: Graph, point: Any) -> None:
    """A float is not certainly further from the truth than rounding explains."""
    assert truth.is_finite()
    with precision(BITS):
        off = abs(arb(float(found)) - truth)
    bound = rounding_bound(graph, point)
    assert not off > bound, f"{found} is {off} from {truth}, more than {bound}\n{graph}"


def assert_equal(found: arb, expected: arb) -> None:
    """Balls agree to 25 digits."""
    with precision(BITS):
        off = abs(found - expected)
        assert off < EXACT * (1 + abs(expected)), f"{found}, but {expected}"


def symbolic_agrees(graph: Graph, point: Any, truth: arb) -> None:
    """SymPy, where it can follow, computes the same number."""
    if len(graph.nodes) > SYMBOLIC_NODES:
        return
    given = [np.vectorize(lambda v: sympy.Float(v, 40), otypes=[object])(x) for x in point]
    try:
        (found,) = to_sympy(graph, given)
    except UnsupportedError:
        return
    assert_near(sympy.N(found, 40), truth, graph, point)  # its numbers such as 0.1 have 17 digits
