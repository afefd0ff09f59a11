"""The symbolic way: graph -> SymPy expressions -> diff -> simplify and cse, if asked -> graph.

What flows: scalars and arrays of expressions; arrays are differentiated element by element. The
invariant: the derivative comes back as a graph over the same inputs, run by the same engine as
every other method's, so that what is compared is the way to differentiate. Expressions swell; a
budget stops them with an error that says how far the derivation got.

>>> from difflab.tracing.trace import trace
>>> derivation = Symbolic().derive(trace(lambda x: x**3, 2.0), [0])
>>> derivation.graph(2.0)
[np.float64(8.0), np.float64(12.0)]
>>> derivation.counts["derivative tree"]
2
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import sympy

from difflab.errors import BudgetError, DifflabError, UnsupportedError
from difflab.ir.build import broadcast, lift, reshaped
from difflab.ir.expr import Expr, Graph, constant
from difflab.methods.automatic import with_blocks
from difflab.methods.derivation import Derivation, Method
from difflab.readings.symbols import compute, symbols_for, to_sympy, with_shared_ties
from difflab.spellings.indexing import getitem
from difflab.table.identities import simplify as simplified


@dataclass(frozen=True, slots=True)
class Symbolic(Method):
    """Differentiation by SymPy.

    Parameters
    ----------
    cse
        Eliminate common subexpressions jointly over values and derivatives.
    simplify
        Run `sympy.simplify` on each derivative first (slow, and it may lose digits).
    seconds, operations
        The budget: elapsed time, and operations of one expression counted as a tree.
    """

    cse: bool = True
    simplify: bool = False
    seconds: float = 60.0
    operations: int = 200_000
    name: str = "symbolic"
    exact: bool = True
    follows_arrays: ClassVar[bool] = False  # SymPy takes an array's numbers as they are

    def derive(self, graph: Graph, wrt: Sequence[int]) -> Derivation:
        """Values and blocks by SymPy; `BudgetError` where the expressions outgrow the budget."""
        try:
            return self._derived(graph, wrt)
        except RecursionError:
            raise BudgetError(
                "SymPy walks expressions by recursion, and these are nested more deeply than"
                f" Python's limit of {sys.getrecursionlimit()} calls allows",
                "use method='reverse', which does not recurse",
            ) from None
        except DifflabError:
            raise
        except Exception as error:  # SymPy's own faults, of any type
            what = f"SymPy cannot do this: {type(error).__name__}: {error}"
            raise UnsupportedError(what, "use method='reverse'") from error

    def _derived(self, graph: Graph, wrt: Sequence[int]) -> Derivation:
        derivation = Derivation(None)
        budget = _Budget(self.seconds, self.operations)
        with derivation.timed("to sympy"):
            symbols = symbols_for(graph)
            values = [np.asarray(v, object).ravel() for v in to_sympy(graph, symbols)]
            for value in values:
                for expression in value:
                    budget.admit(expression, "the function")
        with derivation.timed("derive"):
            wanted = [symbols[i].ravel() for i in wrt]
            total = sum(len(value) for value in values) * sum(len(part) for part in wanted)
            found: list[Any] = []
            for value in values:
                for part in wanted:
                    for expression in map(with_shared_ties, value):
                        for symbol in part:
                            budget.check(f"{len(found)} of {total} derivatives")
                            found.append(sympy.diff(expression, symbol))
                            budget.admit(found[-1], f"derivative {len(found)} of {total}")
        if self.simplify:
            with derivation.timed("simplify"):
                for i, expression in enumerate(found):
                    budget.check(f"simplified {i} of {total} derivatives")
                    found[i] = sympy.simplify(expression)
        functions = [expression for value in values for expression in value]
        derivation.counts |= {
            "function tree": sum(map(tree_operations, functions)),
            "derivative tree": sum(map(tree_operations, found)),
        }
        with derivation.timed("generate"):
            elements = self._nodes(graph, symbols, [*functions, *found])
            derivation.graph = simplified(_assembled(graph, wrt, elements))
        derivation.counts["graph"] = derivation.graph.operation_count(by="node")
        return derivation

    def again(self) -> Method:
        """Symbolic over symbolic."""
        return self

    def _nodes(self, graph: Graph, symbols: list[Any], expressions: list[Any]) -> list[Expr]:
        bindings: dict[Any, Any] = {}
        for x, names in zip(graph.inputs, symbols, strict=True):
            for index in np.ndindex(x.shape):
                bindings[names[index]] = getitem(x, index) if index else x
        if self.cse:
            replaced, expressions = sympy.cse(expressions)
            for symbol, expression in replaced:
                bindings[symbol] = compute([expression], bindings)[0]
        return [lift(value) for value in compute(expressions, bindings)]


class _Budget:
    """Stops a derivation that takes too long or grows too large."""

    def __init__(self, seconds: float, operations: int) -> None:
        self.deadline, self.seconds, self.operations = (
            time.perf_counter() + seconds,
            seconds,
            operations,
        )

    def check(self, progress: str) -> None:
        if time.perf_counter() > self.deadline:
            raise BudgetError(
                f"the symbolic derivation exceeded its budget of {self.seconds:g} seconds"
                f" after {progress}",
                "use method='reverse', or Symbolic(seconds=...)",
            )

    def admit(self, expression: Any, what: str) -> None:
        count = tree_operations(expression)
        if count > self.operations:
            raise BudgetError(
                f"{what} has {count:,} operations as an expression,"
                f" over the symbolic budget of {self.operations:,}",
                "use method='reverse', or Symbolic(operations=...)",
            )
        self.check(what)


def tree_operations(expression: Any) -> int:
    """The operations of an expression written out as a tree, by a walk over its distinct parts.

    >>> x = sympy.Symbol("x")
    >>> tree_operations(sympy.sin(x) * (1 + x))
    3
    """
    counts: dict[Any, int] = {}
    stack = [expression]
    while stack:
        part = stack[-1]
        missing = [x for x in part.args if x not in counts]
        if missing:
            stack.extend(missing)
            continue
        stack.pop()
        own = 0 if not part.args else len(part.args) - 1 if part.is_Add or part.is_Mul else 1
        counts[part] = own + sum(counts[x] for x in part.args)
    return counts[expression]


def _assembled(graph: Graph, wrt: Sequence[int], elements: list[Expr]) -> Graph:
    """Elements in order put into arrays: values first, then blocks."""
    shapes = [out.shape for out in graph.outputs]
    shapes += [out.shape + graph.inputs[i].shape for out in graph.outputs for i in wrt]
    dtypes = [out.dtype for out in graph.outputs]
    dtypes += [graph.inputs[i].dtype for _ in graph.outputs for i in wrt]
    rest = iter(elements)
    arrays = []
    for shape, dtype in zip(shapes, dtypes, strict=True):
        size = int(np.prod(shape, dtype=np.int64))
        parts: Any = [reshaped(lift(next(rest)).astype(dtype), (1,)) for _ in range(size)]
        joined: Any = np.concatenate(parts) if parts else broadcast(constant(0.0, dtype), (0,))
        arrays.append(reshaped(joined, shape))
    return with_blocks(
        graph.with_outputs(arrays[: len(graph.outputs)]), arrays[len(graph.outputs) :]
    )
