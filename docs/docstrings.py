"""Docstrings, made ready for Sphinx: numpydoc, with words where napoleon looks for types."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

ATTRIBUTES = "What it holds"
"""Of what a class says of its attributes, each of which has an entry of its own below."""


def sections(lines: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Titles and bodies; what stands before the first title has none.

    >>> [*sections(["A sum.", "", "Returns", "-------", "int"])]
    [('', ['A sum.', '']), ('Returns', ['int'])]
    """
    starts = [k for k, below in enumerate(lines[1:]) if lines[k].strip() and set(below) == {"-"}]
    yield "", lines[: starts[0]] if starts else lines
    for start, end in zip(starts, [*starts, len(lines)][1:], strict=True):
        yield lines[start], lines[start + 2 : end]


def described(lines: list[str]) -> list[str]:
    """After "name : " stands what it is, in words; attributes become a list.

    >>> described(["Raises", "------", "TypeError, ValueError : where it does not fit."])[2:4]
    ['TypeError', '    where it does not fit.']
    """
    made = []
    for title, body in sections(lines):
        if title == "Attributes":
            title, body = ATTRIBUTES, [_item(line) for line in body]
        elif title in ("Parameters", "Returns", "Raises"):
            example = next((k for k, line in enumerate(body) if line.startswith(">>>")), len(body))
            if body[example:]:  # without a title of its own
                body[example:example] = ["Examples", "--------"]
            body = [part for line in body for part in _parted(line, title == "Raises")]
        made += [title, "-" * len(title), *body] if title else body
    return made


def _item(line: str) -> str:
    """A line of a list: a new entry, or what goes on."""
    if not line.strip() or line[0].isspace():
        return line and f"  {line.strip()}"
    name, _, text = line.partition(" : ")
    return f"- **{name}**: {text}".rstrip()


def _parted(line: str, several: bool) -> list[str]:
    names, colon, text = line.partition(" : ")
    if not colon or line[0].isspace():
        return [line]
    return [
        part
        for name in (names.split(", ") if several else [names])
        for part in (name, f"    {text}")
    ]


def as_text(lines: list[str]) -> list[str]:
    """In prose |x| is an absolute value, and a star a product; examples stay as they are.

    >>> as_text(["a * |x|, ``|x|``", ">>> 2 * 3"])
    ['a \\\\* \\\\|x\\\\|, ``|x|``', '>>> 2 * 3']
    """
    made, example = [], False
    for line in lines:
        example = bool(line.strip()) and (example or line.lstrip().startswith(">>>"))
        made.append(line if example else _escaped(line))
    return made


def _escaped(line: str) -> str:
    line = re.sub(r"`` *([^`]+?) *``", r"``\1``", line)
    parts = re.split(r"(`+[^`]*`+|\*\*?\w[^*]*\w\*\*?(?!\w))", line)
    parts[::2] = [re.sub(r"(?<!\\)([|*])", r"\\\1", part) for part in parts[::2]]
    return "".join(parts)


def connect(app: Any) -> None:
    """Before napoleon reads sections, and after it has written them."""

    def before(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
        lines[:] = described(lines)

    def after(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
        lines[:] = as_text(lines)

    app.connect("autodoc-process-docstring", before, priority=400)
    app.connect("autodoc-process-docstring", after, priority=600)
