"""Findings: a result held against its claim, as JSON; which of all survive; what changed in them.

What flows: a `Result` and its `Claim` -> a verdict for each data set, the pooled word, badges ->
the plain dict of summary.json, which pages show -> those of the previous run -> what changed.

Invariant: where units failed, the sign of each pair must carry the verdict, too; and every claim of
an experiment has its dict, also one that the run does not judge.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from difflab.errors import UnknownNameError
from difflab.lab.cases import Experiment
from difflab.lab.claims import CLAIMS, Claim, ClaimError, Verdict, claims, pooled
from difflab.lab.intervals import CONFIDENCE, Interval, holm, proportion_interval
from difflab.lab.results import Part, Result

if TYPE_CHECKING:
    import pandas as pd

Plain: TypeAlias = dict[str, Any]
"""A finding as strict JSON: claim, verdict, parts, badges, and how it is recomputed."""

NOT_JUDGED = "not judged"
POWER = 0.8


def findings_of(experiment: Experiment, rows: pd.DataFrame) -> list[Plain]:
    """What an experiment finds in rows, then the claims of its own that they do not judge.

    It is a `ClaimError` if a claim is not listed, is another experiment's, or is judged twice.
    """
    known, name = claims(experiment.file.parent), experiment.name
    found: dict[str, Plain] = {}
    for result in experiment.results(rows) if len(rows) else ():
        claim = known.get(result.claim)
        if claim is None:
            unknown = UnknownNameError("claim", result.claim, known)
            raise ClaimError(
                f"the results of {name} judge the {unknown.what}: it is not in {CLAIMS}",
                f"add a table [{result.claim}] to it, or: {unknown.remedy}",
            )
        if claim.experiment != name:
            raise ClaimError(
                f"the results of {name} judge {claim.id!r}, a claim of {claim.experiment}",
                f"give it to {name} in {CLAIMS}, or judge another",
            )
        if claim.id in found:
            raise ClaimError(
                f"the results of {name} judge {claim.id!r} twice",
                "give all its data sets to one result",
            )
        found[claim.id] = plain(claim, result)
    own = [claim for claim in known.values() if claim.experiment == name]
    return [*found.values(), *(plain(claim) for claim in own if claim.id not in found)]


def part_verdict(claim: Claim, part: Part, noise: float = 0.0) -> Verdict:
    """The rule's verdict on a data set; where units failed, the signs must say the same.

    Then the share of the units beyond the bound, a failed one on its worse side, must lie clearly
    above one half: that needs no value for a run that has none.
    """
    rule = claim.rule
    if rule.every:
        return "holds" if part.values and min(part.values) == 1.0 else "fails"
    verdict = rule.verdict(part.interval, max(noise, part.noise))
    known = [value for value in part.values if not math.isnan(value)]
    if not part.failed or not known:
        return verdict
    few = part.interval is None or part.interval.n < rule.least  # too few for an interval
    by_signs = few and len(known) >= rule.least
    beyond = sum(map(rule.beyond, known))
    if _most(beyond, part.planned):
        return verdict if not by_signs else "partly" if rule.claimed else "reproduced"
    if _most(len(known) - beyond, part.planned):
        return verdict if not by_signs else "not reproduced here" if rule.within else "contradicted"
    return "undecided"


def _most(count: int, planned: int) -> bool:
    return proportion_interval(count, planned).low > 0.5


def detectable(part: Part, logarithmic: bool) -> float | None:
    """The difference (or factor) that a study of this size finds with a power of 80 %."""
    error, df = _error(part.interval, logarithmic)
    if not 0 < error < math.inf:
        return None
    from scipy import stats

    size = float(stats.t.ppf(((1 + CONFIDENCE) / 2, POWER), df).sum()) * error
    return math.exp(size) if logarithmic else size


def p_value(claim: Claim, part: Part, logarithmic: bool) -> float | None:
    """Two-sided, of the bound that lies nearest: 0.05 exactly where the interval ends at it."""
    from scipy import stats

    found = part.interval
    if found is None or not claim.rule.bounds:
        return None
    values = []
    for bound in claim.rule.bounds:
        error, df = _error(found, logarithmic, towards=bound)
        distance = abs(scaled(found.estimate, logarithmic) - scaled(bound, logarithmic))
        if not distance:
            values.append(1.0)
        else:
            values.append(2 * float(stats.t.sf(distance / error, df)) if error else 0.0)
    return max(values)


def scaled(value: float, logarithmic: bool) -> float:
    """The value where it stands on an axis.

    >>> scaled(0.0, logarithmic=True)
    -inf
    """
    return (math.log(value) if value > 0 else -math.inf) if logarithmic else value


def _error(
    found: Interval | None, logarithmic: bool, towards: float | None = None
) -> tuple[float, int]:
    """The standard error that an interval's half width stands for, and its degrees of freedom."""
    from scipy import stats

    if found is None or found.n < 2:
        return math.inf, 1
    centre, low, high = (scaled(value, logarithmic) for value in found[:3])
    half = max(high - centre, centre - low)
    if towards is not None:
        half = centre - low if scaled(towards, logarithmic) < centre else high - centre
    return half / float(stats.t.ppf((1 + CONFIDENCE) / 2, found.n - 1)), found.n - 1


