"""Tracing: a plain NumPy function becomes a `Graph`.

What flows: the function is called with placeholders; NumPy's protocols gather the nodes. The
invariants: a value that Python asks for (``if x > 0``, ``while``, a mask as an index) is evaluated
at the current point and recorded as a guard, so that a graph is never used where it does not hold;
and the graph is the function. For that it is traced twice, because hash-consing makes purity an
identity check (a pure function gives the very same nodes again), and called twice as it is, nearby
and at the point, where its values must be the graph's. What it writes while it is traced is put
back, and a refusal that it swallowed is raised.

>>> import numpy as np
>>> print(trace(lambda x: np.sum(np.sin(x) ** 2), np.ones(3)))
graph(x: float64[3])
  a = sin(x)
  b = a^2
  c = sum(b, axes=(-1,))
  return c
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import CodeType
from typing import Any

import numpy as np

import difflab.spellings  # noqa: F401 (fills SPELLINGS)
from difflab.errors import ArgumentError, Events, TraceError, UnsupportedError, happening
from difflab.ir.build import lift
from difflab.ir.expr import (
    Expr,
    Graph,
    Guard,
    attributed_to,
    evaluate,
    live_constant,
    placeholder,
    reachable,
)
from difflab.ir.protocols import TracedArray, ended, is_complex, spell
from difflab.ir.row import CONSTANT, INPUT
from difflab.ir.tree import Signature, Spec, Structure, flatten, read_arguments, unflatten
from difflab.tracing.arrays import Array, Home, argument, captured, here
from difflab.tracing.called import Called, need_function, parameter_names, uncollected
from difflab.tracing.captures import Watch, Ways, is_library, runs_programs
from difflab.tracing.held import hold, moved
from difflab.tracing.names.copies import Copies
from difflab.tracing.pure import need_no_memory, need_pure

Decide = Callable[[Expr, Any], Any]
"""What Python gets for a node when it asks, given the value at the point."""


class _Stack(threading.local):
    def __init__(self) -> None:
        self.traces: list[Trace] = []


_stack = _Stack()


class Trace:
    """The values of the inputs at the current point, what was computed from them, and the
    guards so far.
    """

    def __init__(
        self, inputs: Sequence[Expr], point: Sequence[Any], decide: Decide | None = None
    ) -> None:
        self.decide = decide
        self.bound = dict(zip(inputs, point, strict=True))
        self.known: dict[Expr, Any] = {}
        self.guards: dict[Expr, Guard] = {}
        self.events = Events()

    def __enter__(self) -> Trace:
        self.around = happening.events
        happening.events = self.events
        _stack.traces.append(self)
        here.depth = len(_stack.traces)
        here.home = here.home or Home()
        return self

    def __exit__(self, *_: object) -> None:
        _stack.traces.pop()
        here.depth = len(_stack.traces)
        if not _stack.traces:
            here.home = None
        happening.events = self.around


def value_here(x: Expr) -> Any:
    """The value at the current point; inputs of a trace may be bound to nodes of an outer trace."""
    known = _stack.traces[-1].known
    for trace_ in _stack.traces:
        for node, bound in trace_.bound.items():
            if node not in known:
                # An inner trace's inputs are bound to nodes of the traces around it, known by now.
                inner = isinstance(bound, Expr)
                known[node] = evaluate([bound], known)[0] if inner else np.asarray(bound)
    if any(node.primitive is INPUT and node not in known for node in reachable([x], known)):
        raise ended()
    return evaluate([x], known)[0]


def _asked(x: Expr) -> Any:
    """The value that Python asked for; recorded as a guard unless it is a constant."""
    if x.primitive is CONSTANT:
        return x.value
    if not _stack.traces:
        raise ended()
    trace_ = _stack.traces[-1]
    if x not in trace_.guards:
        value = np.array(value_here(x))  # it may be an argument, which may change
        value = trace_.decide(x, value) if trace_.decide else value
        trace_.guards[x] = Guard(x, value)
    return trace_.guards[x].value


@contextlib.contextmanager
def outside() -> Iterator[None]:
    """What is called inside is called as it is, as if nothing were traced in this thread."""
    before = _stack.traces, here.home, here.depth, happening.events
    _stack.traces, here.home, here.depth, happening.events = [], None, 0, None
    try:
        yield
    finally:
        _stack.traces, here.home, here.depth, happening.events = before


def in_progress() -> bool:
    """Whether a function is being traced in this thread."""
    return bool(_stack.traces)


def record_guard(x: Expr, value: Any) -> None:
    """Hand a guard of an inner function, on an outer one's nodes, to the trace in progress."""
    if x.primitive is not CONSTANT and _stack.traces:
        _stack.traces[-1].guards.setdefault(x, Guard(x, value))


