"""What is the best step of a difference quotient, and can it be predicted?

Rounding falls with the step, truncation rises. Both branches, and where they meet, are predicted
from the program alone. A row of the part "function" averages its components and points.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

import numpy as np
import pandas as pd
from apparatus.step_size_curves import LARGEST, Problem, Quotients, drawn, problems
from matplotlib.figure import Figure as Canvas

from difflab import lab
from difflab.accuracy.zoo import ZOO
from difflab.errors import DomainError
from difflab.lab import Case, Experiment, Figure, Preset, Result, Row, Section, Slider
from difflab.methods import Numerical
from difflab.methods.differences.prediction import Prediction

Array = np.ndarray
SHOWN = ("logistic_map_closed", "logistic_map_loop")  # whose curves are kept, from 1e-20
VEE = ("forward 1", "central 2", "central 4", "central 8", "complex step")
CLAIMED = {"forward": "forward 1", "central": "central 2"}
SMALLEST = {"float64": 1e-14, "float32": 1e-7}
TINIEST = 10.0 ** -np.arange(20.0, 201.0, 20.0)  # along the imaginary axis
STEP_FACTOR, ERROR_FACTOR = 3.0, 10.0
MEANS = ("step", "step_predicted", "error", "error_predicted", "loss", "loss_thumb")


def cases(preset: Preset) -> list[Case]:
    names = [name for name, entry in ZOO.items() if entry.tags & {"scalar", "multivariate"}]
    few = [*SHOWN, "sine", "sqrt_difference", "baydin", "rosenbrock"]
    return lab.grid(
        function=preset.choose(smoke=few, quick=sorted({*few, *names[::4]}), full=names),
        kinds=[["ordinary", *preset.choose(smoke=[], quick=[], full=["hard"])]],
        points=[preset.choose(smoke=1, quick=1, full=4)],
        components=[preset.choose(smoke=1, quick=1, full=3)],
        each=[preset.choose(smoke=4, quick=8, full=16)],
    )


def stencils(problem: Problem) -> list[tuple[str, int]]:
    """All of them for the functions that are shown; fewer in float32 and at hard points."""
    pair = [("forward", 1), ("central", 2)]
    if problem.kind != "ordinary" or problem.x.dtype == np.float32:
        return pair
    higher = [("central", order) for order in ([4, 6, 8] if problem.name in SHOWN else [4, 8])]
    found = [*pair, ("forward", 2), ("forward", 4), *higher, ("complex", 2)]
    return found if problem.takes_complex else found[:-1]


def measure(case: Case, rng: np.random.Generator) -> Iterator[Row]:
    found: dict[tuple[str, str], list[Row]] = {}
    for dtype, smallest in SMALLEST.items():
        whole = dtype == "float64" and case["function"] in SHOWN
        steps = drawn(1e-20 if whole else smallest, 8, case["each"], rng)
        kinds = case["kinds"] if dtype == "float64" else ["ordinary"]
        few = (case["points"], case["components"])
        for problem in problems(case["function"], dtype, kinds, *few):
            quotients = Quotients(problem, *steps)
            for stencil, order in stencils(problem):
                name = "complex step" if stencil == "complex" else f"{stencil} {order}"
                errors, prediction = quotients.errors(stencil, order), None
                with suppress(DomainError):  # at a kink no step is best
                    prediction = problem.predict(stencil, order)
                about = {"at": (problem.number, problem.position, problem.index), "dtype": dtype}
                own = found.setdefault((problem.kind, name), [])
                own.append(about | summary(quotients, errors, stencil, order, prediction))
                if whole and name in VEE and len(own) == 1 and prediction:
                    for h, error in zip(quotients.centres[::2], errors[::2], strict=True):
                        yield {"part": "curve", "kind": problem.kind, "stencil": name,
                               "step": float(h), "error": float(error),
                               "truncation": float(prediction.truncation(h)),
                               "rounding": float(prediction.rounding(h))}  # fmt: skip
    for (kind, name), rows in found.items():
        if averages := averaged(rows):
            yield {"part": "function", "kind": kind, "stencil": name} | averages


def summary(
    quotients: Quotients, errors: Array, stencil: str, order: int, prediction: Prediction | None
) -> Row:
    """The best step as measured, as predicted and by the rule of thumb, and the curve's shape."""
    problem, smooth = quotients.problem, quotients.smoothed(errors)
    if smooth is None:  # the error is 0 at every step, or never a number
        return {}
    k = int(np.argmin(smooth))
    best, error = float(quotients.centres[k]), float(10.0 ** smooth[k])
    rounding = problem.ulp / 12**0.5

    def loss(step: float) -> float:
        """The error at a step, over the least error."""
        at = float(np.interp(np.log10(step), quotients.decades, smooth))
        return float(10.0 ** (at - np.log10(error)))

    row: Row = {"step": best, "error": error, "both": False, "inside": k < len(smooth) - 3}
    if prediction is not None:
        row["step_predicted"], row["loss"] = prediction.step, loss(prediction.step)
        row["error_predicted"] = max(prediction.error, rounding)
        near = within(prediction.step / best, STEP_FACTOR)
        row["both"] = near and within(row["error_predicted"] / error, ERROR_FACTOR)
    if stencil == "complex":
        assert prediction is not None
        least = max(prediction.floor, rounding, error)
        tiny = quotients.imaginary_errors(TINIEST[None, :])[0]
        return row | {"flat": bool(tiny <= ERROR_FACTOR * least)}
    thumb = Numerical(stencil, order).steps(np.array([problem.x]))[0]  # type: ignore[arg-type]
    row["loss_thumb"] = loss(min(float(thumb), LARGEST))
    row["left"] = quotients.slope(errors, 1e-3 * best, 0.1 * best)
    row["right"] = quotients.slope(errors, 5 * best, min(500 * best, LARGEST))
    return row


