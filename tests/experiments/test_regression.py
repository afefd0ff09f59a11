"""The experiment `regression`: its function, least squares, the conditional mean, and verdicts."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from difflab.lab.cases import load
from difflab.lab.findings import findings_of

FOLDER = Path(__file__).parents[2] / "experiments"
EXPERIMENT = load(FOLDER / "regression.py")
MODULE = sys.modules[EXPERIMENT.measure.__module__]
RNG = np.random.default_rng(0)


def test_friedmans_function_is_scikit_learns():
    datasets = pytest.importorskip("sklearn.datasets")
    part, clean = MODULE.friedman(np.random.default_rng(3), 50)
    X = datasets.make_friedman1(50, noise=0.0, random_state=0)[0]
    assert part.X.shape == X.shape
    x = part.X.T
    again = 10 * np.sin(np.pi * x[0] * x[1]) + 20 * (x[2] - 0.5) ** 2 + 10 * x[3] + 5 * x[4]
    assert clean == pytest.approx(again)
    assert np.std(part.y - clean) == pytest.approx(1.0, abs=0.3)


def test_skewed_noise_parts_mean_and_median():
    part, clean = MODULE.friedman(np.random.default_rng(0), 50_000, skewed=True)
    assert np.mean(part.y - clean) == pytest.approx(MODULE.SCALE, rel=0.03)
    assert np.median(part.y - clean) == pytest.approx(MODULE.SCALE * np.log(2), rel=0.03)


@pytest.mark.parametrize("data", ["friedman1", "diabetes"])
def test_parts_are_scaled_by_what_is_learnt_from(data):
    case = {"part": "training", "data": data, "seed": 0, "size": 300}
    learn, held = MODULE.parts(case)
    for part in (learn.X, learn.y):
        assert part.mean(axis=0) == pytest.approx(0, abs=1e-12)
        assert part.std(axis=0) == pytest.approx(1)
    assert abs(held.y.mean()) > 1e-6
    again, _ = MODULE.parts({**case, "part": "tuning"})
    assert not np.array_equal(learn.y[:50], again.y[:50])


def test_descent_comes_to_the_least_squares_as_fast_as_theory_says():
    case = {"part": "least squares", "data": "friedman1", "seed": 0, "size": 200, "updates": 50}
    early, late = (EXPERIMENT.measure({**case, "updates": count}, RNG) for count in (5, 500))
    assert early["agrees"]
    assert late["agrees"]
    assert late["distance"] < 1e-9 < early["distance"]


def rows(r2: dict[tuple[str, int, str], float], agrees: bool = True) -> pd.DataFrame:
    rng, made = np.random.default_rng(0), []
    for (data, depth, activation), value in r2.items():
        one = {"data": data, "depth": depth, "activation": activation, "hidden": depth > 0,
               "l2": 0.0, "rate": 0.1, "update": 9, "last": True, "settled": True,
               "diverged": False, "held_loss": 1.0, "train_error": 0.0}  # fmt: skip
        for seed in range(10):
            own = value + 0.01 * rng.random()
            run = one | {"seed": seed, "r2": own, "held_error": 1 - own}
            made += [run | {"part": "training"}, run | {"part": "tuning"}]
    alone = [
        {"part": "least squares", "data": "friedman1", "seed": 0, "agrees": agrees},
        *({"part": "skewed", "seed": seed, "place": 1 + 0.1 * rng.normal()} for seed in range(10)),
    ]
    return pd.DataFrame(made + alone)


def verdicts(made: pd.DataFrame) -> dict[str, str]:
    return {one["id"]: one["verdict"] for one in findings_of(EXPERIMENT, made)}


def planted(line: float, shallow: float, deep: float, deep_sigmoid: float):
    return {
        (data, depth, name): deep_sigmoid if (depth, name) == (4, "sigmoid") else value
        for data in ("friedman1", "diabetes")
        for depth, value in ((0, line), (1, shallow), (2, shallow), (4, deep))
        for name in (("relu", "sigmoid") if depth else ("linear",))
    }


def test_verdicts_on_planted_rows_and_on_their_opposite():
    found = verdicts(rows(planted(0.6, 0.8, 0.9, 0.85)))
    assert found.pop("least_squares_by_descent") == "holds"
    assert set(found.values()) == {"reproduced"}
    found = verdicts(rows(planted(0.45, 0.4, 0.3, 0.35), agrees=False))
    assert found.pop("least_squares_by_descent") == "fails"
    assert found.pop("squared_error_estimates_the_mean") == "reproduced"
    assert set(found.values()) == {"contradicted"}


def test_predictions_at_the_median_speak_against_the_mean():
    made = rows(planted(0.6, 0.8, 0.9, 0.85))
    made["place"] -= 1
    assert verdicts(made)["squared_error_estimates_the_mean"] == "contradicted"
