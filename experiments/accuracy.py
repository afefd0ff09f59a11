"""How wrong is each method, in ulps, and why?

Every function of the zoo at each of its points, by every method, held against an enclosure of the
truth. A method's formula is also evaluated exactly, which tells its truncation from its rounding;
and the truth itself is held against a limit of differences that uses no derivative rule.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from _accuracy_page import BEST, ULPS, figures, graded, smooth, tables, wide
from apparatus.exact import agrees_with_limit, truncation_ulps, value_ulps

from difflab.accuracy.compare import errors, result_of
from difflab.accuracy.digits import is_gradable, partial_digits
from difflab.accuracy.subject import float_arguments
from difflab.accuracy.truth import Enclosure, truth
from difflab.accuracy.zoo import ZOO, Point, lookup
from difflab.errors import BudgetError, UnsupportedError
from difflab.ir.expr import Graph
from difflab.ir.row import TABLE
from difflab.ir.tree import flatten, read_arguments, unflatten
from difflab.lab import (
    Case,
    Evidence,
    Experiment,
    Preset,
    Row,
    bootstrap_interval,
    grid,
    main,
    share_interval,
)
from difflab.methods import METHODS, Method, Numerical
from difflab.operators import jacobian
from difflab.tracing.trace import trace

WRITTEN_OUT = 10**9
"""SymPy is not tried on a function of more operations than this, written out as an expression."""


def methods(orders: list[int]) -> dict[str, Method]:
    """The named methods, and central differences of higher orders."""
    higher = {f"central (order {order})": Numerical("central", order) for order in orders}
    return dict(METHODS) | higher


# Measuring ----------------------------------------------------------------------------------------


def cases(preset: Preset) -> list[Case]:
    every = preset.choose(smoke=12, quick=1, full=1)
    kinds = preset.choose(smoke=["float64"], quick=["float64"], full=["float64", "float32"])
    orders = preset.choose(smoke=[], quick=[], full=[4, 8])
    samples = preset.choose(smoke=300, quick=1000, full=20_000)
    rules = [row.name for row in TABLE.values() if is_gradable(row)][::every]
    return [
        *grid(function=list(ZOO)[::every], dtype=kinds, orders=[orders]),
        *grid(rule=rules, samples=[samples]),
    ]


def measure(case: Case, rng: np.random.Generator) -> Iterator[Row]:
    if "rule" in case:
        for row in partial_digits([case["rule"]], samples=case["samples"]).to_dict("records"):
            worst = ", ".join(f"{x:.17g}" for x in row["worst_x"])
            kept = {key: row[key] for key in ("partial", "program", "max_ulps", "corner_ulps")}
            yield {"graded": row["row"], "points": row["samples"], **kept, "worst_x": worst}
        return
    entry = lookup(case["function"])
    for number, point in enumerate(entry.points):
        args = converted(point, case["dtype"])
        try:
            with np.errstate(all="ignore"):
                values = flatten(entry.f(*args))[0]
        except np.linalg.LinAlgError:  # the matrix is singular in float32
            continue
        enclosure = truth(entry.f, *args, argnums=float_arguments(args))
        about = {"point": number, "kind": point.kind, "note": point.note}
        about |= about_point(trace(entry.f, *args), args, values, enclosure, point)
        for name, method in methods(case["orders"]).items():
            refused = name == "symbolic" and about["written_out"] > WRITTEN_OUT
            outcome = {"outcome": "refused"} if refused else held(entry.f, args, method, enclosure)
            yield about | {"method": name} | outcome


def converted(point: Point, dtype: str) -> tuple[Any, ...]:
    """A point's arguments as numbers and arrays of a dtype."""
    leaves, structure = flatten(point.args)
    return tuple(unflatten(structure, [np.asarray(leaf, dtype)[()] for leaf in leaves]))


def about_point(
    graph: Graph, args: tuple[Any, ...], values: list[Any], enclosure: Enclosure, point: Point
) -> Row:
    """Whether the function is differentiable there, and how wrong its own value is."""
    _, arrays = read_arguments(args, {})
    known = all(ball.is_finite() for block in enclosure.balls for ball in block.flat)
    limit = bool(known and agrees_with_limit(graph, arrays, enclosure))
    return {
        "truth": "kink" if enclosure.kinks or point.kind == "kink" else "ok" if known else "none",
        "limit": limit,
        "value_ulps": value_ulps(graph, arrays, values, enclosure.bits),
        "written_out": float(written_out(graph)),
    }


def held(f: Any, args: tuple[Any, ...], method: Method, enclosure: Enclosure) -> Row:
    """What a method gives, against the truth."""
    try:
        made = jacobian(f, argnums=float_arguments(args), method=method, engine="numpy")
        prepared = made.prepare(*args)
        result = result_of(prepared, args)
    except (BudgetError, UnsupportedError):
        return {"outcome": "refused"}
    except np.linalg.LinAlgError:  # a singular matrix
        return {"outcome": "not finite"}
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


