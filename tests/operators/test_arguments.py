"""Law: a caller's arrays, lists and dicts are his own; functions see copies of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import difflab
from difflab.errors import ArgumentError, ShapeError, TraceError

from ..opaque import by_bytes, opaque

DIFFERENCES = ("forward_difference", "backward_difference", "central_difference", "richardson")


def ends(x: Any) -> float:
    """3 min(x) + max(x), by sorting in place."""
    x.sort()
    x = by_bytes(x)
    return float(3 * x[0] + x[-1])


def ends_gradient(x: Any) -> Any:
    return np.where(x == np.min(x), 3.0, 0.0) + np.where(x == np.max(x), 1.0, 0.0)


def point() -> Any:
    return np.array([5.0, 2.0, 1.0])


# -- pullbacks -------------------------------------------------------------------------------------


def test_a_pullback_keeps_the_point_at_which_it_was_made() -> None:
    z = np.array([1.0, 2.0])
    _, pull = difflab.vjp(lambda q: np.sum(q**3), z)
    z[:] = 10.0
    np.testing.assert_array_equal(pull(1.0)[0], [3.0, 12.0])


def test_a_pullback_keeps_trees() -> None:
    tree: dict[str, Any] = {"a": [np.array([1.0, 2.0]), 3.0], "b": (np.array(4.0),)}
    _, pull = difflab.vjp(lambda t: np.sum(t["a"][0] ** 2) * t["a"][1] + t["b"][0] ** 2, tree)
    tree["a"][0][:] = 10.0
    tree["a"][1] = 20.0
    tree["b"][0][...] = 30.0
    del tree["b"]
    (found,) = pull(1.0)
    np.testing.assert_array_equal(found["a"][0], [6.0, 12.0])
    assert (found["a"][1], found["b"][0]) == (5.0, 8.0)


# -- functions that are called as they are ---------------------------------------------------------


@pytest.mark.parametrize("method", DIFFERENCES)
def test_differences_of_a_function_that_sorts_in_place(method: str) -> None:
    x = point()
    found = difflab.gradient(ends, method=method)(x)
    np.testing.assert_allclose(found, [1.0, 0.0, 3.0], atol=1e-5)
    np.testing.assert_array_equal(x, point())


def test_arguments_that_are_not_differentiated_are_copied_too() -> None:
    def f(x: Any, data: Any) -> float:
        data["w"] *= 2.0
        return float(np.sum(by_bytes(x) * data["w"]))

    data = {"w": np.array([1.0, 2.0])}
    found = difflab.gradient(f, method="central_difference")(np.array([1.0, 1.0]), data)
    np.testing.assert_allclose(found, [2.0, 4.0], rtol=1e-6)
    np.testing.assert_array_equal(data["w"], [1.0, 2.0])


def test_a_function_may_return_the_same_array_each_time() -> None:
    kept = np.zeros(2)

    def f(x: Any) -> Any:
        kept[:] = by_bytes(x) ** 2
        return kept

    x = np.array([1.0, 3.0])
    found = difflab.jacobian(f, method="central_difference")(x)
    np.testing.assert_allclose(found, np.diag(2 * x), atol=1e-6)
    assert difflab.check(f, x, gradient=lambda x: np.diag(2 * x)).verdict == "correct"


def test_a_gradient_may_return_the_same_array_each_time() -> None:
    kept = np.zeros(2)

    def gradient(x: Any) -> Any:
        kept[:] = 2 * by_bytes(x)
        return kept

    assert difflab.check(lambda x: np.sum(x**2), point()[:2], gradient=gradient).ok


@pytest.mark.parametrize("method", DIFFERENCES)
def test_a_python_float_stays_one(method: str) -> None:
    seen = set()

    def f(x: Any) -> float:
        seen.add(type(x))
        return math.exp(by_bytes(x))

    found = difflab.derivative(f, method=method)(0.5)
    assert abs(found - math.exp(0.5)) < 1e-6
    found = difflab.estimate(f, 0.5)
    assert difflab.check(f, 0.5, gradient=math.exp).verdict == "correct"
    assert {kind for kind in seen if issubclass(kind, float)} == {float}


@pytest.mark.parametrize("method", DIFFERENCES)
def test_steps_beyond_the_domain_of_a_python_function(method: str) -> None:
    # A negative Python float to this power is complex; its logarithm raises.
    assert abs(difflab.derivative(opaque(lambda x: float(x) ** 1.5), method=method)(0.0)) < 1e-2
    slope = difflab.derivative(opaque(math.log), method=method)(1e-6)
    assert slope == pytest.approx(1e6, rel=0.02)


def test_a_traced_graph_gives_no_argument_away() -> None:
    x = np.array([1.0, 2.0])
    graph = difflab.trace(lambda x: x, x)
    graph(x)[:] = 7.0
    np.testing.assert_array_equal(x, [1.0, 2.0])
    constant = difflab.trace(lambda x: np.array([3.0, 4.0]), x)
    constant(x)[:] = 7.0
    np.testing.assert_array_equal(constant(x), [3.0, 4.0])


def test_an_explanation_keeps_the_point() -> None:
    def f(x: Any) -> Any:
        return np.sum(1 - np.cos(x))

    x = np.array([1e-6, 1.0])
    explanation, other = difflab.explain(f, x), difflab.explain(f, x.copy())
    x[:] = 1.0
    assert str(explanation) == str(other)


def test_a_mask_that_changes_between_calls_is_noticed() -> None:
    gradient = difflab.gradient(lambda x, mask: np.sum(x[mask] ** 2))
    x, mask = np.array([1.0, 2.0, 3.0]), np.array([True, False, True])
    np.testing.assert_array_equal(gradient(x, mask), [2.0, 0.0, 6.0])
    mask[:] = [False, True, False]
    np.testing.assert_array_equal(gradient(x, mask), [0.0, 4.0, 0.0])


# -- verdicts and their notes ----------------------------------------------------------------------

NOTE = "note: ends changes its argument x in place; it was called on copies"


def test_check_of_a_function_that_changes_its_argument() -> None:
    x = point()
    found = difflab.check(ends, x, gradient=ends_gradient)
    assert found.verdict == "correct"
    np.testing.assert_array_equal(x, point())
    assert f"  {NOTE}." in str(found).splitlines()
    assert NOTE in found._repr_html_()


def test_check_of_a_gradient_that_changes_its_argument() -> None:
    def gradient(w: Any) -> Any:
        w *= 2.0
        return w

    x = point()
    found = difflab.check(lambda x: np.sum(x**2), x, gradient=gradient)
    assert found.verdict == "correct"
    np.testing.assert_array_equal(x, point())
    assert "note: the gradient changes its argument w in place" in str(found)


def test_estimate_says_so() -> None:
    x = point()
    found = difflab.estimate(ends, x)
    np.testing.assert_allclose(found.value, [1.0, 0.0, 3.0])
    np.testing.assert_array_equal(x, point())
    assert NOTE in str(found)
    assert "note:" not in str(difflab.estimate(opaque(np.sum), x))
    assert "in place" not in str(difflab.check(opaque(np.sum), x, gradient=lambda x: np.ones(3)))


def test_a_list_that_a_function_changes() -> None:
    def f(x: Any, extra: Any) -> float:
        extra.append(1.0)
        extra[0] = np.array([3.0, 4.0])
        return float(x) * float(extra[0][0])

    extra = [2.0]
    found = difflab.estimate(f, 1.0, extra)
    assert extra == [2.0]
    assert found.value == pytest.approx(3.0)
    assert "f changes its argument extra in place" in str(found)


# -- arguments with nothing to differentiate, and argnums that name none ---------------------------

OPERATORS = (
    difflab.derivative, difflab.gradient, difflab.value_and_gradient, difflab.jacobian,
    difflab.hessian,
)  # fmt: skip
JUDGES = (difflab.estimate, difflab.truth, difflab.compare, difflab.explain, difflab.check)


def refused(call: Callable[[], object], *words: str, kind: type[Exception] = ArgumentError) -> None:
    """It is refused, with the words and a remedy."""
    with pytest.raises(kind) as caught:
        call()
    for word in (*words, "remedy: "):
        assert word in str(caught.value)


@pytest.mark.parametrize("method", difflab.METHODS)
@pytest.mark.parametrize("operator", OPERATORS)
def test_an_argument_without_numbers(operator: Any, method: str) -> None:
    for f in (lambda x: 1.0, lambda x: float(np.array(1.0)), lambda x: x):
        for empty in ([], {}, ((),), {"a": []}):
            refused(lambda f=f, x=empty: operator(f, method=method)(x), "no numbers")
    refused(lambda: operator(lambda: 1.0, method=method)(), "0 positional arguments")


def test_an_empty_tree_beside_numbers() -> None:
    found = difflab.gradient(lambda x, y: x * x, argnums=(0, 1))(3.0, {})
    assert found == (6.0, {})


@pytest.mark.parametrize("judge", JUDGES)
def test_judges_of_an_argument_without_numbers(judge: Any) -> None:
    for empty in ([], {}, ((),)):
        refused(lambda x=empty: judge(lambda x: 1.0, x), "nothing to differentiate")
        refused(lambda x=empty: judge(lambda x: 1.0, x, argnums=0), "nothing to differentiate")
    refused(lambda: judge(lambda: 1.0), "")


@pytest.mark.parametrize(
    ("argnums", "words"),
    [
        ((), "argnums is empty"),
        ("x", "argnums='x'"),
        (0.5, "argnums=0.5"),
        (True, "argnums=True"),
        ((0, "x"), "which arguments"),
        ((0, (1,)), "which arguments"),
        ({0}, "which arguments"),
        (np.array(0.0), "which arguments"),
        ((0, 0), "twice"),
        ((1, -1), "twice"),
        (2, "2 positional"),
    ],
)
def test_argnums_that_name_no_arguments(argnums: Any, words: str) -> None:
    def f(x: Any, y: Any) -> Any:
        return x * y

    for operator in OPERATORS:
        refused(lambda o=operator: o(f, argnums=argnums)(2.0, 3.0), words)
    for judge in JUDGES:
        refused(lambda j=judge: j(f, 2.0, 3.0, argnums=argnums), words)


@pytest.mark.parametrize("argnums", [[0, 1], range(2), np.arange(2), (np.int64(0), -1)])
def test_argnums_may_be_any_sequence(argnums: Any) -> None:
    found = difflab.gradient(lambda x, y: x * y, argnums=argnums)(2.0, 3.0)
    assert found == (3.0, 2.0)
    assert difflab.gradient(lambda x, y: x * y, argnums=np.int64(1))(2.0, 3.0) == 2.0


def test_products_without_arguments() -> None:
    assert difflab.vjp(lambda: 1.0)[1](1.0) == ()
    refused(lambda: difflab.hvp(lambda: 1.0, (), ()), "argnums is empty")
    refused(lambda: difflab.jvp(np.sin, 1.0, 1.0), "args is a float", "(arg,)")  # type: ignore[arg-type]
    refused(lambda: difflab.jvp(np.sin, (1.0,), ("x",)), "tangents", kind=ShapeError)
    refused(lambda: difflab.vjp(np.sin, 1.0)[1](None), "cotangents", kind=ShapeError)


def test_what_is_no_method() -> None:
    refused(lambda: difflab.gradient(np.sin, method=3), "not int", "reverse")  # type: ignore[arg-type]
    refused(lambda: difflab.gradient(np.sin, method=np.sin), "not ufunc")


def test_what_is_no_function() -> None:
    f: Any = 3.0
    for call in (difflab.trace, *JUDGES, difflab.vjp):
        refused(lambda call=call: call(f, 1.0), "a function is needed, not float")
    refused(lambda: difflab.jvp(f, (1.0,), (1.0,)), "a function is needed")
    for operator in OPERATORS:
        refused(lambda operator=operator: operator(f), "a function is needed")


@pytest.mark.parametrize("judge", JUDGES)
def test_judges_of_no_outputs(judge: Any) -> None:
    refused(lambda: judge(lambda x: [], 1.0), "no numbers")


@pytest.mark.parametrize("method", DIFFERENCES)
def test_what_is_no_result(method: str) -> None:
    def named(x: Any) -> Any:
        return str(float(x))

    def nothing(x: Any) -> Any:
        return float(x) and None

    refused(lambda: difflab.jacobian(named, method=method)(1.0), "returned a str")
    refused(lambda: difflab.jacobian(nothing, method=method)(1.0), "returned a NoneType")
    assert difflab.jacobian(lambda x: [float(x)][:0], method=method)(1.0) == []
    for f, words in ((named, "str"), (nothing, "NoneType"), (lambda x: [], "no numbers")):
        refused(lambda f=f: difflab.estimate(f, 1.0), words)
        refused(lambda f=f: difflab.check(f, 1.0, gradient=np.cos), words)


# -- integers that int64 does not hold -------------------------------------------------------------

LARGE = np.array([2**63 + 1, 1], np.uint64)
AT = np.array([1.5, 2.5])


@pytest.mark.parametrize("large", [LARGE, LARGE[0], LARGE[:1].reshape(())])
def test_an_argument_of_integers_beyond_int64_is_refused(large: Any) -> None:
    with pytest.raises(ArgumentError, match="holds 9223372036854775809, which int64 does not"):
        difflab.gradient(lambda x, n: np.sum(x * n))(AT, large)
    small = np.minimum(large, np.uint64(2**63 - 1))
    found = difflab.gradient(lambda x, n: np.sum(x * n))(AT, small)
    np.testing.assert_array_equal(found, AT * 0 + small)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.sum(x * LARGE),
        lambda x: np.sum(x * LARGE[0]),
        lambda x: np.sum(x * (LARGE + LARGE)),
        lambda x: np.sum(x * (2**63 + 1)),
        lambda x: np.sum(x * 2**70),
        lambda x: np.sum(np.maximum(x, 2**65) * x),
        lambda x: np.sum(x * np.array([2**63, 1])),
        lambda x: np.sum(x * np.full(2, 2**63)),
        lambda x: np.sum(np.where(x > 1, LARGE, x) * x),
        lambda x: np.sum(np.where(x > 1, LARGE, 0) * x),
        lambda x: np.sum(np.concatenate([x, LARGE])) * x[0],
        lambda x: np.sum(x * (x.astype(int) + LARGE)),
        lambda x: np.sum(np.where(x.astype(int) > LARGE, x, 2 * x)),
        lambda x: np.sum(np.where(x.astype(int) < 2**63, x, 2 * x)),
        lambda x: np.sum(x * np.array([2**70, 1], object)),
        lambda x: np.sum(x * (np.ones(2, np.longdouble) / 3)),
        lambda x: np.sum(x * (np.ones(2, np.float16) / 3)),
        lambda x: np.sum(np.abs(x * np.array([1 + 2j, 2.0]))),
    ],
)
def test_other_numbers_inside_are_what_they_are_or_refused(f: Any) -> None:
    try:
        found, slopes = difflab.value_and_gradient(f)(AT)
    except TraceError as error:
        assert error.remedy
    else:
        np.testing.assert_allclose(found, f(AT), rtol=1e-14)
        moved = [(f(AT + d) - f(AT - d)) / 2e-3 for d in 1e-3 * np.eye(2)]
        np.testing.assert_allclose(slopes, moved, rtol=1e-6, atol=1e-6 * np.max(np.abs(slopes)))


@pytest.mark.parametrize("kind", ["float16", "longdouble", "complex64", "complex128", "O", "m8[s]"])
def test_arguments_of_other_dtypes_are_refused(kind: str) -> None:
    with pytest.raises(ArgumentError, match="cannot be traced"):
        difflab.gradient(lambda x, y: np.sum(x))(AT, np.ones(2).astype(kind))
