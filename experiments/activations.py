"""Which activation learns fastest, and does depth change it?

Perceptrons that differ in the activation of their hidden layers alone are trained on real data,
each at its own learning rate, and compared by seed: how many updates they need until a training
error is reached, and how they err on test instances at a plateau. Further arms start from small
Gaussian weights, and repeat the table of Glorot & Bengio 2010; a timed one times activations.

What flows: a configuration -> a tuning case, which searches its learning rate -> training cases at
that rate, a row each. Invariant: a search goes on until the best rate has worse ones on both sides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from apparatus import learning
from apparatus.learning import LEAST, TRAINING, TUNING, badges, examples

from difflab import lab, value_and_gradient
from difflab.engines import native
from difflab.lab import TIME_COLUMNS, Case, Experiment, Figure, Preset, Result, Row, Table
from difflab.networks import MinibatchSGD, Network, load
from difflab.networks.data import Part
from difflab.networks.examples import targets
from difflab.networks.layers import Layer
from difflab.networks.metrics import accuracy

NAMES = ["set", "data", "width", "start", "activation", "depth", "updates", "threshold", "goal"]
TITLES = {"digits": "digits", "mnist1d": "MNIST-1D", "mnist_5k": "MNIST"}
THRESHOLDS = {"digits": 0.25, "mnist1d": 0.25, "mnist_5k": 0.05}
SCALED = {"relu": "he", "leaky_relu": "he", "tanh": "glorot", "sigmoid": "glorot"}
"""The initial weights that suit an activation."""
FIRST = {"relu": 0.1, "leaky_relu": 0.1, "tanh": 0.2, "softsign": 0.2, "sigmoid": 1.6}
"""The learning rate at which a search begins."""
FACTOR, MOST = 2.0, 8
"""A search's rates stand so far apart, and there are at most so many."""
TAUGHT = {2: ("relu", "leaky_relu"), 4: tuple(SCALED), 8: ("relu", "tanh", "sigmoid")}
"""Whose test errors are asked at a depth."""
DEEPEST = {32: 8, 128: 4}
"""The most hidden layers of so many units: wide and deep at once takes too long."""
GOALS = {"speed": ("missed", "log_reached", "train_error", "loss"), "test": LEAST}
"""What a rate is tuned for: most runs that reach the threshold, then fewest updates to it (then the
least training error and loss); or the least validation error."""
PUBLISHED = {("softsign", "uniform"): 1.64, ("softsign", "glorot"): 1.72, ("tanh", "uniform"): 1.76,
             ("tanh", "glorot"): 1.64, ("sigmoid", "uniform"): 2.21}  # fmt: skip
"""Test errors on MNIST in percent, five hidden layers: Glorot & Bengio 2010, table 1."""
BATCH, LOOKS, SIZE = 32, 18, 100_000
DROPOUT = "digits, dropout"
SUITED = {"part": TRAINING, "start": ["he", "glorot"]}
SPEED, PLATEAU, TABLE = SUITED | {"goal": "speed"}, SUITED | {"goal": "test"}, "Glorot & Bengio"


def configurations(preset: Preset) -> list[Case]:
    sizes: dict[str, tuple[int, int]] = preset.choose(
        smoke={"digits": (48, 48)}, quick={"digits": (256, 256)},
        full={"digits": (1024, 1200), "mnist1d": (2048, 3000), "mnist_5k": (1024, 1200)},
    )  # fmt: skip
    depths = preset.choose(smoke=[2], quick=[2, 4], full=[2, 4, 8])
    small = preset.choose(smoke=[], quick=[], full=[4, 8])
    table = preset.choose(smoke=[], quick=[], full=list(PUBLISHED))
    widths = preset.choose(smoke=[32], quick=[32], full=[32, 128])
    found = []
    for data, counts in sizes.items():
        for width in widths:
            own = [depth for depth in depths if depth <= DEEPEST[width]]
            arms = [(SCALED[name], name, depth, "speed") for depth in own for name in SCALED]
            arms += [(SCALED[name], name, n, "test") for n in own for name in TAUGHT[n]]
            if data == "digits":
                arms += [("normal", "sigmoid", n, "speed") for n in small if n in own]
            named, slow = f"{TITLES[data]}, {width} units", (data, width) == ("mnist1d", 32)
            updates = {"speed": counts[0] * (1 + slow), "test": counts[1]}
            found += [
                dict(zip(NAMES, (named, data, width, start, name, depth, updates[goal],
                                 THRESHOLDS[data], goal), strict=True))
                for start, name, depth, goal in arms
            ]  # fmt: skip
    alone = [(TABLE, "mnist_5k", 128, start, name, 5, 1500, 0.05, "test") for name, start in table]
    if table:
        alone.append((DROPOUT, "digits", 256, "he", "relu", 1, 2400, 0.25, "test"))
    return found + [dict(zip(NAMES, one, strict=True)) for one in alone]


