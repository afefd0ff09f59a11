"""Complex values inside real functions: values against NumPy, derivatives against other truths.

Elementwise functions are held against their complex derivatives at 50 digits (the equations of
Cauchy and Riemann make real gradients of them), linear ones against NumPy itself on unit vectors,
applications against differences of mpmath's own complex functions at 50 digits.
"""

from __future__ import annotations

import cmath
import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import mpmath
import numpy as np
import pytest

import difflab
from difflab import errors
from difflab.ir.pair import Pair

mp = mpmath.mp.clone()
mp.dps = 50
RNG = np.random.default_rng(11)
X, Y = RNG.normal(size=(2, 3, 4))
U, V = RNG.normal(size=(2, 4))
W = RNG.normal(size=(4, 3)) + 1j * RNG.normal(size=(4, 3))
C = RNG.normal(size=4) + 1j * RNG.normal(size=4)
M = RNG.normal(size=(4, 4))
EPS = 2.0**-52
UNIT = np.exp(0.3j)


def _both(z: Any) -> Any:
    return np.stack([np.real(z), np.imag(z)])


# -- functions of one number -----------------------------------------------------------------------

ELEMENTWISE: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    **{
        name: (getattr(np, name), getattr(mp, name))
        for name in ("exp", "log", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh", "log10")
    },
    "log2": (np.log2, lambda z: mp.log(z) / mp.log(2)),
    "square": (np.square, lambda z: z * z),
    "reciprocal": (np.reciprocal, lambda z: 1 / z),
    "cube": (lambda z: z**3, lambda z: z**3),
    "inverse square": (lambda z: z**-2, lambda z: z**-2),
    "root": (lambda z: z**0.5, lambda z: mp.sqrt(z)),
    "power": (lambda z: z**1.75, lambda z: mp.exp(mp.mpf(1.75) * mp.log(z))),
    "complex power": (lambda z: z ** (1 - 0.5j), lambda z: mp.exp((1 - 0.5j) * mp.log(z))),
    "exponential": (lambda z: 2**z, lambda z: mp.exp(z * mp.log(2))),
    "quotient": (lambda z: (2 - 1j) / (z + 0.25j), lambda z: (2 - 1j) / (z + mp.mpc(0, 0.25))),
    "by a constant": (lambda z: z / (0.25 - 4j), lambda z: z / mp.mpc(0.25, -4)),
    "Moebius": (lambda z: (1j * z + 1) / (z - 2j), lambda z: (1j * z + 1) / (z - 2j)),
    "Horner": (lambda z: np.polyval([1, 2j, 3], z), lambda z: (z + 2j) * z + 3),
}
POINTS = (0.75 + 0.5j, -1.25 + 0.25j, -0.5 - 2j, 2 - 1e-5j, 1e-3 + 1j, -3 + 1e-3j, 0j - 1.5, 2 + 0j)
CUT = ("log", "sqrt", "log10", "log2", "root", "power", "complex power")


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_functions_of_one_number(name: str) -> None:
    ours, theirs = ELEMENTWISE[name]
    for point in POINTS:
        if point.imag == 0 > point.real and name in CUT:
            continue  # a jump
        true = theirs(mp.mpc(point))
        slope = mp.diff(theirs, mp.mpc(point), h=mp.mpf(10) ** -15)
        at = point.real, point.imag
        for part, value, expected in (
            (np.real, true.real, (slope.real, -slope.imag)),
            (np.imag, true.imag, (slope.imag, slope.real)),
        ):

            def f(x: Any, y: Any, part: Any = part) -> Any:
                return part(ours(x + 1j * y))

            found, gradient = difflab.value_and_gradient(f, argnums=(0, 1))(*at)
            scale = max(1.0, float(abs(true)), float(abs(slope)) * abs(point))
            assert abs(found - value) <= 16 * EPS * scale
            for a, b in zip(gradient, expected, strict=True):
                assert abs(a - b) <= 32 * EPS * max(abs(slope), scale), (point, part)


