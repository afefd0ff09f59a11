"""Mutants are mistakes and right gradients are not, whatever a checker says of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

FOLDER = Path(__file__).parents[2] / "experiments"
sys.path.append(str(FOLDER))

import _checkers_figures as figures  # noqa: E402
import _checkers_page as page  # noqa: E402
import _checkers_rows as kept  # noqa: E402
import checkers  # noqa: E402
from apparatus import mutants as made  # noqa: E402
from apparatus.handwritten import ALTERNATIVES, HANDWRITTEN  # noqa: E402
from apparatus.independent import slopes  # noqa: E402
from apparatus.peer_checkers import (  # noqa: E402
    ACCEPTED,
    ERROR,
    MISSING,
    OPAQUE,
    OWN,
    PEERS,
    REJECTED,
    UNDECIDED,
    Answer,
    Counted,
    Peer,
    ask,
    componentwise,
    opaque,
)

from difflab.accuracy.zoo import ZOO  # noqa: E402
from difflab.errors import DifflabError  # noqa: E402
from difflab.ir.row import TABLE  # noqa: E402
from difflab.lab.cases import preset  # noqa: E402
from difflab.lab.results import findings_of  # noqa: E402
from difflab.tracing.trace import trace  # noqa: E402


def f(x: Any, y: Any) -> Any:
    return np.sum(np.sin(x * y))


def gradient(x: Any, y: Any) -> Any:
    return np.cos(x * y) * y, np.cos(x * y) * x


POINT = (np.array([0.5, -1.0, 2.0]), np.array([1.5, 0.3, -0.7]))


GRAPH = trace(f, *POINT)


def planted(error: str, name: str, operand: int = 0) -> Any:
    """The gradient with a mistake on that operand of the one node of that name."""
    (place,) = [
        site
        for site in made.sites(GRAPH)
        if (site.node.primitive.name, site.operand) == (name, operand)
    ]
    wrong = made.planted(place, error)
    assert wrong is not None
    return made.reverse(GRAPH, {place.node: wrong})


# Mistakes on an edge ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "factor"),
    [
        ("sign", -1.0), ("factor 2", 2.0), ("factor 1/2", 0.5), ("edge dropped", 0.0),
        ("relative 1e-2", 1.01), ("relative 1e-4", 1.0001), ("relative 1e-6", 1.000001),
        ("relative 1e-8", 1.00000001),
    ],
)  # fmt: skip
def test_a_mistake_on_an_edge_changes_what_flows_along_it_alone(error: str, factor: float) -> None:
    by_x, by_y = planted(error, "multiply", operand=1)(*POINT)
    right_x, right_y = gradient(*POINT)
    assert by_x == pytest.approx(right_x, rel=1e-15)
    assert by_y == pytest.approx(factor * right_y, rel=1e-15)


def test_a_shift_and_a_swap_permute_what_flows() -> None:
    right_x, right_y = gradient(*POINT)
    by_x, _ = planted("shifted", "multiply")(*POINT)
    assert by_x == pytest.approx(np.roll(right_x, 1), rel=1e-15)
    by_x, by_y = planted("swapped operands", "multiply")(*POINT)
    assert by_x == pytest.approx(right_y, rel=1e-15)
    assert by_y == pytest.approx(right_x, rel=1e-15)


def test_a_rule_can_be_read_at_the_result() -> None:
    by_x, _ = planted("rule at the result", "sin")(*POINT)
    x, y = POINT
    assert by_x == pytest.approx(np.cos(np.sin(x * y)) * y, rel=1e-15)


def test_the_edges_of_one_operand_used_twice_are_told_apart() -> None:
    graph = trace(lambda x: x * x, 3.0)
    first, second = made.sites(graph)
    for place in (first, second):
        wrong = made.planted(place, "edge dropped")
        assert wrong is not None
        assert made.reverse(graph, {place.node: wrong})(3.0) == 3.0


@pytest.mark.parametrize("error", made.RULE_ERRORS)
def test_nothing_planted_stays_in_the_gradient(error: str) -> None:
    graph = planted(error, "sin" if error == "rule at the result" else "multiply")
    assert all(node.primitive is TABLE[node.primitive.name] for node in graph.operations)


@pytest.mark.parametrize("name", ["tanh", "rosenbrock", "helix", "lorenz", "quadratic_form"])
def test_the_sweep_without_a_mistake_is_the_derivative(name: str) -> None:
    entry = ZOO[name]
    g, args = checkers.flat(entry.f, entry.points[0].args)
    graph = trace(g, *args)
    assert made.change(made.reverse(graph), args, slopes(g, args)) == 0.0


def test_every_kind_of_mistake_belongs_to_one_family() -> None:
    rng = np.random.default_rng(0)
    terms = HANDWRITTEN["quadratic_form"]
    point = terms.points[0]
    attempts = [
        *made.of_the_rules(GRAPH, rng),
        *made.of_a_result(terms.gradient, point, rng, terms.terms),
    ]
    assert {attempt.error for attempt in attempts} <= set(made.FAMILY)
    assert len(made.FAMILY) == sum(map(len, made.FAMILIES.values()))


# Certification ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1e-2, 1e-6, 1e-8])
def test_the_change_of_a_formula_is_measured(size: float) -> None:
    def wrong(x: Any, y: Any) -> Any:
        by_x, by_y = gradient(x, y)
        return by_x, by_y * np.array([1.0, 1.0 + size, 1.0])

    true = slopes(f, POINT)
    assert made.change(gradient, POINT, true) == 0.0
    assert made.change(wrong, POINT, true) == pytest.approx(size, rel=1e-6)


def test_rounding_is_no_change() -> None:
    true = slopes(np.tanh, (20.0,))
    assert made.change(lambda x: 1 - np.tanh(x) ** 2, (20.0,), true) == 0.0
    assert made.change(lambda x: 0.0 * x, (20.0,), true) == pytest.approx(1.0)


def test_a_zero_component_is_measured_against_the_largest() -> None:
    def parabola(x: Any) -> Any:
        return np.sum((x - 1) ** 2)

    point = (np.array([1.0, 3.0]),)
    true = slopes(parabola, point)
    slope = np.array([0.0, 1.0])
    assert made.change(lambda x: 2 * (x - 1), point, true) == 0.0
    assert made.change(lambda x: 2 * (x - 1) + 4e-3 * (1 - slope), point, true) == 1e-3


def test_what_changes_nothing_is_no_mutant() -> None:
    true = slopes(lambda x: np.sum((x - 1) ** 2), (np.ones(3),))
    twice = made.Candidate("twice", lambda x: 4 * (x - 1), "factor 2")
    shifted = made.Candidate("shifted", lambda x: 2 * x, "factor 2")
    kept = made.certified(iter([twice, shifted, twice]), (np.ones(3),), true, 5)
    assert [one.label for one in kept.mutants] == ["shifted"]
    assert kept.equivalent == 2


# Gradients by hand --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", HANDWRITTEN)
def test_gradients_by_hand_are_right(name: str, dtype: str) -> None:
    written = HANDWRITTEN[name]
    for point in written.points:
        args = tuple(np.asarray(x, dtype)[()] for x in point)
        assert made.change(written.gradient, args, slopes(written.f, args)) == 0.0


@pytest.mark.parametrize("name", ALTERNATIVES)
def test_other_formulas_are_right(name: str) -> None:
    entry = ZOO[name]
    for point in entry.points:
        if point.kind in ("edge", "undefined"):
            continue
        true = slopes(entry.f, point.args)
        for label, other in ALTERNATIVES[name].items():
            with np.errstate(all="ignore"):
                finite = made.is_finite(other(*point.args))
            assert not finite or made.change(other, point.args, true) == 0.0, label


@pytest.mark.parametrize("name", ["perceptron", "residual", "lorenz"])
def test_mistakes_in_a_result_are_mutants_of_many_kinds(name: str) -> None:
    written = HANDWRITTEN[name]
    args, true = written.points[0], slopes(written.f, written.points[0])
    attempts = made.of_a_result(written.gradient, args, np.random.default_rng(1), written.terms)
    kept = made.certified(attempts, args, true, 100)
    assert len({mutant.error for mutant in kept.mutants}) >= 10
    assert all(mutant.change >= made.LEAST[8] for mutant in kept.mutants)


def test_a_missing_term_is_one_term_less() -> None:
    written = HANDWRITTEN["rosenbrock"]
    (point,) = written.points[0]
    missing = written.gradient(point) - made.without_term(written.terms, 1)(point)
    assert missing == pytest.approx(written.terms(point)[1])


# The set ------------------------------------------------------------------------------------------


def test_the_full_preset_has_the_functions_and_mutants_that_were_promised() -> None:
    cases = [case for case in checkers.cases(preset("full")) if "function" in case]
    asked = {(case["source"], case["function"]): case["mutants"] for case in cases}
    assert len(asked) >= 60
    sample = list(asked.items())[::8]
    mutants = 0
    for (source, name), count in sample:
        for stage in checkers.stages(source, name, "float64", count, 0):
            mutants += sum(bool(candidate.error) for candidate in stage.candidates)
    assert mutants * len(asked) / len(sample) >= 800


def test_every_checker_gets_the_same_set() -> None:
    experiment = checkers.EXPERIMENT
    assert "checker" not in (experiment.seeded_by or ("checker",))
    labels = [
        [candidate.label for stage in found for candidate in stage.candidates]
        for found in (checkers.stages("zoo", "beale", "float64", 3, 5) for _ in range(2))
    ]
    assert labels[0] == labels[1]


def test_a_peer_that_is_not_installed_is_one_row_that_says_so() -> None:
    case = {"checker": "torch", "version": MISSING}
    rows = list(checkers.measure(case, np.random.default_rng(0)))
    assert rows == [{"status": "not installed"}]
    gone = Peer("a-package-that-nobody-has-written", "", "", lambda *_: Answer(ACCEPTED))
    assert gone.version == MISSING


# Checkers -----------------------------------------------------------------------------------------


def test_an_opaque_function_cannot_be_traced() -> None:
    hidden = opaque(gradient)
    assert np.array_equal(hidden(*POINT)[1], gradient(*POINT)[1])
    with pytest.raises((DifflabError, TypeError)):
        trace(hidden, *POINT)


def test_calls_are_counted() -> None:
    counted = Counted(f)
    assert counted(*POINT) == f(*POINT)
    assert counted.calls == 1


def test_what_a_tool_raises_is_an_error_and_no_rejection() -> None:
    def raising(*_: Any) -> Answer:
        raise RuntimeError("no\nanswer")

    said = ask(Peer("numpy", "", "", raising), f, gradient, POINT, "float64")
    assert said == Answer(ERROR, "RuntimeError: no")


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_accepts_what_is_right_and_rejects_what_is_not(name: str) -> None:
    peer = PEERS[name]
    if peer.version == MISSING:
        pytest.skip(f"{name} is not installed")
    lorenz = HANDWRITTEN["lorenz"]
    for function, right, args in (
        (f, gradient, POINT),
        (lorenz.f, lorenz.gradient, lorenz.points[0]),
        (np.sin, np.cos, (np.float64(0.5),)),
    ):
        wrong = made.with_part(right, 0, lambda part: -part)
        assert ask(peer, function, right, args, "float64").answer == ACCEPTED
        assert ask(peer, function, wrong, args, "float64").answer == REJECTED


# The page -----------------------------------------------------------------------------------------


def rows(checker: str, answers: str, error: str | None, **columns: Any) -> pd.DataFrame:
    """One row for each letter: accepted, rejected, undecided."""
    words = {"a": ACCEPTED, "r": REJECTED, "u": UNDECIDED}
    about = {
        "checker": checker, "source": "hand", "dtype": "float64", "group": "smooth", "point": 0,
        "function": "f", "kind": "ordinary", "error": error, "change": 1.0, "relative_error": 0.0,
        "equivalent": 0, "uncertified": 0, "within": False, "evaluations": 1,
        "seconds": 0.1, "words": "", "version": "1",
    }  # fmt: skip
    return pd.DataFrame(
        [
            about | {"answer": words[letter], "gradient": f"{error} {number}"} | columns
            for number, letter in enumerate(answers)
        ]
    )


def verdicts(*parts: pd.DataFrame) -> dict[str, str]:
    found = findings_of(checkers.EXPERIMENT, pd.concat(parts))
    return {finding.claim.id: finding.verdict for finding in found}


TRACED, BLIND, SELDOM = (
    "no_wrong_answer_if_traced", "no_wrong_answer_if_opaque", "seldom_undecided"
)  # fmt: skip


def test_one_miss_or_false_alarm_refutes_that_there_is_none() -> None:
    good = rows(OWN, "a" * 20, None)
    assert verdicts(good, rows(OWN, "r" * 20, "sign"))[TRACED] == "confirmed"
    assert verdicts(good, rows(OWN, "r" * 20 + "a", "sign"))[TRACED] == "refuted"
    alarm = rows(OWN, "a" * 20 + "r", None)
    assert verdicts(alarm, rows(OWN, "r" * 20, "sign"))[TRACED] == "refuted"
    assert verdicts(good)[TRACED] == "inconclusive"


def test_an_opaque_function_may_be_undecided_but_not_wrong() -> None:
    good = rows(OPAQUE, "a" * 95 + "u" * 2, None)
    found = verdicts(good, rows(OPAQUE, "r" * 20, "sign"))
    assert (found[BLIND], found[SELDOM]) == ("confirmed", "confirmed")
    found = verdicts(good, rows(OPAQUE, "r" * 20 + "a", "sign"))
    assert (found[BLIND], found[SELDOM]) == ("refuted", "confirmed")
    found = verdicts(rows(OPAQUE, "a" * 50 + "u" * 50, None))
    assert (found[BLIND], found[SELDOM]) == ("confirmed", "refuted")
    assert verdicts(good, rows(OPAQUE, "u" * 50, None, kind="hard"))[SELDOM] == "confirmed"


def test_a_checker_of_values_is_not_asked_for_what_values_do_not_show() -> None:
    lost = rows("torch", "r", None, relative_error=1e-3)
    assert len(kept.right(lost)) == 0
    assert len(kept.blurred(lost)) == 1
    assert len(kept.right(lost.assign(checker=OWN))) == 1
    small = rows("torch", "a", "relative 1e-6", change=1e-6, dtype="float32")
    assert len(kept.mutants(small)) == 0
    assert len(kept.hidden(small)) == 1
    assert len(kept.mutants(small.assign(checker=OWN))) == 1
    assert len(kept.mutants(small.assign(dtype="float64"))) == 1


@pytest.mark.parametrize("checker", [OWN, OPAQUE, "torch", "numdifftools"])
def test_what_is_within_the_stated_tolerance_is_no_miss_whoever_states_it(checker: str) -> None:
    inside = rows(checker, "aru", "relative 1e-8", within=True)
    outside = rows(checker, "aru", "relative 1e-8")
    assert kept.outcome(inside).tolist() == [kept.WITHIN, kept.FOUND, UNDECIDED]
    assert kept.outcome(outside).tolist() == [kept.MISSED, kept.FOUND, UNDECIDED]
    told = page.summary(pd.concat([inside, outside]), "float64").frame.iloc[0]
    assert [told[word] for word in page.SHOWN] == [2, 1, 1]


def test_an_answer_covers_what_is_smaller_than_its_tolerance() -> None:
    off, exact = np.array([1e-4, 0.0]), np.array([-2.0, 0.0])
    assert Answer(ACCEPTED, "", componentwise(1e-5, 1e-3)).covers(off, exact)
    assert not Answer(ACCEPTED, "", componentwise(1e-5, 1e-6)).covers(off, exact)
    assert not Answer(ACCEPTED, "", componentwise(np.zeros(3))).covers(off, exact)
    assert not Answer(ACCEPTED).covers(off, exact)
    assert not Answer(ACCEPTED, "", componentwise(1.0)).covers(None, exact)


def test_kinks_count_nowhere_else() -> None:
    both = pd.concat([rows(OWN, "a", None), rows(OWN, "ra", None, group="kink")])
    assert len(kept.right(both)) == 1
    assert page.elsewhere(both).frame[[ACCEPTED, REJECTED]].to_numpy().tolist() == [[1, 1]]


def special_row(kind: str, known: str, answer: str, error: str | None) -> pd.DataFrame:
    return rows(OWN, answer, error, group="special", known=known, kind=kind)


def test_what_is_accepted_where_there_is_none_counts_apart() -> None:
    everything = pd.concat(
        [
            special_row("tie", "none", "a", "by analysis"),
            special_row("removable", "derivative", "ar", None),
            special_row("removable", "derivative", "ra", "by analysis"),
        ]
    )
    assert kept.accepted_nowhere(everything).tolist() == [True, False, False, False, False]
    assert kept.wrong_answers(everything).tolist() == [True, False, True, False, True]
    assert len(kept.mutants(everything)) == len(kept.right(everything)) == 0
    (known,) = page.at_special_points(everything).frame.to_dict("records")
    assert (known["removable, right"], known["removable, wrong"]) == ("1 / 1 / 0", "1 / 1 / 0 / 0")
    (none,) = page.where_there_is_none(everything).frame.to_dict("records")
    assert (none["tie"], none["says so"]) == ("1 of 1", 0)


def test_every_fault_of_difflab_is_listed_by_name() -> None:
    everything = pd.concat(
        [
            rows(OWN, "ra", "sign"), rows(OPAQUE, "ra", None), rows("scipy", "a", "sign"),
        ]
    )  # fmt: skip
    listed = page.faults(everything).frame
    assert listed["gradient"].tolist() == ["sign 1", "None 0"]


def test_rates_are_never_rounded_to_all_or_none() -> None:
    assert [figures.label(x) for x in (0.0, 0.01, 99.99, 100.0)] == ["0", "0.1", "99.9", "100"]
