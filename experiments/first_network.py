"""A first network: which choices matter when it is trained, and does the way to its gradient?

A multi-layer perceptron on scikit-learn's digits. The forward pass and the loss are plain NumPy
functions of a parameter tree; nobody derives a gradient. Two activations and two losses, each at
its own learning rate, are compared by seed; and the same updates are made by every method.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from _first_network_page import (
    PAIRS,
    figures,
    final_errors,
    last_updates,
    mean_interval,
    tables,
)

from difflab import log_softmax, relu, sigmoid, softmax, value_and_gradient
from difflab.lab import (
    TIME_COLUMNS,
    Case,
    Experiment,
    Finding,
    Interval,
    Preset,
    Row,
    generator,
    grid,
    interleave,
    main,
    proportion_interval,
    verdict_from_interval,
)
from difflab.methods import METHODS

Array = np.ndarray
Parameters = list[dict[str, Array]]
LECTURE = "lecture: neural networks"
HIDDEN, BATCH = 32, 32
RATES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
ACTIVATIONS = {"ReLU": relu, "sigmoid": sigmoid}
LOSSES = {
    "cross-entropy": lambda a, y: -np.mean(np.sum(y * log_softmax(a), axis=1)),
    "squared error": lambda a, y: np.mean(np.sum((softmax(a) - y) ** 2, axis=1)) / 2,
}
LOGGED = (1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 18, 20, 25)
"""The epochs after which a training run is looked at."""
SAME = 1e-5
"""Parameters this close, relative to the way they have gone, count as the same training."""


# The network --------------------------------------------------------------------------------------


def forward(parameters: Parameters, x: Array, activation: Callable[[Array], Array]) -> Array:
    """The scores of the classes: h <- g(h W + b) up to the last layer, which has no g."""
    *hidden, last = parameters
    for layer in hidden:
        x = activation(x @ layer["weights"] + layer["bias"])
    return x @ last["weights"] + last["bias"]


@functools.cache
def objective(activation: str, loss: str) -> Callable[..., Any]:
    """The loss of a minibatch as a function of the parameters."""
    g, cost = ACTIVATIONS[activation], LOSSES[loss]

    def mean_loss(parameters: Parameters, x: Array, y: Array) -> Any:
        return cost(forward(parameters, x, g), y)

    return mean_loss


@functools.cache
def stepper(activation: str, loss: str, method: str) -> Callable[..., Parameters]:
    """An update by gradient descent, with the gradient made by a method."""
    with_gradient = value_and_gradient(objective(activation, loss), method=method)

    def update(parameters: Parameters, x: Array, y: Array, rate: float) -> Parameters:
        _, gradient = with_gradient(parameters, x, y)
        return [
            {name: p[name] - rate * slope[name] for name in p}
            for p, slope in zip(parameters, gradient, strict=True)
        ]

    return update


def initial(rng: np.random.Generator, sizes: list[int]) -> Parameters:
    """Normal weights of variance 2 / (inputs + outputs), after Glorot & Bengio 2010."""
    return [
        {"weights": rng.normal(scale=np.sqrt(2 / (m + n)), size=(m, n)), "bias": np.zeros(n)}
        for m, n in itertools.pairwise(sizes)
    ]


@functools.cache
def digits() -> tuple[Array, Array]:
    """1,797 images of 8 x 8 pixels from 0 to 1, and their classes as unit vectors."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return x / 16, np.eye(10)[y]


# Measuring ----------------------------------------------------------------------------------------


def cases(preset: Preset) -> list[Case]:
    epochs = preset.choose(smoke=2, quick=12, full=25)
    rates = preset.choose(smoke=[0.3, 1.0], quick=RATES, full=RATES)
    tuning = range(preset.choose(smoke=1, quick=2, full=4))
    hidden = preset.choose(smoke=4, quick=8, full=HIDDEN)
    count = preset.choose(smoke=2, quick=10, full=10)
    chosen = {"activation": ACTIVATIONS, "loss": LOSSES, "rate": rates, "epochs": [epochs]}
    smallest = preset.choose(smoke=[4, 1, 2], quick=[4, 3, 2], full=[4, 3, 2])
    nets = [{"sizes": [64, hidden, 10], "batch": BATCH}, {"sizes": smallest, "batch": 4}]
    return [
        *grid(part=["tuning"], **chosen, seed=tuning),
        *grid(part=["training"], **chosen, seed=preset.seeds),
        *[{"part": "updates", **net, "updates": count, "seed": seed}
          for net in nets for seed in preset.seeds],
        *[{"part": "time", **net, "rounds": preset.choose(smoke=1, quick=9, full=15)}
          for net in nets],
    ]  # fmt: skip


