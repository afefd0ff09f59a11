"""Does squared error do what it is for?

The share of the variance that networks of none to four hidden layers explain on held-out instances.
Beside it what squared error is known for: linear least squares, and the conditional mean.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from apparatus import learning
from apparatus.learning import TRAINING, TUNING

from difflab.lab import Case, Experiment, Figure, Preset, Result, Row, curves, generator, main
from difflab.lab.results import chosen, every, mean, paired
from difflab.networks import Adam, MinibatchSGD, Network, SquaredError, load
from difflab.networks.data import Part, Standardisation

LEAST_SQUARES, SKEWED = "least squares", "skewed"
FRIEDMAN, DIABETES, NO_LAYER = "friedman1", "diabetes", "linear"
SETTINGS = ["data", "depth", "activation"]
DEPTHS, ACTIVATIONS, UNITS = [1, 2, 4], ["relu", "tanh", "sigmoid"], 32
PENALTIES, RATES = [0.0, 0.01, 0.1, 1.0], [1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03]
SCALE = 5.0
"""Of the exponential noise: its mean; its median is log 2 times as large."""


def friedman(rng: np.random.Generator, count: int, skewed: bool = False) -> tuple[Part, np.ndarray]:
    """Friedman's function of ten inputs with noise, and its values without."""
    X = rng.random((count, 10))
    curved = 10 * np.sin(np.pi * X[:, 0] * X[:, 1]) + 20 * (X[:, 2] - 0.5) ** 2
    clean = curved + 10 * X[:, 3] + 5 * X[:, 4]
    noise = rng.exponential(SCALE, count) if skewed else rng.normal(size=count)
    return Part(X, clean + noise), clean


def parts(case: Case) -> tuple[Part, Part]:
    """What is learnt from and what is judged on, all standardised by the former."""
    tuning, seed = case["part"] == TUNING, case["seed"]
    if case["data"] == DIABETES:
        split = load(DIABETES).split(1000 * tuning + seed, validation=0.2 if tuning else 0.0)
        learn, held = split.train, split.validation if split.validation is not None else split.test
    else:
        rng = generator("regression", "tuning" if tuning else "training", seed)
        learn, held = (friedman(rng, count)[0] for count in (case["size"], 1000))
    return scaled(learn, learn), scaled(held, learn)


def scaled(part: Part, by: Part) -> Part:
    return Part(Standardisation.of(by.X)(part.X), Standardisation.of(by.y)(part.y))


def configurations(preset: Preset) -> list[Case]:
    same = {"size": preset.choose(smoke=100, quick=500, full=1000),
            "updates": preset.choose(smoke=40, quick=400, full=2500)}  # fmt: skip
    nets = [(0, NO_LAYER), *[(depth, name) for depth in DEPTHS for name in ACTIVATIONS]]
    return [
        {"data": data, "depth": depth, "activation": activation, "l2": l2} | same
        for data in (FRIEDMAN, DIABETES)
        for depth, activation in nets
        for l2 in preset.choose(smoke=[0.01], quick=[0.01], full=PENALTIES)
    ]


def cases(preset: Preset) -> list[Case]:
    rates = preset.choose(smoke=RATES[4:5], quick=RATES[2:5:2], full=RATES)
    seeds = range(preset.choose(smoke=1, quick=1, full=2))
    updates = preset.choose(smoke=300, quick=2000, full=10_000)
    alone = ((LEAST_SQUARES, FRIEDMAN), (LEAST_SQUARES, DIABETES), (SKEWED, FRIEDMAN))
    return learning.tuning_cases(configurations(preset), rates, seeds) + [
        {"part": part, "data": data, "seed": seed, "size": 500, "updates": updates}
        for part, data in alone
        for seed in preset.seeds
    ]


def measure(case: Case, rng: np.random.Generator) -> Row:
    alone = {LEAST_SQUARES: descended, SKEWED: between_median_and_mean}
    return alone.get(case["part"], trained)(case)


def network(depth: int, activation: str, l2: float, dtype: str) -> Network:
    net = learning.perceptron(10, [UNITS] * depth, 1, activation, head="identity", dtype=dtype)
    net.loss = SquaredError(l2=l2)
    return net