def cases(preset: Preset) -> list[Case]:
    engines = ["numpy"] if native.why_not() else ["numpy", "native"]
    return [
        *[{"part": TUNING, **one, "seeds": 3 if (one["goal"], one["width"]) == ("test", 128) else 1}
          for one in configurations(preset)],
        *[{"part": "time", "engine": engine} for engine in engines],
    ]  # fmt: skip


def further_cases(preset: Preset, rows: pd.DataFrame) -> list[Case]:
    """Training at the rates that the searches found."""
    return [
        case
        for goal, least in GOALS.items()
        for case in learning.training_cases(
            lab.chosen(rows, {"part": TUNING, "goal": goal}),
            [one for one in configurations(preset) if one["goal"] == goal],
            preset.seeds,
            by=least,
        )
    ]


def measure(case: Case, rng: np.random.Generator) -> Iterator[Row]:
    if case["part"] == "time":
        return times(case, rng)
    return search(case) if case["part"] == TUNING else iter([run(case)])


def search(case: Case) -> Iterator[Row]:
    """Runs at ever more rates, until the best one lies inside.

    A rate that has not arrived when a better one had is given up: it cannot win.
    """
    found: dict[int, list[Row]] = {}
    limits = dict.fromkeys(range(case["seeds"]), case["updates"])
    first = 0.8 if case["set"] == DROPOUT else FIRST[case["activation"]]
    wanted = [0, -1, 1]
    while wanted and len(found) < MOST:
        place = wanted.pop(0)
        rate = first * FACTOR**place
        found[place] = [
            run(case | {"rate": rate, "seed": seed}, most) | {"rate": rate, "seed": seed}
            for seed, most in limits.items()
        ]
        if case["goal"] == "speed":
            for row in found[place]:
                limits[row["seed"]] = min(limits[row["seed"]], row["update"])
        best = min(found, key=lambda one: score(found[one], GOALS[case["goal"]]))
        if not wanted and best in (min(found), max(found)):
            wanted = [best - 1 if best == min(found) else best + 1]
    for rows in found.values():
        yield from rows


def score(rows: list[Row], least: tuple[str, ...]) -> tuple[float, ...]:
    """What `chosen_rates` ranks by."""
    found = pd.DataFrame(rows)
    return (found["diverged"].any(), *found[list(least)].mean().fillna(math.inf))


