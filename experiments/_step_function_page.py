"""The page of the experiment `step_function`: rows in, tables and drawings out."""

from __future__ import annotations

import numpy as np
import pandas as pd
from apparatus.learning import TRAINING, draw_bands, rates_table
from apparatus.training_programs import named
from matplotlib.figure import Figure as Canvas

from difflab.lab import Figure, Table, bootstrap_interval, looks

OBSERVED = (0.01, 0.1)
"""Shares of weights that jump between which laws are fitted: enough are seen, few jump twice."""
NAMES = {"step": "the step", "relu": "a ReLU", "sigmoid": "a sigmoid"}
WAYS = {
    ("step", "reverse"): "step, reverse mode",
    ("step", "theory"): "step, differences by theory",
    ("step", "wide"): "step, wide differences",
    ("sigmoid", "reverse"): "sigmoid, reverse mode",
    ("relu", "reverse"): "ReLU, reverse mode",
}
LOOKS = looks(WAYS.values())


# Rows ---------------------------------------------------------------------------------------------


def ran(rows: pd.DataFrame) -> pd.DataFrame:
    """The training runs, with network and configuration in words."""
    own = rows[rows["part"] == TRAINING]
    pairs = zip(own["activation"], own["method"], strict=True)
    return own.assign(
        network=[named(sizes) for sizes in own["sizes"]],
        configuration=[WAYS[pair] for pair in pairs],
        percent=100 * own["held_error"],
    )


def jumps(rows: pd.DataFrame) -> pd.DataFrame:
    """By step: the share of hidden weights that jump, over all seeds, and the differences' size."""
    own = rows[rows["part"] == "jumps"].groupby("h")
    found = own.agg(weights=("weights", "sum"), crossed=("crossed", "sum"),
                    median_size=("median_size", "mean"))  # fmt: skip
    return found.assign(share=found["crossed"] / found["weights"]).reset_index()


def by_stencil(rows: pd.DataFrame, stencil: str) -> pd.DataFrame:
    """By step: how many hidden weights jump, and what a stencil says of all of them."""
    own = rows[(rows["part"] == "stencil") & (rows["stencil"] == stencil)]
    found = own.groupby("h").agg(
        weights=("weights", "sum"),
        crossed=("crossed", "sum"),
        nonzero=("nonzero", "sum"),
        unexplained=("unexplained", "max"),
        median_size=("median_size", "median"),
        largest=("largest", "max"),
    )
    return found.assign(share=found["crossed"] / found["weights"]).reset_index()


# Tables -------------------------------------------------------------------------------------------


def tables(rows: pd.DataFrame) -> list[Table]:
    plain = rows.assign(network=[named(sizes) for sizes in rows["sizes"]])
    return [
        results(rows),
        zeros(rows),
        stencils(rows),
        rates_table(plain, ["network", "activation", "method"]),
    ]


def results(rows: pd.DataFrame) -> Table:
    own = ran(rows)
    last = own[own["update"].isin([own["update"].max()]) | (own["update"] == own["updates"])]
    grouped = last.groupby(["network", "configuration"], sort=False)
    frame = pd.DataFrame(
        {
            "learning rate": grouped["rate"].first(),
            "test error, %": grouped["percent"].apply(
                lambda errors: str(bootstrap_interval(errors, statistic=np.mean))
            ),
            "random features, %": 100 * grouped["features_error"].mean(),
            "hidden layer moved in": grouped["hidden_moved"].apply(
                lambda moved: f"{moved.astype(bool).sum()} of {len(moved)}"
            ),
            "updates": grouped["updates"].first().astype(int),
        }
    )
    return Table(
        "What was learned",
        f"Mean of {own['seed'].nunique()} seeds with a 95 % bootstrap interval, each configuration"
        " at its own learning rate. Random features: the last layer trained alone, from the same"
        " start. Moved: runs in which a hidden weight or bias is not, bit by bit, the initial one.",
        frame.reset_index(),
    )


def zeros(rows: pd.DataFrame) -> Table:
    own = rows[rows["part"] == "zeros"]
    own = own.assign(network=[named(sizes) for sizes in own["sizes"]])
    keys = ["network", "activation", "method"]
    grouped = own.groupby(keys, sort=False)
    frame = pd.DataFrame(
        {
            "hidden layer, % zero": 100 * grouped["hidden_zero"].mean(),
            "last layer, % zero": 100 * grouped["last_zero"].mean(),
            "refused": grouped["refused"].apply(lambda refused: int(refused.astype(bool).sum())),
            "n": grouped.size(),
        }
    )
    return Table(
        "Gradients that are exactly zero",
        "The share of components that are exactly 0 at the initial parameters, the mean of n seeds."
        " Steps of the differences are those of theory; each reaches across a jump only by chance.",
        frame.reset_index(),
    )


