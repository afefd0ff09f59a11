"""Graph -> equal, smaller Graph.

What flows: nodes in order of age, each rebuilt on its simplified operands and then offered to the
rules of its primitive. The invariant: no rule loses accuracy; the results differ from the
original's by the sign of a zero at most (and multiplications are merged only by powers of two);
the sums of a contraction may run in another order.
Dead code goes because only what the outputs need is visited; common subexpressions are one node by
hash-consing.

>>> import numpy as np
>>> from difflab.tracing.trace import trace
>>> simplify(trace(lambda x: (x + 0.0) * 1.0 - (-x), 2.0)).operation_count()
1
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import numpy as np

from difflab.ir.build import node, reshaped
from difflab.ir.expr import Expr, Graph, attributed_to, constant, walk
from difflab.ir.row import CONSTANT, Primitive
from difflab.table.contractions import paired, pairs
from difflab.table.movement import ALL

Rewrite = Callable[..., Expr | None]
RULES: dict[str, list[Rewrite]] = {}
SMALL: Final = 1024
"""Elements up to which an array that is computed of constants is a constant itself."""


def rule(*names: str) -> Callable[[Rewrite], Rewrite]:
    """The decorated function rewrites nodes of those primitives, or returns None to leave one
    as it is.
    """

    def register(rewrite: Rewrite) -> Rewrite:
        for name in names:
            RULES.setdefault(name, []).append(rewrite)
        return rewrite

    return register


def simplify(graph: Graph) -> Graph:
    """An equal graph with constants folded, identities removed and dead code dropped."""
    new = {x: x for x in graph.inputs}
    walk([*graph.outputs, *(guard.expr for guard in graph.guards)], new, _settled)
    guards = tuple(replace(g, expr=new[g.expr]) for g in graph.guards)
    kept = tuple(g for g in guards if g.expr.primitive is not CONSTANT)
    return replace(graph, outputs=tuple(new[out] for out in graph.outputs), guards=kept)


def _settled(old: Expr, operands: list[Expr]) -> Expr:
    if not operands:
        return old
    with attributed_to(old.line):
        same = all(map(operator.is_, operands, old.operands))
        return settle(old if same else Expr(old.primitive, tuple(operands), old.params))


def settle(x: Expr) -> Expr:
    """Offer a node, whose operands are simple already, to the rules until none applies."""
    for _ in range(20):
        following = _once(x)
        if following is None:
            return x
        x = following
    return x


def make(name: str, *operands: Expr, **params: Any) -> Expr:
    """A new simple node."""
    return settle(node(name, *operands, **params))


def _once(x: Expr) -> Expr | None:
    kinds = [o.primitive for o in x.operands]
    if not kinds:
        return None
    if all(map(_may_repeat, kinds)) and (found := _folded(x)) is not None:
        return found
    if x.shape and x.primitive.kind == "pointwise" and any(map(_may_repeat, kinds)):
        found = _outside_of_expand(x)
        if found is not None:
            return found
    for rewrite in RULES.get(x.primitive.name, ()):
        found = rewrite(x, *x.operands, **dict(x.params))
        if found is not None and found is not x:
            return found
    return None


def _folded(x: Expr) -> Expr | None:
    """The value of what is computed of constants alone, where it is small."""
    row, first = x.primitive, x.operands[0]
    if any([part.shape for part in (x, *x.operands)]):  # noqa: C419 (faster)
        if row.kind not in ("pointwise", "movement") or row.indexed or not 0 < x.size <= SMALL:
            return None
        if _is(x, "reciprocal") or _is(x, "expand"):  # better divided by, or repeated, later
            return None
        if row.shaping and not (first.primitive is CONSTANT and first.shape):
            return None
    values = [held(o) for o in x.operands]
    if any([value is None for value in values]):  # noqa: C419 (faster)
        return None
    with np.errstate(all="ignore"):
        value = np.asarray(row.evaluate(*values, **dict(x.params)), x.dtype)
    if not value.shape or value.tobytes() != value.ravel()[:1].tobytes() * value.size:
        return constant(value)
    one = constant(value.ravel()[0], x.dtype)
    return make("expand", reshaped(one, (1,) * x.ndim), shape=x.shape)


def held(x: Expr) -> Any:
    """What a constant holds, also one that is repeated or reshaped; else None."""
    if x.primitive is CONSTANT:
        return x.value if x.is_fixed else None
    if x.primitive.shaping is None or x.size > SMALL:
        return None
    inner = held(x.operands[0])
    return None if inner is None else x.primitive.evaluate(inner, **dict(x.params))


def number(x: Expr) -> float | None:
    """The value of a floating-point constant that is the same everywhere, else None."""
    while x.primitive.name in ("expand", "reshape"):
        x = x.operands[0]
    if x.primitive is CONSTANT and not x.shape and x.dtype.kind == "f":
        return float(x.value)
    return None


def _may_repeat(row: Primitive) -> bool:
    return row is CONSTANT or row.shaping is not None


def _outside_of_expand(x: Expr) -> Expr | None:
    """Compute before repeating, and let constants be scalars."""
    slim = [
        constant(number(o), o.dtype) if o.shape and number(o) is not None else o for o in x.operands
    ]
    wide = [o for o in slim if o.shape == x.shape and not (o.primitive is CONSTANT and not o.shape)]
    if not wide:
        if not x.shape:
            return None
        small = settle(Expr(x.primitive, tuple(slim), x.params))
        return make("expand", reshaped(small, (1,) * len(x.shape)), shape=x.shape)
    if all(o.primitive.name == "expand" for o in wide):
        shapes = {o.operands[0].shape for o in wide}
        if len(shapes) == 1:
            inner = [o.operands[0] if o.primitive.name == "expand" else o for o in slim]
            return make("expand", settle(Expr(x.primitive, tuple(inner), x.params)), shape=x.shape)
    if any(a is not b for a, b in zip(slim, x.operands, strict=True)):
        return Expr(x.primitive, tuple(slim), x.params)
    return None


def _is(x: Expr, name: str) -> bool:
    return x.primitive.name == name


def _power_of_two(value: float) -> bool:
    return value != 0.0 and math.isfinite(value) and abs(math.frexp(value)[0]) == 0.5


@rule("add")
def _add(x: Expr, a: Expr, b: Expr) -> Expr | None:
    if number(b) == 0.0:
        return a if a.shape == x.shape else None
    if number(a) == 0.0:
        return b if b.shape == x.shape else None
    if a is b:
        return make("multiply", constant(2, a.dtype), a)
    if _is(b, "negative"):
        return make("subtract", a, b.operands[0])
    if _is(a, "negative"):
        return make("subtract", b, a.operands[0])
    return None


@rule("subtract")
def _subtract(x: Expr, a: Expr, b: Expr) -> Expr | None:
    if number(b) == 0.0 and a.shape == x.shape:
        return a
    if number(a) == 0.0 and b.shape == x.shape:
        return make("negative", b)
    if _is(b, "negative"):
        return make("add", a, b.operands[0])
    return None


@rule("negative")
def _negative(x: Expr, a: Expr) -> Expr | None:
    if _is(a, "negative"):
        return a.operands[0]
    if _is(a, "subtract"):
        return make("subtract", a.operands[1], a.operands[0])
    if _is(a, "multiply") and (factor := number(a.operands[0])) is not None:
        return make("multiply", constant(-factor, a.dtype), a.operands[1])
    return None


@rule("multiply")
def _multiply(x: Expr, a: Expr, b: Expr) -> Expr | None:
    if x.dtype.kind != "f":
        return None
    if number(b) is not None and number(a) is None:
        return make("multiply", b, a)
    factor = number(a)
    if factor is not None:
        if factor == 1.0:
            return b if b.shape == x.shape else None
        if factor == -1.0:
            return make("negative", b) if b.shape == x.shape else None
        if _is(b, "negative"):
            return make("multiply", constant(-factor, a.dtype), b.operands[0])
        inner = number(b.operands[0]) if _is(b, "multiply") else None
        if inner is not None and (_power_of_two(factor) or _power_of_two(inner)):
            return make("multiply", constant(factor * inner, a.dtype), b.operands[1])
        return None
    if a is b:
        return make("square", a)
    for one, other in ((a, b), (b, a)):
        if _is(one, "negative"):
            return make("negative", make("multiply", one.operands[0], other))
        if _is(one, "reciprocal"):
            return make("divide", other, one.operands[0])
        # Constant factors move outward, where they meet others.
        if (
            _is(one, "multiply")
            and (inner := number(one.operands[0])) is not None
            and _power_of_two(inner)
        ):
            return make(
                "multiply", constant(inner, x.dtype), make("multiply", one.operands[1], other)
            )
    return None


@rule("divide")
def _divide(x: Expr, a: Expr, b: Expr) -> Expr | None:
    divisor = number(b)
    if divisor is not None and _power_of_two(divisor) and math.isfinite(1.0 / divisor):
        return make("multiply", constant(1.0 / divisor, a.dtype), a) if a.shape == x.shape else None
    if number(a) == 1.0:
        return make("reciprocal", b) if b.shape == x.shape else None
    if _is(a, "negative"):
        return make("negative", make("divide", a.operands[0], b))
    return None


@rule("reshape")
def _reshape(x: Expr, a: Expr, shape: Any) -> Expr | None:
    if a.shape == shape:
        return a
    if _is(a, "reshape"):
        return reshaped(a.operands[0], shape)
    return None


@rule("transpose")
def _transpose(x: Expr, a: Expr, axes: Any) -> Expr | None:
    if axes == tuple(range(x.ndim)):
        return a
    if _is(a, "transpose"):
        inner = dict(a.params)["axes"]
        return make("transpose", a.operands[0], axes=tuple([inner[i] for i in axes]))
    return None


@rule("reshape", "transpose", "getitem", "gather")
def _moved_constant(x: Expr, a: Expr, *rest: Expr, **params: Any) -> Expr | None:
    if _is(a, "expand") and (value := number(a)) is not None:
        scalar = constant(value, a.dtype)
        return make("expand", reshaped(scalar, (1,) * x.ndim), shape=x.shape) if x.shape else scalar
    return None


@rule("expand")
def _expand(x: Expr, a: Expr, shape: Any) -> Expr | None:
    if a.shape == shape:
        return a
    return make("expand", a.operands[0], shape=shape) if _is(a, "expand") else None


@rule("sum")
def _sum(x: Expr, a: Expr, axes: Any) -> Expr | None:
    if all(a.shape[axis] == 1 for axis in axes):
        return reshaped(a, x.shape)
    if _is(a, "negative"):
        return make("negative", make("sum", a.operands[0], axes=axes))
    if _is(a, "expand"):
        inner = a.operands[0]
        if all(inner.shape[axis] == 1 for axis in axes):
            count = math.prod(a.shape[axis] for axis in axes)
            kept = tuple([n for i, n in enumerate(a.shape) if i - a.ndim not in axes])
            once = reshaped(
                inner, tuple([n for i, n in enumerate(inner.shape) if i - a.ndim not in axes])
            )
            once = once if once.shape == kept else make("expand", once, shape=kept)
            return make("multiply", constant(count, a.dtype), once)
    return None


@rule("getitem")
def _getitem(x: Expr, a: Expr, index: Any) -> Expr | None:
    if all(part == ALL for part in index):
        return a
    if _is(a, "place") and dict(a.params)["index"] == index:
        return a.operands[0]
    return None


@rule("where")
def _where(x: Expr, condition: Expr, a: Expr, b: Expr) -> Expr | None:
    if a is b and a.shape == x.shape:
        return a
    value = held(condition)
    if value is not None and (np.all(value) or not np.any(value)):
        chosen = a if np.all(value) else b
        return chosen if chosen.shape == x.shape else None
    return None


@rule("convert")
def _convert(x: Expr, a: Expr, dtype: Any) -> Expr | None:
    return a if a.dtype == x.dtype else None


@rule("einsum")
def _einsum(x: Expr, *operands: Expr, subscripts: str) -> Expr | None:
    if x.dtype.kind != "f":
        return None
    if len(operands) == 2:
        found = paired(subscripts, *operands)
        return None if found is None else _simple(found, operands)
    parts = [*operands]
    for (i, j), word in pairs(subscripts, [part.shape for part in parts]):
        product = make("einsum", parts[i], parts[j], subscripts=word)
        parts = [*[part for k, part in enumerate(parts) if k not in (i, j)], product]
    return parts[0]


def _simple(new: Expr, given: tuple[Expr, ...]) -> Expr:
    """Nodes that were made of simple ones by NumPy's text."""
    return walk([new], {x: x for x in given}, _settled)[0]
