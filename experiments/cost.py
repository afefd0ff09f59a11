"""What does a gradient cost?

Functions of ever more inputs, differentiated by every method. The laws of growth are judged on
operations, which do not depend on the machine; a method that disagrees with the truth has no time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pandas as pd
from apparatus import cost_programs as programs
from apparatus.cost_programs import FAMILIES, FUNCTIONS, cost_of
from matplotlib.figure import Figure as Canvas

from difflab import lab
from difflab.accuracy.zoo import ZOO
from difflab.ir.tree import flatten
from difflab.lab import TIME_COLUMNS, Case, Experiment, Figure, Preset, Result, Row
from difflab.methods import METHODS
from difflab.operators import jacobian, value_and_gradient
from difflab.operators.operators import Compiled
from difflab.table.identities import simplify
from difflab.tracing.trace import read_arguments, trace

DIFFERENCES = ("forward_difference", "central_difference", "complex_step")
INPUTS = 1500  # up to here for methods that visit each apart: their batch is inputs x inputs
WRITTEN_OUT = {"Helmholtz": 8, "Rosenbrock": 20, "network": 4}  # SymPy's: half a second there
BOUND = 5.0  # the cheap gradient's: operations of value and gradient relative to the function's
SIZES = {
    "Helmholtz": [1, 8, 15, 22, 36, 50, 100, 200, 400],
    "Rosenbrock": [10, 20, 50, 100, 300, 1000, 10_000, 100_000, 1_000_000],
    "network": [2, 4, 8, 12, 16, 24, 32],
}
TIMED = {
    "Helmholtz": [1, 8, 22, 50, 100, 200], "Rosenbrock": [10**k for k in range(1, 7)],
    "network": [2, 4, 8, 16, 32],
}  # fmt: skip
WIDTHS = {"of a vector": [48, 96, 192, 384], "networks": [8, 12, 16]}
PRODUCTS = [64, 144, 256, 576, 1024, 2304, 4096]  # of the numbers of inputs and outputs


def cases(preset: Preset) -> list[Case]:
    step = preset.choose(smoke=3, quick=2, full=1)
    few = {"Helmholtz": [8, 50], "Rosenbrock": [1000], "network": [8]}
    clocked = preset.choose(smoke={"Helmholtz": [1]}, quick=few, full=TIMED)
    rounds, sample = preset.choose(smoke=(2, 1e-3), quick=(7, 2e-3), full=(15, 1e-2))
    protocol = {"rounds": rounds, "sample": sample}
    return [
        *[{"part": "counts", "function": name, "size": n}
          for name in SIZES for n in SIZES[name][::step]],
        *[{"part": "growth", "family": family, "function": name, "size": n}
          for family in FAMILIES for name in FAMILIES[family][::step] for n in WIDTHS[family]],
        *[{"part": "passes", "function": name, "size": n}
          for name in FUNCTIONS for n in SIZES[name][:4:step]],
        *[{"part": "shapes", "product": product} for product in PRODUCTS[: 8 - step]],
        {"part": "zoo"},
        *[{"part": "time", "function": name, "size": n, **protocol}
          for name in clocked for n in clocked[name]],
        {"part": "overhead", "sizes": [1, 50], **protocol},
        {"part": "shapes time", "product": 4096 // step**2, **protocol},
    ]  # fmt: skip


def measure(case: Case, rng: np.random.Generator) -> Iterator[Row]:
    parts = {"passes": programs.passes, "shapes": shapes, "zoo": zoo, "time": times,
             "overhead": overhead, "shapes time": shape_times}  # fmt: skip
    return parts.get(case["part"], counts)(case)


def counts(case: Case) -> Iterator[Row]:
    """The operations of value and gradient by each method."""
    made = programs.program(case["function"], case["size"])
    graph = simplify(trace(made.f, *made.args))
    wrt = range(len(flatten(made.args[0])[0]))
    for name in methods_for(case, sum(graph.inputs[i].size for i in wrt)):
        row = cost_of(METHODS[name].derive(graph, wrt), graph, wrt)
        label = f"{case.get('family', case['function'])}, {name}"
        yield {"method": name, "label": label, **row, "cheap": row["relative"] <= BOUND}


def methods_for(case: Case, inputs: int) -> list[str]:
    each = ("forward", *DIFFERENCES) if inputs <= INPUTS else ()
    written_out = case["size"] <= WRITTEN_OUT.get(case["function"], 0)
    return ["reverse", *each, *(["symbolic"] if written_out else [])]


def shapes(case: Case) -> Iterator[Row]:
    """Both modes on functions with n inputs and m outputs, n m fixed; where they cost the same."""
    rows: list[Row] = []
    for inputs, outputs in sides(case["product"], range(-5, 6)):
        made = programs.between(inputs, outputs)
        graph = simplify(trace(made.f, *made.args))
        costs = {name: cost_of(METHODS[name].derive(graph, [0]), graph, [0])["relative"]
                 for name in ("forward", "reverse")}  # fmt: skip
        rows.append({"inputs": inputs, "outputs": outputs, **costs})
    quotients = [np.log(row["inputs"] / row["outputs"]) for row in rows]
    slower = [np.log(row["forward"] / row["reverse"]) for row in rows]
    crossing = float(np.exp(np.interp(0.0, slower, quotients)))
    yield from (row | {"crossing": crossing} for row in rows)


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


def clocked(calls: dict[str, Callable[[], object]], case: Case) -> dict[str, Row]:
    table = lab.interleave(calls, rounds=case["rounds"], sample_seconds=case["sample"])
    return table.set_index("contestant")[list(TIME_COLUMNS)].to_dict("index")


def times(case: Case) -> Iterator[Row]:
    """Every phase of every method; steady calls side by side, beside the function's own."""
    made = programs.program(case["function"], case["size"])
    arrays = read_arguments(made.args, {})[1]
    graph = simplify(trace(made.f, *made.args))
    wrt = range(len(flatten(made.args[0])[0]))
    known = programs.true_gradient(case["function"], case["size"])
    inputs = sum(graph.inputs[i].size for i in wrt)
    rows: dict[str, Row] = {"function": {"operations": graph.operation_count(), "relative": 1.0}}
    calls = {"function": partial(Compiled(made.f, "numpy").prepare(*made.args).run, *arrays)}
    for name in methods_for(case, inputs):
        prepared, phases = programs.prepared_in_phases(made, name)
        error = programs.relative_error(prepared.run(*arrays)[1 : 1 + len(known)], known)
        agrees = error <= programs.AGREES[METHODS[name].exact]
        if agrees:  # a method that is wrong has no time
            calls[name] = partial(prepared.run, *arrays)
        rows[name] = {**cost_of(METHODS[name].derive(graph, wrt), graph, wrt), **phases,
                      "relative_error": error, "agrees": agrees}  # fmt: skip
    calls["plain NumPy"] = partial(made.f, *made.args)
    rows |= {"plain NumPy": rows["function"], "function (again)": rows["function"]}
    timings = clocked(calls, case)
    for name, row in rows.items():
        label = f"{case['function']}, {inputs:,} inputs"
        yield {"method": name, "label": label, "inputs": inputs, **row, **timings.get(name, {})}


