"""Bounds over a box: the range of a function and of its derivative, by balls as wide as the box.

What flows: a lower and an upper end for every number of the arguments go in; the graph and the
rules' derivative are read in balls that hold the box, piece by piece, and the ends of what they can
be come out. The invariants: at each point of the box, the exact value of the real function that f's
operations describe lies within the bounds, and so do its derivative, where it has one, and what the
rules say at a kink; what cannot be bounded so is refused, with the user's line.

>>> bounds = enclose(lambda x: x * (1 - x), (0.0, 1.0))
>>> print(bounds.gradient, 0.25 <= bounds.value.upper < 0.27)
[-1, 1] True
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from difflab.accuracy.box import Bounds, Interval
from difflab.accuracy.scene import tied
from difflab.accuracy.subject import Subject
from difflab.errors import ArgumentError, DomainError, ShapeError
from difflab.ir.expr import Array, Expr, Graph
from difflab.ir.tree import flatten, read_arguments, unflatten
from difflab.operators.arguments import Argnums
from difflab.readings import balls
from difflab.readings.balls import precision
from difflab.readings.germs import Ball
from difflab.readings.open_balls import centres, widths
from difflab.tracing.called import parameter_names

BITS: Final = 128
PIECES: Final = 16
SMALLER: Final = "make the box smaller, or allow more pieces"


def enclose(f: Callable[..., Any], *box: Any, argnums: Argnums = 0, pieces: int = PIECES) -> Bounds:
    """Rigorous bounds of a function and of its derivative over a box.

    Parameters
    ----------
    f
        A function that can be traced.
    box
        For each argument a tuple ``(lower, upper)``, of numbers, arrays, or trees of them; or a
        list of such pairs, one for each component of a vector; or a point, as it is. For a function
        of several arguments, one list of all of them will do.
    argnums
        Which argument, or arguments, to differentiate.
    pieces
        Into how many parts the box may be divided: more take longer and give narrower bounds.

    Returns
    -------
    Bounds
        ``.value.lower`` and ``.value.upper``, ``.gradient.lower`` and ``.gradient.upper``. They are
        of the exact real function, as its operations describe it: what f itself returns may lie
        outside by its rounding errors.

    Raises
    ------
    DomainError
        If f may have no value somewhere in the box, takes different branches in it, or chooses by
        what differs in it; also for ends that are not finite or in the wrong order.
    UnsupportedError
        If an operation has no ball reading.

    Notes
    -----
    Ball arithmetic, the mean value form, and the corners of the box where f is monotone; see Moore,
    Kearfott and Cloud (2009), Introduction to Interval Analysis, chapters 5 and 6.

    Examples
    --------
    >>> print(enclose(np.exp, (0.0, 1.0)).value)
    [1, 2.71828]
    >>> print(enclose(lambda x, y: x * y, (1.0, 2.0), (-1.0, 3.0), argnums=(0, 1)).gradient)
    [-1, 3], [1, 2]
    >>> print(enclose(np.abs, (-1.0, 2.0)).gradient)
    [-1, 1]
    """
    if not isinstance(pieces, (int, np.integer)) or pieces < 1:
        raise ArgumentError(f"pieces={pieces!r} is not a number of pieces", "write pieces=64")
    listed = len(box) == 1 and isinstance(box[0], list)
    if listed and len(box[0]) == len(parameter_names(f)) > 1:
        box = tuple(box[0])
    lower, upper = (tuple(ends) for ends in zip(*map(_ends, box), strict=True)) if box else ((), ())
    middle = [_between(*ends) for ends in zip(lower, upper, strict=True)]
    search = _Search(Subject(f, tuple(middle), argnums), pieces)
    search.divide(*(read_arguments(ends, {})[1] for ends in (lower, upper)))
    return search.bounds()


# -- boxes -----------------------------------------------------------------------------------------


def _ends(given: Any) -> tuple[Any, Any]:
    """The lower and the upper end of one argument."""
    if isinstance(given, list) and given and all(isinstance(pair, tuple) for pair in given):
        columns = list(zip(*given, strict=False))
        if len(columns) != 2 or any(len(pair) != 2 for pair in given):
            raise ArgumentError("a box lists a pair for each component", "write [(0, 1), (2, 3)]")
        given = (np.array(columns[0], float), np.array(columns[1], float))
    if isinstance(given, Interval):
        given = (given.lower, given.upper)
    if not isinstance(given, tuple):
        return given, given
    if len(given) != 2:
        raise ArgumentError(
            f"a box has two ends, not {len(given)}", "write (lower, upper) for each argument"
        )
    (low, shape), (high, other) = map(flatten, given)
    if shape != other:
        raise ShapeError("the two ends of a box are different trees", "give them the same keys")
    pairs = [_checked(a, b) for a, b in zip(low, high, strict=True)]
    return tuple(unflatten(shape, list(ends)) for ends in zip(*pairs, strict=True))


def _checked(low: Any, high: Any) -> tuple[Any, Any]:
    """Two ends of one shape, as floats."""
    try:
        a, b = np.broadcast_arrays(*[x * 1.0 for x in map(np.asarray, (low, high))])
    except (TypeError, ValueError):
        raise ArgumentError("the ends of a box are not numbers", "write (0.0, 1.0)") from None
    if a.dtype.kind != "f" or not (np.all(np.isfinite(a)) and np.all(np.isfinite(b))):
        raise DomainError("the ends of a box are finite real numbers", "write (0.0, 1.0)")
    if np.any(a > b):
        raise DomainError("a lower end lies above the upper end", "exchange them")
    return (np.array(a), np.array(b)) if a.ndim else (float(a), float(b))


def _between(low: Any, high: Any) -> Any:
    """The middle of a box; what is no float is a point."""
    (lows, structure), (highs, _) = flatten(low), flatten(high)
    middles = [
        a if a is b else np.clip(a + (b - a) / 2, a, b)[()]
        for a, b in zip(lows, highs, strict=True)
    ]
    return unflatten(structure, [float(m) if np.ndim(m) == 0 and isinstance(m, np.floating) else m
                                 for m in middles])  # fmt: skip


# -- the search ------------------------------------------------------------------------------------

Range = tuple[Array, Array]
"""Lower and upper ends, as floats, of all numbers of the outputs or of the blocks in order."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of the box, and what was found over it."""

    lower: list[Array]
    upper: list[Array]
    values: Range = (np.zeros(0), np.zeros(0))
    slopes: Range = (np.zeros(0), np.zeros(0))

    @property
    def width(self) -> float:
        """Of the widest range of an output."""
        low, high = self.values
        return float(np.max(high - low, initial=0.0))


