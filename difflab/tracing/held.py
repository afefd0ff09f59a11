"""The graph held against the function: what a plain call returns is what the graph gives.

What flows: a graph, a point and what a plain call returned there go in; nothing comes out, or a
`TraceError` that says by how much they differ. The invariant: they may differ by rounding alone,
by no more than the running bound of the graph's own program and as much again, for the same program
in NumPy's order.

At a point where the two agree by chance (x**2 and x at 1, anything times zero at 0) the value tells
nothing; so the function is called at a second point nearby as well, each element moved by another
step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from difflab.errors import Line, TraceError, UnsupportedError
from difflab.ir.build import lift, node
from difflab.ir.expr import Expr, Graph, computed, reachable, walk
from difflab.ir.tree import Signature, Spec, Structure

STEP: Final = 2.0**-20
"""How far the second point is, relative to elements above 1."""
GOLDEN: Final = 0.6180339887498949
WORST: Final = 3
"""So many elements of an output are held against their own bounds: those that differ most."""
NO_BOUND: Final = 2.0**-24
"""What may differ, relatively, where an operation's rounding is not known."""


def moved(signature: Signature, point: Sequence[Any]) -> list[Any] | None:
    """A point nearby, every float moved by a step of its own; None where there is no float."""
    found: list[Any] = []
    any_float = False
    specs = [spec for spec in signature.leaves if isinstance(spec, Spec)]
    for k, (spec, array) in enumerate(zip(specs, point, strict=True)):
        if spec.dtype.kind != "f":
            found.append(array)
            continue
        x = np.asarray(array, spec.dtype)
        any_float = any_float or x.size > 0
        weights = np.arange(k + 1.0, k + 1.0 + x.size).reshape(x.shape)
        weights *= GOLDEN
        weights -= np.floor(weights)
        weights += 0.5
        weights *= STEP
        with np.errstate(all="ignore"):
            weights *= np.maximum(np.abs(x), 1.0)
            weights += x
        further = weights if x.dtype == weights.dtype else weights.astype(spec.dtype)
        found.append(float(further) if spec.weak else further)
    return found if any_float else None


def hold(
    graph: Graph,
    point: Sequence[Any],
    leaves: Sequence[Any],
    tree: Structure,
) -> None:
    """Raise `TraceError` where the graph does not give what the function returned at a point.

    Where the graph's guards turn out differently it is not the function's graph, and says nothing.
    """
    known: dict[Expr, Any] = dict(zip(graph.inputs, map(np.asarray, point), strict=True))
    wanted = [*graph.outputs, *[guard.expr for guard in graph.guards]]
    values = _values(wanted, known)
    for guard, value in zip(graph.guards, values[len(graph.outputs) :], strict=True):
        if not guard.is_text and not np.array_equal(value, guard.value):
            return
    if tree != graph.output_tree:
        raise _other("it returns another structure")
    for out, value, leaf in zip(graph.outputs, values[: len(leaves)], leaves, strict=True):
        called = np.asarray(leaf)
        if called.shape != np.shape(value):
            raise _other(f"shape {np.shape(value)} for {called.shape}", out.line)
        if called.dtype == out.dtype and called.tobytes() == np.asarray(value).tobytes():
            continue
        if called.dtype.kind == "c":
            continue  # where Python's floats turn complex, arrays give NaN
        same = (called == value) | ((called != called) & (value != value))
        if not np.all(same):
            _hold_elements(graph, point, out, np.asarray(value), called, same)


def _values(outputs: list[Expr], known: dict[Expr, Any]) -> list[Any]:
    """The values of nodes, each forgotten after its last use: fresh memory costs more than sums."""
    seen: set[Expr] = {*known, *outputs}
    over: dict[Expr, list[Expr]] = {}
    for one in reversed(reachable(outputs, known)):
        over[one] = [x for x in dict.fromkeys(one.operands) if x not in seen]
        seen.update(over[one])

    def run(one: Expr, operands: list[Any]) -> Any:
        value = computed(one, one.primitive.evaluate, operands)
        for x in over[one]:
            del known[x]
        return value

    with np.errstate(all="ignore"):
        return walk(outputs, known, run)


def _hold_elements(
    graph: Graph,
    point: Sequence[Any],
    out: Expr,
    value: Any,
    called: Any,
    same: Any,
) -> None:
    """The elements of an output that differ most, each against its own bound."""
    with np.errstate(all="ignore"):
        off = np.where(same, 0.0, np.abs(value.astype(np.float64) - called.astype(np.float64)))
        relative = np.nan_to_num(off / np.abs(called.astype(np.float64)), nan=np.inf)
    for i in np.argsort(-relative, axis=None)[:WORST]:
        distance = off.flat[i]
        if distance == 0.0:
            break
        flat: Any = node("reshape", out, shape=(out.size,))
        try:
            (error,) = graph.with_outputs([lift(flat[int(i)])]).rounding_error(point)
            bound = 2.0 * float(error.bound)
        except UnsupportedError:
            bound = NO_BOUND * float(np.abs(called.flat[i]))
        if not (distance <= bound or np.isinf(bound)):
            found, expected = _told_apart(value.flat[i], called.flat[i])
            raise _other(f"{found} where a plain call gives {expected}", out.line)


def _told_apart(*numbers: Any) -> list[str]:
    """Two numbers with as many digits as tell them apart, and at least six."""
    for digits in range(6, 18):
        texts = [f"{float(number):.{digits}g}" for number in numbers]
        if texts[0] != texts[1]:
            break
    return texts


def _other(how: str, line: Line | None = None) -> TraceError:
    """The error for a graph of another function."""
    return TraceError(
        f"traced, the function computes something else than called: {how}",
        "it may ask for the type of a value (isinstance(x, np.ndarray) is answered), read what it"
        " stored at an earlier call, or read a number from a text",
        line,
    )
