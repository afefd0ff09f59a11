"""What flows along the edges is an array: a graph becomes a straight-line NumPy program, the
default engine.

The source is one line a node: ufuncs write into planned buffers, reshapes and slices are views,
contractions go to BLAS, repeated axes are left to NumPy's broadcasting, and a graph of scalars
alone becomes plain-float Python. The invariants: no result shares memory with an input, a constant
or another result; buffers come from a pool, a set for each call in progress, so programs may run in
several threads and inside themselves.

>>> import numpy as np
>>> from difflab.tracing.trace import trace
>>> program = compiled(trace(lambda x: np.sum(np.sin(x) * 2.0), np.ones(3)))
>>> program(np.zeros(3))
[np.float64(0.0)]
>>> print(program.source)
def program(x0):
    b0, = buffers = take()
    v0 = sin(x0, b0)
    v1 = multiply(v0, c0, b0)
    v2 = add_reduce(v1, (-1,), None, None)
    give(buffers)
    return [v2[()]]
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from difflab.engines.pieces import in_pieces, made, text
from difflab.engines.plain_floats import SCALARS, is_arithmetic, is_scalar, public
from difflab.ir.expr import Array, Expr, Graph, evaluate
from difflab.ir.row import CONSTANT, TABLE
from difflab.table.algebra import MATMUL
from difflab.table.arithmetic import ADD
from difflab.table.movement import PLACE, SCATTER_ADD, scatter

_ARRAYS: dict[str, Any] = {
    **{row.evaluate.__name__: row.evaluate for row in TABLE.values()},
    **public(np),  # also where a row's function of that name only wraps NumPy's
    "add_reduce": np.add.reduce,
    "maximum_reduce": np.maximum.reduce,
    "add_accumulate": np.add.accumulate,
    "scatter": scatter,
}
"""The names in the source of a program on arrays."""


@dataclass(slots=True)
class Program:
    """A compiled graph: call it with one array an input.

    A program on plain floats that fails, as Python's floats do where NumPy says inf or NaN, is run
    once more on arrays.
    """

    graph: Graph
    source: str
    buffer_bytes: int
    run: Callable[..., list[Any]]
    scalar: bool = False
    on_arrays: Program | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return compiled, (self.graph, self.scalar)

    def __call__(self, *arrays: Any) -> list[Any]:
        try:
            return self.run(*arrays)
        except (ArithmeticError, ValueError, TypeError) as error:
            if self.scalar:
                self.on_arrays = self.on_arrays or compiled(self.graph, scalars=False)
                return self.on_arrays(*arrays)
            if isinstance(error, np.linalg.LinAlgError):
                # Node by node it fails as well, but the error names the operation and its line.
                known = dict(zip(self.graph.inputs, map(np.asarray, arrays), strict=True))
                evaluate(self.graph.nodes, known)
            raise


def compiled(graph: Graph, scalars: bool = True) -> Program:
    """The program of a graph; `scalars` lets it run on plain floats where all nodes are scalars."""
    writer = _Writer(graph, scalars)
    run = writer.function()
    return Program(graph, writer.source, writer.bytes, run, writer.scalar)


@dataclass(slots=True, eq=False)
class _Storage:
    """The memory behind some values: one that was computed, its views, and sums made in it."""

    values: list[Expr]
    buffer: int | None = None
    last_use: int = -1
    changed: int = -1
    """The line of the last sum that was made in this memory."""


@dataclass(slots=True)
class _Writer:
    """Writes the source of one graph; `place` decides each node's memory in order of age."""

    graph: Graph
    scalars: bool = True
    scalar: bool = False
    source: str = ""
    bytes: int = 0
    names: dict[Expr, str] = field(default_factory=dict)
    boxed: dict[Expr, str] = field(default_factory=dict)
    bound: dict[str, Any] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    buffers: list[tuple[tuple[int, ...], np.dtype[Any]]] = field(default_factory=list)
    free: dict[Any, list[int]] = field(default_factory=lambda: defaultdict(list))
    storage: dict[Expr, _Storage] = field(default_factory=dict)
    expiring: dict[int, list[_Storage]] = field(default_factory=lambda: defaultdict(list))
    used_by: dict[Expr, list[Expr]] = field(default_factory=lambda: defaultdict(list))
    in_place: dict[Expr, tuple[Expr, Expr]] = field(default_factory=dict)
    merged: set[Expr] = field(default_factory=set)
    wanted: frozenset[Expr] = frozenset()
    flat: set[Expr] = field(default_factory=set)

    def function(self) -> Callable[..., list[Any]]:
        """The compiled function."""
        self.scalar = self.scalars and is_scalar(self.graph)
        wanted = self.graph.outputs
        for i, x in enumerate(self.graph.inputs):
            self.names[x] = f"x{i}"
        nodes = self.graph.nodes
        order = {node: i for i, node in enumerate(nodes)}
        if self.scalar:
            self._scalar_lines(nodes)
        else:
            self.wanted = frozenset(wanted)
            self._plan(nodes, order)
            for x, name in list(self.names.items()):
                if not x.shape:  # a Python float, or an array of shape ()
                    self.lines.append(f"{name} = {x.dtype}({name})")
            for i, node in enumerate(nodes):
                self._array_line(i, node)
                self._expire(i)
        return self._assemble(self._results(wanted))

    # -- plain floats ------------------------------------------------------------------------------

    def _scalar_lines(self, nodes: Sequence[Expr]) -> None:
        for node in nodes:
            if node.operands:
                source = self._scalar_source(node)
                name = self.names[node] = f"v{len(self.lines)}"
                self.lines.append(f"{name} = {source}")

    def _name(self, node: Expr) -> str:
        """The name of a value; a constant is bound where it is first used, so that names do not
        depend on how old it is.
        """
        if node not in self.names:
            self._bind(node, node.value.item() if self.scalar else node.value[()])
        return self.names[node]

    def _bind(self, node: Expr, value: Any) -> None:
        name = self.names[node] = f"c{len(self.bound)}"
        self.bound[name] = value

    def _scalar_source(self, node: Expr) -> str:
        params = {name: repr(value) for name, value in node.params}
        names = [self._name(x) for x in node.operands]
        if callable(node.primitive.scalar):
            return f"{node.primitive.name}({', '.join([*names, *params.values()])})"
        return str(node.primitive.scalar).format(*names, **params)

    # -- arrays ------------------------------------------------------------------------------------

    def _plan(self, nodes: Sequence[Expr], order: dict[Expr, int]) -> None:
        """Which nodes share memory, and after which line it may be used again."""
        for node in nodes:
            for operand in node.operands:
                self.used_by[operand].append(node)
            shared = self._viewed(node)
            self._keep_in(_Storage([]) if shared is None else self.storage[shared], [node])
            for operand in node.operands:
                self.storage[operand].last_use = order[node]
        for node in self.wanted:
            self.storage[node].last_use = len(nodes)
        for node in nodes:
            self._plan_in_place_sum(node, order)
            if self._is_on_a_vector(node):
                self.flat |= {node, node.operands[1], *self.used_by[node]}
        for memory in dict.fromkeys(self.storage.values()):
            self.expiring[memory.last_use].append(memory)

    def _keep_in(self, memory: _Storage, values: list[Expr]) -> None:
        for node in values:
            self.storage[node] = memory
        memory.values += values

    def _plan_in_place_sum(self, node: Expr, order: dict[Expr, int]) -> None:
        """x + place(y, index), where x is used for the last time, adds y into x's own memory.

        Then y is read here, and no longer where it would have been placed: between the two no other
        sum may have been made in its memory.
        """
        if node.primitive is not ADD:
            return
        for target, placed in (node.operands, node.operands[::-1]):
            if placed.primitive is not PLACE or target is placed:
                continue
            memory, added = self.storage[target], self.storage[placed.operands[0]]
            if (
                len(self.used_by[placed]) == 1
                and placed not in self.wanted
                and target.operands
                and target.shape == node.shape
                and memory.last_use == order[node]
                and self._viewed(target) is None
                and target not in self.merged
                and added is not memory
                and added.changed <= order[placed]
            ):
                self.in_place[node] = (target, placed)
                self.merged.add(placed)
                added.last_use = max(added.last_use, order[node])
                memory.last_use = self.storage[node].last_use
                memory.changed = order[node]
                self._keep_in(memory, self.storage[node].values)
                return

    def _is_on_a_vector(self, node: Expr) -> bool:
        """Whether it is a matrix times a vector that was made a column and is made a vector again:
        `dot` takes the vector as it is, in two thirds of the time.
        """
        if node.primitive is not MATMUL or node in self.wanted:
            return False
        matrix, column = node.operands
        return (
            matrix.ndim == column.ndim == 2
            and column.primitive.shaping == "regroups"
            and column.operands[0].shape == column.shape[:1]
            and self.used_by[column] == [node]
            and column not in self.wanted
            and all(
                user.primitive.shaping == "regroups" and user.shape == node.shape[:1]
                for user in self.used_by[node]
            )
        )

    @staticmethod
    def _viewed(node: Expr) -> Expr | None:
        return node.operands[0] if node.primitive.view else None

    def _expire(self, i: int) -> None:
        for memory in self.expiring.pop(i, ()):
            if memory.buffer is not None:
                self.free[self.buffers[memory.buffer]].append(memory.buffer)
                memory.buffer = None

    def _array_line(self, i: int, node: Expr) -> None:
        if not node.operands:
            return
        if node.primitive.shaping and self._is_constant(node.operands[0]):
            value = self.bound[self._name(node.operands[0])]
            self._bind(node, node.primitive.evaluate(value, **dict(node.params)))
            return
        if self._left_to_numpy(node) or (node in self.flat and self._viewed(node) is not None):
            self.names[node] = self._name(node.operands[0])
            return
        if node in self.merged:
            return
        if node in self.in_place:
            target, placed = self.in_place[node]
            index = _index_source(dict(placed.params)["index"])
            name = self.names[node] = self._name(target)
            self.lines.append(f"{name}[{index}] += {self._name(placed.operands[0])}")
            return
        name = f"v{len(self.lines)}"
        if node.primitive is PLACE:
            self._placed(i, node, name)
        elif not node.shape and is_arithmetic(node.primitive):
            self.lines.append(f"{name} = {self._scalar_source(node)}")
        else:
            out = self._out(i, node) if "{out}" in node.primitive.emit else None
            self.lines.append(f"{name} = {self._array_source(node, out)}")
        self.names[node] = name

    def _is_constant(self, node: Expr) -> bool:
        """Whether a node is a number, or one repeated: made once, when the program is."""
        if node.primitive is CONSTANT:
            return not node.shape
        return self.names.get(node) in self.bound

    def _left_to_numpy(self, node: Expr) -> bool:
        """Whether NumPy's own broadcasting does the node's work wherever it is used."""
        users = self.used_by[node]
        if node in self.wanted:
            return False
        if node.primitive.shaping == "regroups":
            return bool(users) and _adds_leading_axes(node) and all(map(self._left_to_numpy, users))
        return (
            node.primitive.shaping == "repeats"
            and bool(users)
            and all(
                user.primitive.kind == "pointwise"
                and np.broadcast_shapes(*map(_shape_before_repeats, user.operands)) == user.shape
                for user in users
            )
        )

    def _out(self, i: int, node: Expr) -> str | None:
        """A buffer to write into: that of an operand used for the last time, a free one, or a
        new one.
        """
        memory = self.storage[node]
        if memory.last_use >= len(self.storage) or not node.shape:
            return None
        kind = (node.shape[:1] if node in self.flat else node.shape, node.dtype)
        if node.primitive.kind == "pointwise":
            for operand in node.operands:
                other = self.storage[operand]
                if (
                    other.buffer is not None
                    and other.last_use == i
                    and (operand.shape, operand.dtype) == kind
                    and self._viewed(operand) is None
                ):
                    memory.buffer, other.buffer = other.buffer, None
                    return f"b{memory.buffer}"
        if self.free[kind]:
            memory.buffer = self.free[kind].pop()
        else:
            memory.buffer = len(self.buffers)
            self.buffers.append(kind)
        return f"b{memory.buffer}"

    def _operand(self, x: Expr, user: Expr) -> str:
        """The name of an operand; numbers are arrays of shape () to ufuncs, which saves a third of
        a call on small arrays.
        """
        number = x.primitive is CONSTANT and not x.shape
        if not (number and user.shape and user.primitive.kind == "pointwise"):
            return self._name(x)
        if x not in self.boxed:
            name = self.boxed[x] = f"c{len(self.bound)}"
            self.bound[name] = x.value
        return self.boxed[x]

    def _array_source(self, node: Expr, out: str | None) -> str:
        names = [self._operand(x, node) for x in node.operands]
        params = {name: repr(value) for name, value in node.params}
        if "index" in params:
            params["index"] = _index_source(dict(node.params)["index"])
        template, evaluate = node.primitive.emit, node.primitive.evaluate
        if "{call}" in template:
            params["call"] = f"c{len(self.bound)}"
            self.bound[params["call"]] = partial(evaluate, **dict(node.params))
        if node.primitive is SCATTER_ADD and any(map(_is_distinct, node.operands[1:])):
            template = template.replace("scatter_add", "scatter")
        if node in self.flat:
            template = template.replace("matmul", "dot")
        source = template.format(
            *names, operands=", ".join(names), rest=", ".join(names[1:]), out=out, **params
        )
        return source.replace(", None)", ")") if node.primitive.kind == "pointwise" else source

    def _placed(self, i: int, node: Expr, name: str) -> None:
        index = _index_source(dict(node.params)["index"])
        out = self._out(i, node)
        if out is None:
            self.lines.append(f"{name} = zeros({node.shape}, {node.dtype})")
        else:
            self.lines += [f"{name} = {out}", f"{name}.fill(0)"]
        self.lines.append(f"{name}[{index}] = {self._name(node.operands[0])}")

    # -- the function ------------------------------------------------------------------------------

    def _results(self, wanted: Sequence[Expr]) -> str:
        """The results; whatever would share memory is copied."""
        seen: set[int] = set()
        found = []
        for out in wanted:
            name = self._name(out)
            if self.scalar:
                found.append(f"{'float64' if out.dtype.kind == 'f' else 'bool_'}({name})")
                continue
            memory = id(self.storage[out])
            root = _made(out)
            own = bool(root.operands) and self._viewed(root) is None and memory not in seen
            seen.add(memory)
            found.append(f"{name}[()]" if not out.shape else name if own else f"array({name})")
        return f"[{', '.join(found)}]"

    def _assemble(self, results: str) -> Callable[..., list[Any]]:
        parameters = ", ".join(f"x{i}" for i in range(len(self.graph.inputs)))
        namespace = {**(SCALARS if self.scalar else _ARRAYS), **self.bound}
        before, after = [], []
        if self.buffers:
            names = ", ".join(f"b{i}" for i in range(len(self.buffers)))
            before, after = [f"{names}, = buffers = take()"], ["give(buffers)"]
            namespace["take"], namespace["give"] = _pool(self.buffers)
        self.bytes = sum(math.prod(shape) * dtype.itemsize for shape, dtype in self.buffers)
        self.source = text(parameters, [*before, *self.lines, *after], results)
        calls = in_pieces(self.lines, results, namespace)
        return made(text(parameters, [*before, *calls, *after], results), namespace)


