"""Which gradient checker can be trusted?

What flows: functions at points -> right gradients and generated mutants of them -> the answer of
every checker, and difflab's diagnosis beside what was changed -> a row for each gradient, with a
column for each checker.

Invariant: what is right and what a mutant is, is certified by differences in mpmath, which use no
rule and no ball of difflab; at special points it is known by analysis.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

# isort: off
from apparatus.handwritten import HANDWRITTEN
from apparatus.mutants import FAMILY, Candidate
from apparatus.peer_checkers import ACCEPTED, CHECKERS, ERROR, MISSING, NONE, OPAQUE, OWN, PEERS
from apparatus.peer_checkers import REJECTED, UNDECIDED, WITHIN, Answer, judge, version
from apparatus.special_points import SPECIAL
from apparatus.stages import Stage, stages
from difflab.accuracy.zoo import ZOO
from difflab.lab import Case, Experiment, Figure, Preset, Result, Row, Table
from difflab.lab import every, looks, main, paired, share
from difflab.lab.cases import digest
from matplotlib.figure import Figure as Canvas
# isort: on

STAIRCASES = ("bisection_sqrt",)  # with the slope of a step, while their graph has another one
KEPT, VISIBLE = {"float64": 1e-12, "float32": 1e-5}, {"float64": 0.0, "float32": 1e-5}
"""Values that are further from the truth, relative, have lost digits; a smaller change is within
the rounding of the values, and shows in the formula alone."""
FIXED = ("torch", "jax", "autograd", "scipy")  # those that compare with a fixed tolerance
SIZES = (1e-9, 1e-7, 1e-5, 1e-3, 1e-1, np.inf)
TOLD: Mapping[str, str] = {
    "sign": "wrong sign",
    "factor": "too (small|large) by a factor of|counted twice",
    "missing": "missing|zero",
    "wrong index": "swapped|permuted|shifted|transpose|in reverse order|exchanged|derivative by",
    **dict.fromkeys(("1e-2", "1e-4", "1e-6", "1e-8"), r"by a factor of (1 [+-]|1\.0|0\.9)"),
}
"""The words of a diagnosis that name a family of mistakes, as an expression."""


def cases(preset: Preset) -> list[Case]:
    step = preset.choose(smoke=40, quick=16, full=1)
    dtypes = preset.choose(smoke=["float64"], quick=["float64"], full=["float64", "float32"])
    versions = {checker: version(checker) for checker in CHECKERS}
    zoo = [name for name in ZOO if name not in STAIRCASES]
    named = [("zoo", name) for name in zoo[::step]]
    named += [("hand", name) for name in list(HANDWRITTEN)[::step]]
    judged = [(*pair, dtype) for pair in named for dtype in dtypes]
    judged += [("special", name, "float64") for name in list(SPECIAL)[:: min(step, 4)]]
    asked = digest(versions)[:6]  # so that a peer that is installed later is asked as well
    return [
        *[{"source": source, "function": name, "dtype": dtype, "asked": asked}
          for source, name, dtype in judged],
        *[{"checker": name, "version": found, "size": 100} for name, found in versions.items()],
    ]  # fmt: skip


# Judging ------------------------------------------------------------------------------------------


def measure(case: Case, rng: np.random.Generator) -> Iterator[Row]:
    if case.get("version") == MISSING:
        yield {"note": "not installed"}
        return
    if "size" in case:
        yield timing(case["checker"], case["size"])
        return
    present = [checker for checker in CHECKERS if version(checker) != MISSING]
    for stage in stages(case["source"], case["function"], case["dtype"], rng):
        if not stage.candidates:
            yield stage.about
        for candidate in stage.candidates:
            said = {name: judge(name, stage.f, candidate.gradient, stage.args) for name in present}
            yield {**stage.about, **judged(candidate, said, stage, case["dtype"])}


def judged(candidate: Candidate, said: Mapping[str, Answer], stage: Stage, dtype: str) -> Row:
    """The row of a gradient: what it is, all answers, and what difflab says of the mistake."""
    wrong = bool(candidate.error)
    with np.errstate(over="ignore"):
        answers = {k: answer.of(candidate.off, stage.exact, wrong) for k, answer in said.items()}
    known = stage.about.get("known") != "none"
    faults = {name: at_fault(answers[name], wrong, known) for name in (OWN, OPAQUE)}
    own, family = said[OWN], FAMILY.get(candidate.error, "")
    diagnosed: Row = {}
    if candidate.wrong is not None and own.answer == REJECTED:
        diagnosed["components_named"] = bool(np.array_equal(own.wrong, candidate.wrong))
        if family in TOLD:
            diagnosed["mistake"] = family
            diagnosed["mistake_named"] = re.search(TOLD[family], own.words) is not None
    return {
        "what": "mutant" if wrong else "right",
        "gradient": candidate.label,
        "error": candidate.error or None,
        "change": float(f"{candidate.change:.2g}"),
        "in_values": candidate.change >= VISIBLE[dtype] if wrong else
                     candidate.change <= KEPT[dtype],
        **answers,
        "no_fault": not faults[OWN],
        "no_fault_opaque": not faults[OPAQUE],
        "opaque_undecided": answers[OPAQUE] == UNDECIDED,
        **diagnosed,
        "words": own.words if faults[OWN] else said[OPAQUE].words if faults[OPAQUE] else None,
    }  # fmt: skip


def at_fault(answer: str, wrong: bool, known: bool) -> bool:
    """Whether an answer is wrong; to be undecided is none, nor a stated tolerance."""
    if not known:
        return answer in (ACCEPTED, ERROR)
    return answer in ((ACCEPTED, NONE, ERROR) if wrong else (REJECTED, NONE, ERROR))


def timing(checker: str, size: int) -> Row:
    """One check of Rosenbrock's function and its right gradient."""
    written, args = HANDWRITTEN["rosenbrock"], (np.linspace(-1.0, 1.0, size),)
    calls = []

    def counted(x: Any) -> Any:
        calls.append(1)
        return written.f(x)

    judge(checker, written.f, written.gradient, args)  # what is done once, such as importing
    start = time.perf_counter()
    judge(checker, counted, written.gradient, args)
    return {"evaluations": len(calls), "seconds": time.perf_counter() - start}


