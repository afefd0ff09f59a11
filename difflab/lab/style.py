"""The look of every figure: colours, line styles, markers, and how a drawing becomes an image.

What flows: a figure's `draw`, or a formula -> Matplotlib in the lab's style -> SVG and PNG bytes.

Invariant: equal drawings give equal bytes, and lines are told apart without colour.

>>> list(looks(["forward"]))
['forward']
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from difflab.lab.blocks import Figure

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe-Ito
LINES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (1, 3)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def looks(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Colour, line style and marker for each name: told apart without colour, the same everywhere.

    >>> looks(["forward", "reverse"])["reverse"]
    {'color': '#D55E00', 'linestyle': '--', 'marker': 's'}
    """
    found, kinds = {}, len(PALETTE)
    for number, name in enumerate(names):
        form = (number + number // kinds) % kinds
        colour, line, marker = PALETTE[number % kinds], LINES[form], MARKERS[form]
        found[name] = {"color": colour, "linestyle": line, "marker": marker}
    return found


def _style() -> Any:
    import matplotlib
    from cycler import cycler

    sheet = Path(__file__).parent / "templates" / "figures.mplstyle"
    settings = matplotlib.rc_params_from_file(sheet, use_default_template=False)
    return {**settings, "axes.prop_cycle": cycler(color=PALETTE) + cycler(linestyle=LINES)}


def images(figure: Figure) -> dict[str, bytes]:
    """The figure as SVG and PNG bytes, equal whenever it is drawn equally."""
    import matplotlib
    from matplotlib.figure import Figure as Canvas

    with matplotlib.rc_context(_style()):
        canvas = Canvas(figsize=figure.size, layout="constrained")
        figure.draw(canvas)
        _titled(canvas, figure)
        return {"svg": _saved(canvas, format="svg"), "png": _saved(canvas, format="png", dpi=130)}


def _titled(canvas: Any, figure: Figure) -> None:
    """The finding as the title, and data set and n in the foot, broken to the figure's width."""
    letters = figure.size[0] * 72
    for text, size, write in ((figure.finding, 12, "suptitle"), (figure.foot, 9, "supxlabel")):
        if text:
            lines = textwrap.fill(text, int(letters / (0.56 * size)))
            getattr(canvas, write)(lines, x=0.01, ha="left", fontsize=size)


def formula(latex: str) -> bytes | None:
    """A formula as SVG, or None if Matplotlib's mathematical text does not know its commands."""
    import matplotlib
    from matplotlib.figure import Figure as Canvas

    try:
        with matplotlib.rc_context({**_style(), "mathtext.fontset": "cm"}):
            canvas = Canvas(figsize=(0.1, 0.1))
            canvas.text(0, 0, f"${latex}$", fontsize=14)
            tight: dict[str, Any] = {"bbox_inches": "tight", "pad_inches": 0.05}
            return _saved(canvas, format="svg", transparent=True, **tight)
    except ValueError:
        return None


def _saved(canvas: Any, format: str, **options: Any) -> bytes:
    """The bytes of an image, which say neither when nor by what they were made."""
    unsaid = {"svg": ("Date", "Creator"), "png": ("Software",)}[format]
    data = io.BytesIO()
    canvas.savefig(data, format=format, metadata=dict.fromkeys(unsaid), **options)
    return data.getvalue()
