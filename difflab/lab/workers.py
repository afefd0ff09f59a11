"""Where cases are measured: here, in worker processes, or on a cluster.

What flows: cases by id -> their outcomes as they finish, in any order.

Invariant: an outcome depends on its case alone, wherever it was measured, and workers only compute:
this process writes. Here, a case is measured in a child: one that exits, crashes or is killed ends
that child, and is a failed case. No child outlives this process. On a cluster, workers load the
experiment from its file, and refuse to measure if their files are not those of this process.
"""

from __future__ import annotations

import contextlib
import copy
import ctypes
import functools
import hashlib
import importlib
import itertools
import json
import multiprocessing.connection
import os
import re
import signal
import socket
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from difflab.errors import ArgumentError, DifflabError, DomainError
from difflab.lab.cases import Case, Experiment, case_generator, load
from difflab.lab.machine import one_blas_thread, one_core, one_engine
from difflab.lab.store import Outcome, flat_rows, utf8

Task: TypeAlias = tuple[Path, str, int, str, Case]
"""What a worker is told: file, fingerprint of the code, this process, id and case."""
Finished: TypeAlias = tuple[str, Outcome]
Pool: TypeAlias = Callable[[Sequence[Task], int], Iterator[Finished]]
"""What measures tasks, so many at once, and gives the outcomes as they come."""

STOPS = (signal.SIGINT, signal.SIGTERM)
PATIENCE = 5.0  # seconds to wait for a cluster's answer


class ClusterError(DifflabError, ConnectionError):
    """A cluster that cannot be reached, or whose workers cannot measure."""


class WorkerError(RuntimeError):
    """What a worker says if it must not measure; its text survives the way back."""


def attempt(experiment: Experiment, case: Case) -> Outcome:
    """Measure a case; whatever it raises, `sys.exit()` too, becomes an outcome without rows.

    Linear algebra runs on one thread, and a program on one engine, so that the rows depend neither
    on how many cases run at once nor on what ran before.
    """
    start = time.perf_counter()
    rows, failure = [], ""
    try:
        with one_blas_thread(), one_engine():
            measured = experiment.measure(copy.deepcopy(case), case_generator(experiment, case))
            rows = flat_rows(measured, case)
    except BaseException as reason:  # where Ctrl-C is heard, no case is measured
        inner = reason.__traceback__.tb_next if reason.__traceback__ else None
        failure = utf8("".join(traceback.format_exception(type(reason), reason, inner))).decode()
    return Outcome(case, rows, time.perf_counter() - start, failure)


def outcomes(
    experiment: Experiment, pending: Mapping[str, Case], jobs: int | None = None, cluster: str = "",
    children: list[_Child] | None = None,
) -> Generator[Finished, None, None]:  # fmt: skip
    """The outcomes as they finish: cases that may share the machine first, then the timed ones.

    Jobs are how many run at once; by default what joblib's `parallel_config` says, or else one, and
    on a cluster as many as it has workers. The cluster is for the cases that are not timed. The
    children are those of `kept_children`: what they have compiled or read is there for more cases.
    """
    import joblib

    timed = {key: case for key, case in pending.items() if experiment.is_timed(case)}
    shared = {key: case for key, case in pending.items() if key not in timed}
    code = fingerprint(experiment.file) if cluster and shared else ""
    tasks = [(experiment.file, code, os.getpid(), key, case) for key, case in shared.items()]
    count = 1 if jobs == 1 or len(shared) < 2 else joblib.effective_n_jobs(jobs)
    backend, _ = joblib.parallel.get_active_backend()
    if shared and cluster:
        yield from _on_cluster(cluster, tasks, jobs)
        shared = {}
    elif count > 1 and type(backend) is not joblib.parallel.BACKENDS.get("loky"):
        yield from _in_parallel(tasks, count)
        shared = {}
    with kept_children() if children is None else contextlib.nullcontext(children) as idle:
        yield from _in_children(experiment, shared, count, idle)
        yield from _in_children(experiment, timed, 1, idle, alone=True)