# What the rows show -------------------------------------------------------------------------------


def answers_of(rows: pd.DataFrame) -> pd.DataFrame:
    """A row for each answer to a gradient whose mistake, or digits, the values show."""
    seen = rows[(rows["group"] == "smooth") & rows["in_values"].eq(True)]
    named = ["source", "function", "dtype", "kind", "what", "error", "change"]
    present = [name for name in CHECKERS if name in rows and seen[name].notna().any()]
    long = seen.melt(named, present, "checker", "answer")
    wrong, rejected = long["what"] == "mutant", long["answer"] == REJECTED
    none = long["answer"].isin([NONE, ERROR])
    fault = none | rejected.where(~wrong, long["answer"] == ACCEPTED)
    return long.assign(small=long["change"] < 1e-4, rejected=rejected, fault=fault)


def beside(long: pd.DataFrame) -> pd.DataFrame:
    """For each peer its answers, and difflab's beside them."""
    peers = [name for name in PEERS if (long["checker"] == name).any()]
    pairs = [long[long["checker"].isin([peer, OWN, OPAQUE])].assign(peer=peer) for peer in peers]
    both = pd.concat(pairs) if pairs else long.assign(peer="")
    return both.assign(side=both["checker"].where(both["checker"].isin([OWN, OPAQUE]), "peer"))


