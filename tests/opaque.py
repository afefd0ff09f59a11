"""Functions that cannot be traced, whatever tracing learns to see: what tests call opaque."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from difflab.ir.tree import flatten, unflatten


def opaque(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function of values that went through their bytes, as to a program in C."""

    def hidden(*args: Any) -> Any:
        leaves, tree = flatten(args)
        return function(*unflatten(tree, [by_bytes(leaf) for leaf in leaves]))

    return hidden


def by_bytes(x: Any) -> Any:
    """The same values, which no longer depend on anything."""
    held = np.asarray(x)  # a traced one has no bytes
    return np.frombuffer(bytearray(held.tobytes()), held.dtype).reshape(held.shape)[()]
