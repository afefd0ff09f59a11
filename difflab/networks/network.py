"""The network: layers, a loss and a solver, in the words of the lecture.

What flows: `Network` says what is trained and holds the parameters; its forward pass and its loss
are plain NumPy functions of a parameter tree, and nobody derives a gradient. The invariant:
everything stays in the network's dtype.

>>> import difflab
>>> net = Network(inputs=2)
>>> net.fc(3, activation="tanh")
>>> net.fc(2, activation="softmax")
>>> X, y = np.array([[0.5, -1.0], [2.0, 1.0]]), np.array([0, 1])
>>> slopes = difflab.gradient(net.objective)(net.parameters, X, y)
>>> slopes[0]["W"].shape
(2, 3)
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from difflab.errors import ArgumentError, ShapeError, UnknownNameError
from difflab.methods import Method, method_of
from difflab.networks import storage
from difflab.networks.examples import read_inputs, read_targets, targets
from difflab.networks.figures import accuracy, labels, r2
from difflab.networks.layers import Array, Layer, Parameters, forward, pre_activations
from difflab.networks.losses import LOSSES, CrossEntropy, Loss, SquaredError
from difflab.networks.solvers import SOLVERS, MinibatchSGD, Solver
from difflab.networks.streams import stream
from difflab.networks.training import Settings, train

if TYPE_CHECKING:
    import pandas as pd

DTYPES = ("float64", "float32")
PROBABILITIES = ("sigmoid", "softmax")
"""Activations whose outputs are probabilities."""


class Network:
    """A multi-layer perceptron.

    Parameters
    ----------
    inputs
        How many numbers an instance has.
    dtype
        ``"float64"`` or ``"float32"``; everything is computed in it.

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

    def __init__(self, inputs: int, dtype: str = "float64") -> None:
        self.inputs = Layer(inputs, 1).inputs  # which says what is wrong with it
        name = str(np.dtype(dtype)) if isinstance(dtype, type | np.dtype) else dtype
        if name not in DTYPES:
            raise UnknownNameError("dtype", dtype, DTYPES)
        self.dtype = np.dtype(name)
        self.layers: list[Layer] = []
        self.labelled = False
        self._parameters: Parameters | None = None
        self._loss: Loss | None = None
        self._solver: Solver = MinibatchSGD()

    # -- what it is made of ------------------------------------------------------------------------

    def fc(
        self,
        units: int,
        activation: str = "relu",
        initialiser: str | None = None,
        alpha: float = 0.01,
    ) -> None:
        """Add a fully connected layer.

        Parameters
        ----------
        units
            How many outputs it has.
        activation
            identity, step, sigmoid, tanh, relu, leaky_relu, softplus or softmax.
        initialiser
            glorot, he, lecun, uniform or normal; None: what suits the activation.
        alpha
            The slope of leaky_relu below 0.
        """
        inputs = self.layers[-1].units if self.layers else self.inputs
        self.layers.append(Layer(inputs, units, activation, initialiser or "", alpha))
        self._parameters = None

    @property
    def last(self) -> Layer:
        """The last layer."""
        if not self.layers:
            raise ArgumentError("the network has no layers", "add one, such as net.fc(10)")
        return self.layers[-1]

    @property
    def loss(self) -> Loss:
        """What is minimised."""
        if self._loss is not None:
            return self._loss
        return CrossEntropy() if self.last.activation in PROBABILITIES else SquaredError()

    @loss.setter
    def loss(self, loss: Loss | str) -> None:
        self._loss = _chosen("loss", loss, LOSSES, Loss)

    @property
    def solver(self) -> Solver:
        """How it is minimised."""
        return self._solver

    @solver.setter
    def solver(self, solver: Solver | str) -> None:
        self._solver = _chosen("solver", solver, SOLVERS, Solver)

    @property
    def classifies(self) -> bool:
        """Whether outputs stand for classes."""
        probable = self.last.activation in PROBABILITIES or isinstance(self.loss, CrossEntropy)
        return probable or self.labelled

    def check(self) -> None:
        """Raise where it cannot be trained: no layers, or a loss that does not go with the last."""
        self.loss.check(self.last)

    @property
    def parameters(self) -> Parameters:
        """The weights and biases as a plain tree."""
        if self._parameters is None:
            self._parameters = self.initial(seed=0)
        return self._parameters

    @parameters.setter
    def parameters(self, parameters: Parameters) -> None:
        shapes = [(layer.inputs, layer.units) for layer in self.layers]
        found = [{name: np.shape(own[name]) for name in own} for own in parameters]
        wanted = [{"W": (n, m), "b": (m,)} for n, m in shapes]
        if found != wanted:
            raise ShapeError(
                f"parameters of shapes {found} for layers of shapes {wanted}", "give such a list"
            )
        self._parameters = [
            {name: np.array(own[name], self.dtype) for name in ("W", "b")} for own in parameters
        ]

    def initial(self, seed: int = 0) -> Parameters:
        """Newly drawn parameters."""
        rng = stream(seed, "weights")
        return [layer.initial(rng, self.dtype) for layer in self.layers]

    def describe(self) -> str:
        """Layers, shapes and parameter counts, as text."""
        rows = [("layer", "shape", "activation", "initialiser", "parameters")]
        for i, layer in enumerate(self.layers, 1):
            shape = f"{layer.inputs} -> {layer.units}"
            rows.append((str(i), shape, str(layer), layer.initialiser, f"{layer.size:,}"))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        sides = (str.rjust, str.ljust, str.ljust, str.ljust, str.rjust)
        lines = [
            "  ".join(
                side(cell, width) for side, cell, width in zip(sides, row, widths, strict=True)
            )
            for row in rows
        ]
        total = sum(layer.size for layer in self.layers)
        loss = f", {self.loss}" if self.layers else ""
        return "\n".join([*lines, f"{total:,} parameters in {self.dtype}{loss}"])

    def __repr__(self) -> str:
        sizes = "-".join(str(size) for size in (self.inputs, *[x.units for x in self.layers]))
        return f"<Network {sizes} {self.dtype}>"

    # -- plain functions of a parameter tree -------------------------------------------------------

    def forward(self, parameters: Parameters, X: Any) -> Any:
        """The last layer's activations, one row an instance."""
        self.check()
        return forward(self.layers, parameters, X)

    def objective(self, parameters: Parameters, X: Any, y: Any, masks: Sequence[Any] = ()) -> Any:
        """The mean loss of instances plus the L2 penalty: what is differentiated.

        Parameters
        ----------
        parameters
            A tree such as `parameters`.
        X, y
            Arrays of instances and of labels or targets, as they are: `fit` checks and converts.
        masks
            For each hidden layer an array of its shape that multiplies it (dropout).
        """
        self.check()
        logits = pre_activations(self.layers, parameters, X, masks)[-1]
        mean = self.loss.mean(logits, targets(y, self.last.units, logits.dtype), self.last)
        return mean + self.loss.penalty(parameters) if self.loss.l2 else mean

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
    ) -> pd.DataFrame:
        """Train, with gradients made by any method.

        Parameters
        ----------
        X
            One row an instance.
        y
            Labels 0, 1, ..., or targets: a number, or a row as wide as the last layer.
        method
            A name in `difflab.METHODS`, or a method object.
        seed
            Determines initial weights, split, order and dropout, whatever the method.
        validation
            A share of the instances to hold out (0.2), or a pair (X, y).
        early_stopping
            Stop after so many rows of the history without a lower validation loss, and keep the
            parameters of the lowest.
        progress
            Show a bar; None: where `rich` is installed and the output is a terminal.
        checkpoint
            A file that is written with every row of the history; where it is there already,
            training goes on from it, to the same bits as without the interruption.
        updates
            Stop after so many updates altogether; None: the solver's epochs.
        every
            A row of the history every so many updates; None: every epoch.
        warm_start
            Start from the parameters as they are, not from drawn ones.

        Returns
        -------
        DataFrame
            A row an epoch: update; epoch; loss (mean over the updates since the row before,
            penalty included); accuracy (r2 where values are predicted); validation_loss (no
            penalty) and validation_accuracy; for each layer gradient_norm_1, ... (of the row's
            last update) and, for hidden ones, saturated_1, ... (share of slopes below a twentieth
            of the activation's steepest) and dead_1, ... (share of units with slope 0 on all
            instances); seconds (spent on updates so far).

        Raises
        ------
        ArgumentError, ShapeError, DomainError, UnknownNameError
            Where X, y or an option do not fit.
        DivergedError
            Where the loss or a gradient is not finite; says at which update and layer.

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
            method=method_of(method),
            seed=seed,
            validation=validation,
            early_stopping=early_stopping,
            progress=progress,
            checkpoint=checkpoint,
            updates=updates,
            every=every,
            warm_start=warm_start,
        )
        return train(self, X, y, chosen)

    def outputs(self, X: Any) -> Array:
        """The last layer's activations, one row an instance."""
        found: Array = self.forward(self.parameters, self._inputs(X))
        return found

    def decision(self, X: Any) -> Array:
        """The logits: the last layer before its activation; of one unit, a number an instance."""
        rows = self._inputs(X)
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
        if self.last.activation not in PROBABILITIES:
            raise ArgumentError(
                f"outputs of the activation {self.last.activation!r} are no probabilities",
                "make the last layer sigmoid or softmax, or use net.outputs(X)",
            )
        return np.hstack([1.0 - found, found]) if self.last.units == 1 else found

    def score(self, X: Any, y: Any) -> float:
        """The accuracy, or R^2 where the network does not classify."""
        found = self.outputs(X)
        wanted = read_targets(y, len(found), self.last, self.loss, self.dtype)
        return accuracy(found, wanted) if self.classifies else r2(found, wanted)

    def _inputs(self, X: Any) -> Array:
        self.check()
        return read_inputs(X, self.layers[0], self.dtype)

    # -- in files ----------------------------------------------------------------------------------

    def description(self) -> dict[str, Any]:
        """What it is, without its parameters, as plain data."""
        layers = [asdict(layer) for layer in self.layers]
        for options in layers:
            del options["inputs"]  # which follow from the layer before
        return {
            "inputs": self.inputs,
            "dtype": self.dtype.name,
            "layers": layers,
            "loss": {"name": type(self.loss).__name__, **asdict(self.loss)},
            "solver": {"name": type(self.solver).__name__, **asdict(self.solver)},
            "labelled": self.labelled,
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything but the history to a file (.npz, no pickle), atomically."""
        self.check()
        for kind, value, table in (("loss", self.loss, LOSSES), ("solver", self.solver, SOLVERS)):
            if type(value) not in table.values():
                raise UnknownNameError(kind, type(value).__name__, table)
        storage.write(path, "network", self.description(), named(self.parameters))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Network:
        """The network of a file; `StorageError` where `save` did not write it."""
        header, arrays = storage.read(path, "network")
        try:
            net = cls(header["inputs"], header["dtype"])
            for options in header["layers"]:
                net.fc(**options)
            net.loss = _built(LOSSES, header["loss"])
            net.solver = _built(SOLVERS, header["solver"])
            net.labelled = bool(header["labelled"])
            net.check()
            counted = range(1, len(net.layers) + 1)
            net.parameters = [{"W": arrays[f"W{i}"], "b": arrays[f"b{i}"]} for i in counted]
        except (KeyError, TypeError, ValueError) as error:
            raise storage.refused(path, "network", str(error)) from None
        return net


def named(parameters: Parameters) -> dict[str, Array]:
    """The arrays of a parameter tree by name: W1, b1, W2, ..."""
    return {f"{name}{i}": own[name] for i, own in enumerate(parameters, 1) for name in own}


def _built(table: Mapping[str, type[Any]], options: Mapping[str, Any]) -> Any:
    rest = dict(options)
    return table[rest.pop("name")](**rest)


def _chosen(kind: str, value: Any, table: Mapping[str, type[Any]], base: type[Any]) -> Any:
    """The object itself, or one with default options by its name."""
    if isinstance(value, str):
        if value not in table:
            raise UnknownNameError(kind, value, table)
        return table[value]()
    if not isinstance(value, base):
        raise ArgumentError(
            f"a {kind} of type {type(value).__name__}", f"give one of {', '.join(table)}"
        )
    return value
