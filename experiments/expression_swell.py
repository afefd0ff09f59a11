"""How fast do symbolic derivatives grow?

The logistic map, nested functions and networks, ever larger: the operations of their derivatives as
SymPy writes them out, with common subexpressions shared, and by automatic differentiation. Four
operation counts of the logistic map have a closed form, which the counts must meet exactly.
"""

from __future__ import annotations

import statistics
import time
import tracemalloc
from collections.abc import Iterator

import numpy as np
import pandas as pd
import sympy
from _expression_swell_page import LAWS, Law, figures, largest, sections, tables
from apparatus.growth import fitted_exponent
from apparatus.swell_programs import (
    FAMILIES,
    Program,
    counts,
    expressions,
    logistic_counts,
    logistic_map,
    sympy_counts,
    with_tangent,
)
from sympy.core.cache import clear_cache

from difflab import derivative, jvp
from difflab.accuracy.truth import truth
from difflab.errors import BudgetError
from difflab.ir.expr import Graph
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
from difflab.methods import Forward, Method, Reverse
from difflab.methods.symbolic import Symbolic

PUBLISHED = "9.0660864"
"""The survey's l_4'(0.2)."""
LADDER = (*range(1, 17), 32, 64, 256)
"""The sizes that are tried in turn until a budget stops the derivation. (SymPy recurses to a depth
that allows a chain of 64 and not one of 256; in between, it depends on who calls.)"""


# Measuring ----------------------------------------------------------------------------------------


def cases(preset: Preset) -> list[Case]:
    sizes = {
        "logistic map": range(1, preset.choose(smoke=8, quick=10, full=10) + 1),
        "x tanh x, nested": range(1, preset.choose(smoke=6, quick=8, full=10) + 1),
        "tanh network, deeper": range(1, preset.choose(smoke=2, quick=3, full=5) + 1),
        "tanh network, wider": preset.choose(
            smoke=[1, 2], quick=[1, 2, 4, 8], full=[1, 2, 4, 8, 16]
        ),
        "sin x, nested": preset.choose(
            smoke=[1, 4, 16], quick=[1, 2, 4, 8, 16, 32], full=[1, 2, 4, 8, 16, 32, 64]
        ),
        "1/(1 + exp(-x)), nested": preset.choose(
            smoke=[1, 4], quick=[1, 2, 4, 8, 16], full=[1, 2, 4, 8, 16]
        ),
    }
    budgets = preset.choose(smoke=[500], quick=[2_000], full=[2_000, 20_000])
    larger = preset.choose(smoke=[], quick=[], full=[200_000])
    cheap = ["logistic map", "x tanh x, nested"]
    chains = ["sin x, nested", "1/(1 + exp(-x)), nested"]
    timed = {
        "logistic map": preset.choose(smoke=[2, 4, 6], quick=[2, 4, 6, 8], full=range(1, 11)),
        "tanh network, deeper": preset.choose(smoke=[1], quick=[1, 2], full=[1, 2, 3]),
    }
    rounds = preset.choose(smoke=1, quick=1, full=5)
    return [
        *[{"part": "counts", "family": name, "size": n} for name in sizes for n in sizes[name]],
        {"part": "values"},
        *grid(part=["budget"], family=cheap, operations=budgets + larger),
        *grid(part=["budget"], family=["tanh network, deeper", *chains], operations=budgets),
        *[{"part": "time", "family": name, "size": n, "rounds": rounds}
          for name in timed for n in timed[name]],
    ]  # fmt: skip


def measure(case: Case, rng: np.random.Generator) -> Iterator[Row]:
    parts = {"values": values, "budget": until_stopped, "time": times}
    if case["part"] in parts:
        yield from parts[case["part"]](case)
        return
    program = FAMILIES[case["family"]].program(case["size"])
    if case["family"] == "logistic map":
        yield counts(program) | logistic_counts(case["size"])
    else:
        yield counts(program) | sympy_counts(*expressions(program))


