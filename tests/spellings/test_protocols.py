"""Law: operators, methods and Python's protocols on traced arrays mean what they do in NumPy."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from difflab.ir.expr import Expr, evaluate
from difflab.ir.tree import flatten
from difflab.tracing.trace import trace

X = np.array([0.7, -1.3, 2.1])
A = np.array([[0.5, -2.0, 1.5], [3.0, 0.25, -0.75]])
F = X.astype(np.float32)
I = np.array([3, -2, 5])  # noqa: E741
B = np.array([True, False, True])


def same(f: Callable[..., Any], *args: Any) -> None:
    """The traced function gives NumPy's values, shapes and dtypes."""
    graph = trace(f, *args).check()
    arrays = [arg for arg in flatten((args, {}))[0] if isinstance(arg, (np.ndarray, float))]
    known = {x: np.asarray(a) for x, a in zip(graph.inputs, arrays, strict=True)}
    found, wide = evaluate(graph.outputs, known), args[0]
    for one, wanted in zip(found, flatten(f(*args))[0], strict=True):
        np.testing.assert_allclose(one, wanted, rtol=1e-6 if wide is F else 1e-15)
        if not isinstance(wanted, (int, float)) or isinstance(wanted, np.generic):
            assert (one.shape, one.dtype) == (np.shape(wanted), wanted.dtype)


OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b,
    "/": lambda a, b: a / b, "//": lambda a, b: a // b, "%": lambda a, b: a % b,
    "**": lambda a, b: abs(a) ** b, "divmod": divmod, "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b, ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b, "!=": lambda a, b: a != b,
}  # fmt: skip
OTHERS: dict[str, Any] = {
    "float": 2.5, "int": 2, "bool": True, "float64": np.float64(2.5), "float32": np.float32(2.5),
    "int64": np.int64(2), "int32": np.int32(2), "array": np.ones(3) * 1.5, "0-d": np.array(2.5),
    "float32 array": np.ones(3, np.float32) * 2, "column": np.full((2, 1), 1.5),
    "ints": np.array([1, 2, 3]),
}  # fmt: skip


@pytest.mark.parametrize("x", [X, F, I], ids=["float64", "float32", "int64"])
@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())
@pytest.mark.parametrize("operate", OPERATORS.values(), ids=OPERATORS.keys())
def test_operator(operate: Any, other: Any, x: Any) -> None:
    same(lambda y: operate(y, other), x)
    same(lambda y: operate(other, y), np.abs(x))


@pytest.mark.parametrize("x", [X, F], ids=["float64", "float32"])
@pytest.mark.parametrize(
    "f",
    [lambda x: -x, lambda x: +x, abs, lambda x: pow(x, 2), lambda x: x**2, lambda x: 2.0**x,
     lambda x: x - [1.0, 2.0, 3.0], lambda x: [1.0, 2.0, 3.0] * x, lambda x: (1, 2, 3) - x,
     lambda x: np.add.reduce(x), lambda x: np.maximum.reduce(x), lambda x: np.multiply.reduce(x),
     lambda x: np.add.accumulate(x), lambda x: np.multiply.outer(x, x),
     lambda x: np.subtract.outer(x, [1, 2]),
     lambda x: np.add.reduce(np.outer(x, x), axis=None), lambda x: np.logical_and.reduce(x > 0),
     lambda x: sum(x), lambda x: max(x), lambda x: min(x), lambda x: np.stack(sorted(x)),
     lambda x: [t * 2 for t in x], lambda x: np.stack(list(reversed(x))), lambda x: len(x) * x,
     lambda x: (lambda a, b, c: a * b - c)(*x), lambda x: x[0] + (x[0] if 0.0 in x else x[1]),
     lambda x: np.stack([round(t) for t in x]).round(), lambda x: x if any(x > 2) else -x,
     lambda x: x if all(x > 2) else -x, lambda x: np.float64(2) * x, lambda x: np.float32(2) * x,
     lambda x: np.ones(3) @ x, lambda x: x @ np.ones((3, 2)), lambda x: np.ones((2, 3)) @ x,
     lambda x: x @ x,
     lambda x: {"a": x, "b": (x[0], [x * 2])}, lambda x: (x > 0) & (x < 1) | ~(x < 2),
     lambda x: (x > 0) ^ True,
     lambda x: copy.copy(x) + copy.deepcopy(x), lambda x: x.shape[0] * x + x.ndim + x.size,
     lambda x: x * np.finfo(x.dtype).eps, lambda x: x / x.nbytes * x.itemsize],
)  # fmt: skip
def test_python_protocol(f: Any, x: Any) -> None:
    same(f, x)


