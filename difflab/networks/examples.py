"""Instances and targets: read once, held out in part, and dealt out in minibatches.

What flows: anything that NumPy makes an array of goes in; float matrices of inputs and of targets,
one row an instance, come out, and then, by the number of an update, its minibatch and its dropout
masks, in arrays that are used again for the next. The invariants: what was read is finite, of the
network's dtype, and fits its first and last layer; and what belongs to an update depends on the
seed and its number alone.

>>> targets(np.array([2, 0]), 3, np.dtype("float64"))
array([[0., 0., 1.],
       [1., 0., 0.]])
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from difflab.errors import ArgumentError, DomainError, ShapeError
from difflab.networks.layers import Array, Layer
from difflab.networks.losses import Loss
from difflab.networks.options import SEED

AT_ONCE: Final = 2**18
"""Bytes of minibatches that are gathered at once: few enough that they stay in a cache."""

# Random numbers -----------------------------------------------------------------------------------

PURPOSES: Final = ("weights", "split", "order", "dropout")


def stream(seed: int, purpose: str, number: int = 0) -> np.random.Generator:
    """The generator for a purpose, which no other disturbs; `number` is of the epoch or update.

    >>> int(stream(0, "order", 3).integers(100)) == int(stream(0, "order", 3).integers(100))
    True
    """
    seed = SEED.checked("seed", seed)
    key = (PURPOSES.index(purpose), number)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


# Reading ------------------------------------------------------------------------------------------


def read_inputs(X: Any, layer: Layer, dtype: np.dtype[Any]) -> Array:
    """The instances, as rows of the network's dtype."""
    found = _floats("X", X, dtype)
    if found.ndim != 2:
        raise ShapeError(
            f"X has shape {found.shape}, but one row an instance is needed",
            "pass X.reshape(1, -1) for one instance, X.reshape(len(X), -1) for images",
        )
    if found.shape[1] != layer.inputs:
        raise ShapeError(
            f"X has {found.shape[1]} columns, but the network has inputs={layer.inputs}",
            f"use Network(inputs={found.shape[1]}), or choose {layer.inputs} columns of X",
        )
    return found


def read_targets(y: Any, count: int, layer: Layer, loss: Loss, dtype: np.dtype[Any]) -> Array:
    """The targets of `count` instances, as rows as wide as the last layer."""
    found = _floats("y", y, dtype)
    if len(found) != count:
        raise ShapeError(f"X has {count} rows, but y has {len(found)}", "give one y for each row")
    if found.ndim > 2 or found.shape[1:] not in ((), (layer.units,)):
        raise ShapeError(
            f"y has shape {found.shape}, but the last layer has {layer.units} units",
            f"pass labels of shape ({count},), or targets of shape ({count}, {layer.units})",
        )
    if found.ndim == 1 and layer.units > 1:
        _check_labels(found, layer.units)
    rows: Array = targets(found, layer.units, dtype)
    if loss.of_probabilities:
        _check_probabilities(rows, layer)
    return rows


def targets(y: Any, units: int, dtype: np.dtype[Any]) -> Any:
    """Labels as unit vectors, one number an instance as a column; plain NumPy, traceable."""
    if y.ndim == 2:
        return y
    column = y[:, None]
    return (column if units == 1 else column == np.arange(units)).astype(dtype)


def _floats(name: str, given: Any, dtype: np.dtype[Any]) -> Array:
    try:
        found = np.asarray(given)
    except ValueError as error:  # rows of different lengths
        raise ShapeError(f"{name} is no array: {error}", "give rows of equal length") from None
    if found.dtype.kind not in "fiub":
        text = "encode classes with np.unique(y, return_inverse=True)[1]"
        raise ArgumentError(
            f"{name} is an array of {found.dtype}; numbers are needed",
            text if name == "y" else "convert it to floats",
        )
    if found.ndim == 0 or found.size == 0:
        raise ShapeError(f"{name} is empty (shape {found.shape})", "give at least one instance")
    with np.errstate(over="ignore"):  # a float32 network may not hold a float64 number
        found = np.ascontiguousarray(found, dtype)
    bad = int(np.count_nonzero(~np.isfinite(found)))
    if bad:
        raise DomainError(
            f"{bad} of {found.size} numbers of {name} are NaN or infinite in {dtype}",
            "leave such rows out, or impute them",
        )
    return found


def _check_labels(labels: Array, units: int) -> None:
    wrong = labels[(labels != np.floor(labels)) | (labels < 0) | (labels >= units)]
    if wrong.size:
        raise DomainError(
            f"y has the label {wrong[0]:g}, but the last layer's {units} units stand for the"
            f" labels 0 to {units - 1}",
            "make the last layer as wide as there are classes, and encode them with"
            " np.unique(y, return_inverse=True)[1]",
        )


def _check_probabilities(rows: Array, layer: Layer) -> None:
    wrong = rows[(rows < 0.0) | (rows > 1.0)]
    if wrong.size:
        raise DomainError(
            f"y has the value {wrong[0]:g}, which is no probability",
            "cross-entropy takes labels, or targets from 0 to 1; use SquaredError() for others",
        )
    outputs = layer.row.probabilities
    if outputs and outputs.exclusive and np.any(np.abs(rows.sum(axis=1) - 1.0) > 1e-3):
        raise DomainError(
            f"the targets of a {layer.activation} do not sum to 1", "divide each row by its sum"
        )


