"""Multi-layer perceptrons, written as plain NumPy functions and trained by any method.

>>> import numpy as np
>>> X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
>>> y = np.array([0, 1, 1, 0])
>>> net = Network(inputs=2)
>>> net.fc(8, activation="tanh")
>>> net.fc(1, activation="sigmoid")
>>> net.loss = CrossEntropy()
>>> net.solver = MinibatchSGD(learning_rate=1.0, batch_size=4, epochs=300)
>>> history = net.fit(X, y, method="reverse", seed=0)
>>> net.predict(X)
array([0, 1, 1, 0])
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from difflab.errors import DivergedError, DivergenceWarning, StorageError
from difflab.networks.losses import CrossEntropy, SquaredError
from difflab.networks.network import Network
from difflab.networks.solvers import AdaGrad, Adam, MinibatchSGD, Momentum, Nesterov, RMSProp

if TYPE_CHECKING:
    from difflab.networks.data import Dataset, load
    from difflab.networks.estimator import DNNClassifier, DNNRegressor

__all__ = [
    "AdaGrad", "Adam", "CrossEntropy", "DNNClassifier", "DNNRegressor", "Dataset", "DivergedError",
    "DivergenceWarning", "MinibatchSGD", "Momentum", "Nesterov", "Network", "RMSProp",
    "SquaredError", "StorageError", "load",
]  # fmt: skip

# Imported when first used: scikit-learn is not needed to train a network.
_LATER = {
    "DNNClassifier": "difflab.networks.estimator",
    "DNNRegressor": "difflab.networks.estimator",
    "Dataset": "difflab.networks.data",
    "load": "difflab.networks.data",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'difflab.networks' has no attribute {name!r}")
    return getattr(importlib.import_module(_LATER[name]), name)


def __dir__() -> list[str]:
    return __all__
