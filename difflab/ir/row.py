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

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any, ClassVar, Final, Literal, NamedTuple

import numpy as np

from difflab.errors import InvariantError, UnsupportedError
from difflab.ir.fused import Fold, InRows
from difflab.ir.protocols import TracedArray
from difflab.ir.rounding import exact, library

Kind = Literal["leaf", "pointwise", "reduction", "contraction", "movement", "factorisation"]
Elements = Literal["each", "moved", "selected", "mixed"]
"""What becomes of an array's elements: a result each, all of them elsewhere, some of them, or a
result of several."""
Shaping = Literal["repeats", "regroups"]
Rule = Callable[..., Any]
Shape = tuple[int, ...]
Typed = tuple[Shape, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class Unsupported:
    """An empty cell, and why it is empty."""

    reason: str


NOT_HOLOMORPHIC: Final = Unsupported(
    "not holomorphic, so a complex step does not see its derivative"
)
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
class OpenInterval:
    """Where a row may be sampled: an open interval."""

    low: float
    high: float


REALS: Final = OpenInterval(-math.inf, math.inf)
POSITIVE: Final = OpenInterval(0.0, math.inf)
UNIT: Final = OpenInterval(-1.0, 1.0)
ABOVE_ONE: Final = OpenInterval(1.0, math.inf)
ABOVE_MINUS_ONE: Final = OpenInterval(-1.0, math.inf)
Domain = tuple[OpenInterval, ...]


class Sample(NamedTuple):
    """Operands and params of one call of a row."""

    operands: tuple[Any, ...]
    params: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        return f"at {', '.join(map(repr, self.operands))}, {dict(self.params)}"


def sample(*operands: Any, **params: Any) -> Sample:
    """A `Sample`, for a row's sample cell."""
    return Sample(tuple([np.asarray(x) for x in operands]), tuple(params.items()))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Primitive:
    """A row: everything that difflab knows about one operation."""

    is_own: ClassVar[bool] = False
    """Whether it is a function of the user's, with rules that only `check` can prove."""
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
    """The NumPy source of one call: ``{out}`` is a planned buffer, ``{call}`` is `evaluate`."""
    scalar: str | Rule | Unsupported
    """The Python source of one call on plain floats, or the function that is called."""
    native: Rule | str | Fold | InRows | None
    """How fused machine code computes it, as ir/fused.py says."""
    cost: Rule
    """Elementary operations in one run: ``cost(node, *operands)``."""
    kink: Rule | None
    """``kink(*x)``: zero where the derivative or the value jumps; None: smooth in its domain."""
    domain: Domain
    rounding: Rule | Unsupported
    """What one run rounds: ``rounding(y, *x, **params)``, in the words of ir/rounding.py."""
    germ: str | None
    """The reader of germs for what chooses among whole arrays; None: the ball cell reads them."""
    choice: Rule | None
    """Where each operand was taken: ``choice(*x, **params)``; None: everywhere."""
    corner: Rule | None
    """Where a partial has fewer digits, and knows it: ``corner(*x)``."""
    elements: Elements
    shaping: Shaping | None
    """How it changes the shape alone, so that a number stays that number; None: it does more."""
    view: bool
    """Whether NumPy's result shows the operand's memory."""
    indexed: bool
    """Whether the operands after the first are integers that address its leading axes."""
    weak: bool
    """Whether Python floats among themselves give a Python float."""
    tame: bool
    """Whether the partials are finite."""
    commutative: bool
    cancels: bool
    """Whether it adds, so that the result may be far smaller than what it is made of."""
    singular: str | None
    """What to do about a matrix that it does not take; None: it takes all."""
    params: tuple[dict[str, Any], ...]
    """Params to try it with; an empty one where it needs none."""
    sample: Rule | None
    """``sample(rng, shape)``: calls to try it with; None: its domain and `params` say them."""
    text: str
    latex: str
    precedence: int

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled and copied by name: there is one row of a name."""
        return _row_named, (self.name,)

    @property
    def is_product(self) -> bool:
        """Whether it multiplies numbers, so that each operand's partial is the other."""
        return self.kind == "pointwise" and isinstance(self.derivative, Transposes)

    @property
    def needs_params(self) -> bool:
        """Whether it computes something only with params: a power needs its exponent."""
        if not isinstance(self.evaluate, FunctionType):
            return False
        named = inspect.signature(self.evaluate).parameters.values()
        return sum(p.default is p.empty for p in named) > len(self.domain)

    @property
    def is_call(self) -> bool:
        """Whether its text is a call of its own name."""
        return self.text.startswith(f"{self.name}(")

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


def unchanged_params(size: int, **params: Any) -> dict[str, Any]:
    """The batch rule of rows whose params name axes from the end, or none at all."""
    return params


def like_first(x: Any, *_: Any, **params: Any) -> Typed:
    """The shape and dtype of the first operand."""
    return x.shape, x.dtype


def size_of_result(node: Any, *operands: Any) -> int:
    return int(node.size)  # one operation an element


def no_cost(node: Any, *operands: Any) -> int:
    return 0  # movement is free


OPERATOR: Final = 50
"""A precedence: a text with a lower one is put in parentheses inside a higher one."""
ATOM: Final = 100

_UNLESS_SAID: Final[dict[str, Any]] = {
    "batch": unchanged_params,
    "kink": None,
    "domain": REALS,
    "native": None,
    "germ": None,
    "choice": None,
    "corner": None,
    "shaping": None,
    "view": False,
    "indexed": False,
    "weak": False,
    "tame": False,
    "commutative": False,
    "cancels": False,
    "singular": None,
    "params": ({},),
    "sample": None,
    "precedence": ATOM,
}
"""The cells that few rows fill."""


def _row(
    function: Any,
    derivative: Partials | Transpose | Transposes | Pair,
    *,
    name: str | None = None,
    also: tuple[Any, ...] = (),
    arity: int = 1,
    **cells: Any,
) -> Primitive:
    name = name or str(function.__name__)
    evaluate = getattr(function, "evaluate", function)
    given = {**_UNLESS_SAID, "complex": evaluate, **cells}
    domain = given.pop("domain")
    return Primitive(
        name=name,
        numpy=(function, *also),
        evaluate=evaluate,
        derivative=derivative,
        domain=domain if isinstance(domain, tuple) else (domain,) * arity,
        **given,
    )


def _pointwise(
    function: Any,
    derivative: Partials | Transpose | Transposes,
    *,
    dtype: str | None = None,
    arity: int | None = None,
    **cells: Any,
) -> Primitive:
    """What `elementwise`, and the pointwise rows of `linear` and `multilinear`, have in common."""
    name = cells.get("name") or str(function.__name__)
    ufunc = isinstance(function, np.ufunc)
    arity = arity or (function.nin if ufunc else 1)
    called = ", ".join(f"{{{i}}}" for i in range(arity))
    # Positional outputs of these two are deprecated.
    out = "out={out}" if function in (np.maximum, np.minimum) else "{out}"
    usual: dict[str, Any] = {
        "kind": "pointwise",
        "infer": _pointwise_result(dtype),
        "cost": size_of_result,
        "rounding": library,
        "elements": "each",
        "emit": f"{name}({called}, {out})" if ufunc else f"{name}({called})",
        "text": f"{name}({called})",
        "latex": rf"\operatorname{{{{{name}}}}}\left({called}\right)".replace("_", r"\_"),
    }
    return _row(function, derivative, arity=arity, **{**usual, **cells})


def _structural(
    function: Any, derivative: Partials | Transpose | Transposes | Pair, **cells: Any
) -> Primitive:
    name = cells.get("name") or str(function.__name__)
    usual: dict[str, Any] = {
        "cost": no_cost,
        "rounding": exact,
        "elements": "mixed",
        "scalar": Unsupported("arrays have no plain-float reading"),
        "text": f"{name}({{operands}}{{params}})",
        "latex": rf"\operatorname{{{{{name}}}}}\left({{operands}}\right)".replace("_", r"\_"),
    }
    return _row(function, derivative, **{**usual, **cells})


def elementwise(function: Any, *, partials: Rule, **cells: Any) -> Primitive:
    """A pointwise row by its partial derivatives.

    >>> import numpy as np
    >>> row = elementwise(np.sinh, partials=lambda y, x: np.cosh(x), sympy="sinh", ball="sinh",
    ...                   scalar="sinh({0})")
    >>> row.name, row.kind, row.domain
    ('sinh', 'pointwise', (OpenInterval(low=-inf, high=inf),))
    """
    return _pointwise(function, Partials(partials), **cells)


def linear(function: Any, *, transpose: Rule, **cells: Any) -> Primitive:
    """A row that is linear in its float operands together, by its adjoint."""
    constructor = _structural if "kind" in cells else _pointwise
    return constructor(function, Transpose(transpose), **cells)


def multilinear(function: Any, *, transposes: tuple[Rule, ...], **cells: Any) -> Primitive:
    """A row that is linear in each operand alone, by one adjoint an operand."""
    constructor = _structural if "kind" in cells else _pointwise
    return constructor(function, Transposes(transposes), **cells)


def general(function: Any, *, pushforward: Rule, pullback: Rule, **cells: Any) -> Primitive:
    """A structural row by an explicit pair of rules."""
    return _structural(function, Pair(pushforward, pullback), **cells)


def flat(function: Any, **cells: Any) -> Primitive:
    """A structural row that is piecewise constant: no tangent passes it."""
    return _structural(function, Partials(lambda y, *x, **_: (0.0,) * len(x)), **cells)


def _leaf(name: str, infer: Rule, evaluate: Rule) -> Primitive:
    reason = Unsupported(f"{name} is a leaf: readings bind it themselves")
    cells = ("sympy", "ball", "complex", "batch", "scalar", "rounding")
    usual: dict[str, Any] = {"domain": (), "emit": "", "cost": no_cost, "elements": "each"}
    return Primitive(
        **{**_UNLESS_SAID, **dict.fromkeys(cells, reason), **usual},
        name=name,
        kind="leaf",
        numpy=(),
        evaluate=evaluate,
        infer=infer,
        derivative=reason,
        text=name,
        latex=name,
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


class OwnFunction:
    """A function of difflab's own: computes on arrays, makes a node of a traced value."""

    def __init__(self, evaluate: Callable[..., Any]) -> None:
        self.evaluate = evaluate
        self.__name__ = evaluate.__name__
        self.__module__ = evaluate.__module__
        self.__doc__ = evaluate.__doc__
        self.__wrapped__ = evaluate

    def __call__(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(x, TracedArray):
            return x.apply(self, (x, *args), kwargs)
        return self.evaluate(np.asarray(x), *args, **kwargs)

    def __repr__(self) -> str:
        return f"<function {self.__name__}>"
