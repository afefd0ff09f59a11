"""What does a gradient cost?

Functions of ever more inputs, differentiated by every method: operations and evaluations relative
to the function, and times beside them, a phase at a time. Operations do not depend on the machine;
the laws of growth are judged on them, and the times say what becomes of the laws in practice.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd
from _cost_page import (
    ASYMPTOTIC,
    BOUND,
    crossings,
    figures,
    growth,
    over_bound,
    ratio_interval,
    rounded,
    tables,
    timed_methods,
)
from apparatus.cost_passes import PASSES, passes, passes_needed
from apparatus.cost_programs import (
    AGREES,
    FUNCTIONS,
    between,
    calling,
    cost_of,
    prepared_in_phases,
    relative_error,
    true_gradient,
)

from difflab.accuracy.zoo import ZOO
from difflab.ir.tree import flatten
from difflab.lab import (
    TIME_COLUMNS,
    Case,
    Evidence,
    Experiment,
    Preset,
    Row,
    bootstrap_interval,
    interleave,
    main,
    share_interval,
)
from difflab.methods import METHODS
from difflab.operators import jacobian, value_and_gradient
from difflab.operators.operators import Compiled
from difflab.table.identities import simplify
from difflab.tracing.trace import read_arguments, trace

EVERY_DIRECTION = ("forward", "forward_difference", "central_difference", "complex_step")
"""The methods that visit each input apart."""
INPUTS = 1500
"""They are left out where there are more inputs: their batch holds inputs x inputs numbers."""
WRITTEN_OUT = {"Helmholtz": 8, "Rosenbrock": 30, "network": 4}
"""The largest size at which SymPy is tried; it takes half a second there."""


# Measuring ----------------------------------------------------------------------------------------


def cases(preset: Preset) -> list[Case]:
    every = preset.choose(smoke=2, quick=1, full=1)
    counted = {
        "Helmholtz": [1, 8, 15, 22, 29, 36, 43, 50, 70, 100, 140, 200, 300, 400][::every],
        "Rosenbrock": [10, 20, 50, 100, 200, 300, 500, 1000, 10_000, 100_000, 1_000_000][::every],
        "network": [2, 4, 7, 8, 12, 16, 24, 32][::every],
    }
    timed = {
        "Helmholtz": preset.choose(
            smoke=[1], quick=[1, 8, 22, 50], full=[1, 8, 15, 22, 29, 36, 43, 50, 100, 200]
        ),
        "Rosenbrock": preset.choose(
            smoke=[], quick=[10, 100, 1000], full=[10, 30, 100, 300, 1000, 10_000, 100_000, 10**6]
        ),
        "network": preset.choose(smoke=[], quick=[2, 4, 8], full=[2, 4, 8, 16, 32]),
    }
    protocol = preset.choose(
        smoke={"rounds": 2, "sample": 1e-3},
        quick={"rounds": 9, "sample": 2e-3},
        full={"rounds": 15, "sample": 1e-2},
    )
    products = preset.choose(
        smoke=[64, 256], quick=[64, 144, 256, 576, 1024], full=[64, 144, 256, 576, 1024, 2304, 4096]
    )
    return [
        *[{"part": "counts", "function": name, "size": n}
          for name in counted for n in counted[name]],
        *[{"part": "passes", "function": name, "size": n}
          for name in PASSES for n in PASSES[name]],
        *[{"part": "shapes", "product": product} for product in products],
        {"part": "zoo"},
        *[{"part": "time", "function": name, "size": n, **protocol}
          for name in timed for n in timed[name]],
        {"part": "overhead", "sizes": [1, 50], **protocol},
        {"part": "shapes time", "product": products[-1], **protocol},
    ]  # fmt: skip


def measure(case: Case, rng: np.random.Generator) -> Iterator[Row]:
    parts = {"counts": counts, "passes": passes, "shapes": shapes, "zoo": zoo, "time": times,
             "overhead": overhead, "shapes time": shape_times}  # fmt: skip
    yield from parts[case["part"]](case)


def counts(case: Case) -> Iterator[Row]:
    """The operations of value and gradient by each method."""
    program = FUNCTIONS[case["function"]](case["size"])
    graph = simplify(trace(program.f, *program.args))
    wrt = range(len(flatten(program.args[0])[0]))
    for name in methods_for(case, sum(graph.inputs[i].size for i in wrt)):
        yield {"method": name, **cost_of(METHODS[name].derive(graph, wrt), graph, wrt)}


def methods_for(case: Case, inputs: int) -> list[str]:
    """The methods that are feasible at a size."""
    chosen = ["reverse", *(EVERY_DIRECTION if inputs <= INPUTS else ())]
    return [*chosen, *(["symbolic"] if case["size"] <= WRITTEN_OUT[case["function"]] else [])]


def shapes(case: Case) -> Iterator[Row]:
    """Both modes on functions with n inputs and m outputs, n m fixed."""
    for inputs, outputs in sides(case["product"]):
        program = between(inputs, outputs)
        graph = simplify(trace(program.f, *program.args))
        own = graph.operation_count()
        forward, reverse = (
            cost_of(METHODS[name].derive(graph, [0]), graph, [0])["operations"]
            for name in ("forward", "reverse")
        )
        yield {"inputs": inputs, "outputs": outputs, "function_operations": own,
               "forward": forward / own, "reverse": reverse / own}  # fmt: skip


def sides(product: int) -> Iterator[tuple[int, int]]:
    """Inputs and outputs, from many outputs to many inputs, of about the product."""
    for power in range(-5, 6):
        yield round((product * 2.0**power) ** 0.5), round((product / 2.0**power) ** 0.5)


def zoo(case: Case) -> Iterator[Row]:
    """Reverse mode on every function of the zoo that has one output, at its first point."""
    for name, entry in ZOO.items():
        args = entry.points[0].args
        graph = simplify(trace(entry.f, *args))
        own = graph.operation_count()
        if sum(out.size for out in graph.outputs) == 1 and own:
            wrt = [i for i, x in enumerate(graph.inputs) if x.differentiable]
            row = cost_of(METHODS["reverse"].derive(graph, wrt), graph, wrt)
            yield {"function": name, "summary": entry.summary, **row}


# Time ---------------------------------------------------------------------------------------------


def times(case: Case) -> Iterator[Row]:
    """Every phase of every method; steady calls side by side, beside the function's own."""
    program = FUNCTIONS[case["function"]](case["size"])
    arrays = read_arguments(program.args, {})[1]
    graph = simplify(trace(program.f, *program.args))
    wrt = range(len(flatten(program.args[0])[0]))
    known = true_gradient(case["function"], case["size"])
    rows: dict[str, Row] = {"function": {"operations": graph.operation_count(), "relative": 1.0}}
    calls = {"function": calling(Compiled(program.f, "numpy").prepare(*program.args), arrays)}
    for name in methods_for(case, sum(graph.inputs[i].size for i in wrt)):
        prepared, phases = prepared_in_phases(program, name)
        error = relative_error(prepared.run(*arrays)[1 : 1 + len(known)], known)
        agrees = error <= AGREES[METHODS[name].exact]
        if agrees:  # a method that is wrong has no time
            calls[name] = calling(prepared, arrays)
        rows[name] = {**cost_of(METHODS[name].derive(graph, wrt), graph, wrt), **phases,
                      "relative_error": error, "agrees": agrees}  # fmt: skip
    calls["plain NumPy"] = partial(program.f, *program.args)
    rows |= {"plain NumPy": rows["function"], "function (again)": rows["function"]}
    table = interleave(calls, rounds=case["rounds"], sample_seconds=case["sample"])
    timings = table.set_index("contestant")[list(TIME_COLUMNS)].to_dict("index")
    for name, row in rows.items():
        yield {"method": name, **row, **timings.get(name, {})}


