"""What a class tells of its instances: whose it is, and whether all that they hold can be seen."""

from __future__ import annotations

import collections
import io
import threading
import types
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Final

from difflab.tracing.captures.names import is_library_module

_UNSEEN: Final = (
    types.GeneratorType, types.CoroutineType, threading.local, io.IOBase, ContextVar, memoryview,
)  # fmt: skip
_KNOWN_IN_C: Final = frozenset(
    (object, list, tuple, dict, set, frozenset, collections.deque, collections.OrderedDict,
     collections.defaultdict, types.SimpleNamespace, int, float, str, bytes, complex)
)  # fmt: skip
_PYTHON: Final = (types.FunctionType, types.MemberDescriptorType, classmethod, property)
_HEAP_TYPE: Final = 1 << 9


def own_classes(cls: type) -> list[type]:
    """The classes of the user's in the order of resolution."""
    return [
        one
        for one in cls.__mro__
        if one.__module__ != "builtins" and not is_library_module(one.__module__)
    ]


def keeps_state_in_c(kind: type) -> bool:
    """Whether an object may hold what no attribute shows."""
    if issubclass(kind, _UNSEEN):
        return True
    return any(one not in _KNOWN_IN_C and _is_written_in_c(one) for one in kind.__mro__)


def _is_written_in_c(cls: type) -> bool:
    """Whether a class is C code's, as far as can be told: C code seldom leaves a dict or slots."""
    if issubclass(cls, BaseException):
        return False
    if not cls.__flags__ & _HEAP_TYPE or type(cls).__name__.startswith("pybind11"):
        return True
    entries = vars(cls).values()
    in_python = any(isinstance(entry, _PYTHON) for entry in entries)
    return is_library_module(cls.__module__) and not (cls.__dictoffset__ or in_python)


def slots_of(kind: type) -> Iterator[str]:
    for owner in kind.__mro__:
        for name, entry in vars(owner).items():
            if type(entry) is types.MemberDescriptorType:
                yield name
