"""The network as scikit-learn estimators, for pipelines, grid searches and cross-validation.

What flows: anything scikit-learn takes -> checked, standardised arrays -> `Network.fit` -> labels
or values in the user's own terms. The invariant is scikit-learn's contract, in full: constructors
only store, everything learnt ends in an underscore, and equal seeds give equal estimators.

>>> from difflab.networks.data import load
>>> train, test, _ = load("wine").split(seed=0)
>>> model = DNNClassifier(random_state=0).fit(train.X, train.y)
>>> model.score(test.X, test.y) > 0.9
True
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, fields
from typing import Any, Self

import numpy as np

from difflab.errors import ArgumentError, DomainError, UnknownNameError, extra
from difflab.methods import Method
from difflab.networks.data import Array, Standardisation
from difflab.networks.losses import CrossEntropy, Loss, SquaredError
from difflab.networks.network import Network
from difflab.networks.solvers import SOLVERS, Solver

with extra("lab", "scikit-learn"):
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped,unused-ignore]

_FLOOR = 0.4
"""Of a feature's range, the least that it is divided by: without it the almost constant pixels of
images cost MNIST's 5,000 images 1 % of accuracy; tables of measurements do not notice it."""
_OF_THE_SOLVER = tuple(option.name for option in fields(Solver))


@dataclass(eq=False, repr=False)
class _Estimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """What both estimators share: the parameters, and training on checked arrays."""

    hidden: Sequence[int] = (200,)
    _: KW_ONLY
    activation: str = "relu"
    solver: str = "Adam"
    learning_rate: float = 1e-2
    schedule: str = "cosine"
    batch_size: int = 64
    epochs: int = 100
    dropout: float = 0.2
    input_dropout: float = 0.05
    l2: float = 1e-4
    standardise: bool = True
    method: str | Method = "reverse"
    early_stopping: int | None = None
    validation_fraction: float = 0.1
    dtype: str = "float64"
    random_state: int | np.random.RandomState | None = None
    progress: bool = False

    def _train(self, X: Array, y: Array, units: int, activation: str, loss: Loss) -> None:
        """Build the network for checked X and y, and train it."""
        if self.solver not in SOLVERS:
            raise UnknownNameError("solver", self.solver, SOLVERS)
        self.standardisation_ = Standardisation.of(X, _FLOOR) if self.standardise else None
        network = Network(inputs=X.shape[1], dtype=self.dtype)
        if not np.iterable(self.hidden):
            raise ArgumentError(f"hidden={self.hidden!r}", "give the width of each, such as (200,)")
        for width in self.hidden:
            network.fc(width, activation=self.activation)
        network.fc(units, activation=activation)
        network.loss = loss
        options = {name: getattr(self, name) for name in _OF_THE_SOLVER}
        network.solver = SOLVERS[self.solver](**options)
        # Minibatches are too small to share: two threads take up to eight times as long as one.
        with threadpool_limits(1, user_api="blas"):
            self.history_ = network.fit(
                self._scaled(X),
                y,
                method=self.method,
                seed=int(check_random_state(self.random_state).randint(2**31 - 1)),
                validation=None if self.early_stopping is None else self.validation_fraction,
                early_stopping=self.early_stopping,
                progress=self.progress,
            )
        self.network_ = network

    def _inputs(self, X: Any) -> Array:
        """What the trained network takes, from what the user gives."""
        check_is_fitted(self)
        return self._scaled(validate_data(self, X, reset=False, dtype=np.float64))

    def _scaled(self, X: Array) -> Array:
        return X if self.standardisation_ is None else self.standardisation_(X)


class DNNClassifier(ClassifierMixin, _Estimator):  # type: ignore[misc]
    """A multi-layer perceptron with a softmax, trained on cross-entropy.

    Parameters
    ----------
    hidden : units of each hidden layer
    activation : of the hidden layers; a name that `Network.fc` knows
    solver : "MinibatchSGD", "Momentum", "Nesterov", "AdaGrad", "RMSProp" or "Adam"
    learning_rate, schedule, batch_size, epochs, dropout, input_dropout : of the solver
    l2 : weight of the penalty l2/2 ||W||^2
    standardise : bring each feature to mean 0 and a deviation of about 1, measured by `fit`
    method : how gradients are made; a name in `difflab.METHODS` or a method object
    early_stopping : stop after so many epochs without a lower validation loss, and keep the best
    validation_fraction : of the instances, held out for early stopping
    dtype : "float64" or "float32", what the network computes in
    random_state : decides initial weights, order and dropout
    progress : whether a progress bar is shown

    Attributes
    ----------
    classes_ : the labels, sorted
    network_ : the trained `Network`
    history_ : DataFrame, a row an epoch
    standardisation_ : the map of the features, or None
    n_features_in_, feature_names_in_ : of the X it was trained on

    >>> X, y = [[0.0], [1.0], [2.0], [3.0]], ["low", "low", "high", "high"]
    >>> model = DNNClassifier(hidden=(8,), learning_rate=0.05, random_state=0).fit(X, y)
    >>> model.predict([[-1.0], [4.0]])
    array(['low', 'high'], dtype='<U4')
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Train on instances X and their labels.

        Raises
        ------
        ValueError : X or y that scikit-learn refuses
        DomainError : a single class

        >>> DNNClassifier(epochs=2, random_state=0).fit([[0.0], [1.0]], [0, 1]).classes_
        array([0, 1])
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, numbers = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            (label,) = self.classes_.tolist()
            raise DomainError(
                f"y holds only one class, {label!r}: there is nothing to tell apart",
                "give instances of at least two classes",
            )
        self._train(X, numbers, len(self.classes_), "softmax", CrossEntropy(l2=self.l2))
        return self

    def predict_proba(self, X: Any) -> Array:
        """The probability of every class, a column each in the order of `classes_`."""
        rows = self._inputs(X)  # which says so where it is not trained yet
        return self.network_.predict_proba(rows)

    def predict(self, X: Any) -> Array:
        """The most probable label of every instance."""
        most_probable = np.argmax(self.predict_proba(X), axis=1)
        labels: Array = self.classes_[most_probable]
        return labels


class DNNRegressor(RegressorMixin, _Estimator):  # type: ignore[misc]
    """A multi-layer perceptron with a linear last layer, trained on squared error.

    The targets are standardised inside, so that a learning rate suits them whatever their unit.
    Parameters are those of `DNNClassifier`.

    Attributes
    ----------
    network_, history_, standardisation_, n_features_in_, feature_names_in_ : as there
    target_standardisation_ : the map of the targets

    >>> X = np.linspace(-3.0, 3.0, 200).reshape(-1, 1)
    >>> model = DNNRegressor(random_state=0).fit(X, 5.0 + 100.0 * np.sin(X.ravel()))
    >>> model.score(X, 5.0 + 100.0 * np.sin(X.ravel())) > 0.9
    True
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Train on instances X and their targets, of shape (instances,) or (instances, targets).

        Raises
        ------
        ValueError : X or y that scikit-learn refuses
        """
        X, y = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True)
        self.target_standardisation_ = Standardisation.of(y)
        units = 1 if y.ndim == 1 else y.shape[1]
        target = self.target_standardisation_(y)
        self._train(X, target, units, "identity", SquaredError(l2=self.l2))
        return self

    def predict(self, X: Any) -> Array:
        """The targets of every instance, in the shape that `fit` got them in."""
        rows = self._inputs(X)
        return self.target_standardisation_.inverse(self.network_.predict(rows))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
