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
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
from flint import acb_mat, arb, arb_mat, ctx

from difflab.ir.expr import Array, Expr, Graph, walk
from difflab.ir.row import CONSTANT, ITSELF

EVERY_BIT: Final = 20_000
"""A precision at which the ends and the centre of any ball used here are exact."""


LEAST: Final = -1074
"""The binary exponent of the smallest denormal number."""


@contextmanager
def precision(bits: int) -> Iterator[None]:
    """Balls computed inside have that many bits."""
    before, ctx.prec = ctx.prec, bits
    try:
        yield
    finally:
        ctx.prec = before


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


def enclose_nodes(outputs: Iterable[Expr], known: dict[Expr, Array], bits: int) -> None:
    """Add the balls of the outputs, and of all that they depend on, to `known`."""
    with precision(bits), np.errstate(all="ignore"):
        walk(outputs, known, _read)


def _read(node: Expr, operands: list[Array]) -> Array:
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
        return _matrices(getattr(_Matrices, rule), operands, node)
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
    whole = [ball.unique_fmpz() for ball in numbers.flat]
    if any(n is None for n in whole):
        return numbers
    return np.array([int(n) for n in whole], np.int64).reshape(found.shape)


def _positions(found: Array) -> Array:
    """Integers to index with: of a ball that holds several, the one at its centre."""
    if found.dtype != object:
        return found
    centres = [int(ball.mid().floor().unique_fmpz() or 0) for ball in found.flat]
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


def _to_matrix(a: Array) -> arb_mat:
    return arb_mat(a.tolist())


def _to_array(m: arb_mat) -> Array:
    found = np.empty((m.nrows(), m.ncols()), object)
    for i, j in np.ndindex(found.shape):
        found[i, j] = m[i, j]
    return found


class _Matrices:
    """What the ball cells of factorisations name, on one matrix."""

    @staticmethod
    def solve(a: Array, b: Array) -> Array:
        try:
            return _to_array(_to_matrix(a).solve(_to_matrix(b)))
        except ZeroDivisionError:  # not certainly regular at this precision
            return np.full(b.shape, arb("nan"), object)

    @staticmethod
    def adjugate(a: Array) -> Array:
        found = np.empty(a.shape, object)
        for i, j in np.ndindex(a.shape):
            minor = _to_matrix(np.delete(np.delete(a, i, 0), j, 1))
            found[j, i] = (-1) ** (i + j) * minor.det() if len(a) > 1 else arb(1)
        return found

    @staticmethod
    def cholesky(a: Array) -> Array:
        lower = np.full(a.shape, arb(0), object)
        for i, j in zip(*np.tril_indices(len(a)), strict=True):
            rest = a[i, j] - sum((lower[i, k] * lower[j, k] for k in range(j)), arb(0))
            lower[i, j] = rest.sqrt() if i == j else rest / lower[j, j]
        return lower

    @staticmethod
    def expm(a: Array) -> Array:
        return _to_array(_to_matrix(a).exp())

    @staticmethod
    def det(a: Array) -> arb:
        return _to_matrix(a).det()

    @staticmethod
    def log_abs_det(a: Array) -> arb:
        return abs(_to_matrix(a).det()).log()

    @staticmethod
    def sign_det(a: Array) -> arb:
        return _to_matrix(a).det().sgn()

    @staticmethod
    def eigenvalues(a: Array, uplo: Any) -> Array:
        return _spectrum(_symmetric(a, uplo))

    @staticmethod
    def eigenvectors(a: Array, uplo: Any) -> Array:
        full = _symmetric(a, uplo)
        return _vectors(full, lambda: np.linalg.eigh(midpoints(full), uplo)[1])

    @staticmethod
    def singular_values(a: Array) -> Array:
        squares = _spectrum(a.T @ a if a.shape[0] > a.shape[1] else a @ a.T)
        return np.array([_root_from_0(x) for x in squares[::-1]], object)

    @staticmethod
    def singular_vectors(a: Array) -> Array:
        wide = a.shape[0] < a.shape[1]
        tall = a.T if wide else a

        def near() -> Array:
            left, _, right = np.linalg.svd(midpoints(a), full_matrices=False)
            return (left if wide else right.T)[:, ::-1]

        few = _vectors(tall.T @ tall, near)[:, ::-1]
        many = tall @ few
        many = many / [sum(x * x).sqrt() for x in many.T]
        return np.concatenate([few, many] if wide else [many, few])

    @staticmethod
    def qr_factors(a: Array) -> Array:
        upper = _Matrices.cholesky(a.T @ a).T
        near = np.linalg.qr(midpoints(a), "r")
        upper = upper * [[arb(1 - 2 * int(x < 0.0))] for x in np.diagonal(near)]
        return np.concatenate([_Matrices.solve(upper.T, a.T).T, upper])

    @staticmethod
    def pinv(a: Array, rcond: float) -> Array:
        if a.shape[0] < a.shape[1]:
            return _Matrices.pinv(a.T, rcond).T
        values = _Matrices.singular_values(a)
        if not values[-1] > rcond * values[0]:  # not certainly of full rank
            return np.full(a.T.shape, arb("nan"), object)
        return _Matrices.solve(a.T @ a, a.T)

    @staticmethod
    def least_squares(a: Array, b: Array, rcond: float) -> Array:
        return _Matrices.pinv(a, rcond) @ b


