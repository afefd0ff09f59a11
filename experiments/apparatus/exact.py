"""Limits without rounding: differences and values in ball arithmetic.

What flows: a program and a point go into balls of many bits, where rounding is negligible. Limits
use values of the function only, so they can hold a derivative rule to account.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from flint import arb

from difflab.accuracy.truth import Enclosure
from difflab.ir.expr import Graph, walk
from difflab.readings.balls import EVERY_BIT, enclose, enclose_nodes, exact, precision, ulps_of

STEP_BITS = 1500  # differences are taken 2^-1500 away: truncation is below any float's last digit
LIMIT_BITS, AGREED_BITS = 4500, 60


def value_ulps(graph: Graph, arrays: Sequence[Any], values: Sequence[Any], bits: int) -> float:
    """The largest error of the function's own values, in ulps."""
    blocks = enclose(graph, arrays, bits)
    return max(
        ulps_of(float(value), ball, out.dtype)
        for found, block, out in zip(values, blocks, graph.outputs, strict=True)
        for value, ball in zip(np.ravel(found), block.flat, strict=True)
    )


def written_out(graph: Graph) -> int:
    """The operations of a function when nothing is shared."""
    counts: dict[Any, int] = {}
    return sum(walk(graph.outputs, counts, lambda node, below: bool(below) + sum(below)))


def limit_of_differences(graph: Graph, arrays: Sequence[Any], enclosure: Enclosure) -> str:
    """How the truth stands to the limit of (f(x + h) - f(x)) / h, computed exactly for tiny h.

    "agrees" with it from both sides, "differs" from it, or there is "none": the sides disagree.
    """
    if not all(ball.is_finite() for block in enclosure.balls for ball in block.flat):
        return "none"
    truths = iter(enclosure.balls)
    found = "agrees"
    for out, middle in enumerate(_moved(graph, arrays, None, 0)):
        for i in (i for i, x in enumerate(graph.inputs) if x.dtype.kind == "f"):
            block = next(truths).reshape(middle.shape + graph.inputs[i].shape)
            for index in np.ndindex(graph.inputs[i].shape):
                moved = (_moved(graph, arrays, (i, index), sign)[out] for sign in (-1, 1))
                left, right = map(_slopes, moved, (middle, middle), (-1, 1))
                if not all(map(_same, left, right)):
                    return "none"
                if not all(map(_same, right, block[(..., *index)].flat)):
                    found = "differs"
    return found


def _moved(graph: Graph, arrays: Sequence[Any], at: Any, sign: int) -> list[Any]:
    """The function's values as balls, one component moved by the step."""
    known = dict(zip(graph.inputs, map(exact, arrays), strict=True))
    if at:
        i, index = at
        with precision(EVERY_BIT):
            known[graph.inputs[i]][index] += sign * arb(2) ** -STEP_BITS
    enclose_nodes(graph.outputs, known, LIMIT_BITS)
    return [known[out] for out in graph.outputs]


def _slopes(moved: Any, middle: Any, sign: int) -> list[arb]:
    with precision(LIMIT_BITS):
        pairs = zip(moved.flat, middle.flat, strict=True)
        return [(there - here) * sign * arb(2) ** STEP_BITS for there, here in pairs]


def _same(slope: arb, other: arb) -> bool:
    with precision(LIMIT_BITS):
        allowed = abs(other) * arb(2) ** -AGREED_BITS + arb(2) ** -1200
        return bool(abs(slope - other) <= allowed)
