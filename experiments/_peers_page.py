"""The page of the experiment `peers`: rows in, tables and drawings out.

What flows: the rows of a run -> its tables, of which `speed` is the README's too, and its figures.
``python _peers_page.py [FOLDER]`` prints the table of speed of a report as Markdown.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from apparatus.peers.contestants import (
    ABSENT,
    COMPILED,
    CONTESTANTS,
    JAX,
    NATIVE,
    NUMPY,
    TORCH,
    UNROLLED,
)
from apparatus.peers.workloads import MAKERS, TRAINING
from matplotlib.figure import Figure as Canvas

from difflab.lab import Figure, Interval, Table, looks
from difflab.lab.record import load_rows

KIN = {NUMPY: NATIVE, UNROLLED: JAX, COMPILED: TORCH}
"""They have the colour of another, and hollow markers."""


def styles() -> dict[str, dict[str, Any]]:
    """How each contestant is drawn."""
    found = looks(name for name in CONTESTANTS if name not in KIN)
    hollow = {"markerfacecolor": "none", "linestyle": ":"}
    return {name: {**found[KIN.get(name, name)], **(hollow if name in KIN else {})}
            for name in CONTESTANTS}  # fmt: skip


STYLES = styles()


def timed(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with a time beside the native engine, workload by workload, small ones first."""
    own = rows[rows["part"].isin(["time", "training"])]
    own = own[own["seconds"].notna() & (own["beside"] == NATIVE)]
    places = {name: place for place, name in enumerate((*MAKERS, TRAINING, *CONTESTANTS))}
    order = {column: own[column].map(places) for column in ("workload", "contestant")}
    size = own.get("size", np.nan)
    keys = pd.DataFrame({"first": order["workload"], "numbers": own["numbers"], "size": size,
                         "last": order["contestant"]})  # fmt: skip
    return own.assign(size=size).loc[keys.sort_values([*keys]).index]


