"""Is cross-entropy better than squared error for sigmoid and softmax?

What flows: networks with three kinds of outputs (softmax, sigmoids, linear) and two losses, each at
its own learning rate -> runs to a plateau -> differences by seed. Beside it the losses' derivatives
at confidently wrong outputs, and runs with the textbook form, the logarithm of a probability.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from apparatus.classifiers import network, trained
from apparatus.learning import TRAINING, TUNING, badges, examples, training_cases, tuning_cases

from difflab import lab, value_and_gradient
from difflab.accuracy.truth import truth
from difflab.lab import Case, Experiment, Figure, Preset, Result, Row, chosen, generator
from difflab.networks import Adam, CrossEntropy, MinibatchSGD, SquaredError
from difflab.networks.layers import Layer
from difflab.networks.losses import Loss

LOGITS, FORMS = "logits", "forms"
CROSS_ENTROPY, SQUARED, TEXTBOOK = "cross-entropy", "squared error", "textbook cross-entropy"
SOFTMAX, SIGMOIDS, LINEAR = "softmax", "sigmoid", "identity"
SGD, ADAM = "gradient descent", "Adam"
NAMES = ["data", "head", "criterion", "solver"]
CLASSES = 10  # of the logits
LOSSES: dict[str, Loss] = {CROSS_ENTROPY: CrossEntropy(), SQUARED: SquaredError(),
                           TEXTBOOK: CrossEntropy(fused=False)}  # fmt: skip
RATES = {
    (SGD, SOFTMAX, CROSS_ENTROPY): [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0],
    (SGD, SOFTMAX, SQUARED): [0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0],
    (SGD, SIGMOIDS, CROSS_ENTROPY): [0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0],
    (SGD, SIGMOIDS, SQUARED): [0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0],
    (ADAM, SOFTMAX, CROSS_ENTROPY): [1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1],
    (ADAM, LINEAR, SQUARED): [1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1],
}
"""By solver, head and loss: a linear head by Adam, since plain gradient descent may diverge."""
HIDDEN = {"digits": [64], "mnist_5k": [64], "mnist1d": [64, 64], "breast_cancer": [16]}
UPDATES = {"digits": 1500, "mnist_5k": 3000, "mnist1d": 6000, "breast_cancer": 1500}
LEARNED = {"digits": 0.02, "mnist_5k": 0.02, "mnist1d": 0.2, "breast_cancer": 0.02}  # errors
LOOKS_IN_A_RUN = {"digits": 100, "mnist_5k": 50, "mnist1d": 60, "breast_cancer": 100}


def configurations(preset: Preset) -> list[Case]:
    smoke, quick = {"digits": 40, "breast_cancer": 40}, {"digits": 600, "breast_cancer": 500}
    updates = preset.choose(smoke=smoke, quick=quick, full=UPDATES)
    return [
        {"data": data, "head": head, "criterion": criterion, "solver": solver, "updates": count}
        for data, count in updates.items()
        for solver, head, criterion in RATES
        if data != "breast_cancer" or head == SIGMOIDS
    ]


def cases(preset: Preset) -> list[Case]:
    thinned = preset.choose(smoke=slice(3, 5), quick=slice(1, 7, 2), full=slice(None))
    seeds = range(preset.choose(smoke=1, quick=1, full=2))
    tuning = tuning_cases(
        configurations(preset),
        lambda own: RATES[own["solver"], own["head"], own["criterion"]][thinned], seeds,
    )  # fmt: skip
    forms = [(head, loss) for head in (SOFTMAX, SIGMOIDS) for loss in LOSSES]
    alone = lab.grid(
        part=[LOGITS], dtype=["float64", "float32"], side=["wrong", "right"],
        points=[preset.choose(smoke=5, quick=9, full=13)],
        seed=range(preset.choose(smoke=1, quick=1, full=3)),
    )  # fmt: skip
    return tuning + [
        {"head": head, "criterion": criterion, **case}
        for head, criterion in [*forms, (LINEAR, SQUARED)]
        for case in alone
    ]


def further_cases(preset: Preset, rows: pd.DataFrame) -> list[Case]:
    """Training at the chosen rates; on digits with the textbook form at those of the fused one."""
    training = training_cases(rows, configurations(preset), preset.seeds)
    return training + [
        {**case, "part": FORMS, "criterion": criterion, "dtype": dtype}
        for case in training
        if (case["data"], case["criterion"], case["solver"]) == ("digits", CROSS_ENTROPY, SGD)
        for dtype in ("float64", "float32")
        for criterion in (CROSS_ENTROPY, TEXTBOOK)
    ]


def measure(case: Case, rng: np.random.Generator) -> Iterator[Row]:
    name = f"{'linear' if case['head'] == LINEAR else case['head']}, {case['criterion']}"
    name += " (Adam)" if case.get("solver") == ADAM else ""
    alone = case["part"] == LOGITS
    for row in at_logits(case, LOSSES[case["criterion"]]) if alone else learning(case):
        ended = {"finite": not row["diverged"]} if "last" in row else {}
        yield {"output": name, **row, **ended}


def learning(case: Case) -> Iterator[Row]:
    """A run of training; where only the form of a loss is compared, its last row alone."""
    data, part = case["data"], TUNING if case["part"] == TUNING else TRAINING
    loss, dtype = LOSSES[case["criterion"]], case.get("dtype", "float32")
    net = network(data, HIDDEN[data], case["head"], loss, dtype)
    solver = Adam if case["solver"] == ADAM else MinibatchSGD
    net.solver = solver(batch_size=128 if data == "mnist1d" else 32)
    held = examples(data, part, case["seed"], standardise=data != "mnist_5k")
    # Of the forms NumPy's own floats are asked.
    looks, engine = (1, "numpy") if case["part"] == FORMS else (LOOKS_IN_A_RUN[data], "auto")
    return trained(net, held, case, looks, threshold=LEARNED[data], engine=engine)


def at_logits(case: Case, loss: Loss) -> Iterator[Row]:
    """The derivative of a loss in the true class's logit, ever farther from the largest other."""
    last = Layer(1, CLASSES, case["head"])
    f = lambda x: loss.each(x, (np.arange(CLASSES) == 0).astype(x.dtype), last)  # of class 0
    with_gradient = value_and_gradient(f)
    others = generator("losses", "logits", case["seed"]).normal(size=CLASSES)
    for away in np.geomspace(1.0, 1e4, case["points"]):
        logits = others - np.max(others[1:])
        logits[0] = -away if case["side"] == "wrong" else away
        logits = logits.astype(case["dtype"])
        with np.errstate(all="ignore"):
            value, gradient = with_gradient(logits)
            slope, true = abs(gradient[0]), abs(truth(f, logits).midpoint[0])
        finite = bool(np.isfinite(value) and np.all(np.isfinite(gradient)))
        theory = as_in_theory(case, loss, logits, float(slope), float(true))
        yield {"away": float(away), "slope": float(slope), "true_slope": float(true),
               "finite": finite, **theory}  # fmt: skip


