"""How wrong is each method, in ulps, and what does it cost?

Every function of the zoo at its points, by every method, held against an enclosure of the truth,
and that against a limit. A row is a function, its points of one kind averaged; or a point.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from flint import arb
from matplotlib.figure import Figure as Canvas

from difflab import jacobian, lab, trace
from difflab.accuracy.compare import DIGITS, errors, result_of
from difflab.accuracy.digits import is_gradable, partial_digits
from difflab.accuracy.subject import float_arguments
from difflab.accuracy.truth import Enclosure, truth
from difflab.accuracy.zoo import ZOO, Point, lookup
from difflab.errors import BudgetError, UnsupportedError
from difflab.ir.expr import Graph, walk
from difflab.ir.row import TABLE
from difflab.ir.tree import flatten, read_arguments
from difflab.lab import Case, Experiment, Figure, Preset, Result, Row, Table
from difflab.methods import METHODS, Method, Numerical
from difflab.readings.balls import EVERY_BIT, enclose, enclose_nodes, exact, precision, ulps_of

STEP_BITS = 1500  # limits: differences 2^-1500 away, so that truncation is below any last digit
LIMIT_BITS, AGREED_BITS = 4500, 60
ULPS = 4.0  # up to here an error counts as rounding alone, in units in the last place
WRITTEN_OUT = 10**9  # SymPy is not tried on a function of more operations, written out
# Left out of smaller presets: many operations, each enclosed in thousands of bits.
SLOW = ("pendulum", "helmholtz", "least_squares", "gaussian_mixture", "exp_series")
WAYS = dict(METHODS) | {f"central {order}": Numerical("central", order) for order in (4, 8)}
KEYS = ("kind", "exists", "method")
KINDS = ["ordinary", "hard", "removable", "edge"]
GRADED = {"part": "function", "exists": True}


def cases(preset: Preset) -> list[Case]:
    step = preset.choose(smoke=12, quick=4, full=1)
    rules = [row.name for row in TABLE.values() if is_gradable(row)]
    names = [name for name in ZOO if step == 1 or name not in SLOW]
    return [
        *lab.grid(function=names[::step]),
        *lab.grid(rule=rules if step == 1 else rules[1::step],
                  samples=[preset.choose(smoke=300, quick=300, full=7_000)]),
    ]  # fmt: skip


def measure(case: Case, rng: np.random.Generator) -> Iterator[Row]:
    if "rule" in case:
        table = partial_digits([case["rule"]], samples=case["samples"])
        run = table[table["program"] != "rule"]  # as users run it
        worst = run.loc[run["max_ulps"].idxmax()]
        yield {"part": "rule", "ulps": float(worst["max_ulps"]),
               "corner_ulps": float(run["corner_ulps"].max()),
               "close": float(worst["max_ulps"] <= ULPS),
               "note": ", ".join(f"{x:.17g}" for x in worst["worst_x"])}  # fmt: skip
        return
    entry = lookup(case["function"])
    found = [row for point in entry.points for row in at(entry.f, point)]
    yield from (row for row in found if row["part"] == "point")
    own = [row for row in found if row["part"] == "method"]
    own.sort(key=lambda row: [*KINDS, row["kind"]].index(row["kind"]))
    own.sort(key=lambda row: [*WAYS].index(row["method"]))
    for _, rows in itertools.groupby(own, lambda row: [row[key] for key in KEYS]):
        yield averaged(list(rows))


def at(f: Callable[..., Any], point: Point) -> Iterator[Row]:
    """What every method gives at a point, and what is known of the point itself."""
    args = point.args
    with np.errstate(all="ignore"):
        values = flatten(f(*args))[0]
    enclosure, graph = truth(f, *args, argnums=float_arguments(args)), trace(f, *args)
    _, arrays = read_arguments(args, {})
    limit = limit_of_differences(graph, arrays, enclosure)
    smooth = not enclosure.kinks and point.kind != "kink"
    several = sum(x.size for x in graph.inputs if x.dtype.kind == "f") > 1
    about = {"kind": point.kind, "exists": smooth and limit == "agrees",
             "gradient": several and sum(out.size for out in graph.outputs) == 1}  # fmt: skip
    for way, method in WAYS.items():
        refused = way == "symbolic" and written_out(graph) > WRITTEN_OUT
        row = {"outcome": "refused"} if refused else held(f, args, method, enclosure, graph)
        yield {"part": "method", "method": way} | about | row
        if way == "reverse" and smooth:
            yield {"part": "point", "kind": point.kind, "note": point.note, "limit": limit,
                   "exact": limit == "agrees", "ulps": row.get("ulps_max"),
                   "value_ulps": value_ulps(graph, arrays, values, enclosure.bits)}  # fmt: skip


def held(f: Any, args: tuple[Any, ...], method: Method, enclosure: Enclosure, graph: Graph) -> Row:
    """What a method gives, against the truth, and what it costs relative to the function."""
    try:
        made = jacobian(f, argnums=float_arguments(args), method=method, engine="numpy")
        prepared = made.prepare(*args)
        result = result_of(prepared, args)
    except (BudgetError, UnsupportedError):
        return {"outcome": "refused"}
    except np.linalg.LinAlgError:  # a singular matrix
        return {"outcome": "not finite"}
    finite = all(np.all(np.isfinite(leaf)) for leaf in flatten(result)[0])
    program, cost = prepared.derivation.graph, float(prepared.derivation.evaluations)
    if program is not None and method.name in ("reverse", "forward", "symbolic"):
        cost = program.operation_count() / max(graph.operation_count(), 1)
    outcome = "number" if finite else "not finite"
    return {"outcome": outcome, **errors(result, enclosure), "cost": cost}


def averaged(rows: list[Row]) -> Row:
    """The points of one kind: medians of errors, means of digits; no number has no digits."""
    first, outcomes = rows[0], [row["outcome"] for row in rows]
    found = {"part": "function"} | {key: first[key] for key in KEYS}
    found |= {"points": len(rows), "gradient": first["gradient"]}
    found |= {name: outcomes.count(name) for name in ("number", "not finite", "refused")}
    if not first["exists"] or found["refused"]:
        return found
    known = [row if row["outcome"] == "number" else {"ulps_max": np.inf} for row in rows]
    digits = float(np.mean([row.get("digits", 0.0) for row in known]))
    costs = [row["cost"] for row in rows if "cost" in row]
    return found | {
        "ulps": float(np.median([row["ulps_max"] for row in known])),
        "close": float(np.mean([row["ulps_max"] <= ULPS for row in known])),
        "digits": digits, "lost": 1.0 - digits / DIGITS[8],
        "cost": float(np.mean(costs)) if costs else np.nan,
    }  # fmt: skip


def value_ulps(graph: Graph, arrays: Sequence[Any], values: Sequence[Any], bits: int) -> float:
    """The largest error of the function's own values, in ulps."""
    blocks = enclose(graph, arrays, bits)
    return max(
        ulps_of(float(value), ball, out.dtype)
        for found, block, out in zip(values, blocks, graph.outputs, strict=True)
        for value, ball in zip(np.ravel(found), block.flat, strict=True)
    )