def trained(case: Case) -> Row:
    net = network(case["depth"], case["activation"], case["l2"], "float32")
    net.solver = Adam()
    options = {name: case[name] for name in ("part", "seed", "rate", "updates")}
    *_, last = learning.train(net, parts(case), every=max(case["updates"] // 24, 1), **options)
    return {**last, "r2": 1 - last["held_error"], "hidden": case["depth"] > 0}


def descended(case: Case) -> Row:
    """Gradient descent on all instances at once at the rate 1/L, against the normal equations'
    solution: each update leaves at most 1 - mu/L of the distance, with mu and L the least and the
    largest eigenvalue of the Hessian."""
    learn, _ = parts(case)
    A = np.column_stack([learn.X, np.ones(len(learn.X))])
    exact = np.linalg.lstsq(A, learn.y, rcond=None)[0]
    least, *_, largest = np.linalg.eigvalsh(A.T @ A / len(A))
    net = network(0, NO_LAYER, 0.0, "float64")
    net.solver = MinibatchSGD(learning_rate=float(1 / largest), batch_size=len(A))
    net.parameters = net.initial(case["seed"])

    def distance() -> float:
        own = net.parameters[0]
        return float(np.linalg.norm(np.append(own["W"][:, 0], own["b"]) - exact))

    before = distance()
    net.fit(*learn, seed=case["seed"], updates=case["updates"], every=case["updates"],
            warm_start=True, progress=False)  # fmt: skip
    rounding = 100 * np.finfo(float).eps * largest / least * float(np.linalg.norm(exact))
    bound = before * (1 - least / largest) ** case["updates"] + rounding
    away = distance()
    return {"distance": away, "bound": float(bound), "agrees": bool(away <= bound)}


def between_median_and_mean(case: Case) -> Row:
    """Where predictions lie under exponential noise: 0 at the conditional median, 1 at the mean."""
    rng = generator("regression", SKEWED, case["seed"])
    (learn, _), (held, clean) = (friedman(rng, 4 * case["size"], skewed=True) for _ in range(2))
    net = network(1, "relu", 0.01, "float32")
    net.solver = Adam(learning_rate=0.003)
    own = scaled(learn, learn)
    net.fit(*own, seed=case["seed"], updates=case["updates"] // 4, progress=False)
    found = Standardisation.of(learn.y).inverse(net.predict(scaled(held, learn).X).astype(float))
    median = clean + SCALE * math.log(2)
    return {"place": float(np.mean(found - median) / (SCALE * (1 - math.log(2))))}


def results(rows: pd.DataFrame) -> list[Result]:
    ended: Row = {"part": TRAINING, "last": True}
    told = learning.badges(chosen(rows, {"part": [TUNING, TRAINING]}), SETTINGS, strengths=["l2"])
    points: Row = {"scale": 100, "badges": told}
    return [
        mean("squared_error_explains_friedman", rows, "r2", by="activation", badges=told,
             where=ended | {"data": FRIEDMAN, "hidden": True},
             words="R^2 on held-out instances, the mean over one, two and four hidden layers"),
        paired("network_beats_the_line", rows, "r2", where=ended | {"data": FRIEDMAN},
               left={"depth": 2, "activation": "relu"}, right={"depth": 0},
               words="R^2 of two hidden layers of ReLUs minus that of none", **points),
        paired("hidden_layer_helps_on_diabetes", rows, "r2", where=ended | {"data": DIABETES},
               left={"depth": 1}, right={"depth": 0},
               words="R^2 of one hidden layer, the mean over activations, minus none", **points),
        paired("deeper_regression_explains_more", rows, "r2", where=ended, left={"depth": 4},
               right={"depth": 1}, words="R^2, the mean over activations", **points),
        paired("relu_regression_explains_more_than_sigmoid", rows, "r2",
               where=ended | {"depth": 4}, left={"activation": "relu"},
               right={"activation": "sigmoid"}, words="R^2 of four hidden layers", **points),
        every("least_squares_by_descent", rows, "agrees", where={"part": LEAST_SQUARES},
              by="data", counted="runs",
              words="the distance to numpy.linalg.lstsq, within that which theory leaves"),
        mean("squared_error_estimates_the_mean", rows, "place", where={"part": SKEWED}, by=None,
             words="mean prediction under exponential noise: 0 is the median's, 1 the mean's"),
    ]  # fmt: skip


def figures(rows: pd.DataFrame) -> list[Figure]:
    last = chosen(rows, {"part": TRAINING, "last": True})
    line, nets = last[last["depth"] == 0], last[last["depth"] > 0]
    best = nets.groupby(["data", "depth", "activation"])["r2"].median().groupby("data").max()
    linear = line.groupby("data")["r2"].median()
    told = [f"{data} {best[data]:.0%}, a line {linear[data]:.0%}" for data in (FRIEDMAN, DIABETES)]
    drawn = pd.concat([nets, *(line.assign(activation=name) for name in ACTIVATIONS)])
    return [
        curves(drawn, "depth", "depth", "r2", "activation", order=ACTIVATIONS,
               labels=("hidden layers", "R² on held-out instances"),
               caption="Penalty and rate are tuned for each network; no hidden layer is a line.",
               alt="R² against the number of hidden layers, a line an activation, a panel a set",
               finding=f"The best network explains of {'; of '.join(told)}",
               foot=f"{last['seed'].nunique()} seeds")
    ]  # fmt: skip


EXPERIMENT = Experiment(
    name="regression", title="Regression", version=1, order=45,
    question="Does squared error do what it is for?",
    cases=cases, measure=measure, figures=figures, results=results,
    after=lambda preset, rows: learning.training_cases(
        rows, configurations(preset), preset.seeds, strengths=["l2"]),
    method="""
    Perceptrons with 32 units a layer and a linear output, squared error, Adam, minibatches of 32,
    float32. Diabetes: 442 patients, ten measurements. Friedman's function: 10 sin(pi x1 x2) + 20
    (x3 - 1/2)^2 + 10 x4 + 5 x5 with unit noise, ten uniform inputs, 1,000 instances each to learn
    from and to judge on. L2 penalty and rate are tuned together for each network on other seeds.
    Least squares: full gradient descent at the rate 1/L, float64. Conditional mean: 2,000
    instances of Friedman's function with exponential noise.
    """,
    limitations="""
    Two tasks, one width; no early stopping. Noise makes about 4 % of the variance of Friedman's
    function, which no one can explain. Deeper networks here have more parameters.
    """,
)  # fmt: skip

if __name__ == "__main__":
    main(EXPERIMENT)
