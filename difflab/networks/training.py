"""The loop: update after update, whatever method makes the gradient.

What flows: minibatches go into one compiled update, whose parameters go into the next; every epoch
leaves a row of figures, and a checkpoint where one is asked for. The invariant: the parameters
after an update depend on the network, the data, the seed and the update's number alone, not on how
often training was interrupted, nor, up to rounding, on the method.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from difflab.engines import need_engine
from difflab.errors import (
    ArgumentError,
    DivergedError,
    DivergenceWarning,
    Line,
    missing,
    users_line,
)  # fmt: skip
from difflab.ir.tree import flatten, unflatten
from difflab.methods import Method
from difflab.networks.examples import Examples, Minibatches, digest, held_out
from difflab.networks.layers import Array, Parameters, pre_activations
from difflab.networks.metrics import accuracy, r2, survey
from difflab.networks.model import Model
from difflab.networks.options import COUNT, check, option
from difflab.networks.state import State
from difflab.networks.update import update_of

if TYPE_CHECKING:
    import pandas as pd


DIVERGED: Final = 1e3
"""How many times the first loss, or 1 where that is less, is no fluctuation any more."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of `Network.fit`."""

    method: Method
    seed: int
    validation: float | tuple[Any, Any] | None
    early_stopping: int | None = option(COUNT, None)
    progress: bool | None = None
    checkpoint: str | os.PathLike[str] | None = None
    updates: int | None = option(COUNT, None)
    every: int | None = option(COUNT, None)
    warm_start: bool = False
    engine: str = "auto"

    def __post_init__(self) -> None:
        check(self)
        need_engine(self.engine)
        if self.early_stopping is not None and self.validation is None:
            raise ArgumentError(
                "early_stopping watches the validation loss, and there is no validation set",
                "pass validation=0.2, or validation=(X, y)",
            )


def train(network: Model, X: Any, y: Any, settings: Settings) -> pd.DataFrame:
    """Train a network; see `Network.fit`."""
    import pandas as pd

    examples = held_out(network.read, X, y, settings.validation, settings.seed)
    network.labelled = np.ndim(y) == 1 and network.last.units > 1
    training = Training(network, examples, settings)
    training.run()
    state, stopping = training.state, settings.early_stopping is not None
    compared = stopping and state.lowest < math.inf
    network.parameters = training.tree(state.best if compared else state.parameters)
    history = pd.DataFrame([*state.rows, *([training.row()] if state.losses else [])])
    history.attrs["phases"] = training.phases
    last = state.lowest if compared else history["loss"].iloc[-1]
    history.attrs["diverged"] = training.has_diverged(last)
    return history


