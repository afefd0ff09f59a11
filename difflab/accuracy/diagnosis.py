"""What is wrong with a wrong gradient: the mistakes that people make, recognised.

What flows: the wrong components, with the formula's residual (given less true) known to many
digits, go through a list of matchers, the most telling first; the first that fits says so in words.
A term that is missing, doubled, scaled or of the wrong sign is found in the graph: the residual is
then a multiple of what flows through one edge of the reverse sweep. The invariant: a diagnosis is
given only where it explains *every* wrong component.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any, Final

import numpy as np

from difflab.accuracy.candidate import Candidate
from difflab.accuracy.estimate import estimate
from difflab.accuracy.judge import Component
from difflab.accuracy.subject import Subject, floats_at, numbers, spans
from difflab.ir.expr import Array, Expr, Graph, constant, reachable
from difflab.ir.row import INPUT, Transpose
from difflab.methods.automatic import derivative_blocks
from difflab.readings.cotangents import sweep
from difflab.readings.tangents import pushforward

TOLERANCE: Final = 1e-9
TERM_TOLERANCE: Final = 1e-6
PROJECTIONS: Final = 3
SHOWN: Final = 3
PLAIN: Final = {
    -1.0: "is missing",
    -2.0: "has the wrong sign",
    1.0: "is counted twice, or an extra term equals it",
}
"""What a term was multiplied with to be the residual, from the most telling to the least."""


class Residuals:
    """What the matchers look at: all components, flat, and the blocks' shapes."""

    def __init__(
        self,
        components: Sequence[Component],
        shapes: Sequence[tuple[int, ...]],
        subject: Subject,
        candidate: Candidate,
        graph: Graph | None,
    ) -> None:
        self.components, self.shapes = components, shapes
        self.subject, self.candidate, self.graph = subject, candidate, graph
        figures = [(c.expected, c.residual, c.band) for c in components]
        self.true, self.residual, self.bands = np.array(figures).T
        with np.errstate(all="ignore"):
            self.given = self.true + self.residual
        """What the given formula is without its own rounding."""
        self.wrong = np.array([c.verdict == "wrong" for c in components])

    def close(self, left: Array, right: Array) -> Array:
        """Whether numbers agree as far as they are known."""
        size = np.maximum(np.abs(left), np.abs(right))
        return np.asarray(np.abs(left - right) <= TOLERANCE * size + 8.0 * self.bands)

    def named(self, chosen: Array) -> str:
        """The chosen components in words."""
        names = [c.name for c, yes in zip(self.components, chosen, strict=True) if yes]
        if len(names) > 2 and len(names) == len(self.components):
            return "every component"
        if len(names) <= SHOWN:
            return " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)
        return f"{', '.join(names[:SHOWN])} and {len(names) - SHOWN} more"

    def said(self, chosen: Array, single: str, plural: str = "are") -> str:
        """The chosen components with a verb."""
        count = int(np.sum(chosen))
        one = count == 1 or 2 < count == len(chosen)
        return f"{self.named(chosen)} {single if one else plural}"


def diagnosis(residuals: Residuals) -> str:
    """The mistake in words, or an empty string where none of those known fits."""
    with np.errstate(all="ignore"):
        return next(filter(None, (matcher(residuals) for matcher in MATCHERS)), "")


# -- by the numbers --------------------------------------------------------------------------------


def _not_a_number(e: Residuals) -> str:
    bad = np.array([c.verdict == "wrong" and not np.isfinite(c.given) for c in e.components])
    return f"{e.said(bad, 'is')} not finite" if bad.any() else ""


def _outside_a_kink(e: Residuals) -> str:
    for c in e.components:
        if c.verdict == "wrong" and not np.isnan(c.left) and c.left != c.right:
            sides = f"{c.left:.6g} and {c.right:.6g}"
            return f"{c.name} lies outside the one-sided derivatives {sides} of a kink"
    return ""


