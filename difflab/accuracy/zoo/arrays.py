"""Zoo functions of matrices, parameter trees and states: linear algebra, learning, vector values.

Invariant: nothing but NumPy and Python is used inside a function; data are constants in its body.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from difflab.accuracy.zoo.form import Array, Members, Value, edge, hard, kink, ordinary, undefined

member = Members()

LECTURE = "lecture: computation graphs and backpropagation"

# --- linear algebra -------------------------------------------------------------------------------


@member(
    "multivariate several-arguments linear-algebra",
    ordinary((1.0, -2.0, 0.5), ((2.0, 1.0, 0.0), (-1.0, 3.0, 0.5), (0.25, 0.0, 1.0))),
)
def quadratic_form(x: Array, a: Array) -> Value:
    """x.Ax"""
    return x @ a @ x


@member(
    "multivariate linear-algebra",
    ordinary(((4.0, 1.0, 0.5), (1.0, 3.0, -1.0), (0.5, -1.0, 2.0))),
    hard(((1.0, 1.0), (1.0, 1.0 + 1e-10)), note="condition number 4e10"),
)
def log_determinant(a: Array) -> Value:
    """log |det A| of a symmetric positive definite matrix"""
    _, logarithm = np.linalg.slogdet(a)
    return logarithm


@member(
    "multivariate several-arguments linear-algebra",
    ordinary(((1.0, 0.0), (1.0, 1.0), (1.0, 2.0), (1.0, 3.0)), (1.0, 2.5, 2.0, 4.0)),
    hard(((1.0, 1.0), (1.0, 1.00001), (1.0, 1.0)), (1.0, 2.0, 3.0), note="columns almost equal"),
)
def least_squares(a: Array, b: Array) -> Value:
    """||b - A (A'A)⁻¹ A'b||², by the normal equations"""
    x = np.linalg.solve(a.T @ a, a.T @ b)
    return np.sum((b - a @ x) ** 2)


@member(
    "multivariate linear-algebra kink",
    ordinary(((1.0, -2.0), (0.5, 3.0))),
    kink(((0.0, 0.0), (0.0, 0.0)), note="the tip of a cone"),
)
def frobenius_norm(a: Array) -> Value:
    """√(sum a_ij²), by np.linalg.norm"""
    return np.linalg.norm(a)


@member(
    "multivariate linear-algebra domain-edge",
    ordinary((1.0, 2.0, -0.5)),
    edge((0.0, 0.0, 1e-170), note="x.x underflows to 0: NaN, beside the hole at 0"),
    undefined((0.0, 0.0, 0.0), note="0/0: NaN"),
)
def rayleigh_quotient(x: Array) -> Value:
    """x.Ax / x.x, A = tridiagonal (-1, 2, -1)"""
    n = x.shape[0]
    a = 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    return (x @ a @ x) / (x @ x)


@member(
    "multivariate linear-algebra",
    ordinary((0.0, -1.0, -2.0)),
    hard((0.0, 2.0, -20.0), note="the covariance is almost singular"),
    source="Rasmussen & Williams 2006, algorithm 2.1",
)
def gaussian_process(log_parameters: Array) -> Value:
    """y.K⁻¹y/2 + log|K|/2 + n/2 log 2π, K from log amplitude, length and noise, by Cholesky"""
    x = np.linspace(0.0, 1.0, 5)
    y = np.sin(6 * x)
    amplitude, length, noise = np.exp(log_parameters)
    covariance = amplitude * np.exp(-0.5 * ((x[:, None] - x) / length) ** 2) + noise * np.eye(5)
    lower = np.linalg.cholesky(covariance)
    z = np.linalg.solve(lower, y)
    return 0.5 * (z @ z) + np.sum(np.log(np.diag(lower))) + 2.5 * np.log(2 * np.pi)


# --- learning -------------------------------------------------------------------------------------


@member("multivariate network", ordinary((1.0, 1.0, -1.5)), source=LECTURE + ", exercise")
def lecture_exercise(w: Array) -> Value:
    """-log s(w.x), x = (1, 1, 1), s(a) = 1/(1 + exp(-a))"""
    x = np.ones(3)
    return -np.log(1 / (1 + np.exp(-(w @ x))))


@member(
    "multivariate network cancellation",
    ordinary((0.1, 0.5, -0.3)),
    hard((0.0, 30.0, 0.0), note="1 - s(a) keeps 3 digits"),
    hard((0.0, 800.0, 0.0), note="0 log(0): NaN"),
)
def logistic_regression_naive(w: Array) -> Value:
    """mean -y log s(a) - (1 - y) log(1 - s(a)), a = w_0 + x.w"""
    x = np.array([[0.5, 1.0], [-1.0, 0.3], [1.2, -0.7], [-0.4, -1.5]])
    y = np.array([1.0, 0.0, 1.0, 0.0])
    s = 1 / (1 + np.exp(-(w[0] + x @ w[1:])))
    return np.mean(-y * np.log(s) - (1 - y) * np.log(1 - s))


@member(
    "multivariate network",
    ordinary((0.1, 0.5, -0.3)),
    hard((0.0, 800.0, 0.0), note="the naive form is NaN"),
)
def logistic_regression(w: Array) -> Value:
    """mean logaddexp(0, a) - y a + |w|²/200, a = w_0 + x.w"""
    x = np.array([[0.5, 1.0], [-1.0, 0.3], [1.2, -0.7], [-0.4, -1.5]])
    y = np.array([1.0, 0.0, 1.0, 0.0])
    a = w[0] + x @ w[1:]
    return np.mean(np.logaddexp(0.0, a) - y * a) + 0.005 * np.sum(w**2)


@member(
    "multivariate network",
    ordinary(((0.2, -0.1, 0.4), (0.3, 0.8, -0.6))),
    hard(((900.0, 0.0, -900.0), (0.0, 900.0, 0.0)), note="exp would overflow without the shift"),
)
def softmax_regression(w: Array) -> Value:
    """mean log sum_k exp(a_k) - a_y, a = xW"""
    x = np.array([[0.5, 1.0], [-1.0, 0.3], [1.2, -0.7], [-0.4, -1.5]])
    y = np.array([0, 1, 2, 1])
    a = x @ w
    a = a - np.max(a, axis=1, keepdims=True)
    return np.mean(np.log(np.sum(np.exp(a), axis=1)) - a[np.arange(4), y])


PERCEPTRON = {
    "weights": [((0.9, -0.4, 0.3), (-0.7, 0.8, 0.5)), ((1.1,), (-0.6,), (0.7,))],
    "biases": [(0.1, -0.2, 0.3), (-0.15,)],
}
DEAD_PERCEPTRON = {**PERCEPTRON, "biases": [(0.0, -0.2, 0.3), (-0.15,)]}


@member("multivariate network linear-algebra", ordinary(PERCEPTRON))
def perceptron(parameters: dict[str, Any]) -> Value:
    """mean logaddexp(0, a) - y a, a = tanh(xV + c)W + b, on exclusive or"""
    x = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    y = np.array([[0.0], [1.0], [1.0], [0.0]])
    (v, w), (c, b) = parameters["weights"], parameters["biases"]
    a = np.tanh(x @ v + c) @ w + b
    return np.mean(np.logaddexp(0.0, a) - y * a)


@member(
    "multivariate network linear-algebra control-flow kink",
    ordinary(PERCEPTRON),
    kink(DEAD_PERCEPTRON, note="a relu at exactly 0 for the input (0, 0)"),
)
def relu_perceptron(parameters: dict[str, Any]) -> Value:
    """mean (a - y)²/2, h = x, h <- max(hW + b, 0) up to the last layer, on exclusive or"""
    h = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    y = np.array([[0.0], [1.0], [1.0], [0.0]])
    *hidden, (w, b) = zip(parameters["weights"], parameters["biases"], strict=True)
    for v, c in hidden:
        h = np.maximum(h @ v + c, 0.0)
    return 0.5 * np.mean((h @ w + b - y) ** 2)


@member(
    "multivariate network several-arguments",
    ordinary((0.3, -0.2), ((0.0, 0.5), (2.0, 1.0)), (0.1, -0.3)),
    hard((0.0, 0.0), ((0.5, 0.8), (0.5, 0.8)), (0.0, -16.0), note="a component of width 1e-7"),
    source="Bishop 2006, Pattern recognition and machine learning, section 9.2",
)
def gaussian_mixture(logits: Array, means: Array, log_widths: Array) -> Value:
    """-sum_n log sum_k softmax(logits)_k Normal(x_n; means_k, exp(log_widths_k)² I)"""
    x = np.array([[0.2, 0.4], [-0.3, 1.1], [1.7, 0.9], [2.4, 1.2], [0.5, 0.8]])
    squares = np.sum((x[:, None, :] - means) ** 2, axis=2)
    log_weights = logits - np.log(np.sum(np.exp(logits)))
    logs = log_weights - 2 * log_widths - np.log(2 * np.pi) - 0.5 * squares / np.exp(2 * log_widths)
    shift = np.max(logs, axis=1)
    return -np.sum(shift + np.log(np.sum(np.exp(logs - shift[:, None]), axis=1)))


# --- vectors as values ----------------------------------------------------------------------------


@member("vector", ordinary(0.8))
def helix(t: float) -> Value:
    """(cos t, sin t, t/2)"""
    return np.stack([np.cos(t), np.sin(t), 0.5 * t])


@member("vector", ordinary((2.0, 0.6)), hard((0.0, 0.6), note="the map is singular at r = 0"))
def polar_to_cartesian(p: Array) -> Value:
    """(r cos θ, r sin θ)"""
    r, theta = p
    return np.stack([r * np.cos(theta), r * np.sin(theta)])


@member("vector several-arguments", ordinary(2.0, 0.6, -1.1))
def spherical_to_cartesian(r: float, theta: float, phi: float) -> Value:
    """(r sin θ cos φ, r sin θ sin φ, r cos θ)"""
    across = r * np.sin(theta)
    return np.stack([across * np.cos(phi), across * np.sin(phi), r * np.cos(theta)])


@member("vector", ordinary((1.0, 1.0, 1.0)), ordinary((-8.0, 8.0, 27.0)), source="Lorenz 1963")
def lorenz(state: Array) -> Value:
    """(10 (y - x), x (28 - z) - y, xy - 8z/3)"""
    x, y, z = state
    return np.stack([10 * (y - x), x * (28 - z) - y, x * y - 8 * z / 3])


@member(
    "vector cancellation",
    ordinary((0.5, -1.0, 2.0)),
    hard((800.0, 0.0, -800.0), note="exp overflows: inf/inf is NaN"),
)
def softmax_naive(x: Array) -> Value:
    """exp(x) / sum exp(x_i)"""
    return np.exp(x) / np.sum(np.exp(x))


@member(
    "vector",
    ordinary((0.5, -1.0, 2.0)),
    hard((800.0, 0.0, -800.0), note="exp would overflow without the shift"),
    hard((40.0, 0.0, 0.0), note="1 - y of the largest loses every digit"),
)
def softmax_shifted(x: Array) -> Value:
    """exp(x - m) / sum exp(x_i - m), m = max x_i"""
    y = np.exp(x - np.max(x))
    return y / np.sum(y)


@member(
    "vector", ordinary(np.full(6, -1.0)), ordinary(np.linspace(-1, 1, 5)), source="Broyden 1965"
)
def broyden_tridiagonal(x: Array) -> Value:
    """(3 - 2 x_i) x_i - x_(i-1) - 2 x_(i+1) + 1, x_0 = x_(n+1) = 0"""
    before = np.concatenate([np.zeros(1), x[:-1]])
    after = np.concatenate([x[1:], np.zeros(1)])
    return (3 - 2 * x) * x - before - 2 * after + 1


@member(
    "vector linear-algebra",
    ordinary(((4.0, 1.0), (-2.0, 3.0))),
    hard(((1.0, 1.0), (1.0, 1.0 + 1e-8)), note="condition number 4e8"),
)
def inverse(a: Array) -> Value:
    """A⁻¹"""
    return np.linalg.inv(a)


@member(
    "vector control-flow kink",
    ordinary((0.3, -0.4)),
    ordinary((3.0, -4.0)),
    kink((1.0, 0.0), note="on the ball's surface, where the branches meet"),
)
def project_to_ball(x: Array) -> Value:
    """x / max(||x||, 1), by an if"""
    norm = np.linalg.norm(x)
    if norm > 1:
        return x / norm
    return x


@member(
    "vector control-flow",
    ordinary((0.5, 0.0)),
    ordinary((2.0, -1.0)),
    hard((np.pi - 1e-6, 0.0), note="almost upside down: the slope grows like exp(time)"),
)
def pendulum(state: Array) -> Value:
    """angle and velocity of angle'' = -sin(angle) after 40 Runge-Kutta steps of 0.1"""

    def slope(y: Array) -> Value:
        return np.stack([y[1], -np.sin(y[0])])

    h = 0.1
    for _ in range(40):
        k1 = slope(state)
        k2 = slope(state + 0.5 * h * k1)
        k3 = slope(state + 0.5 * h * k2)
        k4 = slope(state + h * k3)
        state = state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return state
