"""What to write instead: the stable form that fits a guilty place, and is tried there.

What flows: the formulas of the table are looked for around the guilty node; the largest one that
holds it is evaluated at the numbers that stand there. The invariant: a form is only recommended if
it keeps its digits at this very point, in value and derivative; the program is then rewritten with
it and judged again, so that what it would gain is a measured figure.

>>> import numpy as np
>>> from difflab.accuracy.explaining.blame import guilty_place
>>> from difflab.accuracy.explaining.evidence import Evidence
>>> from difflab.ir.trace import trace
>>> place = guilty_place(Evidence(trace(lambda w: np.log(1 + np.exp(w)), 800.0), [800.0]))
>>> find_remedy(place).text
'np.logaddexp(0, w)'
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from difflab.accuracy.explaining.blame import Place
from difflab.accuracy.explaining.evidence import Evidence
from difflab.accuracy.explaining.patterns import Match, number
from difflab.accuracy.explaining.stable_forms import FORMS, StableForm
from difflab.errors import DifflabError
from difflab.interpretations.formulas import names_of, operation
from difflab.ir.expr import Expr, constant, substitute
from difflab.ir.trace import trace

REACH: Final = 8
"""How many operations above the guilty one a formula may end."""
MOST_LOST: Final = 4.0
"""Digits that a form may lose and still be recommended."""
MOST_DEFINED: Final = 2
"""How many names of nodes are explained after a form."""
MAIN: Final = 0.5
"""A part of a cotangent belongs to what cancels if it has this share of the largest part."""
DISCARDED: Final = (
    "np.where computes both branches, and backwards the cotangent 0 of the one that it discards is "
    "multiplied by a local partial that is not finite; with a safe number in there, it is finite"
)


@dataclass(frozen=True, slots=True)
class Remedy:
    """A stable form in the user's names, why it is better, and what the program gains by it."""

    text: str
    why: str
    also: str = ""
    lost: tuple[float, float] | None = None
    """The digits that value and derivative still lose when the program is rewritten with it."""

    def __str__(self) -> str:
        also = f" (or {self.also})" if self.also else ""
        told = f"Write instead: {self.text}{also}\nWhy: {self.why}."
        if self.lost is None:
            return told
        value, derivative = self.lost
        rest = "; what remains has another cause" if max(self.lost) > MOST_LOST else ""
        return (
            f"{told}\nTried here: the value then loses {value:.1f} digits, the derivative "
            f"{derivative:.1f}{rest}."
        )


def find_remedy(place: Place) -> Remedy | None:
    """The stable form for what went wrong; None where none is known."""
    if place.discarded:
        return _double_where(place)
    targets = _targets(place)
    found = [
        (len(match.inside), form, match)
        for root in _roots(place, targets)
        for form in FORMS
        if (match := form.pattern.match(root)) is not None and targets <= {*match.inside}
    ]
    for _, form, match in sorted(found, key=lambda candidate: -candidate[0]):
        if _keeps_digits(place, form, match):
            text, also = _in_users_names(place, form, match)
            return Remedy(text, form.why, also, _rewritten(place, form))
    return None


# -- what fits -------------------------------------------------------------------------------------


def _targets(place: Place) -> set[Expr]:
    """The nodes that a formula must hold to be the cause."""
    if place.role != "sum":
        return {place.node}
    largest = max(abs(use.computed) for use in place.uses)
    return {use.user for use in place.uses if not abs(use.computed) < MAIN * largest}


def _roots(place: Place, targets: set[Expr]) -> Iterator[Expr]:
    """The targets, and what is computed from them within reach."""
    level, seen = dict.fromkeys(targets), set(targets)
    for _ in range(REACH):
        yield from level
        above = [
            x for x in place.evidence.graph.operations if not level.keys().isdisjoint(x.operands)
        ]
        level = dict.fromkeys(x for x in above if x not in seen)
        seen |= level.keys()


def _keeps_digits(place: Place, form: StableForm, match: Match) -> bool:
    """Whether a form is right where the formula went wrong, along each row of arrays."""
    bound = [match.bound[name] for name in form.pattern.parameters]
    values = [np.asarray(place.evidence.floats[node]) for node in bound]
    if not all(np.all(np.isfinite(value)) for value in values):
        return False
    if form.pattern.is_of_arrays:
        sums = (dict(x.params).get("axes") for x in match.inside if x.primitive.name == "sum")
        axes = next(sums, None) or (-1,)
        size = math.prod(values[0].shape[axis] for axis in axes)
        rows = np.moveaxis(values[0], axes, range(-len(axes), 0)).reshape(-1, size)
        return all(_worst(form, [row]) <= MOST_LOST for row in rows)
    here = place.index if len(place.index) == max(v.ndim for v in values) else None
    return _worst(form, [_element(value, here) for value in values]) <= MOST_LOST


