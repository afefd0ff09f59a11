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
beyond_numpy.py       what NumPy lacks
refused.py            what cannot be traced, and what to write instead
===================== ==========================================================================

Here, and nowhere else, they are gathered into `SPELLINGS` and `REMEDIES`; a function that is spelt
by none, and that a pointwise row is found by, means that row.

>>> import numpy as np
>>> from difflab.tracing.trace import trace
>>> trace(np.mean, np.ones(4)).operation_count()
4
"""

from __future__ import annotations

import numpy as np

from difflab.ir.protocols import SPELLINGS, refuse, spell
from difflab.ir.row import TABLE, Lacking
from difflab.spellings import (
    algebra,
    analysis,
    beyond_numpy,
    elementwise,
    indexing,
    movement,
    reductions,
    selection,
)
from difflab.spellings.refused import REFUSED
from difflab.spellings.spelling import marked, of_row

ROOMS = (
    indexing, movement, selection, elementwise, reductions, algebra, analysis, beyond_numpy,
)  # fmt: skip

for _spelling in marked(ROOMS):
    spell(_spelling.function, _spelling)
for _spelling in [
    of_row(function, row)
    for row in TABLE.values()
    if row.kind == "pointwise"
    for function in row.numpy
    if isinstance(function, (np.ufunc, Lacking)) and function not in SPELLINGS
]:
    spell(_spelling.function, _spelling)
for _function, _remedy in REFUSED.items():
    refuse(_function, _remedy)
