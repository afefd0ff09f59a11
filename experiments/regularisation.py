"""What do L2 and dropout buy?

What flows: one network on more and more instances, by each treatment -> test error and calibration,
compared by seed. Few images of MNIST, where dropout is known to help, are the positive control.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from apparatus.classifiers import network, trained
from apparatus.learning import TRAINING, badges, examples, training_cases, tuning_cases

from difflab.lab import Case, Experiment, Figure, Preset, Result, Row, chosen, curves, main, paired
from difflab.networks import CrossEntropy, MinibatchSGD

NONE, L2, DROPOUT, BOTH = "no regularisation", "L2", "dropout", "L2 and dropout"
SETTINGS, STRENGTHS = ["group", "treatment"], ["l2", "dropout"]
CONTROL, SETS = "mnist_5k", ["digits", "mnist1d"]
HIDDEN = {"digits": [128], "mnist1d": [128], CONTROL: [256, 256]}
PENALTIES = [3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 0.3]
DROPPED = [0.05, 0.1, 0.2, 0.5, 0.8]
PLACES = {1: ["fewest"], 2: ["fewest", "most"], 3: ["fewest", "between", "most"]}


def configurations(preset: Preset) -> list[Case]:
    """Every strength of every treatment, for each number of instances; of the control, one."""
    sizes: dict[str, list[int]] = preset.choose(
        smoke={"digits": [50, 200], CONTROL: [100]},
        quick={"digits": [100, 1000], CONTROL: [500]},
        full={"digits": [100, 300, 1000], "mnist1d": [300, 1000, 3000], CONTROL: [1000]},
    )
    updates = preset.choose(
        smoke={"digits": 30, CONTROL: 10}, quick={"digits": 300, CONTROL: 250},
        full={"digits": 1000, "mnist1d": 2000, CONTROL: 1500},
    )  # fmt: skip
    penalties = preset.choose(smoke=[1e-2], quick=PENALTIES[::2], full=PENALTIES)
    joined = preset.choose(smoke=[1e-2], quick=[1e-2], full=PENALTIES[::2])
    dropped = preset.choose(smoke=[0.5], quick=DROPPED[2:4], full=DROPPED)
    treatments = [
        (NONE, 0.0, 0.0),
        *[(L2, l2, 0.0) for l2 in penalties],
        *[(DROPOUT, 0.0, p) for p in dropped],
        *[(BOTH, l2, p) for l2 in joined for p in dropped],
    ]
    control = [(NONE, 0.0, 0.0), (DROPOUT, 0.0, 0.5)]
    return [
        {"group": f"{data}, {size} instances", "data": data, "size": size, "place": place,
         "treatment": treatment, "l2": l2, "dropout": p, "updates": updates[data]}
        for data, own in sizes.items()
        for size, place in zip(own, PLACES[len(own)], strict=True)
        for treatment, l2, p in (control if data == CONTROL else treatments)
    ]  # fmt: skip


def cases(preset: Preset) -> list[Case]:
    rates = preset.choose(smoke=[0.3], quick=[0.1, 0.5], full=[0.03, 0.1, 0.3, 1.0, 3.0])
    seeds = range(preset.choose(smoke=1, quick=1, full=2))
    return tuning_cases(configurations(preset), rates, seeds)


def measure(case: Case, rng: np.random.Generator) -> Iterator[Row]:
    control = case["data"] == CONTROL
    data, loss = case["data"], CrossEntropy(l2=case["l2"])
    net = network(data, HIDDEN[data], "softmax", loss, "float32")
    of_inputs = 0.2 if control and case["dropout"] else 0.0
    net.solver = MinibatchSGD(dropout=case["dropout"], input_dropout=of_inputs)
    known = examples(data, case["part"], case["seed"], size=case["size"], standardise=not control)
    *_, last = trained(net, known, case)
    # A double difference is a plain one, of what the treatment takes off at few and at many.
    few = (case["place"] == "fewest") == (case["treatment"] == NONE)
    yield {**last, "side": "plus" if few else "minus"}


def told(rows: pd.DataFrame, sets: list[str], treatments: list[str]) -> tuple[str, ...]:
    own = chosen(rows, {"data": sets, "treatment": treatments})
    return badges(own, SETTINGS, strengths=STRENGTHS) if len(own) else ()


def gain(
    claim: str, rows: pd.DataFrame, treatment: str, column: str = "held_error",
    before: str = NONE, sets: list[str] = SETS,
) -> Result:  # fmt: skip
    """What a treatment takes off, in points, for each data set and number of instances."""
    words = "calibration error (15 bins)" if column == "ece" else "test error"
    return paired(
        claim, rows, column, left={"treatment": before}, right={"treatment": treatment},
        where={"part": TRAINING, "data": sets}, by="group", scale=100,
        badges=told(rows, sets, [before, treatment]), words=f"{words}, {before} minus {treatment}",
    )  # fmt: skip


def fewer(claim: str, rows: pd.DataFrame, treatment: str) -> Result:
    """The gain on the fewest instances minus that on the most: twice the difference of the means
    of (without, few; with, many) and (with, few; without, many)."""
    both = [NONE, treatment]
    where = {"part": TRAINING, "data": SETS, "treatment": both, "place": ["fewest", "most"]}
    return paired(
        claim, rows, "held_error", left={"side": "plus"}, right={"side": "minus"}, where=where,
        scale=200, badges=told(rows, SETS, both),
        words=f"what {treatment} takes off the test error, on the fewest minus on the most",
    )  # fmt: skip


def results(rows: pd.DataFrame) -> list[Result]:
    return [
        gain("l2_helps", rows, L2),
        gain("dropout_helps", rows, DROPOUT),
        gain("dropout_helps_where_it_must", rows, DROPOUT, sets=[CONTROL]),
        gain("dropout_helps_further", rows, BOTH, before=L2),
        fewer("l2_gains_more_with_fewer_instances", rows, L2),
        fewer("dropout_gains_more_with_fewer_instances", rows, DROPOUT),
        gain("l2_calibrates", rows, L2, "ece"),
        gain("dropout_calibrates", rows, DROPOUT, "ece"),
    ]


def figures(rows: pd.DataFrame) -> list[Figure]:
    own = chosen(rows, {"part": TRAINING})
    sets = [*SETS, CONTROL]

    def helped(treatment: str, column: str = "held_error") -> str:
        parts = gain("", rows, treatment, column, sets=sets).parts
        lows = [part.interval.low for part in parts if part.interval]
        return f"{sum(low > 0 for low in lows)} of {len(lows)}"

    return [
        curves(
            own, "errors", "size", "held_error", "treatment", scale=100, logarithms="x",
            order=[NONE, L2, DROPOUT, BOTH], labels=("training instances", "test error (%)"),
            caption="Each treatment at its tuned strength and rate. mnist_5k is the control.",
            alt="Test error against the number of instances, a line a treatment, a panel a set",
            finding=f"Test error clearly falls by L2 in {helped(L2)} settings, by dropout in"
            f" {helped(DROPOUT)}; calibration error in {helped(L2, 'ece')}, in"
            f" {helped(DROPOUT, 'ece')}",
            foot=f"{own['seed'].nunique()} seeds",
        )
    ]  # fmt: skip


EXPERIMENT = Experiment(
    name="regularisation", title="Regularisation", version=2, order=50,
    question="What do L2 and dropout buy?",
    cases=cases, measure=measure, figures=figures, results=results,
    after=lambda preset, rows: training_cases(
        rows, configurations(preset), preset.seeds, strengths=STRENGTHS),
    method="""
    A perceptron with 128 hidden ReLUs and a softmax (control: twice 256), plain gradient descent,
    minibatches of 32, float32, equally many updates for every treatment. L2 adds l2/2 times the sum
    of the squared weights to the loss (the lecture's C is 1/l2); dropout leaves hidden units out of
    an update, in the control also a fifth of the inputs. Strength and learning rate are tuned
    together by validation error, for each number of instances, on splits with other seeds. A seed
    sets split, initial weights and order: differences are paired.
    """,
    limitations="""
    Small networks, two data sets and a control; max-norm and early stopping are not tried. The
    validation parts (359 and 1,000 instances) are larger than some training parts, which no one has
    who has so few. Tuning is by error: a strength chosen for calibration would differ.
    """,
)  # fmt: skip

if __name__ == "__main__":
    main(EXPERIMENT)
