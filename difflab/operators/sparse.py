"""Sparse Jacobians and Hessians: the entries that may not be zero, by few sweeps.

What flows: a call's arguments go in as with any operator, and a ``scipy.sparse.csr_array`` comes
out. The structure is read from the graph of the function, so that it is certain: an entry that is
left out is zero at every point that takes the same way through the function's branches. The
invariants: an array of shape ``(output.size, input.size)``, rows and columns in the order of the
elements; and every result has the structure's entries, also where one happens to be zero.

>>> print(sparse_jacobian(lambda x: x[1:] * x[:-1])(np.array([1.0, 2.0, 3.0])).toarray())
[[2. 1. 0.]
 [0. 3. 2.]]
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from difflab.errors import ArgumentError, ShapeError, UnsupportedError, missing
from difflab.ir.expr import Graph
from difflab.ir.protocols import TracedArray
from difflab.ir.tree import Signature
from difflab.methods import Derivation, Method, method_of
from difflab.methods.compressed import Compressed
from difflab.operators.arguments import Argnums, Finish
from difflab.operators.operators import Gradient, Operator
from difflab.operators.programs import Function
from difflab.tracing.captures import Watch
from difflab.tracing.trace import trace_watched


class SparseJacobian(Operator):
    """The Jacobian of one array by one array, as a sparse matrix."""

    def __init__(
        self, f: Function, argnums: Argnums, method: str | Method | None, engine: str
    ) -> None:
        super().__init__(f, argnums, method, engine)
        self.ways = (True, False) if method is None else _ways(self.method)

    def _recorded(self, signature: Signature, arrays: list[Any]) -> tuple[Graph, Watch]:
        """The graph with every array that f reads held fixed: its zeros are structure."""
        return trace_watched(self.f, signature, arrays, live=False)

    def _derived(self, signature: Signature, graph: Graph) -> tuple[Derivation, Finish]:
        by = self._chosen(signature)
        if len(by.positions) != 1 or len(graph.outputs) != 1:
            raise ShapeError(
                f"a sparse derivative is of one array by one, but {self.__name__} returned"
                f" {len(graph.outputs)}, by {len(by.positions)}",
                "join them into one array, for example with np.concatenate",
            )
        start = time.perf_counter()
        compressed = Compressed.of(graph, by.positions[0], self.ways)
        structure = time.perf_counter() - start
        derivation = compressed.derive()
        derivation.seconds["structure"] = structure
        assert derivation.graph is not None
        derivation.drop(1)
        pattern = compressed.pattern
        shape = pattern.height, pattern.width
        index = np.int32 if max(*shape, pattern.columns.size) < 2**31 else np.int64
        columns, starts = pattern.columns.astype(index), pattern.starts.astype(index)
        csr_array = _csr_array()

        def finish(found: list[Any]) -> Any:
            (data,) = found
            if isinstance(data, TracedArray):
                raise UnsupportedError(
                    "a sparse matrix cannot be traced", "use jacobian, jvp or vjp inside f"
                )
            return csr_array((data, columns.copy(), starts.copy()), shape=shape)

        return derivation, finish


def _ways(method: Method) -> tuple[bool, ...]:
    if method.push is None and method.pull is None:
        raise ArgumentError(
            f"{method.name} has no sweeps that a sparse derivative could share",
            'use method="forward" or method="reverse"',
        )
    return (method.push is not None,)


def _csr_array() -> Any:
    try:
        from scipy.sparse import csr_array
    except ImportError:
        raise missing("scipy", "sparse") from None
    return csr_array


def sparse_jacobian(
    f: Function, *, argnums: Argnums = 0, method: str | Method | None = None, engine: str = "auto"
) -> SparseJacobian:
    """The Jacobian of a function with few partial derivatives an element, as a sparse matrix.

    One sweep finds all columns (backward: rows) that share no row (column), so that a band of
    ``k`` diagonals costs ``k`` sweeps, whatever its length. Needs SciPy.

    Parameters
    ----------
    f
        A plain NumPy function of arrays that returns one array.
    argnums
        Which positional argument: one array.
    method
        ``"forward"``, ``"reverse"``, or None: what takes fewest sweeps; a few full rows (columns)
        may go the other way than the rest.
    engine
        As of `derivative`.

    Returns
    -------
    callable
        Takes the arguments of f; returns a ``scipy.sparse.csr_array`` of shape ``(output.size,
        input.size)``. Its ``prepare`` tells the number of sweeps: ``.counts["colours"]``.

    Raises
    ------
    ArgumentError
        If the argument is no array of floats, or the method neither forward nor reverse.
    ShapeError
        If there is more than one array to differentiate, or by.
    BudgetError
        If so much depends on so much that the result would not be sparse.

    Notes
    -----
    The structure may have entries that are always zero: a comparison is not asked, and what mixes
    elements along an axis is taken as dense along it. A product with a constant zero counts as
    zero, also where the other factor is infinite. An entry that is infinite or NaN leaves the
    others as they are, unless the sweeps that keep it apart, which go forward alone, would be too
    many.

    Examples
    --------
    >>> slopes = sparse_jacobian(lambda x: np.diff(x**2))
    >>> print(slopes(np.array([1.0, 2.0, 3.0])).toarray())
    [[-2.  4.  0.]
     [ 0. -4.  6.]]
    >>> slopes.prepare(np.ones(1000)).counts["colours"]
    2
    """
    return SparseJacobian(f, argnums, method, engine)


def sparse_hessian(
    f: Function, *, argnums: Argnums = 0, method: str | Method = "reverse", engine: str = "auto"
) -> SparseJacobian:
    """The Hessian of a scalar-valued function as a sparse matrix: the sparse Jacobian of the
    gradient, which is by the given method, ``"reverse"`` or ``"forward"``.

    Its shape is ``(x.size, x.size)``; for more, see `sparse_jacobian`.

    Examples
    --------
    >>> print(sparse_hessian(lambda x: np.sum(x[1:] * x[:-1] ** 2))(np.ones(3)).toarray())
    [[2. 2. 0.]
     [2. 2. 2.]
     [0. 2. 0.]]
    """
    first = method_of(method)
    _ways(first)
    return SparseJacobian(Gradient(f, argnums, first, engine), argnums, None, engine)
