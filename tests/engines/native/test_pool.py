"""The pool runs each chunk once, whoever asks, from wherever, and after a fork."""

import ctypes
import os
import subprocess
import sys
import threading
import time
from functools import cache

import numpy as np
import pytest

from difflab.engines.native import pool
from difflab.engines.native.machine import Library

from .kernels import native

pytestmark = native
TEXT = """
declare void @parallel(ptr, ptr, i64)

define void @add(ptr %sums, i64 %chunk) { ; adds 0 + 1 + ... + 999 times the chunk's number
  br label %loop
loop:
  %i = phi i64 [ 0, %0 ], [ %next, %loop ]
  %sum = phi i64 [ 0, %0 ], [ %more, %loop ]
  %term = mul i64 %i, %chunk
  %more = add i64 %sum, %term
  %next = add i64 %i, 1
  %last = icmp eq i64 %next, 1000
  br i1 %last, label %end, label %loop
end:
  %at = getelementptr i64, ptr %sums, i64 %chunk
  %old = load i64, ptr %at
  %new = add i64 %old, %more
  store i64 %new, ptr %at
  ret void
}
define void @sums(ptr %sums, i64 %chunks) {
  call void @parallel(ptr @add, ptr %sums, i64 %chunks)
  ret void
}

define void @sums_of_a_row(ptr %rows, i64 %chunk) {
  %at = getelementptr [30 x i64], ptr %rows, i64 %chunk
  call void @parallel(ptr @add, ptr %at, i64 30)
  ret void
}
define void @rows(ptr %rows, i64 %chunks) {
  call void @parallel(ptr @sums_of_a_row, ptr %rows, i64 %chunks)
  ret void
}
"""


@cache
def library():
    return Library(TEXT, pool.symbols())


@cache
def job(name):
    return ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(library().address(name))


def check(chunks):
    sums = np.zeros(chunks, np.int64)
    job("sums")(sums.ctypes.data, chunks)
    assert np.array_equal(sums, np.arange(chunks) * 499500), chunks


def check_nested():
    rows = np.zeros((20, 30), np.int64)
    job("rows")(rows.ctypes.data, len(rows))
    assert np.array_equal(rows, np.tile(np.arange(30) * 499500, (20, 1)))


def at_once(function, count):
    wrong = []

    def work():
        try:
            function()
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("threads", [1, 2, 1000])
def test_each_chunk_is_run_once(threads):
    with pool.limit(threads):
        for i in range(1000):
            check(i % 64)


def test_jobs_may_be_posted_from_several_threads():
    at_once(lambda: [check(1 + i % 40) for i in range(500)], 6)


def test_jobs_may_post_jobs():
    for _ in range(100):
        check_nested()
    at_once(lambda: [check_nested() for _ in range(50)], 4)


def test_limits():
    everything = pool.threads()
    assert 1 <= everything <= (os.cpu_count() or 1)
    with pool.limit(1):
        assert pool.threads() == 1
        with pool.limit(1000):
            assert pool.threads() == everything
        assert pool.threads() == 1
    assert pool.threads() == everything


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two CPUs")
def test_workers_take_part():
    """Two chunks wait for each other: a barrier that the caller alone would never pass."""
    if pool.threads() < 2:
        pytest.skip("needs two CPUs")
    barrier, ran = threading.Barrier(2, timeout=20), []

    @ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)
    def body(context, chunk):
        barrier.wait()
        ran.append(chunk)

    parallel = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
    parallel(pool.symbols()["parallel"])(ctypes.cast(body, ctypes.c_void_p), None, 2)
    assert sorted(ran) == [0, 1]


def test_idle_workers_use_no_time():
    check(10)
    time.sleep(0.05)
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.1


FORKED = """
import os, sys
from tests.engines.native import test_pool as t
t.check(50)
pids = []
for _ in range(5):
    pid = os.fork()
    if not pid:
        for i in range(200):
            t.check(i % 64)
        t.check_nested()
        os._exit(0 if t.pool.threads() == 1 else 3)
    pids.append(pid)
t.check(50)
sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_after_a_fork_the_caller_does_all():
    command = [sys.executable, "-W", "ignore", "-c", FORKED]
    done = subprocess.run(command, cwd=os.getcwd(), timeout=60, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_process_ends_while_workers_sleep():
    text = "from tests.engines.native import test_pool as t; t.check(50); print('end')"
    done = subprocess.run([sys.executable, "-c", text], timeout=60, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")