def written_out(graph: Graph) -> int:
    """The operations of a function when nothing is shared."""
    counts: dict[Any, int] = {}
    return sum(walk(graph.outputs, counts, lambda node, below: bool(below) + sum(below)))


def limit_of_differences(graph: Graph, arrays: Sequence[Any], enclosure: Enclosure) -> str:
    """How the truth stands to the limit of (f(x + h) - f(x)) / h, computed exactly for tiny h.

    "agrees" with it from both sides, "differs" from it, or there is "none": the sides disagree.
    """
    if not all(ball.is_finite() for block in enclosure.balls for ball in block.flat):
        return "none"
    truths = iter(enclosure.balls)
    found = "agrees"
    for out, middle in enumerate(_moved(graph, arrays, None, 0)):
        for i in (i for i, x in enumerate(graph.inputs) if x.dtype.kind == "f"):
            block = next(truths).reshape(middle.shape + graph.inputs[i].shape)
            for index in np.ndindex(graph.inputs[i].shape):
                moved = (_moved(graph, arrays, (i, index), sign)[out] for sign in (-1, 1))
                left, right = map(_slopes, moved, (middle, middle), (-1, 1))
                if not all(map(_same, left, right)):
                    return "none"
                if not all(map(_same, right, block[(..., *index)].flat)):
                    found = "differs"
    return found


def _moved(graph: Graph, arrays: Sequence[Any], at: Any, sign: int) -> list[Any]:
    """The function's values as balls, one component moved by the step."""
    known = dict(zip(graph.inputs, map(exact, arrays), strict=True))
    if at:
        i, index = at
        with precision(EVERY_BIT):
            known[graph.inputs[i]][index] += sign * arb(2) ** -STEP_BITS
    enclose_nodes(graph.outputs, known, LIMIT_BITS)
    return [known[out] for out in graph.outputs]


def _slopes(moved: Any, middle: Any, sign: int) -> list[arb]:
    with precision(LIMIT_BITS):
        pairs = zip(moved.flat, middle.flat, strict=True)
        return [(there - here) * sign * arb(2) ** STEP_BITS for there, here in pairs]


def _same(slope: arb, other: arb) -> bool:
    with precision(LIMIT_BITS):
        allowed = abs(other) * arb(2) ** -AGREED_BITS + arb(2) ** -1200
        return bool(abs(slope - other) <= allowed)


