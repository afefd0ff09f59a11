"""Rules on vectors, compiled into a plain loop over arrays."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from difflab.engines.native.kinds import KINDS, TYPES
from difflab.engines.native.machine import Library
from difflab.engines.native.mathematics import definitions
from difflab.engines.native.vectors import Code, Vector

MEMORY = {kind: "i8" if kind == "i1" else name for kind, name in TYPES.items()}
DTYPES = {kind: np.dtype(name) for name, kind in KINDS.items()}


def called(name: str) -> Callable[..., Vector]:
    """The rule of a function."""
    return lambda v, *x: v.call(name, *x)


def loop(
    rule: Callable[..., Vector], kinds: list[str], width: int, **params: Any
) -> tuple[str, dict[str, int], str]:
    """The module of ``loop(pointers to operands, pointer to the result, n)``, its symbols, and the
    kind of its result; n is a multiple of the width.
    """
    code = Code(width)
    code.do("br label %next")
    code.label("next")
    code.do("%i = phi i64 [0, %entry], [%more, %last]")
    operands = []
    for number, kind in enumerate(kinds):
        at = code.raw(f"getelementptr {MEMORY[kind]}, ptr %p{number}, i64 %i")
        stored = "i8" if kind == "i1" else kind
        x = code.emit(f"load {code.type(stored)}, ptr {at}, align 1", stored)
        operands.append(x.converted(kind))
    y = rule(code, *operands, **params)
    out = y.kind
    at = code.raw(f"getelementptr {MEMORY[out]}, ptr %out, i64 %i")
    code.do(f"store {y.converted('i8') if out == 'i1' else y}, ptr {at}, align 1")
    code.do("br label %last")
    code.label("last")
    code.do(f"%more = add i64 %i, {width}")
    code.do("%goes = icmp slt i64 %more, %n")
    code.do("br i1 %goes, label %next, label %end")
    code.label("end")
    needed = definitions(code.page.calls)
    pointers = "".join(f"ptr %p{number}, " for number in range(len(kinds)))
    main = f"define void @loop({pointers}ptr %out, i64 %n) {{\nentry:\n{code.text}\n  ret void\n}}"
    declared = sorted(code.page.declared | needed.declared)
    return "\n".join([*declared, main, needed.text]), needed.addresses, out


def compiled(
    rule: Callable[..., Vector], kinds: list[str], width: int = 8, **params: Any
) -> Callable[..., Any]:
    """The rule on one-dimensional arrays of one length."""
    text, addresses, out = loop(rule, kinds, width, **params)
    library = Library(text, addresses)
    types = [ctypes.c_void_p] * (len(kinds) + 1)
    run = ctypes.CFUNCTYPE(None, *types, ctypes.c_int64)(library.address("loop"))

    def on_arrays(*x: Any) -> Any:
        length = -(-len(x[0]) // width) * width
        operands = [
            np.pad(part.astype(DTYPES[kind], copy=False), (0, length - len(part)), "edge")
            for part, kind in zip(x, kinds, strict=True)
        ]
        y = np.empty(length, DTYPES[out])
        run(*[part.ctypes.data for part in (*operands, y)], length)
        return y[: len(x[0])]

    on_arrays.library = library  # type: ignore[attr-defined] # which owns the code
    return on_arrays
