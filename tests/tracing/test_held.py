"""What is differentiated is the user's function: right, or refused by name, never silently wrong.

Questions about types are predicates: f is one function where the answer is yes and another one
where it is no, and the wrong gradient is the other one's. The truth of every other case is the
plain function itself, at complex points (exact) and by central differences.
"""

from __future__ import annotations

import collections.abc
import contextlib
import copy
import fractions
import functools
import inspect
import itertools
import json
import math
import numbers
import operator
import pickle
import struct
from types import SimpleNamespace as Box

import numpy as np
import pytest

import difflab
from difflab import derivative, gradient
from difflab.errors import DifflabError

from ..opaque import opaque

X = np.array([0.3, 0.7, 1.1])
POINTS = (X, np.zeros(3), np.ones(3))
METHODS = ("reverse", "forward", "central_difference", "symbolic", "complex_step")


def differences(f, x):
    steps = 1e-5 * np.eye(x.size)
    return np.array([(float(f(x + s)) - float(f(x - s))) / 2e-5 for s in steps])


def slopes_of(f, x):
    """By the complex step of plain NumPy: to the last digits, which check asks for; or None."""
    try:
        points = x + 1e-30j * np.eye(x.size)
        exact = np.array([f(point).imag / 1e-30 for point in points])
    except (
        TypeError,
        np.exceptions.ComplexWarning,
    ):  # complex values do not fit into a float array
        return None
    assert np.allclose(exact, differences(f, x), 1e-5, 1e-8)
    return exact


def holds(f, truth, wrong=None, points=POINTS, methods=METHODS):
    """Every method right or refused, and check never certifies the contrary.

    Reverse mode and the complex step, which take another way through the function, at every point.
    """
    silently = []
    for method in methods:
        g = gradient(f, method=method)
        for x in points if method in ("reverse", "complex_step") else points[:1]:
            given = x.copy()
            with contextlib.suppress(DifflabError):
                found = g(given)
                if not np.allclose(found, differences(f, x), 1e-5, 1e-7):
                    silently.append((method, x, found))
            assert np.array_equal(given, x), "the caller's array was changed"
    assert not silently
    for x in points[:2]:
        right = truth(x)
        other = wrong(x) if wrong else differences(f, x) + np.array([0.0, 1.0, 0.0])
        for given_one, is_right in ((right, True), (other, False)):
            candidate = opaque(lambda x, g=given_one: g)
            if is_right and right is None:
                continue
            with contextlib.suppress(DifflabError):
                given = x.copy()
                found = difflab.check(f, given, gradient=candidate)
                assert found.verdict != "wrong" if is_right else not found.ok, str(found)
                assert np.array_equal(given, x), "the caller's array was changed"


# -- questions about types -----------------------------------------------------------------------


def attempted(what, otherwise=False, errors=Exception):
    """Whether something can be done, as users ask it."""

    def asked(x):
        try:
            what(x)
        except errors:
            return otherwise
        return not otherwise

    return asked


def bare(x):
    try:
        float(x[0])
    except:  # noqa: E722
        return False
    return True


def finally_returned(x):
    answer = False
    try:
        float(x[0])
        answer = True
    finally:
        return answer  # noqa: B012


def suppressed(x):
    with contextlib.suppress(TypeError):
        float(x[0])
        return True
    return False


def matched(x):
    match x:
        case np.ndarray():
            return True
        case _:
            return False


def matched_entry(x):
    match x[0]:
        case float():
            return True
    return False


def raised(x):
    with np.errstate(divide="raise"):
        try:
            1 / (x - x + 0.0 * x.size)
        except FloatingPointError:
            return True
    with np.errstate(invalid="raise"):
        return attempted(lambda x: np.log(-1 - x * x), True)(x)


@functools.singledispatch
def dispatched(x):
    return False


dispatched.register(np.ndarray, lambda x: True)

