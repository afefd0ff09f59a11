"""Panels: the drawings that most experiments need, of rows and names of columns.

What flows: rows, the column along the axis, the column drawn, and what tells the lines apart -> a
`Figure`, one panel for each data set.

Invariant: a line is a median over the units and its band their quartiles, and the caption says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from difflab.lab.blocks import Figure
from difflab.lab.results import Selection, chosen
from difflab.lab.style import looks

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

FEW = 4
"""As many lines have their legend among them."""
ABREAST = 3
"""As many panels stand side by side."""
TICKED = 8
"""As many whole numbers along an axis are each labelled."""
SHORT = 100.0
"""An axis of less than this ratio is labelled with plain numbers."""


def curves(
    rows: pd.DataFrame, name: str, x: str, y: str, of: str, *, by: str | None = "data",
    where: Selection | None = None, unit: str = "seed", labels: tuple[str, str] = ("", ""),
    logarithms: str = "", scale: float = 1.0, order: Sequence[Any] = (), caption: str = "",
    alt: str = "", **told: Any,
) -> Figure:  # fmt: skip
    """For each value of `of` a line of y against x: the median over the units, and the quartiles.

    One panel for each value of `by`. `labels` are of the axes, with units; `logarithms` names the
    axes that are logarithmic; `scale` multiplies y. `finding` and `foot` are as in `Figure`.
    """
    own = chosen(rows, where or {})
    names = [value for value in (order or sorted(own[of].unique())) if (own[of] == value).any()]
    panels = [("", own)] if by is None else [(str(k), v) for k, v in own.groupby(by, sort=False)]
    style = looks(map(str, names))
    shape = (-(-len(panels) // ABREAST), min(len(panels), ABREAST)) if len(panels) != 4 else (2, 2)

    def draw(canvas: Canvas) -> None:
        grid = canvas.subplots(*shape, sharey=True, squeeze=False)
        lines: dict[str, Artist] = {}
        for axes, (title, part) in zip(grid.flat, panels, strict=False):
            for value in names:
                _band(axes, part[part[of] == value], x, y, scale, str(value), style[str(value)])
            axes.set(title=title, xlabel=labels[0] or x)
            places = sorted(part[part[y].notna()][x].unique())
            if "x" not in logarithms and len(places) <= TICKED and not any(k % 1 for k in places):
                axes.set_xticks(places)
            for letter in logarithms:
                logarithmic(axes, letter)
            handles, texts = axes.get_legend_handles_labels()
            lines |= dict(zip(texts, handles, strict=True))
        for axes in grid.flat[len(panels) :]:
            axes.set_axis_off()
        for axes in grid[:, 0]:
            axes.set_ylabel(labels[1] or y)
        told = [lines[str(value)] for value in names if str(value) in lines]
        if len(told) <= FEW:
            grid.flat[len(panels) - 1].legend(handles=told)
        else:  # more would cover the lines
            canvas.legend(handles=told, loc="outside right center")

    units = own[unit].nunique()
    band = f"Lines are medians of {units} {unit}s, bands reach from quartile to quartile."
    size = (max(4.6, 3.4 * shape[1] + 0.8) + 2.0 * (len(names) > FEW), 0.6 + 3.2 * shape[0])
    return Figure(name, f"{caption} {band}".strip(), alt, draw, size, **told)


def logarithmic(axes: Axes, letter: str) -> None:
    """Make an axis ("x" or "y") logarithmic, with plain numbers where it spans few decades."""
    from matplotlib.ticker import LogLocator, NullFormatter

    getattr(axes, f"set_{letter}scale")("log")
    low, high = getattr(axes, f"get_{letter}lim")()
    if high < low * SHORT:
        axis = getattr(axes, f"{letter}axis")
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())


def _band(
    axes: Axes, own: pd.DataFrame, x: str, y: str, scale: float, label: str, look: Mapping[str, Any]
) -> None:
    if own.empty:
        return
    grouped = own.groupby(x)[y]
    low, middle, high = (scale * grouped.quantile(q) for q in (0.25, 0.5, 0.75))
    line = {key: look[key] for key in look if key != "marker" or len(middle) <= 12}
    axes.plot(middle.index, middle, label=label, **line)
    axes.fill_between(middle.index, low, high, color=look["color"], alpha=0.15, linewidth=0)
