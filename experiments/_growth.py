"""How counts grow: fitted exponents, and the verdict on a law that knows no exceptions.

What flows: sizes and counts -> the exponent of a power law with its interval.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy import stats

from difflab.lab import Interval
from difflab.lab.experiment import Verdict


def fitted_exponent(sizes: pd.Series, counts: pd.Series, confidence: float = 0.95) -> Interval:
    """The slope of log(counts) on log(sizes), by least squares, with Student's interval.

    Counts have no noise: the interval says how far they are from a power law.

    >>> print(fitted_exponent(pd.Series([1, 2, 4, 8]), pd.Series([3, 12, 48, 192])))
    2 [2, 2]
    """
    if len(sizes) < 3:
        return Interval(np.nan, np.nan, np.nan, len(sizes))
    fit = stats.linregress(np.log(sizes), np.log(counts))
    half = stats.t.ppf(0.5 + confidence / 2, len(sizes) - 2) * fit.stderr
    return Interval(fit.slope, fit.slope - half, fit.slope + half, len(sizes))


def verdict_of_every(holds: pd.Series, least: int = 5) -> Verdict:
    """The verdict on a claim that must hold in every case: one exception refutes it.

    >>> verdict_of_every(pd.Series([True] * 5)), verdict_of_every(pd.Series([True, False]))
    ('confirmed', 'refuted')
    >>> verdict_of_every(pd.Series([True] * 4))
    'inconclusive'
    """
    if not holds.all():
        return "refuted"
    return "confirmed" if len(holds) >= least else "inconclusive"


def weakest(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict on a claim that has parts: confirmed where all of them are.

    >>> weakest(["confirmed", "inconclusive"]), weakest(["refuted", "inconclusive"])
    ('inconclusive', 'refuted')
    """
    order: tuple[Verdict, ...] = ("refuted", "inconclusive", "weaker", "confirmed")
    return min(verdicts, key=order.index, default="inconclusive")
