"""Formulas as text -> plain NumPy functions, by a parser that knows arithmetic and nothing else.

What flows: text is parsed into Python's syntax tree, every node of which must be on a short list
and becomes a function of the parameters, made of NumPy's. The invariants: nothing that a user
writes is ever evaluated as Python; every number is a float, as the parameters are, so that no
integer can grow without bound; what is constant is computed once, and must be finite.

>>> f = formula("log(x1) + x1*x2 - sin(x2)", ["x1", "x2"])
>>> print(round(float(f(2.0, 5.0)), 3))
11.652
"""

from __future__ import annotations

import ast
import inspect
import keyword
import math
import operator
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from difflab.errors import ArgumentError, BudgetError, DifflabError, UnknownNameError
from difflab.ir.row import TABLE
from difflab.table.special import leaky_relu, log_softmax, softmax

Meaning = Callable[[Mapping[str, Any]], Any]
"""What a part of a formula is at the parameters' values."""
LONGEST: Final = 10_000
DEEPEST: Final = 200
MOST_NUMBERS: Final = 10_000
"""In a value that is written as text."""
MOST_ELEMENTS: Final = 1_000_000
"""Of an array that is much larger than what it is made of."""
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
_ARITIES: Final[Mapping[Callable[..., Any], tuple[int, int]]] = {
    np.where: (3, 3), np.clip: (3, 3), np.dot: (2, 2),
}  # fmt: skip
"""Of those whose defaults mean something else, or that tell no signature before NumPy 2.4."""
_SETTINGS: Final = ("axis", "dtype", "out", "n")
"""The first parameters of NumPy's functions that a formula does not have."""
_WHOLE: Final = (operator.pow, np.power, np.linalg.norm)
"""Whose second argument is a whole number where it is constant and can be."""


@dataclass(frozen=True, slots=True)
class _Constant:
    """A part without parameters."""

    value: Any

    def __call__(self, values: Mapping[str, Any], /) -> Any:
        return self.value


def formula(text: str, names: Sequence[str]) -> Callable[..., Any]:
    """A formula as a NumPy function of the named parameters, in that order.

    Parameters
    ----------
    text
        Arithmetic (``+ - * / ** % @``), comparisons, ``a if c else b``, numbers, ``x[0]``, and the
        functions that difflab can differentiate, by NumPy's names. Numbers are floats.
    names
        The parameters; they come before constants of the same name.

    Raises
    ------
    ArgumentError
        For anything that is not such a formula; the message names the part.
    UnknownNameError
        For a name that is neither a parameter nor a known function or constant.

    Examples
    --------
    >>> formula("__import__('os')", [])
    Traceback (most recent call last):
        ...
    difflab.errors.UnknownNameError: unknown function '__import__'...
    """
    known = [parameter(name) for name in names]
    if len(set(known)) < len(known):
        raise ArgumentError("two parameters have the same name", "give each name once")
    with _not_too_deep():
        meaning = _meaning(_parsed(text, "a formula", LONGEST), text.strip(), frozenset(known), 0)

    def function(*values: Any) -> Any:
        floats = (np.float64(v) if type(v) in (int, float) else v for v in values)
        with _not_too_deep(), np.errstate(all="ignore"):  # infinity and NaN tell enough
            result = meaning(dict(zip(known, floats, strict=True)))
        if getattr(result, "dtype", None) == np.bool_:
            raise ArgumentError(
                f"{_shown(text)} is true or false, and has no derivative",
                "choose numbers by it: where(x < 1, 2*x, x**2)",
            )
        return result

    function.__name__ = " ".join(text.split())
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature([inspect.Parameter(name, kind) for name in known])
    function.__signature__ = signature  # type: ignore[attr-defined]
    return function


def _parsed(text: str, what: str, longest: int) -> ast.expr:
    """The syntax tree of an expression."""
    if not isinstance(text, str):
        raise ArgumentError(f"{what} is text, but got {type(text).__name__}", "put it in quotes")
    if len(text) > longest:
        raise ArgumentError(
            f"{what} of {len(text):,} characters is too long; the most is {longest:,}",
            "write a function in a file",
        )
    why = "there is nothing" if not text.strip() else ""
    if not all(c.isprintable() or c in "\n\t" for c in text):  # what a terminal would obey
        why = "there is a character in it that is no text"
    try:
        if not why:
            with warnings.catch_warnings(action="ignore"):  # such as that of 1if
                return ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        why = f"{error.msg.partition(';')[0]}, at character {error.offset or 1}"
    raise ArgumentError(f"{_shown(text)} is not {what}: {why}", "write it as log(x) + 2*x**3")


