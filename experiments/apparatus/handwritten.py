"""Functions with gradients derived and written by hand, term by term.

What flows: one plain NumPy function returns the value and the list of the gradient's terms; the sum
of the terms is the gradient, and leaving one out is a mistake that people make. A term is an array,
or a tuple with one part for each argument. A vector-valued function gives its Jacobian.

The invariant: no rule of difflab is used here; what mpmath and balls say of these gradients is
therefore also a check of both.

>>> sphere = HANDWRITTEN["sphere"]
>>> sphere.f(np.array([3.0, 4.0])), sphere.gradient(np.array([3.0, 4.0]))
(np.float64(25.0), array([6., 8.]))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from apparatus.mutants import total
from difflab import sigmoid, softmax

Written = Callable[..., tuple[Any, list[Any]]]


@dataclass(frozen=True, slots=True)
class Handwritten:
    """A function and its gradient, as written by hand, and points to study them at."""

    written: Written
    points: tuple[tuple[Any, ...], ...]

    def f(self, *args: Any) -> Any:
        return self.written(*args)[0]

    def terms(self, *args: Any) -> list[Any]:
        return self.written(*args)[1]

    def gradient(self, *args: Any) -> Any:
        """The gradient: an array, or a tuple of one for each argument."""
        return total(self.terms(*args))


HANDWRITTEN: dict[str, Handwritten] = {}


def at(*points: tuple[Any, ...], name: str = "") -> Callable[[Written], Written]:
    """Add the function below, to be studied at these points; nested tuples become arrays."""
    read = tuple(tuple(np.array(x, np.float64)[()] for x in point) for point in points)

    def add(written: Written) -> Written:
        HANDWRITTEN[name or written.__name__] = Handwritten(written, read)
        return written

    return add


# fmt: off
INPUTS = np.array([[0.5, 1.0], [-1.0, 0.3], [1.2, -0.7], [-0.4, -1.5]])
LABELS = np.array([1.0, 0.0, 1.0, 0.0])
CLASSES = np.array([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0], [0, 1.0, 0]])
TIMES, READINGS = np.array([0.5, 1.0, 2.0, 4.0]), np.array([1.9, 1.4, 0.8, 0.3])
ZERO = np.zeros(1)

# Polynomials and test functions of optimisation ---------------------------------------------------

at(((1.5, -2.0, 0.5),), ((1e-9, 1.0, 1e9),), name="sphere")(lambda x: (np.sum(x**2), [2 * x]))

@at(((-1.2, 1.0),), ((0.3, -0.7, 1.1, 0.9),))
def rosenbrock(x):
    r, s = x[1:] - x[:-1] ** 2, 1 - x[:-1]
    inner, outer = np.concatenate([x[:-1] * r, ZERO]), np.concatenate([ZERO, r])
    return np.sum(100 * r**2 + s**2), [-400 * inner, -2 * np.concatenate([s, ZERO]), 200 * outer]

@at(((1.0, -1.0),), ((-2.8, 3.1),))
def himmelblau(p):
    x, y = p
    a, b = x**2 + y - 11, x + y**2 - 7
    return a**2 + b**2, [np.stack([4 * x * a, 2 * a]), np.stack([2 * b, 4 * y * b])]

@at(((0.3, -1.2, 2.1),))
def rastrigin(x):
    wave = 2 * np.pi * x
    return np.sum(10 + x**2 - 10 * np.cos(wave)), [2 * x, 20 * np.pi * np.sin(wave)]

at(((0.5, -2.0, 1.0),), ((-2.903534, 2.7),), name="styblinski_tang")(
    lambda x: (np.sum(x**4 - 16 * x**2 + 5 * x) / 2, [2 * x**3, -16 * x, 2.5 + 0 * x]))

@at(((1.0, 3.0),), ((-4.0, 11.0),))
def branin(p):
    x, y = p
    slope, share = 5.1 / (4 * np.pi**2), 10 * (1 - 1 / (8 * np.pi))
    valley = y - slope * x**2 + 5 * x / np.pi - 6
    steep = 2 * valley * (5 / np.pi - 2 * slope * x)
    terms = [np.stack([steep, 2 * valley]), np.stack([-share * np.sin(x), 0 * y])]
    return valley**2 + share * np.cos(x) + 10, terms

@at(((1.0, -2.0, 0.5, 3.0), 0.7), ((1.0, -7.0, 21.0, -35.0), 1.001))
def polynomial(c, x):
    powers = np.stack([x**3, x**2, x, 1 + 0 * x])
    return c @ powers, [(powers, 3 * c[0] * x**2), (0 * c, 2 * c[1] * x), (0 * c, c[2])]

at(((0.5, -1.0, 2.0),), name="product")(
    lambda x: (x[0] * x[1] * x[2], [np.stack([x[1] * x[2], x[0] * x[2], x[0] * x[1]])]))

@at((0.2,), (0.7,))
def logistic_map(x):
    y = 4 * x * (1 - x)
    return 4 * y * (1 - y), [4 * (1 - y) * 4 * (1 - 2 * x), -4 * y * 4 * (1 - 2 * x)]

# Linear algebra -----------------------------------------------------------------------------------

@at(((1.0, -2.0, 0.5), ((2.0, 1.0, 0.0), (-1.0, 3.0, 0.5), (0.25, 0.0, 1.0)), (1.0, 0.5, -2.0)))
def quadratic_form(x, a, b):
    parts = [(a @ x / 2, np.outer(x, x) / 2, 0 * b), (a.T @ x / 2, 0 * a, 0 * b), (b, 0 * a, x)]
    return x @ a @ x / 2 + b @ x, parts

@at((((1.0, 0.0), (1.0, 1.0), (1.0, 2.0)), (0.3, -0.4), (1.0, 2.5, 2.0)))
def residual(a, x, b):
    r = a @ x - b
    return np.sum(r**2) / 2, [(np.outer(r, x), a.T @ r, -r)]

at((((4.0, 1.0, 0.5), (0.7, 3.0, -1.0), (0.2, -1.5, 2.0)),), name="log_determinant")(
    lambda a: (np.linalg.slogdet(a)[1], [np.linalg.inv(a).T]))

@at((((4.0, 1.0), (-2.0, 3.0)), (1.0, 2.0), (0.5, -1.5)))
def through_a_solve(a, b, w):
    x, z = np.linalg.solve(a, b), np.linalg.solve(a.T, w)
    return w @ x, [(-np.outer(z, x), z, x)]

@at(((1.0, 2.0, -0.5),))
def rayleigh_quotient(x):
    a = 2 * np.eye(3) - np.eye(3, k=1) - np.eye(3, k=-1)
    n = x @ x
    return (x @ a @ x) / n, [2 * (a @ x) / n, -2 * (x @ a @ x) / n**2 * x]

at((((1.0, -2.0), (0.5, 3.0)), ((0.3, 1.0), (-1.0, 2.0))), name="inner_product_of_squares")(
    lambda a, b: (np.sum(a @ a * b), [(b @ a.T, a @ a), (a.T @ b, 0 * b)]))

@at(((3.0, -4.0, 12.0), (1.0, 0.5, 2.0)), ((3.0, -4.0, 12.0), (3.0, -4.0, 12.001)))
def distance(x, y):
    d = np.sqrt(np.sum((x - y) ** 2))
    return d, [((x - y) / d, (y - x) / d)]

@at(((1.0, 2.0, -0.5), (0.3, -1.0, 2.0)))
def cosine_similarity(x, y):
    n, m, s = np.sqrt(x @ x), np.sqrt(y @ y), x @ y
    return s / (n * m), [(y / (n * m), x / (n * m)), (-s * x / (n**3 * m), -s * y / (n * m**3))]

# Statistics ---------------------------------------------------------------------------------------

@at((0.4, -0.3), (1e3, 2.0), (0.8, -9.0))
def normal_log_likelihood(mean, log_width):
    z = (READINGS - mean) / np.exp(log_width)
    terms = [(np.sum(z) / np.exp(log_width), np.sum(z**2)), (0 * mean, -4.0 + 0 * log_width)]
    return np.sum(-0.5 * z**2 - log_width) - 2 * np.log(2 * np.pi), terms

@at(((0.3, -0.2),))
def poisson_log_likelihood(w):
    rate, counts = INPUTS @ w, np.array([2.0, 0.0, 1.0, 3.0])
    return np.sum(counts * rate - np.exp(rate)), [INPUTS.T @ counts, -INPUTS.T @ np.exp(rate)]

@at((0.7, 0.1), (50.0, -2.0))
def cauchy_log_likelihood(place, log_scale):
    z = (READINGS - place) / np.exp(log_scale)
    slope = 2 * z / (1 + z**2)
    terms = [(np.sum(slope) / np.exp(log_scale), np.sum(slope * z)), (0 * place, -4.0 + 0 * place)]
    return np.sum(-np.log1p(z**2) - log_scale) - 4 * np.log(np.pi), terms

at(((0.2, 0.3, 0.5),), ((1e-6, 0.3, 0.7),), name="entropy")(
    lambda p: (-np.sum(p * np.log(p)), [-np.log(p), -1.0 + 0 * p]))
at(((0.2, 0.3, 0.5), (0.4, 0.1, 0.5)), name="divergence")(
    lambda p, q: (np.sum(p * np.log(p / q)), [(np.log(p / q), -p / q), (1.0 + 0 * p, 0 * q)]))

@at(((0.5, -1.0, 2.0),), ((1e4, 1e4 + 1, 1e4 + 2.5),))
def variance(x):
    d = x - np.mean(x)
    return np.mean(d**2), [2 * d / x.shape[0]]

@at(((0.5, -1.0, 2.0),), ((1000.0, 1000.5, 999.0),), ((40.0, 0.0, 0.0),))
def log_sum_exp(x):
    m = np.max(x)
    y = np.exp(x - m)
    return m + np.log(np.sum(y)), [y / np.sum(y)]

@at((2.0, 1.1), (0.05, 3.0))
def exponential_decay(amplitude, rate):
    decayed = np.exp(-rate * TIMES)
    r = amplitude * decayed - READINGS
    return np.sum(r**2), [(2 * np.sum(r * decayed), -2 * amplitude * np.sum(r * TIMES * decayed))]

@at((2.0, 1.5))
def michaelis_menten(top, half):
    share = TIMES / (half + TIMES)
    r = top * share - READINGS
    return np.sum(r**2), [(2 * np.sum(r * share), -2 * top * np.sum(r * share / (half + TIMES)))]

# Learning -----------------------------------------------------------------------------------------

@at(((0.1, 0.5, -0.3),), ((3.0, -9.0, 14.0),))
def logistic_regression(w):
    a = w[0] + INPUTS @ w[1:]
    off = (sigmoid(a) - LABELS) / 4
    slope = np.concatenate([np.reshape(np.sum(off), (1,)), INPUTS.T @ off])
    return np.mean(np.logaddexp(0.0, a) - LABELS * a) + 0.005 * np.sum(w**2), [slope, 0.01 * w]

@at((((0.2, -0.1, 0.4), (0.3, 0.8, -0.6)),), (((9.0, 0.0, -9.0), (0.0, 19.0, 0.0)),))
def softmax_regression(w):
    a = INPUTS @ w
    a = a - np.max(a, axis=1, keepdims=True)
    y = np.exp(a)
    y = y / np.sum(y, axis=1, keepdims=True)
    loss = np.mean(np.log(np.sum(np.exp(a), axis=1)) - np.sum(a * CLASSES, axis=1))
    return loss, [INPUTS.T @ y / 4, -INPUTS.T @ CLASSES / 4]

@at((((0.5, -0.2), (0.3, 0.8)), (0.1, -0.1), (1.1, -0.6), 0.2))
def perceptron(v, c, w, b):
    h = np.tanh(INPUTS @ v + c)
    off = h @ w + b - LABELS
    back = np.outer(off, w) * (1 - h**2)
    parts = (INPUTS.T @ back / 4, np.mean(back, axis=0), h.T @ off / 4, np.mean(off))
    return np.mean(off**2) / 2, [parts]

@at((((0.5, -0.2), (0.3, 0.8)), (0.1, -0.1), ((1.1, -0.6, 0.2), (0.4, 0.7, -0.9))))
def relu_classifier(v, c, w):
    h = np.maximum(INPUTS @ v + c, 0.0)
    y = softmax(h @ w)
    off = (y - CLASSES) / 4
    back = off @ w.T * np.where(h > 0, 1.0, 0.0)
    parts = INPUTS.T @ back, np.sum(back, axis=0), h.T @ off
    return -np.mean(np.log(np.sum(y * CLASSES, axis=1))), [parts]

@at(((0.4, -0.3), ((1.0, 0.2), (-0.5, 0.8)), ((0.3, -1.0), (0.6, 0.1))))
def attention(q, keys, values):
    p = softmax(keys @ q)
    out = p @ values
    scores = p * (values @ out - out @ out)
    terms = [(2 * keys.T @ scores, 2 * np.outer(scores, q), 2 * np.outer(p, out))]
    return np.sum(out**2), terms

@at(((0.3, -4.0, 0.9, 1.7),))
def huber(x):
    small = np.abs(x) <= 1
    return np.sum(np.where(small, x * x / 2, np.abs(x) - 0.5)), [np.where(small, x, np.sign(x))]

at(((0.5, -40.0, 3.0),), name="softplus")(lambda x: (np.sum(np.logaddexp(0.0, x)), [sigmoid(x)]))

# Physics and geometry -----------------------------------------------------------------------------

@at(((0.05, 0.1, 0.15),), ((1e-12, 0.1, 0.15),))
def helmholtz(x):
    i = np.arange(1.0, 4.0)
    b, a = i / 10, 1 / (i[:, None] + i - 1)
    bx, ax = b @ x, a @ x
    up, down = 1 + (1 + np.sqrt(2)) * bx, 1 + (1 - np.sqrt(2)) * bx
    ratio, quadratic = np.log(up / down) / (np.sqrt(8) * bx), x @ ax
    slope = ((1 + np.sqrt(2)) / up - (1 - np.sqrt(2)) / down) / (np.sqrt(8) * bx)
    ideal = [np.log(x / (1 - bx)), 1.0 + 0 * x, np.sum(x) / (1 - bx) * b]
    mixed = [-2 * ax * ratio, -quadratic * slope * b, quadratic * ratio / bx * b]
    return np.sum(x * np.log(x / (1 - bx))) - quadratic * ratio, ideal + mixed

@at(((0.0, 1.0, 0.5), (1.1, 0.2, -0.3)))
def lennard_jones(x, y):
    s = np.sum((x - y) ** 2)
    pull, push = 24 / s**4 * (x - y), -48 / s**7 * (x - y)
    return 4 / s**6 - 4 / s**3, [(pull, -pull), (push, -push)]

@at((2.0, 0.6), (1e-3, -3.0))
def distance_in_polar_coordinates(r, angle):
    value = 1 + r**2 - 2 * r * np.cos(angle)
    return value, [(2 * r, 2 * r * np.sin(angle)), (-2 * np.cos(angle), 0 * angle)]

@at((1.0, 2.0), (-3e-3, -5.0))
def angle_and_radius(y, x):
    s = x * x + y * y
    parts = (np.stack([x / s, y / np.sqrt(s)]), np.stack([-y / s, x / np.sqrt(s)]))
    return np.stack([np.arctan2(y, x), np.hypot(y, x)]), [parts]

@at(((1.0, 1.5, -2.0),), ((-8.0, 8.0, 27.0),))
def lorenz(state):
    x, y, z = state
    linear = np.array([[-10.0, 10, 0], [28, -1, 0], [0, 0, -8 / 3]])
    o = 0 * x
    bent = np.stack([np.stack([o, o, o]), np.stack([-z, o, -x]), np.stack([y, x, o])])
    slopes = np.stack([10 * (y - x), x * (28 - z) - y, x * y - 8 * z / 3])
    return slopes, [linear + 0 * bent, bent]

@at(((0.5, -1.0, 2.0),), ((30.0, 0.0, -5.0),))
def softmax_of(x):
    y = np.exp(x - np.max(x))
    y = y / np.sum(y)
    return y, [y[:, None] * np.eye(3), -np.outer(y, y)]

# Other right formulas for functions of the zoo ----------------------------------------------------

ALTERNATIVES: Mapping[str, Mapping[str, Callable[..., Any]]] = {
    "tanh": {"1 - y²": lambda x: 1 - np.tanh(x) ** 2, "cosh": lambda x: 1 / np.cosh(x) ** 2},
    "sigmoid": {"y (1 - y)": lambda x: 1 / (1 + np.exp(-x)) * (1 - 1 / (1 + np.exp(-x))),
                "two sigmoids": lambda x: sigmoid(x) * sigmoid(-x)},
    "sigmoid_by_tanh": {"two sigmoids": lambda x: sigmoid(x) * sigmoid(-x)},
    "expm1": {"y + 1": lambda x: np.expm1(x) + 1, "exp": np.exp},
    "exp_minus_one": {"exp": np.exp, "y + 1": lambda x: (np.exp(x) - 1) + 1},
    "steep_front": {"1 - y²": lambda x: 1e6 * (1 - np.tanh(1e6 * (x - 0.5)) ** 2)},
    "sinc_naive": {"one fraction": lambda x: (x * np.cos(x) - np.sin(x)) / x**2,
                   "two fractions": lambda x: np.cos(x) / x - np.sin(x) / (x * x)},
    "softplus_naive": {"quotient": lambda x: np.exp(x) / (1 + np.exp(x)), "sigmoid": sigmoid},
    "softplus_stable": {"quotient": lambda x: 1 / (1 + np.exp(-x)), "sigmoid": sigmoid},
    "softplus_by_logaddexp": {"1 - sigmoid(-x)": lambda x: 1 - sigmoid(-x)},
    "log_sigmoid_naive": {"1 - y": lambda x: 1 - 1 / (1 + np.exp(-x)),
                          "sigmoid": lambda x: sigmoid(-x)},
    "one_minus_cos": {"sin": np.sin, "halves": lambda x: 2 * np.sin(x / 2) * np.cos(x / 2)},
    "sqrt_difference": {
        "stable": lambda x: -0.5 / (np.sqrt(x * (x + 1)) * (np.sqrt(x + 1) + np.sqrt(x)))},
    "sqrt_difference_stable": {"difference": lambda x: 0.5 / np.sqrt(x + 1) - 0.5 / np.sqrt(x)},
    "planck": {"quotient rule": lambda x: 3 * x**2 / (np.exp(x) - 1)
                                          - x**3 * np.exp(x) / (np.exp(x) - 1) ** 2},
    "log_normal_density_naive": {"-x": lambda x: -x}, "one_minus_cos_stable": {"sin": np.sin},
    "offset_square": {"through 1e10": lambda x: ((x + 1e10) - 1e10) + x, "2x": lambda x: 2 * x},
    "sine": {"cos": np.cos, "half angle": lambda x: 1 - 2 * np.sin(x / 2) ** 2},
    "square_root": {"power": lambda x: 0.5 * x**-0.5}, "logarithm": {"power": lambda x: x**-1.0},
    "power_three_halves": {"root": lambda x: 1.5 * np.sqrt(x)},
    "x_to_the_x": {"by exp": lambda x: np.exp(x * np.log(x)) * (1 + np.log(x))},
    "arccosh": {"x² - 1": lambda x: 1 / np.sqrt(x * x - 1)},
    "arctanh": {"1 - x²": lambda x: 1 / (1 - x * x)},
    "arcsin": {"1 - x²": lambda x: 1 / np.sqrt(1 - x * x)},
    "horner": {"factored": lambda x: 7 * (x - 1) ** 6, "expanded":
               lambda x: ((((((7 * x - 42) * x + 105) * x - 140) * x + 105) * x - 42) * x) + 7},
    "logistic_map_closed": {
        "by the loop": lambda x: 64 * (1 - 2 * x) * (1 - 8 * x * (1 - x))
                                 * (1 - 32 * x * (1 - x) * (1 - 4 * x * (1 - x)))},
    "variance_naive": {"centred": lambda x: 2 * (x - np.mean(x)) / x.shape[0]},
    "variance_two_passes": {"not centred": lambda x: 2 * x / x.shape[0] - 2 * np.mean(x) / 3},
    "log_sum_exp_shifted": {"not shifted": lambda x: np.exp(x) / np.sum(np.exp(x))},
    "log_sum_exp_naive": {"softmax": softmax},
    "euclidean_norm": {"x / root": lambda x: x / np.sqrt(np.sum(x**2))},
    "lecture_exercise": {"by hand": lambda w: -np.ones(3) / (1 + np.exp(np.sum(w)))},
}
"""Formulas that are right as mathematics; some of them lose digits, and are right all the same."""
# fmt: on
