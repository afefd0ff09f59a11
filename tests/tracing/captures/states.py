"""What a function can read besides its arguments, and how that changes: data for test_captures.

Each state: what makes it, how a function of w reads it, and how it is changed.
"""

from __future__ import annotations

import array
import collections
import contextvars
import dataclasses
import enum
import functools
import importlib.util
import itertools
import math
import operator
import os
import sys
import tempfile
import threading
import types
import weakref
from pathlib import Path
from types import SimpleNamespace as Box
from typing import Any

import numpy as np

from difflab import derivative, gradient

K: Any = 2.0
COUNT = 0


def S(w):
    return np.sum(np.sin(w))


def USE(s, w):
    return s * S(w)


def apart(f, **names):
    """The same function with a module of its own, whose globals are these names."""
    module = types.ModuleType("apart")
    module.__dict__.update({"np": np, "S": S, **names})
    g = types.FunctionType(f.__code__, module.__dict__, "f", f.__defaults__, f.__closure__)
    g.__kwdefaults__ = f.__kwdefaults__
    return g


# -- what is captured: (make it, how f reads it, change it) --------------------------------------


class Base:
    base = 2.0

    def __init__(self, k=2.0, **more):
        self.k = k
        self.__dict__.update(more)

    def slope(self):
        return self.k

    @property
    def twice(self):
        return 2 * self.k

    @functools.cached_property
    def slow(self):
        return 2 * self.k

    __call__ = __float__ = __len__ = slope
    __getitem__ = __contains__ = __rmul__ = lambda self, other: self.k * other
    __iter__ = lambda self: iter([self.k, self.k])
    __bool__ = lambda self: self.k > 2.5
    __enter__ = slope
    __exit__ = lambda self, *_: None


class Fallback:
    def __init__(self):
        self.inner = Base()

    def __getattr__(self, name):
        return getattr(self.__dict__["inner"], name)


class Slots:
    __slots__ = ("k",)

    def __init__(self):
        self.k = 2.0


@dataclasses.dataclass
class Data:
    k: float = 2.0


@dataclasses.dataclass(frozen=True)
class Frozen:
    k: float = 2.0
    hidden: float = dataclasses.field(default=2.0, compare=False)


def family():
    """An object whose class and base class are its own."""

    class Top:
        top = 2.0

        def slope(self):
            return self.top

        @classmethod
        def of_class(cls):
            return cls.top

        @staticmethod
        def static():
            return 2.0

    class Bottom(Top):
        def slope(self):
            return super().slope()

    return Bottom()


class Other:
    k = property(lambda self: 5.0)


Level = enum.Enum("Level", {"LOW": 2.0, "HIGH": 3.0})


def put(name, value=3.0):
    return lambda s: setattr(s, name, value)


def entry(key, value=3.0):
    return lambda s: operator.setitem(s, key, value)


def times(s):
    s *= 3


def first(s):
    s[0] = 5 * s.size


ATTRIBUTE = {  # how f reads o.k, for an object o with that attribute
    "attribute": lambda s, w: s.k * S(w),
    "getattr": lambda s, w: getattr(s, "".join(["k"])) * S(w),
    "attrgetter": lambda s, w: operator.attrgetter("k")(s) * S(w),
    "branch": lambda s, w: (5.0 if s.k > 2.5 else 2.0) * S(w),
    "string": lambda s, w: float(f"{s.k}") * S(w),
    "index": lambda s, w: S(w[: int(s.k) - 1]),
}
OBJECTS = {
    "instance": Base, "slots": Slots, "dataclass": Data, "namespace": lambda: Box(k=2.0),
    "falling back": Fallback, "numpy scalar": lambda: Box(k=np.float64(2.0)),
}  # fmt: skip


class Metres(float):
    """A number of a class of its own."""


def product(x, y):
    return x * y


def frozen(C):
    C.setflags(write=False)
    return C


def thawed(C):
    C.setflags(write=True)
    C *= 3