def measure(case: Case, rng: np.random.Generator) -> Iterator[Row]:
    if case["part"] in ("tuning", "training"):
        return train(case)
    return updates(case) if case["part"] == "updates" else times(case)


def train(case: Case) -> Iterator[Row]:
    """Epochs of minibatches; the seed sets split, weights and order, whatever is compared."""
    rng = generator("first network", case["part"], case["seed"])
    x, y = digits()
    order = rng.permutation(len(x))
    held, kept = order[: len(x) // 5], order[len(x) // 5 :]
    if case["part"] == "tuning":  # the test split is not looked at
        held, kept = kept[: len(kept) // 5], kept[len(kept) // 5 :]
    parameters = initial(rng, [64, HIDDEN, 10])
    loss = objective(case["activation"], case["loss"])
    update = stepper(case["activation"], case["loss"], "reverse")
    for epoch in range(1, case["epochs"] + 1):
        shuffled = rng.permutation(kept)
        for start in range(0, len(kept) - BATCH + 1, BATCH):
            batch = shuffled[start : start + BATCH]
            parameters = update(parameters, x[batch], y[batch], case["rate"])
        scores = forward(parameters, x[held], ACTIVATIONS[case["activation"]])
        wrong = np.argmax(scores, axis=1) != np.argmax(y[held], axis=1)
        if epoch == case["epochs"] or (case["part"] == "training" and epoch in LOGGED):
            yield {
                "epoch": epoch,
                "train_loss": float(loss(parameters, x[kept], y[kept])),
                "held_loss": float(loss(parameters, x[held], y[held])),
                "error": float(np.mean(wrong)),
            }


def small_problem(sizes: list[int], batch: int, seed: int) -> tuple[Parameters, Array, Array]:
    """Images (their four quarters, for a network of four inputs) and weights to make updates on."""
    rng = generator("first network", "updates", seed)
    x, y = digits()
    chosen = rng.permutation(np.flatnonzero(y[:, : sizes[-1]].any(axis=1)))[:batch]
    x, y = x[chosen], y[chosen, : sizes[-1]]
    if sizes[0] == 4:
        x = x.reshape(-1, 2, 4, 2, 4).mean(axis=(2, 4)).reshape(-1, 4)
    return initial(rng, sizes), x, y


def methods_for(sizes: list[int]) -> list[str]:
    """All methods; SymPy only where the network is small enough to be written out."""
    return [name for name in METHODS if name != "symbolic" or sizes[0] == 4]


def updates(case: Case) -> Iterator[Row]:
    """How far the parameters are from reverse mode's after each update."""
    start, x, y = small_problem(case["sizes"], case["batch"], case["seed"])
    names = methods_for(case["sizes"])
    at = dict.fromkeys(names, start)
    for count in range(1, case["updates"] + 1):
        for name in names:
            at[name] = stepper("ReLU", "cross-entropy", name)(at[name], x, y, 0.3)
        gone = distance(at["reverse"], start)
        for name in names:
            apart = distance(at[name], at["reverse"]) / gone
            yield {"method": name, "update": count, "apart": apart}


def distance(left: Parameters, right: Parameters) -> float:
    """The largest difference of a parameter."""
    pairs = zip(left, right, strict=True)
    return max(float(np.max(np.abs(p[name] - q[name]))) for p, q in pairs for name in p)


def times(case: Case) -> Iterator[Row]:
    """The time of one update by every method, side by side."""
    start, x, y = small_problem(case["sizes"], case["batch"], 0)
    names = methods_for(case["sizes"])
    steppers = {name: stepper.__wrapped__("ReLU", "cross-entropy", name) for name in names}
    calls = {name: functools.partial(step, start, x, y, 0.3) for name, step in steppers.items()}
    table = interleave(calls, baseline="reverse", rounds=case["rounds"])
    count = sum(p.size for layer in start for p in layer.values())
    for row in table.to_dict("records"):
        yield {"parameters": count, "method": row.pop("contestant"), **row}


# Findings -----------------------------------------------------------------------------------------


def findings(rows: pd.DataFrame) -> list[Finding]:
    errors = final_errors(rows)
    return [
        *[compared(claim, errors, *sides) for claim, sides in PAIRS.items()],
        same_training(rows),
        fraction_of_the_cost(rows),
    ]


def compared(claim: str, errors: pd.DataFrame, worse: str, better: str) -> Finding:
    """The paired difference of test errors, over the other setting too."""
    named = {
        side: [name for name in errors if side in name.split(", ")] for side in (worse, better)
    }
    left, right = (errors[named[side]].mean(axis=1) for side in (worse, better))
    interval = mean_interval(left, minus=right)
    return Finding(
        claim=claim,
        source=LECTURE,
        verdict=verdict_from_interval(interval, above=0.0),
        evidence=f"test error is {right.mean():.2f} % with {better} and {left.mean():.2f} % with"
        f" {worse}; paired by seed, each at its own learning rate, the difference is {interval}"
        " percentage points",
        n=interval.n,
        interval=interval,
    )


def same_training(rows: pd.DataFrame) -> Finding:
    own = last_updates(rows)
    same = own["apart"] <= SAME
    interval = proportion_interval(int(same.sum()), len(same))
    worst = own.loc[own["apart"].idxmax()]
    exact = own[own["method"].isin(["forward", "symbolic", "complex_step"])]["apart"].max()
    return Finding(
        claim="The training is the same, whichever way the gradient was made",
        source="lecture: three ways to differentiate",
        verdict=verdict_from_interval(interval, above=0.8),
        evidence=f"after {worst['update']:.0f} updates, {same.sum()} of {len(same)} runs are within"
        f" {SAME:g} of reverse mode's parameters, relative to the way gone; the farthest is"
        f" {worst['apart']:.1e} ({worst['method']}); forward mode, SymPy and the complex step stay"
        f" within {exact:.1e}",
        n=len(same),
        interval=interval,
    )


def fraction_of_the_cost(rows: pd.DataFrame) -> Finding:
    own = rows[(rows["part"] == "time") & (rows["parameters"] == rows["parameters"].max())]
    others = own[~own["method"].str.startswith("reverse")]
    nearest = others.loc[others["ratio"].idxmin()]
    farthest = others.loc[others["ratio"].idxmax()]
    interval = Interval(
        nearest["ratio"], nearest["ratio_low"], nearest["ratio_high"], int(nearest["rounds"])
    )
    return Finding(
        claim="Reverse mode makes the gradient of a network at a fraction of the others' cost",
        source="Baydin et al. 2018, Automatic differentiation in machine learning",
        verdict=verdict_from_interval(interval, above=1 + float(own["noise"].max())),
        evidence=f"with {nearest['parameters']:.0f} parameters an update by the next fastest,"
        f" {nearest['method']}, takes {interval} times as long, and by the slowest,"
        f" {farthest['method']}, {farthest['ratio']:,.0f} times",
        n=interval.n,
        interval=interval,
    )


EXPERIMENT = Experiment(
    name="first_network",
    title="A first network",
    question="Which choices matter when a network is trained, and does the way to its gradient?",
    version=1,
    cases=cases,
    measure=measure,
    tables=tables,
    figures=figures,
    findings=findings,
    method=f"""
    1,797 images of digits, 64-{HIDDEN}-10 units, minibatches of {BATCH}, plain gradient descent in
    float64. Forward pass and loss are NumPy functions; `difflab.value_and_gradient` does the rest.
    A seed sets the 80/20 split, the initial weights and the order of the images, so that
    configurations are paired by seed. The learning rate of each is tuned on a validation split with
    other seeds. For the comparison of methods, the same updates start from the same weights.
    """,
    limitations="""
    One small data set and one hidden layer: sigmoids suffer in deep networks, which is the question
    of `gradient_flow` and `activations`. Test errors of a few percent rest on 359 images.
    """,
    volatile=TIME_COLUMNS,
    timed=lambda case: case["part"] == "time",
    order=30,
)

if __name__ == "__main__":
    main(EXPERIMENT)
