"""Metrics of a network under training: how good it is, and how its units are.

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

from difflab.networks.layers import Array, Layer, Parameters, pre_activations
from difflab.operators import derivative
from difflab.operators.operators import Derivative

SATURATED: Final = 0.05
"""A slope below this share of the activation's steepest counts as saturated."""
BLOCK: Final = 256
"""Instances looked at together: few enough that what they need stays in the processor's cache."""


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


def survey(
    layers: Sequence[Layer], parameters: Parameters, X: Array
) -> tuple[Array, dict[str, float]]:
    """The outputs; and for each hidden layer the share of saturated slopes, and that of units which
    are dead: whose slope is 0 on every instance, so that they cannot learn.
    """
    hidden = list(enumerate(layers[:-1]))
    steepest = {i: x.row.steepest for i, x in hidden if x.row.steepest is not None}
    saturated = dict.fromkeys(steepest, 0)
    alive = {i: np.zeros(layers[i].units, bool) for i in steepest}
    outputs = []
    for start in range(0, len(X), BLOCK):
        before = pre_activations(layers, parameters, X[start : start + BLOCK])
        outputs.append(layers[-1].activate(before[-1]))
        for i, most in steepest.items():
            slopes = np.abs(_slope(layers[i])(before[i]))
            saturated[i] += int(np.count_nonzero(slopes <= SATURATED * most))
            alive[i] |= np.any(slopes, axis=0)
    shares = {}
    for i in steepest:
        shares[f"saturated_{i + 1}"] = saturated[i] / (len(X) * layers[i].units)
        shares[f"dead_{i + 1}"] = float(np.mean(~alive[i]))
    return np.concatenate(outputs), shares
