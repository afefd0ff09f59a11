"""What does a gradient cost?

What flows: functions of ever more inputs, differentiated by every method -> operations and
evaluations relative to the function -> times beside them, a phase at a time.

Invariant: the laws of growth are judged on operations, which do not depend on the machine; a method
that disagrees with the truth at the point has no time.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd
from apparatus.cost_programs import (
    AGREES,
    FAMILIES,
    FUNCTIONS,
    between,
    calling,
    cost_of,
    passes,
    prepared_in_phases,
    program,
    relative_error,
    true_gradient,
)
from matplotlib.figure import Figure as Canvas

from difflab.accuracy.zoo import ZOO
from difflab.ir.tree import flatten
from difflab.lab import (
    TIME_COLUMNS,
    Case,
    Experiment,
    Figure,
    Preset,
    Result,
    Row,
    Table,
    every,
    exponent,
    interleave,
    looks,
    main,
    mean,
    timed,
)
from difflab.methods import METHODS
from difflab.operators import jacobian, value_and_gradient
from difflab.operators.operators import Compiled
from difflab.table.identities import simplify
from difflab.tracing.trace import read_arguments, trace

DIFFERENCES = ("forward_difference", "central_difference", "complex_step")
INPUTS = 1500
"""Methods that visit each input apart are left out above: their batch is inputs x inputs."""
WRITTEN_OUT = {"Helmholtz": 8, "Rosenbrock": 20, "network": 4}
"""The largest size at which SymPy is tried; it takes half a second there."""
BOUND = 5.0
"""The cheap-gradient bound, in operations of value and gradient relative to the function's."""
PHASES = ("trace", "derive", "simplify", "compile")


