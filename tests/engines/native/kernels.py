"""Small kernels in IR, as an emitter would write them, and what the tests here share."""

from pathlib import Path

import numpy as np
import pytest

from difflab.engines.native.entry import bound, entry_text, run_of, symbols
from difflab.engines.native.machine import Library, why_not

native = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
F8, F4, I8, B1 = map(np.dtype, (np.float64, np.float32, np.int64, np.bool_))
IR_TYPES = {F8: "double", F4: "float", I8: "i64", B1: "i8"}


def entry(inputs, outputs, kernel, release_gil=False, constants=()):
    library = Library(entry_text(inputs, outputs, release_gil) + kernel, symbols())
    return bound(library, constants=constants)


def program(inputs, outputs, kernel, release_gil=False):
    return run_of(entry(inputs, outputs, kernel, release_gil), inputs)


def sum_and_double(n):
    """float64 (n,) -> its sum and twice it."""
    return f"""
define i32 @kernel(ptr %inputs, ptr %outputs) {{
  %in = load ptr, ptr %inputs
  %value = load ptr, ptr %outputs
  %out.at = getelementptr ptr, ptr %outputs, i64 1
  %out = load ptr, ptr %out.at
  br label %loop
loop:
  %i = phi i64 [ 0, %0 ], [ %next, %loop ]
  %sum = phi double [ 0.0, %0 ], [ %more, %loop ]
  %x.at = getelementptr double, ptr %in, i64 %i
  %x = load double, ptr %x.at
  %twice = fmul double %x, 2.0
  %y.at = getelementptr double, ptr %out, i64 %i
  store double %twice, ptr %y.at
  %more = fadd double %sum, %x
  %next = add i64 %i, 1
  %last = icmp eq i64 %next, {n}
  br i1 %last, label %end, label %loop
end:
  store double %more, ptr %value
  ret i32 0
}}
"""


def copied(*counts_and_dtypes):
    """Each input, so many numbers of a dtype, goes to the output of its place."""
    lines = []
    for i, (count, dtype) in enumerate(counts_and_dtypes):
        kind = f"[{count} x {IR_TYPES[dtype]}]"
        lines.append(f"""
  %from{i}.at = getelementptr ptr, ptr %inputs, i64 {i}
  %from{i} = load ptr, ptr %from{i}.at
  %to{i}.at = getelementptr ptr, ptr %outputs, i64 {i}
  %to{i} = load ptr, ptr %to{i}.at
  %all{i} = load {kind}, ptr %from{i}, align 1
  store {kind} %all{i}, ptr %to{i}, align 1""")
    return f"""
define i32 @kernel(ptr %inputs, ptr %outputs) {{{"".join(lines)}
  ret i32 0
}}
"""


NO_MEMORY = "define i32 @kernel(ptr %inputs, ptr %outputs) {\n  ret i32 1\n}\n"
NOTHING = "define i32 @kernel(ptr %inputs, ptr %outputs) {\n  ret i32 0\n}\n"


def resident():
    """The bytes of this process that are in memory."""
    if not Path("/proc/self/statm").exists():
        pytest.skip("needs /proc")
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
