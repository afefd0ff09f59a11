"""Laws of results: an interval is of independent units, data set by data set, and nothing is lost.

The rows are made here, so that what they hold is known; what is compared is computed here too.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from difflab.errors import DomainError, UnknownNameError
from difflab.lab.claims import Claim, Criterion
from difflab.lab.findings import detectable, part_verdict, plain, surviving
from difflab.lab.intervals import Interval
from difflab.lab.results import (
    Part,
    Result,
    chosen,
    every,
    exponent,
    mean,
    paired,
    ratio,
    share,
    timed,
)

SEEDS = 10
SIDES = {"left": {"net": "a"}, "right": {"net": "b"}}


def claim(**rule) -> Claim:
    return Claim("c", "e", "A wins", Criterion(**rule))


def rows(effects: dict[str, float], rng=None, repeats: int = 1, scale: float = 1.0) -> pd.DataFrame:
    """Runs of two networks on some data sets: `a` is larger by the effect, with a common part."""
    rng = rng or np.random.default_rng(0)
    shape = (len(effects), 2, SEEDS, repeats)
    values = 5 + rng.normal(size=(len(effects), 1, SEEDS)) + scale * rng.normal(size=shape[:3])
    values[:, 0] += np.reshape(list(effects.values()), (-1, 1))
    places = np.indices(shape).reshape(4, -1)
    return pd.DataFrame({
        "data": np.array(list(effects))[places[0]], "net": np.array(["a", "b"])[places[1]],
        "seed": places[2], "look": places[3],
        "error": np.broadcast_to(values[..., None], shape).ravel(),
    })  # fmt: skip


def intervals(result: Result) -> dict[str, Interval | None]:
    return {part.name: part.interval for part in result.parts}


# Independent units --------------------------------------------------------------------------------


@pytest.mark.parametrize("repeats", [1, 3])
def test_paired_intervals_cover_and_rows_of_a_unit_are_not_counted(repeats):
    """2,000 draws of ten seeds: 95 % intervals cover 93 to 97 %, however often a row is repeated.

    The plant is the second part: an interval that counts rows is far too narrow.
    """
    own = rows({f"draw {draw}": 0.7 for draw in range(2000)}, np.random.default_rng(5), repeats)
    found = intervals(paired("c", own, "error", **SIDES))
    assert {part.n for part in found.values()} == {SEEDS}
    assert 0.93 <= np.mean([one.low <= 0.7 <= one.high for one in found.values()]) <= 0.97

    sides = own.groupby("net")["error"]
    differences = sides.get_group("a").to_numpy() - sides.get_group("b").to_numpy()  # seed by seed
    by_rows = differences.reshape(2000, repeats * SEEDS)
    half = stats.t.ppf(0.975, repeats * SEEDS - 1) * stats.sem(by_rows, axis=1)
    covered = np.mean(np.abs(by_rows.mean(axis=1) - 0.7) <= half)
    assert covered < 0.8 if repeats > 1 else covered > 0.93


def test_pairs_share_what_the_seed_shares():
    own = rows({"digits": 0.7}, scale=0.1)
    (found,) = intervals(paired("c", own, "error", **SIDES)).values()
    wide = own.pivot(index="seed", columns="net", values="error")
    expected = stats.ttest_rel(wide["a"], wide["b"]).confidence_interval()
    assert found[1:3] == pytest.approx((expected.low, expected.high))


def test_a_ratio_is_geometric_and_a_scale_is_of_the_unit():
    own = rows({"digits": 0.7})
    wide = own.pivot(index="seed", columns="net", values="error")
    (found,) = intervals(ratio("c", own, "error", **SIDES)).values()
    assert found.estimate == pytest.approx(stats.gmean(wide["a"] / wide["b"]))
    logs = stats.ttest_1samp(np.log(wide["a"] / wide["b"]), 0).confidence_interval()
    assert found[1:3] == pytest.approx((math.exp(logs.low), math.exp(logs.high)))
    (points,) = intervals(paired("c", own, "error", **SIDES, scale=100)).values()
    assert points.estimate == pytest.approx(100 * (wide["a"] - wide["b"]).mean())


def test_means_shares_and_exponents_are_of_units():
    own = pd.DataFrame({
        "data": "d", "seed": np.repeat(np.arange(6), 4), "x": np.tile([1.0, 2.0, 4.0, 8.0], 6),
    })  # fmt: skip
    powers = np.repeat([0.9, 1.0, 1.1, 0.95, 1.05, 1.0], 4)
    own["y"] = 3 * own["x"] ** powers
    own["theory"] = own["y"] / 2
    own["holds"] = own["seed"] < 4
    (slope,) = intervals(exponent("c", own, "x", "y")).values()
    assert (slope.estimate, slope.n) == (pytest.approx(1.0), 6)
    (twice,) = intervals(mean("c", own, "y", over="theory")).values()
    assert twice[:3] == pytest.approx((2.0, 2.0, 2.0)) and twice.n == 6
    (held,) = intervals(share("c", own, "holds")).values()
    assert held.estimate == pytest.approx(4 / 6) and held.n == 6
    own["mixed"] = own["x"] > own["seed"]  # a unit has rows of both kinds
    (part,) = intervals(share("c", own, "mixed")).values()
    assert part.estimate == pytest.approx(own["mixed"].mean()) and part.n == 6
    small = mean("c", own, "y", unit="seed", where={"x": 8.0, "seed": range(2)})
    assert small.parts[0].interval.n == 2


def test_a_unit_that_lacks_a_row_is_not_averaged_over_the_rest():
    own = pd.DataFrame({"data": "d", "seed": [0, 0, 1, 1, 2], "value": [1.0, 3.0, 1.0, 3.0, 1.0]})
    for by in ("data", None):
        (part,) = mean("c", own, "value", by=by).parts
        assert (part.interval.n, part.planned, part.failed) == (2, 3, 1)
        (part,) = mean("c", own.assign(value=[1.0, 2.0, 3.0, 4.0, np.nan]), "value", by=by).parts
        assert (part.interval.n, part.planned, part.failed) == (2, 3, 1)


# Verdicts -----------------------------------------------------------------------------------------


def test_no_pooled_verdict_where_a_data_set_lies_on_the_other_side():
    own = rows({"digits": -1.6, "mnist1d": 9.0}, scale=0.3)
    found = plain(claim(above=0.0), paired("c", own, "error", **SIDES))
    assert [part["verdict"] for part in found["parts"]] == ["contradicted", "reproduced"]
    assert found["verdict"] == "depends" and found["pooled"] is None


def test_a_pooled_interval_is_the_mean_of_data_sets_that_agree():
    own = rows({"digits": 2.0, "mnist1d": 4.0}, scale=0.1)
    found = plain(claim(above=0.0), paired("c", own, "error", **SIDES))
    low, high = (part["estimate"] for part in found["parts"])
    assert found["verdict"] == "reproduced"
    assert found["pooled"]["estimate"] == pytest.approx((low + high) / 2)
    assert found["pooled"]["n"] == 2 * SEEDS


def test_failed_runs_are_counted_by_sign_and_never_imputed():
    own = rows({"digits": 3.0}, scale=0.1)
    assert plain(claim(above=0.0), paired("c", own, "error", **SIDES))["badges"] == []
    a = own["net"] == "a"
    own.loc[a & (own["seed"] < 7), "error"] = np.nan  # worse than any value: for the claim
    result = paired("c", own, "error", **SIDES)
    (part,) = result.parts
    assert (part.interval.n, part.failed) == (3, 7)
    assert part_verdict(claim(above=0.0), part) == "reproduced"
    assert part_verdict(claim(above=0.0, claimed=2.0), part) == "partly"  # how much is unknown
    assert plain(claim(above=0.0), result)["badges"] == ["7 of 10 seeds diverged"]
    own.loc[~a & own["seed"].between(7, 9), "error"] = np.nan  # three speak against it
    (part,) = paired("c", own, "error", **SIDES).parts
    assert part.interval is None and part_verdict(claim(above=0.0), part) == "undecided"
    own.loc[:, "error"] = np.nan
    (part,) = paired("c", own, "error", **SIDES).parts
    assert part_verdict(claim(above=0.0), part) == "undecided"


def test_an_interval_of_survivors_alone_decides_nothing():
    """Six seeds say it clearly, but four of the claimed winner's runs failed."""
    own = rows({"digits": -3.0}, scale=0.1)
    own.loc[(own["net"] == "a") & (own["seed"] < 4), "error"] = np.nan
    (part,) = paired("c", own, "error", **SIDES).parts
    assert Criterion(below=0.0).verdict(part.interval) == "reproduced"
    assert part_verdict(claim(below=0.0), part) == "undecided"


