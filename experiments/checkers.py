"""Which gradient checker can be trusted?

Right gradients and generated mutants of them, at ordinary points, hard ones and beside the edges of
domains, are given to difflab and to the checkers of other projects. What a mutant is, is certified
by balls; what a right gradient is, is known by how it was made: by a rule of the table, or by hand.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from _checkers_page import figures, tables
from _checkers_rows import DIGITS_KEPT, missed, mutants, opaque_cases, rejected, right
from _exact import agrees_with_limit
from _handwritten import ALTERNATIVES, HANDWRITTEN
from _mutants import (
    Candidate,
    certified,
    change,
    is_finite,
    of_a_result,
    of_the_rules,
    reference,
    reverse,
)
from _peer_checkers import (
    ERROR,
    MISSING,
    OPAQUE,
    OWN,
    PEERS,
    REJECTED,
    UNDECIDED,
    Counted,
    judge,
    version,
)

from difflab.accuracy.compare import errors
from difflab.accuracy.truth import Enclosure
from difflab.accuracy.zoo import ZOO
from difflab.ir.expr import Graph
from difflab.ir.trace import trace
from difflab.ir.tree import flatten, read_arguments, unflatten
from difflab.lab import (
    Case,
    Evidence,
    Experiment,
    Preset,
    Row,
    grid,
    main,
    share_interval,
)
from difflab.methods import METHODS

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
    judged = [
        {"source": source, "function": name, "dtype": dtype, "mutants": count, **checker}
        for source, name in functions
        for dtype in dtypes
        for checker in present
    ]
    timed = [setting | checker for setting in grid(size=sizes) for checker in present]
    return [*judged, *timed, *absent]


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
    equivalent: int = 0


@lru_cache(maxsize=1)
def stages(source: str, name: str, dtype: str, count: int, seed: int) -> list[Stage]:
    """A function at each of its points: the same for every checker, so made once."""
    rng = np.random.default_rng(seed)
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
    true, graph = reference(f, args), trace(f, *args)
    backward = reverse(graph)
    group = group_of(graph, args, value, backward, true, about["kind"])
    about = about | {"group": group}
    if group != "smooth":
        return Stage(f, args, about, (Candidate("reverse mode", backward),), (math.nan,))
    rights = right_ones(source, name, graph, backward, args, true)
    accuracy = [relative_error(candidate, args, true) for candidate in rights]
    if source == "hand":
        written = HANDWRITTEN[name]
        attempts = of_a_result(written.gradient, args, rng, written.terms)
        made = certified(attempts, args, true, 2 * count)
    else:
        made = certified(of_the_rules(graph, rng), args, true, count)
    unknown = [math.nan] * len(made.mutants)
    return Stage(f, args, about, (*rights, *made.mutants), (*accuracy, *unknown), made.equivalent)


def group_of(
    graph: Graph, args: tuple[Any, ...], value: Any, backward: Graph, true: Enclosure, kind: str
) -> str:
    """Whether the function has a derivative at the point, and finite numbers."""
    known = all(ball.is_finite() for block in true.balls for ball in block.flat)
    if kind == "kink" or true.kinks:
        return "kink"
    with np.errstate(all="ignore"):
        finite = is_finite(value) and is_finite(backward(*args))
    if not known or not finite:
        return "no number"
    _, arrays = read_arguments(args, {})
    return "smooth" if agrees_with_limit(graph, arrays, true) else "no derivative"


def right_ones(
    source: str,
    name: str,
    graph: Graph,
    backward: Graph,
    args: tuple[Any, ...],
    true: Enclosure,
) -> list[Candidate]:
    """Gradients that are right: by the rules in both directions, by hand, by other formulas.

    Each is certified too. Forward mode's program has its constants folded, which can be fatal to a
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
    with np.errstate(all="ignore"):
        finite = [candidate for candidate in found if is_finite(candidate.gradient(*args))]
    return [candidate for candidate in finite if change(candidate.gradient, args, true) == 0.0]


