"""Which rows of the experiment `checkers` count as what: mutants, right gradients, faults."""

from __future__ import annotations

import pandas as pd
from apparatus.peer_checkers import ACCEPTED, NONE, OPAQUE, OWN, PEERS, REJECTED

from difflab.lab import proportion_interval

FOUND, WITHIN, MISSED = "found", "within its tolerance", "missed"
"""What becomes of a mutant, besides undecided and error."""
DIGITS_KEPT = {"float64": 1e-12, "float32": 1e-5}
"""A right gradient whose values are further from the truth has lost digits."""
VISIBLE = {"float64": 0.0, "float32": 1e-5}
"""A smaller relative change is within the rounding of the values: only the formula shows it."""


def smooth(rows: pd.DataFrame) -> pd.DataFrame:
    """The checks at points where the derivative exists and has finite numbers."""
    if "group" not in rows:
        return rows.head(0).reindex(columns=[*rows, "error", "change", "relative_error", "answer"])
    return rows[rows["group"] == "smooth"]


def special(rows: pd.DataFrame) -> pd.DataFrame:
    """The checks at special points, where analysis knows the answer."""
    if "known" not in rows:
        return smooth(rows).head(0).assign(known="", kind="")
    return rows[rows["group"] == "special"]


def mutants(rows: pd.DataFrame) -> pd.DataFrame:
    """The checks of mutants that the checker has a chance to see."""
    own = smooth(rows)
    return own[own["error"].notna() & ~unseen(own)]


def hidden(rows: pd.DataFrame) -> pd.DataFrame:
    """The checks of mutants below the rounding of float32."""
    own = smooth(rows)
    return own[own["error"].notna() & unseen(own)]


def unseen(rows: pd.DataFrame) -> pd.Series:
    """Whether a change is below the rounding of the values, for a checker that sees these alone."""
    return (rows["checker"] != OWN) & (rows["change"] < rows["dtype"].map(VISIBLE))


def right(rows: pd.DataFrame) -> pd.DataFrame:
    """The checks of right gradients: with all their digits, for a checker that sees values."""
    own = smooth(rows)
    seen = (own["checker"] == OWN) | (own["relative_error"] <= own["dtype"].map(DIGITS_KEPT))
    return own[own["error"].isna() & seen]


def blurred(rows: pd.DataFrame) -> pd.DataFrame:
    """The checks of right formulas whose values have lost digits."""
    own = smooth(rows)
    lost = ~(own["relative_error"] <= own["dtype"].map(DIGITS_KEPT))
    return own[own["error"].isna() & lost]


def opaque_cases(rows: pd.DataFrame) -> pd.DataFrame:
    """What difflab is asked about functions that it cannot trace."""
    own = rows[rows["checker"] == OPAQUE]
    return pd.concat([mutants(own), right(own)])


def outcome(wrong: pd.DataFrame) -> pd.Series:
    """What becomes of each mutant: the same rule for all checkers."""
    inside = wrong["within"].eq(True)
    renamed = wrong["answer"].replace({REJECTED: FOUND, ACCEPTED: MISSED, NONE: MISSED})
    return renamed.mask((wrong["answer"] == ACCEPTED) & inside, WITHIN)


def missed(wrong: pd.DataFrame) -> pd.Series:
    """Whether a mutant is accepted that is not inside the tolerance that the checker states."""
    return outcome(wrong) == MISSED


def rejected(good: pd.DataFrame) -> pd.Series:
    """Whether a right gradient is rejected, or said to be of no derivative."""
    return good["answer"].isin([REJECTED, NONE])


def accepted_nowhere(rows: pd.DataFrame) -> pd.Series:
    """Whether a gradient is said to be right where there is none."""
    return (rows["known"] == "none") & (rows["answer"] == ACCEPTED)


def wrong_answers(rows: pd.DataFrame) -> pd.Series:
    """Which answers at special points are wrong."""
    exists = rows["known"] != "none"
    faults = missed(rows).where(rows["error"].notna(), rejected(rows))
    return (exists & faults) | accepted_nowhere(rows)


def checkers(rows: pd.DataFrame) -> list[str]:
    """The checkers that have judged, in the order of the page."""
    found = smooth(rows)["checker"].unique()
    return [name for name in (OWN, OPAQUE, *PEERS) if name in found]


def dtypes(rows: pd.DataFrame) -> list[str]:
    """The dtypes that were measured, float64 first."""
    return sorted(smooth(rows)["dtype"].dropna().unique(), reverse=True)


def percent(count: int, n: int) -> str:
    """A share with its interval, in percent."""
    if not n:
        return "-"
    interval = proportion_interval(count, n)
    low, middle, high = (100 * x for x in (interval.low, interval.estimate, interval.high))
    return f"{middle:.1f} [{low:.1f}, {high:.1f}]"
