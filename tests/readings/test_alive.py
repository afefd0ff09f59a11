"""Where a cotangent counts is asked once, however many paths lead there."""

from __future__ import annotations

from typing import Any

import numpy as np

import difflab


def test_paths_that_meet_again_are_not_followed_one_by_one() -> None:
    def leap_frog(state: Any) -> Any:  # two to the sixtieth paths
        q, p = state[:2], state[2:]
        for _ in range(30):
            p = p - 0.05 * q / np.sum(q**2) ** 1.5
            q = q + 0.1 * p
            p = p - 0.05 * q / np.sum(q**2) ** 1.5
        return np.sum(p**2)

    def called(x: Any) -> float:
        return float(leap_frog(x))

    point = np.array([1.0, 0.0, 0.1, 0.9])
    truth = difflab.estimate(called, point)
    np.testing.assert_allclose(difflab.gradient(leap_frog)(point), truth.value, rtol=1e-8)
