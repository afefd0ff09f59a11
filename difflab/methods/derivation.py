"""What every method makes of a graph: a `Derivation`.

What flows: a graph and the positions of the inputs to differentiate go in; a program comes out
whose outputs are the values and then, for each output and each such input, one block of the
Jacobian. The invariant is the shape law: ``block.shape == output.shape + input.shape``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from difflab.ir.brief import brief
from difflab.ir.expr import Array, Expr, Graph
from difflab.table.identities import simplify
from difflab.tracing.called import uncollected


@dataclass(slots=True)
class Derivation:
    """The derivative of a graph, and what it took to make it."""

    graph: Graph | None
    """Values, then blocks. None where a method computes outside the IR (complex step)."""
    run: Callable[..., list[Any]] | None = None
    """How to compute where there is no graph: arrays in, values and blocks out."""
    delayed: Callable[[], Graph] | None = None
    """Makes the graph of what `run` computes, where nodes are asked for, or an engine by name."""
    repair: Callable[[], Graph] | None = None
    """Makes another graph, for when the first one's results are not finite."""
    evaluations: int = 1
    """How often one call evaluates the function (a batch of k counts k)."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Time by phase."""
    counts: dict[str, int] = field(default_factory=dict)
    """Operation counts of what was made on the way."""

    def __repr__(self) -> str:
        where = "outside the IR" if self.graph is None else repr(self.graph)[1:-1]
        return f"<derivation: {where}>"

    def write(self) -> None:
        """Make the graph that was put off."""
        delayed = self.delayed  # which another thread may be at, too
        if delayed is not None:
            with self.timed("derive"):
                self.graph, self.delayed = delayed(), None

    def drop(self, count: int) -> None:
        """Leave out so many values, which stand before the blocks."""
        if self.graph is not None:
            self.graph = without(self.graph, count)
        if self.run is not None:
            both = self.run
            self.run = lambda *arrays: both(*arrays)[count:]
        if self.delayed is not None:
            whole = self.delayed
            self.delayed = lambda: without(whole(), count)

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Add the time spent inside to a phase; meanwhile no garbage is collected."""
        with uncollected():
            start = time.perf_counter()
            try:
                yield
            finally:
                self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - start


def without(graph: Graph, count: int) -> Graph:
    """A graph without its first outputs."""
    return simplify(graph.with_outputs(graph.outputs[count:]))


Push = Callable[[Sequence[Expr], Sequence[Expr], Sequence[Expr | None]], list[Expr | None]]
"""Outputs, inputs and their tangents -> the tangents of the outputs; None is zero."""
Pull = Callable[[Sequence[Expr], Sequence[Expr | None], Sequence[Expr]], list[Expr | None]]
"""Outputs, their cotangents and inputs -> the cotangents of the inputs; None is zero."""
Call = Callable[..., list[Array]]
"""A function that can only be called: arrays -> a list of new arrays."""


class Caller(Protocol):
    """What differentiates a function that can only be called."""

    def of_calls(self, f: Call, points: Sequence[Sequence[Any]], wrt: Sequence[int]) -> Derivation:
        """What a call will take; `UnsupportedError` where f, at these points, is not admitted."""

    def call(self, f: Call, arrays: Sequence[Any], wrt: Sequence[int]) -> list[Any]:
        """Values and blocks at a point."""


class Method(Protocol):
    """A way to differentiate, with its options: a frozen value object, which says what it can."""

    __slots__ = ()

    def __repr__(self) -> str:
        return brief(self)

    @property
    def name(self) -> str:
        """The name in `METHODS`, or a description where the options differ."""

    @property
    def exact(self) -> bool:
        """Whether only rounding, and no truncation, separates the result from the truth."""

    @property
    def taylor_order(self) -> int:
        """The order of the derivatives of what Taylor mode may join to one; 0: it may not."""
        return 0

    @property
    def follows_arrays(self) -> bool:
        """Whether its graphs may hold arrays that follow what the function reads."""
        return True

    @property
    def caller(self) -> Caller | None:
        """What calls a function that cannot be traced; None: it must be traced."""
        return None

    @property
    def push(self) -> Push | None:
        """Carries one direction forward, where that costs less than the Jacobian."""
        return None

    @property
    def pull(self) -> Pull | None:
        """Carries one cotangent back, where that costs less than the Jacobian."""
        return None

    def derive(self, graph: Graph, wrt: Sequence[int]) -> Derivation:
        """Differentiate every output of a graph with respect to some of its inputs."""

    def again(self) -> Method:
        """The method by which to differentiate its own result."""
