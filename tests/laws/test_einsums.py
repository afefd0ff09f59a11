"""Einsums of any letters are NumPy's, and end as products of matrices with their derivatives."""

from __future__ import annotations

import numpy as np
import pytest

import difflab
from difflab.table.contractions import paired, pairs
from difflab.table.identities import simplify

MATRICES = {
    "bij,bjk->bik": [(5, 4, 3), (5, 3, 2)],
    "ij,jk->ki": [(4, 3), (3, 5)],
    "bij,bkj->bki": [(5, 4, 3), (5, 2, 3)],
    "ijk,kl->ijl": [(2, 3, 4), (4, 5)],
    "bhqd,bhkd->bhqk": [(2, 3, 5, 4), (2, 3, 6, 4)],
    "ij,ij->": [(3, 4), (3, 4)],
    "ij,jk,kl->il": [(9, 2), (2, 8), (8, 3)],
    "i,ij,j->": [(3,), (3, 4), (4,)],
}


def random_einsum(rng):
    """Subscripts of two to four operands, with operands."""
    letters = "abcde"[: rng.integers(1, 6)]
    words = [
        "".join(rng.permutation([x for x in letters if rng.random() < 0.6]).tolist())
        for _ in range(rng.integers(2, 5))
    ]
    once = [x for x in letters if sum(x in word for word in words) == 1]
    more = [x for x in letters if sum(x in word for word in words) > 1 and rng.random() < 0.5]
    lengths = {letter: int(rng.integers(1, 4)) for letter in letters}
    operands = [rng.normal(size=[lengths[x] for x in word]) for word in words]
    return f"{','.join(words)}->{''.join(rng.permutation(once + more).tolist())}", operands


def test_pairs_of_any_letters_are_the_einsum():
    rng = np.random.default_rng(0)
    for _ in range(1000):
        subscripts, operands = random_einsum(rng)
        expected = np.einsum(subscripts, *operands)
        size = np.einsum(subscripts, *map(np.abs, operands))
        for (i, j), word in pairs(subscripts, [x.shape for x in operands]):
            found = paired(word, operands[i], operands[j])
            if found is None:
                found = np.einsum(word, operands[i], operands[j])
            operands = [*[x for k, x in enumerate(operands) if k not in (i, j)], found]
        assert operands[0].shape == expected.shape, subscripts
        assert np.all(np.abs(operands[0] - expected) <= 1e-14 * size), subscripts


@pytest.mark.parametrize("subscripts", MATRICES)
def test_an_einsum_and_its_derivatives_are_products_of_matrices(subscripts):
    rng = np.random.default_rng(1)
    arrays = [rng.normal(size=shape) for shape in MATRICES[subscripts]]

    def f(*arrays):
        return np.sum(np.sin(np.einsum(subscripts, *arrays)))

    every = tuple(range(len(arrays)))
    prepared = difflab.value_and_gradient(f, argnums=every).prepare(*arrays)
    assert prepared.graph.primitive_counts()["einsum"] == 0
    assert prepared.graph.primitive_counts()["matmul"] > 0
    value, slopes = prepared(*arrays)
    assert np.isclose(value, f(*arrays), rtol=1e-14)
    steps = [rng.normal(size=x.shape) for x in arrays]
    moved = [np.einsum(subscripts, *[*arrays[:i], step, *arrays[i + 1 :]])
             for i, step in enumerate(steps)]  # fmt: skip
    y = np.cos(np.einsum(subscripts, *arrays))
    for slope, step, change in zip(slopes, steps, moved, strict=True):
        assert np.isclose(np.sum(slope * step), np.sum(y * change), rtol=1e-12)


def test_many_operands_take_the_cheapest_order():
    n = 20
    chain = [np.ones((n, n))] * 4 + [np.ones(n)]
    graph = difflab.trace(lambda *x: np.einsum("ab,bc,cd,de,e->a", *x), *chain)
    assert simplify(graph).operation_count() < 8 * n * n
    graph = difflab.trace(lambda *x: np.linalg.multi_dot(x), *chain)
    assert simplify(graph).operation_count() < 8 * n * n
    with pytest.raises(difflab.errors.ShapeError):
        difflab.trace(lambda *x: np.linalg.multi_dot(x), np.ones((2, 3)), np.ones((1, 3)), chain[0])