class Training:
    """A training run: its program, its minibatches and its state."""

    def __init__(self, network: Model, examples: Examples, settings: Settings) -> None:
        self.network, self.examples, self.settings = network, examples, settings
        solver = network.solver
        start = network.parameters if settings.warm_start else network.initial(settings.seed)
        self.start = start
        arrays, self.structure = flatten(start)
        self.state = State(arrays, solver.memory(arrays), arrays)
        size = min(solver.batch_size, len(examples.X))
        self.total = settings.updates or math.ceil(solver.epochs * len(examples.X) / size)
        self.agreed: dict[str, Any] = {}
        if settings.checkpoint is not None:
            self.agreed = self._settings_that_matter(start)
            if os.path.exists(settings.checkpoint):
                self.state.restore(settings.checkpoint, self.agreed)
        self.batches = Minibatches(
            examples.X, examples.y, solver.batch_size, settings.seed, solver.dropout,
            [layer.units for layer in network.layers[:-1]], solver.input_dropout,
        )  # fmt: skip
        begun = time.perf_counter()
        self.update = update_of(
            network, settings.method, start, self.batches.take(1), settings.engine
        )
        whole = time.perf_counter() - begun
        self.rate = self.update.number(solver.learning_rate) if solver.constant else None
        """The learning rate of all updates, where it is the same."""
        self.phases = {**self.update.derivation.seconds, "prepare": whole}

    def tree(self, arrays: Sequence[Array]) -> Parameters:
        """Arrays as a parameter tree."""
        found: Parameters = unflatten(self.structure, arrays)
        return found

    # -- the loop ----------------------------------------------------------------------------------

    def run(self) -> None:
        """All updates that are left."""
        state, settings = self.state, self.settings
        with np.errstate(all="ignore"), bar(settings.progress, state.update, self.total) as advance:
            while state.update < self.total and not self._stopped():
                due = self._next_row()
                last = min(due, self.total)
                begun = time.perf_counter()
                while state.update < last:
                    self._step()
                    advance()
                state.seconds += time.perf_counter() - begun
                if state.update == due:
                    self._add_row()
                    self._checkpoint()
        self._check_parameters()
        self._checkpoint()

    def _step(self) -> None:
        state, solver, number = self.state, self.network.solver, self.state.update + 1
        batch = self.batches.take(number)
        rate = self.rate or solver.rate(number, self.total)
        loss, norms, arrays, memory = self.update(
            state.parameters, batch, state.memory, number, rate
        )
        if not (math.isfinite(loss) and all(map(math.isfinite, norms))):
            raise self._diverged(number, loss, norms, batch)
        state.parameters, state.memory, state.update, state.norms = arrays, memory, number, norms
        state.losses.append(loss)

    def _stopped(self) -> bool:
        patience = self.settings.early_stopping
        return patience is not None and self.state.waited >= patience

    def _next_row(self) -> int:
        """The update after which the history has its next row."""
        number, every = self.state.update, self.settings.every
        return self.batches.end(number) if every is None else (number // every + 1) * every

    def _checkpoint(self) -> None:
        if self.settings.checkpoint is not None:
            self.state.save(self.settings.checkpoint, self.agreed)

    def _settings_that_matter(self, start: Parameters) -> dict[str, Any]:
        """What must be the same for a checkpoint to be gone on from; the length may differ where
        the learning rate is constant.
        """
        network, settings = self.network, self.settings
        solver = replace(network.solver, epochs=1)
        return {
            **network.description(),
            "solver": f"{solver}",
            "method": f"{settings.method}",
            "engine": settings.engine,
            "seed": settings.seed,
            "early_stopping": settings.early_stopping,
            "every": settings.every,
            "updates": None if solver.constant else self.total,
            "data": digest(self.examples),
            "initial parameters": digest(flatten(start)[0]),
        }

    # -- figures -----------------------------------------------------------------------------------

    def _add_row(self) -> None:
        state = self.state
        row = self.row()
        state.rows.append(row)
        state.losses = []
        if self.settings.early_stopping is None:
            return
        state.waited += 1
        if row["validation_loss"] < state.lowest:
            state.lowest, state.best, state.waited = row["validation_loss"], state.parameters, 0

    def row(self) -> dict[str, float]:
        """The figures after the last update."""
        state, net, data = self.state, self.network, self.examples
        parameters = self.tree(state.parameters)
        name, score = ("accuracy", accuracy) if net.classifies else ("r2", r2)
        outputs, shares = survey(net.layers, parameters, data.X)
        row: dict[str, float] = {
            "update": state.update,
            "epoch": self.batches.epochs(state.update),
            "loss": math.fsum(state.losses) / len(state.losses),
            name: score(outputs, data.y),
        }
        if len(data.held_X):
            logits = pre_activations(net.layers, parameters, data.held_X)[-1]
            row["validation_loss"] = float(net.loss.mean(logits, data.held_y, net.last))
            row[f"validation_{name}"] = score(net.last.activate(logits), data.held_y)
        row |= {f"gradient_norm_{i}": float(norm) for i, norm in enumerate(state.norms, 1)}
        row |= shares
        row["seconds"] = state.seconds
        return row

    # -- what goes wrong ---------------------------------------------------------------------------

    def _diverged(
        self, number: int, loss: float, norms: Sequence[float], batch: Sequence[Array]
    ) -> DivergedError:
        if math.isfinite(loss):  # back from the last layer, the first norm that is not finite
            i = max(i for i, norm in enumerate(norms, 1) if not math.isfinite(norm))
            what = f"layer {i} ({self.network.layers[i - 1]}) has a gradient too large for its norm"
        else:
            what = self._guilty(self.tree(self.state.parameters), batch)
        return DivergedError(
            f"update {number} stopped: the loss is {loss:g}; {what}", self._remedy()
        )

    def _guilty(self, parameters: Parameters, batch: Sequence[Array]) -> str:
        """The first value on the way through the layers that is not finite."""
        layers = self.network.layers
        values = pre_activations(layers, parameters, batch[0], batch[2:])
        for i, (layer, own, a) in enumerate(zip(layers, parameters, values, strict=True), 1):
            for what, arrays in (("parameters", own.values()), ("values", [a])):
                if not _finite(arrays):
                    return f"layer {i} ({layer}) is the first with {what} that are not finite"
        return (
            "every layer's values are finite, but not the loss that is made of the last's, which is"
            f" layer {len(layers)} ({layers[-1]})"
        )

    def _check_parameters(self) -> None:
        for i, own in enumerate(self.tree(self.state.parameters)):
            if not _finite(own.values()):
                layer = f"layer {i + 1} ({self.network.layers[i]})"
                what = f"after update {self.state.update} the parameters of {layer} are not finite"
                raise DivergedError(what, self._remedy())

    def has_diverged(self, last: float) -> bool:
        """Whether a loss is orders above that of the parameters at the start; a warning says so."""
        with np.errstate(all="ignore"):
            x, y, *masks = self.batches.take(1)
            first = float(self.network.objective(self.start, x, y, masks))
        if not last > DIVERGED * max(first, 1.0):
            return False
        line = users_line() or Line("difflab", 1)
        text = f"training diverged: the loss went from {first:.3g} to {last:.3g}; {self._remedy()}"
        warnings.warn_explicit(text, DivergenceWarning, line.file, line.number)
        return True

    def _remedy(self) -> str:
        rate = f"a smaller learning rate than {self.network.solver.learning_rate:g}"
        return "use " + ", or ".join(filter(None, (self.network.loss.steadier, rate)))


def _finite(arrays: Iterable[Array]) -> bool:
    return all(np.all(np.isfinite(array)) for array in arrays)


@contextlib.contextmanager
def bar(wanted: bool | None, done: int, total: int) -> Iterator[Callable[[], None]]:
    """A progress bar, and what moves it by an update."""
    if wanted is False or (wanted is None and not sys.stderr.isatty()):
        yield lambda: None
        return
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
    except ImportError:
        if wanted:
            raise missing("rich", "lab") from None
        yield lambda: None
        return
    columns = ("updates", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("updates", total=total, completed=done)
        yield lambda: progress.advance(task)
