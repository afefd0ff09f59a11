"""The way from Python into a kernel: a built-in function made of LLVM IR, without ctypes in a call.

What flows: Python's arguments go into `entry`, which checks them, gathers the addresses of their
data, makes the results and runs `kernel` on addresses alone. The invariants: no argument is read
before its type, dtype, shape and layout are known to be what was compiled for; where they are not,
the answer is None, no error, and the wrapper of `run_of` converts and calls again; results are
fresh, and owned by the list that is returned.

>>> print(entry_text([((3,), np.dtype(float))], [((), np.dtype(float))], False).splitlines()[-2])
  ret ptr null
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, cast

import numpy as np

from difflab.engines.native.machine import Library, python_symbols
from difflab.errors import InvariantError, ShapeError

Kind = tuple[tuple[int, ...], np.dtype[Any]]
"""The shape and the dtype of an input or output."""
Builtin = Callable[..., list[Any] | None]
"""An entry: it answers None to arguments of other kinds."""

DTYPES = tuple(map(np.dtype, (np.float64, np.float32, np.int64, np.bool_)))

_OBJECTS = {
    "none": None,
    "true": np.True_,
    "false": np.False_,
    "PyFloat_Type": float,
    "PyArray_Type": np.ndarray,
    **{f"descr.{dtype}": dtype for dtype in DTYPES},
    **{f"type.{dtype}": dtype.type for dtype in DTYPES},
}
"""What an entry compares with or returns, by the names of its text."""
_HEAD = object.__basicsize__
_TYPE = _HEAD - 8
_DATA, _NDIM, _DIMS, _DESCR, _FLAGS = (_HEAD + i for i in (0, 8, 16, 40, 48))
"""Where the fields of objects and arrays are: the same in NumPy 1 and 2."""
_DENSE = 0x101
"""NumPy's flags of C-contiguous and of aligned arrays."""
_FASTCALL = 0x80

# The IR -------------------------------------------------------------------------------------------


def _field(name: str, kind: str, offset: int) -> str:
    at = f"%{name}.at = getelementptr i8, ptr %object, i64 {offset}"
    return f"{at}\n  %{name} = load {kind}, ptr %{name}.at"


