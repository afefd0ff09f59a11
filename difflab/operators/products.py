"""Products with the Jacobian and the Hessian, at a point: jvp, vjp and hvp.

What flows: a function, a point, and tangents or cotangents go in; products come out, by the
operators' own programs. The invariants: forward mode carries one direction, and any other method
differentiates along the line through the point; a pullback holds what the function's run has left,
so that pulling runs the reverse part alone, and nothing that the caller changes meanwhile matters.

>>> value, pull = vjp(np.sin, 0.0)
>>> print(value, *pull(2.0))
0.0 2.0
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from difflab import engines
from difflab.ir.build import lift
from difflab.ir.expr import Expr, Graph, placeholder, reachable, substitute
from difflab.ir.protocols import TracedArray
from difflab.ir.tree import Signature, Spec, Structure, flatten, read_arguments, unflatten
from difflab.methods import Derivation, Method, Push, method_of
from difflab.operators.arguments import (
    Argnums,
    Argument,
    Chosen,
    Finish,
    aligned,
    as_tuple,
    chosen,
    numbers_of,
)
from difflab.operators.operators import Compiled, Gradient, Jacobian, Operator, inner_graph
from difflab.operators.programs import Function, Recent, silent
from difflab.readings.tangents import zeros
from difflab.table.identities import simplify
from difflab.tracing.arrays import wrapped
from difflab.tracing.called import Called, need_function
from difflab.tracing.captures import Watch
from difflab.tracing.trace import trace_signature, trace_watched

Numbers = int | tuple[int, ...] | None
Product = Callable[..., Any]
_recent = Recent()


def jvp(
    f: Function,
    args: tuple[Any, ...],
    tangents: tuple[Any, ...],
    *,
    argnums: Argnums | None = None,
    method: str | Method = "forward",
    engine: str = "auto",
) -> tuple[Any, Any]:
    """A value and its tangent: the Jacobian times a vector.

    Parameters
    ----------
    args, tangents
        Tuples of the arguments and of the tangents, of equal shapes.
    argnums
        Which arguments the tangents belong to, in order; by default to all.
    method
        Forward mode carries the direction; any other method differentiates along the line.
    engine
        As of `derivative`.

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
    >>> print(jvp(lambda x, y: x * y, (2.0, 3.0), (1.0,), argnums=1)[1])
    2.0
    """
    given = as_tuple("args", args), as_tuple("tangents", tangents)
    value, tangent = _recent.get(_jvp_of, f, argnums, method, engine)(*given)
    return value, tangent


def vjp(
    f: Function,
    *args: Any,
    argnums: Argnums | None = None,
    method: str | Method = "reverse",
    engine: str = "auto",
) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """A value, and the pullback that takes a cotangent of it to a tuple of the arguments'
    cotangents.

    Parameters
    ----------
    args
        The point.
    argnums
        Whose cotangents are wanted, in order; by default all arguments'.
    method
        Reverse mode pulls a cotangent back; any other method makes the Jacobian once.
    engine
        As of `derivative`.

    Examples
    --------
    >>> value, pull = vjp(lambda x, y: x * y, 2.0, 3.0)
    >>> [float(ct) for ct in pull(1.0)]
    [3.0, 2.0]
    >>> print(*vjp(lambda x, y: x * y, 2.0, 3.0, argnums=1)[1](1.0))
    2.0
    """
    value, pull = _recent.get(Pulled, f, argnums, method, engine)(*args)
    return value, pull


def hvp(
    f: Function,
    args: tuple[Any, ...],
    tangents: tuple[Any, ...],
    *,
    argnums: Argnums | None = None,
    method: str | Method = "reverse",
    engine: str = "auto",
) -> Any:
    """The Hessian of a scalar-valued function times a vector.

    One argument gives an array (or tree), several give a tuple of them. With reverse mode, forward
    over reverse; else as of `hessian`. Parameters as for `jvp`.

    Examples
    --------
    >>> hvp(lambda x: np.sum(x**3), (np.array([1.0, 2.0]),), (np.array([1.0, 1.0]),))
    array([ 6., 12.])
    """
    given = as_tuple("args", args), as_tuple("tangents", tangents)
    if argnums is None:
        argnums = 0 if len(args) == 1 else tuple(range(len(args)))
    return _recent.get(_hvp_of, f, argnums, method, engine)(*given)


# -- what is made once for a function --------------------------------------------------------------


def _jvp_of(f: Function, argnums: Any, method: str | Method, engine: str) -> Product:
    way, numbers = method_of(method), _numbers(argnums)
    if way.push is None:
        return AlongLines(f, numbers, way, engine)
    return Pushed(f, functools.partial(_pushed, f, numbers, way.push), engine)


def _hvp_of(f: Function, argnums: Any, method: str | Method, engine: str) -> Product:
    first, numbers = method_of(method), numbers_of(argnums)
    inner, outer = first if first.exact else first.again(), first.again()
    slope = Gradient(f, numbers, inner, engine)
    if outer.push is None:
        along = AlongLines(slope, numbers, outer, engine)
        return lambda args, tangents: along(args, tangents)[1]
    return Pushed(f, functools.partial(_pushed_alone, slope, numbers, outer.push), engine)


def _numbers(argnums: Any) -> Numbers:
    return None if argnums is None else numbers_of(argnums)


# -- forward: one direction ------------------------------------------------------------------------


def _moving(f: Function, numbers: Numbers, signature: Signature) -> tuple[Sequence[int], Structure]:
    """The arrays of a call that tangents or cotangents belong to, and the tree that they form."""
    if numbers is None:
        count = sum(isinstance(leaf, Spec) for leaf in signature.leaves)
        return range(count), signature.structure.children[0]
    by = chosen(f, numbers, signature)
    parts = tuple([part.structure for part in by.parts])
    return by.positions, Structure(tuple, (), parts)


def _pushed(
    f: Function, numbers: Numbers, push: Push, args: Sequence[Any], tangents: Sequence[Any]
) -> Any:
    """On traced values: the value of f and its tangent."""
    signature, arrays = read_arguments(tuple(args), {})
    graph, actual = inner_graph(f, signature, arrays)
    positions, structure = _moving(f, numbers, signature)
    moving = [graph.inputs[i] for i in positions]
    given = map(lift, aligned("tangent", tangents, structure, moving))
    along = [t if x.differentiable else None for t, x in zip(given, moving, strict=True)]
    still = [x for x in graph.inputs if x not in set(moving)]
    found = push(graph.outputs, [*moving, *still], [*along, *[None] * len(still)])
    spelt = [zeros(out) if t is None else t for t, out in zip(found, graph.outputs, strict=True)]
    results = wrapped(substitute([*graph.outputs, *spelt], actual))
    count, tree = len(graph.outputs), graph.output_tree
    return unflatten(tree, results[:count]), unflatten(tree, results[count:])


def _pushed_alone(*given: Any) -> Any:
    """The tangent alone."""
    return _pushed(*given)[1]


class Pushed(Compiled):
    """A product by forward mode, compiled; what is held and watched is the user's function."""

    def __init__(self, f: Function, push: Function, engine: str) -> None:
        super().__init__(push, engine)
        self.watched = f

    def _recorded(self, signature: Signature, arrays: list[Any]) -> tuple[Graph, Watch]:
        args, _ = Called(self.f, signature).arguments(arrays)
        watch = trace_watched(self.watched, *read_arguments(tuple(args[0]), {}))[1]
        return trace_signature(self.f, signature, arrays, held=False), watch


