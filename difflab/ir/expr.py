"""The one expression IR: `Expr`, its only node type, and `Graph`, a closed program of nodes.

What flows: NumPy's protocols (protocols.py) call a node as if it were an array, and a new node
comes back. The invariants: a node is immutable; equal nodes are one object (hash-consing), so a
common subexpression exists once and identity is equality; an operand is older than every node that
uses it, so sorting by age is a topological order and nothing here recurses.

>>> import numpy as np
>>> import difflab
>>> x = placeholder((3,), np.dtype("float64"), "x")
>>> np.sin(x) is np.sin(x)
True
>>> (np.sin(x) * 2.0).shape
(3,)
"""

from __future__ import annotations

import itertools
import operator
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from difflab.errors import InvariantError, Line, MatrixError, ShapeError, TraceError, users_line
from difflab.ir.contents import Held
from difflab.ir.protocols import REAL, TracedArray
from difflab.ir.row import CONSTANT, INPUT, Primitive
from difflab.ir.tree import LEAF, Signature, Structure, need_int64, unflatten

Array = NDArray[Any]
Params = tuple[tuple[str, Any], ...]
Value = TypeVar("Value")
READERS: Final[dict[str, Callable[..., Any]]] = {}
"""What the methods of a graph that are not the IR's own call: `text`, `latex`, `rounding_error` and
`to_sympy`. The views and readings that do it register themselves.
"""

_interned: weakref.WeakValueDictionary[tuple[Any, ...], Expr] = weakref.WeakValueDictionary()
_references: dict[tuple[Any, ...], weakref.ref[Expr]] = vars(_interned)["data"]
_forget = vars(_interned)["_remove"]
_age = itertools.count()
_by_age = operator.attrgetter("age")


class _Attribution(threading.local):
    line: Line | None = None


_attribution = _Attribution()


class attributed_to:
    """Nodes made inside belong to that line of the user's file (None: look at the stack)."""

    __slots__ = ("before", "line")

    def __init__(self, line: Line | None) -> None:
        self.line = line

    def __enter__(self) -> None:
        self.before, _attribution.line = _attribution.line, self.line

    def __exit__(self, *_: object) -> None:
        _attribution.line = self.before


class _Open(TracedArray):
    """A node that is being made; it is an `Expr` as soon as it is whole."""

    __slots__ = (
        "__weakref__", "age", "dtype", "line", "operands", "params", "primitive", "shape", "weak",
    )  # fmt: skip
    primitive: Primitive
    operands: tuple[Expr, ...]
    params: Params
    line: Line | None
    age: int


class Expr(_Open):
    """A node: a primitive applied to operands, with its shape, its dtype and the user's line
    that made it.
    """

    __slots__ = ()

    def __new__(
        cls, primitive: Primitive, operands: tuple[Expr, ...] = (), params: Params = ()
    ) -> Expr:
        """The node with those parts: the one that exists, or a new one."""
        key = (primitive, params, *map(id, operands))
        known = _references.get(key)  # as _interned.get does, without a call in Python
        found: Expr | None = None if known is None else known()
        if found is not None:
            return found
        shape, dtype = primitive.infer(*operands, **dict(params))
        self: Any = object.__new__(_Open)
        self.primitive = primitive
        self.operands = operands
        self.params = params
        self.shape = shape
        self.dtype = dtype
        self.line = _attribution.line or users_line()
        self.age = next(_age)
        self.weak = not shape and _is_weak(primitive, operands, params)
        self.__class__ = cls
        _references[key] = weakref.KeyedRef(self, _forget, key)
        found = self
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        raise TraceError(f"a traced value is immutable: .{name} cannot be set", "make a new array")

    def __repr__(self) -> str:
        shape = ",".join(map(str, self.shape))
        return f"<traced {self.dtype}[{shape}] {self.primitive.name}>"

    @property
    def differentiable(self) -> bool:
        """Whether a tangent can flow along this node."""
        return self.dtype.kind == "f"

    @property
    def is_fixed(self) -> bool:
        """Whether it is a constant that does not follow an array."""
        return self.primitive is CONSTANT and not dict(self.params)["value"].live

    @property
    def value(self) -> Array:
        """What a constant holds."""
        if self.primitive is not CONSTANT:
            raise AttributeError(f"{self!r} is no constant")
        found: Array = dict(self.params)["value"].array
        return found


