"""How the distributions of scipy.stats are spelt in primitives, by name.

A family states its logarithmic density of standardised numbers, and what else has a form of its
own; scale and location, the support's outside and parameters that are none are alike for all.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from difflab.errors import UnsupportedError
from difflab.ir.build import promoted, reshaped
from difflab.ir.names import BY_NAME, frozen
from difflab.spellings.elementwise import floating
from difflab.spellings.scipy import betaln, means, row
from difflab.spellings.spelling import NP
from difflab.table.special_functions import density

Formula = Callable[..., Any]
_OUTSIDE = {
    "logpdf": (-np.inf, -np.inf), "pdf": (0.0, 0.0), "cdf": (0.0, 1.0), "sf": (1.0, 0.0),
    "logcdf": (-np.inf, 0.0), "logsf": (0.0, -np.inf), "logpmf": (-np.inf, -np.inf),
    "pmf": (0.0, 0.0),
}  # fmt: skip
"""What each method says below the support, and above."""
_REST = "ppf isf rvs stats moment entropy expect fit nnlf interval mean median std var".split()  # noqa: SIM905


@dataclass(frozen=True)
class Family:
    """Formulas by method, of standardised numbers and of the parameters of the shape."""

    formulas: Mapping[str, Formula]
    shapes: tuple[str, ...] = ()
    low: float = -np.inf
    high: float = np.inf
    inside: float = 1.0
    """A number that stands for those outside, so that nothing there is infinite."""
    discrete: bool = False
    parameters: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        scale = () if self.discrete else ("scale",)
        object.__setattr__(self, "parameters", (*self.shapes, "loc", *scale))


def _log_t(z: Any, df: Any) -> Any:
    half = 0.5 * (df + 1.0)
    size = row("gammaln", half) - row("gammaln", 0.5 * df) - 0.5 * NP.log(df * math.pi)
    return size - half * NP.log1p(z * z / df)


def _log_beta(z: Any, a: Any, b: Any) -> Any:
    return row("xlog1py", b - 1.0, -z) + row("xlogy", a - 1.0, z) - betaln(a, b)


def _log_density_of_size(z: Any) -> Any:
    """log(1 - exp(-z)), by the smaller of the two."""
    return NP.where(NP.less(z, 0.7), NP.log(-NP.expm1(-z)), NP.log1p(-NP.exp(-z)))


_FAMILIES = {
    "norm": Family({
        "logpdf": lambda z: -0.5 * NP.square(z) - 0.5 * math.log(2.0 * math.pi),
        "pdf": density,
        "cdf": lambda z: row("ndtr", z), "sf": lambda z: row("ndtr", -z),
        "logcdf": lambda z: row("log_ndtr", z), "logsf": lambda z: row("log_ndtr", -z),
    }),
    "expon": Family({
        "logpdf": lambda z: -z, "cdf": lambda z: -NP.expm1(-z), "sf": lambda z: NP.exp(-z),
        "logsf": lambda z: -z, "logcdf": _log_density_of_size,
    }, low=0.0),
    "t": Family({"logpdf": _log_t}, ("df",)),
    "gamma": Family({
        "logpdf": lambda z, a: row("xlogy", a - 1.0, z) - z - row("gammaln", a),
    }, ("a",), low=0.0),
    "chi2": Family({
        "logpdf": lambda z, df: row("xlogy", 0.5 * df - 1.0, z) - 0.5 * (z + df * math.log(2.0))
        - row("gammaln", 0.5 * df),
    }, ("df",), low=0.0),
    "beta": Family({"logpdf": _log_beta}, ("a", "b"), low=0.0, high=1.0, inside=0.5),
    "poisson": Family({
        "logpmf": lambda k, mu: row("xlogy", k, mu) - row("gammaln", k + 1.0) - mu,
    }, ("mu",), low=0.0, discrete=True),
}  # fmt: skip


def _meaning(name: str, method: str, x: Any, *args: Any, **kwargs: Any) -> Any:
    family = _FAMILIES[name]
    given = dict(zip(family.parameters, args, strict=False))
    if len(args) > len(family.parameters) or given.keys() & kwargs.keys():
        raise TypeError(f"scipy.stats.{name}.{method}() got too many arguments")
    given |= kwargs
    if wrong := [*(given.keys() - {*family.parameters}), *({*family.shapes} - given.keys())]:
        raise TypeError(f"scipy.stats.{name}.{method}() lacks, or does not take, {wrong[0]!r}")
    z, loc, scale, *shapes = promoted(
        x, given.get("loc", 0.0), given.get("scale", 1.0), *[given[s] for s in family.shapes],
        floating=True,
    )  # fmt: skip
    if "loc" in given or "scale" in given:
        z = (z - loc) / scale
    below, above = _OUTSIDE[method]
    outside = (z < family.low) | (z > family.high)
    if family.discrete:
        outside = outside | (NP.floor(z) != z)
    formula = family.formulas.get(method)
    bounded = np.isfinite(family.low)
    inside = NP.where(outside, family.inside, z) if bounded else z
    if formula is not None:
        found = formula(inside, *shapes)
    else:
        found = NP.exp(family.formulas[f"log{method}"](inside, *shapes))
    if "scale" in given and method in ("pdf", "logpdf"):
        found = found / scale if method == "pdf" else found - NP.log(scale)
    if bounded:
        found = NP.where(outside, NP.where(z > family.high, above, below), found)
    valid = [p > 0.0 for p in (*shapes, *([scale] if "scale" in given else []))]
    return NP.where(functools.reduce(NP.logical_and, valid), found, np.nan) if valid else found


def _refused(name: str, method: str, *args: Any, **kwargs: Any) -> Any:
    known = [m for m in _OUTSIDE if (name, m) in _SPELT]
    raise UnsupportedError(
        f"scipy.stats.{name}.{method} cannot be traced",
        f"use {', '.join(known)}, or compute it outside and pass it as an argument",
    )


_SPELT = {
    (name, method)
    for name, family in _FAMILIES.items()
    for method in _OUTSIDE
    if method in family.formulas or (method in ("pdf", "pmf") and f"log{method}" in family.formulas)
}
for _name in _FAMILIES:
    for _method in (*_OUTSIDE, *_REST):
        _rule = _meaning if (_name, _method) in _SPELT else _refused
        BY_NAME[f"scipy.stats.{_name}.{_method}"] = functools.partial(
            frozen, functools.partial(_rule, _name, _method)
        )


# -- of several variables --------------------------------------------------------------------------


def _factor(mean: Any, cov: Any) -> tuple[Any, Any]:
    """The mean of a normal law, and the Cholesky factor of its covariance, of which the lower
    triangle is read.
    """
    matrix: Any = floating(cov)
    dimension = matrix.shape[0] if matrix.ndim else np.size(mean) if mean is not None else 1
    if matrix.ndim < 2:
        matrix = matrix * np.eye(dimension)
    full = NP.tril(matrix) + NP.transpose(NP.tril(matrix, -1))
    centre = np.zeros(dimension) if mean is None else reshaped(floating(mean), (dimension,))
    return centre, NP.linalg.cholesky(full)


@means("stats.multivariate_normal.logpdf", refuses="allow_singular")
def _log_normal(x: Any, mean: Any = None, cov: Any = 1) -> Any:
    centre, factor = _factor(mean, cov)
    dimension = factor.shape[0]
    points: Any = floating(x)
    shape = points.shape if dimension == 1 and points.shape[-1:] != (1,) else points.shape[:-1]
    away = NP.transpose(reshaped(points, (math.prod(shape), dimension)) - centre)
    size = NP.sum(NP.square(NP.linalg.solve(factor, away)), 0)
    volume = NP.sum(NP.log(NP.diagonal(factor)))
    return reshaped(-0.5 * (dimension * math.log(2.0 * math.pi) + size) - volume, shape)


@means("stats.multivariate_normal.pdf", refuses="allow_singular")
def _normal(x: Any, mean: Any = None, cov: Any = 1) -> Any:
    return NP.exp(_log_normal(x, mean, cov))


@means("stats.multivariate_normal.entropy")
def _normal_entropy(mean: Any = None, cov: Any = 1) -> Any:
    _, factor = _factor(mean, cov)
    volume = NP.sum(NP.log(NP.diagonal(factor)))
    return 0.5 * factor.shape[0] * (math.log(2.0 * math.pi) + 1.0) + volume


@means("stats.dirichlet.logpdf")
def _log_dirichlet(x: Any, alpha: Any) -> Any:
    point, power = promoted(x, alpha, floating=True)
    if point.shape[0] + 1 == power.shape[0]:
        point = NP.concatenate([point, 1.0 - NP.sum(point, 0, keepdims=True)])
    if bool(NP.any(NP.abs(NP.sum(point, 0) - 1.0) > 1e-9)) or bool(NP.any(point < 0.0)):
        raise ValueError("the entries of x must be positive and sum to 1")
    terms = row("xlogy", reshaped(power - 1.0, (*power.shape, *(1,) * (point.ndim - 1))), point)
    whole = NP.sum(row("gammaln", power)) - row("gammaln", NP.sum(power))
    return NP.sum(terms, 0) - whole


means("stats.dirichlet.pdf")(lambda x, alpha: NP.exp(_log_dirichlet(x, alpha)))
