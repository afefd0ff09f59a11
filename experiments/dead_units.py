"""When do ReLU units die?

A unit is dead if its pre-activation is at most 0 on every instance of the training set: it passes
no value on and no gradient back. Two ways there: too large updates, and chance before any training.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from apparatus.learning import TUNING, descent, examples, perceptron, run_seed
from matplotlib.figure import Figure as Canvas

from difflab import gradient, lab
from difflab.ir.tree import flatten
from difflab.lab import Case, Experiment, Figure, Formula, Preset, Result, Row, Section, Slider
from difflab.networks import Network
from difflab.networks.examples import targets
from difflab.networks.layers import INITIALISERS, Parameters, pre_activations
from difflab.networks.metrics import accuracy

Array = np.ndarray
UNITS, BATCH, CLASSES = 64, 32, 10
RATES = (0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.4, 2.0)
LOOKS = (1, 10, 30, 100, 300)  # the updates after which units are looked at, beside the last
HIDDEN = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)  # layers after which new networks are seen
AT_ONCE = 250
DATA, LINE, LINE_ENDS = "digits", "line", np.array([[1.0], [-1.0]])
CONFIDENCE = 1 - 0.05 / (2 * 8 * len(HIDDEN))  # of one cell's interval: all hold at 95 %
FEATURES = {True: "features of mean 0", False: "features from 0 upwards"}


def cases(preset: Preset) -> list[Case]:
    updates = preset.choose(smoke=30, quick=100, full=600)
    rates = preset.choose(smoke=RATES[1::5], quick=RATES[1::2], full=RATES)
    depths = preset.choose(smoke=[2], quick=[1, 4], full=[1, 2, 4])
    runs = {"depth": depths, "rate": rates, "updates": [updates], "seed": preset.seeds}
    widths = preset.choose(smoke=[1, 3], quick=[1, 2, 3, 4, 6, 8], full=list(range(1, 9)))
    networks = preset.choose(smoke=200, quick=400, full=4000)
    hidden = preset.choose(smoke=8, quick=64, full=64)
    return [
        *lab.grid(part=["training"], activation=["relu", "leaky_relu"], centred=[True], **runs),
        *lab.grid(part=["training"], activation=["relu"], centred=[False], **runs),
        *lab.grid(part=["born"], inputs=[DATA, LINE], width=widths, hidden=[hidden],
                  networks=[networks]),
    ]  # fmt: skip


def measure(case: Case, rng: np.random.Generator) -> Iterator[Row]:
    return born(case, rng) if case["part"] == "born" else training(case)


@functools.cache
def network(activation: str, depth: int) -> tuple[Network, Callable[..., Parameters]]:
    """A network and its gradient, compiled once for a shape."""
    net = perceptron(64, [UNITS] * depth, CLASSES, activation, dtype="float64")
    return net, gradient(net.objective)


def training(case: Case) -> Iterator[Row]:
    """One run: a row for all its units at the end, and one for each layer over all looks."""
    (X, y), (held_X, held_y) = examples(DATA, TUNING, case["seed"])
    if not case["centred"]:  # features from 0 upwards, such as brightness is
        X, held_X = X - X.min(axis=0), held_X - X.min(axis=0)
    net, slope = network(case["activation"], case["depth"])
    wanted, held_wanted = (targets(labels, CLASSES, X.dtype) for labels in (y, held_y))
    run = descent(
        net, X, wanted, batch=BATCH, seed=run_seed("dead units", case["seed"]), rate=case["rate"],
        updates=case["updates"], looks={*LOOKS, case["updates"]},
    )  # fmt: skip
    seen: list[tuple[Array, Array]] = []
    about = {"features": FEATURES[case["centred"]], "kind": "run", "diverged": True,
             "dead_share": np.nan, "held_error": np.nan}  # fmt: skip
    layers = "1 hidden layer" if case["depth"] == 1 else f"{case['depth']} hidden layers"
    about["place"] = f"{about['features']}, {layers}"
    about["cell"] = f"{case['activation']}, {about['place']}, rate {case['rate']:g}"
    with np.errstate(all="ignore"):
        for number, _, parameters in run:
            slopes = slope(parameters, X, wanted)
            if not all(np.all(np.isfinite(array)) for array in flatten(slopes)[0]):
                break
            seen.append((dead_units(net, parameters, X), without_gradient(slopes)))
            if number == case["updates"]:
                error = 1.0 - accuracy(net.forward(parameters, held_X), held_wanted)
                share = float(seen[-1][0].mean())
                about |= {"diverged": False, "dead_share": share, "held_error": error}
    yield about
    for layer in range(case["depth"] if seen else 0):
        dead, still = (np.array([look[i][layer] for look in seen]) for i in (0, 1))
        kept = {"kind": "layer", "layer": layer + 1, "diverged": about["diverged"]}
        yield kept | counts(dead, still)


def counts(dead: Array, still: Array) -> Row:
    """Of a layer's units, by look: who was dead, and who had no gradient."""
    were, back = dead[:-1].any(axis=0), dead[:-1].any(axis=0) & ~dead[-1]
    return {
        "dead_sightings": int(dead.sum()), "has_dead": bool(dead.any()),
        "dead_get_none": not np.any(dead & ~still), "all_get_some": not np.any(still),
        "were_dead": int(were.sum()), "had_dead": bool(were.any()),
        "back": int(back.sum()), "none_back": not np.any(back),
    }  # fmt: skip


