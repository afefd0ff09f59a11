"""Does it matter which way the gradient was made?

One network is trained from one start, on the same minibatches, by every method, with the update
that `Network.fit` compiles; the gradients are held against ball enclosures along the path. Then
what an update costs, in operations and in time, and the largest network within a budget.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from _training_methods_page import (
    DIFFERENCES,
    EXACT,
    PARTED,
    VISIBLE,
    after_updates,
    figures,
    largest,
    paths,
    steady,
    tables,
)
from apparatus.cost_programs import cost_of
from apparatus.learning import paired_difference, share
from apparatus.training_programs import (
    Problem,
    apart,
    graded,
    gradient_of,
    network,
    path,
    ulps_apart,
    update_of,
)

from difflab.errors import BudgetError
from difflab.ir.tree import flatten
from difflab.lab import (
    TIME_COLUMNS,
    Case,
    Evidence,
    Experiment,
    Interval,
    Preset,
    Row,
    grid,
    interleave,
    main,
)
from difflab.methods import METHODS
from difflab.table.identities import simplify
from difflab.tracing.trace import trace

SMALL = {"sizes": [4, 3, 2], "rate": 0.5}
"""Digits 0 and 1 in 2 x 2 pixels: small enough for SymPy."""
DIGITS = {"sizes": [16, 8, 10], "rate": 0.5}
"""All digits in 4 x 4 pixels: small enough for Richardson's extrapolation."""
LARGE = {"sizes": [64, 8, 10], "rate": 0.5}
LOGGED = (0, 1, 2, 3, 5, 7, 10, 14, 20, 30, 50, 70, 100, 140, 200)
"""The numbers of updates after which parameters are looked at."""
SAME_EXACT, SAME_PATH = 1e-10, 1e-5
"""How far apart parameters may be that count as the same, for exact methods and for differences."""
AFTER = 20
WIDTHS = [round(2 ** (step / 2)) for step in range(24)]
"""Widths k of the networks k-k-2 that are tried, one after the other, until a budget is spent."""
WRITTEN_OUT = 100_000
"""The budget of a derivation: operations of SymPy's derivatives, written out (some seconds)."""


# Cases --------------------------------------------------------------------------------------------


def cases(preset: Preset) -> list[Case]:
    seeds, few = preset.seeds, preset.choose(smoke=1, quick=1, full=4)
    small, digits = (
        SMALL | {"batch": few},
        DIGITS | {"batch": preset.choose(smoke=2, quick=2, full=8)},
    )
    long, short = preset.choose(smoke=(20, 20), quick=(20, 20), full=(200, 200))
    both = preset.choose(smoke=["tanh"], quick=["tanh"], full=["tanh", "relu"])
    kinds = preset.choose(smoke=["float64"], quick=["float64"], full=["float64", "float32"])
    wide = preset.choose(smoke=["float64"], quick=["float64", "float32"], full=kinds)
    nets = preset.choose(smoke=[small], quick=[digits], full=[small, digits, LARGE | {"batch": 32}])
    budget = preset.choose(smoke=1e5, quick=1e6, full=1e8)
    written_out = preset.choose(smoke=2_000, quick=2_000, full=WRITTEN_OUT)
    return [
        *[{"part": "path", **small, "updates": long, **rest}
          for rest in grid(activation=both, dtype=kinds, seed=seeds)],
        *[{"part": "path", **digits, "updates": short, **rest}
          for rest in grid(activation=["relu"], dtype=wide, seed=seeds)],
        *[{"part": "time", **net, "activation": "relu", "dtype": "float64", "seed": 0,
           "rounds": preset.choose(smoke=2, quick=7, full=15)} for net in nets],
        *[{"part": "ladder", "method": name, "budget": budget, "written_out_budget": written_out}
          for name in METHODS],
    ]  # fmt: skip


def after(preset: Preset, rows: pd.DataFrame) -> list[Case]:
    """The largest network of every method: its update is timed."""
    rounds = preset.choose(smoke=1, quick=1, full=5)
    return [
        {"part": "largest", "method": row["method"], "width": int(row["width"]), "rounds": rounds}
        for row in largest(rows).to_dict("records")
    ]


