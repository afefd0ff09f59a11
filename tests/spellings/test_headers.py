"""Laws x spellings: each parameter of NumPy's own is supported, refused by name, or ignored."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from inspect import Parameter
from typing import Any

import numpy as np
import pytest

from difflab.errors import InvariantError, UnsupportedError
from difflab.ir.expr import Expr
from difflab.ir.pair import Pair
from difflab.ir.protocols import REMEDIES, SPELLINGS, TracedArray, full_name, refuse, spell
from difflab.spellings.spelling import Spelling
from difflab.tracing.arrays.array import MEANINGS
from difflab.tracing.trace import trace

from . import numpy_cases_arrays
from .numpy_cases import CASES, A, plain

assert numpy_cases_arrays
ALL = [spelling for spelling in SPELLINGS.values() if isinstance(spelling, Spelling)]
NO_VALUE: Any = np._NoValue
OPEN = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


def _told() -> bool:
    try:
        inspect.signature(np.sin)
    except ValueError:
        return False
    return True


current = pytest.mark.skipif(not _told(), reason="headers are stated as NumPy has them since 2.4")
every_spelling = pytest.mark.parametrize("spelling", ALL, ids=lambda s: full_name(s.function))


def _open(parameters: Any, kind: Any) -> bool:
    return any(p.kind is kind for p in parameters.values())


def _leading(spelling: Spelling) -> list[str]:
    """NumPy's positional parameters that the spelling takes in NumPy's order."""
    positional = [
        n for n, p in spelling.header.items() if p.kind <= Parameter.POSITIONAL_OR_KEYWORD
    ]
    return positional[: spelling.leading]


def _supported(spelling: Spelling) -> dict[str, Parameter]:
    """NumPy's parameters that the spelling takes, each with the spelling's own beside it."""
    own = [p for p in spelling.own.values() if p.kind not in OPEN]
    found = dict(zip(_leading(spelling), own, strict=False))
    return found | {name: spelling.own[name] for name in spelling.named}


@current
@every_spelling
def test_each_parameter_is_supported_refused_or_ignored(spelling: Spelling) -> None:
    header, own = spelling.header, spelling.own
    supported = {*_leading(spelling), *spelling.named}
    ignored = {*spelling.mark.ignores}
    for name, parameter in header.items():
        if parameter.kind is Parameter.VAR_POSITIONAL:
            assert _open(own, parameter.kind)
        elif parameter.kind is not Parameter.VAR_KEYWORD:
            assert sum(name in part for part in (supported, spelling.refuses, ignored)) == 1
    unknown = (supported | spelling.refuses | ignored) - header.keys()
    assert not unknown or _open(header, Parameter.VAR_KEYWORD)
    taken = {parameter.name for parameter in _supported(spelling).values()}
    assert {name for name, p in own.items() if p.kind not in OPEN} == taken


@current
@every_spelling
def test_defaults_are_those_of_numpy(spelling: Spelling) -> None:
    for name, own in _supported(spelling).items():
        theirs = spelling.header.get(name)
        if theirs is not None and theirs.default is not NO_VALUE:
            assert own.default == theirs.default


@current
@pytest.mark.parametrize("ufunc", [f for f in SPELLINGS if isinstance(f, np.ufunc)])
def test_headers_of_ufuncs(ufunc: np.ufunc) -> None:
    signature = inspect.signature(ufunc)
    stated = SPELLINGS[ufunc].header  # type: ignore[attr-defined]
    assert [(p.name, p.kind) for p in stated.values()] == [
        (p.name, p.kind) for p in signature.parameters.values()
    ]
    for name, parameter in signature.parameters.items():
        assert parameter.default in (stated[name].default, NO_VALUE)


# -- calls -----------------------------------------------------------------------------------------


def _identical(found: Any, wanted: Any) -> bool:
    if type(found) is Expr or type(wanted) is Expr:
        return found is wanted
    if type(wanted) is Pair:
        return wanted.re is found.re and wanted.im is found.im
    if isinstance(wanted, (tuple, list)):
        return len(found) == len(wanted) and all(map(_identical, found, wanted))
    return np.array_equal(np.asarray(found), np.asarray(wanted))


def _with_defaults(spelling: Spelling, args: Any, kwargs: Any) -> list[Any]:
    """The positional arguments of a call, filled up by the defaults."""
    filled = list(args)
    for name, theirs in list(spelling.header.items())[len(args) :]:
        if theirs.kind > Parameter.POSITIONAL_OR_KEYWORD:
            break
        own = spelling.own.get(name)
        default = own.default if theirs.default is NO_VALUE and own else theirs.default
        filled.append(kwargs.get(name, default))
    return filled


class Held:
    """In place of a spelling: each call is held against the same call in other words."""

    def __init__(self, spelling: Spelling) -> None:
        self.spelling = spelling
        self.calls: list[Any] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        spelling = self.spelling
        wanted = spelling(*args, **kwargs)
        free = {*spelling.named, *spelling.refuses, *spelling.mark.ignores} - kwargs.keys()
        free -= {*_leading(spelling)[: len(args)]}
        if not _open(spelling.header, Parameter.VAR_KEYWORD):
            free &= spelling.header.keys()
        by_name = {
            name: p
            for name, p in (*spelling.own.items(), *spelling.header.items())
            if name in free and p.default not in (NO_VALUE, Parameter.empty)
        }
        for name, parameter in by_name.items():
            assert _identical(spelling(*args, **kwargs, **{name: parameter.default}), wanted), name
        for name in free & {*spelling.mark.ignores}:
            assert _identical(spelling(*args, **kwargs, **{name: object()}), wanted), name
        self.calls.append((args, kwargs, free & spelling.refuses))
        if not _open(spelling.header, Parameter.VAR_POSITIONAL):
            filled = _with_defaults(spelling, args, kwargs)
            names = list(spelling.header)[: len(filled)]
            rest = {name: value for name, value in kwargs.items() if name not in names}
            assert _identical(spelling(*filled, **rest), wanted)
            with pytest.raises(TypeError, match="too many positional"):
                spelling(*filled, *[None] * 9, **rest)
        if not _open(spelling.header, Parameter.VAR_KEYWORD):
            with pytest.raises(TypeError, match="unexpected keyword argument 'unknown'"):
                spelling(*args, **kwargs, unknown=1)
        return wanted


def _call(function: Any) -> tuple[Callable[..., Any], tuple[Any, ...]] | None:
    if CASES.get(function):
        return CASES[function][0].call, CASES[function][0].args
    found = [call for known, call in plain() if known is function]
    return ((lambda x: (found[0](x), x)[1]), (A,)) if found else None


@every_spelling
def test_options(spelling: Spelling, monkeypatch: pytest.MonkeyPatch) -> None:
    called = _call(spelling.function)
    if called is None:
        assert all(p.default is Parameter.empty for p in spelling.header.values())
        return
    held = Held(spelling)
    monkeypatch.setitem(SPELLINGS, spelling.function, held)
    with np.errstate(all="ignore"):
        trace(called[0], *called[1])
    if not held.calls:  # what traced arrays answer themselves
        assert spelling.function in MEANINGS
        return
    args, kwargs, refused = held.calls[0]
    for name in refused:
        for value in (object(), np.ones(3), args[0] if args else "other"):
            with pytest.raises(UnsupportedError, match=f"with {name}= ") as caught:
                spelling(*args, **kwargs, **{name: value})
            assert full_name(spelling.function) in caught.value.what
            assert len(caught.value.remedy) > 10


# -- one place -------------------------------------------------------------------------------------


def test_to_spell_twice_is_an_error() -> None:
    with pytest.raises(
        InvariantError, match=r"np\.sum has two spellings: sum_ \(line .*\) and .*lambda"
    ):
        spell(np.sum, lambda a: a)
    with pytest.raises(InvariantError, match=r"np\.linalg\.eig has two spellings: a refusal"):
        spell(np.linalg.eig, lambda a: a)
    for function in (np.sum, np.linalg.eig):
        with pytest.raises(InvariantError, match="has a spelling and a refusal"):
            refuse(function, "use another")
    assert not SPELLINGS.keys() & REMEDIES.keys()


def test_only_python_asks_without_a_header() -> None:
    others = [f for f, spelling in SPELLINGS.items() if not isinstance(spelling, Spelling)]
    assert others == [TracedArray.__bool__, TracedArray.__str__]
