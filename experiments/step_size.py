"""What is the best step of a difference quotient, and can it be predicted?

For each component of a function at a point, each stencil is run at steps over all magnitudes, and
its error is held against the truth. The curve has the shape of a V: rounding falls with the step,
truncation rises. Both branches, and the step at which they meet, are predicted from the program
alone: exact higher derivatives, and a running analysis of its rounding errors.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from _step_size_page import (
    MULTIPLES,
    by_function,
    complex_rows,
    figures,
    inner,
    labelled,
    measured,
    ratios_of_dtypes,
    tables,
)
from apparatus.step_size_curves import (
    LARGEST,
    Best,
    Problem,
    Quotients,
    best_of,
    drawn,
    problems,
    refused,
    slope_between,
)

from difflab.accuracy.zoo import ZOO
from difflab.errors import DomainError
from difflab.lab import (
    Case,
    Evidence,
    Experiment,
    Preset,
    Row,
    bootstrap_interval,
    grid,
    main,
    share_interval,
)
from difflab.methods import Numerical
from difflab.methods.differences.prediction import Prediction, Predictor

EVERYTHING = ("logistic_map_closed", "logistic_map_loop")
"""Shown over all steps, by all stencils; of the others, these two stencils are kept as curves:"""
SHOWN = (("forward", 1), ("central", 2))
SMALLEST = {"float64": 1e-14, "float32": 1e-7}
SMALLEST_OF_ALL = 1e-20
TINIEST = 10.0 ** -np.arange(20.0, 201.0, 20.0)
"""The steps along the imaginary axis that no difference could take."""


# Measuring ----------------------------------------------------------------------------------------


def cases(preset: Preset) -> list[Case]:
    names = [name for name, entry in ZOO.items() if entry.tags & {"scalar", "multivariate"}]
    few = [*EVERYTHING, "sine", "sqrt_difference", "baydin", "rosenbrock"]
    names = preset.choose(smoke=few, quick=names, full=names)
    size = {
        "points": preset.choose(smoke=1, quick=1, full=4),
        "components": preset.choose(smoke=1, quick=1, full=3),
        "each": preset.choose(smoke=4, quick=8, full=16),
        "orders": preset.choose(smoke=[2, 4], quick=[2, 4], full=[2, 4, 6, 8]),
    }
    kinds = preset.choose(smoke=["ordinary"], quick=["ordinary"], full=["ordinary", "hard"])
    return [
        *[dict(case, **size) for case in grid(function=names, dtype=["float64"], kinds=[kinds])],
        *[
            dict(case, **size)
            for case in grid(function=names, dtype=["float32"], kinds=[["ordinary"]])
        ],
    ]


def stencils(problem: Problem, orders: list[int]) -> list[tuple[str, int]]:
    """Central ones of some orders, and others; fewer in float32 and at hard points."""
    if problem.kind != "ordinary":
        return list(SHOWN)
    if problem.dtype == np.float32:
        return [("forward", 1), ("central", 2), ("central", 4)]
    found = [("forward", 1), ("forward", 2), ("forward", 4), ("backward", 1)]
    found += [("central", k) for k in ((2, 4, 6, 8) if problem.name in EVERYTHING else orders)]
    if "scalar" in ZOO[problem.name].tags:
        found.append(("richardson", 2))
    return [*found, ("complex", 2)]


def measure(case: Case, rng: np.random.Generator) -> Iterator[Row]:
    everything = case["function"] in EVERYTHING and case["dtype"] == "float64"
    smallest = SMALLEST_OF_ALL if everything else SMALLEST[case["dtype"]]
    steps = drawn(smallest, 8, case["each"], rng)
    predictors: dict[tuple[int, int], Predictor] = {}
    found = problems(*[case[key] for key in ("function", "dtype", "kinds", "points", "components")])
    for k, problem in enumerate(found):
        about = {"point": problem.number, "kind": problem.kind, "component": problem.component}
        about["slope"] = problem.slope
        if problem.stationary:
            yield about | {"part": "summary", "status": "stationary"}
            continue
        quotients = Quotients(problem, steps)
        key = problem.number, problem.position
        if key not in predictors:
            predictors[key] = Predictor(problem.graph, problem.position)
        for stencil, order in stencils(problem, case["orders"]):
            about |= {"stencil": stencil, "order": order}
            if stencil == "complex" and (reason := refused(problem)):
                yield about | {"part": "summary", "status": "refused", "reason": reason}
                continue
            errors = quotients.errors(stencil, order)
            prediction = predicted(predictors[key], problem, stencil, order)
            yield about | summary(problem, quotients, errors, stencil, order, prediction)
            kept = k == 0 and case["dtype"] == "float64"
            if kept and (everything or (stencil, order) in SHOWN):
                every = 1 if everything else 2 if case["function"] in MULTIPLES else 4
                yield from (about | row for row in curve(quotients, errors, prediction)[::every])


def predicted(
    predictor: Predictor, problem: Problem, stencil: str, order: int
) -> Prediction | None:
    if stencil == "richardson":
        return None
    try:
        return predictor(problem.arrays, problem.index, stencil, order, largest=LARGEST)
    except DomainError:
        return None


def curve(quotients: Quotients, errors: Any, prediction: Prediction | None) -> list[Row]:
    rows = []
    for h, error in zip(quotients.steps.centres.tolist(), errors.tolist(), strict=True):
        row = {"part": "curve", "step": h, "error": error}
        if prediction is not None:
            row["truncation"] = float(prediction.truncation(h))
            row["rounding"] = float(prediction.rounding(h))
        rows.append(row)
    return rows


def summary(
    problem: Problem,
    quotients: Quotients,
    errors: Any,
    stencil: str,
    order: int,
    prediction: Prediction | None,
) -> Row:
    """The best step as measured, as predicted and by the rule of thumb, and the curve's shape."""
    steps = quotients.steps
    best = best_of(errors, steps, problem.ulp)
    row: Row = {"part": "summary", "status": "ok"}
    if best is None:
        return row | {"status": "not finite" if np.any(np.isnan(errors)) else "exact"}
    row |= {
        "step": best.step,
        "error": best.error,
        "at_end": best.bin >= len(steps.decades) - 3,
        "decades": float(np.sum(best.curve <= math.log10(10 * best.error))) / 8,
    }
    if stencil == "complex":
        assert prediction is not None
        tiny = quotients.problem.along_imaginary_axis(TINIEST)
        row["error_predicted"] = max(prediction.floor, problem.ulp / 12**0.5)
        row["error_tiny"] = float(quotients.root_mean_square(tiny[None, :])[0])
        return row
    if prediction is None and stencil != "richardson":
        row["status"] = "not predicted"
    if prediction is not None:
        row["step_predicted"] = prediction.step
        row["error_predicted"] = max(prediction.error, problem.ulp / 12**0.5)
        row["loss"] = best.loss(steps.decades, prediction.step)
    if stencil != "richardson":
        thumb = Numerical(stencil, order).steps(np.array([problem.x]))[0]  # type: ignore[arg-type]
        row["step_thumb"] = min(float(thumb), LARGEST)
        row["loss_thumb"] = best.loss(steps.decades, row["step_thumb"])
        row |= slopes(errors, best, quotients)
    return row


