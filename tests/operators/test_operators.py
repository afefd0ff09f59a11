"""The operators: shapes, trees, nesting, branches, dtypes, threads, memory, methods, errors."""

from __future__ import annotations

import math
from collections import namedtuple
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import numpy as np
import pytest

import difflab
from difflab import (
    derivative,
    engines,
    gradient,
    hessian,
    hvp,
    jacobian,
    jvp,
    sigmoid,
    trace,
    value_and_gradient,
    vjp,
)
from difflab.accuracy.truth import truth
from difflab.engines.numpy import compiled
from difflab.errors import (
    ArgumentError,
    BudgetError,
    DifflabError,
    MatrixError,
    ShapeError,
    UnknownNameError,
)
from difflab.methods import METHODS, Numerical
from difflab.methods.symbolic import Symbolic

EPS = float(np.finfo(np.float64).eps)
ACCURACY = {
    "reverse": 8 * EPS, "forward": 8 * EPS, "symbolic": 8 * EPS, "complex_step": 8 * EPS,
    "forward_difference": 10 * EPS ** (1 / 2), "backward_difference": 10 * EPS ** (1 / 2),
    "central_difference": 10 * EPS ** (2 / 3), "richardson": 100 * EPS ** (6 / 7),
}  # fmt: skip
"""Relative accuracy by theory: a stencil of order p reaches a few eps^(p / (p + 1))."""
X = np.array([0.7, -1.3, 2.1])
A = np.array([[1.0, 0.5, -0.25], [2.0, -1.0, 0.75]])


