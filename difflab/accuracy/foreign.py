"""Functions of other libraries as NumPy functions: PyTorch's modules, JAX's functions, losses.

What flows: a function, its arguments and perhaps a gradient come in as another library has them,
and NumPy functions of NumPy arrays go out, that `check` can call: the function, and the gradient
that the library itself would compute. The invariants: no library is imported here, one is looked
for among those that the user has imported; what is the user's (a module's weights, buffers and
random state) is left as it was; and floats are computed in float64 where the function lets them.

>>> class Half:
...     def loss(self, y_true, raw_prediction):
...         return 0.5 * (raw_prediction - y_true) ** 2
...     def gradient(self, y_true, raw_prediction):
...         return raw_prediction - y_true
>>> found = adapted(Half(), (np.zeros(2), np.array([1.0, 3.0])), None, None)
>>> print(found.f(*found.args), found.gradient(*found.args), found.argnums)
5.0 [1. 3.] 1
"""

from __future__ import annotations

import contextlib
import copy
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from difflab.accuracy.subject import Subject, float_arguments
from difflab.accuracy.thinning import Function, Question, named, thinned, weights
from difflab.errors import ArgumentError, UnsupportedError
from difflab.ir.protocols import TracedArray
from difflab.ir.tree import flatten, unflatten
from difflab.operators.arguments import Argnums, numbers_of
from difflab.tracing.called import parameter_names

NAMED: Final = 12
"""So many arrays are named in a note."""


def adapted(
    f: Any, args: tuple[Any, ...], gradient: Any, argnums: Argnums | None
) -> Question | None:
    """A function that is another library's, as a NumPy function; None: it is none.

    Recognised are a ``torch.nn.Module`` (by its parameters and the arguments), functions of tensors
    and of JAX arrays, functions that JAX has compiled or that return its arrays, an object with the
    methods ``loss`` and ``gradient`` of ``(y_true, raw_prediction)``, as scikit-learn's losses
    have, and with ``gradient=True`` a function that returns its value and its gradient.
    """
    if gradient is True:
        return Question(_part(f, 0), args, _part(f, 1), argnums)
    for library in (_Torch, _Jax):
        module = sys.modules.get(library.package)
        if module is not None and (found := library(module)).owns(f, args, gradient):
            return found.adapted(f, args, gradient, argnums)
    if not isinstance(f, type) and all(
        callable(getattr(f, name, None)) for name in ("loss", "gradient")
    ):
        return _loss(f, args, gradient, argnums)
    return None


def _part(f: Function, index: int) -> Function:
    """The value, or the gradient, of a function that returns both."""

    def part(*args: Any) -> Any:
        both = f(*args)
        if not isinstance(both, (tuple, list)) or len(both) != 2:
            raise ArgumentError(
                "with gradient=True a function returns its value and its gradient",
                "return (value, gradient)",
            )
        return both[index]

    return named(part, f, parameter_names(f))


def _loss(f: Any, args: tuple[Any, ...], gradient: Any, argnums: Argnums | None) -> Question:
    """A loss with its own gradient, summed over the instances."""

    def total(y_true: Any, raw_prediction: Any) -> Any:
        return np.sum(f.loss(y_true, raw_prediction))

    def slope(y_true: Any, raw_prediction: Any) -> Any:
        return f.gradient(y_true, raw_prediction)

    if len(args) != 2:
        raise ArgumentError(
            f"a loss is checked at (y_true, raw_prediction), but {len(args)} arguments were given",
            "write check(loss, y_true, raw_prediction)",
        )
    return Question(named(total, f, ()), args, gradient or slope, 1 if argnums is None else argnums)


# -- libraries -------------------------------------------------------------------------------------


