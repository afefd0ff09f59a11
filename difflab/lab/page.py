"""Pages: a report folder's rows -> figures, tables, index.html and README.md.

What flows: rows.csv and timings.csv -> the experiment's tables, figures and findings -> an HTML
page beside the files that it shows, and its Markdown twin.

Invariant: a page is a function of the files in its folder and of the experiment's own functions.
Rendering measures nothing, asks nothing of a network, and equal rows give equal bytes. A figure is
one file, which both twins show.
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
from difflab.lab.blocks import Block, Code, Figure, Formula, Picture, Slider, Table
from difflab.lab.cases import SEEDS, Experiment
from difflab.lab.claims import CHECKS, FINDINGS
from difflab.lab.findings import NOT_JUDGED, Plain, changes, findings_of, here
from difflab.lab.forest import forest_of
from difflab.lab.record import load_rows, load_run
from difflab.lab.slider import slider_of
from difflab.lab.store import ERROR, RESERVED, write
from difflab.lab.style import formula, image, themed
from difflab.lab.words import (
    cells,
    detectable,
    flat,
    latex,
    paragraphs,
    recipe,
    results_table,
    sentence,
)

if TYPE_CHECKING:
    import jinja2
    import pandas as pd

T = TypeVar("T")
Shown: TypeAlias = dict[str, Any]
"""A block as the templates show it."""

TABLE_ROWS = 200
FAILED_ROWS = 20
MARKS = dict(zip((*FINDINGS, *CHECKS, NOT_JUDGED), "✓◐⇄○✗?✓✗–", strict=True))


class _Page:
    """Turns an experiment's blocks into dicts for the templates, and writes their files."""

    def __init__(self, folder: Path, single_file: bool = False) -> None:
        self.folder = folder
        self.single_file = single_file
        self.problems: list[str] = []
        self.files: set[Path] = set()

    def attempt(self, part: Callable[[], T]) -> T | None:
        """What a part of the experiment gives; if it raises, nothing, and that is shown instead."""
        try:
            return part()
        except (Exception, SystemExit) as reason:
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
                drawn = formula(block.latex)
                source = drawn and data_uri(drawn)
                return {"kind": "formula", "latex": block.latex, "source": source}
            case Table():
                return {"kind": "table", **self._table(block)}
            case Slider():
                return {"kind": "slider", **slider_of(block)}
            case Picture():
                drawn = block.svg.encode()
                paper = b"currentColor" not in drawn
                drawn = drawn if paper else themed(drawn)
            case Figure():
                drawn = image(block)
                paper = _kind(drawn) == "png"
        file = self._write(block.name, _kind(drawn), drawn)
        named = ("name", "caption", "alt", "finding", "foot")
        return {
            "kind": "figure", "file": file, "paper": paper,
            "source": data_uri(drawn) if self.single_file else file,
            **{name: getattr(block, name, "") for name in named},
        }  # fmt: skip

    def _write(self, name: str, suffix: str, data: bytes | str) -> str:
        """Write a file of the page, and say where."""
        path = self.folder / f"{name}.{suffix}"
        if not re.fullmatch(r"(tables/)?[\w-]+", name) or path in self.files:
            what = f"{name!r} cannot name a file"
            raise ArgumentError(what, "use letters, digits, _ and -, and each name once")
        write(path, data)
        self.files.add(path)
        return path.relative_to(self.folder).as_posix()

    def _table(self, table: Table) -> Shown:
        frame = flat(table.frame)
        slug = "tables/" + re.sub(r"[^a-z0-9]+", "-", table.title.lower()).strip("-")[:60]
        same = sum(path.suffix == ".csv" and path.stem.startswith(slug[7:]) for path in self.files)
        slug += f"-{same + 1}" if same else ""  # titles may repeat: a trace for each function
        shown = frame.head(TABLE_ROWS)
        return {
            "title": table.title, "caption": table.caption, "heads": list(frame),
            "csv": self._write(slug, "csv", frame.to_csv(index=False, lineterminator="\n")),
            "tex": self._write(slug, "tex", latex(table)),
            "numeric": [kind.kind in "iufb" for kind in frame.dtypes],
            "rows": cells(shown), "left": len(frame) - len(shown),
        }  # fmt: skip

    def clear(self) -> None:
        """Remove the figures and tables of an earlier page."""
        for pattern in ("*.svg", "*.png", "tables/*.csv", "tables/*.tex"):
            for path in {*self.folder.glob(pattern)} - self.files:
                if not path.is_dir():
                    path.unlink()


