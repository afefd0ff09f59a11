"""Metrics of a network under training: how good it is, and how its units are.

What flows: outputs, targets and pre-activations go in, numbers come out, for the rows of the
history. The invariant: slopes are those of difflab's own derivative of the activation.

>>> accuracy(np.array([[0.2, 0.8], [0.6, 0.4]]), np.array([[0.0, 1.0], [0.0, 1.0]]))
0.5
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from difflab.networks.layers import Array, Layer, Parameters, pre_activations
from difflab.operators import derivative
from difflab.operators.derivatives import Derivative
from difflab.operators.operators import Compiled

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


@functools.cache
def figures(layers: tuple[Layer, ...]) -> Compiled:
    """Of parameters and instances: the outputs, and of each hidden layer that has slopes, how many
    of an instance's are saturated, and the steepest of every unit.
    """

    def figures(parameters: Any, X: Any) -> Any:
        before = pre_activations(layers, parameters, X)
        slopes = [
            (np.abs(_slope(layers[i])(before[i])), SATURATED * most)
            for i, most in steepest(layers).items()
        ]
        counts = [np.sum(np.where(slope <= most, 1.0, 0.0), axis=1) for slope, most in slopes]
        return layers[-1].activate(before[-1]), counts, [np.max(s, axis=0) for s, _ in slopes]

    return Compiled(figures)


def steepest(layers: Sequence[Layer]) -> dict[int, float]:
    """The steepest slope of every hidden layer that has slopes."""
    hidden = enumerate(layers[:-1])
    return {i: x.row.steepest for i, x in hidden if x.row.steepest is not None}


def survey(
    layers: Sequence[Layer], parameters: Parameters, X: Array
) -> tuple[Array, dict[str, float]]:
    """The outputs; and for each hidden layer the share of saturated slopes, and that of units which
    are dead: whose slope is 0 on every instance, so that they cannot learn.
    """
    program, names = figures(tuple(layers)), steepest(layers)
    saturated = dict.fromkeys(names, 0.0)
    alive = {i: np.zeros(layers[i].units, bool) for i in names}
    outputs = []
    for start in range(0, len(X), BLOCK):
        first = max(0, min(start, len(X) - BLOCK))  # the last block is as long as the others
        found, counts, slopes = program(parameters, X[first : first + BLOCK])
        outputs.append(found[start - first :])
        for i, count, slope in zip(names, counts, slopes, strict=True):
            saturated[i] += float(np.sum(count[start - first :]))
            alive[i] |= slope != 0.0
    shares = {}
    for i in names:
        shares[f"saturated_{i + 1}"] = saturated[i] / (len(X) * layers[i].units)
        shares[f"dead_{i + 1}"] = float(np.mean(~alive[i]))
    return np.concatenate(outputs), shares
