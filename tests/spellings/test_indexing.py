"""Law: x[index] of a traced array is NumPy's x[index], for every index; its maps are adjoint."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from difflab.engines import compile as compiled
from difflab.errors import DifflabError, OutOfBoundsError
from difflab.ir.expr import constant, evaluate
from difflab.readings.cotangents import pullback
from difflab.readings.tangents import pushforward
from difflab.table.identities import simplify
from difflab.tracing.trace import trace

X = np.random.default_rng(3).normal(size=(3, 4, 2))
ROWS = np.array([[2, 0], [-1, 1]])
ENTRIES: dict[str, tuple[Any, ...]] = {
    # by the axis that an entry stands on: what may stand there
    "slices": (slice(None), slice(1, None), slice(None, None, -1), slice(-1, 0, -2), slice(5, 9)),
    "integers": (0, -1, np.int64(1), np.array(1)),
    "arrays": ([1, 0], [-1], np.array([0, 1, 1, 0]), ROWS % 2, np.array([], int)),
}


def _law(f: Any, x: Any, linear: bool) -> None:
    """f on arrays and on traced values agree, in both engines, and its two maps are adjoint."""
    expected = np.asarray(f(x))
    graph = trace(f, x).check()
    for found in (
        evaluate(graph.outputs, {graph.inputs[0]: x})[0],
        compiled(graph)(x)[0],
        compiled(simplify(graph).check())(x)[0],
    ):
        np.testing.assert_array_equal(found, expected, strict=True)
    (out,), (node,) = graph.outputs, graph.inputs
    random = np.random.default_rng(0)
    v, w = random.integers(-4, 5, x.shape) + 0.0, random.integers(-4, 5, out.shape) + 0.0
    maps = (*pushforward([out], [node], [constant(v)]), *pullback([out], [constant(w)], [node]))
    jv, jtw = evaluate([made for made in maps if made is not None], {node: x})
    assert np.vdot(jv, w) == np.vdot(v, jtw)  # of integers: exactly
    if linear:
        np.testing.assert_array_equal(jv, f(v), strict=True)


def _fails_alike(f: Any, x: Any) -> bool:
    """Whether NumPy refuses; then tracing must, too, with an IndexError."""
    try:
        f(x)
    except IndexError:
        with pytest.raises(IndexError) as caught:
            trace(f, x)
        assert isinstance(caught.value, DifflabError)
        assert "test_indexing.py" in str(caught.value)
        return True
    return False


_axis = st.one_of(*[st.sampled_from(entries) for entries in ENTRIES.values()])
_entry = st.one_of(_axis, st.none(), st.just(Ellipsis))
_mask = st.builds(lambda seed: np.random.default_rng(seed).random((3, 4)) > 0.5, st.integers(0, 9))
_indices = st.one_of(
    st.lists(_entry, min_size=1, max_size=5).map(tuple),
    st.tuples(_mask, _entry),
    st.tuples(_entry, _mask),
    _axis,
    _mask,
    st.just(X > 0.3),
    st.just((slice(None), np.array([True, False, True, True]))),
    st.just((np.array([True, False, True]), [0, 1])),
)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(_indices)
def test_any_index(index: Any) -> None:
    def f(x: Any) -> Any:
        return x[index]

    if not _fails_alike(f, X):
        _law(f, X, linear=True)


@pytest.mark.parametrize("kinds", list(itertools.product("sia.n", repeat=3)), ids="".join)
def test_every_arrangement(kinds: tuple[str, ...]) -> None:
    """Slices, integers, arrays, ellipses and new axes in every order of three."""
    entries = {"s": slice(None, None, -1), "i": 1, "a": [0, 1], ".": Ellipsis, "n": None}
    index = tuple(entries[kind] for kind in kinds)

    def f(x: Any) -> Any:
        return x[index]

    if not _fails_alike(f, X):
        _law(f, X, linear=True)


TRACED = {
    "mask": lambda x: x[x > 0],
    "mask of rows": lambda x: x[x[:, 0, 0] > 0],
    "mask and slice": lambda x: x[x[:, :, 0] > 0, ::-1],
    "negated": lambda x: x[~(x > 0) & (x < 1)],
    "empty": lambda x: x[x > 99],
    "argsort": lambda x: x[np.argsort(x[:, 0, 0])],
    "argmax": lambda x: x[np.argmax(x[:, 1, 1])],
    "argmax between": lambda x: x[:, np.argmax(x[0, :, 1]), ::-1],
    "argmax and list": lambda x: x[np.argmax(x[:, 1, 1]), :, [1, 0, 1]],
    "list of argmax": lambda x: x[[np.argmax(x[:, 1, 1]), 0]],
    "slice to argmax": lambda x: x[: np.argmax(x[:, 1, 1]) + 1],
    "two of them": lambda x: x[np.argsort(x[:, 0, 0])[:, None], np.argsort(x[0, :, 0])[None, :2]],
    "nonzero": lambda x: x[np.nonzero(x > 0.5)],
    "where": lambda x: x[np.where(x[:, 0, 0] > 0)],
    "range": lambda x: x[range(2)] if isinstance(x, np.ndarray) else x[[0, 1]],
    "chained": lambda x: x[1:][..., 0][:, ::2].T[0],
    "same twice": lambda x: x[[0, 0, 1]] + x[[2, 0, 0]],
}


@pytest.mark.parametrize("f", TRACED.values(), ids=TRACED.keys())
def test_traced_index(f: Any) -> None:
    _law(f, X, linear=False)


def test_mask_is_a_guard() -> None:
    graph = trace(lambda x: x[x > 0].sum(), X)
    (guard,) = graph.guards
    np.testing.assert_array_equal(guard.value, X > 0)


@pytest.mark.parametrize(
    "index",
    [3, -4, (0, 4), (0, 0, 0, 0), [0, 3], [[-4]], (slice(None), [0, 9]), np.ones(4, bool),
     np.ones((3, 3), bool), ([0, 1], [0, 1, 2]), (..., ...), 1.0, [0.5], "a"],
    ids=str,
)  # fmt: skip
def test_out_of_bounds(index: Any) -> None:
    assert _fails_alike(lambda x: x[index], X)


def test_message() -> None:
    with pytest.raises(
        OutOfBoundsError, match=r"(?s)index 3 is out of bounds.*length 3.*test_index"
    ):
        trace(lambda x: x[3], X)
