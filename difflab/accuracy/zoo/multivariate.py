"""Zoo functions of several numbers with one number as the value: formula and points side by side.

Invariant: nothing but NumPy and Python is used inside a function.
"""

from __future__ import annotations

import numpy as np

from difflab.accuracy.zoo.form import (
    Array,
    Members,
    Value,
    edge,
    hard,
    jump,
    kink,
    ordinary,
    removable,
)

member = Members()

LECTURE = "lecture: computation graphs and backpropagation"
SURVEY = "Baydin et al. 2018, Automatic differentiation in machine learning"
COLLECTION = "Jamil & Yang 2013, A literature survey of benchmark functions"
GOLDBERG = "Goldberg 1991, What every computer scientist should know about floating-point"

# --- several arguments ----------------------------------------------------------------------------


@member(
    "multivariate several-arguments",
    ordinary(-2.0, 5.0, -4.0),
    ordinary(1.5, 0.25, 3.0),
    source=LECTURE,
)
def lecture_graph(x: float, y: float, z: float) -> Value:
    """(x + y) z"""
    return (x + y) * z


@member("multivariate several-arguments", ordinary(2.0, 5.0), source=SURVEY + ", tables 2 and 3")
def baydin(x1: float, x2: float) -> Value:
    """ln x1 + x1 x2 - sin x2"""
    return np.log(x1) + x1 * x2 - np.sin(x2)


@member(
    "multivariate several-arguments kink", ordinary(1.0, 2.0), kink(1.0, 1.0, note="the two tie")
)
def maximum(x: float, y: float) -> Value:
    """max(x, y)"""
    return np.maximum(x, y)


@member(
    "multivariate several-arguments kink",
    ordinary(3.0, -4.0),
    hard(3e-200, 4e-200, note="the squares underflow"),
    kink(0.0, 0.0, note="the tip of a cone"),
)
def hypotenuse(x: float, y: float) -> Value:
    """√(x² + y²), by np.hypot"""
    return np.hypot(x, y)


@member(
    "multivariate several-arguments jump",
    ordinary(1.0, 2.0),
    hard(1e-200, 1e-200, note="x² + y² underflows; the slopes are 5e199"),
    jump(0.0, -1.0, note="on the branch cut: the value jumps by 2π"),
)
def angle(y: float, x: float) -> Value:
    """arctan2(y, x)"""
    return np.arctan2(y, x)


@member(
    "multivariate several-arguments cancellation",
    ordinary(1.5, 2.0),
    hard(77617.0, 33096.0, note="the value is -0.827; 36 digits cancel"),
    source="Rump 1988, Algorithms for verified inclusions",
)
def rump(x: float, y: float) -> Value:
    """333.75 y⁶ + x² (11 x² y² - y⁶ - 121 y⁴ - 2) + 5.5 y⁸ + x/(2y)"""
    inner = 11 * x**2 * y**2 - y**6 - 121 * y**4 - 2
    return 333.75 * y**6 + x**2 * inner + 5.5 * y**8 + x / (2 * y)


@member(
    "multivariate several-arguments cancellation",
    ordinary(3.0, 1.0),
    hard(1e8, 1.0, note="√(b² - 4c) agrees with b to 16 digits"),
    source=GOLDBERG,
)
def quadratic_root(b: float, c: float) -> Value:
    """(-b + √(b² - 4c)) / 2"""
    return 0.5 * (-b + np.sqrt(b * b - 4 * c))


@member(
    "multivariate several-arguments cancellation domain-edge",
    ordinary(3.0, 4.0, 5.0),
    hard(1.0, 1.0, 1e-9, note="a needle: s - a keeps 7 digits"),
    edge(2.0, 1.0, 1.0, note="a flat triangle: slopes are infinite"),
    source=GOLDBERG,
)
def triangle_area(a: float, b: float, c: float) -> Value:
    """√(s (s - a) (s - b) (s - c)), s = (a + b + c)/2"""
    s = 0.5 * (a + b + c)
    return np.sqrt(s * (s - a) * (s - b) * (s - c))


