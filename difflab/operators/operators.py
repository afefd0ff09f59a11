"""The operators: from a function to a function that computes derivatives.

What flows: a call's arguments are read into a signature and arrays; the function is traced for that
signature, a method derives a graph, an engine compiles it, and the program is kept for later calls.
The invariants: one shape law, ``jacobian.shape == output.shape + input.shape``; and on traced
values an operator builds nodes, so that operators nest to any order.

>>> import numpy as np
>>> gradient(lambda x: np.sum(x**2))(np.array([1.0, 2.0]))
array([2., 4.])
>>> gradient(lambda x: np.sum(gradient(lambda y: np.sum(y**3))(x)))(np.array([1.0, 2.0]))
array([ 6., 12.])
"""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from difflab import engines
from difflab.engines import Program
from difflab.errors import ShapeError, TraceError, UnsupportedError
from difflab.ir.brief import name_of, one_line
from difflab.ir.build import lift
from difflab.ir.expr import Expr, Graph, substitute
from difflab.ir.tree import Signature, Structure, leaf_count, read_arguments, unflatten
from difflab.methods import Caller, Derivation, Method, method_of, without
from difflab.operators.arguments import Argnums, Chosen, Finish, chosen, numbers_of
from difflab.operators.programs import Function, Guards, Prepared, Programs, silent
from difflab.table.identities import simplify
from difflab.tracing.arrays import wrapped
from difflab.tracing.called import Called, need_function
from difflab.tracing.captures import Watch
from difflab.tracing.held import moved
from difflab.tracing.trace import (
    in_progress,
    need_apart,
    record_guard,
    trace_signature,
    trace_watched,
)

Shapes = Sequence[tuple[int, ...]]


