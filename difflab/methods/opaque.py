"""Functions that can only be called: their values at many points, and their derivatives.

What flows: points come in a batch, as they do for a traceable function, and the function is called
for one after the other. The invariants: results have the shapes of the stencil text's, so that
`Numerical` treats both kinds of functions alike; and nothing that a function does to its arguments
reaches the caller, or another call.

>>> evaluate = looped(lambda x: [np.array(np.sin(x))], [np.float64(0.0)], 0, [np.array(0.0)])
>>> (slopes,) = extrapolated_along_axes(evaluate, np.array([0.0]), [np.array(0.0)])
>>> print(abs(slopes[0] - 1.0) < 1e-14)
True
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from difflab.errors import ArgumentError
from difflab.ir.expr import Array
from difflab.ir.trace import parameter_names
from difflab.ir.tree import Signature, Spec, Structure, flatten, unflatten
from difflab.methods.extrapolation import along, in_the_reals

Evaluate = Callable[[Any], list[Any]]
OUTSIDE = (ArithmeticError, ValueError)
"""What a function raises outside its domain."""


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

    def __init__(self, f: Callable[..., Any], signature: Signature) -> None:
        self.f = f
        self.signature = signature
        self.changed: dict[int, str] = {}

    def __call__(self, arrays: Sequence[Any]) -> Any:
        """The result at these arrays, in the signature's order; it shares no memory with them."""
        given, _ = self.arguments(arrays)
        args, kwargs = self.arguments(arrays)
        result = self.f(*args, **kwargs)
        for number, (before, after) in enumerate(zip(given, args, strict=True)):
            if number not in self.changed and not _alike(before, after):
                names = parameter_names(self.f)
                self.changed[number] = names[number] if number < len(names) else str(number)
        return result

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
            copy = np.array(next(rest))
            leaves.append(copy.item() if spec.weak else copy[()])
        args, kwargs = unflatten(self.signature.structure, leaves)
        return list(args), kwargs


def _alike(before: Any, after: Any) -> bool:
    """Whether two trees hold the same leaves."""
    (old, structure), (new, other) = flatten(before), flatten(after)
    return structure == other and all(map(_same, old, new))


def _same(before: Any, after: Any) -> bool:
    if before is after:
        return True
    x, y = np.asarray(before), np.asarray(after)
    alike = x.dtype.kind == y.dtype.kind
    return alike and np.array_equal(x, y, equal_nan=x.dtype.kind in "fc")


def looped(
    f: Callable[..., list[Array]], arrays: Sequence[Any], position: int, values: Sequence[Array]
) -> Evaluate:
    """The outputs of a callable for several values of one argument, one after the other.

    NaN stands for them where the function raises, or turns complex, although its `values` at the
    point are real.
    """
    shape = np.shape(arrays[position])

    def evaluate(points: Any) -> list[Any]:
        results = []
        for point in points:
            arguments = list(arrays)
            arguments[position] = point.reshape(shape)[()]
            try:
                found = f(*arguments)
            except OUTSIDE:
                found = [np.full(value.shape, np.nan) for value in values]
            if not np.iscomplexobj(point):
                found = [
                    new if np.iscomplexobj(old) else in_the_reals(new)
                    for new, old in zip(found, values, strict=True)
                ]
            results.append(found)
        return [np.stack(output) for output in zip(*results, strict=True)]

    return evaluate


def extrapolated_along_axes(evaluate: Evaluate, x: Array, values: Sequence[Array]) -> list[Array]:
    """The derivative by every component of a flat x, stacked: one array (components, *output) an
    output; NaN where no step tells it.
    """
    if not values:
        return []
    floats = [value.dtype for value in values if value.dtype.kind == "f"]
    dtype = min([x.dtype, *floats], key=lambda kind: kind.itemsize)
    rows = []
    for component, direction in enumerate(np.eye(x.size, dtype=x.dtype)):

        def phi(t: float, direction: Array = direction) -> Array:
            found = values if t == 0.0 else evaluate((x + t * direction)[None])
            return np.concatenate([np.ravel(value) for value in found])

        near = abs(float(x[component]))
        rows.append(along(phi, scale=max(near, 1.0), dtype=dtype, near=near).value)
    stops = np.cumsum([value.size for value in values])[:-1]
    parts = np.split(np.stack(rows), stops, axis=1)
    return [
        part.reshape(-1, *value.shape).astype(np.result_type(value.dtype, x.dtype))
        for part, value in zip(parts, values, strict=True)
    ]
