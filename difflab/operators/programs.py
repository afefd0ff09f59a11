"""Programs that were made for a function, and which of them holds at a call.

What flows: the signature and the arrays of a call go in, and the program that was prepared for
them comes out, or None. The invariants: guards are asked first, by a program of their own, so that
no program runs where it does not hold; a program whose function reads something else by now is not
used; and what is kept is bounded, by signature, by way through the guards, and by memory.

>>> programs = Programs()
>>> print(programs.current(abs, read_arguments((1.0,), {})[0], [1.0]))
None
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from types import MethodType
from typing import Any, TypeVar

import numpy as np

from difflab import engines
from difflab.engines import Program
from difflab.errors import ArgumentError
from difflab.ir.expr import Expr, Graph
from difflab.ir.tree import Signature, read_arguments
from difflab.methods import Derivation
from difflab.operators.arguments import Finish
from difflab.table.identities import simplify
from difflab.tracing.captures import Watch
from difflab.tracing.trace import retrace

Function = Callable[..., Any]
T = TypeVar("T")
VARIANTS = 64
"""How many programs of one signature (ways through the guards, states of what f reads) are kept."""
HEAVY = 8
"""How many of them are kept that keep large arrays alive."""
SIGNATURES = 64
"""For how many signatures programs are kept."""
FUNCTIONS = 64
"""For how many functions the operators behind jvp, vjp and hvp are kept."""


# Programs run in copies of this context, where NumPy is silent about overflow and the like: the
# results say it themselves. A copy costs a tenth of entering np.errstate.
silent = contextvars.copy_context()
silent.run(np.seterr, all="ignore")


class Guards:
    """The program of a graph's guards, and the values for which the graph holds.

    NumPy runs it, as it runs the function: another engine's rounding could take another way.
    """

    __slots__ = ("expected", "program", "scalars")

    def __init__(self, graph: Graph) -> None:
        exprs = tuple(guard.expr for guard in graph.guards)
        self.program = engines.compile(simplify(Graph(graph.inputs, exprs)), "numpy")
        self.expected = [guard.value[()] for guard in graph.guards]
        self.scalars = not any(np.shape(value) for value in self.expected)

    def hold(self, arrays: Sequence[Any]) -> bool:
        """Whether the guards have these values; where they fail, they do not."""
        try:
            found = silent.copy().run(self.program, *arrays)
        except (ArithmeticError, ValueError):
            return False
        if self.scalars:
            return found == self.expected
        return all(map(np.array_equal, found, self.expected))


@dataclass(slots=True, eq=False, repr=False)
class Prepared:
    """A function derived and compiled for arguments of one kind, one way through its branches.

    It can be called with such arguments: ``gradient(f).prepare(x)(x)``.

    Attributes
    ----------
    graph
        The graph of the derivative; None where a method computes outside the IR.
    function
        The graph of the function; None where it can only be called.
    program
        What runs the graph of the derivative, its ``.source`` for reading; None where there is no
        graph.
    seconds
        Time by phase: ``"trace"``, ``"derive"``, ``"simplify"``, ``"compile"`` and others.
    counts
        Elementary operations of one run of the function and of the derivative; and what a method
        counts on its way.
    evaluations
        How often one call evaluates the function.

    Examples
    --------
    >>> import difflab
    >>> prepared = difflab.gradient(lambda x: np.sum(np.sin(x))).prepare(np.zeros(3))
    >>> print(prepared.graph)
    graph(x: float64[3])
      a = cos(x)
      return a
    >>> prepared.counts["function"], prepared.counts["derivative"]
    (5, 3)
    >>> sorted(prepared.seconds)
    ['compile', 'derive', 'simplify', 'trace']
    >>> prepared(np.zeros(3))
    array([1., 1., 1.])
    """

    signature: Signature
    derivation: Derivation
    run: Callable[..., list[Any]]
    """Arrays in, results in order out."""
    finish: Finish
    """From results in order to what the user gets."""
    function: Graph | None = None
    program: Program | None = None
    guards: Guards | None = None
    watch: Watch | None = None
    """Over what the function reads; None for one that is called anyway."""
    trace_seconds: float = 0.0
    changes: bool = False
    """Whether the function changes an argument in place."""

    def __repr__(self) -> str:
        counts = ", ".join(f"{name} {count}" for name, count in self.counts.items())
        time = 1e3 * sum(self.seconds.values())
        return f"<prepared in {time:.3g} ms; operations: {counts or 'outside the IR'}>"

    @property
    def graph(self) -> Graph | None:
        """The graph of the derivative; one that was put off is made now."""
        self.derivation.write()
        return self.derivation.graph

    @property
    def seconds(self) -> dict[str, float]:
        """Time by phase."""
        return {"trace": self.trace_seconds, **self.derivation.seconds}

    @property
    def evaluations(self) -> int:
        """How often one call evaluates the function."""
        return self.derivation.evaluations

    @property
    def counts(self) -> dict[str, int]:
        """Operation counts."""
        graphs = {"function": self.function, "derivative": self.graph}
        own = {name: g.operation_count() for name, g in graphs.items() if g is not None}
        return {**own, **self.derivation.counts}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The result at arguments of the kind that it was prepared for.

        Raises
        ------
        ArgumentError
            If they are of another kind, or take another way through the function's branches; also
            if the function reads something else by now.
        """
        signature, arrays = read_arguments(args, kwargs)
        traced = any(isinstance(array, Expr) for array in arrays)
        if traced or signature != self.signature or (self.guards and not self.guards.hold(arrays)):
            raise ArgumentError(
                "the program was prepared for other arguments", "call the operator itself"
            )
        if self.watch is not None and not self.watch.is_current(signature):
            raise ArgumentError(
                "what the function reads has changed since it was prepared", "prepare it again"
            )
        return self.finish(silent.copy().run(self.run, *arrays))

    def __reduce__(self) -> tuple[Any, ...]:
        raise ArgumentError(
            "a prepared program cannot be pickled", "pickle the operator, and prepare it there"
        )

    def __copy__(self) -> Prepared:
        return self  # a call changes nothing of it

    def __deepcopy__(self, _: object) -> Prepared:
        return self

    def is_of(self, f: Function, arrays: list[Any]) -> bool:
        """Whether f still has the graph, asked by tracing it, where it cannot be watched."""
        assert self.function is not None and self.watch is not None
        before = self.watch.again()  # what the caller has changed since is not f's to undo
        again = retrace(self.function, f, self.signature, arrays)
        before.put_back()
        return again.is_same(self.function)


