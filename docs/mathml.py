"""Formulas as MathML, which browsers draw without a script that would have to be loaded."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from latex2mathml.converter import convert


def mathml(latex: str, display: str) -> str:
    """A formula in LaTeX as a `<math>` element."""
    return str(convert(latex, display=display))


def _inline(self: Any, node: nodes.Element) -> None:
    self.body.append(mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def _block(self: Any, node: nodes.Element) -> None:
    self.body.append(f'<div class="math">{mathml(node.astext(), "block")}</div>\n')
    raise nodes.SkipNode


INLINE, BLOCK = (_inline, None), (_block, None)
