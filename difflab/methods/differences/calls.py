"""Functions that can only be called: their values at many points.

What flows: points come in a batch, as they do for a traceable function, and the function is called
for one after the other. The invariant: results have the shapes that the stencils ask for, and NaN
stands where the function has no value.

>>> evaluate = looped(lambda x: [np.array(np.sin(x))], [np.float64(0.0)], 0, [np.array(0.0)])
>>> evaluate(np.zeros((2, 1)))
[array([0., 0.])]
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from difflab.errors import ShapeError, UnsupportedError
from difflab.ir.expr import Array
from difflab.methods.differences.stencils import Evaluate
from difflab.tracing.held import NO_BOUND

_OTHER_METHOD = "use another method, such as method='richardson'"
OUTSIDE = (ArithmeticError, ValueError)
"""What a function raises outside its domain."""


def in_the_reals(values: Array) -> Array:
    """Values with NaN where they are complex, as a power of a negative Python float is.

    >>> in_the_reals(np.array([1.0, 1j]))
    array([ 1., nan])
    """
    if not np.iscomplexobj(values):
        return values
    return np.where(values.imag == 0.0, values.real, np.nan)


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
            if [new.shape for new in found] != [old.shape for old in values]:
                raise ShapeError(
                    "beside the point the function returns arrays of other shapes",
                    "choose a point at which it does not branch, or return the same shapes",
                )
            results.append(found)
        return [np.stack(output) for output in zip(*results, strict=True)]

    return evaluate


def need_alike_on_complex(
    f: Callable[..., list[Array]], points: Sequence[Sequence[Any]], wrt: Sequence[int]
) -> None:
    """Raise `UnsupportedError` where a function does something else on complex arguments than on
    real ones, so that a complex step would tell the derivative of another function.
    """
    for arrays in points:
        stepped = [a + 1e-100j if i in wrt else a for i, a in enumerate(arrays)]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", np.exceptions.ComplexWarning)
                pairs = [*zip(f(*stepped), f(*arrays), strict=True)]
        except OUTSIDE:
            continue
        except (TypeError, np.exceptions.ComplexWarning) as error:
            raise UnsupportedError(
                f"the function does not take complex numbers: {error}", _OTHER_METHOD
            ) from None
        for found, value in pairs:
            size = NO_BOUND * np.max(np.abs(value[np.isfinite(value)]), initial=0.0)
            if np.any(np.abs(found.real - value) > size):
                raise UnsupportedError(
                    "on complex numbers the function computes something else than on real ones",
                    _OTHER_METHOD,
                )
