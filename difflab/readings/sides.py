"""What flows along the edges is a germ: the value of a node just to one side of a point.

The scene is the same graph in balls at the point; what does not move is taken from there, node by
node and element by element. A row's ball cell reads germs as it reads balls; the few rows that
choose among whole arrays, or factorise matrices, are read here. The invariant: every choice is
decided by the germs, or the result is unknown; nothing that is not known counts as a number.

>>> import numpy as np
>>> from difflab.tracing.trace import trace
>>> from difflab.readings.balls import enclose_nodes, exact
>>> graph = trace(lambda x: np.abs(x) * np.sign(x), 0.0)
>>> scene = {graph.inputs[0]: exact(0.0)}
>>> enclose_nodes(graph.outputs, scene, 128)
>>> moved = {graph.inputs[0]: np.array(Germ.parameter(sign=-1), object)}
>>> Side(moved).read(graph.outputs, scene)[graph.outputs[0]].item()
-1 t
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import numpy as np
from flint import arb

import difflab.readings.germ_functions  # noqa: F401 (registers them)
from difflab.ir.expr import Array, Expr, walk
from difflab.ir.row import ITSELF, Primitive
from difflab.readings import germ_matrices
from difflab.readings.balls import exact, whole_number
from difflab.readings.germs import NO_VALUE, Germ, germ
from difflab.readings.open_balls import centres
from difflab.table.reductions import sorting_order as positions

ORDER: Final = "which element is selected beside the point cannot be told"
SPECTRUM: Final = "how these factors of a matrix change beside the point cannot be told"


class Side:
    """The germs of nodes with some inputs moved, as far as they have been read."""

    def __init__(self, moved: Mapping[Expr, Array]) -> None:
        self.known: dict[Expr, Array] = dict(moved)
        self.changed = {x: np.arange(array.size) for x, array in moved.items()}
        """The flat places of elements that are not those of the scene."""

    def read(self, outputs: Iterable[Expr], scene: Mapping[Expr, Array]) -> dict[Expr, Array]:
        """Add the germs of the outputs, and of all that they depend on."""
        changed = self.changed

        def made(node: Expr, operands: list[Array]) -> Array:
            before = scene.get(node)
            if not node.operands:
                changed[node] = _NOTHING
                return exact(node.value) if before is None else before
            if before is not None and not any(changed[x].size for x in node.operands):
                changed[node] = _NOTHING
                return before
            if before is not None and node.primitive.kind == "pointwise":
                changed[node] = _where_changed(node, changed)
                found = _each(node, operands, before, changed[node])
            else:
                found = _read(node, operands)
                changed[node] = _differing(found, before)
            return _signed(found, node)

        walk(outputs, self.known, made)
        return self.known


_NOTHING: Final = np.zeros(0, np.intp)


def _differing(found: Array, before: Array | None) -> Array:
    """The flat places of elements that are not those of the scene."""
    if before is None:
        return np.arange(found.size)
    pairs = zip(found.flat, before.flat, strict=True)
    return np.array([k for k, (a, b) in enumerate(pairs) if not _is_same(a, b)], np.intp)


def _where_changed(node: Expr, changed: Mapping[Expr, Array]) -> Array:
    """The flat places of a pointwise node at which an operand has changed."""
    if any(changed[x].size and x.shape != node.shape for x in node.operands):
        return np.arange(node.size)
    return np.unique(np.concatenate([changed[x] for x in node.operands]))


def _signed(found: Array, node: Expr) -> Array:
    """Bad germs, with the line where they first were."""
    if found.dtype == object:
        for x in found.flat:
            if isinstance(x, Germ) and x.bad and x.line is None:
                x.line = node.line
    return found


def _read(node: Expr, operands: list[Array]) -> Array:
    row, params = node.primitive, dict(node.params)
    if all(x.dtype != object for x in operands):
        return np.asarray(row.evaluate(*operands, **params))
    if row.kind == "pointwise":
        return _each(node, operands, np.empty(node.shape, object), np.arange(node.size))
    rule = _of_whole_arrays(row)
    try:
        return _numbers(np.asarray(rule(*operands, **params)), node)
    except _Open as error:
        return _filled(node, error.reason)


def _of_whole_arrays(row: Primitive) -> Any:
    """The reader that the row names; the ball cell reads germs where it names none."""
    if row.germ is not None:
        return getattr(_Whole, row.germ)
    if row.kind == "factorisation":
        return getattr(germ_matrices, row.need("ball"))
    return _indexed(row.evaluate) if row.indexed else _rule(row)


def _rule(row: Primitive) -> Any:
    """The ball cell."""
    rule = row.need("ball")
    return row.evaluate if rule == ITSELF else rule


class _Open(Exception):
    """Nothing is known of a result, and why."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


