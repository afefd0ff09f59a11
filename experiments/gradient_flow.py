"""How do gradients decay through layers at initialisation?

The factor by which a layer changes the norm of the gradient that comes back through it, against
theory. Beside it: singular values of layers, slopes far from 0, and means of outputs.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from apparatus import gradient_flow_theory as theory
from apparatus.learning import examples, perceptron
from matplotlib.figure import Figure as Canvas

from difflab import derivative, gradient, jacobian, lab, sigmoid
from difflab.accuracy.digits import distances, points, truths
from difflab.accuracy.digits import instances as rules
from difflab.lab import Case, Experiment, Figure, Preset, Result, Row
from difflab.networks import Network
from difflab.networks.layers import Layer, pre_activations
from difflab.tracing.trace import trace

Array = np.ndarray
INSTANCES, FIRST_LAYERS = 100, 5  # so many hidden layers had Glorot & Bengio's networks in 2010
IDENTITY_BITS = 20  # beyond a float's 53, to which real numbers agree that count as the same
TAILS = {"sigmoid": (1.0, 1.0), "tanh": (4.0, 2.0)}  # g'(x) = c exp(-k|x|) / (1 + exp(-k|x|))^2
TINY = float(np.finfo(np.float64).tiny)
WIDEST = {"kind": "network", "widest": True}


def cell(activation: str, initialiser: str) -> str:
    """An activation with its initial weights, as it is called in rows."""
    return f"{activation}, {theory.NAMES[initialiser]}"


def cases(preset: Preset) -> list[Case]:
    depth = preset.choose(smoke=8, quick=16, full=30)
    widths = preset.choose(smoke=[48], quick=[96], full=[16, 64, 256])
    pairs = {"activation": theory.ACTIVATIONS, "initialiser": theory.INITIALISERS,
             "seed": preset.seeds}  # fmt: skip
    return [
        *[{"part": "flow", "data": data, "width": n, "depth": depth, "widest": n == widths[-1]}
          | own for data in ("digits", "mnist1d") for n in widths for own in lab.grid(**pairs)],
        *lab.grid(part=["jacobian"], **pairs, width=[preset.choose(smoke=32, quick=96, full=256)]),
        *lab.grid(part=["tails"], activation=theory.ACTIVATIONS,
              points=[preset.choose(smoke=40, quick=100, full=200)]),
        {"part": "identity", "every": preset.choose(smoke=60, quick=10, full=8)},
    ]  # fmt: skip]  # fmt: skip


def measure(case: Case, rng: np.random.Generator) -> Iterator[Row]:
    parts = {"flow": flow, "jacobian": singular_values, "tails": tails, "identity": identity}
    return parts[case["part"]](case)


def network(activation: str, initialiser: str, inputs: int, width: int, depth: int) -> Network:
    return perceptron(inputs, [width] * depth, 10, activation, initialiser, dtype="float64")


def drawn(net: Network, seed: int) -> list[Array]:
    """Weights that depend on the seed and the shapes, not on the activation."""
    number = int(lab.generator("gradient_flow", seed).integers(2**31))
    return [own["W"] for own in net.initial(number)]


@functools.lru_cache(maxsize=4)
def backpropagation(activation: str, inputs: int, width: int, depth: int) -> Callable[..., Any]:
    """The derivative of the loss by every layer's biases."""
    net = network(activation, "he", inputs, width, depth)

    def loss(biases: list[Array], weights: list[Array], X: Array, y: Array) -> Any:
        tree = [{"W": W, "b": b} for W, b in zip(weights, biases, strict=True)]
        return net.objective(tree, X, y)

    return gradient(loss)


def back_propagated(net: Network, weights: list[Array], X: Array, y: Array) -> list[Array]:
    """The derivative of the loss by the pre-activations, an array (instances, units) a layer: by
    biases of 0 that each instance has for itself."""
    first, depth = net.layers[0], len(net.layers) - 1
    biases = [np.zeros((len(X), layer.units)) for layer in net.layers]
    backwards = backpropagation(first.activation, first.inputs, first.units, depth)
    return backwards(biases, weights, X, y)


def flow(case: Case) -> Iterator[Row]:
    """One network: its mean factor a layer; of the widest on digits also layer by layer."""
    X, y = examples(case["data"], "flow", case["seed"], size=INSTANCES)[0]
    own, shape = (case["activation"], case["initialiser"]), (X.shape[1], case["width"])
    net = network(*own, *shape, case["depth"])
    weights = drawn(net, case["seed"])
    norms = np.array([np.linalg.norm(g) for g in back_propagated(net, weights, X, y)[:-1]])
    q = X.shape[1] * theory.VARIANCES[own[1]](*shape) * float(np.mean(X**2))
    expected = theory.mean_field(*own, q, case["depth"] - 1)
    tree = [{"W": W, "b": np.zeros(W.shape[1])} for W in weights]
    h = net.layers[0].activate(pre_activations(net.layers, tree, X)[0])
    factor = float((norms[0] / norms[-1]) ** (1 / (case["depth"] - 1)))
    field = float(np.exp(np.mean(np.log(expected))))
    offset = math.sqrt(np.mean(h.mean(axis=0) ** 2) / np.mean(h.var(axis=0)))
    closed = theory.closed_form(*own) if own in theory.CLOSED else math.nan
    yield {"kind": "network", "cell": cell(*own), "closed": closed, "factor": factor,
           "mean_field": field, "offset_by_spread": offset}  # fmt: skip
    ahead = np.append(np.cumprod(expected[::-1])[::-1], 1.0)
    for layer, (norm, field) in enumerate(zip(norms / norms[-1], ahead, strict=True), 1):
        if case["widest"] and case["data"] == "digits":
            yield {"kind": "layer", "layer": layer, "relative": norm, "relative_mean_field": field}


