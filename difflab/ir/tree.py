"""Nested arguments to flat lists of leaves, and back.

What flows: a *tree* of dicts, lists, tuples (named ones too) and dataclasses goes in, its leaves
come out in a fixed order together with a hashable `Structure`. The invariant:
``unflatten(*flatten(tree)) == tree``, dicts in the order in which they stand. Whatever is none of
these is a leaf; the leaves of dicts come in sorted key order where the keys sort, so that trees
that differ in it alone have the same leaves.

>>> leaves, structure = flatten({"W": [1.0, 2.0], "b": (3.0,)})
>>> leaves
[1.0, 2.0, 3.0]
>>> unflatten(structure, leaves)
{'W': [1.0, 2.0], 'b': (3.0,)}
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple

import numpy as np

from difflab.errors import ArgumentError, DifflabError
from difflab.ir.protocols import TracedArray

_CONTAINERS = (dict, list, tuple)


class Structure(NamedTuple):
    """The shape of a tree without its leaves; `container` is None for a leaf.

    `order` is the order in which a dict stands, where it is not that of its `keys`.
    """

    container: type | None
    keys: tuple[Any, ...]
    children: tuple[Structure, ...]
    order: tuple[Any, ...] = ()


LEAF: Final = Structure(None, (), ())


def _keys(tree: dict[Any, Any]) -> tuple[Any, ...]:
    try:
        return tuple(sorted(tree))
    except TypeError:
        return tuple(tree)


def _fields(tree: Any) -> tuple[str, ...]:
    """The names of a dataclass's fields, if they are all that an instance holds, and it is a
    user's.
    """
    kind = type(tree)
    if not hasattr(kind, "__dataclass_fields__") or kind.__module__.startswith("difflab."):
        return ()
    names = tuple([field.name for field in dataclasses.fields(tree)])
    own = getattr(tree, "__dict__", {})
    return names if own.keys() <= set(names) and all(hasattr(tree, n) for n in names) else ()


def _collect(tree: Any, leaves: list[Any]) -> Structure:
    if not isinstance(tree, _CONTAINERS):
        names = _fields(tree)
        if names:
            children = tuple([_collect(getattr(tree, name), leaves) for name in names])
            return Structure(type(tree), names, children)
        leaves.append(tree)
        return LEAF
    if isinstance(tree, dict):
        keys, order = _keys(tree), tuple(tree)
        children = tuple([_collect(tree[key], leaves) for key in keys])
        return Structure(type(tree), keys, children, () if order == keys else order)
    return Structure(type(tree), (), tuple([_collect(child, leaves) for child in tree]))


def flatten(tree: Any) -> tuple[list[Any], Structure]:
    """The leaves of a tree, in order, and its structure."""
    leaves: list[Any] = []
    structure = _collect(tree, leaves)
    return leaves, structure


def _build(structure: Structure, leaves: Iterator[Any]) -> Any:
    container = structure.container
    if container is None:
        return next(leaves)
    make: Any = container
    children = [_build(child, leaves) for child in structure.children]
    if issubclass(container, dict):
        built = dict(zip(structure.keys, children, strict=True))
        if structure.order:
            built = {key: built[key] for key in structure.order}
        return built if container is dict else make(built)
    if hasattr(container, "_fields"):
        return make(*children)
    if not issubclass(container, _CONTAINERS):  # a dataclass, as pickle makes one
        built = object.__new__(make)
        for name, child in zip(structure.keys, children, strict=True):
            object.__setattr__(built, name, child)
        return built
    return make(children)


def unflatten(structure: Structure, leaves: Sequence[Any]) -> Any:
    """The tree of that structure with those leaves."""
    return leaves[0] if structure is LEAF else _build(structure, iter(leaves))


def in_key_order(structure: Structure) -> Structure:
    """The same, its dicts in the order of their keys."""
    children = tuple(map(in_key_order, structure.children))
    return structure._replace(children=children, order=())


def leaf_count(structure: Structure) -> int:
    """How many leaves a tree of that structure has."""
    return 1 if structure.container is None else sum(map(leaf_count, structure.children))


def paths(structure: Structure) -> list[str]:
    """How a user would index each leaf, for messages and tables.

    >>> paths(flatten({"W": [1.0, 2.0], "b": 3.0})[1])
    ["['W'][0]", "['W'][1]", "['b']"]
    """
    if structure.container is None:
        return [""]
    container, keys = structure.container, structure.keys or range(len(structure.children))
    names = getattr(container, "_fields", () if issubclass(container, _CONTAINERS) else keys)
    steps = [f".{name}" for name in names] or [f"[{key!r}]" for key in keys]
    return [
        step + rest
        for step, child in zip(steps, structure.children, strict=True)
        for rest in paths(child)
    ]


class Spec(NamedTuple):
    """What a compiled program depends on in an array argument.

    Of those of shape () `weak` marks a Python float, `boxed` an array; else it is a NumPy scalar.
    `order` are the axes as they lie in memory, where that is not their own order: which of its
    views are copies hangs on it.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    weak: bool = False
    boxed: bool = False
    order: tuple[int, ...] = ()

    def laid_out(self, dtype: Any = None) -> np.ndarray[Any, Any]:
        """An array of that shape and order; what it holds means nothing."""
        dtype = dtype or self.dtype
        if not self.order:
            return np.empty(self.shape, dtype)
        turned = np.empty([self.shape[axis] for axis in self.order], dtype)
        return turned.transpose(np.argsort(self.order))


