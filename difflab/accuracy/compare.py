"""One function at one point, differentiated by every method and held against the truth.

What flows: a method and a function go in, a flat row comes out; the rows make a table. The
invariant: every error is a distance from the enclosure of the truth, never from another method; a
method that fails is a row that says why.
"""

from __future__ import annotations

import math
import statistics
import time
import timeit
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from difflab.accuracy.candidate import Misfit, conformed, why_not
from difflab.accuracy.points import Points, at_each
from difflab.accuracy.subject import float_arguments, numbers
from difflab.accuracy.truth import Enclosure, truth
from difflab.errors import ArgumentError, DifflabError
from difflab.ir.brief import few, one_line
from difflab.ir.tree import flatten, read_arguments, unflatten
from difflab.methods import METHODS, Method, method_of
from difflab.operators import jacobian
from difflab.operators.arguments import Argnums
from difflab.operators.batched import BatchAxes
from difflab.operators.programs import Prepared
from difflab.tracing.called import Called
from difflab.views import notebook
from difflab.views.terminal import fitted, folded

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Methods = Sequence[str | Method] | Mapping[str, Any]
SAMPLE_SECONDS = 2e-3
ROUNDS = 5
LEAST_ULPS = 0.05
"""Smaller errors are drawn as this one."""
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
        from difflab.views.figures import Drawing

        rows = [row for row in self.rows if not math.isnan(row["ulps_max"])]
        if not rows:
            raise ArgumentError("there is no error of a method to plot", "look at .table for why")
        figure = Drawing(figsize=(8.0, 1.3 + 0.42 * len(rows)), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        errors = [row["ulps_max"] for row in rows]
        _bars(left, errors, LEAST_ULPS, color="#0072B2")
        _bars(right, [1e6 * row["seconds_run"] for row in rows], 0.0, color="#E69F00", hatch="//")
        left.set(xlabel="largest error (ulps)")
        right.set(xlabel="time of one call (µs)")
        left.axvline(0.5, color="black", linestyle=":", linewidth=1)
        left.set_yticks(range(len(rows)), [one_line(row["method"], 32) for row in rows])
        left.invert_yaxis()
        name = one_line(self.name, 40)
        figure.suptitle(f"Derivative of {name}: error (dotted: half an ulp) and time")
        return figure

    def __repr__(self) -> str:
        failed = sum(row["status"] not in STATUSES for row in self.rows)
        return one_line(
            f"<comparison of {one_line(self.name, 40)}: {len(self.rows)} methods"
            f"{f', {failed} failed' if failed else ''}, truth {self.enclosure.verdict}>"
        )

    @property
    def _told(self) -> list[str]:
        return [*map(str, self.enclosure.kinks), *self.enclosure.notes]

    def __str__(self) -> str:
        leaves = flatten(self.enclosure.midpoint)[0]
        truths = [x for leaf in leaves for x in np.asarray(leaf).flat]
        first = f"derivative of {self.name}; the truth is {few(truths)}"
        rows, reasons = [], []
        for row in self.rows:
            shown = {key: _cell(value) for key, value in row.items()}
            if row["status"] not in STATUSES:
                reasons.append(f"{row['method']}: {row['status']}")
                shown["status"] = "failed"
            rows.append(shown)
        table = fitted(rows, IMPORTANCE)
        return "\n".join([*map(folded, [first, *self._told]), table, *map(folded, reasons)])

    def _repr_html_(self) -> str:
        table = self.table.to_html(index=False, na_rep="", float_format="{:.3g}".format)
        return notebook.lines(self._told) + notebook.scrolled(table)


def _bars(axis: Axes, sizes: Sequence[float], least: float, **look: Any) -> None:
    """Bars on a logarithmic axis with their numbers behind them; infinite ones end where all do."""
    known = [max(size, least) for size in sizes if math.isfinite(size)] or [1.0]
    low = (least or min(known)) / 2
    high = max(2 * max(known), 40 * low)
    ends = [min(max(size, least), high) for size in sizes]
    axis.barh(range(len(sizes)), ends, **look)
    axis.set(xscale="log", xlim=(low, high * (high / low) ** 0.3))  # room for the numbers
    axis.xaxis.set_minor_formatter("")
    for place, (size, end) in enumerate(zip(sizes, ends, strict=True)):
        axis.annotate(f" {size:.3g}", (end, place), va="center", fontsize=8)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.3g}"
    return str(value)