REAL.add(Expr)


def _is_weak(primitive: Primitive, operands: tuple[Expr, ...], params: Params) -> bool:
    """Whether a scalar is a Python float: an input that was one, or arithmetic of such and
    numbers.
    """
    if primitive is INPUT:
        return bool(dict(params)["weak"])
    weak = [operand for operand in operands if operand.weak]
    others = all(operand.weak or operand.primitive is CONSTANT for operand in operands)
    return bool(weak) and others and primitive.weak


def placeholder(
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    name: str,
    weak: bool = False,
    boxed: bool = False,
) -> Expr:
    """A fresh input; `weak` marks a Python float, which takes the dtype of what it meets (NEP
    50), `boxed` an array of shape ().
    """
    params = (
        ("serial", next(_age)),
        ("shape", shape),
        ("dtype", dtype),
        ("name", name),
        ("weak", weak),
        ("boxed", boxed),
    )
    return Expr(INPUT, (), params)


def constant(value: Any, dtype: Any = None) -> Expr:
    """A node that holds a number or an array."""
    try:
        array = np.asarray(value, dtype)
    except OverflowError as error:
        raise TraceError(str(error), "use smaller integers, or floats") from None
    if array.dtype.kind in "iu":
        need_int64(array, TraceError)
        array = array.astype(np.int64, copy=False)
    if array.dtype.kind not in "fib" or array.dtype.itemsize not in (1, 4, 8):
        raise TraceError(
            f"an array of dtype {array.dtype} cannot be traced",
            "use float64, float32, int64 or bool",
        )
    return Expr(CONSTANT, (), (("value", Held(array)),))


def live_constant(array: Array) -> Expr:
    """A node that holds an array of floats by reference: what it holds when a program runs."""
    return Expr(CONSTANT, (), (("value", Held(array, live=True)),))


def reachable(outputs: Iterable[Expr], stop: Mapping[Expr, Any] | None = None) -> list[Expr]:
    """All nodes that the outputs depend on, operands first; the search ends at the nodes in
    `stop`.
    """
    seen = set(outputs)
    stack = list(seen)
    while stack:
        node = stack.pop()
        if stop is not None and node in stop:
            continue
        for operand in node.operands:
            if operand not in seen:
                seen.add(operand)
                stack.append(operand)
    return sorted(seen, key=_by_age)


def walk(
    outputs: Iterable[Expr],
    known: MutableMapping[Expr, Value],
    rule: Callable[[Expr, list[Value]], Value],
) -> list[Value]:
    """What a reading makes of the outputs, node by node, operands first: the one loop over nodes.

    ``rule(node, operands)`` gets what was made of the operands; `known` holds what is known before,
    such as the inputs', and gathers the rest.
    """
    outputs = list(outputs)
    for node in reachable([out for out in outputs if out not in known], known):
        if node not in known:
            known[node] = rule(node, [known[x] for x in node.operands])
    return [known[out] for out in outputs]


def computed(node: Expr, rule: Callable[..., Any], operands: Sequence[Any]) -> Any:
    """A rule of a node's row applied to its operands' values."""
    try:
        return rule(*operands, **dict(node.params))
    except np.linalg.LinAlgError as error:
        row = node.primitive
        what = f"{row.name} does not take this matrix: {error}"
        raise MatrixError(what, row.singular or "give finite numbers", node.line) from None


