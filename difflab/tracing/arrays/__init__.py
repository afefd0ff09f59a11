"""Traced arrays: names for memory, seen by every name and view, and pure in the graph.

===================== ==========================================================================
slots.py              which element of which node stands where, and the node that reads some
memory.py             a memory, and the part of it that a name shows
array.py              what user code holds, and what NumPy's functions make of it
creation.py           np.array and its kin, copies, nested lists
writes.py             augmented assignment, out=, and functions that change arrays in place
===================== ==========================================================================
"""

from difflab.tracing.arrays import creation, writes
from difflab.tracing.arrays.array import (
    Array,
    apply,
    argument,
    captured,
    captured_array,
    constant_array,
    contents,
    holds_traced,
    ufunc_method,
    wrapped,
)
from difflab.tracing.arrays.slots import Home, here

__all__ = [
    "Array", "Home", "apply", "argument", "captured", "captured_array", "constant_array",
    "contents", "creation", "here", "holds_traced", "ufunc_method", "wrapped", "writes",
]  # fmt: skip
