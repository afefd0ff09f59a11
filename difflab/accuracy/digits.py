"""How many digits the rules of the table have: every pointwise partial, graded in ulps by balls.

What flows: points over all exponents of a row's domain go through the formula of a partial
twice, as floats and as balls whose precision doubles until they are sharp; the distance is
counted in ulps of the truth. The invariant: the truth is a ball that rounds to one float, so
that a figure is a fact and no estimate. Three programs are graded: the rule as the table writes
it, and what users run, simplified and compiled, on arrays and on plain floats.

>>> table = partial_digits(["tanh"], samples=200)
>>> float(table["max_ulps"].max()) <= 4.0
True
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from difflab.engines import compile as compiled
from difflab.errors import UnknownNameError
from difflab.ir.build import FLOAT64, broadcast
from difflab.ir.expr import Expr, Graph, constant, placeholder
from difflab.ir.row import TABLE, Primitive, Unsupported
from difflab.readings.balls import (
    LEAST,
    enclose_nodes,
    exact,
    is_negligible,
    precision,
    rounded,
)
from difflab.readings.cotangents import pullback
from difflab.readings.tangents import zeros
from difflab.table.identities import simplify

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
BITS: Final = (128, 256, 512, 1024, 2048, 4096, 8192)
SPARE_BITS: Final = 53 + 20
LARGEST_EXPONENT: Final = 1023
"""The largest binary exponent of float64; the least one, of a denormal number, is `LEAST`."""
SMALLEST_NORMAL: Final = 2.0**-1022
SIGNS: Final = (-1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Instance:
    """A row with its params, which takes floats to floats."""

    row: Primitive
    params: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        return self.row.name + "".join(f" {name}={value}" for name, value in self.params)

    def applied(self, shape: tuple[int, ...] = ()) -> tuple[list[Expr], Expr]:
        """Fresh inputs, and the row applied to them."""
        inputs = [placeholder(shape, FLOAT64, f"x{i}") for i in range(len(self.row.domain))]
        return inputs, Expr(self.row, tuple(inputs), self.params)

    def value(self, shape: tuple[int, ...] = ()) -> Graph:
        """The program of the row itself."""
        inputs, y = self.applied(shape)
        return Graph(tuple(inputs), (y,))

    def partial(self, position: int, shape: tuple[int, ...] = ()) -> Graph:
        """The program of one partial, as the rule writes it."""
        inputs, y = self.applied(shape)
        (found,) = pullback([y], [broadcast(constant(1.0), shape)], [inputs[position]])
        return Graph(tuple(inputs), (zeros(y) if found is None else found,))


class Grade(NamedTuple):
    """The largest distance from the truth among some points, and where it was."""

    samples: int
    ulps: float
    worst: tuple[float, ...]


def partial_digits(
    rows: Sequence[str] | None = None, samples: int = 7000, seed: int = 0
) -> pd.DataFrame:
    """Grade the partials of the pointwise rows in ulps.

    Parameters
    ----------
    rows
        Names of rows; without, all pointwise rows from floats to floats.
    samples
        About how many points each row is graded at.
    seed
        Of the random mantissas and pairs.

    Returns
    -------
    pandas.DataFrame
        A line for each row, partial and program ("rule" as the table writes it; "arrays" and
        "floats" as users run it). Columns: row, partial, program, samples, max_ulps, worst_x (one
        number an operand), corner_ulps (the same over the points that their rows set apart).

    Raises
    ------
    UnknownNameError
        For a name that no such row has.
    """
    import pandas as pd

    known = {row.name for row in TABLE.values() if is_gradable(row)}
    for name in rows or ():
        if name not in known:
            raise UnknownNameError("pointwise row of floats", name, known)
    found = []
    for case in instances(known if rows is None else rows):
        at = points(case.row, samples, seed)
        apart = in_corner(case.row, at)
        for position in range(len(case.row.domain)):
            for program, ulps in graded(case, position, at).items():
                corner = worst(ulps, at, apart).ulps
                found.append((str(case), position, program, *worst(ulps, at, ~apart), corner))
    columns = ["row", "partial", "program", "samples", "max_ulps", "worst_x", "corner_ulps"]
    return pd.DataFrame(found, columns=columns)


def is_gradable(row: Primitive) -> bool:
    """Whether a row takes floats to floats, so that its partials have digits."""
    by_domain = row.kind == "pointwise" and row.sample is None
    known = by_domain and not isinstance(row.ball, Unsupported)
    return known and Instance(row).applied()[1].differentiable


def instances(names: Sequence[str] | set[str]) -> list[Instance]:
    """The rows of those names, once for each choice of params."""
    return [
        Instance(row, tuple(params.items()))
        for row in TABLE.values()
        if row.name in names
        for params in (row.params if row.needs_params else ({},))
    ]


def graded(case: Instance, position: int, at: Sequence[Floats]) -> dict[str, Floats]:
    """The distance of three programs of one partial from the truth, in ulps, at every point.

    NaN where the truth is not known, because the derivative jumps there.
    """
    truth = truths(case.partial(position), at)
    alone, many = case.partial(position), case.partial(position, at[0].shape)
    plain = compiled(simplify(alone))
    with np.errstate(all="ignore"):
        candidates = {
            "rule": compiled(many)(*at)[0],
            "arrays": compiled(simplify(many))(*at)[0],
            "floats": np.array([plain(*x)[0] for x in zip(*(x.tolist() for x in at), strict=True)]),
        }
    return {name: distances(candidate, *truth) for name, candidate in candidates.items()}


def worst(ulps: Floats, at: Sequence[Floats], chosen: Flags) -> Grade:
    """The largest of some distances that are known."""
    among = np.flatnonzero(chosen & ~np.isnan(ulps))
    if not among.size:
        return Grade(0, 0.0, ())
    first = among[np.argmax(ulps[among])]
    return Grade(int(among.size), float(ulps[first]), tuple(float(x[first]) for x in at))


# -- the truth -----------------------------------------------------------------------------------


def truths(graph: Graph, at: Sequence[Floats]) -> tuple[Floats, Floats]:
    """The exact output of a scalar graph at points: rounded, and what rounding left off, in ulps.

    NaN where no precision makes the truth sharp: outside the domain, or at a jump.
    """
    nearest, rest = np.full(len(at[0]), np.nan), np.zeros(len(at[0]))
    left = np.arange(len(at[0]))
    for bits in BITS:
        values = dict(zip(graph.inputs, [exact(x[left]) for x in at], strict=True))
        enclose_nodes(graph.outputs, values, bits)
        balls = np.broadcast_to(values[graph.outputs[0]], left.shape)
        with precision(bits + 64):
            for i, ball in zip(left, balls, strict=True):
                if ball.rel_accuracy_bits() >= SPARE_BITS or is_negligible(ball):
                    nearest[i], rest[i] = rounded(ball)
        left = left[np.isnan(nearest[left])]
        if not left.size:
            break
    return nearest, rest


def distances(candidate: Floats, nearest: Floats, rest: Floats) -> Floats:
    """How far candidates are from the truth, in ulps of the truth; NaN where it is not known."""
    with np.errstate(all="ignore"):
        spacing = np.ldexp(1.0, np.maximum(np.frexp(nearest)[1] - 53, LEAST))
        off = np.abs((candidate - nearest) / spacing - rest)
    off = np.where(np.isfinite(candidate) & np.isfinite(nearest), off, np.inf)
    return np.where(np.isnan(nearest), np.nan, np.where(candidate == nearest, np.abs(rest), off))


# -- the points ----------------------------------------------------------------------------------


def points(row: Primitive, samples: int, seed: int = 0) -> list[Floats]:
    """Points over all exponents of a domain, near its edges, off its kinks: an array an operand."""
    rng = np.random.default_rng((seed, *row.name.encode()))
    if len(row.domain) == 1:
        every = np.arange(LEAST, LARGEST_EXPONENT + 1)
        each = [_of_exponents(rng, every), -_of_exponents(rng, every), edges()]
        found = [np.unique(np.concatenate([*each, _moderate(rng, samples - 2 * len(every))]))]
    else:
        found = [np.concatenate(part) for part in zip(*_pairs(rng, samples), strict=True)]
    kept = np.ones(len(found[0]), bool)
    for k, domain in enumerate(row.domain):
        if domain.low >= 0.0:
            found[k] = np.abs(found[k])
        kept &= (domain.low < found[k]) & (found[k] < domain.high)
    if row.kink is not None:
        with np.errstate(all="ignore"):
            kept &= row.kink(*found) != 0.0
    return [x[kept] for x in found]


def in_corner(row: Primitive, at: Sequence[Floats]) -> Flags:
    """Which points the row sets apart."""
    with np.errstate(all="ignore"):
        apart = row.corner(*at) if row.corner else False
    return np.broadcast_to(apart, len(at[0]))


def across(rng: np.random.Generator, count: int) -> Floats:
    """Numbers of random sign and mantissa whose exponents go through all of float64's."""
    return rng.choice(SIGNS, count) * _of_exponents(
        rng, np.resize(np.arange(LEAST, LARGEST_EXPONENT + 1), count)
    )


