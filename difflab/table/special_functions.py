"""The special functions that SciPy brings: gamma and its logarithm's derivatives, normal tails.

SciPy is not needed: each is computed here for its digits, most in NumPy's widest floats, where they
are wider than float64. Families are closed under differentiation, so that derivatives of any order
have their digits: polygamma by its order, the moments of a normal tail by theirs, Bessel functions
by theirs.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any, Final

import numpy as np
from numpy.polynomial import Polynomial

from difflab.ir.rounding import LIBRARY, Local, library, not_zero, within
from difflab.ir.row import POSITIVE, OwnFunction, Primitive, Unsupported, elementwise
from difflab.table.elementary import exactly
from difflab.table.special import gaussian

WIDE: Final = np.longdouble
PI: Final = WIDE("3.14159265358979323846")
NO_COMPLEX: Final = Unsupported("its formulas are for real numbers")
NO_SCALAR: Final = Unsupported("math lacks it, or has fewer digits")


def widely(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of wide floats on arrays of any, with results of their dtype."""

    @functools.wraps(function)
    def evaluate(*x: Any, **params: Any) -> Any:
        narrow = x[0].dtype if x[0].dtype.kind == "f" else np.dtype(float)
        with np.errstate(all="ignore"):
            found = function(*[np.asarray(part).astype(WIDE) for part in x], **params)
            return np.asarray(found).astype(narrow)[()]

    return evaluate


# -- gamma -----------------------------------------------------------------------------------------

_SHIFT: Final = 20
"""What is added to an argument before its asymptotic series is taken."""
_BELOW: Final = 1000
"""How far below 0 balls go."""
_BERNOULLI: Final = (
    (1, 6), (-1, 30), (1, 42), (-1, 30), (5, 66), (-691, 2730), (7, 6), (-3617, 510),
    (43867, 798), (-174611, 330), (854513, 138), (-236364091, 2730),
)  # fmt: skip
_ROOT: Final = WIDE(1.4616321449683622), WIDE("9.5499954299656977152e-17")
"""Where digamma is 0, and what that float leaves off."""


def _bernoulli(z: Any, n: int) -> Any:
    """The sum of B_2k (2k + n - 1)! / (2k)! z^-2k, for k from 1."""
    found, square = WIDE(0), 1 / (z * z)
    for k in range(len(_BERNOULLI), 0, -1):
        number = Fraction(*_BERNOULLI[k - 1])
        if n >= 0:
            number *= math.factorial(2 * k + n - 1) // math.factorial(n)
            number /= math.factorial(2 * k)
        else:
            number /= 2 * k * (2 * k - 1)
        found = (found + WIDE(number.numerator) / WIDE(number.denominator)) * square
    return found


def _polygamma(x: Any, n: int) -> Any:
    """Of positive numbers, in their precision."""
    shift = _SHIFT + n
    z = x + shift
    inverse = 1 / z
    if n == 0:
        found = np.log(z) - inverse / 2 - _bernoulli(z, 0)
        return found - sum(1 / (x + k) for k in range(shift))
    # Over n!, so that nothing overflows before the result does.
    found = inverse**n * (WIDE(1) / n + inverse / 2 + _bernoulli(z, n))
    found = found + sum((1 / (x + k)) ** (n + 1) for k in range(shift - 1, -1, -1))
    return (-1) ** (n + 1) * found * WIDE(math.factorial(n))


@functools.cache
def _taylor(point: Any, first: int) -> tuple[Any, ...]:
    """The Taylor coefficients around a point, from the first power on, of polygamma of order
    `first`; of the logarithm of gamma for -1.
    """
    return tuple([_polygamma(point, first + k) / WIDE(math.factorial(k)) for k in range(1, 34)])


def _near(d: Any, point: Any, first: int) -> Any:
    return d * functools.reduce(lambda y, c: y * d + c, reversed(_taylor(point, first)))


def _cotangent(u: Any, n: int) -> Any:
    """The n-th derivative of pi cot(pi u)."""
    powers = Polynomial([0, 1])
    for _ in range(n):
        powers = Polynomial([-1, 0, -1]) * powers.deriv()
    return PI ** (n + 1) * powers(1 / np.tan(PI * u))