def test_size_and_angle() -> None:
    for x, y in ((3.0, 4.0), (-1.0, 0.5), (1e-170, 1e-170), (0.0, -2.0)):
        size, (dx, dy) = difflab.value_and_gradient(lambda x, y: abs(x + 1j * y), argnums=(0, 1))(
            x, y
        )
        true = mp.hypot(x, y)
        assert abs(size - true) <= 2 * EPS * true
        assert abs(dx - x / true) <= 4 * EPS and abs(dy - y / true) <= 4 * EPS
        dx, dy = difflab.gradient(lambda x, y: np.angle(x + 1j * y), argnums=(0, 1))(x, y)
        assert abs(dx + y / true**2) <= 8 * EPS / true and abs(dy - x / true**2) <= 8 * EPS / true
    degrees = difflab.derivative(lambda t: np.angle(np.exp(1j * t), deg=True))(0.4)
    assert abs(degrees - 180 / np.pi) < 1e-13


def test_the_cut_of_the_root_is_that_of_numpy() -> None:
    for x in (-4.0, 4.0):
        for side in (1.0, -1.0):
            cut = np.array([side * 0.0])

            def f(x: Any, cut: Any = cut) -> Any:
                return _both(np.sqrt(x + 0 * x * 1j + 1j * np.abs(cut)))

            assert np.array_equal(difflab.trace(f, np.array([x]))(np.array([x])), f(np.array([x])))
    assert np.array_equal(difflab.derivative(lambda x: np.imag(np.sqrt(x + 0j)))(-4.0), -0.25)
    assert np.array_equal(difflab.derivative(lambda x: np.real(np.sqrt(x + 0j)))(4.0), 0.25)
    # It goes on smoothly where the real part is zero: d sqrt = dz / 2 sqrt(z).
    slope = 0.5 / mp.sqrt(mp.mpc(0, 2))
    assert abs(difflab.derivative(lambda x: np.real(np.sqrt(x + 2j)))(0.0) - slope.real) <= EPS
    assert abs(difflab.derivative(lambda x: np.imag(np.sqrt(x + 2j)))(0.0) - slope.imag) <= EPS


@pytest.mark.parametrize("y", [0.0, -0.0])
@pytest.mark.parametrize("f", [np.sqrt, np.log, lambda z: z**0.25], ids=["sqrt", "log", "power"])
def test_a_zero_beside_a_cut_has_the_sign_of_numpy(f: Any, y: float) -> None:
    for value in (
        lambda x, y: x + 1j * y, lambda x, y: x - 1j * y, lambda x, y: 1j * y + x,
        lambda x, y: np.conj(x + 1j * abs(y)), lambda x, y: np.conj(np.stack([x + 1j * abs(y)]))[0],
    ):  # fmt: skip

        def g(x: Any, y: Any, value: Any = value) -> Any:
            return np.imag(f(value(x, y)))

        assert np.isclose(difflab.value_and_gradient(g)(-4.0, y)[0], g(-4.0, y), rtol=1e-14)


def test_quotients_overflow_late() -> None:
    big = 1e300
    f = lambda x: np.real((x + 1j * x) / (big + 1j * big))
    assert abs(f(big) - 1.0) < 1e-15 and abs(difflab.derivative(f)(big) * big - 1.0) < 1e-15
    for x in (400.0, -400.0, 800.0):
        assert np.real(np.tanh(x + 1j)) == difflab.trace(lambda x: np.real(np.tanh(x + 1j)), x)(x)
        assert difflab.derivative(lambda x: np.real(np.tanh(x + 1j)))(x) == 0.0


# -- linear functions ------------------------------------------------------------------------------

