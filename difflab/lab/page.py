"""Pages: a report folder's rows -> figures, index.html and README.md.

What flows: rows.csv and timings.csv -> the experiment's tables, figures and findings -> one HTML
page that holds everything it shows, and its Markdown twin.

Invariant: a page is a function of the files in its folder and of the experiment's own functions.
Rendering measures nothing, asks nothing of a network, and equal rows give equal bytes.
"""

from __future__ import annotations

import base64
import functools
import json
import re
import textwrap
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from difflab.errors import ArgumentError
from difflab.lab.blocks import Block, Code, Figure, Formula, Picture, Table
from difflab.lab.cases import Experiment
from difflab.lab.claims import CHECKS, FINDINGS
from difflab.lab.findings import NOT_JUDGED, changes, findings_of, here
from difflab.lab.record import load_rows, load_run
from difflab.lab.store import ERROR, RESERVED, write
from difflab.lab.style import formula, images

if TYPE_CHECKING:
    import jinja2
    import pandas as pd

T = TypeVar("T")
Shown: TypeAlias = dict[str, Any]
"""A block as the templates show it."""

INLINE_BYTES = 160_000  # an SVG larger than this is shown as PNG
PAGE_BYTES = 2_000_000  # images beyond this are linked, so that a page stays under 3 MB
TABLE_ROWS = 200
FAILED_ROWS = 20
MARKS = dict(zip((*FINDINGS, *CHECKS, NOT_JUDGED), "✓◐⇄○✗?✓✗–", strict=True))


