"""Can stochastic gradient descent train a step activation?

The step's derivative is 0, so that no gradient passes it: what is left to train is the last layer,
on random features. Differences see the jumps that the derivative does not: seldom, and hugely,
when the step of a difference is small; a wide one smooths the loss.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from _step_function_page import (
    NAMES,
    OBSERVED,
    figures,
    jumps,
    ran,
    tables,
)
from apparatus.learning import (
    TRAINING,
    TUNING,
    last_rows,
    paired_difference,
    run_seed,
    share,
    train,
    training_cases,
    tuning_cases,
)
from apparatus.training_programs import digits, network

from difflab import gradient
from difflab.errors import UnsupportedError
from difflab.ir.tree import flatten
from difflab.lab import (
    Case,
    Evidence,
    Experiment,
    Interval,
    Preset,
    Row,
    bootstrap_interval,
    generator,
    grid,
    main,
)
from difflab.methods import METHODS, Method, Numerical
from difflab.networks import Network
from difflab.networks.activations import step
from difflab.networks.data import Part

DIGITS, WIDER, COARSE, TINY = [64, 32, 10], [16, 32, 10], [16, 8, 10], [4, 3, 2]
"""Networks of one hidden layer: on images of 8 x 8, 4 x 4 and 2 x 2 pixels."""
RATES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
WIDE = 0.3
"""The step of differences that smooth the loss, about a third of a feature's deviation."""
STEPS = [float(f"{10 ** (power / 4):.3g}") for power in range(-20, 1)]
BATCH = 32
SAMPLED = 20
"""Of how many weights that jump, at most, differences are taken for each draw and step."""


# Cases --------------------------------------------------------------------------------------------


def configurations(preset: Preset) -> list[Case]:
    """What is trained: activations by reverse mode, and the step by differences."""
    coarse = [("step", "reverse"), ("relu", "reverse"), ("step", "theory"), ("step", "wide")]
    full = [("step", "reverse"), ("sigmoid", "reverse"), ("relu", "reverse")]
    long, short = preset.choose(smoke=(20, 5), quick=(300, 60), full=(1000, 300))
    return [
        *[{"sizes": DIGITS, "activation": name, "method": way, "updates": long}
          for name, way in full],
        *[{"sizes": COARSE, "activation": name, "method": way, "updates": short}
          for name, way in coarse],
    ]  # fmt: skip


def cases(preset: Preset) -> list[Case]:
    rates = preset.choose(smoke=RATES[2:4], quick=RATES[1:5], full=RATES)
    tuning = range(preset.choose(smoke=1, quick=1, full=3))
    steps = preset.choose(smoke=STEPS[4:9], quick=STEPS, full=STEPS)
    draws = preset.choose(smoke=2, quick=5, full=50)
    few = preset.choose(smoke=preset.seeds[:1], quick=preset.seeds[:1], full=preset.seeds)
    pair = preset.choose(smoke=1, quick=1, full=2)
    coarse = preset.choose(smoke=steps[::4], quick=steps[::4], full=steps[::2])
    return [
        *grid(part=["zeros"], sizes=[COARSE], batch=[BATCH], seed=few),
        *grid(part=["zeros"], sizes=[TINY], batch=[pair], seed=preset.seeds[:1]),
        *grid(part=["stencil"], sizes=[WIDER], batch=[128], steps=[coarse], seed=few),
        *grid(part=["jumps"], sizes=[WIDER], batch=[128], steps=[steps], draws=[draws],
              seed=preset.seeds),
        *tuning_cases(configurations(preset), rates, tuning),
    ]  # fmt: skip


def after(preset: Preset, rows: pd.DataFrame) -> list[Case]:
    """The training runs, at the rates that the tuning runs chose."""
    chosen = configurations(preset)
    rows = rows.assign(sizes=rows["sizes"].map(str).map(as_list))
    keyed = [case | {"sizes": str(case["sizes"])} for case in chosen]
    found = training_cases(rows, keyed, preset.seeds)
    return [case | {"sizes": [int(part) for part in case["sizes"][1:-1].split(",")]}
            for case in found]  # fmt: skip


def as_list(text: str) -> str:
    """The stored text of a list, as Python writes it."""
    return str([int(part) for part in text.strip("[]").split(",")])


def measure(case: Case, rng: np.random.Generator) -> Iterator[Row]:
    parts = {"zeros": zeros, "stencil": stencils, "jumps": jumps_of}
    yield from parts.get(case["part"], run)(case)


