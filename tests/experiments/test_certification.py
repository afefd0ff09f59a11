"""What is right is known apart from difflab: by differences in mpmath, and by analysis."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "experiments"
sys.path.append(str(FOLDER))

from apparatus.handwritten import HANDWRITTEN  # noqa: E402
from apparatus.independent import UNKNOWN, formula, slopes  # noqa: E402
from apparatus.peer_checkers import ACCEPTED, NONE, OWN, REJECTED, UNDECIDED, judge  # noqa: E402
from apparatus.special_points import SPECIAL  # noqa: E402
from apparatus.stages import special_stage  # noqa: E402

from difflab.accuracy.truth import truth  # noqa: E402


@pytest.mark.parametrize(
    ("g", "x", "expected"),
    [
        (np.exp, 1.0, np.e),
        (np.tanh, 20.0, 1.6993417021166355e-17),
        (lambda x: x**2, 0.0, 0.0),
        (lambda x: np.abs(x) ** 1.5, 0.0, 0.0),
        (np.sqrt, 1e-300, 5e149),
        (lambda x: np.linalg.inv(x * np.eye(2))[0, 0], 2.0, -0.25),
        (lambda x: np.exp(x * x) - np.exp(x * x), 1.3, 0.0),
    ],
)
def test_differences_in_mpmath_give_the_derivative(g: Any, x: float, expected: float) -> None:
    found = slopes(g, (x,))
    assert found.verdict == "smooth"
    assert found.numbers == pytest.approx([expected], rel=1e-15)


@pytest.mark.parametrize(
    ("g", "x", "verdict"),
    [
        (np.sqrt, 0.0, "one-sided"),
        (np.cbrt, 0.0, "infinite"),
        (np.max, np.ones(2), "kink"),
        (lambda x: np.hypot(x[0], x[1]), np.zeros(2), "kink"),
        (lambda x: np.where(x[0] * x[1] > 0, x[0], 0.0), np.zeros(2), "kink"),
        (np.ceil, 2.0, "jump"),
        (np.arctanh, 2.0, "undefined"),
        (lambda x: np.where(x == 0, 0.0, x * np.sin(1 / x)), 0.0, UNKNOWN),
        (lambda x: float(np.frombuffer(np.asarray(x).tobytes())[0]), 1.0, UNKNOWN),
    ],
)
def test_where_there_is_no_derivative_mpmath_says_what_there_is(
    g: Any, x: Any, verdict: str
) -> None:
    assert slopes(g, (x,)).verdict == verdict


def test_certification_asks_difflab_for_values_and_nothing_else() -> None:
    for name in ("apparatus/independent", "apparatus/mpmath_values", "apparatus/special_points"):
        text = (FOLDER / f"{name}.py").read_text()
        for module in ("accuracy", "readings", "methods", "operators"):
            assert f"difflab.{module}" not in text
    assert "accuracy.truth" not in (FOLDER / "apparatus" / "mutants.py").read_text()


def test_a_formula_keeps_the_digits_that_cancel() -> None:
    (found,) = formula(lambda x: 1 - np.tanh(x) ** 2, (200.0,))
    assert float(found) == pytest.approx(4 * np.exp(-400.0), rel=1e-12)


@pytest.mark.parametrize("name", HANDWRITTEN)
def test_the_oracle_and_mpmath_agree_on_what_is_written_by_hand(name: str) -> None:
    written = HANDWRITTEN[name]
    for args in written.points:
        found = truth(written.f, *args, argnums=tuple(range(len(args)))).midpoint
        numbers = np.concatenate([np.ravel(block) for block in found])
        np.testing.assert_allclose(numbers, slopes(written.f, args).numbers, rtol=1e-15)


# Special points -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n, s in SPECIAL.items() if s.kind != "solver"])
def test_what_analysis_says_is_what_differences_say(name: str) -> None:
    special = SPECIAL[name]
    found = slopes(special.f, special.args)
    if special.known == "derivative":
        assert found.verdict == "smooth"
        for gradient in special.right:
            assert np.ravel(gradient(*special.args)) == pytest.approx(found.numbers, abs=1e-12)
    elif special.known == "one-sided":
        assert found.verdict == "one-sided" and np.isfinite(found.numbers).all()
    else:
        assert not (found.verdict == "one-sided" and np.isfinite(found.numbers).all())
        assert found.verdict != "smooth" and special.right == ()


@pytest.mark.parametrize("name", SPECIAL)
def test_a_wrong_gradient_at_a_special_point_is_wrong(name: str) -> None:
    stage = special_stage(name)
    for candidate in stage.candidates:
        if stage.exact is not None and candidate.error:
            assert candidate.off is not None and np.max(candidate.off) > 1e-6


def test_difflab_knows_the_special_points_that_it_can_trace() -> None:
    for name, special in SPECIAL.items():
        if special.kind == "solver":
            continue
        for candidate in special_stage(name).candidates:
            said = judge(OWN, special.f, candidate.gradient, special.args)
            if special.known == "none":
                assert said.answer in (NONE, UNDECIDED, REJECTED), name
            else:
                assert said.answer == (REJECTED if candidate.error else ACCEPTED), name
