"""Axes as the spellings count them: from the end, so that a leading axis may be added later."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from difflab.errors import ShapeError
from difflab.ir.build import lift, reshaped
from difflab.ir.expr import Expr

Axes = int | Sequence[int] | None


def axes_of(x: Expr, axis: Axes) -> tuple[int, ...]:
    """The named axes, counted from the end, in order."""
    if axis is None:
        return tuple(range(-x.ndim, 0))
    return tuple(sorted({axis_of(x, a) for a in integers(axis)}))


def axis_of(x: Expr, axis: int) -> int:
    """One axis, counted from the end."""
    if not -x.ndim <= axis < x.ndim:
        raise ShapeError(f"axis {axis} is out of bounds for an array of shape {x.shape}")
    return operator.index(axis) % x.ndim - x.ndim


def integers(axis: Any) -> list[int]:
    """One integer or several, as a list."""
    return [
        int(a) for a in (axis if isinstance(axis, (tuple, list, range, np.ndarray)) else (axis,))
    ]


def reduced_shape(x: Expr, axes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape with those axes reduced to length 1."""
    return tuple([1 if i - x.ndim in axes else n for i, n in enumerate(x.shape)])


def count_along(x: Expr, axes: tuple[int, ...]) -> int:
    """How many elements a reduction over those axes takes together."""
    return math.prod(x.shape[a] for a in axes)


def flat_if_none(a: Any, axis: int | None) -> tuple[Expr, int]:
    """The array and an axis of it, counted from the end; without an axis the array is flattened."""
    x = lift(a)
    return (reshaped(x, (x.size,)), -1) if axis is None else (x, axis_of(x, axis))
