"""Wherever a name is that a function reaches NumPy by, arrays that it makes can be written to; and
no name of any module is replaced meanwhile, as other threads, C code and pickling would see.

All places compute the same function, sum of (k + 1) sin(x[k]), into an array they make.
"""

from __future__ import annotations

import abc
import collections
import contextlib
import dataclasses
import functools
import importlib
import itertools
import math
import operator
import pickle
import statistics
import sys
import threading
import types
import typing
from collections.abc import Callable
from typing import Any, Final

import numpy
import numpy as np
import numpy.linalg as la
import pytest
import scipy.integrate
import scipy.linalg
import scipy.optimize
from numpy import array, empty, zeros
from numpy import zeros as make_zeros

import difflab
from difflab.errors import Refusal

W: Final = np.array([1.0, 2.0, 3.0])
POINTS: Final = (np.array([0.3, -0.7, 1.1]), np.array([1.3, 0.2, -2.1]))
PLACES: dict[str, Callable[[Any], Any]] = {}


def place(f: Any) -> Any:
    """A way of reaching a name."""
    PLACES[getattr(f, "__name__", type(f).__name__)] = f
    return f


def fill(a: Any, x: Any) -> Any:
    """Write to an array that was made elsewhere."""
    for k in range(3):
        a[k] = (k + 1) * np.sin(x[k])
    return np.sum(a)


# -- modules and imports ---------------------------------------------------------------------------


@place
def module_global(x):
    a = np.zeros(3)
    a[:] = W * np.sin(x)
    return a.sum()


@place
def whole_name(x):
    return fill(numpy.zeros(3), x)


@place
def name_from(x):
    return fill(zeros(3), x)


@place
def name_from_as(x):
    return fill(make_zeros(3), x)


@place
def empty_from(x):
    return fill(empty(3), x)


@place
def array_from(x):
    a = array([x[0], 0.0, 0.0])
    return fill(a, x)


@place
def submodule(x):
    a = la.inv(np.eye(3))
    return np.trace(np.diag([fill(a[0], x), 0.0]))


@place
def import_inside(x):
    import numpy as inner

    return fill(inner.zeros(3), x)


@place
def import_name_inside(x):
    from numpy import full as made

    return fill(made(3, 0.0), x)


@place
def import_by_name(x):
    return fill(importlib.import_module("numpy").zeros(3), x)


@place
def through_sys_modules(x):
    return fill(sys.modules["numpy"].zeros(3), x)


@place
def by_getattr(x):
    return fill(getattr(np, "ze" + "ros")(3), x)


@place
def by_globals(x):
    return fill(globals()["np"].zeros(3), x)


# -- classes ---------------------------------------------------------------------------------------


class Model:
    make = staticmethod(np.zeros)
    start: typing.ClassVar[Any] = np.zeros(3)

    def __init__(self) -> None:
        self.W = W.copy()
        self.function = np.zeros
        self.xp = np

    def method(self, x):
        a = np.zeros(3)
        a[:] = self.W * np.sin(x)
        return np.sum(a)

    def attribute(self, x):
        return fill(self.function(3), x)

    def module_attribute(self, x):
        return fill(self.xp.zeros(3), x)

    def class_attribute(self, x):
        return fill(self.make(3), x)

    def copies_a_class_array(self, x):
        return fill(self.start.copy(), x)

    def __call__(self, x):
        return self.method(x)

    @staticmethod
    def static(x):
        return fill(np.zeros(3), x)

    @classmethod
    def of_class(cls, x):
        return fill(cls.make(3), x)

    @property
    def fresh(self):
        return np.zeros(3)

    @functools.cached_property
    def kept(self):
        return np.zeros(3)

    def reads_a_property(self, x):
        return fill(self.fresh, x)


class Child(Model):
    def method(self, x):
        return super().method(x)


class Abstract(abc.ABC):
    @abc.abstractmethod
    def make(self): ...

    def __call__(self, x):
        return fill(self.make(), x)


class Concrete(Abstract):
    def make(self):
        return np.zeros(3)


