"""The scene: a function at a point, looked at once, from which every judgement is read.

What flows: the graph's balls at the point, by one ladder of precision; the *suspects*, which are
the elements at which an operation may not be analytic (a choice that is tied, a border of a
domain); the components of the arguments that reach a suspect; and the germs of the outputs just
beside the point, by the branch that Python takes there. The invariants: where no suspect is
reached, the function is analytic at the point, and the rules' derivative in balls is the derivative
(a suspect too many costs time alone); beside the point the float's decision stands, unless exact
arithmetic agrees with it at the point and decides otherwise on this side, so that a loop that ends
by rounding ends as the program does.

>>> from difflab.accuracy.subject import Subject
>>> def scene_of(f, x):
...     return Scene(Subject(f, (x,)))
>>> scene_of(lambda x: np.abs(x) + np.sqrt(x), np.array([0.0, 1.0])).reached[0].tolist()
[True, False]
>>> len(scene_of(np.tanh, 0.0).suspects)
0
>>> scene = scene_of(lambda x: x if x > 0 else 3 * x, 0.0)
>>> [Beside(scene, 128, [((0, ()), Germ.parameter(sign=s))]).outputs[0].item() for s in (-1, 1)]
[-3 t, t]
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np

from difflab.accuracy.subject import Place, Subject
from difflab.errors import DifflabError
from difflab.ir.build import FLOAT64
from difflab.ir.expr import Array, Expr, Graph, evaluate, reachable
from difflab.ir.row import CONSTANT, Transpose, Transposes
from difflab.readings.balls import enclose_nodes, exact, is_sharp
from difflab.readings.germs import Germ
from difflab.readings.open_balls import centres, stays_narrow, widths, with_unknowns
from difflab.readings.sides import Side
from difflab.tracing.trace import retrace

LADDER: Final = ((128, 4), (256, 6), (1024, 6), (4096, 8))
"""Bits of the balls and terms of the germs, each tried where the ones before leave a question."""
MARGIN: Final = 2.0**-40
"""A condition that is less than this, relative to what it compares, may be zero."""


class Evaluation:
    """A graph at a point, in floats and in balls."""

    def __init__(self, graph: Graph, arrays: Sequence[Any]) -> None:
        self.graph = graph
        self.arrays = [np.array(array) for array in arrays]  # which the caller may change
        self._enclosed: dict[int, dict[Expr, Array]] = {}

    def enclosed(self, nodes: Iterable[Expr], bits: int) -> dict[Expr, Array]:
        """The function's nodes, and others made of them, in balls; NaN where those are too wide."""
        if bits not in self._enclosed:
            known = dict(zip(self.graph.inputs, map(exact, self.arrays), strict=True))
            enclose_nodes(self.graph.nodes, known, bits)
            self._enclosed[bits] = known
        known = dict(self._enclosed[bits])
        enclose_nodes(nodes, known, bits)
        return known

    @cached_property
    def floats(self) -> dict[Expr, Any]:
        """Every node in floats."""
        known = dict(zip(self.graph.inputs, map(np.asarray, self.arrays), strict=True))
        evaluate(self.graph.nodes, known)
        return known


