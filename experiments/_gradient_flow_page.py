"""The page of the experiment `gradient_flow`: rows in, tables and drawings out."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
from apparatus.gradient_flow_theory import (
    ACTIVATIONS,
    CLOSED,
    DERIVATION,
    IDENTITY,
    INITIALISERS,
    NAMES,
    QUARTER_CIRCLE,
    WRITTEN,
    closed_form,
)
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from difflab.lab import Figure, Section, Table, looks

CLOSE = 4.0
"""What counts as rounding alone, in units in the last place."""
IDENTITY_BITS = 20
"""Two real numbers count as the same if they agree to this many bits beyond a float's 53."""
FIRST_LAYERS = 5
"""So many hidden layers had the networks of Glorot & Bengio 2010, for singular values and means."""
LABELS = {"relu": "ReLU", "sigmoid": "sigmoid", "tanh": "tanh"}
PUBLISHED = {("tanh", "uniform"): "about 0.5", ("tanh", "glorot"): "about 0.8"}


def sections(rows: pd.DataFrame) -> list[Section]:
    return [DERIVATION, IDENTITY]


# Tables -------------------------------------------------------------------------------------------


def tables(rows: pd.DataFrame) -> list[Table]:
    return [factors(rows), jacobians(rows), programs(rows)]


def networks(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["kind"] == "network"]


def configurations() -> list[tuple[str, str]]:
    return [(a, i) for a in ACTIVATIONS for i in INITIALISERS]


def factors(rows: pd.DataFrame) -> Table:
    """One line for each activation and initialisation, at the largest width."""
    own = networks(rows)
    own = own[own["widest"].eq(True)]
    lines = []
    for activation, initialiser in configurations():
        part = own[(own["activation"] == activation) & (own["initialiser"] == initialiser)]
        means = np.exp(np.log(part["factor"]).groupby(part["data"]).mean())
        field = math.exp(np.log(part["mean_field"]).mean())
        pair = (activation, initialiser)
        closed = closed_form(*pair) if pair in CLOSED else math.nan
        mean = math.exp(np.log(part["factor"]).mean())
        lines.append(
            {
                "activation": LABELS[activation],
                "weights": NAMES[initialiser],
                "digits": means["digits"],
                "MNIST-1D": means["mnist1d"],
                "theory": WRITTEN.get(pair, "–"),
                "closed form": closed,
                "measured/closed": mean / closed,
                "mean field": field,
                "measured/mean field": mean / field,
            }
        )
    return Table(
        "The factor of a layer",
        f"Geometric means over {own['seed'].nunique()} networks of {own['depth'].max():.0f} hidden"
        f" layers of {own['width'].max():.0f} units on each data set. A factor below 1 vanishes,"
        " one above 1 explodes. The closed form takes sigmoid and tanh as linear, which they are"
        " not with large weights: there only the mean-field recursion is given.",
        pd.DataFrame(lines),
    )


def jacobians(rows: pd.DataFrame) -> Table:
    own = rows[rows["part"] == "jacobian"]
    means = own.groupby(["activation", "initialiser"])[["mean_value", "rms_value"]].mean()
    lines = [
        {
            "activation": LABELS[activation],
            "weights": NAMES[initialiser],
            "mean singular value": means.loc[(activation, initialiser), "mean_value"],
            "Glorot & Bengio": PUBLISHED.get((activation, initialiser), "–"),
            "root mean square": means.loc[(activation, initialiser), "rms_value"],
        }
        for activation, initialiser in configurations()
    ]
    return Table(
        "Singular values of one layer's Jacobian",
        f"Of each hidden layer's outputs by the previous one's at an image of a digit, means over"
        f" {own['layer'].nunique()} layers of {own['seed'].nunique()} networks of"
        f" {own['width'].max():.0f} units. The root mean square is the factor for a gradient of"
        f" random direction; for a linear layer the mean is {QUARTER_CIRCLE:.2f} of it. The ReLU's"
        " are fewer: half of its units pass nothing.",
        pd.DataFrame(lines),
    )