def near(found: Any, expected: Any, ulps: float = 8.0) -> None:
    """Equal to within some ulps of the largest element."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    assert np.all(
        np.abs(found - expected) <= ulps * np.spacing(np.max(np.abs(expected), initial=0.0))
    )


def rosenbrock(x: Any) -> Any:
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


# -- the lecture's and the survey's numbers ------------------------------------------------------


def lecture(w: Any) -> Any:
    return -np.log(sigmoid(w @ np.ones(3)))


def lecture_stable(w: Any) -> Any:
    return np.logaddexp(0.0, -(w @ np.ones(3)))


W = np.array([1.0, 1.0, -1.5])


@pytest.mark.parametrize("f", [lecture, lecture_stable])
@pytest.mark.parametrize("method", METHODS)
def test_lecture_exercise(method: str, f: Callable[..., Any]) -> None:
    value, found = value_and_gradient(f, method=method)(W)
    assert value == pytest.approx(0.4740769841801067, rel=4 * EPS)
    assert found == pytest.approx(np.full(3, -0.37754066879814541), rel=ACCURACY[method])
    if method in ("reverse", "forward", "symbolic"):
        assert np.max(truth(f, W).ulps(found)) <= 4.0


def baydin(x1: Any, x2: Any) -> Any:
    return np.log(x1) + x1 * x2 - np.sin(x2)


@pytest.mark.parametrize("method", METHODS)
def test_baydin_example(method: str) -> None:
    value, found = value_and_gradient(baydin, argnums=(0, 1), method=method)(2.0, 5.0)
    assert value == pytest.approx(11.652071455223084, rel=4 * EPS)
    assert found == pytest.approx((5.5, 2.0 - math.cos(5.0)), rel=2 * ACCURACY[method])
    if method in ("reverse", "forward", "symbolic"):
        assert np.max(truth(baydin, 2.0, 5.0, argnums=(0, 1)).ulps(found)) <= 4.0


def test_baydin_traces() -> None:
    assert jvp(baydin, (2.0, 5.0), (1.0, 0.0))[1] == 5.5
    value, pull = vjp(baydin, 2.0, 5.0)
    assert value == pytest.approx(11.652071455223084)
    assert pull(1.0) == pytest.approx((5.5, 1.7163378145367738))


# -- the shape law -------------------------------------------------------------------------------

OUTPUTS: dict[tuple[int, ...], Callable[[Any], Any]] = {
    (): lambda x: np.sum(x * x),
    (1,): lambda x: np.sum(x * x)[None],
    (4,): lambda x: np.sum(x) * np.arange(4.0),
    (2, 1): lambda x: np.stack([np.sum(x), np.sum(x * x)])[:, None],
    (0,): lambda x: (np.sum(x) * np.ones(3))[:0],
}


@pytest.mark.parametrize("method", [None, *METHODS])
@pytest.mark.parametrize("inputs", [(), (1,), (3,), (2, 3), (1, 2, 2)], ids=str)
@pytest.mark.parametrize("outputs", OUTPUTS, ids=str)
def test_jacobian_shape(outputs: Any, inputs: Any, method: Any) -> None:
    x = np.random.default_rng(0).normal(size=inputs)
    found = jacobian(OUTPUTS[outputs], method=method)(x)
    assert np.shape(found) == outputs + inputs
    assert np.all(np.isfinite(found))


def test_jacobian_by_both_modes() -> None:
    def f(x: Any) -> Any:
        return np.tanh(A @ x) * x[:2]

    t = np.tanh(A @ X)
    expected = ((1 - t**2) * X[:2])[:, None] * A + np.diag(t) @ np.eye(2, 3)
    for method in ("reverse", "forward", "symbolic", None):
        near(jacobian(f, method=method)(X), expected, 32)


def test_hessian_and_products() -> None:
    expected = np.array([
        [1200 * X[0] ** 2 - 400 * X[1] + 2, -400 * X[0], 0.0],
        [-400 * X[0], 202 + 1200 * X[1] ** 2 - 400 * X[2], -400 * X[1]],
        [0.0, -400 * X[1], 200.0],
    ])  # fmt: skip
    v = np.array([1.0, -2.0, 0.5])
    for method in ("reverse", "forward", "symbolic"):
        near(hessian(rosenbrock, method=method)(X), expected)
    near(hvp(rosenbrock, (X,), (v,)), expected @ v)
    near(jacobian(gradient(rosenbrock))(X), expected)
    for method in ("central_difference", "richardson"):
        assert hessian(rosenbrock, method=method)(X) == pytest.approx(expected, rel=1e-4, abs=1e-2)


def test_hessian_of_several_arguments() -> None:
    found = hessian(lambda a, b: a**2 * b**3, argnums=(0, 1))(2.0, 3.0)
    assert np.allclose(found, [[54.0, 108.0], [108.0, 72.0]], rtol=4 * EPS)


# -- arguments -----------------------------------------------------------------------------------


def test_argnums() -> None:
    def f(a: Any, b: Any, c: Any) -> Any:
        return a * b**2 * c**3

    assert gradient(f)(2.0, 3.0, 5.0) == 1125.0
    assert gradient(f, argnums=1)(2.0, 3.0, 5.0) == 1500.0
    assert gradient(f, argnums=-1)(2.0, 3.0, 5.0) == 1350.0
    assert gradient(f, argnums=(2, 0))(2.0, 3.0, 5.0) == (1350.0, 1125.0)
    assert gradient(f, argnums=[0])(2.0, 3.0, 5.0) == (1125.0,)
    assert gradient(f, argnums=(0, -1))(2.0, 3.0, 5.0) == (1125.0, 1350.0)
    for outside in (3, -4):
        with pytest.raises(ArgumentError, match="3 positional arguments"):
            gradient(f, argnums=outside)(2.0, 3.0, 5.0)


Layer = namedtuple("Layer", "W b")


def test_trees() -> None:
    def loss(layers: Any, x: Any) -> Any:
        for layer in layers["net"]:
            x = np.tanh(layer.W @ x + layer.b)
        return np.sum(x) * layers["scale"]

    rng = np.random.default_rng(1)
    net = [Layer(rng.normal(size=(3, 3)), rng.normal(size=3)) for _ in range(2)]
    tree = {"net": net, "scale": 2.0}
    found = gradient(loss)(tree, X)
    assert set(found) == {"net", "scale"}
    assert isinstance(found["net"][0], Layer) and found["net"][1].W.shape == (3, 3)
    direction = {"net": [Layer(np.ones((3, 3)), np.zeros(3)), Layer(np.zeros((3, 3)), np.ones(3))],
                 "scale": 0.5}  # fmt: skip
    tangent = jvp(lambda t: loss(t, X), (tree,), (direction,))[1]
    inner = np.sum(found["net"][0].W) + np.sum(found["net"][1].b) + 0.5 * found["scale"]
    near(tangent, inner, 32)
    outputs = jacobian(lambda x: {"double": 2.0 * x, "sum": (np.sum(x),)})(X)
    near(outputs["double"], 2.0 * np.eye(3))
    near(outputs["sum"][0], np.ones(3))


def test_keywords_and_static_arguments() -> None:
    def f(x: Any, power: int, *, shift: Any = 0.0, name: str = "square") -> Any:
        assert name in ("square", "other")
        return np.sum((x - shift) ** power)

    g = gradient(f)
    near(g(X, 2), 2 * X)
    near(g(X, 3), 3 * X**2)
    near(g(X, 2, shift=1.0), 2 * (X - 1.0))
    near(g(X, 2, shift=np.ones(3), name="other"), 2 * (X - 1.0))
    assert len(g.programs) == 4


def test_integer_arrays_are_data() -> None:
    def f(x: Any, where: Any, chosen: Any) -> Any:
        return np.sum(x[where] ** 2) + np.sum(np.where(chosen, x, 0.0))

    found = gradient(f)(X, np.array([0, 0, 2]), np.array([True, False, True]))
    near(found, [4 * X[0] + 1, 0.0, 2 * X[2] + 1])


# -- nesting -------------------------------------------------------------------------------------


def test_nesting_to_order_five() -> None:
    f: Any = np.sin
    expected = [np.cos, lambda x: -np.sin(x), lambda x: -np.cos(x), np.sin, np.cos]
    for exact in expected:
        f = derivative(f)
        near(f(0.7), exact(0.7), 4)
    g: Any = lambda x: x**5.0 / np.exp(x) + np.tanh(x)
    by_forward: Any = g
    for _ in range(5):
        g, by_forward = derivative(g), derivative(by_forward, method="forward")
    near(g(0.3), by_forward(0.3), 256)
    h = 1e-2
    lower = derivative(
        derivative(derivative(derivative(lambda x: x**5.0 / np.exp(x) + np.tanh(x))))
    )
    stencil = (
        lower(0.3 - 2 * h) - 8 * lower(0.3 - h) + 8 * lower(0.3 + h) - lower(0.3 + 2 * h)
    ) / (12 * h)
    assert g(0.3) == pytest.approx(stencil, rel=1e-3)


def test_perturbation_confusion() -> None:
    def f(x: Any) -> Any:
        return x * derivative(lambda y: x + y)(x)

    for method in ("reverse", "forward"):
        assert derivative(f, method=method)(3.0) == 1.0
    g = derivative(lambda x: x * derivative(lambda y: x * y, method="forward")(2.0))
    assert g(5.0) == 10.0
    both = derivative(lambda x: derivative(lambda y: x**2 * y**2)(x))
    near(both(3.0), 6 * 9.0)


@pytest.mark.parametrize("outer", ["reverse", "forward", "symbolic", "central_difference"])
@pytest.mark.parametrize("inner", ["reverse", "forward", "symbolic", "central_difference"])
def test_methods_nest_in_each_other(outer: str, inner: str) -> None:
    f = derivative(derivative(lambda x: np.exp(2.0 * x), method=inner), method=outer)
    exact = "difference" not in outer + inner
    assert f(0.5) == pytest.approx(4 * math.e, rel=8 * EPS if exact else 1e-4)


def test_operators_inside_operators() -> None:
    def curvature(x: Any) -> Any:
        slope = gradient(rosenbrock)(x)
        return slope @ hvp(rosenbrock, (x,), (slope,))

    found = gradient(curvature)(X)
    with_differences = gradient(curvature, method=Numerical("central", 6))(X)
    assert found == pytest.approx(with_differences, rel=1e-6)
    near(jvp(gradient(rosenbrock), (X,), (np.eye(3)[0],))[1], hessian(rosenbrock)(X)[0])


# -- control flow, guards, captured variables ----------------------------------------------------


def branching(x: Any) -> Any:
    if x[0] > 0:
        return np.sum(x**2)
    return np.sum(-3.0 * x)


@pytest.mark.parametrize("method", METHODS)
def test_branches_are_traced_again(method: str) -> None:
    g = gradient(branching, method=method)
    for x in (X, -X, X, -X, 2 * X):
        expected = 2 * x if x[0] > 0 else np.full(3, -3.0)
        assert g(x) == pytest.approx(expected, rel=2 * ACCURACY[method], abs=ACCURACY[method])


def test_while_loop() -> None:
    def halved(x: Any) -> Any:
        while np.abs(x) > 1.0:
            x = 0.5 * x
        return x * x

    g = derivative(halved)
    assert [g(x) for x in (0.5, 3.0, 0.5, 10.0, 3.0)] == [1.0, 3 / 8, 1.0, 10 / 128, 3 / 8]


def test_newton_iteration() -> None:
    def root(a: Any) -> Any:
        x = a
        while abs(x * x - a) > 1e-14 * a:
            x = 0.5 * (x + a / x)
        return x

    assert derivative(root)(2.0) == pytest.approx(0.5 / math.sqrt(2.0), rel=1e-12)


def test_operators_nest_over_branches() -> None:
    def halved(x: Any) -> Any:
        while x > 1.0:
            x = 0.5 * x
        return x**3

    slope = derivative(halved)
    assert difflab.trace(slope, 3.0).guards  # traced as a whole, inside and out
    assert derivative(slope)(3.0) == pytest.approx(6 * 3.0 / 64)


def test_wrong_way_through_guards_may_fail() -> None:
    def f(x: Any) -> Any:
        if np.linalg.det(x) == 0.0:
            return np.sum(x)
        return np.sum(np.linalg.solve(x, np.ones(2)))

    g = gradient(f)
    regular = g(np.eye(2))
    near(g(np.zeros((2, 2))), np.ones((2, 2)))
    near(g(np.eye(2)), regular)


def test_boolean_masks() -> None:
    g = gradient(lambda x: np.sum(x[x > 0] ** 2))
    near(g(X), 2 * np.where(X > 0, X, 0.0))
    near(g(-X), 2 * np.where(X < 0, -X, 0.0))
    near(
        gradient(lambda x: np.sum(np.where(x > 0, x**2, np.sin(x))))(X),
        np.where(X > 0, 2 * X, np.cos(X)),
    )


FACTOR: Any = 2.0


def test_captured_variables_may_change() -> None:
    global FACTOR
    g = gradient(lambda x: FACTOR * np.sum(x))
    near(g(X), np.full(3, 2.0))
    FACTOR = 5.0
    near(g(X), np.full(3, 5.0))
    weight = np.ones(3)

    def f(x: Any) -> Any:
        return np.sum(weight * x)

    h = gradient(f)
    near(h(X), np.ones(3))
    weight = 2.0 * np.ones(3)
    near(h(X), 2.0 * np.ones(3))
    FACTOR = 2.0


# -- dtypes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["reverse", "forward", "symbolic", "central_difference"])
def test_float32_stays_float32(method: str) -> None:
    x = X.astype(np.float32)
    for f in (rosenbrock, lambda x: np.sum(np.tanh(x) * 2.0), lambda x: np.mean(np.exp(x) ** 2)):
        value, found = value_and_gradient(f, method=method)(x)
        assert value.dtype == found.dtype == np.float32
    assert jacobian(np.tanh, method=method)(x).dtype == np.float32
    assert hvp(rosenbrock, (x,), (np.ones(3, np.float32),)).dtype == np.float32


def test_python_numbers_and_scalars() -> None:
    assert type(derivative(np.sin)(0.0)) is np.float64
    assert derivative(np.sin)(np.float32(0.0)).dtype == np.float32
    assert gradient(lambda x, y: x * y)(np.float32(2.0), 3.0).dtype == np.float32


# -- memory and threads --------------------------------------------------------------------------


def test_results_share_no_memory() -> None:
    data = np.ones(3)
    functions: list[Callable[[Any], Any]] = [
        lambda x: x, lambda x: x.T, lambda x: x[::-1], lambda x: x.reshape(3, 1), lambda x: data,
        lambda x: (x, x), lambda x: [x + 1.0] * 2, lambda x: np.broadcast_to(x, (2, 3)),
        lambda x: (x + data, (x + data)[1:]),
    ]  # fmt: skip
    for f in functions:
        leaves = []
        x = X.copy()
        for result in (jacobian(f)(x), vjp(f, x)[0], *jvp(f, (x,), (x,))):
            leaves += result if isinstance(result, (tuple, list)) else [result]
        for i, leaf in enumerate(leaves):
            assert not np.shares_memory(leaf, x) and not np.shares_memory(leaf, data)
            assert not any(np.shares_memory(leaf, other) for other in leaves[:i])
    g = gradient(lambda x: np.sum(np.sin(x) ** 2 * x))
    first = g(X)
    kept = first.copy()
    g(2 * X)
    assert np.array_equal(first, kept)
    first[:] = 0.0
    assert np.array_equal(g(X), kept)


def test_threads_share_a_program() -> None:
    rng = np.random.default_rng(2)
    weights = rng.normal(size=(50, 50))
    g = gradient(lambda x: np.sum(np.tanh(weights @ x) ** 2 * np.cos(x)))
    points = rng.normal(size=(8, 50))
    expected = [g(x) for x in points]
    start = Barrier(8)

    def work(i: int) -> bool:
        start.wait()
        return all(np.array_equal(g(points[i]), expected[i]) for _ in range(200))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


def test_threads_trace_at_once() -> None:
    start = Barrier(8)

    def work(i: int) -> float:
        start.wait()
        return float(derivative(derivative(lambda x: np.sin((i + 1.0) * x)))(0.5))

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(work, range(8)))
    near(found, [-((i + 1.0) ** 2) * np.sin((i + 1.0) * 0.5) for i in range(8)], 16)


# -- errors: what, where, remedy -----------------------------------------------------------------


def refuse(call: Callable[[], Any], kind: type[DifflabError], *words: str) -> DifflabError:
    """The error of a call; its text says what, this file's line, and a remedy."""
    with pytest.raises(kind) as caught:
        call()
    text = str(caught.value)
    for word in (*words, "at test_operators.py:", "remedy: "):
        assert word in text, text
    return caught.value


