"""A function just beside a point: its outputs as germs, by the branch that Python takes there.

What flows: a scene and the moves of its arguments go in, the germs of the outputs come out. Where
Python took a branch that ends at the point, the function is traced once more, and asks the germs.
The invariant: the float's decision stands, unless exact arithmetic agrees with it at the point and
decides otherwise on this side; so a loop that ends by rounding ends as the program does.

>>> from difflab.accuracy.subject import Subject
>>> def f(x):
...     return x if x > 0 else 3 * x
>>> subject = Subject(f, (0.0,))
>>> scene = Scene(subject, subject.traced())
>>> [outputs_beside(scene, 128, [((0, ()), Germ.parameter(sign=s))])[0].item() for s in (-1, 1)]
[-3 t, t]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from difflab.accuracy.scene import Scene
from difflab.errors import DifflabError
from difflab.ir.expr import Array, Expr, Graph
from difflab.readings.balls import enclose_nodes
from difflab.readings.germs import Germ
from difflab.readings.open_balls import with_unknowns
from difflab.readings.sides import Side
from difflab.tracing.trace import retrace

Move = tuple[int, tuple[int, ...]]
"""A component of the arguments: an array, and an index in it."""


class BranchOpen(Exception):
    """It cannot be told which branch Python takes, and where."""


class Untraceable(Exception):
    """The branch that Python takes cannot be traced."""


def outputs_beside(scene: Scene, bits: int, moves: Sequence[tuple[Move, Germ]]) -> list[Array]:
    """The outputs' germs along a line: each move is a component and what is added to it.

    Raises
    ------
    BranchOpen, Untraceable
        Where Python's branch is not known, or cannot be followed.
    """
    return _Beside(scene, bits, moves).outputs


class _Beside:
    def __init__(self, scene: Scene, bits: int, moves: Sequence[tuple[Move, Germ]]) -> None:
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
            if beside[index] is None:
                place = f" ({node.line})" if node.line else ""
                self.open = f"which branch Python takes beside the point cannot be told{place}"
            elif here[index] is not None and here[index] == value[index]:
                taken[index] = beside[index]
        return taken
