"""Can stochastic gradient descent train a step activation?

The step's derivative is 0: what is left to train is the last layer, on random features. Differences
see the jumps that the derivative does not: seldom, and hugely, unless their step is wide.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd
from apparatus import learning
from apparatus.learning import TRAINING, TUNING, badges, run_seed, train
from apparatus.training_programs import digits, network

from difflab import gradient, lab
from difflab.errors import UnsupportedError
from difflab.ir.tree import flatten
from difflab.lab import Case, Experiment, Figure, Preset, Result, Row, chosen, curves
from difflab.methods import METHODS, Numerical
from difflab.networks import Network
from difflab.networks.activations import step
from difflab.networks.data import Part

DIGITS, WIDER, COARSE, TINY = "64-32-10", "16-32-10", "16-8-10", "4-3-2"  # squares of pixels
RATES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
STEPS = [float(f"{10 ** (power / 4):.3g}") for power in range(-20, 1)]
BATCH = 32
SAMPLED = 20  # of so many weights that jump, at most, are differences taken for a draw and a step
OBSERVED = (0.01, 0.1)  # shares of weights that jump where laws are fitted: few jump twice
EXACT = ("reverse", "forward", "symbolic")
WIDE = Numerical("central", 2, step=0.3)  # about a third of a feature's deviation: smooths the loss
WAYS = {"reverse": "reverse", "theory": "central_difference", "wide": WIDE}
WORDS = {"reverse": "reverse mode", "theory": "differences by theory", "wide": "wide differences"}
NAMES = ["network", "activation", "method"]


def configurations(preset: Preset) -> list[Case]:
    """What is trained: activations by reverse mode, and the step by differences."""
    exact = [(activation, "reverse") for activation in ("step", "sigmoid", "relu")]
    coarse = [*exact, ("step", "theory"), ("step", "wide")]
    long, short = preset.choose(smoke=(20, 5), quick=(200, 40), full=(1000, 300))
    return [
        {"network": net, "activation": activation, "method": method, "updates": updates}
        for net, updates, pairs in ((DIGITS, long, exact), (COARSE, short, coarse))
        for activation, method in pairs
    ]


def cases(preset: Preset) -> list[Case]:
    rates = preset.choose(smoke=RATES[2:4], quick=RATES[1:5], full=RATES)
    tuning = range(preset.choose(smoke=1, quick=1, full=3))
    steps = preset.choose(smoke=STEPS[8:14], quick=STEPS[::2], full=STEPS)
    few = preset.seeds if preset.name == "full" else preset.seeds[:1]
    return [
        *lab.grid(part=["zeros"], network=[COARSE], batch=[BATCH], seed=few),
        *lab.grid(part=["zeros"], network=[TINY], batch=[preset.choose(smoke=1, quick=1, full=2)],
                  seed=preset.seeds[:1]),
        *lab.grid(part=["jumps"], network=[WIDER], batch=[128], steps=[steps],
                  draws=[preset.choose(smoke=2, quick=5, full=50)], seed=preset.seeds),
        *learning.tuning_cases(configurations(preset), rates, tuning),
    ]  # fmt: skip


def measure(case: Case, rng: np.random.Generator) -> Iterator[Row]:
    yield from {"zeros": zeros, "jumps": jumps}.get(case["part"], run)(case)


def sizes(case: Case) -> list[int]:
    return [int(units) for units in case["network"].split("-")]


def start(case: Case, activation: str = "step") -> tuple[Network, Any, Part]:
    """A network with drawn parameters, and a batch of instances."""
    net = network(sizes(case), activation, "float64", case["batch"], 0.1)
    learn, _ = digits(sizes(case), TRAINING, case["seed"])
    batch = Part(learn.X[: case["batch"]], learn.y[: case["batch"]])
    return net, net.initial(run_seed(TRAINING, case["seed"])), batch


def zeros(case: Case) -> Iterator[Row]:
    """The share of exact zeros in the gradient of the hidden layer."""
    names = [name for name in METHODS if name != "symbolic" or case["network"] == TINY]
    for name, activation in itertools.product(names, ("step", "relu")):
        net, parameters, batch = start(case, activation)
        targets = np.eye(net.last.units)[batch.y]  # floats: labels have no complex reading
        slope = gradient(net.objective, method=name, engine="numpy")
        with suppress(UnsupportedError):
            slopes = slope(parameters, batch.X, targets)
            hidden = np.concatenate(flatten(slopes[0])[0], axis=None)
            exact = {"untouched": bool(np.all(hidden == 0.0))} if name in EXACT else {}
            share = float(np.mean(hidden == 0.0))
            yield {"method": name, "activation": activation, "hidden_zero": share, **exact}


def jumps(case: Case) -> Iterator[Row]:
    """How many weights jump, and how large their differences are, over many initial weights."""
    net, _, batch = start(case)
    rng = lab.generator("step_function", "jumps", case["seed"])

    def difference(parameters: Any, place: tuple[int, ...], h: float) -> float:
        moved = parameters[0]["W"].copy()
        moved[place] += h
        after = [parameters[0] | {"W": moved}, *parameters[1:]]
        return float(net.objective(after, *batch) - net.objective(parameters, *batch)) / h

    drawn = [net.initial(int(rng.integers(2**31))) for _ in range(case["draws"])]
    for h in case["steps"]:
        found, taken = 0, []
        for parameters in drawn:
            places = np.argwhere(crossed(parameters[0], batch.X, h))
            found += len(places)
            few = rng.permutation(places)[:SAMPLED]
            taken += [difference(parameters, tuple(place), h) for place in few]
        part = found / (case["draws"] * drawn[0][0]["W"].size)
        median = float(np.median(np.abs(taken))) if taken else np.nan
        yield {"h": h, "share": part, "median_size": median,
               "observed": OBSERVED[0] <= part <= OBSERVED[1]}  # fmt: skip


def crossed(layer: dict[str, Any], X: Any, h: float) -> Any:
    """Which weights turn a unit on or off for some instance when they move by h."""
    before = (X @ layer["W"] + layer["b"])[:, None, :]
    moved = before + h * X[:, :, None]
    return np.any((moved > 0) != (before > 0), axis=0)


def run(case: Case) -> Iterator[Row]:
    """A training run, and whether the hidden layer moved; of the step also random features."""
    options = {name: case[name] for name in ("part", "seed", "rate", "updates")}
    options["every"] = max(1, case["updates"] // 20)
    parts = digits(sizes(case), case["part"], case["seed"])
    net = network(sizes(case), case["activation"], "float64", BATCH, case["rate"])
    first = net.initial(run_seed(case["part"], case["seed"]))
    found = list(train(net, parts, **options, method=WAYS[case["method"]]))
    found[-1]["untouched"] = same_arrays(net.parameters[0], first[0])
    if case["activation"] == "step" and case["method"] == "reverse" and case["part"] != TUNING:
        last, error = random_features(net, first, parts, options)
        alike = same_arrays(last.parameters[0], net.parameters[1])
        found[-1]["random_features"] = alike and error == found[-1]["held_error"]
    way = f"{case['activation']}, {WORDS[case['method']]}"
    yield from (row | {"configuration": way} for row in found)


def same_arrays(layer: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(np.array_equal(layer[name], other[name]) for name in ("W", "b"))


def random_features(net: Network, first: Any, parts: Any, options: Row) -> tuple[Network, float]:
    """The last layer alone, trained on what the hidden layer gives before training."""
    last = Network(inputs=net.layers[0].units)
    last.fc(net.last.units, activation="softmax")
    last.solver, last.parameters = net.solver, first[1:]
    hidden = tuple(Part(step(x.X @ first[0]["W"] + first[0]["b"]), x.y) for x in parts)
    return last, list(train(last, hidden, **options, warm_start=True))[-1]["held_error"]


def results(rows: pd.DataFrame) -> list[Result]:
    ends = {"part": TRAINING, "last": True}
    jumped = {"where": {"part": "jumps", "observed": True}, "by": None,
              "missing": "with too few jumps"}  # fmt: skip
    error = {"by": "network", "scale": 100, "badges": badges(rows, NAMES)}
    return [
        lab.every("step_has_zero_gradients", rows, "untouched", counted="runs and gradients",
                  where={"part": ["zeros", TRAINING], "activation": "step", "method": list(EXACT),
                         "untouched": [True, False]},
                  words="the hidden layer's gradient is exactly 0, and its weights after training"
                  " are, bit by bit, the initial ones"),
        lab.every("step_is_random_features", rows, "random_features", counted="runs",
                  where=ends | {"activation": "step", "method": "reverse"},
                  words="the last layer ends with the bits of one trained alone on initial"
                  " features"),
        lab.paired("step_is_worse_than_relu", rows, "held_error", left={"activation": "step"},
                   right={"activation": "relu"}, where=ends | {"method": "reverse"}, **error,
                   words="test error with the step less that with ReLUs, each at its own tuned"
                   " rate"),
        lab.exponent("jumps_in_proportion_to_h", rows, "h", "share", **jumped,
                     words="the share of hidden weights whose difference is not 0, against h"),
        lab.exponent("jumps_are_as_one_over_h", rows, "h", "median_size", **jumped,
                     words="the median size of the differences that are not 0, against h"),
        lab.paired("wide_differences_train_a_step", rows, "held_error", left={"method": "reverse"},
                   right={"method": "wide"}, **error,
                   where=ends | {"activation": "step", "network": COARSE},
                   words=f"test error by reverse mode less that by differences of {WIDE.step}"),
    ]  # fmt: skip


def figures(rows: pd.DataFrame) -> list[Figure]:
    runs = chosen(rows, {"part": TRAINING})
    zero = chosen(rows, {"part": "zeros", "activation": "step", "method": list(EXACT)})
    ends = chosen(runs, {"last": True, "network": DIGITS, "method": "reverse"})
    error = 100 * ends.groupby("activation")["held_error"].mean()
    fitted = chosen(rows, {"part": "jumps", "observed": True})
    columns = {"share": "share that is not 0", "median_size": "median size of those"}
    jumped = chosen(rows, {"part": "jumps"}).rename(columns=columns)
    jumped = jumped.melt(["seed", "h"], [*columns.values()], "of").query("value > 0")
    ways = [f"{activation}, reverse mode" for activation in ("step", "relu", "sigmoid")]
    return [
        curves(rows, "training", "update", "held_error", "configuration", by="network",
               where={"part": TRAINING}, labels=("updates", "test error (%)"), logarithms="y",
               scale=100, order=[*ways, *(f"step, {WORDS[way]}" for way in ("theory", "wide"))],
               caption="Test error, each configuration at its own tuned learning rate.",
               alt="Falling test errors; the step's stay above the ReLU's",
               finding=f"{100 * zero['hidden_zero'].mean():.0f} % of the step's hidden gradient is"
               f" exactly 0: test error {error['step']:.1f} %, against {error['relu']:.1f} % with"
               " ReLUs", foot=f"digits, {runs['seed'].nunique()} seeds"),
        curves(jumped, "jumps", "h", "value", "of", by=None, logarithms="xy",
               labels=("step h", "share, or size"), caption="Forward differences of the hidden"
               " weights: the share that is not 0, which grows with h, and the median size of"
               " those, which falls as 1/h.", alt="A rising and a falling line, both axes"
               " logarithmic", foot=f"digits, {fitted['seed'].nunique()} seeds",
               finding=f"Between h = {fitted['h'].min():g} and {fitted['h'].max():g}, differences"
               f" are not 0 for {fitted['share'].min():.0%} to {fitted['share'].max():.0%} of the"
               " weights"),
    ]  # fmt: skip


EXPERIMENT = Experiment(
    name="step_function", title="The step function", version=2, order=47,
    question="Can stochastic gradient descent train a step activation?",
    cases=cases, measure=measure, results=results, figures=figures,
    after=lambda preset, rows: learning.training_cases(rows, configurations(preset), preset.seeds),
    method=f"""
    Digits in 8 x 8 pixels (64-32-10 units) and in 4 x 4 (16-8-10), softmax with cross-entropy,
    plain gradient descent with minibatches of {BATCH}; the learning rate of each configuration is
    tuned with other seeds. The step is 1 above 0 and 0 elsewhere. Random features: the last layer
    alone, from the same start and on the same minibatches, on the hidden layer's initial outputs. A
    weight jumps where moving it by h turns its unit on or off for an instance of the batch.
    """,
    limitations="""
    One hidden layer and a hard step: surrogate gradients (straight-through estimators, noise,
    smoothed steps) are other methods. Differences need two evaluations for every parameter: they
    train the small network only, briefly, and one wide step was tried, not tuned. How often a
    stencil meets a jump grows with the number of instances in the batch.
    """,
)  # fmt: skip

if __name__ == "__main__":
    lab.main(EXPERIMENT)