def _filled(node: Expr, reason: str) -> Array:
    found = np.empty(node.shape, object)
    for index in np.ndindex(node.shape):
        found[index] = Germ.unknown(reason) if node.dtype.kind == "f" else None
    return found


def _numbers(found: Array, node: Expr) -> Array:
    """Floats as balls: zeros that a rule filled in."""
    if node.dtype.kind != "f":
        plain = found.dtype == object and not any(x is None for x in found.flat)
        return found.astype(node.dtype) if plain else found
    if found.dtype != object:
        return exact(found.astype(float))
    for index, x in np.ndenumerate(found):
        if not isinstance(x, (arb, Germ)):
            found[index] = arb(float(x))
    return found


# -- element by element ----------------------------------------------------------------------------


def _each(node: Expr, operands: list[Array], before: Array, places: Array) -> Array:
    """A pointwise row at some flat places, with the other elements as they were."""
    rule, params = _rule(node.primitive), dict(node.params)
    if not node.shape:  # what loops over scalars are made of
        found = np.empty((), object)
        found[()] = _applied(node, rule, [x.item() for x in operands], params)
        return _numbers(found, node) if node.dtype.kind != "f" else found
    found = np.array(before, object)
    flat = found.reshape(-1)
    columns = [np.broadcast_to(x, node.shape).ravel() for x in operands]
    for k in places:
        flat[k] = _applied(node, rule, [column[k] for column in columns], params)
    found = flat.reshape(node.shape)
    return _numbers(found, node) if node.dtype.kind != "f" else found


def _is_same(a: Any, b: Any) -> bool:
    return a is b or (not isinstance(a, (Germ, arb)) and not isinstance(b, (Germ, arb)) and a == b)


def _applied(
    node: Expr, rule: str | Callable[..., Any], values: list[Any], params: dict[str, Any]
) -> Any:
    row = node.primitive
    chooses = any(v is None or isinstance(v, (bool, np.bool_)) for v in values)
    values = [
        bool(v) if isinstance(v, (bool, np.bool_)) else v if v is None else germ(v) for v in values
    ]
    if not chooses:
        bad = [v for v in values if v.bad]
        reasons = [v for v in bad if v.bad != NO_VALUE]
        if reasons:
            return None if node.dtype.kind != "f" else reasons[0]
        if bad:  # NumPy compares NaN, and asks for it, too
            if node.dtype.kind == "b":
                floats = [np.nan if v.bad else 1.0 for v in values]
                return bool(row.evaluate(*floats, **params))
            return bad[0] if node.dtype.kind == "f" else None
    first, *rest = values
    if not isinstance(rule, str):
        value = rule(*values, **params)
    else:  # a method, which truth values do not have
        value = None if first is None else getattr(germ(first), rule)(*rest)
    if node.dtype.kind == "i":
        return _integer(value)
    if node.dtype.kind != "f":
        return value
    if value is None and any(x.dtype.kind == "i" for x in node.operands):
        return Germ.unknown(ORDER)
    return Germ(arb(0.5, 0.5)) if value is None else germ(value)


def _integer(value: Any) -> int | None:
    """What a conversion to an integer gives, if it is one number."""
    if isinstance(value, Germ):
        value = value.constant if value.is_regular and set(value.terms) <= {(0, 0)} else None
    if isinstance(value, arb):
        whole = whole_number(value)
        return None if whole is None else int(whole)
    return None if value is None else int(value)


