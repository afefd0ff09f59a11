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
from dataclasses import dataclass, field, replace
from typing import Any

import mpmath
import numpy as np
from mpmath import mp, mpf
from numpy.typing import NDArray

from apparatus.independent import FORMULA_DIGITS, Slopes, Uncertified, formula
from apparatus.mpmath_values import Unread
from difflab.errors import DifflabError
from difflab.ir.build import reshaped
from difflab.ir.expr import Expr, Graph, constant, substitute
from difflab.ir.row import TABLE, Partials, Transpose
from difflab.ir.tree import LEAF, Structure, flatten
from difflab.readings.cotangents import pullback, sweep
from difflab.readings.tangents import zeros

LEAST = {8: 1e-9, 4: 5e-7}
"""A mutant counts from this relative change of a component, by the size of a float in bytes.

Rounding a constant of the formula to float32 changes it by 6e-8, and is no mistake.
"""
SMALLEST = mpf(2) ** -1075
"""Half of the smallest float."""
Gradient = Callable[..., Any]

FAMILIES: Mapping[str, tuple[str, ...]] = {
    "sign": ("sign", "sign of a component"),
    "factor": ("factor 2", "factor 1/2", "factor n"),
    "missing": ("edge dropped", "component zero", "term missing"),
    "wrong index": (
        "shifted",
        "swapped operands",
        "components swapped",
        "rolled",
        "transposed",
        "by another argument",
    ),
    "wrong argument": ("rule at the result", "stale"),
    "1e-2": ("relative 1e-2",),
    "1e-4": ("relative 1e-4",),
    "1e-6": ("relative 1e-6",),
    "1e-8": ("relative 1e-8",),
}
"""What is mistaken, in groups of a kind."""
FAMILY = {error: family for family, errors in FAMILIES.items() for error in errors}
SIZES = {f"relative {size}": float(size) for size in ("1e-2", "1e-4", "1e-6", "1e-8")}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A gradient to be judged: what is wrong with it, and where (empty for a right one)."""

    label: str
    gradient: Gradient
    error: str = ""
    change: float = 0.0
    off: NDArray[np.float64] | None = None
    """How far each component is from the truth."""
    wrong: NDArray[np.bool_] | None = None
    """Which components are certainly wrong."""


@dataclass(slots=True)
class Set:
    """The mutants of a function at a point, and how many attempts were none, or not certainly."""

    mutants: list[Candidate] = field(default_factory=list)
    equivalent: int = 0
    uncertified: int = 0


# Certification ------------------------------------------------------------------------------------


def float_positions(args: Sequence[Any]) -> Any:
    """All arguments, as `argnums`."""
    return 0 if len(args) == 1 else tuple(range(len(args)))


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
        return float("nan"), None, None
    if len(found) != len(true.balls):
        return float("nan"), None, None
    with mp.workdps(FORMULA_DIGITS[0]):
        pairs = list(zip(found, true.balls, strict=True))
        off = [abs(a - t) for a, t in pairs]
        largest = max(abs(t) for t in true.balls)
        sizes = [abs(t) or largest for t in true.balls]
        each = [_relative(o, s, LEAST[true.least]) for o, s in zip(off, sizes, strict=True)]
    certain = [size for size in each if size > 0]
    size = max(certain) if certain else sum(each)  # 0, or NaN
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


def is_finite(result: Any) -> bool:
    """Whether every number of a gradient is one."""
    return all(bool(np.all(np.isfinite(leaf))) for leaf in flatten(result)[0])


def certified(attempts: Iterator[Candidate], args: Sequence[Any], true: Slopes, count: int) -> Set:
    """The first attempts that are mutants; those on the way that are not are counted."""
    kept = Set()
    tried = set()
    for attempt in attempts:
        if len(kept.mutants) == count:
            break
        if (attempt.error, attempt.label) in tried:
            continue
        tried.add((attempt.error, attempt.label))
        with np.errstate(all="ignore"):
            usable = is_finite(attempt.gradient(*args))
        told = difference(attempt.gradient, args, true) if usable else (0.0, None, None)
        size, off, wrong = told
        if size > 0:
            kept.mutants.append(replace(attempt, change=size, off=off, wrong=wrong))
        elif size == 0:
            kept.equivalent += 1
        else:
            kept.uncertified += 1
    return kept


# The reverse sweep, with a mistake on one edge ----------------------------------------------------


def reverse(graph: Graph, planted: Mapping[Expr, Expr] | None = None) -> Graph:
    """The gradient (or Jacobian) by reverse mode; mistakes are planted in place of nodes.

    `planted` maps a node to one of the same value whose rule is wrong. The value is the old one,
    so the old node returns to the gradient after the sweep, and nothing planted is left in it.
    """
    planted = planted or {}
    outputs = substitute(graph.outputs, planted)
    blocks = [block for out in outputs for block in _blocks(out, graph.inputs)]
    back: dict[Expr, Expr] = {}
    for node, wrong in planted.items():
        back[wrong] = node
        back |= {x: x.operands[0] for x in wrong.operands if x.primitive.name == EDGE}
    many = Structure(tuple, (), (LEAF,) * len(blocks))
    tree = LEAF if len(blocks) == 1 else many
    return Graph(graph.inputs, tuple(substitute(blocks, back)), output_tree=tree)


def _blocks(out: Expr, inputs: Sequence[Expr]) -> list[Expr]:
    rows = []
    for index in np.ndindex(out.shape):
        seed = np.zeros(out.shape, out.dtype)
        seed[index] = 1
        found = pullback([out], [constant(seed)], inputs)
        rows.append([zeros(x) if ct is None else ct for ct, x in zip(found, inputs, strict=True)])
    columns = zip(inputs, zip(*rows, strict=True), strict=True)
    if not out.shape:
        return [column[0] for _, column in columns]
    return [_stacked(column, out.shape + x.shape) for x, column in columns]


def _stacked(rows: Sequence[Expr], shape: tuple[int, ...]) -> Expr:
    joined: Any = np.stack(rows)
    return reshaped(joined, shape)


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

    @property
    def x(self) -> Expr:
        """The operand."""
        return self.node.operands[self.operand]

    def __str__(self) -> str:
        return f"{self.node.primitive.name} {self.number}, operand {self.operand}"


def sites(graph: Graph) -> list[Site]:
    """Every edge that a cotangent flows along, from the outputs back."""
    ones = [constant(np.ones(out.shape, out.dtype)) for out in graph.outputs]
    numbers = {node: number for number, node in enumerate(graph.operations)}
    return [
        Site(node, operand, numbers[node])
        for node, _, parts in sweep(graph.outputs, ones, graph.inputs)
        for operand, part in enumerate(parts)
        if part is not None
    ]


EDGE_ERRORS: Mapping[str, Callable[[Any], Any]] = {
    "sign": lambda ct: -ct,
    "factor 2": lambda ct: 2.0 * ct,
    "factor 1/2": lambda ct: 0.5 * ct,
    "edge dropped": lambda ct: 0.0 * ct,
    "shifted": lambda ct: np.roll(ct.reshape(-1), 1).reshape(ct.shape),
    "relative 1e-2": lambda ct: ct * (1.0 + 1e-2),
    "relative 1e-4": lambda ct: ct * (1.0 + 1e-4),
    "relative 1e-6": lambda ct: ct * (1.0 + 1e-6),
    "relative 1e-8": lambda ct: ct * (1.0 + 1e-8),
}
"""What can become of a cotangent on its way along an edge."""
RULE_ERRORS = (*EDGE_ERRORS, "swapped operands", "rule at the result")


def planted(site: Site, error: str) -> Expr | None:
    """The site's node with a mistake on the edge, or None where that mistake cannot be made."""
    node, operands = site.node, list(site.node.operands)
    if error == "rule at the result":
        return _at_the_result(node)
    if error == "swapped operands":
        other = next((k for k, x in enumerate(operands) if _exchangeable(x, site)), None)
        if other is None:
            return None
        left, right = site.x, operands[other]
        operands[site.operand] = _edge(lambda ct, a, b: (None, ct), left, right)
        operands[other] = _edge(lambda ct, a, b: (None, ct), right, left)
    else:
        if error == "shifted" and site.x.size == 1:
            return None
        alter = EDGE_ERRORS[error]
        operands[site.operand] = _edge(lambda ct, x: (alter(ct),), site.x)
    return Expr(node.primitive, tuple(operands), node.params)


