"""Which inputs each element may depend on: what flows along the edges is a sparse pattern.

What flows: the pattern of an input, which is a diagonal, goes in; the pattern of every output comes
out. The invariant: a pattern is never too small, whatever the values. It may be too large: a
comparison is not asked, and what mixes elements along an axis is dense along it. A product with a
constant zero is zero, also where the other factor is infinite, as in `tangents.vanishes`.

A row of the table is read by its cells: a movement is run on the numbers of its elements, a sum is
its transpose run on the numbers of its results, and a contraction pairs what its letters pair.

>>> from difflab.ir.expr import placeholder
>>> x = placeholder((4,), np.dtype("float64"), "x")
>>> (pattern,) = patterns([np.sin(x[1:]) * x[:-1]], x)
>>> pattern.rows.tolist(), pattern.columns.tolist()
([0, 0, 1, 1, 2, 2], [0, 1, 1, 2, 2, 3])
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from difflab.errors import BudgetError
from difflab.ir.expr import Expr, attributed_to, evaluate, reachable, walk
from difflab.ir.row import Partials, Transpose, Transposes
from difflab.readings.tangents import is_zero, vanishes

Numbers = NDArray[np.int64]
Positions = dict[str, Numbers]
MOST: Final = 5 * 10**7
"""How many entries a pattern may have."""


@dataclass(frozen=True, slots=True, eq=False)
class Pattern:
    """For each element of an array, the inputs that it may depend on: in order, each once."""

    starts: Numbers
    """Where the columns of each row start, and where the last ones end."""
    columns: Numbers
    width: int
    """How many inputs there are."""

    @classmethod
    def diagonal(cls, size: int) -> Pattern:
        """Each element depends on itself."""
        return cls(np.arange(size + 1), np.arange(size), size)

    @classmethod
    def of(cls, rows: Numbers, columns: Numbers, shape: tuple[int, int]) -> Pattern:
        """The pattern of entries in any order, any number of times each."""
        height, width = shape
        keys = np.sort(rows * width + columns)
        keys = keys[np.concatenate([[True], keys[1:] != keys[:-1]])[: keys.size]]
        rows = keys // max(width, 1)
        counts = np.bincount(rows, minlength=height)
        return cls(np.concatenate([[0], np.cumsum(counts)]), keys - rows * width, width)

    @property
    def height(self) -> int:
        """How many elements the array has."""
        return self.starts.size - 1

    @property
    def counts(self) -> Numbers:
        """How many inputs each element depends on."""
        return np.diff(self.starts)

    @property
    def rows(self) -> Numbers:
        """The element of each entry, beside `columns`."""
        return np.repeat(np.arange(self.height), self.counts)

    def transposed(self) -> Pattern:
        """For each input, the elements that depend on it."""
        return Pattern.of(self.columns, self.rows, (self.width, self.height))

    def taken(self, rows: Numbers) -> Pattern:
        """The pattern of an array that holds those elements, in that order."""
        counts = self.counts[rows]
        starts = np.concatenate([[0], np.cumsum(counts)])
        _need_room(int(starts[-1]))
        shift = np.repeat(self.starts[rows] - starts[:-1], counts)
        return Pattern(starts, self.columns[shift + np.arange(starts[-1])], self.width)

    def gathered(self, targets: Numbers, height: int) -> Pattern:
        """The pattern of an array to whose element ``targets[k]`` element k goes."""
        return Pattern.of(np.repeat(targets, self.counts), self.columns, (height, self.width))


def together(found: Iterable[Pattern | None]) -> Pattern | None:
    """The pattern of an array of which each element depends on all that those elements do."""
    several = [*dict.fromkeys(pattern for pattern in found if pattern is not None)]
    if len(several) < 2:
        return several[0] if several else None
    rows, columns = ([getattr(p, name) for p in several] for name in ("rows", "columns"))
    shape = several[0].height, several[0].width
    return Pattern.of(np.concatenate(rows), np.concatenate(columns), shape)


def joined(found: Sequence[Pattern], width: int) -> Pattern:
    """The pattern of all elements of several arrays, one after another."""
    counts = np.concatenate([p.counts for p in found])
    starts = np.concatenate([[0], np.cumsum(counts)])
    return Pattern(starts, np.concatenate([p.columns for p in found]), width)


def _empty(height: int, width: int) -> Pattern:
    return Pattern(np.zeros(height + 1, np.int64), np.zeros(0, np.int64), width)


def _need_room(entries: int) -> None:
    if entries > MOST:
        raise BudgetError(
            f"the derivative is not sparse: a value on its way has {entries:.2g} partials",
            "use gradient, jvp or vjp, or jacobian if it fits into memory",
        )


def patterns(outputs: Sequence[Expr], x: Expr) -> list[Pattern]:
    """For each output, which elements of an input its elements may depend on."""
    known: dict[Expr, Pattern | None] = {x: Pattern.diagonal(x.size)}
    found = walk(outputs, known, _rule)
    return [_empty(y.size, x.size) if p is None else p for y, p in zip(outputs, found, strict=True)]


def _rule(node: Expr, found: list[Pattern | None]) -> Pattern | None:
    if not node.differentiable or all(pattern is None for pattern in found):
        return None
    row, width = node.primitive, next(pattern.width for pattern in found if pattern is not None)
    flowing = [(i, pattern) for i, pattern in enumerate(found) if pattern is not None]
    if row.kind == "pointwise":
        silent = _silent(node)
        return together(pattern for i, pattern in flowing if i not in silent)
    if row.kind == "contraction" and isinstance(row.derivative, Transposes):
        return together(_contracted(node, i, pattern) for i, pattern in flowing)
    pairs = [(x, p) for x, p in zip(node.operands, found, strict=True) if x.differentiable]
    parts = [x for x, _ in pairs]
    whole = joined([p if p is not None else _empty(x.size, width) for x, p in pairs], width)
    if (sources := _sources(node, parts)) is not None:
        return whole.taken(sources)
    if (targets := _targets(node)) is not None:
        return whole.gathered(targets, node.size)
    count, of_parts, of_node = _groups(node, parts)
    return whole.gathered(of_parts, count).taken(of_node)


def _silent(node: Expr) -> set[int]:
    """The operands that a pointwise node's derivative does not pass."""
    rule = node.primitive.derivative
    if isinstance(rule, Partials):
        with attributed_to(node.line):
            partials = rule.rule(node, *node.operands, **dict(node.params))
        partials = partials if isinstance(partials, tuple) else (partials,)
        return {i for i, partial in enumerate(partials) if is_zero(partial)}
    return {i for i in range(len(node.operands)) if vanishes(node, i)}


