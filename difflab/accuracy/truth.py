"""The oracle: a rigorous enclosure of the derivative, by balls and germs.

What flows: a function at a point becomes a scene, the scene a derivative (derivative.py), and that
an `Enclosure` in the shape that the operator would return. The invariant: the exact derivative of
the real function that f's operations describe, at the given floats taken as exact, lies in the
enclosure; where there is none, or it is not known, the enclosure is NaN and says why.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from difflab.accuracy.derivative import Derivative, derivative
from difflab.accuracy.kinks import Kink, kinks_of
from difflab.accuracy.partials import REGULARITIES, Partial, Regularity
from difflab.accuracy.points import Points, at_each
from difflab.accuracy.scene import Scene
from difflab.accuracy.subject import Subject, numbers
from difflab.errors import ArgumentError
from difflab.ir.brief import one_line
from difflab.ir.expr import Array
from difflab.ir.tree import Structure, flatten, unflatten
from difflab.operators.arguments import Argnums
from difflab.operators.batched import BatchAxes
from difflab.readings.balls import is_sharp, ulps_of
from difflab.views import notebook

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Enclosure:
    """Balls that contain the derivative, in the shape (or tree) that the operator would return."""

    balls: list[Array]
    dtypes: list[np.dtype[Any]]
    bits: int
    structure: Structure = field(repr=False)
    """The tree of the blocks."""
    special: dict[str, Partial] = field(default_factory=dict)
    """The components that meet a choice or a border of the domain, and what they are."""
    names: tuple[str, ...] = field(default=(), repr=False)
    """Of all components, in the order of the balls."""

    @property
    def verdict(self) -> Regularity:
        """The worst component's: "smooth", "one-sided" (at the border of the domain), "infinite" (a
        vertical tangent), "kink", "jump", "undefined" (no value) or "undecided".
        """
        verdicts = [partial.verdict for partial in self.special.values()]
        return max(verdicts, key=REGULARITIES.index, default="smooth")

    @property
    def kinks(self) -> tuple[Kink, ...]:
        """The components at which the derivative, or the value, jumps."""
        return kinks_of(self.special)

    def __repr__(self) -> str:
        middle, radius = numbers(self.midpoint), np.max(numbers(self.radius), initial=0.0)
        what = f"{middle[0]}" if middle.size == 1 else f"{middle.size} components"
        within = f", radius {radius:.2g}" if np.isfinite(radius) else ""
        return one_line(f"<truth: {what}, {self.verdict}{within}>")

    @property
    def table(self) -> pd.DataFrame:
        """One row a component: ``component``, ``derivative`` (correctly rounded), ``radius``,
        ``verdict``.
        """
        import pandas as pd

        special = {name: partial.verdict for name, partial in self.special.items()}
        return pd.DataFrame(
            {
                "component": list(self.names),
                "derivative": numbers(self.midpoint),
                "radius": numbers(self.radius),
                "verdict": [special.get(name, "smooth") for name in self.names],
            }
        )

    def _repr_html_(self) -> str:
        shown: list[Callable[[object], str]] = [str, str, "{:.2g}".format, str]
        table = self.table.to_html(index=False, max_rows=notebook.MOST_ROWS, formatters=shown)
        return str(table) + notebook.lines([*map(str, self.kinks), *self.notes])

    def _blocks(self) -> Iterator[tuple[Array, np.dtype[Any]]]:
        return zip(self.balls, self.dtypes, strict=True)

    @property
    def notes(self) -> tuple[str, ...]:
        """What there is to say of components that are not smooth, a line each."""
        told = {
            f"{name}: {p.verdict}" + (f" ({p.reason})" if p.reason else "")
            for name, p in self.special.items()
            if p.verdict not in ("smooth", "kink", "jump")
        }
        return tuple(sorted(told))

    @property
    def midpoint(self) -> Any:
        """The derivative, correctly rounded; NaN where there is none, or it is not known."""
        blocks = [_map(float, block).astype(dtype)[()] for block, dtype in self._blocks()]
        return unflatten(self.structure, blocks)

    @property
    def radius(self) -> Any:
        """How far the exact derivative can be from the centre of its ball (before rounding to a
        float).
        """
        blocks = [_map(lambda ball: float(ball.rad()), block)[()] for block in self.balls]
        return unflatten(self.structure, blocks)

    @property
    def sharp(self) -> bool:
        """Whether every component is known to all digits."""
        return all(is_sharp(ball, dtype) for block, dtype in self._blocks() for ball in block.flat)

    def ulps(self, candidate: Any) -> Any:
        """The distance of a candidate from the truth, in units in the last place of the truth.

        Examples
        --------
        >>> enclosure = truth(np.tanh, 20.0)
        >>> print(enclosure.ulps(enclosure.midpoint) <= 0.5)
        True
        >>> print(enclosure.ulps(1.0 - np.tanh(20.0) ** 2) > 1e15)
        True
        """
        leaves = flatten(candidate)[0]
        if len(leaves) != len(self.balls):
            raise ArgumentError(
                f"the candidate has {len(leaves)} arrays, the derivative {len(self.balls)}"
            )
        found = []
        for leaf, (block, dtype) in zip(leaves, self._blocks(), strict=True):
            array = np.asarray(leaf, np.float64)
            if array.shape != block.shape:
                raise ArgumentError(
                    f"the candidate has shape {array.shape}, the derivative {block.shape}"
                )
            distances = [ulps_of(*pair, dtype) for pair in zip(array.flat, block.flat, strict=True)]
            found.append(np.array(distances, np.float64).reshape(block.shape)[()])
        return unflatten(self.structure, found)


def _map(function: Callable[[Any], float], block: Array) -> Array:
    return np.array([function(ball) for ball in block.flat], np.float64).reshape(block.shape)


@overload
def truth(
    f: Callable[..., Any],
    *args: Any,
    argnums: Argnums | None = 0,
    order: int = 1,
    batch: Literal[False] = False,
) -> Enclosure: ...
@overload
def truth(
    f: Callable[..., Any],
    *args: Any,
    argnums: Argnums | None = 0,
    order: int = 1,
    batch: BatchAxes,
) -> Points[Enclosure]: ...
def truth(
    f: Callable[..., Any],
    *args: Any,
    argnums: Argnums | None = 0,
    order: int = 1,
    batch: BatchAxes | Literal[False] = False,
) -> Any:
    """A rigorous enclosure of the derivative of f.

    Parameters
    ----------
    f
        A function that can be traced, with a scalar output (then this is the gradient) or any other
        (the Jacobian).
    args
        The point: floats and float arrays, taken as exact; trees of them.
    argnums
        Which argument, or arguments, to differentiate; None: all that hold floats.
    order
        1, or 2 for the Hessian.
    batch
        The axis of the arguments, or one for each, along which there are many points; None for an
        argument that is the same at all of them. Then a sequence of enclosures comes back, with one
        ``.table``, and ``.midpoint`` and ``.radius`` stacked.

    Returns
    -------
    Enclosure
        ``.midpoint`` (correctly rounded), ``.radius``, ``.ulps(candidate)``, ``.verdict``,
        ``.kinks``; ``.midpoint`` is NaN where there is no derivative, or it cannot be told.

    Raises
    ------
    DomainError
        If an argument is NaN or infinite.
    UnsupportedError
        If an operation has no ball reading.

    Examples
    --------
    >>> print(truth(np.tanh, 20.0).midpoint)
    1.6993417021166355e-17
    >>> print(truth(np.abs, 0.0).kinks[0])
    kink in x at ...: -1.0 from the left, 1.0 from the right
    >>> print(truth(lambda x: np.abs(x) * np.sign(x), 0.0).midpoint)
    1.0
    >>> truth(np.log, -1.0).verdict
    'undefined'
    >>> truth(lambda x: x[0] ** 2 * x[1], np.array([3.0, 5.0]), order=2).midpoint
    array([[10.,  6.],
           [ 6.,  0.]])
    """
    if batch is not False:
        return at_each(functools.partial(truth, f, argnums=argnums, order=order), args, batch)
    return enclosure_of(derivative(Scene(Subject(f, args, argnums, order))))


def enclosure_of(found: Derivative) -> Enclosure:
    """A derivative in the shape that the operator would return."""
    assemble = found.subject.assembler(found.tree, len(found.shapes))
    _, structure = flatten(assemble(found.blocks))
    dtypes = [block.dtype for block in found.blocks]
    names = tuple(found.subject.names(found.tree, found.shapes))
    return Enclosure(found.balls, dtypes, found.bits, structure, found.special_by_name, names)
