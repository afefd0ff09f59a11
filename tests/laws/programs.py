"""Random programs: plain NumPy functions drawn from the table, with a point inside their domain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from hypothesis import strategies as st

from difflab.accuracy.digits import is_gradable
from difflab.ir.row import TABLE, OpenInterval, Primitive
from difflab.table.special import log_softmax, softmax

NP: Any = np
MODERATE: Final = 4.0
CLEAR_OF_KINKS: Final = 1e-3
ROWS: Final = tuple(row for row in TABLE.values() if is_gradable(row))

MOVES: Final[dict[str, Callable[[Any], Any]]] = {
    "transpose": lambda x: NP.transpose(x),
    "ravel": lambda x: NP.reshape(x, (-1,)),
    "column": lambda x: NP.reshape(x, (-1, 1)),
    "flip": lambda x: x[..., ::-1] if x.shape else x,
    "first": lambda x: x[0] if x.shape else x,
    "every other": lambda x: x[..., ::2] if x.shape else x,
    "take": lambda x: x[np.array([0, -1, 0])] if x.shape else x,
    "join": lambda x: NP.concatenate([x, -x], axis=-1) if x.shape else x,
    "stack": lambda x: NP.stack([x, 0.5 * x]),
    "sum": lambda x: NP.sum(x),
    "sum first": lambda x: NP.sum(x, axis=0) if x.shape else x,
    "mean": lambda x: NP.mean(x, axis=-1, keepdims=True) if x.shape else x,
    "cumsum": lambda x: NP.cumsum(x, axis=-1) if x.shape else x,
    "largest": lambda x: NP.max(x),
    "sort": lambda x: NP.sort(x, axis=-1) if x.shape else x,
    "softmax": lambda x: softmax(x) if x.shape else x,
    "log_softmax": lambda x: log_softmax(x) if x.shape else x,
    "gram": lambda x: 0.1 * (x @ NP.swapaxes(x, -1, -2)) if x.ndim >= 2 else NP.dot(x, x),
    "einsum": lambda x: NP.einsum("...i,...i->...", x, x) if x.shape else x,
    "solve": lambda x: _solved(x),
    "branch": lambda x: NP.where(x > 0.1, x, 0.5 * x),
    "clip": lambda x: NP.clip(x, -1.25, 1.5),
}
"""Structural operations as a user would write them."""


def _solved(x: Any) -> Any:
    if x.ndim != 2:
        return x
    gram = x @ x.T
    return NP.linalg.solve(gram + 2.0 * np.eye(x.shape[0]), x)


def brought_into(domain: OpenInterval, x: Any, tame: bool) -> Any:
    """A value inside a domain, as a smooth function of x; `tame` where x itself is large."""
    x = NP.arctan(x) if tame else x
    if np.isfinite(domain.low) and np.isfinite(domain.high):
        return 0.9 * NP.sin(x)
    return x if np.isinf(domain.low) else domain.low + 0.5 + NP.square(x)


@dataclass(frozen=True)
class Step:
    """One operation on earlier values: a row of the table, or a move."""

    what: str
    operands: tuple[int, ...]
    tame: tuple[bool, ...]

    @property
    def row(self) -> Primitive | None:
        """The row, where the operation is not a move."""
        return None if self.what in MOVES else TABLE[self.what]

    def __call__(self, values: list[Any]) -> Any:
        chosen = [values[i] for i in self.operands]
        if self.row is None:
            return MOVES[self.what](chosen[0])
        inside = self.inside(chosen)
        if self.what == "constant_power":
            return inside[0] ** 2.5
        params = self.row.params[-1] if self.row.needs_params else {}
        return self.row.numpy[0](*inside, **params)

    def inside(self, chosen: list[Any]) -> list[Any]:
        """The operands brought into the row's domain."""
        assert self.row is not None
        parts = zip(self.row.domain, chosen, self.tame, strict=True)
        return [brought_into(domain, x, tame) for domain, x, tame in parts]


@dataclass
class Program:
    """A function of two arrays, and a point clear of its kinks."""

    point: tuple[Any, Any]
    steps: list[Step] = field(default_factory=list)

    def __call__(self, x: Any, y: Any) -> Any:
        values = [x, y]
        for step in self.steps:
            values.append(step(values))
        return values[-1] if len(values) == 3 else NP.sum(values[-1]) + 0.1 * NP.sum(values[-2])

    def __repr__(self) -> str:
        lines = [f"v{i + 2} = {s.what}{s.operands} {s.tame}" for i, s in enumerate(self.steps)]
        return f"at {self.point}: " + "; ".join(lines)


def admitted(step: Step, values: list[Any]) -> Any:
    """The value of a step at the point; None where it is not a moderate one, clear of kinks."""
    chosen = [values[i] for i in step.operands]
    if step.row is not None:
        try:
            np.broadcast_shapes(*[x.shape for x in chosen])
        except ValueError:
            return None
        if step.row.kink is not None:
            gap = np.abs(step.row.kink(*step.inside(chosen)))
            if np.any(gap < CLEAR_OF_KINKS):
                return None
    elif not _clear(step.what, chosen[0]):
        return None
    value = np.asarray(step(values))
    sound = value.dtype == np.float64 and 0 < value.size <= 12
    return value if sound and np.all(np.abs(value) < 1e6) else None


def _clear(move: str, x: Any) -> bool:
    """Whether a move is smooth at x."""
    if move in ("largest", "sort"):
        gaps = np.diff(np.sort(x, axis=None))
        return bool(np.all(gaps > CLEAR_OF_KINKS))
    edges = {"branch": (0.1,), "clip": (-1.25, 1.5)}.get(move, ())
    return all(np.all(np.abs(x - edge) > CLEAR_OF_KINKS) for edge in edges)


@st.composite
def programs(draw: st.DrawFn, longest: int = 7) -> Program:
    """A program of up to so many steps."""
    shape = draw(st.sampled_from([(), (3,), (2, 3), (2, 2)]))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    point = (np.asarray(rng.normal(size=shape)), np.asarray(rng.normal(size=shape)))
    program = Program(point)
    values: list[Any] = list(point)
    for _ in range(draw(st.integers(1, longest))):
        row = draw(st.sampled_from((*ROWS, *ROWS, *MOVES)))
        arity = len(row.domain) if isinstance(row, Primitive) else 1
        operands = tuple(draw(st.integers(0, len(values) - 1)) for _ in range(arity))
        tame = tuple(bool(np.any(np.abs(values[i]) > MODERATE)) for i in operands)
        step = Step(row.name if isinstance(row, Primitive) else row, operands, tame)
        value = admitted(step, values)
        if value is not None:
            program.steps.append(step)
            values.append(value)
    return program
