"""What a fault says to a person: what is lost there and why, and what to do if nothing is known.

What flows: a `Fault` becomes sentences. The invariant: every number that is told is computed or
enclosed at this very point.

>>> from difflab.accuracy.audit import Audit
>>> from difflab.accuracy.blame import first_fault
>>> from difflab.tracing.trace import trace
>>> fault = first_fault(Audit(trace(lambda w: np.log(1 + np.exp(w)), 800.0), [800.0]))
>>> print(reason(fault))
a = exp(w) overflows: exactly it is 2.73e+347, the largest float64 is 1.8e+308, and so it becomes
inf.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from difflab.accuracy.audit import Audit
from difflab.accuracy.blame import Fault
from difflab.ir.expr import Expr
from difflab.ir.row import CONSTANT
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


def headline(fault: Fault) -> str:
    """What happens to a function here, in half a sentence."""
    return _LOSSES[fault.what, fault.where]


def reason(fault: Fault) -> str:
    """What happens there, and why."""
    if fault.role == "sum":
        return _sum(fault)
    if fault.role == "rule":
        told = _rule(fault)
    elif fault.what == "digits":
        told = _digits(fault)
    else:
        told = _no_number(fault)
    return told + (DISCARDED.format(fault.partial) if fault.discarded else "")


def _at(fault: Fault) -> str:
    return f" (element {list(fault.index)})" if fault.index else ""


def _subject(fault: Fault) -> str:
    return fault.audit.spelt(fault.node) + _at(fault)


def _number(ball: Any, digits: int = 3) -> str:
    """An exact number, as Python writes floats where it is one."""
    if not ball.is_finite():
        return "undefined"
    number = float(ball)
    if ball != 0 and (number == 0.0 or not math.isfinite(number)):
        return str(ball.mid().str(digits, radius=False))
    return f"{number:.{digits}g}"


def _off(fault: Fault) -> tuple[str, str, str]:
    """What a number is and should be, with digits that show the difference, and the digits lost."""
    digits = fault.audit.digits(fault.made)
    shown = max(3, round(digits - fault.digits) + 2)
    lost = f"{fault.digits:.0f} of {digits:.0f} digits are lost"
    return f"{fault.computed:.{shown}g}", _number(fault.exact, shown), lost


def _operands(fault: Fault) -> str:
    """``x = 0``, ``a = 3 and b = 4``: the operands that are not constants, each the element of the
    same fault where it has the shape.
    """
    names, found = fault.audit.names, []
    for x in dict.fromkeys(fault.node.operands):
        value = np.asarray(fault.audit.floats[x])
        same = value.shape == fault.made.shape
        if x.primitive is not CONSTANT:
            shown = f"{value[fault.index]:.6g}" if same else abbreviated(value)
            found.append(f"{names[x]} = {shown}")
    return " and ".join(found)


def _digits(fault: Fault) -> str:
    """A value that is finite and wrong."""
    if not fault.made.differentiable:
        return (
            f"{_subject(fault)} is {bool(fault.computed)} and should be {fault.exact}: "
            f"{_operands(fault)}, rounded, and the rounding decides."
        )
    computed, exact, lost = _off(fault)
    info, subtle = np.finfo(fault.made.dtype), _is_sum_of_two(fault.node)
    if abs(fault.exact) < float(info.tiny) and not subtle:
        return (
            f"{_subject(fault)} underflows: exactly it is {exact}, the smallest {fault.made.dtype} "
            f"is {info.smallest_subnormal:.2g}, and so it becomes {computed}."
        )
    return f"{_subject(fault)} is {computed} and should be {exact}: {lost}. {_cause(fault)}"


def _is_sum_of_two(node: Expr) -> bool:
    return node.primitive.cancels and node.primitive.kind == "pointwise"


def _cause(fault: Fault) -> str:
    """Why an operation on good numbers gives a wrong one."""
    condition, made = fault.condition, fault.made
    if condition < GRADUAL:
        return (
            f"No single operation is to blame (the condition number of this one is {condition:.2g})"
            ": the digits went little by little, and here more than a quarter of them are gone."
        )
    if _is_sum_of_two(made):
        a, b = (fault.audit.balls[x] for x in made.operands)
        shown = min(round(fault.digits) + 2, 17)
        parts = [_number(x[fault.index] if x.shape else x[()], shown) for x in (a, b)]
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
        f"Its operands are right but for rounding ({_operands(fault)}), and the operation "
        f"magnifies that: the condition number |x f'(x) / f(x)| is {condition:.2g}."
    )


def _no_number(fault: Fault) -> str:
    """A value that is no finite float."""
    subject, exact = _subject(fault), _number(fault.exact)
    if fault.what == "domain":
        return f"{subject} is not defined at {_operands(fault)}: it becomes {fault.computed}."
    if math.isnan(fault.computed):
        return f"{subject} becomes nan, though exactly it is {exact}."
    return (
        f"{subject} overflows: exactly it is {exact}, the largest {fault.made.dtype} is "
        f"{np.finfo(fault.made.dtype).max:.2g}, and so it becomes {fault.computed:.3g}."
    )


def _rule(fault: Fault) -> str:
    """A local partial, or its product with the cotangent, that goes wrong in the reverse pass."""
    through = f"Backwards through {_subject(fault)}"
    if fault.what == "domain" and math.isfinite(fault.partial):
        return f"{through}, the cotangent becomes {fault.computed}."
    if fault.what == "domain":
        return (
            f"At {_operands(fault)}, the local partial of {_subject(fault)} is {fault.partial}: "
            "the derivative is infinite or does not exist there."
        )
    through += f" (local partial {fault.partial:.3g}) a number"
    if fault.what == "finiteness":
        becomes = f"it becomes {fault.computed:.3g}"
        return f"{through} overflows: exactly it is {_number(fault.exact)}, and {becomes}."
    computed, exact, lost = _off(fault)
    return f"{through} is {computed} and should be {exact}: {lost}. {_cause(fault)}"


def _sum(fault: Fault) -> str:
    """Parts of a cotangent that cancel."""
    uses = sorted(fault.uses, key=lambda use: -abs(use.computed))
    parts = [
        f"{use.computed:.6g} through {fault.audit.spelt(use.user)}" for use in uses[:MOST_PARTS]
    ]
    if len(uses) > MOST_PARTS:
        parts.append(f"{len(uses) - MOST_PARTS} more")
    listed = f"{', '.join(parts[:-1])} and {parts[-1]}"
    start = f"The cotangent of {fault.audit.names[fault.node]}{_at(fault)} is the sum of {listed}"
    if fault.what != "digits":
        return f"{start}: that becomes {fault.computed}."
    computed, exact, lost = _off(fault)
    return (
        f"{start}. These cancel: the sum is {computed} and should be {exact}: {lost} "
        f"(condition number {fault.condition:.2g})."
    )


def advice(fault: Fault) -> str:
    """What can be said where no stable form is known."""
    audit = fault.audit
    unknown = "No stable form of this is known to difflab"
    if fault.what == "domain":
        return f"{unknown}. {OUTSIDE}"
    if fault.what == "finiteness":
        return f"{unknown}. Scale what goes in, or compute with logarithms."
    needed = inherent(audit)
    unit = audit.units[audit.graph.outputs[0]]
    if fault.wrong == "value" and needed * unit * 10 > 10**-LEAST_KEPT:
        return (
            f"{unknown}, and none can help much: the function itself is ill-conditioned here, "
            f"{needed:.2g} times a relative change of its arguments arrives in its value."
        )
    return f"{unknown}. {REARRANGE}"


def inherent(audit: Audit) -> float:
    """The condition number of the function itself, exactly; 0 where it has several outputs."""
    outputs = audit.graph.outputs
    if len(outputs) != 1 or outputs[0].size != 1:
        return 0.0
    value = audit.balls[outputs[0]].flat[0]
    moved = [
        abs(x * slope / value)
        for node, ct in audit.gradients.items()
        for x, slope in zip(audit.balls[node].flat, audit.balls[ct].flat, strict=True)
    ]
    return math.fsum(float(share) for share in moved if share.is_finite())
