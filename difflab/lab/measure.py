"""How things are measured: times against a noise floor, intervals, and where it was done.

What flows: callables -> interleaved rounds -> per-round ratios -> an interval.

Invariant: nothing is called faster unless it differs from the baseline by more than the baseline
differs from itself; and equal values give equal intervals, because the bootstrap's seed is fixed.
"""

from __future__ import annotations

import contextlib
import math
import os
import platform
import subprocess
import sys
import time
import timeit
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING

from difflab.errors import ArgumentError, DomainError, UnknownNameError
from difflab.lab.claims import Interval

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import ArrayLike

PACKAGES = ("difflab", "numpy", "sympy", "python-flint", "pandas", "matplotlib")


# Intervals ----------------------------------------------------------------------------------------


def bootstrap_interval(
    values: ArrayLike,
    *,
    over: ArrayLike | None = None,
    minus: ArrayLike | None = None,
    statistic: Callable[..., np.ndarray] | None = None,
    confidence: float = 0.95,
    resamples: int = 4000,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval of a statistic (the median), optionally of paired values.

    Parameters
    ----------
    values : one value per pair, seed or round
    over, minus : the paired values to divide by, or to subtract
    statistic : a NumPy reduction that takes `axis`; `np.median` by default
    confidence, resamples, seed : of the bootstrap; equal arguments give an equal interval

    Raises
    ------
    DomainError : no values, or a NaN (a censored run is counted, never imputed)

    >>> bootstrap_interval([2.0, 4.0, 6.0], over=[1.0, 2.0, 3.0])
    Interval(estimate=2.0, low=2.0, high=2.0, n=3)
    """
    import numpy as np

    sample = np.asarray(values, dtype=np.float64).ravel()
    for other, combine in ((over, np.divide), (minus, np.subtract)):
        if other is not None:
            paired = np.asarray(other, dtype=np.float64).ravel()
            if paired.shape != sample.shape:
                raise ArgumentError(f"{sample.size} values are paired with {paired.size}")
            sample = combine(sample, paired)
    if sample.size == 0 or np.isnan(sample).any():
        what = "a NaN among the values" if sample.size else "no values"
        raise DomainError(f"no interval: {what}", "select the finished runs, and report k of n")
    reduce = np.median if statistic is None else statistic
    picks = np.random.default_rng(seed).integers(sample.size, size=(resamples, sample.size))
    tail = (1 - confidence) / 2
    low, high = np.quantile(reduce(sample[picks], axis=1), (tail, 1 - tail))
    return Interval(float(reduce(sample, axis=0)), float(low), float(high), sample.size)


def proportion_interval(count: int, n: int, *, confidence: float = 0.95) -> Interval:
    """Wilson's interval of a proportion: it stays honest at 0 of n and n of n.

    >>> print(proportion_interval(20, 20))
    1 [0.8389, 1]
    """
    if not 0 <= count <= n or n == 0:
        raise DomainError(f"no proportion: {count} of {n}", "count the cases that were finished")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share, spread = count / n, z * z / n
    middle = (share + spread / 2) / (1 + spread)
    half = math.sqrt(share * (1 - share) * spread + spread * spread / 4) / (1 + spread)
    low = middle - half if count else 0.0
    high = middle + half if count < n else 1.0
    return Interval(share, low, high, n)


def share_interval(holds: ArrayLike, *, confidence: float = 0.95) -> Interval | None:
    """The interval of the share of true values; None where there are no values.

    >>> print(share_interval([True, True, False]))
    0.6667 [0.2077, 0.9385]
    """
    import numpy as np

    values = np.asarray(holds, dtype=bool)
    count = int(np.sum(values))
    return proportion_interval(count, values.size, confidence=confidence) if values.size else None


# Time ---------------------------------------------------------------------------------------------


def interleave(
    contestants: Mapping[str, Callable[[], object]],
    *,
    baseline: str | None = None,
    rounds: int = 15,
    sample_seconds: float = 0.01,
) -> pd.DataFrame:
    """Time callables side by side; one row for each, with its time relative to the baseline.

    Every round takes one sample of every contestant, in an order that rotates, so that drift of
    the machine meets all alike. A sample repeats the call until it lasts `sample_seconds`, with
    garbage collection off. The baseline (the first contestant by default) runs a second time under
    an alias, and how far that alias strays from ratio 1 is the noise floor.

    Returns
    -------
    DataFrame with the columns `contestant`, `first_seconds` (of the first call), `seconds` (median
    of a steady call), `low_seconds` and `high_seconds` (quartiles), `calls` (per sample), `rounds`,
    `ratio`, `ratio_low`, `ratio_high` (median of per-round ratios to the baseline, 95 %), `noise`
    and `differs` (the interval excludes 1 and the ratio is beyond the noise). All of them except
    `contestant` and `rounds` are volatile: `TIME_COLUMNS`.

    >>> table = interleave({"sum": lambda: sum(range(9)), "max": lambda: max(range(9))}, rounds=3)
    >>> list(table.contestant)
    ['sum', 'max', 'sum (again)']
    """
    import numpy as np
    import pandas as pd

    if baseline is None:
        baseline = next(iter(contestants))
    if baseline not in contestants:
        raise UnknownNameError("baseline", baseline, contestants)
    alias = f"{baseline} (again)"
    runners = {**contestants, alias: contestants[baseline]}
    names = list(runners)
    first = {name: _seconds_of(call) for name, call in runners.items()}
    timers = {name: timeit.Timer(call) for name, call in runners.items()}  # garbage collection off
    calls = {name: _calls_per_sample(timer, sample_seconds) for name, timer in timers.items()}
    calls[alias] = calls[baseline]
    samples: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        for place in range(len(names)):
            name = names[(turn + place) % len(names)]
            samples[name].append(timers[name].timeit(calls[name]) / calls[name])

    ratios = {name: bootstrap_interval(samples[name], over=samples[baseline]) for name in names}
    noise = max(abs(ratios[alias].low - 1), abs(ratios[alias].high - 1))
    rows = []
    for name in names:
        low, middle, high = np.quantile(samples[name], (0.25, 0.5, 0.75)).tolist()
        ratio = ratios[name]
        beyond = ratio.low > 1 or ratio.high < 1
        rows.append(
            {
                "contestant": name,
                "first_seconds": first[name],
                "seconds": middle,
                "low_seconds": low,
                "high_seconds": high,
                "calls": calls[name],
                "rounds": rounds,
                "ratio": ratio.estimate,
                "ratio_low": ratio.low,
                "ratio_high": ratio.high,
                "noise": noise,
                "differs": name != alias and beyond and abs(ratio.estimate - 1) > noise,
            }
        )
    return pd.DataFrame(rows)


TIME_COLUMNS = (
    *("first_seconds", "seconds", "low_seconds", "high_seconds", "calls"),
    *("ratio", "ratio_low", "ratio_high", "noise", "differs"),
)


def _seconds_of(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _calls_per_sample(timer: timeit.Timer, sample_seconds: float) -> int:
    calls = 1
    while (seconds := timer.timeit(calls)) < sample_seconds:
        wanted = 1.2 * calls * sample_seconds / max(seconds, 1e-9)
        calls = max(2 * calls, min(int(wanted), 100 * calls))
    return calls


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Linear algebra runs on one thread inside: times are comparable, sums have one order.

    >>> with one_blas_thread():
    ...     pass
    """
    import numpy as np  # noqa: F401  (its BLAS must be loaded before it can be limited)
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped,unused-ignore]

    with threadpool_limits(limits=1):
        yield


