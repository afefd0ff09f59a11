"""How nodes are made: numbers become constants, dtypes are promoted, shapes are broadcast.

What flows: whatever a user's expression mixes (traced values, arrays, numbers) comes in,
one well-formed node goes out. The invariants: dtypes are NumPy's own choice (it is asked); every
operand of a pointwise node has the node's shape, or is a scalar constant, so that no derivative
rule ever un-broadcasts.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import numpy as np

from difflab.errors import ShapeError, TraceError
from difflab.ir.expr import Expr, constant
from difflab.ir.protocols import SPELLINGS, is_weak
from difflab.ir.row import CONSTANT, TABLE, Primitive

FLOAT64, FLOAT32, INT64, BOOL = (np.dtype(kind) for kind in ("float64", "float32", "int64", "bool"))
_SINGLE = frozenset((Expr, float))
_DTYPES = frozenset((FLOAT64, FLOAT32, INT64, BOOL))


def node(name: str, *operands: Expr, **params: Any) -> Expr:
    """The node of that row."""
    return Expr(TABLE[name], operands, tuple(params.items()))


def lift(value: Any) -> Expr:
    """A traced value as it is, a list that holds one stacked, anything else as a constant."""
    if isinstance(value, Expr):
        return value
    if _holds_traced(value):
        stacked: Expr = SPELLINGS[np.stack]([lift(v) for v in value])
        return stacked
    return constant(value)


def _holds_traced(value: Any) -> bool:
    if type(value) is Expr or not isinstance(value, (list, tuple)):
        return False
    return any(type(v) is Expr or _holds_traced(v) for v in value)


def _kind(value: Any) -> Any:
    if type(value) is Expr:
        return float if value.weak else value.dtype
    if type(value) is bool:
        return BOOL
    if is_weak(value):
        return type(value)
    return value.dtype if hasattr(value, "dtype") else np.asarray(value).dtype


@functools.lru_cache(4096)
def _loop(row: Primitive, kinds: tuple[Any, ...]) -> tuple[np.dtype[Any], ...]:
    """The dtypes that NumPy would convert the operands to."""
    function = row.numpy[0]
    if function is np.where:
        return (BOOL, *[common(kinds[1:])] * 2)
    if not isinstance(function, np.ufunc):
        return (common(kinds, floating=True),) * len(kinds)
    found = function.resolve_dtypes((*kinds, *(None,) * function.nout))[: len(kinds)]
    if all(dtype in _DTYPES for dtype in found):
        return found
    widened = tuple(INT64 if kind == BOOL else kind for kind in kinds)
    return function.resolve_dtypes((*widened, None))[: len(kinds)]


def common(kinds: tuple[Any, ...], floating: bool = False) -> np.dtype[Any]:
    """The dtype to which several are promoted; `floating` makes integers float64."""
    return _common(tuple(dict.fromkeys(kinds)), floating)  # of many, there are few different ones


@functools.lru_cache(4096)
def _common(kinds: tuple[Any, ...], floating: bool) -> np.dtype[Any]:
    strong = [kind for kind in kinds if isinstance(kind, np.dtype)]
    weak = [kind(0) for kind in kinds if not isinstance(kind, np.dtype)]
    found = np.result_type(*strong, *weak)
    if found.kind in "iu":
        found = INT64
    return FLOAT64 if floating and found.kind != "f" else found


def as_dtype(value: Any, dtype: np.dtype[Any]) -> Expr:
    """A value as a node of that dtype."""
    if not isinstance(value, Expr):
        return as_dtype(lift(value), dtype) if _holds_traced(value) else constant(value, dtype)
    if value.dtype == dtype:
        return value
    if dtype not in _DTYPES:
        raise TraceError(f"dtype {dtype} cannot be traced", "use float64, float32, int64 or bool")
    return node("convert", value, dtype=dtype.name)


def promoted(*values: Any, floating: bool = False) -> list[Expr]:
    """Values as nodes of one common dtype."""
    lifted = [lift(v) if _holds_traced(v) else v for v in values]
    dtype = common(tuple([_kind(value) for value in lifted]), floating)
    return [as_dtype(value, dtype) for value in lifted]


def broadcast(x: Expr, shape: tuple[int, ...]) -> Expr:
    """A node repeated to a shape."""
    if x.shape == shape:
        return x
    if len(x.shape) < len(shape):
        x = reshaped(x, (1,) * (len(shape) - len(x.shape)) + x.shape)
    return x if x.shape == shape else node("expand", x, shape=shape)


def reshaped(x: Expr, shape: tuple[int, ...]) -> Expr:
    """A node of another shape with the same elements."""
    return x if x.shape == shape else node("reshape", x, shape=shape)


def common_shape(values: Iterable[Any]) -> tuple[int, ...]:
    """The shape to which several values broadcast."""
    shapes = [value.shape for value in values]
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        text = " and ".join(map(str, shapes))
        raise ShapeError(
            f"arrays of shapes {text} cannot be broadcast together", "reshape one"
        ) from None


def pointwise(row: Primitive, *values: Any, **params: Any) -> Expr:
    """A pointwise row on whatever NumPy would take: promotes, broadcasts, makes the node."""
    lifted = [v if type(v) in _SINGLE else lift(v) if _holds_traced(v) else v for v in values]
    kinds = [v.dtype if type(v) is Expr and not v.weak else _kind(v) for v in lifted]
    dtypes = _loop(row, tuple(kinds))
    operands = [
        value if type(value) is Expr and value.dtype is dtype else as_dtype(value, dtype)
        for value, dtype in zip(lifted, dtypes, strict=True)
    ]
    if any([operand.shape != operands[0].shape for operand in operands]):  # noqa: C419 (faster)
        shape = common_shape(operands)
        operands = [
            x if x.primitive is CONSTANT and not x.shape else broadcast(x, shape) for x in operands
        ]
    return Expr(row, tuple(operands), tuple(params.items()))
