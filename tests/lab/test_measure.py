"""Laws of measuring: intervals are honest, verdicts follow from them, times know their noise."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest

from difflab.errors import ArgumentError, DomainError, UnknownNameError
from difflab.lab.machine import one_blas_thread, one_core, provenance
from difflab.lab.results import bootstrap_interval, share_interval
from difflab.lab.timing import TIME_COLUMNS, interleave


def test_the_bootstrap_covers_and_repeats():
    random = np.random.default_rng(1)
    samples = random.normal(loc=3.0, size=(200, 20))
    intervals = [bootstrap_interval(s, statistic=np.mean, resamples=500) for s in samples]
    covered = np.mean([interval.low <= 3.0 <= interval.high for interval in intervals])
    assert 0.88 < covered < 0.99  # percentile intervals of 20 values cover a little under 95 %
    assert bootstrap_interval(samples[0]) == bootstrap_interval(samples[0])


def test_pairing():
    base = np.array([1.0, 10.0, 100.0])
    assert bootstrap_interval(2 * base, over=base)[:3] == (2, 2, 2)
    assert bootstrap_interval(base + 1, minus=base)[:3] == (1, 1, 1)
    with pytest.raises(ArgumentError, match="3 values are paired with 2"):
        bootstrap_interval(base, over=base[:2])
    for bad in ([], [1.0, np.nan]):
        with pytest.raises(DomainError, match="no interval"):
            bootstrap_interval(bad)


def test_a_share_of_nothing_has_no_interval():
    assert share_interval([]) is None
    assert share_interval(np.array([True, False]))[:1] == (0.5,)


def test_interleaving_finds_a_real_difference_and_its_own_noise():
    contestants = {"short": lambda: time.sleep(0.001), "long": lambda: time.sleep(0.005)}
    table = interleave(contestants, rounds=7, sample_seconds=0.002).set_index("contestant")
    assert list(table.index) == ["short", "long", "short (again)"]
    assert table.ratio["long"] > 1.5 and table.differs["long"]
    assert table.ratio["short"] == 1 and not table.differs["short"]
    assert not table.differs["short (again)"]
    assert set(TIME_COLUMNS) == set(table.columns) - {"rounds"}
    with pytest.raises(UnknownNameError):
        interleave(contestants, baseline="shrt")


def test_samples_are_long_enough():
    table = interleave({"nothing": int}, rounds=1, sample_seconds=0.005)
    assert (table.calls * table.seconds).min() > 0.002


def test_one_thread_and_one_core_are_given_back():
    from threadpoolctl import threadpool_info

    def threads():
        return [pool["num_threads"] for pool in threadpool_info()]

    before = threads()
    with one_blas_thread():
        assert set(threads()) <= {1}
    assert threads() == before
    if hasattr(os, "sched_getaffinity"):
        cores = os.sched_getaffinity(0)
        with one_core():
            assert len(os.sched_getaffinity(0)) == 1
        assert os.sched_getaffinity(0) == cores


def test_provenance_outside_a_repository(tmp_path):
    facts = provenance(tmp_path)
    assert facts["commit"] == "unknown"
    assert {"python", "numpy", "processor", "cores", "measured"} <= facts.keys()
