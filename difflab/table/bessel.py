"""Bessel functions of whole orders, the inverse of the error function, and exponentials of
matrices.

As in special_functions.py, in NumPy's widest floats; the Bessel functions of all orders are a
family that is closed under differentiation.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from difflab.ir.rounding import EVEN, Local, library, within
from difflab.ir.row import (
    UNIT,
    OwnFunction,
    Primitive,
    Unsupported,
    elementwise,
    general,
    like_first,
)
from difflab.ir.row import sample as sampled
from difflab.table.algebra import matrix, swap
from difflab.table.elementary import exactly
from difflab.table.special_functions import NO_COMPLEX, NO_SCALAR, PI, WIDE, normal_tail, widely


def _series(x: Any, n: int, sign: int) -> Any:
    term = (x / 2) ** n / WIDE(math.factorial(n))
    found, square = term, sign * x * x / 4
    for k in range(1, 90):
        term = term * square / (k * (k + n))
        found = found + term
    return found


def _hankel(x: Any, n: int) -> list[Any]:
    """The terms a_k(n) / x^k of the asymptotic series."""
    terms = [np.ones_like(x)]
    for k in range(1, 36):
        terms.append(terms[-1] * ((4 * n * n - (2 * k - 1) ** 2) / WIDE(8 * k)) / x)
    return terms


@OwnFunction
@widely
def bessel_i(x: Any, n: int) -> Any:
    """The modified Bessel function I_n, elementwise.

    >>> round(float(bessel_i(np.array(1.0), n=0)), 12)
    1.266065877752
    """
    size = np.abs(x)
    far = size > 40
    z = np.where(far, size, 41)
    outside = (
        np.exp(z) / np.sqrt(2 * PI * z) * sum((-1) ** k * t for k, t in enumerate(_hankel(z, n)))
    )
    found = np.where(far, outside, _series(np.where(far, 0, size), n, 1))
    return np.where(np.isinf(x), np.inf, found) * np.where(x < 0, (-1) ** n, 1)


@OwnFunction
@widely
def bessel_j(x: Any, n: int) -> Any:
    """The Bessel function J_n, elementwise: absolute digits of its amplitude near its zeros.

    >>> round(float(bessel_j(np.array(1.0), n=1)), 12)
    0.440050585745
    """
    size = np.abs(x)
    far, near = size > 40, size < 3
    z = np.where(far & np.isfinite(x), size, 41)
    terms = _hankel(z, n)
    p, q = (sum((-1) ** (k // 2) * terms[k] for k in range(i, 36, 2)) for i in (0, 1))
    c, s = (np.cos(z) + np.sin(z), np.sin(z) - np.cos(z))
    for _ in range(n % 4):  # less a quarter of a turn each
        c, s = s, -c
    outside = (p * c - q * s) / np.sqrt(PI * z)
    middle = np.where(far | ~np.isfinite(x), 0, size)
    angles = [PI * (2 * k + 1) / WIDE(128) for k in range(64)]
    inside = sum(np.cos(n * t - middle * np.sin(t)) for t in angles) / 64
    found = np.where(near, _series(np.where(near, size, 0), n, -1), np.where(far, outside, inside))
    found = np.where(np.isinf(x), 0, np.where(np.isnan(x), x, found))
    return found * np.where(x < 0, (-1) ** n, 1)


def bessel_i_partial(x: Any, n: int) -> Any:
    after = bessel_i(x, n=n + 1)
    return 0.5 * bessel_i(x, n=n - 1) + 0.5 * after if n else after


def bessel_j_partial(x: Any, n: int) -> Any:
    after = bessel_j(x, n=n + 1)
    return 0.5 * bessel_j(x, n=n - 1) - 0.5 * after if n else -after


def _near_extremes(x: Any) -> Any:
    """Where a slope is small against its amplitude: it is a difference."""
    slopes = [np.abs(bessel_j_partial(x, n)) for n in range(3)]
    smallest = np.minimum(np.minimum(slopes[0], slopes[1]), slopes[2])
    return (np.abs(x) > 1.0) & (smallest * np.sqrt(np.abs(x)) < 0.2)


def _phase_rounding(y: Any, x: Any, n: int) -> Local:
    """In many libraries the phase is rounded, which costs its size times the amplitude."""
    return library(np.maximum(np.abs(y), np.sqrt(1 + np.abs(x))).astype(y.dtype))


# -- the inverse of the error function -------------------------------------------------------------


@OwnFunction
@widely
def erfinv(y: Any) -> Any:
    """The inverse of `erf`, elementwise, with its digits near -1 and 1.

    >>> float(erfinv(np.array(0.0))), round(float(erfinv(np.array(0.5))), 12)
    (0.0, 0.476936276204)
    """
    size = np.abs(y)
    few = size < 0.25
    small = np.where(few, size, 0)
    z = small * np.sqrt(PI) / 2
    for _ in range(5):
        term = found = z
        for k in range(1, 24):
            term = -term * z * z / k
            found = found + term / (2 * k + 1)
        z = z + (small * np.sqrt(PI) / 2 - found) * np.exp(z * z)
    rest = np.where(few | (size >= 1), 0.5, 1 - size)
    t = np.log(rest * (2 - rest))
    half = 2 / (PI * WIDE(0.147)) + t / 2
    w = np.sqrt(np.sqrt(half * half - t / WIDE(0.147)) - half)
    for _ in range(5):  # Newton's steps for log erfc(w) = log(rest)
        scaled = np.sqrt(2 / PI) * normal_tail.evaluate(np.sqrt(WIDE(2)) * w, n=0)
        w = w + (np.log(scaled) - w * w - np.log(rest)) * scaled * np.sqrt(PI) / 2
    found = np.where(few, z, np.where(size < 1, w, np.where(size == 1, np.inf, np.nan)))
    return np.copysign(found, y)


def erfinv_partial(z: Any, y: Any) -> Any:
    """sqrt(pi)/2 exp(z^2), as Mills' ratio over 1 - |y|: the square would cost digits."""
    root = np.sqrt(exactly(np.exp2, 1.0, y))
    return normal_tail(np.abs(z) * root, n=0) / (root * (1.0 - np.abs(y)))


