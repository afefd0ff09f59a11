"""What the structural rows compute, and their derivative rules: plain NumPy text on arrays.

Axes in params count from the end, so that a leading batch axis changes nothing. An index is a tuple
with one `Slice` or integer an axis; arrays of indices always address the leading axes (indexing.py
brings NumPy's general indexing into these two forms).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from difflab.ir.row import (
    Lacking,
    Unsupported,
)

Shape = tuple[int, ...]
Typed = tuple[Shape, np.dtype[Any]]
INT: Final = np.dtype("int64")
NOT_HOLOMORPHIC: Final = Unsupported(
    "not holomorphic, so a complex step does not see its derivative"
)


class Slice(NamedTuple):
    """A slice with plain start, stop and step, which unlike Python's is hashable before 3.12."""

    start: int | None
    stop: int | None
    step: int | None

    def __repr__(self) -> str:
        parts = ["" if part is None else str(part) for part in self]
        return ":".join(parts if self.step is not None else parts[:2])


ALL: Final = Slice(None, None, None)


def plain_index(index: tuple[int | Slice, ...]) -> tuple[Any, ...]:
    """The index as NumPy takes it."""
    return tuple([slice(*part) if isinstance(part, Slice) else part for part in index])


# -- movement
# ------------------------------------------------------------------------------------------------


def expand(x: Any, shape: Shape) -> Any:
    """An array with its axes of length 1 repeated to a shape of as many axes."""
    return np.broadcast_to(x, shape)


def expanded_axes(x: Any, shape: Shape) -> Shape:
    return tuple(
        [i - len(shape) for i, (a, b) in enumerate(zip(x.shape, shape, strict=True)) if a != b]
    )


def reshape(x: Any, shape: Shape) -> Any:
    """An array of another shape with the same elements in the same order."""
    return np.reshape(x, shape)


def permute(x: Any, axes: Shape) -> Any:
    """An array with its axes in another order."""
    return np.transpose(x, axes)


def getitem(x: Any, index: tuple[int | Slice, ...]) -> Any:
    """The part of an array that slices and integers select."""
    return x[plain_index(index)]


@Lacking
def place(x: Any, index: tuple[int | Slice, ...], shape: Shape) -> Any:
    """Zeros of a shape with x at an index: the transpose of `getitem`."""
    placed = np.zeros(shape, np.asarray(x).dtype)
    placed[plain_index(index)] = np.asarray(x)[()]
    return placed


def gather(x: Any, *indices: Any) -> Any:
    """The elements of the leading axes that integer arrays address."""
    return x[indices]


@Lacking
def scatter_add(x: Any, *indices: Any, shape: Shape) -> Any:
    """Zeros of a shape with x added where integer arrays address: the transpose of `gather`."""
    placed = np.zeros(shape, np.asarray(x).dtype)
    np.add.at(placed, indices, x)
    return placed


def scatter(x: Any, *indices: Any, shape: Shape) -> Any:
    """`scatter_add` where no element is addressed twice: a plain assignment does it."""
    placed = np.zeros(shape, x.dtype)
    placed[indices] = x
    return placed


def concatenate(*parts: Any, axis: int) -> Any:
    """Arrays joined along an axis that they have."""
    return np.concatenate(parts, axis)


def split_between(ct: Any, *parts: Any, axis: int) -> tuple[Any, ...]:
    start, pieces = 0, []
    for part in parts:
        stop = start + part.shape[axis]
        pieces.append(ct[(..., slice(start, stop), *(slice(None),) * (-axis - 1))])
        start = stop
    return tuple(pieces)


def joined(*parts: Any, axis: int) -> Typed:
    shape = list(parts[0].shape)
    shape[axis] = sum(part.shape[axis] for part in parts)
    return tuple(shape), parts[0].dtype


def selected(x: Any, index: tuple[int | Slice, ...]) -> Typed:
    kept = [
        len(range(*slice(*part).indices(length)))
        for part, length in zip(index, x.shape, strict=True)
        if isinstance(part, Slice)
    ]
    return tuple(kept), x.dtype


# -- reductions
# ----------------------------------------------------------------------------------------------


def total(x: Any, axes: Shape) -> Any:
    """The sum over axes."""
    return np.add.reduce(x, axes)


def reduced(x: Any, axes: Shape) -> Shape:
    dropped = {axis % x.ndim for axis in axes}
    return tuple([n for i, n in enumerate(x.shape) if i not in dropped])