def _shown(text: str) -> str:
    text = text.strip()
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


@contextmanager
def _not_too_deep() -> Iterator[None]:
    try:
        yield
    except (RecursionError, MemoryError):
        raise ArgumentError(
            "the formula is nested too deeply", "write it as a function in a file"
        ) from None


def _meaning(node: ast.AST, text: str, names: frozenset[str], depth: int) -> Meaning:
    """What a tree means; raises unless it is a formula."""
    if depth > DEEPEST:
        raise RecursionError
    function: Callable[..., Any]
    parts: Sequence[ast.AST] = ()

    def piece() -> str:
        return _shown(ast.get_source_segment(text, node) or text)

    remedy = "use arithmetic, numbers and NumPy's function names"
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
            _need_arity(name, len(arguments))
        case ast.Subscript(
            value, ast.Constant(int(k)) | ast.UnaryOp(ast.USub(), ast.Constant(int(k))) as index
        ) if type(k) is int:
            function, parts = operator.itemgetter(ast.literal_eval(index)), (value,)
        case ast.List([_, *_] as elements) | ast.Tuple([_, *_] as elements):
            function, parts = _stacked, elements
        case ast.IfExp(test, body, orelse):
            condition, *arms = (
                _meaning(part, text, names, depth + 1) for part in (test, body, orelse)
            )
            true = _applied(bool, [condition], piece)
            if isinstance(true, _Constant):
                return arms[0 if true.value else 1]
            return lambda values: arms[0 if true(values) else 1](values)
        case ast.Constant(int() | float() as value) if type(value) is not bool:
            with _told(piece):
                return _finite(np.float64(value), piece)
        case ast.Name(name) if name in names:
            return operator.itemgetter(name)
        case ast.Name(name):
            if name not in CONSTANTS:
                raise UnknownNameError("name", name, [*names, *CONSTANTS])
            return _Constant(np.float64(CONSTANTS[name]))
        case _:
            if isinstance(getattr(node, "op", None), ast.BitXor):
                remedy = "write ** for a power"
            if isinstance(node, ast.List | ast.Tuple):
                remedy = "write numbers into the list"
            raise ArgumentError(f"{piece()} is not part of a formula", remedy)
    return _applied(function, [_meaning(part, text, names, depth + 1) for part in parts], piece)


def _applied(
    function: Callable[..., Any], operands: Sequence[Meaning], piece: Callable[[], str]
) -> Meaning:
    """A function of parts; what is constant is computed now."""
    constants = [part.value for part in operands if isinstance(part, _Constant)]
    if len(operands) == 2 and function in _WHOLE:
        operands = [operands[0], _whole(operands[1])]

    def meaning(values: Mapping[str, Any]) -> Any:
        parts = [part(values) for part in operands]
        with _told(piece):
            _need_room(function, parts)
            return function(*parts)

    if len(constants) < len(operands):
        return meaning
    with np.errstate(all="ignore"):
        result = meaning({})
    finite = all(np.all(np.isfinite(constant)) for constant in constants)
    return _finite(result, piece) if finite else _Constant(result)


def _whole(part: Meaning) -> Meaning:
    """A constant as an integer, if it is one: an exponent, an order."""
    if isinstance(part, _Constant) and np.ndim(part.value) == 0:
        value = float(part.value)
        if value.is_integer() and abs(value) <= 2.0**53:
            return _Constant(int(value))
    return part


def _finite(value: Any, piece: Callable[[], str]) -> _Constant:
    if not np.all(np.isfinite(value)):
        what = "infinite" if np.any(np.isinf(value)) else "not a number"
        raise ArgumentError(f"{piece()} is {what} in floats", "change it; infinity is called inf")
    return _Constant(value)


@contextmanager
def _told(piece: Callable[[], str]) -> Iterator[None]:
    """Inside, NumPy's and Python's errors become one that names the part of the formula."""
    try:
        yield
    except DifflabError:
        raise
    except OverflowError:
        raise ArgumentError(f"{piece()} is too large for a float", "write a smaller one") from None
    except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError) as error:
        what = str(error).partition("\n")[0]
        remedy = "look at the shapes, and at what the function takes"
        raise ArgumentError(f"{piece()}: {what}", remedy) from None


