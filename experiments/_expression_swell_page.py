"""The page of the experiment `expression_swell`: its laws; rows in, tables and drawings out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from apparatus.swell_programs import FAMILIES
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from difflab.lab import Code, Figure, Section, Table, looks


@dataclass(frozen=True)
class Law:
    """A closed form for a count of the logistic map, from `first` on; the claim's id."""

    claim: str
    column: str
    short: str
    formula: str
    first: int
    value: Callable[[int], float]


LAWS = (
    Law("law_of_the_function", "sympy_function", "l_n", "5·2^(n−2) − 2", 2,
        lambda n: 5 * 2 ** (n - 2) - 2),
    Law("law_of_the_derivative", "sympy_derivative", "l_n'",
        "2^n (5n(n+1)/16 − 9/8)", 3, lambda n: 2**n * (5 * n * (n + 1) - 18) / 16),
    Law("law_of_sharing", "sympy_cse", "both, shared",
        "2n² − 4", 4, lambda n: 2 * n**2 - 4),
    Law("law_of_the_loop", "loop", "loop with tangent",
        "6(n − 1)", 1, lambda n: 6 * (n - 1)),
)  # fmt: skip


def counted(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["part"] == "counts"]


def largest(own: pd.DataFrame) -> pd.DataFrame:
    """Each family's largest program."""
    last = own.sort_values("size").drop_duplicates("family", keep="last").set_index("family")
    return last.reindex([name for name in FAMILIES if name in last.index]).reset_index()


def sections(rows: pd.DataFrame) -> list[Section]:
    own = rows[rows["size"].eq(rows["size"]) & rows["value_text"].notna()].sort_values("size")
    text = "\n\n".join(
        f"l_{n:.0f}  = {value}\nl_{n:.0f}' = {slope}"
        for n, value, slope in zip(own["size"], own["value_text"], own["derivative_text"],
                                   strict=True)
    )  # fmt: skip
    about = (
        "`l_1 = x`, `l_(n+1) = 4 l_n (1 - l_n)`, as SymPy writes it: the value doubles, because a"
        " step uses what it is given twice; in the derivative the product rule repeats the"
        " whole product for each of its n factors."
    )
    return [Section("What swells", [about, Code(text, "SymPy's unexpanded expressions.")])]


def tables(rows: pd.DataFrame) -> list[Table]:
    return [laws_table(rows), families_table(rows), budget_table(rows), time_table(rows)]


def laws_table(rows: pd.DataFrame) -> Table:
    own = counted(rows)
    own = own[own["family"] == "logistic map"].sort_values("size")
    frame = pd.DataFrame({"n": own["size"].astype(int)})
    for law in LAWS:
        frame[f"{law.short}: {law.formula}"] = [
            f"{count:,.0f}" + mark(law, n, count)
            for n, count in zip(own["size"], own[law.column], strict=True)
        ]
    steps = own[["loop", "reverse"]].diff().iloc[-1]
    names = {"shared": "no cse", "cse": "cse", "forward": "forward", "reverse": "reverse"}
    for column, name in names.items():
        frame[name] = own[column].astype(int)
    return Table(
        "The logistic map: counts and laws",
        f"Operations for n = 1 to {frame['n'].max()}; = marks a count that is equal to the law in"
        " its column's head, ≠ one that is not, and no mark a size below the law's range. The last"
        " four columns are our own methods, value and derivative together: symbolic without and"
        " with elimination (a graph holds each distinct subexpression once anyway), forward and"
        " reverse mode. Read off that shared"
        " expressions still grow faster and faster, while each step adds the same"
        f" {steps['loop']:.0f} operations to the loop and {steps['reverse']:.0f} to reverse mode,"
        " which takes the step apart.",
        frame.reset_index(drop=True),
    )


def mark(law: Law, n: int, count: float) -> str:
    if n < law.first:
        return ""
    return " =" if count == law.value(n) else " ≠"


