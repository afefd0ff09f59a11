"""NumPy's and Python's protocols on traced arrays: how unchanged user code reaches the IR.

What flows: an operator, a method or a NumPy function applied to a traced array is looked
up in `SPELLINGS`, which says what it means in nodes. The invariant: whatever is not in the table is
refused by name, with the user's line and what to write instead; nothing is silently computed on a
copy.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from difflab.errors import (
    InvariantError,
    TraceError,
    UnsupportedError,
    happening,
    users_line,
)
from difflab.ir.names import meaning_of, named

SPELLINGS: dict[Any, Callable[..., Any]] = {}
"""What each NumPy function means on nodes; filled by `difflab.spellings`."""

COMPLEX: dict[Any, Callable[..., Any]] = {}
"""What each means where a value is complex."""
REMEDIES: dict[Any, str] = {}
"""What to write instead of a function that is refused: by the function, or by its name."""

_COVERED = "`difflab primitives` lists what can be traced; spell it with those functions"
_COMPILED = f"a function of compiled code asks for it; {_COVERED}"
_ASK = "take np.real(z), np.imag(z), np.abs(z) or np.angle(z) first: what they return is real"
_ADVICE = "write it with NumPy functions that return new arrays"
_REFUSED_METHODS = {
    "resize": "x.resize() works in place: use np.reshape",
    "view": "a view of the bytes has no derivative: use x.astype or np.reshape",
}
_MATH_REMEDIES = {
    "remainder": "write x - y * np.round(x / y)",
    "modf": "take np.trunc(x), and x - np.trunc(x)",
}
_METHODS: dict[str, Callable[..., Any]] = {
    name: getattr(np, name)
    for name in """
        all any argmax argmin argsort clip conj conjugate copy cumprod cumsum diagonal dot max mean
        min nonzero prod ravel repeat round searchsorted squeeze std sum swapaxes take trace var
    """.split()  # noqa: SIM905 (a list of words)
}  # fmt: skip
_UFUNC_METHODS: dict[tuple[np.ufunc, str], Callable[..., Any]] = {
    (np.add, "reduce"): np.sum, (np.multiply, "reduce"): np.prod, (np.maximum, "reduce"): np.max,
    (np.minimum, "reduce"): np.min, (np.logical_and, "reduce"): np.all,
    (np.logical_or, "reduce"): np.any, (np.add, "accumulate"): np.cumsum,
    (np.multiply, "accumulate"): np.cumprod,
}  # fmt: skip
_STORES = re.compile(r"(?:^|;)\s*[\w.]+(\[.*\])+\s*([-+*/@%&|^]|//|\*\*)?=(?!=)")
_MATH = re.compile(r"\b(c?math)\.(\w+)\(")


def full_name(function: Callable[..., Any]) -> str:
    """A function of NumPy or SciPy as its users write it.

    >>> full_name(np.linalg.norm)
    'np.linalg.norm'
    """
    if (public := named(function)) is not None:
        return public
    module = re.sub(r"^numpy\b", "np", getattr(function, "__module__", None) or "numpy")
    return f"{re.sub(r'[.]_.*', '', module)}.{function.__name__}"


def spelling_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """What a function means on nodes; `UnsupportedError` where it means nothing."""
    found = SPELLINGS.get(function) or meaning_of(function)
    if found is None:
        module = (getattr(function, "__module__", None) or "").partition(".")[2].split(".")[0]
        advice = [REMEDIES.get(key) for key in (function, function.__name__, module)]
        remedy = next((text for text in advice if text), _COVERED)
        raise UnsupportedError(f"{full_name(function)} cannot be traced", remedy)
    return found


def spell(function: Any, spelling: Callable[..., Any]) -> None:
    """Say what a function means on nodes; to say it twice is an `InvariantError`."""
    if function in SPELLINGS or function in REMEDIES:
        known = SPELLINGS.get(function, "a refusal")
        raise InvariantError(f"{full_name(function)} has two spellings: {known} and {spelling}")
    SPELLINGS[function] = spelling


def refuse(function: Any, remedy: str) -> None:
    """Say what to write instead of a function, or of all of that name, that cannot be traced."""
    if function in SPELLINGS or function in REMEDIES:
        known = SPELLINGS.get(function, "a refusal")
        raise InvariantError(f"{function!r} has a spelling and a refusal: {known} and {remedy!r}")
    REMEDIES[function] = remedy


def call(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """A NumPy function applied to nodes."""
    others = [x for x in (*args, *kwargs.values()) if type(x) not in REAL]
    if others and any(map(is_complex, others)):
        if function in COMPLEX:
            return COMPLEX[function](*args, **kwargs)
        if function in SPELLINGS:
            raise UnsupportedError(
                f"{full_name(function)} of complex values cannot be traced", _ASK
            )
    return spelling_of(function)(*args, **kwargs)


REAL: set[type] = {float, int, bool, str, slice, type(None), np.float64}
"""Types of which no value is complex."""


def is_complex(value: Any) -> bool:
    """Whether a value is complex, or a list that holds one that is."""
    kind = type(value)
    if kind in REAL:
        return False
    if issubclass(kind, (list, tuple)):
        return any(map(is_complex, value))
    return kind is complex or getattr(getattr(value, "dtype", None), "kind", "") == "c"


@functools.cache
def _parameters(function: Callable[..., Any]) -> frozenset[str]:
    return frozenset(inspect.signature(function).parameters)


def is_weak(value: Any) -> bool:
    """Whether a value is a Python number, which takes the dtype of what it meets (NEP 50)."""
    if isinstance(value, TracedArray):
        return bool(value.weak)
    return type(value) in (float, int, bool, complex)


def ended() -> TraceError:
    """The error for a traced value that outlived its trace."""
    return TraceError(
        "a traced value was used after its function returned",
        "do not keep values of a trace: return them, or compute them again with plain arrays",
    )


def _refuse_plain(kind: str) -> TraceError:
    """The error for turning a traced value into plain data; the user's line says how it was."""
    if happening.events is None:
        return ended()
    line = users_line()
    text = line.text if line else ""
    if _STORES.search(text):
        return TraceError(
            "in-place assignment of a traced value into a plain array",
            "wrap what another library made, or an object holds: a = np.array(a)",
        )
    if found := _MATH.search(text):
        name = found[2]
        known = SPELLINGS.get(getattr(np, name, None))
        return TraceError(
            f"{found[1]}.{name} turns a traced value into a plain {kind}",
            _MATH_REMEDIES.get(name) or (f"use np.{name}" if known else _COVERED),
        )
    if kind == "array":
        return TraceError("a traced value cannot be put into a plain array", _COMPILED)
    return TraceError(f"a traced value cannot be turned into a plain {kind}", _COMPILED)


