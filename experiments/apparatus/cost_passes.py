"""One pass of reverse mode and one of forward mode: what each of them gives of a gradient.

What flows: a program -> its pullback run once, and its pushforward run along every input in turn ->
rows with the numbers that a pass returns, how many are right, and what it costs -> evidence.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from apparatus.cost_programs import AGREES, FUNCTIONS, true_gradient
from difflab.ir.tree import flatten, unflatten
from difflab.lab import Case, Evidence, Row, share_interval
from difflab.operators import jvp, vjp
from difflab.table.identities import simplify
from difflab.tracing.trace import trace

PASSES = {"Helmholtz": [8, 22, 50], "Rosenbrock": [10, 50, 100], "network": [2, 4, 8]}
"""The sizes at which single passes are run, one after another."""


def passes(case: Case) -> Iterator[Row]:
    """One pass of reverse mode, and one of forward mode for each input: what each of them gives."""
    program = FUNCTIONS[case["function"]](case["size"])
    x, *others = program.args
    known = flat(true_gradient(case["function"], case["size"]))

    def f(x: Any) -> Any:
        return program.f(x, *others)

    def push(x: Any, tangent: Any) -> Any:
        return jvp(f, (x,), (tangent,), engine="numpy")[1]

    def pull(x: Any, cotangent: Any) -> Any:
        return vjp(f, x, engine="numpy")[1](cotangent)

    directions = unit_vectors(x)
    own = simplify(trace(f, x)).operation_count()
    modes = {"reverse": (pull, [1.0]), "forward": (push, directions)}
    for mode, (run, seeds) in modes.items():
        given = [flat(run(x, seed)) for seed in seeds]
        error = np.abs(np.concatenate(given) - known) / np.max(np.abs(known))
        each = simplify(trace(run, x, seeds[0])).operation_count()
        yield {"method": mode, "inputs": known.size, "passes": len(given),
               "numbers": given[0].size, "right": int(np.sum(error <= AGREES[True])),
               "function_operations": own, "relative": each / own}  # fmt: skip


def flat(values: Any) -> np.ndarray:
    """The numbers of a tree of arrays, as one vector."""
    return np.concatenate([np.ravel(leaf) for leaf in flatten(values)[0]])


def unit_vectors(like: Any) -> list[Any]:
    """For each number of a tree of arrays, the tree that is one there and zero elsewhere."""
    leaves, structure = flatten(like)
    ends = np.cumsum([np.size(leaf) for leaf in leaves])
    return [
        unflatten(
            structure,
            [np.reshape(part, np.shape(leaf))
             for part, leaf in zip(np.split(row, ends[:-1]), leaves, strict=True)],
        )
        for row in np.eye(ends[-1])
    ]  # fmt: skip


def passes_needed(own: pd.DataFrame) -> Iterator[Evidence]:
    if own.empty:
        return
    reverse, forward = (own[own["method"] == mode] for mode in ("reverse", "forward"))
    every = (reverse["passes"] == 1) & (reverse["right"] == reverse["inputs"])
    yield Evidence(
        "one_reverse_pass",
        share_interval(every),
        f"one pass gives all of {reverse['inputs'].min():.0f} to {reverse['inputs'].max():.0f}"
        f" derivatives, up to rounding, in {every.sum()} of {len(every)} programs, for"
        f" {spread(reverse['relative'])} times the function's operations",
    )
    single = (forward["numbers"] == 1) & (forward["right"] == forward["inputs"])
    yield Evidence(
        "one_forward_pass",
        share_interval(single & (forward["passes"] == forward["inputs"])),
        f"a pass gives one number, the derivative with respect to the variable that it follows,"
        f" in {single.sum()} of {len(single)} programs, for {spread(forward['relative'])} times"
        f" the function's operations; so all {forward['passes'].min():.0f} to"
        f" {forward['passes'].max():.0f} derivatives take as many passes, and"
        f" {spread(forward['relative'] * forward['passes'])} times the operations",
    )


def spread(values: pd.Series) -> str:
    return f"{values.min():.3g} to {values.max():.3g}"
