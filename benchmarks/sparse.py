"""Sparse Jacobians and Hessians of 100,000 variables, against JAX with colours by hand.

``python benchmarks/sparse.py [--rounds N] [--size N] [NAME...]`` where JAX is installed. difflab
reads the structure and finds the colours itself. JAX is told both: one jitted ``vmap`` of ``jvp``
over seeds that are written by hand for the band, and the same gathering into a
``scipy.sparse.csr_array``. Both start from a NumPy array. The first call has everything in it:
tracing, structure, colours and compilation; SciPy and JAX are imported before.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_array

import difflab
from difflab.lab.machine import one_blas_thread
from difflab.lab.timing import interleave

Contestants = dict[str, Callable[[], object]]


class Case(NamedTuple):
    """A function, written for NumPy or JAX, and what a user of JAX has to know about it."""

    f: Callable[[Any, Any], Any]
    """``f(np, x)``, for either NumPy."""
    offsets: tuple[int, ...]
    """The diagonals that may not be zero."""
    cut: tuple[int, int]
    """How many fewer rows than variables there are, and whether the offsets go round."""
    hessian: bool = False


def _slices(xp: Any, x: Any) -> Any:
    return xp.sin(x[1:-1]) * x[2:] - x[:-2] ** 2


def _rolled(xp: Any, x: Any) -> Any:
    return xp.sin(x) * xp.roll(x, -1) - xp.roll(x, 1) ** 2


def _joined(xp: Any, x: Any) -> Any:
    zero = xp.zeros(1)
    after, before = xp.concatenate([x[1:], zero]), xp.concatenate([zero, x[:-1]])
    return xp.sin(x) * after - before**2


def _rosenbrock(xp: Any, x: Any) -> Any:
    return xp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


CASES = {
    "slices": Case(_slices, (0, 1, 2), (2, 0)),
    "np.roll": Case(_rolled, (-1, 0, 1), (0, 1)),
    "np.concatenate": Case(_joined, (-1, 0, 1), (0, 0)),
    "np.diff twice": Case(lambda xp, x: xp.diff(x**2, 2), (0, 1, 2), (2, 0)),
    "Hessian of Rosenbrock": Case(_rosenbrock, (-1, 0, 1), (0, 0), hessian=True),
}


def contestants(case: Case, n: int) -> Contestants:
    """difflab, JAX by hand, and the function alone."""
    import jax

    jax.config.update("jax_enable_x64", True)
    x = np.random.default_rng(0).normal(size=n)
    f = lambda x: case.f(np, x)
    ours = (difflab.sparse_hessian if case.hessian else difflab.sparse_jacobian)(f)
    g = lambda x: case.f(jax.numpy, x)
    by_hand = _by_jax(jax, jax.grad(g) if case.hessian else g, case, n)
    calls = {"difflab": lambda: ours(x), "JAX by hand": lambda: by_hand(x), "f alone": lambda: f(x)}
    return calls


def _by_jax(jax: Any, f: Any, case: Case, n: int) -> Callable[[Any], csr_array]:
    """One jvp a colour, for a band that is known."""
    cut, around = case.cut
    rows = np.repeat(np.arange(n - cut), len(case.offsets))
    columns = rows + np.tile(case.offsets, n - cut)
    inside = (columns >= 0) & (columns < n)
    if around:
        columns, inside = columns % n, np.ones(columns.size, bool)
    order = np.lexsort((columns[inside], rows[inside]))
    rows, columns = rows[inside][order], columns[inside][order]
    count = len(case.offsets)
    colours = np.arange(n) % count
    if around and n % count:  # where the band meets its own end
        colours[-(n % count) :] = count + np.arange(n % count)
    seeds = (np.arange(colours.max() + 1)[:, None] == colours).astype(float)
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n - cut))])
    columns, starts = columns.astype(np.int32), starts.astype(np.int32)
    where = colours[columns], rows

    @jax.jit
    def entries(x: Any) -> Any:
        sweeps = jax.vmap(lambda seed: jax.jvp(f, (x,), (seed,))[1])(seeds)
        return sweeps[where]

    def run(x: Any) -> csr_array:
        data = np.array(entries(x))
        return csr_array((data, columns.copy(), starts.copy()), shape=(n - cut, n))

    return run


def _check(calls: Contestants) -> None:
    """Raise unless both compute the same: one that is wrong has no time."""
    ours, theirs = calls["difflab"](), calls["JAX by hand"]()
    assert isinstance(ours, csr_array) and isinstance(theirs, csr_array)
    assert abs(ours - theirs).max() <= 1e-9 * abs(ours).max()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(CASES)}; all by default")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--size", type=int, default=100_000)
    options = parser.parse_args()
    print(f"{options.size:,} variables; milliseconds, and the ratio of later calls to difflab's")
    print(f"{'':24}{'':14}{'first call':>12}{'later':>10}{'ratio':>8}")
    for name in options.names or CASES:
        calls = contestants(CASES[name], options.size)
        with one_blas_thread():
            table = interleave(calls, rounds=options.rounds)
        _check(calls)
        for row in table.itertuples():
            print(f"{name:24}{row.contestant:18}{1e3 * row.first_seconds:8.1f}"
                  f"{1e3 * row.seconds:10.2f}{row.ratio:8.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
