"""Forward mode: what flows along the edges is a tangent, from the inputs to the outputs.

`pushforward` reads each row's one derivative fact forward. The invariant: a tangent has the shape
and dtype of its node; None stands for an exact zero and costs nothing. Many directions at once are
this reading under `batches.batch`.

>>> import numpy as np
>>> from difflab.ir.expr import constant, evaluate, placeholder
>>> x = placeholder((), np.dtype("float64"), "x")
>>> (t,) = pushforward([np.sin(x)], [x], [constant(1.0)])
>>> evaluate([t], {x: np.float64(0.0)})
[np.float64(1.0)]
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from difflab.errors import UnsupportedError
from difflab.ir.build import broadcast, lift
from difflab.ir.expr import Expr, attributed_to, constant, walk
from difflab.ir.row import CONSTANT, INPUT, Pair, Partials, Transpose, Transposes

Tangent = Expr | None


def is_zero(value: Any) -> bool:
    """Whether a rule's answer is an exact zero: None, or a plain number 0."""
    return value is None or (
        not isinstance(value, Expr) and not getattr(value, "shape", ()) and value == 0.0
    )


def scaled(value: Expr, partial: Any) -> Tangent:
    """value * partial, where a plain 0 or 1 costs nothing."""
    if is_zero(partial):
        return None
    if not isinstance(partial, Expr) and not getattr(partial, "shape", ()) and partial == 1.0:
        return value
    product: Expr = value * partial
    return product


def vanishes(node: Expr, position: int) -> bool:
    """Whether a product does not depend on one operand, because the other one is zero for good."""
    if not node.primitive.is_product:
        return False
    other = node.operands[1 - position]
    while other.primitive.shaping:
        other = other.operands[0]
    if not other.is_fixed:
        return False
    return not np.any(other.value)


def added(left: Tangent, right: Tangent) -> Tangent:
    """The sum of two tangents (or cotangents)."""
    if left is None or right is None:
        return right if left is None else left
    total: Expr = left + right
    return total


def zeros(like: Expr) -> Expr:
    """A zero tangent spelt out, for operations that need one."""
    return broadcast(constant(0.0, like.dtype), like.shape)


def ones(like: Expr) -> Expr:
    """Ones, like a node."""
    return broadcast(constant(1.0, like.dtype), like.shape)


def pushforward(
    outputs: Sequence[Expr],
    inputs: Sequence[Expr],
    tangents: Sequence[Tangent],
    wild: Iterable[Expr] = (),
) -> list[Tangent]:
    """The tangents of the outputs for given tangents of the inputs; `wild` names inputs whose
    tangents may not be finite.
    """
    known: dict[Expr, Tangent] = dict(zip(inputs, tangents, strict=True))
    wild = set(wild)

    def moved(node: Expr, moving: list[Tangent]) -> Tangent:
        if not node.differentiable or all(tangent is None for tangent in moving):
            return None
        if not wild.isdisjoint(node.operands) or _is_wild(node):
            wild.add(node)
        chooses = node.primitive.choice is not None and not wild.isdisjoint(node.operands)
        with attributed_to(node.line):
            return tangent_of(node, moving, taken if chooses else scaled)

    return walk(outputs, known, moved)


def _is_wild(node: Expr) -> bool:
    """Whether a node may make a tangent that is not finite of a finite one."""
    row = node.primitive
    if row.is_product:
        return all(x.primitive not in (CONSTANT, INPUT) for x in node.operands)
    return not row.tame and not isinstance(row.derivative, (Transpose, Transposes))


def taken(value: Expr, partial: Any) -> Tangent:
    """value * partial, where a partial of 0 means that the value was not taken, whatever it is."""
    found: Expr = np.where(partial == 0.0, 0.0, value * partial)  # type: ignore[assignment]
    return found


def tangent_of(
    node: Expr, tangents: Sequence[Tangent], times: Callable[[Expr, Any], Tangent] = scaled
) -> Tangent:
    """The tangent of a node for tangents of its operands; `times` multiplies one with a partial."""
    operands, params = node.operands, dict(node.params)
    derivative = node.primitive.derivative
    match derivative:
        case Partials(rule):
            partials = rule(node, *operands, **params)
            total: Tangent = None
            for tangent, partial in zip(tangents, _as_tuple(partials), strict=True):
                if tangent is not None:
                    total = added(total, times(tangent, partial))
            return total
        case Transpose():
            moved = tuple(
                [
                    x if not x.differentiable else zeros(x) if tangent is None else tangent
                    for x, tangent in zip(operands, tangents, strict=True)
                ]
            )
            return Expr(node.primitive, moved, node.params)
        case Transposes():
            total = None
            for i, tangent in enumerate(tangents):
                if tangent is not None and not vanishes(node, i):
                    moved = (*operands[:i], tangent, *operands[i + 1 :])
                    total = added(total, Expr(node.primitive, moved, node.params))
            return total
        case Pair(forward, _):
            choice = node.primitive.choice
            if times is taken and choice is not None and tangents[0] is not None:
                (hit,) = choice(*operands, **params)
                tangents = [lift(np.where(hit, tangents[0], 0.0))]
            found = forward(node, tangents, *operands, **params)
            return None if is_zero(found) else lift(found)
    raise UnsupportedError(
        f"{node.primitive.name} has no derivative: {derivative.reason}", line=node.line
    )


def _as_tuple(partials: Any) -> tuple[Any, ...]:
    return partials if isinstance(partials, tuple) else (partials,)
