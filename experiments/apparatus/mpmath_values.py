"""The values of a traced graph in mpmath: a table from the name of a row to what it computes.

What flows: the graph's inputs as object arrays of mpmath's numbers go in, its nodes come out. What
has no value is NaN. The invariant: an operation is written here as mathematics has it, from its
definition; rows that only move, order or add up elements are run as they are.

>>> from difflab.tracing.trace import trace
>>> graph = trace(lambda x: np.exp(x) - 1, 1e-30)
>>> with mp.workdps(90):
...     x = {graph.inputs[0]: np.array(mpf(1e-30), object)}
...     print(mpmath.nstr(read(graph.outputs, x)[graph.outputs[0]].item() / mpf(1e-30) - 1, 3))
5.0e-31
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import mpmath
import numpy as np
from mpmath import mp, mpf

from difflab.ir.expr import Expr, walk
from difflab.ir.row import CONSTANT


class Unread(Exception):
    """A row that the table does not have."""


def read(outputs: Iterable[Expr], known: dict[Expr, Any]) -> dict[Expr, Any]:
    """Add the values of the outputs, and of all that they depend on, to `known`."""
    walk(outputs, known, _value)
    return known


def _value(node: Expr, operands: list[Any]) -> Any:
    row, params = node.primitive, dict(node.params)
    if row is CONSTANT:
        return numbers(node.value) if node.dtype.kind == "f" else np.asarray(node.value)
    plain = node.dtype.kind != "f" and all(x.dtype.kind != "f" for x in node.operands)
    if plain or row.name in AS_THEY_ARE or row.kind == "movement":
        found = row.evaluate(*operands, **params)
    elif row.name in ROWS:
        found = ROWS[row.name](*map(numbers, operands), **params)
    elif row.name in MATRICES:
        found = np.empty(node.shape, object)
        for lead in np.ndindex(operands[0].shape[:-2]):
            found[lead] = MATRICES[row.name](*[numbers(x)[lead] for x in operands])
    elif row.name in EACH:
        each = partial(EACH[row.name], **params) if params else EACH[row.name]
        if row.name != "where":
            operands = [numbers(x) if x.dtype.kind == "f" else x for x in operands]
        found = np.frompyfunc(each, len(operands), 1)(*operands)
    else:
        raise Unread(f"no reading of {row.name!r}")
    return numbers(found) if node.dtype.kind == "f" else np.asarray(found).astype(node.dtype)


def numbers(array: Any) -> Any:
    """An array of mpmath's numbers."""
    found = np.empty(np.shape(array), object)
    found.reshape(-1)[:] = [x if isinstance(x, mpf) else mpf(float(x)) for x in np.ravel(array)]
    return found


# Numbers ------------------------------------------------------------------------------------------


