"""Estimates of gradients, Jacobians and Hessians by calls alone: shapes, honesty over the zoo."""

from __future__ import annotations

import math

import numpy as np
import pytest

import difflab
from difflab.accuracy.estimate import estimate
from difflab.accuracy.zoo import ZOO
from difflab.errors import ArgumentError, DomainError
from difflab.ir.tree import flatten

from ..opaque import opaque


def flat(tree):
    return np.concatenate([np.ravel(leaf) for leaf in flatten(tree)[0]])


def ordinary_cases(largest):
    for name, entry in ZOO.items():
        for k, point in enumerate(entry.points):
            if point.kind == "ordinary" and flat(point.args).size <= largest:
                yield name, k, entry.f, point.args


def graded(order, largest):
    """The component's error, its band and the truth, and evaluations a line."""
    errors, bands, truths, counts = [], [], [], []
    for _, _, f, args in ordinary_cases(largest):
        found = estimate(opaque(f), *args, argnums=None, order=order)
        true = flat(difflab.truth(f, *args, argnums=None, order=order).midpoint)
        errors.append(np.abs(flat(found.value) - true))
        bands.append(flat(found.error))
        truths.append(true)
        n = flat(args).size
        counts.append(found.evaluations / (n if order == 1 else n * (n + 1) / 2))
    return *(np.concatenate(part) for part in (errors, bands, truths)), np.array(counts)


@pytest.mark.parametrize(("order", "largest", "accuracy"), [(1, 12, 1e-12), (2, 3, 1e-10)])
def test_the_bands_over_the_zoo_are_honest_and_tight(order, largest, accuracy):
    errors, bands, truths, counts = graded(order, largest)
    assert np.mean((errors <= bands) | np.isinf(bands)) >= 0.99
    assert np.mean(np.isinf(bands)) <= 0.02
    some = (truths != 0.0) & np.isfinite(bands)
    floor = np.maximum(errors, 0.5 * np.spacing(np.abs(truths)))[some]
    assert np.median(bands[some] / floor) < 30.0
    assert np.median(errors[some] / np.abs(truths[some])) < accuracy
    assert np.median(counts) <= 30  # numdifftools takes 31 for a line


def test_hard_points_edges_and_kinks_of_the_zoo_are_honest():
    honest = []
    for entry in ZOO.values():
        for point in entry.points:
            if point.kind == "ordinary" or flat(point.args).size > 3:
                continue
            found = estimate(opaque(entry.f), *point.args, argnums=None)
            enclosure = difflab.truth(entry.f, *point.args, argnums=None)
            true, value, band = map(flat, (enclosure.midpoint, found.value, found.error))
            inside = (np.abs(value - true) <= band) | np.isinf(band)
            honest.append(np.all(inside | (np.isnan(true) & bool(found.kinks))))
    assert len(honest) > 60
    assert np.mean(honest) >= 0.97  # bisection and a root that cancels to nothing


def test_kinks_of_the_zoo_are_told():
    for entry in ZOO.values():
        for point in entry.points:
            if point.kind == "kink" and flat(point.args).size <= 4:
                assert estimate(opaque(entry.f), *point.args, argnums=None).kinks, entry.name


def test_shapes_are_those_of_the_operators():
    weights = {"b": np.array([0.5, -1.0]), "w": np.array([[1.0, 2.0], [3.0, 4.0]])}
    y = np.array([0.3, 0.7])

    def model(p, y):
        return np.tanh(p["w"] @ y + p["b"])

    found = estimate(opaque(model), weights, y, argnums=(0, 1))
    exact = difflab.jacobian(model, argnums=(0, 1))(weights, y)
    assert np.allclose(flat(found.value), flat(exact), rtol=1e-10, atol=1e-12)
    assert flatten(found.value)[1] == flatten(exact)[1] == flatten(found.error)[1]

    def loss(p, y):
        return np.sum(model(p, y) ** 2)

    second = estimate(opaque(loss), weights, y, order=2)
    exact = difflab.hessian(loss)(weights, y)
    assert flatten(second.value)[1] == flatten(exact)[1]
    leaves = zip(flatten(second.value)[0], flatten(exact)[0], strict=True)
    assert all(np.shape(a) == np.shape(b) and np.allclose(a, b, atol=1e-7) for a, b in leaves)


def test_scalars_and_python_floats():
    found = estimate(math.exp, 1.0)
    assert np.shape(found.value) == () == np.shape(found.error)
    assert estimate(lambda x: 2.0 * float(x[0]) * float(x[1]), np.ones(2)).value.shape == (2,)
    assert estimate(lambda x: [x, (x * x,)], 3.0).value[1][0] == pytest.approx(6.0, rel=1e-12)


def test_outputs_share_evaluations():
    calls = []

    def f(x):
        calls.append(1)
        return np.sin(np.outer(x, x))

    found = estimate(f, np.array([0.3, 0.8, -1.1]))
    assert found.value.shape == (3, 3, 3)
    assert found.evaluations == len(calls) <= 3 * 40


def test_float32_arguments_are_widened_where_the_function_allows():
    x = np.array([0.3, 1.7], np.float32)
    exact = np.cos(x.astype(np.float64))
    wide = estimate(lambda x: np.sum(np.sin(x)), x)
    assert np.all(np.abs(wide.value - exact) <= wide.error) and np.all(wide.error < 1e-11)

    def strict(x):
        if x.dtype != np.float32:
            raise TypeError("float32 only")
        return np.sum(np.sin(x))

    narrow = estimate(strict, x)
    assert np.all(np.abs(narrow.value - exact) <= narrow.error) and np.all(narrow.error < 1e-2)
    cast = estimate(lambda x: np.sum(np.sin(np.asarray(x, np.float32))), x.astype(np.float64))
    assert np.all(np.abs(cast.value - exact) <= cast.error) and np.all(cast.error > 1e-8)


def test_one_sided_components_and_kinks_are_named():
    found = estimate(
        lambda p: p["a"][1] ** 1.5 + abs(p["b"]), {"a": np.array([1.0, 0.0]), "b": 0.0}
    )
    assert found.one_sided == ("p['a'][1]",)
    (kink,) = found.kinks
    assert (kink.component, kink.left, kink.right, kink.jump) == ("p['b']", -1.0, 1.0, False)
    text = str(found)
    assert "p['a'][1]: only one side lies in the domain" in text
    assert "kink in p['b']: -1.0 from the left, 1.0 from the right" in text


def test_a_step_never_leaves_the_domain_unnoticed():
    def guarded(x):
        if x < 0.0:
            raise ValueError("negative")
        return math.sqrt(x) * math.cos(x)

    for x in (1e-9, 1e-3, 2.0):
        found = estimate(guarded, x)
        exact = 0.5 * math.cos(x) / math.sqrt(x) - math.sqrt(x) * math.sin(x)
        assert abs(found.value - exact) <= found.error < 1e-6 * abs(exact)


def test_what_cannot_be_differentiated_is_refused():
    with pytest.raises(DomainError, match="raised at the point"):
        estimate(math.log, -1.0)
    with pytest.raises(DomainError, match="NaN"):
        estimate(math.exp, math.nan)
    with pytest.raises(ArgumentError, match="integer"):
        estimate(lambda n: n * 2.0, 3)
    with pytest.raises(ArgumentError, match="order 3"):
        estimate(math.exp, 1.0, order=3)


def test_other_errors_of_the_function_are_not_hidden():
    with pytest.raises(KeyError):
        estimate(lambda x: {}["missing"], 1.0)