def derived(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """By claim, a row for each function: the mean over its gradients, however many."""
    long, smooth = answers_of(rows), rows[rows["group"] == "smooth"]
    double = long[long["dtype"] == "float64"]
    wrong = double[double["what"] == "mutant"]
    right = long[(long["what"] == "right") & (long["dtype"] == "float32")]
    ordinary = smooth[smooth["in_values"].eq(True) & (smooth["kind"] == "ordinary")]
    diagnosed = smooth[smooth.reindex(columns=["components_named"])["components_named"].notna()]
    kinds = diagnosed[diagnosed["mistake"].notna() & (diagnosed["dtype"] == "float64")]
    hand, small = wrong[wrong["source"] == "hand"], wrong[wrong["small"]]
    tables = {
        "seldom_undecided": (ordinary, "opaque_undecided", "dtype"),
        "mistakes_by_hand_are_found": (of(hand, PEERS), "rejected", "checker"),
        "fixed_tolerances_miss_small_errors": (of(small, FIXED), "rejected", "checker"),
        "false_alarms_in_single_precision": (of(right, PEERS), "rejected", "checker"),
        "wrong_components_are_named": (diagnosed, "components_named", "source"),
        "kind_of_mistake_is_named": (kinds, "mistake_named", "mistake"),
        "more_mistakes_found_if_traced": (beside(wrong), "rejected", "peer", "side"),
        "fewer_wrong_answers_if_opaque": (beside(double), "fault", "peer", "side"),
    }
    return {claim: by_function(*asked) for claim, asked in tables.items()}


def of(long: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    return long[long["checker"].isin(list(names))]


def by_function(table: pd.DataFrame, column: str, *keys: str) -> pd.DataFrame:
    table = table.assign(**{column: table[column].astype(float)})
    return table.groupby([*keys, "function"], as_index=False, sort=False)[column].mean()


def results(rows: pd.DataFrame) -> list[Result]:
    tables, gradients = derived(rows), {"counted": "gradients", "by": "what"}
    undecided = int((rows[OWN].eq(UNDECIDED) & rows["group"].eq("smooth")).sum())
    pairs = {"more_mistakes_found_if_traced": OWN, "fewer_wrong_answers_if_opaque": OPAQUE}
    return [
        every("no_wrong_answer_if_traced", rows, "no_fault", where={"group": "smooth"},
              words=f"{undecided} are left undecided", **gradients),
        every("no_wrong_answer_if_opaque", rows, "no_fault_opaque",
              where={"group": "smooth", "in_values": True}, **gradients),
        *(share(claim, table, table.columns[2], by=table.columns[0], unit="function")
          for claim, table in tables.items() if claim not in pairs),
        *(paired(claim, tables[claim], tables[claim].columns[-1], left={"side": side},
                 right={"side": "peer"}, by="peer", unit="function", scale=100.0,
                 missing="not seen by both") for claim, side in pairs.items()),
        every("special_points_are_told", rows, "no_fault", where={"group": "special"}, by="kind",
              counted="answers"),
        every("solutions_are_not_misjudged", rows, "no_fault", where={"group": "solver"},
              counted="answers"),
    ]  # fmt: skip


def figures(rows: pd.DataFrame) -> list[Figure]:
    long = answers_of(rows)
    wrong = long[(long["what"] == "mutant") & (long["dtype"] == "float64")]
    tiny, rejected = accepted(wrong[wrong["change"] < SIZES[2]]), alarms(long, "float64")
    return [
        Figure("sizes", "The share of mutants that a checker accepts, the mean over the functions,"
               " against the relative change of the component that changes most. Most of it is"
               " within the tolerance that the checker states: that is what it misses by default.",
               "Falling lines: share of mistakes accepted, over their relative size, by checker",
               lambda canvas: draw_sizes(canvas, wrong), (9.0, 4.4),
               finding=f"Mistakes below 1e-5 that are accepted: {told(tiny)}",
               foot=f"{wrong['function'].nunique()} functions, float64, each checker by default"),
        Figure("alarms", "The share of right gradients, with all their digits, that a checker"
               " calls wrong, the mean over the functions.",
               "Dots of the share of right gradients rejected, by checker and dtype",
               lambda canvas: draw_alarms(canvas, long), (8.0, 3.8),
               finding=f"In float64, right gradients called wrong: {told(rejected)}",
               foot="each checker by default"),
    ]  # fmt: skip


def told(shares: pd.Series) -> str:
    """Shares in percent, in words."""
    return ", ".join(f"{name} {100 * shares[name]:.0f} %" for name in CHECKERS if name in shares)


def accepted(wrong: pd.DataFrame) -> pd.Series:
    """By checker, the share of mutants that it accepts: the mean over the functions."""
    taken = wrong.assign(taken=wrong["answer"].isin([ACCEPTED, WITHIN, NONE]))
    return by_function(taken, "taken", "checker").groupby("checker")["taken"].mean()


def alarms(long: pd.DataFrame, dtype: str) -> pd.Series:
    """By checker, the share of right gradients that it rejects: the mean over the functions."""
    good = long[(long["what"] == "right") & (long["dtype"] == dtype)]
    return by_function(good, "fault", "checker").groupby("checker", sort=False)["fault"].mean()


def draw_sizes(canvas: Canvas, wrong: pd.DataFrame) -> None:
    axes, styles = canvas.subplots(), looks(CHECKERS)
    styles["scipy.differentiate"] |= {"color": "#777777", "marker": "*"}  # the eighth of seven
    sizes = np.searchsorted(SIZES, wrong["change"], side="right") - 1
    for name in (name for name in CHECKERS if (wrong["checker"] == name).any()):
        mine = {k: accepted(wrong[(wrong["checker"] == name) & (sizes == k)])
                for k in range(len(SIZES) - 1)}  # fmt: skip
        points = {k: 100 * share[name] for k, share in mine.items() if name in share}
        axes.plot(list(points), list(points.values()), label=name, **styles[name])
    ends = [f"{x:g}" for x in SIZES[:-1]]
    ticks = [*(f"{a} to {b}" for a, b in itertools.pairwise(ends)), "0.1 and more"]
    axes.set_xticks(range(len(ticks)), ticks)
    axes.set(xlabel="relative change of the worst component", ylabel="accepted (% of mutants)")
    canvas.legend(loc="outside right center")


def draw_alarms(canvas: Canvas, long: pd.DataFrame) -> None:
    axes = canvas.subplots()
    for dtype, marker in (("float64", "o"), ("float32", "^")):
        shares = alarms(long, dtype)
        axes.plot(100 * shares, shares.index, marker, label=dtype, fillstyle="none")
    axes.invert_yaxis()
    axes.set(xlim=(-3, 103), xlabel="called wrong (% of a function's right gradients)")
    canvas.legend(loc="outside right center")


def tables(rows: pd.DataFrame) -> list[Table]:
    asked = rows[rows["size"].notna()].set_index("checker")
    known = {
        OWN: ("difflab.check", "formula and rounding apart; no tolerance"),
        OPAQUE: ("difflab.check", "not traced: extrapolated differences, with a band"),
        **{name: (peer.call, peer.rule) for name, peer in PEERS.items()},
    }
    checkers = pd.DataFrame(known, ["call", "rule"]).T.rename_axis("checker")
    checkers.insert(0, "version", asked["version"])
    for column, words in (("evaluations", "evaluations"), ("seconds", "time, s")):
        checkers[words] = asked.get(column, pd.Series(dtype=float))
    faults = rows[rows.reindex(columns=["words"])["words"].notna()]
    columns = ["function", "dtype", "kind", "error", "gradient", OWN, OPAQUE, "words"]
    return [
        Table("The checkers", "What was called, with its default settings, what it takes for right,"
              " and what it costs to check Rosenbrock's function of 100 inputs: evaluations of the"
              " function and seconds. A checker without figures is not installed"
              " (`pip install difflab[peers]`).", checkers.reset_index()),
        Table("Every wrong answer of difflab", f"{len(faults)} answers: mutants that it accepts,"
              " right gradients that it rejects, exceptions. Its answer where it may trace the"
              " function, where it may not, and its words.",
              faults.reindex(columns=columns).fillna("")),
    ]  # fmt: skip


EXPERIMENT = Experiment(
    name="checkers", title="Checkers", question="Which gradient checker can be trusted?", version=2,
    cases=cases, measure=measure, results=results, figures=figures, tables=tables,
    volatile=("seconds",), timed=lambda case: "size" in case, seeded_by=("source", "function"),
    order=50,
    method="""
    A mutant is a right gradient with one mistake: on an edge of the reverse sweep through a zoo
    function, or in a gradient written by hand. The derivative is certified by mpmath: central
    differences of the traced program's values, 1e-40 and 1e-60 of the point's scale wide, which
    agree to 25 digits, from both sides and along other lines. A mutant's formula, read in mpmath
    too, differs by more than 1e-9 (5e-7 in float32), relative, in a component; one that should be
    zero is measured against the largest. What mpmath does not settle is left out, and counted.

    All checkers get the same function, gradient and point, with their default settings, once.
    Mutants of one function are averaged first: functions are the units. Checkers of values are not
    asked for what values do not show: right formulas that lose digits, and in float32 changes below
    1e-5. A mutant that is accepted, and inside the tolerance or band that its checker states, is
    tolerated: no wrong answer, and not found. A diagnosis names the kind of mistake if it has the
    words for it ("wrong sign"); the components, if it calls just the wrong ones wrong.
    """,
    limitations="""
    Kinds of mistakes are chosen, and equally frequent, which they are not in practice. With other
    steps and tolerances the tools would miss others. The values that mpmath reads are those of
    difflab's trace. A tool that leaves the comparison to us (scipy, numdifftools,
    scipy.differentiate) is judged by the rule in the table of checkers.
    """,
)  # fmt: skip

if __name__ == "__main__":
    main(EXPERIMENT)
