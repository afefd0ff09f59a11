"""A function called as it is: what it returns, what it changes, and which code runs.

What flows: arrays in the order of a signature come in, the function is called with arguments made
of copies, in the types that the caller passed, and its result comes out. The invariant: nothing
that a function does to its arguments reaches the caller, or another call.
"""

from __future__ import annotations

import contextlib
import gc
import inspect
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from difflab.errors import ArgumentError
from difflab.ir.expr import Array
from difflab.ir.tree import Signature, Spec, Structure, flatten, unflatten


def parameter_names(f: Callable[..., Any]) -> tuple[str, ...]:
    """The names of a function's positional parameters, as far as they can be known."""
    if isinstance(f, np.ufunc):  # which NumPy before 2.4 gives no signature
        return ("x",) if f.nin == 1 else tuple([f"x{k}" for k in range(1, f.nin + 1)])
    try:
        kinds = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):
        return ()
    return tuple([p.name for p in kinds if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)])


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Inside, no garbage is collected, as in timeit: nodes that are made stay, and looking through
    them again and again would make long programs cost more than their length.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def need_function(f: Any) -> None:
    """Raise `ArgumentError` for what cannot be called."""
    if not callable(f):
        raise ArgumentError(
            f"a function is needed, not {type(f).__name__}", "pass the function itself, not f(x)"
        )


class Called:
    """A function that is called as it is, with arguments of a signature, on copies of their arrays.

    Python floats are passed as such. The arguments that the function was seen to change in place
    are remembered.

    >>> from difflab.ir.tree import read_arguments
    >>> def lowest(x):
    ...     x.sort()
    ...     return x[0]
    >>> x = np.array([2.0, 1.0])
    >>> call = Called(lowest, read_arguments((x,), {})[0])
    >>> print(call([x]), x, call.notes("lowest"))
    1.0 [2. 1.] ('lowest changes its argument x in place; it was called on copies',)
    """

    def __init__(
        self,
        f: Callable[..., Any],
        signature: Signature,
        ran: set[types.CodeType] | None = None,
    ) -> None:
        self.f = f
        self.signature = signature
        self.ran = ran
        """Where the codes that run are gathered; None: nowhere, or somebody else profiles."""
        self.changed: dict[int, str] = {}

    def __call__(self, arrays: Sequence[Any]) -> Any:
        """The result at these arrays, in the signature's order; it shares no memory with them."""
        rest = iter(arrays)
        own = [next(rest) if isinstance(x, Spec) else x.value for x in self.signature.leaves]
        given, _ = unflatten(self.signature.structure, own)
        args, kwargs = self.arguments(arrays)
        result = self._result(args, kwargs)
        for number, (before, after) in enumerate(zip(given, args, strict=True)):
            if number not in self.changed and not _alike(before, after):
                names = parameter_names(self.f)
                self.changed[number] = names[number] if number < len(names) else str(number)
        return result

    def _result(self, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if self.ran is None or sys.getprofile() is not None:
            self.ran = None
            return self.f(*args, **kwargs)
        gather = self.ran.add

        def note(frame: types.FrameType, event: str, _: Any) -> None:
            if event == "call":
                gather(frame.f_code)

        with uncollected():  # what runs when litter is collected is no part of f
            sys.setprofile(note)
            try:
                return self.f(*args, **kwargs)
            finally:
                sys.setprofile(None)

    def outputs(self, arrays: Sequence[Any]) -> tuple[list[Array], Structure]:
        """Copies of the result's arrays (a function may return the same ones each time), and
        their tree.
        """
        leaves, tree = flatten(self(arrays))
        found = [np.array(leaf) for leaf in leaves]
        for leaf, array in zip(leaves, found, strict=True):
            if array.dtype.kind not in "fiubc":
                raise ArgumentError(
                    f"the function returned a {type(leaf).__name__}, which is not a number or an"
                    " array",
                    "return the value that is to be differentiated",
                )
        return found, tree

    def notes(self, name: str) -> tuple[str, ...]:
        """A sentence on what the function of that name does to its arguments, where it does."""
        if not self.changed:
            return ()
        what = " and ".join(self.changed[number] for number in sorted(self.changed))
        arguments = "arguments" if len(self.changed) > 1 else "argument"
        return (f"{name} changes its {arguments} {what} in place; it was called on copies",)

    def arguments(self, arrays: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
        """Fresh arguments, positional and by name."""
        rest = iter(arrays)
        leaves = []
        for spec in self.signature.leaves:
            if not isinstance(spec, Spec):
                leaves.append(spec.value)
                continue
            array = np.asarray(next(rest))
            copy = spec.laid_out(array.dtype)
            copy[...] = array
            leaves.append(copy.item() if spec.weak else copy if spec.boxed else copy[()])
        args, kwargs = unflatten(self.signature.structure, leaves)
        return list(args), kwargs


def _alike(before: Any, after: Any) -> bool:
    """Whether two trees hold the same leaves."""
    if type(before) is type(after) is np.ndarray and before.shape == after.shape:
        if before.dtype != after.dtype:
            return False
        old, new = (np.ascontiguousarray(x).reshape(-1).view(np.uint8) for x in (before, after))
        return np.array_equal(old, new)
    (mine, structure), (others, other) = flatten(before), flatten(after)
    return structure == other and all(map(_same, mine, others))


def _same(before: Any, after: Any) -> bool:
    if before is after:
        return True
    if type(before) is type(after) is float:  # what trees of many numbers are made of
        return bool(before == after or (before != before and after != after))
    x, y = np.asarray(before), np.asarray(after)
    alike = x.dtype.kind == y.dtype.kind
    return alike and np.array_equal(x, y, equal_nan=x.dtype.kind in "fc")
