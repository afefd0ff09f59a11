"""What runs a graph: one protocol, and the engines by name.

"numpy" is a straight line of NumPy calls; "native" is machine code, where llvmlite is installed and
the CPU is one that it is made for, and says why where it is not (`native.why_not`).

What flows: a graph goes into `compile`, and a `Program` comes out, which takes arrays, one an
input, and returns the outputs' arrays. The invariants: a program is re-entrant and safe from
threads; no result shares memory with an argument, a constant or another result. A graph's guards
are not asked: whoever needs them compiles them as a program of their own.

>>> import numpy as np
>>> from difflab.tracing.trace import trace
>>> program = compile(trace(lambda x: (np.sum(x), 2.0 * x), np.ones(2)))
>>> program(np.array([1.0, 3.0]))
[np.float64(4.0), array([2., 6.])]
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, Protocol

from difflab.engines import growing, native, numpy
from difflab.errors import UnknownNameError
from difflab.ir.expr import Graph

__all__ = ["ENGINES", "Program", "compile", "need_engine"]

QUICKLY_COMPILED: Final = 300
"""Nodes whose machine code is made in a tenth of a second or so."""
COMPILED: Final = 3_000
"""Nodes whose machine code is made in a second or so, which what runs often may take."""
COMPILED_ASIDE: Final = 40_000
"""Nodes whose machine code is made in a few seconds, while NumPy serves."""


class Program(Protocol):
    """A compiled graph."""

    @property
    def graph(self) -> Graph:
        """What is computed."""

    @property
    def source(self) -> str:
        """The program as text that a person can read."""

    def __call__(self, *arrays: Any) -> list[Any]:
        """The outputs, for one array an input."""


ENGINES: Final[Mapping[str, Callable[[Graph], Program]]] = {
    "numpy": numpy.compiled,
    "native": native.compiled,
}
"""Name -> from a graph without guards to its program."""
CHOICES: Final = ("auto", "steady")
"""Names under which the graph decides."""


def need_engine(name: str) -> None:
    """Raise `UnknownNameError` for what is neither an engine nor one of `CHOICES`."""
    if name not in CHOICES and name not in ENGINES:
        raise UnknownNameError("engine", name, (*CHOICES, *ENGINES))


def compile(graph: Graph, engine: str = "auto", often: bool = False) -> Program:
    """The program of a graph's outputs.

    Parameters
    ----------
    engine
        A name in `ENGINES`; ``"auto"`` takes the one that the environment variable DIFFLAB_ENGINE
        names, or else that suits the graph: machine code for arrays, where all of it can be native;
        while it takes long to compile, NumPy serves. ``"steady"`` is the same, but what NumPy would
        begin it also keeps: no digit depends on the calls before.
    often
        Whether it will run often, so that compiling may take its time.
    """
    if engine == "auto":
        engine = os.environ.get("DIFFLAB_ENGINE", engine)
    need_engine(engine)
    bare = replace(graph, guards=()) if graph.guards else graph
    compiled = ENGINES[engine] if engine in ENGINES else _suited(bare, engine, often)
    return compiled(bare)


def _suited(graph: Graph, choice: str, often: bool) -> Callable[[Graph], Program]:
    """What makes the program of a graph without a named engine."""
    count = len(graph.nodes)
    if count > COMPILED_ASIDE or not any(node.shape and node.operands for node in graph.nodes):
        return numpy.compiled
    if native.why_not() is not None or not native.is_whole(graph):
        return numpy.compiled
    if often:  # by one engine from the first call on
        return native.compiled if count <= COMPILED else numpy.compiled
    if count <= QUICKLY_COMPILED:
        return native.compiled
    return numpy.compiled if choice == "steady" else growing.Program
