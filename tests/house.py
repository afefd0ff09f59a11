"""The house as it stands: its lines, its imports, what pyproject.toml declares."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "difflab"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
BUDGET: dict[str, int] = PROJECT["tool"]["difflab"]["budget"]
MODULES = {"scikit-learn": "sklearn", "python-flint": "flint", "pyyaml": "yaml"}
"""What is imported, where its name is not the distribution's."""


def files(folder: str = "difflab") -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


# Lines --------------------------------------------------------------------------------------------


def lines() -> dict[str, int]:
    """How many lines there are, by the budget's own names."""
    counts = {file: _count(file) for file in files()}
    lab = sum(count for file, count in counts.items() if file.is_relative_to(PACKAGE / "lab"))
    return {
        "without_lab": sum(counts.values()) - lab,
        "lab": lab,
        "experiments": sum(map(_count, files("experiments"))),
        "longest_file": max(counts.values()),
    }


def _count(file: Path) -> int:
    return len(file.read_text(encoding="utf-8").splitlines())


def longest() -> Path:
    return max(files(), key=_count).relative_to(ROOT)


# Dependencies -------------------------------------------------------------------------------------


def declared(*extras: str) -> set[str]:
    """The modules that the dependencies bring, with those of some extras."""
    project = PROJECT["project"]
    texts = [*project["dependencies"]]
    for name in extras:
        texts += project["optional-dependencies"][name]
    names = [re.split(r"[^\w.-]", text)[0].lower() for text in texts]
    return {MODULES.get(name, name.replace("-", "_")) for name in names if name != "difflab"}


@dataclass(frozen=True)
class Import:
    """A module of others that a file imports; at once, or later: in a function, or for types."""

    file: Path
    line: int
    module: str
    at_once: bool

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {self.module}"


def third_party(folder: str, own: Iterable[str]) -> Iterator[Import]:
    """The imports of a folder's files that are neither Python's nor own modules."""
    known = {*sys.stdlib_module_names, *own}
    for file in files(folder):
        for node, at_once in _statements(tree(file).body, True):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [str(node.module)]
            else:
                continue
            for name in names:
                top = name.partition(".")[0]
                if top not in known:
                    yield Import(file, node.lineno, top, at_once)


def _statements(body: Iterable[ast.AST], at_once: bool) -> Iterator[tuple[ast.stmt, bool]]:
    """All statements, and whether importing the file runs them whatever is installed."""
    for node in body:
        if isinstance(node, ast.stmt):
            yield node, at_once
        inside = at_once and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            inside = False
        if isinstance(node, ast.With) and ast.unparse(node.items[0]).startswith("extra("):
            inside = False  # whose absence is an error with a remedy
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            found = getattr(node, part, [])
            if isinstance(found, list):
                yield from _statements(found, inside)


def strings(folder: str) -> set[str]:
    """All text constants: modules may be imported by their names."""
    nodes = [node for file in files(folder) for node in ast.walk(tree(file))]
    return {n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)}


# Cycles -------------------------------------------------------------------------------------------


def graph() -> dict[str, set[str]]:
    """Which modules of difflab each of them names in its imports, late ones and types included."""
    modules = {_module(file): file for file in files()}
    return {name: set(_imported(name, file, modules)) - {name} for name, file in modules.items()}


def _module(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(name: str, file: Path, modules: dict[str, Path]) -> Iterator[str]:
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            if base not in modules:
                continue
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield inner if inner in modules else base


def cycles(edges: dict[str, set[str]]) -> list[list[str]]:
    """A shortest cycle through the first module of each set that imports each other."""
    reached = {name: _reached(name, edges) for name in edges}
    found, seen = [], set[str]()
    for name in sorted(edges):
        together = {other for other in reached[name] if name in reached[other]}
        if together and name not in seen:
            seen |= together
            found.append(_back_to(name, edges))
    return found


def _reached(name: str, edges: dict[str, set[str]]) -> set[str]:
    found, todo = set[str](), [name]
    while todo:
        new = edges[todo.pop()] - found
        found |= new
        todo += new
    return found


def _back_to(name: str, edges: dict[str, set[str]]) -> list[str]:
    paths = [[name]]
    while True:
        longer = [[*path, other] for path in paths for other in sorted(edges[path[-1]])]
        done = [path for path in longer if path[-1] == name]
        if done:
            return done[0]
        best: dict[str, list[str]] = {}
        for path in longer:
            best.setdefault(path[-1], path)
        paths = list(best.values())


# Names of primitives ------------------------------------------------------------------------------


def names_asked(file: Path, rows: Iterable[str]) -> Iterator[str]:
    """Where a file asks a row for its name, or keeps a collection of such names."""
    known = set(rows)
    for node in ast.walk(tree(file)):
        what = ""
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            texts = {text for side in sides for text in _texts(side)}
            if any(_is_name(side) for side in sides) and texts & known:
                what = "asks for the name"
        elif isinstance(node, ast.Match) and _is_name(node.subject):
            cases = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant)}
            if cases & known:
                what = "asks for the name"
        elif isinstance(node, ast.Set | ast.Tuple | ast.Dict) and len(_texts(node) & known) > 1:
            what = "keeps names"
        if what:
            text = " ".join(ast.unparse(node).split())
            place = file.relative_to(ROOT)
            yield f"{place}:{getattr(node, 'lineno', 0)} {what}: {text[:90]}"


def _is_name(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "name"


def _texts(node: ast.AST) -> set[str]:
    """The text constants that a literal consists of; of a dict, its keys."""
    if isinstance(node, ast.Constant):
        return {node.value} if isinstance(node.value, str) else set()
    if isinstance(node, ast.Dict):
        return {text for key in node.keys if key is not None for text in _texts(key)}
    if isinstance(node, ast.Set | ast.Tuple | ast.List):
        values = [element.value for element in node.elts if isinstance(element, ast.Constant)]
        return {value for value in values if isinstance(value, str)}
    return set()
