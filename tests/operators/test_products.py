"""Law: jvp, vjp and hvp are products with the Jacobian and the Hessian, by every method."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import difflab
from difflab import gradient, hessian, hvp, jacobian, jvp, vjp
from difflab.errors import ArgumentError, ShapeError, UnknownNameError
from difflab.methods import METHODS
from difflab.operators import products
from difflab.operators.programs import FUNCTIONS

from ..opaque import by_bytes

X = np.array([0.7, -1.3, 2.1])
V = np.array([1.0, -2.0, 0.5])
BAND = {"forward_difference": 1e-5, "backward_difference": 1e-5, "central_difference": 1e-6,
        "richardson": 1e-9}  # fmt: skip


def f(x: Any) -> Any:
    return np.stack([np.sum(x**3), np.exp(x[0]) * x[1], np.tanh(x[2])])


def scalar(x: Any) -> Any:
    return np.sum(x**3) * x[0]


def called(x: Any) -> float:
    """Not traceable."""
    x = by_bytes(x)
    return math.exp(float(x[0])) * float(x[1]) + float(x[2])


def branching(x: Any) -> Any:
    return np.sum(x**2) if x[0] > 0 else np.sum(-3.0 * x)


@pytest.mark.parametrize("method", [*METHODS])
def test_products_by_every_method(method: str) -> None:
    near: Callable[..., None] = lambda found, expected, slack=1.0: np.testing.assert_allclose(
        found, expected, rtol=slack * BAND.get(method, 1e-13), atol=slack * BAND.get(method, 1e-13)
    )
    matrix = jacobian(f)(X)
    value, tangent = jvp(f, (X,), (V,), method=method)
    near(value, f(X))
    near(tangent, matrix @ V, 10.0)
    near(jvp(f, (X,), (1e-6 * V,), method=method)[1], 1e-6 * (matrix @ V))
    value, pull = vjp(f, X, method=method)
    near(value, f(X))
    near(pull(V)[0], V @ matrix, 10.0)
    twice = 1e-13 if method in ("reverse", "forward", "symbolic") else 1e-3
    np.testing.assert_allclose(
        hvp(scalar, (X,), (V,), method=method), hessian(scalar)(X) @ V, rtol=twice, atol=twice
    )


@pytest.mark.parametrize("method", [*METHODS])
def test_products_by_every_method_follow_branches(method: str) -> None:
    band = 10 * BAND.get(method, 1e-13)
    for x in (X, -X, X):
        expected = gradient(branching)(x)
        assert jvp(branching, (x,), (V,), method=method)[1] == pytest.approx(expected @ V, abs=band)
        assert vjp(branching, x, method=method)[1](1.0)[0] == pytest.approx(expected, abs=band)


@pytest.mark.parametrize("method", BAND)
def test_products_of_a_function_that_is_called(method: str) -> None:
    expected = np.array([math.exp(0.7) * -1.3, math.exp(0.7), 1.0])
    assert jvp(called, (X,), (V,), method=method)[1] == pytest.approx(expected @ V, rel=1e-5)
    value, pull = vjp(called, X, method=method)
    assert value == pytest.approx(called(X))
    assert pull(2.0)[0] == pytest.approx(2.0 * expected, rel=1e-5)
    with pytest.raises(difflab.errors.DifflabError):
        jvp(called, (X,), (V,))


def test_argnums_of_products() -> None:
    def g(x: Any, n: int, y: Any) -> Any:
        return np.sum(x**n) * y["a"] ** 2

    point = (X, 2, {"a": 3.0})
    assert jvp(g, point, (V,), argnums=0)[1] == pytest.approx(18.0 * (X @ V))
    both = jvp(g, point, ({"a": 0.5}, V), argnums=(2, 0))[1]
    assert both == pytest.approx(18.0 * (X @ V) + 3.0 * np.sum(X**2))
    for method in ("reverse", "forward", "central_difference"):
        found = vjp(g, *point, argnums=(2, 0), method=method)[1](1.0)
        assert found[0]["a"] == pytest.approx(6.0 * np.sum(X**2))
        assert found[1] == pytest.approx(18.0 * X)
        assert vjp(g, *point, argnums=-1, method=method)[1](1.0)[0]["a"] == found[0]["a"]
    every = vjp(g, *point)[1](1.0)
    assert every[1] is None and every[0] == pytest.approx(18.0 * X)
    assert hvp(g, point, (V,), argnums=0) == pytest.approx(18.0 * V)
    (own,) = hvp(g, point, (V,), argnums=(0,))
    assert own == pytest.approx(18.0 * V)
    with pytest.raises(ArgumentError, match="integer 2"):
        vjp(g, *point, argnums=1)
    with pytest.raises(ShapeError, match="another tree"):
        jvp(g, point, (V, V), argnums=0)


def test_products_take_engines_by_name() -> None:
    for engine in ("auto", "numpy"):
        assert jvp(np.sin, (0.0,), (2.0,), engine=engine)[1] == 2.0
        assert vjp(np.sin, 0.0, engine=engine)[1](2.0) == (2.0,)
        assert hvp(np.sin, (0.0,), (2.0,), engine=engine) == 0.0
    for call in (
        lambda: jvp(np.sin, (0.0,), (1.0,), engine="nunpy"),
        lambda: vjp(np.sin, 0.0, engine="nunpy"),
        lambda: hvp(np.sin, (0.0,), (1.0,), engine="nunpy"),
        lambda: hvp(np.sin, (0.0,), (1.0,), method="revers"),
    ):
        with pytest.raises(UnknownNameError, match="did you mean"):
            call()


def test_a_pullback_holds_what_the_run_has_left() -> None:
    weights, seen = np.ones(2000), []

    def g(x: Any) -> Any:
        seen.append(1)
        return np.sum(weights * np.sin(x) ** 2)

    x = np.linspace(0.0, 1.0, 2000)
    expected = np.sin(2 * x)
    _, pull = vjp(g, x)
    calls = len(seen)
    x[:], weights[:] = 5.0, 7.0
    np.testing.assert_allclose(pull(1.0)[0], expected)
    np.testing.assert_allclose(pull(2.0)[0], 2.0 * expected)
    assert len(seen) == calls
    operator = products._recent.get(products.Pulled, g, None, "reverse", "auto")
    (prepared,) = next(iter(operator.programs.by_signature.values()))
    assert "sin" in str(prepared.graph)
    first, second = pull(1.0)[0], pull(1.0)[0]
    first[:] = 0.0
    assert np.all(second[1:] > 0.0)


@pytest.mark.parametrize("method", ["reverse", "forward"])
def test_pullbacks_inside_traces(method: str) -> None:
    def slope(x: Any, ct: Any) -> Any:
        return np.sum(vjp(f, x, method=method)[1](ct)[0] ** 2)

    matrix = jacobian(f)(X)
    found = gradient(slope, argnums=1)(X, V)
    np.testing.assert_allclose(found, 2.0 * matrix @ (V @ matrix), rtol=1e-12)
    _, pull = vjp(f, X, method=method)  # made outside, pulled inside
    np.testing.assert_allclose(jacobian(lambda ct: pull(ct)[0])(V), matrix.T, rtol=1e-13)


def test_what_is_kept_for_functions_is_bounded() -> None:
    for n in range(2 * FUNCTIONS):
        assert jvp(lambda x, n=n: n * x, (1.0,), (1.0,))[1] == n
    assert len(products._recent._made) <= FUNCTIONS


def test_bound_methods_are_known_again() -> None:
    class Model:
        traced = 0

        def loss(self, x: Any) -> Any:
            Model.traced += 1
            return np.sum(x**2)

    model = Model()
    jvp(model.loss, (X,), (V,))
    traced = Model.traced
    assert jvp(model.loss, (2 * X,), (V,))[1] == 4 * X @ V
    assert Model.traced == traced
