"""What the experiment `checkers` finds: rows in, the evidence for its claims out."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from _checkers_rows import (
    DIGITS_KEPT,
    accepted_nowhere,
    missed,
    mutants,
    opaque_cases,
    rejected,
    right,
    special,
    wrong_answers,
)
from apparatus.peer_checkers import OPAQUE, OWN, PEERS, REJECTED, UNDECIDED

from difflab.lab import Evidence, share_interval


def findings(rows: pd.DataFrame) -> list[Evidence]:
    return [
        no_wrong_verdict(rows),
        *opaque(rows),
        mistakes_by_hand(rows),
        small_errors(rows),
        single_precision(rows),
        special_points(rows),
        solvers(rows),
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


def special_points(rows: pd.DataFrame) -> Evidence:
    own = special(rows[rows["checker"].isin([OWN, OPAQUE])])
    own = own[own["kind"] != "solver"]
    traced = own[own["checker"] == OWN]
    told = [
        f"{name}: {int(wrong_answers(part).sum())} wrong answers and {int(open_ones(part).sum())}"
        f" undecided of {len(part)}, {int(accepted_nowhere(part).sum())} gradients said to be right"
        " where there is none"
        for name, part in own.groupby("checker", sort=False)
    ]
    return Evidence(
        "special_points_are_told", share_interval(~wrong_answers(traced)), "; ".join(told)
    )


def solvers(rows: pd.DataFrame) -> Evidence:
    own = special(rows)
    own = own[(own["kind"] == "solver") & (own["checker"] == OWN)]
    return Evidence(
        "solutions_are_not_misjudged",
        share_interval(~wrong_answers(own)),
        f"{int(wrong_answers(own).sum())} wrong answers of {len(own)}, of which"
        f" {int(rejected(own[own['error'].isna()]).sum())} are right gradients rejected",
    )


def open_ones(rows: pd.DataFrame) -> pd.Series:
    """Whether a check ends without an answer."""
    return rows["answer"] == UNDECIDED


def rates(own: pd.DataFrame) -> str:
    """The share of gradients that each checker rejects, in words."""
    shares = own["answer"].eq(REJECTED).groupby(own["checker"], sort=False).mean()
    named = ", ".join(f"{name} {100 * rate:.0f} %" for name, rate in shares.items())
    return named or "not measured"
