"""Formulas as text -> plain NumPy functions, by a parser that knows arithmetic and nothing else.

What flows: text is parsed into Python's syntax tree, every node of which must be on a short list
and becomes a function of the parameters, made of NumPy's. The invariant: nothing that a user writes
is ever evaluated as Python.

>>> f = formula("log(x1) + x1*x2 - sin(x2)", ["x1", "x2"])
>>> print(round(float(f(2.0, 5.0)), 3))
11.652
"""

from __future__ import annotations

import ast
import inspect
import operator
from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from typing import Any, Final

import numpy as np

from difflab.errors import ArgumentError, UnknownNameError
from difflab.ir.row import TABLE
from difflab.table.special import leaky_relu, log_softmax, softmax

Meaning = Callable[[Mapping[str, Any]], Any]
"""What a part of a formula is at the parameters' values."""
LONGEST: Final = 10_000
CONSTANTS: Final[Mapping[str, float]] = {"pi": np.pi, "e": np.e, "inf": np.inf}
FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    **{
        row.name: row.numpy[0]
        for row in TABLE.values()
        if row.kind == "pointwise" and not row.needs_params
    },
    **{
        f.__name__: f
        for f in (
            *(np.sum, np.mean, np.prod, np.max, np.min, np.dot, np.clip, np.std, np.var),
            *(softmax, log_softmax, leaky_relu),
        )
    },
    "ln": np.log,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "pow": np.power,
    "norm": np.linalg.norm,
}
_BINARY: Final[Mapping[type, Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.Div: operator.truediv, ast.Pow: operator.pow, ast.Mod: operator.mod,
    ast.FloorDiv: operator.floordiv, ast.MatMult: operator.matmul,
    ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Lt: operator.lt, ast.LtE: operator.le,
}  # fmt: skip
_UNARY: Final[Mapping[type, Callable[[Any], Any]]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}


def formula(text: str, names: Sequence[str]) -> Callable[..., Any]:
    """A formula as a NumPy function of the named parameters, in that order.

    Parameters
    ----------
    text
        Arithmetic (``+ - * / ** % @``), comparisons, ``a if c else b``, numbers, ``x[0]``, and the
        functions that difflab can differentiate, by NumPy's names.
    names
        The parameters.

    Raises
    ------
    ArgumentError
        For anything that is not such a formula; the message points at it.
    UnknownNameError
        For a name that is neither a parameter nor a known function or constant.

    Examples
    --------
    >>> formula("__import__('os')", [])
    Traceback (most recent call last):
        ...
    difflab.errors.UnknownNameError: unknown function '__import__'...
    """
    if len(text) > LONGEST:
        raise ArgumentError(
            f"the formula has {len(text):,} characters; the most is {LONGEST:,}", "write a function"
        )
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        meaning = _meaning(tree, text.strip(), frozenset(names))
    except SyntaxError as error:
        where = " " * ((error.offset or 1) - 1) + "^"
        raise ArgumentError(
            f"not a formula: {error.msg}\n    {text.strip()}\n    {where}"
        ) from None
    except (RecursionError, MemoryError):
        raise ArgumentError(
            "the formula is nested too deeply", "write it as a function in a file"
        ) from None

    def function(*values: Any) -> Any:
        return meaning(dict(zip(names, values, strict=True)))

    function.__name__ = text.strip()
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature([inspect.Parameter(name, kind) for name in names])
    function.__signature__ = signature  # type: ignore[attr-defined]
    return function


def _meaning(node: ast.AST, text: str, names: frozenset[str]) -> Meaning:
    """What a tree means; raises unless it is a formula."""
    function: Callable[..., Any]
    parts: Sequence[ast.AST] = ()
    match node:
        case ast.BinOp(left, kind, right) | ast.Compare(left, [kind], [right]) if (
            type(kind) in _BINARY
        ):
            function, parts = _BINARY[type(kind)], (left, right)
        case ast.UnaryOp(kind, operand) if type(kind) in _UNARY:
            function, parts = _UNARY[type(kind)], (operand,)
        case ast.Call(ast.Name(name), arguments, []):
            if name not in FUNCTIONS:
                raise UnknownNameError("function", name, FUNCTIONS)
            function, parts = FUNCTIONS[name], arguments
        case ast.Subscript(
            value, ast.Constant(int()) | ast.UnaryOp(ast.USub(), ast.Constant(int())) as index
        ):
            function, parts = operator.itemgetter(ast.literal_eval(index)), (value,)
        case ast.List(elements) | ast.Tuple(elements):
            function, parts = _stacked, elements
        case ast.IfExp(test, body, orelse):
            condition, *arms = (_meaning(part, text, names) for part in (test, body, orelse))
            return lambda values: arms[0 if condition(values) else 1](values)
        case ast.Constant(value) if type(value) in (int, float):
            return lambda values: value
        case ast.Name(name):
            if name not in names and name not in CONSTANTS:
                raise UnknownNameError("name", name, [*names, *CONSTANTS])
            return lambda values: values[name] if name in names else CONSTANTS[name]
        case _:
            remedy = "use arithmetic, numbers and NumPy's function names"
            if isinstance(getattr(node, "op", None), ast.BitXor):
                remedy = "write ** for a power"
            piece = ast.get_source_segment(text, node) or text
            raise ArgumentError(f"{piece!r} is not part of a formula", remedy)
    operands = tuple(map(_meaning, parts, repeat(text), repeat(names)))
    return lambda values: function(*map(operator.call, operands, repeat(values)))


def _stacked(*parts: Any) -> Any:
    return np.stack(parts)


def assignment(text: str) -> tuple[str, Any]:
    """``"x=2"`` as a name and a float, ``"w=[1, 2]"`` as a name and a float array.

    >>> assignment("w=[1, 1, -1.5]")
    ('w', array([ 1. ,  1. , -1.5]))
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip().isidentifier():
        raise ArgumentError(
            f"{text!r} does not say what a parameter is", "write it as x=2 or w=[1,2]"
        )
    return name.strip(), number(value, "write x=2 or w=[1,2]")


def number(text: str, remedy: str = "write 2.0 or [1.0, 2.0]") -> Any:
    """``"2"`` as a float, ``"[1, 2]"`` as a float array, ``"{'b': [0]}"`` as a tree of them.

    >>> number("{'W': [[1, 2]], 'b': 3}")
    {'W': array([[1., 2.]]), 'b': 3.0}
    """
    try:
        return _floats(ast.literal_eval(text.strip()))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise ArgumentError(
            f"{text.strip()!r} is not a number or a list of numbers", remedy
        ) from None


def _floats(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _floats(part) for key, part in value.items()}
    array = np.asarray(value, float)
    return float(array) if array.ndim == 0 else array
