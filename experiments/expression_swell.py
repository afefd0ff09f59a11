"""How fast do symbolic derivatives grow?

Operations of the derivatives of ever larger programs: as SymPy writes them out, with common
subexpressions shared, and by automatic differentiation.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator

import numpy as np
import pandas as pd
import sympy
from apparatus import swell_programs as programs
from apparatus.swell_programs import FAMILIES, LAWS
from matplotlib.figure import Figure as Canvas
from sympy.core.cache import clear_cache

from difflab import derivative, jvp, lab
from difflab.accuracy.truth import truth
from difflab.ir.expr import Graph
from difflab.lab import Case, Code, Experiment, Figure, Preset, Result, Row, Section, Table
from difflab.methods import Forward, Method, Reverse
from difflab.methods.symbolic import Symbolic

PUBLISHED = "9.0660864"  # the survey's l_4'(0.2)
LOGISTIC = {"part": "counts", "family": "logistic map"}
SHOWN = {"function": "the program", "written_out": "written out",
         "sympy_cse": "shared", "reverse": "reverse mode"}  # fmt: skip


def cases(preset: Preset) -> list[Case]:
    ends = preset.choose(
        smoke=(7, 6, 2, 2, 16, 4), quick=(8, 7, 3, 4, 16, 8), full=(10, 10, 5, 16, 64, 16)
    )
    last = dict(zip(FAMILIES, ends, strict=True))
    timed = preset.choose(smoke=[2, 4], quick=[2, 4, 6], full=range(1, 11))
    return [
        *[{"part": "counts", "family": name, "size": n, "largest": n == last[name]}
          for name, family in FAMILIES.items()
          for n in ([2**k for k in range(7)] if family.log else range(1, 11)) if n <= last[name]],
        {"part": "values"},
        *lab.grid(part=["time"], family=["logistic map"], size=timed,
                  rounds=[preset.choose(smoke=1, quick=1, full=5)]),
    ]  # fmt: skip


def measure(case: Case, rng: np.random.Generator) -> Iterator[Row]:
    yield from {"values": values, "time": times, "counts": counted}[case["part"]](case)


def counted(case: Case) -> Iterator[Row]:
    """The operations of a program's derivative, and of the logistic map whether they obey."""
    n, logistic = case["size"], case["family"] == "logistic map"
    program = FAMILIES[case["family"]].program(n)
    by_sympy = programs.logistic_counts(n) if logistic else programs.sympy_counts(program)
    row = programs.counts(program) | by_sympy
    row["written_out"] = row["sympy_function"] + row["sympy_derivative"]
    row["grown"] = row["function"] >= 8  # below, constants hide how counts grow
    if case["largest"]:
        gap = row["written_out"] - row["reverse"]
        row["closed"] = (row["written_out"] - row["sympy_cse"]) / gap
        row["alike"] = 0.5 <= row["sympy_cse"] / row["reverse"] <= 1.5
    if logistic:
        row |= {law.claim: row[law.column] == law.value(n) for law in LAWS if n >= law.first}
        if n > 3:
            before = programs.logistic_counts(n - 1)["sympy_derivative"]
            row["doubled"] = row["sympy_derivative"] > 2 * before
    yield row


def values(case: Case) -> Iterator[Row]:
    """The survey's derivative at its point, by every way, against the truth and the print."""
    f, loop, x = programs.logistic_map(4), programs.with_tangent(4), sympy.Symbol("x")
    exact = sympy.diff(f(x), x).subs(x, sympy.Rational(1, 5))
    enclosure = truth(f, 0.2)
    found = {name: derivative(f, method=name)(0.2) for name in ("symbolic", "forward", "reverse")}
    found |= {"loop with tangent": loop(0.2, 1.0)[1], "jvp": jvp(f, (0.2,), (1.0,))[1]}
    for name, value in found.items():
        printed = f"{value:.{len(PUBLISHED.partition('.')[2])}f}" == PUBLISHED
        yield {"method": name, "value": float(value), "exact": str(exact), "as_printed": printed,
               "ulps": float(np.max(enclosure.ulps(value)))}  # fmt: skip


def times(case: Case) -> Iterator[Row]:
    """Seconds and peak memory of each derivation: the median of runs, each from empty caches."""
    program = FAMILIES[case["family"]].program(case["size"])
    methods: list[Method] = [Symbolic(seconds=3600.0, operations=10**12), Forward(), Reverse()]
    rounds = [[seconds(method, program.graph, program.wrt) for method in methods]
              for _ in range(case["rounds"])]  # fmt: skip
    for method, middle in zip(methods, np.median(rounds, axis=0).tolist(), strict=True):
        graph = program.graph
        tracemalloc.start()
        seconds(method, graph, program.wrt)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        yield {"method": method.name, "seconds": middle, "peak_bytes": peak}


def seconds(method: Method, graph: Graph, wrt: range) -> float:
    clear_cache()
    start = time.perf_counter()
    method.derive(graph, wrt)
    return time.perf_counter() - start


