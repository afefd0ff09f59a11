"""The programs of the experiment `training_methods`: one update of a network by every method.

What flows: sizes, activation, dtype and method -> the update that `Network.fit` compiles -> a loop
over it, whose parameters can be looked at after every update, and its gradient alone.

The invariant: parameters are those of `Network.fit` of the same seed and minibatches, bit by bit.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from apparatus.learning import TRAINING, examples, perceptron, run_seed
from difflab.accuracy.subject import numbers
from difflab.accuracy.truth import truth
from difflab.engines import compile as compiled
from difflab.ir.tree import flatten, unflatten
from difflab.lab import Case, Row
from difflab.methods import METHODS
from difflab.networks import MinibatchSGD, Network
from difflab.networks.data import Part
from difflab.networks.examples import Minibatches
from difflab.networks.update import Update

Array = np.ndarray
Arrays = Sequence[Array]
Spec = tuple[tuple[int, ...], str, str, int, float]
"""A network's sizes, activation and dtype, the size of minibatches and the learning rate."""


def network(sizes: Sequence[int], activation: str, dtype: str, batch: int, rate: float) -> Network:
    """Fully connected layers, the last a softmax with cross-entropy, trained by plain SGD."""
    net = perceptron(sizes[0], sizes[1:-1], sizes[-1], activation, dtype=dtype)
    net.solver = MinibatchSGD(learning_rate=rate, batch_size=batch)
    return net


def pooled(images: Array, inputs: int) -> Array:
    """Images of 8 x 8 pixels as so many means over squares of pixels."""
    side = round(inputs**0.5)
    squares = images.reshape(-1, side, 8 // side, side, 8 // side)
    return np.ascontiguousarray(squares.mean(axis=(2, 4)).reshape(-1, inputs))


def digits(sizes: Sequence[int], part: str, seed: int) -> tuple[Part, Part]:
    """The digits of as many classes as there are outputs, in as many pixels as inputs."""
    kept = [(own, own.y < sizes[-1]) for own in examples("digits", part, seed)]
    learn, held = (Part(pooled(own.X[few], sizes[0]), own.y[few]) for own, few in kept)
    return learn, held


@dataclass(frozen=True)
class Problem:
    """A network, what it learns from, and where it starts: the same for every method."""

    spec: Spec
    learn: Part
    held: Part
    seed: int

    @classmethod
    def of(cls, case: Case) -> Problem:
        rest = (case[name] for name in ("activation", "dtype", "batch", "rate"))
        parts = digits(case["sizes"], TRAINING, case["seed"])
        return cls((tuple(case["sizes"]), *rest), *parts, run_seed(TRAINING, case["seed"]))

    @functools.cached_property
    def net(self) -> Network:
        return network(*self.spec)

    @property
    def start(self) -> list[Array]:
        return flatten(self.net.initial(self.seed))[0]

    def minibatches(self) -> Minibatches:
        """The minibatches of `Network.fit`."""
        rows = self.net.read(*self.learn)
        return Minibatches(*rows, self.net.solver.batch_size, self.seed)

    def tree(self, arrays: Arrays) -> Any:
        return unflatten(flatten(self.net.parameters)[1], list(arrays))

    def judged(self, arrays: Arrays) -> Row:
        """How good parameters are, on what was learned from and on what was held out."""
        loss = self.net.objective(self.tree(arrays), *self.learn)
        found = self.net.forward(self.tree(arrays), self.held.X)
        accuracy = np.mean(np.argmax(found, axis=1) == self.held.y)
        return {"loss": float(loss), "accuracy": float(accuracy)}

    def truth(self, arrays: Arrays, batch: Arrays) -> list[Array]:
        """The exact gradient of a minibatch's loss: the midpoints of its enclosure in balls."""
        return flatten(truth(self.net.objective, self.tree(arrays), *batch, argnums=0).midpoint)[0]


@functools.cache
def update_of(spec: Spec, method: str) -> Update:
    """The update of a network by a method; derived once for all seeds."""
    net = network(*spec)
    widths = (net.inputs, net.last.units)
    like = [np.zeros((net.solver.batch_size, width), net.dtype) for width in widths]
    return Update(net, METHODS[method], net.parameters, like, engine="numpy")


@functools.cache
def gradient_of(update: Update) -> Callable[..., list[Array]]:
    """The gradient alone that an update follows: arrays and a minibatch in, gradients out."""
    derivation = update.derivation
    run = derivation.run if derivation.graph is None else compiled(derivation.graph, "numpy")
    return lambda *given: list(run(*given)[1:])


def path(problem: Problem, method: str, updates: int) -> Iterator[list[Array]]:
    """The parameters before the first update, and after every one."""
    arrays, batches = problem.start, problem.minibatches()
    update, memory = update_of(problem.spec, method), problem.net.solver.memory(arrays)
    yield arrays
    for number in range(1, updates + 1):
        with np.errstate(all="ignore"):
            _, _, arrays, memory = update(arrays, batches.take(number), memory, number)
        yield arrays


def apart(arrays: Arrays, others: Arrays, start: Arrays) -> float:
    """The largest difference of a parameter, relative to the farthest that one has gone.

    >>> apart([np.array([1.0, 2.5])], [np.array([1.0, 2.0])], [np.array([1.0, 1.0])])
    0.5
    """
    there = numbers(others)
    gone = np.max(np.abs(there - numbers(start)))
    return float(np.max(np.abs(numbers(arrays) - there)) / gone)


def angle(left: Arrays, right: Arrays) -> float:
    """The angle between two gradients, in radians, without cancellation for small ones.

    >>> angle([np.array([1.0, 0.0])], [np.array([1.0, 1e-12])])
    1e-12
    """
    p, q = (side / np.linalg.norm(side) for side in map(numbers, (left, right)))
    return float(2.0 * np.arctan2(np.linalg.norm(p - q), np.linalg.norm(p + q)))
