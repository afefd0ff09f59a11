"""One function at one point, differentiated by every method and held against the truth.

What flows: a method and a function go in, a flat row comes out; the rows make a table. The
invariant: every error is a distance from the enclosure of the truth, never from another method; a
method that fails is a row that says why.
"""

from __future__ import annotations

import html
import math
import statistics
import time
import timeit
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from difflab.accuracy.subject import float_arguments, numbers
from difflab.accuracy.truth import Enclosure, truth
from difflab.errors import ArgumentError, DifflabError
from difflab.ir.tree import read_arguments
from difflab.methods import METHODS, Method, method_of
from difflab.operators import jacobian
from difflab.operators.arguments import Argnums
from difflab.operators.programs import Prepared
from difflab.views.terminal import fitted

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

SAMPLE_SECONDS = 2e-3
ROUNDS = 5
WITHOUT = {"kink": "kink", "jump": "jump", "undefined": "no value", "undecided": "undecided"}
"""What a row says where there is no derivative to hold it against."""
STATUSES = ("ok", "outside the domain", *WITHOUT.values())
"""What a row says that is not the reason of a failure."""
IMPORTANCE = (
    "method", "status", "digits", "ulps_max", "relative_error", "evaluations", "seconds_run",
    "operations", "ulps_median", "seconds_derive", "seconds_trace", "seconds_compile",
)  # fmt: skip
"""The columns, those first that a terminal shows if it has room for a few."""
DIGITS = {8: 53 * math.log10(2.0), 4: 24 * math.log10(2.0)}
"""The decimal digits of a float, by its size in bytes."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The rows, with a table and a plot; shows itself in notebooks."""

    name: str
    rows: tuple[dict[str, Any], ...]
    enclosure: Enclosure

    @property
    def table(self) -> pd.DataFrame:
        """One row a method.

        Columns: ``method``, ``status``, ``ulps_max`` and ``ulps_median`` (distance from the truth
        in units in the last place), ``relative_error`` (largest), ``digits`` (correct ones, of
        15.95), ``evaluations`` of the function, ``operations`` of the derivative program
        (elementary ones, per element), and seconds: ``seconds_trace``, ``seconds_derive``,
        ``seconds_compile``, ``seconds_run``.
        """
        import pandas as pd

        return pd.DataFrame(list(self.rows))

    def plot(self) -> Figure:
        """Error in ulps, and time of a call, for each method."""
        from matplotlib.figure import Figure

        rows = [row for row in self.rows if not math.isnan(row["ulps_max"])]
        if not rows:
            raise ArgumentError("there is no error of a method to plot", "look at .table for why")
        figure = Figure(figsize=(8.0, 0.9 + 0.42 * len(rows)), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        names = [row["method"] for row in rows]
        errors = [row["ulps_max"] for row in rows]
        left.barh(names, [max(error, 0.05) for error in errors], color="#0072B2")
        left.set(xscale="log", xlabel="largest error (ulps)")
        left.axvline(0.5, color="black", linestyle=":", linewidth=1)
        left.set_xlim(0.04, max(10.0, *(10 * error for error in errors if math.isfinite(error))))
        for name, error in zip(names, errors, strict=True):
            left.annotate(f" {error:.2g}", (max(error, 0.05), name), va="center", fontsize=8)
        right.barh(names, [1e6 * row["seconds_run"] for row in rows], color="#E69F00", hatch="//")
        right.set(xscale="log", xlabel="time of one call (µs)")
        left.invert_yaxis()
        figure.suptitle(f"Derivative of {self.name}: error (dotted: half an ulp) and time")
        return figure

    @property
    def _told(self) -> list[str]:
        return [*map(str, self.enclosure.kinks), *self.enclosure.notes]

    def __str__(self) -> str:
        with np.printoptions(legacy="1.25"):  # numbers as numbers, not as np.float64(1.0)
            first = f"derivative of {self.name}; the truth is {self.enclosure.midpoint}"
        rows, reasons = [], []
        for row in self.rows:
            shown = {key: _cell(value) for key, value in row.items()}
            if row["status"] not in STATUSES:
                reasons.append(f"{row['method']}: {row['status']}")
                shown["status"] = "failed"
            rows.append(shown)
        return "\n".join([first, *self._told, fitted(rows, IMPORTANCE), *reasons])

    def _repr_html_(self) -> str:
        told = "".join(f"<p>{html.escape(line)}</p>" for line in self._told)
        return told + str(self.table.to_html(index=False, float_format="{:.3g}".format))


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.3g}"
    return str(value)


