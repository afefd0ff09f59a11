"""The derivative at a point: where it exists, what it is, and else why it does not.

What flows: a scene goes in. Where no suspect is reached, the rules' derivative in balls is the
derivative. Each component that reaches one is looked at from both sides, in germs: the partial
derivative exists where both slopes agree and the value is continuous, and then *is* their slope,
whatever convention the rules have. Where all partial derivatives of an output exist, lines in other
directions are looked at as well, because partial derivatives alone do not make a gradient. The
invariant: a finite ball holds the derivative of the function; `special` says what else there is.

>>> from difflab.accuracy.subject import Subject
>>> def derivative_of(f, x, order=1):
...     return derivative(Scene(Subject(f, (x,), order=order)))
>>> print(derivative_of(lambda x: np.abs(x) * np.sign(x), 0.0).balls[0].item())
1.00000000000000
>>> [(p.verdict, p.left, p.right) for p in derivative_of(np.abs, 0.0).special.values()]
[('kink', -1.0, 1.0)]
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from difflab.accuracy.partials import (
    OneSided,
    Partial,
    Regularity,
    first_partial,
    one_sided,
    second_partial,
    slope_beside,
    undecided,
)
from difflab.accuracy.scene import LADDER, Beside, BranchOpen, Scene, Untraceable
from difflab.accuracy.subject import Place, Subject, places
from difflab.ir.expr import Array, Expr, Graph
from difflab.ir.tree import Structure
from difflab.methods.automatic import derivative_blocks
from difflab.readings.germ_series import resolution
from difflab.readings.germs import NOT_TOLD, Ball, Germ, germ

SECONDS: Final = 3.5
"""After which no further component is looked at in germs."""
DIRECTIONS: Final = 3
"""Lines, besides the axes, along which a gradient is tried."""
ENDLESS_INSIDE: Final = "an operation inside has no value, and floats go on with infinity"
SHAPE: Final = "beside the point the result has another shape"
SIDES: Final = (-1, 1)


@dataclass(slots=True)
class Derivative:
    """A derivative in balls, NaN where there is none, and what is special about components."""

    scene: Scene
    blocks: list[Expr]
    """The rules' derivative."""
    balls: list[Array]
    bits: int
    special: dict[Place, Partial] = field(default_factory=dict)
    untraceable: str = ""
    """Why the branch that Python takes on a side could not be followed."""
    without_value: Expr | None = None
    """The first operation without a value, where an output has none for that reason."""

    @property
    def subject(self) -> Subject:
        """What is differentiated."""
        return self.scene.subject

    @property
    def graph(self) -> Graph:
        """The function, as it was traced at the point."""
        return self.scene.graph

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shapes of what the function returns."""
        return [out.shape for out in self.graph.outputs]

    @property
    def tree(self) -> Structure:
        """The tree of what the function returns."""
        return self.graph.output_tree

    def at(self, place: Place) -> Partial:
        """One component: a block, and an index in it."""
        k, index = place
        return self.special.get(place) or Partial("smooth", self.balls[k][index])

    @property
    def special_by_name(self) -> dict[str, Partial]:
        """What is special, by the names of the components."""
        if not self.special:
            return {}
        names = self.subject.names(self.tree, self.shapes)
        pairs = zip(names, places(block.shape for block in self.blocks), strict=True)
        return {name: self.special[at] for name, at in pairs if at in self.special}


def derivative(scene: Scene) -> Derivative:
    """The derivative of the scene's function, of the order of its subject."""
    first = _First(scene)
    return (first if scene.subject.order == 1 else _Second(first)).result


