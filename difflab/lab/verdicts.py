"""Findings as they are stored and shown, and what changed in them since the previous run.

What flows: an experiment's evidence and claims -> plain dicts in summary.json -> the verdict boxes
of the pages; and those of the previous run, kept in provenance.json -> what changed.

Invariant: every claim of an experiment has its dict, also one that the run does not judge.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from difflab.lab.claims import Claim, Finding, Interval, claims, judge
from difflab.lab.experiment import Experiment

if TYPE_CHECKING:
    import pandas as pd

Plain: TypeAlias = dict[str, Any]
"""A finding as JSON: claim, verdict, interval (or None), n, the evidence in words."""

NOT_JUDGED = "not judged"


def findings_of(experiment: Experiment, rows: pd.DataFrame) -> list[Finding]:
    """What an experiment finds in rows, judged by `claims.toml` beside the experiment's file."""
    return judge(experiment.name, claims(experiment.file.parent), experiment.findings(rows))


def plain_findings(experiment: Experiment, rows: pd.DataFrame) -> list[Plain]:
    """The same as JSON, and after it the claims of the experiment that the rows do not judge."""
    findings = findings_of(experiment, rows) if len(rows) else []
    judged = {finding.claim.id for finding in findings}
    own = [c for c in claims(experiment.file.parent).values() if c.experiment == experiment.name]
    return [
        *map(_judged, findings),
        *(not_judged(claim) for claim in own if claim.id not in judged),
    ]


def _judged(finding: Finding) -> Plain:
    evidence = finding.evidence
    return {
        **_plain(finding.claim),
        "verdict": finding.verdict,
        "interval": _numbers(evidence.interval),
        "n": evidence.n,
        "evidence": evidence.words,
    }


def not_judged(claim: Claim) -> Plain:
    """A claim without evidence."""
    return {**_plain(claim), "verdict": NOT_JUDGED, "interval": None, "n": 0, "evidence": ""}


def _plain(claim: Claim) -> Plain:
    return {
        "id": claim.id,
        "claim": claim.sentence,
        "source": claim.source,
        "reported": claim.reported,
        "unit": claim.unit,
        "differs": claim.differs,
        "rule": str(claim.rule),
    }


def _numbers(interval: Interval | None) -> Plain | None:
    """The interval as strict JSON, which knows no NaN: then there is none."""
    if interval is None or not all(map(math.isfinite, interval)):
        return None
    return interval._asdict()


def here(finding: Plain) -> str:
    """Our figure with its confidence interval and unit, or nothing.

    >>> interval = {"estimate": 1.743, "low": 1.6, "high": 1.91, "n": 10}
    >>> here({"interval": interval, "unit": "times"})
    '1.743 [1.6, 1.91] times'
    """
    found = finding["interval"]
    return f"{Interval(**found)} {finding['unit']}".strip() if found else ""


# Since the previous run ---------------------------------------------------------------------------


def changes(before: Sequence[Plain], now: Sequence[Plain]) -> list[dict[str, str]]:
    """The claims whose verdict changed, or whose estimate left the other run's interval.

    >>> def found(verdict, *interval):
    ...     numbers = dict(zip(("estimate", "low", "high", "n"), interval))
    ...     return {"id": "faster", "claim": "A is faster", "verdict": verdict, "unit": "",
    ...             "interval": numbers}
    >>> changes([found("confirmed", 1.7, 1.6, 1.9, 9)], [found("confirmed", 1.8, 1.6, 2.0, 9)])
    []
    >>> (change,) = changes([found("confirmed", 1.7, 1.6, 1.9, 9)], [found("weaker", 1, 1, 1, 9)])
    >>> change["before"], change["now"]
    ('confirmed: 1.7 [1.6, 1.9]', 'weaker: 1 [1, 1]')
    """
    old, new = ({finding["id"]: finding for finding in run} for run in (before, now))
    found = []
    for name in [*new, *(name for name in old if name not in new)]:
        was, is_now = old.get(name), new.get(name)
        if _said(was) != _said(is_now) or _moved(was, is_now):
            claim = (is_now or was or {})["claim"]
            found.append({"claim": claim, "before": _words(was), "now": _words(is_now)})
    return found


def _said(finding: Plain | None) -> str:
    return NOT_JUDGED if finding is None else str(finding["verdict"])


def _moved(was: Plain | None, is_now: Plain | None) -> bool:
    """Whether one run's estimate lies outside the other's interval."""
    a, b = ((finding or {}).get("interval") for finding in (was, is_now))
    if not a or not b:
        return bool(a) != bool(b)
    return not (b["low"] <= a["estimate"] <= b["high"] and a["low"] <= b["estimate"] <= a["high"])


def _words(finding: Plain | None) -> str:
    figure = here(finding) if finding else ""
    return f"{_said(finding)}: {figure}" if figure else _said(finding)