def within(ratio: float, factor: float) -> bool:
    return abs(math.log(ratio)) <= math.log(factor)


def averaged(rows: Sequence[Row]) -> Row:
    """Of a function's components: geometric means over those with a best step inside the range."""
    own = [row for row in rows if row["dtype"] == "float64" and "step" in row]
    if not own:
        return {}
    inside = [row for row in own if row["inside"]]
    found = {"measured": len(own), "inside": len(inside)}
    if "flat" in own[0]:
        return found | {"flat": all(row["flat"] for row in own)}
    found["both"] = all(row["both"] for row in own)
    complete = [row for row in inside if "loss" in row and math.isfinite(row["loss_thumb"])]
    for name in ("left", "right"):
        found[name] = mean_of(row[name] for row in inside if math.isfinite(row[name]))
    for name in MEANS:
        found[name] = math.exp(mean_of(math.log(row[name]) for row in complete))
    single = {row["at"]: row["step"] for row in rows
              if row["dtype"] == "float32" and row.get("inside")}  # fmt: skip
    growth = [math.log(single[row["at"]] / row["step"]) for row in inside if row["at"] in single]
    found["exponent"] = mean_of(growth) / math.log(2.0**29)  # eps of float32, in those of float64
    return found


def mean_of(values: Iterable[float]) -> float:
    known = list(values)
    return float(np.mean(known)) if known else math.nan


def results(rows: pd.DataFrame) -> list[Result]:
    of = {name: {"part": "function", "stencil": CLAIMED[name]} for name in CLAIMED}
    return [
        *[lab.mean(f"{branch}_branch_of_{name}_differences", rows, side, statistic="median",
                   where=of[name], by="kind", unit="function", missing="without this branch",
                   words=f"exponent of the error {side} of the best step, the median function")
          for name in CLAIMED for branch, side in (("rounding", "left"), ("truncation", "right"))],
        *[lab.mean(f"best_step_of_{name}_differences", rows, "exponent", by=None, unit="function",
                   where=of[name] | {"kind": "ordinary"}, missing="without a best step",
                   words="from float64 to float32 the best step grows with eps to this power")
          for name in CLAIMED],
        *[lab.share(f"predicted_step_of_{name}_differences", rows, "both", by="kind",
                    unit="function", where=of[name],
                    words="functions of which every component is predicted")
          for name in CLAIMED],
        lab.mean("prediction_beats_the_rule_of_thumb", rows, "loss_thumb", over="loss",
                 by="stencil", unit="function", missing="without a best step",
                 where={"part": "function", "kind": "ordinary", "stencil": [*CLAIMED.values()]},
                 words="error at the rule's step over that at the predicted one"),
        lab.share("complex_step_has_no_v", rows, "flat", by=None, unit="function",
                  where={"part": "function", "stencil": "complex step"},
                  words="from 1e-20 down to 1e-200 the error of every component stays within a"
                  " factor 10 of the least, or of the predicted rounding"),
    ]  # fmt: skip