MORE = {
    "vars": (Base, lambda s, w: vars(s)["k"] * S(w), put("k")),
    "__dict__": (Base, lambda s, w: s.__dict__["k"] * S(w), put("k")),
    "frozen": (Frozen, lambda s, w: s.k * S(w), lambda s: object.__setattr__(s, "k", 3.0)),
    "asdict": (Data, lambda s, w: dataclasses.asdict(s)["k"] * S(w), put("k")),
    "method": (Base, lambda s, w: s.slope() * S(w), put("k")),
    "property": (Base, lambda s, w: s.twice * S(w), put("k")),
    "cached property": (Base, lambda s, w: s.slow * S(w), put("slow")),
    "call": (Base, lambda s, w: s() * S(w), put("k")),
    "float()": (Base, lambda s, w: float(s) * S(w), put("k")),
    "len()": (lambda: Base(2), lambda s, w: len(s) * S(w), put("k", 3)),
    "getitem": (Base, lambda s, w: s[2.0] * S(w), put("k")),
    "in": (lambda: Base(0.0), lambda s, w: (2.0 if 1.0 in s else 1.0) * S(w), put("k")),
    "rmul": (Base, lambda s, w: (2.0 * s) * S(w), put("k")),
    "iter": (Base, lambda s, w: sum(s) * S(w), put("k")),
    "bool": (Base, lambda s, w: (5.0 if s else 2.0) * S(w), put("k")),
    "with": (Base, lambda s, w: entered(s) * S(w), put("k")),
    "instance hides a class attribute": (Base, lambda s, w: s.base * S(w), put("base")),
    "instance hides a method": (Base, lambda s, w: s.slope() * S(w), put("slope", lambda: 3.0)),
    "other class": (Base, lambda s, w: s.k * S(w), put("__class__", Other)),
    "class attribute": (family, lambda s, w: s.top * S(w), lambda s: put("top")(type(s))),
    "base attribute": (family, lambda s, w: s.top * S(w), lambda s: put("top")(type(s).__base__)),
    "super": (family, lambda s, w: s.slope() * S(w), lambda s: put("top")(type(s).__base__)),
    "super replaced": (family, lambda s, w: s.slope() * S(w),
                       lambda s: put("slope", lambda self: 3.0)(type(s).__base__)),
    "class replaced a method": (family, lambda s, w: s.slope() * S(w),
                                lambda s: put("slope", lambda self: 3.0)(type(s))),
    "classmethod": (family, lambda s, w: s.of_class() * S(w), lambda s: put("top")(type(s))),
    "staticmethod": (family, lambda s, w: s.static() * S(w),
                     lambda s: put("static", staticmethod(lambda: 3.0))(type(s))),
    "bases": (lambda: type("T", (family().__class__,), {})(), lambda s, w: s.top * S(w),
              lambda s: put("__bases__", (type("B", (Base,), {"top": 7.0}),))(type(s))),
    "deep": (lambda: Box(a=Box(b=Base(c=Box(k=2.0)))), lambda s, w: s.a.b.c.k * S(w),
             lambda s: put("k")(s.a.b.c)),
    "deep replaced": (lambda: Box(a=Box(b=Base())), lambda s, w: s.a.b.k * S(w),
                      lambda s: put("b", Base(3.0))(s.a)),
    "deep array": (lambda: Box(a=[{"C": np.ones(2)}]), lambda s, w: S(s.a[0]["C"] * w),
                   lambda s: times(s.a[0]["C"])),
    "layers": (lambda: [Base(), Base(), Base()], lambda s, w: sum(o.k for o in s) * S(w),
               lambda s: put("k")(s[1])),
    "many objects": (lambda: [Base() for _ in range(600)],
                     lambda s, w: functools.reduce(lambda a, o: a + o.k, s, 0.0) * S(w),
                     lambda s: put("k", 900.0)(s[-1])),
    "dict": (lambda: {"k": 2.0}, lambda s, w: s["k"] * S(w), entry("k")),
    "dict get": (lambda: {"k": 2.0}, lambda s, w: s.get("k") * S(w), entry("k")),
    "dict added": (dict, lambda s, w: s.get("k", 2.0) * S(w), entry("k")),
    "dict removed": (lambda: {"k": 3.0}, lambda s, w: s.get("k", 2.0) * S(w), lambda s: s.clear()),
    "dict values": (lambda: {"a": 1.0}, lambda s, w: sum(s.values()) * S(w), entry("b")),
    "dict keys": (lambda: {2.0: 0}, lambda s, w: max(s) * S(w), entry(3.0)),
    "dict order": (lambda: collections.OrderedDict(a=2.0, b=3.0),
                   lambda s, w: next(iter(s.values())) * S(w), lambda s: s.move_to_end("a")),
    "nested dict": (lambda: {"a": {"b": {"k": 2.0}}}, lambda s, w: s["a"]["b"]["k"] * S(w),
                    lambda s: entry("k")(s["a"]["b"])),
    "defaultdict": (lambda: collections.defaultdict(lambda: 2.0), lambda s, w: s["k"] * S(w),
                    entry("k")),
    "ChainMap": (lambda: collections.ChainMap({}, {"k": 2.0}), lambda s, w: s["k"] * S(w),
                 entry("k")),
    "UserDict": (lambda: collections.UserDict(k=2.0), lambda s, w: s["k"] * S(w), entry("k")),
    "UserList": (lambda: collections.UserList([2.0]), lambda s, w: s[0] * S(w), entry(0)),
    "Counter": (lambda: collections.Counter("aa"), lambda s, w: s["a"] * S(w), entry("a")),
    "mappingproxy": (lambda: (d := {"k": 2.0}, types.MappingProxyType(d)),
                     lambda s, w: s[1]["k"] * S(w), lambda s: entry("k")(s[0])),
    "list": (lambda: [2.0], lambda s, w: s[0] * S(w), entry(0)),
    "list appended": (lambda: [2.0], lambda s, w: sum(s) * S(w), lambda s: s.append(1.0)),
    "list popped": (lambda: [2.0, 1.0], lambda s, w: len(s) * S(w), lambda s: s.pop()),
    "list reversed": (lambda: [2.0, 1.0], lambda s, w: s[0] * S(w), lambda s: s.reverse()),
    "long list": (lambda: [2.0] * 3000, lambda s, w: s[2999] * S(w), entry(2999)),
    "nested list": (lambda: [[1.0], [[2.0]]], lambda s, w: s[1][0][0] * S(w),
                    lambda s: entry(0)(s[1][0])),
    "list of functions": (lambda: [np.sin, np.tanh], lambda s, w: np.sum(s[0](w)),
                          entry(0, np.negative)),
    "tuple of list": (lambda: (1, [2.0]), lambda s, w: s[1][0] * S(w), lambda s: entry(0)(s[1])),
    "deque": (lambda: collections.deque([2.0]), lambda s, w: s[-1] * S(w), lambda s: s.append(3.0)),
    "set": (lambda: {2.0}, lambda s, w: sum(s) * S(w), lambda s: s.add(3.0)),
    "one, float": (lambda: [1], lambda s, w: (2 if isinstance(s[0], int) else 3) * S(w),
                   entry(0, 1.0)),
    "one, True": (lambda: [1], lambda s, w: (3 if s[0] is True else 2) * S(w), entry(0, True)),
    "minus zero": (lambda: [0.0], lambda s, w: math.copysign(2, s[0]) * S(w), entry(0, -0.0)),
    "minus zero in an array": (lambda: np.zeros(1), lambda s, w: math.copysign(2, s[0]) * S(w),
                               entry(0, -0.0)),
    "NaN": (lambda: [0.0], lambda s, w: (2 if s[0] == s[0] else 3) * S(w), entry(0, math.nan)),
    "enum": (lambda: [Level.LOW], lambda s, w: s[0].value * S(w), entry(0, Level.HIGH)),
    "partial keywords": (lambda: functools.partial(lambda w, k: k * S(w), k=2.0),
                         lambda s, w: s(w), lambda s: entry("k")(s.keywords)),
    "partial argument": (lambda: functools.partial(lambda o, w: o.k * S(w), Base()),
                         lambda s, w: s(w), lambda s: put("k")(s.args[0])),
    "bound method": (lambda: Base().slope, lambda s, w: s() * S(w), lambda s: put("k")(s.__self__)),
    "bound built-in": (lambda: {"k": 2.0}.get, lambda s, w: s("k") * S(w),
                       lambda s: entry("k")(s.__self__)),
    "weakref": (lambda: (o := Base(), weakref.ref(o)), lambda s, w: s[1]().k * S(w),
                lambda s: put("k")(s[0])),
    "ContextVar": (lambda: contextvars.ContextVar("k", default=2.0), lambda s, w: s.get() * S(w),
                   lambda s: s.set(3.0) and None),
    "thread local": (lambda: local(2.0), lambda s, w: s.k * S(w), put("k")),
    "lru_cache": (lambda: (o := Base(), cached(o)), lambda s, w: s[1](1) * S(w),
                  lambda s: put("k")(s[0]) or s[1].cache_clear()),
    "inner operator": (lambda: inner(Base()), lambda s, w: np.sum(s[1](w)),
                       lambda s: put("k")(s[0])),
    "nested twice": (lambda: inner(*inner(Base())), lambda s, w: np.sum(s[1](w)),
                     lambda s: put("k")(s[0])),
    "eval": (lambda: [2.0], lambda s, w: eval("s[0]", {"s": s}) * S(w), entry(0)),
    "environ": (lambda: os.environ.update(DIFFLAB_K="2.0"),
                lambda s, w: float(os.environ["DIFFLAB_K"]) * S(w),
                lambda s: os.environ.update(DIFFLAB_K="3.0")),
    "file": (lambda: written(Path(tempfile.mkdtemp()) / "k"), lambda s, w: float(read(s)) * S(w),
             lambda s: written(s, "3.0") and None),
    "module": (lambda: module("K = 2.0"), lambda s, w: s.K * S(w), put("K")),
    "module's function": (lambda: module("K = 2.0\ndef slope():\n    return K"),
                          lambda s, w: s.slope() * S(w), put("K")),
    "import inside": (lambda: entry("watched_k", Box(K=2.0))(sys.modules), lambda s, w: imported(w),
                      lambda s: put("K")(sys.modules["watched_k"])),
    "replaced array": (lambda: [np.ones(2)], lambda s, w: S(s[0] * w), entry(0, np.full(2, 3.0))),
    "replaced shape": (lambda: [np.ones(2)], lambda s, w: S(s[0][:, None] * w),
                       entry(0, np.ones(3))),
    "replaced dtype": (lambda: [np.ones(2)], lambda s, w: s[0].itemsize * S(w),
                       entry(0, np.ones(2, np.float32))),
    "two arrays become one": (lambda: [np.ones(2), np.ones(2)],
                              lambda s, w: (2 if s[0] is s[1] else 1) * S(w),
                              lambda s: entry(1, s[0])(s)),
    "reshaped": (lambda: np.ones((2, 3)), lambda s, w: len(s) * S(w), put("shape", (3, 2))),
    "float32": (lambda: np.ones(2, np.float32), lambda s, w: S(s * w), times),
    "integers as index": (lambda: np.array([0, 0]), lambda s, w: S(w[s]), entry(0, 1)),
    "integers as factor": (lambda: np.array([1, 2]), lambda s, w: S(s * w), times),
    "booleans": (lambda: np.array([True, False]), lambda s, w: S(w[s]), entry(1, True)),
    "where": (lambda: np.array([True, False]), lambda s, w: S(np.where(s, w, 2 * w)),
              entry(1, True)),
    "0-d": (lambda: np.array(2.0), lambda s, w: s * S(w), entry((), 3.0)),
    "exponent": (lambda: np.array(2.0), lambda s, w: np.sum((1 + w) ** s), entry((), 3.0)),
    "structured": (lambda: np.ones(2, [("k", float)]), lambda s, w: S(s["k"] * w), entry("k")),
    "masked": (lambda: np.ma.array([1.0, 4.0], mask=[0, 1]), lambda s, w: float(s.sum()) * S(w),
               lambda s: put("mask", False)(s)),
    "memmap": (lambda: np.memmap(Path(tempfile.mkdtemp()) / "m", float, "w+", shape=2),
               lambda s, w: S((1 + s) * w), lambda s: s.fill(3.0)),
    "objects": (lambda: np.array([2.0, None]), lambda s, w: s[0] * S(w), entry(0)),
    "array.array": (lambda: array.array("d", [2.0]), lambda s, w: s[0] * S(w), entry(0)),
    "bytearray": (lambda: bytearray([2]), lambda s, w: s[0] * S(w), entry(0, 3)),
    "memoryview": (lambda: memoryview(np.ones(1)), lambda s, w: s[0] * S(w), entry(0)),
    "made writeable": (lambda: frozen(np.ones(2)), lambda s, w: S(s * w), thawed),
    "float subclass": (lambda: Box(k=Metres(2.0)), lambda s, w: s.k * S(w), put("k", Metres(3.0))),
    "operator": (lambda: Box(g=derivative(product)), lambda s, w: s.g(2.0, 5.0) * S(w),
                 put("g", derivative(product, argnums=1))),
    "read-only view": (lambda: (C := np.ones(2), frozen_view(C)), lambda s, w: S(s[1] * w),
                       lambda s: times(s[0])),
}  # fmt: skip
ARRAYS = {  # how f reads an array; n = its size, and every way tells C *= 3 and C[0] = 5 n
    "direct": lambda s, w: np.mean(s * np.sin(w[0])) + S(w),
    "matmul": lambda s, w: s[:2] @ np.sin(w),
    "sqrt": lambda s, w: np.mean(np.sqrt(s)) * S(w),
    "first": lambda s, w: s[0] * S(w),
    "float": lambda s, w: float(s[0]) * S(w),
    "sum": lambda s, w: s.sum() * S(w),
    "branch": lambda s, w: (5.0 if s.sum() > 2 * len(s) else 2.0) * S(w),
    "slice": lambda s, w: S(w[: int(s[0])]),
    "view": lambda s, w: np.mean(s[::2]) * S(w) + s[:1] @ w[:1],
    "tolist": lambda s, w: s[:4].tolist()[0] * S(w),
    "copied": lambda s, w: np.sum(s.copy()[:1] * np.sin(w)),
}


