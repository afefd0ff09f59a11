"""The experiment `regularisation`: the calibration error, how strengths are chosen, and verdicts
that can fall either way.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

FOLDER = Path(__file__).parents[2] / "experiments"
sys.path.append(str(FOLDER))
from apparatus.classifiers import calibration_error, network, probabilities  # noqa: E402
from apparatus.learning import strongest  # noqa: E402

from difflab.lab.cases import load, preset  # noqa: E402
from difflab.lab.findings import findings_of  # noqa: E402
from difflab.networks import CrossEntropy, SquaredError  # noqa: E402

EXPERIMENT = load(FOLDER / "regularisation.py")
NONE, L2, DROPOUT, BOTH = "no regularisation", "L2", "dropout", "L2 and dropout"


# Calibration --------------------------------------------------------------------------------------


def drawn(confidence: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Predictions of class 0 that are right as often as they say."""
    probability = np.column_stack([confidence, 1 - confidence])
    return probability, (rng.random(len(confidence)) >= confidence).astype(int)


def test_honest_probabilities_are_calibrated_and_boastful_ones_are_not():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1.0, 100_000)
    probability, y = drawn(confidence, rng)
    assert calibration_error(probability, y) < 0.01
    boastful = np.column_stack([np.ones_like(confidence), np.zeros_like(confidence)])
    assert calibration_error(boastful, y) == pytest.approx(np.mean(y == 1))
    shy = np.column_stack([np.full_like(confidence, 0.51), np.full_like(confidence, 0.49)])
    assert calibration_error(shy, y) == pytest.approx(np.mean(y == 0) - 0.51)


def test_gaps_of_a_bin_cancel_and_those_of_two_bins_do_not():
    probability = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    right, wrong = 0, 1
    assert calibration_error(probability, np.array([right, right, wrong, right])) == pytest.approx(
        (2 * 0.1 + 2 * 0.1) / 4
    )
    assert calibration_error(probability[:2], np.array([right, wrong]), bins=1) == pytest.approx(
        0.4
    )


@pytest.mark.parametrize("head", ["softmax", "sigmoid", "identity"])
def test_every_head_gives_probabilities_of_the_class_that_it_predicts(head):
    net = network("digits", [8], head, SquaredError())
    X = np.random.default_rng(0).normal(size=(200, 64))
    found, outputs = probabilities(net, X), net.outputs(X)
    assert found.min() >= 0
    assert found.sum(axis=1) == pytest.approx(1)
    clear = (outputs.max(axis=1) > 0) & (outputs.max(axis=1) < 1)
    assert (found.argmax(axis=1) == outputs.argmax(axis=1))[clear].all()


def test_outputs_below_zero_are_no_evidence():
    net = network("digits", [], "identity", SquaredError())
    net.parameters = [{"W": np.zeros((64, 10)), "b": np.full(10, -1.0)}]
    assert probabilities(net, np.zeros((1, 64)))[0] == pytest.approx(0.1)


def test_one_sigmoid_stands_for_two_classes():
    net = network("breast_cancer", [], "sigmoid", CrossEntropy())
    net.parameters = [{"W": np.zeros((30, 1)), "b": np.full(1, np.log(3.0))}]
    assert probabilities(net, np.zeros((1, 30)))[0] == pytest.approx([0.25, 0.75])


# Choosing -----------------------------------------------------------------------------------------

SETTINGS, STRENGTHS = ["group", "treatment"], ["l2", "dropout"]


def tuned() -> pd.DataFrame:
    """Tuning runs; the error is least with half dropped, l2 = 0.01 and the larger rate."""
    rows = []
    for case in EXPERIMENT.cases(preset("quick")):
        error = abs(case["dropout"] - 0.5) + abs(case["l2"] - 0.01) - 0.01 * case["rate"]
        run = {"update": 1, "held_error": error, "held_loss": 1.0, "diverged": False}
        rows.append(case | run)
    return pd.DataFrame(rows)


def test_strength_and_rate_are_chosen_together():
    best = strongest(tuned(), SETTINGS, STRENGTHS)
    assert len(best) == 2 * 4 + 2
    both = best.xs(BOTH, level="treatment")
    assert both["l2"].eq(0.01).all()
    assert both["dropout"].eq(0.5).all()
    assert best["rate"].eq(0.5).all()
    assert best.xs(NONE, level="treatment")[STRENGTHS].eq(0.0).all(axis=None)


