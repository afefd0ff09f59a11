"""What a guilty place says to a person: which operation, what is lost, and why.

What flows: a `Place` becomes sentences. The invariant: every number in them is computed or enclosed
at this very point; where nothing is known, nothing is said.

>>> import numpy as np
>>> from difflab.accuracy.explaining.blame import guilty_place
>>> from difflab.accuracy.explaining.evidence import Evidence
>>> from difflab.ir.trace import trace
>>> place = guilty_place(Evidence(trace(lambda x: np.exp(x), 800.0), [800.0]))
>>> print(reason(place))
a = exp(x) overflows: exactly it is 2.73e+347, the largest float64 is 1.8e+308, and so it becomes
inf.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from difflab.accuracy.explaining.blame import Place
from difflab.accuracy.explaining.evidence import Evidence
from difflab.interpretations.formulas import names_of, operation
from difflab.interpretations.traces import abbreviated
from difflab.ir.expr import Expr
from difflab.ir.row import CONSTANT

GRADUAL: Final = 50.0
"""An operation whose condition number is below this has not lost three digits by itself."""
LEAST_KEPT: Final = 8.0
"""A function that keeps fewer digits than this of inexact arguments is called ill-conditioned."""
MOST_PARTS: Final = 4
_SUMS: Final = ("sum", "cumsum", "matmul", "einsum")
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


def spelt(place: Place, node: Expr) -> str:
    """A node with its name: ``b = 1.0 - a``, and which of its elements."""
    names = names_of(place.evidence.graph)
    return f"{names[node]} = {operation(node, names)}" if node.operands else names[node]


def _at(place: Place) -> str:
    return f" (element {list(place.index)})" if place.index else ""


def _subject(place: Place) -> str:
    return spelt(place, place.node) + _at(place)


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
    names, found = names_of(place.evidence.graph), []
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
    info, subtle = np.finfo(place.made.dtype), place.node.primitive.name in ("add", "subtract")
    if abs(place.exact) < float(info.tiny) and not subtle:
        return (
            f"{_subject(place)} underflows: exactly it is {exact}, the smallest {place.made.dtype} "
            f"is {info.smallest_subnormal:.2g}, and so it becomes {computed}."
        )
    return f"{_subject(place)} is {computed} and should be {exact}: {lost}. {_cause(place)}"


def _cause(place: Place) -> str:
    """Why an operation on good numbers gives a wrong one."""
    condition, made = place.condition, place.made
    if condition < GRADUAL:
        return (
            f"No single operation is to blame (the condition number of this one is {condition:.2g})"
            ": the digits went little by little, and here more than a quarter of them are gone."
        )
    if made.primitive.name in ("add", "subtract"):
        a, b = (place.evidence.balls[x] for x in made.operands)
        shown = min(round(place.digits) + 2, 17)
        parts = [_number(x[place.index] if x.shape else x[()], shown) for x in (a, b)]
        joined = " and ".join(parts)
        return (
            f"The two parts, {joined}, cancel in their leading digits, and what stays is what was "
            f"rounded off before: the condition number (|a| + |b|) / |a - b| is {condition:.2g}."
        )
    if made.primitive.name in _SUMS:
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
    name = names_of(place.evidence.graph)[place.node]
    uses = sorted(place.uses, key=lambda use: -abs(use.computed))
    parts = [f"{use.computed:.6g} through {spelt(place, use.user)}" for use in uses[:MOST_PARTS]]
    if len(uses) > MOST_PARTS:
        parts.append(f"{len(uses) - MOST_PARTS} more")
    listed = f"{', '.join(parts[:-1])} and {parts[-1]}"
    start = f"The cotangent of {name}{_at(place)} is the sum of {listed}"
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