def relative_error(candidate: Candidate, args: tuple[Any, ...], true: Enclosure) -> float:
    """How far a right gradient's own values are from the truth: what rounding makes of it."""
    with np.errstate(all="ignore"):
        return errors(candidate.gradient(*args), true)["relative_error"]


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
        for candidate, kept in zip(stage.candidates, stage.kept, strict=True):
            counted = Counted(stage.f)
            start = time.perf_counter()
            said = judge(case["checker"], counted, candidate.gradient, stage.args)
            seconds = time.perf_counter() - start
            yield {
                **stage.about,
                "equivalent": stage.equivalent,
                "gradient": candidate.label,
                "error": candidate.error or None,
                "change": brief(candidate.change),
                "relative_error": brief(kept),
                "answer": said.answer,
                "words": said.words if case["checker"] not in PEERS or said.answer == ERROR else "",
                "band": brief(said.band),
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


# Findings -----------------------------------------------------------------------------------------


def findings(rows: pd.DataFrame) -> list[Evidence]:
    return [
        no_wrong_verdict(rows),
        *opaque(rows),
        mistakes_by_hand(rows),
        small_errors(rows),
        single_precision(rows),
    ]


def no_wrong_verdict(rows: pd.DataFrame) -> Evidence:
    own = rows[rows["checker"] == OWN]
    wrong, good = mutants(own), right(own)
    accepted, refused = int(missed(wrong).sum()), int(rejected(good).sum())
    open_ones = int((wrong["answer"] == UNDECIDED).sum() + (good["answer"] == UNDECIDED).sum())
    return Evidence(
        "no_wrong_answer_if_traced",
        share_interval(~pd.concat([missed(wrong), rejected(good)])),
        f"{accepted} of {len(wrong)} mutants are accepted, {refused} of {len(good)} right"
        f" gradients rejected, {open_ones} left undecided",
    )


def opaque(rows: pd.DataFrame) -> Iterator[Evidence]:
    own = opaque_cases(rows)
    wrong, good = mutants(own), right(own)
    yield Evidence(
        "no_wrong_answer_if_opaque",
        share_interval(~pd.concat([missed(wrong), rejected(good)])),
        f"{int(missed(wrong).sum())} of {len(wrong)} mutants are accepted,"
        f" {int(rejected(good).sum())} of {len(good)} right gradients rejected",
    )
    undecided = own["answer"] == UNDECIDED
    ordinary = own["kind"] == "ordinary"
    yield Evidence(
        "seldom_undecided",
        share_interval(undecided[ordinary]),
        f"{undecided[ordinary].sum()} of {ordinary.sum()} are left undecided; at hard points and"
        f" at edges the share is {share_interval(undecided[~ordinary])}",
    )


def mistakes_by_hand(rows: pd.DataFrame) -> Evidence:
    own = mutants(rows[(rows["source"] == "hand") & (rows["dtype"] == "float64")])
    peers = own[own["checker"].isin(PEERS)]
    distinct = own.drop_duplicates(["function", "point", "gradient"])
    return Evidence(
        "mistakes_by_hand_are_found",
        share_interval(peers["answer"] == REJECTED),
        f"of {len(distinct)} mistakes in gradients written by hand, float64, these shares are"
        f" found: {rates(own)}",
    )


def small_errors(rows: pd.DataFrame) -> Evidence:
    own = mutants(rows[rows["checker"].isin(["torch", "jax", "autograd", "scipy"])])
    own = own[(own["dtype"] == "float64") & (own["change"] < 1e-4)]
    return Evidence(
        "fixed_tolerances_miss_small_errors",
        share_interval(own["answer"] == REJECTED),
        f"of such mutants in float64, with the default tolerances, are found: {rates(own)}",
    )


def single_precision(rows: pd.DataFrame) -> Evidence:
    own = right(rows[rows["checker"].isin(PEERS) & (rows["dtype"] == "float32")])
    own = own[own["relative_error"] <= DIGITS_KEPT["float32"]]
    return Evidence(
        "false_alarms_in_single_precision",
        share_interval(own["answer"] == REJECTED),
        f"of right gradients with all their digits, are rejected: {rates(own)}",
    )


def rates(own: pd.DataFrame) -> str:
    """The share of gradients that each checker rejects, in words."""
    shares = own["answer"].eq(REJECTED).groupby(own["checker"], sort=False).mean()
    named = ", ".join(f"{name} {100 * rate:.0f} %" for name, rate in shares.items())
    return named or "not measured"


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
    function, or in a gradient written by hand. Balls certify that it changes the formula of a
    component by more than 1e-9 (5e-7 in float32), relative; a component that should be zero is
    measured against the largest. All checkers are given the same function, gradient and point, with
    the settings that they have by default.

    Right gradients come from reverse and forward mode, from hand, and from other formulas. Those
    that lose digits at the point are counted apart, since a checker that sees values alone cannot
    tell them from wrong ones. So are kinks and points where the function has no number.

    In float32 the function and its gradient take and return float32, whatever they are given. An
    answer that states a band counts for changes above it.
    """,
    limitations="""
    Kinds of mistakes are chosen, and equally frequent, which they are not in practice. The tools
    have options: with other steps and tolerances they would miss others. For functions that can be
    traced, difflab and the certification of the mutants rest on the same ball arithmetic; gradients
    written by hand and the limit of exact differences use no derivative rule, and agree with it.
    """,
    order=50,
)

if __name__ == "__main__":
    main(EXPERIMENT)
