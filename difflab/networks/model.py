"""The model: layers, a loss and a solver, and plain functions of a parameter tree.

What flows: `Model` says what is trained, and holds the parameters; its forward pass and its loss
are plain NumPy functions of a parameter tree, and nobody derives a gradient. The invariant:
everything stays in the model's dtype; who trains it knows a `Model`, and no `Network`.

>>> import difflab
>>> model = Model(inputs=2)
>>> model.fc(3, activation="tanh")
>>> model.fc(2, activation="softmax")
>>> X, y = np.array([[0.5, -1.0], [2.0, 1.0]]), np.array([0, 1])
>>> slopes = difflab.gradient(model.objective)(model.parameters, X, y)
>>> slopes[0]["W"].shape
(2, 3)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from difflab.errors import ArgumentError, ShapeError, UnknownNameError
from difflab.networks.examples import read_inputs, read_targets, stream, targets
from difflab.networks.layers import Array, Layer, Parameters, forward, pre_activations
from difflab.networks.losses import LOSSES, CrossEntropy, Loss, SquaredError
from difflab.networks.options import COUNT
from difflab.networks.solvers import SOLVERS, MinibatchSGD, Solver

DTYPES = ("float64", "float32")


class Model:
    """What is trained, without how; `Network` documents it."""

    def __init__(self, inputs: int, dtype: str = "float64") -> None:
        self.inputs = COUNT.checked("inputs", inputs, "a layer")
        name = str(np.dtype(dtype)) if isinstance(dtype, type | np.dtype) else dtype
        if name not in DTYPES:
            raise UnknownNameError("dtype", dtype, DTYPES)
        self.dtype = np.dtype(name)
        self.layers: list[Layer] = []
        self.labelled = False
        self._parameters: Parameters | None = None
        self._loss: Loss | None = None
        self._solver: Solver = MinibatchSGD()

    def fc(
        self,
        units: int,
        activation: str = "relu",
        initialiser: str | None = None,
        **options: float,
    ) -> None:
        """Add a fully connected layer.

        Parameters
        ----------
        units : how many outputs it has.
        activation : a name in `difflab.networks.activations.ACTIVATIONS`, such as relu or softmax.
        initialiser : glorot, he, lecun, uniform or normal; None: what suits the activation.
        options : those of the activation, such as leaky_relu's alpha, the slope below 0; what only
            other activations take makes no difference.
        """
        inputs = self.layers[-1].units if self.layers else self.inputs
        chosen = tuple(options.items())
        self.layers.append(Layer(inputs, units, activation, initialiser or "", chosen))
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
        return CrossEntropy() if self.last.row.probabilities else SquaredError()

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
        return bool(self.last.row.probabilities) or self.loss.of_probabilities or self.labelled

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

    def description(self) -> dict[str, Any]:
        """What it is, without its parameters, as plain data."""
        told = ("units", "activation", "initialiser")  # inputs follow from the layer before
        layers = [
            {name: getattr(layer, name) for name in told} | dict(layer.options)
            for layer in self.layers
        ]
        return {
            "inputs": self.inputs,
            "dtype": self.dtype.name,
            "layers": layers,
            "loss": {"name": type(self.loss).__name__, **asdict(self.loss)},
            "solver": {"name": type(self.solver).__name__, **asdict(self.solver)},
            "labelled": self.labelled,
        }

    # -- plain functions of a parameter tree -------------------------------------------------------

    def forward(self, parameters: Parameters, X: Any) -> Any:
        """The last layer's activations, one row an instance."""
        self.check()
        return forward(self.layers, parameters, X)

    def objective(self, parameters: Parameters, X: Any, y: Any, masks: Sequence[Any] = ()) -> Any:
        """The mean loss of instances plus the L2 penalty: what is differentiated.

        Parameters
        ----------
        parameters : a tree such as `parameters`.
        X, y : arrays of instances and of labels or targets, as they are: `fit` checks and converts.
        masks : for each hidden layer an array of its shape that multiplies it (dropout).
        """
        self.check()
        logits = pre_activations(self.layers, parameters, X, masks)[-1]
        mean = self.loss.mean(logits, targets(y, self.last.units, logits.dtype), self.last)
        return mean + self.loss.penalty(parameters) if self.loss.l2 else mean

    # -- data --------------------------------------------------------------------------------------

    def read_inputs(self, X: Any) -> Array:
        """Instances as users give them, checked, as rows of its dtype."""
        self.check()
        return read_inputs(X, self.layers[0], self.dtype)

    def read(self, X: Any, y: Any) -> tuple[Array, Array]:
        """Instances and targets as users give them, checked, as rows of its dtype."""
        rows = self.read_inputs(X)
        return rows, read_targets(y, len(rows), self.last, self.loss, self.dtype)


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
