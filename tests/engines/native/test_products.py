"""Products in tiles against exact sums, for any lengths and strides, on any number of threads."""

import itertools

import numpy as np
import pytest

import difflab
from difflab.engines import native
from difflab.engines.native import lowering, pool, products

pytestmark = pytest.mark.skipif(native.why_not() is not None, reason="no native code here")
LENGTHS = [(2, 2, 2), (7, 5, 3), (6, 256, 16), (25, 300, 17), (48, 31, 40), (13, 600, 33)]


@pytest.fixture
def tiles_alone(monkeypatch):
    """No product is part of other loops."""
    monkeypatch.setattr(lowering, "INLINE_PRODUCT", 0)
    monkeypatch.setattr(lowering, "INLINE_PRODUCT_ACROSS", 0)


def factors(m, k, n, dtype):
    rng = np.random.default_rng([m, k, n])
    return (rng.integers(-9, 10, shape).astype(dtype) for shape in ((m, k), (k, n)))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_products_of_whole_numbers_are_exact(tiles_alone, lengths, dtype):
    a, b = factors(*lengths, dtype)
    for turned in itertools.product((False, True), repeat=2):
        given = [np.ascontiguousarray(x.T) if t else x for x, t in zip((a, b), turned, strict=True)]

        def f(x, y, turned=turned):
            return (x.T if turned[0] else x) @ (y.T if turned[1] else y)

        program = native.compiled(difflab.trace(f, *given))
        assert "@multiply" in program.source
        np.testing.assert_array_equal(program(*given)[0], a @ b)


def test_stacks_and_steps(tiles_alone):
    a, b = np.random.default_rng(0).integers(-9, 10, (2, 2, 3, 24, 24)).astype(float)
    f = native.compiled(difflab.trace(lambda a, b: a[:, :, ::2, ::-1] @ b[..., 1::2], a, b))
    np.testing.assert_array_equal(f(a, b)[0], a[:, :, ::2, ::-1] @ b[..., 1::2])


@pytest.mark.parametrize("m", [100, 16 * products.MANY + 1])
def test_the_same_bits_on_any_number_of_threads(m):
    a, b = np.random.default_rng(0).normal(size=(2, 300, m))
    program = native.compiled(difflab.trace(lambda a, b: a.T @ b @ a.T, a, b))
    found = program(a, b)[0]
    with pool.limit(1):
        np.testing.assert_array_equal(program(a, b)[0], found)
    np.testing.assert_allclose(found, a.T @ b @ a.T, rtol=1e-11, atol=1e-9)


def test_a_value_that_is_not_finite_stays_where_it_is(tiles_alone):
    a, b = factors(7, 5, 3, "float64")
    a[2, 1] = np.nan
    (found,) = native.compiled(difflab.trace(lambda a, b: a @ b, a, b))(a, b)
    np.testing.assert_array_equal(np.isnan(found).any(axis=1), np.arange(7) == 2)
