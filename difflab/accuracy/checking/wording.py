"""The words of a check: what a tired person reads.

What flows: a `Check` goes in, a few lines of text come out: the verdict in one sentence, the
components that matter with as many digits as tell them apart, the diagnosis, and what to do. The
invariant: the first line alone answers the question.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from difflab.accuracy.checking.judge import Component

if TYPE_CHECKING:
    from difflab.accuracy.check import Check

SHOWN: Final = 5
SOLVERS: Final = 0.02
"""A relative difference that a solver's tolerance may make."""
NEAR: Final = 1e-4
"""A kink nearer than this, relative to the point, is worth a note."""


def report(check: Check) -> str:
    """The whole text."""
    return "\n".join([f"{check.verdict}: {headline(check)}", *_details(check), *_notes(check)])


def page(check: Check) -> str:
    """The text, and the table under it, as HTML."""
    table = check.table.to_html(index=False, float_format=lambda value: f"{value:.6g}")
    return f"<pre>{html.escape(report(check))}</pre>{table}"


def headline(check: Check) -> str:
    """The answer in a sentence."""
    what = f"the {check.kind} of {check.name}"
    components = _distinct(check)
    n = len(components)
    chosen = [c for c in components if c.verdict == check.verdict]
    part = f"in {len(chosen)} of {n} components" if n > 1 else "at this point"
    match check.verdict:
        case "correct":
            return f"{what} is right {f'in all {n} components' if n > 1 else part}."
        case "rounding":
            where = f" {part}" if n > 1 else ""
            return f"the formula of {what} is right, but its digits are lost{where}."
        case "wrong":
            return f"{what} is wrong {part}." if n else f"what was given cannot be {what}."
        case "kink":
            return _bend(check, chosen, f" ({part})" if n > 1 else "")
    if check.undefined:
        return f"{check.name} has no value at this point, so it has no derivative there."
    return f"whether {what} is right {part} cannot be told."


def _bend(check: Check, chosen: Sequence[Component], part: str) -> str:
    """Why there is no derivative."""
    if any(c.jump for c in chosen):
        return f"{check.name} jumps at this point, so it has no derivative there{part}."
    if any(math.isnan(c.left) != math.isnan(c.right) for c in chosen):
        where = f"the point is at the edge of the domain of {check.name}"
        return f"{where}, where its slope is infinite{part}."
    if all(math.isinf(c.left) and c.left == c.right for c in chosen):
        return f"the slope of {check.name} is infinite at this point{part}."
    return f"{check.name} has a kink at this point, so it has no derivative there{part}."


def _details(check: Check) -> Iterator[str]:
    components = _distinct(check)
    chosen = [c for c in components if c.verdict == check.verdict]
    if check.verdict == "correct":
        yield f"  {_evidence(check, components)}"
        return
    ranked = sorted(chosen, key=lambda c: -_size(c))
    for c in ranked[:SHOWN]:
        yield f"  {_line(c)}"
    if len(ranked) > SHOWN:
        yield f"  ... and {len(ranked) - SHOWN} more (see .table)"
    if check.verdict == "wrong":
        yield f"  diagnosis: {check.diagnosis or 'none of the common mistakes fits'}."
        yield from _by_a_tolerance(check, chosen)
        others = [c for c in components if c.verdict != "wrong"]
        if others and check.reasons.get("function") is None:
            verb = "is" if len(others) == 1 else "are"
            yield f"  The other {_components(len(others))} {verb} not wrong."
    if check.verdict == "rounding":
        if "gradient" in check.reasons:
            yield "  It is off by what rounding may amount to here, and right where that is less."
        else:
            yield "  The mathematics is right: in exact arithmetic the two formulas agree."
        yield "  Remedy: a form that does not cancel; difflab.explain names the operation."
    if check.verdict == "kink":
        for kink in check.kinks[:1]:
            if kink.line is not None:
                text = f": {kink.line.text}" if kink.line.text else ""
                yield f"  It is made at {kink.line}{text}"
        yield "  Remedy: check the gradient at a point beside it."
    if check.verdict == "undecided":
        yield f"  {_remedy(check, chosen)}"


def _line(c: Component) -> str:
    """One component in a line."""
    if c.verdict == "kink":
        if c.jump:
            values = f"{_number(c.left)} from the left, {_number(c.right)} from the right"
            return f"{c.name}: the value jumps ({values}); given {_number(c.given)}"
        slopes = f"{_slope(c.left)} from the left, {_slope(c.right)} from the right"
        if c.reason and math.isnan(c.left) == math.isnan(c.right):
            return f"{c.name}: {c.reason}; given {_number(c.given)}"
        between = "lies between them" if c.between else "does not lie between them"
        return f"{c.name}: {slopes}; the given {_number(c.given)} {between}"
    if c.verdict == "undecided":
        if c.reason:
            return f"{c.name}: given {_number(c.given)}; {c.reason}"
        if math.isnan(c.band) or math.isinf(c.band):
            return f"{c.name}: given {_number(c.given)}; differences of values say nothing here"
        if math.isfinite(c.expected) and c.band > 0.0:
            given, expected = _pair(c.given, c.expected)
            return f"{c.name}: given {given}; by differences it is {expected} within {c.band:.2g}"
        if math.isfinite(c.expected):
            given, expected = _pair(c.given, c.expected)
            return f"{c.name}: given {given}, the derivative is {expected}"
        return (
            f"{c.name}: given {_number(c.given)}, but the derivative is not a finite number there"
        )
    if not math.isfinite(c.expected):
        return f"{c.name}: given {_number(c.given)}, but the derivative is no finite number there"
    given, expected = _pair(c.given, c.expected)
    off = ""
    if c.verdict == "wrong" and c.expected and math.isfinite(c.residual / c.expected):
        off = f" (off by {abs(c.residual / c.expected):.2g} relative)"
    about = "about " if c.band else ""
    return f"{c.name}: given {given}, should be {about}{expected}{off}"