def _order(array: np.ndarray[Any, Any]) -> tuple[int, ...]:
    """The axes of an array as NumPy lays out a copy of it; empty where that is their own order."""
    if array.ndim < 2 or array.flags.c_contiguous:
        return ()
    copy = np.empty_like(array)
    lies = np.argsort([-abs(stride) for stride in copy.strides], kind="stable")
    return () if copy.flags.c_contiguous else tuple(lies.tolist())


class Static(NamedTuple):
    """An argument that is not an array: a different value is a different program."""

    kind: type
    value: Any


class Object:
    """An argument that is an object: what it holds may change, so that it counts by its kind, and
    a watch looks at what the function reads of it.
    """

    __slots__ = ("kind", "value")

    def __init__(self, value: Any) -> None:
        self.kind = type(value)
        self.value = value

    def __eq__(self, other: object) -> bool:
        return type(other) is Object and other.kind is self.kind

    def __hash__(self) -> int:
        return hash(self.kind)


class Signature(NamedTuple):
    """All that a traced program depends on besides the values of its arrays."""

    structure: Structure
    leaves: tuple[Spec | Static | Object, ...]

    @property
    def roots(self) -> tuple[Any, ...]:
        """The objects among the arguments."""
        return tuple([leaf.value for leaf in self.leaves if type(leaf) is Object])

    def with_roots(self, objects: Sequence[Any]) -> Signature:
        """The same with other objects in their place."""
        rest = iter(objects)
        leaves = [Object(next(rest)) if type(leaf) is Object else leaf for leaf in self.leaves]
        return self._replace(leaves=tuple(leaves))

    def paths(self, names: Sequence[str] = ()) -> list[str]:
        """The name of every leaf: parameter name and indices, such as ``params['W'][0]``."""
        positional, keyword = self.structure.children
        numbered = [*names, *(f"argument {i}" for i in range(len(names), len(positional.children)))]
        found = [
            name + rest
            for name, child in zip(numbered, positional.children, strict=False)
            for rest in paths(child)
        ]
        for name, child in zip(keyword.keys, keyword.children, strict=True):
            found += [name + rest for rest in paths(child)]
        return found


_F8, _F4, _I8, _B1 = (np.dtype(kind) for kind in ("float64", "float32", "int64", "bool"))
_PYTHON_FLOAT = Spec((), _F8, True)
_LARGEST: Final = np.uint64(np.iinfo(np.int64).max)
_CONSTANTS = frozenset((int, bool, str, bytes, complex, type(None), range, type(...)))
SIGNATURES = 1024
"""How many signatures of arrays alone are kept."""
FEW = 32
"""Calls of more arguments are not kept."""
_traceable = frozenset((_F8, _F4, _I8, _B1))
_positional: dict[int, Structure] = {}
# The commonest calls, for speed.
_plain: dict[tuple[Any, ...] | None, Signature] = {}