def _kind(drawn: bytes) -> str:
    return "png" if drawn.startswith(b"\x89PNG") else "svg"


def data_uri(drawn: bytes) -> str:
    """An image as the text that an <img> shows without a file."""
    kind = {"png": "png", "svg": "svg+xml"}[_kind(drawn)]
    return f"data:image/{kind};base64,{base64.b64encode(drawn).decode()}"


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
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.globals["MARKS"] = MARKS
    environment.filters.update(
        paragraphs=paragraphs, inline=_inline, cell=_cell, sentence=sentence, here=here,
        recipe=recipe, detectable=detectable, forest=forest_of,
        slug=lambda verdict: verdict.replace(" ", "-"),
        prose=lambda text: textwrap.dedent(text).strip(),
    )  # fmt: skip
    return environment


def filled(template: str, content: Mapping[str, Any]) -> dict[str, str]:
    """The texts of a template's two forms, which become a folder's index.html and README.md."""
    texts = {}
    for suffix, name in ((".html", "index.html"), (".md", "README.md")):
        text = _templates().get_template(template + suffix).render(**content)
        texts[name] = re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
    return texts


def write_pages(template: str, folder: Path, content: Mapping[str, Any]) -> None:
    """Fill a template's two forms, and write them."""
    for name, text in filled(template, content).items():
        write(folder / name, text)


def render(experiment: Experiment, folder: Path, single_file: bool = False) -> list[str]:
    """Render an experiment's page from the rows in its folder.

    Its images are files of the folder, unless it is to be a `single_file` that holds them. Returns
    the traceback of each table, figure or finding that could not be made; the page shows them too.
    """
    run = load_run(folder, experiment)
    rows = load_rows(folder)
    failed = rows[rows[ERROR].notna()] if ERROR in rows else rows.head(0)
    finished = rows.drop(index=failed.index).drop(columns=ERROR, errors="ignore")
    finished = finished.reset_index(drop=True)
    page = _Page(folder, single_file)

    def made(part: Callable[[pd.DataFrame], list[T]]) -> list[T]:
        return (page.attempt(functools.partial(part, finished)) if len(finished) else None) or []

    sections, tables = made(experiment.sections), made(experiment.tables)
    drawings = made(experiment.figures)
    findings = page.attempt(functools.partial(findings_of, experiment, finished)) or []
    figures = page.blocks(drawings)
    results = results_table(findings)
    content = {
        "experiment": experiment, "run": run, "rows": len(finished),
        "findings": [finding for finding in findings if finding["kind"] == "finding"],
        "checks": [finding for finding in findings if finding["kind"] == "check"],
        "descriptive": descriptive(run["preset"], run["seeds"]),
        "headline": figures[:1], "figures": figures[1:], "problems": page.problems,
        "sections": [(section.title, page.blocks(section.blocks)) for section in sections],
        "tables": page.blocks([*([results] if results else []), *tables]),
        "failed": [_failed(row) for row in failed.head(FAILED_ROWS).to_dict("records")],
        "failed_left": max(0, len(failed) - FAILED_ROWS),
        "changes": _changes(run["previous"].get("findings"), findings),
    }  # fmt: skip
    write_pages("page", folder, content)
    page.clear()
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


def _changes(before: Any, now: list[Plain]) -> list[dict[str, str]] | None:
    """What differs from what a file says was found before; None if it says nothing of this form."""
    try:
        old = [one for one in before or () if "parts" in one]  # not older
        return changes(old, now) if old else None
    except (TypeError, ValueError, LookupError, AttributeError):
        return None


def descriptive(preset: str, seeds: int) -> str:
    """What is said beside the verdicts of a run that is too small to be cited."""
    if preset != "full":
        return f"descriptive only: the {preset} preset, {seeds} seeds"
    few = seeds < SEEDS[preset]
    return f"fewer seeds than planned: {seeds} of {SEEDS[preset]}" if few else ""


def _failed(row: Mapping[Any, Any]) -> dict[str, str]:
    shown = (f"{k}={v}" for k, v in row.items() if k not in RESERVED and v == v)  # v is no NaN
    return {"settings": " ".join(shown), "traceback": str(row[ERROR]).rstrip()}
