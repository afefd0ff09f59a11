"""Every experiment runs end to end, and says what was published."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from difflab import trace
from difflab.accuracy.truth import truth
from difflab.lab.cases import discover, preset
from difflab.lab.claims import CHECKS, FINDINGS, claims
from difflab.lab.command import Options, run
from difflab.lab.findings import NOT_JUDGED

FOLDER = Path(__file__).parents[2] / "experiments"
EXPERIMENTS = discover(FOLDER)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_runs_from_measuring_to_its_page(name: str, tmp_path: Path) -> None:
    options = Options(preset=preset("smoke"), output=tmp_path, fresh=True)
    assert run(EXPERIMENTS[name], options) == 0
    folder = tmp_path / name
    summary = json.loads((folder / "summary.json").read_bytes())
    assert summary["failed"] == 0
    own = {claim.id for claim in claims(FOLDER).values() if claim.experiment == name}
    assert {finding["id"] for finding in summary["findings"]} == own
    verdicts = {finding["verdict"] for finding in summary["findings"]} - {NOT_JUDGED}
    assert verdicts, "an experiment judges at least one claim"
    assert verdicts <= {*FINDINGS, *CHECKS}
    page = (folder / "index.html").read_text()
    assert EXPERIMENTS[name].question in page
    assert (folder / "README.md").is_file()
    assert all(figure.read_bytes() for figure in folder.glob("*.svg"))


@pytest.mark.parametrize("name", EXPERIMENTS)
@pytest.mark.parametrize("size", ["smoke", "quick", "full"])
def test_the_cases_of_every_preset_differ(name: str, size: str) -> None:
    cases = list(EXPERIMENTS[name].cases(preset(size)))
    assert cases
    assert len({json.dumps(case, sort_keys=True) for case in cases}) == len(cases)


# Worked examples ----------------------------------------------------------------------------------


@cache
def worked_examples(example: str) -> pd.DataFrame:
    experiment = EXPERIMENTS["worked_examples"]
    return pd.DataFrame(experiment.measure({"example": example}, np.random.default_rng(0)))


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


# Accuracy -----------------------------------------------------------------------------------------


def test_a_limit_of_differences_needs_no_rule_and_knows_where_there_is_none() -> None:
    experiment = EXPERIMENTS["accuracy"]
    rows = {
        name: pd.DataFrame(experiment.measure({"function": name, "dtype": "float64"}, None))
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
    limit = EXPERIMENTS["accuracy"].measure.__globals__["limit_of_differences"]
    graph, point = trace(np.sin, 0.5), [np.asarray(0.5)]
    assert limit(graph, point, truth(np.sin, 0.5)) == "agrees"
    assert limit(graph, point, truth(np.sinh, 0.5)) == "differs"
