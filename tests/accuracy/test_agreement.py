"""truth, check, compare, explain and estimate never contradict each other, at any zoo point."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from difflab.accuracy.check import check
from difflab.accuracy.compare import compare
from difflab.accuracy.estimate import estimate
from difflab.accuracy.explain import explain
from difflab.accuracy.subject import float_arguments
from difflab.accuracy.truth import truth
from difflab.accuracy.zoo import ZOO, Function, Point
from difflab.ir.tree import flatten

CASES = [
    pytest.param(entry, point, id=f"{name}-{index}-{point.kind}")
    for name, entry in ZOO.items()
    for index, point in enumerate(entry.points)
]
AS_CALLED = {
    "bisection_sqrt": "its value is a staircase, whose steps are not the curve",
    "quadratic_root-1-hard": "its value stays the same in floats for all steps: the sum cancels",
    "euclidean_norm-1-hard": "its squares underflow for smaller steps: in floats it has a tip",
}
"""Where the program in floats is another function than in real numbers, for every step."""
APART = {"kink": "kink", "jump": "jump", "undefined": "no value", "undecided": "undecided"}


def _flat(tree: Any) -> np.ndarray:
    return np.concatenate([np.ravel(np.asarray(leaf, float)) for leaf in flatten(tree)[0]])


@pytest.mark.parametrize(("entry", "point"), CASES)
def test_they_agree(entry: Function, point: Point, request: pytest.FixtureRequest) -> None:
    f, args = entry.f, point.args
    numbers = float_arguments(args)
    with np.errstate(all="ignore"):
        true = truth(f, *args, argnums=numbers)
        own = check(f, *args)
        (row,) = compare(f, *args, methods=["reverse"]).rows
        told = explain(f, *args)
        called = estimate(f, *args, argnums=numbers)
    exists = true.verdict not in APART

    assert row["status"] == APART.get(true.verdict, "ok")
    assert np.isnan(row["ulps_max"]) or exists

    endless = not np.isfinite(_flat(true.midpoint)).all()
    if exists and not endless:
        convention = own.verdict == "wrong" and "where a rule takes a side" in own.diagnosis
        assert convention or own.verdict in ("correct", "rounding", "undecided"), str(own)
    elif true.verdict in ("kink", "jump", "one-sided", "infinite"):
        assert own.verdict in ("kink", "wrong"), str(own)
    else:
        assert own.verdict == "undecided", str(own)

    words = told.verdict
    assert ("has no derivative by" in words) == bool(true.verdict in ("kink", "jump", "infinite"))
    assert ("is undefined" in words) == (true.verdict == "undefined")

    case = request.node.callspec.id
    if any(case.startswith(name) for name in AS_CALLED):
        return
    values, bands = _flat(called.value), _flat(called.error)
    for expected, value, band in zip(_flat(true.midpoint), values, bands, strict=True):
        if np.isfinite(expected) and np.isfinite(band):
            assert abs(value - expected) <= band * (1 + 1e-12)
    if called.kinks:
        assert true.verdict in ("kink", "jump", "undefined", "infinite"), called
