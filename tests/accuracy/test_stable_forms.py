"""The table of stable forms: each row is equal to its pattern, better where it is hard, and found
in users' programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from difflab.accuracy.audit import Audit
from difflab.accuracy.explain import explain
from difflab.accuracy.stable_forms import FORMS, Pattern, StableForm, as_function
from difflab.readings.balls import enclose, precision
from difflab.tracing.trace import trace

BITS = 400
NAMES = [f"{form.pattern.text} -> {form.stable}" for form in FORMS]
every_form = pytest.mark.parametrize("form", FORMS, ids=NAMES)


def _arguments(form: StableForm, point: Mapping[str, Any]) -> list[Any]:
    values = [point[name] for name in form.pattern.parameters]
    return [np.array(value) if isinstance(value, list) else value for value in values]


def _written(form: StableForm) -> Any:
    return as_function(form.pattern.text, form.pattern.parameters)


@every_form
def test_a_form_equals_its_pattern(form: StableForm) -> None:
    assert len(form.points) >= 2
    for point in form.points:
        arguments = _arguments(form, point)
        one, other = (
            enclose(trace(f, *arguments), arguments, BITS)[0]
            for f in (_written(form), form.function)
        )
        with precision(BITS):
            for a, b in zip(one.flat, other.flat, strict=True):
                assert abs(a - b) < 1e-25 * abs(a)


@every_form
def test_a_form_keeps_at_least_six_digits_more_where_its_pattern_is_hard(form: StableForm) -> None:
    arguments = _arguments(form, form.hard)
    lost = []
    for f in (_written(form), form.function):
        audit = Audit(trace(f, *arguments), arguments)
        lost.append(audit.worst([*audit.graph.outputs, *audit.gradients.values()]))
    assert lost[1] < 1.0 and lost[0] - lost[1] >= 6.0


@every_form
def test_explain_finds_a_form_where_its_pattern_is_hard(form: StableForm) -> None:
    guilty = explain(_written(form), *_arguments(form, form.hard)).guilty
    assert guilty is not None
    assert guilty.stable == form.stable


@every_form
def test_the_other_way_to_write_a_form_is_equal_too(form: StableForm) -> None:
    if not form.also:
        return
    for point in form.points:
        arguments = _arguments(form, point)
        also = as_function(form.also, form.pattern.parameters)
        np.testing.assert_allclose(also(*arguments), form.function(*arguments), rtol=1e-14)


@pytest.mark.parametrize(
    ("f", "arguments", "pattern"),
    [
        (lambda t: np.log(np.exp(t) + 1), [1.0], "np.log(1 + np.exp(x))"),
        (lambda t: -1 + np.exp(t), [1.0], "np.exp(x) - 1"),
        (lambda s, t: np.sqrt(t**2 + s * s), [3.0, 4.0], "np.sqrt(x**2 + y**2)"),
        (lambda s, t: (s * s + np.power(t, 2)) ** 0.5, [3.0, 4.0], "np.sqrt(x**2 + y**2)"),
        (lambda b, c: -b + np.sqrt(b * b - 4 * c), [3.0, 1.0], "np.sqrt(b**2 - c) - b"),
        (lambda v: (v * v).mean() - v.mean() ** 2, [np.ones(5)], "np.mean(x**2) - np.mean(x)**2"),
        (
            lambda v: np.sum(v**2) / 5 - (v.sum() / 5) ** 2,
            [np.ones(5)],
            "np.mean(x**2) - np.mean(x)**2",
        ),
        (lambda v: np.sum(v**2) / 4 - (v.sum() / 5) ** 2, [np.ones(5)], None),
        (
            lambda m: np.exp(m) / np.exp(m).sum(axis=1, keepdims=True),
            [np.ones((2, 3))],
            "np.exp(x) / np.sum(np.exp(x))",
        ),
        (lambda s, t: np.exp(s) / np.sum(np.exp(t)), [np.ones(3), np.ones(3)], None),
        (lambda t: 1 - np.tanh(t) * np.tanh(t), [0.5], "1 - np.tanh(x)**2"),
        (lambda t: 2 - np.cos(t), [0.5], None),
        (lambda t: np.log(2 + np.exp(t)), [0.5], None),
    ],
)
def test_spelling_does_not_matter_and_the_formula_does(
    f: Any, arguments: Any, pattern: str | None
) -> None:
    (root,) = trace(f, *arguments).outputs
    found = [form.pattern.text for form in FORMS if form.pattern.match(root) is not None]
    assert found == [] if pattern is None else pattern in found


def test_a_parameter_that_occurs_twice_stands_for_one_node() -> None:
    pattern = Pattern("np.sin(x) / x")
    assert pattern.match(trace(lambda s, t: np.sin(s) / t, 1.0, 2.0).outputs[0]) is None
    match = pattern.match(trace(lambda t: np.sin(t * t) / (t * t), 1.0).outputs[0])
    assert match is not None and match.bound["x"].primitive.name == "multiply"


def test_no_two_rows_are_the_same() -> None:
    assert len({(form.pattern.text, form.stable) for form in FORMS}) == len(FORMS)


def test_the_names_of_other_parameters_are_put_in_at_once() -> None:
    form = next(form for form in FORMS if form.pattern.text == "a**2 - b**2")
    assert form.written({"a": "b", "b": "a"}, form.stable) == "(b - a) * (b + a)"