def dead_units(net: Network, parameters: Parameters, X: Array) -> Array:
    """Which units of each hidden layer have a <= 0 on every instance."""
    before = pre_activations(net.layers, parameters, X)[:-1]
    return np.array([np.all(a <= 0, axis=0) for a in before])


def without_gradient(slopes: Parameters) -> Array:
    """Which units of each hidden layer have a gradient of exactly 0 in all their weights."""
    return np.array([~np.any(own["W"], axis=0) & (own["b"] == 0) for own in slopes[:-1]])


def born(case: Case, rng: np.random.Generator) -> Iterator[Row]:
    """How many networks without biases have a layer that is 0 for their first input, and for all.

    Of a line both directions are enough: without biases all points of one agree.
    """
    X = LINE_ENDS if case["inputs"] == LINE else examples(DATA, "born", 0, size=100)[0].X
    first, every_ = (np.zeros(case["hidden"], int) for _ in range(2))
    for start in range(0, case["networks"], AT_ONCE):
        count = min(AT_ONCE, case["networks"] - start)
        for place, alive in enumerate(survivors(rng, X, case["width"], case["hidden"], count)):
            first[place] += count - alive[0]
            every_[place] += count - alive[1]
    draw = f"{case['inputs']}, width {case['width']}"
    odds = [bound(case["width"], hidden) for hidden in range(1, case["hidden"] + 1)]
    shares = first / case["networks"]
    yield {"kind": "draw", "draw": draw, "p_first": shares.mean(), "bound": float(np.mean(odds))}
    for hidden in HIDDEN:
        if hidden <= case["hidden"]:
            found = lab.proportion_interval(int(every_[hidden - 1]), case["networks"], CONFIDENCE)
            yield {"kind": "born", "layers": hidden, "p_first": float(shares[hidden - 1]),
                   "p_every": found.estimate, "bound": odds[hidden - 1],
                   "below_bound": bool(found.low <= odds[hidden - 1])}  # fmt: skip


def bound(width: int, hidden: int) -> float:
    """The probability that one input dies in one of so many hidden layers."""
    return 1.0 - (1.0 - 2.0**-width) ** hidden


