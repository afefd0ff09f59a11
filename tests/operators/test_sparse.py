"""Sparse Jacobians and Hessians: they are the dense ones, their structure misses nothing, and what
is not finite stays where it is.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

import difflab
from difflab import hessian, jacobian, sparse_hessian, sparse_jacobian
from difflab.errors import (
    ArgumentError,
    BudgetError,
    MissingPackageError,
    ShapeError,
    UnsupportedError,
)
from difflab.methods.compressed import coloured
from difflab.readings.sparsity import Pattern
from difflab.table.special import softmax

NP: Any = np
RNG = np.random.default_rng(3)
BAND = np.diag(np.full(6, 2.0)) - np.eye(6, k=1) - np.eye(6, k=-1)


def banded(x: Any) -> Any:
    return np.sin(x[1:-1]) * x[2:] - x[:-2] ** 2


def rolled(x: Any) -> Any:
    return np.sin(x) * np.roll(x, -1) - np.roll(x, 1) ** 2


def arrow(x: Any) -> Any:
    return np.concatenate([np.reshape(np.sum(x**2), (1,)), x[0] * x[1:] ** 3])


def laplace(u: Any) -> Any:
    p = np.pad(u, 1)
    return p[2:, 1:-1] + p[:-2, 1:-1] + p[1:-1, 2:] + p[1:-1, :-2] - 4 * u + np.exp(u)


def scattered(x: Any) -> Any:
    total = NP.zeros_like(x)
    np.add.at(total, np.array([0, 2, 2, 5]), x[:4] * x[2:])
    return total


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "banded": banded,
    "rolled": rolled,
    "differences": lambda x: np.diff(x**2, 2),
    "arrow": arrow,
    "laplace": lambda x: laplace(np.reshape(x, (2, 3))),
    "gather": lambda x: x[np.array([0, 5, 5, 2])] ** 2 * x[np.array([1, 1, 0, 4])],
    "scatter": scattered,
    "fixed matrix": lambda x: BAND @ x**2,
    "matrix on the right": lambda x: np.reshape(x, (2, 3)) @ BAND[:3, :4],
    "einsum with zeros": lambda x: np.einsum("ij,j,j->i", BAND, x, x),
    "einsum of two": lambda x: np.einsum("ij,kj->ik", BAND[:, :3], np.reshape(x, (2, 3))),
    "square of a matrix": lambda x: np.reshape(x, (2, 3)).T @ np.reshape(x, (2, 3)),
    "stack of products": lambda x: np.reshape(x, (2, 1, 3)) @ np.reshape(x, (2, 3, 1)),
    "sum": lambda x: np.sum(np.sin(x)),
    "sum by rows": lambda x: np.sum(np.reshape(x, (2, 3)) ** 2, axis=0),
    "cumulated": lambda x: np.cumsum(np.reshape(x, (2, 3)) ** 2, axis=1),
    "largest by rows": lambda x: np.max(np.reshape(x, (2, 3)), axis=1),
    "softmax by columns": lambda x: softmax(np.reshape(x, (2, 3)), axis=0),
    "sorted": lambda x: np.sort(x) ** 2,
    "where": lambda x: np.where(x > 0.2, x**2, x[::-1]),
    "branch": lambda x: x[:2] * x[2:4] if x[0] > x[1] else x[4:],
    "rounded": lambda x: x * np.floor(3 * x[::-1]),
    "broadcast": lambda x: x[:2, None] * x[None, 2:],
    "solve": lambda x: np.linalg.solve(BAND[:3, :3] + np.diag(x[:3] ** 2), x[3:]),
    "inverses": lambda x: np.linalg.det(
        np.reshape(np.concatenate([x, x**2]), (3, 2, 2)) + np.eye(2)
    ),
    "constant": lambda x: np.ones(3) + 0.0 * x[0],
    "one by one": lambda x: NP.stack([x[i] * x[i + 1] for i in range(5)]),
    "nothing": lambda x: x[:0],
}


@pytest.mark.parametrize("method", ["forward", "reverse", None])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_it_is_the_dense_jacobian(name: str, method: str | None) -> None:
    f = FUNCTIONS[name]
    operator = sparse_jacobian(f, method=method)
    for _ in range(2):
        x = RNG.normal(size=6)
        found, y = operator(x), np.asarray(f(x))
        assert isinstance(found, csr_array) and found.shape == (y.size, 6)
        dense = np.reshape(jacobian(f)(x), (y.size, 6))
        assert np.allclose(found.toarray(), dense, rtol=1e-12, atol=1e-12)
        assert found.has_canonical_format and found.dtype == np.float64


def test_values_known_by_hand() -> None:
    a, b, c, d = x = np.array([0.3, -1.2, 0.7, 2.0])
    expected = [
        [-2 * a, np.cos(b) * c, np.sin(b), 0.0],
        [0.0, -2 * b, np.cos(c) * d, np.sin(c)],
    ]
    assert np.allclose(sparse_jacobian(banded)(x).toarray(), expected, rtol=1e-15, atol=0.0)
    expected = [[2 * a, 2 * b, 2 * c, 2 * d], [b**3, 3 * a * b**2, 0, 0],
                [c**3, 0, 3 * a * c**2, 0], [d**3, 0, 0, 3 * a * d**2]]  # fmt: skip
    assert np.allclose(sparse_jacobian(arrow)(x).toarray(), expected, rtol=1e-15, atol=0.0)


@pytest.mark.parametrize(
    ("name", "entries", "colours"),
    [
        ("banded", 12, 3), ("rolled", 18, 3), ("differences", 12, 3), ("laplace", 20, 5),
        ("gather", 8, 3), ("fixed matrix", 16, 3), ("sum", 6, 1), ("sum by rows", 6, 1),
        ("where", 12, 2), ("softmax by columns", 12, 2), ("rounded", 6, 1), ("nothing", 0, 1),
    ],
)  # fmt: skip
def test_structure_and_colours(name: str, entries: int, colours: int) -> None:
    operator, x = sparse_jacobian(FUNCTIONS[name]), RNG.normal(size=6)
    assert operator(x).nnz == entries
    assert operator.prepare(x).counts["colours"] == colours


def test_the_direction_with_fewer_sweeps_is_taken() -> None:
    def full_row(x: Any) -> Any:
        return np.concatenate([np.diff(x) ** 2, np.reshape(np.sum(x**3), (1,))])

    x = RNG.normal(size=40)
    counts = {m: sparse_jacobian(full_row, method=m).prepare(x).counts["colours"]
              for m in ("forward", "reverse", None)}  # fmt: skip
    assert "structure" in sparse_jacobian(full_row).prepare(x).seconds
    assert counts["forward"] == 40 and counts[None] == counts["reverse"] <= 4
    assert np.allclose(sparse_jacobian(full_row)(x).toarray(), jacobian(full_row)(x))


def test_a_full_row_and_a_full_column_are_found_both_ways() -> None:
    x = RNG.normal(size=20_000)
    operator = sparse_jacobian(arrow)
    assert operator.prepare(x).counts["colours"] == 3
    found = operator(x)
    assert np.allclose(found[0].toarray(), 2 * x) and found.nnz == 3 * x.size - 2
    assert np.allclose(found[1:, 0].toarray(), x[1:] ** 3)
    assert np.allclose(found.diagonal()[1:], 3 * x[0] * x[1:] ** 2)
    assert np.allclose(operator(x[:30]).toarray(), jacobian(arrow)(x[:30]))
    turned = sparse_jacobian(lambda x: np.concatenate([x[:-1] ** 2 * x[-1], x[-1:] * np.sum(x)]))
    assert turned.prepare(x).counts["colours"] == 3
    assert np.allclose(turned(x[:9]).toarray(), jacobian(turned.f)(x[:9]))


@pytest.mark.parametrize("seed", range(20))
def test_colours_share_no_row(seed: int) -> None:
    rng = np.random.default_rng(seed)
    dense = rng.random((rng.integers(1, 30), rng.integers(1, 30))) < rng.choice([0.05, 0.2, 0.6])
    rows, columns = np.nonzero(dense)
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(dense)))])
    colours = coloured(Pattern(starts, columns, dense.shape[1]))
    for row in dense:
        assert len({*colours[row]}) == row.sum()


# -- Hessians --------------------------------------------------------------------------------------


def rosenbrock(x: Any) -> Any:
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


SCALARS: dict[str, Callable[[Any], Any]] = {
    "rosenbrock": rosenbrock,
    "separate": lambda x: np.sum(np.exp(x) * x),
    "quadratic": lambda x: x @ (BAND @ x),
    "plaquettes": lambda x: np.sum(np.cos(x[:-2] * x[1:-1]) * x[2:]),
    "dense": lambda x: np.sum(x) ** 3,
    "linear": lambda x: np.sum(x),
    "gathered": lambda x: np.sum(x[np.array([0, 0, 3])] * x[np.array([5, 4, 4])] ** 2),
    "grid": lambda x: np.sum(laplace(np.reshape(x, (2, 3))) ** 2),
    "branch": lambda x: np.sum(np.where(x > 0, x**3, x**2)),
    "determinant": lambda x: np.linalg.det(np.reshape(x[:4], (2, 2))) + x[5] ** 2,
}


@pytest.mark.parametrize("method", ["reverse", "forward"])
@pytest.mark.parametrize("name", SCALARS)
def test_it_is_the_dense_hessian(name: str, method: str) -> None:
    f, x = SCALARS[name], RNG.normal(size=6)
    found = sparse_hessian(f, method=method)(x)
    assert isinstance(found, csr_array)
    assert np.allclose(found.toarray(), hessian(f)(x), rtol=1e-12, atol=1e-12)


def test_a_hessian_known_by_hand() -> None:
    x = RNG.normal(size=1000)
    diagonal = np.concatenate([1200 * x[:-1] ** 2 - 400 * x[1:] + 2, [0.0]])
    diagonal[1:] += 200
    found = sparse_hessian(rosenbrock)(x)
    assert found.nnz == 2998
    assert np.allclose(found.diagonal(), diagonal, rtol=1e-13)
    assert np.allclose(found.diagonal(1), -400 * x[:-1], rtol=1e-13)
    assert np.allclose(found.diagonal(-1), -400 * x[:-1], rtol=1e-13)
    assert sparse_hessian(rosenbrock).prepare(x).counts["colours"] == 3


def test_a_hessian_with_a_full_row_takes_few_sweeps() -> None:
    def star(x: Any) -> Any:
        return np.sum(x[0] ** 2 * x[1:] ** 3)

    x = RNG.normal(size=5000)
    operator = sparse_hessian(star)
    assert operator.prepare(x).counts["colours"] == 3
    found = operator(x)
    assert np.allclose(found[0, 1:].toarray(), 6 * x[0] * x[1:] ** 2)
    assert np.allclose(found[1:, 0].toarray(), 6 * x[0] * x[1:] ** 2)
    assert np.allclose(found.diagonal()[1:], 6 * x[0] ** 2 * x[1:])


# -- what is not finite ----------------------------------------------------------------------------


@pytest.mark.parametrize("k", range(8))
def test_an_infinite_partial_stays_where_it_is(k: int) -> None:
    def f(x: Any) -> Any:
        return np.sin(x[1:-1]) * np.sqrt(x[2:]) - x[:-2] ** 2

    x = np.linspace(0.5, 2.0, 8)
    x[k] = 0.0
    expected = np.zeros((6, 8))
    for i in range(6):
        expected[i, i] = -2 * x[i]
        expected[i, i + 1] = np.cos(x[i + 1]) * np.sqrt(x[i + 2])
        expected[i, i + 2] = np.sin(x[i + 1]) * 0.5 / np.sqrt(x[i + 2]) if i + 2 != k else np.inf
    for method in ("forward", "reverse"):
        found = sparse_jacobian(f, method=method)(x).toarray()
        assert np.allclose(found, expected, rtol=1e-13, atol=0.0)


def test_nan_stays_in_its_column() -> None:
    x = np.linspace(0.5, 2.0, 9)
    x[4] = np.nan
    found = sparse_jacobian(lambda x: np.sin(x[:-1] * 2) + x[1:] ** 2)(x).toarray()
    assert np.argwhere(np.isnan(found)).tolist() == [[3, 4], [4, 4]]


def test_a_branch_not_taken_counts_for_nothing() -> None:
    x = np.array([0.0, 4.0, -1.0, 9.0])

    def f(x: Any) -> Any:
        return np.where(x[1:] > 0, np.sqrt(x[1:]), 0.0) * x[:-1]

    for method in ("forward", "reverse"):
        found = sparse_jacobian(f, method=method)(x).toarray()
        expected = [[2.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 3.0, -1.0 / 6.0]]
        assert np.allclose(found, expected)


@pytest.mark.parametrize("method", ["forward", "reverse"])
def test_a_fixed_zero_is_zero_whatever_it_meets(method: str) -> None:
    x = np.array([4.0, 1.0, 0.0, 0.25, 4.0, 9.0])
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = np.where(BAND == 0.0, 0.0, BAND * (0.5 / np.sqrt(x)))
    for f in (
        lambda x: BAND @ np.sqrt(x),
        lambda x: np.sqrt(x) @ BAND,
        lambda x: np.einsum("ij,j->i", BAND, np.sqrt(x)),
        lambda x: np.reshape(BAND @ np.reshape(np.sqrt(x), (6, 1)), (6,)) + 0.0,
    ):
        found = sparse_jacobian(f, method=method)(x)
        assert found.nnz == 16
        assert np.allclose(found.toarray(), expected, rtol=1e-14, atol=0.0)


# -- what an operator does -------------------------------------------------------------------------


def test_shapes_and_arguments() -> None:
    assert sparse_jacobian(np.sin)(0.0).toarray().tolist() == [[1.0]]
    assert sparse_hessian(lambda x: x**3)(2.0).toarray().tolist() == [[12.0]]
    assert sparse_jacobian(np.sin)(np.ones((1, 1))).shape == (1, 1)
    assert sparse_jacobian(np.sin)(np.ones(0)).shape == (0, 0)
    assert sparse_jacobian(lambda x, y: x * y, argnums=1)(np.arange(3.0), 2.0).shape == (3, 1)
    single = sparse_jacobian(lambda x: x[1:] * x[:-1])(np.ones(3, np.float32))
    assert single.dtype == np.float32
    assert sparse_jacobian(lambda x: x > 0)(np.ones(3)).nnz == 0
    assert np.array_equal(sparse_jacobian(lambda d: d["a"])({"a": np.ones(3)}).toarray(), np.eye(3))


def test_programs_are_kept_and_follow_what_f_reads() -> None:
    scale = np.array([1.0, 2.0, 3.0])
    operator = sparse_jacobian(lambda x: scale * x**2)
    x = np.ones(3)
    assert operator(x).diagonal().tolist() == [2.0, 4.0, 6.0]
    first = operator(x)
    first.data[:] = 0.0
    first.indices[:] = 0
    scale[0] = 5.0
    assert operator(x).diagonal().tolist() == [10.0, 4.0, 6.0]
    assert len(operator.programs) == 1


@pytest.mark.parametrize("n", [3, 200, 600])
def test_a_matrix_that_changes_is_no_structure(n: int) -> None:
    """Zeros of an array that f reads, and that the user changes, are forgotten with it."""
    matrix = np.diag(np.arange(1.0, n + 1))
    operator, x = sparse_jacobian(lambda x: matrix @ x), np.ones(n)
    assert operator(x).nnz == n
    matrix[0, 2] = 7.0
    assert operator(x).nnz == n + 1
    assert np.array_equal(operator(x).toarray(), matrix)


def test_branches_have_structures_of_their_own() -> None:
    operator = sparse_jacobian(lambda x: x[:2] ** 2 if x[0] > 0 else x[1:] * x[:-1])
    assert operator(np.array([1.0, 2.0, 3.0])).nnz == 2
    assert operator(np.array([-1.0, 2.0, 3.0])).nnz == 4
    assert operator(np.array([1.0, 2.0, 3.0])).nnz == 2


def test_errors_say_what_to_do() -> None:
    x = np.ones(3)
    for method in ("central_difference", "complex_step", "symbolic", "richardson"):
        with pytest.raises(ArgumentError, match="forward"):
            sparse_jacobian(np.sin, method=method)
        with pytest.raises(ArgumentError, match="forward"):
            sparse_hessian(np.sum, method=method)
    with pytest.raises(ShapeError, match="concatenate"):
        sparse_jacobian(lambda x: (x, x))(x)
    with pytest.raises(ShapeError, match="concatenate"):
        sparse_jacobian(lambda x, y: x * y, argnums=(0, 1))(x, x)
    with pytest.raises(ShapeError, match="scalar"):
        sparse_hessian(np.sin)(x)
    with pytest.raises(ArgumentError, match="astype"):
        sparse_jacobian(np.sin)(np.arange(3))
    with pytest.raises(UnsupportedError, match="jacobian"):
        difflab.gradient(lambda x: sparse_jacobian(np.sin)(x))(x)
    with pytest.raises(BudgetError, match="not sparse"):
        sparse_jacobian(lambda x: x / np.sum(x))(np.ones(20_000))
    with pytest.raises(BudgetError, match="full"):
        sparse_jacobian(arrow, method="forward")(np.ones(20_000))


def test_scipy_is_asked_for_by_name() -> None:
    """Without SciPy the call says what to install; difflab itself is imported without it."""
    code = (
        "import sys, numpy, difflab\n"
        "assert 'scipy' not in sys.modules\n"
        "sys.modules['scipy.sparse'] = None\n"
        "try:\n"
        "    difflab.sparse_jacobian(numpy.sin)(numpy.ones(3))\n"
        "except difflab.errors.MissingPackageError as error:\n"
        "    print(error)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "difflab[sparse]"' in found.stdout
    assert issubclass(MissingPackageError, ImportError)
