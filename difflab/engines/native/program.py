"""A graph as one compiled function: all steps in order, behind one entry.

What flows: a lowered graph becomes the text of one module: the functions of its stages, the vector
functions that they call, a kernel that finds memory and calls them in order, and the entry. The
invariants: what a call needs between its steps is its own, so that calls may overlap; constants are
read where they lie, and are kept alive by the function that reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from difflab.engines.native import entry, mathematics, pool, products
from difflab.engines.native.kinds import kind_of
from difflab.engines.native.loops import Writer
from difflab.engines.native.lowering import (
    Lowering,
    NotNativeError,
    Product,
    Stage,
    Zeros,
    in_other_rows,
)
from difflab.engines.native.machine import Library, shared
from difflab.engines.native.memory import Buffer, View
from difflab.engines.native.nests import Nest
from difflab.engines.native.vectors import Page
from difflab.ir.expr import Expr, Graph

STACK: Final = 2**16
"""Bytes that a kernel takes of the stack; more comes from malloc."""
QUIET: Final = 20_000.0
"""Nanoseconds of work up to which the lock of the interpreter is kept."""
PARALLEL: Final = 150_000.0
"""Nanoseconds of work from which on threads share a stage."""
ALIGNED: Final = 64
_ROW: Final = "{ ptr, ptr, i64, i64, i64 }"
_DECLARED: Final = """declare void @run_steps(ptr, ptr, ptr, i64, ptr)
declare void @zeros(ptr, i64)
declare void @parallel(ptr, ptr, i64)
declare ptr @malloc(i64)
declare void @free(ptr)"""


def rules_of(node: Expr) -> Callable[..., Any]:
    """How a pointwise node is computed on vectors."""
    found = mathematics.vector_rule(node.primitive, tuple([x.dtype for x in node.operands]))
    if found is None:
        raise NotNativeError(f"{node!r} has no native form")
    rule, params = found, dict(node.params)
    return lambda v, *x: rule(v, *x, **params)


def _kind(x: Expr) -> entry.Kind:
    """Its shape, and NumPy's own dtype object of its kind."""
    return x.shape, np.dtype(x.dtype.type)


@dataclass(slots=True)
class Kernel:
    """The text of a module, and what it needs to be linked."""

    graph: Graph
    text: str
    symbols: dict[str, int]
    constants: list[Any]
    nanoseconds: float

    def function(self) -> Callable[..., list[Any]]:
        """Compiled: from arrays to arrays."""
        inputs = [*map(_kind, self.graph.inputs)]
        library = Library(self.text, self.symbols)
        return entry.run_of(entry.bound(library, "entry", self.constants), inputs)


Place = tuple[Buffer | None, int]
"""What a place of a context holds: bytes from a buffer's beginning, or a plain number."""


@dataclass(slots=True)
class Call:
    """A function that was written, and how often it runs."""

    name: str
    chunks: int
    nanoseconds: float
    page: Page
    body: str
    places: list[Place]


