"""One contestant in a process of its own: what its start, its first call and its memory cost.

What flows: ``python -m apparatus.peers.alone CONTESTANT WORKLOAD SIZE`` prints a row as JSON:
seconds to import and start, seconds until the first result, and by how many bytes memory grew at
most, both
by the start and by some calls after it. The arguments are there before, and count as neither.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

CALLS = 5
STATUS = Path("/proc/self/status")


def measured(contestant: str, name: str, size: int) -> dict[str, Any]:
    """The row of a contestant, measured in a new process."""
    folders = [str(Path(__file__).parents[2]), *filter(None, sys.path)]
    done = subprocess.run(
        [sys.executable, "-m", "apparatus.peers.alone", contestant, name, str(size)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def memory(most: bool) -> int:
    """Bytes held by this process now, or at most since it was asked last (where Linux says)."""
    if not STATUS.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fields = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    return 1024 * int(fields["VmHWM" if most else "VmRSS"].split()[0])


def main(contestant: str, name: str, size: str) -> None:
    """Measure here, and print the row."""
    from apparatus.peers.contestants import CONTESTANTS
    from apparatus.peers.workloads import workload

    task, who = workload(name, int(size)), CONTESTANTS[contestant]
    bare, begun = memory(most=False), time.perf_counter()
    who.start()
    started, ready = time.perf_counter(), memory(most=False)
    if STATUS.exists():
        Path("/proc/self/clear_refs").write_text("5")
    call = who.make(task)
    call()
    first = time.perf_counter() - started
    for _ in range(CALLS - 1):
        call()
    row = {
        "start_seconds": started - begun,
        "alone_seconds": first,
        "start_bytes": ready - bare,
        "peak_bytes": memory(most=True) - ready,
        "argument_bytes": sum(array.nbytes for array in task.args),
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main(*sys.argv[1:])
