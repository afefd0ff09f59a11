"""The names in the source of a program on plain floats: `math`, and what it lacks or does worse.

What flows: a Python float comes in, a Python float goes out. The invariant: each is within the ulps
of the row that it runs; what overflows or is outside a domain may raise, and is then run on arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from difflab.ir.expr import Graph
from difflab.ir.row import CONSTANT, INPUT
from difflab.table.special import plain_sech2, plain_spherical_bessel


def public(module: Any) -> dict[str, Any]:
    """The public names of a module."""
    return {name: value for name, value in vars(module).items() if not name.startswith("_")}


def _float(function: Callable[[Any], Any]) -> Callable[[Any], float]:
    return lambda x: float(function(x))


def _plain_cbrt(x: float) -> float:
    """math.cbrt may be 4 ulps off (glibc); a step of Newton's method leaves one."""
    y = math.cbrt(x)
    return y - (y - x / (y * y)) / 3.0 if y and math.isfinite(y) else y


def _plain_cbrt_slope(x: float) -> float:
    y = math.cbrt(x)
    return 1.0 / (y * y + 2.0 * (x / y)) if math.isfinite(y) else 1.0 / (y * y)


def _plain_sigmoid(x: float) -> float:
    small = math.exp(-abs(x))
    return (1.0 if x >= 0.0 else small) / (1.0 + small)


def _plain_cosh(x: float) -> float:
    """Within 1.1 ulps, where the C library's cosh may be off by 2."""
    grown = math.exp(abs(x))
    return 0.5 * grown + 0.5 / grown


def _plain_softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


SCALARS: Final[dict[str, Any]] = {
    **public(math),
    "cosh": _plain_cosh,
    "floor": _float(math.floor),
    "ceil": _float(math.ceil),
    "trunc": _float(math.trunc),
    "rint": _float(round),
    "cbrt": _plain_cbrt,
    "cbrt_slope": _plain_cbrt_slope,
    "sigmoid": _plain_sigmoid,
    "sech2": plain_sech2,
    "softplus": _plain_softplus,
    "spherical_bessel": plain_spherical_bessel,
    "float64": np.float64,
    "bool_": np.bool_,
}
"""The names in the source of a program on plain floats."""


def is_scalar(graph: Graph) -> bool:
    """Whether a graph can run on plain floats."""
    return all(
        not node.shape
        and node.dtype.name in ("float64", "bool")
        and (node.primitive in (INPUT, CONSTANT) or isinstance(node.primitive.scalar, str))
        for node in graph.nodes
    )