def methods_for(sizes: list[int]) -> list[str]:
    """All methods; SymPy only where the network is small enough to be written out."""
    return [name for name in METHODS if name != "symbolic" or sizes == SMALL["sizes"]]


def measure(case: Case, rng: np.random.Generator) -> Iterator[Row]:
    parts = {"path": paths_of, "time": times, "ladder": ladder, "largest": time_of_largest}
    yield from parts[case["part"]](case)


# The same training --------------------------------------------------------------------------------


def paths_of(case: Case) -> Iterator[Row]:
    """Training by every method, side by side: gradients and parameters along the path."""
    problem, updates = Problem.of(case), case["updates"]
    names = methods_for(case["sizes"])
    batches, start = problem.minibatches(), problem.start
    walks = [path(problem, name, updates) for name in names]
    parted = {name: {f"parted_{bound:g}": np.nan for bound in PARTED} for name in names}
    for number, places in enumerate(zip(*walks, strict=True)):
        found = dict(zip(names, places, strict=True))
        for name in names if number else ():
            far = apart(found[name], found["reverse"], start)
            note_parting(parted[name], number, far)
        if number in LOGGED and number <= updates:
            batch = batches.take(number + 1)
            gradients = graded_at(problem, found, batch)
            for name in names:
                row = {"parameters": sum(x.size for x in start), "method": name}
                row |= {"update": number, **problem.judged(found[name])}
                row |= differences(found[name], found["reverse"], start) if number else {}
                row |= gradients[name] | (parted[name] if number == updates else {})
                yield row


def note_parting(row: Row, number: int, far: float) -> None:
    """The first update at which parameters are farther apart than each bound."""
    for bound in PARTED:
        name = f"parted_{bound:g}"
        if not far <= bound and np.isnan(row[name]):
            row[name] = number


def differences(arrays: Any, others: Any, start: Any) -> Row:
    ulps = ulps_apart(arrays, others)
    return {
        "apart": apart(arrays, others, start),
        "apart_ulps": float(np.max(ulps)),
        "apart_ulps_median": float(np.median(ulps)),
    }


def graded_at(problem: Problem, places: dict[str, Any], batch: Any) -> dict[str, Row]:
    """Every method's gradient on reverse mode's path, and on its own, against the truth there."""
    shared = problem.truth(places["reverse"], batch)
    rows = {}
    for name, arrays in places.items():
        gradient = gradient_of(update_of(problem.net, name))
        with np.errstate(all="ignore"):
            row = graded(gradient(*places["reverse"], *batch), shared, "shared")
            if name == "reverse":
                own = row["shared_angle"]
            else:
                truth = problem.truth(arrays, batch)
                own = graded(gradient(*arrays, *batch), truth, "own")["own_angle"]
        rows[name] = row | {"own_angle": own}
    return rows


# What it costs ------------------------------------------------------------------------------------


def times(case: Case) -> Iterator[Row]:
    """The time of one update by every method, side by side, beside its operations."""
    problem = Problem.of(case)
    arrays, batch = problem.start, problem.minibatches().take(1)
    memory = problem.net.solver.memory(arrays)
    rows, calls, moved = {}, {}, {}
    for name in methods_for(case["sizes"]):
        begun = time.perf_counter()
        update = update_of(problem.net, name)
        rows[name] = {"derive_seconds": time.perf_counter() - begun, **counted(problem.net, name)}
        calls[name] = functools.partial(update, arrays, batch, memory, 1)
        moved[name] = calls[name]()[2]
        far = apart(moved[name], moved["reverse"], arrays)
        if not far <= (SAME_EXACT if METHODS[name].exact else 1e-3):  # what is wrong has no time
            del calls[name]
    table = interleave(calls, baseline="reverse", rounds=case["rounds"])
    timings = table.set_index("contestant")[["rounds", *TIME_COLUMNS]].to_dict("index")
    rows["reverse (again)"] = rows["reverse"]
    for name, row in rows.items():
        yield {"method": name, **row, **timings.get(name, {})}


