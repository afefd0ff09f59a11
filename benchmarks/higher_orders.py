"""Derivatives of high order: Taylor mode beside nested reverse mode of autograd and JAX.

Run ``python benchmarks/higher_orders.py`` (autograd and JAX are left out where they are missing).
Prints seconds, medians of rounds in which all take turns: of the 8th derivative of a formula of
some twenty operations, the first time (tracing apart) and later; and of the 4th derivative of a
loop that ends by its data, at new points, tracing included.
"""

from __future__ import annotations

import importlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import difflab

ROUNDS = 7
ORDER = 8
POINTS = np.random.default_rng(0).uniform(0.6, 2.3, 40)


def formula(x: Any, np: Any = np) -> Any:
    """Some twenty operations."""
    a = np.sin(x) * np.exp(-x * x) + np.tanh(2 * x)
    b = np.log(1 + x * x) / (2 + np.cos(x)) - np.sqrt(1 + x)
    return a * b + np.arctan(x) ** 3 + x / (1 + np.exp(x))


def loop(x: Any, np: Any = np) -> Any:
    """A loop that ends by its data."""
    y, steps = x, 0
    while y > 0.5 and steps < 40:
        y, steps = y * np.cos(y) + 0.1 * np.sin(x), steps + 1
    return y * np.exp(-y)


def seconds(call: Callable[[], object]) -> float:
    """The time of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def nested(grad: Callable[[Any], Any], f: Any, order: int) -> Any:
    """A derivative of a derivative, and so on."""
    for _ in range(order):
        f = grad(f)
    return f


def first_and_later() -> tuple[float, float, float]:
    """Seconds of tracing, of the first derivative less those, and of later ones."""
    made = difflab.derivative(formula, order=ORDER)
    traced = seconds(lambda: difflab.trace(formula, 0.7))
    first = seconds(lambda: made(0.7))
    return traced, first - traced, statistics.median(seconds(lambda: made(0.8)) for _ in range(9))


def main() -> None:
    """Print both tables."""
    difflab.derivative(np.sin, order=2)(1.0)
    rounds = [first_and_later() for _ in range(ROUNDS)]
    for name, column in zip(("tracing", "first", "later"), zip(*rounds, strict=True), strict=True):
        print(f"derivative {ORDER} of a formula, {name}: {1e3 * statistics.median(column):.2f} ms")
    prepared = difflab.derivative(formula, order=ORDER, engine="numpy").prepare(0.7)
    calls = statistics.median(seconds(lambda: prepared(0.8)) for _ in range(99))
    whole = sum(prepared.seconds.values())
    print(f'  compiled (engine="numpy"): {1e3 * whole:.0f} ms, then {1e6 * calls:.1f} µs a call')

    held = {"difflab": difflab.derivative(loop, order=4)}
    try:
        own = importlib.import_module("autograd.numpy")
        grad = importlib.import_module("autograd").grad
        held["autograd"] = nested(grad, lambda x: loop(x, own), 4)
    except ModuleNotFoundError:
        print("autograd is not installed")
    try:
        jax = importlib.import_module("jax")
        jax.config.update("jax_enable_x64", True)
        held["JAX, not compiled"] = nested(jax.grad, lambda x: loop(x, jax.numpy), 4)
    except ModuleNotFoundError:
        print("JAX is not installed")
    times: dict[str, list[float]] = {name: [] for name in held}
    values: dict[str, list[float]] = {name: [] for name in held}
    for point in POINTS.tolist():
        for name, derivative in held.items():
            start = time.perf_counter()
            values[name].append(float(derivative(point)))
            times[name].append(time.perf_counter() - start)
    for name, taken in times.items():
        ratios = [t / own for t, own in zip(taken, times["difflab"], strict=True)]
        off = np.max(np.abs(np.array(values[name]) / np.array(values["difflab"]) - 1))
        print(
            f"derivative 4 of a loop, {name}: {1e3 * statistics.median(taken):.2f} ms a new point,"
            f" {statistics.median(ratios):.1f} times difflab's; values differ by {off:.1e}"
        )


if __name__ == "__main__":
    main()