def beside(rows: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """Of each workload, the row of the fastest of those contestants."""
    own = timed(rows)
    own = own[own["contestant"].isin([*names])]
    return own.loc[own.groupby("label", sort=False)["ratio"].idxmin()]


def intervals(own: pd.DataFrame) -> list[Interval]:
    """The ratio of each row, its interval widened by the noise of its workload."""
    return [
        Interval(row.ratio, row.ratio_low / (1 + row.noise), row.ratio_high * (1 + row.noise),
                 int(row.rounds))
        for row in own.itertuples()
    ]  # fmt: skip


def absent(rows: pd.DataFrame) -> str:
    """A sentence that names who is not installed."""
    own = rows[(rows["part"] == "contestants") & (rows["version"] == ABSENT)]
    return f" Not installed: {', '.join(own['contestant'])}." if len(own) else ""


def short(value: float) -> str:
    """Two digits below 100, and no exponent.

    >>> short(0.0123), short(2.349), short(1234.5)
    ('0.012', '2.3', '1,234')
    """
    return f"{value:,.0f}" if value >= 99.5 else f"{value:.2g}"


def power(size: float) -> str:
    """A size in few characters.

    >>> power(64.0), power(1000.0), power(1e6)
    ('64', '1e3', '1e6')
    """
    return f"{size:.0f}" if size < 1000 else f"{size:.0e}".replace("e+0", "e")


# Tables -------------------------------------------------------------------------------------------


def tables(rows: pd.DataFrame) -> list[Table]:
    return [speed(rows), first_calls(rows), growth(rows), memory(rows), contestants(rows)]


def wide(own: pd.DataFrame, cells: Iterable[str], index: list[str]) -> pd.DataFrame:
    """A row a workload, a column a contestant, in the order of the page."""
    frame = own.assign(cell=list(cells)).pivot(index=index, columns="contestant", values="cell")
    order = own[index].drop_duplicates().set_index(index).index
    return frame.reindex(order)[[name for name in CONTESTANTS if name in frame]].fillna("–")


def speed(rows: pd.DataFrame) -> Table:
    own = timed(rows)
    first = own[own["contestant"] == NATIVE].set_index("label")["seconds"]
    own = own.assign(alone=[short(1e6 * first[label]) for label in own["label"]])
    others = own[own["contestant"] != NATIVE]
    table = wide(others, map(short, others["ratio"]), ["label", "alone"]).reset_index()
    means = np.exp(np.log(others["ratio"]).groupby(others["contestant"]).mean())
    mean = {"label": "geometric mean", "alone": "–"}
    mean |= {who: short(ratio) for who, ratio in means.items()}
    table = pd.concat([table, pd.DataFrame([mean])], ignore_index=True)
    rounds = own["rounds"].max() if len(own) else 0
    noise = own.groupby("label")["noise"].max()
    return Table(
        "Time of value and gradient, relative to difflab's native engine",
        f"One call of the native engine in microseconds, then how many times as long others take:"
        f" medians of {rounds:.0f} per-round ratios; below 1 they are faster. Difflab against"
        f" itself strays by {100 * noise.median():.0f} % in the median of the workloads, and by at"
        f" most {100 * noise.max():.0f} %. A dash: no form of it, or another result;"
        f" the geometric mean is over the workloads that there are."
        f"{absent(rows)}",
        table.rename(columns={"label": "workload", "alone": f"{NATIVE}, µs"})
        .rename_axis(columns=None),
    )  # fmt: skip


def first_calls(rows: pd.DataFrame) -> Table:
    own = timed(rows)
    table = wide(own, map(short, 1e3 * own["first_call_seconds"]), ["label"])
    return Table(
        "First call, in milliseconds",
        "From the function to its first value and gradient, once: tracing, deriving and compiling,"
        " without imports and without the start of a library or a compiler of C.",
        table.reset_index(names="workload").rename_axis(columns=None),
    )


def growth(rows: pd.DataFrame) -> Table:
    own = timed(rows)
    found = []
    for (name, who), part in own[own["size"].notna()].groupby(["workload", "contestant"],
                                                              sort=False):  # fmt: skip
        for before, after in zip(part.iloc[:-1].itertuples(), part.iloc[1:].itertuples(),
                                 strict=True):  # fmt: skip
            exponent = np.log(after.seconds / before.seconds) / np.log(after.size / before.size)
            found.append((name, f"{before.size:,.0f} to {after.size:,.0f}", who, exponent))
    columns = ["workload", "from size to size", "contestant", "exponent"]
    frame = pd.DataFrame(found, columns=columns)
    own = frame.assign(label=frame["workload"])
    table = wide(own, map(short, own["exponent"]), columns[:2]).reset_index()
    return Table(
        "How the time grows with the size",
        "The exponent of the size between two neighbouring sizes: 0 where overhead hides the work,"
        " 1 where time is in proportion, 2 for the Helmholtz energy, whose matrix has n squared"
        " numbers, and for bodies, which have as many pairs.",
        table.rename_axis(columns=None),
    )


def memory(rows: pd.DataFrame) -> Table:
    own = rows[rows["part"] == "alone"]
    names = {
        "workload": "workload", "size": "size", "contestant": "contestant",
        "start_seconds": "import and start, s", "alone_seconds": "first call, s",
        "start_bytes": "memory of the start, MB", "peak_bytes": "of the calls, at most, MB",
        "argument_bytes": "the arguments, MB",
    }  # fmt: skip
    frame = pd.DataFrame({column: own.get(column, []) for column in names})
    for column in names:
        if column.endswith("_bytes"):
            frame[column] = frame[column] / 1e6
        if column.endswith(("_bytes", "_seconds")):
            frame[column] = [short(round(value, 3)) for value in frame[column]]
    return Table(
        "Each in a process of its own",
        "What a program pays that makes one gradient: imports, the first call, and by how much"
        " memory grows, at most, during the first five calls. Importing difflab and NumPy, which"
        " all of these processes do, is not counted.",
        frame.rename(columns=names).reset_index(drop=True),
    )


def contestants(rows: pd.DataFrame) -> Table:
    own = rows[rows["part"] == "contestants"]
    wrong = rows[rows["part"].isin(["time", "training"]) & rows["agrees"].eq(False)]
    words = ", ".join(f"{row.contestant} on {row.workload}" for row in wrong.itertuples())
    return Table(
        "Who takes part",
        f"Others than difflab come with `pip install difflab[peers]`. {absent(rows)}"
        f" Left out because of another result: {words or 'none'}.",
        own[["contestant", "version", "call"]].reset_index(drop=True),
    )


# Figures ------------------------------------------------------------------------------------------


def figures(rows: pd.DataFrame) -> list[Figure]:
    many = max(3, timed(rows)["label"].nunique())
    return [
        Figure(
            "ratios",
            "Time of value and gradient relative to difflab's native engine (the line at 1), with"
            " 95 % intervals. To the right of the line difflab is faster. The grey band is the"
            f" noise: difflab against itself.{absent(rows)}",
            "Dots of ratios by workload and contestant on a logarithmic axis",
            lambda canvas: draw_dots(canvas, timed(rows), "ratio", "time / native engine's"),
            (9.5, 1.6 + 0.32 * many),
        ),
        Figure(
            "growth",
            "Time of one call against the size (variables, substances, steps), with quartiles."
            " Lines start flat, where a call costs what it costs however small its arrays are.",
            "Panels of time against size on logarithmic axes, a line for each contestant",
            lambda canvas: draw_growth(canvas, timed(rows)),
            (10.5, 6.4),
        ),
        Figure(
            "first_calls",
            "The first call, with tracing and compiling, in milliseconds: what compilers ask in"
            " advance. Imports are not counted.",
            "Dots of first calls by workload and contestant on a logarithmic axis",
            lambda canvas: draw_dots(canvas, in_ms(rows), "ms", "first call (ms)"),
            (9.5, 1.6 + 0.32 * many),
        ),
        Figure(
            "memory",
            "By how many megabytes a process grows, at most, by the first five calls, each"
            " contestant in its own. Importing the library is not counted.",
            "Dots of peak memory by workload and contestant on a logarithmic axis",
            lambda canvas: draw_dots(canvas, grown(rows), "megabytes", "peak memory (MB)"),
            (9.5, 3.6),
        ),
    ]


def in_ms(rows: pd.DataFrame) -> pd.DataFrame:
    return timed(rows).assign(ms=lambda own: 1e3 * own["first_call_seconds"])


def grown(rows: pd.DataFrame) -> pd.DataFrame:
    """Peak memory in megabytes, of those who needed any."""
    own = rows[rows["part"] == "alone"]
    if own.empty:
        return own.assign(label="", megabytes=0.0)
    labels = [f"{row.workload}, {row.size:,.0f}" for row in own.itertuples()]
    return own.assign(label=labels, megabytes=(own["peak_bytes"] / 1e6).clip(lower=0.1))


def draw_dots(canvas: Canvas, own: pd.DataFrame, column: str, name: str) -> None:
    """A line of dots for each workload, a colour and marker for each contestant."""
    axes = canvas.subplots()
    places = {label: place for place, label in enumerate(dict.fromkeys(own["label"]))}
    present = [who for who in CONTESTANTS if (own["contestant"] == who).any()]
    shifts = dict(zip(present, np.linspace(-0.3, 0.3, max(len(present), 2)), strict=False))
    for who in present:
        part = own[own["contestant"] == who]
        if column == "ratio" and who == NATIVE:
            continue
        at = part["label"].map(places) + shifts[who]
        look = {**STYLES[who], "linestyle": "none"}
        if column == "ratio":
            spread = [part["ratio"] - part["ratio_low"], part["ratio_high"] - part["ratio"]]
            look["xerr"] = spread
        axes.errorbar(part[column], at, markersize=5, label=who, **look)
    if column == "ratio":
        axes.axvline(1.0, color="black", linewidth=1)
        for label, noise in own.groupby("label")["noise"].max().items():
            place = places[label]
            axes.fill_betweenx([place - 0.45, place + 0.45], 1 / (1 + noise), 1 + noise,
                               color="#bbbbbb", linewidth=0)  # fmt: skip
    axes.set_yticks(list(places.values()), list(places))
    axes.set(xlabel=name, ylim=(max(len(places), 1) - 0.4, -0.6))
    if len(own):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        canvas.legend(loc="outside lower center", ncols=4)


def draw_growth(canvas: Canvas, own: pd.DataFrame) -> None:
    sizes = own.groupby("workload", sort=False)["size"].nunique()
    growing = [name for name in sizes.index if sizes[name] > 1]
    rows = max(1, -(-len(growing) // 4))
    grid = canvas.subplots(rows, 4, squeeze=False, sharey=True)
    found: dict[str, Any] = {}
    for panel in grid.flat[len(growing) :]:
        panel.set_axis_off()
    for panel, name in zip(grid.flat, growing, strict=False):
        panel.set(title=name, xlabel="size", xscale="log", yscale="log")
        ticks = sorted(own.loc[own["workload"] == name, "size"].unique())
        panel.set_xticks(ticks, [power(tick) for tick in ticks])
        panel.tick_params(axis="x", which="minor", labelbottom=False)
        for who in CONTESTANTS:
            part = own[(own["workload"] == name) & (own["contestant"] == who)]
            if len(part):
                low, middle, high = (1e6 * part[f"{quartile}seconds"]
                                     for quartile in ("low_", "", "high_"))  # fmt: skip
                spread = [middle - low, high - middle]
                found[who] = panel.errorbar(part["size"], middle, yerr=spread, label=who,
                                            markersize=4, **STYLES[who])  # fmt: skip
    for panel in grid[:, 0]:
        panel.set_ylabel("time of one call (µs)")
    if found:
        canvas.legend(list(found.values()), list(found), loc="outside lower center", ncols=5)


# The README's table -------------------------------------------------------------------------------


def markdown(table: Table) -> str:
    """The frame of a table as Markdown, numbers to the right.

    >>> print(markdown(Table("", "", pd.DataFrame({"a": ["x"], "b": ["1"]}))))
    | a | b |
    |---|---:|
    | x | 1 |
    """
    columns = list(table.frame.columns)
    lines = ["|---|" + "---:|" * (len(columns) - 1)]
    body = table.frame.astype(str).to_numpy().tolist()
    text = [f"| {' | '.join(cells)} |" for cells in [columns, *body]]
    return "\n".join([text[0], *lines, *text[1:]])


def main(folder: Path) -> None:
    """Print the table of speed of a report."""
    print(markdown(speed(load_rows(folder))))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "reports/peers"))
