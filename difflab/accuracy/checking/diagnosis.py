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
from typing import Any, Final

import numpy as np

from difflab.accuracy.checking.candidate import Candidate
from difflab.accuracy.checking.judge import Component, flattened
from difflab.accuracy.estimate import estimate
from difflab.accuracy.subject import Subject
from difflab.interpretations.cotangents import sweep
from difflab.interpretations.tangents import pushforward
from difflab.ir.expr import Array, Expr, Graph, constant, evaluate
from difflab.ir.row import INPUT
from difflab.ir.tree import flatten
from difflab.methods.automatic import derivative_blocks

TOLERANCE: Final = 1e-9
TERM_TOLERANCE: Final = 1e-6
PROJECTIONS: Final = 3
SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the matchers look at: all components, flat, and the blocks' shapes."""

    components: Sequence[Component]
    shapes: Sequence[tuple[int, ...]]
    subject: Subject
    candidate: Candidate
    graph: Graph | None

    @property
    def true(self) -> Array:
        """The derivative."""
        return np.array([c.expected for c in self.components])

    @property
    def residual(self) -> Array:
        """The given formula less the derivative."""
        return np.array([c.residual for c in self.components])

    @property
    def given(self) -> Array:
        """What the given formula is without its own rounding."""
        return self.true + self.residual

    @property
    def wrong(self) -> Array:
        """Which components are wrong."""
        return np.array([c.verdict == "wrong" for c in self.components])

    def close(self, left: Array, right: Array) -> Array:
        """Whether numbers agree as far as they are known."""
        bands = np.array([c.band for c in self.components])
        size = np.maximum(np.abs(left), np.abs(right))
        return np.asarray(np.abs(left - right) <= TOLERANCE * size + 8.0 * bands)

    def named(self, chosen: Array) -> str:
        """The chosen components in words."""
        names = [c.name for c, yes in zip(self.components, chosen, strict=True) if yes]
        if len(names) > 2 and len(names) == len(self.components):
            return "every component"
        if len(names) <= SHOWN:
            return " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)
        return f"{', '.join(names[:SHOWN])} and {len(names) - SHOWN} more"


def diagnosis(evidence: Evidence) -> str:
    """The mistake in words, or an empty string where none of those known fits."""
    with np.errstate(all="ignore"):
        for matcher in MATCHERS:
            found = matcher(evidence)
            if found:
                return found
    return ""


# -- by the numbers --------------------------------------------------------------------------------


def _not_a_number(e: Evidence) -> str:
    bad = np.array([c.verdict == "wrong" and not np.isfinite(c.given) for c in e.components])
    return f"{e.named(bad)} {_verb(bad, 'is')} not finite" if bad.any() else ""


def _outside_a_kink(e: Evidence) -> str:
    outside = [c for c in e.components if c.verdict == "wrong" and not np.isnan(c.left)]
    bent = [c for c in outside if c.left != c.right]
    if not bent:
        return ""
    c = bent[0]
    return (
        f"{c.name} lies outside the one-sided derivatives {c.left:.6g} and {c.right:.6g} of a kink"
    )


def _zero(e: Evidence) -> str:
    if not np.all(e.given[e.wrong] == 0.0):
        return ""
    return f"{e.named(e.wrong)} {_verb(e.wrong, 'is')} zero"


def _sign(e: Evidence) -> str:
    if not np.all(e.close(e.given, -e.true)[e.wrong]):
        return ""
    return f"{e.named(e.wrong)} {_verb(e.wrong, 'has', 'have')} the wrong sign"


def _transposed(e: Evidence) -> str:
    true, given, start = [], [], 0
    for shape in e.shapes:
        size = int(np.prod(shape, dtype=int))
        block = slice(start, start + size)
        if len(shape) == 2 and shape[0] != shape[1]:
            return ""
        mine = e.true[block].reshape(shape)
        true.append(mine.T.ravel() if len(shape) == 2 else mine.ravel())
        given.append(e.given[block])
        start += size
    if not any(len(shape) == 2 for shape in e.shapes):
        return ""
    fits = np.all(e.close(np.concatenate(given), np.concatenate(true)))
    return "it is the transpose of the derivative" if fits else ""


def _permuted(e: Evidence) -> str:
    true, given = e.true, e.given
    n = len(true)
    if n < 2:
        return ""
    for shift in [*range(1, min(n, 6)), *range(-1, -min(n, 6), -1)]:
        if n > 2 and np.all(e.close(given, np.roll(true, shift))):
            far = "one place" if abs(shift) == 1 else f"{abs(shift)} places"
            return f"the components are shifted by {far} {'down' if shift > 0 else 'up'}"
    if n > 2 and np.all(e.close(given, true[::-1])):
        return "the components are in reverse order"
    places = np.flatnonzero(e.wrong)
    if len(places) < 2 or not np.all(e.close(np.sort(given), np.sort(true))):
        return ""
    if len(places) == 2:
        return f"{e.named(e.wrong)} are swapped"
    return f"{e.named(e.wrong)} are permuted: the right numbers at the wrong places"


