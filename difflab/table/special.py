"""What networks and statistics use: sigmoid, softplus, relu, erf, softmax.

NumPy lacks most of them: they are plain NumPy on arrays, one node inside a traced function. Each is
written for its digits: no overflow, no cancellation, at most about 2 ulps anywhere in float64.

Where `rounding` says ulps by analysis (typical ones are measured): with u half an ulp of 1, exp
within 1.04 u (2.5 ulps in float32: 5 u), and half an ulp for the last quotient, sigmoid has
exp/(1 + s) and 1 + s, u each.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from difflab.ir.fused import InRows
from difflab.ir.protocols import TracedArray
from difflab.ir.rounding import LIBRARY, Local, exact, library, within
from difflab.ir.row import (
    OwnFunction,
    Primitive,
    Unsupported,
    elementwise,
    general,
    like_first,
    sample,
)
from difflab.table.arithmetic import difference_and_error
from difflab.table.elementary import exactly, sech2


@OwnFunction
def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x)), elementwise; never overflows.

    >>> from difflab import sigmoid
    >>> float(sigmoid(0.0)), float(sigmoid(-800.0))
    (0.5, 0.0)
    """
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, x.dtype.type(1), small) / (1 + small)


def plain_sigmoid(x: float) -> float:
    small = math.exp(-abs(x))
    return (1.0 if x >= 0.0 else small) / (1.0 + small)


def logaddexp_partial(a: Any, b: Any) -> Any:
    """sigmoid(a - b), with the rounding error of a - b put back: it costs |a - b| ulps."""
    d, lost = difference_and_error(a, b)
    d = np.where(np.isnan(d) & (a == b), 0.0, d)  # both infinite: a tie
    return sigmoid(d) * (1.0 + lost * sigmoid(-d))


def logaddexp_ball(a: Any, b: Any) -> Any:
    return b + (a - b).exp().log1p() if b > a else a + (b - a).exp().log1p()


def _largest_part(y: Any, a: Any, b: Any) -> Local:
    """logaddexp: the larger operand and a logarithm, which may cancel."""
    return library(np.maximum(np.abs(y), np.maximum(np.abs(a), np.abs(b))))


@OwnFunction
def softplus(x: Any) -> Any:
    """log(1 + exp(x)), elementwise, without overflow.

    >>> from difflab import softplus
    >>> float(softplus(800.0))
    800.0
    """
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def plain_softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


@OwnFunction
def relu(x: Any) -> Any:
    """max(x, 0), elementwise; its derivative at 0 is taken as 0.

    >>> from difflab import relu
    >>> relu([-1.0, 2.0])
    array([0., 2.])
    """
    return np.maximum(x, 0.0)


def leaky_relu(x: Any, alpha: float = 0.01) -> Any:
    """x where x > 0, alpha * x elsewhere.

    >>> from difflab import leaky_relu
    >>> leaky_relu(np.array([-1.0, 2.0]))
    array([-0.01,  2.  ])
    """
    x = x if isinstance(x, TracedArray) else np.asarray(x)
    return np.where(x > 0, x, alpha * x)


_erf = np.frompyfunc(math.erf, 1, 1)


@OwnFunction
def erf(x: Any) -> Any:
    """The error function 2/sqrt(pi) * integral of exp(-t^2) from 0 to x, elementwise.

    >>> from difflab import erf
    >>> round(float(erf(1.0)), 12)
    0.84270079295
    """
    return np.asarray(_erf(x)).astype(x.dtype if x.dtype.kind == "f" else np.float64)


def gaussian(x: Any) -> Any:
    """exp(-x^2) with x^2 split so that its rounding error, which costs x^2 ulps, does not arise."""
    if x.dtype != np.float64:
        return np.exp(-np.square(x.astype(np.float64))).astype(x.dtype)
    head = np.where(np.square(x) < 2.0**20, x.astype(np.float32).astype(np.float64), 0.0)
    most = np.exp(-np.square(head))
    return most + most * np.expm1(-(x - head) * (x + head))


# -- of whole arrays -----------------------------------------------------------------------------


@OwnFunction
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


@OwnFunction
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


def softmax_in_rows(x: Any, axis: int) -> Any:
    grown = np.exp(x - np.max(x, axis, keepdims=True))
    return grown / np.sum(grown, axis, keepdims=True)


def log_softmax_in_rows(x: Any, axis: int) -> Any:
    shifted = x - np.max(x, axis, keepdims=True)
    return shifted - np.log(np.sum(np.exp(shifted), axis, keepdims=True))


def _balanced(found: Any, share: Any, axis: int) -> Any:
    """Numbers that add up to 0, each with its digits: where a share is above 1/2, its number is a
    difference that cancels, and the others' sum says it better.
    """
    large = share > 0.5
    others = np.where(large, 0.0, found)
    return np.where(large, -np.sum(others, axis, keepdims=True), others)


def softmax_pushforward(y: Any, tangents: Any, x: Any, axis: int) -> Any:
    (t,) = tangents
    return _balanced(y * (t - np.sum(y * t, axis, keepdims=True)), y, axis)


def log_softmax_pushforward(y: Any, tangents: Any, x: Any, axis: int) -> Any:
    (t,) = tangents
    p = np.exp(y)
    found = t - np.sum(p * t, axis, keepdims=True)
    return np.where(p > 0.5, _balanced(p * found, p, axis) / p, found)


