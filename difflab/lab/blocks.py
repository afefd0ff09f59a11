"""The blocks that a page is made of: text, code, formulas, tables, figures, sections.

What flows: an experiment's functions make blocks of its rows; the report gives them their look.

Invariant: a block is plain data, and holds everything that its part of a page shows.

>>> Section("The graph", ["`f = (x + y) z` has two operations.", Code("v1 = x + y")]).title
'The graph'
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from difflab.lab.short import Short

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure as Canvas


@dataclass(frozen=True, repr=False)
class Table(Short):
    """A table of results; the caption states n, the band and what to read off."""

    title: str
    caption: str
    frame: pd.DataFrame


@dataclass(frozen=True, repr=False)
class Figure(Short):
    """A plot: `draw` receives an empty Matplotlib figure of `size` inches, in the lab's style.

    `name` becomes the file name, `alt` says in words what can be seen. `finding` is what the plot
    shows, as a sentence computed from the rows: it becomes the title; `foot` states data set and n.
    """

    name: str
    caption: str
    alt: str
    draw: Callable[[Canvas], object]
    size: tuple[float, float] = (7.0, 4.2)
    finding: str = ""
    foot: str = ""


@dataclass(frozen=True, repr=False)
class Picture(Short):
    """A ready-made SVG image, such as a computation graph; `finding` is as in `Figure`."""

    name: str
    caption: str
    alt: str
    svg: str
    finding: str = ""


@dataclass(frozen=True, repr=False)
class Code(Short):
    """Preformatted text: a trace table, a program, a formula."""

    text: str
    caption: str = ""


@dataclass(frozen=True, repr=False)
class Formula(Short):
    """A LaTeX formula, without dollar signs."""

    latex: str


@dataclass(frozen=True, repr=False)
class Slider(Short):
    """Curves over precomputed `values` of one parameter, with a marker that the reader moves.

    `series` holds for each curve its value at each of `values`; `logarithms` names the axes that
    are logarithmic.
    """

    name: str
    caption: str
    alt: str
    parameter: str
    values: Sequence[float]
    series: Mapping[str, Sequence[float]]
    logarithms: str = ""


Block: TypeAlias = str | Code | Formula | Table | Figure | Picture | Slider


@dataclass(frozen=True, repr=False)
class Section(Short):
    """Free content under a heading. A string is text: paragraphs, ``- `` lists and `code`."""

    title: str
    blocks: Sequence[Block]