def slopes(errors: Any, best: Best, quotients: Quotients) -> Row:
    """The exponents of both branches of the V, well away from its bottom."""
    steps = quotients.steps
    return {
        "left": slope_between(errors, steps, 1e-3 * best.step, 0.1 * best.step),
        "right": slope_between(errors, steps, 5 * best.step, min(500 * best.step, LARGEST)),
    }


# Findings -----------------------------------------------------------------------------------------


def findings(rows: pd.DataFrame) -> list[Evidence]:
    return [
        *branches(rows, "forward", 1),
        *branches(rows, "central", 2),
        scaling(rows, "forward", 1),
        scaling(rows, "central", 2),
        predicted_share(rows, "forward", 1),
        predicted_share(rows, "central", 2),
        all_predicted(rows),
        no_v(rows),
    ]


def branches(rows: pd.DataFrame, stencil: str, order: int) -> Iterator[Evidence]:
    """Both branches of the V, on either side of the best step."""
    own = inner(measured(rows, stencil, order))
    for branch, side in (("rounding", "left"), ("truncation", "right")):
        exponents = own[side].dropna()
        yield Evidence(
            f"{branch}_branch_of_{stencil}_differences",
            bootstrap_interval(exponents) if len(exponents) else None,
            f"median of the exponents of {len(exponents)} curves {side} of the best step; half of"
            f" them lie between {exponents.quantile(0.25):.3f} and {exponents.quantile(0.75):.3f}",
        )


