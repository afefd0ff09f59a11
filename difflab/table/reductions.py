"""What makes fewer numbers of many: sums, extremes, positions, orders.

Axes in params count from the end, so that a leading batch axis changes nothing.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from difflab.ir.fused import Fold, InRows
from difflab.ir.rounding import Local, added
from difflab.ir.row import (
    ITSELF,
    OPERATOR,
    OwnFunction,
    Primitive,
    Shape,
    Unsupported,
    flat,
    general,
    like_first,
    linear,
    sample,
    size_of_result,
)
from difflab.table.choices import flags, tri_and, tri_or


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


def _sum_rounding(y: Any, x: Any, axes: Any) -> Local:
    return added(np.add.reduce(np.abs(x), axes), x.size / max(y.size, 1))


def _cumsum_rounding(y: Any, x: Any, axis: int) -> Local:
    return added(np.add.accumulate(np.abs(x), axis), x.shape[axis])


def running_sum(x: Any, axis: int) -> Any:
    """The cumulative sum along an axis."""
    return np.add.accumulate(x, axis)


def largest(x: Any, axes: Shape) -> Any:
    """The maximum over axes."""
    return np.maximum.reduce(x, axes)


@OwnFunction
def share_of_largest(x: Any, axes: Shape) -> Any:
    """1 at the only maximum over axes, 1/k at each of k equal ones, 0 elsewhere: the derivative
    of `largest`.
    """
    hit = (x == np.maximum.reduce(x, axes, keepdims=True)).astype(x.dtype)
    return hit / np.add.reduce(hit, axes, keepdims=True)


def share_in_rows(x: Any, axes: Shape) -> Any:
    hit = (x == np.max(x, axes, keepdims=True)).astype(x.dtype)
    return hit / np.sum(hit, axes, keepdims=True)


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


def gap_at_top(x: Any, axes: Shape) -> Any:
    """How far the largest element is ahead of the next."""
    last = np.moveaxis(x, axes, range(-len(axes), 0))
    ranked = np.sort(last.reshape(*last.shape[: x.ndim - len(axes)], -1), -1)
    return ranked[..., -1] - ranked[..., -2] if ranked.shape[-1] > 1 else np.ones(ranked.shape[:-1])


def index_of_largest(x: Any, axis: int) -> Any:
    """The position of the maximum along an axis."""
    return np.argmax(_ranks(x) if x.dtype == object else np.real(x), axis)


def sorting_order(x: Any, axis: int, kind: Any = None) -> Any:
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


def all_true(x: Any, axes: Shape) -> Any:
    """Whether all elements are true."""
    return np.logical_and.reduce(x, axes)


def any_true(x: Any, axes: Shape) -> Any:
    """Whether any element is true."""
    return np.logical_or.reduce(x, axes)


INT: Final = np.dtype("int64")


NO_FLOATS: Final = Unsupported("its results are no floats, and so are not rounded")


ROWS: Final[tuple[Primitive, ...]] = (
    linear(
        total,
        kind="reduction",
        infer=lambda x, axes: (reduced(x, axes), x.dtype),
        sympy=ITSELF,
        ball=ITSELF,
        transpose=lambda ct, x, axes: (keep(ct, x, axes),),
        emit="add_reduce({0}, {axes}, None, {out})",
        native=Fold(0.0, lambda v, a, b: a + b),
        cost=lambda node, x: max(x.size - node.size, 0),
        name="sum",
        latex=r"\sum{over} {0}",
        precedence=OPERATOR + 1,
        elements="moved",
        germ="total",
        rounding=_sum_rounding,
        cancels=True,
        sample=lambda rng, shape: [
            sample(rng.normal(size=(2, 3, 2)), axes=(-3, -1)),
            sample(rng.normal(size=(3,)), axes=(-1,)),
        ],
    ),
    linear(
        running_sum,
        kind="reduction",
        infer=like_first,
        sympy=ITSELF,
        ball=ITSELF,
        transpose=lambda ct, x, axis: (np.flip(np.cumsum(np.flip(ct, axis), axis), axis),),
        emit="add_accumulate({0}, {axis}, None, {out})",
        cost=size_of_result,
        name="cumsum",
        rounding=_cumsum_rounding,
        cancels=True,
        sample=lambda rng, shape: [
            sample(rng.normal(size=(3, 4)), axis=-2),
            sample(rng.normal(size=(3,)), axis=-1),
        ],
    ),
    general(
        largest,
        kind="reduction",
        infer=lambda x, axes: (reduced(x, axes), x.dtype),
        pushforward=lambda y, t, x, axes: np.sum(t[0] * share_of_largest(x, axes), axes),
        pullback=lambda y, ct, x, axes: (keep(ct, x, axes) * share_of_largest(x, axes),),
        sympy=lambda S, x, axes: fold(S.Max, x, axes),
        ball=lambda x, axes: fold(lambda a, b: a.max(b), x, axes),
        kink=lambda x, axes: gap_at_top(x, axes),
        emit="maximum_reduce({0}, {axes}, None, {out})",
        native=Fold(-np.inf, lambda v, a, b: v.maximum(a, b)),
        cost=lambda node, x: max(x.size - node.size, 0),
        complex=lambda z, axes: np.sum(z * share_of_largest.evaluate(z.real, axes), axes),
        name="max",
        latex=r"\max{over}\left({0}\right)",
        tame=True,
        germ="largest",
        choice=lambda x, axes: (np.not_equal(share_of_largest(x, axes), 0.0),),
        sample=lambda rng, shape: [sample(rng.normal(size=(2, 3, 2)), axes=(-3, -1))],
    ),
    flat(
        share_of_largest,
        kind="reduction",
        infer=like_first,
        kink=lambda x, axes: gap_at_top(x, axes),
        sympy=Unsupported("SymPy does not decide which expression is largest"),
        ball=certain_share,
        complex=lambda z, axes: share_of_largest.evaluate(z.real, axes) + 0j,
        emit="share_of_largest({0}, {axes})",
        native=InRows(share_in_rows),
        cost=lambda node, x: 3 * x.size,
        sample=lambda rng, shape: [sample(rng.normal(size=(2, 3, 2)), axes=(-3, -1))],
    ),
    flat(
        index_of_largest,
        kind="reduction",
        infer=lambda x, axis: (reduced(x, (axis,)), INT),
        name="argmax",
        kink=lambda x, axis: gap_at_top(x, (axis,)),
        sympy=Unsupported("SymPy does not decide which expression is largest"),
        ball=ITSELF,
        emit="index_of_largest({0}, {axis})",
        cost=lambda node, x: x.size,
        germ="index_of_largest",
        rounding=NO_FLOATS,
        sample=lambda rng, shape: [sample(rng.normal(size=(3, 4)), axis=-1)],
    ),
    flat(
        sorting_order,
        kind="reduction",
        infer=lambda x, axis, kind: (x.shape, INT),
        name="argsort",
        kink=lambda x, axis, kind: np.diff(np.sort(x, axis), axis=axis),
        sympy=Unsupported("SymPy does not decide the order of expressions"),
        ball=ITSELF,
        emit="sorting_order({0}, {axis}, {kind})",
        cost=lambda node, x: x.size,
        germ="sorting_order",
        rounding=NO_FLOATS,
        sample=lambda rng, shape: [
            sample(rng.normal(size=(3, 4)), axis=-2, kind=None),
            sample(rng.integers(0, 3, (2, 30)).astype(float), axis=-1, kind="stable"),
            sample(rng.integers(0, 3, (2, 30)).astype(float), axis=-1, kind=None),
        ],
    ),
    flat(
        all_true,
        kind="reduction",
        infer=lambda x, axes: (reduced(x, axes), np.dtype(bool)),
        name="all",
        sympy=Unsupported("truth values of arrays are decided at a point"),
        ball=lambda x, axes: fold(tri_and, x, axes),
        emit="all_true({0}, {axes})",
        native=Fold(True, lambda v, a, b: a & b),
        rounding=NO_FLOATS,
        sample=lambda rng, shape: [sample(flags(rng, (3, 2)), axes=(-2,))],
    ),
    flat(
        any_true,
        kind="reduction",
        infer=lambda x, axes: (reduced(x, axes), np.dtype(bool)),
        name="any",
        sympy=Unsupported("truth values of arrays are decided at a point"),
        ball=lambda x, axes: fold(tri_or, x, axes),
        emit="any_true({0}, {axes})",
        native=Fold(False, lambda v, a, b: a | b),
        rounding=NO_FLOATS,
        sample=lambda rng, shape: [sample(flags(rng, (3, 2)), axes=(-2,))],
    ),
)
