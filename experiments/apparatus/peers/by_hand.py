"""Values and gradients written by hand in NumPy, of what is mostly products of matrices.

What flows: the arguments of a function of functions.py -> its value and the gradients. What is
loops over numbers is written by hand in C (in_c.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import expit, logsumexp


def mixture(weights: Any, means: Any, scales: Any, x: Any) -> Any:
    widths = np.exp(scales)
    z = (x[:, None, :] - means) * widths
    each = weights + np.sum(scales, -1) - 0.5 * np.sum(z * z, -1)
    whole = logsumexp(each, axis=-1)
    total = logsumexp(weights)
    share = np.exp(each - whole[:, None])
    count = np.sum(share, 0)
    by_means = np.einsum("nk,nkd->kd", share, z) * widths
    by_scales = count[:, None] - np.einsum("nk,nkd,nkd->kd", share, z, z)
    by_weights = count - len(x) * np.exp(weights - total)
    return np.sum(whole) - len(x) * total, by_weights, by_means, by_scales


def lstm(w: Any, u: Any, b: Any, x: Any, h: Any, c: Any) -> Any:
    size = len(b) // 4
    gates = x @ w + h @ u + b
    opened = expit(gates[:, : 3 * size])
    forget, enter, leave = opened[:, :size], opened[:, size : 2 * size], opened[:, 2 * size :]
    new = np.tanh(gates[:, 3 * size :])
    seen = np.tanh(forget * c + enter * new)
    out = leave * seen
    by_cell = 2.0 * out * leave * (1.0 - seen * seen)
    by_opened = np.concatenate([by_cell * c, by_cell * new, 2.0 * out * seen], 1)
    by_new = by_cell * enter * (1.0 - new * new)
    by_gates = np.concatenate([by_opened * opened * (1.0 - opened), by_new], 1)
    return np.sum(out * out), x.T @ by_gates, h.T @ by_gates, np.sum(by_gates, 0)


def attention(query: Any, key: Any, value: Any, x: Any) -> Any:
    root = len(query) ** 0.5
    q, k, v = x @ query, x @ key, x @ value
    scores = (q @ k.T) / root
    share = np.exp(scores - np.max(scores, -1, keepdims=True))
    share /= np.sum(share, -1, keepdims=True)
    out = share @ v
    by_out = 2.0 / out.size * out
    by_share = by_out @ v.T
    by_scores = share * (by_share - np.sum(by_share * share, -1, keepdims=True)) / root
    by_parts = by_scores @ k, by_scores.T @ q, share.T @ by_out
    return np.mean(out * out), *(x.T @ part for part in by_parts)


def network(layers: Any, x: Any, y: Any) -> Any:
    """Backpropagation as textbooks have it."""
    seen = [x]
    for w, b in layers[:-1]:
        x = np.maximum(x @ w + b, 0)
        seen.append(x)
    w, b = layers[-1]
    scores = x @ w + b
    scores -= np.max(scores, 1, keepdims=True)
    share = np.exp(scores)
    total = np.sum(share, 1, keepdims=True)
    rows = np.arange(len(y))
    value = np.mean(np.log(total[:, 0]) - scores[rows, y])
    back = share / total
    back[rows, y] -= 1
    back /= len(y)
    slopes = []
    for number in reversed(range(len(layers))):
        slopes.append((seen[number].T @ back, np.sum(back, 0)))
        if number:
            back = (back @ layers[number][0].T) * (seen[number] > 0)
    return value, slopes[::-1]


FORMS: dict[str, Callable[..., Any]] = {
    form.__name__: form for form in (mixture, lstm, attention, network)
}
