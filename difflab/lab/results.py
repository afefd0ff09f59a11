"""Results: intervals from values, findings as they are stored, and what changed in them.

What flows: values of runs -> an `Interval`; an experiment's evidence and claims -> plain dicts in
summary.json -> the verdict boxes of the pages; and those of the previous run -> what changed.

Invariant: equal values give equal intervals, because the bootstrap's seed is fixed; and every claim
of an experiment has its dict, also one that the run does not judge.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from difflab.errors import ArgumentError, DomainError
from difflab.lab.cases import Experiment
from difflab.lab.claims import Claim, Evidence, Finding, Interval, claims, judge

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import ArrayLike

Plain: TypeAlias = dict[str, Any]
"""A finding as JSON: claim, verdict, interval (or None), n, the evidence in words."""

NOT_JUDGED = "not judged"


def bootstrap_interval(
    values: ArrayLike,
    *,
    over: ArrayLike | None = None,
    minus: ArrayLike | None = None,
    statistic: Callable[..., np.ndarray] | None = None,
    confidence: float = 0.95,
    resamples: int = 4000,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval of a statistic (the median), optionally of paired values.

    Parameters
    ----------
    values : one value per pair, seed or round
    over, minus : the paired values to divide by, or to subtract
    statistic : a NumPy reduction that takes `axis`; `np.median` by default
    confidence, resamples, seed : of the bootstrap; equal arguments give an equal interval

    Raises
    ------
    DomainError : no values, or a NaN (a censored run is counted, never imputed)

    >>> bootstrap_interval([2.0, 4.0, 6.0], over=[1.0, 2.0, 3.0])
    Interval(estimate=2.0, low=2.0, high=2.0, n=3)
    """
    import numpy as np

    sample = np.asarray(values, dtype=np.float64).ravel()
    for other, combine in ((over, np.divide), (minus, np.subtract)):
        if other is not None:
            paired = np.asarray(other, dtype=np.float64).ravel()
            if paired.shape != sample.shape:
                raise ArgumentError(f"{sample.size} values are paired with {paired.size}")
            sample = combine(sample, paired)
    if sample.size == 0 or np.isnan(sample).any():
        what = "a NaN among the values" if sample.size else "no values"
        raise DomainError(f"no interval: {what}", "select the finished runs, and report k of n")
    reduce = np.median if statistic is None else statistic
    picks = np.random.default_rng(seed).integers(sample.size, size=(resamples, sample.size))
    tail = (1 - confidence) / 2
    low, high = np.quantile(reduce(sample[picks], axis=1), (tail, 1 - tail))
    return Interval(float(reduce(sample, axis=0)), float(low), float(high), sample.size)


def proportion_interval(count: int, n: int, *, confidence: float = 0.95) -> Interval:
    """Wilson's interval of a proportion: it stays honest at 0 of n and n of n.

    >>> print(proportion_interval(20, 20))
    1 [0.8389, 1]
    """
    from scipy import stats  # type: ignore[import-untyped,unused-ignore]

    if not 0 <= count <= n or n == 0:
        raise DomainError(f"no proportion: {count} of {n}", "count the cases that were finished")
    low, high = stats.binomtest(int(count), int(n)).proportion_ci(confidence, method="wilson")
    return Interval(count / n, float(low), float(high), n)


def share_interval(holds: ArrayLike, *, confidence: float = 0.95) -> Interval | None:
    """The interval of the share of true values; None where there are no values.

    >>> print(share_interval([True, True, False]))
    0.6667 [0.2077, 0.9385]
    """
    import numpy as np

    values = np.asarray(holds, dtype=bool)
    count = int(np.sum(values))
    return proportion_interval(count, values.size, confidence=confidence) if values.size else None


def findings_of(experiment: Experiment, rows: pd.DataFrame) -> list[Finding]:
    """What an experiment finds in rows, judged by `claims.toml` beside the experiment's file."""
    return judge(experiment.name, claims(experiment.file.parent), experiment.findings(rows))


def plain_findings(experiment: Experiment, rows: pd.DataFrame) -> list[Plain]:
    """The same as JSON, and after it the claims of the experiment that the rows do not judge."""
    findings = findings_of(experiment, rows) if len(rows) else []
    judged = {finding.claim.id for finding in findings}
    own = [c for c in claims(experiment.file.parent).values() if c.experiment == experiment.name]
    return [plain(f.claim, f) for f in findings] + [plain(c) for c in own if c.id not in judged]


def plain(claim: Claim, finding: Finding | None = None) -> Plain:
    """A claim as strict JSON, which knows no NaN, with what was found if it was judged."""
    evidence = finding.evidence if finding else Evidence(claim.id, None, "")
    shown = evidence.interval
    return {
        "id": claim.id,
        "claim": claim.sentence,
        **{name: getattr(claim, name) for name in ("source", "reported", "unit", "differs")},
        "rule": str(claim.rule),
        "verdict": finding.verdict if finding else NOT_JUDGED,
        "interval": shown._asdict() if shown and all(map(math.isfinite, shown)) else None,
        "n": evidence.n,
        "evidence": evidence.words,
    }


def here(finding: Plain) -> str:
    """Our figure with its confidence interval and unit, or nothing."""
    found = finding["interval"]
    return f"{Interval(**found)} {finding['unit']}".strip() if found else ""


def changes(before: Sequence[Plain], now: Sequence[Plain]) -> list[dict[str, str]]:
    """The claims whose verdict changed, or whose estimate left the other run's interval."""
    absent = {"verdict": NOT_JUDGED, "interval": None}
    old, new = ({finding["id"]: finding for finding in run} for run in (before, now))
    found = []
    for name in new | old:
        was, is_now = old.get(name, absent), new.get(name, absent)
        if was["verdict"] != is_now["verdict"] or _moved(was["interval"], is_now["interval"]):
            claim = (new.get(name) or old[name])["claim"]
            found.append({"claim": claim, "before": _words(was), "now": _words(is_now)})
    return found


def _moved(was: Plain | None, is_now: Plain | None) -> bool:
    """Whether one run's estimate lies outside the other's interval."""
    if not was or not is_now:
        return bool(was) != bool(is_now)
    pairs = ((was, is_now), (is_now, was))
    return not all(one["low"] <= other["estimate"] <= one["high"] for one, other in pairs)


def _words(finding: Plain) -> str:
    return f"{finding['verdict']}: {here(finding)}".removesuffix(": ")
