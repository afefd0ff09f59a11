"""Where cases are measured: here, in worker processes, or on a cluster.

What flows: cases by id -> their outcomes as they finish, in any order.

Invariant: an outcome depends on its case alone, wherever it was measured, and workers only compute:
this process writes. Workers load the experiment from its file, and on a cluster they refuse to
measure if their files are not those of this process.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import hashlib
import importlib
import itertools
import os
import re
import socket
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from difflab.errors import ArgumentError, DifflabError, DomainError
from difflab.lab.cases import Case, Experiment, case_generator, load
from difflab.lab.machine import one_blas_thread, one_core, one_engine
from difflab.lab.store import Outcome, flat_rows

Task: TypeAlias = tuple[Path, str, int, str, Case]
"""What a worker is told: file, fingerprint of the code, this process, id and case."""
Finished: TypeAlias = tuple[str, Outcome]
Pool: TypeAlias = Callable[[Sequence[Task], int], Iterator[Finished]]
"""What measures tasks, so many at once, and gives the outcomes as they come."""

PATIENCE = 5.0
"""Seconds to wait for a cluster's answer."""


class ClusterError(DifflabError, ConnectionError):
    """A cluster that cannot be reached, or whose workers cannot measure."""


class WorkerError(RuntimeError):
    """What a worker says if it must not measure; its text survives the way back."""


def attempt(experiment: Experiment, case: Case) -> Outcome:
    """Measure a case; an exception becomes an outcome without rows.

    Linear algebra runs on one thread, and a program on one engine, so that the rows depend neither
    on how many cases run at once nor on what ran before.
    """
    start = time.perf_counter()
    rows, failure = [], ""
    try:
        with one_blas_thread(), one_engine():
            measured = experiment.measure(copy.deepcopy(case), case_generator(experiment, case))
            rows = flat_rows(measured, case)
    except Exception as reason:
        inner = reason.__traceback__.tb_next if reason.__traceback__ else None
        failure = "".join(traceback.format_exception(type(reason), reason, inner))
    return Outcome(case, rows, time.perf_counter() - start, failure)


def outcomes(
    experiment: Experiment,
    pending: Mapping[str, Case],
    jobs: int | None = None,
    cluster: str = "",
) -> Generator[Finished, None, None]:
    """The outcomes as they finish: cases that may share the machine first, then the timed ones.

    Jobs are how many run at once; by default what joblib's `parallel_config` says, or else one, and
    on a cluster as many as it has workers. The cluster is for the cases that are not timed.
    """
    import joblib

    timed = {key: case for key, case in pending.items() if experiment.is_timed(case)}
    shared = {key: case for key, case in pending.items() if key not in timed}
    code = fingerprint(experiment.file) if cluster and shared else ""
    tasks = [(experiment.file, code, os.getpid(), key, case) for key, case in shared.items()]
    if shared and cluster:
        yield from _on_cluster(cluster, tasks, jobs)
    elif len(shared) > 1 and jobs != 1 and joblib.effective_n_jobs(jobs) > 1:
        yield from _in_parallel(tasks, joblib.effective_n_jobs(jobs))
    else:
        yield from ((key, attempt(experiment, case)) for key, case in shared.items())
    with one_core():
        yield from ((key, attempt(experiment, case)) for key, case in timed.items())


def _in_parallel(tasks: Sequence[Task], count: int) -> Iterator[Finished]:
    """The outcomes from joblib's workers: processes, or what its `parallel_config` says."""
    import joblib
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    backend, _ = joblib.parallel.get_active_backend()
    streams = backend.supports_return_generator
    # A backend that returns nothing before all of a list is done gets lists of a few.
    size = len(tasks) if streams else 2 * count
    try:
        kind = "generator_unordered" if streams else "list"
        with joblib.Parallel(n_jobs=count, return_as=kind, batch_size=1) as workers:
            # A worker that has rested for long, or grown, is replaced without loss.
            warnings.filterwarnings("ignore", "A worker stopped while some jobs were given")
            for first in range(0, len(tasks), size):
                some = tasks[first : first + size]
                yield from workers(joblib.delayed(_attempt_in_worker)(task) for task in some)
    except TerminatedWorkerError:
        raise ArgumentError(
            "a worker process died, perhaps for want of memory", "use fewer --jobs"
        ) from None


_alone = threading.Lock()


def _attempt_in_worker(task: Task) -> Finished:
    import signal

    file, code, parent, key, case = task
    if os.getpid() != parent:
        with contextlib.suppress(ValueError):  # a worker that is a thread cannot, and need not
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    if os.getppid() == parent:
        _end_with(parent)
    with _alone:  # threads of one worker share the linear algebra's settings and the imports
        return key, attempt(_loaded(file, code), case)


