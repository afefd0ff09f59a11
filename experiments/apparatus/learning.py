"""Tuned training runs: what the experiments on networks share.

What flows: configurations -> tuning cases at every learning rate -> rows -> the rate of each
configuration -> training cases at that rate -> rows -> paired comparisons.

Tuning sees other seeds than training, and never a test part. A seed decides split, initial weights
and order together, and does not depend on the configuration: comparisons are paired by seed.
"""

from __future__ import annotations

import functools
import math
import warnings
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from difflab.ir.tree import flatten, unflatten
from difflab.lab import Case, Row
from difflab.methods import Reverse
from difflab.networks import DivergedError, DivergenceWarning, Network, load
from difflab.networks.data import Part
from difflab.networks.examples import Minibatches
from difflab.networks.layers import Parameters
from difflab.networks.update import update_of

TUNING, TRAINING = "tuning", "training"
LEAST = ("held_error", "held_loss")
"""What the chosen rate minimises, unless an experiment says otherwise."""
PLATEAU = 0.005


def tuning_cases(
    configurations: Iterable[Case],
    rates: Iterable[float] | Callable[[Case], Iterable[float]],
    seeds: Iterable[int],
) -> list[Case]:
    """Every configuration at every learning rate, or at those of its own."""
    return [
        {"part": TUNING, **one, "rate": rate, "seed": seed}
        for one in configurations
        for rate in (rates(one) if callable(rates) else rates)
        for seed in seeds
    ]


def training_cases(
    rows: pd.DataFrame,
    configurations: Sequence[Case],
    seeds: Iterable[int],
    by: Sequence[str] = LEAST,
    strengths: Sequence[str] = (),
) -> list[Case]:
    """Every configuration at the rate that its tuning runs chose: for `Experiment.after`.

    Of those that differ in their strengths alone, the best.
    """
    settings = [name for name in configurations[0] if name not in strengths]
    best = strongest(rows, settings, strengths, by)
    return [
        {"part": TRAINING, **one, "rate": float(own["rate"]), "seed": seed}
        for one in configurations
        for own in [best.loc[tuple(one[name] for name in settings)]]
        if all(own[name] == one[name] for name in strengths)
        for seed in seeds
    ]


def in_turn(cases: Iterable[Case]) -> list[Case]:
    """Cases of the same split one after the other, so that it is made once."""
    return sorted(cases, key=lambda case: (case["data"], case["seed"]))


def chosen_rates(
    rows: pd.DataFrame, names: Sequence[str], by: Sequence[str] = LEAST
) -> pd.DataFrame:
    """By configuration: the rate of the least mean of the first column of `by` that differs.

    `edge` says whether it is the lowest or highest. One at which a run diverged is not chosen.

    >>> runs = pd.DataFrame({"part": "tuning", "depth": 2, "rate": [0.1, 0.2, 0.4], "seed": 0,
    ...     "update": 9, "held_error": [0.3, 0.1, 0.1], "held_loss": [1.0, 0.5, 0.6],
    ...     "diverged": False})
    >>> chosen_rates(runs, ["depth"]).to_dict("records")
    [{'rate': 0.2, 'held_error': 0.1, 'held_loss': 0.5, 'edge': False}]
    """
    own = [*names, "rate"]
    tuned = rows[rows["part"] == TUNING].sort_values("update")
    last = tuned.drop_duplicates([*own, "seed"], keep="last").sort_index()
    told = dict.fromkeys(by, "mean") | {"diverged": "any"}
    ranked = last.groupby(own).agg(told).reset_index()
    ranked = ranked.sort_values(["diverged", *by], kind="stable")
    rate, others = ranked["rate"], ranked.groupby(list(names))["rate"]
    ranked["edge"] = rate.eq(others.transform("min")) | rate.eq(others.transform("max"))
    best = ranked.drop_duplicates(names).sort_values(list(names)).set_index(list(names))
    return best[["rate", *by, "edge"]]


def strongest(
    rows: pd.DataFrame, settings: Sequence[str], strengths: Sequence[str], by: Sequence[str] = LEAST
) -> pd.DataFrame:
    """By setting: strengths and rate of the least means; `edge` is true where the rate or a
    strength lies at an end of the setting's grid (no strength is not an end)."""
    own, tuned = list(settings), rows[rows["part"] == TUNING]
    ranked = chosen_rates(rows, [*own, *strengths], by).reset_index()
    ranked = ranked.sort_values(list(by), kind="stable")
    best = ranked.drop_duplicates(own).sort_values(own).set_index(own)
    for name in strengths:
        ends = tuned.groupby(own)[name].agg(["min", "max"]).loc[best.index]
        outer = best[name].eq(ends["max"]) | (best[name].eq(ends["min"]) & best[name].ne(0))
        best["edge"] |= outer & ends["min"].ne(ends["max"])
    return best


def perceptron(
    inputs: int, hidden: Iterable[int], outputs: int, activation: str = "relu",
    initialiser: str | None = None, head: str = "softmax", dtype: str = "float32",
) -> Network:  # fmt: skip
    """Hidden layers of so many units, and a head; without an initialiser, the one that suits."""
    net = Network(inputs, dtype=dtype)
    for units in hidden:
        net.fc(units, activation, initialiser)
    net.fc(outputs, head, initialiser)
    return net


