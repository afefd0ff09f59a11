"""The words of a check: what a tired person reads.

What flows: what was found about a gradient, a `Check`, becomes a table and a few lines of text: the
verdict in one sentence, the components that matter with as many digits as tell them apart, the
diagnosis, and what to do. The invariant: the first line alone answers the question.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from difflab.accuracy.judge import JUDGEMENTS, Component, Judgement
from difflab.accuracy.kinks import Kink, Nearest
from difflab.ir.brief import one_line
from difflab.views.notebook import MOST_ROWS, preformatted, scrolled

if TYPE_CHECKING:
    import pandas as pd

SHOWN: Final = 5
SOLVERS: Final = 0.02
"""A relative difference that a solver's tolerance may make."""
NEAR: Final = 1e-4
"""A kink nearer than this, relative to the point, is worth a note."""
INSTEAD: Final = {
    "function": "differences stand for the derivative",
    "gradient": "formula and rounding cannot be told apart",
}
BESIDE: Final = "Remedy: check the gradient at a point beside it."
INSIDE: Final = "Remedy: choose a point inside the domain."
TOO_WIDE: Final = "The error band of the differences is too wide."


@dataclass(frozen=True, slots=True)
class Check:
    """What was found about a gradient; shows itself in notebooks.

    Attributes
    ----------
    verdict
        ``"correct"``; ``"rounding"``: the formula is right but the digits are lost; ``"wrong"``;
        ``"kink"``: the function has no derivative at the point; ``"undecided"``.
    diagnosis
        What is wrong, in words; empty where no known mistake fits.
    kinks, nearest
        The kinks at the point, and the nearest one elsewhere.
    reasons
        Why the function or the gradient could not be traced.
    """

    name: str
    kind: str
    verdict: Judgement
    components: tuple[Component, ...]
    diagnosis: str = ""
    kinks: tuple[Kink, ...] = ()
    nearest: Nearest | None = None
    undefined: str = ""
    """Where the function has no value at the point: the operation and the line."""
    reasons: dict[str, str] = field(default_factory=dict)
    modes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What the function and the gradient did to their arguments."""
    noise: float | None = None
    """How wrong the values of the function may be, as it was stated."""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong: correct, if badly rounded; at a kink, a value between the
        sides' slopes.
        """
        if self.verdict == "kink":
            return all(c.between for c in self.components if c.verdict == "kink")
        return self.verdict in ("correct", "rounding")

    @property
    def table(self) -> pd.DataFrame:
        """One row a component.

        Columns: ``component``, ``verdict``, ``given``, ``expected`` (the derivative, correctly
        rounded, or extrapolated), ``relative_error`` of what was given, ``formula_error``
        (relative, without rounding; NaN where the formula cannot be seen), ``ulps``, ``band``
        (half-width, 0 where the derivative is enclosed), ``left`` and ``right`` at kinks;
        ``gradient`` says which of difflab's modes, where it checks its own.
        """
        import pandas as pd

        columns = (
            "name", "verdict", "given", "expected", "relative_error", "formula_error", "ulps",
            "band", "left", "right",
        )  # fmt: skip
        rows = [[getattr(c, column) for column in columns] for c in self.components]
        table = pd.DataFrame(rows, columns=["component", *columns[1:]])
        if self.modes:
            table.insert(0, "gradient", np.repeat(self.modes, len(rows) // len(self.modes)))
        return table

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        bad = sum(c.verdict == self.verdict for c in self.components)
        many = f" in {bad} of {len(self.components)} components" if self.components else ""
        return one_line(f"<check of {one_line(self.name, 40)}: {self.verdict}{many}>")

    def __str__(self) -> str:
        return "\n".join([f"{self.verdict}: {headline(self)}", *_details(self), *_notes(self)])

    def _repr_html_(self) -> str:
        table = self.table.to_html(
            index=False, na_rep="", max_rows=MOST_ROWS, float_format="{:.6g}".format
        )
        return preformatted(str(self)) + scrolled(table)


def headline(check: Check) -> str:
    """The answer in a sentence."""
    what = f"the {check.kind} of {check.name}"
    components, chosen = _chosen(check)
    n = len(components)
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
            return f"{_bend(check.name, chosen)}{f' ({part})' if n > 1 else ''}."
    if check.undefined:
        return f"{check.name} has no value at this point, so it has no derivative there."
    return f"whether {what} is right {part} cannot be told."


def _bend(name: str, chosen: Sequence[Component]) -> str:
    """Why there is no derivative."""
    if any(c.jump for c in chosen):
        return f"{name} jumps at this point, so it has no derivative there"
    if any(math.isnan(c.left) != math.isnan(c.right) for c in chosen):
        return f"the point is at the edge of the domain of {name}, where its slope is infinite"
    if all(math.isinf(c.left) and c.left == c.right for c in chosen):
        return f"the slope of {name} is infinite at this point"
    return f"{name} has a kink at this point, so it has no derivative there"


def _details(check: Check) -> Iterator[str]:
    components, chosen = _chosen(check)
    if check.verdict == "correct":
        yield f"  {_evidence(check, components)}"
        return
    for c in sorted(chosen, key=_size, reverse=True)[:SHOWN]:
        yield f"  {c.name}: {_line(c)}"
    if len(chosen) > SHOWN:
        yield f"  ... and {len(chosen) - SHOWN} more (see .table)"
    match check.verdict:
        case "wrong":
            yield f"  diagnosis: {check.diagnosis or 'none of the common mistakes fits'}."
            yield from _by_a_tolerance(check, chosen)
            others = len(components) - len(chosen)
            if others and "function" not in check.reasons:
                rest = "component is" if others == 1 else f"{others} components are"
                yield f"  The other {rest} not wrong."
        case "rounding":
            why = "The mathematics is right: in exact arithmetic the two formulas agree"
            if "gradient" in check.reasons:
                why = "It is off by what rounding may amount to here, and right where that is less"
            yield f"  {why}."
            yield "  Remedy: a form that does not cancel; difflab.explain names the operation."
        case "kink":
            line = check.kinks[0].line if check.kinks else None
            if line is not None:
                yield f"  It is made at {line}" + (f": {line.text}" if line.text else "")
            yield f"  {BESIDE}"
        case "undecided":
            yield f"  {_remedy(check, chosen)}"


def _line(c: Component) -> str:
    """What is said of one component, in a line."""
    given = f"given {c.given!r}"
    if c.verdict == "kink":
        if c.jump:
            return (
                f"the value jumps ({c.left!r} from the left, {c.right!r} from the right); {given}"
            )
        if c.reason and math.isnan(c.left) == math.isnan(c.right):
            return f"{c.reason}; {given}"
        left, right = (
            "no slope" if math.isnan(slope) else f"slope {slope!r}" for slope in (c.left, c.right)
        )
        lies = "lies" if c.between else "does not lie"
        return f"{left} from the left, {right} from the right; the {given} {lies} between them"
    if c.verdict == "undecided" and c.reason:
        return f"{given}; {c.reason}"
    if c.verdict == "undecided" and not math.isfinite(c.band):
        return f"{given}; differences of values say nothing here"
    if not math.isfinite(c.expected):
        return f"{given}, but the derivative is no finite number there"
    given, expected = _pair(c.given, c.expected)
    if c.verdict == "undecided" and c.band > 0.0:
        return f"given {given}; by differences it is {expected} within {c.band:.2g}"
    if c.verdict == "undecided":
        return f"given {given}, the derivative is {expected}"
    off = ""
    if c.verdict == "wrong" and c.expected and math.isfinite(c.residual / c.expected):
        off = f" (off by {abs(c.residual / c.expected):.2g} relative)"
    return f"given {given}, should be {'about ' if c.band else ''}{expected}{off}"


def _evidence(check: Check, components: Sequence[Component]) -> str:
    """What the verdict correct rests on."""
    if "function" in check.reasons:
        sizes = [(c.band, max(abs(c.expected), abs(c.given))) for c in components]
        shares = [band / size for band, size in sizes if size > band]
        zeros = [band for band, size in sizes if size <= band]  # which have no size of their own
        widths = [f"at most {max(shares):.1g} of its size"] if shares else []
        widths += [f"{max(zeros):.1g} where it is 0"] if zeros else []
        return f"It lies inside the error band of extrapolated differences, {', '.join(widths)}."
    ulps = max((c.ulps for c in check.components if not math.isnan(c.ulps)), default=0.0)
    if "gradient" in check.reasons:
        return f"It lies within {ulps:.2g} ulps of the derivative, enclosed by ball arithmetic."
    formula = max((c.formula_error for c in components), default=0.0)
    own = " and ".join(f"{mode} mode" for mode in check.modes)
    which = f"The formula of {own}" if own else "Its formula"
    how = "is the derivative's, certified by ball arithmetic"
    if formula and not own:
        how = f"differs by {formula:.1g} relative, no more than its constants are rounded"
    return f"{which} {how}; rounding costs {ulps:.2g} ulps at most."


def _by_a_tolerance(check: Check, chosen: Sequence[Component]) -> Iterator[str]:
    """What a difference so small may be where the function is a program's result."""
    offs = [abs(c.residual / c.expected) if c.expected else math.inf for c in chosen]
    off = max(offs, default=math.inf)
    if "function" in check.reasons and check.noise is None and off < SOLVERS:
        yield (
            f"  It differs from {check.name} as it is called by {off:.2g} of its size; if"
            f" {check.name} is a solver's result, its tolerance can make that: pass noise=."
        )


def _remedy(check: Check, chosen: Sequence[Component]) -> str:
    if check.undefined:
        return f"The first operation without a value is {check.undefined}. {INSIDE}"
    if "function" in check.reasons:
        blame = next((c.blame for c in chosen if c.blame), TOO_WIDE)
        if "noise=" in blame:
            return blame
        if "gradient moves" in blame:
            return f"{blame} Remedy: a form of the gradient that does not cancel, or another point."
        return (
            f"{blame} Remedy: write the function in plain NumPy, so that it can be traced, use"
            " float64, or choose another point."
        )
    if any(c.reason for c in chosen):
        return BESIDE
    if any(not math.isfinite(c.expected) for c in chosen):
        return INSIDE
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
            yield f"  note: the {what} cannot be traced ({reason}), so {INSTEAD[what]}."
    for note in check.notes:
        yield f"  note: {note}."
    near = check.nearest
    if near is not None and near.distance < NEAR * near.size:
        yield f"  note: {near}; differences with larger steps would cross it."


def _chosen(check: Check) -> tuple[list[Component], list[Component]]:
    """Each component once (where two modes were judged, by the worse one), and those that made the
    verdict.
    """
    worst: dict[str, Component] = {}
    for c in check.components:
        worst[c.name] = max(worst.get(c.name, c), c, key=lambda c: JUDGEMENTS.index(c.verdict))
    components = list(worst.values())
    return components, [c for c in components if c.verdict == check.verdict]


def _size(c: Component) -> float:
    """How bad a component is, for the order."""
    if not math.isfinite(c.given):
        return math.inf
    return 0.0 if math.isnan(c.relative_error) else c.relative_error


def _pair(given: float, expected: float) -> tuple[str, str]:
    """Two numbers with as many digits as show the difference."""
    for digits in (6, 9, 12, 15):
        texts = f"{given:.{digits}g}", f"{expected:.{digits}g}"
        shown = [float(text) for text in texts]
        gap = abs(given - expected)
        if texts[0] != texts[1] and abs((shown[0] - shown[1]) - (given - expected)) < 0.01 * gap:
            return texts
    return repr(given), repr(expected)
