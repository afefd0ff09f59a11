"""The page of the experiment `dead_units`: rows in, tables and drawings out."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from difflab.lab import Figure, Formula, Section, Table, looks, proportion_interval

DATA, LINE = "digits", "line"
RUN = ["activation", "centred", "depth", "rate", "seed"]
FEATURES = {True: "centred", False: "from 0 upwards"}
LABELS = {"relu": "ReLU", "leaky_relu": "leaky ReLU"}


# What is read off ---------------------------------------------------------------------------------


def bound(width: float, hidden: float) -> float:
    """The probability that one input dies in one of so many hidden layers.

    >>> bound(1, 2), bound(2, 1)
    (0.75, 0.25)
    """
    return 1.0 - (1.0 - 2.0**-width) ** hidden


def finished(rows: pd.DataFrame) -> pd.DataFrame:
    """The looks at runs, without the rows that say that one diverged."""
    return rows[rows["diverged"].eq(False)]


def last_looks(rows: pd.DataFrame) -> pd.DataFrame:
    """The last look at each layer of the runs that did not diverge."""
    lost = rows[rows["diverged"].eq(True)].set_index(RUN).index
    kept = rows[~rows.set_index(RUN).index.isin(lost)]
    return kept[kept["update"] == kept["updates"]]


def best_rates(rows: pd.DataFrame) -> pd.Series:
    """By activation, features and depth: the rate with the least validation error at the end."""
    names = ["activation", "centred", "depth"]
    own = last_looks(rows[rows["part"] == "training"])
    runs = rows[rows["part"] == "training"]["seed"].nunique()
    grouped = own[own["layer"] == 1].groupby([*names, "rate"])["held_error"]
    means = grouped.agg(["mean", "size"]).reset_index()
    means = means[means["size"] == runs].sort_values(["mean", "rate"])
    return means.drop_duplicates(names).sort_values(names).set_index(names)["rate"]


def cells(rows: pd.DataFrame) -> pd.DataFrame:
    """By inputs, width and number of hidden layers: probabilities measured, and the bound."""
    own = rows[rows["part"] == "born"].astype({"dead_first": int, "dead_every": int})
    own = own.astype({"networks": int})
    return own.assign(
        p_first=own["dead_first"] / own["networks"],
        p_every=own["dead_every"] / own["networks"],
        bound=bound(own["width"], own["layers"]),
    )


# Text and tables ----------------------------------------------------------------------------------


def sections(rows: pd.DataFrame) -> list[Section]:
    return [
        Section(
            "The bound",
            [
                "Take a network with L - 1 hidden layers of w ReLUs, weights from any continuous"
                " distribution symmetric about 0, no biases, and one input. If a layer's input is"
                " not 0, each of its pre-activations is as likely negative as positive, and they"
                " are independent: all w are negative with probability 1/2^w, and then everything"
                " after is 0. If not, the next layer's input is not 0 again, with new weights. So",
                Formula(
                    r"P(\mathrm{dead\ for\ one\ input}) = 1 - (1 - 2^{-w})^{L-1}"
                ),
                "exactly. A network that is 0 for all inputs is 0 for this one, so that for the"
                " network as a whole it is an upper bound (Lu et al. 2020):",
                Formula(
                    r"P(\mathrm{born\ dead}) = P(0\ \mathrm{for\ all\ inputs})"
                    r"\ \leq\ 1 - (1 - 2^{-w})^{L-1}"
                ),
                "Scaling the weights (He, Glorot) changes nothing about it; biases would.",
            ],
        )
    ]  # fmt: skip


def tables(rows: pd.DataFrame) -> list[Table]:
    return [by_layer(rows), born(rows), by_rate(rows)]


def by_rate(rows: pd.DataFrame) -> Table:
    own = rows[rows["part"] == "training"]
    ended = last_looks(own)
    names = RUN[:-1]
    runs = own.groupby(names)["seed"].nunique()
    sums = ended.groupby(names)[["dead", "units", "no_gradient"]].sum()
    error = ended[ended["layer"] == 1].groupby(names)["held_error"].mean()
    kept = ended[ended["layer"] == 1].groupby(names)["seed"].nunique()
    frame = pd.DataFrame(
        {
            "diverged": [f"{n - kept.get(key, 0)} of {n}" for key, n in runs.items()],
            "dead, %": 100 * (sums["dead"] / sums["units"]).reindex(runs.index),
            "without gradient, %": 100 * (sums["no_gradient"] / sums["units"]).reindex(runs.index),
            "validation error, %": 100 * error.reindex(runs.index),
        },
        index=runs.index,
    ).reset_index()
    frame["activation"] = frame["activation"].map(LABELS)
    frame["centred"] = frame["centred"].map(FEATURES)
    return Table(
        "After training",
        f"Shares of hidden units after {own['updates'].max():.0f} updates, means over the runs that"
        f" did not diverge, of n = {own['seed'].nunique()}. A leaky unit that is at most 0 on every"
        " instance counts as dead here, although it still has a gradient.",
        frame.rename(columns={"rate": "learning rate", "centred": "features"}),
    )


def by_layer(rows: pd.DataFrame) -> Table:
    ended = last_looks(rows[rows["part"] == "training"])
    names = ["activation", "centred", "depth", "layer"]
    sums = ended.groupby(names)[["units", "were_dead", "back"]].sum()
    sums = sums.reset_index().astype({"layer": int, "depth": int})
    sums["activation"] = sums["activation"].map(LABELS)
    sums["centred"] = sums["centred"].map(FEATURES)
    sums["back, %"] = 100 * sums["back"] / sums["were_dead"].where(sums["were_dead"] > 0)
    shown = {
        "centred": "features",
        "were_dead": "dead at an earlier look",
        "back": "of these alive at the end",
    }
    return Table(
        "Do they come back?",
        "Units of all runs that did not diverge. In the first layer inputs are fixed, and without"
        " a gradient nothing moves: a ReLU there is dead for good. Deeper units are dead only as"
        " long as the layers before them stay as they are, and those go on learning.",
        sums.rename(columns=shown),
    )


def born(rows: pd.DataFrame) -> Table:
    own = cells(rows)
    own = own[own["layers"] == own["layers"].max()]
    lines = [
        {
            "inputs": row.inputs,
            "width": row.width,
            "hidden layers": row.layers,
            "dead for one input": row.p_first,
            "bound": row.bound,
            "born dead": row.p_every,
            "95 %": f"{interval.low:.4f} to {interval.high:.4f}",
        }
        for row in own.itertuples()
        for interval in [proportion_interval(row.dead_every, row.networks)]
    ]
    return Table(
        "Born dead",
        f"Shares of {own['networks'].max()} networks with Wilson intervals. Dead for one input must"
        " equal the bound; born dead, that is for 100 digits or for either side of a line, must not"
        " exceed it.",
        pd.DataFrame(lines),
    )


# Figures ------------------------------------------------------------------------------------------


def figures(rows: pd.DataFrame) -> list[Figure]:
    own = rows[rows["part"] == "training"]
    seeds, updates = own["seed"].nunique(), int(own["updates"].max())
    networks = int(cells(rows)["networks"].max())
    return [
        Figure(
            "dead",
            f"Share of hidden ReLUs dead after {updates} updates by learning rate: means of the"
            f" runs that did not diverge, of n = {seeds}, with their standard errors. A line ends"
            " where all runs diverge; a ring is the rate that learns best. Left: features of mean"
            " 0. Right: the same shifted so that each starts at 0.",
            "No unit is dead at low rates with centred features, and the share rises steeply near"
            " divergence. With features from 0 upwards it rises at lower rates.",
            lambda canvas: draw_by_rates(canvas, rows),
            (9.6, 4.4),
        ),
        Figure(
            "born",
            f"Share of networks born dead: 0 for all of 100 digits, n = {networks} networks a"
            " width with Wilson's 95 % intervals. Dashed: the bound, which is exact for one input.",
            "The probability rises with depth to 1 for narrow networks, a little below the bound.",
            lambda canvas: draw_born(canvas, rows),
            (7.6, 4.4),
        ),
        Figure(
            "during",
            "Left: share of ReLUs dead during training in the deepest networks, by learning rate"
            f" (means of runs that have not diverged so far, n = {seeds}, centred features). Right:"
            " validation error at the end, medians of the runs that did not diverge (solid ReLU,"
            " dotted leaky ReLU).",
            "Units die within the first updates, and part of them come back later. Validation error"
            " is lowest at rates where few are dead.",
            lambda canvas: draw_during(canvas, own[own["centred"].eq(True)]),
            (9.6, 4.2),
        ),
    ]


def draw_born(canvas: Canvas, rows: pd.DataFrame) -> None:
    axes = canvas.subplots()
    own = cells(rows)
    own = own[own["inputs"] == DATA]
    styles = looks(own["width"].unique())
    for width, part in own.groupby("width"):
        style = styles[width]
        found = [proportion_interval(r.dead_every, r.networks) for r in part.itertuples()]
        middle = np.array([interval.estimate for interval in found])
        spread = [
            middle - [interval.low for interval in found],
            [interval.high for interval in found] - middle,
        ]
        axes.errorbar(part["layers"], middle, yerr=np.maximum(spread, 0.0), fmt=style["marker"],
                      color=style["color"], capsize=2, label=f"width {width:.0f}")  # fmt: skip
        smooth = np.geomspace(1, part["layers"].max(), 100)
        axes.plot(smooth, bound(width, smooth), "--", color=style["color"], lw=1.2)
    ticks = [1, 2, 4, 8, 16, 32, 64]
    axes.set(xscale="log", xlabel="hidden layers", ylabel="P(born dead)", ylim=(-0.03, 1.03))
    axes.set_xticks(ticks, map(str, ticks))
    axes.minorticks_off()
    axes.plot([], [], "--", color="#555555", lw=1.2, label="bound")
    canvas.legend(loc="outside right upper")


def draw_by_rates(canvas: Canvas, rows: pd.DataFrame) -> None:
    panels = canvas.subplots(1, 2, sharey=True)
    for panel, (centred, name) in zip(panels, FEATURES.items(), strict=True):
        draw_by_rate(panel, rows[rows["centred"].eq(centred)], best_rates(rows), centred)
        panel.set_title(f"features {name}")
    panels[0].set_ylabel("share of ReLUs dead")
    panels[0].legend(loc="upper left")


def draw_by_rate(axes: Axes, rows: pd.DataFrame, best: pd.Series, centred: bool) -> None:
    own = last_looks(rows)
    own = own[own["activation"] == "relu"]
    for depth, style in looks(sorted(rows["depth"].unique())).items():
        runs = own[own["depth"] == depth].groupby(["rate", "seed"])[["dead", "units"]].sum()
        shares = (runs["dead"] / runs["units"]).groupby("rate")
        middle, error = shares.mean(), shares.sem().fillna(0.0)
        axes.errorbar(middle.index, middle, yerr=error, capsize=3, label=layers(depth), **style)
        rate = best.get(("relu", centred, depth))
        if rate is not None:
            axes.plot(rate, middle[rate], "o", markersize=13, fillstyle="none",
                      color=style["color"])  # fmt: skip
    axes.set(xscale="log", xlabel="learning rate", ylim=(-0.03, 1.03))
    show_rates(axes, rows)


def layers(depth: float) -> str:
    return f"{depth:.0f} hidden layer{'s' if depth > 1 else ''}"


def show_rates(axes: Axes, rows: pd.DataFrame) -> None:
    rates = np.sort(rows["rate"].unique())
    axes.set_xlim(rates.min() / 1.3, rates.max() * 1.3)
    axes.set_xticks(rates, [f"{rate:g}" for rate in rates], rotation=45, fontsize=9)
    axes.minorticks_off()


def draw_during(canvas: Canvas, own: pd.DataFrame) -> None:
    left, right = canvas.subplots(1, 2)
    deepest = finished(own[(own["depth"] == own["depth"].max()) & (own["activation"] == "relu")])
    styles = looks(sorted(deepest["rate"].unique()))
    for rate, part in deepest.groupby("rate"):
        sums = part.groupby("update")[["dead", "units"]].sum()
        left.plot(sums["dead"] / sums["units"], **styles[rate])
    handles = [Line2D([], [], label=f"rate {rate:g}", **style) for rate, style in styles.items()]
    left.legend(handles=handles, fontsize=8)
    left.set(xscale="log", xlabel="updates", ylabel="share of units dead", ylim=(-0.03, 1.03))
    left.set_title(layers(own["depth"].max()))
    ended = last_looks(own)
    ended = ended[ended["layer"] == 1]
    for depth, style in looks(sorted(ended["depth"].unique())).items():
        for activation, line in (("relu", "-"), ("leaky_relu", ":")):
            part = ended[(ended["depth"] == depth) & (ended["activation"] == activation)]
            means = 100 * part.groupby("rate")["held_error"].median()
            label = layers(depth) if activation == "relu" else None
            right.plot(means, label=label, **(style | {"linestyle": line}))
    right.set(xscale="log", yscale="log", xlabel="learning rate", ylabel="validation error (%)")
    right.set_yticks([3, 5, 10, 20, 50, 90], ["3", "5", "10", "20", "50", "90"])
    show_rates(right, own)
    right.legend(loc="upper left")
