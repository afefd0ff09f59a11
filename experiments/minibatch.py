"""Why stochastic gradients?

The same network trained with minibatches of 1 instance up to all of them, each at its own learning
rate, until its loss on all training data falls to a threshold; with more and more data. Beside it,
the error of a minibatch's gradient, and what an update costs in time and memory.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from _minibatch_page import (
    DRAWN,
    GRADIENT,
    SMALL,
    TIME,
    advantage,
    fastest_rates,
    figures,
    gradient_exponents,
    growth,
    largest,
    mean_interval,
    tables,
)
from apparatus.learning import TRAINING, TUNING, paired_ratio, run_seed

from difflab import gradient
from difflab.engines.numpy import compiled
from difflab.ir.tree import flatten, unflatten
from difflab.lab import (
    TIME_COLUMNS,
    Case,
    Evidence,
    Experiment,
    Interval,
    Preset,
    Row,
    grid,
    interleave,
    main,
)
from difflab.methods import Reverse
from difflab.networks import MinibatchSGD, Network, load
from difflab.networks.examples import Minibatches
from difflab.networks.update import Update

HIDDEN, CLASSES = 32, 10
BATCHES = (1, 4, 16, 64, 256)
THRESHOLD = 0.1
"""The loss on all training data at which a run has arrived: a twentieth of the initial one."""
RATES = tuple(2.0**k for k in range(-9, 5))
CENTRE = {1: 2, 4: 3, 16: 5, 64: 7, 256: 9, 0: 9}
"""Where a batch size's own six rates lie in the grid; 0 stands for all instances."""
SPACING = 1.1
"""How much further a run goes before its loss on all data is looked at again."""
POINTS = {"start": 0, "trained": 200}
"""Where gradients are compared: after so many updates by minibatches of 16."""


# Cases --------------------------------------------------------------------------------------------


class Amount(NamedTuple):
    """How many instances of which data set, and which batch sizes are tried on them."""

    data: str
    n: int
    batches: Sequence[int]


def amounts(preset: Preset) -> list[Amount]:
    """The data sets and their subsets; a batch size of 0 is all instances."""
    digits = preset.choose(smoke=(180, 1437), quick=(180, 1437), full=(180, 360, 720, 1437))
    images = preset.choose(smoke=(), quick=(), full=(500, 1000, 2000, 4000))
    batches = preset.choose(smoke=(16, 0), quick=(4, 16, 0), full=(*BATCHES, 0))
    sizes = [*(("digits", n) for n in digits), *(("mnist_5k", n) for n in images)]
    return [Amount(data, n, [m for m in batches if m < n]) for data, n in sizes]


def configurations(preset: Preset) -> list[Case]:
    return [
        {"data": data, "n": n, "batch": batch}
        for data, n, batches in amounts(preset)
        for batch in batches
    ]


def rates_of(batch: int, preset: Preset) -> list[float]:
    """The rates that are tried for a batch size."""
    at = CENTRE[batch]
    every = RATES[at - 1 : at + 5]
    return list(preset.choose(smoke=every[::3], quick=every[::2], full=every))


def cases(preset: Preset) -> list[Case]:
    seeds = range(preset.choose(smoke=1, quick=2, full=3))
    tuning = [
        {"part": TUNING, **configuration, "rate": rate, "seed": seed}
        for seed in seeds
        for configuration in configurations(preset)
        for rate in rates_of(configuration["batch"], preset)
    ]
    draws = preset.choose(smoke=20, quick=40, full=300)
    sizes = preset.choose(
        smoke=(1, 4, 16), quick=(1, 8, 64), full=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
    )
    points = preset.choose(smoke=["start"], quick=["trained"], full=list(POINTS))
    noise = grid(part=[GRADIENT], point=points, draws=[draws], sizes=[sizes], seed=preset.seeds)
    rounds = preset.choose(smoke=1, quick=3, full=15)
    most = {data: n for data, n, _ in amounts(preset)}
    time = [
        {"part": TIME, "data": data, "n": n, "batches": [*BATCHES, n], "rounds": rounds}
        for data, n in most.items()
    ]
    return [*tuning, *noise, *time]


