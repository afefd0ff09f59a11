"""Law: what cannot be traced is refused with what happened, the user's own line, and a remedy."""

from __future__ import annotations

import array
import math
from typing import Any

import numpy as np
import pytest

from difflab.errors import DifflabError
from difflab.ir.protocols import REMEDIES, SPELLINGS
from difflab.tracing.trace import trace

X = np.array([0.7, -1.3, 2.1])
A = np.arange(6.0).reshape(2, 3) + np.eye(2, 3)


def _assign_captured(x: Any) -> Any:
    A[0, 0] = x[0]  # here
    return x


def _add_captured(x: Any) -> Any:
    y = A[0]
    y += x  # here
    return y


def _out(x: Any) -> Any:
    np.exp(x, out=A[0])  # here
    return x


def _into_draws(x: Any) -> Any:
    y = np.random.default_rng(0).normal(size=3)
    y[0] = x[0]  # here
    return y


def _at_draws(x: Any) -> Any:
    y = np.random.default_rng(0).normal(size=3)
    np.add.at(y, [0], x[:1])  # here
    return y


def _ambiguous(x: Any) -> Any:
    return x if x > 0 else -x  # here


# what the function does: the function, words of WHAT, words of the REMEDY
CASES: dict[str, tuple[Any, str, str]] = {
    "math.frexp": (lambda x: math.frexp(x[0]), "math.frexp", "difflab primitives"),  # here
    "math.remainder": (lambda x: math.remainder(x[0], 2), "math.remainder", "np.round"),  # here
    "array.array": (lambda x: array.array("d", [x[0]]), "plain float", "compiled code"),  # here
    "bytes": (lambda x: x.tobytes(), "array.tobytes", "NumPy functions"),  # here
    "np.frombuffer": (lambda x: np.frombuffer(x), "np.frombuffer", "primitives"),  # here
    "np.nditer": (lambda x: [*np.nditer(x)], "a plain array", "compiled code"),  # here
    "objects": (lambda x: np.array([x[0], None]), "array of objects", "in a list"),  # here
    "assignment": (_assign_captured, "into A, which existed", "np.array(A)"),
    "captured += x": (_add_captured, "which existed before", "np.array("),
    "out=": (_out, "which existed before", "np.array("),
    "assignment to draws": (_into_draws, "in-place assignment", "a = np.array(a)"),
    "ufunc.at of draws": (_at_draws, "in-place assignment", "a = np.array(a)"),
    "x.resize": (lambda x: x.resize(4), "array.resize", "np.reshape"),  # here
    "x.view": (lambda x: x.view(int), "array.view", "x.astype"),  # here
    "x.is_integer": (lambda x: x[0].is_integer(), "is_integer", "NumPy functions"),  # here
    "np.linalg.eig": (lambda x: np.linalg.eig(x[None]), "np.linalg.eig", "np.linalg.eigh"),  # here
    "np.setdiff1d": (lambda x: np.setdiff1d(x, x), "np.setdiff1d", "np.any"),  # here
    "np.fft.hfft": (lambda x: np.fft.hfft(x), "np.fft.hfft", "np.fft.irfft"),  # here
    "np.fft.ihfft": (lambda x: np.fft.ihfft(x), "np.fft.ihfft", "np.fft.rfft"),  # here
    "an option": (lambda x: np.sum(x, initial=1.0), "np.sum with initial=", "leave out"),  # here
    "where=": (lambda x: np.add(x, x, where=x > 0), "np.add with where=", "np.where"),  # here
    "a method's option": (lambda x: x.sum(where=x > 0), "np.sum with where=", "leave out"),  # here
    "np.add.reduceat": (lambda x: np.add.reduceat(x, [0, 1]), "np.add.reduceat", "spell"),  # here
    "order": (lambda x: x * 1j < 2, "np.less of complex values", "np.real(z)"),  # here
    "sort": (lambda x: np.sort(x * 1j), "np.sort of complex values", "np.abs(z)"),  # here
    "max": (lambda x: np.max(np.array([1j, 2, 3]) * x), "np.max of complex", "np.abs(z)"),  # here
    "rfft of complex": (lambda x: np.fft.rfft(x * 1j), "np.fft.rfft", "np.fft.fft"),  # here
    "astype(float)": (lambda x: (x * 1j).astype(float), "complex values", "np.real(z)"),  # here
    "object array": (lambda x: np.array([1, 2, 3], object) * x, "object", "float64"),  # here
    "the truth of an array": (_ambiguous, "truth of an array", "np.any"),
    "shapes": (lambda x: x + np.ones(4), "(3,) and (4,)", "reshape"),  # here
    "matmul": (lambda x: np.ones((2, 2)) @ x, "(2, 2) and (3,)", "transpose"),  # here
    "bits": (lambda x: np.argsort(x) & 1, "bits of integers", "outside"),  # here
    "a mask of one": (lambda x: x[True], "truth value", "np.where"),  # here
    "a float as index": (lambda x: x[1.0], "not an integer", "integers"),  # here
}


