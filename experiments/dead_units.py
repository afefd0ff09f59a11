"""When do ReLU units die?

A unit is dead if its pre-activation is at most 0 on every instance of the training set: it passes
no value on and no gradient back. Two ways there: updates that are too large, counted unit by unit
along training runs; and chance, before any training, counted over thousands of narrow networks.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from _dead_units_findings import findings
from _dead_units_page import DATA, LINE, figures, sections, tables
from apparatus.learning import TUNING, examples, run_seed

from difflab import gradient
from difflab.ir.tree import flatten, unflatten
from difflab.lab import Case, Experiment, Preset, Row, grid, main
from difflab.methods import Reverse
from difflab.networks import Network
from difflab.networks.examples import Minibatches, targets
from difflab.networks.layers import INITIALISERS, Parameters, pre_activations
from difflab.networks.metrics import accuracy
from difflab.networks.update import Update

Array = np.ndarray
UNITS, BATCH, CLASSES = 64, 32, 10
RATES = (0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.4, 2.0)
LOOKS = (1, 10, 30, 100, 300, 600)
"""The updates after which units are looked at."""
HIDDEN = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
"""The numbers of hidden layers at which networks are looked at before training."""
AT_ONCE = 250


# Cases --------------------------------------------------------------------------------------------


def cases(preset: Preset) -> list[Case]:
    updates = preset.choose(smoke=30, quick=100, full=600)
    rates = preset.choose(smoke=RATES[1::5], quick=RATES[1::2], full=RATES)
    depths = preset.choose(smoke=[2], quick=[1, 4], full=[1, 2, 4])
    runs = {"depth": depths, "rate": rates, "updates": [updates], "seed": preset.seeds}
    widths = preset.choose(smoke=[1, 3], quick=[1, 2, 3, 4, 6, 8], full=list(range(1, 9)))
    networks = preset.choose(smoke=200, quick=400, full=4000)
    hidden = preset.choose(smoke=8, quick=64, full=64)
    return [
        *grid(part=["training"], activation=["relu", "leaky_relu"], centred=[True], **runs),
        *grid(part=["training"], activation=["relu"], centred=[False], **runs),
        *grid(part=["born"], inputs=[DATA, LINE], width=widths, hidden=[hidden],
              networks=[networks]),
    ]  # fmt: skip


def measure(case: Case, rng: np.random.Generator) -> Iterator[Row]:
    return born(case, rng) if case["part"] == "born" else training(case)


# Training -----------------------------------------------------------------------------------------


class Programs(NamedTuple):
    """A network, its update at any learning rate, and the gradient of its loss."""

    network: Network
    update: Update
    gradient: Callable[..., Parameters]


@functools.cache
def programs(activation: str, depth: int) -> Programs:
    """Compiled once for all runs of a shape."""
    net = Network(64)
    for _ in range(depth):
        net.fc(UNITS, activation, "he")
    net.fc(CLASSES, "softmax")
    batch = [np.ones((BATCH, 64)), np.ones((BATCH, CLASSES)) / CLASSES]
    return Programs(net, Update(net, Reverse(), net.parameters, batch), gradient(net.objective))


def training(case: Case) -> Iterator[Row]:
    """One run: at each look and layer, the dead units, those that were, and those that are back."""
    (X, y), (held_X, held_y) = examples("digits", TUNING, case["seed"])
    if not case["centred"]:  # features from 0 upwards, such as brightness is
        X, held_X = X - X.min(axis=0), held_X - X.min(axis=0)
    net, update, slope = programs(case["activation"], case["depth"])
    seed = run_seed("dead units", case["seed"])
    arrays, structure = flatten(net.initial(seed))
    wanted, held_wanted = (targets(labels, CLASSES, X.dtype) for labels in (y, held_y))
    batches = Minibatches(X, wanted, BATCH, seed)
    memory = net.solver.memory(arrays)
    ever = np.zeros((case["depth"], UNITS), bool)
    with np.errstate(all="ignore"):
        for number in range(1, case["updates"] + 1):
            batch = batches.take(number)
            loss, norms, arrays, memory = update(arrays, batch, memory, number, case["rate"])
            if not all(map(math.isfinite, (loss, *norms))):
                yield {"update": number, "layer": 0, "diverged": True}
                return
            if number not in LOOKS and number != case["updates"]:
                continue
            parameters = unflatten(structure, arrays)
            slopes = slope(parameters, X, wanted)
            if not all(np.all(np.isfinite(array)) for array in flatten(slopes)[0]):
                yield {"update": number, "layer": 0, "diverged": True}
                return
            error = 1.0 - accuracy(net.forward(parameters, held_X), held_wanted)
            dead, still = dead_units(net, parameters, X), without_gradient(slopes)
            about = {"update": number, "held_error": error, "diverged": False}
            for layer, row in enumerate(counts(dead, still, ever), 1):
                yield {**about, "layer": layer, **row}
            ever |= dead


def dead_units(net: Network, parameters: Parameters, X: Array) -> Array:
    """Which units of each hidden layer have a <= 0 on every instance."""
    before = pre_activations(net.layers, parameters, X)[:-1]
    return np.array([np.all(a <= 0, axis=0) for a in before])


def without_gradient(slopes: Parameters) -> Array:
    """Which units of each hidden layer have a gradient of exactly 0 in all their weights."""
    return np.array([~np.any(own["W"], axis=0) & (own["b"] == 0) for own in slopes[:-1]])


def counts(dead: Array, still: Array, ever: Array) -> Iterator[Row]:
    """For each layer, numbers of units; `ever` were dead at an earlier look."""
    for now, unmoved, before in zip(dead, still, ever, strict=True):
        yield {
            "units": len(now),
            "dead": int(now.sum()),
            "no_gradient": int(unmoved.sum()),
            "dead_with_gradient": int((now & ~unmoved).sum()),
            "were_dead": int(before.sum()),
            "back": int((before & ~now).sum()),
        }


# Before training ----------------------------------------------------------------------------------


def born(case: Case, rng: np.random.Generator) -> Iterator[Row]:
    """Of many networks without biases, how many have a hidden layer that is 0: for their first
    input, and for all inputs.
    """
    X = inputs(case["inputs"])
    first, every = (np.zeros(case["hidden"], int) for _ in range(2))
    for start in range(0, case["networks"], AT_ONCE):
        count = min(AT_ONCE, case["networks"] - start)
        for place, alive in enumerate(survivors(rng, X, case["width"], case["hidden"], count)):
            first[place] += count - alive[0]
            every[place] += count - alive[1]
    for hidden in HIDDEN:
        if hidden <= case["hidden"]:
            dead = int(first[hidden - 1]), int(every[hidden - 1])
            yield {"layers": hidden, "dead_first": dead[0], "dead_every": dead[1]}


def inputs(name: str) -> Array:
    """Standardised images, or the two directions of a line (a layer without biases is the same
    along each).
    """
    if name == LINE:
        return np.array([[1.0], [-1.0]])
    return examples("digits", "born", 0, size=100)[0].X


def survivors(
    rng: np.random.Generator, X: Array, width: int, hidden: int, count: int
) -> Iterator[tuple[int, int]]:
    """After each hidden layer, how many of some networks are not 0 for the first input, and how
    many are not 0 for all inputs.
    """
    shape = (X.shape[1], width)
    h = np.maximum(X @ weights(rng, count, shape), 0.0)
    for _ in range(hidden):
        active = np.any(h > 0, axis=2)
        yield int(active[:, 0].sum()), int(active.any(axis=1).sum())
        h = h[active.any(axis=1)]  # what is 0 stays 0
        h = np.maximum(h @ weights(rng, len(h), (width, width)), 0.0)


def weights(rng: np.random.Generator, count: int, shape: tuple[int, int]) -> Array:
    """He's weights for one layer of many networks: (networks, inputs, units)."""
    inputs, units = shape
    return INITIALISERS["he"](rng, (inputs, count * units)).reshape(count, inputs, units)


EXPERIMENT = Experiment(
    name="dead_units",
    title="Dead units",
    question="When do ReLU units die, and do they come back?",
    version=1,
    cases=cases,
    measure=measure,
    sections=sections,
    tables=tables,
    figures=figures,
    findings=findings,
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
    gradient. Units of a run share its fate, so that an interval over units is narrower than one
    over runs would be; claims about every unit do not depend on it. Units are looked at a few
    times, and what dies and comes back in between is not seen. A run counts as diverged as soon as
    its loss or a gradient is not finite, and its looks before that count as sightings. The highest
    shares of dead units are those of networks that no longer learn.
    """,
    order=46,
)

if __name__ == "__main__":
    main(EXPERIMENT)
