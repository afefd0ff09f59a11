"""What flows along the edges is a ball: a rigorous enclosure of the exact real value (python-flint,
arb).

Arrays are object arrays of balls; structural rows move them as they are, pointwise rows apply their
ball cell to each. Comparisons are certain (True, False) or open (None), and what follows an open
one is enclosed from both sides. The invariant: the exact real value of every node, for inputs taken
as exact, lies in its ball. Casts between float32 and float64 are the identity on real numbers.

>>> import numpy as np
>>> from difflab.tracing.trace import trace
>>> (ball,) = enclose(trace(lambda x: np.exp(x), 1.0), [1.0], bits=80)
>>> print(ball.item().str(20))
[2.7182818284590452354 +/- ...]
"""

from __future__ import annotations

import copyreg
import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
from flint import arb, ctx

from difflab.ir.expr import Array, Expr, Graph, walk
from difflab.ir.row import CONSTANT, ITSELF
from difflab.readings.ball_matrices import Matrices

EVERY_BIT: Final = 20_000
"""A precision at which the ends and the centre of any ball used here are exact."""


Read = Callable[[Expr, list[Array]], Array]
_HUGE: Final = arb(2) ** 2**16
LEAST: Final = -1074
"""The binary exponent of the smallest denormal number."""


@contextmanager
def precision(bits: int) -> Iterator[None]:
    """Balls computed inside have that many bits; threads take turns, as there is one precision."""
    with _alone[0]:
        before, ctx.prec = ctx.prec, bits
        try:
            yield
        finally:
            ctx.prec = before


_alone = [threading.RLock()]
if hasattr(os, "register_at_fork"):  # a child has not the threads that may hold the lock

    def _renew() -> None:
        _alone[0] = threading.RLock()

    os.register_at_fork(after_in_child=_renew)


def _parts(ball: arb) -> tuple[Any, tuple[Any, Any]]:
    """A ball as its centre, exactly, and its radius, which may be rounded up, for pickling."""
    return _ball, (_number(ball.mid()), _number(ball.rad()))


def _number(centre: arb) -> tuple[int, int] | str:
    """A mantissa and an exponent; the name of what is not finite."""
    if centre.is_finite():
        mantissa, exponent = centre.man_exp()
        return int(mantissa), int(exponent)
    return "nan" if centre.is_nan() else "inf" if centre > 0 else "-inf"


def _ball(centre: Any, radius: Any) -> arb:
    return arb(centre, radius)


copyreg.pickle(arb, _parts)


def exact(value: Any) -> Array:
    """Floats as balls of radius zero; integers and truth values stay as they are."""
    array = np.asarray(value)
    if array.dtype.kind != "f":
        return array
    balls = np.empty(array.shape, object)
    for index, number in np.ndenumerate(array):
        balls[index] = arb(float(number))
    return balls


def enclose(graph: Graph, arguments: Sequence[Any], bits: int = 128) -> list[Array]:
    """Object arrays of balls that contain the exact outputs.

    Raises
    ------
    UnsupportedError
        If a primitive has no ball reading.
    """
    known = dict(zip(graph.inputs, map(exact, arguments), strict=True))
    enclose_nodes(graph.outputs, known, bits)
    return [known[out] for out in graph.outputs]


def enclose_nodes(
    outputs: Iterable[Expr], known: dict[Expr, Array], bits: int, rule: Read | None = None
) -> None:
    """Add the balls of the outputs, and of all that they depend on, to `known`."""
    with precision(bits), np.errstate(all="ignore"):
        walk(outputs, known, rule or read)


def read(node: Expr, operands: list[Array]) -> Array:
    """A node's balls for those of its operands."""
    row = node.primitive
    if row is CONSTANT:
        return exact(node.value)
    params = dict(node.params)
    if node.dtype.kind == "i" and all(x.dtype != object for x in operands):
        return np.asarray(row.evaluate(*operands, **params))
    rule = row.need("ball")
    if rule == ITSELF:
        rule = row.evaluate
    if row.kind == "factorisation":
        return _matrices(getattr(Matrices, rule), operands, node)
    if row.kind == "pointwise":
        found = _each(rule, operands, params)
    else:
        if row.indexed:
            operands[1:] = map(_positions, operands[1:])
        found = np.asarray(rule(*operands, **params))
    if node.dtype.kind == "i":
        return _integers(found)
    return _numbers(found) if node.dtype.kind == "f" else found


