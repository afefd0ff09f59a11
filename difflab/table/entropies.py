"""Entropies and divergences: products with logarithms that are 0 where their first factor is.

What SciPy says at the edges holds here; slopes there are those from inside, which are infinite.

>>> kl_div(np.array([0.0, 1.0]), np.array([0.5, 1.0]))
array([0.5, 0. ])
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from difflab.ir.rounding import Local, library
from difflab.ir.row import (
    ABOVE_MINUS_ONE,
    POSITIVE,
    REALS,
    OwnFunction,
    Primitive,
    elementwise,
)
from difflab.table.special_functions import NO_SCALAR, widely


def _logarithm(x: Any, y: Any) -> Any:
    """log(x/y) of positive numbers, with its digits where they are close."""
    off = (x - y) / y
    near = np.abs(off) < 0.5
    return np.where(near, np.log1p(np.where(near, off, 0)), np.log(x) - np.log(y))


def _divergence(x: Any, y: Any) -> Any:
    """x log(x/y) - x + y of positive numbers, by its series where they are close."""
    off = (x - y) / y
    near = np.abs(off) < 0.25
    u, found = np.where(near, off, 0), 0
    for k in range(34, 1, -1):
        found = ((-1) ** k / x.dtype.type(k * (k - 1)) + found) * u
    return np.where(near, y * found * u, x * _logarithm(x, y) - x + y)


@OwnFunction
@widely
def log_ratio(x: Any, y: Any) -> Any:
    """log(x/y), elementwise, as long as there is one."""
    return _logarithm(x, y)


@OwnFunction
@widely
def entr(x: Any) -> Any:
    """-x log(x), elementwise; 0 at 0, -inf below."""
    return np.where(x == 0, 0, np.where(x < 0, -np.inf, -x * np.log(x)))


@OwnFunction
@widely
def rel_entr(x: Any, y: Any) -> Any:
    """x log(x/y), elementwise; 0 where x = 0 <= y, inf outside."""
    return _of_pairs(x * _logarithm(x, y), x, y, 0)


@OwnFunction
@widely
def kl_div(x: Any, y: Any) -> Any:
    """x log(x/y) - x + y, elementwise; y where x = 0 <= y, inf outside."""
    return _of_pairs(_divergence(x, y), x, y, y)


def _of_pairs(inside: Any, x: Any, y: Any, edge: Any) -> Any:
    outside = np.where((x == 0) & (y >= 0), edge, np.inf)
    return np.where(((x > 0) & (y > 0)) | np.isnan(x) | np.isnan(y), inside, outside)


@OwnFunction
@widely
def xlogy(x: Any, y: Any) -> Any:
    """x log(y), elementwise; 0 where x is, unless y is NaN."""
    return np.where((x == 0) & ~np.isnan(y), 0, x * np.log(y))


@OwnFunction
@widely
def xlog1py(x: Any, y: Any) -> Any:
    """x log(1 + y), elementwise; 0 where x is, unless y is NaN."""
    return np.where((x == 0) & ~np.isnan(y), 0, x * np.log1p(y))


def _over(x: Any, y: Any) -> Any:
    """x/y; 0 for 0/0."""
    return x / np.where((x == 0.0) & (y == 0.0), 1.0, y)


def _of_ratio(rule: Any) -> Any:
    """A ball rule of x and log(x/y), which is not asked for where x is 0."""
    return lambda x, y: rule(x, y, x if x.is_zero() else (x / y).log())


def _absolute(y: Any, a: Any, b: Any) -> Local:
    """In many libraries the terms cancel."""
    return library(np.maximum(np.abs(y), np.maximum(np.abs(a), np.abs(b))))


# fmt: off
ROWS: Final[tuple[Primitive, ...]] = (
    elementwise(log_ratio, arity=2, partials=lambda v, x, y: (np.reciprocal(x), -np.reciprocal(y)),
        sympy=lambda S, x, y: S.log(x / y), ball=lambda x, y: (x / y).log(),
        complex=lambda x, y: np.log(x / y), scalar=NO_SCALAR, domain=(POSITIVE, POSITIVE),
        rounding=_absolute, latex=r"\log\frac{{{0}}}{{{1}}}", native="log_ratio"),
    elementwise(entr, partials=lambda v, x: -(np.log(x) + 1.0),
        sympy=lambda S, x: -x * S.log(x), ball=lambda x: x if x.is_zero() else -x * x.log(),
        complex=lambda z: -z * np.log(z), scalar=NO_SCALAR, domain=POSITIVE,
        corner=lambda x: np.abs(np.log(x) + 1.0) < 0.5, native="entr"),
    elementwise(rel_entr, arity=2, partials=lambda v, x, y: (log_ratio(x, y) + 1.0, -_over(x, y)),
        sympy=lambda S, x, y: x * S.log(x / y), ball=_of_ratio(lambda x, y, r: x * r),
        complex=lambda x, y: x * np.log(x / y), scalar=NO_SCALAR, domain=(POSITIVE, POSITIVE),
        rounding=_absolute, corner=lambda x, y: np.abs(log_ratio(x, y) + 1.0) < 0.5,
        native="rel_entr"),
    elementwise(kl_div, arity=2, partials=lambda v, x, y: (log_ratio(x, y), (y - x) / y),
        sympy=lambda S, x, y: x * S.log(x / y) - x + y,
        ball=_of_ratio(lambda x, y, r: x * r - x + y),
        complex=lambda x, y: x * np.log(x / y) - x + y, scalar=NO_SCALAR,
        domain=(POSITIVE, POSITIVE), rounding=_absolute),
    elementwise(xlogy, arity=2, partials=lambda v, x, y: (np.log(y), _over(x, y)),
        sympy=lambda S, x, y: x * S.log(y), ball=lambda x, y: x if x.is_zero() else x * y.log(),
        complex=lambda x, y: x * np.log(y), scalar=NO_SCALAR, domain=(REALS, POSITIVE),
        native="xlogy"),
    elementwise(xlog1py, arity=2, partials=lambda v, x, y: (np.log1p(y), x / (1.0 + y)),
        sympy=lambda S, x, y: x * S.log(1 + y),
        ball=lambda x, y: x if x.is_zero() else x * y.log1p(),
        complex=lambda x, y: x * np.log1p(y), scalar=NO_SCALAR,
        domain=(REALS, ABOVE_MINUS_ONE), native="xlog1py"),
)
# fmt: on
