"""Which activation learns fastest, and does depth change it?

Perceptrons that differ in the activation of their hidden layers alone are trained on real data,
each at its own learning rate, and compared by seed: how many updates they need until the training
error is at most 25 % (and 5 %), and how they err on test instances. A second arm starts from small
Gaussian weights; a third repeats a comparison of Glorot & Bengio 2010 with five hidden layers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
from _activations_page import figures, tables
from _activations_rows import (
    ACTIVATIONS,
    GOALS,
    NAMES,
    PUBLISHED,
    SCALED,
    SMALL,
    TABLE,
    THRESHOLDS,
    TITLES,
    cells,
    deepest,
    each_cell,
    goals_of,
    mean_difference,
    mean_ratio,
    scaled_errors,
    test_errors,
    updates,
    widening,
)
from apparatus.learning import (
    TUNING,
    examples,
    paired_difference,
    reached,
    share,
    train,
    training_cases,
    tuning_cases,
)

from difflab.lab import Case, Evidence, Experiment, Preset, Row, main
from difflab.networks import Network, load

WIDTH = 32
SIZE = {"mnist1d": 1000}
LOW = [0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6]
HIGH = [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8]
RATES = {"relu": LOW, "leaky_relu": LOW, "tanh": LOW, "sigmoid": HIGH}
DEEP = (4, 8)
SHORT = 128
"""A run of so few updates is looked at every other one."""
STAGES = {"digits": ((32, 32), (8, 32), (1, 24)), "mnist1d": ((1, 48),), TABLE: ((1, 1),)}
SMALL_STAGES = ((4, 32), (1, 16))
"""A run is looked at up to a fraction of it (one in 32), so many times, then up to the next; from
small weights nothing happens early.
"""


# Cases --------------------------------------------------------------------------------------------


def configurations(preset: Preset) -> list[Case]:
    updates = preset.choose(
        smoke={"digits": 64},
        quick={"digits": 96},
        full={"digits": 1024, "mnist1d": 1536},
    )
    depths = preset.choose(smoke=[2], quick=[2, 4], full=[2, 4, 8])
    return [
        *[
            {"data": data, "start": SCALED[name], "activation": name, "depth": depth,
             "updates": count}
            for data, count in updates.items() for depth in depths for name in ACTIVATIONS
        ],
        *[
            {"data": "digits", "start": SMALL, "activation": name, "depth": depth,
             "updates": updates["digits"]}
            for depth in preset.choose(smoke=[2], quick=[], full=depths)
            for name in ("relu", "tanh", "sigmoid")
        ],
        *[
            {"data": TABLE, "start": start, "activation": name, "depth": 5, "updates": 1500}
            for name, start in preset.choose(smoke=[], quick=[], full=list(PUBLISHED))
        ],
    ]  # fmt: skip


def cases(preset: Preset) -> list[Case]:
    seeds = range(preset.choose(smoke=1, quick=1, full=2))
    return [
        case
        for configuration in configurations(preset)
        for case in tuning_cases([configuration], rates(preset, configuration), seeds)
    ]


def rates(preset: Preset, configuration: Case) -> list[float]:
    """The part of an activation's grid that suits what is learned: as many rates for each."""
    known = RATES[configuration["activation"]]
    data, small = configuration["data"], configuration["start"] == SMALL
    whole = {"digits": known[3:] if small else known[1:], "mnist1d": known[:6], TABLE: known[2:6]}
    return preset.choose(smoke=known[3:5], quick=known[2:6:2], full=whole[data])


def further_cases(preset: Preset, rows: pd.DataFrame) -> list[Case]:
    """Training at the rates that each goal chose; where two chose the same, it is one run."""
    return [
        case
        for goal, least in GOALS.items()
        for case in training_cases(rows, configurations(preset), preset.seeds, by=least)
        if goal in goals_of(case["data"], case["start"])
    ]


# Measuring ----------------------------------------------------------------------------------------


def measure(case: Case, rng: np.random.Generator) -> Iterator[Row]:
    if case["part"] == TUNING:
        return summary(list(followed(case)))
    return followed(case)


def followed(case: Case) -> Iterator[Row]:
    """A run looked at often in the beginning, and ever more seldom: it is made again from the
    start for each stage, to the same parameters, since what it is looked at does not change it.
    """
    data = examples(case["data"], case["part"], case["seed"], size=SIZE.get(case["data"]))
    network = perceptron(case)
    seen = 0
    for end, every in stages(case):
        rows = train(
            network,
            data,
            part=case["part"],
            seed=case["seed"],
            rate=case["rate"],
            updates=end,
            every=every,
            whole=True,
            columns=("saturated", "dead"),
        )
        for row in rows:
            if row["diverged"]:
                yield {**row, "update": case["updates"]}
                return
            if row["update"] > seen:
                yield row if row["update"] == case["updates"] else in_short(row)
        seen = end


