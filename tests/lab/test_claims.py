"""Laws of verdicts: they follow from intervals by rules, and say no more than these allow."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from difflab.lab.cases import Experiment
from difflab.lab.claims import FINDINGS, LEAST, Claim, ClaimError, Criterion, claims, pooled
from difflab.lab.findings import changes, findings_of, part_verdict
from difflab.lab.intervals import Interval
from difflab.lab.results import Part, Result

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def interval(low: float, high: float, n: int = 10) -> Interval:
    return Interval((low + high) / 2, low, high, n)


# Rules --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (5.0, 7.0, "reproduced"),
        (8.0, 9.0, "reproduced"),
        (5.0, 6.0, "reproduced"),  # it reaches the claimed figure
        (1.1, 5.9, "partly"),
        (1.0, 5.9, "not reproduced here"),  # it contains the bound, and not the figure
        (0.9, 5.0, "not reproduced here"),
        (0.9, 9.0, "undecided"),
        (0.5, 0.9, "contradicted"),
        (0.5, 1.0, "contradicted"),  # nothing of it lies above the bound
        (1.0, 1.0, "not reproduced here"),  # nothing differs
        (math.nan, math.nan, "undecided"),
        (-math.inf, math.inf, "undecided"),
    ],
)
def test_a_bound_and_a_claimed_figure(low, high, expected):
    above, below = Criterion(above=1.0, claimed=6.0), Criterion(below=-1.0, claimed=-6.0)
    assert above.verdict(interval(low, high)) == expected
    assert below.verdict(interval(-high, -low)) == expected
    for rule, few in ((above, interval(low, high, 4)), (below, interval(-high, -low, 4))):
        assert rule.verdict(few) == "undecided"


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.9, 1.1, "reproduced"),
        (0.95, 1.0, "reproduced"),
        (0.89, 1.0, "undecided"),
        (1.0, 1.11, "undecided"),
        (0.5, 1.5, "undecided"),
        (0.5, 0.9, "undecided"),
        (0.5, 0.89, "not reproduced here"),
        (1.11, 2.0, "not reproduced here"),
        (math.nan, math.nan, "undecided"),
    ],
)
def test_two_bounds(low, high, expected):
    rule = Criterion(within=(0.9, 1.1))
    assert rule.verdict(interval(low, high)) == expected
    assert rule.verdict(interval(low, high, LEAST - 1)) == "undecided"


@pytest.mark.parametrize(
    ("values", "expected"), [([1.0] * 5, "holds"), ([1.0], "holds"), ([1.0, 0.0], "fails")]
)
def test_a_check_holds_or_fails(values, expected):
    check = Claim("c", "e", "s", Criterion(every=True))
    assert check.kind == "check"
    assert part_verdict(check, Part("", None, len(values), tuple(values))) == expected


@pytest.mark.parametrize(
    ("low", "high", "noise", "expected"),
    [
        (1.06, 1.2, 0.05, "reproduced"),
        (1.04, 1.2, 0.05, "undecided"),  # it may be the noise that is faster
        (0.97, 0.98, 0.05, "undecided"),  # or slower
        (0.8, 0.94, 0.05, "contradicted"),
    ],
)
def test_noise_decides_nothing(low, high, noise, expected):
    claim = Claim("faster", "races", "A is faster", Criterion(above=1.0))
    found = interval(low, high)
    assert part_verdict(claim, Part("", found, found.n), noise) == expected


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ("reproduced reproduced", "reproduced"),
        ("reproduced partly", "partly"),
        ("reproduced undecided", "partly"),
        ("reproduced not_reproduced_here", "partly"),
        ("reproduced contradicted", "depends"),
        ("partly contradicted undecided", "depends"),
        ("contradicted contradicted", "contradicted"),
        ("contradicted undecided", "not_reproduced_here"),
        ("undecided not_reproduced_here", "not_reproduced_here"),
        ("undecided undecided", "undecided"),
        ("", "undecided"),
    ],
)
def test_a_pooled_word_hides_no_data_set(verdicts, expected):
    words = [word.replace("_", " ") for word in verdicts.split()]
    for order in (words, words[::-1]):
        assert pooled(order) == expected.replace("_", " ")
    assert set(words) <= set(FINDINGS)


numbers = st.floats(-10, 10)
counts = st.integers(1, 20)


@st.composite
def rules(draw):
    kind = draw(st.sampled_from(["above", "below", "within"]))
    least = draw(counts)
    low, high = sorted(draw(st.tuples(numbers, numbers).filter(lambda pair: pair[0] != pair[1])))
    if kind == "within":
        return Criterion(within=(low, high), least=least)
    bound, beyond = (low, high) if kind == "above" else (high, low)
    return Criterion(**{kind: bound}, claimed=draw(st.sampled_from([None, beyond])), least=least)


@st.composite
def intervals(draw):
    low, middle, high = sorted(draw(st.tuples(numbers, numbers, numbers)))
    return Interval(middle, low, high, draw(counts))


def beyond(rule: Criterion, value: float) -> bool:
    """Whether a single value is as the rule wants it."""
    if rule.within is not None:
        return rule.within[0] <= value <= rule.within[1]
    return value > rule.above if rule.above is not None else value < rule.below


@given(rules(), intervals(), st.floats(0, 5))
def test_a_verdict_is_no_stronger_than_the_interval_allows(rule, found, noise):
    verdict = rule.verdict(found, noise)
    ends = [beyond(rule, found.low - noise), beyond(rule, found.high + noise)]
    if verdict in ("reproduced", "partly"):
        assert found.n >= rule.least and all(ends)
    if verdict in ("contradicted", "not reproduced here"):
        assert found.n >= rule.least
        assert not all(ends)
    if verdict == "contradicted":
        assert not any(ends)
    if verdict == "partly":
        reached = found.high if rule.above is not None else -found.low
        assert reached + noise < (rule.claimed if rule.above is not None else -rule.claimed)


@st.composite
def nested_intervals(draw):
    """An interval, and one inside it; 0.0 and -0.0 are one number, in either order."""
    low, inner, middle, upper, high = sorted(draw(st.tuples(*[numbers] * 5)))
    wide = Interval(middle, low, high, draw(counts))
    return wide, wide._replace(low=inner, high=upper)


def zeros(low: float, high: float) -> tuple[Interval, Interval]:
    return Interval(low, low, high, 10), Interval(low, low, high, 10)


@given(rules(), nested_intervals())
@example(Criterion(above=0.0), zeros(0.0, -0.0))
@example(Criterion(below=0.0), zeros(0.0, -0.0))
@example(Criterion(below=-0.0), zeros(-0.0, 0.0))
@example(Criterion(within=(-0.0, 1.0)), zeros(0.0, -0.0))
def test_a_narrower_interval_never_turns_a_verdict_round(rule, pair):
    found, narrow = pair
    before, after = rule.verdict(found), rule.verdict(narrow)
    allowed = {
        "reproduced": {"reproduced", "partly"},  # it may no longer reach the claimed figure
        "partly": {"partly"},
        "contradicted": {"contradicted", "not reproduced here"},  # where it shrinks to the bound
        "not reproduced here": {"not reproduced here", "partly", "contradicted"},
        "undecided": set(FINDINGS),
    }
    assert after in allowed[before]


@given(rules(), intervals(), st.floats(0, 5))
def test_noise_never_makes_a_verdict_of_an_open_question(rule, found, noise):
    if rule.verdict(found) == "undecided":
        assert rule.verdict(found, noise) == "undecided"


# Errors -------------------------------------------------------------------------------------------

GOOD = 'experiment = "toy"\nsentence = "It halves"\nsource = "euclid"\nrule = { above = 1 }\n'


def write(folder: Path, text: str) -> Path:
    (folder / "claims.toml").write_text(text)
    (folder / "sources.toml").write_text('[euclid]\ntext = "Euclid"\n')
    return folder


@pytest.mark.parametrize(
    ("text", "what", "remedy"),
    [
        ("[a]\n" + GOOD + "[a]\n" + GOOD, "is not TOML", "each id once"),
        ("[a\n" + GOOD, "line 1", "one table an entry"),
        ("[a]\n" + GOOD + "[b]\n" + GOOD, "claim 'b': it says the same as 'a'", "keep one"),
        ("a = 1\n", "claim 'a': it is not a table", "on a line of its own"),
        ("[a]\n" + GOOD.replace("source", "sauce"), "unknown key 'sauce'", "did you mean 'source'"),
        ("[a]\n" + GOOD.replace('source = "euclid"\n', ""), "'source' is missing", "add source"),
        ("[a]\n" + GOOD.replace('"euclid"', '""'), "'source' is missing", "add source"),
        ("[a]\n" + GOOD.replace("euclid", "euklid"), "'euklid'", "did you mean 'euclid'"),
        ("[a]\n" + GOOD + "figure = 6\n", "figure is not text", 'figure = "6"'),
        ("[a]\n" + GOOD.replace("{ above = 1 }", "1"), "the rule 1 is not a table", "rule = {"),
        ("[a]\n" + GOOD.replace("above", "abov"), "unknown rule 'abov'", "did you mean 'above'"),
        ("[a]\n" + GOOD.replace("= 1 }", '= "1" }'), "wrong type", "{ above = 1.0 }"),
        ("[a]\n" + GOOD.replace("= 1 }", "= nan }"), "wrong type", "{ above = 1.0 }"),
        ("[a]\n" + GOOD.replace("= 1 }", "= 1, below = 2 }"), "exactly one bound", "above, below"),
        ("[a]\n" + GOOD.replace("above = 1", "every = false"), "exactly one bound", "every"),
        ("[a]\n" + GOOD.replace("above = 1", "within = [1]"), "wrong type", "within = [0.9"),
        ("[a]\n" + GOOD.replace("above = 1", "within = [2, 1]"), "lower one first", "[low, high]"),
        ("[a]\n" + GOOD.replace("= 1 }", "= 1, claimed = 0 }"), "beyond a bound", "claimed goes"),
        (
            "[a]\n" + GOOD.replace("above = 1", "within = [1, 2], claimed = 2"),
            *("beyond a bound", "above or below"),
        ),
        ("[a]\n" + GOOD.replace("= 1 }", "= 1, least = -1 }"), "least = -1", "at least 1"),
        ("[a]\n" + GOOD.replace("= 1 }", "= 1, least = 2.5 }"), "wrong type", "{ above"),
    ],
)
def test_a_claim_that_cannot_be_read_is_named_with_its_file_and_the_remedy(
    tmp_path, text, what, remedy
):
    with pytest.raises(ClaimError) as caught:
        claims(write(tmp_path, text))
    assert str(tmp_path / "claims.toml") in caught.value.what
    assert what in caught.value.what
    assert remedy in caught.value.remedy


def test_an_experiment_judges_its_own_claims_once(tmp_path, monkeypatch):
    text = "[halves]\n" + GOOD + "[wins]\n" + GOOD.replace("toy", "race").replace("halves", "wins")
    write(tmp_path, text)
    monkeypatch.setattr(Experiment, "file", tmp_path / "toy.py")

    def judge(*names: str):
        parts = (Part("", interval(2, 3), 10),)
        results = lambda rows: [Result(name, parts) for name in names]
        plan = {"cases": lambda preset: [], "measure": lambda case, rng: {}}
        toy = Experiment(name="toy", title="", question="?", version=1, results=results, **plan)
        return findings_of(toy, pd.DataFrame({"a": [1]}))

    (finding,) = judge("halves")
    assert (finding["verdict"], finding["claim"]) == ("reproduced", "It halves")
    assert [one["verdict"] for one in judge()] == ["not judged"]
    with pytest.raises(ClaimError, match="did you mean 'halves'"):
        judge("halfs")
    with pytest.raises(ClaimError, match="'wins', a claim of race"):
        judge("wins")
    with pytest.raises(ClaimError, match="'halves' twice"):
        judge("halves", "halves")
    assert claims(tmp_path / "nowhere") == {}


def test_a_bare_figure_has_the_unit_and_others_stand_alone():
    for figure, unit, expected in (
        ("6", "times", "6 times"),
        ("4 to 5 times the function", "x", "4 to 5 times the function"),
        ("", "times", ""),
    ):
        claim = Claim("a", "e", "s", Criterion(above=1), figure=figure, unit=unit)
        assert claim.reported == expected


@pytest.mark.parametrize("claim", claims(EXPERIMENTS).values(), ids=lambda claim: claim.id)
def test_every_claim_belongs_to_an_experiment(claim):
    file = EXPERIMENTS / f"{claim.experiment}.py"
    assert file.is_file(), f"{claim.id} is a claim of {file.name}, which does not exist"


# Since the previous run ---------------------------------------------------------------------------


def found(verdict: str, low: float, high: float, name: str = "a") -> dict[str, object]:
    numbers = interval(low, high)._asdict()
    return {
        "id": name, "claim": name, "verdict": verdict, "unit": "x", "count": None,
        "pooled": numbers, "parts": [{"name": "", **numbers}],
    }  # fmt: skip


def without(finding: dict[str, object]) -> dict[str, object]:
    """The finding of a run in which nothing arrived."""
    none = dict.fromkeys(("estimate", "low", "high"))
    return {**finding, "pooled": None, "parts": [{"name": "", **none, "n": 0}]}


@pytest.mark.parametrize(
    ("before", "now", "changed"),
    [
        (found("reproduced", 1, 3), found("reproduced", 1, 3), False),
        (found("reproduced", 1, 3), found("reproduced", 2, 3), False),
        (found("reproduced", 1, 3), found("reproduced", 3, 5), True),  # 4 is outside [1, 3]
        (found("reproduced", 0, 9), found("reproduced", 1, 3), True),  # 4.5 is outside [1, 3]
        (found("reproduced", 1, 3), found("partly", 1, 3), True),
        (found("reproduced", 1, 3), without(found("reproduced", 1, 3)), True),
        (without(found("undecided", 1, 3)), without(found("undecided", 1, 3)), False),
    ],
)
def test_changes_are_other_verdicts_and_estimates_that_left_the_interval(before, now, changed):
    assert bool(changes([before], [now])) == changed
    assert bool(changes([now], [before])) == changed


def test_claims_that_come_and_go_are_changes():
    before, now = [found("partly", 1, 3, "b")], [found("contradicted", 1, 3, "a")]
    (gone, come) = changes(before, now)[::-1]
    assert (gone["before"], gone["now"]) == ("partly: 2.0 [1.0, 3.0] x", "not judged")
    assert (come["before"], come["now"]) == ("not judged", "contradicted: 2.0 [1.0, 3.0] x")
