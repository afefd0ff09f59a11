"""The figures of the experiment `checkers`: rows in, drawings out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from _checkers_rows import (
    FOUND,
    MISSED,
    WITHIN,
    checkers,
    dtypes,
    mutants,
    outcome,
    rejected,
    right,
)
from apparatus.mutants import FAMILIES, FAMILY
from apparatus.peer_checkers import ACCEPTED, ERROR, OPAQUE, OWN, PEERS, REJECTED, UNDECIDED
from matplotlib.colors import Normalize
from matplotlib.figure import Figure as Canvas

from difflab.lab import Figure, looks, proportion_interval

SIZES = {
    "1e-9 to 1e-7": (0.0, 1e-7),
    "1e-7 to 1e-5": (1e-7, 1e-5),
    "1e-5 to 1e-3": (1e-5, 1e-3),
    "1e-3 to 0.1": (1e-3, 0.1),
    "0.1 to 1": (0.1, 0.99),
    "1 and more": (0.99, np.inf),
}
FEWEST = 10
"""A share of fewer mutants is not drawn."""
BARS: Mapping[str, dict[str, Any]] = {
    "right answer": {"color": "#0072B2"},
    "within its tolerance": {"color": "#F0E442", "hatch": ".."},
    "undecided": {"color": "#dddddd", "hatch": "//"},
    "error": {"color": "#ffffff", "hatch": "xx"},
    "wrong answer": {"color": "#D55E00"},
}
"""How answers are drawn, the right one first."""


def detection(rows: pd.DataFrame) -> pd.DataFrame:
    """The share of mutants that is rejected, by family of mistakes and checker, if not few."""
    own = mutants(rows)
    own = own.assign(family=own["error"].map(FAMILY), found=own["answer"] == REJECTED)
    cells = own.groupby(["family", "checker"])["found"]
    table = cells.mean().where(cells.size() >= FEWEST).unstack()
    return table.reindex(index=[f for f in FAMILIES if f in table.index], columns=checkers(rows))


def figures(rows: pd.DataFrame) -> list[Figure]:
    count = mutants(rows).drop_duplicates(["source", "function", "point", "gradient", "dtype"])
    return [
        Figure(
            "detection",
            f"The share of {len(count)} mutants that each checker rejects, in percent, by kind of"
            " mistake, above; below the line the share of right gradients that it rejects as well."
            " A checker that can be trusted has 100 above and 0 below; what is within the"
            " tolerance that it states is not found either.",
            "Heat map of detection rates by kind of mistake and checker, with false alarm rates",
            lambda canvas: draw_detection(canvas, rows),
            (5.4 + 3.6 * (len(dtypes(rows)) - 1), 5.4),
        ),
        Figure(
            "answers",
            "All answers: on the left to mutants, where acceptance is wrong, on the right to right"
            " gradients, where rejection is. Undecided is no answer, and no wrong one; within its"
            " tolerance is a mutant that is accepted, and smaller than what the checker states.",
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
            (panels[0], wrong_of(own), "mutants", (FOUND, WITHIN, UNDECIDED, ERROR, MISSED)),
            (
                panels[1],
                right_of(own),
                "right gradients",
                (ACCEPTED, "", UNDECIDED, ERROR, REJECTED),
            ),
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
    canvas.legend(handles, list(BARS), loc="outside lower center", ncols=5)


def wrong_of(rows: pd.DataFrame) -> pd.DataFrame:
    """Mutants with what becomes of them."""
    own = mutants(rows)
    return own.assign(answer=outcome(own))


def right_of(rows: pd.DataFrame) -> pd.DataFrame:
    """Right gradients, where an answer that there is no derivative is a rejection."""
    own = right(rows)
    return own.assign(answer=own["answer"].mask(rejected(own), REJECTED))


def draw_sizes(canvas: Canvas, rows: pd.DataFrame) -> None:
    own, styles = mutants(rows), looks([OWN, OPAQUE, *PEERS])
    styles["scipy.differentiate"] |= {"color": "#777777", "marker": "*"}  # the eighth of seven
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
