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
from difflab.lab.claims import Evidence, claims

EXPERIMENT = load(Path(__file__).parents[2] / "experiments" / "peers.py")
PEERS: Any = sys.modules[EXPERIMENT.measure.__module__]
PAGE: Any = sys.modules["_peers_page"]
WORKLOADS: Any = sys.modules["apparatus.peers.workloads"]
OTHERS: Any = sys.modules["apparatus.peers.contestants"]
TRAINING: Any = sys.modules["apparatus.peers.training"]
ALONE: Any = sys.modules["apparatus.peers.alone"]
CLAIMS = claims(EXPERIMENT.file.parent)
HOME = (OTHERS.NATIVE, OTHERS.NUMPY, OTHERS.HAND, OTHERS.C)
"""Who needs no other project."""
SMALL = dict.fromkeys(WORKLOADS.MAKERS, 6) | {"Runge-Kutta": 2}


def verdict(evidence: Evidence) -> str:
    return CLAIMS[evidence.claim].judge(evidence).verdict


def home(task: Any) -> list[str]:
    return [name for name in OTHERS.chosen(task, HOME) if OTHERS.CONTESTANTS[name].there]


@pytest.mark.parametrize("name", [name for name in SMALL if name != "Hessian product"])
def test_value_and_gradient_are_in_the_enclosures(name: str) -> None:
    task = WORKLOADS.workload(name, SMALL[name])
    f = task.f(sys.modules["apparatus.peers.functions"])
    known = truth(f, *task.args, argnums=tuple(range(task.wrt))).midpoint
    for who in home(task):
        value, *gradients = OTHERS.CONTESTANTS[who].make(task)()
        assert value == pytest.approx(f(*task.args), rel=1e-12), who
        for own, exact in zip(gradients, known, strict=True):
            assert PEERS.apart([own], [exact]) < 1e-11, who


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
    begin = TRAINING.start("4-16-3, batch 16")
    ends = []
    for name in TRAINING.trained(HOME):
        trainer = TRAINING.TRAINERS[name](begin)
        losses = [trainer.step() for _ in range(3)]
        assert losses[2] < losses[0]
        ends.append([losses[2], *trainer.parameters()])
    for other in ends[1:]:
        assert PEERS.apart(other, ends[0]) < 1e-5


def rows_of(case: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame([case | row for row in EXPERIMENT.measure(case, np.random.default_rng(0))])


def test_who_computes_something_else_has_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = OTHERS.Contestant(lambda task: lambda: (0.0, np.zeros(5)), "returns zeros")
    monkeypatch.setitem(OTHERS.CONTESTANTS, "wrong", wrong)
    among = [OTHERS.NUMPY, OTHERS.HAND, "wrong"]
    case = {"part": "time", "workload": "Rosenbrock", "size": 5, "rounds": 1, "sample": 1e-5}
    rows = rows_of(case | {"among": among}).set_index("contestant")
    assert rows["agrees"].to_list() == [True, True, False]
    assert rows["seconds"].notna().to_list() == [True, True, False]
    assert rows["beside"].eq(OTHERS.NUMPY).all()
    assert verdict(EXPERIMENT.findings(rows.reset_index())[0]) == "refuted"


def test_a_process_of_its_own_says_what_it_took() -> None:
    row = ALONE.measured(OTHERS.HAND, "Rosenbrock", 100_000)
    assert row["argument_bytes"] == 800_000
    assert row["alone_seconds"] > 0
    assert row["peak_bytes"] > 500_000 or not ALONE.STATUS.exists()


def timed(ratios: dict[str, float], noise: float = 0.02) -> pd.DataFrame:
    """Rows of two workloads, the other contestant slower or faster by a factor."""
    rows = []
    for n, (label, ratio) in enumerate(ratios.items()):
        for who, times in ((OTHERS.NATIVE, 1.0), (OTHERS.JAX, ratio)):
            rows.append(
                {"part": "time", "workload": "Rosenbrock", "label": label, "size": 10.0 * (n + 1),
                 "numbers": n, "contestant": who, "beside": OTHERS.NATIVE, "agrees": True,
                 "seconds": times, "ratio": times, "ratio_low": 0.98 * times,
                 "ratio_high": 1.02 * times, "noise": noise, "rounds": 15,
                 "first_call_seconds": 1.0}
            )  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("second", "noise", "expected"),
    [(1.5, 0.02, "confirmed"), (0.8, 0.02, "refuted"), (1.1, 0.2, "inconclusive")],
)
def test_one_workload_that_is_behind_refutes(second: float, noise: float, expected: str) -> None:
    rows = timed({"a": 9.0, "b": second}, noise)
    evidence = PEERS.ahead(rows, "ahead_of_jax", OTHERS.JAX, OTHERS.UNROLLED)
    assert verdict(evidence) == expected
    assert ("b (0.8)" in evidence.words) == (second < 1)


def test_nothing_is_claimed_of_who_did_not_run() -> None:
    evidence = PEERS.ahead(timed({"a": 9.0}), "ahead_of_casadi", OTHERS.CASADI)
    assert verdict(evidence) == "inconclusive"
    assert "did not run" in evidence.words


def test_the_table_of_speed_is_markdown() -> None:
    rows = timed({"a": 9.04, "b": 1234.0}).assign(version=None)
    text = PAGE.markdown(PAGE.speed(rows)).splitlines()
    assert text[0] == "| workload | difflab native, µs | JAX jit |"
    assert text[1:3] == ["|---|---:|---:|", "| a | 1,000,000 | 9 |"]
    assert text[3].endswith("| 1,234 |")


def test_who_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OTHERS.importlib.util, "find_spec", lambda name: None)
    (case, *others) = EXPERIMENT.cases(preset("smoke"))
    assert "PyTorch" in PAGE.absent(rows_of(case))
    assert all(OTHERS.JAX not in other["among"] for other in others)


def test_no_contestant_makes_the_process_round_denormals_to_zero() -> None:
    task = WORKLOADS.workload("Rosenbrock", 6)
    for who in home(task):
        OTHERS.CONTESTANTS[who].make(task)()
        assert (np.full(8, 1e-310) / 2.0).min() > 0.0, who