model = Model()
PLACES |= {
    "method": model.method, "attribute": model.attribute, "static": model.static,
    "module attribute": model.module_attribute, "class attribute": model.class_attribute,
    "class array": model.copies_a_class_array, "callable object": model,
    "class method": Model.of_class, "property": model.reads_a_property, "super": Child().method,
    "abstract base": Concrete(),
}  # fmt: skip


@place
def method_of_a_global(x):
    return model.method(x)


@place
def function_held_by_a_global(x):
    return fill(model.function(3), x)


@place
def class_inside(x):
    class Store:
        def __init__(self):
            self.a = np.zeros(3)

    return fill(Store().a, x)


@place
def instance_made_inside(x):
    return Model().method(x)


class Oops(ValueError):
    def __init__(self, a):
        super().__init__("oops")
        self.a = a


@place
def exception_class(x):
    try:
        raise Oops(np.zeros(3))
    except Oops as error:
        return fill(error.a, x)


class Vector:
    def __init__(self, a):
        self.a = a

    def __add__(self, other):
        found = np.empty(3)
        found[...] = self.a + other.a
        return Vector(found)


@place
def overloaded_operator(x):
    return fill((Vector(np.ones(3)) + Vector(x)).a, x)


# -- containers ------------------------------------------------------------------------------------

TOOLS = {"make": np.zeros, "module": np, "w": W, "deep": [{"make": (np.zeros,)}]}
SPACE = types.SimpleNamespace(make=np.zeros, w=W)


@dataclasses.dataclass
class Settings:
    make: Any = np.zeros
    w: Any = dataclasses.field(default_factory=W.copy)


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    make: Any = np.zeros


Pair = collections.namedtuple("Pair", "make w")
SETTINGS, SLOTTED, PAIR = Settings(), Slotted(), Pair(np.zeros, W)


def _from(get: Callable[[], Any]) -> Callable[[Any], Any]:
    return lambda x: fill(get()(3), x)


PLACES |= {
    "dict": _from(lambda: TOOLS["make"]), "module in a dict": _from(lambda: TOOLS["module"].zeros),
    "nested": _from(lambda: TOOLS["deep"][0]["make"][0]), "namespace": _from(lambda: SPACE.make),
    "dataclass": _from(lambda: SETTINGS.make), "named tuple": _from(lambda: PAIR.make),
    "slotted dataclass": _from(lambda: SLOTTED.make), "list": _from(lambda: [np.zeros][0]),
    "set": _from(lambda: next(iter({np.zeros}))), "lambda in a dict": {"f": module_global}["f"],
}  # fmt: skip


def _weighed(w: Callable[[], Any]) -> Callable[[Any], Any]:
    def f(x):
        a = np.array(w())
        a *= np.sin(x)
        return a.sum()

    return f


PLACES |= {
    "array in a dict": _weighed(lambda: TOOLS["w"]), "array of a dataclass": _weighed(
        lambda: SETTINGS.w), "array in a namespace": _weighed(lambda: SPACE.w),
    "array in a named tuple": _weighed(lambda: PAIR.w), "array of an instance": _weighed(
        lambda: model.W), "global array": _weighed(lambda: W),
    "copy by method": _weighed(lambda: W.copy()), "mutable map": _weighed(
        lambda: collections.OrderedDict(w=W)["w"]),
}  # fmt: skip


# -- functions -------------------------------------------------------------------------------------


def _closures() -> None:
    make, w = np.zeros, W.copy()

    @place
    def closure(x):
        a = make(3)
        a[:] = w * np.sin(x)
        return a.sum()

    @place
    def nested_closure(x):
        def inner():
            return (lambda: fill(make(3), x))()

        return inner()


_closures()


@place
def default(x, make=np.zeros, w=W):
    a = make(3)
    a[:] = w * np.sin(x)
    return a.sum()


@place
def keyword_default(x, *, make=np.zeros):
    return fill(make(3), x)


PLACES["partial"] = functools.partial(lambda make, x: fill(make(3), x), np.zeros)
PLACES["partial keyword"] = functools.partial(lambda x, make: fill(make(3), x), make=np.zeros)


def logged(f):
    @functools.wraps(f)
    def wrapper(*args, **kwargs):
        return f(*args, **kwargs)

    return wrapper


