"""How fast is difflab beside its peers?

Value and gradient of the same functions by difflab's two engines, by other projects and by code
written by hand, NumPy in and out, interleaved in one run: ratios to the native engine, first calls,
memory and growth. Who computes something else has no time, and who is not installed is named.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from _peers_page import beside, figures, intervals, short, tables
from apparatus.peers import alone as in_a_process
from apparatus.peers import functions as own_words
from apparatus.peers.contestants import (
    AUTOGRAD,
    CASADI,
    COMPILED,
    CONTESTANTS,
    HAND,
    JAX,
    NUMPY,
    TORCH,
    UNROLLED,
    C,
    chosen,
)
from apparatus.peers.training import NETWORKS, TRAINERS, start, trained
from apparatus.peers.workloads import SIZES, TRAINING, workload

from difflab.lab import (
    TIME_COLUMNS,
    Case,
    Evidence,
    Experiment,
    Preset,
    Row,
    interleave,
    main,
    share_interval,
)
from difflab.operators import value_and_gradient

AGREES = {"float64": 1e-9, "float32": 1e-4}
"""How far results may be apart, relative to the largest component of each."""

SLOW = (COMPILED, UNROLLED)
"""They take seconds to compile, and run in the full preset alone."""
SMOKE = {"Rosenbrock": [10], "Runge-Kutta": [2]}
QUICK = {
    "Rosenbrock": [10, 1000, 100_000],
    "Helmholtz": [8, 50],
    "logistic regression": [100],
    "Gaussian mixture": [100],
    "softplus chain": [1000],
    "LSTM cell": [16],
    "attention": [16],
    "bodies": [30],
    "Runge-Kutta": [10],
    "Hessian product": [1000],
}
FULL = {
    "Rosenbrock": [10, 1000, 100_000, 1_000_000],
    "Helmholtz": [8, 50, 1000],
    "logistic regression": [1000, 10_000],
    "Gaussian mixture": [1000],
    "softplus chain": [1000, 100_000],
    "LSTM cell": [16, 64],
    "attention": [64, 256],
    "bodies": [30, 200],
    "Runge-Kutta": [20, 300],
    "Hessian product": [1000, 100_000],
}
ALONE = {
    "Rosenbrock": [1_000_000],
    "Helmholtz": [1000],
    "Gaussian mixture": [1000],
    "softplus chain": [100_000],
    "attention": [256],
}


# Measuring ----------------------------------------------------------------------------------------


def cases(preset: Preset) -> list[Case]:
    """Each names the contestants that are installed, so that a further one is a further case."""
    names = [name for name in CONTESTANTS
             if name not in preset.choose(smoke=SLOW, quick=SLOW, full=())]  # fmt: skip
    protocol = preset.choose(
        smoke={"rounds": 2, "sample": 1e-4},
        quick={"rounds": 5, "sample": 1e-3},
        full={"rounds": 15, "sample": 1e-2},
    )
    sizes = preset.choose(smoke=SMOKE, quick=QUICK, full=FULL)
    networks = preset.choose(smoke=1, quick=2, full=len(NETWORKS))
    alone = preset.choose(smoke={}, quick={"Rosenbrock": [100_000]}, full=ALONE)
    left_out = preset.choose(smoke=SLOW, quick=(*SLOW, HAND, C), full=SLOW)
    processes = [name for name in names if name not in left_out]
    return [
        {"part": "contestants", "versions": {name: CONTESTANTS[name].version for name in names}},
        *[{"part": "time", "workload": name, "size": n, **protocol,
           "among": chosen(workload(name, n), names)} for name in sizes for n in sizes[name]],
        *[{"part": "training", "network": name, **protocol, "among": trained(names)}
          for name in [*NETWORKS][:networks]],
        *[{"part": "alone", "workload": name, "size": n,
           "among": chosen(workload(name, n), processes),
           "repeats": preset.choose(smoke=1, quick=1, full=3)} for name in alone
          for n in alone[name]],
    ]  # fmt: skip


def measure(case: Case, rng: np.random.Generator) -> Iterator[Row]:
    parts = {"contestants": versions, "time": times, "training": training, "alone": alone}
    yield from parts[case["part"]](case)


def versions(case: Case) -> Iterator[Row]:
    """Who takes part, and who is not installed."""
    for name, version in case["versions"].items():
        yield {"contestant": name, "version": version, "call": CONTESTANTS[name].how}


def times(case: Case) -> Iterator[Row]:
    """First calls one by one, and steady calls of all that agree side by side."""
    task = workload(case["workload"], case["size"])
    facts = {
        "label": f"{task.name}, {task.size:,}",
        "counts": SIZES[task.name],
        "numbers": sum(array.size for array in task.args),
    }
    if task.direction is None:
        made = value_and_gradient(task.f(own_words), argnums=tuple(range(task.wrt)), engine="numpy")
        graph = made.prepare(*task.args).derivation.graph
        assert graph is not None
        facts["operations"] = graph.operation_count()

    def prepared(name: str) -> tuple[Callable[[], Any], Callable[[Any], list[Any]]]:
        return CONTESTANTS[name].make(task), list

    yield from raced(case, prepared, facts, "float64")


def training(case: Case) -> Iterator[Row]:
    """The same for one step of training; what must agree is the loss and the new parameters."""

    def prepared(name: str) -> tuple[Callable[[], Any], Callable[[Any], list[Any]]]:
        step, parameters = TRAINERS[name](begin)
        return step, lambda loss: [loss, *(own.copy() for own in parameters())]

    begin = start(case["network"])
    facts = {
        "label": f"{TRAINING}, {case['network']}",
        "workload": TRAINING,
        "numbers": begin.x.size + sum(w.size + b.size for w, b in begin.layers),
    }
    yield from raced(case, prepared, facts, begin.x.dtype.name)


def raced(
    case: Case,
    prepared: Callable[[str], tuple[Callable[[], Any], Callable[[Any], list[Any]]]],
    facts: Row,
    dtype: str,
) -> Iterator[Row]:
    """A row for each contestant: whether its first result is that of most, and its times if so."""
    calls, results, rows = {}, {}, {}
    for name in case["among"]:
        CONTESTANTS[name].start()
        begun = time.perf_counter()
        call, result = prepared(name)
        found = call()
        rows[name] = {"first_call_seconds": time.perf_counter() - begun}
        calls[name], results[name] = call, result(found)
    for name, own in results.items():
        errors = sorted(apart(own, other) for who, other in results.items() if who != name)
        middle = errors[(len(errors) - 1) // 2] if errors else 0.0
        rows[name] |= {"apart": middle, "agrees": middle <= AGREES[dtype]}
    racing = {name: call for name, call in calls.items() if rows[name]["agrees"]}
    timings: dict[Any, Any] = {}
    if racing:
        table = interleave(racing, rounds=case["rounds"], sample_seconds=case["sample"])
        timings = table.set_index("contestant")[list(TIME_COLUMNS)].to_dict("index")
    first = next(iter(racing), "")
    for name, row in rows.items():
        yield {"contestant": name, "beside": first, **facts, **row, **timings.get(name, {})}


def apart(own: list[Any], other: list[Any]) -> float:
    """The largest difference, relative to the largest component of the array that it is in."""
    return max(
        float(np.max(np.abs(np.subtract(a, b))) / (np.max(np.abs(b)) or 1.0))
        for a, b in zip(own, other, strict=True)
        if a is not None and b is not None
    )


def alone(case: Case) -> Iterator[Row]:
    """Start, first call and memory of each in new processes: medians."""
    for name in case["among"]:
        found = pd.DataFrame(
            in_a_process.measured(name, case["workload"], case["size"])
            for _ in range(case["repeats"])
        )
        yield {"contestant": name, **found.median().to_dict()}


# Findings -----------------------------------------------------------------------------------------


def findings(rows: pd.DataFrame) -> list[Evidence]:
    own = rows[rows["part"].isin(["time", "training"])]
    agrees = own["agrees"].eq(True)
    return [
        Evidence(
            "peers_agree",
            share_interval(agrees),
            f"{agrees.sum()} of {len(own)} pairs of a contestant and a workload give the value and"
            " the gradient that most others give; the rest are not timed",
        ),
        ahead(rows, "ahead_of_jax", JAX, UNROLLED),
        ahead(rows, "ahead_of_pytorch", TORCH, COMPILED),
        ahead(rows, "ahead_of_autograd", AUTOGRAD),
        ahead(rows, "ahead_of_casadi", CASADI),
        ahead(rows, "ahead_of_numpy_engine", NUMPY),
        ahead(rows, "as_fast_as_c", C),
    ]


def ahead(rows: pd.DataFrame, claim: str, *names: str) -> Evidence:
    """The faster of the contestants of those names by workload; shown is the least ratio."""
    own = beside(rows, names)
    if own.empty:
        return Evidence(claim, None, f"not measured here: {' and '.join(names)} did not run")
    found = intervals(own)
    least = min(found, key=lambda interval: interval.estimate)
    behind = own[own["ratio"] < 1]
    slower = ", ".join(f"{row.label} ({short(row.ratio)})" for row in behind.itertuples())
    return Evidence(
        claim,
        least,
        f"{names[0]} takes {short(own['ratio'].min())} to {short(own['ratio'].max())} times as long"
        f" over {len(own)} workloads, {short(np.exp(np.log(own['ratio']).mean()))} times in the"
        f" geometric mean; it is the faster one on {slower or 'none'}. Each interval is widened by"
        " the noise of its workload; the one shown is the least",
        also=found,
    )


EXPERIMENT = Experiment(
    name="peers",
    title="Peers",
    question="How fast is difflab beside its peers?",
    version=1,
    cases=cases,
    measure=measure,
    tables=tables,
    figures=figures,
    findings=findings,
    method="""
    Each function is one text, run in the words of each library (for CasADi, for C and by hand it is
    written anew), as a competent user would: compiled once, in 64 bits, data handed over
    beforehand. NumPy's arrays go in and come out. A training step keeps its parameters in the
    library's own arrays, in float32 where it does not say otherwise. Before any is timed, value and
    gradient must be what most others give, within 1e-9 of the largest component (float32: 1e-4).

    Times: one core, one thread, each round visits every contestant once in a rotating order; ratios
    are medians of per-round ratios to the first contestant, difflab's native engine, which runs
    twice to show the noise. A first call includes tracing and compiling, but neither imports nor a
    library's start. Alone: a new process for each contestant and workload.
    """,
    limitations="""
    One core of one machine: threads, which JAX, PyTorch and difflab use for large arrays, are left
    out, and so are GPUs, for which JAX and PyTorch are made. The texts are this project's, and not
    those of the libraries' authors. C is compiled with -ffast-math, and at the
    least sizes its time is that of ctypes. Loops of many steps have no form by torch.compile.
    """,
    volatile=(*TIME_COLUMNS, "first_call_seconds", "start_seconds", "alone_seconds", "start_bytes",
              "peak_bytes"),
    timed=lambda case: case["part"] != "contestants",
    order=28,
)  # fmt: skip

if __name__ == "__main__":
    main(EXPERIMENT)
