"""A copy of a user's function that finds stand-ins where it looks for names.

What flows: a function goes in, and one with the same code comes out, whose globals are looked up in
a `Scope`: it answers with what the real globals hold at that moment, but with stand-ins for NumPy
and math, copies of the user's other functions, and traced arrays for arrays. So helpers, modules,
decorators and imports inside of functions are reached, and no name of any module is ever replaced:
other threads, C code and pickling see nothing. With `deep`, also instances and classes of the
user's are stood for, by subclasses with copied methods whose instances share their attributes with
the real ones.

>>> def length(x):
...     y = np.zeros(2)
...     y[:] = x
...     return np.hypot(*y)
>>> Copies().of(length).__code__ is length.__code__
True
"""

from __future__ import annotations

import builtins
import enum
import functools
import inspect
import operator
import sys
import types
from collections import ChainMap
from typing import Any, Final

import numpy as np

from difflab.tracing.arrays import captured_array
from difflab.tracing.captures.classes import own_classes
from difflab.tracing.captures.guards import is_empty
from difflab.tracing.captures.names import is_library_module
from difflab.tracing.names.stand_ins import NUMBERS, Vectorised, module_of, stand_in

_ATOMS: Final = frozenset((int, float, bool, str, bytes, complex, type(None), slice, range))
_PLAIN: Final = (np.float64, np.float32, np.int64, np.bool_)
_METHODS: Final = (types.FunctionType, staticmethod, classmethod, property)
_OF_CLASSES: Final = ("__new__", "__init_subclass__", "__class_getitem__")
MOST: Final = 1000
"""Containers with more entries are left alone."""


class Scope(dict[str, Any]):
    """The globals of a copy: Python looks names up by `__getitem__`, since it is no plain dict."""

    def __init__(self, copies: Copies, real: dict[str, Any]) -> None:
        super().__init__(__builtins__=copies.builtins, __name__=real.get("__name__"))
        self.copies, self.real = copies, real

    def __getitem__(self, name: str) -> Any:
        if dict.__contains__(self, name):  # the copy has stored it
            return dict.__getitem__(self, name)
        value = self.real[name]
        return value if type(value) in _ATOMS else self.copies.of(value, name)


