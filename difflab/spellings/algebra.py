"""How NumPy's contractions and linear algebra are spelt in primitives.

Every contraction ends in one matmul or one einsum.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from functools import reduce
from itertools import pairwise
from string import ascii_letters
from typing import Any

import numpy as np

from difflab.errors import ShapeError, UnsupportedError
from difflab.ir.build import as_dtype, broadcast, lift, node, promoted, reshaped
from difflab.ir.expr import Expr
from difflab.spellings.axes import axis_of, integers
from difflab.spellings.elementwise import floating, power
from difflab.spellings.movement import moveaxis, ravel, transpose
from difflab.spellings.reductions import max_, min_, sum_
from difflab.spellings.selection import truth
from difflab.spellings.spelling import NP, spells
from difflab.table.arithmetic import root
from difflab.table.contractions import paired, pairs

# -- contractions ----------------------------------------------------------------------------------


@spells(np.matmul, np.linalg.matmul)
def matmul(x1: Any, x2: Any) -> Any:
    a, b = promoted(x1, x2)
    if a.ndim == 0 or b.ndim == 0:
        raise ShapeError("matmul needs arrays, not numbers", "multiply by * instead")
    if a.shape[-1] != b.shape[max(b.ndim - 2, 0)]:
        rows = b.shape[max(b.ndim - 2, 0)]
        raise ShapeError(
            f"matmul of shapes {a.shape} and {b.shape}: {a.shape[-1]} columns meet {rows} rows",
            "transpose one of them",
        )
    left = reshaped(a, (1, *a.shape)) if a.ndim == 1 else a
    right = reshaped(b, (*b.shape, 1)) if b.ndim == 1 else b
    y = node("matmul", *_stacks(left, right))
    kept = (
        y.shape[-2 : y.ndim - (b.ndim == 1)] if a.ndim > 1 else y.shape[-1 : y.ndim - (b.ndim == 1)]
    )
    return reshaped(y, y.shape[:-2] + kept)


def _stacks(a: Expr, b: Expr) -> tuple[Expr, Expr]:
    """Two stacks of matrices, with their leading axes broadcast."""
    try:
        lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError:
        raise ShapeError(f"stacks of shapes {a.shape} and {b.shape} cannot be broadcast") from None
    return broadcast(a, lead + a.shape[-2:]), broadcast(b, lead + b.shape[-2:])


@spells(np.dot, refuses="out")
def dot(a: Any, b: Any) -> Any:
    x, y = promoted(a, b)
    if x.ndim == 0 or y.ndim == 0:
        return x * y
    return matmul(x, y) if y.ndim <= 2 else tensordot(x, y, ([-1], [-2]))


@spells(np.inner)
def inner(a: Any, b: Any, /) -> Any:
    x, y = promoted(a, b)
    return x * y if x.ndim == 0 or y.ndim == 0 else tensordot(x, y, ([-1], [-1]))


@spells(np.vecdot, np.linalg.vecdot)
def vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    x, y = (moveaxis(part, axis, -1) for part in promoted(x1, x2))
    return NP.matmul(x[..., None, :], y[..., :, None])[..., 0, 0]


@spells(getattr(np, "matvec", None))
def matvec(x1: Any, x2: Any, /) -> Any:
    """Stacks of matrices times stacks of vectors."""
    x, y = promoted(x1, x2)
    return NP.matmul(x, y[..., :, None])[..., 0]


@spells(getattr(np, "vecmat", None))
def vecmat(x1: Any, x2: Any, /) -> Any:
    """Stacks of vectors times stacks of matrices."""
    x, y = promoted(x1, x2)
    return NP.matmul(x[..., None, :], y)[..., 0, :]


@spells(np.kron)
def kron(a: Any, b: Any) -> Any:
    x, y = promoted(a, b)
    ndim = max(x.ndim, y.ndim)
    rows, columns = ((1,) * (ndim - part.ndim) + part.shape for part in (x, y))
    left = reshaped(x, tuple([n for length in rows for n in (length, 1)]))
    right = reshaped(y, tuple([n for length in columns for n in (1, length)]))
    product = NP.multiply(left, right)
    return reshaped(product, tuple([m * n for m, n in zip(rows, columns, strict=True)]))


@spells(np.cross)
def cross(
    a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Any:
    if axis is not None:
        axisa = axisb = axisc = axis
    x, y = promoted(a, b)
    x, y = moveaxis(x, axisa, -1), moveaxis(y, axisb, -1)
    if x.shape[-1] != 3 or y.shape[-1] != 3:
        raise ShapeError(f"the cross product needs vectors of 3, not {x.shape} and {y.shape}")
    i, j = np.array([1, 2, 0]), np.array([2, 0, 1])
    return moveaxis(x[..., i] * y[..., j] - x[..., j] * y[..., i], -1, axisc)


@spells(np.tensordot, np.linalg.tensordot)
def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    x, y = promoted(a, b)
    if isinstance(axes, (int, np.integer)):
        axes = (range(x.ndim - int(axes), x.ndim), range(int(axes)))
    left = [axis_of(x, i) % x.ndim for i in integers(axes[0])]
    right = [axis_of(y, i) % y.ndim for i in integers(axes[1])]
    if [x.shape[i] for i in left] != [y.shape[i] for i in right]:
        raise ShapeError(f"tensordot of shapes {x.shape} and {y.shape} over axes {left}, {right}")
    first, second = ascii_letters[: x.ndim], [*ascii_letters[x.ndim : x.ndim + y.ndim]]
    for i, k in zip(left, right, strict=True):
        second[k] = first[i]
    kept = [letter for letter in (*first, *second) if (letter in first) != (letter in second)]
    return paired(f"{first},{''.join(second)}->{''.join(kept)}", x, y)


@spells(np.einsum, refuses="out dtype order casting", ignores="optimize")
def einsum(*operands: Any) -> Any:
    subscripts, *arrays = by_letters(*operands)
    parts = promoted(*arrays)
    words, output = _subscripts(subscripts, parts)
    if len(set(output)) < len(output) or not set(output) <= set("".join(words)):
        raise ShapeError(f"einsum {subscripts!r}: the output's letters must differ, and be inputs")
    lengths: dict[str, int] = {}
    for word, part in zip(words, parts, strict=True):
        for letter, length in zip(word, part.shape, strict=True):
            if lengths.setdefault(letter, length) == 1:
                lengths[letter] = length
            if length not in (1, lengths[letter]):
                raise ShapeError(
                    f"einsum {subscripts!r}: {letter} is {lengths[letter]} and {length}"
                )
    for i, word in enumerate(words):
        parts[i] = broadcast(parts[i], tuple([lengths[letter] for letter in word]))
        elsewhere = set(output).union(*words[:i], *words[i + 1 :])
        words[i], parts[i] = _without_repeats(word, parts[i], elsewhere)
    if len(parts) == 1:
        return transpose(parts[0], [words[0].index(x) for x in output])
    for (i, j), pair in pairs(f"{','.join(words)}->{output}", [part.shape for part in parts]):
        product = node("einsum", parts[i], parts[j], subscripts=pair)
        parts = [*[part for k, part in enumerate(parts) if k not in (i, j)], product]
    return parts[0]


def by_letters(*operands: Any) -> tuple[Any, ...]:
    """Operands that are each followed by a list of axes, by a string of letters before them."""
    if isinstance(operands[0], str):
        return operands

    def word(axes: Any) -> str:
        return "".join(["..." if i is Ellipsis else ascii_letters[i] for i in axes])

    words = ",".join(map(word, operands[1::2]))
    if len(operands) % 2:
        return f"{words}->{word(operands[-1])}", *operands[:-1:2]
    return words, *operands[::2]


def _subscripts(subscripts: str, parts: Sequence[Expr]) -> tuple[list[str], str]:
    """The letters of every operand and of the output, with dots spelt out in letters too."""
    inputs, arrow, output = subscripts.replace(" ", "").partition("->")
    words = inputs.split(",")
    free = [x for x in ascii_letters[::-1] if x not in subscripts]
    hidden = [x.ndim - len(w.replace("...", "")) for w, x in zip(words, parts, strict=False)]
    fits = [n >= 0 if "..." in w else n == 0 for w, n in zip(words, hidden, strict=False)]
    if len(words) != len(parts) or not all(fits):
        text = " and ".join(str(part.shape) for part in parts)
        raise ShapeError(f"einsum {subscripts!r} does not fit shapes {text}")
    dots = "".join(free[: max(hidden)])
    if not arrow:
        once = sorted(x for x in set(inputs) - set(",.") if inputs.count(x) == 1)
        output = "..." * ("." in inputs) + "".join(once)
    words = [w.replace("...", dots[len(dots) - n :]) for w, n in zip(words, hidden, strict=True)]
    return words, output.replace("...", dots)


def _without_repeats(word: str, x: Any, elsewhere: set[str]) -> tuple[str, Any]:
    """Take the diagonal of repeated letters, and sum over letters that stand nowhere else."""
    for letter in dict.fromkeys(word):
        while word.count(letter) > 1:
            i, j = word.index(letter), word.rindex(letter)
            x = NP.diagonal(x, 0, i, j)
            word = word[:i] + word[i + 1 : j] + word[j + 1 :] + letter
    lonely = [i for i, letter in enumerate(word) if letter not in elsewhere]
    return "".join(x for x in word if x in elsewhere), sum_(x, lonely) if lonely else x


# -- linear algebra --------------------------------------------------------------------------------


def square_matrix(function: str, a: Any) -> Expr:
    x: Expr = floating(a)
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"np.linalg.{function} needs square matrices, not shape {x.shape}")
    return x


@spells(np.linalg.solve)
def solve(a: Any, b: Any) -> Any:
    x, y = promoted(square_matrix("solve", a), b, floating=True)
    right = y[:, None] if y.ndim == 1 else y
    if right.shape[-2] != x.shape[-1]:
        raise ShapeError(f"np.linalg.solve of shapes {x.shape} and {y.shape}")
    found = node("solve", *_stacks(x, right))
    return reshaped(found, found.shape[:-1]) if y.ndim == 1 else found


@spells(np.linalg.inv)
def inv(a: Any) -> Any:
    x = square_matrix("inv", a)
    return solve(x, np.broadcast_to(np.eye(x.shape[-1], dtype=x.dtype), x.shape))


@spells(np.linalg.tensorsolve)
def tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    x, y = promoted(a, b, floating=True)
    last = [] if axes is None else [i % x.ndim for i in integers(axes)]
    x = transpose(x, [*[i for i in range(x.ndim) if i not in last], *last])
    return reshaped(solve(reshaped(x, (y.size, y.size)), ravel(y)), x.shape[y.ndim :])


@spells(np.linalg.tensorinv)
def tensorinv(a: Any, ind: int = 2) -> Any:
    x = floating(a)
    size = math.prod(x.shape[:ind])
    return reshaped(inv(NP.reshape(x, (size, -1))), x.shape[ind:] + x.shape[:ind])


@spells(np.linalg.slogdet)
def slogdet(a: Any) -> Any:
    x = square_matrix("slogdet", a)
    return type(np.linalg.slogdet(np.eye(1)))(node("sign_det", x), node("log_abs_det", x))


@spells(np.linalg.cholesky)
def cholesky(a: Any, /, *, upper: bool = False) -> Any:
    """NumPy reads the lower triangle, or the upper one for `upper`."""
    x = square_matrix("cholesky", a)
    return node("cholesky", x.mT).mT if upper else node("cholesky", x)


@spells(np.linalg.vector_norm)
def vector_norm(
    x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: float | None = 2
) -> Any:
    a = floating(x)
    size = NP.abs(a)
    if ord in (None, 2, "fro"):
        return root(sum_(NP.square(a), axis, keepdims=keepdims))
    if not isinstance(ord, (int, float)):
        raise _no_norm(ord)
    if math.isinf(ord):
        return (max_ if ord > 0 else min_)(size, axis, keepdims)
    if ord == 0:
        return sum_(as_dtype(truth(a), a.dtype), axis, keepdims=keepdims)
    if ord == 1:
        return sum_(size, axis, keepdims=keepdims)
    return power(sum_(power(size, ord), axis, keepdims=keepdims), 1.0 / ord)


@spells(np.linalg.norm)
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    a = floating(x)
    axes = list(range(a.ndim)) if axis is None else integers(axis)
    if ord is None or len(axes) == 1:
        return vector_norm(a, axis=tuple(axes), keepdims=keepdims, ord=ord)
    if len(axes) != 2:
        raise ShapeError(f"np.linalg.norm with ord={ord!r} needs one axis or two, not {len(axes)}")
    if ord == "fro":
        return vector_norm(a, axis=tuple(axes), keepdims=keepdims)
    if ord in (2, -2, "nuc"):
        values: Any = node("singular_values", moveaxis(a, axes, (-2, -1)))
        found = sum_(values, -1) if ord == "nuc" else values[..., 0 if ord == 2 else -1]
        return NP.expand_dims(found, tuple(axes)) if keepdims else found
    if ord not in (1, np.inf, -1, -np.inf):
        raise _no_norm(ord)
    inside = axes[0] if abs(ord) == 1 else axes[1]
    sums = sum_(NP.abs(a), inside, keepdims=True)
    return (max_ if ord > 0 else min_)(sums, tuple(axes), keepdims)


@spells(np.linalg.matrix_norm)
def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    return norm(x, ord, (-2, -1), keepdims)


def _no_norm(ord: Any) -> UnsupportedError:
    return UnsupportedError(
        f"np.linalg.norm with ord={ord!r} cannot be traced",
        "use ord=None, 1, 2, 'fro', 'nuc' or np.inf",
    )


@spells(np.linalg.matrix_power)
def matrix_power(a: Any, n: int) -> Any:
    """By repeated squaring."""
    x: Any = square_matrix("matrix_power", a)
    if n == 0:
        return np.broadcast_to(np.eye(x.shape[-1], dtype=x.dtype), x.shape)
    x, n = (inv(x), -n) if n < 0 else (x, n)
    found = None
    while n:
        if n % 2:
            found = x if found is None else found @ x
        n //= 2
        x = x @ x if n else x
    return found


@spells(np.linalg.multi_dot, refuses="out")
def multi_dot(arrays: Any) -> Any:
    """In the cheapest order."""
    parts = [lift(array) for array in arrays]
    if not 2 < len(parts) < len(ascii_letters) or any(part.ndim > 2 for part in parts):
        return reduce(operator.matmul, parts)
    words = [ascii_letters[i : i + 2] for i in range(len(parts))]
    words[0] = words[0][2 - parts[0].ndim :]
    words[-1] = words[-1][: parts[-1].ndim]
    for a, b in pairwise(parts):
        if a.shape[-1] != b.shape[0]:
            raise ShapeError(f"multi_dot of shapes {a.shape} and {b.shape}")
    return einsum(f"{','.join(words)}->{words[0][:-1]}{words[-1][1:]}", *parts)


@spells(np.linalg.trace)
def linalg_trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    return NP.trace(x, offset, -2, -1, dtype)


# -- in a line each --------------------------------------------------------------------------------

IN_A_LINE = [
    spells(np.vdot)(lambda a, b, /: dot(ravel(a), ravel(b))),
    spells(np.outer, refuses="out")(lambda a, b: ravel(a)[:, None] * ravel(b)[None, :]),
    spells(np.linalg.outer)(lambda x1, x2, /: NP.outer(x1, x2)),
    spells(np.linalg.cross)(lambda x1, x2, /, *, axis=-1: cross(x1, x2, axis=axis)),
    spells(np.linalg.det)(lambda a: node("det", square_matrix("det", a))),
    spells(np.linalg.diagonal)(lambda x, /, *, offset=0: NP.diagonal(x, offset, -2, -1)),
]