_MASK = X > 0
LINEAR: dict[str, Callable[[Any], Any]] = {
    "index": lambda z: z[1:, ::2],
    "places": lambda z: z[[0, 2], [1, 1]],
    "mask": lambda z: z[_MASK],
    "reshape": lambda z: z.reshape(2, 6),
    "T": lambda z: z.T,
    "move": lambda z: np.moveaxis(z, 0, 1),
    "expand": lambda z: np.expand_dims(z, 1),
    "squeeze": lambda z: np.squeeze(z[None]),
    "broadcast": lambda z: np.broadcast_to(z, (2, 3, 4)),
    "flip": lambda z: np.flip(z, 1),
    "roll": lambda z: np.roll(z, 2, axis=1),
    "repeat": lambda z: np.repeat(z, 2, axis=0),
    "tile": lambda z: np.tile(z, 2),
    "take": lambda z: np.take(z, [0, 2], axis=1),
    "diagonal": lambda z: np.diagonal(z),
    "trace": lambda z: np.trace(z),
    "tril": np.tril,
    "split": lambda z: np.split(z, 2, axis=1)[1],
    "sum": lambda z: z.sum(0, keepdims=True),
    "mean": lambda z: z.mean(1),
    "cumsum": lambda z: np.cumsum(z, 1),
    "negative": lambda z: -z,
    "gradient": lambda z: np.gradient(z)[0],
    "trapezoid": lambda z: np.trapezoid(z, dx=0.1),
    "copy": lambda z: z.copy(),
    "diff": np.diff,
    "concatenate": lambda z: np.concatenate([z, z.real, np.zeros((1, 4))]),
    "stack": lambda z: np.stack([z, 1j * z, z.imag]),
    "block": lambda z: np.block([[z, z], [z, z]]),
    "where": lambda z: np.where(_MASK, z, 1j * z.real),
    "select": lambda z: np.select([_MASK], [z]),
    "append": lambda z: np.append(z, z),
    "insert": lambda z: np.insert(z, 1, z[:, 0], axis=1),
    "pad": lambda z: np.pad(z, ((1, 0), (0, 2))),
    "ediff1d": np.ediff1d,
    "compress": lambda z: np.compress([True, False, True], z, axis=0),
    "interp": lambda z: np.interp([0.5, 1.75], np.arange(4.0), z[0]),
    "plus": lambda z: z + 1j * z.real,
    "minus": lambda z: z.imag - z,
    "conjugate": lambda z: z.conj(),
    "times": lambda z: W.T * z * (2 - 1j) + U * z,
    "by": lambda z: z / W.T / (1 + 2j) / 3,
    "matmul": lambda z: z @ W,
    "matmul left": lambda z: W @ z,
    "matmul real": lambda z: z @ M,
    "dot": lambda z: np.dot(M, z.T),
    "dot method": lambda z: z.dot(C),
    "inner": lambda z: np.inner(z, C),
    "outer": lambda z: np.outer(z[0], C),
    "kron": lambda z: np.kron(z, W),
    "vecdot": lambda z: np.vecdot(C, z),
    "tensordot": lambda z: np.tensordot(z, W, axes=1),
    "cross": lambda z: np.cross(z.T, W),
    "convolve": lambda z: np.convolve(z[0], C, "same"),
    "vdot": lambda z: np.vdot(z[0], C),
    "correlate": lambda z: np.correlate(z[0], C, "full"),
    "correlate by": lambda z: np.correlate(C, z[0], "full"),
    "einsum": lambda z: np.einsum("ij,jk,j->ik", z, W, C),
    "solve": lambda z: np.linalg.solve(W[:3], z),
    "solve real": lambda z: np.linalg.solve(M, z.T),
    "unpacked": lambda z: sum([*z]),
    "reduce": lambda z: np.add.reduce(z),
    "outer ufunc": lambda z: np.multiply.outer(C, z[0]),
    "in place": lambda z: _in_place(z),
    "multi_dot": lambda z: np.linalg.multi_dot([z, W, W.T]),
    "astype": lambda z: z.astype(complex),
    "real astype": lambda z: z.real.astype(complex) * 1j,
    "meshgrid": lambda z: np.meshgrid(z[0], z[1])[1],
    "round trip": lambda z: np.fft.ifft(np.fft.fft(z)),
    "filter": lambda z: np.fft.ifft(np.fft.fft(z.real) * C),
    "shift": lambda z: np.fft.fftshift(np.fft.fft2(z)),
    **{
        f"{name} {options}": functools.partial(getattr(np.fft, name), **options)
        for name in ("fft", "ifft", "irfft", "fft2", "ifft2", "irfft2", "fftn", "ifftn", "irfftn")
        for options in (
            ({}, {"n": 3, "norm": "ortho"}, {"n": 7, "axis": 0, "norm": "forward"})
            if name in ("fft", "ifft", "irfft")
            else ({}, {"s": (5, 3), "axes": (1, 0)}, {"norm": "ortho"})
        )
    },
}
"""Functions that are linear over the real numbers, of a complex array of shape (3, 4)."""


