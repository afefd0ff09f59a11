"""An entry takes exactly what it was made for, converts the rest, and owns what it should."""

import gc
import sys
import threading
import weakref

import numpy as np
import pytest

from difflab.engines.native.entry import DTYPES, run_of
from difflab.errors import ShapeError

from .kernels import (
    B1,
    F4,
    F8,
    I8,
    NO_MEMORY,
    NOTHING,
    copied,
    entry,
    native,
    program,
    resident,
    sum_and_double,
)

pytestmark = native
VECTOR = [((10,), F8)]
BOTH = [((), F8), ((10,), F8)]


@pytest.fixture(scope="module", params=[False, True], ids=["gil", "no gil"])
def fast(request):
    return entry(VECTOR, BOTH, sum_and_double(10), request.param)


def agrees(results, x):
    total, twice = results
    assert type(results) is list and type(total) is np.float64 and type(twice) is np.ndarray
    assert total == np.sum(np.asarray(x, float)) and np.array_equal(twice, np.multiply(x, 2.0))
    assert twice.flags.owndata and twice.flags.c_contiguous and twice.flags.writeable
    return True


def test_the_fast_way(fast):
    assert agrees(fast(np.arange(10.0)), np.arange(10.0))


class Sub(np.ndarray):
    pass


def misaligned():
    x = np.zeros(81, np.uint8)[1:].view(float)
    x[:] = range(10)
    return x


OTHERS = {
    "steps": np.arange(20.0)[::2],
    "backwards": np.arange(10.0)[::-1],
    "big-endian": np.arange(10, dtype=">f8"),
    "misaligned": misaligned(),
    "a subclass": np.arange(10.0).view(Sub),
    "float32": np.arange(10, dtype=F4),
    "int64": np.arange(10),
    "bool": np.arange(10) > 4,
    "a dtype with metadata": np.arange(10.0).astype(np.dtype(float, metadata={"a": 1})),
    "a list": list(range(10)),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_the_rest_is_converted(fast, kind):
    assert fast(OTHERS[kind]) is None
    assert agrees(run_of(fast, VECTOR)(OTHERS[kind]), OTHERS[kind])


def test_a_read_only_array_needs_no_conversion(fast):
    x = np.arange(10.0)
    x.flags.writeable = False
    assert agrees(fast(x), x)


@pytest.mark.parametrize(
    "x", [np.zeros(9), np.zeros(11), np.zeros((1, 10)), np.float64(1), 1.0, [], None, "x"]
)
def test_other_shapes_are_refused(fast, x):
    assert fast(x) is None
    with pytest.raises(ValueError):
        run_of(fast, VECTOR)(x)


def test_the_error_of_a_shape_names_both(fast):
    with pytest.raises(ShapeError, match=r"for shape \(10,\) was given shape \(1,\)"):
        run_of(fast, VECTOR)(np.zeros(1))


def test_what_would_lose_its_nature_is_refused(fast):
    with pytest.raises(TypeError):
        run_of(fast, VECTOR)(np.zeros(10, complex))
    with pytest.raises(TypeError):
        program([((), I8)], [((), I8)], copied((1, I8)))(1.5)


def test_the_number_of_arguments(fast):
    x = np.zeros(10)
    assert fast() is None and fast(x, x) is None
    with pytest.raises(TypeError, match="argument"):
        run_of(fast, VECTOR)(x, x)
    with pytest.raises(TypeError, match="no keyword arguments"):
        fast(x, y=x)


VALUES = {F8: -1.25, F4: 2.5, I8: -(2**40), B1: True}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_scalars(dtype):
    value = dtype.type(VALUES[dtype])
    fast = entry([((), dtype)], [((), dtype)], copied((1, dtype)))
    for same in (value, np.array(value)):
        (result,) = fast(same)
        assert type(result) is dtype.type and result == value
    run = run_of(fast, [((), dtype)])
    others = [value.item(), np.array(value).astype(dtype.newbyteorder(">"))]
    for other in others:
        (result,) = run(other)
        assert type(result) is dtype.type and result == value
    assert fast(np.array([value])) is None and fast(None) is None and fast(1 + 0j) is None


def test_python_floats_are_the_only_numbers_of_python_that_are_taken_as_they_are():
    fast = entry([((), F8)], [((), F8)], copied((1, F8)))
    assert fast(0.5) == [0.5]
    assert fast(1) is None and fast(True) is None and fast(np.float32(1)) is None
    assert fast(type("Float", (float,), {})(1.0)) is None
    run = run_of(fast, [((), F8)])
    assert [run(x)[0] for x in (1, True, np.float32(0.5), np.int64(3))] == [1.0, 1.0, 0.5, 3.0]


def test_truth_values_are_the_two_there_are():
    fast = entry([((), B1)] * 2, [((), B1)] * 2, copied((1, B1), (1, B1)))
    yes, no = fast(np.True_, np.False_)
    assert yes is np.True_ and no is np.False_


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(2, 3), (1, 1, 1, 1), (2, 1, 3), (0,), (3, 0)], ids=str)
def test_arrays(shape, dtype):
    kinds = [(shape, dtype)]
    x = (np.arange(np.prod(shape)) % 2).reshape(shape).astype(dtype)
    (y,) = entry(kinds, kinds, copied((x.size, dtype)) if x.size else NOTHING)(x)
    assert y.dtype is dtype and y.shape == shape and np.array_equal(x, y)
    assert not np.shares_memory(x, y)
    assert entry(kinds, kinds, NOTHING)(np.zeros((*shape, 1), dtype)) is None