def values(case: Case) -> Iterator[Row]:
    """The survey's derivative at its point, by every way, against the truth and the print."""
    f, x = logistic_map(4), sympy.Symbol("x")
    exact = sympy.diff(f(x), x).subs(x, sympy.Rational(1, 5))
    places = len(PUBLISHED.partition(".")[2])
    enclosure = truth(f, 0.2)
    found = {
        name: derivative(f, method=name)(0.2) for name in ("symbolic", "forward", "reverse")
    } | {
        "loop with tangent": with_tangent(4)(0.2, 1.0)[1],
        "jvp": jvp(f, (0.2,), (1.0,))[1],
    }
    for name, value in found.items():
        yield {
            "method": name,
            "value": float(value),
            "ulps": float(np.max(enclosure.ulps(value))),
            "exact": str(exact),
            "as_printed": f"{value:.{places}f}" == PUBLISHED,
        }


def until_stopped(case: Case) -> Iterator[Row]:
    """Ever larger programs, up to the one that the budget stops."""
    family = FAMILIES[case["family"]]
    method = Symbolic(operations=case["operations"], seconds=3600.0)
    for size in LADDER:
        if family.log and size & (size - 1):
            continue
        program = family.program(size)
        graph, wrt = program.graph, program.wrt
        reverse = Reverse().derive(graph, wrt).graph
        assert reverse is not None
        row = {"size": size, "inputs": sum(graph.inputs[i].size for i in wrt),
               "reverse": reverse.operation_count()}  # fmt: skip
        clear_cache()  # what SymPy remembers of other sizes decides how deeply it recurses
        try:
            derivation = method.derive(graph, wrt)
        except BudgetError as reason:
            yield row | {"status": "stopped", "reached": reason.what}
            return
        yield row | {"tree_derivative": derivation.counts["derivative tree"]}


def times(case: Case) -> Iterator[Row]:
    """Seconds and peak memory of each derivation: the median of runs, each from empty caches."""
    program = FAMILIES[case["family"]].program(case["size"])
    methods: dict[str, Method] = {
        "symbolic": Symbolic(seconds=3600.0, operations=10**12),
        "forward": Forward(),
        "reverse": Reverse(),
    }
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(case["rounds"]):
        for name, method in methods.items():
            graph = fresh(program)
            start = time.perf_counter()
            method.derive(graph, program.wrt)
            seconds[name].append(time.perf_counter() - start)
    for name, method in methods.items():
        graph = fresh(program)
        tracemalloc.start()
        method.derive(graph, program.wrt)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        yield {"method": name, "seconds": statistics.median(seconds[name]), "peak_bytes": peak}


def fresh(program: Program) -> Graph:
    """A program's graph, while nothing of an earlier derivation is remembered."""
    clear_cache()
    return program.graph


# Findings -----------------------------------------------------------------------------------------


def findings(rows: pd.DataFrame) -> list[Evidence]:
    counted = rows[rows["part"] == "counts"]
    logistic = counted[counted["family"] == "logistic map"]
    return [
        *[law_holds(law, logistic) for law in LAWS],
        published_value(rows[rows["part"] == "values"]),
        swells(logistic),
        cse_closes_the_gap(largest(counted)),
        cse_is_enough(largest(counted)),
        no_swell(logistic),
    ]


def law_holds(law: Law, logistic: pd.DataFrame) -> Evidence:
    own = logistic[logistic["size"] >= law.first]
    holds = own[law.column] == own["size"].map(law.value)
    last = own.iloc[-1]
    return Evidence(
        law.claim,
        share_interval(holds),
        f"{holds.sum()} of {len(own)} counts, n = {own['size'].min():.0f} to"
        f" {own['size'].max():.0f}, are equal to the law; the largest is {last[law.column]:,.0f},"
        f" by the law {law.value(last['size']):,.0f}",
    )


def published_value(own: pd.DataFrame) -> Evidence:
    same = own["as_printed"].eq(True)
    return Evidence(
        "published_derivative",
        share_interval(same),
        f"{same.sum()} of {len(own)} ways ({', '.join(own['method'])}) give it to the last"
        f" digit printed, within {own['ulps'].max():.2g} ulps of the truth; SymPy's derivative at"
        f" the fraction 1/5 is {own['exact'].iloc[0]}",
    )


