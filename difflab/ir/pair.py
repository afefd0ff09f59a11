"""Complex values inside a real function: a pair of real nodes, which no graph ever sees.

What flows: whatever is complex comes in, a traced value or not, and is taken apart; a `Pair` comes
out. The invariant: both parts are float nodes of one shape and one dtype, and a part that is
certainly zero (of x in ``1j * x``, the real one) is a constant, so that it costs nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from difflab.ir.build import broadcast, common_shape, promoted
from difflab.ir.expr import Expr, constant
from difflab.ir.protocols import COMPLEX, TracedArray, is_complex
from difflab.ir.row import CONSTANT


class Pair(TracedArray):
    """A complex traced value: its real and its imaginary part (None: certainly zero).

    `signed` says that an imaginary part of -0.0 is NumPy's as well; of sums it is 0.0.

    >>> from difflab.ir.expr import placeholder
    >>> x = placeholder((3,), np.dtype("float64"), "x")
    >>> Pair(x, None)
    <traced complex128[3]>
    """

    __slots__ = ("dtype", "im", "re", "shape", "signed", "weak")
    re: Expr
    im: Expr

    def __init__(self, re: Any, im: Any, signed: bool = False) -> None:
        given = [part for part in (re, im) if part is not None]
        nodes = promoted(*given, floating=True)
        self.shape = common_shape(nodes)
        kind = nodes[0].dtype
        whole = iter([broadcast(x, self.shape) for x in nodes])
        self.re, self.im = (
            constant(np.zeros(self.shape), kind) if part is None else next(whole)
            for part in (re, im)
        )
        self.dtype = np.result_type(kind, np.complex64)
        self.weak = any(x.weak for x in nodes) and all(
            x.weak or x.primitive is CONSTANT for x in nodes
        )
        self.signed = signed

    def __repr__(self) -> str:
        return f"<traced {self.dtype}[{','.join(map(str, self.shape))}]>"

    @property
    def boxed(self) -> bool:
        return False


def parts(value: Any) -> tuple[Any, Any]:
    """The real and the imaginary part of anything; None for one of them that is certainly zero."""
    if not is_complex(value):
        return value, None
    if isinstance(value, (list, tuple)):
        value = COMPLEX[np.stack](value) if _holds_traced(value) else np.asarray(value)
    re, im = (value.re, value.im) if type(value) is Pair else (value.real, value.imag)
    if _vanishes(im):
        return re, None
    return (None, im) if _vanishes(re) else (re, im)


def pair(value: Any) -> Pair:
    """Anything as a pair."""
    return value if type(value) is Pair else Pair(*parts(value))


def _holds_traced(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(map(_holds_traced, value))
    return isinstance(value, TracedArray)


def _vanishes(part: Any) -> bool:
    if not isinstance(part, Expr):
        return not np.any(part)
    held = dict(part.params).get("value") if part.primitive is CONSTANT else None
    return held is not None and not held.live and not np.any(held.array)