def test_a_check_counts_and_one_counterexample_is_enough():
    own = pd.DataFrame({"holds": [True] * 24})
    found = plain(claim(every=True), every("c", own, "holds"))
    assert (found["kind"], found["verdict"], found["count"]) == ("check", "holds", [24, 24])
    assert found["pooled"] is None and found["parts"][0]["low"] is None
    own.loc[3, "holds"] = False
    found = plain(claim(every=True), every("c", own, "holds"))
    assert (found["verdict"], found["count"]) == ("fails", [23, 24])
    empty = plain(claim(every=True), every("c", own.head(0), "holds"))
    assert empty["verdict"] == "not judged"


def test_times_need_more_than_the_noise():
    own = pd.DataFrame({
        "size": [1, 2], "ratio": [1.1, 1.5], "ratio_low": [1.08, 1.4], "ratio_high": [1.12, 1.6],
        "rounds": 15, "noise": 0.1,
    })  # fmt: skip
    found = plain(claim(above=1.0), timed("c", own, by="size"))
    assert [part["verdict"] for part in found["parts"]] == ["undecided", "reproduced"]
    assert found["verdict"] == "partly"
    with pytest.raises(DomainError, match="2 rows are timed"):
        timed("c", own)


def test_p_values_are_five_percent_where_the_interval_ends_at_the_bound():
    own = rows({"digits": 1.0})
    (part,) = paired("c", own, "error", **SIDES).parts
    for rule in ({"above": part.interval.low}, {"below": part.interval.high}):
        found = plain(claim(**rule), Result("c", (part,)))
        assert found["parts"][0]["p"] == pytest.approx(0.05)
    wide = own.pivot(index="seed", columns="net", values="error")
    expected = stats.ttest_rel(wide["a"], wide["b"]).pvalue
    found = plain(claim(above=0.0), Result("c", (part,)))
    assert found["parts"][0]["p"] == pytest.approx(expected)


