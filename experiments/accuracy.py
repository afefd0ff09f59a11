"""How wrong is each method, in ulps, and why?

Every function of the zoo at each of its points, by every method, held against an enclosure of the
truth. A method's formula is also evaluated exactly, which tells its truncation from its rounding;
and the truth itself is held against a limit of differences that uses no derivative rule.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from _exact import agrees_with_limit, truncation_ulps, value_ulps
from matplotlib.figure import Figure as Canvas

from difflab.accuracy.compare import DIGITS, errors, float_arguments, result_of
from difflab.accuracy.digits import gradable, partial_digits
from difflab.accuracy.truth import Enclosure, truth
from difflab.accuracy.zoo import ZOO, Point, lookup
from difflab.errors import BudgetError, UnsupportedError
from difflab.ir.expr import Graph
from difflab.ir.trace import trace
from difflab.ir.tree import flatten, read_arguments, unflatten
from difflab.lab import (
    Case,
    Experiment,
    Figure,
    Finding,
    Preset,
    Row,
    Table,
    bootstrap_interval,
    grid,
    main,
    proportion_interval,
    verdict_from_interval,
)
from difflab.methods import METHODS, Method, Numerical
from difflab.operators import Jacobian

SURVEY = "Baydin et al. 2018, Automatic differentiation in machine learning"
ULPS = 4.0
"""What counts as rounding alone, in units in the last place."""
WRITTEN_OUT = 10**9
"""SymPy is not tried on a function of more operations than this, written out as an expression."""
BEST = DIGITS[8]
MOST = {"central (order 4)": 4, "central (order 8)": 8}


def methods() -> dict[str, Method]:
    """The named methods, and central differences of higher orders."""
    return dict(METHODS) | {name: Numerical("central", order) for name, order in MOST.items()}


# Measuring ----------------------------------------------------------------------------------------


def cases(preset: Preset) -> list[Case]:
    every = preset.choose(smoke=12, quick=1, full=1)
    kinds = preset.choose(smoke=["float64"], quick=["float64"], full=["float64", "float32"])
    samples = preset.choose(smoke=300, quick=1000, full=20_000)
    rules = [row.name for row in gradable()][::every]
    return [
        *grid(function=list(ZOO)[::every], dtype=kinds),
        *grid(rule=rules, samples=[samples]),
    ]


def measure(case: Case, rng: np.random.Generator) -> Iterator[Row]:
    if "rule" in case:
        for row in partial_digits([case["rule"]], samples=case["samples"]).to_dict("records"):
            worst = ", ".join(f"{x:.17g}" for x in row["worst_x"])
            kept = {key: row[key] for key in ("partial", "program", "max_ulps")}
            yield {"points": row["samples"], **kept, "worst_x": worst}
        return
    entry = lookup(case["function"])
    for number, point in enumerate(entry.points):
        args = converted(point, case["dtype"])
        enclosure = truth(entry.f, *args, argnums=float_arguments(args))
        about = {"point": number, "kind": point.kind, "note": point.note}
        about |= about_point(entry.f, args, enclosure, point)
        for name, method in methods().items():
            yield about | {"method": name} | held(entry.f, args, method, enclosure)


def converted(point: Point, dtype: str) -> tuple[Any, ...]:
    """A point's arguments as numbers and arrays of a dtype."""
    leaves, structure = flatten(point.args)
    return tuple(unflatten(structure, [np.asarray(leaf, dtype)[()] for leaf in leaves]))


def about_point(f: Any, args: tuple[Any, ...], enclosure: Enclosure, point: Point) -> Row:
    """Whether the function is differentiable there, and how wrong its own value is."""
    graph, (_, arrays) = trace(f, *args), read_arguments(args, {})
    known = all(ball.is_finite() for block in enclosure.balls for ball in block.flat)
    limit = bool(known and agrees_with_limit(graph, arrays, enclosure))
    with np.errstate(all="ignore"):
        values = flatten(f(*args))[0]
    return {
        "truth": "kink" if enclosure.kinks or point.kind == "kink" else "ok" if known else "none",
        "limit": limit,
        "value_ulps": value_ulps(graph, arrays, values, enclosure.bits),
        "operations": graph.operation_count(),
    }


def held(f: Any, args: tuple[Any, ...], method: Method, enclosure: Enclosure) -> Row:
    """What a method gives, against the truth."""
    if method.name == "symbolic" and written_out(trace(f, *args)) > WRITTEN_OUT:
        return {"outcome": "refused"}
    try:
        prepared = Jacobian(f, float_arguments(args), method, "numpy").prepare(*args)
        result = result_of(prepared, args)
    except (BudgetError, UnsupportedError):
        return {"outcome": "refused"}
    finite = all(np.all(np.isfinite(leaf)) for leaf in flatten(result)[0])
    row = {"outcome": "number" if finite else "not finite", **errors(result, enclosure)}
    program = prepared.derivation.graph
    if program is not None and method.name != "richardson":
        _, arrays = read_arguments(args, {})
        row["truncation_ulps"] = truncation_ulps(program, arrays, enclosure)
    return row


def written_out(graph: Graph) -> int:
    """The operations of a function when nothing is shared."""
    counts = {}
    for node in graph.nodes:
        counts[node] = bool(node.operands) + sum(counts[x] for x in node.operands)
    return sum(counts[out] for out in graph.outputs)


# Reading the rows ---------------------------------------------------------------------------------


def smooth(rows: pd.DataFrame, dtype: str = "float64") -> pd.DataFrame:
    """The rows at points where the derivative exists, the digits of a result that is none being 0."""
    kept = rows[(rows["dtype"] == dtype) & (rows["truth"] == "ok") & (rows["limit"] == True)]  # noqa: E712
    kept = kept.assign(at=kept["function"] + " " + kept["point"].astype(int).astype(str))
    kept["where"] = np.where(kept["kind"] == "ordinary", "ordinary", "hard or at an edge")
    kept.loc[kept["outcome"] == "not finite", "digits"] = 0.0
    return kept


def rules(rows: pd.DataFrame) -> pd.DataFrame:
    """The partials that users run, worst first."""
    kept = rows[rows["program"] == "program"] if "program" in rows else rows.head(0)
    return kept.sort_values("max_ulps", ascending=False)


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
    frame = wide(own, "outcome").reindex(columns=list(methods())).fillna("–")
    return Table(
        "At kinks",
        f"n = {len(frame)} points where no derivative exists. A method that gives a number gives no"
        " warning: only the enclosure knows (it carries the one-sided derivatives).",
        frame,
    )


def partials(rows: pd.DataFrame) -> Table:
    own = rules(rows)
    columns = {"rule": "rule", "partial": "operand", "points": "points", "max_ulps": "worst, ulps",
               "worst_x": "at"}  # fmt: skip
    frame = own[list(columns)].head(25).rename(columns=columns) if len(own) else own
    return Table(
        "The rules themselves",
        f"The 25 worst of {len(own)} partial derivatives, each sampled over all exponents of its"
        " domain. A rule is a program of a few operations, so a few ulps are rounding.",
        frame.reset_index(drop=True),
    )
