"""What a command is given: a formula or MODULE:FUNCTION, a point, files to write.

What flows: the texts of the command line become a function, its arguments and files that can be
written. The invariant: whatever is wrong with them is a `DifflabError` before any work is done, and
what is wrong with a user's module names the user's line.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import inspect
import operator
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np

from difflab.errors import ArgumentError, BudgetError, StorageError, raised_at

Function = Callable[..., Any]
MOST_COMPONENTS: Final = 1_000
"""Of the derivative of a formula; a function may have more."""
SUFFIXES: Final[Mapping[str, tuple[str, ...]]] = {
    "csv": (),
    "plot": (".png", ".svg", ".pdf"),
    "html": (".html",),
    "graph": (".svg", ".png"),
}
"""The options that name a file to write, and how its name may end."""
NAMED: Final = "write it as module:function, such as model:loss"


def need_files(options: argparse.Namespace) -> None:
    """Check that every file to write has a suffix that its writer knows, and can be written.

    >>> need_files(argparse.Namespace(plot="nowhere/plot.png"))
    Traceback (most recent call last):
    ...
    difflab.errors.StorageError: 'nowhere/plot.png' cannot be written: there is no folder 'nowhere'
    ...
    """
    for option, suffixes in SUFFIXES.items():
        name = getattr(options, option, None)
        if name is None or (name == "-" and option == "csv"):
            continue
        file = Path(name)
        if suffixes and file.suffix not in suffixes:
            what = f"{name!r} cannot be written as {file.suffix or 'a file without a suffix'}"
            raise ArgumentError(what, f"end the file's name in {' or '.join(suffixes)}")
        try:
            why = _obstacle(file)
        except (OSError, ValueError) as error:  # such as a name that is too long
            why = getattr(error, "strerror", None) or str(error)
        if why:
            raise StorageError(f"{name!r} cannot be written: {why}", "choose another file")


def _obstacle(file: Path) -> str:
    """Why a file cannot be written, or nothing."""
    if "\0" in str(file):
        return "there is a NUL in its name"
    if not file.parent.is_dir():
        return f"there is no folder {str(file.parent)!r}"
    if not file.name or file.is_dir():
        return "it is a folder"
    return "" if os.access(file if file.exists() else file.parent, os.W_OK) else "it is protected"


def subject(options: argparse.Namespace) -> tuple[Function, tuple[Any, ...]]:
    """The function that a command is about, and its arguments at the point."""
    from difflab.accuracy.formula import assignment, formula, number

    text, at = options.function, getattr(options, "at", None) or ()
    if bool(at) == bool(options.values):
        what = "the point is given twice" if at else "there is no point to differentiate at"
        raise ArgumentError(what, "give the parameters by name: x=2 or w=[1,2,3]")
    if is_named(text):
        function = named(text)
        if at:
            return function, tuple(map(number, at))
    elif at:
        raise ArgumentError(
            f"{text!r} does not name a function, and --at names no parameters",
            f"{NAMED}; a formula's parameters are given as x=2",
        )
    pairs = [assignment(value) for value in options.values]
    point = dict(pairs)
    if len(point) < len(pairs):
        raise ArgumentError("a parameter has two values", "give each name once")
    if is_named(text):
        return function, _bound(function, text, point)
    function, args = formula(text, list(point)), tuple(point.values())
    _need_few(function(*args), args)
    return function, args


def _need_few(result: Any, args: tuple[Any, ...]) -> None:
    """Raise where the derivative of a formula has more components than a person would read."""
    from difflab.ir.tree import flatten

    sizes = [sum(map(np.size, flatten(tree)[0])) for tree in (result, args)]
    if sizes[0] * sizes[1] > MOST_COMPONENTS:
        raise BudgetError(
            f"the derivative has {sizes[0]:,} x {sizes[1]:,} numbers; of a formula, the most is"
            f" {MOST_COMPONENTS:,}",
            "choose fewer, or write a function in a file: model:loss",
        )


def gradient_of(options: argparse.Namespace) -> Function | None:
    """The gradient to check: a function, or a formula of the same parameters."""
    from difflab.accuracy.formula import assignment, formula

    if not options.gradient or is_named(options.gradient) or options.at:
        return named(options.gradient) if options.gradient else None
    return formula(options.gradient, [assignment(value)[0] for value in options.values])


def is_named(text: str) -> bool:
    """Whether a text is MODULE:FUNCTION: no formula has a colon outside of brackets.

    >>> is_named("model:loss"), is_named("models/loss.py:loss"), is_named("x[0:1]")
    (True, True, False)
    """
    return re.search(r"^[^\[({]*:", text) is not None


def named(text: str) -> Function:
    """The function of ``module:function``; the module is looked for here first, as by python -m.

    A path such as ``models/loss.py:loss`` works as well.
    """
    module_name, colon, name = text.strip().rpartition(":")
    if not colon or not module_name or not name:
        raise ArgumentError(f"{text!r} does not name a function", NAMED)
    try:
        module = _file(Path(module_name)) if module_name.endswith(".py") else _module(module_name)
        found = operator.attrgetter(name)(module)
    except (ArgumentError, KeyboardInterrupt):
        raise
    except AttributeError as error:
        if raised_at(error) is None:
            raise ArgumentError(f"{module_name} has no function {name!r}", NAMED) from None
        raise _unimportable(module_name, error) from error
    except ModuleNotFoundError as error:
        if raised_at(error) is None:
            raise ArgumentError(
                f"there is no module {error.name!r} here or installed", NAMED
            ) from None
        raise _unimportable(module_name, error) from error
    except BaseException as error:  # whatever a module does when it is imported, sys.exit too
        raise _unimportable(module_name, error) from error
    if not callable(found):
        raise ArgumentError(f"{module_name} has no function {name!r}", NAMED)
    function: Function = found
    return function


def _unimportable(module: str, error: BaseException) -> ArgumentError:
    kind = "sys.exit" if isinstance(error, SystemExit) else type(error).__name__
    what = f"{module} cannot be imported: {kind}: {getattr(error, 'msg', error)}"
    return ArgumentError(what, "mend that line", raised_at(error))


def _module(name: str) -> ModuleType:
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    return importlib.import_module(name)


def _file(path: Path) -> ModuleType:
    """The module of a file, whatever else has its name."""
    known = sys.modules.get(path.stem)
    if known is not None and getattr(known, "__file__", None) == str(path.resolve()):
        return known
    spec = importlib.util.spec_from_file_location(path.stem, path.resolve())
    if spec is None or spec.loader is None or not path.is_file():
        raise ArgumentError(f"there is no file {str(path)!r}", NAMED)
    sys.path.insert(0, str(path.resolve().parent))
    module = importlib.util.module_from_spec(spec)
    if known is None:
        sys.modules[path.stem] = module  # where its classes are looked for
    try:
        spec.loader.exec_module(module)
    except BaseException:
        if known is None:
            sys.modules.pop(path.stem, None)
        raise
    return module


def _bound(function: Function, text: str, point: Mapping[str, Any]) -> tuple[Any, ...]:
    """The point in the order of the parameters, or as it stands if a function has no names."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return tuple(point.values())
    if all(p.kind is p.POSITIONAL_ONLY for p in signature.parameters.values()):
        return tuple(point.values())
    try:
        bound = signature.bind(**point)
    except TypeError as error:
        raise _unfit(text, str(error), signature.parameters) from None
    if bound.kwargs:  # after a parameter that has its default
        bound.apply_defaults()
        if bound.kwargs:
            raise _unfit(text, f"takes {', '.join(bound.kwargs)} by name alone", ())
    return bound.args


def _unfit(text: str, what: str, names: Mapping[str, Any] | Sequence[str]) -> ArgumentError:
    remedy = f"its parameters are {', '.join(names)}" if names else "use --at, or wrap it"
    return ArgumentError(f"{text}: {what}", remedy)
