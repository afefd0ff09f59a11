"""One contestant in a process of its own: what its start, its first call and its memory cost.

What flows: ``python -m apparatus.peers.alone CONTESTANT WORKLOAD SIZE`` prints a row as JSON:
seconds to import and start, from there to the first result, and by how much memory has grown at
most, imports and some calls together. The arguments are there before.
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
    command = [sys.executable, "-m", "apparatus.peers.alone", contestant, name, str(size)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def memory(field: str) -> int:
    """Bytes held by this process now (VmRSS) or at most so far (VmHWM), where Linux says."""
    if not STATUS.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fields = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    return 1024 * int(fields[field].split()[0])


def main(contestant: str, name: str, size: str) -> None:
    from apparatus.peers.contestants import CONTESTANTS
    from apparatus.peers.workloads import workload

    task, who = workload(name, int(size)), CONTESTANTS[contestant]
    if STATUS.exists():
        Path("/proc/self/clear_refs").write_text("5")  # forget what was the most until now
    bare, begun = memory("VmRSS"), time.perf_counter()
    who.start()
    started = time.perf_counter()
    call = who.make(task)
    call()
    row = {"start_seconds": started - begun, "alone_seconds": time.perf_counter() - started}
    for _ in range(CALLS - 1):
        call()
    print(json.dumps({**row, "process_bytes": memory("VmHWM") - bare}))


if __name__ == "__main__":
    main(*sys.argv[1:])
