"""Derivatives by one number, of any order, and Taylor coefficients along a line.

What flows: as in `operators`. The invariant: of order two and more, all automatic ways are one
sweep of power series, so that the work grows with the square of the order, and not exponentially.

>>> print(derivative(np.exp, order=8)(0.0), derivative(derivative(np.sin))(0.0))
1.0 -0.0
>>> jet(np.exp, 0.0, 3)
array([1.        , 1.        , 0.5       , 0.16666667])
"""

from __future__ import annotations

import math
import operator
from typing import Any, Final

import numpy as np

from difflab.errors import ArgumentError, ShapeError, UnsupportedError
from difflab.ir.build import reshaped
from difflab.ir.expr import Expr, Graph, substitute
from difflab.ir.tree import Signature, Spec
from difflab.methods import Derivation, Method, Taylor, method_of
from difflab.operators.arguments import Argnums, Finish
from difflab.operators.operators import Operator, Shapes
from difflab.operators.products import AlongLines
from difflab.operators.programs import Function, Recent
from difflab.readings.batches import batch
from difflab.table.identities import simplify
from difflab.tracing.trace import trace_signature

HIGHEST: Final = 100
"""The order of derivative that floats have room for: 100! is 9e157, half of their range."""
_recent = Recent()


class Derivative(Operator):
    """The derivative by a scalar argument; elementwise where the function is elementwise."""

    def __init__(
        self, f: Function, argnums: Argnums, method: str | Method | None, engine: str
    ) -> None:
        super().__init__(f, argnums, method, engine)
        if isinstance(f, Derivative) and isinstance(f.argnums, int):
            orders = self.method.taylor_order, f.method.taylor_order
            if all(orders) and (f.argnums, f.engine) == (self.argnums, engine):
                # One sweep for all orders.
                self.f, self.method = f.f, Taylor(_whole(sum(orders), 1, HIGHEST))

    def __repr__(self) -> str:
        order = self.method.taylor_order or 1
        name = "derivative" if order == 1 else f"derivative of order {order}"
        return self._of(name)

    def _check_inputs(self, shapes: Shapes) -> None:
        for shape in shapes:
            if shape:
                raise ShapeError(
                    f"derivative needs a scalar argument, but {self.__name__} got an array of shape"
                    f" {shape} and is not elementwise",
                    "use gradient or jacobian",
                )

    def _derived(self, signature: Signature, graph: Graph) -> tuple[Derivation, Finish]:
        arrays = [x for x in graph.inputs if x.shape]
        if len(arrays) == 1 and not graph.guards and _is_elementwise(graph, arrays[0]):
            if isinstance(self.method, Taylor):
                derivation = self.method.derive(graph, self._chosen(signature).positions)
                derivation.drop(1)
                return derivation, lambda outputs: outputs[0]
            return self._elementwise(signature, graph, arrays[0])
        return super()._derived(signature, graph)

    def _elementwise(
        self, signature: Signature, graph: Graph, x: Expr
    ) -> tuple[Derivation, Finish]:
        """Derive at a scalar, then compute for every element at once."""
        leaves = [s._replace(shape=()) if isinstance(s, Spec) else s for s in signature.leaves]
        single = signature._replace(leaves=tuple(leaves))
        ones = [np.ones((), y.dtype) for y in graph.inputs]
        scalar = trace_signature(self.f, single, ones, held=False)
        derivation, _ = super()._derived(single, scalar)
        if derivation.graph is None:
            raise UnsupportedError(
                f"{self.method.name} has no elementwise form", "loop over the elements"
            )
        flags = [y is x for y in graph.inputs]
        flat = batch(derivation.graph, x.size, flags)
        inside = dict(zip(flat.inputs, graph.inputs, strict=True))
        inside[flat.inputs[flags.index(True)]] = reshaped(x, (x.size,))
        (found,) = substitute(flat.outputs, inside)
        derivation.graph = simplify(graph.with_outputs([reshaped(found, x.shape)]))
        return derivation, lambda outputs: outputs[0]


class Jet(Derivative):
    """All Taylor coefficients by a scalar argument, or elementwise."""

    def __init__(self, f: Function, order: int, engine: str) -> None:
        Operator.__init__(self, f, 0, Taylor(order, every=True), engine)

    __repr__ = Operator.__repr__

    def _check_inputs(self, shapes: Shapes) -> None:
        for shape in shapes:
            if shape:
                raise ShapeError(
                    f"a jet runs along a line, but {self.__name__} got an array of shape {shape}"
                    " and is not elementwise",
                    "give the direction: jet(f, x, order, tangent)",
                )


