"""A held operator is never stale: whatever its function reads may change between two calls.

The truth is the plain function's central differences; that they differ before and after the change
is asserted too, so that no case can pass by changing nothing.
"""

from __future__ import annotations

import functools
import gc
import sys
import threading
import time
import types
import weakref
from types import SimpleNamespace as Box

import numpy as np
import pytest

import difflab
from difflab import gradient, value_and_gradient
from difflab.engines.numpy import Program
from difflab.errors import DifflabError
from difflab.ir import tree
from difflab.ir.expr import Expr

from .states import (
    MORE,
    STATES,
    USE,
    Base,
    Counting,
    Frozen,
    K,
    S,
    apart,
    counters,
    entry,
    family,
    inner,
    put,
    times,
    written,
)

POINTS = {"point": np.array([0.3, 0.7]), "zeros": np.zeros(2)}
"""At zeros every value below is 0 before and after: the value does not tell."""
COUNT = 0


def differences(f, w, *args):
    def along(step):
        return (float(f(w + step, *args)) - float(f(w - step, *args))) / 2e-5

    return np.array([along(step) for step in 1e-5 * np.eye(2)])


def near(found, expected):
    assert type(found) is np.ndarray
    expected = np.asarray(expected)
    assert found.shape == expected.shape
    error = np.abs(found - expected)  # differences of large values lose digits
    assert np.all(error <= 1e-6 * np.abs(expected) + 1e-9 * max(1, np.max(np.abs(expected)))), (
        f"{found}, should be {expected}"
    )


def follows(f, change, w, args=(), check=True):
    """Held operators give what the plain f has become; g is called before f, so f cannot help."""
    both = value_and_gradient(f)
    held = [gradient(f)]
    if w.any():
        held += [lambda *a: both(*a)[1], gradient(f, method="forward")]
    early = [g(w, *args) for _ in range(2) for g in held]
    before = differences(f, w, *args)
    for found in early:
        near(found, before)
    new = change()
    args = new if isinstance(new, tuple) else args
    late = [g(w, *args) for _ in range(2) for g in held]
    after = differences(f, w, *args)
    assert not np.allclose(before, after, rtol=1e-4), "the case changes nothing"
    for found in late:
        near(found, after)
    near(gradient(f)(w, *args), after)
    if not check:
        return
    for right, slopes in ((True, lambda w: held[0](w, *args)), (False, lambda w: before)):
        found = difflab.check(lambda w: f(w, *args), w, gradient=slopes)
        assert found.verdict != "wrong" if right else not found.ok


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("name", STATES)
def test_captured(name, point):
    make, use, change = STATES[name]
    s = make()
    check = name in MORE or name.startswith("4,")  # balls take their time
    follows(lambda w: use(s, w), lambda: change(s) and None, POINTS[point], (), check)


HOLDERS = {  # other places than a closure for what is read
    "global": lambda s, use: apart(lambda w: USE(K, w), K=s, USE=use),
    "default": lambda s, use: lambda w, s=s: use(s, w),
    "keyword default": lambda s, use: lambda w, *, s=s: use(s, w),
    "attribute": lambda s, use: types.MethodType(lambda o, w: use(o.s, w), Base(s=s)),
    "partial": lambda s, use: functools.partial(lambda s, w: use(s, w), s),
    "function attribute": lambda s, use: attributed(s, use),
    "object called": lambda s, use: type("F", (), {"__call__": lambda o, w: use(s, w)})(),
}


def attributed(s, use):
    def f(w):
        return use(f.s, w)

    f.s = s
    return f


@pytest.mark.parametrize("holder", HOLDERS)
def test_held_elsewhere(holder):
    """Every way to change it, held in every place, at zeros; the names of the stale ones."""
    stale = []
    for name, (make, use, change) in MORE.items():
        s = make()
        f = HOLDERS[holder](s, use)
        g, w = gradient(f), np.zeros(2)
        try:
            g(w)
            change(s)
            near(g(w), differences(f, w))
        except (AssertionError, DifflabError):
            stale.append(name)
    assert not stale


# -- what the function itself is made of ---------------------------------------------------------


def by_nonlocal():
    k = 2.0

    def change():
        nonlocal k
        k = 3.0

    return lambda w: k * S(w), change


def by_nonlocal_array():
    C = np.ones(2)

    def change():
        nonlocal C
        C = np.full(2, 3.0)

    return lambda w: S(C * w), change


def by_argument_default():
    def f(w, k=2.0, *, more=(1.0,)):
        return (k + more[0]) * S(w)

    return f


