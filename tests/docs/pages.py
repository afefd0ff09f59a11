"""The cells of the site's pages and notebooks, and how they are run without Jupyter."""

from __future__ import annotations

import ast
import importlib.util
import json
import linecache
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

DOCS = Path(__file__).parents[2] / "docs"
FENCE = re.compile(r"^(`{3,})(\{code-cell\}|python)[^\n]*\n(.*?)^\1$", re.M | re.S)


class Cell(NamedTuple):
    """A block of Python: where it is, its text, and whether the build runs it."""

    where: str
    text: str
    runs: bool
    raises: bool


def pages() -> list[Path]:
    """Everything that is written by hand."""
    made = DOCS / "reference" / "names", DOCS / "_build"
    found = sorted([*DOCS.rglob("*.md"), *DOCS.rglob("*.ipynb")])
    return [page for page in found if not any(page.is_relative_to(folder) for folder in made)]


def cells(page: Path) -> Iterator[Cell]:
    """The blocks of Python of a page or a notebook; magics are left out."""
    text, name = page.read_text(encoding="utf-8"), page.relative_to(DOCS).as_posix()
    if page.suffix == ".ipynb":
        for k, cell in enumerate(json.loads(text)["cells"]):
            if cell["cell_type"] == "code":
                yield Cell(f"{name} {k}", _plain("".join(cell["source"])), True, False)
        return
    for k, (_, kind, body) in enumerate(FENCE.findall(text)):
        options = body.startswith(":")
        raises = options and "raises-exception" in body.partition("\n")[0]
        code = re.sub(r"\A(:.*\n)+", "", body)
        yield Cell(f"{name} {k}", _plain(code), kind != "python", raises)


def _plain(code: str) -> str:
    return "".join(line for line in code.splitlines(True) if not line.startswith("%"))


def run(page: Path, every: bool = False) -> dict[str, Any]:
    """Run a page's cells (every: also what the build does not run), show what Jupyter would show,
    and give the names back.
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    for cell in cells(page):
        if not (cell.runs or every):
            continue
        try:
            _run(cell, names)
        except Exception:
            if not cell.raises:
                raise
        else:
            assert not cell.raises, f"{cell.where} should raise"
    return names


def _run(cell: Cell, names: dict[str, Any]) -> None:
    lines = cell.text.splitlines(True)
    linecache.cache[cell.where] = len(cell.text), None, lines, cell.where
    tree = ast.parse(cell.text, cell.where)
    last = tree.body[-1] if tree.body else None
    if isinstance(last, ast.Expr):
        tree.body.pop()
    exec(compile(tree, cell.where, "exec"), names)
    if isinstance(last, ast.Expr):
        shown = eval(compile(ast.Expression(last.value), cell.where, "eval"), names)
        getattr(shown, "_repr_html_", lambda: None)()


def part(name: str) -> ModuleType:
    """A module of the site, such as docs/reference.py, which makes the reference's pages."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
