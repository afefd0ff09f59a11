"""Functions that can only be called: their values at many points, and their derivatives.

What flows: points come in a batch, as they do for a traceable function, and the function is called
for one after the other. The invariant: results have the shapes of the stencil text's, so that
`Numerical` treats both kinds of functions alike.

>>> evaluate = looped(lambda x: [np.sin(x)], [np.float64(0.0)], 0, ())
>>> (slopes,) = extrapolated_along_axes(evaluate, np.array([0.0]), [np.array(0.0)])
>>> print(abs(slopes[0] - 1.0) < 1e-14)
True
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from difflab.ir.expr import Array
from difflab.methods.extrapolation import along

Evaluate = Callable[[Any], list[Any]]


def looped(
    f: Callable[..., list[Any]], arrays: Sequence[Any], position: int, shape: tuple[int, ...]
) -> Evaluate:
    """The outputs of a callable for several values of one argument, one after the other."""

    def evaluate(points: Any) -> list[Any]:
        results = []
        for point in points:
            arguments = list(arrays)
            arguments[position] = point.reshape(shape)[()]
            results.append([np.asarray(value) for value in f(*arguments)])
        return [np.stack(output) for output in zip(*results, strict=True)]

    return evaluate


def extrapolated_along_axes(evaluate: Evaluate, x: Array, values: Sequence[Array]) -> list[Array]:
    """The derivative by every component of a flat x, stacked: one array (components, *output) an
    output; NaN where no step tells it.
    """
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
