"""A long program compiled in pieces, each kind of piece once.

What flows: the lines of a straight-line function come in, and calls of pieces come out. Python
takes 10 us to compile a line, and most long programs are loops written out: so they are cut where
the same lines come again, and pieces that differ by names of values and places of elements alone
are one function. The invariant: what runs are the lines that came in, in their order.

>>> lines = ["v0 = x0 * 2.0", *[f"v{i} = v{i - 1} + x0" for i in range(1, 2000)]]
>>> namespace = {}
>>> calls = in_pieces(lines, "v1999", namespace)
>>> calls[1], len(calls), len(namespace)
('v299, = piece1(v149, x0)', 13, 5)
>>> made(text("x0", calls, "v1999"), namespace)(0.5)
1000.5
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final
from zlib import crc32

LONG: Final = 1000
"""Lines up to which a function is compiled as it is."""
PIECE: Final = 150
"""The least number of lines in a piece; at most twice as many."""
_ALIKE: Final = 8
"""Lines by which a place is known again."""
_NAME: Final = re.compile(r"\b([vbx]\d+\b|(?<=\[)\d+(?=\]))")
"""A value's name, or the number of an element."""
_ASSIGNED: Final = re.compile(r"[vx]\d+(?= = )")


def text(parameters: str, lines: Sequence[str], results: str, name: str = "program") -> str:
    """The source of a function."""
    return "\n    ".join([f"def {name}({parameters}):", *lines, f"return {results}"])


def made(source: str, namespace: dict[str, Any], name: str = "program") -> Callable[..., Any]:
    """The function of a source."""
    exec(compile(source, "<difflab program>", "exec"), namespace)
    function: Callable[..., Any] = namespace[name]
    return function


def in_pieces(lines: Sequence[str], results: str, namespace: dict[str, Any]) -> Sequence[str]:
    """Few calls in place of many lines; what they call is put into the namespace."""
    return lines if len(lines) <= LONG else [*_pieces(lines, results, namespace)]


def _pieces(lines: Sequence[str], results: str, namespace: dict[str, Any]) -> Iterator[str]:
    parts = [_NAME.split(line) for line in lines]  # what is around names, and every other the name
    assigned = [match[0] if (match := _ASSIGNED.match(line)) else "" for line in lines]
    last = {name: i for i, part in enumerate(parts) for name in part[1::2]}
    last |= dict.fromkeys(_NAME.findall(results), len(lines))
    known: dict[str, str] = {}
    for start, end in _cuts(parts):
        short: dict[str, str] = {}
        own: dict[str, None] = {}
        given: dict[str, None] = {}
        body = []
        for i in range(start, end):
            part, target = parts[i], assigned[i]
            names = part[1::2]
            for name in names[1:] if target else names:
                if name not in own:
                    given[name] = None
            for name in names:
                if name not in short:
                    short[name] = f"v{len(short)}"
            part[1::2] = [short[name] for name in names]
            body.append("".join(part))
            if target:
                own[target] = None
        kept = [name for name in own if last[name] >= end]
        arguments, found = (", ".join(short[name] for name in some) for some in (given, kept))
        source = text(arguments, body, f"({found},)" if kept else "()", "piece")
        if source not in known:
            known[source] = f"piece{len(known)}"
            namespace[known[source]] = made(source, namespace, "piece")
        taken = f"{', '.join(kept)}, = " if kept else ""
        yield f"{taken}{known[source]}({', '.join(given)})"


def _cuts(parts: Sequence[Sequence[str]]) -> Iterator[tuple[int, int]]:
    """Where pieces start and end: at places that are known again by what follows."""
    marks = [crc32("".join(part[::2]).encode()) for part in parts]
    marks = [hash(tuple(marks[i : i + _ALIKE])) for i in range(len(marks))]
    start = 0
    while start < len(parts):
        end = len(parts)
        if end - start > 2 * PIECE:
            end = min(range(start + PIECE, start + 2 * PIECE), key=marks.__getitem__)
        yield start, end
        start = end
