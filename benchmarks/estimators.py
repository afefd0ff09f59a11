"""What the estimators reach on real data: test scores over some seeds, and CPU seconds a fit.

``python benchmarks/estimators.py [--seeds N] [--first SEED] [NAME...]``. A seed decides the split
(80/20), the initial weights, the order and the dropout together. Settings are the defaults but for
what the table names. The defaults were chosen on validation parts of the training data of other
splits (seeds from 1000), never on test parts. Each fit runs on one BLAS thread; seconds are medians
of the processor's time.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

from difflab.networks.data import load
from difflab.networks.estimator import DNNClassifier, DNNRegressor

SETTINGS: dict[str, dict[str, Any]] = {
    "digits": {},
    "mnist_5k": {},
    "mnist1d": {"hidden": (100, 100)},
    "breast_cancer": {},
    "wine": {},
    "iris": {},
    "diabetes": {},
}
GOALS = {"digits": 0.98, "mnist_5k": 0.94, "mnist1d": 0.66}


def scores(name: str, seeds: range) -> tuple[list[float], list[float]]:
    """The test score and the CPU seconds of a fit for each seed."""
    data = load(name)
    estimator = DNNClassifier if data.classes else DNNRegressor
    found, seconds = [], []
    for seed in seeds:
        train, test, _ = data.split(seed, standardise=False)
        model = estimator(**SETTINGS[name], random_state=seed)
        start = time.process_time()
        model.fit(*train)
        seconds.append(time.process_time() - start)
        found.append(model.score(*test))
    return found, seconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(SETTINGS), metavar="NAME")
    parser.add_argument("--seeds", type=int, default=10, help="how many (10)")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="the first (0)")
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.seeds)
    columns = ("score", "deviation", "lowest", "highest", "goal", "seconds")
    print(f"{'data':<14}" + "".join(f"{column:>10}" for column in columns) + "   settings")
    for name in options.names:
        found, seconds = scores(name, seeds)
        figures = (statistics.mean(found), statistics.stdev(found), min(found), max(found))
        goal = f"{GOALS[name]:.2f}" if name in GOALS else ""
        cells = "".join(f"{figure:>10.4f}" for figure in figures)
        middle = statistics.median(seconds)
        print(f"{name:<14}{cells}{goal:>10}{middle:>10.2f}   {SETTINGS[name] or 'default'}")


if __name__ == "__main__":
    main()