def _in_place(z: Any) -> Any:
    y = z * 1
    y += z.conj()
    y *= 1j
    y -= z
    y /= 2
    return y


@pytest.mark.parametrize("name", LINEAR)
def test_linear_functions(name: str) -> None:
    function = LINEAR[name]
    value = function(X + 1j * Y)
    weights = RNG.normal(size=(2, *np.shape(value)))

    def f(x: Any, y: Any) -> Any:
        return _both(function(x + 1j * y))

    for dtype, digits in ((np.float64, 1e-13), (np.float32, 2e-5)):
        at = X.astype(dtype), Y.astype(dtype)
        found, called = difflab.trace(f, *at)(*at), f(*at)
        assert (found.shape, found.dtype) == (called.shape, called.dtype)
        assert np.allclose(found, called, rtol=digits, atol=digits * max(1, np.max(np.abs(called))))
    gradients = difflab.gradient(lambda x, y: np.sum(f(x, y) * weights), argnums=(0, 1))(X, Y)
    for unit, gradient in zip((1.0, 1j), gradients, strict=True):
        for index in np.ndindex(3, 4):
            direction = np.zeros((3, 4), complex)
            direction[index] = unit
            expected = np.sum(_both(function(direction)) * weights)
            assert abs(gradient[index] - expected) <= 1e-12 * max(1.0, abs(expected))


# -- other functions of arrays ---------------------------------------------------------------------

