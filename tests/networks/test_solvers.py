"""The solvers against their formulas, written out for one number in exact fractions or floats."""

import math

import numpy as np
import pytest

from difflab.errors import UnknownNameError
from difflab.networks import AdaGrad, Adam, MinibatchSGD, Momentum, Nesterov, RMSProp
from difflab.networks.solvers import SCHEDULES, SOLVERS

GRADIENTS = [0.5, -0.25, 2.0]
RATE = 0.1


def path(solver) -> list[float]:
    """p after each step from 1."""
    p, memory, found = [np.array([1.0])], solver.memory([np.array([1.0])]), []
    for number, g in enumerate(GRADIENTS, 1):
        p, memory = solver.step(p, [np.array([g])], memory, RATE, number)
        found.append(float(p[0][0]))
    return found


def written_out(name: str) -> list[float]:
    p, v, s, found = 1.0, 0.0, 0.0, []
    for number, g in enumerate(GRADIENTS, 1):
        if name == "MinibatchSGD":
            p -= RATE * g
        elif name == "Momentum":
            v = 0.9 * v - RATE * g
            p += v
        elif name == "Nesterov":
            before, v = v, 0.9 * v - RATE * g
            p += -0.9 * before + 1.9 * v
        elif name == "AdaGrad":
            s += g**2
            p -= RATE * g / (math.sqrt(s) + 1e-8)
        elif name == "RMSProp":
            s = 0.9 * s + 0.1 * g**2
            p -= RATE * g / (math.sqrt(s) + 1e-8)
        else:
            v, s = 0.9 * v + 0.1 * g, 0.999 * s + 0.001 * g**2
            mean, square = v / (1 - 0.9**number), s / (1 - 0.999**number)
            p -= RATE * mean / (math.sqrt(square) + 1e-8)
        found.append(p)
    return found


@pytest.mark.parametrize("name", SOLVERS)
def test_steps_follow_the_formula(name):
    np.testing.assert_allclose(path(SOLVERS[name]()), written_out(name), rtol=1e-12)


@pytest.mark.parametrize("name", SOLVERS)
def test_steps_keep_float32(name):
    solver = SOLVERS[name]()
    p = [np.ones((2, 3), np.float32), np.ones(3, np.float32)]
    rate, number = np.float32(0.1), np.float32(1.0)
    moved, memory = solver.step(p, p, solver.memory(p), rate, number)
    arrays = [*moved, *(array for own in memory for array in own)]
    assert {array.dtype.name for array in arrays} == {"float32"}
    assert [len(own) for own in memory] == [solver.remembered] * 2


def test_momentum_without_momentum_is_plain_descent():
    assert path(Momentum(momentum=0.0)) == path(MinibatchSGD())
    np.testing.assert_allclose(path(Nesterov(momentum=0.0)), path(MinibatchSGD()), rtol=1e-15)


def test_the_first_step_of_adam_is_the_rate_in_float32_too():
    """m / sqrt(s) is 1 after one step: 1 - beta^number must not lose its digits."""
    p = [np.zeros(1, np.float32)]
    solver = Adam(epsilon=0.0)
    g = [np.full(1, 3.0, np.float32)]
    moved, _ = solver.step(p, g, solver.memory(p), np.float32(1.0), np.float32(1.0))
    assert abs(moved[0][0] + 1) <= 4 * np.finfo(np.float32).eps


def test_adaptive_solvers_stand_still_without_a_gradient():
    for solver in (AdaGrad(), RMSProp(), Adam()):
        p = [np.ones(1)]
        assert solver.step(p, [np.zeros(1)], solver.memory(p), 0.1, 1)[0][0] == 1.0


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_schedules_begin_with_the_full_rate_and_never_reach_zero(schedule):
    solver = Adam(learning_rate=0.3, schedule=schedule)
    rates = [solver.rate(number, 50) for number in range(1, 51)]
    assert rates[0] == 0.3 and min(rates) > 0.0
    assert rates == sorted(rates, reverse=True)
    assert (rates[-1] == 0.3) == (schedule == "constant") and (rates[-1] > 0.01) <= (
        rates[1] == 0.3
    )


def test_the_cosine_is_half_way_in_the_middle_and_flat_at_both_ends():
    rates = [Adam(learning_rate=1.0, schedule="cosine").rate(number, 100) for number in (11, 51)]
    np.testing.assert_allclose(rates, [0.5 + 0.5 * math.cos(0.1 * math.pi), 0.5], rtol=1e-14)


def test_an_unknown_schedule_is_named():
    with pytest.raises(UnknownNameError, match="did you mean 'cosine'"):
        Adam(schedule="cosin")
