"""`Array`: what user code holds while it is traced, and what NumPy's functions make of it.

What flows: NumPy's protocols and Python's operators come in. Traced arrays among the arguments are
replaced by their contents (nodes, or plain values where they are constant), the spelling is called,
or NumPy itself where nothing is traced, and results go out as traced arrays. The invariants: no
node ever reaches user code, so that what holds no traced array is never written to; and without
assignment the graph is what it would be without memories.
"""

from __future__ import annotations

import dis
import functools
import operator
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FunctionType, MethodType
from typing import Any, Final

import numpy as np
from numpy.lib import stride_tricks

from difflab.ir.expr import Expr, Graph
from difflab.ir.protocols import SPELLINGS, TracedArray, call
from difflab.ir.row import CONSTANT
from difflab.ir.tree import Spec
from difflab.spellings.indexing import current_value
from difflab.tracing.arrays.memory import Memory, Part
from difflab.tracing.arrays.slots import here, home

_SYMBOLS: Any = vars(dis)["_nb_ops"]
_REMAINDERS: Final = frozenset(
    [k for k, (_, symbol) in enumerate(_SYMBOLS) if symbol in ("%", "%=")]
)
GETITEM = TracedArray.__getitem__
VIEWS: Final = frozenset(
    (TracedArray.__getitem__, np.reshape, np.ravel, np.transpose, np.permute_dims,
     np.matrix_transpose, np.linalg.matrix_transpose, np.swapaxes, np.moveaxis, np.rollaxis,
     np.squeeze, np.expand_dims, np.flip, np.fliplr, np.flipud, np.rot90, np.diagonal,
     np.linalg.diagonal, np.broadcast_to, np.atleast_1d, np.atleast_2d, np.atleast_3d,
     np.split, np.array_split, np.hsplit, np.vsplit, np.dsplit, np.unstack, np.real,
     stride_tricks.sliding_window_view, stride_tricks.as_strided)
)  # fmt: skip
"""The functions that may show the memory of their first argument."""
ATLEAST: Final = frozenset((np.atleast_1d, np.atleast_2d, np.atleast_3d, np.squeeze))
"""The functions that give back an array itself where they have nothing to do."""
SEQUENCES: Final = frozenset(
    (GETITEM, np.concatenate, np.stack, np.hstack, np.vstack, np.dstack, np.column_stack, np.block,
     np.select, np.choose, np.einsum, np.linalg.multi_dot, np.meshgrid, np.broadcast_arrays)
)  # fmt: skip
"""The functions that take a list of arrays, which is not an array itself."""
_OF_PAIRS: Final = frozenset(("cho_solve",))  # of SciPy's, which is not imported
MEANINGS: dict[Any, Callable[..., Any]] = {}
"""What functions that create arrays, or change them in place, do with traced ones."""
ATTRIBUTES: dict[str, Callable[[Any], Any]] = {}
"""The attributes of arrays that are no functions of NumPy's."""
CHANGES: dict[str, Callable[..., Any]] = {}
"""How arrays are changed in place: ``into`` for out=, ``at``, and ``augmented`` for x += y."""


def _in_place(ufunc: np.ufunc) -> Callable[[Any, Any], Any]:
    return lambda self, other: CHANGES["augmented"](ufunc, self, other)


def _set_flat(self: Array, value: Any) -> None:
    self.flat[...] = value


def _set_real(self: Array, value: Any) -> None:
    self[...] = value if self.dtype.kind != "c" else value + 1j * self.imag


