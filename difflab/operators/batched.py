"""Functions of one point as functions of many, along a leading axis.

What flows: arrays of points come in; f is traced at one of them, its graph is read in batches, and
one program computes all. The invariant: entry k of the result is f of entry k. Where f takes
branches, or cannot be traced, it is called point by point.

>>> batch(lambda x: np.sum(x) ** 2)(np.array([[1.0, 2.0], [3.0, 4.0]]))
array([ 9., 49.])
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from difflab.errors import ArgumentError, ShapeError, TraceError, UnsupportedError
from difflab.ir.build import lift
from difflab.ir.expr import Expr, Graph, substitute
from difflab.ir.tree import (
    Signature,
    Spec,
    flatten,
    leaf_count,
    read_arguments,
    unflatten,
)
from difflab.operators.operators import Compiled
from difflab.operators.programs import SIGNATURES, Function
from difflab.readings import batches
from difflab.tracing.arrays import wrapped
from difflab.tracing.captures import Watch
from difflab.tracing.trace import trace_signature, trace_watched

BatchAxes = int | None | Sequence[int | None]


class _Branches(Exception):
    """The function asks for values, so that each point may take its own way."""


class Batched(Compiled):
    """A function of many points; those that branch are computed one by one, each program once."""

    def __init__(self, f: Function, axes: BatchAxes = 0, engine: str = "auto") -> None:
        super().__init__(f, engine)
        self.axes = axes
        self.single = Compiled(f, engine)
        self._branching: set[Signature] = set()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The results at all points, along the leading axis."""
        axes = axes_of(self.axes, len(args))
        moved, size = leading(args, axes)
        signature, arrays = read_arguments(moved, kwargs)
        traced = any(type(array) is Expr for array in arrays)
        if signature not in self._branching:
            try:
                return super().__call__(*moved, **kwargs)
            except (_Branches, TraceError, UnsupportedError):
                if traced:
                    raise UnsupportedError(
                        f"{self.__name__} branches, or cannot be traced, and so is no batch inside"
                        " another derivative",
                        "write the branch as np.where",
                    ) from None
                if len(self._branching) >= SIGNATURES:
                    self._branching.clear()
                self._branching.add(signature)
        return self._one_by_one([point(moved, axes, k) for k in range(size)], kwargs)

    def _one_by_one(self, points: Sequence[tuple[Any, ...]], kwargs: dict[str, Any]) -> Any:
        rows, kinds = [], set()
        for args in points:
            try:
                result = self.single(*args, **kwargs)
            except (TraceError, UnsupportedError):
                result = self.f(*args, **kwargs)
            leaves, tree = flatten(result)
            rows.append(leaves)
            kinds.add((tree, *map(np.shape, leaves)))
        if len(kinds) > 1:
            raise ShapeError(
                f"{self.__name__} returns arrays of other shapes at other points",
                "call it by itself",
            )
        return unflatten(tree, [np.stack(column) for column in zip(*rows, strict=True)])

    # -- one program for all -----------------------------------------------------------------------

    def _of_one(self, signature: Signature) -> tuple[Signature, list[bool]]:
        """The signature of one point, and which of its arrays are batches."""
        positional, keyword = signature.structure.children
        axes = axes_of(self.axes, len(positional.children))
        leaves, flags, rest = [], [], iter(signature.leaves)
        for child, axis in zip((*positional.children, keyword), (*axes, None), strict=True):
            for _ in range(leaf_count(child)):
                leaf = next(rest)
                if isinstance(leaf, Spec):
                    flags.append(axis is not None)
                    if axis is not None:
                        leaf = Spec(leaf.shape[1:], leaf.dtype)
                leaves.append(leaf)
        return signature._replace(leaves=tuple(leaves)), flags

    def _recorded(self, signature: Signature, arrays: list[Any]) -> tuple[Graph, Watch]:
        single, flags = self._of_one(signature)
        first = [x[0] if flag else x for x, flag in zip(arrays, flags, strict=True)]
        graph, watch = trace_watched(self.f, single, first)
        return self._read(graph, arrays, flags), watch

    def _inlined(self, signature: Signature, arrays: list[Any]) -> Any:
        single, flags = self._of_one(signature)
        nodes = list(map(lift, arrays))
        first = [x[0] if flag else x for x, flag in zip(nodes, flags, strict=True)]
        many = self._read(trace_signature(self.f, single, first), nodes, flags)
        actual = dict(zip(many.inputs, nodes, strict=True))
        return unflatten(many.output_tree, wrapped(substitute(many.outputs, actual)))

    def _read(self, graph: Graph, arrays: Sequence[Any], flags: Sequence[bool]) -> Graph:
        """The graph for all points."""
        if graph.guards:
            raise _Branches
        size = next(x.shape[0] for x, flag in zip(arrays, flags, strict=True) if flag)
        return batches.batch(graph, size, flags)


