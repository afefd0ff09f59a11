"""THE TABLE, one row a primitive: here the pointwise ones; structural.py moves and reduces.

Partials are chosen for their digits: each is within 4 ulps of the true partial over its whole
float64 domain, which accuracy/digits.py certifies with balls on samples across all exponents. Where
a shorter formula is common but loses digits (``1 - y*y`` for tanh), the longer one stands here.
They must also differentiate to any order, so where a partial chooses (``np.where``), all choices
are the same function.

>>> import numpy as np
>>> from difflab.ir.row import TABLE
>>> row = TABLE["tanh"]
>>> float(row.derivative.rule(np.tanh(20.0), 20.0))
1.699341702116...e-17
"""

from __future__ import annotations

import operator
from typing import Any, Final

import numpy as np

from difflab.ir.row import (
    ABOVE_MINUS_ONE,
    ABOVE_ONE,
    OPERATOR,
    POSITIVE,
    REALS,
    UNIT,
    Primitive,
    Unsupported,
    elementwise,
    enter,
    linear,
    multilinear,
)
from difflab.table.ball_rules import (
    cbrt_ball,
    constant_power_ball,
    convert_ball,
    copysign_ball,
    floor_of_quotient,
    logaddexp_ball,
    rint_ball,
    sech2_ball,
    sign_ball,
    spherical_bessel_ball,
    step_ball,
    trunc_ball,
    where_ball,
)
from difflab.table.operations import NOT_HOLOMORPHIC, tri, tri_and, tri_or
from difflab.table.partials import (
    constant_power_partial,
    cosine,
    exactly,
    exp2_partial,
    exponent_partial,
    gaussian,
    logaddexp_partial,
    over_square,
    power_partial,
    root_partial,
    spherical_bessel_partial,
)
from difflab.table.special import (
    cbrt_slope,
    complex_spherical_bessel,
    erf,
    relu,
    root,
    sech2,
    sigmoid,
    softplus,
    spherical_bessel,
)
from difflab.table.structural import STRUCTURAL

NOT_NUMBERS: Final = Unsupported("integers and truth values have no plain-float reading")


def convert(x: Any, dtype: Any) -> Any:
    """An array in another of the four dtypes."""
    return np.asarray(x).astype(dtype)


def _converted_symbol(S: Any, x: Any, dtype: Any) -> Any:
    truth = isinstance(x, S.logic.boolalg.Boolean) and not isinstance(x, S.Expr)  # not a symbol
    return S.Piecewise((1, x), (0, True)) if truth else x


def _sech2_complex(z: Any) -> Any:
    s = np.exp(np.where(z.real < 0, 2.0 * z, -2.0 * z))
    return 4.0 * s / (1.0 + s * (2.0 + s))


def constant_power(x: Any, exponent: float) -> Any:
    """x to a constant power."""
    return np.power(x, x.dtype.type(exponent))


def _comparison(ufunc: np.ufunc, sign: str, latex: str, sympy: Any, yes: Any, no: Any) -> Primitive:
    return elementwise(
        ufunc, partials=lambda y, a, b: (0.0, 0.0), sympy=sympy,
        ball=lambda a, b: tri(yes(a, b), no(a, b)),
        complex=lambda a, b: ufunc(np.real(a), np.real(b)),
        scalar=f"({{0}} {sign} {{1}})", dtype="bool",
        kink=lambda a, b: 1.0 * a - b,  # also of truth values
        text=f"{{0}} {sign} {{1}}", latex=f"{{0}} {latex} {{1}}", precedence=5,
    )  # fmt: skip


def _logic(ufunc: np.ufunc, sympy: str, ball: Any, latex: str, arity: int = 2) -> Primitive:
    return elementwise(
        ufunc, partials=lambda y, *x: (0.0,) * arity, sympy=sympy, ball=ball, scalar=NOT_NUMBERS,
        dtype="bool", latex=latex, arity=arity,
        also=({np.logical_and: (np.bitwise_and,), np.logical_or: (np.bitwise_or,),
        np.logical_xor: (np.bitwise_xor,), np.logical_not: (np.invert,)}[ufunc]),
    )  # fmt: skip


