"""Docstrings, made ready for Sphinx: numpydoc, with words where napoleon looks for types."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

ATTRIBUTES = "What it holds"
"""Of what a class says of its attributes, each of which has an entry of its own below."""
LISTED = {name: name for name in ("Parameters", "Returns", "Raises", "Warns")}
LISTED["Attributes"] = ATTRIBUTES
"""The sections that are lists, and their titles in the site."""


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

    >>> described(["Raises", "------", "TypeError, ValueError : it", "    is so."])[2:-1]
    ['TypeError', '    it', '    is so.',
     'ValueError', '    it', '    is so.']
    >>> described(["Attributes", "----------", "loss : Loss", "    By default none."])[2:-1]
    ['- **loss** (Loss): By default none.']
    """
    made = []
    for title, body in sections(lines):
        if title in LISTED:
            example = next((k for k, line in enumerate(body) if line.startswith(">>>")), len(body))
            entries = [part for entry in _entries(body[:example]) for part in _told(title, entry)]
            title = LISTED[title]
            body = entries + (
                ["", "Examples", "--------", *body[example:]] if body[example:] else [""]
            )
        made += [title, "-" * len(title), *body] if title else body
    return made


def _entries(body: list[str]) -> Iterator[list[str]]:
    """Lines that begin at the margin, each with the indented ones below."""
    starts = [k for k, line in enumerate(body) if line.strip() and not line[0].isspace()]
    for start, end in zip(starts, [*starts, len(body)][1:], strict=True):
        yield [line for line in body[start:end] if line.strip()]


def _told(title: str, entry: list[str]) -> list[str]:
    names, colon, text = entry[0].partition(" : ")
    if title == "Attributes":
        kind = f" ({text})" if colon else ""
        return [" ".join([f"- **{names}**{kind}:", *map(str.strip, entry[1:])]).removesuffix(":")]
    below = [f"    {text}", *entry[1:]] if colon else entry[1:]
    several = title in ("Raises", "Warns")
    return [line for name in (names.split(", ") if several else [names]) for line in (name, *below)]


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
