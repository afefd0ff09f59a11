"""Limits at 0: their bands hold the truth, and there is none where the samples do not settle."""

from __future__ import annotations

import numpy as np
import pytest

from difflab.methods.differences.limits import limit

STEPS = 0.3 * 0.5 ** np.arange(10)
QUIET = np.full(10, 1e-16)


@pytest.mark.parametrize(
    ("series", "even", "power", "truth"),
    [
        (lambda t: np.sin(t) / t, True, 0, 1.0),
        (lambda t: np.sin(t) / t, True, 1, -1.0 / 6.0),
        (lambda t: np.expm1(t) / t, False, 0, 1.0),
        (lambda t: np.expm1(t) / t, False, 1, 0.5),
        (lambda t: np.expm1(t) / t, False, 2, 1.0 / 6.0),
        (lambda t: 1.0 / (1.0 + 2.0 * t), False, 0, 1.0),
        (lambda t: 3.0 + 0.0 * t, False, 0, 3.0),
    ],
)
def test_a_coefficient_lies_within_its_band(series, even, power, truth):
    found = limit(STEPS, series(STEPS), QUIET, even=even, power=power)
    assert abs(found.value - truth) <= found.error
    assert found.error < 1e-7 * 1e3**power * abs(truth)


def test_a_band_grows_with_the_noise_and_holds_the_truth():
    rng = np.random.default_rng(5)
    held, bands = 0, []
    for noise in np.repeat([1e-12, 1e-9, 1e-6], 100):
        samples = np.cos(STEPS) + rng.uniform(-noise, noise, STEPS.size)
        found = limit(STEPS, samples, np.full(STEPS.size, noise), even=True)
        held += bool(abs(found.value - 1.0) <= found.error)
        bands.append(found.error / noise)
    assert held >= 299
    assert 1.0 < np.median(bands) < 60.0


@pytest.mark.parametrize(
    "series", [np.log, lambda t: t**-0.5, lambda t: 1.0 / t, lambda t: (-1.0) ** np.log2(t / 0.3)]
)
def test_what_does_not_settle_has_no_limit(series):
    assert limit(STEPS, series(STEPS), QUIET).error == np.inf


def test_a_root_has_a_limit_near_its_last_sample():
    found = limit(STEPS, 2.0 + STEPS**0.5, QUIET)
    assert abs(found.value - 2.0) <= found.error < 0.2


def test_the_finer_steps_have_the_last_word():
    steps = np.concatenate([STEPS[:6], [1e-5, 1e-6, 1e-7]])
    front = np.where(steps > 1e-4, 1.0, 5.0)  # what coarse steps cannot see
    assert abs(limit(steps, np.cos(steps), np.full(9, 1e-16), even=True).value - 1.0) < 1e-14
    found = limit(steps, np.cos(steps) * front, np.full(9, 1e-16), even=True)
    assert abs(found.value - 5.0) <= found.error < 0.1


def test_elements_are_extrapolated_each_for_itself():
    samples = np.stack([np.cos(STEPS), np.log(STEPS), np.where(STEPS > 0.1, np.nan, 2.0)], 1)
    noise = np.full(samples.shape, 1e-16)
    found = limit(STEPS, samples, noise, even=True)
    assert np.isfinite(found.error).tolist() == [True, False, True]
    for k in range(3):
        alone = limit(STEPS, samples[:, k], noise[:, k], even=True)
        assert found.error[k] == alone.error or abs(found.error[k] - alone.error) < 1e-15
