"""What works of everyday functions as people write them: difflab, autograd, JAX and PyTorch.

Run ``python benchmarks/compatibility.py --peers PYTHON``, with a Python where the peers are
installed. Each system runs in a process of its own, and differentiates the functions of
``tests/tracing/everyday`` unchanged, but that the names ``np``, ``linalg``, ``special`` and
``stats`` stand for its own modules where it has them; PyTorch gets tensors. Values are held against
plain NumPy, gradients against `difflab.estimate`, which only calls.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
from tests.tracing.everyday import CASES, ROOMS  # noqa: E402

SYSTEMS = ("difflab", "autograd", "jax", "torch")
MODULES = {
    "autograd": {"np": "numpy", "linalg": "scipy.linalg", "special": "scipy.special"},
    "jax": {"np": "numpy", "linalg": "scipy.linalg", "special": "scipy.special"},
}
SECONDS = 30
"""The most for one function."""


def truths() -> dict[str, Any]:
    """Each function's value, gradient and band by calls alone."""
    import difflab

    found = {}
    for name, case in CASES.items():

        def called(x: Any, f: Callable[[Any], Any] = case.f) -> float:
            return float(np.asarray(f(np.copy(x)))[()])

        slopes = difflab.estimate(called, case.point)
        band = np.max(slopes.error) + 1e-8 * (1.0 + np.max(np.abs(slopes.value)))
        found[name] = (called(case.point), slopes.value.tolist(), float(band))
    return found


def operator(system: str) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """A system's value and gradient of a function, after its modules have taken NumPy's names."""
    for key, module in MODULES.get(system, {}).items():
        for room in ROOMS:
            if hasattr(room, key):
                setattr(room, key, importlib.import_module(f"{system}.{module}"))
    if system == "difflab":
        import difflab

        return difflab.value_and_gradient
    if system == "autograd":
        import autograd

        return autograd.value_and_grad  # type: ignore[no-any-return]
    if system == "jax":
        import jax

        jax.config.update("jax_enable_x64", True)
        for room in ROOMS:
            if hasattr(room, "stats"):
                room.stats = jax.scipy.stats
        return jax.value_and_grad  # type: ignore[no-any-return]
    import torch

    def of(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def both(x: Any) -> Any:
            t = torch.tensor(x, requires_grad=True)
            value = f(t)
            value.backward()
            return value.item(), t.grad.numpy()

        return both

    return of


def verdicts(system: str, expected: dict[str, Any]) -> dict[str, list[str]]:
    """For each function: right, wrong or raises, and why."""
    found = {}
    differentiate = operator(system)

    def stop(*_: Any) -> None:
        raise TimeoutError(f"longer than {SECONDS} s")

    signal.signal(signal.SIGALRM, stop)
    for name, (value, gradient, band) in expected.items():
        signal.alarm(SECONDS)
        try:
            mine, slopes = differentiate(CASES[name].f)(CASES[name].point.copy())
            same = np.abs(np.asarray(mine) - value) <= 1e-8 * (1.0 + abs(value))
            close = np.all(np.abs(np.asarray(slopes) - np.array(gradient)) <= band)
            found[name] = ["right" if same and close else "wrong", f"{mine} {slopes}"]
        except Exception as error:
            found[name] = ["raises", f"{type(error).__name__}: {error}".splitlines()[0]]
        finally:
            signal.alarm(0)
    return found


def main() -> None:
    """Print a table in Markdown: a row a function, a column a system."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", default=sys.executable, help="the Python of the other systems")
    parser.add_argument("--system", choices=SYSTEMS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    if options.system:
        installed = importlib.util.find_spec(options.system)
        print(json.dumps(verdicts(options.system, json.load(sys.stdin)) if installed else {}))
        return
    expected = json.dumps(truths())
    results = {}
    for system in SYSTEMS:
        python = sys.executable if system == "difflab" else options.peers
        run = [python, __file__, "--system", system]
        done = subprocess.run(run, input=expected, stdout=subprocess.PIPE, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        if found:
            results[system] = found
    print(f"| function | {' | '.join(results)} |\n|---|{'---|' * len(results)}")
    for name in CASES:
        print(f"| {name} | {' | '.join(found[name][0] for found in results.values())} |")
    for verdict in ("right", "raises", "wrong"):
        counts = [[v for v, _ in found.values()].count(verdict) for found in results.values()]
        print(f"| **{verdict}** | {' | '.join(map(str, counts))} |")
    for system, found in results.items():
        wrong = [f"{name}: {why}" for name, (verdict, why) in found.items() if verdict == "wrong"]
        if wrong:
            print(f"\n{system}, wrong:", *wrong, sep="\n")


if __name__ == "__main__":
    main()
