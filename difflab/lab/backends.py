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
from collections.abc import Generator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from difflab.errors import ArgumentError, DifflabError, DomainError
from difflab.lab.experiment import Case, Experiment, case_generator, load
from difflab.lab.measure import one_blas_thread, one_core
from difflab.lab.records import Outcome, flat_rows

Finishing: TypeAlias = Generator[tuple[str, Outcome], None, None]

PATIENCE = 5.0
"""Seconds to wait for a cluster's answer."""


class ClusterError(DifflabError, ConnectionError):
    """A cluster that cannot be reached, or whose workers cannot measure."""


class WorkerError(RuntimeError):
    """What a worker says if it must not measure; its text survives the way back."""


# One case -----------------------------------------------------------------------------------------


def attempt(experiment: Experiment, case: Case) -> Outcome:
    """Measure a case; an exception becomes an outcome without rows.

    Linear algebra runs on one thread, so that the order of its sums, and with it the rows, does not
    depend on how many cases run at once.

    >>> thrice = Experiment(name="thrice", title="", question="", version=1,
    ...     cases=lambda preset: [], measure=lambda case, rng: {"triple": 3 * case["x"]})
    >>> attempt(thrice, {"x": 2}).rows
    [{'triple': 6}]
    """
    start = time.perf_counter()
    rows, failure = [], ""
    try:
        with one_blas_thread():
            measured = experiment.measure(copy.deepcopy(case), case_generator(experiment, case))
            rows = flat_rows(measured, case)
    except Exception as reason:
        inner = reason.__traceback__.tb_next if reason.__traceback__ else None
        failure = "".join(traceback.format_exception(type(reason), reason, inner))
    return Outcome(case, rows, time.perf_counter() - start, failure)


# All of them --------------------------------------------------------------------------------------


def outcomes(
    experiment: Experiment,
    pending: Mapping[str, Case],
    jobs: int | None = None,
    cluster: str = "",
) -> Finishing:
    """The outcomes as they finish: cases that may share the machine first, then the timed ones.

    Parameters
    ----------
    experiment, pending : the cases to measure, by id
    jobs : how many at once; by default what joblib's `parallel_config` says, or else one, and on a
        cluster as many as it has workers
    cluster : the address of a cluster for the cases that are not timed
    """
    timed = {key: case for key, case in pending.items() if experiment.is_timed(case)}
    shared = {key: case for key, case in pending.items() if key not in timed}
    if shared and cluster:
        with joined(cluster) as workers:
            yield from _parallel(experiment, shared, jobs, workers)
    elif len(shared) > 1 and jobs != 1 and _workers(jobs) > 1:
        yield from _parallel(experiment, shared, jobs)
    else:
        yield from ((key, attempt(experiment, case)) for key, case in shared.items())
    with one_core():
        yield from ((key, attempt(experiment, case)) for key, case in timed.items())


def _workers(jobs: int | None) -> int:
    import joblib

    return int(joblib.effective_n_jobs(jobs))


def _parallel(
    experiment: Experiment, cases: Mapping[str, Case], jobs: int | None, cluster: int = 0
) -> Finishing:
    """The outcomes from joblib's workers, or from this many of a cluster."""
    import joblib
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    backend, _ = joblib.parallel.get_active_backend()
    streams = backend.supports_return_generator
    count = min(jobs if jobs and jobs > 0 else cluster, cluster) if cluster else _workers(jobs)
    file, code = experiment.file, fingerprint(experiment.file) if cluster else ""
    task = joblib.delayed(_attempt_in_worker)
    tasks = (task(file, code, os.getpid(), key, case) for key, case in cases.items())
    try:
        with joblib.Parallel(
            n_jobs=count,
            return_as="generator_unordered" if streams else "list",
            batch_size=1,
            pre_dispatch=count if cluster and streams else "2*n_jobs",
        ) as workers:
            # A worker that has rested for long, or grown, is replaced without loss.
            warnings.filterwarnings("ignore", "A worker stopped while some jobs were given")
            for chunk in [tasks] if streams else _chunks(tasks, 2 * count):
                yield from workers(chunk)
    except TerminatedWorkerError:
        raise ArgumentError(
            "a worker process died, perhaps for want of memory", "use fewer --jobs"
        ) from None
    except WorkerError as reason:
        raise ClusterError(
            f"a worker of the cluster cannot measure: {reason}",
            "give all workers the same files under the same paths, for example on a shared disk, "
            "and restart the workers after a change of difflab itself",
        ) from None
    except Exception as reason:
        if not cluster:
            raise
        raise ClusterError(
            f"the cluster failed: {type(reason).__name__}: {reason}",
            "see the log of its scheduler and workers; each needs difflab and its lab extra",
        ) from reason


def _chunks(tasks: Iterator[Any], size: int) -> Iterator[list[Any]]:
    """Lists of a few tasks, for a backend that returns nothing before all of a list is done."""
    while chunk := list(itertools.islice(tasks, size)):
        yield chunk