def test_errors_say_what_where_and_remedy() -> None:
    refuse(lambda: gradient(np.sin)(X), ShapeError, "scalar output", "(3,)", "jacobian")
    refuse(lambda: gradient(lambda x: (x, x))(1.0), ShapeError, "2 arrays")
    refuse(lambda: value_and_gradient(lambda x: x * x)(X), ShapeError, "scalar output")
    refuse(lambda: gradient(np.sum)(np.arange(3)), ArgumentError, "integers", "astype(float)")
    refuse(lambda: derivative(np.sin)(2), ArgumentError, "the integer 2", "2.0")
    refuse(lambda: gradient(lambda x, n: x, argnums=1)(1.0, "n"), ArgumentError, "str")
    refuse(lambda: derivative(lambda x: np.sum(x))(X), ShapeError, "scalar argument", "gradient")
    refuse(lambda: gradient(lambda x: np.sum(x + np.ones(4)))(X), ShapeError, "(3,) and (4,)")
    refuse(lambda: jvp(np.sin, (X,), (np.ones(2),)), ShapeError, "tangent", "(2,)")
    refuse(lambda: vjp(np.sin, X)[1](np.ones(2)), ShapeError, "cotangent", "(2,)")
    refuse(lambda: hvp(rosenbrock, (X,), (np.ones((3, 1)),)), ShapeError, "(3, 1)")
    refuse(lambda: gradient(3.0), ArgumentError, "function", "f(x)")  # type: ignore[arg-type]


