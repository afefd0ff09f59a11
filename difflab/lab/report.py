"""Pages: a report folder's rows -> figures, index.html, README.md, and the front page of all.

What flows: rows.csv and timings.csv -> the experiment's tables, figures and findings -> one HTML
page that holds everything it shows, and its Markdown twin.

Invariant: a page is a function of the files in its folder and of the experiment's own functions.
Rendering measures nothing, asks nothing of a network, and equal rows give equal bytes.
"""

from __future__ import annotations

import base64
import functools
import io
import json
import re
import textwrap
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from difflab.errors import ArgumentError
from difflab.lab.experiment import (
    VERDICTS,
    Block,
    Code,
    Experiment,
    Figure,
    Finding,
    Formula,
    Picture,
    Table,
)
from difflab.lab.records import ERROR, RESERVED, load_rows, write

if TYPE_CHECKING:
    import jinja2

T = TypeVar("T")

INLINE_BYTES = 160_000  # an SVG larger than this is shown as PNG
PAGE_BYTES = 2_000_000  # images beyond this are linked, so that a page stays under 3 MB
TABLE_ROWS = 200
FAILED_ROWS = 20
MARKS = dict(zip(VERDICTS, "✓◐✗?", strict=True))

# The look of every figure -------------------------------------------------------------------------

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe-Ito
LINES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (1, 3)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def looks(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Colour, line style and marker for each name: told apart without colour, the same everywhere.

    >>> looks(["forward", "reverse"])["reverse"]
    {'color': '#D55E00', 'linestyle': '--', 'marker': 's'}
    """
    kinds = len(PALETTE)
    return {
        name: {
            "color": PALETTE[place % kinds],
            "linestyle": LINES[(place + place // kinds) % kinds],
            "marker": MARKERS[(place + place // kinds) % kinds],
        }
        for place, name in enumerate(names)
    }


def _style() -> Any:
    from cycler import cycler

    return {
        "axes.prop_cycle": cycler(color=PALETTE) + cycler(linestyle=LINES),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#dddddd",
        "grid.linewidth": 0.6,
        "font.family": "DejaVu Sans",
        "font.size": 11,
        "axes.titlesize": 12,
        "legend.fontsize": 10,
        "legend.frameon": False,
        "lines.linewidth": 1.8,
        "lines.markersize": 5,
        "figure.facecolor": "white",
        "savefig.facecolor": "white",
        "figure.dpi": 100,
        "svg.hashsalt": "difflab",
        "svg.fonttype": "path",
    }


def _images(figure: Figure) -> dict[str, bytes]:
    """The figure as SVG and PNG bytes, equal whenever it is drawn equally."""
    import matplotlib
    from matplotlib.figure import Figure as Canvas

    with matplotlib.rc_context(_style()):
        canvas = Canvas(figsize=figure.size, layout="constrained")
        figure.draw(canvas)
        return {
            "svg": _saved(canvas, format="svg", metadata={"Date": None, "Creator": None}),
            "png": _saved(canvas, format="png", metadata={"Software": None}, dpi=130),
        }


def _formula(latex: str) -> bytes | None:
    """A formula as SVG, or None if Matplotlib's mathematical text does not know its commands."""
    import matplotlib
    from matplotlib.figure import Figure as Canvas

    style = {**_style(), "mathtext.fontset": "cm"}
    try:
        with matplotlib.rc_context(style):
            canvas = Canvas(figsize=(0.1, 0.1))
            canvas.text(0, 0, f"${latex}$", fontsize=14)
            options = {"bbox_inches": "tight", "pad_inches": 0.05, "transparent": True}
            return _saved(canvas, format="svg", metadata={"Date": None, "Creator": None}, **options)
    except ValueError:
        return None


def _saved(canvas: Any, **options: Any) -> bytes:
    data = io.BytesIO()
    canvas.savefig(data, **options)
    return data.getvalue()


# From blocks to what the templates show -----------------------------------------------------------


class _Page:
    """Turns an experiment's blocks into dicts for the templates, and writes their images."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problems: list[str] = []
        self.images: set[str] = set()
        self.shown = 0

    def attempt(self, part: Callable[[], T], otherwise: T) -> T:
        """What a part of the experiment gives; if it raises, that is shown instead."""
        try:
            return part()
        except Exception as reason:
            inner = reason.__traceback__.tb_next if reason.__traceback__ else None
            lines = traceback.format_exception(type(reason), reason, inner)
            self.problems.append("".join(lines))
            return otherwise

    def block(self, block: Block) -> list[dict[str, Any]]:
        """A block for the templates, or nothing if it failed."""
        return self.attempt(lambda: [self._block(block)], [])

    def _block(self, block: Block) -> dict[str, Any]:
        match block:
            case str():
                return {"kind": "text", "text": block}
            case Code():
                return {"kind": "code", "text": block.text.strip("\n"), "caption": block.caption}
            case Formula():
                image = _formula(block.latex)
                return {"kind": "formula", "latex": block.latex, "source": image and _data(image)}
            case Table():
                return {"kind": "table", **_table(block)}
            case Picture():
                images = {"svg": block.svg.encode()}
            case Figure():
                images = _images(block)
        return {"kind": "figure", **self._figure(block.name, images), **_words(block)}

    def _figure(self, name: str, images: dict[str, bytes]) -> dict[str, str]:
        files = {kind: f"{name}.{kind}" for kind in images}
        if not re.fullmatch(r"[\w-]+", name) or files["svg"] in self.images:
            raise ArgumentError(
                f"{name!r} cannot name a figure", "use letters, digits, _ and -, and each name once"
            )
        self.images.update(files.values())
        for kind, data in images.items():
            write(self.folder / files[kind], data)
        return {"file": files.get("png", files["svg"]), "vector": files["svg"]} | {
            "source": self.source(self.folder, files)
        }

    def source(self, folder: Path, files: dict[str, str]) -> str:
        """What an <img> shows: the image itself, or its file once the page is full."""
        kind = "svg"
        if "png" in files and (folder / files["svg"]).stat().st_size > INLINE_BYTES:
            kind = "png"
        data = (folder / files[kind]).read_bytes()
        if self.shown + len(data) > PAGE_BYTES:
            return (folder / files[kind]).relative_to(self.folder).as_posix()
        self.shown += len(data)
        return _data(data)


def _words(block: Figure | Picture) -> dict[str, str]:
    return {"name": block.name, "caption": block.caption, "alt": block.alt}


def _data(image: bytes) -> str:
    kind = "png" if image.startswith(b"\x89PNG") else "svg+xml"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"


def _table(table: Table) -> dict[str, Any]:
    frame = table.frame
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    heads = [" ".join(map(str, head)) if isinstance(head, tuple) else str(head) for head in frame]
    shown = frame.head(TABLE_ROWS)
    return {
        "title": table.title,
        "caption": table.caption,
        "heads": heads,
        "numeric": [kind.kind in "iufb" for kind in frame.dtypes],
        "rows": [[number(cell) for cell in row] for row in shown.itertuples(index=False)],
        "left": len(frame) - len(shown),
    }


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


def _inline(text: str) -> Any:
    """HTML of a line of text: `code` in backticks, the rest escaped."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _cell(text: object) -> str:
    """Text inside a cell of a Markdown table."""
    return " ".join(str(text).split()).replace("|", "\\|")


@functools.cache
def _templates() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=lambda name: name is not None and name.endswith(".html"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals["MARKS"] = MARKS
    environment.filters.update(
        paragraphs=paragraphs,
        inline=_inline,
        cell=_cell,
        prose=lambda text: textwrap.dedent(text).strip(),
    )
    return environment


def _write_pages(template: str, folder: Path, content: dict[str, Any]) -> None:
    environment = _templates()
    for suffix, name in ((".html", "index.html"), (".md", "README.md")):
        text = environment.get_template(template + suffix).render(**content)
        text = re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
        write(folder / name, text)


# Pages --------------------------------------------------------------------------------------------


def render(experiment: Experiment, folder: Path) -> list[str]:
    """Render an experiment's page from the rows in its folder.

    Returns
    -------
    The traceback of each table, figure or finding that could not be made; the page shows them too.
    """
    rows = load_rows(folder)
    run = json.loads((folder / "provenance.json").read_bytes())
    failed = rows[rows[ERROR].notna()] if ERROR in rows else rows.head(0)
    finished = rows.drop(index=failed.index).drop(columns=ERROR, errors="ignore")
    finished = finished.reset_index(drop=True)

    page = _Page(folder)
    parts: dict[str, Sequence[Any]] = {"sections": [], "tables": [], "figures": [], "findings": []}
    if len(finished):
        for part in parts:
            make = functools.partial(getattr(experiment, part), finished)
            parts[part] = page.attempt(make, [])
    figures = [shown for figure in parts["figures"] for shown in page.block(figure)]
    sections = [
        (section.title, [shown for block in section.blocks for shown in page.block(block)])
        for section in parts["sections"]
    ]
    tables = [shown for table in parts["tables"] for shown in page.block(table)]
    findings = [_finding(finding) for finding in parts["findings"]]
    content = {
        "experiment": experiment,
        "findings": findings,
        "headline": figures[:1],
        "sections": sections,
        "tables": tables,
        "figures": figures[1:],
        "problems": page.problems,
        "failed": [_failed(row) for row in failed.head(FAILED_ROWS).to_dict("records")],
        "failed_left": max(0, len(failed) - FAILED_ROWS),
        "run": run,
        "rows": len(finished),
    }
    _write_pages("page", folder, content)
    for stale in (*folder.glob("*.svg"), *folder.glob("*.png")):
        if stale.name not in page.images:
            stale.unlink()
    headline = {key: text for key, text in figures[0].items() if key != "source"} if figures else {}
    summary = {
        "order": experiment.order,
        "name": experiment.name,
        "title": experiment.title,
        "question": experiment.question,
        "findings": findings,
        "headline": headline,
        "failed": len(failed) + len(page.problems),
        "preset": run["preset"],
    }
    write(folder / "summary.json", json.dumps(summary, indent=1) + "\n")
    return page.problems


def _finding(finding: Finding) -> dict[str, Any]:
    return {**asdict(finding), "interval": str(finding.interval) if finding.interval else ""}


def _failed(row: Mapping[Any, Any]) -> dict[str, str]:
    settings = {
        name: value
        for name, value in row.items()
        if name not in (*RESERVED, "status") and value == value
    }
    text = " ".join(f"{name}={value}" for name, value in settings.items())
    return {"settings": text, "traceback": str(row[ERROR]).rstrip()}


def front_page(out: Path) -> None:
    """Render the front page of a folder of reports: every claim, then every experiment.

    >>> import tempfile
    >>> out = Path(tempfile.mkdtemp())
    >>> front_page(out)
    >>> "No claim has been judged yet." in (out / "README.md").read_text()
    True
    """
    page = _Page(out)
    summaries = [json.loads(path.read_bytes()) for path in out.glob("*/summary.json")]
    summaries.sort(key=lambda summary: (summary["order"], summary["name"]))
    for summary in summaries:
        headline = summary["headline"]
        if headline:
            files = {Path(headline[key]).suffix[1:]: headline[key] for key in ("file", "vector")}
            headline["source"] = page.source(out / summary["name"], files)
            for key in ("file", "vector"):
                headline[key] = f"{summary['name']}/{headline[key]}"
    counts = Counter(finding["verdict"] for summary in summaries for finding in summary["findings"])
    content = {"summaries": summaries, "counts": [(name, counts[name]) for name in VERDICTS]}
    _write_pages("front", out, content)
