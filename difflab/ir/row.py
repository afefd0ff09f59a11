"""What a row of the primitive table is, and the four constructors that write one.

A row states independent facts, each once; what follows from them is derived. A cell that is empty
holds `Unsupported` with the reason in words for the user. The derivative cell is one of four facts:

=============== ============ ================================== ========================
constructor     derivative   forward mode becomes               reverse mode becomes
=============== ============ ================================== ========================
`elementwise`   `Partials`   sum of partial * tangent           cotangent * partial
`linear`        `Transpose`  the same operation on the tangents transpose
`multilinear`   `Transposes` product rule                       each operand's transpose
`general`       `Pair`       as given                           as given
=============== ============ ================================== ========================

Rules are plain NumPy text: on traced values they build nodes, on arrays they compute.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

import numpy as np

from difflab.errors import InvariantError, UnsupportedError
from difflab.ir.protocols import SPELLINGS, TracedArray

Kind = Literal["leaf", "pointwise", "reduction", "contraction", "movement", "factorisation"]
Rule = Callable[..., Any]
Cell = TypeVar("Cell")


@dataclass(frozen=True, slots=True)
class Unsupported:
    """An empty cell, and why it is empty."""

    reason: str


ITSELF: Final = "itself"
"""A reading that is the operation itself, on arrays of objects."""


@dataclass(frozen=True, slots=True)
class Partials:
    """``rule(y, *x)``: dy/dx_i for each operand, elementwise; a plain 0.0 or 1.0 is exact."""

    rule: Rule


@dataclass(frozen=True, slots=True)
class Transpose:
    """``rule(ct, *x, **params)``: the adjoint map, a cotangent for each operand (None: not
    differentiable).

    The operation is linear in all its float operands together.
    """

    rule: Rule


@dataclass(frozen=True, slots=True)
class Transposes:
    """One ``rule(ct, *x, **params)`` for each operand; the operation is linear in each of them
    alone.
    """

    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """``pushforward(y, tangents, *x, **params)`` and ``pullback(y, ct, *x, **params)``, both as
    given.
    """

    pushforward: Rule
    pullback: Rule


@dataclass(frozen=True, slots=True)
class Interval:
    """Where a row may be sampled: an open interval."""

    low: float
    high: float


REALS: Final = Interval(-math.inf, math.inf)
POSITIVE: Final = Interval(0.0, math.inf)
UNIT: Final = Interval(-1.0, 1.0)
ABOVE_ONE: Final = Interval(1.0, math.inf)
ABOVE_MINUS_ONE: Final = Interval(-1.0, math.inf)
Domain = tuple[Interval, ...]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Primitive:
    """A row: everything that difflab knows about one operation."""

    name: str
    kind: Kind
    numpy: tuple[Any, ...]
    """The NumPy functions by which tracing finds the row."""
    evaluate: Rule
    """The operation on arrays: ``evaluate(*x, **params)``."""
    infer: Rule
    """Shape and dtype of the result: ``infer(*operands, **params)``."""
    derivative: Partials | Transpose | Transposes | Pair | Unsupported
    sympy: str | Rule | Unsupported
    """`ITSELF`, the name of a SymPy function, or ``rule(sympy, *x, **params)``."""
    ball: str | Rule | Unsupported
    """`ITSELF`, the name of a method of a ball, or ``rule(*x, **params)``."""
    complex: Rule | Unsupported
    """The holomorphic continuation on complex arrays."""
    batch: Rule | Unsupported
    """How params change when every operand gains a leading axis: ``batch(size, **params)``."""
    emit: str
    """The NumPy source of one call; with ``{out}`` it writes into a planned buffer."""
    scalar: str | Unsupported
    """The Python source of one call on plain floats."""
    cost: Rule
    """Elementary operations in one run: ``cost(node, *operands)``."""
    kink: Rule | None
    """``kink(*x)``: zero where the derivative jumps; None: smooth inside its domain."""
    domain: Domain
    text: str
    latex: str
    precedence: int

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled and copied by name: there is one row of a name."""
        return _row_named, (self.name,)

    def need(self, reading: str) -> Any:
        """The cell of that name, or `UnsupportedError` with its reason."""
        cell = getattr(self, reading)
        if isinstance(cell, Unsupported):
            raise UnsupportedError(f"{self.name} has no {reading} reading: {cell.reason}")
        return cell


