"""How fast is difflab beside its peers?

What flows: workloads -> each contestant's call, held against those of the others -> times, taken in
one interleaved run, as ratios to the native engine. Who computes something else has no time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pandas as pd
from apparatus.peers import alone as in_a_process
from apparatus.peers import contestants as peers
from apparatus.peers import functions as own_words
from apparatus.peers.contestants import COMPILED, CONTESTANTS, HAND, JAX, NATIVE, chosen
from apparatus.peers.workloads import LOOP, NETWORKS, PRODUCT, TRAINING, apart, arrays, workload
from matplotlib.figure import Figure as Canvas

from difflab import lab
from difflab.lab import TIME_COLUMNS, Case, Experiment, Figure, Preset, Result, Row, Table
from difflab.operators import value_and_gradient

AGREES = {"float64": 1e-9, "float32": 1e-4}  # relative to the largest component
SIZES = {
    "Rosenbrock": [10, 1000, 100_000, 1_000_000], "Helmholtz": [8, 50, 1000],
    "logistic regression": [1000, 10_000], "Gaussian mixture": [1000],
    "softplus chain": [1000, 100_000], "LSTM cell": [16, 64], "attention": [64, 256],
    "bodies": [30, 200], LOOP: [20, 300], PRODUCT: [1000, 100_000], TRAINING: [*NETWORKS],
}  # fmt: skip
ALONE = ("Rosenbrock", "Helmholtz", "Gaussian mixture", "softplus chain", "attention")
AHEAD = {
    "ahead_of_jax": JAX, "ahead_of_pytorch": peers.TORCH, "ahead_of_autograd": peers.AUTOGRAD,
    "ahead_of_casadi": peers.CASADI, "ahead_of_numpy_engine": peers.NUMPY,
    "ahead_of_backpropagation_by_hand": HAND, "as_fast_as_c": peers.C,
}  # fmt: skip


def cases(preset: Preset) -> list[Case]:
    """Each names the contestants that are installed, so that a further one is a further case."""
    plain = [name for name in CONTESTANTS if name != COMPILED]  # which takes seconds to compile
    names = preset.choose(smoke=plain, quick=plain, full=[*CONTESTANTS])
    rounds, sample = preset.choose(smoke=(6, 1e-4), quick=(6, 1e-3), full=(15, 1e-2))
    quick = {name: sizes[:1] for name, sizes in SIZES.items()}
    sizes = preset.choose(smoke={"Rosenbrock": [10], LOOP: [2]}, quick=quick, full=SIZES)
    alone, repeats = preset.choose(smoke=((), 1), quick=(ALONE[:1], 1), full=(ALONE, 3))
    return [
        {"part": "contestants", "versions": {name: CONTESTANTS[name].version for name in names}},
        *[{"part": "time", "workload": name, "size": n, "rounds": rounds, "sample": sample,
           "among": chosen(workload(name, n), names)} for name in sizes for n in sizes[name]],
        *[{"part": "alone", "workload": name, "size": n, "repeats": repeats,
           "among": chosen(workload(name, n), plain)} for name in alone for n in SIZES[name][-1:]],
    ]  # fmt: skip


def measure(case: Case, rng: np.random.Generator) -> Iterator[Row]:
    return {"contestants": contestants, "time": times, "alone": alone}[case["part"]](case)


def contestants(case: Case) -> Iterator[Row]:
    """Who takes part, installed or not."""
    for name, version in case["versions"].items():
        yield {"contestant": name, "version": version, "call": CONTESTANTS[name].how}


def times(case: Case) -> Iterator[Row]:
    """Of each contestant: the first call, whether its result is that of most, its times if so."""
    task = workload(case["workload"], case["size"])
    facts: Row = {"label": task.label, "counts": task.counts}
    if task.direction is None:
        made = value_and_gradient(task.f(own_words), argnums=task.first, engine="numpy")
        graph = made.prepare(*task.args).derivation.graph
        facts["operations"] = graph.operation_count() if graph else None
    rows, calls, found = {}, {}, {}
    for name in case["among"]:
        CONTESTANTS[name].start()
        begun = time.perf_counter()
        calls[name] = CONTESTANTS[name].make(task)
        first = calls[name]()
        rows[name] = {"first_call_seconds": time.perf_counter() - begun}
        found[name] = arrays(first)  # now: a step of training overwrites its parameters
    for name, own in found.items():
        errors = sorted(apart(own, other) for who, other in found.items() if who != name)
        middle = errors[(len(errors) - 1) // 2] if errors else 0.0
        rows[name] |= {"apart": middle, "agrees": middle <= AGREES[arrays(task.args)[0].dtype.name]}
    racing = {name: call for name, call in calls.items() if rows[name]["agrees"]}
    if racing:
        table = lab.interleave(racing, rounds=case["rounds"], sample_seconds=case["sample"])
        for name, timings in table.set_index("contestant")[[*TIME_COLUMNS]].iterrows():
            rows.get(name, {}).update(timings.to_dict())  # the alias of the first has no row
    ranked = sorted(racing, key=lambda who: -rows[who]["ratio"])
    best = {peers.PROJECTS.get(name, name): name for name in ranked}
    for name, row in rows.items():
        project = peers.PROJECTS.get(name, name)
        yield {"contestant": name, "project": project, "best": best.get(project) == name,
               "beside": next(iter(racing), ""), **facts, **row}  # fmt: skip


def alone(case: Case) -> Iterator[Row]:
    """Start, first call and memory of each in new processes: medians."""
    name, size = case["workload"], case["size"]
    for who in case["among"]:
        runs = [in_a_process.measured(who, name, size) for _ in range(case["repeats"])]
        found = pd.DataFrame(runs).median().to_dict()
        yield {"contestant": who, "label": workload(name, size).label, **found}


def raced(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with a time beside the native engine's."""
    return rows[(rows["beside"] == NATIVE) & rows["ratio"].notna()] if "ratio" in rows else rows[:0]


