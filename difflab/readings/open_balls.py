"""Balls that are too wide to tell: which have a value, and how near they are to a border.

What flows: balls of a graph at a point; where one is NaN it is told whether there is no value, or
only not enough digits: an unknown germ takes the place of what is not known. The invariant: what is
said to have no value has none at all ends of its operands.

>>> from difflab.ir.row import TABLE
>>> root = TABLE["sqrt"]
>>> stays_narrow(root, [arb(4)], [True], {}), stays_narrow(root, [arb(0)], [True], {})
(True, False)
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from flint import arb

from difflab.ir.expr import Array, Expr
from difflab.ir.row import Primitive
from difflab.readings.germs import NOT_TOLD, Germ

CORNERS: Final = 3
"""The most inexact operands of which all ends are tried."""


def with_unknowns(scene: Mapping[Expr, Array]) -> dict[Expr, Array]:
    """A scene in which a ball that is NaN has no value for certain: where it is only too wide, an
    unknown germ takes its place.
    """
    known = dict(scene)
    for node in sorted(scene, key=lambda node: node.age):
        array = known[node]
        if array.dtype != object or not node.operands:
            continue
        if all(not isinstance(x, arb) or x.is_finite() for x in array.flat):
            continue
        operands = [known[x] for x in node.operands]
        known[node] = np.array(array)
        for index, x in np.ndenumerate(array):
            if isinstance(x, arb) and not x.is_finite():
                known[node][index] = _without_value(node, operands, index)
    return known


def _without_value(node: Expr, operands: list[Array], index: tuple[int, ...]) -> Any:
    """An element that is not finite: without a value, infinite, or unknown."""
    row, params = node.primitive, dict(node.params)
    if row.kind != "pointwise":
        elements = [x for a in operands if a.dtype == object for x in a.flat]
        unknown = [x for x in elements if isinstance(x, Germ)]
        if unknown:
            return unknown[0]
        outside = any(isinstance(x, arb) and not x.is_finite() for x in elements)
        refused = row.kind == "factorisation" and row.germ is None
        return arb("nan") if outside or refused else _unknown(node)
    values = [np.broadcast_to(a, node.shape)[index] for a in operands]
    if any(v is None for v in values):
        return _unknown(node)
    unknown = [v for v in values if isinstance(v, Germ)]
    if unknown:
        chosen = row.need("ball")
        if any(isinstance(v, (bool, np.bool_)) for v in values):
            return chosen(*values, **params)
        return unknown[0]
    return arb("nan") if _is_certain(row, values, params) else _unknown(node)


def _unknown(node: Expr) -> Germ:
    found = Germ.unknown(NOT_TOLD)
    found.line = node.line
    return found


def _is_certain(row: Primitive, values: Sequence[Any], params: Mapping[str, Any]) -> bool:
    """Whether there is no value at all ends of the operands."""
    rule = row.need("ball")
    inexact = [v for v in values if isinstance(v, arb) and v.is_finite() and not v.is_exact()]
    if len(inexact) > CORNERS:
        return False
    ends = [
        (v.lower(), v.mid(), v.upper()) if any(v is w for w in inexact) else (v,) for v in values
    ]
    for corner in itertools.product(*ends):
        first, *rest = corner
        value = getattr(first, rule)(*rest) if isinstance(rule, str) else rule(*corner, **params)
        if not isinstance(value, arb) or value.is_finite():
            return False
    return True


# -- how near a ball is to the border of what a row is smooth on ----------------------------------

ROOM: Final = (2.0**-40, 2.0**-1000)
"""By how much an operand is widened, relatively and absolutely, to see whether a row minds."""
NARROW: Final = (2.0**-20, 2.0**-400)


def centres(array: Array) -> Array:
    """The floats nearest to the centres of balls; NaN for what is open or unknown."""
    if array.dtype != object:
        return array.astype(np.float64)
    numbers = [_centre(x) for x in array.flat]
    return np.array(numbers, np.float64).reshape(array.shape)


def _centre(x: Any) -> float:
    if isinstance(x, Germ):
        return float(x.constant) if x.is_regular else math.nan
    return math.nan if x is None else float(x)


def widths(array: Array) -> Array:
    """The radii of balls; infinite for what is open or unknown."""
    if array.dtype != object:
        return np.zeros(array.shape)
    radii = [
        float(x.rad()) if isinstance(x, arb) else 0.0 if isinstance(x, (bool, int)) else np.inf
        for x in array.flat
    ]
    return np.array(radii, np.float64).reshape(array.shape)


def stays_narrow(
    row: Primitive, values: Sequence[Any], widened: Sequence[bool], params: Mapping[str, Any]
) -> bool:
    """Whether a pointwise row's ball is finite and narrow where some operands are a little wider:
    then the row has neither border, nor pole, nor cut there.
    """
    if not all(isinstance(v, arb) for v in values):
        return False
    relative, absolute = ROOM
    first, *rest = [
        v + arb(0, float(abs(v.mid())) * relative + absolute) if wide else v
        for v, wide in zip(values, widened, strict=True)
    ]
    rule = row.need("ball")
    found = getattr(first, rule)(*rest) if isinstance(rule, str) else rule(first, *rest, **params)
    if not isinstance(found, arb) or not found.is_finite():
        return False
    relative, absolute = NARROW
    return float(found.rad()) <= relative * float(abs(found.mid())) + absolute