def _zero_or_negative(e: Residuals) -> str:
    """What is wrong is zero, or has the wrong sign."""
    if np.all(e.given[e.wrong] == 0.0):
        return f"{e.said(e.wrong, 'is')} zero"
    fits = np.all(e.close(e.given, -e.true)[e.wrong])
    return f"{e.said(e.wrong, 'has', 'have')} the wrong sign" if fits else ""


def _rearranged(e: Residuals) -> str:
    """The right numbers at the wrong places."""
    for order, words in _orders(e):
        if np.all(e.close(e.given, order)):
            return words
    count = np.sum(e.wrong)
    if count < 2 or not np.all(e.close(np.sort(e.given), np.sort(e.true))):
        return ""
    if count == 2:
        return f"{e.named(e.wrong)} are swapped"
    return f"{e.named(e.wrong)} are permuted: the right numbers at the wrong places"


def _orders(e: Residuals) -> Iterator[tuple[Array, str]]:
    """The derivative's numbers in orders that have a name."""
    n = len(e.true)
    matrices = [shape for shape in e.shapes if len(shape) == 2]
    if matrices and all(rows == columns for rows, columns in matrices):
        pairs = zip(spans(e.shapes), e.shapes, strict=True)
        blocks = [e.true[span].reshape(shape) for span, shape in pairs]
        turned = [block.T if block.ndim == 2 else block for block in blocks]
        yield numbers(turned), "it is the transpose of the derivative"
    if n > 2:
        for shift in [*range(1, min(n, 6)), *range(-1, -min(n, 6), -1)]:
            far = "one place" if abs(shift) == 1 else f"{abs(shift)} places"
            where = f"{far} {'down' if shift > 0 else 'up'}"
            yield np.roll(e.true, shift), f"the components are shifted by {where}"
        yield e.true[::-1], "the components are in reverse order"


def _common_factor(e: Residuals) -> str:
    """One factor on the whole derivative; if that is a single number, a plain one."""
    moving = e.true != 0.0
    if np.any(moving & ~e.wrong):
        return ""
    ratio = abs(float(np.median(e.given[e.wrong] / e.true[e.wrong])))
    plain = any(abs(ratio - k) <= 1e-9 * k for n in range(2, 11) for k in (n, 1 / n))
    return _factor(e) if plain or np.sum(moving) != 1 else ""


def _factor(e: Residuals) -> str:
    """A constant factor on all wrong components."""
    if np.any(e.true[e.wrong] == 0.0):
        return ""
    factor, small = (float(np.median(x[e.wrong] / e.true[e.wrong])) for x in (e.given, e.residual))
    if not np.all(e.close(e.residual, small * e.true)[e.wrong]) or abs(small) < 1e-14:
        return ""
    n = len(e.true) if np.all(e.wrong) else 0
    return f"{e.said(e.wrong, 'is')} {_times(factor, small, n)}"


def _times(factor: float, excess: float, n: int) -> str:
    """A factor in words; `excess` is factor - 1 with all its digits."""
    averaged = "as if averaged over the components" if n > 1 else ""
    summed = "as if summed where a mean was taken" if n > 2 else ""
    inverse = 1 / factor if factor else 0.0
    for size, words, hint in ((inverse, "small", averaged), (factor, "large", summed)):
        k = round(size) if 1.5 < size < 1e9 else 0
        if k and abs(size - k) < 1e-9:
            return f"too {words} by a factor of {k}" + (f", {hint}" if hint and k == n else "")
    if abs(excess) < 0.01:
        return f"off by a factor of 1 {'+' if excess > 0 else '-'} {abs(excess):.6g}"
    return f"off by a factor of {factor:.6g}"


# -- by other points and other arguments -----------------------------------------------------------


