"""A program that NumPy runs while its machine code is being made.

What flows: the first call is NumPy's; the second begins to compile, in a thread, and once that has
ended, calls run machine code. The invariant: every call is answered at once and by one engine
alone. The two differ in the last digits; whoever must have the same bits each time asks for an
engine by name, or prepares the program, which one engine runs from the first call on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from difflab.engines import native, numpy
from difflab.ir.expr import Graph


class Program:
    """A graph's program, NumPy's at first.

    >>> import numpy as np
    >>> from difflab.tracing.trace import trace
    >>> program = Program(trace(lambda x: 2.0 * x, np.ones(2)))
    >>> program(np.ones(2)), program.settled().note is None or native.why_not() is not None
    ([array([2., 2.])], True)
    """

    def __init__(self, graph: Graph) -> None:
        first = numpy.compiled(graph)
        self.graph, self.source = graph, first.source
        self.runs: Callable[..., list[Any]] = first
        """What answers calls now."""
        self._calls = 0
        self._lock = threading.Lock()
        self._made: native.Program | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Program, (self.graph,)

    def __call__(self, *arrays: Any) -> list[Any]:
        if self._calls < 2:
            self._calls += 1
            if self._calls == 2:
                threading.Thread(target=self.settled, name="difflab compiles").start()
        return self.runs(*arrays)

    def settled(self) -> native.Program:
        """The machine code, made now or waited for."""
        with self._lock:
            if self._made is None:
                self._made = native.compiled(self.graph)
                self.runs, self.source = self._made.run, self._made.source
            return self._made
