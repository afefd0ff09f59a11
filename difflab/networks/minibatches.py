"""Minibatches: which instances, and which dropout masks, belong to an update.

What flows: the number of an update goes in; its instances, targets and masks come out, in arrays
that are used again for the next. The invariant: they depend on the seed and that number alone.

Permutations of all instances follow one another without end and are cut into minibatches of one
size, so that every instance is used once an epoch and one program fits all updates.

>>> X, y = np.arange(6.0).reshape(3, 2), np.zeros((3, 1))
>>> batches = Minibatches(X, y, size=2, seed=0)
>>> sorted(float(x) for number in (1, 2, 3) for x in batches.take(number)[0][:, 0])
[0.0, 0.0, 2.0, 2.0, 4.0, 4.0]
>>> batches.epochs(2), batches.epochs(3)
(1, 2)
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from difflab.networks.layers import Array
from difflab.networks.streams import stream


class Minibatches:
    """The minibatches of a training set.

    Parameters
    ----------
    X, y
        Instances and targets, one row each.
    size
        Instances in a minibatch; all, where there are fewer.
    dropout
        The probability that a unit is left out.
    hidden
        The width of every hidden layer, where there is dropout.
    input_dropout
        The probability that an input is left out.
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
        self._x = np.empty((self.size, X.shape[1]), X.dtype)
        self._targets = np.empty((self.size, y.shape[1]), y.dtype)
        widths = hidden if dropout else ()
        self._masks = [np.empty((self.size, width), X.dtype) for width in widths]
        self._kept = np.empty_like(self._x) if input_dropout else None
        self._order = functools.lru_cache(maxsize=2)(self._permutation)

    def epochs(self, number: int) -> int:
        """How often every instance has been used after that many updates."""
        return number * self.size // len(self.X)

    def take(self, number: int) -> list[Array]:
        """Instances, targets and masks of an update; updates are numbered from 1."""
        rows = self._rows(number)
        np.take(self.X, rows, axis=0, out=self._x, mode="clip")
        np.take(self.y, rows, axis=0, out=self._targets, mode="clip")
        if self._masks or self._kept is not None:
            rng = stream(self.seed, "dropout", number)
            for mask in self._masks:
                _draw(rng, mask, self.dropout)
            if self._kept is not None:
                _draw(rng, self._kept, self.input_dropout)
                self._x *= self._kept
        return [self._x, self._targets, *self._masks]

    def _rows(self, number: int) -> Array:
        epoch, start = divmod((number - 1) * self.size, len(self.X))
        rows = self._order(epoch)[start : start + self.size]
        if len(rows) == self.size:
            return rows
        return np.concatenate([rows, self._order(epoch + 1)[: self.size - len(rows)]])

    def _permutation(self, epoch: int) -> Array:
        return stream(self.seed, "order", epoch).permutation(len(self.X))


def _draw(rng: np.random.Generator, mask: Array, dropout: float) -> None:
    """Fill a mask: 0 with that probability, else what keeps the mean."""
    rng.random(out=mask, dtype=mask.dtype.type)
    np.greater_equal(mask, dropout, out=mask)
    mask /= 1.0 - dropout