def test_a_strength_at_the_end_of_its_grid_is_at_an_edge():
    rows = tuned()
    extra = rows[rows["rate"] == 0.5].assign(rate=1.0, held_error=9.0)
    rows = pd.concat([rows, extra], ignore_index=True)
    edge = strongest(rows, SETTINGS, STRENGTHS)["edge"]
    assert not edge.xs(NONE, level="treatment").any()
    assert not edge.xs(L2, level="treatment").any()
    assert edge.xs(DROPOUT, level="treatment")[["digits, 100 instances"]].all()


def test_training_uses_the_chosen_strengths_and_other_seeds():
    quick = preset("quick")
    found = pd.DataFrame(EXPERIMENT.after(quick, tuned()))
    assert len(found) == (2 * 4 + 2) * len(quick.seeds)
    assert found["part"].eq("training").all()
    assert set(found[found["treatment"] == BOTH]["l2"]) == {0.01}


# Verdicts -----------------------------------------------------------------------------------------

Gains = dict[str, tuple[float, float]]


def runs(gains: Gains, ece: float, data: str) -> list[dict]:
    """Runs in which a treatment takes so much off the error at 100 and at 1,000 instances."""
    rng, rows = np.random.default_rng(0), []
    for seed in range(10):
        luck = 0.02 * rng.random()
        for name, own in ({NONE: (0.0, 0.0)} | gains).items():
            for place, gain in zip(("fewest", "most"), own, strict=True):
                error = 0.2 + luck - gain + 0.001 * rng.random()
                calibration = 0.1 + luck - (ece if name != NONE else 0.0) + 0.001 * rng.random()
                few = (place == "fewest") == (name == NONE)
                run = {"seed": seed, "treatment": name, "place": place, "data": data,
                       "group": f"{data}, {place}", "side": "plus" if few else "minus",
                       "held_error": error, "ece": calibration, "update": 9, "l2": 0.0,
                       "dropout": 0.0, "rate": 0.1, "held_loss": 1.0, "last": True,
                       "diverged": False, "settled": True}  # fmt: skip
                rows += [run | {"part": "training"}, run | {"part": "tuning"}]
    return rows


def verdicts(gains: Gains, ece: float = 0.0, further: list[dict] | None = None) -> dict[str, str]:
    rows = pd.DataFrame(runs(gains, ece, "digits") + (further or []))
    return {one["id"]: one["verdict"] for one in findings_of(EXPERIMENT, rows)}


HELP = {L2: (0.04, 0.01), DROPOUT: (0.03, 0.02), BOTH: (0.06, 0.03)}
HARM = {name: (-few, -many) for name, (few, many) in HELP.items()}


def test_help_that_was_planted_is_found():
    found = verdicts(HELP, 0.05, runs({DROPOUT: (0.02, 0.02)}, 0.0, "mnist_5k"))
    assert set(found.values()) == {"reproduced"}
    assert len(found) == 8


def test_harm_that_was_planted_is_found():
    found = verdicts(HARM, -0.05, runs({DROPOUT: (-0.02, -0.02)}, 0.0, "mnist_5k"))
    assert set(found.values()) == {"contradicted"}


def test_a_double_difference_is_that_of_the_gains():
    rows = pd.DataFrame(runs(HELP, 0.0, "digits"))
    own = {one["id"]: one for one in findings_of(EXPERIMENT, rows)}
    found = own["l2_gains_more_with_fewer_instances"]["parts"][0]["estimate"]
    assert found == pytest.approx(100 * (0.04 - 0.01), abs=0.1)


def test_signs_of_data_sets_are_not_pooled_away():
    found = verdicts(HELP, 0.05, runs(HARM, -0.01, "mnist1d"))
    assert found["dropout_calibrates"] == found["l2_helps"] == "depends"


def test_no_difference_is_not_taken_for_one():
    found = verdicts(dict.fromkeys(HELP, (0.0, 0.0)))
    assert "reproduced" not in found.values()


def test_a_gain_may_grow_with_the_instances():
    found = verdicts({L2: (0.01, 0.04), DROPOUT: (0.03, 0.02), BOTH: (0.0, 0.0)})
    assert found["l2_helps"] == "reproduced"
    assert found["l2_gains_more_with_fewer_instances"] == "contradicted"
    assert found["dropout_helps_further"] == "contradicted"