def _symmetric(a: Array, uplo: Any) -> Array:
    """The symmetric matrix of which a function reads one triangle."""
    lower = np.tri(len(a), dtype=bool)
    return np.where(lower if uplo == "L" else lower.T, a, a.T)


def _root_from_0(x: arb) -> arb:
    """The root of a number that is not negative, whatever its ball says."""
    if not x.contains(0) or x.is_zero():
        return x.sqrt()
    return arb(0).union(x.upper().sqrt())


def _spectrum(a: Array) -> Array:
    """The eigenvalues of a symmetric matrix in ascending order.

    Of several balls that overlap, the i-th smallest number lies between the i-th smallest ends.
    """
    try:
        found = [x.real for x in acb_mat(_to_matrix(a)).eig(multiple=True)]
    except ValueError:
        found = []
    if not found or not all(x.is_finite() for x in found):
        return np.full(len(a), arb("nan"), object)
    ends = zip(sorted(x.lower() for x in found), sorted(x.upper() for x in found), strict=True)
    return np.array([low.union(high) for low, high in ends], object)


def _vectors(a: Array, near: Callable[[], Array]) -> Array:
    """The eigenvectors of a symmetric matrix in columns, with the signs of those in floats.

    Eigenvalues that balls tell apart have eigenvectors of one direction: it is made real, of
    length 1.
    """
    found = np.full(a.shape, arb("nan"), object)
    try:
        values, vectors = acb_mat(_to_matrix(a)).eig(right=True)
    except ValueError:
        return found
    close = near()
    for i, j in enumerate(sorted(range(len(a)), key=lambda j: float(values[j].real.mid()))):
        most = int(np.argmax(np.abs(close[:, i])))
        column = np.array([(vectors[k, j] / vectors[most, j]).real for k in range(len(a))], object)
        sign = 1 if close[most, i] > 0.0 else -1
        found[:, i] = sign * column / sum(column * column).sqrt()
    return found


def midpoints(array: Array) -> Array:
    """The floats nearest to the centres of balls; truth values that are open are NaN.

    >>> midpoints(np.array([arb(1, 0.5), None], object))
    array([ 1., nan])
    """
    if array.dtype != object:
        return array.astype(np.float64)
    numbers = [float("nan") if ball is None else float(ball) for ball in array.flat]
    return np.array(numbers, np.float64).reshape(array.shape)


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
    if not np.isfinite(candidate):
        return 0.0 if candidate == nearest else float("inf")
    spacing = np.spacing(min(abs(nearest), np.finfo(kind).max))
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