# -- the exponential of a matrix -------------------------------------------------------------------


@OwnFunction
def expm(a: Any) -> Any:
    """The exponential of a matrix, or of each of a stack: by Taylor's series of a part of it that
    is small, squared as often as that is halved.

    >>> expm(np.array([[0.0, 1.0], [0.0, 0.0]]))
    array([[1., 1.],
           [0., 1.]])
    """
    size = np.max(np.sum(np.abs(a), -2), -1, initial=0.0)
    halvings = np.maximum(np.frexp(size)[1], 0)
    x = a / matrix(np.ldexp(np.ones_like(size), halvings))
    one = np.eye(a.shape[-1], dtype=a.dtype)
    y = np.zeros_like(a) + one
    for k in range(20, 0, -1):
        y = one + x @ y / a.dtype.type(k)
    for k in range(int(np.max(halvings, initial=0))):
        y = np.where(matrix(k < halvings), y @ y, y)
    return y


def expm_pushforward(y: Any, tangents: Any, a: Any) -> Any:
    """The upper right block of the exponential of [[a, t], [0, a]]."""
    (t,) = tangents
    above = np.concatenate([a, t], -1)
    below = np.concatenate([np.zeros_like(a), a], -1)
    n = a.shape[-1]
    return expm(np.concatenate([above, below], -2))[..., :n, n:]


def _expm_rounding(y: Any, a: Any) -> Local:
    """No partial result exceeds the exponential of the absolute values."""
    n = a.shape[-1]
    size = expm.evaluate(np.abs(a))
    return Local(size * (1.0 + np.max(np.sum(np.abs(a), -2))), 2.0 * n + 4.0, EVEN)


# fmt: off
ROWS: Final[tuple[Primitive, ...]] = (
    elementwise(bessel_i, partials=lambda y, x, n: bessel_i_partial(x, n),
        sympy=lambda S, x, n: S.besseli(n, x), ball=lambda x, n: x.bessel_i(n),
        complex=NO_COMPLEX, scalar=NO_SCALAR, emit="bessel_i({0}, n={n})", text="I_{n}({0})",
        latex=r"I_{{{n}}}\left({0}\right)", params=({"n": 0}, {"n": 2}),
        rounding=within({8: (4.0, 0.5), 4: (4.0, 0.5)})),
    elementwise(bessel_j, partials=lambda y, x, n: bessel_j_partial(x, n),
        sympy=lambda S, x, n: S.besselj(n, x), ball=lambda x, n: x.bessel_j(n),
        complex=NO_COMPLEX, scalar=NO_SCALAR, emit="bessel_j({0}, n={n})", text="J_{n}({0})",
        latex=r"J_{{{n}}}\left({0}\right)", params=({"n": 0}, {"n": 2}), tame=True,
        corner=_near_extremes,
        rounding=_phase_rounding),
    elementwise(erfinv, partials=erfinv_partial, sympy="erfinv", ball="erfinv",
        complex=NO_COMPLEX, scalar=NO_SCALAR, domain=UNIT),
    general(expm, kind="factorisation", infer=like_first,
        sympy=Unsupported("SymPy takes no exponential of a matrix of symbols"), ball="expm",
        pushforward=expm_pushforward,
        pullback=lambda y, ct, a: (expm_pushforward(swap(y), (ct,), swap(a)),),
        emit="expm({0})", latex=r"e^{{{operands}}}", rounding=_expm_rounding,
        cost=lambda node, a: 20 * int(a.size) * int(a.shape[-1]),
        sample=lambda rng, shape: [sampled(rng.normal(size=(2, 3, 3))),
                                   sampled(4.0 * rng.normal(size=(2, 2)))]),
)
# fmt: on
