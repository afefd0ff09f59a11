"""Figures of a network under training: how good it is, and how its units are.

What flows: outputs, targets and pre-activations go in, numbers come out, for the rows of the
history. The invariant: slopes are those of difflab's own derivative of the activation.

>>> accuracy(np.array([[0.2, 0.8], [0.6, 0.4]]), np.array([[0.0, 1.0], [0.0, 1.0]]))
0.5
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Final

import numpy as np

from difflab.networks.layers import ACTIVATIONS, Array, Layer, Parameters, pre_activations
from difflab.operators import Derivative, derivative

SATURATED: Final = 0.05
"""A slope below this share of the activation's steepest counts as saturated."""


def labels(rows: Array) -> Array:
    """The most probable class of every row; of one column, whether it is above a half."""
    found: Array = rows[:, 0] > 0.5 if rows.shape[1] == 1 else np.argmax(rows, axis=1)
    return found.astype(np.int64)


def accuracy(outputs: Array, targets: Array) -> float:
    """The share of rows whose class is right."""
    return float(np.mean(labels(outputs) == labels(targets)))


def r2(outputs: Array, targets: Array) -> float:
    """1 - squared error / variance, the mean over columns; 0 where targets do not vary."""
    error = np.mean((targets - outputs) ** 2, axis=0, dtype=np.float64)
    variance = np.var(targets, axis=0, dtype=np.float64)
    varies = variance > 0.0
    missed = np.divide(error, variance, out=np.ones_like(variance), where=varies)
    return float(np.mean(1.0 - missed))


@functools.cache
def _slope(layer: Layer) -> Derivative:
    return derivative(layer.activate)


def units(layers: Sequence[Layer], parameters: Parameters, X: Array) -> dict[str, float]:
    """For each hidden layer the share of saturated slopes, and that of units which are dead:
    whose slope is 0 on every instance, so that they cannot learn.
    """
    found = {}
    before = pre_activations(layers, parameters, X)
    for i, (layer, a) in enumerate(zip(layers[:-1], before[:-1], strict=True), 1):
        steepest = ACTIVATIONS[layer.activation].steepest
        if steepest is None:
            continue
        slopes = np.abs(_slope(layer)(a))
        found[f"saturated_{i}"] = float(np.mean(slopes <= SATURATED * steepest))
        found[f"dead_{i}"] = float(np.mean(~np.any(slopes, axis=0)))
    return found
