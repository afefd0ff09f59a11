"""Is cross-entropy better than squared error for sigmoid and softmax?

The same networks on real data with three kinds of outputs (softmax, sigmoids, linear) and two
losses, each at its own learning rate, compared by seed. Then the derivative of the losses alone, at
outputs that are ever more confidently wrong, against its enclosure; and where the textbook form of
cross-entropy, the logarithm of a probability, ends in NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from _losses_page import (
    ADAM,
    CROSS_ENTROPY,
    FORMS,
    LINEAR,
    LOGITS,
    MULTICLASS,
    SGD,
    SIGMOIDS,
    SOFTMAX,
    SQUARED,
    TEXTBOOK,
    difference,
    each_set,
    figures,
    finals_of,
    slower,
    tables,
)
from apparatus.classifiers import network, trained
from apparatus.learning import TRAINING, TUNING, examples, share, training_cases, tuning_cases

from difflab import value_and_gradient
from difflab.accuracy.truth import truth
from difflab.lab import (
    Case,
    Evidence,
    Experiment,
    Preset,
    Row,
    bootstrap_interval,
    generator,
    grid,
    main,
)
from difflab.networks import Adam, CrossEntropy, MinibatchSGD, SquaredError
from difflab.networks.layers import Layer
from difflab.networks.losses import Loss

LOSSES: dict[str, Loss] = {
    CROSS_ENTROPY: CrossEntropy(),
    SQUARED: SquaredError(),
    TEXTBOOK: CrossEntropy(fused=False),
}
SOLVERS = {SGD: MinibatchSGD(), ADAM: Adam()}
OUTPUTS = [
    (SOFTMAX, CROSS_ENTROPY),
    (SOFTMAX, SQUARED),
    (SIGMOIDS, CROSS_ENTROPY),
    (SIGMOIDS, SQUARED),
    (LINEAR, SQUARED),
]
"""Heads with the losses that they go with; a linear one with cross-entropy is a softmax."""
ALSO_BY_ADAM = [(SOFTMAX, CROSS_ENTROPY), (SOFTMAX, SQUARED), (LINEAR, SQUARED)]
"""Plain gradient descent may not suit a linear head, whose squared error has no bounded slope."""
HIDDEN = {"digits": [32], "mnist1d": [64, 64], "breast_cancer": [16]}
RATES = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0]
CLASSES = 10
CONFIDENT = 10.0
"""An output is confidently wrong where the true class's logit is this far below the largest."""


# Cases --------------------------------------------------------------------------------------------


def configurations(preset: Preset) -> list[Case]:
    updates = preset.choose(
        smoke={"digits": 40, "breast_cancer": 20},
        quick={"digits": 250, "breast_cancer": 100},
        full={"digits": 1000, "mnist1d": 2000, "breast_cancer": 500},
    )
    trained_by = [(SGD, *output) for output in OUTPUTS] + [(ADAM, *also) for also in ALSO_BY_ADAM]
    return [
        {"data": data, "head": head, "criterion": criterion, "solver": solver, "updates": count}
        for data, count in updates.items()
        for solver, head, criterion in trained_by
        if data in MULTICLASS or head == SIGMOIDS
    ]


def cases(preset: Preset) -> list[Case]:
    rates = preset.choose(smoke=[0.3, 1.0], quick=[0.003, 0.01, 0.1, 0.3, 1.0, 3.0], full=RATES)
    tuning = range(preset.choose(smoke=1, quick=2, full=3))
    points = preset.choose(smoke=4, quick=9, full=25)
    draws = preset.choose(smoke=1, quick=1, full=5)
    pairs = [*OUTPUTS, (SOFTMAX, TEXTBOOK), (SIGMOIDS, TEXTBOOK)]
    return [
        *tuning_cases(configurations(preset), rates, tuning),
        *[
            {"part": LOGITS, "head": head, "criterion": criterion, "points": points, **rest}
            for head, criterion in pairs
            for rest in grid(dtype=["float64", "float32"], side=["wrong", "right"],
                             seed=range(draws))
        ],
    ]  # fmt: skip


