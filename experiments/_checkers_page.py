"""The page of the experiment `checkers`: rows in, tables out."""

from __future__ import annotations

from typing import get_args

import pandas as pd
from _checkers_rows import (
    FOUND,
    MISSED,
    WITHIN,
    accepted_nowhere,
    blurred,
    checkers,
    dtypes,
    hidden,
    missed,
    mutants,
    outcome,
    percent,
    rejected,
    right,
    smooth,
    special,
    wrong_answers,
)
from apparatus.independent import UNKNOWN
from apparatus.mutants import FAMILIES, FAMILY
from apparatus.peer_checkers import ACCEPTED, ERROR, NONE, OPAQUE, OWN, PEERS, REJECTED, UNDECIDED
from apparatus.special_points import KINDS

from difflab.accuracy.zoo import Kind
from difflab.lab import Table

ANSWERS = (ACCEPTED, REJECTED, UNDECIDED, ERROR)
SHOWN = (FOUND, MISSED, WITHIN)
OUTCOMES = (*SHOWN, UNDECIDED, ERROR)
LISTED = 60


# Tables -------------------------------------------------------------------------------------------


def tables(rows: pd.DataFrame) -> list[Table]:
    found = [summary(rows[rows["dtype"] == dtype], dtype) for dtype in dtypes(rows)]
    found += [by_family(rows[rows["dtype"] == dtype], dtype) for dtype in dtypes(rows)]
    found.append(by_kind(rows[rows["dtype"] == "float64"]))
    found += [at_special_points(rows), where_there_is_none(rows), special_faults(rows)]
    return [*found, faults(rows), not_decided(rows), lost_digits(rows), elsewhere(rows),
            the_set(rows), effort(rows), rules(rows)]  # fmt: skip


def summary(rows: pd.DataFrame, dtype: str) -> Table:
    wrong, good = mutants(rows), right(rows)
    wrong = wrong.assign(outcome=outcome(wrong))

    def row(name: str) -> dict[str, object]:
        bad, fine = wrong[wrong["checker"] == name], good[good["checker"] == name]
        counts = bad["outcome"].value_counts()
        return {
            "checker": name,
            "mutants": len(bad),
            **{word: int(counts.get(word, 0)) for word in OUTCOMES},
            "missed, %": percent(int(counts.get(MISSED, 0)), len(bad)),
            "right gradients": len(fine),
            "false alarms": int(rejected(fine).sum()),
            "false alarms, %": percent(int(rejected(fine).sum()), len(fine)),
            "undecided of them": int((fine["answer"] == UNDECIDED).sum()),
            "errors of them": int((fine["answer"] == ERROR).sum()),
        }

    least = "1e-9" if dtype == "float64" else "5e-7"
    values = "" if dtype == "float64" else (
        f" Of {hidden(rows).drop_duplicates(['function', 'point', 'gradient']).shape[0]} mutants"
        " the change is below 1e-5, which rounding hides: they are asked of difflab alone, which"
        " reads the formula."
    )  # fmt: skip
    return Table(
        f"Every checker, {dtype}",
        f"Mutants change a component by more than {least}, relative. Missed: accepted, and outside"
        " the tolerance or band that the checker states; within its tolerance: accepted, and"
        " inside. Right gradients have all their digits (for difflab, which judges the formula,"
        " they need not). Shares are in percent with 95 % intervals. An error is an answer by an"
        f" exception.{values}",
        pd.DataFrame([row(name) for name in checkers(rows)]),
    )


def by_family(rows: pd.DataFrame, dtype: str) -> Table:
    own = mutants(rows)
    own = own.assign(family=own["error"].map(FAMILY))
    counts = own.assign(missed=missed(own)).groupby(["family", "checker"])["missed"].sum().unstack()
    asked = own.drop_duplicates(["function", "source", "point", "gradient"])
    order = [family for family in FAMILIES if family in counts.index]
    frame = counts.reindex(index=order, columns=checkers(rows))
    frame.insert(0, "mutants", asked["family"].value_counts().reindex(order))
    return Table(
        f"Missed by kind of mistake, {dtype}",
        "How many mutants each checker accepts that are outside its tolerance. The last rows are"
        " right but for a relative error of that size, on one edge of the sweep or in one"
        " component.",
        frame.rename_axis("mistake").reset_index(),
    )