# --- test functions of optimisation ---------------------------------------------------------------


@member(
    "multivariate",
    ordinary((-1.2, 1.0)),
    ordinary(np.linspace(-1.0, 1.0, 10)),
    hard((1.0, 1.0), note="the minimum: the slope is exactly 0"),
    source="Rosenbrock 1960",
)
def rosenbrock(x: Array) -> Value:
    """sum 100 (x_(i+1) - x_i²)² + (1 - x_i)²"""
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


@member("multivariate", ordinary((1.0, 1.0)), ordinary((3.1, 0.4)), source=COLLECTION)
def beale(p: Array) -> Value:
    """(1.5 - x + xy)² + (2.25 - x + xy²)² + (2.625 - x + xy³)²"""
    x, y = p
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


@member("multivariate", ordinary((1.0, -1.0)), ordinary((-2.8, 3.1)), source=COLLECTION)
def himmelblau(p: Array) -> Value:
    """(x² + y - 11)² + (x + y² - 7)²"""
    x, y = p
    return (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2


@member(
    "multivariate kink",
    ordinary((0.3, -1.2, 2.1)),
    hard((1e-9, 0.0, 0.0), note="beside the cone's tip; the value keeps 7 digits"),
    kink((0.0, 0.0, 0.0), note="the minimum is a cone's tip"),
    source=COLLECTION,
)
def ackley(x: Array) -> Value:
    """-20 exp(-√(mean x²)/5) - exp(mean cos 2πx) + 20 + e"""
    bowl = -20 * np.exp(-0.2 * np.sqrt(np.mean(x**2)))
    return bowl - np.exp(np.mean(np.cos(2 * np.pi * x))) + 20 + np.e


@member("multivariate", ordinary((0.3, -1.2, 2.1)), ordinary((0.0, 0.0)), source=COLLECTION)
def rastrigin(x: Array) -> Value:
    """sum 10 + x_i² - 10 cos 2πx_i"""
    return np.sum(10 + x**2 - 10 * np.cos(2 * np.pi * x))


@member("multivariate", ordinary((3.0, -4.0, 11.0, 5.0)), source=COLLECTION)
def griewank(x: Array) -> Value:
    """1 + sum x_i²/4000 - prod cos(x_i/√i)"""
    i = np.arange(1.0, x.shape[0] + 1)
    return 1 + np.sum(x**2) / 4000 - np.prod(np.cos(x / np.sqrt(i)))


@member("multivariate", ordinary((0.5, -2.0, 1.0)), ordinary((-2.903534, 2.7)), source=COLLECTION)
def styblinski_tang(x: Array) -> Value:
    """sum (x_i⁴ - 16 x_i² + 5 x_i) / 2"""
    return 0.5 * np.sum(x**4 - 16 * x**2 + 5 * x)


@member("multivariate", ordinary((1.0, 3.0)), ordinary((-4.0, 11.0)), source=COLLECTION)
def branin(p: Array) -> Value:
    """(y - 5.1 x²/(4π²) + 5x/π - 6)² + 10 (1 - 1/(8π)) cos x + 10"""
    x, y = p
    valley = y - 5.1 * x**2 / (4 * np.pi**2) + 5 * x / np.pi - 6
    return valley**2 + 10 * (1 - 1 / (8 * np.pi)) * np.cos(x) + 10


@member(
    "multivariate domain-edge",
    ordinary(np.linspace(0.05, 0.2, 8)),
    edge((1e-300, *np.linspace(0.05, 0.2, 7)), note="one amount is almost nothing: slope -690"),
    edge(np.full(8, (1 - 1e-10) / 3.6), note="1 - b.x is 1e-10"),
    source="Griewank 1989; " + SURVEY,
)
def helmholtz(x: Array) -> Value:
    """sum x_i log(x_i/(1 - b.x)) - x.Ax/(√8 b.x) log((1 + (1+√2) b.x)/(1 + (1-√2) b.x))"""
    i = np.arange(1.0, x.shape[0] + 1)
    b = i / 10
    a = 1 / (i[:, None] + i - 1)
    bx, root = b @ x, np.sqrt(2)
    ideal = np.sum(x * np.log(x / (1 - bx)))
    ratio = (1 + (1 + root) * bx) / (1 + (1 - root) * bx)
    return ideal - (x @ a @ x) / (np.sqrt(8) * bx) * np.log(ratio)


# --- statistics and norms -------------------------------------------------------------------------


@member(
    "multivariate cancellation",
    ordinary((0.5, -1.0, 2.0)),
    hard((1000.0, 1000.5, 999.0), note="exp overflows: inf"),
    hard((-800.0, -801.0, -802.0), note="exp underflows: log(0) = -inf"),
)
def log_sum_exp_naive(x: Array) -> Value:
    """log sum exp(x_i)"""
    return np.log(np.sum(np.exp(x)))


@member(
    "multivariate removable",
    ordinary((0.5, -1.0, 2.0)),
    hard((1000.0, 1000.5, 999.0), note="exp would overflow without the shift"),
    removable((1.0, 1.0), note="smooth, although the shift ties"),
)
def log_sum_exp_shifted(x: Array) -> Value:
    """m + log sum exp(x_i - m), m = max x_i"""
    shift = np.max(x)
    return shift + np.log(np.sum(np.exp(x - shift)))


@member(
    "multivariate cancellation",
    ordinary((0.5, -1.0, 2.0)),
    hard((1e8, 1e8 + 1, 1e8 + 2), note="the squares agree to 16 digits; the value is 2/3"),
)
def variance_naive(x: Array) -> Value:
    """mean(x²) - mean(x)²"""
    return np.mean(x**2) - np.mean(x) ** 2


@member(
    "multivariate",
    ordinary((0.5, -1.0, 2.0)),
    hard((1e8, 1e8 + 1, 1e8 + 2), note="as variance_naive, without its loss"),
)
def variance_two_passes(x: Array) -> Value:
    """mean((x - mean(x))²)"""
    return np.mean((x - np.mean(x)) ** 2)


@member(
    "multivariate kink linear-algebra",
    ordinary((3.0, -4.0, 12.0)),
    hard((3e-200, -4e-200), note="the squares underflow"),
    kink((0.0, 0.0), note="the tip of a cone"),
)
def euclidean_norm(x: Array) -> Value:
    """√(sum x_i²), by np.linalg.norm"""
    return np.linalg.norm(x)


@member(
    "multivariate kink",
    ordinary((3.0, -4.0, 12.0)),
    kink((3.0, 0.0, -1.0), note="slopes -1 and 1 in one component"),
)
def manhattan_norm(x: Array) -> Value:
    """sum |x_i|"""
    return np.sum(np.abs(x))


@member(
    "multivariate kink", ordinary((1.0, 3.0, 2.0)), kink((3.0, 1.0, 3.0), note="two elements tie")
)
def largest(x: Array) -> Value:
    """max x_i"""
    return np.max(x)


@member(
    "multivariate kink",
    ordinary((0.4, 3.0, -2.0, 1.0)),
    kink((0.4, 3.0, 3.0, 1.0), note="two elements tie where one is cut off"),
)
def trimmed_mean(x: Array) -> Value:
    """mean of x without its smallest and largest element"""
    return np.mean(np.sort(x)[1:-1])


@member(
    "multivariate",
    ordinary((0.5, -1.0, 2.0)),
    hard((0.5, 0.0, 2.0), note="prod(x)/x_i is 0/0"),
)
def product(x: Array) -> Value:
    """prod x_i"""
    return np.prod(x)