METHODS: dict[str, Callable[[Any], Any]] = {
    "sum": lambda a: a.sum(), "sum0": lambda a: a.sum(0),
    "sum keep": lambda a: a.sum(axis=1, keepdims=True),
    "mean": lambda a: a.mean(-1), "var": lambda a: a.var(ddof=1), "std": lambda a: a.std(0),
    "prod": lambda a: a.prod(),
    "min": lambda a: a.min(), "max": lambda a: a.max(1), "argmax": lambda a: a.argmax(),
    "argmin": lambda a: a.argmin(0),
    "argsort": lambda a: a.argsort(), "all": lambda a: (a > 0).all(),
    "any": lambda a: (a > 0).any(0),
    "T": lambda a: a.T, "mT": lambda a: a.mT, "reshape": lambda a: a.reshape(3, 2),
    "reshape2": lambda a: a.reshape((3, -1)),
    "ravel": lambda a: a.ravel(), "ravelF": lambda a: a.ravel("F"),
    "flatten": lambda a: a.flatten(), "copy": lambda a: a.copy(),
    "astype": lambda a: a.astype(np.float32), "astype int": lambda a: a.astype(int),
    "dot": lambda a: a.dot(a.T),
    "transpose": lambda a: a.transpose(), "transpose10": lambda a: a.transpose(1, 0),
    "transpose()": lambda a: a.transpose((0, 1)),
    "swapaxes": lambda a: a.swapaxes(0, 1), "squeeze": lambda a: a[:1].squeeze(0),
    "clip": lambda a: a.clip(0, 1),
    "clip2": lambda a: a.clip(max=1.0), "round": lambda a: a.round(1),
    "cumsum": lambda a: a.cumsum(), "cumprod": lambda a: a.cumprod(1),
    "trace": lambda a: a.trace(), "diagonal": lambda a: a.diagonal(1),
    "take": lambda a: a.take([1, 0], axis=1),
    "repeat": lambda a: a.repeat(2, 0), "conj": lambda a: a.conj(), "real": lambda a: a.real,
    "nonzero": lambda a: a.nonzero(),
    "compress": lambda a: a.compress([True, False], axis=0),
    "searchsorted": lambda a: np.sort(a[1]).searchsorted(0.1),
}  # fmt: skip


@pytest.mark.parametrize("f", METHODS.values(), ids=METHODS.keys())
def test_method(f: Any) -> None:
    same(f, A)


# -- dtypes: NEP 50 --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "f",
    [lambda x, p: x * p, lambda x, p: p - x, lambda x, p: x * (2.0 * p),
    lambda x, p: x * (p**2 + 1),
     lambda x, p: x / -p, lambda x, p: x + (p + p) * 0.5, lambda x, p: np.maximum(x, p),
     lambda x, p: np.where(x > 0, x, p * 2),
     lambda x, p: x * np.sin(p)],
)  # fmt: skip
def test_python_floats_are_weak(f: Any) -> None:
    graph = trace(f, F, 0.5)
    assert graph.outputs[0].dtype == f(F, 0.5).dtype


def test_float32_stays() -> None:
    graph = trace(lambda x: np.mean(np.tanh(2 * x) ** 2 / 3.0 + math.pi) * 0.5, F)
    assert {x.dtype.name for x in graph.nodes if x.operands} == {"float32"}


# -- guards ----------------------------------------------------------------------------------------


def test_if_is_a_guard() -> None:
    def f(x: Any) -> Any:
        if x[0] > 0:
            return x * 2
        return -x

    graph = trace(f, X)
    (guard,) = graph.guards
    assert guard.expr.primitive.name == "greater"
    assert guard.value.dtype == bool
    assert guard.value
    (other,) = trace(f, -X).guards
    assert not other.value
    assert trace(f, -X).outputs[0].primitive.name == "negative"


def test_while_is_guarded_at_every_step() -> None:
    def halve(x: Any) -> Any:
        while x > 1.0:
            x = x / 2.0
        return x

    graph = trace(halve, 5.0)
    assert [bool(guard.value) for guard in graph.guards] == [True, True, True, False]
    assert evaluate(graph.outputs, {graph.inputs[0]: np.float64(5.0)}) == [0.625]


def test_what_asks_for_values_is_guarded() -> None:
    assert len(trace(lambda x: max(x), X).guards) == 2
    assert len(trace(lambda x: x[0] if 0.7 in x else x[1], X).guards) == 1
    assert len(trace(lambda x: x[int(np.argmax(x))], X).guards) == 1
    assert len(trace(lambda x: x * range(9)[np.argmax(x)], X).guards) == 1
    assert trace(lambda x: x if np.ones(3)[0] > 0 else -x, X).guards == ()


# -- trees and constants ---------------------------------------------------------------------------


def test_trees_of_parameters() -> None:
    parameters = {"W": [A, A.T], "b": (X[:2], 0.5)}

    def f(p: Any, x: Any) -> Any:
        return {"y": p["W"][0] @ x + p["b"][0] * p["b"][1], "n": len(p["W"])}

    graph = trace(f, parameters, X)
    names = [dict(x.params)["name"] for x in graph.inputs]
    assert names == ["p['W'][0]", "p['W'][1]", "p['b'][0]", "p['b'][1]", "x"]
    found = graph(A, A.T, X[:2], 0.5, X)
    np.testing.assert_allclose(found["y"], f(parameters, X)["y"])


@pytest.mark.parametrize(
    "f", [lambda x: 2.0, lambda x: np.ones(2), lambda x: (1, x, np.float32(3)), lambda x: True]
)
def test_constant_outputs(f: Any) -> None:
    same(f, X)


def test_functions_of_constants_stay_plain() -> None:
    seen: list[Any] = []

    def f(x: Any) -> Any:
        grid = np.linspace(0.0, 1.0, 3)
        seen.extend(
            [np.sin(grid), np.zeros_like(grid), np.zeros_like(x), x.shape, np.ones(x.shape)]
        )
        return x * grid

    graph = trace(f, X)
    assert not any(isinstance(value, Expr) for value in seen)
    assert graph.operation_count() == 3


def test_a_copy_may_be_changed_in_place() -> None:
    def f(x: Any) -> Any:
        y = x.copy()
        y += 1.0
        z = x * 2.0
        z *= y
        total = 0.0
        for t in x:
            total += t
        return y * x + z + total

    same(f, X)
