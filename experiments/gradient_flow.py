"""How do gradients decay through layers at initialisation?

Deep networks on real inputs, before any training: the factor by which a layer changes the norm of
the gradient that comes back through it, against theory. The gradient is that of difflab's reverse
mode with respect to the biases, of which every instance has its own. Beside it: the singular values
of one layer's Jacobian, the slope of an activation far from 0, and how far outputs are from mean 0.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from _gradient_flow_findings import findings
from _gradient_flow_page import FIRST_LAYERS, IDENTITY_BITS, figures, sections, tables
from apparatus.gradient_flow_theory import (
    ACTIVATIONS,
    INITIALISERS,
    VARIANCES,
    mean_field,
)
from apparatus.learning import examples

from difflab import derivative, gradient, jacobian, sigmoid
from difflab.accuracy.digits import distances, points, truths
from difflab.accuracy.digits import instances as rules
from difflab.lab import (
    Case,
    Experiment,
    Preset,
    Row,
    generator,
    grid,
    main,
)
from difflab.networks import Network
from difflab.networks.layers import Layer, pre_activations
from difflab.tracing.trace import trace

Array = np.ndarray
INSTANCES = 100


# Cases --------------------------------------------------------------------------------------------


def cases(preset: Preset) -> list[Case]:
    depth = preset.choose(smoke=8, quick=16, full=30)
    widths = preset.choose(smoke=[48], quick=[96], full=[16, 64, 256])
    pairs = {"activation": ACTIVATIONS, "initialiser": INITIALISERS, "seed": preset.seeds}
    flow = [
        {
            "part": "flow",
            "data": data,
            "width": n,
            "depth": depth,
            "widest": n == widths[-1],
        }
        for data in ("digits", "mnist1d")
        for n in widths
    ]
    return [
        *[first | second for first in flow for second in grid(**pairs)],
        *grid(part=["jacobian"], **pairs, width=[preset.choose(smoke=32, quick=96, full=256)]),
        *grid(part=["tails"], activation=ACTIVATIONS,
              points=[preset.choose(smoke=40, quick=100, full=400)]),
        {"part": "identity", "every": preset.choose(smoke=60, quick=10, full=1)},
    ]  # fmt: skip


def measure(case: Case, rng: np.random.Generator) -> Iterator[Row]:
    parts = {"flow": flow, "jacobian": singular_values, "tails": tails, "identity": identity}
    return parts[case["part"]](case)


# Gradients through layers -------------------------------------------------------------------------


def network(activation: str, initialiser: str, inputs: int, width: int, depth: int) -> Network:
    """Hidden layers of one width, and ten classes."""
    net = Network(inputs)
    for _ in range(depth):
        net.fc(width, activation, initialiser)
    net.fc(10, "softmax", initialiser)
    return net


def drawn(net: Network, seed: int) -> list[Array]:
    """Weights that depend on the seed and the shapes, not on the activation."""
    return [own["W"] for own in net.initial(int(generator("gradient_flow", seed).integers(2**31)))]


@functools.lru_cache(maxsize=4)
def backpropagation(activation: str, inputs: int, width: int, depth: int) -> Callable[..., Any]:
    """The derivative of the loss by every layer's biases."""
    net = network(activation, "he", inputs, width, depth)

    def loss(biases: list[Array], weights: list[Array], X: Array, y: Array) -> Any:
        tree = [{"W": W, "b": b} for W, b in zip(weights, biases, strict=True)]
        return net.objective(tree, X, y)

    return gradient(loss)


def back_propagated(net: Network, weights: list[Array], X: Array, y: Array) -> list[Array]:
    """The derivative of the loss by the pre-activations, an array (instances, units) a layer.

    A bias is added to the pre-activation: if each instance has its own (of 0), the derivative by
    that bias is the derivative by the pre-activation.
    """
    first, depth = net.layers[0], len(net.layers) - 1
    biases = [np.zeros((len(X), layer.units)) for layer in net.layers]
    backwards = backpropagation(first.activation, first.inputs, first.units, depth)
    return backwards(biases, weights, X, y)


