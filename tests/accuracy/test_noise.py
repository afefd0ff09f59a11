"""Functions with an error that is no rounding, and bands over random functions."""

from __future__ import annotations

import functools
import math
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from difflab.accuracy.check import check
from difflab.accuracy.estimate import estimate
from difflab.errors import ArgumentError
from difflab.ir.tree import flatten

from ..opaque import opaque

integrate = pytest.importorskip("scipy.integrate")
sys.path.insert(0, str(Path(__file__).parent))
compositions = pytest.importorskip("compositions").compositions

NIGHTLY = os.environ.get("DIFFLAB_PROFILE") == "nightly"
FRESH = 100_000
"""From here on, seeds on which nothing was chosen."""
POINTS = np.linspace(0.31, 2.07, 16)


def odeint(a):
    return integrate.odeint(lambda y, t: -a * y, 1.0, [0.0, 1.0])[-1, 0]


def solve_ivp(a, **options):
    return integrate.solve_ivp(lambda t, y: -a * y, (0.0, 1.0), [1.0], **options).y[0, -1]


SOLVERS = {
    "odeint": odeint,
    "solve_ivp": solve_ivp,
    "solve_ivp 1e-8": functools.partial(solve_ivp, rtol=1e-8),
}


def exact(a):
    return -math.exp(-a)


@pytest.mark.parametrize("f", SOLVERS.values(), ids=SOLVERS)
def test_the_exact_gradient_through_a_solver(f):
    for a in POINTS:
        found = check(f, a, gradient=exact)
        assert found.verdict in ("correct", "undecided", "wrong")  # never a kink
        assert found.verdict != "wrong" or "pass noise=" in str(found)
    for a in POINTS[::4]:
        assert check(f, a, gradient=lambda a: 0.5 * exact(a)).verdict == "wrong"


@pytest.mark.parametrize("f", SOLVERS.values(), ids=SOLVERS)
def test_stated_noise_settles_it(f):
    for a in POINTS[::3]:
        noise = 10.0 * abs(f(a) - math.exp(-a))
        found = check(f, a, gradient=exact, noise=noise)
        assert found.verdict in ("correct", "undecided") and "noise=" not in str(found)
        (component,) = found.components
        if component.band < 0.1 * abs(component.expected):
            far = component.expected + 10.0 * component.band
            assert check(f, a, gradient=lambda a, far=far: far, noise=noise).verdict == "wrong"


def test_closed_formulas_have_no_zone():
    @opaque
    def several(x):
        return math.exp(x[0]) * math.log(x[1]) + math.sin(x[0] * x[2])

    @opaque
    def slopes(x):
        c = math.cos(x[0] * x[2])
        e = math.exp(x[0])
        return np.array([e * math.log(x[1]) + x[2] * c, e / x[1], x[0] * c])

    for k in range(5):
        x = np.random.default_rng(k).uniform(0.3, 2.5, 3)
        assert check(several, x, gradient=slopes).verdict == "correct"
        assert check(several, x, gradient=lambda x: slopes(x) * (1.0 + 1e-6)).verdict == "wrong"
        for f, g in [(math.exp, math.exp), (math.sin, math.cos), (math.log, lambda x: 1.0 / x)]:
            assert (
                check(opaque(f), x[0], gradient=lambda x, g=g: g(x) * (1.0 + 1e-6)).verdict
                == "wrong"
            )


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda x: abs(x) + math.tanh(1000.0 * x), 0.0),
        (lambda x: x + 1e-6 * abs(x), 0.0),
        (lambda x: 1e-5 * abs(x - 1.0) + odeint(x), 1.0),
        (lambda x: float(abs(np.float32(x)) + np.float32(x) * np.float32(0.3)), 0.0),
        (lambda x: abs(x) + 10.0 * abs(x - 1e-3), 0.0),
    ],
)
def test_kinks_are_told_beside_steep_and_rough_functions(f, x):
    assert estimate(f, x).kinks


@pytest.mark.parametrize("base", [1.5, 2.0, math.e, 3.0, 4.0, 10.0, 100.0])
@pytest.mark.parametrize("wave", [math.cos, math.sin])
def test_a_function_that_repeats_itself_has_no_narrow_band(base, wave):
    def f(x):
        return x * wave(2.0 * math.pi * math.log(abs(x), base)) if x else 0.0

    assert estimate(f, 0.0).error > 0.5


