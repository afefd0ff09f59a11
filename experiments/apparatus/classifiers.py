"""Classifiers on real data: what the experiments `losses` and `regularisation` share.

What flows: a network trained by `learning.train` -> its probabilities on held-out instances -> the
calibration error beside its last row. The invariant: an instance's probabilities add to 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from apparatus.learning import TRAINING, TUNING, perceptron, train
from difflab.lab import Case, Row
from difflab.networks import Network, load
from difflab.networks.data import Part

BINS = 15
"""Of the expected calibration error, as in Guo et al. 2017."""
CURVE = 12
"""At most so many rows of a run are kept, ever farther apart."""


def network(
    data: str, hidden: Sequence[int], head: str, loss: Any, dtype: str = "float64"
) -> Network:
    """A network with ReLUs from features to classes: of two classes, one unit stands for both."""
    known = load(data)
    outputs = known.classes if known.classes > 2 else 1
    net = perceptron(known.X.shape[1], hidden, outputs, head=head, dtype=dtype)
    net.loss = loss
    return net


def trained(
    net: Network, data: tuple[Part, Part], case: Case, looks: int = 24, **options: Any
) -> Iterator[Row]:
    """The rows of `train`, thinned; the last one also has the calibration error `ece` on the
    held-out part: NaN where the run diverged.
    """
    options |= {name: case[name] for name in ("seed", "rate", "updates")}
    part, often = TUNING if case["part"] == TUNING else TRAINING, max(case["updates"] // looks, 1)
    *rows, last = train(net, data, part=part, every=often, **options)
    held, missing = data[1], last["diverged"]
    last["ece"] = np.nan if missing else calibration_error(probabilities(net, held.X), held.y)
    kept = np.unique(np.geomspace(1, max(len(rows), 1), CURVE).astype(int) - 1)
    yield from (rows[place] for place in kept if place < len(rows))
    yield last


def probabilities(net: Network, X: np.ndarray) -> np.ndarray:
    """A probability of every class, whatever the head; those of an instance sum to 1.

    Outputs of linear units are cut to [0, 1] first; where nothing is left all are equally likely.
    """
    found = net.outputs(X)
    if net.last.units == 1:
        found = np.hstack([1.0 - found, found])
    if net.last.activation == "softmax":
        return found
    cut = np.clip(found, 0.0, 1.0)
    cut[cut.sum(axis=1) == 0.0] = 1.0
    return cut / cut.sum(axis=1, keepdims=True)


def calibration_error(probability: np.ndarray, y: np.ndarray, bins: int = BINS) -> float:
    """The expected calibration error: |accuracy - confidence|, averaged over the instances' bins;
    confidence is the probability of the predicted class.

    >>> calibration_error(np.array([[0.9, 0.1], [0.9, 0.1]]), np.array([0, 1]))
    0.4
    """
    confidence = probability.max(axis=1)
    right = probability.argmax(axis=1) == y
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(place, weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(y))