@functools.cache
def _end_with(parent: int) -> None:
    """Let this process end once its parent was killed: nobody waits for what it computes."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@functools.cache
def _loaded(file: Path, code: str) -> Experiment:
    """The experiment of a file, which must be the one with this fingerprint, if one is given."""
    if code:
        if not file.is_file():
            raise WorkerError(f"on {socket.gethostname()} there is no {file}")
        if fingerprint(file) != code:
            raise WorkerError(
                f"on {socket.gethostname()} difflab or the files in {file.parent} are others"
            )
        helpers = set(map(str, _code(file.parent)))
        for name, module in list(sys.modules.items()):  # as they were for another run
            if getattr(module, "__file__", None) in helpers:
                del sys.modules[name]
    return load(file)


def fingerprint(file: Path) -> str:
    """A hash of the code that measures: difflab as it was loaded, and the experiment's folder."""
    return _package() + _hash(_code(file.parent))


def _code(folder: Path) -> Iterator[Path]:
    """The Python files of an experiment's folder, and all code of the packages there."""
    yield from folder.glob("*.py")
    for package in folder.glob("*/__init__.py"):
        yield from (path for path in package.parent.rglob("*") if path.suffix in (".py", ".c"))


@functools.cache
def _package() -> str:
    return _hash(Path(__file__).parents[1].rglob("*.py"))


def _hash(files: Iterator[Path]) -> str:
    texts = (hashlib.sha256(file.read_bytes()).digest() for file in sorted(files))
    return hashlib.sha256(b"".join(texts)).hexdigest()


def cluster_address(text: str) -> str:
    """The text, if it can be the address of a cluster."""
    if text != "ray" and not re.fullmatch(r"(tcp|tls|ray)://[^\s/:]+:\d{1,5}/?", text):
        raise DomainError(
            f"{text!r} is not the address of a cluster",
            "give tcp://HOST:PORT for Dask's scheduler, ray for Ray, or ray://HOST:PORT",
        )
    return text


def _on_cluster(address: str, tasks: list[Task], jobs: int | None) -> Iterator[Finished]:
    """The outcomes from the workers of a cluster, at most so many at once."""
    kind = "ray" if address.startswith("ray") else "distributed"
    try:
        library = importlib.import_module(kind)
    except ModuleNotFoundError:
        raise ClusterError(f"{kind} is not installed", f'pip install "difflab[{kind}]"') from None
    with _answering(address):
        _knock(address)
    try:
        with (_ray if kind == "ray" else _dask)(library, address) as (count, measure):
            if not count:
                raise ClusterError(f"the cluster at {address} has no workers", "start some")
            yield from measure(tasks, min(jobs, count) if jobs and jobs > 0 else count)
    except DifflabError:
        raise
    except WorkerError as reason:
        raise ClusterError(
            f"a worker of the cluster cannot measure: {reason}",
            "give all workers the same files under the same paths, for example on a shared disk, "
            "and restart the workers after a change of difflab itself",
        ) from None
    except Exception as reason:
        raise ClusterError(
            f"the cluster failed: {type(reason).__name__}: {reason}",
            "see the log of its scheduler and workers; each needs difflab and its lab extra",
        ) from reason


@contextlib.contextmanager
def _answering(address: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, RuntimeError, TypeError) as reason:
        raise ClusterError(
            f"no cluster answers at {address}: {reason}",
            "start one (dask scheduler and dask worker ADDRESS, or ray start), "
            "or leave out --cluster",
        ) from None


def _knock(address: str) -> None:
    """Fail soon where nobody listens, or somebody else: Dask's own client would wait for ever."""
    target = urlsplit(address)
    if target.port:
        with socket.create_connection((target.hostname or "", target.port), PATIENCE) as line:
            if target.scheme == "tcp" and not line.recv(1):  # Dask speaks first
                raise OSError("it hangs up")


@contextlib.contextmanager
def _dask(distributed: Any, address: str) -> Iterator[tuple[int, Pool]]:
    """The number of workers of a Dask cluster, and what measures on so many of them.

    joblib's backend for Dask hears nothing of a task whose worker died: it would wait for ever.
    """
    with _answering(address):
        client = distributed.Client(address, timeout=PATIENCE, set_as_default=False)

    def submit(task: Task) -> Any:
        return client.submit(_attempt_in_worker, task, pure=False)

    def measure(tasks: Sequence[Task], count: int) -> Iterator[Finished]:
        running = distributed.as_completed(map(submit, tasks[:count]), loop=client.loop)
        waiting = iter(tasks[count:])
        for future in running:
            for task in itertools.islice(waiting, 1):
                running.add(submit(task))
            yield future.result()

    with client:
        with contextlib.suppress(TimeoutError):  # workers may be on their way
            client.wait_for_workers(1, timeout=PATIENCE)
        yield sum(client.ncores().values()), measure


@contextlib.contextmanager
def _ray(ray: Any, address: str) -> Iterator[tuple[int, Pool]]:
    """The number of a Ray cluster's processors, and what measures on so many of them."""
    import joblib

    ours = not ray.is_initialized()
    with _answering(address):
        if ours:
            ray.init(None if address == "ray" else address, log_to_driver=False)
    importlib.import_module("ray.util.joblib").register_ray()
    try:
        with joblib.parallel_config("ray"):
            yield int(ray.cluster_resources().get("CPU", 0)), _in_parallel
    finally:
        if ours:
            ray.shutdown()