@place
@logged
def decorated(x):
    return fill(np.zeros(3), x)


@functools.lru_cache
def start(n):
    return np.zeros(n)


@place
def cached_helper(x):
    return fill(np.array(start(3)), x)


@functools.singledispatch
def chosen(x):
    return fill(np.zeros(3), x)


@chosen.register(int)
def _(x):
    return 0.0


@place
def single_dispatch(x):
    return chosen(x) + chosen(3)


def rows(n):
    for _ in range(n):
        yield np.zeros(3)


@place
def generator(x):
    return sum(fill(a, x) for a in rows(2)) / 2


@place
def comprehension(x):
    return [fill(np.zeros(3), x) for _ in range(2)][1]


@place
def reduces(x):
    def add(a, k):
        a[k] = (k + 1) * np.sin(x[k])
        return a

    return np.sum(functools.reduce(add, range(3), np.zeros(3)))


@place
def maps(x):
    return np.sum(np.stack([*map(lambda v, w: np.full(1, v)[0] * w, np.sin(x), W)]))


@place
def filters(x):
    return fill(next(filter(lambda a: a.size == 3, [np.zeros(2), np.zeros(3)])), x)


@place
def sorts_by_key(x):
    parts = [(k + 1) * np.sin(x[k]) for k in range(3)]
    a = np.zeros(3)
    a[:] = sorted(parts, key=lambda v: -np.abs(v))
    return a.sum()


@place
def recursion(x):
    def at(k):
        a = np.zeros(1)
        a[0] = (k + 1) * np.sin(x[k])
        return a[0] + (at(k + 1) if k < 2 else 0.0)

    return at(0)


def even(x, k, a):
    return a.sum() if k == 3 else odd(x, k, a)


def odd(x, k, a):
    a[k] = (k + 1) * np.sin(x[k])
    return even(x, k + 1, a)


@place
def mutual_recursion(x):
    return even(x, 0, np.zeros(3))


counted = 0


@place
def global_inside(x):
    global counted
    counted = 1
    counted += 1
    return fill(np.zeros(counted + 1), x)


@place
def nonlocal_inside(x):
    total = 0.0

    def add(k):
        nonlocal total
        total += fill(np.zeros(3), x) / 3

    for k in range(3):
        add(k)
    return total


@contextlib.contextmanager
def borrowed(n):
    yield np.zeros(n)


@place
def context_manager(x):
    with borrowed(3) as a:
        return fill(a, x)


@place
def matches(x):
    match np.zeros(3):
        case np.ndarray(shape=(3,)) as a:
            return fill(a, x)


vectorised = np.vectorize(lambda v, w: w * np.array([math.sin(v)])[0])


@place
def vectorize_outside(x):
    return np.sum(vectorised(x, W))


@place
def vectorize_inside(x):
    return np.sum(np.vectorize(lambda v: math.sin(v))(x) * W)


@place
def operator_module(x):
    a = np.zeros(3)
    operator.setitem(a, slice(None), operator.mul(W, np.sin(x)))
    a = operator.iadd(a, 0.0)
    return sum(operator.itemgetter(0, 1, 2)(a))


@place
def itertools_module(x):
    a = np.zeros(3)
    for k, v in zip(itertools.count(), itertools.chain(x), strict=False):
        a[k] = (k + 1) * np.sin(v)
    return [*itertools.accumulate(a)][-1]


@place
def star_arguments(x):
    return (lambda *parts, **named: fill(named["make"](3), parts[0]))(x, make=np.zeros)


@place
def walrus(x):
    return fill(a, x) if (a := np.zeros(3)).size else 0.0


@place
def mean_of_statistics(x):
    a = np.zeros(3)
    fill(a, x)
    return 3 * statistics.mean([*a])


@place
def fmean_of_statistics(x):
    a = np.zeros(3)
    fill(a, x)
    return 3 * statistics.fmean(a)


@place
def evaluated(x):
    return fill(eval("np.zeros(3)"), x)


# -- SciPy -----------------------------------------------------------------------------------------


@place
def toeplitz(x):
    return np.sum(scipy.linalg.toeplitz(W * np.sin(x))[0])


