"""Sparse Jacobians by few sweeps: columns that share no row are carried together.

What flows: a graph of one output goes in, and the graph of its Jacobian's entries comes out, in the
order of its pattern. Columns (or, backward, rows) get colours, such that within a row (a column) no
two entries have one colour; one sweep a colour then has every entry for itself (Curtis, Powell and
Reid 1974). The invariant: where an entry is not finite, the others are as if it were: what a sweep
finds where its colour cannot be is zero, whatever it is multiplied by.

>>> from difflab.tracing.trace import trace
>>> graph = trace(lambda x: x[1:] * x[:-1], np.ones(4))
>>> found = Compressed.of(graph, 0)
>>> found.colours.tolist(), found.forward
([0, 1, 0, 1], True)
>>> found.derive().graph(np.array([1.0, 2.0, 3.0, 4.0]))[1]
array([2., 1., 3., 2., 4., 3.])
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from difflab.errors import BudgetError
from difflab.ir.build import BOOL
from difflab.ir.expr import Expr, Graph, attributed_to, placeholder, walk
from difflab.methods.automatic import along, pulled_along, pushed_along, with_blocks
from difflab.methods.derivation import Derivation
from difflab.readings.sparsity import MOST, Numbers, Pattern, patterns
from difflab.readings.tangents import Tangent, pushforward, zeros
from difflab.table.identities import simplify


def coloured(pattern: Pattern) -> Numbers:
    """A colour for each column, such that no row has a colour twice: in turn, where that does
    with about as few as any way must have, else greedily.

    >>> coloured(Pattern.diagonal(3)).tolist()
    [0, 0, 0]
    """
    least = fewest(pattern)
    for count in (least, least + 1):
        if _round_and_round(pattern, count):
            return np.arange(pattern.width) % max(count, 1)
    columns = pattern.transposed()
    best = _greedy(columns, np.arange(pattern.width))
    if best.max() > least:
        other = _greedy(columns, np.argsort(-columns.counts, kind="stable"))
        best = min(best, other, key=lambda colours: int(colours.max()))
    return best


def fewest(pattern: Pattern) -> int:
    """No fewer colours will do: the entries of the fullest row."""
    return int(pattern.counts.max(initial=0))


def _round_and_round(pattern: Pattern, count: int) -> bool:
    """Whether columns can be given so many colours in turn, as those of bands and stencils can."""
    used = np.bincount(pattern.rows * count + pattern.columns % max(count, 1))
    return bool(used.max(initial=0) <= 1)


def _greedy(columns: Pattern, order: Numbers) -> Numbers:
    """Each column in turn gets the first colour that none of its rows has."""
    starts, rows = columns.starts.tolist(), columns.columns.tolist()
    used = [0] * columns.width  # of each row, as bits
    colours = np.zeros(columns.height, np.int64)
    for column in order.tolist():
        mine = rows[starts[column] : starts[column + 1]]
        taken = 0
        for row in mine:
            taken |= used[row]
        free = ~taken & (taken + 1)
        for row in mine:
            used[row] |= free
        colours[column] = free.bit_length() - 1
    return colours


@dataclass(frozen=True, eq=False)
class Compressed:
    """How the entries of a sparse Jacobian are found."""

    graph: Graph
    position: int
    """Which input the derivative is by."""
    pattern: Pattern
    forward: bool
    colours: Numbers
    """Of the columns; backward, of the rows."""

    @classmethod
    def of(cls, graph: Graph, position: int, ways: tuple[bool, ...] = (True, False)) -> Compressed:
        """The way (forward: True) with fewer colours."""
        (pattern,) = patterns(graph.outputs, graph.inputs[position])
        sides = {way: pattern if way else pattern.transposed() for way in ways}
        least = {way: fewest(side) for way, side in sides.items()}
        found: dict[bool, Numbers] = {}
        for way in sorted(ways, key=lambda way: least[way]):
            if all(int(other.max(initial=0)) >= least[way] for other in found.values()):
                _need_room(least[way] * (pattern.height + pattern.width))
                found[way] = coloured(sides[way])
        way = min(found, key=lambda way: int(found[way].max(initial=0)))
        return cls(graph, position, pattern, way, found[way])

    @property
    def count(self) -> int:
        """How many sweeps there are."""
        return int(self.colours.max(initial=-1)) + 1

    @functools.cached_property
    def basis(self) -> Any:
        """Which inputs (backward: outputs) each sweep starts from."""
        like = self.graph.inputs[self.position] if self.forward else self.graph.outputs[0]
        chosen = np.arange(self.count)[:, None] == self.colours
        return chosen.reshape(self.count, *like.shape)

    def derive(self) -> Derivation:
        """The value, and the entries row by row."""
        derivation = Derivation(None, counts={"colours": self.count})
        with derivation.timed("derive"):
            x, (out,) = self.graph.inputs[self.position], self.graph.outputs
            if self.forward:
                (many,) = pushed_along(self.graph, x, self.basis)
            else:
                (many,) = pulled_along(self.graph, out, [x], self.basis)
            entries = self._entries(many)
        with derivation.timed("simplify"):
            derivation.graph = simplify(with_blocks(self.graph, [entries]))
        if self.forward:
            derivation.repair = self._masked
        return derivation

    def _entries(self, many: Any) -> Expr:
        """The entries among the results of all sweeps."""
        rows, columns = self.pattern.rows, self.pattern.columns
        if self.forward:
            where = self.colours[columns] * self.pattern.height + rows
        else:
            where = self.colours[rows] * self.pattern.width + columns
        found: Expr = np.reshape(many, (-1,))[where]
        return found

    def _masked(self) -> Graph:
        """The same, where after every step what cannot be of a sweep's colour is zero."""
        graph, x = self.graph, self.graph.inputs[self.position]
        unit = placeholder(x.shape, x.dtype, "unit")
        masks: dict[Expr, Any] = {unit: self.basis}
        nodes = [node for node in graph.nodes if node.differentiable]
        known = dict(zip(nodes, patterns(nodes, x), strict=True))

        def moved(node: Expr, moving: list[Tangent]) -> Tangent:
            (found,) = pushforward([node], node.operands, moving, wild=node.operands)
            if found is None or node.primitive.kind != "pointwise":
                return found
            mask = placeholder(node.shape, BOOL, "mask")
            masks[mask] = self._alive(known[node], node.shape)
            with attributed_to(node.line):
                chosen: Expr = np.where(mask, found, 0.0)  # type: ignore[assignment]
            return chosen

        (out,) = graph.outputs
        tangents: dict[Expr, Tangent] = {x: unit}
        (found,) = walk([out], tangents, moved)
        (many,) = along(graph, [zeros(out) if found is None else found], masks)
        return simplify(with_blocks(graph, [self._entries(many)]))

    def _alive(self, pattern: Pattern, shape: tuple[int, ...]) -> Any:
        """Of which colours the inputs of each element are."""
        found = np.zeros((self.count, pattern.height), bool)
        found[self.colours[pattern.columns], pattern.rows] = True
        return found.reshape(self.count, *shape)


def _need_room(elements: int) -> None:
    if elements > MOST:
        raise BudgetError(
            f"the sweeps of this Jacobian hold {elements:.2g} numbers: it has a full row and a full"
            " column, or is not sparse",
            "use jvp or vjp, or differentiate the full part by itself",
        )
