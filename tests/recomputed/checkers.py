"""The answers of checkers, a row each, from the wide rows of `checkers`: in plain pandas."""

from __future__ import annotations

import pandas as pd

PEERS = ["torch", "jax", "autograd", "scipy", "numdifftools", "scipy.differentiate"]
OWN = ["difflab", "difflab (opaque)"]


def means(table: pd.DataFrame, column: str, *keys: str) -> pd.DataFrame:
    numbers = table[column].astype(str).map({"True": 1.0, "False": 0.0})
    return numbers.groupby([table[key] for key in [*keys, "function"]]).mean().reset_index()


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
    hits = long[(long["what"] == "mutant") & (long["dtype"] == "float64")]
    peers = long["checker"].isin(PEERS)
    alarms = long[peers & (long["what"] == "right") & (long["dtype"] == "float32")]
    fixed = hits["checker"].isin(PEERS[:4]) & hits["small"]
    hand = (hits["source"] == "hand") & hits["checker"].isin(PEERS)
    wide = both[both["dtype"] == "float64"]
    told = rows[(rows["group"] == "smooth") & rows["components_named"].notna()]
    kinds = told[told["mistake"].notna() & (told["dtype"] == "float64")]
    return {
        "seldom_undecided": means(seen[seen["kind"] == "ordinary"], "opaque_undecided", "dtype"),
        "mistakes_by_hand_are_found": means(hits[hand], "rejected", "checker"),
        "fixed_tolerances_miss_small_errors": means(hits[fixed], "rejected", "checker"),
        "false_alarms_in_single_precision": means(alarms, "rejected", "checker"),
        "wrong_components_are_named": means(told, "components_named", "source"),
        "kind_of_mistake_is_named": means(kinds, "mistake_named", "mistake"),
        "more_mistakes_found_if_traced": means(
            wide[wide["what"] == "mutant"], "rejected", "peer", "side"
        ),
        "fewer_wrong_answers_if_opaque": means(wide, "fault", "peer", "side"),
    }