def evaluate(outputs: Iterable[Expr], known: MutableMapping[Expr, Any]) -> list[Any]:
    """The values of nodes by running each primitive once; `known` holds the inputs' and gathers
    the rest.
    """
    with np.errstate(all="ignore"):
        return walk(outputs, known, _run)


def _run(node: Expr, operands: list[Any]) -> Any:
    return computed(node, node.primitive.evaluate, operands)


def substitute(outputs: Iterable[Expr], replaced: Mapping[Expr, Expr]) -> list[Expr]:
    """The outputs with some nodes replaced by others."""
    return walk(outputs, dict(replaced), _rebuilt)


def _rebuilt(node: Expr, operands: list[Expr]) -> Expr:
    if all(map(operator.is_, operands, node.operands)):
        return node
    with attributed_to(node.line):
        return Expr(node.primitive, tuple(operands), node.params)


@dataclass(frozen=True, slots=True, eq=False)
class Guard:
    """A value that Python asked for while tracing: the graph holds only where `expr` has this
    value.
    """

    expr: Expr
    value: Array
    is_text: bool = False
    """Whether Python asked for it to show it."""


@dataclass(frozen=True, eq=False, repr=False)
class Graph:
    """A closed program: inputs, outputs, the guards under which it holds, and the trees of both
    ends.

    ``print(graph)`` shows it, a line a node.
    """

    inputs: tuple[Expr, ...]
    outputs: tuple[Expr, ...]
    guards: tuple[Guard, ...] = ()
    signature: Signature | None = None
    output_tree: Structure = LEAF
    changes: bool = False
    """Whether the function that was traced changes an argument in place."""

    def __repr__(self) -> str:
        sizes = len(self.inputs), len(self.outputs), len(self.operations)
        return "<graph; inputs: {}, outputs: {}, operations: {}>".format(*sizes)

    @cached_property
    def nodes(self) -> tuple[Expr, ...]:
        """Every node, guards included, operands before their users."""
        return tuple(
            reachable([*self.inputs, *self.outputs, *(guard.expr for guard in self.guards)])
        )

    @cached_property
    def operations(self) -> tuple[Expr, ...]:
        """The nodes that compute something."""
        return tuple(node for node in self.nodes if node.operands)

    @property
    def is_closed(self) -> bool:
        """Whether it depends on its own inputs alone, and on no input of a trace around it."""
        own = set(self.inputs)
        return all(node in own for node in self.nodes if node.primitive is INPUT)

    def is_same(self, other: Graph) -> bool:
        """Whether two graphs with the same inputs compute the same, under the same guards."""
        mine, others = ([*g.outputs, *[guard.expr for guard in g.guards]] for g in (self, other))
        return (
            len(mine) == len(others)
            and all(map(operator.is_, mine, others))
            and self.output_tree == other.output_tree
            and all(
                np.array_equal(a.value, b.value)
                for a, b in zip(self.guards, other.guards, strict=True)
            )
        )

    def with_outputs(self, outputs: Iterable[Expr], output_tree: Structure = LEAF) -> Graph:
        """The same inputs and guards with other outputs."""
        return replace(self, outputs=tuple(outputs), output_tree=output_tree)

    def __call__(self, *arguments: Any) -> Any:
        """Run on arrays, or inline on traced values; one argument an input, as listed by
        `inputs`.
        """
        if len(arguments) != len(self.inputs):
            raise ShapeError(f"the graph has {len(self.inputs)} inputs, not {len(arguments)}")
        traced = [argument for argument in arguments if isinstance(argument, TracedArray)]
        if any(type(argument) is not Expr for argument in traced):
            return traced[0].apply(self, arguments, {})
        if traced:
            made = [a if isinstance(a, Expr) else constant(a) for a in arguments]
            values: list[Any] = substitute(self.outputs, dict(zip(self.inputs, made, strict=True)))
        else:
            values = evaluate(
                self.outputs, dict(zip(self.inputs, map(np.asarray, arguments), strict=True))
            )
            # An output may be an argument, a constant, or a view of one.
            values = [x.copy() if isinstance(x, np.ndarray) else x for x in values]
        return unflatten(self.output_tree, values) if self.output_tree is not LEAF else values[0]

    def operation_count(self, by: str = "element") -> int:
        """Elementary operations in one run: per array element, or a node counted once with
        ``by="node"``.

        Movement (views, indexing, joining) is free; a matrix product counts its multiplications and
        additions.

        >>> import numpy as np
        >>> import difflab
        >>> difflab.trace(lambda x: np.sum(np.sin(x) * x), np.ones(3)).operation_count()
        8
        """
        costs = [node.primitive.cost(node, *node.operands) for node in self.operations]
        return sum(cost if by == "element" else min(cost, 1) for cost in costs)

    def primitive_counts(self) -> Counter[str]:
        """How often each primitive occurs."""
        return Counter(node.primitive.name for node in self.operations)

    def check(self) -> Graph:
        """Raise `InvariantError` where the graph breaks a rule of the IR; else return it."""
        inputs = set(self.inputs)
        for node in self.nodes:
            if node.primitive is INPUT and node not in inputs:
                raise InvariantError(f"{node!r} is used but is not an input of the graph")
            if any(operand.age >= node.age for operand in node.operands):
                raise InvariantError(f"{node!r} is older than one of its operands")
            expected = node.primitive.infer(*node.operands, **dict(node.params))
            if expected != (node.shape, node.dtype):
                raise InvariantError(f"{node!r} says {node.shape} {node.dtype}, its row {expected}")
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as a table of nodes, operands first; copies have fresh inputs."""
        place = {node: i for i, node in enumerate(self.nodes)}
        rows = []
        for node in self.nodes:
            made_of = node.value if node.primitive is CONSTANT else dict(node.params)
            rows.append((node.primitive, [place[x] for x in node.operands], made_of, node.line))
        guards = [(place[guard.expr], guard.value) for guard in self.guards]
        ends = [place[x] for x in self.inputs], [place[x] for x in self.outputs]
        return _graph_of, (rows, *ends, guards, self.signature, self.output_tree)

    # What stands above the IR and shows or reads a graph gives itself in (`READERS`).

    def __str__(self) -> str:
        return str(READERS["text"](self))

    def latex(self) -> str:
        """The outputs as LaTeX."""
        return str(READERS["latex"](self))

    def rounding_error(self, arrays: Sequence[Any]) -> list[Any]:
        """The running rounding errors of the outputs at a point: ``.bound`` and ``.typical``."""
        found: list[Any] = READERS["rounding_error"](self, arrays)
        return found

    def to_sympy(self) -> list[Any]:
        """The outputs as SymPy expressions (object arrays of them where an output is an array)."""
        found: list[Any] = READERS["to_sympy"](self)
        return found

    def _repr_latex_(self) -> str:
        return f"$$\\displaystyle {self.latex()}$$"


def _graph_of(
    rows: Sequence[tuple[Primitive, Sequence[int], Any, Line | None]],
    inputs: Sequence[int],
    outputs: Sequence[int],
    guards: Sequence[tuple[int, Array]],
    signature: Signature | None,
    output_tree: Structure,
) -> Graph:
    """The graph of a table of nodes."""
    nodes: list[Expr] = []
    for primitive, operands, made_of, line in rows:
        with attributed_to(line):
            if primitive is CONSTANT:
                nodes.append(constant(made_of))
            elif primitive is INPUT:
                made_of.pop("serial")
                nodes.append(placeholder(**made_of))
            else:
                known = tuple([nodes[i] for i in operands])
                nodes.append(Expr(primitive, known, tuple(made_of.items())))
    return Graph(
        tuple([nodes[i] for i in inputs]),
        tuple([nodes[i] for i in outputs]),
        tuple([Guard(nodes[i], value) for i, value in guards]),
        signature,
        output_tree,
    )