# Gradients ----------------------------------------------------------------------------------------


def start(case: Case, activation: str = "step") -> tuple[Network, Any, Part]:
    """A network with drawn parameters, and a batch of instances."""
    net = network(case["sizes"], activation, "float64", case["batch"], 0.1)
    learn, _ = digits(case["sizes"], TRAINING, case["seed"])
    batch = Part(learn.X[: case["batch"]], learn.y[: case["batch"]])
    return net, net.initial(run_seed(TRAINING, case["seed"])), batch


def zeros(case: Case) -> Iterator[Row]:
    """The share of exact zeros in a gradient, of the hidden layer and of the last."""
    for name in METHODS:
        if name == "symbolic" and case["sizes"] != TINY:
            continue
        for activation in ("step", "relu"):
            net, parameters, batch = start(case, activation)
            targets = np.eye(net.last.units)[batch.y]  # floats: labels have no complex reading
            try:
                slopes = gradient(net.objective, method=name, engine="numpy")(
                    parameters, batch.X, targets
                )
            except UnsupportedError:
                yield {"method": name, "activation": activation, "refused": True}
                continue
            hidden, last = (np.concatenate(flatten(part)[0], axis=None) for part in slopes)
            yield {"method": name, "activation": activation, "refused": False,
                   "hidden_zero": float(np.mean(hidden == 0.0)),
                   "last_zero": float(np.mean(last == 0.0))}  # fmt: skip


def stencils(case: Case) -> Iterator[Row]:
    """What differences of every step say of the hidden weights, and whether they jumped."""
    net, parameters, batch = start(case)
    for kind in ("forward", "central"):
        for h in case["steps"]:
            method = Numerical(kind, 2 if kind == "central" else 1, step=h)
            found = gradient(net.objective, method=method, engine="numpy")(parameters, *batch)[0][
                "W"
            ]
            inside = crossed(parameters[0], batch.X, h, both=kind == "central")
            sizes = np.abs(found[inside])
            yield {
                "stencil": kind, "h": h, "weights": found.size,
                "crossed": int(inside.sum()),
                "nonzero": int(np.sum(found != 0.0)),
                "unexplained": float(np.max(np.abs(found[~inside]), initial=0.0)),
                "median_size": float(np.median(sizes)) if sizes.size else np.nan,
                "largest": float(np.max(sizes, initial=0.0)),
            }  # fmt: skip


def jumps_of(case: Case) -> Iterator[Row]:
    """How many weights jump, and how large their differences are, over many initial weights."""
    net, _, batch = start(case)
    rng = generator("step_function", "jumps", case["seed"])
    drawn = [net.initial(int(rng.integers(2**31))) for _ in range(case["draws"])]
    for h in case["steps"]:
        found, sizes = 0, []
        for parameters in drawn:
            places = np.argwhere(crossed(parameters[0], batch.X, h, both=False))
            found += len(places)
            few = rng.permutation(places)[:SAMPLED]
            sizes += [difference(net, parameters, batch, tuple(place), h) for place in few]
        weights = case["draws"] * drawn[0][0]["W"].size
        median = float(np.median(np.abs(sizes))) if sizes else np.nan
        yield {"h": h, "weights": weights, "crossed": found, "median_size": median}


def difference(net: Network, parameters: Any, batch: Part, place: Any, h: float) -> float:
    """The forward difference of the loss along one hidden weight."""
    moved = parameters[0]["W"].copy()
    moved[place] += h
    after = [parameters[0] | {"W": moved}, *parameters[1:]]
    return float(net.objective(after, *batch) - net.objective(parameters, *batch)) / h


def crossed(layer: dict[str, Any], X: Any, h: float, *, both: bool) -> Any:
    """Which weights turn a unit on or off for some instance when they move by h (or by -h).

    >>> crossed({"W": np.array([[1.0]]), "b": np.array([-1.0])}, np.array([[0.9]]), 0.2, both=False)
    array([[ True]])
    """
    before = X @ layer["W"] + layer["b"]
    found = np.zeros(layer["W"].shape, bool)
    for sign in (1.0, -1.0) if both else (1.0,):
        moved = before[:, None, :] + sign * h * X[:, :, None]
        found |= np.any((moved > 0) != (before[:, None, :] > 0), axis=0)
    return found


# Training -----------------------------------------------------------------------------------------