def entered(s):
    with s as k:
        return k


def local(k):
    s = threading.local()
    s.k = k
    return s


def cached(o):
    return functools.lru_cache(lambda n: n * o.k)


def inner(o, f=None):
    """o, and the gradient of a function that reads it."""
    return o, gradient(lambda w: o.k * np.sum(np.exp(w)) if f is None else np.sum(f(w) * np.exp(w)))


def written(path, text="2.0"):
    path.write_text(text)
    return path


def read(path):
    with open(path) as file:
        return file.read()


def module(text):
    path = written(Path(tempfile.mkdtemp()) / "watched_module.py", text)
    spec = importlib.util.spec_from_file_location("watched_module", path)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def imported(w):
    import watched_k

    return watched_k.K * S(w)


def frozen_view(C):
    view = C[:]
    view.setflags(write=False)
    return view


STATES = MORE.copy()
for (kind, make), (how, use) in itertools.product(OBJECTS.items(), ATTRIBUTE.items()):
    STATES[f"{kind}, {how}"] = (make, use, put("k"))
for size, (how, use) in itertools.product((4, 2_000, 10_000, 150_000), ARRAYS.items()):
    for change in (times, first):
        STATES[f"{size}, {how}, {change.__name__}"] = (lambda n=size: np.ones(n), use, change)