def further(preset: Preset, rows: pd.DataFrame) -> list[Case]:
    """Every configuration at its fastest rate; whole curves of the largest n are kept."""
    rates = fastest_rates(rows)["rate"]
    most = {data: n for data, n, _ in amounts(preset)}
    found = [
        own | {"rate": float(rates[tuple(own.values())]), "curve": own["n"] == most[own["data"]]}
        for own in configurations(preset)
    ]
    return [{"part": TRAINING, **own, "seed": seed} for seed in preset.seeds for own in found]


def measure(case: Case, rng: np.random.Generator) -> Iterable[Row]:
    if case["part"] == GRADIENT:
        return gradient_errors(case, rng)
    return times(case) if case["part"] == TIME else descend(case)


# A run --------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=4)
def instances(data: str, part: str, seed: int) -> tuple[np.ndarray, ...]:
    """Training and test instances with one-hot targets, in single precision."""
    split = load(data).split(seed=run_seed(part, seed))
    hot = np.eye(CLASSES, dtype=np.float32)
    parts = [(own.X.astype(np.float32), hot[own.y]) for own in (split.train, split.test)]
    return tuple(array for pair in parts for array in pair)


def network(inputs: int, batch: int, rate: float = 0.1, dtype: str = "float32") -> Network:
    net = Network(inputs, dtype=dtype)
    net.fc(HIDDEN)
    net.fc(CLASSES, activation="softmax")
    net.solver = MinibatchSGD(learning_rate=rate, batch_size=batch)
    return net


