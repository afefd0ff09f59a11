"""What NumPy's functions mean on complex values: real functions of their two parts.

What flows: pairs, real nodes, and complex or real numbers and arrays come in; one of them is
complex. The real spellings, and NumPy on real nodes, compute the parts: of a linear function both
parts alike, of a product the products of parts, of others the textbook formulas, in the form that
keeps digits and overflows late. Branch cuts are NumPy's. What stands here goes into `COMPLEX`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from difflab.errors import UnsupportedError
from difflab.ir.build import promoted
from difflab.ir.pair import Pair, pair, parts
from difflab.ir.protocols import SPELLINGS, TracedArray, is_complex
from difflab.spellings.algebra import by_letters
from difflab.spellings.spelling import NP, spells
from difflab.table.elementary import exactly, sech2
from difflab.table.movement import join

Meaning = Callable[..., Any]

# -- both parts alike ------------------------------------------------------------------------------


def _part(value: Any, i: int) -> Any:
    """A part of a value, or of every one in a list, with its zeros spelt out."""
    if isinstance(value, (list, tuple)):
        return [_part(one, i) for one in value]
    if is_complex(value):
        return (value.re, value.im)[i] if type(value) is Pair else (value.real, value.imag)[i]
    if i == 0 or value is None:
        return value
    known = hasattr(value, "dtype") and not getattr(value, "weak", False)
    return np.zeros(value.shape, value.dtype) if known else 0


def _is_zero(value: Any, i: int) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_is_zero(one, i) for one in value)
    return value is None or parts(value)[i] is None


def _joined(re: Any, im: Any, signed: bool) -> Any:
    """What came of both parts, in the list or tuple in which it came; None: all of it is zero."""
    known = im if re is None else re
    if isinstance(known, (list, tuple)):
        zeros = [None] * len(known)
        each = map(_joined, re or zeros, im or zeros, itertools.repeat(signed))
        return type(known)(list(each))
    return Pair(re, im, signed)


def of_parts(function: Any, names: str = "") -> Meaning:
    """A function that is linear in its first argument, or in those of some names together."""

    def meaning(*args: Any, **kwargs: Any) -> Any:
        spelling: Any = SPELLINGS[function]
        given = spelling.signature.bind(*args, **kwargs)
        known = dict(given.arguments)
        linear = [name for name in names.split() or [next(iter(known))] if name in known]
        if any(is_complex(value) for name, value in known.items() if name not in linear):
            raise UnsupportedError(
                f"np.{function.__name__} with complex options cannot be traced", "make them real"
            )
        found: list[Any] = [None, None]
        for i in (0, 1):
            if not all(_is_zero(known[name], i) for name in linear):
                given.arguments |= {name: _part(known[name], i) for name in linear}
                found[i] = spelling(*given.args, **given.kwargs)
        signed = any(getattr(known[name], "signed", False) for name in linear)
        return _joined(found[0], found[1], signed or function is np.negative)

    return meaning


LINEAR: dict[Any, str] = {
    **dict.fromkeys(
        (TracedArray.__getitem__, np.reshape, np.ravel, np.transpose, np.swapaxes, np.moveaxis,
         np.rollaxis, np.expand_dims, np.squeeze, np.broadcast_to, np.flip, np.fliplr, np.flipud,
         np.roll, np.rot90, np.repeat, np.tile, np.resize, np.take, np.take_along_axis, np.delete,
         np.diagonal, np.diag, np.diagflat, np.trace, np.tril, np.triu, np.matrix_transpose,
         np.linalg.diagonal, np.linalg.trace, np.linalg.matrix_transpose, np.split, np.array_split,
         np.hsplit, np.vsplit, np.dsplit, np.unstack, np.sum, np.mean, np.cumsum,
         np.cumulative_sum, np.gradient, np.trapezoid, np.copy, np.positive, np.negative, np.rint,
         np.round, np.concatenate, np.stack, np.hstack, np.vstack, np.dstack, np.column_stack,
         np.block, np.atleast_1d, np.atleast_2d, np.atleast_3d, np.broadcast_arrays, np.meshgrid),
        "",
    ),
    join: "", np.where: "x y", np.select: "choicelist default", np.append: "arr values",
    np.insert: "arr values", np.diff: "a prepend append", np.ediff1d: "ary to_end to_begin",
    np.compress: "a", np.extract: "arr", np.interp: "fp left right", np.full_like: "a fill_value",
}  # fmt: skip
"""The arguments in which a function is linear; none: the first."""


@spells(np.pad)
def pad(array: Any, pad_width: Any, mode: str = "constant", **kwargs: Any) -> Any:
    options = [{name: _part(value, i) for name, value in kwargs.items()} for i in (0, 1)]
    re, im = (NP.pad(_part(array, i), pad_width, mode, **options[i]) for i in (0, 1))
    return Pair(re, im)


# -- sums and products -----------------------------------------------------------------------------


def _plus(x: Any, y: Any) -> Any:
    """x + y, where None is zero."""
    return y if x is None else x if y is None else NP.add(x, y)


def _minus(x: Any, y: Any) -> Any:
    """x - y, where None is zero."""
    return x if y is None else NP.negative(y) if x is None else NP.subtract(x, y)


def _each(function: Any, value: Any, *rest: Any) -> Pair:
    """A linear function of both parts that are not zero."""
    a, b = (None if x is None else function(x, *rest) for x in parts(value))
    return Pair(a, b)


def _product(function: Meaning, *operands: Any) -> Pair:
    """A function that is linear in each operand: with i for each imaginary part that is taken."""
    taken = [parts(x) for x in operands]
    found: list[Any] = [None, None]
    for choice in itertools.product((0, 1), repeat=len(operands)):
        chosen = [both[i] for i, both in zip(choice, taken, strict=True)]
        if all(x is not None for x in chosen):
            half, i = divmod(sum(choice) % 4, 2)
            found[i] = (_minus if half else _plus)(found[i], function(*chosen))
    return Pair(*found)


def of_two(function: Any, conjugated: str = "") -> Meaning:
    """A function that is linear in its first two arguments, one of which may be conjugated."""

    def meaning(*args: Any, **kwargs: Any) -> Any:
        spelling: Any = SPELLINGS[function]
        options = spelling.signature.bind(*args, **kwargs).arguments
        pairs = [(name, options.pop(name)) for name in list(options)[:2]]
        operands = [conjugate(x) if name == conjugated else x for name, x in pairs]
        return _product(lambda a, b: spelling(a, b, **options), *operands)

    return meaning


BILINEAR: dict[Any, str] = {
    **dict.fromkeys(
        (np.matmul, np.linalg.matmul, np.dot, np.inner, np.outer, np.linalg.outer, np.kron,
         np.tensordot, np.linalg.tensordot, np.convolve, np.cross, np.linalg.cross,
         getattr(np, "matvec", None)),
        "",
    ),
    np.vdot: "a", np.correlate: "v",
    **dict.fromkeys((np.vecdot, np.linalg.vecdot, getattr(np, "vecmat", None)), "x1"),
}  # fmt: skip
"""Functions that are linear in their first two arguments, and which of these is conjugated."""


def _scaled(x: Any, y: Any) -> Any:
    """x * y, but for the units of 1j."""
    for a, b in ((x, y), (y, x)):
        if type(a) is float and abs(a) == 1.0:
            return b if a > 0 else NP.negative(b)
    return NP.multiply(x, y)


@spells(np.multiply)
def multiply(x1: Any, x2: Any) -> Any:
    return _product(_scaled, x1, x2)


@spells(np.add)
def add(x1: Any, x2: Any) -> Any:
    return Pair(*map(_plus, parts(x1), parts(x2)))


@spells(np.subtract)
def subtract(x1: Any, x2: Any) -> Any:
    return Pair(*map(_minus, parts(x1), parts(x2)))


@spells(np.einsum, refuses="out dtype order casting", ignores="optimize")
def einsum(*operands: Any) -> Any:
    subscripts, *arrays = by_letters(*operands)
    return _product(lambda *x: NP.einsum(subscripts, *x), *arrays)


@spells(np.divide)
def divide(x1: Any, x2: Any) -> Any:
    """By z/|z|, then by |z|: it overflows late, as Smith's method (1962) does, but is smooth."""
    c, d = parts(x2)
    if d is None:
        return _each(NP.divide, x1, c)
    x, y = _alike(x1, x2)
    size = absolute(y)
    return _each(NP.divide, multiply(x, conjugate(_each(NP.divide, y, size))), size)


