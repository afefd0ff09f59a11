"""What the estimators reach on real data: test scores over ten seeds, and seconds a fit.

``python benchmarks/estimators.py [--seeds N] [NAME...]``. A seed decides the split (80/20), the
initial weights, the order and the dropout together. Settings are the defaults but for what the
table names. Both were chosen in trials that share some of these seeds, so that the scores are
slightly optimistic. Each fit runs on one BLAS thread; seconds are medians.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

from difflab.lab.measure import one_blas_thread
from difflab.networks.data import load
from difflab.networks.estimator import DNNClassifier, DNNRegressor

SETTINGS: dict[str, dict[str, Any]] = {
    "digits": {},
    "mnist_5k": {"dropout": 0.4, "dtype": "float32"},
    "mnist1d": {"hidden": (100, 100)},
    "breast_cancer": {},
    "wine": {},
    "iris": {},
    "diabetes": {},
}
GOALS = {"digits": 0.98, "mnist_5k": 0.94, "mnist1d": 0.66}


def scores(name: str, seeds: int) -> tuple[list[float], list[float]]:
    """The test score and the seconds of a fit for each seed."""
    data = load(name)
    estimator = DNNClassifier if data.classes else DNNRegressor
    found, seconds = [], []
    for seed in range(seeds):
        train, test, _ = data.split(seed, standardise=False)
        model = estimator(**SETTINGS[name], random_state=seed)
        start = time.perf_counter()
        model.fit(*train)
        seconds.append(time.perf_counter() - start)
        found.append(model.score(*test))
    return found, seconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(SETTINGS), metavar="NAME")
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    print(f"{'data':<14}{'score':>8}{'deviation':>11}{'goal':>7}{'seconds':>9}   settings")
    for name in options.names:
        found, seconds = scores(name, options.seeds)
        mean, deviation = statistics.mean(found), statistics.pstdev(found)
        goal = f"{GOALS[name]:.2f}" if name in GOALS else ""
        middle = statistics.median(seconds)
        changed = SETTINGS[name] or "default"
        print(f"{name:<14}{mean:>8.4f}{deviation:>11.4f}{goal:>7}{middle:>9.2f}   {changed}")


if __name__ == "__main__":
    with one_blas_thread():
        main()
