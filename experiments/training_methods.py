"""Does it matter which way the gradient was made?

What flows: one network, trained by every method -> how far its parameters are from reverse mode's,
and its gradients from the truth. But for the gradient everything is the same, bit by bit.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
import pandas as pd
from apparatus.cost_programs import cost_of
from apparatus.training_programs import Problem, angle, apart, gradient_of, path, update_of

from difflab import lab
from difflab.ir.tree import flatten
from difflab.lab import TIME_COLUMNS, Case, Experiment, Figure, Preset, Result, Row
from difflab.methods import METHODS
from difflab.table.identities import simplify
from difflab.tracing.trace import trace

PATH, TIME = "path", "time"
SMALL = {"network": "4-3-2", "sizes": [4, 3, 2], "rate": 0.5}  # few enough weights for SymPy
DIGITS = {"network": "16-8-10", "sizes": [16, 8, 10], "rate": 0.5}  # and for extrapolation
LOGGED = (0, 1, 2, 3, 5, 7, 10, 14, 20, 30, 50, 70, 100, 140, 200)
EXACT = ["forward", "symbolic", "complex_step"]  # without truncation error, as reverse mode
DIFFERENCES = ["forward_difference", "backward_difference", "central_difference", "richardson"]
SAME = {name: 1e-10 if METHODS[name].exact else 1e-5 for name in METHODS}  # so far apart at most
VISIBLE, AFTER = 0.01, 20
EQUAL = 1e-17  # where equal parameters are drawn on a logarithmic axis


def cases(preset: Preset) -> list[Case]:
    full = preset.choose(smoke=False, quick=False, full=True)
    updates, rounds = preset.choose(smoke=(20, 2), quick=(20, 7), full=(200, 15))
    small, digits = SMALL | {"batch": 4 if full else 1}, DIGITS | {"batch": 8 if full else 2}
    large = {"network": "64-8-10", "sizes": [64, 8, 10], "rate": 0.5, "batch": 32}
    nets = preset.choose(smoke=[small], quick=[digits], full=[small, digits, large])
    doubles, kinds = ["float64"], ["float64", "float32"]
    wide = preset.choose(smoke=doubles, quick=kinds, full=kinds)
    paths = [
        (small, updates, ["tanh", "relu"] if full else ["tanh"], kinds if full else doubles),
        (digits, updates, ["relu"], wide),
        (digits, AFTER, ["tanh"] if full else [], doubles),
    ]
    fixed = {"activation": "relu", "dtype": "float64", "seed": 0, "rounds": rounds}
    return [
        *[{"part": PATH, **net, "updates": number, **own} for net, number, activations, dtypes
          in paths for own in lab.grid(activation=activations, dtype=dtypes, seed=preset.seeds)],
        *[{"part": TIME, **net, **fixed, "largest": net is nets[-1]} for net in nets],
    ]  # fmt: skip


def methods_for(case: Case) -> list[str]:
    """All methods; SymPy only where the network is small enough to be written out."""
    return [name for name in METHODS if name != "symbolic" or case["network"] == "4-3-2"]


def measure(case: Case, rng: np.random.Generator) -> Iterator[Row]:
    return times(case) if case["part"] == TIME else paths(case)


def paths(case: Case) -> Iterator[Row]:
    """Training by every method, side by side: gradients and parameters along the path.

    `parted` is the first update with parameters visibly apart, `off` the final accuracy minus
    reverse mode's, in points.
    """
    problem, updates, names = Problem.of(case), case["updates"], methods_for(case)
    batches, start = problem.minibatches(), problem.start
    run = f"{case['network']} {case['activation']} {case['dtype']}"
    origin = f"{run}, seed {case['seed']}"
    parted = dict.fromkeys(names, np.nan)
    walks = [path(problem, name, updates) for name in names]
    for number, places in enumerate(zip(*walks, strict=True)):
        found = dict(zip(names, places, strict=True))
        far = {name: apart(found[name], found["reverse"], start) if number else 0 for name in names}
        for name in names:
            if not far[name] <= VISIBLE and np.isnan(parted[name]):
                parted[name] = number
        if number not in LOGGED:
            continue
        batch, last = batches.take(number + 1), number == updates
        truth = problem.truth(found["reverse"], batch)
        judged = {name: problem.judged(found[name]) for name in names}
        for name in names:
            with np.errstate(all="ignore"):
                made = gradient_of(update_of(problem.spec, name))(*found["reverse"], *batch)
            row = {"run": run, "start": origin, "method": name, "update": number, "last": last,
                   **judged[name], "apart": far[name], "same": far[name] <= SAME[name],
                   "angle": angle(made, truth)}  # fmt: skip
            if last:
                off = 100 * (judged[name]["accuracy"] - judged["reverse"]["accuracy"])
                row |= {"off": off, "parted": parted[name]}
            yield row


def times(case: Case) -> Iterator[Row]:
    """The time of one update by every method whose update agrees, beside its operations."""
    problem = Problem.of(case)
    arrays, batch = problem.start, problem.minibatches().take(1)
    memory = problem.net.solver.memory(arrays)
    rows, calls, moved = {}, {}, {}
    for name in methods_for(case):
        call = functools.partial(update_of(problem.spec, name), arrays, batch, memory, 1)
        moved[name] = call()[2]
        rows[name] = counted(problem, name)
        if apart(moved[name], moved["reverse"], arrays) <= 100 * SAME[name]:
            calls[name] = call
    table = lab.interleave(calls, baseline="reverse", rounds=case["rounds"])
    for row in table.to_dict("records"):
        name = row.pop("contestant")
        yield {"method": name, **rows[name.split()[0]], **row}


def counted(problem: Problem, method: str) -> Row:
    """Parameters, operations and evaluations of a gradient."""
    net = problem.net
    wrt = range(len(flatten(net.parameters)[0]))
    batch = [np.ones((net.solver.batch_size, width)) for width in (net.inputs, net.last.units)]
    graph = simplify(trace(net.objective, net.parameters, *batch))
    derivation = update_of(problem.spec, method).derivation if method == "symbolic" else None
    costs = cost_of(derivation or METHODS[method].derive(graph, wrt), graph, wrt)
    return {"parameters": costs.pop("inputs"), **costs}


def results(rows: pd.DataFrame) -> list[Result]:
    early = {"part": PATH, "update": AFTER, "dtype": "float64"}
    others = [name for name in METHODS if name != "reverse"]
    ends = {"part": PATH, "last": True, "network": "16-8-10", "activation": "relu"}
    return [
        lab.every("exact_methods_train_alike", rows, "same", where=early | {"method": EXACT},
                  by="method", counted="runs", words=f"parameters after {AFTER} updates, relative"
                  " to the way gone, against reverse mode's"),
        lab.share("differences_train_alike", rows, "same", where=early | {"method": DIFFERENCES},
                  by="method", unit="start", words=f"runs whose parameters after {AFTER} updates"
                  " are within the bound of reverse mode's, relative to the way gone"),
        lab.timed("fraction_of_the_cost", rows, by="method",
                  where={"part": TIME, "largest": True, "method": others},
                  words="time of an update, relative to reverse mode's, side by side"),
        *[lab.mean(claim, rows, "off", by="method", where=ends | {"dtype": dtype, "method": others},
                   words="test accuracy minus reverse mode's at the end of training, network"
                   " 16-8-10")
          for claim, dtype in (("same_end_of_training", "float64"),
                               ("same_end_in_single_precision", "float32"))],
    ]  # fmt: skip


def figures(rows: pd.DataFrame) -> list[Figure]:
    own = rows[rows["part"] == PATH]
    own = own.assign(apart=own["apart"].clip(lower=EQUAL), angle=own["angle"].clip(lower=EQUAL))
    ends, digits = own[own["last"].eq(True)], own[own["network"] == "16-8-10"]
    far = own[own["dtype"].eq("float64") & (own["update"] > 0) & (own["method"] != "reverse")]
    exact = ends[ends["method"].isin(EXACT) & ends["dtype"].eq("float64")]["apart"].max()
    parted = ends[ends["parted"].notna()]["method"].value_counts()
    told = ", ".join(f"{name} {count}" for name, count in parted.items()) or "none"
    known = {"by": "run", "order": list(METHODS), "foot": f"{own['seed'].nunique()} seeds"}
    return [
        lab.curves(
            far, "apart", "update", "apart", "method", logarithms="xy",
            labels=("updates", "parameters apart (relative)"),
            caption="How far parameters are from reverse mode's, relative to the way they have"
            " gone; equal ones are drawn at 1e-17. A jump is a stencil that reaches across a kink.",
            alt="Curves of the difference from reverse mode's parameters for each method",
            finding=f"Exact methods train the same network: in float64 apart by at most {exact:.0e}"
            " at the end", **known,
        ),
        lab.curves(
            digits if len(digits) else own, "gradients", "update", "angle", "method",
            logarithms="y", labels=("updates", "angle to the exact gradient (radians)"),
            caption="The angle between a method's gradient and the exact one, along reverse mode's"
            " path.", alt="Curves of angles for each method", **known,
            finding=f"Visibly apart from reverse mode, of {ends['start'].nunique()} runs: {told}",
        ),
    ]  # fmt: skip


EXPERIMENT = Experiment(
    name="training_methods", title="Training by every method", version=2, order=30,
    question="Does it matter which way the gradient was made?",
    cases=cases, measure=measure, results=results, figures=figures,
    method=f"""
    Digits in 2 x 2 pixels (0 and 1; 4-3-2 units), 4 x 4 (16-8-10) and 8 x 8 (64-8-10), softmax with
    cross-entropy, plain gradient descent at a rate of 0.5: one loop, that of `Network.fit`, with
    its update compiled from each method's gradient. A seed sets split, start and order, whatever
    the method. Gradients are held against enclosures of the exact gradient in balls, at the
    parameters of reverse mode. Parameters apart: the largest difference of one from reverse mode's,
    relative to the farthest that one has gone; above {VISIBLE:g} it is called visible. Differences
    take their steps by theory, the same for all components of order 1.
    """,
    limitations="""
    Small networks, because numerical methods need an evaluation for every parameter; plain gradient
    descent for at most 200 updates. SymPy takes part in the smallest network alone. Rounding grows
    along a path at a rate that depends on the network: longer or less stable training would part
    the exact methods as well. What an update costs is of this machine and this package's programs.
    """,
    volatile=TIME_COLUMNS,
    timed=lambda case: case["part"] == TIME,
)  # fmt: skip

if __name__ == "__main__":
    lab.main(EXPERIMENT)
