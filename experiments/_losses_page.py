"""The page of the experiment `losses`: rows in, comparisons, tables and drawings out."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from apparatus.classifiers import TITLES, by_seed, draw_differences, finals, mean
from apparatus.learning import (
    TRAINING,
    draw_bands,
    paired_difference,
    paired_ratio,
    rates_table,
    reached,
    updates_to,
)
from matplotlib.figure import Figure as Canvas

from difflab.lab import Figure, Interval, Table, bootstrap_interval, looks

LOGITS, FORMS = "logits", "forms"
CROSS_ENTROPY, SQUARED, TEXTBOOK = "cross-entropy", "squared error", "textbook cross-entropy"
SOFTMAX, SIGMOIDS, LINEAR = "softmax", "sigmoid", "identity"
MULTICLASS = ["digits", "mnist1d"]
THRESHOLDS = {"digits": 0.02, "mnist1d": 0.4, "breast_cancer": 0.02}
"""The training error that counts as learned."""
SGD, ADAM = "gradient descent", "Adam"
NAMES = ["data", "head", "criterion", "solver"]
Output = tuple[str, str, str]
"""A head, its loss and how it is trained."""
LOOKS = looks(
    (
        "softmax, cross-entropy",
        "softmax, squared error",
        "sigmoid, cross-entropy",
        "sigmoid, squared error",
        "linear, squared error",
        "softmax, squared error (Adam)",
        "linear, squared error (Adam)",
    )
)
PERCENT = (0, 1, 2, 5, 10, 20, 50, 100)
TICKS = (-20, -10, -5, -2, -1, 0, 1, 2, 5, 10, 20, 50)


def label(head: str, criterion: str, solver: str = SGD) -> str:
    """As it is called on the page."""
    name = f"{'linear' if head == LINEAR else head}, {criterion}"
    return name if solver == SGD else f"{name} ({solver})"


# Comparisons --------------------------------------------------------------------------------------


def finals_of(rows: pd.DataFrame, data: Iterable[str]) -> pd.DataFrame:
    """The last rows of the training runs on some data sets."""
    last = finals(rows, NAMES)
    return last[last["data"].isin(list(data))]


def of(own: pd.DataFrame, output: Output) -> pd.DataFrame:
    """The rows of a head with its loss, trained in one way."""
    same = [own[name] == value for name, value in zip(NAMES[1:], output, strict=True)]
    return own[np.logical_and.reduce(same)]


def difference(own: pd.DataFrame, column: str, left: Output, right: Output) -> Interval | None:
    """The paired difference in percentage points, of means over the data sets."""
    pair = by_seed(of(own, left), column), by_seed(of(own, right), column)
    return paired_difference(*pair) if len(pair[0].index.intersection(pair[1].index)) else None


def each_set(own: pd.DataFrame, column: str, left: Output, right: Output) -> str:
    """The means of either side and their difference, data set by data set, in words."""
    words = []
    for name, part in own.groupby("data", sort=False):
        means = [of(part, output)[column].mean() for output in (left, right)]
        found = difference(part, column, left, right)
        words.append(
            f"{TITLES[name]} {means[0]:.2f} % against {means[1]:.2f} %, difference {found}"
        )
    return "; ".join(words)


def first_updates(rows: pd.DataFrame) -> pd.DataFrame:
    """By run, when the training error was first at or below its data set's threshold."""
    training = rows[rows["part"] == TRAINING]
    return pd.concat(
        [
            updates_to(part, NAMES, THRESHOLDS[data])
            for data, part in training.groupby("data", sort=False)
        ],
        ignore_index=True,
    )


def slower(rows: pd.DataFrame, head: str) -> tuple[Interval | None, str]:
    """How many times as many updates squared error takes, over all data sets, for seeds that got
    there with both; and in words for each.
    """
    first = first_updates(rows)
    own = first[(first["head"] == head) & (first["solver"] == SGD)]
    found, words = [], []
    for data, part in own.groupby("data", sort=False):
        sides = [part[part["criterion"] == name] for name in (SQUARED, CROSS_ENTROPY)]
        left, right = (side.set_index("seed")["update"].dropna() for side in sides)
        counts = f"{reached(sides[0])} against {reached(sides[1])}"
        both = left.index.intersection(right.index)
        if len(both):
            found.append(np.log(left[both] / right[both]))
            counts = f"{paired_ratio(left, right)}, {counts}"
        words.append(f"{TITLES[data]}, to {100 * THRESHOLDS[data]:g} %: {counts}")
    if not found:
        return None, "; ".join(words)
    logs = pd.concat(found).groupby(level="seed").mean()
    interval = bootstrap_interval(logs, statistic=np.mean)
    return Interval(*np.exp(interval[:3]).tolist(), interval.n), "; ".join(words)


