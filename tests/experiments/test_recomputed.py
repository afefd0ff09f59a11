"""Every claim of the committed reports, computed again from rows.csv.

Written in pandas and SciPy alone, after the recipe that the report prints: a second opinion on the
grammar, the intervals and the verdicts, which shares no code with them. Where a claim is read off a
table that is derived from rows.csv, its twin stands in `tests/recomputed`.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import math
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

ROOT = Path(__file__).parents[2]
SUMMARIES = {path.parent.name: path for path in sorted((ROOT / "reports").glob("*/summary.json"))}
CLAIMS = tomllib.loads((ROOT / "experiments" / "claims.toml").read_text(encoding="utf-8"))
FOUND = {
    finding["id"]: (name, finding)
    for name, path in SUMMARIES.items()
    for finding in json.loads(path.read_text())["findings"]
}
LEAST = 5


@functools.cache
def rows_of(name: str) -> pd.DataFrame:
    keys = ["case_id", "case_row"]
    rows, timings = (
        pd.read_csv(ROOT / "reports" / name / file, low_memory=False)
        for file in ("rows.csv", "timings.csv")
    )
    columns = [*keys, *(column for column in timings if column not in rows)]
    rows = rows.merge(timings[columns], on=keys, how="left")
    return rows[rows["status"] == "ok"].drop(columns="status")


@functools.cache
def twin(name: str) -> dict[str, Any]:
    path = ROOT / "tests" / "recomputed" / f"{name}.py"
    if not path.exists():
        return {}
    spec = importlib.util.spec_from_file_location(f"recomputed_{name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    makers = {key: getattr(module, key) for key in ("derived", "given") if hasattr(module, key)}
    return {key: made for make in makers.values() for key, made in make(rows_of(name)).items()}


def select(rows: pd.DataFrame, where: dict[str, Any]) -> pd.DataFrame:
    for column, wanted in where.items():
        values = wanted if isinstance(wanted, list) else [wanted]
        rows = rows[rows[column].isin(values)]
    return rows


def by_unit(rows: pd.DataFrame, column: str, recipe: dict[str, Any], log: bool) -> pd.Series:
    """One value for each unit: of a unit with a row fewer, or without a value, none."""
    values = rows[column].astype(float)
    frame = pd.DataFrame({"unit": rows[recipe["unit"]], "value": np.log(values) if log else values})
    lists = frame.groupby("unit")["value"].apply(list)
    most = lists.map(len).max() if len(lists) else 0
    return lists.map(lambda own: np.mean(own) if len(own) == most else np.nan).astype(float)


def student(values: np.ndarray) -> tuple[float, float, float]:
    if len(values) == 1:
        return values[0], -math.inf, math.inf
    if np.ptp(values) == 0:
        return (float(values[0]),) * 3
    found = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    return float(np.mean(values)), float(found.low), float(found.high)


def of_the_median(values: np.ndarray) -> tuple[float, float, float]:
    ordered, n = np.sort(values), len(values)
    outside = [k for k in range(1, n // 2 + 1) if stats.binom.cdf(k - 1, n, 0.5) <= 0.025]
    ends = (ordered[outside[-1] - 1], ordered[n - outside[-1]]) if outside else (-np.inf, np.inf)
    return float(np.median(values)), *ends


def skewed(values: np.ndarray) -> tuple[float, float, float]:
    rng = np.random.default_rng(0)
    found = stats.bootstrap((values,), np.mean, method="BCa", rng=rng).confidence_interval
    return float(np.mean(values)), float(found.low), float(found.high)


INTERVALS = {"t": student, "median": of_the_median, "bca": skewed}


def of_part(rows: pd.DataFrame, recipe: dict[str, Any]) -> tuple[Any, int, list[float]]:
    """A data set's estimate with its interval, how many units are behind it, and all values."""
    kind, column = recipe["kind"], recipe["column"]
    if kind in ("paired", "ratio"):
        log = kind == "ratio"
        sides = [
            by_unit(select(rows, recipe[side]), column, recipe, log) for side in ("left", "right")
        ]
        both = pd.concat(sides, axis=1, keys=["left", "right"])
        values = (both["left"] - both["right"]) * recipe.get("scale", 1.0)
        values[both["left"].isna() & both["right"].notna()] = math.inf
        values[both["right"].isna() & both["left"].notna()] = -math.inf
    elif kind == "mean":
        log = recipe["over"] is not None
        values = by_unit(rows, column, recipe, log)
        values = (
            values - by_unit(rows, recipe["over"], recipe, log) if log else values * recipe["scale"]
        )
    elif kind == "exponent":
        log, slopes = False, {}
        for unit, run in rows.groupby(recipe["unit"]):
            x, y = run[recipe["x"]].to_numpy(float), run[column].to_numpy(float)
            with np.errstate(all="ignore"):
                x = np.log(x) if "x" in recipe["logarithms"] else x
                y = np.log(y) if "y" in recipe["logarithms"] else y
            fits = len(np.unique(x)) > 1 and np.isfinite(x).all() and np.isfinite(y).all()
            slopes[unit] = stats.linregress(x, y).slope if fits else math.nan
        values = pd.Series(slopes, dtype=float)
    elif kind == "share":
        log, values = False, by_unit(rows, column, recipe, False)
    else:
        raise AssertionError(f"no recomputation of {kind!r}")
    known = values[np.isfinite(values)].to_numpy()
    if not len(known):
        return None, 0, list(values)
    if kind == "share" and set(known) <= {0.0, 1.0}:
        test = stats.binomtest(int(known.sum()), len(known))
        ends = test.proportion_ci(0.95, method="wilson")
        found = (known.mean(), ends.low, ends.high)
    else:
        statistic = "t" if kind == "share" else recipe["statistic"]
        found = INTERVALS[statistic](known)
    if log:
        return tuple(np.exp(found)), len(known), list(np.exp(values))
    return found, len(known), list(values)


