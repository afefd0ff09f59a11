"""Sliders: curves over precomputed values, with a marker that a reader moves along them.

What flows: a `Slider` -> an inline SVG whose markers stand at the middle value, and the places and
numbers at every value, as JSON for the page's few lines of script.

Invariant: a slider computes nothing; without scripts the curves and the middle value remain.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Any

from difflab.lab.blocks import Slider
from difflab.lab.style import looks

WIDTH, HEIGHT, EDGE = 480.0, 220.0, 12.0
DASHES = {"-": "none", "--": "8 4", "-.": "8 3 2 3", ":": "2 4"}


def slider_of(slider: Slider) -> dict[str, Any]:
    """What the templates show of a slider: its drawing, and what stands at each of its values.

    >>> shown = slider_of(Slider("h", "", "", "step", [1e-8, 1e-4], {"error": [1e-8, 1e-4]}, "xy"))
    >>> shown["x"], shown["series"][0]["y"], shown["series"][0]["texts"]
    ([12.0, 468.0], [208.0, 12.0], ['1e-08', '0.0001'])
    """
    x = _places(slider.values, [slider.values], WIDTH, "x" in slider.logarithms)
    middle = len(x) // 2
    style = looks(slider.series)
    marks, series = [], []
    for name, values in slider.series.items():
        up = _places(values, [*slider.series.values()], HEIGHT, "y" in slider.logarithms)
        y = [None if place is None else round(HEIGHT - place, 1) for place in up]
        points = " ".join(f"{a},{b}" for a, b in zip(x, y, strict=True) if None not in (a, b))
        line = style[name]["linestyle"]
        dashes = DASHES[line] if isinstance(line, str) else " ".join(map(str, line[1]))
        tone = f'style="color:{style[name]["color"]}"'
        marks.append(
            f'<g {tone}><polyline points="{points}" fill="none" stroke="currentColor" '
            f'stroke-width="2" stroke-dasharray="{dashes}"/>'
            f'<circle r="6" cx="{x[middle]}" cy="{y[middle] or 0}" fill="currentColor"/></g>'
        )
        texts = [f"{value:.3g}" for value in values]
        series.append({"name": name, "color": style[name]["color"], "y": y, "texts": texts})
    alt = html.escape(slider.alt, quote=True)
    frame = f'viewBox="-48 0 {WIDTH + 48:g} {HEIGHT + 20:g}" role="img" aria-label="{alt}"'
    said = [f"{value:.3g}" for value in slider.values]
    return {
        "svg": f"<svg {frame}>{_axes(slider)}{''.join(marks)}</svg>",
        "x": x, "series": series, "values": said, "middle": middle,
        **{name: getattr(slider, name) for name in ("name", "caption", "parameter")},
    }  # fmt: skip


def _axes(slider: Slider) -> str:
    """Two lines, and the least and largest numbers along them."""
    up = "y" in slider.logarithms
    known = [v for own in slider.series.values() for v in own if _scaled(v, up) is not None] or [0]
    texts = [
        (EDGE, HEIGHT + 15, "start", f"{min(slider.values):.3g}"),
        (WIDTH / 2, HEIGHT + 15, "middle", html.escape(slider.parameter)),
        (WIDTH - EDGE, HEIGHT + 15, "end", f"{max(slider.values):.3g}"),
        (-4, EDGE + 4, "end", f"{max(known):.2g}"),
        (-4, HEIGHT - EDGE + 4, "end", f"{min(known):.2g}"),
    ]
    said = "".join(
        f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}">{text}</text>'
        for x, y, anchor, text in texts
    )
    lines = f'<path d="M0 0V{HEIGHT:g}H{WIDTH:g}" fill="none" stroke="currentColor"/>'
    return f'<g fill="currentColor" font-size="12" opacity=".7">{lines}{said}</g>'


def _places(
    values: Sequence[float], group: Sequence[Sequence[float]], length: float, logarithmic: bool
) -> list[float | None]:
    """Places of values along an axis that shows the whole group; None for what it cannot show."""
    known = [p for own in group for v in own if (p := _scaled(v, logarithmic)) is not None]
    low, span = min(known, default=0.0), (max(known, default=1.0) - min(known, default=0.0)) or 1.0
    scaled = [_scaled(value, logarithmic) for value in values]
    width = length - 2 * EDGE
    return [None if v is None else round(EDGE + (v - low) / span * width, 1) for v in scaled]


def _scaled(value: float, logarithmic: bool) -> float | None:
    if not math.isfinite(value) or (logarithmic and value <= 0):
        return None
    return math.log10(value) if logarithmic else value