def read_arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Signature, list[Any]]:
    """The signature of a call, and its arrays in order.

    Python floats and NumPy scalars are arrays of shape (); integers are widened to int64; Python
    integers, booleans, strings, None and other hashable objects are static.
    """
    key = None if kwargs else _arrays_alone(args)
    known = _plain.get(key)
    if known is not None:
        return known, [*args]
    leaves: Sequence[Any]
    if not kwargs and all([type(arg) is np.ndarray for arg in args]):  # noqa: C419 (faster)
        leaves, count = args, len(args)
        structure = _positional.get(count) or flatten((args, kwargs))[1]
        if count <= FEW:
            _positional[count] = structure
    else:
        leaves, structure = flatten((args, kwargs))
    specs: list[Spec | Static | Object] = []
    arrays: list[Any] = []
    for leaf in leaves:
        kind = type(leaf)
        if kind is np.ndarray and leaf.dtype in _traceable:
            specs.append(Spec(leaf.shape, leaf.dtype, False, not leaf.shape, _order(leaf)))
            arrays.append(leaf)
        elif kind is float:
            specs.append(_PYTHON_FLOAT)
            arrays.append(leaf)
        elif isinstance(leaf, TracedArray):
            content = leaf.content
            specs.append(Spec(leaf.shape, leaf.dtype, leaf.weak))
            arrays.append(content)
        elif isinstance(leaf, (np.ndarray, np.generic)):
            array = _admitted(leaf)
            boxed = isinstance(leaf, np.ndarray) and not leaf.shape
            specs.append(Spec(array.shape, array.dtype, False, boxed, _order(array)))
            arrays.append(array)
        else:
            try:
                hash(leaf)
            except TypeError:
                raise ArgumentError(
                    f"an argument of type {kind.__name__} is neither an array nor hashable",
                    "pass arrays, numbers, strings, or dicts, lists and tuples of them",
                ) from None
            constant = kind in _CONSTANTS or isinstance(leaf, (Enum, np.dtype))
            specs.append(Static(kind, leaf) if constant else Object(leaf))
    signature = Signature(structure, tuple(specs))
    if key is not None:
        if len(_plain) >= SIGNATURES:
            _plain.clear()
        _plain[key] = signature
    return signature, arrays


def _arrays_alone(args: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Shapes and dtypes, where all are arrays whose elements lie in the order of their axes."""
    if len(args) > FEW:
        return None
    found: list[Any] = []
    for x in args:
        if type(x) is not np.ndarray:
            return None
        shape = x.shape
        if len(shape) > 1 and not x.flags.c_contiguous:
            return None
        found += (shape, x.dtype)
    return tuple(found)


def need_int64(array: np.ndarray[Any, Any], kind: type[DifflabError]) -> None:
    """Raise where an array of integers holds some that int64 does not."""
    if array.dtype.itemsize == 8 and array.dtype.kind == "u" and np.any(array > _LARGEST):
        raise kind(
            f"an array of {array.dtype} holds {np.max(array)}, which int64 does not",
            "use smaller integers, or x.astype(float)",
        )


def _admitted(leaf: np.ndarray[Any, Any] | np.generic) -> np.ndarray[Any, Any]:
    """A NumPy value as an array of one of the four dtypes."""
    if isinstance(leaf, (np.matrix, np.ma.MaskedArray)):
        raise ArgumentError(f"a {type(leaf).__name__} cannot be traced", "pass np.asarray(x)")
    array = np.asarray(leaf)
    if array.dtype.kind in "iu":
        need_int64(array, ArgumentError)
        return array.astype(np.int64)
    if array.dtype.newbyteorder("=") in _traceable:
        return array.astype(array.dtype.newbyteorder("="))
    raise ArgumentError(
        f"an array of dtype {array.dtype} cannot be traced",
        "use float64, float32, int64 or bool, for example x.astype(float)",
    )
