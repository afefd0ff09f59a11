"""Whole programs as machine code: every row, everyday functions of all sizes, random programs."""

from __future__ import annotations

import os
import threading
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings

import difflab
from difflab import engines
from difflab.engines import growing, native, numpy
from difflab.engines.native import parts, pool
from difflab.engines.native.machine import assembly
from difflab.errors import ArgumentError, UnknownNameError
from difflab.ir.expr import Expr, Graph, evaluate, placeholder
from difflab.ir.row import CONSTANT, INPUT, TABLE, Sample
from difflab.methods import Reverse
from tests.laws.programs import Program, programs
from tests.laws.samples import samples

pytestmark = pytest.mark.skipif(native.why_not() is not None, reason=str(native.why_not()))
ROWS: Final = [row for row in TABLE.values() if row not in (INPUT, CONSTANT)]
SHAPES: Final = [(), (1,), (3,), (8,), (2, 3), (17,), (3, 1, 5), (300,)]
SIZES: Final = [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100, 257, 8191, 8193, 20_000]
NIGHTLY: Final = os.environ.get("DIFFLAB_PROFILE") == "nightly"


def graph_of(row: Any, one: Sample) -> Graph:
    """A row applied to inputs of its sample's shapes, as `Expr` itself makes it."""
    inputs = tuple(placeholder(x.shape, x.dtype, f"x{i}") for i, x in enumerate(one.operands))
    return Graph(inputs, (Expr(row, inputs, one.params),))


def assert_same(found: Any, truth: Any, rtol: float = 1e-12) -> None:
    """The same array of the same type; exactly where it holds no floats."""
    truth = np.asarray(truth)
    assert np.shape(found) == truth.shape and found.dtype == truth.dtype
    assert isinstance(found, np.ndarray) == bool(truth.shape)
    if truth.dtype.kind != "f":
        np.testing.assert_array_equal(found, truth)
        return
    rtol = rtol if truth.dtype == np.float64 else 1e-5
    size = np.max(np.abs(truth[np.isfinite(truth)]), initial=0.0)
    np.testing.assert_allclose(found, truth, rtol=rtol, atol=rtol * size)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_rows(row: Any) -> None:
    for shape in SHAPES if row.kind == "pointwise" else SHAPES[:1]:
        for one in samples(row, shape):
            program = native.compiled(graph_of(row, one))
            with np.errstate(all="ignore"):
                assert_same(
                    program(*one.operands)[0], row.evaluate(*one.operands, **dict(one.params))
                )


