"""The page of the experiment `checkers`: rows in, tables and drawings out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from _checkers_rows import (
    KINK,
    blurred,
    checkers,
    dtypes,
    hidden,
    missed,
    mutants,
    percent,
    rejected,
    right,
    smooth,
)
from _mutants import FAMILIES, FAMILY
from _peer_checkers import ACCEPTED, ERROR, OPAQUE, OWN, PEERS, REJECTED, UNDECIDED
from matplotlib.colors import Normalize
from matplotlib.figure import Figure as Canvas

from difflab.lab import Figure, Table, looks, proportion_interval

ANSWERS = (ACCEPTED, REJECTED, UNDECIDED, ERROR)
SIZES = {
    "1e-9 to 1e-7": (0.0, 1e-7),
    "1e-7 to 1e-5": (1e-7, 1e-5),
    "1e-5 to 1e-3": (1e-5, 1e-3),
    "1e-3 to 0.1": (1e-3, 0.1),
    "0.1 to 1": (0.1, 0.99),
    "1 and more": (0.99, np.inf),
}
LISTED = 60
FEWEST = 10
"""A share of fewer mutants is not drawn."""
BARS: Mapping[str, dict[str, Any]] = {
    "right answer": {"color": "#0072B2"},
    "undecided": {"color": "#dddddd", "hatch": "//"},
    "error": {"color": "#ffffff", "hatch": "xx"},
    "wrong answer": {"color": "#D55E00"},
}
"""How answers are drawn, the right one first."""


# Tables -------------------------------------------------------------------------------------------


def tables(rows: pd.DataFrame) -> list[Table]:
    found = [summary(rows[rows["dtype"] == dtype], dtype) for dtype in dtypes(rows)]
    found += [by_family(rows[rows["dtype"] == dtype], dtype) for dtype in dtypes(rows)]
    found.append(by_kind(rows[rows["dtype"] == "float64"]))
    return [*found, faults(rows), not_decided(rows), lost_digits(rows), elsewhere(rows),
            the_set(rows), effort(rows), rules(rows)]  # fmt: skip


def summary(rows: pd.DataFrame, dtype: str) -> Table:
    wrong, good = mutants(rows), right(rows)

    def row(name: str) -> dict[str, object]:
        bad, fine = wrong[wrong["checker"] == name], good[good["checker"] == name]
        both = pd.concat([bad, fine])
        return {
            "checker": name,
            "missed": f"{int(missed(bad).sum())} of {len(bad)}",
            "missed, %": percent(int(missed(bad).sum()), len(bad)),
            "false alarms": f"{int(rejected(fine).sum())} of {len(fine)}",
            "false alarms, %": percent(int(rejected(fine).sum()), len(fine)),
            "undecided": int((both["answer"] == UNDECIDED).sum()),
            "errors": int((both["answer"] == ERROR).sum()),
        }

    names = checkers(rows)
    least = "1e-9" if dtype == "float64" else "5e-7"
    values = "" if dtype == "float64" else (
        f" Of {hidden(rows).drop_duplicates(['function', 'point', 'gradient']).shape[0]} mutants"
        " the change is below 1e-5, which rounding hides: they are asked of difflab alone, which"
        " reads the formula."
    )  # fmt: skip
    return Table(
        f"Every checker, {dtype}",
        f"Mutants change a component by more than {least}, relative. Right gradients have all their"
        " digits (for difflab, which judges the formula, they need not). Shares are in percent"
        f" with 95 % intervals. An error is an answer by an exception.{values}",
        pd.DataFrame([row(name) for name in names]),
    )


def detection(rows: pd.DataFrame) -> pd.DataFrame:
    """The share of mutants that is rejected, by family of mistakes and checker, if not few."""
    own = mutants(rows)
    own = own.assign(family=own["error"].map(FAMILY), found=own["answer"] == REJECTED)
    cells = own.groupby(["family", "checker"])["found"]
    table = cells.mean().where(cells.size() >= FEWEST).unstack()
    return table.reindex(index=[f for f in FAMILIES if f in table.index], columns=checkers(rows))


def by_family(rows: pd.DataFrame, dtype: str) -> Table:
    own = mutants(rows)
    own = own.assign(family=own["error"].map(FAMILY))
    counts = own.assign(missed=missed(own)).groupby(["family", "checker"])["missed"].sum().unstack()
    asked = own.drop_duplicates(["function", "source", "point", "gradient"])
    order = [family for family in FAMILIES if family in counts.index]
    frame = counts.reindex(index=order, columns=checkers(rows))
    frame.insert(0, "mutants", asked["family"].value_counts().reindex(order))
    return Table(
        f"Missed by kind of mistake, {dtype}",
        "How many mutants each checker accepts. The last rows are right but for a relative error of"
        " that size, on one edge of the sweep or in one component.",
        frame.rename_axis("mistake").reset_index(),
    )


def by_kind(rows: pd.DataFrame) -> Table:
    parts = {"missed": (mutants(rows), ACCEPTED), "false alarms": (right(rows), REJECTED)}
    columns = {}
    for name, (asked, fault) in parts.items():
        groups = asked.assign(fault=asked["answer"] == fault).groupby(["checker", "kind"])["fault"]
        shares = [f"{n} of {size}" for n, size in zip(groups.sum(), groups.size(), strict=True)]
        columns[name] = pd.Series(shares, groups.sum().index, dtype=object)
    frame = pd.DataFrame(columns).unstack().reindex(checkers(rows)).sort_index(axis=1, level=1)
    frame = frame[list(frame.columns[::-1])]  # ordinary points first
    frame.columns = [f"{name}, {kind}" for name, kind in frame.columns]
    return Table(
        "By kind of point, float64",
        "Hard: digits are at risk, by cancellation, saturation or scale; edge: beside the border of"
        " the domain. A tool made for ordinary points should be judged by those.",
        frame.rename_axis("checker").reset_index(),
    )


def faults(rows: pd.DataFrame) -> Table:
    own = rows[rows["checker"].isin([OWN, OPAQUE])]
    wrong, good = mutants(own), right(own)
    listed = pd.concat([wrong[missed(wrong)], good[rejected(good)]])
    listed = pd.concat([listed, own[own["answer"] == ERROR]]).drop_duplicates()
    return Table(
        "Every miss, false alarm and exception of difflab",
        f"n = {len(listed)}: the mutants that it accepts, the right gradients that it rejects, and"
        " what it could not judge for an exception, by name.",
        named(listed),
    )


def not_decided(rows: pd.DataFrame) -> Table:
    own = rows[rows["checker"].isin([OWN, OPAQUE])]
    asked = pd.concat([mutants(own), right(own)])
    keys = ["checker", "dtype", "function", "point", "kind"]
    answers = asked.assign(undecided=asked["answer"] == UNDECIDED).groupby(keys, sort=False)
    counts = answers["undecided"].agg(["sum", "size"]).reset_index()
    counts = counts[counts["sum"] > 0].sort_values("sum", ascending=False).head(LISTED // 2)
    return Table(
        "Where difflab is undecided",
        f"By point, the most first, {LISTED // 2} at most: how many of the gradients there get no"
        " answer, because the function's own rounding, or a step of its values, hides the slope.",
        counts.rename(columns={"sum": "undecided", "size": "gradients"}),
    )


def named(listed: pd.DataFrame) -> pd.DataFrame:
    """Checks by name, with what was said."""
    columns = ["checker", "dtype", "function", "point", "kind", "gradient", "change", "answer",
               "words"]  # fmt: skip
    frame = listed.reindex(columns=columns).head(LISTED)
    return frame.assign(change=[f"{x:.2g}" for x in frame["change"]]).fillna({"words": ""})


def answered(own: pd.DataFrame, by: str) -> pd.DataFrame:
    """How often each answer was given, by checker and a column."""
    counts = own.groupby(["checker", by, "answer"], sort=False).size().unstack(fill_value=0)
    shown = [*ANSWERS, *([KINK] if KINK in counts else [])]
    return counts.reindex(columns=shown, fill_value=0).reset_index()


def lost_digits(rows: pd.DataFrame) -> Table:
    own = blurred(rows)
    what = own.drop_duplicates(["source", "function", "point", "gradient", "dtype"])
    return Table(
        "Right formulas that lose digits",
        f"{len(what)} right gradients whose values are off by more than 1e-12 (float32: 1e-5)"
        " relative: 1 - tanh² at 20, and the like. A checker of values may rightly reject the"
        " number; difflab, where it can trace, accepts the formula and says that it rounds badly.",
        answered(own, "dtype"),
    )


def elsewhere(rows: pd.DataFrame) -> Table:
    if "group" not in rows:
        return Table("Kinks, and where there is no number", "Nothing was judged.", rows.head(0))
    own = rows[rows["group"].notna() & (rows["group"] != "smooth")]
    bent = own["words"].astype(str).str.startswith(KINK)
    own = own.assign(answer=own["answer"].mask(bent, KINK))
    points = own.drop_duplicates(["source", "function", "point", "dtype"])["group"].value_counts()
    named_points = ", ".join(f"{n} x {group}" for group, n in points.items())
    return Table(
        "Kinks, and where there is no number",
        f"What is said of reverse mode's value at points without a derivative ({named_points})."
        " A kink has two slopes, and the value may be one of them or between: difflab answers that"
        " it is a kink. No number: the function or its derivative is not finite in floats. These"
        " points count nowhere else.",
        answered(own, "group"),
    )


def the_set(rows: pd.DataFrame) -> Table:
    own = smooth(rows)
    first = own[own["checker"] == own["checker"].iloc[0]] if len(own) else own
    points = first.drop_duplicates(["source", "function", "point", "dtype"])
    keys = ["dtype", "source"]
    frame = pd.DataFrame(
        {
            "functions": points.groupby(keys)["function"].nunique(),
            "points": points.groupby(keys).size(),
            "right gradients": first[first["error"].isna()].groupby(keys).size(),
            "mutants": first[first["error"].notna()].groupby(keys).size(),
            "equivalent, left out": points.groupby(keys)["equivalent"].sum(),
        }
    )
    return Table(
        "The set",
        "zoo: mistakes on an edge of the reverse sweep; hand: mistakes in a gradient written by"
        " hand. A mistake that changes nothing at the point, or not certainly, or gives no finite"
        " number, is left out, and counted.",
        frame.reset_index(),
    )


def effort(rows: pd.DataFrame) -> Table:
    own = smooth(rows)
    each = own.groupby("checker", sort=False)
    frame = pd.DataFrame(
        {
            "evaluations, median": each["evaluations"].median(),
            "seconds, median": each["seconds"].median(),
            "seconds, 95 %": each["seconds"].quantile(0.95),
        }
    ).reindex(checkers(rows))
    sized = rows[rows["size"].notna()] if "size" in rows else rows.head(0)
    for size, part in sized.groupby("size") if len(sized) else []:
        part = part.set_index("checker")
        frame[f"n = {size:.0f}: evaluations"] = part["evaluations"]
        frame[f"n = {size:.0f}: seconds"] = part["seconds"]
    return Table(
        "What a check costs",
        "Evaluations of the function and seconds of one check: over all checks of smooth points"
        " (run beside each other), and of Rosenbrock's function of n inputs (run alone). difflab"
        " evaluates a function that it can trace only to trace it.",
        frame.rename_axis("checker").reset_index(),
    )


def rules(rows: pd.DataFrame) -> Table:
    versions = rows.drop_duplicates("checker").set_index("checker")["version"]
    own = {
        OWN: ("difflab.check", "formula and rounding apart, by balls; no tolerance"),
        OPAQUE: ("difflab.check", "the same, of functions that cannot be traced: differences"),
    }
    known = own | {name: (peer.call, peer.rule) for name, peer in PEERS.items()}
    frame = pd.DataFrame(
        [
            {"checker": name, "version": versions.get(name, "missing"), "call": call, "rule": rule}
            for name, (call, rule) in known.items()
        ]
    )
    return Table(
        "The checkers",
        "What was called, with its default settings, and what it takes for right. Missing: not"
        " installed (`pip install difflab[peers]`), and so in no table.",
        frame,
    )


# Figures ------------------------------------------------------------------------------------------


def figures(rows: pd.DataFrame) -> list[Figure]:
    count = mutants(rows).drop_duplicates(["source", "function", "point", "gradient", "dtype"])
    return [
        Figure(
            "detection",
            f"The share of {len(count)} mutants that each checker rejects, in percent, by kind of"
            " mistake, above; below the line the share of right gradients that it rejects as well."
            " A checker that can be trusted has 100 above and 0 below.",
            "Heat map of detection rates by kind of mistake and checker, with false alarm rates",
            lambda canvas: draw_detection(canvas, rows),
            (5.4 + 3.6 * (len(dtypes(rows)) - 1), 5.4),
        ),
        Figure(
            "answers",
            "All answers: on the left to mutants, where acceptance is wrong, on the right to right"
            " gradients, where rejection is. Undecided is no answer, and no wrong one.",
            "Stacked bars of the answers of each checker to mutants and to right gradients",
            lambda canvas: draw_answers(canvas, rows),
            (9.0, 1.4 + 2.6 * len(dtypes(rows))),
        ),
        Figure(
            "sizes",
            "The share of mutants that each checker rejects, by the relative change of the"
            " component that changes most, float64, with 95 % intervals.",
            "Lines of detection rate over the size of the error for each checker",
            lambda canvas: draw_sizes(canvas, rows[rows["dtype"] == "float64"]),
            (8.0, 4.4),
        ),
    ]


def draw_detection(canvas: Canvas, rows: pd.DataFrame) -> None:
    kinds = dtypes(rows)
    panels = np.atleast_1d(canvas.subplots(1, len(kinds), sharey=True))
    for panel, dtype in zip(panels, kinds, strict=True):
        own = rows[rows["dtype"] == dtype]
        table = 100 * detection(own).reindex(list(FAMILIES))
        good = right(own)
        alarms = 100 * rejected(good).groupby(good["checker"]).mean().reindex(table.columns)
        cells = np.vstack([table.to_numpy(float), alarms.to_numpy(float)])
        shade = np.vstack([table.to_numpy(float), 100 - alarms.to_numpy(float)])
        image = panel.imshow(shade, aspect="auto", cmap="cividis", norm=Normalize(0, 100))
        for (i, j), value in np.ndenumerate(cells):
            if np.isfinite(value):
                colour = "black" if shade[i, j] > 55 else "white"
                panel.text(j, i, label(value), ha="center", va="center", color=colour, fontsize=9)
        panel.axhline(len(table) - 0.5, color="white", linewidth=4)
        panel.set_xticks(range(len(table.columns)), table.columns, rotation=50, ha="right")
        names = [*(named_family(f) for f in table.index), "right gradient"]
        panel.set_yticks(range(len(cells)), names)
        panel.set_title(dtype)
        panel.grid(visible=False)
        panel.tick_params(length=0)
    bar = canvas.colorbar(image, ax=list(panels), location="right", shrink=0.7, aspect=30)
    bar.set_label("answers that are right (%)")


def named_family(family: str) -> str:
    """A family of mistakes, in words."""
    return f"relative {family}" if family[0].isdigit() else family


def label(value: float) -> str:
    """A share in percent, where only all is 100 and only none is 0."""
    return f"{value:.0f}" if value in (0.0, 100.0) else f"{min(max(value, 0.1), 99.9):.3g}"


def draw_answers(canvas: Canvas, rows: pd.DataFrame) -> None:
    kinds = dtypes(rows)
    grid = canvas.subplots(len(kinds), 2, sharex=True, sharey=True, squeeze=False)
    for panels, dtype in zip(grid, kinds, strict=True):
        own = rows[rows["dtype"] == dtype]
        for panel, asked, what, order in (
            (panels[0], mutants(own), "mutants", (REJECTED, UNDECIDED, ERROR, ACCEPTED)),
            (panels[1], right(own), "right gradients", (ACCEPTED, UNDECIDED, ERROR, REJECTED)),
        ):
            counts = asked.groupby(["checker", "answer"]).size().unstack(fill_value=0)
            counts = counts.reindex(checkers(rows), columns=list(order), fill_value=0)
            percent_of = 100 * counts.div(counts.sum(axis=1), axis=0)
            left = np.zeros(len(counts))
            for answer, look in zip(order, BARS.values(), strict=True):
                panel.barh(counts.index, percent_of[answer], left=left, edgecolor="#555555",
                           linewidth=0.4, **look)  # fmt: skip
                left += percent_of[answer].to_numpy()
            panel.set_title(f"{what}, {dtype}")
            panel.set(xlim=(0, 100))
            panel.grid(visible=False)
    for panel in grid[-1]:
        panel.set_xlabel("share of answers (%)")
    grid[0, 0].invert_yaxis()
    handles = grid[0, 0].containers
    canvas.legend(handles, list(BARS), loc="outside lower center", ncols=4)


def draw_sizes(canvas: Canvas, rows: pd.DataFrame) -> None:
    own, styles = mutants(rows), looks([OWN, OPAQUE, *PEERS])
    axes = canvas.subplots()
    names = checkers(rows)
    for place, name in enumerate(names):
        mine = own[own["checker"] == name]
        parts = [
            mine[mine["change"].between(*bounds, inclusive="left")] for bounds in SIZES.values()
        ]
        kept = [(i, part) for i, part in enumerate(parts) if len(part)]
        spans = [proportion_interval(int((p["answer"] == REJECTED).sum()), len(p)) for _, p in kept]
        x = np.array([i for i, _ in kept]) + 0.06 * (place - (len(names) - 1) / 2)
        y = np.array([100 * v.estimate for v in spans])
        bars = [
            [100 * (v.estimate - v.low) for v in spans],
            [100 * (v.high - v.estimate) for v in spans],
        ]
        axes.errorbar(x, y, yerr=bars, label=name, capsize=2, elinewidth=1, **styles[name])
    axes.set_xticks(range(len(SIZES)), list(SIZES))
    axes.set(ylim=(-3, 103), xlabel="relative change of the worst component", ylabel="found (%)")
    canvas.legend(loc="outside lower center", ncols=4)
