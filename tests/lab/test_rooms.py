"""Laws of the lab's house: rooms know only earlier ones, and of difflab nothing but its errors."""

from __future__ import annotations

import ast
import graphlib
from pathlib import Path

import pytest

import difflab.lab

FOLDER = Path(difflab.lab.__file__).parent
ROOMS = [path for path in FOLDER.glob("*.py") if path.stem != "__init__"]


def imported(path: Path) -> set[str]:
    """What of difflab a file imports, wherever in the file, for types alone included."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names = [node.module or "." for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name for name in (*plain, *names) if name.split(".")[0] in ("difflab", "")}


@pytest.mark.parametrize("path", ROOMS, ids=lambda path: path.stem)
def test_a_room_knows_nothing_of_difflab_but_the_lab_and_errors(path):
    rooms = {f"difflab.lab.{room.stem}" for room in ROOMS}
    assert imported(path) <= rooms | {"difflab.errors"}


def test_no_rooms_import_each_other():
    known = {f"difflab.lab.{path.stem}": imported(path) for path in ROOMS}
    order = list(graphlib.TopologicalSorter(known).static_order())  # raises on a cycle
    data = [f"difflab.lab.{name}" for name in ("cases", "store", "workers", "runner", "command")]
    assert sorted(data, key=order.index) == data