def survivors(
    rng: np.random.Generator, X: Array, width: int, hidden: int, count: int
) -> Iterator[tuple[int, int]]:
    """After each hidden layer, how many of some networks are not 0 for the first input, for all."""
    h = np.maximum(X @ weights(rng, count, (X.shape[1], width)), 0.0)
    for _ in range(hidden):
        active = np.any(h > 0, axis=2)
        yield int(active[:, 0].sum()), int(active.any(axis=1).sum())
        h = h[active.any(axis=1)]  # what is 0 stays 0
        h = np.maximum(h @ weights(rng, len(h), (width, width)), 0.0)


def weights(rng: np.random.Generator, count: int, shape: tuple[int, int]) -> Array:
    """He's weights for one layer of many networks: (networks, inputs, units)."""
    inputs, units = shape
    return INITIALISERS["he"](rng, (inputs, count * units)).reshape(count, inputs, units)


def extreme_cells(rows: pd.DataFrame, by: str, column: str, sign: int, **where: Any) -> list[str]:
    """By features (and depth), where the mean of a column is least or most, and none diverged."""
    own = lab.chosen(rows, {"kind": "run", "activation": "relu"} | where)
    means = sign * own.groupby([by, "cell"])[column].agg(lambda one: one.mean(skipna=False))
    return [cell for _, cell in means.groupby(by).idxmax()]