def _other_argument(e: Residuals) -> str:
    """The derivative by another argument, or at exchanged arguments."""
    subject, graph = e.subject, e.graph
    if graph is None or subject.order != 1:
        return ""
    names, inputs, mine = subject.inputs, graph.inputs, subject.wrt[0]
    for other, x in enumerate(inputs if len(subject.wrt) == 1 else ()):
        if other != mine and x.differentiable and x.shape == inputs[mine].shape:
            found = floats_at(graph, derivative_blocks(graph, [other]), subject.arrays)
            if np.all(e.close(e.given, numbers(found))):
                return f"it is the derivative by {names[other]}, not by {names[mine]}"
    for j, i in combinations(range(len(inputs)), 2):
        if inputs[i].shape == inputs[j].shape and inputs[i].dtype == inputs[j].dtype:
            arrays = list(subject.arrays)
            arrays[i], arrays[j] = arrays[j], arrays[i]
            if np.all(e.close(e.given, subject.true_at(arrays))):
                return f"it is the derivative with {names[j]} and {names[i]} exchanged"
    return ""


def _stale(e: Residuals) -> str:
    """The answer belongs to another point: it does not change, or it lags behind by a call."""
    rng = np.random.default_rng(0)

    def move(x: Array) -> Any:
        return x * (1.0 + 0.05 * rng.uniform(0.5, 1.0, x.shape)) + 1e-3 * (x == 0.0)

    arrays = e.subject.moved(move)
    try:
        first, second = (numbers(e.candidate.call(*arrays)) for _ in range(2))
        true = _differences(e.subject, arrays) if e.graph is None else e.subject.true_at(arrays)
    except (ArithmeticError, ValueError):
        return ""
    if not np.array_equal(first, second, equal_nan=True):
        return "it is stale: called twice at one point, it first returns the previous point's"
    same = np.array_equal(first, numbers(e.candidate.values)) and np.any(first != 0.0)
    moves = not np.all(e.close(true, e.true))
    return "it is stale: it does not change when the point does" if same and moves else ""


def _differences(subject: Subject, arrays: Sequence[Any]) -> Array:
    """The derivative of a function that can only be called, at another point."""
    args, _ = subject.call.arguments(arrays)
    return numbers(estimate(subject.f, *args, argnums=subject.argnums, order=subject.order).value)


# -- by the terms of the sum -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Term:
    """What flows through one edge: to an operand of a node, projected on some directions."""

    node: Expr
    operand: Expr
    flows: Array


def _one_term(e: Residuals) -> str:
    """One term is missing, doubled, of the wrong sign or scaled."""
    if e.graph is None or e.subject.order != 1 or not np.all(np.isfinite(e.residual)):
        return ""
    several = len(e.true) > 1
    rng = np.random.default_rng(0)

    def weights(shape: tuple[int, ...]) -> Array:
        return rng.uniform(0.5, 1.5, shape) if several else np.ones(shape)

    outputs = [weights(out.shape) for out in e.graph.outputs]
    inputs = [e.graph.inputs[i].shape for i in e.subject.wrt]
    ways = [list(map(weights, inputs)) for _ in range(PROJECTIONS if several else 1)]
    goal = np.array([_projected(e, outputs, way) for way in ways])
    found = []
    for term in _terms(e.graph, e.subject, outputs, ways):
        factor = _multiple(goal, term.flows)
        if factor in PLAIN:
            found.append((list(PLAIN).index(factor), term, factor))
        elif factor is not None and several:
            found.append((len(PLAIN), term, factor))
    return _about(*min(found, key=lambda row: row[0])[1:]) if found else ""