# Tables -------------------------------------------------------------------------------------------


def tables(rows: pd.DataFrame) -> list[Table]:
    return [results(rows), forms(rows), rates_table(rows, NAMES)]


def results(rows: pd.DataFrame) -> Table:
    last, first = finals_of(rows, TITLES), first_updates(rows)
    lines = []
    for (data, *output), runs in first.groupby(NAMES, sort=False):
        own = of(last[last["data"] == data], tuple(output))
        lines.append(
            {
                "data": TITLES[data],
                "head, loss": label(*output),
                "test error, %": mean(own["error"]),
                "calibration error, %": mean(own["ece"]),
                "training error, %": mean(own["learned"]),
                "updates": median(runs["update"].dropna()),
                "learned": reached(runs),
            }
        )
    goals = ", ".join(f"{100 * THRESHOLDS[data]:g} % on {TITLES[data]}" for data in TITLES)
    return Table(
        "What was learned",
        f"Means of {last['seed'].nunique()} seeds after the last update, with 95 % bootstrap"
        f" intervals. Updates: the median of the runs that came to a training error of {goals};"
        " the others are counted, not imputed.",
        pd.DataFrame(lines).set_index("data"),
    )


def median(values: pd.Series) -> str:
    return f"{values.median():.0f}" if len(values) else "none"


def forms(rows: pd.DataFrame) -> Table:
    """Where cross-entropy breaks, by form."""
    own = rows[(rows["part"] == LOGITS) & rows["criterion"].isin([CROSS_ENTROPY, TEXTBOOK])]
    runs = rows[rows["part"] == FORMS]
    lines = []
    for (head, criterion, dtype), part in own.groupby(["head", "criterion", "dtype"]):
        same = of(runs[runs["dtype"] == dtype], (head, criterion, SGD))
        wrong, right = (part[part["side"] == side] for side in ("wrong", "right"))
        lines.append(
            {
                "head": head,
                "form": "textbook" if criterion == TEXTBOOK else "fused",
                "dtype": dtype,
                "breaks where wrong by": breaks(wrong),
                "breaks where right by": breaks(right),
                "gradient where wrong, ulps": wrong[wrong["finite"].eq(True)]["ulps"].max(),
                "training runs stopped": f"{same['diverged'].eq(True).sum()} of {len(same)}",
            }
        )
    return Table(
        "The fused form and the textbook form of cross-entropy",
        "Between which distances of the true class's logit from the largest other one the loss or"
        " its gradient stops being finite, and how many training runs on digits ended there, at the"
        " best rate of the fused form. Right and confident is enough: 0 · log 0 is NaN. Ulps: the"
        " worst gradient of a wrong output before that, against its enclosure.",
        pd.DataFrame(lines).set_index("head"),
    )


def breaks(part: pd.DataFrame) -> str:
    """The last distance at which all is finite and the first at which something is not."""
    bad = part[part["finite"].ne(True)]["away"]
    if bad.empty:
        return f"nowhere up to {part['away'].max():g}"
    return f"{part[part['away'] < bad.min()]['away'].max():.3g} to {bad.min():.3g}"


# Figures ------------------------------------------------------------------------------------------


def figures(rows: pd.DataFrame) -> list[Figure]:
    last = finals_of(rows, MULTICLASS)
    seeds, sets = last["seed"].nunique(), last["data"].nunique()
    names = " and ".join(TITLES[data] for data in last["data"].unique())
    return [
        Figure(
            "against_softmax_with_cross_entropy",
            f"Test error (left) and calibration error (right) minus those of a softmax with"
            f" cross-entropy, trained in the same way, on {names}, paired by seed: means of {seeds}"
            " seeds with 95 % bootstrap intervals, on axes that are logarithmic beyond 2. Right of"
            " the line is worse than softmax with cross-entropy.",
            "Dots with intervals of paired differences for the other heads and losses",
            lambda canvas: draw_compared(canvas, last),
            (10.5, 0.9 + 2.6 * sets),
        ),
        Figure(
            "wrong_outputs",
            "The derivative of the loss in the true class's logit a, which lies s below the largest"
            " other one: medians over the draws of the other logits (points, by reverse mode, in"
            " float64), and in theory (dashed): 1 for cross-entropy, 2 exp(-s) and exp(-s) for"
            " squared error of softmax and sigmoids, 1 + s of a linear output. Softmax and sigmoids"
            " lie on each other. Squared error has next to no gradient where it is most wrong.",
            "Falling curves for squared error, a flat one for cross-entropy, a rising one",
            lambda canvas: draw_wrong(canvas, rows),
            (8.5, 4.4),
        ),
        Figure(
            "learning",
            f"Training error against updates by gradient descent, each at its tuned rate: medians"
            f" of {seeds} seeds, bands from quartile to quartile, on an axis that is logarithmic"
            " beyond 1 %. Dotted: the training error that counts as learned.",
            "Falling curves of training error for every head and loss",
            lambda canvas: draw_learning(canvas, rows),
            (10.5, 4.6),
        ),
    ]


