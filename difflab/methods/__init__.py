"""The three ways to differentiate, by name.

>>> sorted(METHODS)
['backward_difference', 'central_difference', 'complex_step', 'forward', 'forward_difference',
'reverse',
 'richardson', 'symbolic']
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from difflab.errors import ArgumentError, UnknownNameError
from difflab.ir.brief import one_line
from difflab.methods.automatic import Cheaper, Forward, Reverse, Taylor
from difflab.methods.derivation import Caller, Derivation, Method, Push, without
from difflab.methods.differences.numerical import Numerical

__all__ = [
    "METHODS", "Caller", "Derivation", "Forward", "Method", "Numerical", "Push", "Reverse",
    "Taylor", "method_of", "without",
]  # fmt: skip


def _symbolic() -> Method:
    from difflab.methods.symbolic import Symbolic  # SymPy takes half a second to import

    return Symbolic()


class _Methods(Mapping[str, Method]):
    """Name -> method object; the symbolic one is made when it is asked for."""

    def __init__(self, makers: Mapping[str, Callable[[], Method]]) -> None:
        self._makers = makers

    def __getitem__(self, name: str) -> Method:
        if name not in self._makers:
            raise UnknownNameError("method", name, self._makers)
        return self._makers[name]()

    def __contains__(self, name: object) -> bool:
        return name in self._makers

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)

    def __repr__(self) -> str:
        return one_line(f"<methods: {', '.join(self)}>")


METHODS: Final[Mapping[str, Method]] = _Methods(
    {
        "reverse": Reverse,
        "forward": Forward,
        "symbolic": _symbolic,
        "forward_difference": lambda: Numerical("forward", 1, label="forward_difference"),
        "backward_difference": lambda: Numerical("backward", 1, label="backward_difference"),
        "central_difference": lambda: Numerical("central", 2, label="central_difference"),
        "richardson": lambda: Numerical("richardson", label="richardson"),
        "complex_step": lambda: Numerical("complex", 1, label="complex_step"),
    }
)
"""The named methods. Their classes take options: ``Numerical(stencil="central", order=6)``."""


def method_of(method: str | Method | None) -> Method:
    """A method by its name, or the object itself; None: the cheaper automatic mode."""
    if method is None:
        return Cheaper()
    found = METHODS[method] if isinstance(method, str) else method
    if not callable(getattr(found, "derive", None)):
        raise ArgumentError(
            f"a method is a name or an object such as Numerical(), not {type(method).__name__}",
            f"choose one of {', '.join(METHODS)}",
        )
    return found
