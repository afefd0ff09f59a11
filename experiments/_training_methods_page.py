"""The page of the experiment `training_methods`: rows in, tables and drawings out."""

from __future__ import annotations

import numpy as np
import pandas as pd
from apparatus.training_programs import named
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import NullLocator

from difflab.lab import Figure, Table, looks
from difflab.methods import METHODS

EXACT = ("forward", "symbolic", "complex_step")
"""The methods without truncation error, beside reverse mode."""
DIFFERENCES = ("forward_difference", "backward_difference", "central_difference", "richardson")
VISIBLE = 0.01
PARTED = (1e-10, 1e-5, VISIBLE)
"""How far apart trajectories count as parted, relative to the way gone."""
EQUAL = 1e-17
"""Where equal parameters are drawn on a logarithmic axis."""


# Rows ---------------------------------------------------------------------------------------------


def paths(rows: pd.DataFrame) -> pd.DataFrame:
    """The training runs, with the network in words."""
    own = rows[rows["part"] == "path"]
    return own.assign(network=[*map(named, own["sizes"], own["activation"])])


def after_updates(
    rows: pd.DataFrame, count: int, dtype: str, methods: tuple[str, ...]
) -> pd.DataFrame:
    """The runs of some methods after so many updates."""
    own = paths(rows)
    own = own[(own["update"] == count) & (own["dtype"] == dtype)]
    return own[own["method"].isin(methods)]


def steady(rows: pd.DataFrame) -> pd.DataFrame:
    """The times of an update, without reverse mode's second run."""
    own = rows[rows["part"] == "time"]
    own = own.assign(network=[*map(named, own["sizes"], own["activation"])])
    return own[~own["method"].astype(str).str.endswith("(again)")]


def largest(rows: pd.DataFrame) -> pd.DataFrame:
    """The widest network of every method within its budget."""
    own = rows[(rows["part"] == "ladder") & rows["within"].eq(True)]
    return own.sort_values("width").drop_duplicates("method", keep="last")


# Tables -------------------------------------------------------------------------------------------


def tables(rows: pd.DataFrame) -> list[Table]:
    return [same_training(rows), gradients(rows), time_per_update(rows), feasible(rows)]


def same_training(rows: pd.DataFrame) -> Table:
    own = paths(rows)
    count = min(20, int(own["update"].max()))
    own = own[own["method"] != "reverse"]
    keys = ["network", "dtype", "method"]
    early = own[own["update"] == count].groupby(keys, sort=False)
    last = own[own["update"] == own["updates"]].groupby(keys, sort=False)
    frame = pd.DataFrame(
        {
            "apart, median": early["apart"].median(),
            "apart, worst": early["apart"].max(),
            "ulps, median": early["apart_ulps_median"].median(),
            "ulps, worst": early["apart_ulps"].max(),
        }
    )
    for bound in PARTED:
        name = "visible" if bound == VISIBLE else f"{bound:g}"
        frame[f"parts by {name}"] = last[f"parted_{bound:g}"].apply(partings)
    frame["accuracy, %"] = 100 * last["accuracy"].mean()
    seeds = own["seed"].nunique()
    return Table(
        "The same training",
        f"n = {seeds} seeds a row. After {count} updates: how far parameters are from reverse"
        " mode's, relative to the way gone (largest of all parameters), and in units in the last"
        " place of each parameter (median and largest of the parameters; of the seeds, median"
        f" and worst). Then the update at which they part by 1e-10, 1e-05 or {VISIBLE:g} (median,"
        " and in how many runs at all), of 200 in the full run, and the test accuracy at the end.",
        frame.reset_index(),
    )


def partings(updates: pd.Series) -> str:
    """When runs parted, and how many.

    >>> partings(pd.Series([3.0, 5.0, np.nan]))
    '4 (2 of 3)'
    """
    found = updates.dropna()
    return f"{found.median():.0f} ({len(found)} of {len(updates)})" if len(found) else "never"


def gradients(rows: pd.DataFrame) -> Table:
    grouped = paths(rows).groupby(["dtype", "network", "method"], sort=False)
    frame = pd.DataFrame(
        {
            "angle, median": grouped["shared_angle"].median(),
            "angle, worst": grouped["shared_angle"].max(),
            "on its own path, worst": grouped["own_angle"].max(),
            "ulps, median": grouped["shared_ulps_median"].median(),
            "ulps, worst": grouped["shared_ulps_max"].max(),
        }
    )
    points = grouped.size().min()
    return Table(
        "Gradients along the path, against the truth",
        f"n ≥ {points} places a row. The angle in radians between a method's gradient and the"
        " exact one, at reverse mode's parameters and at the method's own; and the error of its"
        " components in units in the last place (medians over components and places; the worst of"
        " all).",
        frame.reset_index(),
    )