@place
def simpson(x):
    a = np.empty(3)
    a[:] = W * np.sin(x) * [3.0, 0.75, 3.0]
    return scipy.integrate.simpson(a)


@place
def trapezoid(x):
    return scipy.integrate.trapezoid(W * np.sin(x) * [2.0, 1.0, 2.0])


@place
def rosenbrock(x):
    s = W * np.sin(x)
    return s.sum() + scipy.optimize.rosen(s[:2]) - (100 * (s[1] - s[0] ** 2) ** 2 + (1 - s[0]) ** 2)


@place
def body_of_a_class(x):
    class Store:
        a = np.zeros(3)
        b = fill(np.zeros(3), np.zeros(3))

    return fill(Store.a, x) + Store.b


@place
def executed(x):
    names = {"x": x, "fill": fill, "zeros": np.zeros}
    exec("found = fill(zeros(3), x)", names)
    return names["found"]


class Base:
    def __init__(self):
        self.calls = 0

    def value(self, x):
        return fill(np.zeros(3), x)


class Left(Base):
    def value(self, x):
        return 2 * super().value(x)


class Right(Base):
    def value(self, x):
        return 3 * super().value(x)


class Both(Left, Right):
    def value(self, x):
        return super().value(x) / 6


PLACES["diamond"] = Both().value


REFUSED: Final = {
    "through_sys_modules", "import_by_name", "slotted dataclass", "mean_of_statistics",
    "fmean_of_statistics",
}  # fmt: skip
"""What cannot be reached without replacing a name."""


@pytest.mark.parametrize("name", PLACES)
def test_places(name: str) -> None:
    f = PLACES[name]
    operator_ = difflab.value_and_gradient(f)
    for x in POINTS:  # the second by the kept program
        handed = x.copy()
        if name in REFUSED:
            with pytest.raises(Refusal, match="remedy"):
                operator_(handed)
            continue
        value, gradient = operator_(handed)
        np.testing.assert_array_equal(handed, x)
        np.testing.assert_allclose(value, f(x), rtol=1e-14)
        np.testing.assert_allclose(gradient, W * np.cos(x), rtol=1e-13)


def test_places_are_many() -> None:
    assert len(PLACES) >= 80


# -- helpers in other modules ----------------------------------------------------------------------

HELPER: Final = """
import math
import numpy as np
from numpy import zeros

WEIGHTS = np.array([1.0, 2.0, 3.0])
MAKE = {"zeros": np.zeros}
each = np.vectorize(lambda v: math.sin(v))
calls = 0


def fill(x):
    a = zeros(3)
    a[:] = WEIGHTS * np.sin(x)
    return a.sum()


def make():
    return np.empty(3)


class Layer:
    def __init__(self):
        self.w = WEIGHTS * 1.0
        self.buffer = None

    def __call__(self, x):
        self.buffer = np.zeros(3)
        self.buffer[...] = self.w * np.sin(x)
        return self.buffer.sum()


def counting(x):
    global calls
    calls += 1
    return fill(x)


LAYER = Layer()
"""


@pytest.fixture
def helper(tmp_path, monkeypatch):
    """A module of the user's, in a package, that nobody has imported yet."""
    (tmp_path / "room_of_helpers").mkdir()
    (tmp_path / "room_of_helpers" / "__init__.py").write_text("from .parts import fill\n")
    (tmp_path / "room_of_helpers" / "parts.py").write_text(HELPER)
    monkeypatch.syspath_prepend(tmp_path)
    yield "room_of_helpers.parts"
    for name in [name for name in sys.modules if name.startswith("room_of_helpers")]:
        del sys.modules[name]


def _imports_first(x):
    import room_of_helpers.parts

    return room_of_helpers.parts.fill(x)


def _imports_from(x):
    from room_of_helpers import fill as made

    return made(x)


def _imports_a_maker(x):
    from room_of_helpers.parts import make

    return fill(make(), x)


def _uses_what_it_holds(x):
    from room_of_helpers import parts

    return np.sum(parts.WEIGHTS * parts.each(x))


def _uses_its_objects(x):
    from room_of_helpers import parts

    return parts.LAYER(x)


