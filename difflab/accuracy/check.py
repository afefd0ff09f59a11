"""Is this gradient right? The answer as a verdict, with the figures and the words for it.

What flows: a function, a point and a gradient go in; both are traced if they can be, judged
component by component (judge.py), what is wrong is diagnosed (diagnosis.py), and a `Check` comes
out that reads as text, as a table, and as a truth value. The invariant: there is no tolerance to
choose.

>>> def f(x):
...     return x[0] ** 2 * x[1]
>>> def gradient(x):
...     return np.stack([2 * x[0] * x[1], x[0] ** 3])
>>> check(f, np.array([2.0, 3.0]), gradient=gradient).verdict
'wrong'
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, Literal, overload

import numpy as np

from difflab.accuracy.bands import Opaque, judged_by_differences
from difflab.accuracy.candidate import Candidate, Misfit, read_candidate, why_not
from difflab.accuracy.derivative import Derivative, derivative
from difflab.accuracy.diagnosis import Residuals, diagnosis
from difflab.accuracy.estimate import checked_noise
from difflab.accuracy.foreign import adapted
from difflab.accuracy.judge import (
    JUDGEMENTS,
    Component,
    Judgement,
    judged_by_balls,
)
from difflab.accuracy.kinks import at_line, kinks_of, nearest
from difflab.accuracy.points import Points, at_each
from difflab.accuracy.scene import Scene
from difflab.accuracy.subject import Subject
from difflab.accuracy.words import Check
from difflab.errors import ArgumentError, UnsupportedError
from difflab.operators import jacobian
from difflab.operators.arguments import Argnums
from difflab.operators.batched import BatchAxes

MOST_SWEEPS = 100
"""A mode that needs more sweeps is not judged where the other one needs fewer."""
OWN: Final = "it calls the primitive"
"""How it is said that a function has rules of its own, which are not taken for the truth."""


@overload
def check(
    f: Any,
    *args: Any,
    gradient: Callable[..., Any] | bool | None = None,
    order: int = 1,
    argnums: Argnums | None = None,
    noise: float | None = None,
    batch: Literal[False] = False,
) -> Check: ...
@overload
def check(
    f: Any,
    *args: Any,
    gradient: Callable[..., Any] | bool | None = None,
    order: int = 1,
    argnums: Argnums | None = None,
    noise: float | None = None,
    batch: BatchAxes,
) -> Points[Check]: ...
def check(
    f: Any,
    *args: Any,
    gradient: Callable[..., Any] | bool | None = None,
    order: int = 1,
    argnums: Argnums | None = None,
    noise: float | None = None,
    batch: BatchAxes | Literal[False] = False,
) -> Any:
    """Whether a gradient (Jacobian, Hessian) is right at a point, how wrong it is, and why.

    Parameters
    ----------
    f
        A function of floats, float arrays and trees of them, to a number or an array. Where it can
        be traced the derivative is enclosed by ball arithmetic; where it cannot (PyTorch, JAX, C
        code) it is extrapolated from differences, with an error band. Of a ``torch.nn.Module``, of
        functions of tensors and of JAX arrays, and of an object with the methods ``loss`` and
        ``gradient`` of ``(y_true, raw_prediction)``, the library's own gradient is checked.
    args
        The point.
    gradient
        Takes the same arguments; returns the gradient of a scalar f, the Jacobian of shape
        ``f(x).shape + x.shape`` of another, for ``order=2`` the Hessian; for several arguments a
        tuple. None: difflab's own forward and reverse mode are judged. True: f itself returns the
        value and the gradient.
    order
        1, or 2 for second derivatives.
    argnums
        Which arguments the gradient is by; by default all that hold floats, or the first, as its
        result tells.
    noise
        How wrong f's values may be, absolutely, where f cannot be traced: what a solver's tolerance
        allows. 0: exact to rounding. None: unknown; where differences over coarse and fine steps
        disagree, what is off by less than 2^-16 of the largest component is undecided.
    batch
        The axis of the arguments, or one for each, along which there are many points; None for an
        argument that is the same at all of them. Then a sequence of checks comes back, with one
        ``.table``, ``.verdict`` (the worst) and ``.ok``.

    Returns
    -------
    Check
        ``.ok``, ``.verdict``, ``.diagnosis``, ``.table``; ``print(check)`` explains.

    Raises
    ------
    ArgumentError
        If there is nothing to differentiate, or no gradient to check, or the noise is no number
        >= 0.
    DomainError
        If an argument is NaN or infinite.

    Examples
    --------
    >>> print(check(np.tanh, 20.0, gradient=lambda x: 1 - np.tanh(x) ** 2))
    rounding: the formula of the derivative of tanh is right, but its digits are lost.
      x: given 0, should be 1.69934e-17
    ...
    """
    if batch is not False:
        judge = functools.partial(
            check, f, gradient=gradient, order=order, argnums=argnums, noise=noise
        )
        return at_each(judge, args, batch)
    noise = checked_noise(noise)
    foreign = adapted(f, args, gradient, argnums)
    if foreign is not None:
        if order != 1 and (gradient is None or gradient is True):
            raise ArgumentError(
                "of another library's function the first derivative is judged",
                "pass gradient=, a function that returns the second",
            )
        found = check(foreign.f, *foreign.args, gradient=foreign.gradient, order=order,
                      argnums=foreign.argnums, noise=noise)  # fmt: skip
        return replace(found, notes=(*foreign.notes, *found.notes))
    if isinstance(gradient, bool):
        raise ArgumentError("gradient=False is no function", "leave out gradient=")
    subject = Subject(f, args, argnums, order)
    seen, reason = _seen(subject)
    if gradient is None:
        if isinstance(seen, Opaque) and not reason.startswith(OWN):
            raise ArgumentError(
                f"{subject.name} cannot be traced, so difflab has no gradient of its own to check:"
                f" {reason}",
                "pass gradient=, a function that returns the derivative",
            )
        return _own_modes(subject, seen, reason, noise)
    try:
        candidate = read_candidate(gradient, subject, subject.shapes(seen.shapes))
    except Misfit as misfit:
        if argnums is None and not isinstance(subject.argnums, int):
            first = subject.argnums[0]  # a gradient by the first of several arguments is common
            return check(f, *args, gradient=gradient, order=order, argnums=first, noise=noise)
        kind = _kind(subject, seen.shapes)
        return Check(subject.name, kind, "wrong", (), str(misfit), notes=subject.notes)
    return _judged(subject, seen, reason, candidate, noise)


def _judged(
    subject: Subject,
    seen: Derivative | Opaque,
    reason: str,
    candidate: Candidate,
    noise: float | None = None,
) -> Check:
    """The judgement of one candidate, by what can be traced."""
    names = subject.names(seen.tree, seen.shapes)
    reasons = {"gradient": candidate.reason} if candidate.graph is None else {}
    near, undefined, graph = None, "", None
    if isinstance(seen, Derivative):
        graph = seen.graph
        components = judged_by_balls(seen, candidate, names)
        kinks = kinks_of(seen.special_by_name)
        near = nearest(subject, graph) if not seen.special else None
        node = seen.without_value
        undefined = node.primitive.name + at_line(node.line) if node is not None else ""
    else:
        components, found = judged_by_differences(subject, seen, candidate, names, noise)
        kinks = found.kinks
        reasons["function"] = reason
    verdict, why = _worst(components), ""
    if verdict != "wrong" and not candidate.repeats:
        verdict, why = "wrong", "called again at the same point, it returns something else"
    elif verdict == "wrong":
        residuals = Residuals(components, subject.shapes(seen.shapes), subject, candidate, graph)
        why = _convention(seen, components) or diagnosis(residuals)
    return Check(
        name=subject.name,
        kind=_kind(subject, seen.shapes),
        verdict=verdict,
        components=tuple(components),
        diagnosis=why,
        kinks=kinks,
        nearest=near,
        undefined=undefined,
        reasons=reasons,
        notes=(*subject.notes, *candidate.notes),
        noise=noise,
    )


def _worst(components: Sequence[Component]) -> Judgement:
    return max((c.verdict for c in components), key=JUDGEMENTS.index, default=JUDGEMENTS[0])


def _convention(seen: Derivative | Opaque, components: Sequence[Component]) -> str:
    """Where what is wrong is a rule's convention at a choice."""
    special = seen.special_by_name if isinstance(seen, Derivative) else {}
    wrong = [c.name for c in components if c.verdict == "wrong" and np.isfinite(c.given)]
    if not wrong or not all(name in special and special[name].exists for name in wrong):
        return ""
    return (
        f"a choice{at_line(special[wrong[0]].line)} is tied at this point, where a rule takes a"
        " side or the middle; the slopes of the function agree from both sides"
    )