QUESTIONS = {
    "isinstance": lambda x: isinstance(x, np.ndarray),
    "isinstance of a sum": lambda x: isinstance(x + 1, np.ndarray),
    "isinstance of an entry": lambda x: isinstance(x[0], (float, np.floating)),
    "isinstance generic": lambda x: isinstance(np.sum(x), np.generic),
    "not a list": lambda x: not isinstance(x, (list, tuple)),
    "isscalar": lambda x: np.isscalar(x[0]),
    "type is": lambda x: type(x) is np.ndarray,
    "type equals": lambda x: type(x[0]) == np.float64,  # noqa: E721
    "type in": lambda x: type(x) in (np.ndarray, float),
    "type name": lambda x: type(x).__name__ == "ndarray",
    "type module": lambda x: type(2 * x).__module__ == "numpy",
    "issubclass": lambda x: issubclass(type(x), np.ndarray),
    "class is": lambda x: x.__class__ is np.ndarray,
    "Number": lambda x: isinstance(x[0], numbers.Number),
    "Real": lambda x: isinstance(np.sum(x), numbers.Real),
    "Iterable": lambda x: isinstance(x, collections.abc.Iterable),
    "Sequence": lambda x: isinstance(x, collections.abc.Sequence),
    "Sized": lambda x: isinstance(x, collections.abc.Sized),
    "Hashable": lambda x: isinstance(x, collections.abc.Hashable),
    "Callable": lambda x: isinstance(x, collections.abc.Callable),
    "callable": callable,
    **{f"hasattr {name}": (lambda x, name=name: hasattr(x, name)) for name in (
        "shape", "tolist", "item", "primitive", "operands", "value", "dtype", "ctypes", "copy",
        "__array__", "__array_interface__", "__array_ufunc__", "__dict__", "detach", "weak")},
    "hasattr of an entry": lambda x: hasattr(x[0], "is_integer"),
    "getattr default": lambda x: getattr(x, "node", None) is None,
    "dir": lambda x: "itemset" in dir(x) or "strides" in dir(x),
    "repr": lambda x: repr(x).startswith("array"),
    "str": lambda x: str(x).startswith("["),
    "format": lambda x: len(f"{x[0]:8.3f}") == 8,
    "f-string": lambda x: "a" not in f"{x[0]}",
    "percent": attempted(lambda x: "%f" % x[0]),  # noqa: UP031
    "singledispatch": dispatched,
    "match": matched,
    "match an entry": matched_entry,
    "float": attempted(lambda x: float(x[0]), errors=TypeError),
    "float, ValueError": attempted(lambda x: float(x[0]), errors=(TypeError, ValueError)),
    "int": attempted(lambda x: int(x[0])),
    "complex": attempted(lambda x: complex(x[0])),
    "index": attempted(lambda x: operator.index(x[0])),
    "math.sin": attempted(lambda x: math.sin(x[0])),
    "fft": attempted(np.fft.fft),
    "eigvals": attempted(lambda x: np.linalg.eigvals(np.outer(x, x))),
    "item": attempted(lambda x: x[0].item()),
    "tolist": attempted(lambda x: x.tolist()),
    "json": attempted(lambda x: json.dumps(x.tolist())),
    "Fraction": attempted(lambda x: fractions.Fraction(x[0])),
    "struct": attempted(lambda x: struct.pack("d", x[0])),
    "attribute error": attempted(lambda x: x.no_such_name, errors=AttributeError),
    "BaseException": attempted(lambda x: float(x[0]), errors=BaseException),
    "bare except": bare,
    "finally": finally_returned,
    "suppress": suppressed,
    "hash": attempted(hash, errors=TypeError),
    "ndim": lambda x: np.ndim(x) == 1,
    "dtype": lambda x: x.dtype == float and x.dtype.type is np.float64,
    "asarray is": lambda x: np.asarray(x) is x,
    "asanyarray is": lambda x: np.asanyarray(x) is x,
    "asarray type": attempted(lambda x: np.asarray(x).data),
    "flags": attempted(lambda x: x.flags.writeable),
    "base": attempted(lambda x: x[1:].base),
    "strides": attempted(lambda x: x.strides),
    "buffer": attempted(memoryview),
    "tobytes": attempted(lambda x: x.tobytes()),
    "view": attempted(lambda x: x.view(np.int64)),
    "shares memory": attempted(lambda x: np.shares_memory(x, x[1:])),
    "slice is": lambda x: x[:] is x,
    "ravel is": lambda x: x.ravel() is x,
    "positive is": lambda x: +x is x,
    "copy is": lambda x: copy.copy(x) is x,
    "deepcopy is": lambda x: copy.deepcopy(x) is x,
    "array copy is": lambda x: np.array(x) is x or x.copy() is x,
    "astype is": lambda x: x.astype(float) is x or x.astype(float, copy=False) is not x,
    "pickle": attempted(lambda x: pickle.loads(pickle.dumps(x)).shape),
    "pickle type": lambda x: type(pickle.loads(pickle.dumps(x))) is np.ndarray,
    "id": lambda x: id(x[0]) == id(x[0]),
    "equal nodes": lambda x: (x + 1) is (x + 1),
    "in a list": lambda x: any(x is y for y in [x + 0, x * 1]),
    "truth of an array": attempted(lambda x: bool(x), errors=ValueError),
    "errstate": raised,
    "isrealobj": np.isrealobj,
    "result_type": lambda x: np.result_type(x).kind == "f",
    "signature": attempted(inspect.signature, errors=TypeError),
}  # fmt: skip


