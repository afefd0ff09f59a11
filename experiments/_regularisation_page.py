"""The page of the experiment `regularisation`: rows in, comparisons, tables and drawings out."""

from __future__ import annotations

import numpy as np
import pandas as pd
from apparatus.classifiers import TITLES, by_seed, finals, mean
from apparatus.learning import TUNING, chosen_rates, paired_difference
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from difflab.lab import Figure, Interval, Table, looks

NONE, L2, DROPOUT, BOTH = "no regularisation", "L2", "dropout", "L2 and dropout"
SETTINGS = ["data", "size", "treatment"]
STRENGTHS = ["l2", "dropout"]
LOOKS = looks([NONE, L2, DROPOUT, BOTH])


# Choosing and comparing ---------------------------------------------------------------------------


def chosen(rows: pd.DataFrame) -> pd.DataFrame:
    """By data, size and treatment: strength and rate of the least validation error (then loss)."""
    best = chosen_rates(rows, [*SETTINGS, *STRENGTHS]).reset_index()
    ranked = best.sort_values(["validation_error", "validation_loss"], kind="stable")
    return ranked.drop_duplicates(SETTINGS).sort_values(SETTINGS).set_index(SETTINGS)


def at_edge(rows: pd.DataFrame, best: pd.DataFrame) -> pd.Series:
    """Whether a rate or a strength is the first or last of its grid."""
    edge = best["edge"].copy()
    tuning = rows[rows["part"] == TUNING]
    for name in STRENGTHS:
        grid = tuning[tuning[name] > 0][name]
        edge |= best[name].isin([grid.min(), grid.max()])
    return edge


def of(rows: pd.DataFrame, treatment: str) -> pd.DataFrame:
    last = finals(rows, SETTINGS)
    return last[last["treatment"] == treatment]


def gain(rows: pd.DataFrame, before: str, after: str, column: str) -> Interval | None:
    """What a treatment takes off, in percentage points: the mean over sizes and data sets."""
    sides = by_seed(of(rows, before), column), by_seed(of(rows, after), column)
    return paired_difference(*sides) if len(sides[0].index.intersection(sides[1].index)) else None


def gain_of_fewer(rows: pd.DataFrame, treatment: str) -> Interval | None:
    """What a treatment takes off the test error at the smallest size, minus that at the largest."""
    ends = rows.groupby("data")["size"].agg(["min", "max"])
    taken = []
    for end in ("min", "max"):
        own = rows[rows["size"] == rows["data"].map(ends[end])]
        sides = [by_seed(of(own, name), "error") for name in (NONE, treatment)]
        taken.append((sides[0] - sides[1]).dropna())
    both = taken[0].index.intersection(taken[1].index)
    return paired_difference(*taken) if len(both) else None


def in_words(rows: pd.DataFrame, before: str, after: str, column: str) -> str:
    """The gain on each data set at each size."""
    return "; ".join(
        f"{TITLES[data]}, {size:.0f} instances: {gain(own, before, after, column)}"
        for (data, size), own in rows.groupby(["data", "size"])
    )


# Tables -------------------------------------------------------------------------------------------


def tables(rows: pd.DataFrame) -> list[Table]:
    return [results(rows), choices(rows)]


def results(rows: pd.DataFrame) -> Table:
    last = finals(rows, SETTINGS)
    lines = [
        {
            "data": TITLES[data],
            "instances": int(size),
            "treatment": name,
            "test error, %": mean(own["error"]),
            "training error, %": mean(own["learned"]),
            "calibration error, %": mean(own["ece"]),
        }
        for (data, size), part in last.groupby(["data", "size"])
        for name, own in ((name, part[part["treatment"] == name]) for name in LOOKS)
    ]
    return Table(
        "Errors and calibration",
        f"Means of {last['seed'].nunique()} seeds after the last update, with 95 % bootstrap"
        " intervals. These overlap more than the paired differences in the figure above do, since"
        " split and initial weights vary from seed to seed.",
        pd.DataFrame(lines).set_index("data"),
    )


def choices(rows: pd.DataFrame) -> Table:
    best = chosen(rows)
    edge = at_edge(rows, best)
    tuning = rows[rows["part"] == TUNING]
    grids = ", ".join(
        f"{name} {' '.join(f'{value:g}' for value in sorted(tuning[name].unique()) if value)}"
        for name in ("rate", *STRENGTHS)
    )
    frame = pd.DataFrame(
        {
            "learning rate": best["rate"],
            "l2 = 1/C": best["l2"],
            "dropout": best["dropout"],
            "validation error, %": 100 * best["validation_error"],
            "at an edge": edge,
        }
    ).reset_index()
    frame["data"] = frame["data"].map(TITLES)
    frame["size"] = frame["size"].astype(int)
    return Table(
        "Strengths and learning rates",
        f"Chosen together by the least mean validation error of {tuning['seed'].nunique()} seeds"
        f" that are not used again, from the products of {grids} (both together: without the"
        f" weakest and the strongest L2). {edge.sum()} of {len(edge)}"
        " choices have a rate or a strength at the edge of its grid.",
        frame.rename(columns={"size": "instances"}).set_index("data"),
    )


