"""What a library's function is called, without importing the library.

SciPy is an import that a user may not have, and that difflab does not need: its functions are told
by their names in the modules that the user has imported, and spelt by these names.

>>> import math
>>> named(math.gamma), named(print)
('math.gamma', None)
"""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

BY_NAME: dict[str, Callable[[Any], Callable[..., Any]]] = {}
"""For each name what gives, for the function itself, its meaning on nodes; `difflab.spellings`
fills it.
"""


def named(function: Any) -> str | None:
    """The public name of a function of SciPy or `math`: a ufunc, a Python function, or a method of
    a distribution, frozen or not; None for any other.
    """
    name = getattr(function, "__name__", None)
    if not isinstance(name, str):
        return None
    law: Any = distribution_of(function)
    if law is not None:
        called = getattr(law, "name", None)
        if not isinstance(called, str):
            called = type(law).__name__.removesuffix("_gen")
        own = type(getattr(sys.modules.get("scipy.stats"), called, None)) is type(law)
        return f"scipy.stats.{called}.{name}" if own else None
    module = getattr(function, "__module__", None) or ""
    if isinstance(function, np.ufunc):
        module = "scipy.special"
    elif module.partition(".")[0] not in ("scipy", "math"):
        return None
    module = re.sub(r"\._.*", "", module)
    public = getattr(sys.modules.get(module), name, None)
    return f"{module}.{name}" if public is function else None


def distribution_of(method: Any) -> Any:
    """The distribution of SciPy whose method it is, also of a frozen one; None for others."""
    owner = getattr(method, "__self__", None)
    if owner is None or not type(owner).__module__.startswith("scipy.stats."):
        return None
    return getattr(owner, "dist", owner)


def meaning_of(function: Any) -> Callable[..., Any] | None:
    """What a function that is spelt by its name means on nodes; None for any other."""
    name = named(function)
    entry = None if name is None else BY_NAME.get(name)
    return None if entry is None else entry(function)


def frozen(meaning: Callable[..., Any], method: Any) -> Callable[..., Any]:
    """The meaning of a distribution's method, with the parameters that were frozen."""
    owner = method.__self__
    if not hasattr(owner, "dist"):
        return meaning
    return functools.partial(_with_parameters, meaning, owner)


def _with_parameters(meaning: Callable[..., Any], owner: Any, x: Any) -> Any:
    return meaning(x, *owner.args, **owner.kwds)
