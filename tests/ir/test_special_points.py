"""Derivatives of orders 1 and 2 where a spelling chooses or fills in a value: hand formulas and
mpmath at 60 digits.
"""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
import sympy

import difflab
from difflab.ir.special import spherical_bessel

METHODS = ["reverse", "forward", "symbolic"]


def orders(f: Any, x: Any, method: str) -> tuple[Any, Any]:
    """The first and second derivatives by one method."""
    first = difflab.derivative(f, method=method)
    return first(x), difflab.derivative(first, method=method)(x)


def sinc_by_mpmath(x: float, order: int) -> Any:
    """A derivative of sinc by its Taylor series at 0, in NumPy's pi."""
    z = mpmath.mpf(float(np.pi))
    return mpmath.nsum(
        lambda k: (
            (-1) ** int(k)
            * z ** (2 * k)
            / mpmath.factorial(2 * k + 1)
            * mpmath.ff(2 * k, order)
            * (mpmath.mpf(x) ** (2 * k - order) if 2 * k >= order else 0)
        ),
        [0, 40],
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("x", [0.0, 1e-300, 1e-8, -1e-3, 0.5, 1.4, -2.5])
def test_sinc_differentiates_to_any_order(x: float, method: str) -> None:
    f: Any = np.sinc
    with mpmath.workdps(60):
        for order in (1, 2, 3):
            f = difflab.derivative(f, method=method)
            expected = sinc_by_mpmath(x, order)
            assert abs(f(x) - expected) <= 4e-15 * abs(expected), order


def test_spherical_bessel_keeps_its_digits_near_zeros_and_at_ends() -> None:
    with mpmath.workdps(60):
        for n in range(6):
            for x in (1e-30, 0.3, 1.0, n + 1.99, n + 2.01, 4.5, 9.0, 77.5, 1e4, 1e6):
                z = mpmath.mpf(x)
                expected = mpmath.sqrt(mpmath.pi / 2 / z) * mpmath.besselj(n + mpmath.mpf(1) / 2, z)
                assert abs(spherical_bessel(x, n) - expected) <= 4e-16 * abs(expected), (n, x)
                assert abs(spherical_bessel(-x, n) - (-1) ** n * expected) <= 4e-16 * abs(expected)
    assert spherical_bessel(np.float32(0.5), 1).dtype == np.float32
    assert [float(spherical_bessel(0.0, n)) for n in range(3)] == [1.0, 0.0, 0.0]


def test_spherical_bessel_goes_through_sympy_and_back() -> None:
    x = sympy.Symbol("x", real=True)
    (expression,) = difflab.trace(np.sinc, 0.5).to_sympy()
    (symbol,) = expression.free_symbols
    assert sympy.diff(expression, symbol, 2).subs(symbol, 0) == pytest.approx(-(np.pi**2) / 3)
    assert sympy.lambdify(symbol, expression)(0.0) == 1.0
    assert difflab.from_sympy(sympy.sinc(x), x)(0.0) == 1.0
    third = difflab.from_sympy(sympy.jn(2, x), x)
    assert third(np.array([0.0, 1.0])) == pytest.approx([0.0, float(sympy.jn(2, 1).n())])