def _integers(found: Array) -> Array:
    """Integers as such where all are certain; else as balls."""
    if found.dtype != object:
        return found
    numbers = _numbers(found)
    whole = [whole_number(ball) for ball in numbers.flat]
    if any(n is None for n in whole):
        return numbers
    return np.array([int(n) for n in whole], np.int64).reshape(found.shape)


def _positions(found: Array) -> Array:
    """Integers to index with: of a ball that holds several, the one at its centre."""
    if found.dtype != object:
        return found
    centres = [int(whole_number(ball.mid().floor()) or 0) for ball in found.flat]
    return np.array(centres, np.int64).reshape(found.shape)


def _numbers(found: Array) -> Array:
    """Floats as balls: zeros that a rule filled in, and truth values; an open one is 0 or 1."""
    for index, x in np.ndenumerate(found):
        if not isinstance(x, arb):
            if found.dtype != object:
                return exact(found)
            found[index] = arb(0.5, 0.5) if x is None else arb(float(x))
    return found


def _each(rule: str | Callable[..., Any], operands: list[Array], params: dict[str, Any]) -> Array:
    """A ball rule on every element; what the rule leaves as a number becomes a ball."""
    method = getattr(arb, rule) if isinstance(rule, str) else rule
    shape = np.broadcast_shapes(*[operand.shape for operand in operands])
    found = np.empty(shape, object)
    if not shape:  # what loops over scalars are made of
        found[()] = _applied(method, [operand.item() for operand in operands], params)
        return found
    columns = [np.broadcast_to(operand, shape).ravel() for operand in operands]
    flat = found.reshape(-1)
    for i, values in enumerate(zip(*columns, strict=True)):
        flat[i] = _applied(method, values, params)
    return flat.reshape(shape)


def _applied(method: Callable[..., Any], values: Iterable[Any], params: dict[str, Any]) -> Any:
    """A ball rule on one element."""
    balls = [
        v if isinstance(v, (arb, bool, type(None)))
        else bool(v) if isinstance(v, np.bool_) else arb(float(v))
        for v in values
    ]  # fmt: skip
    value = method(*balls, **params)
    return value if isinstance(value, (arb, bool, np.bool_, type(None))) else arb(value)


def _matrices(read: Callable[..., Any], operands: list[Array], node: Expr) -> Array:
    """A matrix rule on every matrix of a stack."""
    lead = operands[0].shape[:-2]
    found = np.empty(node.shape, object)
    for index in np.ndindex(lead):
        found[index] = read(*[operand[index] for operand in operands], **dict(node.params))
    return found


def hulls(low: Array, high: Array) -> Array:
    """Balls that hold all from a lower to an upper end; the end next to zero is an end of the ball.

    >>> print(hulls(np.array(0.0), np.array(0.3)).item().lower())
    0
    """
    found = np.empty(np.shape(low), object)
    with precision(EVERY_BIT):
        for index, a in np.ndenumerate(low):
            near, far = sorted((arb(float(a)), arb(float(high[index]))), key=abs)
            radius = _radius((far - near) / 2)
            centre = near + arb(radius) if far > near else near - arb(radius)
            found[index] = arb(centre.man_exp(), radius)  # as pairs, which are taken exactly
    return found


def _radius(half: arb) -> tuple[int, int]:
    """A number's size in 28 bits, rounded up: the radius of a ball keeps these."""
    if half == 0:
        return 0, 0
    mantissa, exponent = map(int, abs(half).man_exp())
    spare = max(mantissa.bit_length() - 28, 0)
    return -(-mantissa >> spare), exponent + spare


def ends(x: Any) -> tuple[float, float]:
    """The ends of a ball as floats, rounded outward; those of what is not finite are infinite.

    >>> ends(hulls(np.array(0.5), np.array(1.5)).item()), ends(arb("nan")), ends(2)
    ((0.5, 1.5), (-inf, inf), (2.0, 2.0))
    """
    if not isinstance(x, arb):
        return (0.0, 1.0) if x is None else (float(x), float(x))
    if not x.is_finite():
        return -math.inf, math.inf
    with precision(EVERY_BIT):
        low, high = (float(end) for end in (x.lower(), x.upper()))
        low = low if arb(low) <= x.lower() else math.nextafter(low, -math.inf)
        high = high if arb(high) >= x.upper() else math.nextafter(high, math.inf)
    return low, high


