"""What README.md says is what happens: its Python runs, its commands end as they should, what it
says of their results holds to the digits shown, and links lead somewhere.
"""

from __future__ import annotations

import ast
import contextlib
import io
import linecache
import re
import shlex
import sys
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from difflab.__main__ import main

from .house import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(python|text)\n(.*?)^```$", re.M | re.S)
STATED = re.compile(r"\s*#\s+(array\(.*?\)|'[^']*'|-?\d[\d.]*(?:e[+-]?\d+)?)(?=$|[:;,] )", re.M)
"""A comment that begins with a result: of the expression before it."""
NUMBER = r"[+-]?\d+\.?\d*(?:e[+-]?\d+)?"
TOKEN = re.compile(rf"(?<![\w.])(?P<number>{NUMBER})(?!\w)|(?P<any>\.\.\.)|(?P<text>\S)")
LINK = re.compile(r"\]\(([^()\s]+)\)")


def same(stated: str, found: str) -> bool:
    """Whether texts agree: numbers to the digits stated, ``...`` for any text, spaces apart.

    >>> same("array([ 0.33, -2. ]) ...", "array([0.3333, -2.]), and more")
    True
    >>> same("0.33", "0.34"), same("2 of 3", "2 of 4"), same("w[3]", "x[3]"), same("2", "2 or 3")
    (False, False, False, False)
    """
    tokens = list(TOKEN.finditer(stated))
    made = {"number": f"({NUMBER})", "any": r"[\s\S]*?"}
    pattern = r"\s*".join(made.get(str(t.lastgroup), re.escape(t[0])) for t in tokens)
    match = re.fullmatch(rf"\s*{pattern}\s*", found)
    numbers = [token[0] for token in tokens if token["number"]]
    return match is not None and all(map(_close, numbers, match.groups()))


def _close(stated: str, found: str) -> bool:
    """Half a unit of the last digit that is stated; of all digits, what a C library may move."""
    one, other = Decimal(stated), Decimal(found)
    half = Decimal("0.5").scaleb(int(one.as_tuple().exponent))
    return abs(one - other) <= half + abs(other) * Decimal("1e-15")


def follow(readme: str, folder: Path) -> int:
    """Run every block of Python in one namespace, and every command, in the folder; compare what is
    said of the results; how often that was.
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    printed, said = "", 0
    for k, (kind, text) in enumerate(FENCE.findall(readme)):
        if kind == "python":
            file = folder / f"block_{k}" / "model.py"  # which is how the README calls it
            said_here, printed = _run(text, file, names)
            said += said_here
        elif not text.startswith("$ "):
            assert same(text, printed), f"stated:\n{text}\nfound:\n{printed}"
            said += 1
        else:
            said += sum(map(_command, re.split(r"^\$ ", text, flags=re.M)[1:]))
    return said


def _run(text: str, file: Path, names: dict[str, Any]) -> tuple[int, str]:
    file.parent.mkdir()
    file.write_text(text, encoding="utf-8")
    linecache.checkcache(str(file))
    said, lines = 0, text.splitlines()
    with contextlib.redirect_stdout(io.StringIO()) as out:
        for statement in ast.parse(text).body:
            if not isinstance(statement, ast.Expr):
                exec(compile(ast.Module([statement], []), file, "exec"), names)
                continue
            value = eval(compile(ast.Expression(statement.value), file, "eval"), names)
            comment = lines[int(statement.end_lineno or 0) - 1][statement.end_col_offset :]
            if stated := STATED.match(comment):
                shown = repr(value.item() if isinstance(value, np.generic) else value)
                assert same(stated[1], shown), f"stated: {stated[1]}, found: {shown}"
                said += 1
    return said, out.getvalue()


def _command(text: str) -> int:
    line, _, stated = text.partition("\n")
    program, *words = shlex.split(line, comments=True)
    assert program == "difflab"
    if words[0] == "run":  # what it would measure; whole runs have tests of their own
        words.append("--list")
    with contextlib.redirect_stdout(io.StringIO()) as out:
        code = main(words)
    assert code == ("model:gradient" in words), f"{line} ended with {code}"  # which is wrong
    files = [Path(name) for option, name in pairwise(words) if option in ("--html", "--output")]
    found = out.getvalue()
    assert all(file.exists() for file in files) and (found or files), f"{line} made nothing"
    assert not stated or same(stated, found), f"stated:\n{stated}\nfound:\n{found}"
    return bool(stated)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder but for model.py, with the README's loss and its gradient."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "model", raising=False)
    text = next(block for _, block in FENCE.findall(README) if "def loss(" in block)
    functions = text.partition("\nprint(")[0]
    (tmp_path / "model.py").write_text(f"import numpy as np\n{functions}", encoding="utf-8")
    return tmp_path


def test_the_readme_does_what_it_says(folder):
    assert follow(README, folder) >= 5


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("array([ 355.6,", "array([ 355.7,"),
        ("rosenbrock, method=", "rosenbrok, method="),
        ("100 * (x[1:] - x[:-1] ** 2)", "101 * (x[1:] - x[:-1] ** 2)"),
        ("# -0.61875", "# -0.61876"),
        ("# 'correct'", "# 'rounding'"),
        ("(off by 6.8 relative)", "(off by 6.9 relative)"),
        ("2 * np.tanh(w) /", "3 * np.tanh(w) /"),
        ("16 of 16 digits", "15 of 16 digits"),
        ("$ difflab methods", "$ difflab method"),
        ("[1.0, 2.0]", "[1.0, x]"),
    ],
)
def test_a_readme_that_is_wrong_is_told(folder, right, wrong):
    """With the blocks that change, what is said of them, and the first, which imports."""
    blocks = [block[0] for block in FENCE.finditer(README)]
    said = [block.startswith("```text\n") and block[8] != "$" for block in [*blocks, ""]]
    at = next(k for k, block in enumerate(blocks) if right in block)
    kept = sorted({0, at, at - said[at], at + said[at + 1]})
    text = "\n".join(blocks[k] for k in kept)
    with pytest.raises((AssertionError, NameError)):
        follow(text.replace(right, wrong), folder)


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md", "CONTRIBUTING.md"])
def test_links_lead_somewhere(name):
    for link in LINK.findall((ROOT / name).read_text(encoding="utf-8")):
        path, _, heading = link.partition("#")
        if "://" in path or (path.startswith("reports/") and not (ROOT / "reports").exists()):
            continue  # a source distribution has no reports
        target = ROOT / (path or name)
        assert target.exists(), f"{name} links to {link}"
        if heading:
            titles = re.findall("^#+ (.*)$", target.read_text(encoding="utf-8"), re.M)
            known = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]
            assert heading in known, f"{name} links to {link}"
