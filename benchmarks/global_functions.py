"""What works of SciPy's functions for global optimisation, about 200, each at points in its bounds.

Run ``python benchmarks/global_functions.py FOLDER`` with the folder
``benchmarks/benchmarks/go_benchmark_functions`` of SciPy's sources. Values are held against plain
calls, gradients against `difflab.estimate`, which only calls; of a function's points the worst
counts. Undecided is what differences cannot tell: kinks, wide bands, random draws.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import signal
import sys
import types
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import difflab
from difflab.errors import DifflabError

VERDICTS = ("wrong", "another error", "refused", "undecided", "right")
"""From the worst."""


def problems(folder: Path) -> Iterator[tuple[str, Any]]:
    """The functions of SciPy's folder, by name, in their default dimension."""
    package, common = types.ModuleType("scipys"), types.ModuleType("scipys.common")
    package.__path__ = [str(folder.parent)]
    common.safe_import = contextlib.nullcontext  # type: ignore[attr-defined]
    sys.modules |= {"scipys": package, "scipys.common": common}
    module = importlib.import_module(f"scipys.{folder.name}")
    base = importlib.import_module(f"scipys.{folder.name}.go_benchmark").Benchmark
    for name, kind in sorted(vars(module).items()):
        if isinstance(kind, type) and issubclass(kind, base) and kind is not base:
            yield name, kind


def verdict(f: Callable[..., Any], operator: Callable[..., Any], x: Any) -> tuple[str, str]:
    """One of VERDICTS, and why."""

    def called(point: Any) -> float:
        return float(np.asarray(f(np.copy(point))).reshape(())[()])

    try:
        expected = called(x)
        if called(x) != expected or not np.isfinite(expected):
            return "undecided", "random, or not finite"
        truth = difflab.estimate(called, x)
    except Exception as error:
        return "undecided", f"the plain function: {error!r}"
    try:
        value, gradient = operator(np.copy(x))
    except DifflabError as error:
        return "refused", str(error)
    except Exception as error:
        return "another error", repr(error)
    if not abs(value - expected) <= 1e-9 * (1.0 + abs(expected)):
        return "wrong", f"value {value!r} for {expected!r}"
    if truth.kinks or not np.all(np.isfinite(truth.error)):
        return "undecided", "a kink, or no band"
    least = 1e-9 * (1.0 + np.max(np.abs(truth.value)))
    if np.any(truth.error > 1e-3 * (1.0 + np.abs(truth.value))):  # such as at a function of steps
        return "undecided", "a wide band"
    if np.all(np.abs(gradient - truth.value) <= truth.error + least):
        return "right", ""
    for i in np.flatnonzero(np.abs(gradient - truth.value) > truth.error + least):
        way = np.eye(x.size)[i]  # by other steps: a band may be too narrow at one point in many
        again = difflab.estimate(lambda t, way=way: called(x + t * way), 0.0)
        if not abs(gradient[i] - again.value) > again.error + least:
            return "undecided", f"{truth.value[i]!r} or {again.value!r}"
    return "wrong", f"gradient {gradient!r} for {truth.value!r} ± {truth.error!r} at {x!r}"


def judged(kind: Any, points: int, seed: int) -> tuple[str, str]:
    """The worst verdict at some points of one function."""
    problem = kind()
    low, high = np.array(problem.bounds, float).T
    rng = np.random.default_rng(seed)
    operator = difflab.value_and_gradient(problem.fun)
    found = [verdict(problem.fun, operator, rng.uniform(low, high)) for _ in range(points)]
    return min(found, key=lambda each: VERDICTS.index(each[0]))


@contextlib.contextmanager
def within(seconds: int) -> Iterator[None]:
    """Raise TimeoutError where it takes longer."""

    def stop(*_: Any) -> None:
        raise TimeoutError(f"longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def main() -> None:
    """Print a verdict for each function that is not right, and the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", help="only these functions")
    parser.add_argument("--points", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=int, default=60, help="the most for one function")
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    warnings.simplefilter("ignore")
    for name, kind in problems(options.folder):
        if options.names and name not in options.names:
            continue
        try:
            with np.errstate(all="ignore"), within(options.seconds):
                found, why = judged(kind, options.points, options.seed)
        except TimeoutError as error:
            found, why = "another error", str(error)
        counts[found] += 1
        if found != "right":
            print(f"{name}: {found}: {why}", flush=True)
    print("| verdict | functions |\n|---|---:|")
    for found in reversed(VERDICTS):
        print(f"| {found} | {counts[found]} |")


if __name__ == "__main__":
    main()