def _evidence(check: Check, components: Sequence[Component]) -> str:
    """What the verdict correct rests on."""
    if "function" in check.reasons:
        shares = [
            c.band / max(abs(c.expected), abs(c.given)) for c in components if not _is_zero(c)
        ]
        zeros = [c.band for c in components if _is_zero(c)]
        widths = [f"at most {max(shares):.1g} of its size"] if shares else []
        widths += [f"{max(zeros):.1g} where it is 0"] if zeros else []
        width = ", ".join(widths)
        return f"It lies inside the error band of extrapolated differences, {width}."
    ulps = max((c.ulps for c in check.components if not math.isnan(c.ulps)), default=0.0)
    if "gradient" in check.reasons:
        return f"It lies within {ulps:.2g} ulps of the derivative, enclosed by ball arithmetic."
    formula = max((c.formula_error for c in components), default=0.0)
    same = (
        f"Its formula differs by {formula:.1g} relative, no more than its constants are rounded"
        if formula
        else "Its formula is the derivative's, certified by ball arithmetic"
    )
    if check.modes:
        own = " and ".join(f"{mode} mode" for mode in check.modes)
        same = f"The formula of {own} is the derivative's, certified by ball arithmetic"
    return f"{same}; rounding costs {ulps:.2g} ulps at most."


def _is_zero(c: Component) -> bool:
    """Whether a component is 0 as far as its band tells, so that it has no size of its own."""
    return max(abs(c.expected), abs(c.given)) <= c.band


def _by_a_tolerance(check: Check, chosen: Sequence[Component]) -> Iterator[str]:
    """What a difference so small may be where the function is a program's result."""
    if "function" not in check.reasons or check.noise is not None:
        return
    offs = [abs(c.residual / c.expected) if c.expected else math.inf for c in chosen]
    off = max(offs, default=math.inf)
    if off < SOLVERS:
        yield (
            f"  It differs from {check.name} as it is called by {off:.2g} of its size; if"
            f" {check.name} is a solver's result, its tolerance can make that: pass noise=."
        )


def _remedy(check: Check, chosen: Sequence[Component]) -> str:
    if check.undefined:
        where = f"The first operation without a value is {check.undefined}."
        return f"{where} Remedy: choose a point inside the domain."
    if "function" in check.reasons:
        blame = next((c.blame for c in chosen if c.blame), "")
        if "noise=" in blame:
            return blame
        if "gradient moves" in blame:
            return f"{blame} Remedy: a form of the gradient that does not cancel, or another point."
        why = blame or "The error band of the differences is too wide."
        return (
            f"{why} Remedy: write the function in plain NumPy, so that it can be traced, use"
            " float64, or choose another point."
        )
    if any(c.reason for c in chosen):
        return "Remedy: check the gradient at a point beside it."
    if any(not math.isfinite(c.expected) for c in chosen):
        return "Remedy: choose a point inside the domain."
    if any(c.formula_error > 0.0 for c in chosen):
        return (
            "The formulas differ by no more than the rounding of their constants may amount to"
            " here, which is much. Remedy: choose a point that is better conditioned."
        )
    return (
        "The difference could be rounding inside the gradient, which cannot be seen. Remedy: write"
        " the gradient in plain NumPy, so that it can be traced, or choose another point."
    )


def _notes(check: Check) -> Iterator[str]:
    for what, reason in check.reasons.items():
        if reason and (what == "function" or "function" not in check.reasons):
            how = "so differences stand for the derivative" if what == "function" else (
                "so formula and rounding cannot be told apart"
            )  # fmt: skip
            yield f"  note: the {what} cannot be traced ({reason}), {how}."
    for note in check.notes:
        yield f"  note: {note}."
    near = check.nearest
    if near is not None and near.distance < NEAR * near.size:
        yield f"  note: {near}; differences with larger steps would cross it."


def _distinct(check: Check) -> tuple[Component, ...]:
    """Each component once: where two modes were judged, by the worse one."""
    if not check.modes:
        return check.components
    from difflab.accuracy.checking.judge import VERDICTS

    worst: dict[str, Component] = {}
    for c in check.components:
        known = worst.get(c.name)
        if known is None or VERDICTS.index(c.verdict) > VERDICTS.index(known.verdict):
            worst[c.name] = c
    return tuple(worst.values())


def _components(count: int) -> str:
    return "component" if count == 1 else f"{count} components"


def _size(c: Component) -> float:
    """How bad a component is, for the order."""
    if not math.isfinite(c.given):
        return math.inf
    return 0.0 if math.isnan(c.relative_error) else c.relative_error


def _slope(value: float) -> str:
    return "no slope" if math.isnan(value) else f"slope {_number(value)}"


def _number(value: float) -> str:
    return repr(float(value))


def _pair(given: float, expected: float) -> tuple[str, str]:
    """Two numbers with as many digits as show the difference."""
    for digits in (6, 9, 12, 15):
        texts = f"{given:.{digits}g}", f"{expected:.{digits}g}"
        shown = [float(text) for text in texts]
        gap = abs(given - expected)
        if texts[0] != texts[1] and abs((shown[0] - shown[1]) - (given - expected)) < 0.01 * gap:
            return texts
    return _number(given), _number(expected)