def flow(case: Case) -> Iterator[Row]:
    """One network: its mean factor a layer; of the widest on digits also layer by layer."""
    X, y = examples(case["data"], "flow", case["seed"], size=INSTANCES)[0]
    shape = (X.shape[1], case["width"], case["depth"])
    net = network(case["activation"], case["initialiser"], *shape)
    weights = drawn(net, case["seed"])
    norms = np.array([np.linalg.norm(g) for g in back_propagated(net, weights, X, y)[:-1]])
    q = X.shape[1] * VARIANCES[case["initialiser"]](*shape[:2]) * float(np.mean(X**2))
    expected = mean_field(case["activation"], case["initialiser"], q, case["depth"] - 1)
    tree = [{"W": W, "b": np.zeros(W.shape[1])} for W in weights]
    outputs = [net.layers[0].activate(a) for a in pre_activations(net.layers, tree, X)[:-1]]
    offsets = [float(np.sqrt(np.mean(h.mean(axis=0) ** 2))) for h in outputs]
    sizes = [float(np.sqrt(np.mean(h**2))) for h in outputs]
    yield {
        "kind": "network",
        "factor": float((norms[0] / norms[-1]) ** (1 / (case["depth"] - 1))),
        "mean_field": float(np.exp(np.mean(np.log(expected)))),
        "offset": float(np.mean(offsets[:FIRST_LAYERS])),
        "offset_share": float(np.mean(np.divide(offsets, sizes)[:FIRST_LAYERS])),
    }
    if not (case["widest"] and case["data"] == "digits"):
        return
    ahead = np.append(np.cumprod(expected[::-1])[::-1], 1.0)
    for layer in range(case["depth"]):
        yield {
            "kind": "layer",
            "layer": layer + 1,
            "relative": float(norms[layer] / norms[-1]),
            "relative_mean_field": float(ahead[layer]),
            "offset_share": offsets[layer] / sizes[layer],
        }


def singular_values(case: Case) -> Iterator[Row]:
    """Of the derivative of one hidden layer's outputs by another's: mean, and root mean square."""
    X = examples("digits", "flow", case["seed"], size=1)[0].X
    net = network(case["activation"], case["initialiser"], X.shape[1], case["width"], FIRST_LAYERS)
    weights = drawn(net, case["seed"])
    h = net.layers[0].activate(X @ weights[0])[0]
    for number in range(1, FIRST_LAYERS):
        values = np.linalg.svd(layer_jacobian(case["activation"])(h, weights[number]), False, False)
        yield {
            "layer": number,
            "mean_value": float(values.mean()),
            "rms_value": float(np.sqrt(np.mean(values**2))),
        }
        h = net.layers[number].activate(h @ weights[number])


@functools.cache
def layer_jacobian(activation: str) -> Callable[[Array, Array], Array]:
    """The derivative of g(h W) by h."""
    layer = Layer(1, 1, activation)
    return jacobian(lambda h, W: layer.activate(h @ W))


# Activations by themselves ------------------------------------------------------------------------


def tails(case: Case) -> Iterator[Row]:
    """The derivative by AD on both sides of 0, until it underflows, with its error in ulps."""
    right = np.linspace(800.0 / case["points"], 800.0, case["points"])
    x = np.concatenate([right, -right])
    (rule,) = rules({case["activation"]})
    nearest, rest = truths(rule.partial(0), [x])
    slopes = derivative(Layer(1, 1, case["activation"]).activate)(x)
    ulps = distances(slopes, nearest, rest)
    for row in zip(x.tolist(), slopes.tolist(), nearest.tolist(), ulps.tolist(), strict=True):
        yield dict(zip(("x", "slope", "truth", "ulps"), row, strict=True))


def shifted_sigmoid(x: Any) -> Any:
    """tanh, as the lecture writes it."""
    return 2 * sigmoid(2 * x) - 1


def identity(case: Case) -> Iterator[Row]:
    """Whether tanh(x) and 2 sigmoid(2x) - 1 are the same number, and how many ulps apart programs
    of them are.
    """
    (rule,) = rules({"tanh"})
    x = points(rule.row, 0)[0][:: case["every"]]
    nearest, rest = truths(rule.value(), [x])
    other, left = truths(trace(shifted_sigmoid, 1.0), [x])
    with np.errstate(all="ignore"):
        written, direct = shifted_sigmoid(x), np.tanh(x)
        apart = np.where(nearest == other, np.abs(rest - left), np.inf)
    found = {
        "x": x,
        "same": apart < 2.0**-IDENTITY_BITS,
        "ulps": distances(written, nearest, rest),
        "tanh_ulps": distances(direct, nearest, rest),
    }
    yield from pd.DataFrame(found).to_dict("records")


EXPERIMENT = Experiment(
    name="gradient_flow",
    title="Gradient flow",
    question="How do gradients decay through the layers of a network at initialisation?",
    version=1,
    cases=cases,
    measure=measure,
    sections=sections,
    tables=tables,
    figures=figures,
    findings=findings,
    method=f"""
    Networks of square hidden layers on {INSTANCES} standardised instances, with drawn weights and
    no training. Every instance has its own bias of 0, so that reverse mode's derivative by the
    biases is the gradient with respect to the pre-activations; its norm is taken over instances and
    units. A network's factor per layer is the geometric mean over its hidden layers; intervals are
    bootstrapped over networks. A seed draws weights and instances alike for each activation.
    Derivatives of activations are held against balls, as in `accuracy`.
    """,
    limitations="""
    Theory is for wide layers: at 16 units a factor is off by a few percent more, and single
    networks of ReLUs differ from it by much. What is shown holds before the first update; training
    moves weights away from it. The norm says how large a gradient is, not how useful: a sigmoid
    network's can be scaled up again by an adaptive solver, and the claim that it cannot be trained
    is for `activations`.
    """,
    order=40,
)

if __name__ == "__main__":
    main(EXPERIMENT)
