"""Tracing: a plain NumPy function becomes a `Graph`.

What flows: the function is called once with placeholders; NumPy's protocols gather the nodes. The
invariants: a value that Python asks for (``if x > 0``, ``while``, a mask as an index) is evaluated
at the current point and recorded as a guard, so that a graph is never used where it does not hold;
and the function is called twice, because hash-consing makes purity an identity check: a pure
function gives the very same nodes again.

>>> import numpy as np
>>> print(trace(lambda x: np.sum(np.sin(x) ** 2), np.ones(3)))
graph(x: float64[3])
  a = sin(x)
  b = a^2
  c = sum(b, axes=(-1,))
  return c
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import difflab.ir.numpy_functions  # noqa: F401 (registers how NumPy's functions are spelt)
from difflab.errors import ArgumentError, DifflabError, TraceError
from difflab.ir.build import lift
from difflab.ir.expr import Expr, Graph, Guard, attributed_to, evaluate, placeholder, reachable
from difflab.ir.protocols import SPELLINGS, TracedArray
from difflab.ir.row import CONSTANT, INPUT
from difflab.ir.tree import Signature, Spec, Structure, flatten, read_arguments, unflatten

__all__ = [
    "Trace",
    "in_progress",
    "need_function",
    "parameter_names",
    "read_arguments",
    "record_guard",
    "trace",
    "trace_signature",
]


class _Stack(threading.local):
    def __init__(self) -> None:
        self.traces: list[Trace] = []


_stack = _Stack()


class Trace:
    """The values of the inputs at the current point, what was computed from them, and the
    guards so far.
    """

    def __init__(self, inputs: Sequence[Expr], point: Sequence[Any]) -> None:
        self.bound = dict(zip(inputs, point, strict=True))
        self.known: dict[Expr, Any] = {}
        self.guards: dict[Expr, Guard] = {}

    def __enter__(self) -> Trace:
        _stack.traces.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        _stack.traces.pop()


def _value(x: Expr) -> Any:
    """The value at the current point; inputs of a trace may be bound to nodes of an outer trace."""
    known = _stack.traces[-1].known
    for trace_ in _stack.traces:
        for node, bound in trace_.bound.items():
            if node not in known:
                # An inner trace's inputs are bound to nodes of the traces around it, known by now.
                inner = isinstance(bound, Expr)
                known[node] = evaluate([bound], known)[0] if inner else np.asarray(bound)
    if any(node.primitive is INPUT and node not in known for node in reachable([x], known)):
        raise TraceError(
            "a traced value was used after its function returned", "do not keep values of a trace"
        )
    return evaluate([x], known)[0]


def _asked(x: Expr) -> Any:
    """The value that Python asked for; recorded as a guard unless it is a constant."""
    if x.primitive is CONSTANT:
        return x.value
    if not _stack.traces:
        raise TraceError(
            "a traced value was used after its function returned", "do not keep values of a trace"
        )
    guards = _stack.traces[-1].guards
    if x not in guards:
        guards[x] = Guard(x, np.array(_value(x)))  # it may be an argument, which may change
    return guards[x].value


def in_progress() -> bool:
    """Whether a function is being traced in this thread."""
    return bool(_stack.traces)


def record_guard(x: Expr, value: Any) -> None:
    """Hand a guard of an inner function, on an outer one's nodes, to the trace in progress."""
    if x.primitive is not CONSTANT and _stack.traces:
        _stack.traces[-1].guards.setdefault(x, Guard(x, value))


SPELLINGS[TracedArray.__bool__] = _asked


def parameter_names(f: Callable[..., Any]) -> tuple[str, ...]:
    """The names of a function's positional parameters, as far as they can be known."""
    try:
        kinds = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):
        return ()
    return tuple([p.name for p in kinds if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)])


def need_function(f: Any) -> None:
    """Raise `ArgumentError` for what cannot be called."""
    if not callable(f):
        raise ArgumentError(
            f"a function is needed, not {type(f).__name__}", "pass the function itself, not f(x)"
        )