class Copies:
    """The copies made for one run of a function.

    Parameters
    ----------
    deep
        Whether instances and classes of the user's are stood for as well.
    replaced
        What stands for some objects, by their ids.
    """

    def __init__(self, deep: bool = False, replaced: dict[int, Any] | None = None) -> None:
        self.deep = deep
        self.left: list[Any] = []
        """Objects for which nothing stands, although the user's code may read something there."""
        self.made: dict[int, tuple[Any, Any]] = {}
        self.replaced = replaced or {}
        self.scopes: dict[int, Scope] = {}
        self.builtins = {
            **vars(builtins),
            "__import__": self._import,
            "eval": functools.partial(_evaluated, eval),
            "exec": functools.partial(_evaluated, exec),
            "float": NUMBERS[float],
            "complex": NUMBERS[complex],
        }

    def of(self, value: Any, name: str = "an array") -> Any:
        """What stands for a value that was met under a name; most values stand for themselves."""
        kind = type(value)
        if kind in _ATOMS or kind in _PLAIN:
            return value
        if id(value) in self.replaced:
            return self.replaced[id(value)]
        known = self.made.get(id(value))
        if known is not None:
            return known[1]
        found = self._of(value, kind, name)
        self.made.setdefault(id(value), (value, found))
        return self.made[id(value)][1]

    def _put(self, value: Any, copy: Any) -> Any:
        self.made[id(value)] = value, copy
        return copy

    def _of(self, value: Any, kind: type, name: str) -> Any:
        standing = stand_in(value)
        if standing is not value:
            return standing
        if kind is types.FunctionType:
            if hasattr(value, "dispatch") and hasattr(value, "registry"):  # of functools
                return lambda *args, **kwargs: self.of(value.dispatch(args[0].__class__))(
                    *args, **kwargs
                )
            left = _is_left(module_of(value)) and _is_left(value.__module__)
            return value if left else self._function(value)
        if kind is types.MethodType:
            return types.MethodType(self.of(value.__func__), self.of(value.__self__, name))
        if kind is np.ndarray:
            return captured_array(value, name)
        if kind is functools.partial:
            keywords = {key: self.of(x, key) for key, x in value.keywords.items()}
            args = [self.of(x, name) for x in value.args]
            return functools.partial(self.of(value.func), *args, **keywords)
        if kind is np.vectorize:
            own = vars(value)
            return Vectorised(self.of(value.pyfunc), own.get("otypes"), own.get("__doc__"))
        if kind is functools._lru_cache_wrapper:  # what it remembers is none of this trace's
            return self.of(value.__wrapped__)
        if kind in (list, tuple, dict) and len(value) <= MOST:
            return self._container(value, kind, name)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            parts = [self.of(x, f"{name}.{key}") for key, x in zip(value._fields, value)]  # noqa: B905
            return value if all(map(operator.is_, parts, value)) else tuple.__new__(kind, parts)
        if kind is types.ModuleType and not _is_left(value.__name__):
            return _Module(self, value)
        if kind is types.SimpleNamespace:
            copy = self._put(value, types.SimpleNamespace())
            vars(copy).update({key: self.of(x, f"{name}.{key}") for key, x in vars(value).items()})
            return copy
        found = self._object(value, kind, name) if self.deep else value
        if found is value:
            self.left.append(value)
        return found

    def _function(self, f: types.FunctionType) -> Any:
        scope = self.scopes.get(id(f.__globals__))
        if scope is None:
            scope = self.scopes[id(f.__globals__)] = Scope(self, f.__globals__)
        cells = f.__closure__ or ()
        new = tuple([cell if is_empty(cell) else types.CellType() for cell in cells])
        copy = types.FunctionType(f.__code__, scope, f.__name__, None, new or None)
        self._put(f, copy)
        for name in _names_of_classes(f.__code__):
            if name in f.__globals__ and not dict.__contains__(scope, name):
                dict.__setitem__(scope, name, scope[name])
        copy.__dict__.update({key: self.of(x, key) for key, x in f.__dict__.items()})
        copy.__module__, copy.__qualname__, copy.__doc__ = f.__module__, f.__qualname__, f.__doc__
        for cell, old, name in zip(new, cells, f.__code__.co_freevars, strict=True):
            if cell is not old:
                cell.cell_contents = self.of(old.cell_contents, name)
        if f.__defaults__ is not None:
            copy.__defaults__ = tuple([self.of(x, "a default") for x in f.__defaults__])
        if f.__kwdefaults__ is not None:
            copy.__kwdefaults__ = {key: self.of(x, key) for key, x in f.__kwdefaults__.items()}
        return copy

    def _container(self, value: Any, kind: type, name: str) -> Any:
        """The container itself, unless something stands for one of its entries."""
        if kind is dict:
            entries: Any = self._put(value, {})
            entries.update({key: self.of(x, f"{name}[{key!r}]") for key, x in value.items()})
            same = all(entries[key] is x for key, x in value.items())
        else:
            parts = [self.of(x, f"{name}[{k}]") for k, x in enumerate(value)]
            same = all(map(operator.is_, parts, value))
            entries = parts if kind is list else tuple(parts)
        return self._put(value, value if same else entries)

    def _import(self, name: str, scope: Any = None, *rest: Any) -> Any:
        real = scope.real if type(scope) is Scope else scope
        return self.of(builtins.__import__(name, real, *rest))

    # -- instances and classes -------------------------------------------------------------------

    def _object(self, value: Any, kind: type, name: str) -> Any:
        if isinstance(value, (staticmethod, classmethod)):
            return kind(self.of(value.__func__))
        if kind is property:
            return property(*[f and self.of(f) for f in (value.fget, value.fset, value.fdel)])
        if isinstance(value, type):
            return self._class(value)
        if not own_classes(kind) or not kind.__dictoffset__ or "__slots__" in vars(kind):
            return value
        cls = self.of(kind)
        if cls is kind:
            return value
        try:
            copy = self._put(value, object.__new__(cls))
            object.__setattr__(copy, "__dict__", value.__dict__)
        except (TypeError, AttributeError):
            return self._put(value, value)
        return copy

    def _class(self, cls: type) -> Any:
        """A subclass whose methods are copies, and which hands out stand-ins for attributes."""
        if _is_left(cls.__module__) or issubclass(cls, (enum.Enum, BaseException)):
            return cls
        copies = self

        def __getattribute__(self: Any, name: str) -> Any:
            found = object.__getattribute__(self, name)
            if name[:2] == "__" or type(found) is types.MethodType:
                return found
            return copies.of(found, f"self.{name}")

        entries: dict[str, Any] = {"__module__": cls.__module__, "__qualname__": cls.__qualname__}
        if cls.__getattribute__ is object.__getattribute__:
            entries["__getattribute__"] = __getattribute__
        entries["__slots__"] = ()
        # What super() finds next is to be a copy as well.
        bases = [base for base in map(self.of, cls.__bases__) if isinstance(base, _Standing)]
        metas = {_Standing, type(cls), *map(type, bases)}
        least = [m for m in metas if not any(m in n.__mro__[1:] for n in metas)]
        least.sort(key=lambda m: not issubclass(m, _Standing))
        try:
            meta = least[0] if len(least) == 1 else type("_Standing", tuple(least), {})
            made = self._put(cls, meta(cls.__name__, (*bases, cls), entries))
        except TypeError:
            return cls
        for name, entry in vars(cls).items():
            if type(entry) in _METHODS and name not in _OF_CLASSES:
                setattr(made, name, self.of(entry, name))
        if hasattr(made, "__abstractmethods__"):
            made.__abstractmethods__ = cls.__abstractmethods__  # type: ignore[attr-defined]
        made.stands_for = cls
        return made


