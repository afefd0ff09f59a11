"""What flows along the edges is a SymPy expression; and the way back, from SymPy to the IR.

There, arrays are scalarised: an input of shape (3,) becomes the symbols x_0, x_1, x_2 in an object
array. The way back turns each distinct subexpression into one node. The invariant:
``from_sympy(to_sympy(graph))`` computes the same real numbers; every expression is shared as in the
graph, so that deep graphs do not swell here.

>>> import numpy as np
>>> from difflab.tracing.trace import trace
>>> to_sympy(trace(lambda x: np.log(x) * x, 2.0))
[x*log(x)]
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import sympy

from difflab.errors import ArgumentError, UnsupportedError
from difflab.ir.expr import Array, Expr, Graph, walk
from difflab.ir.row import CONSTANT, ITSELF, TABLE
from difflab.table.bessel import bessel_i, bessel_j
from difflab.table.elementary import spherical_bessel
from difflab.table.special_functions import polygamma

Symbols = list[Array]


def symbols_for(graph: Graph) -> Symbols:
    """For each input an object array of real symbols named after the parameter."""
    found = []
    for x in graph.inputs:
        name = (
            str(dict(x.params)["name"])
            .replace(" ", "")
            .replace("'", "")
            .replace("[", "_")
            .replace("]", "")
        )
        array = np.empty(x.shape, object)
        for index in np.ndindex(x.shape):
            array[index] = sympy.Symbol("_".join([name, *map(str, index)]), real=True)
        found.append(array)
    return found


def to_sympy(graph: Graph, symbols: Symbols | None = None) -> list[Any]:
    """The outputs as SymPy expressions; object arrays of them for outputs that are arrays.

    Raises
    ------
    UnsupportedError
        If a primitive has no SymPy reading; the message says why.
    """
    known = dict(zip(graph.inputs, symbols or symbols_for(graph), strict=True))
    return [x if x.shape else x.item() for x in walk(graph.outputs, known, _read)]


def number_of(value: float) -> sympy.Expr:
    """A float as an exact number where it is a small fraction, else as a float of all its
    digits.
    """
    if not np.isfinite(value):
        return sympy.Float(value)
    ratio = sympy.Rational(*float(value).as_integer_ratio())
    short = abs(ratio.p) < 10**15 or abs(np.frexp(value)[0]) == 0.5  # a power of two
    return ratio if ratio.q <= 1024 and short else sympy.Float(value, 17)


def _exact(value: Array) -> Array:
    found = np.empty(value.shape, object)
    for index, number in np.ndenumerate(value):
        found[index] = sympy.true if number else sympy.false
        if value.dtype.kind != "b":
            found[index] = number_of(float(number))
    return found


def _read(node: Expr, operands: list[Array]) -> Array:
    row = node.primitive
    if row is CONSTANT:
        return node.value if node.dtype.kind == "i" else _exact(node.value)
    params = dict(node.params)
    if node.dtype.kind == "i" and all(x.dtype != object for x in operands):
        return np.asarray(row.evaluate(*operands, **params))
    rule: Any = row.need("sympy")
    if rule == ITSELF:
        found = row.evaluate(*operands, **params)
    elif row.kind == "factorisation":
        found = _matrices(getattr(_Matrices, rule), operands, node)
    elif row.kind == "pointwise":
        bound = functools.partial(rule, NAMES, **params) if callable(rule) else getattr(NAMES, rule)
        found = np.frompyfunc(bound, len(operands), 1)(*operands)
    else:
        found = rule(NAMES, *operands, **params)
    array = np.empty(node.shape, object)
    array[...] = found
    return array


def _matrices(read: Callable[..., Any], operands: list[Array], node: Expr) -> Array:
    found = np.empty(node.shape, object)
    for index in np.ndindex(operands[0].shape[:-2]):
        value = read(*[sympy.Matrix(operand[index].tolist()) for operand in operands])
        found[index] = (
            np.array(value.tolist(), object) if isinstance(value, sympy.MatrixBase) else value
        )
    return found


class SphericalBessel(sympy.jn):  # type: ignore[misc]
    """SymPy's jn with a derivative that divides by no argument, and so holds at 0."""

    _imp_ = staticmethod(lambda n, z: spherical_bessel(z, int(n)))  # what lambdify takes

    @classmethod
    def eval(cls, n: Any, z: Any) -> Any:
        return sympy.Integer(n == 0) if z.is_zero else None

    def fdiff(self, argindex: int = 2) -> Any:
        n, z = self.args
        before = n * SphericalBessel(n - 1, z) if n else 0
        return (before - (n + 1) * SphericalBessel(n + 1, z)) / (2 * n + 1)

    def _eval_evalf(self, prec: int) -> Any:
        n, z = self.args
        z = z.n(prec)  # a number, whose sign is certain
        return (-1) ** n * sympy.jn(n, -z).n(prec) if z < 0 else sympy.jn(n, z).n(prec)