@OwnFunction
@widely
def polygamma(x: Any, n: int) -> Any:
    """The n-th derivative of digamma, which is that of order 0, elementwise.

    >>> float(polygamma(np.array(1.0), n=0))  # less Euler's constant
    -0.577215664901532...
    """
    right = np.where(x > 0, x, 1 - x)
    found = _polygamma(right, n)
    if n == 0:
        d = (right - _ROOT[0]) - _ROOT[1]
        near = np.abs(d) < 0.25
        found = np.where(near, _near(np.where(near, d, 0), _ROOT[0], 0), found)
    if np.all(x > 0):
        return found
    left = (-1) ** n * found - _cotangent(x - np.round(x), n)
    pole = np.where(x == 0, (-1) ** (n + 1) * np.copysign(np.inf, x) ** (n + 1), np.nan)
    return np.where(x > 0, found, np.where(x == np.round(x), pole, left))


def _log_gamma(x: Any) -> Any:
    """Of positive numbers, in their precision."""
    z = x + _SHIFT
    product = functools.reduce(lambda y, k: y * (x + k), range(1, _SHIFT), x)
    product = np.where(x > 1e100, 1, product)
    z = np.where(x > 1e100, x, z)
    far = (z - 0.5) * np.log(z) - z + np.log(2 * PI) / 2 + z * _bernoulli(z, -1)
    far = np.where(np.isinf(x), x, far - np.log(product))
    near = np.abs(x - 1.5) < 1
    low = x < 1.5
    d = np.where(near, x - np.where(low, 1, 2), 0)
    return np.where(near, _near(d, WIDE(2), -1) - np.where(low, np.log1p(d), 0), far)


@OwnFunction
@widely
def gammaln(x: Any) -> Any:
    """The logarithm of |gamma(x)|, elementwise; it has its digits near its zeros 1 and 2, too.

    >>> float(gammaln(np.array(1.0 + 2.0**-52))), float(gammaln(np.array(11.0)))
    (-1.281...e-16, 15.104412573075...)
    """
    right = _log_gamma(np.where(x > 0, x, 1 - x))
    left = np.log(PI / np.abs(np.sin(PI * (x - np.round(x))))) - right
    return np.where(x > 0, right, np.where(np.isinf(x), x, left))


@OwnFunction
@widely
def gamma(x: Any) -> Any:
    """The gamma function, elementwise.

    >>> float(gamma(np.array(5.0))), round(float(gamma(np.array(-0.5))), 12)
    (24.0, -3.544907701811)
    """
    whole = x == np.round(x)
    found = np.exp(_log_gamma(np.where(x > 0, x, 1 - x)))
    found = np.where(whole & (x > 0), np.round(found), found)
    left = PI / (np.sin(PI * (x - 2 * np.round(x / 2))) * found)
    pole = np.where(x == 0, np.copysign(np.inf, x), np.nan)
    return np.where(x > 0, found, np.where(whole, pole, left))


def polygamma_ball(x: Any, n: int) -> Any:
    """By Hurwitz' zeta function of a positive number; below, by recurrence."""
    if n == 0:
        return x.digamma()
    rest = x * 0
    for _ in range(_BELOW):
        if x > 0:
            break
        rest, x = rest + 1 / x ** (n + 1), x + 1
    return (-1) ** (n + 1) * math.factorial(n) * (type(x)(n + 1).zeta(x) + rest)


def _gammaln_rounding(y: Any, x: Any) -> Local:
    """Absolute near the zeros of others' functions, which lose their digits there."""
    return library(np.maximum(np.abs(y), np.minimum(np.abs(x), 1.0)).astype(y.dtype))


def _polygamma_rounding(y: Any, x: Any, n: int) -> Local:
    size = not_zero(y) if n else np.maximum(not_zero(y), np.minimum(np.abs(x), 1.0))
    return Local(size, 2.0 * LIBRARY[y.dtype.itemsize][0], 0.3)


# -- the normal distribution and its tail ----------------------------------------------------------

_erfc = np.frompyfunc(math.erfc, 1, 1)