_HELPERS = f"""
@PyArray_Type = external global i8
@true = external global i8
@false = external global i8
declare void @Py_IncRef(ptr)
declare i32 @PyList_SetItem(ptr, i64, ptr)
declare ptr @PyType_GenericAlloc(ptr, i64)
declare ptr @PyArray_NewFromDescr(ptr, ptr, i32, ptr, ptr, ptr, i32, ptr)

; The data of an array that is what was compiled for, or null.
define ptr @array_data(ptr %object, ptr %descr, i32 %ndim, ptr %shape) {{
  {_field("type", "ptr", _TYPE)}
  %is.array = icmp eq ptr %type, @PyArray_Type
  br i1 %is.array, label %array, label %no
array:
  {_field("its.descr", "ptr", _DESCR)}
  %same.descr = icmp eq ptr %its.descr, %descr
  {_field("its.ndim", "i32", _NDIM)}
  %same.ndim = icmp eq i32 %its.ndim, %ndim
  {_field("flags", "i32", _FLAGS)}
  %dense = and i32 %flags, {_DENSE}
  %is.dense = icmp eq i32 %dense, {_DENSE}
  %same.kind = and i1 %same.descr, %same.ndim
  %same = and i1 %same.kind, %is.dense
  {_field("dims", "ptr", _DIMS)}
  br i1 %same, label %axis, label %no
axis:
  %i = phi i32 [ 0, %array ], [ %next, %length ]
  %past = icmp eq i32 %i, %ndim
  br i1 %past, label %yes, label %length
length:
  %its.at = getelementptr i64, ptr %dims, i32 %i
  %its = load i64, ptr %its.at
  %wanted.at = getelementptr i64, ptr %shape, i32 %i
  %wanted = load i64, ptr %wanted.at
  %fits = icmp eq i64 %its, %wanted
  %next = add i32 %i, 1
  br i1 %fits, label %axis, label %no
yes:
  {_field("data", "ptr", _DATA)}
  ret ptr %data
no:
  ret ptr null
}}

; The value inside a scalar of one of two types, or of an array without axes; or null.
define ptr @scalar_data(ptr %object, ptr %descr, ptr %one, ptr %other) {{
  {_field("type", "ptr", _TYPE)}
  %is.one = icmp eq ptr %type, %one
  %is.other = icmp eq ptr %type, %other
  %is.scalar = or i1 %is.one, %is.other
  br i1 %is.scalar, label %scalar, label %array
scalar:
  %value = getelementptr i8, ptr %object, i64 {_HEAD}
  ret ptr %value
array:
  %data = call ptr @array_data(ptr %object, ptr %descr, i32 0, ptr null)
  ret ptr %data
}}

; Makes a result as an item of the list, and answers with its data; or null, with an error set.
define ptr @new_array(ptr %list, i64 %place, ptr %descr, i32 %ndim, ptr %shape) {{
  call void @Py_IncRef(ptr %descr)
  %object = call ptr @PyArray_NewFromDescr(ptr @PyArray_Type, ptr %descr, i32 %ndim, ptr %shape,
    ptr null, ptr null, i32 0, ptr null)
  call i32 @PyList_SetItem(ptr %list, i64 %place, ptr %object)
  %failed = icmp eq ptr %object, null
  br i1 %failed, label %no, label %yes
yes:
  {_field("data", "ptr", _DATA)}
  ret ptr %data
no:
  ret ptr null
}}

define ptr @new_scalar(ptr %list, i64 %place, ptr %type) {{
  %object = call ptr @PyType_GenericAlloc(ptr %type, i64 0)
  call i32 @PyList_SetItem(ptr %list, i64 %place, ptr %object)
  %failed = icmp eq ptr %object, null
  %value = getelementptr i8, ptr %object, i64 {_HEAD}
  %data = select i1 %failed, ptr null, ptr %value
  ret ptr %data
}}

; There is one object for each truth value: the item is set before the kernel runs, and after.
define ptr @set_truth(ptr %list, i64 %place, ptr %value) {{
  %byte = load i8, ptr %value
  %true = icmp ne i8 %byte, 0
  %object = select i1 %true, ptr @true, ptr @false
  call void @Py_IncRef(ptr %object)
  call i32 @PyList_SetItem(ptr %list, i64 %place, ptr %object)
  ret ptr %value
}}
"""

_ENTRY = """
declare ptr @array_data(ptr, ptr, i32, ptr)
declare ptr @scalar_data(ptr, ptr, ptr, ptr)
declare ptr @new_array(ptr, i64, ptr, i32, ptr)
declare ptr @new_scalar(ptr, i64, ptr)
declare ptr @set_truth(ptr, i64, ptr)
declare void @Py_IncRef(ptr)
declare void @Py_DecRef(ptr)
declare ptr @PyList_New(i64)
declare ptr @PyErr_NoMemory()
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)

define ptr @entry(ptr %self, ptr %args, i64 %nargs) {{
  %inputs = alloca [{inputs} x ptr]
  %outputs = alloca [{outputs} x ptr]
  %truths = alloca [{outputs} x i8]
  store [{outputs} x i8] zeroinitializer, ptr %truths
  %counted = icmp eq i64 %nargs, {inputs}
  br i1 %counted, label %in0, label %other
{taking}
in{inputs}:
  %list = call ptr @PyList_New(i64 {outputs})
  %no.list = icmp eq ptr %list, null
  br i1 %no.list, label %no, label %out0
{making}
out{outputs}:
{running}
  %ran = icmp eq i32 %status, 0
  br i1 %ran, label %done, label %no.memory
done:
{after}
  ret ptr %list
other:
  call void @Py_IncRef(ptr @none)
  ret ptr @none
no.memory:
  call ptr @PyErr_NoMemory()
  br label %failed
failed:
  call void @Py_DecRef(ptr %list)
  br label %no
no:
  ret ptr null
}}"""

