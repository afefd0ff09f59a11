"""A pool of threads made of LLVM IR: kernels hand it chunks of work without Python in between.

What flows: `parallel` takes a body, its context and a number of chunks; the caller and sleeping
workers claim chunks one by one, and it returns when all are done. The invariants: the caller never
waits for a worker that has claimed nothing; one job at a time has the workers, and others, those
inside a job, and those after a fork run on their caller alone; nobody spins.

>>> threads() >= 1
True
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from difflab.engines.native.machine import Library, python_symbols


def _cpus() -> int:
    """How many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Pool:
    """What `pool.ll` needs of Python, and the threads that run its `worker`."""

    def __init__(self) -> None:
        self.workers = workers = _cpus() - 1
        self.woken = ctypes.c_int64(0)
        self.locks = (ctypes.c_void_p * workers)(*(_taken_lock() for _ in range(workers)))
        self.sleeping = (ctypes.c_uint8 * workers)()
        self.library = Library(
            Path(__file__).with_suffix(".ll").read_text(encoding="utf-8"),
            {
                **python_symbols("PyThread_acquire_lock", "PyThread_release_lock"),
                "woken": ctypes.addressof(self.woken),
                "locks": ctypes.addressof(self.locks),
                "sleeping": ctypes.addressof(self.sleeping),
                "callers.lock": _taken_lock(),
            },
        )

    def start(self) -> None:
        worker = ctypes.CFUNCTYPE(None, ctypes.c_int64)(self.library.address("worker"))
        for i in range(self.workers):
            threading.Thread(target=worker, args=(i,), name=f"difflab-{i}", daemon=True).start()
        self.woken.value = self.workers


_pools: dict[str, _Pool] = {}
"""The one pool, once there is one: it lives as long as the process, as its workers do."""


def _pool() -> _Pool:
    pool = _pools.get("")
    if pool is None:
        mine = _Pool()
        pool = _pools.setdefault("", mine)  # in place of a lock, which a fork could leave taken
        if pool is mine:
            pool.start()
    return pool


def _taken_lock() -> int:
    allocate = ctypes.PYFUNCTYPE(ctypes.c_void_p)(("PyThread_allocate_lock", ctypes.pythonapi))
    acquire = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
    lock = allocate()
    if not lock:
        raise MemoryError
    acquire(("PyThread_acquire_lock", ctypes.pythonapi))(lock, 1)
    return int(lock)


def _after_fork() -> None:
    for pool in _pools.values():
        pool.workers = pool.woken.value = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def symbols() -> dict[str, int]:
    """The address of ``void @parallel(ptr body, ptr context, i64 chunks)``; starts the workers.

    It calls ``void body(ptr context, i64 chunk)`` for each chunk below `chunks`, from any thread,
    and needs no GIL.
    """
    return {"parallel": _pool().library.address("parallel")}


def threads() -> int:
    """How many threads a job may have, its caller among them."""
    return _pool().woken.value + 1


@contextmanager
def limit(count: int) -> Iterator[None]:
    """Inside, jobs have at most so many threads; with 1, their callers alone."""
    woken = _pool().woken
    before, woken.value = woken.value, max(0, min(count - 1, _pool().workers))
    try:
        yield
    finally:
        woken.value = min(before, _pool().workers)