class Array(Part):
    """A name for memory, or for part of one; or a scalar, which has none."""

    __slots__ = ()

    def apply(self, function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        return apply(function, args, kwargs)

    def asked(self) -> Any:
        found = self.content
        return call(TracedArray.__bool__, (found,), {}) if isinstance(found, TracedArray) else found

    def shown(self) -> Any:
        """The value that Python asks for to show it."""
        found = self.content
        return call(TracedArray.__str__, (found,), {}) if isinstance(found, TracedArray) else found

    def __format__(self, how: str) -> str:
        """Its text, which is a value that Python asks for."""
        if here.home is None and not how:
            return repr(self)
        digits = re.fullmatch(r"[-+ ]?\d*\.(\d+)f", how)
        shown = compute(np.round, (self, int(digits[1])), {}) if digits else self
        return format(shown.shown()[()] if isinstance(shown, Array) else shown, how)

    def __str__(self) -> str:
        return format(self, "")

    def __repr__(self) -> str:
        return f"<traced {self.dtype}[{','.join(map(str, self.shape))}]>"

    def __float__(self) -> float:
        """In ``"%.3f" % x``; anything else would lose what it depends on."""
        frame = sys._getframe(1)
        now = dis.opname[frame.f_code.co_code[frame.f_lasti]]
        formatting = now == "BINARY_OP" and frame.f_code.co_code[frame.f_lasti + 1] in _REMAINDERS
        if self.size == 1 and (formatting or self.is_plain):
            return float(np.reshape(self.shown(), ()))
        return super().__float__()

    def __getattr__(self, name: str) -> Any:
        attribute = ATTRIBUTES.get(name)
        return super().__getattr__(name) if attribute is None else attribute(self)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return ufunc_method(ufunc, method, inputs, kwargs)

    def __copy__(self) -> Any:
        return self if self.memory is None else MEANINGS[np.copy](self)

    def __deepcopy__(self, memo: Any) -> Any:
        return self.__copy__()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        """Its values, where C code asks; what depends on an argument is refused."""
        memory = self.memory
        if memory is None or memory.values is None:
            return super().__array__(dtype, copy)
        if not memory.origin:  # who asks may write
            memory.version += 1
        return np.array(self.data(), dtype, copy=copy)

    def __setitem__(self, index: Any, value: Any) -> None:
        index = plain(index)
        self.write(lambda data, given: data.__setitem__(index, given), as_values(value))

    # -- reading ---------------------------------------------------------------------------------

    def __getitem__(self, index: Any, /) -> Any:
        memory = self.memory
        if memory is None or (memory.values is None and self.is_current):
            basic = memory is not None and (type(index) is int or _is_basic(index))
            return (view if basic else compute)(GETITEM, (self, index), {})
        if _asks_traced(index):
            return compute(GETITEM, (self, index), {})
        data = self.data()
        memory = self.memory
        assert memory is not None
        found = data[plain(index)]
        if not isinstance(found, np.ndarray):
            return found if memory.values is not None else scalar_of(home().element(int(found)))
        if np.may_share_memory(found, data):
            return Array(None, memory, data=found)
        if memory.values is not None:
            return constant_array(found)
        return self.of_slots(found)

    flat = property(lambda self: CHANGES["flat"](self), _set_flat)
    real = property(lambda self: view(np.real, (self,), {}), _set_real)

    __iadd__, __isub__ = _in_place(np.add), _in_place(np.subtract)
    __imul__, __itruediv__ = _in_place(np.multiply), _in_place(np.divide)
    __ipow__, __imatmul__ = _in_place(np.power), _in_place(np.matmul)
    __imod__, __ifloordiv__ = _in_place(np.remainder), _in_place(np.floor_divide)
    __iand__, __ior__ = _in_place(np.bitwise_and), _in_place(np.bitwise_or)
    __ixor__ = _in_place(np.bitwise_xor)

    def __iter__(self) -> Iterator[Any]:
        if not self.shape:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(self.shape[0]))


def constant_array(values: Any, origin: str = "") -> Array:
    """A traced array of plain values, contiguous in some order of axes unless it has an origin."""
    if not (origin or values.flags.forc):
        values = np.array(values)
    return Array(None, Memory(values.shape, values.dtype, values=values, origin=origin))


def scalar_of(element: Any) -> Any:
    """A node of shape () as user code holds it; a plain number where it is constant."""
    if type(element) is Expr and element.primitive is CONSTANT and element.is_fixed:
        return element.value[()]
    return Array(element, None) if isinstance(element, TracedArray) else element


def array_of_node(node: Any, like: Any = None) -> Any:
    """A fresh traced array, or scalar, of a node."""
    if not node.shape:
        return scalar_of(node)
    if type(node) is Expr and node.primitive is CONSTANT and node.is_fixed:
        return constant_array(np.array(node.value))
    return Array(node, Memory(node.shape, node.dtype, root=node, like=like))


def captured(node: Expr, origin: str = "an array") -> Array:
    """What existed before the call: it is read, and never written to."""
    return Array(node, Memory(node.shape, node.dtype, root=node, origin=origin))


def captured_array(values: Any, name: str) -> Any:
    """An array that existed before the call, as user code finds it under a name."""
    if values.dtype.kind not in "fiubc" or values.dtype.hasobject:
        return values
    return constant_array(values, origin=name)


