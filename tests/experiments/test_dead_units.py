"""The experiment `dead_units`: its bound, its counts, and verdicts that can fall either way."""

from __future__ import annotations

import itertools
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from difflab import gradient, relu
from difflab.lab.cases import load
from difflab.lab.findings import findings_of

EXPERIMENT = load(Path(__file__).parents[2] / "experiments" / "dead_units.py")
module = sys.modules[EXPERIMENT.measure.__module__]


# Before training ----------------------------------------------------------------------------------


def dead(inputs: str, width: int, hidden: int, networks: int = 4000) -> pd.DataFrame:
    case = {"inputs": inputs, "width": width, "hidden": hidden, "networks": networks}
    found = pd.DataFrame(module.born(case, np.random.default_rng(3)))
    return found[found["kind"] == "born"].set_index("layers")


@pytest.mark.parametrize("width", [1, 2, 4])
def test_one_input_dies_with_the_probability_of_the_bound(width):
    found = dead("line", width, 8)
    expected = found["bound"]
    deviation = np.sqrt(expected * (1 - expected) / 4000)
    assert np.all(np.abs(found["p_first"] - expected) < 4 * deviation)


def test_what_is_dead_for_all_inputs_is_dead_for_one_and_stays_so():
    found = dead("digits", 2, 16, networks=300)
    assert (found["p_every"] <= found["p_first"]).all()
    assert found["p_first"].is_monotonic_increasing
    assert found["p_every"].is_monotonic_increasing


def test_a_line_through_0_survives_one_layer_and_half_survive_two_of_width_1():
    found = dead("line", 1, 2)
    assert found.loc[1, "p_every"] == 0  # the unit is positive on one side or the other
    assert found.loc[2, "p_every"] == pytest.approx(0.5, abs=0.035)


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
    net, slope = module.network("relu", 2)
    parameters = net.initial(0)
    parameters[0]["b"][[3, 5]] = -1e6
    X = np.random.default_rng(0).normal(size=(50, 64))
    y = np.eye(10)[np.arange(50) % 10]
    found = module.dead_units(net, parameters, X)
    assert list(np.flatnonzero(found[0])) == [3, 5]
    assert np.array_equal(module.without_gradient(slope(parameters, X, y)), found)


def test_a_dead_layer_cuts_off_those_before_it():
    net, slope = module.network("relu", 2)
    parameters = net.initial(0)
    parameters[1]["b"][:] = -1e6
    X = np.random.default_rng(0).normal(size=(50, 64))
    y = np.eye(10)[np.arange(50) % 10]
    assert module.dead_units(net, parameters, X).sum() == 64
    assert module.without_gradient(slope(parameters, X, y)).sum() == 128


def test_counts_tell_who_is_back():
    dead = np.array([[True, True, True, False], [True, False, False, True]])
    still = np.array([[True, True, True, False], [True, True, False, False]])
    assert module.counts(dead, still) == {
        "dead_sightings": 5, "has_dead": True, "dead_get_none": False, "all_get_some": False,
        "were_dead": 3, "had_dead": True, "back": 2, "none_back": False,
    }  # fmt: skip
    assert module.counts(dead[:1], still[:1])["none_back"]


def run(**settings) -> pd.DataFrame:
    case = {"part": "training", "activation": "relu", "depth": 1, "rate": 0.1, "seed": 0,
            "updates": 30, "centred": True} | settings  # fmt: skip
    return pd.DataFrame([case | row for row in module.training(case)])


def test_a_run_has_a_row_and_one_for_each_layer_and_one_that_diverges_says_so():
    calm = run(depth=2)
    assert calm["kind"].tolist() == ["run", "layer", "layer"]
    assert not calm["diverged"].any()
    assert calm["held_error"].iloc[0] < 0.5
    wild = run(rate=1e200)
    assert wild["diverged"].all() and wild["dead_share"].isna().all()


def test_features_from_0_upwards_kill_units_of_the_first_layer():
    high = run(rate=1.0, centred=False, updates=100).iloc[0]
    low = run(rate=1.0, centred=True, updates=100).iloc[0]
    assert high["dead_share"] > 0.15
    assert low["dead_share"] == 0


# Findings -----------------------------------------------------------------------------------------