def test_a_power_without_a_second_series():
    found = estimate(lambda x: abs(x) ** 2.5, 0.0, order=2)
    assert abs(found.value) <= found.error < 1e-4


def test_stated_noise_widens_the_band_by_what_it_may_do():
    plain = estimate(math.exp, 0.5)
    for noise in (1e-10, 1e-7, 1e-4):
        rng = np.random.default_rng(1)
        found = estimate(lambda x, rng=rng, n=noise: math.exp(x) + rng.uniform(-n, n), 0.5)
        wide = estimate(math.exp, 0.5, noise=noise)
        for one in (found, wide):
            assert abs(one.value - math.exp(0.5)) <= one.error
        assert noise < wide.error < 1e3 * noise and wide.error > plain.error


@pytest.mark.parametrize("noise", [-1.0, math.nan, math.inf, "1e-8", True, [1e-8]])
def test_noise_is_a_number(noise):
    with pytest.raises(ArgumentError, match="noise=1e-8"):
        estimate(math.exp, 1.0, noise=noise)
    with pytest.raises(ArgumentError, match="not a finite number >= 0"):
        check(opaque(math.exp), 1.0, gradient=math.exp, noise=noise)


def test_words_show_the_digits_that_differ():
    @opaque
    def rough(x):
        return math.sin(x) + 1e-9 * math.sin(1e7 * x)

    text = str(check(rough, 0.7, gradient=lambda x: math.cos(x) * (1.0 + 1e-7)))
    assert "by differences" in text or "should be" in text
    jumpy = check(
        opaque(math.sin),
        0.7,
        gradient=opaque(lambda x: math.cos(x) + 1e-7 * math.sin(1e20 * x)),
    )
    assert jumpy.verdict in ("undecided", "wrong")
    if jumpy.verdict == "undecided":
        assert "The given gradient moves by" in str(jumpy)
    flat = str(check(opaque(math.cos), 0.0, gradient=lambda x: 0.0))
    assert "nan" not in flat and "where it is 0" in flat and "of its size" not in flat
    nowhere = check(lambda v: np.arctan2(v[0], v[1]), np.zeros(2), gradient=lambda v: v + 1.0)
    assert "should be nan" not in str(nowhere)


def graded(seeds):
    """How many components there are, and are missed; calls; and the bands over the errors."""
    counts, widths = Counter(), []
    for case in compositions(seeds):
        found, truths = estimate(case, case.point), case.truth()
        values, bands = (np.ravel(flatten(x)[0][0]) for x in (found.value, found.error))
        counts["all"] += len(truths)
        counts["calls"] += found.evaluations
        known = np.isfinite(bands)
        counts["undecided"] += int(np.sum(~known))
        off = np.abs(values - truths)[known]
        counts["missed"] += int(np.sum(off > bands[known]))
        sure = off > 0.0
        widths += [*(bands[known][sure] / off[sure])]
    return counts, float(np.median(widths))


@pytest.mark.parametrize(("count", "share"), [(4000, 0.003)] if NIGHTLY else [(120, 0.015)])
def test_bands_hold_at_random_functions(count, share):
    counts, width = graded(range(FRESH, FRESH + count))
    assert counts["missed"] <= share * counts["all"]
    assert counts["undecided"] <= 0.02 * counts["all"]
    assert counts["calls"] <= 31 * counts["all"]
    assert width < 30.0


def test_partial_derivatives_alone_make_no_gradient() -> None:
    for f, size in (
        (np.median, 3),
        (lambda x: max(min(x[0], x[1]), 0.0), 2),
        (lambda x: x[0] ** 2 * x[1] / (x[0] ** 2 + x[1] ** 2) if x.any() else 0.0, 2),
    ):
        found = check(opaque(f), np.zeros(size), gradient=opaque(np.zeros_like))
        assert found.verdict == "kink" and not found.ok
        assert "the gradient does not" in str(found)


@pytest.mark.parametrize("a", [0.3725, 0.7, 1.5182, 1.798, 1.8091])
def test_where_no_two_windows_tell_a_slope_a_solution_has_no_kink(a: float) -> None:
    integrate = pytest.importorskip("scipy.integrate")

    def f(a: float) -> Any:
        return integrate.solve_ivp(lambda t, y: -a * y, (0, 1), [1.0], rtol=1e-8).y[0, -1]

    assert estimate(f, a).kinks == ()