@OwnFunction
def erfc(x: Any) -> Any:
    """1 - erf(x), elementwise, with its digits where it is small.

    >>> float(erfc(np.array(25.0)))
    8.30017257119652...e-274
    """
    return np.asarray(_erfc(x)).astype(x.dtype if x.dtype.kind == "f" else np.float64)


_U: Final = np.linspace(WIDE(-3.75), WIDE(4), 78)
_NODES: Final = np.exp(_U - np.exp(-_U))
_WEIGHTS: Final = _NODES * (1 + np.exp(-_U)) * (_U[1] - _U[0])


@OwnFunction
def normal_tail(x: Any, n: int) -> Any:
    """The integral of t^n exp(-t^2/2 - x t) over the positive t: for n = 0 Mills' ratio, the
    normal distribution's tail over its density.

    >>> float(normal_tail(np.array(0.0), 0)) ** 2 * 2
    3.1415926535897...
    """
    narrow = x.dtype if x.dtype.kind in "fc" else np.dtype(float)
    z = np.asarray(x).astype(np.promote_types(narrow, WIDE))
    scale = 1 / (1 + np.where(z.real > 0, z.real, 0))
    found = z * 0
    with np.errstate(all="ignore"):
        for node, weight in zip(_NODES, _WEIGHTS, strict=True):
            t = node * scale
            power = -t * (t / 2 + z)
            if narrow == z.dtype or narrow.kind == "c":
                grown = np.exp(power)
            else:  # wide exponentials are ten times slower
                most = power.astype(float)
                grown = np.exp(most) * (1 + (power - most))
            found = found + weight * node**n * grown
        found = np.where(np.isposinf(z.real), 0, found * scale ** (n + 1))
        return found.astype(narrow)[()]


def normal_tail_ball(x: Any, n: int) -> Any:
    """2^(-(n+1)/2) n! U((n+1)/2, 1/2, x^2/2)."""
    half = type(x)(n + 1) / 2
    scale = math.factorial(n) / (type(x)(2).sqrt() ** (n + 1))
    return scale * (x * x / 2).hypgeom_u(half, type(x)(1) / 2)


def _symbolic_tail(S: Any, x: Any, n: int) -> Any:
    """By parts: M_n = (n - 1) M_(n-2) - x M_(n-1)."""
    found = [S.exp(x**2 / 2) * S.sqrt(S.pi / 2) * S.erfc(x / S.sqrt(2))]
    for k in range(1, n + 1):
        found.append((1 if k == 1 else (k - 1) * found[k - 2]) - x * found[k - 1])
    return found[n]


def density(x: Any) -> Any:
    """The standard normal density, in which x^2 is split so that it costs no digits."""
    if x.dtype != np.float64:
        return density(x.astype(np.float64)).astype(x.dtype)
    head = np.where(np.square(x) < 2.0**20, x.astype(np.float32).astype(np.float64), 0.0)
    most = np.exp(-0.5 * np.square(head))
    split = most + most * np.expm1(-0.5 * (x - head) * (x + head))
    return split * (0.5 / np.sqrt(exactly(np.arctan, 1.0, x) * 2.0))


@OwnFunction
def ndtr(x: Any) -> Any:
    """The standard normal distribution function, elementwise, with its digits in its lower tail.

    >>> float(ndtr(np.array(0.0))), float(ndtr(np.array(-38.0)))
    (0.5, 2.88542835...e-316)
    """
    narrow = x.dtype if x.dtype.kind == "f" else np.dtype(float)
    exact = -np.asarray(x).astype(WIDE) / np.sqrt(WIDE(2))
    z = exact.astype(float)
    with np.errstate(all="ignore"):
        off = np.where(np.isfinite(z), exact - z, 0).astype(float)
        found = 0.5 * erfc.evaluate(z) - np.exp(-np.square(z)) * off / math.sqrt(math.pi)
        return np.asarray(found).astype(narrow)[()]


@OwnFunction
def log_ndtr(x: Any) -> Any:
    """The logarithm of `ndtr`, elementwise, with its digits in both tails.

    >>> float(log_ndtr(np.array(-40.0))), float(log_ndtr(np.array(30.0)))
    (-804.608442013753..., -4.906713927148...e-198)
    """
    narrow = x.dtype if x.dtype.kind == "f" else np.dtype(float)
    z = np.asarray(x).astype(float)
    with np.errstate(all="ignore"):
        tail = ndtr.evaluate(-np.abs(z))
        found = np.asarray(np.where(z > 0, np.log1p(-tail), np.log(tail)))
        low = -z[z < -1].astype(WIDE)
        found[z < -1] = np.log(normal_tail.evaluate(low, 0) / np.sqrt(2 * PI)) - low * low / 2
        return found.astype(narrow)[()]


