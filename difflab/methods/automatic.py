"""The automatic way: forward and reverse mode by the rules of the table.

What flows: a graph comes in, and the graph of its values and Jacobian blocks goes out. One
direction is one sweep; many are one sweep under a leading batch axis, over the unit vectors of the
outputs (reverse) or inputs (forward).

>>> import numpy as np
>>> from difflab.tracing.trace import trace
>>> graph = trace(lambda x: np.sum(x**3), np.ones(2))
>>> value, block = Reverse().derive(graph, [0]).graph(np.array([1.0, 2.0]))
>>> value, block
(np.float64(9.0), array([ 3., 12.]))
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from difflab.ir.build import BOOL, broadcast, lift, reshaped
from difflab.ir.expr import Expr, Graph, constant, placeholder, reachable
from difflab.ir.tree import LEAF, Structure
from difflab.methods.derivation import Derivation, Method, Pull, Push
from difflab.readings.batches import batch
from difflab.readings.cotangents import pullback
from difflab.readings.tangents import ones, pushforward, zeros
from difflab.readings.taylor import NODES, NUMBERS, Arithmetic, Expansion
from difflab.table.identities import number, simplify


@dataclass(frozen=True, slots=True, repr=False)
class Reverse(Method):
    """Reverse mode: one backward sweep gives the gradient of one output with respect to
    everything.
    """

    name: str = "reverse"
    exact: bool = True

    @property
    def taylor_order(self) -> int:
        """The first."""
        return 1

    @property
    def pull(self) -> Pull:
        """One backward sweep."""
        return pullback

    def derive(self, graph: Graph, wrt: Sequence[int]) -> Derivation:
        """Values and blocks by pullbacks."""
        return _derived(graph, wrt, _pulled_blocks)

    def again(self) -> Method:
        """Forward over reverse."""
        return Forward()


@dataclass(frozen=True, slots=True, repr=False)
class Forward(Method):
    """Forward mode: one sweep carries the derivative along one direction; here all directions
    at once.
    """

    name: str = "forward"
    exact: bool = True

    @property
    def taylor_order(self) -> int:
        """The first."""
        return 1

    @property
    def push(self) -> Push:
        """One forward sweep."""
        return pushforward

    def derive(self, graph: Graph, wrt: Sequence[int]) -> Derivation:
        """Values and blocks by pushforwards."""
        return _derived(graph, wrt, _pushed_blocks)

    def again(self) -> Method:
        """Forward over forward."""
        return self


@dataclass(frozen=True, slots=True, repr=False)
class Cheaper(Method):
    """Forward mode where there are no more inputs than outputs, else reverse mode."""

    name: str = "forward or reverse"
    exact: bool = True

    def derive(self, graph: Graph, wrt: Sequence[int]) -> Derivation:
        """Values and blocks by the cheaper mode."""
        inputs = sum(graph.inputs[i].size for i in wrt)
        forward = inputs <= sum(out.size for out in graph.outputs)
        return _derived(graph, wrt, _pushed_blocks if forward else _pulled_blocks)

    def again(self) -> Method:
        """Forward over it."""
        return Forward()


@dataclass(frozen=True, slots=True, repr=False)
class Taylor(Method):
    """Taylor mode: all derivatives along one number up to an order, by one sweep of power series.

    With `every` a block holds all coefficients, along a leading axis; else the last derivative.
    Arrays to differentiate by are taken elementwise.
    """

    order: int
    every: bool = False
    name: str = "taylor"
    exact: bool = True

    def derive(self, graph: Graph, wrt: Sequence[int]) -> Derivation:
        """Values and blocks; they are computed without a graph, which costs more than a sweep."""
        derivation = Derivation(None)
        with derivation.timed("derive"):
            moving = [graph.inputs[i] for i in wrt]
            sweeps = [Expansion(graph.outputs, [x], self.order) for x in moving]

        def blocks(values: Sequence[Any], by: Arithmetic, stack: Callable[[Any], Any]) -> list[Any]:
            known = dict(zip(graph.inputs, values, strict=True))
            series = [
                sweep(known, [by.one(x)], by) for sweep, x in zip(sweeps, moving, strict=True)
            ]
            outputs = [coefficients[0] for coefficients in series[0]]
            return outputs + [
                stack(one[k]) if self.every else by.multiple(one[k][-1], math.factorial(self.order))
                for k in range(len(outputs))
                for one in series
            ]

        def written() -> Graph:
            found = blocks(graph.inputs, NODES, lift)
            return simplify(with_blocks(graph, found[len(graph.outputs) :]))

        derivation.run = lambda *arrays: blocks(list(map(np.asarray, arrays)), NUMBERS, np.stack)
        derivation.delayed = written
        return derivation

    @property
    def taylor_order(self) -> int:
        """Its own, of the last derivative alone."""
        return 0 if self.every else self.order

    def again(self) -> Method:
        """One more order."""
        return replace(self, order=self.order + 1)


def derivative_blocks(graph: Graph, wrt: Sequence[int]) -> list[Expr]:
    """The blocks by the cheaper mode, as the rules write them: constants are not folded yet."""
    single = all(out.size == 1 for out in graph.outputs)
    return (_pulled_blocks if single else _pushed_blocks)(graph, wrt)


def _derived(
    graph: Graph, wrt: Sequence[int], blocks_of: Callable[[Graph, Sequence[int]], list[Expr]]
) -> Derivation:
    derivation = Derivation(None)
    with derivation.timed("derive"):
        blocks = blocks_of(graph, wrt)
    with derivation.timed("simplify"):
        derivation.graph = simplify(with_blocks(graph, blocks))
    return derivation


def _pulled_blocks(graph: Graph, wrt: Sequence[int]) -> list[Expr]:
    inputs = [graph.inputs[i] for i in wrt]
    return [block for out in graph.outputs for block in _pulled(graph, out, inputs)]


def _pushed_blocks(graph: Graph, wrt: Sequence[int]) -> list[Expr]:
    columns = [_pushed(graph, graph.inputs[i]) for i in wrt]
    return [column[k] for k in range(len(graph.outputs)) for column in columns]


def with_blocks(graph: Graph, blocks: Sequence[Expr]) -> Graph:
    """The graph with blocks after its values, as a flat list of outputs."""
    outputs = [*graph.outputs, *blocks]
    return graph.with_outputs(outputs, Structure(list, (), (LEAF,) * len(outputs)))


def _pulled(graph: Graph, out: Expr, inputs: list[Expr]) -> list[Expr]:
    """The blocks of one output."""
    if not out.differentiable:
        return [broadcast(constant(0.0, x.dtype), out.shape + x.shape) for x in inputs]
    if out.size == 1:
        found = pullback([out], [ones(out)], inputs)
        return [
            reshaped(zeros(x) if ct is None else ct, out.shape + x.shape)
            for ct, x in zip(found, inputs, strict=True)
        ]
    many = pulled_along(graph, out, inputs, _unit_vectors(out))
    return [reshaped(part, out.shape + x.shape) for part, x in zip(many, inputs, strict=True)]


def pulled_along(graph: Graph, out: Expr, inputs: Sequence[Expr], basis: Any) -> list[Expr]:
    """The cotangents of inputs for sums of unit vectors, which truth values choose, along a leading
    axis.
    """
    # Elementwise to the end: the derivative of that is a diagonal, which is chosen, not multiplied,
    # so that a NaN in one element stays in its own row.
    ends = _elementwise_from(out, inputs)
    slopes = pullback([out], [ones(out)], ends)
    unit = _unit(out)
    parts = [None if slope is None else _chosen(*unit, slope) for slope in slopes]
    found = pullback(ends, parts, inputs)
    rows = [zeros(x) if part is None else part for part, x in zip(found, inputs, strict=True)]
    return along(graph, rows, dict.fromkeys(unit, basis))


def _chosen(unit: Expr, chosen: Expr, slope: Expr) -> Expr:
    """The product with a unit vector: what it does not choose is zero, whatever it is."""
    found: Expr = unit if number(slope) == 1.0 else np.where(chosen, slope, 0.0)  # type: ignore[assignment]
    return found


def _elementwise_from(out: Expr, inputs: Sequence[Expr]) -> list[Expr]:
    """The nodes from which an output is made elementwise."""
    ends: dict[Expr, None] = {}
    stack, seen, cut = [out], {out}, set(inputs)
    while stack:
        node = stack.pop()
        if node in cut or node.primitive.kind != "pointwise":
            ends[node] = None
            continue
        for x in node.operands:
            if x not in seen and x.differentiable:
                seen.add(x)
                stack.append(x)
    return list(ends)


def _elementwise_on(x: Expr, nodes: Sequence[Expr]) -> list[Expr]:
    """The nodes that are made elementwise of one input, and used otherwise, or results."""
    alone, depends, ends = {x}, {x}, dict.fromkeys(out for out in nodes if out is x)
    for node in reachable(nodes):
        if depends.isdisjoint(node.operands):
            continue
        depends.add(node)
        moving = [operand for operand in node.operands if operand in depends]
        if node.primitive.kind == "pointwise" and all(operand in alone for operand in moving):
            alone.add(node)
        else:
            ends |= dict.fromkeys(operand for operand in moving if operand in alone)
    return list(ends | dict.fromkeys(out for out in nodes if out in alone))


def _pushed(graph: Graph, x: Expr) -> list[Expr]:
    """The blocks of all outputs for one input."""
    if x.size == 1:
        found = pushforward(graph.outputs, [x], [ones(x)])
        return [
            reshaped(zeros(out) if t is None else t, out.shape + x.shape)
            for t, out in zip(found, graph.outputs, strict=True)
        ]
    blocks = []
    for part, out in zip(pushed_along(graph, x, _unit_vectors(x)), graph.outputs, strict=True):
        order = (*range(1, out.ndim + 1), 0)
        last: Any = np.transpose(part, order)
        blocks.append(reshaped(last, out.shape + x.shape))
    return blocks


def pushed_along(graph: Graph, x: Expr, basis: Any) -> list[Expr]:
    """The tangents of all outputs for sums of unit vectors, which truth values choose, along a
    leading axis.
    """
    unit = _unit(x)
    ends = _elementwise_on(x, graph.outputs)
    slopes = pushforward(ends, [x], [ones(x)])
    parts = [None if slope is None else _chosen(*unit, slope) for slope in slopes]
    found = pushforward(graph.outputs, ends, parts, wild=set(ends) - {x})
    columns = [
        zeros(out) if part is None else part for part, out in zip(found, graph.outputs, strict=True)
    ]
    return along(graph, columns, dict.fromkeys(unit, basis))


def _unit(like: Expr) -> tuple[Expr, Expr]:
    """A direction of that shape, and which elements it chooses."""
    return placeholder(like.shape, like.dtype, "unit"), placeholder(like.shape, BOOL, "chosen")


def _unit_vectors(like: Expr) -> Any:
    return np.eye(like.size, dtype=bool).reshape(like.size, *like.shape)


def along(graph: Graph, outputs: Sequence[Expr], directions: Mapping[Expr, Any]) -> list[Expr]:
    """The outputs for every entry of the arrays given for the directions, along a leading axis."""
    sweep = Graph((*graph.inputs, *directions), tuple(outputs))
    size = len(next(iter(directions.values())))
    many = batch(sweep, size, [False] * len(graph.inputs) + [True] * len(directions))
    found = many.with_outputs(many.outputs, Structure(list, (), (LEAF,) * len(outputs)))(
        *graph.inputs, *[constant(basis, x.dtype) for x, basis in directions.items()]
    )
    return list(found)