def singular_values(case: Case) -> Iterator[Row]:
    """Of the derivative of one hidden layer's outputs by another's: mean, and root mean square."""
    X = examples("digits", "flow", case["seed"], size=1)[0].X
    net = network(case["activation"], case["initialiser"], X.shape[1], case["width"], FIRST_LAYERS)
    weights, activate = drawn(net, case["seed"]), net.layers[0].activate
    slope = jacobian(lambda h, W: activate(h @ W))
    h = activate(X @ weights[0])[0]
    for number in range(1, FIRST_LAYERS):
        values = np.linalg.svd(slope(h, weights[number]), False, False)
        yield {"layer": number, "mean_value": float(values.mean()),
               "rms_value": float(np.sqrt(np.mean(values**2)))}  # fmt: skip
        h = activate(h @ weights[number])


def tails(case: Case) -> Iterator[Row]:
    """The derivative by AD on both sides of 0, until it underflows, with its error in ulps."""
    name, right = case["activation"], np.linspace(800.0 / case["points"], 800.0, case["points"])
    x = np.concatenate([right, -right])
    (rule,) = rules({name})
    slopes = derivative(Layer(1, 1, name).activate)(x)
    ulps = distances(slopes, *truths(rule.partial(0), [x]))
    found = {"x": x, "positive": x > 0, "slope": slopes, "ulps": ulps,
             "as_theory": as_theory(name, x, slopes, ulps)}  # fmt: skip
    yield from pd.DataFrame(found).to_dict("records")


def as_theory(activation: str, x: Array, slopes: Array, ulps: Array) -> Array:
    """Whether log g' is log c - k|x| up to what (1 + exp(-k|x|))^2 leaves and rounding; a ReLU's
    slope is 1 or 0. What is not a normal number any more must be the truth, rounded.
    """
    if activation not in TAILS:
        return slopes == (x > 0)
    c, k = TAILS[activation]
    with np.errstate(divide="ignore"):
        gap = math.log(c) - k * np.abs(x) - np.log(slopes)
    near = np.abs(gap - 2 * np.log1p(np.exp(-k * np.abs(x)))) <= 1e-12 * np.abs(x)
    return np.where(slopes >= TINY, near, ulps <= 4.0)


def shifted_sigmoid(x: Any) -> Any:
    return 2 * sigmoid(2 * x) - 1


def identity(case: Case) -> Iterator[Row]:
    """Whether tanh(x) and 2 sigmoid(2x) - 1 are the same number, and how far off the program is."""
    (rule,) = rules({"tanh"})
    x = points(rule.row, 0)[0][:: case["every"]]
    nearest, rest = truths(rule.value(), [x])
    other, left = truths(trace(shifted_sigmoid, 1.0), [x])
    with np.errstate(all="ignore"):
        apart = np.where(nearest == other, np.abs(rest - left), np.inf)
        ulps = distances(shifted_sigmoid(x), nearest, rest)
    found = {"x": x, "same": apart < 2.0**-IDENTITY_BITS, "ulps": ulps}
    yield from pd.DataFrame(found).to_dict("records")


def results(rows: pd.DataFrame) -> list[Result]:
    pairs = [(a, i) for a in theory.ACTIVATIONS for i in theory.INITIALISERS]
    loose = ("sigmoid", "glorot")
    factors = {
        "closed_form_factors": ([pair for pair in theory.CLOSED if pair != loose], "closed"),
        "closed_form_sigmoid_glorot": ([loose], "closed"),
        "mean_field_factors": (pairs, "mean_field"),
        "sigmoid_gradients_vanish": (pairs[:3], None),
        "tanh_gradients_vanish": ([("tanh", "uniform"), ("tanh", "glorot")], None),
    }
    off = rows["ulps"][rows["part"] == "identity"].max()
    return [
        *[lab.mean(claim, rows, "factor", over=over, by="cell",
                   where=WIDEST | {"cell": [cell(*pair) for pair in own]},
                   words="a network's mean factor per layer, both data sets")
          for claim, (own, over) in factors.items()],
        lab.mean("relu_gradients_stay", rows, "factor",
                 where=WIDEST | {"cell": cell("relu", "he")}),
        *[lab.mean(f"singular_values_{name}", rows, "mean_value", by=None,
                   where={"part": "jacobian", "activation": "tanh", "initialiser": initialiser},
                   words=f"mean over the Jacobians of {FIRST_LAYERS - 1} layers")
          for name, initialiser in (("standard", "uniform"), ("normalised", "glorot"))],
        *[lab.every(f"{name}_saturates", rows, "as_theory", counted="points",
                    where={"part": "tails", "activation": name}) for name in TAILS],
        lab.every("relu_does_not_saturate", rows, "as_theory", counted="points",
                  where={"part": "tails", "activation": "relu", "positive": True}),
        lab.every("tanh_is_a_shifted_sigmoid", rows, "same", where={"part": "identity"},
                  words="as real numbers; as a program the right side is off by up to"
                  f" {off:.0e} ulps", counted="points"),
        lab.ratio("tanh_is_zero_centred", rows, "offset_by_spread",
                  left={"activation": "sigmoid"}, right={"activation": "tanh"},
                  where=WIDEST | {"initialiser": "glorot"},
                  words="root mean square of units' means over that of spreads, first layer"),
    ]  # fmt: skip


