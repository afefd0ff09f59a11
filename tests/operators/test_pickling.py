"""Law: operators, graphs, results and errors survive pickling, and copying."""

from __future__ import annotations

import copy
import importlib
import multiprocessing
import pickle
import pkgutil
from collections import namedtuple
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import joblib
import numpy as np
import pytest

import difflab
from difflab import engines
from difflab.errors import (
    ArgumentError,
    DifflabError,
    Line,
    ShapeError,
    TraceError,
    UnknownNameError,
)
from difflab.ir.row import CONSTANT, INPUT, TABLE
from difflab.ir.tree import flatten, read_arguments
from difflab.methods import METHODS, Numerical
from difflab.methods.symbolic import Symbolic
from difflab.networks import DNNClassifier, Network

from ..opaque import by_bytes

X = np.array([1.2, 0.7, -0.3])
Pair = namedtuple("Pair", "left right")


def again(x: Any) -> Any:
    return pickle.loads(pickle.dumps(x))


WAYS: tuple[Callable[[Any], Any], ...] = (again, copy.copy, copy.deepcopy)


def rosenbrock(x: Any) -> Any:
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def branching(x: Any) -> Any:
    return np.sum(x**3) if x[0] > 1.0 else np.sum(x**2)


def of_tree(tree: Any) -> Any:
    return np.sum(tree["w"] ** 2) * tree["pair"].left + tree["pair"].right


def cancelling(x: Any) -> Any:
    return np.sum(1 - np.cos(x))


def square(x: Any) -> Any:
    return np.sum(x * x)


def twice(x: Any) -> Any:
    return 2 * x


def pickling(x: Any) -> Any:
    return pickle.loads(pickle.dumps(x)) * 2.0


def opaque(x: Any) -> float:
    return float(np.sum(by_bytes(x) ** 2))


TREE = {"w": np.array([1.0, 2.0]), "pair": Pair(3.0, np.array([[4.0]])[0, 0])}


# -- operators -------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("f", [rosenbrock, branching])
@pytest.mark.parametrize(
    "kind", [difflab.gradient, difflab.value_and_gradient, difflab.jacobian, difflab.hessian]
)
def test_operators(kind: Any, f: Any, way: Callable[[Any], Any]) -> None:
    operator = kind(f)
    before = operator(X)
    other = way(operator)
    assert type(other) is type(operator)
    assert not other.programs and operator.programs
    for found, expected in zip(flatten(other(X))[0], flatten(before)[0], strict=True):
        np.testing.assert_array_equal(found, expected)
    assert repr(other) == repr(operator)


@pytest.mark.parametrize(
    "method",
    [*METHODS, Numerical("central", 6, step=1e-3), Numerical(step=("relative", 1e-4)),
     Numerical(step="predicted"), Symbolic(seconds=10)],
)  # fmt: skip
def test_operators_of_every_method(method: Any) -> None:
    operator = difflab.gradient(rosenbrock, method=method)
    before = operator(X)
    other = again(operator)
    assert other.method == operator.method
    np.testing.assert_array_equal(other(X), before)


@pytest.mark.parametrize("way", [*WAYS, lambda x: again(joblib.wrap_non_picklable_objects(x))])
@pytest.mark.parametrize("f", [np.sin, twice, lambda x: np.sin(x[::-1]) * x])
@pytest.mark.parametrize("method", ["reverse", "forward", "central_difference"])
def test_pullbacks(f: Any, way: Callable[[Any], Any], method: str) -> None:
    if way is again and f.__name__ == "<lambda>":
        pytest.skip("Python pickles no lambda")
    _, pull = difflab.vjp(f, X, method=method)
    expected = pull(X)
    np.testing.assert_array_equal(way(pull)(X), expected)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("engine", [*engines.ENGINES, "auto", "steady"])
@pytest.mark.parametrize("f", [rosenbrock, lambda x: x[0] * 2.0])
def test_programs_of_every_engine(f: Any, engine: str, way: Callable[[Any], Any]) -> None:
    program = engines.compile(difflab.trace(f, np.ones(50)), engine)
    other = way(program)
    assert other.source == program.source
    np.testing.assert_array_equal(other(np.full(50, 0.3)), program(np.full(50, 0.3)))


@pytest.mark.parametrize("method", ["reverse", "central_difference"])
def test_a_prepared_program_is_copied_but_not_pickled(method: str) -> None:
    prepared = difflab.gradient(branching, method=method).prepare(X)
    with pytest.raises(ArgumentError, match="prepared program cannot be pickled") as caught:
        pickle.dumps(prepared)
    assert caught.value.remedy == "pickle the operator, and prepare it there"
    for way in (copy.copy, copy.deepcopy):
        np.testing.assert_array_equal(way(prepared)(X), prepared(X))


def test_lambdas_work_in_other_processes_by_cloudpickle() -> None:
    operators = [kind(lambda x: np.sum(x**3)) for kind in (difflab.gradient, difflab.hessian)]
    expected = [operator(X) for operator in operators]
    found = joblib.Parallel(n_jobs=2)(joblib.delayed(operator)(X) for operator in operators)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_networks_and_what_they_leave() -> None:
    rows, labels = np.stack([X, -X, 2 * X]), np.array([0, 1, 0])
    net = Network(3)
    net.fc(4, activation="tanh")
    net.fc(2, activation="softmax")
    history = net.fit(rows, labels)
    model = DNNClassifier(epochs=2, random_state=0).fit(rows, labels)
    slopes = difflab.gradient(net.objective)
    before = flatten(slopes(net.parameters, rows, labels))[0]
    for way in WAYS:
        assert np.array_equal(way(net).predict_proba(rows), net.predict_proba(rows))
        assert way(history).equals(history) and way(history).attrs == history.attrs
        assert np.array_equal(way(model).predict(rows), model.predict(rows))
        after = flatten(way(slopes)(net.parameters, rows, labels))[0]
        assert all(map(np.array_equal, before, after))


