"""The same training by every method, and its findings on rows with planted faults."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from difflab.ir.tree import flatten
from difflab.lab.cases import load
from difflab.lab.claims import claims
from difflab.methods import METHODS

FOLDER = Path(__file__).parents[2] / "experiments"
EXPERIMENT = load(FOLDER / "training_methods.py")
MODULE = sys.modules[EXPERIMENT.measure.__module__]
CLAIMS = claims(FOLDER)

from apparatus.training_programs import Problem, angle, apart, path, ulps_apart  # noqa: E402

CASE = {"part": "path", "sizes": [4, 2, 2], "rate": 0.5, "batch": 1, "activation": "tanh",
        "dtype": "float64", "seed": 0, "updates": 20}  # fmt: skip
EXACT = ["reverse", "forward", "symbolic", "complex_step"]


@pytest.mark.parametrize("method", METHODS)
def test_a_path_is_the_loop_of_fit_bit_by_bit(method: str) -> None:
    problem = Problem.of(CASE)
    *_, last = path(problem, method, 6)
    problem.net.fit(*problem.learn, method=method, seed=problem.seed, updates=6)
    for found, wanted in zip(last, flatten(problem.net.parameters)[0], strict=True):
        assert np.array_equal(found, wanted)


def test_exact_methods_agree_to_1e_10_after_20_updates_in_float64() -> None:
    problem = Problem.of(CASE)
    ends = {method: list(path(problem, method, 20))[-1] for method in EXACT}
    for method in EXACT[1:]:
        for found, wanted in zip(ends[method], ends["reverse"], strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-15)
        assert apart(ends[method], ends["reverse"], problem.start) < 1e-10
        assert np.median(ulps_apart(ends[method], ends["reverse"])) < 100
    assert apart(ends["reverse"], problem.start, ends["reverse"]) > 0.1  # they have gone somewhere


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_gradients_along_the_path_point_where_the_exact_one_does(dtype: str) -> None:
    case = CASE | {"sizes": [16, 2, 3], "dtype": dtype, "batch": 2, "updates": 3}
    rows = pd.DataFrame(MODULE.paths_of(case))
    worst = rows.groupby("method")["shared_angle"].max()
    eps = np.finfo(dtype).eps
    assert (worst[["reverse", "forward", "complex_step"]] < 30 * eps).all()
    assert 10 * eps < worst["central_difference"] < worst["forward_difference"] < 0.1
    assert rows.loc[rows["method"] == "reverse", "apart"].dropna().eq(0.0).all()


def test_the_angle_of_small_differences_does_not_cancel() -> None:
    left = np.array([1.0, 2.0, -1.0])
    assert angle([left], [7.0 * left]) <= 4e-16
    assert angle([left], [-left]) == pytest.approx(np.pi)
    assert angle([np.array([1.0, 0.0])], [np.array([1.0, 1e-13])]) == pytest.approx(1e-13)


def test_a_ladder_stops_at_its_budget() -> None:
    rows = pd.DataFrame(
        MODULE.ladder({"method": "reverse", "budget": 1e4, "written_out_budget": 10})
    )
    assert rows["within"].tolist() == [True] * (len(rows) - 1) + [False]
    assert rows["operations"].iloc[-1] > 1e4 >= rows["operations"].iloc[-2]
    forward = pd.DataFrame(
        MODULE.ladder({"method": "forward", "budget": 1e4, "written_out_budget": 10})
    )
    assert forward["parameters"].iloc[-2] < rows["parameters"].iloc[-2]


# Findings on synthetic rows -----------------------------------------------------------------------


def synthetic(
    *, apart: float = 1e-14, accuracy: float = 0.9, dtype: str = "float64"
) -> pd.DataFrame:
    """Ten seeds by every method; forward mode and differences are so far apart and so good."""
    faulty = ("forward", "central_difference")
    return pd.DataFrame(
        {
            "part": "path", "sizes": "[16,8,10]", "activation": "relu", "dtype": dtype,
            "seed": seed, "updates": 20, "update": 20, "method": method, "parameters": 226,
            "apart": apart if method in faulty else 1e-15, "apart_ulps_median": 1.0,
            "accuracy": accuracy if method in faulty else 0.9,
        }
        for seed in range(10)
        for method in METHODS
    )  # fmt: skip


def verdict(evidence: object) -> str:
    return CLAIMS[evidence.claim].judge(evidence).verdict


def test_one_exact_run_that_strays_refutes() -> None:
    assert verdict(MODULE.exact_methods_agree(synthetic())) == "confirmed"
    rows = synthetic()
    rows.loc[(rows["method"] == "forward") & (rows["seed"] == 3), "apart"] = 2e-10
    assert verdict(MODULE.exact_methods_agree(rows)) == "refuted"


def test_differences_that_stray_are_counted() -> None:
    rows = pd.concat([synthetic(), synthetic().assign(seed=lambda own: own["seed"] + 10)])
    assert verdict(MODULE.differences_agree(rows)) == "confirmed"
    far = pd.concat([synthetic(apart=1.0), synthetic()])
    assert verdict(MODULE.differences_agree(far)) == "inconclusive"


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_an_end_that_differs_by_a_point_is_not_the_same(dtype: str) -> None:
    claim = "same_end_of_training"
    same = MODULE.same_accuracy(synthetic(dtype=dtype), dtype, claim)
    assert verdict(same) == "confirmed"
    other = MODULE.same_accuracy(synthetic(dtype=dtype, accuracy=0.89), dtype, claim)
    assert verdict(other) == "refuted"
    assert verdict(MODULE.same_accuracy(synthetic(), "float16", claim)) == "inconclusive"


@pytest.mark.parametrize(("ratio", "wanted"), [(3.0, "confirmed"), (0.5, "refuted")])
def test_the_next_fastest_method_decides_on_the_cost(ratio: float, wanted: str) -> None:
    rows = pd.DataFrame(
        {
            "part": "time", "sizes": "[64,8,10]", "activation": "relu", "parameters": 610,
            "method": method, "operations": 10, "rounds": 15, "noise": 0.05,
            "ratio": value, "ratio_low": 0.98 * value, "ratio_high": 1.02 * value,
        }
        for method, value in {"reverse": 1.0, "forward": ratio, "richardson": 900.0}.items()
    )  # fmt: skip
    found = MODULE.fraction_of_the_cost(rows)
    assert found.interval.estimate == ratio
    assert verdict(found) == wanted
