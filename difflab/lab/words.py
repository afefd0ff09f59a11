"""Words: how numbers, tables and recipes are said on a page, in CSV and in LaTeX.

What flows: cells, data frames, findings -> text for the templates and for the files of `tables/`.

Invariant: a number beside its interval has the digits that the interval's width allows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from difflab.lab.blocks import Table
from difflab.lab.findings import Plain
from difflab.lab.intervals import rounded

if TYPE_CHECKING:
    import pandas as pd

ENDS = ["estimate", "low", "high"]
STATISTICS = {
    "t": "Student's t interval", "bca": "BCa bootstrap interval", "wilson": "Wilson's interval",
    "median": "interval of the median", "count": "counted, no interval",
}  # fmt: skip
KINDS = {
    "paired": "mean difference of", "ratio": "geometric mean ratio of", "mean": "mean of",
    "share": "share of units with", "every": "rows that hold", "timed": "ratio of times",
    "exponent": "fitted slope of",
}  # fmt: skip


def number(value: Any) -> str:
    """A table cell: four significant digits, a dash for what is missing.

    >>> [number(value) for value in (3, 0.25, 12345.6, 2.5e-17, float("nan"), True)]
    ['3', '0.25', '12346', '2.5e-17', '–', 'yes']
    """
    import numpy as np

    if isinstance(value, bool | np.bool):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        size = abs(float(value))
        return "–" if size != size else f"{value:.0f}" if 1e4 <= size < 1e7 else f"{value:.4g}"
    return "–" if value is None else str(value)


def flat(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with its named index as columns, and one line of heads."""
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    heads = [" ".join(map(str, h)) if isinstance(h, tuple) else str(h) for h in frame]
    return frame.set_axis(heads, axis=1)


def cells(frame: pd.DataFrame) -> list[list[str]]:
    """The cells as text; `estimate`, `low` and `high` are rounded together."""
    shown = [[number(cell) for cell in row] for row in frame.itertuples(index=False)]
    if {*ENDS} <= {*frame}:
        places = [list(frame).index(name) for name in ENDS]
        for line, ends in zip(shown, frame[ENDS].itertuples(index=False), strict=True):
            if all(end == end for end in ends):
                for place, text in zip(places, rounded(*map(float, ends)), strict=True):
                    line[place] = text
    return shown