def cases(preset: Preset) -> list[Case]:
    step = preset.choose(smoke=3, quick=2, full=1)
    sizes = {
        "Helmholtz": [1, 8, 15, 22, 36, 50, 100, 200, 400],
        "Rosenbrock": [10, 20, 50, 100, 300, 1000, 10_000, 100_000, 1_000_000],
        "network": [2, 4, 8, 12, 16, 24, 32],
    }
    timed_sizes = {
        "Helmholtz": preset.choose(smoke=[1], quick=[8, 50], full=[1, 8, 22, 50, 100, 200]),
        "Rosenbrock": preset.choose(
            smoke=[], quick=[1000], full=[10, 100, 1000, 10_000, 100_000, 1_000_000]
        ),
        "network": preset.choose(smoke=[], quick=[8], full=[2, 4, 8, 16, 32]),
    }
    protocol = preset.choose(
        smoke={"rounds": 2, "sample": 1e-3},
        quick={"rounds": 7, "sample": 2e-3},
        full={"rounds": 15, "sample": 1e-2},
    )
    widths = {"of a vector": [48, 96, 192, 384], "networks": [8, 12, 16]}
    products = [64, 144, 256, 576, 1024, 2304, 4096]
    return [
        *[{"part": "counts", "function": name, "size": n}
          for name in sizes for n in sizes[name][::step]],
        *[{"part": "growth", "family": family, "function": name, "size": n}
          for family in FAMILIES for name in FAMILIES[family][::step] for n in widths[family]],
        *[{"part": "passes", "function": name, "size": n}
          for name in FUNCTIONS for n in sizes[name][:4:step]],
        *[{"part": "shapes", "product": product} for product in products[: 8 - step]],
        {"part": "zoo"},
        *[{"part": "time", "function": name, "size": n, **protocol}
          for name in timed_sizes for n in timed_sizes[name]],
        {"part": "overhead", "sizes": [1, 50], **protocol},
        {"part": "shapes time", "product": 4096 // step**2, **protocol},
    ]  # fmt: skip


def measure(case: Case, rng: np.random.Generator) -> Iterator[Row]:
    parts = {"counts": counts, "growth": counts, "shapes": shapes, "zoo": zoo, "time": times,
             "overhead": overhead, "shapes time": shape_times}  # fmt: skip
    if case["part"] == "passes":
        yield from passes(case["function"], case["size"])
    else:
        yield from parts[case["part"]](case)


def counts(case: Case) -> Iterator[Row]:
    """The operations of value and gradient by each method."""
    made = program(case["function"], case["size"])
    graph = simplify(trace(made.f, *made.args))
    wrt = range(len(flatten(made.args[0])[0]))
    for name in methods_for(case, sum(graph.inputs[i].size for i in wrt)):
        row = cost_of(METHODS[name].derive(graph, wrt), graph, wrt)
        label = f"{case.get('family', case['function'])}, {name}"
        yield {"method": name, "label": label, **row, "cheap": row["relative"] <= BOUND}


def methods_for(case: Case, inputs: int) -> list[str]:
    """The methods that are feasible at a size."""
    chosen = ["reverse", *(("forward", *DIFFERENCES) if inputs <= INPUTS else ())]
    return [
        *chosen,
        *(["symbolic"] if case["size"] <= WRITTEN_OUT.get(case["function"], 0) else []),
    ]


def shapes(case: Case) -> Iterator[Row]:
    """Both modes on functions with n inputs and m outputs, n m fixed; where they cost the same."""
    rows = []
    for inputs, outputs in sides(case["product"], range(-5, 6)):
        made = between(inputs, outputs)
        graph = simplify(trace(made.f, *made.args))
        forward, reverse = (
            cost_of(METHODS[name].derive(graph, [0]), graph, [0])["relative"]
            for name in ("forward", "reverse")
        )
        rows.append({"inputs": inputs, "outputs": outputs, "forward": forward, "reverse": reverse})
    quotients = [np.log(row["inputs"] / row["outputs"]) for row in rows]
    costs = [np.log(row["forward"] / row["reverse"]) for row in rows]
    for row in rows:
        yield {**row, "crossing": float(np.exp(np.interp(0.0, costs, quotients)))}


def sides(product: int, powers: range) -> Iterator[tuple[int, int]]:
    """Inputs and outputs, from many outputs to many inputs, of about the product."""
    for power in powers:
        yield round((product * 2.0**power) ** 0.5), round((product / 2.0**power) ** 0.5)


def zoo(case: Case) -> Iterator[Row]:
    """Reverse mode on every function of the zoo that has one output, at its first point."""
    for name, entry in ZOO.items():
        graph = simplify(trace(entry.f, *entry.points[0].args))
        if sum(out.size for out in graph.outputs) == 1 and graph.operation_count():
            wrt = [i for i, x in enumerate(graph.inputs) if x.differentiable]
            row = cost_of(METHODS["reverse"].derive(graph, wrt), graph, wrt)
            yield {"function": name, **row, "cheap": row["relative"] <= BOUND}


# Time ---------------------------------------------------------------------------------------------


def times(case: Case) -> Iterator[Row]:
    """Every phase of every method; steady calls side by side, beside the function's own."""
    made = program(case["function"], case["size"])
    arrays = read_arguments(made.args, {})[1]
    graph = simplify(trace(made.f, *made.args))
    wrt = range(len(flatten(made.args[0])[0]))
    known = true_gradient(case["function"], case["size"])
    inputs = sum(graph.inputs[i].size for i in wrt)
    rows: dict[str, Row] = {"function": {"operations": graph.operation_count(), "relative": 1.0}}
    calls = {"function": calling(Compiled(made.f, "numpy").prepare(*made.args), arrays)}
    for name in methods_for(case, inputs):
        prepared, phases = prepared_in_phases(made, name)
        error = relative_error(prepared.run(*arrays)[1 : 1 + len(known)], known)
        agrees = error <= AGREES[METHODS[name].exact]
        if agrees:  # a method that is wrong has no time
            calls[name] = calling(prepared, arrays)
        rows[name] = {**cost_of(METHODS[name].derive(graph, wrt), graph, wrt), **phases,
                      "relative_error": error, "agrees": agrees}  # fmt: skip
    calls["plain NumPy"] = partial(made.f, *made.args)
    rows |= {"plain NumPy": rows["function"], "function (again)": rows["function"]}
    table = interleave(calls, rounds=case["rounds"], sample_seconds=case["sample"])
    timings = table.set_index("contestant")[list(TIME_COLUMNS)].to_dict("index")
    for name, row in rows.items():
        label = f"{case['function']}, {inputs:,} inputs"
        yield {"method": name, "label": label, "inputs": inputs, **row, **timings.get(name, {})}


def overhead(case: Case) -> Iterator[Row]:
    """The Helmholtz energy and its gradient at the least n, relative to the most."""
    for name in ("function", "reverse"):
        calls, operations = {}, {}
        for n in sorted(case["sizes"], reverse=True):
            made = program("Helmholtz", n)
            compiled = (Compiled(made.f, "numpy") if name == "function"
                        else value_and_gradient(made.f, method=name, engine="numpy"))  # fmt: skip
            prepared = compiled.prepare(*made.args)
            assert prepared.derivation.graph is not None
            calls[str(n)] = calling(prepared, read_arguments(made.args, {})[1])
            operations[n] = prepared.derivation.graph.operation_count()
        table = interleave(calls, rounds=case["rounds"], sample_seconds=case["sample"])
        timings = table.set_index("contestant")[list(TIME_COLUMNS)].to_dict("index")
        for n in case["sizes"]:
            yield {"method": name, "n": n, "operations": operations[n], **timings[str(n)]}


def shape_times(case: Case) -> Iterator[Row]:
    """The Jacobian of a wide and of a narrow function by both modes: the one that is recommended,
    relative to the other.
    """
    for inputs, outputs in sides(case["product"], range(-5, 6, 10)):
        made = between(inputs, outputs)
        arrays = read_arguments(made.args, {})[1]
        names = ("reverse", "forward") if inputs < outputs else ("forward", "reverse")
        calls = {
            name: calling(jacobian(made.f, method=name, engine="numpy").prepare(*made.args), arrays)
            for name in names
        }
        table = interleave(calls, rounds=case["rounds"], sample_seconds=case["sample"])
        row = table[table["contestant"] == names[1]].to_dict("records")[0]
        yield {"method": names[1], "label": f"from R^{inputs} to R^{outputs}, {names[1]} mode",
               "inputs": inputs, "outputs": outputs,
               **{key: row[key] for key in TIME_COLUMNS}}  # fmt: skip


# What the rows show -------------------------------------------------------------------------------


def results(rows: pd.DataFrame) -> list[Result]:
    grown = {"by": "family", "unit": "function"}
    reverse = {"method": "reverse"}
    return [
        every("one_reverse_pass", rows, "as_claimed", where={"part": "passes", **reverse},
              by="function", counted="programs"),
        every("one_forward_pass", rows, "as_claimed", where={"part": "passes", "method": "forward"},
              by="function", counted="programs"),
        every("only_the_forward_pass", rows, "agrees", where={"part": "time", **reverse},
              by="function", counted="programs",
              words="gradients made from the plain NumPy function agree with their enclosures"),
        exponent("forward_grows_with_inputs", rows, "inputs", "relative",
                 where={"part": "growth", "method": "forward"}, **grown),
        exponent("differences_grow_with_inputs", rows, "inputs", "relative",
                 where={"part": "growth", "method": list(DIFFERENCES)}, by="label",
                 unit="function"),
        exponent("reverse_does_not_grow", rows, "inputs", "relative",
                 where={"part": "growth", **reverse}, **grown),
        every("cheap_gradient", rows, "cheap", where={"part": "counts", **reverse},
              by="function", counted="programs"),
        every("cheap_gradient_of_any_function", rows, "cheap", where={"part": "zoo"},
              counted="functions"),
        mean("break_even", rows, "crossing", where={"part": "shapes"}, by=None, unit="product"),
        timed("cheap_gradient_in_time", rows, where={"part": "time", **reverse}, by="label"),
        timed("right_mode_is_faster", rows, where={"part": "shapes time"}, by="label"),
        timed("overhead_at_small_sizes", rows,
              where={"part": "overhead", **reverse, "n": int(rows["n"].min())}),
    ]  # fmt: skip


def figures(rows: pd.DataFrame) -> list[Figure]:
    counted, clocked, each = (rows[rows["part"] == part] for part in ("counts", "time", "zoo"))
    modes, worst = rows[rows["part"] == "shapes"], each.loc[each["relative"].idxmax()]
    names = ("reverse", "forward")
    told = counted[(counted["function"] == "Rosenbrock") & counted["method"].isin(names)]
    told = told.pivot_table(index="inputs", columns="method", values="relative").dropna()
    most = told.iloc[-1]
    narrow, wide = (
        modes.loc[pick] for pick in (modes["reverse"].idxmin(), modes["forward"].idxmin())
    )
    slow = clocked[clocked["method"] == "reverse"]["ratio"]
    programs = ", ".join(FUNCTIONS)
    return [
        Figure("growth", "Operations of value and gradient relative to the function's, against the"
               f" number of inputs. Dotted: the bound of {BOUND:.0f}; dashed grey: slope 1.",
               "Three panels: relative operations against inputs, logarithmic axes",
               lambda canvas: draw_growth(canvas, counted, "relative"), (10.5, 4.4),
               finding=f"The gradient of {most.name:,.0f} inputs costs {most['reverse']:.1f} times"
                       f" the function by reverse mode, {most['forward']:,.0f} by forward mode",
               foot=f"{programs}; the title is of Rosenbrock's function"),
        Figure("time", "Time of value and gradient relative to the compiled function, medians of"
               " rounds with 95 % intervals. Up to some tens of inputs the overhead of a NumPy call"
               " hides the work, so that curves start flat.",
               "Three panels: relative time against inputs, logarithmic axes",
               lambda canvas: draw_growth(canvas, clocked, "ratio"), (10.5, 4.4),
               finding=f"In time, reverse mode takes {slow.min():.1f} to {slow.max():.1f} times"
                       " the function", foot=f"{programs}; one core"),
        Figure("shapes", "Operations of a Jacobian by forward mode relative to reverse mode, for n"
               " inputs and m outputs of a network; a line for each product n m.",
               "Lines rising through one where inputs equal outputs, logarithmic axes",
               lambda canvas: draw_shapes(canvas, modes), (7.0, 4.2),
               finding=f"R^{wide['inputs']:.0f} to R^{wide['outputs']:.0f}: reverse costs"
                       f" {wide['reverse'] / wide['forward']:.1f} times forward mode; back"
                       f" {narrow['reverse'] / narrow['forward']:.2f} times"),
        Figure("zoo", "Operations of value and gradient relative to the function, by reverse mode."
               " A primitive is one operation, and its derivative, written so that it keeps its"
               f" digits, several: above {BOUND:.0f} are functions of few operations.",
               "Scatter of relative cost against the function's operations, logarithmic axes",
               lambda canvas: draw_zoo(canvas, each), (7.0, 4.2),
               finding=f"{each['cheap'].eq(True).sum()} of {len(each)} gradients cost at most"
                       f" {BOUND:.0f} functions; {worst['function']} {worst['relative']:.0f}"),
    ]  # fmt: skip


def draw_growth(canvas: Canvas, own: pd.DataFrame, column: str) -> None:
    names = ["reverse", "forward", *DIFFERENCES, "symbolic"]
    panels, styles = canvas.subplots(1, len(FUNCTIONS), sharey=True), looks(names)
    for axes, function in zip(panels, FUNCTIONS, strict=True):
        for name in names:
            part = own[(own["function"] == function) & (own["method"] == name)]
            part = part[part[column].notna()].sort_values("inputs")
            axes.plot(part["inputs"], part[column], label=name, **styles[name])
            if column == "ratio":
                axes.fill_between(part["inputs"], part["ratio_low"], part["ratio_high"],
                                  color=styles[name]["color"], alpha=0.2)  # fmt: skip
        axes.set(title=function, xscale="log", yscale="log", xlabel="inputs")
        axes.axhline(BOUND, color="black", linestyle=":", linewidth=1)
        axes.plot([50, 1000], [150, 3000], color="#888888", linestyle="--", linewidth=1)
    panels[0].set_ylabel(f"{'time' if column == 'ratio' else 'operations'} / function's")
    canvas.legend(*panels[0].get_legend_handles_labels(), loc="outside right center")


def draw_shapes(canvas: Canvas, modes: pd.DataFrame) -> None:
    axes = canvas.subplots()
    for product, part in modes.groupby("product"):
        axes.plot(part["inputs"] / part["outputs"], part["forward"] / part["reverse"],
                  marker=".", label=f"{product:.0f}")  # fmt: skip
    axes.axhline(1, color="black", linewidth=0.8)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set(xscale="log", yscale="log", xlabel="inputs / outputs", ylabel="forward / reverse mode")
    axes.legend(title="n times m")


def draw_zoo(canvas: Canvas, own: pd.DataFrame) -> None:
    axes = canvas.subplots()
    for part, marker in ((own[own["cheap"].eq(True)], "o"), (own[~own["cheap"].eq(True)], "^")):
        axes.plot(part["function_operations"], part["relative"], marker, alpha=0.8)
    axes.axhline(BOUND, color="black", linestyle=":", linewidth=1)
    axes.set(xscale="log", yscale="log", xlabel="operations of the function",
             ylabel="operations of value and gradient / function's")  # fmt: skip
    axes.set_yticks([1, 2, 5, 10, 20], ["1", "2", "5", "10", "20"])
    axes.tick_params(axis="y", which="minor", labelleft=False)


def tables(rows: pd.DataFrame) -> list[Table]:
    own = rows[(rows["part"] == "time") & rows["trace_seconds"].notna()]
    own = own[own.groupby("function")["size"].transform("median") == own["size"]]
    frame = own[["label", "method"]].assign(
        **{f"{phase}, ms": 1e3 * own[f"{phase}_seconds"] for phase in PHASES},
        **{"first call, ms": 1e3 * own["first_seconds"], "steady, ms": 1e3 * own["seconds"]},
    )
    told = "At a middle size: medians of three derivations (SymPy's is one, from empty caches)."
    return [Table("Every phase apart", told, frame.reset_index(drop=True))]


EXPERIMENT = Experiment(
    name="cost",
    title="Cost",
    question="What does a gradient cost, beside the function itself?",
    version=2,
    cases=cases,
    measure=measure,
    tables=tables,
    figures=figures,
    results=results,
    method="""
    Each method makes the program of value and gradient; its operations are counted per array
    element (a function call is one, a matrix product is its multiplications and additions) and
    divided by those of the function, simplified. The complex step has no program: its evaluations
    are counted, in complex arithmetic. An exponent is the slope of log(ratio) on log(inputs) of one
    program, over its sizes (a vector of 48 to 384 numbers, layers 8 to 16 wide): programs are the
    units. Times: one BLAS thread, one core, each round visits every method once in a rotating
    order; ratios are medians of per-round ratios to the compiled function, which runs twice to show
    the noise. A gradient is timed only if it agrees with the enclosure of the truth.
    """,
    limitations=f"""
    Operations are not equal in time: a tanh is tens of additions. Methods that visit every input
    apart are left out above {INPUTS} inputs, where their batch would fill the memory, and SymPy
    beyond the sizes that it derives in about a second. One engine, NumPy's; a compiler would move
    the overhead. The complex step runs node by node, outside that engine.
    """,
    volatile=(*TIME_COLUMNS, *(f"{phase}_seconds" for phase in PHASES)),
    timed=lambda case: case["part"] in ("time", "overhead", "shapes time"),
    order=24,
)

if __name__ == "__main__":
    main(EXPERIMENT)
