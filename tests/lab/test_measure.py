"""Laws of measuring: times know their noise, and machines are described."""

from __future__ import annotations

import os
import time

import pytest

from difflab.errors import UnknownNameError
from difflab.lab.machine import one_blas_thread, one_core, provenance
from difflab.lab.timing import TIME_COLUMNS, interleave


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
