"""Zoo functions of one number with one number as the value: formula and points side by side.

Invariant: nothing but NumPy and Python is used inside a function. Formulas that a numerical
analyst would not write (sin(x)/x near zero) are here *because* users write them.
"""

from __future__ import annotations

import numpy as np

from difflab.accuracy.zoo.form import (
    Members,
    Value,
    edge,
    hard,
    kink,
    ordinary,
    removable,
    undefined,
)

member = Members()

# --- saturation: the derivative is tiny, and exact where the rule is chosen for its digits --------


@member("scalar", ordinary(0.5), ordinary(-1.25), hard(20.0, note="1 - y² loses every digit"))
def tanh(x: float) -> Value:
    """tanh x"""
    return np.tanh(x)


@member(
    "scalar cancellation",
    ordinary(0.5),
    hard(40.0, note="y (1 - y) loses every digit"),
    hard(-40.0, note="the value is tiny, and exact"),
    hard(-800.0, note="exp(-x) overflows"),
)
def sigmoid(x: float) -> Value:
    """1 / (1 + exp(-x))"""
    return 1 / (1 + np.exp(-x))


@member(
    "scalar cancellation", ordinary(0.5), hard(-40.0, note="1 + tanh cancels; the slope is 4e-18")
)
def sigmoid_by_tanh(x: float) -> Value:
    """(1 + tanh(x/2)) / 2"""
    return 0.5 * (1 + np.tanh(0.5 * x))


@member(
    "scalar",
    ordinary(1.0),
    hard(-40.0, note="y + 1 loses every digit"),
    hard(1e-12, note="the value is as small as x"),
)
def expm1(x: float) -> Value:
    """exp(x) - 1, by np.expm1"""
    return np.expm1(x)


@member("scalar", ordinary(0.5), hard(0.5000001, note="differences need a step below 1e-7"))
def steep_front(x: float) -> Value:
    """tanh(10⁶ (x - 1/2)): flat except in a layer of width 1e-6"""
    return np.tanh(1e6 * (x - 0.5))


# --- cancellation: the loss is in the user's formula ----------------------------------------------


@member("scalar cancellation", ordinary(1.0), hard(1e-12, note="the value keeps 4 digits"))
def exp_minus_one(x: float) -> Value:
    """exp(x) - 1, as written"""
    return np.exp(x) - 1


@member(
    "scalar cancellation domain-edge",
    ordinary(1.0),
    hard(1e-6, note="cos(x)/x - sin(x)/x² cancels"),
    undefined(0.0, note="0/0: NaN, though the limit is 1"),
)
def sinc_naive(x: float) -> Value:
    """sin(x) / x"""
    return np.sin(x) / x


@member(
    "scalar cancellation",
    ordinary(0.5),
    hard(-40.0, note="1 + exp(x) rounds to 1"),
    hard(800.0, note="exp overflows: inf"),
)
def softplus_naive(x: float) -> Value:
    """log(1 + exp(x))"""
    return np.log(1 + np.exp(x))


@member(
    "scalar removable",
    ordinary(0.5),
    hard(-40.0, note="the slope is 4e-18"),
    hard(800.0, note="exp(x) would overflow"),
    removable(0.0, note="smooth, although maximum and abs both have a kink here"),
)
def softplus_stable(x: float) -> Value:
    """max(x, 0) + log1p(exp(-|x|))"""
    return np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))


@member("scalar", ordinary(0.5), hard(-40.0, note="the slope is 4e-18"), ordinary(800.0))
def softplus_by_logaddexp(x: float) -> Value:
    """logaddexp(0, x)"""
    return np.logaddexp(0.0, x)


@member(
    "scalar cancellation",
    ordinary(0.5),
    hard(40.0, note="log of a number that rounds to 1"),
    hard(-800.0, note="log(0) = -inf, though the value is -800"),
)
def log_sigmoid_naive(x: float) -> Value:
    """log(1 / (1 + exp(-x)))"""
    return np.log(1 / (1 + np.exp(-x)))


@member("scalar cancellation", ordinary(1.0), hard(1e-8, note="the value rounds to 0"))
def one_minus_cos(x: float) -> Value:
    """1 - cos x"""
    return 1 - np.cos(x)


@member("scalar", ordinary(1.0), hard(1e-8, note="the value is 5e-17"))
def one_minus_cos_stable(x: float) -> Value:
    """2 sin²(x/2)"""
    return 2 * np.sin(0.5 * x) ** 2


@member(
    "scalar cancellation domain-edge",
    ordinary(1.0),
    hard(1e12, note="the roots agree to 12 digits"),
    edge(0.0, note="the slope is -inf"),
)
def sqrt_difference(x: float) -> Value:
    """√(x + 1) - √x"""
    return np.sqrt(x + 1) - np.sqrt(x)


