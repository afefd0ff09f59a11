"""Special points, with the derivative known by analysis: ties, holes, jumps, borders, solvers.

What flows: a function, a point, the gradients that are right there (none, where the function has no
derivative) and gradients that are not. The invariant: every answer is written by hand, from the
definition of the derivative; no rule of difflab and no difference says what is right.

>>> [name for name, special in SPECIAL.items() if special.kind == "no value"][:2]
['log at -1', 'log at 0']
>>> float(SPECIAL["|x| sign x"].right[0](0.0))
1.0
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.integrate import odeint, solve_ivp

DERIVATIVE, ONE_SIDED, NOWHERE = "derivative", "one-sided", "none"
Gradient = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Special:
    """A function at a special point, and gradients that are right and wrong there."""

    kind: str
    f: Callable[..., Any]
    args: tuple[Any, ...]
    right: tuple[Gradient, ...]
    wrong: tuple[Gradient, ...]
    known: str = DERIVATIVE


def _of(kind: str, known: str = DERIVATIVE) -> Callable[..., Special]:
    """A special point of a kind, from f, x, the right gradients and the wrong ones; numbers are a
    gradient that is the same at every point.
    """

    def gradients(group: list[Any]) -> tuple[Gradient, ...]:
        return tuple(g if callable(g) else partial(_constant, np.array(g)[()]) for g in group)

    def special(f: Gradient, x: Any, right: list[Any], wrong: list[Any]) -> Special:
        point = np.array(x, np.float64)[()]
        return Special(kind, f, (point,), gradients(right), gradients(wrong), known)

    return special


def _constant(numbers: Any, x: Any) -> Any:
    return 0.0 * x + numbers


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x)) if x >= 0 else np.exp(x) / (1 + np.exp(x))


def _softmax(x: Any) -> Any:
    y = np.exp(x - np.max(x))
    return y / np.sum(y)


def _adjugate(a: Any) -> Any:
    return np.stack([np.stack([a[1, 1], -a[1, 0]]), np.stack([-a[0, 1], a[0, 0]])])


_sinc = lambda x: 1.0 if x == 0 else np.sin(x) / x
_log_sum_exp = lambda x: np.max(x) + np.log(np.sum(np.exp(x - np.max(x))))
removable = _of("removable")
jump, tie, hole = (_of(kind, NOWHERE) for kind in ("jump", "tie", "no value"))
edge, vertical = _of("edge", ONE_SIDED), _of("edge", NOWHERE)
ZEROS = [0.0, 0.0]
REMOVABLE: Mapping[str, Special] = {
    "sigmoid by branches": removable(
        _sigmoid, 0.0, [0.25, lambda x: _sigmoid(x) * (1 - _sigmoid(x))], [0.5, 0.2501]),
    "|x| sign x": removable(lambda x: np.abs(x) * np.sign(x), 0.0, [1.0], [0.0, 0.5]),
    "a hole, filled": removable(lambda x: np.where(x == 0, 0.0, x), 0.0, [1.0], [0.0]),
    "sinc": removable(_sinc, 0.0, [0.0], [1.0, 1e-3]),
    "|x|^2": removable(lambda x: np.abs(x) ** 2, 0.0, [0.0, lambda x: 2 * x], [1.0, -1e-3]),
    "relu^2": removable(lambda x: np.maximum(x, 0.0) ** 2, 0.0, [0.0], [0.5]),
    "softplus by a maximum": removable(
        lambda x: np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x))), 0.0, [0.5], [0.0, 1.0]),
    "norm^2": removable(
        lambda x: np.linalg.norm(x) ** 2, ZEROS, [ZEROS, lambda x: 2 * x], [[0.01, 0.0]]),
    "determinant of a singular matrix": removable(
        np.linalg.det, [[1.0, 2.0], [2.0, 4.0]], [_adjugate], [0.0, lambda a: -_adjugate(a)]),
    "log sum exp, shifted, at a tie": removable(
        _log_sum_exp, [1.0, 1.0], [_softmax, 0.5], [[1.0, 0.0], [0.501, 0.499]]),
}  # fmt: skip
ELSEWHERE: Mapping[str, Special] = {
    "a step": jump(lambda x: np.where(x > 0, 1.0, 0.0), 0.0, [], [0.0]),
    "floor": jump(lambda x: np.floor(x) + x, 2.0, [], [1.0]),
    "rounding": jump(lambda x: np.round(x) + x, 2.5, [], [1.0]),
    "the cut of arctan2": jump(
        lambda y: np.arctan2(y, -1.0), 0.0, [], [lambda y: -1.0 / (1.0 + y * y)]),
    "a spike": jump(lambda x: np.where(x == 0, 1.0, x), 0.0, [], [1.0, 0.0]),
    "|x|": tie(np.abs, 0.0, [], [0.0, 1.0, 2.0]),
    "relu": tie(lambda x: np.maximum(x, 0.0), 0.0, [], [0.0, 0.5, 1.0]),
    "the larger of equals": tie(np.max, [1.0, 1.0], [], [[0.5, 0.5], [1.0, 0.0]]),
    "the median of equals": tie(
        np.median, [1.0, 1.0, 1.0], [], [[0.0, 1.0, 0.0], [1 / 3, 1 / 3, 1 / 3]]),
    "a sum by rank": tie(
        lambda x: np.sum(np.sort(x) * np.arange(3)), [1.0, 1.0, 2.0], [], [[0.0, 1.0, 2.0]]),
    "the element at argmax": tie(
        lambda x: x[np.argmax(x)], [1.0, 1.0, 0.0], [], [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]]),
    "the tip of a cone": tie(np.linalg.norm, ZEROS, [], [ZEROS]),
    "x^1.5 at 0": edge(lambda x: x**1.5, 0.0, [0.0, lambda x: 1.5 * np.sqrt(x)], [1.0, 1e-3]),
    "x log x, continued, from 0": vertical(
        lambda x: np.where(x == 0, 0.0, x * np.log(np.where(x == 0, 1.0, x))), 0.0, [], [0.0, 1.0]),
    "sqrt at 0": vertical(np.sqrt, 0.0, [], [0.0, 1.0]),
    "arcsin at 1": vertical(np.arcsin, 1.0, [], [0.0, 1.0]),
    "log at -1": hole(np.log, -1.0, [], [lambda x: 1 / x]),
    "log at 0": hole(np.log, 0.0, [], [0.0]),
    "sqrt at -1": hole(np.sqrt, -1.0, [], [0.0]),
    "arctanh at 2": hole(np.arctanh, 2.0, [], [lambda x: 1 / (1 - x * x)]),
}  # fmt: skip


# Solutions of differential equations: exp(-a), at time 1 of y' = -a y ----------------------------

_by_odeint = lambda a: odeint(lambda y, t: -float(a) * y, 1.0, [0.0, 1.0])[-1, 0]


def _by_solve_ivp(a: Any, **settings: float) -> Any:
    return solve_ivp(lambda t, y: -float(a) * y, (0.0, 1.0), [1.0], **settings).y[0, -1]


_slopes = [lambda a, off=off: -(1.0 + off) * np.exp(-a) for off in (0.0, -0.5, 1e-3, 1e-5)]
SOLVERS: Mapping[str, Special] = {
    f"exp(-a) by {name}": _of("solver")(solver, 0.7, _slopes[:1], _slopes[1:])
    for name, solver in {
        "odeint": _by_odeint,
        "solve_ivp": _by_solve_ivp,
        "solve_ivp, rtol=1e-8": partial(_by_solve_ivp, rtol=1e-8, atol=1e-10),
    }.items()
}
SPECIAL: Mapping[str, Special] = {**REMOVABLE, **ELSEWHERE, **SOLVERS}