def _need_room(function: Callable[..., Any], parts: Sequence[Any]) -> None:
    """Raise where a result would be much larger than what it is made of."""
    shapes = [getattr(part, "shape", ()) for part in parts]
    sizes = [math.prod(shape) for shape in shapes]
    if math.prod(sizes) <= MOST_ELEMENTS:
        return
    if function in (np.dot, operator.matmul):
        size = math.prod(sizes) // max(1, *shapes[0][-1:]) ** 2
    else:
        size = math.prod(np.broadcast_shapes(*shapes))
    if size > max(MOST_ELEMENTS, 10 * sum(sizes)):
        raise BudgetError(
            f"an array of {size:,} numbers; the most here is {MOST_ELEMENTS:,}",
            "write a function in a file",
        )


def _arity(function: Callable[..., Any]) -> tuple[int, int]:
    """The least and the most arguments that a function takes in a formula."""
    if isinstance(function, np.ufunc):
        return function.nin, function.nin
    if function in _ARITIES:
        return _ARITIES[function]
    least = most = 0
    for name, parameter in inspect.signature(function).parameters.items():
        if name in _SETTINGS or parameter.kind not in (
            inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD,
        ):  # fmt: skip
            break
        most += 1
        least += parameter.default is inspect.Parameter.empty
    return least, most


def _need_arity(name: str, given: int) -> None:
    least, most = _arity(FUNCTIONS[name])
    if not least <= given <= most:
        takes = f"{least} argument{'s' if least > 1 else ''}"
        if most > least:
            takes = f"{least} to {most} arguments"
        remedy = f"write {name}({', '.join('xyz'[:least])})"
        if name in ("max", "min") and given > 1:
            remedy = f"of several numbers: {name}([x, y]), or {name}imum(x, y)"
        raise ArgumentError(f"{name} takes {takes}, and got {given}", remedy)


def _stacked(*parts: Any) -> Any:
    return np.stack(parts)


def parameter(text: str) -> str:
    """A name as Python reads it in a formula.

    >>> parameter("\N{FULLWIDTH LATIN SMALL LETTER X}1")
    'x1'
    """
    raw = text.strip() if isinstance(text, str) else ""
    name = unicodedata.normalize("NFKC", raw)
    if not raw.isidentifier() or not name.isidentifier() or keyword.iskeyword(name):
        raise ArgumentError(
            f"{text!r} cannot be the name of a parameter", "choose another name, such as x or w1"
        )
    return name


def assignment(text: str) -> tuple[str, Any]:
    """``"x=2"`` as a name and a float, ``"w=[1, 2]"`` as a name and a float array.

    >>> assignment("w=[1, 1, -1.5]")
    ('w', array([ 1. ,  1. , -1.5]))
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise ArgumentError(
            f"{_shown(text)} does not say what a parameter is", "write it as x=2 or w=[1,2]"
        )
    return parameter(name), number(value, "write x=2 or w=[1,2]")


def number(text: str, remedy: str = "write 2.0 or [1.0, 2.0]") -> Any:
    """``"2"`` as a float, ``"[1, pi]"`` as a float array, ``"{'b': [0]}"`` as a tree of them.

    >>> number("{'W': [[1, 2]], 'b': pi/2}")
    {'W': array([[1., 2.]]), 'b': 1.57...}
    """
    what = "a number or a list of numbers"
    try:
        with _not_too_deep():
            found = _value(_parsed(text, what, 10 * LONGEST), text.strip())
    except DifflabError as error:
        why = error.what if what in error.what else f"{_shown(text)} is not {what}: {error.what}"
        raise ArgumentError(why, remedy) from None
    return found


def _value(node: ast.AST, text: str) -> Any:
    """What a tree of numbers is."""
    match node:
        case ast.Dict(keys, parts):
            names = [key.value if isinstance(key, ast.Constant) else None for key in keys]
            if not names or not all(isinstance(name, str | int) for name in names):
                raise ArgumentError("a tree has a text for each of its parts, at least one")
            if len(set(names)) < len(names):
                raise ArgumentError("a part of the tree is given twice")
            return {name: _value(part, text) for name, part in zip(names, parts, strict=True)}
        case ast.List(parts) | ast.Tuple(parts) if any(isinstance(p, ast.Dict) for p in parts):
            return [_value(part, text) for part in parts]
    if sum(isinstance(part, ast.Constant) for part in ast.walk(node)) > MOST_NUMBERS:
        raise ArgumentError(f"there are more than {MOST_NUMBERS:,} numbers")
    found = _meaning(node, text, frozenset(), 0)({})
    if not np.all(np.isfinite(found)):
        raise ArgumentError("a derivative is judged at finite points")
    if np.asarray(found).dtype == np.bool_:
        raise ArgumentError("it is true or false")
    array = np.asarray(found, float)
    return float(array) if array.ndim == 0 else array
