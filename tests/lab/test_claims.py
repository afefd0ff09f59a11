"""Laws of verdicts: they follow from intervals by rules, and say no more than these allow."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from difflab.errors import DomainError
from difflab.lab.claims import (
    LEAST,
    VERDICTS,
    WEAKEST,
    Claim,
    ClaimError,
    Evidence,
    Interval,
    Rule,
    claims,
    judge,
)
from difflab.lab.results import changes

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def interval(low: float, high: float, n: int = 10) -> Interval:
    return Interval((low + high) / 2, low, high, n)


# Rules --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (5.0, 7.0, "confirmed"),
        (8.0, 9.0, "confirmed"),
        (5.0, 6.0, "confirmed"),  # it reaches the claimed figure
        (1.1, 5.9, "weaker"),
        (1.0, 5.9, "inconclusive"),  # it contains the bound
        (0.9, 5.0, "inconclusive"),
        (0.9, 9.0, "inconclusive"),
        (0.5, 0.9, "refuted"),
        (0.5, 1.0, "refuted"),  # nothing of it lies above the bound
        (1.0, 1.0, "refuted"),
        (math.nan, math.nan, "inconclusive"),
        (-math.inf, math.inf, "inconclusive"),
    ],
)
def test_a_bound_and_a_claimed_figure(low, high, expected):
    above, below = Rule(above=1.0, claimed=6.0), Rule(below=-1.0, claimed=-6.0)
    assert above.verdict(interval(low, high)) == expected
    assert below.verdict(interval(-high, -low)) == expected
    for rule, few in ((above, interval(low, high, 4)), (below, interval(-high, -low, 4))):
        assert rule.verdict(few) == "inconclusive"


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.9, 1.1, "confirmed"),
        (0.95, 1.0, "confirmed"),
        (0.89, 1.0, "inconclusive"),
        (1.0, 1.11, "inconclusive"),
        (0.5, 1.5, "inconclusive"),
        (0.5, 0.9, "inconclusive"),
        (0.5, 0.89, "refuted"),
        (1.11, 2.0, "refuted"),
        (math.nan, math.nan, "inconclusive"),
    ],
)
def test_two_bounds(low, high, expected):
    rule = Rule(within=(0.9, 1.1))
    assert rule.verdict(interval(low, high)) == expected
    assert rule.verdict(interval(low, high, LEAST - 1)) == "inconclusive"


@pytest.mark.parametrize(
    ("share", "n", "expected"),
    [
        (1.0, 5, "confirmed"),
        (1.0, 4, "inconclusive"),
        (0.999, 1000, "refuted"),
        (0.5, 2, "refuted"),  # a counterexample is one, however few the values
        (math.nan, 9, "inconclusive"),
    ],
)
def test_every(share, n, expected):
    assert Rule(every=True).verdict(Interval(share, 0.4, 1.0, n)) == expected
    assert Rule(every=True, least=4).verdict(Interval(1.0, 0.5, 1.0, 4)) == "confirmed"


@pytest.mark.parametrize(
    ("low", "high", "noise", "expected"),
    [
        (1.06, 1.2, 0.05, "confirmed"),
        (1.04, 1.2, 0.05, "inconclusive"),  # it may be the noise that is faster
        (0.97, 0.98, 0.05, "inconclusive"),  # or slower
        (0.8, 0.94, 0.05, "refuted"),
        (1.05, 1.9, 0.0, "weaker"),
        (1.05, 1.98, 0.04, "confirmed"),
    ],
)
def test_noise_decides_nothing(low, high, noise, expected):
    rule = Rule(above=1.0, claimed=2.0) if expected == "weaker" or high > 1.9 else Rule(above=1.0)
    claim = Claim("faster", "races", "A is faster", "A", rule)
    assert claim.judge(Evidence("faster", interval(low, high), "", noise=noise)).verdict == expected


def test_the_weakest_of_several_intervals_counts():
    claim = Claim("one", "e", "s", "t", Rule(above=1.0, claimed=6.0))
    intervals = {
        "confirmed": interval(5, 7),
        "weaker": interval(2, 3),
        "inconclusive": interval(0, 3),
        "refuted": interval(0, 1),
    }
    assert set(intervals) == set(VERDICTS) == set(WEAKEST)
    for shown, first in intervals.items():
        for other, second in intervals.items():
            found = claim.judge(Evidence("one", first, "", also=[second])).verdict
            assert WEAKEST.index(found) == min(WEAKEST.index(shown), WEAKEST.index(other))
    assert claim.judge(Evidence("one", None, "all runs were censored")).verdict == "inconclusive"


numbers = st.floats(-10, 10)
counts = st.integers(1, 20)


@st.composite
def rules(draw):
    kind = draw(st.sampled_from(["above", "below", "within", "every"]))
    least = draw(counts)
    if kind == "every":
        return Rule(every=True, least=least)
    low, high = sorted(draw(st.tuples(numbers, numbers).filter(lambda pair: pair[0] != pair[1])))
    if kind == "within":
        return Rule(within=(low, high), least=least)
    bound, beyond = (low, high) if kind == "above" else (high, low)
    return Rule(**{kind: bound}, claimed=draw(st.sampled_from([None, beyond])), least=least)


@st.composite
def intervals(draw):
    low, middle, high = sorted(draw(st.tuples(numbers, numbers, numbers)))
    return Interval(middle, low, high, draw(counts))


def beyond(rule: Rule, value: float) -> bool:
    """Whether a single value is as the rule wants it."""
    if rule.within is not None:
        return rule.within[0] <= value <= rule.within[1]
    return value > rule.above if rule.above is not None else value < rule.below


@given(rules(), intervals(), st.floats(0, 5))
def test_a_verdict_is_no_stronger_than_the_interval_allows(rule, found, noise):
    verdict = rule.verdict(found, noise)
    if rule.every:
        assert verdict != "confirmed" or (found.estimate >= 1 and found.n >= rule.least)
        return
    ends = [beyond(rule, found.low - noise), beyond(rule, found.high + noise)]
    if verdict in ("confirmed", "weaker"):
        assert found.n >= rule.least and all(ends)
    if verdict == "refuted":
        assert found.n >= rule.least and not any(ends)
    if verdict == "weaker":
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


@given(rules().filter(lambda rule: not rule.every), nested_intervals())
@example(Rule(above=0.0), zeros(0.0, -0.0))
@example(Rule(below=0.0), zeros(0.0, -0.0))
@example(Rule(below=-0.0), zeros(-0.0, 0.0))
@example(Rule(within=(-0.0, 1.0)), zeros(0.0, -0.0))
def test_a_narrower_interval_never_turns_a_verdict_round(rule, pair):
    found, narrow = pair
    before, after = rule.verdict(found), rule.verdict(narrow)
    allowed = {
        "confirmed": {"confirmed", "weaker"},  # it may no longer reach the claimed figure
        "weaker": {"weaker"},
        "refuted": {"refuted"},
        "inconclusive": set(VERDICTS),
    }
    assert after in allowed[before]


@given(rules().filter(lambda rule: not rule.every), intervals(), st.floats(0, 5))
def test_noise_never_makes_a_verdict_of_an_open_question(rule, found, noise):
    if rule.verdict(found) == "inconclusive":
        assert rule.verdict(found, noise) == "inconclusive"


@given(rules(), intervals())
def test_one_more_interval_never_strengthens_a_verdict(rule, found):
    claim = Claim("one", "e", "s", "t", rule)
    alone = claim.judge(Evidence("one", interval(-20, 20), "")).verdict
    both = claim.judge(Evidence("one", interval(-20, 20), "", also=[found])).verdict
    assert WEAKEST.index(both) <= WEAKEST.index(alone)


# Errors -------------------------------------------------------------------------------------------

GOOD = 'experiment = "toy"\nsentence = "It halves"\nsource = "Euclid"\nrule = { above = 1 }\n'


def write(folder: Path, text: str) -> Path:
    (folder / "claims.toml").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("text", "what", "remedy"),
    [
        ("[a]\n" + GOOD + "[a]\n" + GOOD, "is not TOML", "each id once"),
        ("[a\n" + GOOD, "line 1", "one table a claim"),
        ("[a]\n" + GOOD + "[b]\n" + GOOD, "claim 'b': it says the same as 'a'", "keep one"),
        ("a = 1\n", "claim 'a': it is not a table", "on a line of its own"),
        ("[a]\n" + GOOD.replace("source", "sauce"), "unknown key 'sauce'", "did you mean 'source'"),
        ("[a]\n" + GOOD.replace('source = "Euclid"\n', ""), "'source' is missing", "add source"),
        ("[a]\n" + GOOD.replace('"Euclid"', '""'), "'source' is missing", "add source"),
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
        ("[a]\n" + GOOD.replace("= 1 }", "= 1, least = 0 }"), "least = 0", "at least 1"),
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


def test_an_experiment_judges_its_own_claims_once(tmp_path):
    text = "[halves]\n" + GOOD + "[wins]\n" + GOOD.replace("toy", "race").replace("halves", "wins")
    known = claims(write(tmp_path, text))
    some = interval(2, 3)
    (finding,) = judge("toy", known, [Evidence("halves", some, "")])
    assert (finding.verdict, finding.claim.sentence) == ("confirmed", "It halves")
    with pytest.raises(ClaimError, match="did you mean 'halves'"):
        judge("toy", known, [Evidence("halfs", some, "")])
    with pytest.raises(ClaimError, match="'wins', a claim of race"):
        judge("toy", known, [Evidence("wins", some, "")])
    with pytest.raises(ClaimError, match="'halves' twice"):
        judge("toy", known, [Evidence("halves", some, "")] * 2)
    with pytest.raises(DomainError, match="noise of 'halves'"):
        Evidence("halves", some, "", noise=-0.1)
    assert claims(tmp_path / "nowhere") == {}


def test_a_bare_figure_has_the_unit_and_others_stand_alone():
    claim = Claim("a", "e", "s", "t", Rule(above=1), "6", "times")
    assert claim.reported == "6 times"
    assert Claim("a", "e", "s", "t", Rule(above=1), "4 to 5 times the function", "x").reported == (
        "4 to 5 times the function"
    )
    assert Claim("a", "e", "s", "t", Rule(above=1), "", "times").reported == ""


@pytest.mark.parametrize("claim", claims(EXPERIMENTS).values(), ids=lambda claim: claim.id)
def test_every_claim_belongs_to_an_experiment(claim):
    file = EXPERIMENTS / f"{claim.experiment}.py"
    assert file.is_file(), f"{claim.id} is a claim of {file.name}, which does not exist"


# Since the previous run ---------------------------------------------------------------------------


def found(verdict: str, low: float, high: float, name: str = "a") -> dict[str, object]:
    numbers = interval(low, high)._asdict()
    return {"id": name, "claim": name, "verdict": verdict, "unit": "x", "interval": numbers}


@pytest.mark.parametrize(
    ("before", "now", "changed"),
    [
        (found("confirmed", 1, 3), found("confirmed", 1, 3), False),
        (found("confirmed", 1, 3), found("confirmed", 2, 3), False),
        (found("confirmed", 1, 3), found("confirmed", 3, 5), True),  # 4 is outside [1, 3]
        (found("confirmed", 0, 9), found("confirmed", 1, 3), True),  # 4.5 is outside [1, 3]
        (found("confirmed", 1, 3), found("weaker", 1, 3), True),
        (found("confirmed", 1, 3), {**found("confirmed", 1, 3), "interval": None}, True),
    ],
)
def test_changes_are_other_verdicts_and_estimates_that_left_the_interval(before, now, changed):
    assert bool(changes([before], [now])) == changed
    assert bool(changes([now], [before])) == changed


def test_claims_that_come_and_go_are_changes():
    (gone, come) = changes([found("weaker", 1, 3, "b")], [found("refuted", 1, 3, "a")])[::-1]
    assert (gone["before"], gone["now"]) == ("weaker: 2 [1, 3] x", "not judged")
    assert (come["before"], come["now"]) == ("not judged", "refuted: 2 [1, 3] x")