class _Search:
    """Bounds by pieces, of which the one with the widest range is divided next."""

    def __init__(self, subject: Subject, pieces: int) -> None:
        self.subject, self.pieces = subject, pieces
        self.found: list[tuple[float, int, _Piece]] = []
        self.graph: Graph = subject.traced()
        self.blocks = subject.blocks(self.graph)

    def divide(self, lower: list[Any], upper: list[Any]) -> None:
        """Look at the box, and at its parts as long as there may be more of them."""
        age = itertools.count()
        whole = [
            [np.asarray(x, float) if np.asarray(x).dtype.kind == "f" else x for x in ends]
            for ends in (lower, upper)
        ]
        ahead = [_Piece(whole[0], whole[1])]
        while ahead:
            piece = ahead.pop()
            room = len(self.found) + len(ahead) + 1 < self.pieces
            try:
                looked = self._looked_at(piece)
            except DomainError:  # perhaps only because balls are too wide
                if not room or not (halves := self._halves(piece)):
                    raise
                ahead += halves
                continue
            heapq.heappush(self.found, (-looked.width, next(age), looked))
            if not ahead and room and self.found[0][0] < 0.0:
                ahead = self._halves(self.found[0][2])
                if ahead:
                    heapq.heappop(self.found)

    def bounds(self) -> Bounds:
        """What holds for all pieces."""
        pieces = [piece for _, _, piece in self.found]
        graph, tree = self.graph, self.graph.output_tree
        assemble = self.subject.assembler(tree, len(graph.outputs))
        return Bounds(
            _joined([p.values for p in pieces], graph.outputs, lambda x: unflatten(tree, x)),
            _joined([p.slopes for p in pieces], self.blocks, assemble),
            len(pieces),
        )

    def _halves(self, piece: _Piece) -> list[_Piece]:
        """A piece cut in two across its widest side, by what it weighs in the derivative."""
        sides = [(float(weight), i, index)
                 for i, weights in zip(self.subject.wrt, self._weights(piece), strict=True)
                 for index, weight in np.ndenumerate(weights)]  # fmt: skip
        weight, i, index = max(sides, default=(0.0, 0, ()))
        low, high = piece.lower[i][index], piece.upper[i][index]
        middle = low + (high - low) / 2
        if not weight > 0.0 or not low < middle < high:
            return []
        left, right = list(piece.upper), list(piece.lower)
        left[i], right[i] = left[i].copy(), right[i].copy()
        left[i][index] = right[i][index] = middle
        return [_Piece(piece.lower, left), _Piece(right, piece.upper)]

    def _weights(self, piece: _Piece) -> Iterator[Array]:
        """How far each side lets the outputs move, at most; its length where that is not known."""
        wrt = self.subject.wrt
        sides = [piece.upper[i] - piece.lower[i] for i in wrt]
        steep = np.maximum(*map(np.abs, piece.slopes))
        if not steep.size or not np.all(np.isfinite(steep)):
            yield from sides
            return
        starts = np.cumsum([0, *[block.size for block in self.blocks]])
        for k, side in enumerate(sides):
            many = range(k, len(self.blocks), len(wrt))
            rows = [steep[starts[j] : starts[j + 1]].reshape(-1, *side.shape) for j in many]
            yield side * np.max(np.concatenate(rows), axis=0)

    # -- one piece ---------------------------------------------------------------------------------

    def _looked_at(self, piece: _Piece) -> _Piece:
        graph, blocks = self.graph, self.blocks
        if graph.guards:  # other pieces may take other branches
            middle = [x if x is y else (x + (y - x) / 2).astype(np.asarray(at).dtype)[()]
                      for x, y, at in zip(piece.lower, piece.upper, self.subject.arrays,
                                          strict=True)]  # fmt: skip
            graph = self.subject.traced(middle)
            blocks = self.subject.blocks(graph)
            if graph.output_tree != self.graph.output_tree or [x.shape for x in graph.outputs] != [
                x.shape for x in self.graph.outputs
            ]:
                raise DomainError("f returns arrays of other shapes elsewhere in the box", SMALLER)
        box = _hulls(piece.lower, piece.upper)
        known = _read(graph, box, [*[g.expr for g in graph.guards], *blocks])
        for guard in graph.guards:
            if not _is_certain(known[guard.expr], guard.value):
                raise DomainError("f may take another branch inside the box", SMALLER,
                                  guard.expr.line)  # fmt: skip
        for node in graph.nodes:
            if not _has_value(known[node]):
                raise DomainError(
                    f"{node.primitive.name} may have no value inside the box", SMALLER, node.line
                )
        values = _range([known[out] for out in graph.outputs])
        slopes = _range([known[block] for block in blocks])
        if np.all(np.isfinite(slopes)) and _is_smooth(graph, known):
            for nearer in (self._by_mean_value, self._by_corners):
                values = _both(values, nearer(graph, [known[b] for b in blocks], piece, box))
        return _Piece(piece.lower, piece.upper, values, slopes)

    def _by_mean_value(
        self, graph: Graph, blocks: list[Array], piece: _Piece, box: list[Array]
    ) -> Range:
        """f(m) + f'(box) (box - m), m in the middle of what the derivative is by."""
        centred, moves, found = list(box), list[Array](), list[Array]()
        width = len(self.subject.wrt)
        with precision(BITS):
            for i in self.subject.wrt:
                low, high = piece.lower[i], piece.upper[i]
                centred[i] = balls.exact(low + (high - low) / 2)
                moves.append(np.asarray(box[i] - centred[i], object))
        known = _read(graph, centred, ())
        with precision(BITS):
            for k, out in enumerate(graph.outputs):
                total = known[out].reshape(-1)
                for move, block in zip(moves, blocks[k * width : (k + 1) * width], strict=True):
                    rows = block.reshape(out.size, move.size)
                    total = total + np.array(
                        [sum(row * move.ravel(), balls.exact(0.0).item()) for row in rows], object
                    )
                found.append(total)
        return _range(found)

    def _by_corners(
        self, graph: Graph, blocks: list[Array], piece: _Piece, box: list[Array]
    ) -> Range:
        """The ends of the box at which a scalar output that is monotone has its ends."""
        whole = np.array([-np.inf]), np.array([np.inf])
        if len(graph.outputs) != 1 or graph.outputs[0].shape:
            return whole
        lows, highs = list(box), list(box)
        for i, block in zip(self.subject.wrt, blocks, strict=True):
            low, high = (array.reshape(np.shape(piece.lower[i])) for array in _range([block]))
            start, end = map(balls.exact, (piece.lower[i], piece.upper[i]))
            lows[i] = np.where(low >= 0.0, start, np.where(high <= 0.0, end, box[i]))
            highs[i] = np.where(low >= 0.0, end, np.where(high <= 0.0, start, box[i]))
        least, most = (_read(graph, corner, ())[graph.outputs[0]] for corner in (lows, highs))
        return _range([least])[0], _range([most])[1]


