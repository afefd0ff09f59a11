"""The functions that are timed beside peers, in NumPy's words.

What flows: arrays go in, one number comes out. Each peer runs this very text with its own words in
the place of those that are imported here, and of `repeat` (contestants.py): for JAX, `np` is
`jax.numpy` and `repeat` one of its loops. So nothing here is said that only NumPy has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import logsumexp

from difflab import log_softmax, relu, sigmoid, softmax, softplus


def repeat(times: int, step: Callable[[Any], Any], state: Any) -> Any:
    """The state after so many steps."""
    for _ in range(times):
        state = step(state)
    return state


def rosenbrock(x: Any) -> Any:
    """The sum of 100 (x_{i+1} - x_i^2)^2 + (1 - x_i)^2."""
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def helmholtz(x: Any, attraction: Any, volume: Any) -> Any:
    """The Helmholtz free energy of a mixture, in reduced units."""
    filled = np.dot(volume, x)
    ideal = np.sum(x * np.log(x / (1.0 - filled)))
    pairs = np.dot(x, attraction @ x) / (8.0**0.5 * filled)
    low, high = 1.0 - 2.0**0.5, 1.0 + 2.0**0.5
    return ideal - pairs * np.log((1.0 + high * filled) / (1.0 + low * filled))


def logistic(w: Any, features: Any, labels: Any) -> Any:
    """The mean loss of logistic regression, labels -1 and 1."""
    return np.mean(softplus(-labels * (features @ w)))


def mixture(weights: Any, means: Any, scales: Any, x: Any) -> Any:
    """The log-likelihood of a mixture of normal distributions, without constants."""
    z = (x[:, None, :] - means) * np.exp(scales)
    each = weights + np.sum(scales, -1) - 0.5 * np.sum(z * z, -1)
    return np.sum(logsumexp(each, -1)) - len(x) * logsumexp(weights, -1)


def chain(x: Any) -> Any:
    """Twenty softplus functions, one in the other."""
    for _ in range(20):
        x = softplus(x) - 0.5
    return np.sum(x)


def lstm(w: Any, u: Any, b: Any, x: Any, h: Any, c: Any) -> Any:
    """The squared output of a cell with long short-term memory."""
    size = len(b) // 4
    gates = x @ w + h @ u + b
    forget, enter = sigmoid(gates[:, :size]), sigmoid(gates[:, size : 2 * size])
    leave, new = sigmoid(gates[:, 2 * size : 3 * size]), np.tanh(gates[:, 3 * size :])
    out = leave * np.tanh(forget * c + enter * new)
    return np.sum(out * out)


def attention(query: Any, key: Any, value: Any, x: Any) -> Any:
    """The mean squared output of one head of attention."""
    scores = ((x @ query) @ (x @ key).T) / len(query) ** 0.5
    out = softmax(scores) @ (x @ value)
    return np.mean(out * out)


def bodies(x: Any, masses: Any) -> Any:
    """The potential energy of bodies, softened where they meet."""
    apart = x[:, None, :] - x[None, :, :]
    distance = np.sqrt(np.sum(apart * apart, -1) + 0.01)
    return -0.5 * np.sum(masses[:, None] * masses / distance)


def pendulums(angles: Any, stiffness: Any, steps: int) -> Any:
    """The squared state of damped pendulums, by Runge and Kutta's method of fourth order."""
    h = 0.02

    def slope(q: Any, v: Any) -> Any:
        return v, -stiffness * np.sin(q) - 0.1 * v

    def step(state: Any) -> Any:
        q, v = state
        q1, v1 = slope(q, v)
        q2, v2 = slope(q + 0.5 * h * q1, v + 0.5 * h * v1)
        q3, v3 = slope(q + 0.5 * h * q2, v + 0.5 * h * v2)
        q4, v4 = slope(q + h * q3, v + h * v3)
        q = q + h / 6.0 * (q1 + 2.0 * q2 + 2.0 * q3 + q4)
        v = v + h / 6.0 * (v1 + 2.0 * v2 + 2.0 * v3 + v4)
        return q, v

    q, v = repeat(steps, step, (angles, 0.0 * angles))
    return np.sum(q * q + v * v)


def network(layers: Any, x: Any, y: Any) -> Any:
    """The mean cross-entropy of a ReLU network."""
    for w, b in layers[:-1]:
        x = relu(x @ w + b)
    w, b = layers[-1]
    return -np.mean(log_softmax(x @ w + b)[np.arange(len(y)), y])