def as_in_theory(case: Case, loss: Loss, logits: np.ndarray, slope: float, true: float) -> Row:
    """Of wrong outputs: whether the slope by reverse mode and its enclosure are the closed form's,
    within 32 units of rounding, and lie within the bounds by exp(-s), s logits below the largest.

    With p the probability of the true class, the slope is 1 - p for cross-entropy; for squared
    error it is p (1 - p)^2 of a sigmoid, and p (1 + sum of all p^2 - 2 p) of a softmax.
    """
    if case["side"] != "wrong" or case["head"] == "identity" or loss == CrossEntropy(fused=False):
        return {}
    powers = np.exp(logits.astype(float))
    all_p = powers / (1 + powers) if case["head"] == "sigmoid" else powers / powers.sum()
    p, decay = all_p[0], np.exp(float(logits[0]))
    if loss == CrossEntropy():
        closed, low, high = 1 - p, 1 - decay, 1.0
    elif case["head"] == "sigmoid":
        closed, low, high = p * (1 - p) ** 2, 0.0, decay
    else:
        closed, low, high = p * (1 + np.sum(all_p**2) - 2 * p), 0.0, 2 * decay
    # Below the smallest normal number a float has no relative precision.
    number = np.finfo(case["dtype"])
    room = 32 * float(number.eps) * closed + float(number.tiny)
    same = all(abs(found - closed) <= room for found in (slope, true))
    return {
        "closed": float(closed),
        "as_in_theory": bool(same and low - room <= slope <= high + room),
    }


