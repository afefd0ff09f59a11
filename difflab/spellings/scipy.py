"""How SciPy's functions are spelt in primitives, by name: SciPy itself is not imported.

What flows: a name such as "scipy.special.logsumexp" and arguments come in, nodes come out, under
SciPy's own header, as spelling.py has it. `meaning_of` finds what a function of SciPy, or a method
of one of its distributions, means.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from difflab.errors import ShapeError, UnsupportedError
from difflab.ir.build import lift, node, pointwise, promoted, reshaped
from difflab.ir.expr import Expr
from difflab.ir.names import BY_NAME, meaning_of
from difflab.ir.protocols import spelling_of
from difflab.ir.row import TABLE
from difflab.spellings import algebra
from difflab.spellings.axes import axes_of
from difflab.spellings.elementwise import floating
from difflab.spellings.reductions import max_, sum_
from difflab.spellings.spelling import NP, Mark, Meaning, Spelling

__all__ = ["meaning_of", "means"]


def means(*names: str, refuses: str = "", ignores: str = "") -> Callable[[Meaning], Meaning]:
    """The decorated function says what SciPy's functions of those names mean on nodes."""

    def mark(meaning: Meaning) -> Meaning:
        known = Mark((), tuple(refuses.split()), tuple(ignores.split()))
        for name in names:
            BY_NAME[f"scipy.{name}"] = functools.cache(lambda f: Spelling(f, meaning, known))
        return meaning

    return mark


def row(name: str, *values: Any, **params: Any) -> Any:
    """A pointwise row applied to values."""
    return pointwise(TABLE[name], *values, **params)


# -- scipy.special, and math -----------------------------------------------------------------------

for (
    _name
) in "erf erfc gammaln gamma erfinv ndtr log_ndtr xlogy xlog1py entr rel_entr kl_div".split():  # noqa: SIM905
    means(f"special.{_name}")(lambda *x, row_name=_name: row(row_name, *x))
    BY_NAME[f"math.{_name.replace('gammaln', 'lgamma')}"] = BY_NAME[f"scipy.special.{_name}"]
means("special.expit")(lambda x: row("sigmoid", x))
means("special.log_expit")(lambda x: -row("softplus", -lift(x)))
means("special.logit")(lambda x: row("log_ratio", x, 1.0 - floating(x)))
for _name, _order in (("i0", 0), ("i1", 1)):
    means(f"special.{_name}")(lambda x, *, n=_order: row("bessel_i", x, n=n))
for _name, _order in (("j0", 0), ("j1", 1)):
    means(f"special.{_name}")(lambda x, *, n=_order: row("bessel_j", x, n=n))


def _of_order(name: str) -> Callable[..., Any]:
    """A Bessel function whose first argument is a small whole order."""

    def meaning(v: Any, z: Any) -> Any:
        if isinstance(v, Expr) or np.ndim(v) != 0 or v not in range(9):
            raise UnsupportedError(
                f"scipy.special.{name} of an order that is not one of 0 to 8 cannot be traced",
                "call it with a whole order, or compute it outside and pass it as an argument",
            )
        return row({"jv": "bessel_j", "iv": "bessel_i"}[name], z, n=int(v))

    return meaning


means("special.jv")(_of_order("jv"))
means("special.iv")(_of_order("iv"))
means("special.gammasgn")(lambda x: NP.sign(row("gamma", x)))
means("special.rgamma")(lambda x: 1.0 / row("gamma", x))
means("special.psi")(lambda x: row("polygamma", x, n=0))


@means("special.polygamma")
def polygamma(n: Any, x: Any) -> Any:
    if isinstance(n, Expr) or np.ndim(n) != 0 or int(n) != n or n < 0:
        raise UnsupportedError(
            "scipy.special.polygamma of several orders cannot be traced", "call it once an order"
        )
    return row("polygamma", x, n=int(n))


@means("special.betaln")
def betaln(a: Any, b: Any) -> Any:
    """To the digits of the largest of its terms."""
    x, y = promoted(a, b, floating=True)
    return row("gammaln", x) + row("gammaln", y) - row("gammaln", NP.add(x, y))


@means("special.beta")
def beta(a: Any, b: Any) -> Any:
    return NP.exp(betaln(a, b))