# Examples and minibatches -------------------------------------------------------------------------


class Examples(NamedTuple):
    """Checked instances and targets; the held-out ones are empty where there are none."""

    X: Array
    y: Array
    held_X: Array
    held_y: Array


def digest(arrays: Sequence[Array]) -> str:
    """A short text that differs where shapes or contents do."""
    found = hashlib.sha256(repr([array.shape for array in arrays]).encode())
    for array in arrays:
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def held_out(
    read: Callable[[Any, Any], tuple[Array, Array]], X: Any, y: Any, validation: Any, seed: int
) -> Examples:
    """The data, read, and what is held out of it: a share, a pair (X, y), or None."""
    rows, wanted = read(X, y)
    if validation is None:
        return Examples(rows, wanted, rows[:0], wanted[:0])
    if isinstance(validation, tuple):
        return Examples(rows, wanted, *read(*validation))
    remedy = "give a share between 0 and 1, or a tuple (X, y)"
    if not isinstance(validation, float | np.floating):
        raise ArgumentError(f"validation of type {type(validation).__name__}", remedy)
    count = round(float(validation) * len(rows)) if math.isfinite(validation) else 0
    if not 0 < count < len(rows):
        raise ArgumentError(
            f"validation={validation!r} holds out {count} of {len(rows)} instances", remedy
        )
    held, kept = np.split(stream(seed, "split").permutation(len(rows)), [count])
    return Examples(rows[kept], wanted[kept], rows[held], wanted[held])


class Minibatches:
    """The minibatches of a training set.

    Permutations of all instances follow one another without end and are cut into minibatches of
    one size, so that every instance is used once an epoch and one program fits all updates.

    Parameters
    ----------
    X, y : instances and targets, one row each
    size : instances in a minibatch; all, where there are fewer
    dropout, input_dropout : the probabilities that a hidden unit and an input are left out
    hidden : the width of every hidden layer, where there is dropout

    >>> X, y = np.arange(6.0).reshape(3, 2), np.zeros((3, 1))
    >>> batches = Minibatches(X, y, size=2, seed=0)
    >>> sorted(float(x) for number in (1, 2, 3) for x in batches.take(number)[0][:, 0])
    [0.0, 0.0, 2.0, 2.0, 4.0, 4.0]
    >>> batches.epochs(2), batches.epochs(3)
    (1, 2)
    """

    def __init__(
        self,
        X: Array,
        y: Array,
        size: int,
        seed: int,
        dropout: float = 0.0,
        hidden: Sequence[int] = (),
        input_dropout: float = 0.0,
    ) -> None:
        self.X, self.y, self.seed = X, y, seed
        self.dropout, self.input_dropout = dropout, input_dropout
        self.size = min(size, len(X))
        widths = hidden if dropout else ()
        self._masks = [np.empty((self.size, width), X.dtype) for width in widths]
        self._kept = np.empty((self.size, X.shape[1]), X.dtype) if input_dropout else None
        bytes_ = self.size * (X.itemsize * X.shape[1] + y.itemsize * y.shape[1])
        count = max(1, min(AT_ONCE // bytes_, math.ceil(len(X) / self.size)))
        self._x = np.empty((count, self.size, X.shape[1]), X.dtype)
        self._targets = np.empty((count, self.size, y.shape[1]), y.dtype)
        self._views = [[*pair] for pair in zip(self._x, self._targets, strict=True)]
        self._gathered = -1
        self._order = functools.lru_cache(maxsize=2)(self._permutation)

    def epochs(self, number: int) -> int:
        """How often every instance has been used after that many updates."""
        return number * self.size // len(self.X)

    def end(self, number: int) -> int:
        """The first update after that one with which an epoch ends."""
        return -(-(self.epochs(number) + 1) * len(self.X) // self.size)

    def take(self, number: int) -> list[Array]:
        """Instances, targets and masks of an update; updates are numbered from 1."""
        block, k = divmod(number - 1, len(self._views))
        if block != self._gathered:
            self._gather(block)
        found = self._views[k]
        if not self._masks and self._kept is None:
            return found
        rng = stream(self.seed, "dropout", number)
        for mask in self._masks:
            _draw(rng, mask, self.dropout)
        if self._kept is None:
            return [*found, *self._masks]
        _draw(rng, self._kept, self.input_dropout)
        self._kept *= found[0]
        return [self._kept, found[1], *self._masks]

    def _gather(self, block: int) -> None:
        """The rows of as many updates as are gathered at once."""
        count = len(self._views) * self.size
        epoch, start = divmod(block * count, len(self.X))
        orders = [self._order(epoch)[start:]]
        while (lacking := count - sum(map(len, orders))) > 0:
            epoch += 1
            orders.append(self._order(epoch)[:lacking])
        rows = np.concatenate(orders)[:count].reshape(len(self._views), self.size)
        np.take(self.X, rows, axis=0, out=self._x, mode="clip")
        np.take(self.y, rows, axis=0, out=self._targets, mode="clip")
        self._gathered = block

    def _permutation(self, epoch: int) -> Array:
        return stream(self.seed, "order", epoch).permutation(len(self.X))


def _draw(rng: np.random.Generator, mask: Array, dropout: float) -> None:
    """Fill a mask: 0 with that probability, else what keeps the mean."""
    rng.random(out=mask, dtype=mask.dtype.type)
    np.greater_equal(mask, dropout, out=mask)
    mask /= 1.0 - dropout