def counted(net: Any, method: str) -> Row:
    """Parameters, operations and evaluations of a gradient, and operations it was derived with."""
    wrt = range(len(flatten(net.parameters)[0]))
    batch = [np.ones((net.solver.batch_size, width)) for width in (net.inputs, net.last.units)]
    graph = simplify(trace(net.objective, net.parameters, *batch))
    derivation = update_of(net, method).derivation if method == "symbolic" else None
    derivation = derivation or METHODS[method].derive(graph, wrt)
    costs = cost_of(derivation, graph, wrt)
    costs["parameters"] = costs.pop("inputs")
    return {**costs, "written_out": derivation.counts.get("derivative tree", 0)}


def rung(width: int) -> Any:
    """The network k-k-2 of a ladder, at minibatches of 4."""
    return network([width, width, 2], "tanh", "float64", 4, 0.1)


def ladder(case: Case) -> Iterator[Row]:
    """Operations of wider and wider networks, until one is over the budget."""
    for width in WIDTHS:
        try:
            row = counted(rung(width), case["method"])
        except BudgetError:
            return
        spent = (
            row["operations"] > case["budget"] or row["written_out"] > case["written_out_budget"]
        )
        yield {"width": width, **row, "within": not spent}
        if spent:
            return


def time_of_largest(case: Case) -> Iterator[Row]:
    """The time of an update of a method's largest network, and of its derivation."""
    net = rung(case["width"])
    rng = np.random.default_rng(0)
    arrays = flatten(net.parameters)[0]
    batch = [rng.normal(size=(4, case["width"])), np.eye(2)[[0, 1, 0, 1]]]
    begun = time.perf_counter()
    update = update_of(net, case["method"])
    seconds = time.perf_counter() - begun
    call = functools.partial(update, arrays, batch, net.solver.memory(arrays), 1)
    row = interleave({"update": call}, rounds=case["rounds"]).to_dict("records")[0]
    yield {"derive_seconds": seconds, **{key: row[key] for key in ("rounds", *TIME_COLUMNS)}}


# Findings -----------------------------------------------------------------------------------------


def findings(rows: pd.DataFrame) -> list[Evidence]:
    return [
        exact_methods_agree(rows),
        differences_agree(rows),
        same_accuracy(rows, "float64", "same_end_of_training"),
        same_accuracy(rows, "float32", "same_end_in_single_precision"),
        fraction_of_the_cost(rows),
    ]


def exact_methods_agree(rows: pd.DataFrame) -> Evidence:
    own = after_updates(rows, AFTER, "float64", EXACT)
    same = own["apart"] <= SAME_EXACT
    single = after_updates(rows, AFTER, "float32", EXACT)
    also = f"; in float32 {single['apart'].max():.1e}" if len(single) else ""
    return Evidence(
        "exact_methods_train_alike",
        share(same) if len(own) else None,
        f"after {AFTER} updates the parameters of {same.sum()} of {len(same)} runs are within"
        f" {SAME_EXACT:g} of reverse mode's, relative to the way gone; the farthest is"
        f" {own['apart'].max():.1e}; in the median a parameter is at most"
        f" {own['apart_ulps_median'].max():.3g} ulps away{also}",
    )


def differences_agree(rows: pd.DataFrame) -> Evidence:
    own = after_updates(rows, AFTER, "float64", DIFFERENCES)
    same = own["apart"] <= SAME_PATH
    each = ", ".join(
        f"{method} {part.sum()} of {len(part)}"
        for method, part in same.groupby(own["method"], sort=False)
    )
    smooth = same[own["activation"] == "tanh"]
    return Evidence(
        "differences_train_alike",
        share(same),
        f"after {AFTER} updates {each} runs are within {SAME_PATH:g} of reverse mode's"
        f" parameters, relative to the way gone ({smooth.sum()} of {len(smooth)} without kinks);"
        f" the farthest is {own['apart'].max():.1e}"
        f" ({own.loc[own['apart'].idxmax(), 'method']})",
    )


