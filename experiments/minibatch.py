"""Why stochastic gradients?

What flows: a network trained with minibatches of 1 instance up to all of them, each at its own
learning rate, until its loss on all training data is at a threshold -> instances seen, by seed and
by the number there are. Beside it, the error of a minibatch's gradient, and the cost of an update.
Invariant: batch sizes share split, subset, initial weights and order, seed by seed.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from apparatus.learning import TRAINING, TUNING, chosen_rates, in_turn, run_seed, training_cases
from apparatus.training_programs import network

from difflab import gradient, lab
from difflab.engines.numpy import compiled
from difflab.ir.tree import flatten, unflatten
from difflab.lab import TIME_COLUMNS, Case, Experiment, Figure, Preset, Result, Row
from difflab.methods import Reverse
from difflab.networks import Network, load
from difflab.networks.examples import Minibatches
from difflab.networks.update import Update

GRADIENT, TIME = "gradient", "time"
NAMES = ["data", "n", "batch"]
SMALL = 16  # the batch size that stands against all instances at once (0); settled beforehand
LEAST = ("late", "loss")  # what the chosen rate minimises: instances seen until the threshold
HIDDEN, CLASSES = 32, 10
SIZES = {"digits": (180, 360, 720, 1437), "mnist_5k": (500, 1000, 2000, 4000)}
BATCHES = (1, 4, 16, 64, 256)
LOWEST = {1: -8, 4: -7, 16: -5, 64: -3, 256: -1, 0: -1}  # power of two of a batch size's first rate
THRESHOLD = 0.1  # of the loss on all training data: a twentieth of the initial one
SINGLE = 200  # so many gradients of single instances predict the error of a minibatch's
POINTS = {"start": 0, "trained": 200}  # where gradients are compared: after so many updates


def configurations(preset: Preset) -> list[Case]:
    """The data sets, their subsets, and the batch sizes; 0 is all instances."""
    few = {"digits": SIZES["digits"][::3]}
    sizes = preset.choose(smoke=few, quick=few, full=SIZES)
    batches = preset.choose(smoke=(16, 0), quick=(4, 16, 0), full=(*BATCHES, 0))
    return [
        {"data": data, "n": n, "batch": batch}
        for data in sizes for n in sizes[data] for batch in batches if batch < n
    ]  # fmt: skip


def cases(preset: Preset) -> list[Case]:
    step, rounds = preset.choose(smoke=(3, 1), quick=(2, 3), full=(1, 15))
    tuning = [
        {"part": TUNING, **own, "rate": 2.0 ** (LOWEST[own["batch"]] + power), "seed": seed}
        for seed in range(preset.choose(smoke=1, quick=1, full=2))
        for own in configurations(preset) for power in range(0, 6, step)
    ]  # fmt: skip
    noise = lab.grid(
        part=[GRADIENT],
        data=preset.choose(smoke=["digits"], quick=["digits"], full=["digits", "mnist1d"]),
        point=preset.choose(smoke=["start"], quick=["trained"], full=list(POINTS)),
        draws=[preset.choose(smoke=20, quick=40, full=100)],
        sizes=[preset.choose(smoke=(1, 4, 16), quick=(1, 8, 64), full=BATCHES)],
        seed=preset.seeds,
    )
    most = {own["data"]: own["n"] for own in configurations(preset)}
    time = ({"part": TIME, "data": data, "n": n, "batches": [*BATCHES, n], "rounds": rounds}
            for data, n in most.items())  # fmt: skip
    return [*tuning, *noise, *time]


def further(preset: Preset, rows: pd.DataFrame) -> list[Case]:
    """Every configuration at its fastest rate."""
    found = training_cases(rows, configurations(preset), preset.seeds, LEAST)
    return in_turn({**case, "most": case["n"] == SIZES[case["data"]][-1]} for case in found)


def measure(case: Case, rng: np.random.Generator) -> Iterable[Row]:
    if case["part"] == GRADIENT:
        return gradient_errors(case, rng)
    return times(case) if case["part"] == TIME else descend(case)


@functools.lru_cache(maxsize=4)
def instances(data: str, part: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Training instances with one-hot targets, in single precision."""
    train = load(data).split(seed=run_seed(part, seed)).train
    return train.X.astype(np.float32), np.eye(CLASSES, dtype=np.float32)[train.y]


