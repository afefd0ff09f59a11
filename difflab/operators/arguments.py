"""Which arguments are differentiated by, and how lists of arrays become what the user gets.

What flows: `argnums` and the signature of a call go in; the chosen arguments come out, as trees of
positions among the call's arrays, and the functions that put flat lists of results into the trees
of outputs and arguments. The invariant: nothing is asked of the function but the names of its
parameters, so that whoever judges derivatives reads arguments as the operators do.

>>> from difflab.ir.tree import read_arguments
>>> signature, arrays = read_arguments((1.0, {"a": 2.0, "b": 3.0}), {})
>>> chosen(lambda x, y: x, 1, signature).positions
(1, 2)
>>> chosen(lambda x, y: x, 1, signature).by_argument([10.0, 20.0])
{'a': 10.0, 'b': 20.0}
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from difflab.errors import ArgumentError, ShapeError
from difflab.ir.protocols import TracedArray
from difflab.ir.tree import LEAF, Signature, Spec, Structure, flatten, leaf_count, unflatten
from difflab.tracing.called import parameter_names

Argnums = int | Sequence[int]
Finish = Callable[[list[Any]], Any]


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument to differentiate: its tree, and the positions of its leaves among all arrays."""

    structure: Structure
    positions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Chosen:
    """The arguments to differentiate by."""

    parts: tuple[Argument, ...]
    single: bool
    """Whether one was asked for, and no sequence."""

    @property
    def positions(self) -> tuple[int, ...]:
        """The positions of all their arrays among the arrays of the call."""
        return tuple(i for part in self.parts for i in part.positions)

    def by_argument(self, blocks: Sequence[Any]) -> Any:
        """Blocks in order, as one tree an argument."""
        rest = iter(blocks)
        trees = [
            unflatten(part.structure, [next(rest) for _ in part.positions]) for part in self.parts
        ]
        return trees[0] if self.single else tuple(trees)

    def finisher(self, tree: Structure, count: int, values: bool = False) -> Finish:
        """How blocks, for each of `count` outputs one for each array, become what the user gets;
        with `values` the outputs stand before them, and in the result.
        """
        width = len(self.positions)
        first = count if values else 0
        if count == width == 1 and self.single and tree is LEAF is self.parts[0].structure:
            # The commonest result, for speed.
            return (lambda found: (found[0], found[1])) if values else (lambda found: found[0])

        def finish(found: list[Any]) -> Any:
            starts = range(first, first + count * width, width or 1)
            rows = [self.by_argument(found[start : start + width]) for start in starts]
            blocks = rows[0] if tree is LEAF else unflatten(tree, rows)
            return (unflatten(tree, found[:count]), blocks) if values else blocks

        return finish


def numbers_of(argnums: Any) -> int | tuple[int, ...]:
    """The numbers of arguments, as plain integers."""
    if type(argnums) is int:
        return argnums
    several = isinstance(argnums, Sequence) and not isinstance(argnums, str)
    several = several or (isinstance(argnums, np.ndarray) and argnums.ndim > 0)
    numbers = tuple(argnums) if several else (argnums,)
    if not numbers:
        raise ArgumentError("argnums is empty", "name at least one argument, such as argnums=0")
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, (int, np.integer)):
            raise ArgumentError(
                f"argnums={argnums!r} does not say which arguments",
                "give the position of an argument, such as 0, or a tuple of such positions",
            )
    plain = tuple(map(int, numbers))
    return plain if several else plain[0]


def chosen(f: Callable[..., Any], argnums: Argnums, signature: Signature) -> Chosen:
    """The arguments with these numbers in a call of f; they must hold floats and nothing else."""
    positional = signature.structure.children[0].children
    names = signature.paths(parameter_names(f))
    numbers = (argnums,) if isinstance(argnums, int) else argnums
    found: dict[int, Argument] = {}
    leaves_of = [leaf_count(child) for child in positional]
    for number in numbers:
        if not -len(positional) <= number < len(positional):
            raise ArgumentError(
                f"argnums={number}, but the function was called with"
                f" {len(positional)} positional arguments",
                "pass the argument to differentiate by position",
            )
        index = number % len(positional)
        if index in found:
            raise ArgumentError(
                f"argnums={argnums} names an argument twice", "name each argument once"
            )
        start = sum(leaves_of[:index])
        leaves = range(start, start + leaves_of[index])
        for i in leaves:
            _check_float(names[i], signature.leaves[i])
        before = sum(isinstance(spec, Spec) for spec in signature.leaves[:start])
        found[index] = Argument(positional[index], tuple(range(before, before + len(leaves))))
    if not any(part.positions for part in found.values()):
        raise ArgumentError(
            "the argument holds no numbers, so there is nothing to differentiate",
            "pass some numbers, or choose another argument with argnums",
        )
    return Chosen(tuple(found.values()), isinstance(argnums, int))


def _check_float(name: str, spec: Any) -> None:
    if isinstance(spec, Spec):
        if spec.dtype.kind == "f":
            return
        kind = "booleans" if spec.dtype.kind == "b" else "integers"
        raise ArgumentError(
            f"{name} is an array of {kind}; derivatives need floats", "pass x.astype(float)"
        )
    if spec.kind in (int, bool):
        raise ArgumentError(
            f"{name} is the integer {spec.value}; derivatives need floats", f"pass {spec.value}.0"
        )
    raise ArgumentError(
        f"{name} is a {spec.kind.__name__}; derivatives need floats or float arrays",
        "convert it to a NumPy array, or choose another argument with argnums",
    )


# -- tangents and cotangents -----------------------------------------------------------------------


def as_tuple(name: str, given: Any) -> tuple[Any, ...]:
    """A tuple that was asked for."""
    if not isinstance(given, (tuple, list)):
        raise ArgumentError(
            f"{name} is a {type(given).__name__}, not a tuple", f"write ({name.rstrip('s')},)"
        )
    return tuple(given)


def aligned(kind: str, given: Any, structure: Structure, expected: Sequence[Any]) -> list[Any]:
    """The leaves of tangents or cotangents, checked against what they belong to, in its dtypes."""
    leaves, own = flatten(given)
    leaves = [x for x in leaves if isinstance(x, (TracedArray, np.ndarray, np.generic, float, int))]
    matching = own == structure or leaf_count(own) == leaf_count(structure)
    if not matching or len(leaves) != len(expected):
        raise ShapeError(
            f"the {kind}s form another tree than what they belong to", "give one for each array"
        )
    found = []
    for leaf, x in zip(leaves, expected, strict=True):
        value = leaf.content if isinstance(leaf, TracedArray) else np.asarray(leaf)
        if value.shape != x.shape:
            raise ShapeError(
                f"a {kind} of shape {value.shape} for a value of shape {x.shape}",
                "shapes must agree",
            )
        found.append(value if value.dtype == x.dtype else value.astype(x.dtype))
    return found