def _of_exponents(rng: np.random.Generator, exponents: NDArray[np.int64]) -> Floats:
    """A number of each exponent, its mantissa cut off where it is denormal."""
    bits = np.minimum(exponents - LEAST, 52)
    whole = np.floor(np.ldexp(rng.uniform(1.0, 2.0, len(exponents)), bits))
    return np.ldexp(whole, exponents - bits)


def edges() -> Floats:
    """Numbers close to -1, 1 and 0, and the ends of float64."""
    small = np.ldexp(1.0, -np.arange(1, 54))
    ends = [2.0**LEAST, SMALLEST_NORMAL, 2.0, np.finfo(np.float64).max]
    both = np.concatenate([1.0 + small, 1.0 - small, small, ends])
    return np.concatenate([both, -both])


def _moderate(rng: np.random.Generator, count: int) -> Floats:
    """Numbers where functions bend: of the size of 1, within the range of exp, and between."""
    third = max(count // 3, 100)
    sizes = np.exp(rng.uniform(np.log(1e-4), np.log(1e4), third))
    near, wide = rng.uniform(-4.0, 4.0, third), rng.uniform(-760.0, 760.0, third)
    return np.concatenate([near, wide, sizes * rng.choice(SIGNS, third)])


def _pairs(rng: np.random.Generator, samples: int) -> Iterator[tuple[Floats, Floats]]:
    """Pairs of numbers: of any exponents, of related ones, close together, of moderate power."""
    count = max(samples // 7, 100)
    moderate = _moderate(rng, count)
    yield across(rng, count), rng.permutation(across(rng, count))
    yield across(rng, count), rng.choice(moderate, count)
    yield rng.choice(moderate, count), across(rng, count)
    yield rng.choice(moderate, count), rng.choice(moderate, count)
    with np.errstate(all="ignore"):
        x = across(rng, count)
        ratio = np.ldexp(rng.uniform(1.0, 2.0, count), rng.integers(-60, 60, count))
        yield x, x * rng.choice(SIGNS, count) * ratio
        x = rng.choice(moderate, count)
        yield x, x + rng.uniform(-60.0, 60.0, count)
        x = rng.choice(np.concatenate([edges(), across(rng, 2 * count)]), count)
        reach = rng.uniform(LEAST, LARGEST_EXPONENT, count) / np.log2(np.abs(x))
        yield x, np.where(np.isfinite(reach), reach, 1.0)  # x ** reach goes through all of float64
