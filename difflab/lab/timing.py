"""Times: callables side by side, against a noise floor.

What flows: callables -> interleaved rounds -> per-round ratios -> intervals.

Invariant: nothing is called faster unless it differs from the baseline by more than the baseline
differs from itself.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from difflab.errors import UnknownNameError
from difflab.lab.intervals import median_interval

if TYPE_CHECKING:
    import pandas as pd

TIME_COLUMNS = (
    *("first_seconds", "seconds", "low_seconds", "high_seconds", "calls"),
    *("ratio", "ratio_low", "ratio_high", "noise", "differs"),
)


def interleave(
    contestants: Mapping[str, Callable[[], object]], *, baseline: str | None = None,
    rounds: int = 15, sample_seconds: float = 0.01,
) -> pd.DataFrame:  # fmt: skip
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

    baseline = next(iter(contestants)) if baseline is None else baseline
    if baseline not in contestants:
        raise UnknownNameError("baseline", baseline, contestants)
    alias = f"{baseline} (again)"
    runners = {**contestants, alias: contestants[baseline]}
    timers = {name: timeit.Timer(call) for name, call in runners.items()}  # garbage collection off
    first = {name: timer.timeit(1) for name, timer in timers.items()}
    calls = {name: _calls_per_sample(timer, sample_seconds) for name, timer in timers.items()}
    calls[alias] = calls[baseline]
    samples: dict[str, list[float]] = {name: [] for name in runners}
    names = list(runners)
    for _ in range(rounds):
        for name in names:
            samples[name].append(timers[name].timeit(calls[name]) / calls[name])
        names.append(names.pop(0))

    ratios = {
        name: median_interval(np.divide(samples[name], samples[baseline])) for name in runners
    }
    noise = max(abs(ratios[alias].low - 1), abs(ratios[alias].high - 1))
    rows = []
    for name, ratio in ratios.items():
        low, middle, high = np.quantile(samples[name], (0.25, 0.5, 0.75)).tolist()
        beyond = (ratio.low > 1 or ratio.high < 1) and abs(ratio.estimate - 1) > noise
        times = (first[name], middle, low, high, calls[name])
        rows.append((name, *times, rounds, *ratio[:3], noise, name != alias and beyond))
    columns = ["contestant", *TIME_COLUMNS[:5], "rounds", *TIME_COLUMNS[5:]]
    return pd.DataFrame(rows, columns=columns)


def _calls_per_sample(timer: timeit.Timer, sample_seconds: float) -> int:
    calls = 1
    while (seconds := timer.timeit(calls)) < sample_seconds:
        wanted = 1.2 * calls * sample_seconds / max(seconds, 1e-9)
        calls = max(2 * calls, min(int(wanted), 100 * calls))
    return calls