def _hulls(lower: Sequence[Any], upper: Sequence[Any]) -> list[Array]:
    """Balls that hold boxes; what is no float stays as it is."""
    return [balls.hulls(low, high) if np.asarray(low).dtype.kind == "f" else np.asarray(low)
            for low, high in zip(lower, upper, strict=True)]  # fmt: skip


def _read(graph: Graph, box: Sequence[Array], more: Sequence[Expr]) -> dict[Expr, Array]:
    """All nodes of a graph, and more that are made of them, over a box."""
    known = dict(zip(graph.inputs, box, strict=True))
    balls.enclose_nodes([*graph.nodes, *more], known, BITS, _wide)
    return known


def _wide(node: Expr, operands: list[Array]) -> Array:
    """A node's balls; a choice that balls make at their centres is refused where it may differ."""
    row = node.primitive
    chosen = row.indexed and any(x.dtype == object for x in operands[1:])
    if row.germ is not None and any(np.any(widths(x) > 0.0) for x in operands):
        choice = row.kink is not None and node.dtype.kind == "i"
        chosen = row.kind == "factorisation" or (choice and _is_tied(node, operands))
    if chosen:
        raise DomainError(
            f"{row.name} chooses by numbers that differ inside the box", SMALLER, node.line
        )
    return balls.read(node, operands)


