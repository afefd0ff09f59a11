"""How NumPy's Fourier transforms are spelt: all of them in one transform of complex rows.

Inputs are real or complex; what is returned is a `Pair`, but for the inverse transforms to real
values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from difflab.errors import ArgumentError, ShapeError, UnsupportedError
from difflab.ir.build import node
from difflab.ir.pair import Pair, pair
from difflab.ir.protocols import is_complex
from difflab.spellings.axes import axis_of, integers
from difflab.spellings.spelling import NP, spells
from difflab.table.fourier import dft

_POWERS = {None: (0.0, -1.0), "backward": (0.0, -1.0), "ortho": (-0.5, -0.5), "forward": (-1.0, 0)}
"""The powers of n by which transforms there and back are multiplied."""


def _fitted(z: Any, n: int) -> Any:
    """A last axis cut, or filled up with zeros, to n."""
    if n < 1:
        raise ShapeError(f"a Fourier transform needs at least one point, not {n}")
    rest = n - z.shape[-1]
    return NP.pad(z, [(0, 0)] * (z.ndim - 1) + [(0, rest)]) if rest > 0 else z[..., :n]


def _rows(z: Any, sign: int, norm: str | None) -> Pair:
    """The transform of a last axis."""
    if norm not in _POWERS:
        raise ArgumentError(f"norm={norm!r} is not known", "use 'backward', 'ortho' or 'forward'")
    y = node("dft", NP.stack([z.re, z.im], -1), sign=sign)
    found = Pair(y[..., 0], y[..., 1])
    power = _POWERS[norm][sign > 0]
    return found * float(z.shape[-1]) ** power if power else found


def _along(a: Any, n: int | None, axis: int, norm: str | None, sign: int) -> Any:
    z = NP.moveaxis(pair(a), axis, -1)
    z = _fitted(z, z.shape[-1] if n is None else n)
    return NP.moveaxis(_rows(z, sign, norm), -1, axis)


@spells(np.fft.fft, refuses="out")
def fft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    return _along(a, n, axis, norm, -1)


@spells(np.fft.ifft, refuses="out")
def ifft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    return _along(a, n, axis, norm, 1)


@spells(np.fft.rfft, refuses="out")
def rfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    if is_complex(a):
        raise UnsupportedError("np.fft.rfft takes no complex values", "use np.fft.fft")
    z = NP.moveaxis(_along(a, n, axis, norm, -1), axis, -1)
    return NP.moveaxis(z[..., : z.shape[-1] // 2 + 1], -1, axis)


@spells(np.fft.irfft, refuses="out")
def irfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The other half of the coefficients are the conjugates of this one."""
    z = NP.moveaxis(pair(a), axis, -1)
    n = 2 * (z.shape[-1] - 1) if n is None else n
    z = _fitted(z, n // 2 + 1)
    mirrored = NP.conj(z[..., 1 : (n + 1) // 2][..., ::-1])
    return NP.moveaxis(_rows(NP.concatenate([z, mirrored], -1), 1, norm).re, -1, axis)


def _lengths(a: Any, s: Any, axes: Any) -> list[tuple[int | None, int]]:
    """The length and the place of every axis that is transformed, the last one first."""
    if axes is None:
        axes = range(-(NP.ndim(a) if s is None else len(s)), 0)
    chosen = [axis_of(pair(a).re, axis) for axis in integers(axes)]
    sizes: Sequence[Any] = [None] * len(chosen) if s is None else s
    if len(sizes) != len(chosen):
        raise ShapeError(f"{len(sizes)} lengths do not fit {len(chosen)} axes")
    pairs = zip(sizes, chosen, strict=True)
    return [(None if n == -1 else n, axis) for n, axis in pairs][::-1]


@spells(np.fft.fftn, refuses="out")
def fftn(a: Any, s: Any = None, axes: Any = None, norm: str | None = None) -> Any:
    for n, axis in _lengths(a, s, axes):
        a = fft(a, n, axis, norm)
    return a


@spells(np.fft.ifftn, refuses="out")
def ifftn(a: Any, s: Any = None, axes: Any = None, norm: str | None = None) -> Any:
    for n, axis in _lengths(a, s, axes):
        a = ifft(a, n, axis, norm)
    return a


@spells(np.fft.rfftn, refuses="out")
def rfftn(a: Any, s: Any = None, axes: Any = None, norm: str | None = None) -> Any:
    (last, axis), *others = _lengths(a, s, axes)
    a = rfft(a, last, axis, norm)
    for n, other in others:
        a = fft(a, n, other, norm)
    return a


@spells(np.fft.irfftn, refuses="out")
def irfftn(a: Any, s: Any = None, axes: Any = None, norm: str | None = None) -> Any:
    (last, axis), *others = _lengths(a, s, axes)
    for n, other in others:
        a = ifft(a, n, other, norm)
    return irfft(a, last, axis, norm)


@spells(np.fft.fft2, refuses="out")
def fft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: str | None = None) -> Any:
    return fftn(a, s, axes, norm)


@spells(np.fft.ifft2, refuses="out")
def ifft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: str | None = None) -> Any:
    return ifftn(a, s, axes, norm)


@spells(np.fft.rfft2, refuses="out")
def rfft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: str | None = None) -> Any:
    return rfftn(a, s, axes, norm)


@spells(np.fft.irfft2, refuses="out")
def irfft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: str | None = None) -> Any:
    return irfftn(a, s, axes, norm)


def _rolled(x: Any, axes: Any, by: int) -> Any:
    """By half of each axis, from zero to the middle (1) or back (-1)."""
    shape = NP.shape(x)
    chosen = range(len(shape)) if axes is None else integers(axes)
    return NP.roll(x, [by * (shape[i] // 2) for i in chosen], list(chosen))


IN_A_LINE = [
    spells(dft)(lambda x, sign: node("dft", x, sign=sign)),
    spells(np.fft.fftshift)(lambda x, axes=None: _rolled(x, axes, 1)),
    spells(np.fft.ifftshift)(lambda x, axes=None: _rolled(x, axes, -1)),
]