_TAKING = """in{i}:
  %in{i}.at = getelementptr ptr, ptr %args, i64 {i}
  %in{i}.object = load ptr, ptr %in{i}.at
  %in{i}.data = call ptr {call}
  %in{i}.slot = getelementptr ptr, ptr %inputs, i64 {i}
  store ptr %in{i}.data, ptr %in{i}.slot
  %in{i}.differs = icmp eq ptr %in{i}.data, null
  br i1 %in{i}.differs, label %other, label %in{next}"""

_MAKING = """out{i}:
  %out{i}.truth = getelementptr i8, ptr %truths, i64 {i}
  %out{i}.data = call ptr {call}
  %out{i}.slot = getelementptr ptr, ptr %outputs, i64 {i}
  store ptr %out{i}.data, ptr %out{i}.slot
  %out{i}.failed = icmp eq ptr %out{i}.data, null
  br i1 %out{i}.failed, label %failed, label %out{next}"""

_RUNNING = "  %status = call i32 @kernel(ptr %inputs, ptr %outputs)"
_WITHOUT_GIL = f"""  %thread = call ptr @PyEval_SaveThread()
{_RUNNING}
  call void @PyEval_RestoreThread(ptr %thread)"""


def entry_text(inputs: Sequence[Kind], outputs: Sequence[Kind], release_gil: bool) -> str:
    """The IR of `entry` for one signature: a module with it defines ``i32 @kernel(ptr, ptr)``.

    The kernel gets the addresses of the inputs' data, and of the outputs'; it returns 0, or 1 where
    it got no memory. All that the text declares is in `symbols`, and not to be declared again.
    """
    shapes = dict.fromkeys(shape for shape, _ in (*inputs, *outputs) if shape)
    names = {shape: f"@shape.{i}" for i, shape in enumerate(shapes)}
    taking = [_taken(kind, i, names) for i, kind in enumerate(inputs)]
    making = [_made(kind, i, names) for i, kind in enumerate(outputs)]
    truths = [i for i, (shape, dtype) in enumerate(outputs) if _is_truth(shape, dtype)]
    return "\n".join(
        [
            *(f"@{name} = external global i8" for name in _OBJECTS),
            *(f"{names[shape]} = internal constant {_lengths(shape)}" for shape in shapes),
            _ENTRY.format(
                inputs=len(inputs),
                outputs=len(outputs),
                taking=_blocks(_TAKING, taking),
                making=_blocks(_MAKING, making),
                running=_WITHOUT_GIL if release_gil else _RUNNING,
                after="\n".join(f"  call ptr {making[i]}" for i in truths),
            ),
        ]
    )


def _blocks(template: str, calls: Sequence[str]) -> str:
    return "\n".join(template.format(i=i, next=i + 1, call=call) for i, call in enumerate(calls))


def _lengths(shape: tuple[int, ...]) -> str:
    return f"[{len(shape)} x i64] [{', '.join(f'i64 {length}' for length in shape)}]"