def latex(table: Table) -> str:
    """The table for LaTeX with the package booktabs.

    >>> import pandas as pd
    >>> print(latex(Table("A & B", "n = 2", pd.DataFrame({"a_b": [1.5]}))).splitlines()[3:6])
    ['\\\\begin{tabular}{r}', '\\\\toprule', 'a\\\\_b \\\\\\\\']
    """
    frame = flat(table.frame)
    columns = "".join("r" if kind.kind in "iufb" else "l" for kind in frame.dtypes)
    rows = [list(map(str, frame)), *cells(frame)]
    lines = [" & ".join(map(_escaped, row)) + r" \\" for row in rows]
    caption = _escaped(f"{table.title}. {table.caption}".replace("`", ""))
    body = [r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"]
    tabular = [rf"\begin{{tabular}}{{{columns}}}", *body, r"\end{tabular}"]
    return "\n".join(
        [r"\begin{table}", r"\centering", rf"\caption{{{caption}}}", *tabular, r"\end{table}", ""]
    )


def _escaped(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    escape = lambda found: special.get(found[0], "\\" + found[0])
    return re.sub(r"[\\~^&%$#_{}]", escape, text).replace("–", "--")


def results_table(findings: Iterable[Plain]) -> Table | None:
    """Every result, a row for each data set; nothing if nothing was judged."""
    import pandas as pd

    rows = []
    for finding in findings:
        count = finding["count"]
        for part in [{"name": "", "n": count[1]}] if count else finding["parts"]:
            ends = [count[0] / count[1]] if count and count[1] else [part.get(k) for k in ENDS]
            rows.append({
                "claim": finding["id"], "data set": part["name"],
                **dict.fromkeys(ENDS), **dict(zip(ENDS, ends, strict=False)),
                "n": part["n"], "of": finding["counted"],
                "unit": "share" if count else finding["unit"],
                "verdict": part.get("verdict", finding["verdict"]),
            })  # fmt: skip
    if not rows:
        return None
    frame = pd.DataFrame(rows).astype(dict.fromkeys(ENDS, float))
    text = "One row a data set; 95 % intervals; n counts the independent units behind an interval."
    return Table("All results", text, frame)


def recipe(told: Mapping[str, Any]) -> str:
    """How a result follows from rows.csv, in words.

    >>> recipe({"kind": "paired", "column": "error", "left": {"net": "a"}, "right": {"net": "b"},
    ...     "where": {"last": True}, "by": "data", "unit": "seed", "statistic": "t"})
    "mean difference of `error`, net a against net b, where last True; by seed; for each data; \
Student's t interval"
    """
    if not told:
        return ""
    what = f"{KINDS.get(told['kind'], told['kind'])} `{told['column']}`"
    what += f" over `{told['over']}`" if told.get("over") else ""
    what += f" against `{told['x']}`" if told.get("x") else ""
    if "left" in told:
        what += f", {_selected(told['left'])} against {_selected(told['right'])}"
    what += f", where {_selected(told['where'])}" if told["where"] else ""
    parts = [what, told["unit"] and f"by {told['unit']}", told["by"] and f"for each {told['by']}"]
    statistic = STATISTICS.get(told["statistic"], told["statistic"])
    return "; ".join(filter(None, [*parts, statistic]))


def _selected(where: Mapping[str, Any]) -> str:
    def values(value: Any) -> str:
        several = isinstance(value, Sequence) and not isinstance(value, str)
        return " or ".join(map(str, value)) if several else str(value)

    return ", ".join(f"{name} {values(value)}" for name, value in where.items())


def detectable(finding: Plain) -> str:
    """What a study of this size would have found, for a finding that is undecided.

    >>> parts = [{"name": "digits", "detectable": 1.231}]
    >>> detectable({"verdict": "undecided", "logarithmic": True, "unit": "", "parts": parts})
    'digits: a factor of 1.2'
    """
    known = [part for part in finding["parts"] if part["detectable"]]
    if finding["verdict"] != "undecided" or not known:
        return ""
    size = "a factor of {:.2g}" if finding["logarithmic"] else f"{{:.2g}} {finding['unit']}"
    told = [(part["name"], size.format(part["detectable"]).strip()) for part in known]
    return "; ".join(f"{name}: {words}" if name else words for name, words in told)


def paragraphs(text: str) -> list[tuple[str, list[str]]]:
    """Text as paragraphs ("p") and lists ("ul").

    >>> paragraphs("Two ways:\\n- forward\\n- reverse")
    [('p', ['Two ways:']), ('ul', ['forward', 'reverse'])]
    """
    parts: list[tuple[str, list[str]]] = []
    fresh = True
    for line in map(str.strip, text.strip().splitlines()):
        item = line.startswith("- ")
        if item and (not parts or parts[-1][0] == "p"):
            parts.append(("ul", []))
        if item:
            parts[-1][1].append(line[2:])
        elif line and (fresh or not parts):
            parts.append(("p", [line]))
        elif line:
            parts[-1][1][-1] += f" {line}"
        fresh = not line
    return parts


def sentence(text: str) -> str:
    """Text with a capital and a full stop; a symbol at its start keeps its case.

    >>> sentence("all of them agree"), sentence("n = 5, and `x` is free.")
    ('All of them agree.', 'n = 5, and `x` is free.')
    """
    text = text.strip()
    if re.match(r"(a|[a-z]{2,})[ ,:-]", text):
        text = text[0].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."