def overhead(case: Case) -> Iterator[Row]:
    """The Helmholtz energy and its gradient at the least n, relative to the most."""
    for name in ("function", "reverse"):
        calls, operations = {}, {}
        for n in sorted(case["sizes"], reverse=True):
            made = programs.program("Helmholtz", n)
            plain, slope = Compiled(made.f, "numpy"), value_and_gradient(made.f, engine="numpy")
            prepared = (plain if name == "function" else slope).prepare(*made.args)
            assert prepared.derivation.graph is not None
            calls[str(n)] = partial(prepared.run, *read_arguments(made.args, {})[1])
            operations[n] = prepared.derivation.graph.operation_count()
        timings = clocked(calls, case)
        for n in case["sizes"]:
            yield {"method": name, "n": n, "operations": operations[n], **timings[str(n)]}


def shape_times(case: Case) -> Iterator[Row]:
    """The Jacobian of a wide and a narrow function by the recommended mode, beside the other."""
    for inputs, outputs in sides(case["product"], range(-5, 6, 10)):
        made = programs.between(inputs, outputs)
        arrays = read_arguments(made.args, {})[1]
        names = ("reverse", "forward") if inputs < outputs else ("forward", "reverse")
        made_by = {name: jacobian(made.f, method=name, engine="numpy") for name in names}
        calls = {name: partial(f.prepare(*made.args).run, *arrays) for name, f in made_by.items()}
        yield {"method": names[1], "label": f"from R^{inputs} to R^{outputs}, {names[1]} mode",
               "inputs": inputs, "outputs": outputs, **clocked(calls, case)[names[1]]}  # fmt: skip


