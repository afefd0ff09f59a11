"""The experiment `minibatch`: laws of gradients and updates, and verdicts that follow the rows."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from difflab.lab.cases import load
from difflab.lab.findings import findings_of

FOLDER = Path(__file__).parents[2] / "experiments"
EXPERIMENT = load(FOLDER / "minibatch.py")
MINIBATCH: Any = sys.modules[EXPERIMENT.measure.__module__]
SIZES = (250, 500, 1000, 2000)


def made(
    ratio: float = 8.0, power: float = 1.0, exponent: float = -0.5, waste: float = 50.0
) -> pd.DataFrame:
    """Rows of runs whose advantage is `ratio` at n = 2000 and grows like n to the power."""
    rng = np.random.default_rng(1)
    rows = []
    for n in SIZES:
        for batch in (0, 16):
            about = {"data": "digits", "n": n, "batch": batch, "most": n == max(SIZES)}
            about |= {"last": True, "update": 9, "diverged": False, "loss": 0.1}
            for rate in (0.1, 0.2, 0.4):
                late = float(rate != 0.2)
                tuning = {"part": "tuning", "rate": rate, "seed": 0, "late": late}
                rows.append(about | tuning)
            mean = 10_000.0 if batch else 10_000.0 * ratio * (n / 2000) ** power
            for seed in range(10):
                reached = mean * np.exp(0.02 * rng.normal())
                run = {"part": "training", "rate": 0.2, "seed": seed, "reached": reached}
                rows.append(about | run)
    for drawn in ("start", "trained"):
        for seed in range(10):
            for m in (1, 4, 16, 64):
                error = 5.0 * m**exponent * np.exp(0.02 * rng.normal())
                about = {"part": "gradient", "drawn": drawn, "seed": seed}
                rows.append(about | {"effective": m, "error": error, "expected": 5 / m**0.5})
    time = {"part": "time", "data": "digits", "n": 2000, "rounds": 15, "noise": 0.1, "batch": 1}
    time |= {"each": waste, "each_low": 0.95 * waste, "each_high": 1.05 * waste, "again": False}
    return pd.DataFrame([*rows, time])


def verdicts(rows: pd.DataFrame) -> dict[str, str]:
    return {one["id"]: one["verdict"] for one in findings_of(EXPERIMENT, rows)}


def test_all_claims_hold_where_the_rows_say_so():
    assert set(verdicts(made()).values()) == {"reproduced"}


@pytest.mark.parametrize(
    ("changed", "claim", "verdict"),
    [
        ({"ratio": 0.2}, "minibatches_need_fewer_passes", "contradicted"),
        ({"power": -0.3}, "minibatches_for_big_data", "contradicted"),
        ({"exponent": -1.0}, "gradient_error_falls_as_root", "not reproduced here"),
        ({"waste": 0.5}, "small_batches_waste", "contradicted"),
    ],
)
def test_planted_rows_speak_against(changed, claim, verdict):
    assert verdicts(made(**changed))[claim] == verdict


def test_runs_that_do_not_arrive_are_counted_and_not_imputed():
    rows = made()
    late = rows["n"].eq(2000) & rows["batch"].eq(0) & rows["part"].eq("training")
    rows.loc[late & rows["seed"].isin([2, 5]), "reached"] = np.nan
    found = {one["id"]: one["parts"][0] for one in findings_of(EXPERIMENT, rows)}
    fewer, grows = (found[f"minibatches_{name}"] for name in ("need_fewer_passes", "for_big_data"))
    assert (fewer["n"], fewer["planned"]) == (grows["n"], grows["planned"]) == (8, 10)
    assert fewer["estimate"] == pytest.approx(8.0, rel=0.05)


def test_all_instances_at_once_have_no_error_and_theirs_is_predicted():
    case = {"part": "gradient", "data": "digits", "point": "start", "draws": 40}
    case |= {"sizes": [64, 1436], "seed": 0}
    rows = list(MINIBATCH.gradient_errors(case, np.random.default_rng(0)))
    found = {(row["drawn"].split()[-2], row["m"]): row for row in rows}
    n = found["without", 64]["n"]
    assert found["with", 64]["error"] == pytest.approx(found["with", 64]["expected"], rel=0.25)
    ratio = found["without", 64]["expected"] / found["with", 64]["expected"]
    assert ratio == pytest.approx(((n - 64) / (n - 1)) ** 0.5)
    assert found["without", 1436]["error"] < 0.05 * found["with", 1436]["error"]


def test_a_run_counts_its_instances_and_stops_on_arrival():
    case = {"part": "training", "data": "digits", "n": 180, "batch": 16, "rate": 0.25, "seed": 0}
    (row,) = MINIBATCH.descend(case)
    assert row["reached"] == row["examples"] == 16 * row["update"]
    X, y = (own[:180] for own in MINIBATCH.instances("digits", "training", 0))
    net = MINIBATCH.network((64, 32, 10), "relu", "float32", 16, 0.25)
    seed = MINIBATCH.run_seed("training", 0)
    looks = MINIBATCH.looks_at(net, MINIBATCH.Minibatches(X, y, 16, seed), seed, row["update"])
    *before, last = [float(net.objective(parameters, X, y)) for _, parameters in looks]
    assert last == row["loss"] <= MINIBATCH.THRESHOLD < min(before)


def test_a_run_that_diverges_ends_without_having_arrived():
    case = {"part": "tuning", "data": "digits", "n": 180, "batch": 1, "rate": 64.0, "seed": 0}
    (row,) = MINIBATCH.descend(case)
    assert np.isnan(row["reached"])
    assert row["diverged"]
    assert row["late"] == 10 * row["examples"]


def test_memory_grows_with_the_minibatch_and_not_with_the_data():
    X, y = MINIBATCH.instances("digits", "training", 0)
    kept = {m: MINIBATCH.one_update(X, y, m)[1] for m in (16, 256, 1024)}
    assert kept[16] < kept[256] < kept[1024]
    assert MINIBATCH.one_update(X[:200], y[:200], 16)[1] == kept[16]