def _common_factor(e: Evidence) -> str:
    moving = e.true != 0.0
    every = not np.any(moving & ~e.wrong)
    alone = int(np.sum(moving)) == 1
    return _factor(e) if every and (not alone or _is_plain(e)) else ""


def _factor(e: Evidence) -> str:
    """A constant factor on all wrong components."""
    if np.any(e.true[e.wrong] == 0.0):
        return ""
    ratios = e.given[e.wrong] / e.true[e.wrong]
    excess = e.residual[e.wrong] / e.true[e.wrong]
    factor, small = float(np.median(ratios)), float(np.median(excess))
    spread = e.close(e.residual, small * e.true)[e.wrong]
    if not np.all(spread) or abs(small) < 1e-14:
        return ""
    n = len(e.true) if np.all(e.wrong) else 0
    return f"{e.named(e.wrong)} {_verb(e.wrong, 'is')} {_times(factor, small, n)}"


def _is_plain(e: Evidence) -> bool:
    ratio = float(np.median(e.given[e.wrong] / e.true[e.wrong]))
    return any(
        abs(ratio - k) <= 1e-9 * abs(k) for n in range(2, 11) for k in (n, -n, 1 / n, -1 / n)
    )


def _times(factor: float, excess: float, n: int) -> str:
    """A factor in words; `excess` is factor - 1 with all its digits."""
    if 0.0 < factor < 1.0 and abs(1.0 / factor - round(1.0 / factor)) < 1e-9:
        k = round(1.0 / factor)
        hint = ", as if averaged over the components" if k == n > 1 else ""
        return f"too small by a factor of {k}{hint}"
    if factor > 1.0 and abs(factor - round(factor)) < 1e-9:
        hint = ", as if summed where a mean was taken" if round(factor) == n > 2 else ""
        return f"too large by a factor of {round(factor)}{hint}"
    if abs(excess) < 0.01:
        return f"off by a factor of 1 {'+' if excess > 0 else '-'} {abs(excess):.6g}"
    return f"off by a factor of {factor:.6g}"


# -- by other points and other arguments -----------------------------------------------------------


def _other_argument(e: Evidence) -> str:
    """The derivative by another argument, or at exchanged arguments."""
    subject, graph = e.subject, e.graph
    if graph is None or subject.order != 1:
        return ""
    known: dict[Expr, Any] = dict(zip(graph.inputs, map(np.asarray, subject.arrays), strict=True))
    width = len(subject.wrt)
    shapes = [x.shape for x in graph.inputs]
    if width == 1:
        for other, x in enumerate(graph.inputs):
            if other in subject.wrt or not x.differentiable:
                continue
            if shapes[other] == shapes[subject.wrt[0]]:
                found = flattened(evaluate(derivative_blocks(graph, [other]), known))
                if np.all(e.close(e.given, found)):
                    mine, theirs = subject.inputs[subject.wrt[0]], subject.inputs[other]
                    return f"it is the derivative by {theirs}, not by {mine}"
    for i in range(len(shapes)):
        for j in range(i):
            if shapes[i] == shapes[j] and graph.inputs[i].dtype == graph.inputs[j].dtype:
                arrays = list(subject.arrays)
                arrays[i], arrays[j] = arrays[j], arrays[i]
                if np.all(e.close(e.given, _true_at(subject, arrays))):
                    first, second = subject.inputs[j], subject.inputs[i]
                    return f"it is the derivative with {first} and {second} exchanged"
    return ""


def _stale(e: Evidence) -> str:
    """The answer belongs to another point: it does not change, or it lags behind by a call."""
    subject, call = e.subject, e.candidate.call
    rng = np.random.default_rng(0)
    arrays = list(subject.arrays)
    for i in subject.wrt:
        x = np.asarray(arrays[i])
        moved = x * (1.0 + 0.05 * rng.uniform(0.5, 1.0, x.shape)) + 1e-3 * (x == 0.0)
        arrays[i] = moved.astype(x.dtype) if x.ndim else x.dtype.type(moved)
    try:
        first, second = flattened(call(*arrays)), flattened(call(*arrays))
        true = _true_at(subject, arrays, e.graph is not None)
    except (ArithmeticError, ValueError):
        return ""
    if not np.array_equal(first, second, equal_nan=True):
        return "it is stale: called twice at one point, it first returns the previous point's"
    same = np.array_equal(first, flattened(e.candidate.values)) and np.any(first != 0.0)
    moves = not np.all(e.close(true, e.true))
    return "it is stale: it does not change when the point does" if same and moves else ""


def _true_at(subject: Subject, arrays: Sequence[Any], traceable: bool = True) -> Array:
    """The derivative at another point."""
    if not traceable:
        args, _ = subject.call.arguments(arrays)
        found = estimate(subject.f, *args, argnums=subject.argnums, order=subject.order)
        return flattened(flatten(found.value)[0])
    graph = subject.traced(arrays)
    known: dict[Expr, Any] = dict(zip(graph.inputs, map(np.asarray, arrays), strict=True))
    return flattened(evaluate(subject.blocks(graph), known))


