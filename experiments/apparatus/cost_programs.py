"""The programs of the experiment `cost`: functions of any number of inputs, and their gradients.

What flows: a name and a size -> a plain NumPy function with arguments. Points are drawn from a seed
made of name and size, so that counts and times are of the same program on every run.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from sympy.core.cache import clear_cache

from apparatus.peers import functions
from difflab.accuracy.truth import truth
from difflab.accuracy.zoo import ZOO
from difflab.ir.expr import Graph
from difflab.ir.tree import flatten, unflatten
from difflab.lab import Case, Row, generator
from difflab.methods import Derivation
from difflab.operators import jvp, value_and_gradient, vjp
from difflab.operators.programs import Prepared
from difflab.table.identities import simplify
from difflab.tracing.trace import trace

AGREES = {True: 1e-10, False: 1e-4}  # of the gradient's largest component, by `exact`
PERIOD = 10  # Rosenbrock's point repeats after so many components, and so does its gradient
PHASES = {"to sympy": "derive", "derive": "derive", "simplify": "simplify",
          "generate": "simplify", "compile": "compile"}  # fmt: skip


class Program(NamedTuple):
    """A function at a point, differentiated by its first argument."""

    f: Callable[..., Any]
    args: tuple[Any, ...]


def helmholtz(n: int) -> Program:
    """The Helmholtz free energy of a mixture of n substances."""
    rng = generator("cost", "helmholtz", n)
    a, volume = rng.uniform(0.5, 1.5, (n, n)), rng.uniform(0.5, 1.5, n) / n
    attraction = (a + a.T) / 2
    x = rng.uniform(0.1, 0.6, n)
    return Program(lambda x: functions.helmholtz(x, attraction, volume), (x,))


def rosenbrock(n: int) -> Program:
    """Rosenbrock's function, at a point that repeats itself."""
    point = generator("cost", "rosenbrock").normal(size=PERIOD)
    return Program(ZOO["rosenbrock"].f, (np.resize(point, n),))


def network(width: int, hidden: int = 1) -> Program:
    """The mean squared error of a tanh network of equal layers on eight instances."""

    def loss(layers: list[tuple[Any, Any]], x: Any, y: Any) -> Any:
        for w, b in layers[:-1]:
            x = np.tanh(x @ w + b)
        last, bias = layers[-1]
        return np.mean((x @ last + bias - y) ** 2)

    rng = generator("cost", "network", width, *([hidden] if hidden > 1 else []))
    layers = [
        (rng.normal(size=(m, n)) / np.sqrt(m), rng.normal(size=n))
        for m, n in itertools.pairwise([width] * (hidden + 1) + [1])
    ]
    return Program(loss, (layers, rng.normal(size=(8, width)), rng.normal(size=(8, 1))))


def between(inputs: int, outputs: int, hidden: int = 32) -> Program:
    """A network as a function of its input, from R^inputs to R^outputs."""
    rng = generator("cost", "between", inputs, outputs)
    first = rng.normal(size=(hidden, inputs)) / np.sqrt(inputs)
    second = rng.normal(size=(outputs, hidden)) / np.sqrt(hidden)
    return Program(lambda x: np.tanh(second @ np.tanh(first @ x)), (rng.normal(size=inputs),))


FUNCTIONS = {"Helmholtz": helmholtz, "Rosenbrock": rosenbrock, "network": network}
FAMILIES = {
    "of a vector": (
        "rosenbrock", "ackley", "rastrigin", "griewank", "styblinski_tang", "helmholtz",
        "log_sum_exp_naive", "log_sum_exp_shifted", "variance_naive", "variance_two_passes",
        "euclidean_norm", "manhattan_norm", "largest", "trimmed_mean", "product",
        "rayleigh_quotient", "place_of_largest", "geometric_mean",
    ),
    "networks": tuple(f"{hidden} hidden" for hidden in range(1, 6)),
}  # fmt: skip
"""Functions of the zoo that take a vector of any length, and networks of ever more layers."""


def program(function: str, size: int) -> Program:
    """A program by its name: one of `FUNCTIONS`, or of `FAMILIES`."""
    if function in FUNCTIONS:
        return FUNCTIONS[function](size)
    if function in FAMILIES["networks"]:
        return network(size, int(function.split()[0]))
    point = generator("cost", function).uniform(0.2, 0.8, PERIOD)
    return Program(ZOO[function].f, (np.resize(point, size),))


