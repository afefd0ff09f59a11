"""How counts grow: fitted exponents.

What flows: sizes and counts -> the exponent of a power law with its interval.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from difflab.lab import Interval


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