@pytest.mark.parametrize(("f", "what", "remedy"), CASES.values(), ids=CASES.keys())
def test_refused(f: Any, what: str, remedy: str) -> None:
    with pytest.raises(DifflabError) as caught:
        trace(f, X)
    error = caught.value
    assert what in error.what
    assert remedy in error.remedy
    assert str(error).endswith(f"remedy: {error.remedy}")
    assert error.line is not None
    assert error.line.file == __file__
    assert "# here" in error.line.text
    assert f"at test_errors.py:{error.line.number}: {error.line.text}" in str(error)


def _global_draw(x: Any) -> Any:
    return x * np.random.normal()  # here  # noqa: NPY002


def _fresh_generator(x: Any) -> Any:
    return x + np.random.default_rng().normal(size=3)  # here


def _only_draws(x: Any) -> Any:
    return np.random.default_rng().normal(size=3)  # here


def _drawn_before(x: Any) -> Any:
    noise = np.random.default_rng().normal(size=3)
    return np.sin(x) * noise  # here


@pytest.mark.parametrize("f", [_global_draw, _fresh_generator, _drawn_before])
def test_random_numbers(f: Any) -> None:
    with pytest.raises(
        DifflabError, match=r"(?s)not pure.*at test_errors\.py.*random numbers"
    ) as caught:
        trace(f, X)
    assert caught.value.line is not None
    assert "# here" in caught.value.line.text


def test_random_output() -> None:
    with pytest.raises(DifflabError, match="not pure"):
        trace(_only_draws, X)


def test_seeded_numbers_are_pure() -> None:
    trace(lambda x: x + np.random.default_rng(0).normal(size=3), X)


@pytest.mark.parametrize(
    "argument", [X.astype(np.float16), X.astype(complex), X.astype(object), X.astype(str)]
)
def test_argument_dtype(argument: Any) -> None:
    with pytest.raises(DifflabError) as caught:
        trace(np.sin, argument)
    assert str(argument.dtype) in caught.value.what
    assert "float64" in caught.value.remedy
    assert "test_errors.py" in str(caught.value)


def _returns_nothing(x: Any) -> None:
    np.sin(x)


@pytest.mark.parametrize(("f", "name"), [(lambda x: "a", "str"), (_returns_nothing, "NoneType"),
                                         (lambda x: [x, "a"], "str")])  # fmt: skip
def test_what_is_returned(f: Any, name: str) -> None:
    with pytest.raises(DifflabError) as caught:
        trace(f, X)
    assert name in caught.value.what
    assert "return" in caught.value.remedy
    assert "test_errors.py" in str(caught.value)


def test_use_after_return() -> None:
    def f(x: Any) -> Any:
        raise KeyError(x)

    with pytest.raises(KeyError) as caught:
        trace(f, X)
    for use in (lambda x: bool(x[0] > 0), lambda x: float(x[0]), np.asarray):
        with pytest.raises(DifflabError, match="after its function returned"):
            use(caught.value.args[0])
    with pytest.raises(DifflabError, match="after its function returned"):
        trace(lambda x: x + caught.value.args[0], X)


def test_what_a_trace_leaves_behind_is_plain() -> None:
    kept: list[Any] = []
    trace(lambda x: kept.append(x) or x, X)
    assert [type(x) for x in kept] == [np.ndarray, np.ndarray]


def test_nothing_is_both_spelled_and_refused() -> None:
    assert [f for f in REMEDIES if callable(f) and f in SPELLINGS] == []


def test_refusals_have_reasons() -> None:
    """Every public NumPy function is spelled, has a remedy, or never sees a traced array."""
    refused = [f for f in REMEDIES if callable(f)]
    assert all(len(REMEDIES[f]) > 10 for f in refused)
    assert len(refused) > 40


def test_an_array_may_be_changed_after_its_use() -> None:
    def f(x: Any) -> Any:
        direction = np.zeros(3)
        total = 0.0
        for i in range(3):
            direction[i] = i + 1.0
            total = total + x @ direction
            direction[i] = 0.0
        return total

    graph = trace(f, X)
    assert float(graph(X)) == pytest.approx(float(f(X)), rel=1e-15)