def results(rows: pd.DataFrame) -> list[Result]:
    end = {"part": "counts", "largest": True}
    return [
        *[lab.every(law.claim, rows, law.claim, where=LOGISTIC | {"size": [*range(law.first, 11)]},
                    counted="counts", words=f"{law.short} = {law.formula}") for law in LAWS],
        lab.every("published_derivative", rows, "as_printed", where={"part": "values"},
                  counted="ways", words="to the last digit printed"),
        lab.every("swells", rows, "doubled", where=LOGISTIC | {"size": [*range(4, 11)]},
                  words="the derivative of l_n, written out, against that of l_(n-1)",
                  counted="steps"),
        lab.mean("sharing_closes_the_gap", rows, "closed", where=end, by=None, unit="family",
                 words="operations that elimination removes, of those in excess of reverse mode's,"
                 " at each family's largest size"),
        lab.every("sharing_is_enough", rows, "alike", where=end, counted="families",
                  words="shared operations over reverse mode's lie between 0.5 and 1.5"),
        lab.exponent("automatic_does_not_swell", rows, "function", "reverse", by=None,
                     unit="family", where={"part": "counts", "grown": True}, missing="too small",
                     words="operations of reverse mode's gradient against the program's own"),
    ]  # fmt: skip


def figures(rows: pd.DataFrame) -> list[Figure]:
    own = lab.chosen(rows, {"part": "counts"}).sort_values("size")
    last, end = own[own["family"] == "logistic map"].iloc[-1], own[own["largest"].eq(True)]
    most = (end["sympy_cse"] / end["reverse"]).max()
    return [
        Figure("families", "Operations of a program, and of it with its derivative. Where a step"
               " uses its argument twice, the derivative written out grows exponentially (linear"
               " size axes); a plain chain swells as the square of its depth.",
               "Six panels of operation counts against size on logarithmic axes",
               lambda canvas: draw_families(canvas, own), (10.0, 6.0), foot=f"{len(end)} families",
               finding=f"At n = {last['size']:.0f} the logistic map's derivative, written out, has"
               f" {last['sympy_derivative']:,.0f} operations, a loop with tangents"
               f" {last['loop']:.0f}; shared, at most {most:.2g} times reverse mode's"),
    ]  # fmt: skip


def draw_families(canvas: Canvas, own: pd.DataFrame) -> None:
    panels = canvas.subplots(2, 3)
    for panel, (name, family) in zip(panels.flat, FAMILIES.items(), strict=True):
        part = own[own["family"] == name]
        for column, look in lab.looks(SHOWN).items():
            shown = part[part[column] > 0]
            panel.plot(shown["size"], shown[column], label=SHOWN[column], **look)
        panel.set(title=name, xlabel=family.size, ylabel="operations", yscale="log",
                  xscale="log" if family.log else "linear")  # fmt: skip
        panel.set_xticks(part["size"], part["size"].astype(int).astype(str))
        panel.minorticks_off()
    canvas.legend(*panel.get_legend_handles_labels(), loc="outside right center")


def tables(rows: pd.DataFrame) -> list[Table]:
    time = lab.chosen(rows, {"part": "time"}).assign(kB=rows["peak_bytes"] / 1e3)
    time = time.pivot(index="size", columns="method", values=["seconds", "kB"])
    time.columns = [f"{method}, {unit}" for unit, method in time.columns]
    caption = "Of the derivation itself, for the logistic map, from empty caches."
    return [Table("Seconds and peak memory of a derivation", caption, time.reset_index())]


def sections(rows: pd.DataFrame) -> list[Section]:
    own = rows[rows["value_text"].notna()].sort_values("size")
    texts = own[["size", "value_text", "slope_text"]].itertuples(index=False)
    text = "\n\n".join(f"l_{n:.0f}  = {value}\nl_{n:.0f}' = {slope}" for n, value, slope in texts)
    caption = "`l_1 = x`, `l_(n+1) = 4 l_n (1 - l_n)`, as SymPy writes it, and the derivative."
    return [Section("What swells", [Code(text, caption)])]


EXPERIMENT = Experiment(
    name="expression_swell", title="Expression swell", version=2, order=22,
    question="How fast do symbolic derivatives grow, and what does sharing save?",
    cases=cases, measure=measure, results=results, tables=tables, sections=sections,
    figures=figures,
    volatile=("seconds", "peak_bytes"), timed=lambda case: case["part"] == "time",
    method="""
    The logistic map's loop `x = 4*x*(1 - x)` runs on a SymPy symbol, and `sympy.diff`
    differentiates the result; nothing is expanded or simplified by us. Written out:
    `sympy.count_ops` of that expression as a tree. Shared: `sympy.cse` of function and derivative
    together. The loop carries `x, dx = 4*x*(1 - x), (4 - 8*x)*dx`, as traced. Reverse mode includes
    the value. Networks, for SymPy element by element, have one instance and are differentiated by
    all weights.
    """,
    limitations="""
    Another computer algebra system may merge less or share more; `count_ops` weighs a tanh like an
    addition. Peak memory is what Python allocates while deriving.
    """,
)  # fmt: skip

if __name__ == "__main__":
    lab.main(EXPERIMENT)