def trace(f: Callable[..., Any], *args: Any, **kwargs: Any) -> Graph:
    """The graph of a plain NumPy function at a point.

    Parameters
    ----------
    f
        A function of arrays, numbers and trees of them. It may use Python control flow on their
        values.
    args, kwargs
        The point. Float arrays (any shape) become inputs; integer and boolean arrays become inputs
        that are not differentiable; Python integers, strings and the like are static.

    Returns
    -------
    Graph
        ``print(graph)`` shows it; ``graph.latex()``, ``graph.to_sympy()`` and
        ``graph.operation_count()`` read it.

    Raises
    ------
    TraceError, UnsupportedError
        Where the function does what cannot be traced; the message names the user's line and the
        remedy.

    Examples
    --------
    >>> graph = trace(lambda x1, x2: np.log(x1) + x1 * x2 - np.sin(x2), 2.0, 5.0)
    >>> graph.operation_count()
    5
    """
    signature, point = read_arguments(args, kwargs)
    return trace_signature(f, signature, point)


def trace_signature(f: Callable[..., Any], signature: Signature, point: Sequence[Any]) -> Graph:
    """The graph of f for arguments of that signature, at that point."""
    need_function(f)
    names = signature.paths(parameter_names(f))
    inputs: list[Expr] = []
    leaves: list[Any] = []
    for name, spec in zip(names, signature.leaves, strict=True):
        if isinstance(spec, Spec):
            inputs.append(placeholder(spec.shape, spec.dtype, name, spec.weak))
            leaves.append(inputs[-1])
        else:
            leaves.append(spec.value)
    args, kwargs = unflatten(signature.structure, leaves)
    with attributed_to(None):
        first, tree, guards = _run(f, args, kwargs, inputs, point)
        if _stack.traces:  # the function around this one is called twice
            return Graph(tuple(inputs), tuple(first), tuple(guards), signature, tree)
        second, _, again = _run(f, args, kwargs, inputs, point)
    differing = _difference(
        [*first, *[g.expr for g in guards]], [*second, *[g.expr for g in again]]
    )
    if differing is not None:
        raise TraceError(
            "the function is not pure: called twice at the same point it computed different things",
            "draw random numbers, read clocks and count outside, and pass the results as arguments",
            differing.line,
        )
    return Graph(tuple(inputs), tuple(first), tuple(guards), signature, tree)


def _run(
    f: Callable[..., Any], args: Any, kwargs: Any, inputs: Sequence[Expr], point: Sequence[Any]
) -> tuple[list[Expr], Structure, list[Guard]]:
    with Trace(inputs, point) as current:
        try:
            result = f(*args, **kwargs)
        except ValueError as error:  # NumPy wraps what float(x) raises inside y[0] = x
            raise error.__cause__ if isinstance(error.__cause__, DifflabError) else error from None
    leaves, tree = flatten(result)
    outputs: list[Expr] = []
    for leaf in leaves:
        if not isinstance(leaf, (Expr, np.ndarray, np.generic, int, float)):
            raise TraceError(
                f"the function returned a {type(leaf).__name__}, which is not a number or an array",
                "return the value that is to be differentiated",
            )
        outputs.append(lift(float(leaf) if type(leaf) is int else leaf))
    for node in reachable(outputs):
        if node.primitive is CONSTANT and not dict(node.params)["value"].intact:
            raise TraceError(
                "the function changed an array in place after computing with it",
                "make a new array for each use, for example with x.copy()",
                node.line,
            )
    return outputs, tree, list(current.guards.values())


def _difference(first: Sequence[Expr], second: Sequence[Expr]) -> Expr | None:
    """The first node of the second run that differs from its twin in the first; arrays count by
    content.
    """
    twin: dict[Expr, Expr] = {}
    before, after = reachable(first), reachable(second)
    shared = set(before) & set(after)
    only_before = [node for node in before if node not in shared]
    only_after = [node for node in after if node not in shared]
    for left, right in zip(only_before, only_after, strict=False):
        if left.primitive is CONSTANT and right.primitive is CONSTANT:
            a, b = left.value, right.value
            same = a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
        else:
            made_alike = (left.primitive, left.params, len(left.operands)) == (
                right.primitive, right.params, len(right.operands),
            )  # fmt: skip
            pairs = zip(left.operands, right.operands, strict=False)
            same = made_alike and all(twin.get(x, x) is y for x, y in pairs)
        if not same:
            return right
        twin[left] = right
    for left, right in zip(first, second, strict=False):
        if twin.get(left, left) is not right:
            return right
    return None
