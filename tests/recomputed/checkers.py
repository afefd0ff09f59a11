"""The answers of checkers, a row each, from the wide rows of `checkers`: in plain pandas."""

from __future__ import annotations

import pandas as pd

PEERS = ["torch", "jax", "autograd", "scipy", "numdifftools", "scipy.differentiate"]
OWN = ["difflab", "difflab (opaque)"]


def derived(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    seen = rows[(rows["group"] == "smooth") & (rows["in_values"].astype(str) == "True")]
    parts = []
    for checker in [name for name in [*OWN, *PEERS] if name in rows and seen[name].notna().any()]:
        part = seen[["source", "function", "dtype", "kind", "what", "change"]].copy()
        part["checker"], part["answer"] = checker, seen[checker]
        parts.append(part)
    long = pd.concat(parts, ignore_index=True)
    wrong = long["what"] == "mutant"
    long["small"] = long["change"] < 1e-4
    long["rejected"] = long["answer"] == "rejected"
    bad = long["answer"].isin(["no derivative", "error"])
    long["fault"] = bad | (long["answer"] == "accepted") & wrong
    long["fault"] |= (long["answer"] == "rejected") & ~wrong
    pairs = []
    for peer in [name for name in PEERS if (long["checker"] == name).any()]:
        part = long[long["checker"].isin([peer, *OWN])].copy()
        part["peer"] = peer
        part["side"] = [name if name in OWN else "peer" for name in part["checker"]]
        pairs.append(part)
    both = pd.concat(pairs, ignore_index=True)
    alone = ("mistakes_by_hand_are_found", "fixed_tolerances_miss_small_errors",
             "false_alarms_in_single_precision")  # fmt: skip
    beside = ("more_mistakes_found_if_traced", "fewer_wrong_answers_if_opaque")
    return {**dict.fromkeys(alone, long), **dict.fromkeys(beside, both)}