OTHERS: dict[str, Callable[[Any], Any]] = {
    "norm": np.linalg.norm,
    "norm 1": lambda z: np.linalg.norm(z, 1, axis=1),
    "norm inf": lambda z: np.linalg.norm(z, np.inf),
    "vector_norm": np.linalg.vector_norm,
    "var": lambda z: np.var(z, axis=1),
    "std": lambda z: z.std(ddof=1),
    "prod": np.prod,
    "prod axis": lambda z: np.prod(z, axis=1, keepdims=True),
    "cumprod": lambda z: np.cumprod(z, 1),
    "inv": lambda z: np.linalg.inv(z[:, :3]),
    "solve": lambda z: np.linalg.solve(z[:, :3], z),
    "solve vector": lambda z: np.linalg.solve(z[:, :3], z[:, 3]),
    "matrix_power": lambda z: np.linalg.matrix_power(z[:, :3], 3),
    "inverse power": lambda z: np.linalg.matrix_power(z[:, :3], -2),
    "einsum": lambda z: np.einsum("ij,ik,ij->jk", z, z, z),
    "self": lambda z: z**z / z[::-1],
    "polyval": lambda z: np.polyval(z[0], 1.5 - 1j),
    "real power": lambda z: z**X,
    "equal": lambda z: np.where(z == z[0, 0], 1, z * z),
    "guard": lambda z: z * z if z[0, 0] else z,
    "finite": lambda z: np.where(np.isfinite(z) & ~np.isnan(z), z * z, 0),
    "zeros_like": lambda z: np.zeros_like(z) + z * np.ones_like(z) ** 2 + np.full_like(z, 1j),
    "zeroth power": lambda z: z**0 * z[0, 0],
    "shape": lambda z: np.shape(z)[1] * len(z) * z.size * z,
    "questions": lambda z: z * z if np.iscomplexobj(z) and not np.isrealobj(z) else z,
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_functions_of_arrays(name: str) -> None:
    function = OTHERS[name]
    weights = RNG.normal(size=(2, *np.shape(function(X + 1j * Y))))

    def f(x: Any, y: Any) -> Any:
        return np.sum(_both(function(x + 1j * y)) * weights)

    value, gradients = difflab.value_and_gradient(f, argnums=(0, 1))(X, Y)
    called = f(X, Y)
    assert abs(value - called) <= 1e-12 * max(1.0, abs(called))
    direction = RNG.normal(size=(2, 3, 4))
    slope = sum(np.sum(a * b) for a, b in zip(gradients, direction, strict=True))
    assert abs(slope - _sixth_order(lambda t: f(*(np.array([X, Y]) + t * direction)))) <= (
        1e-7 * max(1.0, abs(slope))
    )


def _sixth_order(f: Callable[[float], float], h: float = 2e-3) -> float:
    weights = {1: 3 / 4, 2: -3 / 20, 3: 1 / 60}
    return sum(w * (f(k * h) - f(-k * h)) for k, w in weights.items()) / h


# -- what people compute ---------------------------------------------------------------------------


def _dft(values: Sequence[Any], sign: int) -> list[Any]:
    n = len(values)
    return [
        sum(v * mp.expjpi(mp.mpf(2 * sign * j * k) / n) for j, v in enumerate(values))
        for k in range(n)
    ]


def _analytic(x: Any) -> Any:
    keep = np.array([1, 2, 2, 1, 0, 0])
    return np.sum(np.abs(np.fft.ifft(np.fft.fft(x) * keep)) ** 3)


def _analytic_mp(x: Sequence[Any]) -> Any:
    z = [w * v for w, v in zip((1, 2, 2, 1, 0, 0), _dft(x, -1), strict=True)]
    return sum(abs(v / 6) ** 3 for v in _dft(z, 1))


def _mandelbrot(x: Any) -> Any:
    z = c = x[0] + 1j * x[1]
    for _ in range(6):
        z = z**2 + c
    return np.abs(z)


def _mandelbrot_mp(x: Sequence[Any]) -> Any:
    z = c = mp.mpc(x[0], x[1])
    for _ in range(6):
        z = z * z + c
    return abs(z)


def _two_level(x: Any) -> Any:
    """The probability of the other state after a pulse, and a free precession."""
    off = np.sin(x[0]) * np.array([[0, 1], [1, 0]])
    pulse = np.cos(x[0]) * np.eye(2) - 1j * off
    turn = np.exp(1j * x[1] * np.array([0.5, -0.5]))[:, None] * np.eye(2)
    state = pulse @ turn @ pulse @ np.array([1, 0])
    return np.abs(state[1]) ** 2


def _circuit(x: Any) -> Any:
    impedance = x[0] + 1j * x[3] * x[1] + 1 / (1j * x[3] * x[2])
    return np.abs(impedance) + np.angle(impedance)


def _circuit_mp(x: Sequence[Any]) -> Any:
    impedance = x[0] + 1j * x[3] * x[1] + 1 / (1j * x[3] * x[2])
    return abs(impedance) + mp.arg(impedance)


def _roots(x: Any) -> Any:
    root = np.sqrt(x[1] ** 2 - 4 * x[0] * x[2] + 0j)
    return np.imag((-x[1] + root) / (2 * x[0])) + np.abs((-x[1] - root) / (2 * x[0]))


def _roots_mp(x: Sequence[Any]) -> Any:
    root = mp.sqrt(mp.mpc(x[1] ** 2 - 4 * x[0] * x[2]))
    return mp.im((-x[1] + root) / (2 * x[0])) + abs((-x[1] - root) / (2 * x[0]))


_K = np.array([0.5, 1.0, 2.5])
_TIMES = np.arange(16) / 16
APPLICATIONS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], list[Any]]] = {
    "power spectrum": (
        lambda x: np.sum(np.abs(np.fft.rfft(x)) ** 2 * np.arange(1, 5)),
        lambda x: sum(abs(v) ** 2 * (k + 1) for k, v in enumerate(_dft(x, -1)[:4])),
        [[0.5, -1.25, 2.0, 0.75, 3.0, -0.5], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]],
    ),
    "structure factor": (
        lambda x: np.sum(np.abs(np.sum(np.exp(1j * _K[:, None] * x), 1)) ** 2),
        lambda x: sum(abs(sum(mp.exp(1j * k * v) for v in x)) ** 2 for k in map(mp.mpf, _K)),
        [[0.25, 1.5, -2.0, 0.75]],
    ),
    "impedance": (_circuit, _circuit_mp, [[2.0, 0.5, 0.125, 3.0], [10.0, 0.25, 0.5, 50.0]]),
    "Mandelbrot": (_mandelbrot, _mandelbrot_mp, [[-0.5, 0.5], [0.25, 0.0], [-1.25, 0.125]]),
    "quadratic": (_roots, _roots_mp, [[1.0, 2.0, 5.0], [2.0, -3.0, 7.5], [1.0, 1.0, 0.5]]),
    "Fourier coefficients": (
        lambda x: (
            np.abs(
                np.mean(
                    np.exp(x[0] * np.cos(2 * np.pi * _TIMES)) * np.exp(-2j * np.pi * 3 * _TIMES)
                )
            )
            + np.real(np.mean((x[1] + 1j) ** 2 * np.exp(1j * x[0] * _TIMES)))
        ),
        lambda x: (
            abs(
                sum(
                    mp.exp(x[0] * mp.cos(mp.mpf(float(2 * np.pi * t))))
                    * mp.exp(-1j * mp.mpf(float(2 * np.pi * 3 * t)))
                    for t in _TIMES
                )
                / 16
            )
            + mp.re(sum((x[1] + 1j) ** 2 * mp.exp(1j * x[0] * mp.mpf(t)) for t in _TIMES) / 16)
        ),
        [[1.5, 0.5]],
    ),
    "filter response": (
        lambda x: np.sum(np.abs(np.polyval(x, np.exp(1j * _K))) ** 2),
        lambda x: sum(abs(mp.polyval(list(x), mp.exp(1j * mp.mpf(k)))) ** 2 for k in _K),
        [[0.25, 0.5, -0.25, 1.0]],
    ),
    "two levels": (
        _two_level,
        lambda x: (mp.sin(2 * x[0]) * mp.cos(x[1] / 2)) ** 2,
        [[0.5, 0.75], [1.25, -2.0]],
    ),
    "analytic signal": (_analytic, _analytic_mp, [[0.5, -1.25, 2.0, 0.75, 3.0, -0.5]]),
}


