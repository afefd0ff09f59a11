"""The error family: what happened, where in the user's file, what to do about it.

Every error that difflab raises on purpose is a `DifflabError`, and also the built-in exception that
a Python programmer would expect (`TypeError`, `ValueError`, ...). Its text has up to three parts::

    gradient needs a scalar output, but f returned an array of shape (3,)
      at model.py:12: return np.tanh(x)
      remedy: use jacobian(f), or reduce the output, for example with np.sum
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import importlib
import linecache
import re
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

_PACKAGE = Path(__file__).parent
_COMMAND = str(_PACKAGE / "__main__.py")
_NUMPY = Path(np.__file__).parent
_LIBRARIES = (Path(contextlib.__file__).parent, _NUMPY.parent / "scipy")
"""Python's own and SciPy's, whose lines tell a user little."""
_BETWEEN = (contextlib.__file__, importlib.__file__)
"""Python's own files that stand between a user's line and difflab's."""
_internal: dict[str, bool] = {}


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the user's file.

    >>> str(Line("model.py", 12))
    'model.py:12'
    """

    file: str
    number: int

    def __str__(self) -> str:
        return f"{Path(self.file).name}:{self.number}"

    @property
    def text(self) -> str:
        """The source text of the line, or an empty string where the file cannot be read."""
        return linecache.getline(self.file, self.number).strip()


def _is_internal(name: str) -> bool:
    file = Path(name)
    if file.is_relative_to(_PACKAGE):
        return "zoo" not in file.relative_to(_PACKAGE).parts  # the zoo is user code
    if name in _BETWEEN:
        return True
    return file.is_relative_to(_NUMPY) or str(file).startswith(("<frozen", "<difflab"))


@functools.cache
def _is_of_a_library(name: str) -> bool:
    file = Path(name)
    inside = next((folder for folder in _LIBRARIES if file.is_relative_to(folder)), None)
    return inside is not None and "site-packages" not in file.relative_to(inside).parts


def users_line() -> Line | None:
    """The innermost line on the stack that belongs to no library, or only to none of difflab and
    NumPy.
    """
    frame, found = sys._getframe(1), None
    while frame is not None:
        name = frame.f_code.co_filename
        internal = _internal.get(name)
        if internal is None:
            internal = _internal[name] = _is_internal(name)
        if not internal:
            line = Line(name, frame.f_lineno)
            if not _is_of_a_library(name):
                return line
            found = found or line
        elif name == _COMMAND:  # who called it wrote none of its formulas
            break
        frame = frame.f_back  # type: ignore[assignment]
    return found


def raised_at(error: BaseException) -> Line | None:
    """The innermost line on an error's way that belongs to no library: where a user's file failed.

    >>> try:
    ...     1 / 0
    ... except ZeroDivisionError as error:
    ...     raised_at(error).number
    2
    """
    if isinstance(error, SyntaxError) and error.filename:
        return Line(error.filename, error.lineno or 1)
    lines = [
        Line(frame.f_code.co_filename, number)
        for frame, number in traceback.walk_tb(error.__traceback__)
        if not (_is_internal(name := frame.f_code.co_filename) or _is_of_a_library(name))
        and "site-packages" not in Path(name).parts
    ]
    return lines[-1] if lines else None


class DifflabError(Exception):
    """What happened, where (the user's line by default) and the remedy."""

    def __init__(self, what: str, remedy: str = "", line: Line | None = None) -> None:
        self.what = what
        self.remedy = remedy
        self.line = line if line is not None else users_line()
        text = what
        if self.line is not None:
            text += f"\n  at {self.line}" + (f": {self.line.text}" if self.line.text else "")
        if remedy:
            text += f"\n  remedy: {remedy}"
        super().__init__(text)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as it stands, whatever its constructor takes, so that it survives the way back
        from another process.
        """
        return _bare, (type(self), self.args), self.__dict__


def _bare(kind: type[DifflabError], args: tuple[Any, ...]) -> DifflabError:
    error = kind.__new__(kind)
    error.args = args
    return error


@dataclass(slots=True)
class Events:
    """What happened while a function was traced that its caller must know of."""

    refused: list[DifflabError] = field(default_factory=list)
    """Refusals, which the function may have swallowed."""


class _Happening(threading.local):
    events: Events | None = None


happening = _Happening()
"""Where the trace in progress, in this thread, gathers its events."""


class Refusal(DifflabError):
    """What NumPy would do and difflab does not: never to be taken for NumPy's own errors."""

    def __init__(self, what: str, remedy: str = "", line: Line | None = None) -> None:
        super().__init__(what, remedy, line)
        if happening.events is not None:
            happening.events.refused.append(self)


class TraceError(Refusal, TypeError):
    """The function does something that cannot be traced."""


class UnsupportedError(Refusal, NotImplementedError):
    """A NumPy function, or a reading of a primitive, that difflab does not have."""


class ArgumentError(DifflabError, TypeError):
    """An argument of the wrong type."""


class ShapeError(DifflabError, ValueError):
    """Shapes that do not fit."""


class OutOfBoundsError(DifflabError, IndexError):
    """An index that an array does not have."""


class DomainError(DifflabError, ValueError):
    """A value outside the domain, such as NaN."""


class MatrixError(DifflabError, np.linalg.LinAlgError):
    """A matrix that an operation does not take: singular, or not positive definite.

    >>> import difflab
    >>> try:
    ...     difflab.gradient(lambda a: np.sum(np.linalg.inv(a)))(np.zeros((2, 2)))
    ... except np.linalg.LinAlgError as error:
    ...     print(error)
    solve does not take this matrix: Singular matrix
      at ...
      remedy: choose a point where the matrix can be inverted, or add a multiple of the identity
    """


class BudgetError(DifflabError, RuntimeError):
    """A stated budget of seconds, operations or bits was exceeded."""


class InvariantError(DifflabError, AssertionError):
    """A graph that breaks a rule of the IR: a fault of difflab itself."""


class UnavailableError(DifflabError, OSError):
    """Data that has to be fetched, and could not be."""


class StorageError(DifflabError, ValueError):
    """A file that difflab did not write, or that has been damaged since."""


class DivergedError(DifflabError, FloatingPointError):
    """The loss, a gradient or the parameters are not finite any more."""


class DivergenceWarning(RuntimeWarning):
    """Training has ended with a loss that is finite, but orders above the first one."""


class UnknownNameError(DifflabError, LookupError, ValueError):
    """A name that is not in a table; the text gives the nearest one that is."""

    def __init__(self, kind: str, name: object, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}? " if near else ""
        super().__init__(f"unknown {kind} {name!r}", f"{hint}known: {', '.join(names)}")


# Extras -------------------------------------------------------------------------------------------


class MissingPackageError(DifflabError, ImportError):
    """A package that an extra of difflab brings, and that is not installed."""


def missing(package: str, extra: str) -> MissingPackageError:
    """The error for a package that is not installed, and that an extra brings."""
    return MissingPackageError(f"{package} is not installed", f'pip install "difflab[{extra}]"')


@contextlib.contextmanager
def extra(name: str, package: str = "") -> Iterator[None]:
    """Inside, what is imported belongs to an extra: its absence is an error that names the extra.

    >>> with extra("lab"):
    ...     import nowhere
    Traceback (most recent call last):
    ...
    difflab.errors.MissingPackageError: nowhere is not installed
      at ...
      remedy: pip install "difflab[lab]"
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise missing(package or str(error.name), name) from None


def require(name: str) -> None:
    """Check that every package of an extra is installed, by difflab's own metadata.

    Raises
    ------
    MissingPackageError : for the first that is not
    """
    from importlib import metadata  # takes longer to import than all of this module

    try:
        required = metadata.requires("difflab") or []
    except metadata.PackageNotFoundError:  # a folder on the path, whose user knows what is there
        return
    for text in required:
        requirement, _, condition = text.partition(";")
        if re.search(rf"""extra == ['"]{name}['"]""", condition):
            package = re.split(r"[^\w.-]", requirement.strip())[0]
            try:
                metadata.version(package)
            except metadata.PackageNotFoundError:
                raise missing(package, name) from None
