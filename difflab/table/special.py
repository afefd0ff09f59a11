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


_exp = math.exp
FEW = 8
"""Elements up to which plain floats are faster than eight ufuncs."""
_NUMBERS = {
    np.dtype(kind): [np.array(number, kind) for number in (-2.0, 1.0, 2.0, 4.0)]
    for kind in (np.float64, np.float32)
}
"""Numbers as arrays of shape (), which ufuncs take faster than numbers."""


def _room(x: Any) -> Any:
    """An array for intermediate results, also where x is a number."""
    return np.empty(x.shape, x.dtype if x.dtype.kind == "f" else np.float64)


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
def sech2(x: Any, out: Any = None) -> Any:
    """1 / cosh(x)^2, elementwise: the slope of tanh, and a quarter of it, at x/2, that of sigmoid.

    4 s / (1 + s)^2 with one exponential s = exp(-2|x|), whose error counts tanh|x| times, and with
    an expanded square, in which no rounding counts twice: 4 ulps if exp is within one.

    >>> float(sech2(0.0)), float(sech2(-20.0)), float(sech2(1000.0))
    (1.0, 1.699341702116...e-17, 0.0)
    """
    if x.size <= FEW:
        found = _room(x) if out is None else out
        found.flat = [plain_sech2(number) for number in x.ravel().tolist()]
        return found[()]
    minus_two, one, two, four = _NUMBERS.get(x.dtype) or _NUMBERS[np.dtype(float)]
    s = np.multiply(np.abs(x), minus_two)
    np.exp(s, s)
    square = np.add(s, two, out)
    np.add(np.multiply(square, s, square), one, square)
    return np.divide(np.multiply(s, four, s), square, square)


def plain_sech2(x: float) -> float:
    """`sech2` of a plain float."""
    s = _exp(-2.0 * abs(x))
    return 4.0 * s / (1.0 + s * (2.0 + s))


@Lacking
def cbrt_slope(x: Any, out: Any = None) -> Any:
    """1 / (3 cbrt(x)^2), elementwise: infinite at 0, and 0 at infinity.

    As 1 / (y^2 + 2 x/y) with y = cbrt(x): a relative error e of y, for which libraries take up to 4
    ulps, is 2e in the one and -e in the other. At the ends y^2 alone says the limit.

    >>> float(cbrt_slope(8.0)), float(cbrt_slope(np.inf))
    (0.08333333333333333, 0.0)
    """
    y = np.cbrt(x, _room(x))
    with np.errstate(invalid="ignore"):  # 0/0 and inf/inf
        slope = np.divide(x, y, _room(x) if out is None else out)
    np.square(y, y)
    np.copyto(slope, y, where=np.isnan(slope))
    np.add(np.add(slope, slope, slope), y, slope)
    return np.reciprocal(slope, slope if x.shape else None)


@Lacking
def root(x: Any) -> Any:
    """The square root of a sum of squares: its derivative at 0, a kink, is taken as 0."""
    return np.sqrt(x)


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
def spherical_bessel(x: Any, n: int = 0) -> Any:
    """The spherical Bessel function j_n, elementwise: j_0(x) is sin(x)/x, and 1 at 0.

    From n = 1 on it is a difference, so NumPy's widest floats compute it: to an ulp also close to
    its zeros, where they are wider than float64.

    >>> float(spherical_bessel(0.0)), float(spherical_bessel(3e-300, 1))
    (1.0, 1e-300)
    """
    narrow = x.dtype if x.dtype.kind == "f" else np.dtype(float)
    with np.errstate(invalid="ignore"):  # sin(inf)
        wide = x.astype(np.longdouble if n else np.float64)
        return np.asarray(complex_spherical_bessel(wide, n)).astype(narrow)[()]


def complex_spherical_bessel(z: Any, n: int = 0) -> Any:
    """`spherical_bessel` in the precision of z, which may be complex: a series where |z| is small
    against n, the recurrence upward elsewhere.
    """
    if n == 0:
        return np.where(z == 0, 1, np.sin(z) / np.where(z == 0, 1, z))
    near = np.abs(z) < n + 2
    inside, outside = np.where(near, z, 0), np.where(near, n + 2, z)
    term = inside**n / z.real.dtype.type(math.prod(range(1, 2 * n + 2, 2)))
    series = term
    for k in range(1, 24 + n):
        term = term * inside * inside / (-2 * k * (2 * (n + k) + 1))
        series = series + term
    before = np.sin(outside) / outside
    found = (before - np.cos(outside)) / outside
    for m in range(1, n):
        before, found = found, (2 * m + 1) * found / outside - before
    return np.where(near, series, found)


def plain_spherical_bessel(x: float, n: int) -> float:
    """`spherical_bessel` of a plain float."""
    if n == 0:
        return math.sin(x) / x if x else 1.0
    return float(spherical_bessel.evaluate(np.float64(x), n))


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