@pytest.mark.parametrize("dtype", ["float32", "int64", "bool"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_rows_of_other_dtypes_compile_or_are_left_to_numpy(row: Any, dtype: str) -> None:
    for one in samples(row, (5,)):
        with np.errstate(all="ignore"):
            operands = tuple(
                [x.astype(dtype) if x.dtype == np.float64 else x for x in one.operands]
            )
            given = Sample(operands, one.params)
            try:
                truth = row.evaluate(*operands, **dict(one.params))
                graph = graph_of(row, given)
            except (TypeError, ValueError, np.linalg.LinAlgError):
                continue  # NumPy has no such function
            if graph.outputs[0].dtype != np.asarray(truth).dtype:
                continue  # no trace makes that node
            found = native.compiled(graph)(*operands)[0]
            assert_same(found, truth, 1e-6)


# -- everyday functions ----------------------------------------------------------------------------


def rosenbrock(x: Any) -> Any:
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def stencil(x: Any) -> Any:
    y = x[1:-1] - 0.1 * (x[2:] - 2.0 * x[1:-1] + x[:-2])
    return np.sum(np.tanh(y) * y)


def chain(x: Any) -> Any:
    for _ in range(3):
        x = np.log1p(np.exp(x))
    return np.sum(x)


def normalised(x: Any) -> Any:
    x = x - 0.1 * np.mean(x)
    return np.sum(x**3) / np.sum(x**2) ** 2


def reversed_and_strided(x: Any) -> Any:
    return np.sum(x[::-1] * x) + np.sum(np.sin(x[::2])) + np.sum(np.cos(x[::-3]) ** 2)


def joined(x: Any) -> Any:
    return np.sum(np.concatenate([x, np.sin(x), x[:1]]) ** 2) + np.sum(np.diff(x, append=0.0) ** 2)


def branching(x: Any) -> Any:
    return np.sum(np.where(x > 0.1, x * x, np.abs(x))) + np.max(x) - np.min(np.cos(x))


LINES: Final = [rosenbrock, stencil, chain, normalised, reversed_and_strided, joined, branching]


@pytest.mark.parametrize("f", LINES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("n", SIZES)
def test_functions_of_vectors(f: Any, n: int) -> None:
    if n < 3:
        n += 3
    agree(f, np.random.default_rng(n).normal(size=n))


def agree(f: Any, *args: Any, rtol: float = 1e-11) -> None:
    """The value is the plain function's, and the gradient that of the graph run row by row."""
    graph = difflab.trace(f, *args)
    derived = Reverse().derive(graph, [0]).graph
    assert derived is not None
    program = native.compiled(derived)
    assert program.note is None
    value, gradient = program(*args)
    assert_same(value, f(*args), rtol)
    assert_same(gradient, derived(*args)[1], rtol)
    with pool.limit(1):
        assert all(
            a.tobytes() == b.tobytes()
            for a, b in zip(program(*args), (value, gradient), strict=True)
        )


def softmax_rows(x: Any) -> Any:
    grown = np.exp(x - np.max(x, -1, keepdims=True))
    return np.sum((grown / np.sum(grown, -1, keepdims=True)) ** 2)


def columns(x: Any) -> Any:
    return np.sum(np.sum(x, 0) ** 2) + np.sum(np.max(x, 0)) + np.sum(np.exp(-(x**2)).T @ x)


def distances(x: Any) -> Any:
    apart = np.sum((x[:, None, :] - x[None, :, :]) ** 2, -1)
    return np.sum(1.0 / np.sqrt(apart + 0.01))


def laplace(x: Any) -> Any:
    inner = x[1:-1, 1:-1] - 0.25 * (x[2:, 1:-1] + x[:-2, 1:-1] + x[1:-1, 2:] + x[1:-1, :-2])
    return np.sum(inner**2)


def padded(x: Any) -> Any:
    """Rows are cut where the padding ends, at places that no block of rows divides."""
    inside = np.pad(x[:-5], ((2, 3), (0, 0)))
    return np.sum(np.sum(inside + x, 0) ** 2) + np.sum((inside + x) @ np.ones(x.shape[1]))


def moved(x: Any) -> Any:
    return np.sum(np.sin(x.T.reshape(-1)) * np.arange(x.size)) + np.sum(x.ravel()[::2] ** 3)


def products(x: Any) -> Any:
    gram = x @ x.T
    return np.sum(np.tanh(gram) @ x) + np.sum(x[0] @ x.T) + np.sum(np.outer(x[:, 0], x[0]))


TABLES: Final = [softmax_rows, columns, distances, laplace, padded, moved, products]
AREAS: Final = [(7, 3), (8, 4), (7, 17), (17, 7), (14, 3000), (130, 7), (40, 33), (66, 64)]


@pytest.mark.parametrize("f", TABLES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("shape", AREAS, ids=str)
def test_functions_of_tables(f: Any, shape: tuple[int, int]) -> None:
    agree(f, np.random.default_rng(shape).normal(size=shape))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_large_products_and_long_reductions(dtype: str) -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=(90, 80)).astype(dtype)
    b = rng.normal(size=(80, 70)).astype(dtype)
    agree(lambda a: np.sum(np.tanh(a @ b) @ b.T), a, rtol=1e-9)
    agree(lambda a: np.sum(a.reshape(2, 45, 80) @ b), a, rtol=1e-9)
    agree(lambda x: np.sum(x * x) ** 2, rng.normal(size=100_000).astype(dtype))
    agree(lambda x: np.mean(x, 0) @ np.max(x, 0), rng.normal(size=(5000, 9)).astype(dtype))


def test_sums_are_as_accurate_as_pairwise_ones() -> None:
    x = np.random.default_rng(0).uniform(size=1_000_000)
    graph = difflab.trace(lambda x: np.sum(x), x)
    import math

    off = abs(native.compiled(graph)(x)[0] - math.fsum(x)) / math.fsum(x)
    assert off < 1e-15


# -- what is around a program ----------------------------------------------------------------------


def test_what_numpy_alone_computes_stands_between_native_parts() -> None:
    def f(x: Any) -> Any:
        y = np.linalg.solve(x @ x.T + np.eye(4), np.sin(x))
        return np.sum(np.exp(y) * y), np.sort(x, 0), x

    x = np.random.default_rng(0).normal(size=(4, 4))
    graph = difflab.trace(f, x)
    program = native.compiled(graph)
    assert program.note is None and not native.is_whole(graph)
    found = program(x)
    for one, truth in zip(found, f(x), strict=True):
        assert_same(one, truth)
    assert not np.shares_memory(found[2], x)


def test_outputs_share_no_memory() -> None:
    x = np.arange(6.0)
    program = native.compiled(difflab.trace(lambda x: (x, x, x[::2], x + 1.0, x + 1.0), x))
    found = program(x)
    assert all(
        not np.shares_memory(a, b) for i, a in enumerate([*found, x]) for b in [*found, x][i + 1 :]
    )
    for one, truth in zip(found, (x, x, x[::2], x + 1.0, x + 1.0), strict=True):
        assert_same(one, truth)


def test_captured_arrays_are_read_at_each_call() -> None:
    weights = np.arange(4.0)
    slopes = difflab.gradient(lambda x: np.sum(weights[::-1] * x**2), engine="native")
    assert_same(slopes(np.ones(4)), 2.0 * weights[::-1])
    weights[:] = 5.0
    assert_same(slopes(np.ones(4)), np.full(4, 10.0))


@pytest.mark.parametrize(
    "change",
    [
        lambda x: np.repeat(x, 2)[::2],
        lambda x: x.astype(">f8"),
        lambda x: np.frombuffer(b"_" + x.tobytes(), np.uint8)[1:].view(float),
        lambda x: np.asfortranarray(x),
    ],
)
def test_arrays_of_any_layout(change: Any) -> None:
    x = np.random.default_rng(0).normal(size=40)
    given = change(x)
    given.flags.writeable = False
    assert_same(difflab.gradient(rosenbrock, engine="native")(given),
                difflab.gradient(rosenbrock, engine="numpy")(x))  # fmt: skip


def test_special_numbers() -> None:
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 5e-324, -5e-324, 1e308, -1e308] * 2)
    for f in (np.abs, np.square, np.exp, np.log, np.sign, np.maximum, np.minimum, np.tanh):
        operands = (x, x[::-1].copy())[: f.nin]
        program = native.compiled(difflab.trace(f, *operands))
        with np.errstate(all="ignore"):
            truth = f(*operands)
        found = program(*operands)[0]
        np.testing.assert_array_equal(np.isnan(found), np.isnan(truth))
        np.testing.assert_array_equal(np.signbit(found[truth == 0]), np.signbit(truth[truth == 0]))
        assert_same(found[np.isfinite(truth)], truth[np.isfinite(truth)])


def test_without_outputs_there_is_nothing_to_run() -> None:
    x = placeholder((3,), np.dtype(float), "x")
    program = native.compiled(Graph((x,), ()))
    assert program.note == "nothing is computed" and program(np.ones(3)) == []


def test_empty_arrays_are_left_to_numpy() -> None:
    program = native.compiled(difflab.trace(lambda x: np.sum(x * x), np.ones(0)))
    assert program.note == "some arrays are empty" and program(np.ones(0)) == [0.0]


def test_several_threads_run_one_program() -> None:
    x = np.random.default_rng(0).normal(size=200_000)
    program = native.compiled(difflab.trace(lambda x: (np.sum(np.tanh(x)), np.sin(x) * x), x))
    truth, wrong = program(x), []

    def run() -> None:
        for _ in range(20):
            found = program(x)
            if any(a.tobytes() != b.tobytes() for a, b in zip(found, truth, strict=True)):
                wrong.append(found)

    several = [threading.Thread(target=run) for _ in range(8)]
    for one in several:
        one.start()
    for one in several:
        one.join()
    assert not wrong


def test_any_cpu_computes_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host's code, and that of the plainest CPU with FMA, agree to the byte."""
    from difflab.engines.native import machine

    rng = np.random.default_rng(0)
    x = rng.normal(size=(37, 53))
    graphs = [difflab.trace(f, x) for f in TABLES[:3]]
    graphs += [Reverse().derive(graph, [0]).graph for graph in graphs]
    mine = [native.compiled(graph)(x) for graph in graphs]
    plain = machine.machine("x86-64-v3", "")
    monkeypatch.setattr(machine, "machine", lambda *_: plain)
    others = [native.compiled(graph)(x) for graph in graphs]
    for one, other in zip(mine, others, strict=True):
        assert all(a.tobytes() == b.tobytes() for a, b in zip(one, other, strict=True))


def test_code_for_wide_vectors_is_made_anywhere() -> None:
    x = np.ones(100)
    text = native.compiled(difflab.trace(chain, x)).source
    assert "%zmm" in assembly(text, "skylake-avx512", "-prefer-256-bit")


@pytest.mark.parametrize("reason", ["llvmlite is not installed", "this CPU has no FMA"])
def test_without_machine_code_all_works_on_numpy(
    monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    for module in (native, parts):
        monkeypatch.setattr(module, "why_not", lambda: reason)
    monkeypatch.setenv("DIFFLAB_ENGINE", "auto")
    x = np.linspace(-1.0, 1.0, 10)
    slopes = difflab.gradient(rosenbrock, engine="native").prepare(x)
    assert slopes.program is not None and reason in slopes.program.source
    assert_same(slopes(x), difflab.gradient(rosenbrock, engine="numpy")(x))
    assert isinstance(engines.compile(difflab.trace(rosenbrock, x)), numpy.Program)


def test_the_engine_is_chosen_by_the_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFLAB_ENGINE", "auto")
    x = np.linspace(-1.0, 1.0, 10)
    assert isinstance(engines.compile(difflab.trace(rosenbrock, x)), native.Program)
    assert isinstance(engines.compile(difflab.trace(np.sin, 1.0)), numpy.Program)
    assert isinstance(engines.compile(difflab.trace(np.linalg.inv, np.eye(3))), numpy.Program)
    long = difflab.trace(lambda x: sum(np.sin(x + k) for k in range(300)), x)
    assert isinstance(engines.compile(long), growing.Program)
    assert isinstance(engines.compile(long, "steady"), numpy.Program)
    assert isinstance(engines.compile(difflab.trace(rosenbrock, x), "steady"), native.Program)
    monkeypatch.setenv("DIFFLAB_ENGINE", "fortran")
    with pytest.raises(UnknownNameError):
        engines.compile(difflab.trace(rosenbrock, x))


@pytest.mark.parametrize("part", range(4))
def test_random_programs(part: int) -> None:
    @seed(part)
    @settings(
        max_examples=2_500 if NIGHTLY else 15,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(programs())
    def agree_at_the_point(program: Program) -> None:
        graph = difflab.trace(program, *program.point)
        derived = Reverse().derive(graph, range(len(graph.inputs))).graph
        assert derived is not None
        for one in (graph, derived):
            with np.errstate(all="ignore"):
                found = native.compiled(one)(*program.point)
                truth = evaluate(one.outputs, dict(zip(one.inputs, program.point, strict=True)))
            for a, b in zip(found, truth, strict=True):
                assert_same(a, b, 1e-8)

    agree_at_the_point()


def test_what_is_refused_is_refused_as_by_numpy() -> None:
    slopes = difflab.gradient(rosenbrock, engine="native")
    with pytest.raises(ArgumentError):
        slopes(np.arange(5))


def test_numpy_serves_while_a_long_program_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFLAB_ENGINE", "auto")
    begun, go_on = threading.Event(), threading.Event()
    compile_natively = native.compiled

    def slowly(graph: Graph) -> native.Program:
        begun.set()
        assert go_on.wait(30.0)
        return compile_natively(graph)

    monkeypatch.setattr(native, "compiled", slowly)

    def long(x: Any) -> Any:
        for k in range(200):
            x = np.sin(x) * (1.0 + 0.001 * k)
        return np.sum(x)

    x = np.linspace(0.0, 1.0, 5)
    graph = difflab.trace(long, x)
    program = engines.compile(graph)
    assert isinstance(program, growing.Program)
    first = program(x)
    assert not begun.is_set()
    second = program(x)
    assert begun.wait(30.0) and first == second == program(x)
    go_on.set()
    assert program.settled().note is None
    assert_same(program(x)[0], long(x), 1e-13)
    assert isinstance(engines.compile(graph, often=True), native.Program)