def draw_compared(canvas: Canvas, last: pd.DataFrame) -> None:
    sets = list(last["data"].unique())
    panels = canvas.subplots(len(sets), 2, squeeze=False, sharex="col", sharey=True)
    for line, data in zip(panels, sets, strict=True):
        own = last[last["data"] == data]
        for axes, column in zip(line, ("error", "ece"), strict=True):
            draw_differences(axes, compared(own, column), LOOKS)
            what = "test error" if column == "error" else "calibration error"
            axes.set_title(f"{TITLES[data]}: {what}")
            axes.set_xscale("symlog", linthresh=2.0)
    for axes in panels[-1]:
        low, high = axes.get_xlim()
        ticks = [tick for tick in TICKS if low <= tick <= high]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.set_xlabel("paired difference (percentage points)")


def compared(own: pd.DataFrame, column: str) -> dict[str, Interval]:
    """By name, the difference of every output from the reference that was trained in its way."""
    found = {}
    for output in own[NAMES[1:]].drop_duplicates().itertuples(index=False, name=None):
        reference = (SOFTMAX, CROSS_ENTROPY, output[-1])
        interval = difference(own, column, output, reference)
        if output != reference and interval is not None:
            found[label(*output)] = interval
    return {name: found[name] for name in LOOKS if name in found}


def draw_wrong(canvas: Canvas, rows: pd.DataFrame) -> None:
    axes = canvas.subplots()
    own = rows[(rows["part"] == LOGITS) & (rows["dtype"] == "float64") & (rows["side"] == "wrong")]
    own = own[(own["criterion"] != TEXTBOOK) & (own["away"] < 700)]
    for (head, criterion), part in own.groupby(["head", "criterion"], sort=False):
        middle, name = part.groupby("away")["slope"].median(), label(head, criterion)
        look = {key: LOOKS[name][key] for key in ("color", "marker")}
        axes.plot(middle.index, middle, linestyle="none", label=name, **look)
    s = np.geomspace(1, 690, 400)
    for theory in (np.ones_like(s), 2 * np.exp(-s), np.exp(-s), 1 + s):
        axes.plot(s, theory, color="black", linestyle="--", linewidth=1)
    axes.set(xscale="log", yscale="log", ylim=(1e-45, 1e6))
    axes.set(xlabel="distance s of the true class's logit below the largest", ylabel="|dL/da|")
    canvas.legend(loc="outside right upper")


def draw_learning(canvas: Canvas, rows: pd.DataFrame) -> None:
    own = rows[(rows["part"] == TRAINING) & rows["diverged"].ne(True) & (rows["solver"] == SGD)]
    own = own.assign(
        output=[label(*names) for names in own[NAMES[1:]].itertuples(index=False)],
        percent=100 * own["train_error"],
    )
    sets = [data for data in TITLES if data in set(own["data"])]
    for axes, data in zip(canvas.subplots(1, len(sets), squeeze=False)[0], sets, strict=True):
        part = own[own["data"] == data]
        draw_bands(axes, part, "update", "percent", "output", LOOKS)
        axes.axhline(100 * THRESHOLDS[data], color="black", linestyle=":", linewidth=1)
        axes.set(title=TITLES[data], xlabel="updates", ylim=(0, 100))
        axes.set_yscale("symlog", linthresh=1.0)
        axes.set_yticks(PERCENT, [f"{tick:g}" for tick in PERCENT])
        axes.minorticks_off()
        if data == sets[0]:
            axes.set_ylabel("training error (%)")
            canvas.legend(loc="outside lower center", ncols=3)