def log_ndtr_partial(x: Any) -> Any:
    """The density over ndtr: below 0, one over Mills' ratio, which is no quotient of small
    numbers.
    """
    inside = np.where(x < 0.0, np.minimum(-x, 2.0**60), 0.0)  # beyond, Mills' ratio is 1/x
    below = np.where(x < -(2.0**60), -x, 1.0 / normal_tail(inside, n=0))
    return np.where(x < 0.0, below, density(x) / ndtr(np.where(x < 0.0, 0.0, x)))


def _ndtr_ball(x: Any) -> Any:
    return (-x / type(x)(2).sqrt()).erfc() / 2


def _tail_rounding(y: Any, x: Any) -> Local:
    """In many libraries the square costs as many ulps as it is large."""
    return library(not_zero(y) * (1.0 + np.minimum(np.square(x), 2000.0)))


# fmt: off
ROWS: Final[tuple[Primitive, ...]] = (
    elementwise(polygamma, partials=lambda y, x, n: polygamma(x, n=n + 1),
        sympy=lambda S, x, n: S.polygamma(n, x), ball=polygamma_ball, complex=NO_COMPLEX,
        scalar=NO_SCALAR, domain=POSITIVE, emit="polygamma({0}, n={n})",
        text="polygamma({n}, {0})", latex=r"\psi^{{({n})}}\left({0}\right)",
        params=({"n": 0}, {"n": 2}), rounding=_polygamma_rounding),
    elementwise(gammaln, partials=lambda y, x: polygamma(x, n=0), sympy="loggamma",
        ball=lambda x: x.lgamma() if x > 0 else abs(x.gamma()).log(), complex=NO_COMPLEX,
        scalar=NO_SCALAR, domain=POSITIVE, latex=r"\log\Gamma\left({0}\right)",
        rounding=_gammaln_rounding),
    elementwise(gamma, partials=lambda y, x: y * polygamma(x, n=0), sympy="gamma", ball="gamma",
        complex=NO_COMPLEX, scalar=NO_SCALAR, domain=POSITIVE,
        latex=r"\Gamma\left({0}\right)", rounding=within({8: (4.0, 0.5), 4: (4.0, 0.5)})),
    elementwise(erfc, partials=lambda y, x: -gaussian(x) / np.sqrt(exactly(np.arctan, 1.0, x)),
        sympy="erfc", ball="erfc", complex=NO_COMPLEX, scalar="erfc({0})", tame=True,
        rounding=_tail_rounding, native="erfc"),
    elementwise(normal_tail, partials=lambda y, x, n: -normal_tail(x, n=n + 1),
        sympy=_symbolic_tail, ball=normal_tail_ball, scalar=NO_SCALAR, domain=POSITIVE,
        emit="normal_tail({0}, n={n})", text="normal_tail({n}, {0})",
        latex=r"M_{{{n}}}\left({0}\right)", params=({"n": 0}, {"n": 2})),
    elementwise(ndtr, partials=lambda y, x: density(x),
        sympy=lambda S, x: S.erfc(-x / S.sqrt(2)) / 2, ball=_ndtr_ball, complex=NO_COMPLEX,
        scalar=NO_SCALAR, latex=r"\Phi\left({0}\right)", tame=True, rounding=_tail_rounding,
        native="ndtr"),
    elementwise(log_ndtr, partials=lambda y, x: log_ndtr_partial(x),
        sympy=lambda S, x: S.log(S.erfc(-x / S.sqrt(2)) / 2),
        ball=lambda x: (-_ndtr_ball(-x)).log1p() if x > 0 else _ndtr_ball(x).log(),
        complex=NO_COMPLEX, scalar=NO_SCALAR, latex=r"\log\Phi\left({0}\right)",
        rounding=_tail_rounding),
)
# fmt: on
