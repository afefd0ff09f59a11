"""The page of the experiment `step_size`: rows in, tables and drawings out."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import LogLocator, NullFormatter

from difflab.lab import Figure, Table, looks

STEP_FACTOR = 3.0
ERROR_FACTOR = 10.0
CLAIMED = (("forward", 1), ("central", 2))
EPS = {"float64": 2.0**-52, "float32": 2.0**-23}
LOOP, CLOSED = "logistic_map_loop", "logistic_map_closed"


# Selections ---------------------------------------------------------------------------------------


def labelled(rows: pd.DataFrame) -> pd.DataFrame:
    """The summaries, with a name for each curve's stencil and whether it was predicted."""
    own = rows[(rows["part"] == "summary") & rows["stencil"].notna()].copy()
    own["at"] = own["dtype"] + np.where(own["kind"] == "ordinary", "", ", hard points")
    own["label"] = [name_of(*pair) for pair in zip(own["stencil"], own["order"], strict=True)]
    off = np.abs(np.log(own["step_predicted"] / own["step"]))
    wrong = np.abs(np.log(own["error_predicted"] / own["error"]))
    own["near_step"] = off <= math.log(STEP_FACTOR)
    own["near_error"] = wrong <= math.log(ERROR_FACTOR)
    own["both"] = own["near_step"] & own["near_error"]
    return own


def name_of(stencil: str, order: float) -> str:
    """The name under which a stencil is shown."""
    return {"complex": "complex step", "richardson": "Richardson"}.get(
        stencil, f"{stencil} {order:.0f}"
    )


def measured(rows: pd.DataFrame, stencil: str, order: int, dtype: str = "float64") -> pd.DataFrame:
    """The curves of a stencil that have a best step; without a prediction, it is not near."""
    own = labelled(rows)
    own = own[(own["at"] == dtype) & own["status"].isin(["ok", "not predicted"])]
    return own[(own["stencil"] == stencil) & (own["order"] == order)]


def inner(own: pd.DataFrame) -> pd.DataFrame:
    """Curves whose best step is inside the range of steps."""
    return own[own["at_end"].eq(False)]


def by_function(own: pd.DataFrame) -> pd.Series:
    """Whether the best step and its error are predicted for every component of a function."""
    return own.groupby("function", sort=False)["both"].all()


def complex_rows(rows: pd.DataFrame) -> pd.DataFrame:
    return measured(rows, "complex", 2)


def ratios_of_dtypes(rows: pd.DataFrame, stencil: str, order: int) -> pd.DataFrame:
    """By function: the exponent by which the best step grows with eps, float64 to float32."""
    keys = ["function", "point", "component"]
    pair = [inner(measured(rows, stencil, order, dtype)).set_index(keys)["step"] for dtype in EPS]
    both = pd.concat(pair, axis=1, keys=list(EPS)).dropna()
    growth = np.log(EPS["float32"] / EPS["float64"])
    both["exponent"] = np.log(both["float32"] / both["float64"]) / growth
    return both.groupby("function", sort=False).median()


# Tables -------------------------------------------------------------------------------------------


def tables(rows: pd.DataFrame) -> list[Table]:
    return [shares(rows), shapes(rows), missed(rows), left_out(rows)]


def shares(rows: pd.DataFrame) -> Table:
    own = labelled(rows)
    own = own[(own["status"] == "ok") & own["step_predicted"].notna()].copy()

    def row(part: pd.DataFrame) -> pd.Series:
        inside = inner(part)
        thumb = np.abs(np.log(inside["step_thumb"] / inside["step"])) <= math.log(STEP_FACTOR)
        return pd.Series(
            {
                "curves": len(part),
                "step": percent(part["near_step"]),
                "error": percent(part["near_error"]),
                "both": percent(part["both"]),
                "inside": len(inside),
                "both ": percent(inside["both"]),
                "rule's step": percent(thumb),
                "loss": inside["loss"].median(),
                "its loss": inside["loss_thumb"].median(),
            }
        )

    other = " (" + own["at"].str.removeprefix("float64, ") + ")"
    own["curve"] = own["label"] + np.where(own["at"] == "float64", "", other)
    frame = own.groupby("curve", sort=False)[list(own)].apply(row)
    return Table(
        "Predicted and measured",
        f"The share of curves whose best step is predicted within a factor {STEP_FACTOR:.0f}, whose"
        f" least error within a factor {ERROR_FACTOR:.0f}, and both. Inside: curves whose best step"
        " is not at the end of the range, 0.1; the columns after it are theirs. The loss is the"
        " error at the predicted step over the least error (median); the rule of thumb is"
        " eps^(1/(p+1)) max(|x|, 1), and its loss stands last.",
        frame,
    )