class Largest(sympy.Function):  # type: ignore[misc]
    """SymPy's Max with a derivative that equal arguments share."""

    def fdiff(self, argindex: int) -> Any:
        hits = [sympy.Piecewise((1, sympy.Eq(part, self)), (0, True)) for part in self.args]
        return hits[argindex - 1] / sympy.Add(*hits)


def with_shared_ties(expression: Any) -> Any:
    """Each Max and Min of more than two as `Largest`: SymPy's own derivative gives every one of
    several equal arguments one half.
    """
    if not expression.has(sympy.Max, sympy.Min):
        return expression
    return expression.replace(
        lambda e: isinstance(e, sympy.Max) and len(e.args) > 2, lambda e: Largest(*e.args)
    ).replace(
        lambda e: isinstance(e, sympy.Min) and len(e.args) > 2,
        lambda e: -Largest(*[-part for part in e.args]),
    )


class _Asked(sympy.logic.boolalg.BooleanFunction):  # type: ignore[misc]
    """A question about a number's kind, which is open until there is a number.

    Of what is pieced together it is asked piece by piece: conditions cannot hold pieces.
    """

    answer: Callable[[Any], bool]
    joined = sympy.Or

    @classmethod
    def eval(cls, x: Any) -> Any:
        if x.is_number:
            return sympy.sympify(cls.answer(x))
        if isinstance(x, sympy.Piecewise):
            *rest, (last, _) = x.args
            chosen = cls(last)
            for value, condition in reversed(rest):
                chosen = (condition & cls(value)) | (~condition & chosen)
            return chosen
        return cls.joined(*map(cls, x.args)) if x.has(sympy.Piecewise) else None

    def _eval_derivative(self, symbol: Any) -> Any:
        return sympy.S.Zero


class IsNaN(_Asked):
    """Whether a number is none."""

    answer = staticmethod(lambda x: x is sympy.nan)


class IsInfinite(_Asked):
    """Whether a number is an infinity."""

    answer = staticmethod(lambda x: x in (sympy.oo, -sympy.oo))


class IsFinite(_Asked):
    """Whether a number is neither."""

    answer = staticmethod(lambda x: x not in (sympy.oo, -sympy.oo, sympy.nan))
    joined = sympy.And


OWN = (IsNaN, IsInfinite, IsFinite, SphericalBessel)
NAMES = SimpleNamespace(**{**vars(sympy), **{own.__name__: own for own in OWN}})
"""What the table's cells see as SymPy."""


class _Matrices:
    """What the SymPy cells of factorisations name, on one matrix."""

    @staticmethod
    def solve(a: Any, b: Any) -> Any:
        return a.LUsolve(b)

    @staticmethod
    def det(a: Any) -> Any:
        return a.det()

    @staticmethod
    def adjugate(a: Any) -> Any:
        return a.adjugate()

    @staticmethod
    def log_abs_det(a: Any) -> Any:
        return sympy.log(sympy.Abs(a.det()))

    @staticmethod
    def sign_det(a: Any) -> Any:
        return sympy.sign(a.det())

    @staticmethod
    def cholesky(a: Any) -> Any:
        return a.cholesky(hermitian=False)


# -- the way back ----------------------------------------------------------------------------------


_FUNCTIONS: dict[Any, Callable[..., Any]] = {
    **{
        getattr(NAMES, row.sympy): row.numpy[0]
        for row in TABLE.values()
        if row.kind == "pointwise" and isinstance(row.sympy, str)
    },
    Largest: np.maximum,
    sympy.sinc: spherical_bessel,
    **dict.fromkeys((SphericalBessel, sympy.jn), SphericalBessel._imp_),
    sympy.polygamma: lambda n, x: polygamma(x, n=int(n)),
    sympy.besseli: lambda n, x: bessel_i(x, n=int(n)),
    sympy.besselj: lambda n, x: bessel_j(x, n=int(n)),
    sympy.cot: lambda x: 1.0 / np.tan(x),
    sympy.sec: lambda x: 1.0 / np.cos(x),
    sympy.csc: lambda x: 1.0 / np.sin(x),
    sympy.coth: lambda x: 1.0 / np.tanh(x),
}
"""SymPy's functions in NumPy: the table's SymPy cells read backward, and a few more."""

_OF_ANY_NUMBER = (Largest, sympy.Max, sympy.Min, sympy.And, sympy.Or, sympy.Xor)


_STEP_DERIVATIVES = (sympy.DiracDelta, sympy.Derivative, sympy.Subs)
"""What SymPy makes of the derivative of a step (floor, sign): zero away from the step."""


def _power(expression: sympy.Pow, values: Mapping[sympy.Basic, Any]) -> Any:
    base, exponent = expression.args
    x = values[base]
    if not exponent.is_Rational:
        return x ** values[exponent]
    if exponent < 0:
        return 1.0 / (np.sqrt(x) if exponent == sympy.Rational(-1, 2) else x ** _plain(-exponent))
    return np.cbrt(x) if exponent == sympy.Rational(1, 3) else x ** _plain(exponent)


def _plain(exponent: sympy.Rational) -> int | float:
    return int(exponent) if exponent.is_Integer else float(exponent)


