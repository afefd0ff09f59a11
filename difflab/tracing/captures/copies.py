"""A function as it is, but for some arrays that it reads: these are traced values in the copy.

What flows: roots (a function and the static objects of its call) and replacements for arrays come
in; roots come out in which every object on the way to such an array is a copy. So what a function
makes of an array it reads (``np.sqrt(C)``, ``C[0]``) is in the graph, and follows the array. The
invariants: nothing of the user's is changed, and no other thread sees a copy; where one way to an
array leads through an object that cannot be copied (a class, a module, C code's) there is no such
function, because it would read the array itself as well.

>>> import numpy as np
>>> C = np.ones(3)
>>> f = lambda w: C.sum() * w
>>> (copy,) = with_arrays_replaced((f,), {id(C): np.zeros(3)})
>>> print(f(2.0), copy(2.0))
6.0 0.0
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from difflab.tracing.captures.guards import is_empty
from difflab.tracing.captures.names import facts


class NotCopied(Exception):
    """An object on the way to an array cannot be copied."""


def with_arrays_replaced(
    roots: tuple[Any, ...], replaced: Mapping[int, Any], read: Sequence[Any] = ()
) -> tuple[Any, ...] | None:
    """The roots with some arrays, by their ids, replaced; None where that cannot be done.

    `read` are all objects that the function reads, however it comes to them.
    """
    copy = _Copy(roots, replaced)
    if not (copy.found.issuperset(replaced) and copy.knows_every_way(read)):
        return None
    try:
        return tuple([copy.of(root) for root in roots])
    except (NotCopied, AttributeError, TypeError, RecursionError):
        return None


def _is_plain(kind: type) -> bool:
    """Whether instances are made by `object`, and hold what they hold in a dict alone."""
    own = [vars(cls) for cls in kind.__mro__[:-1]]
    return bool(kind.__dictoffset__) and not any(
        "__new__" in names or "__slots__" in names for names in own
    )


def _parts(o: Any) -> Iterator[Any]:
    """What an object leads to, of the kinds that can be copied."""
    kind = type(o)
    if kind is types.FunctionType:
        yield from [c.cell_contents for c in o.__closure__ or () if not is_empty(c)]
        yield from o.__defaults__ or ()
        yield from (o.__kwdefaults__ or {}).values()
        scope = o.__globals__
        yield from [scope[name] for name in facts(o.__code__).scope if name in scope]
    elif kind is types.MethodType:
        yield from (o.__func__, o.__self__)
    elif kind is functools.partial:
        yield from (o.func, o.args, o.keywords)
    elif kind in (list, tuple):
        yield from o
    elif kind is dict:
        yield from o.values()
    elif kind is types.SimpleNamespace or _is_plain(kind):
        yield from [*vars(o).values(), kind.__call__] if callable(o) else vars(o).values()


class _Copy:
    """The copies made so far; `found` holds all objects that lead to an array, by their ids."""

    def __init__(self, roots: tuple[Any, ...], replaced: Mapping[int, Any]) -> None:
        self.replaced = replaced
        self.made: dict[int, Any] = dict(replaced)
        self.scopes: dict[int, dict[str, Any]] = {}
        self.found, self.seen = self._leading(roots)

    def _leading(self, sources: Sequence[Any]) -> tuple[set[int], set[int]]:
        """What leads from the sources to an array, and all that was met."""
        leads_here: dict[int, set[int]] = {}
        seen: set[int] = set()
        todo = [*sources]
        while todo:
            o = todo.pop()
            if id(o) not in seen:
                seen.add(id(o))
                for part in _parts(o):
                    leads_here.setdefault(id(part), set()).add(id(o))
                    todo.append(part)
        found: set[int] = set()
        reached = [array for array in self.replaced if array in seen]
        while reached:
            here = reached.pop()
            if here not in found:
                found.add(here)
                reached += leads_here.get(here, ())
        return found, seen

    def knows_every_way(self, read: Sequence[Any]) -> bool:
        """Whether nothing that is read leads to an array, but for what leads there from the
        roots.
        """
        for o in read:
            if isinstance(o, (type, types.ModuleType)):
                if any(id(value) in self.replaced for value in vars(o).values()):
                    return False
            elif id(o) not in self.seen and self._leading([o])[0] - self.replaced.keys():
                return False
        return True

    def of(self, o: Any) -> Any:
        """The object, or its copy if it leads to an array."""
        if id(o) not in self.found:
            return o
        if id(o) in self.made:
            return self.made[id(o)]
        kind = type(o)
        if kind is types.FunctionType:
            return self._function(o)
        if kind is types.MethodType:
            return self._put(o, types.MethodType(self.of(o.__func__), self.of(o.__self__)))
        if kind is functools.partial:
            keywords = {name: self.of(value) for name, value in o.keywords.items()}
            args = [self.of(arg) for arg in o.args]
            return self._put(o, functools.partial(self.of(o.func), *args, **keywords))
        if kind is tuple:
            return self._put(o, tuple([self.of(part) for part in o]))
        if kind is list:
            parts = self._put(o, [])
            parts += [self.of(part) for part in o]
            return parts
        if kind is dict:
            entries = self._put(o, {})
            entries.update({key: self.of(value) for key, value in o.items()})
            return entries
        if kind is types.SimpleNamespace or _is_plain(kind):
            if callable(o) and id(kind.__call__) in self.found:
                raise NotCopied  # the way leads through its class
            copy = self._put(o, kind() if kind is types.SimpleNamespace else object.__new__(kind))
            vars(copy).update({name: self.of(value) for name, value in vars(o).items()})
            return copy
        raise NotCopied

    def _put(self, o: Any, copy: Any) -> Any:
        self.made[id(o)] = copy
        return copy

    def _function(self, f: types.FunctionType) -> Callable[..., Any]:
        cells = f.__closure__ or ()
        led = [not is_empty(cell) and id(cell.cell_contents) in self.found for cell in cells]
        new = tuple([types.CellType() if leads else c for c, leads in zip(cells, led, strict=True)])
        scope = self._scope(f)
        copy = types.FunctionType(f.__code__, scope, f.__name__, None, new)
        self._put(f, copy)
        copy.__dict__.update(f.__dict__)
        for cell, old, leads in zip(new, cells, led, strict=True):
            if leads:
                cell.cell_contents = self.of(old.cell_contents)
        if f.__defaults__ is not None:
            copy.__defaults__ = tuple([self.of(value) for value in f.__defaults__])
        if f.__kwdefaults__ is not None:
            copy.__kwdefaults__ = {k: self.of(value) for k, value in f.__kwdefaults__.items()}
        for name in facts(f.__code__).scope:
            if name in f.__globals__ and id(f.__globals__[name]) in self.found:
                scope[name] = self.of(f.__globals__[name])
        return copy

    def _scope(self, f: types.FunctionType) -> dict[str, Any]:
        """The globals of a function: a copy, one for all functions of a module, if one of them
        leads to an array.
        """
        real = f.__globals__
        names = facts(f.__code__).scope
        if not any(name in real and id(real[name]) in self.found for name in names):
            return real
        return self.scopes.setdefault(id(real), dict(real))
