"""Values and gradients written by hand in NumPy: what a person would write who has the formulas.

What flows: the arguments of a function of functions.py -> its value and the gradients, or of
`product` a Hessian times a vector.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit, logsumexp


def rosenbrock(x: Any) -> Any:
    a = x[:-1]
    r, s = x[1:] - a * a, 1.0 - a
    gradient = np.zeros_like(x)
    gradient[1:] = 200.0 * r
    gradient[:-1] -= 400.0 * a * r + 2.0 * s
    return 100.0 * (r @ r) + s @ s, gradient


def product(x: Any, v: Any) -> Any:
    """Rosenbrock's Hessian times v."""
    a = x[:-1]
    out = np.zeros_like(x)
    out[1:] = 200.0 * v[1:] - 400.0 * a * v[:-1]
    out[:-1] += (1200.0 * a * a - 400.0 * x[1:] + 2.0) * v[:-1] - 400.0 * a * v[1:]
    return out


def helmholtz(x: Any, attraction: Any, volume: Any) -> Any:
    filled = volume @ x
    low, high, root = 1.0 - 2.0**0.5, 1.0 + 2.0**0.5, 8.0**0.5
    drawn = attraction @ x
    logs = np.log(x / (1.0 - filled))
    pairs = (x @ drawn) / (root * filled)
    ratio = np.log((1.0 + high * filled) / (1.0 + low * filled))
    by_filled = (
        np.sum(x) / (1.0 - filled)
        + pairs * ratio / filled
        - pairs * (high / (1.0 + high * filled) - low / (1.0 + low * filled))
    )
    gradient = logs + 1.0 + by_filled * volume - (2.0 * ratio / (root * filled)) * drawn
    return x @ logs - pairs * ratio, gradient


def logistic(w: Any, features: Any, labels: Any) -> Any:
    margin = -labels * (features @ w)
    return np.mean(np.logaddexp(0.0, margin)), (expit(margin) * -labels / len(labels)) @ features


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


def chain(x: Any) -> Any:
    slope = np.ones_like(x)
    for _ in range(20):
        slope *= expit(x)
        x = np.logaddexp(0.0, x) - 0.5
    return np.sum(x), slope


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
    return (
        np.mean(out * out),
        x.T @ (by_scores @ k),
        x.T @ (by_scores.T @ q),
        x.T @ (share.T @ by_out),
    )


def bodies(x: Any, masses: Any) -> Any:
    apart = x[:, None, :] - x[None, :, :]
    near = np.sum(apart * apart, -1) + 0.01
    pulls = masses[:, None] * masses / np.sqrt(near)
    return -0.5 * np.sum(pulls), np.sum((pulls / near)[:, :, None] * apart, 1)


def pendulums(angles: Any, stiffness: Any, steps: int) -> Any:
    """The steps with what they met kept, then the way back through them."""
    h = 0.02
    parts = (0.0, 0.5 * h, 0.5 * h, h)
    shares = (h / 6.0, h / 3.0, h / 3.0, h / 6.0)
    q, v, met = angles, np.zeros_like(angles), []
    for _ in range(steps):
        kq = kv = np.zeros_like(q)
        dq, dv, inside = 0.0, 0.0, []
        for part, share in zip(parts, shares, strict=True):
            at, speed = q + part * kq, v + part * kv
            kq, kv = speed, -stiffness * np.sin(at) - 0.1 * speed
            inside.append(at)
            dq, dv = dq + share * kq, dv + share * kv
        met.append(inside)
        q, v = q + dq, v + dv
    value = np.sum(q * q + v * v)
    by_q, by_v, by_stiffness = 2.0 * q, 2.0 * v, np.zeros_like(stiffness)
    for inside in reversed(met):
        later_q = later_v = np.zeros_like(q)
        back_q, back_v = by_q, by_v
        for number in (3, 2, 1, 0):
            on = parts[number + 1] if number < 3 else 0.0
            by_kq = shares[number] * by_q + on * later_q
            by_kv = shares[number] * by_v + on * later_v
            at = inside[number]
            later_q = -stiffness * np.cos(at) * by_kv
            later_v = by_kq - 0.1 * by_kv
            by_stiffness = by_stiffness - np.sin(at) * by_kv
            back_q, back_v = back_q + later_q, back_v + later_v
        by_q, by_v = back_q, back_v
    return value, by_q, by_stiffness
