"""What flows along the edges is the rounding error, from each operation to the outputs.

A running error analysis (Wilkinson 1963; Linnainmaa 1976; Higham 2002, section 3.3) by one reverse
sweep: an operation that rounds its result by d moves an output by the cotangent times d. So the
error of an output is, to first order, the sum over all operations of |cotangent| times the local
rounding. Two figures come of it: the `bound`, which adds the largest local roundings, and the
`typical` error, a root mean square, which adds roundings that are independent and evenly spread
between two floats.

The invariants: inputs and constants are exact; what is exact in floats (movement, choices, signs,
powers of two, differences of close numbers) rounds nothing. Roundings are counted in units in the
last place of the result, not in relative errors, which vary by a factor of two within a binade.

>>> import numpy as np
>>> from difflab.tracing.trace import trace
>>> (error,) = rounding_error(trace(lambda x: 1.0 - np.cos(x), 1e-4), [1e-4])
>>> print(error.bound >= np.spacing(np.cos(1e-4)))  # the cosine's ulp, though the value is 5e-9
True
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from difflab.errors import UnsupportedError
from difflab.ir.expr import Array, Expr, Graph, evaluate, placeholder
from difflab.readings.cotangents import cotangents_of_all

EVEN: Final = 12**-0.5
"""The root mean square of a number that is evenly spread over an interval of length 1."""
LIBRARY: Final = {8: (2.0, 0.3), 4: (4.0, 0.45)}
"""Ulps of NumPy's functions, largest and typical, by the size of a float in bytes. Measured: 1.8
and 0.26 to 0.33 in float64, 2.7 and 0.2 to 0.6 in float32."""
WRITTEN: Final = {
    "sigmoid": {8: (2.6, 0.55), 4: (6.6, 0.65)},
    "sech2": {8: (2.9, 0.6), 4: (6.6, 0.65)},
    "cbrt_slope": {8: (2.5, 0.5), 4: (2.5, 0.5)},
}
"""The same of functions that difflab writes in several operations, by analysis; typical ones are
measured.

With u half an ulp of 1, exp within 1.04 u (2.5 ulps in float32: 5 u), and half an ulp for the last
quotient: sigmoid has exp/(1 + s) and 1 + s, u each; sech2 has exp tanh|x| and (1 + s)^2, at most
1.91 u, not both at once (2.35 u; 6 u); cbrt_slope has 2/3, 1/3 and 1 u, and no error of cbrt.
"""


@dataclass(frozen=True, slots=True)
class Rounding:
    """The rounding error of an output, to first order: arrays of the output's shape."""

    bound: Array
    """What it cannot exceed."""
    typical: Array
    """Its root mean square over many points nearby."""


class Local(NamedTuple):
    """What one operation rounds: so many ulps of numbers of some size."""

    size: Any
    largest: float
    typical: float


def rounding_error(
    graph: Graph, arrays: Sequence[Any], beside: Sequence[Any] | None = None
) -> list[Rounding]:
    """The rounding errors of a program's outputs at a point.

    Parameters
    ----------
    graph
        The program, which runs as it is traced: one NumPy call a node.
    arrays
        The point: one array an input, exact.
    beside
        Another point. Then only the roundings of what differs there count: the others are the same
        at both points and cancel in a difference.

    Returns
    -------
    list[Rounding]
        ``.bound`` and ``.typical``, for each output.

    Raises
    ------
    UnsupportedError
        If an operation has no derivative.

    Examples
    --------
    >>> from difflab.tracing.trace import trace
    >>> (error,) = rounding_error(trace(lambda x: x * x, 0.7), [0.7])
    >>> print(error.bound == 0.5 * np.spacing(0.49))
    True
    """
    return RunningError(graph)(arrays, beside)


