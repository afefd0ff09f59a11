"""The functions of functions.py as CasADi's symbols: vectors are columns there.

What flows: a workload -> CasADi's function of the point -> a call of NumPy's arrays. Small ones are
expanded to scalars (SX), which run faster; large ones stay matrices (MX).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from apparatus.peers.workloads import Workload

EXPANDED = 2000
"""The most numbers in the arguments for which a function is expanded to scalars."""


def softplus(x: Any) -> Any:
    import casadi as ca

    return ca.fmax(x, 0.0) + ca.log1p(ca.exp(-ca.fabs(x)))


def rosenbrock(x: Any) -> Any:
    import casadi as ca

    return ca.sumsqr(10.0 * (x[1:] - x[:-1] ** 2)) + ca.sumsqr(1.0 - x[:-1])


def helmholtz(x: Any, attraction: Any, volume: Any) -> Any:
    import casadi as ca

    filled = ca.dot(volume, x)
    pairs = ca.dot(x, ca.mtimes(attraction, x)) / (8.0**0.5 * filled)
    low, high = 1.0 - 2.0**0.5, 1.0 + 2.0**0.5
    ratio = ca.log((1.0 + high * filled) / (1.0 + low * filled))
    return ca.dot(x, ca.log(x / (1.0 - filled))) - pairs * ratio


def logistic(w: Any, features: Any, labels: Any) -> Any:
    import casadi as ca

    return ca.sum1(softplus(-labels * ca.mtimes(features, w))) / labels.shape[0]


def chain(x: Any) -> Any:
    import casadi as ca

    for _ in range(20):
        x = softplus(x) - 0.5
    return ca.sum1(x)


def pendulums(angles: Any, stiffness: Any, steps: int) -> Any:
    """One step as a function, mapped over the steps."""
    import casadi as ca

    h, n = 0.02, angles.shape[0]
    q, v, k = ca.MX.sym("q", n), ca.MX.sym("v", n), ca.MX.sym("k", n)
    slope = lambda q, v: (v, -k * ca.sin(q) - 0.1 * v)
    q1, v1 = slope(q, v)
    q2, v2 = slope(q + 0.5 * h * q1, v + 0.5 * h * v1)
    q3, v3 = slope(q + 0.5 * h * q2, v + 0.5 * h * v2)
    q4, v4 = slope(q + h * q3, v + h * v3)
    after = [q + h / 6.0 * (q1 + 2.0 * q2 + 2.0 * q3 + q4),
             v + h / 6.0 * (v1 + 2.0 * v2 + 2.0 * v3 + v4)]  # fmt: skip
    state = ca.vertcat(q, v)
    step = ca.Function("step", [state, k], [ca.vertcat(*after)]).expand()
    end = step.mapaccum(steps)(ca.vertcat(angles, 0.0 * angles), ca.repmat(stiffness, 1, steps))
    return ca.sumsqr(end[:, -1])


FUNCTIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function for function in (rosenbrock, helmholtz, logistic, chain, pendulums)
}


def by_casadi(task: Workload) -> Callable[[], tuple[Any, ...]]:
    """Value and gradients, or the product of the Hessian with the direction."""
    import casadi as ca

    point = task.args[: task.wrt]
    symbols = [ca.MX.sym(f"x{i}", len(array)) for i, array in enumerate(point)]
    data = [ca.DM(array) for array in task.args[task.wrt :]]
    value = FUNCTIONS[task.function](
        *symbols, *data, *(() if task.steps is None else (task.steps,))
    )
    gradients = [ca.gradient(value, symbol) for symbol in symbols]
    given, outputs = list(symbols), [value, *gradients]
    if task.direction is not None:
        along = ca.MX.sym("v", len(task.direction))
        given, outputs = [*symbols, along], [ca.jtimes(gradients[0], symbols[0], along)]
        point = (*point, task.direction)
    function = ca.Function("gradient", given, outputs)
    if task.steps is None and sum(array.size for array in (*task.args, *point)) <= EXPANDED:
        function = function.expand()

    def call() -> tuple[Any, ...]:
        found = function(*point)
        if task.direction is not None:
            return None, np.asarray(found).ravel()
        return float(found[0]), *(np.asarray(array).ravel() for array in found[1:])

    return call
