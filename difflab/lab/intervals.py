"""Confidence intervals: of means, medians and shares of independent values.

What flows: one value for each independent unit (a seed, a function, a round) -> an `Interval`.

Invariant: equal values give equal intervals; nothing is imputed, and values of one unit are never
counted as several (whoever calls has made one value of each).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from difflab.errors import DomainError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike

CONFIDENCE = 0.95


class Interval(NamedTuple):
    """An estimate with its confidence interval, from `n` independent values.

    >>> print(Interval(1.7432, 1.61, 1.9134, 10))
    1.74 [1.61, 1.91]
    """

    estimate: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        estimate, low, high = rounded(self.estimate, self.low, self.high)
        return f"{estimate} [{low}, {high}]"


def rounded(estimate: float, low: float, high: float) -> tuple[str, str, str]:
    """The three numbers with as many digits as give the interval's width two.

    >>> rounded(0.98765, 0.97531, 0.99999), rounded(13576.2, 12000.0, 15000.0)
    (('0.988', '0.975', '1.000'), ('13600', '12000', '15000'))
    """
    width = high - low
    if not (math.isfinite(width) and width > 0):
        numbers = [f"{value:.4g}" for value in (estimate, low, high)]
    else:
        place = 1 - math.floor(math.log10(width))
        if -7 < place < 10:
            numbers = [f"{round(v, place):.{max(place, 0)}f}" for v in (estimate, low, high)]
        else:
            numbers = [f"{value:.3g}" for value in (estimate, low, high)]
    return numbers[0], numbers[1], numbers[2]


def mean_interval(values: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """Student's t interval of a mean; of one value it is unbounded.

    >>> print(mean_interval([1.0, 2.0, 3.0, 4.0]))
    2.5 [0.4, 4.6]
    """
    from scipy import stats

    sample = _sample(values)
    n, centre = sample.size, float(sample.mean())
    if n == 1:
        return Interval(centre, -math.inf, math.inf, 1)
    half = float(stats.t.ppf((1 + confidence) / 2, n - 1)) * standard_error(sample)
    return Interval(centre, centre - half, centre + half, n)


def standard_error(values: ArrayLike) -> float:
    """The standard error of a mean."""
    sample = _sample(values)
    return float(sample.std(ddof=1)) / math.sqrt(sample.size) if sample.size > 1 else math.inf


def bca_interval(values: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """The BCa bootstrap interval of the mean of skewed values (Efron 1987).

    >>> print(bca_interval([1.0, 1.0, 1.0, 2.0, 2.0, 3.0, 9.0]))
    2.7 [1.4, 6.0]
    """
    import numpy as np
    from scipy import stats

    sample = _sample(values)
    centre = float(sample.mean())
    if np.ptp(sample) == 0.0:
        return Interval(centre, centre, centre, sample.size)
    found = stats.bootstrap(
        (sample,), np.mean, confidence_level=confidence, method="BCa", rng=np.random.default_rng(0)
    ).confidence_interval
    return Interval(centre, float(found.low), float(found.high), sample.size)


def median_interval(values: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """The interval of a median between two of the values, whatever their distribution.

    Where there are too few values for the confidence, it is unbounded.

    >>> median_interval(range(1, 16))
    Interval(estimate=8.0, low=4.0, high=12.0, n=15)
    """
    import numpy as np
    from scipy import stats

    sample = np.sort(_sample(values))
    n = sample.size
    place = int(stats.binom.ppf((1 - confidence) / 2, n, 0.5))  # of both ends, from outside
    ends = (sample[place - 1], sample[n - place]) if place else (-math.inf, math.inf)
    return Interval(float(np.median(sample)), float(ends[0]), float(ends[1]), n)


def proportion_interval(count: int, n: int, confidence: float = CONFIDENCE) -> Interval:
    """Wilson's interval of a share of independent units: it stays honest at 0 and at n of n.

    >>> print(proportion_interval(20, 20))
    1.00 [0.84, 1.00]
    """
    from scipy import stats

    if not 0 <= count <= n or n == 0:
        raise DomainError(f"no proportion: {count} of {n}", "count the cases that were finished")
    low, high = stats.binomtest(int(count), int(n)).proportion_ci(confidence, method="wilson")
    return Interval(count / n, float(low), float(high), n)


def holm(p_values: Mapping[str, float], level: float = 1 - CONFIDENCE) -> set[str]:
    """The names whose hypothesis is rejected by Holm's procedure (Holm 1979).

    >>> sorted(holm({"a": 0.001, "b": 0.04, "c": 0.03}))
    ['a']
    """
    kept: set[str] = set()
    ranked: Sequence[tuple[str, float]] = sorted(p_values.items(), key=lambda item: item[1])
    for place, (name, p) in enumerate(ranked):
        if p > level / (len(ranked) - place):
            break
        kept.add(name)
    return kept


def _sample(values: Any) -> np.ndarray:
    import numpy as np

    sample = np.asarray(values, dtype=np.float64).ravel()
    if sample.size == 0 or np.isnan(sample).any():
        what = "a NaN among the values" if sample.size else "no values"
        raise DomainError(f"no interval: {what}", "select the finished runs, and report k of n")
    return sample
