"""Instances and targets as users give them: read, checked and converted once.

What flows: anything that NumPy makes an array of goes in; a float matrix of inputs and a float
matrix of targets, one row an instance, come out. The invariant: what comes out is finite, of the
network's dtype, and fits its first and last layer.

>>> targets(np.array([2, 0]), 3, np.dtype("float64"))
array([[0., 0., 1.],
       [1., 0., 0.]])
"""

from __future__ import annotations

from typing import Any

import numpy as np

from difflab.errors import ArgumentError, DomainError, ShapeError
from difflab.networks.layers import Array, Layer
from difflab.networks.losses import CrossEntropy, Loss


def read_inputs(X: Any, layer: Layer, dtype: np.dtype[Any]) -> Array:
    """The instances, as rows of the network's dtype."""
    found = _floats("X", X, dtype)
    if found.ndim != 2:
        raise ShapeError(
            f"X has shape {found.shape}, but one row an instance is needed",
            "pass X.reshape(1, -1) for one instance, X.reshape(len(X), -1) for images",
        )
    if found.shape[1] != layer.inputs:
        raise ShapeError(
            f"X has {found.shape[1]} columns, but the network has inputs={layer.inputs}",
            f"use Network(inputs={found.shape[1]}), or choose {layer.inputs} columns of X",
        )
    return found


def read_targets(y: Any, count: int, layer: Layer, loss: Loss, dtype: np.dtype[Any]) -> Array:
    """The targets of `count` instances, as rows as wide as the last layer."""
    found = _floats("y", y, dtype)
    if len(found) != count:
        raise ShapeError(f"X has {count} rows, but y has {len(found)}", "give one y for each row")
    if found.ndim > 2 or found.shape[1:] not in ((), (layer.units,)):
        raise ShapeError(
            f"y has shape {found.shape}, but the last layer has {layer.units} units",
            f"pass labels of shape ({count},), or targets of shape ({count}, {layer.units})",
        )
    if found.ndim == 1 and layer.units > 1:
        _check_labels(found, layer.units)
    rows: Array = targets(found, layer.units, dtype)
    if isinstance(loss, CrossEntropy):
        _check_probabilities(rows, layer)
    return rows


def targets(y: Any, units: int, dtype: np.dtype[Any]) -> Any:
    """Labels as unit vectors, one number an instance as a column; plain NumPy, traceable."""
    if y.ndim == 2:
        return y
    column = y[:, None]
    return (column if units == 1 else column == np.arange(units)).astype(dtype)


def _floats(name: str, given: Any, dtype: np.dtype[Any]) -> Array:
    try:
        found = np.asarray(given)
    except ValueError as error:  # rows of different lengths
        raise ShapeError(f"{name} is no array: {error}", "give rows of equal length") from None
    if found.dtype.kind not in "fiub":
        text = "encode classes with np.unique(y, return_inverse=True)[1]"
        raise ArgumentError(
            f"{name} is an array of {found.dtype}; numbers are needed",
            text if name == "y" else "convert it to floats",
        )
    if found.ndim == 0 or found.size == 0:
        raise ShapeError(f"{name} is empty (shape {found.shape})", "give at least one instance")
    with np.errstate(over="ignore"):  # a float32 network may not hold a float64 number
        found = np.ascontiguousarray(found, dtype)
    bad = int(np.count_nonzero(~np.isfinite(found)))
    if bad:
        raise DomainError(
            f"{bad} of {found.size} numbers of {name} are NaN or infinite in {dtype}",
            "leave such rows out, or impute them",
        )
    return found


def _check_labels(labels: Array, units: int) -> None:
    wrong = labels[(labels != np.floor(labels)) | (labels < 0) | (labels >= units)]
    if wrong.size:
        raise DomainError(
            f"y has the label {wrong[0]:g}, but the last layer's {units} units stand for the"
            f" labels 0 to {units - 1}",
            "make the last layer as wide as there are classes, and encode them with"
            " np.unique(y, return_inverse=True)[1]",
        )


def _check_probabilities(rows: Array, layer: Layer) -> None:
    wrong = rows[(rows < 0.0) | (rows > 1.0)]
    if wrong.size:
        raise DomainError(
            f"y has the value {wrong[0]:g}, which is no probability",
            "cross-entropy takes labels, or targets from 0 to 1; use SquaredError() for others",
        )
    if layer.activation == "softmax" and np.any(np.abs(rows.sum(axis=1) - 1.0) > 1e-3):
        raise DomainError("the targets of a softmax do not sum to 1", "divide each row by its sum")
