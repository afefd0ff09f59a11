"""The rows of the experiment `activations`, read off: who was how fast, and how wrong.

What flows: rows -> the training runs at the rate that a goal chose -> updates to a threshold, or
test errors, by seed -> intervals of paired comparisons. A run that never reaches a threshold is
counted and left out, never given a number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from apparatus.learning import (
    LEAST,
    TRAINING,
    chosen_rates,
    last_rows,
    paired_difference,
    paired_ratio,
    updates_to,
)

from difflab.lab import Interval

SETTINGS = ["data", "start", "activation", "depth", "updates"]
ACTIVATIONS = ("relu", "leaky_relu", "tanh", "sigmoid")
SPEED, SMALL, TABLE = ("digits", "mnist1d"), "normal", "mnist_5k"
TITLES = {"digits": "digits", "mnist1d": "MNIST-1D", "mnist_5k": "5,000 MNIST images"}
NAMES = {"relu": "ReLU", "leaky_relu": "leaky ReLU", "tanh": "tanh", "sigmoid": "sigmoid"}
SCALED = {"sigmoid": "glorot", "tanh": "glorot", "relu": "he", "leaky_relu": "he"}
"""The initial weights that suit an activation."""
THRESHOLDS = {"25": 0.25, "5": 0.05}
"""Training errors to be reached: that of Krizhevsky et al. 2012, and a harder one."""
GOALS = {
    **{name: (f"missed_{name}", f"log_{name}", "train_error", "loss") for name in THRESHOLDS},
    "test": LEAST,
}
"""What a learning rate is tuned for: most runs that reach a threshold, then fewest updates to it
(then the least training error and loss at the end); or the least validation error."""
PUBLISHED = {("tanh", "uniform"): 1.76, ("tanh", "glorot"): 1.64, ("sigmoid", "uniform"): 2.21}
"""Test errors on MNIST in percent, five hidden layers: Glorot & Bengio 2010, table 1."""


def goals_of(data: str, start: str) -> tuple[str, ...]:
    """What is asked on a data set, with initial weights of a kind."""
    if data == TABLE:
        return ("test",)
    if start == SMALL:
        return ("25",)
    return ("25", "5", "test") if data == "digits" else ("25", "test")


def runs(rows: pd.DataFrame, goal: str) -> pd.DataFrame:
    """The training runs, row by row, at the rates that a goal chose, where it is asked for."""
    rates = chosen_rates(rows, SETTINGS, GOALS[goal])["rate"]
    own = rows[rows["part"] == TRAINING]
    pairs = zip(own["data"], own["start"], strict=True)
    own = own[[goal in goals_of(data, start) for data, start in pairs]]
    chosen = rates.reindex(pd.MultiIndex.from_frame(own[SETTINGS])).to_numpy()
    return own[own["rate"].to_numpy() == chosen]


def speed_arm(own: pd.DataFrame, start: str = "") -> pd.DataFrame:
    """The runs on which speed is measured: with the weights that suit, or with those of a start."""
    wanted = start or own["activation"].map(SCALED)
    return own[own["data"].isin(SPEED) & (own["start"] == wanted)]


def updates(rows: pd.DataFrame, threshold: str, start: str = "") -> pd.DataFrame:
    """Updates by seed (NaN: never there), for data set, activation and depth."""
    own = speed_arm(runs(rows, threshold), start)
    found = updates_to(own, SETTINGS, THRESHOLDS[threshold])
    return found.pivot(index="seed", columns=["data", "activation", "depth"], values="update")


def test_errors(rows: pd.DataFrame) -> pd.DataFrame:
    """Test errors in percent by seed, for data set, start, activation and depth; NaN: diverged."""
    last = last_rows(runs(rows, "test"), SETTINGS)
    columns = ["data", "start", "activation", "depth"]
    return 100 * last.pivot(index="seed", columns=columns, values="held_error")


def scaled_errors(rows: pd.DataFrame) -> pd.DataFrame:
    """Those with the weights that suit the activation, for data set, activation and depth."""
    found = test_errors(rows)
    kept = [
        (data, start, activation, depth)
        for data, start, activation, depth in found
        if data in SPEED and start == SCALED[activation]
    ]
    return found[kept].droplevel("start", axis=1)


def cells(table: pd.DataFrame, depths: Iterable[int] = ()) -> list[tuple[str, int]]:
    """Data sets and depths of a table by data set, activation and depth."""
    wanted = set(depths)
    pairs = sorted({(data, depth) for data, _, depth in table})
    return [pair for pair in pairs if not wanted or pair[1] in wanted]


# Comparisons --------------------------------------------------------------------------------------


def ratio(table: pd.DataFrame, left: str, right: str, data: str, depth: int) -> Interval | None:
    """Updates of one activation over those of another, where both reached the threshold."""
    pair = table[[(data, left, depth), (data, right, depth)]].dropna()
    return paired_ratio(pair.iloc[:, 0], pair.iloc[:, 1]) if len(pair) else None


def mean_ratio(
    table: pd.DataFrame, left: str, right: str, over: Iterable[tuple[str, int]]
) -> Interval | None:
    """The ratio by seed, the geometric mean over data sets and depths, at those which every seed
    has: a run that is censored must not change of what the mean is. None where there are none.
    """
    kept = [
        (data, depth)
        for data, depth in over
        if table[[(data, left, depth), (data, right, depth)]].notna().all(axis=None)
    ]
    if not kept:
        return None
    logs = np.log(table)
    return paired_ratio(*[np.exp(mean_of(logs, name, kept)) for name in (left, right)])


def mean_difference(
    table: pd.DataFrame, left: str, right: str, over: Sequence[tuple[str, int]]
) -> Interval | None:
    """The difference by seed, the mean over data sets and depths, at the seeds that have all."""
    if not over:
        return None
    lefts, rights = (mean_of(table, name, over) for name in (left, right))
    both = (lefts - rights).dropna().index
    return paired_difference(lefts[both], rights[both]) if len(both) else None


def mean_of(table: pd.DataFrame, name: str, over: Sequence[tuple[str, int]]) -> pd.Series:
    """An activation's mean by seed; NaN where one is missing."""
    return table[[(data, name, depth) for data, depth in over]].mean(axis=1, skipna=False)


