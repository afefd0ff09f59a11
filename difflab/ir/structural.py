"""The structural rows of the table: what moves, joins, reduces and contracts arrays, and linear algebra.

Axes in params count from the end, so that a leading batch axis changes nothing. An index is a tuple with one
`Slice` or integer an axis; arrays of indices always address the leading axes (numpy_functions.py brings
NumPy's general indexing into these two forms).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from difflab.ir.row import (
    ITSELF,
    OPERATOR,
    POSITIVE,
    Lacking,
    Primitive,
    Unsupported,
    flat,
    general,
    linear,
    multilinear,
    size_of_result,
)
from difflab.ir.special import log_softmax, softmax

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


# -- movement ------------------------------------------------------------------------------------------------


def expand(x: Any, shape: Shape) -> Any:
    """An array with its axes of length 1 repeated to a shape of as many axes."""
    return np.broadcast_to(x, shape)


def _expanded_axes(x: Any, shape: Shape) -> Shape:
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


def _split(ct: Any, *parts: Any, axis: int) -> tuple[Any, ...]:
    start, pieces = 0, []
    for part in parts:
        stop = start + part.shape[axis]
        pieces.append(ct[(..., slice(start, stop), *(slice(None),) * (-axis - 1))])
        start = stop
    return tuple(pieces)


def _joined(*parts: Any, axis: int) -> Typed:
    shape = list(parts[0].shape)
    shape[axis] = sum(part.shape[axis] for part in parts)
    return tuple(shape), parts[0].dtype


def _selected(x: Any, index: tuple[int | Slice, ...]) -> Typed:
    kept = [
        len(range(*slice(*part).indices(length)))
        for part, length in zip(index, x.shape, strict=True)
        if isinstance(part, Slice)
    ]
    return tuple(kept), x.dtype


# -- reductions ----------------------------------------------------------------------------------------------


def total(x: Any, axes: Shape) -> Any:
    """The sum over axes."""
    return np.add.reduce(x, axes)


def _reduced(x: Any, axes: Shape) -> Shape:
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


def _share(y: Any, x: Any, axes: Shape) -> Any:
    """1 at the only maximum, 1/k at each of k equal ones, 0 elsewhere."""
    hit = (x == keep(y, x, axes)).astype(x.dtype)
    return hit / keep(np.sum(hit, axes), x, axes)


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


def _gap_at_top(x: Any, axes: Shape) -> Any:
    """How far the largest element is ahead of the next."""
    last = np.moveaxis(x, axes, range(-len(axes), 0))
    ranked = np.sort(last.reshape(*last.shape[: x.ndim - len(axes)], -1), -1)
    return ranked[..., -1] - ranked[..., -2] if ranked.shape[-1] > 1 else np.ones(ranked.shape[:-1])


def index_of_largest(x: Any, axis: int) -> Any:
    """The position of the maximum along an axis."""
    return np.argmax(_order_keys(x), axis)


def order(x: Any, axis: int) -> Any:
    """The positions that would sort an array along an axis; stable."""
    return np.argsort(_order_keys(x), axis, kind="stable")


def _order_keys(x: Any) -> Any:
    """Numbers that compare as the elements do; balls and expressions compare by their midpoints."""
    return np.asarray(x).astype(np.float64) if np.asarray(x).dtype == object else np.real(x)


def every(x: Any, axes: Shape) -> Any:
    """Whether all elements are true."""
    return np.logical_and.reduce(x, axes)


def some(x: Any, axes: Shape) -> Any:
    """Whether any element is true."""
    return np.logical_or.reduce(x, axes)


def running_sum(x: Any, axis: int) -> Any:
    """The cumulative sum along an axis."""
    return np.add.accumulate(x, axis)


# -- contractions and factorisations ---------------------------------------------------------------------------


def einsum(*operands: Any, subscripts: str) -> Any:
    """Einstein's summation; each operand's letters differ, and each stands in another operand or the result."""
    return np.einsum(subscripts, *operands)


def _einsum_infer(*operands: Any, subscripts: str) -> Typed:
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


def _einsum_batch(size: int, *, subscripts: str) -> dict[str, Any]:
    inputs, output = subscripts.split("->")
    free = next(letter for letter in "ZYXWVUTSRQPONMLKJIHGFEDCBA" if letter not in subscripts)
    return {"subscripts": f"{','.join(free + part for part in inputs.split(','))}->{free}{output}"}


class _EinsumTransposes(tuple[Any, ...]):
    """One transpose an operand, for however many operands there are."""

    __slots__ = ()

    def __getitem__(self, position: Any) -> Any:
        return lambda ct, *x, subscripts: _einsum_transpose(position, ct, *x, subscripts=subscripts)


def _einsum_cost(node: Any, *operands: Any) -> int:
    inputs, _ = dict(node.params)["subscripts"].split("->")
    lengths: dict[str, int] = {}
    for letters, operand in zip(inputs.split(","), operands, strict=True):
        lengths |= dict(zip(letters, operand.shape, strict=True))
    return len(operands) * int(np.prod(list(lengths.values()), dtype=np.int64))


def _matmul_infer(a: Any, b: Any) -> Typed:
    return (*a.shape[:-1], b.shape[-1]), a.dtype


def _matmul_cost(node: Any, a: Any, b: Any) -> int:
    return int(node.size) * max(2 * a.shape[-1] - 1, 0)


def swap(a: Any) -> Any:
    """Matrices transposed."""
    return np.swapaxes(a, -1, -2)


def _lower(a: Any) -> Any:
    return np.where(np.tri(a.shape[-1], dtype=bool), a, 0.0)


def _half_lower(a: Any) -> Any:
    """The lower triangle with its diagonal halved."""
    n = a.shape[-1]
    return a * (np.tri(n, dtype=a.dtype) - a.dtype.type(0.5) * np.eye(n, dtype=a.dtype))


def _solve_pushforward(y: Any, tangents: Any, a: Any, b: Any) -> Any:
    ta, tb = tangents
    right = tb if ta is None else (-ta @ y if tb is None else tb - ta @ y)
    return np.linalg.solve(a, right)


def _solve_pullback(y: Any, ct: Any, a: Any, b: Any) -> Any:
    adjoint = np.linalg.solve(swap(a), ct)
    return -adjoint @ swap(y), adjoint


def _trace_of(a: Any) -> Any:
    return np.sum(a * np.eye(a.shape[-1], dtype=a.dtype), (-2, -1))


def _matrix(y: Any) -> Any:
    """Numbers as matrices of one element, to scale matrices with."""
    return np.reshape(y, (*y.shape, 1, 1))


def log_abs_det(a: Any) -> Any:
    """log |det a|."""
    return np.linalg.slogdet(a)[1]


def sign_det(a: Any) -> Any:
    """The sign of det a."""
    return np.linalg.slogdet(a)[0]


def _cholesky_pushforward(y: Any, tangents: Any, a: Any) -> Any:
    # NumPy reads the lower triangle of a alone, so only that part of the tangent counts.
    lower = _lower(tangents[0])
    symmetric = lower + swap(lower) - lower * np.eye(a.shape[-1], dtype=a.dtype)
    inner = np.linalg.solve(y, swap(np.linalg.solve(y, symmetric)))
    return y @ _half_lower(inner)


def _cholesky_pullback(y: Any, ct: Any, a: Any) -> Any:
    # Murray (2016), Differentiation of the Cholesky decomposition, eq. 11, folded to the lower triangle.
    inner = _half_lower(swap(y) @ ct)
    middle = np.linalg.solve(swap(y), swap(np.linalg.solve(swap(y), swap(inner))))
    both = middle + swap(middle)
    return (_lower(both) - 0.5 * both * np.eye(a.shape[-1], dtype=a.dtype),)


def _square(a: Any) -> Typed:
    return a.shape[:-2], a.dtype


def _like(x: Any, *_: Any, **params: Any) -> Typed:
    return x.shape, x.dtype


def _cubic(node: Any, a: Any, *rest: Any) -> int:
    return int(a.size) * int(a.shape[-1])


def _softmax_pushforward(y: Any, tangents: Any, x: Any, axis: int) -> Any:
    (t,) = tangents
    return y * (t - np.sum(y * t, axis, keepdims=True))


def _log_softmax_pushforward(y: Any, tangents: Any, x: Any, axis: int) -> Any:
    (t,) = tangents
    return t - np.sum(np.exp(y) * t, axis, keepdims=True)


def _complex_softmax(z: Any, axis: int) -> Any:
    grown = np.exp(z - np.max(z.real, axis, keepdims=True))
    return grown / np.sum(grown, axis, keepdims=True)


def _symbolic_softmax(S: Any, x: Any, axis: int) -> Any:
    grown = np.frompyfunc(S.exp, 1, 1)(x)
    return grown / np.sum(grown, axis, keepdims=True)


def _log_of_sum(x: Any, axis: int) -> Any:
    return np.log(np.sum(np.exp(x), axis, keepdims=True))


# fmt: off
STRUCTURAL: Final[tuple[Primitive, ...]] = (
    # movement
    linear(expand, kind="movement", infer=lambda x, shape: (shape, x.dtype), sympy=ITSELF, ball=ITSELF,
           transpose=lambda ct, x, shape: (np.sum(ct, _expanded_axes(x, shape), keepdims=True),),
           batch=lambda size, shape: {"shape": (size, *shape)}, emit="broadcast_to({0}, {shape})",
           text="broadcast_to({0}, {shape})", latex="{0}"),
    linear(reshape, kind="movement", infer=lambda x, shape: (shape, x.dtype), sympy=ITSELF, ball=ITSELF,
           transpose=lambda ct, x, shape: (np.reshape(ct, x.shape),),
           batch=lambda size, shape: {"shape": (size, *shape)}, emit="{0}.reshape({shape})",
           latex="{0}"),
    linear(permute, kind="movement", infer=lambda x, axes: (tuple([x.shape[a] for a in axes]), x.dtype),
           transpose=lambda ct, x, axes: (np.transpose(ct, tuple(np.argsort(axes).tolist())),),
           sympy=ITSELF, ball=ITSELF, batch=lambda size, axes: {"axes": (0, *[a + 1 for a in axes])},
           emit="{0}.transpose({axes})", name="transpose",
           latex=r"{0}^{{\top}}"),
    linear(getitem, kind="movement", infer=_selected, sympy=ITSELF, ball=ITSELF,
           transpose=lambda ct, x, index: (place(ct, index, x.shape),),
           batch=lambda size, index: {"index": (ALL, *index)}, emit="{0}[{index}]",
           text="{0}[{index}]", latex="{0}_{{{index}}}"),
    linear(place, kind="movement", infer=lambda x, index, shape: (shape, x.dtype), sympy=ITSELF, ball=ITSELF,
           transpose=lambda ct, x, index, shape: (ct[plain_index(index)],),
           batch=lambda size, index, shape: {"index": (ALL, *index), "shape": (size, *shape)},
           emit="place({0}, {index}, {shape})"),
    linear(gather, kind="movement", sympy=ITSELF, ball=ITSELF,
           infer=lambda x, *i: ((*i[0].shape, *x.shape[len(i):]), x.dtype),
           transpose=lambda ct, x, *i: (scatter_add(ct, *i, shape=x.shape), *(None,) * len(i)),
           emit="{0}[{rest}]", text="{0}[{rest}]", latex="{0}_{{{rest}}}"),
    linear(scatter_add, kind="movement", infer=lambda x, *i, shape: (shape, x.dtype), sympy=ITSELF,
           ball=ITSELF, transpose=lambda ct, x, *i, shape: (ct[i], *(None,) * len(i)),
           batch=lambda size, shape: {"shape": (size, *shape)}, emit="scatter_add({0}, {rest}, shape={shape})",
           cost=lambda node, x, *i: x.size),
    linear(concatenate, kind="movement", infer=_joined, transpose=_split, sympy=ITSELF, ball=ITSELF,
           emit="concatenate(({operands},), {axis}, {out})"),
    # reductions
    linear(total, kind="reduction", infer=lambda x, axes: (_reduced(x, axes), x.dtype), sympy=ITSELF, ball=ITSELF,
           transpose=lambda ct, x, axes: (keep(ct, x, axes),), emit="add_reduce({0}, {axes}, None, {out})",
           cost=lambda node, x: max(x.size - node.size, 0), name="sum", latex=r"\sum{over} {0}",
           precedence=OPERATOR + 1),
    linear(running_sum, kind="reduction", infer=_like, sympy=ITSELF, ball=ITSELF,
           transpose=lambda ct, x, axis: (np.flip(np.cumsum(np.flip(ct, axis), axis), axis),),
           emit="add_accumulate({0}, {axis}, None, {out})", cost=size_of_result, name="cumsum"),
    general(largest, kind="reduction", infer=lambda x, axes: (_reduced(x, axes), x.dtype),
            pushforward=lambda y, t, x, axes: np.sum(t[0] * _share(y, x, axes), axes),
            pullback=lambda y, ct, x, axes: (keep(ct, x, axes) * _share(y, x, axes),),
            sympy=lambda S, x, axes: fold(S.Max, x, axes), ball=lambda x, axes: fold(lambda a, b: a.max(b), x, axes),
            kink=lambda x, axes: _gap_at_top(x, axes),
            emit="maximum_reduce({0}, {axes}, None, {out})", cost=lambda node, x: max(x.size - node.size, 0),
            complex=NOT_HOLOMORPHIC, name="max", latex=r"\max{over}\left({0}\right)"),
    flat(index_of_largest, kind="reduction", infer=lambda x, axis: (_reduced(x, (axis,)), INT), name="argmax",
         kink=lambda x, axis: _gap_at_top(x, (axis,)),
         sympy=Unsupported("SymPy does not decide which expression is largest"), ball=ITSELF,
         emit="index_of_largest({0}, {axis})", cost=lambda node, x: x.size),
    flat(order, kind="reduction", infer=lambda x, axis: (x.shape, INT), name="argsort",
         kink=lambda x, axis: np.diff(np.sort(x, axis), axis=axis),
         sympy=Unsupported("SymPy does not decide the order of expressions"), ball=ITSELF,
         emit="order({0}, {axis})", cost=lambda node, x: x.size),
    flat(every, kind="reduction", infer=lambda x, axes: (_reduced(x, axes), np.dtype(bool)), name="all",
         sympy=Unsupported("truth values of arrays are decided at a point"),
         ball=lambda x, axes: fold(tri_and, x, axes),
         emit="every({0}, {axes})"),
    flat(some, kind="reduction", infer=lambda x, axes: (_reduced(x, axes), np.dtype(bool)), name="any",
         sympy=Unsupported("truth values of arrays are decided at a point"),
         ball=lambda x, axes: fold(tri_or, x, axes),
         emit="some({0}, {axes})"),
    # contractions
    multilinear(np.matmul, kind="contraction", infer=_matmul_infer, sympy=ITSELF, ball=ITSELF,
                transposes=(lambda ct, a, b: ct @ swap(b), lambda ct, a, b: swap(a) @ ct),
                emit="matmul({0}, {1}, {out})", cost=_matmul_cost, text="{0} @ {1}", latex=r"{0} \, {1}",
                precedence=OPERATOR + 1),
    multilinear(einsum, kind="contraction", infer=_einsum_infer, transposes=_EinsumTransposes(), sympy=ITSELF,
                ball=ITSELF, batch=_einsum_batch, emit="einsum({subscripts}, {operands}, out={out})",
                latex=r"\operatorname{{einsum}}_{{\text{{{subscripts}}}}}\left({operands}\right)",
                cost=_einsum_cost),
    # linear algebra
    general(np.linalg.solve, kind="factorisation", infer=lambda a, b: (b.shape, b.dtype),
            pushforward=_solve_pushforward, pullback=_solve_pullback, sympy="solve", ball="solve",
            emit="solve({0}, {1})", cost=_cubic),
    general(np.linalg.det, kind="factorisation", infer=_square, sympy="det", ball="det",
            pushforward=lambda y, t, a: y * _trace_of(np.linalg.solve(a, t[0])),
            pullback=lambda y, ct, a: (_matrix(ct * y) * swap(np.linalg.inv(a)),), emit="det({0})", cost=_cubic),
    general(log_abs_det, kind="factorisation", infer=_square, sympy="log_abs_det", ball="log_abs_det",
            pushforward=lambda y, t, a: _trace_of(np.linalg.solve(a, t[0])), domain=POSITIVE,
            pullback=lambda y, ct, a: (_matrix(ct) * swap(np.linalg.inv(a)),), emit="log_abs_det({0})",
            complex=NOT_HOLOMORPHIC, cost=_cubic),
    general(sign_det, kind="factorisation", infer=_square, sympy="sign_det", ball="sign_det",
            pushforward=lambda y, t, a: None, pullback=lambda y, ct, a: (None,), emit="sign_det({0})",
            complex=NOT_HOLOMORPHIC, cost=_cubic),
    general(np.linalg.cholesky, kind="factorisation", infer=_like, sympy="cholesky", ball="cholesky",
            pushforward=_cholesky_pushforward, pullback=_cholesky_pullback, emit="cholesky({0})",
            complex=NOT_HOLOMORPHIC, cost=_cubic),
    general(softmax, kind="reduction", infer=_like, sympy=_symbolic_softmax,
            ball=lambda x, axis: np.exp(x - _log_of_sum(x, axis)),
            pushforward=_softmax_pushforward, complex=_complex_softmax,
            pullback=lambda y, ct, x, axis: (_softmax_pushforward(y, (ct,), x, axis),),
            emit="softmax({0}, {axis})", cost=lambda node, x: 4 * x.size),
    general(log_softmax, kind="reduction", infer=_like, ball=lambda x, axis: x - _log_of_sum(x, axis),
            sympy=lambda S, x, axis: np.frompyfunc(S.log, 1, 1)(_symbolic_softmax(S, x, axis)),
            pushforward=_log_softmax_pushforward, complex=lambda z, axis: np.log(_complex_softmax(z, axis)),
            pullback=lambda y, ct, x, axis: (ct - np.exp(y) * np.sum(ct, axis, keepdims=True),),
            emit="log_softmax({0}, {axis})", cost=lambda node, x: 5 * x.size),
)
# fmt: on