def _is_distinct(indices: Expr) -> bool:
    """Whether an array of indices is known to name no element twice."""
    if indices.primitive is not CONSTANT:
        return False
    return len(np.unique(indices.value)) == indices.size and bool(np.all(indices.value >= 0))


def _shape_before_repeats(x: Expr) -> tuple[int, ...]:
    return x.operands[0].shape if x.primitive.shaping == "repeats" else x.shape


def _adds_leading_axes(x: Expr) -> bool:
    """Whether a reshape only puts axes of length 1 in front, which broadcasting does by itself."""
    inner = x.operands[0].shape
    return x.shape == (1,) * (x.ndim - len(inner)) + inner


def _made(x: Expr) -> Expr:
    """What all elements were computed as, before they were ordered otherwise."""
    while x.primitive.view and x.primitive.elements == "moved" and x.primitive.shaping != "repeats":
        (x,) = x.operands
    return x


def _index_source(index: Any) -> str:
    return ", ".join(map(repr, index)) or "()"


def _pool(kinds: Sequence[tuple[tuple[int, ...], np.dtype[Any]]]) -> tuple[Any, Any]:
    """Take a set of buffers (a new one where all are in use) and give it back; list operations
    are atomic.
    """
    idle: list[list[Array]] = []

    def take() -> list[Array]:
        try:
            return idle.pop()
        except IndexError:
            return [np.empty(shape, dtype) for shape, dtype in kinds]

    return take, idle.append