def widening(table: pd.DataFrame, slow: str, deep: int) -> Interval | None:
    """How many times larger the ratio to ReLU is at a depth than at the least one: by seed the
    geometric mean over the data sets where every seed reached the threshold in all four networks.
    """
    logs = np.log(table)
    least = min(depth for _, depth in cells(table))
    found = {}
    for data in dict.fromkeys(data for data, _ in cells(table)):
        gaps = [logs[data, slow, depth] - logs[data, "relu", depth] for depth in (deep, least)]
        if all(gap.notna().all() for gap in gaps):
            found[data] = gaps
    if not found:
        return None
    deeper, shallow = (sum(gaps[i] for gaps in found.values()) / len(found) for i in (0, 1))
    return paired_ratio(np.exp(deeper), np.exp(shallow))


def deepest(table: pd.DataFrame, slow: str) -> int:
    """The largest depth at which an activation's gap to ReLU can be compared with the least's."""
    depths = sorted({depth for _, depth in cells(table)})
    return max((d for d in depths if widening(table, slow, d) is not None), default=depths[0])


# In words -----------------------------------------------------------------------------------------


def each_cell(table: pd.DataFrame, left: str, right: str) -> str:
    """The ratio of updates for every data set and depth, and how many runs are left out."""
    words = []
    for data, depth in cells(table):
        pair = table[[(data, left, depth), (data, right, depth)]]
        counts = [int(pair[column].notna().sum()) for column in pair]
        found = ratio(table, left, right, data, depth)
        note = "" if min(counts) == len(pair) else f" ({counts[0]} and {counts[1]} of {len(pair)})"
        words.append(f"{TITLES[data]} {depth}: {found or 'none'}{note}")
    return "; ".join(words)
