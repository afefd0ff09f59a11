"""What the native cell of a row may hold: how fused machine code computes the row.

=============================== =============================================================
of what is                      the cell is
=============================== =============================================================
elementwise                     ``rule(v, *x, **params)`` on vectors, or the name of a function
                                of engines/native; None: NumPy's own inner loop, if there is one
a view                          where in the operand an element is: ``rule(at, x, **params)``
joined or placed                where the operands go: ``rule(out, *x, **params)``
a reduction                     a `Fold`
made of other rows              `InRows`
=============================== =============================================================
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Fold:
    """How a reduction is computed element by element: ``combine(v, a, b)`` from an identity."""

    identity: float
    combine: Callable[..., Any]


@dataclass(frozen=True, slots=True)
class InRows:
    """How an operation is made of other rows: ``rule(*x, **params)``, plain NumPy text."""

    rule: Callable[..., Any]