class RunningError:
    """The sweep of a graph, made once, to be read at many points."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.seeds = [placeholder(out.shape, out.dtype, "cotangent") for out in graph.outputs]
        self.cotangents: list[dict[Expr, Expr]] = []
        for out, seed in zip(graph.outputs, self.seeds, strict=True):
            found = cotangents_of_all([out], [seed]) if out.differentiable else {}
            self.cotangents.append(
                {node: ct for node, ct in found.items() if ct is not None and node.operands}
            )

    def __call__(
        self, arrays: Sequence[Any], beside: Sequence[Any] | None = None
    ) -> list[Rounding]:
        """`rounding_error` of the graph at a point."""
        values = self.values(arrays)
        others = None if beside is None else self.values(beside)
        local: dict[Expr, Local] = {}
        with np.errstate(all="ignore"):
            for node in {node for found in self.cotangents for node in found}:
                rounds = local_rounding(node, values)
                if others is not None:
                    moves = values[node] != others[node]
                    rounds = rounds._replace(size=np.where(moves, rounds.size, 0.0))
                local[node] = rounds
            return [self._gathered(k, values, local) for k in range(len(self.seeds))]

    def values(self, arrays: Sequence[Any]) -> dict[Expr, Any]:
        """The value of every node."""
        known: dict[Expr, Any] = dict(zip(self.graph.inputs, map(np.asarray, arrays), strict=True))
        evaluate([*self.graph.outputs, *self.graph.inputs], known)
        return known

    def _gathered(self, k: int, values: dict[Expr, Any], local: dict[Expr, Local]) -> Rounding:
        """One sweep an element of the output."""
        seed = self.seeds[k]
        bound, squares = np.zeros(seed.size), np.zeros(seed.size)
        for i in range(seed.size):
            unit = np.zeros(seed.size, seed.dtype)
            unit[i] = 1.0
            known = {**values, seed: unit.reshape(seed.shape)}
            evaluate(self.cotangents[k].values(), known)
            for node, ct in self.cotangents[k].items():
                rounds = local[node]
                moved = _flowing(np.abs(known[ct]), ulp(rounds.size))
                bound[i] += rounds.largest * np.sum(moved)
                squares[i] += rounds.typical**2 * np.sum(np.square(moved))
        return Rounding(bound.reshape(seed.shape), np.sqrt(squares).reshape(seed.shape))


def _flowing(ct: Array, rounding: Array) -> Array:
    """Their product; what no cotangent reaches does not count, and NaN means no bound."""
    product = ct.astype(np.float64) * rounding
    return np.where((ct == 0.0) | (rounding == 0.0), 0.0, np.where(product >= 0, product, np.inf))


def ulp(size: Any) -> Array:
    """The distance between floats at some size; 0 at 0, where nothing is rounded.

    >>> print(ulp(1.0) == 2.0**-52, ulp(0.0))
    True 0.0
    """
    return np.where(size == 0.0, 0.0, np.spacing(np.abs(size))).astype(np.float64)


# Local roundings ----------------------------------------------------------------------------------


def local_rounding(node: Expr, values: dict[Expr, Any]) -> Local:
    """What one operation rounds, for operands taken as exact."""
    row = node.primitive
    if row.name in EXACT:
        return Local(np.zeros(node.shape), 0.0, 0.0)
    operands = [values[x] for x in node.operands]
    rule = RULES.get(row.name) or (_library if row.kind == "pointwise" else None)
    if rule is None:
        raise UnsupportedError(f"the rounding of {row.name} is not known", line=node.line)
    return rule(values[node], *operands, **dict(node.params))


EXACT: Final = frozenset(
    (
        *("expand", "reshape", "transpose", "getitem", "place", "gather", "concatenate"),
        *(
            "negative",
            "abs",
            "sign",
            "copysign",
            "heaviside",
            "maximum",
            "minimum",
            "where",
            "relu",
        ),
        *("floor", "ceil", "trunc", "rint", "floor_divide", "max", "share_of_largest", "sign_det"),
    )
)
"""Rows whose result is a float already."""


def _library(y: Any, *x: Any, **params: Any) -> Local:
    return Local(_not_zero(y), *LIBRARY[y.dtype.itemsize])


def _written(name: str) -> Callable[..., Local]:
    return lambda y, *x: Local(_not_zero(y), *WRITTEN[name][y.dtype.itemsize])


def _nearest(y: Any, *x: Any, **params: Any) -> Local:
    """Correctly rounded."""
    return Local(y, 0.5, EVEN)


def _root(y: Any, x: Any) -> Local:
    """Correctly rounded; at 0 the squares under it may have underflowed."""
    kind = np.finfo(y.dtype)
    lost = 2.0**8 * np.sqrt(float(kind.smallest_subnormal)) / float(kind.eps)
    return Local(np.where(y == 0.0, lost, y).astype(y.dtype), 0.5, EVEN)


def _unless(exact: Any, y: Any) -> Local:
    return Local(np.where(exact, 0.0, _not_zero(y)), 0.5, EVEN)


def _not_zero(y: Any) -> Any:
    """A result that underflowed has lost all that it was."""
    return np.maximum(np.abs(y), np.finfo(y.dtype).smallest_subnormal)


def _sum_of_two(y: Any, a: Any, b: Any) -> Local:
    """Exact where the result is on the coarser grid that both operands are on (Sterbenz)."""
    grids = [np.where(x == 0.0, np.inf, np.spacing(np.abs(x))) for x in (a, b)]
    return _unless(np.spacing(np.abs(y)) <= np.minimum(*grids), y)


def _product(y: Any, a: Any, b: Any) -> Local:
    scaled = (_power_of_two(a) | _power_of_two(b)) & _normal(y)
    return _unless(scaled | (a == 0.0) | (b == 0.0), y)


def _quotient(y: Any, a: Any, b: Any) -> Local:
    return _unless((_power_of_two(b) & _normal(y)) | (a == 0.0), y)


def _one_operand(y: Any, x: Any) -> Local:
    """Square and reciprocal: exact for powers of two; of 0 it may be one of what underflowed."""
    return _unless(_power_of_two(x) & _normal(y), y)


def _power_of_two(x: Any) -> Any:
    return np.abs(np.frexp(x)[0]) == 0.5


def _normal(y: Any) -> Any:
    return np.abs(y) >= np.finfo(y.dtype).tiny


def _constant_power(y: Any, x: Any, exponent: float) -> Local:
    """The library's, and in float32 the rounding of the exponent, which costs |log x| ulps."""
    lost = abs(exponent - float(x.dtype.type(exponent))) / np.finfo(x.dtype).eps
    if lost == 0.0:
        return _library(y)
    more = 1.0 + lost * np.abs(np.log(np.abs(x)))
    return Local(y * np.where(np.isfinite(more), more, 1.0).astype(y.dtype), *LIBRARY[4])


