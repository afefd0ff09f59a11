"""How NumPy's contractions and linear algebra are spelt in primitives: the third part of numpy_functions.py."""

from __future__ import annotations

import math
import operator
from functools import reduce
from typing import Any

import numpy as np

from difflab.errors import ShapeError, UnsupportedError
from difflab.ir.build import as_dtype, broadcast, lift, node, promoted, reshaped
from difflab.ir.expr import Expr
from difflab.ir.numpy_functions import max_, min_, power, sum_, truth
from difflab.ir.numpy_movement import NP, axes_of, ravel, spells, transpose

# -- contractions ----------------------------------------------------------------------------------------------


@spells(np.matmul)
def matmul(x1: Any, x2: Any) -> Any:
    a, b = promoted(x1, x2)
    if a.ndim == 0 or b.ndim == 0:
        raise ShapeError("matmul needs arrays, not numbers", "multiply by * instead")
    if a.shape[-1] != b.shape[max(b.ndim - 2, 0)]:
        raise ShapeError(
            f"matmul of shapes {a.shape} and {b.shape}: {a.shape[-1]} columns meet {b.shape[max(b.ndim - 2, 0)]} rows",
            "transpose one of them",
        )
    left = reshaped(a, (1, *a.shape)) if a.ndim == 1 else a
    right = reshaped(b, (*b.shape, 1)) if b.ndim == 1 else b
    lead = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    y = node("matmul", broadcast(left, lead + left.shape[-2:]), broadcast(right, lead + right.shape[-2:]))
    rows = () if a.ndim == 1 else y.shape[-2:-1]
    columns = () if b.ndim == 1 else y.shape[-1:]
    return reshaped(y, lead + rows + columns)


@spells(np.dot)
def dot(a: Any, b: Any, out: Any = None) -> Any:
    x, y = promoted(a, b)
    if x.ndim == 0 or y.ndim == 0:
        return x * y
    return matmul(x, y) if y.ndim <= 2 else tensordot(x, y, ([-1], [-2]))


@spells(np.inner)
def inner(a: Any, b: Any, /) -> Any:
    x, y = promoted(a, b)
    return x * y if x.ndim == 0 or y.ndim == 0 else tensordot(x, y, ([-1], [-1]))


@spells(np.vdot, np.vecdot, np.linalg.vecdot)
def vdot(a: Any, b: Any, /) -> Any:
    return dot(ravel(a), ravel(b))


@spells(np.outer, np.linalg.outer)
def outer(a: Any, b: Any, out: Any = None) -> Any:
    return ravel(a)[:, None] * ravel(b)[None, :]


@spells(np.kron)
def kron(a: Any, b: Any) -> Any:
    x, y = promoted(a, b)
    if x.ndim != 2 or y.ndim != 2:
        raise UnsupportedError("np.kron of arrays that are not matrices cannot be traced", "use np.einsum")
    product = x[:, None, :, None] * y[None, :, None, :]
    return reshaped(product, (x.shape[0] * y.shape[0], x.shape[1] * y.shape[1]))


@spells(np.cross)
def cross(a: Any, b: Any, **_: Any) -> Any:
    x, y = promoted(a, b)
    if x.shape[-1] != 3 or y.shape[-1] != 3:
        raise ShapeError(f"the cross product needs vectors of 3, not shapes {x.shape} and {y.shape}")
    i, j = np.array([1, 2, 0]), np.array([2, 0, 1])
    return x[..., i] * y[..., j] - x[..., j] * y[..., i]


@spells(np.tensordot, np.linalg.tensordot)
def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    x, y = promoted(a, b)
    if isinstance(axes, int):
        axes = (range(x.ndim - axes, x.ndim), range(axes))
    left, right = ([axis] if isinstance(axis, int) else list(axis) for axis in axes)
    left, right = [i % x.ndim for i in left], [i % y.ndim for i in right]
    if [x.shape[i] for i in left] != [y.shape[i] for i in right]:
        raise ShapeError(f"tensordot of shapes {x.shape} and {y.shape} over axes {left} and {right}")
    rows = [i for i in range(x.ndim) if i not in left]
    columns = [i for i in range(y.ndim) if i not in right]
    inside = math.prod(x.shape[i] for i in left)
    p = reshaped(transpose(x, [*rows, *left]), (math.prod(x.shape[i] for i in rows), inside))
    q = reshaped(transpose(y, [*right, *columns]), (inside, math.prod(y.shape[i] for i in columns)))
    return reshaped(matmul(p, q), (*[x.shape[i] for i in rows], *[y.shape[i] for i in columns]))


