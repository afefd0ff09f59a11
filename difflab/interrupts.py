"""Ctrl-C while a command's modules are still being imported: a word, and no traceback.

What flows: nothing but an exception that nobody caught, before there is anybody who could. The
invariant: only in a process that runs ``difflab`` or an experiment's file; whoever imports difflab
as a library keeps Python's own hook.

>>> is_command("model.py"), is_command("/usr/bin/difflab")
(False, True)
"""

from __future__ import annotations

import itertools
import os
import sys
from types import TracebackType


def is_command(program: str) -> bool:
    """Whether this process is the command line, or runs a file beside a list of claims."""
    folder, name = os.path.split(program)
    if name == "-m":  # while Python looks for the module
        return ("-m", "difflab") in itertools.pairwise(sys.orig_argv)
    return name in ("difflab", "difflab.exe") or os.path.isfile(os.path.join(folder, "claims.toml"))


def _hook(kind: type[BaseException], value: BaseException, trace: TracebackType | None, /) -> None:
    if issubclass(kind, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
    else:
        sys.__excepthook__(kind, value, trace)


if is_command(*getattr(sys, "argv", [])[:1] or [""]) and sys.excepthook is sys.__excepthook__:
    sys.excepthook = _hook