# -- any other method: along a line ----------------------------------------------------------------


class AlongLines:
    """A value and its tangent, by the derivative along the line through the point."""

    def __init__(self, f: Function, numbers: Numbers, method: Method, engine: str) -> None:
        need_function(f)
        self.f, self.numbers, self.method, self.engine = f, numbers, method, engine
        self.slopes: dict[tuple[int, ...], Operator] = {}

    def __call__(self, args: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
        signature, arrays = read_arguments(args, {})
        positions, structure = _moving(self.f, self.numbers, signature)
        like = [x if isinstance(x, Expr) else np.asarray(x) for x in arrays]
        like = [like[i] for i in positions]
        given = aligned("tangent", tangents, structure, like)
        moving = [k for k, x in enumerate(like) if x.dtype.kind == "f"]
        points, along = [like[k] for k in moving], [given[k] for k in moving]
        factor = 1.0 if self.method.exact else _reach(points, along)
        leaves = [k for k, leaf in enumerate(signature.leaves) if isinstance(leaf, Spec)]
        places = tuple([leaves[positions[k]] for k in moving])
        if places not in self.slopes:
            self.slopes[places] = Slope(Line(self.f, places), 0, self.method, self.engine)
        value, slope = self.slopes[places](0.0, args, [factor * direction for direction in along])
        parts, tree = flatten(slope)
        return value, unflatten(tree, [part / factor for part in parts])


class Slope(Jacobian):
    """The value of a line and its derivative."""

    values = True


class Line:
    """A function on the line through a point: a step, the point and the directions come in."""

    def __init__(self, f: Function, places: tuple[int, ...]) -> None:
        self.f = f
        self.places = places
        self.__name__ = getattr(f, "__name__", "f")

    @property
    def __differentiates__(self) -> Function:
        """What a watch looks at behind a line."""
        return self.f

    def __call__(self, t: Any, args: Sequence[Any], directions: Sequence[Any]) -> Any:
        leaves, structure = flatten(tuple(args))
        for place, direction in zip(self.places, directions, strict=True):
            leaves[place] = leaves[place] + t * direction
        return self.f(*unflatten(structure, leaves))


def _reach(points: Sequence[Any], directions: Sequence[Any]) -> float:
    """The power of two by which directions are about as long as the numbers that they move."""
    if any(isinstance(x, Expr) for x in (*points, *directions)):
        return 1.0
    sizes = [max((np.max(np.abs(x), initial=0.0) for x in of), default=0.0)
             for of in (points, directions)]  # fmt: skip
    if not 0.0 < sizes[1] < math.inf:
        return 1.0
    return 2.0 ** round(math.log2(max(sizes[0], 1.0)) - math.log2(sizes[1]))


# -- reverse: one cotangent ------------------------------------------------------------------------


class Pulled(Operator):
    """A value and its pullback."""

    values = True

    def __init__(self, f: Function, argnums: Any, method: str | Method, engine: str) -> None:
        super().__init__(f, 0 if argnums is None else argnums, method, engine)
        self.every = argnums is None

    def _chosen(self, signature: Signature) -> Chosen:
        if not self.every:
            return replace(super()._chosen(signature), single=False)
        specs = [leaf for leaf in signature.leaves if isinstance(leaf, Spec)]
        floats = tuple([i for i, spec in enumerate(specs) if spec.dtype.kind == "f"])
        return Chosen((Argument(signature.structure.children[0], floats),), True)

    def _by_argument(self, by: Chosen, signature: Signature, found: Sequence[Any]) -> Any:
        """Cotangents as a tuple of trees; of all arguments, None stands for what is no array."""
        if not self.every:
            return by.by_argument(found)
        rest, leaves = iter(found), list[Any]()
        for leaf in signature.leaves:
            floats = isinstance(leaf, Spec) and leaf.dtype.kind == "f"
            still = np.zeros(leaf.shape, leaf.dtype)[()] if isinstance(leaf, Spec) else None
            leaves.append(next(rest) if floats else still)
        return unflatten(by.parts[0].structure, leaves)

    def _finisher(self, by: Chosen, signature: Signature, tree: Structure, count: int) -> Finish:
        """By the blocks of the Jacobian."""

        def finish(found: list[Any]) -> Any:
            values, blocks = found[:count], _contents(found[count:])
            pull = functools.partial(self._by_blocks, by, signature, tree, values, blocks)
            return unflatten(tree, values), pull

        return finish

    def _by_blocks(
        self, by: Chosen, signature: Signature, tree: Structure, values: Sequence[Any],
        blocks: Sequence[Any], cotangent: Any, /,
    ) -> tuple[Any, ...]:  # fmt: skip
        width = len(by.positions)
        given = aligned("cotangent", cotangent, tree, _contents(values))
        each = [ct for ct in given for _ in range(width)]
        parts = [_contracted(ct, block) for ct, block in zip(each, blocks, strict=True)]
        sums = [sum(parts[j + width :: width], parts[j]) for j in range(width)]
        results = wrapped(sums) if any(isinstance(x, Expr) for x in sums) else sums
        return tuple(self._by_argument(by, signature, results))

    def _derived(self, signature: Signature, graph: Graph) -> tuple[Derivation, Finish]:
        if self.method.pull is None or not graph.outputs:
            return super()._derived(signature, graph)
        derivation, count, tree = Derivation(None), len(graph.outputs), graph.output_tree
        by = self._chosen(signature)
        with derivation.timed("derive"):
            inputs = [graph.inputs[i] for i in by.positions]
            seeds = [placeholder(y.shape, y.dtype, "cotangent") for y in graph.outputs]
            found = self.method.pull(graph.outputs, seeds, inputs)
            spelt = [zeros(x) if ct is None else ct for ct, x in zip(found, inputs, strict=True)]
        with derivation.timed("simplify"):
            whole = simplify(Graph((*graph.inputs, *seeds), (*graph.outputs, *spelt)))
            values, cotangents = whole.outputs[:count], whole.outputs[count:]
            left = _left_for(cotangents, seeds)
            given = [placeholder(x.shape, x.dtype, "kept", x.weak) for x in left]
            reverse = Graph(
                (*given, *seeds),
                tuple(substitute(cotangents, dict(zip(left, given, strict=True)))),
            )
            derivation.graph = graph.with_outputs([*values, *left])
        program = Late(reverse, self.engine)

        def finish(found: list[Any]) -> Any:
            kept = _contents(found[count:])
            pull = functools.partial(self._by_reverse, by, signature, tree, program, kept)
            return unflatten(tree, found[:count]), pull

        return derivation, finish

    def _by_reverse(
        self, by: Chosen, signature: Signature, tree: Structure, program: Late,
        kept: Sequence[Any], cotangent: Any, /,
    ) -> tuple[Any, ...]:  # fmt: skip
        reverse = program.graph
        arrays = [*kept, *aligned("cotangent", cotangent, tree, reverse.inputs[len(kept) :])]
        if any(isinstance(x, Expr) for x in arrays):
            known = dict(zip(reverse.inputs, map(lift, arrays), strict=True))
            results: list[Any] = wrapped(substitute(reverse.outputs, known))
        else:
            results = silent.copy().run(program, *arrays)
        return tuple(self._by_argument(by, signature, results))


class Late:
    """A graph's program, made when it first runs, and neither pickled nor copied."""

    def __init__(self, graph: Graph, engine: str) -> None:
        self.graph, self.engine = graph, engine
        self._program: engines.Program | None = None

    def __call__(self, *arrays: Any) -> list[Any]:
        if self._program is None:
            self._program = engines.compile(self.graph, self.engine)
        return self._program(*arrays)

    def __reduce__(self) -> tuple[Any, ...]:
        return Late, (self.graph, self.engine)


def _contents(found: Sequence[Any]) -> list[Any]:
    """Nodes for traced arrays."""
    return [x.content if isinstance(x, TracedArray) else x for x in found]


def _contracted(cotangent: Any, block: Any) -> Any:
    """A cotangent times a block of the Jacobian."""
    size, ndim = math.prod(cotangent.shape), len(cotangent.shape)
    rows = np.reshape(block, (size, math.prod(block.shape[ndim:])))
    return np.reshape(np.reshape(cotangent, (size,)) @ rows, block.shape[ndim:])[()]


def _left_for(cotangents: Sequence[Expr], seeds: Sequence[Expr]) -> list[Expr]:
    """The nodes of the function's run that its reverse part uses; of a view, what it is of."""
    late, used = set(seeds), dict.fromkeys(cotangents)
    for node in reachable(cotangents):
        if not late.isdisjoint(node.operands):
            late.add(node)
            used.update(dict.fromkeys(node.operands))
    found: dict[Expr, None] = {}
    for node in used:
        if node in late:
            continue
        while node.primitive.kind == "movement" and len(node.operands) == 1:
            if node.operands[0].size > node.size:
                break
            node = node.operands[0]
        if not node.is_fixed:
            found[node] = None
    return list(found)
