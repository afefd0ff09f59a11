"""Layers: a matrix, a bias and an activation, h <- g(h W + b).

What flows: one row an instance goes in, one row of activations comes out. The invariant: layers and
activations are plain NumPy functions, so that whatever differentiates a function differentiates
them, and they keep the dtype of what they get.

>>> import numpy as np
>>> hidden = Layer(2, 3, "relu")
>>> forward([hidden], [{"W": np.ones((2, 3)), "b": np.zeros(3)}], np.array([[1.0, 2.0]]))
array([[3., 3., 3.]])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from difflab.errors import ArgumentError, UnknownNameError
from difflab.networks.options import is_count, is_number
from difflab.table.special import leaky_relu, relu, sigmoid, softmax, softplus

Array = np.ndarray[Any, Any]
Parameters = list[dict[str, Any]]
"""One dictionary a layer: "W" of shape (inputs, units) and "b" of shape (units,)."""


# Activations --------------------------------------------------------------------------------------


def step(x: Any) -> Any:
    """1 where x > 0, else 0: its derivative is 0 everywhere, so that no gradient passes."""
    return (x > 0).astype(x.dtype)


@dataclass(frozen=True, slots=True)
class Activation:
    """A row of the table of activations."""

    function: Callable[..., Any]
    initialiser: str
    """What keeps the variance from layer to layer with this activation."""
    steepest: float | None = None
    """The largest derivative; None where the activation is not elementwise."""


ACTIVATIONS: Final = {
    "identity": Activation(lambda x: x, "glorot", 1.0),
    "step": Activation(step, "glorot", 0.0),
    "sigmoid": Activation(sigmoid, "glorot", 0.25),
    "tanh": Activation(np.tanh, "glorot", 1.0),
    "relu": Activation(relu, "he", 1.0),
    "leaky_relu": Activation(leaky_relu, "he", 1.0),
    "softplus": Activation(softplus, "he", 1.0),
    "softmax": Activation(softmax, "glorot"),
}


# Initialisers -------------------------------------------------------------------------------------

Draw = Callable[[np.random.Generator, tuple[int, int]], Array]


def _bounded(variance: Callable[[int, int], float]) -> Draw:
    """Uniform weights of that variance."""

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
        bound = np.sqrt(3.0 * variance(*shape))
        return rng.uniform(-bound, bound, shape)

    return draw


def _normal(variance: Callable[[int, int], float]) -> Draw:
    """Normal weights of that variance."""
    return lambda rng, shape: rng.normal(0.0, np.sqrt(variance(*shape)), shape)


INITIALISERS: Final[dict[str, Draw]] = {
    "glorot": _bounded(lambda inputs, units: 2.0 / (inputs + units)),
    "he": _normal(lambda inputs, units: 2.0 / inputs),
    "lecun": _normal(lambda inputs, units: 1.0 / inputs),
    "uniform": _bounded(lambda inputs, units: 1.0 / (3.0 * inputs)),
    "normal": _normal(lambda inputs, units: 1e-4),
}
"""Weights with inputs n and units m: Glorot & Bengio 2010 (uniform, variance 2/(n + m)), He et al.
2015 (normal, 2/n), LeCun et al. 1998 (normal, 1/n), U(+-1/sqrt n), and a plain N(0, 0.01^2)."""


# Layers -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Layer:
    """A fully connected layer; an initialiser of "" is the activation's own."""

    inputs: int
    units: int
    activation: str = "relu"
    initialiser: str = ""
    alpha: float = 0.01
    """The slope of leaky_relu below 0."""

    def __post_init__(self) -> None:
        for name, count in (("inputs", self.inputs), ("units", self.units)):
            if not is_count(count):
                raise ArgumentError(f"a layer with {name}={count!r}", "give a whole number from 1")
            object.__setattr__(self, name, int(count))
        if self.activation not in ACTIVATIONS:
            raise UnknownNameError("activation", self.activation, ACTIVATIONS)
        if not (is_number(self.alpha) and np.isfinite(self.alpha)):
            raise ArgumentError(f"a layer with alpha={self.alpha!r}", "give a finite number")
        object.__setattr__(self, "alpha", float(self.alpha))
        chosen = self.initialiser or ACTIVATIONS[self.activation].initialiser
        if chosen not in INITIALISERS:
            raise UnknownNameError("initialiser", chosen, INITIALISERS)
        object.__setattr__(self, "initialiser", chosen)

    def __str__(self) -> str:
        alpha = f"({self.alpha:g})" if self.activation == "leaky_relu" else ""
        return f"{self.activation}{alpha}"

    @property
    def size(self) -> int:
        """How many parameters it has."""
        return (self.inputs + 1) * self.units

    def initial(self, rng: np.random.Generator, dtype: np.dtype[Any]) -> dict[str, Array]:
        """Drawn weights, and biases of zero."""
        weights = INITIALISERS[self.initialiser](rng, (self.inputs, self.units))
        return {"W": weights.astype(dtype), "b": np.zeros(self.units, dtype)}

    def activate(self, a: Any) -> Any:
        """g(a)."""
        function = ACTIVATIONS[self.activation].function
        return function(a, self.alpha) if self.activation == "leaky_relu" else function(a)


def pre_activations(
    layers: Sequence[Layer], parameters: Parameters, x: Any, masks: Sequence[Any] = ()
) -> list[Any]:
    """a = h W + b of every layer; a mask, where there are any, multiplies a hidden layer's h."""
    found: list[Any] = []
    for i, (layer, own) in enumerate(zip(layers, parameters, strict=True)):
        found.append(x @ own["W"] + own["b"])
        if i < len(layers) - 1:
            x = layer.activate(found[-1])
            x = x * masks[i] if masks else x
    return found


def forward(layers: Sequence[Layer], parameters: Parameters, x: Any) -> Any:
    """The last layer's activations."""
    return layers[-1].activate(pre_activations(layers, parameters, x)[-1])
