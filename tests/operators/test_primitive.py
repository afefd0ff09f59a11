"""Rules of one's own: values and derivatives against closed forms, and what is refused by name."""

from __future__ import annotations

import copy
import ctypes
import ctypes.util
import pickle
import threading

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import difflab
from difflab import (
    check,
    derivative,
    gradient,
    hessian,
    hvp,
    jacobian,
    jvp,
    primitive,
    value_and_gradient,
    vjp,
)
from difflab.errors import ArgumentError, ShapeError, TraceError, UnsupportedError

LIBM = ctypes.CDLL(ctypes.util.find_library("m"))
for _name in ("erf", "exp"):
    getattr(LIBM, _name).restype = ctypes.c_double
    getattr(LIBM, _name).argtypes = [ctypes.c_double]
ROOT = 2.0 / np.sqrt(np.pi)
X = 0.3
SLOPE = ROOT * np.exp(-X * X)
ERF = primitive(LIBM.erf, lambda y, ct, x: ct * ROOT * np.exp(-x * x))
IN_C = primitive(LIBM.erf, lambda y, ct, x: ct * ROOT * LIBM.exp(-x * x))


@primitive(pullback=lambda y, ct, x: ct * (1.0 - y * y))
def squashed(x):
    return np.array([np.tanh(v) for v in x.ravel().tolist()]).reshape(x.shape)


def _solved(y, ct, a, b):
    back = np.linalg.solve(a.T, ct)
    return -np.outer(back, y), back


def _solved_forward(y, tangents, a, b):
    return np.linalg.solve(a, tangents[1] - tangents[0] @ y)


SOLVES = {
    "pullback": primitive(np.linalg.solve, _solved),
    "pushforward": primitive(np.linalg.solve, pushforward=_solved_forward),
    "both": primitive(np.linalg.solve, _solved, _solved_forward),
}


def test_a_c_function_to_third_order():
    assert ERF(X) == LIBM.erf(X)
    assert derivative(ERF)(X) == pytest.approx(SLOPE, rel=1e-15)
    second = derivative(derivative(ERF))
    assert second(X) == pytest.approx(-2 * X * SLOPE, rel=1e-14)
    assert derivative(second)(X) == pytest.approx((4 * X * X - 2) * SLOPE, rel=1e-14)
    inner = lambda x: ERF(2.0 * x) * x
    true = LIBM.erf(2 * X) + X * 2 * ROOT * np.exp(-4 * X * X)
    for method in ("forward", "reverse"):
        assert derivative(inner, method=method)(X) == pytest.approx(true, rel=1e-14)
    for method in ("richardson", "central_difference", "forward_difference"):
        assert derivative(inner, method=method)(X) == pytest.approx(true, rel=1e-6)


def test_every_operator_goes_through_a_rule_that_is_called():
    assert derivative(IN_C)(X) == pytest.approx(SLOPE, rel=1e-15)
    assert jvp(IN_C, (X,), (2.0,))[1] == pytest.approx(2 * SLOPE, rel=1e-15)
    value, pull = vjp(IN_C, X)
    assert (value, pull(2.0)[0]) == (LIBM.erf(X), pytest.approx(2 * SLOPE, rel=1e-15))
    found = jacobian(lambda x: np.stack([IN_C(v) for v in x]))(np.array([X, X]))
    np.testing.assert_allclose(found, SLOPE * np.eye(2), rtol=1e-14)


def test_a_rule_that_is_called_has_no_derivative():
    with pytest.raises(UnsupportedError, match=r"called, not traced.*\n.*\n.*its own pullback"):
        derivative(derivative(IN_C))(X)
    second = derivative(derivative(IN_C), method="richardson")
    assert second(X) == pytest.approx(-2 * X * SLOPE, rel=1e-8)


def test_the_remedy_works_a_rule_made_of_a_primitive_with_a_rule():
    bell = primitive(lambda x: LIBM.exp(-x * x), lambda y, ct, x: -2.0 * ct * x * y)
    function = primitive(LIBM.erf, lambda y, ct, x: ct * ROOT * bell(x))
    assert derivative(derivative(function))(X) == pytest.approx(-2 * X * SLOPE, rel=1e-14)
    third = derivative(derivative(derivative(function)))
    assert third(X) == pytest.approx((4 * X * X - 2) * SLOPE, rel=1e-14)


