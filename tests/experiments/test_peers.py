"""The contestants of `peers` compute what is true, and who does not has no time."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from difflab.accuracy.truth import truth
from difflab.lab.cases import load, preset
from difflab.lab.findings import findings_of

EXPERIMENT = load(Path(__file__).parents[2] / "experiments" / "peers.py")
PEERS: Any = sys.modules[EXPERIMENT.measure.__module__]
WORKLOADS: Any = sys.modules["apparatus.peers.workloads"]
OTHERS: Any = sys.modules["apparatus.peers.contestants"]
ALONE: Any = sys.modules["apparatus.peers.alone"]
HOME = (OTHERS.NATIVE, OTHERS.NUMPY, OTHERS.HAND, OTHERS.C)
"""Who needs no other project."""
SMALL = dict.fromkeys(WORKLOADS.KINDS, 6) | {"Runge-Kutta": 2, "training": "4-16-3, batch 16"}


def verdicts(rows: pd.DataFrame) -> dict[str, Any]:
    return {found["id"]: found for found in findings_of(EXPERIMENT, rows)}


def home(task: Any) -> list[str]:
    return [name for name in OTHERS.chosen(task, HOME) if OTHERS.CONTESTANTS[name].there]


@pytest.mark.parametrize(
    "name", [name for name in SMALL if name not in ("Hessian product", "training")]
)
def test_value_and_gradient_are_in_the_enclosures(name: str) -> None:
    task = WORKLOADS.workload(name, SMALL[name])
    f = task.f(sys.modules["apparatus.peers.functions"])
    known = truth(f, *task.args, argnums=tuple(range(task.wrt))).midpoint
    for who in home(task):
        value, *gradients = WORKLOADS.arrays(OTHERS.CONTESTANTS[who].make(task)())
        assert value == pytest.approx(f(*task.args), rel=1e-12), who
        for own, exact in zip(gradients, known, strict=True):
            assert WORKLOADS.apart([own], [exact]) < 1e-11, who


def test_the_product_is_that_of_the_hessian() -> None:
    task = WORKLOADS.workload("Hessian product", 6)
    (x,), step = task.args, 1e-20
    # The gradient of a polynomial, at a complex point, is its own Taylor series.
    z = x + 1j * step * task.direction
    r = z[1:] - z[:-1] ** 2
    slope = np.zeros(6, complex)
    slope[1:] += 200 * r
    slope[:-1] -= 400 * z[:-1] * r + 2 * (1 - z[:-1])
    for who in home(task):
        _, product = OTHERS.CONTESTANTS[who].make(task)()
        assert product == pytest.approx(slope.imag / step, rel=1e-12), who


def test_steps_of_training_agree() -> None:
    task = WORKLOADS.workload("training", SMALL["training"])
    ends = []
    for who in home(task):
        step = OTHERS.CONTESTANTS[who].make(task)
        steps = [WORKLOADS.arrays(step()) for _ in range(3)]
        assert steps[2][0] < steps[0][0], who
        ends.append(steps[2])
    for other in ends[1:]:
        assert WORKLOADS.apart(other, ends[0]) < 1e-5


@pytest.mark.parametrize("name", SMALL)
def test_every_text_runs_in_the_words_of_every_library(name: str) -> None:
    task = WORKLOADS.workload(name, SMALL[name])
    known = WORKLOADS.arrays(OTHERS.CONTESTANTS[OTHERS.NUMPY].make(task)())
    tolerance = PEERS.AGREES[WORKLOADS.arrays(task.args)[0].dtype.name]
    for who in OTHERS.chosen(task, [other for other in OTHERS.CONTESTANTS if other not in HOME]):
        if who != OTHERS.COMPILED:  # it takes seconds to compile
            OTHERS.CONTESTANTS[who].start()
            found = WORKLOADS.arrays(OTHERS.CONTESTANTS[who].make(task)())
            assert WORKLOADS.apart(found, known) < tolerance, who


def rows_of(case: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame([case | row for row in EXPERIMENT.measure(case, np.random.default_rng(0))])


def test_who_computes_something_else_has_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = OTHERS.Contestant(lambda task: lambda: (0.0, np.zeros(5)), "returns zeros")
    monkeypatch.setitem(OTHERS.CONTESTANTS, "wrong", wrong)
    among = [OTHERS.NUMPY, OTHERS.NATIVE, "wrong"]
    case = {"part": "time", "workload": "Rosenbrock", "size": 5, "rounds": 1, "sample": 1e-5}
    rows = rows_of(case | {"among": among}).set_index("contestant")
    assert rows["agrees"].to_list() == [True, True, False]
    assert rows["seconds"].notna().to_list() == [True, True, False]
    assert rows["best"].to_list() == [True, True, False]
    assert rows["beside"].eq(OTHERS.NUMPY).all()


def test_one_who_disagrees_fails_the_check() -> None:
    rows = timed({"a": 9.0, "b": 8.0})
    assert verdicts(rows)["peers_agree"]["verdict"] == "holds"
    rows.loc[0, "agrees"] = False
    assert verdicts(rows)["peers_agree"]["verdict"] == "fails"


def test_a_process_of_its_own_says_what_it_took() -> None:
    row = ALONE.measured(OTHERS.NUMPY, "Rosenbrock", 100_000)
    assert row["alone_seconds"] > 0
    assert row["process_bytes"] > 500_000 or not ALONE.STATUS.exists()


def timed(ratios: dict[str, float], noise: float = 0.02) -> pd.DataFrame:
    """Rows of workloads, on which JAX is slower or faster by a factor."""
    rows = []
    for label, ratio in ratios.items():
        for who, times in ((OTHERS.NATIVE, 1.0), (OTHERS.JAX, ratio)):
            rows.append(
                {"part": "time", "label": label, "contestant": who, "project": who, "best": True,
                 "beside": OTHERS.NATIVE, "agrees": True, "seconds": times, "ratio": times,
                 "ratio_low": 0.98 * times, "ratio_high": 1.02 * times, "rounds": 15,
                 "noise": noise if label == "b" else 0.01, "first_call_seconds": times}
            )  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("second", "noise", "expected", "word"),
    [
        (1.5, 0.02, "reproduced", "reproduced"),
        (0.8, 0.02, "contradicted", "depends"),
        (1.1, 0.2, "undecided", "partly"),
    ],
)
def test_one_workload_that_is_behind_shows(
    second: float, noise: float, expected: str, word: str
) -> None:
    found = verdicts(timed({"a": 1.1, "b": second}, noise))["ahead_of_jax"]
    assert [part["verdict"] for part in found["parts"]] == ["reproduced", expected]
    assert found["verdict"] == word
    assert f"JAX jit on {1 + (word == 'reproduced')} of 2 workloads" in found["evidence"]


def test_first_calls_are_compared_workload_by_workload() -> None:
    ratios = {name: 2.0 + 0.01 * number for number, name in enumerate("abcdef")}
    (part,) = verdicts(timed(ratios))["first_call_before_jax"]["parts"]
    assert (part["n"], part["verdict"]) == (6, "reproduced")
    assert 2.0 < part["estimate"] < 2.05


def test_nothing_is_claimed_of_who_did_not_run() -> None:
    assert verdicts(timed({"a": 9.0}))["ahead_of_casadi"]["verdict"] == "not judged"


def test_who_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OTHERS.importlib.util, "find_spec", lambda name: None)
    (case, *others) = EXPERIMENT.cases(preset("smoke"))
    assert "PyTorch" in PEERS.absent(rows_of(case))
    assert all(OTHERS.JAX not in other["among"] for other in others)


def test_no_contestant_makes_the_process_round_denormals_to_zero() -> None:
    task = WORKLOADS.workload("Rosenbrock", 6)
    for who in home(task):
        OTHERS.CONTESTANTS[who].make(task)()
        assert (np.full(8, 1e-310) / 2.0).min() > 0.0, who
