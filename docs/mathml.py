"""Formulas as MathML, which browsers draw without a script that would have to be loaded."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert

NAMED = r"\\(?:log|ln|exp|sinh?|cosh?|tanh?|max|min)(?![a-z])"


def spaced(latex: str) -> str:
    r"""LaTeX with the thin spaces around the names of functions that TeX makes itself.

    >>> print(spaced(r"x_1 x_2 - t \log t, 2 \sin(x)"))
    x_1 x_2 - t \, \log\, t, 2 \, \sin(x)
    """
    latex = re.sub(rf"([\w}})]) ?(?={NAMED})", r"\1 \\, ", latex)
    return re.sub(rf"({NAMED}) (?=\w|\\(?!left))", r"\1\\, ", latex)


def mathml(latex: str, display: str) -> str:
    """A formula in LaTeX as a `<math>` element."""
    return str(convert(spaced(latex), display=display))


def _inline(self: Any, node: nodes.Element) -> None:
    self.body.append(mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def _block(self: Any, node: nodes.Element) -> None:
    self.body.append(f'<div class="math">{mathml(node.astext(), "block")}</div>\n')
    raise nodes.SkipNode


INLINE, BLOCK = (_inline, None), (_block, None)
