"""Sample operands for every row: from its own domain, or by name where it needs params."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from difflab.ir.row import Interval, Primitive, Transpose
from difflab.table.operations import Slice

Rng = np.random.Generator


class Sample(NamedTuple):
    """Operands and params of one call of a row."""

    operands: tuple[Any, ...]
    params: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        return f"at {', '.join(map(repr, self.operands))}, {dict(self.params)}"


def interior(domain: Interval, rng: Rng, shape: tuple[int, ...]) -> Any:
    """Random numbers well inside an interval."""
    if np.isfinite(domain.low) and np.isfinite(domain.high):
        middle, radius = (domain.low + domain.high) / 2, (domain.high - domain.low) / 2
        return np.asarray(middle + 0.9 * radius * rng.uniform(-1.0, 1.0, shape))
    if np.isfinite(domain.low):
        return np.asarray(domain.low + np.exp(rng.normal(size=shape)))
    return np.asarray(1.5 * rng.normal(size=shape))


def _of(*operands: Any, **params: Any) -> Sample:
    return Sample(tuple(np.asarray(x) for x in operands), tuple(params.items()))


def _matrices(rng: Rng) -> Any:
    return rng.normal(size=(2, 3, 3)) + 3.0 * np.eye(3)


def _flags(rng: Rng, shape: tuple[int, ...]) -> Any:
    return rng.integers(0, 2, shape).astype(bool)


SLICES = (Slice(None, None, -2), 1)
NAMED: dict[str, Callable[[Rng], list[Sample]]] = {
    "expand": lambda r: [
        _of(r.normal(size=(1, 3)), shape=(2, 3)),
        _of(r.normal(size=(2, 1, 1)), shape=(2, 3, 2)),
    ],
    "reshape": lambda r: [
        _of(r.normal(size=(2, 3)), shape=(3, 2)),
        _of(r.normal(size=()), shape=(1,)),
    ],
    "transpose": lambda r: [_of(r.normal(size=(2, 3, 4)), axes=(2, 0, 1))],
    "getitem": lambda r: [
        _of(r.normal(size=(3, 4)), index=SLICES),
        _of(r.normal(size=(4,)), index=(2,)),
    ],
    "place": lambda r: [
        _of(r.normal(size=(2,)), index=SLICES, shape=(3, 4)),
        _of(r.normal(size=()), index=(2,), shape=(4,)),
    ],
    "gather": lambda r: [
        _of(r.normal(size=(4, 3)), r.integers(0, 4, (2, 2))),
        _of(r.normal(size=(4, 3)), r.integers(0, 4, 5), r.integers(0, 3, 5)),
    ],
    "scatter_add": lambda r: [
        _of(r.normal(size=(2, 2, 3)), r.integers(0, 4, (2, 2)), shape=(4, 3)),
        _of(r.normal(size=(5,)), r.integers(0, 2, 5), r.integers(0, 3, 5), shape=(2, 3)),
    ],
    "concatenate": lambda r: [
        _of(r.normal(size=(2, 3)), r.normal(size=(1, 3)), axis=-2),
        _of(r.normal(size=(2, 1)), r.normal(size=(2, 2)), r.normal(size=(2, 1)), axis=-1),
    ],
    "sum": lambda r: [
        _of(r.normal(size=(2, 3, 2)), axes=(-3, -1)),
        _of(r.normal(size=(3,)), axes=(-1,)),
    ],
    "cumsum": lambda r: [_of(r.normal(size=(3, 4)), axis=-2), _of(r.normal(size=(3,)), axis=-1)],
    "max": lambda r: [_of(r.normal(size=(2, 3, 2)), axes=(-3, -1))],
    "share_of_largest": lambda r: [_of(r.normal(size=(2, 3, 2)), axes=(-3, -1))],
    "argmax": lambda r: [_of(r.normal(size=(3, 4)), axis=-1)],
    "argsort": lambda r: [
        _of(r.normal(size=(3, 4)), axis=-2, kind=None),
        _of(r.integers(0, 3, (2, 30)).astype(float), axis=-1, kind="stable"),
        _of(r.integers(0, 3, (2, 30)).astype(float), axis=-1, kind=None),
    ],
    "all": lambda r: [_of(_flags(r, (3, 2)), axes=(-2,))],
    "any": lambda r: [_of(_flags(r, (3, 2)), axes=(-2,))],
    "matmul": lambda r: [
        _of(r.normal(size=(2, 3)), r.normal(size=(3, 4))),
        _of(r.normal(size=(2, 1, 3)), r.normal(size=(2, 3, 2))),
    ],
    "einsum": lambda r: [
        _of(r.normal(size=(2, 3)), r.normal(size=(3, 4)), subscripts="ij,jk->ki"),
        _of(r.normal(size=2), r.normal(size=(2, 3)), r.normal(size=3), subscripts="i,ij,j->"),
        _of(r.normal(size=(2, 3, 2)), r.normal(size=(2, 3)), subscripts="bij,bi->bj"),
    ],
    "solve": lambda r: [_of(_matrices(r), r.normal(size=(2, 3, 2)))],
    "det": lambda r: [_of(_matrices(r)), _of(np.outer([1.0, 2.0], [3.0, -1.0]))],
    "adjugate": lambda r: [_of(_matrices(r)), _of(np.outer([1.0, 2.0], [3.0, -1.0]))],
    "log_abs_det": lambda r: [_of(-_matrices(r))],
    "sign_det": lambda r: [_of(_matrices(r))],
    "cholesky": lambda r: [_of((a := _matrices(r)) @ np.swapaxes(a, -1, -2))],
    "softmax": lambda r: [_of(r.normal(size=(2, 3)), axis=-1), _of(r.normal(size=(2, 3)), axis=-2)],
    "log_softmax": lambda r: [_of(r.normal(size=(2, 3)), axis=-1), _of(r.normal(size=3), axis=-1)],
}
"""Rows that need params, or operands of other shapes."""

WITH_PARAMS: dict[str, tuple[dict[str, Any], ...]] = {
    "constant_power": ({"exponent": 3.0}, {"exponent": -1.5}, {"exponent": 0.1337}),
    "convert": ({"dtype": "float64"},),
    "spherical_bessel": ({"n": 0}, {"n": 1}, {"n": 4}),
}
"""Pointwise rows that need params."""


def samples(row: Primitive, shape: tuple[int, ...] = (2, 3), seed: int = 0) -> list[Sample]:
    """Samples of a row; the shape counts for pointwise rows alone."""
    rng = np.random.default_rng((seed, *row.name.encode()))
    if row.name in NAMED:
        return NAMED[row.name](rng)
    assert row.kind == "pointwise", f"{row.name} has no samples: add some to NAMED in tests/laws"
    if row.name.startswith("logical_"):
        return [_of(*[_flags(rng, shape) for _ in row.domain])]
    operands = [interior(domain, rng, shape) for domain in row.domain]
    if isinstance(row.derivative, Transpose) and row.name == "where":
        operands[0] = _flags(rng, shape)
    return [_of(*operands, **params) for params in WITH_PARAMS.get(row.name, ({},))]
