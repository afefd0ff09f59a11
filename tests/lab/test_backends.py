"""Where cases run changes no row: here, in processes, in threads, on a cluster, in chunks."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time

import joblib
import pytest
from joblib._parallel_backends import ThreadingBackend

from difflab.lab import workers
from difflab.lab.cases import case_list, preset
from difflab.lab.workers import WorkerError, outcomes

from .test_resume import interrupt

CASES = 9
DASK = """
import sys, time
from distributed import LocalCluster
if __name__ == "__main__":
    options = {"threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(n_workers=int(sys.argv[1]), processes=True, **options) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""


def local_cluster(folder, workers):
    """The address of a Dask cluster of worker processes, which end with the test."""
    pytest.importorskip("distributed")
    file = folder / "cluster.py"
    file.write_text(DASK)
    process = subprocess.Popen(
        [sys.executable, str(file), str(workers)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=folder,
        env={**os.environ, "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"},
    )
    yield process.stdout.readline().strip()
    process.communicate("", timeout=30)


@pytest.fixture(scope="module")
def dask(tmp_path_factory):
    yield from local_cluster(tmp_path_factory.mktemp("dask"), 2)


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    yield from local_cluster(tmp_path_factory.mktemp("single"), 1)


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    yield from local_cluster(tmp_path_factory.mktemp("empty"), 0)


def test_jobs_change_no_row_and_timed_cases_run_alone(project):
    assert project.run("--jobs", "2") == 0
    rows = project.rows()
    log = project.measured()
    assert len(log) == CASES
    timed = {pid for pid, method, *_ in log if method == "clock"}
    others = {pid for pid, method, *_ in log if method != "clock"}
    assert (len(timed), len(others)) == (1, 2) and os.getpid() not in timed | others
    assert log[-1][1] == "clock"
    other = project.root / "other"
    assert project.run("--fresh", "--output", str(other)) == 0
    assert (other / "toy" / "rows.csv").read_bytes() == rows


@pytest.mark.parametrize("name", ["project", "climb"])
def test_two_dask_workers_change_no_row(dask, request, name, capsys):
    project = request.getfixturevalue(name)
    project.switch("slow")
    assert project.run("--cluster", dask) == 0
    assert capsys.readouterr().err == ""
    rows, log = project.rows(), project.measured()
    assert len({pid for pid, method, *_ in log if method != "clock"}) == 2
    project.switch("slow", on=False)
    for jobs in ("1", "2"):
        assert project.run("--fresh", "--jobs", jobs) == 0
        assert project.rows() == rows


def test_jobs_limit_the_workers_of_a_cluster(dask, climb):
    climb.switch("slow")
    assert climb.run("--cluster", dask, "--jobs", "1") == 0
    lines = (climb.folder / "spans").read_text().splitlines()
    spans = sorted(json.loads(line) for line in lines)
    assert len(spans) == 8
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))


def test_the_cases_of_a_cluster_of_one_worker_are_not_measured_here(single, project):
    project.run("--only", "method=clock")  # timed cases are
    project.measured()
    assert project.run("--cluster", single) == 0
    assert os.getpid() not in {process for process, *_ in project.measured()}
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_failed_case_on_a_cluster_is_a_row(dask, project, capsys):
    project.switch("broken")
    assert project.run("--cluster", dask) == 1
    printed = capsys.readouterr().err
    assert "failed: method=shift steps=2 layers=[3,1] seed=0: ValueError" in printed
    assert f"python experiments/toy.py --preset smoke --cluster {dask}" in printed
    assert len(project.stored()) == CASES - 2


def test_cluster_workers_run_the_code_of_this_run(dask, climb):
    assert climb.run("--cluster", dask) == 0
    before = climb.rows()
    text = climb.file.read_text()
    climb.file.write_text(text.replace("rng.normal()", "_helper.HEIGHT + tools.own.MORE").replace(
        "import json\n", "import json\nimport _helper\nimport tools.own\n"
    ))  # fmt: skip
    (climb.folder / "tools").mkdir()
    (climb.folder / "tools" / "__init__.py").touch()
    for height, more in ((7.0, 0.0), (8.0, 0.0), (8.0, 1.0)):
        (climb.folder / "_helper.py").write_text(f"HEIGHT = {height}\n")
        (climb.folder / "tools" / "own.py").write_text(f"MORE = {more}\n")
        assert climb.run("--cluster", dask, "--fresh") == 0
        assert climb.rows() != before
        assert b",%.1f," % (height + more) in climb.rows()
        for name in ("_helper", "tools", "tools.own"):
            sys.modules.pop(name)