def by_kind(rows: pd.DataFrame) -> Table:
    parts = {"missed": (mutants(rows), missed), "false alarms": (right(rows), rejected)}
    columns = {}
    for name, (asked, fault) in parts.items():
        groups = asked.assign(fault=fault(asked)).groupby(["checker", "kind"])["fault"]
        shares = [f"{n} of {size}" for n, size in zip(groups.sum(), groups.size(), strict=True)]
        columns[name] = pd.Series(shares, groups.sum().index, dtype=object)
    frame = pd.DataFrame(columns).unstack().reindex(checkers(rows)).sort_index(axis=1, level=1)
    order = [(name, kind) for kind in get_args(Kind) for name in parts if (name, kind) in frame]
    frame = frame[order]
    frame.columns = [f"{name}, {kind}" for name, kind in order]
    return Table(
        "By kind of point, float64",
        "Hard: digits are at risk, by cancellation, saturation or scale; edge: beside the border of"
        " the domain; removable: the formula chooses, and the derivative exists. A tool made for"
        " ordinary points should be judged by those.",
        frame.rename_axis("checker").reset_index(),
    )


def faults(rows: pd.DataFrame) -> Table:
    own = rows[rows["checker"].isin([OWN, OPAQUE])]
    wrong, good = mutants(own), right(own)
    listed = pd.concat([wrong[missed(wrong)], good[rejected(good)]])
    listed = pd.concat([listed, own[own["answer"] == ERROR]]).drop_duplicates()
    return Table(
        "Every miss, false alarm and exception of difflab",
        f"n = {len(listed)}: the mutants that it accepts, the right gradients that it rejects, and"
        " what it could not judge for an exception, by name.",
        named(listed),
    )