def _operator(ufunc: np.ufunc, reflected: bool = False) -> Callable[[Any, Any], Any]:
    """The method of a binary operator: the ufunc."""

    def operate(self: TracedArray, other: Any) -> Any:
        if not isinstance(other, _OPERANDS):
            return NotImplemented
        return self.apply(ufunc, (other, self) if reflected else (self, other), {})

    return operate


def _reflected(ufunc: np.ufunc) -> Callable[[Any, Any], Any]:
    return _operator(ufunc, reflected=True)


def _unary(ufunc: np.ufunc) -> Callable[[Any], Any]:
    return lambda self: self.apply(ufunc, (self,), {})


class TracedArray:
    """What a user's function sees in place of an array: an `Expr`, or a `Pair` of them."""

    __slots__ = ()
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    weak: bool
    primitive: Any
    params: tuple[tuple[str, Any], ...]

    @property
    def boxed(self) -> bool:
        """Whether it is an argument that is an array of shape ()."""
        return self.primitive.kind == "leaf" and bool(dict(self.params).get("boxed"))

    @property
    def content(self) -> Any:
        """Its node, or plain values where it is constant."""
        return self

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def apply(
        self, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """A function of NumPy's applied to this and other values."""
        return call(function, args, kwargs)

    @property
    def T(self) -> Any:
        return self.apply(np.transpose, (self,), {})

    @property
    def mT(self) -> Any:
        return self.apply(np.swapaxes, (self, -1, -2), {})

    real: Any = property(lambda self: self.apply(np.real, (self,), {}))
    imag: Any = property(lambda self: self.apply(np.imag, (self,), {}))

    # -- NumPy asks ------------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method == "__call__":
            return self.apply(ufunc, inputs, kwargs)
        if method == "outer":
            left, right = (x if isinstance(x, TracedArray) else np.asarray(x) for x in inputs)
            return self.apply(ufunc, (left[(..., *(None,) * right.ndim)], right), kwargs)
        function = _UFUNC_METHODS.get((ufunc, method))
        if function is None:
            raise UnsupportedError(f"np.{ufunc.__name__}.{method} cannot be traced", _COVERED)
        known = _parameters(function)
        if lacking := [f"{name}=" for name in kwargs if name not in known]:
            what = f"np.{ufunc.__name__}.{method} with {', '.join(lacking)}"
            raise UnsupportedError(f"{what} cannot be traced", f"leave out {', '.join(lacking)}")
        return self.apply(function, inputs, {"axis": 0, **kwargs})

    def __array_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        return self.apply(func, args, kwargs)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        raise _refuse_plain("array")

    def __getattr__(self, name: str) -> Any:
        """Array methods are NumPy's functions with the array as first argument."""
        function = _METHODS.get(name)
        if function is not None:
            return functools.partial(_method, function, self)
        known = hasattr(np.ndarray, name) or hasattr(self.__class__, name)
        if known and not name.startswith("__"):
            raise UnsupportedError(
                f"array.{name} cannot be traced", _REFUSED_METHODS.get(name, _ADVICE)
            )
        raise AttributeError(f"a traced array has no attribute {name!r}")

    def reshape(self, *shape: Any, order: str = "C", copy: bool | None = None) -> Any:
        """The shape as one argument or as several."""
        return self.apply(np.reshape, (self, shape[0] if len(shape) == 1 else shape, order), {})

    def transpose(self, *axes: Any) -> Any:
        """The axes as one argument or as several."""
        return self.apply(np.transpose, (self, axes[0] if len(axes) == 1 else axes or None), {})

    def astype(
        self, dtype: Any, order: str = "K", casting: str = "unsafe", subok: bool = True,
        copy: bool = True,
    ) -> Any:  # fmt: skip
        """The method has options that the function lacks, and none changes the values."""
        return self.apply(np.astype, (self, dtype), {"copy": copy})

    def flatten(self, order: str = "C") -> Any:
        """A flat copy."""
        return self.apply(np.copy, (self.apply(np.ravel, (self, order), {}),), {})

    def compress(self, condition: Any, axis: int | None = None) -> Any:
        """The entries along an axis where a condition holds."""
        return self.apply(np.compress, (condition, self, axis), {})

    # -- Python asks -----------------------------------------------------------------------------

    def __bool__(self) -> bool:
        if self.size != 1:
            raise TraceError(
                f"the truth of an array of shape {self.shape} is ambiguous", "use np.any or np.all"
            )
        truth = self if self.dtype.kind == "b" else self != 0  # of a number, only this is asked
        return bool(truth.asked())

    def asked(self) -> Any:
        """The value that Python asks for, here; recorded as a guard."""
        return call(TracedArray.__bool__, (self,), {})

    def __index__(self) -> int:
        if self.dtype.kind == "f" or self.shape:
            raise _refuse_plain("int")
        return int(self.asked())

    def __int__(self) -> int:
        return self._whole(np.trunc)

    def __trunc__(self) -> int:
        return self._whole(np.trunc)

    def __floor__(self) -> int:
        return self._whole(np.floor)

    def __ceil__(self) -> int:
        return self._whole(np.ceil)

    def _whole(self, function: np.ufunc) -> int:
        """A whole number for Python: piecewise constant, so that a guard says all of it."""
        if self.size != 1:
            raise TypeError("only length-1 arrays can be converted to Python scalars")
        if self.dtype.kind != "f":
            return int(self.asked())
        whole = self.apply(np.astype, (self.apply(function, (self,), {}), int), {})
        return int(whole.asked())

    def __float__(self) -> float:
        raise _refuse_plain("float")

    def __format__(self, how: str) -> str:
        if how:
            raise TraceError(
                "a traced value has no digits to be formatted", "format the result of a plain call"
            )
        return repr(self)

    def __complex__(self) -> complex:
        raise _refuse_plain("complex")

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        if not self.shape:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(self.shape[0]))

    def __getitem__(self, index: Any, /) -> Any:
        return call(TracedArray.__getitem__, (self, index), {})

    def __contains__(self, value: Any) -> bool:
        return bool(self.apply(np.any, (self.apply(np.equal, (self, value), {}),), {}))

    def __round__(self, digits: int | None = None) -> Any:
        if digits is not None:
            return self.apply(np.round, (self, digits), {})
        if self.shape:
            raise TypeError("an array has no round(): use np.round")
        return self.apply(np.astype, (self.apply(np.round, (self,), {}), int), {})

    def __divmod__(self, other: Any) -> tuple[Any, Any]:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> tuple[Any, Any]:
        return other // self, other % self

    def __reduce__(self) -> Any:
        raise TraceError("a traced value cannot be pickled", "return it from the function instead")

    __hash__ = object.__hash__

    __neg__, __pos__ = _unary(np.negative), _unary(np.positive)
    __abs__, __invert__ = _unary(np.absolute), _unary(np.invert)

    __add__, __radd__ = _operator(np.add), _reflected(np.add)
    __sub__, __rsub__ = _operator(np.subtract), _reflected(np.subtract)
    __mul__, __rmul__ = _operator(np.multiply), _reflected(np.multiply)
    __truediv__, __rtruediv__ = _operator(np.divide), _reflected(np.divide)
    __pow__, __rpow__ = _operator(np.power), _reflected(np.power)
    __mod__, __rmod__ = _operator(np.remainder), _reflected(np.remainder)
    __floordiv__, __rfloordiv__ = _operator(np.floor_divide), _reflected(np.floor_divide)
    __matmul__, __rmatmul__ = _operator(np.matmul), _reflected(np.matmul)
    __and__, __rand__ = _operator(np.bitwise_and), _reflected(np.bitwise_and)
    __or__, __ror__ = _operator(np.bitwise_or), _reflected(np.bitwise_or)
    __xor__, __rxor__ = _operator(np.bitwise_xor), _reflected(np.bitwise_xor)

    __lt__, __le__ = _operator(np.less), _operator(np.less_equal)
    __gt__, __ge__ = _operator(np.greater), _operator(np.greater_equal)
    __eq__, __ne__ = _operator(np.equal), _operator(np.not_equal)


def _method(function: Callable[..., Any], x: TracedArray, *args: Any, **kwargs: Any) -> Any:
    return x.apply(function, (x, *args), kwargs)


_OPERANDS = (TracedArray, float, int, np.ndarray, np.generic, complex, list, tuple)
"""What operators take besides nodes; the commonest first."""
