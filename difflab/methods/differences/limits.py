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
from functools import lru_cache
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
STEADY: Final = 1.0
"""A truncation estimate counts for at least this part of the one before it: it may be small by
accident.
"""
SAFETY: Final = 2.0
"""By how much the band is wider than what it adds up to."""
CHUNK: Final = 4096
"""Elements that are looked at together, for the sake of memory."""
RIVAL: Final = 5.0
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
    believed: Array
    """Which entries the finer samples agree with."""


def limit(
    t: Array,
    first: Array,
    noise: Array,
    *,
    even: bool = False,
    power: int = 0,
    believed: Array | None = None,
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
    entries = _entries((t / t[0]).tobytes(), even, power)
    x = (t**2 if even else t)[:, None]
    samples, noise = (np.reshape(array, (count, -1)) for array in (first, noise))
    noise = np.where(np.isfinite(noise), noise, 0.0)
    change, hidden = np.abs(np.diff(samples, axis=0)), noise[1:] + noise[:-1]
    settled = _settled(t[:, None], change, hidden, SMOOTH)
    outside = np.isnan(samples)
    incomplete = entries.inside @ outside > 0.0
    plain = np.where(outside, 0.0, samples)
    zeroth, values = (
        np.where(incomplete, np.nan, weights @ plain / x[0] ** q)
        for weights, q in ((entries.weights[0], 0), (entries.weights[power], power))
    )
    fellow, single = entries.fellow, entries.column == 0
    doubt, truncation = np.abs(zeroth - zeroth[fellow]), np.abs(values - values[fellow])
    longer = (entries.column > power + 1)[:, None]
    truncation = np.where(longer, np.maximum(truncation, STEADY * truncation[fellow]), truncation)
    # Were F = a + b t^ROUGH, this would be the distance from the last sample to a.
    left = change / ((t[:-1] / t[1:]) ** ROUGH - 1.0)[:, None]
    doubt[single] = np.concatenate([np.full((1, change.shape[1]), np.nan), left])
    if power == 0:
        truncation[single] = doubt[single]
    allowed = settled[entries.last] & entries.near[:, None]
    rough = _settled(t[:, None], change, hidden, ROUGH)
    rough[1:] &= rough[:-1]  # once may be by accident
    allowed[single] = rough
    doubt = doubt + np.abs(entries.weights[0]) @ noise
    allowed &= _agrees(x, samples, noise, zeroth, doubt, entries)
    agreed = allowed
    if believed is not None:
        allowed = allowed & believed
    error = truncation + np.abs(entries.weights[power]) @ noise / x[0] ** power
    error = np.where(allowed & np.isfinite(error), error, np.inf)
    if power:  # so many samples determine no such coefficient, or do not test it
        error[entries.column <= power] = np.inf
        lead = entries.column == power
        drift = np.abs(np.diff(values[lead], axis=0))
        sway = (np.abs(entries.weights[power]) @ noise / x[0] ** power)[lead]
        calm = _settled(t[power:, None], drift, sway[1:] + sway[:-1], SMOOTH)
        error[~calm[np.maximum(entries.last - power, 0)]] = np.inf
    return _least(values, error, truncation, settled, agreed, entries, shape)


def _least(
    values: Array, error: Array, truncation: Array, settled: Array, agreed: Array,
    entries: _Entries, shape: tuple[int, ...],
) -> Limit:  # fmt: skip
    """The entry with the least band, element by element, widened where rivals are outside it."""
    best = np.argmin(error, 0)
    value, least, finer = (
        np.take_along_axis(array, best[None], 0)[0] for array in (values, error, truncation)
    )
    known = np.isfinite(least)
    rival = np.where((error <= RIVAL * least) & known, np.abs(values - value), 0.0)
    width = np.fmax(least, np.fmax.reduce(rival))
    return Limit(
        value=np.where(known, value, np.nan).reshape(shape),
        error=(SAFETY * width).reshape(shape),
        truncation=np.where(known, SAFETY * finer, np.inf).reshape(shape),
        coarsest=np.where(known, entries.first[best], 0).reshape(shape),
        finest=np.where(known, entries.last[best], 0).reshape(shape),
        settled=settled.reshape(-1, *shape),
        believed=agreed,
    )


@dataclass(frozen=True, slots=True)
class _Entries:
    """The runs of consecutive steps, the shorter ones first; arrays over all of them."""

    column: Array
    """One less than the number of steps."""
    first: Array
    last: Array
    fellow: Array
    """The run without the coarsest step."""
    near: Array
    """Whether no two steps that follow each other are far apart."""
    inside: Array
    """Which steps are in the run, as numbers 0 and 1."""
    weights: tuple[Array, ...]
    """Of the samples in the coefficients, up to x^power, in units of the first step."""


@lru_cache(maxsize=512)
def _entries(ratios: bytes, even: bool, power: int) -> _Entries:
    """The runs of steps with these ratios to the first one."""
    t = np.frombuffer(ratios)
    x = t**2 if even else t
    count = len(t)
    pairs = [(c, row) for c in range(min(count, COLUMNS)) for row in range(count - c)]
    column, first = np.array(pairs).T
    last = first + column
    number = {pair: k for k, pair in enumerate(pairs)}
    fellow = np.array([number[c - 1, row + 1] if c else k for k, (c, row) in enumerate(pairs)])
    apart = np.concatenate([[0], np.cumsum(t[:-1] > WIDEST * t[1:])])
    steps = np.arange(count)
    inside = (steps >= first[:, None]) & (steps <= last[:, None])
    tables = [np.concatenate(parts) for parts in zip(*_neville(x, power), strict=True)]
    return _Entries(
        column, first, last, fellow, apart[first] == apart[last], inside * 1.0, tuple(tables)
    )


def _neville(x: Array, power: int) -> Iterator[list[Array]]:
    """For one sample, two, three, ...: the weights of all samples in the coefficients up to
    x^power of the polynomials through every run of so many.
    """
    count = len(x)
    table = [np.eye(count), *[np.zeros((count, count))] * power]
    yield table
    for column in range(1, min(count, COLUMNS)):
        coarse, fine = x[:-column, None], x[column:, None]
        made, lower = [], np.zeros((count - column, count))
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
    x: Array, samples: Array, noise: Array, zeroth: Array, doubts: Array, entries: _Entries
) -> Array:
    """For each entry, whether finer samples approach it in proportion to x, as a series does."""
    inside = entries.inside.astype(bool)[..., None]
    finer = (np.arange(len(x)) > entries.last[:, None])[..., None]
    parts = []
    for part in range(0, samples.shape[1], CHUNK):
        here = slice(part, part + CHUNK)
        miss = np.abs(samples[:, here] - zeroth[:, None, here])
        slope = np.max(np.where(inside, miss / x, 0.0), 1, keepdims=True)
        room = doubts[:, None, here] + noise[:, here] + 4.0 * x * slope
        parts.append(np.all((miss <= room) | ~finer | np.isnan(miss), 1))
    return np.concatenate(parts, 1) if parts else np.zeros(zeroth.shape, bool)
