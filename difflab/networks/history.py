"""The history of a training: a table that draws itself.

What flows: the rows that epochs left become a DataFrame; `plot()` makes of its loss and its score a
figure. The invariant: what is made of a history, such as a choice of its rows, is a DataFrame.

>>> history = History({"epoch": [1, 2], "loss": [0.9, 0.5], "accuracy": [0.5, 1.0]})
>>> [axis.get_ylabel() for axis in history.plot().axes]
['loss', 'accuracy (share of instances)']
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pandas as pd
from pandas.plotting import PlotAccessor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCORES: Final = {"accuracy": "accuracy (share of instances)", "r2": "R² (at most 1)"}
LINES: Final = {
    "training": {"color": "#0072B2", "linestyle": "-", "marker": "o"},
    "validation": {"color": "#D55E00", "linestyle": "--", "marker": "s"},
}
WIDE: Final = 100.0
"""The ratio of losses from which they are drawn on a logarithmic axis."""


class History(pd.DataFrame):
    """The rows of `Network.fit`, one an epoch."""

    @property
    def plot(self) -> Plot:
        """``plot()``: loss and score by epoch (by update, where an epoch has several rows), in
        training and validation, as a Matplotlib figure; with arguments, and ``plot.line`` and the
        others, as of any DataFrame.
        """
        return Plot(self)


class Plot(PlotAccessor):
    """The figure of a history, and whatever else pandas draws."""

    def __init__(self, history: History) -> None:
        super().__init__(history)
        self.history = history

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The history's own figure, where nothing is asked for."""
        return super().__call__(*args, **kwargs) if args or kwargs else _figure(self.history)


def _figure(history: pd.DataFrame) -> Figure:
    from matplotlib.ticker import MaxNLocator

    from difflab.views.figures import Drawing

    score = next(name for name in SCORES if name in history)
    by = "epoch" if history["epoch"].is_unique else "update"
    figure = Drawing(figsize=(9.0, 3.8), layout="constrained")
    panels = figure.subplots(1, 2)
    for axis, name, label in zip(panels, ("loss", score), ("loss", SCORES[score]), strict=True):
        for what, prefix in (("training", ""), ("validation", "validation_")):
            if prefix + name in history:
                spaced = max(1, len(history) // 20)
                axis.plot(history[by], history[prefix + name], label=what,
                          markevery=spaced, markersize=5, **LINES[what])  # fmt: skip
        axis.set(xlabel=by, ylabel=label)
        axis.grid(alpha=0.3)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    losses = history.filter(regex="^(validation_)?loss$").to_numpy()
    if losses.min() > 0.0 and losses.max() > WIDE * losses.min():
        panels[0].set(yscale="log", ylabel="loss (logarithmic)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure
