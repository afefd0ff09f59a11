"""Claims and verdicts: what `claims.toml` lists, held against what the rows show.

What flows: the parts of a result, an interval for each data set -> the claim's rule -> a verdict
for each -> the pooled word, where they agree. Claims, rules and sources stand in `claims.toml` and
`sources.toml` beside the experiments; no experiment types a verdict or a bound.

Invariant: a verdict is never stronger than its interval allows, and a pooled one never hides a data
set that says otherwise.

>>> rule = Criterion(above=1.0)
>>> rule.verdict(Interval(1.7, 1.6, 1.9, 10)), rule.verdict(Interval(0.8, 0.7, 0.9, 10))
('reproduced', 'contradicted')
>>> pooled(["reproduced", "contradicted"])
'depends'
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from difflab.errors import DifflabError, UnknownNameError
from difflab.lab.intervals import Interval
from difflab.lab.short import Short

Verdict: TypeAlias = Literal[
    "reproduced", "partly", "depends", "not reproduced here", "contradicted", "undecided",
    "holds", "fails",
]  # fmt: skip

FINDINGS: Final[tuple[Verdict, ...]] = (
    "reproduced", "partly", "depends", "not reproduced here", "contradicted", "undecided",
)  # fmt: skip
"""What becomes of an empirical claim."""
CHECKS: Final[tuple[Verdict, ...]] = ("holds", "fails")
"""What becomes of an identity, a definition or a complete enumeration."""
CLAIMS, SOURCES = "claims.toml", "sources.toml"
LEAST = 5
"""An interval of fewer independent values decides nothing, unless the rule says otherwise."""


class ClaimError(DifflabError, ValueError):
    """A claim that cannot be read, or that an experiment may not judge."""


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """What turns an interval into a verdict: one bound, two, or no exceptions.

    =================== ==========================================================================
    reproduced          the interval lies beyond the bound, and reaches the source's figure, if any
    partly              it lies beyond the bound, but falls short of the source's figure
    contradicted        it lies on the other side of the bound
    not reproduced here it contains the bound, but not the source's figure; or misses `within`
    undecided           none of these, or fewer than `least` independent values
    =================== ==========================================================================

    `every` makes the claim a check, which holds or fails: one counterexample is enough.

    >>> Criterion(above=1.0, claimed=6.0).verdict(Interval(1.7, 1.6, 1.9, 10))
    'partly'
    >>> Criterion(within=(0.4, 0.6)).verdict(Interval(0.7, 0.66, 0.73, 90))
    'not reproduced here'
    >>> print(Criterion(above=1.0, claimed=6.0))
    the 95 % interval lies above 1, and reaches 6 (or else partly); at least 5 independent values
    """

    above: float | None = None
    below: float | None = None
    within: tuple[float, float] | None = None
    every: bool = False
    claimed: float | None = None
    least: int = 0

    def __post_init__(self) -> None:
        if len(self.bounds) + self.every != (2 if self.within else 1):
            raise ClaimError("a rule needs exactly one bound", "give above, below, within or every")
        if self.within is not None and not self.within[0] < self.within[1]:
            raise ClaimError("within needs two bounds, the lower one first", "write [low, high]")
        if self.least < 0:
            raise ClaimError(f"least = {self.least} is no number of values", "give at least 1")
        object.__setattr__(self, "least", self.least or (1 if self.every else LEAST))
        above = math.inf if self.above is None else self.above
        below = -math.inf if self.below is None else self.below
        if self.claimed is not None and below < self.claimed < above:
            raise ClaimError(
                f"claimed = {self.claimed:g} does not lie beyond a bound",
                "claimed goes with above or below, and lies on the side that the claim asserts",
            )

    @property
    def bounds(self) -> tuple[float, ...]:
        """The bounds there are, from low to high."""
        single = (bound for bound in (self.above, self.below) if bound is not None)
        return (*single, *(self.within or ()))

    def verdict(self, interval: Interval | None, noise: float = 0.0) -> Verdict:
        """The verdict on an interval, widened by the noise."""
        if interval is None or any(map(math.isnan, interval)) or interval.n < self.least:
            return "undecided"
        low, high = interval.low - noise, interval.high + noise
        if self.within is not None:
            least, most = self.within
            inside, misses = least <= low and high <= most, high < least or most < low
            return "reproduced" if inside else "not reproduced here" if misses else "undecided"
        if self.above is not None:
            bound, sign = self.above, 1.0
        else:
            assert self.below is not None
            bound, sign = self.below, -1.0
        near, far = sorted((sign * (low - bound), sign * (high - bound)))
        wanted = None if self.claimed is None else sign * (self.claimed - bound)
        if near > 0:
            return "reproduced" if wanted is None or far >= wanted else "partly"
        if far <= 0:  # nothing of it lies beyond the bound; at the bound, nothing at all differs
            return "contradicted" if near < 0 else "not reproduced here"
        return "undecided" if wanted is None or far >= wanted else "not reproduced here"

    def beyond(self, value: float) -> bool:
        """Whether one value lies where the rule says (an infinite one is beyond every bound)."""
        if self.within is not None:
            return self.within[0] <= value <= self.within[1]
        return value > self.above if self.above is not None else value < (self.below or 0.0)

    def __str__(self) -> str:
        if self.every:
            return "one counterexample is enough to fail"
        if self.within is not None:
            where = f"between {self.within[0]:g} and {self.within[1]:g}"
        else:
            where = f"below {self.below:g}" if self.above is None else f"above {self.above:g}"
        if self.claimed is not None:
            where += f", and reaches {self.claimed:g} (or else partly)"
        return f"the 95 % interval lies {where}; at least {self.least} independent values"


def pooled(verdicts: Sequence[Verdict]) -> Verdict:
    """One word for the verdicts of several data sets: theirs where they agree.

    `depends` where intervals lie on both sides; `partly` where the claim holds in some and stays
    open, or is missed, in others; `not reproduced here` where some speak against it and none for.

    >>> pooled(["reproduced", "undecided"]), pooled(["contradicted", "undecided"])
    ('partly', 'not reproduced here')
    """
    said = set(verdicts)
    if len(said) <= 1:
        return verdicts[0] if verdicts else "undecided"
    if said & {"reproduced", "partly"}:
        return "depends" if "contradicted" in said else "partly"
    return "not reproduced here"


class Source(NamedTuple):
    """Who says something: in words, and where to read it (a DOI or an address)."""

    text: str
    link: str = ""


@dataclass(frozen=True, repr=False)
class Claim(Short):
    """A claim that an experiment puts to the test.

    Parameters
    ----------
    id, experiment, sentence : its name, whose rows judge it, and what is claimed
    rule : what turns intervals into verdicts
    sources : who claims it
    where : the place in the source: a table, a section
    figure : the source's own figure in words; a bare number is followed by the unit
    unit : what our interval counts
    ours : what in the rule is this project's own, such as a threshold no source states
    differs : what is different here from the source: data, architecture, tuning
    """

    id: str
    experiment: str
    sentence: str
    rule: Criterion
    sources: tuple[Source, ...] = ()
    where: str = ""
    figure: str = ""
    unit: str = ""
    ours: str = ""
    differs: str = ""

    @property
    def kind(self) -> Literal["check", "finding"]:
        """Checks are counted; findings have intervals."""
        return "check" if self.rule.every else "finding"

    @property
    def reported(self) -> str:
        """The source's figure with its unit.

        >>> Claim("a", "e", "A wins", Criterion(above=1.0), figure="6", unit="times").reported
        '6 times'
        """
        try:
            float(self.figure)
        except ValueError:
            return self.figure
        return f"{self.figure} {self.unit}".strip()


TEXTS = ("experiment", "sentence", "where", "figure", "unit", "ours", "differs")


def claims(folder: Path) -> dict[str, Claim]:
    """The claims of `claims.toml` in a folder, by id; none if there is no such file.

    Raises
    ------
    ClaimError : a file is not TOML, or a claim lacks a key, has another, breaks a rule's form or
        names a source that `sources.toml` does not have
    """
    known = {key: Source(**table) for key, table in _toml(folder / SOURCES).items()}
    path = folder / CLAIMS
    found: dict[str, Claim] = {}
    said: dict[tuple[str, str], str] = {}
    for name, table in _toml(path).items():
        try:
            claim = found[name] = _claim(name, table, known)
            first = said.setdefault((claim.experiment, claim.sentence), name)
            if first != name:
                raise ClaimError(f"it says the same as {first!r}", "keep one of the two")
        except DifflabError as reason:
            raise ClaimError(f"{path}, claim {name!r}: {reason.what}", reason.remedy) from None
    return found


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except tomllib.TOMLDecodeError as reason:
        raise ClaimError(
            f"{path} is not TOML: {reason}",
            'one table an entry, each id once: [id], then lines such as sentence = "..."',
        ) from None


def _claim(name: str, table: Any, known: dict[str, Source]) -> Claim:
    if not isinstance(table, dict):
        raise ClaimError("it is not a table", f"write [{name}] on a line of its own")
    for key in table:
        if key not in (*TEXTS, "source", "rule"):
            raise UnknownNameError("key", key, (*TEXTS, "source", "rule"))
    for key in ("experiment", "sentence", "source", "rule"):
        if not table.get(key):
            raise ClaimError(f"the key {key!r} is missing", f"add {key} = ...")
    for key in TEXTS:
        if not isinstance(table.get(key, ""), str):
            raise ClaimError(f"{key} is not text", f'write {key} = "{table[key]}"')
    names = [table["source"]] if isinstance(table["source"], str) else table["source"]
    for source in names:
        if source not in known:
            raise UnknownNameError(f"source in {SOURCES}", source, known)
    texts = {key: table[key] for key in TEXTS if key in table}
    return Claim(
        id=name, rule=_rule(table["rule"]), sources=tuple(map(known.__getitem__, names)), **texts
    )


def _rule(table: Any) -> Criterion:
    forms = "{ above = 1.0 }, { below = 1.0 }, { within = [0.9, 1.1] } or { every = true }"
    if not isinstance(table, dict):
        raise ClaimError(f"the rule {table!r} is not a table", f"write rule = {forms}")
    known = [field.name for field in fields(Criterion)]
    for key in table:
        if key not in known:
            raise UnknownNameError("rule", key, known)
    try:
        settings = {key: _setting(key, value) for key, value in table.items()}
    except (TypeError, ValueError):
        raise ClaimError(
            f"the rule {table} has a value of the wrong type", f"write one of {forms}"
        ) from None
    return Criterion(**settings)


def _setting(key: str, value: Any) -> Any:
    """A value of a rule as `Criterion` wants it."""
    if key == "within":
        low, high = value
        return _setting("low", low), _setting("high", high)
    kind = {"every": bool, "least": int}.get(key)
    if type(value) not in ((kind,) if kind else (int, float)) or not math.isfinite(value):
        raise TypeError(key)
    return value if kind else float(value)