def _own_modes(
    subject: Subject, true: Derivative | Opaque, reason: str, noise: float | None
) -> Check:
    """difflab's reverse and forward mode, each judged as if it had been given."""
    checks: dict[str, Check] = {}
    refused: list[UnsupportedError] = []
    for mode in _affordable_modes(subject, true.shapes):
        own: Any = subject.f
        for _ in range(subject.order):
            own = jacobian(own, argnums=subject.argnums, method=mode, engine="numpy")
        try:
            candidate = read_candidate(own, subject, subject.shapes(true.shapes))
        except UnsupportedError as error:  # a primitive of one's own without that rule
            refused.append(error)
        else:
            checks[mode] = _judged(subject, true, reason, candidate, noise)
    if not checks:
        raise refused[0]
    worst = max(checks, key=lambda mode: JUDGEMENTS.index(checks[mode].verdict))
    components = tuple(c for one in checks.values() for c in one.components)
    notes = tuple(
        f"this is {worst} mode; {mode} mode is {one.verdict}"
        for mode, one in checks.items()
        if one.verdict != checks[worst].verdict
    )
    return replace(checks[worst], components=components, modes=tuple(checks), notes=notes)


def _affordable_modes(subject: Subject, shapes: Sequence[tuple[int, ...]]) -> tuple[str, ...]:
    """Both modes, unless one would sweep too often: once for each input, or for each output."""
    outputs = sum(map(math.prod, shapes))
    sweeps = {"reverse": outputs, "forward": len(subject.moves)}
    least = min(sweeps.values())
    return tuple(mode for mode, count in sweeps.items() if count <= max(least, MOST_SWEEPS))


def _seen(subject: Subject) -> tuple[Derivative | Opaque, str]:
    """The derivative; where the function, or the branch beside the point, cannot be traced, what it
    returns, and why. A fault of the function shows when it is called.
    """
    try:
        scene = Scene(subject)
    except Exception as error:
        return Opaque.of(subject), why_not(error)
    own = [node.primitive.name for node in scene.graph.operations if node.primitive.is_own]
    if own:  # whose rules are what is to be proved
        return Opaque.of(subject), f"{OWN} {own[0]}, whose rules are not taken for the truth"
    true = derivative(scene)
    return (Opaque.of(subject), true.untraceable) if true.untraceable else (true, "")


def _kind(subject: Subject, shapes: Sequence[tuple[int, ...]]) -> str:
    """What the derivative is called."""
    single = list(shapes) == [()]
    if subject.order == 2:
        return "Hessian" if single else "second derivative"
    if not single:
        return "Jacobian"
    scalar = len(subject.wrt) == 1 and np.shape(subject.arrays[subject.wrt[0]]) == ()
    return "derivative" if scalar else "gradient"
