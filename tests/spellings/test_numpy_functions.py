"""Law: a traced NumPy call computes what NumPy computes, and its two derivative maps are adjoint.

Every function in SPELLINGS is held to it; one without a case fails
`test_every_function_has_a_case`.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from difflab.engines import compile as compiled
from difflab.ir.expr import Graph, constant, evaluate
from difflab.ir.protocols import SPELLINGS
from difflab.ir.tree import flatten, unflatten
from difflab.readings.cotangents import pullback
from difflab.readings.tangents import pushforward
from difflab.table.identities import simplify
from difflab.tracing.trace import trace

from . import numpy_cases_arrays
from .numpy_cases import CASES, LACKING, A, Case, plain

assert numpy_cases_arrays
ALL_CASES = [case for cases in CASES.values() for case in cases]
ULPS = 32


def _numpy(case: Case, arguments: Any) -> list[Any]:
    """What NumPy answers, as a list of arrays."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [np.asarray(leaf) for leaf in flatten(case.call(*arguments))[0]]


def _as_float32(tree: Any) -> Any:
    leaves, structure = flatten(tree)
    return unflatten(structure, [
        leaf.astype(np.float32) if getattr(leaf, "dtype", None) == np.float64 else leaf
        for leaf in leaves
    ])  # fmt: skip


def _arrays(arguments: Any) -> list[Any]:
    return [leaf for leaf in flatten((arguments, {}))[0] if isinstance(leaf, np.ndarray)]


def _agrees(found: Any, expected: Any, unit: Any) -> None:
    found = np.asarray(found)
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    if expected.dtype.kind != "f":
        np.testing.assert_array_equal(found, expected)
        return
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(np.where(finite, 0, expected), np.where(finite, 0, found))
    scale = np.max(np.abs(expected), where=finite, initial=1.0)
    with np.errstate(invalid="ignore"):
        worst = np.max(np.abs(found - expected) / scale, where=finite, initial=0.0)
    assert worst <= ULPS * np.finfo(unit).eps


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", ALL_CASES, ids=lambda case: case.name)
def test_values(case: Case, dtype: str) -> None:
    arguments = case.args if dtype == "float64" else _as_float32(case.args)
    expected = _numpy(case, arguments)
    graph = trace(case.call, *arguments).check()
    arrays = _arrays(arguments)
    known = dict(zip(graph.inputs, arrays, strict=True))
    with np.errstate(all="ignore"):
        answers = [
            evaluate(graph.outputs, known),
            compiled(graph)(*arrays)[: len(graph.outputs)],
            compiled(simplify(graph).check())(*arrays)[: len(graph.outputs)],
        ]
    for found in answers:
        for one, wanted in zip(found, expected, strict=True):
            _agrees(one, wanted, dtype)


def _derivatives(
    graph: Graph, arrays: list[Any]
) -> tuple[list[Any], list[Any], list[Any], list[Any]]:
    """Directions v, tangents Jv, weights w and cotangents J'w; zeros spelt out."""
    random = np.random.default_rng(0)
    inputs = [x for x in graph.inputs if x.differentiable]
    outputs = [y for y in graph.outputs if y.differentiable]
    v = [random.normal(size=x.shape) for x in inputs]
    w = [random.normal(size=y.shape) for y in outputs]
    tangents = pushforward(outputs, inputs, [constant(a, np.float64) for a in v])
    cotangents = pullback(outputs, [constant(a, np.float64) for a in w], inputs)
    values = []
    for nodes, like in ((tangents, outputs), (cotangents, inputs)):
        zeros = [
            constant(np.zeros(x.shape)) if n is None else n
            for n, x in zip(nodes, like, strict=True)
        ]
        assert [z.shape for z in zeros] == [x.shape for x in like]
        values.append(evaluate(zeros, dict(zip(graph.inputs, arrays, strict=True))))
    return v, values[0], w, values[1]


def _smooth(case: Case) -> bool:
    """Whether inputs and outputs are float64, finite and away from kinks."""
    arrays = _arrays(case.args)
    found = [*_numpy(case, case.args), *arrays]
    floats = [a for a in found if a.dtype == np.float64]
    return (
        case.smooth
        and len(floats) > 0
        and all(a.dtype != np.float32 and np.all(np.isfinite(a)) for a in found)
    )


@pytest.mark.parametrize(
    "case", [case for case in ALL_CASES if _smooth(case)], ids=lambda case: case.name
)
def test_derivatives(case: Case) -> None:
    graph, arrays = trace(case.call, *case.args), _arrays(case.args)
    v, jv, w, jtw = _derivatives(graph, arrays)
    left = sum(np.vdot(a, b) for a, b in zip(jv, w, strict=True))
    right = sum(np.vdot(a, b) for a, b in zip(v, jtw, strict=True))
    size = sum(
        np.sum(np.abs(a * b)) for a, b in [*zip(jv, w, strict=True), *zip(v, jtw, strict=True)]
    )
    assert abs(left - right) <= 1e-13 * size

    # Against central differences, which know nothing of the graph.
    step = 1e-6
    directions = iter(v)
    moves = [next(directions) if a.dtype.kind == "f" else None for a in arrays]
    ends = []
    leaves, structure = flatten(case.args)
    for h in (step, -step):
        pending = iter(zip(arrays, moves, strict=True))
        moved = [
            (lambda a, d: a if d is None else a + h * d)(*next(pending))
            if isinstance(leaf, np.ndarray)
            else leaf
            for leaf in leaves
        ]
        found = _numpy(case, unflatten(structure, moved))
        ends.append([y for y in found if y.dtype.kind == "f"])
    for tangent, ahead, behind in zip(jv, *ends, strict=True):
        slope = (ahead - behind) / (2 * step)
        scale = 1.0 + np.max(np.abs(slope), initial=0.0) + np.max(np.abs(ahead), initial=0.0)
        assert np.max(np.abs(slope - tangent), initial=0.0) <= 1e-6 * scale


def _public(function: Any) -> bool:
    return (
        any(function in vars(module).values() for module in (np, np.linalg)) or function in LACKING
    )


def test_every_function_has_a_case() -> None:
    tested = {*CASES, *(function for function, _ in plain())}
    spelled = {f for f in SPELLINGS if callable(f) and _public(f)}
    assert sorted(f.__name__ for f in spelled - tested) == []


@pytest.mark.parametrize(
    ("function", "call"), list(plain()), ids=lambda f: getattr(f, "__name__", "")
)
def test_what_is_known_without_values(function: Any, call: Any) -> None:
    seen: list[Any] = []

    def f(x: Any) -> Any:
        seen.append(call(x))
        return x

    trace(f, A)
    assert seen[0] == call(A)
    assert type(seen[0]) is type(call(A))
