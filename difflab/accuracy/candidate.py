"""The gradient that is to be judged: what it returns, and what it computes.

What flows: the user's gradient is called at the point, as it is, and its answer is read as the
blocks of a derivative; it is traced as well, and where that succeeds its formula can be read in
balls. The invariant: the function is called as a user would call it, on copies, so that nothing it
does to its arguments reaches the judge.

>>> subject = Subject(lambda x, y: x * y, (2.0, 3.0))
>>> conformed(np.array([3.0, 2.0]), [(), ()])
[np.float64(3.0), np.float64(2.0)]
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from difflab.accuracy.subject import Subject
from difflab.errors import ArgumentError, DifflabError
from difflab.ir.build import lift
from difflab.ir.expr import Array, Expr, Graph
from difflab.ir.tree import flatten, unflatten
from difflab.tracing.called import Called
from difflab.tracing.held import NO_BOUND
from difflab.tracing.trace import trace_signature


class Misfit(ValueError):
    """The answer cannot be the derivative: its shape or structure is another one."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A given gradient at the point.

    `values` are its blocks as returned; `finest` those at the same point in float64, where the
    point is in float32 and the gradient follows; `graph` and `blocks` its trace, or None and the
    `reason` why there is none; `notes` say what it did to its arguments.
    """

    call: Callable[..., list[Array]]
    values: list[Array]
    finest: list[Array]
    graph: Graph | None
    blocks: list[Expr]
    reason: str
    notes: tuple[str, ...] = ()
    repeats: bool = True
    """Whether it gives the same answer when it is called again."""


def read_candidate(
    gradient: Callable[..., Any], subject: Subject, shapes: Sequence[tuple[int, ...]]
) -> Candidate:
    """Call and trace a gradient whose blocks should have these shapes.

    Raises
    ------
    Misfit
        If what it returns cannot be read as such blocks.
    """
    if not callable(gradient):
        raise ArgumentError(
            f"gradient is a {type(gradient).__name__}, not a function",
            "pass the function itself, not gradient(x)",
        )
    answer = Called(gradient, subject.signature)

    def call(*arrays: Any) -> list[Array]:
        with np.errstate(all="ignore"):
            return [_as_floats(leaf) for leaf in conformed(answer(arrays), shapes)]

    values = call(*subject.arrays)
    finest = _in_double(call, subject) or values
    graph, blocks, reason = _traced(gradient, subject, shapes)
    notes = answer.notes("the gradient")
    repeats = all(map(_alike, values, call(*subject.arrays)))
    return Candidate(call, values, finest, graph, blocks, reason, notes, repeats)


def _alike(first: Array, second: Array) -> bool:
    """Whether two answers differ by no more than the order of additions may bring about."""
    size = float(np.max(np.abs(first), where=np.isfinite(first), initial=0.0))
    return np.allclose(first, second, rtol=NO_BOUND, atol=NO_BOUND * size, equal_nan=True)


def _traced(
    gradient: Callable[..., Any], subject: Subject, shapes: Sequence[tuple[int, ...]]
) -> tuple[Graph | None, list[Expr], str]:
    try:
        graph = trace_signature(gradient, subject.signature, subject.arrays)
        result = unflatten(graph.output_tree, graph.outputs)
        return graph, [lift(leaf) for leaf in conformed(result, shapes)], ""
    except Misfit:
        raise
    except Exception as error:  # the function runs on numbers (it was called), not on traced values
        return None, [], why_not(error)


def why_not(error: Exception) -> str:
    """Why a function cannot be traced."""
    if isinstance(error, DifflabError):
        return error.what
    return f"{type(error).__name__}: {error}".partition("\n")[0]


def _in_double(call: Callable[..., list[Array]], subject: Subject) -> list[Array] | None:
    """The blocks at float64 arguments, where some are float32 and the gradient follows."""
    arrays = [np.asarray(array) for array in subject.arrays]
    if all(array.dtype != np.float32 for array in arrays):
        return None
    try:
        values = call(*(x.astype(np.float64) if x.dtype == np.float32 else x for x in arrays))
    except Exception:  # it insists on float32
        return None
    return values if all(value.dtype == np.float64 for value in values) else None


def _as_floats(leaf: Any) -> Array:
    array = np.array(leaf)  # a gradient may return the same array each time
    if array.dtype.kind == "f" and array.dtype.itemsize in (4, 8):
        return array
    if array.dtype.kind in "fiub":
        return array.astype(np.float64)
    raise Misfit(f"the gradient returned {array.dtype} where real numbers are expected")


def conformed(result: Any, shapes: Sequence[tuple[int, ...]]) -> list[Any]:
    """An answer as blocks of these shapes: arrays, or traced values.

    Lists of numbers stand for arrays, an array with one more axis for several blocks of one shape,
    arrays of one element for scalars; leading axes of length 1 may be missing.
    """
    leaves, _ = flatten(result)
    if any(leaf is None for leaf in leaves):
        raise Misfit("the gradient returned None")
    if len(shapes) == 1 and (len(leaves) != 1 or isinstance(result, (list, tuple))):
        leaves = [_stacked(result)]
    if len(leaves) == 1 and len(shapes) > 1:
        (whole,) = leaves
        if all(np.shape(whole) == (len(shapes), *shape) for shape in shapes):
            leaves = [whole[k] for k in range(len(shapes))]
    if len(leaves) != len(shapes):
        raise Misfit(f"the gradient has {_several(leaves)}, the derivative {len(shapes)}")
    return list(map(_shaped, leaves, shapes))


def _several(parts: Sequence[Any]) -> str:
    return f"{len(parts)} array{'s' if len(parts) != 1 else ''}"


def _stacked(result: Any) -> Any:
    """Nested lists of numbers as an array."""
    if not isinstance(result, (list, tuple)):
        return result
    parts = list(map(_stacked, result))
    if len(set(map(np.shape, parts))) != 1:
        raise Misfit(f"the gradient has {_several(parts)} of different shapes")
    return np.stack(parts)


def _shaped(leaf: Any, shape: tuple[int, ...]) -> Any:
    found = tuple(np.shape(leaf))
    if found == shape:
        return leaf
    leading = (1,) * (len(shape) - len(found))
    if math.prod(found) == math.prod(shape) == 1 or (leading and shape == leading + found):
        return np.reshape(leaf, shape)
    hint = ": it is transposed" if len(shape) > 1 and found == shape[::-1] else ""
    raise Misfit(f"the gradient has shape {found}, the derivative {shape}{hint}")
