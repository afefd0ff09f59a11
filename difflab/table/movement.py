"""What moves elements: shapes, indices, joining.

Axes in params count from the end, so that a leading batch axis changes nothing. An index is a tuple
with one `Slice` or integer an axis; arrays of indices always address the leading axes
(spellings/indexing.py brings NumPy's general indexing into these two forms).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from difflab.ir.rounding import Local, added
from difflab.ir.row import ITSELF, OwnFunction, Primitive, Shape, Typed, linear, sample


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


def selected(x: Any, index: tuple[int | Slice, ...]) -> Typed:
    kept = [
        len(range(*slice(*part).indices(length)))
        for part, length in zip(index, x.shape, strict=True)
        if isinstance(part, Slice)
    ]
    return tuple(kept), x.dtype


@OwnFunction
def place(x: Any, index: tuple[int | Slice, ...], shape: Shape) -> Any:
    """Zeros of a shape with x at an index: the transpose of `getitem`."""
    placed = np.zeros(shape, np.asarray(x).dtype)
    placed[plain_index(index)] = np.asarray(x)[()]
    return placed


def gather(x: Any, *indices: Any) -> Any:
    """The elements of the leading axes that integer arrays address."""
    return x[indices]


@OwnFunction
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


def _scatter_rounding(y: Any, x: Any, *i: Any, shape: Any) -> Local:
    """As many additions an element as any element gets."""
    counts, size = np.zeros(shape), np.zeros(shape, x.dtype)
    np.add.at(counts, i, 1.0)
    np.add.at(size, i, np.abs(x))
    return added(size, max(float(np.max(counts, initial=0.0)), 1.0))


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


@OwnFunction
def join(*parts: Any, lead: int) -> Any:
    """The elements of all parts, one after another; `lead` axes come first and stay."""
    shapes = [(*np.shape(part)[:lead], -1) for part in parts]
    return np.concatenate(
        [np.reshape(x, shape) for x, shape in zip(parts, shapes, strict=True)], -1
    )


def parted(ct: Any, *parts: Any, lead: int = 0) -> tuple[Any, ...]:
    start, pieces = 0, []
    for part in parts:
        size = int(np.prod(part.shape[lead:], dtype=np.int64))
        one = ct[(..., slice(start, start + size) if part.shape[lead:] else start)]
        pieces.append(one if one.shape == part.shape else np.reshape(one, part.shape))
        start += size
    return tuple(pieces)


def joined_flat(*parts: Any, lead: int = 0) -> Typed:
    sizes = [int(np.prod(part.shape[lead:], dtype=np.int64)) for part in parts]
    return (*parts[0].shape[:lead], sum(sizes)), parts[0].dtype


# -- where elements are, for fused code: by the indices `at` of a result's element -----------------


def at_repeated(at: Any, x: Any, shape: Shape) -> Any:
    return [i * 0 if n == 1 else i for i, n in zip(at, x.shape, strict=True)]


def at_regrouped(at: Any, x: Any, shape: Shape) -> Any:
    """Where axes of length 1 alone come or go; else None."""
    longer = [i for i, n in zip(at, shape, strict=True) if n != 1]
    if [n for n in shape if n != 1] != [n for n in x.shape if n != 1]:
        return None
    rest = iter(longer)
    return [next(rest) if n != 1 else 0 for n in x.shape]


def at_permuted(at: Any, x: Any, axes: Shape) -> Any:
    found = dict(zip([axis % x.ndim for axis in axes], at, strict=True))
    return [found[axis] for axis in range(x.ndim)]


def at_selected(at: Any, x: Any, index: tuple[int | Slice, ...]) -> Any:
    rest, found = iter(at), []
    for part, length in zip(index, x.shape, strict=True):
        if isinstance(part, Slice):
            start, _, step = slice(*part).indices(length)
            found.append(next(rest) * step + start)
        else:
            found.append(part % length)
    return found


SLICES: Final = (Slice(None, None, -2), 1)


PLACE: Final = linear(
    place,
    kind="movement",
    infer=lambda x, index, shape: (shape, x.dtype),
    sympy=ITSELF,
    ball=ITSELF,
    native=lambda out, x, index, shape: (out[(*plain_index(index), ...)],),
    transpose=lambda ct, x, index, shape: (ct[plain_index(index)],),
    batch=lambda size, index, shape: {"index": (ALL, *index), "shape": (size, *shape)},
    emit="place({0}, {index}, {shape})",
    sample=lambda rng, shape: [
        sample(rng.normal(size=(2,)), index=SLICES, shape=(3, 4)),
        sample(rng.normal(size=()), index=(2,), shape=(4,)),
    ],
)

SCATTER_ADD: Final = linear(
    scatter_add,
    kind="movement",
    infer=lambda x, *i, shape: (shape, x.dtype),
    sympy=ITSELF,
    ball=ITSELF,
    transpose=lambda ct, x, *i, shape: (ct[i], *(None,) * len(i)),
    batch=lambda size, shape: {"shape": (size, *shape)},
    emit="scatter_add({0}, {rest}, shape={shape})",
    cost=lambda node, x, *i: x.size,
    indexed=True,
    rounding=_scatter_rounding,
    sample=lambda rng, shape: [
        sample(rng.normal(size=(2, 2, 3)), rng.integers(0, 4, (2, 2)), shape=(4, 3)),
        sample(rng.normal(size=(5,)), rng.integers(0, 2, 5), rng.integers(0, 3, 5), shape=(2, 3)),
    ],
)

ROWS: Final[tuple[Primitive, ...]] = (
    linear(
        expand,
        kind="movement",
        infer=lambda x, shape: (shape, x.dtype),
        sympy=ITSELF,
        ball=ITSELF,
        native=at_repeated,
        transpose=lambda ct, x, shape: (np.sum(ct, expanded_axes(x, shape), keepdims=True),),
        batch=lambda size, shape: {"shape": (size, *shape)},
        emit="broadcast_to({0}, {shape})",
        text="broadcast_to({0}, {shape})",
        latex="{0}",
        elements="moved",
        shaping="repeats",
        view=True,
        sample=lambda rng, shape: [
            sample(rng.normal(size=(1, 3)), shape=(2, 3)),
            sample(rng.normal(size=(2, 1, 1)), shape=(2, 3, 2)),
        ],
    ),
    linear(
        reshape,
        kind="movement",
        infer=lambda x, shape: (shape, x.dtype),
        sympy=ITSELF,
        ball=ITSELF,
        native=at_regrouped,
        transpose=lambda ct, x, shape: (np.reshape(ct, x.shape),),
        batch=lambda size, shape: {"shape": (size, *shape)},
        emit="{0}.reshape({shape})",
        latex="{0}",
        elements="moved",
        shaping="regroups",
        view=True,
        sample=lambda rng, shape: [
            sample(rng.normal(size=(2, 3)), shape=(3, 2)),
            sample(rng.normal(size=()), shape=(1,)),
        ],
    ),
    linear(
        permute,
        kind="movement",
        infer=lambda x, axes: (tuple([x.shape[a] for a in axes]), x.dtype),
        transpose=lambda ct, x, axes: (np.transpose(ct, tuple(np.argsort(axes).tolist())),),
        sympy=ITSELF,
        ball=ITSELF,
        native=at_permuted,
        batch=lambda size, axes: {"axes": (0, *[a + 1 for a in axes])},
        emit="{0}.transpose({axes})",
        name="transpose",
        latex=r"{0}^{{\top}}",
        elements="moved",
        view=True,
        sample=lambda rng, shape: [sample(rng.normal(size=(2, 3, 4)), axes=(2, 0, 1))],
    ),
    linear(
        getitem,
        kind="movement",
        infer=selected,
        sympy=ITSELF,
        ball=ITSELF,
        native=at_selected,
        transpose=lambda ct, x, index: (place(ct, index, x.shape),),
        batch=lambda size, index: {"index": (ALL, *index)},
        emit="{0}[{index}]",
        text="{0}[{index}]",
        latex="{0}_{{{index}}}",
        elements="selected",
        view=True,
        sample=lambda rng, shape: [
            sample(rng.normal(size=(3, 4)), index=SLICES),
            sample(rng.normal(size=(4,)), index=(2,)),
        ],
    ),
    PLACE,
    linear(
        gather,
        kind="movement",
        sympy=ITSELF,
        ball=ITSELF,
        infer=lambda x, *i: ((*i[0].shape, *x.shape[len(i) :]), x.dtype),
        transpose=lambda ct, x, *i: (scatter_add(ct, *i, shape=x.shape), *(None,) * len(i)),
        emit="{0}[{rest}]",
        text="{0}[{rest}]",
        latex="{0}_{{{rest}}}",
        elements="selected",
        indexed=True,
        sample=lambda rng, shape: [
            sample(rng.normal(size=(4, 3)), rng.integers(0, 4, (2, 2))),
            sample(rng.normal(size=(4, 3)), rng.integers(0, 4, 5), rng.integers(0, 3, 5)),
        ],
    ),
    SCATTER_ADD,
    linear(
        concatenate,
        kind="movement",
        infer=joined,
        transpose=split_between,
        sympy=ITSELF,
        ball=ITSELF,
        native=split_between,
        emit="concatenate(({operands},), {axis}, {out})",
        elements="moved",
        sample=lambda rng, shape: [
            sample(rng.normal(size=(2, 3)), rng.normal(size=(1, 3)), axis=-2),
            sample(
                rng.normal(size=(2, 1)), rng.normal(size=(2, 2)), rng.normal(size=(2, 1)), axis=-1
            ),
        ],
    ),
    linear(
        join,
        kind="movement",
        infer=joined_flat,
        transpose=parted,
        sympy=ITSELF,
        ball=ITSELF,
        native=parted,
        batch=lambda size, lead=0: {"lead": lead + 1},
        emit="join({operands}, lead={lead})",
        elements="moved",
        sample=lambda rng, shape: [
            sample(rng.normal(size=(2, 3)), rng.normal(size=()), rng.normal(size=2), lead=0),
            sample(*rng.normal(size=3), lead=0),
            sample(rng.normal(size=(2, 3)), rng.normal(size=2), lead=1),
        ],
    ),
)
