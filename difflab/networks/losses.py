"""Losses: how far the outputs are from the targets, a number an instance; and the L2 penalty.

What flows: the last layer's pre-activations a (the logits) and targets y, one row an instance. The
invariant: where the last activations are probabilities the cross-entropy is computed from the
logits in one stable form, so that no probability underflows on the way.

>>> import numpy as np
>>> logits, targets = np.array([[-800.0, 0.0]]), np.array([[1.0, 0.0]])
>>> CrossEntropy().each(logits, targets, Layer(3, 2, "softmax"))
array([800.])
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field
from typing import Any, ClassVar, Final

import numpy as np

from difflab.errors import ArgumentError
from difflab.networks.activations import ACTIVATIONS, Probabilities
from difflab.networks.layers import Layer, Parameters
from difflab.networks.options import FLAG, NOT_NEGATIVE, check, option


@dataclass(frozen=True)
class Loss:
    """What losses have in common: the mean over instances, and l2/2 times the sum of W^2.

    Parameters
    ----------
    l2 : the weight of the penalty. Biases are not penalised.
    C : the lecture's spelling, ``l2 = 1 / C``; one or the other.
    """

    l2: float = option(NOT_NEGATIVE, 0.0)
    C: InitVar[float | None] = field(default=None, kw_only=True)

    of_probabilities: ClassVar[bool] = False
    """Whether outputs and targets have to be probabilities."""

    def __post_init__(self, C: float | None) -> None:
        if C is not None:
            if self.l2 or not C > 0.0:
                raise ArgumentError(f"C={C!r} with l2={self.l2!r}", "give one, C above 0")
            object.__setattr__(self, "l2", 1.0 / C)
        check(self)

    @property
    def steadier(self) -> str:
        """What to use instead where it is not finite though the outputs are; or nothing."""
        return ""

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
    fused : from the logits: ``-a_y + log sum exp(a)``, and
        ``y softplus(-a) + (1 - y) softplus(a)``. Otherwise the textbook form, the logarithm of a
        probability: it is here to be compared, and gives NaN or infinity once one underflows.

    Examples
    --------
    >>> CrossEntropy(C=100.0)
    CrossEntropy(l2=0.01, fused=True)
    """

    fused: bool = option(FLAG, True)
    of_probabilities: ClassVar[bool] = True

    @property
    def steadier(self) -> str:
        """The stable form."""
        return "" if self.fused else "CrossEntropy(fused=True)"

    def check(self, last: Layer) -> None:
        """Cross-entropy needs probabilities."""
        _probabilities(last)

    def each(self, logits: Any, targets: Any, last: Layer) -> Any:
        """The cross-entropy of every instance."""
        outputs = _probabilities(last)
        return np.sum((outputs.fused if self.fused else outputs.naive)(logits, targets), axis=-1)


@dataclass(frozen=True)
class SquaredError(Loss):
    """1/2 ||y - h||^2, with the last layer's activations h."""

    def each(self, logits: Any, targets: Any, last: Layer) -> Any:
        """Half the squared distance of every instance."""
        return 0.5 * np.sum((last.activate(logits) - targets) ** 2, axis=-1)


def _probabilities(last: Layer) -> Probabilities:
    found = {name: row.probabilities for name, row in ACTIVATIONS.items() if row.probabilities}
    own = last.row.probabilities
    if own is None:
        known = " or ".join(f"{name} ({outputs.meaning})" for name, outputs in found.items())
        raise ArgumentError(
            f"cross-entropy of a last layer with the activation {last.activation!r}",
            f"it needs probabilities: make the last layer {known}, or use SquaredError()",
        )
    if own.exclusive and last.units == 1:
        other = " or ".join(name for name, outputs in found.items() if not outputs.exclusive)
        raise ArgumentError(
            f"a {last.activation} of one unit is always 1", f"use {other}, or two units"
        )
    return own


LOSSES: Final[dict[str, type[Loss]]] = {
    kind.__name__: kind for kind in (CrossEntropy, SquaredError)
}