def test_unknown_names_have_a_nearest_one() -> None:
    refuse(lambda: gradient(rosenbrock, method="revers"), UnknownNameError, "'reverse'")
    refuse(lambda: gradient(rosenbrock, method="central"), UnknownNameError, "'central_difference'")
    refuse(lambda: gradient(rosenbrock, engine="nunpy"), UnknownNameError, "'numpy'")


def test_error_names_the_line_of_the_function() -> None:
    def f(x: Any) -> Any:
        y = x * 2.0
        return np.sum(y[:, None] + np.ones((4, 4)))  # this line

    error = refuse(lambda: gradient(f)(X), ShapeError)
    assert error.line is not None and "this line" in error.line.text


def swelling(x: Any) -> Any:
    for _ in range(12):
        x = 4.0 * x * (1.0 - x)
    return x


def test_symbolic_budget() -> None:
    few = Symbolic(operations=1000)
    error = refuse(lambda: derivative(swelling, method=few)(0.2), BudgetError, "1,000", "reverse")
    assert "operations" in error.what
    slow = Symbolic(seconds=1e-6)
    refuse(lambda: derivative(swelling, method=slow)(0.2), BudgetError, "seconds")
    near(derivative(swelling)(0.2), derivative(swelling, method="forward")(0.2), 1e6)


