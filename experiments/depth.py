"""Do deep networks work better than shallow ones?

Perceptrons of 1 to 8 hidden layers with equal numbers of parameters, each at its own learning rate,
on the same seeds. The deep network that is held against the one with a single hidden layer is
chosen on validation data. Beside it, a function for which depth provably helps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from _depth_page import chosen_depths, difference, errors, figures, sections, tables
from apparatus.learning import (
    examples,
    share,
    train,
    training_cases,
    tuning_cases,
)

from difflab import gradient
from difflab.lab import Case, Evidence, Experiment, Preset, Row, main
from difflab.networks import MinibatchSGD, Network

CLASSES, BATCH = 10, 32
INPUTS = {"mnist1d": 40, "digits": 64, "mnist_5k": 784}
RATES = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
PIECES = "pieces"
"""The part that counts the linear pieces of a sawtooth."""


# Networks of equal size ---------------------------------------------------------------------------


def parameter_count(inputs: int, depth: int, width: int) -> int:
    """The weights and biases of a network of equally wide hidden layers.

    >>> parameter_count(40, 2, 67)
    7983
    """
    return (inputs + 1) * width + (depth - 1) * (width + 1) * width + (width + 1) * CLASSES


def width_for(inputs: int, depth: int, budget: int) -> int:
    """The width that brings the number of parameters nearest to the budget.

    >>> [width_for(40, depth, 8000) for depth in (1, 2, 8)]
    [157, 67, 30]
    """
    return min(range(1, budget), key=lambda w: abs(parameter_count(inputs, depth, w) - budget))


def network(inputs: int, depth: int, width: int) -> Network:
    """A perceptron with ReLUs and the initial weights of He et al."""
    net = Network(inputs, dtype="float32")
    for _ in range(depth):
        net.fc(width)
    net.fc(CLASSES, activation="softmax")
    net.solver = MinibatchSGD(batch_size=BATCH, schedule="cosine")
    return net


# Measuring ----------------------------------------------------------------------------------------


def configurations(preset: Preset) -> list[Case]:
    """Data set, budget of parameters and number of hidden layers, with the number of updates."""
    sets = preset.choose(
        smoke=[("digits", 2000, 30)],
        quick=[("mnist1d", 2000, 300), ("digits", 2000, 300)],
        full=[
            *[("mnist1d", budget, 3000) for budget in (2000, 8000, 32_000)],
            *[("digits", budget, 2000) for budget in (2000, 8000)],
            ("mnist_5k", 30_000, 1000),
        ],
    )
    depths = preset.choose(smoke=(1, 2), quick=(1, 2, 4), full=(1, 2, 3, 4, 8))
    return [
        {"data": data, "budget": budget, "depth": depth, "updates": updates}
        for data, budget, updates in sets
        for depth in depths
    ]


def cases(preset: Preset) -> list[Case]:
    rates = preset.choose(smoke=(0.2, 0.4), quick=(0.2, 0.4, 0.8), full=RATES)
    seeds = range(preset.choose(smoke=1, quick=2, full=3))
    tuning = tuning_cases(configurations(preset), rates, seeds)
    folds = preset.choose(smoke=range(1, 4), quick=range(1, 9), full=range(1, 11))
    return [*in_turn(tuning), *[{"part": PIECES, "depth": depth} for depth in folds]]


def further(preset: Preset, rows: pd.DataFrame) -> list[Case]:
    return in_turn(training_cases(rows, configurations(preset), preset.seeds))


def in_turn(found: list[Case]) -> list[Case]:
    """Cases of the same split one after the other, so that it is made once."""
    return sorted(found, key=lambda case: (case["data"], case["seed"]))


def measure(case: Case, rng: np.random.Generator) -> Iterator[Row]:
    if case["part"] == PIECES:
        yield count_pieces(case["depth"])
        return
    inputs = INPUTS[case["data"]]
    width = width_for(inputs, case["depth"], case["budget"])
    about = {"width": width, "parameters": parameter_count(inputs, case["depth"], width)}
    runs = train(
        network(inputs, case["depth"], width),
        examples(case["data"], case["part"], case["seed"]),
        part=case["part"],
        seed=case["seed"],
        rate=case["rate"],
        updates=case["updates"],
        every=case["updates"] // 10,
    )
    for row in runs:
        yield about | row


# A function for which depth helps -----------------------------------------------------------------


def sawtooth(depth: int) -> Network:
    """The tent map 2 relu(x) - 4 relu(x - 1/2) on [0, 1], composed with itself depth times."""
    net = Network(1)
    for _ in range(depth):
        net.fc(2)
    net.fc(1, activation="identity")
    tent, bias = np.array([[2.0], [-4.0]]), np.array([0.0, -0.5])
    first = {"W": np.ones((1, 2)), "b": bias}
    between = [{"W": np.repeat(tent, 2, axis=1), "b": bias} for _ in range(depth - 1)]
    net.parameters = [first, *between, {"W": tent, "b": np.zeros(1)}]
    return net


def pieces(net: Network, places: int) -> int:
    """How many linear pieces a function on [0, 1] has: runs of equal slope, by reverse mode."""

    def total(x: Any) -> Any:  # each output depends on its own x alone
        return np.sum(net.forward(net.parameters, x))

    middles = (np.arange(places) + 0.5) / places
    slopes = gradient(total)(middles[:, np.newaxis])[:, 0]
    return 1 + int(np.count_nonzero(np.diff(slopes)))


def count_pieces(depth: int) -> Row:
    """The pieces of a sawtooth, and the most that one hidden layer of as many units can make."""
    net = sawtooth(depth)
    units = 2 * depth
    return {
        "units": units,
        "parameters": sum(layer.size for layer in net.layers),
        "pieces": pieces(net, places=4 * 2**depth),
        "shallow_most": units + 1,
        "shallow_units": 2**depth - 1,
    }


# Findings -----------------------------------------------------------------------------------------


def findings(rows: pd.DataFrame) -> list[Evidence]:
    return [deeper_is_better(rows), deepest_fits_worse(rows), sawtooth_needs_depth(rows)]


def deeper_is_better(rows: pd.DataFrame) -> Evidence:
    """One hidden layer's test error minus the best deeper network's."""
    one, deep = compared(rows, "held_error")
    sets = dict.fromkeys(one.columns.get_level_values("data"))
    parts = {data: difference(one[data], deep[data]) for data in sets}
    chosen = chosen_depths(rows)
    lost = int(one.isna().sum().sum() + deep.isna().sum().sum())
    words = "; ".join(
        f"{data} {interval} (chosen: {' and '.join(str(d) for d in chosen[data])} hidden layers)"
        for data, interval in parts.items()
    )
    return Evidence(
        "deep_beats_shallow",
        difference(one, deep),
        "test error with one hidden layer minus that with the number of hidden layers that has the"
        f" least validation error, in points, paired by seed: {words}. {lost} of"
        f" {one.size + deep.size} runs diverged; their seeds are left out",
        also=tuple(parts.values()),
    )


def compared(rows: pd.DataFrame, column: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """By seed, and by data set and budget: a percentage of one hidden layer and of the chosen."""
    found = errors(rows, column)
    one = found.xs(1, axis=1, level="depth")
    chosen = chosen_depths(rows)
    deep = pd.DataFrame({key: found[(*key, chosen[key])] for key in one.columns})
    return one, deep


def deepest_fits_worse(rows: pd.DataFrame) -> Evidence:
    """The training error of the deepest networks minus that of those with two hidden layers."""
    found = errors(rows, "train_error")
    deepest = int(found.columns.get_level_values("depth").max())
    two, most = (found.xs(depth, axis=1, level="depth") for depth in (2, deepest))
    each = "; ".join(
        f"{data} with {budget:,} parameters {two[data, budget].mean():.2f} % and"
        f" {most[data, budget].mean():.2f} %"
        for data, budget in two.columns
    )
    return Evidence(
        "deepest_fits_worse",
        difference(most, two),
        f"training error with {deepest} hidden layers minus that with 2, in points: {each}",
    )


def sawtooth_needs_depth(rows: pd.DataFrame) -> Evidence:
    own = rows[rows["part"] == PIECES]
    exact = own["pieces"] == 2 ** own["depth"]
    last = own.loc[own["depth"].idxmax()]
    return Evidence(
        "depth_makes_pieces",
        share(exact),
        f"the slope, by reverse mode, has 2^k runs in {exact.sum()} of {len(own)} networks: with"
        f" {last['depth']:.0f} hidden layers of 2 units {last['pieces']:.0f} pieces, where one"
        f" hidden layer would need {last['shallow_units']:.0f} units",
    )


EXPERIMENT = Experiment(
    name="depth",
    title="Depth",
    question="Do deep networks work better than shallow ones of as many parameters?",
    version=1,
    cases=cases,
    after=further,
    measure=measure,
    sections=sections,
    tables=tables,
    figures=figures,
    findings=findings,
    method=f"""
    Hidden layers of equal width, which is solved for so that all networks of a comparison have
    nearly as many parameters; ReLUs with the initial weights of He et al. 2015, softmax and
    cross-entropy, float32. Plain minibatch gradient descent ({BATCH} instances) whose learning rate
    falls to 0 along a cosine; as many updates for every depth. The highest rate is tuned for each
    data set, budget and depth on a validation split with other seeds. The deeper network that
    stands against one hidden layer is the one of least validation error in those tuning runs: test
    errors choose nothing. A seed sets split, initial weights and order for all depths alike.
    """,
    limitations="""
    Small perceptrons on data without much structure to compose: convolutional networks and millions
    of images, where depth made its name, are another matter. No normalisation and no skip
    connections, which exist because of what the deepest networks show here. Equal parameters are
    not equal time: a deeper network takes longer for an update. The equal number of updates favours
    networks that train fast. No regularisation: networks that fit all training data are compared by
    how they happen to generalise.
    """,
    order=48,
)

if __name__ == "__main__":
    main(EXPERIMENT)
