"""What to write instead: the stable form that fits a fault, tried in the program itself.

What flows: the formulas of the table are looked for around a fault's node; the largest one that
holds it is evaluated at the numbers that stand there. The invariants: a form is only recommended if
it keeps its digits there, in value and derivative; the program is then rewritten with it and judged
again, so that what it would gain is a measured figure.

>>> from difflab.accuracy.blame import first_fault
>>> fault = first_fault(Audit(trace(lambda w: np.log(1 + np.exp(w)), 800.0), [800.0]))
>>> find_remedy(fault).text
'np.logaddexp(0, w)'
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from difflab.accuracy.audit import Audit
from difflab.accuracy.blame import Fault
from difflab.accuracy.stable_forms import FORMS, Match, StableForm
from difflab.errors import DifflabError
from difflab.ir.expr import Expr, constant, substitute
from difflab.ir.row import REALS
from difflab.table.spelt_alike import number
from difflab.tracing.trace import trace
from difflab.views.formulas import operation

REACH: Final = 8
"""How many operations above the guilty one a formula may end."""
MOST_LOST: Final = 4.0
"""Digits that a form may lose and still be recommended."""
MOST_DEFINED: Final = 2
"""How many names of nodes are explained after a form."""
MAIN: Final = 0.5
"""A part of a cotangent belongs to what cancels if it has this share of the largest part."""
SAFE: Final = (
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


def find_remedy(fault: Fault) -> Remedy | None:
    """The stable form for what went wrong; None where none is known."""
    if fault.discarded:
        return _double_where(fault)
    targets = _targets(fault)
    found = [
        (len(match.inside), form, match)
        for root in _roots(fault, targets)
        for form in FORMS
        if (match := form.pattern.match(root)) is not None and targets <= {*match.inside}
    ]
    for _, form, match in sorted(found, key=lambda candidate: -candidate[0]):
        if _keeps_digits(fault, form, match):
            text, also = _in_users_names(fault, form, match)
            return Remedy(text, form.why, also, _rewritten(fault, form))
    return None


def _targets(fault: Fault) -> set[Expr]:
    """The nodes that a formula must hold to be the cause."""
    if fault.role != "sum":
        return {fault.node}
    largest = max(abs(use.computed) for use in fault.uses)
    return {use.user for use in fault.uses if not abs(use.computed) < MAIN * largest}


def _roots(fault: Fault, targets: set[Expr]) -> Iterator[Expr]:
    """The targets, and what is computed from them within reach."""
    level, seen = dict.fromkeys(targets), set(targets)
    for _ in range(REACH):
        yield from level
        above = [x for x in fault.audit.graph.operations if not level.keys().isdisjoint(x.operands)]
        level = dict.fromkeys(x for x in above if x not in seen)
        seen |= level.keys()


def _keeps_digits(fault: Fault, form: StableForm, match: Match) -> bool:
    """Whether a form is right where the formula went wrong, along each row of arrays."""
    bound = [match.bound[name] for name in form.pattern.parameters]
    values = [np.asarray(fault.audit.floats[node]) for node in bound]
    if not all(np.all(np.isfinite(value)) for value in values):
        return False
    if form.pattern.is_of_arrays:
        reduced = (dict(x.params).get("axes") for x in match.inside)
        axes = next(filter(None, reduced), (-1,))
        size = math.prod(values[0].shape[axis] for axis in axes)
        rows = np.moveaxis(values[0], axes, range(-len(axes), 0)).reshape(-1, size)
        return all(_worst(form, [row]) <= MOST_LOST for row in rows)
    here = fault.index if len(fault.index) == max(v.ndim for v in values) else None
    return _worst(form, [_element(value, here) for value in values]) <= MOST_LOST


def _element(value: Any, index: tuple[int, ...] | None) -> Any:
    """The element that matters; the first of an array that has another shape."""
    return value[index] if index is not None and value.ndim == len(index) else value.flat[0]


def _worst(form: StableForm, point: list[Any]) -> float:
    """The digits that a form loses at a point, in its value or its derivative."""
    try:
        audit = Audit(trace(form.function, *point), point)
    except DifflabError:
        return np.inf
    return audit.worst([*audit.graph.outputs, *audit.gradients.values()])


def _rewritten(fault: Fault, form: StableForm) -> tuple[float, float] | None:
    """What the whole program loses with the form wherever the formula stands."""
    replaced = {}
    for root in fault.audit.graph.operations:
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
    return _lost(fault, replaced)


def _lost(fault: Fault, replaced: Mapping[Expr, Expr]) -> tuple[float, float]:
    """The digits that value and derivative lose with some nodes replaced."""
    graph, before = fault.audit.graph, fault.audit
    outputs = substitute(graph.outputs, replaced)
    positions = [i for i, x in enumerate(graph.inputs) if x in before.gradients]
    rewritten = graph.with_outputs(outputs, graph.output_tree)
    after = Audit(rewritten, before.arrays, positions)
    return after.worst(outputs), after.worst(after.gradients.values())


# -- in the user's names ---------------------------------------------------------------------------


def _in_users_names(fault: Fault, form: StableForm, match: Match) -> tuple[str, str]:
    """The form, with what its names stand for, and the other way to write it."""
    names = fault.audit.names
    shown = {name: _number_or_name(node, names) for name, node in match.bound.items()}
    text, also = form.written(shown, form.stable), form.written(shown, form.also)
    named = [node for name, node in match.bound.items() if shown[name] == names[node]]
    stacked = form.pattern.is_of_arrays and any(node.ndim > 1 for node in match.bound.values())
    axis = ", along the same axis" if stacked else ""
    return text + axis + _definitions(named, fault.audit), also


def _definitions(nodes: Iterable[Expr], audit: Audit) -> str:
    """What the names of some nodes stand for: ``, where a = 0.5 * x``; inputs speak for themselves.

    A name that such a definition needs is explained too, until there are enough.
    """
    unexplained = list(nodes)
    defined: dict[Expr, str] = {}
    while unexplained and len(defined) < MOST_DEFINED:
        node = unexplained.pop(0)
        if node.operands and node.primitive.kind != "movement":
            defined[node] = audit.spelt(node)
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


def _double_where(fault: Fault) -> Remedy | None:
    """A safe operand inside the branch that np.where discards."""
    guilty, names = fault.node, dict(fault.audit.names)
    if fault.discarded is None or not guilty.operands:
        return None
    where, branch = fault.discarded
    domain = guilty.primitive.domain
    position = next((i for i, part in enumerate(domain) if part != REALS), 0)
    operand, condition = guilty.operands[position], where.operands[0]
    if not operand.differentiable or condition.shape not in ((), operand.shape):
        return None
    safe = constant(np.ones((), operand.dtype))
    chosen: Any = np.where(condition, *((operand, safe) if branch == 1 else (safe, operand)))
    operands = (*guilty.operands[:position], chosen, *guilty.operands[position + 1 :])
    lost = _lost(fault, {guilty: Expr(guilty.primitive, operands, guilty.params)})
    mentioned = dict.fromkeys(guilty.operands)
    if condition.operands:
        names[condition] = operation(condition, names)
    arms = (names[operand], "1.0") if branch == 1 else ("1.0", names[operand])
    inner = _call(guilty, names | {operand: f"np.where({names[condition]}, {', '.join(arms)})"})
    if where.operands[branch] is guilty:
        names[guilty] = inner
        inner = f"np.where({', '.join(names[x] for x in where.operands)})"
        mentioned |= dict.fromkeys(x for x in where.operands[1:] if x is not guilty)
    defined = _definitions(mentioned, fault.audit)
    return Remedy(inner + defined, SAFE, "", lost)


def _call(node: Expr, names: Mapping[Expr, str]) -> str:
    """An operation as NumPy spells it."""
    text = operation(node, names)
    return f"np.{text}" if node.primitive.is_call else text