def keep(y: Any, x: Any, axes: Shape) -> Any:
    """A reduced array with the reduced axes put back, repeated to the shape of x."""
    shape = list(x.shape)
    for axis in axes:
        shape[axis] = 1
    return np.broadcast_to(np.reshape(y, tuple(shape)), x.shape)


def largest(x: Any, axes: Shape) -> Any:
    """The maximum over axes."""
    return np.maximum.reduce(x, axes)


@Lacking
def share_of_largest(x: Any, axes: Shape) -> Any:
    """1 at the only maximum over axes, 1/k at each of k equal ones, 0 elsewhere: the derivative
    of `largest`.
    """
    hit = (x == np.maximum.reduce(x, axes, keepdims=True)).astype(x.dtype)
    return hit / np.add.reduce(hit, axes, keepdims=True)


def certain_share(x: Any, axes: Shape) -> Any:
    """`share_of_largest` of balls: from 0 to 1 where it is open which ball is largest."""
    last = np.moveaxis(x, axes, range(-len(axes), 0))
    rows = last.reshape(-1, int(np.prod(last.shape[x.ndim - len(axes) :])))
    shares = np.full(rows.shape, 0.0, object)
    for row, share in zip(rows, shares, strict=True):
        first, *rest = (i for i, ball in enumerate(row) if not any(ball < other for other in row))
        tied = all(row[i] == row[first] for i in rest)
        zero = 0 * row[first]
        share[[first, *rest]] = 1.0 / (1 + len(rest)) if tied else zero.union(zero + 1)
    return np.moveaxis(shares.reshape(last.shape), range(-len(axes), 0), axes)


def fold(function: Any, x: Any, axes: Shape) -> Any:
    """A reduction of an object array by a function of two elements."""
    last = np.moveaxis(x, axes, range(-len(axes), 0))
    flat_ = last.reshape(*last.shape[: x.ndim - len(axes)], -1)
    return np.frompyfunc(function, 2, 1).reduce(flat_, -1)


def tri(yes: Any, no: Any) -> bool | None:
    """A comparison of balls: True or False where it is certain, else None."""
    return True if yes else False if no else None


def tri_and(a: bool | None, b: bool | None) -> bool | None:
    """Both, of three truth values."""
    return tri(a and b, a is False or b is False)


def tri_or(a: bool | None, b: bool | None) -> bool | None:
    """Either, of three truth values."""
    return tri(a or b, a is False and b is False)


def gap_at_top(x: Any, axes: Shape) -> Any:
    """How far the largest element is ahead of the next."""
    last = np.moveaxis(x, axes, range(-len(axes), 0))
    ranked = np.sort(last.reshape(*last.shape[: x.ndim - len(axes)], -1), -1)
    return ranked[..., -1] - ranked[..., -2] if ranked.shape[-1] > 1 else np.ones(ranked.shape[:-1])


def index_of_largest(x: Any, axis: int) -> Any:
    """The position of the maximum along an axis."""
    return np.argmax(_ranks(x) if x.dtype == object else np.real(x), axis)


def order(x: Any, axis: int, kind: Any = None) -> Any:
    """The positions that would sort an array along an axis, equal elements as NumPy's `kind` leaves
    them.
    """
    if x.dtype != object:
        return np.argsort(np.real(x), axis, kind=kind)
    found = np.argsort(x.astype(np.float64), axis, kind=kind)
    ranks = np.take_along_axis(_ranks(x), found, axis)
    again = np.argsort(ranks, axis, kind="stable")  # where floats did not tell numbers apart
    return np.take_along_axis(found, again, axis)


def _ranks(x: Any) -> Any:
    """Integers that compare as the centres of balls do, exactly; NaN is largest."""
    centres = [ball.mid() if hasattr(ball, "mid") else ball for ball in x.flat]
    last = sum(1 for centre in centres if centre == centre)
    ranks = np.full(len(centres), last)
    rank, before = -1, None
    for i in sorted((i for i, c in enumerate(centres) if c == c), key=centres.__getitem__):
        rank, before = rank + (before is None or centres[i] != before), centres[i]
        ranks[i] = rank
    return ranks.reshape(x.shape)


def every(x: Any, axes: Shape) -> Any:
    """Whether all elements are true."""
    return np.logical_and.reduce(x, axes)


def some(x: Any, axes: Shape) -> Any:
    """Whether any element is true."""
    return np.logical_or.reduce(x, axes)


def running_sum(x: Any, axis: int) -> Any:
    """The cumulative sum along an axis."""
    return np.add.accumulate(x, axis)


# -- contractions and factorisations
# ---------------------------------------------------------------------------


