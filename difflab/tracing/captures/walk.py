"""The walk: from a function to every place that its code can read.

What flows: functions lead to their cells, globals and defaults, instances to the attributes that
any code names, containers to all their entries; every object is visited once. Out come the guards,
the fingerprint, and the reason where something cannot be watched. The invariants: the order of the
walk depends on what is found alone, so that equal worlds have equal fingerprints; code that did not
run in a plain call is not followed, since under the guards the same code runs again; nor are
libraries, which do not change.
"""

from __future__ import annotations

import collections
import enum
import functools
import gc
import os
import sys
import threading
import types
import weakref
from collections.abc import Callable, Collection
from typing import Any, Final, NamedTuple

import numpy as np

from difflab.ir.contents import COPIED, is_frozen, kept_content
from difflab.ir.protocols import TracedArray
from difflab.tracing.captures.classes import keeps_state_in_c, own_classes, slots_of
from difflab.tracing.captures.guards import MISSING, Guard, Path, is_empty, pairs
from difflab.tracing.captures.names import (
    READS_WHOLE,
    facts,
    is_library,
    is_library_module,
    unseen,
)

MOST: Final = 1000
"""Guards beyond which tracing at each call is as cheap as asking them all."""

# Whether a function that is reached is followed: if its code ran; in any case; and all it leads to.
IF_IT_RAN, ITSELF, ALL = range(3)


class Same:
    """An object that counts by identity in a fingerprint."""

    __slots__ = ("of",)

    def __init__(self, of: Any) -> None:
        self.of = of

    def __eq__(self, other: object) -> bool:
        return type(other) is Same and other.of is self.of

    __hash__ = None  # type: ignore[assignment]


_ATOMS: Final = frozenset(
    (int, bool, str, bytes, type(None), float, complex, range, type(Ellipsis), type(NotImplemented))
)
_LEAVES: Final = (
    np.ufunc, np.dtype, type(np.sum), types.BuiltinFunctionType, types.MethodDescriptorType,
    types.WrapperDescriptorType, types.MethodWrapperType, types.ClassMethodDescriptorType,
    types.GetSetDescriptorType, types.MemberDescriptorType, types.CodeType, enum.Enum, slice,
    TracedArray, type(Guard.kind), type(threading.Lock()), type(threading.RLock()),
)  # fmt: skip
"""Objects that do not change."""
_VALUES: Final = frozenset(
    ("datetime", "decimal", "fractions", "operator", "pathlib", "re", "uuid", "zoneinfo", "typing")
)
"""Modules whose objects do not change."""
_VALUE_TYPES: Final = (int, float, complex, str, bytes)


def _bits(value: Any) -> Any:
    """What tells an atom from another: -0.0 is not 0.0, and NaN is NaN."""
    kind = type(value)
    return value.hex() if kind is float else repr(value) if kind is complex else value


class _Kind(NamedTuple):
    """What a class says about its instances."""

    of_user: bool
    in_c: bool
    """Whether they may hold what no attribute shows."""
    provided: list[str]
    """Attributes of the class that code names and an instance may shadow."""
    slots: list[str]
    contents: Callable[[Path, Any, int], None] | None
    """How to read what a container holds."""


