"""Solvers: from parameters and their gradient to the next parameters.

What flows: lists of arrays, and for each array the solver's memory of it (a tuple of arrays). The
invariant: a step is a plain NumPy function of parameters p, gradient g, memory, learning rate r and
the number of the step, so that it becomes part of the same program as the loss and its gradient.

>>> import numpy as np
>>> solver = Momentum(momentum=0.5)
>>> p, memory = [np.array([1.0])], solver.memory([np.array([1.0])])
>>> for number in (1, 2):
...     p, memory = solver.step(p, [np.array([1.0])], memory, 0.1, number)
...     print(p[0])
[0.9]
[0.75]
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import numpy as np

from difflab.errors import UnknownNameError
from difflab.ir.brief import brief
from difflab.networks.options import COUNT, NOT_NEGATIVE, POSITIVE, SHARE, check, option

Memory = list[tuple[Any, ...]]

SCHEDULES: Final[dict[str, Callable[[float], float]]] = {
    "constant": lambda done: 1.0,
    "linear": lambda done: 1.0 - done,
    "cosine": lambda done: 0.5 + 0.5 * math.cos(math.pi * done),
}
"""The learning rate, as a share of the full one, by the share of the run that is done; the cosine
is that of Loshchilov & Hutter 2017, without restarts."""


@dataclass(frozen=True, repr=False)
class Solver:
    """What solvers have in common.

    Parameters
    ----------
    learning_rate : the length of a step, in units of the gradient.
    batch_size : instances in a minibatch (all of them, where there are fewer).
    epochs : how often every instance is used.
    dropout : the probability with which a hidden unit is left out of an update; the others grow by
        1 / (1 - dropout) meanwhile (inverted dropout).
    input_dropout : the same for the inputs.
    schedule : how the learning rate falls over the run: "constant", or "linear" or "cosine" towards
        0.
    """

    learning_rate: float = option(POSITIVE, 0.1)
    batch_size: int = option(COUNT, 32)
    epochs: int = option(COUNT, 20)
    dropout: float = option(SHARE, 0.0)
    input_dropout: float = option(SHARE, 0.0, kw_only=True)
    schedule: str = field(default="constant", kw_only=True)

    remembered: ClassVar[int] = 0
    """How many arrays the solver keeps for each array of parameters."""

    def __post_init__(self) -> None:
        check(self, type(self).__name__)
        if self.schedule not in SCHEDULES:
            raise UnknownNameError("schedule", self.schedule, SCHEDULES)

    __repr__ = brief

    def rate(self, number: int, total: int) -> float:
        """The learning rate of an update, of so many altogether; updates are numbered from 1.

        >>> solver = MinibatchSGD(learning_rate=0.5, schedule="linear")
        >>> [solver.rate(number, total=4) for number in (1, 2, 3, 4)]
        [0.5, 0.375, 0.25, 0.125]
        """
        return self.learning_rate * SCHEDULES[self.schedule]((number - 1) / total)

    @property
    def constant(self) -> bool:
        """Whether the learning rate is the same however long the run is."""
        return self.rate(2, total=2) == self.learning_rate

    def memory(self, parameters: Sequence[Any]) -> Memory:
        """What is remembered before the first step: zeros."""
        return [tuple(np.zeros_like(p) for _ in range(self.remembered)) for p in parameters]

    def step(
        self, parameters: Sequence[Any], gradient: Sequence[Any], memory: Memory, rate: Any,
        number: Any,
    ) -> tuple[list[Any], Memory]:  # fmt: skip
        """The next parameters and memory; steps are numbered from 1."""
        moved = [
            self.rule(p, g, *own, rate=rate, number=number)
            for p, g, own in zip(parameters, gradient, memory, strict=True)
        ]
        return [p for p, *_ in moved], [tuple(own) for _, *own in moved]

    def rule(self, p: Any, g: Any, *memory: Any, rate: Any, number: Any) -> tuple[Any, ...]:
        """The next p, followed by what is remembered."""
        raise NotImplementedError


@dataclass(frozen=True, repr=False)
class MinibatchSGD(Solver):
    """Stochastic gradient descent: p <- p - r g."""

    def rule(self, p: Any, g: Any, *memory: Any, rate: Any, number: Any) -> tuple[Any, ...]:
        """A step down the slope."""
        return (p - rate * g,)


@dataclass(frozen=True, repr=False)
class Momentum(Solver):
    """v <- m v - r g, p <- p + v (Polyak 1964)."""

    momentum: float = option(SHARE, 0.9)
    remembered: ClassVar[int] = 1

    def rule(self, p: Any, g: Any, *memory: Any, rate: Any, number: Any) -> tuple[Any, ...]:
        """A step by the velocity."""
        v = self.momentum * memory[0] - rate * g
        return p + v, v


@dataclass(frozen=True, repr=False)
class Nesterov(Momentum):
    """v <- m v - r g, p <- p + m v - r g: the gradient is taken where the velocity leads
    (Nesterov 1983, in the form of Bengio et al. 2013, with p the point looked ahead to).
    """

    def rule(self, p: Any, g: Any, *memory: Any, rate: Any, number: Any) -> tuple[Any, ...]:
        """A step by the velocity that is to come."""
        v = self.momentum * memory[0] - rate * g
        return p + self.momentum * v - rate * g, v


@dataclass(frozen=True, repr=False)
class AdaGrad(Solver):
    """s <- s + g^2, p <- p - r g / (sqrt s + epsilon) (Duchi et al. 2011)."""

    learning_rate: float = option(POSITIVE, 0.05)
    epsilon: float = option(NOT_NEGATIVE, 1e-8)
    remembered: ClassVar[int] = 1

    def rule(self, p: Any, g: Any, *memory: Any, rate: Any, number: Any) -> tuple[Any, ...]:
        """A step that is shorter where gradients have been large."""
        s = memory[0] + g * g
        return p - rate * g / (np.sqrt(s) + self.epsilon), s


@dataclass(frozen=True, repr=False)
class RMSProp(Solver):
    """s <- d s + (1 - d) g^2, p <- p - r g / (sqrt s + epsilon) (Tieleman & Hinton 2012)."""

    learning_rate: float = option(POSITIVE, 1e-3)
    decay: float = option(SHARE, 0.9)
    epsilon: float = option(NOT_NEGATIVE, 1e-8)
    remembered: ClassVar[int] = 1

    def rule(self, p: Any, g: Any, *memory: Any, rate: Any, number: Any) -> tuple[Any, ...]:
        """A step that is shorter where gradients are large of late."""
        s = self.decay * memory[0] + (1.0 - self.decay) * (g * g)
        return p - rate * g / (np.sqrt(s) + self.epsilon), s


@dataclass(frozen=True, repr=False)
class Adam(Solver):
    """m <- b1 m + (1 - b1) g, s <- b2 s + (1 - b2) g^2, both divided by 1 - b^number to be
    unbiased, p <- p - r m / (sqrt s + epsilon) (Kingma & Ba 2015).
    """

    learning_rate: float = option(POSITIVE, 1e-3)
    beta1: float = option(SHARE, 0.9)
    beta2: float = option(SHARE, 0.999)
    epsilon: float = option(NOT_NEGATIVE, 1e-8)
    remembered: ClassVar[int] = 2

    def rule(self, p: Any, g: Any, *memory: Any, rate: Any, number: Any) -> tuple[Any, ...]:
        """A step by the mean gradient in units of its root mean square."""
        m = self.beta1 * memory[0] + (1.0 - self.beta1) * g
        s = self.beta2 * memory[1] + (1.0 - self.beta2) * (g * g)
        mean, square = m / _unbiasing(self.beta1, number), s / _unbiasing(self.beta2, number)
        return p - rate * mean / (np.sqrt(square) + self.epsilon), m, s


def _unbiasing(beta: float, number: Any) -> Any:
    """1 - beta^number, without cancellation."""
    return -np.expm1(number * math.log(beta)) if beta else 1.0


SOLVERS: Final[dict[str, type[Solver]]] = {
    kind.__name__: kind for kind in (MinibatchSGD, Momentum, Nesterov, AdaGrad, RMSProp, Adam)
}