# In a worker --------------------------------------------------------------------------------------

_alone = threading.Lock()


def _attempt_in_worker(
    file: Path, code: str, parent: int, key: str, case: Case
) -> tuple[str, Outcome]:
    import signal

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
        for name, module in list(sys.modules.items()):  # helpers as they were for another run
            if Path(getattr(module, "__file__", None) or "/").parent == file.parent:
                del sys.modules[name]
    return load(file)


def fingerprint(file: Path) -> str:
    """A hash of the code that measures: difflab as it was loaded, and the experiment's folder."""
    return _hash([_package(), _hash(sorted(file.parent.glob("*.py")))])


@functools.cache
def _package() -> str:
    return _hash(sorted(Path(__file__).parents[1].rglob("*.py")))


def _hash(parts: Iterable[Path | str]) -> str:
    texts = (part if isinstance(part, str) else part.read_bytes().hex() for part in parts)
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


# Clusters -----------------------------------------------------------------------------------------


def cluster_address(text: str) -> str:
    """The text, if it can be the address of a cluster.

    >>> cluster_address("tcp://10.0.0.7:8786")
    'tcp://10.0.0.7:8786'
    """
    if text != "ray" and not re.fullmatch(r"(tcp|tls|ray)://[^\s/:]+:\d{1,5}/?", text):
        raise DomainError(
            f"{text!r} is not the address of a cluster",
            "give tcp://HOST:PORT for Dask's scheduler, ray for Ray, or ray://HOST:PORT",
        )
    return text


@contextlib.contextmanager
def joined(address: str) -> Iterator[int]:
    """Inside, joblib works on the cluster at this address; gives the number of its workers."""
    kind = "ray" if address.startswith("ray") else "distributed"
    try:
        library = importlib.import_module(kind)
    except ModuleNotFoundError:
        raise ClusterError(f"{kind} is not installed", f'pip install "difflab[{kind}]"') from None
    if "://" in address:
        _knock(address)
    with (_ray if kind == "ray" else _dask)(library, address) as count:
        if not count:
            raise ClusterError(f"the cluster at {address} has no workers", "start some")
        yield count


def _knock(address: str) -> None:
    """Fail soon where nobody listens, or somebody else: Dask's own client would wait for ever."""
    place = urlsplit(address)
    try:
        with socket.create_connection((place.hostname or "", place.port or 0), PATIENCE) as line:
            if place.scheme == "tcp" and not line.recv(1):  # Dask speaks first
                raise OSError("it hangs up")
    except (OSError, ValueError) as reason:
        raise _unreachable(address, reason) from None


def _unreachable(address: str, reason: Exception) -> ClusterError:
    return ClusterError(
        f"no cluster answers at {address}: {reason}",
        "start one (dask scheduler and dask worker ADDRESS, or ray start), or leave out --cluster",
    )


@contextlib.contextmanager
def _dask(distributed: Any, address: str) -> Iterator[int]:
    import joblib

    try:
        client = distributed.Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError, TypeError) as reason:
        raise _unreachable(address, reason) from None
    with client, joblib.parallel_config(_dask_backend(client)):
        with contextlib.suppress(TimeoutError):  # workers may be on their way
            client.wait_for_workers(1, timeout=PATIENCE)
        yield sum(client.ncores().values())


def _dask_backend(client: Any) -> Any:
    """joblib's backend, which also hears of tasks that failed without a result.

    joblib counts on a callback for every task, but its backend for Dask makes none for a task whose
    worker died or could not unpack it: the run would wait for ever.
    """
    base = importlib.import_module("joblib._dask").DaskDistributedBackend

    class Backend(base):  # type: ignore[misc, valid-type]
        def effective_n_jobs(self, n_jobs: int) -> int:
            # Of one, joblib makes a loop in this process.
            return max(2, int(super().effective_n_jobs(n_jobs)))

        def submit(self, func: Any, callback: Any = None) -> Any:
            def tell(future: Any) -> None:
                if future.exception() is not None:
                    callback(future.exception())

            future = super().submit(func, callback)
            future.add_done_callback(tell)
            return future

        def retrieve_result_callback(self, out: Any) -> Any:
            if isinstance(out, BaseException):
                raise out
            return super().retrieve_result_callback(out)

    return Backend(client=client, wait_for_workers_timeout=0)


@contextlib.contextmanager
def _ray(ray: Any, address: str) -> Iterator[int]:
    import joblib

    register = importlib.import_module("ray.util.joblib").register_ray
    ours = not ray.is_initialized()
    try:
        if ours:
            ray.init(None if address == "ray" else address, log_to_driver=False)
    except (OSError, ValueError, RuntimeError) as reason:
        raise _unreachable(address, reason) from None
    register()
    try:
        with joblib.parallel_config("ray"):
            yield int(ray.cluster_resources().get("CPU", 0))
    finally:
        if ours:
            ray.shutdown()
