"""Laws of intervals: they cover what they say, repeat, and agree with what others compute."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from difflab.errors import DomainError
from difflab.lab.intervals import (
    Interval,
    bca_interval,
    holm,
    mean_interval,
    median_interval,
    proportion_interval,
    rounded,
)

DRAWS, N = 2000, 10


def coverage(interval, samples, truth) -> float:
    found = [interval(sample) for sample in samples]
    return float(np.mean([one.low <= truth <= one.high for one in found]))


@pytest.mark.parametrize(
    ("draw", "truth"),
    [
        (lambda random, size: random.normal(3.0, 2.0, size), 3.0),
        (lambda random, size: random.uniform(-1.0, 1.0, size), 0.0),
        (lambda random, size: random.logistic(0.0, 1.0, size), 0.0),
    ],
)
def test_intervals_of_means_of_ten_values_cover_what_they_say(draw, truth):
    samples = draw(np.random.default_rng(1), (DRAWS, N))
    assert 0.93 <= coverage(mean_interval, samples, truth) <= 0.97


def test_a_percentile_interval_would_be_caught():
    """The plant: what the lab once printed covers about 90 % at ten values."""

    def percentile(sample):
        picks = np.random.default_rng(0).integers(N, size=(1000, N))
        low, high = np.quantile(sample[picks].mean(axis=1), (0.025, 0.975))
        return Interval(sample.mean(), low, high, N)

    samples = np.random.default_rng(1).normal(3.0, 2.0, (500, N))
    assert coverage(percentile, samples, 3.0) < 0.93


def test_a_median_lies_between_two_values_whatever_the_distribution():
    samples = np.random.default_rng(2).exponential(size=(DRAWS, 15))
    assert 0.95 <= coverage(median_interval, samples, math.log(2)) <= 0.98
    assert median_interval([1.0, 2.0, 3.0])[1:3] == (-math.inf, math.inf)


def test_bca_covers_skewed_means_better_than_student():
    samples = np.random.default_rng(3).lognormal(sigma=1.0, size=(300, 40))
    truth = math.exp(0.5)
    bca, student = coverage(bca_interval, samples, truth), coverage(mean_interval, samples, truth)
    assert bca > max(0.88, student - 0.01)
    assert bca_interval([2.0, 2.0, 2.0])[:3] == (2.0, 2.0, 2.0)


@given(st.integers(1, 60), st.data())
def test_wilson_is_the_score_interval(n, data):
    """Its ends are where the score test is just passed: (p - x)^2 = z^2 x (1 - x) / n."""
    count = data.draw(st.integers(0, n))
    found = proportion_interval(count, n)
    for end in found[1:3]:
        score = (found.estimate - end) ** 2 - 1.959963984540054**2 * end * (1 - end) / n
        assert abs(score) < 1e-12


def test_one_value_is_no_interval_and_none_is_an_error():
    assert mean_interval([3.0]) == (3.0, -math.inf, math.inf, 1)
    for bad in ([], [1.0, np.nan]):
        for kind in (mean_interval, median_interval, bca_interval):
            with pytest.raises(DomainError, match="no interval"):
                kind(bad)
    with pytest.raises(DomainError, match="3 of 2"):
        proportion_interval(3, 2)


@given(st.dictionaries(st.text(max_size=3), st.floats(0, 1), max_size=8))
def test_holm_rejects_between_bonferroni_and_no_correction(p_values):
    found = holm(p_values)
    assert {name for name, p in p_values.items() if p <= 0.05 / len(p_values) * 0.999} <= found
    assert found <= {name for name, p in p_values.items() if p <= 0.0501}


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_numbers_have_two_digits_of_their_width(centre, width):
    texts = rounded(centre, centre - width / 2, centre + width / 2)
    for text, value in zip(texts, (centre, centre - width / 2, centre + width / 2), strict=True):
        assert abs(float(text) - value) <= 0.051 * width + 1e-12 * abs(value)
