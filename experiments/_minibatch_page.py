"""The page of the experiment `minibatch`: rows in, tables and drawings out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from apparatus.learning import TRAINING, TUNING, paired_ratio
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import LogLocator, NullFormatter

from difflab.lab import Figure, Interval, Table, bootstrap_interval, looks

GRADIENT, TIME = "gradient", "time"
SETTINGS = ["data", "n", "batch"]
DRAWN = ("with", "without")
SIZES = (1, 4, 16, 64, 256, 1024)
SMALL = 16
"""The batch size that stands against all instances at once; settled beforehand."""
TITLES = {"digits": "digits", "mnist_5k": "MNIST images"}
POINT_TITLES = {"start": "at the initial weights", "trained": "after 200 updates"}


# What is read off ---------------------------------------------------------------------------------


def finals(rows: pd.DataFrame, part: str) -> pd.DataFrame:
    """The last row of every run of a part, with passes over the data; a batch of 0 is all."""
    own = rows[(rows["part"] == part) & rows["reached"].notna()]
    own = own.astype({"n": int, "batch": int, "seed": int, "reached": bool})
    return own.assign(passes=own["examples"] / own["n"])


def fastest_rates(rows: pd.DataFrame) -> pd.DataFrame:
    """By configuration: the rate at which most runs arrive, and of those the fastest in the mean.

    Columns: `rate`, `arrived` (a share), `examples` (mean) and `edge`: whether the rate is the
    lowest or highest that was tried for the configuration.
    """
    grouped = finals(rows, TUNING).groupby([*SETTINGS, "rate"])
    means = grouped.agg(arrived=("reached", "mean"), examples=("examples", "mean")).reset_index()
    grid = means.groupby(SETTINGS)["rate"]
    means["edge"] = (means["rate"] == grid.transform("min")) | (
        means["rate"] == grid.transform("max")
    )
    ranked = means.sort_values(["arrived", "examples"], ascending=[False, True], kind="stable")
    return ranked.drop_duplicates(SETTINGS).set_index(SETTINGS).sort_index()


def arrivals(rows: pd.DataFrame, data: str, n: int, batch: int) -> pd.Series:
    """The instances seen until the threshold, by seed; runs that did not arrive are left out."""
    own = finals(rows, TRAINING)
    own = own[(own["data"] == data) & (own["n"] == n) & (own["batch"] == batch) & own["reached"]]
    return own.set_index("seed")["examples"].astype(float).sort_index()


def advantage(rows: pd.DataFrame, data: str, n: int) -> tuple[pd.Series, pd.Series, str]:
    """The instances that all at once and minibatches need, at seeds where both arrive; how many."""
    left, right = arrivals(rows, data, n, 0), arrivals(rows, data, n, SMALL)
    seeds = finals(rows, TRAINING)["seed"].nunique()
    both = left.index.intersection(right.index)
    return left[both], right[both], f"{len(left)} and {len(right)} of {seeds} reached"


def sizes(rows: pd.DataFrame, data: str) -> list[int]:
    own = rows[(rows["part"] == TRAINING) & (rows["data"] == data)]
    return sorted(own["n"].astype(int).unique())


def largest(rows: pd.DataFrame) -> dict[str, int]:
    """Every data set with its greatest number of instances."""
    own = rows[rows["part"] == TRAINING]
    return {data: sizes(rows, data)[-1] for data in TITLES if data in set(own["data"])}


def growth(rows: pd.DataFrame, data: str) -> pd.Series:
    """By seed: the exponent of n in the advantage of minibatches, where all its runs arrived."""
    ratios = {}
    for n in sizes(rows, data):
        left, right, _ = advantage(rows, data, n)
        ratios[n] = left / right
    table = pd.DataFrame(ratios).dropna()
    return pd.Series(slopes(list(table.columns), table.to_numpy()), table.index, dtype=float)


def slopes(x: list[int], rows: np.ndarray) -> list[float]:
    """The exponent of a power law fitted to each row of values at x.

    >>> [round(float(slope), 3) for slope in slopes([1, 10, 100], np.array([[2, 20, 200]]))]
    [1.0]
    """
    return [float(np.polyfit(np.log(x), np.log(values), 1)[0]) for values in rows]


def gradient_exponents(rows: pd.DataFrame) -> dict[tuple[str, str], pd.Series]:
    """By point and kind of drawing: each seed's exponent of the minibatch's size.

    Without replacement it is that of m (n - 1) / (n - m), which the theory's error depends on.
    """
    own = rows[rows["part"] == GRADIENT]
    without = own["replacement"] == "without"
    size = own["m"].where(~without, own["m"] * (own["n"] - 1) / (own["n"] - own["m"]))
    found = {}
    for key, part in own.assign(size=size).groupby(["point", "replacement"]):
        table = part.pivot(index="seed", columns="size", values="error")
        found[key] = pd.Series(slopes(list(table.columns), table.to_numpy()), table.index)
    return found


def mean_interval(values: pd.Series) -> Interval:
    return bootstrap_interval(values, statistic=np.mean)


def batch_name(batch: int) -> str:
    return f"{batch}" if batch else "all"


# Tables -------------------------------------------------------------------------------------------


def tables(rows: pd.DataFrame) -> list[Table]:
    return [results(rows), rates(rows), costs(rows)]


def results(rows: pd.DataFrame) -> Table:
    own = finals(rows, TRAINING)
    lines = []
    for (data, n, batch), part in own.groupby(SETTINGS):
        arrived = part[part["reached"]]
        all_at_once = arrivals(rows, data, n, 0)
        mine = arrivals(rows, data, n, batch)
        paired = len(all_at_once.index.intersection(mine.index)) and batch
        lines.append(
            {
                "data": data,
                "n": n,
                "batch": batch_name(batch),
                "reached": f"{len(arrived)} of {len(part)}",
                "updates": arrived["update"].median(),
                "passes": arrived["passes"].median(),
                "all at once / this": str(paired_ratio(all_at_once, mine)) if paired else "",
                "test error, %": 100 * arrived["held_error"].mean(),
            }
        )
    return Table(
        "Until the training loss is at the threshold",
        "Median updates and passes over the n instances, of the runs that reached it; the geometric"
        " mean of the paired ratio of instances seen, all at once to this batch size, with its 95 %"
        f" bootstrap interval over {own['seed'].nunique()} seeds; the mean test error on arrival."
        " Read down a data set: the ratio grows with n.",
        pd.DataFrame(lines),
    )


def rates(rows: pd.DataFrame) -> Table:
    best = fastest_rates(rows).reset_index()
    tuning = finals(rows, TUNING)
    edge = int(best["edge"].sum())
    tried = tuning.groupby(SETTINGS)["rate"].nunique().max()
    best["passes"] = best["examples"] / best["n"]
    best["batch"] = best["batch"].map(batch_name)
    return Table(
        "Learning rates",
        f"For each configuration the rate at which runs reach the threshold after the fewest"
        f" instances, in the mean of {tuning['seed'].nunique()} seeds that are not used again, of"
        f" {tried} rates, each twice the one before (or more, in the smaller presets), around what"
        f" suits the batch size. {edge or 'None'} of {len(best)} choices"
        f" {'lies' if edge == 1 else 'lie'} at the edge of what was tried.",
        best[["data", "n", "batch", "rate", "passes", "edge"]].rename(
            columns={"rate": "learning rate", "edge": "at the edge"}
        ),
    )


def timed(rows: pd.DataFrame) -> pd.DataFrame:
    """The time of an update by data set and batch size, without the baseline's alias."""
    own = rows[(rows["part"] == TIME) & rows["again"].ne(True)]
    return own.astype({"n": int, "batch": int})