@means("special.logsumexp", refuses="return_sign")
def logsumexp(a: Any, axis: Any = None, b: Any = None, keepdims: bool = False) -> Any:
    """Shifted by the largest, where that is finite."""
    x: Any = floating(a)
    w: Any = None
    if b is not None:
        x, w = promoted(a, b, floating=True)
        w, x = np.broadcast_arrays(w, x)
        x = NP.where(NP.equal(w, 0.0), -np.inf, x)
    largest = max_(x, axis, keepdims=True)
    shift = NP.where(NP.isfinite(largest), largest, 0.0)
    grown = NP.exp(x - shift)
    total = sum_(grown if w is None else w * grown, axis, keepdims=True)
    found = NP.log(total) + shift
    axes = axes_of(x, axis)
    kept = tuple([n for i, n in enumerate(x.shape) if i - x.ndim not in axes])
    return found if keepdims else reshaped(found, kept)


def _along(name: str, x: Any, axis: Any) -> Any:
    logits = floating(x)
    if axis is None:
        flat = reshaped(logits, (logits.size,))
        return reshaped(node(name, flat, axis=-1), logits.shape)
    axes = axes_of(logits, axis)
    if len(axes) != 1:
        raise UnsupportedError(
            f"scipy.special.{name} along several axes cannot be traced", "reshape them into one"
        )
    return node(name, logits, axis=axes[0])


means("special.softmax")(lambda x, axis=None: _along("softmax", x, axis))
means("special.log_softmax")(lambda x, axis=None: _along("log_softmax", x, axis))

# -- scipy.linalg ----------------------------------------------------------------------------------

_FREE = "overwrite_a overwrite_b check_finite"
_STRUCTURES: dict[Any, str] = {
    **dict.fromkeys((None, "gen", "general"), "any"),
    **dict.fromkeys(("sym", "symmetric", "her", "hermitian", "pos", "positive definite"), "sym"),
}


def triangle(a: Any, lower: bool, k: int = 0) -> Any:
    return NP.tril(a, -k) if lower else NP.triu(a, k)


@means("linalg.solve", ignores=_FREE)
def solve(
    a: Any, b: Any, lower: bool = False, *, assume_a: Any = None, transposed: bool = False
) -> Any:
    """Of a matrix that is taken as symmetric one triangle is read."""
    x = floating(a)
    if assume_a not in _STRUCTURES:
        raise UnsupportedError(
            f"scipy.linalg.solve with assume_a={assume_a!r} cannot be traced", "leave out assume_a="
        )
    if _STRUCTURES[assume_a] == "sym":
        x = triangle(x, lower) + triangle(x, lower, 1).mT
    return algebra.solve(x.mT if transposed else x, b)


@means("linalg.inv", ignores=_FREE)
def inv(a: Any) -> Any:
    return algebra.inv(a)


@means("linalg.solve_triangular", ignores=_FREE)
def solve_triangular(
    a: Any, b: Any, trans: Any = 0, lower: bool = False, unit_diagonal: bool = False
) -> Any:
    x = floating(a)
    t = triangle(x, lower, int(unit_diagonal))
    t = t + np.eye(x.shape[-1], dtype=x.dtype) if unit_diagonal else t
    return algebra.solve(t if trans in (0, "N") else t.mT, b)


@means("linalg.cholesky", ignores=_FREE)
def cholesky(a: Any, lower: bool = False) -> Any:
    return algebra.cholesky(a, upper=not lower)


@means("linalg.cho_factor", ignores=_FREE)
def cho_factor(a: Any, lower: bool = False) -> Any:
    return cholesky(a, lower), lower


@means("linalg.cho_solve", ignores=_FREE)
def cho_solve(c_and_lower: Any, b: Any) -> Any:
    c, lower = c_and_lower
    t = triangle(lift(c), lower)
    left = t if lower else t.mT
    return algebra.solve(left.mT, algebra.solve(left, b))


@means("linalg.svd", ignores=_FREE + " lapack_driver")
def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    return spelling_of(np.linalg.svd)(a, full_matrices, compute_uv)


@means("linalg.eigh", ignores=_FREE + " driver")
def eigh(a: Any, *, lower: bool = True, eigvals_only: bool = False) -> Any:
    function = np.linalg.eigvalsh if eigvals_only else np.linalg.eigh
    return spelling_of(function)(a, "L" if lower else "U")