class Programs:
    """The programs of one operator, the latest first; safe from threads without a lock."""

    def __init__(self) -> None:
        self.by_signature: dict[Signature, list[Prepared]] = {}
        self._latest: tuple[Signature | None, list[Prepared]] = None, []

    def __len__(self) -> int:
        return len(self.by_signature)

    def current(self, f: Function, signature: Signature, arrays: list[Any]) -> Prepared | None:
        """The program that holds for a call of f, if there is one."""
        latest, kept = self._latest
        if latest is not signature:  # a signature's hash costs as much as a small program
            kept = self.by_signature.pop(signature, [])
            if kept:
                self.by_signature[signature] = kept  # the last one that goes
            self._latest = signature, kept
        while True:
            watch, unchanged = None, True
            for prepared in [*kept]:  # other threads may keep some meanwhile
                if prepared.watch is not watch:
                    watch = prepared.watch
                    unchanged = watch is None or watch.is_current(signature)
                if not unchanged or (prepared.guards and not prepared.guards.hold(arrays)):
                    continue
                if watch and watch.opaque and not prepared.is_of(f, arrays):
                    continue
                return prepared
            if not (kept and self._renewed(kept, signature)):
                return None

    def _renewed(self, kept: list[Prepared], signature: Signature) -> bool:
        """Whether some programs are right for what f reads now, although it was replaced.

        Those that are not go if they keep large arrays alive; the others may come to use again.
        """
        watches = {id(one.watch): one.watch for one in kept if one.watch is not None}
        stale = {k: w for k, w in watches.items() if not w.is_current(signature)}
        renewed = {k: watch.renewed(signature) for k, watch in stale.items()}
        for one in [*kept]:
            key = id(one.watch)
            if renewed.get(key) is not None:
                one.watch = renewed[key]
            elif key in stale and stale[key].heavy and stale[key].is_over(signature):
                _drop(kept, one)
        return any(renewed.values())

    def keep(self, prepared: Prepared) -> None:
        """Keep a program for later calls, within bounds."""
        signature = prepared.signature
        kept = self.by_signature.setdefault(signature, [])
        self._latest = signature, kept
        kept.insert(0, prepared)
        del kept[VARIANTS:]
        heavy = [one for one in kept if one.watch is not None and one.watch.heavy]
        for one in heavy[HEAVY:]:
            _drop(kept, one)
        for oldest in [*self.by_signature][:-SIGNATURES]:
            self.by_signature.pop(oldest, None)


def _drop(kept: list[Prepared], one: Prepared) -> None:
    with contextlib.suppress(ValueError):  # another thread has done it
        kept.remove(one)


class Recent:
    """What was made for functions, as many as a bound allows; a function is known by identity."""

    def __init__(self) -> None:
        self._made: dict[Hashable, tuple[Function, Any]] = {}

    def get(self, make: Callable[..., T], f: Function, *options: Any) -> T:
        """What was made for f with these options, or is made now."""
        key: Hashable = (id(f), make, options)
        if type(f) is MethodType:  # another object each time
            key = (id(f.__self__), f.__func__, make, options)
        try:
            known = self._made.pop(key, None)
        except TypeError:  # options that cannot be hashed
            return make(f, *options)
        # The last one that goes; f is kept as well, so that its id stays its own.
        known = self._made[key] = known or (f, make(f, *options))
        for oldest in [*self._made][:-FUNCTIONS]:
            self._made.pop(oldest, None)
        made: T = known[1]
        return made
