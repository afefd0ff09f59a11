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

PENDING: Final[dict[str, str]] = {
    name: reason
    for reason, names in {
        "traced arrays as memory are being built": """
            second_differences linear_recurrence prefix_sums kernel_matrix
            gaussian_elimination cholesky_by_hand lu_in_place thomas_solver
            modified_gram_schmidt power_iteration gauss_seidel jacobi_sweeps
            convolution_by_hand soft_dtw needleman_wunsch forward_algorithm viterbi
            runge_kutta_trajectory recurrent_network lstm_cell_states heat_in_place
            heat_in_two_dimensions soft_game_of_life kalman_filter bodies_in_dataclasses
            rotation_matrix vector_of_expressions functions_of_lists math_functions
            float_of_an_element interpolates_in_a_table a_list_and_back
            generators_and_comprehensions newton_until_it_converges joins_by_brackets
            vectorized_by_numpy block_matrices logistic_regression
            inverse_and_determinant moving_averages_by_windows mutating_helper
            bubble_sort sorts_in_place accumulates_by_bin soft_histogram
            running_mean_with_a_deque mask_assignment chained_outputs logs_inside
            fills_rows_and_columns horner_with_coefficients_in_place
            newton_divided_differences transfer_matrix_in_a_list""",
        "rows and spellings are being built": """
            log_loss_by_scipy softmax_by_logsumexp special_functions normal_likelihood
            normal_quantities gaussian_process distances_between_points
            einsum_with_lists_of_axes solves_by_scipy matrix_exponential
            eigenvalues_of_a_symmetric_matrix principal_components
            nuclear_and_spectral_norm least_squares power_spectrum""",
        "complex numbers are being built": """
            complex_exponentials complex_impedance""",
    }.items()
    for name in names.split()
}
"""What does not work yet, and why."""


def _params() -> list[Any]:
    marks = {
        name: [pytest.mark.xfail(strict=False, reason=reason)] for name, reason in PENDING.items()
    }
    return [pytest.param(case, id=name, marks=marks.get(name, [])) for name, case in CASES.items()]


def _by_calls(case: Case, point: Any) -> tuple[float, Any, Any]:
    """The value, and the gradient with its band, by calls of the plain function on copies."""

    def called(x: Any) -> float:
        return float(np.asarray(case.f(np.copy(x)))[()])

    found = difflab.estimate(called, point)
    assert not found.kinks, found
    assert np.all(found.error <= 1e-4 * (1.0 + np.max(np.abs(found.value)))), found
    return called(point), found.value, found.error


@pytest.mark.parametrize("case", _params())
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


@pytest.mark.parametrize("case", [CASES[name] for name in (*PENDING, *EXPECTED_REFUSALS)])
def test_the_truth_is_known(case: Case) -> None:
    for point in (case.point, 1.02 * case.point + 0.013):
        value, slopes, _ = _by_calls(case, point)
        assert np.isfinite(value)
        assert np.any(slopes != 0.0)


def test_the_list_is_long_and_its_notes_are_of_it() -> None:
    assert len(CASES) >= 80
    assert {*PENDING, *EXPECTED_REFUSALS} <= set(CASES)
    assert not set(PENDING) & EXPECTED_REFUSALS
    assert all(Path(str(room.__file__)).parent.name == "everyday" for room in ROOMS)
    assert logging.getLogger(ROOMS[1].__name__).level == logging.NOTSET
