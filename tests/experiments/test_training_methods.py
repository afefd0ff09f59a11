"""The same training by every method, and its findings on rows with planted faults."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from difflab.ir.tree import flatten
from difflab.lab.cases import load
from difflab.lab.findings import findings_of
from difflab.methods import METHODS

FOLDER = Path(__file__).parents[2] / "experiments"
EXPERIMENT = load(FOLDER / "training_methods.py")
MODULE = sys.modules[EXPERIMENT.measure.__module__]

from apparatus.training_programs import Problem, angle, apart, path  # noqa: E402

CASE = {"part": "path", "network": "4-2-2", "sizes": [4, 2, 2], "rate": 0.5, "batch": 1,
        "activation": "tanh", "dtype": "float64", "seed": 0, "updates": 20}  # fmt: skip
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
    assert apart(ends["reverse"], problem.start, ends["reverse"]) > 0.1  # they have gone somewhere


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_gradients_along_the_path_point_where_the_exact_one_does(dtype: str) -> None:
    case = CASE | {"sizes": [16, 2, 3], "dtype": dtype, "batch": 2, "updates": 3}
    rows = pd.DataFrame(MODULE.paths(case))
    worst = rows.groupby("method")["angle"].max()
    eps = np.finfo(dtype).eps
    assert (worst[["reverse", "forward", "complex_step"]] < 30 * eps).all()
    assert 10 * eps < worst["central_difference"] < worst["forward_difference"] < 0.1
    assert rows.loc[rows["method"] == "reverse", "apart"].eq(0.0).all()


def test_the_angle_of_small_differences_does_not_cancel() -> None:
    left = np.array([1.0, 2.0, -1.0])
    assert angle([left], [7.0 * left]) <= 4e-16
    assert angle([left], [-left]) == pytest.approx(np.pi)
    assert angle([np.array([1.0, 0.0])], [np.array([1.0, 1e-13])]) == pytest.approx(1e-13)


def test_visible_partings_are_dated() -> None:
    rows = pd.DataFrame(MODULE.paths(CASE | {"dtype": "float32", "activation": "relu"}))
    last = rows[rows["last"]].set_index("method")
    assert np.isnan(last.loc["forward", "parted"])
    far = rows[rows["apart"] > MODULE.VISIBLE].groupby("method")["update"].min()
    assert (last["parted"].dropna() <= far.reindex(last["parted"].dropna().index).fillna(20)).all()
    assert (last.loc[far.index, "parted"] <= far).all()


# Findings on synthetic rows -----------------------------------------------------------------------


def synthetic(*, strays: float = 0.0, off: float = 0.0, ratio: float = 3.0) -> pd.DataFrame:
    """Forty runs by every method, of which so many stray, end so far off, and are so slow."""
    rows: list[dict[str, object]] = [
        {
            "part": "path", "network": "16-8-10", "activation": "relu", "dtype": dtype,
            "seed": seed, "start": f"{dtype} {seed}", "update": 20, "last": True,
            "method": method, "same": seed >= 40 * strays, "off": off,
        }
        for dtype in ("float64", "float32")
        for seed in range(40)
        for method in METHODS
    ]  # fmt: skip
    for method in METHODS:
        own = 1.0 if method == "reverse" else ratio
        time = {"part": "time", "largest": True, "method": method, "rounds": 15, "noise": 0.05}
        rows.append(time | {"ratio": own, "ratio_low": 0.98 * own, "ratio_high": 1.02 * own})
    return pd.DataFrame(rows)


def verdicts(rows: pd.DataFrame) -> dict[str, str]:
    return {one["id"]: one["verdict"] for one in findings_of(EXPERIMENT, rows)}


def test_all_claims_hold_where_the_rows_say_so() -> None:
    assert set(verdicts(synthetic()).values()) == {"holds", "reproduced"}


def test_one_exact_run_that_strays_fails() -> None:
    rows = synthetic()
    rows.loc[rows["method"].eq("forward") & rows["seed"].eq(3), "same"] = False
    assert verdicts(rows)["exact_methods_train_alike"] == "fails"


@pytest.mark.parametrize(
    ("changed", "claim", "verdict"),
    [
        ({"strays": 0.5}, "differences_train_alike", "contradicted"),
        ({"off": 1.0}, "same_end_of_training", "not reproduced here"),
        ({"off": -1.0}, "same_end_in_single_precision", "not reproduced here"),
        ({"ratio": 0.5}, "fraction_of_the_cost", "contradicted"),
    ],
)
def test_planted_rows_speak_against(changed: dict[str, float], claim: str, verdict: str) -> None:
    assert verdicts(synthetic(**changed))[claim] == verdict