def percent(flags: pd.Series) -> str:
    return f"{100 * flags.mean():.1f} %" if len(flags) else "-"


def shapes(rows: pd.DataFrame) -> Table:
    own = inner(labelled(rows))
    own = own[own["at"] == "float64"]
    frame = own.groupby("label", sort=False)[["left", "right"]].median()
    frame["best step"] = own.groupby("label")["step"].median()
    frame["least error, relative"] = (
        (own["error"] / own["slope"].abs()).groupby(own["label"]).median()
    )
    every = labelled(rows)
    every = every[(every["at"] == "float64") & (every["status"] == "ok")]
    wide = every.groupby("label", sort=False)["decades"].median()
    frame = frame.reindex(wide.index)
    frame["decades within 10x"] = wide
    frame.loc[frame.index == "complex step", "best step"] = math.nan  # they are all alike
    exponents = {
        name_of(stencil, order): ratios_of_dtypes(rows, stencil, order)["exponent"].median()
        for stencil, order in (*CLAIMED, ("central", 4))
    }
    frame["step ~ eps^"] = pd.Series(exponents)
    return Table(
        "The shape of the curves",
        "Medians, float64. Left and right: the exponents of the error as a power of the step on"
        " either branch; decades: over how many decades of steps the error stays within ten times"
        " the least (of at most 13); the last column is measured between float64 and float32."
        " Curves with their best step inside the range, except for the decades.",
        frame,
    )


def missed(rows: pd.DataFrame) -> Table:
    own = labelled(rows)
    own = own[(own["status"] == "ok") & own["step_predicted"].notna() & ~own["both"]]
    own = own[own["kind"] == "ordinary"]
    own["where"] = own["function"] + " " + own["point"].astype(str) + ", " + own["component"]
    columns = {"where": "point", "dtype": "dtype", "label": "stencil", "step": "step",
               "step_predicted": "predicted", "error": "error",
               "error_predicted": "predicted ", "loss": "loss"}  # fmt: skip
    frame = own[list(columns)].rename(columns=columns)
    for column in ("step", "predicted", "error", "predicted "):
        frame[column] = [f"{value:.1e}" for value in frame[column]]
    return Table(
        "Missed",
        f"Every curve at an ordinary point whose step is off by more than a factor"
        f" {STEP_FACTOR:.0f}, or whose least error by more than a factor {ERROR_FACTOR:.0f}:"
        f" n = {len(frame)}.",
        frame.reset_index(drop=True),
    )


def left_out(rows: pd.DataFrame) -> Table:
    own = rows[(rows["part"] == "summary") & (rows["status"] != "ok")]
    why = own["reason"].fillna("") if "reason" in own else ""
    counts = (
        own.assign(why=own["status"] + ": " + why)
        .groupby("why", sort=False)
        .agg(curves=("function", "size"), functions=("function", few))
    )
    counts.index = pd.Index([name.removesuffix(": ") for name in counts.index], name="why")
    return Table(
        "Left out",
        "Curves without a best step or a prediction, hard points included. Stationary: the"
        " derivative is 0, and every stencil is left out at once. Exact: the error is 0 at all"
        " steps. Not finite: some or all quotients are no numbers. Not predicted: the point is at"
        " a kink of an operation, or a higher derivative is not finite in floats. Refused: the"
        " complex step only.",
        counts,
    )


def few(names: pd.Series) -> str:
    """The first names, and how many more there are."""
    every = list(names.unique())
    rest = f" and {len(every) - 6} more" if len(every) > 6 else ""
    return ", ".join(every[:6]) + rest


# Figures ------------------------------------------------------------------------------------------


