"""What NumPy, SciPy and Python's library offer, used as people use it."""

from __future__ import annotations

import math
from functools import reduce

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import linalg, special, stats
from scipy.spatial.distance import cdist

from .case import at, spread

X = np.array([[1.0, 0.5], [0.3, -1.2], [-0.7, 0.8], [1.5, 0.1]])
LABELS = np.array([1.0, 0.0, 0.0, 1.0])

# Lists, numbers and strings -----------------------------------------------------------------------


@at(0.3, -0.8)
def rotation_matrix(x):
    c, s = np.cos(x[0]), np.sin(x[0])
    R = np.array([[c, -s], [s, c]])
    return np.sum((R @ np.array([x[1], 1.0])) ** 3)


@at(0.3, -0.8, 1.1)
def vector_of_expressions(x):
    v = np.array([np.sin(x[0]), x[1] * x[2], 1.0, x[0] ** 2])
    return v @ v


@at(0.4, 1.2)
def functions_of_lists(x):
    a, b = x
    return np.mean([a, b]) * np.max([a, b * 2.0]) + np.sum([a * b, a]) + np.prod([a, b])


@at(0.4, 1.2)
def math_functions(x):
    return math.sin(x[0]) * math.exp(-x[1]) + math.sqrt(x[0] + x[1]) + math.hypot(x[0], math.pi)


@at(0.4, 1.2)
def float_of_an_element(x):
    a = float(x[0])
    return a**2 * x[1]


@at(2.7, 0.4)
def interpolates_in_a_table(x):
    table = np.array([0.0, 1.0, 4.0, 9.0, 16.0])
    k = int(np.floor(x[0]))
    t = x[0] - k
    return (1.0 - t) * table[k] + t * table[k + 1] + x[1]


@at(*spread(4))
def a_list_and_back(x):
    values = x.tolist()
    return sum(v * v for v in values) + reduce(lambda s, v: 0.5 * s + v, values)


@at(*spread(5))
def generators_and_comprehensions(x):
    powers = np.array([v**k for k, v in enumerate(x)])
    return sum(p * w for p, w in zip(powers, x, strict=True)) + max(powers)


@at(0.4, 1.2)
def an_exception_and_another_way(x):
    try:
        return x[5] ** 2
    except IndexError:
        return x[1] ** 2 * np.exp(x[0])


@at(2.3)
def newton_until_it_converges(x):
    y = np.ones(1)
    while abs(y[0] ** 3 - x[0]) > 1e-12:
        y[0] = y[0] - (y[0] ** 3 - x[0]) / (3.0 * y[0] ** 2)
    return y[0]


@at(0.5, 1.5, -0.7)
def closures_with_memory(x):
    memory = {}

    def legendre(n, t):
        if (n, 0) not in memory:
            memory[n, 0] = (
                [1.0, t][n]
                if n < 2
                else ((2 * n - 1) * t * legendre(n - 1, t) - (n - 1) * legendre(n - 2, t)) / n
            )
        return memory[n, 0]

    return sum(c * legendre(k + 1, 0.5 * x[2]) for k, c in enumerate(x[:2]))


# Creation -----------------------------------------------------------------------------------------


@at(2.0, 0.3)
def integral_by_linspace(x):
    t = np.linspace(0, x[0], 5)
    return np.trapezoid(np.exp(-x[1] * t**2), t)


@at(0.6)
def arange_times_a_number(x):
    return np.sum(np.sin(np.arange(3) * x))


@at(0.6, 1.1)
def joins_by_brackets(x):
    return np.sum(np.r_[x, 1.0, x[::-1]] ** 2 * np.arange(5)) + np.sum(np.c_[x, x**2][1])


@at(0.6, 1.1, -0.4)
def grid_of_points(x):
    a, b = np.meshgrid(x, np.array([0.5, 2.0]))
    return np.sum(np.sin(a * b))


@at(0.6, 1.1, -0.4)
def outer_tables(x):
    return np.sum(np.outer(x, x) ** 2) + np.sum(np.subtract.outer(x, [1.0, 2.0]) ** 3)


@at(0.6, 1.1, -0.4)
def reductions_of_ufuncs(x):
    return np.add.reduce(x**2) + np.multiply.reduce(x) + np.sum(np.add.accumulate(x) ** 2)


@at(0.6, 1.1, -0.4)
def vectorized_by_numpy(x):
    bump = np.vectorize(lambda v: math.exp(-v * v) if v > 0.0 else 0.5 * v)
    return np.sum(bump(x))


@at(0.6, 1.1, 0.9)
def polynomial_by_vander(x):
    return np.sum(np.vander(x, 3) @ np.array([1.0, -2.0, 0.5])) + np.polyval(x, 0.7)


@at(0.6, 1.1)
def block_matrices(x):
    B = np.block([[np.diag(x), np.ones((2, 1))], [np.ones((1, 2)), np.array([[x[0]]])]])
    return np.linalg.det(B) + np.trace(np.kron(np.diag(x), B))


# Models -------------------------------------------------------------------------------------------


@at(0.4, -0.9)
def logistic_regression(w):
    z = X.dot(w)
    return np.mean(np.log1p(np.exp(-z * (2.0 * LABELS - 1.0)))) + 0.1 * np.sum(w**2)


@at(0.4, -0.9)
def log_loss_by_scipy(w):
    p = special.expit(X @ w)
    return -np.sum(special.xlogy(LABELS, p) + special.xlog1py(1.0 - LABELS, -p))


@at(0.4, -0.9, 1.3)
def softmax_by_logsumexp(z):
    return special.logsumexp(z) - z[1] + np.sum(special.softmax(z) ** 2)


@at(0.4, 0.9)
def special_functions(x):
    return special.erf(x[0]) + special.gammaln(x[1] + 1.0) + np.sum(special.log_ndtr(x))