def results(rows: pd.DataFrame) -> list[Result]:
    relu, leaky = ({"kind": "layer", "activation": name} for name in ("relu", "leaky_relu"))
    own = lab.chosen(rows, relu)
    seen, were, back = (int(own[name].sum()) for name in ("dead_sightings", "were_dead", "back"))
    seeds = sorted(int(seed) for seed in rows["seed"].dropna().unique())
    choosing, judged = seeds[: len(seeds) // 2], seeds[len(seeds) // 2 :]
    deadliest = extreme_cells(rows, "features", "dead_share", 1, seed=choosing)
    best = extreme_cells(rows, "place", "held_error", -1)
    ended, counted = {"diverged": False, "had_dead": True}, {"counted": "layers of runs"}
    return [
        lab.every("dead_units_get_no_gradient", rows, "dead_get_none", **counted,
                  where=relu | {"has_dead": True}, words=f"{seen:,} sightings of a dead unit"),
        lab.mean("high_rates_kill", rows, "dead_share", by="features",
                 where={"kind": "run", "cell": deadliest, "seed": judged},
                 words=f"where half of the seeds found most: {'; '.join(deadliest)}"),
        lab.mean("best_rates_spare_units", rows, "dead_share", by="place",
                 where={"kind": "run", "cell": best}, words="at the best rate on validation"),
        lab.every("dead_units_stay_dead", rows, "none_back", where=relu | ended,
                  words=f"of {were:,} units dead at an earlier look, {back:,} live at the end",
                  **counted),
        lab.every("first_layer_stays_dead", rows, "none_back", where=relu | ended | {"layer": 1},
                  **counted),
        lab.every("leaky_units_keep_a_gradient", rows, "all_get_some", where=leaky, **counted),
        lab.every("born_dead_bound", rows, "below_bound", where={"kind": "born"},
                  words="no cell surely above the bound (95 % for all together)"),
        lab.mean("born_dead_for_one_input", rows, "p_first", over="bound", by="inputs", unit="draw",
                 where={"kind": "draw"}, words="means over depths, a draw a width"),
    ]  # fmt: skip


def figures(rows: pd.DataFrame) -> list[Figure]:
    run = {"kind": "run", "diverged": False, "activation": "relu"}
    own = lab.chosen(rows, run)
    most = own.groupby(["features", "depth", "rate"])["dead_share"].mean().groupby("features").max()
    told = "; ".join(f"{share:.0%} with {name}" for name, share in most.items())
    own = own.assign(layers=own["place"].str.split(", ").str[1])
    born_rows = lab.chosen(rows, {"kind": "born", "inputs": DATA})
    below = born_rows[born_rows["bound"] > 0.05]
    return [
        lab.curves(own, "dead", "rate", "dead_share", "layers", scale=100, by="features",
                   labels=("learning rate", "ReLUs dead at the end (%)"), logarithms="x",
                   alt="The share of dead units by learning rate, a panel for either features.",
                   caption="Runs that did not diverge; a line ends where all do.",
                   finding=f"At the deadliest learning rate so many ReLUs are dead: {told}",
                   foot=f"digits, {own['seed'].nunique()} seeds, {own['updates'].max():.0f}"
                   " updates"),
        Figure(
            "born", "Networks that are 0 for all of 100 digits before training, by width. Dashed:"
            " the bound, which is exact for one input.",
            "Markers of the share born dead by depth, a colour a width, over dashed lines.",
            lambda canvas: draw_born(canvas, born_rows), (7.0, 4.0),
            finding="Networks are born dead"
            f" {below['p_every'].sum() / below['bound'].sum():.0%} as often as the bound says",
            foot=f"{born_rows['networks'].max():.0f} networks a width",
        ),
    ]  # fmt: skip


def sections(rows: pd.DataFrame) -> list[Section]:
    own = lab.chosen(rows, {"kind": "run", "activation": "relu", "diverged": False})
    dead = 100 * own.groupby(["rate", "features"])["dead_share"].mean().unstack()
    series = {name: dead[name].tolist() for name in dead}
    slider = Slider("dead_by_rate", "ReLUs dead at the end (%): mean of the runs that did not"
                    " diverge, over depths and seeds.", "The share of dead units by learning rate",
                    "learning rate", dead.index.tolist(), series, "x")  # fmt: skip
    return [Section("Rates and dead units", [slider]), BOUND]


def draw_born(canvas: Canvas, own: pd.DataFrame) -> None:
    axes = canvas.subplots()
    for width, style in lab.looks(sorted(own["width"].unique())).items():
        part, color = own[own["width"] == width], style["color"]
        axes.plot(part["layers"], part["p_every"], style["marker"], color=color,
                  label=f"width {width:.0f}")  # fmt: skip
        axes.plot(part["layers"], part["bound"], "--", color=color, lw=1.2)
    ticks = [1, 2, 4, 8, 16, 32, 64]
    axes.set(xscale="log", xlabel="hidden layers", ylabel="P(born dead)", ylim=(-0.03, 1.03))
    axes.set_xticks(ticks, map(str, ticks))
    axes.minorticks_off()
    canvas.legend(loc="outside right upper")


BOUND = Section("The bound", [
    "L - 1 hidden layers of w ReLUs, weights symmetric about 0, no biases, one input. If a layer's"
    " input is not 0, all of its w pre-activations are negative with probability 1/2^w, and then"
    " everything after is 0. A network that is 0 for all inputs is 0 for this one:",
    Formula(r"P(\mathrm{born\ dead})\ \leq\ P(\mathrm{dead\ for\ one\ input}) ="
            r" 1 - (1 - 2^{-w})^{L-1}"),
])  # fmt: skip


EXPERIMENT = Experiment(
    name="dead_units", title="Dead units", version=2, order=46,
    question="When do ReLU units die, and do they come back?",
    cases=cases, measure=measure, sections=sections, figures=figures, results=results,
    method=f"""
    Training: 1,078 standardised digits, hidden layers of {UNITS} units with He's weights, plain SGD
    with minibatches of {BATCH}, learning rates up to divergence; for ReLUs also with features
    shifted so that each starts at 0, as brightness does. At each look every unit is evaluated on
    the whole training set, and so is reverse mode's gradient. The validation split tells how well a
    rate learns; no test part is used. A seed sets split, weights and order.
    Before training: networks without biases, each drawn once and looked at layer after layer.
    """,
    limitations="""
    One data set and one width; neither momentum nor L2, which move a unit's weights even without a
    gradient. Units are looked at a few times, also before a run diverged; what dies and comes back
    in between is not seen. The highest shares are those of networks that no longer learn.
    """,
)  # fmt: skip

if __name__ == "__main__":
    lab.main(EXPERIMENT)
