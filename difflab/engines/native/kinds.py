"""The kinds of elements, and how LLVM writes them and their numbers.

What flows: a dtype becomes a kind, and a kind the types of LLVM for registers and for memory. The
invariant: a number is written to the bit.

>>> kind_of(np.dtype("float64")), literal(0.1, "f64"), literal(True, "i1")
('f64', '0x3fb999999999999a', 'true')
"""

from __future__ import annotations

import struct
from typing import Any, Final

import numpy as np

TYPES: Final = {"f64": "double", "f32": "float", "i64": "i64", "i32": "i32", "i8": "i8", "i1": "i1"}
"""The kinds of elements, and LLVM's names for them; i1 are truth values."""
KINDS: Final = {"float64": "f64", "float32": "f32", "int64": "i64", "bool": "i1"}
"""The kinds of the four dtypes."""
BITS: Final = {"f64": "i64", "f32": "i32"}
"""The integers that hold the bits of a float."""
MEMORY: Final = {**TYPES, "i1": "i8"}
"""Kinds of elements as they lie in memory."""
BYTES: Final = {"f64": 8, "f32": 4, "i64": 8, "i1": 1}
Number = float | int | bool
_BY_CHARACTER: Final = {np.dtype(name).char: kind for name, kind in KINDS.items()}


def kind_of(dtype: np.dtype[Any]) -> str:
    """The kind of a dtype's elements: one of `KINDS`."""
    return _BY_CHARACTER[dtype.char]


def literal(value: Number, kind: str) -> str:
    """A number as LLVM writes it, to the bit."""
    if kind == "f64":
        return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016x}"
    if kind == "f32":  # written as the double that equals it
        (near,) = struct.unpack("<f", struct.pack("<f", value))
        return f"0x{struct.unpack('<Q', struct.pack('<d', near))[0]:016x}"
    if kind == "i1":
        return "true" if value else "false"
    return str(int(value))