def _uses_its_dict(x):
    import room_of_helpers.parts as parts

    return fill(parts.MAKE["zeros"](3), x)


def _makes_its_object(x):
    from room_of_helpers.parts import Layer

    return Layer()(x)


def _counts_there(x):
    from room_of_helpers import parts

    return parts.counting(x)


@pytest.mark.parametrize(
    "f",
    [_imports_first, _imports_from, _imports_a_maker, _uses_what_it_holds, _uses_its_objects,
     _uses_its_dict, _makes_its_object, _counts_there],
)  # fmt: skip
@pytest.mark.parametrize("first", [False, True])
def test_helpers_in_modules(helper, f, first):
    if first:
        importlib.import_module(helper)
    x = POINTS[0]
    operator_ = difflab.value_and_gradient(f)
    for x in POINTS:
        value, gradient = operator_(x)
        np.testing.assert_allclose(value, W @ np.sin(x), rtol=1e-14)
        np.testing.assert_allclose(gradient, W * np.cos(x), rtol=1e-13)
    parts = sys.modules[helper]
    assert parts.np is np and parts.zeros is np.zeros and parts.MAKE["zeros"] is np.zeros
    assert type(parts.WEIGHTS) is np.ndarray and type(parts.LAYER.w) is np.ndarray
    assert type(parts.LAYER.buffer) in (np.ndarray, type(None))


# -- no name is replaced ---------------------------------------------------------------------------


def _names() -> dict[str, Any]:
    """What names of NumPy's, and of modules that use it, are bound to."""
    modules = [numpy, np.linalg, math, scipy.linalg, sys.modules[__name__], np.random]
    return {
        f"{module.__name__}.{name}": value
        for module in modules
        for name, value in vars(module).items()
        if callable(value) and module is not sys.modules[__name__]
    }


NAMES: Final = types.MappingProxyType(_names())  # which no copy looks into


def _is_as_it_was() -> bool:
    names, replaced = sys.modules, []
    for name, value in NAMES.items():
        module, _, last = name.rpartition(".")
        replaced += [name] if vars(names[module]).get(last) is not value else []
    return not replaced


def test_names_are_their_own_during_a_trace_and_after_errors():
    seen = []

    def f(x):
        seen.append(_is_as_it_was())
        a = np.zeros(3)
        a[:] = x
        seen.append(sys.modules["numpy"].zeros is NAMES["numpy.zeros"])
        if len(seen) > limit:
            raise kind("now")
        return np.sum(a**2)

    for kind in (ValueError, KeyboardInterrupt, SystemExit, GeneratorExit):
        for limit in (1, 3, 5, 7):  # noqa: B007 (read by f)
            seen = []
            with contextlib.suppress(kind):
                difflab.gradient(f)(POINTS[0])
                pytest.fail("nothing was raised")
            assert all(seen) and _is_as_it_was()
            assert type(np.zeros(3)) is np.ndarray
            assert difflab.gradient(lambda x: np.sum(x**2))(POINTS[0])[0] == 2 * POINTS[0][0]


def test_a_stand_in_is_what_it_stands_for():
    def f(x):
        assert isinstance(np.add, np.ufunc) and np.add.nin == 2 and np.sin.__name__ == "sin"
        assert {np.sin: 1.0}[pickle.loads(pickle.dumps(np.sin))] == 1.0
        assert np.float64 is not None and np.dtype(np.float64) == np.dtype(float)
        assert np.pi == math.pi and np.newaxis is None
        assert isinstance(np.zeros(3), np.ndarray) and isinstance(1.0, float)
        assert callable(np.zeros) and np.sin == np.sin and np.sin != np.cos
        assert isinstance(np, types.ModuleType) and np.__name__ == "numpy"
        return fill(np.zeros(3), x)

    np.testing.assert_allclose(difflab.gradient(f)(POINTS[0]), W * np.cos(POINTS[0]), rtol=1e-13)