def figures(rows: pd.DataFrame) -> list[Figure]:
    own = labelled(rows)
    compared = own[(own["status"] == "ok") & own["step_predicted"].notna()]
    compared = compared[(compared["at"] == "float64") & (compared["stencil"] != "backward")]
    return [
        Figure(
            "vee",
            "The derivative of the logistic map's fourth iterate at x = 0.2, 9.0660864, in closed"
            " form and as a loop: the measured error (markers; root mean square in bins of an"
            " eighth of a decade) and the predicted one (dashed: rounding, dotted: truncation),"
            " known before any quotient is computed. A star is the predicted best step. Below"
            " 1e-17 the step is lost in x, and what a quotient holds is 0, or the rounding of the"
            " stencil's weights over h. The complex step has no V; central 8 has no truncation"
            " error, because the function is a polynomial of degree 8.",
            "Error against step on logarithmic axes for five stencils, V-shaped except for the"
            " complex step",
            lambda canvas: draw_vee(canvas, rows),
            (11.0, 5.6),
        ),
        Figure(
            "functions",
            "Forward and central differences of other functions: measured (markers) and predicted"
            " (lines: rounding and truncation together).",
            "Small multiples of the error against the step for functions of the zoo",
            lambda canvas: draw_functions(canvas, rows),
            (11.0, 8.2),
        ),
        Figure(
            "predicted",
            f"Predicted against measured best step (left) and least error (right), for"
            f" {len(compared)} curves in float64. Between the dashed lines a prediction is within"
            f" a factor {STEP_FACTOR:.0f} ({ERROR_FACTOR:.0f} for errors). Steps at 0.1 are at the"
            " end of the range: there is no truncation error.",
            "Two scatter plots along the diagonal",
            lambda canvas: draw_predicted(canvas, compared),
            (11.0, 5.4),
        ),
        Figure(
            "loss",
            "What a step costs: the error at the predicted step, and at the rule of thumb's, over"
            " the least error; the share of curves (best step inside the range) that lose at most"
            " so much.",
            "Cumulative shares of the loss for the predicted step and the rule of thumb",
            lambda canvas: draw_loss(canvas, inner(compared)),
            (11.0, 3.9),
        ),
    ]


VEE = (("forward", 1), ("central", 2), ("central", 4), ("central", 8), ("complex", 2))


def draw_vee(canvas: Canvas, rows: pd.DataFrame) -> None:
    styles = looks([name_of(*pair) for pair in VEE])
    panels = canvas.subplots(1, 2, sharey=True)
    curves = rows[(rows["part"] == "curve") & (rows["dtype"] == "float64")]
    for panel, (function, title) in zip(
        panels, {CLOSED: "closed form", LOOP: "loop"}.items(), strict=True
    ):
        for stencil, order in VEE:
            own = curves[(curves["function"] == function) & (curves["stencil"] == stencil)]
            own = own[own["order"] == order].sort_values("step")
            if own.empty:
                continue
            name = name_of(stencil, order)
            look = styles[name]
            panel.plot(
                *(own["step"], own["error"].clip(lower=1e-17), look["marker"]),
                color=look["color"], label=name, markersize=4.5, alpha=0.45, markeredgewidth=0,
            )  # fmt: skip
            branches(panel, own)
            star(panel, rows, function, name, look["color"])
        panel.set(xscale="log", yscale="log", xlabel="step h", ylim=(1e-17, 1e3))
        panel.set_title(title)
        panel.xaxis.set_major_locator(LogLocator(numticks=12))
    panels[0].set_ylabel("error of the derivative (absolute)")
    handles, names = panels[0].get_legend_handles_labels()
    shown = dict(zip(names, handles, strict=True))
    order_ = sorted(shown, key=lambda name: name.startswith("predicted"))
    canvas.legend([shown[name] for name in order_], order_, loc="outside lower center", ncols=7,
                  markerscale=1.6, columnspacing=1.2, handletextpad=0.4)  # fmt: skip


def branches(panel: Axes, own: pd.DataFrame) -> None:
    """The predicted errors, where steps are not lost."""
    kept = own[own["step"] > 1e-16]
    panel.plot(kept["step"], kept["rounding"], "--", color="black", linewidth=0.9,
               label="predicted rounding")  # fmt: skip
    risen = kept[kept["truncation"] > 1e-17]
    panel.plot(risen["step"], risen["truncation"], ":", color="black", linewidth=1.4,
               label="predicted truncation")  # fmt: skip


def star(panel: Axes, rows: pd.DataFrame, function: str, name: str, colour: str) -> None:
    own = labelled(rows)
    own = own[(own["function"] == function) & (own["label"] == name)]
    own = own[(own["at"] == "float64") & own["step_predicted"].notna()].head(1)
    panel.plot(own["step_predicted"], own["error_predicted"], "*", color=colour, markersize=13,
               markeredgecolor="black", markeredgewidth=0.8, zorder=5)  # fmt: skip


