"""The limit of a sampled series at 0, with an honest band.

What flows: samples of F(t) = a + b x + c x^2 + ..., x = t or t^2, at falling steps t, each with the
noise in it, go in; a (or a higher coefficient) with a band comes out. Neville's extrapolation of
every run of consecutive steps is an entry, and the entry with the least band wins.

The invariant: *the finer scale has the last word*. An entry is believed only where the samples at
its finest step have settled, as a power series does, and where all finer samples agree with it. Its
band is what the noise can do through its exact weights, and how much leaving out the coarsest step
changes it. Entries that are nearly as good must lie within the band, or it is widened.

Formulas: Neville's scheme, carried for coefficients and for weights alike (Stoer & Bulirsch,
Introduction to Numerical Analysis, section 2.1.2).

>>> t = 0.3 * 0.5 ** np.arange(8)
>>> found = limit(t, np.sin(t) / t, np.full(8, 1e-16), even=True)
>>> print(abs(found.value - 1.0) <= found.error < 1e-13)
True
>>> print(limit(t, 1.0 / np.sqrt(t), np.full(8, 1e-16)).error)  # it has no limit
inf
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from difflab.ir.expr import Array

COLUMNS: Final = 7
"""The most steps that one entry uses."""
WIDEST: Final = 4.5
"""The widest ratio of steps within an entry."""
SMOOTH, ROUGH = 0.75, 0.4
"""Samples whose changes fall faster than those of t^SMOOTH settle as a series does; where they fall
faster than those of t^ROUGH there is still a limit, and the last sample is near it.
"""
STEADY: Final = 0.05
"""A truncation estimate counts for at least this part of the one before it: it may be small by
accident.
"""
SAFETY: Final = 1.8
"""By how much the band is wider than what it adds up to; calibrated on the zoo."""
RIVAL: Final = 3.0
"""Entries with bands up to so much wider than the least must lie within it."""


@dataclass(slots=True)
class Limit:
    """A coefficient of the series, element by element."""

    value: Array
    error: Array
    """The half-width of the band; inf where no entry is believed."""
    truncation: Array
    """The part of the band that finer steps would narrow."""
    coarsest: Array
    """The index of the first step of the entry."""
    finest: Array
    """The index of its last step."""
    settled: Array
    """For each step, whether the samples have settled there."""
    believed: list[Array]
    """For each number of steps, which entries the finer samples agree with."""


def limit(
    t: Array,
    first: Array,
    noise: Array,
    *,
    even: bool = False,
    power: int = 0,
    believed: list[Array] | None = None,
) -> Limit:
    """The coefficient of x^power in the series F(t), where x = t, or t^2 if F is even.

    Parameters
    ----------
    t
        The steps, from coarse to fine.
    first
        F at the steps, stacked; NaN outside the domain.
    noise
        How wrong each sample can be.
    even, power
        Which series, and which of its coefficients.
    believed
        Entries to look at, where another series of the same steps has decided it.
    """
    count, shape = len(first), first.shape[1:]
    wide = (-1, *[1] * len(shape))
    flat, steps = t**2 if even else t, t.reshape(wide)
    x = flat.reshape(wide)
    noise = np.where(np.isfinite(noise), noise, 0.0)
    change, hidden = np.abs(np.diff(first, axis=0)), noise[1:] + noise[:-1]
    settled = _settled(steps, change, hidden, SMOOTH)
    near = t[:-1] <= WIDEST * t[1:]
    best = Limit(
        value=np.full(shape, np.nan),
        error=np.full(shape, np.inf),
        truncation=np.full(shape, np.inf),
        coarsest=np.zeros(shape, int),
        finest=np.zeros(shape, int),
        settled=settled,
        believed=[],
    )
    entries: list[tuple[Array, Array]] = []
    before, last = [first], first
    tables = zip(
        _neville(x, first, power), _neville(flat[:, None], np.eye(count), power), strict=True
    )
    for column, (table, weights) in enumerate(tables):
        if column == 0:
            # Were F = a + b t^ROUGH, this would be the distance from the last sample to a.
            left = change / ((steps[:-1] / steps[1:]) ** ROUGH - 1.0)
            doubt = truncation = np.concatenate([np.full((1, *shape), np.nan), left])
            allowed = _settled(steps, change, hidden, ROUGH)
        else:
            doubt, changed = (np.abs(table[q] - before[q][1:]) for q in (0, power))
            truncation = changed
            if column > power + 1:
                truncation = np.maximum(changed, STEADY * last[1:])
            last = changed
            in_run = np.array([all(near[row : row + column]) for row in range(count - column)])
            allowed = settled[column:] & in_run.reshape(wide)
        before = table
        doubt = doubt + np.tensordot(np.abs(weights[0]), noise, 1)
        allowed = allowed & _agrees(x, first, noise, table[0], doubt, column)
        best.believed.append(allowed)
        if believed is not None:
            allowed = allowed & believed[column]
        if column > power or column == power == 0:
            error = truncation + np.tensordot(np.abs(weights[power]), noise, 1)
            error = np.where(allowed & np.isfinite(error), error, np.inf)
            entries.append((table[power], error))
            _keep_least(best, table[power], error, truncation, column)
    least = best.error
    for value, error in entries:
        rival = np.where(error <= RIVAL * least, np.abs(value - best.value), 0.0)
        best.error = np.fmax(best.error, np.max(rival, 0))
    best.error = SAFETY * best.error
    best.truncation = SAFETY * best.truncation
    return best


def _neville(x: Array, first: Array, power: int) -> Iterator[list[Array]]:
    """For one sample, two, three, ...: the coefficients up to x^power of the polynomials through
    every run of so many.
    """
    table = [first, *[np.zeros_like(first)] * power]
    yield table
    for column in range(1, min(len(first), COLUMNS)):
        coarse, fine = x[:-column], x[column:]
        made, lower = [], np.zeros_like(table[0][1:])
        for row in table:
            step = row[1:] - row[:-1]
            made.append(row[1:] + (step * fine - lower) / (coarse - fine))
            lower = step
        table = made
        yield table


def _settled(steps: Array, change: Array, hidden: Array, power: float) -> Array:
    """For each step, whether the last change that noise does not hide was smaller than the one
    before it, by as much as changes of t^power are.
    """
    falls = np.diff(steps**power, axis=0)
    below = (change <= hidden) | np.isnan(change)  # nothing is known outside the domain
    rows = [np.ones(change.shape[1:], bool), *below[:1]]
    for j in range(1, len(change)):
        allowed = falls[j] / falls[j - 1] * change[j - 1]
        shrunk = (change[j] <= allowed) & (~below[j] | (hidden[j] <= allowed))
        rows.append(shrunk | (below[j] & rows[-1]))
    return np.stack(rows)


def _agrees(
    x: Array, first: Array, noise: Array, entries: Array, doubts: Array, column: int
) -> Array:
    """For each entry, whether finer samples approach it in proportion to x, as a series does."""
    rows, steps = np.ogrid[: len(entries), : len(first)]
    wide = (*np.broadcast_shapes(rows.shape, steps.shape), *[1] * (first.ndim - 1))
    finer = (steps > rows + column).reshape(wide)
    inside = (steps >= rows).reshape(wide) & ~finer
    miss = np.abs(first - entries[:, None])
    slope = np.max(np.where(inside, miss / x, 0.0), 1, keepdims=True)
    agreed = miss <= doubts[:, None] + noise + 4.0 * x * slope
    return np.asarray(np.all(agreed | ~finer | np.isnan(miss), 1))


def _keep_least(best: Limit, value: Array, error: Array, truncation: Array, column: int) -> None:
    """Take over the entries of one column whose band is less than the best so far."""
    row = np.argmin(error, 0)
    pick = [np.take_along_axis(a, row[None], 0)[0] for a in (value, error, truncation)]
    better = pick[1] < best.error
    best.value, best.error, best.truncation, best.coarsest, best.finest = (
        np.where(better, new, old)
        for new, old in zip(
            (*pick, row, row + column),
            (best.value, best.error, best.truncation, best.coarsest, best.finest),
            strict=True,
        )
    )