def descend(case: Case) -> Iterator[Row]:
    """The loss on all training data along a run, until it is at the threshold.

    It is looked at after updates whose numbers grow by a tenth. A run ends without having arrived
    after 1,000 updates or ten passes, whichever is more, or once it diverges.
    """
    X, y, held_X, held_y = instances(case["data"], case["part"], case["seed"])
    X, y = X[: case["n"]], y[: case["n"]]
    batch = case["batch"] or len(X)
    net = network(X.shape[1], batch, case["rate"])
    seed, most = run_seed(case["part"], case["seed"]), max(1000, 10 * len(X) // batch)
    rows = []
    for update, parameters in looks_at(net, Minibatches(X, y, batch, seed), seed, most):
        loss = float(net.objective(parameters, X, y))
        rows.append({"update": update, "examples": update * batch, "loss": loss})
        if not loss < 100.0 or loss <= THRESHOLD:
            break
    right = np.argmax(net.forward(parameters, held_X), axis=1) == np.argmax(held_y, axis=1)
    rows[-1] |= {"reached": loss <= THRESHOLD, "held_error": 1.0 - float(np.mean(right))}
    yield from rows if case.get("curve") else rows[-1:]


def looks_at(net: Network, batches: Minibatches, seed: int, most: int) -> Iterator[tuple[int, Any]]:
    """The parameters after updates 1, 2, ..., 20, 22, 24, ... and the last."""
    arrays, structure = flatten(net.initial(seed))
    memory = net.solver.memory(arrays)
    with np.errstate(all="ignore"):
        update = Update(net, Reverse(), unflatten(structure, arrays), batches.take(1))
        due = 1
        for number in range(1, most + 1):
            _, _, arrays, memory = update(arrays, batches.take(number), memory, number)
            if number in (due, most):
                yield number, unflatten(structure, arrays)
                due = max(number + 1, int(number * SPACING))


# The gradient of a minibatch ----------------------------------------------------------------------


def gradient_errors(case: Case, rng: np.random.Generator) -> Iterator[Row]:
    """The root mean square distance of minibatch gradients from that of all data, at a point.

    Relative to the latter's norm; drawn with and without replacement. `expected` follows from the
    gradients of all instances, one by one: nothing is fitted.
    """
    X, y, _, _ = (a.astype(np.float64) for a in instances("digits", TRAINING, case["seed"]))
    net = network(X.shape[1], 16, dtype="float64")
    seed, updates = run_seed(TRAINING, case["seed"]), POINTS[case["point"]]
    parameters = net.initial(seed)
    if updates:
        *_, (_, parameters) = looks_at(net, Minibatches(X, y, 16, seed), seed, updates)
    slopes = gradient(net.objective, engine="numpy")

    def at(rows: np.ndarray) -> np.ndarray:
        leaves = flatten(slopes(parameters, X[rows], y[rows]))[0]
        return np.concatenate([leaf.ravel() for leaf in leaves])

    n = len(X)
    whole = at(np.arange(n))
    norm = float(np.linalg.norm(whole))
    spread = math.sqrt(np.mean([np.sum((at(np.array([i])) - whole) ** 2) for i in range(n)]))
    for replaced in DRAWN:
        for m in case["sizes"]:
            chosen = [rng.choice(n, m, replace=replaced == "with") for _ in range(case["draws"])]
            squares = [float(np.sum((at(rows) - whole) ** 2)) for rows in chosen]
            left = 1.0 if replaced == "with" else math.sqrt((n - m) / (n - 1))
            yield {
                "replacement": replaced,
                "n": n,
                "m": m,
                "error": math.sqrt(np.mean(squares)) / norm,
                "expected": spread / math.sqrt(m) * left / norm,
            }


# Time and memory ----------------------------------------------------------------------------------


def times(case: Case) -> Iterator[Row]:
    """The time of an update by batch size, side by side, and the memory that its program keeps."""
    X, y, _, _ = instances(case["data"], TRAINING, 0)
    X, y = X[: case["n"]], y[: case["n"]]
    calls, kept = {}, {}
    for batch in case["batches"]:
        calls[str(batch)], kept[batch] = one_update(X, y, batch)
    table = interleave(calls, baseline=str(case["batches"][-1]), rounds=case["rounds"])
    for row in table.to_dict("records"):
        name = row.pop("contestant")
        batch = int(name.split()[0])
        yield {
            "batch": batch,
            "again": name != str(batch),
            "buffer_bytes": kept[batch],
            **row,
        }


def one_update(X: np.ndarray, y: np.ndarray, batch: int) -> tuple[Any, int]:
    """An update by a minibatch, from its selection on, and the bytes of its program's buffers."""
    net = network(X.shape[1], batch)
    batches = Minibatches(X, y, batch, seed=0)
    arrays = flatten(net.initial(0))[0]
    update = Update(net, Reverse(), net.initial(0), batches.take(1))
    numbers = iter(range(1, 1 << 60))

    def call() -> Any:
        number = next(numbers)
        return update(arrays, batches.take(number), net.solver.memory(arrays), number)

    return call, compiled(update.run.graph).buffer_bytes


# Findings -----------------------------------------------------------------------------------------


def findings(rows: pd.DataFrame) -> list[Evidence]:
    return [
        fewer_passes(rows),
        more_so_with_more_data(rows),
        error_of_a_minibatch(rows),
        small_batches_waste(rows),
    ]


def fewer_passes(rows: pd.DataFrame) -> Evidence:
    found, words = [], []
    for data, n in largest(rows).items():
        left, right, count = advantage(rows, data, n)
        if left.empty:
            return Evidence("minibatches_need_fewer_passes", None, f"{data}: {count}")
        found.append(paired_ratio(left, right))
        words.append(f"{data}, {n:,} instances: {found[-1]} times ({count})")
    return Evidence(
        "minibatches_need_fewer_passes",
        min(found, key=lambda interval: interval.low),
        "instances seen until the training loss is at"
        f" {THRESHOLD:g}, all at once relative to minibatches of {SMALL}: {'; '.join(words)}",
        also=tuple(found),
    )


def more_so_with_more_data(rows: pd.DataFrame) -> Evidence:
    exponents = {data: growth(rows, data) for data in largest(rows)}
    found = {data: mean_interval(own) for data, own in exponents.items() if len(own)}
    if len(found) < len(exponents):
        return Evidence("minibatches_for_big_data", None, "not all runs reached the threshold")
    words = "; ".join(f"{data} n^{interval}" for data, interval in found.items())
    return Evidence(
        "minibatches_for_big_data",
        min(found.values(), key=lambda interval: interval.low),
        "that ratio grows with the number n of instances like a power, fitted for each seed:"
        f" {words}",
        also=tuple(found.values()),
    )


def error_of_a_minibatch(rows: pd.DataFrame) -> Evidence:
    found = {key: mean_interval(own) for key, own in gradient_exponents(rows).items()}
    own = rows[rows["part"] == GRADIENT]
    off = (own["error"] / own["expected"] - 1).abs()
    words = "; ".join(f"{point}, {kind} replacement {x}" for (point, kind), x in found.items())
    return Evidence(
        "gradient_error_falls_as_root",
        max(found.values(), key=lambda interval: interval.high - interval.low),
        f"exponent of the minibatch's size (without replacement, of m (n - 1) / (n - m)): {words}."
        f" The errors differ by {100 * off.median():.1f} % in the median, and at most"
        f" {100 * off.max():.0f} %, from what the gradients of single instances predict",
        also=tuple(found.values()),
    )


def small_batches_waste(rows: pd.DataFrame) -> Evidence:
    found = {data: waste(rows, data) for data in largest(rows)}
    noise = float(rows.loc[rows["part"] == TIME, "noise"].max())
    words = "; ".join(f"{data} {interval}" for data, interval in found.items())
    return Evidence(
        "small_batches_waste",
        min(found.values(), key=lambda interval: interval.low),
        f"time per instance of batches of 1, relative to all at once, side by side: {words}",
        also=tuple(found.values()),
        noise=noise,
    )


def waste(rows: pd.DataFrame, data: str) -> Interval:
    """The time per instance at a batch size of 1, relative to all instances at once."""
    own = rows[(rows["part"] == TIME) & (rows["data"] == data)]
    row = own[own["batch"] == 1].iloc[0]
    low, middle, high = (row["n"] * row[name] for name in ("ratio_low", "ratio", "ratio_high"))
    return Interval(middle, low, high, int(row["rounds"]))


EXPERIMENT = Experiment(
    name="minibatch",
    title="Minibatches",
    question="Why stochastic gradients: what do minibatches save, and does it grow with the data?",
    version=1,
    cases=cases,
    after=further,
    measure=measure,
    tables=tables,
    figures=figures,
    findings=findings,
    method=f"""
    A network of {HIDDEN} ReLUs, softmax and cross-entropy in float32; plain gradient descent at a
    constant learning rate, with minibatches cut from permutations of the data that follow one
    another. A run has arrived when its loss on all n training instances is at most {THRESHOLD:g};
    that is looked at whenever the number of updates has grown by a tenth. The rate of each data
    set, n and batch size is the one that arrived after the fewest instances in the mean of tuning
    runs with other seeds. A seed sets split, subset, initial weights and order for all alike.
    Gradients of single minibatches are compared in float64 at fixed parameters, by reverse mode.
    Seconds are updates times the time of an update, which is measured side by side, apart from the
    runs.
    """,
    limitations="""
    The threshold is one of training loss: it says how fast the training problem is solved, not how
    well the network predicts. By theory a tighter one favours full gradients, whose error falls
    geometrically, while a minibatch's gradient keeps its noise at a constant rate. Up to 4,000
    instances are not big data. Subsets are nested for each seed, so that points of a growth curve
    are not independent; intervals are over seeds. Full-batch descent has neither momentum nor line
    search here. Seconds are those of one core: hardware with many prefers larger batches.
    """,
    volatile=TIME_COLUMNS,
    timed=lambda case: case["part"] == TIME,
    order=52,
)

if __name__ == "__main__":
    main(EXPERIMENT)