@member("scalar", ordinary(1.0), hard(1e12, note="as sqrt_difference, without its loss"))
def sqrt_difference_stable(x: float) -> Value:
    """1 / (√(x + 1) + √x)"""
    return 1 / (np.sqrt(x + 1) + np.sqrt(x))


@member(
    "scalar cancellation domain-edge",
    ordinary(2.0),
    ordinary(-3.0),
    hard(1e-200, note="x² underflows: inf, though the value is 1"),
    undefined(0.0, note="0/0: NaN where the sign jumps"),
)
def sign_by_division(x: float) -> Value:
    """x / √(x²)"""
    return x / np.sqrt(x * x)


@member("scalar cancellation", ordinary(1.0), hard(1e-8, note="exp(x) - 1 keeps 8 digits"))
def planck(x: float) -> Value:
    """x³ / (exp(x) - 1)"""
    return x**3 / (np.exp(x) - 1)


@member("scalar cancellation", ordinary(1.5), hard(40.0, note="exp underflows: log(0) = -inf"))
def log_normal_density_naive(x: float) -> Value:
    """log(exp(-x²/2) / √(2π))"""
    return np.log(np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi))


@member("scalar cancellation", ordinary(3e4), hard(1e-3, note="differences drown in 10¹⁰"))
def offset_square(x: float) -> Value:
    """10¹⁰ + x²"""
    return 1e10 + x * x


@member("scalar", ordinary(0.7), hard(1e22, note="argument reduction; one ulp of x is 2²¹"))
def sine(x: float) -> Value:
    """sin x"""
    return np.sin(x)


@member("scalar", ordinary(0.5), hard(1e-3, note="the slope oscillates with period 6e-6"))
def fast_oscillation(x: float) -> Value:
    """x² sin(1/x)"""
    return x**2 * np.sin(1 / x)


# --- kinks ----------------------------------------------------------------------------------------


@member("scalar kink", ordinary(1.5), ordinary(-1.5), kink(0.0, note="slopes 0 and 1"))
def relu(x: float) -> Value:
    """max(x, 0)"""
    return np.maximum(x, 0.0)


@member("scalar kink", ordinary(-2.0), kink(0.0, note="slopes -1 and 1"))
def absolute(x: float) -> Value:
    """|x|"""
    return np.abs(x)


@member("scalar kink", ordinary(-2.0), kink(0.0, note="slopes -1 and 1; the rule meets 0/0"))
def root_of_square(x: float) -> Value:
    """√(x²)"""
    return np.sqrt(x * x)


@member("scalar kink", ordinary(0.3), ordinary(2.0), kink(1.0, note="slopes 1 and 0"))
def clip(x: float) -> Value:
    """min(max(x, -1), 1)"""
    return np.clip(x, -1.0, 1.0)


# --- edges of the domain --------------------------------------------------------------------------


@member(
    "scalar domain-edge", ordinary(2.0), edge(1e-300, note="slope 5e149"), edge(0.0, note="inf")
)
def square_root(x: float) -> Value:
    """√x"""
    return np.sqrt(x)


@member(
    "scalar domain-edge",
    ordinary(2.0),
    edge(1e-300, note="slope 1e300"),
    undefined(0.0, note="-inf"),
)
def logarithm(x: float) -> Value:
    """ln x"""
    return np.log(x)


@member(
    "scalar domain-edge",
    ordinary(2.0),
    edge(1e-300, note="beside the edge: slope 1.5e-150"),
    edge(0.0, note="slope 0; the curvature is inf"),
)
def power_three_halves(x: float) -> Value:
    """x^(3/2)"""
    return x**1.5


@member(
    "scalar domain-edge", ordinary(2.0), edge(1e-300, note="the slope 1 + ln x at its smallest")
)
def x_to_the_x(x: float) -> Value:
    """x^x"""
    return x**x


@member(
    "scalar domain-edge",
    ordinary(4.0),
    hard(-1.0, note="the branch not taken is NaN; the slope is 0"),
    edge(0.0, note="slopes 0 and inf"),
)
def where_sqrt(x: float) -> Value:
    """√x if x > 0 else 0, by np.where"""
    return np.where(x > 0, np.sqrt(x), 0.0)


@member("scalar domain-edge", ordinary(2.0), edge(1 + 1e-10, note="x² - 1 cancels"))
def arccosh(x: float) -> Value:
    """arccosh x"""
    return np.arccosh(x)


@member(
    "scalar domain-edge",
    ordinary(0.5),
    edge(1 - 1e-12, note="1 - x² cancels"),
    undefined(1.0, note="the value is inf"),
)
def arctanh(x: float) -> Value:
    """arctanh x"""
    return np.arctanh(x)


