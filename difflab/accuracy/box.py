"""Intervals: what numbers lie between, and how that is shown.

What flows: lower and upper ends, numbers or trees of arrays, become lines and tables. The
invariant: both ends are of one shape.

>>> print(Bounds(Interval(0.0, 1.0), Interval(-1.0, 1.0), 1).gradient)
[-1, 1]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from difflab.accuracy.subject import elements, numbers
from difflab.errors import ShapeError
from difflab.ir.brief import one_line
from difflab.ir.tree import flatten, paths
from difflab.views import notebook


@dataclass(frozen=True, slots=True)
class Interval:
    """All numbers from a lower to an upper end; arrays, or trees of them, element by element."""

    lower: Any
    upper: Any

    def contains(self, x: Any) -> bool:
        """Whether every number of an array, or a tree, lies between its ends.

        >>> Interval(0.0, 1.0).contains(0.5), Interval(0.0, 1.0).contains(np.nan)
        (True, False)
        """
        found, low, high = map(numbers, (x, self.lower, self.upper))
        if found.size != low.size:
            raise ShapeError(
                f"{found.size} numbers are held against bounds of {low.size}", "shapes must agree"
            )
        return bool(np.all((low <= found) & (found <= high)))

    def __repr__(self) -> str:
        return one_line(f"<interval {self}>")

    def __str__(self) -> str:
        low, high = numbers(self.lower), numbers(self.upper)
        shown = [f"[{a:.6g}, {b:.6g}]" for a, b in zip(low[:3], high[:3], strict=True)]
        rest = [f"... {low.size} in all"] if low.size > 3 else []
        return ", ".join(shown + rest)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a function and its derivative can be over a box."""

    value: Interval
    """Of f(x); a tree where f returns one."""
    gradient: Interval
    """In the shape, or tree, that `gradient` would return (`jacobian`, if f is not scalar)."""
    pieces: int
    """Into how many the box was divided."""

    def __repr__(self) -> str:
        return one_line(f"<bounds: value {self.value}; derivative {self.gradient}>")

    def _repr_html_(self) -> str:
        rows = [
            {"what": name, "lower": f"{low:.6g}", "upper": f"{high:.6g}"}
            for what, of in (("value", self.value), ("derivative", self.gradient))
            for name, low, high in zip(
                _names(what, of.lower), numbers(of.lower), numbers(of.upper), strict=True
            )
        ]
        return notebook.table(rows)


def _names(what: str, tree: Any) -> Iterator[str]:
    """The name of every number of a tree."""
    leaves, structure = flatten(tree)
    for path, leaf in zip(paths(structure), leaves, strict=True):
        yield from elements(what + path, np.shape(leaf))