def programs(rows: pd.DataFrame) -> Table:
    own = rows[rows["part"] == "identity"]
    size = own["x"].abs()
    edges = [0.0, 1e-300, 1e-20, 1e-16, 1e-10, 1e-5, 0.1, 1.0, np.inf]
    names = [f"{low:g} to {high:g}" for low, high in itertools.pairwise(edges)]
    bands = pd.cut(size, edges, labels=names)
    grouped = own.groupby(bands, observed=True)
    frame = grouped.agg(
        points=("x", "size"), written=("ulps", "max"), direct=("tanh_ulps", "max")
    ).reset_index()
    frame.columns = ["|x|", "points", "2 sigmoid(2x) - 1, worst ulps", "np.tanh, worst ulps"]
    return Table(
        "tanh written as a sigmoid, in float64",
        "The same real function, two programs: how far each is from tanh's truth. Below 1e-16"
        " nothing is left of the value.",
        frame,
    )


# Figures ------------------------------------------------------------------------------------------


def figures(rows: pd.DataFrame) -> list[Figure]:
    own = rows[rows["kind"] == "layer"]
    wide = networks(rows)
    depth, width = int(own["depth"].max()), int(own["width"].max())
    shown = [
        Figure(
            "gradient",
            f"Gradient norm with respect to each layer's pre-activations, relative to the last"
            f" hidden layer's: {depth} layers of {width} units on digits. Markers: geometric means"
            f" of n = {own['seed'].nunique()} networks, band: all of them. Dashed: closed forms;"
            " dotted: the mean-field recursion, where the closed form does not apply. Read from"
            " right to left, as the gradient goes.",
            "Three panels of gradient norm by layer. With the sigmoid it falls exponentially"
            " towards the input for every initialisation; with tanh exponentially for uniform"
            " weights and slowly for Glorot's; with ReLU it is level for He's.",
            lambda canvas: draw_gradients(canvas, own),
            (9.6, 4.3),
        ),
        Figure(
            "tails",
            "Left: the derivative far from 0, by automatic differentiation, with the theory dashed;"
            f" it ends where it underflows. n ="
            f" {rows.loc[rows['part'] == 'tails', 'x'].nunique()} points. Right: what writing tanh"
            " as 2 sigmoid(2x) - 1 costs in float64, in ulps of the truth.",
            "Left: log derivative falls linearly, with slope -1 for the sigmoid until 745 and -2"
            " for tanh until 373; the ReLU's is 1. Right: errors of the shifted sigmoid grow as"
            " 1 over the size of x, up to 1e16 ulps.",
            lambda canvas: draw_tails(canvas, rows),
            (9.0, 3.9),
        ),
        Figure(
            "offsets",
            "How much of a layer's output is its mean over the instances (root mean"
            " squares over units): 1 is a constant, 0 is centred. Medians and quartiles of"
            f" n = {own['seed'].nunique()} networks, Glorot's weights, digits.",
            "Sigmoid outputs are almost all mean in each layer; tanh's are about a tenth.",
            lambda canvas: draw_offsets(canvas, own),
            (6.4, 3.6),
        ),
    ]
    if wide["width"].nunique() > 1:
        shown.append(
            Figure(
                "width",
                "Measured factor over closed form against the layers' width, both data sets:"
                f" geometric means with all of n = {wide.groupby('data')['seed'].nunique().sum()}"
                " networks' standard error. Grey: within 5 %.",
                "Ratios approach 1 as layers grow wider; the sigmoid with Glorot's weights stays"
                " about 6 percent below.",
                lambda canvas: draw_widths(canvas, wide),
                (7.6, 3.9),
            )
        )
    return shown


def initialiser_looks() -> dict[str, dict[str, object]]:
    return {name: style | {"linestyle": "none"} for name, style in looks(INITIALISERS).items()}


def draw_gradients(canvas: Canvas, own: pd.DataFrame) -> None:
    panels = canvas.subplots(1, len(ACTIVATIONS), sharey=True)
    depth = int(own["depth"].max())
    for panel, activation in zip(panels, ACTIVATIONS, strict=True):
        for initialiser, style in initialiser_looks().items():
            part = own[(own["activation"] == activation) & (own["initialiser"] == initialiser)]
            logs = np.log(part["relative"]).groupby(part["layer"])
            middle, low, high = (np.exp(logs.agg(name)) for name in ("mean", "min", "max"))
            panel.plot(middle, label=NAMES[initialiser], markevery=2, markersize=4.5, **style)
            panel.fill_between(low.index, low, high, color=style["color"], alpha=0.15, linewidth=0)
            draw_theory(panel, part, (activation, initialiser), str(style["color"]))
        panel.set(
            title=LABELS[activation], yscale="log", xlabel="hidden layer", xlim=(0, depth + 1)
        )
    panels[0].set_ylabel("gradient norm, relative")
    handles, names = panels[0].get_legend_handles_labels()
    grey = [panels[0].plot([], [], color="#555555", linestyle=line)[0] for line in ("--", ":")]
    canvas.legend([*handles, *grey], [*names, "closed form", "mean field"],
                  loc="outside lower center", ncols=5)  # fmt: skip