@spells(np.conjugate)
def conjugate(x: Any) -> Any:
    a, b = parts(x)
    return Pair(a, b if b is None else NP.negative(b), signed=True)


def _alike(*values: Any) -> list[Pair]:
    """Values as pairs of one dtype."""
    taken = [x for value in values for x in parts(value)]
    known = iter(promoted(*[x for x in taken if x is not None], floating=True))
    nodes = [None if x is None else next(known) for x in taken]
    signed = [getattr(value, "signed", False) for value in values]
    return list(map(Pair, nodes[::2], nodes[1::2], signed))


def _powered(x: Any, n: int, times: Meaning) -> Any:
    """The n-th power, n > 0, by repeated squaring."""
    found = None
    while n:
        if n % 2:
            found = x if found is None else times(found, x)
        n //= 2
        x = times(x, x) if n else x
    return found


@spells(np.power)
def power(x1: Any, x2: Any) -> Any:
    """Whole exponents below 100 by multiplication, as in NumPy."""
    z, exponent = _alike(x1, x2)
    if not isinstance(x2, TracedArray) and np.ndim(x2) == 0:
        p = complex(x2)
        if p == 0.5 and z.shape:  # of numbers, the general way
            return sqrt(z)
        if p.imag == 0.0 and p.real.is_integer() and abs(p) < 100.0:
            found = _powered(z, abs(int(p.real)), multiply) if p else Pair(NP.ones_like(z.re), None)
            return divide(1.0, found) if p.real < 0.0 else found
    return exp(multiply(exponent, log(z)))


