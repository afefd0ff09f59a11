"""Random numbers by purpose: a seed and a purpose give a stream, which nothing else disturbs.

What flows: seeds go in, generators come out. The invariant: a stream depends on the seed, the
purpose and a number alone, so that training resumed at any update draws what it would have drawn.

>>> int(stream(0, "order", 3).integers(100)) == int(stream(0, "order", 3).integers(100))
True
"""

from __future__ import annotations

from typing import Final

import numpy as np

from difflab.errors import ArgumentError

PURPOSES: Final = ("weights", "split", "order", "dropout")


def stream(seed: int, purpose: str, number: int = 0) -> np.random.Generator:
    """The generator for a purpose; `number` is that of the epoch or update."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ArgumentError(f"seed={seed!r}", "give a whole number from 0")
    key = (PURPOSES.index(purpose), number)
    return np.random.default_rng(np.random.SeedSequence(int(seed), spawn_key=key))
