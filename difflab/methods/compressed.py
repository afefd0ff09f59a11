"""Sparse Jacobians by few sweeps: columns that share no row are carried together.

What flows: a graph of one output goes in, and the graph of its Jacobian's entries comes out, in the
order of its pattern. Columns (or, backward, rows) get colours, such that within a row (a column) no
two entries have one colour; one sweep a colour then has every entry for itself (Curtis, Powell and
Reid 1974). A few full rows are found backward, so that the others need few colours forward, or the
other way round. The invariant: where an entry is not finite, the others are as if it were: what a
sweep finds where its colour cannot be is zero, whatever it is multiplied by.

>>> from difflab.tracing.trace import trace
>>> graph = trace(lambda x: x[1:] * x[:-1], np.ones(4))
>>> found = Compressed.of(graph, 0)
>>> [(sweeps.forward, sweeps.colours.tolist()) for sweeps in found.parts]
[(True, [0, 1, 0, 1])]
>>> found.derive().graph(np.array([1.0, 2.0, 3.0, 4.0]))[1]
array([2., 1., 3., 2., 4., 3.])
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from difflab.errors import BudgetError, UnsupportedError
from difflab.ir.build import BOOL, reshaped
from difflab.ir.expr import Expr, Graph, attributed_to, placeholder, walk
from difflab.ir.row import Transposes
from difflab.methods.automatic import along, pulled_along, pushed_along, with_blocks
from difflab.methods.derivation import Derivation
from difflab.readings.sparsity import MOST, Numbers, Pattern, meetings, patterns
from difflab.readings.tangents import Tangent, pushforward, zeros
from difflab.spellings.indexing import indices
from difflab.table.identities import simplify
from difflab.table.movement import scatter_add

TRIED: Final = 16
"""How many numbers of colours are tried in turn."""
SECOND: Final = 2
"""How many sweeps going both ways must save."""


def coloured(pattern: Pattern) -> Numbers:
    """A colour for each column, such that no row has a colour twice: in turn, as the columns of
    bands and stencils can have them, or greedily, whichever takes fewer.

    >>> coloured(Pattern.diagonal(3)).tolist()
    [0, 0, 0]
    """
    least = max(fewest(pattern), 1)
    turns = next((n for n in range(least, least + TRIED) if _in_turn(pattern, n)), None)
    found = [] if turns is None else [np.arange(pattern.width) % turns]
    if turns is None or turns > least + 1:
        columns = pattern.transposed()
        found.append(_greedy(columns, np.arange(pattern.width)))
        if turns is None:
            found.append(_greedy(columns, np.argsort(-columns.counts, kind="stable")))
    return min(found, key=lambda colours: int(colours.max(initial=0)))


def fewest(pattern: Pattern) -> int:
    """No fewer colours will do: the entries of the fullest row."""
    return int(pattern.counts.max(initial=0))


def _in_turn(pattern: Pattern, count: int) -> bool:
    """Whether columns can be given so many colours in turn."""
    used = np.zeros(pattern.height * count, bool)
    used[pattern.rows * count + pattern.columns % count] = True
    return int(used.sum()) == pattern.columns.size


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
class Sweeps:
    """Sweeps one way, one a colour, for some entries of a pattern."""

    forward: bool
    colours: Numbers
    """Of the columns; backward, of the rows; -1 where there is no entry."""
    entries: Numbers
    """Which entries of the pattern they find."""
    places: Numbers
    """Where these are among the results of all sweeps."""

    @classmethod
    def of(cls, pattern: Pattern, chosen: NDArray[np.bool_], forward: bool) -> Sweeps:
        """The sweeps for the chosen entries."""
        rows, columns = pattern.rows[chosen], pattern.columns[chosen]
        whole = columns.size == pattern.columns.size
        part = pattern if whole else Pattern.of(rows, columns, (pattern.height, pattern.width))
        side = part if forward else part.transposed()
        used = np.bincount(side.columns, minlength=side.width) > 0
        colours = np.where(used, coloured(side), -1)
        own, other, length = (
            (columns, rows, pattern.height) if forward else (rows, columns, pattern.width)
        )
        return cls(forward, colours, np.flatnonzero(chosen), colours[own] * length + other)

    @property
    def count(self) -> int:
        """How many sweeps there are: one at least."""
        return max(int(self.colours.max(initial=0)) + 1, 1)

    def basis(self, shape: tuple[int, ...]) -> Any:
        """Which elements of an input (backward: the output) each sweep starts from."""
        chosen = np.arange(self.count)[:, None] == self.colours
        return chosen.reshape(self.count, *shape)


def planned(pattern: Pattern, ways: Sequence[bool]) -> list[Sweeps]:
    """The sweeps for all entries: forward (True), backward, or the fullest rows or columns the
    other way than the rest.
    """
    plans = []
    for forward in ways:
        counts = pattern.counts if forward else np.bincount(pattern.columns)
        full, least = np.zeros(0, np.int64), int(counts.max(initial=0))
        if len(ways) > 1 and least > SECOND + 1:
            order = np.argsort(-counts, kind="stable")
            colours = np.append(counts[order], 0) + np.arange(counts.size + 1)
            colours[1:] += SECOND
            least, full = int(colours.min()), order[: np.argmin(colours)]
        plans.append((least, forward, full))
    plans.sort(key=lambda plan: plan[0])
    _need_room(plans[0][0] * (pattern.height + pattern.width))
    best: list[Sweeps] = []
    for least, forward, full in plans:
        if not best or least < _count(best):
            apart = np.isin(pattern.rows if forward else pattern.columns, full)
            parts = [Sweeps.of(pattern, ~apart, forward)]
            if full.size:
                parts.append(Sweeps.of(pattern, apart, not forward))
            best = min(best or parts, parts, key=_count)
    return best


def _count(parts: Sequence[Sweeps]) -> int:
    return sum(part.count for part in parts)


@dataclass(frozen=True, eq=False)
class Compressed:
    """How the entries of a sparse Jacobian are found."""

    graph: Graph
    position: int
    """Which input the derivative is by."""
    pattern: Pattern
    parts: list[Sweeps]

    @classmethod
    def of(cls, graph: Graph, position: int, ways: Sequence[bool] = (True, False)) -> Compressed:
        """The ways (forward: True) with few colours."""
        (pattern,) = patterns(graph.outputs, graph.inputs[position])
        return cls(graph, position, pattern, planned(pattern, ways))

    def derive(self) -> Derivation:
        """The value, and the entries row by row."""
        derivation = Derivation(None, counts={"colours": _count(self.parts)})
        with derivation.timed("derive"):
            x, (out,) = self.graph.inputs[self.position], self.graph.outputs
            results: list[Expr] = []
            for part in self.parts:
                if part.forward:
                    results += pushed_along(self.graph, x, part.basis(x.shape))
                else:
                    results += pulled_along(self.graph, out, [x], part.basis(out.shape))
            entries = self._entries(results)
        with derivation.timed("simplify"):
            derivation.graph = whole = simplify(with_blocks(self.graph, [entries]))
        derivation.repair = lambda: self._repaired(whole)
        return derivation

    def _entries(self, results: Sequence[Any]) -> Expr:
        """The entries among the results of all sweeps."""
        where, start = np.zeros(self.pattern.columns.size, np.int64), 0
        for part, found in zip(self.parts, results, strict=True):
            where[part.entries] = start + part.places
            start += found.size
        flat: Any = [np.reshape(found, (-1,)) for found in results]
        joined: Any = flat[0] if len(flat) == 1 else np.concatenate(flat)
        entries: Expr = joined[where]
        return entries

    def _repaired(self, whole: Graph) -> Graph:
        """What to compute where an entry is not finite: the masked sweeps, where there is room."""
        with suppress(BudgetError, UnsupportedError):
            return replace(self, parts=planned(self.pattern, (True,))).masked()
        return whole

    def masked(self) -> Graph:
        """Sweeps forward where, after every step, what cannot be of a sweep's colour is zero."""
        graph, x, (part,) = self.graph, self.graph.inputs[self.position], self.parts
        unit = placeholder(x.shape, x.dtype, "unit")
        masks: dict[Expr, Any] = {unit: part.basis(x.shape)}
        nodes = [node for node in graph.nodes if node.differentiable]
        known = dict(zip(nodes, patterns(nodes, x), strict=True))

        def moved(node: Expr, moving: list[Tangent]) -> Tangent:
            if (product := _product(node, moving)) is not None:
                return product
            (found,) = pushforward([node], node.operands, moving, wild=node.operands)
            if found is None or node.primitive.kind != "pointwise":
                return found
            pattern = known[node]
            alive = np.zeros((part.count, pattern.height), bool)
            inside = part.colours[pattern.columns] >= 0
            alive[part.colours[pattern.columns[inside]], pattern.rows[inside]] = True
            mask = placeholder(node.shape, BOOL, "mask")
            masks[mask] = alive.reshape(part.count, *node.shape)
            with attributed_to(node.line):
                chosen: Expr = np.where(mask, found, 0.0)  # type: ignore[assignment]
            return chosen

        (out,) = graph.outputs
        tangents: dict[Expr, Tangent] = {x: unit}
        (found,) = walk([out], tangents, moved)
        many = along(graph, [zeros(out) if found is None else found], masks)
        return simplify(with_blocks(graph, [self._entries(many)]))


def _product(node: Expr, moving: Sequence[Tangent]) -> Tangent:
    """The tangent of a product with a constant array whose zeros meet nothing; None: no such."""
    row = node.primitive
    if row.kind != "contraction" or not isinstance(row.derivative, Transposes):
        return None
    for i, tangent in enumerate(moving):
        if tangent is not None and (met := meetings(node, i)) is not None:
            mine, theirs, result = met
            flat: Any = [reshaped(x, (x.size,)) for x in (tangent, node.operands[1 - i])]
            terms = flat[0][mine] * flat[1][theirs]
            return reshaped(scatter_add(terms, indices(result), shape=(node.size,)), node.shape)
    return None


def _need_room(elements: int) -> None:
    if elements > MOST:
        raise BudgetError(
            f"the sweeps of this Jacobian hold {elements:.2g} numbers: it is not sparse, or its"
            " entries lie so that few columns or rows can be carried together",
            "use jvp or vjp, or differentiate a full part by itself",
        )
