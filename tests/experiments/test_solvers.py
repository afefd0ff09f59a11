"""The experiment `solvers`: what its runs tell, and verdicts that follow the rows."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from difflab.lab.cases import load, preset
from difflab.lab.findings import findings_of

EXPERIMENT = load(Path(__file__).parents[2] / "experiments" / "solvers.py")
SOLVERS: Any = sys.modules[EXPERIMENT.measure.__module__]
TASK = {"task": "digits, 32 units", "data": "digits", "units": 32, "updates": 240}


def made(momentum: float = 0.5, adam: float = 0.5, worse: float = 0.02, cost: float = 1.5) -> Any:
    """Rows where momentum and Adam need so many times plain descent's updates, and so on."""
    rng, rows = np.random.default_rng(0), []
    needed = {"MinibatchSGD": 1.0, "Momentum": momentum, "Nesterov": momentum / 2, "AdaGrad": 0.9,
              "RMSProp": 0.8, "Adam": adam}  # fmt: skip
    for name, factor in needed.items():
        about = {**TASK, "solver": name, "update": 240, "last": True, "diverged": False}
        about |= {"held_loss": 1.0, "settled": True}
        for goal in ("speed", "error"):
            for rate in (0.1, 0.2, 0.4):
                bad = float(rate != 0.2)
                tuning = {"part": "tuning", "rate": rate, "seed": 0, "late": bad, "goal": goal}
                rows.append(about | tuning | {"held_error": bad})
            for seed in range(10):
                noise = np.exp(0.02 * rng.normal())
                run = {"part": "training", "rate": 0.2, "seed": seed, "goal": goal}
                run["held_error"] = 0.05 * noise + worse * (name in SOLVERS.ADAPTIVE)
                rows.append(about | run | {"reached": 100 * factor * noise})
        clock = {"part": "time", "solver": name, "rounds": 15, "noise": 0.01, "ratio": cost}
        rows.append(TASK | clock | {"ratio_low": 0.98 * cost, "ratio_high": 1.02 * cost})
    return pd.DataFrame(rows)


def verdicts(rows: pd.DataFrame) -> dict[str, str]:
    return {one["id"]: one["verdict"] for one in findings_of(EXPERIMENT, rows)}


def test_all_claims_are_reproduced_where_the_rows_say_so():
    assert set(verdicts(made()).values()) == {"reproduced"}


@pytest.mark.parametrize(
    ("changed", "claim"),
    [
        ({"momentum": 2.0}, "momentum_needs_fewer_updates"),
        ({"adam": 2.0}, "adam_needs_fewer_updates"),
        ({"worse": -0.02}, "adaptive_generalises_worse"),
        ({"cost": 3.0}, "adam_costs_less_than_twice"),
    ],
)
def test_planted_rows_contradict(changed, claim):
    assert verdicts(made(**changed))[claim] == "contradicted"


def test_a_run_that_never_arrives_speaks_against():
    rows = made()
    own = rows["solver"].eq("Adam") & rows["part"].eq("training") & rows["goal"].eq("speed")
    rows.loc[own, "reached"] = np.nan
    assert verdicts(rows)["adam_needs_fewer_updates"] == "contradicted"


def test_a_run_for_speed_says_when_it_arrived_and_is_late_otherwise():
    case = {"part": "tuning", "goal": "speed", **TASK, "solver": "Adam", "seed": 0}
    (arrived,) = SOLVERS.measure(case | {"rate": 0.008}, np.random.default_rng(0))
    assert arrived["reached"] == arrived["late"] < 240
    (never,) = SOLVERS.measure(case | {"rate": 1e-9}, np.random.default_rng(0))
    assert np.isnan(never["reached"])
    assert never["late"] == 480


def test_every_solver_has_as_many_rates_a_factor_of_two_apart():
    rates = pd.DataFrame(EXPERIMENT.cases(preset("full"))).dropna(subset=["rate"])
    for _, own in rates.groupby(["goal", "task", "solver"]):
        grid = np.sort(own["rate"].unique())
        assert len(grid) == SOLVERS.RATES
        assert np.allclose(grid[1:] / grid[:-1], 2.0)
