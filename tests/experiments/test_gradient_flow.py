"""The experiment `gradient_flow`: theory, gradients, and verdicts that can fall either way."""

from __future__ import annotations

import math
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from difflab import derivative, sigmoid
from difflab.lab.cases import load, preset
from difflab.lab.findings import findings_of
from difflab.networks.layers import INITIALISERS, Layer, pre_activations

EXPERIMENT = load(Path(__file__).parents[2] / "experiments" / "gradient_flow.py")
module = sys.modules[EXPERIMENT.measure.__module__]
theory = sys.modules["apparatus.gradient_flow_theory"]
SEEDS = range(5)


# Theory -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", theory.INITIALISERS)
def test_the_variances_are_those_of_drawn_weights(name):
    drawn = INITIALISERS[name](np.random.default_rng(0), (300, 500))
    assert np.var(drawn) == pytest.approx(theory.VARIANCES[name](300, 500), rel=0.02)


@pytest.mark.parametrize("name", theory.INITIALISERS)
def test_the_recursion_is_the_closed_form_for_relus_and_for_small_values(name):
    for q in (1e-6, 1.0, 50.0):
        found = theory.mean_field("relu", name, q, 3)
        assert found == pytest.approx([theory.closed_form("relu", name)] * 3)
    (found,) = theory.mean_field("tanh", name, 1e-8, 1)
    assert found == pytest.approx(theory.closed_form("tanh", name))


def test_tanh_with_glorot_tends_to_1_as_the_page_says():
    found = np.array(theory.mean_field("tanh", "glorot", 1.0, 400))
    layers = np.arange(1, 401)
    assert np.all(np.diff(found) > 0)
    assert found[-1] < 1
    assert 2 * layers[-1] * (1 - found[-1]) == pytest.approx(1.0, rel=0.05)


def test_tanh_with_he_explodes():
    assert theory.mean_field("tanh", "he", 1.0, 60)[-1] > 1.03


# Measuring ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", theory.ACTIVATIONS)
def test_the_gradient_by_the_biases_obeys_the_recursion_of_the_page(activation):
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(7, 6)), rng.integers(10, size=7)
    net = module.network(activation, "he", 6, 5, 4)
    weights = module.drawn(net, 0)
    found = module.back_propagated(net, weights, X, y)
    tree = [{"W": W, "b": np.zeros(W.shape[1])} for W in weights]
    before = pre_activations(net.layers, tree, X)
    slope = derivative(Layer(1, 1, activation).activate)
    for i in range(4):
        expected = slope(before[i]) * (found[i + 1] @ weights[i + 1].T)
        np.testing.assert_allclose(found[i], expected, rtol=1e-12, atol=1e-300)


def test_a_flow_row_is_made_of_the_norms():
    case = {"activation": "relu", "initialiser": "he", "data": "digits", "width": 64, "depth": 6,
            "widest": True, "seed": 0}  # fmt: skip
    network, *layers = module.flow(case)
    assert len(layers) == 6
    assert layers[-1]["relative"] == layers[-1]["relative_mean_field"] == 1.0
    assert network["factor"] ** 5 == pytest.approx(layers[0]["relative"])
    assert network["mean_field"] == pytest.approx(1.0)


def test_the_mean_singular_value_is_that_of_a_quarter_circle():
    case = {"activation": "tanh", "initialiser": "uniform", "width": 128, "seed": 0}
    rows = list(module.singular_values(case))
    assert len(rows) == 4
    for row in rows:
        ratio = row["mean_value"] / row["rms_value"]
        assert ratio == pytest.approx(theory.QUARTER_CIRCLE, rel=0.03)
        assert row["rms_value"] < theory.closed_form("tanh", "uniform") * 1.02


# Findings -----------------------------------------------------------------------------------------


