"""Results as values: the grammar in which experiments say what their rows show.

What flows: rows and names of columns -> one value for each independent unit (a seed, a function)
of each data set -> an interval for each data set -> a `Result`, which `findings` judges.

Invariant: rows of one unit are averaged before anything is counted, so that an interval never
counts rows. A run that failed or never arrived is counted, neither imputed nor deleted.

>>> import pandas as pd
>>> rows = pd.DataFrame({"data": "digits", "seed": [0, 1, 2, 3, 4] * 2,
...     "net": ["a"] * 5 + ["b"] * 5,
...     "error": [2.0, 2.1, 2.3, 2.2, 2.4, 1.0, 1.2, 1.3, 1.1, 1.5]})
>>> result = paired("b_is_better", rows, "error", left={"net": "a"}, right={"net": "b"})
>>> print(result.parts[0].interval)
0.98 [0.88, 1.08]
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from difflab.errors import DomainError, UnknownNameError
from difflab.lab.intervals import (
    Interval,
    bca_interval,
    mean_interval,
    median_interval,
    proportion_interval,
)

if TYPE_CHECKING:
    import pandas as pd

Selection: TypeAlias = Mapping[str, Any]
"""Values of columns that rows must have; a list is a choice of values."""
Statistic: TypeAlias = Literal["t", "bca", "median"]

STATISTICS: dict[Statistic, Callable[..., Interval]] = {
    "t": mean_interval, "bca": bca_interval, "median": median_interval,
}  # fmt: skip


@dataclass(frozen=True)
class Part:
    """What one data set shows.

    Parameters
    ----------
    name : of the data set; empty where there is only one
    interval : from the units that are complete; None where there are none
    planned : how many units there are, those included that failed
    values : by unit; infinite where only one side of a pair arrived, NaN where neither did
    noise : by how much a bound may be missed or passed here by noise alone, in the claim's unit
    """

    name: str
    interval: Interval | None
    planned: int
    values: tuple[float, ...] = ()
    noise: float = 0.0

    @property
    def failed(self) -> int:
        """How many units are not behind the interval."""
        return self.planned - (self.interval.n if self.interval else 0)


@dataclass(frozen=True)
class Result:
    """What an experiment's rows show about a claim, data set by data set.

    Parameters
    ----------
    claim : the claim's id in `claims.toml`
    parts : a data set each
    words : what was measured, in a sentence
    unit : what is independent, in the plural: seeds, functions, rounds
    logarithmic : whether estimates are ratios
    missing : what became of units that are not behind an interval
    noise : by how much a bound may be missed or passed by noise alone, in the claim's unit
    badges : what a reader must know beside the verdict, in a few words each
    recipe : how the intervals follow from the rows, for who recomputes them
    """

    claim: str
    parts: tuple[Part, ...]
    words: str = ""
    _: KW_ONLY
    unit: str = "seeds"
    logarithmic: bool = False
    missing: str = "diverged"
    noise: float = 0.0
    badges: tuple[str, ...] = ()
    recipe: Mapping[str, Any] = field(default_factory=dict)

    @property
    def count(self) -> tuple[int, int]:
        """Of a check: in how many cases it holds, and of how many."""
        values = [value for part in self.parts for value in part.values]
        return sum(value == 1 for value in values), len(values)


# The grammar --------------------------------------------------------------------------------------


def paired(
    claim: str, rows: pd.DataFrame, column: str, *, left: Selection, right: Selection,
    where: Selection | None = None, by: str | None = "data", unit: str = "seed", scale: float = 1.0,
    statistic: Statistic = "t", missing: str = "diverged", worst: float = math.inf, **told: Any,
) -> Result:  # fmt: skip
    """The mean of left - right, paired by unit, for each value of `by`.

    Rows that a unit has several of (depths, say) are averaged first. A NaN is a run that failed:
    worse than any other, `worst` says on which side that is. Unknown columns are refused.
    """
    recipe = _recipe(
        "paired", column, where, by, unit, statistic, left=left, right=right, scale=scale
    )
    pairs = {name: scale * own for name, own in _pairs(rows, recipe, worst).items()}
    return _result(claim, pairs, recipe, missing=missing, **told)


def ratio(
    claim: str, rows: pd.DataFrame, column: str, *, left: Selection, right: Selection,
    where: Selection | None = None, by: str | None = "data", unit: str = "seed",
    statistic: Statistic = "t", missing: str = "never arrived", worst: float = math.inf,
    **told: Any,
) -> Result:  # fmt: skip
    """The geometric mean of left / right, paired by unit, for each value of `by`: as `paired`."""
    recipe = _recipe("ratio", column, where, by, unit, statistic, left=left, right=right)
    return _result(claim, _pairs(rows, recipe, worst), recipe, missing=missing, **told)


def mean(
    claim: str, rows: pd.DataFrame, column: str, *, over: str | None = None,
    where: Selection | None = None, by: str | None = "data", unit: str = "seed", scale: float = 1.0,
    statistic: Statistic = "t", **told: Any,
) -> Result:  # fmt: skip
    """The mean of a column, or the geometric mean of its ratio to the column `over`, by unit."""
    recipe = _recipe("mean", column, where, by, unit, statistic, over=over, scale=scale)
    values = _units(rows, column, where or {}, by, unit, log=over is not None)
    if over is not None:
        below = _units(rows, over, where or {}, by, unit, log=True)
        values = {name: own - below[name] for name, own in values.items()}
    else:
        values = {name: scale * own for name, own in values.items()}
    return _result(claim, values, recipe, **told)


def share(
    claim: str, rows: pd.DataFrame, column: str, *, where: Selection | None = None,
    by: str | None = "data", unit: str = "seed", **told: Any,
) -> Result:  # fmt: skip
    """The share of independent units for which a column is true, with Wilson's interval.

    Where a unit has rows of both kinds, its own share is one value, and the interval is Student's.
    """
    recipe = _recipe("share", column, where, by, unit, "wilson")
    values = _units(rows, column, where or {}, by, unit)
    parts = []
    for name, own in values.items():
        known = own.dropna()
        if known.isin([0.0, 1.0]).all():
            interval = proportion_interval(int(known.sum()), len(known)) if len(known) else None
        else:
            interval = mean_interval(known)
        parts.append(Part(name, interval, len(own), tuple(own)))
    return Result(claim, tuple(parts), unit=_plural(unit), recipe=recipe, **told)


def exponent(
    claim: str, rows: pd.DataFrame, x: str, y: str, *, logarithms: Literal["xy", "x", "y"] = "xy",
    where: Selection | None = None, by: str | None = "data", unit: str = "seed",
    statistic: Statistic = "t", **told: Any,
) -> Result:  # fmt: skip
    """The slope of a line through log y against log x, fitted unit by unit (least squares)."""
    import numpy as np
    import pandas as pd

    recipe = _recipe("exponent", y, where, by, unit, statistic, x=x, logarithms=logarithms)
    own = _chosen(rows, where or {}, [x, y, unit, *([by] if by else [])])
    found: dict[str, pd.Series] = {}
    for name, data in _groups(own, by):
        slopes = {}
        for key, run in data.groupby(unit, sort=True):
            along, up = (run[axis].to_numpy(float) for axis in (x, y))
            along = np.log(along) if "x" in logarithms else along
            up = np.log(up) if "y" in logarithms else up
            enough = run[x].nunique() > 1 and np.isfinite([along, up]).all()
            slopes[key] = float(np.polyfit(along, up, 1)[0]) if enough else math.nan
        found[name] = pd.Series(slopes, dtype=float)
    return _result(claim, found, recipe, **told)


def every(
    claim: str, rows: pd.DataFrame, column: str, *, where: Selection | None = None,
    by: str | None = None, counted: str = "cases", **told: Any,
) -> Result:  # fmt: skip
    """A complete enumeration: in how many rows a column is true. No interval; one row is enough to
    fail."""
    recipe = _recipe("every", column, where, by, "", "count")
    own = _chosen(rows, where or {}, [column, *([by] if by else [])])
    parts = []
    for name, data in _groups(own, by):
        holds = tuple(float(value) for value in data[column].eq(True))
        parts.append(Part(name, None, len(holds), holds))
    return Result(claim, tuple(parts), unit=counted, recipe=recipe, **told)


def timed(
    claim: str, rows: pd.DataFrame, column: str = "ratio", *, where: Selection | None = None,
    by: str | None = None, **told: Any,
) -> Result:  # fmt: skip
    """Ratios of times as `interleave` gives them, a row for each value of `by`: medians of rounds.

    A bound is missed or passed only by more than the noise floor of its row, the column `noise`.
    """
    recipe = _recipe("timed", column, where, by, "round", "median")
    names = [column, f"{column}_low", f"{column}_high", "rounds", *([by] if by else [])]
    own = _chosen(rows, where or {}, names)
    parts = []
    for name, data in _groups(own, by):
        if len(data) > 1:
            raise DomainError(f"{len(data)} rows are timed as {name!r}", "name them apart by `by`")
        estimate, low, high, rounds = data.iloc[0][names[:4]]
        interval = Interval(estimate, low, high, int(rounds))
        noise = float(data["noise"].iloc[0]) if "noise" in data else 0.0
        parts.append(Part(name, interval, int(rounds), noise=noise))
    told = {"logarithmic": True, **told}
    return Result(claim, tuple(parts), unit="rounds", recipe=recipe, **told)


# One value for each unit --------------------------------------------------------------------------


def _recipe(
    kind: str, column: str, where: Selection | None, by: str | None, unit: str, statistic: str,
    **further: Any,
) -> dict[str, Any]:  # fmt: skip
    known = {"kind": kind, "column": column, "where": dict(where or {}), "by": by, "unit": unit}
    return {**known, "statistic": statistic, **further}


def chosen(rows: pd.DataFrame, where: Selection) -> pd.DataFrame:
    """The rows that have these values; a list is a choice of values.

    >>> import pandas as pd
    >>> chosen(pd.DataFrame({"depth": [2, 4, 8]}), {"depth": [4, 8]})["depth"].tolist()
    [4, 8]
    """
    return _chosen(rows, where, [])


def _chosen(rows: pd.DataFrame, where: Selection, needed: Iterable[str]) -> pd.DataFrame:
    for name in (*where, *needed):
        if name not in rows:
            raise UnknownNameError("column", name, map(str, rows.columns))
    for name, value in where.items():
        rows = rows[rows[name].isin(value if isinstance(value, list | tuple | range) else [value])]
    return rows


def _groups(rows: pd.DataFrame, by: str | None) -> list[tuple[str, pd.DataFrame]]:
    if by is None:
        return [("", rows)] if len(rows) else []
    return [(str(name), own) for name, own in rows.groupby(by, sort=False)]


def _units(
    rows: pd.DataFrame, column: str, where: Selection, by: str | None, unit: str, log: bool = False,
) -> dict[str, pd.Series]:  # fmt: skip
    """By data set, a value for each unit: the mean of its rows (of their logarithms).

    NaN where one of a unit's rows is missing, or has no value.
    """
    import numpy as np
    import pandas as pd

    own = _chosen(rows, where, [column, unit, *([by] if by else [])])
    values = own[column].astype(float)
    if log and (values <= 0).any():
        raise DomainError(
            f"{column!r} has values that are not positive, so that no ratio is defined",
            "compare differences, or select the rows that have a ratio",
        )
    if own.empty:
        return {}
    names = own[by] if by else pd.Series("", own.index)
    grouped = (values.map(np.log) if log else values).groupby([names, own[unit]])
    sizes = grouped.size()
    complete = (grouped.count() == sizes) & (sizes == sizes.groupby(level=0).transform("max"))
    means = grouped.mean().where(complete)
    if by is None:
        return {"": means.droplevel(0)}
    return {str(name): means.loc[name] for name in names.unique()}


def _pairs(rows: pd.DataFrame, recipe: Mapping[str, Any], worst: float) -> dict[str, pd.Series]:
    """By data set and unit, left - right (of logarithms, for a ratio); infinite where one side
    failed: worse than any value."""
    import numpy as np
    import pandas as pd

    column, by, unit = recipe["column"], recipe["by"], recipe["unit"]
    left, right = (
        _units(rows, column, recipe["where"] | dict(side), by, unit, log=recipe["kind"] == "ratio")
        for side in (recipe["left"], recipe["right"])
    )
    found = {}
    for name in [key for key in left if key in right]:
        units = left[name].index.union(right[name].index)
        one, other = (side[name].reindex(units).to_numpy() for side in (left, right))
        pairs = np.where(np.isnan(one) & ~np.isnan(other), worst, one - other)
        pairs = np.where(np.isnan(other) & ~np.isnan(one), -worst, pairs)
        found[name] = pd.Series(pairs, units)
    return found


def _result(
    claim: str, values: Mapping[str, pd.Series], recipe: Mapping[str, Any], **told: Any
) -> Result:
    import numpy as np

    logarithmic = recipe["kind"] == "ratio" or bool(recipe.get("over"))
    parts = []
    for name, own in values.items():
        complete = own[np.isfinite(own)]
        interval = STATISTICS[recipe["statistic"]](complete) if len(complete) else None
        if interval and logarithmic:
            estimate, low, high = (math.exp(value) for value in interval[:3])
            interval = Interval(estimate, low, high, interval.n)
        shown = np.exp(own) if logarithmic else own
        parts.append(Part(name, interval, len(own), tuple(shown)))
    told |= {"unit": _plural(recipe["unit"]), "logarithmic": logarithmic, "recipe": recipe}
    return Result(claim, tuple(parts), **told)


def _plural(unit: str) -> str:
    stem = unit.removesuffix("y") + "ie" if unit.endswith("y") else unit.removesuffix("s")
    return f"{stem}s"
