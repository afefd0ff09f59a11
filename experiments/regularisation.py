"""What do L2 and dropout buy?

One network on more and more instances of two data sets: without regularisation, with an L2 penalty
in the loss, with dropout of hidden units, and with both. Strength and learning rate are tuned
together, for each number of instances; test error and calibration are compared by seed.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from _regularisation_page import (
    BOTH,
    DROPOUT,
    L2,
    NONE,
    chosen,
    figures,
    gain,
    gain_of_fewer,
    in_words,
    tables,
)
from apparatus.classifiers import network, trained
from apparatus.learning import TRAINING, examples, tuning_cases

from difflab.lab import Case, Evidence, Experiment, Preset, Row, main
from difflab.networks import CrossEntropy, MinibatchSGD

HIDDEN = [128]
PENALTIES = [1e-3, 3e-3, 1e-2, 3e-2, 1e-1]
DROPPED = [0.2, 0.5, 0.8]
RATES = [0.03, 0.1, 0.3, 1.0]


# Cases --------------------------------------------------------------------------------------------


def configurations(preset: Preset) -> list[Case]:
    """Every strength of every treatment, for each number of instances."""
    sizes = preset.choose(
        smoke={"digits": [50, 200]},
        quick={"digits": [100, 1000]},
        full={"digits": [100, 300, 1000], "mnist1d": [300, 1000, 3000]},
    )
    updates = preset.choose(
        smoke={"digits": 30}, quick={"digits": 250}, full={"digits": 800, "mnist1d": 1500}
    )
    penalties = preset.choose(smoke=[1e-2], quick=PENALTIES[1::2], full=PENALTIES)
    middle = preset.choose(smoke=[1e-2], quick=PENALTIES[1:4:2], full=PENALTIES[1:4])
    dropped = preset.choose(smoke=[0.5], quick=DROPPED[:2], full=DROPPED)
    strengths = [
        (NONE, 0.0, 0.0),
        *[(L2, l2, 0.0) for l2 in penalties],
        *[(DROPOUT, 0.0, p) for p in dropped],
        *[(BOTH, l2, p) for l2 in middle for p in dropped],
    ]
    return [
        {"data": data, "size": size, "treatment": treatment, "l2": l2, "dropout": p,
         "updates": updates[data]}
        for data in sizes
        for size in sizes[data]
        for treatment, l2, p in strengths
    ]  # fmt: skip


def cases(preset: Preset) -> list[Case]:
    rates = preset.choose(smoke=[0.3], quick=[0.1, 0.5], full=RATES)
    return tuning_cases(
        configurations(preset), rates, range(preset.choose(smoke=1, quick=2, full=3))
    )


def further_cases(preset: Preset, rows: pd.DataFrame) -> list[Case]:
    """Training at the chosen strengths and rates."""
    best = chosen(rows)
    strengths = [
        config
        for config in configurations(preset)
        if strength(best.loc[(config["data"], config["size"], config["treatment"])])
        == strength(config)
    ]
    return [
        {
            "part": TRAINING,
            **config,
            "rate": float(best.loc[(config["data"], config["size"], config["treatment"]), "rate"]),
            "seed": seed,
        }
        for config in strengths
        for seed in preset.seeds
    ]


def strength(of: Case | pd.Series) -> tuple[float, float]:
    return float(of["l2"]), float(of["dropout"])


# Measuring ----------------------------------------------------------------------------------------


def measure(case: Case, rng: np.random.Generator) -> Iterator[Row]:
    net = network(case["data"], HIDDEN, "softmax", CrossEntropy(l2=case["l2"]), "float32")
    net.solver = MinibatchSGD(dropout=case["dropout"])
    return trained(
        net,
        examples(case["data"], case["part"], case["seed"], size=case["size"]),
        part=case["part"],
        seed=case["seed"],
        rate=case["rate"],
        updates=case["updates"],
        every=case["updates"],
    )


# Findings -----------------------------------------------------------------------------------------


def findings(rows: pd.DataFrame) -> list[Evidence]:
    return [
        helps("l2_helps", rows, NONE, L2),
        helps("dropout_helps", rows, NONE, DROPOUT),
        helps("dropout_helps_further", rows, L2, BOTH),
        fewer("l2_gains_more_with_fewer_instances", rows, L2),
        fewer("dropout_gains_more_with_fewer_instances", rows, DROPOUT),
        calibrates("l2_calibrates", rows, L2),
        calibrates("dropout_calibrates", rows, DROPOUT),
    ]


def helps(claim: str, rows: pd.DataFrame, before: str, after: str) -> Evidence:
    return Evidence(
        claim,
        gain(rows, before, after, "error"),
        f"test error with {before} minus that with {after}, paired by seed, mean over data sets and"
        f" numbers of instances; apart: {in_words(rows, before, after, 'error')}",
    )


def fewer(claim: str, rows: pd.DataFrame, treatment: str) -> Evidence:
    return Evidence(
        claim,
        gain_of_fewer(rows, treatment),
        f"what {treatment} takes off the test error on the fewest instances, minus what it takes"
        f" off on the most: {in_words(rows, NONE, treatment, 'error')}",
    )


def calibrates(claim: str, rows: pd.DataFrame, treatment: str) -> Evidence:
    return Evidence(
        claim,
        gain(rows, NONE, treatment, "ece"),
        f"calibration error (15 bins) with {NONE} minus that with {treatment}, paired by seed,"
        " mean over data sets and numbers of instances; apart:"
        f" {in_words(rows, NONE, treatment, 'ece')}",
    )


EXPERIMENT = Experiment(
    name="regularisation",
    title="Regularisation",
    question="What do L2 and dropout buy?",
    version=1,
    cases=cases,
    after=further_cases,
    measure=measure,
    tables=tables,
    figures=figures,
    findings=findings,
    method=f"""
    A perceptron with {HIDDEN[0]} hidden ReLUs and a softmax, cross-entropy, plain gradient descent
    with minibatches of 32, float32, equally many updates for every treatment and number of
    instances. L2 adds l2/2 times the sum of the squared weights to the loss (the lecture's C is
    1/l2); dropout leaves hidden units out of an update, and the others grow meanwhile. Strength and
    learning rate are tuned together by validation error, for each number of instances, on three
    splits with other seeds. A seed sets split, initial weights and order: differences are paired.
    """,
    limitations="""
    One small network and two data sets; dropout of the inputs, max-norm and early stopping are not
    tried. The validation parts (359 and 1,000 instances) are larger than some training parts, which
    no one has who has so few: it makes the choice of strengths better than in practice. Most
    combinations of strengths belong to both treatments together, so that their choice is the
    noisiest. Tuning is by error: a strength chosen for calibration would differ.
    """,
    order=50,
)

if __name__ == "__main__":
    main(EXPERIMENT)
