"""The page of the experiment `first_network`: rows in, tables and drawings out."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from difflab.lab import Figure, Interval, Table, bootstrap_interval, looks
from difflab.methods import METHODS

PAIRS = {
    "The ReLU is better than the sigmoid": ("sigmoid", "ReLU"),
    "Cross-entropy is better than squared error for a softmax": ("squared error", "cross-entropy"),
}
"""A claim, and the two settings that it compares: first the one that should err more."""


def configured(rows: pd.DataFrame, part: str) -> pd.DataFrame:
    """A part's rows, with activation and loss as one name."""
    own = rows[rows["part"] == part]
    return own.assign(configuration=own["activation"] + ", " + own["loss"])


def tuned(rows: pd.DataFrame) -> pd.Series:
    """The learning rate of each configuration with the least validation error (then loss)."""
    means = configured(rows, "tuning").groupby(["configuration", "rate"])[["error", "held_loss"]]
    ranked = means.mean().sort_values(["error", "held_loss"]).reset_index()
    return ranked.drop_duplicates("configuration").set_index("configuration")["rate"]


def curves(rows: pd.DataFrame) -> pd.DataFrame:
    """The training runs at the tuned rates."""
    own = configured(rows, "training")
    return own[own["rate"] == own["configuration"].map(tuned(rows))]


def final_errors(rows: pd.DataFrame) -> pd.DataFrame:
    """Test error by seed and configuration, in percent, after the last epoch."""
    own = curves(rows)
    last = own[own["epoch"] == own["epoch"].max()]
    return 100 * last.pivot(index="seed", columns="configuration", values="error")


def mean_interval(values: pd.Series, minus: pd.Series | None = None) -> Interval:
    return bootstrap_interval(values, minus=minus, statistic=np.mean)


def side_of(errors: pd.DataFrame, setting: str) -> pd.Series:
    """The mean error by seed of the configurations with an activation or loss."""
    return errors[[name for name in errors if setting in name.split(", ")]].mean(axis=1)


def tables(rows: pd.DataFrame) -> list[Table]:
    return [results(rows), by_method(rows)]


def results(rows: pd.DataFrame) -> Table:
    rates, errors, own = tuned(rows), final_errors(rows), curves(rows)
    grid_of = sorted(configured(rows, "tuning")["rate"].unique())
    losses = own[own["epoch"] == own["epoch"].max()].groupby("configuration")["train_loss"].mean()
    frame = pd.DataFrame(
        {
            "learning rate": rates,
            "at the grid's edge": rates.isin([grid_of[0], grid_of[-1]]),
            "test error, %": {name: str(mean_interval(errors[name])) for name in errors},
            "test accuracy, %": 100 - errors.mean(),
            "training loss": losses,
        }
    )
    return Table(
        "What was learned",
        f"Mean of {len(errors)} seeds after {own['epoch'].max():.0f} epochs, with a 95 % bootstrap"
        f" interval. The rate is chosen on a validation split with other seeds, from"
        f" {', '.join(f'{rate:g}' for rate in grid_of)}. Training losses of different losses"
        " cannot be compared.",
        frame.rename_axis("configuration"),
    )


def by_method(rows: pd.DataFrame) -> Table:
    time = rows[(rows["part"] == "time") & ~rows["method"].astype(str).str.endswith("(again)")]
    apart = last_updates(rows).groupby(["sizes", "method"])["apart"].max()
    frame = time.assign(network=time["sizes"].map(network), ms=1e3 * time["seconds"])
    frame["first"] = 1e3 * frame["first_seconds"]
    keys = pd.MultiIndex.from_frame(frame[["sizes", "method"]])
    frame["apart"] = apart.reindex(keys).to_numpy()
    columns = {"network": "network", "method": "method", "parameters": "parameters",
               "ms": "update, ms", "ratio": "times reverse mode's", "first": "first call, ms",
               "apart": "parameters apart"}  # fmt: skip
    return Table(
        "The same updates by every method",
        f"Median time of an update over {time['rounds'].max():.0f} rounds, side by side; reverse"
        f" mode against itself strays by up to {100 * time['noise'].max():.0f} %. The first call"
        " traces, derives and compiles. Parameters apart: the largest difference from reverse"
        f" mode's after {rows['updates'].max():.0f} updates, relative to the way gone.",
        frame[list(columns)].rename(columns=columns).reset_index(drop=True),
    )