def in_short(row: Row) -> Row:
    """What is kept of a row that is not the last."""
    return {name: row[name] for name in ("update", "train_error", "diverged")}


def perceptron(case: Case) -> Network:
    """A network with the case's activation in every hidden layer, and a softmax."""
    known = load(case["data"])
    network = Network(inputs=known.X.shape[1], dtype="float32")
    for _ in range(case["depth"]):
        network.fc(WIDTH, activation=case["activation"], initialiser=case["start"])
    network.fc(known.classes, activation="softmax", initialiser=case["start"])
    return network


def stages(case: Case) -> list[tuple[int, int]]:
    """Up to which update, and every how many updates, a run is looked at."""
    if case["updates"] <= SHORT:
        return [(case["updates"], 2)]
    parts = SMALL_STAGES if case["start"] == SMALL else STAGES[case["data"]]
    ends = [(case["updates"] // fraction, times) for fraction, times in parts]
    return [(end, max(end // times, 1)) for end, times in ends]


def summary(rows: list[Row]) -> Iterator[Row]:
    """The last row of a tuning run, and when it reached each threshold."""
    last = rows[-1]
    for name, threshold in THRESHOLDS.items():
        reached = [row["update"] for row in rows if row["train_error"] <= threshold]
        last[f"missed_{name}"] = float(not reached)
        last[f"log_{name}"] = math.log(reached[0]) if reached else math.nan
    yield last


# Findings -----------------------------------------------------------------------------------------


def findings(rows: pd.DataFrame) -> list[Evidence]:
    speed, hard, errors = updates(rows, "25"), updates(rows, "5"), scaled_errors(rows)
    return [
        faster("six_times_faster_than_tanh", speed, hard, "tanh", "relu"),
        faster("tanh_faster_than_sigmoid", speed, hard, "sigmoid", "tanh"),
        faster("leaky_relu_not_much_faster", speed, hard, "relu", "leaky_relu"),
        better("leaky_relu_not_much_better", errors, "relu", "leaky_relu"),
        better("relu_better_than_sigmoid_in_deep", errors, "sigmoid", "relu", DEEP),
        better("relu_better_than_tanh_in_deep", errors, "tanh", "relu", DEEP),
        gains("relu_gains_on_tanh_with_depth", speed, "tanh"),
        gains("relu_gains_on_sigmoid_with_depth", speed, "sigmoid"),
        starts(updates(rows, "25", SMALL), speed),
        *published(test_errors(rows)),
    ]


def faster(claim: str, speed: pd.DataFrame, hard: pd.DataFrame, slow: str, fast: str) -> Evidence:
    harder = mean_ratio(hard, slow, fast, cells(hard))
    return Evidence(
        claim,
        mean_ratio(speed, slow, fast, cells(speed)),
        f"updates to 25 % training error, {NAMES[slow]} over {NAMES[fast]}, by hidden layers:"
        f" {each_cell(speed, slow, fast)}. The interval is for the geometric mean of those that"
        f" every seed reached. To 5 %: {harder or 'none'} ({each_cell(hard, slow, fast)})",
    )


def better(
    claim: str, errors: pd.DataFrame, worse: str, good: str, depths: tuple[int, ...] = ()
) -> Evidence:
    over = cells(errors, depths)
    lost = {
        name: sum(int(errors[data, name, depth].isna().sum()) for data, depth in over)
        for name in (worse, good)
    }
    words = [
        f"{TITLES[data]} {depth}: {mean_difference(errors, worse, good, [(data, depth)])}"
        for data, depth in over
    ]
    return Evidence(
        claim,
        mean_difference(errors, worse, good, over),
        f"test error of {NAMES[worse]} minus that of {NAMES[good]} in points, each at the rate of"
        f" least validation error, by hidden layers: {'; '.join(words)}. The interval is for their"
        f" mean over the seeds at which no run diverged ({lost[worse]} of {NAMES[worse]} and"
        f" {lost[good]} of {NAMES[good]} did, of {len(errors) * len(over)} each)",
    )


def gains(claim: str, speed: pd.DataFrame, slow: str) -> Evidence:
    """How the ratio to ReLU changes up to the deepest networks that all get there."""
    shallow, deep = min(depth for _, depth in cells(speed)), deepest(speed, slow)
    last = max(depth for _, depth in cells(speed))
    found = widening(speed, slow, deep) if deep > shallow else None
    sets = dict.fromkeys(data for data, _ in cells(speed))
    each = {TITLES[data]: widening(speed[[data]], slow, deep) for data in sets}
    apart = "; ".join(f"{name} {one or 'none'}" for name, one in each.items())
    words = (
        f"the ratio {NAMES[slow]} / ReLU at {deep} hidden layers over that at {shallow}: {apart}."
        " The interval is for their mean"
    )
    if found is None:
        words = f"{NAMES[slow]} did not reach 25 % at every seed with more hidden layers"
    elif deep < last:
        words += f"; with more, {NAMES[slow]} did not get there at every seed, on any data set"
    return Evidence(claim, found, f"{words}. {NAMES[slow]} over ReLU, by hidden layers:"
                    f" {each_cell(speed, slow, 'relu')}")  # fmt: skip


def starts(small: pd.DataFrame, scaled: pd.DataFrame) -> Evidence:
    """Deep sigmoids from small weights; beside them the same from Glorot's."""
    deep = [column for column in small if column[1] == "sigmoid" and column[2] in DEEP]
    if not deep:
        return Evidence("deep_sigmoid_does_not_start", None, "no deep network in this run")
    counts = [
        f"{depth} hidden layers: {reached_of(small, data, 'sigmoid', depth)}, from Glorot's weights"
        f" {reached_of(scaled, data, 'sigmoid', depth)}; tanh from small weights"
        f" {reached_of(small, data, 'tanh', depth)}, ReLU {reached_of(small, data, 'relu', depth)}"
        for data, _, depth in deep
    ]
    intervals = [share(small[column].notna()) for column in deep]
    return Evidence(
        "deep_sigmoid_does_not_start",
        intervals[-1],
        f"runs that reach 25 % training error from N(0, 0.01²), the deepest shown:"
        f" {'; '.join(counts)}",
        also=intervals[:-1],
    )


def reached_of(table: pd.DataFrame, data: str, activation: str, depth: int) -> str:
    return reached(table[data, activation, depth].to_frame("update"))


def published(errors: pd.DataFrame) -> list[Evidence]:
    """The comparisons of Glorot & Bengio: normalised weights, and sigmoid against tanh."""
    found = {pair: errors.get((TABLE, pair[1], pair[0], 5)) for pair in PUBLISHED}
    standard, normalised, sigmoid = found.values()
    if standard is None:
        return []
    return [
        Evidence(
            claim,
            paired_difference(worse.dropna(), better.dropna()),
            f"test error {words}, points: {worse.mean():.2f} % against {better.mean():.2f} %",
        )
        for claim, worse, better, words in (
            ("normalised_start_better", standard, normalised,
             "of tanh with U(±1/√n) minus that with normalised weights"),
            ("sigmoid_worse_in_table", sigmoid, standard, "of sigmoid minus that of tanh"),
        )
    ]  # fmt: skip


EXPERIMENT = Experiment(
    name="activations",
    title="Activations",
    question="Which activation learns fastest, and does depth change it?",
    version=1,
    cases=cases,
    after=further_cases,
    measure=measure,
    tables=tables,
    figures=figures,
    findings=findings,
    method=f"""
    Perceptrons with {WIDTH} units in every hidden layer and a softmax, plain gradient descent with
    minibatches of 32, constant rate, float32; Glorot's weights for sigmoid and tanh, He's for
    ReLUs. Digits, and {SIZE["mnist1d"]} instances of MNIST-1D. A seed sets split, weights and
    order, so that ratios and differences are paired. The rate is tuned for what is asked, with
    other seeds, on as many rates for each activation: for the fewest updates to 25 %, to 5 %, or
    the least validation error. A run is looked at every update in the beginning and more seldom
    later: the updates between two looks are at most a third of those before, and mostly a tenth.
    Small weights: N(0, 0.01²), tuned likewise. The table of Glorot & Bengio: 5 hidden layers on
    5,000 MNIST images.
    """,
    limitations="""
    Small perceptrons on small data, without momentum or a schedule; no convolutions. ReLU and tanh
    learn the digits to 25 % within two epochs, where Krizhevsky et al. needed about 6 and 36: the
    start of training decides here. Between 32 units, N(0, 0.01²) shrinks a signal to a twentieth
    or less in each layer, whatever the activation; with the thousands of inputs of a large
    convolutional network it does not. The ratio of updates says nothing of seconds. MNIST-1D is
    learned from so few instances that test errors are high. A run that does not reach a threshold
    within the budget might later; it is counted, and left out of ratios, which then speak of fewer
    data sets and depths. Rates stand a factor of 2 apart: ratios carry some of that coarseness,
    which the intervals over seeds do not show. The saturated share counts slopes below a twentieth
    of the steepest, which for a ReLU are its zeros and for a leaky one its slope of 0.01.
    """,
    order=42,
)

if __name__ == "__main__":
    main(EXPERIMENT)