def not_decided(rows: pd.DataFrame) -> Table:
    own = rows[rows["checker"].isin([OWN, OPAQUE])]
    asked = pd.concat([mutants(own), right(own)])
    keys = ["checker", "dtype", "function", "point", "kind"]
    answers = asked.assign(undecided=asked["answer"] == UNDECIDED).groupby(keys, sort=False)
    counts = answers["undecided"].agg(["sum", "size"]).reset_index()
    counts = counts[counts["sum"] > 0].sort_values("sum", ascending=False).head(LISTED // 2)
    return Table(
        "Where difflab is undecided",
        f"By point, the most first, {LISTED // 2} at most: how many of the gradients there get no"
        " answer, because the function's own rounding, or a step of its values, hides the slope.",
        counts.rename(columns={"sum": "undecided", "size": "gradients"}),
    )


def named(listed: pd.DataFrame) -> pd.DataFrame:
    """Checks by name, with what was said."""
    columns = ["checker", "dtype", "function", "point", "kind", "gradient", "change", "answer",
               "words"]  # fmt: skip
    frame = listed.reindex(columns=columns).head(LISTED)
    return frame.assign(change=[f"{x:.2g}" for x in frame["change"]]).fillna({"words": ""})


def answered(own: pd.DataFrame, by: str) -> pd.DataFrame:
    """How often each answer was given, by checker and a column."""
    counts = own.groupby(["checker", by, "answer"], sort=False).size().unstack(fill_value=0)
    shown = [*ANSWERS, *([NONE] if NONE in counts else [])]
    return counts.reindex(columns=shown, fill_value=0).reset_index()


def lost_digits(rows: pd.DataFrame) -> Table:
    own = blurred(rows)
    what = own.drop_duplicates(["source", "function", "point", "gradient", "dtype"])
    return Table(
        "Right formulas that lose digits",
        f"{len(what)} right gradients whose values are off by more than 1e-12 (float32: 1e-5)"
        " relative: 1 - tanh² at 20, and the like. A checker of values may rightly reject the"
        " number; difflab, where it can trace, accepts the formula and says that it rounds badly.",
        answered(own, "dtype"),
    )


def elsewhere(rows: pd.DataFrame) -> Table:
    title = "Where the zoo has no derivative"
    if "group" not in rows:
        return Table(title, "Nothing was judged.", rows.head(0))
    own = rows[rows["group"].notna() & ~rows["group"].isin(["smooth", "special", UNKNOWN])]
    points = own.drop_duplicates(["source", "function", "point", "dtype"])["group"].value_counts()
    named_points = ", ".join(f"{n} x {group}" for group, n in points.items())
    return Table(
        title,
        f"What is said of reverse mode's value there ({named_points}), by mpmath's verdict on the"
        " point. At a kink, a jump and without a value, accepted means: said to be right where"
        " there is none. One-sided: on the border of the domain. No number:"
        " the function or its gradient is not finite in floats. These points count nowhere else.",
        answered(own, "group"),
    )


def at_special_points(rows: pd.DataFrame) -> Table:
    own = special(rows)
    own = own[own["known"] != "none"]

    def cells(asked: pd.DataFrame, kind: str) -> dict[str, str]:
        good, bad = asked[asked["error"].isna()], asked[asked["error"].notna()]
        kept = [(good["answer"] == ACCEPTED).sum(), rejected(good).sum()]
        counts = outcome(bad).value_counts()
        return {
            f"{kind}, right": " / ".join(map(str, [*kept, len(good) - sum(kept)])),
            f"{kind}, wrong": " / ".join(
                str(counts.get(word, 0)) for word in (FOUND, MISSED, WITHIN, UNDECIDED)
            ),
        }

    kinds = [kind for kind in KINDS if kind in set(own["kind"])]
    frame = [
        {"checker": name}
        | {
            column: cell
            for kind in kinds
            for column, cell in cells(part[part["kind"] == kind], kind).items()
        }
        for name, part in by_checker(own)
    ]
    return Table(
        "Special points with a derivative known by analysis",
        f"{own['function'].nunique()} points, float64. Right gradients: how many are accepted /"
        " rejected / left undecided; wrong ones: found / missed / within its tolerance / undecided."
        " Removable: the formula has a hole or a choice, and the function a derivative. Solver:"
        " exp(-a), as the solution of a differential equation by SciPy, and gradients off by 1/2,"
        " 1e-3 and 1e-5, relative: it cannot be traced, so difflab judges it by calls in both rows,"
        " and to say that there is no derivative counts as wrong. Edge: the slope to one side.",
        pd.DataFrame(frame),
    )


def where_there_is_none(rows: pd.DataFrame) -> Table:
    own = special(rows)
    own = own[own["known"] == "none"]
    kinds = [kind for kind in KINDS if kind in set(own["kind"])]
    frame = [
        {"checker": name}
        | {
            kind: f"{accepted_nowhere(part[part['kind'] == kind]).sum()}"
            f" of {(part['kind'] == kind).sum()}"
            for kind in kinds
        }
        | {"undecided": int((part["answer"] == UNDECIDED).sum())}
        | {"says so": int((part["answer"] == NONE).sum())}
        for name, part in by_checker(own)
    ]
    return Table(
        "Said to be right where there is none",
        f"{own['function'].nunique()} special points without a derivative, float64: how many of the"
        " gradients that a convention or a formula gives there are accepted. Edge: the tangent is"
        " vertical. Says so: it answers that there is no derivative, which difflab alone can.",
        pd.DataFrame(frame),
    )


def by_checker(own: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The rows of each checker, in the order of the page."""
    found = set(own["checker"])
    return [(n, own[own["checker"] == n]) for n in (OWN, OPAQUE, *PEERS) if n in found]


def special_faults(rows: pd.DataFrame) -> Table:
    own = special(rows)
    own = own[own["checker"].isin([OWN, OPAQUE])]
    listed = own[wrong_answers(own) | (own["answer"] == ERROR)]
    return Table(
        "Every wrong answer of difflab at a special point",
        f"n = {len(listed)}: right gradients that it rejects, wrong ones that it accepts, and those"
        " that it accepts where there is no derivative.",
        listed.reindex(columns=["checker", "function", "kind", "gradient", "answer", "words"]),
    )


def the_set(rows: pd.DataFrame) -> Table:
    own = smooth(rows)
    first = own[own["checker"] == own["checker"].iloc[0]] if len(own) else own
    points = first.drop_duplicates(["source", "function", "point", "dtype"])
    keys = ["dtype", "source"]
    frame = pd.DataFrame(
        {
            "functions": points.groupby(keys)["function"].nunique(),
            "points": points.groupby(keys).size(),
            "right gradients": first[first["error"].isna()].groupby(keys).size(),
            "mutants": first[first["error"].notna()].groupby(keys).size(),
            "equivalent, left out": points.groupby(keys)["equivalent"].sum(),
            "not certified": points.groupby(keys)["uncertified"].sum(),
        }
    )
    unknown = rows[rows["group"] == UNKNOWN] if "group" in rows else rows.head(0)
    unknown = unknown.drop_duplicates(["source", "function", "point", "dtype"])
    places = ", ".join(
        f"{name} ({dtype})"
        for name, dtype in zip(unknown["function"], unknown["dtype"], strict=True)
    )
    return Table(
        "The set",
        "zoo: mistakes on an edge of the reverse sweep; hand: mistakes in a gradient written by"
        " hand. A mistake that changes nothing at the point, or gives no finite number, is left"
        " out, and counted; not certified: right gradients and mistakes whose formula mpmath does"
        " not settle. Points whose derivative it does not settle are left out altogether:"
        f" n = {len(unknown)}{' (' + places + ')' if places else ''}.",
        frame.reset_index(),
    )


def effort(rows: pd.DataFrame) -> Table:
    own = smooth(rows)
    each = own.groupby("checker", sort=False)
    frame = pd.DataFrame(
        {
            "evaluations, median": each["evaluations"].median(),
            "seconds, median": each["seconds"].median(),
            "seconds, 95 %": each["seconds"].quantile(0.95),
        }
    ).reindex(checkers(rows))
    sized = rows[rows["size"].notna()] if "size" in rows else rows.head(0)
    for size, part in sized.groupby("size") if len(sized) else []:
        part = part.set_index("checker")
        frame[f"n = {size:.0f}: evaluations"] = part["evaluations"]
        frame[f"n = {size:.0f}: seconds"] = part["seconds"]
    return Table(
        "What a check costs",
        "Evaluations of the function and seconds of one check: over all checks of smooth points"
        " (run beside each other), and of Rosenbrock's function of n inputs (run alone). difflab"
        " evaluates a function that it can trace only to trace it.",
        frame.rename_axis("checker").reset_index(),
    )


def rules(rows: pd.DataFrame) -> Table:
    versions = rows.drop_duplicates("checker").set_index("checker")["version"]
    own = {
        OWN: ("difflab.check", "formula and rounding apart; no tolerance"),
        OPAQUE: (
            "difflab.check",
            "of functions that cannot be traced: extrapolated differences, with a band",
        ),
    }
    known = own | {name: (peer.call, peer.rule) for name, peer in PEERS.items()}
    frame = pd.DataFrame(
        [
            {"checker": name, "version": versions.get(name, "missing"), "call": call, "rule": rule}
            for name, (call, rule) in known.items()
        ]
    )
    return Table(
        "The checkers",
        "What was called, with its default settings, and what it takes for right. Missing: not"
        " installed (`pip install difflab[peers]`), and so in no table.",
        frame,
    )
