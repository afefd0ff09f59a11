"""The functions that NumPy lacks: plain NumPy on arrays, one node inside a traced function.

Each is written for its digits: no overflow, no cancellation, at most about 2 ulps anywhere in
float64.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from difflab.ir.row import Lacking

_erf = np.frompyfunc(math.erf, 1, 1)


@Lacking
def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x)), elementwise; never overflows.

    >>> from difflab import sigmoid
    >>> float(sigmoid(0.0)), float(sigmoid(-800.0))
    (0.5, 0.0)
    """
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, x.dtype.type(1), small) / (1 + small)


@Lacking
def softplus(x: Any) -> Any:
    """log(1 + exp(x)), elementwise, without overflow.

    >>> from difflab import softplus
    >>> float(softplus(800.0))
    800.0
    """
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


@Lacking
def relu(x: Any) -> Any:
    """max(x, 0), elementwise; its derivative at 0 is taken as 0.

    >>> from difflab import relu
    >>> relu([-1.0, 2.0])
    array([0., 2.])
    """
    return np.maximum(x, 0.0)


@Lacking
def erf(x: Any) -> Any:
    """The error function 2/sqrt(pi) * integral of exp(-t^2) from 0 to x, elementwise.

    >>> from difflab import erf
    >>> round(float(erf(1.0)), 12)
    0.84270079295
    """
    return np.asarray(_erf(x)).astype(x.dtype if x.dtype.kind == "f" else np.float64)


@Lacking
def softmax(x: Any, axis: int = -1) -> Any:
    """exp(x) / sum(exp(x)) along an axis, shifted so that it cannot overflow.

    >>> from difflab import softmax
    >>> softmax([1000.0, 1000.0])
    array([0.5, 0.5])
    """
    logits: Any = np.asarray(x, None if x.dtype.kind == "f" else np.float64)
    grown = np.subtract(logits, np.maximum.reduce(logits, axis, keepdims=True))
    np.exp(grown, grown)
    return np.divide(grown, np.add.reduce(grown, axis, keepdims=True), grown)


@Lacking
def log_softmax(x: Any, axis: int = -1) -> Any:
    """The logarithm of softmax, without overflow or loss where the softmax is tiny.

    >>> from difflab import log_softmax
    >>> log_softmax([0.0, -1000.0])
    array([    0., -1000.])
    """
    logits: Any = np.asarray(x, None if x.dtype.kind == "f" else np.float64)
    shifted = np.subtract(logits, np.maximum.reduce(logits, axis, keepdims=True))
    total = np.add.reduce(np.exp(shifted), axis, keepdims=True)
    return np.subtract(shifted, np.log(total), shifted)


def leaky_relu(x: Any, alpha: float = 0.01) -> Any:
    """x where x > 0, alpha * x elsewhere.

    >>> from difflab import leaky_relu
    >>> leaky_relu(np.array([-1.0, 2.0]))
    array([-0.01,  2.  ])
    """
    x = x if hasattr(x, "primitive") else np.asarray(x)
    return np.where(x > 0, x, alpha * x)
