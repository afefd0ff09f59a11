"""A toy experiment in two stages: each seed climbs on from the best of its first steps."""

import json
import math
import os
import time
from pathlib import Path

from difflab.lab import Experiment, Table, grid, main

HERE = Path(__file__).parent


def cases(preset):
    return grid(part=["try"], start=[0, 1, 2], seed=preset.seeds)


def after(preset, rows):
    if (HERE / "undecided").exists():
        raise ValueError("no way to choose")
    with open(HERE / "asked", "a") as log:
        log.write(json.dumps([*rows.columns, str(rows["special"].dtype)]) + "\n")
    for seed in preset.seeds:
        own = rows[rows["seed"] == seed]
        best = int(own.loc[own["height"].idxmax(), "start"])
        yield {"part": "try", "start": best, "seed": seed}  # again: counts once
        yield {"part": "climb", "from": best, "rate": 0.5, "seed": seed}


def measure(case, rng):
    with open(HERE / "log", "a") as log:
        log.write(json.dumps([os.getpid(), *case.values()]) + "\n")
    begin = time.time()
    if (HERE / "slow").exists():
        time.sleep(0.1)
    with open(HERE / "spans", "a") as log:
        log.write(json.dumps([begin, time.time()]) + "\n")
    if (HERE / "broken").exists() and case.get("start") == 1:
        raise ValueError("slipped")
    yield {"height": rng.normal(), "special": math.nan, "seconds": time.perf_counter()}


def tables(rows):
    return [Table("Heights", "n = 2", rows.groupby("part").agg(height=("height", "max")))]


EXPERIMENT = Experiment(
    name="climb",
    title="Climbing",
    question="How high?",
    version=1,
    cases=cases,
    after=after,
    measure=measure,
    tables=tables,
    volatile=("seconds",),
)

if __name__ == "__main__":
    main(EXPERIMENT)
