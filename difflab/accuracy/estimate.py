"""The derivative of a function that can only be called, with an honest error band.

What flows: the function is called at points on lines through x, one line a component (and for the
Hessian one a pair of components); each line's derivative and band come from the differences'
`extrapolation`, for all outputs at once. The invariant: the true derivative lies
within ``value ± error``, or the error is infinite; no value from outside the domain is used.

>>> import math
>>> found = estimate(lambda x: math.exp(x[0]) * math.log(x[1]), np.array([1.0, 2.0]))
>>> print(found)
x[0]  1.88416938536...  ± ...e-1...
x[1]  1.35914091422...  ± ...e-1...
... evaluations
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np

from difflab.accuracy.kinks import Kink
from difflab.accuracy.subject import Subject, numbers, spans
from difflab.errors import ArgumentError, DomainError
from difflab.ir.brief import one_line
from difflab.ir.expr import Array
from difflab.ir.tree import Structure
from difflab.methods.differences.calls import OUTSIDE
from difflab.methods.differences.extrapolation import LineEstimate, along
from difflab.operators.arguments import Argnums
from difflab.views import notebook

NO_GRADIENT = "each partial derivative exists, the gradient does not, by two lines besides the axes"
DOUBTS, LEAST_BAND = 8.0, 1e-9
"""How far off, in bands, a slope along a line is another one than the partial derivatives say; the
least band, relative to the sizes of what is added up.
"""
SHAKE = 0.25
"""The shift of the other components, relatively, in units of the root of the rounding."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A derivative by calls of the function alone, with a band that holds the truth."""

    value: Any
    """In the shape (or tree) of the gradient, Jacobian or Hessian; NaN where there is none."""
    error: Any
    """In the same shape: |value - truth| <= error; infinite where nothing is known."""
    kinks: tuple[Kink, ...]
    """The components along which the one-sided derivatives differ, or the value jumps."""
    one_sided: tuple[str, ...]
    """The components along which only one side lies in the domain."""
    evaluations: int
    """Calls of the function."""
    names: tuple[str, ...] = field(repr=False)
    notes: tuple[str, ...] = ()
    """What the function did to its arguments."""
    spread: Any = field(default=None, repr=False)
    """In the shape of a gradient or Jacobian, how far coarse and fine steps, or the two sides,
    disagree beyond their bands; NaN where that cannot be told, None for second derivatives.
    """

    def __repr__(self) -> str:
        errors = numbers(self.error)
        one = f"{numbers(self.value)[0]} ± {errors[0]:.1e}" if errors.size == 1 else ""
        what = one or f"{errors.size} components ± {np.max(errors, initial=0.0):.1e} at most"
        bent = f", kinks: {len(self.kinks)}" if self.kinks else ""
        return one_line(f"<estimate: {what}{bent}, evaluations: {self.evaluations}>")

    def __str__(self) -> str:
        values, errors = numbers(self.value), numbers(self.error)
        width = max(map(len, self.names), default=0)
        rows = [
            f"{name:{width}}  {value:<22.16g} ± {error:.1e}"
            for name, value, error in zip(self.names, values, errors, strict=True)
        ]
        return "\n".join([*rows, *self._told])

    @property
    def _told(self) -> list[str]:
        sides = [f"{name}: only one side lies in the domain" for name in self.one_sided]
        notes = [f"note: {note}" for note in self.notes]
        return [*map(str, self.kinks), *sides, *notes, f"{self.evaluations} evaluations"]

    def _repr_html_(self) -> str:
        cells = zip(self.names, numbers(self.value), numbers(self.error), strict=True)
        rows = [{"component": name, "derivative": f"{value:.16g}", "band": f"± {error:.1e}"}
                for name, value, error in cells]  # fmt: skip
        return notebook.table(rows) + notebook.lines(self._told)


def estimate(
    f: Callable[..., Any],
    *args: Any,
    argnums: Argnums | None = 0,
    order: int = 1,
    noise: float | None = None,
) -> Estimate:
    """The derivative of any callable, by extrapolated differences, with an honest error band.

    Parameters
    ----------
    f
        From arrays, floats or trees of them to an array, a number or a tree of them. It is called,
        never traced. NaN, infinity, ArithmeticError and ValueError mean "outside the domain".
    args
        The point. Where it is float32 and f takes and returns float64 as well, f is differentiated
        in float64.
    argnums
        Which argument, or arguments; None: all that hold floats.
    order
        1 (gradient or Jacobian) or 2 (Hessian).
    noise
        How wrong f's values may be, absolutely, beyond rounding: what a solver's tolerance allows,
        which calls of f cannot show. None and 0: rounding alone, which is measured.

    Returns
    -------
    Estimate
        ``.value`` and ``.error``, of shape ``output.shape + input.shape`` (``+ input.shape``);
        ``.kinks``, ``.one_sided``, ``.evaluations``.

    Raises
    ------
    DomainError
        If an argument is not finite, or f raises at the point itself.
    ArgumentError
        If there is nothing to differentiate, or the noise is no number >= 0.

    Examples
    --------
    >>> found = estimate(math.log, 1e-12)
    >>> print(abs(found.value - 1e12) <= found.error < 100.0)
    True
    >>> print(estimate(abs, 0.0).kinks[0])
    kink in x: -1.0 from the left, 1.0 from the right
    >>> print(estimate(lambda x: x**1.5, 0.0).one_sided)
    ('x',)
    """
    return estimate_of(Subject(f, args, argnums, order), checked_noise(noise))


