"""What has kinks, jumps or truth values: extremes, rounding to integers, comparisons, np.where.

Where a partial is a convention (at a kink), it is written so that its own derivative there is NaN.
Ball cells take an exact operand exactly, whatever the precision; where a ball holds a jump, the
result holds both sides; what is unknown (NaN) stays unknown. A zero counts as positive: balls have
no signed zeros.
"""

from __future__ import annotations

import operator
from fractions import Fraction
from typing import Any, Final

import numpy as np

from difflab.ir.rounding import Local, exact, nearest_unless
from difflab.ir.row import (
    NOT_HOLOMORPHIC,
    Primitive,
    Sample,
    Unsupported,
    elementwise,
    linear,
    sample,
)
from difflab.table.arithmetic import distance_to_integer


def tri(yes: Any, no: Any) -> bool | None:
    """A comparison of balls: True or False where it is certain, else None."""
    return True if yes else False if no else None


def tri_and(a: bool | None, b: bool | None) -> bool | None:
    """Both, of three truth values."""
    return tri(a and b, a is False or b is False)


def tri_or(a: bool | None, b: bool | None) -> bool | None:
    """Either, of three truth values."""
    return tri(a or b, a is False and b is False)


def convert(x: Any, dtype: Any) -> Any:
    """An array in another of the four dtypes."""
    return np.asarray(x).astype(dtype)


def _converted_symbol(S: Any, x: Any, dtype: Any) -> Any:
    truth = isinstance(x, S.logic.boolalg.Boolean) and not isinstance(x, S.Expr)  # not a symbol
    return S.Piecewise((1, x), (0, True)) if truth else x


def sign_ball(x: Any) -> Any:
    return x if x.is_nan() else x.sgn()


def step_ball(x: Any, middle: Any) -> Any:
    """The Heaviside function of a ball; at exactly zero the middle value."""
    step = middle if x.is_zero() else (sign_ball(x) + 1) / 2
    return step.union(middle) if x.contains(0) else step


def copysign_ball(a: Any, b: Any) -> Any:
    return abs(a) if b.is_zero() else abs(a) * sign_ball(b)


def where_ball(condition: Any, a: Any, b: Any) -> Any:
    return a.union(b) if condition is None else a if condition else b


def rint_ball(x: Any) -> Any:
    """To the nearest integer; a tie, which an exact ball alone can show, to the even one."""
    if abs(x) < 0.5:
        return 0 * x
    if x.is_exact() and x.is_finite():
        mantissa, exponent = map(int, x.man_exp())
        return type(x)(round(mantissa * Fraction(2) ** exponent)) if exponent < 0 else x
    return (x + 0.5).floor()


def convert_ball(x: Any, dtype: Any) -> Any:
    """Casts between floats are the identity on real numbers; those to integers truncate."""
    if dtype not in ("int64", "bool") or not hasattr(x, "sgn"):
        return x
    if dtype == "bool":
        return False if x.is_zero() else None if x.contains(0) else True
    return trunc_ball(x)


def trunc_ball(x: Any) -> Any:
    """Toward zero; a ball inside (-1, 1) is no longer cut in two by its sign."""
    return 0 * x if abs(x) < 1 else abs(x).floor() * sign_ball(x)


def _convert_rounding(y: Any, x: Any, dtype: Any) -> Local:
    return nearest_unless(x.dtype.kind != "f" or x.dtype.itemsize <= y.dtype.itemsize, y)


