"""What a spelling is: NumPy's own header, and what the function means on nodes.

What flows: ``@spells(np.sum, refuses="out where initial")`` marks a function that is written with
nothing but the parameters that it supports. A call that gives no others goes straight to it; any
other call is bound as NumPy binds it, and a refused parameter at another value than its default is
refused by name. Marks are gathered into `SPELLINGS` in one place, `difflab.spellings`.
"""

from __future__ import annotations

import functools
import inspect
import itertools
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

_OPTIONS_OF_UFUNCS: dict[str, Any] = {
    "casting": "same_kind", "order": "K", "dtype": None, "subok": True, "signature": None,
}  # fmt: skip
_ALONG_AXES: dict[str, Any] = {"axes": None, "axis": None, "keepdims": False}
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

    functions: tuple[Any, ...]
    refuses: tuple[str, ...]
    ignores: tuple[str, ...]


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

    def __init__(
        self, function: Any, meaning: Callable[..., Any], refuses: Sequence[str] = (),
        ignores: Sequence[str] = (), source: str = "",
    ) -> None:  # fmt: skip
        self.function = function
        self.meaning = meaning
        self.stated = refuses
        self.ignores = ignores
        self.source = source or f"{meaning.__module__}.{meaning.__name__}"

    def __repr__(self) -> str:
        return self.source

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if len(args) <= self.leading and (not kwargs or kwargs.keys() <= self.named):
            return self.meaning(*args, **kwargs)
        return self._bound(args, kwargs)

    # Read when a function is first called: reading 250 headers would slow down the import.

    @functools.cached_property
    def header(self) -> Mapping[str, Parameter]:
        """The parameters of NumPy's own function."""
        return self.signature.parameters

    @functools.cached_property
    def signature(self) -> Signature:
        """NumPy's own signature; older versions tell none of ufuncs and of functions in C."""
        if isinstance(self.function, np.ufunc):
            return Signature(list(_parameters_of_ufunc(self.function)))
        try:
            return inspect.signature(self.function)
        except ValueError:
            lacking = [name for name in (*self.stated, *self.ignores) if name not in self.own]
            others = [Parameter(name, Parameter.KEYWORD_ONLY, default=None) for name in lacking]
            return Signature(sorted([*self.own.values(), *others], key=lambda p: p.kind))

    @functools.cached_property
    def own(self) -> Mapping[str, Parameter]:
        """The parameters of the meaning."""
        return inspect.signature(self.meaning).parameters

    @functools.cached_property
    def refuses(self) -> frozenset[str]:
        """The parameters that are refused: what is stated, and a ufunc's options."""
        if not isinstance(self.function, np.ufunc):
            return frozenset(self.stated)
        options = list(self.header)[self.function.nin :]
        return frozenset(name for name in options if name not in self.own)

    @functools.cached_property
    def leading(self) -> int:
        """How many of NumPy's positional parameters are the meaning's own, in NumPy's order."""
        own = [p for p in self.own.values() if p.kind <= Parameter.POSITIONAL_OR_KEYWORD]
        rest = _any(self.own, Parameter.VAR_POSITIONAL)
        for count, theirs in enumerate(self.header.values()):
            if theirs.kind is Parameter.VAR_POSITIONAL:
                return sys.maxsize if rest else count
            if theirs.kind > Parameter.POSITIONAL_OR_KEYWORD:
                return count
            mine = own[count].name if count < len(own) else theirs.name if rest else None
            if theirs.kind is not Parameter.POSITIONAL_ONLY and mine != theirs.name:
                return count
            if mine is None:
                return count
        return len(self.header)

    @functools.cached_property
    def named(self) -> frozenset[str]:
        """The parameters that are handed on by name."""
        byname = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
        own = {name for name, p in self.own.items() if p.kind in byname}
        if any(p.kind is Parameter.VAR_KEYWORD for p in self.header.values()):
            return frozenset(
                n for n in own if n not in self.header or self.header[n].kind in byname
            )
        return frozenset(n for n in own if n in self.header and self.header[n].kind in byname)

    def _bound(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """A call bound as NumPy binds it."""
        try:
            arguments = self.signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise TypeError(f"{self.function.__name__}() {error}") from None
        names = list(self.header)
        positional: list[Any] = []
        named: dict[str, Any] = {}
        anything = _any(self.own, Parameter.VAR_KEYWORD)
        for name, value in arguments.items():
            theirs = self.header[name]
            if theirs.kind is Parameter.VAR_POSITIONAL:
                positional += value
            elif theirs.kind is Parameter.VAR_KEYWORD:
                for inner, each in value.items():
                    if anything or inner in self.named:
                        named[inner] = each
                    elif inner not in self.ignores:
                        raise self.refusal(inner)
            elif len(positional) < self.leading and names[len(positional)] == name:
                positional.append(value)
            elif name in self.named:
                named[name] = value
            elif name not in self.ignores and not _equal(value, theirs.default):
                raise self.refusal(name)
        return self.meaning(*positional, **named)

    def refusal(self, option: str) -> UnsupportedError:
        """The error for an option that cannot be traced."""
        remedy = _INSTEAD.get(
            option, f"leave out {option}=, or spell it with other NumPy functions"
        )
        return UnsupportedError(
            f"{full_name(self.function)} with {option}= cannot be traced", remedy
        )


def _parameters_of_ufunc(ufunc: np.ufunc) -> Iterator[Parameter]:
    for name in ["x"] if ufunc.nin == 1 else [f"x{i + 1}" for i in range(ufunc.nin)]:
        yield Parameter(name, Parameter.POSITIONAL_ONLY)
    out = None if ufunc.nout == 1 else (None,) * ufunc.nout
    yield Parameter("out", Parameter.POSITIONAL_OR_KEYWORD, default=out)
    first = {"where": True} if ufunc.signature is None else _ALONG_AXES
    for name, default in {**first, **_OPTIONS_OF_UFUNCS}.items():
        yield Parameter(name, Parameter.KEYWORD_ONLY, default=default)


def _any(parameters: Mapping[str, Parameter], kind: Any) -> bool:
    return any(parameter.kind is kind for parameter in parameters.values())


def _equal(value: Any, default: Any) -> bool:
    """Whether a value is the default; an array never is."""
    alike = type(value) is type(default) and not isinstance(value, np.ndarray)
    return value is default or (alike and bool(value == default))


def of_row(function: Any, row: Primitive) -> Spelling:
    """A function that is a pointwise row's own."""

    def meaning(*values: Any) -> Expr:
        return pointwise(row, *values)

    return Spelling(function, meaning, source=repr(row))


def marked(rooms: Sequence[ModuleType]) -> Iterator[Spelling]:
    """The spellings that rooms hold: a marked function, once for each of its NumPy functions."""
    for room, meaning in itertools.chain.from_iterable(
        ((room, value) for value in vars(room).values()) for room in rooms
    ):
        if isinstance(meaning, FunctionType) and meaning.__module__ == room.__name__:
            mark = vars(meaning).get("spells")
            for function in mark.functions if mark else ():
                yield Spelling(function, meaning, mark.refuses, mark.ignores)