def log_softmax_pullback(y: Any, ct: Any, x: Any, axis: int) -> Any:
    p = np.exp(y)
    return (_balanced(ct - p * np.sum(ct, axis, keepdims=True), p, axis),)


def complex_softmax(z: Any, axis: int) -> Any:
    grown = np.exp(z - np.max(z.real, axis, keepdims=True))
    return grown / np.sum(grown, axis, keepdims=True)


def symbolic_softmax(S: Any, x: Any, axis: int) -> Any:
    """1 / sum(exp(x_j - x_i)), whose derivatives do not cancel."""
    last = np.moveaxis(x, axis, -1)
    grown = np.frompyfunc(S.exp, 1, 1)(last[..., None, :] - last[..., :, None])
    return np.moveaxis(1 / np.sum(grown, -1), -1, axis)


def symbolic_log_softmax(S: Any, x: Any, axis: int) -> Any:
    return -np.frompyfunc(S.log, 1, 1)(1 / symbolic_softmax(S, x, axis))


def log_of_sum(x: Any, axis: int) -> Any:
    return np.log(np.sum(np.exp(x), axis, keepdims=True))


def _softmax_rounding(y: Any, x: Any, axis: int) -> Local:
    """The shifted argument's rounding, the exponential's, the sum's and the quotient's."""
    shift = np.abs(x - np.max(x, axis, keepdims=True))
    largest, typical = LIBRARY[y.dtype.itemsize]
    n = x.shape[axis]
    return Local(y * (1.0 + shift), 2.0 * largest + 0.5 * n + 1.0, 2.0 * typical)


def _log_softmax_rounding(y: Any, x: Any, axis: int) -> Local:
    """As of softmax, but absolute: a sum near 1 has a logarithm near 0."""
    part = _softmax_rounding(np.ones_like(y), x, axis)
    return part._replace(size=np.max(part.size, axis, keepdims=True) + np.abs(y))


# fmt: off
ROWS: Final[tuple[Primitive, ...]] = (
    elementwise(np.logaddexp,
        partials=lambda y, a, b: (logaddexp_partial(a, b), logaddexp_partial(b, a)),
        sympy=lambda S, a, b: S.log(S.exp(a) + S.exp(b)), ball=logaddexp_ball,
        complex=lambda a, b: np.log(np.exp(a) + np.exp(b)),
        scalar=Unsupported("math has no logaddexp"), rounding=_largest_part, commutative=True,
        native="logaddexp"),
    elementwise(sigmoid, partials=lambda y, x: 0.25 * sech2(0.5 * x),
        sympy=lambda S, x: 1 / (1 + S.exp(-x)), ball=lambda x: 1 / (1 + (-x).exp()),
        complex=lambda z: 1 / (1 + np.exp(-z)), scalar=plain_sigmoid,
        latex=r"\sigma\left({0}\right)", tame=True,
        rounding=within({8: (2.6, 0.55), 4: (6.6, 0.65)}), native="sigmoid"),
    elementwise(softplus, partials=lambda y, x: sigmoid(x), sympy=lambda S, x: S.log(1 + S.exp(x)),
        ball=lambda x: x.exp().log1p() if x < 0 else x + (-x).exp().log1p(),
        complex=lambda z: np.log(1 + np.exp(z)), scalar=plain_softplus, tame=True,
        native="softplus"),
    elementwise(relu, partials=lambda y, x: np.sign(y), emit="maximum({0}, 0.0, out={out})",
        sympy=lambda S, x: S.Piecewise((x, x > 0), (0, True)), ball=lambda x: x.max(0),
        complex=lambda z: np.where(z.real > 0, z, 0), kink=lambda x: x,
        scalar="({0} if {0} > 0.0 or {0} != {0} else 0.0)", rounding=exact, tame=True,
        choice=lambda x: (~np.less(x, 0.0),), native="relu"),
    elementwise(erf, partials=lambda y, x: gaussian(x) / np.sqrt(exactly(np.arctan, 1.0, x)),
        sympy="erf", ball="erf", complex=Unsupported("math.erf takes no complex numbers"),
        scalar="erf({0})", tame=True, native="erf"),
    general(softmax, kind="reduction", native=InRows(softmax_in_rows),
        infer=like_first, sympy=symbolic_softmax,
        ball=lambda x, axis: np.exp(x - log_of_sum(x, axis)), pushforward=softmax_pushforward,
        complex=complex_softmax,
        pullback=lambda y, ct, x, axis: (softmax_pushforward(y, (ct,), x, axis),),
        emit="softmax({0}, {axis})", cost=lambda node, x: 4 * x.size, tame=True,
        rounding=_softmax_rounding,
        sample=lambda rng, shape: [sample(rng.normal(size=(2, 3)), axis=-1),
                                   sample(rng.normal(size=(2, 3)), axis=-2)]),
    general(log_softmax, kind="reduction", native=InRows(log_softmax_in_rows),
        infer=like_first,
        ball=lambda x, axis: x - log_of_sum(x, axis), sympy=symbolic_log_softmax,
        pushforward=log_softmax_pushforward,
        complex=lambda z, axis: np.log(complex_softmax(z, axis)), pullback=log_softmax_pullback,
        emit="log_softmax({0}, {axis})", cost=lambda node, x: 5 * x.size, tame=True,
        rounding=_log_softmax_rounding,
        sample=lambda rng, shape: [sample(rng.normal(size=(2, 3)), axis=-1),
                                   sample(rng.normal(size=3), axis=-1)]),
)
# fmt: on