@pytest.mark.parametrize("name", QUESTIONS)
def test_question(name):
    asked = QUESTIONS[name]
    slopes = (lambda x: np.cos(x) + x, lambda x: np.full(x.shape, 3.0))
    for yes in (0, 1):  # either of the two is the branch of yes

        def f(x, yes=yes):
            return np.sum(np.sin(x)) + np.sum(x**2) / 2 if asked(x) != yes else 3 * np.sum(x)

        which = [int(bool(asked(x.copy())) == yes) for x in POINTS]
        assert len({*which}) == 1, "the plain function should answer alike at every point"
        for x in POINTS:
            assert np.allclose(slopes[which[0]](x), differences(f, x), 1e-5)
        some = {"points": POINTS[1:2], "methods": METHODS[:1]} if yes else {}
        holds(f, slopes[which[0]], slopes[1 - which[0]], **some)


def of_kind(x):
    return 3 * x if type(x) == float else np.sin(x)  # noqa: E721


@pytest.mark.parametrize("kind", [float, np.float64, np.array])
def test_question_about_a_scalar(kind):
    for f in (
        of_kind,
        lambda x: 3 * x if isinstance(x, float) else np.sin(x),
        lambda x: 3 * x if isinstance(x, numbers.Number) else np.sin(x),
        lambda x: 3 * x if np.isscalar(x) else np.sin(x),
        lambda x: 3 * x if hasattr(x, "shape") else np.sin(x),
        lambda x: 3 * x if isinstance(x, np.generic) else np.sin(x),
        lambda x: 3 * x if str(x).replace(".", "").isdigit() else np.sin(x),
    ):
        right = (f(kind(0.50001)) - f(kind(0.49999))) / 2e-5
        for method in METHODS:
            with contextlib.suppress(DifflabError):
                assert derivative(f, method=method)(kind(0.5)) == pytest.approx(right, rel=1e-5)


# -- arrays with two names -----------------------------------------------------------------------


def changes(a):
    a += 1
    a[0] *= 3


def by_statement(text):
    """A function of x from statements; the last one is what it returns."""
    *body, last = text.split("; ")
    names = {"np": np, "Box": Box, "changes": changes, "itertools": itertools}
    exec("def f(x):\n " + "\n ".join([*body, f"return {last}"]), names)
    return names["f"]