def _element(value: Any, index: tuple[int, ...] | None) -> Any:
    """The element that matters; the first of an array that has another shape."""
    return value[index] if index is not None and value.ndim == len(index) else value.flat[0]


def _worst(form: StableForm, point: list[Any]) -> float:
    """The digits that a form loses at a point, in its value or its derivative."""
    try:
        evidence = Evidence(trace(form.function, *point), point)
    except DifflabError:
        return np.inf
    return evidence.worst([*evidence.graph.outputs, *evidence.gradients.values()])


def _rewritten(place: Place, form: StableForm) -> tuple[float, float] | None:
    """What the whole program loses with the form wherever the formula stands."""
    replaced = {}
    for root in place.evidence.graph.operations:
        match = form.pattern.match(root)
        if match is None:
            continue
        try:
            new = form.function(*[match.bound[name] for name in form.pattern.parameters])
        except DifflabError:
            return None
        if not isinstance(new, Expr) or (new.shape, new.dtype) != (root.shape, root.dtype):
            return None
        replaced[root] = new
    return _lost(place, replaced)


def _lost(place: Place, replaced: Mapping[Expr, Expr]) -> tuple[float, float]:
    """The digits that value and derivative lose with some nodes replaced."""
    graph, before = place.evidence.graph, place.evidence
    outputs = substitute(graph.outputs, replaced)
    positions = [i for i, x in enumerate(graph.inputs) if x in before.gradients]
    rewritten = graph.with_outputs(outputs, graph.output_tree)
    after = Evidence(rewritten, before.arrays, inputs=positions)
    return after.worst(outputs), after.worst(after.gradients.values())


# -- in the user's names ---------------------------------------------------------------------------


def _in_users_names(place: Place, form: StableForm, match: Match) -> tuple[str, str]:
    """The form, with what its names stand for, and the other way to write it."""
    names = names_of(place.evidence.graph)
    shown = {name: _number_or_name(node, names) for name, node in match.bound.items()}
    text, also = form.written(shown, form.stable), form.written(shown, form.also)
    named = [node for name, node in match.bound.items() if shown[name] == names[node]]
    stacked = form.pattern.is_of_arrays and any(node.ndim > 1 for node in match.bound.values())
    axis = ", along the same axis" if stacked else ""
    return text + axis + _definitions(named, names), also


def _definitions(nodes: Iterable[Expr], names: Mapping[Expr, str]) -> str:
    """What the names of some nodes stand for: ``, where a = 0.5 * x``; inputs speak for themselves.

    A name that such a definition needs is explained too, until there are enough.
    """
    unexplained = list(nodes)
    defined: dict[Expr, str] = {}
    while unexplained and len(defined) < MOST_DEFINED:
        node = unexplained.pop(0)
        if node.operands and node.primitive.kind != "movement":
            defined[node] = f"{names[node]} = {operation(node, names)}"
            unexplained += [x for x in node.operands if x not in defined]
    return f", where {' and '.join(defined.values())}" if defined else ""


def _number_or_name(node: Expr, names: dict[Expr, str]) -> str:
    """A number as Python writes it, else the node's name."""
    value = number(node)
    if value is None:
        return names[node]
    shown = repr(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return f"({shown})" if value < 0 else shown


# -- np.where --------------------------------------------------------------------------------------


def _double_where(place: Place) -> Remedy | None:
    """A safe operand inside the branch that np.where discards."""
    guilty, names = place.node, dict(names_of(place.evidence.graph))
    if place.discarded is None or not guilty.operands:
        return None
    where, branch = place.discarded
    position = 1 if guilty.primitive.name == "divide" else 0
    operand, condition = guilty.operands[position], where.operands[0]
    if not operand.differentiable or condition.shape not in ((), operand.shape):
        return None
    safe = constant(np.ones((), operand.dtype))
    chosen: Any = np.where(condition, *((operand, safe) if branch == 1 else (safe, operand)))
    operands = (*guilty.operands[:position], chosen, *guilty.operands[position + 1 :])
    lost = _lost(place, {guilty: Expr(guilty.primitive, operands, guilty.params)})
    mentioned = dict.fromkeys(guilty.operands)
    if condition.operands:
        names[condition] = operation(condition, names)
    arms = (names[operand], "1.0") if branch == 1 else ("1.0", names[operand])
    inner = _call(guilty, names | {operand: f"np.where({names[condition]}, {', '.join(arms)})"})
    if where.operands[branch] is guilty:
        names[guilty] = inner
        inner = f"np.where({', '.join(names[x] for x in where.operands)})"
        mentioned |= dict.fromkeys(x for x in where.operands[1:] if x is not guilty)
    defined = _definitions(mentioned, names_of(place.evidence.graph))
    return Remedy(inner + defined, DISCARDED, "", lost)


def _call(node: Expr, names: Mapping[Expr, str]) -> str:
    """An operation as NumPy spells it."""
    text = operation(node, names)
    return f"np.{text}" if node.primitive.text.startswith(f"{node.primitive.name}(") else text
