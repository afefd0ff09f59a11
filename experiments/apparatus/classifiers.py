"""Classifiers on real data: what the experiments `losses` and `regularisation` share.

What flows: a network trained by `learning.train` -> its probabilities on held-out instances -> the
calibration error beside its last row. The invariant: an instance's probabilities add to 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from apparatus.learning import train
from difflab.lab import Result, Row, looks
from difflab.networks import Network, load
from difflab.networks.data import Part

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BINS = 15
"""Of the expected calibration error, as in Guo et al. 2017."""
CURVE = 20
"""At most so many rows of a run are kept, ever farther apart."""


def network(
    data: str, hidden: Sequence[int], head: str, loss: Any, dtype: str = "float64"
) -> Network:
    """A network with ReLUs between a data set's features and its classes.

    Of two classes, one unit stands for both.
    """
    known = load(data)
    net = Network(inputs=known.X.shape[1], dtype=dtype)
    for units in hidden:
        net.fc(units, activation="relu")
    net.fc(known.classes if known.classes > 2 else 1, activation=head)
    net.loss = loss
    return net


def trained(net: Network, data: tuple[Part, Part], **options: Any) -> Iterator[Row]:
    """The rows of `train`, thinned; the last one also has the calibration error `ece` on the
    held-out part: NaN where the run diverged.
    """
    *rows, last = train(net, data, **options)
    held, missing = data[1], last["diverged"]
    last["ece"] = np.nan if missing else calibration_error(probabilities(net, held.X), held.y)
    kept = np.unique(np.geomspace(1, max(len(rows), 1), CURVE).astype(int) - 1)
    yield from (rows[place] for place in kept if place < len(rows))
    yield last


# Calibration --------------------------------------------------------------------------------------


def probabilities(net: Network, X: np.ndarray) -> np.ndarray:
    """A probability of every class, whatever the head; those of an instance sum to 1.

    Outputs of sigmoids are divided by their sum; those of linear units are cut to [0, 1] first, and
    where nothing is left all classes are equally likely.
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
    """The expected calibration error: |accuracy - confidence|, averaged over the instances' bins.

    Confidence is the probability of the predicted class; bins are equally wide.

    >>> calibration_error(np.array([[0.9, 0.1], [0.9, 0.1]]), np.array([0, 1]))
    0.4
    """
    confidence = probability.max(axis=1)
    right = probability.argmax(axis=1) == y
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(place, weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(y))


# Drawing ------------------------------------------------------------------------------------------


def draw_parts(axes: Axes, found: Mapping[str, Result]) -> None:
    """Dots with intervals, a line for each data set and a colour for each result."""
    names = list(dict.fromkeys(part.name for result in found.values() for part in result.parts))
    for shift, (label, result) in zip(np.linspace(-0.2, 0.2, len(found)), found.items()):
        known = [part for part in result.parts if part.interval]
        ends = np.array([part.interval[:3] for part in known if part.interval]).reshape(-1, 3).T
        places = [names.index(part.name) + shift for part in known]
        look = {**looks(found)[label], "linestyle": "none"}
        axes.errorbar(ends[0], places, xerr=abs(ends[1:] - ends[0]), label=label, **look)
    axes.axvline(float(next(iter(found.values())).logarithmic), color="black", linewidth=1)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