def _is_elementwise(graph: Graph, x: Expr) -> bool:
    """Whether the one output has the input's shape and all operations are pointwise."""
    return (
        len(graph.outputs) == 1
        and graph.outputs[0].shape == x.shape
        and all(node.primitive.kind == "pointwise" for node in graph.operations)
    )


# -- the public functions --------------------------------------------------------------------------


def derivative(
    f: Function,
    *,
    argnums: Argnums = 0,
    method: str | Method = "reverse",
    engine: str = "auto",
    order: int = 1,
) -> Derivative:
    """The derivative of a function by a scalar argument.

    Parameters
    ----------
    f
        A plain NumPy function; its output may have any shape. Where f is elementwise the argument
        may be an array, and so is the result.
    argnums
        Which positional argument, or arguments.
    method
        A name in `METHODS`, or a method object such as ``Numerical(stencil="central", order=6)``.
    engine
        What runs the program: ``"auto"``, ``"steady"`` or a name in `engines.ENGINES`.
    order
        Which derivative. From the second on, automatic methods make it by one sweep of power series
        (Taylor mode, as `jet`), also where ``derivative(derivative(f))`` asks for it; any other
        method is applied so many times.

    Returns
    -------
    callable
        Takes the arguments of f; returns the derivative, with the shape of f's output. Its
        ``prepare``, of the same arguments, returns the program with its graph, counts and times.

    Raises
    ------
    ArgumentError
        If the argument is an integer, or not a number.
    ShapeError
        If it is an array and f is not elementwise.

    Examples
    --------
    >>> print(derivative(np.tanh)(20.0))
    1.6993417021166355e-17
    >>> derivative(np.square)(np.array([1.0, 2.0]))
    array([2., 4.])
    >>> print(derivative(np.exp, order=8)(0.0))
    1.0
    """
    first, order = method_of(method), _whole(order, 1, HIGHEST)
    if order > 1 and first.taylor_order:
        return Derivative(f, argnums, Taylor(order), engine)
    each = first
    for _ in range(order - 1):
        each = each.again()
    made = Derivative(f, argnums, each, engine)
    for _ in range(order - 1):
        made = Derivative(made, argnums, each, engine)
    return made


def jet(f: Function, x: Any, order: int, tangent: Any = None, *, engine: str = "auto") -> Any:
    """The Taylor coefficients of a function along a line: f(x + t tangent) = sum of c_k t^k.

    Parameters
    ----------
    f
        A plain NumPy function of one argument.
    x
        The point: a number; an array where f is elementwise; with a tangent, any tree of arrays.
    order
        The last power of t, 0 or more.
    tangent
        The direction, a tree like x; by default 1.
    engine
        As of `derivative`: ``"auto"`` sweeps without compiling; another name compiles the sweep.

    Returns
    -------
    array of shape ``(order + 1, *f(x).shape)``
        c_0 = f(x), c_1 the derivative along the tangent, and so on: k! c_k is the k-th derivative.

    Raises
    ------
    ArgumentError
        If the order is not a whole number.
    ShapeError
        If x is an array, f is not elementwise, and no tangent is given.

    Notes
    -----
    Griewank and Walther (2008), Evaluating Derivatives, chapter 13. The recurrences follow from the
    one derivative fact of each primitive; the work is quadratic in the order.

    Examples
    --------
    >>> jet(lambda x: 1 / (1 - x), 0.0, 4)
    array([1., 1., 1., 1., 1.])
    >>> jet(lambda w: np.sum(w**2), np.array([1.0, 2.0]), 2, np.array([1.0, 1.0]))
    array([5., 6., 2.])
    """
    order = _whole(order, 0)
    if tangent is None:
        return _recent.get(Jet, f, order, engine)(x)
    return _recent.get(AlongLines, f, 0, Taylor(order, every=True), engine)((x,), (tangent,))[1]


def _whole(order: Any, least: int, most: float = math.inf) -> int:
    try:
        found = operator.index(order)
    except TypeError:
        found = least - 1
    if isinstance(order, (bool, np.bool_)) or not least <= found <= most:
        to = "on" if most == math.inf else f"to {most}"
        raise ArgumentError(
            f"order={order!r} is not a whole number from {least} {to}", "write order=4, for example"
        )
    return found