def overhead(case: Case) -> Iterator[Row]:
    """The Helmholtz energy and its gradients at the least n, relative to the most."""
    programs = {n: FUNCTIONS["Helmholtz"](n) for n in case["sizes"]}
    for name in ("function", "reverse", "forward"):
        calls, operations = {}, {}
        for n, program in sorted(programs.items(), reverse=True):
            made = (
                Compiled(program.f, "numpy")
                if name == "function"
                else value_and_gradient(program.f, method=name, engine="numpy")
            )
            arrays = read_arguments(program.args, {})[1]
            prepared = made.prepare(*program.args)
            assert prepared.derivation.graph is not None
            calls[str(n)] = calling(prepared, arrays)
            operations[n] = prepared.derivation.graph.operation_count()
        table = interleave(calls, rounds=case["rounds"], sample_seconds=case["sample"])
        timings = table.set_index("contestant")[list(TIME_COLUMNS)].to_dict("index")
        for n in case["sizes"]:
            yield {"method": name, "n": n, "operations": operations[n], **timings[str(n)]}


def shape_times(case: Case) -> Iterator[Row]:
    """The Jacobian by both modes, side by side."""
    for inputs, outputs in sides(case["product"]):
        program = between(inputs, outputs)
        arrays = read_arguments(program.args, {})[1]
        calls = {
            name: calling(
                jacobian(program.f, method=name, engine="numpy").prepare(*program.args), arrays
            )
            for name in ("reverse", "forward")
        }
        table = interleave(calls, rounds=case["rounds"], sample_seconds=case["sample"])
        row = table[table["contestant"] == "forward"].to_dict("records")[0]
        yield {"inputs": inputs, "outputs": outputs,
               **{key: row[key] for key in TIME_COLUMNS}}  # fmt: skip