def results(rows: pd.DataFrame) -> list[Result]:
    """Projects that did not run here are not judged."""
    if (own := raced(rows)).empty:
        return []
    found = [lab.every("peers_agree", rows, "agrees", where={"part": "time"},
                       counted="pairs of a contestant and a workload",
                       words="who disagrees with most others is not timed")]  # fmt: skip
    for claim, project in AHEAD.items():
        if (own["project"] == project).any():
            where = {"part": "time", "beside": NATIVE, "project": project, "best": True}
            words = ahead(own, project)
            found.append(lab.timed(claim, rows, where=where, by="label", words=words))
    for claim, part, column, words in (
        ("first_call_before_jax", "time", "first_call_seconds", "first calls, once a workload"),
        ("less_memory_than_jax", "alone", "process_bytes", "growth by imports and five calls"),
    ):
        if ((rows["part"] == part) & (rows["contestant"] == JAX)).any():
            found.append(lab.ratio(claim, rows, column, where={"part": part}, by=None, unit="label",
                                   left={"contestant": JAX}, right={"contestant": NATIVE},
                                   words=words))  # fmt: skip
    return found


def ahead(own: pd.DataFrame, project: str) -> str:
    """In words: on how many workloads by more than the noise, and by how much in the mean."""
    best = own[(own["project"] == project) & own["best"].eq(True)]
    many = f"{(best['ratio_low'] - best['noise'] > 1).sum()} of {len(best)} workloads"
    mean = np.exp(np.log(best["ratio"]).mean())
    told = f"{mean:,.0f}" if mean >= 99.5 else f"{mean:.2g}"  # no exponent
    return f"Ahead of {project} on {many}, {told} times as fast in the geometric mean"


def absent(rows: pd.DataFrame) -> str:
    """A sentence that names who is not installed."""
    names = rows.loc[rows["version"] == peers.ABSENT, "contestant"] if "version" in rows else []
    return f" Not installed: {', '.join(names)}." if len(names) else ""


