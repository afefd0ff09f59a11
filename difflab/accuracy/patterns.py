"""Formulas recognised in graphs: a pattern, written as NumPy text, is found wherever it stands.

What flows: text such as ``np.log(1 + np.exp(x))`` is traced into a graph whose inputs stand for
anything, and compared with the nodes of a user's graph. The invariant: spelling does not matter
(``x*x`` or ``x**2``, ``1 + a`` or ``a + 1``, a mean or a sum over n, broadcasting), the formula
does: a parameter that occurs twice must stand for the same node.

>>> from difflab.tracing.trace import trace
>>> graph = trace(lambda w: np.log(np.exp(2 * w) + 1), 1.0)
>>> found = Pattern("np.log(1 + np.exp(x))").match(graph.outputs[0])
>>> [node.primitive.name for node in found.inside], found.bound["x"].primitive.name
(['log', 'add', 'exp'], 'multiply')
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np

from difflab.accuracy.formula import formula
from difflab.ir.expr import Expr, placeholder
from difflab.ir.row import INPUT
from difflab.table.spelt_alike import is_commutative, number, plain, spelling, spellings

MANY: Final = (3,)
"""The shape that a parameter of a pattern over arrays is traced at."""
_MODULES: Final = ("np", "difflab")


def as_function(text: str, parameters: tuple[str, ...]) -> Callable[..., Any]:
    """A form's text as a function of its parameters, by the parser that knows arithmetic alone."""
    return formula(re.sub(rf"\b({'|'.join(_MODULES)})\.", "", text), parameters)


class Match(NamedTuple):
    """Where a pattern stands: the nodes that it is made of, and what its parameters stand for."""

    inside: tuple[Expr, ...]
    bound: dict[str, Expr]


@dataclass(frozen=True)
class Pattern:
    """A formula in NumPy's text; its free names are its parameters."""

    text: str

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """The free names in order of appearance."""
        names = [node for node in ast.walk(ast.parse(self.text)) if isinstance(node, ast.Name)]
        names.sort(key=lambda name: name.col_offset)
        return tuple(dict.fromkeys(name.id for name in names if name.id not in _MODULES))

    @cached_property
    def is_of_arrays(self) -> bool:
        """Whether it reduces an array to a number."""
        return any(word in self.text for word in ("sum(", "mean(", "softmax("))

    @cached_property
    def root(self) -> Expr:
        """The last node of the traced pattern."""
        shape = MANY if self.is_of_arrays else ()
        inputs = [placeholder(shape, np.dtype(np.float64), name) for name in self.parameters]
        found: Expr = as_function(self.text, self.parameters)(*inputs)
        return found

    def match(self, node: Expr) -> Match | None:
        """The first way to read a node as this formula."""
        return next(_matches(self.root, node, Match((), {})), None)


# -- comparison ------------------------------------------------------------------------------------


def _matches(pattern: Expr, node: Expr, so_far: Match) -> Iterator[Match]:
    """All ways to read a node as a pattern, given what is bound already."""
    pattern, node = plain(pattern), plain(node)
    if pattern.primitive is INPUT:
        name = str(dict(pattern.params)["name"])
        if so_far.bound.setdefault(name, node) is node:
            yield so_far
        return
    value = number(pattern)
    if value is not None:
        if number(node) == value:
            yield so_far
        return
    name, wanted = spelling(pattern)
    for found, operands in spellings(node):
        if found != name or len(operands) != len(wanted):
            continue
        orders = [operands]
        if is_commutative(name) and operands[0] is not operands[1]:
            orders.append(operands[::-1])
        for order in orders:
            yield from _all_match(wanted, order, Match((*so_far.inside, node), so_far.bound))


def _all_match(
    patterns: tuple[Expr, ...], nodes: tuple[Expr, ...], so_far: Match
) -> Iterator[Match]:
    if not patterns:
        yield so_far
        return
    for found in _matches(patterns[0], nodes[0], Match(so_far.inside, dict(so_far.bound))):
        yield from _all_match(patterns[1:], nodes[1:], found)