@means("linalg.qr", ignores=_FREE + " lwork")
def qr(a: Any, *, mode: str = "full") -> Any:
    modes = {"full": "complete", "economic": "reduced", "r": "r"}
    if mode not in modes:
        raise UnsupportedError(f"scipy.linalg.qr with mode={mode!r} cannot be traced", "leave out")
    found = spelling_of(np.linalg.qr)(a, modes[mode])
    return (found,) if mode == "r" else tuple(found)


@means("linalg.lstsq", ignores=_FREE + " lapack_driver")
def lstsq(a: Any, b: Any) -> Any:
    """Of one vector SciPy gives one residual, where NumPy gives an array of one."""
    x, residuals, *rest = spelling_of(np.linalg.lstsq)(a, b)
    shape = residuals.shape[:-1] if lift(b).ndim == 1 and residuals.size else residuals.shape
    return x, reshaped(residuals, shape), *rest


means("linalg.expm")(lambda A: node("expm", algebra.square_matrix("expm", A)))
means("linalg.det", ignores=_FREE)(lambda a: spelling_of(np.linalg.det)(a))
means("linalg.pinv", ignores=_FREE)(lambda a: spelling_of(np.linalg.pinv)(a))
means("linalg.norm", ignores=_FREE)(
    lambda a, ord=None, axis=None, keepdims=False: algebra.norm(a, ord, axis, keepdims)
)

# -- scipy.spatial.distance, scipy.optimize --------------------------------------------------------


def _cosine(u: Any, v: Any) -> Any:
    """One less the cosine."""
    size = algebra.vector_norm(u, axis=-1) * algebra.vector_norm(v, axis=-1)
    return 1.0 - sum_(u * v, -1) / size


def _by_norm(ord: Any) -> Callable[..., Any]:
    return lambda u, v: algebra.vector_norm(u - v, axis=-1, ord=ord)


_METRICS: dict[str, Callable[..., Any]] = {
    "euclidean": _by_norm(2),
    "sqeuclidean": lambda u, v: sum_(NP.square(u - v), -1),
    "cityblock": _by_norm(1),
    "chebyshev": _by_norm(np.inf),
    "cosine": _cosine,
}


def _metric(function: str, metric: Any, p: Any) -> Callable[..., Any]:
    if metric == "minkowski":
        return _by_norm(p)
    if not isinstance(metric, str) or metric not in _METRICS:
        raise UnsupportedError(
            f"scipy.spatial.distance.{function} with metric={metric!r} cannot be traced",
            f"use one of {', '.join((*_METRICS, 'minkowski'))}, or write it with NumPy functions",
        )
    return _METRICS[metric]


@means("spatial.distance.cdist")
def cdist(XA: Any, XB: Any, metric: Any = "euclidean", *, p: Any = 2) -> Any:
    distance = _metric("cdist", metric, p)
    u, v = promoted(XA, XB, floating=True)
    if u.ndim != 2 or v.ndim != 2 or u.shape[1] != v.shape[1]:
        raise ShapeError(f"scipy.spatial.distance.cdist of shapes {u.shape} and {v.shape}")
    shape = (u.shape[0], *v.shape)
    return distance(*(NP.broadcast_to(x, shape) for x in (u[:, None], v[None])))


@means("spatial.distance.pdist")
def pdist(X: Any, metric: Any = "euclidean", *, p: Any = 2) -> Any:
    distance, x = _metric("pdist", metric, p), floating(X)
    i, j = np.triu_indices(x.shape[0], 1)
    return distance(x[i], x[j])


for _name, _rule in _METRICS.items():
    means(f"spatial.distance.{_name}")(
        lambda u, v, *, rule=_rule: rule(*promoted(u, v, floating=True))
    )
means("spatial.distance.minkowski")(lambda u, v, p=2: _by_norm(p)(*promoted(u, v, floating=True)))


@means("optimize.rosen")
def rosen(x: Any) -> Any:
    x = floating(x)
    off = x[1:] - NP.square(x[:-1])
    return sum_(100.0 * NP.square(off) + NP.square(1.0 - x[:-1]), 0)


@means("optimize.rosen_der")
def rosen_der(x: Any) -> Any:
    x = floating(x)
    off = 200.0 * (x[1:] - NP.square(x[:-1]))
    none = np.zeros((1, *x.shape[1:]), x.dtype)
    own = -2.0 * x[:-1] * off - 2.0 * (1.0 - x[:-1])
    return NP.concatenate([own, none]) + NP.concatenate([none, off])