@spells(np.linalg.matrix_power)
def matrix_power(a: Any, n: int) -> Any:
    if n <= 0:
        a = np.eye(a.shape[-1], dtype=a.dtype) if n == 0 else inv(a)
    return _powered(a, abs(n), NP.matmul) if n else pair(np.broadcast_to(a, a.shape))


@spells(np.prod, refuses="out initial where dtype")
def prod(a: Any, axis: int | None = None, *, keepdims: bool = False) -> Any:
    """By halves: the depth of the graph grows with the logarithm of the length."""
    z = NP.ravel(a) if axis is None else NP.moveaxis(a, axis, 0)
    while (n := len(z)) > 1:
        half = z[: n // 2] * z[n // 2 : n // 2 * 2]
        z = NP.concatenate([half, z[-1:]]) if n % 2 else half
    found = z[0] if len(z) else NP.sum(z, 0) + 1.0
    if not keepdims:
        return found
    return NP.reshape(found, (1,) * a.ndim) if axis is None else NP.expand_dims(found, axis)


@spells(np.cumprod, refuses="out dtype")
def cumprod(a: Any, axis: int | None = None) -> Any:
    """By doubling (Hillis and Steele 1986)."""
    z = NP.ravel(a) if axis is None else NP.moveaxis(a, axis, 0)
    step = 1
    while step < len(z):
        z, step = NP.concatenate([z[:step], z[step:] * z[:-step]]), 2 * step
    return z if axis is None else NP.moveaxis(z, 0, axis)


# -- functions of single elements ------------------------------------------------------------------


@spells(np.absolute)
def absolute(x: Any) -> Any:
    a, b = parts(x)
    return NP.hypot(a, b) if a is not None and b is not None else NP.abs(a if b is None else b)


def _on_cut(z: Pair) -> Any:
    """The imaginary part, where -0.0 is 0.0 if it is in NumPy: it says on which side z is."""
    return z.im if z.signed or parts(z)[1] is None else z.im - 0.0 * z.im


@spells(np.angle)
def angle(z: Any, deg: bool = False) -> Any:
    w = pair(z)
    found = NP.arctan2(_on_cut(w), w.re)
    return NP.rad2deg(found) if deg else found


@spells(np.exp)
def exp(x: Any) -> Any:
    a, b = parts(x)
    if b is None:
        return Pair(NP.exp(a), None)
    turned = Pair(NP.cos(b), NP.sin(b))
    return turned if a is None else multiply(NP.exp(a), turned)


@spells(np.log)
def log(x: Any) -> Any:
    """Near |x| = 1 the real part is as exact as |x|, whose rounding it shows."""
    return Pair(NP.log(absolute(x)), angle(x))


@spells(np.sqrt)
def sqrt(x: Any) -> Any:
    """Without cancellation: the root of (|re| + |x|) / 2 is one part, and im over it the other."""
    z = pair(x)
    right = z.re >= 0
    # Not abs: where the real part is zero, the root goes on smoothly.
    large = NP.sqrt(0.5 * NP.where(right, z.re, -z.re) + 0.5 * absolute(z))
    small = z.im / NP.where(large == 0, 1, 2 * large)
    return Pair(
        NP.where(right, large, NP.abs(small)),
        NP.where(right, small, NP.copysign(large, _on_cut(z))),
    )


def _turned(function: Meaning, x: Any) -> Pair:
    """-i f(i x): the trigonometric functions of the hyperbolic ones."""
    a, b = parts(x)
    w = function(Pair(None if b is None else NP.negative(b), a))
    return Pair(w.im, -w.re)


@spells(np.sinh)
def sinh(x: Any) -> Any:
    z = pair(x)
    return Pair(NP.sinh(z.re) * NP.cos(z.im), NP.cosh(z.re) * NP.sin(z.im))


@spells(np.cosh)
def cosh(x: Any) -> Any:
    z = pair(x)
    return Pair(NP.cosh(z.re) * NP.cos(z.im), NP.sinh(z.re) * NP.sin(z.im))


@spells(np.tanh)
def tanh(x: Any) -> Any:
    """Over cosh^2 of the real part, so that nothing overflows; the sum has no signs to cancel."""
    z = pair(x)
    slope, cos = sech2(z.re), NP.cos(z.im)
    size = NP.square(NP.tanh(z.re)) + NP.square(cos) * slope
    return Pair(NP.tanh(z.re) / size, NP.sin(z.im) * cos * slope / size)


@spells(np.astype, ignores="copy device")
def astype(x: Any, dtype: Any, /) -> Any:
    kind = np.dtype(dtype)
    if kind.kind != "c":
        raise UnsupportedError(f"{kind} drops the imaginary part", "take np.real(z) or np.abs(z)")
    real = np.zeros((), kind).real.dtype
    return _each(lambda part: NP.astype(part, real), pair(x))


@spells(np.equal)
def equal(x1: Any, x2: Any) -> Any:
    (a, b), (c, d) = ((z.re, z.im) for z in _alike(x1, x2))
    return (a == c) & (b == d)


# -- linear algebra and polynomials ----------------------------------------------------------------


@spells(np.linalg.solve)
def solve(a: Any, b: Any) -> Any:
    """The real system of twice the size."""
    if not is_complex(a):
        return _each(lambda part: NP.linalg.solve(a, part), b)
    m, y = _alike(a, b)
    axis = -1 if y.ndim == 1 else -2
    rows = [NP.concatenate(row, -1) for row in ((m.re, -m.im), (m.im, m.re))]
    right = NP.concatenate([y.re, y.im], axis)
    return Pair(*NP.split(NP.linalg.solve(NP.concatenate(rows, -2), right), 2, axis))


@spells(np.linalg.inv)
def inv(a: Any) -> Any:
    return solve(a, np.broadcast_to(np.eye(a.shape[-1], dtype=a.dtype), a.shape))


@spells(np.polyval)
def polyval(p: Any, x: Any) -> Any:
    first, *rest = pair(p)
    at = pair(x)
    return reduce(lambda value, c: value * at + c, rest, first + 0 * at)


def _of_size(function: Any) -> Meaning:
    return lambda x, *args, **options: SPELLINGS[function](absolute(x), *args, **options)


def _of_dtype(function: Any) -> Meaning:
    """What NumPy tells of an array, or makes like it, without its values."""
    return lambda a, *args, **options: function(
        np.empty(pair(a).shape, pair(a).dtype), *args, **options
    )


def _var(a: Any, axis: Any, ddof: Any, keepdims: Any) -> Any:
    z = pair(a)
    re, im = (NP.var(part, axis, ddof=ddof, keepdims=keepdims) for part in (z.re, z.im))
    return re + im


_OF_SIZES = (np.linalg.norm, np.linalg.vector_norm, np.linalg.matrix_norm)
_OF_DTYPES = (
    np.shape, np.ndim, np.size, np.isrealobj, np.iscomplexobj, np.zeros_like, np.ones_like,
)  # fmt: skip


IN_A_LINE = [
    spells(TracedArray.__bool__)(lambda self: bool(~equal(self, 0))),
    spells(np.real)(lambda val: pair(val).re),
    spells(np.imag)(lambda val: pair(val).im),
    spells(np.square)(lambda x: multiply(x, x)),
    spells(np.reciprocal)(lambda x: divide(1.0, x)),
    spells(np.log2)(lambda x: log(x) / exactly(np.log, 2.0, pair(x).re)),
    spells(np.log10)(lambda x: log(x) / exactly(np.log, 10.0, pair(x).re)),
    spells(np.sin)(lambda x: _turned(sinh, x)),
    spells(np.tan)(lambda x: _turned(tanh, x)),
    spells(np.cos)(lambda x: cosh(multiply(1j, x))),
    spells(np.not_equal)(lambda x1, x2: ~equal(x1, x2)),
    spells(np.isfinite)(lambda x: NP.isfinite(pair(x).re) & NP.isfinite(pair(x).im)),
    spells(np.isinf)(lambda x: NP.isinf(pair(x).re) | NP.isinf(pair(x).im)),
    spells(np.isnan)(lambda x: NP.isnan(pair(x).re) | NP.isnan(pair(x).im)),
    spells(np.isreal)(lambda x: pair(x).im == 0),
    spells(np.iscomplex)(lambda x: pair(x).im != 0),
    spells(np.linalg.multi_dot)(lambda arrays: reduce(NP.matmul, arrays)),
    spells(np.var)(lambda a, axis=None, *, ddof=0, keepdims=False: _var(a, axis, ddof, keepdims)),
    spells(np.std)(
        lambda a, axis=None, *, ddof=0, keepdims=False: NP.sqrt(_var(a, axis, ddof, keepdims))
    ),
]
OF_KINDS: dict[Any, Meaning] = {
    **{function: of_parts(function, names) for function, names in LINEAR.items()},
    **{function: of_two(function, conjugated) for function, conjugated in BILINEAR.items()},
    **{function: _of_size(function) for function in _OF_SIZES},
    **{function: _of_dtype(function) for function in _OF_DTYPES},
}
"""What is spelt by the kind of a function: called as the real spelling, or as NumPy itself."""