MULTIPLES = (
    *("sine", "sqrt_difference", "planck", "fast_oscillation", "steep_front", "offset_square"),
    *("newton_sqrt", "baydin", "rosenbrock", "helmholtz", "gaussian_process", "perceptron"),
)


def draw_functions(canvas: Canvas, rows: pd.DataFrame) -> None:
    curves = rows[(rows["part"] == "curve") & (rows["dtype"] == "float64")]
    names = [name for name in MULTIPLES if (curves["function"] == name).any()]
    columns = 4
    panels = canvas.subplots(-(-len(names) // columns), columns, sharex=True, squeeze=False)
    styles = looks([name_of(*pair) for pair in CLAIMED])
    for panel, name in zip(panels.flat, names, strict=False):
        for stencil, order in CLAIMED:
            own = curves[(curves["function"] == name) & (curves["stencil"] == stencil)]
            own = own[own["order"] == order].sort_values("step")
            look = styles[name_of(stencil, order)]
            panel.plot(own["step"], own["error"], look["marker"], color=look["color"],
                       markersize=3, alpha=0.7, label=name_of(stencil, order))  # fmt: skip
            whole = np.hypot(own["truncation"], own["rounding"])
            panel.plot(
                own["step"],
                whole.where(whole < 30 * own["error"].max()),
                look["linestyle"],
                color=look["color"],
                linewidth=1.4,
            )
            star(panel, rows, name, name_of(stencil, order), look["color"])
        panel.set(xscale="log", yscale="log")
        panel.set_title(name, fontsize=10.5)
        panel.yaxis.set_major_locator(LogLocator(numticks=6))
        panel.yaxis.set_minor_formatter(NullFormatter())
        panel.tick_params(labelsize=9)
    for panel in panels.flat[len(names) :]:
        panel.set_visible(False)
    canvas.supxlabel("step h")
    canvas.supylabel("error of the derivative (absolute)")
    handles, labels = panels.flat[0].get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside upper center", ncols=2, markerscale=1.8)


def draw_predicted(canvas: Canvas, own: pd.DataFrame) -> None:
    styles = looks(list(own["label"].unique()))
    panels = canvas.subplots(1, 2)
    for panel, measured_, predicted_, factor, what in (
        (panels[0], own["step"], own["step_predicted"], STEP_FACTOR, "best step"),
        (panels[1], own["error"], own["error_predicted"], ERROR_FACTOR, "least error (absolute)"),
    ):
        ends = np.array([min(measured_.min(), predicted_.min()) / 3,
                         max(measured_.max(), predicted_.max()) * 3])  # fmt: skip
        panel.plot(ends, ends, "-", color="black", linewidth=1)
        for side in (factor, 1 / factor):
            panel.plot(ends, side * ends, "--", color="black", linewidth=0.9)
        for name, look in styles.items():
            part = own["label"] == name
            panel.plot(measured_[part], predicted_[part], look["marker"], color=look["color"],
                       markersize=4, fillstyle="none", label=name)  # fmt: skip
        panel.set(xscale="log", yscale="log", xlabel=f"measured {what}", xlim=ends, ylim=ends)
        panel.set_ylabel(f"predicted {what}")
        panel.set_aspect("equal")
    handles, names = panels[0].get_legend_handles_labels()
    canvas.legend(handles, names, loc="outside right upper")


def draw_loss(canvas: Canvas, own: pd.DataFrame) -> None:
    panels = canvas.subplots(1, 2, sharey=True)
    styles = looks(["predicted step", "rule of thumb"])
    for panel, (stencil, order) in zip(panels, CLAIMED, strict=True):
        part = own[(own["stencil"] == stencil) & (own["order"] == order)]
        for column, name in (("loss", "predicted step"), ("loss_thumb", "rule of thumb")):
            values = np.sort(part[column])
            share = 100 * np.arange(1, len(values) + 1) / max(len(values), 1)
            look = {key: styles[name][key] for key in ("color", "linestyle")}
            panel.step(values, share, where="post", label=name, **look)
        panel.set(xscale="log", xlabel="error over the least error", xlim=(0.9, 1e3))
        panel.set_title(f"{name_of(stencil, order)}, n = {len(part)}")
    panels[0].set_ylabel("share of curves (%)")
    panels[0].legend(loc="lower right")
