"""THE TABLE of stable forms: formulas that lose digits, and what to write instead.

A row states a formula as users write it, an equal one that keeps its digits, why, and the points at
which the tests prove both claims by balls: the two are equal, and the second is better by at least
six digits where it is hard. Both are NumPy text, so that what is shown, what is matched and what is
tested is one thing.

What flows: such text is traced into a graph whose inputs stand for anything, and compared with the
nodes of a user's graph. The invariant: spelling does not matter (``x*x`` or ``x**2``, ``1 + a`` or
``a + 1``, a mean or a sum over n, broadcasting), the formula does: a parameter that occurs twice
must stand for the same node.

>>> form = next(form for form in FORMS if form.pattern.text == "np.exp(x) - 1")
>>> form.stable
'np.expm1(x)'
>>> print(form.function(1e-12))
1.0000000000005e-12
>>> from difflab.tracing.trace import trace
>>> graph = trace(lambda w: np.log(np.exp(2 * w) + 1), 1.0)
>>> found = Pattern("np.log(1 + np.exp(x))").match(graph.outputs[0])
>>> [node.primitive.name for node in found.inside], found.bound["x"].primitive.name
(['log', 'add', 'exp'], 'multiply')
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np

from difflab.accuracy.formula import formula
from difflab.ir.expr import Expr, placeholder
from difflab.ir.row import INPUT
from difflab.table.spelt_alike import is_commutative, number, plain, spelling, spellings

VECTOR: Final = (3,)
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
        shape = VECTOR if self.is_of_arrays else ()
        inputs = [placeholder(shape, np.dtype(np.float64), name) for name in self.parameters]
        found: Expr = as_function(self.text, self.parameters)(*inputs)
        return found

    def match(self, node: Expr) -> Match | None:
        """The first way to read a node as this formula."""
        return next(_matches(self.root, node, Match((), {})), None)


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


# -- the table -------------------------------------------------------------------------------------

Point = Mapping[str, Any]


@dataclass(frozen=True)
class StableForm:
    """A row: a formula, and a better one."""

    pattern: Pattern
    stable: str
    """The better formula, in the pattern's parameters."""
    why: str
    hard: Point
    """Where the pattern loses its digits."""
    points: Sequence[Point]
    """Where both can be enclosed and are equal."""
    also: str = ""
    """Another way to write it, where there is one."""

    @cached_property
    def function(self) -> Callable[..., Any]:
        """The better formula as a function of the pattern's parameters, in their order."""
        return as_function(self.stable, self.pattern.parameters)

    def written(self, names: Mapping[str, str], text: str) -> str:
        """`stable` or `also` with other names in place of the parameters.

        >>> FORMS[0].written({"x": "margin"}, FORMS[0].stable)
        'np.logaddexp(0, margin)'
        """

        def named(found: re.Match[str]) -> str:
            return names.get(found[0], found[0])

        return re.sub(r"(?<![\w.])[A-Za-z_]\w*", named, text)


def _row(
    pattern: str, stable: str, why: str, hard: Point, *points: Point, also: str = ""
) -> StableForm:
    return StableForm(Pattern(pattern), stable, why, hard, points or _ANY, also)


_ANY: Final = {"x": 0.5}, {"x": -3.0}
_POSITIVE: Final = {"x": 0.5}, {"x": 3.0}
_VECTORS: Final = {"x": [0.5, -1.0, 2.0]}, {"x": [3.0, 1.0, 2.0]}
_CANCELS = "the two parts agree in their leading digits, and their difference keeps what is rounded"
_ROUNDS_TO_ONE = (
    "1 plus a small number rounds to 1, and log turns what was rounded off into all of it"
)
_OVERFLOWS = "exp overflows long before the result does"
_UNDONE = "exp over- or underflows, and log would only undo it"
_SQUARES = "a square over- or underflows at half of the exponents that its root has"
_SATURATES = "a number close to 1 has no room for how close it is"

