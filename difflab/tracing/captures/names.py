"""What a code can read and write, by the names in it; and which code and modules do not change.

No instruction is interpreted: a code that names ``scale`` may read the global or the attribute of
that name, and no other.
"""

from __future__ import annotations

import dis
import functools
import os
import sys
import types
from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np

import difflab.errors


class Facts(NamedTuple):
    """The names in a code and in the codes inside it."""

    scope: frozenset[str]
    """Globals that it reads or sets."""
    attributes: frozenset[str]
    stored: frozenset[str]
    """Attributes, globals and closed-over variables that it sets."""
    changes_items: bool
    """Whether it sets entries of containers, or calls a method that may."""
    imported: frozenset[str]


_ATTRIBUTES: Final = frozenset(
    ("LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR", "IMPORT_FROM", "STORE_ATTR", "DELETE_ATTR")
)
_GLOBALS: Final = frozenset(
    ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS", "STORE_GLOBAL", "DELETE_GLOBAL")
)
_STORES: Final = frozenset(
    ("STORE_ATTR", "DELETE_ATTR", "STORE_GLOBAL", "DELETE_GLOBAL", "STORE_DEREF", "DELETE_DEREF")
)
_CHANGING: Final = frozenset(
    (
        *("add", "append", "appendleft", "clear", "discard", "extend", "fill", "insert", "pop"),
        *("popleft", "popitem", "put", "remove", "reverse", "rotate", "setdefault", "sort"),
        *("update", "__setitem__", "setitem", "delitem", "copyto", "at", "itemset", "partition"),
    )
)
READS_WHOLE: Final = frozenset(
    (
        *("getattr", "hasattr", "vars", "dir", "setattr", "attrgetter", "methodcaller", "asdict"),
        *("astuple", "replace", "copy", "deepcopy", "__dict__", "__getattribute__", "fields"),
    )
)
"""Names with which code reads attributes that it does not name."""
_UNSEEN: Final = frozenset(
    ("open", "eval", "exec", "globals", "locals", "input", "__import__", "import_module")
)
"""Globals with which code reads what cannot be watched."""
_READING: Final = frozenset(
    (
        *("open", "read", "readline", "readlines", "read_text", "read_bytes", "recv", "f_locals"),
        *("load", "loadtxt", "genfromtxt", "fromfile", "memmap", "import_module", "f_globals"),
    )
)
"""Attributes with which it does."""


@functools.lru_cache(maxsize=4096)
def facts(code: types.CodeType) -> Facts:
    """What a code names, nested codes included.

    >>> facts((lambda w: scale * w.size).__code__)[:2]
    (frozenset({'scale'}), frozenset({'size'}))
    """
    scope, attributes, stored, imported = set(), set(), set(), set()
    items = False
    for instruction in dis.get_instructions(code):
        name = instruction.opname
        if name in _GLOBALS:
            scope.add(instruction.argval)
        if name in _ATTRIBUTES:
            attributes.add(instruction.argval)
        if name in _STORES:
            stored.add(instruction.argval)
        if name == "IMPORT_NAME":
            imported.add(instruction.argval)
        in_place = name == "BINARY_OP" and instruction.argrepr.endswith("=")
        items = items or in_place or name in ("STORE_SUBSCR", "DELETE_SUBSCR", "STORE_SLICE")
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            more = facts(inner)
            scope |= more.scope
            attributes |= more.attributes
            stored |= more.stored
            imported |= more.imported
            items = items or more.changes_items
    items = items or bool(_CHANGING & (attributes | scope))
    return Facts(
        frozenset(scope), frozenset(attributes), frozenset(stored), items, frozenset(imported)
    )


def nested(codes: Iterable[types.CodeType]) -> set[types.CodeType]:
    """Codes with those inside them."""
    found: set[types.CodeType] = set()
    todo = [*codes]
    while todo:
        code = todo.pop()
        found.add(code)
        todo += [c for c in code.co_consts if isinstance(c, types.CodeType) and c not in found]
    return found


def unseen(code: types.CodeType) -> str:
    """Why a code reads what cannot be watched; empty where it does not."""
    names = facts(code)
    calls = sorted((names.scope & _UNSEEN) | (names.attributes & _READING))
    return f"it calls {calls[0]}" if calls else ""


# -- libraries, which do not change ----------------------------------------------------------------

_STANDARD: Final = os.path.dirname(os.__file__)
_PACKAGES: Final = tuple(
    os.path.join(os.path.dirname(os.path.dirname(np.__file__)), name, "")
    for name in ("numpy", "scipy", "sympy", "flint")
)
_OWN: Final = os.path.join(os.path.dirname(difflab.errors.__file__), "")
_CHANGEABLE: Final = os.path.join(_OWN, "networks", "")
_RUNS_PROGRAMS: Final = os.path.join(_OWN, "operators", "")


@functools.lru_cache(maxsize=4096)
def _is_library_file(file: str) -> bool:
    if file.startswith(_OWN):
        return not file.startswith(_CHANGEABLE)
    installed = "site-packages" in file or "dist-packages" in file
    standard = file.startswith(_STANDARD) and not installed
    return standard or file.startswith((*_PACKAGES, "<frozen", "<difflab", "<__array"))


def is_library(code: types.CodeType) -> bool:
    """Whether a code belongs to Python, NumPy, SciPy or difflab."""
    return _is_library_file(code.co_filename)


@functools.lru_cache(maxsize=4096)
def is_library_module(name: str) -> bool:
    top = name.partition(".")[0]
    if top == "difflab":
        return not name.startswith("difflab.networks")
    return top in sys.stdlib_module_names or top in ("numpy", "scipy", "sympy", "flint")


@functools.lru_cache(maxsize=4096)
def runs_programs(code: types.CodeType) -> bool:
    """Whether a code is an operator's, which may answer without running the user's code."""
    return code.co_filename.startswith(_RUNS_PROGRAMS)