@cache
def rows() -> pd.DataFrame:
    """A small run, in which wide networks are the theory and nothing else."""
    found = []
    rng = np.random.default_rng(0)
    for data in ("digits", "mnist1d"):
        for pair in [(a, i) for a in theory.ACTIVATIONS for i in theory.INITIALISERS]:
            field = theory.mean_field(*pair, theory.gain(pair[1]), 29)
            mean = math.exp(np.log(field).mean())
            closed = theory.closed_form(*pair) if pair in theory.CLOSED else math.nan
            found += [
                {"part": "flow", "kind": "network", "data": data, "widest": True, "width": 256,
                 "depth": 30, "activation": pair[0], "initialiser": pair[1], "seed": seed,
                 "cell": module.cell(*pair), "closed": closed, "mean_field": mean,
                 "factor": mean * math.exp(rng.normal(0, 0.003)),
                 "offset_by_spread": {"sigmoid": 2.0, "tanh": 0.1, "relu": 0.6}[pair[0]]}
                for seed in SEEDS
            ]  # fmt: skip
    for initialiser in ("uniform", "glorot"):
        for seed in SEEDS:
            case = {"part": "jacobian", "activation": "tanh", "initialiser": initialiser,
                    "seed": seed, "width": 48}  # fmt: skip
            found += [case | row for row in module.singular_values(case)]
    for case in EXPERIMENT.cases(preset("smoke")):
        if case["part"] in ("tails", "identity"):
            found += [case | row for row in EXPERIMENT.measure(case, np.random.default_rng(0))]
    return pd.DataFrame(found)


def verdicts(table: pd.DataFrame) -> dict[str, str]:
    return {finding["id"]: finding["verdict"] for finding in findings_of(EXPERIMENT, table)}


def changed(factor: float, activation: str, initialiser: str) -> pd.DataFrame:
    """The rows with one configuration's factors multiplied."""
    table = rows().copy()
    own = (table["activation"] == activation) & (table["initialiser"] == initialiser)
    table.loc[own, "factor"] *= factor
    return table


def test_networks_as_in_theory_reproduce_every_claim_about_factors():
    found = verdicts(rows())
    checks = {"sigmoid_saturates", "tanh_saturates", "relu_does_not_saturate",
              "tanh_is_a_shifted_sigmoid"}  # fmt: skip
    assert {found.pop(claim) for claim in checks} == {"holds"}
    del found["singular_values_normalised"]  # which needs wider layers
    assert set(found.values()) == {"reproduced"}


@pytest.mark.parametrize(("activation", "initialiser"), theory.CLOSED)
def test_one_configuration_that_is_off_is_told_by_its_cell(activation, initialiser):
    table = changed(1.15 if activation == "relu" else 0.85, activation, initialiser)
    loose = (activation, initialiser) == ("sigmoid", "glorot")
    claim = "closed_form_sigmoid_glorot" if loose else "closed_form_factors"
    (own,) = [finding for finding in findings_of(EXPERIMENT, table) if finding["id"] == claim]
    missed = [part["name"] for part in own["parts"] if part["verdict"] == "not reproduced here"]
    assert missed == [module.cell(activation, initialiser)]
    assert verdicts(table)["mean_field_factors"] == "partly"


def test_gradients_that_grow_do_not_vanish():
    assert verdicts(changed(1.2, "tanh", "glorot"))["tanh_gradients_vanish"] == "depends"
    assert verdicts(changed(4.0, "sigmoid", "he"))["sigmoid_gradients_vanish"] == "depends"
    assert verdicts(changed(0.8, "relu", "he"))["relu_gradients_stay"] == "not reproduced here"


@pytest.mark.parametrize("activation", theory.ACTIVATIONS)
def test_another_slope_far_from_zero_fails(activation):
    x = np.array([-300.0, -20.0, 3.0, 40.0])
    slopes = derivative(Layer(1, 1, activation).activate)(x)
    ulps = np.zeros(4)
    assert module.as_theory(activation, x, slopes, ulps).all()
    assert not module.as_theory(activation, x, 1.001 * slopes, ulps)[3]


def test_another_function_is_not_tanh(monkeypatch):
    monkeypatch.setattr(module, "shifted_sigmoid", lambda x: 2 * sigmoid(1.999999 * x) - 1)
    other = pd.DataFrame(module.identity({"every": 60})).assign(part="identity")
    table = pd.concat([rows()[rows()["part"] != "identity"], other])
    assert verdicts(table)["tanh_is_a_shifted_sigmoid"] == "fails"


def test_derivatives_underflow_where_the_truth_does():
    tails = rows()[rows()["part"] == "tails"]
    assert (tails["ulps"] < 4).all()
    gone = tails[tails["slope"] == 0].groupby("activation")["x"].agg(lambda x: x.abs().min())
    assert 745 < gone["sigmoid"] < 790
    assert 372 < gone["tanh"] < 400