@member(
    "scalar domain-edge", ordinary(0.5), edge(1 - 1e-12, note="beside"), edge(1.0, note="slope inf")
)
def arcsin(x: float) -> Value:
    """arcsin x"""
    return np.arcsin(x)


# --- control flow ---------------------------------------------------------------------------------

LOGISTIC_MAP = "Baydin et al. 2018, table 1"


@member(
    "scalar control-flow",
    ordinary(0.2),
    ordinary(0.7),
    hard(0.5, note="the slope is exactly 0"),
    source=LOGISTIC_MAP,
)
def logistic_map_loop(x: float) -> Value:
    """l_4 of l_1 = x, l_(n+1) = 4 l_n (1 - l_n)"""
    value = x
    for _ in range(3):
        value = 4 * value * (1 - value)
    return value


@member(
    "scalar", ordinary(0.2), ordinary(0.7), hard(0.5, note="slope exactly 0"), source=LOGISTIC_MAP
)
def logistic_map_closed(x: float) -> Value:
    """64 x (1 - x) (1 - 2x)² (1 - 8x + 8x²)²"""
    return 64 * x * (1 - x) * (1 - 2 * x) ** 2 * (1 - 8 * x + 8 * x * x) ** 2


@member(
    "scalar control-flow cancellation",
    hard(0.2, note="chaos: rounding errors double at each of 40 steps"),
    source=LOGISTIC_MAP,
)
def logistic_map_chaos(x: float) -> Value:
    """l_41 of the logistic map"""
    for _ in range(40):
        x = 4 * x * (1 - x)
    return x


@member("scalar control-flow kink", ordinary(0.8), ordinary(-0.8), kink(0.0, note="slopes 0.1, 1"))
def piecewise(x: float) -> Value:
    """sin x if x > 0 else x/10"""
    if x > 0:
        return np.sin(x)
    return 0.1 * x


@member(
    "scalar control-flow", ordinary(2.0), hard(1e-10, note="many steps"), hard(1e10, note="same")
)
def newton_sqrt(x: float) -> Value:
    """√x, by Newton's iteration until y² agrees with x (for x < 0 never: 100 steps at most)"""
    y, left = 0.5 * (1 + x), 100
    while left and abs(y * y - x) > 1e-14 * x:
        y, left = 0.5 * (y + x / y), left - 1
    return y


@member(
    "scalar control-flow",
    hard(2.0, note="the slope of the steps taken is y/x, twice that of the root"),
)
def bisection_sqrt(x: float) -> Value:
    """√x for x >= 1, by 50 bisections of [0, x]"""
    low, high = 0.0, x
    for _ in range(50):
        middle = 0.5 * (low + high)
        if middle * middle < x:
            low = middle
        else:
            high = middle
    return high


@member("scalar control-flow cancellation", ordinary(2.5), hard(1.001, note="the value is 1e-21"))
def horner(x: float) -> Value:
    """(x - 1)⁷, expanded and evaluated by Horner's rule"""
    value = 0.0
    for coefficient in (1.0, -7.0, 21.0, -35.0, 35.0, -21.0, 7.0, -1.0):
        value = value * x + coefficient
    return value


@member("scalar control-flow", ordinary(1.5), ordinary(-0.9), hard(0.0, note="slope exactly 0"))
def power_by_squaring(x: float) -> Value:
    """x¹³, by repeated squaring"""
    result, exponent = 1.0, 13
    while exponent:
        if exponent % 2:
            result = result * x
        x = x * x
        exponent //= 2
    return result


@member("scalar control-flow", ordinary(1.0), hard(1.5707, note="beside the pole of tan"))
def continued_fraction(x: float) -> Value:
    """tan x, by Lambert's fraction x / (1 - x²/(3 - x²/(5 - ...)))"""
    denominator = 17.0
    for odd in (15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0):
        denominator = odd - x * x / denominator
    return x / denominator


@member(
    "scalar control-flow cancellation", ordinary(1.0), hard(-20.0, note="terms of 4e7 sum to 2e-9")
)
def exp_series(x: float) -> Value:
    """exp x, by its power series until the terms vanish"""
    total = term = 1.0
    n = 0
    while abs(term) > 1e-17 * abs(total):
        n += 1
        term = term * x / n
        total = total + term
    return total


@member("scalar control-flow", ordinary(0.3), ordinary(-3.7), hard(0.5, note="a tie of the guard"))
def exp_by_halving(x: float) -> Value:
    """exp x, by halving x until |x| <= 1/2, a short series, and squaring"""
    halvings = 0
    while abs(x) > 0.5:
        x = 0.5 * x
        halvings += 1
    total = term = 1.0
    for n in range(1, 15):
        term = term * x / n
        total = total + term
    for _ in range(halvings):
        total = total * total
    return total