def _is_truth(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    return not shape and dtype == np.bool_


def _taken(kind: Kind, i: int, names: dict[tuple[int, ...], str]) -> str:
    shape, dtype = kind
    if shape:
        known = f"ptr @descr.{dtype}, i32 {len(shape)}, ptr {names[shape]}"
        return f"@array_data(ptr %in{i}.object, {known})"
    other = "PyFloat_Type" if dtype == np.float64 else f"type.{dtype}"
    known = f"ptr @descr.{dtype}, ptr @type.{dtype}, ptr @{other}"
    return f"@scalar_data(ptr %in{i}.object, {known})"


def _made(kind: Kind, i: int, names: dict[tuple[int, ...], str]) -> str:
    shape, dtype = kind
    item = f"ptr %list, i64 {i}"
    if _is_truth(shape, dtype):
        return f"@set_truth({item}, ptr %out{i}.truth)"
    if not shape:
        return f"@new_scalar({item}, ptr @type.{dtype})"
    return f"@new_array({item}, ptr @descr.{dtype}, i32 {len(shape)}, ptr {names[shape]})"


# Addresses ----------------------------------------------------------------------------------------


def symbols() -> dict[str, int]:
    """The addresses of all that the text of an entry declares."""
    helpers = {
        name: _helpers().address(name) for name in re.findall(r"define ptr @(\w+)", _HELPERS)
    }
    return _known() | helpers


@cache
def _helpers() -> Library:
    return Library(_HELPERS, _known())  # one a process: it would double the time of small programs


@cache
def _known() -> dict[str, int]:
    """The addresses of what belongs to Python and NumPy."""
    functions = set(re.findall(r"@(Py[A-Z_]\w+)\(", _HELPERS + _ENTRY + _WITHOUT_GIL))
    return {
        **python_symbols(*(functions - {"PyArray_NewFromDescr"})),
        **{name: id(value) for name, value in _OBJECTS.items()},
        "PyArray_NewFromDescr": _numpy_table()[94],
    }


def _numpy_table() -> Any:
    """NumPy's table of its C functions."""
    prototype = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)
    pointer = prototype(("PyCapsule_GetPointer", ctypes.pythonapi))
    address = pointer(np._core._multiarray_umath._ARRAY_API, None)  # type: ignore[attr-defined]
    return ctypes.cast(address, ctypes.POINTER(ctypes.c_void_p))


# Functions ----------------------------------------------------------------------------------------


class _Method(ctypes.Structure):
    """Python's PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


class _Owned:
    """What a built-in function needs as long as it lives: it is the function's `__self__`.

    Python asks that a function's PyMethodDef outlives it, and releases `__self__` last.
    """

    __slots__ = ("constants", "library", "method")

    def __init__(self, library: Library, method: _Method, constants: Sequence[Any]) -> None:
        self.library, self.method, self.constants = library, method, constants


_new_function = ctypes.PYFUNCTYPE(
    ctypes.py_object, ctypes.POINTER(_Method), ctypes.py_object, ctypes.py_object
)(("PyCFunction_NewEx", ctypes.pythonapi))


def bound(library: Library, name: str = "entry", constants: Sequence[Any] = ()) -> Builtin:
    """An entry as a Python function, which keeps its library and the constants' arrays alive."""
    method = _Method(name.encode(), library.address(name), _FASTCALL, None)
    owned = _Owned(library, method, constants)
    return cast(Builtin, _new_function(ctypes.pointer(method), owned, None))


def run_of(builtin: Builtin, inputs: Sequence[Kind]) -> Callable[..., list[Any]]:
    """The function that takes whatever NumPy can convert to the inputs' shapes and dtypes."""

    def converted(*values: Any) -> list[Any]:
        arrays = [_converted(*pair) for pair in zip(values, inputs, strict=True)]
        results = builtin(*arrays)
        if results is None:
            raise InvariantError(f"an entry refused the arrays that it was made for: {inputs}")
        return results

    parameters = ", ".join(f"x{i}" for i in range(len(inputs)))
    source = (  # parameters by name: a call is 90 ns faster than with *values
        f"def run({parameters}):\n"
        f"    results = builtin({parameters})\n"
        f"    return converted({parameters}) if results is None else results\n"
    )
    namespace: dict[str, Any] = {"builtin": builtin, "converted": converted}
    exec(compile(source, "<difflab entry>", "exec"), namespace)
    return cast(Callable[..., list[Any]], namespace.pop("run"))  # which else held itself


def _converted(value: Any, kind: Kind) -> np.ndarray[Any, Any]:
    """A fresh array of a kind: an entry looks for NumPy's own dtype objects, not for equal ones."""
    shape, dtype = kind
    array = np.asarray(value)
    if array.shape != shape:
        raise ShapeError(
            f"a program for shape {shape} was given shape {array.shape}",
            "call with the shape it was compiled for, or compile it again",
        )
    fresh = np.empty(shape, dtype)
    np.copyto(fresh, array, casting="same_kind")
    return fresh
