"""Tuned training runs: what the experiments on networks share.

What flows: configurations -> tuning cases at every learning rate -> rows -> the rate of each
configuration -> training cases at that rate -> rows -> paired comparisons.

A configuration is a dict of settings (activation, depth, ...). Tuning sees other seeds than
training, and never a test part. A seed decides split, initial weights and order together, and does
not depend on the configuration, so that configurations are compared in pairs, seed by seed.
Rows of both parts have the columns of `train`.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from difflab.lab import Case, Interval, Row, Table, bootstrap_interval, proportion_interval
from difflab.networks import DivergedError, Network, load
from difflab.networks.data import Part

TUNING, TRAINING = "tuning", "training"
LEAST = ("held_error", "held_loss")
"""What the chosen rate minimises, unless an experiment says otherwise."""
Looks = Mapping[str, Mapping[str, Any]]


# Cases --------------------------------------------------------------------------------------------


def tuning_cases(
    configurations: Iterable[Case], rates: Iterable[float], seeds: Iterable[int]
) -> list[Case]:
    """Every configuration at every learning rate."""
    return [
        {"part": TUNING, **configuration, "rate": rate, "seed": seed}
        for configuration in configurations
        for rate in rates
        for seed in seeds
    ]


def training_cases(
    rows: pd.DataFrame,
    configurations: Sequence[Case],
    seeds: Iterable[int],
    by: Sequence[str] = LEAST,
) -> list[Case]:
    """Every configuration at the rate that its tuning runs chose: for `Experiment.after`."""
    names = list(configurations[0])
    rates = chosen_rates(rows, names, by)["rate"]
    return [
        {"part": TRAINING, **configuration, "rate": float(rates[_key(configuration)]), "seed": seed}
        for configuration in configurations
        for seed in seeds
    ]


def _key(configuration: Case) -> Any:
    values = tuple(configuration.values())
    return values if len(values) > 1 else values[0]


def chosen_rates(
    rows: pd.DataFrame, names: Sequence[str], by: Sequence[str] = LEAST
) -> pd.DataFrame:
    """By configuration: the rate of the least validation error (then loss), and how it lies.

    Or that of the least means of other columns, the first of them that differs. Columns: `rate`,
    `validation_error` and `validation_loss` (means over the tuning seeds), and `edge` (whether the
    rate is the configuration's lowest or highest). A rate at which a run diverged is not chosen.

    >>> runs = pd.DataFrame({"part": "tuning", "depth": 2, "rate": [0.1, 0.2, 0.4], "seed": 0,
    ...     "update": 9, "held_error": [0.3, 0.1, 0.1], "held_loss": [1.0, 0.5, 0.6],
    ...     "diverged": False})
    >>> chosen_rates(runs, ["depth"])[["rate", "edge"]].to_dict("records")
    [{'rate': 0.2, 'edge': False}]
    """
    last = last_rows(rows[rows["part"] == TUNING], [*names, "rate"])
    grouped = last.groupby([*names, "rate"], sort=True)
    means = grouped.agg(
        validation_error=("held_error", "mean"),
        validation_loss=("held_loss", "mean"),
        diverged=("diverged", "any"),
        **{f"least {column}": (column, "mean") for column in by},
    ).reset_index()
    rates = means.groupby(list(names))["rate"]
    lowest, highest = rates.transform("min"), rates.transform("max")
    means["edge"] = means["rate"].eq(lowest) | means["rate"].eq(highest)
    ranked = means.sort_values(["diverged", *[f"least {column}" for column in by]], kind="stable")
    best = ranked.drop_duplicates(names).sort_values(list(names)).set_index(list(names))
    return best[["rate", "validation_error", "validation_loss", "edge"]]


def last_rows(rows: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The last row of every run."""
    return rows.sort_values("update").drop_duplicates([*names, "seed"], keep="last").sort_index()


# One run ------------------------------------------------------------------------------------------


def examples(name: str, part: str, seed: int, *, size: int | None = None) -> tuple[Part, Part]:
    """The instances to learn from, and those to be judged on: validation ones when tuning.

    `size` keeps only so many of the former. Features have mean 0 and deviation 1 on them.
    """
    return _examples(name, part, seed, size)


@functools.lru_cache(maxsize=4)
def _examples(name: str, part: str, seed: int, size: int | None) -> tuple[Part, Part]:
    split = load(name).split(seed=run_seed(part, seed), validation=0.2 if part == TUNING else 0.0)
    held = split.test if split.validation is None else split.validation
    train = split.train if size is None else Part(split.train.X[:size], split.train.y[:size])
    return train, held


def run_seed(part: str, seed: int) -> int:
    """The seed of split, weights and order: tuning and training never share one."""
    return 1000 * (zlib.crc32(part.encode()) % 1000) + seed


def train(
    network: Network,
    data: tuple[Part, Part],
    *,
    part: str,
    seed: int,
    rate: float,
    updates: int,
    every: int,
    columns: Sequence[str] = (),
    whole: bool = False,
    **options: Any,
) -> Iterator[Row]:
    """Train by the network's own solver at a rate, and look at it every so many updates.

    Yields
    ------
    `update`, `loss` (of the minibatches since the row before), `train_error` and `held_error`
    (shares of the instances), `held_loss`, `diverged`, and those columns of `Network.fit`'s history
    whose names start with one of `columns`. A run that diverges has one row, with errors of NaN.
    Tuning gives the last row only, unless the `whole` run is asked for.
    """
    learn, held = data
    network.solver = replace(network.solver, learning_rate=rate)
    try:
        history = network.fit(
            *learn,
            seed=run_seed(part, seed),
            validation=tuple(held),
            updates=updates,
            every=updates if part == TUNING and not whole else every,
            progress=False,
            **options,
        )
    except DivergedError:
        missing = dict.fromkeys(("loss", "train_error", "held_error", "held_loss"), np.nan)
        yield {"update": 0, **missing, "diverged": True}
        return
    further = [name for name in history if name.startswith(tuple(columns))]
    for row in history.to_dict("records"):
        yield {
            "update": row["update"],
            "loss": row["loss"],
            "train_error": 1.0 - row["accuracy"],
            "held_error": 1.0 - row["validation_accuracy"],
            "held_loss": row["validation_loss"],
            "diverged": False,
            **{name: row[name] for name in further},
        }


# What is read off ---------------------------------------------------------------------------------


def updates_to(
    rows: pd.DataFrame, names: Sequence[str], threshold: float, column: str = "train_error"
) -> pd.DataFrame:
    """By run: the first `update` at which a column is at or below a threshold; NaN if never.

    >>> run = pd.DataFrame({"depth": 2, "seed": 0, "update": [5, 10], "train_error": [0.5, 0.2]})
    >>> updates_to(run, ["depth"], 0.25)["update"].tolist()
    [10.0]
    """
    runs = rows[[*names, "seed"]].drop_duplicates()
    reached = rows[rows[column] <= threshold]
    first = reached.groupby([*names, "seed"], as_index=False)["update"].min()
    return runs.merge(first, how="left").astype({"update": float})


def reached(runs: pd.DataFrame) -> str:
    """How many of some runs of `updates_to` got there, in words.

    >>> reached(pd.DataFrame({"update": [5.0, np.nan]}))
    '1 of 2 reached'
    """
    return f"{runs['update'].notna().sum()} of {len(runs)} reached"


def paired_difference(left: pd.Series, right: pd.Series) -> Interval:
    """The mean of left - right over the seeds (their index) that both have, with its interval."""
    both = left.index.intersection(right.index)
    return bootstrap_interval(left[both], minus=right[both], statistic=np.mean)


def paired_ratio(left: pd.Series, right: pd.Series) -> Interval:
    """The geometric mean of left / right over the seeds that both have, with its interval.

    >>> print(paired_ratio(pd.Series([2.0, 8.0]), pd.Series([1.0, 1.0])))
    4 [2, 8]
    """
    both = left.index.intersection(right.index)
    found = bootstrap_interval(np.log(left[both]), minus=np.log(right[both]), statistic=np.mean)
    return Interval(*np.exp(found[:3]).tolist(), found.n)


def share(holds: pd.Series) -> Interval:
    """The share of cases in which something holds, with Wilson's interval."""
    return proportion_interval(int(holds.sum()), len(holds))


def rates_table(rows: pd.DataFrame, names: Sequence[str]) -> Table:
    """The rates that were chosen, from which, and whether one lies at the edge."""
    tuning = rows[rows["part"] == TUNING]
    best = chosen_rates(rows, names).reset_index()
    best["validation_error"] *= 100
    grid = ", ".join(f"{rate:g}" for rate in sorted(tuning["rate"].unique()))
    edge = int(best["edge"].sum())
    return Table(
        "Learning rates",
        f"Chosen for each configuration by the least mean validation error of"
        f" {tuning['seed'].nunique()} seeds that are not used again, from {grid}."
        f" {edge or 'None'} of {len(best)} choices {'lies' if edge == 1 else 'lie'} at the grid's"
        " edge.",
        best.rename(
            columns={
                "rate": "learning rate",
                "validation_error": "validation error, %",
                "validation_loss": "validation loss",
                "edge": "at the grid's edge",
            }
        ),
    )


# Drawings -----------------------------------------------------------------------------------------


def draw_bands(
    axes: Axes,
    rows: pd.DataFrame,
    x: str,
    y: str,
    by: str,
    looks: Looks,
    *,
    label: Callable[[str], str] = str,
) -> None:
    """For each value of `by`, the median over the seeds of y against x, and the quartiles."""
    for name, style in looks.items():
        own = rows[rows[by] == name]
        if own.empty:
            continue
        low, middle, high = (own.groupby(x)[y].quantile(q) for q in (0.25, 0.5, 0.75))
        plain = {key: style[key] for key in style if key != "marker"}
        axes.plot(middle.index, middle, label=label(name), **plain)
        axes.fill_between(middle.index, low, high, color=style["color"], alpha=0.15, linewidth=0)
