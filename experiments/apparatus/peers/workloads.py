"""What is timed beside peers: functions at a size, with their arguments.

What flows: a name and a size -> a `Workload`, whose arrays are drawn from a seed made of both, so
that every run and process times the same numbers. Each contestant makes value and gradient by the
first `wrt` arguments; of a workload with a direction, the product of the Hessian with it; of a
network, one step of training: the loss and the new parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from types import ModuleType
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from difflab.ir.tree import flatten
from difflab.lab import generator

Draw: TypeAlias = np.random.Generator
PRODUCT, LOOP, TRAINING = "Hessian product", "Runge-Kutta", "training"
NETWORKS: dict[Any, tuple[tuple[int, ...], int, str]] = {
    "4-16-3, batch 16": ((4, 16, 3), 16, "float32"),
    "64-64-10, batch 32": ((64, 64, 10), 32, "float32"),
    "64-64-10, batch 32, float64": ((64, 64, 10), 32, "float64"),
    "784-128-10, batch 128": ((784, 128, 10), 128, "float32"),
    "784-512-512-10, batch 128": ((784, 512, 512, 10), 128, "float32"),
}


class Workload(NamedTuple):
    """A function, told by its name in functions.py, at a point."""

    name: str
    size: int | str
    function: str
    counts: str
    args: tuple[Any, ...]
    wrt: int = 1
    steps: int | None = None
    direction: Any = None

    @property
    def label(self) -> str:
        return f"{self.name}, {self.size if isinstance(self.size, str) else f'{self.size:,}'}"

    @property
    def first(self) -> int | tuple[int, ...]:
        """The number of the argument, or the numbers, that gradients are taken by."""
        return 0 if self.wrt == 1 else tuple(range(self.wrt))

    def f(self, words: ModuleType) -> Callable[..., Any]:
        """The function of its arguments in the words of one library."""
        made: Callable[..., Any] = getattr(words, self.function)
        steps = self.steps
        return made if steps is None else lambda *args: made(*args, steps)


def helmholtz(n: int, draw: Draw) -> tuple[Any, ...]:
    a = draw.uniform(0.5, 1.5, (n, n))
    return draw.uniform(0.1, 0.6, n), (a + a.T) / 2, draw.uniform(0.5, 1.5, n) / n


def logistic(n: int, draw: Draw) -> tuple[Any, ...]:
    labels = np.where(draw.random(n) < 0.5, -1.0, 1.0)
    return draw.normal(size=50) / 7, draw.normal(size=(n, 50)), labels


def mixture(n: int, draw: Draw) -> tuple[Any, ...]:
    weights, means, scales = (draw.normal(size=size) for size in (25, (25, 10), (25, 10)))
    return weights, means, 0.1 * scales, draw.normal(size=(n, 10))


def lstm(n: int, draw: Draw) -> tuple[Any, ...]:
    w, u = (draw.normal(size=(n, 4 * n)) / n**0.5 for _ in range(2))
    return w, u, draw.normal(size=4 * n), *draw.normal(size=(3, 16, n))


def attention(n: int, draw: Draw) -> tuple[Any, ...]:
    return *(draw.normal(size=(3, 32, 32)) / 32**0.5), draw.normal(size=(n, 32))


def training(name: str, draw: Draw) -> tuple[Any, ...]:
    """The parameters, layer by layer, and one minibatch."""
    sizes, batch, dtype = NETWORKS[name]
    weights = [(draw.normal(size=pair) / pair[0] ** 0.5).astype(dtype) for pair in pairwise(sizes)]
    x = draw.normal(size=(batch, sizes[0])).astype(dtype)
    layers = [(w, np.zeros(w.shape[1], dtype)) for w in weights]
    return layers, x, draw.integers(0, sizes[-1], batch)


KINDS: dict[str, tuple[str, str, Callable[[Any, Draw], tuple[Any, ...]], int]] = {
    "Rosenbrock": ("rosenbrock", "variables", lambda n, draw: (draw.uniform(-1.0, 1.0, n),), 1),
    "Helmholtz": ("helmholtz", "substances", helmholtz, 1),
    "logistic regression": ("logistic", "instances of 50 features", logistic, 1),
    "Gaussian mixture": ("mixture", "points in 10 dimensions, 25 components", mixture, 3),
    "softplus chain": ("chain", "variables, 20 functions deep",
                       lambda n, draw: (draw.normal(size=n),), 1),
    "LSTM cell": ("lstm", "units, batch of 16", lstm, 3),
    "attention": ("attention", "tokens of 32 numbers", attention, 3),
    "bodies": ("bodies", "bodies",
               lambda n, draw: (draw.normal(size=(n, 3)), draw.uniform(0.5, 1.5, n)), 1),
    LOOP: ("pendulums", "steps of 8 pendulums",
           lambda n, draw: (draw.normal(size=8), draw.uniform(0.5, 2.0, 8)), 2),
    PRODUCT: ("rosenbrock", "variables of Rosenbrock's function",
              lambda n, draw: tuple(draw.uniform(-1.0, 1.0, (2, n))), 1),
    TRAINING: ("network", "layers and minibatch of a ReLU network", training, 1),
}  # fmt: skip
"""By name: the function, what its size counts, how arguments are drawn, how many are variables."""


def workload(name: str, size: Any) -> Workload:
    """The workload of that name and size."""
    function, counts, draw, wrt = KINDS[name]
    args = draw(size, generator("peers", name, size))
    if name == PRODUCT:
        return Workload(name, size, function, counts, args[:1], direction=args[1])
    return Workload(name, size, function, counts, args, wrt, size if name == LOOP else None)


def arrays(found: Any) -> list[Any]:
    """Copies of all arrays in lists and tuples, one in the other, as NumPy's; None stays."""
    return [None if x is None else np.asarray(x).copy() for x in flatten(found)[0]]


def apart(own: list[Any], other: list[Any]) -> float:
    """The largest difference, relative to the largest component of the array that it is in."""
    return max(
        float(np.max(np.abs(np.subtract(a, b))) / (np.max(np.abs(b)) or 1.0))
        for a, b in zip(own, other, strict=True)
        if a is not None and b is not None
    )