def test_many_arguments_and_results():
    kinds = [((3,), F8), ((), F4), ((2, 2), I8), ((), B1), ((), F8), ((4,), B1)]
    values = [np.arange(3.0), np.float32(2), np.eye(2, dtype=I8), np.True_, 0.5, np.ones(4, B1)]
    sizes = [(int(np.prod(shape)), dtype) for shape, dtype in kinds]
    results = entry(kinds, kinds, copied(*sizes))(*values)
    assert all(map(np.array_equal, results, values))


def test_no_arguments_and_no_results():
    assert entry([], [], NOTHING)() == []
    assert program([], [], NOTHING)() == []
    assert entry([], [], NOTHING)(1) is None


@pytest.mark.parametrize("release_gil", [False, True])
def test_no_memory(release_gil):
    outputs = [*BOTH, ((), B1)]
    fast = entry(VECTOR, outputs, NO_MEMORY, release_gil)
    x = np.zeros(10)
    with pytest.raises(MemoryError):
        fast(x)
    too_much = entry([], [((), F8), ((2**40, 2**10), F8)], NOTHING)
    with pytest.raises(MemoryError):
        too_much()


# Ownership ----------------------------------------------------------------------------------------


def test_references_are_released(fast):
    x, kept = np.arange(10.0), [None, np.dtype(float), np.ndarray, np.float64, np.True_, np.False_]
    ways = [
        (fast, x),
        (entry([((), B1)], [((), B1)], copied((1, B1))), np.True_),
        (entry([((), F4)], [((), F4)], copied((1, F4))), np.float32(1)),
        (fast, 1.0),
        (run_of(fast, VECTOR), x[::-1]),
    ]
    for function, argument in ways:
        function(argument)
        before = [sys.getrefcount(each) for each in (argument, *kept)]
        memory = resident()
        for _ in range(100_000 if function is fast else 20_000):
            function(argument)
        after = [sys.getrefcount(each) for each in (argument, *kept)]
        assert max(abs(a - b) for a, b in zip(before, after, strict=True)) < 50
        assert resident() - memory < 1_000_000


def test_failures_release_what_was_made():
    fast, x = entry(VECTOR, [*BOTH, ((1000,), F8)], NO_MEMORY), np.zeros(10)
    memory = None
    for i in range(30_000):
        with pytest.raises(MemoryError):
            fast(x)
        if i == 1000:
            memory = resident()
    assert resident() - memory < 1_000_000


def test_results_outlive_the_program():
    results = entry(VECTOR, BOTH, sum_and_double(10))(np.arange(10.0))
    gc.collect()
    assert agrees(results, np.arange(10.0))


def test_a_function_keeps_its_library_and_constants_and_nothing_else_does():
    constant = np.ones(3)
    fast = entry(VECTOR, BOTH, sum_and_double(10), constants=[constant])
    alive = [weakref.ref(fast.__self__.library), weakref.ref(constant)]
    call = fast
    del constant, fast
    gc.collect()
    assert all(ref() is not None for ref in alive) and agrees(call(np.ones(10)), np.ones(10))
    gc.disable()
    try:
        del call
        assert all(ref() is None for ref in alive)
    finally:
        gc.enable()


def test_programs_are_freed():
    for many in (30, 200):
        before = resident()
        for _ in range(many):
            program(VECTOR, BOTH, sum_and_double(10))(range(10))
        grown = resident() - before
    assert grown < 1_000_000


def test_threads_may_call_at_once(fast):
    run, wrong = run_of(fast, VECTOR), []

    def work(seed):
        for i in range(3000):
            x = np.full(10, float(seed + i))
            try:
                agrees(run(x if i % 3 else x[::-1]), x)
            except AssertionError as error:
                wrong.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