@functools.lru_cache(maxsize=4)
def examples(
    name: str, part: str, seed: int, *, size: int | None = None, standardise: bool = True
) -> tuple[Part, Part]:
    """The instances to learn from, and those to be judged on: validation ones when tuning.

    `size` keeps only so many of the former. Features have mean 0 and deviation 1 on them, or are as
    they were: almost constant pixels are better not standardised.
    """
    validation = 0.2 if part == TUNING else 0.0
    split = load(name).split(run_seed(part, seed), validation=validation, standardise=standardise)
    held = split.test if split.validation is None else split.validation
    train = split.train if size is None else Part(split.train.X[:size], split.train.y[:size])
    return train, held


def run_seed(part: str, seed: int) -> int:
    """The seed of split, weights and order: tuning and training never share one."""
    return 1000 * (zlib.crc32(part.encode()) % 1000) + seed


def train(
    network: Network, data: tuple[Part, Part], *, part: str, seed: int, rate: float, updates: int,
    every: int, threshold: float | None = None, whole: bool = False, **options: Any,
) -> Iterator[Row]:  # fmt: skip
    """Train by the network's own solver at a rate, and look at it every so many updates.

    Yields
    ------
    `update`, `loss` (of the minibatches since the row before), `train_error` and `held_error`
    (shares of the instances; of the variance, where values are predicted) and `held_loss`. The
    `last` row also says whether the run `diverged`, whether it has `settled` (see there), and after
    how many updates the training error had `reached` the threshold (NaN if never). A run that
    diverges has one row, with errors of NaN. Tuning gives the last row only, unless the `whole` run
    is asked for.
    """
    learn, held = data
    network.solver = replace(network.solver, learning_rate=rate)
    every = updates if part == TUNING and not whole else every
    options |= {"seed": run_seed(part, seed), "validation": tuple(held), "progress": False}
    try:
        with warnings.catch_warnings(action="ignore", category=DivergenceWarning):
            history = network.fit(*learn, updates=updates, every=every, **options)
    except DivergedError:
        missing = dict.fromkeys(("loss", "train_error", "held_error", "held_loss"), np.nan)
        yield {"update": 0, **missing, "last": True, "diverged": True, "settled": False}
        return
    right = "accuracy" if network.classifies else "r2"
    found = [
        {"update": row["update"], "loss": row["loss"], "train_error": 1.0 - row[right],
         "held_error": 1.0 - row[f"validation_{right}"], "held_loss": row["validation_loss"]}
        for row in history.to_dict("records")
    ]  # fmt: skip
    ends = {"last": True, "diverged": False, "settled": settled(found)}
    if threshold is not None:
        there = (row["update"] for row in found if row["train_error"] <= threshold)
        ends["reached"] = next(there, np.nan)
    yield from found[:-1]
    yield {**found[-1], **ends}


def descent(
    net: Network, X: np.ndarray, y: np.ndarray, *, batch: int, seed: int, rate: float, updates: int,
    looks: Collection[int],
) -> Iterator[tuple[int, float, Parameters]]:  # fmt: skip
    """Bare updates: number, minibatch loss and parameters after those that are to be looked at; it
    ends early where a loss or gradient is not finite.
    """
    arrays, structure = flatten(net.initial(seed))
    memory, batches = net.solver.memory(arrays), Minibatches(X, y, batch, seed)
    update = update_of(net, Reverse(), net.parameters, batches.take(1))
    for number in range(1, updates + 1):
        given = arrays, batches.take(number), memory, number, update.number(rate)
        loss, norms, arrays, memory = update(*given)
        if not all(map(math.isfinite, (loss, *norms))):
            return
        if number in looks:
            yield number, loss, unflatten(structure, arrays)


def settled(run: Sequence[Row]) -> bool:
    """Whether a run has come to a plateau: in its last third neither the training error nor the
    held-out error fell by more than half a point, from one half of that third to the other.

    >>> falling = [{"train_error": 1 / k, "held_error": 1 / k} for k in range(1, 13)]
    >>> settled(falling), settled([*falling, *[falling[-1]] * 12])
    (False, True)
    """
    half = len(run) // 6
    if half == 0:
        return False
    names = ("train_error", "held_error")
    halves = (run[-2 * half : -half], run[-half:])
    before, after = ([np.mean([row[name] for row in part]) for name in names] for part in halves)
    return bool(np.max(np.subtract(before, after)) <= PLATEAU)


def badges(
    rows: pd.DataFrame, names: Sequence[str], by: Sequence[str] = LEAST,
    strengths: Sequence[str] = (),
) -> tuple[str, ...]:  # fmt: skip
    """What a reader of these runs must know: rates at the grid's edge, runs that had not settled.

    `names` are the columns of a configuration, `strengths` those that were tuned beside the rate.
    """
    best = strongest(rows, names, strengths, by)
    last = rows[(rows["part"] == TRAINING) & rows["last"].eq(True)]
    what = f"{'settings' if strengths else 'rates'} at the grid's edge"
    still = "runs not at a plateau: within this budget"
    found = {what: best["edge"], still: last["settled"].eq(False)}
    return tuple(f"{own.sum()} of {len(own)} {what}" for what, own in found.items() if own.any())
