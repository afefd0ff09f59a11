"""Vector functions have their digits, certified by balls, and the same bits at every width."""

import platform
import re
from functools import cache

import numpy as np
import pytest

from difflab.accuracy.digits import Instance, distances, is_gradable, points, truths, worst
from difflab.engines.native import machine
from difflab.engines.native.exponentials import FUNCTIONS
from difflab.engines.native.kinds import KINDS
from difflab.engines.native.mathematics import definitions, has_loop, ufunc_loop, vector_rule
from difflab.ir.row import TABLE

from .elementwise import called, compiled, loop
from .kernels import native

pytestmark = native
SAMPLES = 5000
WITHIN = {"cbrt_slope": 2.5}
"""Ulps, where they are not 2: it stands on NumPy's cbrt."""
ROWS = [row for row in TABLE.values() if row.native in FUNCTIONS and is_gradable(row)]
BOTH = [(name, kind) for name in FUNCTIONS for kind in ("f64", "f32")]
DTYPES = {"f64": np.float64, "f32": np.float32}
X86 = pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64"), reason="made for x86 CPUs"
)
ENDS = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 5e-324, -1e-310, 1e-40, 1e308])


def arity(name):
    return FUNCTIONS[name].__code__.co_argcount - 1


def numbers(name, kind):
    """Operands of a function, rare ones among them."""
    rng = np.random.default_rng(1)
    found = np.concatenate([ENDS, rng.normal(size=400) * 3.0, np.exp(rng.uniform(-99, 99, 400))])
    with np.errstate(all="ignore"):
        return [rng.permutation(found).astype(DTYPES[kind]) for _ in range(arity(name))]


def bits(x):
    """The bits of floats; NaN is NaN, whatever its sign."""
    return np.where(np.isnan(x), np.nan, x).tobytes()


@cache
def at(row, kind):
    """Points of a row, as numbers of a kind that are in its domain."""
    more = np.ldexp(np.pi, np.arange(-2, 60)) * np.arange(1, 63)  # where sin and cos are small
    found = points(row, SAMPLES)
    if len(found) == 1:
        found = [np.concatenate([*found, more])]
    with np.errstate(all="ignore"):
        found = [x.astype(DTYPES[kind]).astype(float) for x in found]
    inside = np.all([(d.low < x) & (x < d.high) for d, x in zip(row.domain, found, strict=True)], 0)
    return [x[inside & np.all(np.isfinite(found), 0)] for x in found]


