"""A function with a point, and the list that it enters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Function = Callable[[Any], Any]


@dataclass(frozen=True)
class Case:
    """A function and the point where it is differentiated."""

    f: Function
    point: Any

    @property
    def name(self) -> str:
        return self.f.__name__


CASES: dict[str, Case] = {}


def at(*numbers: float, shape: tuple[int, ...] | None = None) -> Callable[[Function], Function]:
    """Enter a function with its point: the numbers, in a shape."""

    def enter(f: Function) -> Function:
        point = np.array(numbers, float)
        CASES[f.__name__] = Case(f, point if shape is None else point.reshape(shape))
        return f

    return enter


def spread(count: int, low: float = -1.0, high: float = 1.5) -> np.ndarray:
    """Numbers in no order, apart from one another."""
    return low + (high - low) * ((np.arange(count) * 0.618034 + 0.2) % 1.0)