# Findings -----------------------------------------------------------------------------------------


def findings(rows: pd.DataFrame) -> list[Evidence]:
    differences = ["forward_difference", "central_difference", "complex_step"]
    return [
        *passes_needed(rows[rows["part"] == "passes"]),
        only_the_forward_pass(rows),
        grows(rows, "forward_grows_with_inputs", ["forward"], 1.0),
        grows(rows, "differences_grow_with_inputs", differences, 1.0),
        grows(rows, "reverse_does_not_grow", ["reverse"], 0.0),
        cheap(rows),
        cheap_everywhere(rows),
        break_even(rows),
        cheap_in_time(rows),
        dominated_by_overhead(rows),
    ]


def only_the_forward_pass(rows: pd.DataFrame) -> Evidence:
    own = rows[(rows["part"] == "time") & (rows["method"] == "reverse")]
    agrees = own["agrees"].eq(True)
    return Evidence(
        "only_the_forward_pass",
        share_interval(agrees),
        f"from the plain NumPy function alone, reverse mode makes the gradient of {agrees.sum()} of"
        f" {len(own)} programs ({', '.join(own['function'].unique())}), from"
        f" {own['inputs'].min():,.0f} to {own['inputs'].max():,.0f} inputs, with a relative error"
        f" of at most {own['relative_error'].max():.1e} against the truth",
    )


def grows(rows: pd.DataFrame, claim: str, methods: list[str], expected: float) -> Evidence:
    """All exponents of a group of methods; the one shown is the farthest off."""
    fits = {key: fit for key, fit in growth(rows).items() if key[1] in methods}
    worst = max(fits.values(), key=lambda fit: abs(fit.estimate - expected))
    functions = ", ".join(dict.fromkeys(function for function, _ in fits))
    each = "; ".join(
        f"{method} "
        + ", ".join(rounded(fit.estimate) for key, fit in fits.items() if method in key)
        for method in methods
    )
    return Evidence(
        claim,
        worst,
        f"exponents of the number of inputs, from {ASYMPTOTIC} inputs on, for {functions}:"
        f" {each}; the interval is of the one farthest from {expected:.0f}",
        also=list(fits.values()),
    )


def cheap(rows: pd.DataFrame) -> Evidence:
    own = rows[(rows["part"] == "counts") & (rows["method"] == "reverse")]
    ranges = ", ".join(
        f"{name} {part.min():.2f} to {part.max():.2f}"
        for name, part in own.groupby("function")["relative"]
    )
    return Evidence(
        "cheap_gradient",
        share_interval(own["relative"] <= BOUND),
        f"value and gradient cost {ranges} times the function's operations, in the median"
        f" {own['relative'].median():.2f} times, from {own['inputs'].min():,.0f} to"
        f" {own['inputs'].max():,.0f} inputs",
    )


def cheap_everywhere(rows: pd.DataFrame) -> Evidence:
    own = rows[rows["part"] == "zoo"]
    over = over_bound(rows)
    short = over["function_operations"].max()
    longer = own[own["function_operations"] > short]
    names = ", ".join(f"{row.function} {row.relative:.3g}" for row in over.itertuples())
    return Evidence(
        "cheap_gradient_of_any_function",
        share_interval(own["relative"] <= BOUND),
        f"so it does for {len(own) - len(over)} of {len(own)} functions of the zoo, in the"
        f" median {own['relative'].median():.2f} times, and for all {len(longer)} of more than"
        f" {short:.0f} operations. A primitive counts as one operation here, and where the function"
        " is hardly more than one, a derivative that keeps all digits is more than four:"
        f" {names}",
    )