def time_per_update(rows: pd.DataFrame) -> Table:
    own = steady(rows)
    own = own.assign(ms=1e3 * own["seconds"], derive=1e3 * own["derive_seconds"])
    reverse = own[own["method"] == "reverse"].set_index("network")["operations"]
    own["more"] = own["operations"] / own["network"].map(reverse)
    columns = {"network": "network", "method": "method", "parameters": "parameters",
               "evaluations": "evaluations", "operations": "operations",
               "more": "times reverse mode's", "ms": "update, ms", "ratio": "times its time",
               "derive": "derivation, ms"}  # fmt: skip
    return Table(
        "What an update costs",
        f"Evaluations of the loss and operations of loss and gradient; median time of an update"
        f" over {own['rounds'].max():.0f} rounds, side by side, relative to reverse mode, which"
        f" strays from itself by up to {100 * own['noise'].max():.0f} %; time to trace, derive and"
        " compile. A method whose update disagrees has no time.",
        own[list(columns)].rename(columns=columns).reset_index(drop=True),
    )


def feasible(rows: pd.DataFrame) -> Table:
    own = largest(rows).set_index("method")
    timed = rows[rows["part"] == "largest"].set_index("method")
    frame = own[["width", "parameters", "evaluations", "operations", "written_out"]].astype(int)
    frame["network"] = [f"{width}-{width}-2" for width in frame.pop("width")]
    frame["update, ms"] = 1e3 * timed["seconds"]
    frame["derivation, s"] = timed["derive_seconds"]
    names = {"written_out": "written out"}
    ladder = rows[rows["part"] == "ladder"].iloc[0]
    order = [name for name in METHODS if name in frame.index]
    return Table(
        "The largest network",
        "The widest network k-k-2 (tanh, minibatches of 4; k grows by the square root of 2) whose"
        f" loss and gradient take at most {ladder['budget']:,.0f} operations, and whose derivatives"
        f" have at most {ladder['written_out_budget']:,.0f} where they are written out (SymPy). The"
        " budget counts operations, so the sizes do not depend on the machine; times stand beside.",
        frame.rename(columns=names).loc[order].rename_axis("method").reset_index(),
    )


# Figures ------------------------------------------------------------------------------------------


def figures(rows: pd.DataFrame) -> list[Figure]:
    own = paths(rows)
    seeds = own["seed"].nunique()
    panels = own["network"].nunique() * own["dtype"].nunique()
    drawn = [
        Figure(
            "apart",
            "How far parameters are from reverse mode's, relative to the way they have gone,"
            f" against the number of updates: the median of {seeds} seeds, and the band from the"
            f" lowest to the highest; equal ones are drawn at {EQUAL:g}. Dashed: the bounds"
            " for exact methods (1e-10) and differences (1e-5). A jump is a stencil that"
            " reaches across a kink.",
            "Curves of the difference from reverse mode's parameters for each method",
            lambda canvas: draw_apart(canvas, own),
            (10.5, 7.4 if panels > 3 else 4.4),
        ),
        Figure(
            "cost",
            "Left: operations of loss and gradient of the networks k-k-2 against their parameters;"
            " dotted: the budget; the last point of each is the first that is over it (SymPy's over"
            " the budget of its derivation). Right: median time of an update with quartiles, and"
            " how many times reverse mode's it is.",
            "Growing curves of operations for each method; dots of the time per update",
            lambda canvas: draw_cost(canvas, rows),
            (11.0, 4.8),
        ),
        Figure(
            "gradients",
            "The angle between a method's gradient and the exact one along reverse mode's path, for"
            f" every place and each of {seeds} seeds (a dot), with the median (bar).",
            "Dots of angles for each method, in float64 and float32",
            lambda canvas: draw_angles(canvas, own),
            (10.5, 4.2),
        ),
    ]
    if len(own[own["update"] == 200]):
        drawn.append(
            Figure(
                "curves",
                f"Training loss of the largest trained network by every method, the mean of {seeds}"
                " seeds, on all training instances: where the curves cannot be told apart, the"
                " training is the same.",
                "Falling curves of the training loss, one on the other",
                lambda canvas: draw_curves(canvas, own),
                (10.5, 4.4),
            )
        )
    return drawn


STYLES = looks(METHODS)


