"""A question to `check`, and one of fewer numbers where there are too many to ask them all.

What flows: a function, a point and a gradient go in; where there are many numbers to differentiate
by, a function of some of them, chosen at random, comes out, with a gradient to match; where the
outputs are many, weights with which to sum them. The invariants: the function is called as it is,
at the same point; and a note says how much of it was looked at.

>>> many = Question(lambda x: np.sum(x**2), (np.ones(1000),), lambda x: 2 * x, 0)
>>> few = thinned(many)
>>> len(few.args[0]), few.notes
(100, ('100 of 1,000 numbers were checked, chosen at random',))
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from difflab.accuracy.subject import Subject
from difflab.errors import UnsupportedError
from difflab.ir.protocols import TracedArray
from difflab.ir.tree import Spec, flatten, unflatten
from difflab.operators.arguments import Argnums

Function = Callable[..., Any]
MOST: Final = 500
"""Up to so many numbers all are asked; each takes some tens of calls."""
SOME: Final = 100
"""How many are asked of more than those."""
MOST_COMPONENTS: Final = 2_000
"""Of the derivative; where there are more, the outputs are summed."""


@dataclass(frozen=True, slots=True)
class Question:
    """What `check` is asked: NumPy functions, a point, and what there is to say of how it came."""

    f: Function
    args: tuple[Any, ...]
    gradient: Function | None
    argnums: Argnums | None
    notes: tuple[str, ...] = ()


def named(function: Function, f: Any, names: Sequence[str]) -> Function:
    """A function under the name of another one, with parameters of these names."""
    function.__name__ = str(getattr(f, "__name__", type(f).__name__))
    if names:
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [inspect.Parameter(name, kind) for name in names]
        )
    return function


def thinned(asked: Question) -> Question:
    """The same of some of its numbers, and of one output, where there are many."""
    subject = Subject(asked.f, asked.args, asked.argnums)
    size = len(subject.moves)
    return asked if size <= MOST else _of_some(asked, subject, size)


def weights(shapes: Sequence[tuple[int, ...]], inputs: int) -> list[Any]:
    """What outputs of these shapes are to be weighted with and summed; empty where they are few.

    >>> weights([(2,)], 10), [w.shape for w in weights([(500, 2)], 10)]
    ([], [(500, 2)])
    """
    outputs = sum(map(math.prod, shapes))
    if outputs * (inputs if inputs <= MOST else SOME) <= MOST_COMPONENTS or outputs == 1:
        return []
    rng = np.random.default_rng(0)
    return [rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape) for shape in shapes]


def _of_some(asked: Question, subject: Subject, size: int) -> Question:
    """By some numbers of each array, which keep their names."""
    rng = np.random.default_rng(0)
    most = max(SOME // len(subject.wrt), 1)
    leaves, structure = flatten(asked.args)
    arrays = [k for k, leaf in enumerate(subject.signature.leaves) if isinstance(leaf, Spec)]
    kept = {}
    for k, i in enumerate(subject.wrt):
        names = subject.elements(i)
        for place in rng.permutation(len(names))[:most].tolist():
            kept[names[place]] = (k, arrays[i], place)
    kept = dict(sorted(kept.items()))  # as the leaves of a dict stand

    def moved(given: dict[str, Any]) -> Any:
        if any(isinstance(value, TracedArray) for value in given.values()):
            raise UnsupportedError("they are some of its numbers")
        new = list(leaves)
        for name, (_, at, place) in kept.items():
            if new[at] is leaves[at]:
                new[at] = np.array(leaves[at])
            new[at].flat[place] = given[name]
        return unflatten(structure, new)

    def function(numbers: dict[str, Any]) -> Any:
        return asked.f(*moved(numbers))

    def slope(numbers: dict[str, Any]) -> Any:
        assert asked.gradient is not None
        blocks = flatten(asked.gradient(*moved(numbers)))[0]
        width, found = len(subject.wrt), []
        for start in range(0, len(blocks), width):
            for k, at, place in kept.values():
                block = np.asarray(blocks[start + k])
                outer = block.shape[: block.ndim - np.ndim(leaves[at])]
                found.append(block.reshape(*outer, -1)[..., place])
        return found

    point = {name: float(np.ravel(leaves[at])[place]) for name, (_, at, place) in kept.items()}
    note = f"{len(kept):,} of {size:,} numbers were checked, chosen at random"
    return replace(
        asked,
        f=named(function, asked.f, ("numbers",)),
        args=(point,),
        gradient=slope,
        argnums=0,
        notes=(*asked.notes, note),
    )