def same_accuracy(rows: pd.DataFrame, dtype: str, claim: str) -> Evidence:
    """Each method's test accuracy against reverse mode's at the end, paired by seed."""
    own = paths(rows)
    own = own[(own["update"] == own["updates"]) & (own["dtype"] == dtype)]
    own = own[own["parameters"] == own["parameters"].max()]
    if own.empty:
        return Evidence(claim, None, f"nothing was trained in {dtype}")
    percent = 100 * own.pivot(index="seed", columns="method", values="accuracy")
    found = {
        name: paired_difference(percent[name], percent["reverse"])
        for name in percent
        if name != "reverse"
    }
    worst = max(found, key=lambda name: max(map(abs, found[name][:3])))
    alike = percent.eq(percent["reverse"], axis=0).drop(columns="reverse")
    return Evidence(
        claim,
        found[worst],
        f"test accuracy is {percent['reverse'].mean():.1f} % by reverse mode after"
        f" {own['updates'].max():.0f} updates, and exactly the same in {alike.to_numpy().sum()} of"
        f" {alike.size} runs by the others ({alike.shape[1]} methods, {len(percent)} seeds); the"
        f" interval is {worst}'s, the farthest off",
        also=[interval for name, interval in found.items() if name != worst],
    )


def fraction_of_the_cost(rows: pd.DataFrame) -> Evidence:
    own = steady(rows)
    own = own[own["parameters"] == own["parameters"].max()]
    others = own[own["method"] != "reverse"]
    nearest = others.loc[others["ratio"].idxmin()]
    farthest = others.loc[others["ratio"].idxmax()]
    reverse = own[own["method"] == "reverse"].iloc[0]
    return Evidence(
        "fraction_of_the_cost",
        Interval(*nearest[["ratio", "ratio_low", "ratio_high"]], int(nearest["rounds"])),
        f"with {nearest['parameters']:.0f} parameters an update by {nearest['method']}, the next"
        f" fastest, takes {nearest['ratio']:.3g} times as long"
        f" ({nearest['operations'] / reverse['operations']:,.0f} times the operations), by"
        f" {farthest['method']} {farthest['ratio']:,.0f} times"
        f" ({farthest['operations'] / reverse['operations']:,.0f}); noise {own['noise'].max():.2f}",
        noise=float(own["noise"].max()),
    )


EXPERIMENT = Experiment(
    name="training_methods",
    title="Training by every method",
    question="Does it matter which way the gradient was made?",
    version=1,
    cases=cases,
    measure=measure,
    after=after,
    tables=tables,
    figures=figures,
    findings=findings,
    method=f"""
    Digits in 2 x 2 pixels (0 and 1; 4-3-2 units), 4 x 4 (16-8-10) and 8 x 8 (64-8-10), softmax with
    cross-entropy, plain gradient descent at a rate of 0.5: one loop, that of `Network.fit`, with
    its update compiled from each method's gradient. A seed sets split, start and order, whatever
    the method. Gradients are held against enclosures of the exact gradient in balls, at the
    parameters of reverse mode and at each method's own. Parameters apart: the largest difference of
    one from reverse mode's, relative to the farthest that one has gone; above {VISIBLE:g} it is
    called visible. Differences take their steps by theory, the same for all components of order 1.
    """,
    limitations="""
    Small networks, because numerical methods need an evaluation for every parameter; plain gradient
    descent for at most 200 updates. SymPy takes part in the smallest network alone. Rounding grows
    along a path at a rate that depends on the network: longer or less stable training would part
    the exact methods as well. What an update costs is of this machine and of this package's
    programs; operations are of the derivative programs as they are run.
    """,
    volatile=("derive_seconds", *TIME_COLUMNS),
    timed=lambda case: case["part"] in ("time", "largest"),
    order=30,
)

if __name__ == "__main__":
    main(EXPERIMENT)
