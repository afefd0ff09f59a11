"""Numerical differentiation of functions that are only called: difflab and its peers over the zoo.

``python benchmarks/numerical_differentiation.py`` calls every function of the zoo as a black box at
every point (ordinary, hard, at edges of the domain, at kinks) and holds each component of the
gradient or Jacobian, with the error that the tool states, against the enclosure of the truth:

- *honest*: the share of components, and of points, whose stated error holds the true one. Nothing
  stated (NaN, or an infinite band) is honest; *undecided* counts it;
- *width*: the median of the stated error over the true one (at least half an ulp), at ordinary
  points where the derivative is not 0;
- *relative error*: the median there;
- *calls*: of the function, for each component in the median, and in total;
- *kinks*: at how many of the zoo's kinks the tool says so.

Hessians follow (numdifftools alone has them, in the form of `numdifftools.Hessian`). The peers are
those that are installed: numdifftools, and jacobi, which states one standard deviation.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

import difflab
from difflab.accuracy.zoo import ZOO
from difflab.ir.tree import flatten, unflatten

LARGEST = {1: 100, 2: 4}
"""The most inputs of the functions taken for each order."""


@dataclass
class Case:
    """A function of one vector at a point, and the truth."""

    f: Callable[[Any], Any]
    x: Any
    truth: Any
    kind: str
    calls: int = 0

    def __call__(self, x: Any) -> Any:
        self.calls += 1
        return np.asarray(self.f(np.asarray(x, np.float64)))


@dataclass
class Record:
    """What one tool gave over all cases."""

    components: list[bool] = field(default_factory=list)
    points: list[bool] = field(default_factory=list)
    undecided: int = 0
    failed: int = 0
    widths: list[float] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)
    each: list[float] = field(default_factory=list)
    kinks: int | None = None


def flat(tree: Any) -> Any:
    """All numbers of a tree in one vector."""
    return np.concatenate([np.ravel(leaf) for leaf in flatten(tree)[0]])


def cases(order: int) -> Iterator[Case]:
    """The zoo, each function with all of its arguments in one vector."""
    for entry in ZOO.values():
        for point in entry.points:
            leaves, structure = flatten(point.args)
            if flat(point.args).size > LARGEST[order]:
                continue
            shapes = [np.shape(leaf) for leaf in leaves]
            stops = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]

            def f(x: Any, f: Any = entry.f, structure: Any = structure, shapes: Any = shapes,
                  stops: Any = stops) -> Any:  # fmt: skip
                parts = [a.reshape(s)[()] for a, s in zip(np.split(x, stops), shapes, strict=True)]
                return f(*unflatten(structure, parts))

            enclosure = difflab.truth(f, flat(point.args), order=order)
            yield Case(f, flat(point.args), np.asarray(enclosure.midpoint), point.kind)


# -- tools: a case in, (value, stated error, whether it said kink) out -----------------------------


def by_difflab(case: Case, order: int) -> tuple[Any, Any, bool]:
    """difflab.estimate."""
    found = difflab.estimate(case, case.x, order=order)
    return found.value, found.error, bool(found.kinks)


def by_numdifftools(case: Case, order: int) -> tuple[Any, Any, None]:
    """numdifftools with its defaults: Jacobian (which Gradient is, for one output) or Hessian."""
    nd = import_module("numdifftools")
    kind = nd.Hessian if order == 2 else nd.Jacobian
    found = kind(case, full_output=True)(case.x)
    value, about = found if isinstance(found, tuple) and len(found) == 2 else (None, found)
    value = about.estimate if value is None else value
    error = np.broadcast_to(about.error_estimate, np.shape(value))
    return np.reshape(value, case.truth.shape), np.reshape(error, case.truth.shape), None


def by_jacobi(case: Case, order: int) -> tuple[Any, Any, None]:
    """jacobi.jacobi with its defaults."""
    value, error = import_module("jacobi").jacobi(case, case.x)
    return np.reshape(value, case.truth.shape), np.reshape(error, case.truth.shape), None


TOOLS = {"difflab": by_difflab, "numdifftools": by_numdifftools, "jacobi": by_jacobi}


def tried(tool: str, all_cases: list[Case], order: int) -> Record:
    """One tool over all cases."""
    record = Record(kinks=0 if tool == "difflab" else None)
    for case in all_cases:
        case.calls = 0
        try:
            value, error, kink = TOOLS[tool](case, order)
        except Exception:  # a tool that fails has failed, whatever the error
            record.failed += 1
            continue
        value, error, true = (np.ravel(a).astype(float) for a in (value, error, case.truth))
        known = np.isfinite(value) & ~np.isnan(error) & np.isfinite(error)
        known &= np.isfinite(true) | ~np.bool_(kink)  # a kink that is told states no derivative
        miss = np.abs(value - true)
        honest = ~known | (miss <= error)
        record.components += honest.tolist()
        record.points.append(bool(honest.all()))
        record.undecided += int((~known).sum())
        record.calls.append(case.calls)
        record.each.append(case.calls / case.x.size**order)
        if kink is not None and record.kinks is not None and case.kind == "kink":
            record.kinks += kink
        if case.kind == "ordinary":
            smooth = known & np.isfinite(true) & (true != 0.0)
            floor = np.maximum(miss, 0.5 * np.spacing(np.abs(true)))
            record.widths += (error / floor)[smooth].tolist()
            record.errors += (miss / np.abs(true))[smooth].tolist()
    return record


def main() -> None:
    """Print a table for each order."""
    for order, what in ((1, "Gradients and Jacobians"), (2, "Hessians")):
        all_cases = list(cases(order))
        kinks = sum(case.kind == "kink" for case in all_cases)
        components = sum(case.truth.size for case in all_cases)
        print(f"\n{what}: {len(all_cases)} points, {components} components, {kinks} kinks\n")
        print("| tool | honest components | honest points | undecided | failed points | width |"
              " relative error | calls a component | calls | kinks told |")  # fmt: skip
        print("|---|---|---|---|---|---|---|---|---|---|")
        for tool in TOOLS:
            if order == 2 and tool == "jacobi":
                continue
            if tool != "difflab" and find_spec(tool) is None:
                print(f"| {tool} | not installed |")
                continue
            found = tried(tool, all_cases, order)
            told = "-" if found.kinks is None else f"{found.kinks} of {kinks}"
            print(
                f"| {tool} | {100 * np.mean(found.components):.1f} % |"
                f" {100 * np.mean(found.points):.1f} % | {found.undecided} | {found.failed} |"
                f" {np.median(found.widths):.1f} | {np.median(found.errors):.1e} |"
                f" {np.median(found.each):.0f} | {sum(found.calls)} | {told} |"
            )


if __name__ == "__main__":
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        main()
