"""Where a cotangent is alive: the elements that the choices after a node have taken.

What flows from a choice (a branch of `np.where`, the smaller operand of a maximum, an element that
no index names) into what was not taken is an exact zero. On its way back it may meet an infinite or
NaN partial, and zero times infinity is NaN. So the choice itself travels along, as a question that
costs nothing until it is asked: before such a cotangent meets others, or leaves the elementwise
operations, what is not alive is made zero again. A NaN in what was taken stays.

>>> import numpy as np
>>> from difflab.ir.expr import placeholder
>>> x = placeholder((), np.dtype("float64"), "x")
>>> cleaned(x, None) is x, cleaned(x, Alive(lambda: x > 0.0)) is x
(True, True)
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from difflab.ir.build import broadcast
from difflab.ir.expr import Expr, constant
from difflab.ir.row import Primitive, Transpose

NP: Any = np
FEW: Final = 8
"""How many selections of one array are followed together."""


@dataclass(frozen=True, slots=True)
class Alive:
    """Where a cotangent counts."""

    ask: Callable[[], Expr]
    """The truth values, when they are needed."""
    touched: bool = False
    """Whether it was multiplied since the choice, so that NaN may stand for its zeros."""


def cleaned(ct: Expr, alive: Alive | None) -> Expr:
    """A cotangent with zeros where it is not alive."""
    if alive is None or not alive.touched:
        return ct
    asked = alive.ask()
    if ct.primitive.is_product:
        for chosen, factor in (ct.operands, ct.operands[::-1]):
            if chosen.operands and chosen.operands[0].dtype == bool and chosen.primitive.choice:
                c, a, b = chosen.operands  # of the same choice: choose once, after it
                if asked is c:
                    return _where(c, NP.multiply(a, factor), 0.0)
                if asked is NP.logical_not(c):
                    return _where(c, 0.0, NP.multiply(b, factor))
    return _where(asked, ct, 0.0)


def _once(ask: Callable[[], Expr], touched: bool = False) -> Alive:
    """Asked once: what is shared below would be asked along each of its paths."""
    return Alive(functools.cache(ask), touched)


def _where(condition: Expr, a: Any, b: Any) -> Expr:
    found: Expr = NP.where(condition, a, b)
    return found


def together(parts: Sequence[Alive | None]) -> Alive | None:
    """Where a sum of cleaned cotangents is alive."""
    known = [part for part in parts if part is not None]
    if len(known) < len(parts) or len(parts) > FEW:
        return None
    return _once(lambda: functools.reduce(operator.or_, [part.ask() for part in known]))


def within(alive: Alive | None, inner: Callable[[], Expr]) -> Alive:
    """A choice among what is alive."""
    if alive is None:
        return Alive(inner)
    return _once(lambda: alive.ask() & inner(), touched=True)


def passes(row: Primitive) -> bool:
    """Whether the choice is still known before such an operation."""
    return row.elements != "mixed" or row.choice is not None


def before(node: Expr, alive: Alive | None) -> list[Alive | None]:
    """For each operand, where its part of a node's cotangent is alive."""
    row, operands = node.primitive, node.operands
    if row.choice is not None:
        # A choice among the elements of an array is made anew, in another shape.
        around = alive if row.elements == "each" else None
        return [
            within(around, functools.partial(_chosen, node, i)) if x.differentiable else None
            for i, x in enumerate(operands)
        ]
    if row.elements == "selected" or (alive is not None and row.elements == "moved"):
        assert isinstance(row.derivative, Transpose)
        rule = row.derivative.rule
        return [
            _once(functools.partial(_moved, rule, i, node, alive), bool(alive and alive.touched))
            if x.differentiable
            else None
            for i, x in enumerate(operands)
        ]
    if alive is None or row.kind != "pointwise":
        return [None] * len(operands)
    return [
        alive if _is_kept(node, i) else replace(alive, touched=True) for i in range(len(operands))
    ]


def _chosen(node: Expr, position: int) -> Expr:
    """Where an operand was taken."""
    assert node.primitive.choice is not None
    found: Expr = node.primitive.choice(*node.operands, **dict(node.params))[position]
    return found


def _is_kept(node: Expr, position: int) -> bool:
    """Whether a part is the cotangent itself, or a finite multiple of it."""
    row, operands = node.primitive, node.operands
    if row.is_product:
        other = operands[1 - position]
        fixed = other.is_fixed
        return fixed and bool(np.all(np.isfinite(other.value)))
    return isinstance(row.derivative, Transpose)


def _moved(rule: Callable[..., Any], position: int, node: Expr, alive: Alive | None) -> Expr:
    """The truth values moved as the cotangent is."""
    ones = broadcast(constant(1.0, node.dtype), node.shape)
    ones = ones if alive is None else alive.ask().astype(node.dtype)
    moved = rule(ones, *node.operands, **dict(node.params))[position]
    found: Expr = NP.not_equal(moved, 0.0)
    return found
