"""How NumPy's Fourier transforms are spelt: all of them in one transform of complex rows.

Inputs are real or complex; what is returned is a `Pair`, but for the inverse transforms to real
values.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from difflab.errors import ArgumentError, ShapeError, UnsupportedError
from difflab.ir.build import node
from difflab.ir.pair import Pair, pair
from difflab.ir.protocols import is_complex
from difflab.spellings.axes import axis_of, integers
from difflab.spellings.spelling import NP, spells
from difflab.table.fourier import dft

Meaning = Callable[..., Any]
_POWERS = {None: (0.0, -1.0), "backward": (0.0, -1.0), "ortho": (-0.5, -0.5), "forward": (-1.0, 0)}
"""The powers of n by which transforms there and back are multiplied."""


def _along(
    a: Any, n: int | None, axis: int, norm: str | None, sign: int, half: bool = False
) -> Pair:
    """The transform of an axis, cut or filled up with zeros to n; `half` says that the other half
    of the coefficients are the conjugates of those given.
    """
    z = pair(a)
    place = axis_of(z.re, axis) - 1
    x = NP.moveaxis(NP.stack([z.re, z.im], -1), place, -2)
    given = x.shape[-2]
    n = (2 * (given - 1) if half else given) if n is None else operator.index(n)
    if n < 1:
        raise ShapeError(f"a Fourier transform needs at least one point, not {n}")
    if norm not in _POWERS:
        raise ArgumentError(f"norm={norm!r} is not known", "use 'backward', 'ortho' or 'forward'")
    rest = (n // 2 + 1 if half else n) - given
    x = x[..., : given + rest, :]
    x = NP.pad(x, [(0, 0)] * (x.ndim - 2) + [(0, rest), (0, 0)]) if rest > 0 else x
    if half:
        mirrored = x[..., 1 : (n + 1) // 2, :][..., ::-1, :] * np.array([1.0, -1.0], x.dtype)
        x = NP.concatenate([x, mirrored], -2)
    y = node("dft", x, sign=sign)
    power = _POWERS[norm][sign > 0]
    y = NP.moveaxis(y * float(n) ** power if power else y, -2, place)
    return Pair(y[..., 0], y[..., 1])


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
    z = _along(a, n, axis, norm, -1)
    return NP.moveaxis(NP.moveaxis(z, axis, 0)[: z.shape[axis] // 2 + 1], 0, axis)


@spells(np.fft.irfft, refuses="out")
def irfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    return _along(a, n, axis, norm, 1, half=True).re


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


def _every(one: Meaning, first: Meaning | None = None, final: Meaning | None = None) -> Meaning:
    """A transform of several axes by that of one; the last axis may have its own, first or last."""

    def transform(a: Any, s: Any, axes: Any, norm: str | None) -> Any:
        (n, axis), *others = _lengths(a, s, axes)
        a = a if final else (first or one)(a, n, axis, norm)
        for m, other in others:
            a = one(a, m, other, norm)
        return final(a, n, axis, norm) if final else a

    return transform


_KINDS: dict[str, Meaning] = {
    "fft": _every(fft), "ifft": _every(ifft), "rfft": _every(fft, first=rfft),
    "irfft": _every(ifft, final=irfft),
}  # fmt: skip


def _of_all(transform: Meaning) -> Meaning:
    return lambda a, s=None, axes=None, norm=None: transform(a, s, axes, norm)


def _of_two(transform: Meaning) -> Meaning:
    return lambda a, s=None, axes=(-2, -1), norm=None: transform(a, s, axes, norm)


def _rolled(x: Any, axes: Any, by: int) -> Any:
    """By half of each axis, from zero to the middle (1) or back (-1)."""
    shape = NP.shape(x)
    chosen = range(len(shape)) if axes is None else integers(axes)
    return NP.roll(x, [by * (shape[i] // 2) for i in chosen], list(chosen))


IN_A_LINE = [
    *[spells(getattr(np.fft, f"{k}n"), refuses="out")(_of_all(t)) for k, t in _KINDS.items()],
    *[spells(getattr(np.fft, f"{k}2"), refuses="out")(_of_two(t)) for k, t in _KINDS.items()],
    spells(dft)(lambda x, sign: node("dft", x, sign=sign)),
    spells(np.fft.fftshift)(lambda x, axes=None: _rolled(x, axes, 1)),
    spells(np.fft.ifftshift)(lambda x, axes=None: _rolled(x, axes, -1)),
]
