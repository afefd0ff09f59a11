"""How NumPy's functions are spelt in primitives, and what is refused.

What flows: a NumPy call on traced values comes in, nodes come out. A spelling takes the parameters
that it supports, and is mostly plain NumPy text over functions spelt before it. The rooms, each
built on those above it:

===================== ==========================================================================
spelling.py           what a spelling is: NumPy's own header, supported, refused or ignored
axes.py               axes, counted from the end
indexing.py           x[index], for every index that NumPy takes
movement.py           shapes, joining, cutting, turning
selection.py          choosing and inserting elements, triangles, order
elementwise.py        powers, rounding, choices, questions about values
reductions.py         sums, means, extremes, running sums, quantiles, without NaN
algebra.py            contractions and linear algebra
analysis.py           differences, interpolation, convolution, polynomials, covariance
spectral.py           eigenvalues, singular values, factors, least squares
beyond_numpy.py       what NumPy lacks
scipy.py              functions of SciPy and math, by name
distributions.py      the distributions of scipy.stats, by name
complex.py            what NumPy's functions mean on complex values inside a real function
fourier.py            Fourier transforms, of real and of complex values
refused.py            what cannot be traced, and what to write instead
===================== ==========================================================================

Here, and nowhere else, they are gathered into `SPELLINGS`, `COMPLEX` and `REMEDIES`; a function
that is spelt by none, and that a pointwise row is found by, means that row.

>>> import numpy as np
>>> from difflab.tracing.trace import trace
>>> trace(np.mean, np.ones(4)).operation_count()
4
"""

from __future__ import annotations

import numpy as np

from difflab.ir.protocols import COMPLEX, SPELLINGS, refuse, spell
from difflab.ir.row import TABLE, OwnFunction
from difflab.spellings import (
    algebra,
    analysis,
    beyond_numpy,
    complex,
    distributions,  # noqa: F401 (enters its names)
    elementwise,
    fourier,
    indexing,
    movement,
    reductions,
    scipy,  # noqa: F401 (enters its names)
    selection,
    spectral,
)
from difflab.spellings.refused import REFUSED
from difflab.spellings.spelling import marked, of_row

for _room in (
    indexing, movement, selection, elementwise, reductions, algebra, analysis, spectral,
    beyond_numpy, fourier,
):  # fmt: skip
    for _spelling in marked(_room):
        spell(_spelling.function, _spelling)
_spelt = frozenset(SPELLINGS)
for _row in TABLE.values():
    for _function in _row.numpy if _row.kind == "pointwise" else ():
        if isinstance(_function, (np.ufunc, OwnFunction)) and _function not in _spelt:
            spell(_function, of_row(_function, _row))
for _room in (complex, fourier):
    COMPLEX.update({_spelling.function: _spelling for _spelling in marked(_room)})
COMPLEX.update(complex.OF_KINDS)
for _function, _remedy in REFUSED.items():
    refuse(_function, _remedy)