def costs(rows: pd.DataFrame) -> Table:
    own = timed(rows)
    each = 1e6 * own["seconds"] / own["batch"]
    frame = pd.DataFrame(
        {
            "data": own["data"],
            "batch": own["batch"],
            "update, ms": 1e3 * own["seconds"],
            "per instance, µs": each,
            "per instance, times all at once": own["ratio"] * own["n"] / own["batch"],
            "buffers, kB": own["buffer_bytes"] / 1e3,
        }
    )
    return Table(
        "What an update costs",
        f"Median over {own['rounds'].max():.0f} rounds, side by side on one core, of an update with"
        " the selection of its minibatch; all at once against itself strays by up to"
        f" {100 * own['noise'].max():.0f} %. Buffers: the memory that the update's program plans"
        " for what lies between its inputs and outputs, in bytes: it grows with the minibatch and"
        " not with the number of instances.",
        frame.reset_index(drop=True),
    )


# Drawings -----------------------------------------------------------------------------------------


def figures(rows: pd.DataFrame) -> list[Figure]:
    seeds = finals(rows, TRAINING)["seed"].nunique()
    data, n = list(largest(rows).items())[-1]
    draws = rows.loc[rows["part"] == GRADIENT, "draws"].max()
    return [
        Figure(
            "advantage",
            f"Left: passes over all n instances until the training loss is at the threshold, at the"
            f" largest n. Right: how many times more instances gradient descent on all at once sees"
            f" than minibatches of {SMALL}, against n. Medians (left) and geometric means (right)"
            f" of the runs of {seeds} seeds that reached it, with quartiles and 95 % bootstrap"
            " intervals; each at its tuned rate. Dashed: proportional to n, which is what theory"
            " gives where the number of updates does not depend on n.",
            "Passes against batch size, rising to the right; and the ratio against n, rising",
            lambda canvas: draw_advantage(canvas, rows),
            (10.5, 4.4),
        ),
        Figure(
            "curves",
            f"Training loss on {n:,} instances ({TITLES[data]}), every one of {seeds} seeds,"
            " against updates, instances seen, and seconds (updates times the measured time of"
            " one). The batch sizes come in another order in every panel.",
            "Three panels of falling curves for each batch size",
            lambda canvas: draw_curves(canvas, rows, data, n),
            (11.0, 4.6),
        ),
        Figure(
            "gradient_error",
            f"Distance of a minibatch's gradient from that of all instances (root mean square of"
            f" {draws:.0f} minibatches), relative to the latter's length: means of {seeds} seeds"
            " (digits, n = 1,437), with the band from the lowest to the highest. Dashed, not"
            " fitted: the standard error that the gradients of single instances predict, 1/√m,"
            " and without replacement times √((n − m)/(n − 1)). Above the dotted line the noise is"
            " larger than the gradient.",
            "Falling lines of the gradient's error against the minibatch's size, on theory",
            lambda canvas: draw_gradient_errors(canvas, rows),
            (10.0, 4.2),
        ),
        Figure(
            "costs",
            "Time per instance (left, with quartiles) and memory of the update's program (right)"
            " against the batch size; the last point is all instances at once. Small batches pay"
            " the overhead of an update for every few instances; large ones pay in memory.",
            "Time per instance falls and memory rises with the batch size",
            lambda canvas: draw_costs(canvas, rows),
            (10.0, 3.9),
        ),
    ]


