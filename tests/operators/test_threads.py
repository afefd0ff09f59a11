"""Laws: what is kept is bounded, and eight threads find what one finds."""

from __future__ import annotations

import contextlib
import gc
import math
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import flint
import numpy as np
import pytest

import difflab
from difflab.errors import TraceError
from difflab.ir import expr, tree
from difflab.networks import Network
from difflab.operators.programs import SIGNATURES, VARIANTS

THREADS = 8


@pytest.fixture(autouse=True)
def _often() -> Iterator[None]:
    """Threads take turns in the middle of whatever is not atomic."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def branching(x: Any) -> Any:
    if x[0] > 0.5:
        return np.sum(np.where(x > 0, np.sin(x), x**2))
    return np.sum(x**3) * 2.0


def stepped(x: Any, step: int) -> Any:
    return np.sum(x**2) * step


class Model:
    def __init__(self, w: Any) -> None:
        self.w = w

    def loss(self, x: Any) -> Any:
        return np.sum(np.tanh(x * self.w))


def of_model(model: Model, x: Any) -> Any:
    return model.loss(x)


# One of each, for all threads.
OF_SHAPES = difflab.gradient(branching)
OF_STEPS = difflab.gradient(stepped)
OF_MODELS = difflab.gradient(of_model, argnums=1)
BY_DIFFERENCES = difflab.gradient(branching, method="central_difference")


def shapes(i: int) -> Any:
    rng = np.random.default_rng(i)
    return [OF_SHAPES(rng.normal(size=rng.integers(1, 2 * SIGNATURES))) for _ in range(12)]


def steps(i: int) -> Any:
    return [OF_STEPS(np.arange(3.0) + i, (7 * i + k) % (2 * SIGNATURES)) for k in range(20)]


def models(i: int) -> Any:
    rng, found = np.random.default_rng(i), []
    for k in range(8):
        model = Model(rng.normal(size=4))
        found.append(OF_MODELS(model, np.ones(4)))
        model.w[:] = k
        found.append(OF_MODELS(model, np.ones(4)))
        model.w = float(k)
        found.append(OF_MODELS(model, np.ones(4)))
    return found


def bound(i: int) -> Any:
    model, found = Model(1.0), []
    operator = difflab.gradient(model.loss)
    for k in range(8):
        model.w = np.full(3, i + k / 8)
        found.append(operator(np.ones(3)))
    return found


def differences(i: int) -> Any:
    return BY_DIFFERENCES(np.linspace(i / 8, 1.0, i % 5 + 2))


def traced(i: int) -> Any:
    """Creation, assignment and math: what needs stand-ins."""

    def f(x: Any) -> Any:
        y = np.zeros(len(x))
        for k in range(len(x)):
            y[k] = math.sin(x[k]) * k + np.array([x[0], 1.0]).sum() + max(x[k], 0.3)
        return np.sum(y * np.linspace(0.0, 1.0, len(x)))

    x = np.linspace(0.0, 1.0, i % 7 + 2)
    return str(difflab.trace(f, x)), difflab.gradient(f)(x), difflab.hessian(f)(x)


def products(i: int) -> Any:
    x = np.linspace(0.1, 1.0, i + 1)
    pushed = difflab.jvp(np.sin, (x,), (x,))
    return difflab.vjp(lambda x: np.sin(x * i), x)[1](x), pushed, difflab.hvp(branching, (x,), (x,))


def methods(i: int) -> Any:
    return [
        difflab.gradient(lambda x: np.sum(np.sin(x * i) * x), method=method)(np.ones(3))
        for method in ("forward", "symbolic", "richardson")
    ]


X = np.linspace(0.1, 1.0, 3)


def checked(i: int) -> Any:
    return str(difflab.check(lambda x: np.sum(np.sin(x) * i), X))


def compared(i: int) -> Any:
    table = difflab.compare(lambda x: np.sum(np.tanh(x) * i), X).table
    return str(table[[name for name in table if not name.startswith("seconds")]])


def enclosed(i: int) -> Any:
    found = []
    for k in range(6):
        truth = difflab.truth(lambda x, k=k: np.sum(np.exp(x) / np.sqrt(x + i + k)), X)
        found += [
            truth.midpoint,
            truth.ulps(truth.midpoint),
            [ball.rad() < 1e-30 for ball in truth.balls[0].flat],
        ]
    return found


def explained(i: int) -> Any:
    return str(difflab.explain(lambda x: np.sum((1 - np.cos(x)) * i), X))


def fitted(i: int) -> Any:
    net, rng = Network(3), np.random.default_rng(i)
    net.fc(4)
    net.fc(2, activation="softmax")
    rows = rng.normal(size=(20, 3))
    net.fit(rows, (rows[:, 0] > 0).astype(int), updates=10, seed=i)
    return [own["W"] for own in net.parameters]


@pytest.mark.parametrize(
    "work",
    [shapes, steps, models, bound, differences, traced, products, methods, checked, compared,
     enclosed, explained, fitted],
)  # fmt: skip
def test_threads_find_what_one_finds(work: Callable[[int], Any]) -> None:
    expected = [repr(work(i)) for i in range(2 * THREADS)]
    with ThreadPoolExecutor(THREADS) as pool:
        assert [repr(one) for one in pool.map(work, range(2 * THREADS))] == expected
    assert flint.ctx.prec == 53  # the one of the process is as it was


CAPTURED = np.ones(3)


def reading(x: Any) -> Any:
    return np.sum(x * CAPTURED)


def test_a_capture_that_one_thread_replaces_is_the_old_or_the_new_one() -> None:
    """Or, where it is replaced while the function is being traced, a refusal."""
    global CAPTURED
    operator = difflab.gradient(reading)
    allowed = {np.full(3, float(k)).tobytes() for k in range(40)}

    def read(_: int) -> set[bytes]:
        found = set()
        for _ in range(60):
            with contextlib.suppress(TraceError):
                found.add(operator(np.ones(3)).tobytes())
        return found

    with ThreadPoolExecutor(THREADS) as pool:
        found = pool.map(read, range(THREADS))
        for k in range(40):
            CAPTURED = np.full(3, float(k))
        for one in found:
            assert one <= allowed
    np.testing.assert_array_equal(operator(np.ones(3)), CAPTURED)


# -- bounds ----------------------------------------------------------------------------------------


def of_many(*xs: Any) -> Any:
    return sum(np.sum(x) for x in xs)


def changing(i: int) -> Any:
    return Model(np.full(i % 9 + 1, float(i))).loss


MADE: dict[str, Callable[[Any, int], Any]] = {
    "shapes": lambda g, i: g(np.ones(i + 1)),
    "shapes of two axes": lambda g, i: g(np.ones((i % 30 + 1, i // 30 + 1))),
    "steps": lambda g, i: OF_STEPS(np.ones(3), i),
    "branches": lambda g, i: BRANCHES(np.random.default_rng(i).normal(size=12)),
    "functions": lambda g, i: difflab.gradient(changing(i))(np.ones(i % 9 + 1)),
    "products": lambda g, i: difflab.jvp(changing(i), (np.ones(1),), (np.ones(1),)),
    "sources": lambda g, i: difflab.gradient(eval(f"lambda x: x * {i}.0", {}))(1.0),
    "models": lambda g, i: OF_MODELS(Model(np.full(i % 99 + 1, 2.0)), np.ones(i % 99 + 1)),
}


def many_ways(x: Any) -> Any:
    total = 0.0
    for k in range(len(x)):
        total = total + (x[k] ** 2 if x[k] > 0 else x[k])
    return total


BRANCHES = difflab.gradient(many_ways)


@pytest.mark.parametrize("kind", MADE)
def test_what_is_kept_is_bounded(kind: str) -> None:
    """Once there is as much as is kept, three times as many calls keep no more."""
    operator, make = difflab.gradient(lambda x: np.sum(np.sin(x) * x)), MADE[kind]
    kept = []
    for part in range(4):
        for i in range(part * SIGNATURES, (part + 1) * SIGNATURES):
            make(operator, i)
        gc.collect()
        if part == 0:  # what comes from now on takes the place of what is not counted
            tracemalloc.start()
        else:
            kept.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert len(operator.programs) <= SIGNATURES
    assert kept[-1] < 1.5 * kept[0] + 1.5e6  # other threads' memory counts, too


def test_tables_of_signatures_are_bounded() -> None:
    for i in range(2 * tree.SIGNATURES):
        tree.read_arguments((np.empty(i),), {})
    for count in range(0, 2000, 40):
        tree.read_arguments((np.empty(1),) * count, {})
    assert len(tree._plain) <= tree.SIGNATURES and len(tree._positional) <= tree.FEW + 1
    assert max(map(len, filter(None, tree._plain)), default=0) <= 2 * tree.FEW
    before = len(expr._interned)
    for i in range(50):
        difflab.trace(lambda x, i=i: np.sin(x * i), 1.0)
    gc.collect()
    assert len(expr._interned) <= before + 8


def test_a_shape_that_is_used_stays() -> None:
    operator = difflab.gradient(lambda x: np.sum(x**2))
    hot = np.ones(1000)
    operator(hot)
    ((kept,),) = operator.programs.by_signature.values()
    for i in range(2 * SIGNATURES):
        operator(np.ones(i + 1))
        operator(hot)
    assert any(kept in programs for programs in operator.programs.by_signature.values())


def test_variants_of_a_signature_are_bounded() -> None:
    for i in range(2 * VARIANTS):
        BRANCHES(np.random.default_rng(i).normal(size=12))
    (variants,) = [one for s, one in BRANCHES.programs.by_signature.items() if s.leaves[0].shape]  # type: ignore[union-attr]
    assert len(variants) <= VARIANTS
