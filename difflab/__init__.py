"""difflab: a lab that compares the three ways to differentiate a program.

>>> import difflab
>>> import numpy as np
>>> difflab.gradient(lambda x: np.sum(np.sin(x) ** 2))(np.zeros(2))
array([0., 0.])
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import difflab.interrupts  # noqa: F401  (before all that takes long)
from difflab.ir.expr import READERS, Graph
from difflab.methods import METHODS, Forward, Numerical, Reverse
from difflab.operators import (
    batch,
    derivative,
    gradient,
    hessian,
    hvp,
    jacobian,
    jet,
    jvp,
    primitive,
    sparse_hessian,
    sparse_jacobian,
    value_and_gradient,
    vjp,
)
from difflab.readings.rounding import rounding_error
from difflab.table.special import erf, leaky_relu, log_softmax, relu, sigmoid, softmax, softplus
from difflab.tracing.trace import trace
from difflab.views.formulas import latex, text

if TYPE_CHECKING:
    from difflab.accuracy.bounds import enclose
    from difflab.accuracy.check import check
    from difflab.accuracy.compare import compare
    from difflab.accuracy.estimate import estimate
    from difflab.accuracy.explain import explain
    from difflab.accuracy.truth import truth
    from difflab.methods.symbolic import Symbolic
    from difflab.readings.symbols import from_sympy
    from difflab.views.pictures import picture

__version__ = "0.2.0"

__all__ = [
    "METHODS", "Forward", "Numerical", "Reverse", "Symbolic", "__version__", "batch", "check",
    "compare", "derivative", "enclose", "erf", "estimate", "explain", "from_sympy", "gradient",
    "hessian", "hvp", "jacobian", "jet", "jvp", "leaky_relu", "log_softmax", "picture",
    "primitive", "relu", "sigmoid", "softmax", "softplus", "sparse_hessian", "sparse_jacobian",
    "trace", "truth", "value_and_gradient", "vjp",
]  # fmt: skip

# Imported when first used: SymPy and python-flint are not needed to differentiate.
_LATER = {
    "Symbolic": "difflab.methods.symbolic",
    "check": "difflab.accuracy.check",
    "compare": "difflab.accuracy.compare",
    "enclose": "difflab.accuracy.bounds",
    "estimate": "difflab.accuracy.estimate",
    "explain": "difflab.accuracy.explain",
    "picture": "difflab.views.pictures",
    "from_sympy": "difflab.readings.symbols",
    "truth": "difflab.accuracy.truth",
}


def _to_sympy(graph: Graph) -> list[Any]:
    from difflab.readings.symbols import to_sympy  # SymPy takes half a second

    return to_sympy(graph)


def _html(graph: Graph) -> str:
    from difflab.views.pictures import html_of

    return html_of(graph)


READERS.update(
    {
        "text": text,
        "latex": latex,
        "html": _html,
        "rounding_error": rounding_error,
        "to_sympy": _to_sympy,
    }
)

_MODULES = ("testing",)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"difflab.{name}")
    if name not in _LATER:
        raise AttributeError(f"module 'difflab' has no attribute {name!r}")
    return getattr(importlib.import_module(_LATER[name]), name)


def __dir__() -> list[str]:
    return [*__all__, *_MODULES]
