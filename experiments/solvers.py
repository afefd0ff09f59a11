"""Which variation of minibatch gradient descent?

What flows: each solver's runs at every rate of its grid -> one rate for speed, one for the test
error -> updates until a training error, and test errors, paired by seed. Beside it, the time of an
update.

Invariant: solvers share split, initial weights and order, seed by seed, and each has its own rate.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
import pandas as pd
from apparatus import learning
from apparatus.learning import LEAST, TRAINING

from difflab import lab
from difflab.ir.tree import flatten
from difflab.lab import TIME_COLUMNS, Case, Experiment, Figure, Preset, Result, Row
from difflab.methods import METHODS
from difflab.networks import Network
from difflab.networks.solvers import SOLVERS
from difflab.networks.update import Update

NAMES = ["goal", "task", "data", "units", "updates", "solver"]
SPEED, ERROR, TIME = "speed", "error", "time"
FASTEST = ("late", "held_loss")
"""What the rate for speed minimises: updates until the threshold."""
GOALS = {SPEED: FASTEST, ERROR: LEAST}
ADAPTIVE = ["AdaGrad", "RMSProp", "Adam"]
LOWEST = {"MinibatchSGD": 0.025, "Momentum": 0.0025, "Nesterov": 0.0025,
          "AdaGrad": 0.0025, "RMSProp": 0.00025, "Adam": 0.00025}  # fmt: skip
RATES = 9
"""So many rates of each solver, each twice the one before."""
INPUTS = {"digits": 64, "mnist1d": 40, "mnist_5k": 784}
THRESHOLDS = {"digits": 0.05, "mnist1d": 0.45, "mnist_5k": 0.05}
"""The training error at which a run has arrived; MNIST-1D is harder."""
LENGTHS = {"digits": (240, 1500), "mnist1d": (800, 3000), "mnist_5k": (400, 800)}
"""Updates of a run for speed, and of one for the test error."""


def configurations(preset: Preset, goal: str) -> list[Case]:
    full = [("digits", 32), ("digits", 128), ("mnist1d", 64), ("mnist_5k", 32)]
    tasks = preset.choose(smoke=full[:1], quick=full[:1], full=full)
    divisor = preset.choose(smoke=8, quick=4, full=1) if goal == ERROR else 1
    return [
        {"goal": goal, "task": f"{data}, {units} units", "data": data, "units": units,
         "updates": LENGTHS[data][goal == ERROR] // divisor, "solver": solver}
        for data, units in tasks
        for solver in preset.choose(smoke=["MinibatchSGD", "Adam"], quick=SOLVERS, full=SOLVERS)
    ]  # fmt: skip


def cases(preset: Preset) -> list[Case]:
    seeds = range(preset.choose(smoke=1, quick=1, full=2))
    rounds = preset.choose(smoke=2, quick=5, full=15)
    kept = preset.choose(smoke=slice(3, 5), quick=slice(2, 8, 2), full=slice(None))

    def rates(own: Case) -> list[float]:
        return [LOWEST[own["solver"]] * 2.0**k for k in range(RATES)][kept]

    found = [own for goal in GOALS for own in configurations(preset, goal)]
    tasks = {own["task"]: {key: own[key] for key in ("task", "data", "units")} for own in found}
    clocks = [{"part": TIME, **own, "rounds": rounds} for own in tasks.values()]
    return [*learning.in_turn(learning.tuning_cases(found, rates, seeds)), *clocks]


def further(preset: Preset, rows: pd.DataFrame) -> list[Case]:
    return learning.in_turn(
        case
        for goal, least in GOALS.items()
        for case in learning.training_cases(rows, configurations(preset, goal), preset.seeds, least)
    )


def network(case: Case, solver: str, schedule: str = "constant") -> Network:
    """Two equally wide hidden layers of ReLUs; minibatches of 32."""
    net = learning.perceptron(INPUTS[case["data"]], [case["units"]] * 2, 10)
    net.solver = SOLVERS[solver](batch_size=32, schedule=schedule)
    return net


def measure(case: Case, rng: np.random.Generator) -> Iterator[Row]:
    return times(case) if case["part"] == TIME else run(case)


def run(case: Case) -> Iterator[Row]:
    """One run; those for speed are looked at often, and keep a constant rate."""
    fast, updates = case["goal"] == SPEED, case["updates"]
    options = {name: case[name] for name in ("part", "seed", "rate", "updates")}
    known = learning.examples(case["data"], case["part"], case["seed"])
    net = network(case, case["solver"], "constant" if fast else "cosine")
    rows = [
        *learning.train(net, known, every=max(1, updates // (80 if fast else 18)), whole=fast,
                        threshold=THRESHOLDS[case["data"]] if fast else None, **options)
    ]  # fmt: skip
    if fast:  # a run that never arrives counts as twice its length where rates are chosen
        last = rows[-1]
        del last["settled"]
        last["reached"] = last.get("reached", np.nan)
        last["late"] = 2 * updates if np.isnan(last["reached"]) else last["reached"]
    kept = np.unique(np.geomspace(1, len(rows), 16).round().astype(int)) - 1
    yield from rows[-1:] if case["part"] == learning.TUNING else [rows[i] for i in kept]


def times(case: Case) -> Iterator[Row]:
    """The time of an update by every solver, side by side, and the arrays that it remembers."""
    learn, _ = learning.examples(case["data"], TRAINING, 0)
    batch = [learn.X[:32].astype(np.float32), np.eye(10, dtype=np.float32)[learn.y[:32]]]
    calls = {}
    for name in SOLVERS:
        net = network(case, name)
        arrays = flatten(net.parameters)[0]
        update = Update(net, METHODS["reverse"], net.parameters, batch)
        calls[name] = functools.partial(update, arrays, batch, net.solver.memory(arrays), 1)
    for row in lab.interleave(calls, rounds=case["rounds"]).to_dict("records"):
        name = row.pop("contestant")
        yield {"solver": name, "remembered": SOLVERS[name.split()[0]].remembered, **row}


def results(rows: pd.DataFrame) -> list[Result]:
    faster = {
        "momentum_needs_fewer_updates": ("Momentum", "MinibatchSGD"),
        "nesterov_needs_fewer_updates": ("Nesterov", "Momentum"),
        "adagrad_needs_fewer_updates": ("AdaGrad", "MinibatchSGD"),
        "adam_needs_fewer_updates": ("Adam", "MinibatchSGD"),
    }
    ends = {"part": TRAINING, "last": True}
    told = {goal: learning.badges(rows[rows["goal"] == goal], NAMES, by)
            for goal, by in GOALS.items()}  # fmt: skip
    return [
        *[
            lab.ratio(claim, rows, "reached", left={"solver": one}, right={"solver": other},
                      where=ends | {"goal": SPEED}, by="task", badges=told[SPEED],
                      words=f"updates until the training error is at the threshold, {one} to"
                      f" {other}, each at the rate that needs fewest")
            for claim, (one, other) in faster.items()
        ],
        lab.paired("adaptive_generalises_worse", rows, "held_error", left={"solver": ADAPTIVE},
                   right={"solver": "MinibatchSGD"}, where=ends | {"goal": ERROR}, by="task",
                   scale=100, badges=told[ERROR],
                   words=f"test error, mean of {', '.join(ADAPTIVE)} minus plain descent's, each at"
                   " the rate of its least validation error"),
        lab.timed("adam_costs_less_than_twice", rows, where={"part": TIME, "solver": "Adam"},
                  by="task",
                  words="time of an update of minibatches of 32, relative to plain descent's"),
    ]  # fmt: skip


def figures(rows: pd.DataFrame) -> list[Figure]:
    seeds = rows.loc[rows["part"] == TRAINING, "seed"].nunique()
    return [
        lab.curves(
            rows, "descent", "update", "train_error", "solver", by="task", order=list(SOLVERS),
            scale=100, logarithms="xy", foot=f"{seeds} seeds; minibatches of 32",
            where={"part": TRAINING, "goal": SPEED}, labels=("updates", "training error (%)"),
            caption="Each solver at its rate for speed.",
            alt="Falling curves of the training error, one for each solver",
            finding=f"Fewest updates: {best(rows)}",
        ),
    ]  # fmt: skip


def best(rows: pd.DataFrame) -> str:
    """Which solver needs the least median of updates, and on which tasks."""
    last = lab.chosen(rows, {"part": TRAINING, "goal": SPEED, "last": True})
    medians = last.groupby(["task", "solver"])["reached"].median().dropna()
    found: dict[str, list[str]] = {}
    for task, solver in medians.groupby("task").idxmin():
        found.setdefault(solver, []).append(task.removesuffix(" units"))
    return "; ".join(f"{solver} ({'; '.join(tasks)})" for solver, tasks in found.items())


EXPERIMENT = Experiment(
    name="solvers", title="Solvers", version=1, order=53,
    question="Which variation of minibatch gradient descent?",
    cases=cases, after=further, measure=measure, results=results, figures=figures,
    volatile=TIME_COLUMNS, timed=lambda case: case["part"] == TIME,
    method=f"""
    Two hidden layers of ReLUs, softmax and cross-entropy, minibatches of 32, float32; every solver
    with its usual constants (momentum 0.9; RMSProp 0.9; Adam 0.9 and 0.999). {RATES} rates of each,
    a factor of 2 apart, tuned on a validation split with other seeds, twice: for speed (a constant
    rate; fewest updates until the training error is at the threshold: 5 %, on MNIST-1D 45 %; a run
    that never arrives counts as twice its length), and for the validation error after a longer run
    whose rate falls to 0 along a cosine. A seed sets split, initial weights and order for all.
    """,
    limitations="""
    Small perceptrons on small data; momentum and decay constants are not tuned. No regularisation:
    test errors compare networks that mostly fit all training data. The validation error of a few
    hundred instances chooses the rate, so near ties are chosen by chance.
    """,
)  # fmt: skip

if __name__ == "__main__":
    lab.main(EXPERIMENT)