def test_an_operator_that_is_copied_keeps_its_programs_to_itself() -> None:
    operator = difflab.gradient(rosenbrock)
    other = copy.copy(operator)
    other(X)
    assert not operator.programs


def test_operators_work_in_other_processes() -> None:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(difflab.derivative(np.sin), 0.5).result() == np.cos(0.5)
        with pytest.raises(ShapeError, match="scalar output") as caught:
            pool.submit(difflab.gradient(np.sin), X).result()
        assert "jacobian" in caught.value.remedy
        found = pool.submit(difflab.truth, np.tanh, 20.0).result()
    assert found.midpoint == difflab.truth(np.tanh, 20.0).midpoint


# -- graphs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("f", "x"), [(rosenbrock, X), (branching, X), (of_tree, TREE)])
def test_graphs(f: Any, x: Any, way: Callable[[Any], Any]) -> None:
    graph = difflab.trace(f, x)
    other = way(graph)
    assert str(other.check()) == str(graph)
    assert [node.line for node in other.operations] == [node.line for node in graph.operations]
    arrays = read_arguments((x,), {})[1]
    np.testing.assert_array_equal(other(*arrays), graph(*arrays))
    assert other.signature == graph.signature
    assert [guard.value for guard in other.guards] == [guard.value for guard in graph.guards]


def test_a_graph_with_data() -> None:
    data = np.arange(5000.0)
    graph = again(difflab.trace(lambda x: np.sum(x * data), np.zeros(5000)))
    assert graph(np.ones(5000)) == np.sum(data)


def test_graphs_of_any_depth() -> None:
    def deep(x: Any) -> Any:
        for _ in range(5_000):
            x = np.sin(x) + 0.5
        return x

    graph = difflab.trace(deep, 0.3)
    for way in (again, copy.copy):
        assert way(graph)(0.3) == graph(0.3)


def test_rows_are_pickled_by_name() -> None:
    for row in (*TABLE.values(), INPUT, CONSTANT):
        assert all(way(row) is row for way in WAYS)


def test_a_traced_value_is_refused_still() -> None:
    with pytest.raises(TraceError, match="cannot be pickled"):
        difflab.trace(pickling, X)
    assert difflab.check(pickling, X, gradient=lambda x: 2.0 * np.eye(3)).verdict == "correct"


# -- results ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "make",
    [
        lambda: difflab.check(square, X, gradient=twice),
        lambda: difflab.check(rosenbrock, X),
        lambda: difflab.check(opaque, X, gradient=twice),
        lambda: difflab.check(np.abs, 0.0, gradient=np.sign),
        lambda: difflab.check(square, X, gradient=np.sin),
        lambda: difflab.truth(rosenbrock, X),
        lambda: difflab.truth(rosenbrock, X, order=2),
        lambda: difflab.truth(of_tree, TREE),
        lambda: difflab.truth(np.log, 0.0),
        lambda: difflab.estimate(opaque, X),
        lambda: difflab.estimate(abs, 0.0),
        lambda: difflab.explain(rosenbrock, X),
        lambda: difflab.explain(cancelling, np.array([1e-6, 1.0])),
    ],
)
def test_results(make: Callable[[], Any], way: Callable[[Any], Any]) -> None:
    result = make()
    other = way(result)
    assert type(other) is type(result)
    assert str(other) == str(result)
    if hasattr(result, "midpoint"):
        assert repr(other.midpoint) == repr(result.midpoint)
        assert repr(other.ulps(result.midpoint)) == repr(result.ulps(result.midpoint))
        for mine, its in zip(other.balls, result.balls, strict=True):
            for a, b in zip(mine.flat, its.flat, strict=True):
                assert str(a) == "nan" or a.contains(b)
    if hasattr(result, "table"):
        assert other.table.equals(result.table)


def test_comparisons() -> None:
    result = difflab.compare(square, X, methods=["reverse", "central_difference"])
    other = again(result)
    assert str(other) == str(result)


# -- errors ----------------------------------------------------------------------------------------


def _modules() -> Iterator[Any]:
    for found in pkgutil.walk_packages(difflab.__path__, "difflab."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def _kinds(kind: type[DifflabError]) -> Iterator[type[DifflabError]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from _kinds(narrower)


def test_errors() -> None:
    modules = list(_modules())
    kinds = sorted(set(_kinds(DifflabError)), key=lambda kind: kind.__name__)
    assert len(kinds) > 12 and len(modules) > 90
    for kind in kinds:
        error: DifflabError
        if kind is UnknownNameError:
            error = UnknownNameError("method", "revers", ["reverse", "forward"])
        else:
            error = kind("what", "remedy", Line("model.py", 12))
        for way in WAYS:
            other = way(error)
            assert type(other) is kind
            assert (str(other), other.what, other.remedy, other.line, other.args) == (
                str(error), error.what, error.remedy, error.line, error.args,
            )  # fmt: skip