class Walk:
    """One walk from some roots.

    Attributes
    ----------
    guards, fingerprint
        The places that were read; what was found there.
    codes
        The codes that were followed.
    opaque
        Why something cannot be watched; empty where everything can.
    heavy
        Whether large arrays were met.
    held
        All objects, so that none of them goes while its identity counts.
    """

    def __init__(
        self,
        roots: tuple[Any, ...],
        ran: Collection[types.CodeType] | None,
        written: Collection[Path],
        live: Collection[int],
    ) -> None:
        self.ran, self.written, self.live = ran, written, live
        self.attributes: set[str] = set()
        self.whole = False
        for code in ran or ():
            self._learn(code)
        known = -1
        while known != len(self.attributes):  # names of code that is met late count for all
            known = len(self.attributes)
            self.guards: list[Guard] = []
            self.fingerprint: list[Any] = []
            self.codes: set[types.CodeType] = set()
            self.opaque = ""
            self.heavy = False
            self.held: list[Any] = []
            self._seen: dict[int, int] = {}
            self._kinds: dict[type, _Kind] = {}
            self._todo: list[tuple[Path, Any, int]] = []
            for k, root in enumerate(reversed(roots)):
                self._todo.append(((len(roots) - 1 - k,), root, ITSELF))
            while self._todo and not self.opaque:
                self._step(*self._todo.pop())
            if self.opaque:
                return

    def _learn(self, code: types.CodeType) -> None:
        names = facts(code)
        self.attributes |= names.attributes
        self.whole = self.whole or bool((names.attributes | names.scope) & READS_WHOLE)

    def _step(self, path: Path, o: Any, follow: int) -> None:
        kind = type(o)
        if kind in _ATOMS:
            self.fingerprint.append((kind, _bits(o)))
        elif id(o) in self._seen:
            self.fingerprint.append(("again", self._seen[id(o)]))
        else:
            self._seen[id(o)] = len(self._seen)
            self.held.append(o)
            self._visit(path, o, kind, follow)
            if len(self.guards) > MOST:
                self.opaque = f"it reads more than {MOST} values"

    def _guard(self, kind: str, container: Any, key: Any, value: Any, path: Path) -> bool:
        """Watch a place, unless f itself writes there."""
        if self.written and path in self.written:
            return False
        self.guards.append(Guard(kind, container, key, value, path))
        return True

    def _place(
        self, kind: str, container: Any, key: Any, value: Any, path: Path, follow: int = IF_IT_RAN
    ) -> None:
        """Watch a place, and walk on to what it holds."""
        if self._guard(kind, container, key, value, path):
            self.fingerprint.append(key if type(key) is str else None)
            if type(value) in _ATOMS:
                self.fingerprint.append((type(value), _bits(value)))
            else:
                self._todo.append((path, value, follow))

    # -- kinds of objects ------------------------------------------------------------------------

    def _visit(self, path: Path, o: Any, kind: type, follow: int) -> None:
        on = ALL if follow == ALL else IF_IT_RAN
        if kind in self._kinds:
            self._object(path, o, kind, on)
        elif isinstance(o, _LEAVES) and not _is_bound(o):
            self.fingerprint.append(Same(o))
        elif issubclass(kind, np.ndarray):
            self._array(path, o)
        elif issubclass(kind, np.generic):
            self.fingerprint.append((kind, o.tobytes()))
        elif kind is types.FunctionType:
            self._function(path, o, follow)
        elif kind is types.MethodType:
            self._todo += [(path, o.__func__, follow), ((*path, "self"), o.__self__, on)]
        elif _is_bound(o):
            self.fingerprint.append(o.__name__)
            self._todo.append(((*path, "self"), o.__self__, on))
        elif kind is types.ModuleType:
            self._module(o)
        elif issubclass(kind, type):
            self._class(o, on)
        elif kind is functools.partial:
            parts = (o.func, o.args, o.keywords)
            self._todo += [((*path, k), part, follow) for k, part in enumerate(parts)]
        elif kind in (property, staticmethod, classmethod):
            inner = (o.fget, o.fset) if kind is property else (o.__func__,)
            self._todo += [((*path, k), part, on) for k, part in enumerate(inner)]
        elif kind is functools._lru_cache_wrapper:  # it may answer without running its code
            self._todo.append(((*path, "f"), o.__wrapped__, ALL))
        elif issubclass(kind, weakref.ref):
            self._place("reference", o, None, o(), (*path, "()"), on)
        elif kind is types.MappingProxyType:
            self._todo += [((*path, "of"), inner, on) for inner in gc.get_referents(o)]
        elif kind is object or kind.__module__.partition(".")[0] in _VALUES:
            self.fingerprint.append(Same(o))
        elif hasattr(kind, "__differentiates__"):  # an operator, which may answer without calling f
            self.fingerprint.append(Same(o))
            self._todo.append(((*path, "f"), o.__differentiates__, ALL))
        elif is_library_module(kind.__module__) and kind.__module__.startswith("difflab"):
            self.fingerprint.append(Same(o))
        else:
            self._object(path, o, kind, on)

    def _array(self, path: Path, o: Any) -> None:
        path = (*path, "contents")
        self.fingerprint.append((type(o), o.dtype, o.shape))
        self.heavy = self.heavy or o.nbytes > COPIED
        if o.dtype.hasobject:
            self.opaque = "it reads an array of objects"
        elif path not in self.written:
            self._guard("shape", o, None, o.shape, (*path, "shape"))
            if id(o) in self.live or is_frozen(o):
                self.fingerprint.append(Same(o))
                if id(o) not in self.live:
                    self._guard("frozen", o, None, None, (*path, "frozen"))
            else:
                kept = kept_content(o)
                self.fingerprint.append(kept)
                self._guard("content", o, None, kept, path)

    def _function(self, path: Path, f: types.FunctionType, follow: int) -> None:
        code = f.__code__
        self.fingerprint.append(code)
        self._guard("attribute", f, "__code__", code, (*path, "code"))
        ran = self.ran is None or code in self.ran
        if follow == IF_IT_RAN and (is_library(code) or not ran):
            self.fingerprint.append(Same(f))
            if f is os.getenv:
                self._environment()
            return
        self.codes.add(code)
        self._learn(code)
        self.opaque = unseen(code)
        on = ALL if follow == ALL else IF_IT_RAN
        if code.co_argcount:
            self._place("attribute", f, "__defaults__", f.__defaults__, (*path, "defaults"), on)
        if code.co_kwonlyargcount:
            self._place("attribute", f, "__kwdefaults__", f.__kwdefaults__, (*path, "kw"), on)
        for name, cell in zip(code.co_freevars, f.__closure__ or (), strict=True):
            if is_empty(cell):
                self._guard("empty cell", cell, name, None, (*path, name))
            else:
                self._place("cell", cell, name, cell.cell_contents, (*path, name), on)
        names, scope = facts(code), f.__globals__
        for name in sorted(names.scope):
            place = ("global", id(scope), name)
            if name in scope:
                self._place("named", scope, name, scope[name], place, on)
            else:
                self._guard("absent", scope, name, None, place)
        for name in sorted(names.imported):
            if name in sys.modules and not is_library_module(name):
                self._place("item", sys.modules, name, sys.modules[name], ("module", name))
        if f.__dict__:
            self._attributes((*path, "dict"), f.__dict__, False, on)

    def _module(self, module: types.ModuleType) -> None:
        if is_library_module(module.__name__):
            self.fingerprint.append(Same(module))
            if module is os and self.attributes & {"environ", "getenv"}:
                self._environment()
            return
        self.fingerprint.append(module.__name__)
        scope = vars(module)
        for name in sorted(self.attributes):
            place = ("global", id(scope), name)
            if name in scope:
                self._place("named", scope, name, scope[name], place)
            elif self.whole:
                self._guard("absent", scope, name, None, place)

    def _environment(self) -> None:
        self._todo.append((("environment",), os.environ._data, IF_IT_RAN))  # type: ignore[attr-defined]

    def _class(self, cls: type, on: int) -> None:
        """The attributes that code names, where they are found in the order of resolution."""
        self.fingerprint.append(Same(cls))
        above: list[type] = []
        found: set[str] = set()
        for owner in own_classes(cls):
            self.fingerprint.append(Same(owner))
            self._guard("attribute", owner, "__bases__", owner.__bases__, (id(owner), "bases"))
            for name in sorted(vars(owner)):
                entry = vars(owner)[name]
                may_run = self._may_run(entry, on)
                if (
                    not (may_run if name[:2] == "__" else self.whole)
                    and name not in self.attributes
                ):
                    continue
                if name not in found:
                    for one in above:
                        self._guard("not in class", one, name, None, (id(one), name))
                if name not in found or may_run:  # by super()
                    self._place("class", owner, name, entry, (id(owner), name), on)
                found.add(name)
            above.append(owner)

    def _may_run(self, entry: Any, on: int) -> bool:
        code = getattr(getattr(entry, "__func__", entry), "__code__", None)
        return code is not None and (on == ALL or self.ran is None or code in self.ran)

    def _object(self, path: Path, o: Any, kind: type, on: int) -> None:
        """Containers with all their entries, and instances with what code names of them."""
        self.fingerprint.append(kind)
        known = self._kinds.get(kind)
        if known is None:
            known = self._kinds[kind] = self._kind(kind)
        if known.contents is not None:
            known.contents(path, o, on)
        elif known.in_c:
            self.opaque = f"it reads a {kind.__name__}, which cannot be watched"
            return
        entries = getattr(o, "__dict__", None) if kind.__dictoffset__ else None
        if known.of_user:
            self._guard("type", o, None, kind, (*path, "type"))
            self._todo.append(((*path, "class"), kind, on))
        if entries is not None:
            for name in known.provided:
                if name not in entries:
                    self._guard("absent", entries, name, None, (*path, name))
            self._attributes(path, entries, not known.of_user, on)
        for name in known.slots:
            value = getattr(o, name, MISSING)
            self._place("attribute", o, name, value, (*path, name), on)

    def _kind(self, kind: type) -> _Kind:
        own = own_classes(kind)
        every = self.whole or not own
        slots = [name for name in slots_of(kind) if every or name in self.attributes]
        provided = sorted({name for owner in own for name in vars(owner) if name[:2] != "__"})
        named = [name for name in provided if every or name in self.attributes]
        contents: dict[type, Callable[[Path, Any, int], None]]
        contents = {list: self._list, collections.deque: self._list, tuple: self._tuple}
        contents |= {dict: self._dict, set: self._set, frozenset: self._set}
        contents |= dict.fromkeys(_VALUE_TYPES, self._value)
        base = next((one for one in kind.__mro__ if one in contents), None)
        read = None if base is None else contents[base]
        return _Kind(bool(own), keeps_state_in_c(kind), named, slots, read)

    def _attributes(self, path: Path, entries: dict[str, Any], every: bool, on: int) -> None:
        """The entries of an instance's dict that code names."""
        kind = "keys" if every or self.whole else "length"
        self._guard(kind, entries, None, [*entries], (*path, "contents"))
        for name, value in [*entries.items()]:
            if every or self.whole or name in self.attributes:
                self._place("named", entries, name, value, (*path, name), on)

    # -- all that containers hold ----------------------------------------------------------------

    def _list(self, path: Path, o: Any, on: int) -> None:
        if self._guard("length", o, None, [*o], (*path, "contents")):
            self.fingerprint.append(len(o))
            for i, value in enumerate(o):
                self._place("item", o, i, value, (*path, i), on)

    def _value(self, path: Path, o: Any, on: int) -> None:
        """What an instance of a subclass of float, say, is as a float."""
        self.fingerprint += [base.__repr__(o) for base in _VALUE_TYPES if isinstance(o, base)]

    def _tuple(self, path: Path, o: Any, on: int) -> None:
        self.fingerprint.append(len(o))
        self._todo += [((*path, i), value, on) for i, value in enumerate(o)]

    def _set(self, path: Path, o: Any, on: int) -> None:
        if not all(type(v) in _ATOMS for v in o):
            self.opaque = "it reads a set of objects"
        elif self._guard("set", o, None, [*o], (*path, "contents")):
            self.fingerprint.append(pairs(o))

    def _dict(self, path: Path, o: Any, on: int) -> None:
        if not self._guard("keys", o, None, [*o], (*path, "contents")):
            return
        self.fingerprint.append(len(o))
        for key, value in [*o.items()]:
            kind = type(key)
            if kind in _ATOMS:
                self.fingerprint.append((kind, _bits(key)))
                step: Any = (kind, _bits(key))
            else:
                step = (kind, id(key))
                self._todo.append(((*path, "key", id(key)), key, on))
            self._place("item", o, key, value, (*path, step), on)


def _is_bound(o: Any) -> bool:
    """Whether it is a built-in method of an object, such as ``d.get``."""
    own = (types.ModuleType, type, type(None))
    return type(o) is types.BuiltinFunctionType and not isinstance(o.__self__, own)