def batch(f: Function, axes: BatchAxes = 0, *, engine: str = "auto") -> Batched:
    """A function of one point as a function of many.

    Parameters
    ----------
    f
        A NumPy function of arrays, or trees of them.
    axes
        Along which axis of its arguments the points lie; None: the argument is the same for all. A
        sequence gives each argument its own.
    engine
        As of `derivative`.

    Returns
    -------
    callable
        Takes arrays with that axis more, and returns results stacked along a leading axis. One
        program computes them all; where f branches, or cannot be traced, it is called point by
        point. It nests with derivatives: ``batch(gradient(f))``, ``jacobian(batch(f))``.

    Raises
    ------
    ShapeError
        If batches are of different numbers of points, or of none.

    Examples
    --------
    >>> from difflab.operators import gradient
    >>> points = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> batch(gradient(lambda x: x[0] * x[1]))(points)
    array([[2., 1.],
           [4., 3.]])
    >>> batch(lambda w, x: w @ x, axes=(None, 1))(np.ones(2), points)
    array([4., 6.])
    """
    return Batched(f, axes, engine)


# -- points ----------------------------------------------------------------------------------------


def axes_of(axes: BatchAxes, count: int) -> list[int | None]:
    """An axis, or None, for each of so many arguments."""
    every = [axes] * count if axes is None or isinstance(axes, int) else list(axes)
    if len(every) != count or any(not (a is None or type(a) is int) for a in every):
        raise ArgumentError(
            f"{axes!r} does not give an axis, or None, for each of {count} arguments",
            "write (0, None), for example",
        )
    if all(axis is None for axis in every):
        raise ArgumentError("no argument is a batch", "give one of them an axis, as 0")
    return every


def leading(args: tuple[Any, ...], axes: Sequence[int | None]) -> tuple[tuple[Any, ...], int]:
    """Arguments with their points along the leading axes, and how many points there are.

    >>> leading((np.zeros((2, 3)), 1.0), [1, None])[1]
    3
    """
    sizes: dict[int, None] = {}
    found = []
    for arg, axis in zip(args, axes, strict=True):
        if axis is None:
            found.append(arg)
            continue
        leaves, structure = flatten(arg)
        for k, leaf in enumerate(leaves):
            array = leaf if hasattr(leaf, "shape") else np.asarray(leaf)
            if not -array.ndim <= axis < array.ndim:
                raise ShapeError(
                    f"an array of shape {array.shape} has no axis {axis} for the points",
                    "stack the points along a leading axis, or name another one",
                )
            leaves[k] = array if axis == 0 else np.moveaxis(array, axis, 0)
            sizes[leaves[k].shape[0]] = None
        found.append(unflatten(structure, leaves))
    if len(sizes) != 1:
        raise ShapeError(f"batches of {' and '.join(map(str, sizes))} points", "give as many")
    (size,) = sizes
    if not size:
        raise ShapeError("a batch of no points", "give at least one")
    return tuple(found), size


def point(args: tuple[Any, ...], axes: Sequence[int | None], k: int) -> tuple[Any, ...]:
    """The arguments at one point of a batch."""
    found = []
    for arg, axis in zip(args, axes, strict=True):
        leaves, structure = flatten(arg)
        found.append(arg if axis is None else unflatten(structure, [x[k] for x in leaves]))
    return tuple(found)
