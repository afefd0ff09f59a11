"""What stands for NumPy's functions and modules, and for math's, in the copy of a user's function.

What flows: a call comes in; in a thread that traces, traced arrays among the arguments, nested
lists of them, and arrays that are created are answered; anywhere else it goes straight to the real
function. The invariant: a stand-in says that it is what it stands for (its class, its name, its
equality, how it is pickled), and no name of any module is ever replaced.

>>> stand_in(np.sin) == np.sin, isinstance(stand_in(np.sin), np.ufunc), stand_in(np).pi
(True, True, 3.141592653589793)
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from difflab.ir.names import distribution_of, meaning_of
from difflab.tracing.arrays import Array, apply, here, holds_traced, ufunc_method
from difflab.tracing.names.mathematics import MATHEMATICS

_LEFT: Final = frozenset(
    """
    seterr geterr seterrcall geterrcall setbufsize getbufsize set_printoptions get_printoptions
    printoptions result_type can_cast promote_types min_scalar_type mintypecode common_type
    broadcast_shapes iterable issubdtype isdtype typename show_config show_runtime info test
    get_include save savez savez_compressed savetxt load loadtxt genfromtxt fromfile
    fromregex array2string array_repr array_str base_repr binary_repr format_float_positional
    format_float_scientific
    """.split()  # noqa: SIM905 (a list of words)
)
"""Functions that make no arrays of numbers."""
_FUNCTIONS: Final = (
    types.BuiltinFunctionType, types.FunctionType, types.MethodType, type(np.sum), np.ufunc,
)  # fmt: skip


class StandIn:
    """A function that answers for another one while its thread traces."""

    __slots__ = ("__weakref__", "_meaning", "real")

    def __init__(self, real: Any, meaning: Callable[..., Any] | None = None) -> None:
        self.real, self._meaning = real, meaning

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if here.home is None or here.aside:
            return self.real(*args, **kwargs)
        if self._meaning is None:
            return apply(self.real, args, kwargs)
        if holds_traced(args) or holds_traced(kwargs):
            return self._meaning(*args, **kwargs)
        return self.real(*args, **kwargs)

    @property
    def stands_for(self) -> Any:
        """The real function."""
        return self.real

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.real, name)
        if not isinstance(self.real, np.ufunc) or not callable(found) or name[:1] == "_":
            return found

        def method(*args: Any, **kwargs: Any) -> Any:
            if here.home is None or here.aside:
                return found(*args, **kwargs)
            return ufunc_method(self.real, name, args, kwargs)

        return method

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return type(self.real)

    def __eq__(self, other: object) -> bool:
        return self.real is (other.real if type(other) is StandIn else other)

    def __hash__(self) -> int:
        return hash(self.real)

    def __repr__(self) -> str:
        return repr(self.real)

    def __reduce__(self) -> Any:
        return _itself, (self.real,)


def _itself(real: Any) -> Any:
    return real


class Joining:
    """np.r_ and np.c_: joins what stands in brackets."""

    def __init__(self, real: Any) -> None:
        self.real = real

    def __getitem__(self, key: Any) -> Any:
        parts = key if isinstance(key, tuple) else (key,)
        if here.home is None or here.aside or not holds_traced(parts):
            return self.real[key]
        if any(isinstance(part, str) for part in parts):
            return self.real[key]
        made = [self.real[part] if isinstance(part, slice) else part for part in parts]
        if self.real is np.c_:
            return apply(
                np.column_stack, ([apply(np.array, (p,), {"ndmin": 1}) for p in made],), {}
            )
        return apply(np.concatenate, ([apply(np.array, (p,), {"ndmin": 1}) for p in made],), {})


class Vectorised:
    """np.vectorize: the function at each element, the results as an array."""

    def __init__(self, pyfunc: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self.pyfunc = pyfunc
        self.real = np.vectorize(pyfunc, *args, **kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        plain = here.home is None or here.aside or not (holds_traced(args) or holds_traced(kwargs))
        if plain or kwargs or self.real.signature or self.real.excluded:
            return self.real(*args, **kwargs)
        spread = apply(np.broadcast_arrays, args, {})
        flat = [apply(np.ravel, (x,), {}) for x in spread]
        found = [self.pyfunc(*values) for values in zip(*flat, strict=True)]
        if isinstance(found[0], tuple):
            return tuple([_shaped(part, spread[0].shape) for part in zip(*found, strict=True)])
        return _shaped(found, spread[0].shape)


def _shaped(values: Any, shape: tuple[int, ...]) -> Any:
    made = apply(np.reshape, (apply(np.array, ([*values],), {}), shape), {})
    return made if shape else made[()]


def _enumerated(array: Any) -> Iterator[Any]:
    """np.ndenumerate."""
    if type(array) is not Array:
        yield from np.ndenumerate(array)
        return
    for index in np.ndindex(*array.shape):
        yield index, array[index]


class Number(type):
    """The class of a class that stands for float, int or another kind of number, which converts."""

    stands_for: Any

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, cls.stands_for)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, cls.stands_for)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if len(args) == 1 and type(args[0]) is Array and not here.aside:
            return MATHEMATICS[cls.stands_for](args[0])
        if len(args) == 2 and cls.stands_for is complex and holds_traced(args):
            return args[0] + 1j * args[1]
        return cls.stands_for(*args, **kwargs)

    def __eq__(cls, other: object) -> bool:
        return other is cls.stands_for or other is cls

    def __hash__(cls) -> int:
        return hash(cls.stands_for)


def _number(kind: type) -> type:
    entries = {"dtype": np.dtype(kind), "stands_for": kind}
    return Number(kind.__name__, (kind,), entries)


NUMBERS: Final = {
    kind: _number(kind) for kind in (float, complex, np.float64, np.float32, np.int64)
}
"""Classes that convert numbers, by the real ones."""
_SPECIAL: Final[dict[int, Any]] = {
    id(np.r_): Joining(np.r_), id(np.c_): Joining(np.c_), id(np.vectorize): Vectorised,
    id(np.ndenumerate): _enumerated, **{id(kind): made for kind, made in NUMBERS.items()},
}  # fmt: skip


class Names(types.ModuleType):
    """A module whose functions are stood for."""

    def __init__(self, real: types.ModuleType) -> None:
        super().__init__(real.__name__, real.__doc__)
        self.__dict__["__difflab_real__"] = real

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.__difflab_real__, name)
        found = stand_in(value)
        if found is not value:
            self.__dict__[name] = found
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.__difflab_real__, name, value)

    def __dir__(self) -> list[str]:
        return dir(self.__difflab_real__)


_made: dict[int, tuple[Any, Any]] = {}


def stand_in(value: Any) -> Any:
    """What stands for a module, a function or a class of NumPy's or of math; others are themselves.

    The same for the same.
    """
    known = _made.get(id(value))
    if known is not None and known[0] is value:
        return known[1]
    found = _stand_in(value)
    if found is not value:
        _made[id(value)] = value, found
    return found


def _stand_in(value: Any) -> Any:
    kind = type(value)
    if id(value) in _SPECIAL:
        return _SPECIAL[id(value)]
    if kind is types.ModuleType:
        top = value.__name__.partition(".")[0]
        return (
            Names(value) if top in ("numpy", "math") and "random" not in value.__name__ else value
        )
    if kind in _FUNCTIONS:
        if value in MATHEMATICS:
            return StandIn(value, MATHEMATICS[value])
        if meaning_of(value) is not None:
            return StandIn(value, functools.partial(_by_name, value))
        if module_of(value).partition(".")[0] == "numpy" and value.__name__ not in _LEFT:
            return StandIn(value)
    if kind.__module__.startswith("scipy.stats."):
        for method in ("logpdf", "logpmf"):
            if distribution_of(getattr(value, method, None)) is not None:
                return Distribution(value)
    return value


def module_of(function: Any) -> str:
    """The module where a function was written, whatever `functools.wraps` says."""
    globals_ = getattr(function, "__globals__", {})
    named = globals_.get("__name__") or getattr(function, "__module__", None)
    return named or ("numpy" if type(function) is np.ufunc else "")


def _by_name(function: Any, *args: Any, **kwargs: Any) -> Any:
    return apply(function, args, kwargs)


class Distribution:
    """A distribution of scipy.stats, which may be frozen at traced parameters."""

    def __init__(self, real: Any, *args: Any, **kwargs: Any) -> None:
        self.real, self.args, self.kwargs = real, args, kwargs

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if holds_traced(args) or holds_traced(kwargs):
            return Distribution(self.real, *args, **kwargs)
        return stand_in(self.real(*args, **kwargs))

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.real, name)
        if not callable(found):
            return found
        return functools.partial(self._called, stand_in(found))

    def _called(self, method: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
        return method(x, *self.args, *args, **{**self.kwargs, **kwargs})
