"""Theory of gradients at initialisation, for the experiment `gradient_flow`.

What flows: an activation and the variance of its weights -> the factor by which one layer changes
the root mean square of the back-propagated gradient. The closed forms hold in the limit of wide
layers (and of small pre-activations, for sigmoid and tanh); the mean-field recursion (Poole et al.
2016, Schoenholz et al. 2017) needs the first limit only.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from difflab import derivative
from difflab.lab import Formula, Section
from difflab.networks.layers import Layer

ACTIVATIONS = ("sigmoid", "tanh", "relu")
INITIALISERS = ("uniform", "glorot", "he")
NAMES = {"uniform": "U(±1/√n)", "glorot": "Glorot", "he": "He"}
VARIANCES: dict[str, Callable[[int, int], float]] = {
    "uniform": lambda inputs, units: 1.0 / (3.0 * inputs),
    "glorot": lambda inputs, units: 2.0 / (inputs + units),
    "he": lambda inputs, units: 2.0 / inputs,
}
"""The variance of a weight, by the layer's inputs and units."""
SLOPES = {"sigmoid": 0.25, "tanh": 1.0, "relu": math.sqrt(0.5)}
"""The root mean square of g'(a): at a = 0, and for the ReLU at any symmetric a."""
CLOSED = (("sigmoid", "uniform"), ("sigmoid", "glorot"), ("tanh", "uniform"), ("relu", "uniform"),
          ("relu", "glorot"), ("relu", "he"))  # fmt: skip
"""Where the closed form is claimed to hold; elsewhere tanh and sigmoid are not near linear."""
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(100)  # an even number: none at 0
QUARTER_CIRCLE = 8 / (3 * math.pi)
"""The mean singular value of a large square random matrix, relative to the root mean square."""


def gain(initialiser: str) -> float:
    """n Var(w) of a square layer."""
    return VARIANCES[initialiser](1, 1)


def closed_form(activation: str, initialiser: str) -> float:
    """The factor per layer of the gradient norm where g' is what it is at a = 0.

    >>> [round(closed_form(*pair), 4) for pair in CLOSED]
    [0.1443, 0.25, 0.5774, 0.4082, 0.7071, 1.0]
    """
    return math.sqrt(gain(initialiser)) * SLOPES[activation]


def mean_field(activation: str, initialiser: str, q: float, layers: int) -> list[float]:
    """The factors of so many layers in turn; q is the mean square of the first pre-activations.

    >>> [round(x, 2) for x in mean_field("tanh", "glorot", 1.0, 3)]
    [0.68, 0.8, 0.85]
    """
    factors, weights = [], WEIGHTS / WEIGHTS.sum()
    for _ in range(layers):
        a = math.sqrt(q) * NODES  # E[g(a)^2] and E[g'(a)^2] by Gauss-Hermite quadrature
        values = Layer(1, 1, activation).activate(a)
        factors.append(math.sqrt(gain(initialiser) * float(weights @ _slope(activation)(a) ** 2)))
        q = gain(initialiser) * float(weights @ values**2)
    return factors


@functools.cache
def _slope(activation: str) -> Callable[[Any], Any]:
    return derivative(Layer(1, 1, activation).activate)


DERIVATION = Section(
    "Where the theory comes from",
    [
        "A layer computes `a = W h + b` and `h = g(a)`; a bar denotes the derivative of the loss:",
        Formula(r"\bar a^{(l)}_i = g'(a^{(l)}_i)\;\sum_{j=1}^{n} w^{(l+1)}_{ji}\,\bar a^{(l+1)}_j"),
        "At initialisation the weights are independent, of mean 0, and in the limit of wide layers"
        " independent of the gradient that meets them. Cross terms vanish, and a layer changes the"
        " root mean square by",
        Formula(
            r"\mathrm{factor}^2 = n\,\mathrm{Var}(w)\;E[\,g'(a)^2\,],\qquad n\,\mathrm{Var}(w) ="
            r" \frac{1}{3}\ (U),\ \ 1\ (\mathrm{Glorot}),\ \ 2\ (\mathrm{He})"
        ),
        "Half of a ReLU's symmetric pre-activations are positive, so that E[g'^2] is 1/2; near 0"
        " the sigmoid has slope 1/4 and tanh slope 1. The factors are therefore 1/√6, 1/√2 and 1"
        " for the ReLU with U, Glorot and He, (1/4)/√3 and 1/4 for the sigmoid with U and Glorot,"
        " and 1/√3 for tanh with U. Where pre-activations do not become small, the recursion of"
        " their variance q gives the slope (z is normal, of mean 0 and variance 1):",
        Formula(
            r"q^{(l+1)} = n\,\mathrm{Var}(w)\;E[\,g(\sqrt{q^{(l)}}\,z)^2\,],\qquad"
            r" \mathrm{factor}_l^2 = n\,\mathrm{Var}(w)\;E[\,g'(\sqrt{q^{(l)}}\,z)^2\,]"
        ),
        "For tanh with Glorot, q falls as 1/(2l) and the factor is √(1 - 1/l): below 1, but tending"
        " to 1, so that the gradient falls as a power of the depth and not exponentially. With He"
        " q tends to a constant at which the factor is above 1: tanh's gradients then grow. The"
        " singular values of one layer's Jacobian have the factor as their root mean square; those"
        " of a large square random matrix fill a quarter of a circle, whose mean is 8/(3π) = 0.85"
        " of that: 0.49 for tanh with U, and at most 0.85 with Glorot.",
    ],
)