def break_even(rows: pd.DataFrame) -> Evidence:
    found = crossings(rows)
    interval = bootstrap_interval(found)
    own = rows[rows["part"] == "shapes"]
    narrow, wide = (own.loc[pick] for pick in (own["reverse"].idxmin(), own["forward"].idxmin()))
    return Evidence(
        "break_even",
        interval,
        f"equal operations at inputs / outputs = {interval}, over {len(found)} products"
        f" of both. From R^{wide['inputs']:.0f} to R^{wide['outputs']:.0f} reverse mode costs"
        f" {wide['reverse'] / wide['forward']:.1f} times as much as forward mode, from"
        f" R^{narrow['inputs']:.0f} to R^{narrow['outputs']:.0f} forward mode"
        f" {narrow['forward'] / narrow['reverse']:.1f} times as much as reverse mode",
    )


def cheap_in_time(rows: pd.DataFrame) -> Evidence:
    own = timed_methods(rows)
    own = own[own["method"] == "reverse"]
    worst = own.loc[own["ratio"].idxmax()]
    return Evidence(
        "cheap_gradient_in_time",
        ratio_interval(worst),
        f"the ratio of times is {own['ratio'].min():.2f} to {own['ratio'].max():.2f} over"
        f" {len(own)} programs, in the median {own['ratio'].median():.2f}; the largest is"
        f" {worst['function']} with {worst['inputs']:,.0f} inputs. The function against itself"
        f" strays by up to {100 * own['noise'].max():.0f} %",
        also=[ratio_interval(row) for _, row in own.iterrows()],
    )


def dominated_by_overhead(rows: pd.DataFrame) -> Evidence:
    own = rows[rows["part"] == "overhead"]
    least, most = int(own["n"].min()), int(own["n"].max())
    small = own[own["n"] == least].set_index("method")
    work = own[own["method"] == "reverse"].set_index("n")["operations"]
    large = own[own["n"] == most].set_index("method")[["seconds", "operations"]]
    beside = large.loc["forward"] / large.loc["function"]
    interval = ratio_interval(small.loc["reverse"])
    others = (
        f"{small.loc['function', 'ratio']:.2f} of the function's,"
        f" {small.loc['forward', 'ratio']:.2f} of forward mode's"
    )
    return Evidence(
        "overhead_at_small_sizes",
        interval,
        f"value and gradient of the Helmholtz energy have {work[most] / work[least]:.0f}"
        f" times as many operations at n = {most} as at n = {least}, yet {interval} of the time at"
        f" n = {most} is spent at n = {least} already ({others}). So at n = {most} forward mode"
        f" takes {beside['seconds']:.1f} times the function's time for {beside['operations']:.1f}"
        " times its operations",
    )


EXPERIMENT = Experiment(
    name="cost",
    title="Cost",
    question="What does a gradient cost, beside the function itself?",
    version=1,
    cases=cases,
    measure=measure,
    tables=tables,
    figures=figures,
    findings=findings,
    method=f"""
    Each method makes the program of value and gradient; its operations are counted per array
    element (a function call is one, a matrix product is its multiplications and additions) and
    divided by those of the function, simplified. The complex step has no program: its evaluations
    are counted, in complex arithmetic. An exponent is the least-squares slope of log(ratio) on
    log(inputs) from {ASYMPTOTIC} inputs on, where constant terms are small beside n; its interval
    says how far the counts are from a power law. Nothing is subtracted.

    Times: one BLAS thread, one core, each round visits every method once in a rotating order;
    ratios are medians of per-round ratios to the compiled function, which runs twice to show the
    noise. A gradient is timed only if it agrees with the enclosure of the truth. Derivations are
    the median of three; SymPy's is one, from empty caches.
    """,
    limitations=f"""
    Operations are not equal in time: a tanh is tens of additions. Methods that visit every input
    apart are left out above {INPUTS} inputs, where their batch would fill the memory, and SymPy
    beyond the sizes that it derives in about a second. One engine, NumPy's; a compiler would move
    the overhead. The complex step runs node by node, outside that engine, so that its time has more
    overhead than the others'.
    """,
    volatile=(*TIME_COLUMNS, *(f"{phase}_seconds" for phase in
                               ("trace", "derive", "simplify", "compile"))),
    timed=lambda case: case["part"] in ("time", "overhead", "shapes time"),
    order=24,
)  # fmt: skip

if __name__ == "__main__":
    main(EXPERIMENT)
