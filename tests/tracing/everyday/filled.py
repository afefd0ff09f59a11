"""Loops that fill arrays: algebra by hand, dynamic programmes, trajectories."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .case import at, spread

# Loops that fill arrays ---------------------------------------------------------------------------


@at(*spread(7))
def second_differences(u):
    d = np.zeros(len(u))
    for i in range(1, len(u) - 1):
        d[i] = u[i - 1] - 2.0 * u[i] + u[i + 1]
    return np.sum(d**2)


@at(0.7, 1.3)
def linear_recurrence(x):
    f = np.zeros(10)
    f[0], f[1] = x
    for n in range(2, 10):
        f[n] = 0.5 * f[n - 1] + 0.3 * f[n - 2]
    return f[-1] + f[5] ** 2


@at(0.5, -1.0, 0.8, 0.9, -0.6, 0.2)
def prefix_sums(x):
    s = np.empty(len(x) + 1)
    s[0] = 0.0
    for i in range(len(x)):
        s[i + 1] = s[i] + x[i]
    return np.max(s) - np.min(s)


@at(0.5, 1.2, 2.1)
def kernel_matrix(x):
    n = len(x)
    K = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            K[i, j] = np.exp(-0.5 * (x[i] - x[j]) ** 2)
    return np.sum(K) + np.linalg.det(K + 0.1 * np.eye(n))


@at(*spread(16) + 2.0 * np.eye(4).ravel())
def gaussian_elimination(x):
    A = np.array(x).reshape(4, 4)
    b = np.arange(1.0, 5.0)
    n = len(b)
    for k in range(n):
        p = k + np.argmax(np.abs(A[k:, k]))
        if p != k:
            A[[k, p]] = A[[p, k]]
            b[k], b[p] = b[p], b[k]
        for i in range(k + 1, n):
            m = A[i, k] / A[k, k]
            A[i, k:] -= m * A[k, k:]
            b[i] = b[i] - m * b[k]
    y = np.zeros(n)
    for i in reversed(range(n)):
        y[i] = (b[i] - A[i, i + 1 :] @ y[i + 1 :]) / A[i, i]
    return np.sum(y**2)


@at(*spread(9), shape=(3, 3))
def cholesky_by_hand(B):
    A = B @ B.T + 2.0 * np.eye(3)
    L = np.zeros_like(A)
    for i in range(3):
        for j in range(i + 1):
            s = A[i, j] - np.dot(L[i, :j], L[j, :j])
            L[i, j] = np.sqrt(s) if i == j else s / L[j, j]
    return np.sum(np.log(np.diag(L))) + L[2, 0]


@at(*spread(9) + 3.0 * np.eye(3).ravel(), shape=(3, 3))
def lu_in_place(M):
    A = M.copy()
    for k in range(len(A) - 1):
        A[k + 1 :, k] /= A[k, k]
        A[k + 1 :, k + 1 :] -= np.outer(A[k + 1 :, k], A[k, k + 1 :])
    return np.prod(np.diagonal(A)) + A[2, 0]


@at(*spread(6, 0.1, 1.0))
def thomas_solver(d):
    n = len(d)
    c, rhs, b = np.full(n, -0.4), d.copy(), np.full(n, 2.0) + 0.1 * d
    for i in range(1, n):
        w = -0.4 / b[i - 1]
        b[i] -= w * c[i - 1]
        rhs[i] -= w * rhs[i - 1]
    y = np.zeros(n)
    y[-1] = rhs[-1] / b[-1]
    for i in range(n - 2, -1, -1):
        y[i] = (rhs[i] - c[i] * y[i + 1]) / b[i]
    return np.sum(y * np.arange(n))


@at(*spread(12), shape=(4, 3))
def modified_gram_schmidt(A):
    Q = A.copy()
    R = np.zeros((3, 3))
    for k in range(3):
        R[k, k] = np.linalg.norm(Q[:, k])
        Q[:, k] /= R[k, k]
        for j in range(k + 1, 3):
            R[k, j] = Q[:, k] @ Q[:, j]
            Q[:, j] -= R[k, j] * Q[:, k]
    return np.sum(Q[0]) + np.sum(R**2)


@at(*spread(9), shape=(3, 3))
def power_iteration(B):
    A = B + B.T + 4.0 * np.eye(3)
    v = np.ones(3)
    for _ in range(25):
        v[:] = A @ v
        v /= np.linalg.norm(v)
    return v @ A @ v


@at(*spread(4, 0.5, 2.0))
def gauss_seidel(b):
    A = np.diag(np.full(4, 4.0)) + np.diag(-np.ones(3), 1) + np.diag(-np.ones(3), -1)
    x = np.zeros(4)
    while True:
        old = x.copy()
        for i in range(4):
            x[i] = (b[i] - A[i, :i] @ x[:i] - A[i, i + 1 :] @ x[i + 1 :]) / A[i, i]
        if np.max(np.abs(x - old)) < 1e-10:
            return np.sum(x**2)


@at(*spread(5, 0.5, 2.0))
def jacobi_sweeps(b):
    x = np.zeros_like(b)
    for _ in range(15):
        new = np.empty_like(x)
        new[0] = (b[0] + x[1]) / 3.0
        new[-1] = (b[-1] + x[-2]) / 3.0
        new[1:-1] = (b[1:-1] + x[:-2] + x[2:]) / 3.0
        x = new
    return x[2] ** 2 + np.sum(x)


@at(*spread(8))
def convolution_by_hand(x):
    kernel = [0.25, 0.5, 0.25]
    y = np.zeros(len(x) + 2)
    for i, v in enumerate(x):
        for j, w in enumerate(kernel):
            y[i + j] += v * w
    return np.sum(y**3)


# Dynamic programmes -------------------------------------------------------------------------------


@at(*spread(4))
def soft_dtw(x):
    y = np.array([0.1, 0.9, 0.4])
    R = np.full((len(x) + 1, len(y) + 1), np.inf)
    R[0, 0] = 0.0
    for i in range(1, len(x) + 1):
        for j in range(1, len(y) + 1):
            r = -np.array([R[i - 1, j - 1], R[i - 1, j], R[i, j - 1]]) / 0.5
            m = np.max(r)
            softmin = -0.5 * (np.log(np.sum(np.exp(r - m))) + m)
            R[i, j] = (x[i - 1] - y[j - 1]) ** 2 + softmin
    return R[-1, -1]


@at(1.2, -0.6, -0.8)
def needleman_wunsch(score):
    match, mismatch, gap = score
    a, b = "GATTA", "GCAT"
    S = np.zeros((len(a) + 1, len(b) + 1))
    S[1:, 0] = gap * np.arange(1, len(a) + 1)
    S[0, 1:] = gap * np.arange(1, len(b) + 1)
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            s = match if a[i - 1] == b[j - 1] else mismatch
            S[i, j] = np.logaddexp(
                S[i - 1, j - 1] + s, np.logaddexp(S[i - 1, j] + gap, S[i, j - 1] + gap)
            )
    return S[-1, -1]


@at(0.7, 0.4, 0.9, 0.2)
def forward_algorithm(p):
    T = np.array([[p[0], 1.0 - p[0]], [p[1], 1.0 - p[1]]])
    E = np.stack([[p[2], 1.0 - p[2]], [p[3], 1.0 - p[3]]])
    observed = [0, 1, 0, 0, 1]
    alpha = np.zeros((len(observed), 2))
    alpha[0] = 0.5 * E[:, observed[0]]
    for t in range(1, len(observed)):
        alpha[t] = (alpha[t - 1] @ T) * E[:, observed[t]]
    return np.log(alpha[-1].sum())


@at(0.7, 0.4, 0.9, 0.2)
def viterbi(p):
    logT = np.log(np.array([[p[0], 1.0 - p[0]], [p[1], 1.0 - p[1]]]))
    logE = np.log([[p[2], 1.0 - p[2]], [p[3], 1.0 - p[3]]])
    observed = [0, 1, 0, 0, 1]
    V = np.zeros((len(observed), 2))
    back = np.zeros((len(observed), 2), dtype=int)
    V[0] = np.log(0.5) + logE[:, 0]
    for t in range(1, len(observed)):
        for s in range(2):
            candidates = V[t - 1] + logT[:, s]
            back[t, s] = np.argmax(candidates)
            V[t, s] = candidates[back[t, s]] + logE[s, observed[t]]
    return np.max(V[-1])


# Trajectories and states --------------------------------------------------------------------------


@at(1.0, 0.0, 0.1, 0.9)
def leap_frog(state):
    q, p = state[:2].copy(), state[2:].copy()
    for _ in range(10):
        p -= 0.05 * q / np.sum(q**2) ** 1.5
        q += 0.1 * p
        p -= 0.05 * q / np.sum(q**2) ** 1.5
    return 0.5 * np.sum(p**2) - 1.0 / np.linalg.norm(q) + q[0]


@at(1.0, 0.5, 0.8)
def runge_kutta_trajectory(p):
    def f(y):
        return np.array([y[0] * (p[2] - y[1]), y[1] * (y[0] - 0.6)])

    h, steps = 0.1, 8
    y = np.zeros((steps + 1, 2))
    y[0] = p[:2]
    for k in range(steps):
        k1 = f(y[k])
        k2 = f(y[k] + 0.5 * h * k1)
        k3 = f(y[k] + 0.5 * h * k2)
        k4 = f(y[k] + h * k3)
        y[k + 1] = y[k] + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
    return np.sum((y[:, 0] - 1.0) ** 2)


@at(*spread(8), shape=(2, 4))
def recurrent_network(W):
    inputs = np.array([0.3, -0.5, 0.9, 0.1])
    h = np.zeros((5, 2))
    for t, x in enumerate(inputs):
        h[t + 1] = np.tanh(W[:, :2] @ h[t] + W[:, 2] * x + W[:, 3])
    return np.mean(h[1:] ** 2)


@at(*spread(8))
def lstm_cell_states(w):
    c, h = np.zeros(4), np.zeros(4)
    for t in range(3):
        i, f = 1.0 / (1.0 + np.exp(-w[0] * h[t] - w[1])), 1.0 / (1.0 + np.exp(-w[2] * h[t] - w[3]))
        o, g = 1.0 / (1.0 + np.exp(-w[4] * h[t] - w[5])), np.tanh(w[6] * h[t] + w[7])
        c[t + 1] = f * c[t] + i * g
        h[t + 1] = o * np.tanh(c[t + 1])
    return h.sum()


@at(*spread(10))
def heat_in_place(u0):
    u = u0.copy()
    for _ in range(6):
        u[1:-1] += 0.2 * (u[2:] - 2.0 * u[1:-1] + u[:-2])
    return np.sum(u * np.arange(10.0))


@at(*spread(16), shape=(4, 4))
def heat_in_two_dimensions(start):
    u = np.zeros((6, 6))
    u[1:-1, 1:-1] = start
    for _ in range(3):
        u[1:-1, 1:-1] += 0.1 * (
            u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2] - 4.0 * u[1:-1, 1:-1]
        )
    return np.sum(u**2) + u[2, 3]


@at(*spread(9), shape=(3, 3))
def soft_game_of_life(board):
    new = np.zeros_like(board)
    for i in range(3):
        for j in range(3):
            neighbours = 0.0
            for di in (-1, 0, 1):
                for dj in (-1, 0, 1):
                    if (di, dj) != (0, 0):
                        neighbours += board[(i + di) % 3, (j + dj) % 3]
            new[i, j] = np.exp(-((neighbours - 3.0) ** 2)) + 0.5 * board[i, j]
    return new.sum()


class KalmanFilter:
    """One-dimensional; its state is an array that `update` writes to."""

    def __init__(self, variance):
        self.state = np.zeros(2)
        self.state[1] = 1.0
        self.variance = variance

    def update(self, z):
        gain = self.state[1] / (self.state[1] + self.variance)
        self.state[0] += gain * (z - self.state[0])
        self.state[1] *= 1.0 - gain


@at(0.4, 1.1, 0.9, 1.3)
def kalman_filter(z):
    tracker = KalmanFilter(0.5)
    for each in z:
        tracker.update(each)
    return tracker.state[0] ** 2


@dataclass
class Body:
    position: Any
    velocity: Any


@at(1.0, 0.2, -0.3, 0.7)
def bodies_in_dataclasses(x):
    body = Body(position=np.asarray(x[:2]).copy(), velocity=np.asarray(x[2:]).copy())
    for _ in range(4):
        body.velocity *= 0.9
        body.position += 0.1 * body.velocity
    return np.hypot(*body.position)
