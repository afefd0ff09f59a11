"""The page of the experiment `cost`: rows in, tables and drawings out."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from apparatus.growth import fitted_exponent
from matplotlib.figure import Figure as Canvas

from difflab.lab import Figure, Interval, Table, looks

BOUND = 5.0
"""The cheap-gradient bound, in operations of value and gradient relative to the function's."""
ASYMPTOTIC = 50
"""Exponents are fitted from so many inputs on."""
FUNCTIONS = ("Helmholtz", "Rosenbrock", "network")
METHODS = ("reverse", "forward", "forward_difference", "central_difference", "complex_step",
           "symbolic")  # fmt: skip
PHASES = ("trace", "derive", "simplify", "compile")


def counted(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["part"] == "counts"].sort_values("inputs")


def timed_methods(rows: pd.DataFrame) -> pd.DataFrame:
    """The timed rows of the methods, without the function's own and without alias."""
    own = rows[(rows["part"] == "time") & rows["method"].isin(METHODS)]
    own = own[own["seconds"].notna()]
    places = {name: place for place, name in enumerate((*FUNCTIONS, *METHODS))}
    order = own[["function", "inputs", "method"]].replace(places)
    return own.loc[order.sort_values(["function", "inputs", "method"]).index]


def growth(rows: pd.DataFrame) -> dict[tuple[str, str], Interval]:
    """By function and method, the exponent of the number of inputs in the relative cost."""
    own = counted(rows)
    own = own[own["inputs"] >= ASYMPTOTIC]
    return {
        (function, method): fitted_exponent(part["inputs"], part["relative"])
        for method in METHODS
        for function, part in own[own["method"] == method].groupby("function")
        if len(part) >= 3
    }


def rounded(exponent: float) -> str:
    """Three decimals, and no minus before zero."""
    return f"{round(exponent, 3) + 0.0:.3f}"


def over_bound(rows: pd.DataFrame) -> pd.DataFrame:
    """The functions of the zoo whose gradient costs more than the bound, worst first."""
    own = rows[(rows["part"] == "zoo") & (rows["relative"] > BOUND)]
    return own.sort_values("relative", ascending=False)


def crossings(rows: pd.DataFrame) -> list[float]:
    """For each product of inputs and outputs, their quotient at which both modes cost the same."""
    found = []
    for _, part in rows[rows["part"] == "shapes"].groupby("product"):
        part = part.sort_values("inputs")
        quotient = np.log(part["inputs"] / part["outputs"])
        found.append(float(np.exp(np.interp(0.0, np.log(part["forward"] / part["reverse"]),
                                            quotient))))  # fmt: skip
    return found


def ratio_interval(row: pd.Series) -> Interval:
    """A row's ratio of times."""
    return Interval(row["ratio"], row["ratio_low"], row["ratio_high"], int(row["rounds"]))


# Tables -------------------------------------------------------------------------------------------


def tables(rows: pd.DataFrame) -> list[Table]:
    return [exponents(rows), time_table(rows), phase_table(rows), pays_off(rows), zoo_table(rows)]


def exponents(rows: pd.DataFrame) -> Table:
    own = counted(rows)
    found = []
    for (function, method), fit in growth(rows).items():
        part = own[(own["function"] == function) & (own["method"] == method)]
        last = part.iloc[-1]
        found.append(
            {
                "function": function,
                "method": method,
                "exponent": "{} [{}, {}]".format(*map(rounded, fit[:3])),
                "n": fit.n,
                "largest, inputs": f"{last['inputs']:,.0f}",
                "evaluations there": f"{last['evaluations']:,.0f}",
                "operations there, times the function's": last["relative"],
            }
        )
    return Table(
        "How the cost of a gradient grows with the number of inputs",
        f"Exponent of the operations relative to the function, fitted from {ASYMPTOTIC} inputs on"
        " (n sizes, 95 % interval); 1 is in proportion to the inputs, 0 independent of them. The"
        " operations of a difference include making the points, which an evaluation does not."
        f"{both_ends(own)}",
        pd.DataFrame(found),
    )


def both_ends(own: pd.DataFrame) -> str:
    """Where forward differences are no cheaper than central ones, a sentence that says why."""
    wide = own.pivot_table(index=["function", "size"], columns="method", values="evaluations")
    if not wide["forward_difference"].equals(wide["central_difference"]):
        return ""
    return (
        " Forward differences evaluate both ends of every step, 2n points and not n + 1, and so"
        " cost what central ones do."
    )


