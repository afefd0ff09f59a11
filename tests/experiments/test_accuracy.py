"""Errors are held against a truth that a limit without rules agrees with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from difflab import trace
from difflab.accuracy.truth import truth
from difflab.lab.cases import load

EXPERIMENT = load(Path(__file__).parents[2] / "experiments" / "accuracy.py")


def test_a_limit_of_differences_needs_no_rule_and_knows_where_there_is_none() -> None:
    rows = {
        name: pd.DataFrame(EXPERIMENT.measure({"function": name}, None))
        for name in ("tanh", "absolute", "angle")
    }
    points = {name: own[own["part"] == "point"] for name, own in rows.items()}
    assert points["tanh"]["limit"].eq("agrees").all()
    assert not rows["absolute"].loc[rows["absolute"]["kind"] == "kink", "exists"].any()
    jump = points["angle"][points["angle"]["kind"] == "jump"]
    assert jump["limit"].eq("none").all()
    graded = rows["tanh"][rows["tanh"]["kind"] == "ordinary"].set_index("method")
    assert graded.loc["reverse", "ulps"] < 4 < 1e6 < graded.loc["forward_difference", "ulps"]
    assert graded.loc["central_difference", "cost"] == 2
    assert graded.loc["reverse", "close"] == 1


def test_a_truth_with_another_slope_differs_from_the_limit() -> None:
    limit = EXPERIMENT.measure.__globals__["limit_of_differences"]
    graph, point = trace(np.sin, 0.5), [np.asarray(0.5)]
    assert limit(graph, point, truth(np.sin, 0.5)) == "agrees"
    assert limit(graph, point, truth(np.sinh, 0.5)) == "differs"
