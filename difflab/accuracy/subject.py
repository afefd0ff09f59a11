"""What is judged: a function at a point, the arguments to differentiate, the derivative's order.

What flows: a function and its arguments go in; the names, shapes and assembly of the derivative's
blocks come out, and for a function that can be traced the blocks themselves, as the rules write
them: no constant is folded, so that in balls they are the exact derivative. The invariant is the
shape law, once more for each order: ``block.shape == output.shape + input.shape (+ input.shape)``.

>>> subject = Subject(lambda x: x[0] ** 2 * x[1], (np.array([2.0, 3.0]),))
>>> graph = subject.traced()
>>> subject.names(graph.output_tree, [()])
['x[0]', 'x[1]']
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, pairwise, product
from typing import Any

import numpy as np

from difflab.errors import ArgumentError, DomainError
from difflab.ir.expr import Array, Expr, Graph, evaluate
from difflab.ir.tree import LEAF, Spec, Structure, flatten, paths, read_arguments
from difflab.methods.automatic import derivative_blocks
from difflab.operators.arguments import Argnums, chosen, numbers_of
from difflab.tracing.called import Called, need_function, parameter_names
from difflab.tracing.trace import trace_signature

Assemble = Callable[[Sequence[Any]], Any]
Place = tuple[int, tuple[int, ...]]
"""Where a number stands among several arrays: in which one, and the index in it."""


class Subject:
    """A function at a point; `argnums` None stands for all arguments that hold floats."""

    def __init__(
        self,
        f: Callable[..., Any],
        args: tuple[Any, ...],
        argnums: Argnums | None = None,
        order: int = 1,
        *,
        may_be_empty: bool = False,
    ) -> None:
        if order not in (1, 2):
            raise ArgumentError(f"derivatives of order {order} are not judged", "order is 1 or 2")
        self.f = f
        name = str(getattr(f, "__name__", "f"))
        self.name = "f" if name == "<lambda>" else name
        """What the function is called in texts."""
        self.argnums = float_arguments(args) if argnums is None else numbers_of(argnums)
        self.order = order
        self.signature, self.arrays = read_arguments(args, {})
        for array in self.arrays:
            if not np.all(np.isfinite(array)):
                bad = "NaN" if np.any(np.isnan(array)) else "infinity"
                raise DomainError(
                    f"a derivative is judged at finite arguments, but got {bad}",
                    "choose a point inside the domain",
                )
        need_function(f)
        self.chosen = chosen(f, self.argnums, self.signature)
        self.wrt = list(self.chosen.positions)
        if not may_be_empty and not any(np.size(self.arrays[i]) for i in self.wrt):
            raise ArgumentError(
                "the argument is empty, so there is nothing to differentiate", "pass some numbers"
            )
        self.call = Called(f, self.signature)
        """The function as it is: arrays in, its result out."""
        every = self.signature.paths(parameter_names(f))
        leaves = zip(every, self.signature.leaves, strict=True)
        self.inputs = [name for name, spec in leaves if isinstance(spec, Spec)]
        """The names of all arrays, such as ``x`` or ``params['W']``."""

    def traced(self, arrays: Sequence[Any] | None = None) -> Graph:
        """The graph of the function, at the point or at another one."""
        at = self.arrays if arrays is None else list(arrays)
        graph = trace_signature(self.f, self.signature, at)
        _need_outputs(graph.outputs)
        return graph

    def outputs(self, arrays: Sequence[Any]) -> tuple[list[Array], Structure]:
        """What the function returns when it is called: arrays, and their tree."""
        found, tree = self.call.outputs(arrays)
        _need_outputs(found)
        return found, tree

    @property
    def notes(self) -> tuple[str, ...]:
        """What the function was seen to do to its arguments."""
        return self.call.notes(self.name)

    def blocks(self, graph: Graph) -> list[Expr]:
        """The derivative's blocks: for each output, for each chosen array (for each, once more)."""
        found = derivative_blocks(graph, self.wrt)
        if self.order == 2:
            found = derivative_blocks(graph.with_outputs(found), self.wrt)
        return found

    def shapes(self, outputs: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
        """The blocks' shapes."""
        found = list(outputs)
        for _ in range(self.order):
            found = [out + np.shape(self.arrays[i]) for out in found for i in self.wrt]
        return found

    def names(self, tree: Structure, outputs: Sequence[tuple[int, ...]]) -> list[str]:
        """The name of every component of the derivative, in the order of the blocks."""
        found: list[str] = []
        for path, shape in zip(paths(tree), outputs, strict=True):
            rows = [f"{name} by " for name in elements(f"output{path}", shape)]
            if rows == ["output by "] and len(outputs) == 1:
                rows = [""]
            for inputs in product(self.wrt, repeat=self.order):
                columns = list(product(*map(self.elements, inputs)))
                found += [row + ", ".join(names) for row in rows for names in columns]
        return found

    @property
    def moves(self) -> list[Place]:
        """The components to differentiate by: arrays, and indices in them."""
        return [(i, index) for i in self.wrt for index in np.ndindex(np.shape(self.arrays[i]))]

    def elements(self, i: int) -> list[str]:
        """The names of the components of an input, such as ``x[0]``."""
        return elements(self.inputs[i], np.shape(self.arrays[i]))

    def moved(self, move: Callable[[Array], Any]) -> list[Any]:
        """The arrays of another point, of the same dtypes: those to differentiate by are moved."""
        arrays = list(self.arrays)
        for i in self.wrt:
            x = np.asarray(arrays[i])
            arrays[i] = np.asarray(move(x)).astype(x.dtype)[()]
        return arrays

    def true_at(self, arrays: Sequence[Any]) -> Array:
        """The derivative at another point in floats, all its numbers in order."""
        graph = self.traced(arrays)
        return numbers(floats_at(graph, self.blocks(graph), arrays))

    def split(self, whole: Array, outputs: Sequence[tuple[int, ...]]) -> Iterator[Any]:
        """A matrix over (outputs, components, ...) as the derivative's blocks."""
        inputs = [np.shape(self.arrays[i]) for i in self.wrt]
        parts = [list(zip(spans(shapes), shapes, strict=True)) for shapes in (outputs, inputs)]
        for part in product(parts[0], *[parts[1]] * (whole.ndim - 1)):
            shape = sum((shape for _, shape in part), ())
            yield whole[tuple(span for span, _ in part)].reshape(shape)[()]

    def assembler(self, tree: Structure, count: int) -> Assemble:
        """How a flat list of blocks becomes the tree that the operator would return."""
        outer = self.chosen.finisher(tree, count)
        if self.order == 1:
            return lambda blocks: outer(list(blocks))
        inner = self.chosen.finisher(LEAF, 1)
        width = len(self.wrt)

        def assemble(blocks: Sequence[Any]) -> Any:
            starts = range(0, len(blocks), width)
            return outer([inner(list(blocks[k : k + width])) for k in starts])

        return assemble


def _need_outputs(outputs: Sequence[Any]) -> None:
    """Raise where a function returned no arrays at all."""
    if not outputs:
        raise ArgumentError(
            "the function returned no numbers, so there is nothing to differentiate",
            "return the value that is to be differentiated",
        )


def places(shapes: Iterable[tuple[int, ...]]) -> list[Place]:
    """Where the numbers of arrays of these shapes stand.

    >>> places([(2,), ()])
    [(0, (0,)), (0, (1,)), (1, ())]
    """
    return [(k, index) for k, shape in enumerate(shapes) for index in np.ndindex(shape)]


def elements(name: str, shape: tuple[int, ...]) -> list[str]:
    """The name of every number of an array, such as ``x[0]``."""
    return [name + "".join(f"[{k}]" for k in index) for index in np.ndindex(shape)]


def numbers(tree: Any) -> Array:
    """All numbers of a tree, in order.

    >>> numbers({"W": np.array([[1, 2]]), "b": 3.0})
    array([1., 2., 3.])
    """
    leaves = [np.asarray(leaf, np.float64).ravel() for leaf in flatten(tree)[0]]
    return np.concatenate([np.zeros(0), *leaves])


def spans(shapes: Sequence[tuple[int, ...]]) -> list[slice]:
    """Where blocks of these shapes lie in one vector.

    >>> spans([(2, 3), ()])
    [slice(0, 6, None), slice(6, 7, None)]
    """
    stops = [0, *accumulate(map(math.prod, shapes))]
    return [slice(*pair) for pair in pairwise(stops)]


def floats_at(graph: Graph, nodes: Sequence[Expr], arrays: Sequence[Any]) -> list[Any]:
    """Nodes that are made of a graph's inputs, in floats at a point."""
    return evaluate(nodes, dict(zip(graph.inputs, map(np.asarray, arrays), strict=True)))


def float_arguments(args: tuple[Any, ...]) -> Argnums:
    """All arguments that hold floats: a number for one, a tuple for several.

    >>> float_arguments((1.0, 2, np.zeros(3)))
    (0, 2)
    """
    kinds = [{np.asarray(leaf).dtype.kind for leaf in flatten(arg)[0]} for arg in args]
    found = [i for i, kind in enumerate(kinds) if kind == {"f"}]
    if not found:
        raise ArgumentError(
            "no argument holds floats, so there is nothing to differentiate", "pass 2.0, not 2"
        )
    return found[0] if len(found) == 1 else tuple(found)
