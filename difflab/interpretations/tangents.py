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

from collections.abc import Sequence
from typing import Any

from difflab.errors import UnsupportedError
from difflab.ir.build import broadcast, lift
from difflab.ir.expr import Expr, attributed_to, constant, reachable
from difflab.ir.row import Pair, Partials, Transpose, Transposes

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


def added(left: Tangent, right: Tangent) -> Tangent:
    """The sum of two tangents (or cotangents)."""
    if left is None or right is None:
        return right if left is None else left
    total: Expr = left + right
    return total


def zeros(like: Expr) -> Expr:
    """A zero tangent spelt out, for operations that need one."""
    return broadcast(constant(0.0, like.dtype), like.shape)


def pushforward(
    outputs: Sequence[Expr], inputs: Sequence[Expr], tangents: Sequence[Tangent]
) -> list[Tangent]:
    """The tangents of the outputs for given tangents of the inputs."""
    known: dict[Expr, Tangent] = dict(zip(inputs, tangents, strict=True))
    for node in reachable(outputs, known):
        if node in known:
            continue
        moving = [known.get(operand) for operand in node.operands]
        if not node.differentiable or all(tangent is None for tangent in moving):
            known[node] = None
            continue
        with attributed_to(node.line):
            known[node] = _rule(node, moving)
    return [known[out] for out in outputs]


def _rule(node: Expr, tangents: list[Tangent]) -> Tangent:
    operands, params = node.operands, dict(node.params)
    derivative = node.primitive.derivative
    match derivative:
        case Partials(rule):
            partials = rule(node, *operands, **params)
            total: Tangent = None
            for tangent, partial in zip(tangents, _as_tuple(partials), strict=True):
                if tangent is not None:
                    total = added(total, scaled(tangent, partial))
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
                if tangent is not None:
                    moved = (*operands[:i], tangent, *operands[i + 1 :])
                    total = added(total, Expr(node.primitive, moved, node.params))
            return total
        case Pair(forward, _):
            found = forward(node, tangents, *operands, **params)
            return None if is_zero(found) else lift(found)
    raise UnsupportedError(
        f"{node.primitive.name} has no derivative: {derivative.reason}", line=node.line
    )


def _as_tuple(partials: Any) -> tuple[Any, ...]:
    return partials if isinstance(partials, tuple) else (partials,)