@contextlib.contextmanager
def one_core() -> Iterator[None]:
    """This process stays on one core inside, where the system can do that.

    >>> with one_core():
    ...     pass
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


# Provenance ---------------------------------------------------------------------------------------


def provenance(root: Path | None = None) -> dict[str, str]:
    """Where and with what something is measured: versions, machine, load, commit, time.

    >>> provenance()["python"].count(".")
    2
    """
    here = Path.cwd() if root is None else root
    facts = {"measured": datetime.now(UTC).isoformat(timespec="seconds"), "commit": _commit(here)}
    facts["python"] = platform.python_version()
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            facts[package] = metadata.version(package)
    facts["system"] = f"{platform.system()} {platform.machine()}"
    facts["processor"] = _processor()
    facts["cores"] = str(os.cpu_count())
    if hasattr(os, "getloadavg"):
        facts["load average"] = f"{os.getloadavg()[0]:.2f}"
    return facts


def _processor() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _commit(root: Path) -> str:
    def git(command: Sequence[str]) -> str:
        return subprocess.check_output(
            ["git", *command], cwd=root, stderr=subprocess.DEVNULL, text=True
        ).strip()

    try:
        commit = git(["rev-parse", "--short=12", "HEAD"])
        changed = git(["status", "--porcelain", "--", ".", ":(exclude)reports"])
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit} with local changes" if changed else commit
