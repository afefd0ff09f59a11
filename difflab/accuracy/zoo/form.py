"""The form in which the zoo's functions are written: points, tags, one decorator.

What flows: a plain NumPy function, its tags and its points -> a `Function` in a `Members` table.
The decorator returns the function unchanged, so that it stays importable, picklable and readable.

The kinds of points:

- *ordinary*: no difficulty; evaluation is finite and silent;
- *hard*: the function is differentiable here, but digits, or the branch of an `if`, are at risk;
- *removable*: the formula has a choice or a branch here, and the function has a derivative;
- *edge*: on, or next to, the border of the domain: where there is a value the derivative may be
  one-sided or infinite;
- *kink*: the derivative jumps;
- *jump*: the value jumps;
- *undefined*: the function has no value, whatever floats make of it.

A value that is not finite occurs at hard, edge and undefined points only, and the note says so.

>>> member = Members()
>>> @member("scalar", ordinary(3.0), hard(1e200, note="overflows to inf"))
... def square(x):
...     '''x²'''
...     return x * x
>>> entry = member.functions["square"]
>>> entry.summary, [point.kind for point in entry.points]
('x²', ['ordinary', 'hard'])
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from difflab.errors import InvariantError, UnknownNameError

Array: TypeAlias = NDArray[np.float64]
Argument: TypeAlias = float | Array | list[Any] | dict[str, Any]
# A number or an array: NumPy's type stubs do not tell which, and differ between versions.
Value: TypeAlias = Any
Kind: TypeAlias = Literal["ordinary", "hard", "removable", "edge", "kink", "jump", "undefined"]
AnyCallable = TypeVar("AnyCallable", bound=Callable[..., Any])

TAGS: Mapping[str, str] = MappingProxyType(
    {
        "scalar": "from a number to a number",
        "multivariate": "from several numbers to a number",
        "vector": "to several numbers",
        "kink": "the derivative jumps somewhere",
        "jump": "the value jumps somewhere",
        "removable": "a choice or a branch that the derivative does not feel",
        "domain-edge": "the domain has a border or a hole",
        "cancellation": "the formula loses digits, or range, that the function does not lose",
        "control-flow": "Python's if, while or for",
        "linear-algebra": "matrix products, factorisations or norms",
        "network": "the loss of a small learning problem",
        "several-arguments": "more than one argument",
    }
)


# eq=False: the arrays in `args` have no single truth value, so a point equals itself only.
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Point:
    """Arguments to study a function at: floats, read-only float64 arrays, or trees of them."""

    args: tuple[Argument, ...]
    kind: Kind
    note: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Function:
    """A plain NumPy function, and what is known about it."""

    name: str
    f: Callable[..., Any]
    points: tuple[Point, ...]
    tags: frozenset[str]
    summary: str
    source: str


def _argument(given: Any) -> Argument:
    """Tuples become read-only arrays; lists and dicts stay trees; numbers become floats."""
    if isinstance(given, dict):
        return {key: _argument(value) for key, value in given.items()}
    if isinstance(given, list):
        return [_argument(value) for value in given]
    if isinstance(given, tuple | np.ndarray):
        array = np.array(given, dtype=np.float64)
        array.setflags(write=False)
        return array
    return float(given)


def _point(kind: Kind, args: tuple[Any, ...], note: str) -> Point:
    return Point(args=tuple(_argument(given) for given in args), kind=kind, note=note)


def ordinary(*args: Any, note: str = "") -> Point:
    """A point without difficulties; a tuple stands for an array."""
    return _point("ordinary", args, note)


def hard(*args: Any, note: str) -> Point:
    """A point where digits are at risk; the note says why."""
    return _point("hard", args, note)


def edge(*args: Any, note: str) -> Point:
    """A point on or next to the border of the domain; the note says which."""
    return _point("edge", args, note)


def kink(*args: Any, note: str) -> Point:
    """A point where the derivative jumps; the note says how."""
    return _point("kink", args, note)


def jump(*args: Any, note: str) -> Point:
    """A point where the value jumps; the note says how."""
    return _point("jump", args, note)


def removable(*args: Any, note: str) -> Point:
    """A point at which the formula chooses, and the derivative exists; the note says why."""
    return _point("removable", args, note)


def undefined(*args: Any, note: str) -> Point:
    """A point where the function has no value; the note says what floats make of it."""
    return _point("undefined", args, note)


class Members:
    """A table of functions, filled by using it as a decorator.

    The first line of the decorated function's docstring becomes its summary.
    """

    def __init__(self) -> None:
        self.functions: dict[str, Function] = {}

    def __call__(
        self, tags: str, *points: Point, source: str = "textbook"
    ) -> Callable[[AnyCallable], AnyCallable]:
        """Add the function below; `tags` are words of `TAGS`, separated by blanks."""
        for tag in tags.split():
            if tag not in TAGS:
                raise UnknownNameError("zoo tag", tag, TAGS)

        def add(f: AnyCallable) -> AnyCallable:
            name = f.__name__
            if name in self.functions:
                raise InvariantError(f"the zoo has two functions named {name!r}", "rename one")
            self.functions[name] = Function(
                name=name,
                f=f,
                points=points,
                tags=frozenset(tags.split()),
                summary=(f.__doc__ or "").strip().partition("\n")[0],
                source=source,
            )
            return f

        return add