def written(nest: Nest) -> tuple[list[Call], list[Nest]]:
    """The functions of a nest, and the nests that join the parts of its folds after them."""
    boxes = nest.boxes()
    chunks = []
    for box in boxes:
        size = nest.chunk_of(box)
        low, high = box[nest.order[0]] if nest.order else (0, 1)
        chunks.append((size, -(-(high - low) // size)))
    targets, after = nest.targets(boxes, [count for _, count in chunks])
    calls = []
    for k, (box, (size, count)) in enumerate(zip(boxes, chunks, strict=True)):
        name = f"{nest.name}.{k}"
        own = {root: target[k] for root, target in targets.items() if k in target}
        writer = Writer(nest, box, own, size, count)
        body, work = writer.body(), nest.nanoseconds(box)
        calls.append(Call(name, count, work, writer.code.page, body, [*writer.places]))
    return calls, after


def kernel_of(graph: Graph) -> Kernel:
    """The module of a graph; `NotNativeError` where it has what no native code is made for."""
    graph = in_other_rows(graph)
    try:
        return _Writer(Lowering(graph)).kernel()
    except NotNativeError:
        return _Writer(Lowering(graph, places_inline=False)).kernel()


@dataclass(slots=True)
class _Row:
    """A row of the table of steps: a function for some chunks, and what its context holds."""

    function: str
    places: list[Place]
    chunks: int = 1
    shared: bool = False


@dataclass(slots=True)
class _Writer:
    """Writes the module of a lowered graph."""

    lowering: Lowering
    texts: list[str] = field(default_factory=list)
    rows: list[_Row] = field(default_factory=list)
    calls: set[Any] = field(default_factory=set)
    declared: set[str] = field(default_factory=set)
    symbols: dict[str, int] = field(default_factory=dict)
    work: float = 0.0
    known: dict[str, str] = field(default_factory=dict)
    """The names of functions by their text."""

    def kernel(self) -> Kernel:
        for number, step in enumerate(self.lowering.run()):
            if isinstance(step, Stage):
                self._stage(Nest(self.lowering, step, rules_of, f"stage{number}"))
            elif isinstance(step, Zeros):
                places: list[Place] = [_place(step.target), (None, step.target.array.nbytes)]
                self.rows.append(_Row("zeros", places))
            else:
                self._product(step)
        if not self.rows:
            raise NotNativeError("nothing is computed")
        found = mathematics.definitions(self.calls)
        graph, buffers = self.lowering.graph, self.lowering.buffers
        inputs, outputs = ([*map(_kind, nodes)] for nodes in (graph.inputs, graph.outputs))
        constants = [b.memory for b in buffers if b.kind == "constant"]
        symbols = _steps() | entry.symbols() | found.addresses | self.symbols
        symbols |= {f"constant.{k}": array.ctypes.data for k, array in enumerate(constants)}
        if any(row.shared for row in self.rows):
            symbols |= pool.symbols()
        text = "\n".join(
            [
                _DECLARED,
                *[f"@constant.{k} = external global i8" for k in range(len(constants))],
                *sorted(self.declared | found.declared),
                found.text,
                *self.texts,
                self._kernel(),
                entry.entry_text(inputs, outputs, self.work > QUIET),
            ]
        )
        return Kernel(graph, text, symbols, constants, self.work)

    # -- steps -------------------------------------------------------------------------------------

    def _stage(self, nest: Nest) -> None:
        calls, after = written(nest)
        for call in calls:
            name = self.known.setdefault(call.body, call.name)
            if name == call.name:
                self.texts.append(f"define internal void @{name}{call.body}")
            self.calls |= call.page.calls
            self.declared |= call.page.declared
            self._add(name, call.places, call.chunks, call.nanoseconds)
        for other in after:
            self._stage(other)

    def _add(self, name: str, places: Sequence[Place], chunks: int, nanoseconds: float) -> None:
        self.work += nanoseconds
        self.rows.append(_Row(name, [*places], chunks, chunks > 1 and nanoseconds > PARALLEL))

    def _product(self, step: Product) -> None:
        """Each matrix of a stack: the right one brought into order, then rows by rows."""
        a, b, out = step.a, step.b, step.out
        kind = kind_of(out.array.dtype)
        self.symbols |= products.symbols()
        self.declared |= {f"declare void @{what}.{kind}(ptr, i64)" for what in ("pack", "multiply")}
        (m, k), n = a.array.shape[-2:], b.array.shape[-1]
        wide = products.columns(kind)
        parts = -(-n // wide)
        packed = self.lowering.scratch((parts * wide, k), out.array.dtype)
        nanoseconds = m * n * k * products.NANOSECONDS[kind]
        for index in np.ndindex(*out.array.shape[:-2]):
            views = [View(v.buffer, v.array[index]) for v in (out, a, b)]
            own, left, right = [v.array.strides for v in views]
            numbers = (m, k, n, *left, *right, own[0], products.rows(m))
            places = [*map(_place, (*views, packed)), *[(None, number) for number in numbers]]
            packing = k * n * out.array.itemsize * products.PACKING
            self._add(f"pack.{kind}", places, parts, packing)
            chunks = -(-m // products.rows(m))
            self._add(f"multiply.{kind}", places, chunks, nanoseconds)

    # -- the kernel --------------------------------------------------------------------------------

    def _kernel(self) -> str:
        """The table of steps, and a function that finds memory and runs them."""
        number: dict[Buffer, int] = {}
        lines = []
        counts = dict.fromkeys(("input", "output", "constant"), 0)
        for buffer in self.lowering.buffers:
            if buffer.kind == "scratch":
                continue
            i, k = counts[buffer.kind], len(number)
            number[buffer] = k
            counts[buffer.kind] += 1
            found = f"@constant.{i}"
            if buffer.kind != "constant":
                lines.append(f"%p{k} = getelementptr ptr, ptr %{buffer.kind}s, i64 {i}")
                lines.append(f"%b{k} = load ptr, ptr %p{k}")
                found = f"%b{k}"
            lines.append(f"%f{k} = getelementptr ptr, ptr %frame, i64 {k}")
            lines.append(f"store ptr {found}, ptr %f{k}")
        last = len(number)
        offsets, total = _shared_memory(self.rows)
        maps: dict[str, str] = {}
        table = []
        for row in self.rows:
            numbers = []
            for held, offset in row.places:
                if held is None:
                    numbers += [-1, offset]
                elif held in offsets:
                    numbers += [last, offsets[held] + offset]
                else:
                    numbers += [number[held], offset]
            text = f"[{len(numbers)} x i64] [{', '.join(f'i64 {n}' for n in numbers)}]"
            name = maps.setdefault(text, f"@map.{len(maps)}")
            table.append(
                f"{_ROW} {{ ptr @{row.function}, ptr {name}, i64 {len(row.places)},"
                f" i64 {row.chunks}, i64 {int(row.shared)} }}"
            )
        widest = max([len(row.places) for row in self.rows], default=1)
        parallel = "@parallel" if any(row.shared for row in self.rows) else "null"
        on_stack = total <= STACK
        begin = [f"%frame = alloca [{last + 1} x ptr]", f"%context = alloca [{widest} x i64]"]
        if on_stack:
            begin.append(f"%scratch = alloca i8, i64 {max(total, 1)}, align {ALIGNED}")
        else:
            begin += [
                f"%scratch = call ptr @malloc(i64 {total})",
                "%none = icmp eq ptr %scratch, null",
                "br i1 %none, label %failed, label %found",
                "\nfailed:\n  ret i32 1\nfound:",
            ]
        lines += [
            f"%scratch.at = getelementptr ptr, ptr %frame, i64 {last}",
            "store ptr %scratch, ptr %scratch.at",
            f"call void @run_steps(ptr %frame, ptr %context, ptr @steps, i64 {len(table)},"
            f" ptr {parallel})",
            *([] if on_stack else ["call void @free(ptr %scratch)"]),
            "ret i32 0",
        ]
        body = "\n".join(f"  {line}" for line in [*begin, *lines])
        return "\n".join(
            [
                *[f"{name} = internal constant {text}" for text, name in maps.items()],
                f"@steps = internal constant [{len(table)} x {_ROW}] [{', '.join(table)}]",
                f"define internal i32 @kernel(ptr %inputs, ptr %outputs) noinline {{\n{body}\n}}\n",
            ]
        )


def _place(view: View) -> Place:
    return view.buffer, view.offset


def _shared_memory(rows: Sequence[_Row]) -> tuple[dict[Buffer, int], int]:
    """Where scratch buffers are in one block, and its size: not at once used, they may share."""
    uses: dict[Buffer, list[int]] = {}
    for k, row in enumerate(rows):
        for buffer, _ in row.places:
            if buffer is not None and buffer.kind == "scratch":
                uses.setdefault(buffer, [k, k])[1] = k
    ending: dict[int, list[Buffer]] = {}
    for buffer, (_, last) in uses.items():
        ending.setdefault(last, []).append(buffer)
    free: dict[int, list[int]] = {}
    offsets: dict[Buffer, int] = {}
    total = 0
    beginning = iter(sorted(uses, key=lambda buffer: uses[buffer][0]))
    buffer = next(beginning, None)
    for k in range(len(rows)):
        while buffer is not None and uses[buffer][0] == k:
            size = -(-buffer.memory.nbytes // ALIGNED) * ALIGNED
            if free.get(size):
                offsets[buffer] = free[size].pop()
            else:
                offsets[buffer], total = total, total + size
            buffer = next(beginning, None)
        for ended in ending.get(k, ()):
            size = -(-ended.memory.nbytes // ALIGNED) * ALIGNED
            free.setdefault(size, []).append(offsets[ended])
    return offsets, total


def _steps() -> dict[str, int]:
    """The addresses of `steps.ll`."""
    library = shared(Path(__file__).with_name("steps.ll").read_text(encoding="utf-8"), {})
    return {name: library.address(name) for name in ("run_steps", "zeros")}