def families_table(rows: pd.DataFrame) -> Table:
    own = largest(counted(rows))
    written = own["sympy_function"] + own["sympy_derivative"]
    frame = pd.DataFrame(
        {
            "family": own["family"],
            "size": list(map(sized, own["family"], own["size"])),
            "inputs": own["inputs"].astype(int),
            "program": own["function"].astype(int),
            "written out": [f"{count:,.0f}" for count in written],
            "shared (cse)": own["sympy_cse"].astype(int),
            "reverse mode": own["reverse"].astype(int),
            "written out / reverse": written / own["reverse"],
            "shared / reverse": own["sympy_cse"] / own["reverse"],
        }
    )
    return Table(
        "Every family at its largest size",
        f"n = {len(own)} families; operations of function and all derivatives together. Sharing"
        " removes nearly all of the swell, and leaves what the last column says.",
        frame.reset_index(drop=True),
    )


def unit(family: str) -> str:
    return FAMILIES[family].size


def sized(family: str, size: float) -> str:
    return f"{unit(family)}: {size:.0f}"


def budget_table(rows: pd.DataFrame) -> Table:
    own = rows[rows["part"] == "budget"]
    found = []
    for (family, budget), part in own.groupby(["family", "operations"], sort=False):
        within, over = part[part["status"] == "ok"], part[part["status"] == "stopped"]
        last = over if len(over) else within.tail(1)
        found.append(
            {
                "program": family,
                "budget, operations": f"{budget:,.0f}",
                "largest within": sized(family, within["size"].max()),
                "inputs": int(within["inputs"].max()),
                "stopped at": f"{over['size'].min():.0f}" if len(over) else "not stopped",
                "reverse mode": int(last["reverse"].iloc[0]),
                "what the error says": "".join(over["reached"]),
            }
        )
    return Table(
        "The size at which a budget stops it",
        "The budget is for one expression as a tree. Where the derivative doubles with every step,"
        " ten times the budget buys two or three steps more. Reverse mode: the operations of"
        " value and gradient at the size that was stopped.",
        pd.DataFrame(found),
    )


def time_table(rows: pd.DataFrame) -> Table:
    own = rows[rows["part"] == "time"]
    own = own[own["size"] == own.groupby("family")["size"].transform("max")]
    frame = pd.DataFrame(
        {
            "program": own["family"],
            "size": list(map(sized, own["family"], own["size"])),
            "method": own["method"],
            "derivation, ms": 1e3 * own["seconds"],
            "peak memory, kB": own["peak_bytes"] / 1e3,
        }
    )
    return Table(
        "What the derivation takes",
        f"Median of {own['rounds'].max():.0f} derivations from empty caches, program generation"
        " included, at the largest size; memory is the peak of what Python allocates meanwhile.",
        frame.reset_index(drop=True),
    )


# Figures ------------------------------------------------------------------------------------------


def figures(rows: pd.DataFrame) -> list[Figure]:
    own = counted(rows)
    logistic = own[own["family"] == "logistic map"].sort_values("size")
    time = rows[rows["part"] == "time"].sort_values("size")
    return [
        Figure(
            "laws",
            f"Operations of the logistic map's n-th iterate, n = 1 to {logistic['size'].max():.0f},"
            " and of its derivative: counts (markers) on the laws (dashed lines). Written out, the"
            " derivative more than doubles with each n; shared, it grows with n²; the loop that"
            " carries a tangent grows with n.",
            "Operation counts of the logistic map on a logarithmic axis, on four dashed curves",
            lambda canvas: draw_laws(canvas, logistic),
            (8.5, 4.8),
        ),
        Figure(
            "families",
            "The same for every family: the program itself, its derivatives written out, shared,"
            " and by reverse mode. Where a step uses its argument twice, the written-out"
            " derivative grows exponentially (upper row, linear size axes); a plain chain only"
            " swells as the square of its depth. Shared, it stays near reverse mode, and nearest"
            " for chains.",
            "Six panels of operation counts against size on logarithmic axes",
            lambda canvas: draw_families(canvas, own),
            (10.5, 6.2),
        ),
        Figure(
            "time",
            "Seconds and peak memory of the derivation itself (not of running its result) by each"
            f" method, median of {time['rounds'].max():.0f}. SymPy's derivation swells with the"
            " expression; forward and reverse mode follow the length of the program.",
            "Derivation time and peak memory against size for three methods, logarithmic axes",
            lambda canvas: draw_time(canvas, time),
            (9.5, 6.0),
        ),
    ]