def tables(rows: pd.DataFrame) -> list[Table]:
    taking = rows.loc[rows["part"] == "contestants", ["contestant", "version", "call"]]
    wrong = rows[rows["agrees"].eq(False)] if "agrees" in rows else rows[:0]
    words = ", ".join(f"{row.contestant} on {row.label}" for row in wrong.itertuples()) or "none"
    told = f"Left out because of another result: {words}.{absent(rows)}"
    return [Table("Who takes part", told, taking.reset_index(drop=True))]


def figures(rows: pd.DataFrame) -> list[Figure]:
    if (own := raced(rows)).empty:
        return []
    own = own[own["best"].eq(True) & (own["contestant"] != NATIVE)]
    who = next(name for name in AHEAD.values() if (own["project"] == name).any())
    by = own[own["project"] == who].set_index("label")["ratio"].sort_values()
    labels = [*by.index, *(label for label in own["label"].unique() if label not in by)]
    return [
        Figure("ratios", "Time of value and gradient relative to difflab's native engine (the line"
               " at 1), with 95 % intervals: right of the line difflab is faster. The grey band is"
               " the noise: difflab against itself. Of a project's ways, the fastest."
               + absent(rows), "Dots by workload and project on a logarithmic axis of time",
               lambda canvas: draw_ratios(canvas, own, labels), (9.5, 1.6 + 0.27 * len(labels)),
               finding=ahead(own, who), foot=f"one core; workloads: {len(labels)}"),
    ]  # fmt: skip


def draw_ratios(canvas: Canvas, own: pd.DataFrame, labels: list[str]) -> None:
    axes = canvas.subplots()
    styles = lab.looks(sorted(CONTESTANTS, key=lambda name: name in (COMPILED, NATIVE)))
    names = [who for who in CONTESTANTS if (own["project"] == who).any()]
    for who, shift in zip(names, np.linspace(0.3, -0.3, len(names)), strict=True):
        part, look = own[own["project"] == who], {**styles[who], "linestyle": "none"}
        place = part["label"].map(labels.index) + shift
        axes.plot(part["ratio"], place, markersize=4, label=who, **look)
        ends = part[["ratio_low", "ratio_high"]].assign(gap=np.nan).to_numpy().ravel()
        axes.plot(ends, np.repeat(place, 3), color=look["color"], linestyle="-")
    axes.axvline(1.0, color="black", linewidth=1)
    noise = own.groupby("label")["noise"].max().reindex(labels).clip(upper=0.9)
    axes.barh(range(len(labels)), 2 * noise, 0.9, 1 - noise, color="#cccccc", zorder=0)
    axes.set_yticks(range(len(labels)), labels)
    axes.set(xlabel="time / native engine's", xscale="log", ylim=(-0.6, len(labels) - 0.4))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()
    canvas.legend(loc="outside right center")


EXPERIMENT = Experiment(
    name="peers", title="Peers", question="How fast is difflab beside its peers?", version=2,
    cases=cases, measure=measure, results=results, tables=tables, figures=figures,
    method="""
    Each function is one text, run in the words of each library (in C and by hand the gradient is
    written out), as a competent user would: compiled once, in 64 bits, data handed over beforehand,
    NumPy's arrays in and out. A training step keeps its parameters in the library's own arrays, in
    float32 where it does not say otherwise. Only who gives what most others give, within 1e-9 of
    the largest component (float32: 1e-4), is timed. One core; each round visits every contestant
    once in a rotating order; ratios are medians of per-round ratios to the native engine, which
    runs twice to show the noise. First calls include tracing and compiling, but no imports, and are
    timed once a workload. Memory: a new process for each contestant and workload, median of three.
    """,
    limitations="""
    One core of one machine: threads, which JAX, PyTorch and difflab use for large arrays, are left
    out, and GPUs, for which JAX and PyTorch are made. Texts and workloads are this project's own. C
    is compiled with -ffast-math; at the least sizes its time is that of ctypes.
    """,
    volatile=(*TIME_COLUMNS, "best", "first_call_seconds", "start_seconds", "alone_seconds",
              "process_bytes"),
    timed=lambda case: case["part"] != "contestants", order=28,
)  # fmt: skip

if __name__ == "__main__":
    lab.main(EXPERIMENT)