class Scene(Evaluation):
    """A function at a point."""

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject.traced(), subject.arrays)
        self.subject = subject
        self._known: dict[int, dict[Expr, Array]] = {}

    @cached_property
    def bits(self) -> int:
        """The first precision at which every output has a value, or certainly none."""
        for bits, _ in LADDER:
            known = self.balls(bits)
            if not any(isinstance(x, Germ) for out in self.graph.outputs for x in known[out].flat):
                break
        return bits

    def balls(self, bits: int) -> dict[Expr, Array]:
        """Every node in balls; an unknown germ where a ball is too wide to have a value."""
        if bits not in self._known:
            self._known[bits] = with_unknowns(self.enclosed((), bits))
        return self._known[bits]

    def sharpened(self, nodes: Sequence[Expr]) -> tuple[list[Array], int]:
        """Nodes in balls at the first precision that makes all of them sharp, or at the last."""
        for bits, _ in LADDER:
            known = self.enclosed(nodes, bits)
            found = [_as_balls(known[node]) for node in nodes]
            # In float64 whatever the dtype: what is 0 in float32 may be another number than 0.
            if all(is_sharp(ball, FLOAT64) for array in found for ball in array.flat):
                break
        return found, bits

    def first_without_value(self, output: Expr) -> Expr | None:
        """The first operation that an output depends on and that has no value."""
        known = self.balls(self.bits)
        nodes = (node for node in reachable([output]) if known[node].dtype == object)
        return next((node for node in nodes if np.any(np.isnan(centres(known[node])))), None)

    @cached_property
    def suspects(self) -> dict[Expr, Array]:
        """The nodes that may not be analytic at the point, with the elements (of the result, or of
        the operand where a whole row chooses) at which they may not be, and that matter.
        """
        known, found = self.balls(self.bits), {}
        for node in self.graph.operations:
            where = _suspicious(node, known)
            if where is not None and np.any(where):
                found[node] = where
        if not found:
            return {}
        ends = (*self.graph.outputs, *[guard.expr for guard in self.graph.guards])
        live = self.marked(
            {end: np.ones(end.shape, bool) for end in ends}, _changing(self.graph, found)
        )
        for node in list(found):
            mask = live.get(node, np.False_)
            found[node] = found[node] & (np.any(mask) if _is_choice(node) else mask)
        return {node: mask for node, mask in found.items() if np.any(mask)}

    @cached_property
    def reached(self) -> list[Array]:
        """For each array of the arguments, the components that a suspect depends on."""
        start: dict[Expr, Array] = {}
        for node, mask in self.suspects.items():
            x = node.operands[0] if _is_choice(node) else node
            start[x] = start[x] | mask if x in start else mask
        masks = self.marked(start)
        return [masks.get(x, np.zeros(x.shape, bool)) for x in self.graph.inputs]

    def marked(
        self, start: Mapping[Expr, Array], changing: Mapping[Expr, Array] | None = None
    ) -> dict[Expr, Array]:
        """The elements of all nodes on which some elements depend, whatever the numbers are; if the
        choices that may change beside the point are given, those alone that are chosen there.
        """
        masks: dict[Expr, Array] = {}

        def mark(x: Expr, mask: Any) -> None:
            mask = np.asarray(mask, bool)
            if mask.shape != x.shape:  # a scalar constant beside an array
                mask = np.any(mask)
            masks[x] = masks[x] | mask if x in masks else np.broadcast_to(mask, x.shape)

        for node in reversed(self.graph.nodes):
            if node in start:
                mark(node, start[node])
            mask = masks.get(node)
            if mask is None or not np.any(mask):
                continue
            for x, part in zip(
                node.operands, self._operands_marks(node, mask, changing), strict=True
            ):
                mark(x, part)
        return masks

    def _operands_marks(
        self, node: Expr, mask: Array, changing: Mapping[Expr, Array] | None
    ) -> list[Any]:
        """The elements of a node's operands that some of its elements depend on."""
        rule = node.primitive.derivative
        if node.primitive.kind == "pointwise":
            if changing is None or len(node.operands) != 3:
                return [mask] * len(node.operands)
            condition, *_ = node.operands  # of np.where
            chosen, open_ = self.floats[condition], changing.get(condition, np.False_)
            return [mask, mask & (chosen | open_), mask & (~chosen | open_)]
        if isinstance(rule, (Transpose, Transposes)):
            found = _transposed(node, rule, mask, self.floats)
            return [np.any(mask) if ct is None else ct != 0.0 for ct in found]
        return [True] * len(node.operands)