def test_cluster_workers_with_other_files_are_said(dask, climb, capsys, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(workers, "fingerprint", lambda file: "another")
        assert climb.run("--cluster", dask) == 1
    printed = capsys.readouterr().err
    assert f"difflab or the files in {climb.folder} are others" in printed
    assert "remedy: give all workers the same files under the same paths" in printed
    assert climb.stored() == {}
    with pytest.raises(WorkerError, match=f"there is no {climb.folder / 'gone.py'}"):
        workers._loaded(climb.folder / "gone.py", "code")


def test_a_cluster_without_workers_is_said(empty, climb, capsys, monkeypatch):
    monkeypatch.setattr(workers, "PATIENCE", 0.5)
    assert climb.run("--cluster", empty) == 1
    assert f"the cluster at {empty} has no workers" in capsys.readouterr().err


def test_a_cluster_that_does_not_answer_is_said(climb, capsys, monkeypatch):
    monkeypatch.setattr(workers, "PATIENCE", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and says nothing
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        start = time.monotonic()
        assert climb.run("--cluster", address) == 1
    assert climb.run("--cluster", address) == 1  # nobody listens any more
    assert time.monotonic() - start < 10
    printed = capsys.readouterr().err
    assert printed.count(f"no cluster answers at {address}: ") == 2
    assert "Traceback" not in printed


@pytest.mark.parametrize(
    "address", ["tcp://", "localhost:8786", "tcp://a b:1", "tcp://host", "http://host:1", "dask"]
)
def test_bad_addresses_are_refused(climb, capsys, address):
    assert climb.run("--cluster", address) == 2
    assert "is not the address of a cluster" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("address", "name"), [("tcp://127.0.0.1:1", "distributed"), ("ray", "ray")]
)
def test_a_missing_library_is_said(climb, capsys, monkeypatch, address, name):
    monkeypatch.setitem(sys.modules, name, None)
    assert climb.run("--cluster", address) == 1
    assert f'{name} is not installed\n  remedy: pip install "difflab[{name}]"' in (
        capsys.readouterr().err
    )


def test_stored_cases_need_no_cluster(climb):
    assert climb.run() == 0
    assert climb.run("--cluster", "tcp://127.0.0.1:1") == 0


def test_interrupt_stops_a_run_on_a_cluster(dask, project):
    project.switch("slow")
    process = project.started(project.stored, "--cluster", dask)
    assert f"--cluster {dask}" in interrupt(process, project)
    kept = len(project.stored())
    project.switch("slow", on=False)
    time.sleep(0.6)  # the workers finish what they are at, and nobody listens
    project.measured()
    assert project.run() == 0
    assert len(project.measured()) == CASES - kept < CASES


def test_a_cluster_worker_that_dies_is_said_and_loses_nothing(dask, project, capsys):
    project.run("--only", "method=divide")
    project.switch("dies")
    assert project.run("--cluster", dask) == 1
    printed = capsys.readouterr().err
    assert "the cluster failed: KilledWorker" in printed and "remedy: see the log" in printed
    assert len(project.stored()) == 4
    project.switch("dies", on=False)
    assert project.run("--cluster", dask) == 0


# joblib's other backends --------------------------------------------------------------------------


class Lists(ThreadingBackend):
    """A backend that, like Ray's, gives back nothing before a whole list is done."""

    supports_return_generator = False


joblib.register_parallel_backend("lists", Lists)


def test_a_backend_of_lists_works_in_chunks_that_are_stored_one_by_one(climb):
    experiment = climb.experiment
    cases = case_list(experiment, preset("full"))
    with joblib.parallel_config("lists", n_jobs=2):
        finishing = outcomes(experiment, cases)
        first, _ = next(finishing)
        assert first in cases
        assert len(climb.measured()) == 4 < len(cases)
        assert {first, *(key for key, _ in finishing)} == set(cases)
        assert climb.run() == 0
    rows = climb.rows()
    assert climb.run("--fresh") == 0
    assert climb.rows() == rows


def test_the_users_backend_is_used(project):
    with joblib.parallel_config("threading", n_jobs=2):
        assert project.run() == 0
    log = project.measured()
    assert {pid for pid, method, *_ in log if method != "clock"} == {os.getpid()}
    rows = project.rows()
    assert project.run("--fresh", "--jobs", "1") == 0
    assert project.rows() == rows


def test_jobs_are_checked(project, capsys):
    assert project.run("--jobs", "0") == 2
    assert "--jobs 0" in capsys.readouterr().err


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")
def test_ray_changes_no_row(climb):
    process = climb.start("--cluster", "ray")  # apart: ray leaves threads and sockets behind
    _, errors = process.communicate(timeout=180)
    assert process.returncode == 0, errors
    rows = climb.rows()
    assert all(json.loads(text)["seconds"] >= 0 for text, _ in climb.stored().values())
    assert climb.run("--fresh") == 0
    assert climb.rows() == rows
