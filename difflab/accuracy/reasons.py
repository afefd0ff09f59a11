"""What a guilty place says to a person: what is lost there and why, and what to write instead.

What flows: a `Place` becomes sentences, and the formulas of the table are looked for around its
node; the largest one that holds it is evaluated at the numbers that stand there. The invariants:
every number that is told is computed or enclosed at this very point; a form is only recommended if
it keeps its digits there, in value and derivative; the program is then rewritten with it and judged
again, so that what it would gain is a measured figure.

>>> from difflab.accuracy.blame import guilty_place
>>> place = guilty_place(Evidence(trace(lambda w: np.log(1 + np.exp(w)), 800.0), [800.0]))
>>> print(reason(place))
a = exp(w) overflows: exactly it is 2.73e+347, the largest float64 is 1.8e+308, and so it becomes
inf.
>>> find_remedy(place).text
'np.logaddexp(0, w)'
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from difflab.accuracy.blame import Place
from difflab.accuracy.evidence import Evidence
from difflab.accuracy.patterns import Match
from difflab.accuracy.stable_forms import FORMS, StableForm
from difflab.errors import DifflabError
from difflab.ir.expr import Expr, constant, substitute
from difflab.ir.row import CONSTANT, REALS
from difflab.table.spelt_alike import number
from difflab.tracing.trace import trace
from difflab.views.formulas import operation
from difflab.views.traces import abbreviated

GRADUAL: Final = 50.0
"""An operation whose condition number is below this has not lost three digits by itself."""
LEAST_KEPT: Final = 8.0
"""A function that keeps fewer digits than this of inexact arguments is called ill-conditioned."""
MOST_PARTS: Final = 4
OUTSIDE: Final = (
    "If the function does have a value and a derivative there, give them by np.where, with a safe "
    "operand inside."
)
REARRANGE: Final = (
    "Rearrange it so that what is equal cancels before it is rounded, or compute this part in "
    "higher precision."
)
DISCARDED: Final = (
    " np.where discards this value, and the result is right. But backwards the cotangent 0 of the "
    "discarded branch meets a local partial of {:.3g}, and 0 times that is NaN."
)
_LOSSES: Final = {
    ("digits", "value"): "loses digits of its value",
    ("digits", "cotangent"): "has a right value, but loses digits of its derivative",
    ("finiteness", "value"): "leaves the range of floats",
    ("finiteness", "cotangent"): "has a right value, but its derivative leaves the range of floats",
    ("domain", "value"): "leaves the domain of an operation",
    ("domain", "cotangent"): "has a right value, but no finite derivative",
}
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


def headline(place: Place) -> str:
    """What happens to a function here, in half a sentence."""
    return _LOSSES[place.what, place.where]


def reason(place: Place) -> str:
    """What happens at the place, and why."""
    if place.role == "sum":
        return _sum(place)
    if place.role == "rule":
        told = _rule(place)
    elif place.what == "digits":
        told = _digits(place)
    else:
        told = _no_number(place)
    return told + (DISCARDED.format(place.partial) if place.discarded else "")


def spelt(node: Expr, names: Mapping[Expr, str]) -> str:
    """A node with its name: ``b = 1.0 - a``."""
    return f"{names[node]} = {operation(node, names)}" if node.operands else names[node]


def _at(place: Place) -> str:
    return f" (element {list(place.index)})" if place.index else ""


def _subject(place: Place) -> str:
    return spelt(place.node, place.evidence.names) + _at(place)


def _number(ball: Any, digits: int = 3) -> str:
    """An exact number, as Python writes floats where it is one."""
    if not ball.is_finite():
        return "undefined"
    number = float(ball)
    if ball != 0 and (number == 0.0 or not math.isfinite(number)):
        return str(ball.mid().str(digits, radius=False))
    return f"{number:.{digits}g}"


def _off(place: Place) -> tuple[str, str, str]:
    """What a number is and should be, with digits that show the difference, and the digits lost."""
    digits = place.evidence.digits(place.made)
    shown = max(3, round(digits - place.digits) + 2)
    lost = f"{place.digits:.0f} of {digits:.0f} digits are lost"
    return f"{place.computed:.{shown}g}", _number(place.exact, shown), lost


def _operands(place: Place) -> str:
    """``x = 0``, ``a = 3 and b = 4``: the operands that are not constants, each the element of the
    same place where it has the shape.
    """
    names, found = place.evidence.names, []
    for x in dict.fromkeys(place.node.operands):
        value = np.asarray(place.evidence.floats[x])
        same = value.shape == place.made.shape
        if x.primitive is not CONSTANT:
            shown = f"{value[place.index]:.6g}" if same else abbreviated(value)
            found.append(f"{names[x]} = {shown}")
    return " and ".join(found)


def _digits(place: Place) -> str:
    """A value that is finite and wrong."""
    if not place.made.differentiable:
        return (
            f"{_subject(place)} is {bool(place.computed)} and should be {place.exact}: "
            f"{_operands(place)}, rounded, and the rounding decides."
        )
    computed, exact, lost = _off(place)
    info, subtle = np.finfo(place.made.dtype), _is_sum_of_two(place.node)
    if abs(place.exact) < float(info.tiny) and not subtle:
        return (
            f"{_subject(place)} underflows: exactly it is {exact}, the smallest {place.made.dtype} "
            f"is {info.smallest_subnormal:.2g}, and so it becomes {computed}."
        )
    return f"{_subject(place)} is {computed} and should be {exact}: {lost}. {_cause(place)}"


def _is_sum_of_two(node: Expr) -> bool:
    return node.primitive.cancels and node.primitive.kind == "pointwise"


def _cause(place: Place) -> str:
    """Why an operation on good numbers gives a wrong one."""
    condition, made = place.condition, place.made
    if condition < GRADUAL:
        return (
            f"No single operation is to blame (the condition number of this one is {condition:.2g})"
            ": the digits went little by little, and here more than a quarter of them are gone."
        )
    if _is_sum_of_two(made):
        a, b = (place.evidence.balls[x] for x in made.operands)
        shown = min(round(place.digits) + 2, 17)
        parts = [_number(x[place.index] if x.shape else x[()], shown) for x in (a, b)]
        joined = " and ".join(parts)
        return (
            f"The two parts, {joined}, cancel in their leading digits, and what stays is what was "
            f"rounded off before: the condition number (|a| + |b|) / |a - b| is {condition:.2g}."
        )
    if made.primitive.cancels:
        return (
            "Its terms cancel, and what stays is what was rounded off before: the condition "
            f"number, the sum of the terms' sizes relative to the result, is {condition:.2g}."
        )
    return (
        f"Its operands are right but for rounding ({_operands(place)}), and the operation "
        f"magnifies that: the condition number |x f'(x) / f(x)| is {condition:.2g}."
    )


def _no_number(place: Place) -> str:
    """A value that is no finite float."""
    subject, exact = _subject(place), _number(place.exact)
    if place.what == "domain":
        return f"{subject} is not defined at {_operands(place)}: it becomes {place.computed}."
    if math.isnan(place.computed):
        return f"{subject} becomes nan, though exactly it is {exact}."
    return (
        f"{subject} overflows: exactly it is {exact}, the largest {place.made.dtype} is "
        f"{np.finfo(place.made.dtype).max:.2g}, and so it becomes {place.computed:.3g}."
    )


def _rule(place: Place) -> str:
    """A local partial, or its product with the cotangent, that goes wrong in the reverse pass."""
    through = f"Backwards through {_subject(place)}"
    if place.what == "domain" and math.isfinite(place.partial):
        return f"{through}, the cotangent becomes {place.computed}."
    if place.what == "domain":
        return (
            f"At {_operands(place)}, the local partial of {_subject(place)} is {place.partial}: "
            "the derivative is infinite or does not exist there."
        )
    through += f" (local partial {place.partial:.3g}) a number"
    if place.what == "finiteness":
        becomes = f"it becomes {place.computed:.3g}"
        return f"{through} overflows: exactly it is {_number(place.exact)}, and {becomes}."
    computed, exact, lost = _off(place)
    return f"{through} is {computed} and should be {exact}: {lost}. {_cause(place)}"


def _sum(place: Place) -> str:
    """Parts of a cotangent that cancel."""
    names, uses = place.evidence.names, sorted(place.uses, key=lambda use: -abs(use.computed))
    parts = [f"{use.computed:.6g} through {spelt(use.user, names)}" for use in uses[:MOST_PARTS]]
    if len(uses) > MOST_PARTS:
        parts.append(f"{len(uses) - MOST_PARTS} more")
    listed = f"{', '.join(parts[:-1])} and {parts[-1]}"
    start = f"The cotangent of {names[place.node]}{_at(place)} is the sum of {listed}"
    if place.what != "digits":
        return f"{start}: that becomes {place.computed}."
    computed, exact, lost = _off(place)
    return (
        f"{start}. These cancel: the sum is {computed} and should be {exact}: {lost} "
        f"(condition number {place.condition:.2g})."
    )


def advice(place: Place) -> str:
    """What can be said where no stable form is known."""
    evidence = place.evidence
    unknown = "No stable form of this is known to difflab"
    if place.what == "domain":
        return f"{unknown}. {OUTSIDE}"
    if place.what == "finiteness":
        return f"{unknown}. Scale what goes in, or compute with logarithms."
    needed = inherent(evidence)
    unit = evidence.units[evidence.graph.outputs[0]]
    if place.wrong == "value" and needed * unit * 10 > 10**-LEAST_KEPT:
        return (
            f"{unknown}, and none can help much: the function itself is ill-conditioned here, "
            f"{needed:.2g} times a relative change of its arguments arrives in its value."
        )
    return f"{unknown}. {REARRANGE}"


def inherent(evidence: Evidence) -> float:
    """The condition number of the function itself, exactly; 0 where it has several outputs."""
    outputs = evidence.graph.outputs
    if len(outputs) != 1 or outputs[0].size != 1:
        return 0.0
    value = evidence.balls[outputs[0]].flat[0]
    moved = [
        abs(x * slope / value)
        for node, ct in evidence.gradients.items()
        for x, slope in zip(evidence.balls[node].flat, evidence.balls[ct].flat, strict=True)
    ]
    return math.fsum(float(share) for share in moved if share.is_finite())


# -- what to write instead -------------------------------------------------------------------------


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


# -- which form fits ------------------------------------------------------------------------------


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
        reduced = (dict(x.params).get("axes") for x in match.inside)
        axes = next(filter(None, reduced), (-1,))
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
    after = Evidence(rewritten, before.arrays, positions)
    return after.worst(outputs), after.worst(after.gradients.values())


# -- in the user's names ---------------------------------------------------------------------------


def _in_users_names(place: Place, form: StableForm, match: Match) -> tuple[str, str]:
    """The form, with what its names stand for, and the other way to write it."""
    names = place.evidence.names
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
            defined[node] = spelt(node, names)
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
    guilty, names = place.node, dict(place.evidence.names)
    if place.discarded is None or not guilty.operands:
        return None
    where, branch = place.discarded
    domain = guilty.primitive.domain
    position = next((i for i, part in enumerate(domain) if part != REALS), 0)
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
    defined = _definitions(mentioned, place.evidence.names)
    return Remedy(inner + defined, SAFE, "", lost)


def _call(node: Expr, names: Mapping[Expr, str]) -> str:
    """An operation as NumPy spells it."""
    text = operation(node, names)
    return f"np.{text}" if node.primitive.is_call else text
