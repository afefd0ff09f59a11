"""How NumPy's functions of single elements are spelt in primitives, where they are no row.

Special values are NumPy's own: NaN, infinities, -0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from difflab.errors import UnsupportedError
from difflab.ir.build import as_dtype, broadcast, lift, pointwise, promoted, reshaped
from difflab.ir.expr import Expr
from difflab.ir.protocols import is_weak
from difflab.ir.row import TABLE
from difflab.spellings.axes import integers
from difflab.spellings.movement import ravel
from difflab.spellings.selection import nonzero, truth
from difflab.spellings.spelling import NP, spells
from difflab.table.elementary import spherical_bessel
from difflab.table.movement import scatter_add

# -- arithmetic ------------------------------------------------------------------------------------


def floating(x: Any) -> Any:
    """A node with integers and truth values made float64."""
    return promoted(x, floating=True)[0]


@spells(np.power)
def power(x1: Any, x2: Any) -> Any:
    """Constant exponents have rows of their own, with shorter and more accurate partials."""
    if isinstance(x2, Expr) or np.ndim(x2) != 0:
        return pointwise(TABLE["power"], x1, x2)
    x, exponent = lift(x1), float(x2)
    if x.dtype.kind != "f" and np.asarray(x2).dtype.kind != "f":
        return pointwise(TABLE["power"], x, x2)
    if not is_weak(x2) or x.dtype.kind != "f":
        x = promoted(x1, x2, floating=True)[0]
    if exponent == 0.0:
        return broadcast(as_dtype(1.0, x.dtype), x.shape)
    short = {1.0: lift, 2.0: NP.square, -1.0: NP.reciprocal, 0.5: NP.sqrt}.get(exponent)
    return short(x) if short else pointwise(TABLE["constant_power"], x, exponent=exponent)


def _bits(name: str, *values: Any) -> Any:
    operands = [lift(value) for value in values]
    if any(x.dtype != bool for x in operands):
        raise UnsupportedError(
            "operations on the bits of integers cannot be traced",
            "compute them outside, or compare first: (x > 0) & (y > 0)",
        )
    return pointwise(TABLE[name], *operands)


@spells(np.fmod)
def fmod(x1: Any, x2: Any) -> Any:
    """The remainder of the magnitudes, which is exact, with the sign of x1."""
    x, y = promoted(x1, x2)
    size = NP.abs(y)
    below = signbit(x) if x.dtype.kind == "f" else x < 0
    return where(below, -NP.remainder(-x, size), NP.remainder(x, size))


@spells(np.modf)
def modf(x: Any) -> Any:
    y = floating(x)
    whole = NP.trunc(y)
    part = where(signbit(y), -(whole - y), y - whole)
    return where(NP.isinf(y), NP.copysign(y.dtype.type(0), y), part), whole


@spells(np.ldexp)
def ldexp(x1: Any, x2: Any) -> Any:
    y = floating(x1)
    return y * NP.exp2(as_dtype(x2, y.dtype))


@spells(np.round, np.around, refuses="out")
def round_(a: Any, decimals: int = 0) -> Any:
    x = lift(a)
    if x.dtype.kind != "f":
        if decimals >= 0:
            return as_dtype(x, np.dtype(int))
        raise UnsupportedError("np.round of integers cannot be traced", "round them outside")
    if decimals == 0:
        return NP.rint(x)
    scale = 10.0 ** abs(decimals)
    return NP.rint(x * scale) / scale if decimals > 0 else NP.rint(x / scale) * scale


@spells(np.logaddexp2)
def logaddexp2(x1: Any, x2: Any) -> Any:
    x, y = promoted(x1, x2, floating=True)
    ln2 = math.log(2.0)
    return NP.logaddexp(x * ln2, y * ln2) / ln2


@spells(np.angle)
def angle(z: Any, deg: bool = False) -> Any:
    x = floating(z)
    found = NP.arctan2(x.dtype.type(0), x)
    return NP.rad2deg(found) if deg else found


@spells(np.imag)
def imag(val: Any) -> Any:
    x = lift(val)
    return np.zeros(x.shape, x.dtype)


# -- choices ---------------------------------------------------------------------------------------


@spells(np.where)
def where(condition: Any, x: Any = None, y: Any = None, /) -> Any:
    if x is None and y is None:
        return nonzero(condition)
    return pointwise(TABLE["where"], truth(condition), x, y)


@spells(np.select)
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    found = default
    for condition, choice in reversed(list(zip(condlist, choicelist, strict=True))):
        found = where(condition, choice, found)
    return found


@spells(np.choose, refuses="out")
def choose(a: Any, choices: Any, mode: str = "raise") -> Any:
    which, parts = lift(a), promoted(*choices)
    if mode != "raise":
        last = len(parts) - 1
        which = NP.clip(which, 0, last) if mode == "clip" else which % len(parts)
    return select([which == i for i in range(len(parts))], parts, parts[0].dtype.type(0))


@spells(np.piecewise)
def piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **kw: Any) -> Any:
    """Each piece is computed on its own elements only, as in NumPy: the conditions are guards."""
    y = NP.atleast_1d(lift(x))
    single = not isinstance(condlist, (list, tuple)) and np.ndim(condlist) <= y.ndim
    conditions = [broadcast(truth(c), y.shape) for c in ([condlist] if single else condlist)]
    if len(funclist) == len(conditions) + 1:
        conditions.append(~select(conditions, [True] * len(conditions), False))
    found: Any = as_dtype(0.0, y.dtype)
    taken: Any = np.zeros(y.shape, bool)
    for condition, function in reversed(list(zip(conditions, funclist, strict=False))):
        # Later pieces win where conditions overlap.
        inside = nonzero(condition & ~taken)
        taken = taken | condition
        part = function(y[inside], *args, **kw) if callable(function) else function
        part = broadcast(as_dtype(part, y.dtype), inside[0].shape)
        found = found + scatter_add(part, *map(lift, inside), shape=y.shape)
    return reshaped(found, lift(x).shape)


@spells(np.clip, refuses="out where casting order dtype subok signature")
def clip(a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    low, high = (a_min if a_min is not None else min), (a_max if a_max is not None else max)
    x = lift(a) if low is None else NP.maximum(lift(a), low)
    x = x if high is None else NP.minimum(x, high)
    if low is None or high is None or isinstance(low, Expr) or isinstance(high, Expr):
        return x
    closed = np.greater_equal(low, high)
    return where(closed & (x == x), as_dtype(high, x.dtype), x) if np.any(closed) else x


@spells(np.fmax)
def fmax(x1: Any, x2: Any) -> Any:
    x, y = promoted(x1, x2)
    return where(NP.isnan(x), y, where(NP.isnan(y), x, NP.maximum(x, y)))


@spells(np.fmin)
def fmin(x1: Any, x2: Any) -> Any:
    x, y = promoted(x1, x2)
    return where(NP.isnan(x), y, where(NP.isnan(y), x, NP.minimum(x, y)))


@spells(np.nan_to_num, ignores="copy")
def nan_to_num(x: Any, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    y = lift(x)
    if y.dtype.kind != "f":
        return y
    largest = float(np.finfo(y.dtype).max)
    high, low = (largest if posinf is None else posinf), (-largest if neginf is None else neginf)
    return where(NP.isnan(y), nan, where(NP.isposinf(y), high, where(NP.isneginf(y), low, y)))


# -- questions -------------------------------------------------------------------------------------


@spells(np.signbit)
def signbit(x: Any) -> Any:
    y = floating(x)
    return NP.copysign(y.dtype.type(1), y) < 0


@spells(np.isclose)
def isclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    x, y = promoted(a, b, floating=True)
    near = (NP.abs(x - y) <= atol + rtol * NP.abs(y)) & NP.isfinite(y) | (x == y)
    return near | (NP.isnan(x) & NP.isnan(y)) if equal_nan else near


@spells(np.allclose)
def allclose(
    a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Any:
    return NP.all(isclose(a, b, rtol, atol, equal_nan))


@spells(np.array_equal)
def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Any:
    x, y = promoted(a1, a2)
    if x.shape != y.shape:
        return False
    alike = x == y
    return NP.all(alike | (NP.isnan(x) & NP.isnan(y)) if equal_nan else alike)


@spells(np.array_equiv)
def array_equiv(a1: Any, a2: Any) -> Any:
    x, y = promoted(a1, a2)
    try:
        np.broadcast_shapes(x.shape, y.shape)
    except ValueError:
        return False
    return NP.all(x == y)


@spells(np.isin, ignores="assume_unique kind")
def isin(element: Any, test_elements: Any, invert: bool = False) -> Any:
    x, tested = promoted(element, test_elements)
    found = NP.any(x[..., None] == ravel(tested), -1)
    return ~found if invert else found


# -- arrays of the same shape ----------------------------------------------------------------------


def _filled(a: Any, value: Any, dtype: Any, shape: Any) -> Any:
    x = lift(a)
    wanted = x.shape if shape is None else tuple(integers(shape))
    return np.full(wanted, value, dtype or x.dtype)


@spells(np.zeros_like, refuses="device", ignores="order subok")
def zeros_like(a: Any, dtype: Any = None, shape: Any = None) -> Any:
    return _filled(a, 0, dtype, shape)


@spells(np.ones_like, refuses="device", ignores="order subok")
def ones_like(a: Any, dtype: Any = None, shape: Any = None) -> Any:
    return _filled(a, 1, dtype, shape)


@spells(np.full_like, refuses="device", ignores="order subok")
def full_like(a: Any, fill_value: Any, dtype: Any = None, shape: Any = None) -> Any:
    x = lift(a)
    wanted = x.shape if shape is None else tuple(integers(shape))
    return NP.broadcast_to(as_dtype(fill_value, np.dtype(dtype or x.dtype)), wanted)


# -- what is known without values ------------------------------------------------------------------


@spells(np.shape)
def shape(a: Any) -> tuple[int, ...]:
    return lift(a).shape


@spells(np.ndim)
def ndim(a: Any) -> int:
    return lift(a).ndim


@spells(np.size)
def size(a: Any, axis: int | None = None) -> int:
    x = lift(a)
    return x.size if axis is None else x.shape[axis]


@spells(np.result_type)
def result_type(*arrays_and_dtypes: Any) -> np.dtype[Any]:
    kinds = [
        (0.0 if is_weak(x) else x.dtype) if isinstance(x, Expr) else x for x in arrays_and_dtypes
    ]
    return np.result_type(*kinds)


# -- in a line each --------------------------------------------------------------------------------

IN_A_LINE = [
    spells(np.float_power)(lambda x1, x2: power(as_dtype(x1, np.dtype(float)), x2)),
    spells(np.fabs)(lambda x: NP.abs(floating(x))),
    spells(np.bitwise_and)(lambda x1, x2: _bits("logical_and", x1, x2)),
    spells(np.bitwise_or)(lambda x1, x2: _bits("logical_or", x1, x2)),
    spells(np.bitwise_xor)(lambda x1, x2: _bits("logical_xor", x1, x2)),
    spells(np.invert)(lambda x: _bits("logical_not", x)),
    spells(np.logical_and)(lambda x1, x2: pointwise(TABLE["logical_and"], truth(x1), truth(x2))),
    spells(np.logical_or)(lambda x1, x2: pointwise(TABLE["logical_or"], truth(x1), truth(x2))),
    spells(np.logical_xor)(lambda x1, x2: pointwise(TABLE["logical_xor"], truth(x1), truth(x2))),
    spells(np.logical_not)(lambda x: pointwise(TABLE["logical_not"], truth(x))),
    spells(np.divmod)(lambda x1, x2: (NP.floor_divide(x1, x2), NP.remainder(x1, x2))),
    spells(np.fix, refuses="out")(lambda x: NP.trunc(x)),
    spells(np.deg2rad, np.radians)(lambda x: floating(x) * (math.pi / 180.0)),
    spells(np.rad2deg, np.degrees)(lambda x: floating(x) * (180.0 / math.pi)),
    spells(np.sinc)(lambda x: spherical_bessel(math.pi * floating(x))),
    spells(np.isposinf, refuses="out")(lambda x: lift(x) == np.inf),
    spells(np.isneginf, refuses="out")(lambda x: lift(x) == -np.inf),
    spells(np.iscomplex)(lambda x: np.zeros(lift(x).shape, bool)),
    spells(np.isreal)(lambda x: np.ones(lift(x).shape, bool)),
    spells(np.iscomplexobj)(lambda x: False),
    spells(np.isrealobj)(lambda x: True),
]