def _is_divisor(factor: sympy.Basic) -> bool:
    return bool(factor.is_Pow and factor.exp.is_Rational and factor.exp < 0)


def _multiply(expression: sympy.Mul, values: Mapping[sympy.Basic, Any]) -> Any:
    above: list[Any] = []
    below: list[Any] = []
    negative = False
    for factor in expression.args:
        if factor is sympy.S.NegativeOne:
            negative = True
        elif _is_divisor(factor):
            below.append(values[1 / factor])
        else:
            above.append(values[factor])
    top = functools.reduce(operator.mul, above) if above else 1.0
    found = top / functools.reduce(operator.mul, below) if below else top
    return -found if negative else found


def _piecewise(expression: sympy.Piecewise, values: Mapping[sympy.Basic, Any]) -> Any:
    *rest, (last, condition) = expression.args
    found = values[last] if condition == True else np.where(values[condition], values[last], np.nan)  # noqa: E712
    for value, condition in reversed(rest):
        found = np.where(values[condition], values[value], found)
    return found


def _parts(expression: sympy.Basic) -> Sequence[sympy.Basic]:
    """The subexpressions that are computed before one: its arguments, but for those that are
    spelt otherwise.
    """
    if expression.is_Mul:
        return [
            1 / x if _is_divisor(x) else x for x in expression.args if x is not sympy.S.NegativeOne
        ]
    if isinstance(expression, sympy.Piecewise):
        return [part for pair in expression.args for part in pair.args]
    if isinstance(expression, _STEP_DERIVATIVES):
        return []
    if expression.is_Pow and expression.exp.is_Rational:
        return [expression.base]
    return list(expression.args)


def _compute(expression: Any, values: Mapping[sympy.Basic, Any]) -> Any:
    if expression.is_Number or expression.is_NumberSymbol:
        return float(expression)
    if expression in (sympy.true, sympy.false):
        return bool(expression)
    if expression.is_Add:
        return functools.reduce(operator.add, [values[term] for term in expression.args])
    if expression.is_Mul:
        return _multiply(expression, values)
    if expression.is_Pow:
        return _power(expression, values)
    if isinstance(expression, sympy.Piecewise):
        return _piecewise(expression, values)
    function = _FUNCTIONS.get(expression.func)
    if function is None:
        if isinstance(expression, _STEP_DERIVATIVES):
            return 0.0
        raise UnsupportedError(
            f"SymPy's {expression.func.__name__} has no NumPy spelling here: {expression}",
            "rewrite it with elementary functions, for example by expression.rewrite(sympy.exp)",
        )
    parts = [values[part] for part in expression.args]
    if isinstance(expression, _OF_ANY_NUMBER):
        return functools.reduce(function, parts)
    return function(*parts)


def compute(expressions: Sequence[Any], bindings: Mapping[sympy.Symbol, Any]) -> list[Any]:
    """NumPy values (or nodes) of SymPy expressions; each distinct subexpression is computed
    once.
    """
    values: dict[Any, Any] = dict(bindings)
    for root in expressions:
        stack = [root]
        while stack:
            expression = stack[-1]
            if expression in values:
                stack.pop()
                continue
            missing = [part for part in _parts(expression) if part not in values]
            if missing:
                stack.extend(missing)
                continue
            if expression.is_Symbol:
                raise ArgumentError(
                    f"the symbol {expression} has no value", "list it among the symbols"
                )
            values[stack.pop()] = _compute(expression, values)
    return [values[root] for root in expressions]


def from_sympy(expression: Any, symbols: Any) -> Callable[..., Any]:
    """A SymPy expression as a NumPy function.

    Parameters
    ----------
    expression
        A SymPy expression of real symbols.
    symbols
        A symbol, or a sequence of them: the arguments of the function, in order.

    Returns
    -------
    callable
        Takes numbers or arrays (elementwise), and traced values.

    Raises
    ------
    UnsupportedError
        Where SymPy's function has no NumPy spelling.

    Examples
    --------
    >>> import sympy
    >>> x, y = sympy.symbols("x y")
    >>> f = from_sympy(sympy.sin(x) * y / x, (x, y))
    >>> print(f(2.0, 4.0))
    1.8185948536513634
    """
    arguments = (symbols,) if isinstance(symbols, sympy.Symbol) else tuple(symbols)
    formula = sympy.sympify(expression) if not isinstance(expression, str) else None
    if formula is None:
        raise ArgumentError(
            "from_sympy takes a SymPy expression, not text", "build it with sympy.symbols"
        )
    unknown = formula.free_symbols - set(arguments)
    if unknown:
        raise ArgumentError(
            f"symbols without a value: {sorted(map(str, unknown))}", "list them in symbols"
        )

    def function(*values: Any) -> Any:
        if len(values) != len(arguments):
            raise ArgumentError(f"the function takes {len(arguments)} arguments, not {len(values)}")
        return compute([formula], dict(zip(arguments, values, strict=True)))[0]

    function.__name__ = "from_sympy"
    function.__doc__ = str(formula)
    return function
