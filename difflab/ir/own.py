"""The rows of primitives of the user's own: one a function, in no table, with params of one kind.

>>> import numpy as np
>>> call = Call((3,), np.dtype("float64"), (True,), ((1, "fast"),))
>>> call.arguments(["x"]), call.batched(2).shape
(['x', 'fast'], (2, 3))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import numpy as np

from difflab.ir.row import Pair, Primitive, Rule, Unsupported, general, size_of_result

Which = Literal["pullback", "pushforward"]


class OwnRow(Primitive):
    """The row of one function; its `evaluate` is a method of the object that holds the row."""

    __slots__ = ()
    is_own = True

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self.evaluate.__self__, "row")  # type: ignore[attr-defined]


def own(evaluate: Rule, rules: Pair, **cells: Any) -> Primitive:
    """The row of a function that is called back, whatever the engine."""
    usual: dict[str, Any] = {
        "kind": "contraction",
        "infer": lambda *operands, call: (call.shape, call.dtype),
        "cost": size_of_result,
        "batch": lambda size, call: {"call": call.batched(size)},
        "emit": "{call}({operands})",
        "text": f"{cells['name']}({{operands}})",
        "rounding": Unsupported("how it rounds is not known"),
        "complex": Unsupported("a function of one's own is called with real numbers alone"),
    }
    row = general(
        evaluate, pushforward=rules.pushforward, pullback=rules.pullback, **{**usual, **cells}
    )
    return OwnRow(**{cell.name: getattr(row, cell.name) for cell in fields(row)})


@dataclass(frozen=True, slots=True)
class Call:
    """How a function of one's own is called, and what it returned where it was traced."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    moving: tuple[bool, ...]
    """Which operands are floats."""
    static: tuple[tuple[int, Any], ...] = ()
    """The positional arguments that are no arrays, and where they stand."""
    options: tuple[tuple[str, Any], ...] = ()
    told: str = ""
    """What tells 1 from 1.0 and True among them."""
    batches: tuple[int, ...] = ()
    """The lengths of leading axes along which it is called again and again."""
    point: Any = field(default=None, compare=False, repr=False)
    """The operands where it was traced, and its result; None: not known."""

    def arguments(self, arrays: Sequence[Any]) -> list[Any]:
        """The positional arguments."""
        found = list(arrays)
        for position, value in self.static:
            found.insert(position, value)
        return found

    def batched(self, size: int) -> Call:
        """The call for several values of each operand at once."""
        return replace(self, shape=(size, *self.shape), batches=(size, *self.batches))

    @property
    def single(self) -> Call:
        """The call for one value of each operand."""
        return replace(self, shape=self.shape[len(self.batches) :], batches=())

    def arranged(self, which: Which, values: Sequence[Any]) -> list[Any]:
        """The arguments of a rule, of f's result, what moves, and the operands."""
        count = len(values) - len(self.moving)
        y, *seeds = values[:count]
        x = self.arguments(values[count:])
        if which == "pullback":
            return [y, *seeds, *x]
        rest = iter(seeds)
        tangents = [next(rest) if moves else None for moves in self.moving]
        for position, _ in self.static:
            tangents.insert(position, None)
        return [y, tuple(tangents), *x]

    def targets(self, which: Which, values: Sequence[Any]) -> list[Any]:
        """What the parts of a rule's result are like, of the same."""
        if which == "pushforward":
            return [values[0]]
        x = values[len(values) - len(self.moving) :]
        return [part for part, moves in zip(x, self.moving, strict=True) if moves]
