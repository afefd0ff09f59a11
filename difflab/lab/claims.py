"""Claims and verdicts: what `claims.toml` lists, held against what the rows show.

What flows: an experiment's rows -> `Evidence`, an interval for a claim's id -> the claim's rule ->
a `Finding` with its verdict. Claims and rules stand in `claims.toml` beside the experiments; no
experiment types a verdict or a bound.

Invariant: a verdict is never stronger than its interval allows. The whole interval, widened by the
noise, must lie where the rule says; the weakest of several intervals decides.

>>> claim = Claim("faster", "races", "A is faster than B", "B's author", Rule(above=1.0))
>>> claim.judge(Evidence("faster", Interval(1.7, 1.6, 1.9, 10), "ratio of times")).verdict
'confirmed'
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from difflab.errors import DifflabError, DomainError, UnknownNameError

Verdict: TypeAlias = Literal["confirmed", "weaker", "refuted", "inconclusive"]

VERDICTS: tuple[Verdict, ...] = ("confirmed", "weaker", "refuted", "inconclusive")
WEAKEST: tuple[Verdict, ...] = ("refuted", "inconclusive", "weaker", "confirmed")
FILE = "claims.toml"
LEAST = 5
"""An interval of fewer values decides nothing, unless the rule says otherwise."""


class ClaimError(DifflabError, ValueError):
    """A claim that cannot be read, or that an experiment may not judge."""


class Interval(NamedTuple):
    """An estimate with its confidence interval, from `n` values.

    >>> print(Interval(1.7432, 1.6, 1.91, 10))
    1.743 [1.6, 1.91]
    """

    estimate: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.estimate:.4g} [{self.low:.4g}, {self.high:.4g}]"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What turns an interval into a verdict: one bound, two, or no exceptions.

    ============== ===============================================================================
    confirmed      the interval lies beyond the bound, and reaches the claimed figure, if any
    weaker         it lies beyond the bound, but falls short of the claimed figure
    refuted        it lies on the other side of the bound
    inconclusive   it contains the bound, or comes from fewer than `least` values
    ============== ===============================================================================

    Within two bounds, confirmed is an interval between them, and refuted one that misses them. With
    `every`, the interval is a proportion, and a single counterexample refutes.

    >>> Rule(above=1.0, claimed=6.0).verdict(Interval(1.7, 1.6, 1.9, 10))
    'weaker'
    >>> Rule(within=(0.4, 0.6)).verdict(Interval(0.5, 0.46, 0.53, 90))
    'confirmed'
    >>> print(Rule(above=1.0, claimed=6.0))
    the whole interval lies above 1 (and reaches 6, or else it is weaker), n ≥ 5
    """

    above: float | None = None
    below: float | None = None
    within: tuple[float, float] | None = None
    every: bool = False
    claimed: float | None = None
    least: int = LEAST

    def __post_init__(self) -> None:
        given = [self.above is not None, self.below is not None, self.within is not None]
        if sum(given) + self.every != 1:
            raise ClaimError("a rule needs exactly one bound", "give above, below, within or every")
        if self.within is not None and not self.within[0] < self.within[1]:
            raise ClaimError("within needs two bounds, the lower one first", "write [low, high]")
        if self.least < 1:
            raise ClaimError(f"least = {self.least} is no number of values", "give at least 1")
        above = math.inf if self.above is None else self.above
        below = -math.inf if self.below is None else self.below
        if self.claimed is not None and below < self.claimed < above:
            raise ClaimError(
                f"claimed = {self.claimed:g} does not lie beyond a bound",
                "claimed goes with above or below, and lies on the side that the claim asserts",
            )

    def verdict(self, interval: Interval | None, noise: float = 0.0) -> Verdict:
        """The verdict on an interval; whatever lies within the noise of a bound is undecided."""
        if interval is None or math.isnan(sum(interval[:3])):
            return "inconclusive"
        if self.every and interval.estimate < 1:
            return "refuted"
        if interval.n < self.least:
            return "inconclusive"
        if self.every:
            return "confirmed"
        low, high = min(interval.low, interval.high) - noise, max(interval[1:3]) + noise
        reached = True
        if self.within is not None:
            least, most = self.within
            holds, fails = least <= low and high <= most, high < least or most < low
        elif self.above is not None:
            holds, fails = low > self.above, high <= self.above
            reached = self.claimed is None or high >= self.claimed
        else:
            assert self.below is not None
            holds, fails = high < self.below, low >= self.below
            reached = self.claimed is None or low <= self.claimed
        if fails:
            return "refuted"
        return ("confirmed" if reached else "weaker") if holds else "inconclusive"

    def __str__(self) -> str:
        if self.every:
            return f"one counterexample refutes, n ≥ {self.least}"
        if self.within is not None:
            where = f"between {self.within[0]:g} and {self.within[1]:g}"
        else:
            where = f"below {self.below:g}" if self.above is None else f"above {self.above:g}"
        if self.claimed is not None:
            where += f" (and reaches {self.claimed:g}, or else it is weaker)"
        return f"the whole interval lies {where}, n ≥ {self.least}"


@dataclass(frozen=True)
class Evidence:
    """What an experiment's rows show about a claim.

    Parameters
    ----------
    claim : the claim's id in `claims.toml`
    interval : the interval that is shown, in the claim's unit; None where there are too few rows
    words : what was measured: counts, ranges, how many runs were censored
    also : further intervals of the same claim; the weakest verdict of all counts
    noise : by how much a bound may be missed or passed by noise alone, in the claim's unit

    >>> Evidence("faster", Interval(1.7, 1.6, 1.9, 10), "ratio of times", noise=0.05).n
    10
    """

    claim: str
    interval: Interval | None
    words: str
    _: KW_ONLY
    also: Sequence[Interval] = ()
    noise: float = 0.0

    def __post_init__(self) -> None:
        if not self.noise >= 0:
            raise DomainError(f"the noise of {self.claim!r} is {self.noise}", "give 0 or more")

    @property
    def n(self) -> int:
        """The number of values behind the interval that is shown."""
        return 0 if self.interval is None else self.interval.n