def figures(rows: pd.DataFrame) -> list[Figure]:
    own = lab.chosen(rows, {"part": "function", "kind": "ordinary"}).dropna(subset=["loss"])
    lines = logistic_curves(rows)
    best = lines.loc[lines.groupby("stencil")["error"].idxmin()].set_index("stencil")["step"]
    near = np.abs(np.log(own["step_predicted"] / own["step"])) <= math.log(STEP_FACTOR)
    return [
        Figure("vee", "The derivative of the logistic map's fourth iterate at x = 0.2, 9.0660864:"
               " the measured error (markers), the predicted rounding (dashed) and truncation"
               " (dotted). Below 1e-17 the step is lost in x; a polynomial of degree 8 has no"
               " truncation at order 8.",
               "Error against step on logarithmic axes, V-shaped except for the complex step",
               lambda canvas: draw_vee(canvas, lines), (8.0, 4.8), foot="logistic map, float64",
               finding=f"The best step is {best['forward 1']:.0e} for forward and"
               f" {best['central 2']:.0e} for central differences here; over the zoo, {near.sum()}"
               f" of {len(own)} are predicted within a factor {STEP_FACTOR:g}"),
    ]  # fmt: skip


def sections(rows: pd.DataFrame) -> list[Section]:
    lines = logistic_curves(rows)
    errors = lines[lines["step"] > 1e-11].pivot(index="step", columns="stencil", values="error")
    return [Section("Try it", [
        "Choose the step `h` of both differences: right of the best one the remainder of the Taylor"
        " series grows, left of it the rounding of `f(x + h)` is divided by ever less.",
        Slider("step", "The error of the derivative of the logistic map's fourth iterate at 0.2,"
               " 9.0660864, measured; both axes are logarithmic.",
               "Two V-shaped curves of the error, with a marker on each", "step h",
               [*errors.index], {name: [*errors[CLAIMED[name]]] for name in CLAIMED}, "xy"),
    ])]  # fmt: skip


def logistic_curves(rows: pd.DataFrame) -> pd.DataFrame:
    own = lab.chosen(rows, {"part": "curve", "function": "logistic_map_loop", "kind": "ordinary"})
    return own[own["error"] > 0]


def draw_vee(canvas: Canvas, lines: pd.DataFrame) -> None:
    panel = canvas.subplots()
    for name, look in lab.looks(VEE).items():
        own = lines[lines["stencil"] == name]
        panel.plot(own["step"], own["error"].clip(lower=1e-17), look["marker"], label=name,
                   color=look["color"], markersize=4, alpha=0.6, rasterized=True)  # fmt: skip
        kept = own[own["step"] > 1e-16]
        panel.plot(kept["step"], kept["rounding"], "--", color=look["color"], linewidth=0.9)
        kept = kept[kept["truncation"] > 1e-17]
        panel.plot(kept["step"], kept["truncation"], ":", color=look["color"], linewidth=1.3)
    panel.set(xscale="log", yscale="log", xlabel="step h", ylim=(1e-17, 1e3),
              ylabel="error of the derivative (absolute)")  # fmt: skip
    panel.legend(loc="center left")


EXPERIMENT = Experiment(
    name="step_size", title="Step size", version=2, order=25,
    question="What is the best step of a difference quotient, and can it be predicted?",
    cases=cases, measure=measure, results=results, figures=figures, sections=sections,
    method="""
    Functions of the zoo with one number as the value; their first components. Steps are drawn at
    random in bins of an eighth of a decade, and an error is the root mean square over a bin,
    against an enclosure of the truth; the best step is where the geometric mean over three bins is
    least. Truncation is predicted by exact derivatives (nested forward mode), rounding by a running
    analysis of the program, of x + kh, and of the stencil: a function is predicted if the step of
    every component is within a factor 3, its error within 10. The rule of thumb is
    eps^(1/(p+1)) max(|x|, 1).
    """,
    limitations="""
    Steps are at most 0.1: a polynomial without truncation has its best step there, and exponents
    and losses leave it out, like components whose derivative is zero: lost in rounding, a quotient
    is right there. Near the best step curves are flat, and the least of a noisy one is uncertain by
    a factor 1.5. The predictor was developed with ordinary points; hard ones saturate or cancel.
    """,
)  # fmt: skip

if __name__ == "__main__":
    lab.main(EXPERIMENT)