def test_what_is_detectable_is_detected_four_times_in_five():
    rng = np.random.default_rng(7)
    size = detectable(Part("", Interval(0.0, -1.0, 1.0, SEEDS), SEEDS), False)
    error = 1.0 / stats.t.ppf(0.975, SEEDS - 1)  # the standard error that this interval stands for
    samples = rng.normal(size, error * math.sqrt(SEEDS), size=(4000, SEEDS))
    found = stats.ttest_1samp(samples, 0.0, axis=1)
    assert 0.75 < np.mean((found.pvalue < 0.05) & (found.statistic > 0)) < 0.85


def test_holm_is_over_findings_alone():
    own = rows({"digits": 3.0}, scale=0.1)
    sure = plain(claim(above=0.0), paired("c", own, "error", **SIDES))
    unsure = {**sure, "id": "d", "p": 0.04}
    check = {**plain(claim(every=True), every("c", own.assign(yes=True), "yes")), "id": "e"}
    assert surviving([sure, unsure, check]) == {"c", "d"}
    assert surviving([sure, unsure, {**unsure, "id": "f"}]) == {"c"}


# Errors -------------------------------------------------------------------------------------------


def test_columns_that_are_not_there_are_named():
    own = rows({"digits": 1.0})
    with pytest.raises(UnknownNameError, match="erro"):
        paired("c", own, "erro", **SIDES)
    with pytest.raises(UnknownNameError, match="netz"):
        chosen(own, {"netz": "a"})
    with pytest.raises(DomainError, match="not positive"):
        ratio("c", own.assign(error=-1.0), "error", **SIDES)
    assert plain(claim(above=0.0), paired("c", own.head(0), "error", **SIDES))["verdict"] == (
        "undecided"
    )
