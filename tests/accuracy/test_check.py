"""The check: every verdict, every diagnosis, and their words."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import difflab
from difflab.accuracy.check import check
from difflab.accuracy.diagnosis import MATCHERS
from difflab.accuracy.judge import JUDGEMENTS
from difflab.accuracy.subject import Subject
from difflab.accuracy.zoo import ZOO
from difflab.errors import ArgumentError, DomainError
from difflab.ir.tree import flatten, unflatten
from difflab.operators.operators import Jacobian
from difflab.testing import assert_gradient

from ..opaque import opaque

POINT = np.array([0.7, -1.3, 2.1])


def f(x: Any) -> Any:
    a = np.sin(x[0] * x[1])
    return a + x[0] ** 3 * x[2]


def gradient(x: Any) -> Any:
    c = np.cos(x[0] * x[1])
    return np.stack([c * x[1] + 3 * x[0] ** 2 * x[2], c * x[0], x[0] ** 3])


def scaled(*factors: float) -> Callable[[Any], Any]:
    return lambda x: gradient(x) * np.array(factors)


# Verdicts -----------------------------------------------------------------------------------------


def test_a_right_gradient_is_correct_and_says_why():
    found = check(f, POINT, gradient=gradient)
    assert found.ok and found and found.verdict == "correct" and found.diagnosis == ""
    assert str(found).splitlines()[0] == "correct: the gradient of f is right in all 3 components."
    assert "certified by ball arithmetic; rounding costs" in str(found)
    assert found.table["formula_error"].tolist() == [0.0, 0.0, 0.0]
    assert found.table["ulps"].max() < 8.0


@pytest.mark.parametrize("size", [1e-2, 1e-6, 1e-9, 1e-12, -1e-14])
def test_a_wrong_factor_in_one_component_is_caught_without_any_tolerance(size):
    found = check(f, POINT, gradient=scaled(1.0, 1.0 + size, 1.0))
    assert found.verdict == "wrong" and not found.ok
    row = found.table.set_index("component").loc["x[1]"]
    assert row["formula_error"] == pytest.approx(abs(size), rel=0.02)
    assert (found.table["verdict"] == "wrong").sum() == 1
    assert "wrong in 1 of 3 components" in str(found)


def test_a_badly_rounded_formula_is_right_but_ill_computed():
    found = check(np.tanh, 20.0, gradient=lambda x: 1 - np.tanh(x) ** 2)
    assert found.verdict == "rounding" and found.ok
    assert found.table["formula_error"].item() == 0.0
    assert found.table["relative_error"].item() == 1.0
    text = str(found)
    assert "the formula of the derivative of tanh is right, but its digits are lost" in text
    assert "x: given 0, should be 1.69934e-17" in text and "Remedy" in text


def test_a_gradient_that_overflows_is_a_matter_of_rounding():
    def softplus(x: Any) -> Any:
        return np.logaddexp(0.0, x)

    found = check(softplus, 800.0, gradient=lambda x: np.exp(x) / (1 + np.exp(x)))
    assert found.verdict == "rounding" and math.isnan(found.table["given"].item())


@pytest.mark.parametrize("given", [0.0, 1.0, -0.3])
def test_at_a_kink_a_value_between_the_slopes_is_tenable(given):
    found = check(np.abs, 0.0, gradient=lambda x: given + 0.0 * x)
    assert found.verdict == "kink" and found.ok
    row = found.table.iloc[0]
    assert (row["left"], row["right"]) == (-1.0, 1.0)
    text = str(found)
    assert "has a kink at this point, so it has no derivative there." in text
    assert "slope -1.0 from the left, slope 1.0 from the right" in text
    assert f"the given {given!r} lies between them" in text


def test_at_a_kink_a_value_outside_is_wrong():
    found = check(difflab.relu, 0.0, gradient=lambda x: 1.5 + 0.0 * x)
    assert found.verdict == "wrong"
    assert found.diagnosis == "x lies outside the one-sided derivatives 0 and 1 of a kink"


def test_a_jump_of_the_value_has_no_derivative():
    found = check(np.sign, 0.0, gradient=lambda x: 0.0 * x)
    assert found.verdict == "kink" and not found.ok
    assert "sign jumps at this point" in str(found)


def test_a_kink_nearby_is_noted():
    found = check(lambda x: np.sum(np.maximum(x, 0.0)), np.array([1e-9, 1.0]))
    assert found.verdict == "correct"
    assert found.nearest.distance == pytest.approx(1e-9)
    assert "the kink of maximum" in str(found) and "1e-09 away" in str(found)
    assert check(lambda x: np.sum(np.maximum(x, 0.0)), np.ones(2)).nearest.distance == 1.0


def test_the_kink_far_down_a_long_vector_is_found():
    x = np.ones(200)
    x[150] = 0.0
    found = check(lambda x: np.sum(np.abs(x)), x, gradient=np.sign)
    assert found.verdict == "kink"
    assert [k.component for k in found.kinks] == ["x[150]"]


def test_the_edge_of_a_domain():
    found = check(np.sqrt, 0.0)
    assert found.verdict == "kink"
    assert "at the edge of the domain of sqrt, where its slope is infinite" in str(found)
    assert "no slope from the left, slope inf from the right" in str(found)
    near = check(np.log, 1e-300, gradient=lambda x: 1 / x)
    assert near.verdict == "correct"


def test_outside_the_domain_nothing_is_told():
    found = check(lambda x: np.log(x) + x, -1.0, gradient=lambda x: 1 / x + 1)
    assert found.verdict == "undecided" and not found.ok
    assert "f has no value at this point" in str(found)
    assert "The first operation without a value is log at test_check.py:" in str(found)


def test_a_branch_that_is_not_taken_may_be_undefined():
    def root(x: Any) -> Any:
        return np.where(x > 0, np.sqrt(x), 0.0)

    assert check(root, -1.0, gradient=lambda x: 0.0 * x).verdict == "correct"
    assert check(root, -1.0).verdict == "correct"  # the choice travels with the cotangent

    def summed(x: Any) -> Any:  # further than the elementwise operations before a sum
        return np.sum(np.where(np.all(x > 0), np.cumsum(np.sqrt(x)), 0.0))

    reverse = check(summed, np.array([-1.0, -4.0]))
    assert reverse.verdict == "wrong" and reverse.diagnosis == "x[0] and x[1] are not finite"


# Float32, rounded constants, second order, Jacobians ----------------------------------------------


def test_float32_is_judged_in_its_own_digits():
    x = POINT.astype(np.float32)
    found = check(f, x, gradient=gradient)
    assert found.verdict == "correct" and found.table["ulps"].max() < 8.0
    assert check(f, x, gradient=scaled(1, 1, 1 + 1e-5)).verdict == "wrong"
    lost = check(np.tanh, np.float32(9.0), gradient=lambda x: 1 - np.tanh(x) ** 2)
    assert lost.verdict == "rounding"


def test_the_rounding_of_constants_is_no_mistake():
    found = check(lambda x: 0.1 * x**3, 0.7, gradient=lambda x: 0.3 * x**2)
    assert found.verdict == "correct"
    assert 0.0 < found.table["formula_error"].item() < 1e-15
    assert "no more than its constants are rounded" in str(found)
    assert check(lambda x: 0.1 * x**3, 0.7, gradient=lambda x: 0.3000000001 * x**2).verdict == (
        "wrong"
    )


def test_precomputed_data_may_be_rounded():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(20, 3)), rng.normal(size=20)
    normal, right = a.T @ a, a.T @ b
    found = check(
        lambda w: 0.5 * np.sum((a @ w - b) ** 2), np.ones(3), gradient=lambda w: normal @ w - right
    )
    assert found.verdict == "correct"


def test_a_hessian():
    def hessian(x: Any) -> Any:
        s, c = np.sin(x[0] * x[1]), np.cos(x[0] * x[1])
        mixed = c - s * x[0] * x[1]
        return np.stack(
            [
                np.stack([6 * x[0] * x[2] - s * x[1] ** 2, mixed, 3 * x[0] ** 2]),
                np.stack([mixed, -s * x[0] ** 2, 0.0]),
                np.stack([3 * x[0] ** 2, 0.0, 0.0]),
            ]
        )

    found = check(f, POINT, gradient=hessian, order=2)
    assert found.verdict == "correct" and len(found.table) == 9
    assert "the Hessian of f is right in all 9 components" in str(found)
    sign = np.array([[1.0, 1, 1], [1, -1, 1], [1, 1, 1]])
    wrong = check(f, POINT, gradient=lambda x: hessian(x) * sign, order=2)
    assert wrong.diagnosis == "x[1], x[1] has the wrong sign"
    assert check(opaque(f), POINT, gradient=opaque(hessian), order=2).verdict == "correct"
    assert check(f, POINT, order=2).verdict == "correct"


def test_the_curvature_of_a_squared_relu_jumps():
    found = check(lambda x: difflab.relu(x) ** 2, 0.0, gradient=lambda x: 0.0 * x, order=2)
    assert found.verdict == "kink"
    assert check(lambda x: difflab.relu(x) ** 2, 0.0, gradient=lambda x: 0.0 * x).ok


A = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])


def test_a_jacobian():
    assert check(lambda x: A @ np.sin(x), POINT, gradient=lambda x: A * np.cos(x)).ok
    wrong = check(lambda x: A @ x, POINT, gradient=lambda x: A * np.array([1, 1, -1.0]))
    assert wrong.verdict == "wrong"
    assert wrong.table["component"][5] == "output[1] by x[2]"
    assert wrong.diagnosis == "output[0] by x[2] and output[1] by x[2] have the wrong sign"


def test_trees_and_several_arguments():
    def loss(w: Any, b: float) -> Any:
        return np.sum(w["a"] ** 2) * b

    w = {"a": np.array([1.0, 2.0])}

    def both(w: Any, b: float) -> Any:
        return {"a": 2 * w["a"] * b}, np.sum(w["a"] ** 2)

    assert check(loss, w, 3.0, gradient=both).ok
    assert check(loss, w, 3.0, gradient=lambda w, b: both(w, b)[0]).ok  # the first argument alone
    assert check(loss, w, 3.0, gradient=lambda w, b: both(w, b)[1], argnums=1).ok
    found = check(loss, w, 3.0, gradient=lambda w, b: ({"a": 2 * w["a"]}, both(w, b)[1]))
    assert set(found.table.query("verdict == 'wrong'")["component"]) == {"w['a'][0]", "w['a'][1]"}


# Diagnoses ----------------------------------------------------------------------------------------


def dropped(x: Any) -> Any:
    return np.stack([3 * x[0] ** 2 * x[2], 0.0 * x[1], x[0] ** 3])


def one_sign(x: Any) -> Any:
    c = -np.cos(x[0] * x[1])
    return np.stack([c * x[1] + 3 * x[0] ** 2 * x[2], c * x[0], x[0] ** 3])


def twice(x: Any) -> Any:
    c = 2 * np.cos(x[0] * x[1])
    return np.stack([c * x[1] + 3 * x[0] ** 2 * x[2], c * x[0], x[0] ** 3])


def exponent_forgotten(x: Any) -> Any:
    c = np.cos(x[0] * x[1])
    return np.stack([c * x[1] + 2 * x[0] ** 2 * x[2], c * x[0], x[0] ** 3])


HERE = "(a = np.sin(x[0] * x[1]))"
DIAGNOSES = [
    (lambda x: -gradient(x), "every component has the wrong sign"),
    (scaled(1, -1, 1), "x[1] has the wrong sign"),
    (lambda x: 0.0 * x, "every component is zero"),
    (scaled(1, 1, 0), "x[2] is zero"),
    (lambda x: 2 * gradient(x), "every component is too large by a factor of 2"),
    (lambda x: gradient(x) / 3, "too small by a factor of 3, as if averaged over the components"),
    (lambda x: 1.000001 * gradient(x), "every component is off by a factor of 1 + 1e-06"),
    (lambda x: np.roll(gradient(x), 1), "the components are shifted by one place down"),
    (lambda x: gradient(x)[::-1], "the components are in reverse order"),
    (lambda x: gradient(x)[np.array([0, 2, 1])], "x[1] and x[2] are swapped"),
    (dropped, f"{HERE} is missing"),
    (one_sign, f"{HERE} has the wrong sign"),
    (twice, f"{HERE} is counted twice"),
    (exponent_forgotten, "(return a + x[0] ** 3 * x[2]) is off by a factor of 0.666667"),
    (lambda x: gradient(np.array([0.1, 0.2, 0.3])), "it is stale: it does not change"),
    (lambda x: gradient(x) + 0.02 * x, "it has an extra term in test_check.py"),
    (scaled(1, np.nan, 1), "x[1] is not finite"),
    (lambda x: gradient(x)[:2], "the gradient has shape (2,), the derivative (3,)"),
]


@pytest.mark.parametrize(("mistake", "words"), DIAGNOSES, ids=[words for _, words in DIAGNOSES])
def test_a_mistake_is_recognised(mistake, words):
    found = check(f, POINT, gradient=mistake)
    assert found.verdict == "wrong"
    assert words in found.diagnosis
    assert f"diagnosis: {found.diagnosis}" in str(found)


def test_a_gradient_that_lags_behind_by_a_call_is_stale():
    kept = [gradient(np.array([0.1, 0.2, 0.3]))]

    def lagging(x: Any) -> Any:
        kept.append(gradient(np.array(x.tolist())))
        return kept.pop(0)

    found = check(f, POINT, gradient=lagging)
    assert found.verdict == "wrong" and "called twice at one point" in found.diagnosis


def test_the_derivative_by_another_argument():
    def g(x: Any, y: Any) -> Any:
        return x**2 * y

    x, y = 2.0, 3.0
    by_other = check(g, x, y, gradient=lambda x, y: x**2, argnums=0)
    assert by_other.diagnosis == "it is the derivative by y, not by x"
    exchanged = check(g, x, y, gradient=lambda x, y: 2 * y * x, argnums=0)
    assert exchanged.ok
    exchanged = check(g, x, y, gradient=lambda x, y: y**2, argnums=1)
    assert exchanged.diagnosis == "it is the derivative with x and y exchanged"


def test_a_transposed_jacobian():
    square = np.array([[1.0, 2.0], [3.0, 4.0]])
    found = check(lambda x: square @ x, np.ones(2), gradient=lambda x: square.T + 0.0 * x)
    assert found.diagnosis == "it is the transpose of the derivative"
    found = check(lambda x: A @ x, POINT, gradient=lambda x: A.T * 1.0)
    assert found.verdict == "wrong" and "it is transposed" in found.diagnosis


def test_no_diagnosis_is_made_up():
    found = check(f, POINT, gradient=scaled(1.1, 0.7, 1.9))
    assert found.verdict == "wrong" and found.diagnosis == ""
    assert "none of the common mistakes fits" in str(found)


def test_every_matcher_is_needed():
    said = {check(f, POINT, gradient=mistake).diagnosis for mistake, _ in DIAGNOSES}
    assert len(said) == len(DIAGNOSES) >= len(MATCHERS)


# What cannot be traced ----------------------------------------------------------------------------


def test_an_opaque_gradient_is_held_against_the_enclosure():
    found = check(f, POINT, gradient=opaque(gradient))
    assert found.verdict == "correct"
    assert "formula and rounding cannot be told apart" in str(found)
    wrong = check(f, POINT, gradient=opaque(scaled(1, 1 + 1e-9, 1)))
    assert wrong.verdict == "wrong"


def test_an_opaque_gradient_that_saturates_is_not_called_wrong():
    naive = opaque(lambda x: 1 - np.tanh(x) ** 2)
    found = check(np.tanh, 20.0, gradient=naive)
    assert found.verdict == "rounding"
    assert "off by what rounding may amount to here, and right where that is less" in str(found)


def test_an_opaque_function_is_held_against_a_band():
    found = check(opaque(f), POINT, gradient=opaque(gradient))
    assert found.verdict == "correct"
    assert "It lies inside the error band of extrapolated differences" in str(found)
    assert 0.0 < found.table["band"].max() < 1e-9
    wrong = check(opaque(f), POINT, gradient=opaque(scaled(1, 1, 1 - 1e-6)))
    assert wrong.verdict == "wrong" and "should be about" in str(wrong)


def test_an_opaque_kink():
    found = check(opaque(np.abs), 0.0, gradient=opaque(np.sign))
    assert found.verdict == "kink"
    assert check(opaque(np.abs), 0.0, gradient=lambda x: 3.0).verdict == "wrong"


def test_undecided_where_the_band_is_too_wide():
    def rough(x: Any) -> float:
        return float(np.float16(math.sin(x) * 1000.0))

    found = check(rough, 1.0, gradient=lambda x: 1000.0 * math.cos(x))
    assert found.verdict == "undecided" and not found.ok
    text = str(found)
    assert "whether the derivative of rough is right at this point cannot be told." in text
    assert "The error band of the differences is too wide" in text and "Remedy" in text
    flat = check(opaque(np.tanh), 20.0, gradient=opaque(lambda x: 1 - np.tanh(x) ** 2))
    assert flat.verdict == "undecided" and "given 0.0; differences of values say" in str(flat)


def test_what_cannot_be_traced_is_called():
    found = check(opaque(math.exp), 1.0, gradient=opaque(math.exp))
    assert found.verdict == "correct"
    assert "the function cannot be traced" in str(found)


# Bad input ----------------------------------------------------------------------------------------


def test_bad_input_gets_a_clear_error():
    with pytest.raises(ArgumentError, match=r"pass 2\.0, not 2"):
        check(np.sin, 2, gradient=np.cos)
    with pytest.raises(DomainError, match="NaN"):
        check(np.sin, np.nan, gradient=np.cos)
    with pytest.raises(ArgumentError, match="empty"):
        check(np.sum, np.zeros(0), gradient=lambda x: x)
    with pytest.raises(ArgumentError, match="not a function"):
        check(np.sin, 1.0, gradient=np.cos(1.0))
    with pytest.raises(ArgumentError, match="pass gradient="):
        check(opaque(math.exp), 1.0)
    with pytest.raises(ArgumentError, match="order is 1 or 2"):
        check(np.sin, 1.0, gradient=np.cos, order=3)
    with pytest.raises(ZeroDivisionError):  # the user's own fault stays the user's own error
        check(np.sin, 1.0, gradient=lambda x: 1 / 0)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "the gradient returned None"),
        (1j, "the gradient returned complex128 where real numbers are expected"),
        ("1", "the gradient returned <U1 where real numbers are expected"),
        ([1.0, 2.0], "the gradient has shape (2,), the derivative ()"),
        ([1.0, [2.0, 3.0]], "the gradient has 2 arrays of different shapes"),
    ],
)
def test_what_cannot_be_a_gradient_is_wrong(answer, words):
    found = check(np.sin, 1.0, gradient=lambda x: answer)
    assert found.verdict == "wrong" and found.diagnosis == words


@pytest.mark.parametrize(
    "same",
    [
        lambda x: [2 * x[0] * x[1], x[0] ** 2],
        lambda x: (2 * x[0] * x[1], x[0] ** 2),
        lambda x: np.reshape([2 * x[0] * x[1], x[0] ** 2], (1, 2)),
    ],
)
def test_lists_and_missing_axes_of_one_are_read_as_arrays(same):
    x = np.array([2.0, 3.0])
    assert check(lambda x: np.reshape(x[0] ** 2 * x[1], (1,)), x, gradient=same).verdict == (
        "correct"
    )


def test_assert_gradient_passes_and_explains():
    assert_gradient(f, POINT, gradient=gradient)
    assert_gradient(f, POINT)
    with pytest.raises(AssertionError, match=r"diagnosis: x\[1\] has the wrong sign"):
        assert_gradient(f, POINT, gradient=scaled(1, -1, 1))


def test_a_check_shows_itself_in_notebooks():
    html = check(f, POINT, gradient=scaled(1, -1, 1))._repr_html_()
    assert html.startswith("<pre>wrong:") and "<table" in html


# Over the zoo -------------------------------------------------------------------------------------

POINTS = [
    pytest.param(entry.f, point, id=f"{name}-{k}")
    for name, entry in ZOO.items()
    for k, point in enumerate(entry.points)
    if point.kind == "ordinary"
]


def mutant(jacobian: Callable[..., Any], factor: float) -> Callable[..., Any] | None:
    """The derivative with its largest component scaled."""

    def wrong(*args: Any) -> Any:
        leaves, tree = flatten(jacobian(*args))
        sizes = [np.max(np.abs(leaf)) for leaf in reference]
        k = int(np.argmax(sizes))
        weights = np.ones(np.shape(reference[k]))
        weights.flat[int(np.argmax(np.abs(reference[k])))] = factor
        leaves[k] = leaves[k] * weights
        return unflatten(tree, leaves)

    reference: list[Any] = []
    wrong.reference = reference  # type: ignore[attr-defined]
    return wrong


@pytest.mark.parametrize(("function", "point"), POINTS)
def test_the_zoo_is_told_right_from_wrong(function, point):
    argnums = Subject(function, point.args).argnums
    jacobian = Jacobian(function, argnums, None, "numpy")
    reference = flatten(jacobian(*point.args))[0]
    assert check(function, *point.args, gradient=jacobian, argnums=argnums).verdict == "correct"
    if max(np.max(np.abs(leaf)) for leaf in reference) > 0.0:
        wrong: Any = mutant(jacobian, 1.0 + 1e-8)
        wrong.reference.extend(reference)
        assert not check(function, *point.args, gradient=wrong, argnums=argnums).ok


@pytest.mark.parametrize(("function", "point"), POINTS)
def test_the_zoo_is_told_right_from_wrong_without_tracing(function, point):
    argnums = Subject(function, point.args).argnums
    jacobian = opaque(Jacobian(function, argnums, None, "numpy"))
    reference = flatten(jacobian(*point.args))[0]
    right = check(opaque(function), *point.args, gradient=jacobian, argnums=argnums)
    assert right.verdict in ("correct", "undecided")
    if max(np.max(np.abs(leaf)) for leaf in reference) > 0.0:
        wrong: Any = mutant(jacobian, 1.01)
        wrong.reference.extend(reference)
        found = check(opaque(function), *point.args, gradient=wrong, argnums=argnums)
        assert found.verdict in ("wrong", "undecided")


def test_verdicts_are_ordered_from_the_best_to_the_worst():
    assert JUDGEMENTS == ("correct", "rounding", "kink", "undecided", "wrong")


def test_a_ufunc_has_the_parameters_that_numpy_names():
    """Also where NumPy gives it no signature."""
    assert [c.name for c in check(np.tanh, 0.5).components] == ["x", "x"]
    assert {c.name for c in check(np.arctan2, 0.5, 2.0).components} == {"x1", "x2"}
