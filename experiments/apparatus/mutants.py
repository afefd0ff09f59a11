"""Wrong gradients, generated: one mistake in a gradient that is right, certified to be a mistake.

What flows: a right gradient goes in, candidates come out, each with the kind of its mistake and the
relative change that mpmath certifies. Mistakes are made in two places: on one edge of the reverse
sweep over the traced program (a wrong rule), or on a written gradient as a whole (a wrong line).
The invariant: a mutant differs from the true derivative by more than `LEAST` relative in a
component, as mathematics and not by rounding; what does not is dropped, and counted.

Everything here is a function of arrays: arguments that are trees are flattened before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any

import mpmath
import numpy as np
from mpmath import mp, mpf
from numpy.typing import NDArray

from apparatus.independent import FORMULA_DIGITS, Slopes, Uncertified, formula
from apparatus.mpmath_values import Unread
from difflab.accuracy.subject import numbers
from difflab.errors import DifflabError
from difflab.ir.build import reshaped
from difflab.ir.expr import Expr, Graph, constant, substitute
from difflab.ir.row import TABLE, Partials, Transpose
from difflab.ir.tree import LEAF, Structure
from difflab.readings.cotangents import pullback, sweep
from difflab.readings.tangents import zeros

LEAST = {8: 1e-9, 4: 5e-7}
"""A mutant counts from this relative change of a component, by the size of a float in bytes:
rounding a constant of the formula to float32 changes it by 6e-8, and is no mistake."""
SMALLEST = mpf(2) ** -1075  # half of the smallest float
Gradient = Callable[..., Any]
SIZES = {f"relative {size}": float(size) for size in ("1e-2", "1e-4", "1e-6", "1e-8")}
FAMILIES: Mapping[str, tuple[str, ...]] = {
    "sign": ("sign", "sign of a component"),
    "factor": ("factor 2", "factor 1/2", "factor n"),
    "missing": ("edge dropped", "component zero", "term missing"),
    "wrong index": ("shifted", "swapped operands", "components swapped", "rolled", "transposed",
                    "by another argument"),
    "wrong argument": ("rule at the result", "stale"),
    **{error.removeprefix("relative "): (error,) for error in SIZES},
}  # fmt: skip
"""What is mistaken, in groups of a kind."""
FAMILY = {error: family for family, errors in FAMILIES.items() for error in errors}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A gradient to be judged: what is wrong with it, and where (empty for a right one); how far
    each component is from the truth, and which are certainly wrong.
    """

    label: str
    gradient: Gradient
    error: str = ""
    change: float = 0.0
    off: NDArray[np.float64] | None = None
    wrong: NDArray[np.bool_] | None = None


# Certification ------------------------------------------------------------------------------------


def difference(
    gradient: Gradient, args: Sequence[Any], true: Slopes
) -> tuple[float, NDArray[np.float64] | None, NDArray[np.bool_] | None]:
    """How far a gradient's formula is from the truth: relative, in its worst component, and each;
    and which components are wrong.

    0.0 where it is within `LEAST` of it, NaN where mpmath cannot tell; a component that should be
    zero is measured against the largest.
    """
    try:
        found = formula(gradient, args)
    except (Uncertified, Unread, DifflabError, OverflowError):
        found = []
    if not found or len(found) != len(true.balls):
        return float("nan"), None, None
    with mp.workdps(FORMULA_DIGITS[0]):
        off = [abs(a - t) for a, t in zip(found, true.balls, strict=True)]
        largest = max(abs(t) for t in true.balls)
        sizes = [abs(t) or largest for t in true.balls]
        each = [_relative(o, s, LEAST[true.least]) for o, s in zip(off, sizes, strict=True)]
    size = max((x for x in each if x > 0), default=sum(each))  # 0, or NaN
    return size, np.array([float(o) for o in off]), np.array(each) > 0


def _relative(off: Any, size: Any, least: float) -> float:
    if mpmath.isnan(off):
        return float("nan")
    if off < SMALLEST or off <= least * size:
        return 0.0
    return float(off / size) if size else float("inf")


def change(gradient: Gradient, args: Sequence[Any], true: Slopes) -> float:
    """How far a gradient's formula is from the truth, relative, in its worst component."""
    return difference(gradient, args, true)[0]


def finite(f: Callable[..., Any], args: Sequence[Any]) -> bool:
    """Whether a function, or a gradient, has finite numbers at a point."""
    with np.errstate(all="ignore"):
        return bool(np.all(np.isfinite(numbers(f(*args)))))


def certified(
    attempts: Iterator[Candidate], args: Sequence[Any], true: Slopes, count: int
) -> tuple[list[Candidate], int]:
    """The first attempts that are mutants, and how many on the way are none, or not certainly."""
    mutants, tried = [], set()
    for attempt in attempts:
        if len(mutants) == count:
            break
        if (attempt.error, attempt.label) in tried:
            continue
        tried.add((attempt.error, attempt.label))
        usable = finite(attempt.gradient, args)
        size, off, wrong = difference(attempt.gradient, args, true) if usable else (0, None, None)
        if size > 0:
            mutants.append(replace(attempt, change=size, off=off, wrong=wrong))
    return mutants, len(tried) - len(mutants)


