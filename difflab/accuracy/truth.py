"""The oracle: a rigorous enclosure of the derivative, by ball arithmetic.

What flows: the derivative graph of f is read in balls, at a precision that doubles until every
ball's ends round to the same float. The invariant: the exact derivative of the real function that
f's operations describe, at the given floats taken as exact, lies in the enclosure. At a point where
a branch is decided by equality (abs at 0, a tie of maximum, ``if x > 0`` at 0) the one-sided
derivatives are enclosed as well, and where they differ it is a kink (kinks.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from difflab.accuracy.kinks import Kink, sides, suspects
from difflab.accuracy.subject import Subject
from difflab.errors import ArgumentError
from difflab.interpretations.balls import enclose_nodes, exact, is_sharp, ulps_of
from difflab.ir.build import lift
from difflab.ir.expr import Array, Expr, Graph, attributed_to, constant, evaluate
from difflab.ir.tree import Structure, flatten, unflatten
from difflab.prepare import Argnums

__all__ = ["Enclosure", "Kink", "sharpened", "suspects", "truth", "with_safe_branches"]

FIRST_BITS: Final = 128
LAST_BITS: Final = 4096


@dataclass(frozen=True, slots=True)
class Enclosure:
    """Balls that contain the derivative, in the shape (or tree) that the operator would return."""

    balls: list[Array]
    dtypes: list[np.dtype[Any]]
    bits: int
    structure: Structure = field(repr=False)
    """The tree of the blocks."""
    kinks: tuple[Kink, ...] = ()

    @property
    def midpoint(self) -> Any:
        """The derivative, correctly rounded."""
        pairs = zip(self.balls, self.dtypes, strict=True)
        blocks = [_map(float, block).astype(dtype)[()] for block, dtype in pairs]
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
        return unflatten(self.structure, found)


def _map(function: Callable[[Any], float], block: Array) -> Array:
    return np.array([function(ball) for ball in block.flat], np.float64).reshape(block.shape)


def truth(
    f: Callable[..., Any], *args: Any, argnums: Argnums | None = 0, order: int = 1
) -> Enclosure:
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
    >>> truth(lambda x: x[0] ** 2 * x[1], np.array([3.0, 5.0]), order=2).midpoint
    array([[10.,  6.],
           [ 6.,  0.]])
    """
    subject = Subject(f, args, argnums, order)
    return enclosed(subject, subject.traced())


def enclosed(subject: Subject, graph: Graph) -> Enclosure:
    """The enclosure for a function that has been traced."""
    safe = with_safe_branches(graph, subject.arrays)
    blocks = subject.blocks(safe)
    balls, bits = sharpened(safe, blocks, subject.arrays)
    found = suspects(graph, subject.arrays)
    kinks = sides(subject, safe, found).kinks if found else ()
    assemble = subject.assembler(graph.output_tree, len(graph.outputs))
    _, structure = flatten(assemble(blocks))
    return Enclosure(balls, [block.dtype for block in blocks], bits, structure, kinks)


def sharpened(
    graph: Graph, blocks: Sequence[Expr], arrays: Sequence[Any]
) -> tuple[list[Array], int]:
    """Balls of the blocks at the first precision that makes all of them sharp, or at the last."""
    bits = FIRST_BITS
    while True:
        known = dict(zip(graph.inputs, map(exact, arrays), strict=True))
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


def with_safe_branches(graph: Graph, arrays: Sequence[Any]) -> Graph:
    """The graph with operands inside the domain where a branch that is not taken leaves it.

    ``np.where(x > 0, np.sqrt(x), 0.0)`` is 0 for negative x, and so is its slope, although the
    rules multiply the 0 that comes back to the root by a slope that does not exist. Elements that
    are undefined without making an output undefined have no influence: they get other operands.
    """
    point = dict(zip(graph.inputs, map(np.asarray, arrays), strict=True))
    floats: dict[Expr, Any] = dict(point)
    evaluate(graph.outputs, floats)
    if all(np.all(np.isfinite(floats[x])) for x in floats if x.differentiable):
        return graph
    known = {x: exact(array) for x, array in point.items()}
    enclose_nodes(graph.outputs, known, FIRST_BITS)
    if not all(np.all(_defined(known[out])) for out in graph.outputs):
        return graph
    new: dict[Expr, Expr] = {}
    for node in sorted(known, key=lambda node: node.age):
        operands = [new.get(x, x) for x in node.operands]
        if node.primitive.kind == "pointwise" and node.differentiable:
            inside = np.ones(node.shape, bool)
            for x in node.operands:
                inside = inside & _defined(known[x])
            undefined = inside & ~_defined(known[node])
            if np.any(undefined):
                with attributed_to(node.line):
                    operands = [_guarded(node, k, x, undefined) for k, x in enumerate(operands)]
        if any(x is not y for x, y in zip(operands, node.operands, strict=True)):
            with attributed_to(node.line):
                new[node] = Expr(node.primitive, tuple(operands), node.params)
    return graph.with_outputs([new.get(out, out) for out in graph.outputs], graph.output_tree)


def first_undefined(graph: Graph, arrays: Sequence[Any]) -> Expr | None:
    """The first operation that has no value, where the outputs have none for that reason."""
    floats: dict[Expr, Any] = dict(zip(graph.inputs, map(np.asarray, arrays), strict=True))
    if all(np.all(np.isfinite(value)) for value in evaluate(graph.outputs, floats)):
        return None
    known = dict(zip(graph.inputs, map(exact, arrays), strict=True))
    enclose_nodes(graph.outputs, known, FIRST_BITS)
    if all(np.all(_defined(known[out])) for out in graph.outputs):
        return None
    nodes = sorted(known, key=lambda node: node.age)
    return next(node for node in nodes if not np.all(_defined(known[node])))


def _defined(array: Array) -> Array:
    """Where balls are numbers; what is no ball always is."""
    if array.dtype != object:
        return np.ones(array.shape, bool)
    finite = [not hasattr(ball, "is_finite") or bool(ball.is_finite()) for ball in array.flat]
    return np.array(finite, bool).reshape(array.shape)


def _guarded(node: Expr, position: int, x: Expr, undefined: Array) -> Expr:
    """An operand with a number inside the row's domain at the undefined elements."""
    if not x.differentiable:
        return x
    domain = node.primitive.domain[position]
    finite = [end for end in (domain.low, domain.high) if np.isfinite(end)]
    inside = {0: 1.0, 1: finite[0] + 1.0 if finite else 1.0, 2: 0.5 * sum(finite)}[len(finite)]
    value = np.full(undefined.shape, inside, x.dtype)
    guarded: Any = np.where(undefined, constant(value), x)
    return lift(guarded)