class _Child:
    """A process that measures cases of an experiment one after the other, and ends with this one.

    It is forked where that is safe: it starts at once, and knows the experiment as it is here. The
    line speaks JSON: nothing that a case wrote is unpickled.
    """

    def __init__(self, experiment: Experiment) -> None:
        forks = sys.platform == "linux"
        context: Any = multiprocessing.get_context("fork" if forks else "spawn")
        self.line, theirs = context.Pipe()
        told = (theirs, os.getpid(), experiment if forks else experiment.file)
        self.process = context.Process(target=_serve, args=told)
        self.given = 0
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # it needs no other thread
                self.process.start()
        except OSError as reason:
            what = f"no process could be started to measure: {reason}"
            raise ArgumentError(what, "use fewer --jobs, or make room") from None
        theirs.close()

    def give(self, key: str, case: Case, alone: bool) -> None:
        """Let it measure a case next, on one core if it is alone."""
        self.key, self.case, self.start = key, case, time.perf_counter()
        self.given += 1
        with contextlib.suppress(OSError):  # it died: that is seen when it is asked
            self.line.send_bytes(json.dumps([case, alone]).encode())

    def outcome(self) -> Outcome | None:
        """What became of the case, if that is known; a process that failed is no more."""
        alive = self.process.is_alive()  # asked first: an answer may come before the end
        try:
            if self.line.poll():
                return Outcome(self.case, **json.loads(self.line.recv_bytes()))
        except (EOFError, OSError, ValueError, TypeError):
            alive = False
        seconds = time.perf_counter() - self.start
        return None if alive else Outcome(self.case, [], seconds, self.end())

    def end(self) -> str:
        """End it; says how it had ended by itself."""
        self.process.join(0.5)  # whose line is torn is about to end
        code = self.process.exitcode
        self.process.kill()
        self.process.join()
        self.line.close()
        names = {-known.value: known.name for known in signal.Signals}
        how = f"was killed by {names[code]}" if code in names else f"ended with exit code {code}"
        return f"{WorkerError.__name__}: the process that measured this case {how}"


@contextlib.contextmanager
def _signals_later() -> Iterator[None]:
    """Ctrl-C and the like wait until the end, so that no child is forgotten."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def kept_children() -> Iterator[list[_Child]]:
    """A list for the children that have nothing to do, or were left; they end with the block."""
    idle: list[_Child] = []
    try:
        yield idle
    finally:
        with _signals_later():
            for child in idle:
                child.process.kill()
            for child in idle:
                child.end()


def _in_children(
    experiment: Experiment, cases: Mapping[str, Case], count: int, idle: list[_Child],
    alone: bool = False,
) -> Iterator[Finished]:  # fmt: skip
    """The outcomes from processes of this one's own, so many at once."""
    waiting, busy = [*cases.items()][::-1], list[_Child]()
    try:
        while waiting or busy:
            while waiting and len(busy) < count:
                with _signals_later():
                    busy.append(idle.pop() if idle else _Child(experiment))
                busy[-1].give(*waiting.pop(), alone)
            multiprocessing.connection.wait([child.line for child in busy], timeout=0.5)
            for child in [*busy]:
                if not (outcome := child.outcome()):
                    continue
                busy.remove(child)
                if not child.line.closed:
                    idle.append(child)
                elif child.given > 1:  # what a case before it left may be at fault
                    waiting.append((child.key, child.case))
                    continue
                yield child.key, outcome
    finally:
        idle += busy


def _serve(line: Connection, parent: int, source: Experiment | Path) -> None:
    """Measure the cases that come, in a child."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform == "linux":  # the kernel sees to it, whatever a case does
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os._exit(1)
    else:
        _end_with(parent)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    experiment = source if isinstance(source, Experiment) else load(source)
    own = os.getpid()
    with contextlib.suppress(OSError, EOFError):
        while True:
            case, alone = json.loads(line.recv_bytes())
            with one_core() if alone else contextlib.nullcontext():
                outcome = attempt(experiment, case)
            for stream in (sys.stdout, sys.stderr):  # this process is killed in the end
                with contextlib.suppress(Exception):
                    stream.flush()
            if os.getpid() != own:  # the case has forked, and this is the copy
                os._exit(0)
            told = {name: getattr(outcome, name) for name in ("rows", "seconds", "traceback")}
            line.send_bytes(json.dumps(told).encode())


def _in_parallel(tasks: Sequence[Task], count: int) -> Iterator[Finished]:
    """The outcomes from workers of the joblib backend that `parallel_config` says."""
    import joblib

    backend, _ = joblib.parallel.get_active_backend()
    streams = backend.supports_return_generator
    # A backend that returns nothing before all of a list is done gets lists of a few.
    size = len(tasks) if streams else 2 * count
    kind = "generator_unordered" if streams else "list"
    with joblib.Parallel(n_jobs=count, return_as=kind, batch_size=1) as workers:
        for first in range(0, len(tasks), size):
            some = tasks[first : first + size]
            yield from workers(joblib.delayed(_attempt_in_worker)(task) for task in some)


_alone = threading.Lock()


def _attempt_in_worker(task: Task) -> Finished:
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