# Figures ------------------------------------------------------------------------------------------


def figures(rows: pd.DataFrame) -> list[Figure]:
    last = finals(rows, SETTINGS)
    seeds, sets = last["seed"].nunique(), list(last["data"].unique())
    size = (10.5, 1.2 + 2.8 * len(sets))
    return [
        Figure(
            "gains",
            "What a treatment takes off the test error (left) and off the calibration error (right)"
            f" of the same network without it, against the number of training instances: paired by"
            f" seed, means of {seeds} seeds, 95 % bootstrap intervals. Above the line it helps.",
            "Gains of L2, dropout and both against the number of instances",
            lambda canvas: draw_gains(canvas, rows, sets),
            size,
        ),
        Figure(
            "strengths",
            "How the strength was chosen: the least mean validation error over the learning rates,"
            f" against L2 (left) and dropout (right) alone, means of"
            f" {rows[rows['part'] == TUNING]['seed'].nunique()} seeds; leftmost: none. A line for"
            " each number of instances, a ring around the choice.",
            "Validation error against the strength of L2 and of dropout",
            lambda canvas: draw_strengths(canvas, rows, sets),
            size,
        ),
    ]


def draw_gains(canvas: Canvas, rows: pd.DataFrame, sets: list[str]) -> None:
    panels = canvas.subplots(len(sets), 2, squeeze=False)
    for line, data in zip(panels, sets, strict=True):
        own = rows[rows["data"] == data]
        for axes, column in zip(line, ("error", "ece"), strict=True):
            for place, name in enumerate((L2, DROPOUT, BOTH), -1):
                draw_gain(axes, own, name, column, shift=1.04**place)
            what = "test error" if column == "error" else "calibration error"
            axes.axhline(0, color="black", linewidth=1)
            axes.set(title=f"{TITLES[data]}: {what}", xscale="log")
            label_sizes(axes, own)
        line[0].set_ylabel("taken off (percentage points)")
    for axes in panels[-1]:
        axes.set_xlabel("training instances")
    handles, names = panels[0][0].get_legend_handles_labels()
    canvas.legend(handles, names, loc="outside lower center", ncols=3)


def draw_gain(axes: Axes, own: pd.DataFrame, name: str, column: str, shift: float) -> None:
    """Dots with intervals against the size; the shift keeps treatments apart."""
    found = {size: gain(part, NONE, name, column) for size, part in own.groupby("size")}
    kept = {size: interval for size, interval in found.items() if interval is not None}
    middle = np.array([interval.estimate for interval in kept.values()])
    low = middle - [interval.low for interval in kept.values()]
    high = [interval.high for interval in kept.values()] - middle
    axes.errorbar(shift * np.array(list(kept)), middle, yerr=[low, high], capsize=3, label=name,
                  **LOOKS[name])  # fmt: skip


def label_sizes(axes: Axes, own: pd.DataFrame) -> None:
    sizes = sorted(own["size"].unique())
    axes.set_xticks(sizes, [f"{size:,.0f}" for size in sizes])
    axes.minorticks_off()
    axes.set_xlim(sizes[0] / 1.3, sizes[-1] * 1.3)


def draw_strengths(canvas: Canvas, rows: pd.DataFrame, sets: list[str]) -> None:
    best = chosen_rates(rows, [*SETTINGS, *STRENGTHS]).reset_index()
    panels = canvas.subplots(len(sets), 2, squeeze=False, sharey="row")
    for line, data in zip(panels, sets, strict=True):
        own = best[best["data"] == data]
        for axes, (name, strength) in zip(line, ((L2, "l2"), (DROPOUT, "dropout")), strict=True):
            kept = own[own["treatment"].isin([NONE, name])]
            grid = sorted(kept[strength].unique())
            for size, look in looks(sorted(own["size"].unique())).items():
                part = kept[kept["size"] == size].set_index(strength).sort_index()
                means = 100 * part["validation_error"]
                places = [grid.index(value) for value in means.index]
                axes.plot(places, means, label=f"{size:,.0f} instances", **look)
                least = int(np.argmin(means))
                axes.plot(places[least], means.iloc[least], "o", markersize=12, fillstyle="none",
                          color=look["color"])  # fmt: skip
            axes.set_xticks(range(len(grid)), [f"{value:g}" if value else "none" for value in grid])
            axes.set_title(f"{TITLES[data]}: {name}")
        line[0].set_ylabel("validation error (%)")
        line[1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    panels[-1][0].set_xlabel("l2 = 1/C")
    panels[-1][1].set_xlabel("share of hidden units dropped")