def _as_balls(array: Array) -> Array:
    """A derivative as balls of its own: that of a truth value or an integer is plain zeros."""
    return np.array(array if array.dtype == object else exact(array.astype(np.float64)))


def _changing(graph: Graph, suspects: Mapping[Expr, Array]) -> dict[Expr, Array]:
    """The truth values and integers that may be others beside the point."""
    found: dict[Expr, Array] = {}
    for node in graph.operations:
        if node.dtype.kind == "f":
            continue
        parts = [found[x] for x in node.operands if x in found]
        if node in suspects:
            parts.append(suspects[node])
        fits = [part if part.shape in ((), node.shape) else np.any(part) for part in parts]
        if fits and node.primitive.kind == "pointwise":
            found[node] = np.broadcast_to(
                np.logical_or.reduce(np.broadcast_arrays(*fits)), node.shape
            )
        elif fits:
            found[node] = np.full(node.shape, any(map(np.any, fits)))
    return found


def _suspicious(node: Expr, known: Mapping[Expr, Array]) -> Array | None:
    """Where a node may not be analytic, or None where it certainly is."""
    row, params = node.primitive, dict(node.params)
    operands = [known[x] for x in node.operands]
    if row.kind == "factorisation":
        return None if _is_regular(node, known) else np.ones(node.shape, bool)
    if row.kink is not None and any(x.differentiable for x in node.operands):
        values = [centres(x) for x in operands]
        if _is_choice(node):
            return tied(values[0], widths(operands[0]), params)
        with np.errstate(all="ignore"):
            gap = np.abs(np.asarray(row.kink(*values, **params), np.float64))
            size = np.maximum.reduce(np.broadcast_arrays(*[np.abs(v) for v in values]))
            width = np.maximum.reduce(np.broadcast_arrays(*[widths(x) for x in operands]))
        return np.asarray(~(gap > MARGIN * size + width))
    if row.kind != "pointwise" or node.dtype.kind != "f":
        return None
    near = np.zeros(node.shape, bool)
    moving = [x.primitive is not CONSTANT for x in node.operands]
    for x, domain in zip(operands, row.domain, strict=False):
        if x.dtype == object and (np.isfinite(domain.low) or np.isfinite(domain.high)):
            value = centres(x)
            with np.errstate(all="ignore"):
                margin = MARGIN * np.maximum(np.abs(value), _finite_end(domain)) + widths(x)
                inside = (value - domain.low > margin) & (domain.high - value > margin)
            near = np.array(near | ~inside)
    for index in map(tuple, np.argwhere(near)):
        values = [np.broadcast_to(x, node.shape)[index] for x in operands]
        near[index] = not stays_narrow(row, values, moving, params)
    return near


def _finite_end(domain: Any) -> float:
    ends = [abs(end) for end in (domain.low, domain.high) if np.isfinite(end)]
    return max(ends, default=0.0)


def _is_regular(node: Expr, known: Mapping[Expr, Array]) -> bool:
    """Whether a factorisation takes its matrix, and has no kink there."""
    row, array = node.primitive, known[node]
    if row.singular is None and row.germ is None:
        return True
    value, width = centres(array), widths(array)
    if not np.all(np.isfinite(value)) or not np.all(width < 0.5):
        return False
    if row.kink is None:
        return True
    gap = np.abs(row.kink(*[centres(known[x]) for x in node.operands], **dict(node.params)))
    return bool(np.all(gap > MARGIN * np.max(np.abs(value)) + 2.0 * np.max(width)))