def test_complex_step_refuses_what_it_cannot_see() -> None:
    with pytest.raises(difflab.errors.UnsupportedError, match="not holomorphic"):
        gradient(lambda x: np.sum(np.arctan2(x, 2.0)), method="complex_step")(X)
    with pytest.raises(difflab.errors.UnsupportedError, match="cannot be nested"):
        derivative(derivative(np.sin, method="complex_step"), method="reverse")(1.0)


@pytest.mark.parametrize("method", [*METHODS])
def test_matrices_that_are_not_taken(method: str) -> None:
    singular, indefinite = np.ones((2, 2)), np.array([[1.0, 2.0], [2.0, 1.0]])
    if method not in ("symbolic", "central_difference"):  # formulas and points beside it do
        for f in (
            lambda a: np.sum(np.linalg.inv(a)),
            lambda a: np.sum(np.linalg.solve(a, np.ones(2))),
        ):
            error = refuse(lambda f=f: gradient(f, method=method)(singular), MatrixError, "solve")
            assert isinstance(error, np.linalg.LinAlgError)
            assert error.line is not None and "np.linalg" in error.line.text
    if method not in ("symbolic", "complex_step"):
        f = lambda a: np.sum(np.linalg.cholesky(a))
        refuse(lambda: gradient(f, method=method)(indefinite), MatrixError, "positive definite")