def _where_defined(inside: Callable[..., bool], f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *x: f(*x) if inside(*x) else mp.nan


def _power(x: Any, exponent: Any) -> Any:
    n = mpf(exponent)
    if x > 0 or (x < 0 and mpmath.isint(n)):
        return x ** (int(n) if mpmath.isint(n) else n)
    return mpf(1) if n == 0 else mpf(0) if x == 0 and n > 0 else mp.nan


_sign = lambda x: x if mpmath.isnan(x) else mpf(mpmath.sign(x))
_extreme = lambda a, b, sign: b if mpmath.isnan(b) or sign * (b - a) > 0 else a
_cbrt = lambda x: _sign(x) * mpmath.cbrt(abs(x))
_trunc = lambda x: _sign(x) * mpmath.floor(abs(x))
_softplus = lambda x: _extreme(x, mpf(0), 1) + mpmath.log1p(mpmath.exp(-abs(x)))
_quotient = _where_defined(lambda a, b: b != 0, operator.truediv)
_log = _where_defined(lambda x: x > 0, mpmath.log)
_sqrt = _where_defined(lambda x: x >= 0, mpmath.sqrt)
_bessel = lambda x, n: mpmath.hyp0f1(n + mpf(1.5), -x * x / 4) * x**n / mpmath.fac2(2 * n + 1)

# fmt: off
SAME = ("exp", "expm1", "sin", "cos", "tan", "sinh", "cosh", "tanh", "erf", "floor", "ceil",
        "isfinite", "isnan", "isinf")
EACH: Mapping[str, Callable[..., Any]] = {
    **{name: getattr(mpmath, name) for name in SAME},
    "negative": operator.neg, "add": operator.add, "subtract": operator.sub,
    "multiply": operator.mul, "divide": _quotient, "reciprocal": lambda x: _quotient(mpf(1), x),
    "square": lambda x: x * x, "power": _power, "constant_power": _power,
    "sqrt": _sqrt, "root": _sqrt,
    "cbrt": _cbrt, "cbrt_slope": lambda x: _quotient(mpf(1), 3 * _cbrt(x) ** 2),
    "exp2": lambda x: mpf(2) ** x, "log": _log, "log2": lambda x: _log(x) / mpmath.log(2),
    "log10": lambda x: _log(x) / mpmath.log(10),
    "log1p": _where_defined(lambda x: x > -1, mpmath.log1p),
    "logaddexp": lambda a, b: b + _softplus(a - b),
    "arcsin": _where_defined(lambda x: abs(x) <= 1, mpmath.asin),
    "arccos": _where_defined(lambda x: abs(x) <= 1, mpmath.acos),
    "arctan": mpmath.atan, "arctan2": mpmath.atan2, "arcsinh": mpmath.asinh,
    "arccosh": _where_defined(lambda x: x >= 1, mpmath.acosh),
    "arctanh": _where_defined(lambda x: abs(x) < 1, mpmath.atanh),
    "hypot": lambda x, y: mpmath.sqrt(x * x + y * y), "sech2": lambda x: 1 / mpmath.cosh(x) ** 2,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)), "softplus": _softplus,
    "relu": lambda x: _extreme(x, mpf(0), 1), "spherical_bessel": _bessel,
    "abs": abs, "sign": _sign, "minimum": lambda a, b: _extreme(a, b, -1),
    "maximum": lambda a, b: _extreme(a, b, 1),
    "heaviside": lambda x, h: mpf(1) if x > 0 else mpf(0) if x < 0 else h,
    "copysign": lambda a, b: abs(a) if b >= 0 else -abs(a),
    "remainder": lambda a, b: a - b * mpmath.floor(_quotient(a, b)),
    "floor_divide": lambda a, b: mpmath.floor(_quotient(a, b)),
    "trunc": _trunc, "rint": mpmath.nint, "where": lambda c, a, b: a if c else b,
    "convert": lambda x, dtype: int(_trunc(x)) if np.dtype(dtype).kind == "i" else x,
    "greater": operator.gt, "greater_equal": operator.ge, "less": operator.lt,
    "less_equal": operator.le, "equal": operator.eq, "not_equal": operator.ne,
}
"""Of one element of each operand."""
# fmt: on


# Rows and matrices --------------------------------------------------------------------------------

AS_THEY_ARE = ("sum", "cumsum", "matmul", "einsum", "max", "argmax", "argsort")


def _softmax(x: Any, axis: int) -> Any:
    y = np.frompyfunc(mpmath.exp, 1, 1)(x - np.max(x, axis, keepdims=True))
    return y / np.sum(y, axis, keepdims=True)


def _share(x: Any, axes: tuple[int, ...]) -> Any:
    top = numbers(x == np.max(x, axes, keepdims=True))
    return top / np.sum(top, axes, keepdims=True)


ROWS: Mapping[str, Callable[..., Any]] = {
    "share_of_largest": _share,
    "softmax": _softmax,
    "log_softmax": lambda x, axis: np.frompyfunc(_log, 1, 1)(_softmax(x, axis)),
}
"""Of whole arrays."""


def _of_matrix(rule: Callable[[Any], Any], a: Any) -> Any:
    """What mpmath makes of a matrix; NaN where it is singular, or not positive definite."""
    try:
        return np.array(rule(mp.matrix(a.tolist())).tolist(), object)
    except (ZeroDivisionError, ValueError):
        return np.full(a.shape, mp.nan, object)


_determinant = lambda a: mpmath.det(mp.matrix(a.tolist()))
MATRICES: Mapping[str, Callable[..., Any]] = {
    "solve": lambda a, b: _of_matrix(mpmath.inverse, a) @ b,
    "cholesky": partial(_of_matrix, mpmath.cholesky), "det": _determinant,
    "log_abs_det": lambda a: _log(abs(_determinant(a))),
    "sign_det": lambda a: _sign(_determinant(a)),
}  # fmt: skip
"""Of one matrix."""