def estimate_of(subject: Subject, noise: float | None, try_lines: bool = False) -> Estimate:
    """The estimate for a subject; with lines besides the axes, along which the derivative must be
    what its components say, because partial derivatives alone do not make a gradient.
    """
    with np.errstate(all="ignore"):
        lines = _Lines(subject, noise or 0.0)
        columns, wholes = lines.directions(subject.order)
        found = lines.assembled(columns, wholes)
        if try_lines and subject.order == 1 and len(columns) > 1 and not found.kinks:
            found = replace(found, kinks=lines.kinks_along_lines(wholes))
        return found


def checked_noise(noise: Any) -> float | None:
    """The noise as it was stated, or None.

    Raises
    ------
    ArgumentError
        If it is not a finite number >= 0.

    >>> checked_noise(1e-8)
    1e-08
    """
    if noise is None:
        return None
    number = isinstance(noise, (int, float, np.integer, np.floating)) and noise is not True
    if not (number and 0.0 <= noise < math.inf):
        raise ArgumentError(
            f"noise is {noise!r}, not a finite number >= 0",
            "pass how wrong f's values may be, absolutely: noise=1e-8, or 0 for rounding alone",
        )
    return float(noise)


class _Lines:
    """The function of a subject along lines through its point, and how the lines' derivatives
    become the result.
    """

    def __init__(self, subject: Subject, noise: float) -> None:
        self.subject, self.noise, self.evaluations = subject, noise, 0
        self.dtype: np.dtype[Any] = np.dtype(np.float64)
        self.arrays = [np.asarray(array) for array in subject.arrays]
        self.tree: Structure
        self.shapes: list[tuple[int, ...]]
        try:
            self.middle = self._widest()
        except OUTSIDE as error:
            raise DomainError(
                f"the function raised at the point: {error}", "choose a point inside its domain"
            ) from error
        self.point = np.concatenate([self.arrays[i].ravel() for i in subject.wrt])

    def _widest(self) -> Array:
        """The value at the point, in float64 where the function takes and returns that."""
        plain, narrow = self.call(self.arrays), self.arrays
        if all(array.dtype != np.float32 for array in narrow):
            return plain
        self.dtype = np.dtype(np.float64)
        self.arrays = [a.astype(np.float64) if a.dtype == np.float32 else a for a in narrow]
        try:
            wide = self.call(self.arrays)
        except (TypeError, RuntimeError, *OUTSIDE):
            wide = plain
        if wide is not plain and self.dtype == np.float64 and wide.shape == plain.shape:
            return wide
        self.arrays, self.dtype = narrow, np.dtype(np.float32)
        return plain

    def call(self, arrays: Sequence[Array]) -> Array:
        """All outputs at a point, in one vector; notes their tree, shapes and coarsest dtype."""
        self.evaluations += 1
        outputs, self.tree = self.subject.outputs(arrays)
        self.shapes = [output.shape for output in outputs]
        if any(output.dtype == np.float32 for output in outputs):
            self.dtype = np.dtype(np.float32)
        return np.concatenate([output.ravel() for output in outputs])

    def at(self, point: Array) -> Array:
        """All outputs where the components to differentiate by are those of a point."""
        wrt, arrays = self.subject.wrt, list(self.arrays)
        for i, span in zip(wrt, spans([arrays[i].shape for i in wrt]), strict=True):
            arrays[i] = point[span].reshape(arrays[i].shape).astype(arrays[i].dtype)
        return self.call(arrays)

    def moving(self, speeds: Mapping[int, float]) -> Array:
        """The direction in which some components move."""
        direction = np.zeros_like(self.point)
        direction[list(speeds)] = list(speeds.values())
        return direction

    def along(self, speeds: Array, order: int) -> LineEstimate:
        """The derivative along a line through the point."""
        moving = speeds != 0.0

        def phi(t: float) -> Array:
            return self.middle if t == 0.0 else shaken(0, t)

        def shaken(k: int, t: float) -> Array:
            shift = k * self.shifts if k else 0.0
            return self.at(np.where(moving, self.point + t * speeds, self.point + shift))

        near = float(np.max(np.abs(self.point[moving] / speeds[moving])))
        return along(
            phi, scale=max(near, 1.0), dtype=self.dtype, order=order, near=near, noise=self.noise,
            shaken=shaken if order == 1 and self.point.size > 1 else None,
        )  # fmt: skip

    @cached_property
    def shifts(self) -> Array:
        """For every component a small shift, so that sums with it are exact."""
        rng, x = np.random.default_rng(0), self.point
        sizes = [self.arrays[i].size for i in self.subject.wrt]
        share = [rng.choice([-1.0, 1.0], n) * rng.uniform(0.5, 1.0, n) for n in sizes]
        small = SHAKE * float(np.finfo(self.dtype).eps) ** 0.5
        return np.asarray((x + (small * np.concatenate(share) * x).astype(x.dtype)) - x)

    def directions(self, order: int) -> tuple[list[LineEstimate], Array]:
        """A line a component; the values, bands and spreads of all components, or, for the Hessian,
        the values and bands of all pairs.
        """
        components = range(self.point.size)
        columns = [self.along(self.moving({k: 1.0}), order) for k in components]
        alone = np.array([(c.value, c.error, c.spread) for c in columns]).transpose(1, 2, 0)
        if order == 1:
            return columns, alone
        sizes = self.sizes
        pairs = np.zeros((2, *alone.shape[1:], len(components)))
        for k, column in enumerate(columns):
            pairs[:, :, k, k] = column.value, column.error
        for k, j in combinations(components, 2):
            a, b = float(sizes[j]), float(sizes[k])
            both = self.along(self.moving({j: a, k: b}), order)
            (first, one), (second, other) = a * a * alone[:2, :, j], b * b * alone[:2, :, k]
            value = both.value - first - second
            error = np.sqrt(both.error**2 + one**2 + other**2)
            pairs[:, :, j, k] = pairs[:, :, k, j] = value / (2 * a * b), error / (2 * a * b)
        return columns, pairs

    @property
    def sizes(self) -> Array:
        """For every component, about its size, a power of two."""
        return np.asarray(2.0 ** np.rint(np.log2(np.fmax(np.abs(self.point.astype(float)), 1.0))))

    def kinks_along_lines(self, wholes: Array) -> tuple[Kink, ...]:
        """Where the function bends, or goes on otherwise than its partial derivatives say."""
        rng, size = np.random.default_rng(0), self.point.size
        slopes, bands, _ = wholes
        bent = np.zeros(len(slopes), bool)
        for signs in (np.ones(size), rng.choice([-1.0, 1.0], size) * rng.choice([0.5, 1.0], size)):
            speeds = (signs * self.sizes).astype(self.point.dtype)
            line = self.along(speeds, 1)
            doubt = (
                line.error + bands @ np.abs(speeds) + LEAST_BAND * np.abs(slopes) @ np.abs(speeds)
            )
            off = np.abs(line.value - slopes @ speeds)
            bent |= np.isfinite(doubt) & (line.kink | (off > DOUBTS * doubt))
        names = self.subject.names(self.tree, self.shapes)
        rows = numbers(list(self.subject.split(np.repeat(bent[:, None], size, 1), self.shapes)))
        return tuple(
            Kink(name, math.nan, math.nan, None, False, NO_GRADIENT)
            for name, is_bent in zip(names, rows, strict=True)
            if is_bent
        )

    def assembled(self, columns: list[LineEstimate], wholes: Array) -> Estimate:
        """The result in the shape of the derivative."""
        subject = self.subject
        assemble = subject.assembler(self.tree, len(self.shapes))
        value, error, *spread = (
            assemble(list(subject.split(whole, self.shapes))) for whole in wholes
        )
        inputs = [name for i in subject.wrt for name in subject.elements(i)]
        kinks, one_sided = [], []
        for name, column in zip(inputs, columns, strict=True):
            if np.any(column.sides == 1):
                one_sided.append(name)
            for k in np.flatnonzero(column.kink):
                left, right = (float(side[k]) + 0.0 for side in (column.left, column.right))
                jump = math.isnan(left) or math.isnan(right)
                kinks.append(Kink(name, left, right, None, jump))
        return Estimate(
            value,
            error,
            tuple(kinks),
            tuple(one_sided),
            self.evaluations,
            tuple(subject.names(self.tree, self.shapes)),
            subject.notes,
            *spread,
        )