def draw_advantage(canvas: Canvas, rows: pd.DataFrame) -> None:
    left, right = canvas.subplots(1, 2)
    own = finals(rows, TRAINING)
    for (data, n), look in zip(largest(rows).items(), looks(TITLES).values(), strict=False):
        part = own[(own["data"] == data) & (own["n"] == n) & own["reached"]]
        passes = part.assign(size=part["batch"].replace(0, n)).groupby("size")["passes"]
        spread = np.abs(passes.quantile([0.25, 0.75]).unstack().T - passes.median())
        left.errorbar(passes.median().index, passes.median(), yerr=spread, capsize=3,
                      label=f"{TITLES[data]}, n = {n:,}", **look)  # fmt: skip
        draw_growth(right, rows, data, look)
    left.set(xscale="log", yscale="log", xlabel="batch size (last: all instances)",
             ylabel="passes over the data")  # fmt: skip
    right.set(xscale="log", yscale="log", xlabel="instances n",
              ylabel=f"instances seen: all at once / by {SMALL}")  # fmt: skip
    ticks = sorted({n for data in largest(rows) for n in sizes(rows, data)})
    plain_ticks(left, SIZES)
    plain_ticks(right, ticks)
    for panel in (left, right):
        panel.legend()


def plain_ticks(panel: Axes, places: Sequence[int]) -> None:
    """Logarithmic axes without powers of ten: places to the right, 1, 2, 5, 10, ... upwards."""
    panel.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    panel.yaxis.set_major_formatter("{x:g}")
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_minor_formatter(NullFormatter())
    panel.set_xticks(places, [str(place) for place in places], rotation=45)
    panel.tick_params(axis="x", which="minor", bottom=False)


