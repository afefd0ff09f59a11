"""A graph as one compiled function: all steps in order, behind one entry.

What flows: a lowered graph becomes the text of one module: the functions of its stages, the vector
functions that they call, a kernel that finds memory and calls them in order, and the entry. The
invariants: what a call needs between its steps is its own, so that calls may overlap; constants are
read where they lie, and are kept alive by the function that reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
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
from difflab.engines.native.machine import Library
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
_ALIGNED: Final = 64


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


@dataclass(slots=True)
class Call:
    """A function that was written, and how often it runs."""

    name: str
    chunks: int
    nanoseconds: float
    page: Page
    text: str


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
        text = writer.function(name)
        calls.append(Call(name, count, nest.nanoseconds(box), writer.code.page, text))
    return calls, after


def kernel_of(graph: Graph) -> Kernel:
    """The module of a graph; `NotNativeError` where it has what no native code is made for."""
    graph = in_other_rows(graph)
    try:
        return _Writer(Lowering(graph)).kernel()
    except NotNativeError:
        return _Writer(Lowering(graph, places_inline=False)).kernel()


@dataclass(slots=True)
class _Writer:
    """Writes the module of a lowered graph."""

    lowering: Lowering
    texts: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    calls: set[Any] = field(default_factory=set)
    declared: set[str] = field(default_factory=set)
    symbols: dict[str, int] = field(default_factory=dict)
    work: float = 0.0

    def kernel(self) -> Kernel:
        for number, step in enumerate(self.lowering.run()):
            if isinstance(step, Stage):
                self._stage(Nest(self.lowering, step, rules_of, f"stage{number}"))
            elif isinstance(step, Zeros):
                self._zeros(step)
            else:
                self._product(step)
        found = mathematics.definitions(self.calls)
        graph, buffers = self.lowering.graph, self.lowering.buffers
        inputs, outputs = ([*map(_kind, nodes)] for nodes in (graph.inputs, graph.outputs))
        constants = [b.memory for b in buffers if b.kind == "constant"]
        symbols = entry.symbols() | found.addresses | self.symbols
        symbols |= {f"constant.{k}": array.ctypes.data for k, array in enumerate(constants)}
        if "@parallel" in "\n".join(self.lines):
            symbols |= pool.symbols()
        text = "\n".join(
            [
                "declare void @parallel(ptr, ptr, i64)",
                "declare ptr @malloc(i64)",
                "declare void @free(ptr)",
                "declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)",
                *[f"@constant.{k} = external global i8" for k in range(len(constants))],
                *sorted(self.declared | found.declared),
                found.text,
                *self.texts,
                self._kernel(buffers),
                entry.entry_text(inputs, outputs, self.work > QUIET),
            ]
        )
        return Kernel(graph, text, symbols, constants, self.work)

    # -- steps -------------------------------------------------------------------------------------

    def _stage(self, nest: Nest) -> None:
        calls, after = written(nest)
        for call in calls:
            self.texts.append(call.text)
            self.calls |= call.page.calls
            self.declared |= call.page.declared
            self.work += call.nanoseconds
            self._run(call.name, call.chunks, call.nanoseconds)
        for other in after:
            self._stage(other)

    def _run(self, name: str, chunks: int, nanoseconds: float, context: str = "%frame") -> None:
        """Call a function for all its chunks."""
        if chunks == 1:
            self._do(f"call void @{name}(ptr {context}, i64 0)")
        elif nanoseconds > PARALLEL:
            self._do(f"call void @parallel(ptr @{name}, ptr {context}, i64 {chunks})")
        else:
            self._repeated(name, chunks, context)

    def _repeated(self, name: str, count: int, context: str) -> None:
        own = f"{name}.{len(self.lines)}"
        self._do(f"br label %{own}.before")
        self.lines += [f"{own}.before:", f"  br label %{own}.do", f"{own}.do:"]
        self._do(f"%{own}.k = phi i64 [0, %{own}.before], [%{own}.next, %{own}.do]")
        self._do(f"call void @{name}(ptr {context}, i64 %{own}.k)")
        self._do(f"%{own}.next = add i64 %{own}.k, 1")
        self._do(f"%{own}.more = icmp slt i64 %{own}.next, {count}")
        self._do(f"br i1 %{own}.more, label %{own}.do, label %{own}.end")
        self.lines.append(f"{own}.end:")

    def _zeros(self, step: Zeros) -> None:
        size = step.target.array.nbytes
        pointer = self._address(step.target)
        self._do(f"call void @llvm.memset.p0.i64(ptr {pointer}, i8 0, i64 {size}, i1 false)")

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
            pointers = [self._address(v) for v in (*views, packed)]
            own, left, right = [v.array.strides for v in views]
            fields = [*pointers, m, k, n, *left, *right, own[0], products.rows(m)]
            for i, (at, field_) in enumerate(zip(products.FIELDS, fields, strict=True)):
                place = f"%product.{at}.{len(self.lines)}"
                self._do(f"{place} = getelementptr i64, ptr %product, i64 {i}")
                type_ = "ptr" if isinstance(field_, str) else "i64"
                self._do(f"store {type_} {field_}, ptr {place}")
            self._run(f"pack.{kind}", parts, nanoseconds, "%product")
            self._run(f"multiply.{kind}", -(-m // products.rows(m)), nanoseconds, "%product")
            self.work += nanoseconds

    def _address(self, view: View) -> str:
        name = f"%address{len(self.lines)}"
        self._do(f"{name}.p = getelementptr ptr, ptr %frame, i64 {view.buffer.number}")
        self._do(f"{name}.b = load ptr, ptr {name}.p")
        self._do(f"{name} = getelementptr i8, ptr {name}.b, i64 {view.offset}")
        return name

    def _do(self, line: str) -> None:
        self.lines.append(f"  {line}")

    # -- the kernel --------------------------------------------------------------------------------

    def _kernel(self, buffers: Sequence[Buffer]) -> str:
        """Pointers of all buffers in one frame, then the calls."""
        begin = [
            f"%frame = alloca [{max(len(buffers), 1)} x ptr]",
            f"%product = alloca [{len(products.FIELDS)} x i64]",
        ]
        scratch = [b for b in buffers if b.kind == "scratch"]
        offsets, total = {}, 0
        for buffer in scratch:
            offsets[buffer.number] = total
            total += -(-buffer.memory.nbytes // _ALIGNED) * _ALIGNED
        on_stack = total <= STACK
        if on_stack:
            begin.append(f"%scratch = alloca i8, i64 {max(total, 1)}, align {_ALIGNED}")
        else:
            begin += [
                f"%scratch = call ptr @malloc(i64 {total})",
                "%none = icmp eq ptr %scratch, null",
                "br i1 %none, label %failed, label %found",
            ]
        lines = [f"  {line}" for line in begin]
        if not on_stack:
            lines += ["failed:", "  ret i32 1", "found:"]
        counts = {"input": 0, "output": 0, "constant": 0}
        for buffer in buffers:
            k = buffer.number
            if buffer.kind == "scratch":
                found = f"%b{k}"
                lines.append(f"  %b{k} = getelementptr i8, ptr %scratch, i64 {offsets[k]}")
            else:
                i = counts[buffer.kind]
                counts[buffer.kind] += 1
                found = f"@constant.{i}"
                if buffer.kind != "constant":
                    lines.append(f"  %p{k} = getelementptr ptr, ptr %{buffer.kind}s, i64 {i}")
                    lines.append(f"  %b{k} = load ptr, ptr %p{k}")
                    found = f"%b{k}"
            lines.append(f"  %f{k} = getelementptr ptr, ptr %frame, i64 {k}")
            lines.append(f"  store ptr {found}, ptr %f{k}")
        end = ["  ret i32 0"] if on_stack else ["  call void @free(ptr %scratch)", "  ret i32 0"]
        body = "\n".join([*lines, *self.lines, *end])
        return f"define internal i32 @kernel(ptr %inputs, ptr %outputs) noinline {{\n{body}\n}}\n"