ALIASES = [
    "y = 2 * x; z = y; z += 1; np.sum(y * z)",
    "y = 2 * x; z = y; z -= x * x; np.sum(y * z)",
    "y = 2 * x; z = y; z *= x + 1; np.sum(y * z)",
    "y = 2 * x; z = y; z /= x + 2; np.sum(y * z)",
    "y = 2 * x + 1; z = y; z **= 2; np.sum(y * z)",
    "y = x**2; r = y; y -= np.mean(y); np.sum(r**2)",
    "y = 2 * x; changes(y); np.sum(y**2)",
    "y = 2 * x; z = y; changes(z); np.sum(y * z * x)",
    "L = [2 * x, 3 * x]; [v.__iadd__(1) for v in L]; np.sum(L[0] * L[1])",
    "L = [2 * x, 3 * x]; for v in L: v += 1; np.sum(L[0] * L[1])",
    "L = [2 * x, 3 * x]; a, b = L; a += b; np.sum(L[0] ** 2)",
    "o = Box(y=2 * x); t = o.y; t *= 3; np.sum(o.y * x)",
    "o = Box(y=2 * x); t = o.y; o.y += 3; np.sum(t * x)",
    "d = {'y': 2 * x}; t = d['y']; t += x; np.sum(d['y'] ** 2)",
    "d = {'y': 2 * x}; t = d['y']; d['y'] *= x + 1; np.sum(t**2)",
    "s = 1 * x; kept = []; kept += [s]; s += x**2; kept += [s]; s *= 2; np.sum(kept[0] * kept[1])",
    "y = 2 * x; v = y[1:]; v += 1; np.sum(y**2)",
    "y = 2 * x; v = y[1:]; y *= 3; np.sum(v**2)",
    "y = 2 * x; v = y[::-1]; v[0] = x[1]; np.sum(y**2 * x)",
    "y = 2 * x; v = y.reshape(3, 1); v *= 3; np.sum(y**2)",
    "y = np.outer(x, x); d = y.T; y[0] += x; np.sum(d[:, 0] ** 2) + np.sum(d * y)",
    "y = 2 * x; v = y; y = y + 1; v += 1; np.sum(y * v)",
    "y = 2 * x; z = y.copy(); z += 1; np.sum(y * z)",
    "y = np.zeros(3); z = y; y += x; np.sum(z * x)",
    "y = np.zeros(3); z = y; y[:] = x; np.sum(z * x)",
    "y = 2 * x; z = y; np.add(z, 1, out=z); np.sum(y * z)",
    "y = 2 * x; z = y; y[0] = 5; np.sum(z**2)",
    "y = 2 * x; z = y; y[y > 1] = 0; np.sum(z**2 + z)",
    "y = 2 * x; f = lambda: y * x; z = y; z += 1; np.sum(f())",
    "y = 2 * x; g = (v for v in [y]); y += 1; np.sum(next(g) ** 2)",
    "y, z = itertools.tee([2 * x]); a = next(y); b = next(z); a += 1; np.sum(b**2)",
    "y = z = 2 * x; z += y; np.sum(y**2)",
    "y = 2 * x; z = y; z += z; np.sum(y**2)",
    "y = 2 * x; z = np.asarray(y); z += 1; np.sum(y**2)",
    "y = 2 * x; y.sort(); np.sum(y * np.arange(3.0))",
    "y = 3 * x[0]; z = y; z += 1; y * z",
    "z = x; z += 1; np.sum(x**2)",
    "x += 1; np.sum(x**2)",
    "x[0] = 2 * x[1]; np.sum(x**2)",
    "x[1:] *= 2; np.sum(x**2)",
    "changes(x); np.sum(x**2)",
    "np.multiply(x, 2, out=x); np.sum(x**2)",
    "x.fill(2); np.sum(x)",
]


def apart_from_ties(text):
    return POINTS[:1] if "sort" in text or "> 1" in text else POINTS


@pytest.mark.parametrize("text", ALIASES)
def test_alias(text):
    f = by_statement(text)
    holds(f, lambda x: slopes_of(f, x), points=apart_from_ties(text))


HAND = [
    (ALIASES[0], [6.4, 9.6, 12.8]),
    (ALIASES[5], 4 * X * (X**2 - np.mean(X**2))),
    ("o = Box(y=2 * x); t = o.y; t *= 3; np.sum(o.y * x)", 12 * X),
    ("y = 2 * x; v = y[1:]; v += 1; np.sum(y**2)", [8 * X[0], 8 * X[1] + 4, 8 * X[2] + 4]),
    ("y = 2 * x; z = y.copy(); z += 1; np.sum(y * z)", 8 * X + 2),
]


@pytest.mark.parametrize("text, expected", HAND)
def test_alias_by_hand(text, expected):
    f = by_statement(text)
    assert differences(f, X) == pytest.approx(np.asarray(expected), rel=1e-6)
    holds(f, lambda x: np.asarray(expected), points=(X,))


def test_wrong_gradients_of_the_cases_are_not_certified():
    f, g = by_statement(ALIASES[0]), by_statement(ALIASES[5])
    for function, wrong in ((f, [4.4, 7.6, 10.8]), (g, [0.108, 1.372, 5.324])):
        with contextlib.suppress(DifflabError):
            found = difflab.check(function, X, gradient=lambda x, w=wrong: np.array(w))
            assert not found.ok
    typed = lambda x: np.sum(x**2) if isinstance(x, np.ndarray) else np.sum(x)
    with contextlib.suppress(DifflabError):
        assert not difflab.check(typed, X, gradient=lambda x: np.ones(3)).ok
        assert difflab.check(typed, X, gradient=lambda x: 2 * x).verdict != "wrong"
    sorting = lambda x: x.sort() or float(3 * x[0] + x[-1])
    a = np.array([5.0, 2.0, 1.0])
    with contextlib.suppress(DifflabError):
        found = difflab.check(sorting, a, gradient=lambda x: np.array([1.0, 0.0, 3.0]))
        assert found.verdict != "wrong"
    assert a.tolist() == [5.0, 2.0, 1.0]