@pytest.mark.parametrize("given", SOLVES)
def test_one_rule_is_transposed_for_the_other_mode(given):
    solve = SOLVES[given]
    a, b = np.array([[3.0, 1.0], [0.5, 2.0]]), np.array([1.0, 2.0])
    inverse = np.linalg.inv(a)
    true = (-np.einsum("ij,k->ijk", inverse, inverse @ b), inverse)
    for method in ("forward", "reverse"):
        found = jacobian(solve, argnums=(0, 1), method=method)(a, b)
        for part, expected in zip(found, true, strict=True):
            np.testing.assert_allclose(part, expected, rtol=1e-13, atol=1e-15)
    loss = lambda b: np.sum(solve(a, b) ** 2)
    np.testing.assert_allclose(hessian(loss)(b), 2 * inverse.T @ inverse, rtol=1e-13)
    tangent = np.array([1.0, -1.0])
    np.testing.assert_allclose(
        hvp(loss, (b,), (tangent,)), 2 * inverse.T @ inverse @ tangent, rtol=1e-13
    )
    assert check(solve, a, b).verdict == "correct"


def test_many_dimensions_float32_and_decorators():
    x = np.linspace(-1.0, 1.0, 6).reshape(2, 3)
    value, found = value_and_gradient(lambda x: np.sum(squashed(x) * x))(x)
    assert value == pytest.approx(np.sum(np.tanh(x) * x))
    np.testing.assert_allclose(found, np.tanh(x) + x / np.cosh(x) ** 2, rtol=1e-14)

    half = primitive(lambda x: x / np.float32(2), lambda y, ct, x: ct / 2)
    found = gradient(lambda x: np.sum(half(x) ** 2))(np.ones(3, np.float32))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.full(3, 0.5))


def test_integers_statics_and_options():
    def power(x, n, how, scale=1.0):
        assert how == "plain"
        return scale * x**n

    rule = lambda y, ct, x, n, how, scale=1.0: (ct * scale * n * x ** (n - 1), None, None)
    p = primitive(power, rule)
    assert derivative(lambda x: p(x, 3, "plain", scale=2.0))(2.0) == 24.0
    assert derivative(lambda x: p(x, 3, "plain", scale=4.0))(2.0) == 48.0
    taken = primitive(lambda x, k: x[k], lambda y, ct, x, k: (ct * (np.arange(3) == k), None))
    k = np.array([2, 0])
    with pytest.raises(ValueError, match="broadcast"):  # the rule's own
        gradient(lambda x: np.sum(taken(x, k)))(np.ones(3))
    short = primitive(np.tanh, lambda y, ct, x: ct[:2])
    with pytest.raises(ShapeError, match=r"pullback of tanh returned shape \(2,\) as cotangent 0"):
        gradient(lambda x: np.sum(short(x)))(np.ones(3))
    found = gradient(lambda x: 5.0 * taken(x, np.int64(2)))(np.ones(3))
    np.testing.assert_array_equal(found, [0.0, 0.0, 5.0])
    with pytest.raises(UnsupportedError, match=r"scale= is an array.*\n.*\n.*by position"):
        derivative(lambda x: p(x, 3, "plain", scale=x))(2.0)
    with pytest.raises(UnsupportedError, match="unhashable"):
        derivative(lambda x: p(x, [3], "plain"))(2.0)
    told = _kinds()
    slope = derivative(lambda x, n: told(x, n))
    assert [slope(2.0, n) for n in (1, True)] == [1.0, 2.0]


def _kinds():
    """Tells 1 from True."""

    def scale(n):
        return 2.0 if n is True else 1.0

    return primitive(lambda x, n: x * scale(n), lambda y, ct, x, n: (ct * scale(n), None))


def test_an_ode_by_its_adjoint():
    """y' = a y - y^2 from y(0) = 1/2, whose solution is known."""

    def flow(t, y, a):
        return a * y - y * y

    options = {"rtol": 1e-11, "atol": 1e-12}

    def solver(a):
        return solve_ivp(flow, (0.0, 1.0), [0.5], args=(a,), **options).y[0, -1]

    def adjoint(y, ct, a):
        def back(t, z):
            return [flow(t, z[0], a), -z[1] * (a - 2 * z[0]), -z[1] * z[0]]

        return solve_ivp(back, (1.0, 0.0), [y, ct, 0.0], **options).y[2, -1]

    def exact(a):
        return a / (1.0 + (2 * a - 1.0) * np.exp(-a))

    p = primitive(solver, adjoint)
    f = derivative(lambda a: p(a) ** 2)
    for a in (1.3, 0.7, 2.0):
        step = 1e-20
        slope = (exact(a + 1j * step) ** 2).imag / step
        assert f(a) == pytest.approx(slope, rel=1e-9)
    assert check(p, 1.3, noise=1e-10).verdict == "correct"
    doubled = primitive(solver, lambda y, ct, a: 2.0 * adjoint(y, ct, a))
    assert check(doubled, 1.3, noise=1e-10).verdict == "wrong"


