"""The stencils: weighted values of a function beside a point are its derivatives.

What flows: `evaluate`, a point x and unit directions go in; it is asked for all points at once, and
derivatives along the directions come out, stacked, one array an output. The text is plain NumPy, so
that on traced values it is itself traced, and the derivative is a graph like any other method's.
The invariant: weights are exact, and a step that is a power of two makes x + h exact as well.

>>> x, h, central = np.array([3.0]), np.array([0.5]), pairs_of("central", 2)
>>> quotients(lambda points: [points[:, 0] ** 2], x, np.eye(1), h, central)
[array([6.])]
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from typing import Any, Final

import numpy as np

from difflab.errors import UnsupportedError

Evaluate = Callable[[Any], list[Any]]
"""From points (k, n), all at once, to each output's values (k, *output)."""
Pairs = tuple[tuple[int, float], ...]
LEVELS: Final = 9
"""Steps in the ladder of Richardson's extrapolation."""
TINY: Final = 1e-100
"""A step along the imaginary axis."""
NP: Any = np


@cache
def weights(offsets: tuple[int, ...]) -> tuple[float, ...]:
    """The weights of values at x + k h that give h f'(x), exactly, by Lagrange's polynomials.

    >>> weights((-1, 1))
    (-0.5, 0.5)
    """
    found = []
    for k in offsets:
        rest = [j for j in offsets if j != k]
        # The derivative at 0 of the polynomial that is 1 at k and 0 at the others.
        slope = sum(
            (math.prod((Fraction(-j) for j in rest if j != i), start=Fraction(1)) for i in rest),
            Fraction(0),
        )
        found.append(float(slope / math.prod((Fraction(k - j) for j in rest), start=Fraction(1))))
    return tuple(found)


def offsets_of(stencil: str, order: int) -> tuple[int, ...]:
    """The points of a stencil, in steps from x."""
    if stencil == "central":
        return tuple(k for k in range(-order // 2, order // 2 + 1) if k)
    return tuple(range(order + 1)) if stencil == "forward" else tuple(range(-order, 1))


def pairs_of(stencil: str, order: int) -> Pairs:
    """The points of a stencil that count, in steps from x, with their weights."""
    offsets = offsets_of(stencil, order)
    return tuple((k, w) for k, w in zip(offsets, weights(offsets), strict=True) if w)


def quotients(evaluate: Evaluate, x: Any, directions: Any, h: Any, pairs: Pairs) -> list[Any]:
    """The difference quotients of a stencil, for a step h in each direction."""
    values = _on_lines(evaluate, x, directions, NP.stack([k * h for k, _ in pairs]))
    return [
        sum(w * v for (_, w), v in zip(pairs, value, strict=True)) / _like(h, value)
        for value in values
    ]


def extrapolated(evaluate: Evaluate, x: Any, directions: Any, h: Any) -> list[tuple[Any, Any]]:
    """Richardson's extrapolation, with the estimated error: for each output (best, error).

    Central and one-sided differences are extrapolated apart over steps h, h/2, h/4, ...; in
    each table the entry with the least estimate wins. The estimate of a central entry includes
    the jump between the two sides, which vanishes with h where f is smooth and stays at a kink.
    The one-sided winners count together, as their mean with half their distance added to the
    estimate, so that at a kink the estimate holds both slopes; one counts alone where the other
    side lies outside the domain.
    """
    eps = float(np.finfo(x.dtype).eps)
    steps = NP.stack([h * 0.5**level for level in range(LEVELS)])
    values = _on_lines(evaluate, x, directions, NP.concatenate([steps, -steps, 0.0 * steps[:1]]))
    found = []
    for value in values:
        scale = _like(steps, value)
        middle = value[-1]
        up, down = (value[:LEVELS] - middle) / scale, (middle - value[LEVELS:-1]) / scale
        noise = eps * NP.abs(middle) / scale
        jumps = up - down
        jump = NP.abs(2.0 * jumps[1:] - jumps[:-1])
        central, error = _romberg(0.5 * (up + down), noise[1:] + jump, 2)
        (right, right_error), (left, left_error) = (
            _romberg(side, 2.0 * noise[1:], 1) for side in (up, down)
        )
        both = NP.maximum(right_error, left_error)
        mean = NP.where(right_error < np.inf, right, left)
        mean = NP.where(both < np.inf, 0.5 * (right + left), mean)
        mean_error = NP.minimum(right_error, left_error)
        mean_error = NP.where(both < np.inf, both + 0.5 * NP.abs(right - left), mean_error)
        least = NP.minimum(error, mean_error)
        best = NP.where(error <= mean_error, central, mean)
        found.append((NP.where(least < np.inf, best, np.nan), least))
    return found


def _on_lines(evaluate: Evaluate, x: Any, directions: Any, steps: Any) -> list[Any]:
    """Values at x + step * direction for all steps (k, directions): one array (k, directions,
    *output) an output.
    """
    k, count = steps.shape
    points = x + steps[:, :, None] * directions
    values = evaluate(NP.reshape(points, (k * count, x.shape[0])))
    return [NP.reshape(value, (k, count, *value.shape[1:])) for value in values]


def _like(steps: Any, value: Any) -> Any:
    """Steps, by direction last, with axes added so that they divide values."""
    return NP.reshape(steps, steps.shape + (1,) * (value.ndim - 2))


def _romberg(first: Any, noise: Any, growth: int) -> tuple[Any, Any]:
    """The best entry of the extrapolation table of differences whose error is a series in
    h^growth, and its error; infinite where no entry is finite.
    """
    row, entries, errors = first, [], []
    for column in range(1, LEVELS):
        finer, coarser = row[1:], row[:-1]
        row = finer + (finer - coarser) / (2.0 ** (growth * column) - 1.0)
        entries.append(row)
        errors.append(NP.maximum(NP.abs(row - finer), NP.abs(row - coarser)) + noise[column - 1 :])
    table, error = NP.concatenate(entries), NP.concatenate(errors)
    error = NP.where(NP.isfinite(table + error), error, np.inf)
    best = NP.take_along_axis(table, NP.argmin(error, 0)[None], 0)[0]
    return best, NP.min(error, 0)


def imaginary(evaluate: Evaluate, x: Any, directions: Any) -> list[Any]:
    """The imaginary part of f(x + i h) / h (Squire & Trapp 1998): no subtraction, so no
    cancellation.
    """
    tiny = TINY if x.dtype == np.float64 else 1e-30
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            values = evaluate(x + 1j * tiny * directions)
    except (TypeError, np.exceptions.ComplexWarning) as error:
        raise UnsupportedError(
            f"the function takes no complex numbers: {error}", "use another method"
        ) from None
    if not all(np.iscomplexobj(value) for value in values):
        raise UnsupportedError(
            "the function returned real numbers for a complex step",
            "it must use operations that carry complex numbers",
        )
    return [value.imag / tiny for value in values]
