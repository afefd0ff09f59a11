"""Values and gradients written by hand in C, where there is a compiler.

What flows: functions.c -> gcc -> a shared library, made once a process -> a function of NumPy
arrays for each workload that has one in C. All take the number, the addresses of the arguments, and
those of the arrays that the gradients are written to.
"""

from __future__ import annotations

import ctypes
import functools
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

FLAGS = ("-O3", "-march=native", "-ffast-math")
TEXT = Path(__file__).with_name("functions.c")
NUMBERS: dict[str, Callable[..., tuple[int, ...]]] = {  # the whole numbers that they get first
    **dict.fromkeys(("rosenbrock", "product", "helmholtz", "chain"), lambda x, *_: x.shape),
    "logistic": lambda w, features, labels: features.shape,
    "bodies": lambda x, masses: x.shape[:1],
    "pendulums": lambda angles, k, steps: (len(angles), steps),
}


@functools.cache
def library() -> ctypes.CDLL:
    """The functions, compiled."""
    with tempfile.TemporaryDirectory(prefix="difflab-peers-") as folder:
        made = Path(folder, "functions.so")
        subprocess.run(["gcc", *FLAGS, "-fPIC", "-c", str(TEXT)], check=True, cwd=folder)
        # Linked apart: with -ffast-math the library would round the process's denormals to zero.
        link = ["gcc", "-shared", "functions.o", "-o", str(made), "-lm"]
        subprocess.run(link, check=True, cwd=folder)
        return ctypes.CDLL(str(made))


def calling(name: str, wrt: int) -> Callable[..., Any]:
    """A function of NumPy arrays: the value, and fresh arrays for the first `wrt` gradients."""
    function = library()[name]
    function.restype = ctypes.c_double
    pointer, whole, numbers = ctypes.c_void_p, ctypes.c_long, NUMBERS[name]

    def call(*args: Any) -> Any:
        made = [np.empty(given.shape) for given in args[:wrt]]
        arrays = [given for given in args if isinstance(given, np.ndarray)]
        addresses = [pointer(array.ctypes.data) for array in (*arrays, *made)]
        return function(*map(whole, numbers(*args)), *addresses), *made

    return call
