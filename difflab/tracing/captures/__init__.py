"""What a function reads besides its arguments: found by a walk, and watched by one compiled check.

What flows: a function, and the objects passed to it that are no arrays, are walked (walk.py). That
gives guards (guards.py), one for each place that was read, and a *fingerprint* of all that was
found there: the same fingerprint, the same program. The invariants: whatever changes at a place
fails its guard; what cannot be watched is said (`Watch.opaque`), and then the function is traced at
each call; and what the function itself writes, a counter for example, is not followed.

>>> settings = {"scale": 2.0}
>>> watch = Watch((lambda x: settings["scale"] * x,), None)
>>> watch.check()
True
>>> settings["scale"] = 3.0
>>> watch.check()
False
"""

from __future__ import annotations

import operator
import types
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from difflab.ir.contents import COPIED
from difflab.tracing.captures.guards import Guard, Path, compiled_check
from difflab.tracing.captures.names import facts, is_library, nested, runs_programs
from difflab.tracing.captures.walk import Walk
from difflab.tracing.captures.ways import Ways

if TYPE_CHECKING:
    from difflab.ir.tree import Signature

__all__ = ["Guard", "Path", "Watch", "Ways", "is_library", "runs_programs"]


class Watch:
    """A function and the static objects of a call, walked once.

    Parameters
    ----------
    roots
        What is walked: the function first.
    ran
        The codes that ran in a plain call, libraries apart; None: it is not known.
    written
        Places that f writes, and that are not watched.
    live
        The ids of arrays that the graph follows by itself, whatever they hold.

    Attributes
    ----------
    read
        All objects that were met.
    opaque
        Why something that is read cannot be watched; empty where everything can.
    heavy
        Whether large arrays are kept alive.
    """

    __slots__ = (
        "check", "codes", "fingerprint", "guards", "heavy", "live", "opaque", "ran", "read",
        "roots", "written",
    )  # fmt: skip
    check: Callable[[], bool]
    """Whether all that was read is as it was; what cannot be watched is not asked."""

    def __init__(
        self,
        roots: tuple[Any, ...],
        ran: Collection[types.CodeType] | None,
        written: Iterable[Path] = (),
        live: Iterable[int] = (),
    ) -> None:
        self.roots, self.ran = roots, ran
        self.written, self.live = frozenset(written), frozenset(live)
        walk = Walk(roots, ran, self.written, self.live)
        self.guards, self.fingerprint, self.read = walk.guards, walk.fingerprint, walk.held
        self.codes, self.heavy, self.opaque = nested(walk.codes), walk.heavy, walk.opaque
        unmet = [code for code in ran or () if code not in self.codes]
        if unmet and not self.opaque:
            self.opaque = f"it calls {unmet[0].co_name} in a way that is not seen"
        self.check = _always if self.opaque else self._check_once

    def large_arrays(self) -> list[NDArray[Any]]:
        """The large arrays of floats whose contents are compared at each call."""
        arrays = [guard.container for guard in self.guards if guard.kind == "content"]
        return [
            array
            for array in arrays
            if type(array) is np.ndarray
            and array.nbytes > COPIED
            and array.dtype in (np.float64, np.float32)
            and not self.opaque
        ]

    def is_over(self, signature: Signature) -> bool:
        """Whether the static objects of a call are those that were walked."""
        return len(self.roots) == 1 or all(map(operator.is_, signature.roots, self.roots[1:]))

    def is_current(self, signature: Signature) -> bool:
        """Whether a call with these static objects reads what was read."""
        return self.is_over(signature) and self.check()

    def _check_once(self) -> bool:
        """A loop the first time; a second time is worth compiling for."""
        self.check = self._compile_check
        return all(guard.holds() for guard in self.guards)

    def _compile_check(self) -> bool:
        self.check = compiled_check(self.guards)
        return self.check()

    def again(self) -> Watch:
        """The watch over the same roots, and what is read now."""
        return Watch(self.roots, self.ran, self.written, self.live)

    def renewed(self, signature: Signature) -> Watch | None:
        """The watch over these static objects, and what is read now, if the program is the same."""
        again = Watch((self.roots[0], *signature.roots), self.ran, self.written, self.live)
        if again.opaque or again.fingerprint != self.fingerprint:
            return None
        if not again.check():  # another object each time: a property of C code, say
            again.opaque, again.check = "what it reads is another object each time", _always
        return again

    def writable(self) -> list[Guard]:
        """The places that f's code can set."""
        every = [facts(code) for code in (self.codes if self.ran is None else self.ran)]
        names = set[str]().union(*[one.stored for one in every])
        items = any(one.changes_items for one in every)
        if not (names or items):
            return []
        return [g for g in self.guards if (g.key in names if g.is_named else items or names)]

    def written_since(self) -> list[Guard]:
        """The places that f wrote: those that differ by now, and that its code can set.

        The second condition keeps what another thread wrote meanwhile from being taken for f's.
        """
        return [guard for guard in self.writable() if not guard.holds()]

    def put_back(self) -> None:
        """Undo what f wrote."""
        for guard in self.written_since():
            guard.put_back()


def _always() -> bool:
    return True
