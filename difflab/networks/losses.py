"""Losses: how far the outputs are from the targets, a number an instance; and the L2 penalty.

What flows: the last layer's pre-activations a (the logits) and targets y, one row an instance. The
invariant: where the last activation is a sigmoid or softmax the cross-entropy is computed from the
logits in one stable form, so that no probability underflows on the way.

>>> import numpy as np
>>> logits, targets = np.array([[-800.0, 0.0]]), np.array([[1.0, 0.0]])
>>> CrossEntropy().each(logits, targets, Layer(3, 2, "softmax"))
array([800.])
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import InitVar, dataclass, field
from typing import Any, Final

import numpy as np

from difflab.errors import ArgumentError
from difflab.networks.layers import Layer, Parameters
from difflab.table.special import log_softmax, sigmoid, softmax, softplus


@dataclass(frozen=True)
class Loss:
    """What losses have in common: the mean over instances, and l2/2 times the sum of W^2.

    Parameters
    ----------
    l2
        The weight of the penalty. Biases are not penalised.
    C
        The lecture's spelling, ``l2 = 1 / C``; one or the other.
    """

    l2: float = 0.0
    C: InitVar[float | None] = field(default=None, kw_only=True)

    def __post_init__(self, C: float | None) -> None:
        if C is not None:
            if self.l2 or not C > 0.0:
                raise ArgumentError(f"C={C!r} with l2={self.l2!r}", "give one, C above 0")
            object.__setattr__(self, "l2", 1.0 / C)
        if not 0.0 <= self.l2 < np.inf:
            raise ArgumentError(f"l2={self.l2!r}", "give a finite number from 0")

    def each(self, logits: Any, targets: Any, last: Layer) -> Any:
        """The loss of every instance."""
        raise NotImplementedError

    def check(self, last: Layer) -> None:
        """Raise where the last layer does not go with the loss."""

    def mean(self, logits: Any, targets: Any, last: Layer) -> Any:
        """The loss over instances."""
        return np.mean(self.each(logits, targets, last))

    def penalty(self, parameters: Parameters) -> Any:
        """l2/2 times the sum of the squares of all weights."""
        return 0.5 * self.l2 * sum(np.sum(own["W"] ** 2) for own in parameters)


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """-sum y log p with p = softmax(a), or a binary cross-entropy for each sigmoid output.

    Parameters
    ----------
    fused
        From the logits: ``-a_y + log sum exp(a)``, and ``y softplus(-a) + (1 - y) softplus(a)``.
        Otherwise the textbook form, the logarithm of a probability: it is here to be compared,
        and gives NaN or infinity once a probability underflows.

    Examples
    --------
    >>> CrossEntropy(C=100.0)
    CrossEntropy(l2=0.01, fused=True)
    """

    fused: bool = True

    def check(self, last: Layer) -> None:
        """Cross-entropy needs probabilities."""
        if last.activation not in _CROSS_ENTROPIES:
            raise ArgumentError(
                f"cross-entropy of a last layer with the activation {last.activation!r}",
                "it needs probabilities: make the last layer softmax (one class of many) or"
                " sigmoid (each output apart), or use SquaredError()",
            )
        if last.activation == "softmax" and last.units == 1:
            raise ArgumentError("a softmax of one unit is always 1", "use sigmoid, or two units")

    def each(self, logits: Any, targets: Any, last: Layer) -> Any:
        """The cross-entropy of every instance."""
        self.check(last)
        fused, naive = _CROSS_ENTROPIES[last.activation]
        return np.sum((fused if self.fused else naive)(logits, targets), axis=-1)


@dataclass(frozen=True)
class SquaredError(Loss):
    """1/2 ||y - h||^2, with the last layer's activations h."""

    def each(self, logits: Any, targets: Any, last: Layer) -> Any:
        """Half the squared distance of every instance."""
        return 0.5 * np.sum((last.activate(logits) - targets) ** 2, axis=-1)


def _binary(a: Any, y: Any) -> Any:
    """-y log s(a) - (1 - y) log(1 - s(a)), without cancellation on either side."""
    return y * softplus(-a) + (1.0 - y) * softplus(a)


def _naive_binary(a: Any, y: Any) -> Any:
    p = sigmoid(a)
    return -y * np.log(p) - (1.0 - y) * np.log(1.0 - p)


def _categorical(a: Any, y: Any) -> Any:
    return -y * log_softmax(a)


def _naive_categorical(a: Any, y: Any) -> Any:
    return -y * np.log(softmax(a))


Elements = Callable[[Any, Any], Any]
_CROSS_ENTROPIES: Final[dict[str, tuple[Elements, Elements]]] = {
    "sigmoid": (_binary, _naive_binary),
    "softmax": (_categorical, _naive_categorical),
}
LOSSES: Final[dict[str, type[Loss]]] = {"CrossEntropy": CrossEntropy, "SquaredError": SquaredError}