@dataclass(frozen=True)
class Claim:
    """A sentence that an experiment judges, with its source and the rule.

    Parameters
    ----------
    id : its name in `claims.toml`
    experiment : the name of the experiment that judges it
    sentence, source : what is claimed, and by whom
    rule : what turns an interval into a verdict
    figure : the source's own figure, if it gives one; a bare number is followed by the unit
    unit : of our interval
    differs : what is different here from the source
    """

    id: str
    experiment: str
    sentence: str
    source: str
    rule: Rule
    figure: str = ""
    unit: str = ""
    differs: str = ""

    @property
    def reported(self) -> str:
        """The source's figure with its unit.

        >>> Claim("faster", "races", "A is faster", "A", Rule(above=1), "6", "times").reported
        '6 times'
        """
        try:
            float(self.figure)
        except ValueError:
            return self.figure
        return f"{self.figure} {self.unit}".strip()

    def judge(self, evidence: Evidence) -> Finding:
        """The verdict that the rule gives on all of the evidence's intervals."""
        intervals = (evidence.interval, *evidence.also)
        verdicts = [self.rule.verdict(interval, evidence.noise) for interval in intervals]
        return Finding(self, evidence, min(verdicts, key=WEAKEST.index))


@dataclass(frozen=True)
class Finding:
    """A claim with the evidence and the verdict that follows; made by `Claim.judge` alone."""

    claim: Claim
    evidence: Evidence
    verdict: Verdict


def judge(name: str, known: Mapping[str, Claim], evidence: Iterable[Evidence]) -> list[Finding]:
    """The findings of the experiment of that name, in the order of its evidence.

    Raises
    ------
    ClaimError : a claim that is not listed, is another experiment's, or is judged twice
    """
    findings: dict[str, Finding] = {}
    for item in evidence:
        claim = known.get(item.claim)
        if claim is None:
            unknown = UnknownNameError("claim", item.claim, known)
            raise ClaimError(
                f"the findings of {name} judge the {unknown.what}: it is not in {FILE}",
                f"add a table [{item.claim}] to it, or: {unknown.remedy}",
            )
        if claim.experiment != name:
            raise ClaimError(
                f"the findings of {name} judge {claim.id!r}, a claim of {claim.experiment}",
                f"give it to {name} in {FILE}, or judge another",
            )
        if claim.id in findings:
            raise ClaimError(
                f"the findings of {name} judge {claim.id!r} twice",
                "give all its intervals to one Evidence, through `also`",
            )
        findings[claim.id] = claim.judge(item)
    return list(findings.values())


TEXTS = ("experiment", "sentence", "source", "figure", "unit", "differs")


def claims(folder: Path) -> dict[str, Claim]:
    """The claims of the file `claims.toml` in a folder, by id; none if there is no such file.

    Raises
    ------
    ClaimError : the file is not TOML, or a claim lacks a key, has another or breaks a rule's form
    """
    path = folder / FILE
    if not path.is_file():
        return {}
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as reason:
        raise ClaimError(
            f"{path} is not TOML: {reason}",
            'one table a claim, each id once: [id], then lines such as sentence = "..."',
        ) from None
    found: dict[str, Claim] = {}
    said: dict[tuple[str, str], str] = {}
    for name, table in tables.items():
        try:
            claim = found[name] = _claim(name, table)
            first = said.setdefault((claim.experiment, claim.sentence), name)
            if first != name:
                raise ClaimError(f"it says the same as {first!r}", "keep one of the two")
        except DifflabError as reason:
            raise ClaimError(f"{path}, claim {name!r}: {reason.what}", reason.remedy) from None
    return found


def _claim(name: str, table: Any) -> Claim:
    if not isinstance(table, dict):
        raise ClaimError("it is not a table", f"write [{name}] on a line of its own")
    for key in table:
        if key not in (*TEXTS, "rule"):
            raise UnknownNameError("key", key, (*TEXTS, "rule"))
    for key in ("experiment", "sentence", "source", "rule"):
        if not table.get(key):
            raise ClaimError(f"the key {key!r} is missing", f"add {key} = ...")
    for key in TEXTS:
        if not isinstance(table.get(key, ""), str):
            raise ClaimError(f"{key} is not text", f'write {key} = "{table[key]}"')
    texts = {key: table[key] for key in TEXTS if key in table}
    return Claim(id=name, rule=_rule(table["rule"]), **texts)


def _rule(table: Any) -> Rule:
    forms = "{ above = 1.0 }, { below = 1.0 }, { within = [0.9, 1.1] } or { every = true }"
    if not isinstance(table, dict):
        raise ClaimError(f"the rule {table!r} is not a table", f"write rule = {forms}")
    known = [field.name for field in fields(Rule)]
    for key in table:
        if key not in known:
            raise UnknownNameError("rule", key, known)
    try:
        settings = {key: _setting(key, value) for key, value in table.items()}
    except (TypeError, ValueError):
        raise ClaimError(
            f"the rule {table} has a value of the wrong type", f"write one of {forms}"
        ) from None
    return Rule(**settings)


def _setting(key: str, value: Any) -> Any:
    """A value of a rule as `Rule` wants it."""
    if key == "within":
        low, high = value
        return _setting("low", low), _setting("high", high)
    kind = {"every": bool, "least": int}.get(key)
    if type(value) not in ((kind,) if kind else (int, float)) or not math.isfinite(value):
        raise TypeError(key)
    return value if kind else float(value)
