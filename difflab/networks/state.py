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
        arrays = {
            **{f"parameter{i}": p for i, p in enumerate(self.parameters)},
            **{f"best{i}": p for i, p in enumerate(self.best)},
            **{f"memory{i}_{k}": m for i, own in enumerate(self.memory) for k, m in enumerate(own)},
        }
        header = {name: getattr(self, name) for name in _PLAIN}
        storage.write(path, "checkpoint", {"settings": settings, "state": header}, arrays)

    def restore(self, path: str | os.PathLike[str], settings: Mapping[str, Any]) -> None:
        """Take over what a checkpoint of the same settings holds."""
        header, arrays = storage.read(path, "checkpoint")
        found = header.get("settings", {})
        wanted = storage.plain(settings)
        differing = [name for name in wanted if not _holds(found.get(name), wanted[name])]
        if differing:
            raise StorageError(
                f"the checkpoint {os.fspath(path)} belongs to another training run; what differs:"
                f" {', '.join(differing)}",
                "train with the settings and data of that run, or give the path of another file",
            )
        try:
            self.parameters = [arrays[f"parameter{i}"] for i in range(len(self.parameters))]
            self.best = [arrays[f"best{i}"] for i in range(len(self.best))]
            self.memory = [
                tuple(arrays[f"memory{i}_{k}"] for k in range(len(own)))
                for i, own in enumerate(self.memory)
            ]
            for name in _PLAIN:
                setattr(self, name, header["state"][name])
        except (KeyError, TypeError) as error:
            raise storage.refused(path, "checkpoint", f"{error} is missing") from None


_PLAIN = ("lowest", "waited", "update", "losses", "norms", "rows", "seconds")


def _holds(found: Any, wanted: Any) -> bool:
    """Whether all that is wanted is there: older files tell each layer options of others, too."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return all(name in found and _holds(found[name], wanted[name]) for name in wanted)
    if isinstance(wanted, list) and isinstance(found, list):
        return len(found) == len(wanted) and all(map(_holds, found, wanted))
    return bool(found == wanted)