def _shown(x: Expr) -> Any:
    """The same for a text. What the text becomes is not known: if a number, the graph is another
    one at the second point, and is held against the function there in spite of this guard.
    """
    value = _asked(x)
    guards = _stack.traces[-1].guards
    if x in guards:
        guards[x] = replace(guards[x], is_text=True)
    return value


spell(TracedArray.__bool__, _asked)
spell(TracedArray.__str__, _shown)


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


def trace_signature(
    f: Callable[..., Any], signature: Signature, point: Sequence[Any], held: bool = True
) -> Graph:
    """The graph of f for arguments of that signature, at that point; `held` against f itself.

    Within another trace the function is called once, unheld: the one around it is held.
    """
    need_function(f)
    if _stack.traces or not held:
        return _run(f, signature, _inputs(f, signature), point)
    return trace_watched(f, signature, point)[0]


def trace_watched(
    f: Callable[..., Any], signature: Signature, point: Sequence[Any], live: bool = False
) -> tuple[Graph, Watch]:
    """The graph of f, held against it, and the watch over what f read besides its arguments.

    `live` asks for a graph that follows large arrays by itself, where there is one.
    """
    need_function(f)
    roots = (f, *signature.roots)
    inputs = _inputs(f, signature)
    if _stack.traces:
        return _run(f, signature, inputs, point), Watch(roots, None)
    called = Called(f, signature, set())
    elsewhere = moved(signature, point)
    there = _called(called, elsewhere)
    if any(code.co_name == "<module>" for code in called.ran or ()):  # imported, which is done once
        called.ran = set()
        there = _called(called, elsewhere)
    watch = Watch(roots, _users(called.ran))
    try:
        graph = _run(f, signature, inputs, point, undo=watch.put_back)
        watch.put_back()
        again = _run(f, signature, inputs, point)
    finally:
        watch.put_back()
    need_pure(graph, again)
    need_no_memory(graph, [guard.value for guard in watch.writable() if guard.is_named])
    here = _called(called, point, at_the_point=True)
    written = {guard.path for guard in watch.written_since()}
    if written or _users(called.ran) != watch.ran:
        watch = Watch(roots, _users(called.ran), written)

    def hold_all(graph: Graph) -> None:
        for at, result in ((point, here), (elsewhere, there)):
            if at is not None and result is not None:
                hold(graph, at, *flatten(result[0]))

    hold_all(graph)
    if live and (arrays := watch.large_arrays()):
        state = Watch(roots, watch.ran)  # with what f writes, which the copy may write as well
        following = _following(f, watch, signature, inputs, point, arrays, hold_all)
        state.put_back()
        if following is not None:
            return following, Watch(roots, watch.ran, written, map(id, arrays))
    return graph, watch


def _following(
    f: Callable[..., Any],
    watch: Watch,
    signature: Signature,
    inputs: Sequence[Expr],
    point: Sequence[Any],
    arrays: Sequence[Any],
    hold_all: Callable[[Graph], None],
) -> Graph | None:
    """The graph of a copy of f in which arrays that f reads are traced, so that the graph follows
    them; None where f does not take that.
    """
    ways = Ways(watch.roots, arrays)
    if not ways.are_known(watch.read):
        return None
    copies = Copies(True, {id(array): captured(live_constant(array)) for array in arrays})
    try:
        graph = _run_copy(copies, f, signature, inputs, point)
        if ways.lead_through(copies.left):
            return None
        hold_all(graph)
    except Exception:  # whatever f does with a traced value where it had an array
        return None
    return replace(graph, signature=signature)


def _inputs(f: Callable[..., Any], signature: Signature) -> tuple[Expr, ...]:
    names = signature.paths(parameter_names(f))
    return tuple(
        placeholder(spec.shape, spec.dtype, name, spec.weak, spec.boxed)
        for name, spec in zip(names, signature.leaves, strict=True)
        if isinstance(spec, Spec)
    )


