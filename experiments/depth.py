"""Do deep networks work better than shallow ones?

What flows: perceptrons with equal numbers of parameters -> a learning rate for each -> test errors,
paired by seed. The positive control is a sawtooth, for which depth provably helps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from apparatus import learning
from apparatus.learning import TRAINING, examples, in_turn

from difflab import gradient, lab
from difflab.lab import Case, Experiment, Figure, Preset, Result, Row
from difflab.networks import Adam, MinibatchSGD, Network
from difflab.networks.data import Part

NAMES = ["task", "data", "budget", "depth", "updates"]
SETS = {"digits": (64, 10), "mnist1d": (40, 10), "mnist_5k": (784, 10)}  # inputs and outputs
TEETH = {"sawtooth_4": (1, 1), "sawtooth_5": (1, 1)}  # how often the tent map is composed
SHAPES = SETS | TEETH
RATES, ADAMS_RATES = [0.05 * 2.0**k for k in range(7)], [0.001, 0.003, 0.01, 0.03, 0.1]
PIECES = "pieces"  # the part that counts the linear pieces of a sawtooth
SHALLOW, DEEP, OTHER = "one hidden layer", "the chosen deeper one", "another"


def parameter_count(data: str, depth: int, width: int) -> int:
    """The weights and biases of a network of equally wide hidden layers."""
    inputs, outputs = SHAPES[data]
    return (inputs + 1) * width + (depth - 1) * (width + 1) * width + (width + 1) * outputs


def width_for(data: str, depth: int, budget: int) -> int:
    """The width that brings the number of parameters nearest to the budget.

    >>> [width_for("mnist1d", depth, 8000) for depth in (1, 2, 8)]
    [157, 67, 30]
    """
    return min(range(1, budget), key=lambda w: abs(parameter_count(data, depth, w) - budget))


def network(data: str, depth: int, width: int) -> Network:
    """A perceptron with ReLUs and the initial weights of He et al."""
    inputs, outputs = SHAPES[data]
    head, solver = ("identity", Adam) if data in TEETH else ("softmax", MinibatchSGD)
    net = learning.perceptron(inputs, [width] * depth, outputs, head=head)
    net.solver = solver(batch_size=32, schedule="cosine")
    return net


def configurations(preset: Preset) -> list[Case]:
    """Data set, budget of parameters and number of hidden layers, with the number of updates."""
    tasks = preset.choose(
        smoke=[("digits", 2000, 30), ("sawtooth_4", 1000, 30)],
        quick=[("digits", 2000, 200), ("sawtooth_4", 1000, 200)],
        full=[("digits", 2000, 1500), ("digits", 8000, 1500), ("mnist1d", 2000, 3000),
              ("mnist1d", 8000, 3000), ("mnist_5k", 8000, 800), ("mnist_5k", 30_000, 800),
              ("sawtooth_4", 1000, 10_000), ("sawtooth_5", 1000, 10_000)],
    )  # fmt: skip
    depths = preset.choose(smoke=(1, 2), quick=(1, 2, 4), full=(1, 2, 4, 8))
    return [
        {"task": f"{data}, {budget:,} parameters", "data": data, "budget": budget, "depth": depth,
         "updates": updates}
        for data, budget, updates in tasks
        for depth in depths
        if depth <= 4 or data in SETS
    ]  # fmt: skip


def cases(preset: Preset) -> list[Case]:
    seeds = range(preset.choose(smoke=1, quick=1, full=2))
    step = preset.choose(smoke=slice(2, 4), quick=slice(2, 4), full=slice(None))
    folds = preset.choose(smoke=range(1, 4), quick=range(1, 9), full=range(1, 11))
    tuning = learning.tuning_cases(
        configurations(preset),
        lambda own: (ADAMS_RATES if own["data"] in TEETH else RATES)[step], seeds,
    )  # fmt: skip
    return [*in_turn(tuning), *[{"part": PIECES, "depth": depth} for depth in folds]]


def further(preset: Preset, rows: pd.DataFrame) -> list[Case]:
    """Every depth at its rate; the deeper network of least validation error is `DEEP`."""
    best = learning.chosen_rates(rows, ["task", "depth"]).reset_index()
    deeper = best[best["depth"] > 1].sort_values(list(learning.LEAST))
    stands = deeper.drop_duplicates("task").set_index("task")["depth"]
    found = learning.training_cases(rows, configurations(preset), preset.seeds)
    for case in found:
        deep = case["depth"] == stands[case["task"]]
        case["role"] = SHALLOW if case["depth"] == 1 else DEEP if deep else OTHER
    return in_turn(found)


def measure(case: Case, rng: np.random.Generator) -> Row:
    if case["part"] == PIECES:
        return count_pieces(case["depth"])
    data, depth = case["data"], case["depth"]
    width = width_for(data, depth, case["budget"])
    options = {name: case[name] for name in ("part", "seed", "rate", "updates")}
    known = ((teeth(int(data[-1])),) * 2 if data in TEETH else
             examples(data, case["part"], case["seed"]))  # fmt: skip
    every = max(1, case["updates"] // 18)
    *_, last = learning.train(network(data, depth, width), known, every=every, **options)
    return {"width": width, "parameters": parameter_count(data, depth, width), **last}


def teeth(folds: int) -> Part:
    """A sawtooth of 2^folds pieces on [-1, 1]: the tent map, composed with itself."""
    x = np.linspace(0.0, 1.0, 512)
    y = x
    for _ in range(folds):
        y = np.minimum(2.0 * y, 2.0 - 2.0 * y)
    return Part((2.0 * x - 1.0)[:, np.newaxis], y)


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
    """The pieces of a sawtooth, and the units that one hidden layer needs for as many."""
    found = pieces(sawtooth(depth), places=4 * 2**depth)
    return {"pieces": found, "shallow_units": 2**depth - 1, "doubled": found == 2**depth}


def results(rows: pd.DataFrame) -> list[Result]:
    known = {"by": "task", "scale": 100, "badges": learning.badges(rows, NAMES)}
    real, toy = ({"part": TRAINING, "last": True, "data": [*data]} for data in (SETS, TEETH))
    deepest = int(rows.loc[rows["part"] == TRAINING, "depth"].max())
    sides = {"left": {"role": SHALLOW}, "right": {"role": DEEP}}
    return [
        lab.paired("deep_beats_shallow", rows, "held_error", **sides, where=real, **known,
                   words="test error with one hidden layer minus that with the deeper network of"
                   " least validation error"),
        lab.paired("deepest_fits_worse", rows, "train_error", left={"depth": deepest},
                   right={"depth": 2}, where=real, **known,
                   words=f"training error with {deepest} hidden layers minus that with 2"),
        lab.paired("trained_depth_makes_teeth", rows, "train_error", **sides, where=toy, **known,
                   words="share of the sawtooth's variance that is left unexplained: one hidden"
                   " layer's minus the deeper network's of least error in the tuning runs"),
        lab.every("depth_makes_pieces", rows, "doubled", where={"part": PIECES},
                  counted="networks", words="runs of equal slope, by reverse mode, number 2^k"),
    ]  # fmt: skip


def figures(rows: pd.DataFrame) -> list[Figure]:
    own = rows[rows["part"] == TRAINING]
    large = own["budget"] == own.groupby("data")["budget"].transform("max")
    own = own.assign(size=large.map({True: "larger budget", False: "smaller budget"}))
    toy = own["data"].isin(TEETH)
    known = {"where": {"last": True}, "scale": 100,
             "foot": f"{own['seed'].nunique()} seeds, each depth at its own rate"}  # fmt: skip
    test, _, control, _ = results(rows)
    return [
        lab.curves(
            own[~toy], "test_error", "depth", "held_error", "size", **known,
            labels=("hidden layers", "test error (%)"),
            caption="Test error against depth, at equal numbers of parameters.",
            alt="Test error against the number of hidden layers, a line for each budget",
            finding=f"Deeper is clearly ahead of one hidden layer on {signs(test)}",
        ),
        lab.curves(
            own[toy], "sawtooth", "depth", "train_error", "size", **known,
            labels=("hidden layers", "variance unexplained (%)"),
            caption="Sawtooth of 16 and of 32 pieces, by Adam.",
            alt="Unexplained variance against the number of hidden layers",
            finding=f"The positive control: depth fits better on {signs(control)}",
        ),
    ]  # fmt: skip


def signs(result: Result) -> str:
    """On how many tasks the interval lies above 0, and on how many below."""
    found = [part.interval for part in result.parts if part.interval]
    above, below = sum(one.low > 0 for one in found), sum(one.high < 0 for one in found)
    return f"{above} of {len(result.parts)} tasks, and the reverse on {below}"


EXPERIMENT = Experiment(
    name="depth", title="Depth", version=2, order=48,
    question="Do deep networks work better than shallow ones of as many parameters?",
    cases=cases, after=further, measure=measure, results=results, figures=figures,
    method="""
    All networks of a comparison have nearly as many parameters, in hidden layers of equal width;
    ReLUs, He's weights, softmax and cross-entropy, float32, minibatches of 32. Plain gradient
    descent whose highest rate is tuned for each data set, budget and depth on a validation split
    with other seeds, and falls to 0 along a cosine. Against one hidden layer stands the deeper
    network (2 to 8) of least mean validation error there. The control: 512 points of the tent map,
    composed with itself 4 and 5 times, fitted by Adam (squared error, 1,000 parameters), all seen.
    """,
    limitations="""
    Small perceptrons on data without much structure to compose: convolutional networks and millions
    of images, where depth made its name, are another matter. No normalisation and no skip
    connections, which exist because of what the deepest networks show here. Equal parameters are
    not equal time, and an equal number of updates favours what trains fast.
    """,
)  # fmt: skip

if __name__ == "__main__":
    lab.main(EXPERIMENT)