def last_updates(rows: pd.DataFrame) -> pd.DataFrame:
    own = rows[rows["part"] == "updates"]
    return own[(own["update"] == own["updates"]) & (own["method"] != "reverse")]


def network(sizes: str) -> str:
    """The stored list of sizes as text: 64-8-10."""
    return "-".join(str(sizes).strip("[]").split(","))


def figures(rows: pd.DataFrame) -> list[Figure]:
    own, seeds = curves(rows), final_errors(rows).shape[0]
    named = rows.assign(network=rows["sizes"].map(network))
    time, steps = named[named["part"] == "time"], named[named["part"] == "updates"]
    return [
        Figure(
            "learning",
            f"Training loss and test error against epochs, each at its tuned learning rate: the"
            f" mean of {seeds} seeds, and the band from the lowest to the highest.",
            "Three panels of falling curves for relu and sigmoid with either loss",
            lambda canvas: draw_curves(canvas, own),
            (10.5, 4.4),
        ),
        Figure(
            "test_accuracy",
            f"Left: test accuracy of each of {seeds} seeds (open), and the mean with a 95 %"
            " bootstrap interval. Right: how much more the first setting errs than the second on"
            " the same seed, that is with equal split, weights and order; right of the line it"
            " errs more.",
            "Dots of test accuracy for four configurations, and of two paired differences",
            lambda canvas: draw_accuracy(canvas, final_errors(rows)),
            (10.5, 3.6),
        ),
        Figure(
            "learning_rates",
            "How the rate was chosen: mean validation error after the last epoch against the"
            " learning rate; the choice has a ring. One shared rate would favour one side.",
            "Validation error against learning rate for four configurations",
            lambda canvas: draw_rates(canvas, configured(rows, "tuning"), tuned(rows)),
            (7.5, 4.2),
        ),
        Figure(
            "update_times",
            "Median time of one update by each method, with quartiles, on a logarithmic axis."
            " SymPy takes part only in the smaller network.",
            "Dots of the time per update of each method for two networks",
            lambda canvas: draw_times(canvas, time),
            (10.0, 4.0),
        ),
        Figure(
            "same_training",
            "How far the parameters are from reverse mode's after each update, relative to the way"
            " they have gone: the largest of all seeds (equal ones are drawn at 1e-17). Forward"
            " mode and the complex step may hide each other. A jump is a stencil that reaches"
            " across a kink of the ReLU: Richardson's reaches farthest.",
            "Curves of the difference of the parameters against the number of updates",
            lambda canvas: draw_differences(canvas, steps),
            (10.0, 4.4),
        ),
    ]


# Drawings -----------------------------------------------------------------------------------------


def configurations(own: pd.DataFrame) -> dict[str, dict[str, str]]:
    """The same look for a configuration in every figure."""
    return looks(sorted(own["configuration"].unique()))


def draw_curves(canvas: Canvas, own: pd.DataFrame) -> None:
    styles = configurations(own)
    axes = canvas.subplots(1, 3)
    for panel, loss in zip(axes, sorted(own["loss"].unique()), strict=False):
        bands(panel, own[own["loss"] == loss], "train_loss", styles)
        panel.set(title=f"training loss: {loss}", xlabel="epoch", yscale="log")
    bands(axes[2], own.assign(percent=100 * own["error"]), "percent", styles)
    axes[2].set(title="test error (%)", xlabel="epoch", yscale="log")
    ticks = [tick for tick in (1, 2, 3, 5, 10, 20, 50) if tick < 100 * own["error"].max()]
    axes[2].set_yticks(ticks, [str(tick) for tick in ticks])
    axes[2].tick_params(axis="y", which="minor", labelleft=False)
    for panel in axes:
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    handles, names = axes[2].get_legend_handles_labels()
    canvas.legend(handles, names, loc="outside lower center", ncols=2)


def bands(panel: Axes, own: pd.DataFrame, column: str, styles: dict[str, dict[str, str]]) -> None:
    for name, part in own.groupby("configuration"):
        look = {key: styles[name][key] for key in ("color", "linestyle")}
        epochs = part.groupby("epoch")[column]
        panel.plot(epochs.mean(), label=name, **look)
        low, high = epochs.min(), epochs.max()
        panel.fill_between(low.index, low, high, color=look["color"], alpha=0.15, linewidth=0)


