"""The operators: from a function to a function that computes derivatives.

What flows: each kind of operator says which outputs it takes and how its results are put together;
preparing and keeping programs is programs.py's. The invariant is one shape law, ``jacobian.shape ==
output.shape + input.shape``.

>>> import numpy as np
>>> gradient(lambda x: np.sum(x**2))(np.array([1.0, 2.0]))
array([2., 4.])
>>> print(derivative(derivative(np.sin))(0.5) + np.sin(0.5))
0.0
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Sequence
from types import MethodType
from typing import Any

import numpy as np

from difflab.errors import ArgumentError, ShapeError, UnsupportedError
from difflab.ir.build import lift, reshaped
from difflab.ir.expr import Expr, Graph, substitute
from difflab.ir.tree import (
    Signature,
    Spec,
    Structure,
    flatten,
    leaf_count,
    read_arguments,
    unflatten,
)
from difflab.methods import Derivation, Method, Reverse, method_of
from difflab.operators.programs import Argnums, Argument, Finish, Function, Operator
from difflab.readings.batches import batch
from difflab.readings.cotangents import pullback
from difflab.readings.tangents import pushforward, zeros
from difflab.table.identities import simplify
from difflab.tracing.called import Called, need_function
from difflab.tracing.captures import Watch
from difflab.tracing.trace import record_guard, trace_signature, trace_watched


class Jacobian(Operator):
    """All blocks: for each output, for each chosen argument, a tree of arrays."""


class Gradient(Operator):
    """The one row of blocks of a scalar output."""

    def _check_shapes(
        self, graph: Graph | None, shapes: list[tuple[int, ...]], chosen: list[Argument]
    ) -> None:
        if len(shapes) != 1 or shapes[0] != ():
            what = f"an array of shape {shapes[0]}" if len(shapes) == 1 else f"{len(shapes)} arrays"
            raise ShapeError(
                f"a gradient needs a scalar output, but {self.__name__} returned {what}",
                "use jacobian, or reduce the output, for example with np.sum",
            )


class ValueAndGradient(Gradient):
    """A scalar output and its gradient by one program."""

    values = True


class Derivative(Operator):
    """The derivative by a scalar argument; elementwise where the function is elementwise."""

    def _check_shapes(
        self, graph: Graph | None, shapes: list[tuple[int, ...]], chosen: list[Argument]
    ) -> None:
        if graph is None:
            return
        inputs = [graph.inputs[i] for part in chosen for i in part.positions]
        if any(x.shape for x in inputs):
            raise ShapeError(
                f"derivative needs a scalar argument, but {self.__name__} got an array of shape"
                f" {inputs[0].shape} and is not elementwise",
                "use gradient or jacobian",
            )

    def _derived(self, signature: Signature, graph: Graph) -> tuple[Derivation, Finish]:
        arrays = [x for x in graph.inputs if x.shape]
        if len(arrays) == 1 and not graph.guards and _is_elementwise(graph, arrays[0]):
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
                f"{self.method} has no elementwise form", "loop over the elements"
            )
        flags = [y is x for y in graph.inputs]
        flat = batch(derivation.graph, x.size, flags)
        inside = dict(zip(flat.inputs, graph.inputs, strict=True))
        inside[flat.inputs[flags.index(True)]] = reshaped(x, (x.size,))
        (found,) = substitute(flat.outputs, inside)
        derivation.graph = simplify(graph.with_outputs([reshaped(found, x.shape)]))
        return derivation, lambda outputs: outputs[0]


def _is_elementwise(graph: Graph, x: Expr) -> bool:
    """Whether the one output has the input's shape and all operations are pointwise."""
    return (
        len(graph.outputs) == 1
        and graph.outputs[0].shape == x.shape
        and all(node.primitive.kind == "pointwise" for node in graph.operations)
    )


class Compiled(Operator):
    """The function itself, traced and compiled."""

    def __init__(self, f: Function, engine: str = "numpy") -> None:
        super().__init__(f, 0, None, engine)

    def _derived(self, signature: Signature, graph: Graph) -> tuple[Derivation, Finish]:
        tree = graph.output_tree
        count = len(graph.outputs)
        return Derivation(simplify(graph)), lambda outputs: unflatten(tree, outputs[:count])


# -- the public functions --------------------------------------------------------------------------