def tied(value: Array, width: Array, params: Mapping[str, Any]) -> Array:
    """The elements of rows among which a choice is made that another element comes near."""
    axes = params.get("axes", (params.get("axis"),))
    last = np.moveaxis(value, axes, range(-len(axes), 0))
    shape = last.shape
    rows = last.reshape(-1, int(np.prod(shape[value.ndim - len(axes) :], dtype=int)))
    slack = np.moveaxis(width, axes, range(-len(axes), 0)).reshape(rows.shape)
    order = np.argsort(rows, -1)
    ranked = np.take_along_axis(rows, order, -1)
    room = MARGIN * np.abs(ranked) + np.take_along_axis(slack, order, -1)
    close = ~(np.diff(ranked, axis=-1) > room[:, 1:] + room[:, :-1])
    near = np.zeros(rows.shape, bool)
    near[:, 1:] |= close
    near[:, :-1] |= close
    found = np.zeros(rows.shape, bool)
    np.put_along_axis(found, order, near, -1)
    return np.moveaxis(found.reshape(shape), range(-len(axes), 0), axes)


def _is_choice(node: Expr) -> bool:
    """Whether the mask of a suspect is over its operand."""
    return node.primitive.kind == "reduction" and node.primitive.kink is not None


def _transposed(
    node: Expr, rule: Transpose | Transposes, mask: Array, floats: Mapping[Expr, Any]
) -> list[Any]:
    """A structural row's adjoint on a mask, with ones for what it multiplies."""
    operands = [
        np.ones(x.shape) if x.differentiable else np.asarray(floats[x]) for x in node.operands
    ]
    ct, params = mask.astype(np.float64), dict(node.params)
    if isinstance(rule, Transpose):
        return list(rule.rule(ct, *operands, **params))
    return [rule.rules[i](ct, *operands, **params) for i in range(len(operands))]


# -- beside the point -----------------------------------------------------------------------------


class BranchOpen(Exception):
    """It cannot be told which branch Python takes, and where."""


class Untraceable(Exception):
    """The branch that Python takes cannot be traced."""


class Beside:
    """The outputs' germs along a line: each move is a component and what is added to it.

    Raises
    ------
    BranchOpen, Untraceable
        Where Python's branch is not known, or cannot be followed.
    """

    def __init__(self, scene: Scene, bits: int, moves: Sequence[tuple[Place, Germ]]) -> None:
        self.scene, self.bits = scene, bits
        self.known = scene.balls(bits)
        moved: dict[Expr, Array] = {}
        self.open = ""
        for (i, index), step in moves:
            x = scene.graph.inputs[i]
            array = moved.setdefault(x, np.array(self.known[x], object))
            array[index] = array[index] + step
        self.side = Side(moved)
        graph = self._taken_graph(scene.graph)
        if self.open:
            raise BranchOpen(self.open)
        read = self.side.read(graph.outputs, self.known)
        self.outputs = [read[out] for out in graph.outputs]

    def _taken_graph(self, graph: Graph) -> Graph:
        """The graph that holds on this side: another one where Python takes another branch."""
        if all(np.array_equal(self._answer(g.expr, g.value), g.value) for g in graph.guards):
            return graph
        subject, self.open = self.scene.subject, ""
        try:
            beside = retrace(graph, subject.f, subject.signature, subject.arrays, self._answer)
        except DifflabError as error:
            raise Untraceable(error.what) from error
        self._enclose(beside.nodes)
        return beside

    def _enclose(self, nodes: Sequence[Expr]) -> None:
        if not all(node in self.known for node in nodes):
            known = dict(self.known)
            enclose_nodes(nodes, known, self.bits)
            self.known = with_unknowns(known)

    def _answer(self, node: Expr, value: Any) -> Any:
        """What Python gets beside the point when it asks for a node, of that value in floats."""
        self._enclose([node])
        beside, here = self.side.read([node], self.known)[node], self.known[node]
        taken = np.array(value)
        for index in np.ndindex(taken.shape):
            moves = isinstance(beside[index], Germ) and taken.dtype.kind == "f"
            if beside[index] is None or moves:
                at = f" ({node.line})" if node.line else ""
                self.open = f"which branch Python takes beside the point cannot be told{at}"
            elif here[index] is not None and here[index] == value[index]:
                taken[index] = beside[index]
        return taken