def _exchangeable(x: Expr, site: Site) -> bool:
    """Whether the parts of an operand and of the site's could be mixed up."""
    return x is not site.x and (x.shape, x.dtype) == (site.x.shape, site.x.dtype)


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


def _as_given(parts: Sequence[Any]) -> Any:
    return tuple(parts) if len(parts) > 1 else parts[0]


def with_part(gradient: Gradient, place: int, alter: Callable[[Any], Any]) -> Gradient:
    """A gradient whose part by one argument is altered."""

    def wrong(*args: Any) -> Any:
        parts = list(parts_of(gradient(*args)))
        parts[place] = alter(parts[place])
        return _as_given(parts)

    return wrong


def without_term(terms: Callable[..., list[Any]], number: int) -> Gradient:
    """The sum of a gradient's terms but one."""

    def wrong(*args: Any) -> Any:
        return total([term for k, term in enumerate(terms(*args)) if k != number])

    return wrong


def total(terms: Sequence[Any]) -> Any:
    """The sum of terms, each an array or a tuple of them, one for each argument."""
    columns = zip(*map(parts_of, terms), strict=True)
    return _as_given([sum(column[1:], start=column[0]) for column in columns])


def _elsewhere(gradient: Gradient) -> Gradient:
    """The gradient at a point that is a step away: what a cache that was not emptied gives."""

    def stale(*args: Any) -> Any:
        return gradient(*[x * 1.125 for x in args])

    return stale


