"""Everyday functions have the value that plain NumPy gives, and the gradient that calls of them
show; or they are refused by an error that names their own line and says what to write.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

import difflab
from difflab.errors import Refusal

from .everyday import CASES, ROOMS, Case

EXPECTED_REFUSALS: Final[frozenset[str]] = frozenset()
"""What is refused by design."""


def _by_calls(case: Case, point: Any) -> tuple[float, Any, Any]:
    """The value, and the gradient with its band, by calls of the plain function on copies."""

    def called(x: Any) -> float:
        return float(np.asarray(case.f(np.copy(x)))[()])

    found = difflab.estimate(called, point)
    assert not found.kinks, found
    assert np.all(found.error <= 1e-4 * (1.0 + np.max(np.abs(found.value)))), found
    return called(point), found.value, found.error


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_everyday_functions(case: Case) -> None:
    operator = difflab.value_and_gradient(case.f)
    for point in (case.point, 1.02 * case.point + 0.013):  # the second by the kept program
        handed = point.copy()
        if case.name in EXPECTED_REFUSALS:
            with pytest.raises(Refusal) as refused:
                operator(handed)
            files = {str(room.__file__) for room in ROOMS}
            assert refused.value.line and refused.value.line.file in files, refused.value
            assert "remedy" in str(refused.value), refused.value
            continue
        value, gradient = operator(handed)
        expected, slopes, band = _by_calls(case, point)
        np.testing.assert_array_equal(handed, point)
        assert abs(value - expected) <= 1e-10 * (1.0 + abs(expected))
        most = 1e-10 * (1.0 + np.max(np.abs(slopes)))
        assert np.all(np.abs(gradient - slopes) <= band + most), (gradient, slopes, band)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_truth_is_known(case: Case) -> None:
    for point in (case.point, 1.02 * case.point + 0.013):
        value, slopes, _ = _by_calls(case, point)
        assert np.isfinite(value)
        assert np.any(slopes != 0.0)


def test_the_list_is_long_and_its_notes_are_of_it() -> None:
    assert len(CASES) >= 80
    assert set(CASES) >= EXPECTED_REFUSALS
    assert all(Path(str(room.__file__)).parent.name == "everyday" for room in ROOMS)
    assert logging.getLogger(ROOMS[1].__name__).level == logging.NOTSET