def _rounding(ufunc: np.ufunc, sympy: Any, ball: Any, scalar: str, jump: Any) -> Primitive:
    return elementwise(
        ufunc, partials=lambda y, x: 0.0, sympy=sympy, ball=ball, complex=NOT_HOLOMORPHIC,
        scalar=scalar, kink=jump,
    )  # fmt: skip


def _distance_to_integer(x: Any) -> Any:
    return x - np.rint(x)


# fmt: off
POINTWISE: Final[tuple[Primitive, ...]] = (
    # arithmetic
    linear(np.negative, transpose=lambda ct, x: (-ct,), sympy=lambda S, x: -x, ball=operator.neg,
           scalar="-{0}", text="-{0}", latex="-{0}", precedence=OPERATOR + 2),
    linear(np.add, transpose=lambda ct, a, b: (ct, ct), sympy=lambda S, a, b: a + b,
           ball=operator.add, scalar="{0} + {1}", text="{0} + {1}", latex="{0} + {1}",
           precedence=OPERATOR),
    linear(np.subtract, transpose=lambda ct, a, b: (ct, -ct), sympy=lambda S, a, b: a - b,
           ball=operator.sub, scalar="{0} - {1}", text="{0} - {1}", latex="{0} - {1}",
           precedence=OPERATOR),
    multilinear(np.multiply, transposes=(lambda ct, a, b: ct * b, lambda ct, a, b: ct * a),
                sympy=lambda S, a, b: a * b, ball=operator.mul, scalar="{0} * {1}",
                text="{0} * {1}", latex=r"{0} \, {1}", precedence=OPERATOR + 1),
    elementwise(np.divide, partials=lambda y, a, b: (np.reciprocal(b), -y / b),
                sympy=lambda S, a, b: a / b, ball=operator.truediv, scalar="{0} / {1}",
                domain=(REALS, POSITIVE), text="{0} / {1}", latex=r"\frac{{{0}}}{{{1}}}",
                precedence=OPERATOR + 1),
    elementwise(np.reciprocal, partials=lambda y, x: -np.square(y), sympy=lambda S, x: 1 / x,
                ball=lambda x: 1 / x, scalar="1.0 / {0}", domain=POSITIVE,
                text="1 / {0}", latex=r"\frac{{1}}{{{0}}}", precedence=OPERATOR + 1),
    elementwise(np.square, partials=lambda y, x: 2.0 * x, sympy=lambda S, x: x**2,
                ball=lambda x: x * x, scalar="{0} * {0}", text="{0}^2", latex="{0}^{{2}}",
                precedence=OPERATOR + 3),
    elementwise(np.power,
                partials=lambda y, x, n: (power_partial(y, x, n), exponent_partial(y, x, n)),
                sympy=lambda S, x, n: x**n, ball=operator.pow, scalar="pow({0}, {1})",
                domain=(POSITIVE, REALS), text="{0}^{1}", latex="{0}^{{{1}}}",
                precedence=OPERATOR + 3),
    elementwise(constant_power, partials=constant_power_partial, domain=POSITIVE,
                scalar="pow({0}, {exponent})",
                sympy=lambda S, x, exponent: x ** S.nsimplify(exponent, rational=True),
                ball=constant_power_ball,
                emit="power({0}, {exponent}, {out})", text="{0}^{exponent}",
                latex="{0}^{{{exponent}}}", precedence=OPERATOR + 3),
    elementwise(np.sqrt, partials=lambda y, x: 0.5 / y, sympy="sqrt", ball="sqrt",
                scalar="sqrt({0})", domain=POSITIVE, latex=r"\sqrt{{{0}}}"),
    elementwise(root, partials=root_partial, sympy="sqrt", ball="sqrt", emit="sqrt({0}, {out})",
                scalar="sqrt({0})", domain=POSITIVE, latex=r"\sqrt{{{0}}}", text="sqrt({0})",
                kink=lambda x: x),
    elementwise(np.cbrt, partials=lambda y, x: cbrt_slope(x), scalar="cbrt({0})",
                domain=POSITIVE, sympy=lambda S, x: S.sign(x) * S.Abs(x) ** S.Rational(1, 3),
                ball=cbrt_ball,
                complex=lambda z: np.where(z.real < 0, -((-z) ** (1.0 / 3.0)), z ** (1.0 / 3.0)),
                latex=r"\sqrt[3]{{{0}}}"),
    elementwise(cbrt_slope, partials=lambda y, x: y / -1.5 / x, emit="cbrt_slope({0}, {out})",
                scalar="cbrt_slope({0})", domain=POSITIVE,
                sympy=lambda S, x: 1 / (3 * S.Abs(x) ** S.Rational(2, 3)),
                ball=lambda x: 1 / (3 * abs(x).root(3) ** 2),
                complex=lambda z: np.where(z.real < 0, -z, z) ** (-2.0 / 3.0) / 3.0,
                latex=r"\frac{{1}}{{3 \sqrt[3]{{{0}}}^{{2}}}}"),
    # exponentials and logarithms
    elementwise(np.exp, partials=lambda y, x: y, sympy="exp", ball="exp", scalar="exp({0})",
                latex="e^{{{0}}}"),
    elementwise(np.exp2, partials=lambda y, x: exp2_partial(x), sympy=lambda S, x: 2**x,
                ball=lambda x: 2**x, scalar="exp2({0})", latex="2^{{{0}}}"),
    elementwise(np.expm1, partials=lambda y, x: np.exp(x), sympy=lambda S, x: S.exp(x) - 1,
                ball="expm1", scalar="expm1({0})"),
    elementwise(np.log, partials=lambda y, x: np.reciprocal(x), sympy="log", ball="log",
                scalar="log({0})", domain=POSITIVE, latex=r"\log\left({0}\right)"),
    elementwise(np.log2, partials=lambda y, x: np.reciprocal(exactly(np.log, 2.0, x)) / x,
                sympy=lambda S, x: S.log(x, 2), ball=lambda x: x.log() / type(x)(2).log(),
                scalar="log2({0})", domain=POSITIVE, latex=r"\log_2\left({0}\right)"),
    elementwise(np.log10, partials=lambda y, x: np.reciprocal(exactly(np.log, 10.0, x)) / x,
                sympy=lambda S, x: S.log(x, 10), ball=lambda x: x.log() / type(x)(10).log(),
                scalar="log10({0})", domain=POSITIVE, latex=r"\log_{{10}}\left({0}\right)"),
    elementwise(np.log1p, partials=lambda y, x: np.reciprocal(1.0 + x),
                sympy=lambda S, x: S.log(1 + x), ball="log1p", scalar="log1p({0})",
                domain=ABOVE_MINUS_ONE),
    elementwise(np.logaddexp,
                partials=lambda y, a, b: (logaddexp_partial(a, b), logaddexp_partial(b, a)),
                sympy=lambda S, a, b: S.log(S.exp(a) + S.exp(b)),
                ball=logaddexp_ball,
                complex=lambda a, b: np.log(np.exp(a) + np.exp(b)),
                scalar=Unsupported("math has no logaddexp")),
    # trigonometry
    elementwise(np.sin, partials=lambda y, x: np.cos(x), sympy="sin", ball="sin", scalar="sin({0})",
                latex=r"\sin\left({0}\right)"),
    elementwise(np.cos, partials=lambda y, x: -np.sin(x), sympy="cos", ball="cos",
                scalar="cos({0})", latex=r"\cos\left({0}\right)"),
    elementwise(np.tan, partials=lambda y, x: 1.0 + np.square(y), sympy="tan", ball="tan",
                scalar="tan({0})", latex=r"\tan\left({0}\right)"),
    elementwise(np.arcsin, partials=lambda y, x: 1.0 / np.sqrt((1.0 - x) * (1.0 + x)), sympy="asin",
                ball="asin", scalar="asin({0})", domain=UNIT, latex=r"\arcsin\left({0}\right)"),
    elementwise(np.arccos, partials=lambda y, x: -1.0 / np.sqrt((1.0 - x) * (1.0 + x)),
                sympy="acos", ball="acos", scalar="acos({0})", domain=UNIT,
                latex=r"\arccos\left({0}\right)"),
    elementwise(np.arctan, partials=lambda y, x: 1.0 / np.hypot(1.0, x) / np.hypot(1.0, x),
                sympy="atan", ball="atan", scalar="atan({0})", latex=r"\arctan\left({0}\right)"),
    elementwise(np.arctan2, partials=lambda r, y, x: (over_square(x, y), -over_square(y, x)),
                sympy="atan2", ball=lambda y, x: type(y).atan2(y, x), scalar="atan2({0}, {1})",
                complex=NOT_HOLOMORPHIC, domain=(REALS, POSITIVE)),
    elementwise(np.hypot, partials=lambda r, x, y: (cosine(x, y), cosine(y, x)),
                sympy=lambda S, x, y: S.sqrt(x**2 + y**2), ball=lambda x, y: (x * x + y * y).sqrt(),
                scalar="hypot({0}, {1})", complex=lambda x, y: np.sqrt(x * x + y * y),
                kink=np.hypot),
    elementwise(spherical_bessel, partials=spherical_bessel_partial,
                sympy=lambda S, x, n: S.SphericalBessel(n, x),
                ball=spherical_bessel_ball, complex=complex_spherical_bessel,
                scalar="spherical_bessel({0}, {n})", emit="spherical_bessel({0}, {n})",
                text="j_{n}({0})", latex=r"j_{{{n}}}\left({0}\right)"),
    # hyperbolic functions
    elementwise(np.sinh, partials=lambda y, x: np.cosh(x), sympy="sinh", ball="sinh",
                scalar="sinh({0})", latex=r"\sinh\left({0}\right)"),
    elementwise(np.cosh, partials=lambda y, x: np.sinh(x), sympy="cosh", ball="cosh",
                scalar="cosh({0})", latex=r"\cosh\left({0}\right)"),
    elementwise(np.tanh, partials=lambda y, x: sech2(x), sympy="tanh", ball="tanh",
                scalar="tanh({0})", latex=r"\tanh\left({0}\right)"),
    elementwise(sech2, partials=lambda y, x: -2.0 * y * np.tanh(x), emit="sech2({0}, {out})",
                sympy=lambda S, x: 1 / S.cosh(x) ** 2, ball=sech2_ball, complex=_sech2_complex,
                scalar="sech2({0})", latex=r"\operatorname{{sech}}^2\left({0}\right)"),
    elementwise(np.arcsinh, partials=lambda y, x: 1.0 / np.hypot(1.0, x), sympy="asinh",
                ball="asinh", scalar="asinh({0})"),
    elementwise(np.arccosh, partials=lambda y, x: 1.0 / (np.sqrt(x - 1.0) * np.sqrt(x + 1.0)),
                sympy="acosh", ball="acosh", scalar="acosh({0})", domain=ABOVE_ONE),
    elementwise(np.arctanh, partials=lambda y, x: 1.0 / ((1.0 - x) * (1.0 + x)), sympy="atanh",
                ball="atanh", scalar="atanh({0})", domain=UNIT),
    # what networks use
    elementwise(sigmoid, partials=lambda y, x: 0.25 * sech2(0.5 * x),
                sympy=lambda S, x: 1 / (1 + S.exp(-x)), ball=lambda x: 1 / (1 + (-x).exp()),
                complex=lambda z: 1 / (1 + np.exp(-z)), scalar="sigmoid({0})",
                latex=r"\sigma\left({0}\right)"),
    elementwise(softplus, partials=lambda y, x: sigmoid(x), sympy=lambda S, x: S.log(1 + S.exp(x)),
                ball=lambda x: x.exp().log1p() if x < 0 else x + (-x).exp().log1p(),
                complex=lambda z: np.log(1 + np.exp(z)), scalar="softplus({0})"),
    elementwise(relu, partials=lambda y, x: np.sign(y), emit="maximum({0}, 0.0, out={out})",
                sympy=lambda S, x: S.Piecewise((x, x > 0), (0, True)), ball=lambda x: x.max(0),
                complex=lambda z: np.where(z.real > 0, z, 0), kink=lambda x: x,
                scalar="({0} if {0} > 0.0 or {0} != {0} else 0.0)"),
    elementwise(erf, partials=lambda y, x: gaussian(x) / np.sqrt(exactly(np.arctan, 1.0, x)),
                sympy="erf", ball="erf", complex=Unsupported("math.erf takes no complex numbers"),
                scalar="erf({0})"),
    # with kinks, jumps and truth values
    elementwise(np.absolute, partials=lambda y, x: np.sign(x), sympy="Abs", ball=abs,
                scalar="abs({0})", name="abs", emit="absolute({0}, {out})",
                complex=lambda z: np.where(z.real < 0, -z, z), kink=lambda x: x,
                latex=r"\left|{0}\right|", also=(np.fabs,)),
    elementwise(np.maximum,
                partials=lambda y, a, b: (np.heaviside(a - b, 0.5), np.heaviside(b - a, 0.5)),
                sympy="Max", ball=lambda a, b: a.max(b),
                complex=lambda a, b: np.where(a.real >= b.real, a, b), kink=lambda a, b: a - b,
                scalar="({0} if {0} >= {1} or {0} != {0} else {1})",
                latex=r"\max\left({0}, {1}\right)"),
    elementwise(np.minimum,
                partials=lambda y, a, b: (np.heaviside(b - a, 0.5), np.heaviside(a - b, 0.5)),
                sympy="Min", ball=lambda a, b: a.min(b),
                complex=lambda a, b: np.where(a.real <= b.real, a, b), kink=lambda a, b: a - b,
                scalar="({0} if {0} <= {1} or {0} != {0} else {1})",
                latex=r"\min\left({0}, {1}\right)"),
    elementwise(np.sign, partials=lambda y, x: 0.0, sympy="sign", ball=sign_ball, kink=lambda x: x,
                complex=lambda z: np.sign(z.real) + 0j,
                scalar="(1.0 if {0} > 0.0 else -1.0 if {0} < 0.0 else {0})"),
    elementwise(np.heaviside, partials=lambda y, x, h: (0.0, np.where(x == 0.0, 1.0, 0.0)),
                sympy="Heaviside", ball=step_ball,
                complex=lambda z, h: np.heaviside(z.real, np.real(h)) + 0j, kink=lambda x, h: x,
                scalar="(1.0 if {0} > 0.0 else 0.0 if {0} < 0.0 else {1} if {0} == 0.0 else {0})"),
    elementwise(np.copysign, partials=lambda y, a, b: (np.sign(a) * np.copysign(1.0, b), 0.0),
                sympy=lambda S, a, b: S.Abs(a) * S.sign(b),
                ball=copysign_ball,
                complex=lambda a, b: np.where(np.signbit(a.real) == np.signbit(b.real), a, -a),
                kink=lambda a, b: a * b, scalar="copysign({0}, {1})"),
    elementwise(np.remainder, partials=lambda y, a, b: (1.0, -np.floor_divide(a, b)),
                domain=(REALS, POSITIVE), sympy=lambda S, a, b: a - b * S.floor(a / b),
                ball=lambda a, b: a - b * floor_of_quotient(a, b), complex=NOT_HOLOMORPHIC,
                kink=lambda a, b: _distance_to_integer(a / b), scalar="{0} % {1}", text="{0} % {1}",
                latex=r"\left({0} \bmod {1}\right)", precedence=OPERATOR + 1),
    elementwise(np.floor_divide, partials=lambda y, a, b: (0.0, 0.0),
                sympy=lambda S, a, b: S.floor(a / b), ball=floor_of_quotient,
                complex=NOT_HOLOMORPHIC, domain=(REALS, POSITIVE),
                kink=lambda a, b: _distance_to_integer(a / b), scalar="{0} // {1}",
                text="{0} // {1}", latex=r"\left\lfloor \frac{{{0}}}{{{1}}} \right\rfloor",
                precedence=OPERATOR + 1),
    _rounding(np.floor, "floor", "floor", "float(floor({0}))", _distance_to_integer),
    _rounding(np.ceil, "ceiling", "ceil", "float(ceil({0}))", _distance_to_integer),
    _rounding(np.trunc, lambda S, x: S.sign(x) * S.floor(S.Abs(x)),
              trunc_ball, "float(trunc({0}))", _distance_to_integer),
    _rounding(np.rint, Unsupported("SymPy has no rounding half to even"),
              rint_ball,
              "float(round({0}))", lambda x: x - np.floor(x) - 0.5),
    linear(np.where,
           transpose=lambda ct, c, a, b: (None, np.where(c, ct, 0.0), np.where(c, 0.0, ct)),
           arity=3, sympy=lambda S, c, a, b: S.Piecewise((a, c), (b, True)), ball=where_ball,
           scalar="({1} if {0} else {2})", text="{1} if {0} else {2}", precedence=1,
           latex=r"\begin{{cases}} {1} & {0} \\ {2} & \text{{otherwise}} \end{{cases}}"),
    linear(convert,
           transpose=lambda ct, x, dtype: (ct.astype(x.dtype) if x.dtype.kind == "f" else None,),
           sympy=_converted_symbol,
           ball=convert_ball, complex=lambda z, dtype: z, scalar=NOT_NUMBERS,
           kink=lambda x, dtype=float: {"i": x - np.rint(x), "b": x}.get(np.dtype(dtype).kind, 1.0),
           emit="{0}.astype({dtype})", text="{dtype}({0})", latex="{0}"),
    _comparison(np.greater, ">", ">", "Gt", operator.gt, operator.le),
    _comparison(np.greater_equal, ">=", r"\ge", "Ge", operator.ge, operator.lt),
    _comparison(np.less, "<", "<", "Lt", operator.lt, operator.ge),
    _comparison(np.less_equal, "<=", r"\le", "Le", operator.le, operator.gt),
    _comparison(np.equal, "==", "=", "Eq", operator.eq, operator.ne),
    _comparison(np.not_equal, "!=", r"\ne", "Ne", operator.ne, operator.eq),
    _logic(np.logical_and, "And", tri_and, r"\left({0} \wedge {1}\right)"),
    _logic(np.logical_or, "Or", tri_or, r"\left({0} \vee {1}\right)"),
    _logic(np.logical_xor, "Xor", lambda a, b: None if a is None or b is None else bool(a != b),
           r"\left({0} \oplus {1}\right)"),
    _logic(np.logical_not, "Not", lambda a: None if a is None else not a, r"\neg \left({0}\right)",
           1),
    elementwise(np.isfinite, partials=lambda y, x: 0.0, sympy="IsFinite", ball="is_finite",
                scalar="isfinite({0})", dtype="bool"),
    elementwise(np.isnan, partials=lambda y, x: 0.0, sympy="IsNaN", ball="is_nan",
                scalar="isnan({0})", dtype="bool"),
    elementwise(np.isinf, partials=lambda y, x: 0.0, sympy="IsInfinite",
                ball=lambda x: not x.is_finite() and not x.is_nan(), scalar="isinf({0})",
                dtype="bool"),
)
# fmt: on

enter(*POINTWISE, *STRUCTURAL)