def _convert(y: Any, x: Any, dtype: Any) -> Local:
    return _unless(x.dtype.kind != "f" or x.dtype.itemsize <= y.dtype.itemsize, y)


def _largest_part(y: Any, a: Any, b: Any) -> Local:
    """logaddexp: the larger operand and a logarithm, which may cancel."""
    return _library(np.maximum(np.abs(y), np.maximum(np.abs(a), np.abs(b))))


def _added(size: Any, n: float, products: float = 0.0) -> Local:
    """A sum of n numbers, in any order, of products with so many roundings each.

    No partial sum exceeds the sum of the absolute values, which is the size. In NumPy's pairwise
    order few partial sums come near it: 3 is about the sum of their squares, in its squares.
    """
    largest = 0.5 * (n - 1.0) + products
    squares = min(0.5 * (n - 1.0), 3.0) + products / max(n, 1.0)
    return Local(size, largest, EVEN * squares**0.5)


def _sum(y: Any, x: Any, axes: Any) -> Local:
    return _added(np.add.reduce(np.abs(x), axes), x.size / max(y.size, 1))


def _cumsum(y: Any, x: Any, axis: int) -> Local:
    return _added(np.add.accumulate(np.abs(x), axis), x.shape[axis])


def _scatter_add(y: Any, x: Any, *i: Any, shape: Any) -> Local:
    """As many additions an element as any element gets."""
    counts, size = np.zeros(shape), np.zeros(shape, x.dtype)
    np.add.at(counts, i, 1.0)
    np.add.at(size, i, np.abs(x))
    return _added(size, max(float(np.max(counts, initial=0.0)), 1.0))