class Operator:
    """What all operators are: a function with its options and the programs made for it so far."""

    values = False
    """Whether the results start with the function's values."""

    def __init__(
        self, f: Function, argnums: Argnums, method: str | Method | None, engine: str
    ) -> None:
        need_function(f)
        engines.need_engine(engine)
        self.f = f
        self.argnums = numbers_of(argnums)
        self.method = method_of(method)
        self.engine = engine
        self.__name__ = getattr(f, "__name__", "f")
        self.programs = Programs()
        functools.update_wrapper(self, f, assigned=("__doc__",), updated=())

    @property
    def __differentiates__(self) -> Function:
        """What a watch looks at behind an operator."""
        return self.f

    def __repr__(self) -> str:
        return self._of(re.sub("(?<=[a-z])(?=[A-Z])", "_", type(self).__name__).lower())

    def _of(self, what: str) -> str:
        """What it is of its function, in a line."""
        inner = repr(self.f)[1:-1] if isinstance(self.f, Operator) else name_of(self.f)
        return one_line(f"<{what} of {inner}>")

    def __getstate__(self) -> dict[str, Any]:
        """Programs are not pickled or copied: they are made anew where they are needed."""
        return {**self.__dict__, "programs": Programs()}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        signature, arrays = read_arguments(args, kwargs)
        for array in arrays:
            if type(array) is Expr:
                return self._inlined(signature, arrays)
        prepared = self.programs.current(self.f, signature, arrays)
        if prepared is None:
            if in_progress() and not trace_signature(self.f, signature, arrays).is_closed:
                return self._inlined(signature, arrays)  # f closes over a value of that trace
            prepared = self._prepared(signature, arrays)
            self.programs.keep(prepared)
        if prepared.changes:
            need_apart(arrays)
        outputs = silent.copy().run(prepared.run, *arrays)
        return prepared.finish(wrapped(outputs) if in_progress() else outputs)

    def prepare(self, *args: Any, **kwargs: Any) -> Prepared:
        """The program for arguments like these, with its graph, counts and times, not run yet.

        Examples
        --------
        >>> import numpy as np
        >>> prepared = gradient(lambda x: np.sum(x**3)).prepare(np.ones(2))
        >>> prepared.counts["derivative"], prepared(np.array([1.0, 2.0]))
        (4, array([ 3., 12.]))
        """
        signature, arrays = read_arguments(args, kwargs)
        return self._prepared(signature, arrays, often=True)

    def _prepared(self, signature: Signature, arrays: list[Any], often: bool = False) -> Prepared:
        caller, start = self.method.caller, time.perf_counter()
        try:
            graph, watch = self._recorded(signature, arrays)
        except (TraceError, UnsupportedError):
            if caller is None:
                raise
            return self._called(caller, signature, arrays)
        if graph.guards and caller is not None and not self.method.exact:
            # A step may cross a branch, where this graph would not be the function any more.
            return self._called(caller, signature, arrays)
        seconds = time.perf_counter() - start
        derivation, finish = self._derived(signature, graph)
        if self.engine != "auto":
            derivation.write()
        program, run = None, derivation.run
        if derivation.graph is not None:
            with derivation.timed("compile"):
                run = program = engines.compile(derivation.graph, self.engine, often)
            if derivation.repair is not None:
                run = self._with_repair(program, derivation.repair, len(graph.outputs))
        assert run is not None
        guards = Guards(graph) if graph.guards else None
        return Prepared(
            signature,
            derivation,
            run,
            finish,
            graph,
            program,
            guards,
            watch,
            seconds,
            graph.changes,
        )

    def _recorded(self, signature: Signature, arrays: list[Any]) -> tuple[Graph, Watch]:
        """The graph of the function, held against it, and the watch over what it reads."""
        return trace_watched(self.f, signature, arrays, live=self.method.follows_arrays)

    def _with_repair(
        self, program: Program, repair: Callable[[], Graph], count: int
    ) -> Callable[..., list[Any]]:
        """The program; another one, made when first needed, for results that are not finite."""

        @functools.cache
        def other() -> Program:
            whole = repair()
            return engines.compile(whole if self.values else without(whole, count), self.engine)

        def run(*arrays: Any) -> list[Any]:
            outputs = program(*arrays)
            if all(np.all(np.isfinite(output)) for output in outputs):
                return outputs
            return other()(*arrays)

        return run

    def _called(self, caller: Caller, signature: Signature, arrays: list[Any]) -> Prepared:
        """Differences of a function that is called as it is, because it cannot be traced."""
        by, call = self._chosen(signature), Called(self.f, signature)
        points = [point for point in (arrays, moved(signature, arrays)) if point is not None]
        derivation = caller.of_calls(lambda *point: call.outputs(point)[0], points, by.positions)

        def run(*arrays: Any) -> list[Any]:
            trees: list[Structure] = []
            derivation.evaluations = -1  # the value itself is not counted
            call = Called(self.f, signature)

            def flat(*points: Any) -> list[Any]:
                derivation.evaluations += 1
                values, tree = call.outputs(points)
                trees[:] = [tree]
                return values

            outputs = caller.call(flat, [np.asarray(a) for a in arrays], by.positions)
            count = leaf_count(trees[0])
            self._check_shapes([np.shape(value) for value in outputs[:count]])
            finish = self._finisher(by, signature, trees[0], count)
            return [finish(outputs if self.values else outputs[count:])]

        derivation.run = run
        return Prepared(signature, derivation, run, lambda outputs: outputs[0])

    def _inlined(self, signature: Signature, arrays: list[Any]) -> Any:
        """On traced values: nodes instead of numbers."""
        graph, actual = inner_graph(self.f, signature, arrays)
        derivation, finish = self._derived(signature, graph)
        derivation.write()
        if derivation.graph is None:
            raise UnsupportedError(
                f"{self.method.name} cannot be nested inside another derivative", "use reverse"
            )
        return finish(wrapped(substitute(derivation.graph.outputs, actual)))

    # -- what the kinds of operators differ in ---------------------------------------------------

    def _derived(self, signature: Signature, graph: Graph) -> tuple[Derivation, Finish]:
        """The derivative of a graph, and how its outputs become the result."""
        by, count = self._chosen(signature), len(graph.outputs)
        self._check_shapes([out.shape for out in graph.outputs])
        self._check_inputs([graph.inputs[i].shape for i in by.positions])
        derivation = self.method.derive(graph, by.positions)
        if not self.values:
            derivation.drop(count)
        return derivation, self._finisher(by, signature, graph.output_tree, count)

    def _chosen(self, signature: Signature) -> Chosen:
        """Which arguments of a call to differentiate by."""
        return chosen(self.f, self.argnums, signature)

    def _finisher(self, by: Chosen, signature: Signature, tree: Structure, count: int) -> Finish:
        """How a flat list of results, for so many outputs, becomes what the user gets."""
        return by.finisher(tree, count, self.values)

    def _check_shapes(self, shapes: Shapes) -> None:
        """Raise where the operator does not take such outputs."""

    def _check_inputs(self, shapes: Shapes) -> None:
        """Raise where the operator does not take such arguments."""