def overall(result: Result) -> Interval | None:
    """The mean over the data sets, each counted alike: of these data sets, and of no others."""
    import numpy as np
    from scipy import stats

    found = [part.interval for part in result.parts]
    if not found or any(one is None for one in found):
        return None
    intervals = [one for one in found if one is not None]
    if len(intervals) == 1:
        return intervals[0]
    errors = [_error(one, result.logarithmic) for one in intervals]
    variances = np.array([error**2 for error, _ in errors])
    total, k = float(variances.sum()), len(intervals)
    if not math.isfinite(total):
        return None
    df = total**2 / float((variances**2 / [df for _, df in errors]).sum()) if total else 1.0
    centre = float(np.mean([scaled(one.estimate, result.logarithmic) for one in intervals]))
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, df)) * math.sqrt(total) / k
    ends = [centre, centre - half, centre + half]
    estimate, low, high = map(math.exp, ends) if result.logarithmic else ends
    return Interval(estimate, low, high, sum(one.n for one in intervals))


# As JSON ------------------------------------------------------------------------------------------


def plain(claim: Claim, result: Result | None = None) -> Plain:
    """A claim as strict JSON, which knows no NaN, with what was found if it was judged."""
    parts = list(result.parts) if result else []
    noise = result.noise if result else 0.0
    logarithmic = bool(result and result.logarithmic)
    verdicts = [part_verdict(claim, part, noise) for part in parts]
    shown = []
    for part, verdict in zip(parts, verdicts, strict=True):
        found = part.interval if part.interval and _finite(part.interval) else None
        shown.append({
            "name": part.name, "verdict": verdict,
            **(found._asdict() if found else dict.fromkeys(("estimate", "low", "high"))),
            "n": part.interval.n if part.interval else 0,
            "planned": part.planned, "failed": part.failed,
            "detectable": detectable(part, logarithmic) if found else None,
            "p": p_value(claim, part, logarithmic) if found else None,
        })  # fmt: skip
    agree = len(set(verdicts)) == 1 and not claim.rule.every
    whole = overall(result) if result and agree else None
    decided = [one["p"] for one in shown if one["verdict"] != "undecided" and one["p"] is not None]
    return {
        "id": claim.id, "kind": claim.kind, "claim": claim.sentence,
        "sources": [source._asdict() for source in claim.sources],
        **{name: getattr(claim, name) for name in ("where", "reported", "unit", "ours", "differs")},
        "rule": str(claim.rule), "bounds": list(claim.rule.bounds), "figure": _number(claim.figure),
        "verdict": _word(claim, result, verdicts), "badges": _badges(result),
        "parts": shown,
        "pooled": whole._asdict() if whole and _finite(whole) else None,
        "count": list(result.count) if result and claim.rule.every else None,
        "counted": result.unit if result else "",
        "logarithmic": logarithmic,
        "p": max(decided, default=None),
        "evidence": result.words if result else "",
        "recipe": dict(result.recipe) if result else {},
    }  # fmt: skip


