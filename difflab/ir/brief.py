"""Objects in one line: what a prompt, a list or a debugger shows of them.

What flows: an object's fields, a function or numbers become a few words. The invariant: a line has
no breaks and is at most `WIDTH` long, however large the object is.

>>> one_line("<check of a_function_with_a_name: correct>", 30)
'<check of a_function_with...>'
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable
from typing import Any, Final

WIDTH: Final = 100
SHOWN: Final = 3
"""Numbers that stand for many."""


def one_line(text: str, width: int = WIDTH) -> str:
    """A text in one line; of a longer one the beginning, and the bracket that closes it."""
    words = " ".join(text.split())
    end = words[-1] if words[-1:] in (">", ")") else ""
    return words if len(words) <= width else f"{words[: width - 3 - len(end)]}...{end}"


def few(numbers: Iterable[Any]) -> str:
    """A few numbers with all their digits; the first of more in short, and how many they are.

    >>> few([0.1 + 0.2]), few([1.0, 2.0]), few(range(50))
    ('0.30000000000000004', '[1.0, 2.0]', '[0, 1, 2, ... 50 in all]')
    """
    known = list(numbers)
    if len(known) <= SHOWN:
        texts = [str(x) for x in known]
        return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    return f"[{', '.join(f'{x:.6g}' for x in known[:SHOWN])}, ... {len(known)} in all]"


def name_of(f: Any) -> str:
    """What a function is called, or what has no name of its own.

    >>> import functools
    >>> name_of(len), name_of(functools.partial(len)), name_of("a text")
    ('len', 'partial of len', 'str')
    """
    if isinstance(f, functools.partial):
        return f"partial of {name_of(f.func)}"
    return str(getattr(f, "__name__", type(f).__name__)).strip("<>")


def brief(value: Any) -> str:
    """A value object, a dataclass, by those of its options that are not the usual ones.

    >>> from difflab import Numerical
    >>> Numerical(), Numerical("forward", 1)
    (Numerical(), Numerical(stencil='forward', order=1))
    """
    usual = {x.name: repr(x.default) for x in dataclasses.fields(value) if x.repr}
    given = {name: repr(getattr(value, name)) for name in usual}
    told = [f"{name}={text}" for name, text in given.items() if text != usual[name]]
    return one_line(f"{type(value).__name__}({', '.join(told)})")