def flags(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Random truth values."""
    return rng.integers(0, 2, shape).astype(bool)


def _two_choices(rng: np.random.Generator, shape: tuple[int, ...]) -> list[Sample]:
    a, b = (1.5 * rng.normal(size=shape) for _ in "ab")
    return [sample(flags(rng, shape), a, b)]


NOT_NUMBERS: Final = Unsupported("integers and truth values have no plain-float reading")


def _comparison(ufunc: np.ufunc, sign: str, latex: str, sympy: Any, yes: Any, no: Any) -> Primitive:
    return elementwise(
        ufunc, partials=lambda y, a, b: (0.0, 0.0), sympy=sympy,
        ball=lambda a, b: tri(yes(a, b), no(a, b)),
        complex=lambda a, b: ufunc(np.real(a), np.real(b)),
        scalar=f"({{0}} {sign} {{1}})", dtype="bool",
        kink=lambda a, b: 1.0 * a - b,  # also of truth values
        text=f"{{0}} {sign} {{1}}", latex=f"{{0}} {latex} {{1}}", precedence=5,
        native=lambda v, a, b: v.compare(sign, a, b),
    )  # fmt: skip


def _logic(
    ufunc: np.ufunc, also: np.ufunc, native: Any, sympy: str, ball: Any, latex: str, arity: int = 2
) -> Primitive:
    return elementwise(
        ufunc, partials=lambda y, *x: (0.0,) * arity, sympy=sympy, ball=ball, scalar=NOT_NUMBERS,
        dtype="bool", latex=latex, arity=arity,
        sample=lambda rng, shape: [sample(*[flags(rng, shape) for _ in range(arity)])],
        also=(also,), native=lambda v, *x: native(*[part.converted("i1") for part in x]),
    )  # fmt: skip


def _to_integer(ufunc: np.ufunc, sympy: Any, ball: Any, scalar: str, jump: Any) -> Primitive:
    return elementwise(
        ufunc, partials=lambda y, x: 0.0, sympy=sympy, ball=ball, complex=NOT_HOLOMORPHIC,
        scalar=scalar, kink=jump, rounding=exact, native=ufunc.__name__,
    )  # fmt: skip


# fmt: off
ROWS: Final[tuple[Primitive, ...]] = (
    elementwise(np.absolute, partials=lambda y, x: np.sign(x), sympy="Abs", ball=abs,
        scalar="abs({0})", name="abs", emit="absolute({0}, {out})",
        complex=lambda z: np.where(z.real < 0, -z, z), kink=lambda x: x, latex=r"\left|{0}\right|",
        also=(np.fabs,), rounding=exact, weak=True, tame=True, native=lambda v, x: abs(x)),
    elementwise(np.maximum,
        partials=lambda y, a, b: (np.heaviside(a - b, 0.5), np.heaviside(b - a, 0.5)), sympy="Max",
        ball=lambda a, b: a.max(b), complex=lambda a, b: np.where(a.real >= b.real, a, b),
        kink=lambda a, b: a - b, scalar="({0} if {0} >= {1} or {0} != {0} else {1})",
        latex=r"\max\left({0}, {1}\right)", rounding=exact, tame=True, commutative=True,
        choice=lambda a, b: (~np.less(a, b), ~np.less(b, a)),
        native=lambda v, a, b: v.maximum(a, b)),
    elementwise(np.minimum,
        partials=lambda y, a, b: (np.heaviside(b - a, 0.5), np.heaviside(a - b, 0.5)), sympy="Min",
        ball=lambda a, b: a.min(b), complex=lambda a, b: np.where(a.real <= b.real, a, b),
        kink=lambda a, b: a - b, scalar="({0} if {0} <= {1} or {0} != {0} else {1})",
        latex=r"\min\left({0}, {1}\right)", rounding=exact, tame=True, commutative=True,
        choice=lambda a, b: (~np.less(b, a), ~np.less(a, b)),
        native=lambda v, a, b: v.minimum(a, b)),
    elementwise(np.sign, partials=lambda y, x: 0.0, sympy="sign", ball=sign_ball, kink=lambda x: x,
        complex=lambda z: np.sign(z.real) + 0j,
        scalar="(1.0 if {0} > 0.0 else -1.0 if {0} < 0.0 else {0})", rounding=exact, tame=True,
        native=lambda v, x: (x > 0).choose(1, (x < 0).choose(-1, x.equals(0).choose(0, x)))),
    elementwise(np.heaviside, partials=lambda y, x, h: (0.0, np.where(x == 0.0, 1.0, 0.0)),
        sympy="Heaviside", ball=step_ball,
        complex=lambda z, h: np.heaviside(z.real, np.real(h)) + 0j, kink=lambda x, h: x,
        scalar="(1.0 if {0} > 0.0 else 0.0 if {0} < 0.0 else {1} if {0} == 0.0 else {0})",
        rounding=exact, tame=True,
        native=lambda v, x, h: (x > 0).choose(1, (x < 0).choose(0, x.equals(0).choose(h, x)))),
    elementwise(np.copysign, partials=lambda y, a, b: (np.sign(a) * np.copysign(1.0, b), 0.0),
        sympy=lambda S, a, b: S.Abs(a) * S.sign(b), ball=copysign_ball,
        complex=lambda a, b: np.where(np.signbit(a.real) == np.signbit(b.real), a, -a),
        kink=lambda a, b: a * b, scalar="copysign({0}, {1})", rounding=exact, tame=True,
        native="copysign"),
    _to_integer(np.floor, "floor", "floor", "float(floor({0}))", distance_to_integer),
    _to_integer(np.ceil, "ceiling", "ceil", "float(ceil({0}))", distance_to_integer),
    _to_integer(np.trunc, lambda S, x: S.sign(x) * S.floor(S.Abs(x)), trunc_ball,
        "float(trunc({0}))", distance_to_integer),
    _to_integer(np.rint, Unsupported("SymPy has no rounding half to even"), rint_ball,
        "float(round({0}))", lambda x: x - np.floor(x) - 0.5),
    linear(np.where,
        transpose=lambda ct, c, a, b: (None, np.where(c, ct, 0.0), np.where(c, 0.0, ct)), arity=3,
        sympy=lambda S, c, a, b: S.Piecewise((a, c), (b, True)), ball=where_ball,
        scalar="({1} if {0} else {2})", text="{1} if {0} else {2}", precedence=1,
        latex=r"\begin{{cases}} {1} & {0} \\ {2} & \text{{otherwise}} \end{{cases}}",
        rounding=exact, choice=lambda c, a, b: (None, c, ~c), sample=_two_choices,
        native=lambda v, c, a, b: c.choose(a, b)),
    linear(convert,
        transpose=lambda ct, x, dtype: (ct.astype(x.dtype) if x.dtype.kind == "f" else None,),
        sympy=_converted_symbol, ball=convert_ball, complex=lambda z, dtype: z, scalar=NOT_NUMBERS,
        kink=lambda x, dtype=float: {"i": x - np.rint(x), "b": x}.get(np.dtype(dtype).kind, 1.0),
        emit="{0}.astype({dtype})", text="{dtype}({0})", latex="{0}", rounding=_convert_rounding,
        native=lambda v, x, dtype: v.convert(x, dtype), params=({"dtype": "float64"},),
        sample=lambda rng, shape: [sample(1.5 * rng.normal(size=shape), dtype="float64")]),
    _comparison(np.greater, ">", ">", "Gt", operator.gt, operator.le),
    _comparison(np.greater_equal, ">=", r"\ge", "Ge", operator.ge, operator.lt),
    _comparison(np.less, "<", "<", "Lt", operator.lt, operator.ge),
    _comparison(np.less_equal, "<=", r"\le", "Le", operator.le, operator.gt),
    _comparison(np.equal, "==", "=", "Eq", operator.eq, operator.ne),
    _comparison(np.not_equal, "!=", r"\ne", "Ne", operator.ne, operator.eq),
    _logic(np.logical_and, np.bitwise_and, operator.and_, "And", tri_and,
        r"\left({0} \wedge {1}\right)"),
    _logic(np.logical_or, np.bitwise_or, operator.or_, "Or", tri_or, r"\left({0} \vee {1}\right)"),
    _logic(np.logical_xor, np.bitwise_xor, operator.xor, "Xor",
        lambda a, b: None if a is None or b is None else bool(a != b),
        r"\left({0} \oplus {1}\right)"),
    _logic(np.logical_not, np.invert, operator.invert, "Not",
        lambda a: None if a is None else not a, r"\neg \left({0}\right)", 1),
    elementwise(np.isfinite, partials=lambda y, x: 0.0, sympy="IsFinite", ball="is_finite",
        scalar="isfinite({0})", dtype="bool", native="isfinite"),
    elementwise(np.isnan, partials=lambda y, x: 0.0, sympy="IsNaN", ball="is_nan",
        scalar="isnan({0})", dtype="bool", native="isnan"),
    elementwise(np.isinf, partials=lambda y, x: 0.0, sympy="IsInfinite",
        ball=lambda x: not x.is_finite() and not x.is_nan(), scalar="isinf({0})",
        dtype="bool", native="isinf"),
)
# fmt: on
