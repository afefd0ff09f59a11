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

from difflab.engines.native import entry, mathematics, pool
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
from difflab.engines.native.nests import NANOSECONDS, Nest
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
            if call.chunks == 1:
                self._do(f"call void @{call.name}(ptr %frame, i64 0)")
            elif call.nanoseconds > PARALLEL:
                self._do(f"call void @parallel(ptr @{call.name}, ptr %frame, i64 {call.chunks})")
            else:
                self._repeated(call.name, call.chunks)
        for other in after:
            self._stage(other)

    def _repeated(self, name: str, count: int) -> None:
        self._do(f"br label %{name}.before")
        self.lines += [f"{name}.before:", f"  br label %{name}.do", f"{name}.do:"]
        self._do(f"%{name}.k = phi i64 [0, %{name}.before], [%{name}.next, %{name}.do]")
        self._do(f"call void @{name}(ptr %frame, i64 %{name}.k)")
        self._do(f"%{name}.next = add i64 %{name}.k, 1")
        self._do(f"%{name}.more = icmp slt i64 %{name}.next, {count}")
        self._do(f"br i1 %{name}.more, label %{name}.do, label %{name}.end")
        self.lines.append(f"{name}.end:")

    def _zeros(self, step: Zeros) -> None:
        size = step.target.array.nbytes
        pointer = self._address(step.target)
        self._do(f"call void @llvm.memset.p0.i64(ptr {pointer}, i8 0, i64 {size}, i1 false)")

    def _product(self, step: Product) -> None:
        """NumPy's own loop of matmul, for each matrix of a stack."""
        a, b, out = step.a, step.b, step.out
        kind = {"float64": "d", "float32": "f"}[out.array.dtype.name]
        name = f"matmul.{kind}"
        self.symbols |= _matmul_loop(kind, name)
        self.declared |= {f"declare void @{name}(ptr, ptr, ptr, ptr)"}
        (m, k), n = a.array.shape[-2:], b.array.shape[-1]
        batch = out.array.shape[:-2]
        self.work += 2.0 * out.array.size * k * NANOSECONDS / 2
        for index in np.ndindex(*batch[:-1]):
            views = [View(v.buffer, v.array[index]) for v in (a, b, out)]
            stacked = [v.array.strides[0] if batch else 0 for v in views]
            dims = [batch[-1] if batch else 1, m, k, n]
            steps = [*stacked, *[s for v in views for s in v.array.strides[-2:]]]
            place = len(self.lines)
            self._do(f"%dims{place} = getelementptr [4 x i64], ptr %dims, i64 0")
            for name_, numbers in (("dims", dims), ("steps", steps)):
                for i, number in enumerate(numbers):
                    self._do(f"%{name_}{place}.{i} = getelementptr i64, ptr %{name_}, i64 {i}")
                    self._do(f"store i64 {number}, ptr %{name_}{place}.{i}")
            for i, v in enumerate(views):
                pointer = self._address(v)
                self._do(f"%args{place}.{i} = getelementptr ptr, ptr %args, i64 {i}")
                self._do(f"store ptr {pointer}, ptr %args{place}.{i}")
            self._do(f"call void @{name}(ptr %args, ptr %dims, ptr %steps, ptr null)")

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
            "%dims = alloca [4 x i64]",
            "%steps = alloca [9 x i64]",
            "%args = alloca [3 x ptr]",
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


def _matmul_loop(kind: str, name: str) -> dict[str, int]:
    import ctypes

    start = id(np.matmul) + object.__basicsize__ + 16
    functions = ctypes.c_void_p.from_address(start).value or 0
    index = np.matmul.types.index(f"{kind}{kind}->{kind}")
    size = ctypes.sizeof(ctypes.c_void_p)
    return {name: ctypes.c_void_p.from_address(functions + index * size).value or 0}
