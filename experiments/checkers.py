"""Which gradient checker can be trusted?

Right gradients and generated mutants of them, at ordinary points, hard ones and beside the edges of
domains, are given to difflab and to the checkers of other projects. What is right and what a mutant
is, is certified by differences in mpmath, which use no rule and no ball of difflab; at special
points it is known by analysis.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from _checkers_figures import figures
from _checkers_findings import findings
from _checkers_page import tables
from apparatus.handwritten import ALTERNATIVES, HANDWRITTEN
from apparatus.independent import UNKNOWN, Slopes, slopes
from apparatus.mutants import (
    Candidate,
    certified,
    change,
    is_finite,
    of_a_result,
    of_the_rules,
    reverse,
)
from apparatus.peer_checkers import (
    ERROR,
    MISSING,
    OPAQUE,
    OWN,
    PEERS,
    Counted,
    judge,
    version,
)
from apparatus.special_points import SPECIAL
from numpy.typing import NDArray

from difflab.accuracy.zoo import ZOO
from difflab.ir.expr import Graph
from difflab.ir.tree import flatten, unflatten
from difflab.lab import (
    Case,
    Experiment,
    Preset,
    Row,
    grid,
    main,
)
from difflab.methods import METHODS
from difflab.tracing.trace import trace

STAIRCASES = ("bisection_sqrt",)
"""Programs whose value is a staircase: they have the slope of a step, their graph another one."""


# Cases --------------------------------------------------------------------------------------------


def cases(preset: Preset) -> list[Case]:
    every = preset.choose(smoke=24, quick=3, full=1)
    dtypes = preset.choose(smoke=["float64"], quick=["float64"], full=["float64", "float32"])
    count = preset.choose(smoke=2, quick=3, full=3)
    sizes = preset.choose(smoke=[10], quick=[10, 100], full=[10, 100, 1000])
    found = {checker: version(checker) for checker in (OWN, OPAQUE, *PEERS)}
    present = [{"checker": name, "version": v} for name, v in found.items() if v != MISSING]
    absent = [{"checker": name, "version": v} for name, v in found.items() if v == MISSING]
    zoo = [name for name in ZOO if name not in STAIRCASES]
    functions = [("zoo", name) for name in zoo[::every]]
    functions += [("hand", name) for name in list(HANDWRITTEN)[::every]]
    special = [
        {"source": "special", "function": name, "dtype": "float64", "mutants": 0, **checker}
        for name in list(SPECIAL)[::every]
        for checker in present
    ]
    judged = [
        {"source": source, "function": name, "dtype": dtype, "mutants": count, **checker}
        for source, name in functions
        for dtype in dtypes
        for checker in present
    ]
    timed = [setting | checker for setting in grid(size=sizes) for checker in present]
    return [*judged, *special, *timed, *absent]


# Functions and the gradients to be judged ---------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """A function at a point, with what is known there, and the gradients to be judged."""

    f: Callable[..., Any]
    args: tuple[Any, ...]
    about: Row
    candidates: tuple[Candidate, ...]
    kept: tuple[float, ...]
    """How far each candidate's values are from the truth, relative."""
    exact: NDArray[np.float64] | None = None


@lru_cache(maxsize=1)
def stages(source: str, name: str, dtype: str, count: int, seed: int) -> list[Stage]:
    """A function at each of its points: the same for every checker, so made once."""
    rng = np.random.default_rng(seed)
    if source == "special":
        return [special_stage(name)]
    if source == "hand":
        written = HANDWRITTEN[name]
        points = [(written.f, point, "ordinary") for point in written.points]
    else:
        points = [(*flat(ZOO[name].f, point.args), point.kind) for point in ZOO[name].points]
    found = []
    for number, (f, args, kind) in enumerate(points):
        point = tuple(np.asarray(x, dtype)[()] for x in args)
        about = {"point": number, "kind": kind}
        stage = staged(source, name, f, point, about, count, rng)
        found += [stage] if stage is not None else []
    return found


def flat(f: Callable[..., Any], args: Sequence[Any]) -> tuple[Callable[..., Any], list[Any]]:
    """A function of the arrays in its arguments, and those arrays."""
    leaves, structure = flatten(tuple(args))
    return lambda *arrays: f(*unflatten(structure, list(arrays))), leaves


