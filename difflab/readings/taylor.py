"""Taylor mode: what flows along the edges is a truncated power series in t, its coefficients.

    x(t) = x_0 + x_1 t + ... + x_K t^K + O(t^(K+1))

`Expansion` reads each row's one derivative fact. A linear row takes coefficients one by one; a
product takes Cauchy's sums of them; any other row solves y' = T(y, x, x'), T its own pushforward
along x' (of an elementwise row, the sum of partials times rates), so that k y_k is coefficient
k - 1 of T (Griewank and Walther 2008, chapter 13, has such
recurrences for each elementary function by hand). The invariant: a coefficient depends on operands'
up to its own order, and on those of T's parts below it, so that the order of computing is planned
once. None stands for a coefficient that is exactly zero. Rules are plain NumPy text, so the
coefficients may be numbers, nodes or balls, as an `Arithmetic` says.

>>> from difflab.tracing.trace import trace
>>> graph = trace(lambda x: np.exp(2.0 * x), 0.0)
>>> expansion = Expansion(graph.outputs, graph.inputs, 3)
>>> [float(c) for c in expansion({graph.inputs[0]: np.array(0.0)}, [np.array(1.0)], NUMBERS)[0]]
[1.0, 2.0, 2.0, 1.3333333333333333]
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from difflab.ir.build import FLOAT64, as_dtype
from difflab.ir.expr import Expr, attributed_to, computed, placeholder, reachable
from difflab.ir.row import CONSTANT, INPUT, Partials, Transpose, Transposes
from difflab.readings.tangents import (
    Tangent,
    is_zero,
    ones,
    scaled,
    taken,
    tangent_of,
    vanishes,
    zeros,
)


class Arithmetic(NamedTuple):
    """What coefficients are, and how a node's row is applied to them."""

    apply: Callable[[Expr, list[Any]], Any]
    """The row of a node on coefficients of its operands; of a constant, what it holds."""
    zero: Callable[[Expr], Any]
    """A zero spelt out, like a node."""
    one: Callable[[Expr], Any]
    """Ones, like a node."""
    multiple: Callable[[Any, int], Any]
    """A coefficient times a whole number, in its dtype, though that may have no room for it."""


def _number(node: Expr, operands: list[Any]) -> Any:
    return computed(node, node.primitive.evaluate, operands)


def _node(node: Expr, operands: list[Any]) -> Expr:
    if node.primitive is CONSTANT:
        return node
    with attributed_to(node.line):
        return Expr(node.primitive, tuple(operands), node.params)


NUMBERS: Final = Arithmetic(
    _number,
    lambda x: np.zeros(x.shape, x.dtype),
    lambda x: np.ones(x.shape, x.dtype),
    lambda c, n: (np.asarray(c, np.float64) * float(n)).astype(c.dtype)[()],
)
NODES: Final = Arithmetic(
    _node, zeros, ones, lambda c, n: as_dtype(as_dtype(c, FLOAT64) * float(n), c.dtype)
)


def _input(x: Expr, known: list[Any], _: Arithmetic) -> Any:
    """The value of an input; one of a trace around this one, which has none here, is itself."""
    return known[0].get(x, x)


Task = tuple[Expr, int]
"""A node and the order of one of its coefficients."""
Step = Callable[[list[Any], Arithmetic], Any]
"""Computes a coefficient from those before it."""