# -- movement and sums -----------------------------------------------------------------------------


def _numbered(parts: Sequence[Expr]) -> list[Numbers]:
    """The elements of several arrays, numbered one after another."""
    ends = np.cumsum([0, *[x.size for x in parts]]).tolist()
    return [np.arange(i, i + x.size).reshape(x.shape) for i, x in zip(ends, parts, strict=False)]


def _settled(node: Expr) -> Any:
    """The value of a node that is computed of fixed constants alone, else None."""
    if any(not x.operands and not x.is_fixed for x in reachable([node])):
        return None
    return evaluate([node], {})[0]


def _addresses(node: Expr) -> list[Any] | None:
    """The operands that are no floats; None where one of them is not known."""
    values = [_settled(x) for x in node.operands if not x.differentiable]
    return None if any(value is None for value in values) else values


def _sources(node: Expr, parts: Sequence[Expr]) -> Numbers | None:
    """For each element of the result, the element of the operands that it is."""
    row, addresses = node.primitive, _addresses(node)
    if row.kind != "movement" or row.elements == "mixed" or addresses is None:
        return None
    found = row.evaluate(*_numbered(parts), *addresses, **dict(node.params))
    return np.asarray(found, np.int64).ravel()


def _targets(node: Expr) -> Numbers | None:
    """For each element of the operand, the element of the result that it goes to."""
    row, addresses = node.primitive, _addresses(node)
    moves = row.kind == "movement" or row.elements == "moved"
    if not moves or not isinstance(row.derivative, Transpose) or addresses is None:
        return None
    (numbers,) = _numbered([node])
    target, *_ = row.derivative.rule(numbers, node.operands[0], *addresses, **dict(node.params))
    return np.asarray(target, np.int64).ravel()


# -- what mixes elements ---------------------------------------------------------------------------