@spells(np.einsum)
def einsum(subscripts: Any, *operands: Any, out: Any = None, optimize: Any = False, **_: Any) -> Any:
    if not isinstance(subscripts, str) or "..." in subscripts:
        raise UnsupportedError("np.einsum without plain letters cannot be traced", "write 'ij,jk->ik'")
    inputs, arrow, output = subscripts.replace(" ", "").partition("->")
    letters = inputs.split(",")
    if not arrow:
        output = "".join(sorted(x for x in set(inputs) - {","} if inputs.count(x) == 1))
    parts = promoted(*operands)
    if [len(word) for word in letters] != [part.ndim for part in parts]:
        raise ShapeError(f"einsum {subscripts!r} does not fit shapes {[part.shape for part in parts]}")
    for i, word in enumerate(letters):
        elsewhere = set(output).union(*letters[:i], *letters[i + 1 :])
        letters[i], parts[i] = _without_repeats(word, parts[i], elsewhere)
    if len(parts) == 1:
        return transpose(parts[0], [letters[0].index(x) for x in output])
    return node("einsum", *parts, subscripts=f"{','.join(letters)}->{output}")


def _without_repeats(word: str, x: Any, elsewhere: set[str]) -> tuple[str, Any]:
    """Take the diagonal of repeated letters, and sum over letters that stand nowhere else."""
    for letter in dict.fromkeys(word):
        while word.count(letter) > 1:
            i, j = word.index(letter), word.rindex(letter)
            x = NP.diagonal(x, 0, i, j)
            word = word[:i] + word[i + 1 : j] + word[j + 1 :] + letter
    lonely = [i for i, letter in enumerate(word) if letter not in elsewhere]
    return "".join(x for x in word if x in elsewhere), sum_(x, lonely) if lonely else x


# -- linear algebra --------------------------------------------------------------------------------------------


def _square_matrix(function: str, a: Any) -> Expr:
    x = promoted(a, floating=True)[0]
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"np.linalg.{function} needs square matrices, not shape {x.shape}")
    return x


@spells(np.linalg.solve)
def solve(a: Any, b: Any) -> Any:
    x, y = promoted(_square_matrix("solve", a), b, floating=True)
    right = y[:, None] if y.ndim == 1 else y
    if right.shape[-2] != x.shape[-1]:
        raise ShapeError(f"np.linalg.solve of shapes {x.shape} and {y.shape}")
    lead = np.broadcast_shapes(x.shape[:-2], right.shape[:-2])
    found = node("solve", broadcast(x, lead + x.shape[-2:]), broadcast(right, lead + right.shape[-2:]))
    return reshaped(found, found.shape[:-1]) if y.ndim == 1 else found


@spells(np.linalg.inv)
def inv(a: Any) -> Any:
    x = _square_matrix("inv", a)
    return solve(x, np.broadcast_to(np.eye(x.shape[-1], dtype=x.dtype), x.shape))


@spells(np.linalg.det)
def det(a: Any) -> Expr:
    return node("det", _square_matrix("det", a))


@spells(np.linalg.slogdet)
def slogdet(a: Any) -> Any:
    x = _square_matrix("slogdet", a)
    return type(np.linalg.slogdet(np.eye(1)))(node("sign_det", x), node("log_abs_det", x))


@spells(np.linalg.cholesky)
def cholesky(a: Any, /, *, upper: bool = False) -> Any:
    found = node("cholesky", _square_matrix("cholesky", a))
    return found.mT if upper else found


@spells(np.linalg.norm, np.linalg.vector_norm)
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    a = promoted(x, floating=True)[0]
    axes = axes_of(a, axis)
    if ord is None or (ord == "fro" and len(axes) == 2) or (ord == 2 and len(axes) == 1):
        return NP.sqrt(sum_(NP.square(a), axes, keepdims=keepdims))
    if len(axes) == 1 and isinstance(ord, (int, float)):
        size = NP.abs(a)
        if math.isinf(ord):
            return max_(size, axes, None, keepdims) if ord > 0 else min_(size, axes, None, keepdims)
        if ord == 0:
            return sum_(as_dtype(truth(a), a.dtype), axes, keepdims=keepdims)
        powers = size if ord == 1 else power(size, ord)
        total = sum_(powers, axes, keepdims=keepdims)
        return total if ord == 1 else power(total, 1.0 / ord)
    if len(axes) == 2 and ord in (1, np.inf, -1, -np.inf):
        extreme = max_ if ord > 0 else min_
        inside = axes[0] if abs(ord) == 1 else axes[1]
        return extreme(sum_(NP.abs(a), inside, keepdims=True), axes, None, keepdims)
    raise UnsupportedError(f"np.linalg.norm with ord={ord!r} cannot be traced", "use ord=None, 1, 2 or np.inf")


@spells(np.linalg.matrix_power)
def matrix_power(a: Any, n: int) -> Any:
    x = _square_matrix("matrix_power", a)
    if n == 0:
        return np.eye(x.shape[-1], dtype=x.dtype)
    return reduce(operator.matmul, [inv(x) if n < 0 else x] * abs(n))


@spells(np.linalg.multi_dot)
def multi_dot(arrays: Any, *, out: Any = None) -> Any:
    return reduce(operator.matmul, map(lift, arrays))


@spells(np.linalg.trace)
def linalg_trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    return NP.trace(x, offset, -2, -1)


@spells(np.linalg.diagonal)
def linalg_diagonal(x: Any, /, *, offset: int = 0) -> Any:
    return NP.diagonal(x, offset, -2, -1)