@pytest.mark.parametrize("name", APPLICATIONS)
def test_what_people_compute(name: str) -> None:
    ours, theirs, points = APPLICATIONS[name]
    for point in points:
        at = [mp.mpf(v) for v in point]
        expected = _gradient(theirs, at)
        value, gradient = difflab.value_and_gradient(ours)(np.array(point))
        assert abs(value - theirs(at)) <= 1e-13 * max(1, abs(value))
        size = max(1, *map(abs, expected))
        assert max(abs(a - b) for a, b in zip(gradient, expected, strict=True)) <= 1e-13 * size
        forward = difflab.jacobian(ours, method="forward")(np.array(point))
        assert np.allclose(forward, gradient, rtol=1e-12, atol=1e-13)


def _gradient(f: Callable[[Any], Any], at: list[Any]) -> list[Any]:
    h, found = mp.mpf(10) ** -15, []
    for i in range(len(at)):
        up, down = ([*at[:i], at[i] + s * h, *at[i + 1 :]] for s in (1, -1))
        found.append((f(up) - f(down)) / (2 * h))
    return found


def test_a_power_spectrum_is_smooth_where_a_component_is_zero() -> None:
    f = lambda x: np.abs(np.fft.rfft(x)) ** 2 @ np.array([0.0, 3.0, 1.0])
    for x in (np.ones(4), np.zeros(4), np.array([1.0, -1.0, 1.0, -1.0])):
        weights = np.array([0.0, 6.0, 2.0])
        z = np.fft.rfft(x) * weights
        wave = np.exp(-2j * np.pi * np.outer([0, 1, 2], np.arange(4)) / 4)
        assert np.allclose(difflab.gradient(f)(x), np.real(z.conj() @ wave), atol=1e-14)
    check = difflab.check(f, np.ones(4))
    assert check.ok, check