def _groups(node: Expr, parts: Sequence[Expr]) -> tuple[int, Numbers, Numbers]:
    """How many groups of elements there are, of which a result depends on its own alone, and the
    groups of all operands' elements and of the result's: one group where nothing else is known.
    """
    x = parts[0]
    kept = _kept_axes(node, parts)
    lengths = [x.shape[axis] for axis in kept]
    numbers = np.arange(math.prod(lengths))

    def groups_of(y: Expr) -> Numbers:
        """The same axes, or the kept ones first."""
        same = [n if axis in kept else 1 for axis, n in enumerate(x.shape)]
        shape = same if y.ndim == x.ndim else [*lengths, *[1] * (y.ndim - len(kept))]
        return np.broadcast_to(numbers.reshape(shape), y.shape).ravel()

    return numbers.size, np.concatenate([groups_of(y) for y in parts]), groups_of(node)


def _kept_axes(node: Expr, parts: Sequence[Expr]) -> list[int]:
    """The axes of the first operand along which nothing mixes."""
    x, params = parts[0], dict(node.params)
    if node.primitive.kind == "factorisation":
        stack = x.shape[:-2]
        if all(y.ndim <= x.ndim and y.shape[: len(stack)] == stack for y in (*parts, node)):
            return [*range(len(stack))]
    mixed = params.get("axes", params.get("axis"))
    if node.primitive.kind == "reduction" and mixed is not None and len(parts) == 1:
        axes = {axis % x.ndim for axis in np.atleast_1d(mixed).tolist()}
        kept = [axis for axis in range(x.ndim) if axis not in axes]
        if node.shape in (x.shape, tuple([x.shape[axis] for axis in kept])):
            return kept
    return []


def _letters(node: Expr) -> tuple[list[str], str]:
    """The letters of each operand's axes and the result's; of a matrix product without params."""
    subscripts = dict(node.params).get("subscripts")
    if subscripts is None:
        stack = "".join(chr(ord("A") + i) for i in range(node.ndim - 2))
        subscripts = f"{stack}ij,{stack}jk->{stack}ik"
    inputs, output = subscripts.split("->")
    return inputs.split(","), output


def _lengths(node: Expr) -> dict[str, int]:
    letters, _ = _letters(node)
    pairs = zip(letters, node.operands, strict=True)
    return {a: n for part, x in pairs for a, n in zip(part, x.shape, strict=True)}


def _everywhere(letters: str, lengths: Mapping[str, int]) -> Positions:
    """All positions along these axes, one axis each."""
    grids = np.ogrid[tuple([slice(0, lengths[a]) for a in letters])]
    return dict(zip(letters, grids, strict=True))


def _numbers_at(letters: str, lengths: Mapping[str, int], at: Positions) -> Numbers:
    """The numbers of an array's elements at those positions."""
    found = np.zeros((), np.int64)
    for letter in letters:
        found = found * lengths[letter] + at[letter]
    return np.broadcast_to(found, np.broadcast_shapes(*[p.shape for p in at.values()])).ravel()


def meetings(node: Expr, position: int) -> tuple[Numbers, Numbers, Numbers] | None:
    """Of a product of two arrays of which the other is a constant: what meets what is not zero in
    it, by the numbers of the elements of this operand, of the other and of the result.
    """
    (letters, output), lengths = _letters(node), _lengths(node)
    other = _settled(node.operands[1 - position]) if len(letters) == 2 else None
    if other is None:
        return None
    mine, theirs = letters[position], letters[1 - position]
    free = "".join(a for a in mine if a not in theirs)
    where = np.nonzero(np.atleast_1d(other))
    at = {a: n.reshape((-1,) + (1,) * len(free)) for a, n in zip(theirs, where, strict=False)}
    at |= _everywhere(free, lengths)
    _need_room(where[0].size * math.prod(lengths[a] for a in free))
    found = [_numbers_at(part, lengths, at) for part in (mine, theirs, output)]
    return found[0], found[1], found[2]


def _contracted(node: Expr, position: int, pattern: Pattern) -> Pattern:
    """What a product of arrays depends on through one operand: what meets no fixed zero."""
    if (known := meetings(node, position)) is not None:
        source, _, target = known
        return pattern.taken(source).gathered(target, node.size)
    (letters, output), lengths = _letters(node), _lengths(node)
    mine = letters[position]
    shared = "".join(a for a in output if a in mine)
    gathered, spread = (
        _numbers_at(shared, lengths, _everywhere(of, lengths)) for of in (mine, output)
    )
    count = math.prod(lengths[a] for a in shared)
    return pattern.gathered(gathered, count).taken(spread)
