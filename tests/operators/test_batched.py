"""Batches of points, and dataclasses as trees, against calls point by point."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pytest

import difflab
from difflab import batch, derivative, gradient, jacobian
from difflab.accuracy.zoo import ZOO
from difflab.errors import ArgumentError, DifflabError, ShapeError, UnsupportedError
from difflab.ir.tree import flatten, paths, unflatten

POINTS = np.random.default_rng(0).normal(size=(5, 3))


def f(x: Any) -> Any:
    return np.sum(np.sin(x) ** 2) * x[0]


def branching(x: Any) -> Any:
    return x if x > 0 else 2 * x


@pytest.mark.parametrize("name", ZOO)
def test_every_zoo_function_in_a_batch_is_itself_at_each_point(name: str) -> None:
    function = ZOO[name]
    args = [flatten(point.args) for point in function.points]
    alike = [leaves for leaves, tree in args if tree == args[0][1]
             and [np.shape(x) for x in leaves] == [np.shape(x) for x in args[0][0]]]  # fmt: skip
    stacked = unflatten(args[0][1], [np.stack(column) for column in zip(*alike, strict=True)])
    with np.errstate(all="ignore"):
        singles = [function.f(*unflatten(args[0][1], leaves)) for leaves in alike]
        try:
            found = batch(function.f)(*stacked)
        except DifflabError as error:
            assert "other shapes" in str(error)
            return
    for k, single in enumerate(singles):
        parts, _ = flatten(found)
        for part, right in zip(parts, flatten(single)[0], strict=True):
            scale = np.max(np.abs(right), initial=1e-300, where=np.isfinite(right))
            np.testing.assert_allclose(part[k], right, rtol=1e-9, atol=1e-9 * scale)


def test_batches_nest_with_derivatives_both_ways() -> None:
    rows = np.stack([gradient(f)(x) for x in POINTS])
    np.testing.assert_array_equal(batch(gradient(f))(POINTS), rows)
    whole = jacobian(batch(f))(POINTS)
    assert whole.shape == (5, 5, 3)
    for k in range(5):
        np.testing.assert_allclose(whole[k, k], rows[k], rtol=1e-14)
        assert not np.any(np.delete(whole[k], k, 0))
    twice = batch(batch(np.square))(POINTS)
    np.testing.assert_array_equal(twice, POINTS**2)
    total = gradient(lambda x: np.sum(batch(f)(x)))(POINTS)
    np.testing.assert_allclose(total, rows, rtol=1e-14)


def test_axes_trees_and_keywords() -> None:
    def model(p: Any, x: Any, scale: Any = 1.0) -> Any:
        return {"y": p["w"] @ x * scale, "n": np.sum(x)}

    p, xs = {"w": np.ones(3)}, POINTS.T
    found = batch(model, axes=(None, 1))(p, xs, scale=2.0)
    np.testing.assert_allclose(found["y"], 2 * POINTS.sum(1))
    assert found["n"].shape == (5,)
    np.testing.assert_allclose(batch(model, axes=(None, -1))(p, xs)["y"], POINTS.sum(1))


def test_branches_and_what_cannot_be_traced_go_point_by_point() -> None:
    x = np.array([1.0, -1.0, 2.0])
    for _ in range(2):
        np.testing.assert_array_equal(batch(branching)(x), [1.0, -2.0, 2.0])
    np.testing.assert_array_equal(batch(derivative(branching))(x), [1.0, 2.0, 1.0])
    bits = batch(lambda x: x.view(np.int64) * 1.0)(x)
    np.testing.assert_array_equal(bits, x.view(np.int64))
    with pytest.raises(UnsupportedError, match="branches"):
        gradient(lambda x: np.sum(batch(branching)(x)))(x)


def test_what_a_function_reads_is_followed() -> None:
    scale = {"by": 2.0}
    made = batch(lambda x: x * scale["by"])
    np.testing.assert_array_equal(made(np.ones(2)), [2.0, 2.0])
    scale["by"] = 3.0
    np.testing.assert_array_equal(made(np.ones(2)), [3.0, 3.0])
    np.testing.assert_array_equal(copy.deepcopy(made)(np.ones(3)), [3.0] * 3)


@pytest.mark.parametrize(
    ("axes", "args", "error"),
    [
        (0, (np.zeros((0, 3)),), ShapeError),
        (0, (1.0,), ShapeError),
        (0, (np.ones(2), np.ones(3)), ShapeError),
        (None, (np.ones(2),), ArgumentError),
        ((0, 0), (np.ones(2),), ArgumentError),
        (("0",), (np.ones(2),), ArgumentError),
        (2, (np.ones((2, 2)),), ShapeError),
    ],
)
def test_bad_batches_are_refused(axes: Any, args: Any, error: Any) -> None:
    with pytest.raises(error):
        batch(lambda *x: x[0], axes)(*args)


def test_results_of_several_shapes_are_refused() -> None:
    with pytest.raises(ShapeError, match="other shapes"):
        batch(lambda x: np.ones(2) if x > 0 else np.ones(3))(np.array([1.0, -1.0]))


# -- trees -----------------------------------------------------------------------------------------


@dataclass
class Layer:
    weight: Any
    bias: float


@dataclass(frozen=True)
class Model:
    layers: list[Layer]
    name: str = "model"
    depth: int = field(default=2, init=False)


class Pair(NamedTuple):
    a: Any
    b: float


def energy(model: Model) -> Any:
    assert isinstance(model, Model) and model.name == "model" and model.depth == 2
    return sum(np.sum(layer.weight**2) * layer.bias for layer in model.layers)


def test_dataclasses_are_trees() -> None:
    layers = [Layer(np.array([1.0, 2.0]), 3.0), Layer(np.array([4.0]), 5.0)]
    leaves, structure = flatten(layers)
    assert paths(structure) == ["[0].weight", "[0].bias", "[1].weight", "[1].bias"]
    again = unflatten(structure, leaves)
    assert again[1].weight is layers[1].weight and again[0] is not layers[0]

    found = gradient(lambda parts: energy(Model(parts)))(layers)
    assert isinstance(found[0], Layer)
    np.testing.assert_array_equal(found[0].weight, [6.0, 12.0])
    assert found[1].bias == 16.0
    wrong = difflab.check(lambda p: p.bias**2, Layer(1.0, 2.0), gradient=lambda p: Layer(0.0, 1.0))
    assert [c.name for c in wrong.components if c.verdict == "wrong"] == ["p.bias"]
    assert difflab.truth(lambda p: p.a * p.b, Pair(2.0, 3.0)).midpoint == Pair(3.0, 2.0)


def test_a_dataclass_with_texts_is_an_argument_beside_others() -> None:
    model = Model([Layer(np.array([1.0]), 2.0)])
    found = gradient(lambda x, model: x * energy(model))(3.0, model)
    assert found == 2.0
    model.layers[0].bias = 5.0
    assert gradient(lambda x, model: x * energy(model))(3.0, model) == 5.0


def test_a_dataclass_that_holds_more_than_its_fields_stays_whole() -> None:
    layer = Layer(1.0, 2.0)
    layer.extra = 3.0  # type: ignore[attr-defined]
    assert flatten(layer)[0] == [layer]
    assert flatten(Layer)[0] == [Layer]