def true_gradient(function: str, size: int) -> list[np.ndarray]:
    """The gradient as its enclosure's midpoint, a block for each input.

    A component of Rosenbrock's gradient depends on its neighbours alone, so that a long gradient
    repeats with the point, but for both ends.
    """
    if function == "Rosenbrock" and size > 3 * PERIOD and size % PERIOD == 0:
        (short,) = true_gradient(function, 3 * PERIOD)
        start, middle, end = np.split(short, 3)
        return [np.concatenate([start, np.tile(middle, size // PERIOD - 2), end])]
    made = program(function, size)
    blocks = truth(made.f, *made.args, argnums=0).midpoint
    return [np.asarray(block) for block in flatten(blocks)[0]]


def calling(prepared: Prepared, arrays: list[Any]) -> partial[Any]:
    return partial(prepared.run, *arrays)


def prepared_in_phases(program: Program, method: str, repeats: int = 3) -> tuple[Prepared, Row]:
    """A derived and compiled gradient, and the median time of each phase."""
    found: list[dict[str, float]] = []
    for _ in range(1 if method == "symbolic" else repeats):
        clear_cache()
        start = time.perf_counter()
        trace(program.f, *program.args)
        phases = {"trace": time.perf_counter() - start, **dict.fromkeys(PHASES.values(), 0.0)}
        gradient = value_and_gradient(program.f, method=method, engine="numpy")
        prepared = gradient.prepare(*program.args)
        for phase, seconds in prepared.derivation.seconds.items():
            phases[PHASES[phase]] += seconds
        found.append(phases)
    medians = {phase: statistics.median(each[phase] for each in found) for phase in found[0]}
    return prepared, {f"{phase}_seconds": median for phase, median in medians.items()}


def cost_of(derivation: Derivation, graph: Graph, wrt: Sequence[int]) -> Row:
    """Operations and evaluations; where there is no program, evaluations times the function's."""
    own, made = graph.operation_count(), derivation.graph
    total = derivation.evaluations * own if made is None else made.operation_count()
    return {
        "inputs": sum(graph.inputs[i].size for i in wrt), "function_operations": own,
        "evaluations": derivation.evaluations, "operations": total, "relative": total / own,
    }  # fmt: skip


def relative_error(blocks: list[Any], known: list[Any]) -> float:
    """The largest error of a component, relative to the largest component."""
    wrong = max(float(np.max(np.abs(b - k))) for b, k in zip(blocks, known, strict=True))
    return wrong / max(float(np.max(np.abs(k))) for k in known)


def passes(case: Case) -> Iterator[Row]:
    """One pass of reverse mode, and one of forward mode for each input: what each of them gives."""
    made = program(case["function"], case["size"])
    x, *others = made.args
    known = flat(true_gradient(case["function"], case["size"]))

    def f(x: Any) -> Any:
        return made.f(x, *others)

    def push(x: Any, tangent: Any) -> Any:
        return jvp(f, (x,), (tangent,), engine="numpy")[1]

    def pull(x: Any, cotangent: Any) -> Any:
        return vjp(f, x, engine="numpy")[1](cotangent)

    own = simplify(trace(f, x)).operation_count()
    for mode, run, seeds in (("reverse", pull, [1.0]), ("forward", push, unit_vectors(x))):
        given = [flat(run(x, seed)) for seed in seeds]
        error = np.abs(np.concatenate(given) - known) / np.max(np.abs(known))
        right, numbers = int(np.sum(error <= AGREES[True])), given[0].size
        each = simplify(trace(run, x, seeds[0])).operation_count()
        wanted = (1, known.size) if mode == "reverse" else (known.size, 1)
        yield {"method": mode, "inputs": known.size, "passes": len(given), "numbers": numbers,
               "right": right, "relative": each / own,
               "as_claimed": (len(given), numbers) == wanted and right == known.size}  # fmt: skip


def flat(values: Any) -> np.ndarray:
    """The numbers of a tree of arrays, as one vector."""
    return np.concatenate([np.ravel(leaf) for leaf in flatten(values)[0]])


def unit_vectors(like: Any) -> list[Any]:
    """For each number of a tree of arrays, the tree that is one there and zero elsewhere."""
    leaves, structure = flatten(like)
    ends = np.cumsum([np.size(leaf) for leaf in leaves])[:-1]
    return [
        unflatten(structure, [np.reshape(part, np.shape(leaf))
                              for part, leaf in zip(np.split(row, ends), leaves, strict=True)])
        for row in np.eye(sum(map(np.size, leaves)))
    ]  # fmt: skip