def test_the_callers_arrays_are_copied():
    z = np.array([1.0, 2.0])
    value, pull = difflab.vjp(lambda q: np.sum(q**3), z)
    z[:] = 10.0
    assert value == 9.0
    assert pull(1.0)[0] == pytest.approx([3.0, 12.0])


def test_dicts_keep_their_order():
    def chain(p):
        h = np.array(1.0)
        for name in p:
            h = h * h * p[name]
        return h

    for names in (("W10", "W2"), ("W2", "W10")):
        p = {name: np.array(float(name[1:])) for name in names}
        first, last = (p[name] for name in names)
        value, slopes = difflab.value_and_gradient(chain)(p)
        assert [*slopes] == [*names]
        assert value == chain(p) == first**2 * last
        assert [slopes[name] for name in names] == [2 * first * last, first**2]
        assert difflab.jvp(chain, (p,), ({"W2": 1.0, "W10": 0.0},))[1] == slopes["W2"]


# -- arguments in memory ---------------------------------------------------------------------------


def _flat_and_more(x):
    flat = x.ravel()  # a view or a copy, as the array lies in memory
    flat += 1.0
    return np.sum(x**2)


@pytest.mark.parametrize("turn", [np.copy, np.asfortranarray, lambda a: a[:, ::-1], np.transpose])
def test_arguments_lie_in_memory_as_the_caller_s_do(turn):
    g = difflab.value_and_gradient(_flat_and_more)
    for start in (0.0, 1.0):
        x = turn(np.arange(start, start + 9.0).reshape(3, 3))
        value, slope = g(x)
        assert value == _flat_and_more(np.copy(x, order="K"))
        np.testing.assert_array_equal(slope, 2 * (x + 1 if value == np.sum((x + 1) ** 2) else x))


def test_arguments_that_share_memory_are_not_changed_apart():
    def f(x, y):
        x[0] = 2.0 * y[1]
        return np.sum(x * y)

    g, a = difflab.value_and_gradient(f), np.array([1.0, 2.0, 3.0])
    for given in ((a, a), (a[:2], a[1:])):
        with pytest.raises(DifflabError, match="share memory"):
            g(*given)
    assert g(a, a.copy())[0] == 17.0
    with pytest.raises(DifflabError, match="share memory"):  # by the program that is kept
        g(a, a)
    assert difflab.gradient(lambda x, y: np.sum(x * y))(a, a)[1] == 2.0


# -- texts -----------------------------------------------------------------------------------------

FROM_TEXTS = {
    "f-string": lambda x: x[0] * float(f"{x[1]:.17g}"),
    "str": lambda x: x[0] * float(str(x[1])),
    "json": lambda x: x[0] * json.loads(f"[{x[1]}]")[0],
    "percent": lambda x: x[0] * float("%.17g" % x[1]),  # noqa: UP031
}


@pytest.mark.parametrize("name", FROM_TEXTS)
def test_numbers_read_from_texts_are_refused(name):
    with pytest.raises(DifflabError, match="from a text"):
        difflab.gradient(FROM_TEXTS[name])(np.array([0.5, 1.5]))


def test_texts_may_be_made_and_rounded_numbers_read_from_them():
    said = []

    def f(x):
        said.append(f"{x[0]:.3f}, {x[1]}, " + "%g" % x[1] + f", {x}")  # noqa: UP031
        return x[0] * float(f"{x[1]:.1f}")

    g = difflab.value_and_gradient(f)
    for x in (np.array([0.5, 1.52]), np.array([0.75, 3.26])):
        value, slope = g(x)
        assert value == f(x)
        np.testing.assert_array_equal(slope, [float(f"{x[1]:.1f}"), 0.0])
        assert said[-1] == f"{x[0]:.3f}, {x[1]}, {x[1]:g}, {x}"