# -- by the terms of the sum -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Term:
    """What flows through one edge: to an operand of a node, projected on some directions."""

    node: Expr
    operand: Expr
    flows: Array


def _one_term(e: Evidence) -> str:
    """One term is missing, doubled, of the wrong sign or scaled."""
    if e.graph is None or e.subject.order != 1 or not np.all(np.isfinite(e.residual)):
        return ""
    lines = len(e.true) > 1
    count = PROJECTIONS if lines else 1
    rng = np.random.default_rng(0)
    outputs = [rng.uniform(0.5, 1.5, out.shape) for out in e.graph.outputs]
    if not lines:
        outputs = [np.ones(out.shape) for out in e.graph.outputs]
    width = len(e.subject.wrt)
    ways = [
        [
            rng.uniform(0.5, 1.5, np.shape(e.subject.arrays[i]))
            if lines
            else np.ones(np.shape(e.subject.arrays[i]))
            for i in e.subject.wrt
        ]
        for _ in range(count)
    ]
    goal = np.array([_projected(e, outputs, way, width) for way in ways])
    best: tuple[int, Term, float] | None = None
    for term in _terms(e.graph, e.subject, outputs, ways):
        factor = _multiple(goal, term.flows)
        if factor is None or not (lines or factor in (-1.0, 1.0, -2.0)):
            continue
        rank = (-1.0, -2.0, 1.0).index(factor) if factor in (-1.0, -2.0, 1.0) else 3
        if best is None or rank < best[0]:
            best = rank, term, factor
    return "" if best is None else _about(best[1], best[2])


def _extra_term(e: Evidence) -> str:
    """The given gradient adds something that is just the residual."""
    graph = e.candidate.graph
    if graph is None or len(e.shapes) != 1:
        return ""
    point = zip(graph.inputs, map(np.asarray, e.subject.arrays), strict=True)
    known: dict[Expr, Any] = dict(point)
    evaluate(e.candidate.blocks, known)
    for node in sorted(known, key=lambda node: node.age):
        if node.primitive.name in ("add", "subtract"):
            signs = (1.0, 1.0 if node.primitive.name == "add" else -1.0)
            for sign, operand in zip(signs, node.operands, strict=True):
                term = sign * np.ravel(known[operand])
                chosen = e.wrong if term.size == 1 else np.ones(len(e.true), bool)
                if np.sum(chosen) == term.size and np.all(
                    np.abs(term - e.residual[chosen]) <= TOLERANCE * np.abs(term)
                ):
                    text = f" ({node.line.text})" if node.line and node.line.text else ""
                    where = f" in {node.line}{text}" if node.line else ""
                    return f"it has an extra term{where} that is no part of the derivative"
    return ""


def _projected(e: Evidence, outputs: Sequence[Array], way: Sequence[Array], width: int) -> float:
    """The residual between weights of the outputs and a direction of the inputs."""
    total, start = 0.0, 0
    for k, shape in enumerate(e.shapes):
        size = int(np.prod(shape, dtype=int))
        block = e.residual[start : start + size]
        start += size
        weights = outputs[k // width].ravel()
        total += float(weights @ block.reshape(weights.size, -1) @ way[k % width].ravel())
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
    tangents = [
        dict(zip(nodes, pushforward(nodes, inputs, [
            constant(v.astype(x.dtype)) for v, x in zip(way, inputs, strict=True)
        ]), strict=True))
        for way in ways
    ]  # fmt: skip
    known: dict[Expr, Any] = dict(zip(graph.inputs, map(np.asarray, subject.arrays), strict=True))
    wanted = [part for _, _, parts in steps for part in parts if part is not None]
    wanted += [t for along in tangents for t in along.values() if t is not None]
    evaluate(wanted, known)
    for node, _, parts in steps:
        for operand, part in zip(node.operands, parts, strict=False):
            if part is not None:
                moving = [along.get(operand) for along in tangents]
                yield Term(node, operand, np.array([
                    0.0 if t is None else float(np.sum(known[part] * known[t])) for t in moving
                ]))  # fmt: skip


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
    where = f" in {through.line}" if through.line else ""
    text = f" ({through.line.text})" if through.line and through.line.text else ""
    operation = through.primitive.name.removeprefix("constant_")
    name = f"the term through {operation}{where}{text}"
    if factor == -1.0:
        return f"{name} is missing"
    if factor == 1.0:
        return f"{name} is counted twice, or an extra term equals it"
    if factor == -2.0:
        return f"{name} has the wrong sign"
    return f"{name} is {_times(1.0 + factor, factor, 0)}"


def _verb(chosen: Array, single: str, plural: str = "are") -> str:
    """A verb for one component, or `every component`, or for several."""
    count = int(np.sum(chosen))
    return single if count == 1 or 2 < count == len(chosen) else plural


MATCHERS: Final[tuple[Callable[[Evidence], str], ...]] = (
    _not_a_number,
    _outside_a_kink,
    _zero,
    _sign,
    _transposed,
    _permuted,
    _other_argument,
    _common_factor,
    _stale,
    _one_term,
    _extra_term,
    _factor,
)
"""From the most telling to the least; `_stale` calls the gradient again, so it comes late."""