def einsum(*operands: Any, subscripts: str) -> Any:
    """Einstein's summation; each operand's letters differ, and each stands in another operand
    or the result.
    """
    return np.einsum(subscripts, *operands)


def einsum_infer(*operands: Any, subscripts: str) -> Typed:
    inputs, output = subscripts.split("->")
    lengths = {
        letter: length
        for letters, operand in zip(inputs.split(","), operands, strict=True)
        for letter, length in zip(letters, operand.shape, strict=True)
    }
    return tuple([lengths[letter] for letter in output]), operands[0].dtype


def _einsum_transpose(position: int, ct: Any, *operands: Any, subscripts: str) -> Any:
    inputs, output = subscripts.split("->")
    letters = inputs.split(",")
    mine = letters[position]
    letters[position] = output
    others = [ct if i == position else operand for i, operand in enumerate(operands)]
    return np.einsum(f"{','.join(letters)}->{mine}", *others)


def einsum_batch(size: int, *, subscripts: str) -> dict[str, Any]:
    inputs, output = subscripts.split("->")
    free = next(letter for letter in "ZYXWVUTSRQPONMLKJIHGFEDCBA" if letter not in subscripts)
    return {"subscripts": f"{','.join(free + part for part in inputs.split(','))}->{free}{output}"}


class EinsumTransposes(tuple[Any, ...]):
    """One transpose an operand, for however many operands there are."""

    __slots__ = ()

    def __getitem__(self, position: Any) -> Any:
        return lambda ct, *x, subscripts: _einsum_transpose(position, ct, *x, subscripts=subscripts)


def einsum_cost(node: Any, *operands: Any) -> int:
    inputs, _ = dict(node.params)["subscripts"].split("->")
    lengths: dict[str, int] = {}
    for letters, operand in zip(inputs.split(","), operands, strict=True):
        lengths |= dict(zip(letters, operand.shape, strict=True))
    return len(operands) * int(np.prod(list(lengths.values()), dtype=np.int64))


def matmul_infer(a: Any, b: Any) -> Typed:
    return (*a.shape[:-1], b.shape[-1]), a.dtype


def matmul_cost(node: Any, a: Any, b: Any) -> int:
    products = int(a.shape[-1])
    return int(node.size) * max(2 * products - 1, 0)


def number_per_matrix(a: Any) -> Typed:
    return a.shape[:-2], a.dtype


def like_first(x: Any, *_: Any, **params: Any) -> Typed:
    return x.shape, x.dtype


def cubic_cost(node: Any, a: Any, *rest: Any) -> int:
    return int(a.size) * int(a.shape[-1])


def _balanced(found: Any, share: Any, axis: int) -> Any:
    """Numbers that add up to 0, each with its digits: where a share is above 1/2, its number is a
    difference that cancels, and the others' sum says it better.
    """
    large = share > 0.5
    others = np.where(large, 0.0, found)
    return np.where(large, -np.sum(others, axis, keepdims=True), others)


def softmax_pushforward(y: Any, tangents: Any, x: Any, axis: int) -> Any:
    (t,) = tangents
    return _balanced(y * (t - np.sum(y * t, axis, keepdims=True)), y, axis)


def log_softmax_pushforward(y: Any, tangents: Any, x: Any, axis: int) -> Any:
    (t,) = tangents
    p = np.exp(y)
    found = t - np.sum(p * t, axis, keepdims=True)
    return np.where(p > 0.5, _balanced(p * found, p, axis) / p, found)


def log_softmax_pullback(y: Any, ct: Any, x: Any, axis: int) -> Any:
    p = np.exp(y)
    return (_balanced(ct - p * np.sum(ct, axis, keepdims=True), p, axis),)


def complex_softmax(z: Any, axis: int) -> Any:
    grown = np.exp(z - np.max(z.real, axis, keepdims=True))
    return grown / np.sum(grown, axis, keepdims=True)


def symbolic_softmax(S: Any, x: Any, axis: int) -> Any:
    """1 / sum(exp(x_j - x_i)), whose derivatives do not cancel."""
    last = np.moveaxis(x, axis, -1)
    grown = np.frompyfunc(S.exp, 1, 1)(last[..., None, :] - last[..., :, None])
    return np.moveaxis(1 / np.sum(grown, -1), -1, axis)


def symbolic_log_softmax(S: Any, x: Any, axis: int) -> Any:
    return -np.frompyfunc(S.log, 1, 1)(1 / symbolic_softmax(S, x, axis))


def log_of_sum(x: Any, axis: int) -> Any:
    return np.log(np.sum(np.exp(x), axis, keepdims=True))