def is_sharp(ball: arb, dtype: np.dtype[Any]) -> bool:
    """Whether both ends of a ball round to the same floating-point number, with 20 bits to spare.

    >>> is_sharp(arb(1), np.dtype("float64")), is_sharp(arb(1, 1e-9), np.dtype("float64"))
    (True, False)
    """
    if not ball.is_finite():
        return False
    with precision(EVERY_BIT), np.errstate(over="ignore"):
        low, high = (dtype.type(float(end)) for end in (ball.lower(), ball.upper()))
        spare = ball.rad() * 2 ** (20 + 53) <= abs(ball.mid())
    return bool(low == high and (spare or low == 0.0 or not np.isfinite(low)))


def whole_number(ball: arb) -> Any:
    """The whole number that a ball holds, if it is one, and not larger than memory.

    >>> whole_number(arb(3)), whole_number(arb(3, 0.5)), whole_number(arb(2) ** 10**300)
    (3, 3, None)
    """
    return ball.unique_fmpz() if abs(ball) < _HUGE else None


def ulps_of(candidate: float, ball: arb, dtype: Any = np.float64) -> float:
    """The distance of a float from a ball's centre, in ulps of that dtype at the centre.

    An infinity or NaN is at distance 0 where it is right.

    >>> ulps_of(1.0, arb(1)), ulps_of(1.0 + 2**-52, arb(1))
    (0.0, 1.0)
    """
    kind = np.dtype(dtype).type
    if not ball.is_finite():
        return 0.0 if np.isnan(candidate) else float("nan")
    with np.errstate(over="ignore"):
        nearest = kind(float(ball))
        spacing = np.spacing(min(abs(nearest), np.nextafter(np.finfo(kind).max, kind(0))))
    if not np.isfinite(candidate):
        return 0.0 if candidate == nearest else float("inf")
    with precision(EVERY_BIT):
        return float(abs(arb(float(candidate)) - ball.mid()) / arb(float(spacing)))


def distance(ball: arb, other: arb, scale: float) -> tuple[float, float]:
    """Bounds of the distance of two balls' numbers, relative to the other (if that is 0: to scale).

    >>> distance(arb(3), arb(2), 1.0), distance(arb(3), arb(0), 2.0)
    ((0.5, 0.5), (1.5, 1.5))
    """
    with precision(EVERY_BIT):
        gap = abs(ball - other)
    with precision(64):
        relative = gap / (arb(scale) if other.contains(0) else abs(other.mid()))
        if not relative.is_finite():
            return float("nan"), float("nan")
        return max(float(relative.abs_lower()), 0.0), float(relative.abs_upper())


def gap(ball: arb, other: arb) -> float:
    """The distance with its sign, centre from centre, correctly rounded.

    >>> gap(arb(1), arb(4))
    -3.0
    """
    with precision(EVERY_BIT):
        return float(ball.mid() - other.mid())


def overlap(ball: arb, other: arb) -> bool:
    """Whether two balls may stand for the same number."""
    return bool(ball.overlaps(other))


def as_rounded(array: Array) -> Array:
    """Constants of a program, each with the numbers that it may have been rounded from.

    A float that fills more than half of its digits and is no whole number (0.1, but not 0.5) is
    taken as the result of a few roundings; in an array, relative to the largest element.

    >>> as_rounded(np.array(0.5)).item().rad() == 0, as_rounded(np.array(0.1)).item().rad() > 0
    (True, True)
    """
    balls = exact(array)
    if array.dtype.kind != "f":
        return balls
    unit = float(np.finfo(array.dtype).eps)
    largest = float(np.max(np.abs(array), initial=0.0))
    for index, number in np.ndenumerate(array):
        mantissa = float(np.frexp(number)[0]) / np.sqrt(unit)
        whole = mantissa == np.round(mantissa) or number == np.round(number)
        if np.isfinite(mantissa) and not whole:
            size = 2.0 * largest if array.ndim else abs(float(number))
            balls[index] = arb(float(number), size * unit)
    return balls


def is_negligible(ball: arb) -> bool:
    """Whether a ball is zero, or far below the smallest denormal number."""
    return bool(ball.is_finite() and abs(ball) < arb(2) ** (LEAST - 126))


def rounded(ball: arb) -> tuple[float, float]:
    """The float nearest to a ball's centre, and the centre less that float, in its ulps."""
    centre = ball.mid()
    number = float(centre)
    if not np.isfinite(number):
        return number, 0.0
    return number, float((centre - arb(number)) * arb(2) ** -exponent_of_ulp(number))


def exponent_of_ulp(number: float) -> int:
    """The binary exponent of the unit in the last place.

    >>> exponent_of_ulp(1.0), exponent_of_ulp(0.0)
    (-52, -1074)
    """
    return max(int(np.frexp(number)[1]) - 53, LEAST) if number else LEAST
