"""From a function and its arguments to a program: read, trace, derive, compile, keep.

What flows: arguments are read into a signature and arrays; the function is traced for that
signature, a method derives a graph, the engine compiles it, and the program is kept for later
calls. The invariants: a program whose guards turn out differently at a later call, or whose
function reads something else by now, is not used, and the function is traced again; on traced
values an operator builds nodes, so that operators nest to any order.
"""

from __future__ import annotations

import contextvars
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from difflab.engines.numpy import Program, compiled
from difflab.errors import ArgumentError, TraceError, UnknownNameError, UnsupportedError
from difflab.ir.build import lift
from difflab.ir.expr import Expr, Graph, substitute
from difflab.ir.tree import (
    LEAF,
    Signature,
    Spec,
    Structure,
    leaf_count,
    read_arguments,
    unflatten,
)
from difflab.methods import Derivation, Forward, Method, Numerical, Reverse, method_of
from difflab.methods.opaque import need_alike_on_complex
from difflab.table.identities import simplify
from difflab.tracing.called import Called, need_function, parameter_names
from difflab.tracing.captures import Watch
from difflab.tracing.held import moved
from difflab.tracing.trace import (
    in_progress,
    record_guard,
    retrace,
    trace_signature,
    trace_watched,
)

Function = Callable[..., Any]
Argnums = int | Sequence[int]
Finish = Callable[[list[Any]], Any]
ENGINES = ("numpy",)
VARIANTS = 64
"""How many programs of one signature (ways through the guards, states of what f reads) are kept."""
HEAVY = 8
"""How many of them are kept that keep large arrays alive."""
SIGNATURES = 64
"""For how many signatures programs are kept."""


# Programs run in copies of this context, where NumPy is silent about overflow and the like: the
# results say it themselves. A copy costs a tenth of entering np.errstate.
_silent = contextvars.copy_context()
_silent.run(np.seterr, all="ignore")


@dataclass(slots=True, eq=False)
class Prepared:
    """A derived and compiled function for one signature, one way through its guards, and one
    state of what it reads: of that, `watch` tells, which is None for a function that is called.
    """

    derivation: Derivation
    run: Callable[..., list[Any]]
    program: Program | None
    expected: list[Any]
    finish: Finish
    graph: Graph | None
    watch: Watch | None

    def holds(self, outputs: list[Any]) -> bool:
        """Whether the guards have the values for which this was traced."""
        start = len(outputs) - len(self.expected)
        for found, expected in zip(outputs[start:], self.expected, strict=True):
            if not np.array_equal(found, expected):
                return False
        return True

    def is_of(self, f: Function, signature: Signature, arrays: list[Any]) -> bool:
        """Whether f still has the graph, asked by tracing it, where it cannot be watched."""
        assert self.graph is not None and self.watch is not None
        again = retrace(self.graph, f, signature, arrays)
        self.watch.put_back()
        return again.is_same(self.graph)


def _with_guards(run: Callable[..., list[Any]] | None, graph: Graph) -> Callable[..., list[Any]]:
    """What runs outside the IR, followed by the values of the graph's guards."""
    assert run is not None
    guards = compiled(simplify(graph.with_outputs([])))
    return lambda *arrays: [*run(*arrays), *guards(*arrays)]


