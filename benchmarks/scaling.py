"""How tracing, deriving, compiling and running grow with the length of a program.

``python benchmarks/scaling.py`` differentiates a chain of 1e3, 1e4 and 1e5 operations both ways and
prints seconds by phase, with the growth exponent of each phase from 1e4 to 1e5.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import difflab
from difflab.engines import compile as compiled
from difflab.methods import METHODS

LENGTHS = (1_000, 10_000, 100_000)


def chain(operations: int) -> Callable[[Any], Any]:
    """A function of that many operations, one after the other."""

    def f(x: Any) -> Any:
        for _ in range(operations // 2):
            x = np.sin(x) * 1.01
        return x

    return f


def phases(operations: int, method: str) -> dict[str, float]:
    """Seconds of each phase."""
    clock = [time.perf_counter()]
    graph = difflab.trace(chain(operations), 0.5)
    clock.append(time.perf_counter())
    derivation = METHODS[method].derive(graph, [0])
    clock.append(time.perf_counter())
    assert derivation.graph is not None
    with derivation.timed("compile"):
        program = compiled(derivation.graph)
    clock.append(time.perf_counter())
    program(0.5)
    clock.append(time.perf_counter())
    names = ("trace", "derive", "compile", "run")
    return dict(zip(names, np.diff(clock).tolist(), strict=True))


def main() -> None:
    """Print the table."""
    for method in ("reverse", "forward"):
        rows = [phases(operations, method) for operations in LENGTHS]
        print(f"\n{method} mode, seconds")
        print(f"{'operations':>12}" + "".join(f"{name:>10}" for name in rows[0]))
        for operations, row in zip(LENGTHS, rows, strict=True):
            print(f"{operations:>12,}" + "".join(f"{value:>10.4f}" for value in row.values()))
        growth = [math.log10(rows[-1][name] / rows[-2][name]) for name in rows[0]]
        print(f"{'exponent':>12}" + "".join(f"{value:>10.2f}" for value in growth))


if __name__ == "__main__":
    main()
