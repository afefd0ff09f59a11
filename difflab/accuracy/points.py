"""What was found at many points: a judgement each, and one table of all.

What flows: arguments with a batch axis are taken apart point by point, each point is judged as it
would be alone, and the judgements stand side by side. The invariant: nothing is shared between
points, so that each is what its own call gives.

>>> from difflab.accuracy.check import check
>>> found = check(np.tanh, np.array([0.5, 20.0]), batch=0, gradient=lambda x: 1 - np.tanh(x) ** 2)
>>> found.verdicts, found.ok
(['correct', 'rounding'], True)
>>> found.table[["point", "component", "verdict"]]
   point component   verdict
0      0         x   correct
1      1         x  rounding
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from difflab.accuracy.judge import JUDGEMENTS
from difflab.accuracy.partials import REGULARITIES
from difflab.ir.tree import flatten, unflatten
from difflab.operators.batched import BatchAxes, axes_of, leading, point
from difflab.views import notebook

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")


class Points(Sequence[T], Generic[T]):
    """A result for each point of a batch: ``points[3]`` is that of the fourth."""

    def __init__(self, results: Sequence[T]) -> None:
        self.results = tuple(results)

    def __len__(self) -> int:
        return len(self.results)

    def __getitem__(self, index: Any) -> Any:
        found = self.results[index]
        return Points(found) if isinstance(index, slice) else found

    def __iter__(self) -> Iterator[T]:
        return iter(self.results)

    def _each(self, name: str) -> list[Any]:
        return [getattr(result, name) for result in self.results]

    @property
    def verdicts(self) -> list[str]:
        """The verdict at each point."""
        return self._each("verdict")

    @property
    def verdict(self) -> str:
        """The worst of them."""
        verdicts = self.verdicts
        scale = JUDGEMENTS if set(verdicts) <= set(JUDGEMENTS) else REGULARITIES
        return max(verdicts, key=scale.index)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong at any point."""
        return all(self._each("ok"))

    def __bool__(self) -> bool:
        return self.ok

    @property
    def midpoint(self) -> Any:
        """Of enclosures: the derivatives, correctly rounded, stacked along a leading axis."""
        return _stacked(self._each("midpoint"))

    @property
    def radius(self) -> Any:
        """Of enclosures: how far the exact derivatives can be from the centres, stacked."""
        return _stacked(self._each("radius"))

    @property
    def table(self) -> pd.DataFrame:
        """The tables of all points, under each other; the first column counts the points."""
        import pandas as pd

        tables = self._each("table")
        for k, table in enumerate(tables):
            table.insert(0, "point", k)
        whole: pd.DataFrame = pd.concat(tables, ignore_index=True)
        return whole

    def __str__(self) -> str:
        if not hasattr(self.results[0], "verdict"):
            return self.table.to_string(index=False, float_format="{:.3g}".format)
        worst = self.verdicts.index(self.verdict)
        return f"{self!r}\npoint {worst}: {self.results[worst]}"

    def __repr__(self) -> str:
        kind = type(self.results[0]).__name__.lower()
        if not hasattr(self.results[0], "verdict"):
            return f"<{kind}s at {len(self)} points>"
        counts = ", ".join(f"{n} {verdict}" for verdict, n in Counter(self.verdicts).items())
        return f"<{kind}s at {len(self)} points: {counts}>"

    def _repr_html_(self) -> str:
        table = self.table.to_html(index=False, na_rep="", float_format="{:.6g}".format)
        return notebook.scrolled(table)


def at_each(judge: Callable[..., T], args: tuple[Any, ...], axes: BatchAxes) -> Points[T]:
    """What a judge finds at each point of a batch."""
    every = axes_of(0 if axes is True else axes, len(args))
    moved, size = leading(args, every)
    return Points([judge(*point(moved, every, k)) for k in range(size)])


def _stacked(trees: Sequence[Any]) -> Any:
    leaves, structures = zip(*map(flatten, trees), strict=True)
    return unflatten(structures[0], [np.stack(column) for column in zip(*leaves, strict=True)])
