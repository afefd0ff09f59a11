"""What is timed beside peers: functions at a size, with their arguments.

What flows: a name and a size -> a `Workload`, whose arrays are drawn from a seed made of both, so
that every run and every process times the same numbers. Each contestant makes value and gradient
by the first `wrt` arguments; of a workload with directions, the product of the Hessian with them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from difflab.lab import generator

TRAINING = "training"


@dataclass(frozen=True)
class Workload:
    """A function, told by its name in functions.py, at a point."""

    name: str
    size: int
    function: str
    args: tuple[Any, ...]
    wrt: int = 1
    steps: int | None = None
    direction: Any = None

    def f(self, words: ModuleType) -> Callable[..., Any]:
        """The function in the words of one library."""
        made: Callable[..., Any] = getattr(words, self.function)
        if self.steps is None:
            return made
        steps = self.steps
        return lambda *args: made(*args, steps)


def rosenbrock(n: int, draw: np.random.Generator) -> Workload:
    return Workload("Rosenbrock", n, "rosenbrock", (draw.uniform(-1.0, 1.0, n),))


def product(n: int, draw: np.random.Generator) -> Workload:
    x, direction = draw.uniform(-1.0, 1.0, (2, n))
    return Workload("Hessian product", n, "rosenbrock", (x,), direction=direction)


def helmholtz(n: int, draw: np.random.Generator) -> Workload:
    a = draw.uniform(0.5, 1.5, (n, n))
    args = draw.uniform(0.1, 0.6, n), (a + a.T) / 2, draw.uniform(0.5, 1.5, n) / n
    return Workload("Helmholtz", n, "helmholtz", args)


def logistic(n: int, draw: np.random.Generator, features: int = 50) -> Workload:
    labels = np.where(draw.random(n) < 0.5, -1.0, 1.0)
    args = draw.normal(size=features) / 7, draw.normal(size=(n, features)), labels
    return Workload("logistic regression", n, "logistic", args)


def mixture(n: int, draw: np.random.Generator, many: int = 25, dimensions: int = 10) -> Workload:
    args = (
        draw.normal(size=many),
        draw.normal(size=(many, dimensions)),
        0.1 * draw.normal(size=(many, dimensions)),
        draw.normal(size=(n, dimensions)),
    )
    return Workload("Gaussian mixture", n, "mixture", args, wrt=3)


def chain(n: int, draw: np.random.Generator) -> Workload:
    return Workload("softplus chain", n, "chain", (draw.normal(size=n),))


def lstm(n: int, draw: np.random.Generator, batch: int = 16) -> Workload:
    args = (
        draw.normal(size=(n, 4 * n)) / n**0.5,
        draw.normal(size=(n, 4 * n)) / n**0.5,
        draw.normal(size=4 * n),
        *draw.normal(size=(3, batch, n)),
    )
    return Workload("LSTM cell", n, "lstm", args, wrt=3)


def attention(n: int, draw: np.random.Generator, width: int = 32) -> Workload:
    args = *(draw.normal(size=(3, width, width)) / width**0.5), draw.normal(size=(n, width))
    return Workload("attention", n, "attention", args, wrt=3)


def bodies(n: int, draw: np.random.Generator) -> Workload:
    args = draw.normal(size=(n, 3)), draw.uniform(0.5, 1.5, n)
    return Workload("bodies", n, "bodies", args)


def pendulums(steps: int, draw: np.random.Generator, many: int = 8) -> Workload:
    args = draw.normal(size=many), draw.uniform(0.5, 2.0, many)
    return Workload("Runge-Kutta", steps, "pendulums", args, wrt=2, steps=steps)


MAKERS = {
    "Rosenbrock": rosenbrock,
    "Helmholtz": helmholtz,
    "logistic regression": logistic,
    "Gaussian mixture": mixture,
    "softplus chain": chain,
    "LSTM cell": lstm,
    "attention": attention,
    "bodies": bodies,
    "Runge-Kutta": pendulums,
    "Hessian product": product,
}
SIZES = {
    "Rosenbrock": "variables",
    "Helmholtz": "substances",
    "logistic regression": "instances of 50 features",
    "Gaussian mixture": "points in 10 dimensions, 25 components",
    "softplus chain": "variables, 20 functions deep",
    "LSTM cell": "units, batch of 16",
    "attention": "tokens of 32 numbers",
    "bodies": "bodies",
    "Runge-Kutta": "steps of 8 pendulums",
    "Hessian product": "variables of Rosenbrock's function",
}
"""What a size counts."""


def workload(name: str, size: int) -> Workload:
    """The workload of that name and size."""
    return MAKERS[name](size, generator("peers", name, size))
