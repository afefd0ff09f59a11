"""A toy experiment that logs each measurement and fails on demand."""

import json
import math
import os
import time
from pathlib import Path

from difflab.lab import (
    Code,
    Experiment,
    Figure,
    Formula,
    Picture,
    Section,
    Table,
    grid,
    looks,
    main,
    ratio,
)

HERE = Path(__file__).parent
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20"><text y="15">x</text></svg>'


class Deaf:
    """Its finalizer takes long: Python ignores exceptions in one, and so Ctrl-C."""

    def __del__(self):
        time.sleep(60)


def cases(preset):
    untimed = grid(method=["divide", "shift"], steps=[1, 2], layers=[[3, 1]], seed=preset.seeds)
    return [*untimed, {"method": "clock", "steps": 1, "layers": [], "seed": 0}]


def measure(case, rng):
    with open(HERE / "log", "a") as log:
        log.write(json.dumps([os.getpid(), case["method"], case["steps"], case["seed"]]) + "\n")
    if (HERE / "slow").exists():
        time.sleep(0.25)
    if (HERE / "busy").exists() and case["method"] == "shift":
        end = time.monotonic() + 60
        while time.monotonic() < end:
            pass
    if (HERE / "deaf").exists() and case["method"] == "shift":
        Deaf()
        time.sleep(60)
    if (HERE / "dies").exists() and case["method"] == "shift":
        os._exit(9)
    if (HERE / "broken").exists() and case["method"] == "shift" and case["steps"] == 2:
        raise ValueError("<b>no</b> halving today")
    left = 0.5 ** case["steps"] * (1 + rng.normal(scale=0.01))
    for place, value in enumerate([math.nan, math.inf, -math.inf, -0.0, 1 / 3]):
        yield {"place": place, "special": value, "left": left, "note": "a|b", "seconds": left}


def tables(rows):
    frame = rows.groupby(["method", "steps"]).agg(left=("left", "max"), note=("note", "first"))
    return [Table("Halvings", "n = 2; each `step` halves.", frame)]


def draw(figure):
    if (HERE / "no_figure").exists():
        raise ValueError("this figure cannot be drawn")
    if (HERE / "slow_figure").exists():
        (HERE / "drawing").touch()
        time.sleep(60)
    axes = figure.subplots()
    axes.plot([1, 2], [0.5, 0.25], label="left", **looks(["left"])["left"])
    axes.legend()


def figures(rows):
    return [
        Figure("falling", "What is left.", "A falling line", draw, size=(3, 2)),
        Picture("drawn", "Ready-made.", "The letter x", SVG),
    ]


def sections(rows):
    blocks = ["Two ways:\n- divide\n- shift", Formula(r"\frac{1}{2}"), Code("v1 = x < 2", "Trace.")]
    return [Section("On paper", blocks)]


def results(rows):
    sides = {"left": {"method": "divide"}, "right": {"method": "shift"}}
    return [ratio("as_much", rows, "left", **sides, by="steps", words="what is left")]


EXPERIMENT = Experiment(
    name="toy",
    title="Halving & more",
    question="How far does halving get?",
    version=1,
    cases=cases,
    measure=measure,
    sections=sections,
    tables=tables,
    figures=figures,
    results=results,
    method="Halve.",
    limitations="A toy.",
    volatile=("seconds",),
    timed=lambda case: case["method"] == "clock",
    seeded_by=("steps", "seed"),
)

if __name__ == "__main__":
    main(EXPERIMENT)
