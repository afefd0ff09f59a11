"""The ways from a function to arrays that it reads.

What flows: roots (a function and the static objects of its call) and arrays come in, and it is
found which objects lead to the arrays. Where a copy of the function finds something else in the
place of each, the graph follows the arrays, whatever they hold. The invariant: where one way to an
array leads through an object of which there is no copy (a class, C code's), that is said, because
the function would read the array itself as well.

>>> import numpy as np
>>> C = np.ones(3)
>>> Ways((lambda w: C.sum() * w,), [C]).are_known([])
True
"""

from __future__ import annotations

import functools
import types
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from difflab.tracing.captures.guards import is_empty
from difflab.tracing.captures.names import facts


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


class Ways:
    """Which objects lead from roots to arrays; `found` holds their ids."""

    def __init__(self, roots: Sequence[Any], arrays: Iterable[Any]) -> None:
        self.arrays = {id(array) for array in arrays}
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
        reached = [array for array in self.arrays if array in seen]
        while reached:
            here = reached.pop()
            if here not in found:
                found.add(here)
                reached += leads_here.get(here, ())
        return found, seen

    def are_known(self, read: Sequence[Any]) -> bool:
        """Whether nothing that is read leads to an array, but for what leads there from the
        roots.
        """
        if not self.found.issuperset(self.arrays):
            return False
        for o in read:
            if isinstance(o, (type, types.ModuleType)):
                if any(id(value) in self.arrays for value in vars(o).values()):
                    return False
            elif id(o) not in self.seen and self._leading([o])[0] - self.arrays:
                return False
        return True

    def lead_through(self, objects: Iterable[Any]) -> bool:
        """Whether one of these objects leads to an array."""
        return not self.found.isdisjoint(map(id, objects))
