"""The look of every figure: colours, line styles, markers, and how a drawing becomes an image.

What flows: a figure's `draw`, or a formula -> Matplotlib in the lab's style -> SVG and PNG bytes.

Invariant: equal drawings give equal bytes, and lines are told apart without colour.

>>> list(looks(["forward"]))
['forward']
"""

from __future__ import annotations

import functools
import io
import itertools
import re
import textwrap
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from difflab.lab.blocks import Figure

TEMPLATES = Path(__file__).parent / "templates"
INK = "#1c2024"
"""The colour of text, axes and grid: in an SVG it follows the reader's light or dark page."""
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", INK)  # Okabe and Ito
LINES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (1, 3)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DENSE = 150_000
"""An SVG of more bytes is kept as PNG."""
THEME = (
    f"<style>:root{{color:{INK}}}"
    "@media (prefers-color-scheme:dark){:root{color:#e4e7ea}}</style>"
)


@functools.cache
def _places() -> dict[str, int]:
    """The place of each name that recurs in its family."""
    families = tomllib.loads((TEMPLATES / "looks.toml").read_text(encoding="utf-8"))
    return {name: place for family in families.values() for place, name in enumerate(family)}


def looks(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Colour, line style and marker for each name: told apart without colour, the same everywhere.

    Names of looks.toml have their own; the others take in order those that are left.

    >>> looks(["forward", "reverse"]) == looks(["reverse", "forward"])
    True
    >>> looks(["tanh", "mine"])["mine"]["marker"]
    'o'
    """
    wanted = list(dict.fromkeys(names))
    found: dict[str, int] = {}
    for name in wanted:
        place = _places().get(str(name).lower().replace("_", " "))
        if place is not None and place not in found.values():
            found[name] = place
    free = (place for place in itertools.count() if place not in found.values())
    for name in wanted:
        if name not in found:
            found[name] = next(free)
    return {name: _look(found[name]) for name in wanted}


def _look(place: int) -> dict[str, Any]:
    kinds = len(PALETTE)
    form = (place + place // kinds) % kinds
    return {"color": PALETTE[place % kinds], "linestyle": LINES[form], "marker": MARKERS[form]}


def _style() -> Any:
    import matplotlib
    from cycler import cycler

    sheet = TEMPLATES / "figures.mplstyle"
    settings = matplotlib.rc_params_from_file(sheet, use_default_template=False)
    return {**settings, "axes.prop_cycle": cycler(color=PALETTE) + cycler(linestyle=LINES)}


def image(figure: Figure) -> bytes:
    """The figure as SVG, or as PNG where it is dense; equal whenever it is drawn equally."""
    import matplotlib
    from matplotlib.figure import Figure as Canvas

    with matplotlib.rc_context(_style()):
        canvas = Canvas(figsize=figure.size, layout="constrained")
        figure.draw(canvas)
        _titled(canvas, figure)
        drawn = themed(_saved(canvas, format="svg", transparent=True))
        return drawn if len(drawn) <= DENSE else _saved(canvas, format="png", dpi=130)


def themed(svg: bytes) -> bytes:
    """An SVG whose ink follows the page's colour scheme, wherever the file is shown."""
    text = svg.decode().replace(f"stroke: {INK}", "stroke: currentColor")
    text = text.replace(f"fill: {INK}", "fill: currentColor")
    text = text.replace("stroke: #000000", "stroke: currentColor")  # lines drawn "black"
    text = text.replace("'DejaVu Sans'", "'DejaVu Sans', Verdana, sans-serif")
    text = re.sub(r' d="[^"]*"', _shorter, text)
    text = re.sub(r'<g id="[^"]*">', "<g>", re.sub(r"\n\s+", "\n", text))
    return re.sub(r"(<svg\b[^>]*>)", rf"\1{THEME}", text, count=1).encode()


def _shorter(path: re.Match[str]) -> str:
    """A path with coordinates to the hundredth of a point, on one line."""
    return re.sub(r"(\.\d\d)\d+", r"\1", path[0]).replace(" \n", " ")


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
        with matplotlib.rc_context({**_style(), "mathtext.fontset": "cm", "svg.fonttype": "path"}):
            canvas = Canvas(figsize=(0.1, 0.1))
            canvas.text(0, 0, f"${latex}$", fontsize=14)
            tight: dict[str, Any] = {"bbox_inches": "tight", "pad_inches": 0.05}
            return themed(_saved(canvas, format="svg", transparent=True, **tight))
    except ValueError:
        return None


def _saved(canvas: Any, format: str, **options: Any) -> bytes:
    """The bytes of an image, which say neither when nor by what they were made."""
    unsaid = {"svg": ("Date", "Creator"), "png": ("Software",)}[format]
    data = io.BytesIO()
    canvas.savefig(data, format=format, metadata=dict.fromkeys(unsaid), **options)
    return data.getvalue()