def draw_theory(panel: Axes, part: pd.DataFrame, pair: tuple[str, str], color: str) -> None:
    """The dashed closed form, or the dotted recursion where there is none."""
    if pair in CLOSED:
        layers = np.sort(part["layer"].unique())
        panel.plot(layers, closed_form(*pair) ** (layers.max() - layers), "--", color=color, lw=1.4)
    else:
        field = part.groupby("layer")["relative_mean_field"].mean()
        panel.plot(field, ":", color=color, lw=1.6)


def draw_tails(canvas: Canvas, rows: pd.DataFrame) -> None:
    left, right = canvas.subplots(1, 2)
    own = rows[(rows["part"] == "tails") & (rows["x"] > 0)]
    limits = {"sigmoid": lambda x: np.exp(-x), "tanh": lambda x: 4 * np.exp(-2 * x)}
    for activation, style in looks(ACTIVATIONS).items():
        part = own[(own["activation"] == activation) & (own["slope"] > 0)].sort_values("x")
        every = max(1, len(part) // 12)
        left.plot(part["x"], part["slope"], color=style["color"], linestyle="none",
                  marker=style["marker"], markevery=every, label=LABELS[activation])  # fmt: skip
        if activation in limits:
            left.plot(part["x"], limits[activation](part["x"]), "--", color=style["color"], lw=1.2)
    left.set(yscale="log", xlabel="x", ylabel="derivative g'(x)", ylim=(1e-320, 1e20))
    left.set_yticks([1.0, 1e-100, 1e-200, 1e-300])
    left.legend(loc="center right")
    own = rows[(rows["part"] == "identity") & (rows["x"] > 0)]
    for column, name, style in (
        ("ulps", "2 sigmoid(2x) - 1", looks(ACTIVATIONS)["sigmoid"]),
        ("tanh_ulps", "np.tanh", looks(ACTIVATIONS)["tanh"]),
    ):
        shown = own[(own["x"] > 1e-25) & (own["x"] < 1e5)]
        right.plot(shown["x"], shown[column].clip(lower=1e-3), linestyle="none", markersize=3,
                   marker=style["marker"], color=style["color"], label=name)  # fmt: skip
    right.set(xscale="log", yscale="log", xlabel="x", ylabel="error (ulps)")
    right.legend()


def draw_offsets(canvas: Canvas, own: pd.DataFrame) -> None:
    axes = canvas.subplots()
    glorot = own[own["initialiser"] == "glorot"]
    for activation, style in looks(ACTIVATIONS).items():
        part = glorot[glorot["activation"] == activation].groupby("layer")["offset_share"]
        low, middle, high = (part.quantile(q) for q in (0.25, 0.5, 0.75))
        axes.plot(middle, label=LABELS[activation], markevery=3, **style)
        axes.fill_between(low.index, low, high, color=style["color"], alpha=0.15, linewidth=0)
    axes.set(xlabel="hidden layer", ylabel="mean over instances / size", ylim=(0, 1.05))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()


def draw_widths(canvas: Canvas, wide: pd.DataFrame) -> None:
    axes = canvas.subplots()
    names = [f"{LABELS[a]}, {NAMES[i]}" for a, i in CLOSED]
    styles = looks(names)
    widths = np.sort(wide["width"].unique())
    for place, (name, pair) in enumerate(zip(names, CLOSED, strict=True)):
        part = wide[(wide["activation"] == pair[0]) & (wide["initialiser"] == pair[1])]
        logs = np.log(part["factor"] / closed_form(*pair)).groupby(part["width"])
        middle, error = logs.mean(), logs.sem()
        aside = 1.03 ** (place - 2.5)  # so that error bars do not hide one another
        axes.errorbar(middle.index * aside, np.exp(middle), yerr=np.exp(middle) * error,
                      label=name, capsize=3, **styles[name])  # fmt: skip
    axes.axhspan(0.95, 1.05, color="#bbbbbb", alpha=0.3, linewidth=0)
    axes.axhline(1.0, color="#555555", linestyle="--", linewidth=1)
    axes.set(xscale="log", xlabel="units of a layer", ylabel="factor, measured / closed form")
    axes.set_xticks(widths, [f"{width:.0f}" for width in widths])
    axes.minorticks_off()
    canvas.legend(loc="outside right upper")
