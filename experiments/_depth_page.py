"""The page of the experiment `depth`: rows in, tables and drawings out."""

from __future__ import annotations

import numpy as np
import pandas as pd
from apparatus.classifiers import draw_differences as draw_intervals
from apparatus.learning import (
    TRAINING,
    TUNING,
    chosen_rates,
    last_rows,
    paired_difference,
    rates_table,
)
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from difflab.lab import Figure, Formula, Interval, Section, Table, bootstrap_interval, looks

SETTINGS = ["data", "budget", "depth"]
TITLES = {"mnist1d": "MNIST-1D", "digits": "digits", "mnist_5k": "5,000 MNIST images"}


# What is read off ---------------------------------------------------------------------------------


def trained(rows: pd.DataFrame) -> pd.DataFrame:
    """The training runs after their last update; diverged ones have errors of NaN."""
    own = rows[rows["part"] == TRAINING]
    return last_rows(own, SETTINGS).astype({"budget": int, "depth": int, "seed": int})


def errors(rows: pd.DataFrame, column: str = "held_error") -> pd.DataFrame:
    """Percentages by seed, for data set, budget and depth; NaN where a run diverged."""
    return 100 * trained(rows).pivot(index="seed", columns=SETTINGS, values=column)


def chosen_depths(rows: pd.DataFrame) -> pd.Series:
    """By data set and budget: the number of hidden layers, above 1, of least validation error."""
    best = chosen_rates(rows, SETTINGS).reset_index().astype({"budget": int, "depth": int})
    deeper = best[best["depth"] > 1].sort_values(["validation_error", "validation_loss"])
    chosen = deeper.drop_duplicates(["data", "budget"]).set_index(["data", "budget"])["depth"]
    return chosen.sort_index()


def difference(left: pd.DataFrame, right: pd.DataFrame) -> Interval:
    """The paired difference of the columns' means, over the seeds at which no run diverged.

    Rounded, so that the last digits of means of equal errors are not taken for a sign.
    """
    means = (each.mean(axis=1, skipna=False).dropna() for each in (left, right))
    found = paired_difference(*means)
    return Interval(*(round(x, 9) + 0.0 for x in found[:3]), found.n)


def mean_interval(values: pd.Series) -> Interval:
    return bootstrap_interval(values.dropna(), statistic=np.mean)


# Tables -------------------------------------------------------------------------------------------


def tables(rows: pd.DataFrame) -> list[Table]:
    return [results(rows), rates_table(rows, SETTINGS)]


def results(rows: pd.DataFrame) -> Table:
    test, train = errors(rows), errors(rows, "train_error")
    own, chosen = trained(rows), chosen_depths(rows)
    sizes = own.groupby(SETTINGS)[["width", "parameters", "updates"]].first()
    validation = chosen_rates(rows, SETTINGS)["validation_error"]
    lines = []
    for data, budget, depth in test.columns:
        key, size = (data, budget, depth), sizes.loc[(data, budget, depth)]
        less = paired_difference(test[data, budget, 1].dropna(), test[key].dropna())
        lines.append(
            {
                "data": data,
                "hidden layers": depth,
                "width": int(size["width"]),
                "parameters": int(size["parameters"]),
                "training error, %": train[key].mean(),
                "test error, %": str(mean_interval(test[key])),
                "diverged": f"{test[key].isna().sum()} of {len(test)}",
                "less than one layer's": str(less) if depth > 1 else "",
                "validation error, %": 100 * validation[key],
                "chosen": "yes" if chosen[data, budget] == depth else "",
            }
        )
    spread = (own["parameters"] / own["budget"] - 1).abs().max()
    updates = own.groupby("data")["updates"].max()
    steps = ", ".join(f"{n:,.0f} on {data}" for data, n in updates.items())
    return Table(
        "Errors by depth",
        f"Means over {len(test)} seeds with 95 % bootstrap intervals, after the same number of"
        f" updates for every depth ({steps}). The numbers of parameters are within"
        f" {100 * spread:.0f} % of their budget. 'Less than one layer's' is the paired"
        " difference of test errors in points: above 0 the deeper network is better. The chosen"
        " depth has the least validation error of the deeper ones, in the tuning runs. A"
        " training error that grows with depth is a failure to optimise; a test error that grows"
        " while the training error is 0, one to generalise."
        " Diverged runs are counted and in no mean.",
        pd.DataFrame(lines),
    )


def sections(rows: pd.DataFrame) -> list[Section]:
    own = rows[rows["part"] == "pieces"].sort_values("depth")
    columns = {"depth": "hidden layers of 2 units", "units": "units", "parameters": "parameters",
               "pieces": "linear pieces, counted", "shallow_most": "most with one hidden layer",
               "shallow_units": "units that one hidden layer needs"}  # fmt: skip
    return [
        Section(
            "A function for which depth helps",
            [
                "The tent map is two ReLUs. Composed with itself k times it is a sawtooth on"
                " [0, 1]: a network of k hidden layers of 2 units, whose weights can be written"
                " down. One hidden layer of w units makes at most w + 1 linear pieces"
                " (Telgarsky 2016).",
                Formula(r"t(x) = 2\,\mathrm{relu}(x) - 4\,\mathrm{relu}(x - 1/2)"),
                Table(
                    "Linear pieces",
                    "Runs of equal slope, where slopes are made by reverse mode in the middles of a"
                    " grid four times as fine as the pieces; beside them the most that one"
                    " hidden layer of as many units can make, and the units that it would need. It"
                    " says what depth can express, not what gradient descent finds.",
                    own[list(columns)].astype(int).rename(columns=columns).reset_index(drop=True),
                ),
            ],
        )
    ]