def by_helper(**names):
    """A function whose helper has a module of its own, with these names."""
    helper = apart(lambda w: K * S(w), **names)
    return (lambda w: helper(w)), helper


def wrapped():
    def inside(w):
        return inside.k * S(w)

    inside.k = 2.0
    return functools.wraps(inside)(lambda w: inside(w)), lambda: put("k")(inside)


def mutable_default(default, change):
    return (lambda w, s=default: s[0] * S(w)), lambda: change(default)


def changed(f, change):
    return f, lambda: change(f)


def static(f, *args, change):
    return f, lambda: change(*args), *args


FUNCTIONS = {
    "nonlocal": by_nonlocal,
    "nonlocal array": by_nonlocal_array,
    "cell": lambda: changed((lambda k: lambda w: k * S(w))(2.0),
                            lambda f: put("cell_contents")(f.__closure__[0])),
    "code": lambda: changed(lambda w: 2 * S(w), put("__code__", (lambda w: 3 * S(w)).__code__)),
    "helper's code": lambda: (lambda f, h: (f, lambda: put(
        "__code__", (lambda w: 7 * S(w)).__code__)(h)))(*by_helper(K=2.0)),
    "defaults": lambda: changed(by_argument_default(), put("__defaults__", (3.0,))),
    "keyword defaults": lambda: changed(by_argument_default(),
                                        put("__kwdefaults__", {"more": (2.0,)})),
    "keyword default set": lambda: changed(by_argument_default(),
                                           lambda f: entry("more", (2.0,))(f.__kwdefaults__)),
    "mutable default": lambda: mutable_default([2.0], entry(0)),
    "mutable default dict": lambda: mutable_default({0: 2.0}, entry(0)),
    "mutable default array": lambda: mutable_default(np.ones(2), times),
    "global": lambda: changed(apart(lambda w: K * S(w), K=2.0),
                              lambda f: entry("K")(f.__globals__)),
    "global array": lambda: changed(apart(lambda w: S(K * w), K=np.ones(2)),
                                    lambda f: times(f.__globals__["K"])),
    "global helper": lambda: changed(apart(lambda w: USE(2.0, w), USE=USE),
                                     lambda f: entry("USE", lambda k, w: 3 * S(w))(f.__globals__)),
    "global by name": lambda: changed(apart(lambda w: globals()["K"] * S(w), K=2.0),
                                      lambda f: entry("K")(f.__globals__)),
    "global by eval": lambda: changed(apart(lambda w: eval("K") * S(w), K=2.0),
                                      lambda f: entry("K")(f.__globals__)),
    "global in a comprehension": lambda: changed(
        apart(lambda w: sum([K * v for v in np.sin(w)]), K=2.0),
        lambda f: entry("K")(f.__globals__)),
    "global shadows a built-in": lambda: changed(
        apart(lambda w: abs(-2.0) * S(w)), lambda f: entry("abs", lambda v: 3.0)(f.__globals__)),
    "global unshadowed": lambda: changed(
        apart(lambda w: abs(-2.0) * S(w), abs=lambda v: 3.0), lambda f: f.__globals__.pop("abs")),
    "helper's global": lambda: (lambda f, h: (f, lambda: entry("K")(h.__globals__)))(
        *by_helper(K=2.0)),
    "wraps": wrapped,
    "lambda in a dict": lambda: (lambda d: (lambda w: d["f"](w), lambda: entry(
        "f", lambda w: 3 * S(w))(d)))({"f": S}),
    "static object": lambda: static(lambda w, o: o.k * S(w), Base(), change=put("k")),
    "static object, deep": lambda: static(lambda w, o: o.a.k * S(w), Base(a=Box(k=2.0)),
                                          change=lambda o: put("k")(o.a)),
    "static array inside": lambda: static(lambda w, o: S(o.k * w), Base(np.ones(2)),
                                          change=lambda o: times(o.k)),
    "static equal": lambda: static(lambda w, o: o.hidden * S(w), Frozen(),
                                   change=lambda o: (Frozen(hidden=3.0),)),
    "static number": lambda: static(lambda w, k: k * S(w), 2, change=lambda k: (3,)),
    "static one, True": lambda: static(lambda w, k: (2 if k is True else 3) * S(w), 1,
                                       change=lambda k: (True,)),
    "static function": lambda: static(lambda w, h: h() * S(w), Base().slope,
                                      change=lambda h: put("k")(h.__self__)),
    "static other function": lambda: static(lambda w, h: h() * S(w), Base().slope,
                                            change=lambda h: (Base(3.0).slope,)),
    "static partial": lambda: static(lambda w, h: h(w), functools.partial(USE, 2.0),
                                     change=lambda h: (functools.partial(USE, 3.0),)),
    "static class": lambda: static(lambda w, c: c.top * S(w), type(family()), change=put("top")),
}  # fmt: skip


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_function(name, point):
    f, change, *args = FUNCTIONS[name]()
    follows(f, change, POINTS[point], args)