def run(case: Case, most: int = 0) -> Row:
    """One run, as its last row: up to the threshold, or to the end where test errors are asked."""
    if case["set"] == DROPOUT:
        return with_dropout(case)
    learn, held = examples(case["data"], case["part"], case["seed"],
                           standardise=case["data"] != "mnist_5k")  # fmt: skip
    net, fast, last = perceptron(case), case["goal"] == "speed", most or case["updates"]
    X, Z = (part.X.astype(net.dtype) for part in (learn, held))
    y, z = (targets(part.y, net.last.units, X.dtype) for part in (learn, held))
    evenly = {last * number // LOOKS for number in range(1, LOOKS + 1)}
    run = learning.descent(
        net, X, y, batch=BATCH, seed=learning.run_seed(case["part"], case["seed"]),
        rate=case["rate"], updates=last,
        looks=looks_at(last, case["width"]) if fast else evenly,
    )  # fmt: skip
    history: list[Row] = []
    arrived = False
    with np.errstate(all="ignore"):
        for number, loss, tree in run:
            error = 1.0 - accuracy(net.forward(tree, X), y)
            history.append({"update": number, "loss": loss, "train_error": error})
            if arrived := fast and bool(error <= case["threshold"]):
                break
            if not fast or number == last:
                outputs = net.forward(tree, Z)
                history[-1]["held_error"] = 1.0 - accuracy(outputs, z)
                history[-1]["held_loss"] = float(net.objective(tree, Z, z))
    whole = bool(history) and (arrived or history[-1]["update"] == last)
    unknown = dict.fromkeys(("loss", "train_error", "held_error", "held_loss"), math.nan)
    row = history[-1] if whole else {"update": last, **unknown}
    reached = row["update"] if arrived else math.nan
    row |= {"last": True, "diverged": not whole, "missed": 1.0 - arrived,
            "log_reached": math.log(reached), "reached": reached, "arrived": arrived}  # fmt: skip
    return row if fast else row | {"settled": whole and learning.settled(history)}


def with_dropout(case: Case) -> Row:
    """One run of the recipe that learns digits best: dropout, and a rate that falls to 0."""
    known = examples(case["data"], case["part"], case["seed"], standardise=False)
    net = perceptron(case)
    net.solver = MinibatchSGD(schedule="cosine", dropout=0.5, input_dropout=0.1, batch_size=BATCH)
    options = {name: case[name] for name in ("part", "seed", "rate", "updates")}
    scaled = tuple(Part(own.X / 16, own.y) for own in known)
    *_, last = learning.train(net, scaled, every=case["updates"] // LOOKS, **options)
    return last


def looks_at(last: int, width: int = 32) -> set[int]:
    """The updates after which a run is looked at: a tenth apart, of wide networks 15 %."""
    ratio = 1.1 if width <= 32 else 1.15
    grown = {round(ratio**power) for power in range(int(math.log(last, ratio)) + 1)}
    return {*range(1, 11), *grown, last} & {*range(last + 1)}


def perceptron(case: Case) -> Network:
    """A network with the case's activation in every hidden layer, and a softmax."""
    known = load(case["data"])
    return learning.perceptron(known.X.shape[1], [case["width"]] * case["depth"], known.classes,
                               case["activation"], case["start"])  # fmt: skip


def times(case: Case, rng: np.random.Generator) -> Iterator[Row]:
    """Forward and backward through an activation alone, side by side."""
    x = rng.normal(size=SIZE)
    passes = {name: both_ways(name, case["engine"], x) for name in SCALED}
    for row in lab.interleave(passes, baseline="relu").to_dict("records"):
        yield row | {"contender": f"{row['contestant']}, {case['engine']} engine"}


def both_ways(name: str, engine: str, x: np.ndarray) -> Callable[[], Any]:
    layer = Layer(1, 1, name)
    derived = value_and_gradient(lambda x: np.sum(layer.activate(x)), engine=engine)
    return lambda: derived(x)


def derived(rows: pd.DataFrame) -> pd.DataFrame:
    """By place (set and depth), seed and activation: how many times the updates of depth 2."""
    own = lab.chosen(rows, SPEED)[["set", "seed", "activation", "depth", "reached"]]
    shallow = own[own["depth"] == 2].drop(columns="depth")
    both = own[own["depth"] > 2].merge(shallow, on=["set", "seed", "activation"])
    place = both["set"] + ", " + both["depth"].astype(int).astype(str) + " layers over 2"
    return both.assign(place=place, slowdown=both["reached_x"] / both["reached_y"])


def results(rows: pd.DataFrame) -> list[Result]:
    goal = {name: lab.chosen(rows, {"goal": name}) for name in GOALS}
    speed = {"where": SPEED, "by": "set", "words": "updates to the threshold, means over depths",
             "badges": badges(goal["speed"], NAMES, GOALS["speed"])}  # fmt: skip
    plateau = {"by": "set", "scale": 100, "words": "test error, each at its own tuned rate",
               "badges": badges(goal["test"], NAMES)}  # fmt: skip
    relu, leaky, tanh, sigmoid = ({"activation": name} for name in SCALED)
    deep, gains = PLATEAU | {"depth": [4, 8]}, derived(rows)
    faster = {
        "six_times_faster_than_tanh": (tanh, relu), "tanh_faster_than_sigmoid": (sigmoid, tanh),
        "leaky_relu_not_much_faster": (relu, leaky),
    }  # fmt: skip
    found = [
        *[lab.ratio(claim, rows, "reached", left=left, right=right, **speed)
          for claim, (left, right) in faster.items()],
        lab.paired("leaky_relu_not_much_better", rows, "held_error", left=relu, right=leaky,
                   where=PLATEAU | {"depth": [2, 4]}, **plateau),
        lab.timed("relu_is_light_weight", rows, by="contender",
                  where={"part": "time", "contestant": ["sigmoid", "tanh"]},
                  words=f"forward and backward through {SIZE:,} elements"),
    ]  # fmt: skip
    for name in ("tanh", "sigmoid") if len(gains) else ():
        sides = {"left": {"activation": name}, "right": relu}
        found += [
            lab.paired(f"relu_better_than_{name}_in_deep", rows, "held_error", where=deep,
                       **sides, **plateau),
            lab.ratio(f"relu_gains_on_{name}_with_depth", gains, "slowdown", by="place",
                      badges=speed["badges"], **sides),
        ]  # fmt: skip
    small, table = {"part": TRAINING, "start": "normal"}, {"part": TRAINING, "set": TABLE}
    if len(lab.chosen(rows, small)):
        found.append(
            lab.share("deep_sigmoid_does_not_start", rows, "arrived", where=small, by="set")
        )
    if len(lab.chosen(rows, table)):
        standard, normal = {"start": "uniform"}, {"start": "glorot"}
        pairs = {
            "normalised_start_better": (tanh | standard, tanh | normal),
            "sigmoid_worse_in_table": (sigmoid | standard, tanh | standard),
            "softsign_better_in_table": (tanh | standard, {"activation": "softsign"} | standard),
        }
        found += [lab.paired(claim, rows, "held_error", left=left, right=right, where=table,
                             **plateau) for claim, (left, right) in pairs.items()]  # fmt: skip
    return found


def tables(rows: pd.DataFrame) -> list[Table]:
    """The table of Glorot & Bengio, ours beside theirs; and the least test errors."""
    own, lines = lab.chosen(rows, {"part": TRAINING, "set": TABLE}), []
    for (name, start), figure in PUBLISHED.items():
        errors = 100 * lab.chosen(own, {"activation": name, "start": start})["held_error"].dropna()
        if len(errors):
            weights = "normalised" if start == "glorot" else "U(±1/√n)"
            lines.append({"activation": name, "initial weights": weights,
                          "theirs, test error, %": figure,
                          "here, test error, %": str(lab.mean_interval(errors))})  # fmt: skip
    last = lab.chosen(rows, {"part": TRAINING, "goal": "test"})
    errors = last.groupby(["set", "activation", "depth"])["held_error"].mean().dropna()
    best = errors.loc[errors.groupby("set").idxmin()].reset_index()
    best["test accuracy, %"] = 100 - 100 * best.pop("held_error")
    published = Table(
        "Five hidden layers: table 1 of Glorot & Bengio 2010",
        "Theirs: 1,000 units a layer, 50,000 training images. Here: 128 units, 4,000 images. Means"
        f" over {own['seed'].nunique()} seeds; the order of rows can be compared, figures cannot.",
        pd.DataFrame(lines),
    )
    caption = "The least mean test error of any activation and depth, and where it is."
    return [*([published] if lines else []), Table("How well they learn at best", caption, best)]


def figures(rows: pd.DataFrame) -> list[Figure]:
    own = lab.chosen(rows, SPEED)
    keys = ["set", "data", "width", "depth", "seed"]
    gaps = own.set_index([*keys, "activation"])["reached"].unstack()
    gaps = gaps[list(SCALED)[1:]].div(gaps["relu"], axis=0)
    means = np.exp(np.log(gaps["tanh"]).groupby(["set", "depth"]).mean())
    slower = (means > 1).groupby("set").mean()
    drawn = gaps.stack().rename("gap").reset_index()
    return [
        lab.curves(
            drawn, "speed", "depth", "gap", "activation", where={"width": 32}, logarithms="y",
            labels=("hidden layers", "updates / ReLU's"),
            caption="Updates to the threshold over those of a ReLU with the same depth and seed, 32"
            " units a layer; runs that never arrive are left out. Claimed for tanh: 6.",
            alt="For each data set a panel: the ratio against depth, a line for each activation.",
            finding=f"Updates of tanh over ReLU: {means.min():.2g} to {means.max():.2g} times;"
            f" slower at most depths on {(slower > 0.5).sum()} of {len(slower)} sets",
            foot=f"{own['seed'].nunique()} seeds; learning rates tuned for speed, each their own",
        )
    ]  # fmt: skip


EXPERIMENT = Experiment(
    name="activations", title="Activations", version=3, order=42,
    question="Which activation learns fastest, and does depth change it?",
    cases=cases, after=further_cases, measure=measure, results=results, tables=tables,
    figures=figures, volatile=TIME_COLUMNS, timed=lambda case: case["part"] == "time",
    method=f"""
    Perceptrons of 32 and 128 units in every hidden layer (8 layers of 32 alone) and a softmax,
    plain gradient descent with minibatches of {BATCH}, constant rate, float32; Glorot's weights for
    sigmoid and tanh, He's for ReLUs. Speed: updates to 25 % training error (digits, MNIST-1D) or
    5 % (MNIST), seen to a tenth (128 units: 15 %). One more run shows how well digits can
    be learnt: 256 ReLUs, dropout of half of them and of a tenth of the inputs, a rate that falls.
    Test errors: after a fixed number of updates; whether a run has settled is told. The rate is
    tuned for each goal and configuration with another seed, three where test errors of 128 units
    are asked, by factors of {FACTOR:g}, until the best lies inside. A seed sets split, weights and
    order.
    """,
    limitations="""
    Perceptrons on small data, without momentum, schedule or convolutions: where ReLU and tanh get
    there within an epoch or two, the start of training decides. Updates say nothing of seconds;
    those are timed apart. A run that never arrives is counted as slower than one that does. Small
    weights: N(0, 0.01²), which shrinks a signal between narrow layers whatever the activation.
    Rates a factor of 2 apart leave some coarseness in ratios, which intervals do not show. How well
    networks learn at best is optimistic: it is the least of several means, and width and dropout
    of the run on digits were chosen with test errors of some of the same seeds in view.
    """,
)  # fmt: skip

if __name__ == "__main__":
    lab.main(EXPERIMENT)