class _Order(ABC):
    """What derivatives of both orders have in common."""

    def __init__(self, scene: Scene, blocks: list[Expr], deadline: float) -> None:
        self.scene, self.subject, self.graph = scene, scene.subject, scene.graph
        self.deadline = deadline
        self.found = Derivative(scene, blocks, *scene.sharpened(blocks))
        self.special, self.balls, self.at = self.found.special, self.found.balls, self.found.at
        self.outputs = places(out.shape for out in self.graph.outputs)
        self.moves = self.subject.moves

    @property
    def result(self) -> Derivative:
        """The derivative, with its balls where germs have told them."""
        for (k, index), partial in self.special.items():
            self.balls[k][index] = partial.ball
        return self.found

    def late(self) -> bool:
        """Whether the time for germs is over."""
        return time.monotonic() > self.deadline

    def put(self, place: Place, partial: Partial) -> None:
        """Keep what is known of a component, with the line of a suspect if it has none."""
        if partial.line is None:
            line = next((node.line for node in self.scene.suspects), None)
            partial = replace(partial, line=line)
        self.special[place] = partial

    def beside(
        self, bits: int, terms: int, moves: Sequence[tuple[Place, Germ]]
    ) -> Callable[[Place], Germ]:
        """The germ of each output along a line."""
        with resolution(bits, terms), np.errstate(all="ignore"):
            try:
                arrays = Beside(self.scene, bits, moves).outputs
            except Untraceable as error:
                self.found.untraceable = str(error)
                reason = f"the branch beside the point cannot be traced: {error}"
            except BranchOpen as error:
                reason = str(error)
            else:
                if [np.shape(x) for x in arrays] != [x.shape for x in self.scene.graph.outputs]:
                    return lambda out: Germ.unknown(SHAPE)
                return lambda out: germ(_element(arrays[out[0]], out[1]))
        return lambda out: Germ.unknown(reason)

    @abstractmethod
    def place(self, out: Place, component: Any) -> Place:
        """Where the derivative of an output by a component, or by a pair of them, stands."""

    @abstractmethod
    def both_sides(self, component: Any, bits: int, terms: int) -> Callable[[Place], Partial]:
        """What germs on both sides tell of an output's derivative by a component, or a pair."""

    def look_at(self, components: Sequence[Any], what: str) -> None:
        """Look at components, with more digits where a question is open, while there is time."""
        for count, component in enumerate(components):
            pairs = [(out, self.place(out, component)) for out in self.outputs]
            left = [(out, at) for out, at in pairs if at not in self.special]
            for bits, terms in LADDER:
                if bits < self.scene.bits:
                    continue
                if not left or self.late():
                    break
                told = self.both_sides(component, bits, terms)
                for out, at in left:
                    self.put(at, told(out))
                left = [(out, at) for out, at in left if self.at(at).verdict == "undecided"]
            for _, at in left:
                if at not in self.special:
                    there = f"{len(components)} {what} meet a choice or a border here"
                    self.put(at, undecided(f"{there}; {count} were looked at"))


class _First(_Order):
    """First derivatives."""

    def __init__(self, scene: Scene) -> None:
        deadline = time.monotonic() + SECONDS
        blocks = derivative_blocks(scene.graph, scene.subject.wrt)
        super().__init__(scene, blocks, deadline)
        self.values = self._values()
        self._tell_outputs_without_value()
        self.reached = self._reached()
        self.look_at(self.reached, "components")
        if len(self.moves) > 1 and self.reached:
            self._try_lines()

    def place(self, out: Place, move: Place) -> Place:
        row, at = out
        i, index = move
        return row * len(self.subject.wrt) + self.subject.wrt.index(i), (*at, *index)

    def _values(self) -> dict[Place, Any]:
        """The value of each output in balls; an unknown germ where no precision tells it."""
        known = self.scene.balls(self.scene.bits)
        return {
            (row, index): _element(known[self.graph.outputs[row]], index)
            for row, index in self.outputs
        }

    def _tell_outputs_without_value(self) -> None:
        for out, value in self.values.items():
            if isinstance(value, Germ) or not value.is_finite():
                node = self.scene.first_without_value(self.graph.outputs[out[0]])
                self.found.without_value = self.found.without_value or node
                partial = first_partial(value, ())
                row, index = out
                if np.isfinite(self.scene.floats[self.graph.outputs[row]][index]):
                    partial = replace(partial, reason=ENDLESS_INSIDE)
                for move in self.moves:
                    self.put(self.place(out, move), partial)

    def _reached(self) -> list[Place]:
        """The components to look at: those that reach a suspect, or have no finite ball."""
        masks = {i: np.array(self.scene.reached[i]) for i in self.subject.wrt}
        for k, block in enumerate(self.balls):
            i = self.subject.wrt[k % len(self.subject.wrt)]
            endless = np.array([not ball.is_finite() for ball in block.flat], bool)
            if np.any(endless):
                masks[i] |= np.any(endless.reshape(-1, *masks[i].shape), 0)
        return [(i, index) for i, index in self.moves if masks[i][index]]

    def both_sides(self, move: Place, bits: int, terms: int) -> Callable[[Place], Partial]:
        sides = [self.beside(bits, terms, [(move, Germ.parameter(sign=s))]) for s in SIDES]

        def told(out: Place) -> Partial:
            with resolution(bits, terms):
                found = [one_sided(side(out), s) for side, s in zip(sides, SIDES, strict=True)]
                return first_partial(self.values[out], found)

        return told

    def _try_lines(self) -> None:
        """Lines along which the slope must be the combination of the partial derivatives."""
        rng = np.random.default_rng(0)
        smooth = [
            out
            for out in self.outputs
            if all(self.at(self.place(out, move)).exists for move in self.moves)
        ]
        bits, terms = LADDER[1]
        for line in range(DIRECTIONS):
            if not smooth or self.late():
                return
            speeds = rng.integers(1, 16, len(self.moves)) * rng.choice([-1, 1], len(self.moves)) / 8
            weights = [float(speed) if line else 1.0 for speed in speeds]
            pairs = list(zip(self.moves, weights, strict=True))
            sides = [
                self.beside(bits, terms, [(m, Germ({(1, 0): Ball(w * s)})) for m, w in pairs])
                for s in SIDES
            ]
            for out in list(smooth):
                with resolution(bits, terms):
                    slopes = (self.at(self.place(out, move)).ball * w for move, w in pairs)
                    expected = sum(slopes, Ball(0))
                    found = [one_sided(side(out), s) for side, s in zip(sides, SIDES, strict=True)]
                    bent = any(side.contradicts(self.values[out], expected) for side in found)
                if bent:
                    smooth.remove(out)
                    self._bend(out, found)

    def _bend(self, out: Place, sides: Sequence[OneSided]) -> None:
        """The partial derivatives of an output exist, but it has no gradient."""
        verdict: Regularity = "jump" if any(s.jumps(self.values[out]) for s in sides) else "kink"
        lines = f"{len(self.moves)} + {DIRECTIONS} lines"
        reason = f"each partial derivative exists, the gradient does not, by {lines}"
        slopes = [side.number for side in sides]
        for move in self.reached:
            around = [float(self.at(self.place(out, move)).ball), *slopes]
            low, high = float(np.nanmin(around)), float(np.nanmax(around))
            self.put(self.place(out, move), Partial(verdict, Ball("nan"), low, high, reason))


