"""What do L2 and dropout buy?

What flows: one network on more and more instances, without regularisation, with an L2 penalty in
the loss, with dropout of hidden units, and with both -> strength and learning rate tuned together,
for each number of instances -> test error and calibration, compared by seed. A wide network on few
images of MNIST is the positive control: there dropout is known to help.

Invariant: treatments are compared at the same instances, initial weights and number of updates.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from apparatus.classifiers import draw_parts, network, trained
from apparatus.learning import TRAINING, TUNING, examples, last_rows, strongest, tuning_cases
from matplotlib.figure import Figure as Canvas

from difflab.lab import Case, Experiment, Figure, Preset, Result, Row, Table, main, paired
from difflab.networks import CrossEntropy, MinibatchSGD

NONE, L2, DROPOUT, BOTH = "no regularisation", "L2", "dropout", "L2 and dropout"
SETTINGS, STRENGTHS = ["group", "treatment"], ["l2", "dropout"]
HIDDEN = {"digits": [128], "mnist1d": [128], "mnist_5k": [256, 256]}
PENALTIES = [3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 0.3]
DROPPED = [0.1, 0.2, 0.5, 0.8]
RATES = [0.01, 0.03, 0.1, 0.3, 1.0]
CONTROL = "mnist_5k"
LOOKS_IN_A_RUN = 24


# Cases --------------------------------------------------------------------------------------------


def configurations(preset: Preset) -> list[Case]:
    """Every strength of every treatment, for each number of instances; of the control, one."""
    sizes: dict[str, list[int]] = preset.choose(
        smoke={"digits": [50, 200]},
        quick={"digits": [100, 1000]},
        full={"digits": [100, 300, 1000], "mnist1d": [300, 1000, 3000]},
    )
    updates = preset.choose(
        smoke={"digits": 30, CONTROL: 10},
        quick={"digits": 300, CONTROL: 60},
        full={"digits": 1500, "mnist1d": 2500, CONTROL: 2000},
    )
    penalties = preset.choose(smoke=[1e-2], quick=PENALTIES[1::2], full=PENALTIES)
    dropped = preset.choose(smoke=[0.5], quick=DROPPED[1:3], full=DROPPED)
    treatments = [
        (NONE, 0.0, 0.0),
        *[(L2, l2, 0.0) for l2 in penalties],
        *[(DROPOUT, 0.0, p) for p in dropped],
        *[(BOTH, l2, p) for l2 in penalties[1:-1:2] or penalties for p in dropped[1:] or dropped],
    ]
    control = [(NONE, 0.0, 0.0), (DROPOUT, 0.0, 0.5)]
    return [
        {"group": f"{data}, {size} instances", "data": data, "size": size, "place": place,
         "treatment": treatment, "l2": l2, "dropout": p, "updates": updates[data]}
        for data, own in [*sizes.items(), (CONTROL, [preset.choose(smoke=100, quick=500, full=1000)])]
        for size, place in zip(own, ["fewest", "between", "most"][:: 2 if len(own) == 2 else 1])
        for treatment, l2, p in (control if data == CONTROL else treatments)
    ]  # fmt: skip


def cases(preset: Preset) -> list[Case]:
    rates = preset.choose(smoke=[0.3], quick=[0.1, 0.5], full=RATES)
    return tuning_cases(
        configurations(preset), rates, range(preset.choose(smoke=1, quick=1, full=2))
    )


def further_cases(preset: Preset, rows: pd.DataFrame) -> list[Case]:
    """Training at the chosen strengths and rates."""
    best = strongest(rows, SETTINGS, STRENGTHS)
    return [
        {"part": TRAINING, **config, "rate": float(own["rate"]), "seed": seed}
        for config in configurations(preset)
        for own in [best.loc[(config["group"], config["treatment"])]]
        if all(own[name] == config[name] for name in STRENGTHS)
        for seed in preset.seeds
    ]


# Measuring ----------------------------------------------------------------------------------------


def measure(case: Case, rng: np.random.Generator) -> Iterator[Row]:
    control = case["data"] == CONTROL
    net = network(case["data"], HIDDEN[case["data"]], "softmax", CrossEntropy(l2=case["l2"]),
                  "float32")  # fmt: skip
    of_inputs = 0.2 if control and case["dropout"] else 0.0
    net.solver = MinibatchSGD(dropout=case["dropout"], input_dropout=of_inputs)
    *_, last = trained(
        net,
        examples(case["data"], case["part"], case["seed"], size=case["size"],
                 standardise=not control),
        part=case["part"], seed=case["seed"], rate=case["rate"], updates=case["updates"],
        every=max(case["updates"] // LOOKS_IN_A_RUN, 1),
    )  # fmt: skip
    # A double difference is a plain one, of what the treatment takes off at few and at many.
    few = (case["place"] == "fewest") == (case["treatment"] == NONE)
    yield {**last, "side": "plus" if few else "minus"}


# Results ------------------------------------------------------------------------------------------


def gain(
    claim: str, rows: pd.DataFrame, treatment: str, column: str, words: str,
    before: str = NONE, control: bool = False,
) -> Result:  # fmt: skip
    """What a treatment takes off, in points, for each data set and number of instances."""
    sets = [name for name in HIDDEN if (name == CONTROL) == control]
    return paired(
        claim, rows, column, left={"treatment": before}, right={"treatment": treatment},
        where={"part": TRAINING, "data": sets}, by="group", scale=100,
        badges=told(rows, sets, [before, treatment]), words=f"{words}, {before} minus {treatment}",
    )  # fmt: skip


def fewer(claim: str, rows: pd.DataFrame, treatment: str) -> Result:
    """The gain on the fewest instances minus that on the most: twice the difference of the means
    of (without, few; with, many) and (with, few; without, many)."""
    sets = [name for name in HIDDEN if name != CONTROL]
    where = {"part": TRAINING, "data": sets, "treatment": [NONE, treatment],
             "place": ["fewest", "most"]}  # fmt: skip
    return paired(
        claim, rows, "held_error", left={"side": "plus"}, right={"side": "minus"}, where=where,
        scale=200, badges=told(rows, sets, [NONE, treatment]),
        words=f"what {treatment} takes off the test error, on the fewest minus on the most",
    )  # fmt: skip


def told(rows: pd.DataFrame, sets: list[str], treatments: list[str]) -> tuple[str, ...]:
    own = rows[rows["data"].isin(sets) & rows["treatment"].isin(treatments)]
    edge = strongest(own, SETTINGS, STRENGTHS)["edge"] if own["part"].eq(TUNING).any() else []
    runs = own[own["part"] == TRAINING]["settled"]
    found = {"choices at a grid's edge": (sum(edge), len(edge)),
             "runs not at a plateau": (int(runs.eq(False).sum()), len(runs))}  # fmt: skip
    return tuple(f"{count} of {all_} {what}" for what, (count, all_) in found.items() if count)


def results(rows: pd.DataFrame) -> list[Result]:
    error, calibration = "test error", "calibration error (15 bins)"
    return [
        gain("l2_helps", rows, L2, "held_error", error),
        gain("dropout_helps", rows, DROPOUT, "held_error", error),
        gain("dropout_helps_where_it_must", rows, DROPOUT, "held_error", error, control=True),
        gain("dropout_helps_further", rows, BOTH, "held_error", error, before=L2),
        fewer("l2_gains_more_with_fewer_instances", rows, L2),
        fewer("dropout_gains_more_with_fewer_instances", rows, DROPOUT),
        gain("l2_calibrates", rows, L2, "ece", calibration),
        gain("dropout_calibrates", rows, DROPOUT, "ece", calibration),
    ]


# Figures and tables -------------------------------------------------------------------------------


def figures(rows: pd.DataFrame) -> list[Figure]:
    found = {
        column: {
            name: gain("", rows, name, column, "")
            for name in (L2, DROPOUT, BOTH)
        }
        for column in ("held_error", "ece")
    }  # fmt: skip
    control = gain("", rows, DROPOUT, "held_error", "", control=True)

    def draw(canvas: Canvas) -> None:
        left, right = canvas.subplots(1, 2, sharey=False)
        draw_parts(left, found["held_error"])
        draw_parts(right, found["ece"])
        left.set_xlabel("test error taken off (points)")
        right.set_xlabel("calibration error taken off (points)")
        right.set_yticklabels([])
        canvas.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3)

    def helped(column: str, name: str) -> str:
        parts = [part.interval for part in found[column][name].parts if part.interval]
        return f"{sum(one.low > 0 for one in parts)} of {len(parts)}"

    known = control.parts[0].interval if control.parts else None
    seeds = rows[rows["part"] == TRAINING]["seed"].nunique()
    return [
        Figure(
            "gains",
            "What a treatment takes off the errors of the same network without it, paired by seed,"
            " with 95 % intervals. Right of the line it helps.",
            "Dots with intervals for each data set and number of instances",
            draw,
            (10.5, 1.6 + 0.55 * len(found["ece"][L2].parts)),
            finding=f"L2 surely lowers the test error in {helped('held_error', L2)} settings,"
            f" dropout in {helped('held_error', DROPOUT)}; calibration in {helped('ece', L2)} and"
            f" {helped('ece', DROPOUT)}",
            foot=f"{seeds} seeds; control (wide network, few images of MNIST): dropout takes off"
            f" {known} points",
        )
    ]


def tables(rows: pd.DataFrame) -> list[Table]:
    names = {"held_error": "test error, %", "train_error": "training error, %",
             "ece": "calibration error, %"}  # fmt: skip
    last = last_rows(rows[rows["part"] == TRAINING], SETTINGS)
    means = 100 * last.groupby(SETTINGS, sort=False)[list(names)].mean()
    best = strongest(rows, SETTINGS, STRENGTHS)[[*STRENGTHS, "rate", "edge"]]
    caption = (
        f"Means of {last['seed'].nunique()} seeds, at the strength and rate of the least mean"
        " validation error; edge: whether one of them lies at the edge of its grid."
    )
    frame = means.rename(columns=names).join(best).reset_index().set_index("group")
    return [Table("What was learned, and at which strengths", caption, frame)]


EXPERIMENT = Experiment(
    name="regularisation",
    title="Regularisation",
    question="What do L2 and dropout buy?",
    version=2,
    cases=cases,
    after=further_cases,
    measure=measure,
    tables=tables,
    figures=figures,
    results=results,
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
    order=50,
)

if __name__ == "__main__":
    main(EXPERIMENT)