# The reverse sweep, with a mistake on one edge ----------------------------------------------------


def reverse(graph: Graph, planted: Mapping[Expr, Expr] | None = None) -> Graph:
    """The gradient (or Jacobian) by reverse mode; mistakes are planted in place of nodes.

    `planted` maps a node to one of the same value whose rule is wrong. The value is the old one,
    so the old node returns to the gradient after the sweep, and nothing planted is left in it.
    """
    planted = planted or {}
    outputs = substitute(graph.outputs, planted)
    blocks = [block for out in outputs for block in _blocks(out, graph.inputs)]
    back = {wrong: node for node, wrong in planted.items()}
    edges = [x for wrong in back for x in wrong.operands if x.primitive.name == EDGE]
    back |= {x: x.operands[0] for x in edges}
    tree = LEAF if len(blocks) == 1 else Structure(tuple, (), (LEAF,) * len(blocks))
    return Graph(graph.inputs, tuple(substitute(blocks, back)), output_tree=tree)


def _blocks(out: Expr, inputs: Sequence[Expr]) -> list[Expr]:
    rows = []
    for unit in np.eye(out.size, dtype=out.dtype):
        found = pullback([out], [constant(unit.reshape(out.shape))], inputs)
        rows.append([zeros(x) if ct is None else ct for ct, x in zip(found, inputs, strict=True)])
    if not out.shape:
        return rows[0]
    columns: Any = [np.stack(column) for column in zip(*rows, strict=True)]
    return [reshaped(c, out.shape + x.shape) for c, x in zip(columns, inputs, strict=True)]


EDGE = "edge"


def _edge(alter: Callable[..., Any], *operands: Expr) -> Expr:
    """A node with the value of its first operand that alters the cotangent on its way back."""
    row = replace(TABLE["negative"], name=EDGE, derivative=Transpose(alter))
    return Expr(row, operands, ())


@dataclass(frozen=True, slots=True)
class Site:
    """An operand of a node, along which a cotangent flows."""

    node: Expr
    operand: int
    number: int

    def __str__(self) -> str:
        return f"{self.node.primitive.name} {self.number}, operand {self.operand}"


def sites(graph: Graph) -> list[Site]:
    """Every edge that a cotangent flows along, from the outputs back."""
    ones = [constant(np.ones(out.shape, out.dtype)) for out in graph.outputs]
    numbers = {node: number for number, node in enumerate(graph.operations)}
    return [Site(node, operand, numbers[node])
            for node, _, parts in sweep(graph.outputs, ones, graph.inputs)
            for operand, part in enumerate(parts) if part is not None]  # fmt: skip


EDGE_ERRORS: Mapping[str, Callable[[Any], Any]] = {
    "sign": lambda ct: -ct, "factor 2": lambda ct: 2.0 * ct, "factor 1/2": lambda ct: 0.5 * ct,
    "edge dropped": lambda ct: 0.0 * ct,
    "shifted": lambda ct: np.roll(ct.reshape(-1), 1).reshape(ct.shape),
    **{error: (lambda ct, size=size: ct * (1.0 + size)) for error, size in SIZES.items()},
}  # fmt: skip
"""What can become of a cotangent on its way along an edge."""
RULE_ERRORS = (*EDGE_ERRORS, "swapped operands", "rule at the result")


def planted(site: Site, error: str) -> Expr | None:
    """The site's node with a mistake on the edge, or None where that mistake cannot be made."""
    node, operands = site.node, list(site.node.operands)
    x = operands[site.operand]
    if error == "rule at the result":
        return _at_the_result(node)
    if error == "swapped operands":
        alike = [k for k, y in enumerate(operands)
                 if y is not x and (y.shape, y.dtype) == (x.shape, x.dtype)]  # fmt: skip
        if not alike:
            return None
        other = operands[alike[0]]
        operands[site.operand] = _edge(lambda ct, a, b: (None, ct), x, other)
        operands[alike[0]] = _edge(lambda ct, a, b: (None, ct), other, x)
    elif error == "shifted" and x.size == 1:
        return None
    else:
        operands[site.operand] = _edge(lambda ct, x: (EDGE_ERRORS[error](ct),), x)
    return Expr(node.primitive, tuple(operands), node.params)


def _at_the_result(node: Expr) -> Expr | None:
    """The node with its rule read at y instead of x: tanh'(y) for tanh'(x)."""
    derivative = node.primitive.derivative
    if not isinstance(derivative, Partials) or len(node.operands) != 1:
        return None
    rule = derivative.rule
    wrong = Partials(lambda y, x, **params: rule(y, y, **params))
    return Expr(replace(node.primitive, derivative=wrong), node.operands, node.params)


