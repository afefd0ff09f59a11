"""Mutants are mistakes and right gradients are not, whatever a checker says of them."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

FOLDER = Path(__file__).parents[2] / "experiments"
sys.path.append(str(FOLDER))

import checkers  # noqa: E402
from apparatus import mutants as made  # noqa: E402
from apparatus import stages  # noqa: E402
from apparatus.handwritten import ALTERNATIVES, HANDWRITTEN  # noqa: E402
from apparatus.independent import slopes  # noqa: E402
from apparatus.peer_checkers import (  # noqa: E402
    ACCEPTED,
    ERROR,
    MISSING,
    NONE,
    OPAQUE,
    OWN,
    PEERS,
    REJECTED,
    UNDECIDED,
    WITHIN,
    Answer,
    Peer,
    componentwise,
    judge,
    opaque,
    version,
)

from difflab.accuracy.zoo import ZOO  # noqa: E402
from difflab.errors import DifflabError  # noqa: E402
from difflab.ir.row import TABLE  # noqa: E402
from difflab.lab.cases import preset  # noqa: E402
from difflab.lab.findings import findings_of  # noqa: E402
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
    g, args = stages.flat(entry.f, entry.points[0].args)
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
    kept, dropped = made.certified(iter([twice, shifted, twice]), (np.ones(3),), true, 5)
    assert [one.label for one in kept] == ["shifted"]
    assert kept[0].wrong.all()
    assert dropped == 1  # an attempt is tried once


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
            finite = made.finite(other, point.args)
            assert not finite or made.change(other, point.args, true) == 0.0, label


@pytest.mark.parametrize("name", ["perceptron", "residual", "lorenz"])
def test_mistakes_in_a_result_are_mutants_of_many_kinds(name: str) -> None:
    written = HANDWRITTEN[name]
    args, true = written.points[0], slopes(written.f, written.points[0])
    attempts = made.of_a_result(written.gradient, args, np.random.default_rng(1), written.terms)
    kept, _ = made.certified(attempts, args, true, 100)
    assert len({mutant.error for mutant in kept}) >= 10
    assert all(mutant.change >= made.LEAST[8] for mutant in kept)


def test_a_missing_term_is_one_term_less() -> None:
    written = HANDWRITTEN["rosenbrock"]
    (point,) = written.points[0]
    missing = written.gradient(point) - made.without_term(written.terms, 1)(point)
    assert missing == pytest.approx(written.terms(point)[1])


# The set ------------------------------------------------------------------------------------------


def test_the_full_preset_has_the_functions_and_mutants_that_were_promised() -> None:
    cases = [case for case in checkers.cases(preset("full")) if "function" in case]
    asked = {(case["source"], case["function"]) for case in cases if case["source"] != "special"}
    assert len(asked) >= 60
    sample = sorted(asked)[::12]
    mutants = 0
    for source, name in sample:
        for stage in stages.stages(source, name, "float64", np.random.default_rng(0)):
            found = [(one.error, one.label) for one in stage.candidates if one.error]
            assert len(found) == len(set(found))
            mutants += len(found)
    assert mutants * len(asked) / len(sample) >= 600


def test_a_peer_that_is_not_installed_is_one_row_that_says_so(monkeypatch: Any) -> None:
    case = {"checker": "torch", "version": MISSING, "size": 100}
    rows = list(checkers.measure(case, np.random.default_rng(0)))
    assert rows == [{"note": "not installed"}]
    gone = Peer("a-package-that-nobody-has-written", "", "", lambda *_: Answer(ACCEPTED))
    monkeypatch.setitem(PEERS, "gone", gone)
    assert version("gone") == MISSING


# Checkers -----------------------------------------------------------------------------------------


def test_an_opaque_function_cannot_be_traced() -> None:
    hidden = opaque(gradient)
    assert np.array_equal(hidden(*POINT)[1], gradient(*POINT)[1])
    with pytest.raises((DifflabError, TypeError)):
        trace(hidden, *POINT)


def test_calls_are_counted() -> None:
    few, more = (checkers.timing("scipy", size) for size in (5, 8))
    assert more["evaluations"] == few["evaluations"] + 3
    assert few["seconds"] > 0


def test_what_a_tool_raises_is_an_error_and_no_rejection(monkeypatch: Any) -> None:
    def raising(*_: Any) -> Answer:
        raise RuntimeError("no\nanswer")

    monkeypatch.setitem(PEERS, "raising", Peer("numpy", "", "", raising))
    assert judge("raising", f, gradient, POINT) == Answer(ERROR, "RuntimeError: no")


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_accepts_what_is_right_and_rejects_what_is_not(name: str) -> None:
    if version(name) == MISSING:
        pytest.skip(f"{name} is not installed")
    lorenz = HANDWRITTEN["lorenz"]
    for function, right, args in (
        (f, gradient, POINT),
        (lorenz.f, lorenz.gradient, lorenz.points[0]),
        (np.sin, np.cos, (np.float64(0.5),)),
    ):
        wrong = made.with_part(right, 0, lambda part: -part)
        assert judge(name, function, right, args).answer == ACCEPTED
        assert judge(name, function, wrong, args).answer == REJECTED


# What the rows show -------------------------------------------------------------------------------


def rows(answers: str, what: str, checker: str = OWN, **columns: Any) -> pd.DataFrame:
    """A row for each letter, of a function of its own: accepted, rejected, undecided, tolerated."""
    words = {"a": ACCEPTED, "r": REJECTED, "u": UNDECIDED, "t": WITHIN}
    right = REJECTED if what == "mutant" else ACCEPTED
    found = []
    for number, letter in enumerate(answers):
        said = dict.fromkeys((OWN, OPAQUE, "torch"), right) | {checker: words[letter]}
        faults = {name: checkers.at_fault(said[name], what == "mutant", True) for name in said}
        found.append(
            {"source": "hand", "function": f"f{number}", "dtype": "float64", "kind": "ordinary",
             "group": "smooth", "what": what, "error": "sign" if what == "mutant" else None,
             "change": 1.0, "in_values": True, **said, "no_fault": not faults[OWN],
             "no_fault_opaque": not faults[OPAQUE], "size": None,
             "opaque_undecided": said[OPAQUE] == UNDECIDED, "mistake": "sign",
             "mistake_named": True, "components_named": True, "words": None} | columns
        )  # fmt: skip
    return pd.DataFrame(found)


def verdicts(*parts: pd.DataFrame) -> dict[str, str]:
    found = findings_of(checkers.EXPERIMENT, pd.concat(parts, ignore_index=True))
    return {finding["id"]: finding["verdict"] for finding in found}


def test_one_miss_or_false_alarm_fails_that_there_is_none() -> None:
    good, claim = rows("a" * 20, "right"), "no_wrong_answer_if_traced"
    assert verdicts(good, rows("r" * 20 + "u", "mutant"))[claim] == "holds"
    assert verdicts(good, rows("r" * 20 + "a", "mutant"))[claim] == "fails"
    assert verdicts(rows("a" * 20 + "r", "right"), rows("r", "mutant"))[claim] == "fails"


def test_an_opaque_function_may_be_undecided_but_not_wrong() -> None:
    blind, seldom = "no_wrong_answer_if_opaque", "seldom_undecided"
    found = verdicts(rows("a" * 95 + "u" * 2, "right", OPAQUE), rows("r" * 20, "mutant", OPAQUE))
    assert (found[blind], found[seldom]) == ("holds", "reproduced")
    found = verdicts(rows("a" * 50 + "u" * 50, "right", OPAQUE))
    assert (found[blind], found[seldom]) == ("holds", "contradicted")
    hard = rows("u" * 50, "mutant", OPAQUE, kind="hard")
    assert verdicts(rows("a" * 95, "right", OPAQUE), hard)[seldom] == "reproduced"


def test_functions_are_the_units_and_not_their_mutants() -> None:
    many = rows("a" * 50, "mutant", "torch", function="f", change=1e-6)
    few = rows("r" * 30, "mutant", "torch", change=1e-6)
    found = findings_of(checkers.EXPERIMENT, pd.concat([many, few], ignore_index=True))
    (part,) = next(
        one["parts"] for one in found if one["id"] == "fixed_tolerances_miss_small_errors"
    )
    assert (part["name"], part["n"]) == ("torch", 31)


def test_what_values_do_not_show_is_not_asked_of_who_sees_values() -> None:
    unseen = rows("a", "mutant", "torch", in_values=False)
    assert len(checkers.answers_of(unseen)) == 0


def test_a_stated_tolerance_is_no_fault_and_no_find() -> None:
    told = checkers.answers_of(rows("tar", "mutant", "torch"))
    own = told[told["checker"] == "torch"]
    assert own["fault"].tolist() == [False, True, False]
    assert own["rejected"].tolist() == [False, False, True]


def test_an_answer_covers_what_is_smaller_than_its_tolerance() -> None:
    off, exact = np.array([1e-4, 0.0]), np.array([-2.0, 0.0])
    assert Answer(ACCEPTED, "", componentwise(1e-5, 1e-3)).of(off, exact, True) == WITHIN
    assert Answer(ACCEPTED, "", componentwise(1e-5, 1e-3)).of(off, exact, False) == ACCEPTED
    assert Answer(ACCEPTED, "", componentwise(1e-5, 1e-6)).of(off, exact, True) == ACCEPTED
    assert Answer(ACCEPTED, "", componentwise(np.zeros(3))).of(off, exact, True) == ACCEPTED
    assert Answer(ACCEPTED).of(off, exact, True) == ACCEPTED
    assert Answer(ACCEPTED, "", componentwise(1.0)).of(None, exact, True) == ACCEPTED


def test_what_is_accepted_where_there_is_none_is_a_fault() -> None:
    assert checkers.at_fault(ACCEPTED, True, False)
    assert not checkers.at_fault(NONE, True, False)
    assert checkers.at_fault(NONE, True, True) and checkers.at_fault(REJECTED, False, True)


@pytest.mark.parametrize(
    ("factor", "family"), [(-1.0, "sign"), (2.0, "factor"), (0.0, "missing"), (1.0001, "1e-4")]
)
def test_a_diagnosis_names_the_kind_of_mistake(factor: float, family: str) -> None:
    wrong = made.with_part(gradient, 0, lambda part: factor * part)
    said = judge(OWN, f, wrong, POINT)
    assert said.answer == REJECTED
    assert re.search(checkers.TOLD[family], said.words)
    assert said.wrong.tolist() == [True] * 3 + [False] * 3
