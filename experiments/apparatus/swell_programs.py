"""The programs of the experiment `expression_swell`: how each is made at a size, and counted.

What flows: a family and a size -> a plain NumPy function at a point -> the operations of its
derivative, by SymPy and by ours. SymPy's own counts are `sympy.count_ops` of unexpanded forms: a
negative term of a sum is one subtraction, a power or a function call is one operation.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import sympy

from apparatus.cost_programs import perceptron
from difflab.ir.expr import Graph
from difflab.lab import Row, generator
from difflab.methods import Forward, Reverse
from difflab.readings.symbols import symbols_for, to_sympy
from difflab.tracing.trace import trace

Function = Callable[..., Any]


class Program(NamedTuple):
    """A function at a point, and the inputs by which it is differentiated."""

    f: Function
    args: tuple[Any, ...]
    wrt: range = range(1)

    @property
    def graph(self) -> Graph:
        return trace(self.f, *self.args)


def repeated(step: Function, times: int) -> Function:
    """A function applied to its own result, again and again."""

    def f(x: Any) -> Any:
        for _ in range(times):
            x = step(x)
        return x

    return f


def logistic_step(x: Any) -> Any:
    return 4 * x * (1 - x)


def logistic_map(n: int) -> Function:
    """l_n of the logistic map: l_1 = x, l_(n+1) = 4 l_n (1 - l_n)."""
    return repeated(logistic_step, n - 1)


def with_tangent(n: int) -> Function:
    """The loop that carries l_n and its tangent: the derivative of the step is 4 - 8 l."""

    def f(x: Any, dx: Any) -> Any:
        for _ in range(n - 1):
            x, dx = logistic_step(x), (4 - 8 * x) * dx
        return x, dx

    return f


def network(sizes: Sequence[int]) -> Program:
    """The squared error of a tanh network at one instance, by all its weights."""
    rng = generator("expression swell", list(sizes))
    shapes = itertools.pairwise(sizes)
    layers = [(rng.normal(size=(m, n)), rng.normal(size=n)) for m, n in shapes]
    args = (layers, rng.normal(size=sizes[0]), rng.normal(size=1))
    loss = lambda layers, x, y: np.sum((perceptron(layers, x) - y) ** 2)
    return Program(loss, args, range(2 * len(layers)))


def chain(step: Function) -> Callable[[int], Program]:
    return lambda size: Program(repeated(step, size), (0.5,))


class Family(NamedTuple):
    """A program of any size; `size` says in words what grows, `log` whether it grows by factors."""

    program: Callable[[int], Program]
    size: str
    log: bool = False


FAMILIES = {
    "logistic map": Family(lambda n: Program(logistic_map(n), (0.2,)), "n"),
    "x tanh x, nested": Family(chain(lambda x: x * np.tanh(x)), "depth"),
    "tanh network, deeper": Family(lambda n: network([3] * (n + 1) + [1]), "layers of 3"),
    "tanh network, wider": Family(lambda n: network([n, n, 1]), "units", log=True),
    "sin x, nested": Family(chain(np.sin), "depth", log=True),
    "1/(1 + exp(-x)), nested": Family(chain(lambda x: 1 / (1 + np.exp(-x))), "depth", log=True),
}


class Law(NamedTuple):
    """A closed form for a count of the logistic map, from `first` on."""

    claim: str
    column: str
    short: str
    formula: str
    first: int
    value: Callable[[int], float]


LAWS = (
    Law("law_of_the_function", "sympy_function", "l_n", "5·2^(n−2) − 2",
        2, lambda n: 5 * 2 ** (n - 2) - 2),
    Law("law_of_the_derivative", "sympy_derivative", "l_n'", "2^n (5n(n+1)/16 − 9/8)",
        3, lambda n: 2**n * (5 * n * (n + 1) - 18) / 16),
    Law("law_of_sharing", "sympy_cse", "both, shared", "2n² − 4", 4, lambda n: 2 * n**2 - 4),
    Law("law_of_the_loop", "loop", "loop with tangent", "6(n − 1)", 1, lambda n: 6 * (n - 1)),
)  # fmt: skip


def counts(program: Program) -> Row:
    """The operations of a program and of its derivative by forward and by reverse mode."""
    graph, found = program.graph, {"function": program.graph.operation_count()}
    for method in (Forward(), Reverse()):
        found[method.name] = method.derive(graph, program.wrt).graph.operation_count()
    return found


def sympy_counts(program: Program) -> Row:
    """What SymPy counts of a program's values, element by element, and of their derivatives."""
    graph = program.graph
    symbols = symbols_for(graph)
    values = [v for out in to_sympy(graph, symbols) for v in np.ravel(np.asarray(out, object))]
    inputs = [symbol for i in program.wrt for symbol in symbols[i].ravel()]
    return expression_counts(values, [sympy.diff(value, x) for value in values for x in inputs])


def expression_counts(values: list[Any], derivatives: list[Any]) -> Row:
    """`sympy.count_ops` of both, as trees and after one joint elimination of subexpressions."""
    replaced, rest = sympy.cse([*values, *derivatives])
    shared = [expression for _, expression in replaced] + rest
    parts = {"sympy_function": values, "sympy_derivative": derivatives, "sympy_cse": shared}
    return {name: sum(int(one.count_ops()) for one in part) for name, part in parts.items()}


def logistic_counts(n: int) -> Row:
    """What is counted for the logistic map alone: SymPy runs the loop itself, without our IR."""
    x = sympy.Symbol("x", real=True)
    value = logistic_map(n)(x)
    slope = sympy.diff(value, x)
    short = {"value_text": str(value), "slope_text": str(slope)} if n <= 4 else {}
    loop = trace(with_tangent(n), 0.2, 1.0)
    return {**expression_counts([value], [slope]), "loop": loop.operation_count(), **short}