def swells(logistic: pd.DataFrame) -> Evidence:
    own = logistic[logistic["size"] >= 3].set_index("size")
    factors = (own["sympy_derivative"] / own["sympy_derivative"].shift()).dropna()
    interval = bootstrap_interval(factors)
    last = own.iloc[-1]
    return Evidence(
        "swells",
        interval,
        f"the factor from one n to the next is {interval} in the median, and"
        f" {factors.iloc[-1]:.2f} at the end; l_{own.index[-1]:.0f} has"
        f" {last['sympy_function']:,.0f} operations and its derivative"
        f" {last['sympy_derivative']:,.0f}, where a loop with tangents needs {last['loop']:.0f}",
    )


def cse_closes_the_gap(own: pd.DataFrame) -> Evidence:
    written = own["sympy_function"] + own["sympy_derivative"]
    closed = (written - own["sympy_cse"]) / (written - own["reverse"])
    interval = bootstrap_interval(closed)
    return Evidence(
        "sharing_closes_the_gap",
        interval,
        f"at the largest size of each of {len(own)} families it removes {interval} of the"
        f" operations in excess of reverse mode's (median); the least is {closed.min():.3g}"
        f" ({own.loc[closed.idxmin(), 'family']})",
    )


def cse_is_enough(own: pd.DataFrame) -> Evidence:
    ratios = own["sympy_cse"] / own["reverse"]
    each = ", ".join(f"{f} {r:.2f}" for f, r in zip(own["family"], ratios, strict=True))
    close = ratios.between(0.5, 1.5)
    return Evidence(
        "sharing_is_enough",
        share_interval(close),
        f"so it is in {close.sum()} of {len(own)} families; operations relative to reverse"
        f" mode: {each}",
    )


def no_swell(logistic: pd.DataFrame) -> Evidence:
    own = logistic[logistic["size"] >= 4]
    found = {
        column: fitted_exponent(own["function"], own[column])
        for column in ("sympy_cse", "loop", "forward", "reverse")
    }
    ours = [found[column] for column in ("forward", "reverse", "loop")]
    return Evidence(
        "automatic_does_not_swell",
        max(ours, key=lambda fit: fit.estimate),
        f"operations of the logistic map's derivative against the program's: exponent"
        f" {found['loop']} for the loop with tangents, {found['forward']} for forward and"
        f" {found['reverse']} for reverse mode, {found['sympy_cse']} after elimination of common"
        " subexpressions",
        also=ours,
    )


EXPERIMENT = Experiment(
    name="expression_swell",
    title="Expression swell",
    question="How fast do symbolic derivatives grow, and what does sharing save?",
    version=1,
    cases=cases,
    measure=measure,
    sections=sections,
    tables=tables,
    figures=figures,
    findings=findings,
    method="""
    The logistic map's loop `x = 4*x*(1 - x)` runs on a SymPy symbol, and `sympy.diff`
    differentiates the result; nothing is expanded or simplified by us, while SymPy by itself merges
    nested products and numeric factors. Written out: `sympy.count_ops` of that expression as a
    tree, where a difference is one operation and so is each multiplication, power and function
    call. Shared: `sympy.cse` of function and derivative together, operations of all parts added.
    The loop carries value and tangent, `x, dx = 4*x*(1 - x), (4 - 8*x)*dx`, and is counted as
    traced.

    Beside them stand our own methods: forward and reverse mode by the rules of the table, a
    primitive at a time, and `Symbolic` with and without elimination; all of them include the
    function's value. Networks have one instance and are differentiated by all weights; for SymPy
    they are written out element by element. A budget is a number of operations of one expression as
    a tree, with every negation counted; the derivation that exceeds it is the last one tried.
    """,
    limitations="""
    Another computer algebra system may merge less or share more. `count_ops` weighs a tanh like an
    addition. Peak memory is what Python allocates while deriving, without the programs compiled.
    """,
    volatile=("seconds", "peak_bytes"),
    timed=lambda case: case["part"] == "time",
    order=22,
)

if __name__ == "__main__":
    main(EXPERIMENT)