def _exchanged(gradient: Gradient, left: int, right: int) -> Gradient:
    def wrong(*args: Any) -> Any:
        parts = list(parts_of(gradient(*args)))
        parts[left], parts[right] = parts[right], parts[left]
        return _as_given(parts)

    return wrong


def _scale(like: Any, component: int, factor: float) -> Callable[[Any], Any]:
    """Multiply one component, in the dtype that the part has."""
    mask = np.ones(np.shape(like), np.asarray(like).dtype)
    mask.reshape(-1)[component] = factor
    return lambda part: part * mask


def of_a_result(
    gradient: Gradient,
    args: Sequence[Any],
    rng: np.random.Generator,
    terms: Callable[..., list[Any]] | None = None,
) -> Iterator[Candidate]:
    """Attempts at mutants of a gradient as a whole, in an order that is drawn."""
    values = [np.asarray(part) for part in parts_of(gradient(*args))]
    attempts = list(_of_parts(gradient, values, rng))
    attempts += [("stale", "", _elsewhere(gradient))]
    for left in range(len(values)):
        for right in range(left):
            if values[left].shape == values[right].shape:
                wrong = _exchanged(gradient, left, right)
                attempts.append(("by another argument", f"{left} and {right}", wrong))
    if terms is not None:
        count = len(terms(*args))
        missing = range(count) if count > 1 else range(0)
        attempts += [("term missing", str(k), without_term(terms, k)) for k in missing]
    for k in rng.permutation(len(attempts)):
        error, where, wrong = attempts[k]
        yield Candidate(where, wrong, error)


def _of_parts(
    gradient: Gradient, values: Sequence[Any], rng: np.random.Generator
) -> Iterator[tuple[str, str, Gradient]]:
    """Each mistake in the part of one argument, which is drawn."""
    place = int(rng.integers(len(values)))
    value = values[place]
    component = int(rng.integers(value.size))
    where = f"component {component} by argument {place}"
    for error, factor in {"sign of a component": -1.0, "component zero": 0.0}.items():
        if value.size > 1 or error != "sign of a component":
            alter = _scale(value, component, factor)
            yield error, where, with_part(gradient, place, alter)
    for error, size in SIZES.items():
        yield error, where, with_part(gradient, place, _scale(value, component, 1.0 + size))
    whole = f"by argument {place}"
    factors = {"sign": -1.0, "factor 2": 2.0, "factor 1/2": 0.5, "factor n": float(value.size)}
    for error, factor in factors.items():
        yield error, whole, with_part(gradient, place, _times(factor))
    if value.size > 1:
        other = (component + 1 + int(rng.integers(value.size - 1))) % value.size
        order = np.arange(value.size)
        order[[component, other]] = other, component
        swap = _permuted(order, value.shape)
        pair = f"{component} and {other} by argument {place}"
        yield "components swapped", pair, with_part(gradient, place, swap)
        roll = _permuted(np.roll(np.arange(value.size), 1), value.shape)
        yield "rolled", whole, with_part(gradient, place, roll)
    if value.ndim == 2 and value.shape[0] == value.shape[1]:
        yield "transposed", whole, with_part(gradient, place, np.transpose)


def _times(factor: float) -> Callable[[Any], Any]:
    return lambda part: part * factor


def _permuted(order: Any, shape: tuple[int, ...]) -> Callable[[Any], Any]:
    return lambda part: part.reshape(-1)[order].reshape(shape)
