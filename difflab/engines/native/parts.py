"""A graph in parts: machine code where there is a native form, NumPy between.

What flows: the nodes of a graph are dealt out to parts, each a graph of its own, native ones and
NumPy's in turn, and a `Program` runs them in order. The invariants: a value is computed once, in
one part; a graph that is native throughout is one part, and its program is the machine code itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from difflab.engines import numpy as on_numpy
from difflab.engines.native import mathematics
from difflab.engines.native.lowering import NotNativeError
from difflab.engines.native.machine import why_not
from difflab.engines.native.program import kernel_of
from difflab.ir.expr import Expr, Graph, placeholder, substitute
from difflab.ir.fused import Fold, InRows
from difflab.ir.row import CONSTANT, INPUT
from difflab.table.algebra import MATMUL

LARGEST: Final = 40_000
"""Nodes of a graph beyond which machine code is not tried: it would take half a minute."""


@dataclass(slots=True)
class Program:
    """A compiled graph: call it with one array an input."""

    graph: Graph
    source: str
    """In LLVM's language, and Python's where NumPy runs it."""
    run: Callable[..., list[Any]]
    note: str | None = None
    """Why NumPy runs all of it; None where machine code runs some."""

    def __reduce__(self) -> tuple[Any, ...]:
        return compiled, (self.graph,)

    def __call__(self, *arrays: Any) -> list[Any]:
        return self.run(*arrays)


def compiled(graph: Graph) -> Program:
    """The program of a graph: machine code, as far as it has a native form."""
    reason = why_not() or _refusal(graph)
    if reason is not None:
        return _left_to_numpy(graph, reason)
    try:
        if is_whole(graph):
            return _native(graph)
        return _in_parts(graph)
    except NotNativeError as error:
        return _left_to_numpy(graph, str(error))


def _left_to_numpy(graph: Graph, reason: str) -> Program:
    program = on_numpy.compiled(graph)
    return Program(graph, f"# NumPy: {reason}\n{program.source}", program, reason)


def _native(graph: Graph) -> Program:
    kernel = kernel_of(graph)
    return Program(graph, kernel.text, kernel.function())


def _refusal(graph: Graph) -> str | None:
    """Why a graph is not for machine code at all."""
    if len(graph.nodes) > LARGEST:
        return f"{len(graph.nodes)} nodes would take long to compile"
    return None


def is_whole(graph: Graph) -> bool:
    """Whether every node has a native form."""
    return all(map(is_native, graph.nodes))


def is_native(node: Expr) -> bool:
    """Whether a node has a native form."""
    row = node.primitive
    if row in (INPUT, CONSTANT):
        return True
    if row is MATMUL:
        return node.dtype.kind == "f"
    if row.kind == "pointwise":
        dtypes = tuple([x.dtype for x in node.operands])
        return mathematics.vector_rule(row, dtypes) is not None
    kind = node.operands[0].dtype.kind
    if isinstance(row.native, InRows):
        return kind == "f"
    if isinstance(row.native, Fold):  # no integer is infinite
        return kind in "fb" or row.native.identity == 0.0
    return row.native is not None


@dataclass(slots=True)
class _Part:
    """A part: where its inputs and outputs are among all values, and what runs it."""

    run: Callable[..., list[Any]]
    source: str
    takes: list[int]
    gives: list[int]


def _in_parts(graph: Graph) -> Program:
    """Native nodes as early as they can be, NumPy's as early as they can be after them."""
    turn: dict[Expr, int] = {}  # even turns are native, odd ones NumPy's
    for node in graph.nodes:
        last = max([turn[x] for x in node.operands], default=0)
        turn[node] = last if not node.operands else last + (last % 2 == is_native(node))
    place = {node: k for k, node in enumerate(graph.nodes)}
    wanted = set(graph.outputs)
    for node in graph.nodes:
        wanted.update(x for x in node.operands if turn[x] != turn[node] or not x.operands)
    parts = []
    for k in range(max(turn.values()) + 1):
        own = [node for node in graph.nodes if turn[node] == k and node.operands]
        outputs = [node for node in own if node in wanted]
        if outputs:
            parts.append(_part(own, outputs, place, k % 2 == 0))
    inputs = [place[x] for x in graph.inputs]
    constants = {place[x]: x.value for x in wanted if x.primitive is CONSTANT}
    results = [(place[x], x.operands) for x in graph.outputs]
    return Program(graph, "\n".join(part.source for part in parts),
                   _run_of(parts, inputs, constants, results))  # fmt: skip


def _part(
    own: Sequence[Expr], outputs: Sequence[Expr], place: dict[Expr, int], native: bool
) -> _Part:
    inside = set(own)
    outer = dict.fromkeys(
        x for node in own for x in node.operands if x not in inside and x.primitive is not CONSTANT
    )
    inputs = {x: placeholder(x.shape, x.dtype, f"v{place[x]}") for x in outer}
    graph = Graph(tuple(inputs.values()), tuple(substitute(outputs, inputs)))
    program = _native(graph) if native else on_numpy.compiled(graph, scalars=False)
    run = program.run if native else program
    return _Part(run, program.source, [place[x] for x in outer], [place[x] for x in outputs])


def _run_of(
    parts: Sequence[_Part],
    inputs: Sequence[int],
    constants: dict[int, Any],
    results: Sequence[tuple[int, Any]],
) -> Callable[..., list[Any]]:
    def run(*arrays: Any) -> list[Any]:
        values = dict(zip(inputs, arrays, strict=True)) | constants
        for part in parts:
            found = part.run(*[values[k] for k in part.takes])
            values.update(zip(part.gives, found, strict=True))
        given: set[int] = set()
        outputs = []
        for k, operands in results:
            shared = not operands or k in given
            given.add(k)
            outputs.append(np.array(values[k])[()] if shared else values[k])
        return outputs

    return run
