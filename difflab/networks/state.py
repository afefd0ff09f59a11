"""The state of a training run: all that an update changes, in memory and in a checkpoint.

What flows: a state goes into a file and the same bits come back. The invariant: what is not here is
a function of the settings and of the number of the update, so that a run that goes on from a
checkpoint is the run that was not interrupted.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from difflab.errors import StorageError
from difflab.networks import storage
from difflab.networks.layers import Array
from difflab.networks.solvers import Memory


@dataclass(slots=True)
class State:
    """Parameters as a flat list, the solver's memory of them, and the history so far."""

    parameters: list[Array]
    memory: Memory
    best: list[Array]
    """The parameters of the lowest validation loss, where training may stop early."""
    lowest: float = np.inf
    waited: int = 0
    """Rows of the history since the lowest validation loss."""
    update: int = 0
    losses: list[float] = field(default_factory=list)
    """Of the updates since the last row."""
    norms: list[float] = field(default_factory=list)
    """Of each layer's gradient at the last update."""
    rows: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0

    def save(self, path: str | os.PathLike[str], settings: Mapping[str, Any]) -> None:
        """Write a checkpoint, with the settings that it belongs to."""
        header = {name: getattr(self, name) for name in _PLAIN}
        storage.write(path, "checkpoint", {"settings": settings, "state": header}, self._arrays())

    def restore(self, path: str | os.PathLike[str], settings: Mapping[str, Any]) -> None:
        """Take over what a checkpoint of the same settings holds."""
        with storage.opened(path, "checkpoint") as stored:
            found, state = stored.header["settings"], stored.header["state"]
            wanted = storage.plain(settings)
            differing = [
                name for name in wanted if not storage.holds(found.get(name), wanted[name])
            ]
            if differing:
                raise StorageError(
                    f"the checkpoint {os.fspath(path)} belongs to another training run; what"
                    f" differs: {', '.join(differing)}",
                    "train with the settings and data of that run, or give the path of another"
                    " file",
                )
            for name, kind in _PLAIN.items():
                if not _is(state[name], kind):
                    raise ValueError(f"its {name} is not what it should be")
            own = self._arrays()
            arrays = stored.arrays({name: (a.shape, a.dtype) for name, a in own.items()})
        taken = iter(arrays.values())
        self.parameters = [next(taken) for _ in self.parameters]
        self.best = [next(taken) for _ in self.best]
        self.memory = [tuple(next(taken) for _ in own) for own in self.memory]
        for name in _PLAIN:
            setattr(self, name, state[name])

    def _arrays(self) -> dict[str, Array]:
        """All its arrays, by the names that they have in a file."""
        return {
            **{f"parameter{i}": p for i, p in enumerate(self.parameters)},
            **{f"best{i}": p for i, p in enumerate(self.best)},
            **{f"memory{i}_{k}": m for i, own in enumerate(self.memory) for k, m in enumerate(own)},
        }


_PLAIN = {
    "lowest": float, "waited": int, "update": int, "losses": [float], "norms": [float],
    "rows": [dict], "seconds": float,
}  # fmt: skip


def _is(value: Any, kind: Any) -> bool:
    """Whether it is a number of that kind, counts from 0; a list of them; or a row of numbers."""
    if isinstance(kind, list):
        return isinstance(value, list) and all(_is(one, kind[0]) for one in value)
    if kind is dict:
        return isinstance(value, dict) and all(_is(one, float) for one in value.values())
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return kind is float or (isinstance(value, int) and 0 <= value < 2**63)