class _Second(_Order):
    """Second derivatives: the first ones beside the point, by germs within germs."""

    def __init__(self, first: _First) -> None:
        scene = first.scene
        super().__init__(scene, scene.subject.blocks(scene.graph), first.deadline)
        self.first, self.found.without_value = first, first.found.without_value
        pairs = [(a, b) for a in self.moves for b in self.moves]
        for out in self.outputs:
            for pair in pairs:
                partial = first.at(first.place(out, pair[0]))
                if not partial.ball.is_finite():
                    self.put(self.place(out, pair), partial)
        reached = set(first.reached)
        suspicious = [p for p in pairs if not reached.isdisjoint(p) or self._is_endless(p)]
        self.look_at(suspicious, "pairs of components")
        self.found.untraceable = self.found.untraceable or first.found.untraceable

    def place(self, out: Place, pair: tuple[Place, Place]) -> Place:
        (a, (i, index)), width = pair, len(self.subject.wrt)
        k, at = self.first.place(out, a)
        return k * width + self.subject.wrt.index(i), (*at, *index)

    def _is_endless(self, pair: tuple[Place, Place]) -> bool:
        """Whether the rules' derivative is not finite in balls."""
        places = (self.place(out, pair) for out in self.outputs)
        return not all(self.balls[k][index].is_finite() for k, index in places)

    def both_sides(
        self, pair: tuple[Place, Place], bits: int, terms: int
    ) -> Callable[[Place], Partial]:
        a, b = pair
        steps = [(b, Germ.parameter(sign=t)) for t in SIDES]
        inner = [(a, Germ.parameter(level=2, sign=s)) for s in SIDES]
        here = [self.beside(bits, terms, [step]) for step in steps]
        sides = [[self.beside(bits, terms, [step, move]) for move in inner] for step in steps]

        def told(out: Place) -> Partial:
            first = self.first.at(self.first.place(out, a))
            with resolution(bits, terms):
                found = [
                    slope_beside(here[k](out), [side(out).at(2) for side in sides[k]], t)
                    for k, t in enumerate(SIDES)
                ]
                partial = second_partial(first.ball, found)
            if partial.exists and not first.exists:  # the first derivative is that of one side
                return replace(partial, verdict=first.verdict, reason=first.reason)
            return partial

        return told


def _element(array: Array, index: tuple[int, ...]) -> Any:
    """An element of an output as a ball or a germ: truth values and integers count as numbers."""
    x = array[index]
    if isinstance(x, (Ball, Germ)):
        return x
    return Germ.unknown(NOT_TOLD) if x is None else Ball(float(x))