def inner_graph(
    f: Function, signature: Signature, arrays: Sequence[Any]
) -> tuple[Graph, dict[Expr, Expr]]:
    """The graph of f inside a trace, and what its inputs are there; its guards are handed on."""
    graph = trace_signature(f, signature, arrays)
    actual = dict(zip(graph.inputs, map(lift, arrays), strict=True))
    for guard in graph.guards:
        record_guard(substitute([guard.expr], actual)[0], guard.value)
    return graph, actual


class Jacobian(Operator):
    """All blocks: for each output, for each chosen argument, a tree of arrays."""


class Gradient(Operator):
    """The one row of blocks of a scalar output."""

    def _check_shapes(self, shapes: Shapes) -> None:
        if len(shapes) != 1 or shapes[0] != ():
            what = f"an array of shape {shapes[0]}" if len(shapes) == 1 else f"{len(shapes)} arrays"
            raise ShapeError(
                f"a gradient needs a scalar output, but {self.__name__} returned {what}",
                "use jacobian, or reduce the output, for example with np.sum",
            )


class ValueAndGradient(Gradient):
    """A scalar output and its gradient by one program."""

    values = True


class Compiled(Operator):
    """The function itself, traced and compiled."""

    def __init__(self, f: Function, engine: str = "auto") -> None:
        super().__init__(f, 0, None, engine)

    def _derived(self, signature: Signature, graph: Graph) -> tuple[Derivation, Finish]:
        tree = graph.output_tree
        count = len(graph.outputs)
        return Derivation(simplify(graph)), lambda outputs: unflatten(tree, outputs[:count])


# -- the public functions --------------------------------------------------------------------------


def gradient(
    f: Function, *, argnums: Argnums = 0, method: str | Method = "reverse", engine: str = "auto"
) -> Gradient:
    """The gradient of a scalar-valued function; parameters as for `derivative`.

    The argument may be an array of any shape or a tree (dicts, lists, tuples) of arrays; the
    gradient has its shape. `ShapeError` where the output is not a scalar.

    Examples
    --------
    >>> gradient(lambda w: np.sum(w["a"]) * w["b"])({"a": np.array([1.0, 2.0]), "b": 3.0})
    {'a': array([3., 3.]), 'b': np.float64(3.0)}
    """
    return Gradient(f, argnums, method, engine)


def value_and_gradient(
    f: Function, *, argnums: Argnums = 0, method: str | Method = "reverse", engine: str = "auto"
) -> ValueAndGradient:
    """A scalar-valued function and its gradient together, sharing their work.

    Examples
    --------
    >>> value_and_gradient(lambda x: np.sum(x**2))(np.array([1.0, 2.0]))
    (np.float64(5.0), array([2., 4.]))
    """
    return ValueAndGradient(f, argnums, method, engine)


def jacobian(
    f: Function, *, argnums: Argnums = 0, method: str | Method | None = None, engine: str = "auto"
) -> Jacobian:
    """The Jacobian: ``jacobian(f)(x).shape == f(x).shape + x.shape``, for each output and argument
    array.

    Without a method, forward mode where there are no more inputs than outputs, else reverse mode.

    Examples
    --------
    >>> jacobian(lambda x: x[:2] * x[2])(np.array([1.0, 2.0, 3.0]))
    array([[3., 0., 1.],
           [0., 3., 2.]])
    """
    return Jacobian(f, argnums, method, engine)


def hessian(
    f: Function, *, argnums: Argnums = 0, method: str | Method = "reverse", engine: str = "auto"
) -> Jacobian:
    """The Hessian of a scalar-valued function; its shape is ``x.shape + x.shape``.

    With an automatic method, forward mode over that gradient; with any other, the method twice.

    Examples
    --------
    >>> hessian(lambda x: x[0] ** 2 * x[1])(np.array([1.0, 2.0]))
    array([[4., 2.],
           [2., 0.]])
    """
    first = method_of(method)
    inner = first if first.exact else first.again()
    return Jacobian(Gradient(f, argnums, inner, engine), argnums, first.again(), engine)