def test_a_matrix_that_the_derivative_alone_does_not_take() -> None:
    singular = np.ones((2, 2))
    log_det = lambda a: np.linalg.slogdet(a)[1]
    refuse(lambda: gradient(log_det)(singular), MatrixError, "solve", "inverted")
    refuse(lambda: trace(np.linalg.inv, np.eye(2))(singular), MatrixError, "solve")


def test_a_guard_that_meets_a_singular_matrix() -> None:
    def f(a: Any) -> Any:
        return np.sum(a) if np.linalg.inv(a)[0, 0] > 0 else np.sum(a**2)  # here

    g = gradient(f)
    near(g(np.eye(2)), np.ones((2, 2)))
    error = refuse(lambda: g(np.ones((2, 2))), MatrixError, "solve")
    assert error.line is not None and error.line.text.endswith("# here")


def test_a_singular_constant_is_the_users_own() -> None:
    with pytest.raises(np.linalg.LinAlgError) as caught:
        gradient(lambda x: x * np.linalg.inv(np.zeros((2, 2)))[0, 0])(1.0)
    assert not isinstance(caught.value, DifflabError)


def test_power_at_zero_and_below() -> None:
    n = np.arange(5.0)
    near(gradient(lambda x: np.sum(np.power(x, n)))(np.zeros(5)), [0.0, 1.0, 0.0, 0.0, 0.0])
    near(gradient(lambda x: np.sum(np.power(x, n)))(np.full(5, -2.0)), n * (-2.0) ** (n - 1.0))


def test_trace_is_public() -> None:
    assert trace(rosenbrock, X).check().operation_count() > 0


def test_guards_run_first() -> None:
    ran: list[str] = []

    def f(x: Any) -> Any:
        return np.sum(np.sqrt(x)) if x[0] > 0 else np.sum(x**2)

    g = gradient(f)
    g(np.ones(2)), g(-np.ones(2))
    for prepared in next(iter(g.programs.by_signature.values())):
        inner = prepared.run
        prepared.run = lambda *arrays, inner=inner, way=str(prepared.graph): (
            ran.append(way) or inner(*arrays)
        )
    near(g(np.full(2, 4.0)), np.full(2, 0.25))
    near(g(np.full(2, -4.0)), np.full(2, -8.0))
    assert len(ran) == len(set(ran)) == 2


def test_an_engine_is_known_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setitem(
        engines.ENGINES, "noting", lambda graph: given.append(graph) or compiled(graph)
    )
    for operator in (derivative, gradient, value_and_gradient, jacobian, hessian):
        for engine in ("auto", "numpy", "noting"):
            assert operator(lambda x: x**2, engine=engine)(1.0) is not None
        with pytest.raises(UnknownNameError, match="noting"):
            operator(np.sin, engine="noticing")
    given.clear()
    near(gradient(branching, engine="noting")(X), 2 * X)
    assert len(given) == 1 and not given[0].guards  # guards are asked as NumPy computes them


def test_a_prepared_program_is_public() -> None:
    prepared = hessian(rosenbrock).prepare(X)
    assert prepared.graph is not None and prepared.function is not None
    assert set(prepared.seconds) >= {"trace", "derive", "compile"}
    assert prepared.counts["derivative"] == prepared.graph.operation_count()
    np.testing.assert_array_equal(prepared(X), hessian(rosenbrock)(X))
    for other in (np.ones(4), X.astype(np.float32)):
        with pytest.raises(ArgumentError, match="prepared for other arguments"):
            prepared(other)
    weight = np.ones(3)
    held = gradient(lambda x: np.sum(weight * x)).prepare(X)
    near(held(X), np.ones(3))
    weight[:] = 2.0
    with pytest.raises(ArgumentError, match="has changed"):
        held(X)
    branch = gradient(branching).prepare(X)
    with pytest.raises(ArgumentError, match="prepared for other arguments"):
        branch(-X)
