"""The oracle: a rigorous enclosure of the derivative, by ball arithmetic.

What flows: the derivative graph of f is read in balls, at a precision that doubles until every
ball's ends round to the same float. The invariant: the exact derivative of the real function that
f's operations describe, at the given floats taken as exact, lies in the enclosure. At a point where
a branch is decided by equality (abs at 0, a tie of maximum, ``if x > 0`` at 0) the one-sided
derivatives are enclosed as well, and where they differ it is a kink.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from difflab.errors import ArgumentError, DomainError, Line
from difflab.interpretations.balls import enclose_nodes, exact, is_sharp, nudged, ulps_of
from difflab.ir.expr import Array, Expr, Graph
from difflab.ir.trace import parameter_names, trace_signature
from difflab.ir.tree import Signature, Spec, flatten, read_arguments
from difflab.methods.automatic import derivative_blocks
from difflab.prepare import Argnums, Argument, Operator

FIRST_BITS: Final = 128
LAST_BITS: Final = 4096
NEARBY: Final = 1200
"""One-sided derivatives are read 2^-1200 away from the point: the difference is below any float."""
SIDED_COMPONENTS: Final = 64


@dataclass(frozen=True, slots=True)
class Kink:
    """A component along which the derivative jumps."""

    component: str
    left: float
    right: float
    line: Line | None

    def __str__(self) -> str:
        place = f" at {self.line}" if self.line else ""
        sides = f"{self.left!r} from the left, {self.right!r} from the right"
        return f"kink in {self.component}{place}: {sides}"


@dataclass(frozen=True, slots=True)
class Enclosure:
    """Balls that contain the derivative, in the shape (or tree) that the operator would return."""

    balls: list[Array]
    dtypes: list[np.dtype[Any]]
    bits: int
    assemble: Callable[[list[Any]], Any] = field(repr=False)
    kinks: tuple[Kink, ...] = ()

    @property
    def midpoint(self) -> Any:
        """The derivative, correctly rounded."""
        pairs = zip(self.balls, self.dtypes, strict=True)
        return self.assemble([_map(float, block).astype(dtype)[()] for block, dtype in pairs])

    @property
    def radius(self) -> Any:
        """How far the exact derivative can be from the centre of its ball (before rounding to a
        float).
        """
        return self.assemble(
            [_map(lambda ball: float(ball.rad()), block)[()] for block in self.balls]
        )

    @property
    def sharp(self) -> bool:
        """Whether every component is known to all digits."""
        pairs = zip(self.balls, self.dtypes, strict=True)
        return all(is_sharp(ball, dtype) for block, dtype in pairs for ball in block.flat)

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
        leaves = (
            flatten(candidate)[0] if isinstance(candidate, (dict, list, tuple)) else [candidate]
        )
        if len(leaves) != len(self.balls):
            raise ArgumentError(
                f"the candidate has {len(leaves)} arrays, the derivative {len(self.balls)}"
            )
        found = []
        for leaf, block, dtype in zip(leaves, self.balls, self.dtypes, strict=True):
            array = np.asarray(leaf, np.float64)
            if array.shape != block.shape:
                raise ArgumentError(
                    f"the candidate has shape {array.shape}, the derivative {block.shape}"
                )
            distances = [
                ulps_of(c, ball, dtype) for c, ball in zip(array.flat, block.flat, strict=True)
            ]
            found.append(np.array(distances, np.float64).reshape(block.shape)[()])
        return self.assemble(found)


def _map(function: Callable[[Any], float], block: Array) -> Array:
    return np.array([function(ball) for ball in block.flat], np.float64).reshape(block.shape)


def truth(f: Callable[..., Any], *args: Any, argnums: Argnums = 0) -> Enclosure:
    """A rigorous enclosure of the derivative of f.

    Parameters
    ----------
    f
        A function that can be traced, with a scalar output (then this is the gradient) or any other
        (the Jacobian).
    args
        The point: floats and float arrays, taken as exact; trees of them.
    argnums
        Which argument, or arguments, to differentiate.

    Returns
    -------
    Enclosure
        ``.midpoint`` (correctly rounded), ``.radius``, ``.ulps(candidate)``, ``.kinks``.

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
    """
    signature, arrays = read_arguments(args, {})
    for array in arrays:
        if not np.all(np.isfinite(array)):
            bad = "NaN" if np.any(np.isnan(array)) else "infinity"
            raise DomainError(
                f"truth needs finite arguments, but got {bad}", "choose a point inside the domain"
            )
    operator = Operator(f, argnums, None, "numpy")
    graph = trace_signature(f, signature, arrays)
    chosen = operator.chosen(signature)
    wrt = [i for part in chosen for i in part.positions]
    blocks = derivative_blocks(graph, wrt)
    balls, bits = _sharpened(graph, blocks, [exact(a) for a in arrays])
    dtypes = [block.dtype for block in blocks]
    finish = operator.finisher(chosen, graph.output_tree, len(graph.outputs))
    kinks = tuple(_kinks(f, signature, arrays, graph, chosen))
    return Enclosure(balls, dtypes, bits, finish, kinks)


def _sharpened(graph: Graph, blocks: Sequence[Expr], point: list[Array]) -> tuple[list[Array], int]:
    """Balls of the blocks at the first precision that makes all of them sharp, or at the last."""
    bits = FIRST_BITS
    while True:
        known = dict(zip(graph.inputs, point, strict=True))
        enclose_nodes(blocks, known, bits)
        found = [known[block] for block in blocks]
        done = all(
            is_sharp(ball, block.dtype)
            for block, array in zip(blocks, found, strict=True)
            for ball in array.flat
        )
        if done or bits >= LAST_BITS:
            return found, bits
        bits *= 2


def suspects(graph: Graph, arrays: Sequence[Any]) -> list[Expr]:
    """The nodes whose derivative may jump at the point: a kink's condition is zero there, in
    floats.
    """
    known = dict(zip(graph.inputs, map(exact, arrays), strict=True))
    kinked = [node for node in graph.operations if node.primitive.kink is not None]
    operands = [x for node in kinked for x in node.operands]
    enclose_nodes(operands, known, FIRST_BITS)
    found = []
    for node in kinked:
        values = [_as_floats(known[x]) for x in node.operands]
        rule = node.primitive.kink
        assert rule is not None
        with np.errstate(all="ignore"):
            if np.any(rule(*values, **dict(node.params)) == 0.0):
                found.append(node)
    return found


def _as_floats(array: Array) -> Array:
    if array.dtype != object:
        return array.astype(np.float64)
    return _map(lambda ball: float("nan") if ball is None else float(ball), array)


def _kinks(
    f: Callable[..., Any],
    signature: Signature,
    arrays: list[Any],
    graph: Graph,
    chosen: Sequence[Argument],
) -> Iterator[Kink]:
    found = suspects(graph, arrays)
    if not found:
        return
    line = found[0].line
    named = zip(signature.paths(parameter_names(f)), signature.leaves, strict=True)
    leaves = [name for name, spec in named if isinstance(spec, Spec)]
    for i in [i for part in chosen for i in part.positions]:
        array = np.asarray(arrays[i])
        for index in list(np.ndindex(array.shape))[:SIDED_COMPONENTS]:
            left, right = (_one_sided(f, signature, arrays, i, index, side) for side in (-1, 1))
            name = leaves[i] + "".join(f"[{k}]" for k in index)
            for a, b in zip(left, right, strict=True):
                if a != b and not (np.isnan(a) and np.isnan(b)):
                    yield Kink(name, a, b, line)


def _one_sided(
    f: Callable[..., Any],
    signature: Signature,
    arrays: list[Any],
    i: int,
    index: tuple[int, ...],
    side: int,
) -> list[float]:
    """The derivative of every output element by one component, as seen from one side."""
    near = [np.array(array) for array in arrays]
    near[i][index] = np.nextafter(near[i][index], side * np.inf)
    graph = trace_signature(f, signature, near)  # the branch that Python takes on that side
    blocks = derivative_blocks(graph, [i])
    point = [exact(array) for array in arrays]
    point[i][index] = nudged(point[i][index], side, NEARBY)
    known = dict(zip(graph.inputs, point, strict=True))
    enclose_nodes(blocks, known, 2 * NEARBY + FIRST_BITS)
    at: Any = (..., *index)
    return [
        float(ball)
        for block, out in zip(blocks, graph.outputs, strict=True)
        for ball in known[block].reshape(out.shape + np.shape(arrays[i]))[at].flat
    ]
