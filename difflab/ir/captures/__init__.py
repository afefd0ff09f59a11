"""What a function reads besides its arguments: found by a walk, and watched by one compiled check.

What flows: a function, and the objects passed to it that are no arrays, are walked (walk.py). That
gives guards (guards.py), one for each place that was read, and a *fingerprint* of all that was
found there: the same fingerprint, the same program. The invariants: whatever changes at a place
fails its guard; what cannot be watched is said (`Watch.opaque`), and then the function is traced at
each call; and what the function itself writes, a counter for example, is not followed.

>>> settings = {"scale": 2.0}
>>> watch = Watch((lambda x: settings["scale"] * x,), None)
>>> watch.holds()
True
>>> settings["scale"] = 3.0
>>> watch.holds(), watch.renewed(())
(False, False)
"""

from __future__ import annotations

import operator
import types
from collections.abc import Callable, Collection, Iterable
from typing import Any

from difflab.ir.captures.guards import Guard, Path, compiled_check
from difflab.ir.captures.names import facts, is_library, runs_programs
from difflab.ir.captures.walk import Walk, nested

__all__ = ["Guard", "Path", "Watch", "is_library", "runs_programs"]


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

    Attributes
    ----------
    opaque
        Why something that is read cannot be watched; empty where everything can.
    heavy
        Whether large arrays are kept alive.
    """

    __slots__ = (
        "_asked", "_check", "_held", "codes", "fingerprint", "guards", "heavy", "opaque", "ran",
        "roots", "written",
    )  # fmt: skip

    def __init__(
        self,
        roots: tuple[Any, ...],
        ran: Collection[types.CodeType] | None,
        written: Iterable[Path] = (),
    ) -> None:
        self.roots, self.ran, self.written = roots, ran, frozenset(written)
        walk = Walk(roots, ran, self.written)
        self.guards, self.fingerprint, self._held = walk.guards, walk.fingerprint, walk.held
        self.codes, self.heavy, self.opaque = nested(walk.codes), walk.heavy, walk.opaque
        unmet = [code for code in ran or () if code not in self.codes]
        if unmet and not self.opaque:
            self.opaque = f"it calls {unmet[0].co_name} in a way that is not seen"
        if not all(guard.holds() for guard in self.guards):
            self.opaque = self.opaque or "what it reads is another object each time"
        self._asked = False
        self._check: Callable[[], bool] | None = None

    def is_current(self, objects: tuple[Any, ...]) -> bool:
        """Whether a call with these static objects reads what was read."""
        if len(self.roots) > 1 and not all(map(operator.is_, objects, self.roots[1:])):
            return False
        return bool(self.opaque) or self.holds()

    def holds(self) -> bool:
        """Whether all that was read is as it was."""
        if self._check is not None:
            return self._check()
        if self._asked:  # the second time: it pays to compile
            self._check = compiled_check(self.guards)
            return self._check()
        self._asked = True
        return all(guard.holds() for guard in self.guards)

    def renewed(self, objects: tuple[Any, ...]) -> bool:
        """Whether these static objects, and what is read now, make the same program; then they are
        watched.
        """
        again = Watch((self.roots[0], *objects), self.ran, self.written)
        if again.opaque or again.fingerprint != self.fingerprint:
            return False
        for name in self.__slots__:
            setattr(self, name, getattr(again, name))
        return True

    def written_since(self) -> list[Guard]:
        """The places that f wrote: those that differ by now, and that its code can set.

        The second condition keeps what another thread wrote meanwhile from being taken for f's.
        """
        every = [facts(code) for code in (self.codes if self.ran is None else self.ran)]
        names = set[str]().union(*[one.stored for one in every])
        items = any(one.changes_items for one in every)
        return [
            guard
            for guard in self.guards
            if not guard.holds() and (guard.key in names if guard.is_named else items or names)
        ]

    def put_back(self) -> None:
        """Undo what f wrote."""
        for guard in self.written_since():
            guard.put_back()