def derivative(
    f: Function, *, argnums: Argnums = 0, method: str | Method = "reverse", engine: str = "numpy"
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
        What runs the program: ``"numpy"``.

    Returns
    -------
    callable
        Takes the arguments of f; returns the derivative, with the shape of f's output.

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
    """
    return Derivative(f, argnums, method, engine)


def gradient(
    f: Function, *, argnums: Argnums = 0, method: str | Method = "reverse", engine: str = "numpy"
) -> Gradient:
    """The gradient of a scalar-valued function; parameters as for `derivative`.

    The argument may be an array of any shape or a tree (dicts, lists, tuples) of arrays; the
    gradient has its shape. `ShapeError` where the output is not a scalar.

    Examples
    --------
    >>> gradient(lambda w: np.sum(w["a"]) * w["b"])({"a": np.array([1.0, 2.0]), "b": 3.0})
    {'a': array([3., 3.]), 'b': np.float64(3.0)}
    """
    return Gradient(f, argnums, method, engine)


def value_and_gradient(
    f: Function, *, argnums: Argnums = 0, method: str | Method = "reverse", engine: str = "numpy"
) -> ValueAndGradient:
    """A scalar-valued function and its gradient together, sharing their work.

    Examples
    --------
    >>> value_and_gradient(lambda x: np.sum(x**2))(np.array([1.0, 2.0]))
    (np.float64(5.0), array([2., 4.]))
    """
    return ValueAndGradient(f, argnums, method, engine)


def jacobian(
    f: Function, *, argnums: Argnums = 0, method: str | Method | None = None, engine: str = "numpy"
) -> Jacobian:
    """The Jacobian: ``jacobian(f)(x).shape == f(x).shape + x.shape``, for each output and argument
    array.

    Without a method, forward mode where there are no more inputs than outputs, else reverse mode.

    Examples
    --------
    >>> jacobian(lambda x: x[:2] * x[2])(np.array([1.0, 2.0, 3.0]))
    array([[3., 0., 1.],
           [0., 3., 2.]])
    """
    return Jacobian(f, argnums, method, engine)


def hessian(
    f: Function, *, argnums: Argnums = 0, method: str | Method = "reverse", engine: str = "numpy"
) -> Jacobian:
    """The Hessian of a scalar-valued function; its shape is ``x.shape + x.shape``.

    With an automatic method, forward mode over that gradient; with any other, the method twice.

    Examples
    --------
    >>> hessian(lambda x: x[0] ** 2 * x[1])(np.array([1.0, 2.0]))
    array([[4., 2.],
           [2., 0.]])
    """
    first = method_of(method)
    inner = first if first.exact else first.again()
    return Jacobian(Gradient(f, argnums, inner, engine), argnums, first.again(), engine)


class Product(Compiled):
    """A product with the Jacobian of a function, compiled; what is held and watched is f."""

    def __init__(self, kind: Callable[..., Any], of: Callable[[], Function]) -> None:
        super().__init__(lambda *args: kind(of(), *args))
        self.of = of
        self.takes_args = kind is not _value

    def _recorded(self, signature: Signature, arrays: list[Any]) -> tuple[Graph, Watch]:
        args, _ = Called(self.f, signature).arguments(arrays)
        inner = args[0] if self.takes_args else args
        watch = trace_watched(self.of(), *read_arguments(tuple(inner), {}))[1]
        return trace_signature(self.f, signature, arrays, held=False), watch


_products: dict[int, tuple[Callable[[], Any], dict[Any, Product]]] = {}


def _once(f: Function, kind: Callable[..., Any]) -> Product:
    """The product of that kind with f, made once for each f that can be weakly referenced."""
    need_function(f)
    if isinstance(f, MethodType):  # another object each time
        return Product(kind, lambda: f)
    try:
        known = _products.get(id(f))
        if known is None:
            # The product must not keep f alive through the table.
            gone = functools.partial(_products.pop, id(f), None)
            known = _products[id(f)] = (weakref.ref(f, lambda _: gone()), {})
    except TypeError:
        return Product(kind, lambda: f)
    reference, kinds = known
    if kind not in kinds:
        kinds[kind] = Product(kind, reference)
    return kinds[kind]


def _traced(f: Function, args: tuple[Any, ...]) -> tuple[Graph, dict[Expr, Expr], Signature]:
    """The graph of f at traced arguments, its guards handed to the trace around it."""
    signature, arrays = read_arguments(args, {})
    graph = trace_signature(f, signature, arrays)
    actual = dict(zip(graph.inputs, map(lift, arrays), strict=True))
    for guard in graph.guards:
        record_guard(substitute([guard.expr], actual)[0], guard.value)
    return graph, actual, signature


def _aligned(kind: str, given: Any, like: Any, expected: Sequence[Expr]) -> list[Expr]:
    """The leaves of tangents or cotangents, checked against what they belong to."""
    leaves, structure = flatten(given)
    wanted = flatten(like)[1] if not isinstance(like, Structure) else like
    nodes = [
        lift(leaf)
        for leaf in leaves
        if isinstance(leaf, (Expr, np.ndarray, np.generic, float, int))
    ]
    matching = structure == wanted or leaf_count(structure) == leaf_count(wanted)
    if not matching or len(nodes) != len(expected):
        raise ShapeError(
            f"the {kind}s form another tree than what they belong to", "give one for each array"
        )
    for node, x in zip(nodes, expected, strict=True):
        if node.shape != x.shape:
            raise ShapeError(
                f"a {kind} of shape {node.shape} for a value of shape {x.shape}",
                "shapes must agree",
            )
    return [node.astype(x.dtype) for node, x in zip(nodes, expected, strict=True)]


def _push(f: Function, args: tuple[Any, ...], tangents: tuple[Any, ...]) -> Any:
    graph, actual, _ = _traced(f, args)
    moving = _aligned("tangent", tangents, args, graph.inputs)
    found = pushforward(
        graph.outputs,
        graph.inputs,
        [t if x.differentiable else None for t, x in zip(moving, graph.inputs, strict=True)],
    )
    spelt = [zeros(out) if t is None else t for t, out in zip(found, graph.outputs, strict=True)]
    results = substitute([*graph.outputs, *spelt], actual)
    count = len(graph.outputs)
    return unflatten(graph.output_tree, results[:count]), unflatten(
        graph.output_tree, results[count:]
    )


def _pull(f: Function, args: tuple[Any, ...], cotangent: Any) -> Any:
    graph, actual, signature = _traced(f, args)
    given = _aligned("cotangent", cotangent, graph.output_tree, graph.outputs)
    found = pullback(graph.outputs, given, graph.inputs)
    spelt = [zeros(x) if ct is None else ct for ct, x in zip(found, graph.inputs, strict=True)]
    rest = iter(substitute(spelt, actual))
    leaves = [next(rest) if isinstance(spec, Spec) else None for spec in signature.leaves]
    return unflatten(signature.structure.children[0], leaves)


def _tuple(name: str, given: Any) -> tuple[Any, ...]:
    if not isinstance(given, (tuple, list)):
        raise ArgumentError(
            f"{name} is a {type(given).__name__}, not a tuple", f"write ({name.rstrip('s')},)"
        )
    return tuple(given)


def jvp(f: Function, args: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    """A value and its tangent: the Jacobian times a vector, by forward mode.

    Parameters
    ----------
    args, tangents
        Tuples of the arguments and of their tangents, of equal shapes.

    Raises
    ------
    ArgumentError
        If they are not tuples.
    ShapeError
        If the tangents do not fit the arguments.

    Examples
    --------
    >>> value, tangent = jvp(np.sin, (0.0,), (2.0,))
    >>> print(value, tangent)
    0.0 2.0
    """
    return tuple(_once(f, _push)(_tuple("args", args), _tuple("tangents", tangents)))


def vjp(f: Function, *args: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """A value, and the pullback that takes a cotangent of it to a tuple of the arguments'
    cotangents.

    Examples
    --------
    >>> value, pull = vjp(lambda x, y: x * y, 2.0, 3.0)
    >>> [float(ct) for ct in pull(1.0)]
    [3.0, 2.0]
    """

    leaves, structure = flatten(args)
    # The caller may change arrays, dicts and lists before pulling.
    kept = [
        leaf if isinstance(leaf, Expr) or not isinstance(leaf, np.ndarray) else leaf.copy()
        for leaf in leaves
    ]
    point = unflatten(structure, kept)

    def pull(cotangent: Any) -> tuple[Any, ...]:
        return tuple(_once(f, _pull)(point, cotangent))

    return _once(f, _value)(*args), pull


def _value(f: Function, *args: Any) -> Any:
    return f(*args)


def hvp(f: Function, args: tuple[Any, ...], tangents: tuple[Any, ...]) -> Any:
    """The Hessian of a scalar-valued function times a vector, by forward over reverse mode.

    One argument gives an array (or tree), several give a tuple of them.

    Examples
    --------
    >>> hvp(lambda x: np.sum(x**3), (np.array([1.0, 2.0]),), (np.array([1.0, 1.0]),))
    array([ 6., 12.])
    """
    return _once(f, _hessian_push)(_tuple("args", args), _tuple("tangents", tangents))


def _hessian_push(f: Function, args: tuple[Any, ...], tangents: tuple[Any, ...]) -> Any:
    chosen: Argnums = 0 if len(args) == 1 else tuple(range(len(args)))
    return _push(Gradient(f, chosen, Reverse(), "numpy"), args, tangents)[1]