def draw_growth(panel: Axes, rows: pd.DataFrame, data: str, look: dict[str, str]) -> None:
    found = {}
    for n in sizes(rows, data):
        left, right, _ = advantage(rows, data, n)
        if len(left):
            found[n] = paired_ratio(left, right)
    middle = np.array([x.estimate for x in found.values()])
    spread = [[x.estimate - x.low for x in found.values()],
              [x.high - x.estimate for x in found.values()]]  # fmt: skip
    panel.errorbar(list(found), middle, yerr=spread, capsize=3, label=TITLES[data], **look)
    at = np.array(list(found), dtype=float)
    panel.plot(at, middle[0] * at / at[0], color=look["color"], linestyle="--", linewidth=1)


def draw_curves(canvas: Canvas, rows: pd.DataFrame, data: str, n: int) -> None:
    own = rows[(rows["part"] == TRAINING) & (rows["data"] == data) & (rows["n"] == n)]
    own = own.astype({"batch": int})
    time = timed(rows).query("data == @data").set_index("batch")["seconds"]
    batches = sorted(own["batch"].unique(), key=lambda batch: batch or n)
    panels = canvas.subplots(1, 3, sharey=True)
    handles = {}
    for batch, look in looks(batches).items():
        for _, run in own[own["batch"] == batch].groupby("seed"):
            seconds = run["update"] * time[batch or n]
            for panel, x in zip(panels, (run["update"], run["examples"], seconds), strict=True):
                (line,) = panel.plot(x, run["loss"], color=look["color"], alpha=0.7,
                                     linestyle=look["linestyle"], linewidth=0.9)  # fmt: skip
        handles[batch_name(batch)] = line
    for panel, name in zip(panels, ("updates", "instances seen", "seconds"), strict=True):
        panel.set(xscale="log", yscale="log", xlabel=name)
    panels[0].set(ylabel="loss on all training data", ylim=(0.07, 6))
    canvas.legend(handles.values(), handles.keys(), title="batch size", ncols=len(handles),
                  loc="outside lower center")  # fmt: skip


def draw_gradient_errors(canvas: Canvas, rows: pd.DataFrame) -> None:
    own = rows[rows["part"] == GRADIENT]
    points = [point for point in POINT_TITLES if point in set(own["point"])]
    panels = canvas.subplots(1, len(points), squeeze=False, sharey=True)[0]
    for panel, point in zip(panels, points, strict=True):
        for kind, look in looks(DRAWN).items():
            part = own[(own["point"] == point) & (own["replacement"] == kind)]
            found = part.groupby("m")["error"]
            panel.plot(found.mean(), look["marker"], color=look["color"],
                       label=f"{kind} replacement")  # fmt: skip
            panel.fill_between(found.min().index, found.min(), found.max(), color=look["color"],
                               alpha=0.2, linewidth=0)  # fmt: skip
            panel.plot(part.groupby("m")["expected"].mean(), "--", color=look["color"], linewidth=1)
        panel.axhline(1, color="black", linestyle=":", linewidth=1)
        panel.set(xscale="log", yscale="log", xlabel="minibatch size m", title=POINT_TITLES[point])
        plain_ticks(panel, SIZES)
    panels[0].set_ylabel("error / gradient's length")
    panels[0].legend()


def draw_costs(canvas: Canvas, rows: pd.DataFrame) -> None:
    left, right = canvas.subplots(1, 2)
    own = timed(rows)
    for data, look in looks(TITLES).items():
        part = own[own["data"] == data].sort_values("batch")
        if part.empty:
            continue
        low, middle, high = (
            1e6 * part[name] / part["batch"] for name in ("low_seconds", "seconds", "high_seconds")
        )
        left.errorbar(part["batch"], middle, yerr=[middle - low, high - middle], capsize=3,
                      label=TITLES[data], **look)  # fmt: skip
        right.plot(part["batch"], part["buffer_bytes"] / 1e6, label=TITLES[data], **look)
    left.set(ylabel="time per instance (µs)")
    right.set(ylabel="buffers of the program (MB)")
    for panel in (left, right):
        panel.set(xscale="log", yscale="log", xlabel="batch size (last: all instances)")
        plain_ticks(panel, SIZES)
        panel.legend()
