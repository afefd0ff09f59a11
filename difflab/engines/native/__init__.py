"""Fused machine code through LLVM: a graph becomes a few loops that keep values in registers.

What flows: a graph is lowered to steps (lowering.py), those to loops (loops.py) in LLVM's text
(vectors.py, mathematics.py), and that is compiled (machine.py) behind an entry that Python calls
(entry.py); long loops are shared by threads (pool.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from difflab.engines.native.machine import why_not
from difflab.engines.native.program import Kernel, kernel_of
from difflab.ir.expr import Graph

__all__ = ["Program", "compiled", "why_not"]


@dataclass(slots=True)
class Program:
    """A compiled graph: call it with one array an input."""

    graph: Graph
    kernel: Kernel
    run: Callable[..., list[Any]]

    @property
    def source(self) -> str:
        """The program in LLVM's language."""
        return self.kernel.text

    def __call__(self, *arrays: Any) -> list[Any]:
        return self.run(*arrays)


def compiled(graph: Graph) -> Program:
    """The machine code of a graph."""
    kernel = kernel_of(graph)
    return Program(graph, kernel, kernel.function())
