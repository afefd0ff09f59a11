"""Digits are a property of the table, not of the machine: the laws of digits hold without AVX-512.

NumPy has its own exp, tanh, cbrt and so on for AVX-512, and takes the C library's elsewhere. Where
the machine has AVX-512, a second process in which it is hidden grades the same rows; elsewhere the
suite itself runs without.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from difflab.accuracy.digits import is_gradable, partial_digits
from difflab.ir.row import TABLE

from . import laws

HIDDEN = "NPY_DISABLE_CPU_FEATURES"
SAMPLES = 4000
"""Every exponent, and some where functions bend; test_digits.py takes more."""


def wide_vectors() -> list[str]:
    """What NumPy calls the kinds of AVX-512 that it uses here, and can be told not to use.

    The names differ between its versions: X86_V4, or AVX512F and others.
    """
    from numpy._core import _multiarray_umath as built

    used: dict[str, bool] = built.__cpu_features__
    names = [name for name in built.__cpu_dispatch__ if used.get(name)]
    return [name for name in names if name == "X86_V4" or name.startswith("AVX512")]


def report() -> dict[str, Any]:
    """What the laws of digits say in this process: a line for each that does not hold."""
    rows = [row for row in TABLE.values() if is_gradable(row)]
    table = partial_digits([row.name for row in rows], SAMPLES)
    failed = [
        f"{line.row} d/dx{line.partial} {line.program}: {line.max_ulps:.3f} ulps at {line.worst_x}"
        for line in table[table["max_ulps"] > laws.VALUE_ULPS].itertuples()
    ]
    for row in rows:
        try:
            laws.digits_of_value(row)
        except AssertionError as reason:
            failed.append(f"value of {reason}")
    return {"used": wide_vectors(), "graded": len(table), "failed": failed}


def test_digits_hold_without_wide_vectors() -> None:
    hidden = wide_vectors()
    if not hidden:
        return  # then test_digits.py and the laws of digits themselves run without
    before = os.environ.get(HIDDEN, "")
    child = subprocess.run(
        [sys.executable, "-m", "tests.laws.test_vectors"],
        cwd=Path(__file__).parents[2],
        env={**os.environ, HIDDEN: " ".join([before, *hidden]).strip()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    found = json.loads(child.stdout)
    assert not found["used"], f"NumPy still uses {found['used']}"
    assert found["graded"] > 100
    assert not found["failed"], "\n".join([f"without {' '.join(hidden)}:", *found["failed"]])


if __name__ == "__main__":
    print(json.dumps(report()))