def _extra_term(e: Residuals) -> str:
    """The given gradient adds something that is just the residual."""
    graph = e.candidate.graph
    if graph is None or len(e.shapes) != 1:
        return ""
    nodes = reachable(e.candidate.blocks)
    known = dict(zip(nodes, floats_at(graph, nodes, e.subject.arrays), strict=True))
    for node in sorted(nodes, key=lambda node: node.age):
        row = node.primitive
        if not (row.cancels and row.kind == "pointwise" and isinstance(row.derivative, Transpose)):
            continue
        signs = row.derivative.rule(1.0, *node.operands)
        for sign, operand in zip(signs, node.operands, strict=True):
            term = sign * np.ravel(known[operand])
            chosen = e.wrong if term.size == 1 else np.ones(len(e.true), bool)
            off = np.abs(term - e.residual[chosen]) if np.sum(chosen) == term.size else np.inf
            if np.all(off <= TOLERANCE * np.abs(term)):
                return f"it has an extra term{_source(node)} that is no part of the derivative"
    return ""


def _projected(e: Residuals, outputs: Sequence[Array], way: Sequence[Array]) -> float:
    """The residual between weights of the outputs and a direction of the inputs."""
    total = 0.0
    for (left, right), span in zip(product(outputs, way), spans(e.shapes), strict=True):
        block = e.residual[span].reshape(left.size, right.size)
        total += float(left.ravel() @ block @ right.ravel())
    return total


def _terms(
    graph: Graph, subject: Subject, outputs: Sequence[Array], ways: Sequence[Sequence[Array]]
) -> Iterator[Term]:
    """Every edge of the reverse sweep with what flows through it, the last operations first."""
    inputs = [graph.inputs[i] for i in subject.wrt]
    cotangents = [
        constant(w.astype(out.dtype)) for w, out in zip(outputs, graph.outputs, strict=True)
    ]
    steps = list(sweep(graph.outputs, cotangents, inputs))
    nodes = [node for node, _, _ in steps]
    tangents = []
    for way in ways:
        along = [constant(v.astype(x.dtype)) for v, x in zip(way, inputs, strict=True)]
        tangents.append(dict(zip(nodes, pushforward(nodes, inputs, along), strict=True)))
    edges = [
        (node, operand, part, [along.get(operand) for along in tangents])
        for node, _, parts in steps
        for operand, part in zip(node.operands, parts, strict=False)
        if part is not None
    ]
    wanted = {x for *_, part, moving in edges for x in (part, *moving) if x is not None}
    known = dict(zip(wanted, floats_at(graph, list(wanted), subject.arrays), strict=True))
    for node, operand, part, moving in edges:
        flows = [0.0 if t is None else float(np.sum(known[part] * known[t])) for t in moving]
        yield Term(node, operand, np.array(flows))


def _multiple(goal: Array, flows: Array) -> float | None:
    """The factor by which one set of projections is the other, snapped to a small integer."""
    if not np.all(np.isfinite(flows)) or np.any(flows == 0.0):
        return None
    factors = goal / flows
    factor = float(np.median(factors))
    if factor == 0.0 or np.any(np.abs(factors - factor) > TERM_TOLERANCE * abs(factor)):
        return None
    whole = round(factor)
    near = whole != 0 and abs(factor - whole) < TERM_TOLERANCE * abs(factor)
    return float(whole) if near else factor


def _about(term: Term, factor: float) -> str:
    """One term in words, with the user's line."""
    moved = term.operand.primitive is INPUT or term.operand.primitive.kind == "movement"
    through = term.node if moved else term.operand
    operation = through.primitive.name.removeprefix("constant_")
    name = f"the term through {operation}{_source(through)}"
    return f"{name} {PLAIN.get(factor) or f'is {_times(1.0 + factor, factor, 0)}'}"


def _source(node: Expr) -> str:
    """The user's line."""
    if node.line is None:
        return ""
    return f" in {node.line}" + (f" ({node.line.text})" if node.line.text else "")


MATCHERS: Final[tuple[Callable[[Residuals], str], ...]] = (
    _not_a_number,
    _outside_a_kink,
    _zero_or_negative,
    _rearranged,
    _other_argument,
    _common_factor,
    _stale,
    _one_term,
    _extra_term,
    _factor,
)
"""From the most telling to the least; `_stale` calls the gradient again, so it comes late."""
