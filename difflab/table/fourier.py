"""The discrete Fourier transform, as a real linear map: complex numbers are pairs on a last axis.

>>> dft(np.array([[1.0, 0.0], [0.0, 1.0]]), sign=-1)
array([[ 1.,  1.],
       [ 1., -1.]])
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from difflab.ir.rounding import EVEN, Local
from difflab.ir.row import OwnFunction, Primitive, like_first, linear, sample

Turn = Callable[[int, int], tuple[Any, Any]]
"""``turn(k, n)``: the cosine and the sine of k turns over n."""


@OwnFunction
def dft(x: Any, sign: int) -> Any:
    """Sums of x[..., j, :] exp(sign 2 pi i j k / n), for arrays of shape (..., n, 2): NumPy's own
    layout of complex numbers.
    """
    kind = np.result_type(x.dtype, np.complex64)
    z = np.ascontiguousarray(x).view(kind)[..., 0]
    y = np.fft.fft(z) if sign < 0 else np.fft.ifft(z, norm="forward")
    return np.ascontiguousarray(y, kind).view(x.dtype).reshape(x.shape)


def _by_halves(re: Any, im: Any, turn: Turn) -> tuple[Any, Any]:
    """The transform of objects: even and odd places apart (Cooley and Tukey 1965), then by sums."""
    n = re.shape[-1]
    if n == 1:
        return re, im
    if n % 2:
        cos, sin = _turns(np.multiply.outer(range(n), range(n)) % n, n, turn)
        return re @ cos - im @ sin, re @ sin + im @ cos
    (a, b), (c, d) = (_by_halves(re[..., i::2], im[..., i::2], turn) for i in (0, 1))
    cos, sin = _turns(np.arange(n // 2), n, turn)
    c, d = c * cos - d * sin, c * sin + d * cos
    return np.concatenate([a + c, a - c], -1), np.concatenate([b + d, b - d], -1)


def _turns(places: Any, n: int, turn: Turn) -> tuple[Any, ...]:
    known = np.empty((n, 2), object)
    for k in np.unique(places):
        shared = math.gcd(int(k), n)  # a quarter of a turn is exact
        known[k] = turn(int(k) // shared, n // shared)
    return tuple(known[places, part] for part in (0, 1))


def _of_objects(x: Any, turn: Turn) -> Any:
    return np.stack(_by_halves(x[..., 0], x[..., 1], turn), -1)


def _in_balls(x: Any, sign: int) -> Any:
    ball = type(x.flat[0].mid())

    def turn(k: int, n: int) -> tuple[Any, Any]:
        angle = ball(2 * sign * k) / n
        return angle.cos_pi(), angle.sin_pi()

    return _of_objects(x, turn)


def _in_symbols(S: Any, x: Any, sign: int) -> Any:
    def turn(k: int, n: int) -> tuple[Any, Any]:
        angle = 2 * S.pi * S.Rational(sign * k, n)
        return S.cos(angle), S.sin(angle)

    return _of_objects(x, turn)


def _rounding(y: Any, x: Any, sign: int) -> Local:
    """Relative to the norm of the result, so many a stage (Higham 2002, theorem 24.2), and twice as
    many where a length with a large prime factor takes longer transforms.
    """
    stages, n = math.log2(2 * x.shape[-2]), x.shape[-2]
    size = np.sqrt(np.sum(x * x, (-2, -1), keepdims=True)) + np.zeros_like(y)
    return Local(size, 7.0 * stages * n**0.5, 2.0 * EVEN * stages**0.5)


def _cost(node: Any, x: Any) -> int:
    return int(5 * (x.size // 2) * math.ceil(math.log2(max(x.shape[-2], 2))))


ROWS: Final[tuple[Primitive, ...]] = (
    linear(
        dft,
        kind="contraction",
        infer=like_first,
        sympy=_in_symbols,
        ball=_in_balls,
        complex=lambda z, sign: dft.evaluate(z.real, sign) + 1j * dft.evaluate(z.imag, sign),
        transpose=lambda ct, x, sign: (dft(ct, -sign),),
        emit="dft({0}, {sign})",
        cost=_cost,
        rounding=_rounding,
        cancels=True,
        sample=lambda rng, shape: [
            sample(rng.normal(size=(2, 6, 2)), sign=-1),
            sample(rng.normal(size=(5, 2)), sign=1),
            sample(rng.normal(size=(8, 2)), sign=-1),
        ],
    ),
)
