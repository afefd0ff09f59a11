"""What works of SciPy's 213 functions for global optimisation, each at points in its bounds.

Run ``python benchmarks/global_functions.py FOLDER`` with the folder
``benchmarks/benchmarks/go_benchmark_functions`` of SciPy's sources. Values are held against plain
calls, gradients against `difflab.estimate`, which only calls; where its band is wide, against
differences of the same function in 60 digits (`Precise`). Of a function's points the worst counts.
Undecided is what neither can tell, such as random draws.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import operator
import signal
import sys
import types
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mpmath
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
    univariate = importlib.import_module(f"scipys.{folder.name}.go_funcs_univariate")
    base = importlib.import_module(f"scipys.{folder.name}.go_benchmark").Benchmark
    for name, kind in sorted({**vars(module), **vars(univariate)}.items()):
        if isinstance(kind, type) and issubclass(kind, base) and kind is not base:
            yield name, kind


class Precise:
    """A number of 60 digits, on which NumPy's functions work in arrays of objects.

    It does not become a float: a function that drops digits on the way raises.
    """

    def __init__(self, value: Any) -> None:
        self.value = value.value if isinstance(value, Precise) else mpmath.mpf(value)

    def __abs__(self) -> Precise:
        return Precise(abs(self.value))

    def __neg__(self) -> Precise:
        return Precise(-self.value)

    def __pos__(self) -> Precise:
        return self

    def __floor__(self) -> Precise:
        return Precise(mpmath.floor(self.value))

    def __ceil__(self) -> Precise:
        return Precise(mpmath.ceil(self.value))

    def __int__(self) -> int:
        return int(self.value)

    def __bool__(self) -> bool:
        return bool(self.value)

    def __hash__(self) -> int:
        return hash(self.value)

    def rint(self) -> Precise:
        return Precise(mpmath.nint(self.value))

    def square(self) -> Precise:
        return Precise(self.value**2)

    def arctan2(self, other: Any) -> Precise:
        return Precise(mpmath.atan2(self.value, Precise(other).value))


def _binary(name: str) -> Callable[..., Any]:
    of = getattr(operator, name.strip("_").removeprefix("r") if "__r" in name else name)

    def method(self: Precise, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented
        pair = self.value, Precise(other).value
        found = of(*(pair[::-1] if "__r" in name else pair))
        return found if isinstance(found, bool) else Precise(found)

    return method


for _name in ("add", "sub", "mul", "truediv", "pow", "mod"):
    setattr(Precise, f"__{_name}__", _binary(f"__{_name}__"))
    setattr(Precise, f"__r{_name}__", _binary(f"__r{_name}__"))
for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    setattr(Precise, f"__{_name}__", _binary(f"__{_name}__"))
_NAMES = "sin cos tan sinh cosh tanh exp log sqrt expm1 log1p log10 sign arctan"
for _name in _NAMES.split():
    _of = getattr(mpmath, _name.replace("arctan", "atan"))
    setattr(Precise, _name, lambda self, of=_of: Precise(of(self.value)))


def precisely(f: Callable[..., Any], x: Any) -> Any:
    """The gradient by differences in 60 digits; ArithmeticError at a kink or a jump."""
    with mpmath.workdps(60):
        step, slopes = mpmath.mpf(10) ** -20, []

        def called(i: int, t: Any) -> Any:
            point = np.array([Precise(float(each)) for each in x], dtype=object)
            point[i] = point[i] + Precise(t)
            found = np.asarray(f(point)).reshape(())[()]
            return found.value if isinstance(found, Precise) else mpmath.mpf(found)

        for i in range(x.size):
            middle = called(i, 0)
            up, down = ((called(i, t) - middle) / t for t in (step, -step))
            if abs(up - down) > 1e-6 * (1 + abs(up)):
                raise ArithmeticError("a kink or a jump")
            slopes.append(float((up + down) / 2))
        return np.array(slopes)


def verdict(f: Callable[..., Any], both: Callable[..., Any], x: Any) -> tuple[str, str]:
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
        value, gradient = both(np.copy(x))
    except DifflabError as error:
        return "refused", str(error)
    except Exception as error:
        return "another error", repr(error)
    if not abs(value - expected) <= 1e-9 * (1.0 + abs(expected)):
        return "wrong", f"value {value!r} for {expected!r}"
    wide = truth.error > 1e-3 * (1.0 + np.abs(truth.value))  # such as at a function of steps
    if truth.kinks or np.any(wide | ~np.isfinite(truth.error)):
        return by_precision(f, gradient, x, "a wide band")
    least = 1e-9 * (1.0 + np.max(np.abs(truth.value)))
    if np.all(np.abs(gradient - truth.value) <= truth.error + least):
        return "right", ""
    for i in np.flatnonzero(np.abs(gradient - truth.value) > truth.error + least):
        way = np.eye(x.size)[i]  # by other steps: a band may be too narrow at one point in many
        again = difflab.estimate(lambda t, way=way: called(x + t * way), 0.0)
        if not abs(gradient[i] - again.value) > again.error + least:
            return by_precision(f, gradient, x, f"{truth.value[i]!r} or {again.value!r}")
    return "wrong", f"gradient {gradient!r} for {truth.value!r} ± {truth.error!r} at {x!r}"


def by_precision(f: Callable[..., Any], gradient: Any, x: Any, why: str) -> tuple[str, str]:
    """A gradient against that in 60 digits, as far as rounding x does not change it."""
    try:
        truth, near = precisely(f, x), precisely(f, np.nextafter(x, np.inf))
    except Exception as error:
        return "undecided", f"{why}; in 60 digits {error!r}"
    band = 8.0 * np.max(np.abs(near - truth)) + 1e-9 * (1.0 + np.max(np.abs(truth)))
    close = np.abs(gradient - truth) <= band
    return ("right", "") if np.all(close) else ("wrong", f"{gradient!r} for {truth!r} at {x!r}")


def judged(kind: Any, points: int, seed: int) -> tuple[str, str]:
    """The worst verdict at some points of one function."""
    problem = kind()
    low, high = np.array(problem.bounds, float).T
    rng = np.random.default_rng(seed)
    both = difflab.value_and_gradient(problem.fun)
    found = [verdict(problem.fun, both, rng.uniform(low, high)) for _ in range(points)]
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