def draw_apart(canvas: Canvas, own: pd.DataFrame) -> None:
    kinds, nets = list(own["dtype"].unique()), list(own["network"].unique())
    panels = canvas.subplots(len(kinds), len(nets), squeeze=False, sharex="col", sharey=True)
    for (i, kind), (j, net) in [(a, b) for a in enumerate(kinds) for b in enumerate(nets)]:
        panel = panels[i][j]
        part = own[(own["dtype"] == kind) & (own["network"] == net) & (own["update"] > 0)]
        if part.empty:
            panel.set_visible(False)
            continue
        for method, runs in part[part["method"] != "reverse"].groupby("method", sort=False):
            far = runs.assign(apart=runs["apart"].clip(lower=EQUAL)).groupby("update")["apart"]
            panel.plot(far.median(), label=method, markersize=4, **STYLES[method])
            panel.fill_between(
                far.min().index, far.min(), far.max(), alpha=0.12, linewidth=0,
                color=STYLES[method]["color"],
            )  # fmt: skip
        for bound in PARTED[:2]:
            panel.axhline(bound, color="black", linestyle="--", linewidth=0.8)
        panel.set(title=f"{net}, {kind}", xscale="log", yscale="log", xlabel="updates")
        ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100, 200) if tick <= part["update"].max()]
        panel.set_xticks(ticks, [str(tick) for tick in ticks])
        panel.xaxis.set_minor_locator(NullLocator())
    for row in panels:
        row[0].set_ylabel("parameters apart (relative)")
    legend(canvas, panels.ravel())


def legend(canvas: Canvas, panels: np.ndarray) -> None:
    """One legend below all panels."""
    shown = {}
    for panel in panels:
        handles, names = panel.get_legend_handles_labels()
        shown |= dict(zip(names, handles, strict=True))
    canvas.legend(shown.values(), shown.keys(), loc="outside lower center", ncols=4)


def draw_cost(canvas: Canvas, rows: pd.DataFrame) -> None:
    left, right = canvas.subplots(1, 2)
    rungs = rows[rows["part"] == "ladder"]
    for method, own in rungs.groupby("method", sort=False):
        left.plot(
            own["parameters"], own["operations"], label=method, markersize=4, **STYLES[method]
        )
    left.axhline(rungs["budget"].max(), color="black", linestyle=":", linewidth=1.2)
    left.set(xscale="log", yscale="log", xlabel="parameters",
             ylabel="operations of loss and gradient")  # fmt: skip
    own = steady(rows)
    own = own[own["parameters"] == own["parameters"].max()].dropna(subset="seconds")
    ms = 1e3 * own[["low_seconds", "seconds", "high_seconds"]]
    spread = [ms["seconds"] - ms["low_seconds"], ms["high_seconds"] - ms["seconds"]]
    right.errorbar(ms["seconds"], own["method"], xerr=spread, fmt="o", capsize=3, color="#0072B2")
    for at, row in zip(ms["high_seconds"], own.itertuples(), strict=True):
        ratio = f"{row.ratio:,.0f}" if row.ratio >= 100 else f"{row.ratio:.3g}"
        right.annotate(f"  × {ratio}", (at, row.method), va="center", fontsize=9)
    right.set(title=f"{own['network'].iloc[0]}: {own['parameters'].max():.0f} parameters",
              xscale="log", xlabel="time of an update (ms); × reverse mode's")  # fmt: skip
    right.set_xlim(ms["low_seconds"].min() / 2, ms["high_seconds"].max() * 10)
    right.invert_yaxis()
    legend(canvas, np.array([left]))


def draw_angles(canvas: Canvas, own: pd.DataFrame) -> None:
    kinds = list(own["dtype"].unique())
    panels = canvas.subplots(1, len(kinds), squeeze=False, sharey=True)[0]
    names = [name for name in METHODS if (own["method"] == name).any()]
    rng = np.random.default_rng(0)
    for panel, kind in zip(panels, kinds, strict=True):
        for place, name in enumerate(names):
            angles = own[(own["dtype"] == kind) & (own["method"] == name)]["shared_angle"]
            angles = angles.dropna().clip(lower=EQUAL)
            if angles.empty:
                continue
            lifted = place + rng.uniform(-0.28, 0.28, len(angles))
            panel.plot(angles, lifted, ".", color=STYLES[name]["color"], alpha=0.35, markersize=3,
                       rasterized=True)  # fmt: skip
            panel.plot([angles.median()] * 2, [place - 0.38, place + 0.38], color="black")
        panel.set(title=kind, xscale="log", xlabel="angle to the exact gradient (radians)")
    panels[0].set_yticks(range(len(names)), names)
    panels[0].invert_yaxis()


def draw_curves(canvas: Canvas, own: pd.DataFrame) -> None:
    own = own[own["parameters"] == own["parameters"].max()]
    kinds = list(own["dtype"].unique())
    panels = canvas.subplots(1, len(kinds), squeeze=False, sharey=True)[0]
    for panel, kind in zip(panels, kinds, strict=True):
        for method, runs in own[own["dtype"] == kind].groupby("method", sort=False):
            loss = runs.groupby("update")["loss"].mean()
            panel.plot(loss, label=method, markersize=4, **STYLES[method])
        panel.set(title=f"{own['network'].iloc[0]}, {kind}", xlabel="updates")
    panels[0].set_ylabel("training loss (nats)")
    legend(canvas, panels)
