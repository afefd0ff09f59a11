"""What a spelling is: NumPy's own header, and what the function means on nodes.

What flows: ``@spells(np.sum, refuses="out where initial")`` marks a function that is written with
nothing but the parameters that it supports. A call that gives no others goes straight to it; any
other call is bound as NumPy binds it, and a refused parameter at another value than its default is
refused by name. Marks are gathered into `SPELLINGS` in one place, `difflab.spellings`.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter, Signature
from types import FunctionType, ModuleType
from typing import Any, TypeVar

import numpy as np

from difflab.errors import UnsupportedError
from difflab.ir.build import pointwise
from difflab.ir.expr import Expr
from difflab.ir.protocols import full_name
from difflab.ir.row import Primitive

Meaning = TypeVar("Meaning", bound=Callable[..., Any])
NP: Any = np  # spellings call NumPy on nodes, which NumPy's stubs do not know

_OF_UFUNCS: dict[str, Any] = {
    "casting": "same_kind", "order": "K", "dtype": None, "subok": True, "signature": None,
}  # fmt: skip
_NO_VALUE = NP._NoValue  # what stands in headers for an option that is not given
_OF_STACKS: dict[str, Any] = {"axes": _NO_VALUE, "axis": _NO_VALUE, "keepdims": False}
_BY_NAME = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
_INSTEAD = {
    "out": "leave out out=, and use the result",
    "where": "leave out where=, and choose with np.where",
    "initial": "leave out initial=, and combine it with the result",
    "dtype": "leave out dtype=, and convert with x.astype",
    "casting": "leave out casting=, and convert with x.astype",
    "device": "leave out device=: there is one",
    "period": "leave out period=, and give np.interp the remainder x % period",
    "axes": "leave out axes=, and bring the axes in place with np.moveaxis",
}


@dataclass(frozen=True)
class Mark:
    """What a spelling is marked with: its functions, and the parameters that it does not take."""

    functions: tuple[Any, ...] = ()
    refuses: tuple[str, ...] = ()
    ignores: tuple[str, ...] = ()


def spells(*functions: Any, refuses: str = "", ignores: str = "") -> Callable[[Meaning], Meaning]:
    """The decorated function says what those NumPy functions mean on nodes.

    Parameters
    ----------
    functions
        NumPy's functions; None stands for one that an older NumPy lacks.
    refuses
        The parameters that cannot be traced at another value than their default.
    ignores
        The parameters that mean nothing for a traced array, whatever their value.
    """

    def mark(meaning: Meaning) -> Meaning:
        present = tuple(function for function in functions if function is not None)
        vars(meaning)["spells"] = Mark(present, tuple(refuses.split()), tuple(ignores.split()))
        return meaning

    return mark


class Spelling:
    """A NumPy function on nodes: called as NumPy's own is, whatever its meaning takes."""

    def __init__(self, function: Any, meaning: Any, mark: Mark, source: str = "") -> None:
        self.function = function
        self.meaning = meaning
        self.mark = mark
        line = meaning.__code__.co_firstlineno
        self.source = source or f"{meaning.__name__} (line {line} of {meaning.__module__})"

    def __repr__(self) -> str:
        return self.source

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if len(args) <= self.leading and (not kwargs or kwargs.keys() <= self.named):
            return self.meaning(*args, **kwargs)
        return self._bound(args, kwargs)

    # Read when a function is first called: reading 250 headers would slow down the import.

    @functools.cached_property
    def own(self) -> Mapping[str, Parameter]:
        """The parameters of the meaning."""
        return inspect.signature(self.meaning).parameters

    @functools.cached_property
    def signature(self) -> Signature:
        """NumPy's own signature; older versions tell none of ufuncs and of functions in C."""
        if isinstance(self.function, np.ufunc):
            return Signature(list(_parameters_of_ufunc(self.function)))
        try:
            return inspect.signature(self.function)
        except ValueError:
            names = [n for n in (*self.mark.refuses, *self.mark.ignores) if n not in self.own]
            options = [Parameter(name, Parameter.KEYWORD_ONLY, default=None) for name in names]
            return Signature(sorted([*self.own.values(), *options], key=lambda p: p.kind))

    @functools.cached_property
    def header(self) -> Mapping[str, Parameter]:
        """The parameters of NumPy's own function."""
        return self.signature.parameters

    @functools.cached_property
    def leading(self) -> int:
        """How many of NumPy's positional parameters are the meaning's own, in NumPy's order."""
        own = [p.name for p in self.own.values() if p.kind <= Parameter.POSITIONAL_OR_KEYWORD]
        rest = _any(self.own, Parameter.VAR_POSITIONAL)
        count = 0
        for name, theirs in self.header.items():
            if theirs.kind is Parameter.POSITIONAL_ONLY:
                taken = rest or count < len(own)
            elif theirs.kind is Parameter.POSITIONAL_OR_KEYWORD:
                required = rest and theirs.default is Parameter.empty
                taken = required or own[count : count + 1] == [name]
            else:
                return sys.maxsize if rest and theirs.kind is Parameter.VAR_POSITIONAL else count
            if not taken:
                return count
            count += 1
        return count

    @functools.cached_property
    def named(self) -> frozenset[str]:
        """The parameters that are handed on by name."""
        own, theirs = (
            {name for name, p in parameters.items() if p.kind in _BY_NAME}
            for parameters in (self.own, self.header)
        )
        others = own - self.header.keys() if _any(self.header, Parameter.VAR_KEYWORD) else ()
        return frozenset(own & theirs | {*others})

    @functools.cached_property
    def refuses(self) -> frozenset[str]:
        """The parameters that are refused: what is stated, and options of ufuncs and of rows."""
        if self.mark.functions and not isinstance(self.function, np.ufunc):
            return frozenset(self.mark.refuses)
        return frozenset(list(self.header)[self.leading :]) - self.named

    def _bound(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """A call bound as NumPy binds it; a parameter that the meaning lacks is refused."""
        try:
            arguments = self.signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise TypeError(f"{self.function.__name__}() {error}") from None
        leading = [n for n, p in self.header.items() if p.kind <= Parameter.POSITIONAL_OR_KEYWORD]
        leading = leading[: self.leading]
        anything = _any(self.own, Parameter.VAR_KEYWORD)
        positional: list[Any] = []
        named: dict[str, Any] = {}
        for name, value in arguments.items():
            theirs = self.header[name]
            if value is _NO_VALUE:
                continue
            if theirs.kind is Parameter.VAR_POSITIONAL:
                positional += value
            elif theirs.kind is Parameter.VAR_KEYWORD and anything:
                named |= value
            elif theirs.kind is Parameter.VAR_KEYWORD:
                named |= {option: v for option, v in value.items() if self._takes(option, v, None)}
            elif leading[len(positional) : len(positional) + 1] == [name]:
                positional.append(value)
            elif self._takes(name, value, theirs.default):
                named[name] = value
        return self.meaning(*positional, **named)

    def _takes(self, option: str, value: Any, default: Any) -> bool:
        """Whether the meaning takes an option; if not, it must be ignored or at its default."""
        taken = option in self.named
        if not taken and option not in self.mark.ignores and not _equal(value, default):
            raise UnsupportedError(
                f"{full_name(self.function)} with {option}= cannot be traced",
                _INSTEAD.get(option, f"leave out {option}=, or use other NumPy functions"),
            )
        return taken


def _any(parameters: Mapping[str, Parameter], kind: Any) -> bool:
    return any(parameter.kind is kind for parameter in parameters.values())


def _equal(value: Any, default: Any) -> bool:
    """Whether a value is the default; an array never is."""
    alike = type(value) is type(default) and not isinstance(value, np.ndarray)
    return value is default or (alike and bool(value == default))


def _parameters_of_ufunc(ufunc: np.ufunc) -> Iterator[Parameter]:
    for name in ["x"] if ufunc.nin == 1 else [f"x{i + 1}" for i in range(ufunc.nin)]:
        yield Parameter(name, Parameter.POSITIONAL_ONLY)
    out = None if ufunc.nout == 1 else (None,) * ufunc.nout
    yield Parameter("out", Parameter.POSITIONAL_OR_KEYWORD, default=out)
    first = {"where": True} if ufunc.signature is None else _OF_STACKS
    for name, default in {**first, **_OF_UFUNCS}.items():
        yield Parameter(name, Parameter.KEYWORD_ONLY, default=default)


def of_row(function: Any, row: Primitive) -> Spelling:
    """A function that is a pointwise row's own."""

    def meaning(*values: Any) -> Expr:
        return pointwise(row, *values)

    return Spelling(function, meaning, Mark(), source=repr(row))


def marked(room: ModuleType) -> Iterator[Spelling]:
    """The spellings of a room: what is defined and marked there, as each of NumPy's functions."""
    functions = [value for value in vars(room).values() if isinstance(value, FunctionType)]
    own = [function for function in functions if function.__module__ == room.__name__]
    for meaning in (*own, *vars(room).get("IN_A_LINE", ())):
        mark = vars(meaning).get("spells", Mark())
        for function in mark.functions:
            yield Spelling(function, meaning, mark)