# -- whole arrays ----------------------------------------------------------------------------------


def _size(x: Any) -> arb | None:
    """The number that an element tends to, if there is one."""
    x = germ(x)
    return x.constant if x.is_regular else None


def _candidates(row: Iterable[Any]) -> list[int]:
    """The elements that may be the largest: those not certainly below another one at the point."""
    sizes = [_size(x) for x in row]
    tops = [size.lower() for size in sizes if size is not None]
    top = functools.reduce(arb.max, tops) if tops else arb(0)
    return [k for k, size in enumerate(sizes) if size is None or not size < top]


def _compare(x: Any, y: Any) -> int:
    """The sign of x - y; NaN is sorted last."""
    a, b = germ(x), germ(y)
    if a.bad == NO_VALUE or b.bad == NO_VALUE:
        return int(a.bad == NO_VALUE) - int(b.bad == NO_VALUE)
    gap: Germ = a - b
    if gap.sign is None:
        raise _Open(ORDER)
    return gap.sign


def _along(function: Callable[[Array], Any], x: Array, axis: int) -> Array:
    lines = np.moveaxis(x, axis, -1)
    found = np.empty(lines.shape[:-1], np.int64)
    for index in np.ndindex(found.shape):
        found[index] = function(lines[index])
    return found


def _indexed(rule: Callable[..., Any]) -> Callable[..., Any]:
    """A row that addresses elements by indices, of which all must be known."""

    def read(x: Array, *indices: Array, **params: Any) -> Any:
        known = []
        for index in indices:
            whole = [_integer(i) for i in index.flat]
            if any(i is None for i in whole):
                raise _Open(ORDER)
            known.append(np.array(whole, np.int64).reshape(index.shape))
        return rule(x, *known, **params)

    return read


class _Whole:
    """What the germ cells name: rows that choose among the elements of an array."""

    @staticmethod
    def not_told(*operands: Array, **params: Any) -> Array:
        raise _Open(SPECTRUM)

    @staticmethod
    def largest(x: Array, axes: tuple[int, ...]) -> Array:
        last = np.moveaxis(x, axes, range(-len(axes), 0))
        rows = last.reshape(*last.shape[: x.ndim - len(axes)], -1)
        found = np.empty(rows.shape[:-1], object)
        for index in np.ndindex(found.shape):
            kept = [germ(rows[index][k]) for k in _candidates(rows[index])]
            found[index] = functools.reduce(lambda a, b: a.max(b), kept)
        return found

    @staticmethod
    def total(x: Array, axes: tuple[int, ...]) -> Array:
        """The sum, of balls and germs apart: those are many, these few."""
        last = np.moveaxis(x, axes, range(-len(axes), 0))
        rows = last.reshape(*last.shape[: x.ndim - len(axes)], -1)
        found = np.empty(rows.shape[:-1], object)
        for index in np.ndindex(found.shape):
            balls = [e for e in rows[index] if not isinstance(e, Germ)]
            if any(e is None for e in balls):
                raise _Open(ORDER)
            found[index] = sum((e for e in rows[index] if isinstance(e, Germ)), sum(balls, arb(0)))
        return found

    @staticmethod
    def index_of_largest(x: Array, axis: int) -> Array:
        def first_largest(row: Array) -> int:
            best, *others = _candidates(row)
            for k in others:
                if _compare(row[k], row[best]) > 0:
                    best = k
            return best

        return _along(first_largest, x, axis)

    @staticmethod
    def sorting_order(x: Array, axis: int, kind: Any = None) -> Array:
        """By the germs; equal ones as NumPy's `kind` leaves them at the point."""
        at_the_point = positions(centres(x), axis, kind)
        lines, starts = np.moveaxis(x, axis, -1), np.moveaxis(at_the_point, axis, -1)
        found = np.empty(lines.shape, np.int64)
        for index in np.ndindex(lines.shape[:-1]):
            row = lines[index]
            key = functools.cmp_to_key(lambda i, j, row=row: _compare(row[i], row[j]))  # type: ignore[misc]
            found[index] = sorted(starts[index], key=key)
        return np.moveaxis(found, -1, axis)