def _pointwise_result(dtype: str | None) -> Rule:
    fixed = np.dtype(dtype) if dtype else None

    def infer(*operands: Any, **params: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
        shape: tuple[int, ...] = ()
        for operand in operands:
            shape = shape or operand.shape
        for operand in operands:
            if operand.shape != shape and (operand.shape or operand.primitive is not CONSTANT):
                raise InvariantError(
                    f"pointwise operands differ in shape: {[o.shape for o in operands]}"
                )
        if "dtype" in params:
            return shape, np.dtype(params["dtype"])
        return shape, fixed or operands[-1].dtype

    return infer


def _name_of(function: Any, name: str | None) -> str:
    return name or str(function.__name__)


def same_params(size: int, **params: Any) -> dict[str, Any]:
    """The batch rule of rows whose params name axes from the end, or none at all."""
    return params


def size_of_result(node: Any, *operands: Any) -> int:
    """One operation an element of the result."""
    return int(node.size)


def no_cost(node: Any, *operands: Any) -> int:
    """Movement is free."""
    return 0


OPERATOR: Final = (
    50  # precedences: a text with a lower one is put in parentheses inside a higher one
)
ATOM: Final = 100


def _pointwise(
    function: Any,
    derivative: Partials | Transpose | Transposes,
    *,
    sympy: str | Rule | Unsupported,
    ball: str | Rule | Unsupported,
    scalar: str | Unsupported,
    domain: Interval | Domain = REALS,
    complex: Rule | Unsupported | None = None,
    kink: Rule | None = None,
    dtype: str | None = None,
    name: str | None = None,
    emit: str | None = None,
    text: str | None = None,
    latex: str | None = None,
    precedence: int = ATOM,
    arity: int | None = None,
    also: tuple[Any, ...] = (),
) -> Primitive:
    """What `elementwise`, and the pointwise rows of `linear` and `multilinear`, have in common."""
    name = _name_of(function, name)
    ufunc = isinstance(function, np.ufunc)
    evaluate = getattr(function, "evaluate", function)
    arity = arity or (function.nin if ufunc else 1)
    places = [f"{{{i}}}" for i in range(arity)]
    called = ", ".join(places)
    out = (
        "out={out}" if function in (np.maximum, np.minimum) else "{out}"
    )  # positional is deprecated
    return Primitive(
        name=name,
        kind="pointwise",
        numpy=(function, *also),
        evaluate=evaluate,
        infer=_pointwise_result(dtype),
        derivative=derivative,
        sympy=sympy,
        ball=ball,
        complex=complex or evaluate,
        batch=same_params,
        emit=emit or (f"{name}({called}, {out})" if ufunc else f"{name}({called})"),
        scalar=scalar,
        cost=size_of_result,
        kink=kink,
        domain=domain if isinstance(domain, tuple) else (domain,) * arity,
        text=text or f"{name}({called})",
        latex=latex or rf"\operatorname{{{{{name}}}}}\left({called}\right)".replace("_", r"\_"),
        precedence=precedence,
    )


def elementwise(function: Any, *, partials: Rule, **cells: Any) -> Primitive:
    """A pointwise row by its partial derivatives.

    >>> import numpy as np
    >>> row = elementwise(np.sinh, partials=lambda y, x: np.cosh(x), sympy="sinh", ball="sinh",
    ...                   scalar="sinh({0})")
    >>> row.name, row.kind, row.domain
    ('sinh', 'pointwise', (Interval(low=-inf, high=inf),))
    """
    return _pointwise(function, Partials(partials), **cells)


def linear(function: Any, *, transpose: Rule, **cells: Any) -> Primitive:
    """A row that is linear in its float operands together, by its adjoint."""
    if "kind" not in cells:
        return _pointwise(function, Transpose(transpose), **cells)
    return _structural(function, Transpose(transpose), **cells)


def multilinear(function: Any, *, transposes: tuple[Rule, ...], **cells: Any) -> Primitive:
    """A row that is linear in each operand alone, by one adjoint an operand."""
    if "kind" not in cells:
        return _pointwise(function, Transposes(transposes), **cells)
    return _structural(function, Transposes(transposes), **cells)


def general(function: Any, *, pushforward: Rule, pullback: Rule, **cells: Any) -> Primitive:
    """A structural row by an explicit pair of rules."""
    return _structural(function, Pair(pushforward, pullback), **cells)


def flat(function: Any, **cells: Any) -> Primitive:
    """A structural row that is piecewise constant: no tangent passes it."""
    return _structural(function, Partials(lambda y, *x, **_: (0.0,) * len(x)), **cells)


def _structural(
    function: Any,
    derivative: Partials | Transpose | Transposes | Pair,
    *,
    kind: Kind,
    infer: Rule,
    sympy: str | Rule | Unsupported,
    ball: str | Rule | Unsupported,
    batch: Rule | Unsupported = same_params,
    emit: str,
    cost: Rule = no_cost,
    name: str | None = None,
    complex: Rule | Unsupported | None = None,
    kink: Rule | None = None,
    domain: Interval | Domain = REALS,
    text: str | None = None,
    latex: str | None = None,
    precedence: int = ATOM,
) -> Primitive:
    name = _name_of(function, name)
    return Primitive(
        name=name,
        kind=kind,
        numpy=(function,),
        evaluate=getattr(function, "evaluate", function),
        infer=infer,
        derivative=derivative,
        sympy=sympy,
        ball=ball,
        complex=complex or getattr(function, "evaluate", function),
        batch=batch,
        emit=emit,
        scalar=Unsupported("arrays have no plain-float reading"),
        cost=cost,
        kink=kink,
        domain=domain if isinstance(domain, tuple) else (domain,),
        text=text or f"{name}({{operands}}{{params}})",
        latex=latex or rf"\operatorname{{{{{name}}}}}\left({{operands}}\right)".replace("_", r"\_"),
        precedence=precedence,
    )


def _leaf(name: str, infer: Rule, evaluate: Rule) -> Primitive:
    reason = Unsupported(f"{name} is a leaf: readings bind it themselves")
    return Primitive(
        name=name,
        kind="leaf",
        numpy=(),
        evaluate=evaluate,
        infer=infer,
        derivative=reason,
        sympy=reason,
        ball=reason,
        complex=reason,
        batch=reason,
        emit="",
        scalar=reason,
        cost=no_cost,
        kink=None,
        domain=(),
        text=name,
        latex=name,
        precedence=ATOM,
    )


def _unbound(**params: Any) -> Any:
    raise InvariantError(f"input {params['name']!r} has no value here")


INPUT: Final = _leaf("input", lambda *, shape, dtype, **_: (shape, dtype), _unbound)
CONSTANT: Final = _leaf(
    "constant",
    lambda *, value: (value.array.shape, value.array.dtype),
    lambda *, value: value.array,
)


TABLE: Final[dict[str, Primitive]] = {}
"""Every primitive by its name; the rooms of `difflab.table` fill it."""


def enter(*rows: Primitive) -> None:
    """Enter rows into the table; a name that is taken is an `InvariantError`."""
    for row in rows:
        if row.name in TABLE:
            raise InvariantError(f"there are two rows of the name {row.name!r}")
        TABLE[row.name] = row


def _row_named(name: str) -> Primitive:
    return {row.name: row for row in (INPUT, CONSTANT)}.get(name) or TABLE[name]


class Lacking:
    """A function that NumPy lacks: computes on arrays, makes a node of a traced value."""

    def __init__(self, evaluate: Callable[..., Any]) -> None:
        self.evaluate = evaluate
        self.__name__ = evaluate.__name__
        self.__doc__ = evaluate.__doc__
        self.__wrapped__ = evaluate

    def __call__(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(x, TracedArray):
            return SPELLINGS[self](x, *args, **kwargs)
        return self.evaluate(np.asarray(x), *args, **kwargs)

    def __repr__(self) -> str:
        return f"<function {self.__name__}>"