@overload
def compare(
    f: Callable[..., Any],
    *args: Any,
    methods: Methods | None = None,
    argnums: Argnums | None = None,
    batch: Literal[False] = False,
) -> Comparison: ...
@overload
def compare(
    f: Callable[..., Any],
    *args: Any,
    methods: Methods | None = None,
    argnums: Argnums | None = None,
    batch: BatchAxes,
) -> Points[Comparison]: ...
def compare(
    f: Callable[..., Any],
    *args: Any,
    methods: Methods | None = None,
    argnums: Argnums | None = None,
    batch: BatchAxes | Literal[False] = False,
) -> Any:
    """Differentiate a function at a point by every method, and hold each against the truth.

    Parameters
    ----------
    f, args
        A function that can be traced, and the point. By default all arguments that hold floats are
        differentiated.
    methods
        Names in `METHODS`, or method objects; all of `METHODS` by default. A dict names them, and
        may hold functions of one's own, which take the arguments of f and return its derivative.
    argnums
        Which arguments to differentiate.
    batch
        The axis of the arguments, or one for each, along which there are many points, as in
        `truth`: then a sequence of comparisons comes back, with one ``.table``.

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
    if batch is not False:
        return at_each(partial(compare, f, methods=methods, argnums=argnums), args, batch)
    chosen = _chosen(methods)
    by = float_arguments(args) if argnums is None else argnums
    enclosure = truth(f, *args, argnums=by)
    rows = tuple(
        _row(f, args, by, name, method, enclosure)
        if callable(getattr(method, "derive", None))
        else _own_row(args, name, method, enclosure)
        for name, method in chosen
    )
    return Comparison(getattr(f, "__name__", "f"), rows, enclosure)


def _chosen(methods: Methods | None) -> list[tuple[str, Any]]:
    """Names and methods, or functions of the user's own."""
    if isinstance(methods, Mapping):
        named = methods.items()
        return [(str(k), m if _is_function(m) else method_of(m)) for k, m in named]
    if isinstance(methods, str):
        methods = [methods]
    found = [method_of(method) for method in (METHODS if methods is None else methods)]
    return [(method.name, method) for method in found]


def _is_function(method: Any) -> bool:
    return callable(method) and not hasattr(method, "derive")


def _empty_row(name: str) -> dict[str, Any]:
    unknown = (
        "ulps_max", "ulps_median", "relative_error", "digits", "evaluations", "operations",
        "seconds_trace", "seconds_derive", "seconds_compile", "seconds_run",
    )  # fmt: skip
    row: dict[str, Any] = {"method": name, "status": "ok"}
    return row | dict.fromkeys(unknown, math.nan) | {"evaluations": 0, "operations": 0}


def _own_row(
    args: tuple[Any, ...], name: str, gradient: Callable[..., Any], enclosure: Enclosure
) -> dict[str, Any]:
    """What a function of the user's own returns."""
    row, shapes = _empty_row(name), [block.shape for block in enclosure.balls]
    signature, arrays = read_arguments(args, {})
    call = Called(gradient, signature)
    try:
        blocks = [np.asarray(x, np.float64) for x in conformed(call(arrays), shapes)]
        own, _ = call.arguments(arrays)  # copies: it may change them
        row["seconds_run"] = _seconds(lambda: gradient(*own))
    except Misfit as misfit:
        return row | {"status": str(misfit)}
    except Exception as error:  # it is the user's
        return row | {"status": why_not(error)}
    if enclosure.verdict in WITHOUT:
        row["status"] = WITHOUT[enclosure.verdict]
    else:
        row |= errors(unflatten(enclosure.structure, blocks), enclosure)
    return row


def _row(
    f: Callable[..., Any],
    args: tuple[Any, ...],
    argnums: Argnums,
    name: str,
    method: Method,
    enclosure: Enclosure,
) -> dict[str, Any]:
    """What one method gives; a failure is a row with its reason."""
    row = _empty_row(name)
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
        "digits": float(np.clip(-math.log10(worst), 0.0, most)) + 0.0 if worst else most,
    }


def _seconds(call: Callable[[], object]) -> float:
    """The median time of a call over a few rounds."""
    timer = timeit.Timer(call)
    with np.errstate(all="ignore"):
        repeats = max(1, min(1000, int(SAMPLE_SECONDS / max(timer.timeit(1), 1e-9))))
        return statistics.median(timer.repeat(ROUNDS, repeats)) / repeats
