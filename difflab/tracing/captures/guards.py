"""Places that were read, and whether they hold what they held.

A guard is a fact such as ``scope["W"] is W``. Many are compiled into one expression, about 45 ns
each; in a loop they cost three times as much. The invariant: a guard never runs code of the user's,
and what goes wrong in asking it means no.
"""

from __future__ import annotations

import collections
import functools
import operator
import types
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from typing import Any, Final, NamedTuple

from difflab.ir.contents import content, is_frozen, restore

Path = tuple[Any, ...]


class Missing:
    """The value of a place that holds nothing."""

    def __repr__(self) -> str:
        return "nothing"


MISSING: Final = Missing()


class Guard(NamedTuple):
    """A place that was read, and what it held; `path` says how the walk came there."""

    kind: str
    container: Any
    key: Any
    value: Any
    path: Path

    def holds(self) -> bool:
        """Whether the place holds the same."""
        try:
            return bool(_ASK[self.kind](self))
        except (KeyError, AttributeError, IndexError, ValueError, RuntimeError):
            return False

    @property
    def is_named(self) -> bool:
        """Whether code sets the place by its name, not as an entry of a container."""
        return self.kind in _NAMED

    def put_back(self) -> None:
        """Let the place hold the same again."""
        with suppress(KeyError, AttributeError, IndexError, ValueError, TypeError):
            _PUT_BACK[self.kind](self)


_NAMED: Final = frozenset(
    ("named", "absent", "class", "not in class", "cell", "empty cell", "attribute")
)


def pairs(values: Iterable[Any]) -> frozenset[tuple[type, Any]]:
    return frozenset([(type(v), v) for v in values])


_ASK: Final[dict[str, Callable[[Guard], Any]]] = {
    "item": lambda g: g.container[g.key] is g.value,
    "named": lambda g: g.container[g.key] is g.value,
    "absent": lambda g: g.key not in g.container,
    "class": lambda g: vars(g.container)[g.key] is g.value,
    "not in class": lambda g: g.key not in vars(g.container),
    "keys": lambda g: [*g.container] == g.value,
    "length": lambda g: len(g.container) == len(g.value),
    "cell": lambda g: g.container.cell_contents is g.value,
    "empty cell": lambda g: is_empty(g.container),
    "attribute": lambda g: getattr(g.container, g.key, MISSING) is g.value,
    "type": lambda g: type(g.container) is g.value,
    "reference": lambda g: g.container() is g.value,
    "set": lambda g: pairs(g.container) == pairs(g.value),
    "shape": lambda g: g.container.shape == g.value,
    "frozen": lambda g: is_frozen(g.container),
    "content": lambda g: content(g.container) == g.value,
}
"""What each kind of guard asks."""

_SOURCE: Final = {
    "item": "{a}[{k}] is {v}",
    "named": "{a}[{k}] is {v}",
    "absent": "{k} not in {a}",
    "class": "{a}[{k}] is {v}",
    "not in class": "{k} not in {a}",
    "keys": "[*{a}] == {v}",
    "length": "len({a}) == {n}",
    "cell": "{a}.cell_contents is {v}",
    "attribute": "getattr({a}, {k}, MISSING) is {v}",
    "type": "type({a}) is {v}",
    "reference": "{a}() is {v}",
    "shape": "{a}.shape == {v}",
    "bytes": "{a}.tobytes() == {v}",
}
"""The same as source, for the kinds that the compiled check asks itself."""


def is_empty(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018 (asks whether it is filled)
    except ValueError:
        return True
    return False


def _refill(g: Guard) -> None:
    if type(g.container) is list:
        g.container[:] = g.value
    elif isinstance(g.container, dict):
        _drop_new_keys(g)
    elif type(g.container) is collections.deque:
        g.container.clear()
        g.container.extend(g.value)


def _drop_new_keys(g: Guard) -> None:
    for key in [key for key in g.container if key not in g.value]:
        del g.container[key]


def _set_attribute(g: Guard) -> None:
    if g.value is MISSING:
        delattr(g.container, g.key)
    else:
        setattr(g.container, g.key, g.value)


def _refill_set(g: Guard) -> None:
    g.container.clear()
    g.container.update(g.value)


def _nothing(g: Guard) -> None:
    """What f cannot write."""


_PUT_BACK: Final[dict[str, Callable[[Guard], None]]] = {
    **dict.fromkeys(_ASK, _nothing),
    "item": lambda g: operator.setitem(g.container, g.key, g.value),
    "named": lambda g: operator.setitem(g.container, g.key, g.value),
    "absent": lambda g: operator.delitem(g.container, g.key),
    "class": lambda g: setattr(g.container, g.key, g.value),
    "not in class": lambda g: delattr(g.container, g.key),
    "keys": _drop_new_keys,
    "length": _refill,
    "cell": lambda g: setattr(g.container, "cell_contents", g.value),
    "attribute": _set_attribute,
    "set": _refill_set,
    "content": lambda g: restore(g.container, g.value),
}


def compiled_check(guards: Collection[Guard]) -> Callable[[], bool]:
    """One expression that asks all guards."""
    names: dict[str, Any] = {"MISSING": MISSING}
    parts = []

    def name(value: Any) -> str:
        names[f"c{len(names)}"] = value
        return f"c{len(names) - 1}"

    for guard in guards:
        kind = "bytes" if guard.kind == "content" and type(guard.value) is bytes else guard.kind
        template = _SOURCE.get(kind)
        if template is None:
            parts.append(f"{name(functools.partial(_ASK[guard.kind], guard))}()")
            continue
        container = vars(guard.container) if guard.kind in ("class", "not in class") else None
        key = repr(guard.key) if type(guard.key) in (str, int) else name(guard.key)
        size = len(guard.value) if guard.kind == "length" else 0
        held = name(guard.container if container is None else container)
        value = name(guard.value) if "{v}" in template else ""
        parts.append(template.format(a=held, k=key, v=value, n=size))
    lines = (
        "def check():",
        "    try:",
        f"        return {' and '.join(parts) or 'True'}",
        "    except (KeyError, AttributeError, IndexError, ValueError, RuntimeError):",
        "        return False",
    )
    exec(compile("\n".join(lines), "<difflab check>", "exec"), names)
    found: Callable[[], bool] = names["check"]
    return found