def figures(rows: pd.DataFrame) -> list[Figure]:
    own = lab.chosen(rows, WIDEST)
    layers = lab.chosen(rows, {"kind": "layer"}).replace({"initialiser": theory.NAMES})
    logs = np.log(own[["factor", "mean_field"]]).groupby(own["cell"]).mean()
    means, off = np.exp(logs["factor"]), np.exp((logs["factor"] - logs["mean_field"]).abs()) - 1
    depth, width, networks = (int(own[name].max()) for name in ("depth", "width", "seed"))
    pairs = (("sigmoid", "glorot"), ("tanh", "glorot"), ("relu", "he"))
    left = {cell(*pair): means[cell(*pair)] ** (depth - 1) for pair in pairs}
    told = "; ".join(f"{name}: {value:.1g}" for name, value in left.items())
    foot = f"{depth} layers of {width} units, {networks + 1} networks"
    return [
        Figure(
            "factors", "Hollow: all networks. Bars: mean-field theory. Crosses: the closed form,"
            " where there is one. Left of 1 gradients vanish, right of it they explode.",
            "A row of markers for each activation and weights, with theory as bars and crosses.",
            lambda canvas: draw_factors(canvas, own), (7.6, 4.4), foot=f"{foot}, 2 data sets",
            finding=f"A layer's factor is off theory by at most {off.max():.1%};"
            f" {int((means < 0.95).sum())} of {len(means)} settings vanish",
        ),
        lab.curves(
            layers, "gradient", "layer", "relative", "initialiser", by="activation",
            labels=("hidden layer", "gradient norm, relative"), logarithms="y",
            caption="Norm with respect to a layer's pre-activations over the last hidden layer's:"
            " read from right to left, as the gradient goes.",
            alt="For each activation a panel: a line for each initialisation, by layer.",
            finding=f"What {depth - 1} layers leave of a gradient: {told}", foot=f"{foot}, digits",
        ),
    ]  # fmt: skip


def draw_factors(canvas: Canvas, own: pd.DataFrame) -> None:
    axes, names, looks = canvas.subplots(), own["cell"].unique(), lab.looks(theory.ACTIVATIONS)
    for place, name in enumerate(names):
        part, style = own[own["cell"] == name], looks[name.split(",")[0]]
        axes.plot(part["factor"], np.full(len(part), place), style["marker"], fillstyle="none",
                  color=style["color"], markersize=5, alpha=0.6)  # fmt: skip
        axes.plot([np.exp(np.log(part["mean_field"]).mean())], [place], "|", color="black", ms=22)
        axes.plot(part["closed"].iloc[:1], [place], "x", color="black", ms=8)
    axes.axvline(1.0, color="#777777", linewidth=1, linestyle=":")
    axes.set(xscale="log", xlabel="factor of the gradient's norm, per layer")
    axes.set_yticks(range(len(names)), names)
    axes.set_xticks(ticks := [0.15, 0.25, 0.5, 0.7, 1.0, 1.5], map(str, ticks))
    axes.minorticks_off()
    axes.invert_yaxis()


EXPERIMENT = Experiment(
    name="gradient_flow", title="Gradient flow", version=2, order=40,
    question="How do gradients decay through the layers of a network at initialisation?",
    cases=cases, measure=measure, sections=lambda rows: [theory.DERIVATION], figures=figures,
    results=results,
    method=f"""
    Networks of square hidden layers on {INSTANCES} standardised instances, weights as drawn. Every
    instance has its own bias of 0, so that reverse mode's derivative by the biases is the gradient
    with respect to the pre-activations; its norm is taken over instances and units. A seed draws
    weights and instances alike for each activation, and is what is independent. Derivatives of
    activations are held against balls, as in `accuracy`.
    """,
    limitations="""
    Theory is for wide layers: at 16 units a factor is off by a few percent more. What is shown
    holds before the first update. The norm says how large a gradient is, not how useful: whether
    such a network can be trained is for `activations`.
    """,
)  # fmt: skip

if __name__ == "__main__":
    lab.main(EXPERIMENT)