# fmt: off
FORMS: Final[tuple[StableForm, ...]] = (
    # logarithms of sums of exponentials
    _row("np.log(1 + np.exp(x))", "np.logaddexp(0, x)",
         "exp(x) overflows above 709, and below -37 adding it to 1 changes nothing", {"x": -40.0},
         *_ANY, {"x": 20.0}, also="difflab.softplus(x)"),
    _row("np.log1p(np.exp(x))", "np.logaddexp(0, x)", _OVERFLOWS, {"x": 800.0}, *_ANY, {"x": 20.0},
         also="difflab.softplus(x)"),
    _row("np.log(np.exp(x) + np.exp(y))", "np.logaddexp(x, y)", _OVERFLOWS,
         {"x": 800.0, "y": 801.0}, {"x": 0.5, "y": -1.0}, {"x": 3.0, "y": 3.5}),
    _row("np.log(np.cosh(x))", "np.abs(x) + np.log1p(np.expm1(-2 * np.abs(x)) / 2)",
         "cosh overflows above 710", {"x": 800.0}),
    _row("np.log(np.cosh(x))", "np.log1p(2 * np.sinh(x / 2)**2)", _ROUNDS_TO_ONE, {"x": 1e-6}),
    _row("np.log(np.sum(np.exp(x)))", "np.max(x) + np.log(np.sum(np.exp(x - np.max(x))))",
         "exp over- or underflows where the result, close to the largest x, does not",
         {"x": [1000.0, 1000.5, 999.0]}, *_VECTORS),
    _row("x - np.log(np.sum(np.exp(x)))", "difflab.log_softmax(x)", _OVERFLOWS,
         {"x": [1000.0, 0.0, 1.0]}, *_VECTORS),
    _row("np.exp(x) / np.sum(np.exp(x))", "difflab.softmax(x)", _OVERFLOWS,
         {"x": [1000.0, 0.0, 1.0]}, *_VECTORS,
         also="np.exp(x - np.max(x)) / np.sum(np.exp(x - np.max(x)))"),
    _row("np.log(np.exp(x) / np.sum(np.exp(x)))", "difflab.log_softmax(x)",
         "exp overflows, and what it underflows to has no logarithm", {"x": [1000.0, 0.0, 1.0]},
         *_VECTORS),
    _row("np.log(difflab.softmax(x))", "difflab.log_softmax(x)",
         "a probability below 1e-308 underflows, and 0 has no logarithm", {"x": [1000.0, 0.0, 1.0]},
         *_VECTORS),
    # the sigmoid
    _row("1 / (1 + np.exp(-x))", "difflab.sigmoid(x)", _OVERFLOWS, {"x": -800.0}),
    _row("np.exp(x) / (1 + np.exp(x))", "difflab.sigmoid(x)", _OVERFLOWS, {"x": 800.0}),
    _row("np.log(1 / (1 + np.exp(-x)))", "-np.logaddexp(0, -x)",
         "exp(-x) overflows below -709, and above 37 the sigmoid rounds to 1, whose logarithm is 0",
         {"x": 40.0}, also="-difflab.softplus(-x)"),
    _row("np.log(difflab.sigmoid(x))", "-np.logaddexp(0, -x)",
         "the sigmoid underflows to 0 on one side, and rounds to 1 on the other", {"x": -800.0},
         also="-difflab.softplus(-x)"),
    _row("1 - 1 / (1 + np.exp(-x))", "difflab.sigmoid(-x)", _SATURATES, {"x": 40.0}),
    _row("1 - difflab.sigmoid(x)", "difflab.sigmoid(-x)", _SATURATES, {"x": 40.0}),
    _row("np.log(1 - 1 / (1 + np.exp(-x)))", "-np.logaddexp(0, x)", _SATURATES, {"x": 40.0},
         also="-difflab.softplus(x)"),
    _row("np.log(1 - difflab.sigmoid(x))", "-np.logaddexp(0, x)", _SATURATES, {"x": 40.0},
         also="-difflab.softplus(x)"),
    # exponentials and logarithms
    _row("np.exp(x) - 1", "np.expm1(x)", _CANCELS, {"x": 1e-12}),
    _row("1 - np.exp(x)", "-np.expm1(x)", _CANCELS, {"x": 1e-12}),
    _row("1 - np.exp(-x)", "-np.expm1(-x)", _CANCELS, {"x": 1e-12}),
    _row("np.log(1 + x)", "np.log1p(x)", _ROUNDS_TO_ONE, {"x": 1e-12}, *_POSITIVE),
    _row("np.log(1 - x)", "np.log1p(-x)", _ROUNDS_TO_ONE, {"x": 1e-12}),
    _row("np.log(a) - np.log(b)", "np.log1p((a - b) / b)", _CANCELS,
         {"a": 1e5 + 2.0**-30, "b": 1e5}, {"a": 3.0, "b": 2.0}, {"a": 0.5, "b": 7.0}),
    _row("np.log(a / b)", "np.log1p((a - b) / b)",
         "the quotient is close to 1 and rounded; log turns what was rounded off into all of it",
         {"a": 1e5 + 2.0**-30, "b": 1e5}, {"a": 3.0, "b": 2.0}, {"a": 0.5, "b": 7.0}),
    _row("np.log(np.exp(x))", "x", _UNDONE, {"x": 800.0}),
    _row("np.log(np.exp(x) / c)", "x - np.log(c)", _UNDONE, {"x": -800.0, "c": 2.5},
         {"x": 0.5, "c": 2.5}, {"x": -3.0, "c": 7.0}),
    _row("np.log(c * np.exp(x))", "x + np.log(c)", _UNDONE, {"x": -800.0, "c": 2.5},
         {"x": 0.5, "c": 2.5}, {"x": -3.0, "c": 7.0}),
    _row("np.exp(x) / np.exp(y)", "np.exp(x - y)", "exp overflows where the quotient does not",
         {"x": 800.0, "y": 801.0}, {"x": 0.5, "y": -1.0}, {"x": 3.0, "y": 3.5}),
    _row("np.exp(x) * np.exp(y)", "np.exp(x + y)", "exp overflows where the product does not",
         {"x": 800.0, "y": -801.0}, {"x": 0.5, "y": -1.0}, {"x": 3.0, "y": 3.5}),
    _row("x * np.log(x)", "np.where(x > 0, x * np.log(np.where(x > 0, x, 1)), 0)",
         "0 * log(0) is NaN, where the product tends to 0 (its slope there, -inf, becomes 0)",
         {"x": 0.0}, *_POSITIVE),
    _row("(1 + x)**n - 1", "np.expm1(n * np.log1p(x))", _CANCELS, {"x": 1e-12, "n": 7.5},
         {"x": 0.5, "n": 7.5}, {"x": 3.0, "n": 2.5}),
    # hyperbolic functions
    _row("1 + np.tanh(x)", "2 * difflab.sigmoid(2 * x)", _SATURATES, {"x": -20.0}),
    _row("1 - np.tanh(x)", "2 * difflab.sigmoid(-2 * x)", _SATURATES, {"x": 20.0}),
    _row("1 - np.tanh(x)**2", "1 / np.cosh(x)**2", _SATURATES, {"x": 20.0},
         also="4 * difflab.sigmoid(2 * x) * difflab.sigmoid(-2 * x)"),
    _row("np.cosh(x) - 1", "2 * np.sinh(x / 2)**2", _CANCELS, {"x": 1e-6}),
    _row("np.cosh(x) - np.sinh(x)", "np.exp(-x)", _CANCELS, {"x": 20.0}),
    _row("np.sinh(x) / np.cosh(x)", "np.tanh(x)", "sinh and cosh overflow above 710", {"x": 800.0}),
    _row("np.cosh(x) / np.sinh(x)", "1 / np.tanh(x)", "sinh and cosh overflow above 710",
         {"x": 800.0}),
    _row("np.exp(x) - np.exp(-x)", "2 * np.sinh(x)", _CANCELS, {"x": 1e-10}),
    _row("(np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x))", "np.tanh(x)",
         "exp overflows for large x, and the difference cancels for small x", {"x": 800.0}),
    # trigonometry
    _row("1 - np.cos(x)", "2 * np.sin(x / 2)**2", _CANCELS, {"x": 1e-6}),
    _row("1 - np.cos(x)**2", "np.sin(x)**2", _CANCELS, {"x": 1e-6}),
    _row("1 - np.sin(x)**2", "np.cos(x)**2", _CANCELS, {"x": 1.5707963}),
    _row("np.cos(a) - np.cos(b)", "2 * np.sin((b + a) / 2) * np.sin((b - a) / 2)", _CANCELS,
         {"a": 1 + 2.0**-40, "b": 1.0}, {"a": 0.5, "b": 2.0}, {"a": -3.0, "b": 7.0}),
    _row("np.sin(a) - np.sin(b)", "2 * np.cos((a + b) / 2) * np.sin((a - b) / 2)", _CANCELS,
         {"a": 1 + 2.0**-40, "b": 1.0}, {"a": 0.5, "b": 2.0}, {"a": -3.0, "b": 7.0}),
    _row("np.arctan(x + c) - np.arctan(x)", "np.arctan2(c, 1 + x * (x + c))", _CANCELS,
         {"x": 1e8, "c": 1.0}, {"x": 0.5, "c": 1.0}, {"x": -3.0, "c": 1.0}),
    _row("np.sin(x) / x",
         "np.where(np.abs(x) < 0.5, 1 - x*x/6*(1 - x*x/20*(1 - x*x/42*(1 - x*x/72*(1 - x*x/110*"
         "(1 - x*x/156*(1 - x*x/210*(1 - x*x/272))))))), "
         "np.sin(x) / np.where(np.abs(x) > 0, x, 1))",
         "the derivative cos(x)/x - sin(x)/x**2 cancels near 0, where the power series does not",
         {"x": 1e-6}, {"x": 0.75}, {"x": -3.0}),
    # roots
    _row("np.sqrt(x + c) - np.sqrt(x)", "c / (np.sqrt(x + c) + np.sqrt(x))", _CANCELS,
         {"x": 1e12, "c": 1.0}, {"x": 0.5, "c": 1.0}, {"x": 3.0, "c": 2.0}),
    _row("np.sqrt(a) - np.sqrt(b)", "(a - b) / (np.sqrt(a) + np.sqrt(b))", _CANCELS,
         {"a": 3 + 2.0**-40, "b": 3.0}, {"a": 0.5, "b": 2.0}, {"a": 3.0, "b": 7.0}),
    _row("np.sqrt(1 + x) - 1", "x / (np.sqrt(1 + x) + 1)", _CANCELS, {"x": 1e-12}, *_POSITIVE),
    _row("1 - np.sqrt(1 - x)", "x / (1 + np.sqrt(1 - x))", _CANCELS, {"x": 1e-12}),
    _row("1 - np.sqrt(1 - x**2)", "x**2 / (1 + np.sqrt(1 - x**2))", _CANCELS, {"x": 1e-6},
         {"x": 0.5}, {"x": 0.75}),
    _row("np.sqrt(b**2 + c) - b", "c / (np.sqrt(b**2 + c) + b)", _CANCELS, {"b": 1e8, "c": 4.0},
         {"b": 0.5, "c": 1.0}, {"b": 3.0, "c": -4.0}),
    _row("np.sqrt(b**2 - c) - b", "-c / (np.sqrt(b**2 - c) + b)", _CANCELS, {"b": 1e8, "c": 4.0},
         {"b": 0.5, "c": -1.0}, {"b": 3.0, "c": 4.0}),
    _row("-b - np.sqrt(b**2 - c)", "c / (np.sqrt(b**2 - c) - b)", _CANCELS, {"b": -1e8, "c": 4.0},
         {"b": -0.5, "c": -1.0}, {"b": -3.0, "c": 4.0}),
    _row("np.sqrt(x**2)", "np.abs(x)", _SQUARES, {"x": 1e-200}),
    _row("x / np.sqrt(x**2)", "np.sign(x)", _SQUARES, {"x": 1e-200}),
    _row("np.sqrt(x**2 + y**2)", "np.hypot(x, y)", _SQUARES, {"x": 3e-200, "y": 4e-200},
         {"x": 0.5, "y": -1.0}, {"x": 3.0, "y": 4.0}),
    _row("np.sqrt(np.sum(x**2))", "np.max(np.abs(x)) * np.sqrt(np.sum((x / np.max(np.abs(x)))**2))",
         _SQUARES, {"x": [3e-200, -4e-200, 1e-200]}, *_VECTORS),
    # squares, quotients and means
    _row("a**2 - b**2", "(a - b) * (a + b)", _CANCELS, {"a": 1e8 + 1, "b": 1e8},
         {"a": 0.5, "b": 2.0}, {"a": 3.0, "b": -7.0}),
    _row("1 - x**2", "(1 - x) * (1 + x)", _CANCELS, {"x": 1 - 1.3e-8}),
    _row("x**2 - 1", "(x - 1) * (x + 1)", _CANCELS, {"x": 1 + 1.3e-8}),
    _row("1 / x - 1 / (x + c)", "c / (x * (x + c))", _CANCELS, {"x": 1e12, "c": 1.0},
         {"x": 0.5, "c": 1.0}, {"x": 3.0, "c": 2.0}),
    _row("1 / a - 1 / b", "(b - a) / (a * b)", _CANCELS, {"a": 3 + 2.0**-40, "b": 3.0},
         {"a": 0.5, "b": 2.0}, {"a": 3.0, "b": 7.0}),
    _row("np.mean(x**2) - np.mean(x)**2", "np.var(x)", _CANCELS, {"x": [1e8, 1e8 + 1, 1e8 + 2]},
         *_VECTORS, also="np.mean((x - np.mean(x))**2)"),
    _row("0.5 * (a + b + c) - a", "0.5 * ((np.maximum(b, c) - a) + np.minimum(b, c))",
         "half of the sum is rounded before a is taken off again (Kahan: the needle triangle)",
         {"a": 1.0, "b": 1.0, "c": 1e-9}, {"a": 3.0, "b": 4.0, "c": 5.0},
         {"a": 2.0, "b": 1.5, "c": 1.0}),
    _row("0.5 * (a + b + c) - c", "0.5 * ((np.maximum(a, b) - c) + np.minimum(a, b))",
         "half of the sum is rounded before c is taken off again (Kahan: the needle triangle)",
         {"a": 1.0, "b": 1e-9, "c": 1.0}, {"a": 3.0, "b": 4.0, "c": 5.0},
         {"a": 2.0, "b": 1.5, "c": 1.0}),
)
# fmt: on
