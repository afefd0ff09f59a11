"""The native engine and JAX jit on all cores; the experiment `peers` times them on one.

Run ``python benchmarks/all_cores.py [--rounds N]`` where JAX is installed. The functions are those
of the experiment: value and gradient, NumPy in and out, and both are held against each other before
they are timed. Every round times both, in turn; ratios are medians of those within rounds, and the
engine timed against itself says what noise is.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import jax  # before the contestants, who would keep it to one core
import numpy as np

from difflab.lab.timing import interleave

sys.path.insert(0, str(Path(__file__).parents[1] / "experiments"))

from apparatus.peers.contestants import by_difflab, by_jax
from apparatus.peers.workloads import apart, arrays, workload

SIZES = {
    "Rosenbrock": (10, 1_000, 100_000, 1_000_000),
    "Helmholtz": (8, 50, 1_000),
    "Gaussian mixture": (1_000,),
    "softplus chain": (1_000, 100_000),
}


def main() -> None:
    """Time them and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=15, help="rounds of samples (default 15)")
    rounds = parser.parse_args().rounds
    print(f"JAX {jax.__version__}, NumPy {np.__version__}: JAX's time over ours, 95 % interval")
    ratios = []
    for name, sizes in SIZES.items():
        for n in sizes:
            task = workload(name, n)
            calls = {"difflab": by_difflab(task, "native"), "JAX jit": by_jax(task)}
            found = [arrays(call()) for call in calls.values()]
            assert apart(*found) < 1e-9, f"{task.label}: they disagree"
            calls["again"] = calls["difflab"]
            table = interleave(calls, baseline="difflab", rounds=rounds).set_index("contestant")
            row, again = table.loc["JAX jit"], table.loc["again", "ratio"]
            ratios.append(row["ratio"])
            print(
                f"  {name}, {n:,}: {1e6 * table.loc['difflab', 'seconds']:.1f} us,"
                f" x {row['ratio']:.2f} [{row['ratio_low']:.2f}, {row['ratio_high']:.2f}]"
                f" (itself {again:.2f})",
                flush=True,
            )
    print(f"geometric mean {np.exp(np.mean(np.log(ratios))):.2f}")


if __name__ == "__main__":
    main()