def results(rows: pd.DataFrame) -> list[Result]:
    reverse, forward = {"method": "reverse"}, {"method": "forward"}
    passes, time = {"part": "passes"}, {"part": "time"}
    counted: Row = {"by": "function", "counted": "programs"}

    def growth(claim: str, methods: Case, by: str = "family") -> Result:
        where = {"part": "growth", **methods}
        return lab.exponent(claim, rows, "inputs", "relative", where=where, by=by, unit="function")

    return [
        lab.every("one_reverse_pass", rows, "as_claimed", where=passes | reverse, **counted),
        lab.every("one_forward_pass", rows, "as_claimed", where=passes | forward, **counted),
        lab.every("only_the_forward_pass", rows, "agrees", where=time | reverse, **counted,
                  words="gradients made from the plain NumPy function agree with their enclosures"),
        growth("forward_grows_with_inputs", forward),
        growth("differences_grow_with_inputs", {"method": list(DIFFERENCES)}, by="label"),
        growth("reverse_does_not_grow", reverse),
        lab.every("cheap_gradient", rows, "cheap", where={"part": "counts"} | reverse, **counted),
        lab.every("cheap_gradient_of_any_function", rows, "cheap", where={"part": "zoo"},
                  counted="functions"),
        lab.mean("break_even", rows, "crossing", where={"part": "shapes"}, by=None, unit="product"),
        lab.timed("cheap_gradient_in_time", rows, where=time | reverse, by="label"),
        lab.timed("right_mode_is_faster", rows, where={"part": "shapes time"}, by="label"),
        lab.timed("overhead_at_small_sizes", rows,
                  where={"part": "overhead", **reverse, "n": int(rows["n"].min())}),
    ]  # fmt: skip


def figures(rows: pd.DataFrame) -> list[Figure]:
    counted, clocked, modes = (rows[rows["part"] == part] for part in ("counts", "time", "shapes"))
    told = lab.chosen(counted, {"function": "Rosenbrock", "method": ["reverse", "forward"]})
    most = told.pivot(index="inputs", columns="method", values="relative").dropna().iloc[-1]
    modes = modes.assign(wide=2.0 ** np.log2(modes["inputs"] / modes["outputs"]).round())
    slow = clocked[clocked["method"] == "reverse"]["ratio"]
    named, alt = ", ".join(FUNCTIONS), "Three panels: a ratio against inputs, logarithmic axes"
    return [
        Figure("growth", "Operations of value and gradient relative to the function's, against the"
               f" number of inputs. Dotted: the bound of {BOUND:.0f}; dashed grey: slope 1.", alt,
               lambda canvas: draw_growth(canvas, counted, "relative"), (10.5, 4.4),
               finding=f"The gradient of {most.name:,.0f} inputs costs {most['reverse']:.1f} times"
                       f" the function by reverse mode, {most['forward']:,.0f} by forward mode",
               foot=f"{named}; the title is of Rosenbrock's function"),
        Figure("time", "Time of value and gradient relative to the compiled function, medians of"
               " rounds with 95 % intervals. Up to some tens of inputs the overhead of a NumPy call"
               " hides the work, so that curves start flat.", alt,
               lambda canvas: draw_growth(canvas, clocked, "ratio"), (10.5, 4.4),
               finding=f"In time, reverse mode takes {slow.min():.1f} to {slow.max():.1f} times"
                       " the function", foot=f"{named}; one core"),
        lab.curves(
            modes.melt(["product", "wide"], ["forward", "reverse"], "mode", "cost"), "shapes",
            "wide", "cost", "mode", by=None, unit="product", logarithms="xy",
            labels=("inputs / outputs", "operations / function's"),
            caption="Operations of the Jacobian of a network from n inputs to m outputs, by both"
            " modes, for several products n m.",
            alt="Two lines that cross near as many inputs as outputs",
            finding=f"The modes break even at {modes['crossing'].mean():.2f} inputs an output",
        ),
    ]  # fmt: skip


def draw_growth(canvas: Canvas, own: pd.DataFrame, column: str) -> None:
    names = ["reverse", "forward", *DIFFERENCES, "symbolic"]
    panels, styles = canvas.subplots(1, len(FUNCTIONS), sharey=True), lab.looks(names)
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


EXPERIMENT = Experiment(
    name="cost", title="Cost", version=2, order=24,
    question="What does a gradient cost, beside the function itself?",
    cases=cases, measure=measure, figures=figures, results=results,
    method="""
    Each method makes the program of value and gradient; its operations are counted per array
    element (a function call is one, a matrix product is its multiplications and additions) and
    divided by those of the function, simplified. The complex step has no program: its evaluations
    are counted. An exponent is the slope of log(ratio) on log(inputs) of one program, over its
    sizes (vectors of 48 to 384 numbers, layers 8 to 16 wide): programs are the units. Times: one
    core, each round visits every method once in a rotating order; ratios are medians of per-round
    ratios to the compiled function, which runs twice to show the noise.
    """,
    limitations=f"""
    Operations are not equal in time: a tanh is tens of additions. Methods that visit every input
    apart are left out above {INPUTS} inputs, where their batch would fill the memory, and SymPy
    beyond sizes that it derives in a second. One engine, NumPy's; a compiler would move the
    overhead. The complex step runs node by node, outside that engine.
    """,
    volatile=(*TIME_COLUMNS, "trace_seconds", "derive_seconds", "simplify_seconds",
              "compile_seconds"),
    timed=lambda case: case["part"] in ("time", "overhead", "shapes time"),
)  # fmt: skip

if __name__ == "__main__":
    lab.main(EXPERIMENT)
