"""Reverse mode: what flows along the edges is a cotangent, from the outputs back to the inputs.

`pullback` is one sweep over the staged graph with each row's one derivative fact read backward. The
invariants: a cotangent has the shape and dtype of its node; only nodes between the inputs and the
outputs are visited; the inputs are cut points, so that differentiating at a fresh input can never
confuse two perturbations.

>>> import numpy as np
>>> from difflab.ir.expr import constant, evaluate, placeholder
>>> x = placeholder((), np.dtype("float64"), "x")
>>> (ct,) = pullback([np.sin(x)], [constant(1.0)], [x])
>>> print(evaluate([ct], {x: np.float64(0.0)}))
[np.float64(1.0)]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from difflab.errors import UnsupportedError
from difflab.ir.build import lift, reshaped
from difflab.ir.expr import Expr, attributed_to, reachable
from difflab.ir.row import CONSTANT, INPUT, Pair, Partials, Transpose, Transposes
from difflab.readings.alive import Alive, before, cleaned, passes, together
from difflab.readings.tangents import added, is_zero, scaled, vanishes
from difflab.spellings.indexing import indices
from difflab.table.movement import PLACE, plain_index, scatter_add

Cotangent = Expr | None
MANY_PLACEMENTS = 8


def pullback(
    outputs: Sequence[Expr], cotangents: Sequence[Cotangent], inputs: Sequence[Expr]
) -> list[Cotangent]:
    """The cotangents of the inputs for given cotangents of the outputs."""
    found: dict[Expr, Cotangent] = dict.fromkeys(inputs)
    for node, ct, _ in sweep(outputs, cotangents, inputs):
        if node in found:
            found[node] = ct
    return [found[x] for x in inputs]


def cotangents_of_all(
    outputs: Sequence[Expr], cotangents: Sequence[Cotangent]
) -> dict[Expr, Cotangent]:
    """The cotangent of every node that the outputs depend on, also of what is computed of constants
    alone; None where nothing flows.
    """
    nodes = reachable(outputs)
    found: dict[Expr, Cotangent] = dict.fromkeys(nodes)
    inputs = [node for node in nodes if node.primitive is INPUT]
    for node in nodes:
        if node.operands and all(x.primitive is CONSTANT for x in node.operands):
            inputs += [x for x in node.operands if x.differentiable]
    found.update({node: ct for node, ct, _ in sweep(outputs, cotangents, inputs)})
    return found


def sweep(
    outputs: Sequence[Expr], cotangents: Sequence[Cotangent], inputs: Sequence[Expr]
) -> Iterator[tuple[Expr, Expr, list[Cotangent]]]:
    """From the outputs back to the inputs: a node, its cotangent, and the part for each operand."""
    cut = dict.fromkeys(inputs)
    nodes = reachable(outputs, cut)
    active = set(inputs)
    for node in nodes:
        if node.differentiable and not active.isdisjoint(node.operands):
            active.add(node)
    gathered: dict[Expr, list[tuple[Expr, Alive | None]]] = {}
    for out, ct in zip(outputs, cotangents, strict=True):
        if ct is not None and out in active:
            gathered.setdefault(out, []).append((ct, None))
    for node in reversed(nodes):
        if node not in gathered:
            continue
        parts: list[Cotangent] = []
        lives: list[Alive | None] = []
        with attributed_to(node.line):
            total, alive = _met(gathered.pop(node), node, node in cut)
            if node not in cut:
                lives = before(node, alive)
                for operand, part in zip(node.operands, _rule(node, total, active), strict=True):
                    flows = operand in active and (type(part) is Expr or not is_zero(part))
                    parts.append(lift(part) if flows else None)
        for operand, flowing, life in zip(node.operands, parts, lives, strict=False):
            if flowing is not None:
                gathered.setdefault(operand, []).append((flowing, life))
        yield node, total, parts


def _met(
    gathered: list[tuple[Expr, Alive | None]], node: Expr, ends: bool
) -> tuple[Expr, Alive | None]:
    """The sum of what has come to a node, and where it is alive; made zero elsewhere before it is
    added to anything.
    """
    if len(gathered) == 1 and node.primitive.kind == "pointwise" and not ends:
        return gathered[0]
    total = _total([cleaned(ct, alive) for ct, alive in gathered])
    ends = ends or not passes(node.primitive)
    return total, None if ends else together([alive for _, alive in gathered])


def _rule(node: Expr, ct: Expr, active: set[Expr]) -> Sequence[Any]:
    operands, params = node.operands, dict(node.params)
    derivative = node.primitive.derivative
    match derivative:
        case Partials(rule):
            partials = rule(node, *operands, **params)
            partials = partials if isinstance(partials, tuple) else (partials,)
            pairs = zip(operands, partials, strict=True)
            return [scaled(ct, partial) if x in active else None for x, partial in pairs]
        case Transpose(rule):
            return tuple(rule(ct, *operands, **params))
        case Transposes(rules):
            return [
                rules[i](ct, *operands, **params) if x in active and not vanishes(node, i) else None
                for i, x in enumerate(operands)
            ]
        case Pair(_, backward):
            return tuple(backward(node, ct, *operands, **params))
    raise UnsupportedError(
        f"{node.primitive.name} has no derivative: {derivative.reason}", line=node.line
    )


def _total(parts: list[Expr]) -> Expr:
    """The sum of all contributions; many placements into one array become one scattered sum."""
    placements = [part for part in parts if part.primitive is PLACE]
    if len(placements) > MANY_PLACEMENTS:
        rest = [part for part in parts if part.primitive is not PLACE]
        parts = [*rest, _scattered(placements)]
    total: Cotangent = None
    for part in parts:
        total = added(total, part)
    assert total is not None
    return total


def _scattered(placements: list[Expr]) -> Expr:
    """A loop over x[i] in the user's program would else cost n additions of arrays of n."""
    shape = placements[0].shape
    position = np.arange(placements[0].size).reshape(shape)
    where = [position[plain_index(dict(part.params)["index"])].ravel() for part in placements]
    values = [reshaped(part.operands[0], (part.operands[0].size,)) for part in placements]
    joined: Any = np.concatenate(values)
    flat = scatter_add(joined, indices(np.concatenate(where)), shape=(position.size,))
    return reshaped(flat, shape)