def time_table(rows: pd.DataFrame) -> Table:
    own = timed_methods(rows)
    noise = own.groupby("function")["noise"].max()
    frame = pd.DataFrame(
        {
            "function": own["function"],
            "inputs": [f"{n:,.0f}" for n in own["inputs"]],
            "method": own["method"],
            "operations": [f"{x:.3g}" for x in own["relative"]],
            "time": [f"{ratio_interval(row)}" for _, row in own.iterrows()],
        }
    )
    wide = frame.pivot(index=["function", "inputs"], columns="method", values="time")
    ordered = frame[["function", "inputs"]].drop_duplicates()
    wide = wide.reindex(pd.MultiIndex.from_frame(ordered))[
        [name for name in METHODS if name in wide]
    ]
    plain = rows[(rows["part"] == "time") & (rows["method"] == "plain NumPy")]["ratio"]
    floor = ", ".join(f"{name} {100 * x:.0f} %" for name, x in noise.items())
    return Table(
        "Time of value and gradient, relative to the function",
        f"Medians of {own['rounds'].max():.0f} per-round ratios to the compiled function, with 95 %"
        f" intervals. The noise floor, from the function against itself: up to {floor}. The plain"
        f" NumPy function takes {plain.median():.2f} times the compiled one (median).",
        wide.fillna("–").reset_index().rename_axis(columns=None),
    )


def phase_table(rows: pd.DataFrame) -> Table:
    own = most_methods(rows)
    frame = pd.DataFrame(
        {
            "function": own["function"],
            "inputs": own["inputs"].astype(int),
            "method": own["method"],
            **{f"{phase}, ms": 1e3 * own[f"{phase}_seconds"] for phase in PHASES},
            "first call, ms": 1e3 * own["first_seconds"],
            "steady call, ms": 1e3 * own["seconds"],
        }
    )
    return Table(
        "Every phase apart",
        "At the largest size that was timed by every method. Simplify includes SymPy's elimination"
        " of common subexpressions and the way back; the first call is of the compiled program.",
        frame.reset_index(drop=True),
    )


def most_methods(rows: pd.DataFrame) -> pd.DataFrame:
    """Of each function, the rows of the largest size at which every method was timed."""
    own = timed_methods(rows)
    keys = ["function", "size"]
    own = own.assign(many=own.groupby(keys)["method"].transform("size"))
    own = own[own["many"] == own.groupby("function")["many"].transform("max")]
    return own[own["size"] == own.groupby("function")["size"].transform("max")]


def setup(row: pd.Series) -> float:
    """Seconds before the first call, but for the trace, which all methods need."""
    return float(sum(row[f"{phase}_seconds"] for phase in PHASES if phase != "trace"))


def pays_off(rows: pd.DataFrame) -> Table:
    found = []
    for (function, _), part in timed_methods(rows).groupby(["function", "size"], sort=False):
        by = part.set_index("method")
        if not {"reverse", "symbolic"} <= set(by.index):
            continue
        for method in ("symbolic", "forward", "central_difference", "complex_step"):
            if method in by.index:
                own, other = by.loc[method], by.loc["reverse"]
                found.append(
                    {
                        "function": function,
                        "inputs": f"{own['inputs']:,.0f}",
                        "method": method,
                        "to derive and compile, times reverse mode's": setup(own) / setup(other),
                        "steady call, times reverse mode's": own["seconds"] / other["seconds"],
                        "better than reverse mode": when_better(own, other),
                    }
                )
    return Table(
        "After how many calls another method pays off",
        "Reverse mode against other methods, at the sizes at which SymPy was tried: the number of"
        " calls at which total times are equal, counting derivation and compilation. Steady calls"
        " that differ by no more than the noise count as equal. At larger sizes the others' steady"
        " calls only become slower beside reverse mode's.",
        pd.DataFrame(found),
    )


def when_better(own: pd.Series, other: pd.Series) -> str:
    """In words: from which call, or up to which, one method's total time is less than another's."""
    calls = break_even(setup(own), own["seconds"], setup(other), other["seconds"], own["noise"])
    if calls == 0:
        return "from the first call"
    if calls == math.inf:
        return "never"
    return f"after {calls:,.0f} calls" if calls > 0 else f"up to {-calls:,.0f} calls"


