"""The page of the experiment `accuracy`: rows in, tables and drawings out."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.colors import Normalize
from matplotlib.figure import Figure as Canvas

from difflab.accuracy.compare import DIGITS
from difflab.lab import Figure, Table

ULPS = 4.0
"""What counts as rounding alone, in units in the last place."""
BEST = DIGITS[8]


def smooth(rows: pd.DataFrame, dtype: str = "float64") -> pd.DataFrame:
    """The rows at points where the derivative exists; a result that is no number has no digits."""
    kept = rows[(rows["dtype"] == dtype) & (rows["truth"] == "ok") & rows["limit"].eq(True)]
    kept = kept.assign(at=kept["function"] + " " + kept["point"].astype(int).astype(str))
    kept["where"] = np.where(kept["kind"] == "ordinary", "ordinary", "hard or at an edge")
    kept.loc[kept["outcome"] == "not finite", "digits"] = 0.0
    return kept


def graded(rows: pd.DataFrame) -> pd.DataFrame:
    """The partials as users run them, worst first."""
    kept = rows[rows["program"].isin(["arrays", "floats"])]
    worst = kept.sort_values("max_ulps", ascending=False)
    return worst.drop_duplicates(["graded", "partial"])


def methods(kept: pd.DataFrame) -> list[str]:
    """The methods, in the order in which they were measured."""
    return list(kept["method"].dropna().unique())


def wide(kept: pd.DataFrame, column: str) -> pd.DataFrame:
    """A column by point and method."""
    return kept.pivot(index="at", columns="method", values=column)


def tables(rows: pd.DataFrame) -> list[Table]:
    kept = smooth(rows)
    shown = [summary(kept, "float64")]
    if (rows["dtype"] == "float32").any():
        shown.append(summary(smooth(rows, "float32"), "float32"))
    return [*shown, lost(kept), kinks(rows), partials(rows)]


def summary(kept: pd.DataFrame, dtype: str) -> Table:
    def row(own: pd.DataFrame) -> pd.Series:
        answered = own[own["outcome"] == "number"]
        medians = answered.groupby("where")["digits"].median()
        return pd.Series(
            {
                "answers": f"{len(answered)} of {len(own)}",
                "not finite": int((own["outcome"] == "not finite").sum()),
                "refused": int((own["outcome"] == "refused").sum()),
                f"within {ULPS:.0f} ulps": int((own["ulps_max"] <= ULPS).sum()),
                "digits, ordinary": medians.get("ordinary", math.nan),
                "digits, hard": medians.get("hard or at an edge", math.nan),
            }
        )

    frame = kept.groupby("method", sort=False)[list(kept)].apply(row)
    return Table(
        f"Every method, {dtype}",
        f"{kept['at'].nunique()} points of {kept['function'].nunique()} functions where the"
        " derivative exists. Digits are medians of the correct decimal digits of the worst"
        f" component, of {DIGITS[np.dtype(dtype).itemsize]:.1f}.",
        frame,
    )


def lost(kept: pd.DataFrame) -> Table:
    own = kept[kept["method"] == "reverse"].set_index("at")
    own = own.assign(symbolic=wide(kept, "ulps_max")["symbolic"])
    own = own[~(own["ulps_max"] <= ULPS)].sort_values("ulps_max", ascending=False)
    columns = {"kind": "point", "value_ulps": "value, ulps", "ulps_max": "reverse mode, ulps",
               "symbolic": "symbolic, ulps", "note": "note"}  # fmt: skip
    frame = own[list(columns)].rename(columns=columns).fillna({"note": ""})
    return Table(
        f"Where reverse mode is off by more than {ULPS:.0f} ulps",
        f"n = {len(frame)} points, worst first; inf: the result is no number. Where the function's"
        " own value is wrong as well, its formula loses the digits; where it is not, the derivative"
        " has terms that cancel, mostly beside a zero of the derivative.",
        frame,
    )


def kinks(rows: pd.DataFrame) -> Table:
    own = rows[(rows["truth"] == "kink") & (rows["dtype"] == "float64")]
    own = own.assign(at=own["function"] + " " + own["point"].astype(int).astype(str))
    counts = own.groupby(["method", "outcome"], sort=False).size().unstack(fill_value=0)
    names = ", ".join(own["at"].unique())
    return Table(
        "At kinks",
        f"What each method says at {own['at'].nunique()} points where no derivative exists. A"
        " number is no warning; only the enclosure knows, and carries the one-sided derivatives."
        f" The points: {names}.",
        counts.reindex(columns=["number", "not finite", "refused"], fill_value=0),
    )


def partials(rows: pd.DataFrame) -> Table:
    own = graded(rows)
    columns = {"graded": "rule", "partial": "operand", "points": "points",
               "max_ulps": "worst, ulps", "worst_x": "at",
               "corner_ulps": "in its corner, ulps"}  # fmt: skip
    frame = own[list(columns)].head(25).rename(columns=columns)
    return Table(
        "The rules themselves",
        f"The 25 worst of {len(own)} partial derivatives, each at points over all exponents of its"
        " domain, as users run them. A rule is a few operations, so a few ulps are rounding. A"
        " corner is a region where a rule is known to have fewer digits; it is graded apart.",
        frame.reset_index(drop=True),
    )


# Figures ------------------------------------------------------------------------------------------

CLASSES = {
    "15 to 16": (15.0, 99.0),
    "12 to 15": (12.0, 15.0),
    "9 to 12": (9.0, 12.0),
    "6 to 9": (6.0, 9.0),
    "3 to 6": (3.0, 6.0),
    "0 to 3": (0.0, 3.0),
}
SHADES = ("#00224e", "#35456c", "#666970", "#948e77", "#c8b866", "#fee838")  # cividis
NO_NUMBER, REFUSED = "#D55E00", "#ffffff"


def shares(kept: pd.DataFrame) -> pd.DataFrame:
    """Points by method and class of correct digits."""
    numbers = kept["outcome"] == "number"
    classes = {
        name: numbers & kept["digits"].ge(low) & kept["digits"].lt(high)
        for name, (low, high) in CLASSES.items()
    }
    classes |= {
        "not finite": kept["outcome"] == "not finite",
        "refused": kept["outcome"] == "refused",
    }
    return pd.DataFrame(classes).groupby(kept["method"]).sum().reindex(methods(kept))


def figures(rows: pd.DataFrame) -> list[Figure]:
    kept, partial = smooth(rows), graded(rows)
    points = kept["at"].nunique()
    return [
        Figure(
            "digits",
            f"How many decimal digits of the derivative are correct, of {BEST:.1f}: the share of"
            f" {points} points (worst component), float64. Automatic, symbolic and complex-step"
            " derivatives keep all digits at most ordinary points; differences never do, unless"
            " the function is a polynomial of low degree.",
            "Stacked bars of the share of points by number of correct digits for each method",
            lambda canvas: draw_shares(canvas, kept),
            (9.0, 5.0),
        ),
        Figure(
            "errors",
            "Truncation and rounding apart, at ordinary points: the median error with its"
            " quartiles of each method's formula evaluated exactly (diamonds), and of the method"
            " as it is computed (circles). What the circle adds to the diamond is rounding."
            " Richardson extrapolation, which chooses by errors, and the complex step have no such"
            " formula.",
            "Truncation error and whole error of each method in ulps on a logarithmic axis",
            lambda canvas: draw_errors(canvas, kept),
            (8.0, 4.6),
        ),
        Figure(
            "functions",
            "Correct digits at the worst point where the derivative exists, for each function of"
            " the zoo. White: no method's answer (refused). A row that is light from end to end is"
            " a formula that loses the digits, whatever the method.",
            "Heat map of correct digits by function and method",
            lambda canvas: draw_functions(canvas, kept),
            (10.5, 12.5),
        ),
        Figure(
            "rules",
            f"The worst error of each of {len(partial)} partial derivatives over all exponents of"
            f" its domain, on a logarithmic axis; the dotted line is at {ULPS:.0f} ulps. Errors"
            " below 0.1 ulps are drawn at 0.1; an arrow stands for a result that is no number.",
            "Dots of the largest error in ulps of every rule",
            lambda canvas: draw_rules(canvas, partial),
            (9.0, 6.5),
        ),
    ]


def draw_shares(canvas: Canvas, kept: pd.DataFrame) -> None:
    colours = [*SHADES, NO_NUMBER, REFUSED]
    axes = canvas.subplots(1, 2, sharey=True)
    for panel, (where, own) in zip(axes, kept.groupby("where", sort=False), strict=True):
        table = shares(own)
        percent = 100 * table.div(table.sum(axis=1), axis=0)
        left = np.zeros(len(table))
        for name, colour in zip(percent, colours, strict=True):
            hatch = {"not finite": "xx", "refused": "//"}.get(name)
            panel.barh(table.index, percent[name], left=left, color=colour, hatch=hatch,
                       edgecolor="#555555", linewidth=0.4, label=name)  # fmt: skip
            left += percent[name].to_numpy()
        panel.set(xlim=(0, 100), xlabel="share of points (%)")
        panel.set_title(f"{where}, n = {own['at'].nunique()}")
        panel.grid(visible=False)
    axes[0].invert_yaxis()
    handles, names = axes[0].get_legend_handles_labels()
    canvas.legend(handles, names, title="correct digits", loc="outside lower center", ncols=4)


def draw_errors(canvas: Canvas, kept: pd.DataFrame) -> None:
    own = kept[(kept["kind"] == "ordinary") & (kept["outcome"] == "number")]
    axes = canvas.subplots()
    floor = 0.1
    for column, shape, colour, label, shift in (
        ("truncation_ulps", "D", "#0072B2", "formula, evaluated exactly: truncation", -0.16),
        ("ulps_max", "o", "#D55E00", "as computed: truncation and rounding", 0.16),
    ):
        quartiles = own.groupby("method")[column].quantile([0.25, 0.5, 0.75]).unstack()
        quartiles = quartiles.reindex(methods(own)).clip(lower=floor)
        places = np.arange(len(quartiles)) + shift
        spread = np.abs(quartiles[[0.25, 0.75]].to_numpy().T - quartiles[0.5].to_numpy())
        axes.errorbar(quartiles[0.5], places, xerr=spread, fmt=shape, color=colour, label=label,
                      capsize=2.5, linewidth=1.2)  # fmt: skip
    axes.set_yticks(range(len(quartiles)), quartiles.index)
    axes.invert_yaxis()
    axes.set(xscale="log", xlabel="error of the worst component (ulps; below 0.1 drawn at 0.1)")
    axes.axvline(0.5, color="black", linestyle=":", linewidth=1, label="half an ulp")
    axes.grid(axis="y", visible=False)
    canvas.legend(loc="outside upper center", ncols=3)


def draw_functions(canvas: Canvas, kept: pd.DataFrame) -> None:
    worst = kept.groupby(["function", "method"])["digits"].min().unstack()
    worst = worst.reindex(index=kept["function"].unique(), columns=methods(kept))
    half = -(-len(worst) // 2)
    axes = canvas.subplots(1, 2)
    for panel, part in zip(axes, (worst.iloc[:half], worst.iloc[half:]), strict=True):
        image = panel.imshow(part, aspect="auto", cmap="cividis_r", norm=Normalize(0, BEST))
        panel.set_xticks(range(part.shape[1]), part.columns, rotation=60, ha="right", fontsize=9)
        panel.set_yticks(range(len(part)), part.index, fontsize=8.5)
        panel.set_xticks(np.arange(part.shape[1]) - 0.5, minor=True)
        panel.set_yticks(np.arange(len(part)) - 0.5, minor=True)
        panel.grid(visible=False)
        panel.grid(which="minor", color="white", linewidth=0.8)
        panel.tick_params(which="both", length=0)
    canvas.colorbar(image, ax=axes, location="top", label="correct digits", shrink=0.5, aspect=40)


def draw_rules(canvas: Canvas, partial: pd.DataFrame) -> None:
    names = partial["graded"] + partial["partial"].map(lambda k: "" if k == 0 else f" [{k:.0f}]")
    ordered = partial.assign(name=names).sort_values("max_ulps", ascending=False)
    half = -(-len(ordered) // 2)
    axes = canvas.subplots(1, 2, sharex=True)
    for panel, part in zip(axes, (ordered.iloc[:half], ordered.iloc[half:]), strict=True):
        panel.plot(part["max_ulps"].clip(lower=0.1), part["name"], "o", color="#0072B2")
        none = part[np.isinf(part["max_ulps"])]
        panel.plot(np.full(len(none), 30.0), none["name"], ">", color=NO_NUMBER)
        panel.axvline(ULPS, color="black", linestyle=":", linewidth=1)
        panel.set(xscale="log", xlim=(0.08, 40), xlabel="worst error (ulps)")
        panel.tick_params(axis="y", labelsize=8)
        panel.margins(y=0.02)
        panel.invert_yaxis()