def _is_tied(node: Expr, operands: list[Array]) -> bool:
    return bool(np.any(tied(centres(operands[0]), widths(operands[0]), dict(node.params))))


def _is_certain(found: Array, value: Array) -> bool:
    """Whether what Python asked for is the same all over the box."""
    if found.dtype != object:
        return bool(np.array_equal(found, value))
    pairs = zip(found.flat, np.broadcast_to(value, found.shape).flat, strict=True)
    return all(
        bool(x.is_exact()) and float(x) == y if isinstance(x, Ball) else x is not None and x == y
        for x, y in pairs
    )


def _has_value(array: Array) -> bool:
    return array.dtype != object or all(
        not isinstance(x, Ball) or bool(x.is_finite()) for x in array.flat
    )


def _is_smooth(graph: Graph, known: dict[Expr, Array]) -> bool:
    """Whether no choice is open over the box, so that the mean value theorem holds."""
    for node in graph.operations:
        row, array = node.primitive, known[node]
        if node.dtype.kind != "f" and any(x is None or isinstance(x, Ball) for x in array.flat):
            return False
        if row.kink is None or not any(x.differentiable for x in node.operands):
            continue
        operands = [known[x] for x in node.operands]
        if all(x.dtype != object or not np.any(widths(x)) for x in operands):
            continue
        if row.kind != "pointwise":
            if row.kind == "factorisation" or _is_tied(node, operands):
                return False
            continue
        try:
            gap = np.asarray(row.kink(*operands, **dict(node.params)), object)
        except (TypeError, AttributeError, ValueError):  # of floats alone
            return False
        if not all(isinstance(x, Ball) and not x.contains(0) for x in gap.flat):
            return False
    return True


def _range(arrays: Sequence[Array]) -> Range:
    """The ends of balls, rounded outward; of numbers, those."""
    pairs = [balls.ends(x) for array in arrays for x in np.asarray(array, object).flat]
    found = np.array(pairs, float).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def _both(a: Range, b: Range) -> Range:
    """What lies in both ranges."""
    return np.maximum(a[0], b[0]), np.minimum(a[1], b[1])


def _joined(
    ranges: Sequence[Range], nodes: Sequence[Expr], assemble: Callable[[list[Any]], Any]
) -> Interval:
    """The hull of ranges, in the shapes of nodes."""
    ends = np.min([low for low, _ in ranges], 0), np.max([high for _, high in ranges], 0)
    splits = np.cumsum([node.size for node in nodes])[:-1]
    trees = [
        assemble([part.reshape(node.shape)[()] for part, node in zip(np.split(end, splits), nodes,
                                                                     strict=True)])
        for end in ends
    ]  # fmt: skip
    return Interval(*trees)