def draw_accuracy(canvas: Canvas, errors: pd.DataFrame) -> None:
    left, right = canvas.subplots(1, 2, width_ratios=(3, 2))
    strips(left, {name: 100 - errors[name] for name in errors})
    left.set_xlabel("test accuracy (%)")
    sides = {
        f"{worse} − {better}": side_of(errors, worse) - side_of(errors, better)
        for worse, better in PAIRS.values()
    }
    strips(right, {name.replace(" − ", "\n− "): values for name, values in sides.items()})
    right.axvline(0, color="black", linewidth=1, linestyle="-")
    right.set_xlabel("test error, paired difference (points)")


def strips(panel: Axes, values: dict[str, pd.Series]) -> None:
    """A line of dots for each name, with mean and interval above it."""
    for place, (name, look) in enumerate(looks(values).items()):
        found = mean_interval(values[name])
        spread = [[found.estimate - found.low], [found.high - found.estimate]]
        panel.plot(values[name], np.full(len(values[name]), place), look["marker"],
                   fillstyle="none", color=look["color"])  # fmt: skip
        panel.errorbar(found.estimate, place - 0.3, xerr=spread, fmt=look["marker"], capsize=4,
                       color=look["color"])  # fmt: skip
    panel.set_yticks(range(len(values)), list(values))
    panel.set_ylim(len(values) - 0.5, -0.7)
    panel.grid(axis="y", visible=False)


def draw_rates(canvas: Canvas, own: pd.DataFrame, chosen: pd.Series) -> None:
    axes = canvas.subplots()
    for name, look in configurations(own).items():
        part = own[own["configuration"] == name]
        means = 100 * part.groupby("rate")["error"].mean()
        axes.plot(means, label=name, **look)
        axes.plot(chosen[name], means[chosen[name]], "o", markersize=13, fillstyle="none",
                  color=look["color"])  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel="learning rate", ylabel="validation error (%)")
    rates = sorted(own["rate"].unique())
    axes.set_xticks(rates, [f"{rate:g}" for rate in rates])
    axes.set_yticks([2, 5, 10, 20, 50, 90], ["2", "5", "10", "20", "50", "90"])
    axes.minorticks_off()
    canvas.legend(loc="outside right upper")


def draw_times(canvas: Canvas, time: pd.DataFrame) -> None:
    panels = canvas.subplots(1, time["network"].nunique(), squeeze=False)[0]
    for panel, (name, part) in zip(panels, time.groupby("network", sort=False), strict=True):
        part = part[~part["method"].str.endswith("(again)")]
        ms = 1e3 * part[["low_seconds", "seconds", "high_seconds"]]
        spread = [ms["seconds"] - ms["low_seconds"], ms["high_seconds"] - ms["seconds"]]
        panel.errorbar(ms["seconds"], part["method"], xerr=spread, fmt="o", capsize=3)
        for at, row in zip(ms["high_seconds"], part.itertuples(), strict=True):
            ratio = f"{row.ratio:,.0f}" if row.ratio >= 100 else f"{row.ratio:.3g}"
            panel.annotate(f"  × {ratio}", (at, row.method), va="center", fontsize=9)
        panel.set(title=f"{name}: {part['parameters'].max():.0f} parameters", xscale="log",
                  xlabel="time of an update (ms); × reverse mode's")  # fmt: skip
        panel.set_xlim(ms["low_seconds"].min() / 2, ms["high_seconds"].max() * 10)
        panel.invert_yaxis()


def draw_differences(canvas: Canvas, own: pd.DataFrame) -> None:
    styles = looks(list(METHODS))
    panels = canvas.subplots(1, own["network"].nunique(), squeeze=False, sharey=True)[0]
    for panel, (name, part) in zip(panels, own.groupby("network", sort=False), strict=True):
        for method, runs in part[part["method"] != "reverse"].groupby("method", sort=False):
            worst = runs.groupby("update")["apart"].max().clip(lower=1e-17)
            panel.plot(worst, label=method, **styles[method])
        panel.set(title=name, xlabel="updates", yscale="log")
    panels[0].set_ylabel("parameters apart (relative)")
    shown = {}
    for panel in panels:
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        handles, names = panel.get_legend_handles_labels()
        shown |= dict(zip(names, handles, strict=True))
    canvas.legend(shown.values(), shown.keys(), loc="outside lower center", ncols=4)
