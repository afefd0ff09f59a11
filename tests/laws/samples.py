"""Sample operands for every row: its own, or numbers from its domain."""

from __future__ import annotations

from typing import Any

import numpy as np

from difflab.ir.row import Interval, Primitive, Sample, sample

Rng = np.random.Generator


def interior(domain: Interval, rng: Rng, shape: tuple[int, ...]) -> Any:
    """Random numbers well inside an interval."""
    if np.isfinite(domain.low) and np.isfinite(domain.high):
        middle, radius = (domain.low + domain.high) / 2, (domain.high - domain.low) / 2
        return np.asarray(middle + 0.9 * radius * rng.uniform(-1.0, 1.0, shape))
    if np.isfinite(domain.low):
        return np.asarray(domain.low + np.exp(rng.normal(size=shape)))
    return np.asarray(1.5 * rng.normal(size=shape))


def samples(row: Primitive, shape: tuple[int, ...] = (2, 3), seed: int = 0) -> list[Sample]:
    """Samples of a row; the shape counts for pointwise rows alone."""
    rng = np.random.default_rng((seed, *row.name.encode()))
    if row.sample is not None:
        return list(row.sample(rng, shape))
    operands = [interior(domain, rng, shape) for domain in row.domain]
    return [sample(*operands, **params) for params in row.params]
