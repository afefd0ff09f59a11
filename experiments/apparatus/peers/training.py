"""One step of training in each library: loss, gradient, and new parameters by gradient descent.

What flows: the sizes of a network and of its minibatch -> for each contestant that is installed a
step, which gives back the loss, and what says which parameters the step has left. Parameters stay
in each library's own arrays; all start from the same, on the same minibatch.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

import difflab
from apparatus.peers import functions as own_words
from apparatus.peers.contestants import (
    CONTESTANTS,
    HAND,
    JAX,
    NATIVE,
    NUMPY,
    TORCH,
    jax_words,
    torch_words,
)
from difflab.lab import generator

RATE = 1e-3


class Net(NamedTuple):
    """A network that is trained."""

    sizes: tuple[int, ...]
    batch: int
    dtype: str = "float32"


NETWORKS = {
    "4-16-3, batch 16": Net((4, 16, 3), 16),
    "64-64-10, batch 32": Net((64, 64, 10), 32),
    "64-64-10, batch 32, float64": Net((64, 64, 10), 32, "float64"),
    "784-128-10, batch 128": Net((784, 128, 10), 128),
    "784-512-512-10, batch 128": Net((784, 512, 512, 10), 128),
}


class Trainer(NamedTuple):
    """A step of training, and the parameters that it has left."""

    step: Callable[[], Any]
    parameters: Callable[[], list[Any]]


class Start(NamedTuple):
    """The parameters, layer by layer, and one minibatch."""

    layers: list[tuple[Any, Any]]
    x: Any
    y: Any


def start(name: str) -> Start:
    """What all begin with."""
    sizes, batch, dtype = NETWORKS[name]
    draw = generator("peers", "training", name)
    layers = [
        ((draw.normal(size=(m, n)) / m**0.5).astype(dtype), np.zeros(n, dtype))
        for m, n in itertools.pairwise(sizes)
    ]
    x = draw.normal(size=(batch, sizes[0])).astype(dtype)
    return Start(layers, x, draw.integers(0, sizes[-1], batch))


def descending(gradient: Callable[[Any, Any, Any], Any], begin: Start) -> Trainer:
    """The step that updates NumPy's arrays in place."""
    layers = [(w.copy(), b.copy()) for w, b in begin.layers]

    def step() -> Any:
        value, slopes = gradient(layers, begin.x, begin.y)
        for own, slope in zip(itertools.chain(*layers), itertools.chain(*slopes), strict=True):
            slope *= RATE
            np.subtract(own, slope, out=own)
        return value

    return Trainer(step, lambda: list(itertools.chain(*layers)))


def by_hand(layers: Any, x: Any, y: Any) -> Any:
    """Loss and gradient: backpropagation as textbooks have it."""
    seen = [x]
    for w, b in layers[:-1]:
        x = np.maximum(x @ w + b, 0)
        seen.append(x)
    w, b = layers[-1]
    scores = x @ w + b
    scores -= np.max(scores, 1, keepdims=True)
    share = np.exp(scores)
    total = np.sum(share, 1, keepdims=True)
    rows = np.arange(len(y))
    value = np.mean(np.log(total[:, 0]) - scores[rows, y])
    back = share / total
    back[rows, y] -= 1
    back /= len(y)
    slopes = []
    for number in reversed(range(len(layers))):
        slopes.append((seen[number].T @ back, np.sum(back, 0)))
        if number:
            back = (back @ layers[number][0].T) * (seen[number] > 0)
    return value, slopes[::-1]


def by_jax(begin: Start) -> Trainer:
    """One compiled step that gives its old parameters away."""
    f = jax_words(False).network
    import jax

    def update(layers: Any, x: Any, y: Any) -> Any:
        value, slopes = jax.value_and_grad(f)(layers, x, y)
        return value, jax.tree.map(lambda own, slope: own - RATE * slope, layers, slopes)

    compiled = jax.jit(update, donate_argnums=0)
    x, y = map(jax.device_put, begin[1:])
    held = {"layers": jax.tree.map(jax.numpy.array, begin.layers)}

    def step() -> Any:
        value, held["layers"] = compiled(held["layers"], x, y)
        return float(value)

    return Trainer(step, lambda: [np.asarray(own) for own in jax.tree.leaves(held["layers"])])


def by_torch(begin: Start) -> Trainer:
    """The eager step, with the update written out."""
    f = torch_words().network
    import torch

    layers = [tuple(torch.tensor(own, requires_grad=True) for own in layer)
              for layer in begin.layers]  # fmt: skip
    owns = list(itertools.chain(*layers))
    x, y = map(torch.from_numpy, begin[1:])

    def step() -> Any:
        value = f(layers, x, y)
        slopes = torch.autograd.grad(value, owns)
        with torch.no_grad():
            for own, slope in zip(owns, slopes, strict=True):
                own.sub_(slope, alpha=RATE)
        return value.item()

    return Trainer(step, lambda: [own.detach().numpy() for own in owns])


def by_difflab(engine: str) -> Callable[[Start], Trainer]:
    """The step by a gradient of one engine."""
    return lambda begin: descending(
        difflab.value_and_gradient(own_words.network, engine=engine), begin
    )


TRAINERS: dict[str, Callable[[Start], Trainer]] = {
    NATIVE: by_difflab("native"),
    NUMPY: by_difflab("numpy"),
    JAX: by_jax,
    TORCH: by_torch,
    HAND: lambda begin: descending(by_hand, begin),
}


def trained(names: Iterable[str]) -> list[str]:
    """Of those names, the ones that are here and train."""
    return [name for name in names if name in TRAINERS and CONTESTANTS[name].there]
