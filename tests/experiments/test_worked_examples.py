"""The worked examples say what was published, and what the truth is."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from difflab.lab.cases import load

EXPERIMENT = load(Path(__file__).parents[2] / "experiments" / "worked_examples.py")


@cache
def worked_examples(example: str) -> pd.DataFrame:
    return pd.DataFrame(EXPERIMENT.measure({"example": example}, np.random.default_rng(0)))


def traced(example: str, along: str) -> pd.DataFrame:
    rows = worked_examples(example)
    kept = rows[(rows["part"] == "trace") & (rows["along"] == along)]
    return kept.set_index("operation")[["name", "value", "tangent", "cotangent"]]


@pytest.mark.parametrize(
    ("operation", "value", "tangent"),
    [
        ("log(x1)", 0.693, 0.5),
        ("x1 * x2", 10.0, 5.0),
        ("sin(x2)", -0.959, 0.0),
        ("a + b", 10.693, 5.5),
        ("c - d", 11.652, 5.5),
    ],
)
def test_the_forward_trace_of_baydin_et_al(operation: str, value: float, tangent: float) -> None:
    row = traced("survey", "x1").loc[operation]
    assert round(row["value"], 3) == value
    assert round(row["tangent"], 3) == tangent


def test_the_adjoints_of_baydin_et_al() -> None:
    inputs = traced("survey", "x1").loc["input"]
    assert inputs["cotangent"].round(3).to_list() == [5.5, 1.716]


def test_the_exercise_of_the_lecture() -> None:
    table = traced("exercise", "w1")
    assert table["value"].iloc[-1] == pytest.approx(0.4740769841801067, rel=4e-16)
    weights = table[table["name"].isin(["w1", "w2", "w3"])]
    assert weights["cotangent"].to_numpy() == pytest.approx(-0.37754066879814541, rel=4e-16)


@pytest.mark.parametrize("example", ["lecture_graph", "exercise", "survey"])
def test_four_rules_and_every_method_give_the_gradient(example: str) -> None:
    rows = worked_examples(example)
    assert rows.loc[rows["part"] == "rules", "agrees"].all()
    methods = rows[rows["part"] == "method"].set_index("method")
    assert (methods.loc[["reverse", "forward", "symbolic", "complex_step"], "ulps_max"] <= 4).all()
    assert (methods["relative_error"] < 1e-6).all()
    assert rows.loc[rows["part"] == "published", "agrees"].all()