def descend(case: Case) -> Iterator[Row]:
    """Where the loss on all training data is at the threshold, or the run diverges, or has made
    1,000 updates and ten passes without having arrived."""
    X, y = (own[: case["n"]] for own in instances(case["data"], case["part"], case["seed"]))
    batch = case["batch"] or len(X)
    net = network((X.shape[1], HIDDEN, CLASSES), "relu", "float32", batch, case["rate"])
    seed, most = run_seed(case["part"], case["seed"]), max(1000, 10 * len(X) // batch)
    for update, parameters in looks_at(net, Minibatches(X, y, batch, seed), seed, most):
        seen, loss = update * batch, float(net.objective(parameters, X, y))
        there = loss <= THRESHOLD
        if not loss < 100.0 or there:
            break
    yield {"update": seen // batch, "examples": seen, "loss": loss, "last": True,
           "diverged": not loss < 100.0, "reached": seen if there else math.nan,
           "late": seen if there else 10 * seen}  # fmt: skip


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
                due = max(number + 1, int(number * 1.1))


def gradient_errors(case: Case, rng: np.random.Generator) -> Iterator[Row]:
    """The root mean square distance of minibatch gradients from that of all data, at a point,
    relative to the latter's norm; without replacement, m counts as m (n - 1) / (n - m).

    `expected` follows from the gradients of `SINGLE` instances, one by one.
    """
    X, y = (own.astype(float) for own in instances(case["data"], TRAINING, case["seed"]))
    net = network((X.shape[1], HIDDEN, CLASSES), "relu", "float64", 16, 0.1)
    seed, updates = run_seed(TRAINING, case["seed"]), POINTS[case["point"]]
    parameters = net.initial(seed)
    if updates:
        *_, (_, parameters) = looks_at(net, Minibatches(X, y, 16, seed), seed, updates)
    slopes = gradient(net.objective, engine="numpy")

    def at(rows: np.ndarray) -> np.ndarray:
        return np.concatenate([*map(np.ravel, flatten(slopes(parameters, X[rows], y[rows]))[0])])

    n = len(X)
    whole = at(np.arange(n))
    norm = float(np.linalg.norm(whole))
    single = [at(np.array([i])) for i in rng.choice(n, SINGLE, replace=False)]
    spread = math.sqrt(np.mean([np.sum((slope - whole) ** 2) for slope in single]))
    for kind in ("with", "without"):
        for m in case["sizes"]:
            drawn = [rng.choice(n, m, replace=kind == "with") for _ in range(case["draws"])]
            squares = [float(np.sum((at(rows) - whole) ** 2)) for rows in drawn]
            effective = m if kind == "with" else m * (n - 1) / (n - m)
            yield {"drawn": f"{case['data']}, {case['point']}, {kind} replacement",
                   "n": n, "m": m, "effective": effective,
                   "error": math.sqrt(np.mean(squares)) / norm,
                   "expected": spread / math.sqrt(effective) / norm}  # fmt: skip


def times(case: Case) -> Iterator[Row]:
    """The time of an update by batch size, side by side, and the memory that its program keeps."""
    X, y = instances(case["data"], TRAINING, 0)
    calls, kept = {}, {}
    for batch in case["batches"]:
        calls[str(batch)], kept[batch] = one_update(X[: case["n"]], y[: case["n"]], batch)
    table = lab.interleave(calls, baseline=str(case["batches"][-1]), rounds=case["rounds"])
    for row in table.to_dict("records"):
        name = row.pop("contestant")
        batch = int(name.split()[0])
        yield {"batch": batch, "again": name != str(batch), "buffer_bytes": kept[batch], **row,
               **{f"each{end}": case["n"] / batch * row[f"ratio{end}"]
                  for end in ("", "_low", "_high")}}  # fmt: skip


def one_update(X: np.ndarray, y: np.ndarray, batch: int) -> tuple[Any, int]:
    """An update by a minibatch, from its selection on, and the bytes of its program's buffers."""
    net = network((X.shape[1], HIDDEN, CLASSES), "relu", "float32", batch, 0.1)
    batches = Minibatches(X, y, batch, seed=0)
    arrays = flatten(net.initial(0))[0]
    update = Update(net, Reverse(), net.initial(0), batches.take(1))
    numbers = iter(range(1, 1 << 60))

    def call() -> Any:
        number = next(numbers)
        return update(arrays, batches.take(number), net.solver.memory(arrays), number)

    return call, compiled(update.run.graph).buffer_bytes


def derived(rows: pd.DataFrame) -> pd.DataFrame:
    """By data set, n and seed: how many times the instances all at once see of what `SMALL` do."""
    last = lab.chosen(rows, {"part": TRAINING, "last": True})
    seen = {batch: own.set_index(["data", "n", "seed"])["reached"]
            for batch, own in last.groupby("batch")}  # fmt: skip
    return (seen[0] / seen[SMALL]).rename("saving").reset_index()


def results(rows: pd.DataFrame) -> list[Result]:
    edge = chosen_rates(rows, NAMES, LEAST)["edge"]
    badges = (f"{edge.sum()} of {len(edge)} rates at the grid's edge",) if edge.any() else ()
    return [
        lab.ratio(
            "minibatches_need_fewer_passes", rows, "reached", left={"batch": 0},
            right={"batch": SMALL}, where={"part": TRAINING, "last": True, "most": True},
            words=f"instances seen until the training loss is at {THRESHOLD:g}, all at once"
            f" relative to minibatches of {SMALL}, at the largest n", badges=badges,
        ),
        lab.exponent(
            "minibatches_for_big_data", derived(rows), "n", "saving", badges=badges,
            words="that ratio as a power of the number n of instances, fitted for each seed",
            missing="with a run that never arrived",
        ),
        lab.exponent(
            "gradient_error_falls_as_root", rows, "effective", "error", where={"part": GRADIENT},
            by="drawn", words="root mean square distance from the gradient of all instances, as a"
            " power of m (without replacement, of m (n - 1) / (n - m))",
        ),
        lab.timed(
            "small_batches_waste", rows, "each", by="data",
            where={"part": TIME, "batch": 1, "again": False},
            words="time per instance of batches of 1, relative to all at once, side by side",
        ),
    ]  # fmt: skip


def figures(rows: pd.DataFrame) -> list[Figure]:
    saved, powers, slopes = (
        ", ".join(f"{part.interval.estimate:.2g}" for part in result.parts if part.interval)
        for result in results(rows)[:3]
    )
    foot = f"{rows['seed'].nunique()} seeds, each batch size at its own rate"
    return [
        lab.curves(
            derived(rows), "saving", "n", "saving", "data", by=None, logarithms="xy", foot=foot,
            labels=("instances n", f"all at once / by {SMALL}"),
            caption=f"How many times more instances gradient descent on all at once sees than"
            f" minibatches of {SMALL}, until the training loss is at {THRESHOLD:g}.",
            alt="The ratio against the number of instances", finding=f"All at once sees {saved}"
            f" times the instances; it grows like n to the {powers}",
        ),
        lab.curves(
            rows, "gradient_error", "effective", "error", "drawn", by=None, logarithms="xy",
            where={"part": GRADIENT}, labels=("effective m", "error / gradient's length"),
            caption="Distance of a minibatch's gradient from that of all instances.",
            alt="Falling straight lines", finding=f"The error falls like m to the {slopes}",
        ),
    ]  # fmt: skip


EXPERIMENT = Experiment(
    name="minibatch", title="Minibatches", version=3, order=52,
    question="Why stochastic gradients: what do minibatches save, and does it grow with the data?",
    cases=cases, after=further, measure=measure, figures=figures, results=results,
    method=f"""
    A network of {HIDDEN} ReLUs, softmax and cross-entropy in float32; plain gradient descent at a
    constant rate, with minibatches cut from permutations of the data. A run has arrived when its
    loss on all n training instances is at most {THRESHOLD:g}; that is looked at whenever updates
    have grown by a tenth. The rate of each data set, n and batch size is the one that arrived after
    the fewest instances in the mean of tuning runs with other seeds. A seed sets split, subset,
    initial weights and order. Gradients of minibatches are compared in float64 at fixed parameters.
    """,
    limitations="""
    The threshold is one of training loss: it says how fast the training problem is solved, not how
    well the network predicts. By theory a tighter one favours full gradients, whose error falls
    geometrically, while a minibatch's gradient keeps its noise at a constant rate. Up to 4,000
    instances are not big data. Subsets are nested for each seed, so that points of a growth curve
    are not independent; intervals are over seeds. Full-batch descent has neither momentum nor line
    search here. Seconds are those of one core: hardware with many prefers larger batches.
    """,
    volatile=(*TIME_COLUMNS, "each", "each_low", "each_high"),
    timed=lambda case: case["part"] == TIME,
)  # fmt: skip

if __name__ == "__main__":
    lab.main(EXPERIMENT)