def _in_threads(*works: Callable[[], None]) -> None:
    """Run all at once; what one raises is raised."""
    start, errors = threading.Barrier(len(works)), []

    def run(work: Callable[[], None]) -> None:
        start.wait()
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_threads_beside_a_trace_see_plain_numpy():
    done = threading.Event()

    def traces():
        try:
            for k in range(20):
                g = difflab.gradient(lambda x, k=k: fill(np.zeros(3), x) + k)
                np.testing.assert_allclose(g(POINTS[0]), W * np.cos(POINTS[0]), rtol=1e-13)
        finally:
            done.set()

    def looks():
        while not done.is_set():
            assert _is_as_it_was()
            a = np.zeros(3)
            assert type(a) is np.ndarray and type(np.array([a, a])) is np.ndarray
            a[:] = np.sin(W)
            assert pickle.loads(pickle.dumps(np.sin)) is np.sin
            assert np.random.default_rng(0).normal(size=2).dtype == float

    _in_threads(*[traces] * 4, *[looks] * 4)


def test_threads_trace_at_once():
    def work(n):
        def f(x):
            a = np.zeros((2, 3))
            for k in range(n):
                a[k % 2] += x**k
            b = a[0]
            b *= 2
            return np.sum(a)

        def run():
            for x in POINTS:
                expected = sum((2 - k % 2) * k * x ** max(k - 1, 0) for k in range(n))
                for _ in range(3):
                    np.testing.assert_allclose(difflab.gradient(f)(x), expected, rtol=1e-12)

        return run

    _in_threads(*[work(n) for n in range(2, 10)])


def test_one_operator_in_many_threads():
    g = difflab.value_and_gradient(module_global)

    def run():
        for x in POINTS:
            for y in (x, x[:2], np.append(x, 0.5)):
                with contextlib.suppress(ValueError):
                    np.testing.assert_allclose(g(y)[1], W * np.cos(y), rtol=1e-13)

    _in_threads(*[run] * 8)


# -- traces inside of traces, and after them -------------------------------------------------------


@pytest.mark.parametrize(
    "outer", [difflab.gradient, functools.partial(difflab.gradient, method="forward")]
)
@pytest.mark.parametrize(
    "inner", [difflab.gradient, functools.partial(difflab.gradient, method="forward")]
)
def test_nested_derivatives(outer, inner):
    def energy(x):
        a = np.zeros(3)
        a[1:] = x[:-1] ** 3
        a[0] = x[2]
        a *= x
        return a.sum()  # x0^3 x1 + x1^3 x2 + x2 x0

    def f(x):
        g = np.empty(3)
        g[:] = inner(energy)(x)
        g[0] *= x[1]
        return g @ [1.0, 2.0, 3.0]

    x0, x1, x2 = x = POINTS[0]
    # f = (3 x0^2 x1 + x2) x1 + 2 (x0^3 + 3 x1^2 x2) + 3 (x1^3 + x0)
    expected = [
        6 * x0 * x1**2 + 6 * x0**2 + 3, 6 * x0**2 * x1 + x2 + 12 * x1 * x2 + 9 * x1**2,
        x1 + 6 * x1**2,
    ]  # fmt: skip
    np.testing.assert_allclose(outer(f)(x), expected, rtol=1e-12)


def test_results_of_an_inner_derivative_are_written_to():
    def f(x):
        g = difflab.gradient(lambda y: np.sum(y**3))(x)
        g += x
        g[0] = 0.0
        return np.sum(g)

    x = POINTS[0]
    np.testing.assert_allclose(difflab.gradient(f)(x), (6 * x + 1) * [0, 1, 1], rtol=1e-13)


@pytest.mark.parametrize("kind", ["traced", "plain"])
def test_an_outer_array_is_not_written_to_inside(kind):
    def f(x):
        a = np.zeros(3) if kind == "plain" else x * 2

        def inner(y):
            a[0] = y[0]
            return np.sum(a * y)

        return np.sum(difflab.gradient(inner)(x)) + np.sum(a)

    with pytest.raises(Refusal, match=r"(?s)inside a derivative.*remedy"):
        difflab.gradient(f)(POINTS[0])


def test_an_outer_array_is_read_inside():
    def f(x):
        a = np.zeros(3)
        a[:] = x**2
        return np.sum(difflab.gradient(lambda y: np.sum(a * y**2))(x))  # 2 x^3

    np.testing.assert_allclose(difflab.gradient(f)(POINTS[0]), 6 * POINTS[0] ** 2, rtol=1e-13)


