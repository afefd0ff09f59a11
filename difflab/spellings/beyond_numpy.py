"""How the functions that NumPy lacks, and those that only rules call, are spelt in primitives."""

from __future__ import annotations

from typing import Any

import numpy as np

from difflab.ir.build import lift, node, pointwise, promoted
from difflab.ir.expr import Expr
from difflab.ir.row import TABLE
from difflab.spellings.algebra import square_matrix
from difflab.spellings.axes import axis_of
from difflab.spellings.elementwise import floating
from difflab.spellings.spelling import spells
from difflab.table import (
    algebra,
    bessel,
    elementary,
    movement,
    reductions,
    special,
    special_functions,
    spectral,
)


@spells(special.softmax)
def softmax(x: Any, axis: int = -1) -> Expr:
    logits = floating(x)
    return node("softmax", logits, axis=axis_of(logits, axis))


@spells(special.log_softmax)
def log_softmax(x: Any, axis: int = -1) -> Expr:
    logits = floating(x)
    return node("log_softmax", logits, axis=axis_of(logits, axis))


IN_A_LINE = [
    spells(elementary.spherical_bessel)(
        lambda x, n=0: pointwise(TABLE["spherical_bessel"], x, n=n)
    ),
    spells(special_functions.polygamma)(lambda x, n: pointwise(TABLE["polygamma"], x, n=n)),
    spells(special_functions.normal_tail)(lambda x, n: pointwise(TABLE["normal_tail"], x, n=n)),
    spells(bessel.bessel_i)(lambda x, n: pointwise(TABLE["bessel_i"], x, n=n)),
    spells(bessel.bessel_j)(lambda x, n: pointwise(TABLE["bessel_j"], x, n=n)),
    spells(np.i0)(lambda x: pointwise(TABLE["bessel_i"], x, n=0)),
    spells(bessel.expm)(lambda a: node("expm", square_matrix("expm", a))),
    spells(algebra.adjugate)(lambda a: node("adjugate", lift(a))),
    spells(spectral.inverse_gaps)(lambda x: node("inverse_gaps", x)),
    spells(spectral.least_squares)(
        lambda a, b, rcond: node("least_squares", a, lift(b), rcond=rcond)
    ),
    spells(spectral.settled)(lambda ct, x: node("settled", lift(ct), x)),
    spells(spectral.eigenvalues)(lambda a, uplo: node("eigenvalues", a, uplo=uplo)),
    spells(spectral.eigenvectors)(lambda a, uplo: node("eigenvectors", a, uplo=uplo)),
    spells(spectral.singular_values)(lambda a: node("singular_values", a)),
    spells(spectral.singular_vectors)(lambda a: node("singular_vectors", a)),
    spells(movement.place)(lambda x, index, shape: node("place", x, index=index, shape=shape)),
    spells(reductions.share_of_largest)(lambda x, axes: node("share_of_largest", x, axes=axes)),
    spells(movement.join)(lambda *parts, lead: node("join", *promoted(*parts), lead=lead)),
    spells(movement.scatter_add)(
        lambda x, *indices, shape: node("scatter_add", x, *indices, shape=shape)
    ),
]