def _matmul(y: Any, a: Any, b: Any) -> Local:
    return _added(np.abs(a) @ np.abs(b), a.shape[-1], 1.0)


def _einsum(y: Any, *x: Any, subscripts: str) -> Local:
    size = np.einsum(subscripts, *map(np.abs, x))
    inputs, output = subscripts.split("->")
    lengths = dict(zip(inputs.replace(",", ""), [n for part in x for n in part.shape], strict=True))
    n = float(np.prod([lengths[letter] for letter in set(lengths) - set(output)]))
    return _added(size, n, len(x) - 1.0)


# Factorisations: the result is exact for a matrix that differs by n ulps of |L||U| or |L||L'|,
# taken as |A| where pivots do not grow (Higham 2002, chapters 9 and 10).


def _inverse(a: Any) -> Any:
    try:
        return np.abs(np.linalg.inv(a))
    except np.linalg.LinAlgError:
        return np.full_like(a, np.nan)


def _solve(y: Any, a: Any, b: Any) -> Local:
    return _backward(_inverse(a) @ (np.abs(a) @ np.abs(y)), a)


def _log_abs_det(y: Any, a: Any) -> Local:
    relative = np.sum(np.swapaxes(_inverse(a), -1, -2) * np.abs(a), (-2, -1))
    return _backward(np.abs(y) + relative, a)


def _det(y: Any, a: Any) -> Local:
    return _backward(np.abs(y) * _log_abs_det(np.zeros_like(y), a).size, a)


def _adjugate(y: Any, a: Any) -> Local:
    """As of the determinant, relative to the largest entry."""
    n = a.shape[-1]
    return Local(np.max(np.abs(y), (-2, -1), keepdims=True) + 0.0 * y, 2.0 * n * n, EVEN * n)


def _cholesky(y: Any, a: Any) -> Local:
    """|L| lower(|L⁻¹| |L||L'| |L⁻¹|'), from dL = L lower(L⁻¹ dA L⁻¹')."""
    lower, inverse = np.abs(y), _inverse(y)
    inner = inverse @ lower
    return _backward(lower @ np.tril(inner @ np.swapaxes(inner, -1, -2)), a)


def _backward(size: Any, a: Any) -> Local:
    n = a.shape[-1]
    return Local(size, 2.0 * n, EVEN)


def _softmax(y: Any, x: Any, axis: int) -> Local:
    """The shifted argument's rounding, the exponential's, the sum's and the quotient's."""
    shift = np.abs(x - np.max(x, axis, keepdims=True))
    largest, typical = LIBRARY[y.dtype.itemsize]
    n = x.shape[axis]
    return Local(y * (1.0 + shift), 2.0 * largest + 0.5 * n + 1.0, 2.0 * typical)


def _log_softmax(y: Any, x: Any, axis: int) -> Local:
    """As of softmax, but absolute: a sum near 1 has a logarithm near 0."""
    part = _softmax(np.ones_like(y), x, axis)
    return part._replace(size=np.max(part.size, axis, keepdims=True) + np.abs(y))


RULES: Final[dict[str, Callable[..., Local]]] = {
    **{name: _written(name) for name in WRITTEN},
    **dict.fromkeys(("sqrt", "remainder"), _nearest),
    "root": _root,
    **dict.fromkeys(("add", "subtract"), _sum_of_two),
    **dict.fromkeys(("square", "reciprocal"), _one_operand),
    "multiply": _product,
    "divide": _quotient,
    "constant_power": _constant_power,
    "convert": _convert,
    "logaddexp": _largest_part,
    "sum": _sum,
    "cumsum": _cumsum,
    "scatter_add": _scatter_add,
    "matmul": _matmul,
    "einsum": _einsum,
    "solve": _solve,
    "det": _det,
    "log_abs_det": _log_abs_det,
    "adjugate": _adjugate,
    "cholesky": _cholesky,
    "softmax": _softmax,
    "log_softmax": _log_softmax,
}
"""How much the rows round that are neither exact nor a function of NumPy's library."""