class Keeper:
    kept: Any = None


@functools.lru_cache
def _remembered(key):
    return Keeper.kept


KEEP: Final[dict[str, Callable[[Any, list[Any]], None]]] = {
    "list": lambda a, kept: kept.append(a),
    "view": lambda a, kept: kept.append(a[1:].T),
    "element": lambda a, kept: kept.append(a[0]),
    "iterator": lambda a, kept: kept.append(iter(a)),
    "flat": lambda a, kept: kept.append(a.flat),
    "bound method": lambda a, kept: kept.append(a.sum),
}
USE: Final[dict[str, Callable[[Any], Any]]] = {
    "sum": np.sum, "product": lambda v: v * 2.0, "sin": np.sin,
    "truth": lambda v: bool(np.any(v > 0)), "float": float, "asarray": np.asarray,
    "reversed product": lambda v: np.ones(3) * v, "comparison": lambda v: v > 0,
    "write": lambda v: v.__setitem__(0, 1.0), "augmented": lambda v: operator.iadd(v, 1.0),
    "item": lambda v: v[0], "copy": lambda v: v.copy(), "text": lambda v: f"{v:.3f}",
    "other trace": lambda v: difflab.gradient(lambda x: np.sum(x * v))(np.ones(3)),
    "other trace's write": lambda v: difflab.gradient(
        lambda x: np.sum(v.__setitem__(0, x[0]) or v))(np.ones(3)),
}  # fmt: skip


@pytest.mark.parametrize("content", ["traced", "constant", "written"])
@pytest.mark.parametrize("use", USE)
def test_what_is_kept_says_so(use, content):
    """Kept beyond the trace through C code, which no watch sees."""
    import queue

    kept = queue.SimpleQueue()

    def f(x):
        a = np.zeros(3) if content == "constant" else x * 2.0
        if content == "written":
            a[1:] = x[:-1]
        kept.put(a)
        return np.sum(a) + np.sum(x)

    with contextlib.suppress(Refusal):
        difflab.gradient(f)(POINTS[0])
    values = [kept.get() for _ in range(kept.qsize())]
    traced = [v for v in values if type(v) is not np.ndarray]
    assert traced
    for v in traced:
        try:
            found = USE[use](v)
        except Refusal as refused:
            assert "after its function returned" in str(refused), refused
        except (TypeError, ValueError, RuntimeError) as error:
            assert "only length-1" in str(error) or "format" in str(error), error
        else:
            assert content == "constant", found  # which holds plain values


def test_a_cache_filled_inside():
    @functools.lru_cache
    def table(n):
        a = np.zeros(n)
        a[:] = np.arange(n)
        return a

    def f(x):
        return np.sum(table(3) * x**2)

    for x in POINTS:
        np.testing.assert_allclose(difflab.gradient(f)(x), 2 * x * [0, 1, 2], rtol=1e-13)
    assert type(table(3)) is np.ndarray


def test_a_swallowed_refusal_is_raised():
    w = W.copy()

    def f(x):
        a = np.zeros(3)
        a[:] = x
        try:
            w[0] = a[0]
        except Exception:
            a[:] = 0.0
        return np.sum(a)

    with pytest.raises(Refusal, match=r"(?s)which existed before the call.*remedy"):
        difflab.gradient(f)(POINTS[0])


shared: Any = 5
BOX: Final = types.SimpleNamespace(last=None, count=0)


def test_what_a_function_writes_outside_is_put_back():
    def f(x):
        global shared
        shared = np.zeros(3)
        shared[:] = x
        BOX.last = shared
        BOX.count += 1
        TOOLS["last"] = shared
        model.last = shared * 2
        return np.sum(shared**2)

    with contextlib.suppress(Refusal):
        np.testing.assert_allclose(difflab.gradient(f)(POINTS[0]), 2 * POINTS[0])
    for value in (shared, BOX.last, TOOLS.pop("last", None), vars(model).pop("last", None)):
        assert value is None or type(value) in (int, np.ndarray), type(value)
    assert type(BOX.count) is int