def test_fourier_transforms_have_all_digits() -> None:
    x = RNG.normal(size=12)
    f = lambda x: np.sum(np.abs(np.fft.fft(x)[1:4]) ** 3)
    assert np.all(difflab.truth(f, x).ulps(difflab.gradient(f)(x)) <= 64)
    assert difflab.trace(f, x).to_sympy() is not None
    assert "dft" in str(difflab.trace(f, x))


# -- what is promised of the values ----------------------------------------------------------------


def test_what_a_traced_complex_value_tells() -> None:
    seen: list[Any] = []

    def f(x: Any, y: float) -> Any:
        z = x + 1j * y
        seen.append((isinstance(z, np.ndarray), z.dtype, z.shape, np.iscomplexobj(z), repr(z)))
        seen.append((isinstance(1j * y, complex), isinstance(z[0], np.complexfloating)))
        return np.abs(z) + np.abs(1j * y) * x

    difflab.trace(f, np.ones(3, np.float32), 2.0)
    assert seen[0][:4] == (True, np.complex64, (3,), True) and "complex64" in seen[0][4]
    assert seen[1] == (True, True)
    out = difflab.trace(f, np.ones(3, np.float32), 2.0).outputs[0]
    assert out.dtype == np.float32
    assert all(type(x) is not Pair for x in difflab.trace(f, np.ones(3), 2.0).nodes)


REFUSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "returned": (lambda x: x * 1j, "complex values"),
    "returned number": (lambda x: 1j, "complex values"),
    "order": (
        lambda x: np.abs(1j * x) if np.all(1j * x > 0) else x,
        "np.greater of complex values",
    ),
    "sort": (lambda x: np.abs(np.sort(1j * x)), "np.sort of complex values"),
    "max": (lambda x: np.abs(np.max(x + 1j)), "np.max of complex values"),
    "det": (lambda x: np.abs(np.linalg.det(x * (np.eye(4) + 1j))), "np.linalg.det of complex"),
    "option": (lambda x: np.interp(x * 1j, [0, 1], [0, 1]), "complex"),
    "norm": (lambda x: np.abs(np.fft.fft(x, norm="none")), "norm='none'"),
    "cmath": (lambda x: cmath.exp(1j * x[0]).real, "cmath.exp turns"),
    "own": (lambda x: np.abs(difflab.sigmoid(1j * x)), "sigmoid of complex values"),
    "float": (lambda x: float(x[0] * 1j), "plain float"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str) -> None:
    function, words = REFUSED[name]
    with pytest.raises(errors.DifflabError) as caught:
        difflab.trace(function, U)
    assert words in str(caught.value) and caught.value.remedy


def test_numbers_are_joined_to_arrays() -> None:
    f = lambda x: np.abs(np.sum(np.stack([x[0] + 1j * x[1], 1j * x[0]])) + sum([1j * x[1], x[0]]))
    x = np.array([1.0, 2.0])  # |2 x0 + i (x0 + 2 x1)|
    assert f(x) == np.sqrt(29.0)
    assert np.allclose(difflab.gradient(f)(x), np.array([4 + 5, 10]) / np.sqrt(29.0), rtol=1e-15)


def test_options_are_those_of_numpy() -> None:
    for n, axis in itertools.product((1, 2, 5, 8), (0, 1, -1)):
        for name in ("fft", "ifft", "irfft", "rfft"):
            f = lambda x, name=name: _both(getattr(np.fft, name)(x, n, axis))  # noqa: B023
            assert np.allclose(difflab.trace(f, X)(X), f(X), atol=1e-14)
    with pytest.raises(errors.ShapeError, match="at least one point"):
        difflab.trace(lambda x: np.abs(np.fft.fft(x, 0)), X)