def scaling(rows: pd.DataFrame, stencil: str, order: int) -> Evidence:
    exponents = ratios_of_dtypes(rows, stencil, order)["exponent"]
    interval = bootstrap_interval(exponents, statistic=np.mean)
    return Evidence(
        f"best_step_of_{stencil}_differences",
        interval,
        f"from float64 to float32 the measured best step grows by the factor by which eps"
        f" grows, to the power {interval} (mean over {interval.n} functions)",
    )


def predicted_share(rows: pd.DataFrame, stencil: str, order: int) -> Evidence:
    own = measured(rows, stencil, order)
    functions = by_function(own)
    interval = share_interval(functions)
    inside = inner(own)
    missed = ", ".join(functions.index[~functions]) or "none"
    return Evidence(
        f"predicted_step_of_{stencil}_differences",
        interval,
        f"in every component measured, {functions.sum()} of {len(functions)} functions; missed:"
        f" {missed}. Of {len(own)} components, {len(inside)} have their best"
        f" step inside the range, and {int(inside['both'].sum())} of these are predicted. At the"
        f" predicted step the error is {own['loss'].median():.2f} times the least (median; 95 %"
        f" quantile {own['loss'].quantile(0.95):.2f})",
    )


def all_predicted(rows: pd.DataFrame) -> Evidence:
    own = labelled(rows)
    own = own[(own["status"] == "ok") & own["step_predicted"].notna()]
    own = own[own["at"] == "float64"]
    interval = bootstrap_interval(own["loss_thumb"], over=own["loss"])
    gain = bootstrap_interval(inner(own)["loss_thumb"], over=inner(own)["loss"])
    return Evidence(
        "prediction_beats_the_rule_of_thumb",
        gain,
        f"over all stencils, the error at the rule's step is {gain} times that at the"
        f" predicted step (median of {gain.n} curves with a best step inside the range; of all"
        f" {interval.n} curves {interval.estimate:.2f}). The rule loses a factor"
        f" {own['loss_thumb'].quantile(0.95):.3g} to the least error at its 95 % quantile, the"
        f" prediction {own['loss'].quantile(0.95):.3g}",
    )


def no_v(rows: pd.DataFrame) -> Evidence:
    own = complex_rows(rows)
    kept = own["error_tiny"] <= 10 * np.maximum(own["error_predicted"], own["error"])
    names = ", ".join(own["function"][~kept].unique()) or "none"
    return Evidence(
        "complex_step_has_no_v",
        share_interval(kept),
        f"for steps from 1e-20 down to 1e-200 the error stays within a factor 10 of the"
        f" least, or of the predicted rounding, in {kept.sum()} of {len(kept)} components; the"
        f" others: {names}",
    )


EXPERIMENT = Experiment(
    name="step_size",
    title="Step size",
    question="What is the best step of a difference quotient, and can it be predicted?",
    version=1,
    cases=cases,
    measure=measure,
    tables=tables,
    figures=figures,
    findings=findings,
    method="""
    Functions are those of the zoo with one number as the value, at ordinary points; a function's
    first components. Steps are drawn at random in bins of an eighth of a decade, and an error is
    the root mean square over a bin, against an enclosure of the truth. The best step is where the
    geometric mean over three neighbouring bins is least. Nothing is predicted from quotients: the
    truncation error is a series of exact derivatives by nested forward mode, the rounding error a
    running analysis of the program (the typical rounding of each operation, times its cotangent),
    of x + kh, and of the stencil. A step is predicted if it is within a factor 3 of the measured
    one, an error within a factor 10; a function, if all its components are.
    """,
    limitations="""
    Steps are at most 0.1: a polynomial without truncation error has its best step there, and so
    has its prediction; findings count such curves apart. Components whose derivative is zero are
    left out, because a quotient that is lost in rounding is right there. Near the best step curves
    are flat, and the least of a noisy one is uncertain by about a factor 1.5: the loss, the error
    at the predicted step over the least, is the fairer figure. Claims are judged at ordinary
    points, with which the predictor was developed. At hard ones (the full preset) roundings are
    not spread evenly: values saturate or cancel, or come in stairs; the table counts them apart.
    """,
    order=25,
)

if __name__ == "__main__":
    main(EXPERIMENT)
