"""Arrays that are written to: by helpers, swaps, masks, outputs and accumulation."""

from __future__ import annotations

import logging
from collections import deque

import numpy as np

from .case import at, spread


def normalise_in_place(a):
    a -= a.mean()
    a /= a.std()


@at(*spread(5))
def mutating_helper(x):
    a = np.array(x)
    normalise_in_place(a)
    return np.sum(a**3)


@at(*spread(6))
def bubble_sort(x):
    a = x.copy()
    for i in range(len(a)):
        for j in range(len(a) - 1 - i):
            if a[j] > a[j + 1]:
                a[j], a[j + 1] = a[j + 1], a[j]
    return np.sum(a * np.arange(len(a)))


@at(*spread(6))
def sorts_in_place(x):
    a = x + 0.0
    a.sort()
    return np.sum(a[::-1] * np.arange(1.0, 7.0))


@at(*spread(6))
def accumulates_by_bin(x):
    bins = np.zeros(3)
    np.add.at(bins, [0, 1, 0, 2, 2, 0], x)
    return np.sum(bins**2)


@at(*spread(6, 0.1, 2.9))
def soft_histogram(x):
    counts = np.zeros(4)
    for v in x:
        k = int(np.floor(v))
        counts[k] += 1.0 - (v - k)
        counts[k + 1] += v - k
    return np.sum(counts**2)


@at(*spread(8))
def running_mean_with_a_deque(x):
    window, means = deque(maxlen=3), []
    for v in x:
        window.append(v)
        means.append(sum(window) / len(window))
    return np.sum(np.array(means) ** 2)


@at(*spread(6))
def mask_assignment(x):
    y = x.copy()
    y[y < 0.0] *= 0.1
    y[x > 0.8] = 1.0
    return y.sum()


@at(*spread(5))
def chained_outputs(x):
    buffer = np.empty_like(x)
    np.multiply(x, x, out=buffer)
    np.add(buffer, 1.0, out=buffer)
    np.sqrt(buffer, out=buffer)
    return np.sum(buffer)


@at(*spread(4, 0.2, 2.0))
def logs_inside(x):
    total = np.zeros(())
    for k, v in enumerate(x):
        logging.getLogger(__name__).debug("step %d: %s", k, f"{v:.3f}")
        total += v * np.log(v)
    return total


@at(*spread(4))
def fills_rows_and_columns(x):
    A = np.eye(4)
    A[0] = x
    A[:, 1] += x
    A[2:, 2:] *= x[0]
    np.fill_diagonal(A, x + 3.0)
    return np.linalg.slogdet(A)[1]


@at(*spread(5))
def horner_with_coefficients_in_place(c):
    quotient = c.copy()
    for i in range(1, len(quotient)):
        quotient[i] += 0.7 * quotient[i - 1]
    return quotient[-1] ** 2


@at(*spread(4))
def newton_divided_differences(y):
    t, d = np.array([0.0, 0.4, 1.0, 1.5]), y.copy()
    for k in range(1, 4):
        d[k:] = (d[k:] - d[k - 1 : -1]) / (t[k:] - t[:-k])
    return d[-1] ** 2 + d[0] * d[1]


@at(0.3, 1.1)
def transfer_matrix_in_a_list(x):
    layers = [np.zeros((2, 2)) for _ in range(2)]
    for layer, v in zip(layers, x, strict=True):
        layer[0, 0] = layer[1, 1] = np.cos(v)
        layer[0, 1], layer[1, 0] = -np.sin(v), np.sin(v) * 1.5
    return np.trace(layers[0] @ layers[1])