def test_inner_operators_by_hand():
    o, f = inner(Base())
    _, twice = inner(o, f)
    outer, nested = gradient(lambda w: np.sum(f(w))), gradient(lambda w: np.sum(twice(w)))
    for o.k in (2.0, 3.0, 2.0, 7.0):
        for w in POINTS.values():
            near(nested(w), 4 * o.k * np.exp(2 * w))
            near(outer(w), o.k * np.exp(w))
            near(f(w), o.k * np.exp(w))


def test_many_changes():
    """Where each call has to be looked at anew, and where states come back."""
    for name in ("file", "eval", "ContextVar", "many objects", "list", "instance, branch"):
        make, use, _ = STATES[name]
        s = make()
        g = gradient(lambda w, s=s, use=use: use(s, w))
        for k in (3.0, 1.0, 3.0, 7.0, 1.0, 2.0):
            if name == "file":
                written(s, str(k))
            elif name == "ContextVar":
                s.set(k)
            elif isinstance(s, list) and name != "many objects":
                s[0] = k
            else:
                (s[7] if isinstance(s, list) else s).k = k
            for w in POINTS.values():
                near(g(w), differences(lambda w, s=s, use=use: use(s, w), w))


# -- what the function writes --------------------------------------------------------------------


@pytest.mark.parametrize("name", counters(Counting()))
def test_counters_do_not_trace_again(name):
    o = Counting(nfev=0, buffer=np.zeros(2))
    f, count = counters(o)[name]
    g = gradient(f)
    for k in (2.0, 3.0, 5.0):
        o.k = k
        near(g(np.zeros(2)), [k, k])
        entered = count()
        for x in np.linspace(0.1, 1.0, 10):
            near(g(np.full(2, x)), [k * np.cos(x)] * 2)
        assert count() == entered, "entered again though nothing changed"


class LastPoint(Base):
    x = v = None

    def __call__(self, w):
        if self.x is not None and np.array_equal(self.x, w):
            return self.v
        self.x, self.v = w.copy(), self.k * S(w)
        return self.v


def test_memo_of_the_last_point():
    w = POINTS["point"]
    for f in (LastPoint(), LastPoint().__call__):
        state = getattr(f, "__self__", f)
        value = f(w)
        g = gradient(f)
        for at in (w, w, np.zeros(2), w):
            near(g(at), 2 * np.cos(at))
        assert isinstance(state.v, (float, np.ndarray))
        assert type(state.x) is np.ndarray
        assert f(w) == value
        assert type(f(w)) is type(value)
        near(g(w), 2 * np.cos(w))


def test_a_memory_of_points_nearby_is_refused():
    class Nearby(LastPoint):
        def __call__(self, w):
            if self.x is not None and np.allclose(self.x, w):
                return self.v
            self.x, self.v = w.copy(), self.k * S(w)
            return self.v

    f, w = Nearby(), POINTS["point"]
    f(w)
    with pytest.raises(DifflabError, match=r"what it stored at an earlier call"):
        gradient(f)(w)


def test_nothing_traced_is_left_behind():
    o, log, table = Base(), [], {}

    def f(w):
        global COUNT
        o.h = np.tanh(w)
        o.parts = [w, (2 * w, {"w": w})]
        log.append(np.sum(w))
        table["w"] = 3 * w
        COUNT = w[0]
        return np.sum(o.h)

    def leaves(x):
        if isinstance(x, (list, tuple, dict)):
            return [v for y in (x.values() if isinstance(x, dict) else x) for v in leaves(y)]
        return [x]

    for op in (gradient, value_and_gradient, difflab.hessian, difflab.trace, difflab.check):
        for w in POINTS.values():
            op(f, w) if op in (difflab.trace, difflab.check) else op(f)(w)
            left = leaves([vars(o), log, table, COUNT])
            assert not [x for x in left if isinstance(x, Expr)]
            assert float(f(w)) == pytest.approx(np.sum(np.tanh(w)))


# -- memory and threads --------------------------------------------------------------------------


FOLLOWED = {  # what the program itself computes again from a large array
    "direct": lambda C, w: np.mean(C * np.sin(w[0])) + S(w),
    "sqrt": lambda C, w: np.mean(np.sqrt(C)) * S(w),
    "entry": lambda C, w: C[0] * S(w),
    "view": lambda C, w: np.mean(C[::2]) * S(w),
    "branch": lambda C, w: (np.mean(C) if C.sum() > 0 else 0.0) * S(w),
}


