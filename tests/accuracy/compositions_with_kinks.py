"""Random compositions with kinks, jumps, removable points and edges, as programs in two languages.

A composition is a tree of operations. `plain` makes a NumPy function of it, `exact` evaluates it in
mpmath, with choices decided by exact arithmetic, so that difference quotients with tiny steps judge
what difflab says of the NumPy function; nothing of difflab is used. NaN stands for what has no
value. Only numbers that floats hold exactly occur, so that both are the same function.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
from mpmath import mp, mpf


@dataclass(frozen=True)
class Operation:
    """One operation: as NumPy has it, and exactly."""

    name: str
    plain: Callable[..., Any]
    exact: Callable[..., Any]


def _inside(condition: bool, value: Callable[[], Any]) -> Any:
    return value() if condition else mp.nan


def _rint(x: Any) -> Any:
    half = x + mpf(1) / 2
    low = mpmath.floor(half)
    return low - 1 if half == low and low % 2 else low


def _sign(x: Any) -> Any:
    return x if mpmath.isnan(x) else mpf(mpmath.sign(x))


def _choose(condition: bool, a: Any, b: Any) -> Any:
    return a if condition else b


def _extreme(a: Any, b: Any, sign: int) -> Any:
    if mpmath.isnan(a) or mpmath.isnan(b):
        return mp.nan
    return a if sign * (a - b) >= 0 else b


def _cbrt(x: Any) -> Any:
    return _sign(x) * mpmath.cbrt(abs(x))


UNARY = (
    Operation("abs", np.abs, abs),
    Operation("sign", np.sign, _sign),
    Operation("relu", lambda x: np.maximum(x, 0.0), lambda x: _extreme(x, mpf(0), 1)),
    Operation("floor", np.floor, mpmath.floor),
    Operation("ceil", np.ceil, mpmath.ceil),
    Operation("rint", np.round, _rint),
    Operation("trunc", np.trunc, lambda x: _sign(x) * mpmath.floor(abs(x))),
    Operation("sqrt", np.sqrt, lambda x: _inside(x >= 0, lambda: mpmath.sqrt(x))),
    Operation("sqrt of square", lambda x: np.sqrt(x * x), abs),
    Operation("cbrt", np.cbrt, _cbrt),
    Operation("square", np.square, lambda x: x * x),
    Operation("cube", lambda x: x**3, lambda x: x**3),
    Operation("abs^1.5", lambda x: np.abs(x) ** 1.5, lambda x: abs(x) ** mpf(1.5)),
    Operation("exp", np.exp, mpmath.exp),
    Operation("sin", np.sin, mpmath.sin),
    Operation("tanh", np.tanh, mpmath.tanh),
    Operation("arctan", np.arctan, mpmath.atan),
    Operation("log1p", np.log1p, lambda x: _inside(x > -1, lambda: mpmath.log1p(x))),
    Operation("log", np.log, lambda x: _inside(x > 0, lambda: mpmath.log(x))),
    Operation("arcsin", np.arcsin, lambda x: _inside(abs(x) <= 1, lambda: mpmath.asin(x))),
    Operation("bell", lambda x: 1 / (1 + x * x), lambda x: 1 / (1 + x * x)),
    Operation("reciprocal", lambda x: 1 / x, lambda x: _inside(x != 0, lambda: 1 / x)),
    Operation("fraction", lambda x: x % 1.0, lambda x: x - mpmath.floor(x)),
    Operation(
        "clip", lambda x: np.clip(x, -1.0, 0.5),
        lambda x: _extreme(_extreme(x, mpf(-1), 1), mpf(0.5), -1),
    ),
    Operation(
        "hole", lambda x: np.where(x == 0, 0.0, x * 3.0), lambda x: mpf(0) if x == 0 else 3 * x
    ),
    Operation("spike", lambda x: np.where(x == 0, 1.0, x), lambda x: mpf(1) if x == 0 else x),
    Operation(
        "sinc", lambda x: np.where(x == 0, 1.0, np.sin(x) / x),
        lambda x: mpf(1) if x == 0 else mpmath.sin(x) / x,
    ),
    Operation(
        "entropy", lambda x: np.where(x == 0, 0.0, x * np.log(np.abs(x))),
        lambda x: mpf(0) if x == 0 else x * mpmath.log(abs(x)),
    ),
    Operation(
        "flat", lambda x: np.where(x == 0, 0.0, np.exp(-1 / (x * x))),
        lambda x: mpf(0) if x == 0 else mpmath.exp(-1 / (x * x)),
    ),
    Operation("halves", lambda x: np.where(x > 0, x, 0.5 * x), lambda x: x if x > 0 else x / 2),
    Operation("shift", lambda x: x - 0.5, lambda x: x - mpf(0.5)),
    Operation("minus one", lambda x: x - 1.0, lambda x: x - 1),
    Operation("negative", lambda x: 0.0 - x, lambda x: -x),
)  # fmt: skip
BINARY = (
    Operation("add", np.add, lambda a, b: a + b),
    Operation("subtract", np.subtract, lambda a, b: a - b),
    Operation("multiply", np.multiply, lambda a, b: a * b),
    Operation("maximum", np.maximum, lambda a, b: _extreme(a, b, 1)),
    Operation("minimum", np.minimum, lambda a, b: _extreme(a, b, -1)),
    Operation("divide", np.divide, lambda a, b: _inside(b != 0, lambda: a / b)),
    Operation("hypot", np.hypot, lambda a, b: mpmath.sqrt(a * a + b * b)),
    Operation(
        "above", lambda a, b: np.where(a > b, a, b * b), lambda a, b: _choose(a > b, a, b * b)
    ),
    Operation("equal", lambda a, b: np.where(a == b, a, b), lambda a, b: _choose(a == b, a, b)),
    Operation("times sign", lambda a, b: a * np.sign(b), lambda a, b: a * _sign(b)),
    Operation(
        "at least", lambda a, b: np.where(a >= 0, b, -b), lambda a, b: _choose(a >= 0, b, -b)
    ),
)
POINTS = (0.0, 0.0, 0.0, 1.0, -1.0, 0.5, 2.0)

Tree = Any
"""None is x; otherwise an operation with its operands."""


def random_tree(rng: np.random.Generator, depth: int) -> Tree:
    """A composition of some operations."""
    if depth == 0:
        return None
    if rng.random() < 0.6:
        return UNARY[rng.integers(len(UNARY))], random_tree(rng, depth - 1)
    inner = [int(d) for d in rng.permutation([depth - 1, rng.integers(depth)])]
    return BINARY[rng.integers(len(BINARY))], *(random_tree(rng, d) for d in inner)


def plain(tree: Tree) -> Callable[[Any], Any]:
    """The composition as a NumPy function."""

    def value(tree: Tree, x: Any) -> Any:
        if tree is None:
            return x
        operation, *operands = tree
        return operation.plain(*[value(operand, x) for operand in operands])

    return lambda x: value(tree, x) + 0.0 * x


def exact(tree: Tree, x: Any) -> Any:
    """The composition at a number of mpmath's."""
    if tree is None:
        return x
    operation, *operands = tree
    return applied(operation, *[exact(operand, x) for operand in operands])


def applied(operation: Operation, *values: Any) -> Any:
    """An operation on exact numbers; what chooses may choose the one that has a value."""
    if any(map(mpmath.isnan, values)) and operation.name not in ("above", "equal", "at least"):
        return mp.nan
    return operation.exact(*values)


def text(tree: Tree) -> str:
    """The composition in words."""
    if tree is None:
        return "x"
    operation, *operands = tree
    return f"{operation.name}({', '.join(map(text, operands))})"
