"""The names in the source of a program on plain floats: `math`, and what it lacks or does worse.

What flows: a Python float comes in, a Python float goes out. The invariant: each is within the ulps
of the row that it runs; what overflows or is outside a domain may raise, and is then run on arrays.
"""

from __future__ import annotations

import functools
import math
from typing import Any, Final

import numpy as np

from difflab.ir.expr import Graph
from difflab.ir.row import CONSTANT, INPUT, TABLE, Primitive, Unsupported


def public(module: Any) -> dict[str, Any]:
    """The public names of a module."""
    return {name: value for name, value in vars(module).items() if not name.startswith("_")}


SCALARS: Final[dict[str, Any]] = {
    **public(math),
    **{row.name: row.scalar for row in TABLE.values() if callable(row.scalar)},
    "float64": np.float64,
    "bool_": np.bool_,
}
"""The names in the source of a program on plain floats."""


def is_scalar(graph: Graph) -> bool:
    """Whether a graph can run on plain floats."""
    return all(
        not node.shape
        and node.dtype.name in ("float64", "bool")
        and (
            node.primitive in (INPUT, CONSTANT)
            or not isinstance(node.primitive.scalar, Unsupported)
        )
        for node in graph.nodes
    )


@functools.lru_cache(4096)
def is_arithmetic(row: Primitive) -> bool:
    """Whether the plain-float source is arithmetic alone, which NumPy's scalars do faster than
    its functions.
    """
    return isinstance(row.scalar, str) and not any(c.isalpha() for c in row.scalar)
