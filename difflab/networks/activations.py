"""The table of activations: a row holds every fact of one.

What flows: a name and options choose a row; its function makes activations of pre-activations. The
invariant: functions are plain NumPy, so that whatever differentiates a function differentiates
them, and keep the dtype of what they get; nobody else asks for an activation by its name.

>>> ACTIVATIONS["leaky_relu"].chosen("leaky_relu", {"alpha": 0.5})
{'alpha': 0.5}
>>> ACTIVATIONS["leaky_relu"].function(np.array([-2.0, 3.0]), alpha=0.5)
array([-1.,  3.])
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from difflab.errors import UnknownNameError
from difflab.networks.options import FINITE, Numbers
from difflab.table.special import leaky_relu, log_softmax, relu, sigmoid, softmax, softplus

Elements = Callable[[Any, Any], Any]
"""From pre-activations and targets to the terms of a cross-entropy."""


@dataclass(frozen=True, slots=True)
class Probabilities:
    """What is known of activations that are probabilities."""

    meaning: str
    fused: Elements
    """The cross-entropy from the logits, in a stable form: no probability underflows on the way."""
    naive: Elements
    """The textbook form, the logarithm of a probability."""
    exclusive: bool = False
    """Whether those of an instance sum to 1."""


@dataclass(frozen=True, slots=True)
class Option:
    """An option of an activation: its default, and what it may be."""

    default: float
    numbers: Numbers = FINITE


@dataclass(frozen=True, slots=True)
class Activation:
    """A row of the table of activations."""

    function: Callable[..., Any]
    """Of pre-activations, and of the options by their names."""
    initialiser: str
    """What keeps the variance from layer to layer with this activation."""
    steepest: float | None = None
    """The largest derivative; None where the activation is not elementwise."""
    options: Mapping[str, Option] = field(default_factory=dict)
    probabilities: Probabilities | None = None

    def chosen(self, name: str, given: Mapping[str, Any]) -> dict[str, float]:
        """Every option's value, given or by default; those of other activations are left out."""
        known = {option: own for row in ACTIVATIONS.values() for option, own in row.options.items()}
        for option, value in given.items():
            if option not in known:
                raise UnknownNameError(f"option of {name}", option, known)
            known[option].numbers.checked(option, value, "a layer")
        return {
            option: float(own.numbers.checked(option, given.get(option, own.default), "a layer"))
            for option, own in self.options.items()
        }


def step(x: Any) -> Any:
    """1 where x > 0, else 0: its derivative is 0 everywhere, so that no gradient passes."""
    return (x > 0).astype(x.dtype)


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


_EACH = Probabilities("each output apart", _binary, _naive_binary)
_ONE = Probabilities("one class of many", _categorical, _naive_categorical, exclusive=True)

ACTIVATIONS: Final = {
    "identity": Activation(lambda x: x, "glorot", 1.0),
    "step": Activation(step, "glorot", 0.0),
    "sigmoid": Activation(sigmoid, "glorot", 0.25, probabilities=_EACH),
    "tanh": Activation(np.tanh, "glorot", 1.0),
    "relu": Activation(relu, "he", 1.0),
    "leaky_relu": Activation(leaky_relu, "he", 1.0, {"alpha": Option(0.01)}),
    "softplus": Activation(softplus, "he", 1.0),
    "softsign": Activation(lambda x: x / (1.0 + np.abs(x)), "glorot", 1.0),
    "softmax": Activation(softmax, "glorot", probabilities=_ONE),
}
