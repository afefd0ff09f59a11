"""The oracle at every point of the zoo, against mpmath and the kind of the point.

mpmath reads the values of the traced graph alone: differences with tiny steps, no rule of difflab.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2] / "experiments"))

from apparatus.independent import UNKNOWN, Slopes, slopes

from difflab.accuracy.truth import Enclosure, truth
from difflab.accuracy.zoo import ZOO
from difflab.ir.tree import flatten, unflatten

CASES: Final = [(name, k) for name, entry in ZOO.items() for k in range(len(entry.points))]
FITTING: Final = {
    "ordinary": {"smooth"},
    "hard": {"smooth"},
    "removable": {"smooth"},
    "kink": {"kink"},
    "jump": {"jump"},
    "undefined": {"undefined"},
    "edge": {"smooth", "one-sided", "infinite"},
}
KNOWN: Final = {("where_sqrt", 2): "slopes 0 and inf: an edge of the root, a kink of the function"}
NOT_TOLD: Final = {
    ("exp_by_halving", 2): "the branches meet but for 1e-17, which is a jump to a hundred digits",
}


def at(name: str, k: int) -> tuple[Callable[..., Any], list[Any]]:
    """A function of the arrays in its arguments, and those of a point."""
    leaves, structure = flatten(ZOO[name].points[k].args)
    return lambda *arrays: ZOO[name].f(*unflatten(structure, list(arrays))), leaves


def numbers(tree: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.concatenate([np.ravel(leaf) for leaf in flatten(tree)[0]]).astype(np.float64)


@cache
def both(name: str, k: int) -> tuple[Enclosure, Slopes]:
    f, args = at(name, k)
    with np.errstate(all="ignore"):
        return truth(f, *args, argnums=tuple(range(len(args)))), slopes(f, args)


@pytest.mark.parametrize(("name", "k"), CASES)
def test_the_verdict_fits_the_kind_and_is_mpmaths(name: str, k: int) -> None:
    found, other = both(name, k)
    if (name, k) not in KNOWN:
        assert found.verdict in FITTING[ZOO[name].points[k].kind]
    assert other.verdict == (UNKNOWN if (name, k) in NOT_TOLD else found.verdict), other.reason


@pytest.mark.parametrize(("name", "k"), CASES)
def test_where_there_is_a_derivative_it_is_mpmaths(name: str, k: int) -> None:
    found, other = both(name, k)
    if found.verdict not in ("smooth", "one-sided") or (name, k) in NOT_TOLD:
        return
    np.testing.assert_allclose(numbers(found.midpoint), other.numbers, rtol=1e-15, atol=1e-320)