# -- functions that count how often they are entered ----------------------------------------------


def nonlocal_counter(o):
    n = 0

    def f(w):
        nonlocal n
        n += 1
        return o.k * S(w)

    return f, lambda: n


def global_counter(w):
    global COUNT
    COUNT += 1
    return K.k * S(w)


class Counting(Base):
    def by_attribute(self, w):
        self.nfev += 1
        return self.k * S(w)

    def by_workspace(self, w):
        self.nfev += 1
        self.buffer[:] = self.nfev
        return self.k * S(w)


def counted(o, count):
    """The function reads o.k after it has done count()."""
    return lambda w: (count(), o.k)[1] * S(w)


def counters(o):
    hist, n, cache = [], [0], {}
    f = apart(global_counter, K=o, COUNT=0)
    return {
        "attribute": (o.by_attribute, lambda: o.nfev),
        "workspace": (o.by_workspace, lambda: o.nfev),
        "append": (counted(o, lambda: hist.append(1.0)), lambda: len(hist)),
        "list entry": (counted(o, lambda: operator.setitem(n, 0, n[0] + 1)), lambda: n[0]),
        "dict entry": (counted(o, lambda: cache.update({len(cache): 0})), lambda: len(cache)),
        "global": (f, lambda: f.__globals__["COUNT"]),
        "nonlocal": nonlocal_counter(o),
    }
