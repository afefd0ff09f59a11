"""What is judged by checkers: functions at points, with right gradients and mutants of them.

What flows: the name of a function of the zoo, of one with a gradient by hand, or of a special point
-> a `Stage` for each of its points -> to every checker alike.

Invariant: a gradient is called right, or a mutant, where mpmath certifies it or analysis knows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apparatus import mutants
from apparatus.handwritten import ALTERNATIVES, HANDWRITTEN
from apparatus.independent import UNKNOWN, Slopes, slopes
from apparatus.mutants import Candidate, change, finite
from apparatus.special_points import SPECIAL
from difflab.accuracy.subject import numbers
from difflab.accuracy.zoo import ZOO
from difflab.ir.expr import Graph
from difflab.ir.tree import flatten, unflatten
from difflab.lab import Row
from difflab.methods import METHODS
from difflab.tracing.trace import trace


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """A function at a point, with what is known there, and the gradients to be judged."""

    f: Callable[..., Any]
    args: tuple[Any, ...]
    about: Row
    candidates: tuple[Candidate, ...]
    exact: NDArray[np.float64] | None = None


def stages(source: str, name: str, dtype: str, rng: np.random.Generator) -> Iterator[Stage]:
    """A function at each of its points."""
    if source == "special":
        yield special_stage(name)
        return
    if source == "hand":
        points = [(HANDWRITTEN[name].f, x, "ordinary") for x in HANDWRITTEN[name].points]
    else:
        points = [(*flat(ZOO[name].f, point.args), point.kind) for point in ZOO[name].points]
    for number, (f, args, kind) in enumerate(points):
        at = tuple(np.asarray(x, dtype)[()] for x in args)
        stage = staged(source, name, f, at, {"point": number, "kind": kind}, rng)
        if stage is not None:
            yield stage


def flat(f: Callable[..., Any], args: Sequence[Any]) -> tuple[Callable[..., Any], list[Any]]:
    """A function of the arrays in its arguments, and those arrays."""
    leaves, structure = flatten(tuple(args))
    return lambda *arrays: f(*unflatten(structure, list(arrays))), leaves


def staged(
    source: str, name: str, f: Callable[..., Any], args: tuple[Any, ...], about: Row,
    rng: np.random.Generator,
) -> Stage | None:  # fmt: skip
    """What is to be judged at a point; nothing where the function cannot be evaluated."""
    try:
        usable = finite(f, args)
    except np.linalg.LinAlgError:  # the matrix is singular in float32
        return None
    true = slopes(f, args)
    about = about | {"group": true.verdict}
    if true.verdict == UNKNOWN:
        return Stage(f, args, about | {"left_out": true.reason}, ())
    graph = trace(f, *args)
    backward = mutants.reverse(graph)
    if true.verdict == "smooth" and not (usable and finite(backward, args)):
        about["group"] = "no number"
    if about["group"] != "smooth":
        return Stage(f, args, about, (Candidate("reverse mode", backward),))
    rights = right_ones(source, name, graph, backward, args, true)
    written = HANDWRITTEN.get(name) if source == "hand" else None
    attempts = (mutants.of_a_result(written.gradient, args, rng, written.terms) if written else
                mutants.of_the_rules(graph, rng))  # fmt: skip
    wrong, about["dropped"] = mutants.certified(attempts, args, true, 6 if written else 3)
    return Stage(f, args, about, (*rights, *wrong), true.numbers)


def special_stage(name: str) -> Stage:
    """A special point, with the gradients that analysis says are right, and others."""
    special = SPECIAL[name]
    with np.errstate(all="ignore"):
        exact = special.right[0](*special.args) if special.right else None
        numbers = None if exact is None else np.ravel(exact).astype(np.float64)
        candidates = [Candidate(f"right {k}", g) for k, g in enumerate(special.right)]
        for k, gradient in enumerate(special.wrong):
            given = np.ravel(gradient(*special.args))
            off = None if numbers is None else np.abs(given - numbers)
            candidates.append(Candidate(f"wrong {k}", gradient, "by analysis", off=off))
    group = "solver" if special.kind == "solver" else "special"
    about = {"point": 0, "kind": special.kind, "group": group, "known": special.known}
    return Stage(special.f, special.args, about, tuple(candidates), numbers)


def right_ones(
    source: str, name: str, graph: Graph, backward: Graph, args: tuple[Any, ...], true: Slopes
) -> list[Candidate]:
    """Certified right gradients: by the rules in both directions, by hand, by other formulas."""
    found: dict[str, Any] = {"reverse mode": backward}
    if source == "hand":
        found["by hand"] = HANDWRITTEN[name].gradient
    else:
        derived = METHODS["forward"].derive(graph, range(len(graph.inputs))).graph
        assert derived is not None
        blocks = derived.outputs[len(graph.outputs) :]
        found["forward mode"] = Graph(graph.inputs, blocks, output_tree=backward.output_tree)
        found |= ALTERNATIVES.get(name, {})
    return [
        Candidate(label, gradient, change=relative_error(gradient, args, true))
        for label, gradient in found.items()
        if finite(gradient, args) and change(gradient, args, true) == 0.0
    ]


def relative_error(gradient: Callable[..., Any], args: tuple[Any, ...], true: Slopes) -> float:
    """How far a right gradient's own values are from the truth: what rounding makes of it.

    A component that should be zero is measured against the largest.
    """
    with np.errstate(all="ignore"):
        exact, off = true.numbers, np.abs(numbers(gradient(*args)) - true.numbers)
        sizes = np.where(exact == 0.0, np.max(np.abs(exact)), np.abs(exact))
        return float(np.max(np.where(off == 0.0, 0.0, off / sizes)))
