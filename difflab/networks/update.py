"""An update as one program: loss, gradient and solver step, compiled together.

What flows: the method's derivation of the loss, a graph, is joined with the solver's step, traced,
and compiled to a straight line over planned buffers. The invariant: the same step follows whatever
method's gradient. A method that computes outside the IR (the complex step) runs first, and the step
is a program of its own.

Only what the program returns is allocated: the next parameters and the solver's memory of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Sequence
from dataclasses import fields, replace
from typing import Any, Final

import numpy as np

from difflab.engines import compile as compiled
from difflab.errors import UnsupportedError
from difflab.ir.expr import Graph
from difflab.ir.tree import flatten
from difflab.methods import Method
from difflab.networks.layers import Array, Parameters
from difflab.networks.losses import LOSSES
from difflab.networks.model import Model
from difflab.networks.solvers import SOLVERS, Memory, Solver
from difflab.operators import value_and_gradient
from difflab.table.identities import simplify
from difflab.tracing.trace import trace

Run = Callable[..., list[Any]]


KEPT: Final = 16
"""How many updates are kept for networks that are trained again."""
_kept: dict[Hashable, Update] = {}


def update_of(
    model: Model,
    method: Method,
    parameters: Parameters,
    batch: Sequence[Array],
    engine: str = "auto",
) -> Update:
    """The update of a network; the same as before, where all that it is made of is the same.

    Losses and solvers that are not difflab's own may read what changes, and are looked at anew.
    """
    known = type(model.loss) in LOSSES.values() and type(model.solver) in SOLVERS.values()
    if not known:
        return Update(model, method, parameters, batch, engine)
    inputs: dict[str, Any] = {own.name: own.default for own in fields(Solver)}
    rule = replace(model.solver, **inputs)
    layers = tuple([(layer, layer.row.function) for layer in model.layers])
    shapes = tuple([array.shape for array in batch])
    meant = engine, os.environ.get("DIFFLAB_ENGINE"), os.environ.get("DIFFLAB_NATIVE")
    key = method, model.dtype, layers, model.loss, rule, shapes, meant
    found = _kept.pop(key, None) or Update(model, method, parameters, batch, engine)
    _kept[key] = found  # the last one that goes
    for oldest in [*_kept][:-KEPT]:
        _kept.pop(oldest, None)
    return found


class Update:
    """The update of a network by a method, for minibatches like one given.

    Examples
    --------
    >>> from difflab.methods import Reverse
    >>> from difflab.networks import Network
    >>> net = Network(inputs=2)
    >>> net.fc(1, activation="identity")
    >>> batch = [np.ones((4, 2)), np.zeros((4, 1))]
    >>> update = Update(net, Reverse(), net.parameters, batch)
    >>> arrays = flatten(net.parameters)[0]
    >>> loss, norms, arrays, memory = update(arrays, batch, net.solver.memory(arrays), 1)
    >>> len(norms), [array.shape for array in arrays]
    (1, [(2, 1), (1,)])
    """

    def __init__(
        self,
        model: Model,
        method: Method,
        parameters: Parameters,
        batch: Sequence[Array],
        engine: str = "auto",
    ) -> None:
        solver, x, targets, masks = model.solver, batch[0], batch[1], tuple(batch[2:])
        arrays = flatten(parameters)[0]
        self.remembered = solver.remembered
        self.moved = 1 + len(parameters), 1 + len(parameters) + len(arrays)
        """From where to where the results of the program are the parameters."""
        self.number: Callable[[float], Any] = model.dtype.type
        """Makes a number what the program takes as it is."""
        self.full_rate = self.number(solver.learning_rate)
        objective = value_and_gradient(model.objective, method=method, engine="numpy")
        prepared = objective.prepare(parameters, x, targets, masks)
        if prepared.guards:
            raise UnsupportedError(
                "the loss branches on values, which one program for all updates cannot",
                "write the branch with np.where",
            )
        self.derivation = prepared.derivation
        self.run = _program(self.derivation.graph, prepared.run, model, arrays, batch, engine)

    def __call__(
        self,
        arrays: Sequence[Array],
        batch: Sequence[Array],
        memory: Memory,
        number: int,
        rate: float | None = None,
    ) -> tuple[float, list[Any], list[Array], Memory]:
        """The loss and each layer's gradient norm before the update, parameters and memory after.

        Updates are numbered from 1; the rate is the solver's learning rate where none is given.
        """
        kept = [array for own in memory for array in own] if self.remembered else ()
        rate = self.full_rate if rate is None else self.number(rate)
        found = self.run(*arrays, *batch, *kept, rate, self.number(number))
        begin, end = self.moved
        if self.remembered:
            rest = iter(found[end:])
            memory = [tuple([next(rest) for _ in own]) for own in memory]
        return float(found[0]), found[1:begin], found[begin:end], memory


def _program(
    graph: Graph | None, gradient_of: Run, model: Model, arrays: Sequence[Array],
    batch: Sequence[Array], engine: str,
) -> Run:  # fmt: skip
    """Loss, gradient and step in one; the step alone where there is no graph of the gradient."""
    solver, count = model.solver, len(arrays)
    rest = solver.memory(arrays), *[np.ones((), model.dtype)] * 2

    def step(arrays: Any, gradient: Any, memory: Any, rate: Any, number: Any) -> Any:
        squares = [np.sum(g * g) for g in gradient]
        pairs = zip(squares[::2], squares[1::2], strict=True)  # of W and b
        norms = [np.sqrt(w + b) for w, b in pairs]
        return norms, solver.step(arrays, gradient, memory, rate, number)

    if graph is not None:

        def update(point: Any, memory: Any, rate: Any, number: Any) -> Any:
            loss, *gradient = graph(*point)
            return loss, step(point[:count], gradient, memory, rate, number)

        return compiled(simplify(trace(update, [*arrays, *batch], *rest)), engine, often=True)
    program = compiled(simplify(trace(step, arrays, arrays, *rest)), engine, often=True)
    end = count + len(batch)

    def run(*given: Any) -> list[Any]:
        loss, *gradient = gradient_of(*given[:end])
        like = [np.asarray(g, p.dtype) for g, p in zip(gradient, given[:count], strict=True)]
        return [loss, *program(*given[:count], *like, *given[end:])]

    return run