def stencils(rows: pd.DataFrame) -> Table:
    parts = [by_stencil(rows, kind).assign(stencil=kind) for kind in ("forward", "central")]
    own = pd.concat(parts)
    own["percent"] = 100 * own["share"]
    columns = {"stencil": "stencil", "h": "step h", "weights": "weights", "crossed": "jump",
               "percent": "jump, %", "nonzero": "not 0", "median_size": "median size",
               "largest": "largest", "unexplained": "largest without a jump"}  # fmt: skip
    return Table(
        "What differences say of the hidden weights",
        "Over all seeds, at the initial weights: how many weights turn a unit on or off for some"
        " instance when they move by h, how many differences are not exactly 0, and their size. A"
        " difference without a jump can only be rounding; its largest size is in the last column.",
        own[list(columns)].rename(columns=columns).reset_index(drop=True),
    )


# Figures ------------------------------------------------------------------------------------------


def figures(rows: pd.DataFrame) -> list[Figure]:
    own = ran(rows)
    seeds = own["seed"].nunique()
    return [
        Figure(
            "training",
            f"Test error against updates: the median of {seeds} seeds and the quartiles, each"
            " configuration at its own learning rate. Rings: the last layer of the step network"
            " trained alone, on random features, which is the same training.",
            "Falling curves of the test error; those of the step stay above the ReLU's",
            lambda canvas: draw_training(canvas, own),
            (10.5, 4.6),
        ),
        Figure(
            "jumps",
            "Differences of the hidden weights of a step network against their step h, over all"
            " seeds. Left: the share of weights that jump; dashed: in proportion to h. Right: the"
            " median size of the differences that jump; dashed: in proportion to 1/h.",
            "A rising line of shares, and a falling line of sizes, on logarithmic axes",
            lambda canvas: draw_jumps(canvas, rows),
            (10.5, 4.4),
        ),
    ]


def draw_training(canvas: Canvas, own: pd.DataFrame) -> None:
    nets = list(own["network"].unique())
    panels = canvas.subplots(1, len(nets), squeeze=False, sharey=True)[0]
    shown = {}
    for panel, net in zip(panels, nets, strict=True):
        part = own[own["network"] == net]
        draw_bands(panel, part, "update", "percent", "configuration", LOOKS)
        features = 100 * part.groupby("update")["features_error"].median().dropna()
        panel.plot(features, "o", fillstyle="none", color="black", markersize=6,
                   label="random features")  # fmt: skip
        panel.set(title=net, xlabel="updates", yscale="log")
        panel.set_yticks([2, 5, 10, 20, 50, 90], ["2", "5", "10", "20", "50", "90"])
        panel.tick_params(axis="y", which="minor", left=False, labelleft=False)
        handles, names = panel.get_legend_handles_labels()
        shown |= dict(zip(names, handles, strict=True))
    panels[0].set_ylabel("test error (%)")
    canvas.legend(shown.values(), shown.keys(), loc="outside lower center", ncols=3)


def draw_jumps(canvas: Canvas, rows: pd.DataFrame) -> None:
    left, right = canvas.subplots(1, 2)
    (style,) = looks(["forward"]).values()
    own = jumps(rows)
    own = own[own["crossed"] > 0]
    left.plot(own["h"], own["share"], label="forward differences", markersize=4, **style)
    right.plot(own["h"], own["median_size"], label="forward differences", markersize=4, **style)
    middle = own[own["share"].between(*OBSERVED)]
    if len(middle):
        anchor = middle.iloc[len(middle) // 2]
        left.plot(own["h"], (anchor["share"] * own["h"] / anchor["h"]).clip(upper=1.0), "--",
                  color="black", linewidth=1, label="in proportion to h")  # fmt: skip
        right.plot(own["h"], anchor["median_size"] * anchor["h"] / own["h"], "--",
                   color="black", linewidth=1, label="in proportion to 1/h")  # fmt: skip
    left.set(xscale="log", yscale="log", xlabel="step h", ylabel="share of weights that jump")
    right.set(xscale="log", yscale="log", xlabel="step h",
              ylabel="size of a difference with a jump")  # fmt: skip
    left.legend()
    right.legend()