def argument(node: Expr, spec: Spec | None = None) -> Array:
    """A function's argument, of an input."""
    if not node.shape and not node.boxed:
        return Array(node, None)
    like: Any = (spec.laid_out, (), {}) if spec is not None and spec.order else None
    return Array(node, Memory(node.shape, node.dtype, root=node, like=like))


def as_values(value: Any) -> Any:
    """What is assigned, lists as arrays."""
    return MEANINGS[np.array](value) if isinstance(value, (list, tuple)) else value


def plain(value: Any) -> Any:
    """An index, or another argument that says where, in plain values: what is traced in it is
    evaluated at the current point, and recorded as a guard.
    """
    if type(value) is Array:
        found = value.content
        if isinstance(found, Expr):
            found = current_value(found)
        return found[()] if value.memory is None else found
    if isinstance(value, (tuple, list)):
        return type(value)([plain(part) for part in value])
    if isinstance(value, slice):
        return slice(plain(value.start), plain(value.stop), plain(value.step))
    return value


def _asks_traced(index: Any) -> bool:
    """Whether traced integers are among the parts of an index."""
    parts = index if isinstance(index, tuple) else (index,)
    return any(type(p) is Array and not p.is_plain and p.dtype != bool for p in parts)


def _is_basic(index: Any) -> bool:
    """Whether an index gives a view."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(
        part is None or part is Ellipsis or isinstance(part, (int, slice, np.integer))
        for part in parts
    ) and not any(isinstance(part, bool) for part in parts)


def apply(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """A function of NumPy's, as user code calls it."""
    meaning = MEANINGS.get(function)
    if meaning is not None:
        return meaning(*args, **kwargs)
    if isinstance(function, np.ufunc) and len(args) > function.nin:
        args, kwargs = args[: function.nin], {**kwargs, "out": args[function.nin]}
    if kwargs.get("out") is not None:
        return _with_out(function, args, {**kwargs})
    if function in VIEWS:
        return view(function, args, kwargs)
    return compute(function, args, kwargs)


def ufunc_method(ufunc: np.ufunc, method: str, inputs: Sequence[Any], kwargs: Any) -> Any:
    """A ufunc, or one of its methods, as user code calls it."""
    if method == "__call__":
        return apply(ufunc, inputs, kwargs)
    if method == "at":
        return CHANGES["at"](ufunc, *inputs)
    if (out := kwargs.pop("out", None)) is not None:
        found = ufunc_method(ufunc, method, inputs, kwargs)
        return CHANGES["into"](out[0] if type(out) is tuple else out, found, ufunc, inputs)
    traced = next((x for x in inputs if type(x) is Array), None)
    if traced is None or all(x.is_plain for x in inputs if type(x) is Array):
        return compute(getattr(ufunc, method), inputs, kwargs)
    return super(Array, traced).__array_ufunc__(ufunc, method, *inputs, **kwargs)