TEN = ["digits", "mnist_5k", "mnist1d"]
ERROR = ("held_error", "test error, squared error minus cross-entropy, each at its own tuned rate")
FIRST = ("reached", "updates to a low training error, squared error over cross-entropy")
LEAST = ("train_error", "training error at the end, squared error minus cross-entropy")
HONEST = ("ece", "calibration error, cross-entropy minus squared error")
COMPARED: list[tuple[str, tuple[str, str], str, list[str]]] = [
    ("cross_entropy_for_softmax", ERROR, SOFTMAX, TEN),
    ("cross_entropy_for_sigmoids", ERROR, SIGMOIDS, TEN),
    ("cross_entropy_for_one_sigmoid", ERROR, SIGMOIDS, ["breast_cancer"]),
    ("cross_entropy_of_softmax_needs_fewer_updates", FIRST, SOFTMAX, TEN),
    ("cross_entropy_of_sigmoids_needs_fewer_updates", FIRST, SIGMOIDS, list(UPDATES)),
    ("cross_entropy_finds_better_minima", LEAST, SOFTMAX, TEN),
    ("squared_error_with_linear_head", ERROR, LINEAR, TEN),
    ("squared_error_is_better_calibrated", HONEST, SOFTMAX, TEN),
    ("squared_error_of_sigmoids_is_better_calibrated", HONEST, SIGMOIDS, list(UPDATES)),
]
"""Of a head, with squared error and with cross-entropy; a linear one against a softmax, by Adam."""


def versus(
    rows: pd.DataFrame, claim: str, measured: tuple[str, str], head: str, data: list[str]
) -> Result:
    column, words = measured
    solver, other = (ADAM, SOFTMAX) if head == LINEAR else (SGD, head)
    sides = [{"head": head, "criterion": SQUARED}, {"head": other, "criterion": CROSS_ENTROPY}]
    own = chosen(rows, {"part": [TUNING, TRAINING], "data": data, "solver": solver})
    own = pd.concat([chosen(own, side) for side in sides])
    left, right = reversed(sides) if measured is HONEST else sides
    told: Row = {"words": words, "left": left, "right": right}
    told["where"] = {"part": TRAINING, "last": True, "solver": solver, "data": data}
    told["badges"] = badges(own, NAMES) if len(own) else ()
    if measured is FIRST:
        return lab.ratio(claim, rows, column, **told)
    return lab.paired(claim, rows, column, scale=100, **told)


def results(rows: pd.DataFrame) -> list[Result]:
    wrong = {"part": LOGITS, "side": "wrong", "head": [SOFTMAX, SIGMOIDS]}
    checks = {
        "squared_error_gradient_vanishes": ("as_in_theory", wrong | {"criterion": SQUARED}),
        "cross_entropy_gradient_stays": ("as_in_theory", wrong | {"criterion": CROSS_ENTROPY}),
        "fused_form_is_stable": ("finite", {"part": LOGITS, "criterion": CROSS_ENTROPY}),
        "fused_form_trains_on": ("finite", {"part": FORMS, "criterion": CROSS_ENTROPY}),
    }
    return [
        *[versus(rows, *one) for one in COMPARED],
        *[lab.every(claim, rows, column, where=where,
                    counted="runs" if where["part"] == FORMS else "outputs")
          for claim, (column, where) in checks.items()],
        *[lab.share(f"textbook_form_of_{name}_stops_training", rows, "diverged", by="dtype",
                    where={"part": FORMS, "criterion": TEXTBOOK, "head": head},
                    words="runs on digits that end in NaN or infinity, at the fused form's rate")
          for name, head in (("sigmoids", SIGMOIDS), ("softmax", SOFTMAX))],
    ]  # fmt: skip