# Drawings -----------------------------------------------------------------------------------------


def figures(rows: pd.DataFrame) -> list[Figure]:
    test = errors(rows)
    pairs = list(dict.fromkeys((data, budget) for data, budget, _ in test.columns))
    width = 3.6 * len({data for data, _ in pairs})
    return [
        Figure(
            "errors_by_depth",
            f"Test error (above) and training error (below) against the number of hidden layers, at"
            f" equal numbers of parameters: means of {len(test)} seeds with 95 % bootstrap"
            " intervals. The ring is the deeper network that validation chose. Where both rise, the"
            " deep network is not optimised as well; where the training error stays at 0, it"
            " generalises worse.",
            "Curves of test and training error against depth for each data set and budget",
            lambda canvas: draw_errors(canvas, rows),
            (max(width, 6.5), 6.4),
        ),
        Figure(
            "differences",
            "Test error with one hidden layer minus that of the depth chosen on validation, in"
            f" points: the mean of {len(test)} seeds with a 95 % bootstrap interval. Right of"
            " the line, the deeper network is better.",
            "Dots of paired differences of test error for each data set and budget",
            lambda canvas: draw_differences(canvas, rows),
            (8.0, 1.4 + 0.55 * len(pairs)),
        ),
        Figure(
            "learning_rates",
            "Why every depth has its own learning rate: mean validation error of the tuning runs"
            " against it, at the largest budget of each data set; the choice has a ring. Read along"
            " a vertical line, where all depths share a rate, for what a comparison at that rate"
            " would have said. Rates at which a run diverged are left out.",
            "Curves of validation error against learning rate for each depth",
            lambda canvas: draw_rates(canvas, rows),
            (max(width, 6.5), 4.4),
        ),
    ]


def draw_errors(canvas: Canvas, rows: pd.DataFrame) -> None:
    test, train, chosen = errors(rows), errors(rows, "train_error"), chosen_depths(rows)
    sets = [name for name in TITLES if name in test.columns.get_level_values("data")]
    panels = canvas.subplots(2, len(sets), squeeze=False, sharex=True)
    for column, data in zip(panels.T, sets, strict=True):
        budgets = sorted(set(test[data].columns.get_level_values("budget")))
        for budget, look in looks(budgets).items():
            for panel, table in zip(column, (test, train), strict=True):
                draw_depths(panel, table[data, budget], f"{budget:,} parameters", look)
            best = chosen[data, budget]
            column[0].plot(best, test[data, budget, best].mean(), "o", markersize=13,
                           fillstyle="none", color=look["color"])  # fmt: skip
        column[0].set(title=TITLES[data])
        column[0].legend()
        column[1].set(xlabel="hidden layers", xticks=list(test[data, budgets[0]].columns))
        column[0].set_ylim(bottom=0)
        column[1].set_ylim(bottom=-0.05 * max(column[1].get_ylim()[1], 1.0))
    panels[0, 0].set_ylabel("test error (%)")
    panels[1, 0].set_ylabel("training error (%)")


def draw_depths(panel: Axes, table: pd.DataFrame, label: str, look: dict[str, str]) -> None:
    found = [mean_interval(table[depth]) for depth in table]
    middle = [x.estimate for x in found]
    spread = [[x.estimate - x.low for x in found], [x.high - x.estimate for x in found]]
    panel.errorbar(list(table.columns), middle, yerr=spread, capsize=3, label=label, **look)


def draw_differences(canvas: Canvas, rows: pd.DataFrame) -> None:
    test, chosen = errors(rows), chosen_depths(rows)
    intervals = {}
    for data, budget in chosen.index:
        depth = chosen[data, budget]
        name = f"{TITLES[data]}, {budget:,} parameters:\n1 − {depth} hidden layers"
        pair = (test[data, budget, 1].dropna(), test[data, budget, depth].dropna())
        intervals[name] = paired_difference(*pair)
    axes = canvas.subplots()
    draw_intervals(axes, intervals, looks(intervals))
    axes.set_xlabel("test error, paired difference (points)")


def draw_rates(canvas: Canvas, rows: pd.DataFrame) -> None:
    own, best = rows[rows["part"] == TUNING], chosen_rates(rows, SETTINGS)["rate"]
    budgets = own.groupby("data")["budget"].max().astype(int)
    sets = [name for name in TITLES if name in budgets]
    panels = canvas.subplots(1, len(sets), squeeze=False)[0]
    for panel, data in zip(panels, sets, strict=True):
        part = own[(own["data"] == data) & (own["budget"] == budgets[data])]
        means = 100 * part.pivot_table(
            index="rate",
            columns="depth",
            values="held_error",
            aggfunc=lambda x: x.mean(skipna=False),
        )
        for depth, look in looks(sorted(means)).items():
            panel.plot(means[depth], label=f"{depth:.0f}", **look)
            chosen = best[data, budgets[data], depth]
            panel.plot(chosen, means.loc[chosen, depth], "o", markersize=13, fillstyle="none",
                       color=look["color"])  # fmt: skip
        panel.set(title=f"{TITLES[data]},\n{budgets[data]:,} parameters", xscale="log",
                  xlabel="learning rate", ylim=(0, 1.6 * means.min().max()))  # fmt: skip
        panel.set_xticks(list(means.index), [f"{rate:g}" for rate in means.index])
        panel.minorticks_off()
    panels[0].set_ylabel("validation error (%)")
    handles, names = panels[0].get_legend_handles_labels()
    canvas.legend(handles, names, title="hidden layers", ncols=len(names),
                  loc="outside lower center")  # fmt: skip