@at(0.4, 1.3)
def normal_likelihood(theta):
    return np.sum(stats.norm.logpdf(X[:, 0], loc=theta[0], scale=theta[1]))


@at(0.4, 0.9)
def normal_quantities(x):
    return stats.norm.cdf(x[0]) * special.ndtr(x[1])


@at(0.3, 1.2, 0.5)
def gaussian_process(theta):
    t = np.array([0.0, 0.7, 1.9])
    K = theta[1] * np.exp(-((t[:, None] - t) ** 2) / theta[0]) + theta[2] * np.eye(3)
    L = np.linalg.cholesky(K)
    alpha = linalg.cho_solve((L, True), np.array([0.2, -0.4, 1.0]))
    return 0.5 * np.array([0.2, -0.4, 1.0]) @ alpha + np.sum(np.log(np.diag(L)))


@at(*spread(8), shape=(4, 2))
def distances_between_points(P):
    return np.sum(np.exp(-cdist(P, X)))


@at(*spread(6), shape=(2, 3))
def attention(Q):
    scores = np.einsum("id,jd->ij", Q, Q[::-1]) / math.sqrt(3.0)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    return np.sum(np.einsum("ij,jd->id", weights, Q) ** 2)


@at(*spread(6), shape=(2, 3))
def einsum_with_lists_of_axes(A):
    return np.sum(np.einsum(A, [0, 1], A, [2, 1], [0, 2]) ** 2)


# Linear algebra -----------------------------------------------------------------------------------


@at(*spread(9) + 3.0 * np.eye(3).ravel(), shape=(3, 3))
def solves_by_scipy(A):
    y = linalg.solve(A, np.array([1.0, 2.0, 3.0]))
    return y @ y + linalg.solve_triangular(A, y, lower=True)[-1]


@at(*spread(4), shape=(2, 2))
def matrix_exponential(A):
    return np.sum(linalg.expm(A))


@at(*spread(9), shape=(3, 3))
def eigenvalues_of_a_symmetric_matrix(B):
    w = np.linalg.eigvalsh(B + B.T)
    return w[-1] ** 2 + np.sum(np.exp(w))


@at(*spread(9), shape=(3, 3))
def principal_components(B):
    w, V = np.linalg.eigh(B @ B.T)
    return w[-1] * V[0, -1] ** 2


@at(*spread(6), shape=(3, 2))
def nuclear_and_spectral_norm(A):
    return np.sum(np.linalg.svd(A, compute_uv=False)) + np.linalg.norm(A, 2)


@at(*spread(6), shape=(3, 2))
def least_squares(A):
    return np.sum(np.linalg.pinv(A) @ np.ones(3)) + np.abs(np.linalg.qr(A)[1][0, 0])


@at(0.4, 1.2)
def inverse_and_determinant(x):
    A = np.array([[2.0 + x[0], x[1]], [-x[1], 3.0]])
    return np.linalg.inv(A).sum() * np.linalg.det(A) + np.linalg.matrix_power(A, 3)[0, 1]


# Signals and complex numbers ----------------------------------------------------------------------


@at(*spread(8))
def power_spectrum(x):
    return np.sum(np.abs(np.fft.rfft(x)) ** 2 * np.arange(5))


@at(0.8, 1.4)
def complex_exponentials(x):
    return np.abs(np.exp(1j * x[0]) + x[1] * np.exp(-2j * x[0])) ** 2


@at(0.8, 1.4, 0.5)
def complex_impedance(x):
    R, L, C = x
    Z = R + 1j * 2.0 * L + 1.0 / (1j * 2.0 * C)
    return np.abs(1.0 / (1.0 / Z + 1.0 / 3.0)) + np.angle(Z)


@at(*spread(8))
def moving_averages_by_windows(x):
    return np.sum(sliding_window_view(x, 3).mean(axis=1) ** 2)


@at(*spread(8))
def convolves(x):
    return np.sum(np.convolve(x, [1.0, -2.0, 1.0], mode="valid") ** 2)


@at(*spread(8))
def rolled_stencil(x):
    return np.sum((np.roll(x, 1) - 2.0 * x + np.roll(x, -1)) ** 2) + np.sum(np.diff(x) ** 4)


# Choices ------------------------------------------------------------------------------------------


@at(-1.4, 0.3, 1.8)
def chooses_by_select(x):
    return np.sum(np.select([x < -1.0, x < 1.0], [-2.0 * x - 1.0, x**2], 2.0 * x - 1.0))


@at(-1.4, 0.3, 1.8)
def chooses_by_piecewise(x):
    return np.sum(np.piecewise(x, [x < 0.0, x >= 0.0], [lambda t: -t, lambda t: t**2]))


@at(-1.4, 0.3, 1.8)
def huber_loss(r):
    return np.sum(np.where(np.abs(r) < 1.0, 0.5 * r**2, np.abs(r) - 0.5))


@at(*spread(5, 0.2, 1.4))
def cumulative_products(x):
    return np.sum(np.cumprod(x)) + np.cumsum(x)[2]


@at(*spread(6))
def medians_and_quantiles(x):
    return np.median(x) + np.percentile(x, 30.0) + np.var(x, ddof=1) + np.ptp(x)


@at(1.3, 0.6)
def interpolates_and_clips(x):
    return np.interp(x[0], [0.0, 1.0, 2.0], [0.0, 1.0, 4.0]) + np.clip(x[1], 0.0, 1.0) ** 2


@at(*spread(6), shape=(2, 3))
def ranks_and_top_values(A):
    order = np.argsort(A, axis=1)
    return np.sum(np.take_along_axis(A, order, axis=1)[:, -1] ** 2) + np.sort(A.ravel())[0]