def test_a_fixed_point_by_the_implicit_function_theorem():
    """x = cos(a x), of which all derivatives follow from the rule in NumPy."""

    def solve(a):
        x = 0.5
        for _ in range(200):
            x -= (x - np.cos(a * x)) / (1.0 + a * np.sin(a * x))
        return float(x)

    def rule(x, ct, a):
        return -ct * x * np.sin(a * x) / (1.0 + a * np.sin(a * x))

    p = primitive(solve, rule)
    steps = 2.0**-10 * np.arange(-2, 3)
    values = np.array([rule(solve(0.8 + h), 1.0, 0.8 + h) for h in steps])
    second = values @ [1, -8, 0, 8, -1] / (12 * 2.0**-10)
    assert derivative(derivative(p))(0.8) == pytest.approx(second, rel=1e-9)
    assert check(p, 0.8).verdict == "correct"
    assert check(p, 0.8, order=2).verdict == "correct"


def test_a_torch_module():
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    module = module.double()

    def forward(x):
        return module(torch.from_numpy(x)).detach().numpy()

    def backward(y, ct, x):
        given = torch.from_numpy(x).requires_grad_()
        return torch.autograd.grad(module(given), given, torch.from_numpy(ct))[0].numpy()

    p = primitive(forward, backward)
    assert check(lambda x: p(x)[0] ** 2, np.array([0.1, -0.4, 0.7])).verdict == "correct"


WRONG = {
    "sign": lambda y, ct, x: -ct * (1.0 - y * y),
    "factor": lambda y, ct, x: 2.0 * ct * (1.0 - y * y),
    "a little": lambda y, ct, x: (1.0 + 1e-6) * ct * (1.0 - y * y),
    "transposed": lambda y, ct, x: ct[::-1] * (1.0 - y * y),
    "no cotangent": lambda y, ct, x: 1.0 - y * y,
    "zero": lambda y, ct, x: None,
}


@pytest.mark.parametrize("how", WRONG)
def test_check_finds_wrong_rules(how):
    p = primitive(np.tanh, WRONG[how])
    f = lambda x: np.sum(p(x) * np.array([1.0, 3.0]))
    x = np.array([0.3, -0.8])
    assert check(f, x).verdict == "wrong"
    with pytest.raises(AssertionError, match="wrong"):
        difflab.testing.assert_primitive(p, (x,))


def test_check_is_not_convinced_by_a_ball_or_a_rule_that_agree_with_each_other():
    p = primitive(
        np.tanh,
        lambda y, ct, x: 2.0 * ct * (1.0 - y * y),
        lambda y, t, x: 2.0 * t[0] * (1.0 - y * y),
        ball=lambda x: x.tanh(),
    )
    assert check(p, 0.3).verdict == "wrong"


def test_rules_are_asserted_at_points():
    difflab.testing.assert_primitive(squashed, (np.array([0.3, -0.8]),), (np.zeros(1),))
    difflab.testing.assert_primitive(IN_C, (0.3,), (1.7,))
    crooked = primitive(
        np.tanh, lambda y, ct, x: ct * (1.0 - y * y), lambda y, t, x: t[0] * (1.0 + y * y)
    )
    with pytest.raises(AssertionError, match="this is forward mode"):
        difflab.testing.assert_primitive(crooked, (0.5,))


def test_truth_and_sympy_by_cells_that_are_given():
    p = primitive(
        np.tanh,
        lambda y, ct, x: ct * (1.0 - y * y),
        ball=lambda x: x.tanh(),
        sympy=lambda sympy, x: sympy.tanh(x),
    )
    assert difflab.truth(p, 0.5).ulps(1.0 / np.cosh(0.5) ** 2) < 2
    assert derivative(p, method="symbolic")(0.5) == pytest.approx(1.0 / np.cosh(0.5) ** 2)
    with pytest.raises(UnsupportedError, match=r"erf .*given no ball="):
        difflab.truth(ERF, X)
    with pytest.raises(UnsupportedError, match=r"erf .*given no sympy="):
        derivative(ERF, method="symbolic")(X)