@cache
def rows() -> pd.DataFrame:
    """Ten seeds: at the high rate half of the units die; nothing comes back."""
    found = []
    for activation, centred, rate, seed in itertools.product(
        ("relu", "leaky_relu"), (True, False), (0.1, 1.0), range(10)
    ):
        silent, leaky = rate == 1.0, activation == "leaky_relu"
        place = f"{module.FEATURES[centred]}, 2 hidden layers"
        about = {"part": "training", "activation": activation, "centred": centred, "depth": 2,
                 "rate": rate, "seed": seed, "features": module.FEATURES[centred], "place": place,
                 "cell": f"{activation}, {place}, rate {rate:g}", "diverged": False,
                 "dead_share": silent * (0.5 + seed / 100), "held_error": 0.05 + silent * 0.3,
                 "updates": 9}  # fmt: skip
        found.append(about | {"kind": "run"})
        found += [
            {**about, "kind": "layer", "layer": layer, "dead_sightings": 32 * silent,
             "has_dead": silent, "dead_get_none": not (leaky and silent), "all_get_some": leaky,
             "were_dead": 32 * silent, "had_dead": silent, "back": 0, "none_back": True}
            for layer in (1, 2)
        ]  # fmt: skip
    for inputs, width in itertools.product(("digits", "line"), (1, 2, 3, 4, 5, 6)):
        odds = module.bound(width, 8)
        own = {"part": "born", "inputs": inputs, "width": width, "networks": 4000, "bound": odds}
        found.append({**own, "kind": "born", "layers": 8, "p_first": odds, "p_every": 0.9 * odds,
                      "below_bound": True})  # fmt: skip
        noisy = odds * (1 + 0.01 * (-1) ** width)
        found.append({**own, "kind": "draw", "draw": f"{inputs} {width}", "p_first": noisy})
    return pd.DataFrame(found)


def verdicts(table: pd.DataFrame) -> dict[str, str]:
    return {finding["id"]: finding["verdict"] for finding in findings_of(EXPERIMENT, table)}


def with_row(chosen: dict[str, object], **values: object) -> pd.DataFrame:
    """The rows with one of them changed."""
    table = rows().copy()
    place = table.index[table[list(chosen)].eq(list(chosen.values())).all(axis=1)][0]
    for column, value in values.items():
        table.loc[place, column] = value
    return table


def test_rows_without_a_counterexample_support_every_claim():
    assert set(verdicts(rows()).values()) == {"holds", "reproduced"}


HIGH = {"kind": "layer", "activation": "relu", "rate": 1.0}


@pytest.mark.parametrize(
    ("claims", "chosen", "change"),
    [
        (["dead_units_get_no_gradient"], HIGH, {"dead_get_none": False}),
        (["dead_units_stay_dead"], HIGH | {"layer": 2}, {"none_back": False}),
        (["dead_units_stay_dead", "first_layer_stays_dead"], HIGH | {"layer": 1},
         {"none_back": False}),
        (["leaky_units_keep_a_gradient"], {"kind": "layer", "activation": "leaky_relu"},
         {"all_get_some": False}),
        (["born_dead_bound"], {"kind": "born", "width": 3}, {"below_bound": False}),
    ],
)  # fmt: skip
def test_one_counterexample_fails(claims, chosen, change):
    found = verdicts(with_row(chosen, **change))
    assert {name for name, verdict in found.items() if verdict == "fails"} == set(claims)


def test_units_that_die_at_the_best_rate_or_nowhere_are_told():
    everywhere = rows().assign(dead_share=rows()["dead_share"] + 0.3)
    assert verdicts(everywhere)["best_rates_spare_units"] == "contradicted"
    few = rows().assign(dead_share=rows()["dead_share"] / 4)
    assert verdicts(few)["high_rates_kill"] == "partly"


def test_a_rate_at_which_a_run_diverged_is_not_the_best():
    table = with_row({"kind": "run", "activation": "relu", "centred": True, "rate": 0.1},
                     held_error=np.nan)  # fmt: skip
    assert "rate 1" in module.extreme_cells(table, "place", "held_error", -1)[1]


def test_a_wrong_law_for_one_input_is_not_reproduced():
    other = rows().assign(p_first=rows()["p_first"] * 0.8)
    assert verdicts(other)["born_dead_for_one_input"] == "not reproduced here"


def test_no_dead_unit_is_no_evidence():
    found = verdicts(rows().assign(has_dead=False, had_dead=False))
    assert found["dead_units_get_no_gradient"] == "not judged"
    assert found["first_layer_stays_dead"] == "not judged"
