"""What the functions of math, and conversions to Python's numbers, mean for traced values.

Where math raises an error outside of a function's domain, Python is asked for the condition, so
that it becomes a guard: a program is not used where the function would raise.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from difflab.ir.protocols import SPELLINGS
from difflab.tracing.arrays import Array, apply


def _of(function: Any, domain: Callable[[Any], Any] | None = None) -> Callable[..., Any]:
    """A function of math by NumPy's, raising outside of its domain."""

    def meaning(*args: Any) -> Any:
        if domain is not None and not domain(args[0]):
            raise ValueError("math domain error")
        return apply(function, args, {})

    return meaning


def _log(x: Any, base: Any = None) -> Any:
    if not x > 0:
        raise ValueError("math domain error")
    return np.log(x) if base is None else np.log(x) / np.log(base)


def _in_unit(x: Any) -> Any:
    return x >= -1 and x <= 1


def _float(x: Array) -> Any:
    """``float(x)``: a number of 64 bits."""
    if x.size != 1:
        raise TypeError("only length-1 arrays can be converted to Python scalars")
    return apply(np.reshape, (apply(np.astype, (x, np.float64), {}), ()), {})[()]


def _of_kind(kind: type) -> Callable[[Array], Any]:
    return lambda x: apply(np.astype, (x, kind), {})


def _dist(p: Any, q: Any) -> Any:
    return np.sqrt(sum((a - b) ** 2 for a, b in zip(p, q, strict=True)))


def _fsum(values: Any) -> Any:
    return apply(np.sum, ([*values],), {})


def _prod(values: Any, *, start: Any = 1) -> Any:
    for value in values:
        start = start * value
    return start


_ALIKE: Final = {
    function: _of(getattr(np, name))
    for name, function in vars(math).items()
    if isinstance(alike := getattr(np, name, None), np.ufunc)
    and alike in SPELLINGS
    and name != "remainder"  # of the nearest
}
"""Functions of the same name in NumPy, of which some raise outside of a domain."""
MATHEMATICS: Final[dict[Any, Callable[..., Any]]] = {
    **_ALIKE,
    math.asinh: _of(np.arcsinh), math.atan: _of(np.arctan), math.atan2: _of(np.arctan2),
    math.fabs: _of(np.abs),
    math.asin: _of(np.arcsin, _in_unit), math.acos: _of(np.arccos, _in_unit),
    math.acosh: _of(np.arccosh, lambda x: x >= 1),
    math.atanh: _of(np.arctanh, lambda x: x > -1 and x < 1),
    math.sqrt: _of(np.sqrt, lambda x: x >= 0), math.log: _log,
    math.log2: _of(np.log2, lambda x: x > 0), math.log10: _of(np.log10, lambda x: x > 0),
    math.log1p: _of(np.log1p, lambda x: x > -1),
    math.floor: operator.methodcaller("__floor__"), math.ceil: operator.methodcaller("__ceil__"),
    math.trunc: operator.methodcaller("__trunc__"), math.dist: _dist, math.fsum: _fsum,
    math.prod: _prod, float: _float,
    **{kind: _of_kind(kind) for kind in (np.float64, np.float32, np.int64)},
    complex: lambda x: x + 0j,
}  # fmt: skip
"""What each means where an argument is traced."""