def staged(
    source: str,
    name: str,
    f: Callable[..., Any],
    args: tuple[Any, ...],
    about: Row,
    count: int,
    rng: np.random.Generator,
) -> Stage | None:
    """What is to be judged at a point; nothing where the function cannot be evaluated."""
    try:
        with np.errstate(all="ignore"):
            value = f(*args)
    except np.linalg.LinAlgError:  # the matrix is singular in float32
        return None
    true = slopes(f, args)
    about = about | {"group": true.verdict, "reason": true.reason or None}
    if true.verdict == UNKNOWN:
        return Stage(f, args, about, (), ())
    graph = trace(f, *args)
    backward = reverse(graph)
    if true.verdict == "smooth" and not (is_finite(value) and finite(backward, args)):
        about["group"] = "no number"
    if about["group"] != "smooth":
        return Stage(f, args, about, (Candidate("reverse mode", backward),), (math.nan,))
    rights, uncertified = right_ones(source, name, graph, backward, args, true)
    accuracy = [relative_error(candidate, args, true) for candidate in rights]
    if source == "hand":
        written = HANDWRITTEN[name]
        attempts = of_a_result(written.gradient, args, rng, written.terms)
        made = certified(attempts, args, true, 2 * count)
    else:
        made = certified(of_the_rules(graph, rng), args, true, count)
    about |= {"equivalent": made.equivalent, "uncertified": made.uncertified}
    about["uncertified"] += uncertified
    unknown = [math.nan] * len(made.mutants)
    return Stage(f, args, about, (*rights, *made.mutants), (*accuracy, *unknown), true.numbers)


def finite(gradient: Callable[..., Any], args: tuple[Any, ...]) -> bool:
    """Whether a gradient has finite numbers at a point."""
    with np.errstate(all="ignore"):
        return is_finite(gradient(*args))


def special_stage(name: str) -> Stage:
    """A special point, with the gradients that analysis says are right, and others."""
    special = SPECIAL[name]
    with np.errstate(all="ignore"):
        exact = special.right[0](*special.args) if special.right else None
        numbers = None if exact is None else np.ravel(exact).astype(np.float64)
        candidates = [Candidate(f"right {k}", g) for k, g in enumerate(special.right)]
        for k, gradient in enumerate(special.wrong):
            given = np.ravel(gradient(*special.args))
            off = None if numbers is None else np.abs(given - numbers)
            candidates.append(Candidate(f"wrong {k}", gradient, "by analysis", off=off))
    about = {"point": 0, "kind": special.kind, "group": "special", "known": special.known}
    kept = (math.nan,) * len(candidates)
    return Stage(special.f, special.args, about, tuple(candidates), kept, numbers)


def right_ones(
    source: str,
    name: str,
    graph: Graph,
    backward: Graph,
    args: tuple[Any, ...],
    true: Slopes,
) -> tuple[list[Candidate], int]:
    """Gradients that are right, and how many it is not certain of: by the rules in both directions,
    by hand, by other formulas.

    Each is certified. Forward mode's program has its constants folded, which can be fatal to a
    formula whose terms cancel.
    """
    tree = backward.output_tree
    found = [Candidate("reverse mode", backward)]
    if source == "hand":
        found.append(Candidate("by hand", HANDWRITTEN[name].gradient))
    else:
        derived = METHODS["forward"].derive(graph, range(len(graph.inputs))).graph
        assert derived is not None
        blocks = derived.outputs[len(graph.outputs) :]
        found.append(Candidate("forward mode", Graph(graph.inputs, blocks, output_tree=tree)))
        for label, other in ALTERNATIVES.get(name, {}).items():
            found.append(Candidate(f"by another formula: {label}", other))
    finite_ones = [candidate for candidate in found if finite(candidate.gradient, args)]
    sizes = [change(candidate.gradient, args, true) for candidate in finite_ones]
    pairs = zip(finite_ones, sizes, strict=True)
    return [candidate for candidate, size in pairs if size == 0.0], int(np.sum(np.isnan(sizes)))


