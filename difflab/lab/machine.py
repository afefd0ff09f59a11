"""The machine that measures: held still while it does, and described in the report.

What flows: a block of code -> run on one thread of linear algebra, by engines that stay, or on one
core; and the facts that tell whether two runs may be compared.

Invariant: what is held is given back, however the block ends.
"""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

PACKAGES = ("difflab", "numpy", "sympy", "python-flint", "pandas", "matplotlib")


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Linear algebra runs on one thread inside: times are comparable, sums have one order."""
    import numpy as np  # noqa: F401  (its BLAS must be loaded before it can be limited)
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped,unused-ignore]

    with threadpool_limits(limits=1):
        yield


@contextlib.contextmanager
def one_engine() -> Iterator[None]:
    """What runs a program does not change inside: no digit depends on how often it has run."""
    before = os.environ.get("DIFFLAB_ENGINE", "auto")
    os.environ["DIFFLAB_ENGINE"] = "steady"
    try:
        yield
    finally:
        os.environ["DIFFLAB_ENGINE"] = before


@contextlib.contextmanager
def one_core() -> Iterator[None]:
    """This process stays on one core inside, where the system can do that."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def provenance(root: Path) -> dict[str, str]:
    """Where and with what something is measured: versions, machine, load, commit, time."""
    facts = {"measured": datetime.now(UTC).isoformat(timespec="seconds"), "commit": _commit(root)}
    facts["python"] = platform.python_version()
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            facts[package] = metadata.version(package)
    system = f"{platform.system()} {platform.machine()}"
    facts |= {"system": system, "processor": _processor(), "cores": str(os.cpu_count())}
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
    git = functools.partial(subprocess.check_output, cwd=root, stderr=subprocess.DEVNULL, text=True)
    try:
        commit = git(["git", "rev-parse", "--short=12", "HEAD"]).strip()
        changed = git(["git", "status", "--porcelain", "--", ".", ":(exclude)reports"]).strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit} with local changes" if changed else commit