def figures(rows: pd.DataFrame) -> list[Figure]:
    ended = chosen(rows, {"part": TRAINING, "last": True})
    heads = ("cross_entropy_for_softmax", "cross_entropy_for_sigmoids")
    found = [versus(rows, *one) for one in COMPARED if one[0] in heads]
    errors = [part.interval for one in found for part in one.parts if part.interval]
    worse, better = sum(one.low > 0 for one in errors), sum(one.high < 0 for one in errors)
    wrong = chosen(rows, {"part": LOGITS, "side": "wrong", "dtype": "float64"})
    wrong = chosen(wrong[wrong["away"] <= 110], {"criterion": [CROSS_ENTROPY, SQUARED]})
    far = wrong[wrong["away"].eq(wrong["away"].max()) & wrong["head"].ne(LINEAR)]
    return [
        lab.curves(
            chosen(rows, {"part": TRAINING, "solver": SGD, "data": TEN}), "learning", "update",
            "held_error", "output", labels=("updates", "test error (%)"), logarithms="x",
            scale=100, alt="Falling curves of test error for every head and loss",
            caption="Plain gradient descent, each output at its tuned rate;"
            f" {ended['settled'].eq(True).sum()} of all {len(ended)} runs came to a plateau.",
            finding=f"Squared error errs clearly more than cross-entropy in {worse} of"
            f" {len(errors)} comparisons on ten classes, clearly less in {better}",
            foot=f"{ended['seed'].nunique()} seeds",
        ),
        lab.curves(
            wrong, "wrong_outputs", "away", "slope", "output", by=None, logarithms="xy",
            labels=("logits below the largest, s", "|dL/da|"), order=list(wrong["output"].unique()),
            alt="Falling curves for squared error, a flat one for cross-entropy, a rising one",
            caption="The derivative of the loss in the true class's logit, by reverse mode. Softmax"
            " and sigmoids with cross-entropy lie on each other.",
            finding=f"{far['away'].max():.0f} logits off, squared error leaves a slope of"
            f" {far[far['criterion'].eq(SQUARED)]['slope'].max():.0e}, cross-entropy of"
            f" {far[far['criterion'].eq(CROSS_ENTROPY)]['slope'].min():g}",
            foot=f"{CLASSES} classes; draws of the other logits: {wrong['seed'].nunique()}",
        ),
    ]  # fmt: skip


EXPERIMENT = Experiment(
    name="losses", title="Losses", version=2, order=44,
    question="Is cross-entropy better than squared error for sigmoid and softmax?",
    cases=cases, after=further_cases, measure=measure, figures=figures, results=results,
    method="""
    Perceptrons with ReLUs (digits 64-64-10, MNIST-1D 40-64-64-10, 5,000 images of MNIST 784-64-10,
    breast cancer 30-16-1), minibatches of 32 (MNIST-1D: 128), float32, constant rates. Each head
    with each loss has its own rate for each solver, tuned on validation splits with other seeds; a
    seed sets split, initial weights and order, so that differences are paired. Calibration error:
    15 bins; sigmoid outputs are divided by their sum, linear ones cut to [0, 1] first. Gradients at
    given logits: reverse mode, an enclosure and the closed form, 10 classes.
    """,
    limitations="""
    Small perceptrons on small data. A linear head with cross-entropy would be a softmax; the
    rescaled squared error that Hui & Belkin use for 42 and more classes is not needed for 10. The
    calibration error of a few hundred test instances is biased upwards, for all alike. Rates are
    tuned for a low validation error, not for few updates.
    """,
)  # fmt: skip

if __name__ == "__main__":
    lab.main(EXPERIMENT)