def relative_error(candidate: Candidate, args: tuple[Any, ...], true: Slopes) -> float:
    """How far a right gradient's own values are from the truth: what rounding makes of it.

    A component that should be zero is measured against the largest.
    """
    with np.errstate(all="ignore"):
        given = np.concatenate([np.ravel(x) for x in flatten(candidate.gradient(*args))[0]])
        exact, off = true.numbers, np.abs(given - true.numbers)
        sizes = np.where(exact == 0.0, np.max(np.abs(exact)), np.abs(exact))
        return float(np.max(np.where(off == 0.0, 0.0, off / sizes)))


# Judging ------------------------------------------------------------------------------------------


def measure(case: Case, rng: np.random.Generator) -> Iterator[Row]:
    if case["version"] == MISSING:
        yield {"status": "not installed"}
        return
    if "size" in case:
        yield timing(case["checker"], case["size"])
        return
    seed = int(rng.integers(2**32))
    name, dtype, count = case["function"], case["dtype"], case["mutants"]
    for stage in stages(case["source"], name, dtype, count, seed):
        if not stage.candidates:
            yield dict(stage.about)
        for candidate, kept in zip(stage.candidates, stage.kept, strict=True):
            counted = Counted(stage.f)
            start = time.perf_counter()
            said = judge(case["checker"], counted, candidate.gradient, stage.args)
            seconds = time.perf_counter() - start
            yield {
                **stage.about,
                "gradient": candidate.label,
                "error": candidate.error or None,
                "change": brief(candidate.change),
                "relative_error": brief(kept),
                "answer": said.answer,
                "words": said.words if case["checker"] not in PEERS or said.answer == ERROR else "",
                "within": said.covers(candidate.off, stage.exact),
                "evaluations": counted.calls,
                "seconds": brief(seconds),
            }


def brief(x: float) -> float:
    """Three digits, which is all that is read of these figures."""
    return float(f"{x:.3g}")


def timing(checker: str, size: int) -> Row:
    """One check of Rosenbrock's function and its right gradient."""
    written = HANDWRITTEN["rosenbrock"]
    args = (np.linspace(-1.0, 1.0, size),)
    judge(checker, written.f, written.gradient, args)  # what is done once, such as importing
    counted = Counted(written.f)
    start = time.perf_counter()
    said = judge(checker, counted, written.gradient, args)
    seconds = time.perf_counter() - start
    return {"answer": said.answer, "evaluations": counted.calls, "seconds": brief(seconds)}


EXPERIMENT = Experiment(
    name="checkers",
    title="Checkers",
    question="Which gradient checker can be trusted?",
    version=1,
    cases=cases,
    measure=measure,
    tables=tables,
    figures=figures,
    findings=findings,
    volatile=("seconds",),
    timed=lambda case: "size" in case,
    seeded_by=("source", "function"),
    method="""
    A mutant is a right gradient with one mistake: on an edge of the reverse sweep through a zoo
    function, or in a gradient written by hand. The derivative is certified by mpmath: central
    differences of the traced program's values, 1e-40 and 1e-60 of the point's scale wide, which
    agree to 25 digits, from both sides and along other lines; no rule, ball or verdict of difflab
    is used. A mutant's formula, read in mpmath too, differs by more than 1e-9 (5e-7 in float32),
    relative, in a component; one that should be zero is measured against the largest. What mpmath
    does not settle is left out, and counted. All checkers get the same function, gradient and
    point, with the settings that they have by default.

    Right gradients come from reverse and forward mode, from hand, and from other formulas. Those
    that lose digits at the point are counted apart, since a checker that sees values alone cannot
    tell them from wrong ones. So are points without a derivative, or without finite numbers.

    A mutant that is accepted, and inside the tolerance or band that its checker states, is within
    its tolerance, and not missed: difflab's band of calls, the tolerances of the others, ten times
    the error that numdifftools and scipy.differentiate estimate. At special points the right
    answer is known by analysis. In float32 the function and its gradient take and return float32.
    """,
    limitations="""
    Kinds of mistakes are chosen, and equally frequent, which they are not in practice. The tools
    have options: with other steps and tolerances they would miss others. The values that mpmath
    reads are those of difflab's trace, which NumPy's own values are held against elsewhere; the
    solvers at special points are only called. A tool whose rule leaves the comparison to us (scipy,
    numdifftools, scipy.differentiate) is judged by the rule that the table of checkers states.
    """,
    order=50,
)

if __name__ == "__main__":
    main(EXPERIMENT)