def retrace(
    graph: Graph,
    f: Callable[..., Any],
    signature: Signature,
    point: Any,
    decide: Decide | None = None,
) -> Graph:
    """The graph of f once more, with the inputs of an earlier one: the same has the same nodes.

    `decide` answers instead where Python asks for a value: it gets the node and its value here.
    """
    return _run(f, signature, graph.inputs, point, decide)


def _called(
    called: Called, point: Sequence[Any] | None, at_the_point: bool = False
) -> tuple[Any] | None:
    """The result of a plain call, if it has one.

    Nearby the function may be outside its domain. At the point it may fail where arrays and
    programs have an answer of their own: a division of plain floats by zero, a singular matrix.
    """
    if point is None:
        return None
    try:
        with np.errstate(all="ignore"):
            return (called(point),)
    except (ArithmeticError, np.linalg.LinAlgError):
        return None
    except Exception:
        if at_the_point:
            raise
        return None


def _users(ran: set[CodeType] | None) -> frozenset[CodeType] | None:
    """The codes of the user's; None, for all there are, where it is not known what ran, or an
    operator may have answered from a program, without running the code behind it.
    """
    if ran is None or any(runs_programs(code) for code in ran):
        return None
    return frozenset(code for code in ran if not is_library(code))


def _run(
    f: Callable[..., Any],
    signature: Signature,
    inputs: Sequence[Expr],
    point: Sequence[Any],
    decide: Decide | None = None,
    undo: Callable[[], None] | None = None,
) -> Graph:
    """One call with placeholders: of a copy of f that finds stand-ins for NumPy's names, and where
    that is refused, for the user's objects as well.
    """
    key = getattr(f, "__code__", type(f))
    for deep in (True,) if key in _DEEP else (False, True):
        try:
            graph = _run_copy(Copies(deep), f, signature, inputs, point, decide)
        except (TraceError, UnsupportedError):
            if deep:
                raise
            if undo is not None:
                undo()
            continue
        if deep and len(_DEEP) < 1000:
            _DEEP[key] = None
        return graph
    raise AssertionError


_DEEP: weakref.WeakKeyDictionary[Any, None] = weakref.WeakKeyDictionary()
"""Functions (their codes, or classes) of which plain copies were refused."""


def _run_copy(
    copies: Copies,
    f: Callable[..., Any],
    signature: Signature,
    inputs: Sequence[Expr],
    point: Sequence[Any],
    decide: Decide | None = None,
) -> Graph:
    rest = iter(inputs)
    with uncollected(), attributed_to(None), Trace(inputs, point, decide) as current:
        leaves = [
            argument(next(rest), spec) if isinstance(spec, Spec) else copies.of(spec.value)
            for spec in signature.leaves
        ]
        args, kwargs = unflatten(signature.structure, leaves)
        try:
            result = copies.of(f)(*args, **kwargs)
        except Exception as error:
            # NumPy and user code may raise another error for one of ours.
            if current.events.refused and error is not current.events.refused[0]:
                raise current.events.refused[0] from None
            raise
        if current.events.refused:
            raise current.events.refused[0]
        outputs, tree = _outputs(result)
        guards = tuple(current.guards.values())
        changes = any(type(x) is Array and x.is_changed for x in leaves)
        graph = Graph(tuple(inputs), tuple(outputs), guards, signature, tree, changes)
        _need_own(graph)
        if changes:
            need_apart(point)
    return graph


def need_apart(arrays: Sequence[Any]) -> None:
    """Raise where arguments that a function changes share memory: each is traced by itself."""
    found = [array for array in arrays if isinstance(array, np.ndarray)]
    for k, array in enumerate(found):
        if any(np.may_share_memory(array, other) for other in found[:k]):
            raise ArgumentError(
                "the function changes an argument in place, and two arguments share memory",
                "pass copies, or a function of one argument",
            )


def _outputs(result: Any) -> tuple[list[Expr], Structure]:
    leaves, tree = flatten(result)
    outputs: list[Expr] = []
    for leaf in leaves:
        leaf = leaf.content if type(leaf) is Array else leaf
        if is_complex(leaf):
            raise TraceError(
                "the function returned complex values",
                "return real ones, for example np.real(z) or np.abs(z)",
            )
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
    return outputs, tree


def _need_own(graph: Graph) -> None:
    """Raise where a graph depends on an input of a trace that has ended."""
    present = {x for one in _stack.traces for x in one.bound}
    for node in graph.nodes:
        if node.primitive is INPUT and node not in present:
            raise ended()
