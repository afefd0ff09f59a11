"""Calls of NumPy functions on which tracing is held against NumPy itself.

`CASES` maps every function to its calls: positional arrays are traced, keyword arguments static.
Ufuncs of single elements have their calls made from their number of arguments.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import difflab.tracing.trace  # noqa: F401 (fills SPELLINGS)
from difflab.ir.protocols import SPELLINGS
from difflab.table.arithmetic import cbrt_slope, root
from difflab.table.elementary import sech2, spherical_bessel
from difflab.table.special import erf, log_softmax, relu, sigmoid, softmax, softplus

_random = np.random.default_rng(7)


def _values(*shape: int) -> Any:
    """Distinct values of both signs, away from integers, halves and each other."""
    n = int(np.prod(shape))
    noise = _random.uniform(0.01, 0.1, n)
    return (_random.permutation(n) * 0.3137 - 0.157 * n + noise).reshape(shape)


X, Y = np.array(0.73), np.array(1.61)
V, W = _values(5), _values(5)
A, B, C, T = _values(3, 4), _values(4, 3), _values(3, 4), _values(2, 3, 4)
P, E = np.abs(A) + 0.2, np.zeros((0, 4))
M = _values(3, 3) / 2 + 3 * np.eye(3)
MM = np.stack([M, M.T + np.eye(3)])
SPD = M @ M.T + np.eye(3)
I = _random.integers(-5, 5, (3, 4))  # noqa: E741
K = A > 0.1
N = np.where(np.arange(12).reshape(3, 4) % 5 == 2, np.nan, A)
Z = np.array([np.inf, -np.inf, np.nan, 1.5, -0.0, 0.0])


class Case(NamedTuple):
    """One call: ``call(*args)``."""

    function: Any
    call: Callable[..., Any]
    args: tuple[Any, ...]
    name: str
    smooth: bool = True


CASES: dict[Any, list[Case]] = defaultdict(list)


def case(
    function: Any,
    *args: Any,
    call: Callable[..., Any] | None = None,
    smooth: bool = True,
    **static: Any,
) -> None:
    """Register a call of a function; `call` gives it in other words; not `smooth`: at a kink."""
    found = CASES[function]
    prefix = "linalg." if getattr(function, "__module__", "") == "numpy.linalg" else ""
    name = f"{prefix}{function.__name__}-{len(found)}"
    found.append(Case(function, call or functools.partial(function, **static), args, name, smooth))


def every(function: Any, array: Any, *settings: dict[str, Any]) -> None:
    """The same function and array with several settings."""
    for static in settings:
        case(function, array, **static)


# -- ufuncs of single elements ---------------------------------------------------------------------

UFUNCS = [
    f for f in SPELLINGS if isinstance(f, np.ufunc) and f.signature is None and f is not np.ldexp
]
BITS = (np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.invert)
LACKING = (sigmoid, softplus, relu, erf, sech2, cbrt_slope, spherical_bessel, root)


def _accepted(function: Any, *arrays: Any) -> bool:
    with np.errstate(all="ignore"):
        try:
            found = function(*arrays)
        except (TypeError, ValueError):
            return False
    found = found if isinstance(found, tuple) else (found,)
    return all(part.dtype.name in ("float64", "float32", "int64", "bool") for part in found)


for _f in (*UFUNCS, *LACKING):
    if getattr(_f, "nin", 1) == 1:
        _sets: list[tuple[Any, ...]] = [(X,), (A,), (P / 2.1,), (P + 1,), (E,), (Z,), (I,), (K,)]
    else:
        _sets = [(X, Y), (A, P), (P, A), (A, V[:4]), (T, A), (A[:, :1], V), (X, A), (P, X),
                 (E, V[:4]),
                 (Z, Z[::-1].copy()), (A, I), (I, I + 6), (K, A), (K, ~K)]  # fmt: skip
        if _accepted(_f, A, P):
            case(_f, A, call=functools.partial(lambda f, x: f(x, 2.5), _f))
            case(_f, A, call=functools.partial(lambda f, x: f(2.5, x), _f))
            case(_f, A, call=functools.partial(lambda f, x: f(x, np.float32(2.5)), _f))
            case(_f, A, call=functools.partial(lambda f, x: f(np.float64(2.5), x), _f))
            case(_f, A, call=functools.partial(lambda f, x: f(x, 2), _f))
            case(_f, A, call=functools.partial(lambda f, x: f(x, C), _f))
    for _arrays in _sets:
        integers = any(array.dtype.kind == "i" for array in _arrays)
        if not (_f in BITS and integers) and _accepted(_f, *_arrays):
            case(_f, *_arrays)
for _exponent in (0, 1, 2, 3, 0.5, -1, 1.5, -0.5, np.float64(2), np.float32(3), np.array(2.0)):
    case(np.power, P, call=functools.partial(lambda n, x: x**n, _exponent))
    case(np.power, np.abs(I) + 1, call=functools.partial(lambda n, x: x ** abs(n), _exponent))
case(np.power, P, np.array([0.5, 2.0, -1.0, 3.0]))
case(np.ldexp, A, call=lambda x: np.ldexp(x, 3))

# -- reductions ------------------------------------------------------------------------------------

AXES = [{}, {"axis": 0}, {"axis": -1}, {"axis": (0, 2)}, {"axis": (-1, 0), "keepdims": True},
        {"axis": 1, "keepdims": True}, {"keepdims": True}]  # fmt: skip
ONE_AXIS: list[dict[str, Any]] = [{}, {"axis": 0}, {"axis": -2}, {"axis": 2}]
for _f in (np.sum, np.prod, np.mean, np.var, np.std, np.max, np.min, np.amax, np.amin, np.ptp,
    np.all,
           np.any, np.median, np.nansum, np.nanprod, np.nanmean, np.nanvar, np.nanstd, np.nanmax,
           np.nanmin, np.count_nonzero):  # fmt: skip
    every(_f, T, *AXES)
    case(_f, X, smooth="std" not in _f.__name__)
    case(_f, I)
    case(_f, np.array([3.0]), smooth="std" not in _f.__name__)
    if _f is not np.ptp:
        case(_f, K, **({} if "min" in _f.__name__ or "max" in _f.__name__ else {"axis": 0}))
for _f in (np.sum, np.prod, np.all, np.any, np.count_nonzero):
    every(_f, E, {}, {"axis": 0}, {"axis": 1})
for _f in (np.nansum, np.nanprod, np.nanmean, np.nanvar, np.nanstd, np.nanmax, np.nanmin):
    every(_f, N, {}, {"axis": 0}, {"axis": 1, "keepdims": True})
for _f in (np.var, np.std, np.nanvar, np.nanstd):
    every(_f, A, {"ddof": 1}, {"axis": 0, "ddof": 2})
for _f in (np.var, np.std):
    case(_f, A, axis=1, correction=1)
for _f in (np.sum, np.mean, np.prod):
    every(_f, A, {"dtype": np.float32}, {"axis": 0, "dtype": "float64"})
case(np.sum, K, dtype=float)
case(np.max, E, axis=1, call=lambda x: np.max(x, axis=1))
case(np.median, Z[:4])
every(np.average, A, {}, {"axis": 0}, {"axis": 1, "keepdims": True}, {"weights": P},
    {"returned": True},
      {"axis": 1, "weights": V[:4]}, {"axis": 1, "weights": P[0], "returned": True})  # fmt: skip
case(np.average, A, call=lambda x: np.average(C, weights=x * x, axis=0))
for _f in (np.argmax, np.argmin):
    every(_f, T, *ONE_AXIS, {"axis": 1, "keepdims": True}, {"keepdims": True})
    every(_f, np.array([1.0, 3.0, 3.0, 1.0]), {})
    every(_f, K, {"axis": 1})
for _f in (np.nanargmax, np.nanargmin):
    every(_f, N, {}, {"axis": 0}, {"axis": 1, "keepdims": True})
for _f in (np.sort, np.argsort):
    every(_f, T, {}, {"axis": 0}, {"axis": 1}, {"axis": None}, {"kind": "stable"})
    case(_f, np.array([2.0, 1.0, np.nan, 0.0]))
for _f in (np.cumsum, np.cumprod):
    every(_f, T, *ONE_AXIS, {"axis": 0, "dtype": np.float32})
    case(_f, K, axis=0)
    case(_f, X)
for _f in (np.nancumsum, np.nancumprod):
    every(_f, N, {}, {"axis": 0}, {"axis": -1})
for _f in (np.cumulative_sum, np.cumulative_prod):
    every(_f, T, {"axis": 0}, {"axis": -1, "include_initial": True})
    every(_f, V, {}, {"include_initial": True})
for _f, _q in ((np.quantile, 1.0), (np.percentile, 100.0)):
    every(_f, T, *({"q": 0.3 * _q, **axes} for axes in AXES))
    every(
        _f,
        A,
        {"q": [0.0, 0.21 * _q, _q]},
        {"q": [[0.5 * _q, 0.25 * _q]], "axis": 1, "keepdims": True},
    )
    every(
        _f, V, *({"q": 0.3 * _q, "method": m} for m in ("lower", "higher", "nearest", "midpoint"))
    )
    case(_f, V, np.array(0.3 * _q))
    case(_f, I, q=0.5 * _q)
for _f in (np.count_nonzero, np.sum):
    case(_f, A, call=lambda x, f=_f: f(x > 0.0))

# -- choices and questions -------------------------------------------------------------------------

every(np.clip, A, {"a_min": -0.5, "a_max": 0.8}, {"min": 0.1}, {"max": 0.1}, {"a_min": C,
    "a_max": None},
      {"a_min": None, "a_max": None})  # fmt: skip
case(np.clip, A, C, call=lambda x, y: np.clip(0.3, x, y))
case(np.clip, I, a_min=-1, a_max=2)
case(np.where, K, A, C)
case(np.where, A, call=lambda x: np.where(x > 0, x, 0.0))
case(np.where, A, call=lambda x: np.where(x > 0, 1, x))
case(np.where, A, V[:4], call=lambda x, y: np.where(C > 0, x, y))
case(np.where, A, call=lambda x: np.where(x > 0))
case(np.select, A, call=lambda x: np.select([x < -0.5, x < 0.5], [x, x * x], -1.0))
case(np.choose, A, C, call=lambda x, y: np.choose((x > 0).astype(int), [x, y]))
case(np.piecewise, A, call=lambda x: np.piecewise(x, [x < 0, x >= 0], [np.sin, lambda t: t * t]))
case(np.piecewise, P - 1, call=lambda x: np.piecewise(x, [x > 0], [np.log, 0.5]))
case(np.piecewise, X, call=lambda x: np.piecewise(x, x > 0, [np.sqrt, 7.0]))
case(np.piecewise, V, call=lambda x: np.piecewise(x, [x > -0.5, x > 0.3], [np.cos, np.sin]))
for _d in (0, 1, 2, -1):
    every(np.round, A * 100, {"decimals": _d})
    every(np.around, A * 100, {"decimals": _d})
case(np.round, I)
every(np.nan_to_num, Z, {}, {"nan": 1.5, "posinf": 2.0, "neginf": -3.0})
case(np.nan_to_num, I)
for _f in (np.sinc, np.fix, np.angle, np.real, np.imag, np.isreal, np.iscomplex, np.real_if_close,
           np.isposinf, np.isneginf, np.copy, np.sort, np.ravel):  # fmt: skip
    case(_f, A)
case(np.sinc, np.array([0.0, 0.5, -1.0]))
case(np.i0, np.array([0.5, -1.0, 3.0]))
for _f in (np.isposinf, np.isneginf):
    case(_f, Z)
case(np.angle, A, deg=True)
for _f in (np.isclose, np.allclose):
    case(_f, A, A + 1e-9)
    case(_f, A, A * (1 + 1e-3), rtol=1e-2)
    case(_f, Z, Z)
    case(_f, Z, Z, equal_nan=True)
for _f in (np.array_equal, np.array_equiv):
    case(_f, A, A + 0.0)
    case(_f, A, C)
    case(_f, A, V)
case(np.array_equal, N, N + 0.0, equal_nan=True)
case(np.array_equiv, A, A[0])
every(np.isin, I, {"test_elements": [1, 2]}, {"test_elements": [[1, 2]], "invert": True})
for _f in (np.zeros_like, np.ones_like):
    every(_f, A, {}, {"dtype": int}, {"shape": (2, 2)}, {"shape": 3})
every(np.full_like, A, {"fill_value": 2.0}, {"fill_value": 2, "dtype": int}, {"fill_value": V[:4]},
      {"fill_value": 1, "shape": (2,)})  # fmt: skip
case(np.full_like, X, call=lambda x: np.full_like(x, 3.0, shape=(2,)) * x)
case(np.full_like, A, X, call=lambda a, x: np.full_like(a, x))
for _f in (np.nonzero, np.flatnonzero, np.argwhere):
    case(_f, A, call=lambda x, f=_f: f(x > 0))
    case(_f, I)

# -- what NumPy lacks ------------------------------------------------------------------------------

for _f in (softmax, log_softmax):
    every(_f, T, {}, {"axis": 0}, {"axis": -2})
    case(_f, I)


def plain() -> Iterator[tuple[Any, Callable[..., Any]]]:
    """Functions whose answers are not arrays."""
    yield np.shape, lambda x: np.shape(x)
    yield np.ndim, lambda x: np.ndim(x)
    yield np.size, lambda x: np.size(x)
    yield np.size, lambda x: np.size(x, 1)
    yield np.result_type, lambda x: np.result_type(x, np.float32)
    yield np.result_type, lambda x: np.result_type(x, 1.0)
    yield np.iscomplexobj, lambda x: np.iscomplexobj(x)
    yield np.isrealobj, lambda x: np.isrealobj(x)
