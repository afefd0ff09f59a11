"""Formulas as text: what they mean, and that no text does harm."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from difflab.accuracy.formula import FUNCTIONS, _arity, assignment, formula, number
from difflab.errors import ArgumentError, BudgetError, DifflabError, UnknownNameError
from difflab.tracing.trace import trace

SECONDS = 2.0
POINT = {"x": 1.5, "w": np.array([0.25, 0.5])}

atoms = st.sampled_from(
    ["x", "w", "w[0]", "w[-1]", "0", "1", "2", "9", "1e308", "-1", "0.5", "pi", "inf", "9**9"]
)


def longer(parts):
    binary = st.sampled_from(["+", "-", "*", "/", "**", "%", "//", "@", "<", ">=", "^"])
    calls = st.tuples(st.sampled_from(sorted(FUNCTIONS)), st.lists(parts, max_size=4))
    return st.one_of(
        st.tuples(parts, binary, parts).map(lambda p: f"({p[0]}){p[1]}{p[2]}"),
        calls.map(lambda call: f"{call[0]}({', '.join(call[1])})"),
        st.lists(parts, max_size=3).map(lambda p: f"[{', '.join(p)}]"),
        st.tuples(parts, parts, parts).map(lambda p: f"({p[0]} if {p[1]} else {p[2]})"),
        parts.map(lambda part: f"-{part}"),
    )


formulas = st.recursive(atoms, longer, max_leaves=12)
words = [
    *"xw()[],+-/<:=9{}#'.é\n\0\udcff",
    "**",
    "1e999",
    "max",
    " if ",
    " else ",
    "lambda ",
    "None",
]
soup = st.lists(st.sampled_from(words), max_size=20).map("".join)


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(st.one_of(formulas, soup, st.text(max_size=30)))
@example("9**9**9**9")
@example("x**9**9**9")
@example("9**(9**9 if x > 0 else 1)")
@example("9**where(x > 0, 9**9, 1)")
@example("sum(w, w)")
@example("max()")
@example("9" * 5000)
@example("(" * 5000)
@example("-" * 9000 + "x")
def test_any_text_is_a_formula_or_an_error_at_once(text):
    start, before = time.process_time(), POINT["w"].copy()
    try:
        f = formula(text, list(POINT))
        trace(f, *POINT.values())
        f(*POINT.values())
    except DifflabError as error:
        assert error.what and error.remedy
    assert np.array_equal(POINT["w"], before)
    assert time.process_time() - start < SECONDS


@settings(deadline=None)
@given(st.one_of(formulas, soup, st.text(max_size=30)))
@example("{'a': {'a': [1, {'b': 2}]}}")
@example("{**{}}")
@example("{[]: 1}")
def test_any_text_is_a_number_or_an_error(text):
    try:
        found = number(text)
    except ArgumentError as error:
        assert "not a number" in error.what and error.remedy
    else:
        leaves = [found]
        while leaves:
            leaf = leaves.pop()
            if isinstance(leaf, dict | list):
                leaves += leaf.values() if isinstance(leaf, dict) else leaf
            else:
                assert np.asarray(leaf).dtype == float and np.all(np.isfinite(leaf))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_takes_its_own_arguments_and_no_setting_of_numpys(name):
    least, most = _arity(FUNCTIONS[name])
    for count in range(6):
        text = f"{name}({', '.join(['w', 'x', 'x', 'x', 'x'][:count])})"
        if count < least or count > most:
            with pytest.raises(ArgumentError, match=f"{name} takes"):
                formula(text, list(POINT))
        elif name not in ("dot", "norm"):
            found = formula(f"where({text}, {text}, 1.0)", list(POINT))(*POINT.values())
            assert np.shape(found) in ((), (2,))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("1/0*x", "infinite"), ("9**9**9", "infinite"), ("1e999", "infinite"),
        ("(-8)**(1/3)", "not a number"), ("1" * 400, "too large"), ("exp(1000)", "infinite"),
        ("x < 1", "true or false"), ("isnan(x)", "true or false"), ("[1, [2]]", "same shape"),
        ("()", "not part"), ("[]", "not part"), ("x[0]", "index"), ("w[7]", "bounds"),
        ("w + [1, 2, 3]", "broadcast"), ("x if w else 1", "ambiguous"), ("x[True]", "not part"),
        ("x\0", "not a formula"), ("\udcff", "not a formula"), ("", "nothing"),
        ("x+" * 300 + "x", "too deeply"), ("max(x, 1)", "takes 1 argument"),
    ],
)  # fmt: skip
def test_what_has_no_derivative_says_why(text, what):
    with pytest.raises(DifflabError) as caught:
        formula(text, list(POINT))(*POINT.values())
    assert what in caught.value.what and caught.value.remedy


def test_numbers_are_floats_and_whole_exponents_stay_whole():
    assert formula("2**62 * 2**62 * 2", [])() == 2.0**125
    assert "x^3" in str(trace(formula("x**(6/2)", ["x"]), 2.0))
    assert formula("7 // 2 + 10 / 4", [])() == 5.5
    assert formula("x / 0", ["x"])(1) == np.inf
    assert formula("clip(x, 0, inf)", ["x"])(5) == 5.0


def test_a_large_array_is_refused_before_it_is_made():
    column, row = np.ones((5000, 1)), np.ones(5000)
    for text in ("c * r", "where(c > 0, r, 1)", "c @ [r]"):
        with pytest.raises(BudgetError, match="25,000,000"):
            formula(text, ["c", "r"])(column, row)
    assert formula("sum(r * r)", ["r"])(np.ones(2_000_000)) == 2_000_000


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("pi", np.pi), ("-pi/2", -np.pi / 2), ("[pi, 1e-6]", [np.pi, 1e-6]), ("3", 3.0),
        ("{'W': [[1,2]]}", {"W": [[1.0, 2.0]]}), ("[{'b': 1}, {'b': [2]}]", [{"b": 1}, {"b": [2]}]),
        ("sqrt(4)", 2.0),
    ],
)  # fmt: skip
def test_values_are_numbers_constants_and_trees(text, value):
    np.testing.assert_equal(number(text), value)


@pytest.mark.parametrize(
    "text",
    ["inf", "nan", "-inf", "1/0", "[]", "{}", "True", "1 < 2", "1j", "'a'", "None", "x", "9" * 400,
     "[1, [2]]", "{'a': 1, 'a': 2}", "[" + "1," * 20_000 + "]", "\udcff", "[" * 500, "{1.5: 2}"],
)  # fmt: skip
def test_what_is_not_a_finite_number_is_refused(text):
    with pytest.raises(ArgumentError, match="not a number"):
        number(text)


def test_names_are_read_as_python_reads_them():
    name, value = assignment("ｘ1=2")
    assert name == "x1" and formula("x1 + ｘ1", [name])(value) == 4.0
    assert formula("sin(sin) + pi", ["sin", "pi"])(0.0, 1.0) == 1.0
    for text in ("class=2", "None=2", "2=2", "=2", "x y=2", "\udcff=2", "x₁=2"):
        with pytest.raises(ArgumentError, match="cannot be the name"):
            assignment(text)
    for names in (["x", "x"], ["x1", "ｘ1"]):
        with pytest.raises(ArgumentError, match="same name"):
            formula("1", names)
    with pytest.raises(UnknownNameError):
        formula("y", ["x"])
