"""The experiment `dead_units`: its bound, its counts, and verdicts that can fall either way."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from difflab import gradient, relu
from difflab.lab.cases import load
from difflab.lab.results import findings_of

EXPERIMENT = load(Path(__file__).parents[2] / "experiments" / "dead_units.py")
module = sys.modules[EXPERIMENT.measure.__module__]
page = sys.modules["_dead_units_page"]


# Before training ----------------------------------------------------------------------------------


def dead(inputs: str, width: int, hidden: int, networks: int = 4000) -> pd.DataFrame:
    case = {"inputs": inputs, "width": width, "hidden": hidden, "networks": networks}
    return pd.DataFrame(module.born(case, np.random.default_rng(3))).set_index("layers")


@pytest.mark.parametrize("width", [1, 2, 4])
def test_one_input_dies_with_the_probability_of_the_bound(width):
    found = dead("line", width, 8)
    expected = page.bound(width, found.index.to_numpy())
    deviation = np.sqrt(expected * (1 - expected) / 4000)
    assert np.all(np.abs(found["dead_first"] / 4000 - expected) < 4 * deviation)


def test_what_is_dead_for_all_inputs_is_dead_for_one_and_stays_so():
    found = dead("digits", 2, 16, networks=300)
    assert (found["dead_every"] <= found["dead_first"]).all()
    assert found["dead_first"].is_monotonic_increasing
    assert found["dead_every"].is_monotonic_increasing


def test_a_line_through_0_survives_one_layer_and_half_survive_two_of_width_1():
    found = dead("line", 1, 2)
    assert found.loc[1, "dead_every"] == 0  # the unit is positive on one side or the other
    assert found.loc[2, "dead_every"] / 4000 == pytest.approx(0.5, abs=0.035)


def test_the_weights_are_hes():
    drawn = module.weights(np.random.default_rng(0), 2000, (8, 5))
    assert drawn.shape == (2000, 8, 5)
    assert np.var(drawn) == pytest.approx(2 / 8, rel=0.03)


def test_a_network_that_is_born_dead_has_no_gradient_at_all():
    X = np.array([[1.0], [-1.0]])

    def total(weights):
        h = X
        for W in weights:
            h = relu(h @ W)
        return np.sum(h)

    (w,) = np.array([[[1.0]]])
    found = gradient(total)([w, -w, w])
    assert all(not np.any(slope) for slope in found)
    assert np.any(gradient(total)([w, w, w])[0])


# Training -----------------------------------------------------------------------------------------


def test_a_unit_is_dead_where_its_bias_makes_it_so():
    net, _, slope = module.programs("relu", 2)
    parameters = net.initial(0)
    parameters[0]["b"][[3, 5]] = -1e6
    X = np.random.default_rng(0).normal(size=(50, 64))
    y = np.eye(10)[np.arange(50) % 10]
    found = module.dead_units(net, parameters, X)
    assert list(np.flatnonzero(found[0])) == [3, 5]
    assert np.array_equal(module.without_gradient(slope(parameters, X, y)), found)


def test_a_dead_layer_cuts_off_those_before_it():
    net, _, slope = module.programs("relu", 2)
    parameters = net.initial(0)
    parameters[1]["b"][:] = -1e6
    X = np.random.default_rng(0).normal(size=(50, 64))
    y = np.eye(10)[np.arange(50) % 10]
    assert module.dead_units(net, parameters, X).sum() == 64
    assert module.without_gradient(slope(parameters, X, y)).sum() == 128


def test_counts_tell_who_is_back():
    now = np.array([[True, False, False, True]])
    still = np.array([[True, True, False, False]])
    ever = np.array([[True, True, True, False]])
    assert list(module.counts(now, still, ever)) == [
        {"units": 4, "dead": 2, "no_gradient": 2, "dead_with_gradient": 1, "were_dead": 3,
         "back": 2}
    ]  # fmt: skip


def run(**settings) -> pd.DataFrame:
    case = {"part": "training", "activation": "relu", "depth": 1, "rate": 0.1, "seed": 0,
            "updates": 30, "centred": True} | settings  # fmt: skip
    return pd.DataFrame([case | row for row in module.training(case)])


def test_a_run_is_looked_at_and_one_that_diverges_says_so():
    calm = run()
    assert calm["update"].tolist() == [1, 10, 30]
    assert not calm["diverged"].any()
    assert calm["held_error"].iloc[-1] < 0.5
    wild = run(rate=1e200)
    assert wild["diverged"].iloc[-1]
    assert page.last_looks(pd.concat([calm, wild]))["rate"].tolist() == [0.1]


def test_features_from_0_upwards_kill_units_of_the_first_layer():
    high = run(rate=1.0, centred=False, updates=100).iloc[-1]
    low = run(rate=1.0, centred=True, updates=100).iloc[-1]
    assert high["dead"] > 10
    assert low["dead"] == 0


# Findings -----------------------------------------------------------------------------------------


@cache
def rows() -> pd.DataFrame:
    """Ten seeds: at the high rate half of the second layer dies; nothing comes back."""
    found = []
    for activation, centred, rate, seed in (
        (activation, centred, rate, seed)
        for activation, centred in (("relu", True), ("relu", False), ("leaky_relu", True))
        for rate in (0.1, 1.0)
        for seed in range(10)
    ):
        silent = 32 + seed % 3 if rate == 1.0 else 0
        has_slope = activation == "leaky_relu"
        for layer in (1, 2):
            own = silent * (layer == 2 or not centred)
            found.append(
                {"part": "training", "activation": activation, "centred": centred, "depth": 2,
                 "rate": rate, "seed": seed, "updates": 9, "update": 9, "diverged": False,
                 "held_error": 0.05 + (rate == 1.0) * 0.3, "layer": layer, "units": 64,
                 "dead": own, "no_gradient": 0 if has_slope else own,
                 "dead_with_gradient": own if has_slope else 0, "were_dead": own, "back": 0}
            )  # fmt: skip
    for inputs in ("digits", "line"):
        for width in (1, 2, 3, 4):
            for layers in (2, 8, 32):
                expected = page.bound(width, layers)
                found.append(
                    {"part": "born", "inputs": inputs, "width": width, "layers": layers,
                     "networks": 4000, "dead_first": round(4000 * expected),
                     "dead_every": round(3600 * expected)}
                )  # fmt: skip
    return pd.DataFrame(found)


def verdicts(table: pd.DataFrame) -> dict[str, str]:
    return {finding.claim.id: finding.verdict for finding in findings_of(EXPERIMENT, table)}


def with_row(chosen: dict[str, object], **values: float) -> pd.DataFrame:
    """The rows with one of them changed."""
    table = rows().copy()
    place = table.index[table[list(chosen)].eq(list(chosen.values())).all(axis=1)][0]
    for column, value in values.items():
        table.loc[place, column] = value
    return table


def test_rows_without_a_counterexample_confirm_every_claim():
    assert set(verdicts(rows()).values()) == {"confirmed"}


HIGH = {"activation": "relu", "rate": 1.0, "centred": False}


@pytest.mark.parametrize(
    ("claims", "table"),
    [
        (["dead_units_get_no_gradient"], lambda: with_row(HIGH, dead_with_gradient=1)),
        (["dead_units_stay_dead"], lambda: with_row(HIGH | {"layer": 2}, back=1)),
        (["dead_units_stay_dead", "first_layer_stays_dead"],
         lambda: with_row(HIGH | {"layer": 1}, back=1)),
        (["leaky_units_keep_a_gradient"],
         lambda: with_row({"activation": "leaky_relu"}, no_gradient=1)),
        (["born_dead_bound"],
         lambda: with_row({"inputs": "digits", "width": 3, "layers": 8}, dead_every=3900)),
    ],
)  # fmt: skip
def test_one_counterexample_refutes(claims, table):
    found = verdicts(table())
    assert {name for name, verdict in found.items() if verdict == "refuted"} == set(claims)


def test_units_that_die_at_the_best_rate_or_nowhere_are_told():
    everywhere = rows().assign(dead=20.0)
    assert verdicts(everywhere)["best_rates_spare_units"] == "refuted"
    few = rows().assign(dead=rows()["dead"] / 4)
    assert verdicts(few)["high_rates_kill"] == "weaker"


def test_a_wrong_law_for_one_input_is_refuted():
    other = rows().assign(dead_first=rows()["dead_first"] * 0.8)
    assert verdicts(other)["born_dead_for_one_input"] == "refuted"


def test_no_dead_unit_is_no_evidence():
    none = rows().assign(dead=0, no_gradient=0, were_dead=0)
    found = verdicts(none)
    assert found["dead_units_get_no_gradient"] == "inconclusive"
    assert found["first_layer_stays_dead"] == "inconclusive"