def results(rows: pd.DataFrame) -> list[Result]:
    graded = {"by": "kind", "unit": "function"}
    return [
        lab.every("no_truncation_error", rows, "exact", counted="points",
                  where={"part": "point", "limit": ["agrees", "differs"]},
                  words="the rules, carried out exactly, give the limit of exact differences"
                  " wherever there is one"),
        lab.share("working_precision", rows, "close", where=GRADED | {"method": "reverse"},
                  words="share of a function's points at which reverse mode errs by at most"
                  f" {ULPS:g} ulps in its worst component", **graded),
        lab.share("rules_keep_digits", rows, "close", where={"part": "rule"}, by=None, unit="rule",
                  words="every partial of a rule, over all exponents of its domain, as users run"
                  " it"),
        *[lab.paired(f"{name}_digits", rows, "digits", left={"method": name},
                     right={"method": "reverse"}, missing="refused", where=GRADED, **graded,
                     words="correct digits of the worst component, beside reverse mode's")
          for name in ("symbolic", "complex_step")],
        *[lab.mean(f"{side}_differences_lose_{part}", rows, "lost", statistic="median",
                   where=GRADED | {"method": f"{side}_difference", "kind": "ordinary"}, **graded,
                   words="share of the digits that the worst component of a function's derivative"
                   " loses, at ordinary points")
          for side, part in (("forward", "half"), ("central", "a_third"))],
    ]  # fmt: skip


def tables(rows: pd.DataFrame) -> list[Table]:
    own = lab.chosen(rows, {"part": "point", "limit": "agrees"})
    own = own[~(own["ulps"] <= ULPS)].sort_values("ulps", ascending=False)
    names = {"function": "function", "kind": "point", "value_ulps": "value, ulps",
             "ulps": "reverse mode, ulps", "note": "note"}  # fmt: skip
    shown = own[[*names]].rename(columns=names).fillna({"note": ""}).reset_index(drop=True)
    caption = (
        f"{len(shown)} points, worst first. Where the value is wrong as well, the function's"
        " formula loses the digits; elsewhere terms of the derivative cancel."
    )
    return [Table(f"Where reverse mode is off by more than {ULPS:g} ulps", caption, shown)]


def quartiles(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """By method, in the order in which they were measured: lower quartile, median, upper one."""
    known = rows.dropna(subset=column)
    return known.groupby("method", sort=False)[column].quantile([0.25, 0.5, 0.75]).unstack()


def figures(rows: pd.DataFrame) -> list[Figure]:
    gradients = lab.chosen(rows, GRADED | {"kind": "ordinary", "gradient": True})
    cost, wrong = (quartiles(gradients, column)[0.5] for column in ("cost", "ulps"))
    lost = 100 * lab.chosen(gradients, {"method": "central_difference"})["lost"].median()
    foot = f"{gradients['function'].nunique()} functions of several numbers, ordinary points"
    return [
        Figure("cost_and_error",
               "What a gradient costs, in operations relative to the function (differences and the"
               " complex step: in evaluations), and the error of its worst component: the median"
               " and the quartiles over functions, float64.",
               "Ten methods by cost and error on logarithmic axes: exact ones at about one ulp,"
               " differences many orders above", lambda canvas: draw_costs(canvas, gradients),
               (8.4, 5.0), foot=foot,
               finding=f"Reverse mode costs {cost['reverse']:.2g} times the function and errs by"
               f" {wrong['reverse']:.2g} ulps; central differences cost"
               f" {cost['central_difference']:.2g} times and lose {lost:.0f} % of the digits"),
    ]  # fmt: skip


def draw_costs(canvas: Canvas, rows: pd.DataFrame) -> None:
    axes = canvas.subplots()
    cost, wrong = quartiles(rows, "cost"), quartiles(rows, "ulps").clip(lower=0.1)
    for name, look in lab.looks(wrong.index).items():
        low, middle, high = np.transpose([cost.loc[name], wrong.loc[name]])
        bars = np.abs([low - middle, high - middle]).T[:, :, None]
        axes.errorbar(*middle, xerr=bars[0], yerr=bars[1], fmt=look["marker"], elinewidth=1,
                      color=look["color"], label=name.replace("_", " "))  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel="cost of the gradient (times the function)",
             ylabel="error (ulps; below 0.1 drawn at 0.1)")  # fmt: skip
    axes.axhline(0.5, color="black", linestyle=":", linewidth=1, label="half an ulp")
    axes.set_xticks([1, 2, 5, 10, 20, 50, 100], ["1", "2", "5", "10", "20", "50", "100"])
    axes.tick_params(axis="x", which="minor", labelbottom=False)
    canvas.legend(loc="outside right center")


EXPERIMENT = Experiment(
    name="accuracy", title="Accuracy", version=2, order=20,
    question="How wrong is each method, what does it cost, and where are the digits lost?",
    cases=cases, measure=measure, results=results, tables=tables, figures=figures,
    method="""
    The truth is a ball that contains the derivative of the real function that the program
    describes, sharp to the last digit of a float. It comes from the rules of automatic
    differentiation, so it is held against a limit that uses none: differences to either side, at a
    distance of 2^-1500, in balls of 4500 bits. Points without that limit are not graded. A
    difference's step is the best by theory. Points of one kind of a function are averaged.
    """,
    limitations="""
    The zoo is chosen, not drawn at random, and has more hard points than practice does: intervals
    say how much a share would move for as many other functions of the same kind. Where an `if`
    returns a constant at one point, reverse mode differentiates that branch; the truth does not. An
    operation on complex numbers costs as much as another; the arithmetic of steps costs nothing.
    """,
)  # fmt: skip

if __name__ == "__main__":
    lab.main(EXPERIMENT)