def break_even(
    setup: float, run: float, other_setup: float, other_run: float, noise: float
) -> float:
    """The number of calls after which a method's total is less than another's: 0 for always,
    infinite for never, and negative where it is less only up to so many calls.

    >>> break_even(10.0, 1.0, 4.0, 3.0, 0.1), break_even(4.0, 3.0, 10.0, 1.0, 0.1)
    (3.0, -3.0)
    >>> break_even(4.0, 1.0, 10.0, 1.01, 0.1), break_even(10.0, 1.0, 4.0, 1.0, 0.1)
    (0.0, inf)
    """
    if abs(run / other_run - 1) <= noise:
        return 0.0 if setup < other_setup else math.inf
    calls = (setup - other_setup) / (other_run - run)
    if run < other_run:
        return float(max(0, math.ceil(calls)))
    return float(-math.floor(calls)) if calls >= 1 else math.inf


def zoo_table(rows: pd.DataFrame) -> Table:
    own = over_bound(rows)
    frame = own[["function", "summary", "function_operations", "operations", "relative"]]
    count = int((rows["part"] == "zoo").sum())
    return Table(
        f"Functions of the zoo whose gradient costs more than {BOUND:.0f} times the function",
        f"{len(own)} of {count} functions with one output, worst first; operations of function, and"
        " of value and gradient. They are little more than one primitive, whose partial"
        " derivative, written so that it keeps its digits, has more operations than itself.",
        frame.rename(columns={"function_operations": "its operations", "relative": "times"})
        .reset_index(drop=True),
    )  # fmt: skip


# Figures ------------------------------------------------------------------------------------------


def figures(rows: pd.DataFrame) -> list[Figure]:
    return [
        Figure(
            "growth",
            "Cost of value and gradient relative to the function, against the number of inputs:"
            " operations above, times below (with 95 % intervals). In operations reverse mode stays"
            f" under the bound of {BOUND:.0f} (dotted), and every method that visits each input"
            " apart grows with slope 1 (dashed grey). In time the curves start flat: up to some"
            " tens of inputs the overhead of a NumPy call hides the work.",
            "Six panels: relative operations and times against inputs on logarithmic axes",
            lambda canvas: draw_growth(canvas, rows),
            (10.5, 7.2),
        ),
        Figure(
            "shapes",
            "Operations of a Jacobian by forward mode relative to reverse mode, for n inputs and m"
            " outputs of a network, n times m fixed along a line. Below 1 forward mode is cheaper:"
            " lines cross near n = m. Squares: the same in time, for the largest product.",
            "Lines rising through one where inputs equal outputs, on logarithmic axes",
            lambda canvas: draw_shapes(canvas, rows),
            (7.5, 4.6),
        ),
        Figure(
            "phases",
            "Where the time goes, at the largest size timed by every method: each phase of each"
            f" method. {slower_to_derive(rows)}",
            "Dots of the time of every phase for each method on logarithmic axes",
            lambda canvas: draw_phases(canvas, rows),
            (10.5, 4.6),
        ),
        Figure(
            "zoo",
            "Operations of value and gradient relative to the function, for every function of the"
            f" zoo with one output, by reverse mode. Above the dotted line at {BOUND:.0f} are only"
            " functions of a few operations, whose names are in the table.",
            "Scatter of relative cost against the operations of the function, logarithmic axes",
            lambda canvas: draw_zoo(canvas, rows),
            (7.0, 4.2),
        ),
    ]


def slower_to_derive(rows: pd.DataFrame) -> str:
    """In words, how much longer SymPy's derivation is than reverse mode's."""
    own = most_methods(rows).set_index(["function", "method"])
    derived = (own["derive_seconds"] + own["simplify_seconds"]).unstack()
    if not {"symbolic", "reverse"} <= set(derived):
        return ""
    ratio = (derived["symbolic"] / derived["reverse"]).dropna()
    return (
        f"SymPy takes {ratio.min():,.0f} to {ratio.max():,.0f} times as long to derive as reverse"
        " mode; once compiled, its programs are run by the same engine."
    )