def method_of(name: str) -> str | Method:
    """Reverse mode, or central differences of the step by theory or of a wide one."""
    ways = {"theory": "central_difference", "wide": Numerical("central", 2, step=WIDE)}
    return ways.get(name, name)


def run(case: Case) -> Iterator[Row]:
    """A training run, and whether the hidden layer moved; of the step also random features."""
    names = ("part", "seed", "rate", "updates")
    options = {name: case[name] for name in names} | {"every": max(1, case["updates"] // 20)}
    parts = digits(case["sizes"], case["part"], case["seed"])
    net = network(case["sizes"], case["activation"], "float64", BATCH, case["rate"])
    first = net.initial(run_seed(case["part"], case["seed"]))
    found = list(train(net, parts, **options, method=method_of(case["method"])))
    moved = [np.any(net.parameters[0][name] != first[0][name]) for name in ("W", "b")]
    row = {"hidden_moved": bool(np.any(moved))}
    other: list[Row] = [{}] * len(found)
    if case["activation"] == "step" and case["method"] == "reverse" and case["part"] != TUNING:
        features, other = random_features(case, net, first, parts, options)
        row["same_weights"] = all(
            np.array_equal(features.parameters[0][name], net.parameters[1][name])
            for name in ("W", "b")
        )
        other = [{"features_error": x["held_error"], "features_loss": x["loss"]} for x in other]
    for own, beside in zip(found, other, strict=True):
        yield own | row | beside


def random_features(
    case: Case, net: Network, first: Any, parts: tuple[Part, Part], options: Row
) -> tuple[Network, list[Row]]:
    """The last layer alone, trained on what the hidden layer gives before training."""
    last = Network(inputs=case["sizes"][1])
    last.fc(case["sizes"][2], activation="softmax")
    last.solver = net.solver
    last.parameters = first[1:]
    hidden = tuple(Part(step(x.X @ first[0]["W"] + first[0]["b"]), x.y) for x in parts)
    return last, list(train(last, hidden, **options, warm_start=True))


# Findings -----------------------------------------------------------------------------------------


def findings(rows: pd.DataFrame) -> list[Evidence]:
    return [
        zero_gradients(rows),
        only_the_last_layer(rows),
        gap(rows, "relu", "step_is_worse_than_relu"),
        jump_law(rows, "share", "jumps_in_proportion_to_h"),
        jump_law(rows, "median_size", "jumps_are_as_one_over_h"),
        wide_differences(rows),
    ]


def zero_gradients(rows: pd.DataFrame) -> Evidence:
    """Runs of the step by reverse mode whose hidden layer stayed, bit by bit."""
    own = final(rows)
    own = own[(own["activation"] == "step") & (own["method"] == "reverse")]
    moved = own["hidden_moved"].astype(bool)
    zero = rows[(rows["part"] == "zeros") & (rows["activation"] == "step")]
    exact = zero[zero["method"].isin(["reverse", "forward", "symbolic"])]["hidden_zero"]
    return Evidence(
        "step_has_zero_gradients",
        share(~moved),
        f"in {(~moved).sum()} of {len(own)} training runs every hidden weight and bias is, bit by"
        f" bit, the initial one; gradients by reverse mode, forward mode and SymPy are exactly 0 in"
        f" {100 * exact.min():.0f} % of the hidden parameters",
    )


def only_the_last_layer(rows: pd.DataFrame) -> Evidence:
    """Whether training the step network is training its last layer on random features."""
    own = final(rows)
    own = own[own["features_error"].notna()]
    same = own["same_weights"].astype(bool) & (own["features_error"] == own["held_error"])
    return Evidence(
        "step_is_random_features",
        share(same) if len(own) else None,
        f"in {same.sum()} of {len(same)} runs the last layer ends with the same bits as one that is"
        " trained alone on the hidden layer's initial outputs",
    )


def final(rows: pd.DataFrame) -> pd.DataFrame:
    """The last row of every training run."""
    return last_rows(ran(rows), ["sizes", "activation", "method"])


def errors(rows: pd.DataFrame, sizes: str, activation: str, method: str) -> pd.Series:
    """Test error by seed, in percent."""
    own = final(rows)
    own = own[(own["network"] == sizes) & (own["activation"] == activation)]
    return 100 * own[own["method"] == method].set_index("seed")["held_error"]


def gap(rows: pd.DataFrame, activation: str, claim: str) -> Evidence:
    large = "64-32-10"
    better, worse = (errors(rows, large, name, "reverse") for name in (activation, "step"))
    sigmoid = paired_difference(worse, errors(rows, large, "sigmoid", "reverse"))
    return Evidence(
        claim,
        paired_difference(worse, better),
        f"test error is {worse.mean():.1f} % with the step, {better.mean():.1f} % with"
        f" {NAMES[activation]}, each at its own learning rate ({len(worse)} seeds, paired); against"
        f" the sigmoid the difference is {sigmoid}",
    )


def jump_law(rows: pd.DataFrame, column: str, claim: str) -> Evidence:
    """How a quantity of forward differences grows with their step."""
    own = jumps(rows)
    own = own[own["share"].between(*OBSERVED)]
    table = rows[(rows["part"] == "jumps") & rows["h"].isin(own["h"])]
    table = table.assign(share=table["crossed"] / table["weights"])
    by_seed = table.pivot(index="seed", columns="h", values=column)
    fit = exponent_over_seeds(by_seed) if len(own) > 2 else None
    what = {
        "share": "the share of hidden weights whose difference is not 0",
        "median_size": "the median size of the differences that are not 0",
    }
    span = f"{own['h'].min():g} to {own['h'].max():g}" if len(own) else "no step"
    return Evidence(
        claim,
        fit,
        f"{what[column]}, the mean of {len(by_seed)} seeds, over {len(own)} steps from {span},"
        f" where {OBSERVED[0]:.1%} to {OBSERVED[1]:.0%} of the weights jump"
        f" ({own['weights'].max() if len(own) else 0:.0f} weights a step)",
    )


def exponent_over_seeds(by_seed: pd.DataFrame) -> Interval:
    """The exponent of the mean over seeds (rows) as a power of the columns, by resampling seeds.

    >>> steps = pd.DataFrame([[3.0, 12.0, 48.0], [5.0, 20.0, 80.0]], columns=[1.0, 2.0, 4.0])
    >>> print(exponent_over_seeds(steps))
    2 [2, 2]
    """
    x = np.log(by_seed.columns.to_numpy(float))
    x -= x.mean()

    def slope(picks: Any, axis: int) -> Any:
        means = np.nanmean(by_seed.to_numpy()[picks.astype(int)], axis=axis)
        return np.log(means) @ x / (x @ x)

    return bootstrap_interval(np.arange(len(by_seed)), statistic=slope)


def wide_differences(rows: pd.DataFrame) -> Evidence:
    coarse = "16-8-10"
    frozen, wide = (errors(rows, coarse, "step", way) for way in ("reverse", "wide"))
    theory, relu = errors(rows, coarse, "step", "theory"), errors(rows, coarse, "relu", "reverse")
    return Evidence(
        "wide_differences_train_a_step",
        paired_difference(frozen, wide),
        f"test error is {wide.mean():.1f} % by central differences of {WIDE:g},"
        f" {frozen.mean():.1f} % by reverse mode, {theory.mean():.1f} % by differences"
        f" of the step that theory gives for smooth functions, and {relu.mean():.1f} % with a"
        f" ReLU ({len(wide)} seeds, paired)",
    )


EXPERIMENT = Experiment(
    name="step_function",
    title="The step function",
    question="Can stochastic gradient descent train a step activation?",
    version=1,
    cases=cases,
    measure=measure,
    after=after,
    tables=tables,
    figures=figures,
    findings=findings,
    method=f"""
    Digits in 8 x 8 pixels (64-32-10 units) and in 4 x 4 (16-8-10), softmax with cross-entropy,
    plain gradient descent with minibatches of {BATCH}; the learning rate of each configuration is
    tuned with other seeds. The step is 1 above 0 and 0 elsewhere. Random features: the last layer
    alone, from the same start and on the same minibatches, on the hidden layer's initial outputs. A
    weight jumps where moving it by h turns its unit on or off for an instance of the batch, which
    is counted from the pre-activations; differences are held against that count.
    """,
    limitations="""
    One hidden layer and a hard step: surrogate gradients (straight-through estimators, noise,
    smoothed steps) are other methods. Differences need two evaluations for every parameter, so they
    train the small network only, for a few hundred updates, and one wide step was tried, not tuned.
    How often a stencil meets a jump grows with the number of instances in the batch.
    """,
    order=47,
)

if __name__ == "__main__":
    main(EXPERIMENT)
