"""Layers: a matrix, a bias and an activation, h <- g(h W + b).

What flows: one row an instance goes in, one row of activations comes out. The invariant: layers are
plain NumPy functions, so that whatever differentiates a function differentiates them, and they keep
the dtype of what they get.

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

from difflab.errors import UnknownNameError
from difflab.networks.activations import ACTIVATIONS, Activation
from difflab.networks.options import COUNT, check, option

Array = np.ndarray[Any, Any]
Parameters = list[dict[str, Any]]
"""One dictionary a layer: "W" of shape (inputs, units) and "b" of shape (units,)."""


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

    inputs: int = option(COUNT)
    units: int = option(COUNT)
    activation: str = "relu"
    initialiser: str = ""
    options: tuple[tuple[str, float], ...] = ()
    """Those of the activation, such as (("alpha", 0.01),)."""

    def __post_init__(self) -> None:
        check(self, "a layer")
        if self.activation not in ACTIVATIONS:
            raise UnknownNameError("activation", self.activation, ACTIVATIONS)
        options = self.row.chosen(self.activation, dict(self.options))
        object.__setattr__(self, "options", tuple(options.items()))
        chosen = self.initialiser or self.row.initialiser
        if chosen not in INITIALISERS:
            raise UnknownNameError("initialiser", chosen, INITIALISERS)
        object.__setattr__(self, "initialiser", chosen)

    def __str__(self) -> str:
        values = ", ".join(f"{value:g}" for _, value in self.options)
        return f"{self.activation}({values})" if values else self.activation

    @property
    def row(self) -> Activation:
        """What is known of its activation."""
        return ACTIVATIONS[self.activation]

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
        return self.row.function(a, **dict(self.options))


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