def _with_out(function: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """A function that writes its result into an array."""
    out = kwargs.pop("out")
    if type(out) is tuple:
        (out,) = out
    where = kwargs.pop("where", True) if isinstance(function, np.ufunc) else True
    found = apply(function, args, kwargs)
    return found if out is None else CHANGES["into"](out, found, function, args, where)


def compute(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """A function that gives new arrays."""
    traced: list[Any] = []
    values = [contents(arg, traced, function) for arg in args]
    named = (
        {name: contents(arg, traced, function) for name, arg in kwargs.items()} if kwargs else {}
    )
    if not traced:
        return _for_real(function, values, named)
    found = function(*values) if type(function) is Graph else call(function, values, named)
    if type(found) is Expr and not found.shape:
        return scalar_of(found)
    turned = any([len(x.shape) > 1 and not x.is_natural for x in traced])  # noqa: C419 (faster)
    return wrapped(found, (function, args, kwargs) if turned else None)


def _for_real(function: Any, values: list[Any], named: dict[str, Any]) -> Any:
    """A function of plain values; what it creates may be written to, as what is traced."""
    here.aside, before = True, here.aside
    try:
        found = function(*values, **named)
    finally:
        here.aside = before
    if isinstance(found, np.ndarray):
        given = [x for x in (*values, *named.values()) if isinstance(x, np.ndarray)]
        if any(np.may_share_memory(found, x) for x in given):
            return found  # part of what existed before
    return wrapped(found)


def contents(value: Any, traced: list[Any], function: Any = None) -> Any:
    """An argument with nodes and plain values for traced arrays, which are gathered in `traced`
    where they are no constants; a list that holds one is an array itself, unless the function takes
    lists.
    """
    kind = type(value)
    if kind is float or kind is int:
        return value
    if kind is Array:
        found = value._node if value.memory is None else value.content
        if isinstance(found, TracedArray):
            traced.append(value)
        return found
    if kind is Expr:
        traced.append(Array(value, None))
        return value
    if kind is list or kind is tuple:
        before = len(traced)
        inner = function if function is np.block else None  # which nests lists to any depth
        parts = [contents(part, traced, inner) for part in value]
        if len(traced) == before or _takes_lists(function):
            return parts if kind is list else tuple(parts)
        return MEANINGS[np.array](value).content
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return kind(*[contents(part, traced) for part in value])
    if kind is dict:
        return {key: contents(part, traced) for key, part in value.items()}
    if kind is slice:
        return plain(value)
    if kind is FunctionType or kind is MethodType:
        return functools.partial(_called_back, value)
    return getattr(value, "stands_for", value) if callable(value) else value


def _takes_lists(function: Any) -> bool:
    return function in SEQUENCES or getattr(function, "__name__", "") in _OF_PAIRS


def _called_back(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """A function of the user's, called by a spelling."""
    found = function(*[wrapped(arg) for arg in args], **kwargs)
    return contents(found, [])


def wrapped(found: Any, like: Any = None) -> Any:
    """Results as user code holds them."""
    if isinstance(found, TracedArray):
        return array_of_node(found, like if len(found.shape) > 1 else None)
    if isinstance(found, np.ndarray):
        return constant_array(found)
    if isinstance(found, (list, tuple)):
        parts = [wrapped(part, like) for part in found]
        return type(found)(*parts) if hasattr(found, "_fields") else type(found)(parts)
    return found


def holds_traced(value: Any) -> bool:
    """Whether a traced array is among nested lists."""
    kind = type(value)
    if kind is list or kind is tuple:
        return any(map(holds_traced, value))
    return kind is Array or (kind is dict and any(map(holds_traced, value.values())))


_EACH: Final = frozenset({np.atleast_1d, np.atleast_2d, np.atleast_3d})
"""Views of each of their arguments."""


def view(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """A function that may show the memory of its first argument."""
    array, *rest = args
    if rest and function in _EACH:
        return tuple([view(function, (each,), kwargs) for each in args])
    if type(array) is not Array or array.memory is None:
        return compute(function, args, kwargs)
    if array.memory.values is None and array.is_current and function in SPELLINGS:
        rest, kwargs = plain(rest), {name: plain(arg) for name, arg in kwargs.items()}
        found = call(function, (array.content, *rest), kwargs)
        return _seen(found, (array, _on_arrays(function), rest, kwargs))
    data = array.data()
    named = {name: plain(arg) for name, arg in kwargs.items()}
    return _shown(_on_arrays(function)(data, *plain(rest), **named), array, data)


def _on_arrays(function: Any) -> Any:
    return operator.getitem if function is GETITEM else function


def _seen(found: Any, made: tuple[Any, ...], path: Any = ()) -> Any:
    """Nodes as arrays that remember how they were made, so that their place can be asked for."""
    if isinstance(found, (list, tuple)):
        return type(found)([_seen(part, made, (*path, k)) for k, part in enumerate(found)])
    array, function, rest, kwargs = made
    if not found.shape and function is operator.getitem:
        parts = rest[0] if isinstance(rest[0], tuple) else rest
        if not any(part is Ellipsis for part in parts):
            return scalar_of(found)
    if function in ATLEAST and len(array.shape) == len(found.shape):
        return array
    source = (array, function, rest, kwargs, path)
    seen = Array(found, array.memory, source=source, shape=found.shape)
    array.memory.views.append(seen)
    return seen


def _shown(found: Any, array: Array, data: Any) -> Any:
    """What NumPy made of a memory's slots or values."""
    if isinstance(found, (list, tuple)):
        return type(found)([_shown(part, array, data) for part in found])
    if np.may_share_memory(found, data):
        return Array(None, array.memory, data=found)
    if array.is_plain:
        return constant_array(found)
    return array.of_slots(found)