def draw_laws(canvas: Canvas, own: pd.DataFrame) -> None:
    axes = canvas.subplots()
    styles = looks([law.short for law in LAWS])
    end = own["size"].max()
    for law in LAWS:
        look = styles[law.short]
        first = max(law.first, 2)  # a count of zero has no place on a logarithmic axis
        n = np.arange(first, end + 1)
        axes.plot(n, [law.value(k) for k in n], linestyle="--", color=look["color"], linewidth=1.3)
        points = own[own[law.column] > 0]
        axes.plot(points["size"], points[law.column], look["marker"], color=look["color"],
                  markersize=6.5)  # fmt: skip
        last = points[law.column].iloc[-1]
        axes.annotate(f"{law.short}: {law.formula}", (end, last), (9, 0),
                      textcoords="offset points", va="center", color=look["color"])  # fmt: skip
    axes.set(yscale="log", xlabel="n", ylabel="operations", xlim=(0.7, end * 1.45))
    axes.set_xticks(range(1, int(end) + 1))


SHOWN = {
    "function": "the program",
    "written_out": "function and derivatives, written out",
    "sympy_cse": "common subexpressions shared",
    "reverse": "reverse mode",
}


def draw_families(canvas: Canvas, own: pd.DataFrame) -> None:
    own = own.assign(written_out=own["sympy_function"] + own["sympy_derivative"])
    styles = looks(SHOWN.values())
    panels = canvas.subplots(2, 3).ravel()
    for panel, family in zip(panels, FAMILIES, strict=True):
        part = own[own["family"] == family].sort_values("size")
        for column, name in SHOWN.items():
            shown = part[part[column] > 0]
            panel.plot(shown["size"], shown[column], label=name, **styles[name])
        panel.set(title=family, xlabel=unit(family), yscale="log")
        size_axis(panel, part["size"], FAMILIES[family].log)
    for panel in panels[::3]:
        panel.set_ylabel("operations")
    handles, names = panels[0].get_legend_handles_labels()
    canvas.legend(handles, names, loc="outside lower center", ncols=2)


def size_axis(panel: Axes, sizes: pd.Series, log: bool) -> None:
    if not log:
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        return
    panel.set_xscale("log")
    ticks = sorted(set(sizes))
    panel.set_xticks(ticks, [f"{tick:.0f}" for tick in ticks])
    panel.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)


def draw_time(canvas: Canvas, time: pd.DataFrame) -> None:
    families = list(time["family"].unique())
    panels = canvas.subplots(2, len(families), squeeze=False, sharex="col", sharey="row")
    styles = looks(list(time["method"].unique()))
    for column, family in enumerate(families):
        part = time[time["family"] == family]
        for method, own in part.groupby("method", sort=False):
            panels[0, column].plot(
                own["size"], 1e3 * own["seconds"], label=method, **styles[method]
            )
            panels[1, column].plot(own["size"], own["peak_bytes"] / 1e3, **styles[method])
        panels[0, column].set(title=family, yscale="log")
        panels[1, column].set(xlabel=unit(family), yscale="log")
        size_axis(panels[1, column], part["size"], FAMILIES[family].log)
    panels[0, 0].set_ylabel("derivation (ms)")
    panels[1, 0].set_ylabel("peak memory (kB)")
    handles, names = panels[0, 0].get_legend_handles_labels()
    canvas.legend(handles, names, loc="outside lower center", ncols=3)