class Operator:
    """What all operators are: a function with its options and the programs made for it so far."""

    def __init__(
        self, f: Function, argnums: Argnums, method: str | Method | None, engine: str
    ) -> None:
        need_function(f)
        if engine not in ENGINES:
            raise UnknownNameError("engine", engine, ENGINES)
        self.f = f
        self.argnums = _numbers(argnums)
        self.method = method if method is None else method_of(method)
        self.engine = engine
        self.__name__ = getattr(f, "__name__", "f")
        self.programs: dict[Signature, list[Prepared]] = {}
        self._latest: tuple[Signature | None, list[Prepared]] = None, []
        functools.update_wrapper(self, f, assigned=("__doc__",), updated=())

    @property
    def __differentiates__(self) -> Function:
        """What a watch looks at behind an operator."""
        return self.f

    def __repr__(self) -> str:
        return f"<{type(self).__name__.lower()} of {getattr(self.f, '__name__', self.f)}>"

    def __getstate__(self) -> dict[str, Any]:
        """Programs are not pickled or copied: they are made anew where they are needed."""
        return {**self.__dict__, "programs": {}, "_latest": (None, [])}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        signature, arrays = read_arguments(args, kwargs)
        for array in arrays:
            if type(array) is Expr:
                return self._inlined(signature, arrays)
        latest, kept = self._latest
        if latest is not signature:  # a signature's hash costs as much as a small program
            kept = self.programs.get(signature, [])
            self._latest = signature, kept
        watch, unchanged = None, True
        for prepared in kept:
            if prepared.watch is not watch:
                watch = prepared.watch
                unchanged = watch is None or watch.is_current(signature)
            if not unchanged:
                continue
            if watch and watch.opaque and not prepared.is_of(self.f, signature, arrays):
                continue
            try:
                outputs = _silent.copy().run(prepared.run, *arrays)
            except (ArithmeticError, ValueError):
                if prepared.expected:
                    continue  # the wrong way through the guards may fail
                raise
            if not prepared.expected or prepared.holds(outputs):
                return prepared.finish(outputs)
        if kept and self._renewed(kept, signature):
            return self(*args, **kwargs)
        return self._first(signature, arrays)

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
                kept.remove(one)
        return any(renewed.values())

    def prepare(self, *args: Any, **kwargs: Any) -> Prepared:
        """Trace, derive and compile for these arguments, without running."""
        signature, arrays = read_arguments(args, kwargs)
        return self._prepared(signature, arrays)

    def _first(self, signature: Signature, arrays: list[Any]) -> Any:
        """The first call of a signature, or the first through its guards."""
        if in_progress() and not trace_signature(self.f, signature, arrays).is_closed:
            return self._inlined(signature, arrays)  # f closes over a value of the trace around it
        prepared = self._prepared(signature, arrays)
        kept = self.programs.setdefault(signature, [])
        self._latest = signature, kept
        kept.insert(0, prepared)
        del kept[VARIANTS:]
        heavy = [one for one in kept if one.watch is not None and one.watch.heavy]
        for one in heavy[HEAVY:]:
            kept.remove(one)
        while len(self.programs) > SIGNATURES:
            self.programs.pop(next(iter(self.programs)), None)
        return prepared.finish(_silent.copy().run(prepared.run, *arrays))

    def _prepared(self, signature: Signature, arrays: list[Any]) -> Prepared:
        try:
            graph, watch = self._recorded(signature, arrays)
        except (TraceError, UnsupportedError):
            if isinstance(self.method, Numerical):
                return self._opaque(self.method, signature, arrays)
            raise
        if graph.guards and isinstance(self.method, Numerical) and not self.method.exact:
            # A step may cross a branch, where this graph would not be the function any more.
            return self._opaque(self.method, signature, arrays)
        derivation, finish = self._derived(signature, graph)
        if derivation.graph is None:
            run = _with_guards(derivation.run, graph)
            expected = [guard.value for guard in graph.guards]
            return Prepared(derivation, run, None, expected, finish, graph, watch)
        with derivation.timed("compile"):
            program = compiled(derivation.graph)
        run = (
            program
            if derivation.repair is None
            else self._with_repair(program, derivation.repair, graph)
        )
        expected = [guard.value for guard in derivation.graph.guards]
        return Prepared(derivation, run, program, expected, finish, graph, watch)

    def _with_repair(
        self, program: Program, repair: Callable[[], Graph], graph: Graph
    ) -> Callable[..., list[Any]]:
        """The program; another one, made when first needed, for results that are not finite."""
        count = len(graph.outputs)

        @functools.cache
        def other() -> Program:
            whole = repair()
            return compiled(whole if self.values else self._blocks_only(whole, count))

        def run(*arrays: Any) -> list[Any]:
            outputs = program(*arrays)
            if all(np.all(np.isfinite(output)) for output in outputs):
                return outputs
            return other()(*arrays)

        return run

    def _opaque(self, method: Numerical, signature: Signature, arrays: list[Any]) -> Prepared:
        """Differences of a function that is called as it is, because it cannot be traced."""
        chosen = self.chosen(signature)
        wrt = [i for part in chosen for i in part.positions]

        def run(*arrays: Any) -> list[Any]:
            trees: list[Structure] = []
            derivation.evaluations = -1  # the value itself is not counted
            call = Called(self.f, signature)

            def flat(*points: Any) -> list[Any]:
                derivation.evaluations += 1
                values, tree = call.outputs(points)
                trees[:] = [tree]
                return values

            outputs = method.opaque(flat, [np.asarray(a) for a in arrays], wrt)
            count = leaf_count(trees[0])
            self._check_shapes(None, [np.shape(value) for value in outputs[:count]], chosen)
            finish = self.finisher(chosen, trees[0], count)
            return [finish(outputs if self.values else outputs[count:])]

        if method.exact:
            points = [point for point in (arrays, moved(signature, arrays)) if point is not None]
            call = Called(self.f, signature)
            need_alike_on_complex(lambda *a: call.outputs(a)[0], points, wrt)
        specs = [spec for spec in signature.leaves if isinstance(spec, Spec)]
        size = sum(math.prod(specs[i].shape) for i in wrt)
        derivation = Derivation(None, run, evaluations=method.points * size)
        return Prepared(derivation, run, None, [], lambda outputs: outputs[0], None, None)

    def _inlined(self, signature: Signature, arrays: list[Any]) -> Any:
        """On traced values: nodes instead of numbers."""
        graph = trace_signature(self.f, signature, arrays)
        derivation, finish = self._derived(signature, graph)
        if derivation.graph is None:
            assert self.method is not None
            raise UnsupportedError(
                f"{self.method.name} cannot be nested inside another derivative", "use reverse"
            )
        actual = dict(zip(graph.inputs, map(lift, arrays), strict=True))
        for guard in derivation.graph.guards:
            record_guard(substitute([guard.expr], actual)[0], guard.value)
        return finish(substitute(derivation.graph.outputs, actual))

    def _recorded(self, signature: Signature, arrays: list[Any]) -> tuple[Graph, Watch]:
        """The graph of the function, held against it, and the watch over what it reads."""
        # SymPy takes an array's numbers as they are.
        follows = self.method is None or self.method.name != "symbolic"
        return trace_watched(self.f, signature, arrays, live=follows)

    # -- what the kinds of operators differ in ---------------------------------------------------

    values = False
    """Whether the results start with the function's values."""

    def _derived(self, signature: Signature, graph: Graph) -> tuple[Derivation, Finish]:
        """The derivative of a graph, and how its outputs become the result."""
        chosen = self.chosen(signature)
        self._check_shapes(graph, [out.shape for out in graph.outputs], chosen)
        wrt = [i for part in chosen for i in part.positions]
        derivation = self._method_for(graph, wrt).derive(graph, wrt)
        count = len(graph.outputs)
        if not self.values:
            if derivation.graph is not None:
                derivation.graph = self._blocks_only(derivation.graph, count)
            elif derivation.run is not None:
                both = derivation.run
                derivation.run = lambda *arrays: both(*arrays)[count:]
        return derivation, self.finisher(chosen, graph.output_tree, count)

    @staticmethod
    def _blocks_only(graph: Graph, count: int) -> Graph:
        return simplify(graph.with_outputs(graph.outputs[count:]))

    def _method_for(self, graph: Graph, wrt: Sequence[int]) -> Method:
        """The method asked for, or the cheaper mode by shape."""
        if self.method is not None:
            return self.method
        inputs = sum(graph.inputs[i].size for i in wrt)
        outputs = sum(out.size for out in graph.outputs)
        return Forward() if inputs <= outputs else Reverse()

    def _check_shapes(
        self, graph: Graph | None, shapes: list[tuple[int, ...]], chosen: list[Argument]
    ) -> None:
        """Raise where the operator does not take such outputs."""

    def finisher(self, chosen: list[Argument], tree: Structure, count: int) -> Finish:
        """How a flat list of results, values first where there are any, becomes what the user
        gets.
        """
        width = sum(len(part.positions) for part in chosen)
        first = count if self.values else 0
        single = isinstance(self.argnums, int)

        if count == width == 1 and single and tree is LEAF and chosen[0].structure is LEAF:
            # The commonest result, for speed.
            return (
                (lambda outputs: (outputs[0], outputs[1]))
                if self.values
                else (lambda outputs: outputs[0])
            )

        def finish(outputs: list[Any]) -> Any:
            starts = range(first, first + count * width, width or 1)
            rows = [
                _by_argument(chosen, outputs[start : start + width], single) for start in starts
            ]
            blocks = rows[0] if tree is LEAF else unflatten(tree, rows)
            return (unflatten(tree, outputs[:count]), blocks) if self.values else blocks

        return finish

    def chosen(self, signature: Signature) -> list[Argument]:
        """The arguments to differentiate, as positions among the arrays."""
        positional = signature.structure.children[0].children
        names = signature.paths(parameter_names(self.f))
        numbers = (self.argnums,) if isinstance(self.argnums, int) else self.argnums
        found: dict[int, Argument] = {}
        leaves_of = [leaf_count(child) for child in positional]
        for number in numbers:
            if not -len(positional) <= number < len(positional):
                raise ArgumentError(
                    f"argnums={number}, but the function was called with"
                    f" {len(positional)} positional arguments",
                    "pass the argument to differentiate by position",
                )
            index = number % len(positional)
            if index in found:
                raise ArgumentError(
                    f"argnums={self.argnums} names an argument twice", "name each argument once"
                )
            start = sum(leaves_of[:index])
            leaves = range(start, start + leaves_of[index])
            for i in leaves:
                _check_float(names[i], signature.leaves[i])
            before = sum(isinstance(spec, Spec) for spec in signature.leaves[:start])
            positions = tuple(range(before, before + len(leaves)))
            found[index] = Argument(positional[index], positions)
        if not any(part.positions for part in found.values()):
            raise ArgumentError(
                "the argument holds no numbers, so there is nothing to differentiate",
                "pass some numbers, or choose another argument with argnums",
            )
        return list(found.values())


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument to differentiate: its tree, and the positions of its leaves among all arrays."""

    structure: Structure
    positions: tuple[int, ...]


def _numbers(argnums: Any) -> int | tuple[int, ...]:
    """The numbers of arguments, as plain integers."""
    several = isinstance(argnums, Sequence) and not isinstance(argnums, str)
    several = several or (isinstance(argnums, np.ndarray) and argnums.ndim > 0)
    numbers = tuple(argnums) if several else (argnums,)
    if not numbers:
        raise ArgumentError("argnums is empty", "name at least one argument, such as argnums=0")
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, (int, np.integer)):
            raise ArgumentError(
                f"argnums={argnums!r} does not say which arguments",
                "give the position of an argument, such as 0, or a tuple of such positions",
            )
    plain = tuple(map(int, numbers))
    return plain if several else plain[0]


def _check_float(name: str, spec: Any) -> None:
    if isinstance(spec, Spec):
        if spec.dtype.kind == "f":
            return
        kind = "booleans" if spec.dtype.kind == "b" else "integers"
        raise ArgumentError(
            f"{name} is an array of {kind}; derivatives need floats", "pass x.astype(float)"
        )
    if spec.kind in (int, bool):
        raise ArgumentError(
            f"{name} is the integer {spec.value}; derivatives need floats", f"pass {spec.value}.0"
        )
    raise ArgumentError(
        f"{name} is a {spec.kind.__name__}; derivatives need floats or float arrays",
        "convert it to a NumPy array, or choose another argument with argnums",
    )


def _by_argument(chosen: list[Argument], blocks: Sequence[Any], single: bool) -> Any:
    """Blocks in order, as one tree an argument."""
    trees, start = [], 0
    for part in chosen:
        stop = start + len(part.positions)
        trees.append(unflatten(part.structure, blocks[start:stop]))
        start = stop
    return trees[0] if single else tuple(trees)