def _word(claim: Claim, result: Result | None, verdicts: Sequence[Verdict]) -> str:
    """The one word for all data sets; an `every` over nothing has judged nothing."""
    if result is None or (claim.rule.every and result.count[1] < claim.rule.least):
        return NOT_JUDGED
    if claim.rule.every:
        return "holds" if set(verdicts) == {"holds"} else "fails"
    return pooled(verdicts)


def _badges(result: Result | None) -> list[str]:
    """The badges of a result: its own, and how many units are not behind the intervals."""
    if result is None:
        return []
    failed = sum(part.failed for part in result.parts if result.recipe.get("kind") != "every")
    planned = sum(part.planned for part in result.parts)
    counted = [f"{failed} of {planned} {result.unit} {result.missing}"] if failed else []
    return [*result.badges, *counted]


def _finite(interval: Interval) -> bool:
    return all(map(math.isfinite, interval))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


# Of all findings, and of two runs -----------------------------------------------------------------


def surviving(findings: Iterable[Plain]) -> set[str]:
    """The decided findings that survive Holm's correction over all of them, by id."""
    found = (one for one in findings if one["kind"] == "finding")
    return holm({one["id"]: one["p"] for one in found if one["p"] is not None})


def here(finding: Plain) -> str:
    """Our figure in words: a count, an interval, or one for each data set.

    >>> here({"count": [24, 24], "counted": "cases", "pooled": None, "parts": [], "unit": ""})
    '24 of 24 cases'
    """
    if finding["count"]:
        return f"{finding['count'][0]} of {finding['count'][1]} {finding['counted']}"
    if finding["pooled"]:
        return f"{Interval(**finding['pooled'])} {finding['unit']}".strip()
    told = [f"{part['name']} {shown(part)}".strip() for part in finding["parts"]]
    return f"{'; '.join(told)} {finding['unit']}".strip() if told else ""


def shown(part: Mapping[str, Any]) -> str:
    """A part's interval in words.

    >>> shown({"estimate": 1.74, "low": 1.6, "high": 1.9, "n": 10})
    '1.74 [1.60, 1.90]'
    """
    if part["estimate"] is None:
        return "no interval"
    return str(Interval(part["estimate"], part["low"], part["high"], part["n"]))


def changes(before: Sequence[Plain], now: Sequence[Plain]) -> list[dict[str, str]]:
    """The claims whose verdict changed, or an estimate of which left the other run's interval."""
    old, new = ({finding["id"]: finding for finding in run} for run in (before, now))
    found = []
    for name in new | old:
        was, is_now = old.get(name), new.get(name)
        if was is None or is_now is None or _differs(was, is_now):
            claim = (is_now or was or {})["claim"]
            found.append({"claim": claim, "before": _words(was), "now": _words(is_now)})
    return found


def _differs(was: Plain, is_now: Plain) -> bool:
    if (was["verdict"], was["count"]) != (is_now["verdict"], is_now["count"]):
        return True
    old = {part["name"]: part for part in was["parts"]}
    return any(_moved(old.get(part["name"]), part) for part in is_now["parts"])


def _moved(was: Plain | None, is_now: Plain) -> bool:
    """Whether one run's estimate lies outside the other's interval."""
    if was is None or None in (was["estimate"], is_now["estimate"]):
        return was is None or was["estimate"] != is_now["estimate"]
    pairs = ((was, is_now), (is_now, was))
    return not all(one["low"] <= other["estimate"] <= one["high"] for one, other in pairs)


def _words(finding: Plain | None) -> str:
    if finding is None:
        return NOT_JUDGED
    return f"{finding['verdict']}: {here(finding)}".removesuffix(": ")