def draw_growth(canvas: Canvas, rows: pd.DataFrame) -> None:
    own, timed = counted(rows), timed_methods(rows)
    styles = looks(METHODS)
    panels = canvas.subplots(2, len(FUNCTIONS), sharex="col", sharey=True)
    for column, function in enumerate(FUNCTIONS):
        for method in METHODS:
            part = own[(own["function"] == function) & (own["method"] == method)]
            above, below = panels[0, column], panels[1, column]
            above.plot(part["inputs"], part["relative"], label=method, **styles[method])
            part = timed[(timed["function"] == function) & (timed["method"] == method)]
            spread = [part["ratio"] - part["ratio_low"], part["ratio_high"] - part["ratio"]]
            below.errorbar(part["inputs"], part["ratio"], yerr=spread, capsize=2, **styles[method])
        panels[0, column].set(title=function, xscale="log", yscale="log")
        panels[1, column].set(xlabel="inputs")
        for panel in panels[:, column]:
            panel.axhline(BOUND, color="black", linestyle=":", linewidth=1)
            n = np.array([ASYMPTOTIC, 1000])
            panel.plot(n, 3.0 * n, color="#888888", linestyle="--", linewidth=1)
    panels[0, 0].set_ylabel("operations / function's")
    panels[1, 0].set_ylabel("time / function's")
    handles, names = panels[0, 0].get_legend_handles_labels()
    canvas.legend(handles, names, loc="outside lower center", ncols=3)


def draw_shapes(canvas: Canvas, rows: pd.DataFrame) -> None:
    own = rows[rows["part"] == "shapes"]
    axes = canvas.subplots()
    products = sorted(own["product"].unique())
    for shade, product in zip(np.linspace(0.75, 0.0, len(products)), products, strict=True):
        part = own[own["product"] == product].sort_values("inputs")
        colour = tuple(np.array([0.0, 0.45, 0.7]) * (1 - shade) + shade)
        axes.plot(part["inputs"] / part["outputs"], part["forward"] / part["reverse"], "-",
                  marker="o", markersize=3.5, color=colour, label=f"{product:.0f}")  # fmt: skip
    timed = rows[rows["part"] == "shapes time"].sort_values("inputs")
    spread = [timed["ratio"] - timed["ratio_low"], timed["ratio_high"] - timed["ratio"]]
    axes.errorbar(timed["inputs"] / timed["outputs"], timed["ratio"], yerr=spread, fmt="s--",
                  color="#D55E00", capsize=2, linewidth=1.2,
                  label=f"time, {timed['product'].max():.0f}")  # fmt: skip
    axes.axhline(1, color="black", linewidth=0.8)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set(xscale="log", yscale="log", xlabel="inputs / outputs",
             ylabel="forward mode / reverse mode")  # fmt: skip
    canvas.legend(title="n times m", loc="outside right upper")


def draw_phases(canvas: Canvas, rows: pd.DataFrame) -> None:
    own = most_methods(rows)
    columns = {f"{phase}_seconds": phase for phase in PHASES}
    columns |= {"first_seconds": "first call", "seconds": "steady call"}
    styles = looks(columns.values())
    functions = list(own["function"].unique())
    panels = canvas.subplots(1, len(functions), squeeze=False, sharex=True, sharey=True)[0]
    for panel, function in zip(panels, functions, strict=True):
        part = own[own["function"] == function].set_index("method")
        part = part.reindex([name for name in METHODS if name in part.index])
        for column, name in columns.items():
            ms = 1e3 * part[column].where(part[column] > 0)
            panel.plot(ms, part.index, styles[name]["marker"], color=styles[name]["color"],
                       label=name, fillstyle="none", markersize=7)  # fmt: skip
        panel.set(title=f"{function}, {part['inputs'].iloc[0]:.0f} inputs", xscale="log",
                  xlabel="time (ms)")  # fmt: skip
    panels[0].invert_yaxis()
    handles, names = panels[0].get_legend_handles_labels()
    canvas.legend(handles, names, loc="outside lower center", ncols=6)


def draw_zoo(canvas: Canvas, rows: pd.DataFrame) -> None:
    own = rows[rows["part"] == "zoo"]
    axes = canvas.subplots()
    over = own["relative"] > BOUND
    for part, colour, shape in ((own[~over], "#0072B2", "o"), (own[over], "#D55E00", "^")):
        axes.plot(part["function_operations"], part["relative"], shape, color=colour, alpha=0.8)
    axes.axhline(BOUND, color="black", linestyle=":", linewidth=1)
    axes.set(xscale="log", yscale="log", xlabel="operations of the function",
             ylabel="operations of value and gradient\n/ function's")  # fmt: skip
    axes.set_yticks([1, 2, 5, 10, 20], ["1", "2", "5", "10", "20"])
    axes.tick_params(axis="y", which="minor", labelleft=False)
