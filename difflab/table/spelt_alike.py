"""One spelling of each operation: what is written differently and means the same.

What flows: a node comes in, and the name and operands under which formulas are compared come out.
Unlike identities.py this changes no graph, so it may be exact in real numbers alone.

>>> import numpy as np
>>> from difflab.ir.expr import placeholder
>>> x = placeholder((), np.dtype("float64"), "x")
>>> spelling(x * x) == spelling(np.square(x)) == ("square", (x,))
True
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from difflab.ir.expr import Expr, constant
from difflab.ir.row import CONSTANT, TABLE

Spelling = tuple[str, tuple[Expr, ...]]


def plain(node: Expr) -> Expr:
    """The node that is only repeated or reshaped here."""
    while node.primitive.shaping:
        (node,) = node.operands
    return node


def number(node: Expr) -> float | None:
    """The value of a constant that is a number, else None."""
    node = plain(node)
    if node.primitive is CONSTANT and node.size == 1 and node.dtype.kind != "b":
        return float(node.value.ravel()[0])
    return None


def _is(node: Expr, name: str) -> bool:
    return node.primitive.name == name


def spelling(node: Expr) -> Spelling:
    """An operation's name and operands, of which each way to write the same has one."""
    name, operands = node.primitive.name, tuple([plain(x) for x in node.operands])
    if name in ("power", "constant_power"):
        exponent = number(operands[1]) if name == "power" else dict(node.params)["exponent"]
        if exponent in (2.0, 0.5):
            return ("square" if exponent == 2.0 else "sqrt"), operands[:1]
        return f"power {exponent}" if name == "constant_power" else name, operands
    if name == "multiply" and operands[0] is operands[1]:
        return "square", operands[:1]
    if name == "multiply" and -1.0 in map(number, operands):
        return "negative", tuple([x for x in operands if number(x) != -1.0])
    if name == "divide" and number(operands[0]) == 1.0:
        return "reciprocal", operands[1:]
    if name in ("multiply", "divide") and _counts(name, *operands):
        (total,) = (x for x in operands if _is(x, "sum"))
        return "mean", tuple([plain(x) for x in total.operands])
    if name == "multiply" and 0.5 in map(number, operands):
        return "half", tuple([x for x in operands if number(x) != 0.5])
    if name == "divide" and number(operands[1]) == 2.0:
        return "half", operands[:1]
    if name == "add" and (numbers := [x for x in map(number, operands) if x is not None and x < 0]):
        (other,) = (x for x in operands if number(x) != numbers[0])
        return "subtract", (other, constant(-numbers[0]))
    if name == "add" and any(_is(x, "negative") for x in operands):
        position = 0 if _is(operands[0], "negative") else 1
        return "subtract", (operands[1 - position], plain(operands[position].operands[0]))
    return name, operands


def _counts(name: str, a: Expr, b: Expr) -> bool:
    """Whether a sum is divided by the number of its terms."""
    total, count = (a, number(b)) if _is(a, "sum") else (b, number(a))
    if not _is(total, "sum") or count is None or (name == "divide" and total is b):
        return False
    terms = total.operands[0].size / max(total.size, 1)
    return bool(np.isclose(count, terms if name == "divide" else 1 / terms, rtol=1e-12))


def spellings(node: Expr) -> Iterator[Spelling]:
    """The spelling of a node, and what it is as well: a difference with a negative number."""
    name, operands = spelling(node)
    yield name, operands
    if name in ("subtract", "half", "mean", "negative") and name != node.primitive.name:
        yield node.primitive.name, tuple([plain(x) for x in node.operands])


def is_commutative(name: str) -> bool:
    """Whether an operation of that name takes its operands in any order."""
    return name in TABLE and TABLE[name].commutative
