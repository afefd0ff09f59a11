"""The page of the experiment `activations`: rows in, tables and drawings out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from _activations_rows import (
    ACTIVATIONS,
    GOALS,
    NAMES,
    PUBLISHED,
    SETTINGS,
    SMALL,
    TABLE,
    TITLES,
    cells,
    goals_of,
    ratio,
    runs,
    scaled_errors,
    speed_arm,
    test_errors,
    updates,
)
from apparatus.learning import TUNING, chosen_rates, draw_bands, last_rows, paired_ratio, reached
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from difflab.lab import Figure, Interval, Table, bootstrap_interval, looks

LOOKS = looks(ACTIVATIONS)
CLAIMED = 6.0
"""How many times faster ReLUs are than tanh, after Krizhevsky et al. 2012."""
TICKS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000]
STARTS = {"uniform": "U(±1/√n)", "glorot": "Glorot", "he": "He", "normal": "N(0, 0.01²)"}
ASKED = {"25": "25 % training error", "5": "5 % training error", "test": "validation error"}


def mean_interval(values: pd.Series) -> Interval:
    return bootstrap_interval(values, statistic=np.mean)


def geometric_mean(values: pd.Series) -> Interval:
    """With its interval, over the seeds that have one."""
    return paired_ratio(values, pd.Series(1.0, values.index))


# Tables -------------------------------------------------------------------------------------------


def tables(rows: pd.DataFrame) -> list[Table]:
    whole = published_table(rows)
    return [
        speed_table(rows, ""),
        *([speed_table(rows, SMALL)] if (rows["start"] == SMALL).any() else []),
        *([whole] if whole is not None else []),
        rates_chosen(rows),
    ]


def speed_table(rows: pd.DataFrame, start: str) -> Table:
    fast = {name: updates(rows, name, start) for name in ("25", "5")}
    errors = None if start else scaled_errors(rows)
    lines = []
    for data, activation, depth in sorted_columns(fast["25"]):
        key = (data, activation, depth)
        line = {"data": TITLES[data], "hidden layers": depth, "activation": NAMES[activation]}
        for name, table in fast.items():
            if key in table:
                line |= reached_line(table, key, name)
        if errors is not None:
            line["test error, %"] = str(mean_interval(errors[key].dropna()))
        lines.append(line)
    budget = speed_arm(runs(rows, "25"), start).groupby("data")["updates"].max()
    given = " and ".join(f"{count} updates on {TITLES[data]}" for data, count in budget.items())
    which = "small weights, N(0, 0.01²)" if start else "weights that suit the activation"
    return Table(
        f"Updates to a training error, from {which}",
        f"Geometric mean over the seeds that reached it, of {len(fast['25'])}, with a 95 %"
        f" bootstrap interval, each at the rate tuned for that threshold; within"
        f" {given}. 'Times ReLU's' is the paired ratio of those seeds that both reached it."
        + ("" if start else " Test error: the mean, at the rate tuned for validation error."),
        pd.DataFrame(lines).fillna(""),
    )


def sorted_columns(table: pd.DataFrame) -> list[tuple[str, str, int]]:
    order = list(ACTIVATIONS)
    return sorted(table, key=lambda key: (key[0], key[2], order.index(key[1])))


def reached_line(table: pd.DataFrame, key: tuple[str, str, int], name: str) -> dict[str, str]:
    data, activation, depth = key
    there = table[key].dropna()
    times = ratio(table, activation, "relu", data, depth)
    return {
        f"updates to {name} %": str(geometric_mean(there)) if len(there) else "",
        f"to {name} %": reached(table[key].to_frame("update")),
        f"times ReLU's, {name} %": str(times) if activation != "relu" and times else "",
    }


def published_table(rows: pd.DataFrame) -> Table | None:
    errors = test_errors(rows)
    last = last_rows(runs(rows, "test"), SETTINGS)
    lines = []
    for (activation, start), figure in PUBLISHED.items():
        own = last[(last["data"] == TABLE) & (last["activation"] == activation)]
        own = own[own["start"] == start]
        if own.empty:
            return None
        found = errors[TABLE, start, activation, 5].dropna()
        lines.append(
            {
                "activation": NAMES[activation],
                "initial weights": STARTS[start],
                "Glorot & Bengio, test error, %": f"{figure:.2f}",
                "here, test error, %": str(mean_interval(found)),
                "here, training error, %": 100 * own["train_error"].mean(),
            }
        )
    return Table(
        "Five hidden layers: the table of Glorot & Bengio 2010",
        f"Theirs: 1,000 units a layer, 50,000 training images of MNIST, minibatches of 10, trained"
        f" until validation stops it. Here: 32 units, 4,000 images of the same kind (1,000 to"
        f" test), minibatches of 32, {last.loc[last['data'] == TABLE, 'updates'].max():.0f}"
        f" updates; means over {len(found)} seeds with 95 % bootstrap intervals. The order of the"
        " rows can be compared, the figures cannot.",
        pd.DataFrame(lines),
    )


def rates_chosen(rows: pd.DataFrame) -> Table:
    keys = SETTINGS[:-1]
    found, edges = {}, {}
    for goal, least in GOALS.items():
        best = chosen_rates(rows, SETTINGS, least).reset_index("updates")
        kept = [goal in goals_of(key[0], key[1]) for key in best.index]
        found[ASKED[goal]], edges[goal] = best["rate"][kept], best["edge"][kept]
    tuning = rows[rows["part"] == TUNING]
    grids = tuning.groupby("activation")["rate"].unique()
    each = "; ".join(
        f"{NAMES[name]} {', '.join(f'{rate:g}' for rate in sorted(grids[name]))}"
        for name in ACTIVATIONS
    )
    lying = pd.concat(edges.values())
    frame = pd.DataFrame(found).reset_index()
    frame["activation"], frame["data"] = frame["activation"].map(NAMES), frame["data"].map(TITLES)
    frame["start"] = frame["start"].map(STARTS)
    heads = ["data", "initial weights", "activation", "hidden layers"]
    shown = frame.rename(columns=dict(zip(keys, heads, strict=True)))
    return Table(
        "Learning rates",
        f"Chosen for what stands above the column, by the mean of {tuning['seed'].nunique()} seeds"
        f" that are not used again: most runs that reach the training error, then the fewest"
        f" updates; or the least validation error. Grids: {each} (digits"
        f" without the lowest, MNIST-1D without the highest; the four highest for small"
        f" weights, four in the middle for {TITLES[TABLE]}). {int(lying.sum())} of"
        f" {len(lying)} choices lie at their grid's edge.",
        shown.astype(object).where(shown.notna(), ""),
    )


# Drawings -----------------------------------------------------------------------------------------


def figures(rows: pd.DataFrame) -> list[Figure]:
    speed = updates(rows, "25")
    sets = list(dict.fromkeys(data for data, _ in cells(speed)))
    n, depths = len(speed), sorted({depth for _, depth in cells(speed)})
    width = 5.0 * len(sets)
    return [
        Figure(
            "updates",
            f"Updates until the training error is at most 25 %, each activation at its own tuned"
            f" learning rate: a dot for each of {n} seeds, and the geometric mean of those that got"
            " there with a 95 % bootstrap interval. Runs that did not get there are counted in the"
            " grey band. Lower is faster.",
            "Dots of the updates to 25 % training error for four activations by depth",
            lambda canvas: draw_updates(canvas, speed, budgets(rows)),
            (max(width, 7.5), 4.8),
        ),
        Figure(
            "ratios",
            f"Updates relative to ReLU's, paired by seed: geometric mean and 95 % bootstrap"
            f" interval of at most {n} seeds, to 25 % (filled) and to 5 % training error (open)."
            " Above 1 ReLU is faster; the dashed line is the 6 that Krizhevsky et al. 2012 state"
            " for tanh. No point where fewer than half of the pairs reached the threshold.",
            "Ratios of updates to those of ReLU against the number of hidden layers",
            lambda canvas: draw_ratios(canvas, rows),
            (max(width, 7.5), 4.4),
        ),
        Figure(
            "training_errors",
            f"Training error against updates at the rate tuned for 25 %: median and quartiles of"
            f" {n} seeds. The dotted line is 25 %.",
            "Falling curves of training error for four activations, a panel for each depth",
            lambda canvas: draw_curves(canvas, rows, sets, depths),
            (3.6 * len(depths) + 0.4, 3.0 * len(sets) + 0.7),
        ),
        *([units_figure(rows, sets)] if depths[-1] >= 8 else []),
    ]


def units_figure(rows: pd.DataFrame, sets: list[str]) -> Figure:
    last = speed_arm(runs(rows, "25"))
    deepest, seeds = int(last["depth"].max()), last["seed"].nunique()
    return Figure(
        "units",
        f"Saturated slopes (below a twentieth of the steepest) and dead units (slope 0 on every"
        " training instance) by layer, after the last update at the rate tuned for 25 %, in"
        f" the deepest networks ({deepest} hidden layers): medians and quartiles of {seeds}"
        " seeds. A ReLU's saturated slopes are its zeros.",
        "Shares of saturated slopes and of dead units against the layer for four activations",
        lambda canvas: draw_units(canvas, rows, sets, deepest),
        (10.0, 3.0 * len(sets) + 0.7),
    )


def budgets(rows: pd.DataFrame) -> pd.Series:
    return speed_arm(runs(rows, "25")).groupby("data")["updates"].max()


def draw_updates(canvas: Canvas, speed: pd.DataFrame, most: pd.Series) -> None:
    sets = list(dict.fromkeys(data for data, _ in cells(speed)))
    for panel, data in zip(canvas.subplots(1, len(sets), squeeze=False)[0], sets, strict=True):
        depths = list(dict.fromkeys(depth for name, depth in cells(speed) if name == data))
        for number, activation in enumerate(ACTIVATIONS):
            for place, depth in enumerate(depths):
                at = place + 0.2 * (number - 1.5)
                draw_group(panel, at, speed[data, activation, depth], LOOKS[activation],
                           most[data])  # fmt: skip
        panel.axhspan(1.15 * most[data], 2.2 * most[data], color="#eeeeee", zorder=0)
        panel.set(title=TITLES[data], yscale="log", xlabel="hidden layers",
                  xlim=(-0.55, len(depths) - 0.4))  # fmt: skip
        if data == sets[0]:
            panel.set_ylabel("updates to 25 % training error")
        low = panel.get_ylim()[0]
        ticks = [tick for tick in TICKS if low < tick <= most[data]]
        panel.set_yticks(ticks, [f"{tick:,}" for tick in ticks])
        panel.minorticks_off()
        panel.set_ylim(low, 2.2 * most[data])
        panel.set_xticks(range(len(depths)), [str(depth) for depth in depths])
        panel.grid(axis="x", visible=False)
    legend(canvas, panel)


def draw_group(panel: Axes, at: float, values: pd.Series, look: dict[str, str], most: int) -> None:
    """Dots side by side, the mean beside them, and how many are missing, above."""
    there = values.dropna()
    shift = np.linspace(-0.05, 0.05, len(there)) if len(there) > 1 else np.zeros(len(there))
    panel.plot(at + shift, there, look["marker"], color=look["color"], markersize=3.5,
               fillstyle="none", alpha=0.8)  # fmt: skip
    if len(there):
        mean = geometric_mean(there)
        spread = [[mean.estimate - mean.low], [mean.high - mean.estimate]]
        panel.errorbar(at + 0.08, mean.estimate, yerr=spread, fmt=look["marker"], capsize=3,
                       color=look["color"])  # fmt: skip
    if len(there) < len(values):
        panel.plot(at, 1.4 * most, look["marker"], color=look["color"], fillstyle="none")
        panel.annotate(f"{len(there)} of {len(values)}", (at, 1.65 * most), ha="center",
                       fontsize=8)  # fmt: skip


def legend(canvas: Canvas, panel: Axes, names: Sequence[str] = ACTIVATIONS) -> None:
    """The activations, below all panels."""
    handles = [panel.plot([], [], label=NAMES[name], **LOOKS[name])[0] for name in names]
    canvas.legend(handles=handles, loc="outside lower center", ncols=len(handles))


def draw_ratios(canvas: Canvas, rows: pd.DataFrame) -> None:
    speed = {name: updates(rows, name) for name in ("25", "5")}
    sets = list(dict.fromkeys(data for data, _ in cells(speed["25"])))
    panels = canvas.subplots(1, len(sets), squeeze=False, sharey=True)[0]
    for panel, data in zip(panels, sets, strict=True):
        depths = list(dict.fromkeys(depth for name, depth in cells(speed["25"]) if name == data))
        for name, table in speed.items():
            for number, activation in enumerate(ACTIVATIONS[1:]):
                shift = 0.12 * (number - 1) + (0.05 if name == "5" else 0.0)
                draw_ratio(panel, table, data, activation, depths, shift, name == "25")
        panel.axhline(1, color="black", linewidth=1, linestyle="-")
        panel.axhline(CLAIMED, color="black", linewidth=1, linestyle="--")
        panel.annotate("claimed for tanh: 6", (0.99, CLAIMED), xycoords=("axes fraction", "data"),
                       ha="right", va="bottom", fontsize=9)  # fmt: skip
        panel.set(title=TITLES[data], yscale="log", xlabel="hidden layers")
        panel.set_xticks(range(len(depths)), [str(depth) for depth in depths])
        ticks = [0.5, 1, 2, 5, 10, 20, 50]
        panel.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        panel.minorticks_off()
    panels[0].set_ylabel("updates / ReLU's updates")
    legend(canvas, panels[0], ACTIVATIONS[1:])


def draw_ratio(
    panel: Axes, table: pd.DataFrame, data: str, activation: str, depths: list[int], shift: float,
    filled: bool,
) -> None:  # fmt: skip
    look = LOOKS[activation]
    found = {
        place: ratio(table, activation, "relu", data, depth)
        for place, depth in enumerate(depths)
        if (data, activation, depth) in table
    }
    shown = {place: x for place, x in found.items() if x is not None and 2 * x.n >= len(table)}
    if not shown:
        return
    middle = [x.estimate for x in shown.values()]
    spread = [
        [x.estimate - x.low for x in shown.values()],
        [x.high - x.estimate for x in shown.values()],
    ]
    panel.errorbar([place + shift for place in shown], middle, yerr=spread, capsize=3,
                   fillstyle="full" if filled else "none", **look)  # fmt: skip


def draw_curves(canvas: Canvas, rows: pd.DataFrame, sets: list[str], depths: list[int]) -> None:
    own = speed_arm(runs(rows, "25"))
    own = own.assign(percent=100 * own["train_error"])
    panels = canvas.subplots(len(sets), len(depths), squeeze=False, sharey=True)
    for line, data in zip(panels, sets, strict=True):
        for panel, depth in zip(line, depths, strict=True):
            part = own[(own["data"] == data) & (own["depth"] == depth)]
            draw_bands(panel, part, "update", "percent", "activation", LOOKS)
            panel.axhline(25, color="black", linewidth=1, linestyle=":")
            panel.set(title=f"{TITLES[data]}, {depth} hidden layers", xscale="log", ylim=(-2, 100))
    for panel in panels[-1]:
        panel.set_xlabel("updates")
    for panel in panels[:, 0]:
        panel.set_ylabel("training error (%)")
    legend(canvas, panels[0, 0])


def draw_units(canvas: Canvas, rows: pd.DataFrame, sets: list[str], depth: int) -> None:
    last = last_rows(speed_arm(runs(rows, "25")), SETTINGS)
    last = last[last["depth"] == depth]
    panels = canvas.subplots(len(sets), 2, squeeze=False, sharex=True, sharey=True)
    for line, data in zip(panels, sets, strict=True):
        for panel, what in zip(line, ("saturated", "dead"), strict=True):
            part = by_layer(last[last["data"] == data], what, depth)
            draw_bands(panel, part, "layer", "percent", "activation", LOOKS)
            noun = "saturated slopes" if what == "saturated" else "dead units"
            panel.set(title=f"{TITLES[data]}: {noun}", ylim=(-3, 103))
            panel.set_xticks(range(1, depth + 1))
    for panel in panels[-1]:
        panel.set_xlabel("hidden layer")
    for panel in panels[:, 0]:
        panel.set_ylabel("share (%)")
    legend(canvas, panels[0, 0])


def by_layer(last: pd.DataFrame, what: str, depth: int) -> pd.DataFrame:
    """A row for each run and layer, with the share in percent."""
    columns = {f"{what}_{i}": i for i in range(1, depth + 1)}
    long = last.rename(columns=columns).melt(
        id_vars=["activation", "seed"], value_vars=list(columns.values()), var_name="layer"
    )
    return long.assign(percent=100 * long["value"].astype(float), layer=long["layer"].astype(int))
