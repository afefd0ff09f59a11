"""The experiment `minibatch`: laws of gradients and updates, and verdicts that follow the rows."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from difflab.lab.cases import load
from difflab.lab.claims import claims

FOLDER = Path(__file__).parents[2] / "experiments"
EXPERIMENT = load(FOLDER / "minibatch.py")
CLAIMS = claims(FOLDER)
MINIBATCH: Any = sys.modules[EXPERIMENT.measure.__module__]
PAGE: Any = sys.modules["_minibatch_page"]
SIZES = (250, 500, 1000, 2000)


def made(
    ratio: float = 8.0, power: float = 1.0, exponent: float = -0.5, waste: float = 50.0
) -> pd.DataFrame:
    """Rows of runs whose advantage is `ratio` at n = 1000 and grows like n to the power."""
    rng = np.random.default_rng(1)
    rows = []
    for n in SIZES:
        for batch in (0, 16):
            at_once = 10_000.0 if batch else 10_000.0 * ratio * (n / 1000) ** power
            for seed in range(10):
                examples = at_once * np.exp(0.02 * rng.normal())
                about = {"data": "digits", "n": n, "batch": batch, "seed": seed, "reached": True}
                run = {"part": "training", "rate": 0.1, "examples": examples, "update": 9}
                rows.append(about | run | {"held_error": 0.1, "loss": 0.09})
    for point in ("start", "trained"):
        for seed in range(10):
            for m in (1, 4, 16, 64):
                error = 5.0 * m**exponent * np.exp(0.02 * rng.normal())
                about = {"part": "gradient", "point": point, "replacement": "with", "n": 1437}
                rows.append(about | {"m": m, "seed": seed, "error": error, "expected": 5 / m**0.5})
    time = {"part": "time", "data": "digits", "n": 2000, "rounds": 15, "noise": 0.1}
    relative = waste / 2000
    time |= {"ratio": relative, "ratio_low": 0.9 * relative, "ratio_high": 1.1 * relative}
    rows.append(time | {"batch": 1, "again": False, "seconds": 1e-4, "buffer_bytes": 1})
    return pd.DataFrame(rows)


def verdicts(rows: pd.DataFrame) -> dict[str, str]:
    return {x.claim: CLAIMS[x.claim].judge(x).verdict for x in MINIBATCH.findings(rows)}


def test_all_claims_hold_where_the_rows_say_so():
    assert set(verdicts(made()).values()) == {"confirmed"}


@pytest.mark.parametrize(
    ("changed", "claim"),
    [
        ({"ratio": 0.2}, "minibatches_need_fewer_passes"),
        ({"power": -0.3}, "minibatches_for_big_data"),
        ({"exponent": -1.0}, "gradient_error_falls_as_root"),
        ({"waste": 0.5}, "small_batches_waste"),
    ],
)
def test_planted_rows_refute(changed, claim):
    assert verdicts(made(**changed))[claim] == "refuted"


def test_runs_that_do_not_arrive_are_counted_and_not_imputed():
    rows = made()
    late = rows["n"].eq(2000) & rows["batch"].eq(0) & rows["seed"].isin([2, 5])
    rows.loc[late, "reached"] = False
    rows.loc[late, "examples"] = 1e12  # must not be read
    left, right, count = PAGE.advantage(rows, "digits", 2000)
    assert len(left) == len(right) == 8
    assert count == "8 and 10 of 10 reached"
    assert (PAGE.growth(rows, "digits").index == [0, 1, 3, 4, 6, 7, 8, 9]).all()
    rows.loc[rows["n"].eq(2000) & rows["batch"].eq(0), "reached"] = False
    assert verdicts(rows)["minibatches_need_fewer_passes"] == "inconclusive"
    assert verdicts(rows)["minibatches_for_big_data"] == "inconclusive"


def test_the_fastest_rate_is_one_at_which_most_runs_arrive():
    about = {"part": "tuning", "data": "digits", "n": 100, "batch": 4, "update": 1}
    runs = [
        about | {"rate": rate, "seed": seed, "examples": examples, "reached": arrived}
        for rate, examples, arrived in ((0.1, 900, True), (0.2, 400, True), (0.4, 100, None))
        for seed in (0, 1)
    ]
    runs[4]["reached"], runs[5]["reached"] = True, False
    best = PAGE.fastest_rates(pd.DataFrame(runs)).loc[("digits", 100, 4)]
    assert best["rate"] == 0.2
    assert not best["edge"]


def test_all_instances_at_once_have_no_error_and_theirs_is_predicted():
    case = {"part": "gradient", "point": "start", "draws": 40, "sizes": [64, 1437], "seed": 0}
    rows = list(MINIBATCH.gradient_errors(case, np.random.default_rng(0)))
    found = {(row["replacement"], row["m"]): row for row in rows}
    n = found["without", 64]["n"]
    assert found["with", 64]["error"] == pytest.approx(found["with", 64]["expected"], rel=0.25)
    ratio = found["without", 64]["expected"] / found["with", 64]["expected"]
    assert ratio == pytest.approx(((n - 64) / (n - 1)) ** 0.5)
    every = found["without", 1437]
    assert every["m"] >= n - 1
    assert every["error"] < 0.05 * found["with", 1437]["error"]


def test_a_run_counts_its_instances_and_stops_on_arrival():
    case = {"part": "training", "data": "digits", "n": 180, "batch": 16, "rate": 0.25, "seed": 0}
    rows = list(MINIBATCH.descend(case | {"curve": True}))
    assert list(MINIBATCH.descend(case)) == rows[-1:]
    assert all(row["examples"] == 16 * row["update"] for row in rows)
    assert rows[-1]["reached"]
    assert rows[-1]["loss"] <= MINIBATCH.THRESHOLD < min(row["loss"] for row in rows[:-1])


def test_a_run_that_diverges_ends_without_having_arrived():
    case = {"part": "tuning", "data": "digits", "n": 180, "batch": 1, "rate": 64.0, "seed": 0}
    (row,) = MINIBATCH.descend(case)
    assert not row["reached"]


def test_memory_grows_with_the_minibatch_and_not_with_the_data():
    X, y, _, _ = MINIBATCH.instances("digits", "training", 0)
    kept = {m: MINIBATCH.one_update(X, y, m)[1] for m in (16, 256, 1024)}
    assert kept[16] < kept[256] < kept[1024]
    assert MINIBATCH.one_update(X[:200], y[:200], 16)[1] == kept[16]
