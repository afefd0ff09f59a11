"""The programs of the experiment `cost`: functions of any number of inputs, and their gradients.

What flows: a name and a size -> a plain NumPy function with arguments. Points are drawn from a seed
made of name and size, so that counts and times are of the same program on every run.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from sympy.core.cache import clear_cache

from apparatus.peers import functions
from difflab.accuracy.subject import numbers, spans
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


def perceptron(layers: list[tuple[Any, Any]], x: Any) -> Any:
    """The outputs of tanh layers and a linear one."""
    *hidden, (weights, bias) = layers
    for w, b in hidden:
        x = np.tanh(x @ w + b)
    return x @ weights + bias


def network(width: int, hidden: int = 1) -> Program:
    """The mean squared error of a tanh network of equal layers on eight instances."""
    rng = generator("cost", "network", width, *([hidden] if hidden > 1 else []))
    layers = [
        (rng.normal(size=(m, n)) / np.sqrt(m), rng.normal(size=n))
        for m, n in itertools.pairwise([width] * (hidden + 1) + [1])
    ]
    args = (layers, rng.normal(size=(8, width)), rng.normal(size=(8, 1)))
    return Program(lambda layers, x, y: np.mean((perceptron(layers, x) - y) ** 2), args)


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
    return flatten(truth(made.f, *made.args).midpoint)[0]


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
    true = numbers(known)
    return float(np.max(np.abs(numbers(blocks) - true)) / np.max(np.abs(true)))


def passes(case: Case) -> Iterator[Row]:
    """One pass of reverse mode, and one of forward mode for each input: what each of them gives."""
    whole, (x, *others) = program(case["function"], case["size"])
    known = numbers(true_gradient(case["function"], case["size"]))

    f = lambda x: whole(x, *others)
    push = lambda x, tangent: jvp(f, (x,), (tangent,), engine="numpy")[1]
    pull = lambda x, cotangent: vjp(f, x, engine="numpy")[1](cotangent)
    own = simplify(trace(f, x)).operation_count()
    for mode, run, seeds in (("reverse", pull, [1.0]), ("forward", push, unit_vectors(x))):
        given = [numbers(run(x, seed)) for seed in seeds]
        error = np.abs(np.concatenate(given) - known) / np.max(np.abs(known))
        right, width = int(np.sum(error <= AGREES[True])), given[0].size
        each = simplify(trace(run, x, seeds[0])).operation_count()
        wanted = (1, known.size) if mode == "reverse" else (known.size, 1)
        yield {"method": mode, "inputs": known.size, "passes": len(given), "numbers": width,
               "right": right, "relative": each / own,
               "as_claimed": (len(given), width) == wanted and right == known.size}  # fmt: skip


def unit_vectors(like: Any) -> list[Any]:
    """For each number of a tree of arrays, the tree that is one there and zero elsewhere."""
    leaves, structure = flatten(like)
    shapes = [np.shape(leaf) for leaf in leaves]
    places = [*zip(spans(shapes), shapes, strict=True)]
    return [unflatten(structure, [row[place].reshape(shape) for place, shape in places])
            for row in np.eye(numbers(like).size)]  # fmt: skip