def compare(
    f: Callable[..., Any],
    *args: Any,
    methods: Sequence[str | Method] | None = None,
    argnums: Argnums | None = None,
) -> Comparison:
    """Differentiate a function at a point by every method, and hold each against the truth.

    Parameters
    ----------
    f, args
        A function that can be traced, and the point. By default all arguments that hold floats are
        differentiated.
    methods
        Names in `METHODS`, or method objects; all of `METHODS` by default.
    argnums
        Which arguments to differentiate.

    Returns
    -------
    Comparison
        ``.table`` is a DataFrame, ``.plot()`` a Matplotlib figure.

    Examples
    --------
    >>> comparison = compare(np.tanh, 20.0, methods=["reverse", "central_difference"])
    >>> comparison.table[["method", "status", "evaluations"]]
                   method status  evaluations
    0             reverse     ok            1
    1  central_difference     ok            2
    """
    chosen = [method_of(method) for method in (methods if methods is not None else METHODS)]
    by = float_arguments(args) if argnums is None else argnums
    enclosure = truth(f, *args, argnums=by)
    rows = tuple(_row(f, args, by, method, enclosure) for method in chosen)
    return Comparison(getattr(f, "__name__", "f"), rows, enclosure)


def _row(
    f: Callable[..., Any],
    args: tuple[Any, ...],
    argnums: Argnums,
    method: Method,
    enclosure: Enclosure,
) -> dict[str, Any]:
    """What one method gives; a failure is a row with its reason."""
    unknown = (
        "ulps_max", "ulps_median", "relative_error", "digits", "evaluations", "operations",
        "seconds_trace", "seconds_derive", "seconds_compile", "seconds_run",
    )  # fmt: skip
    row: dict[str, Any] = {"method": method.name, "status": "ok"}
    row |= dict.fromkeys(unknown, math.nan) | {"evaluations": 0, "operations": 0}
    try:
        start = time.perf_counter()
        made = jacobian(f, argnums=argnums, method=method, engine="numpy")  # run a few times only
        prepared = made.prepare(*args)
        whole = time.perf_counter() - start
        result = result_of(prepared, args)
    except DifflabError as error:
        return row | {"status": error.what}
    derivation = prepared.derivation
    phases = dict(derivation.seconds)
    compiling = phases.pop("compile", 0.0)
    _, arrays = read_arguments(args, {})
    if enclosure.verdict in WITHOUT:
        row["status"] = WITHOUT[enclosure.verdict]
    else:
        row |= errors(result, enclosure)
        if method.caller is not None and not np.all(np.isfinite(numbers(result))):
            row["status"] = "outside the domain"
    return row | {
        "evaluations": derivation.evaluations,
        "operations": derivation.graph.operation_count() if derivation.graph is not None else 0,
        "seconds_trace": max(whole - sum(phases.values()) - compiling, 0.0),
        "seconds_derive": sum(phases.values()),
        "seconds_compile": compiling,
        "seconds_run": _seconds(lambda: prepared.run(*arrays)),
    }


def result_of(prepared: Prepared, args: tuple[Any, ...]) -> Any:
    """What a derived program gives at the point that it was prepared for."""
    _, arrays = read_arguments(args, {})
    with np.errstate(all="ignore"):
        return prepared.finish(prepared.run(*arrays))


def errors(result: Any, enclosure: Enclosure) -> dict[str, float]:
    """Ulps, relative error and correct digits of a result.

    Where the truth is exactly 0, the error is relative to the largest component. A result that is
    not finite has no digits; where the truth is not, everything is NaN.

    >>> errors(1.17, truth(np.exp2, 0.75))["digits"]
    2.43...
    """
    ulps, found, true = map(numbers, (enclosure.ulps(result), result, enclosure.midpoint))
    if not ulps.size:
        return {}
    with np.errstate(all="ignore"):
        largest = np.max(np.abs(true), where=np.isfinite(true), initial=0.0)
        off = np.abs(found - true) / np.where(true == 0.0, largest, np.abs(true))
    off[found == true] = 0.0
    off[~np.isfinite(found) & np.isfinite(true)] = np.inf
    worst = float(np.max(off))
    most = min(DIGITS[dtype.itemsize] for dtype in enclosure.dtypes)
    return {
        "ulps_max": float(np.max(ulps)),
        "ulps_median": float(np.median(ulps)),
        "relative_error": worst,
        "digits": float(np.clip(-math.log10(worst), 0.0, most)) if worst else most,
    }


def _seconds(call: Callable[[], object]) -> float:
    """The median time of a call over a few rounds."""
    timer = timeit.Timer(call)
    with np.errstate(all="ignore"):
        repeats = max(1, min(1000, int(SAMPLE_SECONDS / max(timer.timeit(1), 1e-9))))
        return statistics.median(timer.repeat(ROUNDS, repeats)) / repeats