class _Standing(type):
    """The class of a class that stands for a user's: instances of the real one are its own."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, getattr(cls, "stands_for", ()))

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, getattr(cls, "stands_for", ()))


class _Module(types.ModuleType):
    """A user's module, with stand-ins for what it holds."""

    def __init__(self, copies: Copies, real: types.ModuleType) -> None:
        super().__init__(real.__name__, real.__doc__)
        self.__dict__.update({"_difflab_copies": copies, "_difflab_real": real})

    def __getattr__(self, name: str) -> Any:
        return self._difflab_copies.of(getattr(self._difflab_real, name), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._difflab_real, name, value)


def _names_of_classes(code: types.CodeType) -> list[str]:
    """The names that bodies of classes in a function use, for which Python asks no `Scope`."""
    inner = [const for const in code.co_consts if type(const) is types.CodeType]
    found = [name for one in inner for name in _names_of_classes(one)]
    return found if code.co_flags & inspect.CO_OPTIMIZED else [*found, *code.co_names]


def _evaluated(
    function: Any, source: Any, scope: Any = None, names: Any = None, **more: Any
) -> Any:
    """``eval`` and ``exec``, which do not ask a `Scope` for names either."""
    frame = sys._getframe(1)
    names = frame.f_locals if scope is None and names is None else names
    scope = frame.f_globals if scope is None else scope
    if type(scope) is Scope:
        names = ChainMap({} if names is None else names, scope)
    return function(source, scope, names, **more)


def _is_left(module: str | None) -> bool:
    """Whether functions of a module are left as they are: Python's own, NumPy's and difflab's.

    SciPy's Python code is copied like the user's.
    """
    name = module or ""
    return is_library_module(name) and not name.startswith("scipy")
