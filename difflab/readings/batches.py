"""What flows along the edges is a batch: many values of a node, along a leading axis.

`batch` turns a graph of single values into one of batches (JAX calls it vmap). The invariant: entry
i of a batched output is the output for entry i of the batched inputs. Nodes that no batched input
reaches stay single.

>>> import numpy as np
>>> from difflab.tracing.trace import trace
>>> graph = batch(trace(lambda x, y: np.sum(x * y), np.ones(3), np.ones(3)), 2, [True, False])
>>> graph(np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), np.ones(3))
array([ 6., 15.])
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from difflab.ir.build import broadcast, reshaped
from difflab.ir.expr import Expr, Graph, attributed_to, placeholder, walk
from difflab.ir.row import CONSTANT
from difflab.spellings.indexing import indices


def batch(graph: Graph, size: int, batched: Sequence[bool]) -> Graph:
    """The graph for `size` values at once of the inputs marked in `batched`; all outputs are
    batched.
    """
    new: dict[Expr, Expr] = {}
    many: set[Expr] = set()
    for x, several in zip(graph.inputs, batched, strict=True):
        if several:
            name = str(dict(x.params)["name"])
            new[x] = placeholder((size, *x.shape), x.dtype, name)
            many.add(x)
        else:
            new[x] = x

    def made(node: Expr, operands: list[Expr]) -> Expr:
        batched = [x in many for x in node.operands]
        if not any(batched):
            return node
        many.add(node)
        with attributed_to(node.line):
            return _rule(node, operands, batched, size)

    walk(graph.outputs, new, made)
    outputs = [new[out] if out in many else _repeated(new[out], size) for out in graph.outputs]
    return Graph(tuple(new[x] for x in graph.inputs), tuple(outputs), (), None, graph.output_tree)


def _repeated(x: Expr, size: int) -> Expr:
    return broadcast(reshaped(x, (1, *x.shape)), (size, *x.shape))


def _rule(node: Expr, operands: list[Expr], batched: list[bool], size: int) -> Expr:
    row = node.primitive
    pointwise = row.kind == "pointwise"
    many = [
        x
        if several or (pointwise and x.primitive is CONSTANT and not x.shape)
        else _repeated(x, size)
        for x, several in zip(operands, batched, strict=True)
    ]
    if row.indexed:
        # The batch axis is one more indexed axis, and each entry addresses its own.
        shape = many[1].shape
        own: Any = np.broadcast_to(np.arange(size).reshape(size, *(1,) * (len(shape) - 1)), shape)
        many.insert(1, indices(own))
    params = row.need("batch")(size, **dict(node.params))
    return Expr(row, tuple(many), tuple(params.items()))
