"""Forest plots: a finding's intervals, data set by data set, as a small inline SVG.

What flows: a finding as plain JSON -> the axis that shows all of it -> text and marks, coloured by
the page's classes and by `currentColor`.

Invariant: every part is drawn on one axis with the rule's bounds and the source's figure; what does
not fit on it ends in an arrow, and the number beside it says how far it goes.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from difflab.lab.findings import Plain, scaled, shown

WIDTH, ROW, EDGE = 360, 34, 8.0
FITS, LINE = 50, 13
"""So many characters of name and interval fit on one line, in any font; else they take two."""
REACH = 1.0
"""An interval is drawn up to this many times the span of all estimates and bounds beyond it."""


class Axis(NamedTuple):
    """The values from `low` to `high` (of their logarithms) along a line of pixels."""

    low: float
    high: float
    logarithmic: bool

    def at(self, value: float) -> float:
        """The place of a value, within the drawing.

        >>> Axis(0.0, 2.0, False).at(1.0), Axis(0.0, 2.0, False).at(math.inf)
        (180.0, 352.0)
        """
        along = scaled(value, self.logarithmic)
        part = min(1.0, max(0.0, (along - self.low) / (self.high - self.low)))
        return round(EDGE + part * (WIDTH - 2 * EDGE), 1)

    def holds(self, value: float) -> bool:
        """Whether the value lies on the axis."""
        return self.low <= scaled(value, self.logarithmic) <= self.high


def axis_of(finding: Plain) -> Axis | None:
    """The axis on which estimates, bounds and the source's figure lie, and most of each interval.

    Logarithmic for ratios, as far as everything on it is positive; None if there is no estimate.
    """
    parts = [part for part in finding["parts"] if part["estimate"] is not None]
    estimates = [part["estimate"] for part in parts]
    figure = [] if finding["figure"] is None else [finding["figure"]]
    inner = [*estimates, *finding["bounds"], *figure]
    if not estimates:
        return None
    logarithmic = finding["logarithmic"] and min(inner) > 0
    places = [scaled(value, logarithmic) for value in inner]
    ends = [scaled(part[end], logarithmic) for part in parts for end in ("low", "high")]
    span = max(places) - min(places)
    if not span:
        known = [abs(end - places[0]) for end in ends if math.isfinite(end)]
        span = max(known, default=0.0) or abs(places[0]) or 1.0
    low = max(min(*places, *ends), min(places) - REACH * span)
    high = min(max(*places, *ends), max(places) + REACH * span)
    margin = 0.05 * ((high - low) or span)
    return Axis(low - margin, high + margin, logarithmic)


def forest_of(finding: Plain) -> str:
    """The SVG of a finding's parts; nothing if there is no estimate to draw.

    A dashed line is a bound of the rule, a diamond the source's figure.
    """
    axis = axis_of(finding)
    if axis is None or finding["kind"] == "check":
        return ""
    parts = finding["parts"]
    counted = [f"{part['n'] or part['planned']} {finding['counted']}" for part in parts]
    names = [", ".join(filter(None, (p["name"], n))) for p, n in zip(parts, counted, strict=True)]
    wide = any(len(n) + len(shown(part)) > FITS for n, part in zip(names, parts, strict=True))
    row = ROW + (LINE + 5) * wide
    height = row * len(parts) + 24
    words = "; ".join(f"{part['name']} {shown(part)}".strip() for part in parts)
    marks = [
        f'<svg class="parts" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{html.escape(words)}">'
    ]
    for number, (name, part) in enumerate(zip(names, parts, strict=True)):
        lines = (row * number + 14, row * number + 14 + LINE * wide)
        marks += _part(axis, part, finding, name, lines)
    marks.append(_foot(axis, finding, height))
    return "".join([*marks, "</svg>"])


def _part(
    axis: Axis, part: Mapping[str, Any], finding: Plain, name: str, lines: tuple[float, float]
) -> list[str]:
    """A row: the name on the first of two lines, the interval on the second, marks below it."""
    y = lines[1] + 12
    marks = [
        f'<text x="0" y="{lines[0]}">{html.escape(name)}</text>',
        f'<text class="value" x="{WIDTH}" y="{lines[1]}">{html.escape(shown(part))}</text>',
    ]
    for bound in filter(axis.holds, finding["bounds"]):
        marks.append(f'<path class="bound" d="M{axis.at(bound)} {y - 7}v14"/>')
    if finding["figure"] is not None and axis.holds(finding["figure"]):
        x = axis.at(finding["figure"])
        marks.append(f'<path class="source" d="M{x} {y - 6}l5 6-5 6-5-6z"/>')
    if part["estimate"] is not None:
        tone = part["verdict"].replace(" ", "-")
        marks.append(f'<g class="{tone}">{interval_marks(axis, part, y)}</g>')
    return marks


def interval_marks(axis: Axis, part: Mapping[str, Any], y: float) -> str:
    """An interval as a line and a dot; where it leaves the axis, it ends in an arrow."""
    low, high = axis.at(part["low"]), axis.at(part["high"])
    line = f"M{low} {y}H{high}"
    if not axis.holds(part["low"]):
        line += f"M{low + 4} {y - 4}l-4 4 4 4"
    if not axis.holds(part["high"]):
        line += f"M{high - 4} {y - 4}l4 4-4 4"
    return (
        f'<path class="span" d="{line}"/><circle cx="{axis.at(part["estimate"])}" cy="{y}" r="4"/>'
    )


def _foot(axis: Axis, finding: Plain, height: float) -> str:
    """What the dashed line and the diamond stand at."""
    bounds: Sequence[float] = finding["bounds"]
    told = [f"dashed: {' and '.join(f'{bound:g}' for bound in bounds)}"] if bounds else []
    if finding["figure"] is not None:
        beyond = "" if axis.holds(finding["figure"]) else " (off the axis)"
        told.append(f"diamond: the source's {finding['figure']:g}{beyond}")
    told += ["logarithmic"] if axis.logarithmic else []
    return f'<text class="foot" x="0" y="{height - 2}">{"; ".join(told)}</text>'