def of_the_rules(graph: Graph, rng: np.random.Generator) -> Iterator[Candidate]:
    """Attempts at mutants of the reverse sweep: each kind of mistake in turn, on edges drawn."""
    places = sites(graph)
    if not places:
        return
    for _ in range(3):
        for error in rng.permutation(RULE_ERRORS):
            site = places[int(rng.integers(len(places)))]
            try:
                wrong = planted(site, error)
            except DifflabError:  # the rule has no meaning at the result
                continue
            if wrong is not None:
                gradient = reverse(graph, {site.node: wrong})
                yield Candidate(str(site), gradient, str(error))


# A written gradient, with a mistake in its result -------------------------------------------------


def parts_of(result: Any) -> tuple[Any, ...]:
    """A gradient by one argument or several, as a tuple."""
    return result if isinstance(result, tuple) else (result,)


def _altered(gradient: Gradient, alter: Callable[[Sequence[Any]], Sequence[Any]]) -> Gradient:
    def wrong(*args: Any) -> Any:
        parts = alter(parts_of(gradient(*args)))
        return tuple(parts) if len(parts) > 1 else parts[0]

    return wrong


def with_part(gradient: Gradient, place: int, alter: Callable[[Any], Any]) -> Gradient:
    """A gradient whose part by one argument is altered."""
    return _altered(gradient, lambda p: [*p[:place], alter(p[place]), *p[place + 1 :]])


def without_term(terms: Callable[..., list[Any]], number: int) -> Gradient:
    return lambda *args: total([term for k, term in enumerate(terms(*args)) if k != number])


def total(terms: Sequence[Any]) -> Any:
    """The sum of terms, each an array or a tuple of them, one for each argument."""
    columns = zip(*map(parts_of, terms), strict=True)
    parts = [sum(column[1:], start=column[0]) for column in columns]
    return tuple(parts) if len(parts) > 1 else parts[0]


def of_a_result(
    gradient: Gradient, args: Sequence[Any], rng: np.random.Generator,
    terms: Callable[..., list[Any]] | None = None,
) -> Iterator[Candidate]:  # fmt: skip
    """Attempts at mutants of a gradient as a whole, in an order that is drawn.

    A stale gradient is one at a point a step away: what a cache that was not emptied gives.
    """
    values = [np.asarray(part) for part in parts_of(gradient(*args))]
    place = int(rng.integers(len(values)))
    attempts = [(error, f"{where}by argument {place}", with_part(gradient, place, alter))
                for error, where, alter in _of_a_part(values[place], rng)]  # fmt: skip
    attempts += [("stale", "", lambda *args: gradient(*[x * 1.125 for x in args]))]
    attempts += [("by another argument", f"{left} and {right}",
                  _altered(gradient, itemgetter(*_exchanged(len(values), left, right))))
                 for left in range(len(values)) for right in range(left)
                 if values[left].shape == values[right].shape]  # fmt: skip
    if terms is not None and (count := len(terms(*args))) > 1:
        attempts += [("term missing", str(k), without_term(terms, k)) for k in range(count)]
    for k in rng.permutation(len(attempts)):
        error, where, wrong = attempts[k]
        yield Candidate(where, wrong, error)


def _of_a_part(
    value: Any, rng: np.random.Generator
) -> Iterator[tuple[str, str, Callable[[Any], Any]]]:
    """Each mistake in the part of one argument, in a component that is drawn, or in all."""
    component, size = int(rng.integers(value.size)), value.size
    of_one: dict[str, float] = {"sign of a component": -1.0} if size > 1 else {}
    of_one |= {"component zero": 0.0} | {error: 1.0 + by for error, by in SIZES.items()}
    of_all = {"sign": -1.0, "factor 2": 2.0, "factor 1/2": 0.5, "factor n": float(size)}
    for error, factor in of_one.items():
        mask = np.ones(value.shape, value.dtype)
        mask.reshape(-1)[component] = factor
        yield error, f"component {component} ", _times(mask)
    for error, factor in of_all.items():
        yield error, "", _times(factor)
    if size > 1:
        other = (component + 1 + int(rng.integers(size - 1))) % size
        order = _exchanged(size, component, other)
        yield "components swapped", f"{component} and {other} ", _permuted(order)
        yield "rolled", "", _permuted(np.roll(np.arange(size), 1))
    if value.ndim == 2 and value.shape[0] == value.shape[1]:
        yield "transposed", "", np.transpose


def _exchanged(size: int, left: int, right: int) -> list[int]:
    order = [*range(size)]
    order[left], order[right] = right, left
    return order


_times = lambda factor: lambda part: part * factor
_permuted = lambda order: lambda part: part.reshape(-1)[order].reshape(part.shape)