class _Library(ABC):
    """What is asked of a library of arrays."""

    package: str
    name: str

    @abstractmethod
    def owns(self, f: Any, args: tuple[Any, ...], gradient: Any) -> bool:
        """Whether a function, or its arguments, are the library's."""

    @abstractmethod
    def is_own(self, leaf: Any) -> bool:
        """Whether something is one of its arrays."""

    @abstractmethod
    def to_numpy(self, leaf: Any) -> Any:
        """One of its arrays as NumPy's, floats in float64."""

    @abstractmethod
    def to_own(self, array: Any, like: Any) -> Any:
        """A NumPy array as one of its own; `like` is what was given in its place."""

    @abstractmethod
    def running(self) -> contextlib.AbstractContextManager[Any]:
        """Around a call of a function of its arrays."""

    @abstractmethod
    def jacobian(self, f: Function, args: list[Any], chosen: Sequence[int]) -> list[Any]:
        """The derivative that the library computes, its blocks in order: outputs, then inputs."""

    def leaves(self, tree: Any) -> list[Any]:
        """What a function returned, as NumPy arrays in order."""
        return [self.to_numpy(leaf) for leaf in flatten(tree)[0]]

    def trees(self, args: tuple[Any, ...]) -> tuple[tuple[Any, ...], Function]:
        """Arguments as trees of arrays, and what makes the library's own trees of such."""
        return args, lambda *trees: trees

    def adapted(
        self, f: Any, args: tuple[Any, ...], gradient: Any, argnums: Argnums | None
    ) -> Question:
        """The function of NumPy arrays."""
        trees, regrown = self.trees(args)
        given, structure = flatten(trees)
        point = unflatten(structure, [self.to_numpy(leaf) for leaf in given])
        by = float_arguments(point) if argnums is None else numbers_of(argnums)
        chosen = [n % len(point) for n in ((by,) if isinstance(by, int) else by)]

        def own(args: tuple[Any, ...]) -> list[Any]:
            leaves, _ = flatten(args)
            if any(isinstance(leaf, TracedArray) for leaf in leaves):
                raise UnsupportedError(f"{self.name} computes it")
            pairs = zip(leaves, given, strict=True)
            return list(unflatten(structure, [self.to_own(*pair) for pair in pairs]))

        def results(*args: Any) -> list[Any]:
            return [part for part in flatten(f(*regrown(*args)))[0] if self.is_own(part)]

        def called(*args: Any) -> Any:
            """What f returns; many outputs are summed with weights."""
            if not summed:
                return f(*regrown(*args))
            pairs = zip(summed, results(*args), strict=True)
            return sum((self.to_own(w, like=part) * part).sum() for w, part in pairs)

        def function(*args: Any) -> Any:
            with self.running():
                result = called(*own(args))
            parts, tree = flatten(result)
            own_parts = [self.to_numpy(part) for part in parts if self.is_own(part)]
            return unflatten(tree, own_parts) if len(own_parts) == len(parts) else own_parts

        def slope(*args: Any) -> Any:
            with self.running():
                if gradient is not None:
                    blocks = self.leaves(gradient(*regrown(*own(args))))
                else:
                    blocks = self.jacobian(called, own(args), chosen)
            return blocks[0] if len(blocks) == 1 else blocks

        summed: list[Any] = []
        if gradient is None:
            with self.running():
                shapes = [tuple(part.shape) for part in results(*own(point))]
            size = sum(np.size(leaf) for n in chosen for leaf in flatten(point[n])[0])
            summed = weights(shapes, size)
        outputs = sum(map(np.size, summed))
        notes = [f"its {outputs:,} outputs were summed with random weights"] if summed else []
        plain = named(function, f, self.names(f))
        if gradient is None:
            whose = _by(Subject(plain, point, by))
            notes.insert(0, f"{self.name}'s own gradient is judged, {whose}")
        asked = Question(plain, point, slope, by, tuple(notes))
        return asked if gradient is not None else thinned(asked)

    def names(self, f: Any) -> Sequence[str]:
        """What the parameters are called."""
        return parameter_names(f)


def _by(subject: Subject) -> str:
    """The names of the arrays that a derivative is by."""
    names = [subject.inputs[i] for i in subject.wrt]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"by {', '.join(names[:NAMED])}{more}"


class _Torch(_Library):
    package = "torch"
    name = "PyTorch"

    def __init__(self, torch: Any) -> None:
        self.torch = torch
        self.double = True

    def owns(self, f: Any, args: tuple[Any, ...], gradient: Any) -> bool:
        return isinstance(f, self.torch.nn.Module) or any(map(self.is_own, flatten(args)[0]))

    def is_own(self, leaf: Any) -> bool:
        return isinstance(leaf, self.torch.Tensor)

    def to_numpy(self, leaf: Any) -> Any:
        if not self.is_own(leaf):
            return leaf
        array = leaf.detach().cpu()
        if array.is_floating_point():
            array = array.double() if self.double else array.float()
        return array.numpy().copy()

    def to_own(self, array: Any, like: Any) -> Any:
        return self.torch.from_numpy(np.array(array)) if self.is_own(like) else array

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        with self.torch.random.fork_rng(devices=[]), self.torch.enable_grad():
            self.torch.manual_seed(0)  # the same noise in each call, as of dropout
            yield

    def jacobian(self, f: Function, args: list[Any], chosen: Sequence[int]) -> list[Any]:
        inputs = [leaf for n in chosen for leaf in flatten(args[n])[0]]
        for leaf in inputs:
            leaf.requires_grad_()
        found: list[Any] = []
        for out in filter(self.is_own, flatten(f(*args))[0]):
            rows = [self._row(part, inputs) for part in out.reshape(-1)]
            for k, x in enumerate(inputs):
                found.append(np.reshape([row[k] for row in rows], (*out.shape, *x.shape)))
        return found

    def _row(self, part: Any, inputs: list[Any]) -> list[Any]:
        """The derivative of one number; zeros by what it does not depend on, or was cut off."""
        slopes = [None] * len(inputs)
        if part.requires_grad:
            slopes = self.torch.autograd.grad(part, inputs, retain_graph=True, allow_unused=True)
        return [
            np.zeros(tuple(x.shape)) if slope is None else self.to_numpy(slope)
            for slope, x in zip(slopes, inputs, strict=True)
        ]

    def adapted(
        self, f: Any, args: tuple[Any, ...], gradient: Any, argnums: Argnums | None
    ) -> Question:
        """A module becomes a function of its parameters and of its arguments."""
        tensors = self.torch.as_tensor
        if isinstance(f, self.torch.nn.Module):
            if gradient is not None:
                raise ArgumentError(
                    "of a module, the gradient is PyTorch's own", "leave out gradient="
                )
            leaves, tree = flatten(args)
            args = unflatten(
                tree, [tensors(x) if isinstance(x, (np.ndarray, np.generic)) else x for x in leaves]
            )
            weights = {k: p for k, p in f.named_parameters() if p.requires_grad}
            f, args = _Module(self.torch, f), ((weights, *args) if weights else args)
        try:
            found = super().adapted(f, args, gradient, argnums)
            found.f(*found.args)
        except RuntimeError:  # it holds weights in float32, perhaps
            self.double = False
            found = super().adapted(f, args, gradient, argnums)
        return found

    def names(self, f: Any) -> Sequence[str]:
        return f.names if isinstance(f, _Module) else parameter_names(f)