@pytest.mark.parametrize("name", FOLLOWED)
def test_large_arrays_are_followed(name):
    """They may change without another trace, nor is their content compared."""
    C, entered = np.ones(2000), [0]
    use = FOLLOWED[name]

    def f(w):
        entered[0] += 1
        return use(C, w)

    g, w = gradient(f), POINTS["point"]
    g(w)
    first = entered[0]
    for _ in range(3):
        C *= 4
        found = g(w)
        assert entered[0] == first, "entered again"
        near(found, differences(functools.partial(use, C), w))


def test_following_a_large_array_leaves_nothing_traced_behind():
    C, o, log = np.ones(2000), Base(), []

    def f(w):
        log.append(np.sum(w))
        o.h = np.tanh(w)
        return np.mean(C) * S(w)

    w = POINTS["point"]
    near(gradient(f)(w), np.cos(w))
    assert not [x for x in (*log, o.h) if isinstance(x, Expr)]


def test_replaced_arrays_are_freed():
    o, kept = Box(C=np.ones(2)), []
    g = gradient(lambda w: np.mean(o.C * np.sin(w[0])))
    for k in range(1, 11):
        o.C = np.full(1_000_000, float(k))
        kept.append(weakref.ref(o.C))
        near(g(np.zeros(2)), [k, 0.0])
    gc.collect()
    assert [r() is not None for r in kept] == [False] * 9 + [True]


def test_an_object_that_holds_its_operator_is_freed():
    o = Base()
    o.gradient = gradient(lambda w, o=o: o.k * S(w))
    near(o.gradient(np.zeros(2)), [2.0, 2.0])
    gone = weakref.ref(o)
    del o
    gc.collect()
    assert gone() is None


def programs():
    gc.collect()
    return sum(type(x) is Program for x in gc.get_objects())


def test_programs_are_not_kept_for_ever():
    g, before = gradient(lambda w, step: step * np.sum(w)), programs()
    for n in range(1, 601):
        assert np.array_equal(g(np.zeros(n), 2), np.full(n, 2.0))
        assert np.array_equal(g(np.zeros(2), n), np.full(2, n))
    assert programs() - before < 400
    for n in range(1, 3001):
        tree.read_arguments((np.zeros(n),), {})
    assert len(tree._plain) <= 2048


def test_threads_see_changes_between_calls():
    o, found, barrier = Box(k=1.0, C=np.ones(2)), [], threading.Barrier(5, timeout=20)
    g = gradient(lambda w: o.k * S(o.C * w))

    def work():
        for k in range(1, 21):
            barrier.wait()
            found.append((k, g(np.zeros(2))))
            barrier.wait()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for k in range(1, 21):
        o.k = float(k)
        o.C *= -1
        barrier.wait()
        barrier.wait()
    for thread in threads:
        thread.join()
    assert len(found) == 80
    for k, slopes in found:
        near(slopes, np.full(2, k * (-1.0) ** k))


class Litter:
    def __init__(self):
        self.itself = self


def test_what_the_caller_changes_is_not_undone_where_reads_cannot_be_watched():
    """f could write to `s`, and code runs in it that the walk does not find."""
    s = np.array([1.0, 2.0])

    def f(w):
        if w[0] > 1e9:
            s[0] = 0.0
        dropped.clear()
        return np.sum(np.sin(w)) * s[1]

    dropped = [Litter()]
    dropped[0].itself = None
    weakref.finalize(dropped[0], lambda: None)
    held = gradient(f)
    assert held(np.zeros(2)).tolist() == [2.0, 2.0]
    (kept,) = held.programs.by_signature.values()
    assert kept[0].watch.opaque
    s[1] = 5.0
    assert held(np.zeros(2)).tolist() == [5.0, 5.0]
    assert s.tolist() == [1.0, 5.0]


def test_collecting_litter_is_no_part_of_a_function():
    """What runs then would count among the codes that ran in f, and make it unwatchable."""
    seen = []

    def f(w):
        if sys.getprofile() is not None:
            seen.append(gc.isenabled())
        return np.sum(np.sin(w))

    gc.enable()  # whatever other tests, or their threads, have left
    assert gradient(f)(np.zeros(2)).tolist() == [1.0, 1.0]
    assert seen and not any(seen)
    deadline = time.monotonic() + 10
    while not gc.isenabled() and time.monotonic() < deadline:  # another thread may be tracing
        time.sleep(0.05)
    assert gc.isenabled()
