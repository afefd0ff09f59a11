"""Contractions and linear algebra, on stacks of matrices: plain NumPy text."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from difflab.ir.rounding import EVEN, Local, added
from difflab.ir.row import (
    ITSELF,
    NOT_HOLOMORPHIC,
    OPERATOR,
    POSITIVE,
    OwnFunction,
    Primitive,
    Typed,
    general,
    like_first,
    multilinear,
    sample,
)


def swap(a: Any) -> Any:
    """Matrices transposed."""
    return np.swapaxes(a, -1, -2)


# -- contractions --------------------------------------------------------------------------------


def matmul_infer(a: Any, b: Any) -> Typed:
    return (*a.shape[:-1], b.shape[-1]), a.dtype


def matmul_cost(node: Any, a: Any, b: Any) -> int:
    products = int(a.shape[-1])
    return int(node.size) * max(2 * products - 1, 0)


def _matmul_rounding(y: Any, a: Any, b: Any) -> Local:
    return added(np.abs(a) @ np.abs(b), a.shape[-1], 1.0)


def einsum(*operands: Any, subscripts: str) -> Any:
    """Einstein's summation; each operand's letters differ, and each stands in another operand
    or the result.
    """
    return np.einsum(subscripts, *operands)


def einsum_infer(*operands: Any, subscripts: str) -> Typed:
    inputs, output = subscripts.split("->")
    lengths = {
        letter: length
        for letters, operand in zip(inputs.split(","), operands, strict=True)
        for letter, length in zip(letters, operand.shape, strict=True)
    }
    return tuple([lengths[letter] for letter in output]), operands[0].dtype


def _einsum_transpose(position: int, ct: Any, *operands: Any, subscripts: str) -> Any:
    inputs, output = subscripts.split("->")
    letters = inputs.split(",")
    mine = letters[position]
    letters[position] = output
    others = [ct if i == position else operand for i, operand in enumerate(operands)]
    return np.einsum(f"{','.join(letters)}->{mine}", *others)


def einsum_batch(size: int, *, subscripts: str) -> dict[str, Any]:
    inputs, output = subscripts.split("->")
    free = next(letter for letter in "ZYXWVUTSRQPONMLKJIHGFEDCBA" if letter not in subscripts)
    return {"subscripts": f"{','.join(free + part for part in inputs.split(','))}->{free}{output}"}


class EinsumTransposes(tuple[Any, ...]):
    """One transpose an operand, for however many operands there are."""

    __slots__ = ()

    def __getitem__(self, position: Any) -> Any:
        return lambda ct, *x, subscripts: _einsum_transpose(position, ct, *x, subscripts=subscripts)


def einsum_cost(node: Any, *operands: Any) -> int:
    inputs, _ = dict(node.params)["subscripts"].split("->")
    lengths: dict[str, int] = {}
    for letters, operand in zip(inputs.split(","), operands, strict=True):
        lengths |= dict(zip(letters, operand.shape, strict=True))
    return len(operands) * int(np.prod(list(lengths.values()), dtype=np.int64))


def _einsum_rounding(y: Any, *x: Any, subscripts: str) -> Local:
    size = np.einsum(subscripts, *map(np.abs, x))
    inputs, output = subscripts.split("->")
    lengths = dict(zip(inputs.replace(",", ""), [n for part in x for n in part.shape], strict=True))
    n = float(np.prod([lengths[letter] for letter in set(lengths) - set(output)]))
    return added(size, n, len(x) - 1.0)


# -- factorisations ------------------------------------------------------------------------------
# The result is exact for a matrix that differs by n ulps of |L||U| or |L||L'|, taken as |A| where
# pivots do not grow (Higham 2002, chapters 9 and 10).


def number_per_matrix(a: Any) -> Typed:
    return a.shape[:-2], a.dtype


def cubic_cost(node: Any, a: Any, *rest: Any) -> int:
    return int(a.size) * int(a.shape[-1])


def _inverse(a: Any) -> Any:
    try:
        return np.abs(np.linalg.inv(a))
    except np.linalg.LinAlgError:
        return np.full_like(a, np.nan)


def _backward(size: Any, a: Any) -> Local:
    n = a.shape[-1]
    return Local(size, 2.0 * n, EVEN)


def lower_part(a: Any) -> Any:
    return np.where(np.tri(a.shape[-1], dtype=bool), a, 0.0)


def _half_lower(a: Any) -> Any:
    """The lower triangle with its diagonal halved."""
    n = a.shape[-1]
    return a * (np.tri(n, dtype=a.dtype) - a.dtype.type(0.5) * np.eye(n, dtype=a.dtype))


def solve_pushforward(y: Any, tangents: Any, a: Any, b: Any) -> Any:
    ta, tb = tangents
    right = tb if ta is None else (-ta @ y if tb is None else tb - ta @ y)
    return np.linalg.solve(a, right)


def solve_pullback(y: Any, ct: Any, a: Any, b: Any) -> Any:
    adjoint = np.linalg.solve(swap(a), ct)
    return -adjoint @ swap(y), adjoint


def _solve_rounding(y: Any, a: Any, b: Any) -> Local:
    return _backward(_inverse(a) @ (np.abs(a) @ np.abs(y)), a)


def trace_of(a: Any) -> Any:
    return np.sum(a * np.eye(a.shape[-1], dtype=a.dtype), (-2, -1))


def matrix(y: Any) -> Any:
    """Numbers as matrices of one element, to scale matrices with."""
    return np.reshape(y, (*y.shape, 1, 1))


# -- the adjugate: the derivative of a determinant, which singular matrices have too

FEW: Final = 12
"""Sizes up to which minors are taken one by one, in n^5 operations."""


def _kept(a: Any) -> Any:
    """For each i, the rows of the identity but row i: it drops row i of what it multiplies."""
    n = a.shape[-1]
    return np.stack([np.delete(np.eye(n, dtype=a.dtype), i, 0) for i in range(n)])


def _minors(a: Any) -> Any:
    """For each i and j the matrix without row i and column j."""
    kept = _kept(a)
    return kept[:, None] @ a[..., None, None, :, :] @ swap(kept)


def _signs(a: Any) -> Any:
    n = np.arange(a.shape[-1])
    return (1.0 - 2.0 * ((n[:, None] + n) % 2)).astype(a.dtype)


@OwnFunction
def adjugate(a: Any) -> Any:
    """det(a) a^-1, and its limit where a is singular: the matrix of cofactors, transposed.

    The determinant and the inverse come of one factorisation, so that their errors cancel.

    >>> adjugate(np.array([[1.0, 2.0], [2.0, 4.0]]))
    array([[ 4., -2.],
           [-2.,  1.]])
    """
    try:
        return matrix(np.linalg.det(a)) * np.linalg.inv(a)
    except np.linalg.LinAlgError:
        if a.ndim > 2:
            return np.stack([adjugate.evaluate(part) for part in a])
        if len(a) <= FEW:
            return swap(_signs(a) * np.linalg.det(_minors(a)))
        u, s, v = np.linalg.svd(a)
        sign = np.linalg.det(u) * np.linalg.det(v)
        products = np.array([np.prod(np.delete(s, i)) for i in range(len(s))], a.dtype)
        return (sign * swap(v) * products) @ swap(u)


def adjugate_pushforward(y: Any, tangents: Any, a: Any) -> Any:
    (t,) = tangents
    if a.shape[-1] > FEW:
        inverse = np.linalg.inv(a)
        return matrix(trace_of(y @ t)) * inverse - y @ t @ inverse
    inner = swap(adjugate(_minors(a)))
    return swap(_signs(a) * np.sum(inner * _minors(t), (-2, -1)))


def adjugate_pullback(y: Any, ct: Any, a: Any) -> Any:
    if a.shape[-1] > FEW:
        inverse = swap(np.linalg.inv(a))
        return (
            swap(y)
            @ (
                matrix(np.sum(ct * swap(inverse), (-2, -1))) * np.eye(a.shape[-1], dtype=a.dtype)
                - ct @ inverse
            ),
        )
    kept = _kept(a)
    inner = matrix(_signs(a) * swap(ct)) * swap(adjugate(_minors(a)))
    return (np.sum(swap(kept)[:, None] @ inner @ kept, (-4, -3)),)


def _adjugate_rounding(y: Any, a: Any) -> Local:
    """As of the determinant, relative to the largest entry."""
    n = a.shape[-1]
    return Local(np.max(np.abs(y), (-2, -1), keepdims=True) + 0.0 * y, 2.0 * n * n, EVEN * n)


def log_abs_det(a: Any) -> Any:
    """log |det a|."""
    return np.linalg.slogdet(a)[1]


def sign_det(a: Any) -> Any:
    """The sign of det a."""
    return np.linalg.slogdet(a)[0]


def _log_abs_det_rounding(y: Any, a: Any) -> Local:
    relative = np.sum(np.swapaxes(_inverse(a), -1, -2) * np.abs(a), (-2, -1))
    return _backward(np.abs(y) + relative, a)


def _det_rounding(y: Any, a: Any) -> Local:
    return _backward(np.abs(y) * _log_abs_det_rounding(np.zeros_like(y), a).size, a)


def cholesky_pushforward(y: Any, tangents: Any, a: Any) -> Any:
    # NumPy reads the lower triangle of a alone, so only that part of the tangent counts.
    lower = lower_part(tangents[0])
    symmetric = lower + swap(lower) - lower * np.eye(a.shape[-1], dtype=a.dtype)
    inner = np.linalg.solve(y, swap(np.linalg.solve(y, symmetric)))
    return y @ _half_lower(inner)


def cholesky_pullback(y: Any, ct: Any, a: Any) -> Any:
    # Murray (2016), Differentiation of the Cholesky decomposition, eq. 11, folded to the lower
    # triangle.
    inner = _half_lower(swap(y) @ ct)
    middle = np.linalg.solve(swap(y), swap(np.linalg.solve(swap(y), swap(inner))))
    both = middle + swap(middle)
    return (lower_part(both) - 0.5 * both * np.eye(a.shape[-1], dtype=a.dtype),)


def _cholesky_rounding(y: Any, a: Any) -> Local:
    """|L| lower(|L⁻¹| |L||L'| |L⁻¹|'), from dL = L lower(L⁻¹ dA L⁻¹')."""
    lower, inverse = np.abs(y), _inverse(y)
    inner = inverse @ lower
    return _backward(lower @ np.tril(inner @ np.swapaxes(inner, -1, -2)), a)


def _regular(rng: np.random.Generator) -> Any:
    return rng.normal(size=(2, 3, 3)) + 3.0 * np.eye(3)


def _positive_definite(rng: np.random.Generator) -> Any:
    a = _regular(rng)
    return a @ swap(a)


_SINGULAR: Final = np.outer([1.0, 2.0], [3.0, -1.0])
_ADVICE: Final = (
    "choose a point where the matrix can be inverted, or add a multiple of the identity"
)


MATMUL: Final = multilinear(
    np.matmul,
    kind="contraction",
    infer=matmul_infer,
    sympy=ITSELF,
    ball=ITSELF,
    transposes=(lambda ct, a, b: ct @ swap(b), lambda ct, a, b: swap(a) @ ct),
    emit="matmul({0}, {1}, {out})",
    cost=matmul_cost,
    text="{0} @ {1}",
    latex=r"{0} \, {1}",
    precedence=OPERATOR + 1,
    rounding=_matmul_rounding,
    cancels=True,
    sample=lambda rng, shape: [
        sample(rng.normal(size=(2, 3)), rng.normal(size=(3, 4))),
        sample(rng.normal(size=(2, 1, 3)), rng.normal(size=(2, 3, 2))),
    ],
)

ROWS: Final[tuple[Primitive, ...]] = (
    MATMUL,
    multilinear(
        einsum,
        kind="contraction",
        infer=einsum_infer,
        transposes=EinsumTransposes(),
        sympy=ITSELF,
        ball=ITSELF,
        batch=einsum_batch,
        emit="einsum({subscripts}, {operands}, out={out})",
        latex=r"\operatorname{{einsum}}_{{\text{{{subscripts}}}}}\left({operands}\right)",
        cost=einsum_cost,
        rounding=_einsum_rounding,
        cancels=True,
        sample=lambda rng, shape: [
            sample(rng.normal(size=(2, 3)), rng.normal(size=(3, 4)), subscripts="ij,jk->ki"),
            sample(
                rng.normal(size=2),
                rng.normal(size=(2, 3)),
                rng.normal(size=3),
                subscripts="i,ij,j->",
            ),
            sample(rng.normal(size=(2, 3, 2)), rng.normal(size=(2, 3)), subscripts="bij,bi->bj"),
        ],
    ),
    general(
        np.linalg.solve,
        kind="factorisation",
        infer=lambda a, b: (b.shape, b.dtype),
        pushforward=solve_pushforward,
        pullback=solve_pullback,
        sympy="solve",
        ball="solve",
        emit="solve({0}, {1})",
        cost=cubic_cost,
        rounding=_solve_rounding,
        singular=_ADVICE,
        sample=lambda rng, shape: [sample(_regular(rng), rng.normal(size=(2, 3, 2)))],
    ),
    general(
        np.linalg.det,
        kind="factorisation",
        infer=number_per_matrix,
        sympy="det",
        ball="det",
        pushforward=lambda y, t, a: np.sum(swap(adjugate(a)) * t[0], (-2, -1)),
        pullback=lambda y, ct, a: (matrix(ct) * swap(adjugate(a)),),
        emit="det({0})",
        cost=cubic_cost,
        rounding=_det_rounding,
        sample=lambda rng, shape: [sample(_regular(rng)), sample(_SINGULAR)],
    ),
    general(
        adjugate,
        kind="factorisation",
        infer=like_first,
        sympy="adjugate",
        ball="adjugate",
        pushforward=adjugate_pushforward,
        pullback=adjugate_pullback,
        emit="adjugate({0})",
        latex=r"\operatorname{{adj}}\left({0}\right)",
        cost=cubic_cost,
        rounding=_adjugate_rounding,
        sample=lambda rng, shape: [sample(_regular(rng)), sample(_SINGULAR)],
    ),
    general(
        log_abs_det,
        kind="factorisation",
        infer=number_per_matrix,
        sympy="log_abs_det",
        ball="log_abs_det",
        pushforward=lambda y, t, a: trace_of(np.linalg.solve(a, t[0])),
        domain=POSITIVE,
        pullback=lambda y, ct, a: (matrix(ct) * swap(np.linalg.inv(a)),),
        emit="log_abs_det({0})",
        complex=NOT_HOLOMORPHIC,
        cost=cubic_cost,
        rounding=_log_abs_det_rounding,
        singular=_ADVICE,
        sample=lambda rng, shape: [sample(-_regular(rng))],
    ),
    general(
        sign_det,
        kind="factorisation",
        infer=number_per_matrix,
        sympy="sign_det",
        ball="sign_det",
        pushforward=lambda y, t, a: None,
        pullback=lambda y, ct, a: (None,),
        emit="sign_det({0})",
        kink=np.linalg.det,
        complex=NOT_HOLOMORPHIC,
        cost=cubic_cost,
        singular=_ADVICE,
        sample=lambda rng, shape: [sample(_regular(rng))],
    ),
    general(
        np.linalg.cholesky,
        kind="factorisation",
        infer=like_first,
        sympy="cholesky",
        ball="cholesky",
        pushforward=cholesky_pushforward,
        pullback=cholesky_pullback,
        emit="cholesky({0})",
        complex=NOT_HOLOMORPHIC,
        cost=cubic_cost,
        rounding=_cholesky_rounding,
        singular="choose a point where the matrix is positive definite, or add a multiple of the "
        "identity",
        sample=lambda rng, shape: [sample(_positive_definite(rng))],
    ),
)