def further_cases(preset: Preset, rows: pd.DataFrame) -> list[Case]:
    """Training at the chosen rates, also with the textbook form at those of the fused one."""
    training = training_cases(rows, configurations(preset), preset.seeds)
    stable = [
        case
        for case in training
        if (case["data"], case["criterion"], case["solver"]) == ("digits", CROSS_ENTROPY, SGD)
    ]
    return [
        *training,
        *[{**case, "part": FORMS, "criterion": criterion, "dtype": dtype}
          for case in stable
          for dtype in ("float64", "float32")
          for criterion in (CROSS_ENTROPY, TEXTBOOK)],
    ]  # fmt: skip


# Measuring ----------------------------------------------------------------------------------------


def measure(case: Case, rng: np.random.Generator) -> Iterator[Row]:
    return at_logits(case) if case["part"] == LOGITS else learning(case)


def learning(case: Case) -> Iterator[Row]:
    """A run of training; where only the form of a loss is compared, its last row alone."""
    part = TUNING if case["part"] == TUNING else TRAINING
    net = network(
        case["data"],
        HIDDEN[case["data"]],
        case["head"],
        LOSSES[case["criterion"]],
        case.get("dtype", "float64"),
    )
    net.solver = SOLVERS[case["solver"]]
    return trained(
        net,
        examples(case["data"], part, case["seed"]),
        part=part,
        seed=case["seed"],
        rate=case["rate"],
        updates=case["updates"],
        every=case["updates"] if case["part"] == FORMS else max(case["updates"] // 40, 1),
        engine="numpy" if case["part"] == FORMS else "auto",  # of forms, NumPy's floats are asked
    )


def at_logits(case: Case) -> Iterator[Row]:
    """The derivative of a loss in the true class's logit, ever farther from the largest other."""
    last = Layer(1, CLASSES, case["head"])
    f = of_logits(LOSSES[case["criterion"]], last)
    with_gradient = value_and_gradient(f)
    others = generator("losses", LOGITS, case["seed"]).normal(size=CLASSES)
    for away in np.geomspace(1.0, 1e4, case["points"]):
        logits = others - np.max(others[1:])
        logits[0] = -away if case["side"] == "wrong" else away
        logits = logits.astype(case["dtype"])
        with np.errstate(all="ignore"):
            value, gradient = with_gradient(logits)
            enclosure = truth(f, logits)
        yield {
            "away": float(away),
            "slope": float(np.abs(gradient[0])),
            "true_slope": float(np.abs(enclosure.midpoint[0])),
            "ulps": float(np.max(enclosure.ulps(gradient))),
            "finite": bool(np.isfinite(value) and np.all(np.isfinite(gradient))),
        }


def of_logits(loss: Loss, last: Layer) -> Callable[[Any], Any]:
    """The loss of one instance of class 0 as a function of the logits."""

    def f(logits: Any) -> Any:
        target = (np.arange(last.units) == 0).astype(logits.dtype)
        return loss.each(logits, target, last)

    return f


# Findings -----------------------------------------------------------------------------------------


def findings(rows: pd.DataFrame) -> list[Evidence]:
    return [
        better("cross_entropy_for_softmax", rows, SOFTMAX, MULTICLASS),
        better("cross_entropy_for_sigmoids", rows, SIGMOIDS, MULTICLASS),
        better("cross_entropy_for_one_sigmoid", rows, SIGMOIDS, ["breast_cancer"]),
        faster("cross_entropy_of_softmax_needs_fewer_updates", rows, SOFTMAX),
        faster("cross_entropy_of_sigmoids_needs_fewer_updates", rows, SIGMOIDS),
        better_minima(rows),
        linear_as_good(rows),
        better_calibrated(rows),
        vanishes(rows),
        stays(rows),
        fused_is_stable(rows),
        textbook_stops("textbook_form_of_sigmoids_stops_training", rows, SIGMOIDS),
        textbook_stops("textbook_form_of_softmax_stops_training", rows, SOFTMAX),
    ]


def better(claim: str, rows: pd.DataFrame, head: str, data: Iterable[str]) -> Evidence:
    own = finals_of(rows, data)
    pair = (head, SQUARED, SGD), (head, CROSS_ENTROPY, SGD)
    return Evidence(
        claim,
        difference(own, "error", *pair),
        "test error with squared error and with cross-entropy, each at its own rate, paired by"
        f" seed: {each_set(own, 'error', *pair)}",
    )


def faster(claim: str, rows: pd.DataFrame, head: str) -> Evidence:
    ratio, words = slower(rows, head)
    return Evidence(
        claim,
        ratio,
        "updates until the training error is low, squared error over cross-entropy, each at its own"
        f" rate, which was tuned for a low error and not for speed: {words}",
    )


def better_minima(rows: pd.DataFrame) -> Evidence:
    own = finals_of(rows, MULTICLASS)
    pair = (SOFTMAX, SQUARED, SGD), (SOFTMAX, CROSS_ENTROPY, SGD)
    by_adam = (SOFTMAX, SQUARED, ADAM), (SOFTMAX, CROSS_ENTROPY, ADAM)
    return Evidence(
        "cross_entropy_finds_better_minima",
        difference(own, "learned", *pair),
        "training error of a softmax after the last update, with squared error and with"
        f" cross-entropy: {each_set(own, 'learned', *pair)}. By Adam:"
        f" {each_set(own, 'learned', *by_adam)}",
    )


def linear_as_good(rows: pd.DataFrame) -> Evidence:
    """By Adam, the more favourable solver; in words also by plain gradient descent."""
    own = finals_of(rows, MULTICLASS)
    by_adam, by_sgd = (
        ((LINEAR, SQUARED, solver), (SOFTMAX, CROSS_ENTROPY, solver)) for solver in (ADAM, SGD)
    )
    return Evidence(
        "squared_error_with_linear_head",
        difference(own, "error", *by_adam),
        "test error with squared error of linear outputs and with cross-entropy of a softmax, both"
        f" trained by Adam: {each_set(own, 'error', *by_adam)}. Up to 1 point more counts as"
        f" comparable. By plain gradient descent: {each_set(own, 'error', *by_sgd)}",
    )


def better_calibrated(rows: pd.DataFrame) -> Evidence:
    own = finals_of(rows, MULTICLASS)
    pair = (SOFTMAX, CROSS_ENTROPY, SGD), (SOFTMAX, SQUARED, SGD)
    linear = (SOFTMAX, CROSS_ENTROPY, ADAM), (LINEAR, SQUARED, ADAM)
    return Evidence(
        "squared_error_is_better_calibrated",
        difference(own, "ece", *pair),
        "calibration error of a softmax with cross-entropy and with squared error:"
        f" {each_set(own, 'ece', *pair)}. Against linear outputs, cut to [0, 1] and normalised, by"
        f" Adam: {each_set(own, 'ece', *linear)}",
    )


def wrong_outputs(rows: pd.DataFrame, criterion: str) -> pd.DataFrame:
    """Confidently wrong outputs of softmax and sigmoids in float64, while exp(-s) is normal."""
    own = rows[(rows["part"] == LOGITS) & (rows["dtype"] == "float64")]
    own = own[(own["side"] == "wrong") & (own["criterion"] == criterion)]
    return own[(own["head"] != LINEAR) & own["away"].between(CONFIDENT, 700.0)]


def vanishes(rows: pd.DataFrame) -> Evidence:
    """By head and seed, the slope of a line through log |dL/da| against the logit."""
    own = wrong_outputs(rows, SQUARED)
    exponents = [
        np.polyfit(run["away"], np.log(run["true_slope"]), 1)[0]
        for _, run in own.groupby(["head", "seed"])
        if len(run) > 1
    ]
    interval = bootstrap_interval(exponents) if exponents else None
    return Evidence(
        "squared_error_gradient_vanishes",
        interval,
        f"slope of log |dL/da| of the true class against s, its distance below the largest logit,"
        f" from {CONFIDENT:g} to 700, of softmax and sigmoids at {len(exponents)} draws of the"
        f" other logits; at s = {own['away'].min():.3g} the gradient is at most"
        f" {own['true_slope'].max():.1e}",
    )


def stays(rows: pd.DataFrame) -> Evidence:
    own = wrong_outputs(rows, CROSS_ENTROPY)
    return Evidence(
        "cross_entropy_gradient_stays",
        bootstrap_interval(own["true_slope"]),
        f"|dL/da| of the true class at {len(own)} outputs of softmax and sigmoids with s from"
        f" {CONFIDENT:g} to 700: from {own['true_slope'].min():.6f} to"
        f" {own['true_slope'].max():.6f}; reverse mode is within {own['ulps'].max():.2g} ulps",
    )


def fused_is_stable(rows: pd.DataFrame) -> Evidence:
    own = rows[(rows["part"] == LOGITS) & (rows["criterion"] == CROSS_ENTROPY)]
    textbook = rows[(rows["part"] == LOGITS) & (rows["criterion"] == TEXTBOOK)]
    wrong = own["side"] == "wrong"
    astray = (own["slope"] - own["true_slope"]).abs()
    return Evidence(
        "fused_form_is_stable",
        share(own["finite"].eq(True)),
        f"value and gradient are finite at {own['finite'].sum()} of {len(own)} points, logits up to"
        f" {own['away'].max():g} on either side in float64 and float32; of the textbook form at"
        f" {textbook['finite'].sum()} of {len(textbook)}. The fused form's gradient is within"
        f" {own[wrong]['ulps'].max():.2g} ulps where the output is wrong; where it is right, p - 1"
        f" cancels, and is off by up to {astray[~wrong & (own['dtype'] == 'float64')].max():.1e} in"
        " float64, which does no harm to an update",
    )


def textbook_stops(claim: str, rows: pd.DataFrame, head: str) -> Evidence:
    own = rows[(rows["part"] == FORMS) & (rows["head"] == head)]
    stopped = own["diverged"].eq(True)
    textbook = own["criterion"] == TEXTBOOK
    words = [
        f"{stopped[run.index].sum()} of {len(run)} in {dtype}"
        for dtype, run in own[textbook].groupby("dtype")
    ]
    return Evidence(
        claim,
        share(stopped[textbook]) if textbook.any() else None,
        "runs on digits that end in NaN or infinity, at the best rate of the fused form:"
        f" {', '.join(words)}; with the fused form {stopped[~textbook].sum()} of"
        f" {(~textbook).sum()}",
    )


EXPERIMENT = Experiment(
    name="losses",
    title="Losses",
    question="Is cross-entropy better than squared error for sigmoid and softmax?",
    version=1,
    cases=cases,
    after=further_cases,
    measure=measure,
    tables=tables,
    figures=figures,
    findings=findings,
    method=f"""
    Perceptrons with ReLUs (digits 64-32-10, MNIST-1D 40-64-64-10, breast cancer 30-16-1), plain
    gradient descent or Adam with minibatches of 32, float64. Cross-entropy of sigmoids is binary,
    output by output, against one-hot targets. Each head with each loss has its own learning rate
    for each solver, tuned on validation splits with other seeds; a seed sets split, initial weights
    and order, so that differences are paired. Calibration error: the gap between confidence and
    accuracy in 15 bins; sigmoid outputs are divided by their sum, linear ones cut to [0, 1] first.
    Gradients at given logits: reverse mode against an enclosure of the derivative, for {CLASSES}
    classes whose other logits are drawn.
    """,
    limitations="""
    Small perceptrons on small data, a constant rate, a fixed number of updates. A linear
    head with cross-entropy is not offered, since it would be a softmax; the rescaled squared error
    that Hui & Belkin use for 42 and more classes is not needed for 10, nor offered. The calibration
    error of a few hundred test instances is biased upwards, for all alike. Probabilities of linear
    outputs are a convention. Training errors are compared after equally many updates: a longer run
    may end elsewhere. Intervals are for the mean over the data sets, and for these sets alone.
    """,
    order=44,
)

if __name__ == "__main__":
    main(EXPERIMENT)