def verdict(rule: dict[str, Any], found: Any, n: int, values: list[float], noise: float) -> str:
    """By the rule as claims.toml states it; where units failed, by the signs of the pairs too."""
    plain = "undecided"
    least = rule.get("least", LEAST)
    if found is not None and n >= least and all(map(np.isfinite, found)):
        plain = by_interval(rule, found[1] - noise, found[2] + noise)
    known = [value for value in values if not math.isnan(value)]
    if n == len(values) or not known:
        return plain
    beyond = sum(is_beyond(rule, value) for value in known)
    for count, words in (
        (beyond, ("partly" if "claimed" in rule else "reproduced")),
        (len(known) - beyond, "not reproduced here" if "within" in rule else "contradicted"),
    ):
        if stats.binomtest(count, len(values)).proportion_ci(0.95, method="wilson").low > 0.5:
            return words if n < least <= len(known) else plain
    return "undecided"


def by_interval(rule: dict[str, Any], low: float, high: float) -> str:
    if "within" in rule:
        least, most = rule["within"]
        if least <= low and high <= most:
            return "reproduced"
        return "not reproduced here" if high < least or low > most else "undecided"
    if "below" in rule:  # the mirror image of above
        mirrored = {"above": -rule["below"]}
        mirrored |= {"claimed": -rule["claimed"]} if "claimed" in rule else {}
        return by_interval(mirrored, -high, -low)
    bound, claimed = rule["above"], rule.get("claimed")
    if low > bound:
        return "reproduced" if claimed is None or high >= claimed else "partly"
    if high <= bound:
        return "contradicted" if low < bound else "not reproduced here"
    return "undecided" if claimed is None or high >= claimed else "not reproduced here"


def is_beyond(rule: dict[str, Any], value: float) -> bool:
    if "within" in rule:
        return rule["within"][0] <= value <= rule["within"][1]
    return value > rule["above"] if "above" in rule else value < rule["below"]


def in_one_word(words: list[str]) -> str:
    if len(set(words)) <= 1:
        return words[0] if words else "undecided"
    if {"reproduced", "partly"} & set(words):
        return "depends" if "contradicted" in words else "partly"
    return "not reproduced here"


def judged() -> list[str]:
    return [name for name, (_, finding) in FOUND.items() if finding["verdict"] != "not judged"]


def test_there_are_reports_and_every_claim_is_in_one():
    assert set(CLAIMS) == set(FOUND)


@pytest.mark.parametrize("claim", judged())
def test_a_claim_follows_from_its_rows(claim):
    name, finding = FOUND[claim]
    recipe, rule = finding["recipe"], CLAIMS[claim]["rule"]
    made = twin(name).get(claim, rows_of(name))
    if isinstance(made, pd.DataFrame):
        own = select(made, recipe["where"])
    if recipe.get("kind") == "every":
        holds = own[recipe["column"]].map(lambda value: value in (True, "True", 1.0)).to_numpy()
        assert finding["count"] == [int(holds.sum()), len(holds)]
        assert finding["verdict"] == ("holds" if holds.all() else "fails")
        return
    found: dict[str, tuple[Any, int, list[float]]] = {}
    noise = 0.0
    if not isinstance(made, pd.DataFrame):
        counted = {part["name"]: part["n"] for part in finding["parts"]}
        found = {part: (ends, counted[part], [0.0] * counted[part]) for part, ends in made.items()}
    elif recipe["kind"] == "timed":
        noise = float(own["noise"].max()) if "noise" in own else 0.0
        for row in own.to_dict("records"):
            part = str(row[recipe["by"]]) if recipe["by"] else ""
            ends = tuple(row[recipe["column"] + end] for end in ("", "_low", "_high"))
            found[part] = (ends, int(row["rounds"]), [0.0] * int(row["rounds"]))
    elif recipe["by"] is None:
        found = {"": of_part(own, recipe)} if len(own) else {}
    else:
        sides = [recipe[side] for side in ("left", "right") if side in recipe]
        for part, data in own.groupby(recipe["by"], sort=False):
            if all(len(select(data, side)) for side in sides):
                found[str(part)] = of_part(data, recipe)
    assert {part["name"] for part in finding["parts"]} == set(found)
    words = []
    for part in finding["parts"]:
        ends, n, values = found[part["name"]]
        printed = [part[key] for key in ("estimate", "low", "high")]
        if ends is None or not all(map(np.isfinite, ends)):
            assert printed == [None] * 3
        else:
            assert printed == pytest.approx(list(ends), rel=1e-6, abs=1e-9)
        assert (part["n"], part["planned"]) == (n, len(values))
        words.append(verdict(rule, ends, n, values, noise))
        assert part["verdict"] == words[-1], part["name"]
    assert finding["verdict"] == in_one_word(words)