class _Page:
    """Turns an experiment's blocks into dicts for the templates, and writes their images."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problems: list[str] = []
        self.images: set[str] = set()
        self.inlined = 0

    def attempt(self, part: Callable[[], T]) -> T | None:
        """What a part of the experiment gives; if it raises, nothing, and that is shown instead."""
        try:
            return part()
        except Exception as reason:
            inner = reason.__traceback__.tb_next if reason.__traceback__ else None
            self.problems.append("".join(traceback.format_exception(type(reason), reason, inner)))
            return None

    def blocks(self, blocks: Iterable[Block]) -> list[Shown]:
        """The blocks for the templates, without those that failed."""
        made = (self.attempt(functools.partial(self._block, block)) for block in blocks)
        return [shown for shown in made if shown]

    def _block(self, block: Block) -> Shown:
        match block:
            case str():
                return {"kind": "text", "text": block}
            case Code():
                return {"kind": "code", "text": block.text.strip("\n"), "caption": block.caption}
            case Formula():
                image = formula(block.latex)
                return {"kind": "formula", "latex": block.latex, "source": image and _data(image)}
            case Table():
                return {"kind": "table", **_table(block)}
            case Picture():
                drawn = {"svg": block.svg.encode()}
            case Figure():
                drawn = images(block)
        return {
            "kind": "figure",
            **self._image(block.name, drawn),
            **{name: getattr(block, name) for name in ("name", "caption", "alt")},
        }

    def _image(self, name: str, drawn: dict[str, bytes]) -> dict[str, str]:
        files = {kind: f"{name}.{kind}" for kind in drawn}
        if not re.fullmatch(r"[\w-]+", name) or files["svg"] in self.images:
            raise ArgumentError(
                f"{name!r} cannot name a figure", "use letters, digits, _ and -, and each name once"
            )
        self.images.update(files.values())
        for kind, data in drawn.items():
            write(self.folder / files[kind], data)
        shown = {"file": files.get("png", files["svg"]), "vector": files["svg"]}
        return {**shown, "source": self.source(self.folder, **shown)}

    def source(self, folder: Path, file: str, vector: str) -> str:
        """What an <img> shows: the image itself, or its file once the page is full."""
        large = (folder / vector).stat().st_size > INLINE_BYTES
        path = folder / (file if large else vector)
        data = path.read_bytes()
        if self.inlined + len(data) > PAGE_BYTES:
            return path.relative_to(self.folder).as_posix()
        self.inlined += len(data)
        return _data(data)


def _data(image: bytes) -> str:
    kind = "png" if image.startswith(b"\x89PNG") else "svg+xml"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"


def _table(table: Table) -> Shown:
    frame = table.frame
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    shown = frame.head(TABLE_ROWS)
    return {
        "title": table.title,
        "caption": table.caption,
        "heads": [" ".join(map(str, h)) if isinstance(h, tuple) else str(h) for h in frame],
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


def sentence(text: str) -> str:
    """Text with a capital and a full stop; a symbol at its start keeps its case.

    >>> sentence("all of them agree"), sentence("n = 5, and `x` is free.")
    ('All of them agree.', 'n = 5, and `x` is free.')
    """
    text = text.strip()
    if re.match(r"(a|[a-z]{2,})[ ,:-]", text):
        text = text[0].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."


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
        sentence=sentence,
        here=here,
        slug=lambda verdict: verdict.replace(" ", "-"),
        prose=lambda text: textwrap.dedent(text).strip(),
    )
    return environment


def write_pages(template: str, folder: Path, content: dict[str, Any]) -> None:
    """Fill a template's two forms, and write them as a folder's index.html and README.md."""
    environment = _templates()
    for suffix, name in ((".html", "index.html"), (".md", "README.md")):
        text = environment.get_template(template + suffix).render(**content)
        text = re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
        write(folder / name, text)


def render(experiment: Experiment, folder: Path) -> list[str]:
    """Render an experiment's page from the rows in its folder.

    Returns
    -------
    The traceback of each table, figure or finding that could not be made; the page shows them too.
    """
    run = load_run(folder, experiment)
    rows = load_rows(folder)
    failed = rows[rows[ERROR].notna()] if ERROR in rows else rows.head(0)
    finished = rows.drop(index=failed.index).drop(columns=ERROR, errors="ignore")
    finished = finished.reset_index(drop=True)

    page = _Page(folder)

    def made(part: Callable[[pd.DataFrame], list[T]]) -> list[T]:
        return (page.attempt(functools.partial(part, finished)) if len(finished) else None) or []

    sections, tables = made(experiment.sections), made(experiment.tables)
    drawings = made(experiment.figures)
    findings = page.attempt(functools.partial(findings_of, experiment, finished)) or []
    figures = page.blocks(drawings)
    before = run["previous"].get("findings", [])
    known = before and all("id" in finding for finding in before)
    content = {
        "experiment": experiment,
        "findings": findings,
        "descriptive": descriptive(run["preset"], run["seeds"]),
        "headline": figures[:1],
        "sections": [(section.title, page.blocks(section.blocks)) for section in sections],
        "tables": page.blocks(tables),
        "figures": figures[1:],
        "problems": page.problems,
        "failed": [_failed(row) for row in failed.head(FAILED_ROWS).to_dict("records")],
        "failed_left": max(0, len(failed) - FAILED_ROWS),
        "run": run,
        "changes": changes(before, findings) if known else None,
        "rows": len(finished),
    }
    write_pages("page", folder, content)
    for stale in (*folder.glob("*.svg"), *folder.glob("*.png")):
        if stale.name not in page.images:
            stale.unlink()
    summary = {
        **{name: getattr(experiment, name) for name in ("order", "name", "title", "question")},
        "findings": findings,
        "headline": {k: v for first in figures[:1] for k, v in first.items() if k != "source"},
        "failed": len(failed) + len(page.problems),
        **{name: run[name] for name in ("preset", "seeds")},
        **{name: run["machine"].get(name, "") for name in ("commit", "measured")},
    }
    write(folder / "summary.json", json.dumps(summary, indent=1) + "\n")
    return page.problems


def descriptive(preset: str, seeds: int) -> str:
    """What is said beside the verdicts of a run that is too small to be cited."""
    return "" if preset == "full" else f"descriptive only: the {preset} preset, {seeds} seeds"


def _failed(row: Mapping[Any, Any]) -> dict[str, str]:
    hidden = (*RESERVED, "status")
    shown = (f"{k}={v}" for k, v in row.items() if k not in hidden and v == v)  # v is no NaN
    return {"settings": " ".join(shown), "traceback": str(row[ERROR]).rstrip()}