@pytest.mark.parametrize("kind", ["f64", "f32"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_digits(row, kind):
    x = at(row, kind)
    truth, rest = truths(Instance(row, tuple(row.params[0].items())).value(), x)
    found = compiled(called(row.native), [kind] * len(x), 16)(*x).astype(float)
    with np.errstate(all="ignore"):
        rounded = truth.astype(DTYPES[kind])
        size = truth
        if row.native == "logaddexp":
            size = np.maximum(abs(truth), np.maximum(*np.abs(x)))
        if kind == "f32":
            unit = np.spacing(abs(size).astype(np.float32)).astype(float)
            off = abs(found - truth) / unit
        elif size is truth:
            off = distances(found, truth, rest)
        else:
            off = abs(found - truth) / np.spacing(size)
    finite = np.isfinite(rounded)
    assert finite.sum() > 1000
    grade = worst(off, x, finite)
    print(row.name, kind, f"{grade.ulps:.2f} ulps of {grade.samples} at {grade.worst}")
    assert grade.ulps <= WITHIN.get(row.native, 2.0), grade
    largest = float(np.finfo(DTYPES[kind]).max)
    assert np.all(np.isfinite(rounded) | (abs(found) >= 0.999 * largest) | np.isnan(truth))


@pytest.mark.parametrize(("name", "kind"), BOTH)
def test_the_same_bits_at_every_width(name, kind):
    x = numbers(name, kind)
    one, *others = (
        bits(compiled(called(name), [kind] * len(x), width)(*x)) for width in (1, 4, 8, 16)
    )
    assert all(other == one for other in others)


@X86
@pytest.mark.parametrize("cpu", ["x86-64-v3", "skylake-avx512"])
@pytest.mark.parametrize(("name", "kind"), BOTH)
def test_nothing_is_left_to_a_library(name, kind, cpu):
    text, addresses, _ = loop(called(name), [kind] * arity(name), 16)
    code = machine.assembly(text, cpu, "")
    labels = set(re.findall(r'(?m)^"?([\w.]+)"?:', code))
    jumps = set(re.findall(r"(?:call|jmp)q?\s+([A-Za-z_][\w.]*)", code))
    assert jumps <= labels | set(addresses), jumps - labels


@X86
@pytest.mark.parametrize(("name", "kind"), BOTH)
def test_the_same_bits_on_an_older_cpu(name, kind, monkeypatch):
    x = numbers(name, kind)
    here = bits(compiled(called(name), [kind] * len(x), 16)(*x))
    target = machine.machine("x86-64-v3", "")
    monkeypatch.setattr(machine, "machine", lambda cpu=None, features=None: target)
    assert bits(compiled(called(name), [kind] * len(x), 16)(*x)) == here


def test_only_what_is_called_is_defined():
    text = definitions({("sigmoid", "f64", 8)}).text
    assert re.findall(r"@([\w.]+)\(.*\{", text) == ["exp_slow.f64.8", "sigmoid.f64.8"]
    assert "noinline" in text and "cold" in text


@pytest.mark.parametrize("kind", ["f64", "f32", "i64"])
@pytest.mark.parametrize("ufunc", [np.arctan, np.arctan2, np.remainder, np.cbrt, np.floor_divide])
def test_loops_of_numpy_have_its_bits(ufunc, kind):
    if not has_loop(ufunc, kind):
        assert kind == "i64"
        return
    x = [np.arange(-7, 9).astype(DTYPES.get(kind, np.int64)), np.repeat(np.arange(4), 4)]
    x[1] = x[1].astype(x[0].dtype)
    with np.errstate(all="ignore"):
        expected = ufunc(*x[: ufunc.nin])
    found = compiled(called(f"loop.{ufunc.__name__}"), [kind] * ufunc.nin, 4)(*x[: ufunc.nin])
    assert found.tobytes() == expected.tobytes()
    assert all(address for address in ufunc_loop(ufunc, kind).values())


@pytest.mark.parametrize("exponent", [1.0, 2.0, 3.0, 4.0, 0.5, -1.0, -2.0, 2.5, 0.1337])
def test_constant_powers(exponent):
    row = TABLE["constant_power"]
    x = np.concatenate([ENDS, np.exp(np.random.default_rng(2).uniform(-50, 50, 500))])
    found = compiled(row.native, ["f64"], exponent=exponent)(x)
    with np.errstate(all="ignore"):
        expected = np.power(x, exponent)
        near = np.isfinite(expected) & (abs(found - expected) <= 3.0 * np.spacing(abs(expected)))
    ends = (np.signbit(found) == np.signbit(expected)) & (found == expected)
    assert np.all(near & (expected != 0.0) | ends | np.isnan(found) & np.isnan(expected))


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 5, 8, 11])
def test_whole_powers_of_integers_wrap_as_numpy_does(exponent):
    x = np.array([0, 1, -1, 2, -3, 10, 2**40, -(2**62)])
    found = compiled(TABLE["constant_power"].native, ["i64"], exponent=exponent)(x)
    assert np.array_equal(found, x**exponent)


@pytest.mark.parametrize("target", KINDS)
@pytest.mark.parametrize("source", KINDS)
def test_conversions(source, target):
    x = np.array([0.0, -0.0, 1.0, -1.5, 2.5, 1e9, -1e15, 0.3]).astype(source)
    found = compiled(TABLE["convert"].native, [KINDS[source]], dtype=target)(x)
    assert found.tobytes() == x.astype(target).tobytes()


def test_what_has_no_rule():
    double, whole, flag = map(np.dtype, (np.float64, np.int64, np.bool_))
    assert vector_rule(TABLE["gamma"], (double,)) is None  # a Python function
    assert vector_rule(TABLE["sum"], (double,)) is None
    assert vector_rule(TABLE["exp"], (whole,)) is None  # NumPy converts
    assert vector_rule(TABLE["subtract"], (flag, flag)) is None  # NumPy refuses
    assert vector_rule(TABLE["power"], (whole, whole)) is None  # it may raise
    assert vector_rule(TABLE["add"], (np.dtype(complex),) * 2) is None