class Expansion:
    """How the coefficients of nodes up to an order follow from a direction of their inputs."""

    def __init__(self, outputs: Sequence[Expr], moving: Sequence[Expr], order: int) -> None:
        self.outputs, self.order = list(outputs), order
        self.steps: list[Step] = []
        self._places: dict[Task, int | None] = {}
        """Where among all coefficients one stands; None: it is zero."""
        inputs = [x for x in reachable(self.outputs) if x.primitive is INPUT]
        self._moving = {x: k for k, x in enumerate(moving)}
        self._depends = {x: x in self._moving for x in inputs}
        self._slopes: dict[Expr, Tangent] = {}
        self._pairs: dict[Expr, list[tuple[Expr, Any]]] = {}
        self._rates: dict[Expr, Expr] = {}
        self._rate_of: dict[Expr, Expr] = {}
        for x in inputs:
            self._places[x, 0] = self._enter(functools.partial(_input, x))
        tasks = [(out, k) for out in self.outputs for k in range(order + 1)]
        self._plan(tasks)
        self._wanted = [[self._places[out, k] for k in range(order + 1)] for out in self.outputs]

    def __call__(
        self, values: Mapping[Expr, Any], directions: Sequence[Any], arithmetic: Arithmetic
    ) -> list[list[Any]]:
        """The coefficients of each output at a point, along the directions of what moves."""
        known: list[Any] = [values, directions]
        for step in self.steps:
            known.append(step(known, arithmetic))
        zero = arithmetic.zero
        return [
            [zero(out) if at is None else known[at] for at in places]
            for out, places in zip(self.outputs, self._wanted, strict=True)
        ]

    # -- the plan ----------------------------------------------------------------------------------

    def _enter(self, step: Step) -> int:
        self.steps.append(step)
        return len(self.steps) + 1

    def _plan(self, tasks: list[Task]) -> None:
        """Plan tasks and all that they need, those first."""
        places, stack, entered = self._places, tasks[::-1], set[Task]()
        while stack:
            task = stack[-1]
            if task in places or task in entered:
                stack.pop()
                if task not in places:
                    places[task] = self._planned(*task)
                continue
            entered.add(task)
            stack += [need for need in self._needs(*task) if need not in places]

    def _moves(self, node: Expr) -> bool:
        """Whether a node depends on what moves."""
        depends = self._depends
        if node not in depends:
            for x in reachable([node], depends):
                if x not in depends:
                    moved = any([depends[operand] for operand in x.operands])  # noqa: C419 (faster)
                    depends[x] = moved and x.differentiable
        return depends[node]

    def _needs(self, node: Expr, k: int) -> list[Task]:
        if k == 0 and node not in self._rate_of:
            return [(x, 0) for x in node.operands]
        if not self._moves(node):
            return []
        if node in self._rate_of:
            return [(self._rate_of[node], k + 1)]
        if node in self._moving:
            return []
        derivative = node.primitive.derivative
        if isinstance(derivative, Transpose):
            return [(x, k if x.differentiable else 0) for x in node.operands]
        if isinstance(derivative, Transposes):
            return [(x, j) for x in node.operands for j in range(k + 1 if self._moves(x) else 1)]
        if self._is_smooth(node):
            pairs = self._partials(node)
            needs = [(self._rate(x), j) for x, _ in pairs for j in range(k)]
            return needs + [(p, j) for _, p in pairs if isinstance(p, Expr) for j in range(k)]
        slope = self._slope(node)
        return [] if slope is None else [(slope, k - 1)]

    def _planned(self, node: Expr, k: int) -> int | None:
        """The step of a task whose needs are planned."""
        places, derivative = self._places, node.primitive.derivative
        if k == 0 and node not in self._rate_of:
            if any(places[x, 0] is None for x in node.operands):  # a rate that is zero for good
                if isinstance(derivative, Transposes):
                    return None
                if isinstance(derivative, Transpose):
                    return self._linear(node, 0)
            at = [self._place(x, 0) for x in node.operands]
            return self._enter(lambda known, by: by.apply(node, [known[i] for i in at]))
        if not self._moves(node):
            return None
        if node in self._rate_of:
            return self._multiple(places[self._rate_of[node], k + 1], k + 1)
        if node in self._moving:
            place = self._moving[node]
            return self._enter(lambda known, _: known[1][place]) if k == 1 else None
        if isinstance(derivative, Transpose):
            return self._linear(node, k)
        if isinstance(derivative, Transposes):
            return self._product(node, k)
        if self._is_smooth(node):
            return self._integral(node, k)
        slope = self._slope(node)
        place_of_slope = None if slope is None else places[slope, k - 1]
        return self._multiple(place_of_slope, 1, k)

    def _place(self, node: Expr, k: int) -> int:
        """Where a coefficient stands, a zero spelt out."""
        found = self._places[node, k]
        return self._enter(lambda _, by: by.zero(node)) if found is None else found

    def _multiple(self, place: int | None, times: int, over: int = 1) -> int | None:
        if place is None or times == over:
            return place
        at: int = place
        if over > 1:
            return self._enter(lambda known, _: known[at] / over)
        return self._enter(lambda known, _: known[at] * times)

    def _linear(self, node: Expr, k: int) -> int | None:
        floats = [x for x in node.operands if x.differentiable]
        if all(self._places[x, k] is None for x in floats):
            return None
        at = [self._place(x, k if x.differentiable else 0) for x in node.operands]
        return self._enter(lambda known, by: by.apply(node, [known[i] for i in at]))

    def _product(self, node: Expr, k: int) -> int | None:
        """The sum of all products whose orders make k."""
        operands = node.operands
        series: list[list[int | None]] = []
        for i, x in enumerate(operands):
            most = k if self._moves(x) and not vanishes(node, i) else 0
            series.append([self._places[x, j] for j in range(most + 1)])
        terms = list(_products(series, k))
        if not terms:
            return None

        def step(known: list[Any], by: Arithmetic) -> Any:
            total: Any = None
            for places in terms:
                term = by.apply(node, [known[i] for i in places])
                total = term if total is None else total + term
            return total

        return self._enter(step)

    @staticmethod
    def _is_smooth(node: Expr) -> bool:
        """Whether T is the plain sum of rates times partials."""
        row = node.primitive
        return isinstance(row.derivative, Partials) and row.choice is None

    def _partials(self, node: Expr) -> list[tuple[Expr, Any]]:
        """The operands that move a node, each with its partial: a node, or a number."""
        if node not in self._pairs:
            derivative = node.primitive.derivative
            assert isinstance(derivative, Partials)
            with attributed_to(node.line):
                found = derivative.rule(node, *node.operands, **dict(node.params))
            partials = found if isinstance(found, tuple) else (found,)
            pairs = zip(node.operands, partials, strict=True)
            self._pairs[node] = [(x, p) for x, p in pairs if self._moves(x) and not is_zero(p)]
        return self._pairs[node]

    def _integral(self, node: Expr, k: int) -> int | None:
        """A coefficient of what has known partials: k y_k = sum of those of T, not made a node."""
        terms: list[tuple[int, int]] = []
        plain: list[tuple[int, Any]] = []
        for x, partial in self._partials(node):
            rates = [self._places[self._rate(x), j] for j in range(k)]
            if not isinstance(partial, Expr):
                plain += [(at, partial) for at in rates[-1:] if at is not None]
                continue
            slopes = [self._places[partial, j] for j in reversed(range(k))]
            both = zip(rates, slopes, strict=True)
            terms += [(a, b) for a, b in both if a is not None and b is not None]
        if not terms and not plain:
            return None

        def step(known: list[Any], _: Arithmetic) -> Any:
            total: Any = None
            for a, b in terms:
                term = known[a] * known[b]
                total = term if total is None else total + term
            for a, number in plain:
                term = known[a] * number
                total = term if total is None else total + term
            return total if k == 1 else total / k

        return self._enter(step)

    def _slope(self, node: Expr) -> Tangent:
        """T of a node: its pushforward along the rates of its operands."""
        if node not in self._slopes:
            rates = [self._rate(x) if self._moves(x) else None for x in node.operands]
            times = scaled if node.primitive.choice is None else taken
            with attributed_to(node.line):
                self._slopes[node] = tangent_of(node, rates, times)
        return self._slopes[node]

    def _rate(self, x: Expr) -> Expr:
        """The derivative by t of a node, as an input."""
        if x not in self._rates:
            rate = self._rates[x] = placeholder(x.shape, x.dtype, "rate")
            self._rate_of[rate] = x
            self._depends[rate] = True
        return self._rates[x]


def _products(series: Sequence[Sequence[int | None]], total: int) -> Iterator[list[int]]:
    """All ways to take a coefficient of each series, none of them zero, of so many orders in all.

    >>> list(_products([[10, 11, None], [20, 21, 22]], 2))
    [[10, 22], [11, 21]]
    """
    first, *rest = series
    if not rest:
        if total < len(first) and (place := first[total]) is not None:
            yield [place]
        return
    for j, place in enumerate(first[: total + 1]):
        if place is not None:
            for places in _products(rest, total - j):
                yield [place, *places]