# Findings -----------------------------------------------------------------------------------------


def findings(rows: pd.DataFrame) -> list[Evidence]:
    kept = smooth(rows)
    digits = wide(kept, "digits")
    return [
        no_truncation(rows),
        within_ulps(kept),
        rules_keep_digits(graded(rows)),
        as_many_digits("symbolic_digits", digits, "symbolic"),
        as_many_digits("complex_step_digits", digits, "complex_step"),
        digits_lost("forward_differences_lose_half", kept, "forward_difference"),
        digits_lost("central_differences_lose_a_third", kept, "central_difference"),
    ]


def no_truncation(rows: pd.DataFrame) -> Evidence:
    own = rows[(rows["method"] == "reverse") & (rows["dtype"] == "float64")]
    own = own[(own["truth"] == "ok")]
    agree = own["limit"].eq(True)
    others = ", ".join(f"{row.function} ({row.note})" for row in own[~agree].itertuples())
    return Evidence(
        "no_truncation_error",
        share_interval(agree),
        f"its formula, evaluated exactly, is the limit of exact differences at {agree.sum()} of"
        f" {len(agree)} points; at the others there is no such limit: {others}",
    )


def within_ulps(kept: pd.DataFrame) -> Evidence:
    own = kept[kept["method"] == "reverse"]
    close = own["ulps_max"] <= ULPS
    ordinary = close[own["kind"] == "ordinary"]
    far = own[(own["outcome"] == "number") & (own["ulps_max"] > 1e3)]
    names = ", ".join(far.sort_values("ulps_max", ascending=False)["function"].unique()[:8])
    none = int((own["outcome"] == "not finite").sum())
    return Evidence(
        "working_precision",
        share_interval(close),
        f"reverse mode is within {ULPS:.0f} ulps at {close.sum()} of {len(close)} points"
        f" ({ordinary.sum()} of {len(ordinary)} ordinary ones). At {none} points the function's"
        f" formula over- or underflows, and the result is no number; at {len(far)} it is off by"
        f" more than 1000 ulps, where terms of the formula, or of its derivative, cancel"
        f" (the worst: {names})",
    )


def rules_keep_digits(partial: pd.DataFrame) -> Evidence:
    close = partial["max_ulps"] <= ULPS
    worst = partial.iloc[0]
    return Evidence(
        "rules_keep_digits",
        share_interval(close),
        f"{close.sum()} of {len(close)} partial derivatives are within {ULPS:.0f} ulps over their"
        f" whole domain; the worst is {worst['graded']} with {worst['max_ulps']:.3g} ulps",
    )


def as_many_digits(claim: str, digits: pd.DataFrame, method: str) -> Evidence:
    pairs = digits[["reverse", method]].dropna()
    interval = bootstrap_interval(pairs[method], minus=pairs["reverse"], statistic=np.mean)
    worse = int((pairs[method] <= pairs["reverse"] - 1).sum())
    better = int((pairs[method] >= pairs["reverse"] + 1).sum())
    return Evidence(
        claim,
        interval,
        f"the mean difference is {interval} digits; at {worse} of {len(pairs)} points it"
        f" loses at least one digit more, at {better} one less, and at {len(digits) - len(pairs)}"
        " it gives no answer",
    )


def digits_lost(claim: str, kept: pd.DataFrame, method: str) -> Evidence:
    own = kept[(kept["method"] == method) & (kept["kind"] == "ordinary")].dropna(subset="digits")
    interval = bootstrap_interval(1 - own["digits"] / BEST)
    return Evidence(
        claim,
        interval,
        f"the median loss at ordinary points is {interval} of all digits: the worst component"
        f" keeps {own['digits'].median():.1f} of {BEST:.1f}",
    )


EXPERIMENT = Experiment(
    name="accuracy",
    title="Accuracy",
    question="How wrong is each method, in ulps, and where are the digits lost?",
    version=1,
    cases=cases,
    measure=measure,
    tables=tables,
    figures=figures,
    findings=findings,
    method="""
    The truth is a ball that contains the derivative of the real function that the program
    describes, sharp to the last digit of a float. It comes from the same rules as automatic
    differentiation, so it is held against a limit that uses none: differences of the function to
    either side, at a distance of 2^-1500, in balls of 4500 bits. Points where that limit does not
    exist are not graded. A difference's step is the best by theory; each formula is also evaluated
    in balls of 512 bits, which leaves its truncation error alone.
    """,
    limitations="""
    The zoo is chosen, not drawn at random, and has more hard points than practice does: shares over
    its points describe it, and intervals say how much they would move for as many other points of
    the same kind. Rules that a function's `if` chose are graded on the branch that was taken.
    """,
    order=20,
)

if __name__ == "__main__":
    main(EXPERIMENT)