def test_refusals_by_name():
    bare = primitive(LIBM.erf)
    assert bare(X) == LIBM.erf(X)
    with pytest.raises(UnsupportedError, match=r"erf has no derivative.*\n.*\n.*give pullback="):
        derivative(bare)(X)
    forward = primitive(LIBM.erf, pushforward=lambda y, t, x: t[0] * ROOT * LIBM.exp(-x * x))
    assert derivative(forward, method="forward")(X) == pytest.approx(SLOPE, rel=1e-15)
    with pytest.raises(UnsupportedError, match=r"no pullback.*\n.*\n.*or use forward mode"):
        derivative(forward, method="reverse")(X)
    vector = primitive(np.copy, lambda y, ct, x: np.copy(ct) * LIBM.exp(ct[0]) / LIBM.exp(ct[0]))
    with pytest.raises(UnsupportedError, match=r"no pushforward.*\n.*\n.*or use reverse mode"):
        jacobian(vector, method="forward")(np.ones(2))
    crooked = primitive(LIBM.erf, pushforward=lambda y, t, x: t[0] ** 2)
    with pytest.raises(UnsupportedError, match="not linear"):
        derivative(crooked)(X)
    with pytest.raises(ArgumentError, match="2 parts for 1 arguments"):
        derivative(primitive(LIBM.erf, lambda y, ct, x: (ct, ct)))(X)
    with pytest.raises(UnsupportedError, match="returned a tuple"):
        derivative(primitive(lambda x: (x, x), lambda y, ct, x: ct))(X)
    with pytest.raises(UnsupportedError, match="complex128"):
        derivative(primitive(lambda x: 1j * x, lambda y, ct, x: ct))(X)
    with pytest.raises(TraceError, match="inside of a function"):
        derivative(lambda x: primitive(LIBM.erf)(x))(X)
    with pytest.raises(ArgumentError, match="function is needed"):
        primitive(3)


def test_what_a_rule_reads_is_watched_and_what_it_keeps_is_not_believed():
    scale = {"by": 2.0}
    p = primitive(lambda x: scale["by"] * x, lambda y, ct, x: scale["by"] * ct)
    f = derivative(lambda x: p(x) + x)
    assert f(1.0) == 3.0
    scale["by"] = 5.0
    assert f(1.0) == 6.0

    kept = {}

    def forward(x):
        kept["slope"] = 2.0 * x
        return x * x

    stored = derivative(primitive(forward, lambda y, ct, x: ct * kept["slope"]))
    assert [stored(x) for x in (1.0, 3.0, -2.0)] == [2.0, 6.0, -4.0]


def test_a_rule_with_branches_is_called():
    p = primitive(abs, lambda y, ct, x: ct if x > 0 else -ct)
    f = derivative(p)
    assert [f(2.0), f(-2.0), f(1.0)] == [1.0, -1.0, 1.0]


def test_nothing_that_a_function_does_to_its_arguments_or_memory_shows():
    memory = np.zeros(2)

    def f(x):
        np.multiply(x, x, out=memory)
        x[:] = np.nan
        return memory

    p = primitive(f, lambda y, ct, x: 2.0 * x * ct)
    x = np.array([1.0, 2.0])
    found = gradient(lambda x: np.sum(p(1.0 * x)) * np.sum(p(x + 1.0)))(x)
    np.testing.assert_allclose(found, 2 * x * np.sum((x + 1) ** 2) + 2 * (x + 1) * np.sum(x**2))
    np.testing.assert_array_equal(x, [1.0, 2.0])


def test_a_shape_that_changes_is_an_error():
    p = primitive(lambda x: np.zeros(2 if x < 1 else 3), lambda y, ct, x: 0.0 * x)
    f = value_and_gradient(lambda x: np.sum(p(x)))
    f(0.5)
    with pytest.raises(ShapeError, match=r"shape \(3,\), and float64 of shape \(2,\)"):
        f(2.0)


def _squared_sum(x):
    return np.sum(squashed(x) ** 2)


def test_pickles_and_copies():
    x = np.array([0.3, -0.8])
    before = gradient(_squared_sum)
    expected = before(x)
    assert copy.deepcopy(ERF) is ERF
    np.testing.assert_array_equal(copy.deepcopy(before)(x), expected)
    graph = difflab.trace(_squared_sum, x)
    assert copy.deepcopy(graph)(x) == graph(x)
    named = primitive(_squared_sum)
    assert pickle.loads(pickle.dumps(named))(x) == named(x)


def test_threads():
    f = gradient(lambda x: np.sum(squashed(x) ** 2))
    x = np.linspace(-1, 1, 5)
    true, found = 2 * np.tanh(x) / np.cosh(x) ** 2, []
    threads = [threading.Thread(target=lambda: found.append(f(x))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in found:
        np.testing.assert_allclose(one, true, rtol=1e-14)
    assert len(found) == 4
