"""Vector functions, out of line: those that formulas say, and NumPy's own loops for all others.

What flows: the names that codes call, with their kinds and widths, become LLVM functions, and so do
those that they call in turn; `vector_rule` says how a row of the table is written on vectors, or
that it is not. The invariants: mathematics is never contracted; float32 has the same formulas, or
goes through float64, which leaves it correctly rounded but for rare ties; a loop of NumPy's enters
as a named symbol, whose address comes beside the text, so that the text says nothing of this
process.

>>> found = definitions({("exp", "f64", 4)})
>>> sorted(found.addresses), "@exp_slow.f64.4" in found.text
([], True)
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from difflab.engines.native import logarithms, special  # noqa: F401 - they enter formulas
from difflab.engines.native.exponentials import FUNCTIONS, WIDE
from difflab.engines.native.kinds import BITS, KINDS
from difflab.engines.native.vectors import LIKELY, Code, Vector
from difflab.errors import InvariantError
from difflab.ir.row import Primitive

Call = tuple[str, str, int]
"""A name, a kind and a width."""
Formula = Callable[..., Vector]
_LOOP: Final = "loop."
_CHARACTERS: Final = {"f64": "d", "f32": "f", "i64": "l"}
"""What NumPy calls the kinds in the types of its loops."""


class Definitions(NamedTuple):
    """LLVM functions, what they need declared, and the addresses of symbols that are not in it."""

    text: str
    declared: set[str]
    addresses: dict[str, int]


def definitions(calls: Iterable[Call]) -> Definitions:
    """The functions that are called, all that these call, and `LIKELY`."""
    texts: dict[Call, str] = {}
    declared: set[str] = set()
    addresses: dict[str, int] = {}
    open_calls = sorted(calls)
    while open_calls:
        call = open_calls.pop()
        if call in texts:
            continue
        name, kind, width = call
        if name.startswith(_LOOP):
            found = ufunc_loop(getattr(np, name.removeprefix(_LOOP)), kind)
            addresses |= found
            declared |= _declared(found)
            code, arity = _looped(name, kind, width, found)
        else:
            formula = FUNCTIONS[name]
            arity = formula.__code__.co_argcount - 1
            code = Code(width)
            result = _written(code, name, kind, arity)
            code.do(f"ret {result}")
        declared |= code.page.declared
        open_calls += sorted(code.page.calls)
        type_ = code.type(kind)
        given = ", ".join(f"{type_} %x{i}" for i in range(arity))
        rare = " cold" if name.endswith("_slow") else ""
        texts[call] = (
            f"define internal {type_} @{name}.{kind}.{width}({given}) noinline nounwind{rare} {{\n"
            f"entry:\n{code.text}\n}}\n"
        )
    parts = [texts[call] for call in sorted(texts)]
    return Definitions("\n".join([*parts, LIKELY, ""]), declared, addresses)


def _written(code: Code, name: str, kind: str, arity: int) -> Vector:
    x = [code.argument(kind, f"x{i}") for i in range(arity)]
    if kind == "f32" and name in WIDE:
        return code.call(name, *(number.converted("f64") for number in x)).converted("f32")
    if kind not in BITS:
        raise InvariantError(f"{name} takes floats, not {kind}")
    return FUNCTIONS[name](code, *x)


# -- NumPy's loops ---------------------------------------------------------------------------------


def ufunc_loop(ufunc: np.ufunc, kind: str) -> dict[str, int]:
    """The symbols of NumPy's inner loop for operands and result of one kind, and where they are."""
    types = _types(ufunc, kind)
    index = ufunc.types.index(types)
    start = id(ufunc) + object.__basicsize__ + 16
    functions, data = (ctypes.c_void_p.from_address(start + i).value for i in (0, 8))
    assert functions
    size = ctypes.sizeof(ctypes.c_void_p)
    name = f"{_LOOP}{ufunc.__name__}.{kind}"
    found = {name: ctypes.c_void_p.from_address(functions + index * size).value or 0}
    given = data and ctypes.c_void_p.from_address(data + index * size).value
    return found | ({f"{name}.data": given} if given else {})


def _types(ufunc: np.ufunc, kind: str) -> str:
    character = _CHARACTERS.get(kind, "?")
    return f"{character * ufunc.nin}->{character}"


def has_loop(ufunc: Any, kind: str) -> bool:
    """Whether NumPy has such a loop, of one result."""
    known = isinstance(ufunc, np.ufunc) and getattr(np, ufunc.__name__, None) is ufunc
    return known and ufunc.nout == 1 and not ufunc.signature and _types(ufunc, kind) in ufunc.types


def _declared(symbols: Iterable[str]) -> set[str]:
    return {
        f"@{name} = external global i8"
        if name.endswith(".data")
        else f"declare void @{name}(ptr, ptr, ptr, ptr)"
        for name in symbols
    }


def _looped(name: str, kind: str, width: int, symbols: Mapping[str, int]) -> tuple[Code, int]:
    """A vector function that stores its operands, runs NumPy's loop over them, and loads."""
    ufunc = getattr(np, name.removeprefix(_LOOP))
    code = Code(width)
    count, type_ = ufunc.nin + 1, code.type(kind)
    size = np.dtype({k: d for d, k in KINDS.items()}[kind]).itemsize
    room = [code.raw(f"alloca {type_}, align 64") for _ in range(count)]
    pointers = code.raw(f"alloca [{count} x ptr]")
    length = code.raw("alloca i64")
    steps = code.raw(f"alloca [{count} x i64]")
    code.do(f"store i64 {width}, ptr {length}")
    for i, place in enumerate(room):
        if i < ufunc.nin:
            code.do(f"store {type_} %x{i}, ptr {place}, align 64")
        for array, value in ((pointers, f"ptr {place}"), (steps, f"i64 {size}")):
            at = code.raw(f"getelementptr i64, ptr {array}, i64 {i}")
            code.do(f"store {value}, ptr {at}")
    loop = f"{name}.{kind}"
    data = f"@{loop}.data" if f"{loop}.data" in symbols else "null"
    code.do(f"call void @{loop}(ptr {pointers}, ptr {length}, ptr {steps}, ptr {data})")
    result = code.raw(f"load {type_}, ptr {room[-1]}, align 64")
    code.do(f"ret {type_} {result}")
    return code, ufunc.nin


# -- rows of the table -----------------------------------------------------------------------------


def vector_rule(row: Primitive, dtypes: tuple[np.dtype[Any], ...]) -> Formula | None:
    """``rule(v, *x, **params)`` of a pointwise row for operands of these dtypes; None: there is
    none, and NumPy has to compute it.
    """
    kinds = {KINDS.get(dtype.name, "") for dtype in dtypes}
    if row.kind != "pointwise" or "" in kinds or not _takes(row.evaluate, dtypes):
        return None
    cell = row.native
    if callable(cell):
        return cell
    kind = kinds.pop() if len(kinds) == 1 else ""
    if isinstance(cell, str):
        return getattr(Code, cell, None) or _called(cell) if kind in BITS else None
    return _called(f"{_LOOP}{row.evaluate.__name__}") if has_loop(row.evaluate, kind) else None


def _called(name: str) -> Formula:
    return lambda v, *x: v.call(name, *x)


def _takes(function: Any, dtypes: tuple[np.dtype[Any], ...]) -> bool:
    """Whether NumPy takes them as they are."""
    if not isinstance(function, np.ufunc):
        return True
    try:
        resolved = function.resolve_dtypes((*dtypes, None))
    except TypeError:
        return False
    return resolved[: len(dtypes)] == dtypes
