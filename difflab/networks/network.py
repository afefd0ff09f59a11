"""The network: a model that is trained, used and stored, in the words of the lecture.

What flows: instances and targets as users give them train its parameters; predictions come out, and
files go out and in. The invariant: a file gives back the same bits, and everything stays in the
network's dtype.

>>> net = Network(inputs=2)
>>> net.fc(1, activation="sigmoid")
>>> _ = net.fit([[0.0, 1.0], [1.0, 0.0]], [0, 1], updates=100)
>>> net.predict([[0.0, 1.0], [1.0, 0.0]])
array([0, 1])
"""

from __future__ import annotations

import html
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from difflab.errors import ArgumentError, DomainError, UnknownNameError
from difflab.methods import Method, method_of
from difflab.networks import storage
from difflab.networks.layers import Array, pre_activations
from difflab.networks.losses import LOSSES
from difflab.networks.metrics import accuracy, labels, r2
from difflab.networks.model import Model
from difflab.networks.options import FLAG
from difflab.networks.solvers import SOLVERS
from difflab.networks.training import Settings, train

if TYPE_CHECKING:
    import pandas as pd


_HEAD = ("layer", "shape", "activation", "initialiser", "parameters")


class Network(Model):
    """A multi-layer perceptron.

    Parameters
    ----------
    inputs : how many numbers an instance has.
    dtype : ``"float64"`` or ``"float32"``; everything is computed in it.

    Attributes
    ----------
    layers : list of Layer
    loss : Loss
        By default cross-entropy after a sigmoid or softmax, else squared error.
    solver : Solver
        By default ``MinibatchSGD()``.
    parameters : list of dict
        ``{"W": (inputs, units), "b": (units,)}`` for each layer; before `fit`, the initial ones
        of seed 0. May be set.
    labelled : bool
        Whether it was last trained on labels, of several units.

    Examples
    --------
    >>> net = Network(inputs=64, dtype="float32")
    >>> net.fc(32, activation="relu")
    >>> net.fc(10, activation="softmax")
    >>> print(net.describe())
    layer  shape      activation  initialiser  parameters
        1  64 -> 32   relu        he                2,080
        2  32 -> 10   softmax     glorot              330
    2,410 parameters in float32, CrossEntropy(l2=0.0, fused=True)
    """

    def describe(self) -> str:
        """Layers, shapes and parameter counts, as text."""
        rows = self._rows()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        sides = (str.rjust, str.ljust, str.ljust, str.ljust, str.rjust)
        lines = [
            "  ".join(
                side(cell, width) for side, cell, width in zip(sides, row, widths, strict=True)
            )
            for row in rows
        ]
        return "\n".join([*lines, self._total()])

    def _rows(self) -> list[tuple[str, ...]]:
        """The table of layers, its head first."""
        rows: list[tuple[str, ...]] = [_HEAD]
        for i, layer in enumerate(self.layers, 1):
            shape = f"{layer.inputs} -> {layer.units}"
            rows.append((str(i), shape, str(layer), layer.initialiser, f"{layer.size:,}"))
        return rows

    def _total(self) -> str:
        total = sum(layer.size for layer in self.layers)
        loss = f", {self.loss}" if self.layers else ""
        return f"{total:,} parameters in {self.dtype}{loss}"

    def _repr_html_(self) -> str:
        """What a notebook shows: `describe` as a table."""
        cells = ("".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in self._rows())
        rows = "".join(f"<tr>{row}</tr>" for row in cells)
        return f"<table>{rows}</table><p>{html.escape(self._total())}</p>"

    def __repr__(self) -> str:
        sizes = "-".join(str(size) for size in (self.inputs, *[x.units for x in self.layers]))
        return f"<Network {sizes} {self.dtype}>"

    # -- training and using ------------------------------------------------------------------------

    def fit(
        self,
        X: Any,
        y: Any,
        method: str | Method = "reverse",
        seed: int = 0,
        validation: float | tuple[Any, Any] | None = None,
        early_stopping: int | None = None,
        progress: bool | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        *,
        updates: int | None = None,
        every: int | None = None,
        warm_start: bool = False,
        engine: str = "auto",
    ) -> pd.DataFrame:
        """Train, with gradients made by any method.

        Parameters
        ----------
        X : one row an instance.
        y : labels 0, 1, ..., or targets: a number, or a row as wide as the last layer.
        method : a name in `difflab.METHODS`, or a method object.
        seed : determines initial weights, split, order and dropout, whatever the method.
        validation : a share of the instances to hold out (0.2), or a pair (X, y).
        early_stopping : stop after so many rows of the history without a lower validation loss, and
            keep the parameters of the lowest.
        progress : show a bar; None: where `rich` is installed and the output is a terminal.
        checkpoint : a file that is written with every row of the history; where it is there
            already, training goes on from it, to the same bits as without the interruption.
        updates : stop after so many updates altogether; None: the solver's epochs.
        every : a row of the history every so many updates; None: every epoch.
        warm_start : start from the parameters as they are, not from drawn ones.
        engine : what runs the updates; ``"auto"`` is machine code where there is any. Those of
            another engine differ in the last digits.

        Returns
        -------
        DataFrame : a row an epoch: update; epoch; loss (mean over the updates since the row before,
            penalty included); accuracy (r2 where values are predicted); validation_loss (no
            penalty) and validation_accuracy; for each layer gradient_norm_1, ... (of the row's
            last update) and, for hidden ones, saturated_1, ... (share of slopes below a twentieth
            of the activation's steepest) and dead_1, ... (share of units with slope 0 on all
            instances); seconds (spent on updates so far). Its ``attrs["diverged"]`` says whether
            the loss was a thousand times the first one at the end, and above a thousand.

        Warns
        -----
        DivergenceWarning : where it was.

        Raises
        ------
        ArgumentError, ShapeError, DomainError, UnknownNameError : where X, y or an option do not
            fit.
        DivergedError : where the loss or a gradient is not finite; says at which update and layer.

        Examples
        --------
        >>> net = Network(inputs=1)
        >>> net.fc(1, activation="identity")
        >>> history = net.fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0], method="forward")
        >>> history["update"].iloc[-1], net.parameters[0]["W"].shape
        (np.int64(20), (1, 1))
        """
        self.check()
        chosen = Settings(
            method_of(method), seed, validation, early_stopping, progress, checkpoint, updates,
            every, warm_start, engine,
        )  # fmt: skip
        return train(self, X, y, chosen)

    def outputs(self, X: Any) -> Array:
        """The last layer's activations, one row an instance."""
        found: Array = self.forward(self.parameters, self.read_inputs(X))
        return found

    def decision(self, X: Any) -> Array:
        """The logits: the last layer before its activation; of one unit, a number an instance."""
        rows = self.read_inputs(X)
        found: Array = pre_activations(self.layers, self.parameters, rows)[-1]
        return found[:, 0] if self.last.units == 1 else found

    def predict(self, X: Any) -> Array:
        """Labels, or values where the network does not classify; of one unit, a number each."""
        found = self.outputs(X)
        if self.classifies:
            return labels(found)
        return found[:, 0] if self.last.units == 1 else found

    def predict_proba(self, X: Any) -> Array:
        """The probability of every class, a column each; one sigmoid unit stands for two."""
        found = self.outputs(X)
        if not self.last.row.probabilities:
            raise ArgumentError(
                f"outputs of the activation {self.last.activation!r} are no probabilities",
                "make the last layer sigmoid or softmax, or use net.outputs(X)",
            )
        return np.hstack([1.0 - found, found]) if self.last.units == 1 else found

    def score(self, X: Any, y: Any) -> float:
        """The accuracy, or R^2 where the network does not classify."""
        rows, wanted = self.read(X, y)
        found = self.forward(self.parameters, rows)
        return accuracy(found, wanted) if self.classifies else r2(found, wanted)

    # -- in files ----------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything but the history to a file (.npz, no pickle), atomically."""
        self.check()
        for kind, value, table in (("loss", self.loss, LOSSES), ("solver", self.solver, SOLVERS)):
            if type(value) not in table.values():
                raise UnknownNameError(kind, type(value).__name__, table)
        counted = enumerate(self.parameters, 1)
        arrays = {f"{name}{i}": own[name] for i, own in counted for name in own}
        for name, array in arrays.items():
            if not np.all(np.isfinite(array)):
                raise DomainError(f"{name} holds values that are not finite", "train it again")
        storage.write(path, "network", self.description(), arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Network:
        """The network of a file; `StorageError` where `save` did not write it."""
        with storage.opened(path, "network") as stored:
            header = stored.header
            net = cls(header["inputs"], header["dtype"])
            for options in header["layers"]:
                net.fc(**options)
            net.loss = _built(LOSSES, header["loss"])
            net.solver = _built(SOLVERS, header["solver"])
            net.labelled = FLAG.checked("labelled", header["labelled"])
            net.check()
            known = net.description()
            storage.need_known(header, known)
            if not storage.holds(header, storage.plain(known)):
                raise ValueError("its settings are not written as difflab does")
            counted = [*enumerate(net.layers, 1)]
            weights = {f"W{i}": ((layer.inputs, layer.units), net.dtype) for i, layer in counted}
            biases = {f"b{i}": ((layer.units,), net.dtype) for i, layer in counted}
            arrays = stored.arrays({**weights, **biases})
            if not all(np.all(np.isfinite(array)) for array in arrays.values()):
                raise ValueError("its parameters are not finite")
            net.parameters = [{"W": arrays[f"W{i}"], "b": arrays[f"b{i}"]} for i, _ in counted]
        return net


def _built(table: Mapping[str, type[Any]], options: Mapping[str, Any]) -> Any:
    rest = dict(options)
    return table[rest.pop("name")](**rest)