class _Module:
    """A module as a function of its parameters and arguments, in a copy that is in float64."""

    def __init__(self, torch: Any, module: Any) -> None:
        self.torch, self.module = torch, copy.deepcopy(module).double()
        self.has_weights = any(p.requires_grad for p in module.parameters())
        self.__name__ = type(module).__name__
        forward = parameter_names(module.forward)
        self.names = ("parameters", *forward) if self.has_weights else forward

    def __call__(self, *args: Any) -> Any:
        weights, inputs = (args[0], args[1:]) if self.has_weights else ({}, args)
        buffers = {name: buffer.clone() for name, buffer in self.module.named_buffers()}
        return self.torch.func.functional_call(self.module, {**buffers, **weights}, inputs)


class _Jax(_Library):
    package = "jax"
    name = "JAX"

    def __init__(self, jax: Any) -> None:
        self.jax = jax

    def owns(self, f: Any, args: tuple[Any, ...], gradient: Any) -> bool:
        """By the arguments or the function; where no gradient is given, also by its result."""
        tree_leaves = self.jax.tree_util.tree_leaves
        if any(map(self.is_own, tree_leaves(args))):
            return True
        if type(f).__module__.partition(".")[0] in ("jax", "jaxlib"):
            return True
        if gradient is not None or not callable(f):
            return False
        try:
            return any(map(self.is_own, tree_leaves(f(*copy.deepcopy(args)))))
        except Exception:  # it will be called again, and say so
            return False

    def is_own(self, leaf: Any) -> bool:
        return isinstance(leaf, self.jax.Array)

    def to_numpy(self, leaf: Any) -> Any:
        if not self.is_own(leaf):
            return leaf
        floats = self.jax.numpy.issubdtype(leaf.dtype, np.floating)
        return np.array(leaf, np.float64) if floats else np.array(leaf)

    def to_own(self, array: Any, like: Any) -> Any:
        return self.jax.numpy.asarray(array) if isinstance(array, np.ndarray) else array

    def running(self) -> contextlib.AbstractContextManager[Any]:
        switch = getattr(self.jax, "enable_x64", None)
        if switch is None:
            from importlib import import_module

            switch = import_module("jax.experimental").enable_x64
        found: contextlib.AbstractContextManager[Any] = switch(True)
        return found

    def leaves(self, tree: Any) -> list[Any]:
        return [self.to_numpy(leaf) for leaf in self.jax.tree_util.tree_leaves(tree)]

    def trees(self, args: tuple[Any, ...]) -> tuple[tuple[Any, ...], Function]:
        """Nodes that are registered with JAX become dicts, by the paths that it gives."""
        util = self.jax.tree_util
        found: list[Any] = []
        regrow: list[Function] = []
        for arg in args:
            paths, shape = util.tree_flatten_with_path(arg)
            plain = len(paths) == len(flatten(arg)[0]) and all(
                self.is_own(x) or isinstance(x, (np.ndarray, np.generic, float, int))
                for x in flatten(arg)[0]
            )
            named_leaves = {util.keystr(path): leaf for path, leaf in paths}
            found.append(arg if plain else named_leaves)
            regrow.append(_itself if plain else _Regrown(shape, tuple(named_leaves)))

        def regrown(*trees: Any) -> list[Any]:
            return [grow(tree) for grow, tree in zip(regrow, trees, strict=True)]

        return tuple(found), regrown

    def jacobian(self, f: Function, args: list[Any], chosen: Sequence[int]) -> list[Any]:
        return self.leaves(self.jax.jacrev(f, argnums=tuple(chosen))(*args))


@dataclass(frozen=True, slots=True)
class _Regrown:
    """Makes a node of JAX's of a dict of its leaves, whatever their order is there."""

    shape: Any
    keys: tuple[str, ...]

    def __call__(self, tree: dict[str, Any]) -> Any:
        return self.shape.unflatten([tree[key] for key in self.keys])


def _itself(tree: Any) -> Any:
    return tree
